//! One record a request, written exactly once, however it ends.
//!
//! [`Settle`] travels with the request, at last inside the response body: when that is dropped without having been completed, the client has left.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use myelin_protocol::ir::{FinishReason, Loss, Usage};

use super::capture::Capture;
use super::error::STOPPED;
use super::flights::Flight;
use super::money::Money;
use super::outcome::{self, Outcome};
use super::quota::{self, Quota};
use super::{Durable, Services, reply};
use crate::cache;
use crate::error::{GatewayError, Kind};
use crate::model::{AttemptOutcome, AttemptRecord, BodyPolicy, RequestRecord, RequestState};
use crate::pricing::Quote;
use crate::store::BodyKind;

/// What providers write into answers about their own work: identifiers of builds and jobs, clocks. Only true losses are worth a caller's look.
const BOOKKEEPING: [&str; 12] = [
    "conversation_id",
    "created_at",
    "eval_duration",
    "load_duration",
    "metrics",
    "mode",
    "prompt_eval_duration",
    "provider",
    "system_fingerprint",
    "task_id",
    "total_duration",
    "x_groq",
];

/// Most bytes of a name or a path in a record.
const LONGEST_TEXT: usize = 1_024;

/// How an attempt ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End<'a> {
    /// With a whole answer.
    Answered,
    /// Without one; nothing of it reached the client.
    Failed(&'a GatewayError),
    /// It broke off after content had reached the client.
    Interrupted(Option<&'a GatewayError>),
    /// It was called back before it could be answered: why.
    Withdrawn(&'a str),
    /// The client left.
    Canceled,
}

/// The record of one request in the making.
pub(crate) struct Settle {
    services: Arc<Services>,
    /// Boxed: it moves between futures.
    record: Box<RequestRecord>,
    begun_us: u64,
    /// The client's key wants the record on disk before the last byte.
    pub strict: bool,
    /// The conversation that it belongs to, where there was a choice of whom to ask.
    pub conversation: Option<u64>,
    attempt_open: bool,
    flight: Arc<Flight>,
    capture: Option<Box<Capture>>,
    money: Money,
    /// What it holds of its limits.
    quota: Quota,
    done: bool,
    /// Who wants to know what is recorded.
    told: Option<Arc<cache::Flight>>,
    /// One of several that look for the same answer: its attempts go here, and it writes no record of its own.
    aside: Option<Aside>,
    /// How the attempts of this one came to be.
    side: Side,
}

/// What those who did not give the answer left behind.
type Aside = Arc<Mutex<Left>>;

/// Attempts, and what channels' limits count of them.
#[derive(Default)]
struct Left {
    attempts: Vec<Beside>,
    quota: Quota,
}

/// An attempt of one of them, what it used as far as that is known, and at which price.
type Beside = (AttemptRecord, Option<(Usage, Arc<Quote>)>);

/// How an attempt came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Side {
    /// Another one was late.
    pub hedged: bool,
    /// It runs against others.
    pub raced: bool,
}

/// The record of one request while several look for its answer.
pub(crate) struct Contest {
    /// The one that is written.
    settle: Settle,
    aside: Aside,
}

impl Settle {
    /// Begins a record.
    pub(crate) fn begin(services: Arc<Services>, record: RequestRecord) -> Self {
        let begun_us = services.clock.monotonic_us();
        let flight = services.flights.begin(&record);
        let record = Box::new(record);
        Self {
            services,
            record,
            begun_us,
            strict: false,
            conversation: None,
            attempt_open: false,
            flight,
            capture: None,
            money: Money::default(),
            quota: Quota::default(),
            done: false,
            told: None,
            aside: None,
            side: Side::default(),
        }
    }

    /// Takes it out of where it is; what stays there writes nothing.
    pub(crate) fn replace_by_hollow(&mut self) -> Self {
        let hollow = Self {
            services: self.services.clone(),
            record: Box::default(),
            begun_us: self.begun_us,
            strict: false,
            attempt_open: false,
            flight: self.flight.clone(),
            capture: None,
            money: Money::default(),
            quota: Quota::default(),
            done: true,
            told: None,
            aside: None,
            side: Side::default(),
            conversation: self.conversation,
        };
        std::mem::replace(self, hollow)
    }

    /// Several look for the answer from here on.
    pub(crate) fn contest(self) -> Contest {
        Contest { settle: self, aside: Aside::default() }
    }

    /// Tells those who share the answer what is recorded of it.
    pub(crate) fn tell(&mut self, flight: Arc<cache::Flight>) {
        self.told = Some(flight);
    }

    /// What the pipeline works with.
    pub(crate) fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// The request as others see it while it flies.
    pub(crate) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Whose bodies are kept is known.
    pub(crate) fn keep_bodies(&mut self, policy: BodyPolicy) {
        self.capture = Capture::new(&self.services, policy);
    }

    /// The body of the request is there.
    pub(crate) fn received(&mut self, body: &Bytes) {
        self.kept(BodyKind::Received, std::slice::from_ref(body));
    }

    /// A body that belongs to the attempt that is open, in pieces.
    pub(crate) fn kept(&mut self, kind: BodyKind, pieces: &[Bytes]) {
        let attempt = self.attempt_number(kind);
        if let Some(capture) = &mut self.capture {
            capture.whole(kind, attempt, pieces);
        }
    }

    /// Headers; `refused`: those of an answer that is no success.
    pub(crate) fn kept_head(&mut self, kind: BodyKind, headers: &HeaderMap, refused: bool) {
        let attempt = self.attempt_number(kind);
        if let Some(capture) = &mut self.capture {
            capture.head(kind, attempt, headers, refused);
        }
    }

    /// The next piece of a stream that a deployment answers with, where it is not what the client gets.
    pub(crate) fn upstream_piece(&mut self, bytes: &[u8]) {
        let attempt = self.attempt_number(BodyKind::Upstream);
        if let Some(capture) = &mut self.capture {
            capture.piece(BodyKind::Upstream, attempt, bytes);
        }
    }

    /// Everything that the client gets.
    pub(crate) fn given(&mut self, body: &Bytes) {
        self.record.bytes_out = body.len() as u64;
        self.kept(BodyKind::Answer, std::slice::from_ref(body));
    }

    /// The next piece of what the client gets; about how many tokens it has by now.
    pub(crate) fn given_piece(&mut self, bytes: &[u8], tokens: Option<u64>) {
        self.record.bytes_out += bytes.len() as u64;
        self.flight.progress(self.record.bytes_out, tokens);
        if let Some(capture) = &mut self.capture {
            capture.piece(BodyKind::Answer, None, bytes);
        }
    }

    fn attempt_number(&self, kind: BodyKind) -> Option<u32> {
        let of_attempt = kind.is_of_attempt();
        u32::try_from(self.record.attempts.len()).ok()?.checked_sub(1).filter(|_| of_attempt)
    }

    /// What it holds of its limits, to look at.
    pub(crate) fn quota(&self) -> &Quota {
        &self.quota
    }

    /// What it holds of its limits.
    pub(crate) fn quota_mut(&mut self) -> &mut Quota {
        &mut self.quota
    }

    /// Writes what a caller may know of its request into a head.
    pub(crate) fn describe(&self, headers: &mut HeaderMap) {
        reply::describe(headers, &self.record);
        self.quota.describe(headers, self.services.clock.unix_ms());
    }

    /// The record so far.
    pub(crate) fn record(&self) -> &RequestRecord {
        &self.record
    }

    /// The record so far, to fill in.
    pub(crate) fn record_mut(&mut self) -> &mut RequestRecord {
        &mut self.record
    }

    /// Microseconds since the request came.
    pub(crate) fn elapsed_us(&self) -> u64 {
        self.services.clock.monotonic_us().saturating_sub(self.begun_us)
    }

    /// An attempt begins, at a deployment with this price; it stays the last one of the record until it is closed.
    pub(crate) fn open_attempt(&mut self, mut attempt: AttemptRecord, quote: Option<Arc<Quote>>) {
        self.money.attempt(&mut self.record, quote);
        attempt.offset_us = self.elapsed_us();
        attempt.hedged = self.side.hedged;
        attempt.raced = self.side.raced;
        self.record.channel = Some(attempt.channel.clone());
        self.record.upstream_model = Some(attempt.upstream_model.clone());
        self.record.upstream_format = Some(attempt.format.clone());
        outcome::begun(&self.services, &attempt, self.conversation);
        self.record.attempts.push(attempt);
        self.flight.note(&self.record);
        self.attempt_open = true;
    }

    /// The attempt that is open.
    pub(crate) fn attempt_mut(&mut self) -> Option<&mut AttemptRecord> {
        self.record.attempts.last_mut().filter(|_| self.attempt_open)
    }

    /// The open attempt is over. Without an open one nothing happens.
    pub(crate) fn end_attempt(&mut self, end: End<'_>) {
        let now = self.elapsed_us();
        let first_token = self.record.first_token_us;
        let Some(attempt) = self.attempt_mut() else { return };
        let (outcome, failure) = match end {
            End::Answered => (AttemptOutcome::Answered, None),
            End::Failed(error) if error.kind == Kind::Timeout => (AttemptOutcome::TimedOut, Some(error)),
            End::Failed(error) => (AttemptOutcome::Failed, Some(error)),
            End::Interrupted(error) => (AttemptOutcome::Interrupted, error),
            End::Withdrawn(_) | End::Canceled => (AttemptOutcome::Canceled, None),
        };
        let withdrawn = match end {
            End::Withdrawn(why) => Some(why),
            _ => None,
        };
        attempt.duration_us = now.saturating_sub(attempt.offset_us);
        attempt.outcome = outcome;
        let words = failure.map(|error| error.public.message.as_str()).or(withdrawn);
        attempt.error = words.map(|words| words.chars().take(500).collect());
        let begun = attempt.offset_us;
        self.attempt_open = false;
        let Some(attempt) = self.record.attempts.last() else { return };
        if let End::Failed(_) | End::Withdrawn(_) = end {
            self.quota.attempt_failed(&self.services, quota::was_sent(attempt));
        }
        // Who goes on with an answer shows nobody how soon it begins one.
        let first_token = first_token.and_then(|at| at.checked_sub(begun)).map(Duration::from_micros);
        let conversation = self.conversation;
        outcome::ended(&self.services, &Outcome { attempt, failure, first_token, conversation });
    }

    /// The open attempt broke off after content, and somebody else is to go on with it: what it used is its own part of the whole.
    pub(crate) fn end_part(&mut self, error: &GatewayError) {
        self.end_attempt(End::Interrupted(Some(error)));
        let amounts = quota::used(&self.record, self.money.worth(&self.record));
        let last = self.record.attempts.len().saturating_sub(1);
        self.quota.part_over(&self.services, &amounts, last);
    }

    /// Notes what a target could not carry.
    pub(crate) fn losses(&mut self, losses: &[Loss]) {
        for loss in losses {
            let line = format!("{}: {}", loss.field, loss.why);
            if self.record.losses.len() < 32 && !self.record.losses.contains(&line) {
                self.record.losses.push(line);
            }
        }
    }

    /// Notes what an answer lost on its way to the client; the provider's own bookkeeping is nobody's loss.
    pub(crate) fn answer_losses(&mut self, losses: &[Loss]) {
        let told = |loss: &&Loss| {
            let name = loss.field.rsplit_once("extras.").map(|(_, name)| name);
            name.is_none_or(|name| !BOOKKEEPING.contains(&name))
        };
        for loss in losses.iter().filter(told) {
            self.losses(std::slice::from_ref(loss));
        }
    }

    /// Notes counters; later ones replace earlier ones field by field.
    pub(crate) fn usage(&mut self, usage: Usage) {
        self.record.usage.get_or_insert_default().update(usage);
    }

    /// The head of the answer says what it cost, in dollars.
    pub(crate) fn told_cost(&mut self, dollars: &str) {
        self.money.told(dollars);
    }

    /// The stream broke off before its provider told everything: fills in so many tokens of answer, and an estimate of the prompt.
    pub(crate) fn estimate(&mut self, written: u64) {
        if !self.done {
            let prompt = self.quota.thought_prompt();
            self.money.estimate(&mut self.record, prompt, written);
        }
    }

    /// Writes into the record what the request came to, as far as that is known now.
    pub(crate) fn price(&mut self) {
        self.money.settle(&mut self.record);
    }

    /// Notes counters of one of several upstream calls: they add up, those of calls that did not lead to the answer too.
    pub(crate) fn more_usage(&mut self, usage: &Usage) {
        let add = |total: &mut Option<u64>, more: Option<u64>| {
            if let Some(more) = more {
                *total = Some(total.unwrap_or(0).saturating_add(more));
            }
        };
        match &mut self.record.usage {
            Some(total) => {
                add(&mut total.input, usage.input);
                add(&mut total.output, usage.output);
                // It would tell of the first call alone.
                total.raw = None;
            }
            none => *none = Some(usage.clone()),
        }
    }

    /// Notes why the answer ended.
    pub(crate) fn finish_reason(&mut self, reason: &FinishReason) {
        self.record.finish = Some(reason_word(reason).to_owned());
    }

    /// The first content went out.
    pub(crate) fn first_token(&mut self) {
        let elapsed = self.elapsed_us();
        self.record.first_token_us.get_or_insert(elapsed);
    }

    /// Notes a failure; the record is written by [`Settle::complete`].
    pub(crate) fn failure(&mut self, error: &GatewayError) {
        self.record.error = Some(error.kind.label().to_owned());
        self.record.error_message = Some(error.public.message.chars().take(2_000).collect());
    }

    /// Writes the record. Only the first call does anything. For strict keys it tells when the record is on disk.
    pub(crate) fn complete(&mut self, state: RequestState, status: u16) -> Option<Durable> {
        if std::mem::replace(&mut self.done, true) {
            return None;
        }
        self.record.state = state;
        self.record.status = status;
        self.record.duration_us = self.elapsed_us();
        self.record.overhead_us = own_us(&self.record);
        if let (Some(channel), Some(model), Some(usage)) =
            (&self.record.channel, &self.record.upstream_model, &self.record.usage)
        {
            let tokens = usage.input.unwrap_or_default().saturating_add(usage.output.unwrap_or_default());
            outcome::used(&self.services, channel, model, tokens);
        }
        self.money.sum_up(&mut self.record);
        self.price();
        clip(&mut self.record);
        self.services.flights.end(&self.flight);
        if let Some(capture) = self.capture.take() {
            capture.end(&self.record.id, self.record.started, state);
        }
        let (charges, budgets) = self.quota.settle(&self.services, &self.record);
        self.record.budgets = budgets;
        outcome::over(&self.services, &self.record);
        let record = std::mem::take(&mut *self.record);
        if let Some(flight) = self.told.take() {
            flight.recorded(record.clone());
        }
        self.services.record(record, charges, self.strict)
    }

    /// Writes the record; for strict keys it is on disk when this returns. Store trouble never stops traffic: it is shown elsewhere.
    pub(crate) async fn complete_durably(&mut self, state: RequestState, status: u16) {
        if let Some(durable) = self.complete(state, status) {
            drop(durable.await);
        }
    }
}

impl Contest {
    /// A record for one of those who look.
    pub(crate) fn entrant(&self, side: Side) -> Settle {
        Settle {
            services: self.settle.services.clone(),
            record: self.settle.record.clone(),
            begun_us: self.settle.begun_us,
            strict: self.settle.strict,
            attempt_open: false,
            flight: self.settle.flight.clone(),
            capture: None,
            money: Money::default(),
            quota: self.settle.quota.entrant(),
            done: false,
            told: None,
            aside: Some(self.aside.clone()),
            side,
            conversation: self.settle.conversation,
        }
    }

    /// This one has the answer: what it noted counts. All others must be gone by now; what they used is paid all the same.
    pub(crate) fn won(self, winner: Settle) -> Settle {
        self.taken_over(winner, true)
    }

    /// This one was the last of those who gave the answer together: `usage` is what all of them used.
    pub(crate) fn merged(self, last: Settle, usage: Option<Usage>) -> Settle {
        let mut settle = self.taken_over(last, false);
        settle.record.usage = usage;
        settle
    }

    /// Nobody has it: what the last one noted counts.
    pub(crate) fn lost(self, last: Settle) -> Settle {
        self.taken_over(last, true)
    }

    fn taken_over(mut self, mut from: Settle, others_are_paid: bool) -> Settle {
        // Its own tries come last, as an open one must.
        let beside = self.take_aside();
        let before = beside.len();
        self.settle.quota.absorb(std::mem::take(&mut from.quota));
        let own = std::mem::take(&mut from.record.attempts);
        std::mem::swap(&mut self.settle.record, &mut from.record);
        std::mem::swap(&mut self.settle.money, &mut from.money);
        self.settle.attempt_open = std::mem::take(&mut from.attempt_open);
        self.settle.money.shift(before);
        let mut paid = Vec::new();
        for (index, (attempt, used)) in beside.into_iter().enumerate() {
            self.settle.record.attempts.insert(index, attempt);
            paid.extend(used.map(|(usage, quote)| (index, usage, quote)));
        }
        self.settle.record.attempts.extend(own);
        for (index, usage, quote) in paid.into_iter().filter(|_| others_are_paid) {
            self.settle.money.lose(&mut self.settle.record, index, usage, quote);
        }
        drop(from);
        self.finished()
    }

    fn take_aside(&mut self) -> Vec<Beside> {
        let left = std::mem::take(&mut *self.aside.lock().unwrap_or_else(PoisonError::into_inner));
        self.settle.quota.absorb(left.quota);
        let mut attempts = left.attempts;
        attempts.sort_by_key(|(attempt, _)| attempt.offset_us);
        attempts
    }

    fn finished(mut self) -> Settle {
        self.settle.replace_by_hollow()
    }
}

impl Drop for Contest {
    /// The client left while they looked.
    fn drop(&mut self) {
        if !self.settle.done {
            for (attempt, used) in self.take_aside() {
                let index = self.settle.record.attempts.len();
                self.settle.record.attempts.push(attempt);
                if let Some((usage, quote)) = used {
                    self.settle.money.lose(&mut self.settle.record, index, usage, quote);
                }
            }
        }
    }
}

/// Callers and providers may write what they like into names and paths; a record stays small all the same.
fn clip(record: &mut RequestRecord) {
    let RequestRecord { path, model, session, upstream_model, finish, losses, attempts, .. } = record;
    let maybe = [session, upstream_model, finish].into_iter().flatten();
    let attempts = attempts.iter_mut().map(|attempt| &mut attempt.upstream_model);
    for text in [path, model].into_iter().chain(maybe).chain(losses).chain(attempts) {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        if let Some(aside) = self.aside.take() {
            self.end_attempt(End::Canceled);
            let used = self.record.usage.take().filter(|usage| !usage.is_unknown());
            let mut own: Vec<Beside> = Vec::new();
            for (index, attempt) in std::mem::take(&mut self.record.attempts).into_iter().enumerate() {
                let lost = attempt.usage.clone().zip(self.money.lost_at(index));
                own.push((attempt, lost));
            }
            if let (Some(usage), Some((_, last))) = (used, own.last_mut()) {
                *last = Some((usage, self.money.quote()));
            }
            let sent = own.iter().any(|(attempt, _)| quota::was_sent(attempt));
            self.quota.attempt_failed(&self.services, sent);
            let mut left = aside.lock().unwrap_or_else(PoisonError::into_inner);
            left.attempts.append(&mut own);
            left.quota.absorb(std::mem::take(&mut self.quota));
            self.done = true;
        }
        if !self.done && std::thread::panicking() {
            let fault = GatewayError::new(Kind::Internal, "a fault of the gateway ended the request");
            self.failure(&fault);
            self.end_attempt(End::Failed(&fault));
            self.complete(RequestState::Failed, 500);
        } else if !self.done {
            if self.flight.is_stopped() {
                self.record.error_message = Some(STOPPED.to_owned());
            }
            self.end_attempt(End::Canceled);
            // 499 is the customary status of a request whose client left.
            let status = if self.record.status == 0 { 499 } else { self.record.status };
            self.complete(RequestState::Canceled, status);
        }
    }
}

fn reason_word(reason: &FinishReason) -> &str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::StopSequence => "stop_sequence",
        FinishReason::Length => "length",
        FinishReason::ContextLength => "context_length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Refusal => "refusal",
        FinishReason::Pause => "pause",
        FinishReason::Error => "error",
        FinishReason::Other(word) => word,
    }
}

