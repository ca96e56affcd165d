//! Usage and spend by any dimension and stretch of time, and where spend is going.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::error::{AdminError, Failure};
use super::extract::Asked;
use super::filter::{self, FilterParams, Pairs};
use crate::model::NanoUsd;
use crate::store::{
    Bucket, Dimension, Grouping, LOOK_BACK_DAYS, Ledger, MOST_MINUTES_MS, StoodOut, Sums, UsageAnswer, UsageQuery,
    outlook,
};
use crate::told;

const DAY_MS: u64 = 86_400_000;
/// Groups of one answer.
const MOST_GROUPS: usize = 10_000;
/// Hours that stand out, of one answer.
const MOST_SPIKES: usize = 100;

/// How to add up.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described: the query is read by hand")]
pub(super) struct UsageParams {
    /// What makes a group, separated by commas: any filter's name, `user`, `team`, `project`, `organisation`; and at most one of `minute`, `hour`,
    /// `day`, `week`, `month`.
    by: Option<String>,
    /// IANA name of the time zone in which days, weeks and months begin; absent: UTC.
    zone: Option<String>,
}

/// Usage and spend.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct UsageView {
    /// What `values` name, in order.
    by: Vec<String>,
    /// In the order of time, then the costliest first.
    groups: Vec<UsageRow>,
    /// All that the filter lets through.
    total: SumsView,
    /// The edges of the range were rounded to whole hours: too many requests stand there, or their records are gone.
    rounded: bool,
    /// There are more groups than are shown.
    more: bool,
}

/// One group.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct UsageRow {
    /// When its stretch of time begins; milliseconds since 1970.
    from: Option<u64>,
    /// Its values; an empty one: the requests say nothing there. Keys are shown by their name.
    values: Vec<String>,
    #[serde(flatten)]
    sums: SumsView,
}

/// Sums over requests.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(super) struct SumsView {
    requests: i64,
    /// Those that failed or broke off.
    errors: i64,
    /// Those whose client left.
    canceled: i64,
    /// Tries at deployments.
    attempts: i64,
    /// Tokens that were read, cached ones included.
    input: i64,
    cache_read: i64,
    cache_write: i64,
    cache_write_1h: i64,
    audio_input: i64,
    image_input: i64,
    /// Tokens that were written, reasoning included.
    output: i64,
    reasoning: i64,
    audio_output: i64,
    image_output: i64,
    web_searches: i64,
    /// Nanodollars.
    cost: NanoUsd,
    /// What answers from the response cache would have cost, in nanodollars.
    saved: NanoUsd,
    /// Requests without a price.
    unpriced: i64,
    /// Requests whose cost is an estimate.
    estimated: i64,
    /// Answers from the response cache, or shared.
    cache_hits: i64,
    streams: i64,
    bytes_in: i64,
    bytes_out: i64,
    /// Mean time to the last byte, in microseconds.
    duration_us: Option<i64>,
    /// Half of them took no longer.
    duration_p50_us: Option<u64>,
    duration_p95_us: Option<u64>,
    duration_p99_us: Option<u64>,
    /// Mean time of streams to the first content, in microseconds.
    first_token_us: Option<i64>,
    first_token_p50_us: Option<u64>,
    first_token_p95_us: Option<u64>,
    first_token_p99_us: Option<u64>,
    /// Myelin's own time, mean, in microseconds.
    overhead_us: Option<i64>,
}

