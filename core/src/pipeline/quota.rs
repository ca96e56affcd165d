//! Limits and budgets in the life of a request: what it reserves before it is sent, how it waits, what it is told, what it counts in the end.
//!
//! Must not know how limits count: that is `limits`'.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use myelin_protocol::ir::Usage;
use serde_json::{Map, Value, json};

use super::reply::Lines;
use super::target::Demand;
use super::{Job, Services};
use crate::error::{GatewayError, Kind, Retry};
use crate::events::{Event, Level};
use crate::limits::{self, Amounts, Chain, Notice, Refusal, Reservation, Standings};
use crate::model::{
    AttemptOutcome, AttemptRecord, Budgeted, Charge, Limit, Measure, NanoUsd, RequestRecord, Window, push_dollars,
    push_number,
};
use crate::routing::Candidate;
use crate::told;

/// When to come back if nobody knows when there will be room.
const SOON: Duration = Duration::from_secs(1);
/// Tokens that a prompt is thought to have at most whose text is not there to be looked at.
const MOST_UNSEEN: u64 = 200_000;
/// Windows from this length on are worth an event when they are used up; shorter ones are used up all the time.
const WORTH_TELLING_MS: u64 = 3_600_000;

/// What one request holds of its limits: those of its caller, and those of the channel that serves it.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    caller: Option<Reservation>,
    /// Of each request to a channel that may still be answered; the last one is the one that is.
    channels: Vec<Reservation>,
    /// What attempts that failed have counted: they were sent all the same.
    spent: Vec<Charge>,
    /// The budgets that count what it costs.
    budgets: Vec<Budgeted>,
    standings: Standings,
    /// What the request is thought to need of tokens; worked out only where somebody counts them.
    tokens_in: u64,
    tokens_out: u64,
    /// How many deployments may be tried: the last one is worth waiting for.
    planned: usize,
}

impl Quota {
    /// Tokens that the prompt is thought to have, if that was worked out.
    pub(super) fn thought_prompt(&self) -> Option<u64> {
        Some(self.tokens_in).filter(|tokens| *tokens > 0)
    }

    /// For one of several that look for the same answer: the caller's limits were asked already, its channels' are its own.
    pub(super) fn entrant(&self) -> Self {
        Self { tokens_in: self.tokens_in, tokens_out: self.tokens_out, planned: self.planned, ..Self::default() }
    }

    /// Takes over what one of several holds and has counted.
    pub(super) fn absorb(&mut self, entrant: Self) {
        self.channels.extend(entrant.channels);
        self.spent.extend(entrant.spent);
        self.budgets.extend(entrant.budgets);
        self.standings.tighten(&entrant.standings);
    }

    /// Holds what the caller's limits gave.
    pub(super) fn hold_caller(&mut self, reservation: Reservation) {
        self.standings.tighten(reservation.standings());
        self.caller = Some(reservation);
    }

    /// Holds what the limits of an attempt's channel gave.
    pub(super) fn hold_channel(&mut self, reservation: Reservation) {
        self.standings.tighten(reservation.standings());
        self.channels.push(reservation);
    }

    /// Remembers how far the limits that refused are used.
    pub(super) fn refused(&mut self, standings: &Standings) {
        self.standings.tighten(standings);
    }

    /// An attempt is over without an answer: it was one request to its channel if it was sent, and used nothing that is known.
    pub(super) fn attempt_failed(&mut self, services: &Services, sent: bool) {
        for reservation in std::mem::take(&mut self.channels) {
            if sent {
                self.take(services, reservation, &ONE_REQUEST, None);
            }
        }
    }

    /// An attempt (by its place) gave a part of the answer, and another one goes on: its channel counts what that part used.
    pub(super) fn part_over(&mut self, services: &Services, amounts: &Amounts, attempt: usize) {
        for reservation in std::mem::take(&mut self.channels) {
            self.take(services, reservation, amounts, Some(Share::of(attempt)));
        }
    }

