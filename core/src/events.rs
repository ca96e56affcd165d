//! What the owner should hear of: a budget that runs out, a limit that refuses, and whatever else deserves a notice.
//!
//! A short memory of events in the order in which they happened; who follows asks after a position and waits. Must not know who tells nor who listens.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::model::Told;

/// Events that are remembered.
const REMEMBERED: usize = 512;

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// Somebody should look at it soon.
    Warning,
    /// Something does not work.
    Error,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Position: rises by one with each event. Begins anew when the gateway starts.
    pub id: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    /// How much it matters.
    pub level: Level,
    /// What kind of event: `limit-mark`, `limit-reached`, `spend-spike`, `profile-switched`, `profile-changed`, `channel-state`, `channel-added`,
    /// `channel-removed`, `breaker-open`, `breaker-closed`, `key-held`, `key-released`, `store-failing`, `store-works`, `records-lost` …
    pub kind: String,
    /// What it is about: the name of a limit, a channel …
    pub subject: String,
    /// Which sentence the message is: one code for one text, such as `event-profile-switched`.
    #[schema(value_type = String)]
    #[serde(default)]
    pub code: Cow<'static, str>,
    /// For people.
    pub message: String,
    /// What stands in the message, by name.
    #[schema(value_type = BTreeMap<String, String>)]
    #[serde(default)]
    pub values: BTreeMap<Cow<'static, str>, String>,
    /// Details by name.
    #[schema(value_type = Object)]
    pub data: serde_json::Map<String, serde_json::Value>,
}

impl Event {
    /// Something that happens at `at`. The position is given by whoever tells it.
    pub fn new(at: u64, level: Level, kind: impl Into<String>, subject: impl Into<String>, told: Told) -> Self {
        let (kind, subject, Told { code, words: message, values }) = (kind.into(), subject.into(), told);
        Self { id: 0, at, level, kind, subject, code, message, values, data: serde_json::Map::new() }
    }

    /// The same with a detail; one that is `null` is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            self.data.insert(name.to_owned(), value);
        }
        self
    }
}

/// What came since a position.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Heard {
    /// Events in the order in which they happened.
    pub events: Vec<Arc<Event>>,
    /// Position to ask from next time.
    pub next: u64,
    /// Some that came in between are no longer remembered.
    pub gap: bool,
}

/// The events of the last while.
#[derive(Debug)]
pub struct Events {
    ring: Mutex<VecDeque<Arc<Event>>>,
    last: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self { ring: Mutex::default(), last: watch::Sender::new(0) }
    }
}

impl Events {
    /// Something happened: it is logged, remembered and told. The position is given here.
    pub fn tell(&self, mut event: Event) {
        let Event { level, kind, subject, message, .. } = &event;
        match level {
            Level::Info => tracing::info!(kind, subject, "{message}"),
            Level::Warning => tracing::warn!(kind, subject, "{message}"),
            Level::Error => tracing::error!(kind, subject, "{message}"),
        }
        let mut ring = self.ring();
        event.id = ring.back().map_or(0, |last| last.id) + 1;
        let id = event.id;
        ring.push_back(Arc::new(event));
        if ring.len() > REMEMBERED {
            ring.pop_front();
        }
        drop(ring);
        self.last.send_replace(id);
    }

    /// The position of the newest event.
    pub fn position(&self) -> u64 {
        self.ring().back().map_or(0, |last| last.id)
    }

    /// What came after a position; empty if nothing did.
    pub fn after(&self, position: u64, limit: usize) -> Heard {
        let ring = self.ring();
        let first = ring.front().map_or(0, |event| event.id);
        // A position from before a restart is beyond all that is here.
        let lost_place = position > ring.back().map_or(0, |event| event.id);
        let position = if lost_place { 0 } else { position };
        let events: Vec<_> = ring.iter().filter(|event| event.id > position).take(limit).cloned().collect();
        let next = events.last().map_or(position, |event| event.id);
        Heard { gap: lost_place || (first > 0 && position + 1 < first), events, next }
    }

    /// Waits until something came after a position. Cancel it with a timeout of your own.
    pub async fn wait(&self, position: u64) {
        let mut last = self.last.subscribe();
        // An error: nobody can tell anything any more.
        let _ = last.wait_for(|last| *last != position).await;
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<Arc<Event>>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(subject: &str) -> Event {
        Event::new(1, Level::Info, "test", subject, crate::told!("test", "{subject} came", subject = subject))
    }

    fn subjects(heard: &Heard) -> Vec<&str> {
        heard.events.iter().map(|event| event.subject.as_str()).collect()
    }

    #[tokio::test]
    async fn who_follows_hears_everything_once() {
        let events = Arc::new(Events::default());
        assert_eq!(events.after(0, 10), Heard::default());
        let waiting = tokio::spawn({
            let events = Arc::clone(&events);
            async move { events.wait(0).await }
        });
        tokio::task::yield_now().await;
        events.tell(event("a"));
        waiting.await.unwrap();
        events.tell(event("b"));
        events.tell(event("c"));
        let first = events.after(0, 2);
        assert_eq!((subjects(&first), first.next, first.gap), (vec!["a", "b"], 2, false));
        assert_eq!(subjects(&events.after(first.next, 2)), ["c"]);
        assert_eq!(events.position(), 3);
    }

    #[test]
    fn who_fell_behind_or_saw_another_life_is_told() {
        let events = Events::default();
        for n in 0..REMEMBERED + 5 {
            events.tell(event(&n.to_string()));
        }
        assert!(events.after(0, 1).gap && !events.after(5, 1).gap);
        assert!(events.after(1_000_000, 1).gap);
    }
}
