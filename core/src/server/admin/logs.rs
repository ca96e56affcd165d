//! Request records: a list with a cursor, one by id, and a long-poll that follows them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::error::{AdminError, Failure};
use super::extract::{Asked, Named};
use crate::model::{RequestRecord, RequestState};
use crate::store::{Cursor, Filter};

const USUAL_LIMIT: usize = 50;
const MOST: usize = 1_000;
/// Longest wait of one poll: below the patience of usual proxies.
const LONGEST_WAIT: u64 = 55;

/// Which records are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// At most so many; up to 1000.
    limit: Option<usize>,
    /// The `next` of the page before.
    before: Option<String>,
    /// The model that was asked for.
    model: Option<String>,
    /// The channel that answered or failed last.
    channel: Option<String>,
    /// Id or name of the virtual key.
    key: Option<String>,
    /// `completed`, `interrupted`, `canceled` or `failed`.
    state: Option<RequestState>,
    /// Began at this time or later; milliseconds since 1970.
    since: Option<u64>,
    /// Began before this time; milliseconds since 1970.
    until: Option<u64>,
}

/// Some records, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct LogPage {
    records: Vec<RequestRecord>,
    /// Where older ones begin; `null`: there are none. A page with a rare filter may be short and still lead on.
    next: Option<String>,
}

/// What to follow.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct LiveQuery {
    /// The `next` of the answer before; absent: from now on.
    after: Option<u64>,
    /// How long to wait for something to come, in seconds; up to 55.
    wait: Option<u64>,
    /// At most so many; up to 1000.
    limit: Option<usize>,
}

/// What came.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct LivePage {
    /// Records in the order in which they ended.
    records: Vec<RequestRecord>,
    /// What to ask after next time.
    next: u64,
    /// Some that came in between are no longer remembered: read the list.
    gap: bool,
}

/// Request records, newest first.
#[utoipa::path(get, path = "/api/v1/logs", tag = "logs", operation_id = "list_logs", params(ListQuery),
    responses((status = 200, body = LogPage), (status = 400, body = Failure)))]
pub(super) async fn list(
    State(admin): State<Admin>,
    Asked(query): Asked<ListQuery>,
) -> Result<Json<LogPage>, AdminError> {
    let before = query.before.map(|before| before.parse::<Cursor>());
    let before = before.transpose().map_err(|_| AdminError::invalid("'before' is no cursor"))?;
    let store = &admin.services.store;
    let key = query.key.map(|key| store.entities().key(&key).map_or(key, |found| found.id.clone()));
    let filter = Filter {
        model: query.model,
        channel: query.channel,
        key,
        state: query.state,
        since: query.since,
        until: query.until,
    };
    let limit = query.limit.unwrap_or(USUAL_LIMIT).clamp(1, MOST);
    let page = store.ledger().list(filter, before, limit).await?;
    Ok(Json(LogPage { records: page.records, next: page.next.map(|next| next.to_string()) }))
}

/// Follows the records: answers when something came, or when the wait is over.
#[utoipa::path(get, path = "/api/v1/logs/live", tag = "logs", operation_id = "follow_logs", params(LiveQuery),
    responses((status = 200, body = LivePage), (status = 400, body = Failure)))]
pub(super) async fn live(
    State(admin): State<Admin>,
    Asked(query): Asked<LiveQuery>,
) -> Result<Json<LivePage>, AdminError> {
    let live = admin.services.store.ledger().live();
    let limit = query.limit.unwrap_or(USUAL_LIMIT).clamp(1, MOST);
    let after = query.after.unwrap_or_else(|| live.position());
    let mut found = live.after(after, limit);
    let wait = query.wait.unwrap_or(0).min(LONGEST_WAIT);
    if found.records.is_empty() && !found.gap && wait > 0 {
        let _ = tokio::time::timeout(Duration::from_secs(wait), live.wait(after)).await;
        found = live.after(after, limit);
    }
    let records = found.records.iter().map(|record| record.as_ref().clone()).collect();
    Ok(Json(LivePage { records, next: found.next, gap: found.gap }))
}

/// One record.
#[utoipa::path(get, path = "/api/v1/logs/{id}", tag = "logs", operation_id = "get_log", params(("id" = String, Path)),
    responses((status = 200, body = RequestRecord), (status = 404, body = Failure)))]
pub(super) async fn one(State(admin): State<Admin>, Named(id): Named) -> Result<Json<RequestRecord>, AdminError> {
    let record = admin.services.store.ledger().get(&id).await?;
    record.map(Json).ok_or_else(|| AdminError::missing("request", &id))
}
