//! Several deployments for one answer: the first wins, the others are let go, the caller sees one answer.

use std::time::Duration;

use myelin_core::model::{AttemptOutcome, RequestState, Strategy};
use myelin_core::store::{Change, NewKey};
use myelin_testkit::{MockServer, Progress, Script};
use serde_json::json;
use tokio::time::Instant;

use super::{ANSWER, ask, said};
use crate::support::dialog::CLIENTS;
use crate::support::{TestGateway, mock_channel, owner};

async fn two(mock: &MockServer, hedge: Option<u64>, race: Option<u32>) -> TestGateway {
    let first = mock_channel(mock, "slow", "openai", "openai");
    let mut second = mock_channel(mock, "quick", "anthropic", "anthropic");
    second["weight"] = json!(0);
    TestGateway::with_settings(vec![first, second], |settings| {
        settings.policy.hedge_after_ms = hedge;
        settings.policy.race = race;
    })
    .await
}

fn late(ms: u64) -> Script {
    let mut script = Script::default().provider("openai");
    script.delivery.delay = Duration::from_millis(ms);
    script
}

#[tokio::test]
async fn a_hedge_answers_when_the_first_is_late() {
    for client in CLIENTS {
        for stream in [true, false] {
            let mock = MockServer::start().await.unwrap();
            let gateway = two(&mock, Some(150), None).await;
            mock.script(late(5_000));
            let begun = Instant::now();
            let got = ask(&gateway, client, stream).await;
            assert!(begun.elapsed() < Duration::from_secs(3), "{client:?} took {:?}", begun.elapsed());
            assert_eq!((got.status, said(client, stream, &got).trim()), (200, ANSWER), "{client:?} {stream}");
            let record = gateway.last_record().await;
            assert_eq!((record.state, record.channel.as_deref()), (RequestState::Completed, Some("quick")));
            let attempts: Vec<_> = record.attempts.iter().map(|a| (a.channel.as_str(), a.outcome, a.hedged)).collect();
            assert_eq!(
                attempts,
                [("slow", AttemptOutcome::Canceled, false), ("quick", AttemptOutcome::Answered, true)],
                "{client:?} {stream}"
            );
            assert!(record.usage.is_some());
        }
    }
}

#[tokio::test]
async fn a_quick_first_answer_needs_no_hedge() {
    let mock = MockServer::start().await.unwrap();
    let gateway = two(&mock, Some(2_000), None).await;
    let got = ask(&gateway, CLIENTS[0], true).await;
    assert_eq!(got.status, 200);
    assert_eq!(mock.requests().len(), 1);
    assert!(gateway.last_record().await.attempts.iter().all(|attempt| !attempt.hedged));
}

#[tokio::test]
async fn a_hedge_that_fails_leaves_the_first_its_time() {
    let mock = MockServer::start().await.unwrap();
    let gateway = two(&mock, Some(100), None).await;
    mock.script(late(700));
    mock.script(Script::error(400).provider("anthropic"));
    let got = ask(&gateway, CLIENTS[0], true).await;
    assert_eq!((got.status, said(CLIENTS[0], true, &got).trim()), (200, ANSWER), "{}", got.text);
    let record = gateway.last_record().await;
    assert_eq!(record.channel.as_deref(), Some("slow"));
    let outcomes: Vec<_> = record.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::Failed, AttemptOutcome::Answered]);
}

