//! Anthropic Messages on every recorded host (its own, Vertex, Bedrock invoke, Ollama), with expectations put together from the raw JSON and not by
//! the codec.

use base64::Engine as _;
use myelin_protocol::fold::{Folded, fold, unfold};
use myelin_protocol::format::{AddressHints, ReplyContext};
use myelin_protocol::formats::anthropic_messages::{decode_count_response, encode_count_request};
use myelin_protocol::framing::{AwsEventStreamReader, Framing, SseReader};
use myelin_protocol::ir::{ChatRequest, StreamEvent};
use myelin_protocol::{ApiErrorKind, ApiFormat, Dialect, answer};
use serde_json::{Map, Value, json};

use crate::support::fixtures::{BodyKind, Case, cases};
use crate::support::splits;

const FORMAT: ApiFormat = ApiFormat::AnthropicMessages;
const APIS: [&str; 4] =
    ["anthropic/messages", "vertex/claude-raw-predict", "bedrock/invoke-model", "ollama/anthropic-messages"];

/// Every recorded exchange with a Claude-shaped body; Bedrock's invoke serves other shapes too.
fn exchanges() -> Vec<Case> {
    let claude = |case: &Case| {
        case.api != "bedrock/invoke-model"
            || case.url().contains("anthropic.claude")
            || case.model().contains("anthropic.claude")
    };
    cases(&APIS).into_iter().filter(claude).collect()
}

fn context() -> ReplyContext {
    ReplyContext { id: "0a".into(), ..ReplyContext::default() }
}

fn hints(case: &Case) -> AddressHints<'_> {
    AddressHints { model: Some(case.model()), stream: None }
}

/// The events of a recorded stream as JSON, whatever carries them.
fn raw_events(case: &Case) -> Option<Vec<Value>> {
    let (bytes, kind) = case.response()?;
    let mut input = &bytes[..];
    let mut events: Vec<Value> = Vec::new();
    match kind {
        BodyKind::Sse => {
            let mut reader = SseReader::new();
            while let Some(frame) = reader.next(&mut input).unwrap() {
                events.push(serde_json::from_slice(frame.data).unwrap());
            }
        }
        BodyKind::EventStream => {
            let mut reader = AwsEventStreamReader::new();
            while let Some(frame) = reader.next(&mut input).unwrap() {
                let wrapped: Value = serde_json::from_slice(frame.data).unwrap();
                let inner = wrapped["bytes"].as_str().expect("a chunk");
                let inner = base64::engine::general_purpose::STANDARD.decode(inner).unwrap();
                events.push(serde_json::from_slice(&inner).unwrap());
            }
        }
        _ => return None,
    }
    // Some recordings hold several answers in a row: the first one counts.
    let stop = events.iter().position(|event| event["type"] == "message_stop");
    events.truncate(stop.map_or(events.len(), |at| at + 1));
    Some(events)
}

/// The events that the codec reads, the bytes cut at `cuts`.
fn decoded(case: &Case, cuts: &[usize]) -> Vec<StreamEvent> {
    let (bytes, kind) = case.response().unwrap();
    let mut decoder = FORMAT.codec().stream_decoder(&Dialect::default());
    let mut events = Vec::new();
    let (mut sse, mut aws) = (SseReader::new(), AwsEventStreamReader::new());
    for mut piece in splits::cut_at(&bytes, cuts) {
        loop {
            let frame = if kind == BodyKind::Sse { sse.next(&mut piece) } else { aws.next(&mut piece) };
            let Some(frame) = frame.unwrap() else { break };
            decoder.feed(&frame, &mut events).unwrap();
        }
    }
    decoder.finish(&mut events);
    events
}

