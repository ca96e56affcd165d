//! Five keys of three vendors behind one name, in ordered groups: whatever goes wrong at one of them, the caller gets the answer, whole and in its own format.

use std::sync::Arc;
use std::time::Duration;

use myelin_core::model::{AttemptOutcome, RequestState, Route};
use myelin_core::store::Change;
use myelin_testkit::{Delivery, KEY, MockServer, Script};
use serde_json::{Value, json};

use super::faults::Fault;
use super::{all_is_forgotten, ask_of, flaws, outcomes};
use crate::support::TestGateway;
use crate::support::dialog::{CLIENTS, Client};
use crate::support::mock_channel;

/// What the person who owns the keys calls all of it.
const NAME: &str = "smart";

struct Vendors {
    mocks: [MockServer; 3],
    gateway: TestGateway,
}

/// First group: `openai` with two keys before `anthropic` with one; cold standby: `gemini` with two.
async fn vendors(dead: bool, timeouts: Value) -> Vendors {
    let mut mocks = Vec::new();
    for _ in 0..3 {
        mocks.push(MockServer::start().await.unwrap());
    }
    let mocks: [MockServer; 3] = mocks.try_into().unwrap();
    let mut channels = Vec::new();
    for (mock, vendor) in mocks.iter().zip(["openai", "anthropic", "gemini"]) {
        let mut channel = mock_channel(mock, vendor, vendor, vendor);
        channel["timeouts"] = timeouts.clone();
        let first = if dead && vendor == "openai" { "mock-bad-key-0123456789".into() } else { format!("{KEY}-1") };
        channel["credentials"] = match vendor {
            "anthropic" => json!([first]),
            _ => json!([first, format!("{KEY}-2")]),
        };
        channels.push(channel);
    }
    let gateway = TestGateway::with_settings(channels, |settings| {
        settings.affinity_seconds = 0;
        settings.policy.retry.backoff_ms = Some(10);
    })
    .await;
    let route: Route = serde_json::from_value(json!({"model": NAME, "groups": [
        {"strategy": "ordered", "use": ["openai/mock", "anthropic/mock"]}, {"use": ["gemini/mock"]}]}))
    .unwrap();
    gateway.gateway.store().apply(Change::CreateRoute(route), "test").await.unwrap();
    while ask_of(&gateway, NAME, Client::Chat, false).await.status != 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Vendors { mocks, gateway }
}

/// What goes wrong, and who is asked because of it, in order.
struct Trouble {
    label: &'static str,
    /// Scripts of a vendor, by its position.
    at: Vec<(usize, Script)>,
    asked: &'static [&'static str],
}

fn troubles(stream: bool) -> Vec<Trouble> {
    let limited = |name: &str, value: &str| Script::error(429).header(name, value);
    let many = |at: usize, script: &Script| (0..6).map(|_| (at, script.clone())).collect::<Vec<_>>();
    let delivered = |delivery: Delivery| Script::delivered(delivery);
    // Whole answers stall and break before their head here; `faults` has the rest.
    let stalled = if stream {
        delivered(Delivery { stall_after: Some(0), ..Delivery::default() })
    } else {
        delivered(Delivery { delay: Duration::from_secs(20), ..Delivery::default() })
    };
    let cut = delivered(Delivery { abort_after: Some(usize::from(stream)), ..Delivery::default() });
    let cut = if stream { cut } else { Script::error(502) };
    let elsewhere: &[&str] = &["openai", "anthropic"];
    let mut all = vec![
        Trouble { label: "one key is limited", at: vec![(0, Script::error(429))], asked: &["openai", "openai"] },
        Trouble { label: "for 30 s", at: vec![(0, limited("retry-after", "30"))], asked: &["openai", "openai"] },
        Trouble {
            label: "by milliseconds",
            at: vec![(0, limited("retry-after-ms", "20000"))],
            asked: &["openai", "openai"],
        },
        Trouble {
            label: "up to a date",
            at: vec![(0, limited("retry-after", &Fault::in_a_while()))],
            asked: &["openai", "openai"],
        },
        Trouble {
            label: "both keys are limited",
            at: many(0, &Script::error(429)),
            asked: &["openai", "openai", "anthropic"],
        },
        // Every key would meet the same: the other vendor comes before the second key.
        Trouble { label: "the vendor fails", at: many(0, &Script::error(500)), asked: elsewhere },
        Trouble { label: "the vendor is overloaded", at: many(0, &Script::error(503)), asked: elsewhere },
        Trouble { label: "the vendor stalls", at: many(0, &stalled), asked: elsewhere },
        Trouble { label: "the connection is cut", at: many(0, &cut), asked: elsewhere },
    ];
    let mut group = many(0, &Script::error(503));
    group.extend(many(1, &limited("retry-after", "30")));
    all.push(Trouble { label: "a whole group", at: group, asked: &["openai", "anthropic", "gemini"] });
    all
}

