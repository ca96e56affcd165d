//! The response body of the product: nothing, one piece, or a stream that settles its own request.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use super::fault::caught;
use super::settle::Settle;
use super::stream::StreamReply;
use crate::cache::{Piece, Reader};
use crate::model::{CacheOutcome, CostSource, NanoUsd, RequestRecord, RequestState, push_number};

/// A response body.
pub enum ReplyBody {
    /// Nothing (left).
    Empty,
    /// One piece, known whole.
    Whole(Bytes),
    /// A stream in the client's format.
    Stream(Box<StreamReply>),
    /// A stream that is all there already, event by event.
    Frames(VecDeque<Bytes>),
    /// An answer that several callers share.
    Shared(Box<SharedBody>),
}

/// An answer that several callers share, as one of them reads it.
pub struct SharedBody {
    reader: Reader,
    /// The record of a request that shares another's call; the other has its own.
    settle: Option<Settle>,
}

impl SharedBody {
    /// For the request that makes the call.
    pub(crate) fn leading(reader: Reader) -> Self {
        Self { reader, settle: None }
    }

    /// For a request that shares it.
    pub(crate) fn following(reader: Reader, settle: Settle) -> Self {
        let mut own = Self { reader, settle: Some(settle) };
        own.finish_if_read();
        own
    }

    /// Whether nothing more comes. Who was told how long the answer is reads no further, not even to its end.
    fn is_read(&self) -> bool {
        self.reader.left() == Some(0)
    }

    fn finish_if_read(&mut self) {
        if self.is_read() {
            self.finish();
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        let piece = ready!(self.reader.poll(cx));
        if let Piece::Bytes(bytes) = &piece {
            if let Some(settle) = &mut self.settle {
                settle.record_mut().bytes_out += bytes.len() as u64;
                if settle.record().stream {
                    settle.first_token();
                }
            }
            self.finish_if_read();
        } else {
            self.finish();
        }
        Poll::Ready(piece)
    }

    /// Writes the record of a request that shared another's call.
    fn finish(&mut self) {
        let Some(mut settle) = self.settle.take() else { return };
        let made = self.reader.record();
        let record = settle.record_mut();
        // It cost nothing: the other request paid.
        record.cost = Some(NanoUsd(0));
        record.cost_source = Some(CostSource::Free);
        if let Some(made) = made {
            record.saved = made.cost;
            record.finish.clone_from(&made.finish);
            record.error.clone_from(&made.error);
            record.error_message.clone_from(&made.error_message);
        }
        let state = made.map_or(RequestState::Interrupted, |made| made.state);
        let status = settle.record().status;
        settle.complete(state, status);
    }
}

/// A stream ended before its time, by a fault of ours or in a form that has no word for it: the connection breaks off, so that nobody takes what came for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the stream ended before its time")]
pub struct Broken;

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            ReplyBody::Empty => Poll::Ready(None),
            ReplyBody::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = ReplyBody::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            ReplyBody::Frames(frames) => Poll::Ready(frames.pop_front().map(|bytes| Ok(Frame::data(bytes)))),
            ReplyBody::Shared(shared) => match ready!(shared.poll_piece(cx)) {
                Piece::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Piece::End => {
                    *self = ReplyBody::Empty;
                    Poll::Ready(None)
                }
                Piece::Broken => {
                    *self = ReplyBody::Empty;
                    Poll::Ready(Some(Err(Broken)))
                }
            },
            ReplyBody::Stream(stream) => match caught(|| stream.poll_chunk(cx)) {
                Some(Poll::Ready(None)) if stream.is_cut() => {
                    *self = ReplyBody::Empty;
                    Poll::Ready(Some(Err(Broken)))
                }
                Some(poll) => poll.map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk)))),
                None => {
                    stream.broke();
                    *self = ReplyBody::Empty;
                    Poll::Ready(Some(Err(Broken)))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Empty => true,
            ReplyBody::Whole(bytes) => bytes.is_empty(),
            ReplyBody::Frames(frames) => frames.is_empty(),
            ReplyBody::Shared(shared) => shared.is_read(),
            ReplyBody::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Empty => SizeHint::with_exact(0),
            ReplyBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ReplyBody::Shared(shared) => shared.reader.left().map(SizeHint::with_exact).unwrap_or_default(),
            ReplyBody::Frames(_) | ReplyBody::Stream(_) => SizeHint::default(),
        }
    }
}

