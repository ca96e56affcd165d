//! Ollama: recorded traffic, with expectations read from the raw JSON and not by the codec.

use myelin_protocol::fold::{fold, unfold};
use myelin_protocol::format::{AddressHints, ReplyContext};
use myelin_protocol::ir::{ChatResponse, Content, FinishReason};
use myelin_protocol::{ApiFormat, Dialect};
use serde_json::Value;

use crate::support::fixtures::{BodyKind, Case, cases};
use crate::support::streams;

const APIS: [&str; 2] = ["ollama/api-chat", "ollama/api-generate"];

fn format(case: &Case) -> ApiFormat {
    if case.api.ends_with("generate") { ApiFormat::OllamaGenerate } else { ApiFormat::OllamaChat }
}

fn lines(case: &Case) -> Vec<Value> {
    let (bytes, _) = case.response().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    if let Ok(one) = serde_json::from_str(&text) {
        return vec![one];
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn answer(case: &Case) -> ChatResponse {
    let (bytes, kind) = case.response().unwrap();
    let format = format(case);
    if kind == BodyKind::NdJson {
        let folded = fold(streams::decode(format, &Dialect::default(), &[&bytes]));
        assert!(folded.complete && folded.error.is_none(), "{}", case.id);
        return folded.response;
    }
    format.codec().decode_response(&bytes, &Dialect::default()).unwrap()
}

#[test]
fn answers_hold_what_their_lines_hold() {
    for case in cases(&APIS) {
        let lines = lines(&case);
        let joined =
            |pointer: &str| -> String { lines.iter().filter_map(|line| line.pointer(pointer)?.as_str()).collect() };
        let text = joined("/message/content") + &joined("/response");
        let thinking = joined("/message/thinking") + &joined("/thinking");
        let calls: Vec<&Value> =
            lines.iter().filter_map(|line| line.pointer("/message/tool_calls")?.as_array()).flatten().collect();
        let response = answer(&case);
        let choice = response.first().unwrap();
        let (mut got_text, mut got_thinking, mut got_calls) = (String::new(), String::new(), Vec::new());
        for part in &choice.parts {
            match &part.content {
                Content::Text(text) => got_text.push_str(&text.text),
                Content::Reasoning(reasoning) => got_thinking.push_str(&reasoning.text),
                Content::ToolCall(call) => got_calls.push(call),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((got_text, got_thinking), (text, thinking), "{}", case.id);
        assert_eq!(got_calls.len(), calls.len(), "{}", case.id);
        for (got, raw) in got_calls.iter().zip(&calls) {
            assert_eq!(got.name, raw["function"]["name"], "{}", case.id);
            let arguments: Value = serde_json::from_str(&got.arguments).unwrap();
            assert_eq!(arguments, raw["function"]["arguments"], "{}", case.id);
            assert_eq!(got.id, raw["id"].as_str().unwrap_or_default(), "{}", case.id);
        }
        let last = lines.last().unwrap();
        let reason = match (last["done_reason"].as_str().unwrap(), calls.is_empty()) {
            ("stop", true) => FinishReason::Stop,
            ("stop", false) => FinishReason::ToolCalls,
            ("length", _) => FinishReason::Length,
            other => panic!("{other:?}"),
        };
        assert_eq!(choice.finish.as_ref().unwrap().reason, reason, "{}", case.id);
        let usage = response.usage.unwrap_or_default();
        assert_eq!(usage.input, last["prompt_eval_count"].as_u64(), "{}", case.id);
        assert_eq!(usage.output, last["eval_count"].as_u64(), "{}", case.id);
    }
}

#[test]
fn requests_come_back_as_they_were() {
    for case in cases(&APIS) {
        let Some(body) = case.request() else { continue };
        let codec = format(&case).codec();
        let request = codec.decode_request(&body, AddressHints::default()).unwrap();
        let raw: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(request.stream, Some(raw["stream"].as_bool().unwrap_or(true)), "{}", case.id);
        let written = codec.encode_request(&request, &Dialect::default()).unwrap();
        assert!(written.losses.is_empty(), "{}: {:?}", case.id, written.losses);
        assert_eq!(codec.decode_request(&written.value, AddressHints::default()).unwrap(), request, "{}", case.id);
        // What the caller wrote is there again, but for defaults that are now said.
        let again: Value = serde_json::from_slice(&written.value).unwrap();
        for (name, value) in raw.as_object().unwrap() {
            let empty = value == "" || value.as_object().is_some_and(serde_json::Map::is_empty);
            if name != "messages" && !empty {
                assert_eq!(plain(&again[name]), plain(value), "{} {name}", case.id);
            }
        }
    }
}

/// `0.0` and `0` are one number.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        Value::Number(number) => Value::from(number.as_f64()),
        value => value.clone(),
    }
}

#[test]
fn answers_come_back_as_they_were_whole_and_streamed() {
    for case in cases(&APIS) {
        let response = answer(&case);
        let codec = format(&case).codec();
        let context = ReplyContext { model: response.model.clone().unwrap(), ..ReplyContext::default() };
        let written = codec.encode_response(&response, &context);
        assert!(written.losses.is_empty(), "{}: {:?}", case.id, written.losses);
        assert_eq!(codec.decode_response(&written.value, &Dialect::default()).unwrap(), response, "{}", case.id);
        let mut encoder = codec.stream_encoder(context);
        let mut bytes = Vec::new();
        for event in unfold(response.clone()) {
            encoder.keep_alive(&mut bytes);
            encoder.push(&event, &mut bytes);
        }
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            serde_json::from_slice::<Value>(line).expect("every line parses, as client libraries demand");
        }
        let back = fold(streams::decode(format(&case), &Dialect::default(), &[&bytes]));
        assert!(back.complete, "{}", case.id);
        assert_eq!(back.response, response, "{}", case.id);
    }
}

#[test]
fn the_recorded_list_of_models_is_read() {
    for case in cases(&["ollama/api-tags"]) {
        let (bytes, _) = case.response().unwrap();
        let raw: Value = serde_json::from_slice(&bytes).unwrap();
        let models = ApiFormat::OllamaChat.codec().decode_models(&bytes).unwrap();
        let names: Vec<&str> =
            raw["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap()).collect();
        assert_eq!(models.iter().map(|model| model.id.as_str()).collect::<Vec<_>>(), names);
        assert!(models.iter().all(|model| model.created.is_some()));
    }
}
