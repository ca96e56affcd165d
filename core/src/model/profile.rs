//! Profiles: named sets of mapping rules.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Origin, Override, Policy};

/// A named, ordered list of rules. First match wins; no match passes the name through. Its name is its identity; `direct` is built in and maps nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Unique name.
    pub name: String,
    /// Rules in order.
    #[serde(default)]
    pub rules: Vec<ProfileRule>,
    /// Changes in requests and answers, in the caller's words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// Retries, hedges, races, mirrors and the answer cache while this profile holds.
    #[serde(default, skip_serializing_if = "Policy::is_empty")]
    pub policy: Policy,
    /// Where it is declared.
    #[serde(default)]
    pub origin: Origin,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileRule {
    /// Exact name or glob with `*`.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub glob: Option<String>,
    /// Regular expression; captures can be used in `to` as `$1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// A model, a route or `channel/model`.
    pub to: String,
    /// Tried in order when `to` fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// Body fields (names of the caller's format) to set.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub set: Map<String, Value>,
}

/// What a rule matches on, once compiled by the layer that resolves names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleMatch {
    /// Everything.
    Any,
    /// Exactly this name.
    Exact(String),
    /// A glob with `*`.
    Glob(String),
    /// A regular expression.
    Regex(String),
}
