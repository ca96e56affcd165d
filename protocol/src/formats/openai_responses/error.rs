//! Failures: the body of a refused call, the `error` event, and `response.failed`.

use std::time::Duration;

use serde_json::{Value, json};

use super::take::Fields;
use crate::{ApiError, ApiErrorKind as Kind};

/// Longest message that is taken from a body of unknown shape, in bytes.
const UNKNOWN_BODY: usize = 2048;

/// Words of providers (`code` first, then `type`) and what they mean, whatever the status.
const WORDS: [(&str, Kind); 35] = [
    ("context_length_exceeded", Kind::ContextLength),
    ("string_above_max_length", Kind::ContextLength),
    ("rate_limit_exceeded", Kind::RateLimit),
    ("rate_limit_error", Kind::RateLimit),
    ("too_many_requests", Kind::RateLimit),
    ("tokens", Kind::RateLimit),
    ("requests", Kind::RateLimit),
    ("usage_limit_reached", Kind::RateLimit),
    ("insufficient_quota", Kind::Billing),
    ("billing_hard_limit_reached", Kind::Billing),
    ("billing_error", Kind::Billing),
    ("usage_not_included", Kind::Billing),
    ("invalid_api_key", Kind::Authentication),
    ("authentication_error", Kind::Authentication),
    ("permission_denied", Kind::Permission),
    ("permission_error", Kind::Permission),
    ("model_not_found", Kind::UnknownModel),
    ("DeploymentNotFound", Kind::UnknownModel),
    ("not_found_error", Kind::NotFound),
    ("content_filter", Kind::ContentPolicy),
    ("content_policy_violation", Kind::ContentPolicy),
    ("image_content_policy_violation", Kind::ContentPolicy),
    ("cyber_policy", Kind::ContentPolicy),
    ("bio_policy", Kind::ContentPolicy),
    ("server_error", Kind::Upstream),
    ("internal_server_error", Kind::Upstream),
    ("api_error", Kind::Upstream),
    ("server_is_overloaded", Kind::Overloaded),
    ("slow_down", Kind::Overloaded),
    ("overloaded", Kind::Overloaded),
    ("overloaded_error", Kind::Overloaded),
    ("service_unavailable", Kind::Overloaded),
    ("timeout", Kind::Timeout),
    ("timeout_error", Kind::Timeout),
    ("vector_store_timeout", Kind::Timeout),
];

/// Words in messages of providers that give no code for it.
const PHRASES: [(&str, Kind); 7] = [
    ("prompt is too long", Kind::ContextLength),
    ("maximum context length", Kind::ContextLength),
    ("maximum prompt length", Kind::ContextLength),
    ("exceeds the context window", Kind::ContextLength),
    ("incorrect api key", Kind::Authentication),
    ("model not found", Kind::UnknownModel),
    ("does not exist or you do not have access", Kind::UnknownModel),
];

/// What a failure is called toward a client: `type`, `code`, and the `code` inside `response.failed`, where Codex acts on some words
/// (`context_length_exceeded` ends the turn, `rate_limit_exceeded` waits, `invalid_prompt` is final, others are tried again).
const NAMES: [(Kind, &str, Option<&str>, &str); 15] = [
    (Kind::InvalidRequest, "invalid_request_error", None, "invalid_prompt"),
    (Kind::ContextLength, "invalid_request_error", Some("context_length_exceeded"), "context_length_exceeded"),
    (Kind::ContentPolicy, "invalid_request_error", Some("content_policy_violation"), "invalid_prompt"),
    (Kind::Authentication, "invalid_request_error", Some("invalid_api_key"), "invalid_prompt"),
    (Kind::Billing, "insufficient_quota", Some("insufficient_quota"), "insufficient_quota"),
    (Kind::Permission, "invalid_request_error", Some("permission_denied"), "invalid_prompt"),
    (Kind::UnknownModel, "invalid_request_error", Some("model_not_found"), "invalid_prompt"),
    (Kind::NotFound, "invalid_request_error", None, "invalid_prompt"),
    (Kind::Conflict, "invalid_request_error", None, "invalid_prompt"),
    (Kind::TooLarge, "invalid_request_error", Some("request_too_large"), "invalid_prompt"),
    (Kind::RateLimit, "rate_limit_error", Some("rate_limit_exceeded"), "rate_limit_exceeded"),
    (Kind::Upstream, "server_error", Some("server_error"), "server_error"),
    (Kind::Overloaded, "server_error", Some("overloaded"), "server_error"),
    (Kind::Timeout, "server_error", Some("timeout"), "server_error"),
    (Kind::Internal, "server_error", Some("server_error"), "server_error"),
];

