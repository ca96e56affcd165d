//! LLMux: `providers` with name, type, key, address and models.

use super::{Draft, ImportError, Imported, Kind, channels, credential, entries, provider_of, text};
use crate::told;
use crate::tools::edit::{self, Format};

/// LLMux's types of providers, and our rows. Others are spoken to as OpenAI is.
const TYPES: &[(&str, &str)] = &[
    ("openai", "openai"),
    ("anthropic", "anthropic"),
    ("azure", "azure"),
    ("gemini", "gemini"),
    ("google", "gemini"),
    ("bedrock", "bedrock"),
    ("vertex", "vertex"),
    ("vertexai", "vertex"),
    ("deepseek", "deepseek"),
    ("groq", "groq"),
    ("mistral", "mistral"),
    ("cohere", "cohere"),
    ("openrouter", "openrouter"),
    ("ollama", "ollama"),
    ("together", "together"),
    ("fireworks", "fireworks"),
    ("moonshot", "moonshot"),
    ("qwen", "qwen"),
    ("zhipu", "zhipu"),
    ("siliconflow", "siliconflow"),
    ("xai", "xai"),
    ("perplexity", "perplexity"),
    ("cerebras", "cerebras"),
    ("huggingface", "huggingface"),
    ("minimax", "minimax"),
    ("nvidia", "nvidia"),
    ("vllm", "vllm"),
];

pub(super) fn read(bytes: &[u8]) -> Result<Imported, ImportError> {
    let config = edit::read(Format::Yaml, bytes).map_err(|why| Kind::Llmux.wrong(why))?;
    let providers = entries(&config, "/providers");
    if providers.is_empty() {
        return Err(Kind::Llmux.wrong("it has no providers"));
    }
    let mut out = Imported::default();
    let mut drafts = Vec::new();
    for entry in providers {
        let kind = text(entry, "/type").or_else(|| text(entry, "/name")).unwrap_or("openai").to_lowercase();
        let name = text(entry, "/name").unwrap_or(&kind).to_owned();
        let row = TYPES.iter().find(|(theirs, _)| *theirs == kind).map(|(_, ours)| *ours);
        let (provider, base_url) = match (row, text(entry, "/base_url")) {
            (Some("openai") | None, Some(address)) => provider_of(address, "openai-compatible"),
            (Some("anthropic"), Some(address)) => provider_of(address, "anthropic-compatible"),
            (Some(row), address) => (row.to_owned(), address.map(str::to_owned)),
            (None, None) => {
                out.notes.push(told!(
                    "import-no-type",
                    "left out '{name}': its type '{kind}' is not known here and it names no address",
                    name = name,
                    kind = kind
                ));
                continue;
            }
        };
        let models = entries(entry, "/models").iter().filter_map(|model| {
            let model = model.as_str().or_else(|| text(model, "/name"))?;
            Some((model.to_owned(), model.to_owned()))
        });
        let key = text(entry, "/api_key");
        if key.is_some_and(|key| key.starts_with("vault://")) {
            out.notes.push(told!(
                "import-vault",
                "the key of '{name}' lies in a vault: set it with `myelin channel set {name} --key …`",
                name = name
            ));
        }
        let key = key.filter(|key| !key.starts_with("vault://"));
        drafts.push(Draft {
            name,
            provider,
            base_url,
            credential: key.and_then(credential),
            models: models.collect(),
            ..Draft::default()
        });
    }
    channels(drafts, &mut out);
    for (key, note) in [
        ("routing", told!("import-routing", "not taken over: routing: see docs/routing.md")),
        ("auth", told!("import-auth", "not taken over: auth and its keys")),
        ("governance", told!("import-not-taken", "not taken over: {what}", what = "governance")),
        ("rate_limit", told!("import-rate-limit", "not taken over: rate_limit: see `myelin limit`")),
        ("cache", told!("import-cache", "not taken over: the cache: see docs/guide/cache.md")),
        ("pricing_file", told!("import-price-file", "not taken over: the price file: see `myelin price import`")),
    ] {
        if config.get(key).is_some() {
            out.notes.push(note);
        }
    }
    Ok(out)
}
