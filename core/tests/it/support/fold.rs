//! Streams put together as the clients' own SDKs do it, with the laws of each wire checked on the way.

use serde_json::{Map, Value, json};

/// The `data:` payloads of an event stream, parsed; `[DONE]` is left out.
pub fn events(text: &str) -> Vec<Value> {
    let payloads = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    payloads
        .filter(|payload| *payload != "[DONE]" && !payload.is_empty())
        .map(|payload| serde_json::from_str(payload).unwrap_or_else(|_| panic!("no JSON in an event: {payload}")))
        .collect()
}

/// A Chat stream as the message it stands for: texts joined, list items merged by `index`, as OpenAI's SDKs accumulate.
pub fn chat(text: &str) -> Value {
    assert!(text.trim_end().ends_with("data: [DONE]"), "no end: {text}");
    let mut message = Map::new();
    let mut finish = None;
    for chunk in events(text) {
        assert!(chunk["error"].is_null(), "{chunk}");
        let Some(choice) = chunk["choices"].get(0) else { continue };
        assert!(
            finish.is_none() || choice["delta"] == json!({}) || choice["delta"]["content"] == "",
            "after the end: {text}"
        );
        merge(&mut message, choice["delta"].as_object().unwrap_or_else(|| panic!("no delta: {chunk}")));
        if choice["finish_reason"].is_string() {
            finish = Some(choice["finish_reason"].clone());
        }
    }
    assert!(finish.is_some(), "no finish: {text}");
    for (index, call) in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten().enumerate() {
        let at = call.as_object_mut().and_then(|call| call.remove("index"));
        assert_eq!(at, Some(json!(index)), "case 1: indices are 0..N-1: {text}");
    }
    json!({"message": message, "finish_reason": finish})
}

/// Joins what streams in pieces; ids, types, names and roles come once.
fn merge(whole: &mut Map<String, Value>, piece: &Map<String, Value>) {
    for (name, value) in piece {
        match (whole.get_mut(name), value) {
            (_, Value::Null) => {}
            (Some(Value::String(text)), Value::String(more))
                if name != "role" && name != "type" && name != "format" =>
            {
                assert!(name != "id" && name != "name", "{name} came twice: {text} {more}");
                text.push_str(more);
            }
            (Some(Value::Object(inner)), Value::Object(more)) => merge(inner, more),
            (Some(Value::Array(list)), Value::Array(more)) => more.iter().for_each(|item| merge_item(list, item)),
            (None, Value::Array(more)) => {
                let mut list = Vec::new();
                more.iter().for_each(|item| merge_item(&mut list, item));
                whole.insert(name.clone(), list.into());
            }
            _ => {
                whole.insert(name.clone(), value.clone());
            }
        }
    }
}

fn merge_item(list: &mut Vec<Value>, item: &Value) {
    let same = |known: &&mut Value| !item["index"].is_null() && known["index"] == item["index"];
    match (list.iter_mut().find(same), item) {
        (Some(Value::Object(known)), Value::Object(more)) => {
            let mut more = more.clone();
            more.remove("index");
            merge(known, &more);
        }
        _ => list.push(item.clone()),
    }
}

/// A Responses stream as the finished response; the items that were announced one by one must be the same.
pub fn responses(text: &str) -> Value {
    let events = events(text);
    let last = events.last().unwrap_or_else(|| panic!("an empty stream: {text}"));
    assert!(
        ["response.completed", "response.incomplete"].contains(&last["type"].as_str().unwrap_or_default()),
        "no end: {text}"
    );
    let done: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .map(|event| &event["item"])
        .collect();
    assert_eq!(json!(done), last["response"]["output"], "items one by one, and at the end: {text}");
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{text}");
    }
    last["response"].clone()
}

/// A Messages stream as the message it stands for; blocks are numbered without a gap, one open at a time (case 4).
pub fn messages(text: &str) -> Value {
    let mut message = Value::Null;
    let mut open: Option<String> = None;
    let mut over = false;
    for event in events(text) {
        let blocks = message["content"].as_array().map_or(0, Vec::len);
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                assert!(open.is_none() && event["index"] == blocks, "blocks are out of step: {text}");
                message["content"].as_array_mut().expect("a list").push(event["content_block"].clone());
                open = Some(String::new());
            }
            "content_block_delta" => {
                assert!(event["index"] == blocks - 1, "blocks are out of step: {text}");
                delta(&mut message["content"][blocks - 1], &event["delta"], open.as_mut().expect("an open block"));
            }
            "content_block_stop" => {
                assert!(event["index"] == blocks - 1, "blocks are out of step: {text}");
                let json = open.take().expect("an open block");
                if !json.is_empty() {
                    message["content"][blocks - 1]["input"] = serde_json::from_str(&json).expect("arguments are JSON");
                }
            }
            "message_delta" => message["stop_reason"] = event["delta"]["stop_reason"].clone(),
            "message_stop" => over = true,
            "ping" => {}
            other => panic!("{other}: {text}"),
        }
    }
    assert!(over && open.is_none(), "no end: {text}");
    message
}

fn delta(block: &mut Value, delta: &Value, json: &mut String) {
    let mut join = |field: &str| {
        let joined = block[field].as_str().unwrap_or_default().to_owned() + delta[field].as_str().unwrap_or_default();
        block[field] = joined.into();
    };
    match delta["type"].as_str().unwrap_or_default() {
        "text_delta" => join("text"),
        "thinking_delta" => join("thinking"),
        "signature_delta" => block["signature"] = delta["signature"].clone(),
        "input_json_delta" => json.push_str(delta["partial_json"].as_str().unwrap_or_default()),
        other => panic!("a delta of type {other}"),
    }
}

/// A Gemini stream as one content: the parts of all chunks in order.
pub fn gemini(text: &str) -> Value {
    let mut parts = Vec::new();
    let mut finish = Value::Null;
    for chunk in events(text) {
        let candidate = &chunk["candidates"][0];
        parts.extend(candidate["content"]["parts"].as_array().cloned().unwrap_or_default());
        if candidate["finishReason"].is_string() {
            finish = candidate["finishReason"].clone();
        }
    }
    assert!(finish.is_string(), "no finish: {text}");
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": finish}]})
}

/// An Ollama stream as one message.
pub fn ollama(text: &str) -> Value {
    let mut message = json!({"role": "assistant", "content": ""});
    let mut done = false;
    for line in text.lines().filter(|line| !line.is_empty()) {
        let chunk: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        assert!(!done, "after the end: {text}");
        done = chunk["done"] == true;
        for field in ["content", "thinking"] {
            if let Some(piece) = chunk["message"][field].as_str().filter(|piece| !piece.is_empty()) {
                message[field] = (message[field].as_str().unwrap_or_default().to_owned() + piece).into();
            }
        }
        if let Some(calls) = chunk["message"]["tool_calls"].as_array() {
            let mut known = message["tool_calls"].as_array().cloned().unwrap_or_default();
            known.extend(calls.iter().cloned());
            message["tool_calls"] = known.into();
        }
    }
    assert!(done, "no end: {text}");
    json!({"message": message})
}
