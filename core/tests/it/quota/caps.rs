//! Caps that hold: who is let in, who waits, who is refused.

use std::time::Duration;

use myelin_core::model::{Origin, RequestState};
use myelin_core::store::{Change, NewKey, UsageQuery};
use myelin_testkit::MockServer;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{admin, chat, crowd, gateway, limit, maybe_usage, priced, settled, sums, with_status};
use crate::support::{TestGateway, mock_channel};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_41_a_hundred_parallel_calls_stop_at_the_cap() {
    let (_mock, gateway) = gateway().await;
    limit(&gateway, json!({"name": "day", "on": "key:test", "requests": 20, "per": "day"})).await;
    let statuses = crowd(&gateway, 100, &chat("[[delay 50]] hello")).await;
    assert_eq!((with_status(&statuses, 200), with_status(&statuses, 429)), (20, 80), "{statuses:?}");
    assert_eq!(settled(&gateway, "day").await, 20);
    let (records, ..) = sums(&gateway, 100).await;
    let refused: Vec<_> = records.iter().filter(|record| record.refused_by.as_deref() == Some("day")).collect();
    assert_eq!(refused.len(), 80);
    assert!(refused.iter().all(|record| record.state == RequestState::Failed && record.attempts.is_empty()));
}

/// What one limit saw while a hundred asked at once, again and again until nobody was let in any more.
struct Run {
    cap: u64,
    /// What one request reserves.
    reservation: u64,
    /// The most that was used and held at any moment that was looked at.
    most: u64,
    /// What is counted in the end.
    used: u64,
    answered: u64,
    refused: u64,
}

