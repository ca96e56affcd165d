//! Prices: what deployments cost, what the owner set, which lists are in force.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::auth::Who;
use super::error::{AdminError, Failure};
use super::extract::{Asked, Sent};
use crate::model::{Budgeted, Channel, Entities, ImportedPrices, Multiplier, NanoUsd, OwnPrice, Price, RequestRecord};
use crate::pricing::{Book, Imported, ModelLimits, PriceOrigin, Table};
use crate::store::{Change, Dimension, Filter, Rewritten, Shift};
use crate::told;

/// Largest price list that can be imported.
const MOST_BYTES: usize = 32 << 20;
/// Rows of lists that one answer holds.
const MOST_ROWS: usize = 200;

/// What one deployment costs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeploymentPrice {
    channel: String,
    /// The model, by the upstream's name.
    model: String,
    /// Dollars a million tokens, or each; `null`: there is no price.
    #[schema(value_type = Option<Object>)]
    price: Option<Price>,
    /// What it is multiplied with.
    #[schema(value_type = f64)]
    multiplier: Multiplier,
    /// It costs nothing.
    free: bool,
    origin: PriceOrigin,
    /// Which price it is, as records name it.
    label: String,
    /// What the model can take and give, where that is known.
    limits: Option<ModelLimits>,
}

/// A row of a price list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListedPrice {
    /// `provider/model`.
    key: String,
    origin: PriceOrigin,
    /// Whose figures they are: `litellm`, `models.dev` or `owner`.
    source: &'static str,
    /// Dollars a million tokens, or each.
    #[schema(value_type = Object)]
    price: Price,
    limits: Option<ModelLimits>,
}

/// An imported list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportedView {
    version: u64,
    /// When; milliseconds since 1970.
    at: u64,
    who: String,
    source: String,
    /// How many models it prices.
    priced: u64,
}

impl From<&ImportedPrices> for ImportedView {
    fn from(list: &ImportedPrices) -> Self {
        let ImportedPrices { version, at, who, source, priced, .. } = list.clone();
        Self { version, at, who, source, priced }
    }
}

/// Prices.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PriceList {
    /// What the models of the channels cost.
    deployments: Vec<DeploymentPrice>,
    /// What the owner set.
    own: Vec<OwnPrice>,
    /// What the owner had set before, newest first for each model.
    earlier: Vec<OwnPrice>,
    /// The imported list, if there is one.
    imported: Option<ImportedView>,
    /// Version of the bundled list.
    bundled: String,
    /// Rows of the lists, if some were searched for.
    listed: Vec<ListedPrice>,
}

/// Which prices are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct PriceQuery {
    /// A part of a model's name: the lists are searched too.
    search: Option<String>,
    /// Only deployments of this channel.
    channel: Option<String>,
    /// Only deployments that have no price.
    unpriced: bool,
}

/// A price to set.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceInput {
    /// At this channel only; absent: wherever the model is.
    #[serde(default)]
    channel: Option<String>,
    /// The model, by the upstream's name.
    model: String,
    /// Dollars a million tokens, or each: `{"input": 1.25, "output": 10, "above_200k": {…}, "priority": {…}}`; `null` takes it back.
    #[schema(value_type = Option<Object>)]
    price: Option<Price>,
}

/// A list was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportDone {
    /// `litellm`, `models.dev` or `myelin`, and the version that the file names.
    source: String,
    /// How many models it prices.
    priced: u64,
    /// The number that records name it by.
    version: u64,
}

/// What deployments cost, what was set and imported; with `search` rows of the lists too.
#[utoipa::path(get, path = "/api/v1/prices", tag = "prices", operation_id = "list_prices", params(PriceQuery),
    responses((status = 200, body = PriceList)))]
pub(super) async fn list(State(admin): State<Admin>, Asked(query): Asked<PriceQuery>) -> Json<PriceList> {
    let entities = admin.services.store.entities();
    let book = Book::new(entities.prices.clone());
    let search = query.search.as_deref().unwrap_or_default().trim().to_lowercase();
    let wanted = |deployment: &DeploymentPrice| {
        deployment.model.to_lowercase().contains(&search)
            && (!query.unpriced || deployment.price.is_none() && !deployment.free)
    };
    let channels =
        entities.channels.iter().filter(|channel| query.channel.as_ref().is_none_or(|name| *name == channel.name));
    let deployments = channels.flat_map(|channel| deployments(&book, channel)).filter(wanted).collect();
    let listed = if search.is_empty() { Vec::new() } else { listed(&book, &search) };
    Json(PriceList {
        deployments,
        own: entities.prices.own.clone(),
        earlier: admin.services.store.earlier_prices(),
        imported: entities.prices.imported.as_ref().map(Into::into),
        bundled: Table::bundled().version().to_owned(),
        listed,
    })
}

