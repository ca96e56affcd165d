//! One connection to a provider, or to the proxy on the way, whatever lies below it. Must not know how it was made.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

type Plain = TokioIo<TcpStream>;

/// A connection. Small: a task holds it for as long as it is open, and only those with TLS pay for what TLS keeps.
pub(super) struct Wire {
    stream: Stream,
    /// Requests go to a proxy whole.
    forward: bool,
}

enum Stream {
    Plain(Plain),
    Layered(Box<dyn Layers>),
}

/// TLS over TCP, over a tunnel, or over another TLS.
trait Layers: Read + Write + Connection + Send + Unpin {}

impl<T: Read + Write + Connection + Send + Unpin> Layers for T {}

impl Wire {
    /// The same connection, to a proxy that takes requests whole.
    pub(super) fn forwarding(self) -> Self {
        Self { forward: true, ..self }
    }

    fn stream(&mut self) -> Pin<&mut dyn Layers> {
        match &mut self.stream {
            Stream::Plain(plain) => Pin::new(plain),
            Stream::Layered(layered) => Pin::new(&mut **layered),
        }
    }
}

impl From<Plain> for Wire {
    fn from(plain: Plain) -> Self {
        Self { stream: Stream::Plain(plain), forward: false }
    }
}

impl From<MaybeHttpsStream<Plain>> for Wire {
    fn from(stream: MaybeHttpsStream<Plain>) -> Self {
        match stream {
            MaybeHttpsStream::Http(plain) => Self::from(plain),
            tls => Self { stream: Stream::Layered(Box::new(tls)), forward: false },
        }
    }
}

impl From<MaybeHttpsStream<Wire>> for Wire {
    fn from(stream: MaybeHttpsStream<Self>) -> Self {
        match stream {
            MaybeHttpsStream::Http(wire) => wire,
            tls => Self { stream: Stream::Layered(Box::new(tls)), forward: false },
        }
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        let connected = match &self.stream {
            Stream::Plain(plain) => plain.connected(),
            Stream::Layered(layered) => layered.connected(),
        };
        connected.proxy(self.forward)
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<Result<()>> {
        self.stream().poll_read(context, buf)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        self.stream().poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.stream().poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(plain) => plain.is_write_vectored(),
            Stream::Layered(layered) => layered.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.stream().poll_write_vectored(context, bufs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_without_tls_is_small() {
        // Each of thousands of open streams holds one, in a task that hyper moves about.
        assert!(size_of::<Wire>() <= 64, "{}", size_of::<Wire>());
    }
}
