//! OpenAI Chat Completions, written: whole answers and streams, as each host writes them.

use serde_json::{Map, Value, json};

use crate::frame::Frame;
use crate::model::{CallInput, Finish, Reply, ToolCall, Turn, Usage, fragments, pieces};
use crate::provider::{Reasoning, StreamUsage};
use crate::signature::{Family, seal, sign};
use crate::wire::{Ask, CREATED};

/// A whole answer.
pub(crate) fn whole(ask: &Ask, turn: &Turn, reply: &Reply) -> Value {
    let host = ask.provider.chat;
    let mut message =
        json!({"role": "assistant", "content": if reply.text.is_empty() { Value::Null } else { json!(reply.text) }});
    if let (Some(thinking), Some(map)) = (&reply.thinking, message.as_object_mut()) {
        put_thinking(map, host.reasoning, thinking, &reply.text);
    }
    if !reply.calls.is_empty() {
        let calls: Vec<Value> = reply.calls.iter().map(|call| whole_call(ask, call)).collect();
        message["tool_calls"] = json!(calls);
    }
    if host.openai_rules {
        message["refusal"] = Value::Null;
        message["annotations"] = json!([]);
    }
    let choices: Vec<Value> = (0..turn.n.max(1))
        .map(|index| json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish(&reply.finish)}))
        .collect();
    json!({
        "id": id(ask), "object": "chat.completion", "created": CREATED, "model": turn.model, "choices": choices,
        "usage": usage(ask, &reply.usage), "system_fingerprint": "fp_mock",
    })
}

fn put_thinking(map: &mut Map<String, Value>, place: Reasoning, thinking: &str, text: &str) {
    match place {
        Reasoning::Hidden => {}
        Reasoning::Content => {
            map.insert("reasoning_content".to_owned(), json!(thinking));
        }
        Reasoning::Plain => {
            map.insert("reasoning".to_owned(), json!(thinking));
        }
        Reasoning::Details => {
            map.insert("reasoning".to_owned(), json!(thinking));
            map.insert("reasoning_details".to_owned(), details(thinking));
        }
        Reasoning::Parts => {
            let mut parts = vec![json!({"type": "thinking", "thinking": [{"type": "text", "text": thinking}]})];
            if !text.is_empty() {
                parts.push(json!({"type": "text", "text": text}));
            }
            map.insert("content".to_owned(), json!(parts));
        }
    }
}

fn details(thinking: &str) -> Value {
    json!([
        {"type": "reasoning.text", "text": thinking, "signature": sign(Family::OpenRouter, thinking), "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": seal(Family::OpenRouter, thinking, thinking), "format": "anthropic-claude-v1", "index": 1},
    ])
}

/// The id of a call as this host makes them.
fn call_id(ask: &Ask, call: &ToolCall) -> String {
    if ask.provider.chat.nine {
        format!("{}z", call.seed)
    } else if ask.provider.name == "moonshot" {
        format!("functions.{}:{}", call.name, u8::from_str_radix(call.seed.get(..2).unwrap_or("0"), 16).unwrap_or(0))
    } else {
        format!("call_{}", call.seed)
    }
}

fn whole_call(ask: &Ask, call: &ToolCall) -> Value {
    let id = call_id(ask, call);
    match &call.input {
        CallInput::Text(text) => json!({"id": id, "type": "custom", "custom": {"name": call.name, "input": text}}),
        CallInput::Json(value) => {
            json!({"id": id, "type": "function", "function": {"name": call.name, "arguments": value.to_string()}})
        }
    }
}

fn finish(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopSequence(_) => "stop",
        Finish::Length => "length",
        Finish::Tools => "tool_calls",
        Finish::Filter => "content_filter",
    }
}

fn usage(ask: &Ask, usage: &Usage) -> Value {
    let beside = if ask.provider.chat.reasoning_beside { usage.reasoning } else { 0 };
    let mut value = json!({
        "prompt_tokens": usage.input, "completion_tokens": usage.output - beside.min(usage.output),
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    });
    match ask.provider.name {
        "deepseek" => {
            value["prompt_cache_hit_tokens"] = json!(usage.cache_read);
            value["prompt_cache_miss_tokens"] = json!(usage.input - usage.cache_read.min(usage.input));
        }
        "moonshot" => value["cached_tokens"] = json!(usage.cache_read),
        "openrouter" => value["cost"] = json!(0.0001),
        _ => {}
    }
    value
}

fn id(ask: &Ask) -> String {
    format!("chatcmpl-{}", ask.seed)
}

