//! Same format on both sides: bytes pass unchanged but for the model's name.

use myelin_testkit::{KEY, MockServer};
use serde_json::json;

use crate::support::{TestGateway, mock_channel};

async fn openai() -> (MockServer, TestGateway) {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "openai", "openai", "openai")]).await;
    (mock, gateway)
}

#[tokio::test]
async fn the_request_s_bytes_pass_but_for_the_model() {
    let (mock, gateway) = openai().await;
    // Odd spacing, key order, escapes and a number that a float cannot hold: none may change.
    let body = "{ \"messages\" :[ {\"content\":\"sn\\u00f6w \\ud83d\\ude00\", \"role\":\"user\"} ],\n \"model\":\"openai/mock\",  \"seed\": 12345678901234567890 }";
    let answer = gateway
        .post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let seen = mock.last_request().unwrap();
    assert_eq!(String::from_utf8_lossy(&seen.body), body.replace("openai/mock", "mock"));
}

#[tokio::test]
async fn the_answer_s_bytes_pass_and_are_counted() {
    let (mock, gateway) = openai().await;
    let body =
        json!({"model": "mock", "messages": [{"role": "user", "content": "hi [[usage input=100 read=40 output=5]]"}]});
    let (status, through) = gateway.ask_text("/v1/chat/completions", &body).await;
    assert_eq!(status, 200);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let direct = client.post(format!("{}/chat/completions", mock.base_url("openai"))).bearer_auth(KEY).json(&body);
    let direct = direct.send().await.unwrap().text().await.unwrap();
    let without_ids = |text: &str| {
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        let fields = value.as_object_mut().unwrap();
        fields.remove("id");
        fields.remove("created");
        fields.keys().cloned().collect::<Vec<_>>().join(",") + &value.to_string()
    };
    assert_eq!(without_ids(&through), without_ids(&direct));
    let usage = gateway.last_record().await.usage.unwrap();
    assert_eq!((usage.input, usage.cache_read, usage.output), (Some(100), Some(40), Some(5)));
}

#[tokio::test]
async fn case_20_usage_is_asked_for_upstream_and_shown_only_on_demand() {
    let (mock, gateway) = openai().await;
    for asked in [false, true] {
        let mut body =
            json!({"model": "mock", "stream": true, "messages": [{"role": "user", "content": "one two three"}]});
        if asked {
            body["stream_options"] = json!({"include_usage": true});
        }
        let (_, text) = gateway.ask_text("/v1/chat/completions", &body).await;
        assert_eq!(text.contains("\"usage\":{"), asked, "{text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        let sent = mock.last_request().unwrap().json();
        assert_eq!(sent["stream_options"]["include_usage"], true);
    }
    for record in gateway.records(2).await {
        assert!(record.usage.is_some_and(|usage| usage.input.is_some() && usage.output.is_some()));
        assert_eq!(record.upstream_format, Some(record.format));
    }
}

#[tokio::test]
async fn the_caller_s_key_is_never_sent_upstream() {
    let (mock, gateway) = openai().await;
    let body = json!({"model": "mock", "messages": [{"role": "user", "content": "hi"}]});
    gateway.ask(&format!("/v1/chat/completions?key={}", gateway.key), &body).await;
    let seen = mock.last_request().unwrap();
    let everything = format!("{:?} {} {}", seen.headers, seen.query, String::from_utf8_lossy(&seen.body));
    assert!(!everything.contains(&gateway.key), "{everything}");
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
}

#[tokio::test]
async fn case_24_absent_stays_absent_and_null_stays_null() {
    let (mock, gateway) = openai().await;
    let body = json!({"model": "mock", "input": "hi"});
    gateway.ask("/v1/embeddings", &body).await;
    assert_eq!(mock.last_request().unwrap().json(), body);
    let body = json!({"model": "mock", "messages": [{"role": "user", "content": "hi"}], "stop": null});
    gateway.ask("/v1/chat/completions", &body).await;
    assert_eq!(mock.last_request().unwrap().json(), body);
}

#[tokio::test]
async fn a_large_body_passes() {
    let (mock, gateway) = openai().await;
    let text = "all work and no play ".repeat(450_000);
    let body = json!({"model": "mock", "max_completion_tokens": 5, "messages": [{"role": "user", "content": text}]});
    let (status, _) = gateway.ask_text("/v1/chat/completions", &body).await;
    assert_eq!(status, 200);
    assert_eq!(mock.last_request().unwrap().json(), body);
}
