//! Dify `chat-messages`: an app with one query, its conversation kept by id.

use serde_json::{Value, json};

use crate::frame::Frame;
use crate::model::{Reply, Turn, pieces};
use crate::refusal::{Refusal, Verdict, known_keys, object, require, string};
use crate::wire::{Ask, CREATED, SSE, Wire, words};

/// The wire.
pub(crate) const WIRE: Wire = Wire { read, whole, stream, failure, content_type: SSE };

fn read(ask: &Ask) -> Verdict<Turn> {
    let body = &ask.body;
    known_keys(
        object(body, "")?,
        "",
        &[&[
            "query",
            "inputs",
            "response_mode",
            "user",
            "conversation_id",
            "files",
            "auto_generate_name",
            "workflow_id",
            "trace_id",
            "parent_message_id",
        ]],
    )?;
    let query = string(&body["query"], "query")?;
    require(!query.is_empty(), "query-empty", || "query: must not be empty".to_owned())?;
    require(body["inputs"].is_object(), "inputs-required", || "inputs is required in input form".to_owned())?;
    string(&body["user"], "user")?;
    let mode = body["response_mode"].as_str().unwrap_or("blocking");
    require(["blocking", "streaming"].contains(&mode), "response-mode", || format!("response_mode: {mode}"))?;
    let id = body["conversation_id"].as_str().unwrap_or_default();
    if !id.is_empty() && !ask.stored.contains_key(id) {
        return Err(Refusal::with_status(404, "conversation", "Conversation Not Exists."));
    }
    // A history that was packed into the query ends with the person's last words.
    let own =
        ["USER:\n", "User: ", "user: "].iter().find_map(|mark| query.rsplit_once(mark)).map_or(query, |(_, own)| own);
    Ok(Turn {
        model: "dify".to_owned(),
        stream: mode == "streaming",
        user_text: own.to_owned(),
        images: body["files"].as_array().map_or(0, Vec::len),
        n: 1,
        input_tokens: words(&body["query"]),
        ..Turn::default()
    })
}

/// The conversation that an answer belongs to: the given one, or a new one.
pub(crate) fn conversation_id(ask: &Ask) -> String {
    ask.body["conversation_id"]
        .as_str()
        .filter(|id| !id.is_empty())
        .map_or_else(|| format!("conv-{}", ask.seed), str::to_owned)
}

fn metadata(reply: &Reply) -> Value {
    json!({"usage": {
        "prompt_tokens": reply.usage.input, "completion_tokens": reply.usage.output, "total_tokens": reply.usage.input + reply.usage.output,
        "prompt_unit_price": "0.001", "total_price": "0.00001", "currency": "USD", "latency": 0.1,
    }})
}

fn whole(ask: &Ask, _: &Turn, reply: &Reply) -> Value {
    json!({
        "event": "message", "task_id": format!("task-{}", ask.seed), "id": format!("m-{}", ask.seed), "message_id": format!("m-{}", ask.seed),
        "conversation_id": conversation_id(ask), "mode": "chat", "answer": reply.text, "metadata": metadata(reply), "created_at": CREATED,
    })
}

fn stream(ask: &Ask, _: &Turn, reply: &Reply) -> Vec<Frame> {
    let event = |kind: &str, mut data: Value| {
        data["event"] = json!(kind);
        data["task_id"] = json!(format!("task-{}", ask.seed));
        data["message_id"] = json!(format!("m-{}", ask.seed));
        data["conversation_id"] = json!(conversation_id(ask));
        data["created_at"] = json!(CREATED);
        Frame::data(data)
    };
    let mut frames = vec![Frame::Sse { event: Some("ping".to_owned()), data: None }];
    frames.extend(pieces(&reply.text).into_iter().map(|piece| event("message", json!({"answer": piece}))));
    frames.push(event("message_end", json!({"metadata": metadata(reply)})));
    frames
}

fn failure(ask: &Ask, refusal: &Refusal) -> Vec<Frame> {
    let mut body = ask.errors.render(refusal).body;
    body["event"] = json!("error");
    vec![Frame::data(body)]
}
