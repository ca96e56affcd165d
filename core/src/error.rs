//! The one failure of the gateway: what kind, whose fault, whether another try makes sense, and what the caller may read.

use std::fmt;
use std::time::Duration;

use myelin_protocol::{ApiError, ApiErrorKind, DecodeError};

use crate::model::FailureClass;

/// Codes of the gateway's own that tell failures of one kind apart.
pub mod codes {
    /// No connection to the provider could be made.
    pub const CONNECT: &str = "upstream_unreachable";
    /// The provider knows the key, and it is not for this.
    pub const NOT_FOR_THIS: &str = "upstream_forbidden";
    /// The connection, or the provider's answer, broke off.
    pub const CUT: &str = "upstream_cut";
    /// The provider's answer holds nothing.
    pub const EMPTY: &str = "upstream_empty";
}

/// What went wrong, in the words of logs, metrics and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No key or a wrong one.
    Unauthorized,
    /// The key is good but not for this.
    Forbidden,
    /// Nobody offers the model.
    UnknownModel,
    /// The path is none of ours.
    NotFound,
    /// The request is wrong.
    InvalidRequest,
    /// The request asks for what cannot be carried.
    Unsupported,
    /// The body is too large.
    TooLarge,
    /// The client announced a body and did not send it.
    SlowClient,
    /// A limit of the gateway.
    RateLimited,
    /// A budget of the gateway.
    BudgetExceeded,
    /// There are channels for the model, but none may or can serve now.
    NoCandidate,
    /// The provider says that the request is wrong.
    UpstreamRejected,
    /// The provider's limit.
    UpstreamRateLimited,
    /// The provider refuses our credential or has no credit.
    UpstreamDenied,
    /// The provider failed.
    UpstreamFailed,
    /// It took too long.
    Timeout,
    /// The client left.
    ClientGone,
    /// Our own fault.
    Internal,
}

impl Kind {
    /// Every kind with its label: metric label, log field, record field.
    pub const LABELS: [(Kind, &'static str); 18] = [
        (Kind::Unauthorized, "unauthorized"),
        (Kind::Forbidden, "forbidden"),
        (Kind::UnknownModel, "unknown_model"),
        (Kind::NotFound, "not_found"),
        (Kind::InvalidRequest, "invalid_request"),
        (Kind::Unsupported, "unsupported"),
        (Kind::TooLarge, "too_large"),
        (Kind::SlowClient, "slow_client"),
        (Kind::RateLimited, "rate_limited"),
        (Kind::BudgetExceeded, "budget_exceeded"),
        (Kind::NoCandidate, "no_candidate"),
        (Kind::UpstreamRejected, "upstream_rejected"),
        (Kind::UpstreamRateLimited, "upstream_rate_limited"),
        (Kind::UpstreamDenied, "upstream_denied"),
        (Kind::UpstreamFailed, "upstream_failed"),
        (Kind::Timeout, "timeout"),
        (Kind::ClientGone, "client_gone"),
        (Kind::Internal, "internal"),
    ];

    /// The label of the kind.
    pub fn label(self) -> &'static str {
        Self::LABELS.iter().find(|(kind, _)| *kind == self).map_or("internal", |(_, label)| label)
    }

    /// Whose fault it is.
    pub fn side(self) -> Side {
        match self {
            Kind::Unauthorized
            | Kind::Forbidden
            | Kind::UnknownModel
            | Kind::NotFound
            | Kind::InvalidRequest
            | Kind::Unsupported
            | Kind::TooLarge
            | Kind::SlowClient
            | Kind::ClientGone => Side::Client,
            Kind::RateLimited | Kind::BudgetExceeded | Kind::NoCandidate | Kind::Internal => Side::Gateway,
            Kind::UpstreamRejected
            | Kind::UpstreamRateLimited
            | Kind::UpstreamDenied
            | Kind::UpstreamFailed
            | Kind::Timeout => Side::Upstream,
        }
    }

