//! Every row of the catalog, through everything that is built from it.

use http::{HeaderMap, HeaderValue, Method};
use myelin_protocol::ApiFormat;
use serde_json::json;

use super::*;
use crate::clock::{Clock, TestClock};
use crate::model::{Channel, Secret, SecretSource};

/// Secrets that stand in the configuration itself.
pub(super) struct Inline;

impl SecretResolver for Inline {
    fn resolve(&self, source: &SecretSource) -> Result<Secret, String> {
        match source {
            SecretSource::Inline(secret) => Ok(secret.clone()),
            other => Err(format!("{} is not set", other.describe())),
        }
    }
}

/// Nothing can be fetched.
pub(super) struct Offline;

impl Fetch for Offline {
    fn fetch(&self, _: http::Request<bytes::Bytes>) -> Fetched<'_> {
        Box::pin(async { Err(FetchError { message: "offline".to_owned(), timed_out: false }) })
    }
}

pub(super) fn channel(value: serde_json::Value) -> Channel {
    let mut value = value;
    value.as_object_mut().unwrap().entry("name").or_insert_with(|| json!("test"));
    serde_json::from_value(value).unwrap()
}

pub(super) fn live(value: serde_json::Value) -> LiveChannel {
    try_live(value).unwrap()
}

pub(super) fn try_live(value: serde_json::Value) -> Result<LiveChannel, ChannelError> {
    LiveChannel::build(&channel(value), Catalog::builtin(), &Inline, &[])
}

const KEY: &str = "sk-canary-0123456789";

/// A channel of every row, with the options that its address needs.
fn every_row() -> impl Iterator<Item = LiveChannel> {
    Catalog::builtin().iter().map(|provider| {
        let mut value = json!({
            "provider": provider.id,
            "credentials": [KEY],
            "options": {"resource": "res", "workspace": "w.example.com", "account": "acc", "project": "p"},
        });
        if provider.needs_address {
            value["base_urls"] = json!(["http://127.0.0.1:9/v1"]);
        }
        live(value)
    })
}

pub(super) fn uri(channel: &LiveChannel, operation: &Operation<'_>, model: &str) -> String {
    channel.request(0, operation, model, ClientHead::default()).unwrap().parts.uri.to_string()
}

pub(super) fn chat(channel: &LiveChannel, format: ApiFormat, model: &str, stream: bool) -> String {
    let accepted = channel.accepts(format, model).unwrap();
    assert_eq!(accepted.format, format, "{model}");
    uri(channel, &Operation::Chat { accepted: &accepted, stream }, model)
}

#[test]
fn the_catalog_can_be_read_and_ids_are_unique() {
    let catalog = Catalog::parse(include_str!("catalog.toml")).unwrap();
    let mut ids: Vec<_> = catalog.iter().map(|provider| provider.id.as_str()).collect();
    assert!(ids.len() > 50);
    let plain = |id: &&str| id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    assert!(ids.iter().all(plain));
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
    let hosts: Vec<_> = myelin_protocol::formats::anthropic_messages::betas::hosts().collect();
    for provider in catalog.iter() {
        assert!(provider.betas.as_deref().is_none_or(|host| hosts.contains(&host)), "{}", provider.id);
    }
    for id in "openai anthropic gemini azure bedrock vertex deepseek moonshot zhipu zai doubao qwen minimax siliconflow openrouter groq mistral \
               xai together fireworks cerebras perplexity nvidia github-models huggingface cohere jina voyage ollama lmstudio vllm llamacpp dify \
               openai-compatible anthropic-compatible gemini-compatible"
        .split_whitespace()
    {
        assert!(catalog.get(id).is_some(), "{id}");
    }
    assert!(
        Catalog::parse("[[provider]]\nid = \"x\"\nname = \"X\"\nbase-url = \"http://x\"\nendpoints = []\ntypo = 1")
            .is_err()
    );
}

