//! Reading and writing JSON objects field by field.
//!
//! [`Fields`] splits an object into its fields without building values, so that what a codec knows is read straight into its own types, what it
//! does not know stays behind for [`Extras`](crate::ir::Extras), and text that must keep its bytes (arguments of tools) is never parsed.
//! [`Object`] and [`List`] write without building values, for the same reason.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::{ApiFormat, DecodeError};

/// The fields of one object, not yet read.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    format: ApiFormat,
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// Splits the object in `text`.
    pub(crate) fn parse(format: ApiFormat, text: &'a str) -> Result<Self, DecodeError> {
        let entries: Entries<'a> = serde_json::from_str(text).map_err(|error| DecodeError::json(format, &error))?;
        Ok(Self { format, entries: entries.0 })
    }

    /// Splits a whole body, which must be UTF-8.
    pub(crate) fn parse_bytes(format: ApiFormat, body: &'a [u8]) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(body).map_err(|_| DecodeError::new(format, "", "body is not UTF-8"))?;
        Self::parse(format, text)
    }

    /// Takes one field as it stands. `null` counts as absent. Of repeated names the last one counts.
    pub(crate) fn raw(&mut self, name: &str) -> Option<&'a RawValue> {
        let mut found = None;
        self.entries.retain(|(own, value)| {
            let hit = own == name;
            if hit {
                found = Some(*value);
            }
            !hit
        });
        found.filter(|value| value.get() != "null")
    }

    /// Takes and reads one field. `null` counts as absent.
    pub(crate) fn get<T: Deserialize<'a>>(&mut self, name: &str) -> Result<Option<T>, DecodeError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        read(self.format, raw).at(name).map(Some)
    }

    /// Takes and reads one field that must be there.
    pub(crate) fn require<T: Deserialize<'a>>(&mut self, name: &str) -> Result<T, DecodeError> {
        self.get(name)?.ok_or_else(|| DecodeError::new(self.format, format!("/{name}"), "is missing"))
    }

    /// The names that are left.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_ref())
    }

    /// What was not taken, in order.
    pub(crate) fn rest(self) -> Result<Map<String, Value>, DecodeError> {
        let format = self.format;
        let mut rest = Map::new();
        for (name, raw) in self.entries {
            let value = read(format, raw).at(&name)?;
            rest.insert(name.into_owned(), value);
        }
        Ok(rest)
    }
}

/// Reads one value.
pub(crate) fn read<'a, T: Deserialize<'a>>(format: ApiFormat, raw: &'a RawValue) -> Result<T, DecodeError> {
    serde_json::from_str(raw.get()).map_err(|error| DecodeError::json(format, &error))
}

/// Whether the value is a string, list, object …: its first character.
pub(crate) fn first_char(raw: &RawValue) -> char {
    raw.get().chars().next().unwrap_or(' ')
}

/// Says where an error happened, from the inside out.
pub(crate) trait At {
    /// Puts one step of a JSON pointer before what is known.
    fn at(self, step: impl fmt::Display) -> Self;
}

impl<T> At for Result<T, DecodeError> {
    fn at(self, step: impl fmt::Display) -> Self {
        self.map_err(|mut error| {
            error.pointer = format!("/{step}{}", error.pointer);
            error
        })
    }
}

struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    entries.push((name, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// A field's name, borrowed unless it holds escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Writes one object.
#[derive(Debug)]
pub(crate) struct Object<'b> {
    out: &'b mut Vec<u8>,
    empty: bool,
}

/// Writes `{…}` with the fields that `write` adds.
pub(crate) fn object(out: &mut Vec<u8>, write: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    write(&mut Object { out, empty: true });
    out.push(b'}');
}

/// Writes `[…]` with the items that `write` adds.
pub(crate) fn list(out: &mut Vec<u8>, write: impl FnOnce(&mut List<'_>)) {
    out.push(b'[');
    write(&mut List { out, empty: true });
    out.push(b']');
}

/// Writes one value.
pub(crate) fn value<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let start = out.len();
    // Only maps with keys that are no strings can fail, and nobody here has one.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

impl Object<'_> {
    /// A field of any value.
    pub(crate) fn value<T: Serialize + ?Sized>(&mut self, name: &str, content: &T) {
        value(self.name(name), content);
    }

    /// A field, if it is known.
    pub(crate) fn some<T: Serialize>(&mut self, name: &str, content: Option<T>) {
        if let Some(content) = content {
            self.value(name, &content);
        }
    }

    /// A field whose JSON text is at hand. The caller knows that it is valid.
    pub(crate) fn raw(&mut self, name: &str, text: &str) {
        self.name(name).extend_from_slice(text.as_bytes());
    }

    /// A field that is an object.
    pub(crate) fn object(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) {
        object(self.name(name), write);
    }

    /// A field that is a list.
    pub(crate) fn list(&mut self, name: &str, write: impl FnOnce(&mut List<'_>)) {
        list(self.name(name), write);
    }

    /// Many fields.
    pub(crate) fn fields<'f>(&mut self, fields: impl IntoIterator<Item = (&'f String, &'f Value)>) {
        for (name, content) in fields {
            self.value(name, content);
        }
    }

    /// The name of a field; what is written to the answer must be one value.
    pub(crate) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        value(self.out, name);
        self.out.push(b':');
        self.out
    }
}