impl From<&Sums> for SumsView {
    fn from(sums: &Sums) -> Self {
        let mean = |sum: i64, count: i64| (count > 0).then(|| sum / count);
        Self {
            requests: sums.requests,
            errors: sums.errors,
            canceled: sums.canceled,
            attempts: sums.attempts,
            input: sums.input,
            cache_read: sums.cache_read,
            cache_write: sums.cache_write,
            cache_write_1h: sums.cache_write_1h,
            audio_input: sums.audio_input,
            image_input: sums.image_input,
            output: sums.output,
            reasoning: sums.reasoning,
            audio_output: sums.audio_output,
            image_output: sums.image_output,
            web_searches: sums.web_searches,
            cost: NanoUsd(sums.cost),
            saved: NanoUsd(sums.saved),
            unpriced: sums.unpriced,
            estimated: sums.estimated,
            cache_hits: sums.cache_hits,
            streams: sums.streams,
            bytes_in: sums.bytes_in,
            bytes_out: sums.bytes_out,
            duration_us: mean(sums.duration_us, sums.requests),
            duration_p50_us: sums.duration.quantile(0.5),
            duration_p95_us: sums.duration.quantile(0.95),
            duration_p99_us: sums.duration.quantile(0.99),
            first_token_us: mean(sums.first_token_us, sums.first_tokens),
            first_token_p50_us: sums.first_token.quantile(0.5),
            first_token_p95_us: sums.first_token.quantile(0.95),
            first_token_p99_us: sums.first_token.quantile(0.99),
            overhead_us: mean(sums.overhead_us, sums.requests),
        }
    }
}

const BUCKETS: [(&str, Bucket); 5] = [
    ("minute", Bucket::Minute),
    ("hour", Bucket::Hour),
    ("day", Bucket::Day),
    ("week", Bucket::Week),
    ("month", Bucket::Month),
];
const OWNERS: [&str; 4] = ["user", "team", "project", "organisation"];

/// What `by` asks for.
fn groupings(by: &str, query: &mut UsageQuery) -> Result<Vec<String>, AdminError> {
    let mut words = Vec::new();
    for word in by.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        if let Some((_, bucket)) = BUCKETS.iter().find(|(own, _)| *own == word) {
            if query.bucket.replace(*bucket).is_some() {
                return Err(AdminError::invalid("'by' names more than one stretch of time"));
            }
            continue;
        }
        let grouping = match Dimension::of(word) {
            Some(dimension) => Grouping::Of(dimension),
            None if OWNERS.contains(&word) => Grouping::Owner(word.to_owned()),
            None => {
                let known: Vec<&str> = Dimension::ALL.iter().map(|(_, word)| *word).collect();
                let known = known.join(", ");
                return Err(AdminError::invalid(format!(
                    "nothing is grouped by '{word}': use {known}, {}, minute, hour, day, week or month",
                    OWNERS.join(", ")
                )));
            }
        };
        query.by.push(grouping);
        words.push(word.to_owned());
    }
    Ok(words)
}

/// Reads filter, range, grouping and zone. What is left over is an error.
pub(super) fn question(admin: &Admin, pairs: Pairs, usual_by: &str) -> Result<(UsageQuery, Vec<String>), AdminError> {
    let (filter, rest) = filter::read(pairs, &admin.services.store.entities())?;
    let now = admin.services.clock.unix_ms();
    let given = filter.since.zip(filter.until);
    let mut query = UsageQuery {
        since: filter.since.unwrap_or(now.saturating_sub(30 * DAY_MS)),
        until: filter.until.unwrap_or(now.saturating_add(1)),
        any: filter.any,
        times: true,
        ..UsageQuery::default()
    };
    let mut by = usual_by.to_owned();
    for (name, value) in rest {
        match name.as_str() {
            "by" => by = value,
            "zone" => query.zone = zone(&value)?,
            _ => return Err(filter::unknown(&name)),
        }
    }
    if given.is_some_and(|(since, until)| since >= until) {
        return Err(AdminError::wrong(told!("range-empty", "the range is empty: it ends before it begins")));
    }
    let words = groupings(&by, &mut query)?;
    if query.bucket == Some(Bucket::Minute) && query.until.saturating_sub(query.since) > MOST_MINUTES_MS {
        return Err(AdminError::wrong(told!(
            "minutes-long",
            "minutes are shown for up to six hours: give 'since' and 'until'"
        )));
    }
    Ok((query, words))
}

/// `None`: UTC, whose days are summed up already.
pub(super) fn zone(name: &str) -> Result<Option<TimeZone>, AdminError> {
    if name.is_empty() || name == "UTC" {
        return Ok(None);
    }
    TimeZone::get(name).map(Some).map_err(|_| {
        AdminError::wrong(told!(
            "no-zone",
            "there is no time zone '{name}': write an IANA name, such as Europe/Berlin or UTC",
            name = name,
        ))
    })
}

