//! The window's door, with a real gateway behind it.

use std::time::Duration;

use myelin_core::config::{Flags, Paths};
use myelin_core::launch;

use super::*;

const KEY: &str = "my-0123456789abcdef0123456789abcdef";

struct Behind {
    door: Door,
    _launched: launch::Launched,
    _dir: tempfile::TempDir,
}

async fn behind() -> Behind {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths { config: dir.path().join("myelin.toml"), config_required: false, data: dir.path().join("data") };
    let file = format!("[[keys]]\nname = \"test\"\nsecret = \"{KEY}\"\n");
    std::fs::write(&paths.config, file).unwrap();
    let launched = tokio::task::spawn_blocking(move || launch::open(&paths, Flags::default()).unwrap()).await.unwrap();
    let carrier = Carrier::here(&launched.gateway);
    Behind { door: Door::new(carrier), _launched: launched, _dir: dir }
}

fn ask(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Vec<u8>> {
    let uri = format!("console://localhost{path}");
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.as_bytes().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_gets_the_admin_api_without_a_token() {
    let behind = behind().await;
    let answer = behind.door.answer(ask("GET", "/api/v1/status", &[("origin", origin())], "")).await;
    assert_eq!(answer.status(), 200);
    let status: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(status["active_profile"], "direct");
    let patch = ask("PATCH", "/api/v1/settings", &[("content-type", "application/json")], r#"{"max_attempts": 3}"#);
    assert_eq!(behind.door.answer(patch).await.status(), 200);
    // Pages are pages, also at an address of the console's own.
    for path in ["/", "/requests?state=failed"] {
        let page = behind.door.answer(ask("GET", path, &[], "")).await;
        assert_eq!(page.status(), 200, "{path}");
        assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"), "{path}");
        assert!(page.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_others_get_nothing_at_any_address() {
    let behind = behind().await;
    for path in ["/", "/api/v1/status", "/v1/models", "/carrier/12345678", "/docs"] {
        for foreign in ["https://evil.example", "null", "http://localhost:6935", "console://evil"] {
            let answer = behind.door.answer(ask("GET", path, &[("origin", foreign)], "")).await;
            assert_eq!(answer.status(), 403, "{path} {foreign}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_pulled_piece_by_piece_and_ends() {
    let behind = behind().await;
    let body = r#"{"model": "echo", "stream": true, "messages": [{"role": "user", "content": "one two three"}]}"#;
    let bearer = format!("Bearer {KEY}");
    let headers = [("content-type", "application/json"), ("authorization", &bearer), (STREAM, "0123-abcd")];
    let head = behind.door.answer(ask("POST", "/v1/chat/completions", &headers, body)).await;
    assert_eq!((head.status().as_u16(), head.body().len()), (200, 0));
    assert_eq!(head.headers()[STREAM], "0123-abcd");
    assert!(head.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let mut text = String::new();
    loop {
        let piece = behind.door.answer(ask("GET", "/carrier/0123-abcd", &[], "")).await;
        match piece.status().as_u16() {
            200 => text.push_str(std::str::from_utf8(piece.body()).unwrap()),
            204 => break,
            other => panic!("{other}"),
        }
    }
    assert!(text.contains("three") && text.contains("[DONE]"), "{text}");
    let over = behind.door.answer(ask("GET", "/carrier/0123-abcd", &[], "")).await;
    assert_eq!(over.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_given_up_is_canceled_before_its_head_too() {
    let (dropped_in, mut dropped) = mpsc::channel::<()>(1);
    let carrier = Carrier::scripted(move |_| {
        let held = dropped_in.clone();
        Box::pin(async move {
            // Held by the answer that never comes: gone when the task is.
            let _held = held;
            std::future::pending().await
        })
    });
    let door = Door::new(carrier);
    let asking = tokio::spawn({
        let door = door.clone();
        async move { door.answer(ask("POST", "/v1/chat/completions", &[(STREAM, "0123-abcd")], "{}")).await }
    });
    while door.streams().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(door.answer(ask("DELETE", "/carrier/0123-abcd", &[], "")).await.status(), 204);
    let given_up = tokio::time::timeout(Duration::from_secs(5), asking).await.unwrap().unwrap();
    assert_eq!(given_up.status(), 410);
    // The script holds one sender, the task held the other.
    drop(door);
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), dropped.recv()).await.unwrap(), None);
}
