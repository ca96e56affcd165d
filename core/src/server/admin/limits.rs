//! Limits and budgets: setting them, seeing how far they are used, beginning anew.

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
use crate::model::{Dollars, Entities, Limit, LimitQueue, LimitSpec, Measure, Origin};
use crate::pipeline::Services;
use crate::store::{Applied, Change, ChangeError};

/// A limit with what it has counted. Amounts are requests, tokens or nanodollars, whatever it counts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct LimitView {
    /// As it was written.
    #[serde(flatten)]
    spec: LimitSpec,
    /// What is counted.
    measure: Measure,
    /// How much of it is allowed.
    amount: u64,
    /// Used in the window that counts now.
    used: u64,
    /// Held by requests in flight.
    held: u64,
    /// What is left.
    remaining: u64,
    /// Requests that wait for room.
    waiting: usize,
    /// When the window that counts now began; milliseconds since 1970.
    since: Option<u64>,
    /// When all that counts now will have left the window; milliseconds since 1970. `null`: never, or nothing counts by time.
    resets: Option<u64>,
    /// Amount and window, for people.
    words: String,
    /// Where it is declared; `file` is read-only here.
    origin: Origin,
}

impl LimitView {
    fn of(limit: &Limit, services: &Services) -> Self {
        let usage = services.snapshot.load().limits.usage(&limit.name, services.clock.unix_ms()).unwrap_or_default();
        Self {
            spec: LimitSpec::of(limit),
            measure: limit.measure,
            amount: limit.amount,
            used: usage.used,
            held: usage.held,
            remaining: limit.amount.saturating_sub(usage.used.saturating_add(usage.held)),
            waiting: usage.waiting,
            since: usage.since,
            resets: usage.resets,
            words: limit.in_words(),
            origin: limit.origin,
        }
    }
}

/// Limits.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct LimitList {
    limits: Vec<LimitView>,
}

/// A limit after a change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct LimitChanged {
    limit: LimitView,
    /// What was taken but is surely not as meant.
    warnings: Vec<Problem>,
}

/// What is to be changed of a limit. What is omitted stays as it is; another of `requests`, `tokens`, `money` and `parallel` counts something else from now
/// on, and anew.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitPatch {
    /// Only requests for these models count; empty: all.
    models: Option<Vec<String>>,
    /// Requests in the window.
    requests: Option<u64>,
    /// Tokens in the window.
    tokens: Option<u64>,
    /// US dollars in the window.
    #[serde(deserialize_with = "crate::model::read_dollars")]
    #[schema(value_type = Option<f64>)]
    money: Option<Dollars>,
    /// Requests in flight.
    parallel: Option<u64>,
    /// The window; `null`: none.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    per: Option<Option<String>>,
    /// Time zone; `null`: the machine's.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    zone: Option<Option<String>>,
    /// Percentages at which the owner is told.
    soft: Option<Vec<u8>>,
    /// Whether what comes over it is refused.
    refuse: Option<bool>,
    /// How to wait; `null`: not at all.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<LimitQueue>)]
    queue: Option<Option<LimitQueue>>,
}

impl LimitPatch {
    fn apply(self, limit: &Limit) -> LimitSpec {
        let mut spec = LimitSpec::of(limit);
        if self.requests.is_some() || self.tokens.is_some() || self.money.is_some() || self.parallel.is_some() {
            (spec.requests, spec.tokens, spec.money, spec.parallel) =
                (self.requests, self.tokens, self.money, self.parallel);
        }
        if let Some(models) = self.models {
            spec.models = models;
        }
        if let Some(per) = self.per {
            spec.per = per;
        }
        if let Some(zone) = self.zone {
            spec.zone = zone;
        }
        if let Some(queue) = self.queue {
            spec.queue = queue;
        }
        spec.soft = self.soft.or(spec.soft);
        spec.refuse = self.refuse.or(spec.refuse);
        spec
    }
}

fn find(entities: &Entities, name: &str) -> Result<Limit, ChangeError> {
    entities.limit(name).cloned().ok_or_else(|| ChangeError::NotFound { what: "limit", name: name.to_owned() })
}

fn changed(admin: &Admin, applied: &Applied, name: &str) -> Result<Json<LimitChanged>, AdminError> {
    let path = format!("limits.{name}.");
    let warnings = applied.warnings.iter().filter(|problem| problem.path.starts_with(&path)).cloned().collect();
    let limit = LimitView::of(&find(&applied.entities, name)?, &admin.services);
    Ok(Json(LimitChanged { limit, warnings }))
}

