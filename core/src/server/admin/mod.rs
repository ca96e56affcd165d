//! The admin API under `/api/v1`: what the console, the CLI and the desktop window speak. One list of routes for every carrier.
//!
//! Over TCP an admin token is needed (bearer, or a cookie got for one); over the CLI's socket the file's mode is the lock. Must not know how channels
//! are called: that is [`Desk`]'s.

mod auth;
mod cache;
mod caching;
mod channels;
mod discover;
mod docs;
pub mod error;
mod events;
mod explain;
mod extract;
mod filter;
mod health;
mod history;
mod in_force;
mod keys;
mod limits;
mod logs;
mod models;
mod overview;
mod owners;
mod pipe;
mod prices;
mod profiles;
mod requests;
mod routes;
mod settings;
mod status;
#[cfg(test)]
mod tests;
mod together;
mod tokens;
mod tools;
mod usage;
mod vault;
mod version;

use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::middleware;
use axum::routing::get;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::pipeline::Services;
use auth::Sessions;
pub use auth::{COOKIE, SOCKET_WHO};
pub use channels::{ChannelInput, ChannelPatch, ChannelTest, ChannelView};
pub use keys::{KeyInput, KeyPatch, KeyView, NewSecret};
pub use status::Facts;

/// A future on the heap: traits that are used as objects need it.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the admin API asks of the gateway around it.
pub trait Desk: Send + Sync {
    /// Tests a channel with one small conversation, and remembers what came of it. An error: there is no such channel, or it cannot be built.
    fn test_channel(&self, name: String, model: Option<String>) -> Later<Result<ChannelTest, String>>;

    /// Fetches the provider's model list of a channel and keeps it.
    fn sync_models(&self, name: String) -> Later<Result<Vec<String>, String>>;

    /// Asks a channel that is not configured for its models: whether anyone is there. An error: nobody is, or nobody can be asked.
    fn probe(&self, channel: crate::model::Channel) -> Later<Result<Vec<String>, String>> {
        Box::pin(async move { Err(format!("{} cannot be asked here", channel.name)) })
    }

    /// Where the gateway is.
    fn facts(&self) -> Facts;
}

/// What every handler works with.
#[derive(Clone)]
pub(crate) struct Admin {
    services: Arc<Services>,
    desk: Arc<dyn Desk>,
    sessions: Arc<Sessions>,
}

/// An answer that says only that it was done.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// Always true.
    pub ok: bool,
    /// What was taken but is surely not as meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Myelin admin API", description = "Channels, keys, routes, profiles, logs and settings of a Myelin gateway. PATCH leaves what is omitted as it is."),
    security(("token" = []), ("cookie" = [])),
    paths(together::answer),
    modifiers(&Locks)
)]
struct Document;

/// The two ways to show an admin token.
struct Locks;

impl utoipa::Modify for Locks {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let parts = document.components.get_or_insert_with(Default::default);
        let bearer =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An admin token: mya-…")).build();
        parts.add_security_scheme("token", SecurityScheme::Http(bearer));
        parts.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(COOKIE))));
    }
}

