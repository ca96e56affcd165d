//! Sums by dimension and time, read from the roll-ups; what a range cuts off an hour is read from the records themselves.

use std::collections::{BTreeMap, HashMap};

use redb::ReadTransaction;
use smallvec::{SmallVec, smallvec};

use super::books::{Books, DAY_MS, DAYS, HOUR_MS, HOURS, read_rollup_key, read_sums, rollup_start, time_of};
use super::dimension::{Dimension, Values};
use super::names::{Dictionary, NOTHING};
use super::query::decode;
use super::sums::Sums;
use crate::store::StoreError;
use crate::store::tables::{REQUESTS, ROLLUPS};
use crate::store::writer::first_key;

/// Rows of records that one question may read for the edges of its range.
const MOST_RECORDS: usize = 50_000;
/// Longest range that is cut into minutes.
pub const MOST_MINUTES_MS: u64 = 6 * HOUR_MS;

/// What to add up.
#[derive(Debug, Clone, Default)]
pub struct UsageQuery {
    /// From this time on; milliseconds since 1970.
    pub since: u64,
    /// Before this time.
    pub until: u64,
    /// In each of these dimensions, one of some values.
    pub any: Vec<(Dimension, Vec<String>)>,
    /// One group for each combination of values of these.
    pub by: Vec<Grouping>,
    /// And for each stretch of time.
    pub bucket: Option<Bucket>,
    /// The zone in which days, weeks and months begin; `None`: UTC.
    pub zone: Option<jiff::tz::TimeZone>,
    /// How long things took, too.
    pub times: bool,
}

/// What makes a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    /// The value in a dimension. What has several counts in each of their groups.
    Of(Dimension),
    /// The node of one kind above the key: `project` …
    Owner(String),
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// For ranges of up to six hours.
    Minute,
    /// Sixty minutes from a full hour of UTC.
    Hour,
    /// From midnight.
    Day,
    /// From Monday.
    Week,
    /// From the first.
    Month,
}

/// Sums of one group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UsageGroup {
    /// When its stretch of time begins; milliseconds since 1970.
    pub from: Option<u64>,
    /// Its values, in the order of [`UsageQuery::by`]; an empty one: the records say nothing there.
    pub values: Vec<String>,
    /// The sums.
    pub sums: Sums,
}

/// What was added up.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UsageAnswer {
    /// The groups: in the order of time, the costliest first.
    pub groups: Vec<UsageGroup>,
    /// Everything that the filter lets through.
    pub total: Sums,
    /// The edges of the range hold more records than are read for a question: they are rounded to whole hours.
    pub rounded: bool,
    /// Rows that were read.
    pub looked_at: usize,
}

/// How often each value occurs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facets {
    /// Values with the number of requests, the most frequent first, by dimension.
    pub values: BTreeMap<&'static str, Vec<(String, u64)>>,
    /// Rows that were read.
    pub looked_at: usize,
}

/// A piece of the range and where its sums stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Records(u64, u64),
    Hours(u64, u64),
    Days(u64, u64),
}

/// Cuts a range into days, hours and what is left over. `oldest`: from before it there are no records, only sums.
fn pieces(since: u64, until: u64, days: bool, oldest: u64) -> Vec<Piece> {
    let (mut out, mut tail) = (Vec::new(), Vec::new());
    let (mut from, mut to) = (since, until);
    if from.is_multiple_of(HOUR_MS) || from < oldest {
        from -= from % HOUR_MS;
    } else {
        let cut = from.next_multiple_of(HOUR_MS).min(to);
        out.push(Piece::Records(from, cut));
        from = cut;
    }
    if from < to && !to.is_multiple_of(HOUR_MS) {
        if to < oldest {
            to = to.next_multiple_of(HOUR_MS);
        } else {
            let cut = to - to % HOUR_MS;
            tail.push(Piece::Records(cut, to));
            to = cut;
        }
    }
    let (first, last) = (from.next_multiple_of(DAY_MS), to - to % DAY_MS);
    if days && first < last {
        out.extend([Piece::Hours(from, first), Piece::Days(first, last), Piece::Hours(last, to)]);
    } else {
        out.push(Piece::Hours(from, to));
    }
    out.extend(tail);
    let empty =
        |piece: &Piece| matches!(piece, Piece::Records(a, b) | Piece::Hours(a, b) | Piece::Days(a, b) if a >= b);
    out.retain(|piece| !empty(piece));
    out
}