/// Codes that clients of this format know and that say more than the kind: they pass through.
const OWN_CODES: [&str; 6] = [
    "insufficient_quota",
    "usage_not_included",
    "usage_limit_reached",
    "server_is_overloaded",
    "slow_down",
    "cyber_policy",
];

/// Reads the body of a refused call.
pub(super) fn decode(status: u16, body: &[u8]) -> ApiError {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let read = parsed.as_ref().and_then(|value| match value {
        // Google's compatible hosts wrap the object in a list.
        Value::Array(list) => from_object(list.first()?.as_object()?),
        Value::Object(fields) => from_object(fields),
        _ => None,
    });
    let mut error = read.unwrap_or_else(|| ApiError::new(Kind::Upstream, cut(&String::from_utf8_lossy(body))));
    error.status = Some(status);
    error.kind = kind(Some(status), &error);
    error
}

/// `{"error": {…}}`, `{"error": "text", "code"}`, `{"detail"}`, `{"message"}`.
fn from_object(fields: &Fields) -> Option<ApiError> {
    match fields.get("error") {
        Some(Value::Object(inner)) => Some(from_fields(inner)),
        Some(Value::String(message)) => Some(ApiError { code: word(fields.get("code")), ..plain(message) }),
        _ => match fields.get("detail").or_else(|| fields.get("message")) {
            Some(Value::String(message)) => Some(ApiError { code: word(fields.get("code")), ..plain(message) }),
            Some(detail @ (Value::Array(_) | Value::Object(_))) => Some(plain(&detail.to_string())),
            _ => None,
        },
    }
}

fn plain(message: &str) -> ApiError {
    ApiError { retry_after: retry_hint(message), ..ApiError::new(Kind::Upstream, message) }
}

