//! Bodies: what is sent, and what comes back.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use smallvec::SmallVec;

use super::UpstreamError;
use super::timeouts::{Deadline, Limits, Waiting};

/// How long the end of an answer is waited for after its format's terminal.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Pieces before the rest: head, replacement, tail.
type Pieces = SmallVec<[Bytes; 3]>;

/// A request's body: pieces that go out one after the other without being copied together, then perhaps a caller's body that streams through.
#[derive(Debug, Default)]
pub struct Body {
    pieces: Pieces,
    /// How many of `pieces` are gone.
    sent: usize,
    rest: Option<Rest>,
}

/// A caller's body.
#[derive(Debug)]
struct Rest {
    body: UnsyncBoxBody<Bytes, UpstreamError>,
    /// How many bytes are still to come, if the caller said so.
    length: Option<u64>,
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A body of known pieces; its length is their sum.
    pub fn pieces(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self { pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(), sent: 0, rest: None }
    }

    /// Known pieces, then a body that is still being read. `length` is what is left of it, if known; then the request has an exact
    /// content-length, else it is sent in chunks.
    pub fn streaming<B>(pieces: impl IntoIterator<Item = Bytes>, rest: B, length: Option<u64>) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        use http_body_util::BodyExt as _;
        let body = rest.map_err(|error| UpstreamError::RequestBody(error.to_string())).boxed_unsync();
        Self { rest: Some(Rest { body, length }), ..Self::pieces(pieces) }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::pieces([bytes])
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let this = self.get_mut();
        if let Some(piece) = this.pieces.get_mut(this.sent) {
            this.sent += 1;
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(piece)))));
        }
        let Some(rest) = &mut this.rest else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(&mut rest.body).poll_frame(context));
        if let (Some(length), Some(Ok(frame))) = (&mut rest.length, &frame)
            && let Some(data) = frame.data_ref()
        {
            *length = length.saturating_sub(data.remaining() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.sent >= self.pieces.len() && self.rest.as_ref().is_none_or(|rest| rest.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let pieces = self.pieces.iter().skip(self.sent).map(|piece| piece.len() as u64).sum::<u64>();
        match &self.rest {
            None => SizeHint::with_exact(pieces),
            Some(Rest { length: Some(length), .. }) => SizeHint::with_exact(pieces.saturating_add(*length)),
            Some(_) => SizeHint::default(),
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub struct ReplyBody(Incoming);

impl ReplyBody {
    /// The whole answer, if it is not larger than `limit`. Waits without end: callers limit the time of the whole.
    pub async fn collect(self, limit: usize) -> Result<Bytes, UpstreamError> {
        self.collect_within(limit, &Limits::NONE, Deadline::NEVER).await
    }

    /// Nothing more of this answer is of use, but its end is: only a connection whose answer was read to the end serves another request. The
    /// protocol's last words often come in a packet of their own.
    pub fn let_end(mut self) {
        use http_body_util::BodyExt as _;
        if self.is_end_stream() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let end = async { while let Some(Ok(_)) = self.frame().await {} };
            let _ = tokio::time::timeout(LAST_WORDS, end).await;
        });
    }

    /// The whole answer, if it is not larger than `limit`, keeps coming, and is there in time.
    pub async fn collect_within(
        self,
        limit: usize,
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Bytes, UpstreamError> {
        gather(self, limit, limits, deadline).await
    }
}

/// Reads a body to its end. A provider may send its head at once and think afterwards, so the first bytes may take as long as a first token.
pub(super) async fn gather<B>(
    mut body: B,
    limit: usize,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Bytes, UpstreamError>
where
    B: HttpBody<Data = Bytes, Error = UpstreamError> + Unpin,
{
    use http_body_util::BodyExt as _;
    let mut first: Option<Bytes> = None;
    let mut all = Vec::new();
    let mut length = 0usize;
    let mut patience = limits.idle.max(limits.first_token);
    while let Some(frame) = deadline.within(Waiting::Idle, patience, body.frame()).await? {
        patience = limits.idle;
        let Ok(data) = frame?.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > limit {
            return Err(UpstreamError::TooLarge(limit));
        }
        match first.take() {
            None if all.is_empty() => first = Some(data),
            None => all.extend_from_slice(&data),
            Some(head) => {
                all.reserve(head.len() + data.len());
                all.extend_from_slice(&head);
                all.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| all.into()))
}

impl From<Incoming> for ReplyBody {
    fn from(body: Incoming) -> Self {
        Self(body)
    }
}

impl HttpBody for ReplyBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let body = Pin::new(&mut self.get_mut().0);
        body.poll_frame(context).map_err(|error| UpstreamError::Cut(chain(&error)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// An error and what caused it, in one line. The last cause is the one that people can do something about.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}