#[test]
fn every_row_builds_requests_for_everything_that_it_has() {
    for channel in every_row() {
        let provider = &channel.provider;
        assert!(!provider.name.is_empty() && (provider.needs_address || provider.docs.is_some()), "{}", provider.id);
        assert!(provider.keyless || !provider.keys.is_empty(), "{}: people need to know where keys are", provider.id);
        assert!(!provider.endpoints.is_empty() || channel.embeddings().is_some(), "{}", provider.id);
        let model = provider.test_model.clone().unwrap_or_else(|| "some-model".to_owned());
        for client in ApiFormat::ALL {
            let Some(accepted) = channel.accepts(client, &model) else {
                assert!(provider.endpoints.is_empty(), "{}: nothing serves {model}", provider.id);
                continue;
            };
            for stream in [false, true] {
                let operation = Operation::Chat { accepted: &accepted, stream };
                let prepared = channel.request(0, &operation, &model, ClientHead::default()).unwrap();
                assert_eq!(prepared.parts.method, Method::POST);
                assert!(prepared.parts.uri.host().is_some());
                assert!(!prepared.parts.uri.to_string().contains(['{', ' ']), "{}", prepared.parts.uri);
                assert_eq!(prepared.parts.headers["accept-encoding"], "identity");
            }
            if channel.counts_tokens(&accepted) {
                uri(&channel, &Operation::CountTokens { accepted: &accepted }, &model);
            }
        }
        if channel.embeddings().is_some() {
            uri(&channel, &Operation::Embeddings, &model);
        }
        if channel.rerank().is_some() {
            uri(&channel, &Operation::Rerank, &model);
        }
        if provider.models.is_some() {
            let prepared = channel.request(0, &Operation::Models { page: None }, "", ClientHead::default()).unwrap();
            assert_eq!(prepared.parts.method, Method::GET);
        }
        for surface in [Surface::Moderations, Surface::Images, Surface::Audio] {
            assert_eq!(channel.offers(surface), provider.surfaces.contains(&surface));
            if channel.offers(surface) {
                uri(&channel, &Operation::Surface { surface, tail: "x" }, &model);
            }
        }
    }
}

#[tokio::test]
async fn every_row_gets_its_key_into_the_request_and_never_the_callers() {
    let clock = TestClock::default();
    let theirs =
        ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization", "x-forwarded-for"];
    let sent: HeaderMap =
        theirs.iter().map(|name| (name.parse().unwrap(), HeaderValue::from_static("callers-own-key"))).collect();
    for channel in every_row().filter(|channel| !channel.provider.endpoints.is_empty()) {
        let id = channel.provider.id.clone();
        let model = channel.provider.test_model.clone().unwrap_or_else(|| "some-model".to_owned());
        for format in channel.formats(&model).collect::<Vec<_>>() {
            let accepted = channel.accepts(format, &model).unwrap();
            let operation = Operation::Chat { accepted: &accepted, stream: true };
            let client = ClientHead { headers: Some(&sent), query: Some("key=callers-own-key&beta=true") };
            let mut prepared = channel.request(0, &operation, &model, client).unwrap();
            channel.authorize(0, &mut prepared, Payload::Whole(&[]), &Offline, &clock).await.unwrap();
            let all: String = prepared
                .parts
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
                .collect();
            assert!(all.contains(KEY), "{id} {format}: {all}");
            assert!(
                !all.contains("callers-own-key") && !prepared.parts.uri.to_string().contains("callers"),
                "{id}: {all}"
            );
            assert!(!format!("{channel:?}{:?}", prepared.parts.headers).contains(KEY), "{id}: a key can be printed");
            let secret_headers =
                prepared.parts.headers.iter().filter(|(_, value)| value.to_str().unwrap().contains(KEY));
            assert!(secret_headers.map(|(_, value)| value).all(HeaderValue::is_sensitive), "{id}");
        }
    }
}

