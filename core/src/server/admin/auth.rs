//! Who may use the admin API: an admin token as bearer, or a session got for one. Virtual keys never open it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE as COOKIE_HEADER, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{AdminError, Failure};
use super::extract::Sent;
use super::{Admin, Done};
use crate::store::hash_secret;
use crate::told;

/// Name of the session's cookie.
pub const COOKIE: &str = "myelin_session";
/// Who the change log names for changes over the socket.
pub const SOCKET_WHO: &str = "cli";
/// A session ends after this long without use.
const IDLE_MS: u64 = 12 * 3_600_000;
/// Sessions at the same time; the one unused for longest makes room.
const MOST_SESSIONS: usize = 100;
/// Bytes of a session's random name.
const SESSION_BYTES: usize = 32;

/// Whom the change log names.
#[derive(Debug, Clone)]
pub(super) struct Who(pub(super) String);

/// Open sessions, by the hash of the cookie's value. They live as long as the process.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Session>>);

#[derive(Debug)]
struct Session {
    token: String,
    used: u64,
}

impl Sessions {
    fn open(&self, token: String, now: u64) -> Option<String> {
        let mut bytes = [0_u8; SESSION_BYTES];
        getrandom::fill(&mut bytes).ok()?;
        let name: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut sessions = self.sessions();
        if sessions.len() >= MOST_SESSIONS
            && let Some(oldest) = sessions.iter().min_by_key(|(_, session)| session.used).map(|(name, _)| name.clone())
        {
            sessions.remove(&oldest);
        }
        sessions.insert(hash_secret(&name), Session { token, used: now });
        Some(name)
    }

    /// The token id of a session that is still good.
    fn token(&self, name: &str, now: u64) -> Option<String> {
        let mut sessions = self.sessions();
        let hash = hash_secret(name);
        let session = sessions.get_mut(&hash)?;
        if now.saturating_sub(session.used) >= IDLE_MS {
            sessions.remove(&hash);
            return None;
        }
        session.used = now;
        Some(session.token.clone())
    }

    fn close(&self, name: &str) {
        self.sessions().remove(&hash_secret(name));
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets through who shows an admin token.
pub(super) async fn with_token(State(admin): State<Admin>, mut request: Request, next: Next) -> Response {
    if let Err(refusal) = json_only(request.method(), request.uri().path(), request.headers()) {
        return refusal.into_response();
    }
    let public = request.uri().path() == "/api/v1/session" && request.method() == Method::POST;
    match caller(&admin, request.headers()) {
        Some(who) => {
            request.extensions_mut().insert(who);
        }
        None if public => {
            request.extensions_mut().insert(Who("admin".to_owned()));
        }
        None => {
            let told = told!(
                "token-needed",
                "an admin token (mya-…) is needed: `myelin admin token` makes one; virtual keys do not work here",
            );
            let refusal = AdminError::told(StatusCode::UNAUTHORIZED, "unauthorized", told);
            return ([("www-authenticate", "Bearer")], refusal).into_response();
        }
    }
    next.run(request).await
}

/// Lets everything through: the socket's mode was the lock.
pub(super) async fn as_owner(mut request: Request, next: Next) -> Response {
    if let Err(refusal) = json_only(request.method(), request.uri().path(), request.headers()) {
        return refusal.into_response();
    }
    request.extensions_mut().insert(Who(SOCKET_WHO.to_owned()));
    next.run(request).await
}

fn caller(admin: &Admin, headers: &HeaderMap) -> Option<Who> {
    let store = &admin.services.store;
    if let Some(value) = headers.get(AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        let bearer = scheme.eq_ignore_ascii_case("bearer");
        return bearer.then(|| store.admin_token(token.trim()))?.map(|token| Who(format!("admin:{}", token.name)));
    }
    let id = admin.sessions.token(cookie(headers)?, admin.services.clock.unix_ms())?;
    // A token that was removed takes its sessions with it.
    let token = store.admin_tokens().into_iter().find(|token| token.id == id)?;
    Some(Who(format!("admin:{}", token.name)))
}

/// The session's cookie.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE_HEADER).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })
}

/// Writes carry JSON: a form of another page cannot send that without asking first.
fn json_only(method: &Method, path: &str, headers: &HeaderMap) -> Result<(), AdminError> {
    if ![Method::POST, Method::PUT, Method::PATCH].contains(method) {
        return Ok(());
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    // A form cannot send that without asking either.
    let backup = path == "/api/v1/restore" && essence.eq_ignore_ascii_case(super::vault::BACKUP_TYPE);
    if backup || essence.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        let message = "send content-type: application/json";
        Err(AdminError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid", message))
    }
}

/// What opens a session.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogIn {
    /// An admin token.
    token: String,
}

/// Opens a session: a cookie that stands for an admin token.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = LogIn, security(()),
    responses((status = 200, body = Done), (status = 401, body = Failure)))]
pub(super) async fn log_in(State(admin): State<Admin>, Sent(sent): Sent<LogIn>) -> Result<Response, AdminError> {
    let token = admin.services.store.admin_token(sent.token.trim()).ok_or_else(|| {
        AdminError::told(StatusCode::UNAUTHORIZED, "unauthorized", told!("no-token", "this is no admin token"))
    })?;
    let name = admin
        .sessions
        .open(token.id, admin.services.clock.unix_ms())
        .ok_or_else(|| AdminError::new(StatusCode::INTERNAL_SERVER_ERROR, "store", "no random numbers"))?;
    let cookie = format!("{COOKIE}={name}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}", IDLE_MS / 1_000);
    Ok(([(SET_COOKIE, cookie)], axum::Json(Done { ok: true, warnings: Vec::new() })).into_response())
}

/// Closes the session.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session",
    responses((status = 200, body = Done), (status = 401, body = Failure)))]
pub(super) async fn log_out(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    if let Some(name) = cookie(&headers) {
        admin.sessions.close(name);
    }
    let gone = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(SET_COOKIE, gone)], axum::Json(Done { ok: true, warnings: Vec::new() })).into_response()
}
