//! Request records as files for other programs: CSV, JSON lines, Parquet. Records go in one by one, bytes come out, memory stays bounded.
//!
//! Must not know where records come from nor where the bytes go.

mod columns;
mod csv;
mod parquet;
mod thrift;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::model::RequestRecord;
use parquet::Parquet;

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// Comma-separated, one head line.
    Csv,
    /// One JSON object a line, as the admin API shows a record.
    Jsonl,
    /// Apache Parquet, zstd.
    Parquet,
}

impl ExportFormat {
    /// Every one with its word, which is the ending of its files too, and its media type.
    pub const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Csv, "csv", "text/csv; charset=utf-8"),
        (Self::Jsonl, "jsonl", "application/x-ndjson"),
        (Self::Parquet, "parquet", "application/vnd.apache.parquet"),
    ];

    /// The one with that word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, own, _)| *own == word).map(|(format, ..)| *format)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(own, ..)| *own == self).map_or("", |(_, word, _)| word)
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        Self::ALL.iter().find(|(own, ..)| *own == self).map_or("", |(.., media)| media)
    }
}

/// One export in the making.
#[derive(Debug)]
pub struct Export {
    shape: Shape,
    /// Names of virtual keys by id.
    keys: HashMap<String, String>,
}

#[derive(Debug)]
enum Shape {
    Csv,
    Jsonl,
    Parquet(Box<Parquet>),
}

impl Export {
    /// Begins one. `keys`: names of virtual keys by id.
    pub fn new(format: ExportFormat, keys: HashMap<String, String>) -> Self {
        let shape = match format {
            ExportFormat::Csv => Shape::Csv,
            ExportFormat::Jsonl => Shape::Jsonl,
            ExportFormat::Parquet => Shape::Parquet(Box::default()),
        };
        Self { shape, keys }
    }

    /// What stands before all records.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        match &mut self.shape {
            Shape::Csv => csv::head(out),
            Shape::Jsonl => {}
            Shape::Parquet(parquet) => parquet.begin(out),
        }
    }

    /// Takes a record. `more`: fields that JSON lines get beside the record's own.
    ///
    /// # Errors
    /// When it cannot be written; nobody's fault but ours.
    pub fn push(
        &mut self,
        record: &RequestRecord,
        more: Option<(&str, serde_json::Value)>,
        out: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        match &mut self.shape {
            Shape::Csv => csv::row(record, &self.keys, out),
            Shape::Jsonl => {
                let mut value = serde_json::to_value(record)?;
                if let (Some((name, more)), Some(fields)) = (more, value.as_object_mut()) {
                    fields.insert(name.to_owned(), more);
                }
                serde_json::to_writer(&mut *out, &value)?;
                out.push(b'\n');
            }
            Shape::Parquet(parquet) => parquet.push(record, &self.keys, out)?,
        }
        Ok(())
    }

    /// What stands behind all records.
    ///
    /// # Errors
    /// As [`Export::push`].
    pub fn finish(self, out: &mut Vec<u8>) -> std::io::Result<()> {
        match self.shape {
            Shape::Csv | Shape::Jsonl => Ok(()),
            Shape::Parquet(parquet) => parquet.finish(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CostSource, NanoUsd, RequestState};
    use myelin_protocol::ir::Usage;

    pub(super) fn record(n: u64) -> RequestRecord {
        RequestRecord {
            id: format!("req_{n:032x}"),
            started: 1_800_000_000_000 + n,
            model: if n == 1 { "=cmd|' /C calc'!A0".into() } else { format!("model, \"{n}\"") },
            key: (n > 0).then(|| "key_1".into()),
            status: 200,
            state: RequestState::Completed,
            stream: n.is_multiple_of(3),
            tags: vec!["paid".into(), "eu".into()],
            usage: n.is_multiple_of(2).then(|| Usage { input: Some(n), output: Some(0), ..Usage::default() }),
            cost: n.is_multiple_of(2).then_some(NanoUsd(1_500_000_001)),
            cost_source: Some(CostSource::Computed),
            ..RequestRecord::default()
        }
    }

    pub(super) fn export(format: ExportFormat, count: u64) -> Vec<u8> {
        let mut export = Export::new(format, HashMap::from([("key_1".to_owned(), "laptop".to_owned())]));
        let mut out = Vec::new();
        export.begin(&mut out);
        for n in 0..count {
            export.push(&record(n), None, &mut out).unwrap();
        }
        export.finish(&mut out).unwrap();
        out
    }

    #[test]
    fn csv_has_a_cell_for_each_column_and_never_a_formula() {
        let text = String::from_utf8(export(ExportFormat::Csv, 3)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("id,started,") && lines[0].contains(",cost_usd,"), "{}", lines[0]);
        assert!(lines[1].starts_with("req_00000000000000000000000000000000,2027-01-15T08:00:00.000Z,"), "{}", lines[1]);
        assert!(
            lines[1].contains(",1.500000001,computed,") && lines[1].contains("\"model, \"\"0\"\"\""),
            "{}",
            lines[1]
        );
        assert!(lines[2].contains("'=cmd|' /C calc'!A0") && lines[2].contains(",laptop,"), "{}", lines[2]);
        // Unknown is empty, zero is zero.
        let cell = |line: &str, name: &str| {
            let line = line.replace("\"model, \"\"0\"\"\"", "m").replace("\"paid,eu\"", "t");
            let at = lines[0].split(',').position(|own| own == name).unwrap();
            line.split(',').nth(at).unwrap().to_owned()
        };
        assert_eq!((cell(lines[1], "output").as_str(), cell(lines[1], "input").as_str()), ("0", "0"));
        assert_eq!((cell(lines[2], "output").as_str(), cell(lines[2], "cost_usd").as_str()), ("", ""));
    }

    #[test]
    fn json_lines_are_the_records_themselves() {
        let text = String::from_utf8(export(ExportFormat::Jsonl, 5)).unwrap();
        let back: Vec<RequestRecord> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(back, (0..5).map(record).collect::<Vec<_>>());
    }
}