/// Keys are stored by id and shown by name, as long as they exist.
fn name_keys(admin: &Admin, answer: &mut UsageAnswer, by: &[Grouping]) {
    let entities = admin.services.store.entities();
    for at in by.iter().enumerate().filter(|(_, by)| **by == Grouping::Of(Dimension::Key)).map(|(at, _)| at) {
        for group in &mut answer.groups {
            if let Some(value) = group.values.get_mut(at)
                && let Some(key) = entities.key(value)
            {
                value.clone_from(&key.name);
            }
        }
    }
}

/// Usage and spend, summed up by any dimension and stretch of time. Without `since`: the last thirty days.
#[utoipa::path(get, path = "/api/v1/usage", tag = "usage", operation_id = "usage", params(UsageParams, FilterParams),
    responses((status = 200, body = UsageView), (status = 400, body = Failure)))]
pub(super) async fn usage(
    State(admin): State<Admin>,
    Asked(pairs): Asked<Pairs>,
) -> Result<Json<UsageView>, AdminError> {
    let (query, by) = question(&admin, pairs, "")?;
    Ok(Json(add_up(&admin, query, by).await?))
}

/// The answer to a question. `by`: the words for what it groups by.
pub(super) async fn add_up(admin: &Admin, query: UsageQuery, by: Vec<String>) -> Result<UsageView, AdminError> {
    let groupings = query.by.clone();
    let mut answer = admin.services.store.ledger().usage(query).await?;
    name_keys(admin, &mut answer, &groupings);
    let more = answer.groups.len() > MOST_GROUPS;
    answer.groups.truncate(MOST_GROUPS);
    let groups = answer.groups.into_iter().map(|group| UsageRow {
        from: group.from,
        values: group.values,
        sums: (&group.sums).into(),
    });
    Ok(UsageView { by, groups: groups.collect(), total: (&answer.total).into(), rounded: answer.rounded, more })
}

/// Where spend is going.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ForecastView {
    /// When this month began; milliseconds since 1970.
    from: u64,
    /// When it ends.
    until: u64,
    /// All of it.
    total: OutlookView,
    /// What `values` name, in order.
    by: Vec<String>,
    /// By group, the costliest first.
    groups: Vec<OutlookRow>,
    /// Hours of the last week that stand out.
    spikes: Vec<SpikeView>,
}

/// What the month comes to, in nanodollars.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct OutlookView {
    /// Spent in this month so far.
    spent: NanoUsd,
    /// Expected at the end of the month, what is spent included.
    expected: NanoUsd,
    /// It may well stay above this …
    low: NanoUsd,
    /// … and below that.
    high: NanoUsd,
    /// By how much a day's spend grows from day to day.
    trend: NanoUsd,
}

/// What the month comes to for one group.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct OutlookRow {
    values: Vec<String>,
    #[serde(flatten)]
    outlook: OutlookView,
}

/// An hour that stands out.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct SpikeView {
    /// When it began; milliseconds since 1970.
    at: u64,
    /// Of which group; empty: of all together.
    values: Vec<String>,
    /// What was spent in it, in nanodollars.
    cost: NanoUsd,
    /// What is spent in a usual hour.
    usual: NanoUsd,
}

/// The stretches of time that a forecast reads.
struct Calendar {
    now: u64,
    today: u64,
    month: u64,
    next_month: u64,
    zone: Option<TimeZone>,
}

impl Calendar {
    fn new(now: u64, zone: Option<TimeZone>) -> Self {
        let start = |bucket: Bucket, time| bucket.start(zone.as_ref(), time);
        let month = start(Bucket::Month, now);
        // Past the longest month from its beginning lies the next one.
        let next_month = start(Bucket::Month, month + 32 * DAY_MS);
        Self { now, today: start(Bucket::Day, now), month, next_month, zone }
    }

    /// Whole days after today.
    fn days_left(&self) -> usize {
        let left = self.next_month.saturating_sub(self.today + DAY_MS);
        usize::try_from((left + DAY_MS / 2) / DAY_MS).unwrap_or(0)
    }
}

/// Spend to the end of the month, by any dimension, from the trend of the last four weeks; and hours of the last week that stand out.
#[utoipa::path(get, path = "/api/v1/forecast", tag = "usage", operation_id = "forecast", params(UsageParams, FilterParams),
    responses((status = 200, body = ForecastView), (status = 400, body = Failure)))]
