//! Channels of `providers` over the real client: tokens of Google accounts, model lists, tests of channels.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use myelin_protocol::ApiFormat;
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::tests::{listen, read_request};
use super::*;
use crate::clock::TestClock;
use crate::error::Kind;
use crate::model::{Secret, SecretSource};
use crate::providers::{
    Catalog, ChannelError, ClientHead, LiveChannel, Operation, Payload, SecretResolver, list_models, test,
};

const PEM: &str = include_str!("../providers/testdata/rsa-2048-for-tests.pem");

struct Inline;

impl SecretResolver for Inline {
    fn resolve(&self, source: &SecretSource) -> Result<Secret, String> {
        match source {
            SecretSource::Inline(secret) => Ok(secret.clone()),
            _ => Err("is not there".to_owned()),
        }
    }
}

fn live(mut value: Value) -> LiveChannel {
    value["name"] = json!("main");
    LiveChannel::build(&serde_json::from_value(value).unwrap(), Catalog::builtin(), &Inline, &[]).unwrap()
}

type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// Answers the n-th request with the n-th status and body (the last one for all further ones) and remembers what was asked.
async fn scripted(script: Vec<(u16, String)>) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let remembered = Arc::clone(&seen);
    let script = Arc::new(script);
    let (address, _) = listen(move |mut stream: TcpStream| {
        let (script, seen) = (Arc::clone(&script), Arc::clone(&remembered));
        async move {
            while let Some((head, body)) = read_request(&mut stream).await {
                let turn = {
                    let mut seen = seen.lock().unwrap();
                    seen.push((head, String::from_utf8(body).unwrap()));
                    seen.len() - 1
                };
                let (status, text) = &script[turn.min(script.len() - 1)];
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    (address, seen)
}

fn service_account(token_uri: &str) -> String {
    json!({
        "type": "service_account", "project_id": "proj-1", "private_key_id": "kid-1", "private_key": PEM,
        "client_email": "robot@proj-1.iam.gserviceaccount.com", "token_uri": token_uri,
    })
    .to_string()
}

fn granted(token: &str) -> (u16, String) {
    (200, json!({"access_token": token, "expires_in": 3600, "token_type": "Bearer"}).to_string())
}

async fn authorization(channel: &LiveChannel, client: &Client, clock: &TestClock) -> Result<String, ChannelError> {
    let accepted = channel.accepts(ApiFormat::Gemini, "gemini-2.5-flash").unwrap();
    let operation = Operation::Chat { accepted: &accepted, stream: true };
    let mut prepared = channel.request(0, &operation, "gemini-2.5-flash", ClientHead::default()).unwrap();
    assert!(prepared.parts.uri.path().contains("/projects/proj-1/locations/global/"), "{}", prepared.parts.uri);
    channel.authorize(0, &mut prepared, Payload::Streamed, client, clock).await?;
    assert!(prepared.parts.headers["authorization"].is_sensitive());
    Ok(prepared.parts.headers["authorization"].to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_service_account_signs_for_a_token_and_keeps_it_until_shortly_before_its_end() {
    let (address, seen) = scripted(vec![granted("tok-1"), granted("tok-2"), (500, "down".to_owned())]).await;
    let token_uri = format!("http://{address}/token");
    let channel = live(json!({"provider": "vertex", "credentials": [service_account(&token_uri)]}));
    let client = Client::new(&Dial::default()).unwrap();
    let clock = TestClock::default();
    clock.advance_ms(1_790_000_000_000);

    // Many at once ask for one token.
    let all = (0..8).map(|_| authorization(&channel, &client, &clock));
    for one in futures(all).await {
        assert_eq!(one.unwrap(), "Bearer tok-1");
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
    let (head, form) = seen.lock().unwrap()[0].clone();
    assert!(head.starts_with("post /token ") && head.contains("application/x-www-form-urlencoded"), "{head}");
    let assertion =
        form.strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=").unwrap();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let pair =
        RsaKeyPair::from_pkcs8(PrivatePkcs8KeyDer::from_pem_slice(PEM.as_bytes()).unwrap().secret_pkcs8_der()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref().to_vec());
    public.verify(signed.as_bytes(), &decode(signature)).expect("signed by the account's key");
    let (header, claims) = signed.split_once('.').unwrap();
    let header: Value = serde_json::from_slice(&decode(header)).unwrap();
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": "kid-1"}));
    let claims: Value = serde_json::from_slice(&decode(claims)).unwrap();
    assert_eq!(claims["aud"], json!(token_uri));
    assert_eq!(claims["iss"], "robot@proj-1.iam.gserviceaccount.com");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3_600);
    assert_eq!(claims["iat"], 1_790_000_000);

    clock.advance_ms(3_200_000);
    assert_eq!(authorization(&channel, &client, &clock).await.unwrap(), "Bearer tok-1");
    clock.advance_ms(150_000);
    assert_eq!(
        authorization(&channel, &client, &clock).await.unwrap(),
        "Bearer tok-2",
        "renewed before the old one ends"
    );
    clock.advance_ms(3_400_000);
    assert_eq!(
        authorization(&channel, &client, &clock).await.unwrap(),
        "Bearer tok-2",
        "it still works though no new one comes"
    );
    clock.advance_ms(300_000);
    let error = authorization(&channel, &client, &clock).await.unwrap_err().to_string();
    assert!(error.contains("no token from Google (500)"), "{error}");
    assert!(!format!("{channel:?}").contains("PRIVATE KEY"));
    assert_eq!(channel.redact(PEM), "***");
}

/// Polls all of them at once.
async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut all {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    all.into_iter().map(|(_, output)| output.unwrap()).collect()
}

#[tokio::test]
async fn a_users_refresh_token_works_and_refusals_are_told_in_googles_words() {
    let refusal =
        json!({"error": "invalid_grant", "error_description": "Token has been expired or revoked."}).to_string();
    let (address, seen) = scripted(vec![granted("tok-u"), (400, refusal)]).await;
    let file = json!({
        "type": "authorized_user", "client_id": "id-1", "client_secret": "sec/ret+1", "refresh_token": "1//refresh-1",
        "quota_project_id": "proj-1", "token_uri": format!("http://{address}/token"),
    });
    let channel = live(json!({"provider": "vertex", "credentials": [file.to_string()]}));
    let client = Client::new(&Dial::default()).unwrap();
    let clock = TestClock::default();
    assert_eq!(authorization(&channel, &client, &clock).await.unwrap(), "Bearer tok-u");
    let form = "grant_type=refresh_token&client_id=id-1&client_secret=sec%2Fret%2B1&refresh_token=1%2F%2Frefresh-1";
    assert_eq!(seen.lock().unwrap()[0].1, form);
    clock.advance_ms(4_000_000);
    let error = authorization(&channel, &client, &clock).await.unwrap_err().to_string();
    assert_eq!(error, "no token from Google (400): invalid_grant: Token has been expired or revoked.");
}

#[test]
fn files_that_are_no_accounts_are_refused_with_the_reason() {
    for (file, why) in [
        (json!({"type": "external_account"}), "not supported"),
        (json!({"type": "service_account", "client_email": "a@b"}), "private_key"),
        (json!({"type": "service_account", "client_email": "a@b", "private_key": "nonsense"}), "PKCS#8"),
        (json!({"type": "authorized_user", "client_id": "x"}), "client_secret"),
    ] {
        let channel = json!({"name": "main", "provider": "vertex", "credentials": [file.to_string()]});
        let built = LiveChannel::build(&serde_json::from_value(channel).unwrap(), Catalog::builtin(), &Inline, &[]);
        let error = built.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

fn at(provider: &str, address: SocketAddr) -> LiveChannel {
    live(
        json!({"provider": provider, "credentials": ["sk-canary-0123456789"], "base_urls": [format!("http://{address}")]}),
    )
}

async fn names(provider: &str, script: Vec<(u16, String)>) -> (Vec<String>, Vec<String>) {
    let (address, seen) = scripted(script).await;
    let client = Client::new(&Dial::default()).unwrap();
    let models = list_models(&at(provider, address), &client, &TestClock::default()).await.unwrap();
    let asked = seen.lock().unwrap().iter().map(|(head, _)| head.lines().next().unwrap().to_owned()).collect();
    (models.into_iter().map(|model| model.id).collect(), asked)
}

#[tokio::test]
async fn model_lists_of_every_shape_are_read_page_by_page() {
    let body = |value: Value| (200, value.to_string());
    let openai =
        names("openai", vec![body(json!({"object": "list", "data": [{"id": "b"}, {"id": "a"}, {"id": "a"}]}))]).await;
    assert_eq!(openai, (vec!["a".into(), "b".into()], vec!["get /v1/models http/1.1".to_owned()]));
    let first = json!({"data": [{"type": "model", "id": "claude-b"}], "has_more": true, "first_id": "claude-b", "last_id": "claude-b"});
    let last = json!({"data": [{"type": "model", "id": "claude-a"}], "has_more": false, "last_id": "claude-a"});
    let (models, asked) = names("anthropic", vec![body(first), body(last)]).await;
    assert_eq!(models, ["claude-a", "claude-b"]);
    assert_eq!(asked, ["get /v1/models?limit=1000 http/1.1", "get /v1/models?limit=1000&after_id=claude-b http/1.1"]);
    let first = json!({"models": [{"name": "models/gemini-x", "supportedGenerationMethods": ["generateContent"]}], "nextPageToken": "p/2"});
    let (models, asked) = names("gemini", vec![body(first), body(json!({"models": []}))]).await;
    assert_eq!(models, ["gemini-x"]);
    assert_eq!(asked[1], "get /v1beta/models?pagesize=1000&pagetoken=p%2f2 http/1.1");
    let (models, _) =
        names("ollama", vec![body(json!({"models": [{"name": "llama3:8b", "model": "llama3:8b"}]}))]).await;
    assert_eq!(models, ["llama3:8b"]);
    let (models, _) = names("together", vec![body(json!([{"id": "m-1", "context_length": 8}]))]).await;
    assert_eq!(models, ["m-1"]);
    let (models, _) =
        names("bedrock", vec![body(json!({"modelSummaries": [{"modelId": "amazon.nova-micro-v1:0"}]}))]).await;
    assert_eq!(models, ["amazon.nova-micro-v1:0"]);
    let (models, _) =
        names("vertex", vec![body(json!({"publisherModels": [{"name": "publishers/google/models/gemini-2.5-pro"}]}))])
            .await;
    assert_eq!(models, ["gemini-2.5-pro"]);
    let (models, asked) = names("perplexity", vec![body(json!({}))]).await;
    assert!(models.is_empty() && asked.is_empty(), "it has no list");
}

#[tokio::test]
async fn a_model_list_that_never_ends_does_and_a_broken_one_says_so() {
    let endless = json!({"data": [{"type": "model", "id": "m"}], "has_more": true, "last_id": "m"}).to_string();
    let (models, asked) = names("anthropic", vec![(200, endless)]).await;
    assert_eq!((models.len(), asked.len()), (1, 50));
    let client = Client::new(&Dial::default()).unwrap();
    let (address, _) = scripted(vec![(200, "<html>".to_owned())]).await;
    let error = list_models(&at("openai", address), &client, &TestClock::default()).await.unwrap_err();
    assert_eq!(error.kind, Kind::UpstreamFailed);
    let wrong =
        json!({"error": {"message": "Incorrect API key provided: sk-canary-0123456789", "code": "invalid_api_key"}})
            .to_string();
    let (address, _) = scripted(vec![(401, wrong)]).await;
    let error = list_models(&at("openai", address), &client, &TestClock::default()).await.unwrap_err();
    assert_eq!(error.kind, Kind::UpstreamDenied);
    assert!(!format!("{error} {:?}", error.source).contains("canary"), "{error:?}");
}

#[tokio::test]
async fn a_channel_is_tested_with_a_small_conversation_in_its_own_format() {
    let client = Client::new(&Dial::default()).unwrap();
    let clock = TestClock::default();
    let answer = json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "pong"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
    });
    let (address, seen) = scripted(vec![(200, answer.to_string())]).await;
    let report = test(&at("groq", address), 0, "llama", &client, &clock).await;
    assert!(report.failure.is_none(), "{:?}", report.failure);
    assert_eq!((report.text.as_str(), report.status, report.format), ("pong", Some(200), Some(ApiFormat::OpenaiChat)));
    let (head, body) = seen.lock().unwrap()[0].clone();
    assert!(head.starts_with("post /openai/v1/chat/completions ") && head.contains("bearer sk-canary"), "{head}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["model"], "llama");

    let denied = json!({"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}});
    let (address, _) = scripted(vec![(401, denied.to_string())]).await;
    let report = test(&at("anthropic", address), 0, "claude-haiku-4-5", &client, &clock).await;
    let failure = report.failure.unwrap();
    assert_eq!(
        (failure.kind, report.status, report.format),
        (Kind::UpstreamDenied, Some(401), Some(ApiFormat::AnthropicMessages))
    );
    let (address, _) = scripted(vec![(200, "[]".to_owned())]).await;
    let report = test(&at("groq", address), 0, "llama", &client, &clock).await;
    assert_eq!(report.failure.unwrap().kind, Kind::UpstreamFailed, "that is no answer");

    let vectors =
        json!({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}], "model": "v"});
    let (address, seen) = scripted(vec![(200, vectors.to_string())]).await;
    let report = test(&at("voyage", address), 0, "voyage-3.5-lite", &client, &clock).await;
    assert!(report.failure.is_none(), "{:?}", report.failure);
    assert_eq!(report.text, "a vector of 2 numbers");
    assert!(seen.lock().unwrap()[0].0.starts_with("post /v1/embeddings "));
    let gone = "127.0.0.1:1".parse().unwrap();
    let report = test(&at("groq", gone), 0, "llama", &client, &clock).await;
    assert_eq!((report.failure.unwrap().kind, report.status), (Kind::UpstreamFailed, None));
}

#[tokio::test]
async fn an_app_that_only_streams_is_tested_with_a_stream() {
    let events = concat!(
        "data: {\"event\":\"agent_message\",\"task_id\":\"t\",\"message_id\":\"m\",\"conversation_id\":\"c\",\"answer\":\"pong\"}\n\n",
        "data: {\"event\":\"message_end\",\"task_id\":\"t\",\"message_id\":\"m\",\"conversation_id\":\"c\",\"metadata\":{}}\n\n",
    );
    let (address, seen) = scripted(vec![(200, events.to_owned())]).await;
    let channel = live(json!({
        "provider": "dify", "credentials": ["app-0123456789"], "base_urls": [format!("http://{address}/v1")],
        "dialect": {"stream-only": true},
    }));
    let client = Client::new(&Dial::default()).unwrap();
    let report = test(&channel, 0, "app", &client, &TestClock::default()).await;
    assert!(report.failure.is_none(), "{:?}", report.failure);
    assert_eq!(report.text, "pong");
    let (head, body) = seen.lock().unwrap()[0].clone();
    assert!(head.starts_with("post /v1/chat-messages ") && head.contains("accept: text/event-stream"), "{head}");
    assert!(body.contains("\"streaming\""), "{body}");
}
