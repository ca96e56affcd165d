//! The response body of the product: nothing, one piece, or a stream that settles its own request.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use super::fault::caught;
use super::stream::StreamReply;
use crate::model::RequestRecord;

/// A response body.
pub enum ReplyBody {
    /// Nothing (left).
    Empty,
    /// One piece, known whole.
    Whole(Bytes),
    /// A stream in the client's format.
    Stream(Box<StreamReply>),
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
            ReplyBody::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Empty => SizeHint::with_exact(0),
            ReplyBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ReplyBody::Stream(_) => SizeHint::default(),
        }
    }
}

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
        put("server-timing", &format!("myelin;dur={:.3}, upstream;dur={:.3}", ms(before), ms(upstream)));
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

fn ms(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64() * 1_000.0
}
