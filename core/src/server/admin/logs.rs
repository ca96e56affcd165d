//! Request records: a list with a cursor, one by id, and a long-poll that follows them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::error::{AdminError, Failure};
use super::extract::{Asked, Named};
use super::filter::{self, FilterParams, ListParams, Pairs};
use super::requests::{self, FlightsView};
use crate::model::RequestRecord;
use crate::store::Cursor;

const USUAL_LIMIT: usize = 50;
const MOST: usize = 1_000;
/// Longest wait of one poll: below the patience of usual proxies.
const LONGEST_WAIT: u64 = 55;
/// How often the progress of requests in flight is told.
const FLIGHT_PACE: Duration = Duration::from_secs(1);
/// A request that is over sooner is not told while it is in flight.
const BRIEF: Duration = Duration::from_millis(150);

/// Some records, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct LogPage {
    records: Vec<RequestRecord>,
    /// Where older ones begin; `null`: there are none. A page with a rare filter may be short and still lead on.
    next: Option<String>,
    /// Rows that were looked at for this page.
    looked_at: u64,
    /// Names of the keys that the records name by their id.
    keys: BTreeMap<String, String>,
    /// What to follow the live requests after: what ended before is in the list.
    live: u64,
    /// Requests in flight.
    flights: FlightsView,
}

/// The names of the keys of some records.
fn names<'a>(admin: &Admin, records: impl Iterator<Item = &'a RequestRecord>) -> BTreeMap<String, String> {
    let entities = admin.services.store.entities();
    let ids: BTreeSet<&str> = records.filter_map(|record| record.key.as_deref()).collect();
    ids.into_iter().filter_map(|id| Some((id.to_owned(), entities.key(id)?.name.clone()))).collect()
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
    /// Tell the requests in flight too. The number of those that are known: the answer comes as soon as one begins, and while there are any, every
    /// second. Absent: they are not told.
    flights: Option<usize>,
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
    /// Names of the keys that the records name by their id.
    keys: BTreeMap<String, String>,
    /// Requests in flight, if they were asked for.
    flights: Option<FlightsView>,
}

/// Request records, newest first.
#[utoipa::path(get, path = "/api/v1/requests", tag = "requests", operation_id = "list_requests", params(FilterParams, ListParams),
    responses((status = 200, body = LogPage), (status = 400, body = Failure)))]
pub(super) async fn list(State(admin): State<Admin>, Asked(pairs): Asked<Pairs>) -> Result<Json<LogPage>, AdminError> {
    let store = &admin.services.store;
    let live = store.ledger().live().position();
    let (filter, rest) = filter::read(pairs, &store.entities())?;
    let (mut before, mut limit) = (None, USUAL_LIMIT);
    for (name, value) in rest {
        match name.as_str() {
            "limit" => limit = filter::number::<usize>(&name, &value)?.clamp(1, MOST),
            "before" => {
                before = Some(value.parse::<Cursor>().map_err(|_| AdminError::invalid("'before' is no cursor"))?)
            }
            _ => return Err(filter::unknown(&name)),
        }
    }
    let page = store.ledger().list(filter, before, limit).await?;
    Ok(Json(LogPage {
        keys: names(&admin, page.records.iter()),
        records: page.records,
        next: page.next.map(|next| next.to_string()),
        looked_at: page.looked_at as u64,
        live,
        flights: requests::in_flight(&admin),
    }))
}

/// Follows the records: answers when something came, or when the wait is over.
#[utoipa::path(get, path = "/api/v1/requests/live", tag = "requests", operation_id = "follow_requests", params(LiveQuery),
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
        tokio::select! {
            () = live.wait(after) => {}
            () = flown(&admin, query.flights) => {}
            () = tokio::time::sleep(Duration::from_secs(wait)) => {}
        }
        found = live.after(after, limit);
    }
    let keys = names(&admin, found.records.iter().map(|record| record.as_ref()));
    let records = found.records.iter().map(|record| record.as_ref().clone()).collect();
    let flights = query.flights.map(|_| requests::in_flight(&admin));
    Ok(Json(LivePage { keys, records, next: found.next, gap: found.gap, flights }))
}

/// Until something is to be told of the requests in flight to whoever knows of so many; for ever to whoever did not ask.
async fn flown(admin: &Admin, known: Option<usize>) {
    let flights = &admin.services.flights;
    let Some(known) = known else { return std::future::pending().await };
    let begun = flights.begun();
    match (flights.count(), known) {
        (0, 0) => {
            begun.await;
            // Most are over in a moment, and their records say it all.
            tokio::time::sleep(BRIEF).await;
        }
        // The last one is over, and is still shown.
        (0, _) => {}
        _ => tokio::time::sleep(FLIGHT_PACE).await,
    }
}

/// One record.
#[utoipa::path(get, path = "/api/v1/requests/{id}", tag = "requests", operation_id = "get_request", params(("id" = String, Path)),
    responses((status = 200, body = RequestRecord), (status = 404, body = Failure)))]
pub(super) async fn one(State(admin): State<Admin>, Named(id): Named) -> Result<Json<RequestRecord>, AdminError> {
    let record = admin.services.store.ledger().get(&id).await?;
    record.map(Json).ok_or_else(|| AdminError::missing("request", &id))
}
