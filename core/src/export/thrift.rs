//! The compact form of Thrift, as far as Parquet's heads need it.

/// Kinds of fields.
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Writes one struct, field by field in rising order.
#[derive(Debug, Default)]
pub(super) struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

impl Struct {
    fn field(&mut self, id: u8, kind: u8) {
        self.bytes.push((id - self.last) << 4 | kind);
        self.last = id;
    }

    pub(super) fn i32(mut self, id: u8, number: i32) -> Self {
        self.field(id, I32);
        varint(&mut self.bytes, zigzag(number.into()));
        self
    }

    pub(super) fn i64(mut self, id: u8, number: i64) -> Self {
        self.field(id, I64);
        varint(&mut self.bytes, zigzag(number));
        self
    }

    pub(super) fn text(mut self, id: u8, text: &str) -> Self {
        self.field(id, BINARY);
        put_text(&mut self.bytes, text);
        self
    }

    pub(super) fn inner(mut self, id: u8, inner: Self) -> Self {
        self.field(id, STRUCT);
        self.bytes.extend(inner.end());
        self
    }

    pub(super) fn structs(mut self, id: u8, list: impl ExactSizeIterator<Item = Self>) -> Self {
        self.field(id, LIST);
        self.list(STRUCT, list.len());
        list.for_each(|one| self.bytes.extend(one.end()));
        self
    }

    pub(super) fn i32s(mut self, id: u8, list: &[i32]) -> Self {
        self.field(id, LIST);
        self.list(I32, list.len());
        list.iter().for_each(|number| varint(&mut self.bytes, zigzag((*number).into())));
        self
    }

    pub(super) fn texts(mut self, id: u8, list: &[&str]) -> Self {
        self.field(id, LIST);
        self.list(BINARY, list.len());
        list.iter().for_each(|text| put_text(&mut self.bytes, text));
        self
    }

    fn list(&mut self, kind: u8, length: usize) {
        match u8::try_from(length) {
            Ok(length) if length < 15 => self.bytes.push(length << 4 | kind),
            _ => {
                self.bytes.push(0xf0 | kind);
                varint(&mut self.bytes, length as u64);
            }
        }
    }

    /// The whole struct.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_are_written_as_thrift_says() {
        let bytes = Struct::default().i32(1, -1).text(4, "ab").i64(5, 300).i32s(6, &[0, 3]).end();
        assert_eq!(bytes, [0x15, 1, 0x38, 2, b'a', b'b', 0x16, 0xd8, 0x04, 0x19, 0x25, 0, 6, 0]);
        let many = Struct::default().texts(1, &["x"; 20]).end();
        assert_eq!(many[..3], [0x19, 0xf8, 20]);
    }
}
