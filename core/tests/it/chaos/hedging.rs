//! Several deployments for one answer: the first wins, the others are let go, the caller sees one answer.

use std::time::{Duration, Instant};

use myelin_core::model::{AttemptOutcome, RequestState};
use myelin_testkit::{MockServer, Progress, Script};
use serde_json::json;

use super::{ANSWER, ask, said};
use crate::support::dialog::CLIENTS;
use crate::support::{TestGateway, mock_channel};

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
        let _ = left;
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
