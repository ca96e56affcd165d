//! How the gateway is, and what was changed by whom.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::error::{AdminError, Failure};
use super::extract::Asked;
use crate::model::check::Problem;
use crate::store::{BodiesHealth, ChangeEntry, LedgerHealth, StoreError};

const USUAL_LIMIT: usize = 50;
const MOST: usize = 1_000;

/// Where the gateway is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Facts {
    /// Version of the program.
    pub version: String,
    /// Process.
    pub pid: u32,
    /// Milliseconds since 1970.
    pub started: u64,
    /// Addresses that are listened on.
    pub listen: Vec<String>,
    /// The store's file.
    pub store: String,
    /// The configuration file, if there is one.
    pub config: Option<String>,
    /// The desktop app has it: the console is not served to browsers unless the settings say so.
    #[serde(default)]
    pub desktop: bool,
}

/// How the gateway is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Status {
    #[serde(flatten)]
    facts: Facts,
    /// Console and admin API are served on these addresses: the settings say so, or it is usual here.
    console: bool,
    /// The gateway's active profile.
    active_profile: String,
    /// Channels that are configured.
    channels: usize,
    /// Channels that take part.
    channels_serving: usize,
    /// Channels that have something out of rotation.
    degraded: Vec<String>,
    /// Virtual keys.
    keys: usize,
    /// Names that can be asked for.
    models: usize,
    /// Request records that are kept.
    requests: u64,
    /// How the writing of records goes.
    ledger: LedgerHealth,
    /// How the keeping of bodies goes.
    bodies: BodiesHealth,
    /// Copies of bodies that were not made because requests in flight held too many.
    bodies_not_copied: u64,
    /// Requests in flight.
    in_flight: usize,
    /// Provider secrets are sealed with a key file beside the store.
    key_file: bool,
    /// What is configured and surely not as meant.
    problems: Vec<Problem>,
}

/// How the gateway is.
#[utoipa::path(get, path = "/api/v1/status", tag = "status", operation_id = "get_status", responses((status = 200, body = Status)))]
pub(super) async fn status(State(admin): State<Admin>) -> Json<Status> {
    let store = &admin.services.store;
    let entities = store.entities();
    let snapshot = admin.services.snapshot.load();
    let facts = admin.desk.facts();
    Json(Status {
        console: entities.settings.console.unwrap_or(!facts.desktop),
        facts,
        active_profile: entities.active_profile.clone(),
        channels: entities.channels.len(),
        channels_serving: snapshot.lines.len(),
        degraded: super::health::degraded(&admin),
        keys: entities.keys.len(),
        models: snapshot.routing.names().len(),
        requests: store.ledger().count().unwrap_or_default(),
        ledger: store.ledger().health(),
        bodies: store.bodies().health(),
        bodies_not_copied: admin.services.flights.copies_dropped(),
        in_flight: admin.services.flights.list().len(),
        key_file: store.uses_key_file(),
        problems: store.problems(),
    })
}

/// Which changes are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ChangesQuery {
    /// At most so many; up to 1000.
    limit: Option<usize>,
    /// Only those before this one.
    before: Option<u64>,
}

/// Changes, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ChangeList {
    changes: Vec<ChangeEntry>,
}

/// What was changed, when and by whom.
#[utoipa::path(get, path = "/api/v1/changes", tag = "status", operation_id = "list_changes", params(ChangesQuery),
    responses((status = 200, body = ChangeList), (status = 400, body = Failure)))]
pub(super) async fn changes(
    State(admin): State<Admin>,
    Asked(query): Asked<ChangesQuery>,
) -> Result<Json<ChangeList>, AdminError> {
    let store = admin.services.store.clone();
    let limit = query.limit.unwrap_or(USUAL_LIMIT).clamp(1, MOST);
    let read = tokio::task::spawn_blocking(move || store.changes(query.before, limit)).await;
    Ok(Json(ChangeList { changes: read.unwrap_or(Err(StoreError::Closed))? }))
}
