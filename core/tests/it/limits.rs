//! Providers that misbehave below HTTP, callers that ask by odd ways, and what both may cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use myelin_core::store::NewKey;
use myelin_testkit::{MockServer, Script};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{TestGateway, mock_channel};

/// A provider of few words: every request on a connection is answered by these pieces, with a pause before each but the first.
struct Terse {
    address: std::net::SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Terse {
    async fn start(pieces: &'static [&'static str], pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(Self::answer(stream, pieces, pause));
            }
        });
        Self { address, connections }
    }

    async fn answer(mut stream: TcpStream, pieces: &[&str], pause: Duration) {
        let mut seen = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer).await {
                Ok(count) if count > 0 => seen.extend_from_slice(&buffer[..count]),
                _ => return,
            }
            // Bodies of these tests end like this (streams with the request for usage), and nothing else does.
            if !seen.ends_with(b"]}") && !seen.ends_with(b"}}") {
                continue;
            }
            seen.clear();
            for (index, piece) in pieces.iter().enumerate() {
                if index > 0 {
                    tokio::time::sleep(pause).await;
                }
                if stream.write_all(piece.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }

    fn channel(&self) -> Value {
        json!({
            "name": "terse", "provider": "openai", "base_urls": [format!("http://{}/v1", self.address)],
            "credentials": [myelin_testkit::KEY], "models": ["mock"],
        })
    }
}

fn body(stream: bool) -> String {
    format!(r#"{{"model":"mock","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#)
}

async fn ask(gateway: &TestGateway, body: String) -> (u16, String) {
    let asked = gateway.post("/v1/chat/completions").header("content-type", "application/json").body(body);
    let answer = asked.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_whole_answer_that_stops_coming_is_given_up() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"id\":\"c\",";
    let provider = Terse::start(&[HEAD], Duration::ZERO).await;
    let mut channel = provider.channel();
    channel["timeouts"] = json!({"idle_ms": 200});
    let gateway = TestGateway::start(vec![channel]).await;
    let asked = tokio::time::timeout(Duration::from_secs(10), ask(&gateway, body(false))).await;
    let (status, text) = asked.expect("a provider that is silent in the middle of its answer is not waited for");
    assert_eq!(status, 504, "{text}");
    assert_eq!(gateway.last_record().await.error.as_deref(), Some("timeout"));
}

#[tokio::test]
async fn the_limit_on_a_whole_attempt_counts_from_its_beginning() {
    let chunk = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let event = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}],\"model\":\"m\"}\n\n";
    let first: &str = format!("{:x}\r\n{event}\r\n", event.len()).leak();
    let provider = Terse::start(Box::leak(Box::new([chunk, first, "", "", ""])), Duration::from_millis(600)).await;
    let mut channel = provider.channel();
    channel["timeouts"] = json!({"total_ms": 900});
    let gateway = TestGateway::start(vec![channel]).await;
    let asked = tokio::time::Instant::now();
    let (status, text) = ask(&gateway, body(true)).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("\"hi\"") && text.contains("\"error\""), "{text}");
    assert!(asked.elapsed() < Duration::from_millis(1_300), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_connection_whose_stream_ended_late_serves_the_next_request() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let chunk = format!("{head}{:x}\r\n{answer}\r\n", answer.len()).leak();
    let provider = Terse::start(Box::leak(Box::new([chunk, "0\r\n\r\n"])), Duration::from_millis(50)).await;
    let gateway = TestGateway::start(vec![provider.channel()]).await;
    for _ in 0..3 {
        let (status, text) = ask(&gateway, body(true)).await;
        assert!(status == 200 && text.ends_with("data: [DONE]\n\n"), "{status} {text}");
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(provider.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_waits_for_an_array_gets_one_from_gemini_too() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "gemini", "gemini", "gemini")]).await;
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "one two"}]}]});
    let answer = gateway.post("/v1beta/models/mock:streamGenerateContent").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    let text = answer.text().await.unwrap();
    let list: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no array: {text}"));
    assert!(list.iter().any(|chunk| chunk["candidates"][0]["finishReason"] == "STOP"), "{text}");
}

