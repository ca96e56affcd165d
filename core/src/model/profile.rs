//! Profiles: named sets of mapping rules.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::conditions::one_or_many;
use super::{Conditions, Origin, Override, Policy, Strategy};

/// A named, ordered list of rules. First match wins; no match passes the name through. Its name is its identity; `direct` is built in and maps nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Unique name.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Rules in order.
    #[serde(default)]
    pub rules: Vec<ProfileRule>,
    /// Only these channels may serve: names, globs, `tag:t`; with `!` before it: not these. Empty allows all.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// How to choose within groups, in place of what routes say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
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
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileRule {
    /// Exact name or glob with `*`.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub glob: Option<String>,
    /// Regular expression; captures can be used in `to` as `$1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// What else must hold.
    #[serde(default, rename = "if", skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// A model, a route or `channel/model`. In a glob's target `$1` is what its first star stood for.
    pub to: String,
    /// Tried in order when `to` fails.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// Body fields (names of the caller's format) to set.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub set: Map<String, Value>,
}
