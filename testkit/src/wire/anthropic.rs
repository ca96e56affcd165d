//! Anthropic Messages: read and written. Also behind Vertex AI's `rawPredict` and Bedrock's `invoke`.

use serde_json::{Value, json};

use crate::frame::Frame;
use crate::model::{Choice, Finish, Reply, ToolOffer, Turn, Usage, fragments, pieces};
use crate::refusal::{Refusal, Verdict, object};
use crate::signature::{Family, digest, seal};
use crate::wire::anthropic_rules::{Place, check};
use crate::wire::{Ask, SSE, Wire, texts, wish, words};

/// The wire at Anthropic's own endpoint.
pub(crate) const WIRE: Wire = Wire { read, whole, stream, failure, content_type: SSE };
/// The wire with the model in the path.
pub(crate) const HOSTED: Wire = Wire { read: read_hosted, ..WIRE };
/// The count of tokens.
pub(crate) const COUNT: Wire = Wire { read: read_count, whole: count, ..WIRE };

fn read(ask: &Ask) -> Verdict<Turn> {
    read_at(ask, Place::Own)
}

fn read_hosted(ask: &Ask) -> Verdict<Turn> {
    read_at(ask, Place::Hosted)
}

fn read_count(ask: &Ask) -> Verdict<Turn> {
    read_at(ask, Place::Count).map(|turn| Turn { stream: false, ..turn })
}

fn count(_: &Ask, turn: &Turn, _: &Reply) -> Value {
    json!({"input_tokens": turn.input_tokens.max(1)})
}

fn read_at(ask: &Ask, place: Place) -> Verdict<Turn> {
    let body = &ask.body;
    check(object(body, "")?, place, ask.header("anthropic-version"))?;
    let kind = body["tool_choice"]["type"].as_str();
    let format = body["output_config"].get("format").or_else(|| body.get("output_format"));
    let mut turn = Turn {
        model: ask.model.clone().unwrap_or_else(|| body["model"].as_str().unwrap_or_default().to_owned()),
        stream: body["stream"] == true || ask.stream,
        include_usage: true,
        thinking: matches!(body["thinking"]["type"].as_str(), Some("enabled" | "adaptive")),
        limit: body["max_tokens"].as_u64(),
        stop: super::chat::stops(&body["stop_sequences"]),
        schema: format.and_then(|format| format.get("schema")).cloned(),
        n: 1,
        one_call: body["tool_choice"]["disable_parallel_tool_use"] == true,
        choice: match kind {
            Some("none") => Choice::None,
            Some("any") => Choice::Any,
            Some("tool") => Choice::One(body["tool_choice"]["name"].as_str().unwrap_or_default().to_owned()),
            _ => Choice::Auto,
        },
        tools: body["tools"].as_array().into_iter().flatten().filter_map(offer).collect(),
        input_tokens: words(&body["system"]) + words(&body["messages"]) + words(&body["tools"]),
        ..Turn::default()
    };
    marks(body, &mut turn);
    conversation(body["messages"].as_array().map(Vec::as_slice).unwrap_or_default(), &mut turn);
    Ok(turn)
}

fn offer(tool: &Value) -> Option<ToolOffer> {
    // Server tools run at the provider; the model here does not use them.
    let own = tool["input_schema"].is_object();
    own.then(|| ToolOffer {
        name: tool["name"].as_str().unwrap_or_default().to_owned(),
        schema: tool["input_schema"].clone(),
        ..ToolOffer::default()
    })
}

/// What the cache marks cover: the tools and system before a mark, or everything but the last message.
fn marks(body: &Value, turn: &mut Turn) {
    let marked = |value: &Value| value.to_string().contains("\"cache_control\":{");
    let prefix = words(&body["tools"]) + words(&body["system"]);
    if marked(&body["messages"]) || body["cache_control"].is_object() {
        let last = body["messages"].as_array().and_then(|messages| messages.last()).map_or(0, words);
        turn.marked_tokens = prefix + words(&body["messages"]) - last;
    } else if marked(&body["system"]) || marked(&body["tools"]) {
        turn.marked_tokens = prefix;
    }
    turn.marked_digest =
        digest(&[turn.model.as_bytes(), body["tools"].to_string().as_bytes(), body["system"].to_string().as_bytes()]);
}

fn conversation(messages: &[Value], turn: &mut Turn) {
    let user = |message: &&Value| message["role"] == "user";
    let last_assistant = messages.iter().rposition(|message| message["role"] == "assistant");
    for message in messages.iter().skip(last_assistant.map_or(0, |at| at + 1)).filter(user) {
        for block in message["content"].as_array().into_iter().flatten() {
            count_media(block, turn);
            if block["type"] == "tool_result" {
                turn.results.push(texts(&block["content"]).concat());
                block["content"].as_array().into_iter().flatten().for_each(|inner| count_media(inner, turn));
            }
        }
    }
    // The last user turn that is not a turn of tool results holds the wish.
    let brings_results = |message: &Value| {
        message["content"].as_array().into_iter().flatten().any(|block| block["type"] == "tool_result")
    };
    let end = messages
        .iter()
        .rposition(|message| message["role"] == "user" && !brings_results(message))
        .map_or(0, |at| at + 1);
    let looping = !turn.results.is_empty();
    let end = if looping {
        // A text beside or after the results is a reminder of the program, not a new wish.
        messages
            .iter()
            .take(last_assistant.unwrap_or(0))
            .rposition(|message| message["role"] == "user" && !brings_results(message))
            .map_or(0, |at| at + 1)
    } else {
        end
    };
    let mut start = end;
    while start > 0
        && messages.get(start - 1).is_some_and(|message| message["role"] == "user" && !brings_results(message))
    {
        start -= 1;
    }
    let own: Vec<&str> = messages.iter().take(end).skip(start).flat_map(|message| texts(&message["content"])).collect();
    turn.user_text = wish(&own).unwrap_or_default();
    let calls =
        |message: &&Value| message["content"].as_array().into_iter().flatten().any(|block| block["type"] == "tool_use");
    turn.rounds = messages.iter().skip(end).filter(calls).count();
    let last = messages.last().filter(|last| last["role"] == "assistant");
    turn.begun = last.map(|last| texts(&last["content"]).concat());
}

