//! Reading what other gateways are configured with. Each reader says what it takes over and what it leaves, in words.

mod cc_switch;
mod ccr;
mod litellm;
mod llmux;
mod sqlite;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::model::Told;
use crate::model::{Channel, Profile, Route};
use crate::told;

/// What can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// cc-switch: its database, its SQL export or its older JSON.
    CcSwitch,
    /// claude-code-router: `config.json`.
    ClaudeCodeRouter,
    /// LiteLLM's proxy: `config.yaml`.
    Litellm,
    /// LLMux: `config.yaml`.
    Llmux,
}

/// Where each usually is.
pub(super) const PLACES: &[(Kind, &str)] = &[
    (Kind::CcSwitch, "~/.cc-switch/cc-switch.db"),
    (Kind::CcSwitch, "~/.cc-switch/config.json"),
    (Kind::ClaudeCodeRouter, "~/.claude-code-router/config.json"),
    (Kind::Litellm, "~/.litellm/config.yaml"),
];

/// What was read. It becomes channels, routes and profiles of ours.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Imported {
    /// New channels; their credentials are in them.
    pub channels: Vec<Channel>,
    /// New routes.
    pub routes: Vec<Route>,
    /// New profiles.
    pub profiles: Vec<Profile>,
    /// What was not taken over, or not as it was, in words.
    pub notes: Vec<Told>,
}

/// What is to be imported cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no configuration of {from} that can be read: {why}")]
pub struct ImportError {
    from: &'static str,
    why: String,
}

impl Kind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::CcSwitch => "cc-switch",
            Kind::ClaudeCodeRouter => "claude-code-router",
            Kind::Litellm => "LiteLLM",
            Kind::Llmux => "LLMux",
        }
    }

    fn wrong(self, why: impl ToString) -> ImportError {
        ImportError { from: self.name(), why: why.to_string() }
    }
}

/// Reads a configuration.
///
/// # Errors
/// When it is not what it should be.
pub fn read(kind: Kind, bytes: &[u8]) -> Result<Imported, ImportError> {
    let imported = match kind {
        Kind::CcSwitch => cc_switch::read(bytes),
        Kind::ClaudeCodeRouter => ccr::read(bytes),
        Kind::Litellm => litellm::read(bytes),
        Kind::Llmux => llmux::read(bytes),
    }?;
    if imported == Imported::default() {
        return Err(kind.wrong("nothing in it names a provider"));
    }
    Ok(imported)
}

/// A channel in the making.
#[derive(Debug, Clone, Default)]
struct Draft {
    name: String,
    provider: String,
    base_url: Option<String>,
    credential: Option<String>,
    /// Name here → name there; none: whatever the provider lists.
    models: Vec<(String, String)>,
    options: BTreeMap<String, String>,
    weight: Option<u32>,
    /// It was in use there.
    tags: Vec<String>,
}

impl Draft {
    fn channel(&self) -> Result<Channel, String> {
        let models: Vec<Value> = self
            .models
            .iter()
            .map(
                |(name, upstream)| {
                    if name == upstream { json!(name) } else { json!({"name": name, "upstream": upstream}) }
                },
            )
            .collect();
        let mut channel = json!({
            "name": self.name, "provider": self.provider, "base_urls": self.base_url.iter().collect::<Vec<_>>(),
            "credentials": self.credential.iter().collect::<Vec<_>>(), "options": self.options, "tags": self.tags,
            "weight": self.weight.unwrap_or(1),
        });
        if let (false, Some(fields)) = (models.is_empty(), channel.as_object_mut()) {
            fields.insert("models".to_owned(), models.into());
        }
        serde_json::from_value(channel).map_err(|why| format!("{}: {why}", self.name))
    }
}

/// The drafts as channels, each with a name of its own.
fn channels(drafts: Vec<Draft>, out: &mut Imported) {
    let mut taken: Vec<String> = Vec::new();
    for mut draft in drafts {
        let plain = tidy(&draft.name);
        let mut names = std::iter::once(plain.clone()).chain((2..).map(|number| format!("{plain}-{number}")));
        draft.name = names.find(|name| !taken.contains(name)).unwrap_or(plain);
        taken.push(draft.name.clone());
        match draft.channel() {
            Ok(channel) => out.channels.push(channel),
            Err(why) => out.notes.push(told!("import-left-out", "left out {why}", why = why)),
        }
    }
}

/// A name as channels and profiles may be called.
fn tidy(name: &str) -> String {
    let text: String =
        name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let text = text.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    if text.is_empty() { "imported".to_owned() } else { text }
}

/// Hosts by which a provider is known, and its row in the catalog.
const HOSTS: &[(&str, &str)] = &[
    ("api.openai.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gemini"),
    ("api.deepseek.com", "deepseek"),
    ("moonshot.", "moonshot"),
    ("bigmodel.cn", "zhipu"),
    ("api.z.ai", "zai"),
    ("dashscope", "qwen"),
    ("openrouter.ai", "openrouter"),
    ("siliconflow", "siliconflow"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral"),
    ("api.x.ai", "xai"),
    ("api.together", "together"),
    ("fireworks.ai", "fireworks"),
    ("minimax", "minimax"),
    ("volces.com", "doubao"),
    (":11434", "ollama"),
    (":1234", "lmstudio"),
];

/// The catalog row and the base address for an address of another gateway. `wire`: the row for addresses that nobody knows.
fn provider_of(address: &str, wire: &str) -> (String, Option<String>) {
    let base = without_path_of_calls(address);
    match HOSTS.iter().find(|(host, _)| base.contains(host)) {
        // A known host's own addresses are in the catalog, for every format that it speaks.
        Some((host, row)) if !host.starts_with(':') => ((*row).to_owned(), None),
        Some((_, row)) => ((*row).to_owned(), None),
        None => (wire.to_owned(), Some(base)),
    }
}

/// The catalog row for an address that stood beside a key, and the address where the row has another. `row`: what the key looked like.
pub fn provider_at(address: &str, row: &str) -> (String, Option<String>) {
    let wire = match row {
        "anthropic" => "anthropic-compatible",
        "gemini" => "gemini-compatible",
        _ => "openai-compatible",
    };
    provider_of(address, wire)
}

/// `https://host/v1/chat/completions` → `https://host/v1`.
fn without_path_of_calls(address: &str) -> String {
    let address = address.trim().trim_end_matches('/');
    let calls = ["/chat/completions", "/v1/messages", "/messages", "/responses", "/completions"];
    calls.iter().find_map(|call| address.strip_suffix(call)).unwrap_or(address).trim_end_matches('/').to_owned()
}

/// A credential as we write it: references to variables stay references.
fn credential(text: &str) -> Option<String> {
    let text = text.trim();
    let variable = text
        .strip_prefix("os.environ/")
        .or_else(|| text.strip_prefix("env://"))
        .or_else(|| {
            text.strip_prefix("${")
                .and_then(|rest| rest.strip_suffix('}'))
                .map(|name| name.split(':').next().unwrap_or(name))
        })
        .or_else(|| text.strip_prefix('$').filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')));
    match variable {
        Some(name) if !name.is_empty() => Some(format!("env:{name}")),
        _ if text.is_empty() || text == "PROXY_MANAGED" => None,
        // What looks like a notation of ours is still a secret of theirs.
        _ => Some(text.to_owned()),
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn entries<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
