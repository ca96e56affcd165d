//! The built-in model answers in every format with no provider at all.

use serde_json::{Value, json};

use crate::support::TestGateway;

/// Path, body without stream, where the text is in the answer, what a streamed answer must contain.
fn cases() -> Vec<(&'static str, Value, &'static str, &'static [&'static str])> {
    let messages = json!([{"role": "user", "content": "hello there"}]);
    vec![
        (
            "/v1/chat/completions",
            json!({"model": "echo", "messages": messages}),
            "/choices/0/message/content",
            &["data: {", "\"finish_reason\":\"stop\"", "data: [DONE]"],
        ),
        (
            "/v1/completions",
            json!({"model": "echo", "prompt": "hello there"}),
            "/choices/0/text",
            &["data: {", "data: [DONE]"],
        ),
        (
            "/v1/responses",
            json!({"model": "echo", "input": "hello there"}),
            "/output/0/content/0/text",
            &["event: response.output_item.done", "event: response.completed"],
        ),
        (
            "/anthropic/v1/messages",
            json!({"model": "echo", "max_tokens": 50, "messages": messages}),
            "/content/0/text",
            &["event: message_start", "event: message_stop"],
        ),
        (
            "/api/chat",
            json!({"model": "echo", "stream": false, "messages": messages}),
            "/message/content",
            &["\"done\":true"],
        ),
        (
            "/api/generate",
            json!({"model": "echo", "stream": false, "prompt": "hello there"}),
            "/response",
            &["\"done\":true"],
        ),
    ]
}

#[tokio::test]
async fn echo_answers_in_every_format() {
    let gateway = TestGateway::start(vec![]).await;
    for (path, mut body, pointer, marks) in cases() {
        let (status, answer) = gateway.ask(path, &body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        assert_eq!(answer.pointer(pointer), Some(&json!("hello there")), "{path}: {answer}");
        body["stream"] = json!(true);
        let (status, text) = gateway.ask_text(path, &body).await;
        assert_eq!(status, 200, "{path}");
        for mark in marks {
            assert!(text.contains(mark), "{path} lacks {mark}: {text}");
        }
    }
    let gemini = json!({"contents": [{"role": "user", "parts": [{"text": "hello there"}]}]});
    for version in ["v1beta", "v1", "gemini/v1beta"] {
        let (status, answer) = gateway.ask(&format!("/{version}/models/echo:generateContent"), &gemini).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer.pointer("/candidates/0/content/parts/0/text"), Some(&json!("hello there")));
    }
    let (_, sse) = gateway.ask_text("/v1beta/models/echo:streamGenerateContent?alt=sse", &gemini).await;
    assert!(sse.contains("data: {"), "{sse}");
    let (_, list) = gateway.ask("/v1beta/models/echo:streamGenerateContent", &gemini).await;
    assert!(list.as_array().is_some_and(|list| !list.is_empty()), "{list}");
}

#[tokio::test]
async fn a_request_without_a_good_key_is_refused_in_the_caller_s_format() {
    let gateway = TestGateway::start(vec![]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (path, pointer) in [
        ("/v1/chat/completions", "/error/message"),
        ("/v1/messages", "/error/message"),
        ("/v1beta/models/echo:generateContent", "/error/message"),
        ("/api/chat", "/error"),
        ("/dify/v1/chat-messages", "/message"),
    ] {
        for key in [None, Some("my-wrong")] {
            let mut request = client.post(gateway.url(path)).body("{}");
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 401, "{path}");
            assert!(answer.headers().contains_key("x-request-id"), "{path}");
            let body: Value = answer.json().await.unwrap();
            assert!(
                body.pointer(pointer).and_then(Value::as_str).is_some_and(|text| text.contains("key")),
                "{path}: {body}"
            );
        }
    }
}

#[tokio::test]
async fn models_are_listed_in_the_caller_s_shape() {
    let gateway = TestGateway::start(vec![]).await;
    for (path, header, pointer, name) in [
        ("/v1/models", None, "/data/0/id", "echo"),
        ("/v1/models", Some(("anthropic-version", "2023-06-01")), "/data/0/display_name", "echo"),
        ("/anthropic/v1/models", None, "/data/0/type", "model"),
        ("/v1beta/models", None, "/models/0/name", "models/echo"),
        ("/api/tags", None, "/models/0/name", "echo:latest"),
        ("/v1/models/echo", None, "/id", "echo"),
        ("/v1beta/models/echo", None, "/name", "models/echo"),
    ] {
        let mut request = gateway.get(path);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let body: Value = answer.json().await.unwrap();
        let found = body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        assert!(found == name || (name == "echo:latest" && found == "echo"), "{path} {pointer}: {body}");
    }
    let missing = gateway.get("/v1/models/none").send().await.unwrap();
    assert_eq!(missing.status(), 404);
}