fn word(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(word) => Some(word.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Reads `{"type", "code", "message", "param"}`.
fn from_fields(fields: &Fields) -> ApiError {
    let mut message = word(fields.get("message")).unwrap_or_default();
    // OpenRouter keeps the truth of the host behind it in here.
    if let Some(raw) = fields.get("metadata").and_then(|data| data.get("raw")).and_then(Value::as_str) {
        message = format!("{message}: {}", cut(raw));
    }
    ApiError {
        code: word(fields.get("code")),
        r#type: word(fields.get("type")),
        param: word(fields.get("param")),
        ..plain(&message)
    }
}

/// Reads an `error` event, nested or flat.
pub(super) fn decode_event(fields: &Fields) -> ApiError {
    let mut error = match fields.get("error") {
        Some(Value::Object(inner)) => from_fields(inner),
        // Flat: the event's own `type` is `error` and says nothing.
        _ => ApiError { r#type: None, ..from_fields(fields) },
    };
    error.kind = kind(None, &error);
    error
}

/// Reads the `error` of a failed answer.
pub(super) fn decode_failed(answer: &Fields) -> ApiError {
    let mut error = match answer.get("error") {
        Some(Value::Object(inner)) => from_fields(inner),
        _ => ApiError::new(Kind::Upstream, "the provider failed without saying why"),
    };
    error.kind = kind(None, &error);
    error
}

fn kind(status: Option<u16>, error: &ApiError) -> Kind {
    let known = |word: &Option<String>| {
        let word = word.as_deref()?;
        WORDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind)
    };
    let by_words = known(&error.code).or_else(|| known(&error.r#type)).or_else(|| {
        let message = error.message.to_ascii_lowercase();
        PHRASES.iter().find(|(phrase, _)| message.contains(phrase)).map(|(_, kind)| *kind)
    });
    let numeric =
        error.code.as_deref().and_then(|code| code.parse::<u16>().ok()).filter(|code| (400..600).contains(code));
    let fallback = || match status.or(numeric) {
        Some(status) => Kind::from_status(status),
        // A stream that fails without a word for it: the provider's fault.
        None if error.r#type.as_deref() == Some("invalid_request_error") => Kind::InvalidRequest,
        None if matches!(error.code.as_deref(), Some(code) if code.starts_with("invalid_")) => Kind::InvalidRequest,
        None => Kind::Upstream,
    };
    by_words.unwrap_or_else(fallback)
}

/// "try again in 1.2s", "in 20ms", "in 6m0s".
fn retry_hint(message: &str) -> Option<Duration> {
    const PHRASE: &str = "try again in ";
    let start = message.to_ascii_lowercase().find(PHRASE)?.checked_add(PHRASE.len())?;
    let mut rest = message.get(start..)?;
    let mut total = 0.0f64;
    let mut read = false;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let Some((number, tail)) = rest.split_at_checked(digits) else { break };
        let Ok(number) = number.trim_end_matches('.').parse::<f64>() else { break };
        let tail = tail.trim_start();
        let Some((unit, tail)) = UNITS.iter().find_map(|(word, unit)| Some((unit, tail.strip_prefix(word)?))) else {
            break;
        };
        total += number * unit;
        read = true;
        rest = tail;
    }
    (read && total.is_finite() && total <= 86_400.0).then(|| Duration::from_secs_f64(total))
}

/// Longer words first.
const UNITS: [(&str, f64); 7] =
    [("ms", 0.001), ("minutes", 60.0), ("minute", 60.0), ("seconds", 1.0), ("second", 1.0), ("m", 60.0), ("s", 1.0)];

fn cut(text: &str) -> String {
    let mut end = text.len().min(UNKNOWN_BODY);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

fn names(kind: Kind) -> (&'static str, Option<&'static str>, &'static str) {
    NAMES
        .iter()
        .find(|(known, ..)| *known == kind)
        .map_or(("server_error", None, "server_error"), |(_, r#type, code, failed)| (*r#type, *code, *failed))
}

/// `{"type", "code", "message", "param"}`.
pub(super) fn object(error: &ApiError) -> Value {
    let (r#type, code, _) = names(error.kind);
    let own = error.code.as_deref().filter(|own| OWN_CODES.contains(own));
    let code = own.or(code).or(error.code.as_deref());
    json!({"message": message(error), "type": r#type, "param": error.param, "code": code})
}

/// Writes the body of a refused call.
pub(super) fn encode(error: &ApiError) -> Vec<u8> {
    let mut body = json!({"error": object(error)});
    if let (Some(id), Some(fields)) = (&error.request_id, body.as_object_mut()) {
        fields.insert("request_id".to_owned(), json!(id));
    }
    body.to_string().into_bytes()
}

/// The `error` of a failed answer.
pub(super) fn failed(error: &ApiError) -> Value {
    let (_, _, code) = names(error.kind);
    let own = error.code.as_deref().filter(|own| OWN_CODES.contains(own));
    json!({"code": own.unwrap_or(code), "message": message(error)})
}

/// Codex reads the time to wait from the words.
fn message(error: &ApiError) -> String {
    match error.retry_after {
        Some(wait) if error.kind == Kind::RateLimit && retry_hint(&error.message).is_none() => {
            let seconds = (wait.as_secs_f64() * 1000.0).ceil() / 1000.0;
            let stop = if error.message.trim_end().ends_with(['.', '!', '?']) { "" } else { "." };
            format!("{}{stop} Please try again in {seconds}s.", error.message.trim_end())
        }
        _ => error.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_names() {
        for kind in NAMES.iter().map(|(kind, ..)| *kind) {
            let error = decode(kind.status(), &encode(&ApiError::new(kind, "words")));
            assert_eq!(error.message, "words");
            let expected = match kind {
                // What the wire cannot tell apart.
                Kind::Internal => Kind::Upstream,
                Kind::TooLarge => Kind::TooLarge,
                kind => kind,
            };
            assert_eq!(error.kind, expected);
        }
    }

    #[test]
    fn recorded_shapes_are_read() {
        let cases: [(u16, &str, Kind, &str); 8] = [
            (
                401,
                r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
                Kind::Authentication,
                "Incorrect API key provided",
            ),
            (
                400,
                r#"{"code":"invalid-argument","error":"Model not found: grok-x"}"#,
                Kind::UnknownModel,
                "Model not found: grok-x",
            ),
            (401, r#"{"detail":"Could not parse your token."}"#, Kind::Authentication, "Could not parse your token."),
            (
                429,
                r#"{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"slow down"}}}"#,
                Kind::RateLimit,
                "Provider returned error: slow down",
            ),
            (
                429,
                r#"{"error":{"message":"no money","type":"insufficient_quota","code":"insufficient_quota"}}"#,
                Kind::Billing,
                "no money",
            ),
            (
                400,
                r#"{"error":{"message":"Your input exceeds the context window of this model","type":"invalid_request_error"}}"#,
                Kind::ContextLength,
                "Your input exceeds the context window of this model",
            ),
            (502, "<html>bad gateway</html>", Kind::Upstream, "<html>bad gateway</html>"),
            (404, r#"{"error":{"code":"DeploymentNotFound","message":"gone"}}"#, Kind::UnknownModel, "gone"),
        ];
        for (status, body, kind, message) in cases {
            let error = decode(status, body.as_bytes());
            assert_eq!((error.kind, error.message.as_str(), error.status), (kind, message, Some(status)), "{body}");
        }
    }

    #[test]
    fn events_are_read_nested_and_flat() {
        let nested = json!({"type": "error", "sequence_number": 2, "error": {"type": "x", "code": "rate_limit_exceeded", "message": "m", "param": "p"}});
        let flat =
            json!({"type": "error", "sequence_number": 2, "code": "rate_limit_exceeded", "message": "m", "param": "p"});
        for event in [nested, flat] {
            let error = decode_event(event.as_object().expect("is an object"));
            assert_eq!((error.kind, error.message.as_str(), error.param.as_deref()), (Kind::RateLimit, "m", Some("p")));
        }
    }

    #[test]
    fn codex_reads_the_wait_from_the_words() {
        let error =
            ApiError { retry_after: Some(Duration::from_millis(1200)), ..ApiError::new(Kind::RateLimit, "slow down") };
        let failed = failed(&error);
        assert_eq!(failed["code"], "rate_limit_exceeded");
        assert_eq!(failed["message"], "slow down. Please try again in 1.2s.");
        let own = ApiError {
            retry_after: Some(Duration::from_secs(9)),
            ..ApiError::new(Kind::RateLimit, "Please try again in 20s.")
        };
        assert_eq!(message(&own), "Please try again in 20s.");
    }

    #[test]
    fn waits_are_read_in_every_unit() {
        let cases = [
            ("try again in 1.2s.", 1200),
            ("Try again in 20ms", 20),
            ("please try again in 6m0s", 360_000),
            ("try again in 2 seconds", 2000),
        ];
        for (words, expected) in cases {
            assert_eq!(retry_hint(words).map(|wait| wait.as_millis()), Some(expected), "{words}");
        }
        for words in ["", "try again in ", "try again in a while", "try again in 9e99s", "try again in 99999999999s"] {
            assert_eq!(retry_hint(words), None, "{words}");
        }
    }

    #[test]
    fn a_long_body_is_cut_between_characters() {
        let body = "ä".repeat(3000);
        assert!(decode(500, body.as_bytes()).message.len() <= UNKNOWN_BODY);
    }
}
