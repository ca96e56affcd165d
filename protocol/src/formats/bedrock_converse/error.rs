//! AWS failures: HTTP bodies, exceptions in the middle of a stream, and the type that may stand beside them.
//!
//! An HTTP body is `{"message"}` (older services `{"Message"}`); its type stands in the header `x-amzn-errortype`, sometimes with a namespace before `#`
//! or an address after `:`. A codec sees no headers: [`with_error_type`] puts the header's type into the body as `__type`, where other
//! AWS services have it, before `decode_error` is called.

use serde_json::{Value, json};

use crate::formats::anthropic_messages::cut;
use crate::{ApiError, ApiErrorKind};

/// Types of AWS, in lower case and without `Exception`, and what they mean. Streams write them in camel case.
const TYPES: [(&str, ApiErrorKind); 17] = [
    ("validation", ApiErrorKind::InvalidRequest),
    ("throttling", ApiErrorKind::RateLimit),
    ("toomanyrequests", ApiErrorKind::RateLimit),
    ("servicequotaexceeded", ApiErrorKind::RateLimit),
    ("accessdenied", ApiErrorKind::Permission),
    ("unrecognizedclient", ApiErrorKind::Authentication),
    ("invalidsignature", ApiErrorKind::Authentication),
    ("expiredtoken", ApiErrorKind::Authentication),
    ("incompletesignature", ApiErrorKind::Authentication),
    ("missingauthenticationtoken", ApiErrorKind::Authentication),
    ("resourcenotfound", ApiErrorKind::UnknownModel),
    ("conflict", ApiErrorKind::Conflict),
    ("serviceunavailable", ApiErrorKind::Overloaded),
    ("modelnotready", ApiErrorKind::Overloaded),
    ("modeltimeout", ApiErrorKind::Timeout),
    ("internalserver", ApiErrorKind::Upstream),
    ("modelerror", ApiErrorKind::Upstream),
];

/// What messages say when the type says less, in lower case.
const HINTS: [(&str, ApiErrorKind); 9] = [
    ("security token", ApiErrorKind::Authentication),
    ("too many tokens", ApiErrorKind::RateLimit),
    ("too many requests", ApiErrorKind::RateLimit),
    ("input is too long", ApiErrorKind::ContextLength),
    ("prompt is too long", ApiErrorKind::ContextLength),
    ("maximum context length", ApiErrorKind::ContextLength),
    ("exceeds the maximum number of tokens", ApiErrorKind::ContextLength),
    ("model identifier is invalid", ApiErrorKind::UnknownModel),
    ("end of its life", ApiErrorKind::UnknownModel),
];

/// Puts the value of the header `x-amzn-errortype` into an error body, so that `decode_error` can read it. A body that is no object is kept
/// as the message.
pub fn with_error_type(header: &str, body: &[u8]) -> Vec<u8> {
    let mut value = match serde_json::from_slice::<Value>(body) {
        Ok(value @ Value::Object(_)) => value,
        _ => json!({ "message": cut(&String::from_utf8_lossy(body)) }),
    };
    if let Some(fields) = value.as_object_mut() {
        fields.entry("__type").or_insert_with(|| header.into());
    }
    value.to_string().into_bytes()
}

/// Reads an HTTP failure.
pub(super) fn decode(status: u16, body: &[u8]) -> ApiError {
    let read = serde_json::from_slice::<Value>(body).ok().and_then(|value| error_of_value(status, &value));
    let mut error =
        read.unwrap_or_else(|| ApiError::new(ApiErrorKind::from_status(status), cut(&String::from_utf8_lossy(body))));
    error.status = Some(status);
    error
}

/// Reads an object of AWS's shape; nothing if it is another.
pub(crate) fn error_of_value(status: u16, value: &Value) -> Option<ApiError> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let message = text("message").or_else(|| text("Message"))?;
    let word = text("__type").or_else(|| text("code"));
    let kind = word.and_then(kind_of).unwrap_or_else(|| ApiErrorKind::from_status(status));
    let mut error = ApiError::new(hinted(kind, message), message);
    error.r#type = word.map(|word| short(word).to_owned());
    Some(error)
}

/// Reads an exception or error frame. It has no status.
pub(crate) fn exception(name: &str, payload: &[u8]) -> ApiError {
    let value: Value = serde_json::from_slice(payload).unwrap_or_default();
    let message = value.get("message").or_else(|| value.get("Message")).and_then(Value::as_str);
    let message = message.map_or_else(|| cut(&String::from_utf8_lossy(payload)), str::to_owned);
    let kind = hinted(kind_of(name).unwrap_or(ApiErrorKind::Upstream), &message);
    let mut error = ApiError::new(kind, message);
    error.r#type = Some(name.to_owned()).filter(|name| !name.is_empty());
    error
}

