//! Routes: from a model's name to ordered groups of deployments.

use serde::{Deserialize, Serialize};

use super::{Origin, Policy};

/// A rule from a model to ordered groups of deployments. Its model is its identity.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The name that clients ask for.
    pub model: String,
    /// Groups in order; a lower one is strict cold standby.
    pub groups: Vec<RouteGroup>,
    /// Retries, hedges, races, mirrors and the answer cache for this model.
    #[serde(default, skip_serializing_if = "Policy::is_empty")]
    pub policy: Policy,
    /// Where it is declared.
    #[serde(default)]
    pub origin: Origin,
}

/// One group of a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteGroup {
    /// How to choose within the group.
    #[serde(default)]
    pub strategy: Strategy,
    /// `channel/model`, `channel/*` or `tag:t`.
    #[serde(rename = "use")]
    pub targets: Vec<String>,
}

/// How to choose within a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Weighted, in smooth rotation.
    #[default]
    Weighted,
    /// In the order written.
    Ordered,
}
