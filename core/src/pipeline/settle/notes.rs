//! What a record says of a request: losses, counters, why it ended, what failed. Must not know when it is written.

use myelin_protocol::ir::{FinishReason, Loss, Usage};

use super::Settle;
use crate::error::GatewayError;
use crate::model::{AttemptRecord, RequestRecord};

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

impl Settle {
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

    /// Notes a failure; the record is written by [`Settle::complete`].
    pub(crate) fn failure(&mut self, error: &GatewayError) {
        self.record.error = Some(error.kind.label().to_owned());
        self.record.error_message = Some(error.public.message.chars().take(2_000).collect());
    }
}

/// Callers and providers may write what they like into names and paths; a record stays small all the same.
pub(super) fn clip(record: &mut RequestRecord) {
    let RequestRecord { path, model, session, upstream_model, finish, losses, attempts, .. } = record;
    let maybe = [session, upstream_model, finish].into_iter().flatten();
    let attempts = attempts.iter_mut().map(|attempt| &mut attempt.upstream_model);
    for text in [path, model].into_iter().chain(maybe).chain(losses).chain(attempts) {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
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
pub(super) fn own_us(record: &RequestRecord) -> u64 {
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
