//! Routes. A model's name may hold `/`: it is percent-encoded in the address.

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
use crate::model::{Conditions, Entities, Origin, Policy, Route, RouteGroup, Strategy};
use crate::store::{Applied, Change, ChangeError};

/// A new route.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteInput {
    /// The name that clients ask for.
    model: String,
    /// More names that lead here: exact or globs.
    #[serde(default)]
    also: Vec<String>,
    /// Names that lead here, as a regular expression.
    #[serde(default)]
    regex: Option<String>,
    /// What else must hold.
    #[serde(default, rename = "if")]
    conditions: Conditions,
    /// How to choose within those groups that do not say it themselves.
    #[serde(default)]
    strategy: Option<Strategy>,
    /// Groups in order; a lower one is strict cold standby.
    groups: Vec<RouteGroup>,
    /// Retries, hedges, races, mirrors and the answer cache for this model.
    #[serde(default)]
    policy: Policy,
}

/// What is to be changed of a route.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RoutePatch {
    /// All further names anew.
    also: Option<Vec<String>>,
    /// Names that lead here, as a regular expression; `null`: none.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    regex: Option<Option<String>>,
    /// All conditions anew.
    #[serde(rename = "if")]
    conditions: Option<Conditions>,
    /// How to choose within groups; `null`: as the gateway's settings say.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Strategy>)]
    strategy: Option<Option<Strategy>>,
    /// All groups anew.
    groups: Option<Vec<RouteGroup>>,
    /// The whole policy anew.
    policy: Option<Policy>,
}

/// Routes.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct RouteList {
    routes: Vec<Route>,
}

/// A route after a change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct RouteChanged {
    route: Route,
    /// What was taken but is surely not as meant.
    warnings: Vec<Problem>,
}

fn find(entities: &Entities, model: &str) -> Result<Route, ChangeError> {
    entities.route(model).cloned().ok_or_else(|| ChangeError::NotFound { what: "route", name: model.to_owned() })
}

fn changed(applied: &Applied, model: &str) -> Result<Json<RouteChanged>, AdminError> {
    let path = format!("routes.{model}");
    let warnings = applied.warnings.iter().filter(|problem| problem.path.starts_with(&path)).cloned().collect();
    Ok(Json(RouteChanged { route: find(&applied.entities, model)?, warnings }))
}

/// All routes.
#[utoipa::path(get, path = "/api/v1/routes", tag = "routes", operation_id = "list_routes", responses((status = 200, body = RouteList)))]
pub(super) async fn list(State(admin): State<Admin>) -> Json<RouteList> {
    Json(RouteList { routes: admin.services.store.entities().routes.clone() })
}

/// A new route.
#[utoipa::path(post, path = "/api/v1/routes", tag = "routes", operation_id = "create_route", request_body = RouteInput,
    responses((status = 201, body = RouteChanged), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn create(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Sent(input): Sent<RouteInput>,
) -> Result<(StatusCode, Json<RouteChanged>), AdminError> {
    let RouteInput { model, also, regex, conditions, strategy, groups, policy } = input;
    let route = Route { model, also, regex, conditions, strategy, groups, policy, origin: Origin::Store };
    let model = route.model.clone();
    let applied = admin.services.store.apply(Change::CreateRoute(route), &who.0).await?;
    Ok((StatusCode::CREATED, changed(&applied, &model)?))
}

/// One route.
#[utoipa::path(get, path = "/api/v1/routes/{model}", tag = "routes", operation_id = "get_route", params(("model" = String, Path)),
    responses((status = 200, body = Route), (status = 404, body = Failure)))]
pub(super) async fn one(State(admin): State<Admin>, Named(model): Named) -> Result<Json<Route>, AdminError> {
    Ok(Json(find(&admin.services.store.entities(), &model)?))
}

/// Changes a route; what is omitted stays as it is.
#[utoipa::path(patch, path = "/api/v1/routes/{model}", tag = "routes", operation_id = "patch_route", params(("model" = String, Path)),
    request_body = RoutePatch,
    responses((status = 200, body = RouteChanged), (status = 404, body = Failure), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn patch(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(model): Named,
    Sent(patch): Sent<RoutePatch>,
) -> Result<Json<RouteChanged>, AdminError> {
    let wanted = model.clone();
    let make = move |entities: &Entities| {
        let route = find(entities, &wanted)?;
        Ok(Change::UpdateRoute(Route {
            also: patch.also.unwrap_or(route.also),
            regex: patch.regex.unwrap_or(route.regex),
            conditions: patch.conditions.unwrap_or(route.conditions),
            strategy: patch.strategy.unwrap_or(route.strategy),
            groups: patch.groups.unwrap_or(route.groups),
            policy: patch.policy.unwrap_or(route.policy),
            ..route
        }))
    };
    changed(&admin.services.store.apply_with(&who.0, make).await?, &model)
}

/// Removes a route.
#[utoipa::path(delete, path = "/api/v1/routes/{model}", tag = "routes", operation_id = "remove_route", params(("model" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = Failure), (status = 409, body = Failure)))]
pub(super) async fn remove(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(model): Named,
) -> Result<Json<Done>, AdminError> {
    admin.services.store.apply(Change::RemoveRoute { model }, &who.0).await?;
    Ok(Json(Done { ok: true, warnings: Vec::new() }))
}