#[test]
fn a_callers_own_format_is_taken_first_else_the_best_one() {
    use ApiFormat::*;
    let deepseek = live(json!({"provider": "deepseek", "credentials": [KEY]}));
    for (client, taken, native) in [
        (OpenaiChat, OpenaiChat, true),
        (AnthropicMessages, AnthropicMessages, true),
        (OpenaiResponses, OpenaiResponses, true),
        (Gemini, OpenaiChat, false),
        (OllamaChat, OpenaiChat, false),
    ] {
        let accepted = deepseek.accepts(client, "deepseek-chat").unwrap();
        assert_eq!((accepted.format, accepted.native), (taken, native), "{client}");
    }
    let openai = live(json!({"provider": "openai", "credentials": [KEY]}));
    let taken = |client, model| openai.accepts(client, model).unwrap().format;
    assert_eq!(taken(AnthropicMessages, "gpt-4o"), OpenaiChat);
    assert_eq!(taken(AnthropicMessages, "gpt-5.2"), OpenaiResponses);
    assert_eq!(taken(OpenaiChat, "gpt-5.2-codex"), OpenaiResponses, "it has no chat");
    assert_eq!(taken(OpenaiChat, "gpt-5.2"), OpenaiChat);
    assert_eq!(taken(OpenaiCompletions, "gpt-3.5-turbo-instruct"), OpenaiCompletions);
    assert_eq!(taken(OpenaiCompletions, "gpt-4o"), OpenaiChat);
    let vertex = live(json!({"provider": "vertex", "credentials": ["key-0123456789"], "options": {"project": "p"}}));
    let claude = vertex.accepts(AnthropicMessages, "claude-sonnet-4-5@20250929").unwrap();
    assert_eq!((claude.format, claude.native), (AnthropicMessages, false), "its body has no model");
    assert_eq!(vertex.accepts(OpenaiChat, "meta/llama-4").unwrap().format, OpenaiChat);
    assert_eq!(vertex.accepts(AnthropicMessages, "gemini-2.5-pro").unwrap().format, Gemini);
}

#[test]
fn dialects_follow_the_model_and_the_channel() {
    let openai = live(json!({"provider": "openai", "credentials": [KEY]}));
    let unsupported = |channel: &LiveChannel, model| {
        channel.accepts(ApiFormat::OpenaiChat, model).unwrap().dialect.unsupported.clone()
    };
    assert!(unsupported(&openai, "o3-mini").contains(&"temperature".to_owned()));
    assert!(unsupported(&openai, "gpt-5-chat-latest").is_empty());
    assert!(unsupported(&openai, "gpt-4o").is_empty());
    let own = live(
        json!({"provider": "openai", "credentials": [KEY], "dialect": {"unsupported": ["seed"], "no_images": true}}),
    );
    assert_eq!(unsupported(&own, "o3-mini"), ["seed"], "the channel's word is the last");
    assert!(own.accepts(ApiFormat::OpenaiChat, "gpt-4o").unwrap().dialect.no_images);
    let typo = try_live(json!({"provider": "openai", "credentials": [KEY], "dialect": {"no_image": true}}));
    assert!(matches!(typo, Err(ChannelError::Dialect(why)) if why.contains("no-image")));
    let mantle = live(json!({"provider": "deepseek", "credentials": [KEY]}));
    let dialect = mantle.accepts(ApiFormat::OpenaiChat, "deepseek-chat").unwrap().dialect;
    assert_eq!(dialect.max_tokens, myelin_protocol::dialect::MaxTokensField::MaxTokens);
}

