//! Every attempt that began and ended comes by here, once, whatever surface made it and however it ended: the place to learn from it.

use std::time::Duration;

use crate::error::{GatewayError, Kind};
use crate::events::{Event, Level};
use crate::model::{AttemptOutcome, AttemptRecord, DisableRule, RequestRecord, Told};
use crate::routing::{Ended, Errand, FOR_GOOD, Failure, How, Place, Rule, Spent, Trouble};
use crate::snapshot::Snapshot;
use crate::told;

use super::Services;

/// What became of one attempt.
#[derive(Debug)]
pub(crate) struct Outcome<'a> {
    /// Whom it went to, how long it took, how it ended.
    pub attempt: &'a AttemptRecord,
    /// What was asked for.
    pub errand: Errand,
    /// The classified failure; `None` if it answered or the client left.
    pub failure: Option<&'a GatewayError>,
    /// From its beginning to the first content that went to the client, streams only.
    pub first_token: Option<Duration>,
    /// The conversation that it belongs to, where there was a choice of whom to ask.
    pub conversation: Option<u64>,
}

/// An attempt begins.
pub(crate) fn begun(services: &Services, attempt: &AttemptRecord, errand: Errand, conversation: Option<u64>) {
    let now_ms = services.clock.unix_ms();
    services.fleet.begin(&attempt.channel, &attempt.upstream_model, errand, now_ms);
    // Requests of one conversation that come close together stay together; where it answered counts in the end.
    if let Some(conversation) = conversation
        && services.fleet.affinity.find(conversation, now_ms, u64::MAX).is_none()
    {
        settle_there(services, attempt, conversation, now_ms);
    }
}

/// An attempt ended. Called from the hot path: no lock across an await, no store.
pub(crate) fn ended(services: &Services, outcome: &Outcome<'_>) {
    let Outcome { attempt, errand, failure, first_token, conversation } = outcome;
    let AttemptRecord { channel, upstream_model, credential, status, duration_us, .. } = attempt;
    let now_ms = services.clock.unix_ms();
    if attempt.outcome == AttemptOutcome::Answered {
        tracing::trace!(channel, upstream_model, duration_us, ?first_token, "attempt answered");
        if let Some(conversation) = conversation {
            settle_there(services, attempt, *conversation, now_ms);
        }
    } else {
        let kind = failure.map(|error| error.kind.label());
        tracing::debug!(channel, upstream_model, credential, status, duration_us, kind, at = now_ms, "attempt ended");
    }
    let snapshot = services.snapshot.load();
    let live = snapshot.routing.credential(channel, *credential);
    let source = failure.and_then(|error| error.source.as_ref()).map(ToString::to_string);
    let words = match (failure, &source) {
        // What callers may not read is for the owner.
        (Some(error), Some(source)) if !error.public.message.contains(source.as_str()) => {
            format!("{}: {source}", error.public.message)
        }
        (Some(error), _) => error.public.message.clone(),
        (None, _) => String::new(),
    };
    let how = how(&snapshot, outcome, &words, now_ms);
    let ended = Ended {
        channel,
        upstream: upstream_model,
        errand: *errand,
        credential: live.map(|live| &**live),
        how,
        now_ms,
        jitter: fastrand::u64(0..1_000),
    };
    for trouble in services.fleet.ended(&ended, &snapshot.settings.breaker) {
        tell(services, &trouble);
    }
}

/// So many tokens were used in the end.
pub(crate) fn used(services: &Services, channel: &str, upstream: &str, errand: Errand, tokens: u64) {
    services.fleet.used(channel, upstream, errand, tokens, services.clock.unix_ms());
}

/// Failures that are the caller's own doing, by their labels.
const OWN_FAULTS: [Kind; 6] = [
    Kind::InvalidRequest,
    Kind::UpstreamRejected,
    Kind::UnknownModel,
    Kind::Unsupported,
    Kind::TooLarge,
    Kind::NotFound,
];

/// A request is over: its key may be held back for what it does.
pub(crate) fn over(services: &Services, record: &RequestRecord) {
    let Some(key) = &record.key else { return };
    let now_ms = services.clock.unix_ms();
    let wrong = record.error.as_ref().is_some_and(|error| OWN_FAULTS.iter().any(|kind| kind.label() == error));
    let nanos = record.cost.and_then(|cost| u64::try_from(cost.0).ok()).unwrap_or_default();
    let Some(held) = services.fleet.spent(key, Spent { wrong, nanos, now_ms }) else { return };
    let name = services.snapshot.load().key_named(key).map_or_else(|| key.clone(), |entry| entry.key.name.clone());
    let told = told!("event-key-held", "the key {name} is held back: {why}", name = name, why = held.why);
    let event = Event::new(now_ms, Level::Warning, "key-held", name, told);
    services.events.tell(event.with("key", key.clone()).with("why", held.why).with("until", held.until));
}

fn settle_there(services: &Services, attempt: &AttemptRecord, conversation: u64, now_ms: u64) {
    let snapshot = services.snapshot.load();
    let Some(credential) = snapshot.routing.credential(&attempt.channel, attempt.credential) else { return };
    let deployment = services.fleet.deployment(&attempt.channel, &attempt.upstream_model, Errand::Conversation).id;
    services.fleet.affinity.put(conversation, Place { deployment, credential: credential.mark, seen_ms: now_ms });
}

