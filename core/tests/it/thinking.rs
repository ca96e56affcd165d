//! Thinking through tool loops: what a maker signed comes back to it byte for byte through every client format, and reaches nobody else.

use myelin_testkit::MockServer;
use serde_json::{Value, json};

use crate::support::dialog::{CLIENTS, Client, Dialog};
use crate::support::providers;
use crate::support::{TestGateway, mock_channel};

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
async fn case_05_06_07_08_thinking_survives_tool_loops_of_every_client_at_every_maker() {
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

/// What a maker sealed, as far as the client can see it: the innermost blob.
fn blobs(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let sealed = ["signature", "thoughtSignature", "encrypted_content", "data", "thinking_signature"];
                match value {
                    Value::String(text) if sealed.contains(&name.as_str()) && text.len() >= 40 => {
                        found.push(text.rsplit(':').next().unwrap_or(text).to_owned());
                    }
                    value => blobs(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|item| blobs(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn what_one_maker_sealed_never_reaches_another_and_the_talk_goes_on() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    let mut failures = Vec::new();
    let mut seen = 0;
    let makers = ["anthropic", "gemini3", "openrouter", "responses"];
    let others =
        ["anthropic", "bedrock-key", "gemini3", "deepseek", "moonshot", "openrouter", "responses", "mistral", "ollama"];
    for client in CLIENTS {
        for maker in makers {
            for other in others.iter().filter(|other| **other != maker) {
                let mut dialog = dialog(client, maker, false);
                dialog.user("call weather {\"city\": \"Oslo\"}");
                let said = match dialog.ask(&gateway).await {
                    Ok(said) => said,
                    Err(why) => {
                        failures.push(format!("{client:?} over {maker}: {why}"));
                        continue;
                    }
                };
                let mut sealed = Vec::new();
                blobs(&said.answer, &mut sealed);
                seen += sealed.len();
                let results: Vec<_> = said.calls.iter().map(|call| (call, "sunny")).collect();
                dialog.results(&results);
                dialog.model = format!("{other}/m");
                match dialog.ask(&gateway).await {
                    Ok(said) if said.text.contains("sunny") => {
                        let sent = String::from_utf8_lossy(&mock.last_request().unwrap().body).into_owned();
                        if sealed.iter().any(|blob| sent.contains(blob)) || sent.contains("myl1:") {
                            failures.push(format!("{client:?}, {maker} to {other}: a blob went on: {sent}"));
                        }
                    }
                    other_answer => failures.push(format!("{client:?}, {maker} to {other}: {other_answer:?}")),
                }
            }
        }
    }
    assert!(seen > 40, "only {seen} sealed blobs were seen at all");
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n\n"));
}

#[tokio::test]
async fn case_09_a_thinking_budget_that_is_too_small_breaks_no_conversion() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    for channel in providers::names().filter(|name| *name != "dify") {
        // As Claude Code's side requests ask; and a budget that is no smaller than the limit.
        for (budget, limit) in [(200, 512), (1023, 4096), (5000, 5000)] {
            for stream in [false, true] {
                let fields = json!({"thinking": {"type": "enabled", "budget_tokens": budget}, "max_tokens": limit});
                let mut dialog = Dialog::new(Client::Messages, &format!("{channel}/m"), stream).with(fields);
                dialog.user("say ok");
                let said = dialog.ask(&gateway).await;
                // Where the client's own bytes pass, the maker's own no is the client's business.
                let passed =
                    ["anthropic", "vertex-claude", "moonshot", "deepseek", "openrouter", "ollama"].contains(&channel);
                let its_no = passed && said.as_ref().is_err_and(|why| why.contains("budget"));
                let fine = its_no || said.as_ref().is_ok_and(|said| said.text == "ok");
                assert!(fine, "{channel}, {budget} of {limit}: {said:?}");
            }
        }
    }
}

#[tokio::test]
async fn case_09_a_thinking_budget_that_no_host_takes_is_raised_on_the_native_wire_too() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "anthropic", "anthropic", "anthropic")]).await;
    let long = "word ".repeat(40_000);
    for (words, most, expected) in [
        ("hi", 4096, json!({"type": "enabled", "budget_tokens": 1024})),
        ("hi", 512, json!({"type": "disabled"})),
        (&long, 4096, json!({"type": "enabled", "budget_tokens": 1024})),
    ] {
        let body = json!({"model": "mock", "max_tokens": most, "messages": [{"role": "user", "content": words}],
            "thinking": {"type": "enabled", "budget_tokens": 500}});
        let reply = gateway.post("/v1/messages").json(&body).send().await.unwrap();
        assert!(reply.headers()["x-myelin-loss"].to_str().unwrap().contains("thinking.budget_tokens"));
        assert_eq!(reply.status(), 200, "{}", reply.text().await.unwrap());
        assert_eq!(mock.last_request().unwrap().json()["thinking"], expected);
    }
}
