//! Channels with several base addresses: whoever of them can be reached answers.

use myelin_testkit::{KEY, MockServer};
use serde_json::{Value, json};

use crate::support::TestGateway;

/// An address at which nobody listens.
async fn nobody() -> String {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", socket.local_addr().unwrap())
}

fn channel(bases: &[String]) -> Value {
    json!({"name": "main", "provider": "anthropic", "base_urls": bases, "credentials": [KEY], "models": ["mock"]})
}

fn body(words: &str) -> Value {
    json!({"model": "mock", "max_tokens": 9, "messages": [{"role": "user", "content": words}]})
}

#[tokio::test]
async fn an_address_that_cannot_be_reached_is_passed_over_within_the_attempt() {
    let mock = MockServer::start().await.unwrap();
    let gateway =
        TestGateway::start(vec![channel(&[nobody().await, nobody().await, mock.base_url("anthropic")])]).await;
    let large = "word ".repeat(60_000);
    for words in ["hi", "again", &large, &large] {
        let (status, answer) = gateway.ask_text("/v1/messages", &body(words)).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(mock.last_request().unwrap().json(), body(words));
    }
    for record in gateway.records(4).await {
        assert_eq!(record.attempts.len(), 1, "{record:?}");
    }
}

#[tokio::test]
async fn a_large_body_finds_the_address_that_works_too() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![channel(&[nobody().await, mock.base_url("anthropic")])]).await;
    let large = body(&"word ".repeat(60_000));
    let (status, answer) = gateway.ask_text("/v1/messages", &large).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(mock.last_request().unwrap().json(), large);
}

#[tokio::test]
async fn the_failure_is_told_when_no_address_can_be_reached() {
    let gateway = TestGateway::start(vec![channel(&[nobody().await, nobody().await])]).await;
    let (status, answer) = gateway.ask("/v1/messages", &body("hi")).await;
    assert_eq!(status, 502, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("cannot connect"), "{answer}");
}