fn deployments(book: &Book, channel: &Channel) -> Vec<DeploymentPrice> {
    let named = channel.models.iter().flatten().map(|model| model.upstream());
    let models: Vec<&str> = match channel.models {
        Some(_) => named.collect(),
        None => channel.listed.iter().map(String::as_str).collect(),
    };
    let row = |model: &str| {
        let quote = book.quote(channel, model);
        let limits = book.limits(channel, model);
        DeploymentPrice {
            channel: channel.name.clone(),
            model: model.to_owned(),
            price: (!quote.price.is_empty()).then(|| quote.price.clone()),
            multiplier: quote.multiplier,
            free: quote.free,
            origin: quote.origin,
            label: quote.label.clone(),
            limits: (!limits.is_empty()).then_some(limits),
        }
    };
    models.into_iter().map(row).collect()
}

fn listed(book: &Book, search: &str) -> Vec<ListedPrice> {
    let row = |(row, origin): (crate::pricing::Row<'_>, PriceOrigin)| {
        let limits = row.limits();
        ListedPrice {
            key: row.key.to_owned(),
            origin,
            source: match row.source {
                "L" => "litellm",
                "M" => "models.dev",
                _ => "owner",
            },
            price: row.price(),
            limits: (!limits.is_empty()).then_some(limits),
        }
    };
    book.search(search).take(MOST_ROWS).map(row).collect()
}

/// Sets a price, or takes it back. It holds for the next request; `reprice` makes it hold for earlier ones.
#[utoipa::path(put, path = "/api/v1/prices", tag = "prices", operation_id = "set_price", request_body = PriceInput,
    responses((status = 200, body = PriceList), (status = 404, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn set(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Sent(input): Sent<PriceInput>,
) -> Result<Json<PriceList>, AdminError> {
    let PriceInput { channel, model, price } = input;
    let query = PriceQuery { search: None, channel: channel.clone(), unpriced: false };
    admin.services.store.apply(Change::SetPrice { channel, model, price }, &who.0).await?;
    Ok(list(State(admin), Asked(query)).await)
}

/// Takes a price list: LiteLLM's `model_prices_and_context_window.json`, models.dev's `api.json`, or `{"prices": {"provider/model": {…}}}`. A file with a
/// mistake is refused whole, and what was there stays.
#[utoipa::path(post, path = "/api/v1/prices/import", tag = "prices", operation_id = "import_prices", request_body = Object,
    responses((status = 200, body = ImportDone), (status = 413, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn import(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    request: axum::extract::Request,
) -> Result<Json<ImportDone>, AdminError> {
    let body = Limited::new(request.into_body(), MOST_BYTES).collect().await;
    let too_large = |_| {
        AdminError::told(
            StatusCode::PAYLOAD_TOO_LARGE,
            "invalid",
            told!("prices-large", "the list is larger than 32 MiB"),
        )
    };
    let bytes = body.map_err(too_large)?.to_bytes();
    let read = tokio::task::spawn_blocking(move || {
        let imported = Imported::read(&bytes)?;
        let source = match &imported.version {
            Some(version) => format!("{} {version}", imported.format),
            None => imported.format.to_owned(),
        };
        // Written and read back: what is stored can surely be read.
        let table = Table::of(imported.table(&source).text().to_owned()).map_err(crate::pricing::ImportError::new)?;
        Ok::<_, crate::pricing::ImportError>((source, imported.priced() as u64, table))
    });
    let read = read.await.map_err(|error| AdminError::invalid(error.to_string()))?;
    let refused = |error: crate::pricing::ImportError| {
        let told = told!("prices-refused", "the price list was refused and nothing changed: {why}", why = error);
        AdminError::told(StatusCode::UNPROCESSABLE_ENTITY, "invalid", told)
    };
    let (source, priced, table) = read.map_err(refused)?;
    let change = Change::ImportPrices { source: source.clone(), priced, text: table.text().into() };
    let applied = admin.services.store.apply(change, &who.0).await?;
    let version = applied.entities.prices.imported.as_ref().map_or(0, |list| list.version);
    Ok(Json(ImportDone { source, priced, version }))
}

/// Takes the imported list back: the bundled one holds again.
#[utoipa::path(delete, path = "/api/v1/prices/import", tag = "prices", operation_id = "drop_imported_prices",
    responses((status = 200, body = super::Done), (status = 404, body = Failure)))]
pub(super) async fn drop_import(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
) -> Result<Json<super::Done>, AdminError> {
    if admin.services.store.entities().prices.imported.is_none() {
        let why = told!("no-price-list", "no price list was imported: the bundled one holds already");
        return Err(AdminError::told(StatusCode::NOT_FOUND, "not-found", why));
    }
    let change = Change::ImportPrices { source: String::new(), priced: 0, text: "".into() };
    admin.services.store.apply(change, &who.0).await?;
    Ok(Json(super::Done { ok: true, warnings: Vec::new() }))
}

/// Which records are to be priced anew.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RepriceInput {
    /// Requests that began at this time or later; milliseconds since 1970.
    from: Option<u64>,
    /// Requests that began before this time.
    to: Option<u64>,
    /// Only this model, by the name that was asked for.
    model: Option<String>,
    /// Only this channel.
    channel: Option<String>,
    /// Only tells what would change.
    dry_run: bool,
}

/// What pricing anew came to.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Repriced {
    /// Records that were looked at.
    looked_at: u64,
    /// Records whose cost, source or price changed, or would.
    changed: u64,
    /// What the records that changed had cost together, in nanodollars; unpriced ones count nothing.
    before: NanoUsd,
    /// What they cost now.
    after: NanoUsd,
    /// Nothing was written.
    dry_run: bool,
}

