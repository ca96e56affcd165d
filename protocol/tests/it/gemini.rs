//! Gemini and Vertex: recorded traffic, with expectations read from the raw JSON and not by the codec.

use myelin_protocol::fold::{Folded, fold, unfold};
use myelin_protocol::format::{AddressHints, ReplyContext};
use myelin_protocol::ir::{ChatResponse, Content, FinishReason, Message, RawUsage, StreamEvent};
use myelin_protocol::{ApiErrorKind, ApiFormat, Dialect, answer};
use serde_json::Value;

use crate::support::fixtures::{BodyKind, Case, cases};
use crate::support::streams;

const APIS: [&str; 2] = ["gemini/generate-content", "vertex/generate-content"];

/// What an answer holds, read straight from its chunks.
#[derive(Debug, Default, PartialEq)]
struct Raw {
    visible: String,
    thoughts: String,
    calls: Vec<(String, Value)>,
    natives: Vec<String>,
    signatures: Vec<String>,
    finish: Option<String>,
    usage: Value,
}

fn raw(chunks: &[Value]) -> Raw {
    let mut raw = Raw::default();
    for chunk in chunks {
        if let Some(usage) = chunk.get("usageMetadata") {
            raw.usage = usage.clone();
        }
        if let Some(block) = chunk.pointer("/promptFeedback/blockReason") {
            raw.finish = Some(block.as_str().unwrap().to_owned());
        }
        for candidate in chunk.get("candidates").and_then(Value::as_array).into_iter().flatten() {
            if let Some(reason) = candidate.get("finishReason") {
                raw.finish = Some(reason.as_str().map_or_else(|| reason.to_string(), str::to_owned));
            }
            for part in candidate.pointer("/content/parts").and_then(Value::as_array).into_iter().flatten() {
                raw_part(part, &mut raw);
            }
        }
    }
    raw
}

fn raw_part(part: &Value, raw: &mut Raw) {
    let signature = part.get("thoughtSignature").map(|text| text.as_str().unwrap().to_owned());
    if let Some(text) = part.get("text").and_then(Value::as_str) {
        let thought = part.get("thought") == Some(&Value::Bool(true));
        if thought { &mut raw.thoughts } else { &mut raw.visible }.push_str(text);
        raw.signatures.extend(signature);
    } else if let Some(call) = part.get("functionCall") {
        raw.signatures.extend(signature);
        if let Some(name) = call.get("name").and_then(Value::as_str) {
            let args = call.get("args").cloned().unwrap_or_else(|| Value::Object(Default::default()));
            raw.calls.push((name.to_owned(), args));
        }
        for piece in call.get("partialArgs").and_then(Value::as_array).into_iter().flatten() {
            // The recordings stream one string of one level.
            let key = piece["jsonPath"].as_str().unwrap().strip_prefix("$.").unwrap();
            let args = &mut raw.calls.last_mut().unwrap().1;
            let before = args.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            args[key] = Value::String(before + piece["stringValue"].as_str().unwrap());
        }
    } else {
        raw.natives.push(part.as_object().unwrap().keys().find(|key| *key != "thoughtSignature").unwrap().clone());
    }
}

/// The same of what the codec made of it.
fn decoded(response: &ChatResponse) -> Raw {
    let mut raw = Raw::default();
    let choice = response.first().unwrap();
    for part in &choice.parts {
        match &part.content {
            Content::Text(text) => raw.visible.push_str(&text.text),
            Content::Reasoning(reasoning) => {
                raw.thoughts.push_str(&reasoning.text);
                raw.signatures.extend(reasoning.opaque.as_ref().map(|opaque| opaque.data.clone()));
            }
            Content::ToolCall(call) => {
                raw.calls.push((call.name.clone(), serde_json::from_str(&call.arguments).unwrap()));
                raw.signatures.extend(call.signature.as_ref().map(|opaque| opaque.data.clone()));
            }
            Content::Native(native) => raw.natives.push(native.kind.clone()),
            other => panic!("unexpected {other:?}"),
        }
    }
    let usage = response.usage.as_ref();
    raw.usage = usage.and_then(|usage| usage.raw.as_ref()).map(RawUsage::value).unwrap_or_default();
    raw
}

fn chunks(case: &Case) -> Vec<Value> {
    let (bytes, kind) = case.response().unwrap();
    match kind {
        BodyKind::Sse => {
            let text = String::from_utf8(bytes).unwrap();
            text.lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .map(|data| serde_json::from_str(data).unwrap())
                .collect()
        }
        _ => match serde_json::from_slice(&bytes).unwrap() {
            Value::Array(list) => list,
            one => vec![one],
        },
    }
}

