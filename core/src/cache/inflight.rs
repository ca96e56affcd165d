//! One call to a provider whose answer goes to everybody who asked the same while it was on the way.
//!
//! The call runs in a task of its own: whoever came first may leave without taking the answer from the others. When the last reader leaves, the task is
//! stopped, and with it the call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::task::AbortHandle;

use crate::model::RequestRecord;
use crate::store::AnswerKey;

/// Calls under way, by what they ask.
#[derive(Debug, Default)]
pub struct Flights(Arc<Mutex<HashMap<AnswerKey, Weak<Flight>>>>);

/// Where a caller sits.
#[derive(Debug)]
pub enum Seat {
    /// The call is the caller's to make: the answer goes into the flight, and the caller reads it like all others.
    Leader(Arc<Flight>, Reader),
    /// Somebody makes the call already.
    Follower(Reader),
}

/// A call under way.
#[derive(Debug)]
pub struct Flight {
    record: OnceLock<RequestRecord>,
    key: AnswerKey,
    flights: Arc<Mutex<HashMap<AnswerKey, Weak<Flight>>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    head: Option<(StatusCode, HeaderMap)>,
    /// Bytes of the whole answer, where they are known from the start.
    length: Option<u64>,
    chunks: Vec<Bytes>,
    /// Bytes of all chunks.
    pushed: u64,
    over: bool,
    /// It ended without its end.
    broken: bool,
    readers: usize,
    waiting: Vec<Waker>,
    task: Option<AbortHandle>,
}

impl State {
    /// Bytes of the answer that lie behind so many, where its length is known.
    fn left(&self, read: u64) -> Option<u64> {
        self.length.map(|length| length.saturating_sub(read))
    }
}

/// Reads a flight's answer from its beginning.
#[derive(Debug)]
pub struct Reader {
    flight: Arc<Flight>,
    at: usize,
    /// Bytes of the pieces before that: asked for with every piece, so they are not summed up anew.
    read: u64,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// The next bytes.
    Bytes(Bytes),
    /// That was all.
    End,
    /// The call ended without its end.
    Broken,
}