#[tokio::test]
async fn whatever_happens_to_one_vendor_every_caller_gets_the_answer_in_its_own_format() {
    let mut wrong = Vec::new();
    for stream in [true, false] {
        let mut checks = tokio::task::JoinSet::new();
        for trouble in troubles(stream) {
            checks.spawn(async move {
                let stalls = trouble.label.contains("stalls");
                let wait = if stalls { 400 } else { 15_000 };
                let vendors = vendors(false, json!({"first_byte_ms": wait, "first_token_ms": wait})).await;
                let mut wrong = Vec::new();
                for client in CLIENTS {
                    all_is_forgotten(&vendors.gateway);
                    for (at, script) in &trouble.at {
                        vendors.mocks[*at].script(script.clone());
                    }
                    let got = ask_of(&vendors.gateway, NAME, client, stream).await;
                    let record = vendors.gateway.last_record().await;
                    let label = format!("{}, {client:?}, stream={stream}", trouble.label);
                    if let Some(flaws) = flaws(client, stream, &got) {
                        wrong.push(format!("{label}: {flaws}"));
                    }
                    let asked: Vec<_> = record.attempts.iter().map(|attempt| attempt.channel.as_str()).collect();
                    let keys: std::collections::HashSet<_> =
                        record.attempts.iter().map(|attempt| (&attempt.channel, attempt.credential)).collect();
                    if asked != trouble.asked || keys.len() != asked.len() || record.state != RequestState::Completed {
                        wrong.push(format!("{label}: {:?}", outcomes(&record)));
                    }
                    // What the record says before it was sent is what was done, as far as it went.
                    let planned: Vec<_> = record.plan.iter().map(|step| (step.channel.as_str(), step.group)).collect();
                    if planned != [("openai", 0), ("anthropic", 0), ("gemini", 1)] {
                        wrong.push(format!("{label}: planned {planned:?}"));
                    }
                    if record
                        .attempts
                        .iter()
                        .any(|attempt| attempt.outcome != AttemptOutcome::Answered && attempt.error.is_none())
                    {
                        wrong.push(format!("{label}: an attempt does not say what went wrong"));
                    }
                    vendors.mocks.iter().for_each(MockServer::forget_scripts);
                }
                wrong
            });
        }
        while let Some(done) = checks.join_next().await {
            wrong.extend(done.unwrap());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_dead_key_costs_one_try_once() {
    let vendors = vendors(true, json!({})).await;
    let mut met = 0;
    for round in 0..12 {
        for client in CLIENTS {
            let stream = round % 2 == 0;
            let got = ask_of(&vendors.gateway, NAME, client, stream).await;
            assert_eq!(flaws(client, stream, &got), None, "{client:?}");
            let record = vendors.gateway.last_record().await;
            assert_eq!(record.channel.as_deref(), Some("openai"), "the other key of the same vendor answers");
            met += record.attempts.len() - 1;
        }
    }
    // It may have been met while the route was waited for.
    assert!(met <= 1, "the dead key was tried {met} times");
    let troubles = vendors.gateway.gateway.services().fleet.troubles("openai", 0);
    assert!(matches!(&troubles[..], [only] if only.credential == Some(0) && only.upstream.is_none()), "{troubles:?}");
}

/// All of it at once, under load: a dead key, a limited one, stalls, cuts and an overloaded vendor; nobody notices more than a moment.
#[tokio::test]
async fn a_very_bad_day_is_nobody_s_but_the_owner_s() {
    const CALLERS: usize = 160;
    let vendors = vendors(true, json!({"first_byte_ms": 1_500, "first_token_ms": 1_500, "idle_ms": 10_000})).await;
    let stalled = || Script::delivered(Delivery { stall_after: Some(0), ..Delivery::default() });
    let cut = || Script::delivered(Delivery { abort_after: Some(1), ..Delivery::default() });
    for number in 0..8 {
        vendors.mocks[0].script(if number % 2 == 0 { stalled() } else { cut() });
        vendors.mocks[0].script(Script::error(429).header("retry-after", "1"));
        vendors.mocks[1].script(Script::error(529));
    }
    let gateway = Arc::new(vendors.gateway);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let gateway = gateway.clone();
        callers.spawn(async move {
            tokio::time::sleep(Duration::from_millis(10 * caller as u64)).await;
            let (client, stream) = (CLIENTS[caller % CLIENTS.len()], caller % 2 == 0);
            let got = ask_of(&gateway, NAME, client, stream).await;
            flaws(client, stream, &got).map(|flaws| format!("{client:?} stream={stream}: {flaws}"))
        });
    }
    let mut wrong = Vec::new();
    while let Some(done) = callers.join_next().await {
        wrong.extend(done.unwrap());
    }
    assert!(wrong.is_empty(), "{} of {CALLERS}:\n{}", wrong.len(), wrong.join("\n"));
}

/// A host with both wires (as vLLM has): who speaks Messages is passed through, and gone on with over the other wire.
#[tokio::test]
async fn a_stream_of_a_host_with_several_wires_is_gone_on_with_for_every_client() {
    use myelin_core::model::CutStreams;
    let mock = MockServer::start().await.unwrap();
    for several in [true, false] {
        let channel = |name: &str, weight: u32| {
            let mut channel = mock_channel(&mock, name, "vllm", "vllm");
            channel["models"] = json!([{"name": "mock", "upstream": "qwen2.5-7b"}]);
            channel["weight"] = json!(weight);
            channel
        };
        let mut channels = vec![channel("first", 1)];
        channels.extend(several.then(|| channel("second", 0)));
        let gateway = TestGateway::with_settings(channels, |settings| {
            settings.affinity_seconds = 0;
            settings.policy.retry.backoff_ms = Some(10);
            settings.policy.retry.cut_streams = Some(CutStreams::Resume);
        })
        .await;
        for client in CLIENTS {
            for after in [5, 7, 9] {
                all_is_forgotten(&gateway);
                mock.forget_requests();
                mock.script(Script::delivered(Delivery { cut_after: Some(after), ..Delivery::default() }));
                let got = ask_of(&gateway, "mock", client, true).await;
                let record = gateway.last_record().await;
                let asked: Vec<_> = mock.requests().iter().map(|request| request.path.clone()).collect();
                let refused: Vec<_> = mock.requests().iter().filter_map(|request| request.refused).collect();
                let label = format!(
                    "{client:?}, cut after {after}, several={several}: {asked:?} {refused:?} {:?}",
                    record.error_message
                );
                assert_eq!(flaws(client, true, &got), None, "{label}");
                if asked.len() == 1 {
                    // Only what was said could be cut: the answer was at its end already.
                    assert_eq!(record.attempts.len(), 1, "{label}");
                    continue;
                }
                assert_eq!(
                    (record.state, asked.len()),
                    (RequestState::Completed, 2),
                    "{label} {:?}",
                    outcomes(&record)
                );
                assert!(record.attempts[1].resumed, "{label} {:?}", outcomes(&record));
                assert_eq!(record.attempts[1].channel, if several { "second" } else { "first" }, "{label}");
                let native = match client {
                    Client::Messages => "/messages",
                    Client::Responses => "/responses",
                    _ => "/chat/completions",
                };
                assert!(asked[0].ends_with(native) && asked[1].ends_with("/chat/completions"), "{label}");
                let rest = mock.last_request().unwrap().json();
                assert_eq!(
                    (&rest["continue_final_message"], &rest["add_generation_prompt"]),
                    (&json!(true), &json!(false))
                );
            }
        }
    }
}
