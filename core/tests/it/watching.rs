//! What the owner hears of and what the gateway looks at by itself: events, keys that are held back, probes, several addresses.

use std::time::Duration;

use myelin_core::events::Event;
use myelin_core::model::{Channel, ChannelState, KeyBreaker, Limit, Measure, Profile, RequestState, Strategy, Window};
use myelin_core::store::Change;
use myelin_testkit::{MockServer, Script, Verbatim};
use serde_json::{Value, json};

use crate::support::{TestGateway, mock_channel, owner};

fn hello(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}]})
}

/// Waits for an event of that kind about that subject.
async fn heard(gateway: &TestGateway, kind: &str, subject: &str) -> Event {
    let events = &gateway.gateway.services().events;
    let mut position = 0;
    let found = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let page = events.after(position, 500);
            position = page.next;
            if let Some(found) = page.events.iter().find(|event| event.kind == kind && event.subject == subject) {
                return found.as_ref().clone();
            }
            events.wait(position).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("no {kind} about {subject}: {:?}", events.after(0, 500).events))
}

#[tokio::test]
async fn switches_and_channels_are_told_over_the_event_stream() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "main", "openai", "openai")]).await;
    let profile = Profile { name: "cheap".into(), ..Profile::default() };
    gateway.gateway.store().apply(Change::CreateProfile(profile), "test").await.unwrap();
    heard(&gateway, "profile-changed", "cheap").await;
    // A follower that waits is woken by the switch, over the API.
    let (_, page) = owner(&gateway, "GET", "/api/v1/events?after=0", None).await;
    let next = page["next"].as_u64().unwrap();
    let path = format!("/api/v1/events?after={next}&wait=20");
    let (waited, switched) = tokio::join!(
        owner(&gateway, "GET", &path, None),
        owner(&gateway, "PUT", "/api/v1/active-profile", Some(json!({"profile": "cheap"})))
    );
    assert_eq!(switched.0, 200, "{}", switched.1);
    let event = &waited.1["events"][0];
    assert_eq!((&event["kind"], &event["data"]["to"]), (&json!("profile-switched"), &json!("cheap")), "{event}");
    let state = ChannelState::Failing { at: 1, why: "no such key".into() };
    let tested = Change::ChannelTested { name: "main".into(), state };
    gateway.gateway.store().apply(tested, "test").await.unwrap();
    let event = heard(&gateway, "channel-state", "main").await;
    assert!(event.message.contains("no such key"), "{}", event.message);
}

#[tokio::test]
async fn a_breaker_tells_when_it_opens_and_when_it_closes() {
    let mock = MockServer::start().await.unwrap();
    let channels = vec![mock_channel(&mock, "main", "openai", "openai")];
    let gateway = TestGateway::with_settings(channels, |settings| settings.max_attempts = 1).await;
    mock.script(Script::error(401).provider("openai"));
    assert_eq!(gateway.ask("/v1/chat/completions", &hello("mock")).await.0, 502);
    let event = heard(&gateway, "breaker-open", "main").await;
    assert_eq!((&event.data["credential"], &event.data["failure"]), (&json!(0), &json!("bad-key")));
    assert!(event.message.contains("credential 1") && event.message.contains("tried again in"), "{}", event.message);
    // The only one is asked all the same, and answers.
    assert_eq!(gateway.ask("/v1/chat/completions", &hello("mock")).await.0, 200);
    heard(&gateway, "breaker-closed", "main").await;
}

