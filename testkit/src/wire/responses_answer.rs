//! OpenAI Responses, written: whole answers and all stream events.

use serde_json::{Value, json};

use crate::frame::Frame;
use crate::model::{CallInput, Finish, Reply, ToolCall, Turn, fragments, pieces};
use crate::provider::Storing;
use crate::refusal::Refusal;
use crate::signature::{Family, seal};
use crate::wire::{Ask, CREATED};

/// The count of input tokens.
pub(crate) fn count(_: &Ask, turn: &Turn, _: &Reply) -> Value {
    json!({"object": "response.input_tokens", "input_tokens": turn.input_tokens.max(1)})
}

/// A compacted conversation.
pub(crate) fn compact(ask: &Ask, turn: &Turn, reply: &Reply) -> Value {
    json!({
        "id": format!("resp_{}", ask.seed), "object": "response.compaction", "created_at": CREATED,
        "output": [
            {"type": "message", "id": format!("msg_{}", ask.seed), "role": "user", "status": "completed", "content": [{"type": "input_text", "text": turn.user_text}]},
            {"type": "compaction", "id": format!("cmp_{}", ask.seed), "encrypted_content": seal(Family::OpenAi, &ask.seed, &turn.user_text)},
        ],
        "usage": usage(reply),
    })
}

