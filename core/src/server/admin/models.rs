//! What can be asked for, and the catalog of providers.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Admin;
use crate::providers::Catalog;
use crate::routing::ECHO;

/// One name that can be asked for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ModelView {
    /// The name.
    name: String,
    /// There is a route for it.
    routed: bool,
    /// Channels that list it and take part.
    channels: Vec<String>,
}

/// Names that can be asked for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct OfferedModels {
    models: Vec<ModelView>,
}

/// A row of the catalog.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ProviderView {
    /// What `provider` of a channel says.
    id: String,
    /// For people.
    name: String,
    /// Where its documentation is.
    docs: Option<String>,
    /// Variables of the environment that usually hold its key.
    keys: Vec<String>,
    /// Its usual address; `{name}` is an option of the channel.
    base_url: String,
    /// The address only shows how to write one: every channel must have its own.
    needs_address: bool,
    /// It needs no credential.
    keyless: bool,
    /// The formats that it speaks.
    formats: Vec<String>,
    /// What to know.
    notes: Option<String>,
}

/// The catalog.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ProviderList {
    providers: Vec<ProviderView>,
}

/// Every name that can be asked for now.
#[utoipa::path(get, path = "/api/v1/models", tag = "models", operation_id = "list_models", responses((status = 200, body = OfferedModels)))]
pub(super) async fn models(State(admin): State<Admin>) -> Json<OfferedModels> {
    let snapshot = admin.services.snapshot.load();
    let routing = &snapshot.routing;
    let mut models: Vec<ModelView> = routing
        .names()
        .into_iter()
        .map(|name| ModelView {
            name: name.to_owned(),
            routed: routing.is_routed(name),
            channels: routing.owners(name).map(str::to_owned).collect(),
        })
        .collect();
    models.push(ModelView { name: ECHO.to_owned(), routed: false, channels: Vec::new() });
    Json(OfferedModels { models })
}

/// Every provider of the catalog.
#[utoipa::path(get, path = "/api/v1/providers", tag = "models", operation_id = "list_providers", responses((status = 200, body = ProviderList)))]
pub(super) async fn providers() -> Json<ProviderList> {
    let rows = Catalog::builtin().iter().map(|row| ProviderView {
        id: row.id.clone(),
        name: row.name.clone(),
        docs: row.docs.clone(),
        keys: row.keys.clone(),
        base_url: row.base_url.clone(),
        needs_address: row.needs_address,
        keyless: row.keyless,
        formats: row.formats().map(|format| format.as_str().to_owned()).collect(),
        notes: row.notes.clone(),
    });
    Json(ProviderList { providers: rows.collect() })
}
