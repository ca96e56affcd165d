//! Lists of models and other small answers, in each provider's own shape.

use serde_json::{Value, json};

use crate::provider::Provider;
use crate::wire::CREATED;

/// Names that a provider lists. Any other name is answered as well, but `missing…` ones.
pub(crate) fn names(provider: &str) -> &'static [&'static str] {
    match provider {
        "anthropic" => &["claude-sonnet-4-5", "claude-opus-4-6", "claude-haiku-4-5"],
        "gemini" | "vertex" => &["gemini-2.5-flash", "gemini-3-pro-preview", "gemini-embedding-001"],
        "bedrock" => &["anthropic.claude-sonnet-4-5-v1:0", "amazon.nova-pro-v1:0"],
        "deepseek" => &["deepseek-chat", "deepseek-reasoner"],
        "moonshot" => &["kimi-k2-thinking", "kimi-k2"],
        "mistral" => &["mistral-large-latest", "magistral-medium-latest"],
        "ollama" => &["llama3.2:latest", "qwen3:8b"],
        _ => &["gpt-4o-mini", "gpt-5-mini", "text-embedding-3-small"],
    }
}

/// Whether a provider has the model.
pub(crate) fn exists(model: &str) -> bool {
    !model.starts_with("missing")
}

/// The list.
pub(crate) fn list(provider: &Provider) -> Value {
    let names = names(provider.name);
    match provider.name {
        "anthropic" => {
            json!({"data": names.iter().map(|name| anthropic(name)).collect::<Vec<_>>(), "has_more": false, "first_id": names.first(), "last_id": names.last()})
        }
        "gemini" | "vertex" => json!({"models": names.iter().map(|name| google(name)).collect::<Vec<_>>()}),
        "cohere" => {
            json!({"models": names.iter().map(|name| json!({"name": name, "endpoints": ["chat", "embed"]})).collect::<Vec<_>>()})
        }
        _ => json!({"object": "list", "data": names.iter().map(|name| openai(name)).collect::<Vec<_>>()}),
    }
}

/// One of them.
pub(crate) fn one(provider: &Provider, model: &str) -> Value {
    match provider.name {
        "anthropic" => anthropic(model),
        "gemini" | "vertex" => google(model),
        _ => openai(model),
    }
}

fn openai(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": CREATED, "owned_by": "mock"})
}

fn anthropic(name: &str) -> Value {
    json!({"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"})
}

fn google(name: &str) -> Value {
    json!({
        "name": format!("models/{name}"), "displayName": name, "version": "001", "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
    })
}

/// Ollama's `/api/tags`, `/api/show`, `/api/version`.
pub(crate) fn ollama(verb: &str) -> Option<Value> {
    let details = json!({"format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "3B", "quantization_level": "Q4_K_M"});
    let tag = |name: &&str| json!({"name": name, "model": name, "modified_at": "2026-01-01T00:00:00Z", "size": 2_000_000_000_u64, "digest": "0".repeat(64), "details": details});
    match verb {
        "tags" => Some(json!({"models": names("ollama").iter().map(tag).collect::<Vec<_>>()})),
        "show" => Some(
            json!({"details": details, "model_info": {"general.architecture": "llama", "llama.context_length": 131_072}, "capabilities": ["completion", "tools"]}),
        ),
        "version" => Some(json!({"version": "0.12.0"})),
        _ => None,
    }
}
