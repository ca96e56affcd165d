//! Every table of the store's file.

use redb::TableDefinition;

/// The schema that this program reads and writes.
pub(super) const SCHEMA: u64 = 3;

/// A table of JSON rows by name or id.
pub(super) type Rows = TableDefinition<'static, &'static str, &'static [u8]>;

/// Facts about the file itself: `schema`, `seal` (a text sealed with the master key), `active_profile`.
pub(super) const META: Rows = TableDefinition::new("meta");
/// Channels by name, secrets sealed.
pub(super) const CHANNELS: Rows = TableDefinition::new("channels");
/// What tests and syncs said, by channel; for channels of the file too.
pub(super) const CHANNEL_STATES: Rows = TableDefinition::new("channel_states");
/// Virtual keys by id.
pub(super) const KEYS: Rows = TableDefinition::new("keys");
/// Identity and hash of the file's keys, by name.
pub(super) const FILE_KEYS: Rows = TableDefinition::new("file_keys");
/// Routes by model.
pub(super) const ROUTES: Rows = TableDefinition::new("routes");
/// Profiles by name.
pub(super) const PROFILES: Rows = TableDefinition::new("profiles");
/// Owners by `kind:name`.
pub(super) const OWNERS: Rows = TableDefinition::new("owners");
/// Limits by name.
pub(super) const LIMITS: Rows = TableDefinition::new("limits");
/// What limits have counted: by counter and beginning of the part of its window.
pub(super) const COUNTERS: TableDefinition<'static, (u64, u64), u64> = TableDefinition::new("counters");
/// Settings set through the API, by dotted name.
pub(super) const SETTINGS: Rows = TableDefinition::new("settings");
/// Profile switches: `gateway`, or a key's id.
pub(super) const SWITCHES: Rows = TableDefinition::new("switches");
/// Prices that the owner set, by `channel/model` or `*/model`, with the ones before.
pub(super) const PRICES: Rows = TableDefinition::new("prices");
/// The imported price list.
pub(super) const PRICE_LISTS: Rows = TableDefinition::new("price_lists");
/// Admin tokens by id.
pub(super) const TOKENS: Rows = TableDefinition::new("admin_tokens");
/// The change log by position.
pub(super) const CHANGES: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("changes");
/// What a change did to rows, by the change's position: zstd of JSON, secrets sealed as in the rows themselves.
pub(super) const CHANGE_ROWS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("change_rows");
/// Request records by the 128 bits of their id: in the order of their start.
pub(super) const REQUESTS: TableDefinition<'static, u128, &'static [u8]> = TableDefinition::new("requests");
/// The dictionary: texts that stand in many records, by number.
pub(super) const NAMES: TableDefinition<'static, u32, &'static str> = TableDefinition::new("names");
/// Requests by trace, thread or session: kind, hash of the id, key of the request.
pub(super) const LINKS: TableDefinition<'static, (u8, u64, u128), ()> = TableDefinition::new("links");
/// In which slots of time a value occurs: dimension, number of the value, slot.
pub(super) const SLOTS: TableDefinition<'static, (u8, u32, u32), ()> = TableDefinition::new("slots");
/// Requests that did not come out well, by each of their values: dimension, number of the value, key of the request.
pub(super) const FAILURES: TableDefinition<'static, (u8, u32, u128), ()> = TableDefinition::new("failures");
/// Sums by hour and by day: `kind u8 | bucket u32 | values`.
pub(super) const ROLLUPS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("rollups");
/// Kept things by namespace and key.
pub(super) const KEPT: TableDefinition<'static, (&'static str, &'static str), &'static [u8]> =
    TableDefinition::new("kept");
/// When kept things end: milliseconds since 1970, namespace, key.
pub(super) const KEPT_ENDS: TableDefinition<'static, (u64, &'static str, &'static str), ()> =
    TableDefinition::new("kept_ends");