/// Names of exceptions for a client: of HTTP answers, and (in camel case) of streams, which know fewer.
const EXCEPTIONS: [(ApiErrorKind, &str, &str); 15] = [
    (ApiErrorKind::InvalidRequest, "ValidationException", "validationException"),
    (ApiErrorKind::ContextLength, "ValidationException", "validationException"),
    (ApiErrorKind::ContentPolicy, "ValidationException", "validationException"),
    (ApiErrorKind::TooLarge, "ValidationException", "validationException"),
    (ApiErrorKind::Conflict, "ConflictException", "validationException"),
    (ApiErrorKind::Authentication, "UnrecognizedClientException", "validationException"),
    (ApiErrorKind::Billing, "AccessDeniedException", "validationException"),
    (ApiErrorKind::Permission, "AccessDeniedException", "validationException"),
    (ApiErrorKind::UnknownModel, "ResourceNotFoundException", "validationException"),
    (ApiErrorKind::NotFound, "ResourceNotFoundException", "validationException"),
    (ApiErrorKind::RateLimit, "ThrottlingException", "throttlingException"),
    (ApiErrorKind::Overloaded, "ServiceUnavailableException", "serviceUnavailableException"),
    (ApiErrorKind::Timeout, "ModelTimeoutException", "modelStreamErrorException"),
    (ApiErrorKind::Upstream, "InternalServerException", "modelStreamErrorException"),
    (ApiErrorKind::Internal, "InternalServerException", "internalServerException"),
];

/// The type of an HTTP failure.
pub(super) fn http_exception(kind: ApiErrorKind) -> &'static str {
    EXCEPTIONS.iter().find(|(known, ..)| *known == kind).map_or("InternalServerException", |(_, name, _)| name)
}

/// The type of a failure in a stream.
pub(super) fn stream_exception(kind: ApiErrorKind) -> &'static str {
    EXCEPTIONS.iter().find(|(known, ..)| *known == kind).map_or("internalServerException", |(.., name)| name)
}

/// `com.amazon.coral#ThrottlingException:http://…` without its frame.
fn short(word: &str) -> &str {
    let tail = word.rsplit('#').next().unwrap_or(word);
    tail.split(':').next().unwrap_or(tail)
}

fn kind_of(word: &str) -> Option<ApiErrorKind> {
    let lower = short(word).to_ascii_lowercase();
    let name = lower.strip_suffix("exception").or_else(|| lower.strip_suffix("error")).unwrap_or(&lower);
    // `modelStreamErrorException` is a model error too.
    let name = if name == "modelstreamerror" { "modelerror" } else { name };
    TYPES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

fn hinted(kind: ApiErrorKind, message: &str) -> ApiErrorKind {
    let vague = matches!(
        kind,
        ApiErrorKind::InvalidRequest | ApiErrorKind::Upstream | ApiErrorKind::NotFound | ApiErrorKind::Permission
    );
    if !vague {
        return kind;
    }
    let lower = message.to_ascii_lowercase();
    HINTS.iter().find(|(hint, _)| lower.contains(hint)).map_or(kind, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_the_header_is_read() {
        let body = with_error_type("ThrottlingException:http://internal.amazon.com/", br#"{"message":"slow down"}"#);
        let error = decode(400, &body);
        assert_eq!((error.kind, error.r#type.as_deref()), (ApiErrorKind::RateLimit, Some("ThrottlingException")));
        assert_eq!((error.status, error.message.as_str()), (Some(400), "slow down"));
        let coral = with_error_type("com.amazon.coral.service#AccessDeniedException", b"oops");
        assert_eq!(decode(403, &coral).kind, ApiErrorKind::Permission);
        assert_eq!(decode(403, &coral).message, "oops");
    }

    #[test]
    fn without_a_type_status_and_words_decide() {
        let kind = |status, message: &str| decode(status, json!({ "message": message }).to_string().as_bytes()).kind;
        assert_eq!(kind(403, "The security token included in the request is invalid."), ApiErrorKind::Authentication);
        assert_eq!(kind(404, "This model version has reached the end of its life."), ApiErrorKind::UnknownModel);
        assert_eq!(kind(400, "Input is too long for requested model."), ApiErrorKind::ContextLength);
        assert_eq!(kind(400, "Malformed input request"), ApiErrorKind::InvalidRequest);
        assert_eq!(kind(503, "busy"), ApiErrorKind::Overloaded);
        assert_eq!(decode(502, b"<html>").message, "<html>");
    }

    #[test]
    fn exceptions_in_a_stream_are_read_by_their_name() {
        let error = exception("modelStreamErrorException", br#"{"message":"Model produced invalid sequence"}"#);
        assert_eq!((error.kind, error.status), (ApiErrorKind::Upstream, None));
        assert_eq!(error.message, "Model produced invalid sequence");
        for (name, kind) in [
            ("throttlingException", ApiErrorKind::RateLimit),
            ("validationException", ApiErrorKind::InvalidRequest),
            ("internalServerException", ApiErrorKind::Upstream),
            ("serviceUnavailableException", ApiErrorKind::Overloaded),
            ("newException", ApiErrorKind::Upstream),
        ] {
            assert_eq!(exception(name, b"{}").kind, kind, "{name}");
        }
    }
}