pub(super) async fn forecast(
    State(admin): State<Admin>,
    Asked(pairs): Asked<Pairs>,
) -> Result<Json<ForecastView>, AdminError> {
    let (query, by) = question(&admin, pairs, "model")?;
    if query.bucket.is_some() {
        return Err(AdminError::invalid("a forecast is for the month: 'by' takes no stretch of time"));
    }
    let calendar = Calendar::new(admin.services.clock.unix_ms(), query.zone.clone());
    let look_back = calendar.today.saturating_sub(LOOK_BACK_DAYS as u64 * DAY_MS);
    let since = look_back.min(calendar.month);
    let query = UsageQuery { since, until: calendar.now + 1, bucket: Some(Bucket::Day), times: false, ..query };
    let ledger = admin.services.store.ledger();
    let groupings = query.by.clone();
    let mut days = ledger.usage(query.clone()).await?;
    name_keys(&admin, &mut days, &groupings);
    let (total, groups) = looked_ahead(&days, &calendar);
    let spikes = stood_out(&admin, ledger, query, calendar.now).await?;
    Ok(Json(ForecastView { from: calendar.month, until: calendar.next_month, total, by, groups, spikes }))
}

/// Cost by day, for all and for each group.
fn looked_ahead(days: &UsageAnswer, calendar: &Calendar) -> (OutlookView, Vec<OutlookRow>) {
    let mut by_group: BTreeMap<&[String], BTreeMap<u64, i64>> = BTreeMap::new();
    let mut all: BTreeMap<u64, i64> = BTreeMap::new();
    for group in &days.groups {
        let from = group.from.unwrap_or_default();
        *by_group.entry(&group.values).or_default().entry(from).or_default() += group.sums.cost;
        *all.entry(from).or_default() += group.sums.cost;
    }
    let mut rows: Vec<OutlookRow> = by_group
        .into_iter()
        .map(|(values, days)| OutlookRow { values: values.to_vec(), outlook: ahead(&days, calendar) })
        .filter(|row| row.outlook.expected.0 != 0)
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.outlook.expected));
    rows.truncate(MOST_GROUPS);
    (ahead(&all, calendar), rows)
}

fn ahead(days: &BTreeMap<u64, i64>, calendar: &Calendar) -> OutlookView {
    let mut past = Vec::new();
    let mut day = calendar.today;
    for _ in 0..LOOK_BACK_DAYS {
        // The day before, whatever the clocks did in between.
        day = Bucket::Day.start(calendar.zone.as_ref(), day.saturating_sub(DAY_MS / 2));
        past.push(days.get(&day).copied().unwrap_or_default());
    }
    past.reverse();
    let today = days.get(&calendar.today).copied().unwrap_or_default();
    let before = days.range(calendar.month..calendar.today).map(|(_, cost)| cost).sum();
    let share = (calendar.now - calendar.today) as f64 / DAY_MS as f64;
    let outlook = outlook(&past, today, share, calendar.days_left(), before);
    OutlookView {
        spent: NanoUsd(outlook.spent),
        expected: NanoUsd(outlook.expected),
        low: NanoUsd(outlook.low),
        high: NanoUsd(outlook.high),
        trend: NanoUsd(outlook.trend.round() as i64),
    }
}

/// Hours of the last week that stand out: of all together, and of each group.
async fn stood_out(admin: &Admin, ledger: &Ledger, query: UsageQuery, now: u64) -> Result<Vec<SpikeView>, AdminError> {
    let by = query.by.clone();
    let found = ledger.stood_out(query, now).await?;
    let entities = admin.services.store.entities();
    let named = |(value, by): (String, &Grouping)| match by {
        Grouping::Of(Dimension::Key) => entities.key(&value).map_or(value, |key| key.name.clone()),
        _ => value,
    };
    let view = |hour: StoodOut| SpikeView {
        at: hour.at,
        values: hour.values.into_iter().zip(&by).map(named).collect(),
        cost: NanoUsd(hour.cost),
        usual: NanoUsd(hour.usual),
    };
    Ok(found.into_iter().take(MOST_SPIKES).map(view).collect())
}