/// What a client would put together from the events, by the rules of the API and by nothing else.
fn assembled(events: &[Value]) -> Value {
    let mut message = Value::Null;
    let mut inputs: Map<String, Value> = Map::new();
    for event in events {
        let index = event["index"].as_u64().unwrap_or(0) as usize;
        match event["type"].as_str().unwrap() {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => message["content"].as_array_mut().unwrap().push(event["content_block"].clone()),
            "content_block_delta" => grow(&mut message["content"][index], &event["delta"], &mut inputs, index),
            "content_block_stop" => {
                if let Some(Value::String(text)) = inputs.remove(&index.to_string())
                    && !text.is_empty()
                {
                    message["content"][index]["input"] = serde_json::from_str(&text).unwrap();
                }
            }
            "message_delta" => {
                for (name, value) in event["delta"].as_object().unwrap() {
                    message[name] = value.clone();
                }
                for (name, value) in
                    event["usage"].as_object().into_iter().flatten().filter(|(_, value)| !value.is_null())
                {
                    message["usage"][name] = value.clone();
                }
                if let Some(edits) = event.get("context_management") {
                    message["context_management"] = edits.clone();
                }
            }
            _ => {}
        }
    }
    message
}

fn grow(block: &mut Value, delta: &Value, inputs: &mut Map<String, Value>, index: usize) {
    let append = |block: &mut Value, name: &str, more: &Value| {
        block[name] = format!("{}{}", block[name].as_str().unwrap_or_default(), more.as_str().unwrap()).into();
    };
    match delta["type"].as_str().unwrap() {
        "text_delta" => append(block, "text", &delta["text"]),
        "thinking_delta" => append(block, "thinking", &delta["thinking"]),
        "signature_delta" => append(block, "signature", &delta["signature"]),
        "compaction_delta" => append(block, "content", &delta["content"]),
        "input_json_delta" => {
            let text = inputs.entry(index.to_string()).or_insert_with(|| "".into());
            *text = format!("{}{}", text.as_str().unwrap(), delta["partial_json"].as_str().unwrap()).into();
        }
        "citations_delta" => {
            if !block["citations"].is_array() {
                block["citations"] = json!([]);
            }
            block["citations"].as_array_mut().unwrap().push(delta["citation"].clone());
        }
        other => panic!("unknown delta {other}"),
    }
}

/// Takes out what says nothing: nulls, empty citations; a missing signature is an empty one.
fn normal(mut message: Value) -> Value {
    fn clean(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, value| !(value.is_null() || name == "citations" && *value == json!([])));
                if fields.get("type").is_some_and(|kind| kind == "thinking") {
                    fields.entry("signature").or_insert_with(|| "".into());
                }
                fields.values_mut().for_each(clean);
            }
            Value::Array(list) => list.iter_mut().for_each(clean),
            _ => {}
        }
    }
    clean(&mut message);
    message
}

#[test]
fn a_stream_says_what_a_client_would_put_together_from_its_events() {
    let mut seen = 0;
    for case in exchanges().iter().filter(|case| case.status() == 200) {
        let Some(raw) = raw_events(case) else { continue };
        let folded = fold(decoded(case, &[]));
        if raw.iter().any(|event| event["type"] == "error") || case.id.contains("spliced") {
            assert!(folded.error.is_some() && !folded.complete, "{}", case.id);
            continue;
        }
        assert!(folded.complete && folded.error.is_none(), "{}", case.id);
        seen += 1;
        let written = FORMAT.codec().encode_response(&folded.response, &context());
        assert_eq!(written.losses, [], "{}", case.id);
        let mut written: Value = serde_json::from_slice(&written.value).unwrap();
        let mut expected = assembled(&raw);
        // Ids of other hosts get this format's shape.
        for message in [&mut written, &mut expected] {
            message.as_object_mut().unwrap().remove("id");
        }
        assert_eq!(normal(written), normal(expected), "{}", case.id);
        check_usage(case, &assembled(&raw)["usage"], &folded);
    }
    assert!(seen == 0 || seen > 20, "{seen} streams");
}

fn check_usage(case: &Case, raw: &Value, folded: &Folded) {
    let usage = folded.response.usage.clone().unwrap();
    let count = |name: &str| raw[name].as_u64().unwrap_or(0);
    let input = count("input_tokens") + count("cache_creation_input_tokens") + count("cache_read_input_tokens");
    assert_eq!(usage.input, Some(input), "{}", case.id);
    assert_eq!(usage.output, raw["output_tokens"].as_u64(), "{}", case.id);
    assert_eq!(usage.cache_read, raw["cache_read_input_tokens"].as_u64(), "{}", case.id);
    assert_eq!(usage.cache_write, raw["cache_creation_input_tokens"].as_u64(), "{}", case.id);
    assert_eq!(usage.cache_write_1h, raw["cache_creation"]["ephemeral_1h_input_tokens"].as_u64(), "{}", case.id);
    assert_eq!(usage.reasoning, raw["output_tokens_details"]["thinking_tokens"].as_u64(), "{}", case.id);
    assert_eq!(usage.web_searches, raw["server_tool_use"]["web_search_requests"].as_u64(), "{}", case.id);
}

