//! The HTTP face of the gateway: routes, guard, listeners. The only part that knows axum.
//!
//! - [`router`] is one list of routes; whatever it does not name goes to `inference`, whose table of addresses is `pipeline::surface`;
//! - [`admin`] is the API of console and CLI, with an admin token, or over [`socket`] without;
//! - [`guard`] stands before every route;
//! - [`listen`] accepts connections and lets them end gracefully;
//! - [`front`] takes calls to models past the router;
//! - `ui` (feature of the same name) serves the console.

pub mod admin;
mod cors;
pub mod front;
pub mod guard;
pub mod health;
mod holder;
mod inference;
pub mod listen;
mod opening;
#[cfg(unix)]
pub mod socket;
#[cfg(feature = "ui")]
mod ui;
mod unread;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::Request;

use crate::pipeline::Services;

/// Every route of the gateway, as the TCP listeners serve them. `console`: console and admin API are there unless the settings say otherwise.
pub fn router(services: Arc<Services>, desk: Arc<dyn admin::Desk>, console: bool) -> Router {
    open(services.clone())
        .merge(admin::over_tcp(services.clone(), desk))
        .layer(middleware::from_fn_with_state(Door { services, console }, guarded))
}

/// Every route as the owner alone gets them, over the socket or in the window: no token is asked for, and no guard stands before them.
pub fn owner_router(services: Arc<Services>, desk: Arc<dyn admin::Desk>) -> Router {
    open(services.clone()).merge(admin::over_socket(services, desk))
}

/// What needs no admin token: surfaces, probes, files of the console.
fn open(services: Arc<Services>) -> Router {
    Router::new()
        .route("/", get(root).fallback(infer))
        .route("/health", get(health::ready))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .fallback(infer)
        .with_state(services)
}

/// What the guard of the TCP listeners works with.
#[derive(Clone)]
struct Door {
    services: Arc<Services>,
    console: bool,
}

/// Marks a request that came where the console is not served.
#[derive(Debug, Clone, Copy)]
struct NoConsole;

async fn infer(State(services): State<Arc<Services>>, request: Request<Body>) -> Response {
    #[cfg(feature = "ui")]
    if let Some(answer) = console(&request) {
        return answer;
    }
    inference::handle(services, request).await
}

/// `/`: the console for browsers, a word of life for programs.
async fn root(request: Request<Body>) -> Response {
    #[cfg(feature = "ui")]
    if request.extensions().get::<NoConsole>().is_none() && ui::wants_page(request.method(), request.headers()) {
        return ui::page(request.headers());
    }
    drop(request);
    health::hello().await.into_response()
}

/// A file or a page of the console, if the request can mean one and no surface has its address.
#[cfg(feature = "ui")]
fn console(request: &Request<Body>) -> Option<Response> {
    use crate::pipeline::{Surface, pinned_profile, surface};
    let (method, headers) = (request.method(), request.headers());
    if (method != http::Method::GET && method != http::Method::HEAD)
        || request.extensions().get::<NoConsole>().is_some()
    {
        return None;
    }
    let path = request.uri().path();
    if let Some(file) = ui::file(path.trim_start_matches('/'), headers) {
        return Some(file);
    }
    let (pinned, rest) = pinned_profile(path);
    let query = request.uri().query().unwrap_or_default();
    let unknown = matches!(surface(method, rest, headers, query), Surface::Unknown { .. });
    (ui::wants_page(method, headers) && pinned.is_none() && unknown).then(|| ui::page(headers))
}

/// Turns away what knocks with a foreign `Host` or from a foreign page.
async fn guarded(State(door): State<Door>, mut request: Request<Body>, next: Next) -> Response {
    let Door { services, console } = door;
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
        drop(snapshot);
        return inference::turn_away(services, &request, refusal.message());
    }
    let origin = guard::shared_with(request.headers(), &settings.allowed_origins);
    let console = settings.console.unwrap_or(console);
    drop(snapshot);
    if !console {
        if admin::owns(request.uri().path()) {
            return inference::handle(services, request).await;
        }
        request.extensions_mut().insert(NoConsole);
    }
    let Some(origin) = origin else { return next.run(request).await };
    let mut response = match cors::preflight(&request) {
        Some(allowed) => allowed,
        None => next.run(request).await,
    };
    cors::share(response.headers_mut(), origin);
    response
}
