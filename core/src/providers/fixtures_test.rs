//! Recorded traffic: every provider there has a row, its addresses are what we build, its failures mean what we say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use myelin_protocol::ApiFormat;
use serde_json::{Value, json};

use super::tests::live;
use super::*;
use crate::error::{Kind, Retry};

/// Folders of recordings whose names are not those of rows; `None`: no provider of ours.
const FOLDERS: [(&str, Option<&str>); 6] = [
    ("alibaba", Some("qwen")),
    ("azure-openai", Some("azure")),
    ("huggingface-router", Some("huggingface")),
    ("clients", None),
    ("vercel-ai-ui", None),
    ("LICENSES", None),
];

fn row(folder: &str) -> Option<&str> {
    FOLDERS.iter().find(|(name, _)| *name == folder).map_or(Some(folder), |(_, row)| *row)
}

/// The folder of recordings; without it the test says so and passes.
fn root() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures");
    let root = std::env::var_os("MYELIN_FIXTURES").map_or_else(beside, PathBuf::from);
    if !root.is_dir() {
        println!("skipped: no recordings at {}", root.display());
        return None;
    }
    Some(root)
}

struct Case {
    /// `provider/api/case`.
    name: String,
    folder: String,
    api: String,
    meta: Value,
    path: PathBuf,
}

fn cases() -> Vec<Case> {
    let Some(root) = root() else { return Vec::new() };
    let below = |path: &Path| -> Vec<PathBuf> {
        let mut all: Vec<_> =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
        all.sort();
        all
    };
    let last = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut cases = Vec::new();
    for folder in below(&root) {
        for api in below(&folder) {
            for path in below(&api) {
                let Ok(meta) = std::fs::read(path.join("meta.json")) else { continue };
                let (folder, api) = (last(&folder), last(&api));
                let name = format!("{folder}/{api}/{}", last(&path));
                cases.push(Case { name, folder, api, meta: serde_json::from_slice(&meta).unwrap(), path });
            }
        }
    }
    cases
}

#[test]
fn every_recorded_provider_has_a_row() {
    for case in cases() {
        if let Some(id) = row(&case.folder) {
            assert!(Catalog::builtin().get(id).is_some(), "{}", case.name);
        }
    }
}

/// What an address says, without what recordings spell differently: `v1beta1` for `v1`, `:` for `%3A`, queries of client libraries.
fn plain(url: &str) -> String {
    let url = url.split('#').next().unwrap();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split_once('/').map_or("", |(_, path)| path).trim_start_matches('/');
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let kept: Vec<_> =
        query.split('&').filter(|pair| pair.starts_with("alt=") || pair.starts_with("api-version=")).collect();
    format!("/{}?{}", path.replace("v1beta1/", "v1/").replace("%3A", ":"), kept.join("&"))
}

fn between<'u>(url: &'u str, before: &str, after: &[char]) -> Option<&'u str> {
    let (_, rest) = url.split_once(before)?;
    rest.split(after).next()
}

/// The channel that would have sent a recorded request.
fn channel_for(id: &str, url: &str) -> LiveChannel {
    let mut options = json!({"resource": "r", "project": "example-project"});
    for (name, before) in [("location", "/locations/"), ("api_version", "api-version=")] {
        if let Some(value) = between(url, before, &['/', '&']) {
            options[name] = json!(value);
        }
    }
    let mut channel = json!({"provider": id, "credentials": ["key-0123456789"], "options": options});
    if url.contains("/models/chat/completions") {
        channel["base_urls"] = json!(["https://r.services.ai.azure.com/models"]);
    } else if url.contains("/openai/v1/") && id == "azure" {
        channel["base_urls"] = json!(["https://r.openai.azure.com/openai/v1"]);
    } else if url.contains("bedrock-mantle") {
        channel["provider"] = json!("bedrock-mantle");
        channel["base_urls"] = json!(["https://bedrock-mantle.us-east-1.api.aws/openai/v1"]);
    }
    live(channel)
}

