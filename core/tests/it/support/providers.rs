//! Channels at every provider that the mock knows, one for each wire and way of signing.

use myelin_testkit::{AWS_KEY, KEY, MockServer};
use serde_json::{Value, json};

const PEM: &str = include_str!("../../../src/providers/testdata/rsa-2048-for-tests.pem");

/// Channel name, catalog row, mock provider, upstream model.
const ROWS: [(&str, &str, &str, &str); 19] = [
    ("chat", "openai", "openai", "gpt-4o-mini"),
    ("responses", "openai", "openai", "gpt-5-mini"),
    ("anthropic", "anthropic", "anthropic", "claude-sonnet-4-5"),
    ("gemini", "gemini", "gemini", "gemini-2.5-flash"),
    ("gemini3", "gemini", "gemini", "gemini-3-pro-preview"),
    ("bedrock", "bedrock", "bedrock", "anthropic.claude-sonnet-4-5-v1:0"),
    ("bedrock-key", "bedrock", "bedrock", "amazon.nova-pro-v1:0"),
    ("ollama", "ollama", "ollama", "llama3.2"),
    ("azure", "azure", "azure", "gpt-4o-mini"),
    ("azure-classic", "azure", "azure", "gpt-4o-mini"),
    ("vertex", "vertex", "vertex", "gemini-2.5-flash"),
    ("vertex-claude", "vertex", "vertex", "claude-sonnet-4-5"),
    ("mistral", "mistral", "mistral", "mistral-large-latest"),
    ("deepseek", "deepseek", "deepseek", "deepseek-chat"),
    ("moonshot", "moonshot", "moonshot", "kimi-k2"),
    ("groq", "groq", "groq", "llama-3.3-70b"),
    ("xai", "xai", "xai", "grok-3"),
    ("openrouter", "openrouter", "openrouter", "some/model"),
    ("dify", "dify", "dify", "app"),
];

/// The names of all channels.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.0)
}

/// A channel of the table; its one model is called `m`.
pub fn channel(mock: &MockServer, name: &str) -> Value {
    let (_, row, path, upstream) = ROWS.iter().find(|row| row.0 == name).expect("a row of the table");
    let mut channel = json!({
        "name": name, "provider": row, "base_urls": [mock.base_url(path)], "credentials": [KEY],
        "models": [{"name": "m", "upstream": upstream}],
    });
    match name {
        "bedrock" => {
            channel["credentials"] = json!([format!("{}:{}", AWS_KEY.0, AWS_KEY.1)]);
            channel["options"] = json!({"region": "us-east-1"});
        }
        "azure-classic" => channel["options"] = json!({"api_version": "2024-10-21"}),
        "vertex" | "vertex-claude" => channel["credentials"] = json!([service_account(mock)]),
        "ollama" => channel["credentials"] = json!([]),
        _ => {}
    }
    channel
}

/// All channels of the table.
pub fn all(mock: &MockServer) -> Vec<Value> {
    names().map(|name| channel(mock, name)).collect()
}

fn service_account(mock: &MockServer) -> String {
    json!({
        "type": "service_account", "project_id": "proj-1", "private_key_id": "kid-1", "private_key": PEM,
        "client_email": "robot@proj-1.iam.gserviceaccount.com", "token_uri": format!("{}/token", mock.url("gcp")),
    })
    .to_string()
}
