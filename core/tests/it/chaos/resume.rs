//! Streams that break off after content and go on elsewhere: the caller reads one text, whole and once, with one end; or it reads that it was cut.

use myelin_core::model::{AttemptOutcome, CutStreams, RequestRecord, RequestState};
use myelin_testkit::model::ToolCall;
use myelin_testkit::{Delivery, MockServer, Refusal, Script};
use serde_json::{Value, json};

use super::{ANSWER, TEXT, claims_its_end, outcomes, pieces, tells_an_error};
use crate::support::dialog::{CLIENTS, Client, Dialog};
use crate::support::{TestGateway, mock_channel};

/// Who can go on from the beginning of an answer: provider and model.
const ABLE: [(&str, &str); 4] = [
    ("moonshot", "kimi-k2-turbo-preview"),
    ("mistral", "mistral-small-latest"),
    ("anthropic", "claude-sonnet-4-5"),
    ("ollama", "llama3.3"),
];

fn channel(mock: &MockServer, name: &str, (provider, model): (&str, &str), weight: u32) -> Value {
    let mut channel = mock_channel(mock, name, provider, provider);
    channel["models"] = json!([{"name": "mock", "upstream": model}]);
    channel["weight"] = json!(weight);
    channel
}

/// The first is asked first; the other one only when that fails.
async fn gateway(mock: &MockServer, first: (&str, &str), second: (&str, &str)) -> TestGateway {
    let channels = vec![channel(mock, "first", first, 1), channel(mock, "second", second, 0)];
    TestGateway::with_settings(channels, |settings| {
        settings.affinity_seconds = 0;
        settings.policy.retry.backoff_ms = Some(10);
        settings.policy.retry.cut_streams = Some(CutStreams::Resume);
    })
    .await
}

async fn ask(gateway: &TestGateway, dialog: &Dialog) -> String {
    let (path, body) = dialog.request();
    // What went wrong before is no matter of this question.
    gateway.gateway.services().fleet.reset(None, None);
    let reply = gateway.post(&path).json(&body).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    reply.text().await.unwrap_or_else(|error| format!("broken off: {error}"))
}

fn question(client: Client) -> Dialog {
    let mut dialog = Dialog::new(client, "mock", true);
    dialog.user(TEXT);
    dialog
}

fn cut(after: usize) -> Delivery {
    Delivery { cut_after: Some(after), ..Delivery::default() }
}

/// What is wrong with an answer that was gone on with, if anything.
fn flaws(client: Client, got: &str, record: &RequestRecord) -> Option<String> {
    let whole = claims_its_end(client, got) && !tells_an_error(client, got) && pieces(client, got) == ANSWER;
    let mut dialog = question(client);
    let read = if whole { dialog.said_in(got).text } else { String::new() };
    let attempts = &record.attempts;
    let used = |pick: fn(&RequestRecord) -> Option<u64>| pick(record).unwrap_or(0);
    let parts: u64 = attempts.iter().filter_map(|attempt| attempt.usage.as_ref()?.output).sum();
    let booked = used(|record| record.usage.as_ref()?.output) == parts && parts > 0;
    let told = attempts.len() == 2
        && attempts[0].outcome == AttemptOutcome::Interrupted
        && attempts[1].outcome == AttemptOutcome::Answered
        && attempts[1].resumed
        && !attempts[0].resumed
        && record.state == RequestState::Completed
        && record.error.is_none();
    (read != ANSWER || !booked || !told)
        .then(|| format!("{:?} {:?} {parts} {:?}\n{got}", outcomes(record), record.error_message, record.usage))
}

