//! Taking typed fields out of a JSON object. What is not taken stays, and becomes the extras.
//!
//! A `null` is not taken: it says nothing, but goes back out as it came.

use serde_json::{Map, Value};

use crate::{ApiFormat, DecodeError};

pub(super) const FORMAT: ApiFormat = ApiFormat::OpenaiResponses;

/// A JSON object whose fields are taken one by one.
pub(super) type Fields = Map<String, Value>;

/// Takes a field if `read` understands it.
fn take<T>(
    fields: &mut Fields,
    at: &str,
    name: &str,
    wanted: &str,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, DecodeError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match read(value) {
            Some(taken) => {
                fields.shift_remove(name);
                Ok(Some(taken))
            }
            None => Err(DecodeError::new(FORMAT, format!("{at}/{name}"), format!("is not {wanted}"))),
        },
    }
}

/// Takes a string.
pub(super) fn string(fields: &mut Fields, at: &str, name: &str) -> Result<Option<String>, DecodeError> {
    take(fields, at, name, "a string", |value| value.as_str().map(str::to_owned))
}

/// Takes a boolean.
pub(super) fn boolean(fields: &mut Fields, at: &str, name: &str) -> Result<Option<bool>, DecodeError> {
    take(fields, at, name, "a boolean", Value::as_bool)
}

/// Takes a number.
pub(super) fn number(fields: &mut Fields, at: &str, name: &str) -> Result<Option<f64>, DecodeError> {
    take(fields, at, name, "a number", Value::as_f64)
}

/// Takes a whole number from zero up; `5.0` counts as one.
pub(super) fn integer(fields: &mut Fields, at: &str, name: &str) -> Result<Option<u64>, DecodeError> {
    take(fields, at, name, "a whole number", whole)
}

/// Takes an object.
pub(super) fn object(fields: &mut Fields, at: &str, name: &str) -> Result<Option<Fields>, DecodeError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(_)) => match fields.shift_remove(name) {
            Some(Value::Object(inner)) => Ok(Some(inner)),
            _ => Ok(None),
        },
        Some(_) => Err(DecodeError::new(FORMAT, format!("{at}/{name}"), "is not an object")),
    }
}

/// Takes a list.
pub(super) fn list(fields: &mut Fields, at: &str, name: &str) -> Result<Option<Vec<Value>>, DecodeError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(_)) => match fields.shift_remove(name) {
            Some(Value::Array(items)) => Ok(Some(items)),
            _ => Ok(None),
        },
        Some(_) => Err(DecodeError::new(FORMAT, format!("{at}/{name}"), "is not a list")),
    }
}

/// Takes a string where anything else is left alone: for items, whose unknown shapes are kept whole and never refused.
pub(super) fn text(fields: &mut Fields, name: &str) -> Option<String> {
    string(fields, "", name).ok().flatten()
}

/// Reads a whole number, also one that was written with a fraction of zero.
pub(super) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        value
            .as_f64()
            .filter(|number| number.fract() == 0.0 && (0.0..9.0e15).contains(number))
            .map(|number| number as u64)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        match value {
            Value::Object(fields) => fields,
            _ => Fields::new(),
        }
    }

    #[test]
    fn a_null_stays_and_a_wrong_type_is_named() {
        let mut body = fields(json!({"a": null, "b": "x", "c": 5.0, "d": {}}));
        assert_eq!(string(&mut body, "", "a"), Ok(None));
        assert!(body.contains_key("a"));
        assert_eq!(string(&mut body, "", "b"), Ok(Some("x".into())));
        assert!(!body.contains_key("b"));
        assert_eq!(integer(&mut body, "", "c"), Ok(Some(5)));
        let error = list(&mut body, "/tools/0", "d").expect_err("an object is no list");
        assert_eq!(error.pointer, "/tools/0/d");
    }
}
