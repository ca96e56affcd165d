//! A body on its way through: read from the client, looked through, spliced, and handed to the connection that sends it, while the request waits for its end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use memchr::memmem;
use myelin_protocol::ApiFormat;
use myelin_protocol::envelope::{Head, Splicer};
use myelin_protocol::opaque::BlobScan;
use tokio::sync::Notify;

use super::arriving::Lane;
use super::ask::malformed;
use super::intake::{Intake, Source};
use super::origins::Maker;
use super::{Services, passthrough};
use crate::error::GatewayError;

/// What the one who sends has to know.
pub(super) enum Look {
    /// More is to come.
    Arriving,
    /// All has come, or nothing more can.
    Over,
    /// The connection to the provider wants no more: somebody else has to read on.
    Left,
}

/// A body on its way through, shared by the connection that sends it and the request that waits for it.
pub(super) struct Passage {
    transit: Mutex<Transit>,
    pub changed: Notify,
}

impl Passage {
    /// Begins to pass on.
    pub(super) fn new(transit: Transit) -> Self {
        Self { transit: Mutex::new(transit), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Transit> {
        self.transit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn look(&self) -> Look {
        let transit = self.lock();
        match transit.state {
            State::Arriving if transit.left => Look::Left,
            State::Arriving => Look::Arriving,
            State::Whole | State::Stopped(_) => Look::Over,
        }
    }

    /// Nothing more goes out.
    pub(super) fn let_go(&self) {
        self.lock().left = true;
        self.changed.notify_one();
    }

    /// Reads to the end, for nobody but ourselves.
    pub(super) async fn read_on(&self) {
        std::future::poll_fn(|cx| {
            let mut transit = self.lock();
            loop {
                transit.ready.clear();
                if ready!(transit.poll_next(cx)).is_none_or(|piece| piece.is_err()) {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }

    /// Whether a field that is cut has come by.
    pub(super) fn saw(&self, field: &str) -> bool {
        self.lock().splicer.saw(field)
    }

    /// What has come, and how it ended.
    pub(super) fn take(&self) -> (Intake<Source>, Head, State) {
        let mut transit = self.lock();
        transit.left = true;
        let intake = std::mem::replace(&mut transit.intake, Intake::nothing());
        let state = match transit.state {
            State::Whole => State::Whole,
            _ => std::mem::replace(&mut transit.state, State::Stopped(Stop::Whole("it is over"))),
        };
        (intake, std::mem::take(&mut transit.head), state)
    }
}

/// A body on its way through.
pub(super) struct Transit {
    format: ApiFormat,
    pub intake: Intake<Source>,
    pub head: Head,
    splicer: Splicer,
    watch: Watch,
    /// Spliced, to be sent.
    ready: VecDeque<Bytes>,
    pub state: State,
    /// Its connection to the provider takes no more.
    left: bool,
}

#[derive(Debug)]
pub(super) enum State {
    Arriving,
    Whole,
    Stopped(Stop),
}

/// Why a body is called back.
#[derive(Debug)]
pub(super) enum Stop {
    /// The request cannot be answered.
    Failed(GatewayError),
    /// It can, but not by its bytes as they come: why.
    Whole(&'static str),
}

impl Transit {
    /// Takes over what has come; `head` has seen it.
    pub(super) fn new(intake: Intake<Source>, head: Head, lane: &Lane, services: Arc<Services>) -> Self {
        let watch = Watch::new(lane.texts.clone(), lane.maker.clone(), services);
        let splicer = Splicer::new(lane.edits.clone());
        let format = lane.accepted.format;
        let mut transit =
            Self { format, intake, head, splicer, watch, ready: VecDeque::new(), state: State::Arriving, left: false };
        let come: Vec<Bytes> = transit.intake.pieces().to_vec();
        for piece in &come {
            transit.pass(piece);
        }
        transit.close_if_whole();
        transit
    }

    /// The next piece for the provider.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ()>>> {
        loop {
            if let State::Stopped(_) = &self.state {
                return Poll::Ready(Some(Err(())));
            }
            if let Some(piece) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(piece)));
            }
            if let State::Whole = &self.state {
                return Poll::Ready(None);
            }
            match ready!(self.intake.poll_piece(cx)) {
                Ok(Some(piece)) => {
                    if let Err(error) = self.head.feed(&piece) {
                        self.state = State::Stopped(Stop::Failed(malformed(&error)));
                    }
                    self.pass(&piece);
                    self.close_if_whole();
                }
                Ok(None) => self.close(),
                Err(error) => self.state = State::Stopped(Stop::Failed(error)),
            }
        }
    }

    fn pass(&mut self, piece: &Bytes) {
        let State::Arriving = &self.state else { return };
        let mut out = Vec::new();
        if let Err(error) = self.splicer.feed(piece, &mut out) {
            self.state = State::Stopped(Stop::Failed(malformed(&error)));
            return;
        }
        self.ready.extend(out);
        let follows = self.head.raw("previous_response_id").is_some_and(|id| id != b"null");
        let reason = if follows {
            Some("it goes on from an earlier answer")
        } else if passthrough::thinking(self.format, self.head.raw("thinking"), None).is_some() {
            Some("its thinking budget is too small")
        } else {
            self.watch.feed(piece)
        };
        if let Some(why) = reason {
            self.state = State::Stopped(Stop::Whole(why));
        }
    }

    /// A body of announced length ends with its last byte: nobody asks for more.
    fn close_if_whole(&mut self) {
        if self.intake.announced() == Some(self.intake.length()) {
            self.close();
        }
    }

    fn close(&mut self) {
        if let State::Arriving = &self.state {
            self.state = match self.splicer.finish() {
                Ok(()) => State::Whole,
                Err(error) => State::Stopped(Stop::Failed(malformed(&error))),
            };
        }
    }
}

/// Looks for what must not be passed on.
struct Watch {
    texts: Vec<memmem::Finder<'static>>,
    /// The end of what came before, shorter than the longest text.
    tail: Vec<u8>,
    longest: usize,
    blobs: BlobScan,
    maker: Maker,
    services: Arc<Services>,
}

impl Watch {
    fn new(texts: Vec<&'static str>, maker: Maker, services: Arc<Services>) -> Self {
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(1);
        let texts = texts.into_iter().map(memmem::Finder::new).collect();
        Self { texts, tail: Vec::new(), longest, blobs: BlobScan::default(), maker, services }
    }

    /// Why the body cannot be passed on as it is, if the piece shows that.
    fn feed(&mut self, piece: &[u8]) -> Option<&'static str> {
        let overlap = self.longest - 1;
        self.tail.extend_from_slice(piece.get(..overlap.min(piece.len())).unwrap_or_default());
        let found = self.texts.iter().any(|text| text.find(&self.tail).is_some() || text.find(piece).is_some());
        if piece.len() >= overlap {
            self.tail.clear();
            self.tail.extend_from_slice(piece.get(piece.len() - overlap..).unwrap_or_default());
        } else {
            let from = self.tail.len().saturating_sub(overlap);
            self.tail.drain(..from);
        }
        let mut foreign = false;
        let (origins, maker) = (&self.services.origins, &self.maker);
        self.blobs.feed(piece, |blob| foreign |= !origins.is_own(blob, maker));
        if foreign {
            return Some("it holds a blob of another maker");
        }
        found.then_some("something below its top level has to change")
    }
}

/// The provider's side of a passage.
pub(super) struct Forward(pub Arc<Passage>);

/// The body was called back; the request knows why.
#[derive(Debug, thiserror::Error)]
#[error("the request was called back")]
pub(super) struct CalledBack;

impl http_body::Body for Forward {
    type Data = Bytes;
    type Error = CalledBack;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CalledBack>>> {
        let mut transit = self.0.lock();
        if transit.left && !matches!(transit.state, State::Whole) {
            return Poll::Ready(Some(Err(CalledBack)));
        }
        let polled = transit.poll_next(cx);
        let arriving = matches!(transit.state, State::Arriving);
        drop(transit);
        if !arriving {
            self.0.changed.notify_one();
        }
        polled.map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(|()| CalledBack)))
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.0.let_go();
    }
}