#[tokio::test]
async fn in_a_race_the_first_wins_and_the_other_is_let_go() {
    for stream in [true, false] {
        let mock = MockServer::start().await.unwrap();
        let gateway = two(&mock, None, Some(2)).await;
        mock.script(late(5_000));
        let got = ask(&gateway, CLIENTS[0], stream).await;
        assert_eq!((got.status, said(CLIENTS[0], stream, &got).trim()), (200, ANSWER));
        let record = gateway.last_record().await;
        assert!(record.attempts.len() == 2 && record.attempts.iter().all(|attempt| attempt.raced), "{record:?}");
        let mut left = false;
        for _ in 0..100 {
            let slow = mock.requests().into_iter().find(|request| request.provider == "openai").unwrap();
            left = slow.progress == Progress::ClientLeft;
            if left {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(left, "the one that lost still works for nobody: stream={stream}");
    }
}

/// Each channel has two keys: the other key of who is late would be late too.
#[tokio::test]
async fn rivals_are_different_deployments_and_who_is_out_of_rotation_is_none() {
    for (hedge, race) in [(Some(150), None), (None, Some(2))] {
        let mock = MockServer::start().await.unwrap();
        let channels = ["slow", "quick", "broken"].map(|name| {
            let (row, weight) = match name {
                "slow" => ("openai", 9),
                "quick" => ("anthropic", 0),
                _ => ("gemini", 1),
            };
            let mut channel = mock_channel(&mock, name, row, row);
            channel["weight"] = json!(weight);
            channel["credentials"] = json!([myelin_testkit::KEY, format!("{}-2", myelin_testkit::KEY)]);
            channel
        });
        let gateway = TestGateway::with_settings(channels.into(), |settings| {
            settings.affinity_seconds = 0;
            settings.policy.hedge_after_ms = hedge;
            settings.policy.race = race;
            settings.breaker.failures = 1;
            settings.breaker.cooldown_ms = 600_000;
            settings.breaker.longest_cooldown_ms = 600_000;
            settings.retry_budget_percent = 100;
        })
        .await;
        // The third one is known to be broken.
        let body = json!({"model": "broken/mock", "messages": [{"role": "user", "content": "hi"}]});
        for _ in 0..4 {
            mock.script(Script::error(500).provider("gemini"));
        }
        gateway.ask("/v1/chat/completions", &body).await;
        assert!(!gateway.gateway.services().fleet.troubles("broken", 0).is_empty());
        mock.forget_requests();
        for client in CLIENTS {
            mock.forget_scripts();
            mock.script(late(5_000));
            let got = ask(&gateway, client, true).await;
            assert_eq!((got.status, said(client, true, &got).trim()), (200, ANSWER), "{client:?}");
            let record = gateway.last_record().await;
            let asked: Vec<_> = record.attempts.iter().map(|attempt| attempt.channel.as_str()).collect();
            assert_eq!(asked, ["slow", "quick"], "{client:?} {hedge:?} {race:?}");
        }
        assert!(mock.requests().iter().all(|request| request.provider != "gemini"), "the broken one was left alone");
    }
}

#[tokio::test]
async fn when_all_rivals_fail_the_caller_reads_why() {
    for (hedge, race) in [(Some(10), None), (None, Some(2))] {
        let mock = MockServer::start().await.unwrap();
        let gateway = two(&mock, hedge, race).await;
        for _ in 0..4 {
            mock.script(Script::error(500));
        }
        let got = ask(&gateway, CLIENTS[0], true).await;
        assert_eq!(got.status, 500, "{}", got.text);
        let record = gateway.last_record().await;
        assert_eq!(record.state, RequestState::Failed);
        assert!(record.attempts.len() >= 2, "{record:?}");
    }
}

#[tokio::test]
async fn a_caller_that_leaves_a_race_leaves_one_record() {
    let mock = MockServer::start().await.unwrap();
    let gateway = std::sync::Arc::new(two(&mock, None, Some(2)).await);
    for provider in ["openai", "anthropic"] {
        let mut script = Script::default().provider(provider);
        script.delivery.delay = Duration::from_secs(5);
        mock.script(script);
    }
    let asking = gateway.clone();
    let caller = tokio::spawn(async move { ask(&asking, CLIENTS[0], true).await.status });
    tokio::time::sleep(Duration::from_millis(300)).await;
    caller.abort();
    let record = gateway.last_record().await;
    assert_eq!((record.state, record.attempts.len()), (RequestState::Canceled, 2), "{record:?}");
    assert_eq!(gateway.records(1).await.len(), 1);
}

#[tokio::test]
async fn a_mirror_gets_a_copy_that_nobody_waits_for() {
    let mock = MockServer::start().await.unwrap();
    let first = mock_channel(&mock, "main", "openai", "openai");
    let mut second = mock_channel(&mock, "shadow", "anthropic", "anthropic");
    second["models"] = json!(["other"]);
    let gateway = TestGateway::with_settings(vec![first, second], |settings| {
        settings.policy.mirror = Some(serde_json::from_value(json!({"to": "shadow/other"})).unwrap());
    })
    .await;
    let mut script = Script::default().provider("anthropic");
    script.delivery.delay = Duration::from_millis(600);
    mock.script(script);
    let begun = Instant::now();
    let got = ask(&gateway, CLIENTS[0], true).await;
    assert!(begun.elapsed() < Duration::from_millis(550), "the caller waited for the mirror");
    assert_eq!((got.status, said(CLIENTS[0], true, &got).trim()), (200, ANSWER));
    let records = gateway.records(2).await;
    let (copies, own): (Vec<_>, Vec<_>) =
        records.iter().partition(|record| record.tags.iter().any(|tag| tag == "mirror"));
    assert_eq!((copies.len(), own.len()), (1, 1), "{records:?}");
    assert_eq!((copies[0].channel.as_deref(), copies[0].state), (Some("shadow"), RequestState::Completed));
    assert_eq!(copies[0].rule.as_deref(), Some(format!("mirror of {}", own[0].id).as_str()));
    assert!(copies[0].key.is_none() && copies[0].usage.is_some());
    assert_eq!(own[0].channel.as_deref(), Some("main"));
}

#[tokio::test]
async fn a_mirror_that_fails_is_nobody_s_trouble() {
    let mock = MockServer::start().await.unwrap();
    let first = mock_channel(&mock, "main", "openai", "openai");
    let second = mock_channel(&mock, "shadow", "anthropic", "anthropic");
    let gateway = TestGateway::with_settings(vec![first, second], |settings| {
        settings.policy.mirror = Some(serde_json::from_value(json!({"to": "shadow/mock"})).unwrap());
        settings.policy.retry.backoff_ms = Some(10);
    })
    .await;
    for _ in 0..4 {
        mock.script(Script::error(500).provider("anthropic"));
    }
    let body = json!({"model": "main/mock", "messages": [{"role": "user", "content": "hi"}]});
    let (status, _) = gateway.ask("/v1/chat/completions", &body).await;
    assert_eq!(status, 200);
    let states: Vec<_> = gateway.records(2).await.iter().map(|record| record.state).collect();
    assert!(states.contains(&RequestState::Completed) && states.contains(&RequestState::Failed), "{states:?}");
}

#[tokio::test]
async fn several_answers_are_several_calls_where_the_provider_gives_one() {
    let mock = MockServer::start().await.unwrap();
    let channels = vec![
        mock_channel(&mock, "claude", "anthropic", "anthropic"),
        mock_channel(&mock, "openai", "openai", "openai"),
    ];
    let gateway = TestGateway::start(channels).await;
    for stream in [false, true] {
        mock.forget_requests();
        for text in ["first", "second", "third"] {
            let mut script = Script::text(text).provider("anthropic");
            script.forced.usage = Some(myelin_testkit::model::Usage { input: 10, output: 5, ..Default::default() });
            mock.script(script);
        }
        let body = json!({"model": "claude/mock", "n": 3, "stream": stream, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": "hi"}]});
        let mut body = body;
        if !stream {
            body.as_object_mut().unwrap().remove("stream_options");
        }
        let (status, text) = gateway.ask_text("/v1/chat/completions", &body).await;
        assert_eq!((status, mock.requests().len()), (200, 3), "{text}");
        for (index, said) in ["first", "second", "third"].iter().enumerate() {
            assert!(text.contains(&format!("\"index\":{index}")) && text.matches(said).count() == 1, "{text}");
        }
        assert!(text.contains("\"prompt_tokens\":30") && text.contains("\"completion_tokens\":15"), "{text}");
        let record = gateway.last_record().await;
        let usage = record.usage.unwrap();
        assert_eq!((usage.input, usage.output, record.attempts.len()), (Some(30), Some(15), 3));
        assert!(record.attempts.iter().all(|attempt| attempt.outcome == AttemptOutcome::Answered));
    }
    mock.forget_requests();
    let body = json!({"model": "openai/mock", "n": 2, "messages": [{"role": "user", "content": "hi"}]});
    let (status, _) = gateway.ask("/v1/chat/completions", &body).await;
    assert_eq!((status, mock.requests().len()), (200, 1), "who can give several is asked once");
}

#[tokio::test]
async fn several_answers_fail_as_one() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "claude", "anthropic", "anthropic")]).await;
    mock.script(Script::error(400));
    let body = json!({"model": "mock", "n": 3, "messages": [{"role": "user", "content": "hi"}]});
    let (status, answer) = gateway.ask("/v1/chat/completions", &body).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(gateway.last_record().await.state, RequestState::Failed);
}