#[tokio::test]
async fn a_kept_conversation_survives_that_its_first_channel_fails() {
    let mock = MockServer::start().await.unwrap();
    let mut first = mock_channel(&mock, "first", "openai", "openai");
    first["weight"] = json!(1);
    let mut second = mock_channel(&mock, "second", "anthropic", "anthropic");
    second["weight"] = json!(0);
    let gateway = TestGateway::start(vec![first, second]).await;
    let key = NewKey { name: "app".into(), models: vec!["mock".into()], ..NewKey::default() };
    let key = gateway.another_key(key).await;
    // The stream is cut before its content: by then it was already known what had to be kept.
    let mut script = Script::default().provider("openai");
    script.delivery.cut_after = Some(1);
    mock.script(script);
    let ask = async |query: &str, conversation: &str| {
        let body = json!({"query": query, "inputs": {}, "user": "u", "response_mode": "streaming", "conversation_id": conversation});
        let answer =
            gateway.request("POST", "/dify/v1/chat-messages").bearer_auth(&key).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, text) = ask("say one", "").await;
    assert_eq!(status, 200, "{text}");
    assert_eq!(gateway.last_record().await.attempts.len(), 2);
    let events = crate::support::fold::events(&text);
    let conversation = events.last().unwrap()["conversation_id"].as_str().unwrap();
    let (status, text) = ask("say two", conversation).await;
    assert_eq!(status, 200, "the conversation is lost: {text}");
}

#[tokio::test]
async fn a_record_stays_small_whatever_the_caller_writes() {
    let gateway = TestGateway::start(Vec::new()).await;
    let model = "é".repeat(100_000);
    let (status, _) = gateway
        .ask("/v1/chat/completions", &json!({"model": model, "messages": [{"role": "user", "content": "x"}]}))
        .await;
    assert_eq!(status, 400);
    let record = gateway.last_record().await;
    assert!(record.model.len() <= 512 && record.model.starts_with('é'), "{}", record.model.len());
}

#[tokio::test]
async fn a_session_holds_on_every_listener() {
    let gateway = TestGateway::with_settings(Vec::new(), |settings| settings.listen.push("127.0.0.1:0".into())).await;
    let addresses = gateway.addresses.clone();
    assert_eq!(addresses.len(), 2);
    let made = gateway.gateway.store().apply(myelin_core::store::Change::CreateAdminToken { name: "t".into() }, "test");
    let token = made.await.unwrap().issued[0].secret.expose().to_owned();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let opened =
        client.post(format!("http://{}/api/v1/session", addresses[0])).json(&json!({"token": token})).send().await;
    let cookie = opened.unwrap().headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    for address in addresses {
        let asked = client.get(format!("http://{address}/api/v1/status")).header("cookie", &cookie).send().await;
        assert_eq!(asked.unwrap().status(), 200, "{address}");
    }
}

#[tokio::test]
async fn pages_of_an_allowed_origin_may_read_answers_and_no_others() {
    let origin = "https://app.example";
    let gateway = TestGateway::with_settings(Vec::new(), |settings| {
        settings.allowed_origins.push(origin.into());
    })
    .await;
    let ahead = gateway
        .request("OPTIONS", "/v1/chat/completions")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let allowed = ahead.send().await.unwrap();
    assert_eq!(allowed.status(), 204);
    assert_eq!(allowed.headers()["access-control-allow-origin"], origin);
    assert_eq!(allowed.headers()["access-control-allow-headers"], "authorization,content-type");
    let asked = gateway.get("/v1/models").header("origin", origin).send().await.unwrap();
    assert_eq!(
        (asked.status().as_u16(), &asked.headers()["access-control-allow-origin"]),
        (200, &origin.parse().unwrap())
    );
    let refused = gateway.get("/v1/models").header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
    // It can be found again, and in the format of its address.
    let id = refused.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert!(refused.json::<Value>().await.unwrap()["error"]["message"].as_str().unwrap().contains("allowed_origins"));
    let record = gateway.records(2).await.into_iter().find(|record| record.id == id).expect("it is in the log");
    assert_eq!((record.status, record.error.as_deref()), (403, Some("forbidden")));
    assert!(!gateway.get("/v1/models").send().await.unwrap().headers().contains_key("access-control-allow-origin"));
}