fn answer(case: &Case) -> Option<ChatResponse> {
    if case.status() != 200 {
        return None;
    }
    let (bytes, kind) = case.response()?;
    if kind == BodyKind::Sse {
        let folded = fold(streams::decode(ApiFormat::Gemini, &Dialect::default(), &[&bytes]));
        assert!(folded.complete && folded.error.is_none(), "{}", case.id);
        return Some(folded.response);
    }
    Some(ApiFormat::Gemini.codec().decode_response(&bytes, &Dialect::default()).unwrap())
}

#[test]
fn answers_hold_what_their_json_holds() {
    for case in cases(&APIS) {
        let Some(response) = answer(&case) else { continue };
        let expected = raw(&chunks(&case));
        let got = decoded(&response);
        assert_eq!(got, Raw { finish: None, ..expected.clone_without_finish() }, "{}", case.id);
        let finish = response.first().unwrap().finish.clone().unwrap();
        let word = expected.finish.unwrap();
        let reason = match (word.as_str(), expected.calls.is_empty()) {
            ("STOP" | "1", true) => FinishReason::Stop,
            ("STOP" | "1", false) => FinishReason::ToolCalls,
            ("MAX_TOKENS" | "2", _) => FinishReason::Length,
            ("SAFETY" | "MODEL_ARMOR", _) => FinishReason::ContentFilter,
            other => panic!("{other:?} in {}", case.id),
        };
        assert_eq!(finish.reason, reason, "{}", case.id);
    }
}

impl Raw {
    fn clone_without_finish(&self) -> Raw {
        Raw {
            visible: self.visible.clone(),
            thoughts: self.thoughts.clone(),
            calls: self.calls.clone(),
            natives: self.natives.clone(),
            signatures: self.signatures.clone(),
            finish: None,
            usage: self.usage.clone(),
        }
    }
}

#[test]
fn case_29_counters_add_up_as_the_host_adds_them() {
    for case in cases(&APIS) {
        let Some(usage) = answer(&case).and_then(|response| response.usage) else { continue };
        let raw = usage.raw.as_ref().unwrap().value();
        let number = |name: &str| raw.get(name).and_then(Value::as_u64);
        let Some(total) = number("totalTokenCount") else {
            assert!(usage.is_unknown(), "{}", case.id);
            continue;
        };
        assert_eq!(usage.total(), Some(total), "{}", case.id);
        assert_eq!(usage.cache_read, number("cachedContentTokenCount"), "{}", case.id);
        assert_eq!(usage.reasoning, number("thoughtsTokenCount"), "{}", case.id);
        assert!(usage.cache_read.unwrap_or(0) <= usage.input.unwrap(), "{}", case.id);
        let (bytes, kind) = case.response().unwrap();
        if kind == BodyKind::Json {
            let peeked = answer::facts(ApiFormat::Gemini, &bytes.into(), &Dialect::default()).usage.unwrap();
            assert_eq!((peeked.input, peeked.output), (usage.input, usage.output), "{}", case.id);
        }
    }
}

#[test]
fn requests_come_back_as_they_were() {
    let mut apis = APIS.to_vec();
    apis.extend(["clients/gemini-cli", "gemini/count-tokens", "vertex/count-tokens"]);
    let codec = ApiFormat::Gemini.codec();
    for case in cases(&apis) {
        let Some(body) = case.request() else { continue };
        let model = case.url().rsplit_once("models/").map(|(_, rest)| rest.split(':').next().unwrap());
        let hints = AddressHints { model: model.or(Some("gemini-2.5-flash")), stream: Some(true) };
        if case.id.ends_with("invalid-role") {
            let (answer, _) = case.response().unwrap();
            let refused = codec.decode_request(&body, hints).unwrap_err();
            assert_eq!(refused.message, codec.decode_error(400, &answer).message, "the words of the host");
            continue;
        }
        let request = codec.decode_request(&body, hints).unwrap();
        assert!(!request.messages.is_empty() && !request.model.contains('/'), "{}", case.id);
        for openapi_schema in [false, true] {
            let dialect = Dialect { openapi_schema, images_in_tool_results: true, ..Dialect::default() };
            let written = codec.encode_request(&request, &dialect).unwrap();
            let mut again = codec.decode_request(&written.value, hints).unwrap();
            if openapi_schema {
                // The subset has fewer words; what they cost is reported and tested elsewhere.
                again.tools.clone_from(&request.tools);
                again.output.clone_from(&request.output);
            } else {
                assert!(written.losses.is_empty(), "{}: {:?}", case.id, written.losses);
            }
            let mut expected = request.clone();
            expected.messages = alternating(expected.messages);
            assert_eq!(again, expected, "{}", case.id);
        }
    }
}

