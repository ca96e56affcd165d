//! Following the configuration: whoever shows it asks again and again and is answered as soon as something changed.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::error::{AdminError, Failure};
use super::extract::Asked;

/// Longest wait, in seconds.
const LONGEST_WAIT: u64 = 55;

/// What to wait for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct VersionQuery {
    /// The version that is known; absent: the answer comes at once.
    not: Option<u64>,
    /// How long to wait for another one, in seconds; up to 55.
    wait: Option<u64>,
}

/// The configuration in force.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Version {
    /// Changes with every change of the configuration, and when the gateway starts again.
    version: u64,
    /// The gateway's active profile.
    active_profile: String,
}

/// Follows the configuration: answers when it is another one than the caller knows, or when the wait is over.
#[utoipa::path(get, path = "/api/v1/version", tag = "status", operation_id = "follow_configuration", params(VersionQuery),
    responses((status = 200, body = Version), (status = 400, body = Failure)))]
pub(super) async fn follow(
    State(admin): State<Admin>,
    Asked(query): Asked<VersionQuery>,
) -> Result<Json<Version>, AdminError> {
    // A gateway that starts again counts anew: its own start tells its versions from those of its last life.
    let started = admin.desk.facts().started;
    let wait = Duration::from_secs(query.wait.unwrap_or(0).min(LONGEST_WAIT));
    let mut changes = admin.services.store.subscribe();
    let other = |version: u64| Some(started.wrapping_add(version)) != query.not;
    let waited = tokio::time::timeout(wait, changes.wait_for(|entities| other(entities.version))).await;
    let entities = match waited {
        Ok(Ok(entities)) => entities.clone(),
        _ => admin.services.store.entities(),
    };
    let version = started.wrapping_add(entities.version);
    Ok(Json(Version { version, active_profile: entities.active_profile.clone() }))
}
