//! The answer cache: how full it is, how it does, and forgetting.

use axum::Json;
use axum::extract::State;

use super::{Admin, Done};
use crate::cache::CacheStatus;

/// How full the answer cache is, and how it did since the start.
#[utoipa::path(get, path = "/api/v1/cache", tag = "cache", operation_id = "get_cache", responses((status = 200, body = CacheStatus)))]
pub(super) async fn status(State(admin): State<Admin>) -> Json<CacheStatus> {
    Json(admin.services.resilience.cache.status().await)
}

/// Forgets every kept answer.
#[utoipa::path(delete, path = "/api/v1/cache", tag = "cache", operation_id = "clear_cache", responses((status = 200, body = Done)))]
pub(super) async fn clear(State(admin): State<Admin>) -> Json<Done> {
    admin.services.resilience.cache.clear().await;
    Json(Done { ok: true, warnings: Vec::new() })
}
