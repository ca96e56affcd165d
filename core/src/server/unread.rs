//! What a client is told whose request cannot be read as HTTP at all: hyper ends such a connection with a bare status, which tells a person nothing.
//! Must not know what requests mean: no path, no format, no record; such a request has none.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use serde_json::json;

use crate::pipeline::request_id;

/// The statuses that hyper answers by itself, and what each is about.
const STATUSES: [(&[u8], &str, &str); 3] = [
    (b"HTTP/1.1 400 ", "Bad Request", "this is no HTTP/1.1 request that can be read"),
    (b"HTTP/1.1 414 ", "URI Too Long", "the address of the request is too long"),
    (
        b"HTTP/1.1 431 ",
        "Request Header Fields Too Large",
        "the head of the request is too large: at most 64 KiB and 100 lines",
    ),
];

/// A connection on which hyper's own bare refusals get a body that says why, and an id that the log has too.
pub(super) struct Telling<S> {
    stream: S,
    /// What is still to be written in place of a bare refusal.
    instead: Bytes,
}

impl<S: Write + Unpin> Telling<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, instead: Bytes::new() }
    }

    fn poll_instead(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        while !self.instead.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.instead))? {
                0 => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                written => self.instead.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What to write for a bare refusal; `None` for everything else, which is every answer of ours: those name the request.
fn told(written: &[u8]) -> Option<Bytes> {
    let (status, reason, why) = STATUSES.iter().find(|(status, ..)| written.starts_with(status))?;
    let bare = written.ends_with(b"\r\n\r\n") && memchr::memmem::find(written, b"content-length: 0\r\n").is_some();
    if !bare || memchr::memmem::find(written, b"x-request-id").is_some() {
        return None;
    }
    let id = request_id();
    let status = std::str::from_utf8(status).unwrap_or_default().trim_end();
    tracing::info!(%id, status, "a request was refused unread: {why}");
    let error = json!({ "type": "invalid_request_error", "code": "invalid_request", "message": why });
    let body = json!({ "type": "error", "error": error, "request_id": id }).to_string();
    let length = body.len();
    Some(Bytes::from(format!(
        "{status} {reason}\r\nconnection: close\r\ncontent-type: application/json\r\nx-request-id: {id}\r\ncontent-length: {length}\r\n\r\n{body}"
    )))
}

impl<S: Read + Unpin> Read for Telling<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl<S: Write + Unpin> Write for Telling<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        ready!(self.poll_instead(context))?;
        if let Some(instead) = told(buf) {
            self.instead = instead;
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        ready!(self.poll_instead(context))?;
        if let [only] = bufs
            && let Some(instead) = told(only)
        {
            self.instead = instead;
            return Poll::Ready(Ok(only.len()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_refusals_are_told_in_words() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let told_as = String::from_utf8(told(bare).unwrap().to_vec()).unwrap();
        assert!(told_as.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{told_as}");
        assert!(told_as.contains("100 lines") && told_as.contains("\"request_id\":\"req_"), "{told_as}");
        for ours in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\nx-request-id: req_1\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
        ] {
            assert_eq!(told(ours.as_bytes()), None, "{ours}");
        }
    }
}
