//! What is remembered of a request.

use myelin_protocol::ir::Usage;
use serde::{Deserialize, Serialize};

use super::NanoUsd;

/// One client call, written once, when it is over.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct RequestRecord {
    /// `req_` and 32 hex digits of a UUIDv7: sorts by time.
    pub id: String,
    /// Milliseconds since 1970.
    pub started: u64,
    /// Microseconds from the first byte in to the last byte out.
    pub duration_us: u64,
    /// Microseconds to the first content out, streams only.
    pub first_token_us: Option<u64>,
    /// Microseconds that Myelin itself took (everything but waiting for the upstream).
    pub overhead_us: u64,
    /// How it ended.
    pub state: RequestState,
    /// HTTP status that the client got.
    pub status: u16,
    /// Path as asked.
    pub path: String,
    /// Client format or surface (`openai-chat`, `embeddings`, `models` …).
    pub format: String,
    /// The model that was asked for.
    pub model: String,
    /// Channel that answered (or failed last).
    pub channel: Option<String>,
    /// Upstream's name of the model.
    pub upstream_model: Option<String>,
    /// Upstream format; equal to `format` means bytes passed unchanged.
    pub upstream_format: Option<String>,
    /// Profile that was active for it.
    pub profile: String,
    /// Which rule of the profile fired.
    pub rule: Option<String>,
    /// Id of the virtual key.
    pub key: Option<String>,
    /// Tool of the key, else read from the user agent.
    pub tool: Option<String>,
    /// Session or conversation id that the client sent (Claude Code, Codex, `x-thread-id` …).
    pub session: Option<String>,
    /// Trace id that the client sent.
    pub trace: Option<String>,
    /// Whether the client asked for a stream.
    pub stream: bool,
    /// Tries, in order.
    pub attempts: Vec<AttemptRecord>,
    /// Tokens by class; `None` is unknown.
    #[schema(value_type = Option<Object>)]
    pub usage: Option<Usage>,
    /// What it cost; `None` is unpriced.
    pub cost: Option<NanoUsd>,
    /// Fields that the target could not carry.
    pub losses: Vec<String>,
    /// Kind of failure ([`crate::error::Kind`] label).
    pub error: Option<String>,
    /// The failure in words.
    pub error_message: Option<String>,
    /// Bytes of the request body.
    pub bytes_in: u64,
    /// Bytes of the response body.
    pub bytes_out: u64,
    /// Why the answer ended, in unified words.
    pub finish: Option<String>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequestState {
    /// The client got a whole answer.
    Completed,
    /// The answer broke off after content had been sent.
    Interrupted,
    /// The client left.
    Canceled,
    /// The client got an error.
    #[default]
    Failed,
}

/// One try at one deployment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct AttemptRecord {
    /// The channel.
    pub channel: String,
    /// Upstream's name of the model.
    pub upstream_model: String,
    /// Which credential, by position.
    pub credential: u32,
    /// Upstream format.
    pub format: String,
    /// Microseconds after the request began.
    pub offset_us: u64,
    /// Microseconds that it took.
    pub duration_us: u64,
    /// Microseconds to the upstream's first byte.
    pub first_byte_us: Option<u64>,
    /// HTTP status of the upstream.
    pub status: Option<u16>,
    /// How it went.
    pub outcome: AttemptOutcome,
    /// The failure in words, secrets removed.
    pub error: Option<String>,
    /// Upstream's request id, for its support.
    pub upstream_request_id: Option<String>,
}

/// How an attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptOutcome {
    /// It answered.
    Answered,
    /// It refused or failed; another one was or could be tried.
    #[default]
    Failed,
    /// It took too long.
    TimedOut,
    /// It broke off after content.
    Interrupted,
    /// The client left.
    Canceled,
}
