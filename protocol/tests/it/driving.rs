//! The driver's policy for what goes wrong in a stream, and the judgement of whole answers.

use bytes::Bytes;
use myelin_protocol::drive::{DriveState, StreamDriver};
use myelin_protocol::format::AddressHints;
use myelin_protocol::ir::{Content, FinishReason, ToolCallKind};
use myelin_protocol::lower::{NameMap, lower};
use myelin_protocol::tap::{StreamTap, TapState};
use myelin_protocol::{ApiError, ApiErrorKind, ApiFormat, Dialect, ReplyContext, answer};

use crate::support::golden;

const START: &str =
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const HELLO: &str = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\n";
const STOP: &str = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const ERROR: &str = "data: {\"error\":{\"message\":\"too busy\",\"code\":\"rate_limit_exceeded\"}}\n\n";

fn driver(client: ApiFormat, names: NameMap) -> StreamDriver {
    let context = ReplyContext { model: "m".into(), id: "0123456789abcdef".into(), ..ReplyContext::default() };
    StreamDriver::new(ApiFormat::OpenaiChat, &Dialect::default(), names, client, context)
}

fn feed(driver: &mut StreamDriver, pieces: &[&str]) -> String {
    let mut out = Vec::new();
    pieces.iter().for_each(|piece| driver.feed(piece.as_bytes(), &mut out));
    String::from_utf8(out).unwrap()
}

