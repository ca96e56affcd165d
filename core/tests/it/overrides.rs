//! What an owner changes in requests and answers, seen from both ends.

use myelin_core::model::Profile;
use myelin_core::store::Change;
use myelin_testkit::MockServer;
use serde_json::{Value, json};

use crate::support::{TestGateway, mock_channel};

fn chat(stream: bool) -> Value {
    json!({"model": "mock", "stream": stream, "messages": [{"role": "user", "content": "hello you"}]})
}

async fn with(change: impl FnOnce(&mut Value)) -> (MockServer, TestGateway) {
    let mock = MockServer::start().await.unwrap();
    let mut channel = mock_channel(&mock, "main", "openai", "openai");
    change(&mut channel);
    (mock, TestGateway::start(vec![channel]).await)
}

#[tokio::test]
async fn a_channel_s_overrides_reach_the_provider_in_its_own_words() {
    let (mock, gateway) = with(|channel| {
        channel["overrides"] = json!([
            {"set": {"metadata": {"tool": "{{header.x-team|nobody}}"}}, "headers": {"set": {"x-from": "{{channel}}/{{upstream}}"}}},
            {"when": {"stream": true}, "default": {"temperature": 0.25}, "delete": ["logit_bias"]},
        ]);
        channel["for_models"] = json!([
            {"match": "mo*", "overrides": [{"rename": {"user": "metadata.user"}}]},
            {"match": "other", "overrides": [{"set": {"seed": 1}}]},
        ]);
    })
    .await;
    let mut body = chat(true);
    body["user"] = json!("ann");
    body["logit_bias"] = json!({});
    let answer = gateway.post("/v1/chat/completions").header("x-team", "research").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    assert!(text.contains("[DONE]"), "{text}");
    let seen = mock.last_request().unwrap();
    let sent = seen.json();
    assert_eq!(sent["metadata"], json!({"tool": "research", "user": "ann"}));
    assert_eq!(
        (&sent["temperature"], sent.get("logit_bias"), sent.get("user"), sent.get("seed")),
        (&json!(0.25), None, None, None)
    );
    assert_eq!(seen.header("x-from"), Some("main/mock"));
    let (status, _) = gateway.ask("/v1/chat/completions", &chat(false)).await;
    assert_eq!(status, 200);
    assert_eq!(mock.last_request().unwrap().json().get("temperature"), None, "the condition did not hold");
}

#[tokio::test]
async fn converted_requests_are_changed_after_the_conversion() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = mock_channel(&mock, "claude", "anthropic", "anthropic");
    channel["overrides"] = json!([{"set": {"metadata.user_id": "{{format}} via {{upstream_format}}"}}]);
    let gateway = TestGateway::start(vec![channel]).await;
    let (status, _) = gateway.ask("/v1/chat/completions", &chat(false)).await;
    assert_eq!(status, 200);
    assert_eq!(mock.last_request().unwrap().json()["metadata"]["user_id"], "openai-chat via anthropic-messages");
}

#[tokio::test]
async fn a_body_that_no_override_applies_to_keeps_its_bytes() {
    let (mock, gateway) = with(|channel| {
        channel["overrides"] = json!([{"when": {"tool": "codex"}, "set": {"seed": 1}}, {"delete": ["gone"]}]);
    })
    .await;
    let body = "{ \"messages\" :[ {\"content\":\"sn\\u00f6w\", \"role\":\"user\"} ],\n \"model\":\"mock\",  \"seed\": 12345678901234567890 }";
    let request = gateway.post("/v1/chat/completions").header("content-type", "application/json").body(body);
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(String::from_utf8_lossy(&mock.last_request().unwrap().body), body);
}

#[tokio::test]
async fn embeddings_are_changed_only_where_that_is_said() {
    let (mock, gateway) = with(|channel| {
        channel["overrides"] = json!([
            {"set": {"temperature": 1}},
            {"when": {"surface": "embeddings"}, "set": {"user": "{{key}}"}},
        ]);
    })
    .await;
    let (status, _) = gateway.ask("/v1/embeddings", &json!({"model": "mock", "input": "hi"})).await;
    assert_eq!(status, 200);
    let sent = mock.last_request().unwrap().json();
    assert_eq!((sent.get("temperature"), &sent["user"]), (None, &json!("test")));
}