/// Microseconds of the whole before the first deployment was asked and after the last one was done. Pauses between two tries are nobody's work.
fn own_us(record: &RequestRecord) -> u64 {
    let asked = |attempt: &AttemptRecord| attempt.offset_us;
    let done = |attempt: &AttemptRecord| attempt.offset_us.saturating_add(attempt.duration_us);
    let begun = record.attempts.iter().map(asked).min().unwrap_or(0);
    let over = record.attempts.iter().map(done).max().unwrap_or(0);
    record.duration_us.saturating_sub(over.saturating_sub(begun))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_time_is_what_is_before_the_first_deployment_and_after_the_last() {
        let attempt = |offset_us, duration_us| AttemptRecord { offset_us, duration_us, ..AttemptRecord::default() };
        let record = |attempts| RequestRecord { duration_us: 1_000, attempts, ..RequestRecord::default() };
        assert_eq!(own_us(&record(vec![attempt(30, 950)])), 50);
        assert_eq!(
            own_us(&record(vec![attempt(30, 100), attempt(500, 400)])),
            130,
            "the pause between is not its work"
        );
        assert_eq!(own_us(&record(vec![attempt(30, 900), attempt(200, 100)])), 100, "one ran beside the other");
        assert_eq!(own_us(&record(Vec::new())), 1_000, "nobody was asked");
    }
}
