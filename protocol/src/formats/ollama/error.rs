//! `{"error": "text"}`, also as a line of a stream.

use serde_json::{Value, json};

use crate::{ApiError, ApiErrorKind};

/// Pieces of messages (lower case) that say what happened; in a stream there is nothing else to go by.
const PHRASES: [(&str, ApiErrorKind); 8] = [
    ("not found, try pulling", ApiErrorKind::UnknownModel),
    ("model not found", ApiErrorKind::UnknownModel),
    ("context length", ApiErrorKind::ContextLength),
    ("context window", ApiErrorKind::ContextLength),
    ("server busy", ApiErrorKind::Overloaded),
    ("requires more system memory", ApiErrorKind::Overloaded),
    ("unauthorized", ApiErrorKind::Authentication),
    ("timed out", ApiErrorKind::Timeout),
];

/// What is kept of a body that is no known shape.
const LONGEST: usize = 2_048;

/// Reads a failed answer.
pub(super) fn decode(status: u16, body: &[u8]) -> ApiError {
    match serde_json::from_slice::<Value>(body).ok().and_then(|value| value.get("error").cloned()) {
        Some(failure) => read(Some(status), &failure),
        None => {
            let mut text = String::from_utf8_lossy(body.get(..LONGEST).unwrap_or(body)).trim().to_owned();
            text.truncate(text.floor_char_boundary(LONGEST));
            let text = if text.is_empty() { format!("status {status}") } else { text };
            ApiError { status: Some(status), ..ApiError::new(ApiErrorKind::from_status(status), text) }
        }
    }
}

/// Reads what stands under `error`; proxies put an object there.
pub(super) fn read(status: Option<u16>, failure: &Value) -> ApiError {
    let message = failure.as_str().or_else(|| failure.get("message")?.as_str());
    let message = message.unwrap_or("the provider reported an error without a message");
    let lower = message.to_ascii_lowercase();
    let by_phrase = PHRASES.iter().find(|(phrase, _)| lower.contains(phrase)).map(|(_, kind)| *kind);
    let by_status = status.map(|status| match ApiErrorKind::from_status(status) {
        // The only thing that this API looks up is a model.
        ApiErrorKind::NotFound if lower.contains("model") => ApiErrorKind::UnknownModel,
        kind => kind,
    });
    let kind = by_phrase.or(by_status).unwrap_or(ApiErrorKind::Upstream);
    ApiError { status, ..ApiError::new(kind, message) }
}

/// Writes what a client of Ollama expects.
pub(super) fn encode(error: &ApiError) -> Value {
    match &error.request_id {
        Some(id) => json!({"error": error.message, "request_id": id}),
        None => json!({"error": error.message}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_by_words_and_status() {
        for (status, message, kind) in [
            (404, "model 'x' not found", ApiErrorKind::UnknownModel),
            (404, "model \"x\" not found, try pulling it first", ApiErrorKind::UnknownModel),
            (500, "model requires more system memory (8 GiB) than is available", ApiErrorKind::Overloaded),
            (503, "server busy, please try again", ApiErrorKind::Overloaded),
            (400, "invalid options", ApiErrorKind::InvalidRequest),
        ] {
            let error = decode(status, json!({"error": message}).to_string().as_bytes());
            assert_eq!((error.kind, error.status, error.message.as_str()), (kind, Some(status), message));
        }
        assert_eq!(read(None, &json!("boom")).kind, ApiErrorKind::Upstream);
        assert_eq!(decode(400, br#"{"error":{"message":"x"}}"#).message, "x");
        assert_eq!(decode(502, b"").message, "status 502");
    }
}
