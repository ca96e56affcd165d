//! What an owner says about failures is what happens.

use std::time::Duration;

use myelin_core::model::{CutStreams, FailureClass, Policy, RequestState, Retry, RetryAction};
use myelin_testkit::{Delivery, MockServer, Script, Verbatim};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{TestGateway, mock_channel};

fn chat(stream: bool) -> Value {
    json!({"model": "mock", "stream": stream, "messages": [{"role": "user", "content": "hello you"}]})
}

/// Two channels; the first is tried first.
async fn two(mock: &MockServer, change: impl FnOnce(&mut Policy)) -> TestGateway {
    let first = mock_channel(mock, "first", "openai", "openai");
    let mut second = mock_channel(mock, "second", "anthropic", "anthropic");
    second["weight"] = json!(0);
    TestGateway::with_settings(vec![first, second], |settings| {
        settings.policy.retry.backoff_ms = Some(10);
        change(&mut settings.policy);
    })
    .await
}

async fn tried(gateway: &TestGateway) -> Vec<String> {
    gateway.last_record().await.attempts.into_iter().map(|attempt| attempt.channel).collect()
}

fn on(class: FailureClass, action: RetryAction) -> Retry {
    Retry { on: [(class, action)].into(), backoff_ms: Some(10), ..Retry::default() }
}

#[tokio::test]
async fn a_class_is_retried_as_the_owner_says() {
    let cases = [
        (FailureClass::Failed, RetryAction::Never, 500, vec!["first"]),
        (FailureClass::Failed, RetryAction::Elsewhere, 500, vec!["first", "second"]),
        (FailureClass::Rejected, RetryAction::Elsewhere, 400, vec!["first", "second"]),
        (FailureClass::RateLimit, RetryAction::Never, 429, vec!["first"]),
        (FailureClass::Overloaded, RetryAction::Never, 529, vec!["first"]),
        (FailureClass::Denied, RetryAction::Never, 401, vec!["first"]),
    ];
    for (class, action, status, expected) in cases {
        let mock = MockServer::start().await.unwrap();
        let gateway = two(&mock, |policy| policy.retry = on(class, action)).await;
        mock.script(Script::error(status).provider("openai"));
        let (_, _) = gateway.ask_text("/v1/chat/completions", &chat(true)).await;
        assert_eq!(tried(&gateway).await, expected, "{class:?} {action:?}");
    }
}

#[tokio::test]
async fn the_channel_s_word_wins_over_the_gateway_s_and_the_model_s_over_the_channel_s() {
    for (model, expected) in [("mock", vec!["only"]), ("special", vec!["only", "only", "only"])] {
        let mock = MockServer::start().await.unwrap();
        let mut channel = mock_channel(&mock, "only", "openai", "openai");
        channel["models"] = json!(["mock", "special"]);
        channel["retry"] = json!({"on": {"failed": "never"}});
        channel["for_models"] =
            json!([{"match": "spec*", "retry": {"on": {"failed": "again"}, "same": 2, "backoff_ms": 10}}]);
        let gateway = TestGateway::with_settings(vec![channel], |settings| {
            settings.policy.retry = on(FailureClass::Failed, RetryAction::Elsewhere);
        })
        .await;
        for _ in 0..3 {
            mock.script(Script::error(500));
        }
        let mut body = chat(false);
        body["model"] = json!(model);
        let (status, _) = gateway.ask("/v1/chat/completions", &body).await;
        assert_eq!(
            (status, tried(&gateway).await),
            (500, expected.iter().map(ToString::to_string).collect()),
            "{model}"
        );
    }
}

#[tokio::test]
async fn case_16_retries_that_are_switched_off_stay_off_for_streams() {
    let mock = MockServer::start().await.unwrap();
    let gateway = two(&mock, |policy| policy.retry.cut_streams = Some(CutStreams::Off)).await;
    mock.script(Script::delivered(Delivery { abort_after: Some(0), ..Delivery::default() }).provider("openai"));
    let (status, text) = gateway.ask_text("/v1/chat/completions", &chat(true)).await;
    assert_eq!((status, tried(&gateway).await), (502, vec!["first".to_owned()]), "{text}");
}