#[test]
fn a_whole_answer_comes_back_as_it_was() {
    let mut seen = 0;
    for case in exchanges().iter().filter(|case| case.status() == 200) {
        let Some(body) = case.body(BodyKind::Json) else { continue };
        let raw: Value = serde_json::from_slice(&body).unwrap();
        let response = FORMAT.codec().decode_response(&body, &Dialect::default()).unwrap();
        assert_eq!(
            response.usage,
            answer::facts(FORMAT, &body.clone().into(), &Dialect::default()).usage,
            "{}",
            case.id
        );
        let written = FORMAT.codec().encode_response(&response, &context());
        assert_eq!(written.losses, [], "{}", case.id);
        let written: Value = serde_json::from_slice(&written.value).unwrap();
        assert_eq!(normal(written), normal(raw.clone()), "{}", case.id);
        let folded = Folded { response, error: None, complete: true };
        check_usage(case, &raw["usage"], &folded);
        seen += 1;
    }
    assert!(seen == 0 || seen > 12, "{seen} answers");
}

#[test]
fn an_answer_streams_to_a_client_as_it_was() {
    for case in exchanges().iter().filter(|case| case.status() == 200) {
        let Some(body) = case.body(BodyKind::Json) else { continue };
        let response = FORMAT.codec().decode_response(&body, &Dialect::default()).unwrap();
        let mut encoder = FORMAT.codec().stream_encoder(context());
        let mut bytes = Vec::new();
        unfold(response.clone()).iter().for_each(|event| encoder.push(event, &mut bytes));
        assert_eq!(encoder.losses(), [], "{}", case.id);
        let mut reader = SseReader::new();
        let mut input = &bytes[..];
        let mut events = Vec::new();
        while let Some(frame) = reader.next(&mut input).unwrap() {
            let event: Value = serde_json::from_slice(frame.data).unwrap();
            assert_eq!(frame.event, event["type"].as_str(), "{}", case.id);
            events.push(event);
        }
        let mut expected: Value = serde_json::from_slice(&body).unwrap();
        let mut streamed = assembled(&events);
        for message in [&mut streamed, &mut expected] {
            message.as_object_mut().unwrap().remove("id");
        }
        assert_eq!(normal(streamed), normal(expected), "{}", case.id);
    }
}

/// The other streams are among those of `resplit`.
#[test]
fn streams_in_binary_frames_read_the_same_at_every_split_and_a_cut_stream_never_ends() {
    for case in exchanges().iter().filter(|case| case.status() == 200) {
        let Some(bytes) = case.body(BodyKind::EventStream) else { continue };
        let whole = decoded(case, &[]);
        let single: Vec<usize> = (0..=bytes.len()).collect();
        assert_eq!(decoded(case, &single), whole, "{}", case.id);
        for cut in splits::two_way_cuts(&bytes, Framing::AwsEventStream) {
            assert_eq!(decoded(case, &[cut]), whole, "{} at {cut}", case.id);
        }
        let until_end = whole.iter().position(|event| matches!(event, StreamEvent::End | StreamEvent::Error(_)));
        let folded = fold(whole.into_iter().take(until_end.unwrap()));
        assert!(!folded.complete && folded.error.is_none(), "{}", case.id);
    }
}

