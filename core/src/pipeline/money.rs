//! What is known of a request's money while it runs: whose price holds, what attempts used in vain, what a broken stream did not come to tell.
//!
//! The one path for whole answers, streams, clients that leave, retries, hedges, races and cache hits. The arithmetic is [`pricing::settle`]'s.

use std::sync::Arc;

use myelin_protocol::ir::Usage;

use crate::model::{AttemptOutcome, RequestRecord, decimal};
use crate::pricing::{self, Quote};

/// 10⁹: dollars to nanodollars.
const NANO: u64 = 1_000_000_000;
/// Bytes of a request's body to a token, where nobody counted.
const BYTES_A_TOKEN: u64 = 4;
/// The longest prompt that is guessed from bytes: larger bodies hold files.
const MOST_GUESSED: u64 = 200_000;

/// What is known of the money of one request while it runs.
#[derive(Debug, Default)]
pub(super) struct Money {
    /// The price of the deployment that is asked now, or was asked last.
    quote: Option<Arc<Quote>>,
    /// What the head of its answer says that it cost.
    told: Option<String>,
    /// Prices of attempts whose own usage is known, by their place in the record.
    lost: Vec<(usize, Arc<Quote>)>,
    /// Some counters are guesses.
    estimated: bool,
}

impl Money {
    /// Another deployment is asked. What the one before used in vain stays with its attempt; a part of the answer stays with the answer.
    pub(super) fn attempt(&mut self, record: &mut RequestRecord, quote: Option<Arc<Quote>>) {
        let answered = record.attempts.iter().any(|last| last.outcome == AttemptOutcome::Answered);
        let used = if answered { None } else { record.usage.take().filter(|usage| !usage.is_unknown()) };
        if let (Some(usage), Some(index)) = (used, record.attempts.len().checked_sub(1)) {
            let before = self.quote.take().unwrap_or_default();
            self.lose(record, index, usage, before);
        }
        self.told = None;
        // A part of an answer that was guessed stays so.
        self.estimated &= record.attempts.iter().any(|last| last.outcome == AttemptOutcome::Interrupted);
        self.quote = quote;
    }

    /// What the open attempt is thought to have come to, in nanodollars.
    pub(super) fn worth(&self, record: &RequestRecord) -> u64 {
        let usage = record.usage.as_ref();
        let tokens = |pick: fn(&Usage) -> Option<u64>| usage.and_then(pick).unwrap_or(0);
        let quote = self.quote.as_ref();
        let worth =
            quote.and_then(|quote| quote.estimate(tokens(|one| one.input), tokens(|one| one.output), record.started));
        worth.map_or(0, |worth| u64::try_from(worth.0).unwrap_or(0))
    }

    /// Several attempts gave the answer one after the other: each keeps what it used, and the record says what all of them did.
    pub(super) fn sum_up(&mut self, record: &mut RequestRecord) {
        if !record.attempts.iter().any(|attempt| attempt.resumed) {
            return;
        }
        let last = record.attempts.len() - 1;
        if let Some(mut usage) = record.usage.take().filter(|usage| !usage.is_unknown()) {
            if let Some(told) = self.told.take() {
                usage.cost_usd.get_or_insert(told);
            }
            let quote = self.quote();
            self.lose(record, last, usage, quote);
        }
        for attempt in &record.attempts {
            let gave = matches!(
                attempt.outcome,
                AttemptOutcome::Interrupted | AttemptOutcome::Answered | AttemptOutcome::Canceled
            );
            let Some(usage) = attempt.usage.as_ref().filter(|_| gave) else { continue };
            match &mut record.usage {
                Some(sum) => sum.add(usage),
                none => *none = Some(usage.clone()),
            }
        }
    }

    /// An attempt that does not answer has used this: it is paid all the same.
    pub(super) fn lose(&mut self, record: &mut RequestRecord, index: usize, usage: Usage, quote: Arc<Quote>) {
        if let Some(attempt) = record.attempts.get_mut(index) {
            attempt.usage = Some(usage);
            self.lost.retain(|(known, _)| *known != index);
            self.lost.push((index, quote));
        }
    }

    /// So many attempts of others come before those that are known here.
    pub(super) fn shift(&mut self, by: usize) {
        self.lost.iter_mut().for_each(|(index, _)| *index += by);
    }

    /// The price of the deployment that was asked last.
    pub(super) fn quote(&self) -> Arc<Quote> {
        self.quote.clone().unwrap_or_default()
    }

    /// The price of an attempt whose own usage is known.
    pub(super) fn lost_at(&self, index: usize) -> Option<Arc<Quote>> {
        self.lost.iter().find(|(known, _)| *known == index).map(|(_, quote)| quote.clone())
    }

    /// The head of the answer says what it cost. Gateways write zero where they have no price: that tells nothing.
    pub(super) fn told(&mut self, dollars: &str) {
        self.told = decimal(dollars, NANO).filter(|nano| *nano > 0).map(|_| dollars.to_owned());
    }

    /// Fills in what the provider did not come to tell, because the stream broke off: the answer so far, and the body that was sent. What it did tell
    /// stays, unless more than that was already seen.
    pub(super) fn estimate(&mut self, record: &mut RequestRecord, prompt: Option<u64>, written: u64) {
        let usage = record.usage.get_or_insert_default();
        if !usage.is_unknown() && usage.input.is_none() && usage.output.is_none() {
            // It is billed by something else than tokens.
            return;
        }
        if usage.output.is_none_or(|output| output < written) {
            usage.output = Some(written);
            self.estimated = true;
        }
        if usage.input.is_none() {
            let from_bytes = || record.bytes_in.div_ceil(BYTES_A_TOKEN).min(MOST_GUESSED);
            usage.input = Some(prompt.unwrap_or_else(from_bytes));
            self.estimated = true;
        }
    }

    /// Writes cost, source and price into the record. May be called again when more is known; the last one counts.
    pub(super) fn settle(&self, record: &mut RequestRecord) {
        if let (Some(usage), Some(told)) = (&mut record.usage, &self.told) {
            usage.cost_usd.get_or_insert_with(|| told.clone());
        }
        pricing::settle(record, self.quote.as_deref(), &self.lost, self.estimated);
    }
}
