//! Answers that are given again: who may have them, in which form, and what it costs.

use std::time::Duration;

use myelin_core::model::{CacheMode, CacheOutcome, NanoUsd, Policy, RequestState};
use myelin_core::store::NewKey;
use myelin_testkit::{Delivery, MockServer, Script};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::dialog::{CLIENTS, Client, Dialog};
use crate::support::{TestGateway, mock_channel};

fn policy(mode: CacheMode) -> Policy {
    let mut policy = Policy::default();
    policy.cache.mode = Some(mode);
    policy
}

async fn with(policy: Policy) -> (MockServer, TestGateway) {
    let mock = MockServer::start().await.unwrap();
    let channels = vec![mock_channel(&mock, "openai", "openai", "openai")];
    let gateway = TestGateway::with_settings(channels, |settings| settings.policy = policy).await;
    (mock, gateway)
}

fn chat(text: &str) -> Value {
    json!({"model": "mock", "temperature": 0, "messages": [{"role": "user", "content": text}]})
}

async fn ask(gateway: &TestGateway, body: &Value, headers: &[(&str, &str)]) -> (String, String) {
    let mut request = gateway.post("/v1/chat/completions").json(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let fared = answer.headers().get("x-myelin-cache").map(|value| value.to_str().unwrap().to_owned());
    (fared.unwrap_or_default(), answer.text().await.unwrap())
}

#[tokio::test]
async fn the_same_question_is_answered_once_and_then_for_nothing() {
    let (mock, gateway) = with(policy(CacheMode::Deterministic)).await;
    let (first, made) = ask(&gateway, &chat("hello you"), &[]).await;
    // Other spacing and order of fields: the same question.
    let body = r#"{"messages":[{"content":"hello you","role":"user"}],"temperature":0,  "model":"mock"}"#;
    let request = gateway.post("/v1/chat/completions").header("content-type", "application/json").body(body);
    let again = request.send().await.unwrap();
    assert!(again.headers()["age"].to_str().unwrap().parse::<u64>().unwrap() < 60);
    assert_eq!(again.headers()["x-myelin-channel"], "openai");
    let again = again.text().await.unwrap();
    assert_eq!(first, "miss");
    assert_eq!(again, made);
    let before = mock.requests().len();
    let (second, kept) = ask(&gateway, &chat("hello you"), &[]).await;
    assert_eq!((second.as_str(), &kept, mock.requests().len()), ("hit", &made, before));
    let record = gateway.last_record().await;
    assert_eq!(
        (record.cache, record.state, record.cost),
        (CacheOutcome::Hit, RequestState::Completed, Some(NanoUsd(0)))
    );
    assert!(record.attempts.is_empty() && record.model == "mock" && record.bytes_out > 0);
}

#[tokio::test]
async fn nothing_is_kept_unless_the_owner_says_so_and_only_what_is_safe() {
    let (mock, gateway) = with(Policy::default()).await;
    assert_eq!(ask(&gateway, &chat("hi"), &[]).await.0, "");
    assert_eq!(ask(&gateway, &chat("hi"), &[]).await.0, "");
    assert_eq!(mock.requests().len(), 2);
    let (mock, gateway) = with(policy(CacheMode::Deterministic)).await;
    let mut warm = chat("hi");
    warm["temperature"] = json!(0.7);
    for _ in 0..2 {
        assert_eq!(ask(&gateway, &warm, &[]).await.0, "");
    }
    assert_eq!(mock.requests().len(), 2);
}

#[tokio::test]
async fn keys_share_no_answers_unless_they_share_a_namespace() {
    for (namespace, expected) in [(None, "miss"), (Some("team"), "hit")] {
        let mut policy = policy(CacheMode::All);
        policy.cache.namespace = namespace.map(str::to_owned);
        let (_mock, gateway) = with(policy).await;
        ask(&gateway, &chat("hi"), &[]).await;
        let other = gateway.another_key(NewKey { name: "other".into(), ..NewKey::default() }).await;
        let asked = gateway.request("POST", "/v1/chat/completions").bearer_auth(other).json(&chat("hi"));
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.headers()["x-myelin-cache"], expected, "{namespace:?}");
    }
}

