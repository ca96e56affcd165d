//! A request's body on its way in: at most so large, and never silent for too long.
//!
//! Knows no format; what a body means while it still arrives is the business of `arriving`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body::Body;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::{GatewayError, Kind};
use crate::model::Settings;

/// Up to here a body is read whole before anything is done with it.
pub(crate) const SMALL: u64 = 64 << 10;
/// Pieces up to here are copied out of the connection's read buffer.
const COPIED: usize = 4 << 10;
/// A client that is waited for must send this much, or the rest, within [`DRIPS`] times the longest silence: a body that drips is no body.
const PROGRESS: u64 = 1 << 10;
/// See [`PROGRESS`].
const DRIPS: u32 = 4;
/// How much of a body that nobody wants is read and thrown away, so that the client reads our answer and not a broken pipe.
const DISCARD_BYTES: u64 = 512 << 20;
/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(20);
/// What a body's transport says about its failures.
type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A body of any transport.
pub(crate) type Source = UnsyncBoxBody<Bytes, BoxError>;

/// A body on its way in, and what has come of it.
#[derive(Debug)]
pub(crate) struct Intake<B> {
    source: B,
    /// What has come, as it came.
    pieces: Vec<Bytes>,
    length: u64,
    limit: u64,
    /// What the client said about the length.
    announced: Option<u64>,
    idle: Option<Duration>,
    heard: Instant,
    /// When it last got on: [`PROGRESS`] bytes since, or nothing to wait for.
    moved: Instant,
    /// How much had come then.
    mark: u64,
    /// The client is waited for: what comes next was not there when it was asked for.
    waiting: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Intake<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// A body that nothing was read of.
    pub(crate) fn new(source: B, headers: &HeaderMap, settings: &Settings) -> Self {
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let idle = settings.body_idle_seconds;
        let now = Instant::now();
        Self {
            source,
            pieces: Vec::new(),
            length: 0,
            limit: settings.max_body_bytes,
            announced,
            idle: (idle > 0).then(|| Duration::from_secs(idle)),
            heard: now,
            moved: now,
            mark: 0,
            waiting: false,
            timer: None,
        }
    }

