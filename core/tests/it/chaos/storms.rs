//! Many callers on a bad day: second tries do not make it worse.

use std::sync::Arc;

use myelin_core::clock::TestClock;
use myelin_testkit::{MockServer, Script};
use serde_json::json;

use crate::support::{TestGateway, mock_channel};

/// A clock that stands still: on a busy machine a crowd takes longer than what failed stays out of rotation.
fn still() -> TestClock {
    let clock = TestClock::default();
    clock.advance_ms(1_800_000_000_000);
    clock
}

#[tokio::test]
async fn a_storm_of_failures_is_not_multiplied() {
    const CALLERS: usize = 120;
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::with_clock(vec![mock_channel(&mock, "only", "openai", "openai")], still(), |settings| {
        settings.policy.retry.backoff_ms = Some(10);
        settings.policy.retry.same = Some(4);
        settings.retry_budget_percent = 20;
    })
    .await;
    for _ in 0..CALLERS * 5 {
        mock.script(Script::error(503));
    }
    let gateway = Arc::new(gateway);
    let body = json!({"model": "mock", "messages": [{"role": "user", "content": "hi"}]});
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (gateway, body) = (gateway.clone(), body.clone());
            tokio::spawn(async move { gateway.ask("/v1/chat/completions", &body).await.0 })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), 503);
    }
    let asked = mock.requests().len();
    // Ten are free, a fifth of the callers earn one each.
    assert!(asked <= CALLERS + 10 + CALLERS / 5, "{CALLERS} callers made {asked} calls");
}

/// Everybody fails at once, whoever is asked: callers do not go through all of them one by one.
#[tokio::test]
async fn a_storm_over_several_deployments_is_not_multiplied_either() {
    const CALLERS: usize = 120;
    for (status, hint) in [(500, None), (503, None), (529, None), (429, None), (429, Some("1")), (429, Some("60"))] {
        let mock = MockServer::start().await.unwrap();
        let channels = ["a", "b", "c", "d"].map(|name| {
            let mut channel = mock_channel(&mock, name, "openai", "openai");
            channel["credentials"] = json!([myelin_testkit::KEY, format!("{}-{name}", myelin_testkit::KEY)]);
            channel
        });
        let gateway = TestGateway::with_clock(channels.into(), still(), |settings| {
            settings.affinity_seconds = 0;
            settings.policy.retry.backoff_ms = Some(10);
            settings.policy.retry.same = Some(4);
            settings.retry_budget_percent = 20;
        })
        .await;
        for _ in 0..CALLERS * 10 {
            let script = Script::error(status);
            mock.script(hint.into_iter().fold(script, |script, hint| script.header("retry-after", hint)));
        }
        let gateway = Arc::new(gateway);
        let ask = async |wave: usize| {
            let callers: Vec<_> = (0..CALLERS)
                .map(|caller| {
                    let gateway = gateway.clone();
                    let text = format!("hi {wave} {caller}");
                    let body = json!({"model": "mock", "messages": [{"role": "user", "content": text}]});
                    tokio::spawn(async move { gateway.ask("/v1/chat/completions", &body).await })
                })
                .collect();
            for caller in callers {
                let (told, answer) = caller.await.unwrap();
                assert_eq!(told, status, "{answer}");
            }
        };
        ask(0).await;
        let first = mock.requests().len();
        // Eight credentials at four deployments: one that fails takes three to be known, a key that is limited one. Whoever was on the way meanwhile asks once more.
        let learning = 4 * 3 + 8 + CALLERS / 4;
        let most = CALLERS + learning + 10 + CALLERS / 5 + 10;
        assert!(first <= most, "{status} {hint:?}: {CALLERS} callers made {first} calls, at most {most}");
        mock.forget_requests();
        ask(1).await;
        let second = mock.requests().len();
        // Now that it is known, every caller asks once; the budget allows a fifth of them more.
        let most = CALLERS + CALLERS / 5 + 10 + 8;
        assert!((CALLERS..=most).contains(&second), "{status} {hint:?}: {CALLERS} callers made {second} calls then");
    }
}