/// Records that are read and written at once.
const AT_ONCE: usize = 1_000;

/// Prices records anew at today's prices, and with them their sums and the budgets that still count them. What providers said that a request cost stays as it is.
#[utoipa::path(post, path = "/api/v1/prices/reprice", tag = "prices", operation_id = "reprice", request_body = RepriceInput,
    responses((status = 200, body = Repriced)))]
pub(super) async fn reprice(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Sent(input): Sent<RepriceInput>,
) -> Result<Json<Repriced>, AdminError> {
    let store = &admin.services.store;
    let entities = store.entities();
    let today = Arc::new(Today { book: Book::new(entities.prices.clone()), entities });
    let mut filter = Filter { since: input.from, until: input.to, ..Filter::default() };
    for (dimension, value) in [(Dimension::Model, input.model), (Dimension::Channel, input.channel)] {
        if let Some(value) = value {
            filter = filter.with(dimension, [value]);
        }
    }
    let mut done = Repriced { dry_run: input.dry_run, ..Repriced::default() };
    let mut before = None;
    loop {
        let mut page = store.ledger().list(filter.clone(), before, AT_ONCE).await?;
        done.looked_at += page.records.len() as u64;
        let mut part = Rewritten::default();
        page.records.retain(|record| today.would_change(record, &mut part));
        if !input.dry_run && !page.records.is_empty() {
            part = count_anew(&admin, &page.records, Arc::clone(&today)).await?;
        }
        done.changed += part.changed;
        done.before += part.before;
        done.after += part.after;
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    if !input.dry_run && done.changed > 0 {
        let words = format!("{} records cost {} USD before, {} USD now", done.changed, done.before, done.after);
        store.apply(Change::Reprice { words }, &who.0).await?;
    }
    Ok(Json(done))
}

/// The prices of today.
struct Today {
    book: Book,
    entities: Arc<Entities>,
}

impl Today {
    /// Whether a record costs something else now; it is counted if so.
    fn would_change(&self, record: &RequestRecord, done: &mut Rewritten) -> bool {
        let mut now = record.clone();
        let changes = crate::pricing::reprice(&mut now, &self.book, &self.entities);
        if changes {
            done.changed += 1;
            done.before += record.cost.unwrap_or_default();
            done.after += now.cost.unwrap_or_default();
        }
        changes
    }

    /// Prices a record, and tells by how much budgets count it otherwise; `None`: nothing changed.
    fn price(&self, record: &mut RequestRecord) -> Option<Vec<Shift>> {
        let earlier = record.clone();
        crate::pricing::reprice(record, &self.book, &self.entities).then(|| shifted(&earlier, record))
    }
}

/// By how much each budget that counted a record counts it otherwise now.
fn shifted(before: &RequestRecord, after: &RequestRecord) -> Vec<Shift> {
    let cost = |record: &RequestRecord, attempt: Option<u32>| {
        let cost = match attempt {
            Some(at) => record.attempts.get(at as usize).and_then(|attempt| attempt.cost),
            None => record.cost,
        };
        cost.unwrap_or_default().0
    };
    let counted = after.started.saturating_add(after.duration_us / 1_000);
    let of = |own: &Budgeted| {
        let by = cost(after, own.attempt).saturating_sub(cost(before, own.attempt));
        Shift { counter: own.counter, at: own.at, by, counted }
    };
    after.budgets.iter().map(of).filter(|shift| shift.by != 0).collect()
}

/// Prices records anew where they stand, so that two who do it at once do it one after the other, and lets the budgets count them so that still do.
async fn count_anew(admin: &Admin, records: &[RequestRecord], today: Arc<Today>) -> Result<Rewritten, AdminError> {
    let services = &admin.services;
    let limits = services.snapshot.load().limits.clone();
    let counting: HashMap<u64, u64> = limits.kept_from(services.clock.unix_ms()).into_iter().collect();
    let price = move |record: &mut RequestRecord| {
        let mut shifts = today.price(record)?;
        shifts.retain(|shift| counting.get(&shift.counter).is_some_and(|oldest| shift.at >= *oldest));
        Some(shifts)
    };
    let done = services.store.ledger().rewrite(records, price).await?;
    for shift in &done.shifts {
        limits.shift(shift.counter, shift.at, shift.by);
    }
    Ok(done)
}
