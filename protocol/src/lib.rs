//! Wire formats of model APIs and the unified model between them.
//!
//! ```text
//! bytes ── framing ──> frames ── formats/*/stream_in ──> ir::StreamEvent ── formats/*/stream_out ──> bytes
//! bytes ────────────── formats/*/request ─────────────> ir::ChatRequest  ── formats/*/request ─────> bytes
//! ```
//!
//! - [`ir`] is the unified model; [`formats`] holds one folder a wire, each a [`FormatCodec`] in the one table behind [`ApiFormat::codec`];
//! - [`framing`] cuts byte streams into frames at any split; [`fold`] is the only place where events become an answer;
//!   [`laws`] is the grammar of events;
//! - [`envelope`] and [`tap`] serve the path on which nothing is converted: borrow the model's name, splice it, watch usage go by;
//! - [`lower`] fits a request to what a target can take (names, namespaces, free-text tools) and lifts the answer back;
//! - [`drive`] turns a provider's stream into a client's: the one place with a policy for what goes wrong in a stream; [`answer`] judges whole answers;
//! - [`resume`] knows what of an answer was said and puts the rest of it, from elsewhere, behind;
//! - [`dialect`] says in data how hosts of one wire differ.
//!
//! Invariants: no IO, no async, no clock, no randomness; no panic on any bytes; nothing is dropped without a [`ir::Loss`].
#![forbid(unsafe_code)]

pub mod answer;
mod counters;
pub mod dialect;
pub mod drive;
pub mod envelope;
mod error;
pub mod fold;
pub mod format;
pub mod formats;
pub mod framing;
pub mod ir;
mod json;
pub mod laws;
pub mod lower;
pub mod opaque;
pub mod resume;
pub mod tap;
pub mod tokens;

pub use dialect::Dialect;
pub use error::{ApiError, ApiErrorKind, DecodeError};
pub use format::{ApiFormat, FormatCodec, ReplyContext, StreamDecoder, StreamEncoder};
