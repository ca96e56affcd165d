//! Beside the list of requests: how often values occur, kept bodies, requests in flight and stopping one, what belongs to one task.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use myelin_protocol::ApiFormat;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Admin;
use super::Done;
use super::error::{AdminError, Failure};
use super::extract::{Asked, Named};
use super::filter::{self, FilterParams, Pairs};
use crate::model::{NanoUsd, RequestRecord};
use crate::store::{BodyKind, BodyPart, Cursor, Dimension, Filter, Link, UsageQuery};

/// Values of one dimension that are counted out.
const MOST_VALUES: usize = 100;
/// Requests of one task or conversation that are shown at once.
const MOST_OF_TRACE: usize = 500;

/// How often values occur.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct FacetsView {
    /// By dimension: values with the number of requests, the most frequent first. A filter on a dimension does not narrow that dimension.
    facets: BTreeMap<String, Vec<FacetValue>>,
}

/// One value.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct FacetValue {
    value: String,
    requests: u64,
}

/// How often each value occurs among the requests that a filter lets through.
#[utoipa::path(get, path = "/api/v1/requests/facets", tag = "requests", operation_id = "request_facets", params(FilterParams),
    responses((status = 200, body = FacetsView), (status = 400, body = Failure)))]
pub(super) async fn facets(
    State(admin): State<Admin>,
    Asked(pairs): Asked<Pairs>,
) -> Result<Json<FacetsView>, AdminError> {
    let store = &admin.services.store;
    let (filter, rest) = filter::read(pairs, &store.entities())?;
    if let Some((name, _)) = rest.first() {
        return Err(filter::unknown(name));
    }
    let query = UsageQuery {
        since: filter.since.unwrap_or(0),
        until: filter.until.unwrap_or(u64::MAX >> 1),
        any: filter.any,
        ..UsageQuery::default()
    };
    let all = Dimension::ALL.map(|(one, _)| one).to_vec();
    let found = store.ledger().facets(query, all, MOST_VALUES).await?;
    let view = |(value, requests)| FacetValue { value, requests };
    let facets =
        found.values.into_iter().map(|(word, values)| (word.to_owned(), values.into_iter().map(view).collect()));
    Ok(Json(FacetsView { facets: facets.collect() }))
}

/// Kept bodies of one request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct BodiesView {
    /// The bodies; empty: none were kept, or they are gone.
    bodies: Vec<BodyView>,
    /// Headers, where bodies are kept of every request, and those of refusing deployments. One line each; `…` hides a value that may be a secret.
    heads: Vec<BodyView>,
    /// The words of the answer, put together if it was a stream.
    answer_text: Option<String>,
}

/// One body.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct BodyView {
    /// Which.
    kind: BodyKind,
    /// Of which attempt, from 0, where it belongs to one.
    attempt: Option<u32>,
    /// The text, secrets masked. Of a stream: its events as they came.
    text: String,
    /// How many bytes there were; more than the text has: it was cut, or it was no text.
    size: u64,
}

/// Bodies of one request: as received, as sent to each deployment, what came back, what the client got.
#[utoipa::path(get, path = "/api/v1/requests/{id}/bodies", tag = "requests", operation_id = "get_bodies", params(("id" = String, Path)),
    responses((status = 200, body = BodiesView), (status = 404, body = Failure)))]
pub(super) async fn bodies(State(admin): State<Admin>, Named(id): Named) -> Result<Json<BodiesView>, AdminError> {
    let store = &admin.services.store;
    let record = store.ledger().get(&id).await?.ok_or_else(|| AdminError::missing("request", &id))?;
    let parts = store.bodies().get(&record.id, record.started).await?;
    let answer = parts.iter().find(|part| part.kind == BodyKind::Answer);
    let answer_text = answer.and_then(|part| words(&record, part));
    let view = |part: BodyPart| BodyView {
        kind: part.kind,
        attempt: part.attempt,
        text: String::from_utf8_lossy(&part.bytes).into_owned(),
        size: part.size,
    };
    let (heads, bodies): (Vec<BodyPart>, Vec<BodyPart>) = parts.into_iter().partition(|part| part.kind.is_head());
    let views = |parts: Vec<BodyPart>| parts.into_iter().map(view).collect();
    Ok(Json(BodiesView { bodies: views(bodies), heads: views(heads), answer_text }))
}

/// The words of an answer, as far as they were kept.
fn words(record: &RequestRecord, part: &BodyPart) -> Option<String> {
    let format = ApiFormat::ALL.into_iter().find(|format| format.as_str() == record.format)?;
    let dialect = myelin_protocol::dialect::Dialect::default();
    let response = if record.stream {
        myelin_protocol::drive::fold_stream(format, &dialect, &part.bytes).response
    } else {
        myelin_protocol::answer::read(format, &part.bytes, &dialect).ok()?
    };
    let text: String = response.first()?.parts.iter().filter_map(|part| part.as_text()).collect();
    (!text.is_empty()).then_some(text)
}

