//! What an answer that is no success means: whose fault, whether another try makes sense, what the caller may read.
//!
//! Two rules bind everything here. A provider's words and status reach the caller (clients match on them): a 400 stays a 400, a 429 a 429, a 529
//! a 529. But a provider that refuses *our* credential must not look like the caller's key being wrong: that becomes 502 with words that
//! name the channel, and the provider's own words go to the log only.

use http::HeaderMap;
use myelin_protocol::{ApiError, ApiErrorKind};
use serde::Deserialize;

use super::catalog::Provider;
use super::retry_after::retry_after;
use crate::error::{GatewayError, Kind, Retry, codes};

/// What a provider's failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// More tokens than the model takes.
    ContextLength,
    /// Refused by a content policy.
    ContentPolicy,
    /// The request is larger than the provider takes.
    TooLarge,
    /// The request is wrong.
    Rejected,
    /// The provider does not have the model (under this name).
    UnknownModel,
    /// The address or the thing asked for does not exist.
    NotFound,
    /// Our key is wrong.
    BadKey,
    /// Our key is good but not for this.
    Forbidden,
    /// Our account has no money.
    NoCredit,
    /// Too many requests or tokens.
    RateLimit,
    /// The provider has no room.
    Overloaded,
    /// The provider failed.
    Failed,
    /// The provider took too long.
    Timeout,
}

/// One rule: everything that is given must fit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ErrorRule {
    /// HTTP status.
    #[serde(default)]
    pub status: Option<u16>,
    /// The provider's code or type, exactly but for case.
    #[serde(default)]
    pub code: Option<String>,
    /// Words in the message, but for case.
    #[serde(default)]
    pub message: Option<String>,
    /// What it means.
    pub class: Class,
}

/// Codes and types that mean the same at every provider that uses them.
const CODES: &[(&str, Class)] = &[
    ("context_length_exceeded", Class::ContextLength),
    ("exceed_context_size_error", Class::ContextLength),
    ("model_context_window_exceeded", Class::ContextLength),
    ("too_many_prompt_tokens", Class::ContextLength),
    ("content_filter", Class::ContentPolicy),
    ("content_policy_violation", Class::ContentPolicy),
    ("responsibleaipolicyviolation", Class::ContentPolicy),
    ("moderation_blocked", Class::ContentPolicy),
    ("data_inspection_failed", Class::ContentPolicy),
    ("datainspectionfailed", Class::ContentPolicy),
    ("sensitivecontentdetected", Class::ContentPolicy),
    ("request_too_large", Class::TooLarge),
    ("invalid_api_key", Class::BadKey),
    ("api_key_invalid", Class::BadKey),
    ("invalid_authentication_error", Class::BadKey),
    ("unrecognizedclientexception", Class::BadKey),
    ("invalidsignatureexception", Class::BadKey),
    ("expiredtokenexception", Class::BadKey),
    ("insufficient_quota", Class::NoCredit),
    ("billing_error", Class::NoCredit),
    ("billing_not_active", Class::NoCredit),
    ("billing_hard_limit_reached", Class::NoCredit),
    ("insufficient_balance", Class::NoCredit),
    ("exceeded_current_quota_error", Class::NoCredit),
    ("arrearage", Class::NoCredit),
    ("accountoverdueerror", Class::NoCredit),
    ("unsupported_country_region_territory", Class::Forbidden),
    ("accessdeniedexception", Class::Forbidden),
    ("model_not_found", Class::UnknownModel),
    ("invalid_model", Class::UnknownModel),
    ("deploymentnotfound", Class::UnknownModel),
    ("modelnotopen", Class::UnknownModel),
    ("invalidendpointormodel.notfound", Class::UnknownModel),
    ("rate_limit_exceeded", Class::RateLimit),
    ("rate_limit_error", Class::RateLimit),
    ("throttlingexception", Class::RateLimit),
    ("engine_overloaded_error", Class::Overloaded),
    ("overloaded_error", Class::Overloaded),
    ("serviceunavailableexception", Class::Overloaded),
    ("modelnotreadyexception", Class::Overloaded),
    ("modeltimeoutexception", Class::Timeout),
    ("modelerrorexception", Class::Failed),
];

