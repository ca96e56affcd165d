//! Taking known fields out of JSON objects, so that what is left are the fields that nobody knows.
//!
//! Formats that come from protobuf (Gemini) accept `camelCase` and `snake_case` alike: [`Fields::take`] looks for both.

use std::fmt;

use serde_json::{Map, Value};

use crate::{ApiFormat, DecodeError};

/// Where in a document something lies; costs nothing until it is written out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'a> {
    /// The document.
    Root,
    /// A field of what lies at the first path.
    Key(&'a Path<'a>, &'a str),
    /// An element of the list that lies at the first path.
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Key(parent, key) => write!(f, "{parent}/{}", key.replace('~', "~0").replace('/', "~1")),
            Path::Index(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

/// A JSON object from which known fields are taken one by one. A `null` counts as absent.
#[derive(Debug)]
pub(crate) struct Fields<'p> {
    format: ApiFormat,
    path: &'p Path<'p>,
    map: Map<String, Value>,
}

impl<'p> Fields<'p> {
    /// The fields of `value`, which must be an object.
    pub(crate) fn of(value: Value, format: ApiFormat, path: &'p Path<'p>) -> Result<Self, DecodeError> {
        match value {
            Value::Object(map) => Ok(Self { format, path, map }),
            _ => Err(DecodeError::new(format, path.to_string(), "is not an object")),
        }
    }

    /// The document itself.
    pub(crate) fn parse(body: &[u8], format: ApiFormat) -> Result<Fields<'static>, DecodeError> {
        let value = serde_json::from_slice(body).map_err(|error| DecodeError::json(format, &error))?;
        Fields::of(value, format, &Path::Root)
    }

    /// Takes a field out, by its name or by the `snake_case` form of its name.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let taken = self.map.shift_remove(name).or_else(|| {
            let snake = name.bytes().any(|byte| byte.is_ascii_uppercase()).then(|| snake_case(name))?;
            self.map.shift_remove(&snake)
        })?;
        (!taken.is_null()).then_some(taken)
    }

    /// A string.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, DecodeError> {
        self.read(name, "is not a string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// A truth value.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, DecodeError> {
        self.read(name, "is not a boolean", |value| value.as_bool())
    }

    /// A number, also when it is written as a string, as protobuf's JSON allows.
    pub(crate) fn float(&mut self, name: &str) -> Result<Option<f64>, DecodeError> {
        self.read(name, "is not a number", |value| match value {
            Value::String(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
            value => value.as_f64(),
        })
    }

    /// A whole number of any sign; `40.0` is one.
    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<i64>, DecodeError> {
        self.read(name, "is not a whole number", |value| whole_number(&value))
    }

    /// A whole number that is not negative.
    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u64>, DecodeError> {
        self.read(name, "is not a count", |value| match value {
            Value::Number(ref number) if number.is_u64() => number.as_u64(),
            value => whole_number(&value).and_then(|number| u64::try_from(number).ok()),
        })
    }

    /// A list.
    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, DecodeError> {
        self.read(name, "is not a list", |value| match value {
            Value::Array(list) => Some(list),
            _ => None,
        })
    }

    /// A list, or a single thing in its place.
    pub(crate) fn list_or_one(&mut self, name: &str) -> Vec<Value> {
        match self.take(name) {
            None => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(one) => vec![one],
        }
    }

    /// An object.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, DecodeError> {
        self.read(name, "is not an object", |value| match value {
            Value::Object(map) => Some(map),
            _ => None,
        })
    }

    /// Puts a field back that turned out to be unreadable here but may mean something at home.
    pub(crate) fn put_back(&mut self, name: &str, value: Value) {
        self.map.insert(name.to_owned(), value);
    }

    /// Whether a field is there, in either spelling.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.get(name).or_else(|| self.map.get(&snake_case(name))).is_some_and(|value| !value.is_null())
    }

    /// What nobody took.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.map
    }

    /// Trouble with the field `name`.
    pub(crate) fn error(&self, name: &str, message: &str) -> DecodeError {
        DecodeError::new(self.format, Path::Key(self.path, name).to_string(), message)
    }

    fn read<T>(
        &mut self,
        name: &str,
        complaint: &str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<Option<T>, DecodeError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.error(name, complaint)),
        }
    }
}

/// A whole number, written as number or string.
fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            // 2^53: beyond it a float no longer says which whole number was meant.
            (float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0).then_some(float as i64)
        }),
        _ => None,
    }
}

/// `fooBarBaz` → `foo_bar_baz`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// Sets a field if there is something to set.
pub(crate) fn set(map: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), value.into());
    }
}

/// A number as JSON: whole where it is whole, so that `1` does not come back as `1.0`.
pub(crate) fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { Value::from(value as i64) } else { Value::from(value) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields<'static> {
        Fields::of(value, ApiFormat::Gemini, &Path::Root).unwrap()
    }

    #[test]
    fn both_spellings_are_taken_and_the_rest_stays_in_order() {
        let mut fields = fields(json!({"z": 1, "top_k": 40.0, "a": 2, "maxOutputTokens": "5", "topP": null}));
        assert_eq!(fields.count("topK").unwrap(), Some(40));
        assert_eq!(fields.count("maxOutputTokens").unwrap(), Some(5));
        assert_eq!(fields.float("topP").unwrap(), None);
        let rest = fields.rest();
        assert_eq!(rest.keys().collect::<Vec<_>>(), ["z", "a"]);
    }

    #[test]
    fn trouble_names_its_place() {
        let root = Path::Root;
        let list = Path::Key(&root, "a/b");
        let place = Path::Index(&list, 3);
        let mut fields = Fields::of(json!({"text": 4}), ApiFormat::Gemini, &place).unwrap();
        assert_eq!(fields.text("text").unwrap_err().pointer, "/a~1b/3/text");
    }

    #[test]
    fn a_float_that_is_no_whole_number_is_no_count() {
        assert!(fields(json!({"n": 1.5})).count("n").is_err());
        assert!(fields(json!({"n": -1})).count("n").is_err());
        assert!(fields(json!({"n": 1e300})).integer("n").is_err());
        assert_eq!(fields(json!({"n": u64::MAX})).count("n").unwrap(), Some(u64::MAX));
    }
}
