//! Google's error shape: `{"error": {"code", "message", "status", "details"}}`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{ApiError, ApiErrorKind};

/// Status words and what they mean. The first row of a meaning is the word that it is written with.
const STATUSES: [(&str, ApiErrorKind); 18] = [
    ("INVALID_ARGUMENT", ApiErrorKind::InvalidRequest),
    ("INVALID_ARGUMENT", ApiErrorKind::ContextLength),
    ("INVALID_ARGUMENT", ApiErrorKind::ContentPolicy),
    ("INVALID_ARGUMENT", ApiErrorKind::TooLarge),
    ("FAILED_PRECONDITION", ApiErrorKind::InvalidRequest),
    ("OUT_OF_RANGE", ApiErrorKind::InvalidRequest),
    ("UNAUTHENTICATED", ApiErrorKind::Authentication),
    ("RESOURCE_EXHAUSTED", ApiErrorKind::RateLimit),
    ("RESOURCE_EXHAUSTED", ApiErrorKind::Billing),
    ("PERMISSION_DENIED", ApiErrorKind::Permission),
    ("NOT_FOUND", ApiErrorKind::NotFound),
    ("NOT_FOUND", ApiErrorKind::UnknownModel),
    ("ABORTED", ApiErrorKind::Conflict),
    ("ALREADY_EXISTS", ApiErrorKind::Conflict),
    ("UNAVAILABLE", ApiErrorKind::Overloaded),
    ("DEADLINE_EXCEEDED", ApiErrorKind::Timeout),
    ("INTERNAL", ApiErrorKind::Upstream),
    ("INTERNAL", ApiErrorKind::Internal),
];

/// `ErrorInfo.reason` words that say more than the status.
const REASONS: [(&str, ApiErrorKind); 8] = [
    ("API_KEY_INVALID", ApiErrorKind::Authentication),
    ("API_KEY_EXPIRED", ApiErrorKind::Authentication),
    ("ACCESS_TOKEN_EXPIRED", ApiErrorKind::Authentication),
    ("ACCESS_TOKEN_TYPE_UNSUPPORTED", ApiErrorKind::Authentication),
    ("CREDENTIALS_MISSING", ApiErrorKind::Authentication),
    ("BILLING_DISABLED", ApiErrorKind::Billing),
    ("API_KEY_SERVICE_BLOCKED", ApiErrorKind::Permission),
    ("SERVICE_DISABLED", ApiErrorKind::Permission),
];

/// Pieces of messages (lower case) that say more than the status.
const PHRASES: [(&str, ApiErrorKind); 7] = [
    ("api key not valid", ApiErrorKind::Authentication),
    ("api key expired", ApiErrorKind::Authentication),
    ("exceeds the maximum number of tokens", ApiErrorKind::ContextLength),
    ("exceeds the maximum input length", ApiErrorKind::ContextLength),
    ("request payload size exceeds", ApiErrorKind::TooLarge),
    ("credits are depleted", ApiErrorKind::Billing),
    ("enable billing", ApiErrorKind::Billing),
];

const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";
const REQUEST_INFO: &str = "type.googleapis.com/google.rpc.RequestInfo";

/// What is kept of a body that is no known shape.
const LONGEST: usize = 2_048;

/// Reads a failed answer; without `alt=sse` it stands in a list.
pub(super) fn decode(status: u16, body: &[u8]) -> ApiError {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let inner = parsed.and_then(|value| match value {
        Value::Array(list) => list.into_iter().find_map(|value| value.get("error").cloned()),
        value => value.get("error").cloned(),
    });
    match inner {
        Some(error) => read(Some(status), &error),
        None => {
            let mut text = String::from_utf8_lossy(body.get(..LONGEST).unwrap_or(body)).trim().to_owned();
            text.truncate(text.floor_char_boundary(LONGEST));
            if text.is_empty() {
                text = format!("status {status}");
            }
            ApiError { status: Some(status), ..ApiError::new(ApiErrorKind::from_status(status), text) }
        }
    }
}