#[tokio::test]
async fn a_request_says_what_it_wants_of_the_cache() {
    let (mock, gateway) = with(policy(CacheMode::All)).await;
    let body = chat("hi");
    let fared = async |headers: &[(&str, &str)]| ask(&gateway, &body, headers).await.0;
    assert_eq!(fared(&[("x-myelin-cache", "only-if-cached")]).await, "miss");
    assert_eq!(mock.requests().len(), 0);
    assert_eq!(fared(&[("x-myelin-cache", "no-store")]).await, "");
    assert_eq!(fared(&[]).await, "miss");
    assert_eq!(fared(&[]).await, "hit");
    assert_eq!(fared(&[("cache-control", "no-cache")]).await, "miss");
    assert_eq!(fared(&[("x-myelin-cache", "namespace=tests")]).await, "miss");
    assert_eq!(fared(&[("x-myelin-cache", "namespace=tests")]).await, "hit");
    assert_eq!(fared(&[("x-myelin-cache", "only-if-cached")]).await, "hit");
    assert_eq!(fared(&[("x-myelin-cache", "namespace=brief, ttl=1")]).await, "miss");
    assert_eq!(fared(&[("x-myelin-cache", "namespace=brief")]).await, "hit");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(fared(&[("x-myelin-cache", "namespace=brief")]).await, "miss");
    assert_eq!(fared(&[("x-myelin-cache", "max-age=0")]).await, "miss", "what is kept is older than that");
}