#[test]
fn addresses_of_the_odd_vendors() {
    use ApiFormat::*;
    let azure = |options: serde_json::Value, base: Option<&str>| {
        let mut value = json!({"provider": "azure", "credentials": [KEY], "options": options});
        if let Some(base) = base {
            value["base_urls"] = json!([base]);
        }
        live(value)
    };
    let v1 = azure(json!({"resource": "res"}), None);
    assert_eq!(chat(&v1, OpenaiChat, "gpt-4o", true), "https://res.openai.azure.com/openai/v1/chat/completions");
    assert_eq!(chat(&v1, OpenaiResponses, "gpt-5", true), "https://res.openai.azure.com/openai/v1/responses");
    assert_eq!(
        chat(&v1, AnthropicMessages, "claude-opus-4-6", true),
        "https://res.openai.azure.com/anthropic/v1/messages"
    );
    assert_eq!(uri(&v1, &Operation::Models { page: None }, ""), "https://res.openai.azure.com/openai/v1/models");
    let classic = azure(json!({"resource": "res", "api_version": "2024-12-01-preview"}), None);
    let deployment = "https://res.openai.azure.com/openai/deployments/my%20gpt/";
    assert_eq!(
        chat(&classic, OpenaiChat, "my gpt", false),
        format!("{deployment}chat/completions?api-version=2024-12-01-preview")
    );
    assert_eq!(
        uri(&classic, &Operation::Embeddings, "my gpt"),
        format!("{deployment}embeddings?api-version=2024-12-01-preview")
    );
    let images = Operation::Surface { surface: Surface::Images, tail: "generations" };
    assert_eq!(
        uri(&classic, &images, "my gpt"),
        format!("{deployment}images/generations?api-version=2024-12-01-preview")
    );
    assert!(
        classic.accepts(OpenaiResponses, "gpt-4o").is_some_and(|accepted| accepted.format == OpenaiChat),
        "older than Responses"
    );
    let pasted = azure(
        json!({}),
        Some("https://r.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-02-01"),
    );
    assert_eq!(
        chat(&pasted, OpenaiChat, "gpt-4o", false),
        "https://r.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-02-01"
    );
    let foundry = azure(json!({}), Some("https://r.services.ai.azure.com/models"));
    assert_eq!(
        chat(&foundry, OpenaiChat, "grok", true),
        "https://r.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview"
    );
    assert!(
        matches!(try_live(json!({"provider": "azure", "credentials": [KEY]})), Err(ChannelError::Option(name)) if name == "resource")
    );

    let bedrock = live(
        json!({"provider": "bedrock", "credentials": ["AKIDEXAMPLE:secret-0123"], "options": {"region": "eu-west-1"}}),
    );
    assert_eq!(
        chat(&bedrock, BedrockConverse, "eu.anthropic.claude-haiku-4-5-20251001-v1:0", true),
        "https://bedrock-runtime.eu-west-1.amazonaws.com/model/eu.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse-stream"
    );
    assert_eq!(
        uri(&bedrock, &Operation::Models { page: None }, ""),
        "https://bedrock.eu-west-1.amazonaws.com/foundation-models?byOutputModality=TEXT"
    );

    let vertex = |options: serde_json::Value| {
        live(json!({"provider": "vertex", "credentials": ["AIza-0123456789"], "options": options}))
    };
    let regional = vertex(json!({"project": "p", "location": "us-east5"}));
    assert_eq!(
        chat(&regional, AnthropicMessages, "claude-3-7-sonnet@20250219", true),
        "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-3-7-sonnet@20250219:streamRawPredict"
    );
    let claude = regional.accepts(AnthropicMessages, "claude-x").unwrap();
    assert_eq!(
        uri(&regional, &Operation::CountTokens { accepted: &claude }, "claude-x"),
        "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers/anthropic/models/count-tokens:rawPredict"
    );
    let global = vertex(json!({"project": "p"}));
    assert_eq!(
        chat(&global, Gemini, "gemini-3-flash-preview", true),
        "https://aiplatform.googleapis.com/v1beta1/projects/p/locations/global/publishers/google/models/gemini-3-flash-preview:streamGenerateContent?alt=sse"
    );
    let multi = vertex(json!({"project": "p", "location": "eu"}));
    assert!(
        chat(&multi, Gemini, "gemini-2.5-pro", false).starts_with("https://aiplatform.eu.rep.googleapis.com/v1beta1/")
    );
    let express = vertex(json!({}));
    assert_eq!(
        chat(&express, Gemini, "gemini-2.5-flash", false),
        "https://aiplatform.googleapis.com/v1beta1/publishers/google/models/gemini-2.5-flash:generateContent"
    );
    assert!(express.accepts(AnthropicMessages, "claude-x").is_none(), "express mode has only Google's own models");
}