fn finish(driver: &mut StreamDriver) -> String {
    let mut out = Vec::new();
    driver.finish(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn nothing_is_written_before_the_answer_begins() {
    for client in ApiFormat::ALL {
        let mut driver = driver(client, NameMap::default());
        assert_eq!(feed(&mut driver, &[": comment\n\n", START]), "", "{client}");
        assert!(!driver.committed());
        let mut out = Vec::new();
        driver.feed(HELLO.as_bytes(), &mut out);
        assert!(driver.committed() && !out.is_empty(), "{client}");
        assert_eq!(driver.state(), DriveState::Content);
        assert_eq!(driver.response_id(), Some("c"));
    }
}

/// Found by fuzzing: the start got lost or garbled, and another one comes when something was told.
#[test]
fn a_start_that_comes_late_is_none() {
    let anthropic: String = [
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#,
        r#"{"type":"message_start","message":{"id":"m","model":"claude","usage":{"input_tokens":3}}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#,
        r#"{"type":"message_stop"}"#,
    ]
    .map(|event| format!("data: {event}\n\n"))
    .concat();
    let mut bedrock = Vec::new();
    for (event, payload) in [
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"Hello"}}"#),
        ("messageStart", r#"{"role":"assistant"}"#),
        ("messageStart", r#"{"role":"assistant"}"#),
        ("messageStop", r#"{"stopReason":"end_turn"}"#),
        ("metadata", r#"{"usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5}}"#),
    ] {
        golden::message(event, payload.as_bytes(), &mut bedrock);
    }
    for (upstream, bytes) in
        [(ApiFormat::AnthropicMessages, anthropic.as_bytes()), (ApiFormat::BedrockConverse, &bedrock)]
    {
        for client in ApiFormat::ALL {
            let context = ReplyContext { model: "m".into(), id: "0a".into(), ..ReplyContext::default() };
            let names = NameMap::default();
            let mut driver = StreamDriver::new(upstream, &Dialect::default(), names, client, context).folding();
            let mut out = Vec::new();
            driver.feed(bytes, &mut out);
            driver.finish(&mut out);
            assert_eq!((driver.broken_law(), driver.state()), (None, DriveState::Ended), "{upstream} → {client}");
            assert_eq!(driver.usage().and_then(|usage| usage.input), Some(3), "{upstream}");
            let folded = driver.folded().unwrap();
            assert!(
                matches!(&folded.response.first().unwrap().parts[0].content, Content::Text(text) if text.text == "Hello")
            );
        }
    }
}

/// Found by fuzzing: a delta of a kind that its block does not have.
#[test]
fn a_delta_that_does_not_fit_its_block_is_none() {
    let bytes: String = [
        r#"{"type":"message_start","message":{"id":"m","model":"claude"}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"Hel"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"stray"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"}}"#,
        r#"{"type":"message_stop"}"#,
    ]
    .map(|event| format!("data: {event}\n\n"))
    .concat();
    for client in ApiFormat::ALL {
        let context = ReplyContext { model: "m".into(), id: "0a".into(), ..ReplyContext::default() };
        let (from, names) = (ApiFormat::AnthropicMessages, NameMap::default());
        let mut driver = StreamDriver::new(from, &Dialect::default(), names, client, context).folding();
        let mut out = Vec::new();
        driver.feed(bytes.as_bytes(), &mut out);
        driver.finish(&mut out);
        assert_eq!((driver.broken_law(), driver.state()), (None, DriveState::Ended), "{client}");
        let folded = driver.folded().unwrap();
        let parts = &folded.response.first().unwrap().parts;
        assert!(matches!(&parts[0].content, Content::Text(text) if text.text == "Hello"), "{parts:?}");
        assert!(matches!(&parts[1].content, Content::ToolCall(call) if call.arguments == "{\"a\":1}"), "{parts:?}");
    }
}

#[test]
fn case_14_a_failure_before_content_is_left_to_the_caller_and_one_after_it_is_told() {
    let corrupt = "data: {not json\n\n";
    for (trouble, kind) in [(ERROR, ApiErrorKind::RateLimit), (corrupt, ApiErrorKind::Upstream)] {
        let mut early = driver(ApiFormat::AnthropicMessages, NameMap::default());
        assert_eq!(feed(&mut early, &[START, trouble, HELLO, DONE]), "");
        assert_eq!((early.state(), early.committed()), (DriveState::Failed, false));
        assert_eq!(early.error().unwrap().kind, kind);
        let mut out = Vec::new();
        early.write_error(&mut out);
        early.write_error(&mut out);
        let told = String::from_utf8(out).unwrap();
        assert_eq!(told.matches("event: error").count(), 1, "{told}");

        let mut late = driver(ApiFormat::AnthropicMessages, NameMap::default());
        let told = feed(&mut late, &[START, HELLO, trouble, HELLO, STOP, DONE]);
        assert!(told.contains("Hello") && told.contains("event: error"), "{told}");
        assert!(!told.contains("message_stop") && told.matches("Hello").count() == 1, "{told}");
        assert_eq!((late.state(), late.committed()), (DriveState::Failed, true));
        assert_eq!(finish(&mut late), "");
    }
}

#[test]
fn a_stream_that_ends_early_is_a_failure_wherever_it_is_cut() {
    for (fed, torn) in [(vec![START, HELLO], ""), (vec![START, HELLO, STOP], ""), (vec![START, HELLO], &HELLO[..30])] {
        let mut cut = driver(ApiFormat::OpenaiResponses, NameMap::default());
        feed(&mut cut, &fed);
        feed(&mut cut, &[torn]);
        let told = finish(&mut cut);
        assert_eq!(cut.error().unwrap().message, "upstream stream ended early");
        assert!(told.contains("response.failed") && !told.contains("response.completed"), "{told}");
    }
    let mut whole = driver(ApiFormat::OpenaiResponses, NameMap::default());
    // The last blank line is missing: the terminal is one all the same.
    let mut told = feed(&mut whole, &[START, HELLO, STOP, "data: [DONE]"]);
    told.push_str(&finish(&mut whole));
    assert_eq!(whole.state(), DriveState::Ended);
    assert!(told.contains("response.completed"));
}

#[test]
fn a_caller_can_break_off_and_keep_a_connection_alive() {
    let mut driver = driver(ApiFormat::OpenaiChat, NameMap::default());
    let mut out = Vec::new();
    driver.keep_alive(&mut out);
    assert!(!out.is_empty() && !driver.committed());
    feed(&mut driver, &[START, HELLO]);
    out.clear();
    driver.fail(ApiError::new(ApiErrorKind::Timeout, "no token for 60 s"), &mut out);
    assert!(String::from_utf8_lossy(&out).contains("no token for 60 s"));
    out.clear();
    driver.keep_alive(&mut out);
    driver.fail(ApiError::new(ApiErrorKind::Timeout, "again"), &mut out);
    assert!(out.is_empty());
}

#[test]
fn a_json_body_in_place_of_a_stream_is_an_answer_or_a_failure() {
    let body = r#"{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;
    for size in [1, 7, 1000] {
        let mut answered = driver(ApiFormat::AnthropicMessages, NameMap::default());
        let mut out = Vec::new();
        // Some hosts send blank lines while the call waits in a queue.
        answered.feed(b"\n\n", &mut out);
        body.as_bytes().chunks(size).for_each(|piece| answered.feed(piece, &mut out));
        assert!(out.is_empty());
        let told = finish(&mut answered);
        assert!(told.contains("Hello") && told.contains("message_stop"), "{told}");
        assert_eq!(answered.usage().unwrap().input, Some(3));
        assert_eq!(answered.finish_reason().unwrap().reason, FinishReason::Stop);
    }
    for failure in [r#"{"error":{"message":"no such model","code":"model_not_found"}}"#, &body[..80]] {
        let mut failed = driver(ApiFormat::AnthropicMessages, NameMap::default());
        assert_eq!(feed(&mut failed, &[failure]), "");
        assert_eq!(finish(&mut failed), "");
        assert_eq!((failed.state(), failed.committed()), (DriveState::Failed, false));
        let mut tap = StreamTap::new(ApiFormat::OpenaiChat, &Dialect::default());
        let mut out = Vec::new();
        tap.feed(&Bytes::copy_from_slice(failure.as_bytes()), &mut out).unwrap();
        assert!(out.is_empty());
        tap.finish(&mut out);
        assert_eq!((tap.state(), tap.committed()), (TapState::Failed, false));
        assert_eq!(out.concat(), failure.as_bytes());
    }
}

#[test]
fn case_01_calls_are_lifted_to_what_the_client_calls_them() {
    let asked = r#"{"model":"m","input":"Patch it.","tools":[
        {"type":"namespace","name":"fs","tools":[{"type":"function","name":"read","parameters":{}}]},
        {"type":"custom","name":"patch"}]}"#;
    let request = ApiFormat::OpenaiResponses.codec().decode_request(asked.as_bytes(), AddressHints::default()).unwrap();
    let dialect = Dialect { no_custom_tools: true, ..Dialect::default() };
    let lowered = lower(request, ApiFormat::OpenaiChat, &dialect);
    let context = ReplyContext { model: "m".into(), id: "0123456789abcdef".into(), ..ReplyContext::default() };
    let mut driver =
        StreamDriver::new(ApiFormat::OpenaiChat, &dialect, lowered.names, ApiFormat::OpenaiResponses, context)
            .folding();
    let call = |index: u32, id: &str, name: &str, arguments: &str| {
        let function = serde_json::json!({"name": name, "arguments": arguments});
        let call = serde_json::json!({"index": index, "id": id, "type": "function", "function": function});
        let chunk = serde_json::json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]});
        format!("data: {chunk}\n\n")
    };
    let stop = STOP.replace("\"stop\"", "\"tool_calls\"");
    let chunks =
        [&call(0, "c1", "fs__read", "{\"a\":1}"), &call(1, "c2", "patch", "{\"input\":\"*** x\"}"), &stop, DONE];
    let told = feed(&mut driver, &chunks);
    assert!(told.contains("response.custom_tool_call_input.delta"), "{told}");
    assert!(told.contains("\"namespace\":\"fs\"") && told.contains("\"name\":\"read\""), "{told}");
    let folded = driver.folded().unwrap();
    let calls: Vec<_> = folded.response.choices[0].parts.iter().map(|part| part.content.clone()).collect();
    let [Content::ToolCall(read), Content::ToolCall(patch)] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((read.name.as_str(), read.namespace.as_deref()), ("read", Some("fs")));
    assert_eq!((patch.kind, patch.arguments.as_str()), (ToolCallKind::Custom, "*** x"));
    assert!(folded.complete);
}

