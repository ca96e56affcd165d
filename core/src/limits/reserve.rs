//! Reserve before, settle after: all limits of a chain or none.

use std::sync::{Arc, MutexGuard};

use smallvec::SmallVec;
use tokio::sync::Notify;

use super::counter::{Counter, State};
use super::table::{Chain, LimitTable};
use crate::model::{Charge, Limit, LimitQueue, Measure};

/// What one request is thought to need, or what it took in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    /// Requests: one, or none if it was never sent.
    pub requests: u64,
    /// Tokens in and out.
    pub tokens: u64,
    /// Nanodollars.
    pub money: u64,
}

impl Amounts {
    fn of(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Requests => self.requests,
            Measure::Tokens => self.tokens,
            Measure::Money => self.money,
            Measure::Parallel => 1,
        }
    }
}

/// How far one limit is used, as callers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The limit.
    pub cap: u64,
    /// What is left, what is in flight taken off.
    pub remaining: u64,
    /// When everything that counts now will have left the window; milliseconds since 1970. `None`: never, or nothing counts by time.
    pub resets: Option<u64>,
}

impl Standing {
    fn is_tighter_than(&self, other: &Standing) -> bool {
        u128::from(self.remaining) * u128::from(other.cap) < u128::from(other.remaining) * u128::from(self.cap)
    }
}

/// The tightest limit of each measure, by [`Measure::WORDS`]' order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standings([Option<Standing>; 4]);

impl Standings {
    /// Each measure that is limited.
    pub fn iter(&self) -> impl Iterator<Item = (Measure, Standing)> {
        Measure::WORDS.iter().zip(self.0).filter_map(|((measure, _), standing)| Some((*measure, standing?)))
    }

    /// Takes over what is tighter in another.
    pub fn tighten(&mut self, other: &Standings) {
        other.iter().for_each(|(measure, standing)| self.note(measure, standing));
    }

    fn note(&mut self, measure: Measure, standing: Standing) {
        let place = Measure::WORDS.iter().position(|(own, _)| *own == measure).and_then(|at| self.0.get_mut(at));
        if let Some(place) = place
            && place.is_none_or(|known| standing.is_tighter_than(&known))
        {
            *place = Some(standing);
        }
    }
}

/// Something that the owner wants to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The limit.
    pub limit: Limit,
    /// The mark that was reached, in percent; `None`: the limit refuses.
    pub reached: Option<u8>,
    /// What was used.
    pub used: u64,
    /// When the window frees something, or ends; milliseconds since 1970.
    pub resets: Option<u64>,
}

/// Why a request may not go now.
#[derive(Debug)]
pub struct Refusal {
    table: Arc<LimitTable>,
    place: u32,
    /// What was used in the window.
    pub used: u64,
    /// What requests in flight hold of it.
    pub held: u64,
    /// When there will be room, as far as that is known; milliseconds since 1970. `None`: when something in flight ends, or never.
    pub room_at: Option<u64>,
    /// Others were there first.
    pub behind: bool,
    /// How far the limits of the chain are used.
    pub standings: Standings,
    /// To be told to the owner.
    pub notice: Option<Box<Notice>>,
}

impl Refusal {
    /// The limit that refuses.
    pub fn limit(&self) -> Option<&Limit> {
        self.table.entry(self.place).map(|entry| &entry.limit)
    }

    /// How to wait, if that is possible.
    pub fn queue(&self) -> Option<LimitQueue> {
        self.limit()?.queue
    }

    /// A place at the end of the line before the limit that refuses; `None`: too many wait, or nobody may.
    pub fn line_up(&self) -> Option<Ticket> {
        let entry = self.table.entry(self.place)?;
        let (number, notify) = entry.counter.lock().queue(entry.limit.queue?.max_waiting)?;
        Some(Ticket { counter: Arc::clone(&entry.counter), number, notify })
    }

    /// Whether the ticket is for the limit that refuses.
    pub fn is_before(&self, ticket: &Ticket) -> bool {
        self.table.entry(self.place).is_some_and(|entry| Arc::ptr_eq(&entry.counter, &ticket.counter))
    }
}

/// A place in the line before a limit. Dropping it leaves the line.
#[derive(Debug)]
pub struct Ticket {
    counter: Arc<Counter>,
    number: u64,
    notify: Arc<Notify>,
}

impl Ticket {
    /// Waits until it makes sense to try again: something was freed, or this ticket has become the first.
    pub async fn called(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.counter.lock();
        state.waiting.retain(|(number, _)| *number != self.number);
        state.wake();
    }
}

/// What a request holds of its limits. Dropping it gives everything back.
#[derive(Debug)]
pub struct Reservation {
    table: Arc<LimitTable>,
    holds: SmallVec<[Hold; 8]>,
    standings: Standings,
}

#[derive(Debug, Clone, Copy)]
struct Hold {
    place: u32,
    start: u64,
    amount: u64,
}

/// What came of a settlement.
#[derive(Debug, Default)]
pub struct Settled {
    /// What the store has to add up.
    pub charges: SmallVec<[Charge; 8]>,
    /// Counters of money, and the parts that it counts in, whatever it came to.
    pub money: SmallVec<[(u64, u64); 4]>,
    /// What the owner wants to know.
    pub notices: Vec<Notice>,
}