#[test]
fn a_channel_may_have_its_own_address_formats_and_key_style() {
    use ApiFormat::*;
    let relay = live(
        json!({"provider": "zai", "credentials": [KEY], "base_urls": ["http://127.0.0.1:9", "http://127.0.0.2:9/x/api/anthropic"]}),
    );
    assert_eq!(relay.addresses().count(), 2);
    assert_eq!(chat(&relay, OpenaiChat, "glm-5", true), "http://127.0.0.1:9/api/paas/v4/chat/completions");
    let accepted = relay.accepts(AnthropicMessages, "glm-5").unwrap();
    let operation = Operation::Chat { accepted: &accepted, stream: true };
    let second = relay.request(1, &operation, "glm-5", ClientHead::default()).unwrap();
    assert_eq!(second.parts.uri, "http://127.0.0.2:9/x/api/anthropic/v1/messages");
    let host = json!({"provider": "openai-compatible", "base_urls": ["http://127.0.0.1:9/v1"], "options": {"formats": ["openai-responses"]}});
    assert_eq!(live(host).accepts(OpenaiChat, "m").unwrap().format, OpenaiResponses);
    let wrong = json!({"provider": "openai-compatible", "base_urls": ["http://127.0.0.1:9/v1"], "options": {"formats": ["gemini"]}});
    assert!(matches!(try_live(wrong), Err(ChannelError::Format { .. })));
    assert!(matches!(try_live(json!({"provider": "openai-compatible"})), Err(ChannelError::NoAddress(_))));
    assert!(
        matches!(try_live(json!({"provider": "openai"})), Err(ChannelError::NoCredential(names)) if names == "OPENAI_API_KEY")
    );
    assert!(matches!(try_live(json!({"provider": "nobody"})), Err(ChannelError::UnknownProvider(_))));
    let missing = try_live(json!({"provider": "openai", "credentials": ["env:NOT_THERE"]}));
    assert_eq!(missing.unwrap_err().to_string(), "credential 1 (env:NOT_THERE): env:NOT_THERE is not set");
    let refused =
        try_live(json!({"provider": "openai", "credentials": [KEY], "base_urls": ["http://169.254.169.254/v1"]}));
    assert!(matches!(refused, Err(ChannelError::Refused { .. })));
    let own = ["127.0.0.1:6935".parse().unwrap()];
    let looped = channel(json!({"provider": "openai-compatible", "base_urls": ["http://localhost:6935/v1"]}));
    assert!(matches!(
        LiveChannel::build(&looped, Catalog::builtin(), &Inline, &own),
        Err(ChannelError::Refused { .. })
    ));
}