/// Reads what stands under `error`; in a stream there is no status but the one inside.
pub(super) fn read(status: Option<u16>, error: &Value) -> ApiError {
    let word = |name: &str| error.get(name).and_then(Value::as_str);
    let inner = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let status = status.filter(|status| *status >= 400).or(inner.filter(|code| (400..600).contains(code)));
    let message = word("message").or(error.as_str()).unwrap_or("the provider reported an error without a message");
    let status_word = word("status");
    let details = error.get("details").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let reason = details.iter().find_map(|detail| detail.get("reason")?.as_str());
    let kind = kind_of(status, status_word, reason, message);
    // A wrong key is 401 everywhere but here.
    let status = if kind == ApiErrorKind::Authentication { Some(401) } else { status };
    let field = details.iter().find_map(|detail| detail.get("fieldViolations")?.get(0)?.get("field")?.as_str());
    ApiError {
        status,
        code: reason.or(status_word).map(str::to_owned),
        r#type: status_word.map(str::to_owned),
        param: field.map(str::to_owned),
        retry_after: retry_delay(details).or_else(|| retry_hint(message)),
        ..ApiError::new(kind, message)
    }
}

fn kind_of(status: Option<u16>, word: Option<&str>, reason: Option<&str>, message: &str) -> ApiErrorKind {
    let by_reason = reason.and_then(|reason| REASONS.iter().find(|(known, _)| *known == reason));
    let lower = message.to_ascii_lowercase();
    let by_phrase = || PHRASES.iter().find(|(phrase, _)| lower.contains(phrase));
    if let Some((_, kind)) = by_reason.or_else(by_phrase) {
        return *kind;
    }
    let by_word = word.and_then(|word| STATUSES.iter().find(|(known, _)| *known == word));
    match (by_word.map(|(_, kind)| *kind), status) {
        (Some(ApiErrorKind::NotFound), _) | (None, Some(404)) if lower.contains("model") => ApiErrorKind::UnknownModel,
        (Some(kind), _) => kind,
        (None, Some(status)) => ApiErrorKind::from_status(status),
        (None, None) => ApiErrorKind::Upstream,
    }
}

/// `RetryInfo.retryDelay`: seconds with a fraction and an `s`.
fn retry_delay(details: &[Value]) -> Option<Duration> {
    details.iter().find_map(|detail| seconds(detail.get("retryDelay")?.as_str()?.strip_suffix('s')?))
}