/// What routing learns from an end.
fn how<'a>(snapshot: &Snapshot, outcome: &Outcome<'_>, words: &'a str, now_ms: u64) -> How<'a> {
    let attempt = outcome.attempt;
    let Some(error) = outcome.failure else {
        return match attempt.outcome {
            AttemptOutcome::Answered => How::Answered {
                first_token: outcome.first_token.map(|time| time.as_secs_f64() * 1_000.0),
                whole: attempt.duration_us as f64 / 1_000.0,
            },
            _ => How::Nothing,
        };
    };
    if matches!(error.kind, Kind::RateLimited | Kind::BudgetExceeded) {
        // A limit of ours held it back: that says nothing about who would have been asked, whatever the owner's rules look for.
        return How::Nothing;
    }
    let rule = rule(snapshot, attempt, words, now_ms);
    let failure = Failure::of(error, attempt.status).map(|failure| match outcome.errand {
        Errand::Conversation => failure,
        _ => failure.beside(error),
    });
    match (failure, rule) {
        (Some(failure), rule) => How::Failed { failure, wait: Failure::wait(error), words, rule },
        (None, Some(rule)) => How::Failed { failure: Failure::Rule, wait: None, words, rule: Some(rule) },
        (None, None) if error.kind == Kind::UpstreamRejected => How::Refused,
        (None, None) => How::Nothing,
    }
}

/// The rule of the channel that takes it out, if one fits.
fn rule(snapshot: &Snapshot, attempt: &AttemptRecord, words: &str, now_ms: u64) -> Option<Rule> {
    let line = snapshot.lines.iter().find(|line| line.channel.name() == attempt.channel)?;
    let words = words.to_lowercase();
    let fits = |rule: &&DisableRule| {
        (rule.status.is_some() || rule.text.is_some())
            && rule.status.is_none_or(|status| attempt.status == Some(status))
            && rule.text.as_ref().is_none_or(|text| words.contains(&text.to_lowercase()))
    };
    let found = line.channel.config.disable.iter().find(fits)?;
    let until = found.minutes.map_or(FOR_GOOD, |minutes| now_ms.saturating_add(minutes.saturating_mul(60_000)));
    Some(Rule { whole_channel: found.whole_channel, until })
}

/// Failures that pass by themselves, all the time: not worth a warning.
const PASSING: [Failure; 2] = [Failure::RateLimited, Failure::Overloaded];

/// Said of a breaker that does not say why it opened.
const REASON_UNKNOWN: &str = "it fails";

/// Something is out of rotation: a channel or a model of it, all of it or one credential (counted from one), for some seconds or for good.
fn out(place: &str, key: Option<u32>, reason: &str, seconds: Option<u64>) -> Told {
    match (key, seconds) {
        (None, None) => told!(
            "event-out",
            "{place} is out of rotation: {reason}; until it is reset",
            place = place,
            reason = reason,
        ),
        (None, Some(seconds)) => told!(
            "event-out-for",
            "{place} is out of rotation: {reason}; tried again in {seconds} s",
            place = place,
            reason = reason,
            seconds = seconds,
        ),
        (Some(key), None) => told!(
            "event-out-key",
            "{place}, credential {key} is out of rotation: {reason}; until it is reset",
            place = place,
            key = key,
            reason = reason,
        ),
        (Some(key), Some(seconds)) => told!(
            "event-out-key-for",
            "{place}, credential {key} is out of rotation: {reason}; tried again in {seconds} s",
            place = place,
            key = key,
            reason = reason,
            seconds = seconds,
        ),
    }
}

/// Once for each breaker that opened or closed, where that matters.
pub(crate) fn tell(services: &Services, trouble: &Trouble) {
    if !trouble.matters() {
        return;
    }
    let Trouble { channel, upstream, errand, credential, opened, view } = trouble;
    let operation = (*errand != Errand::Conversation).then(|| errand.word());
    let at = services.clock.unix_ms();
    let mut place = channel.clone();
    if let Some(upstream) = upstream {
        place.push('/');
        place.push_str(upstream);
    }
    if let Some(operation) = operation {
        place.push_str(&format!(" ({operation})"));
    }
    let key = credential.map(|credential| credential.saturating_add(1));
    let event = if *opened {
        let why = view.as_ref().map(|view| view.why);
        let passing = why.is_some_and(|why| PASSING.contains(&why));
        let until = view.as_ref().and_then(|view| view.until);
        let reason = why.map_or(REASON_UNKNOWN, Failure::words);
        let level = if passing { Level::Info } else { Level::Warning };
        let seconds = until.map(|until| until.saturating_sub(at).div_ceil(1_000));
        let event = Event::new(at, level, "breaker-open", channel, out(&place, key, reason, seconds));
        let words = view.as_ref().map(|view| view.words.clone()).filter(|words| !words.is_empty());
        let failure = why.and_then(|why| serde_json::to_value(why).ok());
        event.with("until", until).with("why", reason).with("failure", failure).with("words", words)
    } else {
        let told = match key {
            None => told!("event-back", "{place} is back in rotation", place = place),
            Some(key) => {
                told!("event-back-key", "{place}, credential {key} is back in rotation", place = place, key = key)
            }
        };
        Event::new(at, Level::Info, "breaker-closed", channel, told)
    };
    let event = event.with("channel", channel.clone()).with("model", upstream.clone());
    services.events.tell(event.with("operation", operation).with("credential", *credential));
}
