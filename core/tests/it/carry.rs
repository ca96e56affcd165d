//! What a request asks for beside text reaches the provider, or is named as lost, or is refused: it never vanishes.

use myelin_testkit::{MockServer, Recorded};
use serde_json::{Value, json};

use crate::support::dialog::{CLIENTS, Client, Dialog, Said};
use crate::support::providers;
use crate::support::{TestGateway, mock_channel};

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const PDF: &str = "JVBERi0xLjQKJSVFT0YK";

/// One thing to ask for.
struct Wish {
    name: &'static str,
    /// What the person says.
    text: &'static str,
    /// Fields of the request and, if the person's turn is more than text, its content; `None`: this format has no word for it.
    ask: fn(Client) -> Option<(Value, Value)>,
    /// Whether the wish was met.
    met: fn(&Said, &Recorded) -> bool,
    /// Words of a loss that owns up to it.
    lost: &'static [&'static str],
}

fn plain(fields: Value) -> Option<(Value, Value)> {
    Some((fields, Value::Null))
}

fn sent(recorded: &Recorded, text: &str) -> bool {
    String::from_utf8_lossy(&recorded.body).contains(text)
}

const WISHES: &[Wish] = &[
    Wish {
        name: "nothing",
        text: "hello you",
        ask: |_| plain(json!({})),
        met: |said, _| said.loss.is_empty() && said.text == "You said: hello you",
        // Messages always has a limit and these tests always ask for signed thinking of Responses, which not every model can; Ollama has no place for
        // signatures.
        lost: &["max_tokens: the app", "reasoning", "opaque"],
    },
    Wish {
        name: "system",
        text: "hi",
        ask: |client| match client {
            Client::Messages => plain(json!({"system": "talk like a pirate"})),
            Client::Gemini => plain(json!({"systemInstruction": {"parts": [{"text": "talk like a pirate"}]}})),
            Client::Responses => plain(json!({"instructions": "talk like a pirate"})),
            Client::Chat | Client::Ollama => None,
        },
        met: |_, seen| sent(seen, "talk like a pirate"),
        lost: &[],
    },
    Wish {
        name: "limit",
        text: "say a b c d e f g h i j k l m n o p q r s t",
        ask: |client| {
            plain(match client {
                Client::Chat => json!({"max_completion_tokens": 16}),
                Client::Responses => json!({"max_output_tokens": 16}),
                Client::Messages => json!({"max_tokens": 16}),
                Client::Gemini => json!({"generationConfig": {"maxOutputTokens": 16}}),
                Client::Ollama => json!({"options": {"num_predict": 16}}),
            })
        },
        met: |said, _| {
            said.text.trim() == "a b c d e f g h i j k l m n o p"
                && ["length", "incomplete", "max_tokens", "MAX_TOKENS", ""].contains(&said.finish.as_str())
        },
        lost: &["max_tokens", "max_output_tokens"],
    },
    Wish {
        name: "stop",
        text: "say one two STOP three",
        ask: |client| match client {
            Client::Chat => plain(json!({"stop": ["STOP"]})),
            Client::Responses => None,
            Client::Messages => plain(json!({"stop_sequences": ["STOP"]})),
            Client::Gemini => plain(json!({"generationConfig": {"stopSequences": ["STOP"]}})),
            Client::Ollama => plain(json!({"options": {"stop": ["STOP"]}})),
        },
        met: |said, _| said.text.trim() == "one two",
        lost: &["stop"],
    },
    Wish {
        name: "temperature",
        text: "hi",
        ask: |client| {
            plain(match client {
                Client::Gemini => json!({"generationConfig": {"temperature": 0.25}}),
                Client::Ollama => json!({"options": {"temperature": 0.25}}),
                _ => json!({"temperature": 0.25}),
            })
        },
        met: |_, seen| sent(seen, "0.25"),
        lost: &["temperature"],
    },
    Wish {
        name: "schema",
        text: "hi",
        ask: |client| {
            let schema = json!({"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"], "additionalProperties": false});
            match client {
                Client::Chat => plain(
                    json!({"response_format": {"type": "json_schema", "json_schema": {"name": "reply", "strict": true, "schema": schema}}}),
                ),
                Client::Responses => plain(
                    json!({"text": {"format": {"type": "json_schema", "name": "reply", "strict": true, "schema": schema}}}),
                ),
                Client::Messages => {
                    plain(json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}}))
                }
                Client::Gemini => plain(
                    json!({"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": schema}}),
                ),
                Client::Ollama => plain(json!({"format": schema})),
            }
        },
        met: |said, _| serde_json::from_str::<Value>(&said.text).is_ok_and(|value| value["answer"].is_string()),
        lost: &["response_format", "schema", "format", "output"],
    },
    Wish {
        name: "image",
        text: "look",
        ask: |client| {
            Some((
                json!({}),
                match client {
                    Client::Chat => {
                        json!([{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}}])
                    }
                    Client::Responses => {
                        json!([{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": format!("data:image/png;base64,{PNG}")}])
                    }
                    Client::Messages => {
                        json!([{"type": "text", "text": "look"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}])
                    }
                    Client::Gemini => json!([{"text": "look"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]),
                    Client::Ollama => json!({"images": [PNG]}),
                },
            ))
        },
        met: |said, _| said.text.contains("images: 1"),
        lost: &["image", "bytes must be uploaded first"],
    },
    Wish {
        name: "document",
        text: "read",
        ask: |client| {
            Some((
                json!({}),
                match client {
                    Client::Chat => {
                        json!([{"type": "text", "text": "read"}, {"type": "file", "file": {"filename": "a.pdf", "file_data": format!("data:application/pdf;base64,{PDF}")}}])
                    }
                    Client::Responses => {
                        json!([{"type": "input_text", "text": "read"}, {"type": "input_file", "filename": "a.pdf", "file_data": format!("data:application/pdf;base64,{PDF}")}])
                    }
                    Client::Messages => {
                        json!([{"type": "text", "text": "read"}, {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}])
                    }
                    Client::Gemini => {
                        json!([{"text": "read"}, {"inlineData": {"mimeType": "application/pdf", "data": PDF}}])
                    }
                    Client::Ollama => return None,
                },
            ))
        },
        met: |said, _| said.text.contains("documents: 1"),
        lost: &["document", "file", "parts", "content"],
    },
    Wish {
        name: "cache marks",
        text: "hi",
        ask: |client| {
            (client == Client::Messages).then(|| {
                (
                    json!({"system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]}),
                    json!([{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]),
                )
            })
        },
        met: |_, seen| {
            ["cache_control", "cachePoint"]
                .iter()
                .any(|mark| String::from_utf8_lossy(&seen.body).matches(mark).count() == 2)
        },
        lost: &["cache"],
    },
];

fn dialog(client: Client, channel: &str, stream: bool, text: &str, fields: Value, content: Value) -> Dialog {
    let mut dialog = Dialog::new(client, &format!("{channel}/m"), stream).with(fields);
    dialog.user(text);
    let turn = dialog.history.last_mut().expect("a turn");
    match (client, content) {
        (_, Value::Null) => {}
        (Client::Gemini, parts) => turn["parts"] = parts,
        (Client::Ollama, more) => turn["images"] = more["images"].clone(),
        (_, content) => turn["content"] = content,
    }
    dialog
}

#[tokio::test]
async fn case_12_21_every_wish_arrives_or_is_named() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    let mut failures = Vec::new();
    for channel in providers::names() {
        for wish in WISHES {
            for client in CLIENTS {
                let Some((fields, content)) = (wish.ask)(client) else { continue };
                for stream in [false, true] {
                    let mut dialog = dialog(client, channel, stream, wish.text, fields.clone(), content.clone());
                    let met = match dialog.ask(&gateway).await {
                        Ok(said) => {
                            let seen = mock.last_request().unwrap();
                            let owned_up = wish.lost.iter().any(|word| said.loss.contains(word));
                            match (wish.met)(&said, &seen) || owned_up {
                                true => Ok(()),
                                false => Err(format!("{said:?}\nsent {}", String::from_utf8_lossy(&seen.body))),
                            }
                        }
                        // A clear no that is about this very thing is fine, ours or (where bytes pass) the provider's own.
                        Err(why) => match why.starts_with("400") && wish.lost.iter().any(|word| why.contains(word)) {
                            true => Ok(()),
                            false => Err(why),
                        },
                    };
                    if let Err(why) = met {
                        failures.push(format!("{} of {client:?} over {channel}, stream {stream}: {why}", wish.name));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n\n"));
}

#[tokio::test]
async fn a_host_that_copies_a_wire_gets_only_its_core_from_callers_of_another_format() {
    let mock = MockServer::start().await.unwrap();
    let channels = vec![
        mock_channel(&mock, "copy", "openai-compatible", "openai"),
        mock_channel(&mock, "kimi", "moonshot-cn", "openai"),
    ];
    let gateway = TestGateway::start(channels).await;
    for (channel, kept) in [("copy", vec![]), ("kimi", vec!["prompt_cache_key"])] {
        // As Codex sends it.
        let body = json!({"model": format!("{channel}/mock"), "input": "hi", "store": false, "prompt_cache_key": "k",
            "service_tier": "flex", "metadata": {"a": "b"}, "text": {"verbosity": "low"}});
        let reply = gateway.post("/v1/responses").json(&body).send().await.unwrap();
        let loss =
            reply.headers().get("x-myelin-loss").map(|loss| loss.to_str().unwrap().to_owned()).unwrap_or_default();
        assert_eq!(reply.status(), 200, "{channel}: {}", reply.text().await.unwrap());
        let sent = mock.last_request().unwrap().json();
        for field in ["store", "prompt_cache_key", "service_tier", "metadata", "verbosity"] {
            assert_eq!(sent.get(field).is_some(), kept.contains(&field), "{channel}: {field}: {sent}");
            // Nothing is stored there anyway.
            let told = field != "store" && !kept.contains(&field);
            assert_eq!(loss.contains(field), told, "{channel}: {field}: {loss}");
        }
    }
    // A caller of the wire itself says what it means.
    let chat = json!({"model": "copy/mock", "store": true, "prompt_cache_key": "k", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(gateway.ask("/v1/chat/completions", &chat).await.0, 200);
    let sent = mock.last_request().unwrap().json();
    assert_eq!((&sent["store"], &sent["prompt_cache_key"]), (&json!(true), &json!("k")));
}