/// "Please retry in 34.07s."
fn retry_hint(message: &str) -> Option<Duration> {
    let (_, rest) = message.split_once("retry in ")?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
    let (number, unit) = rest.split_at_checked(end)?;
    if unit.starts_with("ms") {
        return seconds(number).map(|duration| duration / 1_000);
    }
    unit.starts_with('s').then(|| seconds(number)).flatten()
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Writes what a client of Gemini expects.
pub(super) fn encode(error: &ApiError) -> Value {
    let known = |word: &&str| STATUSES.iter().any(|(known, _)| known == word);
    let own = [&error.r#type, &error.code].into_iter().flatten().map(String::as_str).find(known);
    let usual = STATUSES.iter().find(|(_, kind)| *kind == error.kind).map_or("UNKNOWN", |(word, _)| word);
    let mut details = Vec::new();
    let reason = match error.kind {
        ApiErrorKind::Authentication => Some("API_KEY_INVALID"),
        _ => error.code.as_deref().filter(|code| !known(code) && !code.is_empty()),
    };
    if let Some(reason) = reason {
        details.push(json!({"@type": ERROR_INFO, "reason": reason, "domain": "googleapis.com"}));
    }
    if let Some(delay) = error.retry_after {
        let mut text = format!("{:.3}", delay.as_secs_f64());
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        details.push(json!({"@type": RETRY_INFO, "retryDelay": format!("{text}s")}));
    }
    if let Some(id) = &error.request_id {
        details.push(json!({"@type": REQUEST_INFO, "requestId": id}));
    }
    let mut inner = Map::new();
    inner.insert("code".to_owned(), error.status().into());
    inner.insert("message".to_owned(), error.message.clone().into());
    inner.insert("status".to_owned(), own.unwrap_or(usual).into());
    if !details.is_empty() {
        inner.insert("details".to_owned(), Value::Array(details));
    }
    json!({ "error": inner })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_json(status: u16, body: &Value) -> ApiError {
        decode(status, body.to_string().as_bytes())
    }

    #[test]
    fn a_bad_key_is_an_authentication_error_though_it_comes_as_400() {
        let body = json!({"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT",
            "details": [{"@type": ERROR_INFO, "reason": "API_KEY_INVALID"}]}});
        let error = decode_json(400, &body);
        assert_eq!((error.kind, error.status()), (ApiErrorKind::Authentication, 401));
        assert_eq!(error.code.as_deref(), Some("API_KEY_INVALID"));
        assert_eq!(encode(&error)["error"]["details"][0]["reason"], "API_KEY_INVALID");
    }

    #[test]
    fn the_list_form_and_the_time_to_wait_are_read() {
        let body = json!([{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED",
            "details": [{"@type": RETRY_INFO, "retryDelay": "34.07s"}]}}]);
        let error = decode_json(429, &body);
        assert_eq!(error.kind, ApiErrorKind::RateLimit);
        assert_eq!(error.retry_after, Some(Duration::from_secs_f64(34.07)));
        assert_eq!(encode(&error)["error"]["details"][0]["retryDelay"], "34.07s");
        let hint = decode_json(429, &json!({"error": {"message": "Please retry in 930.5ms."}}));
        assert_eq!(hint.retry_after, Some(Duration::from_secs_f64(0.9305)));
        let odd = decode_json(429, &json!({"error": {"message": "retry in 99999999999999999999999s"}}));
        assert_eq!(odd.retry_after, None);
    }

    #[test]
    fn messages_say_more_than_the_status() {
        for (status, message, kind) in [
            (
                400,
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                ApiErrorKind::ContextLength,
            ),
            (404, "models/x is not found for API version v1beta", ApiErrorKind::UnknownModel),
            (404, "cached content was not found", ApiErrorKind::NotFound),
            (503, "The service is overloaded", ApiErrorKind::Overloaded),
        ] {
            let word = encode(&ApiError::new(ApiErrorKind::from_status(status), ""))["error"]["status"].clone();
            let body = json!({"error": {"code": status, "message": message, "status": word}});
            assert_eq!(decode_json(status, &body).kind, kind, "{message}");
        }
    }

    #[test]
    fn every_kind_has_a_word_and_keeps_its_meaning() {
        for (status, kind, word) in [
            (400, ApiErrorKind::InvalidRequest, "INVALID_ARGUMENT"),
            (401, ApiErrorKind::Authentication, "UNAUTHENTICATED"),
            (402, ApiErrorKind::Billing, "RESOURCE_EXHAUSTED"),
            (403, ApiErrorKind::Permission, "PERMISSION_DENIED"),
            (404, ApiErrorKind::UnknownModel, "NOT_FOUND"),
            (409, ApiErrorKind::Conflict, "ABORTED"),
            (413, ApiErrorKind::TooLarge, "INVALID_ARGUMENT"),
            (429, ApiErrorKind::RateLimit, "RESOURCE_EXHAUSTED"),
            (502, ApiErrorKind::Upstream, "INTERNAL"),
            (503, ApiErrorKind::Overloaded, "UNAVAILABLE"),
            (504, ApiErrorKind::Timeout, "DEADLINE_EXCEEDED"),
            (500, ApiErrorKind::Internal, "INTERNAL"),
        ] {
            let wire = encode(&ApiError::new(kind, "m"));
            assert_eq!(wire["error"]["status"], word);
            assert_eq!(wire["error"]["code"], status);
        }
    }

    #[test]
    fn a_body_of_no_known_shape_becomes_the_message() {
        let error = decode(502, b"<html>Bad Gateway</html>");
        assert_eq!((error.kind, error.message.as_str()), (ApiErrorKind::Upstream, "<html>Bad Gateway</html>"));
        assert!(decode(500, &[0xff; 9_000]).message.len() <= LONGEST);
        assert_eq!(decode(500, b"").message, "status 500");
    }
}
