//! Owners: the tools, users, teams, projects and organisations that keys belong to.

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Who;
use super::error::{AdminError, Failure};
use super::extract::{Named, Sent, given};
use super::{Admin, Done};
use crate::model::{Entities, Origin, Owner, OwnerKind, OwnerRef, Target};
use crate::store::{Change, ChangeError};

/// An owner as it is shown.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct OwnerView {
    /// Its identity: `team:research`.
    owner: String,
    /// What it stands for.
    kind: OwnerKind,
    /// Unique among its kind.
    name: String,
    /// The owner above: `organisation:acme`.
    parent: Option<String>,
    /// Names of the keys that belong to it.
    keys: Vec<String>,
    /// Owners right below it.
    below: Vec<String>,
    /// Names of the limits on it.
    limits: Vec<String>,
    /// Where it is declared; `file` is read-only here.
    origin: Origin,
}

impl OwnerView {
    fn of(owner: &Owner, entities: &Entities) -> Self {
        let own = owner.reference();
        let keys = entities.keys.iter().filter(|key| {
            key.owner.as_ref() == Some(&own) || (own.kind == OwnerKind::Tool && key.tool.as_ref() == Some(&own.name))
        });
        let below = entities.owners.iter().filter(|below| below.parent.as_ref() == Some(&own));
        let limits = entities.limits.iter().filter(|limit| limit.on == Target::Owner(own.clone()));
        Self {
            kind: owner.kind,
            name: owner.name.clone(),
            parent: owner.parent.as_ref().map(ToString::to_string),
            keys: keys.map(|key| key.name.clone()).collect(),
            below: below.map(|below| below.reference().to_string()).collect(),
            limits: limits.map(|limit| limit.name.clone()).collect(),
            origin: owner.origin,
            owner: own.to_string(),
        }
    }
}

/// A new owner.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnerInput {
    /// What it stands for.
    kind: OwnerKind,
    /// Unique among its kind.
    name: String,
    /// The owner above: `organisation:acme`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    parent: Option<OwnerRef>,
}

/// What is to be changed of an owner.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OwnerPatch {
    /// The owner above; `null`: none.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    parent: Option<Option<OwnerRef>>,
}

/// Owners.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct OwnerList {
    owners: Vec<OwnerView>,
}

fn find(entities: &Entities, name: &str) -> Result<Owner, ChangeError> {
    let missing = || ChangeError::NotFound { what: "owner", name: name.to_owned() };
    let owner: OwnerRef = name.parse().map_err(|_| missing())?;
    entities.owner(&owner).cloned().ok_or_else(missing)
}

fn view(entities: &Entities, name: &str) -> Result<OwnerView, AdminError> {
    Ok(OwnerView::of(&find(entities, name)?, entities))
}

/// All owners.
#[utoipa::path(get, path = "/api/v1/owners", tag = "owners", operation_id = "list_owners", responses((status = 200, body = OwnerList)))]
pub(super) async fn list(State(admin): State<Admin>) -> Json<OwnerList> {
    let entities = admin.services.store.entities();
    Json(OwnerList { owners: entities.owners.iter().map(|owner| OwnerView::of(owner, &entities)).collect() })
}

/// A new owner.
#[utoipa::path(post, path = "/api/v1/owners", tag = "owners", operation_id = "create_owner", request_body = OwnerInput,
    responses((status = 201, body = OwnerView), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn create(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Sent(input): Sent<OwnerInput>,
) -> Result<(StatusCode, Json<OwnerView>), AdminError> {
    let owner = Owner { kind: input.kind, name: input.name, parent: input.parent, origin: Origin::Store };
    let name = owner.reference().to_string();
    let applied = admin.services.store.apply(Change::CreateOwner(owner), &who.0).await?;
    Ok((StatusCode::CREATED, Json(view(&applied.entities, &name)?)))
}

/// One owner, by `kind:name`.
#[utoipa::path(get, path = "/api/v1/owners/{owner}", tag = "owners", operation_id = "get_owner", params(("owner" = String, Path)),
    responses((status = 200, body = OwnerView), (status = 404, body = Failure)))]
pub(super) async fn one(State(admin): State<Admin>, Named(owner): Named) -> Result<Json<OwnerView>, AdminError> {
    Ok(Json(view(&admin.services.store.entities(), &owner)?))
}

/// Moves an owner below another one.
#[utoipa::path(patch, path = "/api/v1/owners/{owner}", tag = "owners", operation_id = "patch_owner", params(("owner" = String, Path)),
    request_body = OwnerPatch,
    responses((status = 200, body = OwnerView), (status = 404, body = Failure), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn patch(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(owner): Named,
    Sent(patch): Sent<OwnerPatch>,
) -> Result<Json<OwnerView>, AdminError> {
    let wanted = owner.clone();
    let make = move |entities: &Entities| {
        let before = find(entities, &wanted)?;
        Ok(Change::UpdateOwner(Owner { parent: patch.parent.unwrap_or(before.parent), ..before }))
    };
    let applied = admin.services.store.apply_with(&who.0, make).await?;
    Ok(Json(view(&applied.entities, &owner)?))
}

/// Removes an owner, with its limits. Nothing may belong to it any more.
#[utoipa::path(delete, path = "/api/v1/owners/{owner}", tag = "owners", operation_id = "remove_owner", params(("owner" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = Failure), (status = 409, body = Failure)))]
pub(super) async fn remove(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(owner): Named,
) -> Result<Json<Done>, AdminError> {
    let owner = find(&admin.services.store.entities(), &owner)?.reference();
    admin.services.store.apply(Change::RemoveOwner { owner }, &who.0).await?;
    Ok(Json(Done { ok: true, warnings: Vec::new() }))
}
