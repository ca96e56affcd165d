//! Bad days, one by one: for each fault, each client format and both ways of answering, what the caller gets. Never a text twice, never a piece of it lost,
//! never a cut answer that looks whole.

mod faults;
mod hedging;
mod policies;
mod resume;
mod storms;
mod vendors;

use std::time::Duration;

use myelin_core::model::{AttemptOutcome, FailureClass, RequestRecord, RequestState, RetryAction, Settings};
use serde_json::{Value, json};

use crate::support::TestGateway;
use crate::support::dialog::{CLIENTS, Client, Dialog};
use faults::{Fault, Trouble};

/// What everybody asks, and so what every good answer repeats.
const TEXT: &str = "alpha bravo charlie delta echo foxtrot";
/// What every good answer says.
const ANSWER: &str = "You said: alpha bravo charlie delta echo foxtrot";

/// A gateway whose model `mock` lies first at the channel with the fault; `good`: a second channel stands behind it.
async fn gateway(trouble: &Trouble, good: bool, stream: bool) -> TestGateway {
    gateway_with(trouble, good, stream, |_| {}).await
}

async fn gateway_with(trouble: &Trouble, good: bool, stream: bool, change: impl FnOnce(&mut Settings)) -> TestGateway {
    let mut bad = trouble.channel(stream);
    bad["timeouts"] = trouble.fault.timeouts();
    bad["weight"] = json!(1);
    let mut channels = vec![bad];
    if good {
        let mut second = trouble.good();
        second["weight"] = json!(0);
        channels.push(second);
    }
    TestGateway::with_settings(channels, |settings| {
        // Each question is one of its own: where the last one was answered is no matter.
        settings.affinity_seconds = 0;
        settings.policy.retry.backoff_ms = Some(10);
        change(settings);
    })
    .await
}

/// What a caller got.
struct Got {
    status: u16,
    text: String,
}

async fn ask(gateway: &TestGateway, client: Client, stream: bool) -> Got {
    ask_of(gateway, "mock", client, stream).await
}

async fn ask_of(gateway: &TestGateway, model: &str, client: Client, stream: bool) -> Got {
    let mut dialog = Dialog::new(client, model, stream);
    dialog.user(TEXT);
    let (path, body) = dialog.request();
    let asked = gateway.post(&path).json(&body).send();
    let reply = tokio::time::timeout(Duration::from_secs(60), asked).await.expect("an answer in time").unwrap();
    let status = reply.status().as_u16();
    let text = reply.text().await.unwrap_or_else(|error| format!("broken off: {error}"));
    Got { status, text }
}

/// Reads a whole good answer; panics if it is none.
fn said(client: Client, stream: bool, got: &Got) -> String {
    let mut dialog = Dialog::new(client, "mock", stream);
    dialog.user(TEXT);
    dialog.said_in(&got.text).text
}

/// What a stream brought of the text, whether it ended well or not.
fn pieces(client: Client, text: &str) -> String {
    let mut all = String::new();
    for line in text.lines() {
        let payload = line.strip_prefix("data:").unwrap_or(line).trim();
        let Ok(event) = serde_json::from_str::<Value>(payload) else { continue };
        let piece = match client {
            Client::Chat => event.pointer("/choices/0/delta/content"),
            Client::Responses if event["type"] == "response.output_text.delta" => event.get("delta"),
            Client::Responses => None,
            Client::Messages => event.pointer("/delta/text"),
            Client::Gemini => event.pointer("/candidates/0/content/parts/0/text"),
            Client::Ollama => event.pointer("/message/content"),
        };
        all.push_str(piece.and_then(Value::as_str).unwrap_or_default());
    }
    all
}

/// Whether a stream claims to be whole.
fn claims_its_end(client: Client, text: &str) -> bool {
    match client {
        Client::Chat => text.contains("[DONE]"),
        Client::Responses => text.contains("response.completed"),
        Client::Messages => text.contains("message_stop"),
        Client::Gemini => text.contains("\"finishReason\":\"STOP\""),
        Client::Ollama => text.contains("\"done\":true"),
    }
}

fn tells_an_error(client: Client, text: &str) -> bool {
    match client {
        // A good answer says `"error":null` all the time.
        Client::Responses => text.contains("response.failed") || text.contains("\"type\":\"error\""),
        _ => text.contains("\"error\""),
    }
}

