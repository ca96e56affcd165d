//! Dify: cases made from its documentation, with expectations read from the raw JSON and not by the codec.

use myelin_protocol::fold::{Folded, fold};
use myelin_protocol::format::{AddressHints, ReplyContext};
use myelin_protocol::ir::{ChatResponse, Content, FinishReason, StreamEvent};
use myelin_protocol::{ApiErrorKind, ApiFormat, Dialect, answer};
use serde_json::Value;

use crate::support::fixtures::{BodyKind, Case, cases};
use crate::support::streams;

const API: [&str; 1] = ["dify/chat-messages"];

fn events_of(case: &Case) -> Option<Vec<Value>> {
    let bytes = case.body(BodyKind::Sse)?;
    let text = String::from_utf8(bytes).unwrap();
    Some(
        text.lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap())
            .collect(),
    )
}

fn decode(bytes: &[u8]) -> Vec<StreamEvent> {
    streams::decode(ApiFormat::Dify, &Dialect::default(), &[bytes])
}

fn words(response: &ChatResponse) -> (String, String) {
    let (mut text, mut thinking) = (String::new(), String::new());
    for part in &response.first().unwrap().parts {
        match &part.content {
            Content::Text(own) => text.push_str(&own.text),
            Content::Reasoning(own) => thinking.push_str(&own.text),
            other => panic!("{other:?}"),
        }
    }
    (text, thinking)
}

#[test]
fn streams_hold_what_their_events_hold() {
    for case in cases(&API) {
        let Some(raw) = events_of(&case) else { continue };
        let all = |event: &str, pointer: &str| -> String {
            raw.iter().filter(|one| one["event"] == event).filter_map(|one| one.pointer(pointer)?.as_str()).collect()
        };
        let answer = all("message", "/answer") + &all("agent_message", "/answer");
        let Folded { response, error, complete } = fold(decode(&case.body(BodyKind::Sse).unwrap()));
        assert_eq!(words(&response), (answer, all("reasoning_chunk", "/data/reasoning")), "{}", case.id);
        assert_eq!(response.id.as_deref(), raw[0]["message_id"].as_str(), "{}", case.id);
        assert_eq!(response.extras.get("conversation_id"), Some(&raw[0]["conversation_id"]), "{}", case.id);
        let Some(end) = raw.iter().find(|one| one["event"] == "message_end") else {
            let failure = raw.iter().find(|one| one["event"] == "error").unwrap();
            let error = error.unwrap();
            assert!(!complete);
            assert_eq!((error.message.as_str(), error.status), (failure["message"].as_str().unwrap(), Some(400)));
            continue;
        };
        assert!(complete && error.is_none(), "{}", case.id);
        let usage = response.usage.as_ref().unwrap();
        let raw_usage = &end["metadata"]["usage"];
        assert_eq!(usage.input, raw_usage["prompt_tokens"].as_u64(), "{}", case.id);
        assert_eq!(usage.output, raw_usage["completion_tokens"].as_u64(), "{}", case.id);
        assert_eq!(usage.cost_usd.as_deref(), raw_usage["total_price"].as_str(), "{}", case.id);
        assert_eq!(response.first().unwrap().finish.as_ref().unwrap().reason, FinishReason::Stop);
        let sources =
            end.pointer("/metadata/retriever_resources").and_then(Value::as_array).cloned().unwrap_or_default();
        let cited = response.first().unwrap().parts.iter().filter_map(|part| match &part.content {
            Content::Text(text) => Some(text.citations.iter().map(|one| one.cited_text.clone().unwrap())),
            _ => None,
        });
        let cited: Vec<String> = cited.flatten().collect();
        let expected: Vec<&str> = sources.iter().map(|source| source["content"].as_str().unwrap()).collect();
        assert_eq!(cited, expected, "{}", case.id);
    }
}