/// Walks over everything in a range: the time, the values, the sums.
struct Walk<'a> {
    txn: &'a ReadTransaction,
    names: &'a Dictionary,
    times: bool,
    looked_at: usize,
    records_left: usize,
    rounded: bool,
}

impl Walk<'_> {
    fn range(
        &mut self,
        since: u64,
        until: u64,
        unit: Unit,
        each: &mut dyn FnMut(u64, &Values, &Sums),
    ) -> Result<(), StoreError> {
        let oldest = self.txn.open_table(REQUESTS)?.first_time()?;
        let pieces = match unit {
            Unit::Records => vec![Piece::Records(since, until)],
            Unit::Hours => pieces(since, until, false, oldest),
            Unit::Days => pieces(since, until, true, oldest),
        };
        for piece in pieces {
            match piece {
                Piece::Records(from, to) => self.records(from, to, unit == Unit::Records, each)?,
                Piece::Hours(from, to) => self.sums(HOURS, HOUR_MS, from, to, each)?,
                Piece::Days(from, to) => self.sums(DAYS, DAY_MS, from, to, each)?,
            }
        }
        Ok(())
    }

    fn sums(
        &mut self,
        kind: u8,
        length: u64,
        from: u64,
        to: u64,
        each: &mut dyn FnMut(u64, &Values, &Sums),
    ) -> Result<(), StoreError> {
        let table = self.txn.open_table(ROLLUPS)?;
        let start = |time: u64| rollup_start(kind, u32::try_from(time / length).unwrap_or(u32::MAX));
        for row in table.range(start(from).as_slice()..start(to).as_slice())? {
            let (key, sums) = row?;
            self.looked_at += 1;
            let (bucket, values) = read_rollup_key(key.value())?;
            each(u64::from(bucket) * length, &values, &read_sums(sums.value(), self.times)?);
        }
        Ok(())
    }

    fn records(
        &mut self,
        from: u64,
        to: u64,
        exact: bool,
        each: &mut dyn FnMut(u64, &Values, &Sums),
    ) -> Result<(), StoreError> {
        let table = self.txn.open_table(REQUESTS)?;
        let mut found = Vec::new();
        for row in table.range(first_key(from)..first_key(to))? {
            let (key, bytes) = row?;
            if self.records_left == 0 {
                self.rounded = true;
                if exact {
                    break;
                }
                let hour = from - from % HOUR_MS;
                return self.sums(HOURS, HOUR_MS, hour, hour + HOUR_MS, each);
            }
            self.records_left -= 1;
            self.looked_at += 1;
            let record = decode(key.value(), bytes.value(), self.names)?;
            let mut found_names = Found(self.names);
            found.push((time_of(key.value()), Values::of(&record, bytes.value(), &mut found_names), Sums::of(&record)));
        }
        found.iter().for_each(|(time, values, sums)| each(*time, values, sums));
        Ok(())
    }
}

/// The dictionary to look up in, without adding to it.
struct Found<'a>(&'a Dictionary);

impl super::codec::Intern for Found<'_> {
    fn id(&mut self, text: &str, _: super::codec::Room) -> Option<u32> {
        self.0.find(text)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Records,
    Hours,
    Days,
}

trait FirstTime {
    fn first_time(&self) -> Result<u64, StoreError>;
}

impl FirstTime for redb::ReadOnlyTable<u128, &'static [u8]> {
    /// When the oldest record began.
    fn first_time(&self) -> Result<u64, StoreError> {
        use redb::ReadableTable as _;
        Ok(self.first()?.map_or(u64::MAX, |(key, _)| time_of(key.value())))
    }
}

/// What a filter wants, by number.
struct Wanted(Vec<(Dimension, Vec<u32>)>);

impl Wanted {
    fn new(any: &[(Dimension, Vec<String>)], names: &Dictionary) -> Self {
        // A text without a number of its own is told apart nowhere here: what is summed as other texts is not taken for it.
        let number = |text: &String| if text.is_empty() { Some(NOTHING) } else { names.find(text) };
        Self(any.iter().map(|(dimension, any)| (*dimension, any.iter().filter_map(number).collect())).collect())
    }

    /// The dimensions in which it is not met; two at most.
    fn unmet(&self, values: &Values) -> SmallVec<[Dimension; 2]> {
        let unmet = self.0.iter().filter(|(dimension, any)| {
            let own = values.get(*dimension);
            !(own.iter().any(|id| any.contains(id)) || own.is_empty() && any.contains(&NOTHING))
        });
        unmet.map(|(dimension, _)| *dimension).take(2).collect()
    }
}