/// What we would send where the recording was sent; `None`: an API that we do not call.
fn ours(channel: &LiveChannel, case: &Case, url: &str, model: &str) -> Option<String> {
    let tail = |segment: &str| between(url, segment, &['?']).unwrap_or("").trim_start_matches('/');
    let streams =
        ["stream", "Stream"].iter().any(|word| url.rsplit('/').next().is_some_and(|last| last.contains(word)));
    let ask = |operation: &Operation<'_>| Some(super::tests::uri(channel, operation, model));
    let format = match case.api.as_str() {
        "chat-completions" | "openai-chat-completions" => ApiFormat::OpenaiChat,
        "completions" => ApiFormat::OpenaiCompletions,
        "responses" | "mantle-responses" => ApiFormat::OpenaiResponses,
        "messages" | "anthropic-messages" | "claude-raw-predict" => ApiFormat::AnthropicMessages,
        "generate-content" => ApiFormat::Gemini,
        "converse" => ApiFormat::BedrockConverse,
        "chat-messages" => ApiFormat::Dify,
        "api-chat" => ApiFormat::OllamaChat,
        "api-generate" => ApiFormat::OllamaGenerate,
        "count-tokens" => {
            let accepted = channel.accepts(channel.formats(model).next()?, model)?;
            return ask(&Operation::CountTokens { accepted: &accepted });
        }
        "embeddings" | "embed" | "predict" if !url.contains("/v1/embed") || case.folder != "cohere" => {
            return ask(&Operation::Embeddings);
        }
        "rerank" if !url.contains("cohere.ai") => return ask(&Operation::Rerank),
        "models" | "api-tags" if !url.ends_with("gpt-4") => return ask(&Operation::Models { page: None }),
        "images" => return ask(&Operation::Surface { surface: Surface::Images, tail: tail("/images") }),
        "audio-transcriptions" => return ask(&Operation::Surface { surface: Surface::Audio, tail: tail("/audio") }),
        "moderations" => return ask(&Operation::Surface { surface: Surface::Moderations, tail: "" }),
        "responses-compact-and-retrieve" | "responses-input-tokens" => {
            return ask(&Operation::Responses { method: &Method::GET, tail: tail("/responses/") });
        }
        _ => return None,
    };
    let accepted = channel.accepts(format, model)?;
    assert_eq!(accepted.format, format, "{}: {model}", case.name);
    ask(&Operation::Chat { accepted: &accepted, stream: streams })
}

#[test]
fn recorded_addresses_are_what_we_build() {
    let mut compared = 0;
    let all = cases();
    for case in &all {
        let url = case.meta["request"]["url"].as_str().unwrap_or_default();
        let Some(id) = row(&case.folder) else { continue };
        // Placeholders, other APIs of the same vendor, a model asked for below another vendor's path.
        if url.is_empty() || url.contains('<') || url.contains("backend-api") {
            continue;
        }
        let id = if url.contains("api.z.ai/api/coding") { "zai-coding" } else { id };
        let channel = channel_for(id, url);
        let in_path =
            ["/deployments/", "/model/", "/models/"].iter().find_map(|before| between(url, before, &['/', '?']));
        let in_path = in_path.filter(|name| !name.starts_with("chat")).map(|name| {
            let name = name.replace("%3A", ":");
            if case.folder == "bedrock" { name } else { name.split(':').next().unwrap().to_owned() }
        });
        let model =
            in_path.or_else(|| case.meta["model"].as_str().map(str::to_owned)).unwrap_or_else(|| "m".to_owned());
        let Some(ours) = ours(&channel, case, url, &model) else { continue };
        // Without `alt=sse` Gemini streams a JSON array, which we never ask for.
        let ours = if url.contains("%24alt") { ours.replace("alt=sse", "") } else { ours };
        assert_eq!(plain(&ours), plain(url), "{}", case.name);
        compared += 1;
    }
    assert!(all.is_empty() || compared > 150, "only {compared} addresses were compared");
}

