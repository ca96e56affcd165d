//! The columns of tables: one table for CSV and Parquet alike.

use std::collections::HashMap;

use crate::model::{CostSource, RequestRecord};
use myelin_protocol::ir::Usage;

/// Names of virtual keys by id.
pub(super) type Keys = HashMap<String, String>;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Whole,
    Flag,
    /// Milliseconds since 1970.
    Time,
    /// Nanodollars.
    Money,
}

/// A value; `None`: the record says nothing there.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Text(Option<String>),
    /// A whole number, a time or money.
    Number(Option<i64>),
    Flag(bool),
}

/// One column.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) of: fn(&RequestRecord, &Keys) -> Cell,
}

fn text(text: &str) -> Cell {
    Cell::Text((!text.is_empty()).then(|| text.to_owned()))
}

fn maybe(text: &Option<String>) -> Cell {
    Cell::Text(text.clone())
}

fn list(list: &[String]) -> Cell {
    Cell::Text((!list.is_empty()).then(|| list.join(",")))
}

fn number(number: u64) -> Cell {
    Cell::Number(Some(i64::try_from(number).unwrap_or(i64::MAX)))
}

fn tokens(record: &RequestRecord, of: fn(&Usage) -> Option<u64>) -> Cell {
    let count = record.usage.as_ref().and_then(of);
    Cell::Number(count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)))
}

fn source(source: CostSource) -> &'static str {
    match source {
        CostSource::Computed => "computed",
        CostSource::Reported => "reported",
        CostSource::Estimated => "estimated",
        CostSource::Unpriced => "unpriced",
        CostSource::Free => "free",
    }
}

macro_rules! columns {
    ($($name:literal $kind:ident $of:expr;)*) => {
        /// Every column, in order. New ones come last.
        pub(super) const COLUMNS: &[Column] = &[$( Column { name: $name, kind: Kind::$kind, of: $of } ),*];
    };
}

columns! {
    "id" Text |r, _| text(&r.id);
    "started" Time |r, _| number(r.started);
    "state" Text |r, _| text(r.state.word());
    "status" Whole |r, _| number(r.status.into());
    "model" Text |r, _| text(&r.model);
    "channel" Text |r, _| maybe(&r.channel);
    "provider" Text |r, _| maybe(&r.provider);
    "upstream_model" Text |r, _| maybe(&r.upstream_model);
    "key" Text |r, _| maybe(&r.key);
    "key_name" Text |r, keys| Cell::Text(r.key.as_ref().and_then(|key| keys.get(key)).cloned());
    "owners" Text |r, _| list(&r.owners);
    "tool" Text |r, _| maybe(&r.tool);
    "tags" Text |r, _| list(&r.tags);
    "profile" Text |r, _| text(&r.profile);
    "rule" Text |r, _| maybe(&r.rule);
    "route" Text |r, _| maybe(&r.route);
    "strategy" Text |r, _| maybe(&r.strategy);
    "path" Text |r, _| text(&r.path);
    "format" Text |r, _| text(&r.format);
    "upstream_format" Text |r, _| maybe(&r.upstream_format);
    "stream" Flag |r, _| Cell::Flag(r.stream);
    "session" Text |r, _| maybe(&r.session);
    "trace" Text |r, _| maybe(&r.trace);
    "thread" Text |r, _| maybe(&r.thread);
    "cache" Text |r, _| text(r.cache.word());
    "attempts" Whole |r, _| number(r.attempts.len() as u64);
    "duration_us" Whole |r, _| number(r.duration_us);
    "first_token_us" Whole |r, _| r.first_token_us.map_or(Cell::Number(None), number);
    "overhead_us" Whole |r, _| number(r.overhead_us);
    "input" Whole |r, _| tokens(r, |u| u.input);
    "cache_read" Whole |r, _| tokens(r, |u| u.cache_read);
    "cache_write" Whole |r, _| tokens(r, |u| u.cache_write);
    "cache_write_1h" Whole |r, _| tokens(r, |u| u.cache_write_1h);
    "audio_input" Whole |r, _| tokens(r, |u| u.audio_input);
    "image_input" Whole |r, _| tokens(r, |u| u.image_input);
    "output" Whole |r, _| tokens(r, |u| u.output);
    "reasoning" Whole |r, _| tokens(r, |u| u.reasoning);
    "audio_output" Whole |r, _| tokens(r, |u| u.audio_output);
    "image_output" Whole |r, _| tokens(r, |u| u.image_output);
    "web_searches" Whole |r, _| tokens(r, |u| u.web_searches);
    "cost_usd" Money |r, _| Cell::Number(r.cost.map(|cost| cost.0));
    "cost_source" Text |r, _| Cell::Text(r.cost_source.map(|own| source(own).to_owned()));
    "saved_usd" Money |r, _| Cell::Number(r.saved.map(|saved| saved.0));
    "price" Text |r, _| maybe(&r.price);
    "finish" Text |r, _| maybe(&r.finish);
    "refused_by" Text |r, _| maybe(&r.refused_by);
    "error" Text |r, _| maybe(&r.error);
    "error_message" Text |r, _| maybe(&r.error_message);
    "losses" Text |r, _| list(&r.losses);
    "bytes_in" Whole |r, _| number(r.bytes_in);
    "bytes_out" Whole |r, _| number(r.bytes_out);
}