/// What is wrong with an answer that should be whole and good: its text, read as clients read it and piece by piece, is said once, and it ends once.
fn flaws(client: Client, stream: bool, got: &Got) -> Option<String> {
    if got.status != 200 {
        return Some(format!("{} {}", got.status, got.text));
    }
    if !stream {
        let text = said(client, stream, got);
        return (text.trim() != ANSWER).then(|| format!("said {text:?}"));
    }
    let brought = pieces(client, &got.text);
    let ended = claims_its_end(client, &got.text) && !tells_an_error(client, &got.text);
    if brought.trim_end() != ANSWER || !ended {
        return Some(format!("brought {brought:?}, ended well: {ended}: {}", got.text));
    }
    let text = said(client, stream, got);
    (text.trim() != ANSWER).then(|| format!("said {text:?}"))
}

/// Runs `check` for every fault, both ways of answering, side by side; each gives what is wrong.
async fn for_all<F, Checking>(faults: &[Fault], forms: &[bool], check: F)
where
    F: Fn(Fault, bool) -> Checking,
    Checking: Future<Output = Vec<String>> + Send + 'static,
{
    let mut checks = tokio::task::JoinSet::new();
    let mut wrong = Vec::new();
    for fault in faults {
        for stream in forms {
            if checks.len() >= 8 {
                wrong.extend(checks.join_next().await.unwrap().unwrap());
            }
            checks.spawn(check(*fault, *stream));
        }
    }
    while let Some(done) = checks.join_next().await {
        wrong.extend(done.unwrap());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_fault_before_content_costs_the_caller_nothing() {
    for_all(&Fault::BEFORE, &[true, false], |fault, stream| async move {
        let mut wrong = Vec::new();
        let trouble = Trouble::start(fault).await;
        let gateway = gateway(&trouble, true, stream).await;
        for client in CLIENTS {
            all_is_forgotten(&gateway);
            trouble.arm(stream);
            let got = ask(&gateway, client, stream).await;
            let record = gateway.last_record().await;
            let label = format!("{fault:?} {client:?} stream={stream}");
            if let Some(flaws) = flaws(client, stream, &got) {
                wrong.push(format!("{label}: {flaws}"));
            }
            if record.state != RequestState::Completed || !went_over(&record) {
                wrong.push(format!("{label}: the fault was not met: {:?} {:?}", record.state, outcomes(&record)));
            }
        }
        wrong
    })
    .await;
}

#[tokio::test]
async fn without_another_deployment_the_caller_reads_a_typed_failure() {
    for_all(&Fault::BEFORE, &[true, false], |fault, stream| async move {
        let mut wrong = Vec::new();
        let trouble = Trouble::start(fault).await;
        let gateway = gateway(&trouble, false, stream).await;
        for client in CLIENTS {
            all_is_forgotten(&gateway);
            trouble.arm(stream);
            let got = ask(&gateway, client, stream).await;
            let record = gateway.last_record().await;
            let label = format!("{fault:?} {client:?} stream={stream}");
            if !fault.statuses().contains(&got.status) {
                wrong.push(format!("{label}: {} {}", got.status, got.text));
            }
            if serde_json::from_str::<Value>(&got.text).is_ok_and(|body| body.get("error").is_none()) {
                wrong.push(format!("{label}: no error in {}", got.text));
            }
            if record.state != RequestState::Failed || record.error.is_none() {
                wrong.push(format!("{label}: recorded as {:?} {:?}", record.state, record.error));
            }
        }
        wrong
    })
    .await;
}

#[tokio::test]
async fn a_fault_after_content_is_told_and_nothing_comes_twice() {
    for_all(&Fault::AFTER, &[true], |fault, stream| async move {
        let mut wrong = Vec::new();
        let trouble = Trouble::start(fault).await;
        for client in CLIENTS {
            trouble.arm(stream);
            // A channel that broke off may be left out the next time.
            let gateway = gateway(&trouble, true, stream).await;
            let got = ask(&gateway, client, stream).await;
            let record = gateway.last_record().await;
            let label = format!("{fault:?} {client:?}");
            let brought = pieces(client, &got.text);
            if got.status != 200 || brought.is_empty() || !ANSWER.starts_with(brought.trim_end()) {
                wrong.push(format!("{label}: {} brought {brought:?}", got.status));
            }
            if claims_its_end(client, &got.text) || !tells_an_error(client, &got.text) {
                wrong.push(format!("{label}: looks whole: {}", got.text));
            }
            if record.state != RequestState::Interrupted || record.attempts.len() != 1 {
                wrong.push(format!("{label}: recorded as {:?} {:?}", record.state, outcomes(&record)));
            }
        }
        wrong
    })
    .await;
}

#[tokio::test]
async fn a_whole_answer_that_breaks_off_was_shown_to_nobody() {
    for_all(&Fault::AFTER, &[false], |fault, stream| async move {
        let mut wrong = Vec::new();
        let trouble = Trouble::start(fault).await;
        let gateway = gateway(&trouble, true, stream).await;
        for client in CLIENTS {
            all_is_forgotten(&gateway);
            trouble.arm(stream);
            let got = ask(&gateway, client, stream).await;
            let record = gateway.last_record().await;
            let label = format!("{fault:?} {client:?}");
            if let Some(flaws) = flaws(client, stream, &got) {
                wrong.push(format!("{label}: {flaws}"));
            }
            if !went_over(&record) {
                wrong.push(format!("{label}: the fault was not met: {:?}", outcomes(&record)));
            }
        }
        wrong
    })
    .await;
}

#[tokio::test]
async fn what_is_only_slow_or_oddly_cut_arrives_whole() {
    for_all(&Fault::HARMLESS, &[true, false], |fault, stream| async move {
        let mut wrong = Vec::new();
        let trouble = Trouble::start(fault).await;
        let gateway = gateway(&trouble, false, stream).await;
        for client in CLIENTS {
            trouble.arm(stream);
            let got = ask(&gateway, client, stream).await;
            if let Some(flaws) = flaws(client, stream, &got) {
                wrong.push(format!("{fault:?} {client:?} stream={stream}: {flaws}"));
            }
            let record = gateway.last_record().await;
            if record.state != RequestState::Completed || record.attempts.len() != 1 {
                wrong.push(format!("{fault:?} {client:?} stream={stream}: {:?}", outcomes(&record)));
            }
        }
        wrong
    })
    .await;
}

#[tokio::test]
async fn an_empty_answer_reaches_the_caller_as_it_is_unless_the_owner_wants_another() {
    let trouble = Trouble::start(Fault::SaysNothing).await;
    for stream in [true, false] {
        for (action, expected, attempts) in [(None, "", 1), (Some(RetryAction::Elsewhere), ANSWER, 2)] {
            let on = |settings: &mut Settings| {
                settings.policy.retry.on = action.map(|action| (FailureClass::Empty, action)).into_iter().collect();
            };
            let gateway = gateway_with(&trouble, true, stream, on).await;
            for client in CLIENTS {
                all_is_forgotten(&gateway);
                trouble.arm_once(stream);
                let got = ask(&gateway, client, stream).await;
                let label = format!("{client:?} stream={stream} {action:?}");
                assert_eq!(got.status, 200, "{label}: {}", got.text);
                assert_eq!(said(client, stream, &got).trim(), expected, "{label}: {}", got.text);
                let record = gateway.last_record().await;
                assert_eq!(record.attempts.len(), attempts, "{label}: {:?}", outcomes(&record));
            }
        }
    }
}

/// What a fault taught about the channel is no matter of the next question.
fn all_is_forgotten(gateway: &TestGateway) {
    gateway.gateway.services().fleet.reset(None, None);
}

/// The first try met the fault, the second one was answered, and nobody was asked besides.
fn went_over(record: &RequestRecord) -> bool {
    let [first, second] = record.attempts.as_slice() else { return false };
    first.channel == "bad"
        && matches!(first.outcome, AttemptOutcome::Failed | AttemptOutcome::TimedOut | AttemptOutcome::Interrupted)
        && second.channel == "good"
        && second.outcome == AttemptOutcome::Answered
        && record.channel.as_deref() == Some("good")
}

fn outcomes(record: &RequestRecord) -> Vec<String> {
    record.attempts.iter().map(|attempt| format!("{} {:?}", attempt.channel, attempt.outcome)).collect()
}