/// What recorded failures mean: a piece of the case's name, kind, whether another try makes sense (n, e, a), status for the caller.
const MEANINGS: &[(&str, Kind, char, u16)] = &[
    ("anthropic/messages/error-400--", Kind::UpstreamRejected, 'n', 400),
    ("anthropic/messages/error-401--", Kind::UpstreamDenied, 'e', 502),
    ("anthropic/messages/error-404--", Kind::UpstreamRejected, 'e', 404),
    ("anthropic/messages/error-413--", Kind::UpstreamRejected, 'n', 413),
    ("anthropic/messages/error-429--", Kind::UpstreamRateLimited, 'a', 429),
    ("anthropic/messages/error-529--", Kind::UpstreamFailed, 'a', 529),
    ("azure-openai/chat-completions/error-404--", Kind::UpstreamRejected, 'e', 404),
    ("azure-openai/chat-completions/error-429--", Kind::UpstreamRateLimited, 'a', 429),
    ("azure-openai/embeddings/error-401--", Kind::UpstreamDenied, 'e', 502),
    ("bedrock/converse/error-400--", Kind::UpstreamRejected, 'n', 400),
    ("bedrock/converse/error-403--", Kind::UpstreamDenied, 'e', 502),
    ("bedrock/converse/error-404--", Kind::UpstreamRejected, 'e', 404),
    ("bedrock/invoke-model/error-403--", Kind::UpstreamDenied, 'e', 502),
    ("cohere/chat-v2/error-400--", Kind::UpstreamRejected, 'n', 400),
    ("cohere/embed/error-", Kind::UpstreamRejected, 'e', 404),
    ("deepseek/chat-completions/error-", Kind::UpstreamDenied, 'e', 502),
    ("deepseek/responses/error-400--", Kind::UpstreamRejected, 'n', 400),
    ("dify/chat-messages/error-400--", Kind::UpstreamRejected, 'n', 400),
    ("dify/chat-messages/error-401--", Kind::UpstreamDenied, 'e', 502),
    ("dify/chat-messages/error-404--conversation", Kind::UpstreamRejected, 'n', 404),
    ("doubao/chat-completions/error-429--", Kind::UpstreamRateLimited, 'a', 429),
    ("gemini/embeddings/error-404--", Kind::UpstreamRejected, 'e', 404),
    ("gemini/generate-content/error-400-stream--", Kind::UpstreamDenied, 'e', 502),
    ("gemini/generate-content/error-403--", Kind::UpstreamDenied, 'e', 502),
    ("gemini/generate-content/error-404-stream--", Kind::UpstreamRejected, 'e', 404),
    ("gemini/generate-content/error-429--", Kind::UpstreamRateLimited, 'a', 429),
    ("groq/chat-completions/error-400--", Kind::UpstreamRejected, 'n', 400),
    ("groq/chat-completions/error-404--", Kind::UpstreamRejected, 'e', 404),
    ("jina/rerank/error-422--", Kind::UpstreamRejected, 'n', 422),
    ("llamacpp/chat-completions/error-401--", Kind::UpstreamDenied, 'e', 502),
    ("llamacpp/chat-completions/error-500--", Kind::UpstreamFailed, 'a', 500),
    ("llamacpp/rerank/error-400--", Kind::UpstreamRejected, 'n', 400),
    ("mistral/chat-completions/error-400-stream--", Kind::UpstreamRejected, 'e', 400),
    ("mistral/chat-completions/error-401--", Kind::UpstreamDenied, 'e', 502),
    ("ollama/openai-chat-completions/error-401--", Kind::UpstreamDenied, 'e', 502),
    ("openai/chat-completions/error-400--", Kind::UpstreamRejected, 'n', 400),
    ("openai/chat-completions/error-401--", Kind::UpstreamDenied, 'e', 502),
    ("openai/chat-completions/error-429--insufficient-quota", Kind::UpstreamDenied, 'e', 429),
    ("openai/chat-completions/error-429--rate-limit", Kind::UpstreamRateLimited, 'a', 429),
    ("openai/codex-backend-responses/error-401-stream--", Kind::UpstreamDenied, 'e', 502),
    ("openai/embeddings/error-404--", Kind::UpstreamRejected, 'e', 404),
    ("openai/images/error-400--", Kind::UpstreamRejected, 'n', 400),
    ("openai/responses/error-400--", Kind::UpstreamRejected, 'n', 400),
    ("openai/responses/error-401--", Kind::UpstreamDenied, 'e', 502),
    ("openrouter/chat-completions/error-400--", Kind::UpstreamRejected, 'n', 400),
    ("openrouter/chat-completions/error-401--", Kind::UpstreamDenied, 'e', 502),
    ("openrouter/chat-completions/error-429--", Kind::UpstreamRateLimited, 'a', 429),
    ("perplexity/chat-completions/error-400--", Kind::UpstreamRejected, 'n', 400),
    ("perplexity/chat-completions/error-401--", Kind::UpstreamDenied, 'e', 502),
    ("together/chat-completions/error-401--", Kind::UpstreamDenied, 'e', 502),
    ("vertex/generate-content/error-400--", Kind::UpstreamRejected, 'n', 400),
    ("xai/responses/error-400--", Kind::UpstreamRejected, 'e', 400),
];

