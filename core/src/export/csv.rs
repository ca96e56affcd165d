//! Comma-separated rows that a spreadsheet opens without running anything.

use super::columns::{COLUMNS, Cell, Keys, Kind};
use crate::model::RequestRecord;

/// The names of the columns.
pub(super) fn head(out: &mut Vec<u8>) {
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    out.extend_from_slice(names.join(",").as_bytes());
    out.push(b'\n');
}

/// One record.
pub(super) fn row(record: &RequestRecord, keys: &Keys, out: &mut Vec<u8>) {
    for (index, column) in COLUMNS.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let shown = match ((column.of)(record, keys), column.kind) {
            (Cell::Text(None) | Cell::Number(None), _) => continue,
            (Cell::Text(Some(text)), _) => quoted(text),
            (Cell::Flag(flag), _) => flag.to_string(),
            (Cell::Number(Some(ms)), Kind::Time) => moment(ms),
            (Cell::Number(Some(nanos)), Kind::Money) => dollars(nanos),
            (Cell::Number(Some(number)), _) => number.to_string(),
        };
        out.extend_from_slice(shown.as_bytes());
    }
    out.push(b'\n');
}

fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| format!("{at:.3}"))
}

/// Exact: a billionth of a dollar has nine places.
fn dollars(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// A cell that is no formula and does not break its row.
fn quoted(cell: String) -> String {
    let formula =
        matches!(cell.chars().next(), Some('=' | '+' | '@' | '\t' | '\r')) || (cell.starts_with('-') && cell.len() > 1);
    let cell = if formula { format!("'{cell}") } else { cell };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact() {
        for (nanos, shown) in [(0, "0.000000000"), (1, "0.000000001"), (-1_500_000_000, "-1.500000000")] {
            assert_eq!(dollars(nanos), shown);
        }
    }
}