/// A request as it stands once equal ways to say something are one: plain text as a string, defaults left out.
fn plain_request(mut body: Value) -> Value {
    fn content(value: &mut Value) {
        if let Value::Array(blocks) = value {
            for block in blocks.iter_mut() {
                let fields = block.as_object_mut().unwrap();
                fields.retain(|_, value| !value.is_null());
                if fields.get("type").is_some_and(|kind| kind == "tool_result")
                    && let Some(inner) = fields.get_mut("content")
                {
                    content(inner);
                }
            }
            if let [only] = &blocks[..]
                && only["type"] == "text"
                && only.as_object().unwrap().len() == 2
            {
                *value = only["text"].clone();
            }
        }
    }
    let fields = body.as_object_mut().unwrap();
    fields.retain(|name, value| {
        !value.is_null() && !["model", "stream", "max_tokens", "anthropic_version"].contains(&name.as_str())
    });
    if let Some(system) = fields.get_mut("system") {
        content(system);
    }
    for message in fields["messages"].as_array_mut().unwrap() {
        content(&mut message["content"]);
    }
    if fields.get("tools") == Some(&json!([])) {
        fields.remove("tools");
    }
    if let Some(Value::String(word)) = fields.get("tool_choice") {
        let choice = json!({ "type": word });
        fields.insert("tool_choice".into(), choice);
    }
    body
}

#[test]
fn requests_come_back_as_they_were() {
    let mut seen = 0;
    for case in exchanges() {
        let Some(body) = case.request() else { continue };
        let raw: Value = serde_json::from_slice(&body).unwrap();
        if raw.get("messages").is_none() {
            continue;
        }
        let request: ChatRequest = FORMAT.codec().decode_request(&body, hints(&case)).unwrap();
        let written = FORMAT.codec().encode_request(&request, &Dialect::default()).unwrap();
        let out: Value = serde_json::from_slice(&written.value).unwrap();
        assert_eq!(out["max_tokens"].as_u64(), Some(raw["max_tokens"].as_u64().unwrap_or(8192)), "{}", case.id);
        let back = FORMAT.codec().decode_request(&written.value, hints(&case)).unwrap();
        assert_eq!(back.messages.len(), request.messages.len(), "{}", case.id);
        if written.losses.is_empty() {
            assert_eq!(plain_request(out), plain_request(raw), "{}", case.id);
            seen += 1;
        } else {
            // Recorded requests that the API refused, or that say what a model does not take.
            println!("{}: {:?}", case.id, written.losses);
        }
    }
    assert!(seen == 0 || seen > 25, "{seen} requests");
}

#[test]
fn failures_are_understood_and_told_again() {
    let kinds = [
        (400, ApiErrorKind::InvalidRequest),
        (401, ApiErrorKind::Authentication),
        (404, ApiErrorKind::UnknownModel),
        (413, ApiErrorKind::TooLarge),
        (429, ApiErrorKind::RateLimit),
        (529, ApiErrorKind::Overloaded),
    ];
    for case in cases(&["anthropic/messages"]).iter().filter(|case| case.status() != 200) {
        let body = case.body(BodyKind::Json).unwrap();
        let raw: Value = serde_json::from_slice(&body).unwrap();
        let error = FORMAT.codec().decode_error(case.status(), &body);
        let expected = kinds.iter().find(|(status, _)| *status == case.status()).unwrap();
        assert_eq!((error.status(), error.kind), *expected, "{}", case.id);
        assert_eq!(Some(error.message.as_str()), raw["error"]["message"].as_str(), "{}", case.id);
        let told: Value = serde_json::from_slice(&FORMAT.codec().encode_error(&error)).unwrap();
        assert_eq!(told["error"], raw["error"], "{}", case.id);
        assert_eq!(told.get("request_id").and_then(Value::as_str), raw["request_id"].as_str(), "{}", case.id);
    }
}

#[test]
fn case_23_recorded_counts_are_asked_for_and_read() {
    for case in cases(&["anthropic/count-tokens"]) {
        let raw: Value = serde_json::from_slice(&case.request().unwrap()).unwrap();
        let request = FORMAT.codec().decode_request(raw.to_string().as_bytes(), hints(&case)).unwrap();
        let asked = encode_count_request(&request, &Dialect::default()).unwrap();
        let asked: Value = serde_json::from_slice(&asked.value).unwrap();
        assert_eq!(plain_request(asked.clone()), plain_request(raw.clone()), "{}", case.id);
        assert!(asked.get("max_tokens").is_none() && asked["model"] == raw["model"], "{}", case.id);
        let body = case.body(BodyKind::Json).unwrap();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(decode_count_response(&body).ok(), answer["input_tokens"].as_u64(), "{}", case.id);
    }
}