/// Writes one list.
#[derive(Debug)]
pub(crate) struct List<'b> {
    out: &'b mut Vec<u8>,
    empty: bool,
}

impl List<'_> {
    /// An item of any value.
    pub(crate) fn value<T: Serialize + ?Sized>(&mut self, content: &T) {
        value(self.item(), content);
    }

    /// An item that is an object.
    pub(crate) fn object(&mut self, write: impl FnOnce(&mut Object<'_>)) {
        object(self.item(), write);
    }

    /// The place of an item; what is written to the answer must be one value.
    pub(crate) fn item(&mut self) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        self.out
    }
}

/// The arguments of a call as the JSON object that the wire wants, byte for byte as the model wrote them. The flag says that they were
/// no object and had to be packed into one.
pub(crate) fn arguments_object(arguments: &str) -> (Cow<'_, str>, bool) {
    let trimmed = arguments.trim();
    if trimmed.is_empty() {
        return (Cow::Borrowed("{}"), false);
    }
    if trimmed.starts_with('{') && serde_json::from_str::<&RawValue>(trimmed).is_ok() {
        return (Cow::Borrowed(trimmed), false);
    }
    let mut packed = Vec::new();
    object(&mut packed, |object| object.value("input", arguments));
    (Cow::Owned(String::from_utf8_lossy(&packed).into_owned()), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: ApiFormat = ApiFormat::AnthropicMessages;

    #[test]
    fn fields_are_taken_by_name_and_the_rest_keeps_its_order() {
        let mut fields = Fields::parse(FORMAT, r#"{"z":1,"a":null,"b":"x","z":2,"c":[1.50],"d":null}"#).unwrap();
        assert_eq!(fields.get::<u64>("z").unwrap(), Some(2));
        assert_eq!(fields.get::<String>("a").unwrap(), None);
        assert_eq!(fields.get::<String>("b").unwrap(), Some("x".into()));
        let rest = fields.rest().unwrap();
        assert_eq!(serde_json::to_string(&rest).unwrap(), r#"{"c":[1.5],"d":null}"#);
    }

    #[test]
    fn an_error_tells_where() {
        let mut fields = Fields::parse(FORMAT, r#"{"a":"x"}"#).unwrap();
        let error = fields.get::<u64>("a").at(3).at("messages").unwrap_err();
        assert_eq!(error.pointer, "/messages/3/a");
        assert_eq!(fields.require::<u64>("b").unwrap_err().pointer, "/b");
        assert!(Fields::parse(FORMAT, "[]").is_err());
        assert!(Fields::parse_bytes(FORMAT, b"\xff").is_err());
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        let deep = format!(r#"{{"a":{}}}"#, "[".repeat(100_000));
        assert!(Fields::parse(FORMAT, &deep).is_err());
        let closed = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        if let Ok(fields) = Fields::parse(FORMAT, &closed) {
            assert!(fields.rest().is_err());
        }
    }

    #[test]
    fn objects_are_written_with_commas_between_and_names_escaped() {
        let mut out = Vec::new();
        object(&mut out, |o| {
            o.value("a\"", "x");
            o.some("none", None::<u64>);
            o.raw("raw", "{ \"k\" : 1.0 }");
            o.list("l", |l| {
                l.value(&1);
                l.object(|_| {});
            });
        });
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a\"":"x","raw":{ "k" : 1.0 },"l":[1,{}]}"#);
    }

    #[test]
    fn arguments_keep_their_bytes_if_they_are_an_object() {
        assert_eq!(arguments_object("{ \"a\": 1.0e0 }"), (r#"{ "a": 1.0e0 }"#.into(), false));
        assert_eq!(arguments_object(""), ("{}".into(), false));
        assert_eq!(arguments_object("[1]"), (r#"{"input":"[1]"}"#.into(), true));
        assert_eq!(arguments_object("{\"a\":"), (r#"{"input":"{\"a\":"}"#.into(), true));
    }
}