    /// The request is over: what was reserved becomes what was used. Returns what the store has to add up, and the budgets that counted the cost.
    pub(super) fn settle(&mut self, services: &Services, record: &RequestRecord) -> (Vec<Charge>, Vec<Budgeted>) {
        let caller = self.caller.take();
        let mut channels = std::mem::take(&mut self.channels);
        // What was never sent costs nothing, unless it was answered here.
        if record.status < 400 || record.usage.is_some() || record.attempts.iter().any(was_sent) {
            let answered = channels.pop();
            channels.into_iter().for_each(|reservation| self.take(services, reservation, &ONE_REQUEST, None));
            let cost = |cost: Option<NanoUsd>| cost.map_or(0, |cost| u64::try_from(cost.0).unwrap_or(0));
            let all = used(record, cost(record.cost));
            // Who went on with the answer of another is asked for its own part only.
            let part = record.attempts.last().filter(|last| last.resumed);
            let last = part.map_or(all, |last| amounts(last.usage.as_ref(), cost(last.cost)));
            let share = part.map_or(Share::Whole, |_| Share::of(record.attempts.len() - 1));
            for (reservation, amounts, share) in [(caller, all, Share::Whole), (answered, last, share)] {
                if let Some(reservation) = reservation {
                    self.take(services, reservation, &amounts, Some(share));
                }
            }
        }
        (std::mem::take(&mut self.spent), std::mem::take(&mut self.budgets))
    }

    /// `share`: what of the request's cost is counted; `None`: none of it.
    fn take(&mut self, services: &Services, reservation: Reservation, amounts: &Amounts, share: Option<Share>) {
        let settled = reservation.settle(amounts, services.clock.unix_ms());
        if let Some(share) = share {
            let attempt = share.attempt();
            self.budgets.extend(settled.money.iter().map(|(counter, at)| Budgeted {
                counter: *counter,
                at: *at,
                attempt,
            }));
        }
        self.spent.extend(settled.charges);
        settled.notices.into_iter().for_each(|notice| tell(services, notice));
    }

    /// Writes into a head how far the tightest limits are used: `x-ratelimit-limit-requests`, `-remaining-`, `-reset-`, the same for tokens, money and
    /// parallel requests.
    pub(crate) fn describe(&self, headers: &mut HeaderMap, now: u64) {
        let mut lines = Lines::of(headers);
        for (measure, standing) in self.standings.iter() {
            let [limit, remaining, reset] = told(measure);
            for (name, amount) in [(limit, standing.cap), (remaining, standing.remaining)] {
                match measure {
                    Measure::Money => lines.write(name, |out| push_dollars(out, amount)),
                    _ => lines.number(name, amount),
                }
            }
            if let Some(at) = standing.resets.filter(|_| measure != Measure::Parallel) {
                lines.write(reset, |out| {
                    push_number(out, at.saturating_sub(now).div_ceil(1_000), 1);
                    out.push('s');
                });
            }
        }
    }
}

