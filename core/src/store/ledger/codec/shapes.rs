//! How a field of some type becomes bytes: one small shape for each way, and the macro that makes a layout of them.

use myelin_protocol::ir::{RawUsage, Units};
use serde_json::Value as Json;

use super::wire::{Fields, Names, Room, Value, Writer, take_varint, unzigzag, varint, zigzag};
use super::{OLDEST, VERSION};
use crate::model::{
    AttemptOutcome, AttemptRecord, Budgeted, CacheOutcome, CostSource, NanoUsd, PlannedDeployment, RequestState,
};

/// Something with numbered fields.
pub(super) trait Layout: Default {
    /// Writes every field that says something.
    fn put(&self, out: &mut Writer<'_>);
    /// Reads one field; unknown tags are skipped. `None`: damaged.
    fn take(&mut self, tag: u64, value: Value<'_>, names: &dyn Names) -> Option<()>;
}

/// A way to write a field of type `T`. What reads as the default is left out.
pub(super) trait Shape<T> {
    fn put(out: &mut Writer<'_>, tag: u64, field: &T);
    fn take(field: &mut T, value: Value<'_>, names: &dyn Names) -> Option<()>;
}

/// Gives a type its layout: `tag field: Shape;`. Fields are taken apart by name, so a new one does not compile until it has a tag; they are written in the
/// order of this list. A tag is never given a second meaning.
macro_rules! layout {
    ($of:ident { $($tag:literal $field:ident: $shape:ty;)* } $(elsewhere { $($other:ident),* })?) => {
        impl Layout for $of {
            fn put(&self, out: &mut Writer<'_>) {
                let Self { $($field,)* $($($other: _,)*)? } = self;
                $( <$shape as Shape<_>>::put(out, $tag, $field); )*
            }

            fn take(&mut self, tag: u64, value: Value<'_>, names: &dyn Names) -> Option<()> {
                match tag {
                    $( $tag => <$shape as Shape<_>>::take(&mut self.$field, value, names), )*
                    _ => Some(()),
                }
            }
        }
    };
}
pub(super) use layout;

/// A number; zero is left out. Optional ones are written if known, zero too.
pub(super) struct Number;
/// A text with few different values, which the configuration or Myelin itself chose: by number.
pub(super) struct Name;
/// A text with few different values, which callers or providers chose: by number while there is room.
pub(super) struct Told;
/// A text that hardly repeats, or that anybody may make up: written out. In older bytes it stands by number.
pub(super) struct Once;
/// Where a request went: addresses that everybody uses by number, those with ids in them written out.
pub(super) struct Path;
/// A number without meaning of which there are few: a name of hexadecimal digits.
pub(super) struct Few;
/// A text of its own; ids of hexadecimal digits take half the room.
pub(super) struct Text;
/// One of a few words.
pub(super) struct Word;
/// Something with a layout of its own, or a list of such.
pub(super) struct Inner;
/// A JSON object that is kept as it came: its form by number, its values apart.
pub(super) struct Raw;

macro_rules! numbers {
    ($($type:ty),*) => { $(
        impl Shape<$type> for Number {
            fn put(out: &mut Writer<'_>, tag: u64, field: &$type) {
                if *field != 0 {
                    out.number(tag, u64::from(*field));
                }
            }

            fn take(field: &mut $type, value: Value<'_>, _: &dyn Names) -> Option<()> {
                *field = <$type>::try_from(value.number()?).ok()?;
                Some(())
            }
        }

        impl Shape<Option<$type>> for Number {
            fn put(out: &mut Writer<'_>, tag: u64, field: &Option<$type>) {
                if let Some(number) = field {
                    out.number(tag, u64::from(*number));
                }
            }

            fn take(field: &mut Option<$type>, value: Value<'_>, _: &dyn Names) -> Option<()> {
                *field = Some(<$type>::try_from(value.number()?).ok()?);
                Some(())
            }
        }
    )* };
}
numbers!(u16, u32, u64);

impl Shape<bool> for Number {
    fn put(out: &mut Writer<'_>, tag: u64, field: &bool) {
        if *field {
            out.number(tag, 1);
        }
    }

    fn take(field: &mut bool, value: Value<'_>, _: &dyn Names) -> Option<()> {
        *field = value.number()? != 0;
        Some(())
    }
}

impl Shape<Option<NanoUsd>> for Number {
    fn put(out: &mut Writer<'_>, tag: u64, field: &Option<NanoUsd>) {
        if let Some(NanoUsd(nanos)) = field {
            out.number(tag, zigzag(*nanos));
        }
    }

    fn take(field: &mut Option<NanoUsd>, value: Value<'_>, _: &dyn Names) -> Option<()> {
        *field = Some(NanoUsd(unzigzag(value.number()?)));
        Some(())
    }
}

/// The kind of units in the two lowest bits: 0 images, 1 seconds, 2 characters, 3 searches.
impl Shape<Option<Units>> for Number {
    fn put(out: &mut Writer<'_>, tag: u64, field: &Option<Units>) {
        let (count, kind) = match *field {
            None => return,
            Some(Units::Images(count)) => (count, 0),
            Some(Units::Seconds(count)) => (count, 1),
            Some(Units::Characters(count)) => (count, 2),
            Some(Units::Searches(count)) => (count, 3),
        };
        out.number(tag, count.min(u64::MAX >> 2) << 2 | kind);
    }

    fn take(field: &mut Option<Units>, value: Value<'_>, _: &dyn Names) -> Option<()> {
        let number = value.number()?;
        let count = number >> 2;
        *field = Some(match number & 3 {
            0 => Units::Images(count),
            1 => Units::Seconds(count),
            2 => Units::Characters(count),
            _ => Units::Searches(count),
        });
        Some(())
    }
}

impl Shape<u64> for Few {
    fn put(out: &mut Writer<'_>, tag: u64, field: &u64) {
        out.name(tag, &format!("{field:x}"), Room::Own);
    }

    fn take(field: &mut u64, value: Value<'_>, names: &dyn Names) -> Option<()> {
        // A number that the dictionary does not know belongs to nobody.
        *field = u64::from_str_radix(&value.name(names)?, 16).unwrap_or_default();
        Some(())
    }
}

macro_rules! names {
    ($($shape:ty: $room:expr;)*) => { $(
        impl Shape<String> for $shape {
            fn put(out: &mut Writer<'_>, tag: u64, field: &String) {
                if !field.is_empty() {
                    let room: fn(&str) -> Room = $room;
                    out.name(tag, field, room(field));
                }
            }

            fn take(field: &mut String, value: Value<'_>, names: &dyn Names) -> Option<()> {
                *field = value.name(names)?;
                Some(())
            }
        }

        impl Shape<Option<String>> for $shape {
            fn put(out: &mut Writer<'_>, tag: u64, field: &Option<String>) {
                if let Some(text) = field {
                    let room: fn(&str) -> Room = $room;
                    out.name(tag, text, room(text));
                }
            }

            fn take(field: &mut Option<String>, value: Value<'_>, names: &dyn Names) -> Option<()> {
                *field = Some(value.name(names)?);
                Some(())
            }
        }

        impl Shape<Vec<String>> for $shape {
            fn put(out: &mut Writer<'_>, tag: u64, field: &Vec<String>) {
                let room: fn(&str) -> Room = $room;
                field.iter().for_each(|text| out.name(tag, text, room(text)));
            }

            fn take(field: &mut Vec<String>, value: Value<'_>, names: &dyn Names) -> Option<()> {
                field.push(value.name(names)?);
                Some(())
            }
        }
    )* };
}
names! {
    Name: |_| Room::Own;
    Told: |_| Room::Told;
    Once: |_| Room::Never;
    Path: |path| if PATHS.contains(&path) { Room::Own } else { Room::Never };
}

/// Addresses that have a number.
const PATHS: [&str; 20] = [
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/responses",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/models",
    "/v1/rerank",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1beta/models",
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/tags",
    "/dify/v1/chat-messages",
    "/dify/v1/messages",
];

/// No text of UTF-8 begins with this byte: what follows is packed.
const PACKED: u8 = 0xff;
const PACKED_UUID: u8 = 1;
const PACKED_HEX: u8 = 2;

impl Shape<String> for Text {
    fn put(out: &mut Writer<'_>, tag: u64, field: &String) {
        if !field.is_empty() {
            put_text(out, tag, field);
        }
    }

    fn take(field: &mut String, value: Value<'_>, _: &dyn Names) -> Option<()> {
        *field = take_text(value)?;
        Some(())
    }
}

impl Shape<Option<String>> for Text {
    fn put(out: &mut Writer<'_>, tag: u64, field: &Option<String>) {
        if let Some(text) = field {
            put_text(out, tag, text);
        }
    }

    fn take(field: &mut Option<String>, value: Value<'_>, _: &dyn Names) -> Option<()> {
        *field = Some(take_text(value)?);
        Some(())
    }
}

fn put_text(out: &mut Writer<'_>, tag: u64, text: &str) {
    match packed(text) {
        Some(packed) => out.bytes(tag, &packed),
        None => out.bytes(tag, text.as_bytes()),
    }
}

fn take_text(value: Value<'_>) -> Option<String> {
    let bytes = value.bytes()?;
    let Some((&PACKED, packed)) = bytes.split_first() else { return value.text() };
    let (&kind, packed) = packed.split_first()?;
    match kind {
        PACKED_UUID => Some(uuid::Uuid::from_slice(packed).ok()?.hyphenated().to_string()),
        PACKED_HEX => Some(packed.iter().map(|byte| format!("{byte:02x}")).collect()),
        _ => None,
    }
}

/// A UUID or a long run of lower-case hexadecimal digits, two digits a byte.
fn packed(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    let digits: Vec<u8> = if bytes.len() == 36 {
        let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
        let formed = bytes.iter().enumerate().all(|(at, byte)| dash(at) == (*byte == b'-'));
        formed.then(|| bytes.iter().copied().filter(|byte| *byte != b'-').collect())?
    } else {
        (bytes.len() >= 16 && bytes.len().is_multiple_of(2)).then(|| bytes.to_vec())?
    };
    let mut out = vec![PACKED, if bytes.len() == 36 { PACKED_UUID } else { PACKED_HEX }];
    for pair in digits.chunks(2) {
        let digit = |at: usize| {
            pair.get(at).filter(|byte| !byte.is_ascii_uppercase()).and_then(|b| char::from(*b).to_digit(16))
        };
        out.push(u8::try_from(digit(0)? << 4 | digit(1)?).ok()?);
    }
    Some(out)
}

/// Words by number: a number is never given a second meaning.
trait Words: Sized + Copy + PartialEq + 'static {
    const WORDS: &'static [(Self, u64)];

    fn code(self) -> Option<u64> {
        Self::WORDS.iter().find(|(word, _)| *word == self).map(|(_, code)| *code)
    }

    fn of(code: u64) -> Option<Self> {
        Self::WORDS.iter().find(|(_, own)| *own == code).map(|(word, _)| *word)
    }
}

impl Words for RequestState {
    const WORDS: &'static [(Self, u64)] =
        &[(Self::Completed, 1), (Self::Interrupted, 2), (Self::Canceled, 3), (Self::Failed, 4)];
}

impl Words for AttemptOutcome {
    const WORDS: &'static [(Self, u64)] =
        &[(Self::Answered, 1), (Self::Failed, 2), (Self::TimedOut, 3), (Self::Interrupted, 4), (Self::Canceled, 5)];
}

impl Words for CacheOutcome {
    // The usual one has no number: it is left out.
    const WORDS: &'static [(Self, u64)] = &[(Self::Hit, 1), (Self::Miss, 2), (Self::Shared, 3)];
}

impl Words for CostSource {
    const WORDS: &'static [(Self, u64)] =
        &[(Self::Computed, 1), (Self::Reported, 2), (Self::Estimated, 3), (Self::Unpriced, 4), (Self::Free, 5)];
}

/// The number of a state by its word.
pub(super) fn state_code(word: &str) -> Option<u64> {
    RequestState::WORDS.iter().find(|(state, _)| state.word() == word).map(|(_, code)| *code)
}

/// The number of a cache's outcome by its word.
pub(super) fn cache_code(word: &str) -> Option<u64> {
    CacheOutcome::WORDS.iter().find(|(outcome, _)| outcome.word() == word).map(|(_, code)| *code)
}

impl<T: Words + Default> Shape<T> for Word {
    fn put(out: &mut Writer<'_>, tag: u64, field: &T) {
        if let Some(code) = field.code() {
            out.number(tag, code);
        }
    }

    fn take(field: &mut T, value: Value<'_>, _: &dyn Names) -> Option<()> {
        *field = T::of(value.number()?).unwrap_or_default();
        Some(())
    }
}

impl Shape<Option<CostSource>> for Word {
    fn put(out: &mut Writer<'_>, tag: u64, field: &Option<CostSource>) {
        if let Some(code) = field.and_then(Words::code) {
            out.number(tag, code);
        }
    }

    fn take(field: &mut Option<CostSource>, value: Value<'_>, _: &dyn Names) -> Option<()> {
        *field = CostSource::of(value.number()?);
        Some(())
    }
}

fn put_inner<T: Layout>(out: &mut Writer<'_>, tag: u64, field: &T) {
    let mut inner = out.inner(VERSION);
    field.put(&mut inner);
    let bytes = inner.out;
    out.bytes(tag, &bytes);
}

/// Reads every field of bytes that have a layout.
pub(super) fn take_inner<T: Layout>(bytes: &[u8], names: &dyn Names) -> Option<T> {
    let mut fields = Fields::of(bytes, OLDEST..=VERSION)?;
    let mut out = T::default();
    while let Some((tag, value)) = fields.next()? {
        out.take(tag, value, names)?;
    }
    Some(out)
}

macro_rules! lists {
    ($($type:ty),*) => { $(
        impl Shape<Vec<$type>> for Inner {
            fn put(out: &mut Writer<'_>, tag: u64, field: &Vec<$type>) {
                field.iter().for_each(|one| put_inner(out, tag, one));
            }

            fn take(field: &mut Vec<$type>, value: Value<'_>, names: &dyn Names) -> Option<()> {
                field.push(take_inner(value.bytes()?, names)?);
                Some(())
            }
        }
    )* };
}
lists!(AttemptRecord, Budgeted, PlannedDeployment);

impl<T: Layout> Shape<Option<T>> for Inner {
    fn put(out: &mut Writer<'_>, tag: u64, field: &Option<T>) {
        if let Some(one) = field {
            put_inner(out, tag, one);
        }
    }

    fn take(field: &mut Option<T>, value: Value<'_>, names: &dyn Names) -> Option<()> {
        *field = Some(take_inner(value.bytes()?, names)?);
        Some(())
    }
}

/// Raw objects beyond this are not kept.
const MOST_RAW: usize = 2_048;
/// Texts up to this length and without digits belong to an object's form.
const SHORT_TEXT: usize = 24;
/// Stands in a form where a value was.
const HOLE: char = '\u{1}';

impl Shape<Option<RawUsage>> for Raw {
    fn put(out: &mut Writer<'_>, tag: u64, field: &Option<RawUsage>) {
        let Some(raw) = field else { return };
        if out.names.has_any() {
            let (mut form, mut values) = (String::new(), Vec::new());
            split(&raw.value(), &mut form, &mut values);
            if let Some(id) = out.number_of(&form, Room::Told) {
                let mut packed = vec![PACKED];
                varint(&mut packed, u64::from(id));
                packed.extend(values);
                return out.bytes(tag, &packed);
            }
        }
        if raw.text().len() <= MOST_RAW {
            out.bytes(tag, raw.text().as_bytes());
        }
    }

    fn take(field: &mut Option<RawUsage>, value: Value<'_>, names: &dyn Names) -> Option<()> {
        let bytes = value.bytes()?;
        let raw: Option<Json> = match bytes.split_first() {
            Some((&PACKED, packed)) => joined(packed, names),
            _ => serde_json::from_slice(bytes).ok(),
        };
        *field = raw.map(Into::into);
        Some(())
    }
}

/// Writes the form of a value with a hole for everything that changes from answer to answer, and what stood in the holes.
fn split(value: &Json, form: &mut String, values: &mut Vec<u8>) {
    match value {
        Json::Object(fields) => {
            form.push('{');
            for (at, (name, value)) in fields.iter().enumerate() {
                if at > 0 {
                    form.push(',');
                }
                form.push_str(&Json::from(name.as_str()).to_string());
                form.push(':');
                split(value, form, values);
            }
            form.push('}');
        }
        Json::Array(items) => {
            form.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    form.push(',');
                }
                split(item, form, values);
            }
            form.push(']');
        }
        Json::Number(number) => {
            form.push(HOLE);
            match number.as_u64().filter(|number| *number < 1 << 63) {
                Some(number) => varint(values, number << 1),
                None => put_token(values, &number.to_string()),
            }
        }
        Json::String(text) if text.len() > SHORT_TEXT || text.bytes().any(|byte| byte.is_ascii_digit()) => {
            form.push(HOLE);
            put_token(values, &value.to_string());
        }
        // JSON writes control characters escaped, so a text never looks like a hole.
        other => form.push_str(&other.to_string()),
    }
}

fn put_token(values: &mut Vec<u8>, token: &str) {
    varint(values, (token.len() as u64) << 1 | 1);
    values.extend_from_slice(token.as_bytes());
}

fn joined(mut packed: &[u8], names: &dyn Names) -> Option<Json> {
    let id = u32::try_from(take_varint(&mut packed)?).ok()?;
    let mut text = String::new();
    for (at, piece) in names.text(id)?.split(HOLE).enumerate() {
        if at > 0 {
            let mut ahead = packed;
            let head = take_varint(&mut ahead)?;
            if head & 1 == 0 {
                packed = ahead;
                text.push_str(&(head >> 1).to_string());
            } else {
                let (token, rest) = ahead.split_at_checked(usize::try_from(head >> 1).ok()?)?;
                packed = rest;
                text.push_str(std::str::from_utf8(token).ok()?);
            }
        }
        text.push_str(piece);
    }
    serde_json::from_str(&text).ok()
}
