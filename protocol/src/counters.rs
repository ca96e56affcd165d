//! A usage object, looked through by name: its numbers and texts, at the top and one level down.
//!
//! Every answer is looked through for some dozens of names. Where the bytes pass unchanged no tree is built for that; where one is there already it is
//! borrowed. Knows JSON and no format.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Where a value stands: the object that it is in (nothing for the outermost one) and its name.
pub(crate) type Place = (&'static str, &'static str);

/// The numbers and texts of a usage object.
#[derive(Debug, Default)]
pub(crate) struct Counters<'a>(Vec<Entry<'a>>);

#[derive(Debug)]
struct Entry<'a> {
    group: Cow<'a, str>,
    name: Cow<'a, str>,
    leaf: Leaf<'a>,
}

#[derive(Debug)]
enum Leaf<'a> {
    Number(Number),
    Text(Cow<'a, str>),
    /// A list, a flag, `null`: it has a place and counts nothing.
    Other,
}

impl<'a> Counters<'a> {
    /// Reads JSON text; `None` if it is no object.
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        let mut entries = Vec::with_capacity(16);
        let mut reader = serde_json::Deserializer::from_slice(text);
        let at = At { group: None, name: Cow::Borrowed(""), entries: &mut entries };
        let is_object = text.trim_ascii_start().first() == Some(&b'{');
        (is_object && at.deserialize(&mut reader).is_ok()).then_some(Self(entries))
    }

    /// Looks at a tree.
    pub(crate) fn of(fields: &'a Map<String, Value>) -> Self {
        let mut entries = Vec::with_capacity(16);
        for (name, value) in fields {
            match value {
                Value::Object(inner) => entries.extend(inner.iter().map(|(inner, value)| entry(name, inner, value))),
                other => entries.push(entry("", name, other)),
            }
        }
        Self(entries)
    }

    /// The number at a place. Of repeated names the last one counts.
    pub(crate) fn number(&self, place: Place) -> Option<&Number> {
        match self.leaf(place)? {
            Leaf::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The text at a place.
    pub(crate) fn text(&self, place: Place) -> Option<&str> {
        match self.leaf(place)? {
            Leaf::Text(text) => Some(text),
            _ => None,
        }
    }

    fn leaf(&self, (group, name): Place) -> Option<&Leaf<'a>> {
        let own = |entry: &&Entry<'_>| entry.name == name && entry.group == group;
        self.0.iter().rev().find(own).map(|entry| &entry.leaf)
    }
}

fn entry<'a>(group: &'a str, name: &'a str, value: &'a Value) -> Entry<'a> {
    let leaf = match value {
        Value::Number(number) => Leaf::Number(number.clone()),
        Value::String(text) => Leaf::Text(Cow::Borrowed(text)),
        _ => Leaf::Other,
    };
    Entry { group: Cow::Borrowed(group), name: Cow::Borrowed(name), leaf }
}

/// Reads a value at a place; an object is gone into if it stands no deeper than one level.
struct At<'a, 'e> {
    /// The object around; `None`: this is the outermost one.
    group: Option<Cow<'a, str>>,
    name: Cow<'a, str>,
    entries: &'e mut Vec<Entry<'a>>,
}

impl<'a> At<'a, '_> {
    fn push(self, leaf: Leaf<'a>) {
        self.entries.push(Entry { group: self.group.unwrap_or_default(), name: self.name, leaf });
    }
}

impl<'de> DeserializeSeed<'de> for At<'de, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.push(Leaf::Number(number.into()));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.push(Leaf::Number(number.into()));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.push(Number::from_f64(number).map_or(Leaf::Other, Leaf::Number));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.push(Leaf::Text(Cow::Borrowed(text)));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.push(Leaf::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.push(Leaf::Other);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.push(Leaf::Other);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        self.push(Leaf::Other);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let Self { group, name, entries } = self;
        while let Some(Name(inner)) = fields.next_key()? {
            match &group {
                // The outermost object: its fields have no group.
                None => fields.next_value_seed(At { group: Some("".into()), name: inner, entries: &mut *entries })?,
                Some(around) if around.is_empty() => {
                    fields.next_value_seed(At { group: Some(name.clone()), name: inner, entries: &mut *entries })?;
                }
                Some(_) => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A field's name, borrowed unless it holds escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_and_tree_are_looked_through_alike() {
        let value = json!({
            "a": 1, "b": -2, "c": 1.5, "d": "word", "e": null, "f": [1, {"a": 9}], "g": true,
            "h": {"a": 7, "b": {"a": 8}, "c": "in"}, "quo\"ted": 3,
        });
        let text = value.to_string();
        let read = Counters::read(text.as_bytes()).unwrap();
        let of = Counters::of(value.as_object().unwrap());
        for counters in [&read, &of] {
            let number = |place| counters.number(place).map(Number::to_string);
            assert_eq!(number(("", "a")).as_deref(), Some("1"));
            assert_eq!(number(("", "b")).as_deref(), Some("-2"));
            assert_eq!(number(("", "c")).as_deref(), Some("1.5"));
            assert_eq!(number(("h", "a")).as_deref(), Some("7"));
            assert_eq!(number(("", "quo\"ted")).as_deref(), Some("3"));
            for nothing in [("", "e"), ("", "f"), ("", "g"), ("", "h"), ("h", "b"), ("f", "a"), ("b", "a"), ("", "z")] {
                assert_eq!(number(nothing), None, "{nothing:?}");
            }
            assert_eq!((counters.text(("", "d")), counters.text(("h", "c"))), (Some("word"), Some("in")));
        }
    }

    #[test]
    fn the_last_of_repeated_names_counts() {
        let counters = Counters::read(br#"{"a": 1, "h": {"a": 2}, "a": 3, "h": {"a": 4}}"#).unwrap();
        assert_eq!(counters.number(("", "a")).and_then(Number::as_u64), Some(3));
        assert_eq!(counters.number(("h", "a")).and_then(Number::as_u64), Some(4));
    }

    #[test]
    fn what_is_no_object_has_no_counters() {
        for text in ["null", "7", "[]", "\"{}\"", "{", "{\"a\":}", ""] {
            assert!(Counters::read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
