//! One rule a test; recorded traffic is in `tests/it/openai_chat.rs`.

mod errors;
mod replies;
mod requests;
mod streams_in;
mod streams_out;
mod thoughts;

use serde_json::Value;

use super::codec;
use crate::Dialect;
use crate::fold::{Folded, fold};
use crate::format::{AddressHints, ReplyContext};
use crate::framing::Frame;
use crate::ir::{ChatRequest, ChatResponse, Content, Loss, StreamEvent, ToolCall};
use crate::laws;

/// The events of chunks that a host sends, `[DONE]` included if `done`. Laws are checked.
fn events(dialect: &Dialect, chunks: &[Value], done: bool) -> Vec<StreamEvent> {
    let mut decoder = codec().stream_decoder(dialect);
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.feed(&Frame::data(chunk.to_string().as_bytes()), &mut events).unwrap();
    }
    if done {
        decoder.feed(&Frame::data(b"[DONE]"), &mut events).unwrap();
    }
    decoder.finish(&mut events);
    laws::check(&events).unwrap_or_else(|broken| panic!("{broken}: {events:#?}"));
    events
}

fn folded(chunks: &[Value]) -> Folded {
    fold(events(&Dialect::default(), chunks, true))
}

/// A chunk of one choice.
fn chunk(delta: Value) -> Value {
    serde_json::json!({ "id": "chatcmpl-1", "model": "m", "created": 7, "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] })
}

fn finish(word: &str) -> Value {
    serde_json::json!({ "id": "chatcmpl-1", "model": "m", "created": 7, "choices": [{ "index": 0, "delta": {}, "finish_reason": word }] })
}

fn calls(response: &ChatResponse) -> Vec<ToolCall> {
    let parts = response.choices.iter().flat_map(|choice| choice.parts.clone());
    parts.filter_map(|part| if let Content::ToolCall(call) = part.content { Some(call) } else { None }).collect()
}

fn text(response: &ChatResponse) -> String {
    response.first().unwrap().parts.iter().filter_map(|part| part.as_text()).collect()
}

fn request(body: &Value) -> ChatRequest {
    codec().decode_request(body.to_string().as_bytes(), AddressHints::default()).unwrap()
}

fn sent(request: &ChatRequest, dialect: &Dialect) -> (Value, Vec<Loss>) {
    let lossy = codec().encode_request(request, dialect).unwrap();
    (serde_json::from_slice(&lossy.value).unwrap(), lossy.losses)
}

fn lost(losses: &[Loss]) -> Vec<&str> {
    losses.iter().map(|loss| loss.field.as_ref()).collect()
}

fn context() -> ReplyContext {
    ReplyContext {
        model: "asked-for".into(),
        id: "feed".into(),
        created: 9,
        include_usage: true,
        ..ReplyContext::default()
    }
}

fn reply(response: &ChatResponse) -> Value {
    serde_json::from_slice(&codec().encode_response(response, &context()).value).unwrap()
}

/// What a client sees of a stream: its chunks, and whether `[DONE]` came last.
fn streamed(events: &[StreamEvent], context: ReplyContext) -> (Vec<Value>, bool) {
    let mut encoder = codec().stream_encoder(context);
    let mut bytes = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut bytes));
    let text = String::from_utf8(bytes).unwrap();
    let mut frames: Vec<&str> = text.split("\n\n").filter(|frame| !frame.is_empty()).collect();
    let done = frames.last() == Some(&"data: [DONE]");
    frames.retain(|frame| *frame != "data: [DONE]");
    (frames.iter().map(|frame| serde_json::from_str(frame.strip_prefix("data: ").unwrap()).unwrap()).collect(), done)
}
