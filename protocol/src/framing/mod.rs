//! Cutting byte streams into frames, at any split.

pub mod aws;
pub mod ndjson;
pub mod sse;

/// How the frames of a stream are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-Sent Events.
    Sse,
    /// One JSON value a line.
    NdJson,
    /// AWS binary event stream.
    AwsEventStream,
}

/// One frame, borrowed from the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// SSE `event:`; AWS `:event-type` or, for exceptions and errors, `:exception-type` / `:error-code`.
    pub event: Option<&'a str>,
    /// AWS: the message type is `exception` or `error`. Never set by the other framings.
    pub exception: bool,
    /// SSE: the `data:` lines joined by `\n`; otherwise the payload. Never a comment.
    pub data: &'a [u8],
}
