//! The bytes of the codec: varints and numbered fields.
//!
//! A field is `tag << 1 | shape` and either a varint (shape 0) or a length and bytes (shape 1). Must not know what a field means.

/// Texts that repeat, by number.
pub(in crate::store) trait Names {
    /// The text of a number.
    fn text(&self, id: u32) -> Option<&str>;
}

/// Who chooses a text, and so how much room it may take among the texts that have numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Room {
    /// The configuration, or Myelin itself: there are few, and they must never go without.
    Own,
    /// Callers and providers, of a request that was let through.
    Told,
    /// Anybody: only what has its number already, or is configured, goes by number.
    Known,
    /// It hardly ever repeats: always written out.
    Never,
}

/// Gives texts that repeat their numbers.
pub(in crate::store) trait Intern {
    /// The number of a text; `None`: it must be written out (it is too long, or there is no room for it).
    fn id(&mut self, text: &str, room: Room) -> Option<u32>;

    /// Whether any text has a number.
    fn has_any(&self) -> bool {
        true
    }
}

/// Knows no names: for bytes that stand for themselves, as those of the journal.
pub(in crate::store) struct Nameless;

impl Names for Nameless {
    fn text(&self, _: u32) -> Option<&str> {
        None
    }
}

impl Intern for Nameless {
    fn id(&mut self, _: &str, _: Room) -> Option<u32> {
        None
    }

    fn has_any(&self) -> bool {
        false
    }
}

const SHAPE_NUMBER: u64 = 0;
const SHAPE_BYTES: u64 = 1;

/// Writes fields.
pub(super) struct Writer<'a> {
    pub(super) out: Vec<u8>,
    pub(super) names: &'a mut dyn Intern,
    /// Nobody offers what was asked for, or it was refused: its words may be made up, and take no room.
    pub(super) made_up: bool,
}

impl<'a> Writer<'a> {
    /// Begins with the layout's version.
    pub(super) fn new(version: u8, capacity: usize, names: &'a mut dyn Intern) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.push(version);
        Self { out, names, made_up: false }
    }

    /// Begins a value inside another one.
    pub(super) fn inner(&mut self, version: u8) -> Writer<'_> {
        Writer { made_up: self.made_up, ..Writer::new(version, 64, self.names) }
    }

    pub(super) fn number(&mut self, tag: u64, value: u64) {
        varint(&mut self.out, tag << 1 | SHAPE_NUMBER);
        varint(&mut self.out, value);
    }

    pub(super) fn bytes(&mut self, tag: u64, bytes: &[u8]) {
        varint(&mut self.out, tag << 1 | SHAPE_BYTES);
        varint(&mut self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// The number of a text, if it has one or gets one.
    pub(super) fn number_of(&mut self, text: &str, room: Room) -> Option<u32> {
        match room {
            Room::Never => None,
            Room::Told if self.made_up => self.names.id(text, Room::Known),
            room => self.names.id(text, room),
        }
    }

    /// A text by its number if it has one, else written out.
    pub(super) fn name(&mut self, tag: u64, text: &str, room: Room) {
        match self.number_of(text, room) {
            Some(id) => self.number(tag, u64::from(id)),
            None => self.bytes(tag, text.as_bytes()),
        }
    }
}

/// Appends a varint.
pub(in crate::store) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a varint off the front.
pub(in crate::store) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Takes a length and so many bytes off the front.
pub(in crate::store) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_varint(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// Small numbers of either sign become small numbers.
pub(in crate::store) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The other way.
pub(in crate::store) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// One field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Bytes(_) => None,
        }
    }

    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Number(_) => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }

    pub(super) fn text(self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    /// A text by its number, or written out.
    pub(super) fn name(self, names: &dyn Names) -> Option<String> {
        match self {
            // A number that nobody knows any more must not cost the whole record.
            Self::Number(id) => Some(u32::try_from(id).ok().and_then(|id| names.text(id)).unwrap_or("?").to_owned()),
            Self::Bytes(_) => self.text(),
        }
    }
}

/// Reads fields.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// `None`: not of that layout.
    pub(super) fn of(bytes: &'a [u8], versions: std::ops::RangeInclusive<u8>) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        versions.contains(version).then_some(Self(rest))
    }

    /// Outer `None`: damaged. Inner `None`: the end.
    pub(super) fn next(&mut self) -> Option<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let head = take_varint(&mut self.0)?;
        if head & 1 == SHAPE_NUMBER {
            return Some(Some((head >> 1, Value::Number(take_varint(&mut self.0)?))));
        }
        Some(Some((head >> 1, Value::Bytes(take_bytes(&mut self.0)?))))
    }
}
