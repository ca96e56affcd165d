//! Mock model providers: loopback servers that speak each provider's wire, answer like a small deterministic model, and refuse what the real
//! provider refuses, naming the rule.
//!
//! ```text
//! request ── route ── key ── wire::*::read (rules) ──> model::Turn ── model::answer ──> Reply ── wire::*::stream ──> frame ── delivery ──> bytes
//!                                    └── Refusal ── errors (the provider's own shape)              script: trouble on the way ┘
//! ```
//!
//! - [`MockServer`] runs in a test's process; the binary `mock-upstream` runs the same by hand, for benches and for real clients;
//! - the first segment of a path names the provider: [`provider::PROVIDERS`];
//! - [`Script`]s change single answers; `[[…]]` directives in the user's text do the same through any gateway;
//! - [`MockServer::requests`] tells what arrived, whether it was refused, and whether the client left early.
//!
//! Knows nothing of the gateway: it shares no code with what it tests.
#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value by name yields null; the lint cannot tell it from a slice"
)]

mod delivery;
mod errors;
mod frame;
pub mod model;
mod operate;
pub mod provider;
mod refusal;
mod route;
mod schema;
mod script;
mod server;
mod signature;
mod sigv4;
mod state;
mod wire;

pub use delivery::Progress;
pub use errors::ErrorShape;
pub use refusal::{Kind, Refusal};
pub use script::{Delivery, Forced, Script, Verbatim};
pub use server::MockServer;
pub use signature::{Family, open, seal, sign, verify};
pub use state::Recorded;
pub use wire::embeddings::vector;

/// A key that every mock provider takes. Others that start with `mock-` are taken too, but not `mock-bad…`; `mock-limited…` meets 429.
pub const KEY: &str = "mock-key";
/// AWS credentials that the Bedrock mock takes: access key id and secret; requests signed with them are verified.
pub const AWS_KEY: (&str, &str) = ("AKIAMOCKMOCKMOCKMOCK", "mock-secret");
