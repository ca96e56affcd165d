//! Ollama's native wire: chat, generate and the small operations.

use serde_json::{Value, json};

use crate::frame::Frame;
use crate::model::{Finish, Reply, ToolOffer, Turn, pieces};
use crate::refusal::{Refusal, Verdict, array, known_keys, object, require, string};
use crate::wire::{Ask, Wire, wish, words};

const NDJSON: &str = "application/x-ndjson";
/// `/api/chat`.
pub(crate) const CHAT: Wire =
    Wire { read: read_chat, whole: whole_chat, stream: stream_chat, failure, content_type: NDJSON };
/// `/api/generate`.
pub(crate) const GENERATE: Wire =
    Wire { read: read_generate, whole: whole_generate, stream: stream_generate, failure, content_type: NDJSON };

const CREATED_AT: &str = "2026-01-01T00:00:00Z";

fn common(body: &Value) -> Turn {
    let options = &body["options"];
    Turn {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        // Streams unless told otherwise.
        stream: body["stream"] != false,
        include_usage: true,
        thinking: body["think"] == true || body["think"].is_string(),
        limit: options["num_predict"].as_u64(),
        stop: super::chat::stops(&options["stop"]),
        schema: body["format"].is_object().then(|| body["format"].clone()),
        json: body["format"] == "json",
        n: 1,
        ..Turn::default()
    }
}

fn read_chat(ask: &Ask) -> Verdict<Turn> {
    let body = &ask.body;
    known_keys(
        object(body, "")?,
        "",
        &[&[
            "model",
            "messages",
            "tools",
            "format",
            "options",
            "stream",
            "keep_alive",
            "think",
            "truncate",
            "shift",
            "logprobs",
            "top_logprobs",
        ]],
    )?;
    string(&body["model"], "model")?;
    let messages = array(&body["messages"], "messages")?;
    for (at, message) in messages.iter().enumerate() {
        let path = format!("messages[{at}]");
        let role = string(&message["role"], &format!("{path}.role"))?;
        require(["system", "user", "assistant", "tool"].contains(&role), "role", || format!("invalid role {role}"))?;
        require(message["content"].is_string() || message["content"].is_null(), "content-string", || {
            format!("json: cannot unmarshal into Go struct field ChatRequest.{path}.content of type string")
        })?;
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            require(call["function"]["arguments"].is_object(), "tool-arguments-object", || {
                format!(
                    "json: cannot unmarshal string into Go struct field {path}.tool_calls.function.arguments of type api.ToolCallFunctionArguments"
                )
            })?;
        }
        for image in message["images"].as_array().into_iter().flatten() {
            let fine = image.as_str().is_some_and(|data| !data.starts_with("data:") && !data.starts_with("http"));
            require(fine, "image-base64", || "illegal base64 data at input byte 4".to_owned())?;
        }
        require(
            role != "tool" || messages.iter().take(at).any(|before| before["tool_calls"].is_array()),
            "orphan-tool-result",
            || format!("{path}: a tool message without a call"),
        )?;
    }
    let mut turn = Turn {
        tools: body["tools"].as_array().into_iter().flatten().map(offer).collect(),
        input_tokens: words(&body["messages"]) + words(&body["tools"]),
        ..common(body)
    };
    let last_assistant = messages.iter().rposition(|message| message["role"] == "assistant");
    for message in messages.iter().skip(last_assistant.map_or(0, |at| at + 1)) {
        turn.images += message["images"].as_array().map_or(0, Vec::len);
        if message["role"] == "tool" {
            turn.results.push(message["content"].as_str().unwrap_or_default().to_owned());
        }
    }
    let limit = if turn.results.is_empty() { messages.len() } else { last_assistant.unwrap_or(0) };
    let end = messages.iter().take(limit).rposition(|message| message["role"] == "user").map_or(0, |at| at + 1);
    let mut start = end;
    while start > 0 && messages.get(start - 1).is_some_and(|message| message["role"] == "user") {
        start -= 1;
    }
    let own: Vec<&str> =
        messages.iter().take(end).skip(start).filter_map(|message| message["content"].as_str()).collect();
    turn.user_text = wish(&own).unwrap_or_default();
    turn.rounds = messages.iter().skip(end).filter(|message| message["tool_calls"].is_array()).count();
    let last = messages.last().filter(|last| last["role"] == "assistant" && !last["tool_calls"].is_array());
    turn.begun = last.and_then(|last| last["content"].as_str()).map(str::to_owned);
    Ok(turn)
}

