//! What is asked beside conversations: how a deployment fares at that says nothing about conversations, and the other way round.

use std::time::Duration;

use myelin_core::routing::Errand;
use myelin_testkit::{MockServer, Script, Verbatim};
use serde_json::{Value, json};

use crate::support::{TestGateway, mock_channel, owner, providers};

/// Two channels that list the model `mock`: `main` is asked first, `paid` only where `main` cannot.
async fn two(main: &str) -> (MockServer, TestGateway) {
    let mock = MockServer::start().await.unwrap();
    let mut first = providers::channel(&mock, main);
    first["name"] = json!("main");
    first["models"] = json!(["mock"]);
    let other = if main == "anthropic" { "openai" } else { "anthropic" };
    let mut second = mock_channel(&mock, "paid", other, other);
    second["weight"] = json!(0);
    let gateway = TestGateway::with_settings(vec![first, second], |settings| settings.breaker.cooldown_ms = 50).await;
    (mock, gateway)
}

/// Asks for a conversation; who answered.
async fn talks(gateway: &TestGateway, words: &str) -> String {
    let body = json!({"model": "mock", "max_tokens": 50, "messages": [{"role": "user", "content": words}]});
    let (status, answer) = gateway.ask("/v1/messages", &body).await;
    assert_eq!(status, 200, "{answer}");
    gateway.last_record().await.channel.unwrap()
}

fn count() -> Value {
    json!({"model": "mock", "messages": [{"role": "user", "content": "how many tokens is this?"}]})
}

async fn health(gateway: &TestGateway) -> Value {
    owner(gateway, "GET", "/api/v1/health", None).await.1["channels"][0].clone()
}

async fn told(gateway: &TestGateway) -> String {
    owner(gateway, "GET", "/api/v1/events?after=0", None).await.1.to_string()
}

