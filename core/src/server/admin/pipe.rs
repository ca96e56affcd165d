//! Long answers and long uploads between async handlers and work that blocks, a few chunks in memory at a time.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

/// Chunks on their way.
const CHUNKS: usize = 4;
/// Bytes that are gathered before they go.
const CHUNK: usize = 64 << 10;

type Piece = io::Result<Bytes>;

/// Where the pieces of an answer go in.
pub(super) struct Sink {
    sender: mpsc::Sender<Piece>,
    waiting: Vec<u8>,
}

/// An answer whose pieces come in over time.
pub(super) fn answer() -> (Sink, Body) {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    (Sink { sender, waiting: Vec::with_capacity(CHUNK) }, Body::new(Pieces(receiver)))
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the client has left")
}

impl Sink {
    /// Sends what was gathered, when it is enough, and makes room.
    pub(super) async fn send(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.sender.send(Ok(std::mem::take(bytes).into())).await.map_err(|_| gone())
    }

    /// Ends the answer in a way that no reader takes for its end.
    pub(super) async fn fail(self, why: impl std::fmt::Display) {
        let _ = self.sender.send(Err(io::Error::other(why.to_string()))).await;
    }

    /// As [`Sink::fail`], where waiting is allowed.
    pub(super) fn fail_blocking(self, why: impl std::fmt::Display) {
        let _ = self.sender.blocking_send(Err(io::Error::other(why.to_string())));
    }

    fn pass_on(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::replace(&mut self.waiting, Vec::with_capacity(CHUNK));
        self.sender.blocking_send(Ok(bytes.into())).map_err(|_| gone())
    }
}

/// For work that blocks.
impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= CHUNK {
            self.pass_on()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()
    }
}

struct Pieces(mpsc::Receiver<Piece>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// An upload, for work that blocks.
pub(super) struct Source {
    receiver: mpsc::Receiver<Piece>,
    piece: Bytes,
}

/// Reads a request's body while somebody else works on it.
pub(super) fn upload(mut body: Body) -> Source {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    tokio::spawn(async move {
        while let Some(frame) = body.frame().await {
            let piece = match frame {
                Ok(frame) => frame.into_data().map_err(|_| io::ErrorKind::InvalidData.into()),
                Err(why) => Err(io::Error::other(why.to_string())),
            };
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    Source { receiver, piece: Bytes::new() }
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.piece = piece?,
            }
        }
        let taken = self.piece.split_to(self.piece.len().min(out.len()));
        out.iter_mut().zip(&taken).for_each(|(to, from)| *to = *from);
        Ok(taken.len())
    }
}