#[tokio::test]
async fn every_client_gets_the_same_answer_in_either_form() {
    let (mock, gateway) = with(policy(CacheMode::All)).await;
    for client in CLIENTS {
        for first_streams in [true, false] {
            mock.forget_requests();
            let text = format!("one two three {client:?} {first_streams}");
            let mut said = Vec::new();
            // Made, given again in the same form, and in the other one.
            for stream in [first_streams, first_streams, !first_streams] {
                let mut dialog = Dialog::new(client, "mock", stream);
                dialog.user(&text);
                said.push(dialog.ask(&gateway).await.unwrap());
                assert_eq!(
                    gateway.last_record().await.cache == CacheOutcome::Hit,
                    said.len() > 1,
                    "{client:?} {stream}"
                );
            }
            assert_eq!(mock.requests().len(), 1, "{client:?}");
            assert!(!said[0].text.is_empty());
            for again in &said[1..] {
                assert_eq!(
                    (&again.text, &again.finish),
                    (&said[0].text, &said[0].finish),
                    "{client:?} {first_streams}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_asks_for_usage_gets_it_from_what_was_kept_without() {
    let (_mock, gateway) = with(policy(CacheMode::All)).await;
    let mut body = chat("one two [[usage input=100 output=5]]");
    body["stream"] = json!(true);
    let (_, without) = ask(&gateway, &body, &[]).await;
    body["stream_options"] = json!({"include_usage": true});
    let (fared, with) = ask(&gateway, &body, &[]).await;
    assert_eq!(fared, "hit");
    assert!(!without.contains("\"prompt_tokens\":100") && with.contains("\"prompt_tokens\":100"), "{with}");
    assert!(with.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn only_whole_good_answers_are_kept() {
    let (mock, gateway) = with(policy(CacheMode::Deterministic)).await;
    let body = |text: &str, stream: bool| {
        let mut body = chat(text);
        body["stream"] = json!(stream);
        body
    };
    for (text, stream) in [
        ("a b c [[cut-after 3]]", true),
        ("a b c [[abort-after 3]]", true),
        ("x [[error 400]]", false),
        ("y [[filter]]", false),
    ] {
        ask(&gateway, &body(text, stream), &[]).await;
        let before = mock.requests().len();
        assert_eq!(ask(&gateway, &body(text, stream), &[]).await.0, "miss", "{text}");
        assert!(mock.requests().len() > before, "{text}");
    }
    let call = myelin_testkit::model::ToolCall {
        seed: "0123abcd".into(),
        name: "f".into(),
        namespace: None,
        input: myelin_testkit::model::CallInput::Json(json!({})),
    };
    for expected in [CacheMode::Deterministic, CacheMode::All] {
        let (mock, gateway) = with(policy(expected)).await;
        let mut asks = chat("call it");
        asks["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
        mock.script(Script::calls(vec![call.clone()]));
        ask(&gateway, &asks, &[]).await;
        let fared = ask(&gateway, &asks, &[]).await.0;
        assert_eq!(
            fared,
            if expected == CacheMode::All { "hit" } else { "miss" },
            "a call makes the caller do something"
        );
    }
}

#[tokio::test]
async fn embeddings_are_kept_too() {
    let (mock, gateway) = with(policy(CacheMode::Deterministic)).await;
    let body = json!({"model": "mock", "input": ["a", "b"]});
    let (_, first) = gateway.ask("/v1/embeddings", &body).await;
    let (_, second) = gateway.ask("/v1/embeddings", &body).await;
    assert_eq!((first, mock.requests().len()), (second, 1));
}

#[tokio::test]
async fn another_deployment_behind_the_name_is_another_answer() {
    let (mock, gateway) = with(policy(CacheMode::All)).await;
    ask(&gateway, &chat("hi"), &[]).await;
    let other: myelin_core::model::Channel = serde_json::from_value(mock_channel(&mock, "other", "openai", "openai"))
        .map(|channel: myelin_core::model::Channel| myelin_core::model::Channel { enabled: true, ..channel })
        .unwrap();
    gateway.gateway.store().apply(myelin_core::store::Change::CreateChannel(Box::new(other)), "test").await.unwrap();
    for _ in 0..100 {
        if gateway.gateway.services().snapshot.load().lines.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(ask(&gateway, &chat("hi"), &[]).await.0, "miss");
}

#[tokio::test]
async fn identical_requests_in_flight_share_one_call_whoever_leaves() {
    for stream in [false, true] {
        let (mock, gateway) = with(policy(CacheMode::Deterministic)).await;
        let gateway = std::sync::Arc::new(gateway);
        let mut body = chat("one two three four [[delay 300]] [[pace 20]]");
        body["stream"] = json!(stream);
        let leader = {
            let (gateway, body) = (gateway.clone(), body.clone());
            tokio::spawn(async move { ask(&gateway, &body, &[]).await })
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        let followers: Vec<_> = (0..8)
            .map(|_| {
                let (gateway, body) = (gateway.clone(), body.clone());
                tokio::spawn(async move { ask(&gateway, &body, &[]).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        // Who came first leaves; nobody else notices.
        leader.abort();
        let mut texts = Vec::new();
        for follower in followers {
            let (fared, text) = follower.await.unwrap();
            assert_eq!(fared, "shared", "{text}");
            texts.push(text);
        }
        assert!(texts.iter().all(|text| *text == texts[0] && text.contains("four")), "{texts:?}");
        assert_eq!(mock.requests().len(), 1);
        let records = gateway.records(9).await;
        let shared = records.iter().filter(|record| record.cache == CacheOutcome::Shared);
        assert_eq!(
            shared.filter(|record| record.state == RequestState::Completed && record.cost == Some(NanoUsd(0))).count(),
            8
        );
    }
}

/// The head of an answer, as it stands on the wire, and how many bytes of body follow.
async fn on_the_wire(gateway: &TestGateway, body: &Value) -> (String, usize) {
    let (host, body) = (gateway.url("").replace("http://", ""), body.to_string());
    let mut socket = TcpStream::connect(&host).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        gateway.key,
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.len())
}

#[tokio::test]
async fn a_whole_answer_says_how_long_it_is_whoever_made_it_and_a_stream_does_not() {
    let (mock, gateway) = with(policy(CacheMode::Deterministic)).await;
    let told = |head: &str| {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        (length.map(|length| length.parse::<usize>().unwrap()), head.contains("transfer-encoding: chunked"))
    };
    let slow = |text: &str| {
        mock.script(Script::delivered(Delivery { delay: Duration::from_millis(300), ..Delivery::default() }));
        chat(text)
    };
    // Who makes the call, one who shares it, and one who comes later.
    let asked = slow("how long");
    let (made, shared) = tokio::join!(on_the_wire(&gateway, &asked), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        on_the_wire(&gateway, &asked).await
    });
    let kept = on_the_wire(&gateway, &asked).await;
    for (fared, (head, bytes)) in [("miss", made), ("shared", shared), ("hit", kept)] {
        assert!(head.contains(&format!("x-myelin-cache: {fared}")), "{fared}: {head}");
        assert_eq!(told(&head), (Some(bytes), false), "{fared}: {head}");
    }
    // A failure has a length, too.
    mock.script(Script::error(400));
    let (head, bytes) = on_the_wire(&gateway, &chat("refused")).await;
    assert!(head.starts_with("http/1.1 400") && bytes > 0, "{head}");
    assert_eq!(told(&head), (Some(bytes), false), "{head}");
    // Nobody knows how long a stream will be.
    let mut stream = chat("streamed");
    stream["stream"] = json!(true);
    for fared in ["miss", "hit"] {
        let (head, _) = on_the_wire(&gateway, &stream).await;
        assert!(head.contains(&format!("x-myelin-cache: {fared}")), "{head}");
        assert_eq!(told(&head), (None, true), "{head}");
    }
}

#[tokio::test]
async fn when_all_who_asked_have_left_the_call_is_stopped() {
    let (mock, gateway) = with(policy(CacheMode::Deterministic)).await;
    let gateway = std::sync::Arc::new(gateway);
    let mut body = chat("one two");
    body["stream"] = json!(true);
    mock.script(Script::delivered(Delivery { stall_after: Some(2), ..Delivery::default() }));
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (gateway, body) = (gateway.clone(), body.clone());
            tokio::spawn(async move { ask(&gateway, &body, &[]).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    let mut left = false;
    for _ in 0..100 {
        left = mock.requests().iter().all(|request| request.progress == myelin_testkit::Progress::ClientLeft);
        if left {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(left && mock.requests().len() == 1, "{:?}", mock.requests().iter().map(|r| r.progress).collect::<Vec<_>>());
    let records = gateway.records(3).await;
    assert!(records.iter().all(|record| record.state == RequestState::Canceled), "{records:?}");
    let _ = Client::Chat;
}
