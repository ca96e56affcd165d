//! Failures: the shapes of Chat's many hosts → what they mean, and Chat's own shape for clients.
//!
//! | shape | host |
//! |---|---|
//! | `{"error":{message,type,param,code}}` | OpenAI, Azure, Groq, DeepSeek, Moonshot, Together; `code` may be a number (OpenRouter, Perplexity, llama.cpp) |
//! | `{"error":{message,code,metadata:{raw}}}` | OpenRouter: the host's own words are in `raw` |
//! | `{"object":"error",message,type,code}` | older vLLM, Mistral (with `raw_status_code`) |
//! | `{"code","error":"text"}` | xAI |
//! | `{"error":"text"}` | Ollama |
//! | `{"detail":"text" or [{loc,msg}]}` | Mistral 401 and 422, Jina, Voyage |
//! | `{"id","message","error_type"}` | Cohere |
//! | `{"code","message","status"}` | Dify and others |
//! | `[{"error":…}]` | Gemini's compatible endpoint |

use std::time::Duration;

use serde_json::Value;

use super::wire::{Object, json, one, word};
use crate::{ApiError, ApiErrorKind};

use ApiErrorKind as Kind;

/// The longest message that is kept of a body of no known shape.
const LONGEST: usize = 2048;

/// Codes and types that say what a failure is, in lower case.
const WORDS: [(&str, Kind); 66] = [
    ("context_length_exceeded", Kind::ContextLength),
    ("context_window_exceeded", Kind::ContextLength),
    ("model_context_window_exceeded", Kind::ContextLength),
    ("exceed_context_size_error", Kind::ContextLength),
    ("string_above_max_length", Kind::ContextLength),
    ("too_many_prompt_tokens", Kind::ContextLength),
    ("too_many_tokens", Kind::ContextLength),
    ("content_filter", Kind::ContentPolicy),
    ("content_policy_violation", Kind::ContentPolicy),
    ("responsibleaipolicyviolation", Kind::ContentPolicy),
    ("data_inspection_failed", Kind::ContentPolicy),
    ("datainspectionfailed", Kind::ContentPolicy),
    ("moderation_blocked", Kind::ContentPolicy),
    ("sensitivecontentdetected", Kind::ContentPolicy),
    ("inputtextsensitivecontentdetected", Kind::ContentPolicy),
    ("1301", Kind::ContentPolicy),
    ("invalid_api_key", Kind::Authentication),
    ("invalid_authentication_error", Kind::Authentication),
    ("incorrect_api_key_error", Kind::Authentication),
    ("authentication_error", Kind::Authentication),
    ("authenticationerror", Kind::Authentication),
    ("wrong_api_key", Kind::Authentication),
    ("unauthorized", Kind::Authentication),
    ("1000", Kind::Authentication),
    ("1001", Kind::Authentication),
    ("1002", Kind::Authentication),
    ("1003", Kind::Authentication),
    ("1004", Kind::Authentication),
    ("insufficient_quota", Kind::Billing),
    ("exceeded_current_quota_error", Kind::Billing),
    ("insufficient_balance", Kind::Billing),
    ("billing_hard_limit_reached", Kind::Billing),
    ("billing_not_active", Kind::Billing),
    ("billing_error", Kind::Billing),
    ("payment_required", Kind::Billing),
    ("accountoverdueerror", Kind::Billing),
    ("arrearage", Kind::Billing),
    ("1113", Kind::Billing),
    ("permission_denied", Kind::Permission),
    ("permission_denied_error", Kind::Permission),
    ("permission_error", Kind::Permission),
    ("access_denied", Kind::Permission),
    ("accessdenied", Kind::Permission),
    ("unsupported_country_region_territory", Kind::Permission),
    ("model_not_found", Kind::UnknownModel),
    ("model_not_available", Kind::UnknownModel),
    ("invalid_model", Kind::UnknownModel),
    ("modelnotfound", Kind::UnknownModel),
    ("deploymentnotfound", Kind::UnknownModel),
    ("invalidendpointormodel.notfound", Kind::UnknownModel),
    ("1211", Kind::UnknownModel),
    ("rate_limit_exceeded", Kind::RateLimit),
    ("rate_limit_error", Kind::RateLimit),
    ("rate_limit_reached_error", Kind::RateLimit),
    ("ratelimitreached", Kind::RateLimit),
    ("toomanyrequests", Kind::RateLimit),
    ("throttling", Kind::RateLimit),
    ("1302", Kind::RateLimit),
    ("1303", Kind::RateLimit),
    ("1305", Kind::RateLimit),
    ("engine_overloaded_error", Kind::Overloaded),
    ("engine_overloaded", Kind::Overloaded),
    ("overloaded_error", Kind::Overloaded),
    ("service_unavailable", Kind::Overloaded),
    ("server_error", Kind::Upstream),
    ("internal_server_error", Kind::Upstream),
];

