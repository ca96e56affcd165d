//! Bad days: what one deployment refuses another may answer; what nobody answers arrives as what it is.

use std::time::Duration;

use myelin_core::model::{AttemptOutcome, RequestState};
use myelin_testkit::{Delivery, MockServer, Progress, Refusal, Script, Verbatim};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{TestGateway, mock_channel};

/// Two channels that list the model `mock`; the first is tried first.
async fn two(first: (&str, &str), second: (&str, &str)) -> (MockServer, TestGateway) {
    let mock = MockServer::start().await.unwrap();
    let mut one = mock_channel(&mock, "first", first.0, first.1);
    one["weight"] = json!(1);
    let mut two = mock_channel(&mock, "second", second.0, second.1);
    two["weight"] = json!(0);
    let gateway = TestGateway::start(vec![one, two]).await;
    (mock, gateway)
}

fn chat(text: &str, stream: bool) -> Value {
    json!({"model": "mock", "stream": stream, "messages": [{"role": "user", "content": text}]})
}

fn messages(text: &str, stream: bool) -> Value {
    json!({"model": "mock", "stream": stream, "max_tokens": 100, "messages": [{"role": "user", "content": text}]})
}

#[tokio::test]
async fn another_deployment_takes_over_before_the_first_content() {
    let (mock, gateway) = two(("openai", "openai"), ("anthropic", "anthropic")).await;
    for status in [429, 500, 503, 401] {
        for stream in [false, true] {
            mock.script(Script::error(status).provider("openai"));
            // A conversation that goes on stays where it was answered.
            let words = format!("hello {status} {stream}");
            let (answered, text) = gateway.ask_text("/v1/chat/completions", &chat(&words, stream)).await;
            assert_eq!(answered, 200, "{status}: {text}");
            assert!(text.contains("hello"), "{text}");
            // Else it would not be asked again for a while.
            gateway.gateway.services().fleet.reset(None, None);
        }
    }
    let record = gateway.last_record().await;
    let channels: Vec<_> = record.attempts.iter().map(|attempt| (attempt.channel.as_str(), attempt.outcome)).collect();
    assert_eq!(channels, [("first", AttemptOutcome::Failed), ("second", AttemptOutcome::Answered)]);
    assert_eq!(record.channel.as_deref(), Some("second"));
    assert_eq!(record.attempts[0].status, Some(401));
}

#[tokio::test]
async fn case_14_a_failure_inside_a_stream_before_content_is_taken_over() {
    let (mock, gateway) = two(("anthropic", "anthropic"), ("openai", "openai")).await;
    // A directive in the text would hit both providers: a script hits only the first.
    let mut script = Script::default().provider("anthropic");
    script.delivery.cut_after = Some(1);
    mock.script(script);
    let (status, text) = gateway.ask_text("/v1/messages", &messages("hello you", true)).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("event: message_stop") && !text.contains("event: error"), "{text}");
    assert_eq!(text.matches("event: message_start").count(), 1, "{text}");
    assert_eq!(gateway.last_record().await.attempts.len(), 2);
}

#[tokio::test]
async fn case_15_after_content_a_stream_ends_in_a_typed_error_and_is_never_repeated() {
    let (_mock, gateway) = two(("openai", "openai"), ("anthropic", "anthropic")).await;
    for (path, body, mark) in [
        ("/v1/chat/completions", chat("one two three four [[cut-after 3]]", true), "data: {\"error\":{"),
        ("/v1/messages", messages("one two three four [[cut-after 6]]", true), "event: error"),
        (
            "/v1/responses",
            json!({"model": "mock", "stream": true, "input": "one two three four [[cut-after 6]]"}),
            "event: response.failed",
        ),
    ] {
        let (status, text) = gateway.ask_text(path, &body).await;
        assert_eq!(status, 200, "{path}: {text}");
        assert!(text.contains(mark), "{path}: {text}");
        assert!(
            !text.contains("[DONE]") && !text.contains("message_stop") && !text.contains("response.completed"),
            "{text}"
        );
        let record = gateway.last_record().await;
        assert_eq!(record.state, RequestState::Interrupted, "{path}");
        assert_eq!(record.attempts.len(), 1, "{path}: content was sent, nothing may be tried again");
    }
}

