//! Rules of the wire that no single file owns: requests, whole answers and streams together, and what other formats hand over.

mod answers;
mod properties;
mod requests;
mod streams;

use std::sync::Arc;

use serde_json::{Value, json};

use super::codec;
use crate::format::AddressHints;
use crate::framing::Frame;
use crate::ir::{
    ChatRequest, ChatResponse, Choice, Citation, Content, Delta, Effort, Extras, Finish, FinishReason, FunctionTool,
    Media, MediaKind, MediaSource, Message, Native, Opaque, OpaqueKind, OutputFormat, Part, PartHead, Reasoning,
    ReasoningPart, Role, StreamEvent, Text, Tool, ToolCall, ToolCallKind, ToolChoice, ToolResult, Usage,
};
use crate::{ApiError, ApiErrorKind, ApiFormat, Dialect, ReplyContext, fold, laws};

const OWN: ApiFormat = ApiFormat::OpenaiResponses;

fn request(body: Value) -> ChatRequest {
    codec().decode_request(body.to_string().as_bytes(), AddressHints::default()).unwrap()
}

fn written(request: &ChatRequest) -> (Value, Vec<String>) {
    written_for(request, &Dialect::default())
}

fn written_for(request: &ChatRequest, dialect: &Dialect) -> (Value, Vec<String>) {
    let lossy = codec().encode_request(request, dialect).unwrap();
    let losses = lossy.losses.iter().map(|loss| loss.field.to_string()).collect();
    (serde_json::from_slice(&lossy.value).unwrap(), losses)
}

fn context() -> ReplyContext {
    ReplyContext { model: "shown".into(), id: "ab12".into(), created: 9, ..ReplyContext::default() }
}

fn answer(parts: Vec<Part>, reason: FinishReason) -> ChatResponse {
    let choice = Choice { parts, finish: Some(Finish::new(reason)), extras: Extras::NONE };
    ChatResponse { choices: vec![choice], ..ChatResponse::default() }
}

fn whole(response: &ChatResponse) -> Value {
    serde_json::from_slice(&codec().encode_response(response, &context()).value).unwrap()
}

/// The frames that an encoder writes for `events`.
fn stream(events: &[StreamEvent]) -> Vec<Value> {
    let mut encoder = codec().stream_encoder(context());
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    let text = String::from_utf8(out).unwrap();
    let frames: Vec<&str> = text.split("\n\n").filter(|frame| !frame.is_empty()).collect();
    let parsed = frames.iter().map(|frame| {
        let (event, data) = frame.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(event.strip_prefix("event: ").unwrap(), data["type"]);
        data
    });
    let parsed: Vec<Value> = parsed.collect();
    for (number, data) in parsed.iter().enumerate() {
        assert_eq!(data["sequence_number"], number);
    }
    parsed
}

fn kinds(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["type"].as_str().unwrap().strip_prefix("response.").unwrap_or("error")).collect()
}

/// The events that a decoder reads from `frames`.
fn events(frames: &[Value]) -> Vec<StreamEvent> {
    let mut decoder = codec().stream_decoder(&Dialect::default());
    let mut events = Vec::new();
    for frame in frames {
        let data = frame.to_string();
        decoder.feed(&Frame { event: None, exception: false, data: data.as_bytes() }, &mut events).unwrap();
    }
    decoder.finish(&mut events);
    laws::check(&events).unwrap();
    events
}

fn parts_of(events: &[StreamEvent]) -> Vec<Part> {
    fold::fold(events.iter().cloned()).response.choices.into_iter().next().unwrap_or_default().parts
}

fn signature(format: ApiFormat) -> Opaque {
    Opaque { kind: OpaqueKind::Signature, format, data: "c2ln".into() }
}

fn call(id: &str, kind: ToolCallKind, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: "f".into(), namespace: None, kind, arguments: arguments.into(), signature: None }
}