fn invalid(problems: Vec<Problem>) -> ChangeError {
    ChangeError::Invalid { problems }
}

/// All limits, with what they have counted.
#[utoipa::path(get, path = "/api/v1/limits", tag = "limits", operation_id = "list_limits", responses((status = 200, body = LimitList)))]
pub(super) async fn list(State(admin): State<Admin>) -> Json<LimitList> {
    let entities = admin.services.store.entities();
    Json(LimitList { limits: entities.limits.iter().map(|limit| LimitView::of(limit, &admin.services)).collect() })
}

/// A new limit. It counts from now on.
#[utoipa::path(post, path = "/api/v1/limits", tag = "limits", operation_id = "create_limit", request_body = LimitSpec,
    responses((status = 201, body = LimitChanged), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn create(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Sent(spec): Sent<LimitSpec>,
) -> Result<(StatusCode, Json<LimitChanged>), AdminError> {
    let path = format!("limits.{}", spec.name.as_deref().unwrap_or("new"));
    let limit = spec.into_limit(&path, Origin::Store).map_err(invalid)?;
    let name = limit.name.clone();
    let applied = admin.services.store.apply(Change::CreateLimit(Box::new(limit)), &who.0).await?;
    Ok((StatusCode::CREATED, changed(&admin, &applied, &name)?))
}

/// One limit.
#[utoipa::path(get, path = "/api/v1/limits/{name}", tag = "limits", operation_id = "get_limit", params(("name" = String, Path)),
    responses((status = 200, body = LimitView), (status = 404, body = Failure)))]
pub(super) async fn one(State(admin): State<Admin>, Named(name): Named) -> Result<Json<LimitView>, AdminError> {
    let limit = find(&admin.services.store.entities(), &name)?;
    Ok(Json(LimitView::of(&limit, &admin.services)))
}

/// Changes a limit; what is omitted stays as it is. Another amount keeps what was counted.
#[utoipa::path(patch, path = "/api/v1/limits/{name}", tag = "limits", operation_id = "patch_limit", params(("name" = String, Path)),
    request_body = LimitPatch,
    responses((status = 200, body = LimitChanged), (status = 404, body = Failure), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn patch(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(name): Named,
    Sent(patch): Sent<LimitPatch>,
) -> Result<Json<LimitChanged>, AdminError> {
    let wanted = name.clone();
    let make = move |entities: &Entities| {
        let spec = patch.apply(&find(entities, &wanted)?);
        let limit = spec.into_limit(&format!("limits.{wanted}"), Origin::Store).map_err(invalid)?;
        Ok(Change::UpdateLimit(Box::new(limit)))
    };
    changed(&admin, &admin.services.store.apply_with(&who.0, make).await?, &name)
}

/// Removes a limit, with what it has counted: taking this back brings the limit, which then counts anew.
#[utoipa::path(delete, path = "/api/v1/limits/{name}", tag = "limits", operation_id = "remove_limit", params(("name" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = Failure), (status = 409, body = Failure)))]
pub(super) async fn remove(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(name): Named,
) -> Result<Json<Done>, AdminError> {
    admin.services.store.apply(Change::RemoveLimit { name }, &who.0).await?;
    Ok(Json(Done { ok: true, warnings: Vec::new() }))
}

/// Forgets what a limit has counted, for good: the change log says how much that was, and this cannot be taken back. What is in flight stays held. Also for
/// limits of the file.
#[utoipa::path(post, path = "/api/v1/limits/{name}/reset", tag = "limits", operation_id = "reset_limit", params(("name" = String, Path)),
    responses((status = 200, body = LimitView), (status = 404, body = Failure), (status = 500, body = Failure)))]
pub(super) async fn reset(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(name): Named,
) -> Result<Json<LimitView>, AdminError> {
    let services = &admin.services;
    let limit = find(&services.store.entities(), &name)?;
    let counted = limit.measure.in_words(LimitView::of(&limit, services).used);
    services.store.apply(Change::ResetLimit { name: name.clone(), counted }, &who.0).await?;
    // Not in force yet, or already gone: nothing was counted.
    if let Some(counter) = services.snapshot.load_full().limits.reset(&name) {
        services.store.counters().reset(counter, services.clock.unix_ms()).await?;
    }
    Ok(Json(LimitView::of(&limit, services)))
}