fn offer(tool: &Value) -> ToolOffer {
    let function = &tool["function"];
    ToolOffer {
        name: function["name"].as_str().unwrap_or_default().to_owned(),
        schema: function["parameters"].clone(),
        ..ToolOffer::default()
    }
}

fn read_generate(ask: &Ask) -> Verdict<Turn> {
    let body = &ask.body;
    let known = [
        "model",
        "prompt",
        "suffix",
        "images",
        "format",
        "options",
        "system",
        "template",
        "stream",
        "raw",
        "keep_alive",
        "think",
        "context",
        "truncate",
        "shift",
        "logprobs",
        "top_logprobs",
    ];
    known_keys(object(body, "")?, "", &[&known])?;
    string(&body["model"], "model")?;
    let prompt = body["prompt"].as_str().unwrap_or_default();
    Ok(Turn {
        user_text: prompt.to_owned(),
        images: body["images"].as_array().map_or(0, Vec::len),
        input_tokens: words(&body["prompt"]) + words(&body["system"]),
        ..common(body)
    })
}

fn counters(turn: &Turn, reply: &Reply, mut value: Value) -> Value {
    let reason = if reply.finish == Finish::Length { "length" } else { "stop" };
    value["model"] = json!(turn.model);
    value["created_at"] = json!(CREATED_AT);
    value["done"] = json!(true);
    value["done_reason"] = json!(reason);
    for key in ["total_duration", "load_duration", "prompt_eval_duration", "eval_duration"] {
        value[key] = json!(1_000_000);
    }
    value["prompt_eval_count"] = json!(reply.usage.input);
    value["eval_count"] = json!(reply.usage.output);
    value
}

fn calls(reply: &Reply) -> Value {
    reply.calls.iter().enumerate().map(|(index, call)| json!({"id": format!("call_{}", call.seed), "function": {"index": index, "name": call.name, "arguments": call.input.object()}})).collect()
}

fn whole_chat(_: &Ask, turn: &Turn, reply: &Reply) -> Value {
    let mut message = json!({"role": "assistant", "content": reply.text});
    if let Some(thinking) = &reply.thinking {
        message["thinking"] = json!(thinking);
    }
    if !reply.calls.is_empty() {
        message["tool_calls"] = calls(reply);
    }
    counters(turn, reply, json!({"message": message}))
}

fn stream_chat(_: &Ask, turn: &Turn, reply: &Reply) -> Vec<Frame> {
    let line = |message: Value| {
        Frame::Line(
            json!({"model": turn.model, "created_at": CREATED_AT, "message": message, "done": false}).to_string(),
        )
    };
    let mut frames = Vec::new();
    for piece in pieces(reply.thinking.as_deref().unwrap_or_default()) {
        frames.push(line(json!({"role": "assistant", "content": "", "thinking": piece})));
    }
    for piece in pieces(&reply.text) {
        frames.push(line(json!({"role": "assistant", "content": piece})));
    }
    if !reply.calls.is_empty() {
        frames.push(line(json!({"role": "assistant", "content": "", "tool_calls": calls(reply)})));
    }
    frames
        .push(Frame::Line(counters(turn, reply, json!({"message": {"role": "assistant", "content": ""}})).to_string()));
    frames
}

fn whole_generate(_: &Ask, turn: &Turn, reply: &Reply) -> Value {
    let mut value = json!({"response": reply.text});
    if let Some(thinking) = &reply.thinking {
        value["thinking"] = json!(thinking);
    }
    counters(turn, reply, value)
}

fn stream_generate(_: &Ask, turn: &Turn, reply: &Reply) -> Vec<Frame> {
    let each = |piece: &str| {
        Frame::Line(
            json!({"model": turn.model, "created_at": CREATED_AT, "response": piece, "done": false}).to_string(),
        )
    };
    let mut frames: Vec<Frame> = pieces(&reply.text).into_iter().map(each).collect();
    frames.push(Frame::Line(counters(turn, reply, json!({"response": ""})).to_string()));
    frames
}

fn failure(_: &Ask, refusal: &Refusal) -> Vec<Frame> {
    vec![Frame::Line(json!({"error": refusal.said()}).to_string())]
}