/// The finished output items, in order.
pub(crate) fn items(ask: &Ask, reply: &Reply) -> Vec<Value> {
    let status = if reply.finish == Finish::Length { "incomplete" } else { "completed" };
    let mut items = Vec::new();
    if let Some(thinking) = &reply.thinking {
        let shown = ask.body["reasoning"]["summary"].is_string();
        let summary = if shown { json!([{"type": "summary_text", "text": thinking}]) } else { json!([]) };
        let mut item = json!({"type": "reasoning", "id": format!("rs_{}", ask.seed), "summary": summary});
        let included = ask.body["include"]
            .as_array()
            .is_some_and(|list| list.iter().any(|word| word == "reasoning.encrypted_content"));
        if included {
            item["encrypted_content"] = json!(seal(Family::OpenAi, &ask.seed, thinking));
        }
        items.push(item);
    }
    if !reply.text.is_empty() || (reply.calls.is_empty() && reply.finish != Finish::Filter) {
        items.push(json!({
            "type": "message", "id": format!("msg_{}", ask.seed), "status": status, "role": "assistant",
            "content": [{"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}],
        }));
    }
    items.extend(reply.calls.iter().map(call));
    items
}

fn call(call: &ToolCall) -> Value {
    let id = format!("call_{}", call.seed);
    let mut item = match &call.input {
        CallInput::Text(text) => {
            json!({"type": "custom_tool_call", "id": format!("ctc_{}", call.seed), "status": "completed", "call_id": id, "name": call.name, "input": text})
        }
        CallInput::Json(value) => {
            json!({"type": "function_call", "id": format!("fc_{}", call.seed), "status": "completed", "call_id": id, "name": call.name, "arguments": value.to_string()})
        }
    };
    if let Some(namespace) = &call.namespace {
        item["namespace"] = json!(namespace);
    }
    item
}

fn usage(reply: &Reply) -> Value {
    let usage = &reply.usage;
    json!({
        "input_tokens": usage.input, "input_tokens_details": {"cached_tokens": usage.cache_read},
        "output_tokens": usage.output, "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    })
}

/// The response object without output: what `response.created` shows.
fn shell(ask: &Ask, turn: &Turn, status: &str) -> Value {
    let body = &ask.body;
    let stores = ask.provider.storing() == Storing::Stores;
    let kept = |value: Value, none: Value| if stores { value } else { none };
    let or = |key: &str, default: Value| if body[key].is_null() { default } else { body[key].clone() };
    json!({
        "id": format!("resp_{}", ask.seed), "object": "response", "created_at": CREATED, "status": status, "background": false,
        "error": null, "incomplete_details": null, "instructions": body["instructions"], "max_output_tokens": body["max_output_tokens"],
        "model": turn.model, "output": [], "parallel_tool_calls": or("parallel_tool_calls", json!(true)),
        "previous_response_id": kept(body["previous_response_id"].clone(), Value::Null), "reasoning": or("reasoning", json!({"effort": null, "summary": null})),
        "service_tier": "default", "store": kept(or("store", json!(true)), json!(false)), "temperature": or("temperature", json!(1.0)),
        "text": or("text", json!({"format": {"type": "text"}})), "tool_choice": or("tool_choice", json!("auto")), "tools": or("tools", json!([])),
        "top_p": or("top_p", json!(1.0)), "truncation": "disabled", "usage": null, "user": null, "metadata": or("metadata", json!({})),
    })
}

fn finished(ask: &Ask, turn: &Turn, reply: &Reply) -> Value {
    let (status, reason) = match reply.finish {
        Finish::Length => ("incomplete", Some("max_output_tokens")),
        Finish::Filter => ("incomplete", Some("content_filter")),
        _ => ("completed", None),
    };
    let mut response = shell(ask, turn, status);
    response["output"] = json!(items(ask, reply));
    response["usage"] = usage(reply);
    if let Some(reason) = reason {
        response["incomplete_details"] = json!({"reason": reason});
    }
    response
}

/// A whole answer.
pub(crate) fn whole(ask: &Ask, turn: &Turn, reply: &Reply) -> Value {
    finished(ask, turn, reply)
}

struct Events {
    frames: Vec<Frame>,
}

impl Events {
    fn push(&mut self, kind: &str, mut data: Value) {
        data["type"] = json!(kind);
        data["sequence_number"] = json!(self.frames.len());
        self.frames.push(Frame::event(kind, data));
    }
}

/// A stream.
pub(crate) fn stream(ask: &Ask, turn: &Turn, reply: &Reply) -> Vec<Frame> {
    let mut events = Events { frames: Vec::new() };
    events.push("response.created", json!({"response": shell(ask, turn, "in_progress")}));
    events.push("response.in_progress", json!({"response": shell(ask, turn, "in_progress")}));
    for (index, item) in items(ask, reply).iter().enumerate() {
        output_item(&mut events, index, item);
    }
    let response = finished(ask, turn, reply);
    let last = if response["status"] == "completed" { "response.completed" } else { "response.incomplete" };
    events.push(last, json!({"response": response}));
    events.frames
}

fn output_item(events: &mut Events, index: usize, item: &Value) {
    let mut opened = item.clone();
    if item["status"].is_string() {
        opened["status"] = json!("in_progress");
    }
    let kind = item["type"].as_str().unwrap_or_default();
    match kind {
        "message" => opened["content"] = json!([]),
        "function_call" => opened["arguments"] = json!(""),
        "custom_tool_call" => opened["input"] = json!(""),
        _ => opened["summary"] = json!([]),
    }
    events.push("response.output_item.added", json!({"output_index": index, "item": opened}));
    match kind {
        "message" => message(events, index, item),
        "function_call" => argument(events, index, item, "response.function_call_arguments", "arguments"),
        "custom_tool_call" => argument(events, index, item, "response.custom_tool_call_input", "input"),
        _ => summary(events, index, item),
    }
    events.push("response.output_item.done", json!({"output_index": index, "item": item}));
}

fn message(events: &mut Events, index: usize, item: &Value) {
    let part = &item["content"][0];
    let text = part["text"].as_str().unwrap_or_default();
    let place = |mut data: Value| {
        data["item_id"] = item["id"].clone();
        data["output_index"] = json!(index);
        data["content_index"] = json!(0);
        data
    };
    events.push(
        "response.content_part.added",
        place(json!({"part": {"type": "output_text", "text": "", "annotations": [], "logprobs": []}})),
    );
    for piece in pieces(text) {
        events.push("response.output_text.delta", place(json!({"delta": piece, "logprobs": []})));
    }
    events.push("response.output_text.done", place(json!({"text": text, "logprobs": []})));
    events.push("response.content_part.done", place(json!({"part": part})));
}

fn argument(events: &mut Events, index: usize, item: &Value, kind: &str, field: &str) {
    let text = item[field].as_str().unwrap_or_default();
    for fragment in fragments(text) {
        events.push(&format!("{kind}.delta"), json!({"item_id": item["id"], "output_index": index, "delta": fragment}));
    }
    events.push(
        &format!("{kind}.done"),
        json!({"item_id": item["id"], "output_index": index, field: text, "name": item["name"]}),
    );
}

fn summary(events: &mut Events, index: usize, item: &Value) {
    for (at, part) in item["summary"].as_array().into_iter().flatten().enumerate() {
        let place = |mut data: Value| {
            data["item_id"] = item["id"].clone();
            data["output_index"] = json!(index);
            data["summary_index"] = json!(at);
            data
        };
        let text = part["text"].as_str().unwrap_or_default();
        events.push(
            "response.reasoning_summary_part.added",
            place(json!({"part": {"type": "summary_text", "text": ""}})),
        );
        for piece in pieces(text) {
            events.push("response.reasoning_summary_text.delta", place(json!({"delta": piece})));
        }
        events.push("response.reasoning_summary_text.done", place(json!({"text": text})));
        events.push("response.reasoning_summary_part.done", place(json!({"part": part})));
    }
}

/// A failure inside a stream: the `error` event as recorded, then `response.failed`.
pub(crate) fn failure(ask: &Ask, refusal: &Refusal) -> Vec<Frame> {
    let body = ask.errors.render(refusal).body;
    let error = &body["error"];
    let code = if error["code"].is_string() { error["code"].clone() } else { json!("server_error") };
    let mut response = shell(
        ask,
        &Turn { model: ask.body["model"].as_str().unwrap_or_default().to_owned(), ..Turn::default() },
        "failed",
    );
    response["error"] = json!({"code": code, "message": refusal.said()});
    vec![
        Frame::event(
            "error",
            json!({"type": "error", "sequence_number": 1_000, "error": {
                "type": error["type"], "code": code, "message": refusal.said(), "param": refusal.param,
            }}),
        ),
        Frame::event(
            "response.failed",
            json!({"type": "response.failed", "sequence_number": 1_001, "response": response}),
        ),
    ]
}