#[tokio::test]
async fn a_failure_inside_of_a_stream_names_the_request_in_every_format() {
    let mock = MockServer::start().await.unwrap();
    let channels = ["openai", "anthropic", "gemini"].map(|name| mock_channel(&mock, name, name, name));
    let gateway = TestGateway::start(channels.into()).await;
    let text = "one two three four five six seven eight nine ten [[cut-after 6]]";
    let contents = json!({"contents": [{"role": "user", "parts": [{"text": text}]}]});
    for channel in ["openai", "anthropic", "gemini"] {
        let model = format!("{channel}/mock");
        let talk =
            json!({"model": model, "stream": true, "max_tokens": 100, "messages": [{"role": "user", "content": text}]});
        let gemini = format!("/v1beta/models/{channel}%2Fmock:streamGenerateContent");
        for (path, body) in [
            ("/v1/chat/completions".to_owned(), talk.clone()),
            ("/v1/completions".to_owned(), json!({"model": model, "stream": true, "prompt": text})),
            ("/v1/messages".to_owned(), talk.clone()),
            ("/v1/responses".to_owned(), json!({"model": model, "stream": true, "input": text})),
            (format!("{gemini}?alt=sse"), contents.clone()),
            (gemini, contents.clone()),
            ("/api/chat".to_owned(), talk.clone()),
        ] {
            let answer = gateway.post(&path).json(&body).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path} over {channel}");
            let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
            let text = answer.text().await.unwrap();
            assert!(text.contains("error") && text.contains(&id), "{path} over {channel}, {id}: {text}");
        }
    }
}

#[tokio::test]
async fn a_provider_s_no_stays_what_it_is() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "only", "openai", "openai")]).await;
    for (path, body) in [
        ("/v1/chat/completions", chat("hi [[error 429 retry-after=7]]", true)),
        ("/v1/messages", messages("hi [[error 429 retry-after=7]]", true)),
    ] {
        let answer = gateway.post(path).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 429, "{path}: case 17, never a 429 inside a 200 stream");
        assert_eq!(answer.headers()["retry-after"], "7", "{path}");
    }
    let (status, body) = gateway.ask("/v1/messages", &messages("hi [[error 400]]", false)).await;
    assert_eq!(status, 400);
    assert_eq!(body["type"], "error");
    assert_eq!(body["error"]["type"], "invalid_request_error");
    assert!(body["error"]["message"].as_str().unwrap().contains("scripted"), "the provider's words are kept: {body}");
    let record = gateway.last_record().await;
    assert_eq!((record.state, record.attempts.len()), (RequestState::Failed, 1));
}

#[tokio::test]
async fn our_own_bad_credential_does_not_look_like_the_caller_s() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = mock_channel(&mock, "only", "openai", "openai");
    channel["credentials"] = json!(["mock-bad-canary-0123456789"]);
    let gateway = TestGateway::start(vec![channel]).await;
    let (status, body) = gateway.ask("/v1/chat/completions", &chat("hi", false)).await;
    assert_eq!(status, 502, "{body}");
    assert!(!body.to_string().contains("canary"), "{body}");
    assert_eq!(gateway.last_record().await.error.as_deref(), Some("upstream_denied"));
}

#[tokio::test]
async fn case_18_a_client_that_leaves_cancels_the_upstream_within_a_second() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "only", "openai", "openai")]).await;
    let mut answer =
        gateway.post("/v1/chat/completions").json(&chat("one two three [[stall-after 3]]", true)).send().await.unwrap();
    assert!(answer.chunk().await.unwrap().is_some());
    drop(answer);
    let left = Instant::now();
    while mock.last_request().unwrap().progress != Progress::ClientLeft {
        assert!(left.elapsed() < Duration::from_secs(1), "the upstream still works for nobody");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let record = gateway.last_record().await;
    assert_eq!(record.state, RequestState::Canceled);
    assert_eq!(record.attempts[0].outcome, AttemptOutcome::Canceled);
}

