//! The HTTP face of the gateway: routes, guard, listeners. The only part that knows axum.
//!
//! - [`router`] is one list of routes; whatever it does not name goes to `inference`, whose table of addresses is `pipeline::surface`;
//! - [`admin`] is the API of console and CLI, with an admin token, or over [`socket`] without;
//! - [`guard`] stands before every route;
//! - [`listen`] accepts connections and lets them end gracefully.

pub mod admin;
mod cors;
pub mod guard;
pub mod health;
mod inference;
pub mod listen;
#[cfg(unix)]
pub mod socket;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{Request, StatusCode};

use crate::pipeline::Services;

/// Every route of the gateway.
pub fn router(services: Arc<Services>, desk: Arc<dyn admin::Desk>) -> Router {
    Router::new()
        .route("/", get(health::hello).fallback(infer))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .fallback(infer)
        .with_state(services.clone())
        .merge(admin::over_tcp(services.clone(), desk))
        .layer(middleware::from_fn_with_state(services, guarded))
}

async fn infer(State(services): State<Arc<Services>>, request: Request<Body>) -> Response {
    inference::handle(services, request).await
}

/// Turns away what knocks with a foreign `Host` or from a foreign page.
async fn guarded(State(services): State<Arc<Services>>, request: Request<Body>, next: Next) -> Response {
    let snapshot = services.snapshot.load();
    let settings = &snapshot.settings;
    let checked = guard::check(
        request.uri(),
        request.headers(),
        &settings.allowed_hosts,
        &settings.allowed_origins,
        settings.lan,
    );
    if let Err(refusal) = checked {
        let body = serde_json::json!({"error": {
            "message": refusal.message(), "type": "permission_error", "code": "forbidden", "param": null,
        }});
        return (StatusCode::FORBIDDEN, axum::Json(body)).into_response();
    }
    let origin = guard::shared_with(request.headers(), &settings.allowed_origins);
    drop(snapshot);
    let Some(origin) = origin else { return next.run(request).await };
    let mut response = match cors::preflight(&request) {
        Some(allowed) => allowed,
        None => next.run(request).await,
    };
    cors::share(response.headers_mut(), origin);
    response
}