#[tokio::test]
async fn a_large_batch_of_embeddings_is_spread_over_deployments_and_joined_in_order() {
    let mock = MockServer::start().await.unwrap();
    let channel = |name: &str| {
        let mut channel = mock_channel(&mock, name, "cohere", "cohere");
        channel["base_urls"] = json!([mock.base_url("cohere") + "/compatibility/v1"]);
        channel["models"] = json!([{"name": "mock", "upstream": "embed-v4.0"}]);
        channel
    };
    let mut second = channel("two");
    second["weight"] = json!(0);
    let gateway = TestGateway::start(vec![channel("one"), second]).await;
    let texts: Vec<String> = (0..250).map(|number| format!("t{number}")).collect();
    let ask = async || {
        let (status, answer) = gateway.ask("/v1/embeddings", &json!({"model": "mock", "input": texts})).await;
        assert_eq!(status, 200, "{answer}");
        answer["data"].clone()
    };
    let whole = ask().await;
    assert_eq!(whole.as_array().unwrap().len(), 250);
    let channels = async || -> Vec<String> {
        gateway.last_record().await.attempts.iter().map(|attempt| attempt.channel.clone()).collect()
    };
    assert_eq!(channels().await, ["one", "two", "one"]);
    assert_eq!(gateway.last_record().await.usage.unwrap().input, Some(250));
    // The second piece fails where it goes first, and goes to the other.
    mock.script(Script::default());
    mock.script(Script::error(500));
    assert_eq!(ask().await, whole);
    assert_eq!(channels().await, ["one", "two", "one"], "the last two pieces are one attempt, at the same deployment");
    assert_eq!(gateway.last_record().await.attempts[1].outcome, AttemptOutcome::Failed);
    assert_eq!(gateway.last_record().await.usage.unwrap().input, Some(250));
}

