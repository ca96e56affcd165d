//! Taking records out for other programs, backing everything up, and putting a backup back.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::auth::Who;
use super::error::{AdminError, Failure};
use super::extract::{Asked, Sent};
use super::filter::{self, FilterParams, Pairs};
use super::pipe::{self, Sink};
use crate::export::{Export, ExportFormat};
use crate::model::{RequestRecord, Secret};
use crate::store::{BackupError, BackupSummary, Bodies, Cursor, Filter, LEAST_PASSPHRASE, Store};

/// Records that are read at once.
const PAGE: usize = 1_000;
/// Longest first line of a restore.
const MOST_LINE: u64 = 64 << 10;
/// What a backup is called on its way.
pub(super) const BACKUP_TYPE: &str = "application/octet-stream";

/// What an export is to be.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described: parameters that repeat are read by hand")]
pub(super) struct ExportParams {
    /// `csv`, `jsonl` or `parquet`.
    format: String,
    /// Requests of one task.
    trace: Option<String>,
    /// Tasks of one conversation.
    thread: Option<String>,
    /// Session of the client.
    session: Option<String>,
    /// Text in the record's own words.
    q: Option<String>,
    /// Took at least so many milliseconds.
    min_ms: Option<u64>,
    /// Cost at least so many nanodollars.
    min_cost: Option<i64>,
    /// Kept bodies too, as `kept`; JSON lines only.
    with_bodies: Option<bool>,
}

/// Request records as a file, newest first. `format` of a record is the client's; here `format=csv|jsonl|parquet` is the file's, and `client_format` the other.
#[utoipa::path(get, path = "/api/v1/requests/export", tag = "requests", operation_id = "export_requests", params(FilterParams, ExportParams),
    responses((status = 200, description = "The file", body = String, content_type = "application/octet-stream"), (status = 400, body = Failure)))]
pub(super) async fn export(State(admin): State<Admin>, Asked(pairs): Asked<Pairs>) -> Result<Response, AdminError> {
    let store = admin.services.store.clone();
    let (mut format, mut with_bodies, mut rest) = (None, false, Vec::new());
    for (name, value) in pairs {
        match name.as_str() {
            "format" => {
                let known = ExportFormat::of(&value);
                format = Some(known.ok_or_else(|| AdminError::invalid("'format' is csv, jsonl or parquet"))?);
            }
            "with_bodies" => with_bodies = filter::number(&name, &value)?,
            "client_format" => rest.push(("format".to_owned(), value)),
            _ => rest.push((name, value)),
        }
    }
    let format = format.ok_or_else(|| AdminError::invalid("'format' is missing: csv, jsonl or parquet"))?;
    if with_bodies && format != ExportFormat::Jsonl {
        return Err(AdminError::invalid("'with_bodies' goes with format=jsonl only"));
    }
    let entities = store.entities();
    let (filter, rest) = filter::read(rest, &entities)?;
    if let Some((name, _)) = rest.first() {
        return Err(filter::unknown(name));
    }
    let keys: HashMap<String, String> = entities.keys.iter().map(|key| (key.id.clone(), key.name.clone())).collect();
    let (sink, body) = pipe::answer();
    tokio::spawn(write_records(store, filter, Export::new(format, keys), with_bodies, sink));
    Ok(file(body, format.media_type(), &format!("myelin-requests.{}", format.word())))
}

/// A file as an answer.
fn file(body: Body, media: &'static str, name: &str) -> Response {
    let heads: [(HeaderName, String); 2] =
        [(CONTENT_TYPE, media.to_owned()), (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))];
    (heads, body).into_response()
}

async fn write_records(store: Store, filter: Filter, mut export: Export, with_bodies: bool, mut sink: Sink) {
    let mut bytes = Vec::new();
    export.begin(&mut bytes);
    let mut before: Option<Cursor> = None;
    loop {
        let page = match store.ledger().list(filter.clone(), before, PAGE).await {
            Ok(page) => page,
            Err(why) => return sink.fail(why).await,
        };
        for record in &page.records {
            let kept = if with_bodies { Some(("kept", bodies_of(store.bodies(), record).await)) } else { None };
            if let Err(why) = export.push(record, kept, &mut bytes) {
                return sink.fail(why).await;
            }
        }
        if sink.send(&mut bytes).await.is_err() {
            return;
        }
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    match export.finish(&mut bytes) {
        Ok(()) => drop(sink.send(&mut bytes).await),
        Err(why) => sink.fail(why).await,
    }
}

async fn bodies_of(bodies: &Bodies, record: &RequestRecord) -> serde_json::Value {
    let parts = bodies.get(&record.id, record.started).await.unwrap_or_default();
    let parts = parts.into_iter().map(|part| {
        serde_json::json!({
            "kind": part.kind, "attempt": part.attempt, "size": part.size, "text": String::from_utf8_lossy(&part.bytes),
        })
    });
    parts.collect()
}

/// What a backup is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupWish {
    /// Opens it again; at least eight characters. It is kept nowhere.
    passphrase: String,
    /// Kept bodies too (the default).
    #[serde(default = "yes")]
    bodies: bool,
}

