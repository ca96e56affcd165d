//! Probes. They need no key and tell nothing that a stranger could use.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::pipeline::Services;

/// `GET /`: whoever opens the address in a browser learns what it is; Ollama's programs look here whether a server is up (`HEAD /`).
pub async fn hello() -> &'static str {
    "Myelin is running. Clients call /v1, /anthropic, /gemini, /api or /dify; the admin API is described at /docs.\n"
}

/// `GET /health/live`: the process answers.
pub async fn live() -> Response {
    Json(json!({"status": "live"})).into_response()
}

/// `GET /health/ready`, and `/health` for those who look there: requests can be served and remembered. A store in trouble does not stop traffic, but it is shown.
pub async fn ready(State(services): State<Arc<Services>>) -> Response {
    let health = services.store.ledger().health();
    let status = if health.failing || health.journal_failing { "degraded" } else { "ready" };
    let body = json!({"status": status, "records_lost": health.lost});
    (StatusCode::OK, Json(body)).into_response()
}