impl Flights {
    /// Joins the call for `key`, or begins one.
    pub fn join(&self, key: AnswerKey) -> Seat {
        let mut flights = lock(&self.0);
        if let Some(flight) = flights.get(&key).and_then(Weak::upgrade)
            && let Some(reader) = flight.reader()
        {
            return Seat::Follower(reader);
        }
        let flight = Flight::begin(key, self.0.clone());
        flights.insert(key, Arc::downgrade(&flight));
        Seat::Leader(flight.clone(), Reader { flight, at: 0, read: 0 })
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Flight {
    fn begin(key: AnswerKey, flights: Arc<Mutex<HashMap<AnswerKey, Weak<Flight>>>>) -> Arc<Self> {
        let state = Mutex::new(State { readers: 1, ..State::default() });
        Arc::new(Self { record: OnceLock::new(), key, flights, state })
    }

    /// A call that nobody may join.
    pub fn alone() -> Seat {
        let flight = Self::begin(AnswerKey::default(), Arc::default());
        Seat::Leader(flight.clone(), Reader { flight, at: 0, read: 0 })
    }

    /// The record of the request that makes the call is written.
    pub fn recorded(&self, record: RequestRecord) {
        drop(self.record.set(record));
    }

    /// That record, once it is written.
    pub fn record(&self) -> Option<&RequestRecord> {
        self.record.get()
    }

    /// One more reader; `None`: all have left and the call is being stopped.
    fn reader(self: &Arc<Self>) -> Option<Reader> {
        let mut state = lock(&self.state);
        if state.readers == 0 {
            return None;
        }
        state.readers += 1;
        Some(Reader { flight: self.clone(), at: 0, read: 0 })
    }

    /// The task that makes the call: stopped when nobody reads any more.
    pub fn made_by(&self, task: AbortHandle) {
        let mut state = lock(&self.state);
        if state.readers == 0 && !state.over {
            task.abort();
        }
        state.task = Some(task);
    }

    /// The head of the answer is known, and perhaps how many bytes will follow.
    pub fn head(&self, status: StatusCode, headers: HeaderMap, length: Option<u64>) {
        self.change(|state| {
            state.head = Some((status, headers));
            state.length = length;
        });
    }

    /// More of the answer.
    pub fn push(&self, bytes: Bytes) {
        self.change(|state| {
            state.pushed += bytes.len() as u64;
            state.chunks.push(bytes);
        });
    }

    /// The answer is whole, or it never will be. From now on a new call is made for the same question.
    pub fn end(&self, whole: bool) {
        self.leave_table();
        self.change(|state| {
            state.over = true;
            state.broken = !whole;
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = lock(&self.state);
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    fn leave_table(&self) {
        let mut flights = lock(&self.flights);
        // Only if the place is ours: another call may have taken it.
        let ours = flights.get(&self.key).is_some_and(|flight| std::ptr::eq(flight.as_ptr(), self));
        if ours {
            flights.remove(&self.key);
        }
    }
}

impl Reader {
    /// Waits for the head; `None`: the call ended without one.
    pub async fn head(&self) -> Option<(StatusCode, HeaderMap)> {
        std::future::poll_fn(|cx| {
            let mut state = lock(&self.flight.state);
            match (&state.head, state.over) {
                (Some(head), _) => Poll::Ready(Some(head.clone())),
                (None, true) => Poll::Ready(None),
                (None, false) => {
                    state.waiting.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Bytes that are still to be read, where that is known.
    pub fn left(&self) -> Option<u64> {
        lock(&self.flight.state).left(self.read)
    }

    /// The record of the request that makes the call, once it is written.
    pub fn record(&self) -> Option<&RequestRecord> {
        self.flight.record()
    }

    /// The next piece.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        let mut state = lock(&self.flight.state);
        if let Some(bytes) = state.chunks.get(self.at) {
            self.at += 1;
            self.read += bytes.len() as u64;
            return Poll::Ready(Piece::Bytes(bytes.clone()));
        }
        match (state.over, state.broken) {
            (true, true) => Poll::Ready(Piece::Broken),
            (true, false) => Poll::Ready(Piece::End),
            _ => {
                state.waiting.push(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let task = {
            let mut state = lock(&self.flight.state);
            state.readers = state.readers.saturating_sub(1);
            // Who was told how long the answer is leaves with its last byte: what is kept of it is still to be kept.
            let whole = state.left(state.pushed) == Some(0);
            if state.readers > 0 || state.over || whole { None } else { state.task.take() }
        };
        if let Some(task) = task {
            self.flight.leave_table();
            task.abort();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut reader: Reader) -> (String, bool) {
        let mut text = String::new();
        loop {
            match std::future::poll_fn(|cx| reader.poll(cx)).await {
                Piece::Bytes(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
                Piece::End => return (text, true),
                Piece::Broken => return (text, false),
            }
        }
    }

    #[tokio::test]
    async fn followers_get_the_whole_answer_whenever_they_come() {
        let flights = Flights::default();
        let Seat::Leader(flight, leader) = flights.join([1; 32]) else { panic!("the first one leads") };
        flight.push(Bytes::from_static(b"one "));
        let Seat::Follower(follower) = flights.join([1; 32]) else { panic!("the second one follows") };
        assert!(matches!(flights.join([2; 32]), Seat::Leader(..)), "another question is another call");
        let reading = tokio::spawn(all(follower));
        drop(leader);
        tokio::task::yield_now().await;
        flight.head(StatusCode::OK, HeaderMap::new(), None);
        flight.push(Bytes::from_static(b"two"));
        flight.end(true);
        assert_eq!(reading.await.unwrap(), ("one two".to_owned(), true));
        assert!(matches!(flights.join([1; 32]), Seat::Leader(..)), "what is over is asked anew");
    }

    #[tokio::test]
    async fn when_the_last_one_leaves_the_call_is_stopped() {
        let flights = Flights::default();
        let Seat::Leader(flight, leader) = flights.join([1; 32]) else { panic!("the first one leads") };
        let Seat::Follower(follower) = flights.join([1; 32]) else { panic!("the second one follows") };
        let task = tokio::spawn(std::future::pending::<()>());
        flight.made_by(task.abort_handle());
        drop(leader);
        tokio::task::yield_now().await;
        assert!(!task.is_finished());
        drop(follower);
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(flights.is_empty());
    }

    #[tokio::test]
    async fn how_much_is_still_to_come_is_told_where_it_is_known() {
        let Seat::Leader(flight, mut reader) = Flight::alone() else { panic!("it is alone") };
        assert_eq!(reader.left(), None);
        flight.head(StatusCode::OK, HeaderMap::new(), Some(7));
        flight.push(Bytes::from_static(b"one "));
        flight.push(Bytes::from_static(b"two"));
        assert_eq!(reader.left(), Some(7));
        std::future::poll_fn(|cx| reader.poll(cx)).await;
        assert_eq!(reader.left(), Some(3));
        // Who has read all of it leaves, and the call goes on to its end.
        let task = tokio::spawn(std::future::pending::<()>());
        flight.made_by(task.abort_handle());
        drop(reader);
        tokio::task::yield_now().await;
        assert!(!task.is_finished());
        task.abort();
    }

    #[tokio::test]
    async fn what_is_left_costs_the_same_after_many_pieces() {
        // To look at all pieces for each of them would take minutes.
        const PIECES: u64 = 200_000;
        let Seat::Leader(flight, mut reader) = Flight::alone() else { panic!("it is alone") };
        flight.head(StatusCode::OK, HeaderMap::new(), Some(PIECES));
        (0..PIECES).for_each(|_| flight.push(Bytes::from_static(b"x")));
        for read in 0..PIECES {
            assert_eq!(reader.left(), Some(PIECES - read));
            std::future::poll_fn(|cx| reader.poll(cx)).await;
        }
        assert_eq!(reader.left(), Some(0));
    }

    #[tokio::test]
    async fn a_broken_call_is_broken_for_all() {
        let flights = Flights::default();
        let Seat::Leader(flight, leader) = flights.join([1; 32]) else { panic!("the first one leads") };
        flight.push(Bytes::from_static(b"one"));
        flight.end(false);
        assert_eq!(leader.head().await, None);
        assert_eq!(all(leader).await, ("one".to_owned(), false));
    }
}