type Key = (Option<u64>, SmallVec<[u32; 3]>);

/// Adds up.
pub(super) fn usage(txn: &ReadTransaction, books: &Books, query: &UsageQuery) -> Result<UsageAnswer, StoreError> {
    let names = books.names();
    let wanted = Wanted::new(&query.any, &names);
    let unit = match query.bucket {
        Some(Bucket::Minute) => Unit::Records,
        Some(Bucket::Hour) => Unit::Hours,
        // Days of the roll-ups are those of UTC.
        Some(_) if query.zone.is_some() => Unit::Hours,
        _ => Unit::Days,
    };
    let mut groups: HashMap<Key, Sums> = HashMap::new();
    let mut total = Sums::default();
    let mut starts = Starts::default();
    let mut walk =
        Walk { txn, names: &names, times: query.times, looked_at: 0, records_left: MOST_RECORDS, rounded: false };
    walk.range(query.since, query.until, unit, &mut |time, values, sums| {
        if !wanted.unmet(values).is_empty() {
            return;
        }
        add(&mut total, sums, query.times);
        let from = query.bucket.map(|bucket| starts.of(bucket, query.zone.as_ref(), time));
        each_key(&query.by, values, &names, &mut |key| {
            add(groups.entry((from, key)).or_default(), sums, query.times);
        });
    })?;
    let text = |id: u32| super::codec::Names::text(&*names, id).unwrap_or("?");
    let mut out: Vec<UsageGroup> = groups
        .into_iter()
        .map(|((from, ids), sums)| {
            let values = ids.iter().zip(&query.by).map(|(id, by)| match by {
                Grouping::Of(_) => text(*id).to_owned(),
                Grouping::Owner(kind) => name_of(text(*id), kind).to_owned(),
            });
            UsageGroup { from, values: values.collect(), sums }
        })
        .collect();
    out.sort_by(|a, b| {
        let by_size = b.sums.cost.cmp(&a.sums.cost).then(b.sums.requests.cmp(&a.sums.requests));
        a.from.cmp(&b.from).then(by_size).then_with(|| a.values.cmp(&b.values))
    });
    Ok(UsageAnswer { groups: out, total, rounded: walk.rounded, looked_at: walk.looked_at })
}

fn add(to: &mut Sums, sums: &Sums, times: bool) {
    if times { to.add(sums, 1) } else { to.add_numbers(sums) }
}

fn name_of<'a>(owner: &'a str, kind: &str) -> &'a str {
    owner.strip_prefix(kind).and_then(|rest| rest.strip_prefix(':')).unwrap_or_default()
}

/// Every combination of values that a row counts in.
fn each_key(by: &[Grouping], values: &Values, names: &Dictionary, each: &mut dyn FnMut(SmallVec<[u32; 3]>)) {
    let mut keys: SmallVec<[SmallVec<[u32; 3]>; 1]> = smallvec![SmallVec::new()];
    for grouping in by {
        let own: SmallVec<[u32; 4]> = match grouping {
            Grouping::Of(dimension) => SmallVec::from_slice(values.get(*dimension)),
            Grouping::Owner(kind) => {
                let is = |id: &&u32| {
                    super::codec::Names::text(names, **id).is_some_and(|text| !name_of(text, kind).is_empty())
                };
                values.get(Dimension::Owner).iter().find(is).copied().into_iter().collect()
            }
        };
        let own = if own.is_empty() { smallvec![NOTHING] } else { own };
        keys = keys
            .iter()
            .flat_map(|key| {
                own.iter().map(|id| {
                    let mut key = key.clone();
                    key.push(*id);
                    key
                })
            })
            .collect();
    }
    keys.into_iter().for_each(each);
}

/// Beginnings of stretches of time, remembered: rows come in the order of time.
#[derive(Default)]
struct Starts(Option<(std::ops::Range<u64>, u64)>);

impl Starts {
    fn of(&mut self, bucket: Bucket, zone: Option<&jiff::tz::TimeZone>, time: u64) -> u64 {
        if let Some((range, start)) = &self.0
            && range.contains(&time)
        {
            return *start;
        }
        let start = bucket.start(zone, time);
        // Within the same hour it is the same stretch, whatever the zone does later.
        let hour = time - time % HOUR_MS;
        if bucket != Bucket::Minute {
            self.0 = Some((hour..hour + HOUR_MS, start));
        }
        start
    }
}