#[tokio::test]
async fn a_short_hint_is_waited_for_and_a_long_one_is_not() {
    for (header, value, waits) in [
        ("retry-after", "1", true),
        ("retry-after-ms", "400", true),
        ("retry-after", "60", false),
        ("retry-after", "99999999", false),
    ] {
        let mock = MockServer::start().await.unwrap();
        let gateway = TestGateway::start(vec![mock_channel(&mock, "only", "openai", "openai")]).await;
        mock.script(Script::error(429).header(header, value));
        let asked = Instant::now();
        let answer = gateway.post("/v1/chat/completions").json(&chat(false)).send().await.unwrap();
        let (status, took) = (answer.status().as_u16(), asked.elapsed());
        if waits {
            assert!(status == 200 && took >= Duration::from_millis(400), "{header}: {value}: {status} after {took:?}");
        } else {
            assert!(status == 429 && took < Duration::from_secs(2), "{header}: {value}: {status} after {took:?}");
            let told: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((30..=3_600).contains(&told), "the hint goes on to the caller, capped: {told}");
        }
    }
}

#[tokio::test]
async fn too_long_and_refused_requests_go_to_the_models_that_are_named_for_them() {
    for (code, field) in [("context_length_exceeded", "context"), ("content_policy_violation", "content")] {
        let mock = MockServer::start().await.unwrap();
        let small = mock_channel(&mock, "small", "openai", "openai");
        let mut other = mock_channel(&mock, "large", "anthropic", "anthropic");
        other["models"] = json!(["big"]);
        for named in [true, false] {
            let gateway = TestGateway::with_settings(vec![small.clone(), other.clone()], |settings| {
                if named {
                    let names = vec!["big".to_owned()];
                    match field {
                        "context" => settings.policy.context_fallback = names,
                        _ => settings.policy.content_fallback = names,
                    }
                }
            })
            .await;
            let body = json!({"error": {"message": "no", "type": "invalid_request_error", "code": code}}).to_string();
            let verbatim = Verbatim { status: 400, content_type: "application/json".into(), body: body.into_bytes() };
            mock.script(Script { verbatim: Some(verbatim), ..Script::default() }.provider("openai"));
            let (status, text) = gateway.ask_text("/v1/chat/completions", &chat(true)).await;
            assert_eq!(status, if named { 200 } else { 400 }, "{code}: {text}");
            let record = gateway.last_record().await;
            assert_eq!(record.channel.as_deref(), Some(if named { "large" } else { "small" }), "{code}");
        }
    }
}

#[tokio::test]
async fn an_empty_answer_is_a_failure_where_the_owner_says_so() {
    for fails in [true, false] {
        for stream in [true, false] {
            let mock = MockServer::start().await.unwrap();
            let gateway = two(&mock, |policy| {
                if fails {
                    policy.retry = on(FailureClass::Empty, RetryAction::Elsewhere);
                }
            })
            .await;
            mock.script(Script::text("").provider("openai"));
            let (status, text) = gateway.ask_text("/v1/chat/completions", &chat(stream)).await;
            assert_eq!(status, 200, "{text}");
            assert_eq!(text.contains("hello"), fails, "{text}");
            assert_eq!(tried(&gateway).await.len(), if fails { 2 } else { 1 });
        }
    }
}

#[tokio::test]
async fn a_timeout_of_one_model_is_not_the_others() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = mock_channel(&mock, "only", "openai", "openai");
    channel["models"] = json!(["mock", "quick"]);
    channel["for_models"] = json!([{"match": "quick", "timeouts": {"first_byte_ms": 150}}]);
    let gateway = TestGateway::start(vec![channel]).await;
    for (model, expected) in [("mock", 200), ("quick", 504)] {
        let mut body = chat(false);
        body["model"] = json!(model);
        body["messages"][0]["content"] = json!("hi [[delay 400]]");
        let (status, answer) = gateway.ask("/v1/chat/completions", &body).await;
        assert_eq!(status, expected, "{model}: {answer}");
    }
    assert_eq!(gateway.last_record().await.state, RequestState::Failed);
}
