//! The shape of Chat's JSON: readers that take fields out of objects, and writers of chunks.
//!
//! Requests are read strictly (a client learns which field is wrong), answers leniently (a host's oddity must not cost the answer). Fields
//! are taken out of an object in one pass, so what is left over is exactly what becomes extras, in the order of the wire.

use serde_json::{Map, Number, Value};

use crate::{ApiFormat, DecodeError};

/// The format of this folder.
pub(crate) const FORMAT: ApiFormat = ApiFormat::OpenaiChat;

/// A JSON object, keys in the order of the wire.
pub(crate) type Object = Map<String, Value>;

/// Strict readers for what a client sent: `null` is absent, another type is an error that names the place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expect(pub(crate) ApiFormat);

/// The strict readers of this folder.
pub(super) const IN: Expect = Expect(FORMAT);

impl Expect {
    pub(crate) fn error(self, at: &str, message: impl Into<String>) -> DecodeError {
        DecodeError::new(self.0, at, message)
    }

    /// The whole body as one object.
    pub(crate) fn body(self, body: &[u8]) -> Result<Object, DecodeError> {
        match serde_json::from_slice(body).map_err(|error| DecodeError::json(self.0, &error))? {
            Value::Object(fields) => Ok(fields),
            _ => Err(self.error("", "expected an object")),
        }
    }

    pub(crate) fn string(self, value: Value, at: &str) -> Result<Option<String>, DecodeError> {
        match value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text)),
            _ => Err(self.error(at, "expected a string")),
        }
    }

    pub(crate) fn bool(self, value: &Value, at: &str) -> Result<Option<bool>, DecodeError> {
        match value {
            Value::Null => Ok(None),
            Value::Bool(flag) => Ok(Some(*flag)),
            _ => Err(self.error(at, "expected a boolean")),
        }
    }

    pub(crate) fn f64(self, value: &Value, at: &str) -> Result<Option<f64>, DecodeError> {
        match value {
            Value::Null => Ok(None),
            other => other.as_f64().map(Some).ok_or_else(|| self.error(at, "expected a number")),
        }
    }

    pub(crate) fn u64(self, value: &Value, at: &str) -> Result<Option<u64>, DecodeError> {
        match value {
            Value::Null => Ok(None),
            other => count(other).map(Some).ok_or_else(|| self.error(at, "expected a whole number of at least 0")),
        }
    }

    pub(crate) fn u32(self, value: &Value, at: &str) -> Result<Option<u32>, DecodeError> {
        self.u64(value, at)?
            .map(|wide| u32::try_from(wide).map_err(|_| self.error(at, "number is too large")))
            .transpose()
    }

    pub(crate) fn i64(self, value: &Value, at: &str) -> Result<Option<i64>, DecodeError> {
        match value {
            Value::Null => Ok(None),
            other => other.as_i64().map(Some).ok_or_else(|| self.error(at, "expected a whole number")),
        }
    }

    pub(crate) fn object(self, value: Value, at: &str) -> Result<Object, DecodeError> {
        match value {
            Value::Object(fields) => Ok(fields),
            _ => Err(self.error(at, "expected an object")),
        }
    }

    pub(crate) fn array(self, value: Value, at: &str) -> Result<Vec<Value>, DecodeError> {
        match value {
            Value::Array(items) => Ok(items),
            _ => Err(self.error(at, "expected a list")),
        }
    }
}

/// A whole number of at least zero; hosts sometimes write `3.0`.
pub(crate) fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => whole(number),
        _ => None,
    }
}

/// A whole number from zero up; `5.0` counts as one.
pub(crate) fn whole(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let float = number.as_f64()?;
        // Above 2^53 a float no longer counts exactly.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range and wholeness are checked")]
        ((0.0..=9_007_199_254_740_992.0).contains(&float) && float.fract() == 0.0).then_some(float as u64)
    })
}

/// A number without a needless `.0`.
pub(crate) fn number(float: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "range and wholeness are checked")]
    if float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 {
        return Value::from(float as i64);
    }
    Number::from_f64(float).map_or(Value::Null, Value::Number)
}

/// Takes a string that is not empty; anything else stays where it is.
pub(crate) fn take_text(fields: &mut Object, name: &str) -> Option<String> {
    match fields.get_mut(name) {
        Some(Value::String(text)) if !text.is_empty() => {
            let text = std::mem::take(text);
            fields.shift_remove(name);
            Some(text)
        }
        _ => None,
    }
}

/// Takes an object; anything else stays where it is.
pub(crate) fn take_object(fields: &mut Object, name: &str) -> Option<Object> {
    match fields.get_mut(name) {
        Some(Value::Object(inner)) => {
            let inner = std::mem::take(inner);
            fields.shift_remove(name);
            Some(inner)
        }
        _ => None,
    }
}

/// A string as it is, a number as its digits: codes of errors come as both.
pub(crate) fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// JSON text of a value. Values that came from JSON always have one.
pub(crate) fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// JSON text of a value, as a string.
pub(crate) fn json_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Writes one SSE event that has only data.
pub(crate) fn write_data(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(&json(value));
    out.extend_from_slice(b"\n\n");
}

/// Inserts a field if there is something to say.
pub(crate) fn put(fields: &mut Object, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), value.into());
    }
}

/// An object of one field.
pub(crate) fn one(name: &str, value: impl Into<Value>) -> Object {
    let mut fields = Object::new();
    fields.insert(name.to_owned(), value.into());
    fields
}
