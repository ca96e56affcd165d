//! The plain fields of a request, both directions: one row a field.

use serde_json::Value;

use super::wire::{IN, number};
use crate::DecodeError;
use crate::ir::ChatRequest;

/// One top-level field of the body.
pub(crate) struct Scalar {
    /// Its name on the wire.
    pub(crate) name: &'static str,
    /// Writes it.
    pub(crate) get: fn(&ChatRequest) -> Option<Value>,
    /// Reads it; `null` never comes here.
    pub(crate) set: fn(&mut ChatRequest, Value, &str) -> Result<(), DecodeError>,
}

macro_rules! scalar {
    ($name:literal, $read:ident, $($field:ident).+, $write:expr) => {
        Scalar {
            name: $name,
            get: |request| request.$($field).+.map($write),
            set: |request, value, at| {
                request.$($field).+ = IN.$read(&value, at)?;
                Ok(())
            },
        }
    };
}

macro_rules! text {
    ($name:literal, $field:ident) => {
        Scalar {
            name: $name,
            get: |request| request.$field.clone().map(Value::from),
            set: |request, value, at| {
                request.$field = IN.string(value, at)?;
                Ok(())
            },
        }
    };
}

macro_rules! object {
    ($name:literal, $($field:ident).+) => {
        Scalar {
            name: $name,
            get: |request| request.$($field).+.clone().map(Value::from),
            set: |request, value, at| {
                request.$($field).+ = Some(IN.object(value, at)?);
                Ok(())
            },
        }
    };
}

/// Every plain field, in the order in which it is written.
pub(crate) const SCALARS: [Scalar; 20] = [
    scalar!("temperature", f64, sampling.temperature, number),
    scalar!("top_p", f64, sampling.top_p, number),
    scalar!("top_k", u64, sampling.top_k, Value::from),
    scalar!("min_p", f64, sampling.min_p, number),
    scalar!("seed", i64, sampling.seed, Value::from),
    scalar!("frequency_penalty", f64, sampling.frequency_penalty, number),
    scalar!("presence_penalty", f64, sampling.presence_penalty, number),
    Scalar { name: "stop", get: |request| request.sampling.stop.clone().map(Value::from), set: set_stop },
    scalar!("logprobs", bool, sampling.logprobs, Value::from),
    scalar!("top_logprobs", u32, sampling.top_logprobs, Value::from),
    object!("logit_bias", sampling.logit_bias),
    scalar!("n", u32, n, Value::from),
    scalar!("parallel_tool_calls", bool, parallel_tool_calls, Value::from),
    text!("verbosity", verbosity),
    text!("prompt_cache_key", cache_key),
    text!("user", user),
    text!("service_tier", service_tier),
    scalar!("store", bool, store, Value::from),
    object!("metadata", metadata),
    scalar!("stream", bool, stream, Value::from),
];

/// `stop` is a string or a list of strings.
fn set_stop(request: &mut ChatRequest, value: Value, at: &str) -> Result<(), DecodeError> {
    let list = match value {
        Value::String(one) => vec![one],
        other => IN
            .array(other, at)?
            .into_iter()
            .enumerate()
            .map(|(index, item)| match item {
                Value::String(text) => Ok(text),
                _ => Err(IN.error(&format!("{at}/{index}"), "expected a string")),
            })
            .collect::<Result<_, _>>()?,
    };
    request.sampling.stop = Some(list);
    Ok(())
}
