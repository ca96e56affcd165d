//! Apache Parquet: row groups of bounded size, each column one page, plain values, zstd. Read by DuckDB, pandas, Spark and the like.
//!
//! `PAR1 | row groups | footer | its length u32 | PAR1`. Every column may be empty in a row. Times are UTC milliseconds, money a decimal with nine places.

use std::io;

use super::columns::{COLUMNS, Cell, Column, Keys, Kind};
use super::thrift::Struct;
use crate::model::RequestRecord;

const MAGIC: &[u8; 4] = b"PAR1";
/// A row group ends with so many rows, or so many bytes.
const MOST_ROWS: usize = 20_000;
const MOST_BYTES: usize = 16 << 20;
const LEVEL: i32 = 3;
/// Numbers of the format.
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const ZSTD: i32 = 6;
const OPTIONAL: i32 = 1;
const DATA_PAGE: i32 = 0;

/// A file in the making.
#[derive(Debug)]
pub(super) struct Parquet {
    columns: Vec<Values>,
    rows: usize,
    bytes: usize,
    /// Bytes of the file so far.
    written: u64,
    groups: Vec<Group>,
}

/// The values of one column in the row group that is being filled.
#[derive(Debug, Default)]
struct Values {
    there: Vec<bool>,
    plain: Vec<u8>,
    /// Flags are packed into bits.
    flags: Vec<bool>,
}

#[derive(Debug)]
struct Group {
    rows: usize,
    chunks: Vec<Chunk>,
}

/// One column of a row group: where it is and how large.
#[derive(Debug)]
struct Chunk {
    offset: u64,
    unpacked: usize,
    packed: usize,
}

impl Default for Parquet {
    fn default() -> Self {
        Self { columns: fresh(), rows: 0, bytes: 0, written: 0, groups: Vec::new() }
    }
}

fn fresh() -> Vec<Values> {
    COLUMNS.iter().map(|_| Values::default()).collect()
}