#[tokio::test]
async fn keys_go_where_the_vendor_wants_them() {
    let clock = TestClock::default();
    clock.advance_ms(1_000);
    assert_eq!(clock.unix_ms(), 1_000);
    for (channel, format, header, value) in [
        (json!({"provider": "openai"}), ApiFormat::OpenaiChat, "authorization", format!("Bearer {KEY}")),
        (json!({"provider": "anthropic"}), ApiFormat::AnthropicMessages, "x-api-key", KEY.to_owned()),
        (json!({"provider": "deepseek"}), ApiFormat::AnthropicMessages, "x-api-key", KEY.to_owned()),
        (json!({"provider": "deepseek"}), ApiFormat::OpenaiChat, "authorization", format!("Bearer {KEY}")),
        (json!({"provider": "gemini"}), ApiFormat::Gemini, "x-goog-api-key", KEY.to_owned()),
        (json!({"provider": "vertex"}), ApiFormat::Gemini, "x-goog-api-key", KEY.to_owned()),
        (json!({"provider": "azure", "options": {"resource": "r"}}), ApiFormat::OpenaiChat, "api-key", KEY.to_owned()),
        (json!({"provider": "bedrock"}), ApiFormat::BedrockConverse, "authorization", format!("Bearer {KEY}")),
        (
            json!({"provider": "anthropic", "options": {"auth": "bearer"}}),
            ApiFormat::AnthropicMessages,
            "authorization",
            format!("Bearer {KEY}"),
        ),
    ] {
        let mut channel = channel;
        channel["credentials"] = json!([KEY]);
        let channel = live(channel);
        let accepted = channel.accepts(format, "gemini-x").unwrap();
        let operation = Operation::Chat { accepted: &accepted, stream: false };
        let mut prepared = channel.request(0, &operation, "gemini-x", ClientHead::default()).unwrap();
        channel.authorize(0, &mut prepared, Payload::Streamed, &Offline, &clock).await.unwrap();
        assert_eq!(prepared.parts.headers[header], value, "{}", channel.provider.id);
        let keys = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];
        assert_eq!(keys.iter().filter(|name| prepared.parts.headers.contains_key(**name)).count(), 1);
    }
    let entra = "eyJhbGciOi.eyJhdWQiOi.c2lnbmF0dXJl";
    let azure = live(json!({"provider": "azure", "options": {"resource": "r"}, "credentials": [entra]}));
    let accepted = azure.accepts(ApiFormat::OpenaiChat, "gpt-4o").unwrap();
    let operation = Operation::Chat { accepted: &accepted, stream: false };
    let mut prepared = azure.request(0, &operation, "gpt-4o", ClientHead::default()).unwrap();
    azure.authorize(0, &mut prepared, Payload::Streamed, &Offline, &clock).await.unwrap();
    assert_eq!(prepared.parts.headers["authorization"], format!("Bearer {entra}"));
    let query = live(json!({"provider": "gemini", "options": {"auth": "query"}, "credentials": ["a+b/c="]}));
    let accepted = query.accepts(ApiFormat::Gemini, "g").unwrap();
    let operation = Operation::Chat { accepted: &accepted, stream: true };
    let mut prepared = query.request(0, &operation, "g", ClientHead::default()).unwrap();
    query.authorize(0, &mut prepared, Payload::Streamed, &Offline, &clock).await.unwrap();
    assert!(
        prepared.parts.uri.to_string().ends_with(":streamGenerateContent?alt=sse&key=a%2Bb%2Fc%3D"),
        "{}",
        prepared.parts.uri
    );
}

#[test]
fn only_harmless_and_useful_headers_of_a_caller_go_on() {
    let sent: HeaderMap = [
        ("user-agent", "claude-cli/2.1"),
        ("anthropic-version", "2023-06-01"),
        ("openai-beta", "responses=v1"),
        ("session_id", "s-1"),
        ("x-codex-turn-metadata", "{}"),
        ("host", "127.0.0.1:6935"),
        ("content-length", "5"),
        ("connection", "keep-alive"),
        ("accept-encoding", "gzip"),
        ("x-stainless-os", "Linux"),
        ("x-myelin-profile", "cheap"),
    ]
    .into_iter()
    .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
    .collect();
    let headers = |provider: &str, format| {
        let channel = live(
            json!({"provider": provider, "credentials": [KEY], "headers": {"x-team": "blue", "user-agent": "fixed"}}),
        );
        let accepted = channel.accepts(format, "m").unwrap();
        let operation = Operation::Chat { accepted: &accepted, stream: true };
        let client = ClientHead { headers: Some(&sent), query: Some("beta=true&other=1") };
        channel.request(0, &operation, "m", client).unwrap().parts
    };
    let openai = headers("openai", ApiFormat::OpenaiResponses);
    for name in ["openai-beta", "session_id", "x-codex-turn-metadata"] {
        assert!(openai.headers.contains_key(name), "{name}");
    }
    for name in ["host", "content-length", "connection", "x-stainless-os", "x-myelin-profile", "anthropic-version"] {
        assert!(!openai.headers.contains_key(name), "{name}");
    }
    assert_eq!(openai.headers["accept-encoding"], "identity");
    assert_eq!(openai.headers["user-agent"], "fixed", "the channel's own headers win");
    assert_eq!(openai.headers["x-team"], "blue");
    assert_eq!(openai.uri.query(), None);
    let anthropic = headers("anthropic", ApiFormat::AnthropicMessages);
    assert_eq!(anthropic.uri.query(), Some("beta=true"));
    assert_eq!(anthropic.headers["anthropic-version"], "2023-06-01");
    assert!(!anthropic.headers.contains_key("openai-beta"));
}

