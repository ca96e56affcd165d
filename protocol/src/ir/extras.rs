//! Vendor fields that the unified model has no word for.

use serde_json::{Map, Value};

use crate::ApiFormat;

/// Fields kept raw, tagged with the format that they came from.
///
/// An encoder of the same format writes them back verbatim and in order; any other encoder reports them as
/// [`Loss`](super::Loss)es. Empty costs one pointer.
///
/// A name that begins with `@` is a codec's own note about the shape of its wire (where a tool was declared, whether a default was
/// spelled out): it is no field, is never written as one, and is never a loss. Nor is a `null`, which says nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extras(Option<Box<(ApiFormat, Map<String, Value>)>>);

impl Extras {
    /// No extra fields.
    pub const NONE: Self = Self(None);

    /// Keeps `fields` for `format`; an empty map costs nothing.
    pub fn new(format: ApiFormat, fields: Map<String, Value>) -> Self {
        if fields.is_empty() { Self(None) } else { Self(Some(Box::new((format, fields)))) }
    }

    /// The fields to write back when encoding to `format`.
    pub fn for_format(&self, format: ApiFormat) -> Option<&Map<String, Value>> {
        self.0.as_deref().filter(|(own, _)| *own == format).map(|(_, fields)| fields)
    }

    /// The names that an encoder of `format` cannot carry, to be reported as losses. An explicit `null` says nothing that could be lost.
    pub fn foreign_to(&self, format: ApiFormat) -> impl Iterator<Item = &str> {
        self.0
            .as_deref()
            .filter(move |(own, _)| *own != format)
            .into_iter()
            .flat_map(|(_, fields)| fields.iter())
            .filter(|(name, value)| !name.starts_with('@') && !value.is_null())
            .map(|(name, _)| name.as_str())
    }

    /// One field, whatever format it came from. For knowledge that formats share under the same name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.as_deref().and_then(|(_, fields)| fields.get(name))
    }

    /// The format that the fields came from.
    pub fn origin(&self) -> Option<ApiFormat> {
        self.0.as_deref().map(|(format, _)| *format)
    }

    /// Adds one field for `format`. Fields of another format that were there before are replaced.
    pub fn insert(&mut self, format: ApiFormat, name: impl Into<String>, value: Value) {
        match self.0.as_deref_mut() {
            Some((own, fields)) if *own == format => {
                fields.insert(name.into(), value);
            }
            _ => {
                let mut fields = Map::new();
                fields.insert(name.into(), value);
                self.0 = Some(Box::new((format, fields)));
            }
        }
    }

    /// Takes one field out, dropping the map with its last field.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let (_, fields) = self.0.as_deref_mut()?;
        let taken = fields.shift_remove(name);
        if fields.is_empty() {
            self.0 = None;
        }
        taken
    }

    /// Whether there is nothing to carry.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn notes_and_nulls_are_no_losses() {
        let mut extras = Extras::NONE;
        for (name, value) in [("@shape", json!(1)), ("truncation", Value::Null), ("client_metadata", json!({}))] {
            extras.insert(ApiFormat::OpenaiResponses, name, value);
        }
        assert_eq!(extras.foreign_to(ApiFormat::Gemini).collect::<Vec<_>>(), ["client_metadata"]);
        assert_eq!(extras.foreign_to(ApiFormat::OpenaiResponses).count(), 0);
    }
}
