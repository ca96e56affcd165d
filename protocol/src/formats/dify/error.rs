//! `{"code", "message", "status"}`, also as an `error` event of a stream.

use serde_json::{Map, Value, json};

use crate::{ApiError, ApiErrorKind};

/// Codes and what they mean. The first row of a meaning is the code that it is written with.
const CODES: [(&str, ApiErrorKind); 29] = [
    ("invalid_param", ApiErrorKind::InvalidRequest),
    ("bad_request", ApiErrorKind::InvalidRequest),
    ("not_chat_app", ApiErrorKind::InvalidRequest),
    ("app_unavailable", ApiErrorKind::InvalidRequest),
    ("no_file_uploaded", ApiErrorKind::InvalidRequest),
    ("too_many_files", ApiErrorKind::InvalidRequest),
    ("unsupported_preview", ApiErrorKind::InvalidRequest),
    ("unsupported_file_type", ApiErrorKind::InvalidRequest),
    ("context_length_exceeded", ApiErrorKind::ContextLength),
    ("content_policy_violation", ApiErrorKind::ContentPolicy),
    ("unauthorized", ApiErrorKind::Authentication),
    ("provider_quota_exceeded", ApiErrorKind::Billing),
    ("forbidden", ApiErrorKind::Permission),
    ("provider_not_initialize", ApiErrorKind::Permission),
    ("access_denied", ApiErrorKind::Permission),
    ("model_currently_not_support", ApiErrorKind::UnknownModel),
    ("not_found", ApiErrorKind::NotFound),
    ("conversation_not_exists", ApiErrorKind::NotFound),
    ("app_not_found", ApiErrorKind::NotFound),
    ("conversation_completed", ApiErrorKind::Conflict),
    ("file_too_large", ApiErrorKind::TooLarge),
    ("too_many_requests", ApiErrorKind::RateLimit),
    ("rate_limit_error", ApiErrorKind::RateLimit),
    ("invoke_rate_limit_error", ApiErrorKind::RateLimit),
    ("completion_request_error", ApiErrorKind::Upstream),
    ("server_unavailable", ApiErrorKind::Overloaded),
    ("timeout", ApiErrorKind::Timeout),
    ("internal_server_error", ApiErrorKind::Internal),
    ("internal_error", ApiErrorKind::Internal),
];

/// What is kept of a body that is no known shape.
const LONGEST: usize = 2_048;

/// Reads a failed answer.
pub(super) fn decode(status: u16, body: &[u8]) -> ApiError {
    match serde_json::from_slice::<Value>(body) {
        Ok(failure) if failure.get("message").is_some() || failure.get("code").is_some() => {
            read(Some(status), &failure)
        }
        _ => {
            let mut text = String::from_utf8_lossy(body.get(..LONGEST).unwrap_or(body)).trim().to_owned();
            text.truncate(text.floor_char_boundary(LONGEST));
            let text = if text.is_empty() { format!("status {status}") } else { text };
            ApiError { status: Some(status), ..ApiError::new(ApiErrorKind::from_status(status), text) }
        }
    }
}

/// Reads a failure. Faults of the model behind the app come as 400 and are not the caller's: the code knows better than the status.
pub(super) fn read(status: Option<u16>, failure: &Value) -> ApiError {
    let inner = failure.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    let status = status.or(inner.filter(|status| (400..600).contains(status)));
    let code = failure.get("code").and_then(Value::as_str).filter(|code| !code.is_empty());
    let known = code.and_then(|code| CODES.iter().find(|(known, _)| *known == code)).map(|(_, kind)| *kind);
    // `Internal` is our own fault; theirs is the upstream's.
    let known = known.map(|kind| if kind == ApiErrorKind::Internal { ApiErrorKind::Upstream } else { kind });
    let kind = known.or(status.map(ApiErrorKind::from_status)).unwrap_or(ApiErrorKind::Upstream);
    let message = failure.get("message").and_then(Value::as_str).filter(|message| !message.is_empty());
    let message = message.unwrap_or("the app reported an error without a message");
    ApiError { status, code: code.map(str::to_owned), ..ApiError::new(kind, message) }
}

/// Writes what a client of Dify expects.
pub(super) fn encode(error: &ApiError) -> Map<String, Value> {
    let own = error.code.as_deref().filter(|code| CODES.iter().any(|(known, _)| known == code));
    let usual = CODES.iter().find(|(_, kind)| *kind == error.kind).map_or("internal_server_error", |(code, _)| code);
    let mut out = Map::new();
    out.insert("code".to_owned(), own.unwrap_or(usual).into());
    out.insert("message".to_owned(), error.message.clone().into());
    out.insert("status".to_owned(), error.status().into());
    if let Some(id) = &error.request_id {
        out.insert("request_id".to_owned(), json!(id));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_says_more_than_the_status() {
        for (status, code, kind) in [
            (400, "provider_quota_exceeded", ApiErrorKind::Billing),
            (400, "completion_request_error", ApiErrorKind::Upstream),
            (400, "something_new", ApiErrorKind::InvalidRequest),
            (500, "internal_server_error", ApiErrorKind::Upstream),
            (404, "not_found", ApiErrorKind::NotFound),
        ] {
            let body = json!({"code": code, "message": "m", "status": status}).to_string();
            let error = decode(status, body.as_bytes());
            assert_eq!((error.kind, error.status, error.code.as_deref()), (kind, Some(status), Some(code)));
        }
        assert_eq!(decode(502, b"<html>").message, "<html>");
    }

    #[test]
    fn every_kind_has_a_code() {
        for (kind, code) in [
            (ApiErrorKind::InvalidRequest, "invalid_param"),
            (ApiErrorKind::Authentication, "unauthorized"),
            (ApiErrorKind::Billing, "provider_quota_exceeded"),
            (ApiErrorKind::Permission, "forbidden"),
            (ApiErrorKind::RateLimit, "too_many_requests"),
            (ApiErrorKind::Overloaded, "server_unavailable"),
            (ApiErrorKind::Internal, "internal_server_error"),
        ] {
            let out = encode(&ApiError::new(kind, "m"));
            assert_eq!(out["code"], code);
            assert_eq!(out["status"], kind.status());
        }
    }
}
