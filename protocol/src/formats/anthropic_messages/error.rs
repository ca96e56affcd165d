//! Failures, both ways.
//!
//! `{"type": "error", "error": {"type", "message"}, "request_id"}`. Messages go through unchanged: Claude Code matches on them, and drops one feature
//! after another when a 400 names it. The one text that is made here is `prompt is too long: N tokens > M maximum`, by which
//! clients know that they must compact.

use std::borrow::Cow;

use serde_json::Value;

use crate::formats::bedrock_converse;
use crate::json::object;
use crate::{ApiError, ApiErrorKind};

/// Error types of the wire. The first of a kind is the one that is written.
const TYPES: [(&str, ApiErrorKind); 14] = [
    ("invalid_request_error", ApiErrorKind::InvalidRequest),
    ("invalid_request_error", ApiErrorKind::ContextLength),
    ("invalid_request_error", ApiErrorKind::ContentPolicy),
    ("invalid_request_error", ApiErrorKind::Conflict),
    ("authentication_error", ApiErrorKind::Authentication),
    ("billing_error", ApiErrorKind::Billing),
    ("permission_error", ApiErrorKind::Permission),
    ("not_found_error", ApiErrorKind::NotFound),
    ("not_found_error", ApiErrorKind::UnknownModel),
    ("request_too_large", ApiErrorKind::TooLarge),
    ("rate_limit_error", ApiErrorKind::RateLimit),
    ("api_error", ApiErrorKind::Upstream),
    ("overloaded_error", ApiErrorKind::Overloaded),
    ("timeout_error", ApiErrorKind::Timeout),
];

/// What a message says about a failure whose type says less.
const HINTS: [(&str, ApiErrorKind); 9] = [
    ("prompt is too long", ApiErrorKind::ContextLength),
    ("exceed context limit", ApiErrorKind::ContextLength),
    ("input is too long", ApiErrorKind::ContextLength),
    ("maximum context length", ApiErrorKind::ContextLength),
    ("credit balance is too low", ApiErrorKind::Billing),
    ("content filtering policy", ApiErrorKind::ContentPolicy),
    ("usage policy", ApiErrorKind::ContentPolicy),
    ("request exceeds the maximum size", ApiErrorKind::TooLarge),
    ("overloaded", ApiErrorKind::Overloaded),
];

/// Unknown bodies become the message up to this many bytes.
const MESSAGE_LIMIT: usize = 2048;

/// Reads a provider's failure: Anthropic's shape, Vertex's, or AWS's.
pub(super) fn decode(status: u16, body: &[u8]) -> ApiError {
    let mut error = match serde_json::from_slice::<Value>(body) {
        // Vertex wraps its errors into a list when it was asked for a stream.
        Ok(Value::Array(list)) => list.into_iter().next().map(|value| shaped(status, &value)).unwrap_or_default(),
        Ok(value) => shaped(status, &value),
        Err(_) => None,
    }
    .unwrap_or_else(|| {
        let kind = ApiErrorKind::from_status(status);
        ApiError::new(kind, cut(&String::from_utf8_lossy(body)))
    });
    error.status = Some(status);
    error
}

/// Reads an `error` event of a stream. It has no status.
pub(super) fn decode_event(data: &[u8]) -> ApiError {
    let value: Value = serde_json::from_slice(data).unwrap_or_default();
    shaped(500, &value).unwrap_or_else(|| ApiError::new(ApiErrorKind::Upstream, cut(&String::from_utf8_lossy(data))))
}

fn shaped(status: u16, value: &Value) -> Option<ApiError> {
    let Some(inner) = value.get("error").filter(|error| error.is_object()) else {
        return bedrock_converse::error_of_value(status, value);
    };
    let text = |object: &Value, name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let kind_word = text(inner, "type");
    let message = text(inner, "message").unwrap_or_default();
    let mut error = ApiError::new(kind(status, kind_word.as_deref(), &message), message);
    // Vertex: `{"error": {"code": 429, "message", "status": "RESOURCE_EXHAUSTED"}}`.
    error.code = text(inner, "status").or_else(|| text(inner, "code"));
    error.r#type = kind_word;
    error.request_id = text(value, "request_id");
    Some(error)
}

fn kind(status: u16, word: Option<&str>, message: &str) -> ApiErrorKind {
    let typed = TYPES.iter().find(|(known, _)| Some(*known) == word).map(|(_, kind)| *kind);
    let plain = typed.unwrap_or_else(|| ApiErrorKind::from_status(status));
    let lower = message.to_ascii_lowercase();
    let hinted = || HINTS.iter().find(|(hint, _)| lower.contains(hint)).map(|(_, kind)| *kind);
    match plain {
        ApiErrorKind::NotFound if lower.starts_with("model:") || lower.contains("publisher model") => {
            ApiErrorKind::UnknownModel
        }
        ApiErrorKind::InvalidRequest | ApiErrorKind::Upstream => hinted().unwrap_or(plain),
        kind => kind,
    }
}