#[tokio::test]
async fn a_key_with_many_wrong_requests_is_held_back_until_it_is_released_and_over_a_restart() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::with_settings(vec![mock_channel(&mock, "main", "openai", "openai")], |settings| {
        settings.max_attempts = 1;
        settings.policy.key_breaker = Some(KeyBreaker {
            error_percent: Some(60),
            least_requests: Some(6),
            hold_seconds: Some(0),
            ..KeyBreaker::default()
        });
    })
    .await;
    let other = gateway.another_key(myelin_core::store::NewKey { name: "other".into(), ..Default::default() }).await;
    // A provider's bad day is nobody's fault.
    for _ in 0..6 {
        mock.script(Script::error(500).provider("openai"));
    }
    for _ in 0..6 {
        assert!(gateway.ask("/v1/chat/completions", &hello("mock")).await.0 >= 500);
    }
    owner(&gateway, "POST", "/api/v1/health/reset", Some(json!({}))).await;
    assert_eq!(gateway.ask("/v1/chat/completions", &hello("mock")).await.0, 200);
    // A caller that asks for what nobody has, again and again.
    let mut refused = 0;
    for _ in 0..30 {
        let (status, answer) = gateway.ask("/v1/chat/completions", &hello("no-such-model")).await;
        if status == 403 {
            refused += 1;
            assert!(answer["error"]["message"].as_str().unwrap().contains("held back"), "{answer}");
        }
    }
    assert!((15..30).contains(&refused), "{refused} of 30 were held back");
    let event = heard(&gateway, "key-held", "test").await;
    assert!(event.message.contains("were wrong"), "{}", event.message);
    let asked = gateway.request("POST", "/v1/chat/completions").bearer_auth(&other).json(&hello("mock"));
    assert_eq!(asked.send().await.unwrap().status(), 200, "other keys go on");
    let (_, health) = owner(&gateway, "GET", "/api/v1/health", None).await;
    assert_eq!(health["keys"].as_array().map(Vec::len), Some(1), "{health}");
    let gateway = gateway.restart().await;
    assert_eq!(gateway.ask("/v1/chat/completions", &hello("mock")).await.0, 403, "a restart forgives nothing");
    let (status, done) = owner(&gateway, "POST", "/api/v1/health/reset", Some(json!({"key": "test"}))).await;
    assert_eq!((status, &done["reset"]), (200, &json!(1)));
    assert_eq!(gateway.ask("/v1/chat/completions", &hello("mock")).await.0, 200);
    heard(&gateway, "key-released", "test").await;
    let (status, _) = owner(&gateway, "POST", "/api/v1/health/reset", Some(json!({"key": "nobody"}))).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_channel_is_tested_and_its_models_are_listed_by_an_address_that_can_be_reached() {
    let mock = MockServer::start().await.unwrap();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut channel = mock_channel(&mock, "main", "openai", "openai");
    channel["base_urls"] = json!([format!("http://{dead}/v1"), mock.base_url("openai")]);
    let gateway = TestGateway::start(vec![channel]).await;
    let (status, test) = owner(&gateway, "POST", "/api/v1/channels/main/test", Some(json!({}))).await;
    assert_eq!((status, &test["passed"]), (200, &json!(true)), "{test}");
    let (status, listed) = owner(&gateway, "POST", "/api/v1/channels/main/models", Some(json!({}))).await;
    assert_eq!(status, 200, "{listed}");
    assert!(listed["models"].as_array().is_some_and(|models| !models.is_empty()), "{listed}");
}

/// The channel as it stands, with another field.
async fn change(gateway: &TestGateway, name: &str, edit: impl FnOnce(&mut Channel)) {
    let mut channel = gateway.gateway.store().entities().channel(name).unwrap().clone();
    edit(&mut channel);
    gateway.gateway.store().apply(Change::UpdateChannel(Box::new(channel)), "test").await.unwrap();
}

#[tokio::test]
async fn nothing_is_asked_unless_a_probe_is_wanted_and_then_it_finds_a_bad_key_before_any_caller() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "main", "openai", "openai")]).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(mock.requests().is_empty(), "{:?}", mock.requests().len());
    mock.script(Script::error(401).provider("openai"));
    change(&gateway, "main", |channel| channel.probe = Some(serde_json::from_value(json!({})).unwrap())).await;
    let event = heard(&gateway, "breaker-open", "main").await;
    assert_eq!(event.data["failure"], "bad-key");
    heard(&gateway, "channel-state", "main").await;
    assert!(mock.requests().iter().all(|request| request.path.ends_with("/models")), "nothing that is billed");
}

