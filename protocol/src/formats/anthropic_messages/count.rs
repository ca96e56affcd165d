//! Counting tokens: `POST /v1/messages/count_tokens` takes a request without `max_tokens` and answers `{"input_tokens": N}`.
//!
//! The request itself is read by the codec's `decode_request`. On Vertex the address is `count-tokens:rawPredict` and `model` stays in the body.

use serde::Deserialize;

use super::{FORMAT, request_out};
use crate::format::Lossy;
use crate::ir::ChatRequest;
use crate::json::object;
use crate::{DecodeError, Dialect};

/// Writes a request for a provider that counts.
pub fn encode_count_request(request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
    request_out::encode_count(request, dialect)
}

/// Reads the answer of a provider that counts.
pub fn decode_count_response(body: &[u8]) -> Result<u64, DecodeError> {
    #[derive(Deserialize)]
    struct Count {
        input_tokens: u64,
    }
    let count: Count = serde_json::from_slice(body).map_err(|error| DecodeError::json(FORMAT, &error))?;
    Ok(count.input_tokens)
}

/// Writes the answer for a client.
pub fn encode_count_response(input_tokens: u64) -> Vec<u8> {
    let mut out = Vec::new();
    object(&mut out, |o| o.value("input_tokens", &input_tokens));
    out
}

/// Wraps a request into Bedrock's `/count-tokens` body for a model that is called through `invoke`. Answers come as
/// `{"inputTokens": N}`: [`crate::formats::bedrock_converse::decode_count_response`].
pub fn bedrock_count_request(request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
    use base64::Engine as _;
    let whole = request_out::encode(request, dialect)?;
    let body = base64::engine::general_purpose::STANDARD.encode(&whole.value);
    let mut value = Vec::new();
    object(&mut value, |o| o.object("input", |o| o.object("invokeModel", |o| o.value("body", &body))));
    Ok(Lossy { value, losses: whole.losses })
}