/// A stream.
pub(crate) fn stream(ask: &Ask, turn: &Turn, reply: &Reply) -> Vec<Frame> {
    let host = ask.provider.chat;
    let mut out = Chunks { ask, turn, frames: Vec::new(), first: true };
    if host.leading_empty {
        out.frames.push(Frame::data(json!({
            "id": "", "object": "", "created": 0, "model": "", "choices": [],
            "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
        })));
    }
    for choice in 0..turn.n.max(1) {
        out.first = true;
        out.choice(choice, reply);
    }
    let counters = usage(ask, &reply.usage);
    match host.usage {
        StreamUsage::Asked if turn.include_usage => {
            let mut chunk = out.envelope();
            chunk["choices"] = json!([]);
            chunk["usage"] = counters;
            out.frames.push(Frame::data(chunk));
        }
        StreamUsage::AfterFinish => {
            let mut chunk = out.envelope();
            chunk["choices"] =
                json!([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]);
            chunk["usage"] = counters;
            out.frames.push(Frame::data(chunk));
        }
        StreamUsage::Asked | StreamUsage::WithFinish => {}
    }
    out.frames.push(Frame::data("[DONE]"));
    out.frames
}

struct Chunks<'a> {
    ask: &'a Ask,
    turn: &'a Turn,
    frames: Vec<Frame>,
    first: bool,
}

impl Chunks<'_> {
    fn envelope(&self) -> Value {
        json!({"id": id(self.ask), "object": "chat.completion.chunk", "created": CREATED, "model": self.turn.model, "system_fingerprint": "fp_mock"})
    }

    fn push(&mut self, index: usize, mut delta: Value, finish: Option<&str>, counters: Option<Value>) {
        if self.ask.provider.chat.role_always || self.first {
            delta["role"] = json!("assistant");
            self.first = false;
        }
        let mut chunk = self.envelope();
        chunk["choices"] = json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": finish}]);
        if let Some(counters) = counters {
            chunk["usage"] = counters;
        } else if self.turn.include_usage && self.ask.provider.chat.usage == StreamUsage::Asked {
            chunk["usage"] = Value::Null;
        }
        self.frames.push(Frame::data(chunk));
    }

    fn choice(&mut self, index: usize, reply: &Reply) {
        let host = self.ask.provider.chat;
        self.push(index, json!({"content": ""}), None, None);
        if let Some(thinking) = &reply.thinking {
            self.thinking(index, host.reasoning, thinking);
        }
        for piece in pieces(&reply.text) {
            self.push(index, json!({"content": piece}), None, None);
        }
        for (at, call) in reply.calls.iter().enumerate() {
            self.call(index, at, call);
        }
        let counters = (host.usage == StreamUsage::WithFinish).then(|| usage(self.ask, &reply.usage));
        let last = if host.reasoning == Reasoning::Parts { json!({"content": ""}) } else { json!({}) };
        self.push(index, last, Some(finish(&reply.finish)), counters);
    }

    fn thinking(&mut self, index: usize, place: Reasoning, thinking: &str) {
        for piece in pieces(thinking) {
            let delta = match place {
                Reasoning::Hidden => return,
                Reasoning::Content => json!({"content": null, "reasoning_content": piece}),
                Reasoning::Plain => json!({"reasoning": piece}),
                Reasoning::Details => json!({"content": "", "reasoning": piece, "reasoning_details": [
                    {"type": "reasoning.text", "text": piece, "format": "anthropic-claude-v1", "index": 0},
                ]}),
                Reasoning::Parts => {
                    json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": piece}]}]})
                }
            };
            self.push(index, delta, None, None);
        }
        if place == Reasoning::Details {
            let delta = json!({"content": "", "reasoning_details": [
                {"type": "reasoning.text", "signature": sign(Family::OpenRouter, thinking), "format": "anthropic-claude-v1", "index": 0},
            ]});
            self.push(index, delta, None, None);
        }
    }

    fn call(&mut self, index: usize, at: usize, call: &ToolCall) {
        let whole = whole_call(self.ask, call);
        if self.ask.provider.chat.whole_calls {
            let mut whole = whole;
            whole["index"] = json!(at);
            self.push(index, json!({"content": "", "tool_calls": [whole]}), None, None);
            return;
        }
        let (kind, field, text) = match &call.input {
            CallInput::Json(value) => ("function", "arguments", value.to_string()),
            CallInput::Text(text) => ("custom", "input", text.clone()),
        };
        let head = json!({"index": at, "id": whole["id"], "type": kind, kind: {"name": call.name, field: ""}});
        self.push(index, json!({"content": null, "tool_calls": [head]}), None, None);
        for fragment in fragments(&text) {
            self.push(index, json!({"tool_calls": [{"index": at, kind: {field: fragment}}]}), None, None);
        }
    }
}
