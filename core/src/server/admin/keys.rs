//! Virtual keys. A secret is in one answer only: that of its making.

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Who;
use super::error::{AdminError, Failure};
use super::extract::{Named, Sent, given};
use super::{Admin, Done};
use crate::model::check::Problem;
use crate::model::{BodyPolicy, Entities, Origin, OwnerRef, Policy, Secret, Strategy, VirtualKey};
use crate::store::{Applied, Change, ChangeError, NewKey};

/// Grace of a rotation when none is named: a day.
const GRACE_SECONDS: u64 = 86_400;

/// A virtual key as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Stable identity.
    pub id: String,
    /// Unique name.
    pub name: String,
    /// First six and last four characters of the secret.
    pub hint: String,
    /// Milliseconds since 1970.
    pub created: u64,
    /// Refused from then on; milliseconds since 1970.
    pub expires: Option<u64>,
    /// Refused until unblocked.
    pub blocked: bool,
    /// Models (exact or glob) that may be asked for; empty allows all.
    pub models: Vec<String>,
    /// Channels (name or `tag:t`) that may serve; empty allows all.
    pub channels: Vec<String>,
    /// Client formats; empty allows all.
    pub formats: Vec<String>,
    /// The key's own active profile; `null` follows the gateway's.
    pub profile: Option<String>,
    /// The tool that the key belongs to.
    pub tool: Option<String>,
    /// How to choose within groups, in place of what profile and routes say.
    pub strategy: Option<Strategy>,
    /// The user, team, project or organisation that the key belongs to: `team:research`.
    #[schema(value_type = Option<String>)]
    pub owner: Option<OwnerRef>,
    /// The last byte of an answer waits for the record to be on disk.
    pub strict: bool,
    /// Which bodies are kept for it; `null`: as for the gateway.
    pub bodies: Option<BodyPolicy>,
    /// Retries, hedges, races, mirrors and the answer cache for this key.
    pub policy: Policy,
    /// When older secrets of the key end; milliseconds since 1970.
    pub grace_until: Vec<u64>,
    /// Where it is declared; `file` is read-only here.
    pub origin: Origin,
}

impl From<&VirtualKey> for KeyView {
    fn from(key: &VirtualKey) -> Self {
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            hint: key.hint.clone(),
            created: key.created,
            expires: key.expires,
            blocked: key.blocked,
            models: key.models.clone(),
            channels: key.channels.clone(),
            formats: key.formats.clone(),
            profile: key.profile.clone(),
            tool: key.tool.clone(),
            strategy: key.strategy,
            owner: key.owner.clone(),
            strict: key.strict,
            bodies: key.bodies,
            policy: key.policy.clone(),
            grace_until: key.grace.iter().map(|grace| grace.until).collect(),
            origin: key.origin,
        }
    }
}

/// A new virtual key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyInput {
    /// Unique name.
    pub name: String,
    /// A secret to take over; absent: one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Refused from then on; milliseconds since 1970.
    #[serde(default)]
    pub expires: Option<u64>,
    /// Models (exact or glob) that may be asked for; empty allows all.
    #[serde(default)]
    pub models: Vec<String>,
    /// Channels (name or `tag:t`) that may serve; empty allows all.
    #[serde(default)]
    pub channels: Vec<String>,
    /// Client formats; empty allows all.
    #[serde(default)]
    pub formats: Vec<String>,
    /// The key's own active profile.
    #[serde(default)]
    pub profile: Option<String>,
    /// The tool that the key belongs to.
    #[serde(default)]
    pub tool: Option<String>,
    /// How to choose within groups, in place of what profile and routes say.
    #[serde(default)]
    pub strategy: Option<Strategy>,
    /// The user, team, project or organisation that the key belongs to: `team:research`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub owner: Option<OwnerRef>,
    /// The last byte of an answer waits for the record to be on disk.
    #[serde(default)]
    pub strict: bool,
    /// Which bodies are kept for it; absent: as for the gateway.
    #[serde(default)]
    pub bodies: Option<BodyPolicy>,
    /// Retries, hedges, races, mirrors and the answer cache for this key.
    #[serde(default)]
    pub policy: Policy,
}

impl From<KeyInput> for NewKey {
    fn from(input: KeyInput) -> Self {
        Self {
            name: input.name,
            secret: input.secret.map(Secret::new),
            expires: input.expires,
            models: input.models,
            channels: input.channels,
            formats: input.formats,
            profile: input.profile,
            tool: input.tool,
            strategy: input.strategy,
            owner: input.owner,
            strict: input.strict,
            bodies: input.bodies,
            policy: input.policy,
        }
    }
}

/// What is to be changed of a key. What is omitted stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyPatch {
    /// Unique name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Refused from then on; `null`: never.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub expires: Option<Option<u64>>,
    /// Refused until unblocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<bool>,
    /// Models that may be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Channels that may serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<String>>,
    /// Client formats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formats: Option<Vec<String>>,
    /// The key's own active profile; `null` follows the gateway's.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub profile: Option<Option<String>>,
    /// The tool that the key belongs to; `null`: none.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tool: Option<Option<String>>,
    /// How to choose within groups; `null`: as profile and routes say.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Strategy>)]
    pub strategy: Option<Option<Strategy>>,
    /// The user, team, project or organisation that the key belongs to; `null`: none.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub owner: Option<Option<OwnerRef>>,
    /// The last byte of an answer waits for the record to be on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Which bodies are kept for it; `null`: as for the gateway.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BodyPolicy>)]
    pub bodies: Option<Option<BodyPolicy>>,
    /// The whole policy anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

