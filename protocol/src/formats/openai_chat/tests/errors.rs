use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::{ApiError, ApiErrorKind as Kind};

fn read(status: u16, body: &Value) -> ApiError {
    codec().decode_error(status, body.to_string().as_bytes())
}

#[test]
fn every_hosts_shape_means_what_it_says() {
    for (status, body, kind, message) in [
        (
            400,
            json!({ "error": { "message": "long", "code": "context_length_exceeded" } }),
            Kind::ContextLength,
            "long",
        ),
        (
            400,
            json!({ "error": { "message": "maximum context length is 10", "code": null } }),
            Kind::ContextLength,
            "maximum context length is 10",
        ),
        (
            400,
            json!({ "error": { "message": "m", "code": "content_filter", "innererror": {} } }),
            Kind::ContentPolicy,
            "m",
        ),
        (429, json!({ "error": { "message": "m", "code": "insufficient_quota" } }), Kind::Billing, "m"),
        (429, json!({ "error": { "message": "m", "code": 429 } }), Kind::RateLimit, "m"),
        (402, json!({ "error": { "message": "m", "code": 402 } }), Kind::Billing, "m"),
        (404, json!({ "error": { "message": "Not Found" } }), Kind::NotFound, "Not Found"),
        (404, json!({ "error": { "message": "m", "code": "DeploymentNotFound" } }), Kind::UnknownModel, "m"),
        (
            404,
            json!({ "object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "param": null, "code": 404 }),
            Kind::UnknownModel,
            "The model `x` does not exist.",
        ),
        (
            400,
            json!({ "code": "Client specified an invalid argument", "error": "Incorrect API key provided: no" }),
            Kind::Authentication,
            "Incorrect API key provided: no",
        ),
        (401, json!({ "detail": "Invalid API Key" }), Kind::Authentication, "Invalid API Key"),
        (
            422,
            json!({ "detail": [{ "type": "missing", "loc": ["body", "query"], "msg": "Field required" }] }),
            Kind::InvalidRequest,
            "body.query: Field required",
        ),
        (
            422,
            json!({ "object": "error", "message": { "detail": [{ "loc": ["body", 0], "msg": "bad" }] }, "type": "invalid_request_error" }),
            Kind::InvalidRequest,
            "body.0: bad",
        ),
        (429, json!({ "error": { "code": "1302", "message": "m" } }), Kind::RateLimit, "m"),
        (429, json!({ "error": { "code": "1113", "message": "m" } }), Kind::Billing, "m"),
        (400, json!({ "error": { "code": "1301", "message": "m" } }), Kind::ContentPolicy, "m"),
        (
            429,
            json!({ "error": { "code": "ModelAccountTpmRateLimitExceeded", "message": "m", "type": "TooManyRequests" } }),
            Kind::RateLimit,
            "m",
        ),
        (
            400,
            json!({ "error": { "code": "InputTextSensitiveContentDetected", "message": "m" } }),
            Kind::ContentPolicy,
            "m",
        ),
        (
            400,
            json!({ "id": "1", "message": "too many tokens", "error_type": "TOO_MANY_TOKENS" }),
            Kind::ContextLength,
            "too many tokens",
        ),
        (404, json!({ "id": "1", "message": "model 'x' not found" }), Kind::UnknownModel, "model 'x' not found"),
        (503, json!({ "error": { "message": "m", "type": "engine_overloaded_error" } }), Kind::Overloaded, "m"),
        (500, json!({ "error": { "message": "m", "type": "server_error" } }), Kind::Upstream, "m"),
        (500, json!({ "error": "model runner has stopped" }), Kind::Upstream, "model runner has stopped"),
        (
            400,
            json!([{ "error": { "code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT" } }]),
            Kind::Authentication,
            "API key not valid. Please pass a valid API key.",
        ),
        (
            429,
            json!({ "error": { "code": 429, "message": "Provider returned error", "metadata": { "raw": "x is temporarily rate-limited upstream" } } }),
            Kind::RateLimit,
            "Provider returned error: x is temporarily rate-limited upstream",
        ),
        (
            400,
            json!({ "error": { "code": 400, "message": "Provider returned error", "metadata": { "raw": "{\"error\":{\"message\":\"prompt is too long: 9 tokens\"}}" } } }),
            Kind::ContextLength,
            "Provider returned error: prompt is too long: 9 tokens",
        ),
    ] {
        let error = read(status, &body);
        assert_eq!((error.kind, error.message.as_str(), error.status), (kind, message, Some(status)), "{body}");
    }
}

#[test]
fn bodies_of_no_shape_become_the_message_cut_to_a_limit() {
    let html = codec().decode_error(502, b"<html>Bad Gateway</html>");
    assert_eq!((html.kind, html.message.as_str()), (Kind::Upstream, "<html>Bad Gateway</html>"));
    let long = codec().decode_error(500, "ä".repeat(5000).as_bytes());
    assert!(long.message.len() <= 2048 && long.message.chars().all(|letter| letter == 'ä'));
    assert_eq!(codec().decode_error(503, b"").kind, Kind::Overloaded);
    assert_eq!(codec().decode_error(200, b"\xff\xfe").status, None);
}

#[test]
fn hints_to_wait_are_read_from_the_words() {
    for (text, wait) in [
        ("Please try again in 1.2s.", Some(1200)),
        ("Please try again in 20s.", Some(20_000)),
        ("Please try again in 6m0s. Visit", Some(360_000)),
        ("try again in 350ms", Some(350)),
        ("Please try again in 7m12.48s", Some(432_480)),
        ("Retry after 5 seconds", Some(5_000)),
        ("please retry after 12", Some(12_000)),
        ("try again in a while", None),
        ("try again in 99999999999999s", None),
        ("try again in .", None),
        ("nothing", None),
    ] {
        let error = read(429, &json!({ "error": { "message": text } }));
        assert_eq!(error.retry_after, wait.map(Duration::from_millis), "{text}");
    }
    let google = read(
        429,
        &json!([{ "error": { "code": 429, "message": "m", "details": [{ "@type": "x" }, { "retryDelay": "34s" }] } }]),
    );
    assert_eq!(google.retry_after, Some(Duration::from_secs(34)));
}

#[test]
fn clients_get_chats_words_and_the_providers_text() {
    let out = |error: &ApiError| -> Value { serde_json::from_slice(&codec().encode_error(error)).unwrap() };
    let long = ApiError {
        code: Some("INVALID_ARGUMENT".into()),
        request_id: Some("req".into()),
        ..ApiError::new(Kind::ContextLength, "too long")
    };
    assert_eq!(
        out(&long),
        json!({ "error": { "message": "too long", "type": "invalid_request_error", "param": null, "code": "context_length_exceeded" }, "request_id": "req" })
    );
    let own = ApiError {
        code: Some("unsupported_parameter".into()),
        param: Some("max_tokens".into()),
        ..ApiError::new(Kind::InvalidRequest, "no")
    };
    assert_eq!(
        out(&own)["error"],
        json!({ "message": "no", "type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter" })
    );
    for kind in [
        Kind::Authentication,
        Kind::Billing,
        Kind::UnknownModel,
        Kind::RateLimit,
        Kind::Overloaded,
        Kind::ContextLength,
        Kind::ContentPolicy,
    ] {
        let error = ApiError::new(kind, "m");
        assert_eq!(codec().decode_error(error.status(), &codec().encode_error(&error)).kind, kind);
    }
}