impl Bucket {
    /// When the stretch that holds a time begins.
    pub fn start(self, zone: Option<&jiff::tz::TimeZone>, time: u64) -> u64 {
        let zone = zone.cloned().unwrap_or(jiff::tz::TimeZone::UTC);
        let begin = || {
            let moment = jiff::Timestamp::from_millisecond(i64::try_from(time).ok()?).ok()?.to_zoned(zone);
            let date = match self {
                Self::Minute | Self::Hour => return None,
                Self::Day => moment.date(),
                Self::Week => {
                    let back = i64::from(moment.weekday().to_monday_zero_offset());
                    moment.date().checked_sub(jiff::Span::new().days(back)).ok()?
                }
                Self::Month => moment.date().first_of_month(),
            };
            u64::try_from(date.to_zoned(moment.time_zone().clone()).ok()?.timestamp().as_millisecond()).ok()
        };
        match self {
            Self::Minute => time - time % 60_000,
            Self::Hour => time - time % HOUR_MS,
            _ => begin().unwrap_or(time - time % DAY_MS),
        }
    }
}

/// Counts the values of dimensions. A filter on a dimension does not narrow that dimension's own counts.
pub(super) fn facets(
    txn: &ReadTransaction,
    books: &Books,
    query: &UsageQuery,
    of: &[Dimension],
    most: usize,
) -> Result<Facets, StoreError> {
    let names = books.names();
    let wanted = Wanted::new(&query.any, &names);
    let mut counts: Vec<(Dimension, HashMap<u32, i64>)> = of.iter().map(|one| (*one, HashMap::new())).collect();
    let mut walk = Walk { txn, names: &names, times: false, looked_at: 0, records_left: MOST_RECORDS, rounded: false };
    walk.range(query.since, query.until, Unit::Days, &mut |_, values, sums| {
        let unmet = wanted.unmet(values);
        for (dimension, counts) in &mut counts {
            let counted = match unmet.as_slice() {
                [] => true,
                [one] => one == dimension,
                _ => false,
            };
            if counted {
                values.get(*dimension).iter().for_each(|id| *counts.entry(*id).or_default() += sums.requests);
            }
        }
    })?;
    let mut out = Facets { looked_at: walk.looked_at, ..Facets::default() };
    for (dimension, counts) in counts {
        let text = |id: u32| super::codec::Names::text(&*names, id).unwrap_or("?").to_owned();
        let counts = counts.into_iter().filter(|(id, count)| *id != NOTHING && *count > 0);
        let mut values: Vec<(String, u64)> = counts.map(|(id, count)| (text(id), count.unsigned_abs())).collect();
        values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        values.truncate(most);
        out.values.insert(dimension.word(), values);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: u64 = HOUR_MS;
    const D: u64 = DAY_MS;

    #[test]
    fn a_range_is_cut_where_sums_stand() {
        use Piece::{Days, Hours, Records};
        assert_eq!(pieces(0, 2 * D, true, 0), [Days(0, 2 * D)]);
        assert_eq!(pieces(5, H - 5, true, 0), [Records(5, H - 5)]);
        assert_eq!(
            pieces(5, 3 * D + H + 7, true, 0),
            [Records(5, H), Hours(H, D), Days(D, 3 * D), Hours(3 * D, 3 * D + H), Records(3 * D + H, 3 * D + H + 7)]
        );
        assert_eq!(pieces(H, 3 * D, false, 0), [Hours(H, 3 * D)]);
        // There are no records any more: whole hours.
        assert_eq!(pieces(5, H + 5, true, 9 * D), [Hours(0, 2 * H)]);
        assert_eq!(pieces(5, H + 5, true, H), [Hours(0, H), Records(H, H + 5)]);
    }

    #[test]
    fn stretches_begin_where_the_zone_says() {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(5));
        // Thursday, 1 January 1970, 21:00 UTC is Friday, 02:00 there.
        let time = 21 * H;
        assert_eq!(Bucket::Day.start(Some(&zone), time), 19 * H);
        assert_eq!(Bucket::Day.start(None, time), 0);
        assert_eq!(Bucket::Minute.start(None, time + 61_000), time + 60_000);
        let monday = 4 * D;
        assert_eq!(Bucket::Week.start(None, monday + 6 * D + 23 * H), monday);
        assert_eq!(Bucket::Month.start(None, 40 * D), 31 * D);
    }
}
