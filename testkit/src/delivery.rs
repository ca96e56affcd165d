//! Brings an answer to the client, with the trouble that a script asks for. Knows bytes and time, no wire.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame as BodyFrame};
use tokio::sync::mpsc;

use crate::frame::Frame;
use crate::script::Delivery;

/// How far an answer got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    /// Not answered yet, or still going on.
    #[default]
    Open,
    /// All of it was handed to the connection, or broken off as scripted.
    Done,
    /// The client left before.
    ClientLeft,
}

/// The stream of a body, fed by a task of its own.
#[derive(Debug)]
pub(crate) struct Stream {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<BodyFrame<Bytes>>>> {
        self.chunks.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(BodyFrame::data)))
    }
}

/// Starts a task that sends `frames`; `failure` is the provider's words for a failure inside the stream.
pub(crate) fn start(
    frames: Vec<Frame>,
    failure: Vec<Frame>,
    delivery: Delivery,
    progress: Arc<Mutex<Progress>>,
) -> Stream {
    let (sender, chunks) = mpsc::channel(1);
    tokio::spawn(async move {
        let reached = send(frames, failure, &delivery, &sender).await;
        if let Ok(mut progress) = progress.lock() {
            *progress = if reached.is_some() { Progress::Done } else { Progress::ClientLeft };
        }
    });
    Stream { chunks }
}

type Sender = mpsc::Sender<io::Result<Bytes>>;

/// `None`: the client left.
async fn send(frames: Vec<Frame>, failure: Vec<Frame>, delivery: &Delivery, sender: &Sender) -> Option<()> {
    let mut sent = 0;
    for (index, frame) in frames.iter().enumerate() {
        if let Some((after, _)) = &delivery.error_after
            && *after == index
        {
            for frame in &failure {
                push(frame.bytes(delivery.crlf, delivery.no_space), delivery, sender, &mut sent).await?;
            }
            return Some(());
        }
        if delivery.cut_after == Some(index) {
            return Some(());
        }
        if delivery.abort_after == Some(index) {
            return abort(sender).await;
        }
        if delivery.stall_after == Some(index) {
            sender.closed().await;
            return None;
        }
        wait(delivery.pace, sender).await?;
        if delivery.comments && matches!(frame, Frame::Sse { .. }) {
            let comment: &[u8] = if delivery.crlf { b": MOCK PROCESSING\r\n\r\n" } else { b": MOCK PROCESSING\n\n" };
            push(Bytes::from_static(comment), delivery, sender, &mut sent).await?;
        }
        push(frame.bytes(delivery.crlf, delivery.no_space), delivery, sender, &mut sent).await?;
        if delivery.abort_byte.is_some_and(|limit| sent >= limit) {
            return abort(sender).await;
        }
    }
    Some(())
}

/// Sends bytes in the pieces that were asked for, up to the byte at which the connection shall break.
async fn push(bytes: Bytes, delivery: &Delivery, sender: &Sender, sent: &mut usize) -> Option<()> {
    let room = delivery.abort_byte.map_or(bytes.len(), |limit| limit.saturating_sub(*sent).min(bytes.len()));
    let mut rest = bytes.slice(..room);
    let size = delivery.split.unwrap_or(usize::MAX).max(1);
    while !rest.is_empty() {
        let piece = rest.split_to(size.min(rest.len()));
        *sent += piece.len();
        sender.send(Ok(piece)).await.ok()?;
        if delivery.split.is_some() {
            // Lets the connection write what it has, so that pieces are not joined again.
            tokio::task::yield_now().await;
        }
    }
    Some(())
}

async fn abort(sender: &Sender) -> Option<()> {
    // What was sent before shall arrive before the connection breaks.
    wait(Duration::from_millis(20), sender).await?;
    sender.send(Err(io::Error::other("scripted break"))).await.ok()
}

/// Waits, but not for a client that has left.
async fn wait(time: Duration, sender: &Sender) -> Option<()> {
    if time.is_zero() {
        return Some(());
    }
    tokio::select! {
        () = tokio::time::sleep(time) => Some(()),
        () = sender.closed() => None,
    }
}
