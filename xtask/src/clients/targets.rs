//! What clients are pointed at: one table of models with the features that their providers have, and the gateway's configuration for it.

/// The gateway's virtual key in these runs.
pub(super) const KEY: &str = "my-clients-0123456789abcdefghijklmnopqrstuvwxyz";

/// A model as clients name it.
struct Target {
    label: &'static str,
    /// What clients ask for.
    model: &'static str,
    /// What the provider calls it, where that differs.
    upstream: Option<&'static str>,
    channel: &'static str,
    features: &'static [&'static [&'static str]],
}

/// A mock provider as a channel.
struct Channel {
    name: &'static str,
    provider: &'static str,
    /// Path after the mock's root.
    base: &'static str,
    credential: &'static str,
    /// More lines of its table.
    more: &'static str,
}

const TEXT: &[&str] = &["text", "stream"];
const PLAIN: &[&str] = &[
    "text",
    "stream",
    "system",
    "tools",
    "parallel",
    "limits",
    "stop",
    "stream_errors",
    "count",
    "529",
    "tool_choice",
];
const OLLAMA: &[&str] =
    &["text", "stream", "system", "tools", "parallel", "limits", "stop", "stream_errors", "count", "529"];
/// The host tells usage in streams unasked, and so does the gateway where nothing is converted.
const UNASKED: &[&str] = &["usage_unasked"];
const IMAGES: &[&str] = &["images"];
const SCHEMA: &[&str] = &["schema"];
const THINKING: &[&str] = &["thinking"];
/// Thinking that the provider verifies when it comes back.
const SIGNED: &[&str] = &["thinking", "replayed_thinking", "visible_thinking"];
const SHOWN: &[&str] = &["thinking", "visible_thinking"];
const CLAUDE: &[&str] = &["cache", "redacted"];
/// Command-line programs are slow: they meet a few targets that differ most.
const CLI: &[&str] = &["cli"];
const EMBEDDINGS: &[&str] = &["embeddings"];

const REGION: &str = "options = { region = \"eu-west-1\" }";
/// A host of the Chat wire that takes nothing beside its core; its owner says so.
const STRICT: &str = "dialect = { max-tokens = \"max-tokens\", no-developer-role = true, no-stream-options = true, no-custom-tools = true, unsupported = [\"store\", \"prompt_cache_key\", \"metadata\", \"reasoning_effort\"] }";
const KEY_AT_MOCK: &str = "mock-key";

const CHANNELS: [Channel; 19] = [
    channel("openai", "openai", "/openai/v1"),
    channel("anthropic", "anthropic", "/anthropic"),
    channel("gemini", "gemini", "/gemini"),
    Channel { more: STRICT, ..channel("strict", "openai-compatible", "/strict/v1") },
    channel("deepseek", "deepseek", "/deepseek"),
    channel("moonshot", "moonshot", "/moonshot/v1"),
    channel("zhipu", "zhipu", "/zhipu/v1"),
    channel("mistral", "mistral", "/mistral/v1"),
    channel("openrouter", "openrouter", "/openrouter/v1"),
    channel("groq", "groq", "/groq/v1"),
    channel("xai", "xai", "/xai/v1"),
    channel("azure", "azure", "/azure"),
    Channel { more: "options = { api_version = \"2024-10-21\" }", ..channel("azure-classic", "azure", "/azure") },
    Channel {
        credential: "AKIAMOCKMOCKMOCKMOCK:mock-secret",
        more: REGION,
        ..channel("bedrock", "bedrock", "/bedrock")
    },
    Channel { more: REGION, ..channel("bedrock-bearer", "bedrock", "/bedrock") },
    Channel {
        credential: "file:google.json",
        more: "options = { project = \"p\" }",
        ..channel("vertex", "vertex", "/vertex")
    },
    channel("ollama", "ollama", "/ollama"),
    channel("vllm", "vllm", "/vllm/v1"),
    channel("dify", "dify", "/dify/v1"),
];

const fn channel(name: &'static str, provider: &'static str, base: &'static str) -> Channel {
    Channel { name, provider, base, credential: KEY_AT_MOCK, more: "" }
}

const TARGETS: [Target; 28] = [
    target("openai", "gpt-4o-mini", "openai", &[PLAIN, IMAGES, SCHEMA, CLI]),
    target(
        "openai-reasoning",
        "gpt-5-mini",
        "openai",
        &[&["text", "stream", "system", "tools", "parallel", "replayed_thinking", "529"], THINKING, SCHEMA],
    ),
    target("openai-embedding", "text-embedding-3-small", "openai", &[EMBEDDINGS]),
    target("anthropic", "claude-sonnet-4-5", "anthropic", &[PLAIN, IMAGES, SCHEMA, SIGNED, CLAUDE, CLI]),
    target("gemini", "gemini-2.5-flash", "gemini", &[PLAIN, IMAGES, SCHEMA, SIGNED, CLI]),
    target("gemini-3", "gemini-3-pro-preview", "gemini", &[PLAIN, IMAGES, SCHEMA, SIGNED]),
    target("gemini-embedding", "gemini-embedding-001", "gemini", &[EMBEDDINGS]),
    target("strict", "strict-chat", "strict", &[UNASKED, PLAIN, IMAGES, SCHEMA, CLI]),
    target("deepseek", "deepseek-chat", "deepseek", &[UNASKED, PLAIN, THINKING]),
    target("deepseek-reasoner", "deepseek-reasoner", "deepseek", &[UNASKED, &["text", "stream", "tools"], SHOWN]),
    target("moonshot", "kimi-k2-thinking", "moonshot", &[UNASKED, &["text", "stream", "tools", "parallel"], SHOWN]),
    target("zhipu", "glm-4.6", "zhipu", &[UNASKED, PLAIN, SHOWN]),
    target("mistral", "mistral-large-latest", "mistral", &[UNASKED, PLAIN, IMAGES, SCHEMA, THINKING]),
    target("mistral-embedding", "mistral-embed", "mistral", &[EMBEDDINGS]),
    target("openrouter", "router-claude", "openrouter", &[UNASKED, PLAIN, IMAGES, SCHEMA, SHOWN]),
    target("groq", "groq-llama", "groq", &[PLAIN, IMAGES, SCHEMA, SHOWN]),
    target(
        "xai",
        "grok-4",
        "xai",
        &[
            // No stop sequences, and no limit below sixteen tokens where it is asked by Responses.
            &["text", "stream", "system", "tools", "parallel", "stream_errors", "count", "529", "tool_choice"],
            IMAGES,
            SCHEMA,
            THINKING,
        ],
    ),
    Target { upstream: Some("gpt-4o"), ..target("azure", "azure-gpt", "azure", &[PLAIN, IMAGES, SCHEMA]) },
    Target {
        upstream: Some("gpt-4o"),
        ..target("azure-classic", "azure-classic-gpt", "azure-classic", &[PLAIN, IMAGES, SCHEMA])
    },
    Target {
        upstream: Some("anthropic.claude-sonnet-4-5-v1:0"),
        ..target("bedrock", "bedrock-claude", "bedrock", &[PLAIN, IMAGES, SIGNED, CLAUDE, CLI])
    },
    Target {
        upstream: Some("amazon.nova-pro-v1:0"),
        ..target("bedrock-nova", "nova", "bedrock-bearer", &[PLAIN, IMAGES])
    },
    Target {
        upstream: Some("gemini-2.5-flash"),
        ..target("vertex-gemini", "vertex-gemini", "vertex", &[PLAIN, IMAGES, SCHEMA, SIGNED])
    },
    Target {
        upstream: Some("claude-sonnet-4-5"),
        ..target("vertex-claude", "vertex-claude", "vertex", &[PLAIN, IMAGES, SCHEMA, SIGNED, CLAUDE])
    },
    target("vertex-embedding", "text-embedding-005", "vertex", &[EMBEDDINGS]),
    // Its own wire cannot force a tool.
    target("ollama", "llama3.2", "ollama", &[OLLAMA, IMAGES, SCHEMA, THINKING]),
    target("ollama-embedding", "nomic-embed-text", "ollama", &[EMBEDDINGS]),
    target("vllm", "qwen3", "vllm", &[PLAIN, IMAGES, SCHEMA, THINKING]),
    target("dify", "dify-app", "dify", &[TEXT]),
];

const fn target(
    label: &'static str,
    model: &'static str,
    channel: &'static str,
    features: &'static [&'static [&'static str]],
) -> Target {
    Target { label, model, upstream: None, channel, features }
}

/// Which client packages can be pointed straight at a mock provider.
fn own_client(channel: &str) -> Option<&'static str> {
    match channel {
        "openai" => Some("openai"),
        "anthropic" => Some("anthropic"),
        "gemini" => Some("google"),
        _ => None,
    }
}

/// For runs without a gateway: each package meets its own provider alone.
pub(super) fn direct(mock: &str, filters: &[String], verbose: bool) -> String {
    let bases = [("openai", "/openai/v1"), ("anthropic", "/anthropic"), ("google", "/gemini")];
    let bases = bases.map(|(name, path)| (name, format!("{mock}{path}")));
    let entries = TARGETS.iter().filter_map(|target| {
        let client = own_client(target.channel)?;
        // What the mock's own endpoint has beside.
        let more: &[&str] = if target.label == "openai" { &["completions"] } else { &[] };
        Some(entry(target, &[client, "ai-sdk", "cli"], &[format!("{client}_client")], more))
    });
    config(KEY_AT_MOCK, mock, true, &bases, entries, filters, verbose)
}

/// For runs through the gateway: every package meets every target.
pub(super) fn through(gateway: &str, key: &str, mock: &str, filters: &[String], verbose: bool) -> String {
    let bases = [("openai", "/v1"), ("anthropic", "/anthropic"), ("google", "")];
    let bases = bases.map(|(name, path)| (name, format!("{gateway}{path}")));
    let clients = ["openai", "anthropic", "google"].map(|client| format!("{client}_client"));
    let entries =
        TARGETS.iter().map(|target| entry(target, &["openai", "anthropic", "google", "ai-sdk", "cli"], &clients, &[]));
    config(key, mock, false, &bases, entries, filters, verbose)
}

fn entry(target: &Target, clients: &[&str], client_features: &[String], more: &[&str]) -> String {
    let features = target.features.iter().copied().flatten().chain(more).map(|feature| quoted(feature));
    let features: Vec<String> = features.chain(client_features.iter().map(|feature| quoted(feature))).collect();
    let clients: Vec<String> = clients.iter().map(|client| quoted(client)).collect();
    format!(
        r#"{{"label":{},"model":{},"clients":[{}],"features":[{}]}}"#,
        quoted(target.label),
        quoted(target.model),
        clients.join(","),
        features.join(",")
    )
}

fn config(
    key: &str,
    mock: &str,
    direct: bool,
    bases: &[(&str, String)],
    entries: impl Iterator<Item = String>,
    filters: &[String],
    verbose: bool,
) -> String {
    let mut fields = vec![
        format!("\"key\":{}", quoted(key)),
        format!("\"mock\":{}", quoted(mock)),
        format!("\"direct\":{direct}"),
        format!("\"verbose\":{verbose}"),
        format!("\"filters\":[{}]", filters.iter().map(|filter| quoted(filter)).collect::<Vec<_>>().join(",")),
        format!("\"targets\":[{}]", entries.collect::<Vec<_>>().join(",")),
    ];
    fields.extend(bases.iter().map(|(name, base)| format!("{}:{}", quoted(name), quoted(base))));
    format!("{{{}}}", fields.join(","))
}

/// A JSON or TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            control if control.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// `myelin.toml` with a channel for every mock provider and every target's model.
pub(super) fn configuration(mock: &str) -> String {
    let mut text = format!("[[keys]]\nname = \"clients\"\nsecret = {}\n", quoted(KEY));
    for Channel { name, provider, base, credential, more } in &CHANNELS {
        let models: Vec<String> = TARGETS.iter().filter(|target| target.channel == *name).map(model).collect();
        text.push_str(&format!(
            "\n[[channels]]\nname = {}\nprovider = {}\nbase_url = {}\ncredentials = [{}]\nmodels = [{}]\n{more}\n",
            quoted(name),
            quoted(provider),
            quoted(&format!("{mock}{base}")),
            quoted(credential),
            models.join(", ")
        ));
    }
    text
}

fn model(target: &Target) -> String {
    match target.upstream {
        Some(upstream) => format!("{{ name = {}, upstream = {} }}", quoted(target.model), quoted(upstream)),
        None => quoted(target.model),
    }
}

/// A Google account as `gcloud auth application-default login` leaves it, whose tokens come from the mock.
pub(super) fn google_account(mock: &str) -> String {
    let token = quoted(&format!("{mock}/gcp/token"));
    format!(
        r#"{{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r","quota_project_id":"p","token_uri":{token}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_its_channel_and_every_channel_a_target() {
        for target in &TARGETS {
            assert!(CHANNELS.iter().any(|channel| channel.name == target.channel), "{}", target.label);
        }
        for channel in &CHANNELS {
            assert!(TARGETS.iter().any(|target| target.channel == channel.name), "{}", channel.name);
        }
    }

    #[test]
    fn the_configuration_is_toml_with_every_channel() {
        let file: toml::Table = configuration("http://127.0.0.1:1").parse().unwrap();
        assert_eq!(file["channels"].as_array().unwrap().len(), CHANNELS.len());
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
    }
}
