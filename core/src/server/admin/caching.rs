//! What the prompt caches of providers saved: tokens from the ledger, held against prices.

use axum::Json;
use axum::extract::State;
use myelin_protocol::ir::Usage;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Admin;
use super::error::{AdminError, Failure};
use super::extract::Asked;
use super::filter::{self, FilterParams, Pairs};
use super::usage::question;
use crate::model::{Channel, Entities, NanoUsd};
use crate::pricing::{Book, caching, total};
use crate::store::UsageGroup;

/// Deployments of one answer.
const MOST_ROWS: usize = 10_000;

/// What the prompt caches of providers saved.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct CachingView {
    /// By channel and upstream's model, what saved most first; only where a cache was used.
    deployments: Vec<CachingRow>,
    /// Tokens that were read, cached ones included, of every request that the filter lets through.
    input: i64,
    cache_read: i64,
    cache_write: i64,
    /// Nanodollars of all deployments whose price is known.
    #[serde(flatten)]
    sums: CachingSums,
    /// Of the tokens from caches, those whose price is not known.
    unpriced: i64,
}

/// What one deployment's cache saved.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct CachingRow {
    channel: String,
    model: String,
    requests: i64,
    input: i64,
    cache_read: i64,
    cache_write: i64,
    /// `null`: there is no price.
    sums: Option<CachingSums>,
}

/// In nanodollars, at the prices of now.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
pub(super) struct CachingSums {
    /// Reading from caches was cheaper by so much than the full price of input.
    saved: NanoUsd,
    /// Writing to caches was dearer by so much.
    surcharge: NanoUsd,
}

fn caching_row(book: &Book, entities: &Entities, group: &UsageGroup) -> CachingRow {
    let value = |at: usize| group.values.get(at).cloned().unwrap_or_default();
    let (channel, model, provider) = (value(0), value(1), value(2));
    let quote = match entities.channel(&channel) {
        Some(channel) => book.quote(channel, &model),
        // The channel is gone: its provider's list still holds.
        None => book.quote(&Channel::bare(&channel, &provider), &model),
    };
    let sums = &group.sums;
    let count = |number: i64| Some(u64::try_from(number).unwrap_or_default());
    let usage = Usage {
        input: count(sums.input),
        cache_read: count(sums.cache_read),
        cache_write: count(sums.cache_write),
        cache_write_1h: count(sums.cache_write_1h),
        audio_input: count(sums.audio_input),
        image_input: count(sums.image_input),
        ..Usage::default()
    };
    let nano = |sum| total(&[(sum, quote.multiplier)]);
    let found = if quote.free {
        Some(CachingSums::default())
    } else {
        let found = caching(&quote.price, &usage, count(sums.requests).unwrap_or(1));
        found.map(|found| CachingSums { saved: nano(found.read), surcharge: nano(found.write) })
    };
    CachingRow {
        channel,
        model,
        requests: sums.requests,
        input: sums.input,
        cache_read: sums.cache_read,
        cache_write: sums.cache_write,
        sums: found,
    }
}

/// What the prompt caches of providers saved against the full price of input, by deployment, at the prices of now: tokens are known exactly, their price
/// when they were read is not kept by class. Without `since`: the last thirty days.
#[utoipa::path(get, path = "/api/v1/usage/caches", tag = "usage", operation_id = "usage_caches", params(FilterParams),
    responses((status = 200, body = CachingView), (status = 400, body = Failure)))]
pub(super) async fn caches(
    State(admin): State<Admin>,
    Asked(pairs): Asked<Pairs>,
) -> Result<Json<CachingView>, AdminError> {
    if pairs.iter().any(|(name, _)| matches!(name.as_str(), "by" | "zone")) {
        return Err(filter::unknown("by"));
    }
    let (mut query, _) = question(&admin, pairs, "channel,upstream_model,provider")?;
    query.times = false;
    let answer = admin.services.store.ledger().usage(query).await?;
    let entities = admin.services.store.entities();
    let book = Book::new(entities.prices.clone());
    let cached = answer.groups.iter().filter(|group| group.sums.cache_read > 0 || group.sums.cache_write > 0);
    let mut rows: Vec<CachingRow> = cached.map(|group| caching_row(&book, &entities, group)).collect();
    let net = |row: &CachingRow| row.sums.map_or(0, |sums| sums.saved.0.saturating_sub(sums.surcharge.0));
    rows.sort_by_key(|row| std::cmp::Reverse(net(row)));
    rows.truncate(MOST_ROWS);
    let mut sums = CachingSums::default();
    for row in rows.iter().filter_map(|row| row.sums) {
        sums.saved += row.saved;
        sums.surcharge += row.surcharge;
    }
    let unpriced = rows.iter().filter(|row| row.sums.is_none()).map(|row| row.cache_read + row.cache_write).sum();
    let total = &answer.total;
    let (input, cache_read, cache_write) = (total.input, total.cache_read, total.cache_write);
    Ok(Json(CachingView { deployments: rows, input, cache_read, cache_write, sums, unpriced }))
}