fn yes() -> bool {
    true
}

/// Everything as one encrypted file: configuration with its secrets, records, sums, counters, history, bodies. Traffic goes on.
#[utoipa::path(post, path = "/api/v1/backup", tag = "status", operation_id = "make_backup", request_body = BackupWish,
    responses((status = 200, description = "The file", body = String, content_type = "application/octet-stream"), (status = 422, body = Failure)))]
pub(super) async fn backup(State(admin): State<Admin>, Sent(wish): Sent<BackupWish>) -> Result<Response, AdminError> {
    if wish.passphrase.chars().count() < LEAST_PASSPHRASE {
        return Err(BackupError::WeakPassphrase.into());
    }
    let store = admin.services.store.clone();
    let (mut sink, body) = pipe::answer();
    tokio::task::spawn_blocking(move || {
        let passphrase = Secret::new(wish.passphrase);
        if let Err(why) = store.backup_blocking(&passphrase, wish.bodies, &mut sink) {
            tracing::warn!(error = %why, "a backup was not made");
            sink.fail_blocking(why);
        }
    });
    Ok(file(body, BACKUP_TYPE, "myelin.backup"))
}

/// A backup was put back.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Restored {
    ok: bool,
    /// What was in it.
    backup: BackupSummary,
}

/// The first line of a restore.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RestoreHead {
    /// What the backup was made with.
    passphrase: String,
}

/// Puts a backup in place of everything. The body is `application/octet-stream`: one line of JSON, `{"passphrase": "…"}`, then the backup's bytes. Nothing
/// is changed unless all of it is right; what was there before lies in `before-restore.redb` afterwards. What the configuration file says stays. Admin tokens are
/// those of the backup from then on.
#[utoipa::path(post, path = "/api/v1/restore", tag = "status", operation_id = "restore_backup",
    request_body(content = RestoreHead, content_type = "application/octet-stream"),
    responses((status = 200, body = Restored), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn restore(
    State(admin): State<Admin>,
    Extension(Who(who)): Extension<Who>,
    body: Body,
) -> Result<Json<Restored>, AdminError> {
    let services = admin.services.clone();
    let source = pipe::upload(body);
    let done = tokio::task::spawn_blocking(move || {
        let mut input = BufReader::new(source);
        let mut line = Vec::new();
        input.by_ref().take(MOST_LINE).read_until(b'\n', &mut line)?;
        let head: RestoreHead = serde_json::from_slice(&line)
            .map_err(|_| BackupError::Damaged("the first line is not {\"passphrase\": \"…\"}".to_owned()))?;
        let store = &services.store;
        let summary = store.restore_blocking(&Secret::new(head.passphrase), input, &who)?;
        services.limiter.recall(store.counters().sums()?, services.clock.unix_ms());
        Ok::<_, BackupError>(summary)
    });
    let backup = done.await.unwrap_or_else(|_| Err(BackupError::Damaged("its rows make no sense".to_owned())))?;
    tracing::info!(records = backup.records, made = backup.made, "a backup was put back");
    Ok(Json(Restored { ok: true, backup }))
}

impl From<BackupError> for AdminError {
    fn from(error: BackupError) -> Self {
        let told = error.told();
        match error {
            BackupError::Busy => Self::told(StatusCode::CONFLICT, "refused", told),
            BackupError::Store(error) => error.into(),
            BackupError::Io(error) => {
                tracing::error!(%error, "a backup could not be read or written");
                Self::told(StatusCode::INTERNAL_SERVER_ERROR, "store", told)
            }
            _ => Self::told(StatusCode::UNPROCESSABLE_ENTITY, "invalid", told),
        }
    }
}
