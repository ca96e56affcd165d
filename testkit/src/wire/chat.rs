//! OpenAI Chat Completions, read: from a body to a [`Turn`].

use serde_json::Value;

use crate::errors::ErrorShape;
use crate::frame::Frame;
use crate::model::{Choice, ToolOffer, Turn};
use crate::provider::{ChatHost, Reasoning};
use crate::refusal::{Refusal, Verdict, object};
use crate::wire::{Ask, SSE, Wire, chat_answer, chat_rules, texts, wish, words};

/// The wire.
pub(crate) const WIRE: Wire =
    Wire { read, whole: chat_answer::whole, stream: chat_answer::stream, failure, content_type: SSE };

/// Failures inside a stream stand under `error`, also at hosts whose plain ones do not.
fn failure(ask: &Ask, refusal: &Refusal) -> Vec<Frame> {
    let own = ask.errors.render(refusal).body;
    let body = if own["error"].is_null() { ErrorShape::OpenAi.render(refusal).body } else { own };
    vec![Frame::data(body)]
}

fn read(ask: &Ask) -> Verdict<Turn> {
    let body = &ask.body;
    let host = ask.provider.chat;
    let mut map = object(body, "")?.clone();
    if let Some(deployment) = &ask.model {
        // Azure's classic path: the body's model is ignored and may be missing.
        map.insert("model".to_owned(), Value::String(deployment.clone()));
    }
    let model = map.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
    let thinking = thinks(body, &model);
    chat_rules::check(&map, host, thinking)?;
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut turn = Turn {
        model,
        stream: body["stream"] == true,
        include_usage: body["stream_options"]["include_usage"] == true,
        thinking,
        limit: body["max_completion_tokens"].as_u64().or_else(|| body["max_tokens"].as_u64()),
        stop: stops(&body["stop"]),
        json: body["response_format"]["type"] == "json_object",
        schema: body["response_format"]["json_schema"].get("schema").cloned(),
        n: body["n"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(1).clamp(1, 8),
        one_call: body["parallel_tool_calls"] == false,
        choice: choice(&body["tool_choice"]),
        tools: body["tools"].as_array().into_iter().flatten().map(offer).collect(),
        input_tokens: words(&body["messages"]) + words(&body["tools"]),
        ..Turn::default()
    };
    conversation(messages, &mut turn);
    begun(body, host, &mut turn);
    Ok(turn)
}

/// The beginning of an answer at the end of the conversation. Hosts that need a mark answer anew without it.
fn begun(body: &Value, host: &ChatHost, turn: &mut Turn) {
    let Some(last) = body["messages"].as_array().and_then(|messages| messages.last()) else { return };
    let marked = last["prefix"] == true || last["partial"] == true || body["continue_final_message"] == true;
    if last["role"] == "assistant" && marked {
        turn.begun = Some(texts(&last["content"]).concat());
        turn.repeats = host.reasoning == Reasoning::Parts;
    }
}

/// The end of the conversation: what the person wrote last, and what happened since.
fn conversation(messages: &[Value], turn: &mut Turn) {
    let last_assistant = messages.iter().rposition(|message| message["role"] == "assistant");
    let tail = last_assistant.map_or(0, |at| at + 1);
    for message in messages.iter().skip(tail) {
        if message["role"] == "tool" {
            turn.results.push(texts(&message["content"]).concat());
        }
        for part in message["content"].as_array().into_iter().flatten() {
            match part["type"].as_str() {
                Some("image_url") => turn.images += 1,
                Some("file") => turn.documents += 1,
                _ => {}
            }
        }
    }
    // While tools run, a user message may only bring what they found (an image).
    let in_loop = !turn.results.is_empty();
    let end = if in_loop { last_assistant.unwrap_or(0) } else { messages.len() };
    let is_user = |message: &&Value| message["role"] == "user";
    let start = messages.iter().take(end).rposition(|message| is_user(&message));
    let start = start.map_or(0, |mut at| {
        // Neighbouring user messages are one turn.
        while at > 0 && messages.get(at - 1).is_some_and(|before| is_user(&before)) {
            at -= 1;
        }
        at
    });
    let own: Vec<&str> =
        messages.iter().take(end).skip(start).filter(is_user).flat_map(|message| texts(&message["content"])).collect();
    turn.user_text = wish(&own).unwrap_or_default();
    turn.rounds = messages.iter().skip(start).filter(|message| message["tool_calls"].is_array()).count();
}

fn thinks(body: &Value, model: &str) -> bool {
    let effort = body["reasoning_effort"].as_str().or_else(|| body["reasoning"]["effort"].as_str());
    let kind = body["thinking"]["type"].as_str();
    let off = kind == Some("disabled") || effort == Some("none") || body["reasoning"]["enabled"] == false;
    let named = ["reasoner", "thinking", "magistral", "kimi-k2-thinking"].iter().any(|word| model.contains(word));
    !off && (effort.is_some()
        || kind.is_some()
        || body["reasoning"].is_object()
        || body["chat_template_kwargs"]["enable_thinking"] == true
        || body["enable_thinking"] == true
        || body["prompt_mode"] == "reasoning"
        || named)
}

/// Stop sequences: one or several.
pub(crate) fn stops(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many.iter().filter_map(|stop| stop.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

fn choice(value: &Value) -> Choice {
    match value.as_str() {
        Some("none") => Choice::None,
        Some("required" | "any") => Choice::Any,
        Some(_) => Choice::Auto,
        None => {
            let name = value["function"]["name"].as_str().or_else(|| value["custom"]["name"].as_str());
            name.map_or(Choice::Auto, |name| Choice::One(name.to_owned()))
        }
    }
}

fn offer(tool: &Value) -> ToolOffer {
    let free_text = tool["type"] == "custom";
    let inner = if free_text { &tool["custom"] } else { &tool["function"] };
    ToolOffer {
        name: inner["name"].as_str().unwrap_or_default().to_owned(),
        namespace: None,
        schema: inner["parameters"].clone(),
        free_text,
    }
}
