//! `POST /responses/input_tokens`: how many tokens a request would read.

use serde_json::{Value, json};

use super::request;
use super::take::{self, FORMAT, Fields};
use crate::format::Lossy;
use crate::ir::ChatRequest;
use crate::{DecodeError, Dialect};

/// The fields that the path takes.
const TAKEN: [&str; 11] = [
    "conversation",
    "input",
    "instructions",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "reasoning",
    "text",
    "tool_choice",
    "tools",
    "truncation",
];

/// Writes the request for a provider: what does not count is left out.
pub fn encode_request(request: &ChatRequest, dialect: &Dialect) -> Lossy<Vec<u8>> {
    let (mut body, losses) = request::encode(request, dialect);
    body.retain(|name, _| TAKEN.contains(&name.as_str()));
    Lossy { value: Value::Object(body).to_string().into_bytes(), losses }
}

/// Reads a provider's answer: a number of tokens.
pub fn decode(body: &[u8]) -> Result<u64, DecodeError> {
    let mut fields: Fields = serde_json::from_slice(body).map_err(|error| DecodeError::json(FORMAT, &error))?;
    take::integer(&mut fields, "", "input_tokens")?
        .ok_or_else(|| DecodeError::new(FORMAT, "/input_tokens", "is missing"))
}

/// Writes the answer for a client.
pub fn encode(tokens: u64) -> Vec<u8> {
    json!({"object": "response.input_tokens", "input_tokens": tokens}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_survives_its_way_there_and_back() {
        assert_eq!(decode(&encode(18)), Ok(18));
        assert!(decode(b"{\"object\":\"response.input_tokens\"}").is_err());
    }

    #[test]
    fn only_what_counts_is_sent() {
        let request =
            ChatRequest { model: "m".into(), stream: Some(true), store: Some(true), ..ChatRequest::default() };
        let body = encode_request(&request, &Dialect::default()).value;
        let body: Value = serde_json::from_slice(&body).expect("is JSON");
        assert_eq!(body, json!({"model": "m", "input": []}));
    }
}
