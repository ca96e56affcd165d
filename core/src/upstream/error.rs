//! What goes wrong between us and a provider before it has answered, or while its answer is on the way.

use crate::error::{GatewayError, Kind, Retry, codes};

/// A failure of the connection to a provider. Messages hold hosts, never queries or headers.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The connection cannot be made: name, route, refusal, proxy, TLS.
    #[error("cannot connect to {host}: {why}")]
    Connect {
        /// Host and port.
        host: String,
        /// In words.
        why: String,
    },
    /// The address is one that no provider has.
    #[error("{host} is refused: {why}")]
    Refused {
        /// Host and port.
        host: String,
        /// In words.
        why: &'static str,
    },
    /// The connection broke before the answer's head had come.
    #[error("{host} closed the connection before it answered: {why}")]
    Broken {
        /// Host and port.
        host: String,
        /// In words.
        why: String,
    },
    /// The answer broke off.
    #[error("the answer broke off: {0}")]
    Cut(String),
    /// The caller's body could not be read to its end.
    #[error("the request's body broke off: {0}")]
    RequestBody(String),
    /// Something took too long.
    #[error("{what} took longer than {ms} ms")]
    Timeout {
        /// What.
        what: Waiting,
        /// The limit.
        ms: u64,
    },
    /// The answer is larger than we are willing to hold.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// What was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// TCP and TLS.
    Connect,
    /// The answer's head.
    FirstByte,
    /// The first content of a stream.
    FirstToken,
    /// The next bytes.
    Idle,
    /// The whole attempt.
    Total,
}

impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::FirstByte => "the first byte",
            Self::FirstToken => "the first token",
            Self::Idle => "the next bytes",
            Self::Total => "the whole answer",
        })
    }
}

impl UpstreamError {
    /// Whether it is a matter of time.
    pub fn timed_out(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Whether there was no connection, so that nothing of the request can have been heard.
    pub fn unconnected(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Timeout { what: Waiting::Connect, .. })
    }

    /// What the failure means for a request. A connection that could not be made may be made elsewhere; one that broke may work again.
    pub fn into_gateway(self, channel: &str) -> GatewayError {
        let (kind, retry) = match &self {
            Self::Connect { .. } | Self::Refused { .. } | Self::TooLarge(_) => (Kind::UpstreamFailed, Retry::Elsewhere),
            Self::Broken { .. } | Self::Cut(_) => (Kind::UpstreamFailed, Retry::Again { after: None }),
            Self::Timeout { what: Waiting::Connect, .. } => (Kind::Timeout, Retry::Elsewhere),
            Self::Timeout { .. } => (Kind::Timeout, Retry::Elsewhere),
            Self::RequestBody(_) => (Kind::ClientGone, Retry::Never),
        };
        let code = match &self {
            Self::Connect { .. } | Self::Refused { .. } => Some(codes::CONNECT),
            Self::Broken { .. } | Self::Cut(_) => Some(codes::CUT),
            _ => None,
        };
        let error = GatewayError::new(kind, format!("channel `{channel}`: {self}")).retry(retry);
        match code {
            Some(code) => error.code(code).caused_by(self),
            None => error.caused_by(self),
        }
    }
}