#[tokio::test]
async fn answers_are_changed_whole_and_event_by_event() {
    let change = |channel: &mut Value| {
        channel["overrides"] = json!([{"on": "response", "set": {"system_fingerprint": "{{channel}}"},
            "headers": {"set": {"x-seen": "{{request_id}}"}}}]);
    };
    for provider in ["openai", "anthropic"] {
        let mock = MockServer::start().await.unwrap();
        let mut channel = mock_channel(&mock, "main", provider, provider);
        if provider == "openai" {
            change(&mut channel);
        } else {
            channel["overrides"] = json!([{"on": "response", "when": {"body": {"delta.type": "text_delta"}}, "set": {"delta.text": "x"}},
                       {"on": "response", "when": {"body": {"type": "message"}}, "set": {"content[0].text": "x x"}}]);
        }
        let gateway = TestGateway::start(vec![channel]).await;
        let answer = gateway.post("/v1/chat/completions").json(&chat(false)).send().await.unwrap();
        let seen = answer.headers().contains_key("x-seen");
        let whole: Value = answer.json().await.unwrap();
        let (status, text) = gateway.ask_text("/v1/chat/completions", &chat(true)).await;
        assert_eq!(status, 200);
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        if provider == "openai" {
            assert!(seen);
            assert_eq!(whole["system_fingerprint"], "main");
            assert!(text.matches("\"system_fingerprint\":\"main\"").count() > 2, "{text}");
        } else {
            assert_eq!(whole["choices"][0]["message"]["content"], "x x");
            assert!(text.contains("\"content\":\"x\"") && !text.contains("hello"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_model_s_overrides_change_its_answers_and_no_other_model_s_and_all_levels_add_up() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = mock_channel(&mock, "main", "openai", "openai");
    channel["models"] = json!(["mock", "other"]);
    channel["overrides"] =
        json!([{"on": "response", "set": {"by.channel": "{{upstream}}"}, "headers": {"set": {"x-by": "channel"}}}]);
    channel["for_models"] = json!([{"match": "mo*", "overrides": [
        {"on": "response", "set": {"by.model": true}, "delete": ["system_fingerprint"], "rename": {"service_tier": "tier"}}]}]);
    let gateway = TestGateway::start(vec![channel]).await;
    let profile = json!({"name": "tuned", "rules": [], "overrides": [{"on": "response", "set": {"by.profile": true}}]});
    let profile: Profile = serde_json::from_value(profile).unwrap();
    gateway.gateway.store().apply(Change::CreateProfile(profile), "test").await.unwrap();
    for (model, of_model) in [("mock", true), ("other", false)] {
        for (path, of_profile) in [("/v1/chat/completions", false), ("/p/tuned/v1/chat/completions", true)] {
            let mut body = chat(false);
            body["model"] = json!(model);
            let mut answer = json!(null);
            let mut by = String::new();
            for _ in 0..100 {
                let reply = gateway.post(path).json(&body).send().await.unwrap();
                let ready = reply.status() == 200;
                by = reply.headers().get("x-by").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
                answer = reply.json().await.unwrap();
                if ready {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            assert_eq!((&answer["by"]["channel"], by.as_str()), (&json!(model), "channel"), "{answer}");
            assert_eq!(answer["by"]["model"] == true, of_model, "{answer}");
            assert_eq!(answer["by"]["profile"] == true, of_profile, "{answer}");
            assert_eq!(answer.get("system_fingerprint").is_none(), of_model, "{answer}");
            body["stream"] = json!(true);
            let (_, text) = gateway.ask_text(path, &body).await;
            assert_eq!(text.contains("\"model\":true"), of_model, "{text}");
            assert_eq!(text.contains("\"profile\":true"), of_profile, "{text}");
        }
    }
}

#[tokio::test]
async fn a_profile_s_overrides_speak_the_caller_s_format() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "claude", "anthropic", "anthropic")]).await;
    let profile: Profile = serde_json::from_value(json!({"name": "tuned", "rules": [{"match": "fast", "to": "claude/mock", "set": {"top_p": 0.5}}],
        "overrides": [{"set": {"max_completion_tokens": 77, "model": "fast"}}, {"on": "response", "set": {"object": "mine"}}]}))
    .unwrap();
    gateway.gateway.store().apply(Change::CreateProfile(profile), "test").await.unwrap();
    let mut answer = json!(null);
    for _ in 0..100 {
        let reply = gateway.post("/p/tuned/v1/chat/completions").json(&chat(false)).send().await.unwrap();
        let ready = reply.status() == 200;
        answer = reply.json().await.unwrap();
        if ready {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(answer["object"], "mine", "{answer}");
    let sent = mock.last_request().unwrap().json();
    assert_eq!((&sent["max_tokens"], &sent["top_p"]), (&json!(77), &json!(0.5)), "{sent}");
    let (_, text) = gateway.ask_text("/p/tuned/v1/chat/completions", &chat(true)).await;
    assert!(text.contains("\"object\":\"mine\"") && !text.contains("chat.completion.chunk"), "{text}");
}
