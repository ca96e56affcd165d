//! What one change did, and taking it back.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Admin;
use super::auth::Who;
use super::error::{AdminError, Failure};
use super::extract::Named;
use crate::model::check::Problem;
use crate::store::{ChangeEntry, ChangeError, ChangedThing, StoreError};

/// One change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ChangeView {
    #[serde(flatten)]
    change: ChangeEntry,
    /// What it did to each thing, secrets left out. Empty: nothing is kept of it.
    things: Vec<ChangedThing>,
}

/// A change was taken back.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Undone {
    ok: bool,
    /// What is configured now and surely not as meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Problem>,
}

fn position(id: &str) -> Result<u64, AdminError> {
    id.parse().map_err(|_| ChangeError::NotFound { what: "change", name: id.to_owned() }.into())
}

/// One change: who, when, and what stood there before and after.
#[utoipa::path(get, path = "/api/v1/changes/{id}", tag = "status", operation_id = "get_change", params(("id" = String, Path)),
    responses((status = 200, body = ChangeView), (status = 404, body = Failure)))]
pub(super) async fn one(State(admin): State<Admin>, Named(id): Named) -> Result<Json<ChangeView>, AdminError> {
    let (store, id) = (admin.services.store.clone(), position(&id)?);
    let found = tokio::task::spawn_blocking(move || store.change(id)).await;
    let (change, things) = found.unwrap_or(Err(StoreError::Closed.into()))?;
    Ok(Json(ChangeView { change, things }))
}

/// Takes a change back: what it touched becomes what it was. Refused if something later touched the same. Taking that back redoes it.
#[utoipa::path(post, path = "/api/v1/changes/{id}/undo", tag = "status", operation_id = "undo_change", params(("id" = String, Path)),
    responses((status = 200, body = Undone), (status = 404, body = Failure), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn undo(
    State(admin): State<Admin>,
    Extension(Who(who)): Extension<Who>,
    Named(id): Named,
) -> Result<Json<Undone>, AdminError> {
    let (store, id) = (admin.services.store.clone(), position(&id)?);
    let done = tokio::task::spawn_blocking(move || store.undo_blocking(id, &who)).await;
    let applied = done.unwrap_or(Err(StoreError::Closed.into()))?;
    Ok(Json(Undone { ok: true, warnings: applied.warnings }))
}