/// At most 2 KiB of a text, at a character boundary.
pub(crate) fn cut(text: &str) -> String {
    let mut end = text.len().min(MESSAGE_LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().trim().to_owned()
}

/// Writes a failure for a client.
pub(super) fn encode(error: &ApiError) -> Vec<u8> {
    let mut out = Vec::new();
    object(&mut out, |o| {
        o.value("type", "error");
        o.object("error", |o| {
            o.value("type", type_of(error.kind));
            o.value("message", &message(error));
        });
        o.some("request_id", error.request_id.as_deref());
    });
    out
}

/// The type of the wire for a kind.
fn type_of(kind: ApiErrorKind) -> &'static str {
    TYPES.iter().find(|(_, known)| *known == kind).map_or("api_error", |(word, _)| word)
}

/// The words of the failure. A full context is told in the words that clients of this format look for, the provider's own behind them.
fn message(error: &ApiError) -> Cow<'_, str> {
    let words = error.message.as_str();
    if error.kind != ApiErrorKind::ContextLength || words.to_ascii_lowercase().contains("prompt is too long") {
        return Cow::Borrowed(words);
    }
    Cow::Owned(match sizes(words) {
        Some((tokens, limit)) => format!("prompt is too long: {tokens} tokens > {limit} maximum ({words})"),
        None => format!("prompt is too long: {words}"),
    })
}

/// The prompt's size and the limit, out of a provider's sentence: the limit is the number after the word for it, the size is the
/// largest number.
fn sizes(words: &str) -> Option<(u64, u64)> {
    let lower = words.to_ascii_lowercase();
    let numbers = numbers(&lower);
    let tokens = numbers.iter().map(|(_, number)| *number).max()?;
    let told = ["maximum", "limit", "window", "supports"].iter().filter_map(|word| lower.find(word)).min();
    let after = told.and_then(|at| numbers.iter().find(|(place, number)| *place > at && *number < tokens));
    let limit = after.or_else(|| numbers.iter().find(|(_, number)| *number < tokens)).map(|(_, number)| *number)?;
    Some((tokens, limit))
}

/// Numbers that can count tokens, with their places; thousands may be set apart by commas.
fn numbers(text: &str) -> Vec<(usize, u64)> {
    let mut found = Vec::new();
    let mut at = 0;
    for word in text.split_inclusive(|c: char| !(c.is_ascii_digit() || c == ',')) {
        let digits: String = word.chars().filter(char::is_ascii_digit).collect();
        if let Ok(number) = digits.parse::<u64>()
            && number >= 256
        {
            found.push((at, number));
        }
        at += word.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> ApiError {
        decode(status, body.as_bytes())
    }

    #[test]
    fn the_shapes_of_all_hosts_are_read() {
        let own =
            read(429, r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow"},"request_id":"req_1"}"#);
        assert_eq!(
            (own.kind, own.status, own.request_id.as_deref()),
            (ApiErrorKind::RateLimit, Some(429), Some("req_1"))
        );
        let vertex = read(429, r#"[{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}]"#);
        assert_eq!((vertex.kind, vertex.code.as_deref()), (ApiErrorKind::RateLimit, Some("RESOURCE_EXHAUSTED")));
        let aws = read(403, r#"{"message":"The security token is invalid."}"#);
        assert_eq!((aws.kind, aws.message.as_str()), (ApiErrorKind::Authentication, "The security token is invalid."));
        let html = read(502, "<html>bad gateway</html>");
        assert_eq!((html.kind, html.message.as_str()), (ApiErrorKind::Upstream, "<html>bad gateway</html>"));
        assert_eq!(read(500, &"ü".repeat(2000)).message.len(), 2048);
    }

    #[test]
    fn messages_tell_what_types_do_not() {
        let long = r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 209 tokens > 200 maximum"}}"#;
        assert_eq!(read(400, long).kind, ApiErrorKind::ContextLength);
        let credit = r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}"#;
        assert_eq!(read(400, credit).kind, ApiErrorKind::Billing);
        let model = r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"}}"#;
        assert_eq!(read(404, model).kind, ApiErrorKind::UnknownModel);
        let full = decode_event(br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#);
        assert_eq!((full.kind, full.status), (ApiErrorKind::Overloaded, None));
    }

    #[test]
    fn a_full_context_is_told_in_the_words_that_clients_look_for() {
        let told = |words: &str| message(&ApiError::new(ApiErrorKind::ContextLength, words)).into_owned();
        assert_eq!(told("prompt is too long: 5 tokens > 4 maximum"), "prompt is too long: 5 tokens > 4 maximum");
        let openai =
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 130,512 tokens.";
        assert_eq!(told(openai), format!("prompt is too long: 130512 tokens > 128000 maximum ({openai})"));
        let gemini = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).";
        assert_eq!(told(gemini), format!("prompt is too long: 1200000 tokens > 1048576 maximum ({gemini})"));
        assert_eq!(told("too much"), "prompt is too long: too much");
    }

    #[test]
    fn every_kind_has_a_type_and_the_request_id_goes_out() {
        let error = ApiError { request_id: Some("r1".into()), ..ApiError::new(ApiErrorKind::Overloaded, "busy") };
        assert_eq!(
            String::from_utf8(encode(&error)).unwrap(),
            r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"},"request_id":"r1"}"#
        );
        assert_eq!(type_of(ApiErrorKind::Internal), "api_error");
    }
}