/// Phrases that tell more than code and status do, in lower case: they are looked for where neither decides.
const PHRASES: [(&str, Kind); 27] = [
    ("maximum context length", Kind::ContextLength),
    ("context length exceeded", Kind::ContextLength),
    ("context window", Kind::ContextLength),
    ("context size", Kind::ContextLength),
    ("prompt is too long", Kind::ContextLength),
    ("input is too long", Kind::ContextLength),
    ("messages is too long", Kind::ContextLength),
    ("too many tokens", Kind::ContextLength),
    ("maximum prompt length", Kind::ContextLength),
    ("too large for model with", Kind::ContextLength),
    ("content management policy", Kind::ContentPolicy),
    ("content policy", Kind::ContentPolicy),
    ("incorrect api key", Kind::Authentication),
    ("invalid api key", Kind::Authentication),
    ("invalid api-key", Kind::Authentication),
    ("api key not valid", Kind::Authentication),
    ("api key expired", Kind::Authentication),
    ("no auth credentials", Kind::Authentication),
    ("insufficient balance", Kind::Billing),
    ("insufficient credits", Kind::Billing),
    ("credit balance is too low", Kind::Billing),
    ("exceeded your current quota", Kind::Billing),
    ("model not exist", Kind::UnknownModel),
    ("is not a valid model id", Kind::UnknownModel),
    ("invalid model:", Kind::UnknownModel),
    ("rate-limited", Kind::RateLimit),
    ("rate limit", Kind::RateLimit),
];

/// Whether an object is a failure in place of, or beside, an answer.
pub(crate) fn is_error(fields: &Object) -> bool {
    match fields.get("error") {
        Some(Value::Object(error)) => !error.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        _ => fields.get("object").and_then(Value::as_str) == Some("error"),
    }
}

/// A failure in a stream; the status is what the body tells.
pub(crate) fn of_chunk(fields: &Object) -> ApiError {
    read(None, &Value::Object(fields.clone()))
}

/// Reads a failure. A body of no known shape becomes the message.
pub(crate) fn decode(status: u16, body: &[u8]) -> ApiError {
    let status = (400..600).contains(&status).then_some(status);
    match serde_json::from_slice::<Value>(body) {
        Ok(value) if value.is_object() || value.is_array() => read(status, &value),
        _ => {
            let text = String::from_utf8_lossy(body);
            let text = shorten(text.trim());
            let kind = judge(status, &[], text);
            ApiError { status, retry_after: retry_after(text), ..ApiError::new(kind, text) }
        }
    }
}

