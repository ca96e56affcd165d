//! Secrets stay secret: canary keys, of a provider and of a caller, are looked for wherever something could be written.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use myelin_core::store::NewKey;
use myelin_testkit::{MockServer, Script, Verbatim};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{TestGateway, providers};

/// What a provider knows us by. It starts like every key that the mock takes.
const PROVIDER: &str = "mock-canary-PROVIDER-5e2f1a9b7c";
const REFUSED: &str = "mock-bad-canary-REFUSED-88d1f0c3aa";

/// Every line that is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A channel that knows the canary; the second credential is refused.
fn channel(mock: &MockServer, name: &str, key: &str) -> Value {
    let mut channel = providers::channel(mock, name);
    channel["name"] = json!(format!("{name}-{}", if key == PROVIDER { "good" } else { "bad" }));
    channel["credentials"] = json!([key]);
    if name == "gemini" {
        // The key goes in the address.
        channel["options"] = json!({"auth": "query"});
    }
    channel
}

const NAMES: [&str; 7] = ["chat", "responses", "anthropic", "gemini", "azure", "deepseek", "bedrock-key"];

fn requests(model: &str) -> Vec<(String, Value)> {
    let messages = json!([{"role": "user", "content": "hi"}]);
    vec![
        ("/v1/chat/completions".into(), json!({"model": model, "messages": messages})),
        ("/v1/chat/completions".into(), json!({"model": model, "messages": messages, "stream": true})),
        ("/v1/messages".into(), json!({"model": model, "max_tokens": 50, "messages": messages})),
        ("/v1/messages/count_tokens".into(), json!({"model": model, "messages": messages})),
        ("/v1/responses".into(), json!({"model": model, "input": "hi"})),
        (
            format!("/v1beta/models/{}:generateContent", model.replace('/', "%2F")),
            json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
        ),
        ("/v1/embeddings".into(), json!({"model": model, "input": "hi"})),
    ]
}

/// Upstream failures that say the key back, as some providers do.
fn echoes(mock: &MockServer, key: &str) {
    let body = json!({"error": {"message": format!("Incorrect API key provided: {key}; url https://x/?key={key}"), "type": "invalid_request_error", "param": key, "code": key}});
    mock.script(Script {
        verbatim: Some(Verbatim {
            status: 400,
            content_type: "application/json".into(),
            body: body.to_string().into_bytes(),
        }),
        ..Script::default()
    });
}

#[tokio::test]
async fn case_47_no_secret_is_written_anywhere() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let mock = MockServer::start().await.unwrap();
    let channels =
        NAMES.iter().flat_map(|name| [channel(&mock, name, PROVIDER), channel(&mock, name, REFUSED)]).collect();
    let gateway = TestGateway::start(channels).await;
    let caller = gateway.another_key(NewKey { name: "canary".into(), ..NewKey::default() }).await;
    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();
    for name in NAMES {
        for (which, key) in [("good", PROVIDER), ("bad", REFUSED)] {
            for (path, body) in requests(&format!("{name}-{which}/m")) {
                for echo in [false, true] {
                    if echo {
                        echoes(&mock, key);
                    }
                    // The caller's key in the address, as Gemini's clients send it.
                    let answer =
                        gateway.request("POST", &format!("{path}?key={caller}")).json(&body).send().await.unwrap();
                    let head = format!("{:?}", answer.headers()).into_bytes();
                    let what = format!("{name}-{which} {path} echo {echo} {}", answer.status());
                    seen.push((what.clone(), head));
                    seen.push((what, answer.bytes().await.unwrap().to_vec()));
                    if echo {
                        // What was answered without the provider leaves its failure for the next request: take it away.
                        reqwest::get(format!("{}/models", mock.base_url("vllm"))).await.unwrap();
                    }
                }
            }
        }
        let line = gateway.gateway.line(&format!("{name}-good")).unwrap().unwrap();
        seen.push((format!("{name} in Debug"), format!("{line:?}").into_bytes()));
        echoes(&mock, REFUSED);
        let synced = gateway.gateway.sync_models(&format!("{name}-bad")).await;
        seen.push((format!("{name} model list"), format!("{synced:?}").into_bytes()));
    }
    assert!(mock.requests().iter().any(|request| request.query.contains(PROVIDER)), "the key did go in an address");
    seen.push(("records".into(), format!("{:?}", gateway.records(20).await).into_bytes()));
    seen.push((
        "the snapshot in Debug".into(),
        format!("{:?}", gateway.gateway.services().snapshot.load()).into_bytes(),
    ));
    let owner = async |path: &str| {
        let request = http::Request::get(path).body(http_body_util::Full::<bytes::Bytes>::default()).unwrap();
        let answer = gateway.gateway.ask_as_owner(request).await;
        http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes().to_vec()
    };
    // Everything that can be read without naming one thing; what failed is in the events, with the channels' own words.
    let described: Value = serde_json::from_slice(&owner("/openapi.json").await).unwrap();
    let plain = described["paths"].as_object().unwrap().iter().filter(|(_, methods)| methods["get"].is_object());
    let paths = plain.map(|(path, _)| path.as_str()).filter(|path| !path.contains('{') && !path.ends_with("/discover"));
    let mut asked = 0;
    for path in paths {
        let more = match path {
            "/api/v1/events" => "?after=0&limit=500",
            "/api/v1/requests/export" => "?format=jsonl&with_bodies=true",
            "/api/v1/requests" | "/api/v1/changes" => "?limit=1000",
            _ => "",
        };
        seen.push((path.to_owned(), owner(&format!("{path}{more}")).await));
        asked += 1;
    }
    assert!(asked >= 25, "{asked} of the API");
    for record in gateway.records(20).await {
        seen.push(("bodies".into(), owner(&format!("/api/v1/requests/{}/bodies", record.id)).await));
    }
    for change in 1..=20 {
        seen.push(("a change".into(), owner(&format!("/api/v1/changes/{change}")).await));
    }
    let events = owner("/api/v1/events?after=0&limit=500").await;
    assert!(
        String::from_utf8_lossy(&events).contains("\"kind\":\""),
        "something happened: {}",
        String::from_utf8_lossy(&events)
    );
    for path in ["/metrics", "/health", "/health/ready", "/health/live"] {
        let answer = gateway.request("GET", path).send().await.unwrap();
        seen.push((path.to_owned(), answer.bytes().await.unwrap().to_vec()));
    }
    for file in files(gateway.gateway.store().path().parent().unwrap()) {
        seen.push((file.display().to_string(), std::fs::read(&file).unwrap()));
    }
    drop(guard);
    let lines = lines.0.lock().unwrap().clone();
    assert!(lines.len() > 1_000, "nothing was logged: {}", String::from_utf8_lossy(&lines));
    seen.push(("the log".into(), lines));
    let mut leaks = Vec::new();
    for (what, bytes) in &seen {
        for secret in [PROVIDER, REFUSED, &caller, &gateway.key] {
            // A shown hint may hold the first six and the last four characters of a caller's key.
            let middle = &secret.as_bytes()[6..secret.len() - 4];
            if let Some(at) = bytes.windows(middle.len()).position(|window| window == middle) {
                let around = &bytes[at.saturating_sub(120)..(at + 60).min(bytes.len())];
                leaks.push(format!("{what}: …{}…", String::from_utf8_lossy(around)));
            }
        }
    }
    assert!(leaks.is_empty(), "{} leaks\n{}", leaks.len(), leaks.join("\n"));
}

/// Every file below a folder, the key file apart.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    assert!(!found.is_empty());
    found
}
