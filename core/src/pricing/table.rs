//! A price table as text that is searched where it lies: no index, nothing parsed before it is asked for.
//!
//! ```text
//! # version 2026-09-15
//! provider/model <TAB> source <TAB> rates <TAB> limits
//! ```
//! Lines are sorted by their bytes. A rate is `CODE[>ABOVE][@SERVICE]=PICODOLLARS`, off-peak hours are `~DAYS:FROM-TO` (a mask with Monday lowest, minutes
//! of a day in UTC); see [`super::limits`] for the limits.

use std::fmt::Write as _;
use std::sync::Arc;

use super::limits::ModelLimits;
use super::names;
use crate::model::{OffPeak, Price, PriceClass, Rate, Service};

/// Begins the line that tells the version.
const VERSION: &str = "# version ";

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    text: Text,
}

#[derive(Debug, Clone)]
enum Text {
    Bundled(&'static str),
    Shared(Arc<str>),
}

impl Text {
    fn get(&self) -> &str {
        match self {
            Self::Bundled(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// One line of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// `provider/model`.
    pub key: &'a str,
    /// Whose figures they are: `L` LiteLLM, `M` models.dev, `O` the owner's own.
    pub source: &'a str,
    rates: &'a str,
    limits: &'a str,
}

impl<'a> Row<'a> {
    fn read(line: &'a str) -> Self {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default();
        Self { key: next(), source: next(), rates: next(), limits: next() }
    }

    /// Whether it tells a price.
    pub fn is_priced(&self) -> bool {
        !self.rates.is_empty()
    }

    /// Whether it tells a limit or an ability.
    pub fn has_limits(&self) -> bool {
        !self.limits.is_empty()
    }

    /// Its price; empty if it tells none.
    pub fn price(&self) -> Price {
        read_rates(self.rates).unwrap_or_default()
    }

    /// Its limits and capabilities.
    pub fn limits(&self) -> ModelLimits {
        ModelLimits::read(self.limits)
    }
}

impl Table {
    /// The table that comes with the program.
    pub fn bundled() -> &'static Self {
        static BUNDLED: Table = Table { text: Text::Bundled(include_str!("prices.tsv")) };
        &BUNDLED
    }

    /// A table of rows, sorted here; of several with one key the first counts.
    pub(super) fn write(version: &str, notes: &[&str], mut rows: Vec<(String, String)>) -> Self {
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        rows.dedup_by(|a, b| a.0 == b.0);
        let mut text = format!("{VERSION}{version}\n");
        for note in notes {
            let _ = writeln!(text, "# {note}");
        }
        for (key, rest) in rows {
            let _ = writeln!(text, "{key}\t{rest}");
        }
        Self { text: Text::Shared(text.into()) }
    }

    /// Takes a table's text as it was written.
    ///
    /// # Errors
    /// In words, if it is none.
    pub fn of(text: String) -> Result<Self, String> {
        if !text.starts_with(VERSION) {
            return Err("does not begin with its version".to_owned());
        }
        let mut before = "";
        for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.starts_with('#')) {
            let row = Row::read(line);
            if row.key <= before || !row.key.contains('/') {
                return Err(format!("line {number} is out of order or has no key"));
            }
            read_rates(row.rates).map_err(|why| format!("line {number}: {why}"))?;
            before = row.key;
        }
        Ok(Self { text: Text::Shared(text.into()) })
    }

    /// A table's text that [`Table::of`] took before.
    pub(super) fn trusted(text: Arc<str>) -> Self {
        Self { text: Text::Shared(text) }
    }

    /// The text.
    pub fn text(&self) -> &str {
        self.text.get()
    }

    /// Its version, as it says itself.
    pub fn version(&self) -> &str {
        self.text().lines().next().and_then(|line| line.strip_prefix(VERSION)).unwrap_or("?")
    }

    /// Every row, in order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.text().lines().filter(|line| !line.starts_with('#')).map(Row::read)
    }

