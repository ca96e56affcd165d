//! Stored responses: conversations that go on by id, over providers that store and over providers that do not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use myelin_core::model::CutStreams;
use myelin_core::store::{Change, NewKey};
use myelin_testkit::{Delivery, MockServer, Script};
use serde_json::{Value, json};

use crate::support::fold;
use crate::support::provider_socket::ProviderSocket;
use crate::support::{TestGateway, channel_of, mock_channel, providers};

async fn gateway(names: &[&str]) -> (MockServer, TestGateway) {
    let mock = MockServer::start().await.unwrap();
    let channels = names.iter().map(|name| providers::channel(&mock, name)).collect();
    let gateway = TestGateway::start(channels).await;
    (mock, gateway)
}

/// Asks `/v1/responses`, streamed or not; the response object.
async fn respond(gateway: &TestGateway, mut body: Value, stream: bool) -> Value {
    body["stream"] = json!(stream);
    let (status, text) = gateway.ask_text("/v1/responses", &body).await;
    assert_eq!(status, 200, "{text}\n{body}");
    if stream { fold::responses(&text) } else { serde_json::from_str(&text).unwrap() }
}

fn id(response: &Value) -> &str {
    response["id"].as_str().unwrap()
}

#[tokio::test]
async fn a_conversation_goes_on_by_id_over_providers_that_store_nothing() {
    let (mock, gateway) = gateway(&["deepseek", "anthropic", "gemini3", "mistral", "ollama"]).await;
    // deepseek, moonshot and Ollama offer Responses but these tests want the converted path of a Chat host: mistral.
    for channel in ["mistral", "anthropic", "gemini3"] {
        for stream in [false, true] {
            let model = format!("{channel}/m");
            let tools =
                json!([{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}]);
            let first = respond(&gateway, json!({"model": model, "input": "my name is Ada"}), stream).await;
            let second = respond(
                &gateway,
                json!({"model": model, "input": "call weather {}", "previous_response_id": id(&first), "tools": tools}),
                stream,
            )
            .await;
            let call =
                second["output"].as_array().unwrap().iter().find(|item| item["type"] == "function_call").unwrap();
            let third = respond(
                &gateway,
                json!({"model": model, "previous_response_id": id(&second), "tools": tools,
                    "input": [{"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}]}),
                stream,
            )
            .await;
            assert!(third.to_string().contains("The tool said: sunny"), "{channel}: {third}");
            assert_eq!(third["previous_response_id"], second["id"], "{channel}");
            let sent = mock.last_request().unwrap();
            assert!(String::from_utf8_lossy(&sent.body).contains("my name is Ada"), "{channel}: {:?}", sent.json());

            let (status, stored) = gateway.call("GET", &format!("/v1/responses/{}", id(&third))).await;
            assert_eq!((status, &stored["id"], &stored["output"]), (200, &third["id"], &third["output"]), "{channel}");
            let path = format!("/v1/responses/{}/input_items?order=asc", id(&third));
            let (status, items) = gateway.call("GET", &path).await;
            assert_eq!(status, 200);
            let text = items["data"].to_string();
            assert!(items["object"] == "list" && text.contains("sunny") && text.contains("my name is Ada"), "{items}");

            let (status, gone) = gateway.call("DELETE", &format!("/v1/responses/{}", id(&third))).await;
            assert_eq!((status, &gone["deleted"]), (200, &json!(true)));
            assert_eq!(gateway.call("GET", &format!("/v1/responses/{}", id(&third))).await.0, 404);
        }
    }
}

/// Their Responses endpoints take the request as it is and keep nothing of it; some say 400 to who asks for more. Of the last one nobody knows it: its answer says so.
#[tokio::test]
async fn a_conversation_goes_on_by_id_at_hosts_whose_responses_endpoint_stores_nothing() {
    let mock = MockServer::start().await.unwrap();
    let known = ["groq", "openrouter", "ollama", "deepseek"];
    let mut channels: Vec<Value> = known.iter().map(|name| providers::channel(&mock, name)).collect();
    channels.push(json!({
        "name": "own", "provider": "openai-compatible", "base_urls": [mock.base_url("vllm")],
        "credentials": [myelin_testkit::KEY], "models": [{"name": "m", "upstream": "llama3.2"}], "options": {"formats": ["openai-chat", "openai-responses"]},
    }));
    let gateway = TestGateway::start(channels).await;
    for channel in known.into_iter().chain(["own"]) {
        for (stream, store) in [(false, None), (true, None), (false, Some(true)), (true, Some(true))] {
            // What a host refuses is not asked of one that nobody knows.
            let model = format!("{channel}/m");
            let mut body =
                json!({"model": model, "input": "my name is Ada", "instructions": "be kind: \"store\": false"});
            if let Some(store) = store {
                body["store"] = json!(store);
            }
            let first = respond(&gateway, body.clone(), stream).await;
            let sent = mock.last_request().unwrap();
            assert!(sent.path.ends_with("/responses"), "{channel} is spoken to in the caller's own format");
            assert!(channel == "own" || sent.json().get("store").is_none(), "{channel}: {}", sent.json());
            body["input"] = json!("what is my name?");
            body["previous_response_id"] = first["id"].clone();
            let second = respond(&gateway, body.clone(), stream).await;
            let sent = mock.last_request().unwrap();
            let said = String::from_utf8_lossy(&sent.body).into_owned();
            let all = ["my name is Ada", "what is my name?"].iter().all(|words| said.contains(words));
            assert!(all && !said.contains("previous_response_id"), "{channel} {stream} {store:?}: {said}");
            assert_eq!(second["previous_response_id"], first["id"], "{channel} {stream}");
            body["input"] = json!("and now?");
            body["previous_response_id"] = second["id"].clone();
            respond(&gateway, body, stream).await;
            let said = String::from_utf8_lossy(&mock.last_request().unwrap().body).into_owned();
            let all = ["my name is Ada", "what is my name?", "and now?"].iter().all(|words| said.contains(words));
            assert!(all, "{channel} {stream} {store:?}: {said}");

            let asked = mock.requests().len();
            for response in [&first, &second] {
                let (status, stored) = gateway.call("GET", &format!("/v1/responses/{}", id(response))).await;
                assert_eq!((status, &stored["id"], &stored["output"]), (200, &response["id"], &response["output"]));
            }
            let path = format!("/v1/responses/{}", id(&first));
            assert_eq!(gateway.call("DELETE", &path).await.0, 200);
            assert_eq!(gateway.call("GET", &path).await.0, 404);
            assert_eq!(mock.requests().len(), asked, "nobody there knows of it");
        }
    }
    // Who stores says so, and keeps it.
    let first = respond(&gateway, json!({"model": "groq/m", "input": "forget me", "store": false}), false).await;
    assert_eq!(gateway.call("GET", &format!("/v1/responses/{}", id(&first))).await.0, 404);
}

#[tokio::test]
async fn what_a_request_goes_on_from_is_counted_with_it() {
    let (mock, gateway) = gateway(&["mistral", "responses"]).await;
    for model in ["echo", "mistral/m", "responses/m"] {
        let long = format!("remember: {}", "a rather long story ".repeat(50));
        let first = respond(&gateway, json!({"model": model, "input": long}), false).await;
        let mut body = json!({"model": model, "input": "go on"});
        let (_, alone) = gateway.ask("/v1/responses/input_tokens", &body).await;
        body["previous_response_id"] = first["id"].clone();
        let (status, whole) = gateway.ask("/v1/responses/input_tokens", &body).await;
        assert_eq!(status, 200, "{whole}");
        if model == "responses/m" {
            // The provider has the conversation and counts it.
            assert_eq!(mock.last_request().unwrap().json()["previous_response_id"], first["id"]);
        } else {
            let count = |answer: &Value| answer["input_tokens"].as_u64().unwrap();
            assert!(count(&whole) > count(&alone) + 100, "{model}: {alone} {whole}");
        }
        body["previous_response_id"] = json!("resp_of_nobody");
        assert_eq!(gateway.ask("/v1/responses/input_tokens", &body).await.0, 404);
    }
}

#[tokio::test]
async fn case_26_another_key_s_response_is_forbidden_and_an_unknown_one_is_named() {
    let (_mock, gateway) = gateway(&["mistral", "responses"]).await;
    let stranger = gateway.another_key(NewKey { name: "stranger".into(), ..NewKey::default() }).await;
    for model in ["mistral/m", "responses/m"] {
        let own = respond(&gateway, json!({"model": model, "input": "secret words"}), false).await;
        let go_on = json!({"model": model, "input": "go on", "previous_response_id": own["id"]});
        let path = format!("/v1/responses/{}", id(&own));
        for (method, path, body) in [
            ("GET", path.clone(), Value::Null),
            ("DELETE", path.clone(), Value::Null),
            ("GET", format!("{path}/input_items"), Value::Null),
            ("POST", "/v1/responses".to_owned(), go_on.clone()),
            ("POST", "/v1/responses/compact".to_owned(), go_on.clone()),
            ("POST", "/v1/responses/input_tokens".to_owned(), go_on.clone()),
        ] {
            let mut request = gateway.request(method, &path).bearer_auth(&stranger);
            if !body.is_null() {
                request = request.json(&body);
            }
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            assert_eq!(status, 403, "{method} {path}: {text}");
            assert!(!text.contains("secret words"), "{text}");
        }
        assert_eq!(gateway.call("GET", &path).await.0, 200, "its owner still has it");
    }
    let (status, body) = gateway
        .ask("/v1/responses", &json!({"model": "mistral/m", "input": "hi", "previous_response_id": "resp_nobody"}))
        .await;
    assert!((400..=404).contains(&status), "{body}");
    assert_eq!(body["error"]["code"], "previous_response_not_found", "{body}");
    let (status, body) = gateway.call("GET", "/v1/responses/resp_nobody").await;
    assert_eq!(status, 404, "{body}");
}

#[tokio::test]
async fn store_false_keeps_nothing() {
    let (_mock, gateway) = gateway(&["mistral", "anthropic"]).await;
    for model in ["mistral/m", "anthropic/m"] {
        for stream in [false, true] {
            let answer = respond(&gateway, json!({"model": model, "input": "hi", "store": false}), stream).await;
            let (status, _) = gateway.call("GET", &format!("/v1/responses/{}", id(&answer))).await;
            assert_eq!(status, 404, "{model}");
        }
    }
}

#[tokio::test]
async fn case_25_a_response_that_a_provider_stores_is_bound_to_its_channel_and_credential() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = providers::channel(&mock, "responses");
    channel["credentials"] = json!(["mock-key-one", "mock-key-two", "mock-key-three"]);
    let mut other = providers::channel(&mock, "responses");
    other["name"] = json!("other");
    let gateway = TestGateway::start(vec![channel, other]).await;
    for round in 0..12 {
        let stream = round % 2 == 0;
        let first = respond(&gateway, json!({"model": "m", "input": "remember me"}), stream).await;
        let key = mock.last_request().unwrap().header("authorization").map(str::to_owned);
        let channel = gateway.last_record().await.channel;
        let next =
            respond(&gateway, json!({"model": "m", "input": "go on", "previous_response_id": id(&first)}), stream)
                .await;
        let seen = mock.last_request().unwrap();
        assert_eq!(seen.header("authorization").map(str::to_owned), key, "another key cannot see it");
        assert_eq!(seen.json()["previous_response_id"], first["id"], "the id passes");
        assert_eq!(gateway.last_record().await.channel, channel);
        let (status, _) = gateway.call("GET", &format!("/v1/responses/{}", id(&next))).await;
        assert_eq!(status, 200);
        assert_eq!(mock.last_request().unwrap().header("authorization").map(str::to_owned), key);
    }
}

#[tokio::test]
async fn case_25_a_stored_response_follows_its_credential_wherever_it_stands() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = providers::channel(&mock, "responses");
    let keys = |channel: &mut Value, keys: &[&str]| channel["credentials"] = json!(keys);
    keys(&mut channel, &["mock-key-one", "mock-key-two"]);
    let gateway = TestGateway::start(vec![channel.clone()]).await;
    let asked = std::sync::atomic::AtomicU32::new(0);
    let maker = async |name: &str| loop {
        // Each is another conversation: turns of one stay with one credential.
        let input = format!("remember me {}", asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let first = respond(&gateway, json!({"model": "m", "input": input}), false).await;
        if mock.last_request().unwrap().header("authorization") == Some(&format!("Bearer {name}")) {
            return id(&first).to_owned();
        }
    };
    let (one, two) = (maker("mock-key-one").await, maker("mock-key-two").await);
    let update = async |channel: &Value| {
        let channel = channel_of(channel.clone());
        gateway.gateway.store().apply(Change::UpdateChannel(Box::new(channel)), "test").await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let follow = |of: &str| json!({"model": "m", "input": "go on", "previous_response_id": of});
    for order in [["mock-key-two", "mock-key-one"], ["mock-key-three", "mock-key-two"]] {
        keys(&mut channel, &order);
        update(&channel).await;
        respond(&gateway, follow(&two), false).await;
        assert_eq!(mock.last_request().unwrap().header("authorization"), Some("Bearer mock-key-two"), "{order:?}");
        assert_eq!(gateway.call("GET", &format!("/v1/responses/{two}")).await.0, 200);
        assert_eq!(mock.last_request().unwrap().header("authorization"), Some("Bearer mock-key-two"), "{order:?}");
    }
    // The first one is gone: nobody else is asked in its place.
    let asked = mock.requests().len();
    let (status, body) = gateway.ask("/v1/responses", &follow(&one)).await;
    assert_eq!(status, 400, "{body}");
    assert!(body.to_string().contains("a credential that the channel responses does not have any more"), "{body}");
    assert_eq!(gateway.call("GET", &format!("/v1/responses/{one}")).await.0, 404);
    assert_eq!(mock.requests().len(), asked);
}

#[tokio::test]
async fn case_25_encrypted_reasoning_goes_back_to_the_credential_that_made_it_and_to_no_other() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = providers::channel(&mock, "responses");
    channel["credentials"] = json!(["mock-key-one", "mock-key-two", "mock-key-three"]);
    let gateway = TestGateway::start(vec![channel]).await;
    let ask = async |input: Value, key: Option<&str>| {
        let mut body = json!({"model": "m", "input": input, "store": false, "reasoning": {"effort": "low"},
            "include": ["reasoning.encrypted_content"]});
        if let Some(key) = key {
            body["prompt_cache_key"] = json!(key);
        }
        let response = respond(&gateway, body, false).await;
        let seen = mock.last_request().unwrap();
        (response, seen.header("authorization").map(str::to_owned), String::from_utf8_lossy(&seen.body).into_owned())
    };
    let (mut kept, mut moved) = (0, 0);
    for round in 0..12 {
        let question = json!({"role": "user", "content": format!("question {round}: think")});
        let (first, maker, _) = ask(json!([question]), None).await;
        let output = first["output"].as_array().unwrap().clone();
        let blob = output.iter().find_map(|item| item["encrypted_content"].as_str()).expect("encrypted reasoning");
        let mut talk = vec![question];
        talk.extend(output.iter().cloned());
        talk.push(json!({"role": "user", "content": "go on"}));
        // The same talk, and the same items under another session, which may land at any credential.
        for session in [None, Some(format!("elsewhere-{round}"))] {
            let (_, key, sent) = ask(json!(talk), session.as_deref()).await;
            assert!(key == maker || !sent.contains(blob), "round {round}: {key:?} got what {maker:?} made");
            if session.is_none() {
                kept += usize::from(sent.contains(blob));
            }
            moved += usize::from(key != maker);
        }
    }
    assert_eq!(kept, 12, "a talk stays with the credential that can read it");
    println!("{moved} of 24 went to another credential");
}

#[tokio::test]
async fn case_60_a_conversation_is_compacted_by_the_provider_or_by_a_summary() {
    let (mock, gateway) = gateway(&["responses", "mistral", "anthropic"]).await;
    for channel in ["responses", "mistral", "anthropic"] {
        let input = json!([
            {"role": "user", "content": "we build a bridge"},
            {"role": "assistant", "content": "of steel"},
            {"role": "user", "content": "say steel bridge"},
        ]);
        let body = json!({"model": format!("{channel}/m"), "input": input});
        let (status, compacted) = gateway.ask("/v1/responses/compact", &body).await;
        assert_eq!(status, 200, "{channel}: {compacted}");
        let output = compacted["output"].as_array().unwrap().clone();
        assert!(!output.is_empty(), "{channel}: {compacted}");
        let native = channel == "responses";
        assert_eq!(mock.last_request().unwrap().path.ends_with("/compact"), native, "{channel}");
        let record = gateway.last_record().await;
        assert_eq!((record.status, record.path.as_str()), (200, "/v1/responses/compact"));
        // What came goes on as the conversation.
        let mut next = output;
        next.push(json!({"role": "user", "content": "say done"}));
        let answer =
            respond(&gateway, json!({"model": format!("{channel}/m"), "input": next, "store": false}), false).await;
        assert!(answer.to_string().contains("done"), "{channel}: {answer}");
    }
    // A conversation that is kept here is compacted with its earlier turns.
    let first = respond(&gateway, json!({"model": "mistral/m", "input": "the pass word is plum"}), false).await;
    let body = json!({"model": "mistral/m", "input": "and now", "previous_response_id": id(&first)});
    let (status, compacted) = gateway.ask("/v1/responses/compact", &body).await;
    assert_eq!(status, 200, "{compacted}");
    assert!(String::from_utf8_lossy(&mock.last_request().unwrap().body).contains("plum"));
}

#[tokio::test]
async fn stored_responses_outlive_a_failing_request() {
    let (_mock, gateway) = gateway(&["mistral"]).await;
    let first = respond(&gateway, json!({"model": "mistral/m", "input": "hello"}), true).await;
    let body = json!({"model": "mistral/m", "input": "x [[error 400]]", "previous_response_id": id(&first)});
    assert_eq!(gateway.ask("/v1/responses", &body).await.0, 400);
    let again = json!({"model": "mistral/m", "input": "say on", "previous_response_id": id(&first)});
    assert!(respond(&gateway, again, false).await.to_string().contains("on"));
    let (status, text) = gateway
        .ask_text("/v1/responses", &json!({"model": "mistral/m", "stream": true, "input": "a b c d [[cut-after 2]]"}))
        .await;
    assert_eq!(status, 200);
    let started = fold::events(&text);
    let broken = started[0]["response"]["id"].as_str().unwrap();
    assert_eq!(gateway.call("GET", &format!("/v1/responses/{broken}")).await.0, 404, "what broke off is not kept");
}

/// A host that gives every answer the same id; what it was asked, in order. `before` stands in front of its streams.
async fn careless(provider: &str, before: &'static str) -> (Value, Arc<Mutex<Vec<Value>>>) {
    let socket = ProviderSocket::open().await;
    let channel = socket.channel("host", provider);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    tokio::spawn(async move {
        while let Some(mut caller) = socket.next().await {
            let whole = |seen: &[u8]| body_of(seen).is_some();
            if !caller.reads_until(whole).await {
                continue;
            }
            let body = body_of(&caller.seen).unwrap();
            let stream = body["stream"] == json!(true);
            log.lock().unwrap().push(body);
            let message = json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "well", "annotations": []}]});
            let response = |status: &str, output: Value| {
                json!({"id": "resp_5", "object": "response", "created_at": 1, "status": status,
                "store": false, "model": "mock", "output": output, "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}})
            };
            let done = response("completed", json!([message]));
            if !stream {
                caller.answers(200, &done).await;
                continue;
            }
            let part = json!({"type": "output_text", "text": "", "annotations": []});
            let events = [
                json!({"type": "response.created", "response": response("in_progress", json!([]))}),
                json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "msg_1",
                    "role": "assistant", "status": "in_progress", "content": []}}),
                json!({"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0, "content_index": 0, "part": part}),
                json!({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "well"}),
                json!({"type": "response.output_item.done", "output_index": 0, "item": message}),
                json!({"type": "response.completed", "response": done}),
            ];
            let numbered = events.into_iter().enumerate().map(|(number, mut event)| {
                event["sequence_number"] = json!(number);
                format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())
            });
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            caller.says(&(head.to_owned() + before + &numbered.collect::<String>())).await;
        }
    });
    (channel, asked)
}