/// The headers that tell of a measure: what it is limited to, what remains, when something comes back. Made at compile time: every answer has some.
fn told(measure: Measure) -> [&'static HeaderName; 3] {
    const fn names(names: [&'static str; 3]) -> [HeaderName; 3] {
        let [limit, remaining, reset] = names;
        [HeaderName::from_static(limit), HeaderName::from_static(remaining), HeaderName::from_static(reset)]
    }
    static REQUESTS: [HeaderName; 3] =
        names(["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]);
    static TOKENS: [HeaderName; 3] =
        names(["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]);
    static MONEY: [HeaderName; 3] =
        names(["x-ratelimit-limit-money", "x-ratelimit-remaining-money", "x-ratelimit-reset-money"]);
    static PARALLEL: [HeaderName; 3] =
        names(["x-ratelimit-limit-parallel", "x-ratelimit-remaining-parallel", "x-ratelimit-reset-parallel"]);
    match measure {
        Measure::Requests => &REQUESTS,
        Measure::Tokens => &TOKENS,
        Measure::Money => &MONEY,
        Measure::Parallel => &PARALLEL,
    }
    .each_ref()
}

/// What of a request's cost a budget counts.
#[derive(Debug, Clone, Copy)]
enum Share {
    Whole,
    /// What one attempt cost, by its place.
    Attempt(u32),
}

impl Share {
    fn of(attempt: usize) -> Self {
        u32::try_from(attempt).map_or(Self::Whole, Self::Attempt)
    }

    fn attempt(self) -> Option<u32> {
        match self {
            Self::Whole => None,
            Self::Attempt(at) => Some(at),
        }
    }
}

/// What was reserved for a copy of a request.
pub(super) struct CopyQuota(Quota);

/// A request that used nothing that is known.
const ONE_REQUEST: Amounts = Amounts { requests: 1, tokens: 0, money: 0 };

/// Whether an attempt reached its provider, as far as anybody can tell.
pub(super) fn was_sent(attempt: &AttemptRecord) -> bool {
    attempt.status.is_some() || attempt.outcome != AttemptOutcome::Failed
}

/// What a request used, as its record says. What is unknown counts nothing, as it does in every sum of the records.
pub(super) fn used(record: &RequestRecord, money: u64) -> Amounts {
    amounts(record.usage.as_ref(), money)
}

fn amounts(usage: Option<&Usage>, money: u64) -> Amounts {
    let tokens = usage.map_or(0, |usage| usage.input.unwrap_or(0).saturating_add(usage.output.unwrap_or(0)));
    Amounts { requests: 1, tokens, money }
}

impl Job {
    /// Here a request is let through or is not: it reserves of every limit that holds for its caller. `candidates`: who may be asked; none if it is
    /// answered here.
    ///
    /// # Errors
    /// The limit that refuses, in words.
    pub(super) async fn let_in(&mut self, candidates: &[Candidate], demand: Demand) -> Result<(), GatewayError> {
        let limits = &self.snapshot.limits;
        let record = self.settle.record();
        let chain = limits.for_caller(limits::Caller {
            key: &self.caller.key.key.id,
            tool: record.tool.as_deref(),
            model: &record.model,
            profile: &self.caller.profile.name,
        });
        let counts = |measure| chain.counts(measure);
        let (mut tokens_in, mut tokens_out) = (0, 0);
        if counts(Measure::Tokens) || counts(Measure::Money) || limits.limits_channels() {
            tokens_in = match &demand.body {
                Some(body) => limits::prompt_tokens(body),
                None => (demand.body_bytes / 4).min(MOST_UNSEEN),
            };
            tokens_out = limits::usual_output(demand.max_output);
        }
        let tried = self.snapshot.settings.max_attempts as usize;
        let money = match counts(Measure::Money) {
            true => self.estimate(candidates.iter().take(tried), tokens_in, tokens_out),
            false => 0,
        };
        let quota = self.settle.quota_mut();
        (quota.tokens_in, quota.tokens_out, quota.planned) = (tokens_in, tokens_out, candidates.len().min(tried));
        if chain.is_empty() {
            return Ok(());
        }
        let need = Amounts { requests: 1, tokens: tokens_in.saturating_add(tokens_out), money };
        match reserve(&self.services, &chain, &need).await {
            Ok(reservation) => self.settle.quota_mut().hold_caller(reservation),
            Err(mut refusal) => return Err(self.refused_by(&mut refusal)),
        }
        Ok(())
    }

    /// What a copy that goes to others reserves: it is no caller's, but the gateway pays for it, so it counts against what holds for everybody. Nobody waits
    /// for it; `None`: there is no room, and no copy is made.
    pub(super) fn reserve_copy(&self, candidates: &[Candidate]) -> Option<CopyQuota> {
        let record = self.settle.record();
        let caller = limits::Caller { model: &record.model, profile: &self.caller.profile.name, ..Default::default() };
        let chain = self.snapshot.limits.for_caller(caller);
        let Quota { tokens_in, tokens_out, .. } = *self.settle.quota();
        let money = self.estimate(candidates.iter().take(1), tokens_in, tokens_out);
        let need = Amounts { requests: 1, tokens: tokens_in.saturating_add(tokens_out), money };
        let reserved = chain.reserve(&need, self.services.clock.unix_ms(), None);
        Some(CopyQuota(Quota { caller: Some(reserved.ok()?), tokens_in, tokens_out, planned: 1, ..Quota::default() }))
    }

    /// Gives a copy what was reserved for it.
    pub(super) fn hold_copy(&mut self, reserved: CopyQuota) {
        *self.settle.quota_mut() = reserved.0;
    }

    /// The same for one request to a channel: a channel at its limit is skipped like one that fails. Only the last one is waited for.
    ///
    /// # Errors
    /// The limit that refuses, in words.
    pub(super) async fn let_attempt(&mut self, channel: &str, candidate: &Candidate) -> Result<(), GatewayError> {
        let limits = &self.snapshot.limits;
        if !limits.limits_channels() {
            return Ok(());
        }
        let chain = limits.for_attempt(channel, &candidate.upstream, &self.settle.record().model);
        if chain.is_empty() {
            return Ok(());
        }
        let attempts = self.settle.record().attempts.len();
        let quota = self.settle.quota_mut();
        let (tokens_in, tokens_out, last) = (quota.tokens_in, quota.tokens_out, attempts >= quota.planned);
        let money = self.estimate(std::iter::once(candidate), tokens_in, tokens_out);
        let need = Amounts { requests: 1, tokens: tokens_in.saturating_add(tokens_out), money };
        let reserved = match last {
            true => reserve(&self.services, &chain, &need).await,
            false => chain.reserve(&need, self.services.clock.unix_ms(), None),
        };
        match reserved {
            Ok(reservation) => self.settle.quota_mut().hold_channel(reservation),
            Err(mut refusal) => return Err(self.refused_by(&mut refusal).retry(Retry::Elsewhere)),
        }
        Ok(())
    }

    /// What a request is thought to cost at the dearest of its candidates, in nanodollars. What has no price is thought to cost next to nothing: it goes on
    /// until the budget is used up, and no further.
    fn estimate<'a>(&self, candidates: impl Iterator<Item = &'a Candidate>, tokens_in: u64, tokens_out: u64) -> u64 {
        let at = self.services.clock.unix_ms();
        let costs = candidates.map(|candidate| {
            let quote = self.snapshot.quote(candidate.channel, &candidate.upstream);
            let cost = quote.and_then(|quote| quote.estimate(tokens_in, tokens_out, at));
            cost.map_or(1, |cost| u64::try_from(cost.0).unwrap_or(0))
        });
        costs.max().unwrap_or(0)
    }

    fn refused_by(&mut self, refusal: &mut Refusal) -> GatewayError {
        let error = refused(&self.services, refusal);
        self.settle.quota_mut().refused(&refusal.standings);
        self.settle.record_mut().refused_by = refusal.limit().map(|limit| limit.name.clone());
        error
    }
}

/// Reserves, waiting in line where the limits allow it.
///
/// # Errors
/// The refusal that counts, once there is nothing left to wait for.
pub(super) async fn reserve(services: &Services, chain: &Chain, need: &Amounts) -> Result<Reservation, Box<Refusal>> {
    let first = match chain.reserve(need, services.clock.unix_ms(), None) {
        Ok(reservation) => return Ok(reservation),
        Err(refusal) => refusal,
    };
    let begun = services.clock.monotonic_us();
    let mut refusal = first;
    let mut ticket = None;
    loop {
        let Some(queue) = refusal.queue() else { return Err(refusal) };
        let waited = Duration::from_micros(services.clock.monotonic_us().saturating_sub(begun));
        let patience = Duration::from_millis(queue.timeout_ms).saturating_sub(waited);
        if patience.is_zero() {
            return Err(refusal);
        }
        // Another limit of the chain refuses now: its line begins at the end. The place in the old one is given up.
        if ticket.as_ref().is_none_or(|ticket| !refusal.is_before(ticket)) {
            ticket = refusal.line_up();
        }
        let Some(place) = &ticket else { return Err(refusal) };
        let room = refusal.room_at.map(|at| Duration::from_millis(at.saturating_sub(services.clock.unix_ms()) + 1));
        let wait = room.map_or(patience, |room| room.min(patience));
        let _ = tokio::time::timeout(wait, place.called()).await;
        match chain.reserve(need, services.clock.unix_ms(), ticket.as_ref()) {
            Ok(reservation) => return Ok(reservation),
            Err(next) => refusal = next,
        }
    }
}

/// A refusal in words, with the time to come back. The owner is told too, where that is due.
pub(super) fn refused(services: &Services, refusal: &mut Refusal) -> GatewayError {
    if let Some(notice) = refusal.notice.take() {
        tell(services, *notice);
    }
    let now = services.clock.unix_ms();
    let Some(limit) = refusal.limit() else {
        return GatewayError::new(Kind::RateLimited, "a limit of this gateway is reached");
    };
    let measure = limit.measure;
    let kind = if measure == Measure::Money { Kind::BudgetExceeded } else { Kind::RateLimited };
    let mut message = format!("the limit {:?} on {} is reached: {}", limit.name, limit.on, limit.in_words());
    if measure != Measure::Parallel {
        message.push_str(&format!("; used {}", measure.in_words(refusal.used)));
        if refusal.held > 0 {
            message.push_str(&format!(", held by requests in flight {}", measure.in_words(refusal.held)));
        }
    }
    if refusal.behind {
        message.push_str("; others wait already");
    }
    let mut error = GatewayError::new(kind, String::new());
    // While it is only held, it may be free again with the next answer.
    let free_by_time = refusal.used >= limit.amount || refusal.held == 0;
    error.public.retry_after = match refusal.room_at.filter(|_| free_by_time && measure != Measure::Parallel) {
        Some(at) => {
            message.push_str(&format!("; resets {}", moment(limit, at)));
            Some(Duration::from_millis(at.saturating_sub(now).max(1)))
        }
        // What is used up for ever does not come back by waiting.
        None if limit.per == Some(Window::Total) && free_by_time => None,
        None => Some(SOON),
    };
    error.public.code =
        Some(if kind == Kind::BudgetExceeded { "budget_exceeded" } else { "rate_limit_exceeded" }.into());
    error.public.message = message;
    error
}

/// A moment in the limit's time zone, to the second.
fn moment(limit: &Limit, at: u64) -> String {
    let zone = crate::model::limit_zone(limit.zone.as_deref().filter(|_| limit.per.is_some_and(Window::is_calendar)));
    let stamp = i64::try_from(at.div_ceil(1_000)).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    match (stamp, zone) {
        (Some(stamp), Some(zone)) => stamp.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        _ => "later".to_owned(),
    }
}

/// Tells the owner that a mark was reached, or that a limit refuses from now on.
pub(super) fn tell(services: &Services, notice: Notice) {
    let Notice { limit, reached, used, resets } = notice;
    let short = matches!(limit.per, Some(Window::Rolling(ms)) if ms < WORTH_TELLING_MS);
    if reached.is_none() && (short || limit.per.is_none()) {
        return;
    }
    // As in `Limit::in_words`, in parts.
    let (count, unit, window) = (limit.measure.count(limit.amount), limit.measure.unit(), limit.window_in_words());
    let told = match reached {
        Some(mark) => told!(
            "event-limit-mark",
            "{mark} % of the limit {name} on {on} are used: {count} {unit} {window}",
            mark = mark,
            name = format_args!("{:?}", limit.name),
            on = limit.on,
            count = count,
            unit = unit,
            window = window,
        ),
        None => told!(
            "event-limit-reached",
            "the limit {name} on {on} is used up and refuses: {count} {unit} {window}",
            name = format_args!("{:?}", limit.name),
            on = limit.on,
            count = count,
            unit = unit,
            window = window,
        ),
    };
    let data = json!({
        "limit": limit.name, "on": limit.on, "measure": limit.measure, "amount": limit.amount, "used": used, "mark": reached, "resets": resets,
    });
    let kind = if reached.is_some() { "limit-mark" } else { "limit-reached" };
    let event = Event::new(services.clock.unix_ms(), Level::Warning, kind, limit.name, told);
    let data = match data {
        Value::Object(data) => data,
        _ => Map::new(),
    };
    services.events.tell(Event { data, ..event });
}