#[tokio::test]
async fn a_probe_that_talks_brings_a_failed_model_back_without_any_caller() {
    let mock = MockServer::start().await.unwrap();
    let channels = vec![mock_channel(&mock, "main", "openai", "openai")];
    let gateway = TestGateway::with_settings(channels, |settings| {
        settings.max_attempts = 1;
        settings.breaker.cooldown_ms = 500;
        settings.breaker.failures = 1;
    })
    .await;
    mock.script(Script::error(500).provider("openai"));
    assert!(gateway.ask("/v1/chat/completions", &hello("mock")).await.0 >= 500);
    heard(&gateway, "breaker-open", "main").await;
    let asked = mock.requests().len();
    change(&gateway, "main", |channel| {
        channel.probe = Some(serde_json::from_value(json!({"how": "talk", "model": "mock"})).unwrap());
    })
    .await;
    heard(&gateway, "breaker-closed", "main").await;
    assert!(mock.requests().len() > asked);
    // What it cost stands in the ledger: under the channel, and under nobody.
    let records = gateway.records(2).await;
    let probes: Vec<_> = records.iter().filter(|record| record.tags.iter().any(|tag| tag == "probe")).collect();
    let probe = probes.first().expect("a record of the probe");
    assert_eq!((probe.channel.as_deref(), probe.state), (Some("main"), RequestState::Completed));
    assert!(
        probe.key.is_none()
            && probe.tool.is_none()
            && probe.owners.is_empty()
            && probe.rule.as_deref() == Some("probe")
    );
    assert!(probe.usage.as_ref().and_then(|usage| usage.output).is_some_and(|output| output > 0), "{probe:?}");
    let rows = gateway.gateway.services().fleet.troubles("main", u64::MAX - 1);
    assert!(rows.iter().all(|row| row.view.as_ref().is_none_or(|view| view.state == "recovering")), "{rows:?}");
}

#[tokio::test]
async fn limits_of_channels_are_the_rates_that_strategies_share_by() {
    let mock = MockServer::start().await.unwrap();
    let channels = ["a", "b"].map(|name| mock_channel(&mock, name, "openai", "openai")).to_vec();
    for (strategy, measure) in
        [(Strategy::LowestTpmRpm, Measure::Requests), (Strategy::WeightedShuffleTpm, Measure::Tokens)]
    {
        let gateway = TestGateway::with_settings(channels.clone(), |settings| settings.strategy = strategy).await;
        for (name, amount) in [("a", 900_000), ("b", 100_000)] {
            let limit = json!({"name": name, "on": format!("channel:{name}"), "measure": measure, "amount": amount,
                "per": Window::Rolling(60_000)});
            let limit: Limit = serde_json::from_value(limit).unwrap();
            gateway.gateway.store().apply(Change::CreateLimit(Box::new(limit)), "test").await.unwrap();
        }
        let mut at_a = 0;
        let mut ready = false;
        for number in 0..60 {
            let body = json!({"model": "mock", "messages": [{"role": "user", "content": format!("hello {number}")}]});
            let answer = gateway.post("/v1/chat/completions").json(&body).send().await.unwrap();
            at_a += usize::from(answer.headers()["x-myelin-channel"] == "a");
            ready |= answer.status() == 200;
        }
        assert!(ready && (44..=60).contains(&at_a), "{strategy:?}: {at_a} of 60 went to the one with nine tenths");
    }
}

#[tokio::test]
async fn a_rule_by_status_and_words_takes_a_credential_out_for_its_minutes_and_the_others_go_on() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = mock_channel(&mock, "main", "openai", "openai");
    channel["credentials"] = json!([myelin_testkit::KEY, myelin_testkit::KEY.to_owned() + "2"]);
    channel["disable"] = json!([{"status": 400, "text": "Organization SUSPENDED", "minutes": 30}]);
    let gateway = TestGateway::with_settings(vec![channel], |settings| settings.max_attempts = 1).await;
    let body =
        json!({"error": {"message": "your organization suspended this account", "type": "invalid_request_error"}});
    let verbatim =
        Verbatim { status: 400, content_type: "application/json".into(), body: body.to_string().into_bytes() };
    mock.script(Script { verbatim: Some(verbatim), ..Script::default() }.provider("openai"));
    assert_eq!(gateway.ask("/v1/chat/completions", &hello("mock")).await.0, 400);
    let event = heard(&gateway, "breaker-open", "main").await;
    assert_eq!(event.data["failure"], "rule");
    let minutes = (event.data["until"].as_u64().unwrap() - event.at) / 60_000;
    assert!((29..=30).contains(&minutes), "{minutes}");
    let out = event.data["credential"].as_u64().unwrap();
    for _ in 0..6 {
        gateway.ask("/v1/chat/completions", &hello("mock")).await;
        assert_ne!(u64::from(gateway.last_record().await.attempts[0].credential), out);
    }
}