/// The body of a request, once it is all there.
fn body_of(seen: &[u8]) -> Option<Value> {
    let begin = seen.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    serde_json::from_slice(&seen[begin..]).ok()
}

/// The ids that a stream tells, or an answer.
fn ids_in(text: &str) -> std::collections::BTreeSet<String> {
    let mut ids: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:").unwrap_or(line)).ok())
        .map(|event| if event["response"].is_object() { event["response"]["id"].clone() } else { event["id"].clone() })
        .collect();
    ids.retain(Value::is_string);
    ids.into_iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn conversations_at_a_host_that_gives_every_answer_the_same_id_stay_apart() {
    for (provider, stream) in [("vllm", false), ("vllm", true), ("openai", false), ("openai", true)] {
        let (channel, asked) = careless(provider, "").await;
        let gateway = TestGateway::start(vec![channel]).await;
        let other = gateway.another_key(NewKey { name: "other".into(), ..NewKey::default() }).await;
        let keys = [gateway.key.clone(), gateway.key.clone(), other];
        let turn = async |key: &str, words: &str, previous: Option<&str>| {
            let mut body = json!({"model": "mock", "stream": stream, "input": words});
            if let Some(previous) = previous {
                body["previous_response_id"] = json!(previous);
            }
            let reply = gateway.request("POST", "/v1/responses").bearer_auth(key).json(&body).send().await.unwrap();
            let (status, text) = (reply.status(), reply.text().await.unwrap());
            assert_eq!(status, 200, "{provider} {stream}: {text}");
            let ids = ids_in(&text);
            assert_eq!(ids.len(), 1, "one answer has one id: {text}");
            ids.into_iter().next().unwrap()
        };
        let names = ["I am Ada", "I am Bob", "I am Cy"];
        let mut last = Vec::new();
        for (key, words) in keys.iter().zip(names) {
            last.push(turn(key, words, None).await);
        }
        for round in 0..2 {
            for who in 0..3 {
                last[who] = turn(&keys[who], &format!("round {round}"), Some(&last[who])).await;
                let sent = asked.lock().unwrap().last().unwrap().to_string();
                let heard = names.map(|name| sent.contains(name));
                assert_eq!(heard, std::array::from_fn(|at| at == who), "{provider} {stream} {round}: {sent}");
                assert!(!sent.contains("previous_response_id"), "{sent}");
            }
        }
        let different: std::collections::BTreeSet<&String> = last.iter().collect();
        assert!(different.len() == 3 && !different.contains(&"resp_5".to_owned()), "{last:?}");
        for (who, key) in keys.iter().enumerate() {
            let ask = async |method: &str, id: &str| {
                let path = format!("/v1/responses/{id}");
                let reply = gateway.request(method, &path).bearer_auth(key).send().await.unwrap();
                (reply.status().as_u16(), reply.json::<Value>().await.unwrap())
            };
            let (status, stored) = ask("GET", &last[who]).await;
            assert_eq!((status, stored["id"].as_str()), (200, Some(last[who].as_str())), "{stored}");
            assert_eq!(ask("GET", &last[(who + 1) % 3]).await.0, if who == 0 { 200 } else { 403 });
        }
        let (count, path) = (asked.lock().unwrap().len(), format!("/v1/responses/{}", last[0]));
        assert_eq!(gateway.call("DELETE", &path).await.0, 200);
        assert_eq!(gateway.call("GET", &path).await.0, 404);
        assert_eq!(asked.lock().unwrap().len(), count, "the host is not asked for what it does not have");
    }
}

#[tokio::test]
async fn two_keys_whose_providers_store_under_the_same_id_both_keep_their_own() {
    let (_mock, gateway) = gateway(&["mistral"]).await;
    let other = gateway.another_key(NewKey { name: "other".into(), ..NewKey::default() }).await;
    let first = respond(&gateway, json!({"model": "mistral/m", "input": "I am Ada"}), false).await;
    let kept = gateway.gateway.store().kept();
    let place = kept.list("responses", id(&first), None, 9).await.unwrap().remove(0);
    let row = kept.get("responses", &place.key).await.unwrap().unwrap();
    // As an earlier version kept it: its owner still goes on from it, and nobody else forgets it.
    assert!(kept.put("responses", "resp_old", &row.owner, Duration::from_secs(60), &row.value));
    let path = "/v1/responses/resp_old";
    let reply = gateway.request("DELETE", path).bearer_auth(&other).send().await.unwrap();
    assert_eq!(reply.status(), 403);
    assert_eq!(gateway.call("GET", path).await.0, 200);
    respond(&gateway, json!({"model": "mistral/m", "input": "go on", "previous_response_id": "resp_old"}), false).await;
    // Another key's row under the same id takes nothing from it.
    assert!(kept.put("responses", "resp_old:key_x", "key_x", Duration::from_secs(60), b"{}"));
    assert_eq!(gateway.call("GET", path).await.0, 200);
    assert_eq!(gateway.call("DELETE", path).await.0, 200);
    assert_eq!(gateway.call("GET", path).await.0, 403, "what is left is another key's");
}

#[tokio::test]
async fn what_stands_before_the_first_event_does_not_hide_that_nothing_is_stored() {
    for before in [": hi\n\n", "\n\n", "retry: 10\n\n", ": loading\n\n: loading\r\n\r\n"] {
        let (channel, asked) = careless("openai", before).await;
        let gateway = TestGateway::start(vec![channel]).await;
        let first = respond(&gateway, json!({"model": "mock", "input": "I am Ada"}), true).await;
        let body = json!({"model": "mock", "input": "who am I?", "previous_response_id": id(&first)});
        respond(&gateway, body, true).await;
        let sent = asked.lock().unwrap().last().unwrap().to_string();
        assert!(sent.contains("I am Ada") && !sent.contains("previous_response_id"), "{before:?}: {sent}");
    }
}

#[tokio::test]
async fn an_answer_of_a_host_that_stores_nothing_is_gone_on_with_elsewhere_and_kept_whole() {
    let mock = MockServer::start().await.unwrap();
    let channels = [("first", "vllm", 1), ("second", "ollama", 0)].map(|(name, provider, weight)| {
        let mut channel = mock_channel(&mock, name, provider, provider);
        channel["models"] = json!([{"name": "mock", "upstream": "llama3.3"}]);
        channel["weight"] = json!(weight);
        channel
    });
    let gateway = TestGateway::with_settings(channels.into(), |settings| {
        settings.affinity_seconds = 0;
        settings.policy.retry.backoff_ms = Some(10);
        settings.policy.retry.cut_streams = Some(CutStreams::Resume);
    })
    .await;
    let delivery = Delivery { abort_after: Some(6), ..Delivery::default() };
    mock.script(Script::delivered(delivery).provider("vllm"));
    let words = "say alpha beta gamma delta epsilon zeta eta theta";
    let body = json!({"model": "mock", "stream": true, "input": words});
    let (status, text) = gateway.ask_text("/v1/responses", &body).await;
    assert_eq!(status, 200, "{text}");
    let record = gateway.last_record().await;
    assert!(record.attempts.iter().any(|attempt| attempt.resumed), "{:?} {text}", record.error_message);
    assert_eq!(ids_in(&text).len(), 1, "{text}");
    let first = fold::responses(&text);
    let (status, stored) = gateway.call("GET", &format!("/v1/responses/{}", id(&first))).await;
    assert_eq!((status, &stored["id"]), (200, &first["id"]), "{stored}");
    let said = |response: &Value| response["output"][0]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    assert_eq!((said(&stored), said(&first)), (said(&first), said(&first)));
    assert!(said(&first).contains("alpha") && said(&first).contains("theta"), "{text}");
    let body = json!({"model": "mock", "input": "and now?", "previous_response_id": id(&first)});
    respond(&gateway, body, false).await;
    let sent = String::from_utf8_lossy(&mock.last_request().unwrap().body).into_owned();
    assert!(sent.contains(words) && sent.contains("and now?") && sent.contains(&said(&first)), "{sent}");
}
