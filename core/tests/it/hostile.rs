//! Hostile and broken callers: each is told what is wrong in its own format, and nobody else notices.

use std::time::Duration;

use myelin_core::store::{Change, NewKey};
use myelin_testkit::MockServer;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::raw::Raw;
use crate::support::{TestGateway, mock_channel};

/// Paths and where their errors say what is wrong.
const PATHS: [(&str, &str); 9] = [
    ("/v1/chat/completions", "/error/message"),
    ("/v1/completions", "/error/message"),
    ("/v1/responses", "/error/message"),
    ("/v1/messages", "/error/message"),
    ("/v1beta/models/mock:generateContent", "/error/message"),
    ("/api/chat", "/error"),
    ("/v1/embeddings", "/error/message"),
    ("/v1/messages/count_tokens", "/error/message"),
    ("/dify/v1/chat-messages", "/message"),
];

async fn gateway() -> (MockServer, TestGateway) {
    let mock = MockServer::start().await.unwrap();
    let channels = vec![
        mock_channel(&mock, "openai", "openai", "openai"),
        mock_channel(&mock, "anthropic", "anthropic", "anthropic"),
    ];
    let gateway = TestGateway::with_settings(channels, |settings| settings.max_body_bytes = 8 << 20).await;
    (mock, gateway)
}

/// The gateway still does its work.
async fn still_answers(gateway: &TestGateway, after: &str) {
    let body = json!({"model": "echo", "messages": [{"role": "user", "content": "still there"}]});
    let (status, text) = gateway.ask_text("/v1/chat/completions", &body).await;
    assert!(status == 200 && text.contains("still there"), "after {after}: {status} {text}");
}

fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let around = |inner: &str| {
        format!("{{\"model\":\"openai/mock\",\"messages\":{inner},\"input\":{inner},\"contents\":{inner},\"prompt\":{inner}}}")
            .into_bytes()
    };
    vec![
        ("nothing", Vec::new()),
        ("an open brace", b"{".to_vec()),
        ("a list", b"[]".to_vec()),
        ("null", b"null".to_vec()),
        ("a number", b"42".to_vec()),
        ("a huge number", b"{\"model\":\"echo\",\"max_tokens\":1e999999}".to_vec()),
        ("words", b"hello".to_vec()),
        ("no UTF-8", b"{\"model\":\"\xff\xfe\"}".to_vec()),
        ("a lone surrogate", b"{\"model\":\"\\ud800\"}".to_vec()),
        ("a NUL", b"{\"model\":\"mo\0ck\"}".to_vec()),
        ("a NUL escaped", b"{\"model\":\"mo\\u0000ck\",\"messages\":[]}".to_vec()),
        ("two models", b"{\"model\":\"echo\",\"messages\":[],\"model\":\"mock\"}".to_vec()),
        ("no model", b"{}".to_vec()),
        ("a model that is a list", b"{\"model\":[1],\"messages\":[]}".to_vec()),
        ("an unknown model", b"{\"model\":\"no such\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}".to_vec()),
        ("messages that are a number", around("7")),
        ("messages of numbers", around("[1,2]")),
        ("a role that is a number", around("[{\"role\":5,\"content\":\"x\",\"parts\":[]}]")),
        ("content that is a number", around("[{\"role\":\"user\",\"content\":7,\"parts\":7}]")),
        ("deep lists", deep("[", "]").into_bytes()),
        ("deep lists that never end", deep("[", "").into_bytes()),
        ("deep objects", deep("{\"a\":", "}").into_bytes()),
        ("deep lists in a message", around(&deep("[", "]"))),
        ("rubbish after the end", b"{\"model\":\"echo\",\"messages\":[]} x".to_vec()),
    ]
}

