//! Rules of the format, one by one.

mod requests;
mod schemas;
mod streams;

use serde_json::Value;

use super::codec;
use crate::format::{AddressHints, Lossy, ReplyContext};
use crate::framing::Frame;
use crate::ir::{ChatRequest, Loss, Message, Part, Role, StreamEvent, Tool};
use crate::{Dialect, laws};

/// Reads a client's request for `model`.
fn read(model: &str, body: &Value) -> ChatRequest {
    let hints = AddressHints { model: Some(model), stream: Some(false) };
    codec().decode_request(body.to_string().as_bytes(), hints).unwrap()
}

/// Writes a request for a provider; answers body and losses.
fn write(request: &ChatRequest, dialect: &Dialect) -> (Value, Vec<Loss>) {
    let Lossy { value, losses } = codec().encode_request(request, dialect).unwrap();
    (serde_json::from_slice(&value).unwrap(), losses)
}

fn fields(losses: &[Loss]) -> Vec<&str> {
    losses.iter().map(|loss| loss.field.as_ref()).collect()
}

fn request(model: &str, messages: Vec<Message>) -> ChatRequest {
    ChatRequest { model: model.into(), messages, ..ChatRequest::default() }
}

fn user(text: &str) -> Message {
    Message::text(Role::User, text)
}

fn assistant(parts: Vec<Part>) -> Message {
    Message::new(Role::Assistant, parts)
}

/// Reads the chunks of a provider's stream; the events keep the grammar.
fn events(chunks: &[Value]) -> Vec<StreamEvent> {
    let mut decoder = codec().stream_decoder(&Dialect::default());
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.feed(&Frame::data(chunk.to_string().as_bytes()), &mut events).unwrap();
    }
    decoder.finish(&mut events);
    assert_eq!(laws::check(&events), Ok(()));
    events
}

/// Writes events for a client; answers the chunks.
fn chunks(events: &[StreamEvent], context: ReplyContext) -> Vec<Value> {
    let mut encoder = codec().stream_encoder(context);
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    let text = String::from_utf8(out).unwrap();
    text.split("\n\n")
        .filter_map(|frame| frame.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn function(name: &str, parameters: Value) -> Tool {
    Tool::function(crate::ir::FunctionTool {
        name: name.into(),
        parameters: Some(parameters),
        ..crate::ir::FunctionTool::default()
    })
}