#[test]
fn case_22_a_host_of_claude_gets_only_the_betas_that_it_knows() {
    let sent: HeaderMap = [(
        "anthropic-beta".parse().unwrap(),
        HeaderValue::from_static("interleaved-thinking-2025-05-14,nobody-knows-2099-01-01"),
    )]
    .into_iter()
    .collect();
    let asked = |value: serde_json::Value| {
        let channel = live(value);
        let accepted = channel.accepts(ApiFormat::AnthropicMessages, "claude-sonnet-4-5").unwrap();
        let operation = Operation::Chat { accepted: &accepted, stream: true };
        channel.request(0, &operation, "claude-sonnet-4-5", ClientHead { headers: Some(&sent), query: None }).unwrap()
    };
    let beta = |prepared: &Prepared| {
        prepared.parts.headers.get("anthropic-beta").map(|value| value.to_str().unwrap().to_owned())
    };
    let anthropic = asked(json!({"provider": "anthropic", "credentials": [KEY]}));
    assert_eq!(beta(&anthropic).unwrap(), "interleaved-thinking-2025-05-14,nobody-knows-2099-01-01");
    let vertex = asked(json!({"provider": "vertex", "credentials": [KEY], "options": {"project": "p"}}));
    assert_eq!(beta(&vertex).unwrap(), "interleaved-thinking-2025-05-14");
    assert_eq!(vertex.dropped_betas, ["nobody-knows-2099-01-01"]);
    let deepseek = asked(json!({"provider": "deepseek", "credentials": [KEY]}));
    assert_eq!(beta(&deepseek), None);
    assert_eq!(deepseek.dropped_betas.len(), 2);
    let fixed = asked(
        json!({"provider": "vertex", "credentials": [KEY], "options": {"project": "p"}, "headers": {"anthropic-beta": "mine"}}),
    );
    assert_eq!(beta(&fixed).unwrap(), "mine");
}

#[test]
fn resources_below_responses_keep_to_the_api() {
    let channel = live(json!({"provider": "openai", "credentials": [KEY]}));
    let ask = |method: Method, tail: &str, query: Option<&str>| {
        let operation = Operation::Responses { method: &method, tail };
        channel.request(0, &operation, "", ClientHead { headers: None, query }).map(|prepared| prepared.parts)
    };
    let get = ask(Method::GET, "resp_1", Some("stream=true&starting_after=3&key=secret")).unwrap();
    assert_eq!(get.uri, "https://api.openai.com/v1/responses/resp_1?stream=true&starting_after=3");
    assert!(!get.headers.contains_key("content-type"));
    assert_eq!(ask(Method::POST, "compact", None).unwrap().uri, "https://api.openai.com/v1/responses/compact");
    assert!(ask(Method::GET, "../../files", None).is_err());
    let groq = live(json!({"provider": "cerebras", "credentials": [KEY]}));
    let operation = Operation::Responses { method: &Method::GET, tail: "resp_1" };
    assert!(matches!(groq.request(0, &operation, "", ClientHead::default()), Err(ChannelError::NotOffered { .. })));
}

