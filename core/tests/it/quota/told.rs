//! What callers and the owner are told, and what can be set.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{admin, chat, gateway, limit, maybe_usage, settled};

#[tokio::test]
async fn a_refusal_is_in_the_callers_format_and_says_which_limit_and_when() {
    let (_mock, gateway) = gateway().await;
    limit(&gateway, json!({"name": "burst", "on": "key:test", "requests": 1, "per": "1h"})).await;
    let answer = gateway.post("/v1/chat/completions").json(&chat("hello")).send().await.unwrap();
    let header = |answer: &reqwest::Response, name: &str| {
        answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-ratelimit-limit-requests").as_deref(), Some("1"));
    assert_eq!(header(&answer, "x-ratelimit-remaining-requests").as_deref(), Some("0"));
    for (path, body, at, word) in [
        ("/v1/chat/completions", chat("hello"), "/error/code", "rate_limit_exceeded"),
        ("/v1/messages", chat("hello"), "/error/type", "rate_limit_error"),
        (
            "/v1beta/models/mock:generateContent",
            json!({"contents": [{"parts": [{"text": "hello"}]}]}),
            "/error/status",
            "RESOURCE_EXHAUSTED",
        ),
        ("/v1/responses", json!({"model": "mock", "input": "hello"}), "/error/code", "rate_limit_exceeded"),
    ] {
        let answer = gateway.post(path).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 429, "{path}");
        let after: u64 = header(&answer, "retry-after").unwrap().parse().unwrap();
        assert!((3_500..=3_700).contains(&after), "{path}: {after}");
        assert_eq!(header(&answer, "x-ratelimit-remaining-requests").as_deref(), Some("0"), "{path}");
        assert!(header(&answer, "x-ratelimit-reset-requests").is_some() && header(&answer, "x-request-id").is_some());
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body.pointer(at).and_then(Value::as_str), Some(word), "{path}: {body}");
        let message = body.pointer("/error/message").and_then(Value::as_str).unwrap();
        assert!(message.contains("\"burst\" on key:test") && message.contains("resets 20"), "{message}");
    }
}

#[tokio::test]
async fn spent_money_is_402_and_the_owner_hears_of_it() {
    let (_mock, gateway) = gateway().await;
    limit(&gateway, json!({"name": "purse", "on": "key:test", "money": "0.10", "per": "day", "zone": "Europe/Berlin", "soft": [50]})).await;
    let answer =
        gateway.post("/v1/chat/completions").json(&chat("[[usage input=90 output=5]] hello")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-ratelimit-limit-money"], "0.10");
    let answer = gateway.post("/v1/messages").json(&chat("hello")).send().await.unwrap();
    assert_eq!(answer.status(), 402);
    assert!(answer.headers().contains_key("retry-after"));
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body.pointer("/error/type").and_then(Value::as_str), Some("billing_error"), "{body}");
    let message = body.pointer("/error/message").and_then(Value::as_str).unwrap();
    assert!(
        message.contains("0.10 USD per day; used 0.10 USD; resets") && message.contains("T00:00:00+0"),
        "{message}"
    );
    assert_eq!(gateway.ask("/v1/chat/completions", &chat("hello")).await.0, 402);
    let heard = gateway.gateway.services().events.after(0, 10);
    let kinds: Vec<_> = heard.events.iter().map(|event| (event.kind.as_str(), event.subject.as_str())).collect();
    assert_eq!(kinds, [("limit-mark", "purse"), ("limit-reached", "purse")], "each is told once");
    assert_eq!(heard.events[0].data["mark"], 50);
}

