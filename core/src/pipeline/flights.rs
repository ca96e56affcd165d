//! Requests in flight: who asks what of whom, how much has come, and a way to stop one.
//!
//! A short lock at the beginning and the end of a request, atomics in between. Also counts what copies of bodies hold in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use tokio::sync::Notify;

use crate::model::RequestRecord;

/// Memory for copies of bodies of all requests in flight.
const MOST_COPIED: usize = 64 << 20;

/// Requests in flight.
#[derive(Debug, Default)]
pub struct Flights {
    open: Mutex<BTreeMap<u64, Arc<Flight>>>,
    next: AtomicU64,
    copied: AtomicUsize,
    dropped: AtomicU64,
    begun: Notify,
}

/// One request in flight.
#[derive(Debug)]
pub struct Flight {
    number: u64,
    /// Its id.
    pub id: String,
    /// Milliseconds since 1970.
    pub started: u64,
    /// The path as asked.
    pub path: String,
    facts: Mutex<FlightFacts>,
    bytes_out: AtomicU64,
    tokens_out: AtomicU64,
    stopped: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// What is known by now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlightFacts {
    /// The model that was asked for.
    pub model: String,
    /// The channel that is being asked.
    pub channel: Option<String>,
    /// Upstream's name of the model.
    pub upstream_model: Option<String>,
    /// The client's format.
    pub format: String,
    /// Id of the virtual key.
    pub key: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The profile.
    pub profile: String,
    /// Whether the client asked for a stream.
    pub stream: bool,
    /// Tries so far.
    pub attempts: u32,
    /// Bytes of the request body.
    pub bytes_in: u64,
    /// Microseconds from the beginning to the first content out.
    pub first_token_us: Option<u64>,
}

impl Flights {
    /// A request begins.
    pub(crate) fn begin(&self, record: &RequestRecord) -> Arc<Flight> {
        let flight = Arc::new(Flight {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            id: record.id.clone(),
            started: record.started,
            path: record.path.clone(),
            facts: Mutex::new(FlightFacts { format: record.format.clone(), ..FlightFacts::default() }),
            bytes_out: AtomicU64::new(0),
            tokens_out: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            waker: Mutex::new(None),
        });
        self.open().insert(flight.number, Arc::clone(&flight));
        self.begun.notify_waiters();
        flight
    }

    /// It is over.
    pub(crate) fn end(&self, flight: &Flight) {
        self.open().remove(&flight.number);
    }

    /// All of them, the oldest first.
    pub fn list(&self) -> Vec<Arc<Flight>> {
        self.open().values().cloned().collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.open().len()
    }

    /// Waits until one begins, from this call on. Cancel it with a timeout of your own.
    pub fn begun(&self) -> impl Future<Output = ()> + '_ {
        self.begun.notified()
    }

    /// Stops one; `false`: it is not in flight.
    pub fn stop(&self, id: &str) -> bool {
        let found = self.open().values().find(|flight| flight.id == id).cloned();
        found.is_some_and(|flight| {
            flight.stop();
            true
        })
    }

    /// Room for a copy of a body. `false`: there is none, the copy is not made, and that is counted.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let before = self.copied.fetch_add(bytes, Ordering::Relaxed);
        let room = before.saturating_add(bytes) <= MOST_COPIED;
        if !room {
            self.release(bytes);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        room
    }

    /// Gives room back.
    pub(super) fn release(&self, bytes: usize) {
        self.copied.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Copies of bodies that were not made because too much was in memory.
    pub fn copies_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Flight>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// What is known by now.
    pub fn facts(&self) -> FlightFacts {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes of the answer so far.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }

    /// About how many tokens the answer has so far.
    pub fn tokens_out(&self) -> u64 {
        self.tokens_out.load(Ordering::Relaxed)
    }

    /// Takes over what the record says by now.
    pub(super) fn note(&self, record: &RequestRecord) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        facts.model.clone_from(&record.model);
        facts.channel.clone_from(&record.channel);
        facts.upstream_model.clone_from(&record.upstream_model);
        facts.format.clone_from(&record.format);
        facts.key.clone_from(&record.key);
        facts.tool.clone_from(&record.tool);
        facts.profile.clone_from(&record.profile);
        facts.stream = record.stream;
        facts.attempts = u32::try_from(record.attempts.len()).unwrap_or(u32::MAX);
        facts.bytes_in = record.bytes_in;
        facts.first_token_us = record.first_token_us;
    }

    /// So much has gone to the client.
    pub(super) fn progress(&self, bytes_out: u64, tokens_out: Option<u64>) {
        self.bytes_out.store(bytes_out, Ordering::Relaxed);
        if let Some(tokens_out) = tokens_out {
            self.tokens_out.store(tokens_out, Ordering::Relaxed);
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Somebody stopped it.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// The same, and the task is woken when somebody does.
    pub(super) fn poll_stopped(&self, cx: &mut Context<'_>) -> bool {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !waker.as_ref().is_some_and(|own| own.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        // After the waker is there: a stop in between is seen either way.
        self.is_stopped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_listed_while_it_flies_and_can_be_stopped() {
        let flights = Flights::default();
        let record = RequestRecord { id: "req_1".into(), model: "m".into(), ..RequestRecord::default() };
        let flight = flights.begin(&record);
        flight.note(&record);
        assert_eq!(flights.list()[0].facts().model, "m");
        let mut cx = Context::from_waker(Waker::noop());
        assert!(!flight.poll_stopped(&mut cx));
        assert!(!flights.stop("req_2"));
        assert!(flights.stop("req_1") && flight.poll_stopped(&mut cx));
        flights.end(&flight);
        assert!(flights.list().is_empty() && !flights.stop("req_1"));
    }

    #[tokio::test]
    async fn who_waits_for_a_request_to_begin_is_woken() {
        let flights = Arc::new(Flights::default());
        let waiting = tokio::spawn({
            let flights = Arc::clone(&flights);
            async move { flights.begun().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let flight = flights.begin(&RequestRecord::default());
        waiting.await.unwrap();
        assert_eq!(flights.count(), 1);
        flights.end(&flight);
        assert_eq!(flights.count(), 0);
    }

    #[test]
    fn copies_have_a_bound_and_what_is_beyond_is_counted() {
        let flights = Flights::default();
        assert!(flights.reserve(MOST_COPIED) && !flights.reserve(1));
        flights.release(MOST_COPIED);
        assert!(flights.reserve(1));
        assert_eq!(flights.copies_dropped(), 1);
    }
}