#[test]
fn failures_that_come_with_status_200_are_told_from_answers() {
    let dialect = Dialect::default();
    for (format, body) in [
        (ApiFormat::OpenaiChat, r#"{"error":{"message":"busy","code":"x"}}"#),
        (ApiFormat::OpenaiChat, r#"{"object":"error","message":"busy","type":"server_error","code":"x"}"#),
        (ApiFormat::AnthropicMessages, r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#),
        (ApiFormat::Gemini, r#"[{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}]"#),
        (ApiFormat::OllamaChat, r#"{"error":"busy"}"#),
    ] {
        let error = answer::read(format, body.as_bytes(), &dialect).unwrap_err();
        assert_eq!(error.message, "busy", "{format}");
        assert!(error.status() >= 500, "{format}: {}", error.status());
        let facts = answer::facts(format, &Bytes::from_static(body.as_bytes()), &dialect);
        assert_eq!(facts.error.unwrap().message, "busy", "{format}");
    }
    let body = r#"{"id":"resp_1","object":"response","status":"completed","error":null,"model":"m","output":[],"usage":{"input_tokens":3,"output_tokens":1,"total_tokens":4}}"#;
    let facts = answer::facts(ApiFormat::OpenaiResponses, &Bytes::from_static(body.as_bytes()), &dialect);
    assert_eq!((facts.error, facts.id.as_deref(), facts.model.as_deref()), (None, Some("resp_1"), Some("m")));
    assert_eq!(facts.usage.unwrap().total(), Some(4));
    assert!(answer::read(ApiFormat::OpenaiChat, b"<html>", &dialect).is_err());
}
