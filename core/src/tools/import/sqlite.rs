//! Reading the rows of one table of an SQLite file, and no more than that: no journal, no index, no SQL.

use serde_json::{Map, Value};

const MAGIC: &[u8] = b"SQLite format 3\0";
/// Trees are never so deep.
const MOST_DEPTH: usize = 24;
const MOST_ROWS: usize = 100_000;

/// Whether it is such a file.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Every row of a table, by the names of its columns. Nothing: it has no such table, or is damaged.
pub(super) fn rows(bytes: &[u8], table: &str) -> Option<Vec<Map<String, Value>>> {
    let file = File::open(bytes)?;
    let mut found = Vec::new();
    file.walk(1, 0, &mut found)?;
    let (root, sql) = found.iter().find_map(|(_, row)| {
        let is = row.first()?.as_str() == Some("table") && row.get(1)?.as_str() == Some(table);
        is.then(|| Some((row.get(3)?.as_u64()?, row.get(4)?.as_str()?.to_owned())))?
    })?;
    let columns = columns(&sql)?;
    let mut cells = Vec::new();
    file.walk(u32::try_from(root).ok()?, 0, &mut cells)?;
    // A column that was added later is missing in older rows.
    let row = |(_, cells): (u64, Vec<Value>)| columns.iter().cloned().zip(cells).collect();
    Some(cells.into_iter().map(row).collect())
}

/// Names of columns out of `CREATE TABLE … (…)`.
fn columns(sql: &str) -> Option<Vec<String>> {
    let inside = sql.get(sql.find('(')? + 1..sql.rfind(')')?)?;
    let mut depth = 0_i32;
    let parts = inside.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    let keyword =
        |word: &str| ["PRIMARY", "FOREIGN", "UNIQUE", "CHECK", "CONSTRAINT"].contains(&word.to_uppercase().as_str());
    let names = parts
        .filter_map(|part| part.split_whitespace().next())
        .filter(|word| !keyword(word.split('(').next().unwrap_or(word)));
    Some(names.map(|name| name.trim_matches(['"', '`', '[', ']', '\'']).to_owned()).collect())
}

struct File<'b> {
    bytes: &'b [u8],
    page: usize,
    usable: usize,
}

type Rows = Vec<(u64, Vec<Value>)>;

impl<'b> File<'b> {
    fn open(bytes: &'b [u8]) -> Option<Self> {
        let page = match u16_at(bytes, 16)? {
            1 => 65_536,
            size => usize::from(size),
        };
        let usable = page.checked_sub(usize::from(*bytes.get(20)?))?;
        (page >= 512 && usable >= 480).then_some(Self { bytes, page, usable })
    }

    fn page(&self, number: u32) -> Option<&'b [u8]> {
        let start = usize::try_from(number).ok()?.checked_sub(1)?.checked_mul(self.page)?;
        self.bytes.get(start..start.checked_add(self.page)?)
    }

    fn walk(&self, number: u32, depth: usize, out: &mut Rows) -> Option<()> {
        if depth > MOST_DEPTH || out.len() > MOST_ROWS {
            return None;
        }
        let page = self.page(number)?;
        let head = if number == 1 { 100 } else { 0 };
        let cells = usize::from(u16_at(page, head + 3)?);
        match *page.get(head)? {
            0x05 => {
                for cell in 0..cells {
                    let at = usize::from(u16_at(page, head + 12 + cell * 2)?);
                    self.walk(u32_at(page, at)?, depth + 1, out)?;
                }
                self.walk(u32_at(page, head + 8)?, depth + 1, out)
            }
            0x0d => {
                for cell in 0..cells {
                    let at = usize::from(u16_at(page, head + 8 + cell * 2)?);
                    out.push(self.cell(page, at)?);
                }
                Some(())
            }
            _ => None,
        }
    }

    fn cell(&self, page: &[u8], at: usize) -> Option<(u64, Vec<Value>)> {
        let (size, at) = varint(page, at)?;
        let (id, at) = varint(page, at)?;
        let size = usize::try_from(size).ok().filter(|size| *size <= self.bytes.len())?;
        // How much of a long row is on its own page, by the format's rule.
        let most = self.usable - 35;
        let here = if size <= most {
            size
        } else {
            let least = (self.usable - 12) * 32 / 255 - 23;
            let fit = least + (size - least) % (self.usable - 4);
            if fit <= most { fit } else { least }
        };
        let mut payload = page.get(at..at + here)?.to_vec();
        let mut next = if here < size { u32_at(page, at + here)? } else { 0 };
        while payload.len() < size {
            let more = self.page(next)?;
            let take = (size - payload.len()).min(self.usable - 4);
            payload.extend_from_slice(more.get(4..4 + take)?);
            next = u32_at(more, 0)?;
        }
        Some((id, record(&payload)?))
    }
}

fn record(payload: &[u8]) -> Option<Vec<Value>> {
    let (head, mut at) = varint(payload, 0)?;
    let head = usize::try_from(head).ok()?;
    let mut body = head;
    let mut out = Vec::new();
    while at < head {
        let (kind, next) = varint(payload, at)?;
        at = next;
        let (value, size) = match kind {
            0 => (Value::Null, 0),
            1..=6 => {
                let size = [1, 2, 3, 4, 6, 8].get(usize::try_from(kind).ok()? - 1).copied()?;
                (integer(payload.get(body..body + size)?).into(), size)
            }
            7 => (Value::Null, 8),
            8 => (0.into(), 0),
            9 => (1.into(), 0),
            10 | 11 => return None,
            text => {
                let size = usize::try_from((text - 12) / 2).ok()?;
                let bytes = payload.get(body..body.checked_add(size)?)?;
                (String::from_utf8_lossy(bytes).into_owned().into(), size)
            }
        };
        body += size;
        out.push(value);
    }
    Some(out)
}

fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    bytes.iter().fold(if negative { -1 } else { 0 }, |value: i64, byte| (value << 8) | i64::from(*byte))
}

fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for index in 0..9 {
        let byte = *bytes.get(at + index)?;
        if index == 8 {
            return Some(((value << 8) | u64::from(byte), at + 9));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + index + 1));
        }
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
