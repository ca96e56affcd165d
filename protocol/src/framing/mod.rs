//! Cutting byte streams into frames, at any split.
//!
//! Every reader is pulled: `next` takes a slice of the bytes that just arrived, moves its start past what it used and answers the next frame.
//! `None` means that the slice is used up; what is left of an unfinished frame is kept inside. A frame that lies whole in the slice is
//! borrowed from it and costs no copy.
//!
//! ```
//! use myelin_protocol::framing::{Framing, Reader};
//! let mut reader = Reader::new(Framing::Sse);
//! let mut seen = Vec::new();
//! for chunk in [&b"data: on"[..], b"e\n\ndata: two\n", b"\ndata: three"] {
//!     let mut input = chunk;
//!     while let Some(frame) = reader.next(&mut input)? {
//!         seen.push(frame.data.to_vec());
//!     }
//! }
//! seen.extend(reader.finish()?.map(|frame| frame.data.to_vec()));
//! assert_eq!(seen, [&b"one"[..], b"two", b"three"]);
//! # Ok::<(), myelin_protocol::framing::FramingError>(())
//! ```

pub mod aws;
pub mod ndjson;
pub mod sse;

pub use aws::AwsEventStreamReader;
pub use ndjson::NdJsonReader;
pub use sse::SseReader;

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

/// One frame, borrowed from the reader or from the bytes that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// SSE `event:`; AWS `:event-type` or, for exceptions and errors, `:exception-type` / `:error-code`.
    pub event: Option<&'a str>,
    /// AWS: the message type is `exception` or `error`. Never set by the other framings.
    pub exception: bool,
    /// SSE: the `data:` lines joined by `\n`; otherwise the payload. Never a comment.
    pub data: &'a [u8],
}

impl<'a> Frame<'a> {
    /// A frame of nothing but data.
    pub fn data(data: &'a [u8]) -> Self {
        Self { event: None, exception: false, data }
    }
}

/// Bytes that are no frames. The reader that reported one is not to be used further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// One frame is larger than allowed.
    #[error("frame is larger than {limit} bytes")]
    TooLarge {
        /// The cap in bytes.
        limit: usize,
    },
    /// The bytes break the framing (AWS: lengths or checksums).
    #[error("corrupt frame: {0}")]
    Corrupt(&'static str),
    /// The bytes ended inside a frame (AWS only: text framings deliver what there is).
    #[error("stream ended inside a frame")]
    Truncated,
}

/// The cap of [`Reader::new`]: a frame may hold a generated image.
pub const DEFAULT_FRAME_LIMIT: usize = 32 * 1024 * 1024;

/// A reader of any framing, so that one driver serves all.
#[derive(Debug)]
pub enum Reader {
    /// Server-Sent Events.
    Sse(SseReader),
    /// One JSON value a line.
    NdJson(NdJsonReader),
    /// AWS binary event stream.
    AwsEventStream(AwsEventStreamReader),
}

impl Reader {
    /// A reader whose frames may hold [`DEFAULT_FRAME_LIMIT`] bytes.
    pub fn new(framing: Framing) -> Self {
        Self::with_limit(framing, DEFAULT_FRAME_LIMIT)
    }

    /// A reader whose frames may hold `limit` bytes.
    pub fn with_limit(framing: Framing, limit: usize) -> Self {
        match framing {
            Framing::Sse => Self::Sse(SseReader::with_limit(limit)),
            Framing::NdJson => Self::NdJson(NdJsonReader::with_limit(limit)),
            Framing::AwsEventStream => Self::AwsEventStream(AwsEventStreamReader::with_limit(limit)),
        }
    }

    /// The next frame of `input`, whose start is moved past what was used. `None`: `input` is used up.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<Frame<'a>>, FramingError> {
        match self {
            Self::Sse(reader) => reader.next(input),
            Self::NdJson(reader) => reader.next(input),
            Self::AwsEventStream(reader) => reader.next(input),
        }
    }

    /// Nothing of an unfinished frame is inside: between two frames something else may be written.
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Sse(reader) => reader.is_idle(),
            Self::NdJson(reader) => reader.is_idle(),
            Self::AwsEventStream(reader) => reader.is_idle(),
        }
    }

    /// The bytes are over: the last frame, if it lacked its terminator.
    pub fn finish(&mut self) -> Result<Option<Frame<'_>>, FramingError> {
        match self {
            Self::Sse(reader) => reader.finish(),
            Self::NdJson(reader) => reader.finish(),
            Self::AwsEventStream(reader) => reader.finish(),
        }
    }
}