#[test]
fn whole_answers_hold_what_their_json_holds() {
    for case in cases(&API).iter().filter(|case| case.status() == 200) {
        let Some(bytes) = case.body(BodyKind::Json) else { continue };
        let raw: Value = serde_json::from_slice(&bytes).unwrap();
        let response = ApiFormat::Dify.codec().decode_response(&bytes, &Dialect::default()).unwrap();
        assert_eq!(words(&response).0, raw["answer"].as_str().unwrap(), "{}", case.id);
        assert_eq!(response.created, raw["created_at"].as_u64());
        let usage = answer::facts(ApiFormat::Dify, &bytes.into(), &Dialect::default()).usage.unwrap();
        assert_eq!(Some(&usage), response.usage.as_ref());
        assert_eq!(usage.total(), raw.pointer("/metadata/usage/total_tokens").and_then(Value::as_u64));
        let written = ApiFormat::Dify.codec().encode_response(&response, &ReplyContext::default());
        assert!(written.losses.is_empty(), "{:?}", written.losses);
        let again = ApiFormat::Dify.codec().decode_response(&written.value, &Dialect::default()).unwrap();
        assert_eq!(again, response, "{}", case.id);
        let again: Value = serde_json::from_slice(&written.value).unwrap();
        for name in ["event", "task_id", "id", "message_id", "conversation_id", "mode", "answer", "created_at"] {
            assert_eq!(again[name], raw[name], "{name}");
        }
        assert_eq!(again["metadata"]["usage"], raw["metadata"]["usage"]);
    }
}

#[test]
fn requests_come_back_as_they_were_and_a_request_without_user_is_refused() {
    let codec = ApiFormat::Dify.codec();
    for case in cases(&API) {
        let body = case.request().unwrap();
        let hints = AddressHints { model: Some("app"), stream: None };
        let decoded = codec.decode_request(&body, hints);
        let raw: Value = serde_json::from_slice(&body).unwrap();
        if raw.get("user").is_none() {
            let (answer, _) = case.response().unwrap();
            assert_eq!(decoded.unwrap_err().message, codec.decode_error(400, &answer).message);
            continue;
        }
        let request = decoded.unwrap();
        assert_eq!(request.stream, Some(raw["response_mode"] == "streaming"), "{}", case.id);
        let written = codec.encode_request(&request, &Dialect::default()).unwrap();
        assert!(written.losses.is_empty(), "{}: {:?}", case.id, written.losses);
        assert_eq!(serde_json::from_slice::<Value>(&written.value).unwrap(), raw, "{}", case.id);
        assert_eq!(codec.decode_request(&written.value, hints).unwrap(), request, "{}", case.id);
    }
}

#[test]
fn streams_come_back_as_they_were() {
    for case in cases(&API) {
        let Some(bytes) = case.body(BodyKind::Sse) else { continue };
        let events = decode(&bytes);
        let mut encoder = ApiFormat::Dify.codec().stream_encoder(ReplyContext::default());
        let mut written = Vec::new();
        for event in &events {
            encoder.keep_alive(&mut written);
            encoder.push(event, &mut written);
        }
        assert!(encoder.losses().is_empty());
        let again = decode(&written);
        let (mut got, mut expected) = (fold(again.clone()), fold(events.clone()));
        // In a stream the text of a failure is the same; its request id is ours.
        for folded in [&mut got, &mut expected] {
            if let Some(error) = &mut folded.error {
                error.request_id = None;
            }
        }
        assert_eq!(got, expected, "{}", case.id);
        let raw = |events: &[StreamEvent]| -> Vec<StreamEvent> {
            events.iter().filter(|event| matches!(event, StreamEvent::Raw { .. })).cloned().collect()
        };
        assert_eq!(raw(&again), raw(&events), "{}", case.id);
    }
}

#[test]
fn failures_are_told_by_code() {
    for case in cases(&API).iter().filter(|case| case.status() != 200) {
        let (bytes, _) = case.response().unwrap();
        let error = ApiFormat::Dify.codec().decode_error(case.status(), &bytes);
        let expected = match case.status() {
            400 => ApiErrorKind::InvalidRequest,
            401 => ApiErrorKind::Authentication,
            404 => ApiErrorKind::NotFound,
            other => panic!("{other}"),
        };
        assert_eq!((error.kind, error.status), (expected, Some(case.status())), "{}", case.id);
        let again: Value = serde_json::from_slice(&ApiFormat::Dify.codec().encode_error(&error)).unwrap();
        assert_eq!(again, serde_json::from_slice::<Value>(&bytes).unwrap(), "{}", case.id);
    }
}
