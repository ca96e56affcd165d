//! Whole pages in one answer: what the start page shows, and what failed and was left alone because of it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::error::{AdminError, Failure};
use super::extract::Asked;
use super::filter::{FilterParams, Pairs};
use super::limits::{self, LimitList};
use super::profiles::{self, ProfileList};
use super::requests::{self, FlightsView};
use super::status::{self, Status};
use super::usage::{UsageParams, UsageView, add_up, question, zone};
use crate::events::{Event, Level};
use crate::model::{NanoUsd, RequestRecord};
use crate::store::{Bucket, Filter, UsageQuery};

const DAY_MS: u64 = 86_400_000;
/// Events that are looked through: all that are remembered.
const MOST_EVENTS: usize = 500;
/// What deserves a look, at most.
const MOST_ALERTS: usize = 5;
/// The last requests.
const LATEST: usize = 8;

/// Where days and months begin.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct OverviewQuery {
    /// IANA name of the time zone in which days and months begin; absent: UTC.
    zone: String,
}

/// The start page.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Overview {
    status: Status,
    profiles: ProfileList,
    limits: LimitList,
    /// Requests in flight.
    flights: FlightsView,
    /// Events of the last day that are more than news, the newest first.
    alerts: Vec<Event>,
    /// Spent since midnight, in nanodollars.
    today: NanoUsd,
    /// Spent since the month began, in nanodollars.
    month: NanoUsd,
    /// When the last 24 hours began; milliseconds since 1970.
    since: u64,
    /// When they ended.
    until: u64,
    /// The last 24 hours, by hour.
    hours: UsageView,
    /// The last requests, the newest first.
    latest: Vec<RequestRecord>,
    /// What to follow the live requests after.
    next: u64,
}

/// Everything that the start page shows: one answer for one page.
#[utoipa::path(get, path = "/api/v1/overview", tag = "status", operation_id = "overview", params(OverviewQuery),
    responses((status = 200, body = Overview), (status = 400, body = Failure)))]
pub(super) async fn overview(
    State(admin): State<Admin>,
    Asked(query): Asked<OverviewQuery>,
) -> Result<Json<Overview>, AdminError> {
    let zone = zone(&query.zone)?;
    let ledger = admin.services.store.ledger();
    // What ends from here on is told by following; what ended before is in the list.
    let next = ledger.live().position();
    let now = admin.services.clock.unix_ms();
    let until = now.saturating_add(1);
    let start = |bucket: Bucket, time| bucket.start(zone.as_ref(), time);
    let (today, since) = (start(Bucket::Day, now), start(Bucket::Hour, now.saturating_sub(DAY_MS)));
    let hours = UsageQuery {
        since,
        until,
        bucket: Some(Bucket::Hour),
        zone: zone.clone(),
        times: true,
        ..UsageQuery::default()
    };
    let days = UsageQuery {
        since: start(Bucket::Month, now),
        until,
        bucket: Some(Bucket::Day),
        zone: zone.clone(),
        ..UsageQuery::default()
    };
    let days = ledger.usage(days).await?;
    let of_today = days.groups.iter().filter(|group| group.from.is_some_and(|from| from >= today));
    let alerts = events(&admin)
        .into_iter()
        .rev()
        .filter(|event| event.level != Level::Info && now.saturating_sub(event.at) < DAY_MS)
        .take(MOST_ALERTS);
    Ok(Json(Overview {
        alerts: alerts.collect(),
        today: NanoUsd(of_today.map(|group| group.sums.cost).sum()),
        month: NanoUsd(days.total.cost),
        hours: add_up(&admin, hours, Vec::new()).await?,
        latest: ledger.list(Filter::default(), None, LATEST).await?.records,
        status: status::status(State(admin.clone())).await.0,
        profiles: profiles::list(State(admin.clone())).await.0,
        limits: limits::list(State(admin.clone())).await.0,
        flights: requests::in_flight(&admin),
        since,
        until,
        next,
    }))
}

/// All events that are remembered, the oldest first.
fn events(admin: &Admin) -> Vec<Event> {
    let heard = admin.services.events.after(0, MOST_EVENTS);
    heard.events.iter().map(|event| event.as_ref().clone()).collect()
}

/// What failed, and what happened meanwhile.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct FailuresView {
    usage: UsageView,
    /// All that are remembered, the oldest first.
    events: Vec<Event>,
}

/// Usage as `usage` gives it, with the events beside it: what failed, and what was left alone because of it.
#[utoipa::path(get, path = "/api/v1/usage/failures", tag = "usage", operation_id = "usage_failures", params(UsageParams, FilterParams),
    responses((status = 200, body = FailuresView), (status = 400, body = Failure)))]
pub(super) async fn failures(
    State(admin): State<Admin>,
    Asked(pairs): Asked<Pairs>,
) -> Result<Json<FailuresView>, AdminError> {
    let (query, by) = question(&admin, pairs, "error")?;
    Ok(Json(FailuresView { usage: add_up(&admin, query, by).await?, events: events(&admin) }))
}