fn shorten(text: &str) -> &str {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn read(status: Option<u16>, body: &Value) -> ApiError {
    let body = body.as_array().and_then(|list| list.first()).unwrap_or(body);
    // Where the words are: the inner object, or the outer one of the flat shapes.
    let inner = body.get("error").filter(|error| error.is_object()).unwrap_or(body);
    let field = |name: &str| inner.get(name).and_then(word).or_else(|| body.get(name).and_then(word));
    let code = field("code").or_else(|| field("error_type"));
    let kind_word = field("type").filter(|kind| kind != "error");
    let told = status.or_else(|| told_status(inner).or_else(|| told_status(body)));
    let message = message(inner, body);
    let words: Vec<&str> = [code.as_deref(), kind_word.as_deref()].into_iter().flatten().collect();
    let gemini = inner.get("status").and_then(Value::as_str);
    let kind = judge(told, &words, &message);
    let delay = body.pointer("/error/details").or_else(|| inner.get("details")).and_then(retry_delay);
    ApiError {
        kind,
        status: told,
        retry_after: delay.or_else(|| retry_after(&message)),
        code: code.or_else(|| gemini.map(str::to_owned)),
        r#type: kind_word,
        param: inner
            .get("param")
            .or_else(|| body.get("param"))
            .and_then(Value::as_str)
            .filter(|param| !param.is_empty())
            .map(str::to_owned),
        request_id: None,
        message,
    }
}

/// The status that a body tells, for failures inside of streams.
fn told_status(fields: &Value) -> Option<u16> {
    ["code", "status_code", "raw_status_code", "status", "statusCode"]
        .into_iter()
        .filter_map(|name| word(fields.get(name)?)?.parse::<u16>().ok())
        .find(|status| (400..600).contains(status))
}

fn message(inner: &Value, body: &Value) -> String {
    let texts = [
        inner.get("message"),
        body.get("message"),
        body.get("error"),
        body.get("detail"),
        inner.get("msg"),
        inner.get("detail"),
    ];
    let mut text = texts.into_iter().flatten().find_map(told).unwrap_or_else(|| shorten(&body.to_string()).to_owned());
    // OpenRouter: "Provider returned error", and the truth in the raw text, which may be JSON itself.
    if let Some(raw) = inner.pointer("/metadata/raw").and_then(Value::as_str).filter(|raw| !raw.is_empty()) {
        let nested = serde_json::from_str::<Value>(raw).ok().filter(Value::is_object);
        let own = nested.map(|nested| {
            let inner = nested.get("error").filter(|error| error.is_object()).unwrap_or(&nested);
            inner.get("message").and_then(told).unwrap_or_else(|| raw.to_owned())
        });
        text = format!("{text}: {}", shorten(&own.unwrap_or_else(|| raw.to_owned())));
    }
    if let Some(failed) = inner.get("failed_generation").and_then(Value::as_str).filter(|failed| !failed.is_empty()) {
        text = format!("{text} (failed generation: {})", shorten(failed));
    }
    text
}

/// A text, or a list of what is wrong with which field.
fn told(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Array(list) if !list.is_empty() => {
            let line = |entry: &Value| {
                let text = entry.get("msg").or_else(|| entry.get("message"))?.as_str()?;
                let place = entry
                    .get("loc")
                    .and_then(Value::as_array)
                    .map(|loc| loc.iter().filter_map(word).collect::<Vec<_>>().join("."));
                Some(place.map_or_else(|| text.to_owned(), |place| format!("{place}: {text}")))
            };
            let lines: Vec<String> = list.iter().filter_map(line).collect();
            (!lines.is_empty()).then(|| lines.join("; "))
        }
        Value::Object(_) => value.get("message").or_else(|| value.get("detail")).and_then(told),
        _ => None,
    }
}

/// What a failure means: a certain word, else a certain status, else a phrase, else the status.
fn judge(status: Option<u16>, words: &[&str], message: &str) -> Kind {
    let known = words.iter().find_map(|word| by_word(&word.to_ascii_lowercase()));
    let lower = message.to_ascii_lowercase();
    let phrase = PHRASES.iter().find(|(phrase, _)| lower.contains(phrase)).map(|(_, kind)| *kind);
    match (status, known) {
        (Some(401), _) => Kind::Authentication,
        (Some(402), _) => Kind::Billing,
        // Vague words: hosts use them for whatever went wrong.
        (_, Some(Kind::Upstream)) => phrase.filter(|kind| *kind == Kind::ContextLength).unwrap_or(Kind::Upstream),
        (_, Some(kind)) => kind,
        (Some(404), None) if lower.contains("model") => Kind::UnknownModel,
        (Some(429), None) => phrase.filter(|kind| *kind == Kind::Billing).unwrap_or(Kind::RateLimit),
        (Some(status), None) => {
            let plain = Kind::from_status(status);
            let vague = matches!(plain, Kind::InvalidRequest | Kind::TooLarge | Kind::Upstream | Kind::Permission);
            let missing = plain == Kind::InvalidRequest && is_missing_model(&lower);
            match phrase {
                Some(kind) if vague => kind,
                _ if missing => Kind::UnknownModel,
                _ => plain,
            }
        }
        (None, None) => {
            let refused = words.iter().any(|word| word.eq_ignore_ascii_case("invalid_request_error"));
            phrase.unwrap_or(if refused { Kind::InvalidRequest } else { Kind::Upstream })
        }
    }
}

fn is_missing_model(lower: &str) -> bool {
    lower.contains("model") && (lower.contains("does not exist") || lower.contains("not found"))
}