fn long(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn short(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl Parquet {
    pub(super) fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        self.written += MAGIC.len() as u64;
    }

    pub(super) fn push(&mut self, record: &RequestRecord, keys: &Keys, out: &mut Vec<u8>) -> io::Result<()> {
        for (column, values) in COLUMNS.iter().zip(&mut self.columns) {
            let before = values.plain.len();
            values.push((column.of)(record, keys));
            self.bytes += values.plain.len() - before + 1;
        }
        self.rows += 1;
        if self.rows >= MOST_ROWS || self.bytes >= MOST_BYTES { self.group(out) } else { Ok(()) }
    }

    /// Writes the row group.
    fn group(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = Group { rows: self.rows, chunks: Vec::with_capacity(COLUMNS.len()) };
        for values in std::mem::replace(&mut self.columns, fresh()) {
            let page = values.page();
            let packed = zstd::bulk::compress(&page, LEVEL)?;
            let data = Struct::default().i32(1, short(self.rows)).i32(2, PLAIN).i32(3, RLE).i32(4, RLE);
            let head = Struct::default()
                .i32(1, DATA_PAGE)
                .i32(2, short(page.len()))
                .i32(3, short(packed.len()))
                .inner(5, data)
                .end();
            group.chunks.push(Chunk {
                offset: self.written,
                unpacked: head.len() + page.len(),
                packed: head.len() + packed.len(),
            });
            self.written += (head.len() + packed.len()) as u64;
            out.extend(head);
            out.extend(packed);
        }
        self.groups.push(group);
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    pub(super) fn finish(mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.group(out)?;
        let root = Struct::default().text(4, "request").i32(5, short(COLUMNS.len()));
        let schema: Vec<Struct> = std::iter::once(root).chain(COLUMNS.iter().map(element)).collect();
        let rows = self.groups.iter().map(|group| group.rows).sum();
        let footer = Struct::default()
            .i32(1, 1)
            .structs(2, schema.into_iter())
            .i64(3, long(rows))
            .structs(4, self.groups.iter().map(group))
            .text(6, concat!("myelin ", env!("CARGO_PKG_VERSION")))
            .end();
        let length = u32::try_from(footer.len()).map_err(io::Error::other)?;
        out.extend(footer);
        out.extend(length.to_le_bytes());
        out.extend_from_slice(MAGIC);
        Ok(())
    }
}

impl Values {
    fn push(&mut self, cell: Cell) {
        let there = match cell {
            Cell::Text(None) | Cell::Number(None) => false,
            Cell::Text(Some(text)) => {
                self.plain.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
                self.plain.extend(text.into_bytes());
                true
            }
            Cell::Number(Some(number)) => {
                self.plain.extend(number.to_le_bytes());
                true
            }
            Cell::Flag(flag) => {
                self.flags.push(flag);
                true
            }
        };
        self.there.push(there);
    }

    /// Which rows have a value, as runs, then the values.
    fn page(mut self) -> Vec<u8> {
        let mut runs = Vec::new();
        for run in self.there.chunk_by(|a, b| a == b) {
            let mut head = (run.len() as u64) << 1;
            while head >= 0x80 {
                runs.push((head & 0x7f) as u8 | 0x80);
                head >>= 7;
            }
            runs.push(head as u8);
            runs.push(u8::from(run.first() == Some(&true)));
        }
        for bits in self.flags.chunks(8) {
            self.plain.push(bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
        }
        let mut page = Vec::with_capacity(4 + runs.len() + self.plain.len());
        page.extend(u32::try_from(runs.len()).unwrap_or(u32::MAX).to_le_bytes());
        page.extend(runs);
        page.extend(self.plain);
        page
    }
}

/// The format's number of what a column's values are.
fn physical(kind: Kind) -> i32 {
    match kind {
        Kind::Flag => 0,
        Kind::Whole | Kind::Time | Kind::Money => 2,
        Kind::Text => 6,
    }
}

fn element(column: &Column) -> Struct {
    let element = Struct::default().i32(1, physical(column.kind)).i32(3, OPTIONAL).text(4, column.name);
    // UTF8, TIMESTAMP_MILLIS, DECIMAL with scale and precision.
    match column.kind {
        Kind::Text => element.i32(6, 0),
        Kind::Time => element.i32(6, 9),
        Kind::Money => element.i32(6, 5).i32(7, 9).i32(8, 18),
        Kind::Whole | Kind::Flag => element,
    }
}

fn group(group: &Group) -> Struct {
    let chunks = group.chunks.iter().zip(COLUMNS).map(|(chunk, column)| {
        let offset = i64::try_from(chunk.offset).unwrap_or(i64::MAX);
        let about = Struct::default()
            .i32(1, physical(column.kind))
            .i32s(2, &[PLAIN, RLE])
            .texts(3, &[column.name])
            .i32(4, ZSTD)
            .i64(5, long(group.rows))
            .i64(6, long(chunk.unpacked))
            .i64(7, long(chunk.packed))
            .i64(9, offset);
        Struct::default().i64(2, offset).inner(3, about)
    });
    let bytes: usize = group.chunks.iter().map(|chunk| chunk.unpacked).sum();
    Struct::default().structs(1, chunks).i64(2, long(bytes)).i64(3, long(group.rows))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{export, record};
    use super::*;
    use crate::export::ExportFormat;

    /// A reader of just what is needed to find the pages again: fields of a struct by id.
    struct Reader<'a>(&'a [u8]);

    #[derive(Debug, Clone)]
    enum Field {
        Number(i64),
        Text(Vec<u8>),
        List(Vec<Self>),
        Inner(Vec<(u8, Self)>),
    }

    impl Field {
        fn at(&self, id: u8) -> &Self {
            let Self::Inner(fields) = self else { panic!("{self:?} is no struct") };
            &fields.iter().find(|(own, _)| *own == id).unwrap().1
        }

        fn number(&self) -> i64 {
            let Self::Number(number) = self else { panic!("{self:?} is no number") };
            *number
        }

        fn list(&self) -> &[Self] {
            let Self::List(list) = self else { panic!("{self:?} is no list") };
            list
        }
    }

    impl Reader<'_> {
        fn byte(&mut self) -> u8 {
            let (first, rest) = self.0.split_first().unwrap();
            self.0 = rest;
            *first
        }

        fn varint(&mut self) -> u64 {
            let (mut number, mut shift) = (0, 0);
            loop {
                let byte = self.byte();
                number |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return number;
                }
            }
        }

        fn value(&mut self, kind: u8) -> Field {
            match kind {
                5 | 6 => {
                    let number = self.varint();
                    Field::Number((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
                }
                8 => {
                    let length = self.varint() as usize;
                    let (text, rest) = self.0.split_at(length);
                    self.0 = rest;
                    Field::Text(text.to_vec())
                }
                9 => {
                    let head = self.byte();
                    let length = if head >> 4 == 15 { self.varint() } else { u64::from(head >> 4) };
                    Field::List((0..length).map(|_| self.value(head & 15)).collect())
                }
                12 => self.fields(),
                other => panic!("kind {other}"),
            }
        }

        fn fields(&mut self) -> Field {
            let (mut fields, mut id) = (Vec::new(), 0);
            loop {
                let head = self.byte();
                if head == 0 {
                    return Field::Inner(fields);
                }
                id += head >> 4;
                fields.push((id, self.value(head & 15)));
            }
        }
    }

    #[test]
    fn the_footer_leads_to_every_page_and_the_pages_to_every_value() {
        let count = MOST_ROWS as u64 + 7;
        let file = export(ExportFormat::Parquet, count);
        assert!(file.starts_with(MAGIC) && file.ends_with(MAGIC));
        let length = u32::from_le_bytes(file[file.len() - 8..file.len() - 4].try_into().unwrap()) as usize;
        let footer = Reader(&file[file.len() - 8 - length..]).fields();
        assert_eq!(footer.at(3).number(), count.cast_signed());
        assert_eq!(footer.at(2).list().len(), COLUMNS.len() + 1);
        let groups = footer.at(4).list();
        assert_eq!(groups.iter().map(|group| group.at(3).number()).collect::<Vec<_>>(), [MOST_ROWS as i64, 7]);
        let column = |name: &str| COLUMNS.iter().position(|column| column.name == name).unwrap();
        let page = |group: usize, column: usize| {
            let about = groups[group].at(1).list()[column].at(3).clone();
            let mut reader = Reader(&file[about.at(9).number() as usize..]);
            let head = reader.fields();
            let body = &reader.0[..head.at(3).number() as usize];
            zstd::bulk::decompress(body, head.at(2).number() as usize).unwrap()
        };
        // All are there: one run, then the times.
        let times = page(1, column("started"));
        assert_eq!(times[..6], [2, 0, 0, 0, 14, 1]);
        assert_eq!(times[6..14], record(MOST_ROWS as u64).started.to_le_bytes());
        // Every other has a cost.
        let costs = page(1, column("cost_usd"));
        assert_eq!(costs[..4], [14, 0, 0, 0]);
        assert_eq!(costs[4..8], [2, 1, 2, 0]);
        assert_eq!(costs[18..26], 1_500_000_001_i64.to_le_bytes());
        let flags = page(1, column("stream"));
        let wanted = (0..7).filter(|n| (MOST_ROWS + n).is_multiple_of(3)).fold(0_u8, |byte, n| byte | 1 << n);
        assert_eq!(flags[6..], [wanted]);
        let Field::Text(name) = footer.at(2).list()[1].at(4) else { panic!() };
        assert_eq!(name, b"id");
    }

    #[test]
    fn an_empty_file_is_a_file() {
        let file = export(ExportFormat::Parquet, 0);
        let length = u32::from_le_bytes(file[file.len() - 8..file.len() - 4].try_into().unwrap()) as usize;
        assert_eq!(Reader(&file[file.len() - 8 - length..]).fields().at(3).number(), 0);
    }
}