impl Chain {
    /// Reserves what a request is thought to need: of every limit, or of none. `ticket`: the caller's place in a line.
    ///
    /// # Errors
    /// The limit that refuses: one at which nobody can wait if there is one, else the one that is last to have room.
    pub fn reserve(&self, need: &Amounts, now: u64, ticket: Option<&Ticket>) -> Result<Reservation, Box<Refusal>> {
        // All are locked, in the order of their serials, before anything is decided: nobody sees a part of it.
        let mut locked: SmallVec<[(u32, &super::table::Entry, MutexGuard<'_, State>); 8]> = SmallVec::new();
        let mut worst: Option<Found> = None;
        for (place, entry) in self.entries() {
            let state = entry.counter.at(now);
            if entry.limit.refuse {
                let behind = is_behind(&entry.counter, &state, ticket);
                let amount = need.of(entry.limit.measure);
                if behind || !state.admits(amount, entry.limit.amount) {
                    let room_at = entry.counter.room_at(&state, amount, entry.limit.amount);
                    let found = Found { at: locked.len(), room_at, queues: entry.limit.queue.is_some(), behind };
                    worst = Some(worst.map_or(found, |worst| worst.or(found)));
                }
            }
            locked.push((place, entry, state));
        }
        if let Some(found) = worst {
            return Err(self.refuse(&mut locked, found));
        }
        let mut holds = SmallVec::with_capacity(locked.len());
        let mut standings = Standings::default();
        for (place, entry, state) in &mut locked {
            let amount = need.of(entry.limit.measure);
            holds.push(Hold { place: *place, start: state.hold(amount), amount });
            standings.note(entry.limit.measure, standing(&entry.limit, &entry.counter, state));
        }
        drop(locked);
        Ok(Reservation { table: Arc::clone(&self.table), holds, standings })
    }

    fn refuse(&self, locked: &mut [(u32, &super::table::Entry, MutexGuard<'_, State>)], found: Found) -> Box<Refusal> {
        let mut standings = Standings::default();
        for (_, entry, state) in locked.iter() {
            standings.note(entry.limit.measure, standing(&entry.limit, &entry.counter, state));
        }
        let mut refusal = Refusal {
            table: Arc::clone(&self.table),
            place: 0,
            used: 0,
            held: 0,
            room_at: found.room_at,
            behind: found.behind,
            standings,
            notice: None,
        };
        if let Some((place, entry, state)) = locked.get_mut(found.at) {
            (refusal.place, refusal.used, refusal.held) = (*place, state.used(), state.held());
            // Being held up by what is in flight is nothing to tell; being used up is, once.
            if state.used() >= entry.limit.amount && !std::mem::replace(&mut state.told_full, true) {
                refusal.notice = Some(Box::new(Notice {
                    limit: entry.limit.clone(),
                    reached: None,
                    used: state.used(),
                    resets: found.room_at,
                }));
            }
        }
        Box::new(refusal)
    }
}

/// A limit that refuses.
#[derive(Clone, Copy)]
struct Found {
    at: usize,
    room_at: Option<u64>,
    queues: bool,
    behind: bool,
}

impl Found {
    fn or(self, other: Found) -> Found {
        // `None` is later than any moment: nobody knows when.
        let late = |found: &Found| found.room_at.unwrap_or(u64::MAX);
        match (self.queues, other.queues) {
            (false, true) => self,
            (true, false) => other,
            _ if late(&other) > late(&self) => other,
            _ => self,
        }
    }
}

/// Whether others wait who came earlier.
fn is_behind(counter: &Arc<Counter>, state: &State, ticket: Option<&Ticket>) -> bool {
    let Some((first, _)) = state.waiting.front() else { return false };
    ticket.is_none_or(|ticket| !Arc::ptr_eq(&ticket.counter, counter) || ticket.number != *first)
}

fn standing(limit: &Limit, counter: &Counter, state: &State) -> Standing {
    Standing {
        cap: limit.amount,
        remaining: limit.amount.saturating_sub(state.total()),
        resets: counter.empty_at(state),
    }
}

impl Reservation {
    /// How far the limits are used, this request taken in.
    pub fn standings(&self) -> &Standings {
        &self.standings
    }

    /// Puts what was really used in the place of what was reserved. It counts at the moment of the reservation.
    pub fn settle(mut self, spent: &Amounts, now: u64) -> Settled {
        let mut settled = Settled::default();
        for hold in std::mem::take(&mut self.holds) {
            let Some(entry) = self.table.entry(hold.place) else { continue };
            let limit = &entry.limit;
            // What is only in flight leaves nothing behind.
            let used = if limit.measure == Measure::Parallel { 0 } else { spent.of(limit.measure) };
            if limit.measure == Measure::Money {
                settled.money.push((entry.counter.id, hold.start));
            }
            let mut state = entry.counter.at(now);
            let before = state.used();
            state.settle(hold.start, hold.amount, used);
            if state.used() < limit.amount {
                state.told_full = false;
            }
            if used > 0 {
                settled.charges.push(Charge { counter: entry.counter.id, at: hold.start, amount: used });
                if let Some(mark) = state.newly_reached(&limit.soft, before, limit.amount) {
                    settled.notices.push(Notice {
                        limit: limit.clone(),
                        reached: Some(mark),
                        used: state.used(),
                        resets: entry.counter.empty_at(&state),
                    });
                }
            }
            state.wake();
        }
        settled
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for hold in &self.holds {
            if let Some(entry) = self.table.entry(hold.place) {
                let mut state = entry.counter.lock();
                state.settle(hold.start, hold.amount, 0);
                state.wake();
            }
        }
    }
}