    /// What it is in the words of the wire; gives the usual status.
    pub fn api_kind(self) -> ApiErrorKind {
        match self {
            Kind::Unauthorized => ApiErrorKind::Authentication,
            Kind::Forbidden => ApiErrorKind::Permission,
            Kind::UnknownModel => ApiErrorKind::UnknownModel,
            Kind::NotFound => ApiErrorKind::NotFound,
            Kind::InvalidRequest | Kind::Unsupported | Kind::UpstreamRejected => ApiErrorKind::InvalidRequest,
            Kind::TooLarge => ApiErrorKind::TooLarge,
            Kind::RateLimited | Kind::UpstreamRateLimited => ApiErrorKind::RateLimit,
            Kind::BudgetExceeded => ApiErrorKind::Billing,
            Kind::NoCandidate => ApiErrorKind::Overloaded,
            Kind::UpstreamDenied | Kind::UpstreamFailed => ApiErrorKind::Upstream,
            Kind::Timeout | Kind::SlowClient => ApiErrorKind::Timeout,
            Kind::ClientGone | Kind::Internal => ApiErrorKind::Internal,
        }
    }
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The caller's.
    Client,
    /// Ours, or our owner's settings.
    Gateway,
    /// The provider's.
    Upstream,
}

/// Whether another try makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No: it would fail everywhere.
    Never,
    /// At another deployment (or another credential).
    Elsewhere,
    /// At the same deployment too, after a while.
    Again {
        /// How long the provider asks to wait.
        after: Option<Duration>,
    },
}

/// A failure of the gateway.
#[derive(Debug)]
pub struct GatewayError {
    /// What kind.
    pub kind: Kind,
    /// Whether another try makes sense.
    pub retry: Retry,
    /// What the caller may read, rendered in the caller's own format.
    pub public: ApiError,
    /// The cause, for the log only.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl GatewayError {
    /// A failure that no other try can help.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, retry: Retry::Never, public: ApiError::new(kind.api_kind(), message), source: None }
    }

    /// A request that is not what its format wants.
    pub(crate) fn unreadable(error: &DecodeError) -> Self {
        let place = if error.pointer.is_empty() { String::new() } else { format!("{}: ", error.pointer) };
        Self::new(Kind::InvalidRequest, format!("{place}{}", error.message))
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds a code that tells failures of one kind apart.
    #[must_use]
    pub fn code(mut self, code: &str) -> Self {
        self.public.code = Some(code.to_owned());
        self
    }

    /// Why it failed, as far as second tries are concerned; `None`: no attempt failed.
    pub fn class(&self) -> Option<FailureClass> {
        let code = self.public.code.as_deref().unwrap_or_default();
        Some(match (self.kind, self.public.kind) {
            (Kind::UpstreamFailed, _) if code == codes::CONNECT => FailureClass::Connect,
            (Kind::UpstreamFailed, _) if code == codes::CUT => FailureClass::Cut,
            (Kind::UpstreamFailed, _) if code == codes::EMPTY => FailureClass::Empty,
            (Kind::UpstreamFailed, ApiErrorKind::Overloaded) => FailureClass::Overloaded,
            (Kind::UpstreamFailed, _) => FailureClass::Failed,
            (Kind::Timeout, _) => FailureClass::Timeout,
            (Kind::UpstreamRateLimited, _) => FailureClass::RateLimit,
            (Kind::UpstreamDenied, _) => FailureClass::Denied,
            (Kind::UpstreamRejected, ApiErrorKind::ContextLength) => FailureClass::ContextLength,
            (Kind::UpstreamRejected, ApiErrorKind::ContentPolicy) => FailureClass::ContentPolicy,
            (Kind::UpstreamRejected, ApiErrorKind::UnknownModel | ApiErrorKind::NotFound) => FailureClass::UnknownModel,
            (Kind::UpstreamRejected, _) => FailureClass::Rejected,
            _ => return None,
        })
    }

    /// Says whether another try makes sense.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.label(), self.public.message)
    }
}

impl std::error::Error for GatewayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