fn count_media(block: &Value, turn: &mut Turn) {
    match block["type"].as_str() {
        Some("image") => turn.images += 1,
        Some("document") => turn.documents += 1,
        _ => {}
    }
}

/// The blocks of an answer, in order.
fn blocks(ask: &Ask, reply: &Reply) -> Vec<Value> {
    let mut blocks = Vec::new();
    if let Some(thinking) = &reply.thinking {
        let sealed = seal(Family::Claude, &ask.seed, thinking);
        let shown = if ask.body["thinking"]["display"] == "omitted" { "" } else { thinking };
        blocks.push(if reply.redacted {
            json!({"type": "redacted_thinking", "data": sealed})
        } else {
            json!({"type": "thinking", "thinking": shown, "signature": sealed})
        });
    }
    if !reply.text.is_empty() {
        blocks.push(json!({"type": "text", "text": reply.text}));
    }
    for call in &reply.calls {
        blocks.push(json!({"type": "tool_use", "id": format!("toolu_{}", call.seed), "name": call.name, "input": call.input.object()}));
    }
    blocks
}

fn stop_reason(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::StopSequence(_) => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::Tools => "tool_use",
        Finish::Filter => "refusal",
    }
}

fn stop_sequence(finish: &Finish) -> Value {
    match finish {
        Finish::StopSequence(stop) => json!(stop),
        _ => Value::Null,
    }
}

fn usage(usage: &Usage, output: u64) -> Value {
    let fresh = usage.input.saturating_sub(usage.cache_read + usage.cache_write);
    json!({
        "input_tokens": fresh, "cache_creation_input_tokens": usage.cache_write, "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output, "service_tier": "standard",
    })
}

fn whole(ask: &Ask, turn: &Turn, reply: &Reply) -> Value {
    json!({
        "id": format!("msg_{}", ask.seed), "type": "message", "role": "assistant", "model": turn.model, "content": blocks(ask, reply),
        "stop_reason": stop_reason(&reply.finish), "stop_sequence": stop_sequence(&reply.finish), "usage": usage(&reply.usage, reply.usage.output),
    })
}

fn stream(ask: &Ask, turn: &Turn, reply: &Reply) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut push = |kind: &str, mut data: Value| {
        data["type"] = json!(kind);
        frames.push(Frame::event(kind, data));
    };
    push(
        "message_start",
        json!({"message": {
            "id": format!("msg_{}", ask.seed), "type": "message", "role": "assistant", "model": turn.model, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": usage(&reply.usage, 1),
        }}),
    );
    for (index, block) in blocks(ask, reply).iter().enumerate() {
        let (start, deltas) = taken_apart(block);
        push("content_block_start", json!({"index": index, "content_block": start}));
        if index == 0 {
            push("ping", json!({}));
        }
        for delta in deltas {
            push("content_block_delta", json!({"index": index, "delta": delta}));
        }
        push("content_block_stop", json!({"index": index}));
    }
    push(
        "message_delta",
        json!({
            "delta": {"stop_reason": stop_reason(&reply.finish), "stop_sequence": stop_sequence(&reply.finish)},
            "usage": usage(&reply.usage, reply.usage.output),
        }),
    );
    push("message_stop", json!({}));
    frames
}

/// A block as its start and its deltas.
fn taken_apart(block: &Value) -> (Value, Vec<Value>) {
    let text = |key: &str| block[key].as_str().unwrap_or_default();
    match block["type"].as_str() {
        Some("text") => {
            let deltas =
                pieces(text("text")).into_iter().map(|piece| json!({"type": "text_delta", "text": piece})).collect();
            (json!({"type": "text", "text": ""}), deltas)
        }
        Some("thinking") => {
            let mut deltas: Vec<Value> = pieces(text("thinking"))
                .into_iter()
                .map(|piece| json!({"type": "thinking_delta", "thinking": piece}))
                .collect();
            deltas.push(json!({"type": "signature_delta", "signature": text("signature")}));
            (json!({"type": "thinking", "thinking": "", "signature": ""}), deltas)
        }
        Some("tool_use") => {
            let input = block["input"].to_string();
            let mut deltas = vec![json!({"type": "input_json_delta", "partial_json": ""})];
            // A call without arguments has no fragments at all.
            if input != "{}" {
                deltas.extend(
                    fragments(&input)
                        .into_iter()
                        .map(|piece| json!({"type": "input_json_delta", "partial_json": piece})),
                );
            }
            (json!({"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}}), deltas)
        }
        _ => (block.clone(), Vec::new()),
    }
}

fn failure(_: &Ask, refusal: &Refusal) -> Vec<Frame> {
    vec![Frame::event("error", crate::errors::ErrorShape::Anthropic.render(refusal).body)]
}