#[tokio::test]
async fn every_caller_reads_one_text_whoever_begins_and_whoever_goes_on() {
    let mut wrong = Vec::new();
    for first in [("openai", "gpt-4.1"), ("anthropic", "claude-opus-4-8")] {
        for second in ABLE {
            let mock = MockServer::start().await.unwrap();
            let gateway = gateway(&mock, first, second).await;
            for client in CLIENTS {
                let delivery = Delivery { abort_after: Some(6), ..Delivery::default() };
                mock.script(Script::delivered(delivery).provider(first.0));
                let got = ask(&gateway, &question(client)).await;
                let record = gateway.last_record().await;
                if let Some(flaws) = flaws(client, &got, &record) {
                    wrong.push(format!("{client:?} {first:?} {second:?}: {flaws}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn wherever_it_is_cut_nothing_is_lost_and_nothing_comes_twice() {
    let mut wrong = Vec::new();
    for first in [("openai", "gpt-4.1"), ("anthropic", "claude-opus-4-8")] {
        let mock = MockServer::start().await.unwrap();
        let gateway = gateway(&mock, first, ABLE[0]).await;
        for client in CLIENTS {
            let mut resumed = 0;
            for after in 0..18 {
                mock.script(Script::delivered(cut(after)).provider(first.0));
                let got = ask(&gateway, &question(client)).await;
                mock.forget_requests();
                let record = gateway.last_record().await;
                resumed += u32::from(record.attempts.iter().any(|attempt| attempt.resumed));
                let text = pieces(client, &got);
                let whole = claims_its_end(client, &got) && !tells_an_error(client, &got);
                let is_cut = tells_an_error(client, &got) && !claims_its_end(client, &got);
                let ended = record.error_message.as_ref().is_some_and(|error| error.contains("had come to its end"));
                if !(text == ANSWER && (whole || is_cut && ended)) {
                    wrong.push(format!("{client:?} {first:?} cut after {after}: {:?} {got}", outcomes(&record)));
                }
            }
            assert!(resumed > 3, "{client:?} {first:?}: {resumed}");
        }
        drop(gateway);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn a_torn_frame_never_reaches_the_caller() {
    for (first, client) in [(("openai", "gpt-4.1"), Client::Chat), (("anthropic", "claude-opus-4-8"), Client::Messages)]
    {
        let mock = MockServer::start().await.unwrap();
        let gateway = gateway(&mock, first, ABLE[0]).await;
        for byte in [900, 901, 950, 1_000, 1_033] {
            let delivery = Delivery { abort_byte: Some(byte), ..Delivery::default() };
            mock.script(Script::delivered(delivery).provider(first.0));
            let got = ask(&gateway, &question(client)).await;
            for line in got.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]") {
                assert!(serde_json::from_str::<Value>(line).is_ok(), "{byte}: {line}");
            }
            assert_eq!(pieces(client, &got), ANSWER, "{byte}: {got}");
            assert!(claims_its_end(client, &got), "{byte}: {got}");
        }
    }
}

#[tokio::test]
async fn what_is_asked_of_the_one_who_goes_on_is_the_text_so_far_and_what_is_left_of_the_limit() {
    let cases: [((&str, &str), &str); 3] = [(ABLE[0], "partial"), (ABLE[1], "prefix"), (ABLE[2], "")];
    for (second, mark) in cases {
        let mock = MockServer::start().await.unwrap();
        let gateway = gateway(&mock, ("openai", "gpt-4.1"), second).await;
        mock.script(Script::delivered(cut(5)).provider("openai"));
        let dialog = question(Client::Chat).with(json!({"max_tokens": 500, "stream_options": {"include_usage": true}}));
        let got = ask(&gateway, &dialog).await;
        let asked = mock.requests().into_iter().rev().find(|asked| asked.provider == second.0).expect("it was asked");
        let body = asked.json();
        let last = body["messages"].as_array().unwrap().last().unwrap().clone();
        let content = last["content"].as_str().map(str::to_owned);
        let content = content.unwrap_or_else(|| last["content"][0]["text"].as_str().unwrap().to_owned());
        assert_eq!(last["role"], "assistant");
        assert!(!content.is_empty() && ANSWER.starts_with(&content) && content.trim_end() == content, "{content:?}");
        let most = body["max_tokens"].as_u64().unwrap();
        assert!((400..500).contains(&most), "{most}");
        if !mark.is_empty() {
            assert_eq!(last[mark], true, "{last}");
        }
        let usages: Vec<Value> = got
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
            .map(|event| event["usage"].clone())
            .filter(|usage| usage.is_object())
            .collect();
        let record = gateway.last_record().await;
        let used = record.usage.unwrap();
        let told = usages.last().unwrap_or_else(|| panic!("usage is told: {got}"));
        assert_eq!(told["completion_tokens"].as_u64(), used.output, "{got}");
        assert_eq!(told["prompt_tokens"].as_u64(), used.input, "{got}");
        let parts: Vec<_> = record.attempts.iter().map(|attempt| attempt.usage.clone().unwrap()).collect();
        assert_eq!(parts.iter().filter_map(|part| part.input).sum::<u64>(), used.input.unwrap());
        assert!(parts.iter().all(|part| part.input.is_some_and(|input| input > 0)));
        let costs: i64 = record.attempts.iter().filter_map(|attempt| attempt.cost).map(|cost| cost.0).sum();
        assert!(record.cost.is_some_and(|cost| (cost.0 - costs).abs() <= 2), "{:?} {costs}", record.cost);
    }
}

#[tokio::test]
async fn a_stall_an_error_inside_and_a_second_cut_are_gone_on_with_too() {
    let refusal = || Refusal::with_status(529, "overloaded", "too much".to_owned());
    let faults = [
        ("stall", Delivery { stall_after: Some(6), ..Delivery::default() }),
        ("error", Delivery { error_after: Some((6, refusal())), ..Delivery::default() }),
    ];
    for client in [Client::Chat, Client::Messages, Client::Ollama] {
        for (label, fault) in &faults {
            for first in [("openai", "gpt-4.1"), ("anthropic", "claude-opus-4-8")] {
                let mock = MockServer::start().await.unwrap();
                let mut bad = channel(&mock, "first", first, 1);
                bad["timeouts"] = json!({"idle_ms": 300});
                let good = channel(&mock, "second", ABLE[0], 0);
                let gateway = TestGateway::with_settings(vec![bad, good], |settings| {
                    settings.policy.retry.backoff_ms = Some(10);
                    settings.policy.retry.cut_streams = Some(CutStreams::Resume);
                })
                .await;
                mock.script(Script::delivered(fault.clone()).provider(first.0));
                let got = ask(&gateway, &question(client)).await;
                let record = gateway.last_record().await;
                let flaws = flaws(client, &got, &record);
                assert!(flaws.is_none(), "{client:?} {first:?} {label}: {}", flaws.unwrap_or_default());
            }
        }
        // Who goes on breaks off as well, and the same deployment is asked once more.
        let mock = MockServer::start().await.unwrap();
        let gateway = gateway(&mock, ("openai", "gpt-4.1"), ABLE[0]).await;
        mock.script(Script::delivered(cut(5)).provider("openai"));
        mock.script(Script::delivered(cut(3)).provider("moonshot"));
        let got = ask(&gateway, &question(client)).await;
        let record = gateway.last_record().await;
        assert_eq!(pieces(client, &got), ANSWER, "{client:?} {:?} {got}", outcomes(&record));
        assert!(claims_its_end(client, &got) && !tells_an_error(client, &got), "{got}");
        assert_eq!(record.attempts.iter().filter(|attempt| attempt.resumed).count(), 2, "{:?}", outcomes(&record));
        // One that refuses before content costs the caller nothing.
        mock.script(Script::delivered(cut(5)).provider("openai"));
        mock.script(Script::error(500).provider("moonshot"));
        let got = ask(&gateway, &question(client)).await;
        assert_eq!(pieces(client, &got), ANSWER, "{client:?}: {got}");
    }
}

/// Asks, and gives what is wrong unless the stream ended as cut, without anybody having been asked to go on; `why` is in the record.
async fn refused(gateway: &TestGateway, dialog: &Dialog, why: &str) {
    let got = ask(gateway, dialog).await;
    let record = gateway.last_record().await;
    assert!(tells_an_error(dialog.client, &got) && !claims_its_end(dialog.client, &got), "{why}: {got}");
    assert_eq!(record.state, RequestState::Interrupted, "{why}");
    assert_eq!(record.attempts.len(), 1, "{why}: {:?}", outcomes(&record));
    let message = record.error_message.unwrap_or_default();
    assert!(message.contains(why), "{why}: {message}");
}

#[tokio::test]
async fn what_cannot_be_gone_on_with_ends_as_it_always_did() {
    let mock = MockServer::start().await.unwrap();
    let gateway = gateway(&mock, ("openai", "gpt-4.1"), ABLE[0]).await;
    let fields = [
        (json!({"response_format": {"type": "json_object"}}), "a form was asked for"),
        (json!({"logprobs": true}), "log probabilities"),
        (json!({"max_tokens": 3}), "limit of tokens"),
    ];
    for client in [Client::Chat] {
        for (fields, why) in fields.clone() {
            let mut dialog = Dialog::new(client, "mock", true).with(fields);
            dialog.user("alpha bravo charlie delta echo foxtrot as json");
            let script = Script { delivery: cut(5), ..Script::text("alpha bravo charlie delta echo foxtrot") };
            mock.script(script.provider("openai"));
            refused(&gateway, &dialog, why).await;
        }
    }
    // A call is open.
    for client in [Client::Chat, Client::Messages] {
        let call = ToolCall { name: "look".into(), seed: "abcdef01".into(), ..ToolCall::default() };
        let script = Script { delivery: cut(3), ..Script::calls(vec![call]) };
        mock.script(script.provider("openai"));
        let schema = json!({"type": "object", "properties": {}});
        let mut dialog = Dialog::new(client, "mock", true).tools(&[("look", schema)]);
        dialog.user("use a tool");
        refused(&gateway, &dialog, "a tool call was begun").await;
    }
}

#[tokio::test]
async fn thinking_is_never_gone_on_with() {
    let mock = MockServer::start().await.unwrap();
    let gateway = gateway(&mock, ("anthropic", "claude-sonnet-4-5"), ABLE[0]).await;
    for client in [Client::Messages, Client::Chat] {
        for after in [5, 14] {
            mock.script(Script::delivered(cut(after)).provider("anthropic"));
            let dialog = question(client).with(match client {
                Client::Messages => json!({"thinking": {"type": "enabled", "budget_tokens": 2048}}),
                _ => json!({"reasoning_effort": "high"}),
            });
            refused(&gateway, &dialog, "thinking").await;
        }
    }
}

#[tokio::test]
async fn nobody_goes_on_where_nobody_is_known_to_do_it_or_the_owner_does_not_want_it() {
    let mock = MockServer::start().await.unwrap();
    // OpenAI has no such thing, newer Claude models refuse it.
    let unable = gateway(&mock, ("openai", "gpt-4.1"), ("anthropic", "claude-opus-4-8")).await;
    for client in CLIENTS {
        mock.script(Script::delivered(cut(6)).provider("openai"));
        refused(&unable, &question(client), "no deployment could go on").await;
    }
    for (policy, never) in [(Some(CutStreams::Retry), false), (None, false), (Some(CutStreams::Resume), true)] {
        let channels = vec![channel(&mock, "first", ("openai", "gpt-4.1"), 1), channel(&mock, "second", ABLE[0], 0)];
        let gateway = TestGateway::with_settings(channels, |settings| {
            settings.policy.retry.cut_streams = policy;
            if never {
                use myelin_core::model::{FailureClass, RetryAction};
                settings.policy.retry.on = [(FailureClass::Cut, RetryAction::Never)].into();
            }
        })
        .await;
        mock.script(Script::delivered(cut(6)).provider("openai"));
        refused(&gateway, &question(Client::Chat), if never { "it would fail again" } else { "" }).await;
    }
}