fn by_word(word: &str) -> Option<Kind> {
    let exact = WORDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind);
    // Doubao: ModelAccountTpmRateLimitExceeded and many like it.
    exact.or_else(|| {
        let ends = [
            ("ratelimitexceeded", Kind::RateLimit),
            ("quotaexceeded", Kind::RateLimit),
            ("sensitivecontentdetected", Kind::ContentPolicy),
            ("overloaded", Kind::Overloaded),
        ];
        ends.into_iter().find(|(end, _)| word.ends_with(end)).map(|(_, kind)| kind)
    })
}

/// "Please try again in 1.2s", "6m0s", "20 seconds", "350ms".
pub(crate) fn retry_after(text: &str) -> Option<Duration> {
    let lower = text.to_ascii_lowercase();
    ["try again in ", "retry after ", "retry in ", "try again after "]
        .into_iter()
        .find_map(|phrase| duration(lower.split_once(phrase)?.1.trim_start()))
}

/// A span of time as hosts write it: numbers with units, a bare number being seconds.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    let mut any = false;
    loop {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let Some(amount) = rest.get(..digits).and_then(|number| number.trim_end_matches('.').parse::<f64>().ok())
        else {
            break;
        };
        let after = rest.get(digits..).unwrap_or_default();
        let after = if any { after } else { after.trim_start() };
        let letters = after.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(after.len());
        let unit = after.get(..letters).unwrap_or_default();
        let scale = match unit {
            "ms" | "milliseconds" | "millisecond" => 0.001,
            "" | "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            _ => break,
        };
        seconds += amount * scale;
        any = true;
        rest = after.get(letters..).unwrap_or_default();
        if unit.is_empty() {
            break;
        }
    }
    // A month is no delay but a mistake.
    (any && seconds <= 2_678_400.0).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

/// Google's `details[].retryDelay`.
fn retry_delay(details: &Value) -> Option<Duration> {
    details.as_array()?.iter().find_map(|detail| duration(detail.get("retryDelay")?.as_str()?))
}

/// How each kind is called in Chat: type and code.
const NAMES: [(Kind, &str, Option<&str>); 15] = [
    (Kind::InvalidRequest, "invalid_request_error", None),
    (Kind::ContextLength, "invalid_request_error", Some("context_length_exceeded")),
    (Kind::ContentPolicy, "invalid_request_error", Some("content_filter")),
    (Kind::Authentication, "invalid_request_error", Some("invalid_api_key")),
    (Kind::Billing, "insufficient_quota", Some("insufficient_quota")),
    (Kind::Permission, "invalid_request_error", Some("permission_denied")),
    (Kind::UnknownModel, "invalid_request_error", Some("model_not_found")),
    (Kind::NotFound, "invalid_request_error", Some("not_found")),
    (Kind::Conflict, "invalid_request_error", Some("conflict")),
    (Kind::TooLarge, "invalid_request_error", Some("request_too_large")),
    (Kind::RateLimit, "rate_limit_error", Some("rate_limit_exceeded")),
    (Kind::Upstream, "server_error", Some("upstream_error")),
    (Kind::Overloaded, "server_error", Some("overloaded")),
    (Kind::Timeout, "server_error", Some("timeout")),
    (Kind::Internal, "server_error", Some("internal_error")),
];

/// A failure in Chat's shape.
pub(crate) fn body(error: &ApiError) -> Object {
    let (r#type, code) = NAMES
        .iter()
        .find(|(kind, ..)| *kind == error.kind)
        .map_or(("server_error", None), |(_, r#type, code)| (*r#type, *code));
    // A plain bad request is told apart by the provider's own code (`unsupported_parameter`); everything else in Chat's words.
    let own = error.code.as_deref().filter(|code| code.bytes().any(|byte| byte.is_ascii_alphabetic()));
    let code = code.or(own);
    let mut inner = one("message", error.message.as_str());
    inner.insert("type".into(), r#type.into());
    inner.insert("param".into(), error.param.as_deref().into());
    inner.insert("code".into(), code.into());
    let mut fields = one("error", inner);
    if let Some(id) = &error.request_id {
        fields.insert("request_id".into(), id.as_str().into());
    }
    fields
}

/// Writes a failure for a client.
pub(crate) fn encode(error: &ApiError) -> Vec<u8> {
    json(&body(error))
}
