//! The only place that dials out: pooled HTTP/1.1 over rustls, through a proxy if the channel has one.
//!
//! - [`Client`] sends one request; [`Clients`] keeps one client for every way of connecting ([`Dial`]), so that a change of configuration
//!   keeps connections, and running requests keep theirs;
//! - [`Body`] is a request's body: pieces that are never copied together, or a caller's body that streams through behind a piece that was
//!   already read;
//! - [`Reply`] is the answer with a streaming body; [`timeouts`] limits every kind of waiting for it;
//! - addresses that no provider has are refused after the name has been resolved, too (`connect`).
//!
//! Why this client and not another: `docs/design/0001-http-client.md`. Must not know: formats, channels, retries.

mod body;
mod client;
mod connect;
mod error;
mod fetch;
pub mod timeouts;
mod wire;

pub use body::{Body, ReplyBody};
pub use client::{Client, Clients, Reply};
pub use error::UpstreamError;

use crate::providers::Dial;

#[cfg(test)]
mod channel_tests;
#[cfg(test)]
mod tests;