/// The provider of `main`, the address, the provider's path, the request.
fn asides() -> [(&'static str, &'static str, &'static str, Value); 8] {
    let talk = json!([{"role": "user", "content": "hi"}]);
    [
        ("anthropic", "/v1/messages/count_tokens", "count_tokens", count()),
        ("responses", "/v1/responses/input_tokens", "input_tokens", json!({"model": "mock", "input": talk})),
        ("responses", "/v1/responses/compact", "compact", json!({"model": "mock", "input": talk})),
        ("responses", "/v1/embeddings", "embeddings", json!({"model": "mock", "input": "hi"})),
        ("responses", "/v1/images/generations", "generations", json!({"model": "mock", "prompt": "a cat"})),
        ("responses", "/v1/audio/speech", "speech", json!({"model": "mock", "input": "hi", "voice": "a"})),
        ("responses", "/v1/moderations", "moderations", json!({"model": "mock", "input": "hi"})),
        ("jina", "/v1/rerank", "rerank", json!({"model": "mock", "query": "a", "documents": ["a", "b"]})),
    ]
}

#[tokio::test]
async fn what_is_no_conversation_takes_nobody_out_of_rotation_for_conversations() {
    let mut failures = Vec::new();
    for (main, path, tail, body) in asides().into_iter().filter(|(main, ..)| *main != "jina") {
        let (mock, gateway) = two(main).await;
        for status in [404, 403, 429, 500] {
            for _ in 0..8 {
                mock.script(Script { path: Some(tail.into()), ..Script::error(status) });
            }
            for _ in 0..4 {
                gateway.ask_text(path, &body).await;
            }
            mock.forget_scripts();
            let sent = mock.requests().iter().filter(|own| own.path.contains(tail)).count();
            let channel = talks(&gateway, &format!("hello {status}")).await;
            let health = health(&gateway).await;
            if channel != "main" || sent == 0 {
                failures.push(format!("{path} {status}: {sent} sent, then {channel} answered: {health}"));
            }
            let told = told(&gateway).await;
            if status < 429 && (health["state"] != "sound" || told.contains("breaker-open")) {
                failures.push(format!("{path} {status}: that is no alarm: {health} {told}"));
            }
            mock.forget_requests();
            gateway.gateway.services().fleet.reset(None, None);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn who_cannot_count_is_not_asked_to_for_a_while_and_says_so() {
    let (mock, gateway) = two("anthropic").await;
    mock.script(Script { path: Some("count_tokens".into()), ..Script::error(404) });
    for _ in 0..3 {
        let (status, answer) = gateway.ask("/v1/messages/count_tokens", &count()).await;
        assert!(status == 200 && answer["input_tokens"].as_u64() > Some(0), "{status} {answer}");
    }
    assert_eq!(mock.requests().iter().filter(|own| own.path.contains("count_tokens")).count(), 1);
    let health = health(&gateway).await;
    assert_eq!(health["troubles"][0]["operation"], "count-tokens", "{health}");
    assert_eq!(health["state"], "sound", "{health}");
    assert_eq!(talks(&gateway, "hello").await, "main");
}

#[tokio::test]
async fn counts_that_succeed_put_no_broken_deployment_back_and_measure_nothing() {
    let (mock, gateway) = two("anthropic").await;
    for number in 0..3 {
        mock.script(Script::error(500).provider("anthropic"));
        assert_eq!(talks(&gateway, &format!("hello {number}")).await, "paid");
    }
    let services = gateway.gateway.services();
    let broken = || {
        let troubles = services.fleet.troubles("main", services.clock.unix_ms());
        troubles.into_iter().find_map(|own| own.view).expect("it is out of rotation")
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(broken().state, "half-open");
    for _ in 0..8 {
        // `main` by its own name: a count goes where the conversation would go.
        let mut body = count();
        body["model"] = json!("main/mock");
        assert_eq!(gateway.ask("/v1/messages/count_tokens", &body).await.0, 200);
    }
    assert_eq!(mock.requests().iter().filter(|own| own.path.contains("count_tokens")).count(), 8);
    let view = broken();
    assert_eq!((view.state.as_str(), view.times), ("half-open", 1), "{view:?}");
    let loads = services.fleet.loads("main", services.clock.unix_ms());
    let of = |errand| loads.iter().find(|(_, own, _)| *own == errand).map(|(.., load)| *load).unwrap();
    let (talk, counts) = (of(Errand::Conversation), of(Errand::Counting));
    assert_eq!((talk.calls, talk.failures, talk.answer_ms), (3, 3, None));
    assert_eq!((counts.calls, counts.failures), (8, 0));
}

#[tokio::test]
async fn a_key_that_is_refused_is_refused_for_everything_and_one_that_is_not_for_this_is_not() {
    let (mock, gateway) = two("anthropic").await;
    mock.script(Script { path: Some("count_tokens".into()), ..Script::error(401) });
    gateway.ask("/v1/messages/count_tokens", &count()).await;
    assert_eq!(talks(&gateway, "hello").await, "paid");
    assert_eq!(health(&gateway).await["state"], "down");

    let (mock, gateway) = two("responses").await;
    let words = "You have insufficient permissions for this operation. Missing scopes: api.model.images.request.";
    let body = json!({"error": {"message": words, "type": "invalid_request_error", "param": null, "code": null}});
    let verbatim =
        Verbatim { status: 401, content_type: "application/json".into(), body: body.to_string().into_bytes() };
    mock.script(Script { path: Some("generations".into()), verbatim: Some(verbatim), ..Script::default() });
    let (status, _) = gateway.ask("/v1/images/generations", &json!({"model": "mock", "prompt": "a cat"})).await;
    assert_ne!(status, 200);
    assert_eq!(talks(&gateway, "hello").await, "main");
}

#[tokio::test]
async fn case_25_a_stored_response_that_its_provider_forgot_is_no_alarm() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![providers::channel(&mock, "responses")]).await;
    let (status, first) = gateway.ask("/v1/responses", &json!({"model": "m", "input": "remember me"})).await;
    assert_eq!(status, 200, "{first}");
    let path = format!("/v1/responses/{}", first["id"].as_str().unwrap());
    for method in ["GET", "DELETE"] {
        mock.script(Script::error(404));
        let (status, answer) = gateway.call(method, &path).await;
        assert_eq!(status, 404, "{answer}");
    }
    let health = health(&gateway).await;
    assert!(health["state"] == "sound" && health["troubles"] == json!([]), "{health}");
    let models = health["models"].as_array().unwrap();
    assert!(models.iter().all(|own| own["model"] != ""), "{health}");
    let told = told(&gateway).await;
    assert!(!told.contains("breaker-open"), "{told}");
}

#[tokio::test]
async fn an_operation_that_no_provider_has_is_the_caller_s_mistake() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "main", "anthropic", "anthropic")]).await;
    let mut failures = Vec::new();
    for (_, path, _, body) in asides().into_iter().skip(3) {
        let (status, answer) = gateway.ask(path, &body).await;
        let words = answer.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
        if status != 400 || !words.contains("offers no") {
            failures.push(format!("{path}: {status} {answer}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(mock.requests().len(), 0);
}
