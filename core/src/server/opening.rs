//! The first letters of a connection: read to tell which HTTP it speaks, and then given to whoever reads on. Costs nothing once they are gone.
//! Must not know what is served.

use std::io::Result;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How HTTP/2 begins (RFC 9113 §3.4). No method of HTTP/1.1 begins like it but for its first letter.
const HTTP2: [u8; 3] = *b"PRI";

/// What came first on a connection, as far as it had to be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Opening {
    letters: [u8; HTTP2.len()],
    count: usize,
}

impl Opening {
    /// Reads as many letters as it takes to tell; fewer if the client has no more.
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self> {
        let mut opening = Self::default();
        while opening.count < HTTP2.len() && HTTP2.starts_with(opening.seen()) {
            let Some(room) = opening.letters.get_mut(opening.count..) else { break };
            match stream.read(room).await? {
                0 => break,
                count => opening.count += count,
            }
        }
        Ok(opening)
    }

    /// Whether the client speaks HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.seen() == HTTP2
    }

    /// Whether the client left without a word.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn seen(&self) -> &[u8] {
        self.letters.get(..self.count).unwrap_or_default()
    }
}

/// A connection that is read from its first letter again.
pub(super) struct Reopened<S> {
    stream: S,
    opening: Opening,
}

impl<S> Reopened<S> {
    pub(super) fn new(opening: Opening, stream: S) -> Self {
        Self { stream, opening }
    }
}

impl<S: Read + Unpin> Read for Reopened<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let seen = this.opening.seen();
        if seen.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buf);
        }
        if buf.remaining() < seen.len() {
            // Nobody reads by so few.
            return Poll::Ready(Err(std::io::ErrorKind::OutOfMemory.into()));
        }
        buf.put_slice(seen);
        this.opening = Opening::default();
        // What is there already comes with it. A failure comes again.
        let _ = Pin::new(&mut this.stream).poll_read(context, buf);
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Write for Reopened<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn what_was_read_first_is_read_again_however_it_came() {
        for (pieces, http2) in [
            (["P", "O", "ST / HTTP/1.1"], false),
            (["P", "R", "I * HTTP/2.0"], true),
            (["GET / HTTP", "/1.", "1"], false),
            (["", "P", ""], false),
            (["", "", ""], false),
        ] {
            let (mut client, mut server) = tokio::io::duplex(64);
            let reading = tokio::spawn(async move {
                let opening = Opening::read(&mut server).await.unwrap();
                let mut text = String::new();
                let mut stream = TokioIo::new(Reopened::new(opening, TokioIo::new(server)));
                stream.read_to_string(&mut text).await.unwrap();
                (opening.is_http2(), text)
            });
            for piece in pieces {
                client.write_all(piece.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(client);
            assert_eq!(reading.await.unwrap(), (http2, pieces.concat()));
        }
    }
}