/// Every address of the API, with its description.
fn routes() -> OpenApiRouter<Admin> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(status::status))
        .routes(routes!(status::changes))
        .routes(routes!(version::follow))
        .routes(routes!(history::one))
        .routes(routes!(history::undo))
        .routes(routes!(vault::backup))
        .routes(routes!(vault::restore))
        .routes(routes!(auth::log_in, auth::log_out))
        .routes(routes!(channels::list, channels::create))
        .routes(routes!(channels::one, channels::patch, channels::remove))
        .routes(routes!(channels::test))
        .routes(routes!(channels::sync))
        .routes(routes!(channels::enable))
        .routes(routes!(channels::disable))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::one, keys::patch, keys::remove))
        .routes(routes!(keys::rotate))
        .routes(routes!(routes::list, routes::create))
        .routes(routes!(routes::one, routes::patch, routes::remove))
        .routes(routes!(profiles::list, profiles::create))
        .routes(routes!(profiles::one, profiles::patch, profiles::remove))
        .routes(routes!(profiles::active, profiles::switch))
        .routes(routes!(owners::list, owners::create))
        .routes(routes!(owners::one, owners::patch, owners::remove))
        .routes(routes!(limits::list, limits::create))
        .routes(routes!(limits::one, limits::patch, limits::remove))
        .routes(routes!(limits::reset))
        .routes(routes!(events::follow))
        .routes(routes!(profiles::ready_made))
        .routes(routes!(explain::read))
        .routes(routes!(health::list))
        .routes(routes!(health::reset))
        .routes(routes!(models::models))
        .routes(routes!(models::providers))
        .routes(routes!(cache::status, cache::clear))
        .routes(routes!(prices::list, prices::set))
        .routes(routes!(prices::import, prices::drop_import))
        .routes(routes!(prices::reprice))
        .routes(routes!(logs::list))
        .routes(routes!(logs::live))
        .routes(routes!(requests::facets))
        .routes(routes!(vault::export))
        .routes(routes!(requests::active))
        .routes(routes!(logs::one))
        .routes(routes!(requests::bodies))
        .routes(routes!(requests::stop))
        .routes(routes!(requests::trace))
        .routes(routes!(usage::usage))
        .routes(routes!(caching::caches))
        .routes(routes!(overview::failures))
        .routes(routes!(overview::overview))
        .routes(routes!(usage::forecast))
        .routes(routes!(settings::read, settings::patch))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::remove))
        .routes(routes!(tools::list))
        .routes(routes!(tools::one))
        .routes(routes!(tools::preview))
        .routes(routes!(tools::connect))
        .routes(routes!(tools::repair))
        .routes(routes!(tools::restore))
        .routes(routes!(tools::key))
        .routes(routes!(tools::snippet))
        .routes(routes!(tools::pins, tools::pin))
        .routes(routes!(discover::discover))
        .routes(routes!(discover::adopt))
        .routes(routes!(discover::import_config))
}

/// The API's description, as it is served and committed.
pub fn openapi() -> String {
    let mut text = routes().into_openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// The API as the TCP listeners serve it: with an admin token only.
pub(super) fn over_tcp(services: Arc<Services>, desk: Arc<dyn Desk>) -> Router {
    let admin = Admin { services, desk, sessions: Arc::default() };
    let (router, _) = routes().split_for_parts();
    let locked = middleware::from_fn_with_state(admin.clone(), auth::with_token);
    let in_force = middleware::from_fn_with_state(admin.clone(), in_force::before_answering);
    described(together::beside(router.with_state(admin)).layer(in_force).layer(locked))
}

/// The API as the socket serves it: whoever can open the socket is the owner.
pub fn over_socket(services: Arc<Services>, desk: Arc<dyn Desk>) -> Router {
    let admin = Admin { services, desk, sessions: Arc::default() };
    let (router, _) = routes().split_for_parts();
    let in_force = middleware::from_fn_with_state(admin.clone(), in_force::before_answering);
    described(together::beside(router.with_state(admin)).layer(in_force).layer(middleware::from_fn(auth::as_owner)))
}

/// Whether an address is the admin API's.
pub(super) fn owns(path: &str) -> bool {
    path.starts_with("/api/v1/") || path == "/openapi.json" || path == "/docs"
}

/// The description as JSON and as a page, made when somebody first asks: few do, and it is some hundred kilobytes.
static DESCRIPTION: LazyLock<[Bytes; 2]> = LazyLock::new(|| {
    let document = routes().into_openapi();
    [document.to_pretty_json().unwrap_or_default().into(), docs::page(&document).into()]
});

/// Adds the description, which needs no token: it holds nothing of this gateway.
fn described(router: Router) -> Router {
    let json = || async {
        let [text, _] = &*DESCRIPTION;
        ([(CONTENT_TYPE, "application/json")], text.clone())
    };
    let page = || async {
        let [_, page] = &*DESCRIPTION;
        ([(CONTENT_TYPE, "text/html; charset=utf-8")], page.clone())
    };
    router
        .route("/openapi.json", get(json))
        .route("/docs", get(page))
        .route("/api/v1/{*rest}", axum::routing::any(error::not_found))
}
