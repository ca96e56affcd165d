//! One counter: what was used and what is held in the current window, and who waits for room.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::window::{Frame, Part};

/// What one limit has counted. Lives as long as the limit keeps its identity, through any number of reloads.
#[derive(Debug)]
pub(super) struct Counter {
    /// Its name in the store.
    pub id: u64,
    /// Counters are always locked in this order.
    pub serial: u64,
    frame: Frame,
    state: Mutex<State>,
}

/// What a counter holds now.
#[derive(Debug, Default)]
pub(super) struct State {
    part: Part,
    /// Parts of the window in which something was counted, oldest first.
    parts: VecDeque<Count>,
    used: u64,
    held: u64,
    /// The highest percentage that was told.
    told: u8,
    /// That it refuses was told.
    pub told_full: bool,
    /// Who waits, in the order of coming.
    pub waiting: VecDeque<(u64, Arc<Notify>)>,
    tickets: u64,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    start: u64,
    used: u64,
    held: u64,
}

impl Counter {
    pub(super) fn new(id: u64, serial: u64, frame: Frame) -> Self {
        Self { id, serial, frame, state: Mutex::default() }
    }

    /// The counter as of `now`. Never held across an await.
    pub(super) fn at(&self, now: u64) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.advance(&self.frame, now);
        state
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When `amount` more will fit below `cap`, as far as that is known; `None`: only when something in flight ends, or never.
    pub(super) fn room_at(&self, state: &State, amount: u64, cap: u64) -> Option<u64> {
        // What is larger than the limit gets in when nothing else counts.
        let mut over = state.total().saturating_add(amount.min(cap)).saturating_sub(cap);
        for count in &state.parts {
            over = over.saturating_sub(count.used.saturating_add(count.held));
            if over == 0 {
                return self.frame.leaves(count.start, &state.part);
            }
        }
        None
    }

    /// When all that counts now will have left; `None`: never.
    pub(super) fn empty_at(&self, state: &State) -> Option<u64> {
        self.frame.leaves(state.part.start, &state.part)
    }
}

impl State {
    /// Lets go what has left the window. Time never goes back.
    fn advance(&mut self, frame: &Frame, now: u64) {
        if now < self.part.end && self.part.end != 0 {
            return;
        }
        self.part = frame.part(now);
        while let Some(count) = self.parts.front().copied().filter(|count| count.start < self.part.oldest) {
            self.parts.pop_front();
            self.used = self.used.saturating_sub(count.used);
            self.held = self.held.saturating_sub(count.held);
        }
        if self.used == 0 {
            (self.told, self.told_full) = (0, false);
        }
    }

    /// The part in which is counted now.
    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// What was used in the window.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// What requests in flight hold of the window.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Both together.
    pub(super) fn total(&self) -> u64 {
        self.used.saturating_add(self.held)
    }

    /// Whether `amount` may be held. What is larger than all that is left gets in when nobody else holds anything: one request may go over the limit, a
    /// crowd may not. What takes nothing is never held up.
    pub(super) fn admits(&self, amount: u64, cap: u64) -> bool {
        amount == 0 || self.total().saturating_add(amount) <= cap || (self.held == 0 && self.used < cap)
    }

    /// Holds an amount; returns the part that it counts in.
    pub(super) fn hold(&mut self, amount: u64) -> u64 {
        let start = self.part.start;
        self.change(start, |count| count.held = count.held.saturating_add(amount));
        self.held = self.held.saturating_add(amount);
        start
    }

    /// What was held becomes what was used. Nothing happens to a part that has left the window.
    pub(super) fn settle(&mut self, start: u64, held: u64, used: u64) {
        let Some(count) = self.parts.iter_mut().rev().find(|count| count.start == start) else { return };
        let released = held.min(count.held);
        count.held -= released;
        count.used = count.used.saturating_add(used);
        self.held = self.held.saturating_sub(released);
        self.used = self.used.saturating_add(used);
    }

    /// Adds what was used before, as the store remembers it.
    pub(super) fn restore(&mut self, start: u64, used: u64) {
        if start < self.part.oldest {
            return;
        }
        self.change(start, |count| count.used = count.used.saturating_add(used));
        self.used = self.used.saturating_add(used);
    }

    /// What was used in a part turns out to be more or less. Nothing happens to a part that has left the window.
    pub(super) fn shift(&mut self, start: u64, by: i64) {
        if start < self.part.oldest {
            return;
        }
        let mut moved = 0;
        self.change(start, |count| {
            let after = count.used.saturating_add_signed(by);
            moved = i128::from(after) - i128::from(count.used);
            count.used = after;
        });
        self.used = u64::try_from(i128::from(self.used) + moved).unwrap_or_default();
    }