#[tokio::test]
async fn limits_and_owners_are_set_seen_and_reset_over_the_api() {
    let (_mock, gateway) = gateway().await;
    let spec = json!({"on": "key:test", "requests": 2, "per": "day", "zone": "Asia/Kolkata"});
    let (status, made) = admin(&gateway, "POST", "/limits", spec.clone()).await;
    assert_eq!((status, &made["limit"]["name"]), (201, &json!("key-test-requests-day")), "{made}");
    assert_eq!(admin(&gateway, "POST", "/limits", spec).await.0, 409);
    for (wrong, at) in [
        (json!({"on": "key:nobody", "requests": 1, "per": "day"}), "limits.key-nobody-requests-day.on"),
        (
            json!({"on": "gateway", "requests": 1, "per": "day", "zone": "Mars/Olympus"}),
            "limits.gateway-requests-day.zone",
        ),
        (json!({"on": "gateway", "tokens": 0, "per": "day"}), "limits.gateway-tokens-day.tokens"),
        (json!({"name": "x", "on": "gateway", "tokens": 1, "per": "eon"}), "limits.x.per"),
    ] {
        let (status, answer) = admin(&gateway, "POST", "/limits", wrong).await;
        assert_eq!((status, &answer["error"]["problems"][0]["path"]), (422, &json!(at)), "{answer}");
    }
    let name = "key-test-requests-day";
    while maybe_usage(&gateway, name).is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ask = async || gateway.ask("/v1/chat/completions", &chat("hello")).await.0;
    assert_eq!((ask().await, ask().await, ask().await), (200, 200, 429));
    settled(&gateway, name).await;
    let (_, seen) = admin(&gateway, "GET", &format!("/limits/{name}"), Value::Null).await;
    assert_eq!(
        (&seen["used"], &seen["remaining"], &seen["words"]),
        (&json!(2), &json!(0), &json!("2 requests per day"))
    );
    assert!(seen["resets"].as_u64() > seen["since"].as_u64(), "{seen}");
    // More is allowed, and what was counted stays.
    let (status, patched) = admin(&gateway, "PATCH", &format!("/limits/{name}"), json!({"requests": 3})).await;
    assert_eq!((status, &patched["limit"]["amount"]), (200, &json!(3)));
    let begun = Instant::now();
    while ask().await == 429 {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(ask().await, 429);
    let (status, reset) = admin(&gateway, "POST", &format!("/limits/{name}/reset"), json!({})).await;
    assert_eq!((status, &reset["used"]), (200, &json!(0)));
    assert!(gateway.gateway.store().counters().sums().unwrap().is_empty(), "forgotten on disk too");
    assert_eq!(ask().await, 200);

    assert_eq!(
        admin(&gateway, "POST", "/owners", json!({"kind": "team", "name": "a", "parent": "organisation:o"})).await.0,
        422
    );
    assert_eq!(admin(&gateway, "POST", "/owners", json!({"kind": "organisation", "name": "o"})).await.0, 201);
    assert_eq!(
        admin(&gateway, "POST", "/owners", json!({"kind": "team", "name": "a", "parent": "organisation:o"})).await.0,
        201
    );
    assert_eq!(admin(&gateway, "PATCH", "/keys/test", json!({"owner": "team:a"})).await.0, 200);
    assert_eq!(admin(&gateway, "PATCH", "/keys/test", json!({"owner": "team:b"})).await.0, 422);
    let (_, team) = admin(&gateway, "GET", "/owners/team:a", Value::Null).await;
    assert_eq!((&team["parent"], &team["keys"]), (&json!("organisation:o"), &json!(["test"])));
    assert_eq!(admin(&gateway, "DELETE", "/owners/organisation:o", Value::Null).await.0, 409);
    // A key that is called differently keeps its limit, and what that counted.
    assert_eq!(admin(&gateway, "PATCH", "/keys/test", json!({"name": "renamed"})).await.0, 200);
    let (_, seen) = admin(&gateway, "GET", &format!("/limits/{name}"), Value::Null).await;
    assert_eq!((&seen["on"], &seen["used"]), (&json!("key:renamed"), &json!(1)));
    assert_eq!(admin(&gateway, "DELETE", &format!("/limits/{name}"), Value::Null).await.0, 200);
    assert_eq!(admin(&gateway, "GET", &format!("/limits/{name}"), Value::Null).await.0, 404);
}

#[tokio::test]
async fn who_follows_the_events_hears_of_a_budget_at_once() {
    let (_mock, gateway) = gateway().await;
    limit(
        &gateway,
        json!({"name": "purse", "on": "gateway", "money": 0.1, "per": "total", "refuse": false, "soft": [100]}),
    )
    .await;
    let follow = admin(&gateway, "GET", "/events?after=0&wait=20", Value::Null);
    let spend = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        gateway.ask("/v1/chat/completions", &chat("[[usage input=100 output=5]] hello")).await.0
    };
    let ((status, heard), spent) = tokio::join!(follow, spend);
    assert_eq!((status, spent), (200, 200));
    assert_eq!((&heard["events"][0]["kind"], &heard["next"]), (&json!("limit-mark"), &json!(1)), "{heard}");
    assert_eq!(gateway.ask("/v1/chat/completions", &chat("hello")).await.0, 200, "it only tells");
}