fn format_of(api: &str) -> ApiFormat {
    match api {
        "messages" | "count-tokens" => ApiFormat::AnthropicMessages,
        "converse" | "invoke-model" => ApiFormat::BedrockConverse,
        "chat-messages" => ApiFormat::Dify,
        "generate-content" => ApiFormat::Gemini,
        api if api.contains("responses") => ApiFormat::OpenaiResponses,
        _ => ApiFormat::OpenaiChat,
    }
}

#[test]
fn recorded_failures_mean_what_the_table_says() {
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let all = cases();
    for case in &all {
        let response = &case.meta["response"];
        let status = u16::try_from(response["status"].as_u64().unwrap_or(200)).unwrap();
        if status < 400 {
            continue;
        }
        let Some((name, kind, retry, shown)) = MEANINGS.iter().find(|(name, ..)| case.name.starts_with(name)) else {
            panic!("{} ({status}) is in no line of the table", case.name);
        };
        *met.entry(name).or_default() += 1;
        let body = std::fs::read(case.path.join(response["body"].as_str().unwrap())).unwrap();
        let headers: HeaderMap = response["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| {
                (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value.as_str().unwrap()).unwrap())
            })
            .collect();
        let format = if case.folder == "gemini" { ApiFormat::Gemini } else { format_of(&case.api) };
        let error = format.codec().decode_error(status, &body);
        let words = error.message.clone();
        let provider = Catalog::builtin().get(row(&case.folder).unwrap()).unwrap();
        let failure = classify(status, &headers, error, provider, "main", 0);
        let told = (failure.kind, letter(failure.retry), failure.public.status());
        if told != (*kind, *retry, *shown) {
            wrong.push(format!(
                "{}: {told:?} and not {:?}: {}",
                case.name,
                (kind, retry, shown),
                String::from_utf8_lossy(&body)
            ));
            continue;
        }
        if *kind == Kind::UpstreamDenied && *shown == 502 {
            assert!(failure.public.message.contains("`main`"), "{}", failure.public.message);
        } else {
            assert!(failure.public.message.contains(words.as_str()), "{}: the provider's words are kept", case.name);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missed: Vec<_> = MEANINGS.iter().map(|(name, ..)| *name).filter(|name| !met.contains_key(name)).collect();
    assert!(all.is_empty() || missed.is_empty(), "no recording: {missed:?}");
}

fn letter(retry: Retry) -> char {
    match retry {
        Retry::Never => 'n',
        Retry::Elsewhere => 'e',
        Retry::Again { .. } => 'a',
    }
}
