//! Admin tokens: what opens this API over TCP.

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Who;
use super::error::{AdminError, Failure};
use super::extract::{Named, Sent};
use super::{Admin, Done};
use crate::store::Change;

/// An admin token, without its secret.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct TokenView {
    /// Stable identity.
    id: String,
    /// Unique name.
    name: String,
    /// First six and last four characters.
    hint: String,
    /// Milliseconds since 1970.
    created: u64,
}

/// Admin tokens.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct TokenList {
    tokens: Vec<TokenView>,
}

/// A new admin token.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenInput {
    /// Unique name.
    name: String,
}

/// A token that was just made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct NewToken {
    id: String,
    name: String,
    /// The token: shown now and never again.
    token: String,
}

/// All admin tokens.
#[utoipa::path(get, path = "/api/v1/admin-tokens", tag = "admin tokens", operation_id = "list_admin_tokens", responses((status = 200, body = TokenList)))]
pub(super) async fn list(State(admin): State<Admin>) -> Json<TokenList> {
    let tokens = admin.services.store.admin_tokens().into_iter();
    let view = |token: crate::store::AdminToken| TokenView {
        id: token.id,
        name: token.name,
        hint: token.hint,
        created: token.created,
    };
    Json(TokenList { tokens: tokens.map(view).collect() })
}

/// A new admin token.
#[utoipa::path(post, path = "/api/v1/admin-tokens", tag = "admin tokens", operation_id = "create_admin_token", request_body = TokenInput,
    responses((status = 201, body = NewToken), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn create(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Sent(input): Sent<TokenInput>,
) -> Result<(StatusCode, Json<NewToken>), AdminError> {
    let mut applied = admin.services.store.apply(Change::CreateAdminToken { name: input.name.clone() }, &who.0).await?;
    let issued = applied.issued.pop().ok_or_else(|| AdminError::missing("admin token", &input.name))?;
    let token = issued.secret.expose().to_owned();
    Ok((StatusCode::CREATED, Json(NewToken { id: issued.id, name: issued.name, token })))
}

/// Removes an admin token, and the sessions that were opened with it.
#[utoipa::path(delete, path = "/api/v1/admin-tokens/{token}", tag = "admin tokens", operation_id = "remove_admin_token",
    params(("token" = String, Path)), responses((status = 200, body = Done), (status = 404, body = Failure)))]
pub(super) async fn remove(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(token): Named,
) -> Result<Json<Done>, AdminError> {
    admin.services.store.apply(Change::RemoveAdminToken { token }, &who.0).await?;
    Ok(Json(Done { ok: true, warnings: Vec::new() }))
}
