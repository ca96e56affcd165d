//! Scripts and directives: failures, broken and silent streams, odd framing, and what the mock tells about them.

use std::time::Duration;

use myelin_testkit::{Delivery, MockServer, Progress, Script};
use serde_json::{Value, json};

use crate::support::post;

const CHAT: &str = "/v1/chat/completions";

fn streaming(text: &str) -> Value {
    json!({"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": text}]})
}

async fn body_of(text: &str) -> Result<String, reqwest::Error> {
    let mock = MockServer::start().await.unwrap();
    post(&mock, "openai", CHAT, &streaming(text)).await.text().await
}

#[tokio::test]
async fn a_stream_ends_with_its_terminator_unless_it_is_cut() {
    assert!(body_of("say a b").await.unwrap().ends_with("data: [DONE]\n\n"));
    let cut = body_of("[[cut-after 2]] say a b").await.unwrap();
    assert_eq!(cut.matches("data: ").count(), 2);
    assert!(body_of("[[abort-after 2]] say a b").await.is_err());
    assert!(body_of("[[abort-byte 30]] say a b").await.is_err());
}

#[tokio::test]
async fn framing_is_as_odd_as_it_is_asked_to_be() {
    let odd = body_of("[[crlf]] [[no-space]] [[comments]] say a b").await.unwrap();
    assert!(odd.contains("data:{") && odd.contains("\r\n\r\n") && odd.contains(": MOCK PROCESSING\r\n"), "{odd}");
    assert!(!odd.replace("\r\n", "").contains('\n'));
}

#[tokio::test]
async fn a_failure_inside_a_stream_has_status_200_and_no_terminator() {
    let mock = MockServer::start().await.unwrap();
    let answer = post(&mock, "openai", CHAT, &streaming("[[error-after 2 429]] say a b c")).await;
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    assert!(text.contains("rate_limit_exceeded") && !text.contains("[DONE]"), "{text}");
}

#[tokio::test]
async fn queued_scripts_are_taken_in_order_by_the_requests_they_fit() {
    let mock = MockServer::start().await.unwrap();
    mock.script(Script::error(429).header("retry-after", "3").provider("openai"));
    mock.script(Script::text("scripted"));
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let other: Value = serde_json::from_str(&post(&mock, "groq", CHAT, &body).await.text().await.unwrap()).unwrap();
    assert_eq!(other["choices"][0]["message"]["content"], "scripted");
    let limited = post(&mock, "openai", CHAT, &body).await;
    assert_eq!((limited.status().as_u16(), limited.headers()["retry-after"].to_str().unwrap()), (429, "3"));
    assert_eq!(post(&mock, "openai", CHAT, &body).await.status(), 200);
    assert_eq!(
        mock.requests().iter().map(|request| request.refused).collect::<Vec<_>>(),
        [None, Some("scripted"), None]
    );
}

#[tokio::test]
async fn the_mock_notices_that_a_client_left() {
    let mock = MockServer::start().await.unwrap();
    mock.script(Script::delivered(Delivery { stall_after: Some(1), ..Delivery::default() }));
    let mut answer = post(&mock, "openai", CHAT, &streaming("say a b c")).await;
    assert!(answer.chunk().await.unwrap().is_some());
    assert_eq!(mock.last_request().unwrap().progress, Progress::Open);
    drop(answer);
    for _ in 0..100 {
        if mock.last_request().unwrap().progress == Progress::ClientLeft {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the mock did not notice");
}
