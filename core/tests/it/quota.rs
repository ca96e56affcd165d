//! Limits and budgets through the whole gateway: caps that hold, refusals that say why, waiting in line, counters that agree with the records.

use std::time::Duration;

use myelin_core::limits::LimitUsage;
use myelin_core::model::{CacheMode, CacheOutcome, Limit, LimitSpec, NanoUsd, Origin, RequestRecord, RequestState};
use myelin_core::store::{Change, NewKey, UsageQuery};
use myelin_testkit::{MockServer, Script};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{TestGateway, mock_channel};

/// A channel whose model costs a thousandth of a dollar for each token in, twice that for each token out.
fn priced(mock: &MockServer, name: &str, provider: &str) -> Value {
    let mut channel = mock_channel(mock, name, provider, provider);
    channel["models"] = json!([{"name": "mock", "upstream": "mock", "price": {"input": 1000, "output": 2000}}]);
    channel
}

async fn gateway() -> (MockServer, TestGateway) {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![priced(&mock, "openai", "openai")]).await;
    (mock, gateway)
}

/// Sets a limit and waits until it is in force.
async fn limit(gateway: &TestGateway, spec: Value) -> Limit {
    let spec: LimitSpec = serde_json::from_value(spec).unwrap();
    let limit = spec.into_limit("limits.test", Origin::Store).unwrap();
    let change = Change::CreateLimit(Box::new(limit.clone()));
    gateway.gateway.store().apply(change, "test").await.unwrap();
    let begun = Instant::now();
    while maybe_usage(gateway, &limit.name).is_none() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the limit does not come into force");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    limit
}

fn maybe_usage(gateway: &TestGateway, name: &str) -> Option<LimitUsage> {
    let services = gateway.gateway.services();
    services.snapshot.load().limits.usage(name, services.clock.unix_ms())
}

/// How far a limit is used once everything in flight is over.
async fn settled(gateway: &TestGateway, name: &str) -> u64 {
    for _ in 0..500 {
        let usage = maybe_usage(gateway, name).unwrap();
        if usage.held == 0 && usage.waiting == 0 {
            return usage.used;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("something holds {name} for ever");
}

fn chat(text: &str) -> Value {
    json!({"model": "mock", "max_tokens": 10, "messages": [{"role": "user", "content": text}]})
}

/// Asks so often at the same time; gives the statuses.
async fn crowd(gateway: &TestGateway, count: usize, body: &Value) -> Vec<u16> {
    let asked = (0..count).map(|_| {
        let request = gateway.post("/v1/chat/completions").json(body);
        tokio::spawn(async move {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            answer.bytes().await.unwrap();
            status
        })
    });
    let mut statuses = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        statuses.push(asked.await.unwrap());
    }
    statuses
}

fn with_status(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|own| **own == status).count()
}

