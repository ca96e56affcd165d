//! The unified model: one description of a request, an answer and a stream that every format decodes to and encodes from.
//!
//! Owns the types only. Knows no wire: a codec in [`crate::formats`] maps its own `wire.rs` to these.
//!
//! Two conventions hold everywhere:
//! - **absent is absent**: `Option::None` means the sender said nothing; codecs never fill in defaults while decoding;
//! - **foreign fields stay** in [`Extras`], tagged with the format that they came from, and go back out verbatim to it.

mod embedding;
mod event;
mod extras;
mod finish;
mod loss;
mod message;
mod model_list;
mod request;
mod response;
mod usage;

pub use embedding::{Embedding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, EncodingFormat};
pub use event::{Delta, PartHead, PartId, StreamEvent};
pub use extras::Extras;
pub use finish::{Finish, FinishReason};
pub use loss::Loss;
pub use message::{
    CacheMark, Citation, Content, Media, MediaKind, MediaSource, Message, Native, Opaque, OpaqueKind, Part,
    ReasoningPart, Role, Text, ToolCall, ToolCallKind, ToolResult,
};
pub use model_list::ModelInfo;
pub use request::{
    ChatRequest, Effort, FunctionTool, Namespace, OutputFormat, Reasoning, Sampling, Tool, ToolChoice, ToolKind,
};
pub use response::{ChatResponse, Choice};
pub use usage::{RawUsage, Units, Usage};
