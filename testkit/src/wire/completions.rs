//! OpenAI legacy Completions.

use serde_json::{Value, json};

use crate::frame::Frame;
use crate::model::{Finish, Reply, Turn, pieces};
use crate::refusal::{Refusal, Verdict, known_keys, object, require, string};
use crate::wire::{Ask, CREATED, SSE, Wire, data_failure, words};

/// The wire.
pub(crate) const WIRE: Wire = Wire { read, whole, stream, failure: data_failure, content_type: SSE };

const FIELDS: &[&str] = &[
    "model",
    "prompt",
    "best_of",
    "echo",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_tokens",
    "n",
    "presence_penalty",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "suffix",
    "temperature",
    "top_p",
    "user",
];

fn read(ask: &Ask) -> Verdict<Turn> {
    let body = &ask.body;
    known_keys(object(body, "")?, "", &[FIELDS])?;
    let model = string(&body["model"], "model")?;
    let prompt = match &body["prompt"] {
        Value::String(text) => text.clone(),
        Value::Array(list) => list
            .first()
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| Refusal::new("prompt", "prompt: expected text"))?,
        _ => return Err(Refusal::new("prompt", "you must provide a model parameter and a prompt").at("prompt")),
    };
    require(!body["stream_options"].is_object() || body["stream"] == true, "stream-options-without-stream", || {
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.".to_owned()
    })?;
    Ok(Turn {
        model: model.to_owned(),
        stream: body["stream"] == true,
        include_usage: body["stream_options"]["include_usage"] == true,
        user_text: prompt,
        limit: Some(body["max_tokens"].as_u64().unwrap_or(16)),
        stop: super::chat::stops(&body["stop"]),
        n: 1,
        input_tokens: words(&body["prompt"]),
        ..Turn::default()
    })
}

fn finish(finish: &Finish) -> &'static str {
    if *finish == Finish::Length { "length" } else { "stop" }
}

fn usage(reply: &Reply) -> Value {
    json!({"prompt_tokens": reply.usage.input, "completion_tokens": reply.usage.output, "total_tokens": reply.usage.input + reply.usage.output})
}

fn envelope(ask: &Ask, turn: &Turn, choices: Value) -> Value {
    json!({"id": format!("cmpl-{}", ask.seed), "object": "text_completion", "created": CREATED, "model": turn.model, "choices": choices})
}

fn whole(ask: &Ask, turn: &Turn, reply: &Reply) -> Value {
    let choice = json!([{"text": reply.text, "index": 0, "logprobs": null, "finish_reason": finish(&reply.finish)}]);
    let mut value = envelope(ask, turn, choice);
    value["usage"] = usage(reply);
    value
}

fn stream(ask: &Ask, turn: &Turn, reply: &Reply) -> Vec<Frame> {
    let chunk = |text: &str, finish: Option<&str>| {
        Frame::data(envelope(ask, turn, json!([{"text": text, "index": 0, "logprobs": null, "finish_reason": finish}])))
    };
    let mut frames: Vec<Frame> = pieces(&reply.text).into_iter().map(|piece| chunk(piece, None)).collect();
    frames.push(chunk("", Some(finish(&reply.finish))));
    if turn.include_usage {
        let mut last = envelope(ask, turn, json!([]));
        last["usage"] = usage(reply);
        frames.push(Frame::data(last));
    }
    frames.push(Frame::data("[DONE]"));
    frames
}
