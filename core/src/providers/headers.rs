//! Which headers and which part of the query of a caller go on to a provider.
//!
//! A list of what is known to be useful, not of what is dangerous: a caller's key, cookies and addresses never go on.

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use myelin_protocol::ApiFormat;
use myelin_protocol::formats::anthropic_messages::betas::{Betas, for_host};

use super::operation::{ClientHead, Operation};

/// Headers of callers that any provider may see: what the tool is, which session it is in (providers keep prompt caches by it).
const ALWAYS: [&str; 12] = [
    "user-agent",
    "x-app",
    "x-session-id",
    "session-id",
    "session_id",
    "conversation_id",
    "thread-id",
    "thread_id",
    "x-session-affinity",
    "x-client-request-id",
    "x-claude-code-session-id",
    "x-grok-conv-id",
];

/// Headers of callers that only hosts of one family of formats understand.
const BY_FORMAT: [(&[ApiFormat], &[&str]); 3] = [
    (&[ApiFormat::AnthropicMessages], &["anthropic-version"]),
    (
        &[ApiFormat::OpenaiChat, ApiFormat::OpenaiResponses, ApiFormat::OpenaiCompletions],
        &[
            "openai-beta",
            "originator",
            "http-referer",
            "x-title",
            "x-initiator",
            "x-openai-subagent",
            "x-dashscope-session-cache",
        ],
    ),
    (&[ApiFormat::Gemini], &["x-goog-api-client", "x-gemini-api-privileged-user-id"]),
];

/// Headers that begin like this go with OpenAI's formats.
const OPENAI_PREFIXES: [&str; 2] = ["x-codex-", "x-openrouter-"];

const BETA: &str = "anthropic-beta";
const ANTHROPIC_VERSION: &str = "2023-06-01";
const OWN_AGENT: &str = concat!("myelin/", env!("CARGO_PKG_VERSION"));

/// What of a caller's `anthropic-beta` the host takes, and what was left out. Hosts that are nobody's that the table knows get nothing.
pub(super) fn betas(format: Option<ApiFormat>, host: Option<&str>, client: ClientHead<'_>) -> Betas {
    let Some(sent) = client.headers.filter(|_| format == Some(ApiFormat::AnthropicMessages)) else {
        return Betas::default();
    };
    let values = sent.get_all(BETA).iter().filter_map(|value| value.to_str().ok());
    for_host(host.unwrap_or_default(), values)
}

/// Puts the values that are left into a request.
pub(super) fn put_betas(betas: &Betas, headers: &mut HeaderMap) {
    if !headers.contains_key(BETA)
        && !betas.header.is_empty()
        && let Ok(value) = HeaderValue::try_from(betas.header.join(","))
    {
        headers.insert(HeaderName::from_static(BETA), value);
    }
}

/// The headers of a request: the channel's own (`fixed`) win over the caller's, the caller's over the usual ones.
pub(super) fn compose(
    operation: &Operation<'_>,
    format: Option<ApiFormat>,
    client: ClientHead<'_>,
    fixed: &HeaderMap,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12 + fixed.len());
    headers.insert(USER_AGENT, HeaderValue::from_static(OWN_AGENT));
    headers.insert(ACCEPT, HeaderValue::from_static(accept(operation, format)));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if has_body(operation) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if format == Some(ApiFormat::AnthropicMessages) {
        headers.insert(HeaderName::from_static("anthropic-version"), HeaderValue::from_static(ANTHROPIC_VERSION));
    }
    if let Some(sent) = client.headers {
        forward(sent, format, &mut headers);
        if matches!(operation, Operation::Surface { .. })
            && let Some(kind) = sent.get(CONTENT_TYPE)
        {
            // Multipart bodies have their boundary here.
            headers.insert(CONTENT_TYPE, kind.clone());
        }
    }
    for (name, value) in fixed {
        headers.insert(name.clone(), value.clone());
    }
    headers
}

fn forward(sent: &HeaderMap, format: Option<ApiFormat>, headers: &mut HeaderMap) {
    for (name, value) in sent {
        let text = name.as_str();
        let by_format = |(formats, names): &(&[ApiFormat], &[&str])| {
            format.is_some_and(|format| formats.contains(&format)) && names.contains(&text)
        };
        let openai =
            matches!(format, Some(ApiFormat::OpenaiChat | ApiFormat::OpenaiResponses | ApiFormat::OpenaiCompletions));
        if ALWAYS.contains(&text)
            || BY_FORMAT.iter().any(by_format)
            || openai && OPENAI_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
        {
            headers.insert(name.clone(), value.clone());
        }
    }
}

fn accept(operation: &Operation<'_>, format: Option<ApiFormat>) -> &'static str {
    match (operation, format) {
        (Operation::Chat { stream: true, .. }, Some(ApiFormat::BedrockConverse)) => {
            "application/vnd.amazon.eventstream"
        }
        (Operation::Chat { stream: true, .. }, Some(ApiFormat::OllamaChat | ApiFormat::OllamaGenerate)) => {
            "application/x-ndjson"
        }
        (Operation::Chat { stream: true, .. }, _) => "text/event-stream",
        (Operation::Surface { .. } | Operation::Responses { .. }, _) => "*/*",
        _ => "application/json",
    }
}

fn has_body(operation: &Operation<'_>) -> bool {
    match operation {
        Operation::Models { .. } => false,
        Operation::Responses { method, .. } => **method == http::Method::POST,
        _ => true,
    }
}

/// What of a caller's query goes on. A key in it never does.
pub(super) fn query(operation: &Operation<'_>, format: Option<ApiFormat>, sent: Option<&str>) -> Option<String> {
    let pairs = || sent.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let kept: Vec<&str> = match operation {
        Operation::Responses { .. } | Operation::Surface { .. } => pairs()
            .filter(|pair| !matches!(name(pair).as_str(), "key" | "api-key" | "api_key" | "api-version" | "alt"))
            .collect(),
        Operation::Chat { .. } | Operation::CountTokens { .. } if format == Some(ApiFormat::AnthropicMessages) => {
            pairs().filter(|pair| *pair == "beta=true").collect()
        }
        _ => Vec::new(),
    };
    (!kept.is_empty()).then(|| kept.join("&"))
}