/// Every record, and the sums of what they used.
async fn sums(gateway: &TestGateway, count: usize) -> (Vec<RequestRecord>, u64, u64) {
    let mut records = gateway.records(count).await;
    records.retain(|record| record.path.contains("/chat/") || record.path.contains("/messages"));
    let tokens = records.iter().filter_map(|record| record.usage.as_ref()?.total()).sum();
    let money = records.iter().filter_map(|record| record.cost).map(|cost| u64::try_from(cost.0).unwrap()).sum();
    (records, tokens, money)
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_41_a_hundred_parallel_calls_spend_at_most_one_reservation_too_much() {
    let (_mock, gateway) = gateway().await;
    let cap = 300_000_000;
    limit(&gateway, json!({"name": "budget", "on": "gateway", "money": 0.3, "per": "month"})).await;
    let mut spent_out = false;
    for _ in 0..4 {
        let statuses = crowd(&gateway, 25, &chat("[[delay 20]] [[usage input=20 output=8]] hello")).await;
        assert!(statuses.iter().all(|status| [200, 402].contains(status)), "{statuses:?}");
        spent_out |= with_status(&statuses, 200) == 0;
    }
    let used = settled(&gateway, "budget").await;
    let (records, _, money) = sums(&gateway, 100).await;
    assert_eq!(used, money, "the counter and the records say the same");
    // 20 in and 8 out are 36 thousandths of a dollar.
    let answered = records.iter().filter(|record| record.status == 200).count() as u64;
    assert_eq!(money, answered * 36_000_000);
    assert!(used < cap + 60_000_000, "{used}");
    assert!(spent_out || used >= cap - 60_000_000, "most of the budget could be used: {used}");
}

#[tokio::test]
async fn case_43_streams_count_like_whole_answers_in_counters_and_records() {
    let (_mock, gateway) = gateway().await;
    limit(&gateway, json!({"name": "tokens", "on": "model:mock", "tokens": 1_000_000, "per": "1h"})).await;
    limit(&gateway, json!({"name": "money", "on": "channel:openai", "money": 100, "per": "week", "zone": "UTC"})).await;
    let mut before = (0, 0);
    for stream in [false, true] {
        let mut body = chat("[[usage input=100 output=5]] hello");
        body["stream"] = json!(stream);
        let (status, text) = gateway.ask_text("/v1/chat/completions", &body).await;
        assert_eq!(status, 200, "{text}");
        let after = (settled(&gateway, "tokens").await, settled(&gateway, "money").await);
        assert_eq!((after.0 - before.0, after.1 - before.1), (105, 110_000_000), "stream {stream}");
        before = after;
    }
    let (_, tokens, money) = sums(&gateway, 2).await;
    assert_eq!((tokens, money), before);
    let kept: u64 = gateway.gateway.store().counters().sums().unwrap().iter().map(|(.., amount)| amount).sum();
    assert_eq!(kept, tokens + money, "and so does the file");
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
async fn a_channel_counts_what_was_sent_to_it_and_failed() {
    let mock = MockServer::start().await.unwrap();
    let mut second = priced(&mock, "second", "anthropic");
    second["weight"] = json!(0);
    let gateway = TestGateway::start(vec![priced(&mock, "first", "openai"), second]).await;
    for name in ["first", "second"] {
        limit(
            &gateway,
            json!({"name": format!("{name}-r"), "on": format!("channel:{name}"), "requests": 50, "per": "1h"}),
        )
        .await;
        limit(
            &gateway,
            json!({"name": format!("{name}-t"), "on": format!("channel:{name}"), "tokens": 50_000, "per": "1h"}),
        )
        .await;
    }
    limit(&gateway, json!({"name": "key", "on": "key:test", "requests": 50, "per": "1h"})).await;
    mock.script(Script::error(500).provider("openai"));
    let (status, _) = gateway.ask("/v1/chat/completions", &chat("[[usage input=9 output=1]] hello")).await;
    assert_eq!(status, 200);
    let mut used = Vec::new();
    for name in ["first-r", "first-t", "second-r", "second-t", "key"] {
        used.push(settled(&gateway, name).await);
    }
    assert_eq!(used, [1, 0, 1, 10, 1]);
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

#[tokio::test]
async fn what_was_counted_survives_a_restart_and_goes_with_its_key() {
    let (_mock, gateway) = gateway().await;
    limit(&gateway, json!({"name": "month", "on": "key:test", "money": 5, "per": "month"})).await;
    limit(&gateway, json!({"name": "minute", "on": "key:test", "tokens": 100_000, "per": "30m"})).await;
    for _ in 0..3 {
        assert_eq!(gateway.ask("/v1/chat/completions", &chat("[[usage input=100 output=5]] hi")).await.0, 200);
    }
    let before = (settled(&gateway, "month").await, settled(&gateway, "minute").await);
    assert_eq!(before, (330_000_000, 315));
    let gateway = gateway.restart().await;
    assert_eq!((settled(&gateway, "month").await, settled(&gateway, "minute").await), before);
    let store = gateway.gateway.store();
    assert_eq!(store.counters().sums().unwrap().len(), 2);
    store.apply(Change::RemoveKey { key: "test".into() }, "test").await.unwrap();
    assert!(store.entities().limits.is_empty(), "limits go with their key");
    for _ in 0..500 {
        if store.counters().sums().unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("counters outlive their limits");
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

/// Asks the admin API as the owner.
async fn admin(gateway: &TestGateway, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = http::Request::builder().method(method).uri(format!("/api/v1{path}")).header("host", "localhost");
    let request = request.header("content-type", "application/json").body(body.to_string()).unwrap();
    let answer = gateway.gateway.ask_as_owner(request).await;
    let status = answer.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
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
    let (_, health) = owner(&gateway, "GET", "/api/v1/health").await;
    assert!(!health.to_string().contains("\"open\""), "{health}");
    let (_, status) = owner(&gateway, "GET", "/api/v1/status").await;
    assert_eq!(status["degraded"], json!([]), "{status}");
}

#[tokio::test]
async fn case_42_what_decides_is_what_is_shown_and_nothing_is_refused_without_a_limit() {
    let (_mock, gateway) = gateway().await;
    for _ in 0..5 {
        assert_eq!(gateway.ask("/v1/chat/completions", &chat("hello")).await.0, 200, "no limit, no refusal");
    }
    limit(&gateway, json!({"name": "few", "on": "key:test", "requests": 3, "per": "day"})).await;
    let shown = async || owner(&gateway, "GET", "/api/v1/limits/few").await.1["used"].clone();
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
        assert_eq!(owner(&gateway, "POST", "/api/v1/limits/few/reset").await.0, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_sums_and_counters_agree_whatever_happens_to_requests() {
    let mock = MockServer::start().await.unwrap();
    let mut second = priced(&mock, "second", "anthropic");
    second["weight"] = json!(0);
    let gateway = TestGateway::with_settings(vec![priced(&mock, "openai", "openai"), second], |settings| {
        settings.policy.hedge_after_ms = Some(120);
        settings.policy.cache.mode = Some(CacheMode::Deterministic);
        settings.policy.mirror = Some(serde_json::from_value(json!({"to": "second/mock"})).unwrap());
    })
    .await;
    limit(&gateway, json!({"name": "money", "on": "gateway", "money": 10_000, "per": "month"})).await;
    limit(&gateway, json!({"name": "calls", "on": "gateway", "requests": 10_000, "per": "month"})).await;
    let texts = [
        "plain [[usage input=20 output=8]]",
        "again [[usage input=20 output=8]]",
        "late [[delay 300]] [[usage input=30 output=9]]",
        "[[error 500]]",
        "[[error 429]]",
        "cut [[cut-after 2]] one two three four",
        "slow [[pace 100]] one two three four five six seven",
    ];
    let mut asked = Vec::new();
    for (n, text) in texts.iter().cycle().take(42).enumerate() {
        let mut body = chat(text);
        body["stream"] = json!(n % 2 == 0);
        if n % 3 == 0 {
            body["temperature"] = json!(0);
        }
        // Some leave early.
        let patience = if text.contains("pace") || n % 10 == 9 { 250 } else { 20_000 };
        let request = gateway.post("/v1/chat/completions").json(&body).timeout(Duration::from_millis(patience));
        asked.push(tokio::spawn(async move {
            if let Ok(answer) = request.send().await {
                drop(answer.bytes().await);
            }
        }));
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    for one in asked {
        one.await.unwrap();
    }
    let (spent, calls) = (settled(&gateway, "money").await, settled(&gateway, "calls").await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ledger = gateway.gateway.store().ledger();
    let mut before = usize::MAX;
    let records = loop {
        let found = gateway.records(42).await;
        if found.len() == before {
            break found;
        }
        before = found.len();
        tokio::time::sleep(Duration::from_millis(400)).await;
    };
    let spent = spent.max(settled(&gateway, "money").await);
    let cost: i64 = records.iter().filter_map(|record| record.cost).map(|cost| cost.0).sum();
    let query = UsageQuery { until: u64::MAX / 2, ..UsageQuery::default() };
    let sums = ledger.usage(query).await.unwrap().total;
    assert_eq!((sums.requests as usize, sums.cost), (records.len(), cost), "sums are those of the records");
    assert_eq!(cost, i64::try_from(spent).unwrap(), "and the budget's counter");
    let kept = gateway.gateway.store().counters().sums().unwrap();
    let in_file: u64 = kept.iter().map(|(.., amount)| amount).sum();
    assert_eq!(in_file, spent + settled(&gateway, "calls").await, "and what stands in the file");
    assert!(calls > 20 && cost > 0);
    let hits = records.iter().filter(|record| record.cache == CacheOutcome::Hit);
    assert!(
        hits.clone().count() > 0
            && hits.clone().all(|hit| hit.cost == Some(NanoUsd(0)) && hit.saved > Some(NanoUsd(0)))
    );
    assert!(records.iter().any(|record| record.tags.iter().any(|tag| tag == "mirror")));
    assert!(records.iter().any(|record| record.attempts.iter().any(|attempt| attempt.hedged)));
    assert!(records.iter().any(|record| record.state == RequestState::Canceled));
    // And all of it is so after a restart.
    let gateway = gateway.restart().await;
    let again: u64 = gateway.gateway.store().counters().sums().unwrap().iter().map(|(.., amount)| amount).sum();
    assert_eq!(again, in_file);
}

/// Asks the admin API as the owner.
async fn owner(gateway: &TestGateway, method: &str, path: &str) -> (u16, Value) {
    let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    let answer = gateway.gateway.ask_as_owner(request.body(String::new()).unwrap()).await;
    let status = answer.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}