    /// Refuses what shows in the head to be unreadable or too large; the body is then thrown away.
    pub(crate) async fn check(&mut self, headers: &HeaderMap) -> Result<(), GatewayError> {
        if let Some(encoding) = headers.get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            self.discard().await;
            let encoding = encoding.to_str().unwrap_or("?");
            let message = format!("the request body is compressed ({encoding}); send it plain");
            return Err(GatewayError::new(Kind::InvalidRequest, message));
        }
        if self.announced.is_some_and(|length| length > self.limit) {
            self.discard().await;
            return Err(too_large(self.limit));
        }
        Ok(())
    }

    /// How long it is, if the client said so.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// How much of it has come.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// What has come of it.
    pub(crate) fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The next piece; it stays in [`Self::pieces`] too. `None`: that was all.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, GatewayError> {
        std::future::poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// The next piece, or why there is none.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, GatewayError>> {
        loop {
            match Pin::new(&mut self.source).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(Ok(None)),
                Poll::Ready(Some(Err(error))) => {
                    let message = "the request body broke off before its announced end";
                    return Poll::Ready(Err(GatewayError::new(Kind::InvalidRequest, message).caused_by(error)));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    self.length += data.len() as u64;
                    self.heard = Instant::now();
                    if !std::mem::take(&mut self.waiting) || self.length - self.mark >= PROGRESS {
                        self.moved = self.heard;
                        self.mark = self.length;
                    }
                    if self.length > self.limit {
                        return Poll::Ready(Err(too_large(self.limit)));
                    }
                    // What is held of the connection's read buffer makes it take a new one; a small piece is cheaper to copy.
                    let data = if data.len() <= COPIED { Bytes::copy_from_slice(&data) } else { data };
                    self.pieces.push(data.clone());
                    return Poll::Ready(Ok(Some(data)));
                }
                Poll::Pending => {
                    self.waiting = true;
                    ready!(self.poll_silence(cx));
                    return Poll::Ready(Err(silent(self.idle.unwrap_or_default())));
                }
            }
        }
    }

    /// Ready when the client was silent for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(idle) = self.idle else { return Poll::Pending };
        let until = (self.heard + idle).min(self.moved + idle * DRIPS);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        loop {
            ready!(timer.as_mut().poll(cx));
            // The timer is not moved with every piece; when it fires too early it is set anew.
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }

    /// Reads at least `enough` bytes, if there are as many. `true`: that was all.
    pub(crate) async fn read_to(&mut self, enough: u64) -> Result<bool, GatewayError> {
        while self.length < enough {
            match self.piece().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(true),
                Err(error) => return Err(self.give_up(error).await),
            }
        }
        Ok(false)
    }

    /// The whole of it.
    pub(crate) async fn whole(mut self) -> Result<Bytes, GatewayError> {
        let mut whole = BytesMut::new();
        loop {
            let more = match self.piece().await {
                // With the last byte that was announced nothing more is waited for.
                Ok(more) => more.is_some() && self.announced != Some(self.length),
                Err(error) => return Err(self.give_up(error).await),
            };
            // The usual small body comes in one piece.
            if !more && whole.is_empty() && self.pieces.len() <= 1 {
                return Ok(join(&self.pieces, self.length));
            }
            if self.pieces.len() > 1 || !whole.is_empty() {
                if whole.is_empty() {
                    let room = self.announced.unwrap_or(self.length);
                    whole.reserve(usize::try_from(room).unwrap_or(0));
                }
                self.pieces.drain(..).for_each(|piece| whole.extend_from_slice(&piece));
            }
            if !more {
                return Ok(whole.freeze());
            }
        }
    }

    /// What has come is handed over.
    pub(crate) fn take_pieces(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.pieces)
    }

    /// Reads what is left and throws it away, within bounds.
    pub(crate) async fn discard(&mut self) {
        self.pieces = Vec::new();
        let read = async {
            let mut seen = 0u64;
            while let Some(Ok(frame)) = self.source.frame().await {
                seen += frame.data_ref().map_or(0, |data| data.len() as u64);
                if seen > DISCARD_BYTES {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(DISCARD_TIME, read).await;
    }

    /// A client that sends too much has to be heard out before it listens; one that sends nothing has not.
    pub(crate) async fn give_up(&mut self, error: GatewayError) -> GatewayError {
        if error.kind != Kind::SlowClient {
            self.discard().await;
        }
        error
    }
}

impl<B> Intake<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// The same, whatever it comes over.
    pub(crate) fn boxed(self) -> Intake<Source> {
        let Self { source, pieces, length, limit, announced, idle, heard, moved, mark, waiting, timer } = self;
        let source = source.map_err(Into::into).boxed_unsync();
        Intake { source, pieces, length, limit, announced, idle, heard, moved, mark, waiting, timer }
    }
}

impl Intake<Source> {
    /// A body that is over.
    pub(crate) fn nothing() -> Self {
        let empty = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
        Intake::new(empty, &HeaderMap::new(), &Settings::default())
    }
}

/// Pieces as one.
pub(crate) fn join(pieces: &[Bytes], length: u64) -> Bytes {
    match pieces {
        [] => Bytes::new(),
        [only] => only.clone(),
        pieces => {
            let mut whole = BytesMut::with_capacity(usize::try_from(length).unwrap_or(0));
            pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
            whole.freeze()
        }
    }
}

fn too_large(limit: u64) -> GatewayError {
    let mib = limit >> 20;
    let message = format!("the request body is larger than {mib} MiB (max_body_bytes in myelin.toml)");
    GatewayError::new(Kind::TooLarge, message)
}

fn silent(idle: Duration) -> GatewayError {
    let seconds = idle.as_secs();
    let message =
        format!("next to nothing of the request body came for {seconds} s (body_idle_seconds in myelin.toml)");
    let mut error = GatewayError::new(Kind::SlowClient, message);
    error.public.status = Some(408);
    error
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body::Frame;

    use super::*;

    /// Gives its pieces, each after a wait, then hangs.
    struct Slow(Vec<(u64, &'static [u8])>, Option<Pin<Box<Sleep>>>);

    impl Body for Slow {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Some((wait, piece)) = self.0.first().copied() else { return Poll::Pending };
            let until = Instant::now() + Duration::from_secs(wait);
            let sleep = self.1.get_or_insert_with(|| Box::pin(sleep_until(until)));
            ready!(sleep.as_mut().poll(cx));
            self.1 = None;
            self.0.remove(0);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece)))))
        }
    }

    fn slow(pieces: Vec<(u64, &'static [u8])>, length: Option<&str>) -> Intake<Slow> {
        let mut headers = HeaderMap::new();
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, length.parse().unwrap());
        }
        Intake::new(Slow(pieces, None), &headers, &Settings { max_body_bytes: 8, ..Settings::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_read_as_long_as_it_comes() {
        let whole = slow(vec![(50, b"ab"), (59, b"cd"), (50, b"ef")], Some("6")).whole().await.unwrap();
        assert_eq!(whole, "abcdef");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_with_408_after_the_limit_and_not_before() {
        let begun = Instant::now();
        let error = slow(vec![(30, b"ab")], None).whole().await.unwrap_err();
        assert_eq!((error.kind, error.public.status()), (Kind::SlowClient, 408));
        assert_eq!(begun.elapsed().as_secs(), 90);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_ends_with_408() {
        let begun = Instant::now();
        let drips = vec![(5, b"".as_slice()); 1_000];
        let error = slow(drips, None).whole().await.unwrap_err();
        assert_eq!((error.kind, error.public.status()), (Kind::SlowClient, 408));
        assert_eq!(begun.elapsed().as_secs(), 240);
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_the_limit_is_refused_announced_or_not() {
        let mut announced = slow(Vec::new(), Some("9"));
        let error = announced.check(&HeaderMap::new()).await.unwrap_err();
        assert_eq!(error.kind, Kind::TooLarge);
        let error = slow(vec![(0, b"12345"), (0, b"6789")], None).whole().await.unwrap_err();
        assert_eq!(error.kind, Kind::TooLarge);
    }
}
