//! Two kinds of trouble: bytes that cannot be read ([`DecodeError`]) and failures that travel over the wire ([`ApiError`]).

use std::time::Duration;

use crate::ApiFormat;

/// Bytes that are not what their format says. Knows where, not what status that means.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{format} {pointer}: {message}")]
pub struct DecodeError {
    /// The format that was expected.
    pub format: ApiFormat,
    /// JSON pointer to the trouble, empty for the whole body.
    pub pointer: String,
    /// What is wrong, as a lowercase fragment. Never contains the body.
    pub message: String,
}

impl DecodeError {
    /// Trouble at `pointer`.
    pub fn new(format: ApiFormat, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { format, pointer: pointer.into(), message: message.into() }
    }

    /// Trouble that serde found; it knows line and column.
    pub fn json(format: ApiFormat, error: &serde_json::Error) -> Self {
        Self::new(format, "", error.to_string())
    }
}

/// A failure as it travels over the wire, read from a provider or written to a client.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// What it means.
    pub kind: ApiErrorKind,
    /// HTTP status, where known; in a stream often not.
    pub status: Option<u16>,
    /// For people. A provider's words are kept, clients match on them.
    pub message: String,
    /// The provider's own code (`context_length_exceeded`, `RESOURCE_EXHAUSTED`, `1302`).
    pub code: Option<String>,
    /// The provider's own type (`invalid_request_error`, `overloaded_error`).
    pub r#type: Option<String>,
    /// The field that is wrong.
    pub param: Option<String>,
    /// When to come back, if the body says so (headers are read elsewhere).
    pub retry_after: Option<Duration>,
    /// Our id of the request; encoders write it where their format has a place.
    pub request_id: Option<String>,
}

impl ApiError {
    /// A failure with its meaning and its words.
    pub fn new(kind: ApiErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: None,
            message: message.into(),
            code: None,
            r#type: None,
            param: None,
            retry_after: None,
            request_id: None,
        }
    }

    /// The status to answer with: the given one, else the usual one of the kind.
    pub fn status(&self) -> u16 {
        self.status.unwrap_or_else(|| self.kind.status())
    }
}

/// What a failure means, whoever reports it. The words of every format are in its `error.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApiErrorKind {
    /// 400: the request is wrong.
    InvalidRequest,
    /// 400: more tokens than the model takes.
    ContextLength,
    /// 400: refused by a content policy.
    ContentPolicy,
    /// 401: no or wrong key.
    Authentication,
    /// 402: no money.
    Billing,
    /// 403: key is good but not for this.
    Permission,
    /// 404: no such model.
    UnknownModel,
    /// 404: no such thing or path.
    NotFound,
    /// 409: the state does not allow it.
    Conflict,
    /// 413: the body is too large.
    TooLarge,
    /// 429: too many requests or tokens.
    RateLimit,
    /// 500, 502: the provider failed.
    Upstream,
    /// 503, 529: the provider has no room.
    Overloaded,
    /// 504, 408: it took too long.
    Timeout,
    /// 500: our own fault.
    Internal,
}

impl ApiErrorKind {
    /// The usual status.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::ContextLength | Self::ContentPolicy => 400,
            Self::Authentication => 401,
            Self::Billing => 402,
            Self::Permission => 403,
            Self::UnknownModel | Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::RateLimit => 429,
            Self::Internal => 500,
            Self::Upstream => 502,
            Self::Overloaded => 503,
            Self::Timeout => 504,
        }
    }

    /// What a bare status means.
    pub fn from_status(status: u16) -> Self {
        match status {
            401 => Self::Authentication,
            402 => Self::Billing,
            403 => Self::Permission,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            409 => Self::Conflict,
            413 => Self::TooLarge,
            429 => Self::RateLimit,
            503 | 529 => Self::Overloaded,
            500..=599 => Self::Upstream,
            _ => Self::InvalidRequest,
        }
    }
}