/// Two groups: `a` with two keys, and `paid` behind it.
#[tokio::test]
async fn a_race_and_a_hedge_leave_a_cold_standby_cold() {
    for (hedge, race) in [(None, Some(2)), (Some(100), None)] {
        let mock = MockServer::start().await.unwrap();
        let mut first = mock_channel(&mock, "a", "openai", "openai");
        first["credentials"] = json!([myelin_testkit::KEY, format!("{}-2", myelin_testkit::KEY)]);
        let standby = mock_channel(&mock, "paid", "anthropic", "anthropic");
        let gateway = TestGateway::with_settings(vec![first, standby], |settings| {
            settings.affinity_seconds = 0;
            settings.policy.hedge_after_ms = hedge;
            settings.policy.race = race;
        })
        .await;
        let route = json!({"model": "smart", "groups": [{"use": ["a/mock"]}, {"use": ["paid/mock"]}]});
        let route = serde_json::from_value(route).unwrap();
        gateway.gateway.store().apply(Change::CreateRoute(route), "test").await.unwrap();
        let body = json!({"model": "smart", "messages": [{"role": "user", "content": "hi"}]});
        for _ in 0..8 {
            if hedge.is_some() {
                mock.script(late(600));
            }
            let (status, answer) = gateway.ask("/v1/chat/completions", &body).await;
            assert_eq!(status, 200, "{answer}");
            assert_eq!(gateway.last_record().await.attempts.len(), 2, "both keys of the first group");
        }
        assert!(mock.requests().iter().all(|request| request.provider == "openai"), "{hedge:?} {race:?}");
    }
}

/// `a` failed and is well again. Neither a request that its key's limit refuses nor a race keeps the others from finding that out.
#[tokio::test]
async fn who_recovered_is_asked_again_at_once_whatever_was_refused_and_whoever_races() {
    for race in [None, Some(2)] {
        let mock = MockServer::start().await.unwrap();
        let channels = [("a", "openai"), ("b", "anthropic"), ("c", "anthropic")];
        let channels = channels.map(|(name, row)| mock_channel(&mock, name, row, row));
        let gateway = TestGateway::with_settings(channels.into(), |settings| {
            settings.affinity_seconds = 0;
            settings.strategy = Strategy::Ordered;
            settings.policy.race = race;
            settings.breaker.failures = 1;
            settings.breaker.cooldown_ms = 300;
        })
        .await;
        let poor = gateway.another_key(NewKey { name: "poor".into(), ..NewKey::default() }).await;
        let limit = json!({"on": "key:poor", "requests": 1, "per": "day"});
        let (status, made) = owner(&gateway, "POST", "/api/v1/limits", Some(limit)).await;
        assert_eq!(status, 201, "{made}");
        let body = json!({"model": "mock", "messages": [{"role": "user", "content": "hi"}]});
        let poor = async || {
            let asked = gateway.request("POST", "/v1/chat/completions").bearer_auth(&poor).json(&body).send();
            asked.await.unwrap().status().as_u16()
        };
        assert_eq!(poor().await, 200);
        mock.script(Script::error(503).provider("openai"));
        // In a race others may have answered before it failed.
        let broken = async || {
            let (_, health) = owner(&gateway, "GET", "/api/v1/health", None).await;
            health.to_string().contains("\"open\"")
        };
        for _ in 0..50 {
            assert_eq!(gateway.ask("/v1/chat/completions", &body).await.0, 200);
            if broken().await {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(poor().await, 429);
        assert_eq!(gateway.ask("/v1/chat/completions", &body).await.0, 200);
        let attempts = gateway.last_record().await.attempts;
        assert!(attempts.iter().any(|attempt| attempt.channel == "a"), "race={race:?}: {attempts:?}");
    }
}
