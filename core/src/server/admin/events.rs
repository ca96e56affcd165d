//! What the owner should hear of, by asking again and again: equal on every carrier.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::error::{AdminError, Failure};
use super::extract::Asked;
use crate::events::Event;

/// Longest wait for something to come, in seconds.
const LONGEST_WAIT: u64 = 55;
/// Events of one answer.
const USUAL_LIMIT: usize = 50;
const MOST: usize = 500;

/// What to follow.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// The `next` of the answer before; absent: from now on. 0: everything that is remembered.
    after: Option<u64>,
    /// How long to wait for something to come, in seconds; up to 55.
    wait: Option<u64>,
    /// At most so many; up to 500.
    limit: Option<usize>,
}

/// What happened.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct EventsPage {
    /// Events in the order in which they happened.
    events: Vec<Event>,
    /// What to ask after next time.
    next: u64,
    /// Some that came in between are no longer remembered.
    gap: bool,
}

/// Follows the events: answers when something happened, or when the wait is over.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", operation_id = "follow_events", params(EventsQuery),
    responses((status = 200, body = EventsPage), (status = 400, body = Failure)))]
pub(super) async fn follow(
    State(admin): State<Admin>,
    Asked(query): Asked<EventsQuery>,
) -> Result<Json<EventsPage>, AdminError> {
    let events = &admin.services.events;
    let limit = query.limit.unwrap_or(USUAL_LIMIT).clamp(1, MOST);
    let after = query.after.unwrap_or_else(|| events.position());
    let mut heard = events.after(after, limit);
    let wait = query.wait.unwrap_or(0).min(LONGEST_WAIT);
    if heard.events.is_empty() && !heard.gap && wait > 0 {
        let _ = tokio::time::timeout(Duration::from_secs(wait), events.wait(after)).await;
        heard = events.after(after, limit);
    }
    let events = heard.events.iter().map(|event| event.as_ref().clone()).collect();
    Ok(Json(EventsPage { events, next: heard.next, gap: heard.gap }))
}
