//! Bedrock: recorded Converse traffic and all recorded event streams, with expectations put together from the raw bytes and JSON and not by the codec.

use myelin_protocol::fold::{fold, unfold};
use myelin_protocol::format::{AddressHints, ReplyContext};
use myelin_protocol::formats::bedrock_converse::decode_count_response;
use myelin_protocol::framing::AwsEventStreamReader;
use myelin_protocol::ir::{ChatResponse, Content, FinishReason, OpaqueKind};
use myelin_protocol::{ApiErrorKind, ApiFormat, Dialect};
use serde_json::{Value, json};

use crate::support::fixtures::{BodyKind, Case, cases};
use crate::support::streams;

const FORMAT: ApiFormat = ApiFormat::BedrockConverse;

fn hints(case: &Case) -> AddressHints<'_> {
    AddressHints { model: Some(case.model()), stream: None }
}

/// CRC-32 (IEEE), bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

/// The messages of a stream, cut by their lengths: name and payload. Both checksums of each are checked.
fn messages(case: &Case) -> Vec<(String, Value)> {
    let bytes = case.body(BodyKind::EventStream).unwrap();
    let mut rest = &bytes[..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (total, headers) = (number(&rest[..4]) as usize, number(&rest[4..8]) as usize);
        assert_eq!(crc(&rest[..8]), number(&rest[8..12]), "{}: prelude", case.id);
        assert_eq!(crc(&rest[..total - 4]), number(&rest[total - 4..total]), "{}: message", case.id);
        let head = String::from_utf8_lossy(&rest[12..12 + headers]).into_owned();
        let mark = [":event-type", ":exception-type"].into_iter().find(|mark| head.contains(mark)).unwrap();
        let at = 12 + head.find(mark).unwrap() + mark.len();
        let length = usize::from(u16::from_be_bytes([rest[at + 1], rest[at + 2]]));
        let name = String::from_utf8(rest[at + 3..at + 3 + length].to_vec()).unwrap();
        let mut payload: Value = serde_json::from_slice(&rest[12 + headers..total - 4]).unwrap();
        payload.as_object_mut().unwrap().remove("p");
        found.push((name, payload));
        rest = &rest[total..];
    }
    found
}

#[test]
fn every_recorded_event_stream_has_sound_checksums_and_is_cut_into_the_same_messages() {
    let mut seen = 0;
    for case in cases(&[]).iter().filter(|case| case.body(BodyKind::EventStream).is_some()) {
        let expected = messages(case);
        let bytes = case.body(BodyKind::EventStream).unwrap();
        let mut reader = AwsEventStreamReader::new();
        let mut read = Vec::new();
        for mut piece in bytes.chunks(13) {
            while let Some(frame) = reader.next(&mut piece).unwrap() {
                let mut payload: Value = serde_json::from_slice(frame.data).unwrap();
                payload.as_object_mut().unwrap().remove("p");
                assert_eq!(frame.exception, frame.event.unwrap().ends_with("Exception"), "{}", case.id);
                read.push((frame.event.unwrap().to_owned(), payload));
            }
        }
        assert!(reader.finish().unwrap().is_none(), "{}", case.id);
        assert_eq!(read, expected, "{}", case.id);
        seen += 1;
    }
    assert!(seen == 0 || seen > 10, "{seen} streams");
}

/// The blocks of an answer in the order of their numbers, put together from the raw events; and stop reason and usage.
fn assembled(events: &[(String, Value)]) -> (Vec<Value>, Value, Value) {
    let mut blocks: Vec<Value> = Vec::new();
    let (mut stop, mut usage) = (Value::Null, Value::Null);
    for (name, event) in events {
        let index = event["contentBlockIndex"].as_u64().unwrap_or(0) as usize;
        if event.get("contentBlockIndex").is_some() && blocks.len() <= index {
            blocks.resize(index + 1, json!({}));
        }
        match name.as_str() {
            "contentBlockStart" => blocks[index] = event["start"].clone(),
            "contentBlockDelta" => {
                for (key, delta) in event["delta"].as_object().unwrap() {
                    grow(&mut blocks[index], key, delta);
                }
            }
            "messageStop" => stop = event["stopReason"].clone(),
            "metadata" => usage = event["usage"].clone(),
            _ => {}
        }
    }
    for block in &mut blocks {
        if let Some(call) = block.get_mut("toolUse") {
            let text = call["input"].as_str().unwrap_or("{}");
            call["input"] = serde_json::from_str(text).unwrap_or_else(|_| text.into());
        }
    }
    (blocks, stop, usage)
}

