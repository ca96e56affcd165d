//! Every client format over every provider wire: text arrives, streamed and not, with usage in the record.

use myelin_testkit::MockServer;
use serde_json::{Value, json};

use crate::support::{TestGateway, mock_channel};

/// Channel name, catalog row, mock provider.
const UPSTREAMS: [(&str, &str, &str); 6] = [
    ("openai", "openai", "openai"),
    ("anthropic", "anthropic", "anthropic"),
    ("gemini", "gemini", "gemini"),
    ("deepseek", "deepseek", "deepseek"),
    ("ollama", "ollama", "ollama"),
    ("mistral", "mistral", "mistral"),
];

fn body(path: &str, model: &str, text: &str) -> (String, Value) {
    let messages = json!([{"role": "user", "content": text}]);
    match path {
        "gemini" => (
            format!("/v1beta/models/{model}:generateContent"),
            json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}),
        ),
        "/v1/responses" => (path.into(), json!({"model": model, "input": text, "store": false})),
        "/v1/completions" | "/api/generate" => (path.into(), json!({"model": model, "prompt": text, "stream": false})),
        "/v1/messages" => (path.into(), json!({"model": model, "max_tokens": 200, "messages": messages})),
        _ => (path.into(), json!({"model": model, "messages": messages, "stream": false})),
    }
}

#[tokio::test]
async fn text_arrives_from_every_client_at_every_provider() {
    let mock = MockServer::start().await.unwrap();
    let channels = UPSTREAMS.iter().map(|(name, row, path)| mock_channel(&mock, name, row, path)).collect();
    let gateway = TestGateway::start(channels).await;
    let mut failures = Vec::new();
    for client in [
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/messages",
        "gemini",
        "/api/chat",
        "/v1/completions",
        "/api/generate",
    ] {
        for (name, _, _) in UPSTREAMS {
            let model = if client == "gemini" { format!("{name}%2Fmock") } else { format!("{name}/mock") };
            let (path, mut body) = body(client, &model, "the quick brown fox");
            let (status, whole) = gateway.ask_text(&path, &body).await;
            if status != 200 || !whole.contains("quick") {
                failures.push(format!("{client} over {name}: {status} {whole}"));
            }
            let path = path.replace(":generateContent", ":streamGenerateContent?alt=sse");
            if client != "gemini" {
                body["stream"] = json!(true);
            }
            let (status, text) = gateway.ask_text(&path, &body).await;
            if status != 200 || !text.contains("quick") || text.contains("\"error\":{") {
                failures.push(format!("{client} over {name}, streamed: {status} {text}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    let count = 7 * UPSTREAMS.len() * 2;
    for record in gateway.records(count).await {
        assert!(record.usage.as_ref().is_some_and(|usage| usage.output.is_some()), "no usage: {record:?}");
    }
}