/// Holds a gateway with one limit against crowds of a hundred. `status`: what a refusal is.
async fn crowds(spec: Value, stream: bool, status: u16) -> (TestGateway, Run) {
    let (_mock, gateway) = gateway().await;
    let cap = limit(&gateway, spec).await.amount;
    let mut body = chat("[[delay 25]] [[usage input=20 output=8]] hello");
    body["stream"] = json!(stream);
    let name = "cap";
    // One alone shows what a request reserves.
    let alone = gateway.post("/v1/chat/completions").json(&body).send();
    let alone = tokio::spawn(async move { alone.await.unwrap().bytes().await.unwrap() });
    let mut reservation = 0;
    while reservation == 0 {
        reservation = maybe_usage(&gateway, name).unwrap().held;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    alone.await.unwrap();
    let mut run = Run { cap, reservation, most: 0, used: 0, answered: 1, refused: 0 };
    for _ in 0..20 {
        let crowd = crowd(&gateway, 100, &body);
        tokio::pin!(crowd);
        let statuses = loop {
            tokio::select! {
                statuses = &mut crowd => break statuses,
                () = tokio::time::sleep(Duration::from_millis(1)) => {
                    let now = maybe_usage(&gateway, name).unwrap();
                    run.most = run.most.max(now.used + now.held);
                }
            }
        };
        let (ok, refused) = (with_status(&statuses, 200) as u64, with_status(&statuses, status) as u64);
        assert_eq!(ok + refused, 100, "{statuses:?}");
        run.used = settled(&gateway, name).await;
        (run.answered, run.refused) = (run.answered + ok, run.refused + refused);
        if ok == 0 {
            break;
        }
    }
    (gateway, run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_41_a_hundred_at_once_never_pass_a_cap_by_more_than_one_reservation() {
    // 20 in and 8 out are 28 tokens and 36 thousandths of a dollar.
    for (spec, status, each) in [
        (json!({"name": "cap", "on": "gateway", "money": 1.2, "per": "month"}), 402, 36_000_000),
        (json!({"name": "cap", "on": "key:test", "tokens": 900, "per": "1h"}), 429, 28),
        (json!({"name": "cap", "on": "model:mock", "requests": 40, "per": "day"}), 429, 1),
        (json!({"name": "cap", "on": "channel:openai", "money": 1.2, "per": "7d"}), 402, 36_000_000),
    ] {
        for stream in [false, true] {
            let case = format!("{spec}, stream {stream}");
            let (gateway, run) = crowds(spec.clone(), stream, status).await;
            let Run { cap, reservation, most, used, answered, refused } = run;
            assert!(reservation >= each, "{case}: a request reserves what it uses: {reservation}");
            assert!(most > 0 && most <= cap + reservation, "{case}: {most} of {cap} at once, {reservation} each");
            assert!(used <= cap + reservation, "{case}: {used} of {cap}");
            assert!(used + reservation > cap, "{case}: there was room for one more: {used} of {cap}");
            assert!(refused >= 100 && answered == used / each && used % each == 0, "{case}: {answered} and {refused}");
            // The counter, the sums and the file say the same.
            let everything = UsageQuery { until: u64::MAX / 2, ..UsageQuery::default() };
            let store = gateway.gateway.store();
            let sums = loop {
                let sums = store.ledger().usage(everything.clone()).await.unwrap().total;
                if sums.requests as u64 == answered + refused {
                    break sums;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            assert_eq!(sums.cost.unsigned_abs(), answered * 36_000_000, "{case}");
            let in_file: u64 = store.counters().sums().unwrap().iter().map(|(.., amount)| amount).sum();
            assert_eq!(in_file, used, "{case}");
        }
    }
}

#[tokio::test]
async fn case_45_what_is_refused_or_never_sent_costs_no_quota() {
    let mock = MockServer::start().await.unwrap();
    let mut dead = mock_channel(&mock, "dead", "openai", "openai");
    dead["base_urls"] = json!(["http://127.0.0.1:9/v1"]);
    dead["models"] = json!(["dead"]);
    let gateway = TestGateway::start(vec![priced(&mock, "openai", "openai"), dead]).await;
    limit(&gateway, json!({"name": "rpm", "on": "key:test", "requests": 3, "per": "minute"})).await;
    limit(&gateway, json!({"name": "one", "on": "gateway", "parallel": 1})).await;
    let slow = gateway.post("/v1/chat/completions").json(&chat("[[delay 400]] hello")).send();
    let slow = tokio::spawn(slow);
    while maybe_usage(&gateway, "one").unwrap().held == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let statuses = crowd(&gateway, 10, &chat("hello")).await;
    assert_eq!(with_status(&statuses, 429), 10, "{statuses:?}");
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    let (status, _) = gateway
        .ask("/v1/chat/completions", &json!({"model": "dead", "messages": [{"role": "user", "content": "x"}]}))
        .await;
    assert!(status >= 500);
    let (status, _) = gateway.ask("/v1/chat/completions", &json!({"model": "gone", "messages": []})).await;
    assert_eq!(status, 404);
    assert_eq!(settled(&gateway, "rpm").await, 1, "one was answered");
    assert_eq!(settled(&gateway, "one").await, 0);
}

#[tokio::test]
async fn case_42_what_decides_is_what_is_shown_and_nothing_is_refused_without_a_limit() {
    let (_mock, gateway) = gateway().await;
    for _ in 0..5 {
        assert_eq!(gateway.ask("/v1/chat/completions", &chat("hello")).await.0, 200, "no limit, no refusal");
    }
    limit(&gateway, json!({"name": "few", "on": "key:test", "requests": 3, "per": "day"})).await;
    let shown = async || admin(&gateway, "GET", "/limits/few", Value::Null).await.1["used"].clone();
    for round in 0..2 {
        for used in 0..3 {
            assert_eq!(shown().await, json!(used), "round {round}");
            assert_eq!(
                gateway.ask("/v1/chat/completions", &chat("hello")).await.0,
                200,
                "there is room by what is shown"
            );
            settled(&gateway, "few").await;
        }
        assert_eq!(shown().await, json!(3));
        let (status, told) = gateway.ask("/v1/chat/completions", &chat("hello")).await;
        assert_eq!(status, 429);
        assert!(told.to_string().contains("used 3"), "the refusal shows the same: {told}");
        assert_eq!(admin(&gateway, "POST", "/limits/few/reset", Value::Null).await.0, 200);
    }
}

#[tokio::test]
async fn a_channel_at_its_limit_is_passed_over_and_refused_only_when_none_is_left() {
    let mock = MockServer::start().await.unwrap();
    let mut first = priced(&mock, "first", "openai");
    first["tags"] = json!(["cheap"]);
    let mut second = priced(&mock, "second", "openai");
    second["weight"] = json!(0);
    let gateway = TestGateway::start(vec![first, second]).await;
    limit(&gateway, json!({"name": "cheap", "on": "tag:cheap", "requests": 2, "per": "1h"})).await;
    limit(&gateway, json!({"name": "second", "on": "channel:second/mo*", "tokens": 500, "per": "1h"})).await;
    let mut served = Vec::new();
    for _ in 0..3 {
        let answer = gateway
            .post("/v1/chat/completions")
            .json(&chat("[[usage input=495 output=5]] hello"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        served.push(answer.headers()["x-myelin-channel"].to_str().unwrap().to_owned());
    }
    assert_eq!(served, ["first", "first", "second"]);
    let answer = gateway.post("/v1/chat/completions").json(&chat("hello")).send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert!(answer.headers().contains_key("retry-after"));
    let body: Value = answer.json().await.unwrap();
    let message = body.pointer("/error/message").and_then(Value::as_str).unwrap();
    assert!(message.contains("limit"), "{message}");
    assert_eq!((settled(&gateway, "cheap").await, settled(&gateway, "second").await), (2, 500));
}

#[tokio::test]
async fn an_attempt_that_a_limit_held_back_is_no_failure_of_its_channel() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = priced(&mock, "openai", "openai");
    // What its owner says about the provider's refusals does not look at ours.
    channel["disable"] = json!([{"text": "narrow", "whole_channel": true}]);
    let gateway = TestGateway::start(vec![channel]).await;
    limit(&gateway, json!({"name": "narrow", "on": "channel:openai", "requests": 1, "per": "1h"})).await;
    assert_eq!(gateway.ask("/v1/chat/completions", &chat("hello")).await.0, 200);
    // More often than any breaker waits.
    for _ in 0..10 {
        assert_eq!(gateway.ask("/v1/chat/completions", &chat("hello")).await.0, 429);
    }
    let services = gateway.gateway.services();
    services.snapshot.load().limits.reset("narrow").unwrap();
    assert_eq!(gateway.ask("/v1/chat/completions", &chat("hello")).await.0, 200, "it is in rotation as ever");
    let (_, health) = admin(&gateway, "GET", "/health", Value::Null).await;
    assert!(!health.to_string().contains("\"open\""), "{health}");
    let (_, status) = admin(&gateway, "GET", "/status", Value::Null).await;
    assert_eq!(status["degraded"], json!([]), "{status}");
}

#[tokio::test]
async fn embeddings_and_the_built_in_model_are_held_back_too() {
    let (_mock, gateway) = gateway().await;
    limit(&gateway, json!({"name": "two", "on": "key:test", "requests": 2, "per": "day"})).await;
    let embed = json!({"model": "echo", "input": "hello"});
    assert_eq!(gateway.ask("/v1/embeddings", &embed).await.0, 200);
    let mut echo = chat("hello");
    echo["model"] = json!("echo");
    assert_eq!(gateway.ask("/v1/chat/completions", &echo).await.0, 200);
    assert_eq!(gateway.ask("/v1/chat/completions", &echo).await.0, 429);
    assert_eq!(gateway.ask("/v1/embeddings", &embed).await.0, 429);
    assert_eq!(gateway.call("GET", "/v1/models").await.0, 200, "looking costs nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_in_line_is_served_and_no_more_wait_than_may() {
    let (mock, gateway) = gateway().await;
    let queue = json!({"timeout_ms": 10_000, "max_waiting": 5});
    limit(&gateway, json!({"name": "one", "on": "gateway", "parallel": 1, "queue": queue})).await;
    let statuses = crowd(&gateway, 10, &chat("[[delay 40]] hello")).await;
    assert_eq!((with_status(&statuses, 200), with_status(&statuses, 429)), (6, 4), "{statuses:?}");
    assert_eq!(settled(&gateway, "one").await, 0);
    drop(mock);
}

#[tokio::test]
async fn waiting_ends_after_its_time_and_when_the_client_leaves() {
    let (_mock, gateway) = gateway().await;
    limit(&gateway, json!({"name": "one", "on": "gateway", "parallel": 1, "queue": {"timeout_ms": 150}})).await;
    let slow = tokio::spawn(gateway.post("/v1/chat/completions").json(&chat("[[delay 1500]] hello")).send());
    while maybe_usage(&gateway, "one").unwrap().held == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begun = Instant::now();
    assert_eq!(gateway.ask("/v1/chat/completions", &chat("hello")).await.0, 429);
    assert!(begun.elapsed() >= Duration::from_millis(150) && begun.elapsed() < Duration::from_millis(1_200));
    let leaves =
        gateway.post("/v1/chat/completions").json(&chat("hello")).timeout(Duration::from_millis(60)).send().await;
    assert!(leaves.is_err());
    for _ in 0..100 {
        if maybe_usage(&gateway, "one").unwrap().waiting == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(maybe_usage(&gateway, "one").unwrap().waiting, 0, "who left waits no more");
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    assert_eq!(gateway.ask("/v1/chat/completions", &chat("hello")).await.0, 200);
}

#[tokio::test]
async fn a_key_is_held_back_by_its_team_and_says_so_in_its_record() {
    let (_mock, gateway) = gateway().await;
    let store = gateway.gateway.store();
    for (owner, parent) in [("organisation:acme", None), ("team:research", Some("organisation:acme"))] {
        let owner: myelin_core::model::OwnerRef = owner.parse().unwrap();
        let parent = parent.map(|parent| parent.parse().unwrap());
        let owner = myelin_core::model::Owner { kind: owner.kind, name: owner.name, parent, origin: Origin::Store };
        store.apply(Change::CreateOwner(owner), "test").await.unwrap();
    }
    let of_team =
        |name: &str| NewKey { name: name.into(), owner: Some("team:research".parse().unwrap()), ..NewKey::default() };
    let (one, two) = (gateway.another_key(of_team("one")).await, gateway.another_key(of_team("two")).await);
    limit(&gateway, json!({"name": "acme", "on": "organisation:acme", "requests": 2, "per": "day"})).await;
    let ask = async |secret: &str| {
        let request = gateway.request("POST", "/v1/chat/completions").bearer_auth(secret).json(&chat("hello"));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((ask(&one).await, ask(&two).await, ask(&one).await, ask(&two).await), (200, 200, 429, 429));
    assert_eq!(gateway.ask("/v1/chat/completions", &chat("hello")).await.0, 200, "another key is not below");
    let record = gateway.records(5).await.into_iter().find(|record| record.refused_by.is_some()).unwrap();
    assert_eq!(record.owners, ["team:research", "organisation:acme"]);
    let removed = store.apply(Change::RemoveOwner { owner: "team:research".parse().unwrap() }, "test").await;
    assert!(removed.is_err(), "keys belong to it");
}