fn grow(block: &mut Value, key: &str, delta: &Value) {
    let append = |place: &mut Value, more: &Value| {
        *place = format!("{}{}", place.as_str().unwrap_or_default(), more.as_str().unwrap()).into();
    };
    match key {
        "text" => append(&mut block["text"], &delta.clone()),
        "toolUse" => append(&mut block["toolUse"]["input"], &delta["input"]),
        "toolResult" => block["toolResult"]["content"] = delta.clone(),
        "reasoningContent" => {
            for (name, more) in delta.as_object().unwrap() {
                let place = if name == "redactedContent" {
                    &mut block["reasoningContent"]["redactedContent"]
                } else {
                    &mut block["reasoningContent"]["reasoningText"][name]
                };
                append(place, more);
            }
        }
        other => panic!("unknown delta {other}"),
    }
}

/// What the unified answer says, block by block, in the words of the wire.
fn told(response: &ChatResponse) -> Vec<Value> {
    let choice = response.first().unwrap();
    choice
        .parts
        .iter()
        .map(|part| match &part.content {
            Content::Text(text) if text.citations.is_empty() => json!({ "text": text.text }),
            Content::Text(text) => {
                let sources: Vec<Value> =
                    text.citations.iter().map(|source| json!(source.extras.for_format(FORMAT).unwrap())).collect();
                json!({ "citationsContent": { "citations": sources, "content": [{ "text": text.text }] } })
            }
            Content::Reasoning(reasoning) => match &reasoning.opaque {
                Some(blob) if blob.kind == OpaqueKind::Redacted => {
                    json!({ "reasoningContent": { "redactedContent": blob.data } })
                }
                blob => json!({ "reasoningContent": { "reasoningText": {
                    "text": reasoning.text, "signature": blob.as_ref().unwrap().data,
                } } }),
            },
            Content::ToolCall(call) => json!({ "toolUse": {
                "toolUseId": call.id, "name": call.name, "input": serde_json::from_str::<Value>(&call.arguments).unwrap_or_else(|_| call.arguments.clone().into()),
            } }),
            Content::Native(native) => native.value.clone(),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// `type: tool_use` says nothing; order of keys neither.
fn without_type(mut blocks: Vec<Value>) -> Vec<Value> {
    for block in &mut blocks {
        if block.pointer("/toolUse/type") == Some(&json!("tool_use")) {
            block["toolUse"].as_object_mut().unwrap().remove("type");
        }
    }
    blocks
}

fn check_counts(case: &Case, raw: &Value, response: &ChatResponse) {
    let usage = response.usage.clone().unwrap();
    let count = |name: &str| raw[name].as_u64();
    assert_eq!(usage.output, count("outputTokens"), "{}", case.id);
    assert_eq!(usage.cache_read, count("cacheReadInputTokens"), "{}", case.id);
    assert_eq!(usage.cache_write, count("cacheWriteInputTokens"), "{}", case.id);
    assert_eq!(usage.total(), count("totalTokens"), "{}", case.id);
}

#[test]
fn a_converse_stream_says_what_its_events_say() {
    for case in cases(&["bedrock/converse"]).iter().filter(|case| case.body(BodyKind::EventStream).is_some()) {
        let (blocks, stop, usage) = assembled(&messages(case));
        let bytes = case.body(BodyKind::EventStream).unwrap();
        let folded = fold(streams::decode(FORMAT, &Dialect::default(), &[&bytes]));
        assert!(folded.complete, "{}", case.id);
        assert_eq!(told(&folded.response), without_type(blocks), "{}", case.id);
        check_counts(case, &usage, &folded.response);
        check_finish(case, &stop, &folded.response);
    }
}

fn check_finish(case: &Case, stop: &Value, response: &ChatResponse) {
    let expected = match stop.as_str().unwrap() {
        "end_turn" => FinishReason::Stop,
        "tool_use" => FinishReason::ToolCalls,
        "max_tokens" => FinishReason::Length,
        "guardrail_intervened" => FinishReason::ContentFilter,
        other => panic!("{other}"),
    };
    assert_eq!(response.choices[0].finish.as_ref().unwrap().reason, expected, "{}", case.id);
}

#[test]
fn a_whole_converse_answer_comes_back_as_it_was_whole_and_streamed() {
    for case in cases(&["bedrock/converse"]).iter().filter(|case| case.status() == 200) {
        let Some(body) = case.body(BodyKind::Json) else { continue };
        let raw: Value = serde_json::from_slice(&body).unwrap();
        let response = FORMAT.codec().decode_response(&body, &Dialect::default()).unwrap();
        let blocks = raw["output"]["message"]["content"].as_array().unwrap().clone();
        assert_eq!(told(&response), without_type(blocks), "{}", case.id);
        check_counts(case, &raw["usage"], &response);
        check_finish(case, &raw["stopReason"], &response);
        let written = FORMAT.codec().encode_response(&response, &ReplyContext::default());
        assert_eq!(written.losses, [], "{}", case.id);
        let mut back = FORMAT.codec().decode_response(&written.value, &Dialect::default()).unwrap();
        let mut encoder = FORMAT.codec().stream_encoder(ReplyContext::default());
        let mut bytes = Vec::new();
        unfold(response.clone()).iter().for_each(|event| encoder.push(event, &mut bytes));
        let mut streamed = fold(streams::decode(FORMAT, &Dialect::default(), &[&bytes])).response;
        for usage in [&mut back.usage, &mut streamed.usage] {
            usage.as_mut().unwrap().raw = response.usage.as_ref().unwrap().raw.clone();
        }
        assert_eq!(back, response, "{}", case.id);
        assert_eq!(streamed, response, "{}", case.id);
    }
}

#[test]
fn converse_requests_come_back_as_they_were() {
    for case in cases(&["bedrock/converse"]) {
        let Some(body) = case.request() else { continue };
        let raw: Value = serde_json::from_slice(&body).unwrap();
        let request = FORMAT.codec().decode_request(&body, hints(&case)).unwrap();
        let written = FORMAT.codec().encode_request(&request, &Dialect::default()).unwrap();
        let out: Value = serde_json::from_slice(&written.value).unwrap();
        assert_eq!(written.losses, [], "{}", case.id);
        assert_eq!(plain(out), plain(raw), "{}", case.id);
    }
}

/// Equal ways to say something made one: empty lists and bags left out, roles merged, JSON results as text.
fn plain(mut body: Value) -> Value {
    let fields = body.as_object_mut().unwrap();
    fields.retain(|name, value| {
        !value.is_null()
            && !(["system", "inferenceConfig"].contains(&name.as_str()) && (*value == json!([]) || *value == json!({})))
    });
    let mut merged: Vec<Value> = Vec::new();
    for mut message in fields["messages"].as_array().unwrap().clone() {
        for block in message["content"].as_array_mut().unwrap() {
            for piece in block.pointer_mut("/toolResult/content").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(json) = piece.get("json") {
                    *piece = json!({ "text": serde_json::to_string(json).unwrap() });
                }
                if let Some(text) =
                    piece.get("text").and_then(Value::as_str).and_then(|text| serde_json::from_str::<Value>(text).ok())
                {
                    *piece = json!({ "text": text });
                }
            }
        }
        match merged.last_mut().filter(|last| last["role"] == message["role"]) {
            Some(last) => {
                last["content"].as_array_mut().unwrap().extend(message["content"].as_array().unwrap().clone())
            }
            None => merged.push(message),
        }
    }
    fields.insert("messages".into(), merged.into());
    body
}

#[test]
fn bedrock_failures_are_understood() {
    for case in cases(&["bedrock/converse", "bedrock/invoke-model"]).iter().filter(|case| case.status() != 200) {
        let body = case.body(BodyKind::Json).unwrap();
        let raw: Value = serde_json::from_slice(&body).unwrap();
        let expected = match case.status() {
            400 => ApiErrorKind::InvalidRequest,
            403 if raw["message"].as_str().unwrap().contains("access to the model") => ApiErrorKind::Permission,
            403 => ApiErrorKind::Authentication,
            404 => ApiErrorKind::UnknownModel,
            other => panic!("{other}"),
        };
        for format in [FORMAT, ApiFormat::AnthropicMessages] {
            let error = format.codec().decode_error(case.status(), &body);
            assert_eq!(Some(error.message.as_str()), raw["message"].as_str(), "{}", case.id);
            assert_eq!((error.kind, error.status()), (expected, case.status()), "{}", case.id);
        }
    }
}

#[test]
fn an_exception_in_the_middle_of_a_recorded_stream_is_a_failure() {
    for case in cases(&["bedrock/invoke-model"]).iter().filter(|case| case.id.contains("midstream-error")) {
        let (name, payload) = messages(case).pop().unwrap();
        let bytes = case.body(BodyKind::EventStream).unwrap();
        let mut reader = AwsEventStreamReader::new();
        let mut input = &bytes[..];
        let mut last = None;
        while let Some(frame) = reader.next(&mut input).unwrap() {
            if frame.exception {
                let mut events = Vec::new();
                FORMAT.codec().stream_decoder(&Dialect::default()).feed(&frame, &mut events).unwrap();
                last = fold(events).error;
            }
        }
        let error = last.unwrap();
        assert_eq!(
            (error.r#type, Some(error.message.as_str())),
            (Some(name), payload["message"].as_str()),
            "{}",
            case.id
        );
        assert_eq!(error.kind, ApiErrorKind::Upstream, "{}", case.id);
    }
}

#[test]
fn recorded_counts_are_read() {
    for case in cases(&["bedrock/count-tokens"]) {
        let body = case.body(BodyKind::Json).unwrap();
        let raw: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(decode_count_response(&body).ok(), raw["inputTokens"].as_u64(), "{}", case.id);
    }
}
