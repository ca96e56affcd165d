//! Which profile, strategy, route and group hold for a request: the narrowest place that says something; and what holds a key or a credential back, for how long.

use std::time::Duration;

use myelin_core::clock::TestClock;
use myelin_core::model::{KeyBreaker, Profile, Route, Settings, Strategy};
use myelin_core::store::{Change, NewKey};
use myelin_testkit::{KEY, MockServer, Script, Verbatim};
use serde_json::{Value, json};

use crate::support::{TestGateway, mock_channel, owner};

fn hello(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}]})
}

async fn with_profiles(
    mock: &MockServer,
    channels: &[&str],
    profiles: &[Value],
    change: impl FnOnce(&mut Settings),
) -> TestGateway {
    let channels = channels.iter().map(|name| mock_channel(mock, name, "openai", "openai")).collect();
    let gateway = TestGateway::with_settings(channels, |settings| {
        settings.affinity_seconds = 0;
        change(settings);
    })
    .await;
    for profile in profiles {
        let profile: Profile = serde_json::from_value(profile.clone()).unwrap();
        gateway.gateway.store().apply(Change::CreateProfile(profile), "test").await.unwrap();
    }
    gateway
}

/// Asks until the configuration is in force, then gives the headers of the last answer.
async fn until(what: &str, ask: impl AsyncFn() -> reqwest::Response, holds: impl Fn(&reqwest::Response) -> bool) {
    for _ in 0..200 {
        if holds(&ask().await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("in vain: {what}");
}

fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[tokio::test]
async fn a_profile_is_pinned_by_path_before_header_before_key_before_gateway() {
    let mock = MockServer::start().await.unwrap();
    let rule = |name: &str| json!({"name": name, "rules": [{"match": "*", "to": format!("{name}/mock")}]});
    let names = ["gateway", "of-key", "header", "path"];
    let gateway = with_profiles(&mock, &names, &names.map(rule), |_| {}).await;
    let change = Change::UseProfile { key: None, profile: Some("gateway".into()) };
    gateway.gateway.store().apply(change, "test").await.unwrap();
    let own = NewKey { name: "own".into(), profile: Some("of-key".into()), ..NewKey::default() };
    let own = gateway.another_key(own).await;
    let ask = async |key: &str, header: Option<&str>, path: Option<&str>| {
        let path = path.map(|name| format!("/p/{name}")).unwrap_or_default();
        let request =
            gateway.request("POST", &format!("{path}/v1/chat/completions")).bearer_auth(key).json(&hello("any"));
        let request = match header {
            Some(name) => request.header("x-myelin-profile", name),
            None => request,
        };
        request.send().await.unwrap()
    };
    until(
        "the gateway's profile",
        async || ask(&gateway.key, None, None).await,
        |answer| header(answer, "x-myelin-profile") == "gateway",
    )
    .await;
    for (key, pinned, path, expected) in [
        (&gateway.key, None, None, "gateway"),
        (&own, None, None, "of-key"),
        (&own, Some("header"), None, "header"),
        (&gateway.key, Some("header"), None, "header"),
        (&own, Some("header"), Some("path"), "path"),
        (&gateway.key, None, Some("path"), "path"),
        // The key's own again: a pin holds for one request.
        (&own, None, None, "of-key"),
    ] {
        let answer = ask(key, pinned, path).await;
        let label = format!("{pinned:?} {path:?}");
        assert_eq!((answer.status().as_u16(), header(&answer, "x-myelin-profile")), (200, expected), "{label}");
        assert_eq!(header(&answer, "x-myelin-channel"), expected, "{label}");
        assert_eq!(gateway.last_record().await.profile, expected, "{label}");
    }
    for (pinned, path) in [(Some("nobody"), None), (None, Some("nobody"))] {
        let answer = ask(&own, pinned, path).await;
        assert_eq!(answer.status(), 400);
        assert!(answer.text().await.unwrap().contains("there is no profile"));
    }
    // A key's switch is its own, and a tool's is that of its keys.
    let tool = NewKey { name: "tool".into(), tool: Some("codex".into()), ..NewKey::default() };
    let tool = gateway.another_key(tool).await;
    assert_eq!(header(&ask(&tool, None, None).await, "x-myelin-profile"), "gateway");
    let (status, told) =
        owner(&gateway, "PUT", "/api/v1/active-profile", Some(json!({"profile": "path", "tool": "codex"}))).await;
    assert_eq!(status, 200, "{told}");
    until(
        "the tool's switch",
        async || ask(&tool, None, None).await,
        |answer| header(answer, "x-myelin-profile") == "path",
    )
    .await;
    assert_eq!(header(&ask(&own, None, None).await, "x-myelin-profile"), "of-key");
    assert_eq!(header(&ask(&gateway.key, None, None).await, "x-myelin-profile"), "gateway");
}

#[tokio::test]
async fn the_strategy_of_the_narrowest_place_holds() {
    let mock = MockServer::start().await.unwrap();
    let profiles =
        [json!({"name": "own", "strategy": "lowest-latency", "rules": []}), json!({"name": "none", "rules": []})];
    let gateway = with_profiles(&mock, &["a", "b"], &profiles, |settings| settings.strategy = Strategy::Random).await;
    let all = json!(["a/mock", "b/mock"]);
    for route in [
        json!({"model": "routed", "strategy": "round-robin", "groups": [{"use": all}]}),
        json!({"model": "grouped", "strategy": "round-robin", "groups": [{"strategy": "least-busy", "use": all}]}),
    ] {
        let route: Route = serde_json::from_value(route).unwrap();
        gateway.gateway.store().apply(Change::CreateRoute(route), "test").await.unwrap();
    }
    let key = NewKey { name: "own".into(), strategy: Some(Strategy::Ordered), ..NewKey::default() };
    let key = gateway.another_key(key).await;
    until(
        "the routes",
        async || gateway.post("/v1/chat/completions").json(&hello("grouped")).send().await.unwrap(),
        |answer| answer.status() == 200,
    )
    .await;
    for (model, profile, secret, expected) in [
        ("mock", "none", &gateway.key, "random"),
        ("routed", "none", &gateway.key, "round-robin"),
        ("grouped", "none", &gateway.key, "least-busy"),
        ("grouped", "own", &gateway.key, "lowest-latency"),
        ("mock", "own", &gateway.key, "lowest-latency"),
        ("grouped", "own", &key, "ordered"),
        ("mock", "none", &key, "ordered"),
    ] {
        let path = format!("/p/{profile}/v1/chat/completions");
        let answer = gateway.request("POST", &path).bearer_auth(secret).json(&hello(model)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{model} {profile}");
        let record = gateway.last_record().await;
        assert_eq!(record.strategy.as_deref(), Some(expected), "{model} {profile}");
        assert_eq!(record.plan.len(), 2, "{model} {profile}");
    }
}

#[tokio::test]
async fn routes_and_their_groups_hold_for_the_requests_that_they_say() {
    let mock = MockServer::start().await.unwrap();
    let channels: Vec<Value> = [("a", "eu"), ("b", "us"), ("c", "us")]
        .map(|(name, tag)| {
            let mut channel = mock_channel(&mock, name, "openai", "openai");
            channel["tags"] = json!([tag]);
            channel
        })
        .into();
    let gateway = TestGateway::with_settings(channels, |settings| settings.affinity_seconds = 0).await;
    for route in [
        json!({"model": "by-regex", "regex": "^team-(x|y)$", "groups": [{"use": ["a/mock"]}]}),
        json!({"model": "by-tag", "groups": [{"use": ["tag:us/mock"], "exclude": ["c"]}]}),
        json!({"model": "no-tag", "groups": [{"strategy": "ordered", "use": ["a/mock", "b/mock", "c/mock"], "exclude": ["tag:eu", "b/mo*"]}]}),
        json!({"model": "mock", "if": {"headers": {"x-team": "blue*"}}, "groups": [{"use": ["b/mock"]}]}),
        json!({"model": "grouped", "groups": [
            {"if": {"metadata": {"env": "prod"}}, "use": ["a/mock"]},
            {"if": {"headers": {"x-night": "*"}}, "use": ["b/mock"]},
            {"use": ["c/mock"]}]}),
    ] {
        let route: Route = serde_json::from_value(route).unwrap();
        gateway.gateway.store().apply(Change::CreateRoute(route), "test").await.unwrap();
    }
    let ask = async |model: &str, pair: Option<(&str, &str)>, metadata: Option<&str>| {
        let mut body = hello(model);
        if let Some(env) = metadata {
            body["metadata"] = json!({"env": env});
        }
        let request = gateway.post("/v1/chat/completions").json(&body);
        let request = pair.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send().await.unwrap()
    };
    until("the routes", async || ask("grouped", None, None).await, |answer| answer.status() == 200).await;
    for (model, pair, metadata, channel, route, planned) in [
        ("team-x", None, None, "a", Some("team-x"), 1),
        ("team-y", None, None, "a", Some("team-y"), 1),
        ("by-tag", None, None, "b", Some("by-tag"), 1),
        ("no-tag", None, None, "c", Some("no-tag"), 1),
        ("mock", Some(("x-team", "blue-2")), None, "b", Some("mock"), 1),
        ("grouped", None, Some("prod"), "a", Some("grouped"), 2),
        ("grouped", Some(("x-night", "yes")), Some("test"), "b", Some("grouped"), 2),
        ("grouped", None, None, "c", Some("grouped"), 1),
    ] {
        let answer = ask(model, pair, metadata).await;
        let label = format!("{model} {pair:?} {metadata:?}");
        assert_eq!((answer.status().as_u16(), header(&answer, "x-myelin-channel")), (200, channel), "{label}");
        let record = gateway.last_record().await;
        assert_eq!((record.route.as_deref(), record.plan.len()), (route, planned), "{label}");
    }
    // Where its condition does not hold a route is not there: all that list the model serve it.
    assert_eq!(ask("mock", Some(("x-team", "red")), None).await.status(), 200);
    assert_eq!(gateway.last_record().await.plan.len(), 3);
    assert_eq!(ask("team-z", None, None).await.status(), 404);
}

/// Gateways whose clock stands still until the test moves it.
async fn with_clock(channels: Vec<Value>, change: impl FnOnce(&mut Settings)) -> (TestGateway, TestClock) {
    let clock = TestClock::default();
    clock.advance_ms(1_800_000_000_000);
    (TestGateway::with_clock(channels, clock.clone(), change).await, clock)
}

#[tokio::test]
async fn a_key_that_spends_far_more_than_usual_is_held_back_for_its_time() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = mock_channel(&mock, "main", "openai", "openai");
    channel["models"] = json!([{"name": "mock", "price": {"input": 1_000, "output": 0}}]);
    let (gateway, clock) = with_clock(vec![channel], |settings| {
        settings.policy.key_breaker = Some(KeyBreaker {
            spend_times: Some(5),
            least_spend_cents: Some(10),
            window_seconds: Some(10),
            hold_seconds: Some(60),
            ..KeyBreaker::default()
        });
    })
    .await;
    // A dollar each.
    let body = json!({"model": "mock", "messages": [{"role": "user", "content": "hi [[usage input=1000 output=1]]"}]});
    let ask = async || gateway.ask("/v1/chat/completions", &body).await;
    for window in 0..5 {
        let (status, answer) = ask().await;
        assert_eq!(status, 200, "{window}: {answer}");
        gateway.last_record().await;
        clock.advance_ms(10_000);
    }
    let mut served = 0;
    let held = loop {
        let (status, answer) = ask().await;
        if status != 200 {
            break answer;
        }
        gateway.last_record().await;
        served += 1;
        assert!(served < 20, "nothing holds it back");
    };
    assert!((5..=8).contains(&served), "{served} dollars in one window where one is usual");
    assert!(held.to_string().contains("held back") && held.to_string().contains("usually spends"), "{held}");
    let asked = mock.requests().len();
    assert_eq!(ask().await.0, 429);
    assert_eq!(mock.requests().len(), asked, "nobody is asked for a key that is held back");
    clock.advance_ms(61_000);
    assert_eq!(ask().await.0, 200, "its time is over");
}

#[tokio::test]
async fn a_rule_takes_a_key_out_for_its_minutes_and_one_request_shows_that_it_is_back() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = mock_channel(&mock, "main", "openai", "openai");
    channel["credentials"] = json!([format!("{KEY}-1"), format!("{KEY}-2")]);
    channel["disable"] = json!([{"status": 400, "text": "suspended", "minutes": 30}]);
    let (gateway, clock) = with_clock(vec![channel], |settings| {
        settings.affinity_seconds = 0;
        settings.max_attempts = 1;
    })
    .await;
    let body = json!({"error": {"message": "this account is suspended", "type": "invalid_request_error"}}).to_string();
    let suspended = Verbatim { status: 400, content_type: "application/json".into(), body: body.into_bytes() };
    let suspended = Script { verbatim: Some(suspended), ..Script::default() };
    mock.script(suspended.clone());
    assert_eq!(gateway.ask("/v1/chat/completions", &hello("mock")).await.0, 400);
    let out = gateway.last_record().await.attempts[0].credential;
    let shown = mock.last_request().unwrap().header("authorization").unwrap().replace("Bearer ", "");
    let asked = async |count: usize| {
        let mut at_it = 0;
        for _ in 0..count {
            // Records of one moment are in no order.
            clock.advance_ms(1);
            let (status, _) = gateway.ask("/v1/chat/completions", &hello("mock")).await;
            let credential = gateway.last_record().await.attempts[0].credential;
            at_it += usize::from(credential == out);
            assert!(status == 200 || credential == out, "{status}");
        }
        at_it
    };
    assert_eq!(asked(12).await, 0, "it is out");
    clock.advance_ms(29 * 60_000);
    assert_eq!(asked(12).await, 0, "it is still out");
    clock.advance_ms(2 * 60_000);
    // Still suspended: one request finds that out, and it is out again.
    mock.script(suspended.key(&shown));
    let mut tried = 0;
    for _ in 0..40 {
        tried += asked(1).await;
        if tried > 0 {
            break;
        }
    }
    assert_eq!(tried, 1, "its turn never came");
    assert_eq!(asked(12).await, 0, "out for another half hour");
    clock.advance_ms(31 * 60_000);
    assert!(asked(40).await >= 5, "it takes its turns again");
}

#[tokio::test]
async fn what_is_out_of_rotation_comes_back_over_a_restart_and_by_hand() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = mock_channel(&mock, "main", "openai", "openai");
    channel["credentials"] = json!(["mock-bad-key-0123456789", KEY]);
    let gateway = TestGateway::with_settings(vec![channel], |settings| settings.affinity_seconds = 0).await;
    while gateway.gateway.services().fleet.troubles("main", 0).is_empty() {
        assert_eq!(gateway.ask("/v1/chat/completions", &hello("mock")).await.0, 200);
    }
    let gateway = gateway.restart().await;
    let asked = mock.requests().len();
    for _ in 0..10 {
        assert_eq!(gateway.ask("/v1/chat/completions", &hello("mock")).await.0, 200);
    }
    assert_eq!(mock.requests().len(), asked + 10, "the bad key is not asked again after a restart");
    let (_, health) = owner(&gateway, "GET", "/api/v1/health", None).await;
    assert_eq!(health["channels"][0]["troubles"][0]["credential"], 0, "{health}");
    let (_, done) = owner(&gateway, "POST", "/api/v1/health/reset", Some(json!({"channel": "main"}))).await;
    assert_eq!(done["reset"], 1);
    for _ in 0..20 {
        assert_eq!(gateway.ask("/v1/chat/completions", &hello("mock")).await.0, 200);
    }
    assert_eq!(mock.requests().len(), asked + 10 + 21, "put back by hand it is tried once more");
}
