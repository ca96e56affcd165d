//! Thinking through tool loops: what a maker signed comes back to it byte for byte through every client format, and reaches nobody else.

use myelin_testkit::MockServer;
use serde_json::{Value, json};

use crate::support::TestGateway;
use crate::support::dialog::{CLIENTS, Client, Dialog};
use crate::support::providers;

/// How each client asks for thinking.
fn asks_for_thinking(client: Client) -> Value {
    match client {
        Client::Chat => json!({"reasoning_effort": "high"}),
        Client::Responses => json!({"reasoning": {"effort": "high", "summary": "auto"}}),
        Client::Messages => json!({"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 8000}),
        Client::Gemini => {
            json!({"generationConfig": {"thinkingConfig": {"includeThoughts": true, "thinkingBudget": 2000}}})
        }
        Client::Ollama => json!({"think": true}),
    }
}

fn dialog(client: Client, channel: &str, stream: bool) -> Dialog {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let model = if channel.is_empty() { "m".to_owned() } else { format!("{channel}/m") };
    Dialog::new(client, &model, stream).tools(&[("weather", schema)]).with(asks_for_thinking(client))
}

/// Two rounds of tools with thinking; the mocks check what comes back.
async fn rounds(gateway: &TestGateway, mut dialog: Dialog, first: &str) -> Result<(), String> {
    dialog.user(&format!(
        "{first} call weather {{}}\ncall weather {{\"city\": \"Oslo\"}}\ncall weather {{\"city\": \"Rome\"}}\nthen\ncall weather {{\"city\": \"Paris\"}}"
    ));
    for round in 0..2 {
        let said = dialog.ask(gateway).await?;
        if said.calls.is_empty() {
            return Err(format!("round {round}: no calls: {}", said.answer));
        }
        let results: Vec<_> = said.calls.iter().map(|call| (call, "sunny")).collect();
        dialog.results(&results);
    }
    let said = dialog.ask(gateway).await?;
    if !said.text.contains("sunny") {
        return Err(format!("last: {}", said.answer));
    }
    Ok(())
}

#[tokio::test]
async fn cases_05_06_07_08_thinking_survives_tool_loops_of_every_client_at_every_maker() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    let mut failures = Vec::new();
    for channel in [
        "anthropic",
        "bedrock",
        "vertex-claude",
        "gemini",
        "gemini3",
        "vertex",
        "deepseek",
        "moonshot",
        "openrouter",
        "responses",
        "mistral",
        "groq",
        "ollama",
    ] {
        for client in CLIENTS {
            for stream in [false, true] {
                if let Err(why) = rounds(&gateway, dialog(client, channel, stream), "").await {
                    failures.push(format!("{client:?} over {channel}, stream {stream}: {why}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n\n"));
}