/// Words that mean the same at every provider that uses them, where there is no code. For answers of 4xx only. First fit counts.
const WORDS: &[(&str, Class)] = &[
    ("prompt is too long", Class::ContextLength),
    ("maximum context length", Class::ContextLength),
    ("context window", Class::ContextLength),
    ("context length", Class::ContextLength),
    ("context size", Class::ContextLength),
    ("input is too long", Class::ContextLength),
    ("length of all messages is too long", Class::ContextLength),
    ("exceeds the maximum number of tokens", Class::ContextLength),
    ("range of input length should be", Class::ContextLength),
    ("too many tokens", Class::ContextLength),
    ("content management policy", Class::ContentPolicy),
    ("blocked by content filtering", Class::ContentPolicy),
    ("content exists risk", Class::ContentPolicy),
    ("rejected by the safety system", Class::ContentPolicy),
    ("your input was flagged", Class::ContentPolicy),
    ("api key not valid", Class::BadKey),
    ("api key expired", Class::BadKey),
    ("incorrect api key", Class::BadKey),
    ("invalid api key", Class::BadKey),
    ("invalid x-api-key", Class::BadKey),
    ("missing scopes", Class::Forbidden),
    ("credit balance is too low", Class::NoCredit),
    ("insufficient balance", Class::NoCredit),
    ("insufficient credit", Class::NoCredit),
    ("used all available credits", Class::NoCredit),
    ("model not found", Class::UnknownModel),
    ("model not exist", Class::UnknownModel),
    ("model does not exist", Class::UnknownModel),
    ("does not exist or you do not have access", Class::UnknownModel),
    ("invalid model", Class::UnknownModel),
    ("unknown model", Class::UnknownModel),
    ("not a valid model id", Class::UnknownModel),
    ("model identifier is invalid", Class::UnknownModel),
    ("is not found for api version", Class::UnknownModel),
    ("no endpoints found", Class::UnknownModel),
    ("on-demand throughput isn", Class::UnknownModel),
    ("reached the end of its life", Class::UnknownModel),
    ("try pulling it first", Class::UnknownModel),
];

/// What a provider's failure means. `status` is the HTTP status; for a failure inside a stream that of the stream (200).
pub fn classify(
    status: u16,
    headers: &HeaderMap,
    mut error: ApiError,
    provider: &Provider,
    channel: &str,
    now_ms: u64,
) -> GatewayError {
    let status =
        if (200..300).contains(&status) { error.status.unwrap_or_else(|| error.kind.status()) } else { status };
    name_aws(headers, &mut error);
    if status == 407 {
        return by_proxy(channel);
    }
    let class = class(status, &error, provider);
    let after = retry_after(headers, &error, now_ms);
    if looks_like_a_page(&error.message) {
        error.message = format!(
            "the provider of channel `{channel}` answered {status} with a page instead of JSON; check its address"
        );
    }
    error.retry_after = after;
    error.status = Some(if (400..600).contains(&status) { status } else { 502 });
    let told = headers.get("x-should-retry").and_then(|value| value.to_str().ok());
    let mut failure = meaning(class, error, channel, status);
    failure.retry = match (failure.retry, told) {
        (Retry::Again { .. }, Some("false")) => Retry::Elsewhere,
        (Retry::Never, Some("true")) if status == 409 => Retry::Again { after },
        (retry, _) => retry,
    };
    failure
}

/// AWS says what is wrong in a header, `ValidationException:http://…`; the body has only words.
fn name_aws(headers: &HeaderMap, error: &mut ApiError) {
    if error.r#type.is_none()
        && let Some(kind) = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok())
    {
        error.r#type = Some(kind.split(':').next().unwrap_or(kind).to_owned());
    }
}

fn meaning(class: Class, mut error: ApiError, channel: &str, status: u16) -> GatewayError {
    let after = error.retry_after;
    let (kind, api_kind, retry) = match class {
        Class::ContextLength => (Kind::UpstreamRejected, ApiErrorKind::ContextLength, Retry::Never),
        Class::ContentPolicy => (Kind::UpstreamRejected, ApiErrorKind::ContentPolicy, Retry::Never),
        Class::TooLarge => (Kind::UpstreamRejected, ApiErrorKind::TooLarge, Retry::Never),
        Class::Rejected => (Kind::UpstreamRejected, error.kind, Retry::Never),
        Class::UnknownModel => (Kind::UpstreamRejected, ApiErrorKind::UnknownModel, Retry::Elsewhere),
        Class::NotFound => (Kind::UpstreamRejected, ApiErrorKind::NotFound, Retry::Elsewhere),
        Class::BadKey => {
            return denied(
                error,
                format!(
                    "the provider of channel `{channel}` refuses the key that this channel is set up with ({status})"
                ),
            );
        }
        Class::Forbidden => {
            let words = format!(
                "the provider of channel `{channel}` does not allow this to the key that Myelin uses there ({status}): {}",
                error.message
            );
            let failure = denied(error, words);
            return if status == 401 { failure.code(codes::NOT_FOR_THIS) } else { failure };
        }
        Class::NoCredit => {
            error.message =
                format!("the account of channel `{channel}` at the provider has no credit: {}", error.message);
            error.status = Some(if status == 429 { 429 } else { 402 });
            (Kind::UpstreamDenied, ApiErrorKind::Billing, Retry::Elsewhere)
        }
        Class::RateLimit => (Kind::UpstreamRateLimited, ApiErrorKind::RateLimit, Retry::Again { after }),
        Class::Overloaded => (Kind::UpstreamFailed, ApiErrorKind::Overloaded, Retry::Again { after }),
        Class::Timeout => (Kind::Timeout, ApiErrorKind::Timeout, Retry::Again { after }),
        Class::Failed if status == 501 || status < 500 => {
            (Kind::UpstreamFailed, ApiErrorKind::Upstream, Retry::Elsewhere)
        }
        Class::Failed => (Kind::UpstreamFailed, ApiErrorKind::Upstream, Retry::Again { after }),
    };
    error.kind = api_kind;
    GatewayError { kind, retry, public: error, source: None }
}

