//! Settings of the gateway. What file, environment or flags fix is read-only here.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Admin;
use super::auth::Who;
use super::error::{AdminError, Failure};
use super::extract::Sent;
use crate::model::{Entities, Settings};
use crate::store::Change;

/// The settings in force.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct SettingsView {
    settings: Settings,
    /// Names that file, environment or flags fix.
    fixed: Vec<String>,
}

impl From<&Entities> for SettingsView {
    fn from(entities: &Entities) -> Self {
        Self { settings: entities.settings.clone(), fixed: entities.fixed_settings.iter().cloned().collect() }
    }
}

/// The settings in force.
#[utoipa::path(get, path = "/api/v1/settings", tag = "settings", operation_id = "get_settings", responses((status = 200, body = SettingsView)))]
pub(super) async fn read(State(admin): State<Admin>) -> Json<SettingsView> {
    Json(admin.services.store.entities().as_ref().into())
}

/// Changes settings by the names of the file; what is omitted stays as it is, `null` goes back to the default.
#[utoipa::path(patch, path = "/api/v1/settings", tag = "settings", operation_id = "patch_settings", request_body = Object,
    responses((status = 200, body = SettingsView), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn patch(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Sent(values): Sent<Map<String, Value>>,
) -> Result<Json<SettingsView>, AdminError> {
    let applied = admin.services.store.apply(Change::SetSettings(values), &who.0).await?;
    Ok(Json(applied.entities.as_ref().into()))
}
