//! How hard an answer is tried for: retries, hedges, races, mirrors, the answer cache.
//!
//! Everything is optional: the narrowest place that says something wins (models of a channel, channel, key, route, profile, gateway, built in).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Override, Timeouts};

/// What holds for requests, said by the gateway, a profile, a route or a key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Second tries.
    #[serde(skip_serializing_if = "Retry::is_empty")]
    pub retry: Retry,
    /// A second deployment is started when the first content is later than this; 0 never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge_after_ms: Option<u64>,
    /// So many deployments are asked at once and the first answer wins; 1 is no race.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub race: Option<u32>,
    /// A second target that gets a copy of some requests; its answers are dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
    /// Models to go to when a request is longer than the model takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub context_fallback: Vec<String>,
    /// Models to go to when a provider's content policy refuses a request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub content_fallback: Vec<String>,
    /// Answers that are kept and given again.
    #[serde(skip_serializing_if = "CachePolicy::is_empty")]
    pub cache: CachePolicy,
    /// When a key whose traffic is out of the ordinary is held back; said by the gateway or by a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_breaker: Option<KeyBreaker>,
}

impl Policy {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Second tries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// How often one deployment may be asked again; 1 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same: Option<u32>,
    /// The wait before the first second try, in milliseconds; doubles with each further one. 250 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_ms: Option<u64>,
    /// The longest such wait. 5000 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_max_ms: Option<u64>,
    /// The longest wait that a provider may ask for (`Retry-After`) and still be waited for. 3000 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_wait_ms: Option<u64>,
    /// What follows on which failure.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub on: BTreeMap<FailureClass, RetryAction>,
    /// What follows when a stream breaks off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_streams: Option<CutStreams>,
}

impl Retry {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Why an attempt failed, as far as retrying is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// No connection could be made.
    Connect,
    /// A limit on waiting was reached.
    Timeout,
    /// The provider's limit on requests or tokens (429).
    RateLimit,
    /// The provider has no room (503, 529).
    Overloaded,
    /// The provider failed (5xx).
    Failed,
    /// The connection or the stream broke off.
    Cut,
    /// An answer without any content.
    Empty,
    /// The provider refuses the channel's credential or account.
    Denied,
    /// The provider does not have the model.
    UnknownModel,
    /// The request is longer than the model takes.
    ContextLength,
    /// A content policy refuses the request.
    ContentPolicy,
    /// The provider says that the request is wrong (other 4xx).
    Rejected,
}

/// What follows on a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RetryAction {
    /// It is told to the caller.
    Never,
    /// Another deployment or credential is tried.
    Elsewhere,
    /// The same deployment too, after a wait.
    Again,
}

/// What follows when a stream breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CutStreams {
    /// It is told to the caller.
    Off,
    /// Another try, as long as the caller has seen nothing.
    #[default]
    Retry,
    /// The same; and when the caller has seen the beginning of a plain text, a deployment that can go on from it is asked for the rest.
    Resume,
}

/// A second target that gets a copy of some requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// A model, a route or `channel/model`.
    pub to: String,
    /// Of a hundred requests so many are copied.
    #[serde(default = "all")]
    pub percent: u8,
}

fn all() -> u8 {
    100
}

/// Answers that are kept and given again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CachePolicy {
    /// Which requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<CacheMode>,
    /// How long an answer is kept, in seconds. 3600 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// Callers with the same namespace share answers. Without one each key has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Identical requests in flight share one call to the provider. True unless said otherwise, where the cache is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_in_flight: Option<bool>,
}

impl CachePolicy {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Which requests may be answered from the cache. Each allows all that those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CacheMode {
    /// None.
    #[default]
    Off,
    /// Those with temperature 0 and embeddings; answers that call tools are not kept.
    Deterministic,
    /// Those that name no temperature too.
    Unsampled,
    /// Any temperature; answers that call tools are kept too.
    All,
}

/// When a virtual key whose traffic is out of the ordinary is held back. What says nothing is not watched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeyBreaker {
    /// Of a hundred of its requests so many were wrong: refused by the provider or by us for what they ask. 0 or absent: not watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_percent: Option<u32>,
    /// With fewer requests nothing is said about errors. 20 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_requests: Option<u32>,
    /// It spends more than so many times what it usually does. 0 or absent: not watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend_times: Option<u32>,
    /// Less spend than this is no spike, in cents of a dollar. 100 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_spend_cents: Option<u32>,
    /// The time that is looked at, in seconds. 300 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u32>,
    /// For how long it is held back, in seconds; 0: until it is released. 600 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_seconds: Option<u32>,
}

impl KeyBreaker {
    /// Whether anything is watched.
    pub fn watches(&self) -> bool {
        self.error_percent.is_some_and(|percent| percent > 0) || self.spend_times.is_some_and(|times| times > 0)
    }

    /// With fewer requests nothing is said about errors.
    pub fn least_requests(&self) -> u64 {
        u64::from(self.least_requests.unwrap_or(20))
    }

    /// Less spend than this is no spike.
    pub fn least_spend_nanos(&self) -> u64 {
        u64::from(self.least_spend_cents.unwrap_or(100)).saturating_mul(10_000_000)
    }

    /// The time that is looked at.
    pub fn window_seconds(&self) -> u64 {
        u64::from(self.window_seconds.unwrap_or(300))
    }

    /// For how long it is held back; 0: until it is released.
    pub fn hold_seconds(&self) -> u64 {
        u64::from(self.hold_seconds.unwrap_or(600))
    }
}

/// What holds for some models of a channel.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelTuning {
    /// The provider's names of the models, `*` as a wildcard.
    #[serde(rename = "match")]
    pub models: super::Patterns,
    /// Limits on waiting.
    #[serde(skip_serializing_if = "Timeouts::is_empty")]
    pub timeouts: Timeouts,
    /// Second tries.
    #[serde(skip_serializing_if = "Retry::is_empty")]
    pub retry: Retry,
    /// Changes in requests and answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}