/// Not the provider but the proxy on the way there speaks, and what it says is no concern of the caller's.
fn by_proxy(channel: &str) -> GatewayError {
    let words = format!("the proxy of channel `{channel}` wants another login (407)");
    let public = ApiError { status: Some(502), ..ApiError::new(ApiErrorKind::Upstream, words) };
    GatewayError { kind: Kind::UpstreamFailed, retry: Retry::Elsewhere, public, source: None }
}

/// Our credential is refused: 502 for the caller, the provider's words for the log.
fn denied(error: ApiError, words: String) -> GatewayError {
    let mut public = ApiError::new(ApiErrorKind::Upstream, words);
    public.status = Some(502);
    public.code = Some("upstream_denied".to_owned());
    GatewayError { kind: Kind::UpstreamDenied, retry: Retry::Elsewhere, public, source: Some(error.message.into()) }
}

/// What a failure means: the provider's own rules, then codes, then words, then what the format says, then the status.
fn class(status: u16, error: &ApiError, provider: &Provider) -> Class {
    let message = error.message.to_ascii_lowercase();
    let named =
        |code: &str| [&error.code, &error.r#type].into_iter().flatten().any(|text| text.eq_ignore_ascii_case(code));
    let fits = |rule: &&ErrorRule| {
        rule.status.is_none_or(|wanted| wanted == status)
            && rule.code.as_deref().is_none_or(named)
            && rule.message.as_deref().is_none_or(|words| message.contains(&words.to_ascii_lowercase()))
    };
    if let Some(rule) = provider.errors.iter().find(fits) {
        return rule.class;
    }
    if let Some((_, class)) = CODES.iter().find(|(code, _)| named(code)) {
        return *class;
    }
    // A limit is a limit whatever its words speak of ("too many tokens per minute", "context length of your tier").
    if (400..500).contains(&status)
        && status != 429
        && let Some((_, class)) = WORDS.iter().find(|(words, _)| message.contains(words))
    {
        return *class;
    }
    by_kind(error.kind, status).unwrap_or_else(|| by_status(status))
}

/// What the format's own words say, where they say more than the status.
fn by_kind(kind: ApiErrorKind, status: u16) -> Option<Class> {
    Some(match kind {
        ApiErrorKind::ContextLength => Class::ContextLength,
        ApiErrorKind::ContentPolicy => Class::ContentPolicy,
        ApiErrorKind::Authentication => Class::BadKey,
        ApiErrorKind::Billing => Class::NoCredit,
        ApiErrorKind::Permission => Class::Forbidden,
        ApiErrorKind::UnknownModel => Class::UnknownModel,
        ApiErrorKind::TooLarge => Class::TooLarge,
        ApiErrorKind::RateLimit => Class::RateLimit,
        ApiErrorKind::Overloaded => Class::Overloaded,
        ApiErrorKind::Timeout => Class::Timeout,
        ApiErrorKind::NotFound if status == 404 => Class::NotFound,
        _ => return None,
    })
}

fn by_status(status: u16) -> Class {
    match status {
        401 => Class::BadKey,
        402 => Class::NoCredit,
        403 => Class::Forbidden,
        404 => Class::NotFound,
        408 | 504 | 522 | 524 => Class::Timeout,
        413 => Class::TooLarge,
        424 => Class::Failed,
        429 => Class::RateLimit,
        503 | 529 => Class::Overloaded,
        400..=499 => Class::Rejected,
        _ => Class::Failed,
    }
}

fn looks_like_a_page(message: &str) -> bool {
    let start = message.trim_start().get(..9).unwrap_or_default().to_ascii_lowercase();
    start.starts_with("<!doctype") || start.starts_with("<html")
}