/// Requests in flight.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(super) struct FlightsView {
    /// The oldest first.
    requests: Vec<FlightView>,
}

/// One request in flight.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct FlightView {
    id: String,
    /// Milliseconds since 1970.
    started: u64,
    path: String,
    format: String,
    /// The model that was asked for; empty: it is not known yet.
    model: String,
    /// The channel that is being asked.
    channel: Option<String>,
    upstream_model: Option<String>,
    /// Id of the virtual key.
    key: Option<String>,
    tool: Option<String>,
    profile: String,
    stream: bool,
    /// Tries so far.
    attempts: u32,
    bytes_in: u64,
    /// Bytes of the answer so far.
    bytes_out: u64,
    /// About how many tokens the answer has so far; streams only.
    tokens_out: u64,
}

/// Requests in flight.
#[utoipa::path(get, path = "/api/v1/requests/active", tag = "requests", operation_id = "active_requests",
    responses((status = 200, body = FlightsView)))]
pub(super) async fn active(State(admin): State<Admin>) -> Json<FlightsView> {
    Json(in_flight(&admin))
}

/// Requests in flight, as they stand.
pub(super) fn in_flight(admin: &Admin) -> FlightsView {
    let flights = admin.services.flights.list();
    let view = |flight: &std::sync::Arc<crate::pipeline::Flight>| {
        let facts = flight.facts();
        FlightView {
            id: flight.id.clone(),
            started: flight.started,
            path: flight.path.clone(),
            format: facts.format,
            model: facts.model,
            channel: facts.channel,
            upstream_model: facts.upstream_model,
            key: facts.key,
            tool: facts.tool,
            profile: facts.profile,
            stream: facts.stream,
            attempts: facts.attempts,
            bytes_in: facts.bytes_in,
            bytes_out: flight.bytes_out(),
            tokens_out: flight.tokens_out(),
        }
    };
    FlightsView { requests: flights.iter().map(view).collect() }
}

/// Stops a request in flight. Its client gets an error, its deployment is no longer listened to, and what was used is booked.
#[utoipa::path(post, path = "/api/v1/requests/{id}/stop", tag = "requests", operation_id = "stop_request", params(("id" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = Failure)))]
pub(super) async fn stop(State(admin): State<Admin>, Named(id): Named) -> Result<Json<Done>, AdminError> {
    if admin.services.flights.stop(&id) {
        tracing::info!(id, "a request was stopped");
        return Ok(Json(Done { ok: true, warnings: Vec::new() }));
    }
    Err(AdminError::missing("request in flight", &id))
}

/// Requests that belong together.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct TraceView {
    /// What they share: `trace`, `thread` or `session`.
    by: String,
    /// The requests, the oldest first; the newest 500 if there are more.
    requests: Vec<RequestRecord>,
    /// There are more.
    more: bool,
    /// Tokens that were read by those that are shown.
    input: u64,
    /// Tokens that were written.
    output: u64,
    /// What they cost.
    cost: NanoUsd,
    /// From the beginning of the first to the end of the last, in microseconds.
    duration_us: u64,
}

/// Requests of one task (its trace), of one conversation (its thread) or of one session, whichever has that id.
#[utoipa::path(get, path = "/api/v1/traces/{id}", tag = "requests", operation_id = "get_trace", params(("id" = String, Path)),
    responses((status = 200, body = TraceView), (status = 404, body = Failure)))]
pub(super) async fn trace(State(admin): State<Admin>, Named(id): Named) -> Result<Json<TraceView>, AdminError> {
    let ledger = admin.services.store.ledger();
    for (kind, by) in [(Link::Trace, "trace"), (Link::Thread, "thread"), (Link::Session, "session")] {
        let filter = Filter { link: Some((kind, id.clone())), ..Filter::default() };
        let page = ledger.list(filter, None::<Cursor>, MOST_OF_TRACE).await?;
        if page.records.is_empty() {
            continue;
        }
        let mut requests = page.records;
        requests.reverse();
        let tokens = |of: fn(&myelin_protocol::ir::Usage) -> Option<u64>| {
            requests.iter().filter_map(|record| of(record.usage.as_ref()?)).sum()
        };
        let began = requests.first().map_or(0, |record| record.started.saturating_mul(1_000));
        let ended =
            requests.iter().map(|record| record.started.saturating_mul(1_000).saturating_add(record.duration_us)).max();
        return Ok(Json(TraceView {
            by: by.to_owned(),
            more: page.next.is_some(),
            input: tokens(|usage| usage.input),
            output: tokens(|usage| usage.output),
            cost: NanoUsd(requests.iter().filter_map(|record| record.cost).map(|NanoUsd(nanos)| nanos).sum()),
            duration_us: ended.unwrap_or(began).saturating_sub(began),
            requests,
        }));
    }
    Err(AdminError::missing("trace", &id))
}