    /// The row of a key.
    pub fn get(&self, key: &str) -> Option<Row<'_>> {
        self.from(key).next().filter(|row| row.key == key)
    }

    /// The row for a model in a price list that `wanted` accepts: an exact one under any of its names, else the newest release of one of them.
    pub(super) fn find(&self, list: &str, names: &[String], wanted: impl Fn(&Row<'_>) -> bool) -> Option<Row<'_>> {
        let exact = |name: &String| self.get(&format!("{list}/{name}")).filter(|row| wanted(row));
        names.iter().find_map(exact).or_else(|| names.iter().find_map(|name| self.newest(list, name, &wanted)))
    }

    /// Of the rows that are releases of `name` the last: dates rise.
    fn newest(&self, list: &str, name: &str, wanted: &impl Fn(&Row<'_>) -> bool) -> Option<Row<'_>> {
        let key = format!("{list}/{name}");
        let rows = self.from(&key).take_while(|row| row.key.starts_with(&key));
        rows.filter(|row| names::base(row.key) == key && wanted(row)).last()
    }

    /// The rows from a key on.
    fn from<'a>(&'a self, key: &str) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let (mut low, mut high) = (0, self.text().len());
        while low < high {
            let middle = self.line_start(low + (high - low) / 2);
            let line = self.line(middle);
            if line.split('\t').next().unwrap_or_default() < key {
                low = middle + line.len() + 1;
            } else {
                high = middle;
            }
        }
        self.text().get(low..).unwrap_or_default().lines().map(Row::read)
    }

    fn line_start(&self, within: usize) -> usize {
        let bytes = self.text().as_bytes().get(..within).unwrap_or_default();
        memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1)
    }

    fn line(&self, start: usize) -> &str {
        self.text().get(start..).unwrap_or_default().split('\n').next().unwrap_or_default()
    }
}

/// Writes a price as the field of a row.
pub(super) fn write_rates(price: &Price) -> String {
    let mut out = String::new();
    for rate in price.rates() {
        let space = if out.is_empty() { "" } else { " " };
        let _ = write!(out, "{space}{}", rate.class.code());
        if rate.above > 0 {
            let _ = write!(out, ">{}", rate.above);
        }
        if rate.service != Service::Standard {
            let _ = write!(out, "@{}", rate.service.name());
        }
        let _ = write!(out, "={}", rate.pico);
    }
    for hours in price.off_peak() {
        let _ = write!(out, " ~{}:{}-{}", hours.days, hours.from, hours.to);
    }
    out
}

fn read_rates(text: &str) -> Result<Price, String> {
    let mut rates = Vec::new();
    let mut off_peak = Vec::new();
    for term in text.split(' ').filter(|term| !term.is_empty()) {
        let wrong = || format!("{term:?} is no rate");
        match term.strip_prefix('~') {
            Some(hours) => off_peak.push(read_hours(hours).ok_or_else(wrong)?),
            None => rates.push(read_rate(term).ok_or_else(wrong)?),
        }
    }
    Ok(Price::new(rates, off_peak))
}

fn read_rate(term: &str) -> Option<Rate> {
    let (head, pico) = term.split_once('=')?;
    let (head, service) = match head.split_once('@') {
        Some((head, service)) => (head, Service::named(service)?),
        None => (head, Service::Standard),
    };
    let (code, above) = match head.split_once('>') {
        Some((code, above)) => (code, above.parse().ok()?),
        None => (head, 0),
    };
    Some(Rate { class: PriceClass::coded(code)?, above, service, pico: pico.parse().ok()? })
}

fn read_hours(text: &str) -> Option<OffPeak> {
    let (days, span) = text.split_once(':')?;
    let (from, to) = span.split_once('-')?;
    Some(OffPeak { days: days.parse().ok()?, from: from.parse().ok()?, to: to.parse().ok()? })
}
