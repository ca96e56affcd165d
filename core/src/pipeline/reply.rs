//! The response body of the product: nothing, one piece, or a stream that settles its own request.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use super::fault::caught;
use super::settle::Settle;
use super::stream::StreamReply;
use crate::cache::{Piece, Reader};
use crate::model::{CacheOutcome, CostSource, NanoUsd, RequestRecord, RequestState};

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
pub(crate) const CACHE_HEADER: &str = "x-myelin-cache";

/// A response of the product.
pub type Reply = http::Response<ReplyBody>;

/// Writes what a caller may know of its request into the head: id, channel, model, profile, attempts, losses, time.
pub(crate) fn describe(headers: &mut HeaderMap, record: &RequestRecord) {
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put("x-request-id", &record.id);
    match record.cache {
        CacheOutcome::Hit => put(CACHE_HEADER, "hit"),
        CacheOutcome::Miss => put(CACHE_HEADER, "miss"),
        CacheOutcome::Shared => put(CACHE_HEADER, "shared"),
        _ => {}
    }
    if !record.profile.is_empty() {
        put("x-myelin-profile", &record.profile);
    }
    if let Some(channel) = &record.channel {
        put("x-myelin-channel", channel);
    }
    if let Some(model) = &record.upstream_model {
        put("x-myelin-model", model);
    }
    if !record.attempts.is_empty() {
        put("x-myelin-attempts", &record.attempts.len().to_string());
        let upstream: u64 = record.attempts.iter().map(|attempt| attempt.duration_us).sum();
        let before = record.attempts.first().map_or(0, |attempt| attempt.offset_us);
        put("server-timing", &format!("myelin;dur={}, upstream;dur={}", Ms(before), Ms(upstream)));
    }
    // A stream's head goes out before anybody knows.
    if let Some(cost) = record.cost.filter(|_| !record.stream) {
        put("x-myelin-cost", &cost.to_string());
    }
    if !record.losses.is_empty() {
        // Field names may be anything that a client wrote; a header carries visible ASCII.
        let shown = |c: char| if c.is_ascii() { c } else { '?' };
        let line: String =
            record.losses.join("; ").chars().filter(|c| !c.is_control()).map(shown).take(2_000).collect();
        put("x-myelin-loss", &line);
    }
}

/// Microseconds, written as milliseconds with three places.
struct Ms(u64);

impl std::fmt::Display for Ms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}
