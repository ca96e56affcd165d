//! Azure's three shapes of addresses.
//!
//! | shape | address | model |
//! |---|---|---|
//! | v1 | `{resource}/openai/v1/chat/completions` | deployment in the body |
//! | classic | `{resource}/openai/deployments/{deployment}/chat/completions?api-version=…` | deployment in the path |
//! | Foundry | `{resource}/models/chat/completions?api-version=…` | model in the body |
//!
//! Which one is meant follows from the written address and from the option `api_version`: an address with `/models` is Foundry's, a dated
//! version is classic, everything else is v1. Claude is at `{resource}/anthropic` in all of them.

use myelin_protocol::ApiFormat;
use serde_json::{Map, Value};

use super::ChannelError;
use super::base::Base;
use super::catalog::Endpoint;
use super::endpoint::Targets;
use super::template::{Target, option};

/// The version that Foundry's `/models` takes when none is written.
const FOUNDRY_VERSION: &str = "2024-05-01-preview";

enum Shape {
    V1,
    Classic(String),
    Foundry(String),
}

/// Addresses of one endpoint; `None`: this shape does not have it.
pub(super) fn targets(
    endpoint: &Endpoint,
    bases: &[Base],
    options: &Map<String, Value>,
) -> Result<Option<Targets>, ChannelError> {
    let mut targets = Targets::default();
    for base in bases {
        let Some(path) = path(base, endpoint.format, options) else { return Ok(None) };
        let target = Target::new(&base.scheme, &base.authority, &path)?;
        targets.chat.push(target.clone());
        targets.stream.push(target);
        if endpoint.format == ApiFormat::AnthropicMessages {
            let count = format!("{path}/count_tokens");
            targets.count.push(Target::new(&base.scheme, &base.authority, &count)?);
        }
    }
    Ok(Some(targets))
}

/// Address of everything that is OpenAI's (embeddings, images, audio, model list): `what` is the path after the deployment.
pub(super) fn side(base: &Base, what: &str, options: &Map<String, Value>) -> String {
    let root = root(base);
    match shape(base, options) {
        // Models are listed for the resource, whatever the shape of the rest.
        _ if what == "/models" => format!("{root}/openai/v1/models"),
        Shape::V1 => format!("{root}/openai/v1{what}"),
        Shape::Classic(version) => format!("{root}/openai/deployments/{{model}}{what}?api-version={version}"),
        Shape::Foundry(version) => format!("{root}/models{what}?api-version={version}"),
    }
}

fn path(base: &Base, format: ApiFormat, options: &Map<String, Value>) -> Option<String> {
    let root = root(base);
    match (format, shape(base, options)) {
        (ApiFormat::AnthropicMessages, _) => Some(format!("{root}/anthropic/v1/messages")),
        (ApiFormat::OpenaiChat, _) => Some(side(base, "/chat/completions", options)),
        (ApiFormat::OpenaiResponses, Shape::V1) => Some(format!("{root}/openai/v1/responses")),
        // Before v1, Responses were not below a deployment.
        (ApiFormat::OpenaiResponses, Shape::Classic(version)) if version.as_str() >= "2025-03-01" => {
            Some(format!("{root}/openai/responses?api-version={version}"))
        }
        _ => None,
    }
}

/// The resource, whatever else was pasted with it.
fn root(base: &Base) -> &str {
    ["/openai", "/models", "/anthropic"]
        .iter()
        .find_map(|piece| base.path.split_once(piece).map(|(root, _)| root))
        .unwrap_or(&base.path)
}

fn shape(base: &Base, options: &Map<String, Value>) -> Shape {
    let written = base
        .query
        .as_deref()
        .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("api-version=")).map(str::to_owned));
    let version = written.or_else(|| option("api_version", options, &Map::new()));
    let dated = version.filter(|version| version.starts_with("20"));
    if base.path.ends_with("/models") {
        return Shape::Foundry(dated.unwrap_or_else(|| FOUNDRY_VERSION.to_owned()));
    }
    match dated {
        Some(version) if !base.path.ends_with("/v1") => Shape::Classic(version),
        _ => Shape::V1,
    }
}