/// Tells how a request fared with the cache.
pub(crate) static CACHE_HEADER: HeaderName = HeaderName::from_static("x-myelin-cache");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static PROFILE: HeaderName = HeaderName::from_static("x-myelin-profile");
static CHANNEL: HeaderName = HeaderName::from_static("x-myelin-channel");
static MODEL: HeaderName = HeaderName::from_static("x-myelin-model");
static ATTEMPTS: HeaderName = HeaderName::from_static("x-myelin-attempts");
static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
static COST: HeaderName = HeaderName::from_static("x-myelin-cost");
static LOSS: HeaderName = HeaderName::from_static("x-myelin-loss");

/// Headers of another's answer that say nothing of a request that shares it.
pub(super) static OWN: [&HeaderName; 5] = [&REQUEST_ID, &ATTEMPTS, &SERVER_TIMING, &COST, &CACHE_HEADER];

/// A response of the product.
pub type Reply = http::Response<ReplyBody>;

/// Writes values into a head. Those that a header cannot carry are left out.
pub(super) struct Lines<'h> {
    headers: &'h mut HeaderMap,
    text: String,
}

impl<'h> Lines<'h> {
    pub(super) fn of(headers: &'h mut HeaderMap) -> Self {
        Self { headers, text: String::with_capacity(LONG) }
    }

    pub(super) fn put(&mut self, name: &HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }

    pub(super) fn number(&mut self, name: &HeaderName, value: u64) {
        self.headers.insert(name, HeaderValue::from(value));
    }

    /// Writes what `write` makes.
    pub(super) fn write(&mut self, name: &HeaderName, write: impl FnOnce(&mut String)) {
        self.text.clear();
        write(&mut self.text);
        if let Ok(value) = HeaderValue::from_str(&self.text) {
            self.headers.insert(name, value);
        }
    }
}

/// How many headers an answer has, about: room for them is made at once.
const USUAL: usize = 24;
/// Most values are shorter.
const LONG: usize = 64;

/// Writes what a caller may know of its request into the head: id, channel, model, profile, attempts, losses, time.
pub(crate) fn describe(headers: &mut HeaderMap, record: &RequestRecord) {
    headers.reserve(USUAL);
    let mut lines = Lines::of(headers);
    lines.put(&REQUEST_ID, &record.id);
    match record.cache {
        CacheOutcome::Hit => lines.put(&CACHE_HEADER, "hit"),
        CacheOutcome::Miss => lines.put(&CACHE_HEADER, "miss"),
        CacheOutcome::Shared => lines.put(&CACHE_HEADER, "shared"),
        _ => {}
    }
    if !record.profile.is_empty() {
        lines.put(&PROFILE, &record.profile);
    }
    if let Some(channel) = &record.channel {
        lines.put(&CHANNEL, channel);
    }
    if let Some(model) = &record.upstream_model {
        lines.put(&MODEL, model);
    }
    if let Some(first) = record.attempts.first() {
        lines.number(&ATTEMPTS, record.attempts.len() as u64);
        let upstream: u64 = record.attempts.iter().map(|attempt| attempt.duration_us).sum();
        let before = first.offset_us;
        lines.write(&SERVER_TIMING, |out| {
            out.push_str("myelin;dur=");
            push_ms(out, before);
            out.push_str(", upstream;dur=");
            push_ms(out, upstream);
        });
    }
    // A stream's head goes out before anybody knows.
    if let Some(cost) = record.cost.filter(|_| !record.stream) {
        lines.write(&COST, |out| cost.push_to(out));
    }
    if !record.losses.is_empty() {
        // Field names may be anything that a client wrote; a header carries visible ASCII.
        let shown = |c: char| if c.is_ascii() { c } else { '?' };
        let line: String =
            record.losses.join("; ").chars().filter(|c| !c.is_control()).map(shown).take(2_000).collect();
        lines.put(&LOSS, &line);
    }
}

/// Microseconds, written as milliseconds with three places.
fn push_ms(out: &mut String, us: u64) {
    push_number(out, us / 1_000, 1);
    out.push('.');
    push_number(out, us % 1_000, 3);
}