#[test]
fn secrets_are_taken_out_of_words() {
    let channel = live(json!({"provider": "bedrock", "credentials": ["AKIDEXAMPLE:wJalrXUtnFEMI:session-token-1"]}));
    let words =
        channel.redact("wJalrXUtnFEMI and session-token-1 and AKIDEXAMPLE:wJalrXUtnFEMI:session-token-1 stay here");
    assert!(!words.contains("wJalr") && !words.contains("session-token"), "{words}");
    assert_eq!(channel.redact("nothing to hide"), "nothing to hide");
}

#[test]
fn only_those_who_are_known_to_go_on_from_a_beginning_are_asked_to() {
    use myelin_protocol::dialect::Prefill;
    let chat = ApiFormat::OpenaiChat;
    let cases = [
        ("openai", "gpt-5", None),
        ("gemini", "gemini-2.5-pro", None),
        ("anthropic", "claude-opus-4-8", None),
        ("anthropic", "claude-sonnet-4-6", None),
        ("anthropic", "claude-haiku-4-5", Some((Prefill::Plain, "https://api.anthropic.com/v1/messages"))),
        ("deepseek", "deepseek-reasoner", None),
        ("deepseek", "deepseek-chat", Some((Prefill::Prefix, "https://api.deepseek.com/beta/chat/completions"))),
        ("moonshot", "kimi-k2-thinking", None),
        ("moonshot", "moonshot-v1-8k", Some((Prefill::Partial, "https://api.moonshot.ai/v1/chat/completions"))),
        ("mistral", "magistral-medium-latest", None),
        (
            "mistral",
            "mistral-large-latest",
            Some((Prefill::PrefixRepeated, "https://api.mistral.ai/v1/chat/completions")),
        ),
        ("vllm", "any", Some((Prefill::ContinueFinalMessage, "http://localhost:8000/v1/chat/completions"))),
        ("ollama", "llama3.3", Some((Prefill::Plain, "http://localhost:11434/api/chat"))),
        ("ollama", "gpt-oss:20b", None),
        ("openai-compatible", "any", None),
    ];
    for (provider, model, expected) in cases {
        let mut fields = json!({"provider": provider, "credentials": [KEY]});
        if provider == "openai-compatible" {
            fields["base_urls"] = json!(["https://h/v1"]);
        }
        let channel = live(fields);
        let found = channel.resumes(chat, model).map(|accepted| {
            let address = uri(&channel, &Operation::Chat { accepted: &accepted, stream: true }, model);
            (accepted.dialect.prefill, address)
        });
        let expected = expected.map(|(prefill, address)| (prefill, address.to_owned()));
        assert_eq!(found, expected, "{provider} {model}");
    }
    // Usual questions never go to the address that is only for that.
    let deepseek = live(json!({"provider": "deepseek", "credentials": [KEY]}));
    let usual = deepseek.accepts(chat, "deepseek-chat").unwrap();
    let address = uri(&deepseek, &Operation::Chat { accepted: &usual, stream: true }, "deepseek-chat");
    assert_eq!(address, "https://api.deepseek.com/chat/completions");
    assert_eq!(deepseek.formats("deepseek-chat").count(), 3);
    // The owner's word, and whoever wrote the address outright.
    let own = json!({"provider": "openai-compatible", "credentials": [KEY], "base_urls": ["https://h/v1"], "dialect": {"prefill": "partial"}});
    assert!(live(own).resumes(ApiFormat::AnthropicMessages, "any").is_some());
    let beta = json!({"provider": "deepseek", "credentials": [KEY], "base_urls": ["https://relay/x/beta"]});
    let beta = live(beta);
    for accepted in [beta.accepts(chat, "deepseek-chat"), beta.resumes(chat, "deepseek-chat")].into_iter().flatten() {
        let address = uri(&beta, &Operation::Chat { accepted: &accepted, stream: true }, "deepseek-chat");
        assert_eq!(address, "https://relay/x/beta/chat/completions");
    }
}
