//! One record a request, written exactly once, however it ends.
//!
//! [`Settle`] travels with the request, at last inside the response body: when that is dropped without having been completed, the client has left.

mod bodies;
mod contest;
mod notes;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::capture::Capture;
use super::error::STOPPED;
use super::flights::Flight;
use super::money::Money;
use super::outcome::{self, Outcome};
use super::quota::{self, Quota};
use super::{Durable, Services, reply};
use crate::cache;
use crate::error::{GatewayError, Kind};
use crate::model::{AttemptOutcome, AttemptRecord, RequestRecord, RequestState};
use crate::pricing::Quote;
use crate::routing::{Errand, Probe};

use contest::Aside;
pub(super) use contest::Side;

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
    /// What the last attempt asked for.
    errand: Errand,
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
    /// What the next attempt is the only one to try; given back if none begins.
    probe: Option<Probe>,
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
            errand: Errand::default(),
            attempt_open: false,
            flight,
            capture: None,
            money: Money::default(),
            quota: Quota::default(),
            done: false,
            told: None,
            aside: None,
            side: Side::default(),
            probe: None,
        }
    }

    /// Takes it out of where it is; what stays there writes nothing.
    pub(crate) fn replace_by_hollow(&mut self) -> Self {
        let hollow = Self {
            services: self.services.clone(),
            record: Box::default(),
            begun_us: self.begun_us,
            strict: false,
            errand: self.errand,
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
            probe: None,
        };
        std::mem::replace(self, hollow)
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

    /// What the next attempt is the only one to try.
    pub(crate) fn hold(&mut self, probe: Probe) {
        self.probe = Some(probe);
    }

    /// An attempt begins, for this errand and at a deployment with this price; it stays the last one of the record until it is closed.
    pub(crate) fn open_attempt(&mut self, mut attempt: AttemptRecord, errand: Errand, quote: Option<Arc<Quote>>) {
        self.errand = errand;
        if let Some(probe) = self.probe.take() {
            probe.hand_over();
        }
        self.money.attempt(&mut self.record, quote);
        attempt.offset_us = self.elapsed_us();
        attempt.hedged = self.side.hedged;
        attempt.raced = self.side.raced;
        self.record.channel = Some(attempt.channel.clone());
        self.record.upstream_model = Some(attempt.upstream_model.clone());
        self.record.upstream_format = Some(attempt.format.clone());
        outcome::begun(&self.services, &attempt, errand, self.conversation);
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
        let (errand, conversation) = (self.errand, self.conversation);
        outcome::ended(&self.services, &Outcome { attempt, errand, failure, first_token, conversation });
    }

    /// The open attempt broke off after content, and somebody else is to go on with it: what it used is its own part of the whole.
    pub(crate) fn end_part(&mut self, error: &GatewayError) {
        self.end_attempt(End::Interrupted(Some(error)));
        let amounts = quota::used(&self.record, self.money.worth(&self.record));
        let last = self.record.attempts.len().saturating_sub(1);
        self.quota.part_over(&self.services, &amounts, last);
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

    /// The first content went out.
    pub(crate) fn first_token(&mut self) {
        let elapsed = self.elapsed_us();
        self.record.first_token_us.get_or_insert(elapsed);
    }

    /// Writes the record. Only the first call does anything. For strict keys it tells when the record is on disk.
    pub(crate) fn complete(&mut self, state: RequestState, status: u16) -> Option<Durable> {
        if std::mem::replace(&mut self.done, true) {
            return None;
        }
        self.record.state = state;
        self.record.status = status;
        self.record.duration_us = self.elapsed_us();
        self.record.overhead_us = notes::own_us(&self.record);
        if let (Some(channel), Some(model), Some(usage)) =
            (&self.record.channel, &self.record.upstream_model, &self.record.usage)
        {
            let tokens = usage.input.unwrap_or_default().saturating_add(usage.output.unwrap_or_default());
            outcome::used(&self.services, channel, model, self.errand, tokens);
        }
        self.money.sum_up(&mut self.record);
        self.price();
        notes::clip(&mut self.record);
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

impl Drop for Settle {
    fn drop(&mut self) {
        self.step_aside();
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