/// Roles alternate on the way out.
fn alternating(messages: Vec<Message>) -> Vec<Message> {
    let mut merged: Vec<Message> = Vec::new();
    for message in messages {
        match merged.last_mut() {
            Some(last) if last.role == message.role => last.parts.extend(message.parts),
            _ => merged.push(message),
        }
    }
    merged
}

fn context(response: &ChatResponse) -> ReplyContext {
    ReplyContext { model: response.model.clone().unwrap_or_default(), id: "f00".into(), ..ReplyContext::default() }
}

#[test]
fn whole_answers_come_back_as_they_were() {
    let codec = ApiFormat::Gemini.codec();
    for case in cases(&APIS) {
        let Some(response) = answer(&case) else { continue };
        let written = codec.encode_response(&response, &context(&response));
        assert!(written.losses.is_empty(), "{}: {:?}", case.id, written.losses);
        assert_eq!(codec.decode_response(&written.value, &Dialect::default()).unwrap(), response, "{}", case.id);
    }
}

/// Writes events for a client and reads what it would read.
fn through_client(events: &[StreamEvent], context: ReplyContext) -> Folded {
    let array = context.json_array;
    let mut encoder = ApiFormat::Gemini.codec().stream_encoder(context);
    let mut bytes = Vec::new();
    encoder.keep_alive(&mut bytes);
    for event in events {
        encoder.push(event, &mut bytes);
        encoder.keep_alive(&mut bytes);
    }
    assert!(encoder.losses().is_empty());
    if array {
        let list: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
        bytes = list.iter().flat_map(|chunk| format!("data: {chunk}\n\n").into_bytes()).collect();
    }
    fold(streams::decode(ApiFormat::Gemini, &Dialect::default(), &[&bytes]))
}

#[test]
fn streams_come_back_as_they_were_as_sse_and_as_an_array() {
    for case in cases(&APIS) {
        let Some(response) = answer(&case) else { continue };
        let events = match case.body(BodyKind::Sse) {
            Some(bytes) => streams::decode(ApiFormat::Gemini, &Dialect::default(), &[&bytes]),
            None => unfold(response.clone()),
        };
        for json_array in [false, true] {
            let back = through_client(&events, ReplyContext { json_array, ..context(&response) });
            assert!(back.complete && back.error.is_none(), "{}", case.id);
            assert_eq!(back.response, response, "{}", case.id);
        }
    }
}

#[test]
fn failures_are_told_by_meaning() {
    for case in cases(&APIS) {
        if case.status() == 200 {
            continue;
        }
        let (bytes, _) = case.response().unwrap();
        let error = ApiFormat::Gemini.codec().decode_error(case.status(), &bytes);
        let raw: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(Some(error.message.as_str()), raw.pointer("/error/message").and_then(Value::as_str), "{}", case.id);
        let expected = match case.status() {
            400 if error.message.starts_with("API key") => ApiErrorKind::Authentication,
            400 => ApiErrorKind::InvalidRequest,
            403 => ApiErrorKind::Permission,
            404 => ApiErrorKind::UnknownModel,
            429 => ApiErrorKind::RateLimit,
            other => panic!("{other} in {}", case.id),
        };
        assert_eq!(error.kind, expected, "{}", case.id);
        let again =
            ApiFormat::Gemini.codec().decode_error(error.status(), &ApiFormat::Gemini.codec().encode_error(&error));
        assert_eq!(
            (again.kind, again.status, &again.message),
            (error.kind, error.status, &error.message),
            "{}",
            case.id
        );
    }
}

#[test]
fn recorded_counts_are_read() {
    use myelin_protocol::formats::gemini::{decode_count_response, encode_count_response};
    for case in cases(&["gemini/count-tokens", "vertex/count-tokens"]) {
        let (bytes, _) = case.response().unwrap();
        let raw: Value = serde_json::from_slice(&bytes).unwrap();
        let count = decode_count_response(&bytes).unwrap();
        assert_eq!(Some(count), raw["totalTokens"].as_u64(), "{}", case.id);
        assert_eq!(decode_count_response(&encode_count_response(count)).unwrap(), count);
    }
}