#[tokio::test]
async fn a_stalled_stream_is_given_up() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = mock_channel(&mock, "only", "openai", "openai");
    channel["timeouts"] = json!({"idle_ms": 200});
    let gateway = TestGateway::start(vec![channel]).await;
    let (_, text) = gateway.ask_text("/v1/chat/completions", &chat("one two three [[stall-after 3]]", true)).await;
    assert!(text.contains("\"error\"") && !text.contains("[DONE]"), "{text}");
    let record = gateway.last_record().await;
    assert_eq!((record.state, record.error.as_deref()), (RequestState::Interrupted, Some("timeout")));
}

#[tokio::test]
async fn a_slow_first_token_leads_elsewhere() {
    let mock = MockServer::start().await.unwrap();
    let mut slow = mock_channel(&mock, "slow", "openai", "openai");
    slow["timeouts"] = json!({"first_token_ms": 150, "first_byte_ms": 150});
    let mut other = mock_channel(&mock, "other", "anthropic", "anthropic");
    other["weight"] = json!(0);
    let gateway = TestGateway::start(vec![slow, other]).await;
    let mut script = Script::default().provider("openai");
    script.delivery.stall_after = Some(0);
    mock.script(script);
    let (status, text) = gateway.ask_text("/v1/chat/completions", &chat("hello you", true)).await;
    assert_eq!(status, 200);
    assert!(text.contains("hello") && text.contains("[DONE]"), "{text}");
    assert_eq!(gateway.last_record().await.attempts[0].outcome, AttemptOutcome::TimedOut);
}

#[tokio::test]
async fn a_long_wait_is_kept_alive_and_a_late_failure_is_an_event() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "only", "anthropic", "anthropic")]).await;
    let asked = Instant::now();
    let answer =
        gateway.post("/v1/messages").json(&messages("hi [[delay 10600]] [[error 529]]", true)).send().await.unwrap();
    assert_eq!(answer.status(), 200, "the head cannot be held for longer");
    assert!(asked.elapsed() >= Duration::from_secs(10), "the head was not held");
    let text = answer.text().await.unwrap();
    assert!(text.starts_with("event: ping"), "{text}");
    assert!(text.contains("event: error") && text.contains("overloaded_error"), "{text}");
    assert_eq!(gateway.last_record().await.state, RequestState::Failed);
}

#[tokio::test]
async fn a_host_that_refuses_stream_options_is_asked_without_them_from_then_on() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "main", "openai", "openai")]).await;
    let body = json!({"error": {"message": "Unrecognized request argument supplied: stream_options",
        "type": "invalid_request_error", "param": "stream_options", "code": null}});
    let refusal =
        Verbatim { status: 400, content_type: "application/json".into(), body: body.to_string().into_bytes() };
    mock.script(Script { verbatim: Some(refusal), ..Script::default() });
    let ask = json!({"model": "mock", "stream": true, "messages": [{"role": "user", "content": "hello"}]});
    for _ in 0..2 {
        let (status, text) = gateway.ask_text("/v1/chat/completions", &ask).await;
        assert!(status == 200 && text.contains("[DONE]"), "{text}");
    }
    let asked: Vec<bool> = mock.requests().iter().map(|asked| asked.json()["stream_options"].is_object()).collect();
    assert_eq!(asked, [true, false, false]);
}

#[tokio::test]
async fn an_overload_told_inside_a_stream_is_the_status_that_anthropic_clients_know() {
    let mock = MockServer::start().await.unwrap();
    let channels = vec![mock_channel(&mock, "main", "anthropic", "anthropic")];
    let gateway = TestGateway::with_settings(channels, |settings| settings.max_attempts = 1).await;
    for (path, expected) in [("/v1/messages", 529), ("/v1/chat/completions", 503)] {
        let refusal = Refusal::with_status(529, "overloaded", "busy".to_owned());
        let delivery = Delivery { error_after: Some((0, refusal)), ..Delivery::default() };
        mock.script(Script::delivered(delivery));
        let ask = json!({"model": "mock", "stream": true, "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]});
        let (status, text) = gateway.ask_text(path, &ask).await;
        assert_eq!(status, expected, "{text}");
        gateway.gateway.services().fleet.reset(None, None);
        if expected == 529 {
            assert!(text.contains("overloaded_error"), "{text}");
        }
    }
}
