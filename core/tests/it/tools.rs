//! Tool loops: every client format over every provider. The mocks refuse what does not pair, so a refusal is a fault of the gateway.

use myelin_testkit::MockServer;
use serde_json::{Value, json};

use crate::support::TestGateway;
use crate::support::dialog::{CLIENTS, Client, Dialog};
use crate::support::providers;

fn weather() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}

fn dialog(client: Client, channel: &str, stream: bool) -> Dialog {
    let clock = json!({"type": "object", "properties": {"zone": {"type": "string"}, "at": {"type": "integer"}}});
    Dialog::new(client, &format!("{channel}/m"), stream).tools(&[("weather", weather()), ("get_clock", clock)])
}

/// Two rounds: two parallel calls, their results, then one more call, its result, then the words.
async fn rounds(gateway: &TestGateway, mut dialog: Dialog) -> Result<(), String> {
    dialog.user("call weather {\"city\": \"Zürich\"}\ncall get_clock {\"zone\": \"a \\\"b\\\" \\\\ c\", \"at\": 7}\nthen\ncall weather {\"city\": \"Oslo\"}");
    let said = dialog.ask(gateway).await?;
    let calls = said.calls;
    let seen: Vec<(&str, &Value)> = calls.iter().map(|call| (call.name.as_str(), &call.arguments)).collect();
    let zone = json!({"zone": "a \"b\" \\ c", "at": 7});
    if seen != [("weather", &json!({"city": "Zürich"})), ("get_clock", &zone)] {
        return Err(format!("calls: {calls:?} in {}", said.answer));
    }
    let ids_needed = !matches!(dialog.client, Client::Gemini | Client::Ollama);
    if ids_needed && (calls.iter().any(|call| call.id.is_empty()) || calls[0].id == calls[1].id) {
        return Err(format!("ids: {calls:?}"));
    }
    let finish = match dialog.client {
        Client::Chat => "tool_calls",
        Client::Messages => "tool_use",
        Client::Responses => "completed",
        Client::Gemini => "STOP",
        Client::Ollama => "",
    };
    if said.finish != finish {
        return Err(format!("finish {}", said.finish));
    }
    dialog.results(&[(&calls[0], "sunny"), (&calls[1], "noon")]);
    let said = dialog.ask(gateway).await?;
    let [call] = said.calls.as_slice() else { return Err(format!("second round: {}", said.answer)) };
    if call.arguments != json!({"city": "Oslo"}) {
        return Err(format!("second round: {call:?}"));
    }
    dialog.results(&[(call, "rain")]);
    let said = dialog.ask(gateway).await?;
    if !said.text.contains("The tool said: ") || !said.text.contains("rain") || !said.calls.is_empty() {
        return Err(format!("last: {}", said.answer));
    }
    Ok(())
}

#[tokio::test]
async fn case_10_tool_loops_work_from_every_client_at_every_provider() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    let mut failures = Vec::new();
    for channel in providers::names().filter(|name| *name != "dify") {
        for client in CLIENTS {
            for stream in [false, true] {
                if let Err(why) = rounds(&gateway, dialog(client, channel, stream)).await {
                    failures.push(format!("{client:?} over {channel}, stream {stream}: {why}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n\n"));
}

#[tokio::test]
async fn a_failed_tool_and_a_call_after_words_pass_at_every_provider() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    let mut failures = Vec::new();
    for channel in providers::names().filter(|name| *name != "dify") {
        let mut dialog = dialog(Client::Messages, channel, true);
        dialog.user("call weather {\"city\": \"Oslo\"}\ncall weather {\"city\": \"Bergen\"}");
        let said = dialog.ask(&gateway).await.unwrap();
        // Out of order, one failed, one with parts; then the person adds words.
        dialog.history.push(json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": said.calls[1].id, "is_error": true, "content": "no such place"},
            {"type": "tool_result", "tool_use_id": said.calls[0].id, "content": [{"type": "text", "text": "sun"}, {"type": "text", "text": "shine"}]},
            {"type": "text", "text": "say well then"},
        ]}));
        match dialog.ask(&gateway).await {
            Ok(said) if !said.text.is_empty() => {}
            other => failures.push(format!("{channel}: {other:?}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// How each client demands a tool, forbids tools, and forbids parallel calls.
fn choices(client: Client) -> Option<[Value; 3]> {
    Some(match client {
        Client::Chat => [
            json!({"tool_choice": {"type": "function", "function": {"name": "get_clock"}}}),
            json!({"tool_choice": "none"}),
            json!({"parallel_tool_calls": false}),
        ],
        Client::Responses => [
            json!({"tool_choice": {"type": "function", "name": "get_clock"}}),
            json!({"tool_choice": "none"}),
            json!({"parallel_tool_calls": false}),
        ],
        Client::Messages => [
            json!({"tool_choice": {"type": "tool", "name": "get_clock"}}),
            json!({"tool_choice": {"type": "none"}}),
            json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
        ],
        Client::Gemini => [
            json!({"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get_clock"]}}}),
            json!({"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}),
            json!({}),
        ],
        Client::Ollama => return None,
    })
}

#[tokio::test]
async fn case_11_tool_choice_and_parallel_calls_are_obeyed_or_named_as_lost() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    let mut failures = Vec::new();
    for channel in providers::names().filter(|name| *name != "dify") {
        for client in CLIENTS {
            let Some([demand, forbid, single]) = choices(client) else { continue };
            for (fields, text, expected) in [
                (demand, "hello", 1),
                (forbid, "call weather {}", 0),
                (single.clone(), "call weather {}\ncall get_clock {}", if single == json!({}) { 2 } else { 1 }),
            ] {
                let mut dialog = dialog(client, channel, false).with(fields.clone());
                dialog.user(text);
                match dialog.ask(&gateway).await {
                    Ok(said) if said.calls.len() == expected => {}
                    Ok(said) if said.loss.contains("tool") => {}
                    Ok(said) => failures.push(format!(
                        "{client:?} over {channel}, {fields}: {} calls, loss {:?}\nsent {}",
                        said.calls.len(),
                        said.loss,
                        mock.last_request().unwrap().json()
                    )),
                    Err(why) => failures.push(format!("{client:?} over {channel}, {fields}: {why}")),
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n\n"));
}

#[tokio::test]
async fn dify_answers_in_words_and_the_lost_tools_are_named() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![providers::channel(&mock, "dify")]).await;
    for client in CLIENTS {
        for stream in [false, true] {
            let mut plain = Dialog::new(client, "dify/m", stream);
            plain.user("hello app");
            let said = plain.ask(&gateway).await.unwrap();
            assert!(said.text.contains("hello app"), "{client:?}: {said:?}");
            let mut tools = dialog(client, "dify", stream);
            tools.user("hello app");
            let said = tools.ask(&gateway).await.unwrap();
            assert!(said.loss.contains("tools"), "{client:?}: {said:?}");
        }
    }
}
