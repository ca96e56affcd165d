//! What is already on this machine: provider keys in variables and in tools' files, local servers worth asking, configurations of other gateways.
//!
//! Finds and says; adopting is the caller's. Secrets travel in the masked type only.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::edit::{self, Format};
use super::{KEY_PREFIX, Tools, diff, disk};
use crate::model::Secret;

/// A provider's key that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundKey {
    /// Row of the provider catalog.
    pub provider: String,
    /// Where: `env:NAME`, or the file and the value in it.
    pub from: String,
    /// How a channel names it: `env:NAME`; a key from a file is taken over.
    pub source: Option<String>,
    /// Its own address, where one was beside it.
    pub base_url: Option<String>,
    /// The key.
    pub secret: Secret,
}

impl FoundKey {
    /// Names it without giving it away: the same key in two places is one finding each.
    pub fn id(&self) -> String {
        let hash = super::kept::hash(format!("{}\n{}", self.from, self.secret.expose()).as_bytes());
        hash.get(..16).unwrap_or_default().to_owned()
    }

    /// What may be seen of it.
    pub fn hint(&self) -> String {
        diff::hint(self.secret.expose())
    }
}

/// Another gateway's configuration that can be imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundConfig {
    /// What `myelin import` calls it.
    pub kind: super::import::Kind,
    /// Where it is.
    pub path: String,
}

/// Values of tools' files that hold a provider's key: file, format, the key's place, provider, the address's place.
const IN_FILES: &[(&str, Format, &str, &str, &str)] = &[
    ("~/.claude/settings.json", Format::Json, "env/ANTHROPIC_API_KEY", "anthropic", "env/ANTHROPIC_BASE_URL"),
    ("~/.claude/settings.json", Format::Json, "env/ANTHROPIC_AUTH_TOKEN", "anthropic", "env/ANTHROPIC_BASE_URL"),
    ("~/.claude/config.json", Format::Json, "primaryApiKey", "anthropic", ""),
    ("~/.codex/auth.json", Format::Json, "OPENAI_API_KEY", "openai", ""),
    ("~/.gemini/.env", Format::Env, "GEMINI_API_KEY", "gemini", "GOOGLE_GEMINI_BASE_URL"),
    ("~/.aider.conf.yml", Format::Yaml, "openai-api-key", "openai", "openai-api-base"),
    ("~/.aider.conf.yml", Format::Yaml, "anthropic-api-key", "anthropic", ""),
    ("~/.qwen/.env", Format::Env, "OPENAI_API_KEY", "openai", "OPENAI_BASE_URL"),
    (
        "~/.cline/data/settings/providers.json",
        Format::Json,
        "providers/openai/settings/apiKey",
        "openai",
        "providers/openai/settings/baseUrl",
    ),
    ("~/.cline/data/settings/providers.json", Format::Json, "providers/anthropic/settings/apiKey", "anthropic", ""),
    ("~/.cline/data/settings/providers.json", Format::Json, "providers/openrouter/settings/apiKey", "openrouter", ""),
    ("~/.local/share/opencode/auth.json", Format::Json, "anthropic/key", "anthropic", ""),
    ("~/.local/share/opencode/auth.json", Format::Json, "openai/key", "openai", ""),
    ("~/.local/share/opencode/auth.json", Format::Json, "openrouter/key", "openrouter", ""),
    ("~/.local/share/opencode/auth.json", Format::Json, "deepseek/key", "deepseek", ""),
];

/// Variables that many providers' rows name and that say nothing by themselves.
const AMBIGUOUS: &[&str] = &[
    "GITHUB_TOKEN",
    "HF_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "OPENAI_API_KEY",
    "GOOGLE_API_KEY",
];

impl Tools {
    /// Provider keys on this machine. `rows`: the catalog's providers and the variables in which people keep each one's key.
    pub fn keys_found<'r>(&self, rows: impl Iterator<Item = (&'r str, &'r [String])>) -> Vec<FoundKey> {
        let mut out: Vec<FoundKey> = Vec::new();
        let mut add = |provider: &str, from: String, source: Option<String>, base_url: Option<String>, secret: &str| {
            let known = match source {
                Some(_) => out.iter().any(|found| found.from == from),
                None => out.iter().any(|found| found.secret.expose() == secret),
            };
            if !known {
                let (provider, secret) = (provider.to_owned(), Secret::new(secret));
                out.push(FoundKey { provider, from, source, base_url, secret });
            }
        };
        for (provider, names) in rows {
            for name in names {
                let own = !AMBIGUOUS.contains(&name.as_str()) || (name == "OPENAI_API_KEY" && provider == "openai");
                let Some(value) = self.machine.variable(name).filter(|value| own && is_key(value)) else { continue };
                let from = format!("env:{name}");
                add(provider, from.clone(), Some(from), None, value);
            }
        }
        for (file, format, at, provider, address) in IN_FILES {
            let Some(path) = self.machine.place(&[(*file).to_owned()]) else { continue };
            let Ok(Some(bytes)) = disk::read(&path) else { continue };
            let Ok(meaning) = edit::read(*format, &bytes) else { continue };
            let text = |at: &str| edit::at(&meaning, &edit::Path::parse(at)).and_then(Value::as_str);
            let Some(secret) = text(at).filter(|secret| is_key(secret)) else { continue };
            let base_url = text(address).filter(|_| !address.is_empty()).map(str::to_owned);
            if !base_url.as_deref().is_some_and(is_local) {
                let from = format!("{}: {}", self.machine.show(&path), edit::Path::parse(at));
                add(provider, from, None, base_url, secret);
            }
        }
        out
    }

    /// Configurations of other gateways on this machine.
    pub fn configs_found(&self) -> Vec<FoundConfig> {
        let there = |(kind, place): &(super::import::Kind, &str)| {
            let path: PathBuf = self.machine.place(&[(*place).to_owned()])?;
            path.is_file().then(|| FoundConfig { kind: *kind, path: path.display().to_string() })
        };
        super::import::PLACES.iter().filter_map(there).collect()
    }
}

/// Whether a text can be a provider's key: not a reference, a placeholder, or a key of ours.
fn is_key(text: &str) -> bool {
    let refers = text.starts_with(['$', '{', '<']) || text.contains(char::is_whitespace);
    let placeholder = ["PROXY_MANAGED", "your-api-key", "sk-xxx"].iter().any(|word| text.contains(word));
    text.len() >= 12 && !refers && !placeholder && !text.starts_with(KEY_PREFIX)
}

/// Whether an address is of this machine: another gateway's placeholder is beside it, not a provider's key.
fn is_local(address: &str) -> bool {
    ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"].iter().any(|host| address.contains(host))
}