impl KeyPatch {
    fn apply(self, key: &mut VirtualKey) {
        macro_rules! take {
            ($($field:ident),*) => { $( if let Some(value) = self.$field { key.$field = value; } )* };
        }
        take!(name, expires, blocked, models, channels, formats, profile, tool, owner, strategy, strict, bodies, policy);
    }
}

/// A key with the secret that was just made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct NewSecret {
    /// The key.
    pub key: KeyView,
    /// The secret: shown now and never again. `null` if it was brought along.
    pub secret: Option<String>,
    /// What was taken but is surely not as meant.
    #[serde(default)]
    pub warnings: Vec<Problem>,
}

/// A key that was changed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct KeyChanged {
    /// The key.
    #[serde(flatten)]
    key: KeyView,
    /// What was taken but is surely not as meant.
    warnings: Vec<Problem>,
}

/// How to rotate.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RotateInput {
    /// How long the old secret still works, in seconds; absent: a day.
    grace_seconds: Option<u64>,
}

/// Keys.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct KeyList {
    keys: Vec<KeyView>,
}

fn find(entities: &Entities, key: &str) -> Result<VirtualKey, ChangeError> {
    entities.key(key).cloned().ok_or_else(|| ChangeError::NotFound { what: "key", name: key.to_owned() })
}

fn with_secret(applied: &Applied, key: &str) -> Result<NewSecret, AdminError> {
    let secret = applied.issued.first().map(|issued| issued.secret.expose().to_owned());
    let key = find(&applied.entities, key)?;
    Ok(NewSecret { key: (&key).into(), secret, warnings: warnings(applied, &key) })
}

fn warnings(applied: &Applied, key: &VirtualKey) -> Vec<Problem> {
    let own = format!("keys.{}.", key.name);
    applied.warnings.iter().filter(|problem| problem.path.starts_with(&own)).cloned().collect()
}

/// All keys.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys", operation_id = "list_keys", responses((status = 200, body = KeyList)))]
pub(super) async fn list(State(admin): State<Admin>) -> Json<KeyList> {
    Json(KeyList { keys: admin.services.store.entities().keys.iter().map(KeyView::from).collect() })
}

/// A new key.
#[utoipa::path(post, path = "/api/v1/keys", tag = "keys", operation_id = "create_key", request_body = KeyInput,
    responses((status = 201, body = NewSecret), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn create(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Sent(input): Sent<KeyInput>,
) -> Result<(StatusCode, Json<NewSecret>), AdminError> {
    let name = input.name.clone();
    let applied = admin.services.store.apply(Change::CreateKey(Box::new(input.into())), &who.0).await?;
    Ok((StatusCode::CREATED, Json(with_secret(&applied, &name)?)))
}

/// One key, by id or name.
#[utoipa::path(get, path = "/api/v1/keys/{key}", tag = "keys", operation_id = "get_key", params(("key" = String, Path)),
    responses((status = 200, body = KeyView), (status = 404, body = Failure)))]
pub(super) async fn one(State(admin): State<Admin>, Named(key): Named) -> Result<Json<KeyView>, AdminError> {
    Ok(Json((&find(&admin.services.store.entities(), &key)?).into()))
}

/// Changes a key; what is omitted stays as it is. `blocked` blocks and unblocks.
#[utoipa::path(patch, path = "/api/v1/keys/{key}", tag = "keys", operation_id = "patch_key", params(("key" = String, Path)),
    request_body = KeyPatch,
    responses((status = 200, body = KeyChanged), (status = 404, body = Failure), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn patch(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(key): Named,
    Sent(patch): Sent<KeyPatch>,
) -> Result<Json<KeyChanged>, AdminError> {
    let id = find(&admin.services.store.entities(), &key)?.id;
    let wanted = id.clone();
    let make = move |entities: &Entities| {
        let mut key = find(entities, &wanted)?;
        let blocked = patch.blocked;
        let only_blocked = patch == KeyPatch { blocked, ..KeyPatch::default() };
        if let (Some(blocked), true) = (blocked, only_blocked) {
            return Ok(Change::BlockKey { key: wanted, blocked });
        }
        patch.apply(&mut key);
        Ok(Change::UpdateKey(Box::new(key)))
    };
    let applied = admin.services.store.apply_with(&who.0, make).await?;
    let key = find(&applied.entities, &id)?;
    Ok(Json(KeyChanged { key: (&key).into(), warnings: warnings(&applied, &key) }))
}

/// Removes a key.
#[utoipa::path(delete, path = "/api/v1/keys/{key}", tag = "keys", operation_id = "remove_key", params(("key" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = Failure), (status = 409, body = Failure)))]
pub(super) async fn remove(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(key): Named,
) -> Result<Json<Done>, AdminError> {
    admin.services.store.apply(Change::RemoveKey { key }, &who.0).await?;
    Ok(Json(Done { ok: true, warnings: Vec::new() }))
}

/// Makes a new secret for a key; the old one works for a while longer.
#[utoipa::path(post, path = "/api/v1/keys/{key}/rotate", tag = "keys", operation_id = "rotate_key", params(("key" = String, Path)),
    request_body = RotateInput, responses((status = 200, body = NewSecret), (status = 404, body = Failure), (status = 409, body = Failure)))]
pub(super) async fn rotate(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(key): Named,
    Sent(input): Sent<RotateInput>,
) -> Result<Json<NewSecret>, AdminError> {
    let grace_seconds = input.grace_seconds.unwrap_or(GRACE_SECONDS);
    let applied = admin.services.store.apply(Change::RotateKey { key: key.clone(), grace_seconds }, &who.0).await?;
    Ok(Json(with_secret(&applied, &key)?))
}
