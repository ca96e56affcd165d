//! Providers: what each vendor is like (data), and one configured account at a vendor, ready to build requests from.
//!
//! ```text
//! catalog.toml ──> Catalog ┐
//! model::Channel ──────────┼──> LiveChannel ── accepts ──> Accepted ── request ──> Prepared ── authorize ──> sent by `upstream`
//! secrets ─────────────────┘        └── classify(status, headers, ApiError) ──> GatewayError
//! ```
//!
//! - [`catalog`] reads `catalog.toml`; adding a provider is one row there. [`Provider`] documents every field.
//! - [`LiveChannel`] parses addresses and secrets once, when the snapshot is built; requests only copy.
//! - `azure` and `vertex` are the two vendors whose addresses do not fit a template; `sigv4` and `gcp` the two whose keys need work.
//! - [`classify()`] says what an answer that is no success means; its rules are data too.
//!
//! Must not know: sockets (what it needs fetched goes through [`Fetch`]), which credential or deployment is next (that is `routing`).

mod addresses;
mod auth;
mod azure;
mod base;
pub mod catalog;
pub mod classify;
mod endpoint;
mod error;
mod gcp;
pub mod guard;
mod headers;
mod live;
mod models;
mod operation;
mod options;
mod pattern;
mod plan;
mod probe;
mod reach;
mod request;
mod retry_after;
mod sigv4;
mod template;
mod vertex;

pub use addresses::{Addresses, Order};
pub use auth::{Payload, Prepared};
pub use catalog::{AuthStyle, Catalog, ModelListWire, Provider, RerankWire, Surface};
pub use classify::classify;
pub use endpoint::Accepted;
pub use error::ChannelError;
pub use live::{Dial, LiveChannel, SecretResolver};
pub use models::{Look, list_models, look};
pub use operation::{ClientHead, Operation};
pub use options::BuiltinRows;
pub use pattern::Pattern;
pub use probe::{TestReport, test};
pub use retry_after::retry_after;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

/// Sends one request and reads the whole answer: how providers get tokens, model lists and test answers without knowing sockets.
///
/// The HTTP client of `upstream` is one; it refuses answers above a limit and gives up after a while.
pub trait Fetch: Send + Sync {
    /// Sends `request`. An error says in words for people what went wrong on the way; any status is an answer.
    fn fetch(&self, request: http::Request<Bytes>) -> Fetched<'_>;
}

/// What [`Fetch::fetch`] promises.
pub type Fetched<'a> = Pin<Box<dyn Future<Output = Result<http::Response<Bytes>, FetchError>> + Send + 'a>>;

/// An answer that never came.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct FetchError {
    /// What went wrong, as a lowercase fragment. Holds no secret.
    pub message: String,
    /// It took too long.
    pub timed_out: bool,
}

#[cfg(test)]
mod fixtures_test;
#[cfg(test)]
mod tests;
