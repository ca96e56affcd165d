//! Stored responses: conversations that go on by id, over providers that store and over providers that do not.

use myelin_core::store::NewKey;
use myelin_testkit::MockServer;
use serde_json::{Value, json};

use crate::support::fold;
use crate::support::{TestGateway, providers};

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