#[tokio::test]
async fn broken_bodies_are_refused_in_the_caller_s_words() {
    let (_mock, gateway) = gateway().await;
    let mut failures = Vec::new();
    for (name, body) in bodies() {
        for (path, pointer) in PATHS {
            let request = gateway.post(path).header("content-type", "application/json").body(body.clone());
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let text = answer.text().await.unwrap();
            let told = serde_json::from_str::<Value>(&text).ok();
            let told = told.as_ref().and_then(|body| body.pointer(pointer)).and_then(Value::as_str).unwrap_or_default();
            // A count is no promise to answer: the model of tomorrow is counted too.
            let counted = path.ends_with("count_tokens") && name == "an unknown model";
            let fine = if counted { status == 200 } else { (400..500).contains(&status) && !told.is_empty() };
            if !fine {
                failures.push(format!("{name} at {path}: {status} {text}"));
            }
        }
        still_answers(&gateway, name).await;
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_and_the_client_reads_it() {
    let (_mock, gateway) = gateway().await;
    let large = vec![b' '; 100 << 20];
    for (path, pointer) in [PATHS[0], PATHS[3], PATHS[4], PATHS[5]] {
        let answer = gateway.post(path).body(large.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 413, "{path}");
        let body: Value = answer.json().await.unwrap();
        assert!(
            body.pointer(pointer).and_then(Value::as_str).is_some_and(|text| text.contains("8 MiB")),
            "{path}: {body}"
        );
    }
    // The same without an announced length.
    let mut raw = Raw::open(&gateway).await;
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        gateway.key
    );
    assert!(raw.send(head.as_bytes()).await);
    let piece = format!("100000\r\n{}\r\n", " ".repeat(0x10_0000));
    for _ in 0..20 {
        assert!(raw.send(piece.as_bytes()).await, "the answer would be lost");
    }
    assert!(raw.send(b"0\r\n\r\n").await);
    assert_eq!(raw.answer().await.unwrap().status, 413);
    still_answers(&gateway, "a large body").await;
}

#[tokio::test]
async fn heads_that_are_bombs_end_their_connection_only() {
    let (_mock, gateway) = gateway().await;
    let many: String = (0..2_000).map(|number| format!("x-h{number}: y\r\n")).collect();
    for (name, bytes) in [
        ("many headers", format!("GET /v1/models HTTP/1.1\r\nhost: localhost\r\n{many}\r\n").into_bytes()),
        (
            "a long header",
            format!("GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)).into_bytes(),
        ),
        ("a long path", format!("GET /v1/{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "y".repeat(1 << 20)).into_bytes()),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n".to_vec()),
        (
            "two lengths",
            b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde"
                .to_vec(),
        ),
        ("a length and chunks", b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n".to_vec()),
        (
            "a bad chunk",
            b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        ),
        ("no host", b"GET /v1/models HTTP/1.1\r\n\r\n".to_vec()),
        ("a foreign host", b"GET /v1/models HTTP/1.1\r\nhost: evil.example\r\n\r\n".to_vec()),
    ] {
        let mut raw = Raw::open(&gateway).await;
        raw.send(&bytes).await;
        let answer = raw.answer().await.unwrap_or_else(|| panic!("{name}: no answer"));
        assert!((400..500).contains(&answer.status), "{name}: {answer:?}");
        // Why, and an id that the log has too.
        let told: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{name}: {answer:?}"));
        let why = told.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
        assert!(why.len() > 10, "{name}: {answer:?}");
        assert!(answer.head.contains("x-request-id: req_"), "{name}: {answer:?}");
        still_answers(&gateway, name).await;
    }
}

#[tokio::test]
async fn a_name_that_no_model_has_fills_neither_answer_nor_log() {
    let (_mock, gateway) = gateway().await;
    let name = "x".repeat(1_000_000);
    for (path, pointer) in PATHS {
        let body = json!({
            "model": name, "messages": [{"role": "user", "content": "hi"}], "input": "hi", "prompt": "hi",
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}], "query": "hi", "user": "u", "inputs": {},
        });
        // Where the address names the model, the body's name counts for nothing.
        if path.contains("/mock:") || path.starts_with("/dify") {
            continue;
        }
        let (status, text) = gateway.ask_text(path, &body).await;
        assert_eq!(status, 400, "{path}: {}", &text[..text.len().min(300)]);
        let told: Value = serde_json::from_str(&text).unwrap();
        let why = told.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        assert!(why.contains("1000000 bytes") && text.len() < 1_000, "{path}: {}", &text[..text.len().min(300)]);
    }
}

#[tokio::test]
async fn a_body_of_another_format_is_not_answered_as_if_nothing_was_asked() {
    let (_mock, gateway) = gateway().await;
    let body = json!({"messages": [{"role": "user", "content": "hi"}]});
    for model in ["echo", "openai%2Fmock", "anthropic%2Fmock"] {
        let (status, text) = gateway.ask_text(&format!("/v1beta/models/{model}:generateContent"), &body).await;
        assert!(status == 400 && text.contains("/contents"), "{model}: {status} {text}");
    }
}

#[tokio::test]
async fn embeddings_where_no_provider_has_any_are_refused_for_good() {
    let (_mock, gateway) = gateway().await;
    let body = json!({"model": "anthropic/mock", "input": "hi"});
    let (status, text) = gateway.ask_text("/v1/embeddings", &body).await;
    // An SDK comes back again and again for a 5xx.
    assert!(status == 400 && text.contains("offers no embeddings"), "{status} {text}");
}

#[tokio::test]
async fn case_23_tokens_of_a_model_that_nobody_offers_are_counted_all_the_same() {
    let (_mock, gateway) = gateway().await;
    let body = json!({"model": "claude-of-tomorrow", "messages": [{"role": "user", "content": "count me, please"}]});
    let (status, text) = gateway.ask_text("/v1/messages/count_tokens", &body).await;
    assert_eq!(status, 200, "{text}");
    let told: Value = serde_json::from_str(&text).unwrap();
    assert!(told["input_tokens"].as_u64().is_some_and(|tokens| tokens > 3), "{text}");
}

#[tokio::test]
async fn slow_clients_hold_up_nobody() {
    let (_mock, gateway) = gateway().await;
    let body = json!({"model": "echo", "messages": [{"role": "user", "content": "drip"}]}).to_string();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut raw = Raw::open(&gateway).await;
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
            gateway.key,
            body.len()
        );
        assert!(raw.send(head.as_bytes()).await);
        slow.push(raw);
    }
    let begun = Instant::now();
    for byte in &body.as_bytes()[..body.len() - 1] {
        for raw in &mut slow {
            assert!(raw.send(&[*byte]).await);
        }
    }
    for _ in 0..20 {
        still_answers(&gateway, "slow clients").await;
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    for mut raw in slow {
        assert!(raw.send(&body.as_bytes()[body.len() - 1..]).await);
        let answer = raw.answer().await.unwrap();
        assert!(answer.status == 200 && answer.body.contains("drip"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_connection_goes_on_after_a_refusal() {
    let (_mock, gateway) = gateway().await;
    let mut raw = Raw::open(&gateway).await;
    let request = |key: &str, body: &str| {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let good = json!({"model": "echo", "messages": [{"role": "user", "content": "again"}]}).to_string();
    let chunked = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        gateway.key,
        &good[..5],
        good.len() - 5,
        &good[5..]
    );
    // All at once: pipelined.
    let all = [
        request(&gateway.key, "{"),
        request("my-wrong", &good),
        request(&gateway.key, &good),
        chunked,
        request(&gateway.key, &good),
    ];
    assert!(raw.send(all.concat().as_bytes()).await);
    for status in [400, 401, 200, 200, 200] {
        let answer = raw.answer().await.expect("the connection goes on");
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[tokio::test]
async fn wrong_addresses_and_methods_are_answered_in_the_format_they_suggest() {
    let (_mock, gateway) = gateway().await;
    for (method, path, pointer) in [
        ("GET", "/v1/chat/completions", "/error/message"),
        ("POST", "/v1/nothing", "/error/message"),
        ("DELETE", "/v1/messages", "/error/message"),
        ("POST", "/v1beta/models/mock:dance", "/error/message"),
        ("PUT", "/api/chat", "/error"),
        ("POST", "/dify/v1/completion-messages", "/message"),
        ("POST", "/", "/error/message"),
        ("POST", "/%00%ff/../..", "/error/message"),
        ("GET", "/p/nobody/v1/models", "/error/message"),
    ] {
        let answer = gateway.request(method, path).bearer_auth(&gateway.key).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let told = body.pointer(pointer).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        assert!((400..=405).contains(&status) && told, "{method} {path}: {status} {text}");
    }
    for (method, path, allowed) in
        [("GET", "/p/direct/v1/chat/completions", "POST"), ("POST", "/v1/responses/resp_1", "GET, DELETE")]
    {
        let answer = gateway.request(method, path).bearer_auth(&gateway.key).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["allow"].to_str().unwrap()), (405, allowed), "{path}");
        assert!(answer.text().await.unwrap().contains(&format!("{path} takes {allowed} only")), "{path}");
    }
    still_answers(&gateway, "wrong addresses").await;
}

#[tokio::test]
async fn who_asks_for_a_channel_that_is_off_is_told_so() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = mock_channel(&mock, "resting", "openai", "openai");
    channel["enabled"] = json!(false);
    let gateway = TestGateway::start(vec![channel]).await;
    let body = json!({"model": "resting/m", "messages": [{"role": "user", "content": "hi"}]});
    let (status, text) = gateway.ask_text("/v1/chat/completions", &body).await;
    assert!(status == 404 && text.contains("`myelin channel enable resting`"), "{status} {text}");
}

#[tokio::test]
async fn the_root_says_what_runs_here_without_a_key() {
    let (_mock, gateway) = gateway().await;
    assert_eq!(gateway.request("HEAD", "/").send().await.unwrap().status(), 200, "Ollama's programs ask so");
    let answer = gateway.request("GET", "/").send().await.unwrap();
    assert!(answer.status() == 200 && answer.text().await.unwrap().starts_with("Myelin is running"));
}

#[tokio::test]
async fn compressed_bodies_are_refused_clearly() {
    let (_mock, gateway) = gateway().await;
    for encoding in ["gzip", "br", "deflate"] {
        let request = gateway.post("/v1/messages").header("content-encoding", encoding).body(vec![0x1f, 0x8b, 8, 0]);
        let answer = request.send().await.unwrap();
        assert!([400, 415].contains(&answer.status().as_u16()), "{encoding}");
        assert!(answer.text().await.unwrap().contains(encoding));
    }
    still_answers(&gateway, "compressed bodies").await;
}

#[tokio::test]
async fn keys_do_what_they_may_and_no_more() {
    let (_mock, gateway) = gateway().await;
    let key = |name: &str| NewKey { name: name.into(), ..NewKey::default() };
    let chat = |model: &str| {
        ("/v1/chat/completions", json!({"model": model, "messages": [{"role": "user", "content": "hi"}]}))
    };
    let messages = |model: &str| {
        ("/v1/messages", json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}))
    };
    for (new, good, bad, status) in [
        (NewKey { models: vec!["openai/*".into()], ..key("models") }, chat("openai/mock"), chat("anthropic/mock"), 403),
        (
            NewKey { channels: vec!["anthropic".into()], ..key("channels") },
            chat("anthropic/mock"),
            chat("openai/mock"),
            403,
        ),
        (NewKey { formats: vec!["openai-chat".into()], ..key("formats") }, chat("mock"), messages("mock"), 403),
    ] {
        let name = new.name.clone();
        let secret = gateway.another_key(new).await;
        let ask = async |(path, body): (&str, Value)| {
            let answer = gateway.request("POST", path).bearer_auth(&secret).json(&body).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        let (answered, text) = ask(good).await;
        assert_eq!(answered, 200, "{name}: {text}");
        let (answered, text) = ask(bad).await;
        assert!([status, 404].contains(&answered), "{name}: {answered} {text}");
        assert!(text.contains("\"error\""), "{name}: {text}");
    }
    let expired = gateway.another_key(NewKey { expires: Some(1_000), ..key("expired") }).await;
    let answer = gateway.request("POST", "/v1/messages").header("x-api-key", &expired).body("{}").send().await.unwrap();
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!((status.as_u16(), &body["error"]["type"]), (401, &json!("authentication_error")), "{body}");

    let blocked = gateway.another_key(key("blocked")).await;
    let store = gateway.gateway.store();
    let mut entry = store.entities().keys.iter().find(|entry| entry.name == "blocked").unwrap().clone();
    entry.blocked = true;
    store.apply(Change::UpdateKey(Box::new(entry)), "test").await.unwrap();
    // The picture that requests see follows the store in a task of its own.
    let mut seen = 200;
    for _ in 0..100 {
        let answer = gateway.request("GET", "/v1/models").bearer_auth(&blocked).send().await.unwrap();
        seen = answer.status().as_u16();
        if seen == 403 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(seen, 403, "a blocked key is refused");
}

/// Addresses of every group of routes, and one that nobody has.
const GROUPS: [&str; 15] = [
    "/",
    "/index.html",
    "/requests",
    "/health",
    "/health/live",
    "/health/ready",
    "/openapi.json",
    "/docs",
    "/api/v1/status",
    "/api/v1/keys",
    "/api/v1/tools",
    "/v1/models",
    "/v1/chat/completions",
    "/p/direct/anthropic/v1/messages",
    "/nowhere",
];

#[tokio::test]
async fn pages_of_others_and_rebound_names_are_refused_at_every_group_of_routes() {
    let (_mock, gateway) = gateway().await;
    for path in GROUPS {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            for (header, value) in
                [("origin", "https://evil.example"), ("origin", "null"), ("host", "evil.example:6935")]
            {
                let answer = gateway.request(method, path).header(header, value).send().await.unwrap();
                let shared = answer.headers().contains_key("access-control-allow-origin");
                assert_eq!((answer.status().as_u16(), shared), (403, false), "{method} {path}, {header}: {value}");
            }
        }
        // It is the guard that refuses them, and nothing else.
        let own = gateway.get(path).send().await.unwrap();
        assert_ne!(own.status(), 403, "{path}");
    }
}