    /// Forgets what was used; what is in flight stays held.
    pub(super) fn reset(&mut self) {
        for count in &mut self.parts {
            count.used = 0;
        }
        self.used = 0;
        (self.told, self.told_full) = (0, false);
    }

    /// The highest of `marks` (percentages) that was reached by what was just used and not told yet. `before`: what was used before it.
    pub(super) fn newly_reached(&mut self, marks: &[u8], before: u64, cap: u64) -> Option<u8> {
        let reached =
            |used: u64| marks.iter().copied().filter(|mark| percent(used, cap) >= u64::from(*mark)).max().unwrap_or(0);
        let now = percent(self.used, cap);
        // A rolling window goes up and down around a mark: it is told again only after it has been well below it.
        let near = |mark: &u8| *mark <= self.told && now + 10 >= u64::from(*mark);
        self.told = marks.iter().copied().filter(near).max().unwrap_or(0);
        let known = self.told.max(reached(before));
        let level = reached(self.used);
        self.told = known.max(level);
        (level > known).then_some(level)
    }

    /// Goes to the end of the line.
    pub(super) fn queue(&mut self, most: u32) -> Option<(u64, Arc<Notify>)> {
        if self.waiting.len() >= most as usize {
            return None;
        }
        self.tickets += 1;
        let place = (self.tickets, Arc::new(Notify::new()));
        self.waiting.push_back(place.clone());
        Some(place)
    }

    /// Tells the first in line to look again.
    pub(super) fn wake(&self) {
        if let Some((_, first)) = self.waiting.front() {
            first.notify_one();
        }
    }

    /// Changes what was counted in a part, which comes into being if it was not there.
    fn change(&mut self, start: u64, change: impl FnOnce(&mut Count)) {
        let place = self.parts.partition_point(|count| count.start < start);
        match self.parts.get_mut(place).filter(|count| count.start == start) {
            Some(count) => change(count),
            None => {
                let mut count = Count { start, used: 0, held: 0 };
                change(&mut count);
                self.parts.insert(place, count);
            }
        }
    }
}

/// How much of `cap` is `used`, in percent, rounded down.
pub(super) fn percent(used: u64, cap: u64) -> u64 {
    let percent = u128::from(used) * 100 / u128::from(cap.max(1));
    u64::try_from(percent).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::model::Window;

    fn counter(window: Option<Window>) -> Counter {
        Counter::new(1, 1, Frame::new(window, &TimeZone::UTC))
    }

    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn what_was_held_leaves_with_its_part() {
        let counter = counter(Some(Window::Rolling(60_000)));
        let start = counter.at(NOW).hold(7);
        assert_eq!(counter.at(NOW + 59_000).held(), 7);
        assert_eq!(counter.at(NOW + 62_000).total(), 0);
        let mut state = counter.at(NOW + 62_000);
        state.settle(start, 7, 5);
        assert_eq!((state.used(), state.held()), (0, 0), "it counted in a window that is over");
    }

    #[test]
    fn time_never_goes_back() {
        let counter = counter(Some(Window::Day));
        let start = counter.at(NOW).hold(1);
        assert_eq!(counter.at(NOW - 90_000_000).part().start, start);
        assert_eq!(counter.at(0).held(), 1);
    }

    #[test]
    fn room_is_told_for_the_moment_when_enough_has_left() {
        let counter = counter(Some(Window::Rolling(60_000)));
        for (second, amount) in [(0, 3), (10, 3), (20, 4)] {
            let mut state = counter.at(NOW + second * 1_000);
            let start = state.hold(amount);
            state.settle(start, amount, amount);
        }
        let state = counter.at(NOW + 30_000);
        for (amount, second) in [(1, 61), (3, 61), (4, 71), (10, 81), (99, 81)] {
            assert_eq!(counter.room_at(&state, amount, 10), Some(NOW + second * 1_000), "{amount}");
        }
    }

    #[test]
    fn a_mark_is_told_once_and_again_after_a_fall() {
        let mut state = State::default();
        let mut told = Vec::new();
        for used in [50, 79, 80, 90, 81, 75, 85, 60, 85, 95] {
            let before = state.used;
            state.used = used;
            told.push(state.newly_reached(&[80, 90], before.min(used), 100));
        }
        assert_eq!(told, [None, None, Some(80), Some(90), None, None, None, None, Some(80), Some(90)]);
    }

    #[test]
    fn a_mark_that_was_reached_before_a_restart_is_not_told_again() {
        let counter = counter(Some(Window::Month));
        let mut state = counter.at(NOW);
        let start = state.part().start;
        state.restore(start, 85);
        state.restore(start - 1, 1_000);
        assert_eq!(state.used(), 85);
        state.hold(2);
        state.settle(start, 2, 2);
        assert_eq!(state.newly_reached(&[80], 85, 100), None);
    }
}
