//! The filter that lists, facets, sums and forecasts share: one table of query parameters.
//!
//! `model=a&model=b` lets both through; `channel=` what has none. Prefix a key's name or id alike.

use super::error::AdminError;
use crate::model::{Entities, NanoUsd};
use crate::store::{Dimension, Filter, Link};
use crate::told;

/// Parameters of a query in the order in which they came.
pub(super) type Pairs = Vec<(String, String)>;

/// The filter of a request, as the description lists it.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described: parameters that repeat are read by hand")]
pub(super) struct FilterParams {
    /// The model that was asked for. Every filter may repeat: one of its values will do. An empty value: the record says nothing there.
    model: Option<Vec<String>>,
    /// Upstream's name of the model.
    upstream_model: Option<Vec<String>>,
    /// The channel that answered or failed last.
    channel: Option<Vec<String>>,
    /// Its provider.
    provider: Option<Vec<String>>,
    /// Id or name of the virtual key.
    key: Option<Vec<String>>,
    /// The tool.
    tool: Option<Vec<String>>,
    /// The profile.
    profile: Option<Vec<String>>,
    /// The client's format.
    format: Option<Vec<String>>,
    /// `completed`, `interrupted`, `canceled` or `failed`.
    state: Option<Vec<String>>,
    /// HTTP status that the client got.
    status: Option<Vec<String>>,
    /// Kind of failure.
    error: Option<Vec<String>>,
    /// `hit`, `miss`, `shared` or `none`.
    cache: Option<Vec<String>>,
    /// A node above the key: `kind:name`.
    owner: Option<Vec<String>>,
    /// A tag.
    tag: Option<Vec<String>>,
    /// Began at this time or later; milliseconds since 1970.
    since: Option<u64>,
    /// Began before this time; milliseconds since 1970.
    until: Option<u64>,
}

/// What only lists can be filtered by.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described: parameters that repeat are read by hand")]
pub(super) struct ListParams {
    /// At most so many; up to 1000.
    limit: Option<usize>,
    /// The `next` of the page before.
    before: Option<String>,
    /// Requests of one task.
    trace: Option<String>,
    /// Tasks of one conversation.
    thread: Option<String>,
    /// Session of the client.
    session: Option<String>,
    /// Text in the record's own words.
    q: Option<String>,
    /// Look for `q` in kept bodies too.
    bodies: Option<bool>,
    /// Took at least so many milliseconds.
    min_ms: Option<u64>,
    /// Cost at least so many nanodollars.
    min_cost: Option<i64>,
}

const STATES: [&str; 4] = ["completed", "interrupted", "canceled", "failed"];
const CACHE: [&str; 4] = ["none", "hit", "miss", "shared"];

/// Reads what belongs to a filter; the rest comes back.
pub(super) fn read(pairs: Pairs, entities: &Entities) -> Result<(Filter, Pairs), AdminError> {
    let (mut filter, mut rest) = (Filter::default(), Vec::new());
    for (name, value) in pairs {
        let link = |kind| Some((kind, value.clone()));
        if let Some(dimension) = Dimension::of(&name) {
            let value = match dimension {
                Dimension::Key => entities.key(&value).map_or(value, |key| key.id.clone()),
                _ => value,
            };
            let known = match dimension {
                Dimension::State => STATES.contains(&value.as_str()),
                Dimension::Cache => CACHE.contains(&value.as_str()),
                Dimension::Status => value.is_empty() || value.parse::<u16>().is_ok(),
                _ => true,
            };
            if !known {
                return Err(AdminError::wrong(told!(
                    "cannot-be",
                    "'{name}' cannot be '{value}'",
                    name = name,
                    value = value
                )));
            }
            match filter.any.iter_mut().find(|(own, _)| *own == dimension) {
                Some((_, any)) => any.push(value),
                None => filter.any.push((dimension, vec![value])),
            }
            continue;
        }
        match name.as_str() {
            "since" => filter.since = Some(number(&name, &value)?),
            "until" => filter.until = Some(number(&name, &value)?),
            "trace" => filter.link = link(Link::Trace),
            "thread" => filter.link = link(Link::Thread),
            "session" => filter.link = link(Link::Session),
            "q" => filter.text = Some(value),
            "bodies" => filter.bodies = number(&name, &value)?,
            "min_ms" => filter.slower_than = Some(number::<u64>(&name, &value)?.saturating_mul(1_000)),
            "min_cost" => filter.costlier_than = Some(NanoUsd(number(&name, &value)?)),
            _ => rest.push((name, value)),
        }
    }
    Ok((filter, rest))
}

/// A value that is a number or a flag.
pub(super) fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, AdminError> {
    value
        .parse()
        .map_err(|_| AdminError::wrong(told!("cannot-be", "'{name}' cannot be '{value}'", name = name, value = value)))
}

/// What nobody understood.
pub(super) fn unknown(name: &str) -> AdminError {
    AdminError::invalid(format!("there is no parameter '{name}'"))
}
