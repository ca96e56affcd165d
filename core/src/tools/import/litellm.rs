//! LiteLLM's proxy: `model_list` with one deployment an entry, `router_settings`, `litellm_settings`.

use serde_json::{Value, json};

use super::{Draft, ImportError, Imported, Kind, channels, credential, entries, provider_of, text, tidy};
use crate::told;
use crate::tools::edit::{self, Format};

/// LiteLLM's names of providers, and our rows. Others are called alike.
const PROVIDERS: &[(&str, &str)] = &[
    ("azure_ai", "azure"),
    ("vertex_ai", "vertex"),
    ("together_ai", "together"),
    ("fireworks_ai", "fireworks"),
    ("ollama_chat", "ollama"),
    ("hosted_vllm", "vllm"),
    ("lm_studio", "lmstudio"),
    ("dashscope", "qwen"),
    ("volcengine", "doubao"),
    ("nvidia_nim", "nvidia"),
    ("text-completion-openai", "openai"),
    ("custom_openai", "openai-compatible"),
    ("openai_like", "openai-compatible"),
];
/// Names of LiteLLM's providers that are rows of ours too.
const ALIKE: &[&str] = &[
    "openai",
    "azure",
    "anthropic",
    "bedrock",
    "gemini",
    "deepseek",
    "moonshot",
    "groq",
    "mistral",
    "xai",
    "openrouter",
    "cerebras",
    "perplexity",
    "cohere",
    "huggingface",
    "ollama",
    "siliconflow",
    "minimax",
    "zai",
    "vllm",
    "jina",
    "voyage",
];

pub(super) fn read(bytes: &[u8]) -> Result<Imported, ImportError> {
    let config = edit::read(Format::Yaml, bytes).map_err(|why| Kind::Litellm.wrong(why))?;
    let list = entries(&config, "/model_list");
    if list.is_empty() {
        return Err(Kind::Litellm.wrong("it has no model_list"));
    }
    let mut out = Imported::default();
    let mut drafts: Vec<Draft> = Vec::new();
    for entry in list {
        let name = text(entry, "/model_name").unwrap_or_default();
        let Some(model) = text(entry, "/litellm_params/model") else {
            out.notes.push(told!("import-no-model", "left out '{name}': it names no model", name = name));
            continue;
        };
        add(entry, name, model, &mut drafts, &mut out);
    }
    channels(drafts, &mut out);
    aliases(&config, &mut out);
    for (pointer, note) in [
        (
            "/general_settings/master_key",
            told!("import-master-key", "not taken over: the master key: make keys with `myelin key create`"),
        ),
        ("/litellm_settings/callbacks", told!("import-not-taken", "not taken over: {what}", what = "callbacks")),
        ("/litellm_settings/cache_params", told!("import-cache", "not taken over: the cache: see docs/guide/cache.md")),
        ("/guardrails", told!("import-not-taken", "not taken over: {what}", what = "guardrails")),
    ] {
        if config.pointer(pointer).is_some() {
            out.notes.push(note);
        }
    }
    Ok(out)
}

fn add(entry: &Value, name: &str, model: &str, drafts: &mut Vec<Draft>, out: &mut Imported) {
    let params = "/litellm_params";
    let at = |key: &str| text(entry, &format!("{params}/{key}")).map(str::to_owned);
    let (given, upstream) = match at("custom_llm_provider") {
        Some(provider) => (provider, model.to_owned()),
        None => match model.split_once('/') {
            Some((provider, rest)) if known(provider).is_some() => (provider.to_owned(), rest.to_owned()),
            _ => ("openai".to_owned(), model.to_owned()),
        },
    };
    let address = at("api_base").or_else(|| at("base_url"));
    let row = known(&given).unwrap_or("openai-compatible");
    let (provider, base_url) = match &address {
        Some(address) if matches!(row, "openai" | "openai-compatible") => provider_of(address, "openai-compatible"),
        Some(address) if row == "anthropic" => provider_of(address, "anthropic-compatible"),
        other => (row.to_owned(), other.clone()),
    };
    let mut draft =
        Draft { provider, base_url, credential: at("api_key").and_then(|key| credential(&key)), ..Draft::default() };
    for (theirs, ours) in [
        ("api_version", "api_version"),
        ("aws_region_name", "region"),
        ("vertex_project", "project"),
        ("vertex_location", "location"),
    ] {
        if let Some(value) = at(theirs) {
            draft.options.insert(ours.to_owned(), value);
        }
    }
    let pair = (if name.contains('*') { upstream.clone() } else { name.to_owned() }, upstream);
    let same = |other: &&mut Draft| {
        (&other.provider, &other.base_url, &other.credential, &other.options)
            == (&draft.provider, &draft.base_url, &draft.credential, &draft.options)
    };
    // `gpt-*` → whatever the provider lists.
    let whole = pair.1.contains('*');
    if let Some(other) = drafts.iter_mut().find(same) {
        if whole {
            other.models.clear();
        } else if !other.models.contains(&pair) {
            other.models.push(pair);
        }
    } else {
        draft.name.clone_from(&draft.provider);
        if !whole {
            draft.models.push(pair);
        }
        drafts.push(draft);
    }
    for limit in ["rpm", "tpm", "weight", "max_parallel_requests"] {
        if entry.pointer(&format!("{params}/{limit}")).is_some() {
            out.notes.push(told!(
                "import-limit",
                "not taken over: {limit} of '{name}'; see `myelin limit` and weights of channels",
                limit = limit,
                name = name
            ));
        }
    }
}

fn known(provider: &str) -> Option<&'static str> {
    let other = PROVIDERS.iter().find(|(theirs, _)| *theirs == provider).map(|(_, ours)| *ours);
    other.or_else(|| ALIKE.iter().find(|name| **name == provider).copied())
}

/// Aliases and fallbacks become a profile: it says the same in one place.
fn aliases(config: &Value, out: &mut Imported) {
    let mut rules = Vec::new();
    let aliases = config.pointer("/router_settings/model_group_alias").and_then(Value::as_object);
    for (alias, to) in aliases.into_iter().flatten() {
        let to = to.as_str().or_else(|| to.get("model").and_then(Value::as_str));
        rules.extend(to.map(|to| json!({"match": alias, "to": to})));
    }
    for place in ["/router_settings/fallbacks", "/litellm_settings/fallbacks"] {
        for entry in entries(config, place) {
            for (model, others) in entry.as_object().into_iter().flatten() {
                rules.push(json!({"match": model, "to": model, "fallback": others}));
            }
        }
    }
    if rules.is_empty() {
        return;
    }
    match serde_json::from_value(
        json!({"name": tidy("litellm"), "rules": rules, "description": "Aliases and fallbacks of LiteLLM's configuration"}),
    ) {
        Ok(profile) => out.profiles.push(profile),
        Err(why) => out.notes.push(told!("import-aliases", "aliases and fallbacks are left out: {why}", why = why)),
    }
}
