//! AWS Bedrock: Converse, read, checked and written. `invoke` for Claude is [`super::anthropic::HOSTED`] in another envelope.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::errors::bedrock_type;
use crate::frame::Frame;
use crate::model::{Choice, Finish, Reply, ToolOffer, Turn, fragments, pieces};
use crate::refusal::{Refusal, Verdict, array, is_word, known_keys, object, one_key, require, string};
use crate::signature::{Family, digest, open, seal};
use crate::wire::{Ask, Wire, anthropic, wish, words};

/// Content type of binary streams.
pub(crate) const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
/// Converse.
pub(crate) const WIRE: Wire = Wire { read, whole, stream, failure, content_type: EVENT_STREAM };
/// Invoke with Claude's body.
pub(crate) const INVOKE: Wire =
    Wire { stream: invoke_stream, failure, content_type: EVENT_STREAM, ..anthropic::HOSTED };
/// The count of tokens.
pub(crate) const COUNT: Wire = Wire { read: read_count, whole: count, ..WIRE };

const FIELDS: &[&str] = &[
    "messages",
    "system",
    "inferenceConfig",
    "toolConfig",
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "guardrailConfig",
    "promptVariables",
    "requestMetadata",
    "performanceConfig",
    "serviceTier",
    "outputConfig",
];

fn read(ask: &Ask) -> Verdict<Turn> {
    read_body(&ask.body, ask)
}

fn read_count(ask: &Ask) -> Verdict<Turn> {
    read_body(&ask.body["input"]["converse"], ask).map(|turn| Turn { stream: false, ..turn })
}

fn count(_: &Ask, turn: &Turn, _: &Reply) -> Value {
    json!({"inputTokens": turn.input_tokens.max(1)})
}

fn read_body(body: &Value, ask: &Ask) -> Verdict<Turn> {
    let map = object(body, "")?;
    known_keys(map, "", &[FIELDS])?;
    let model = ask.model.clone().unwrap_or_default();
    let messages = array(&body["messages"], "messages")?;
    require(!messages.is_empty(), "messages-empty", || "A conversation must start with a user message.".to_owned())?;
    let config = &body["inferenceConfig"];
    if let Some(config) = config.as_object() {
        known_keys(config, "inferenceConfig", &[&["maxTokens", "temperature", "topP", "stopSequences"]])?;
    }
    for (at, block) in body["system"].as_array().into_iter().flatten().enumerate() {
        let (kind, inner) =
            one_key(object(block, "system")?, &format!("system.{at}"), &["text", "cachePoint", "guardContent"])?;
        require(kind != "text" || inner.as_str().is_some_and(|text| !text.trim().is_empty()), "blank-text", || {
            blank("system", at)
        })?;
    }
    let tools = tools(body)?;
    check_messages(messages, &model)?;
    let uses_tools = messages
        .iter()
        .flat_map(blocks)
        .any(|block| block.get("toolUse").is_some() || block.get("toolResult").is_some());
    require(!uses_tools || body["toolConfig"].is_object(), "tool-config-required", || {
        "The toolConfig field must be defined when using toolUse and toolResult content blocks.".to_owned()
    })?;
    let points = body.to_string().matches("\"cachePoint\"").count();
    require(points <= 4, "cache-marks", || format!("Found {points} cachePoint blocks, at most 4 are allowed."))?;
    let caches = model.contains("claude") || model.contains("nova");
    require(points == 0 || caches, "cache-point-model", || {
        "You invoked an unsupported model or your request did not allow prompt caching.".to_owned()
    })?;
    let extra = &body["additionalModelRequestFields"];
    let thinking = matches!(extra["thinking"]["type"].as_str(), Some("enabled" | "adaptive"));
    check_thinking(extra, config)?;
    let mut turn = Turn {
        stream: ask.stream,
        include_usage: true,
        thinking,
        limit: config["maxTokens"].as_u64(),
        stop: super::chat::stops(&config["stopSequences"]),
        n: 1,
        choice: choice(&body["toolConfig"]["toolChoice"]),
        one_call: extra["tool_choice"]["disable_parallel_tool_use"] == true,
        schema: output_schema(&body["outputConfig"])?,
        tools,
        input_tokens: words(&body["system"]) + words(&body["messages"]) + words(&body["toolConfig"]),
        marked_digest: digest(&[
            model.as_bytes(),
            body["system"].to_string().as_bytes(),
            body["toolConfig"].to_string().as_bytes(),
        ]),
        marked_tokens: if points > 0 { words(&body["system"]) + words(&body["toolConfig"]) } else { 0 },
        model,
        ..Turn::default()
    };
    conversation(messages, &mut turn);
    Ok(turn)
}

fn blank(path: &str, at: usize) -> String {
    format!(
        "The text field in the ContentBlock object at {path}.{at} is blank. Add text to the text field, and try again."
    )
}

fn check_thinking(extra: &Value, config: &Value) -> Verdict {
    if extra["thinking"]["type"] != "enabled" {
        return Ok(());
    }
    let budget = extra["thinking"]["budget_tokens"].as_u64().unwrap_or(0);
    require(budget >= 1024, "thinking-budget-minimum", || {
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024".to_owned()
    })?;
    require(
        config["maxTokens"].as_u64().is_none_or(|limit| budget < limit),
        "thinking-budget-below-max-tokens",
        || "`max_tokens` must be greater than `thinking.budget_tokens`.".to_owned(),
    )?;
    require(config["temperature"].as_f64().is_none_or(|value| value == 1.0), "thinking-temperature", || {
        "`temperature` may only be set to 1 when thinking is enabled.".to_owned()
    })
}

fn tools(body: &Value) -> Verdict<Vec<ToolOffer>> {
    let config = &body["toolConfig"];
    if config.is_null() {
        return Ok(Vec::new());
    }
    known_keys(object(config, "toolConfig")?, "toolConfig", &[&["tools", "toolChoice"]])?;
    let list = array(&config["tools"], "toolConfig.tools")?;
    require(!list.is_empty(), "tools-empty", || "toolConfig.tools: minimum length 1".to_owned())?;
    if !config["toolChoice"].is_null() {
        one_key(
            object(&config["toolChoice"], "toolConfig.toolChoice")?,
            "toolConfig.toolChoice",
            &["auto", "any", "tool"],
        )?;
    }
    let mut offers = Vec::new();
    for (at, tool) in list.iter().enumerate() {
        let path = format!("toolConfig.tools.{at}");
        let (kind, spec) = one_key(object(tool, &path)?, &path, &["toolSpec", "cachePoint", "systemTool"])?;
        if kind != "toolSpec" {
            continue;
        }
        known_keys(object(spec, &path)?, &path, &[&["name", "description", "inputSchema", "strict"]])?;
        let name = string(&spec["name"], &path)?;
        require(is_word(name, b"_-", 64), "tool-name", || {
            format!("{path}.toolSpec.name: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+ : {name}")
        })?;
        require(spec["description"] != "", "tool-description", || {
            format!("{path}.toolSpec.description: minimum length 1")
        })?;
        let schema = &spec["inputSchema"]["json"];
        require(schema["type"] == "object", "tool-schema", || {
            format!("{path}.toolSpec.inputSchema.json.type must be object")
        })?;
        offers.push(ToolOffer { name: name.to_owned(), schema: schema.clone(), ..ToolOffer::default() });
    }
    Ok(offers)
}

/// Structured output: the schema is JSON inside a string.
fn output_schema(config: &Value) -> Verdict<Option<Value>> {
    let format = &config["textFormat"];
    if format.is_null() {
        return Ok(None);
    }
    let shaped = format["type"] == "json_schema" && format["structure"]["jsonSchema"]["name"].is_string();
    require(shaped, "output-config", || "outputConfig.textFormat: json_schema needs a name".to_owned())?;
    let schema = format["structure"]["jsonSchema"]["schema"].as_str().and_then(|text| serde_json::from_str(text).ok());
    require(schema.is_some(), "output-schema", || "outputConfig: the schema is not a JSON string".to_owned())?;
    Ok(schema)
}

fn choice(value: &Value) -> Choice {
    if let Some(name) = value["tool"]["name"].as_str() {
        Choice::One(name.to_owned())
    } else if value.get("any").is_some() {
        Choice::Any
    } else {
        Choice::Auto
    }
}

fn blocks(message: &Value) -> &[Value] {
    message["content"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn check_messages(messages: &[Value], model: &str) -> Verdict {
    let mut before = "assistant";
    let mut open_calls: Vec<&str> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let path = format!("messages.{at}");
        known_keys(object(message, &path)?, &path, &[&["role", "content"]])?;
        let role = string(&message["role"], &path)?;
        require(["user", "assistant"].contains(&role), "role", || {
            format!("{path}.role: must satisfy enum value set: [user, assistant]")
        })?;
        require(role != before, "role-alternation", || {
            "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.".to_owned()
        })?;
        before = role;
        require(!blocks(message).is_empty(), "empty-content", || {
            format!("The content field in the Message object at {path} is empty.")
        })?;
        let mut results = Vec::new();
        let mut calls = Vec::new();
        let mut document = false;
        for (index, block) in blocks(message).iter().enumerate() {
            let path = format!("{path}.content.{index}");
            let known = [
                "text",
                "image",
                "document",
                "video",
                "toolUse",
                "toolResult",
                "reasoningContent",
                "cachePoint",
                "guardContent",
                "citationsContent",
                "searchResult",
            ];
            let (kind, inner) = one_key(object(block, &path)?, &path, &known)?;
            match kind {
                "text" => require(inner.as_str().is_some_and(|text| !text.trim().is_empty()), "blank-text", || {
                    blank(&path, index)
                })?,
                "toolUse" => calls.push(tool_use(inner, &path, role)?),
                "toolResult" => results.push(tool_result(inner, &path, role)?),
                "reasoningContent" => reasoning(inner, &path, role, model)?,
                "image" => image(inner, &path)?,
                "document" => {
                    document = true;
                    document_name(inner, &path)?;
                }
                _ => {}
            }
        }
        let has_text = blocks(message).iter().any(|block| block.get("text").is_some());
        require(!document || has_text, "document-needs-text", || "A text block must accompany a document.".to_owned())?;
        let mut open = open_calls;
        open.sort_unstable();
        results.sort_unstable();
        require(open == results, "tool-pairing", || {
            format!(
                "Expected toolResult blocks at {path}.content for the following Ids: {}, but found: {}",
                open.join(", "),
                results.join(", ")
            )
        })?;
        open_calls = calls;
    }
    require(open_calls.is_empty(), "tool-pairing", || {
        format!("Expected toolResult blocks for the following Ids: {}", open_calls.join(", "))
    })
}

fn tool_use<'a>(block: &'a Value, path: &str, role: &str) -> Verdict<&'a str> {
    require(role == "assistant", "block-role", || format!("{path}: toolUse in a user message"))?;
    known_keys(object(block, path)?, path, &[&["toolUseId", "name", "input", "type"]])?;
    require(block["input"].is_object(), "tool-input", || {
        format!(
            "The format of the value at {path}.toolUse.input is invalid. Provide a json object for the field and try again."
        )
    })?;
    id(block, path)
}

fn id<'a>(block: &'a Value, path: &str) -> Verdict<&'a str> {
    let id = string(&block["toolUseId"], path)?;
    require(is_word(id, b"_-", 64), "tool-use-id", || {
        format!("{path}.toolUseId: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+ : {id}")
    })?;
    Ok(id)
}

fn tool_result<'a>(block: &'a Value, path: &str, role: &str) -> Verdict<&'a str> {
    require(role == "user", "block-role", || format!("{path}: toolResult in an assistant message"))?;
    known_keys(object(block, path)?, path, &[&["toolUseId", "content", "status", "type"]])?;
    for inner in array(&block["content"], path)? {
        let (kind, value) =
            one_key(object(inner, path)?, path, &["text", "json", "image", "document", "video", "searchResult"])?;
        require(kind != "json" || value.is_object(), "tool-result-json", || {
            format!("{path}.toolResult.content.json: must be an object")
        })?;
    }
    id(block, path)
}

fn reasoning(block: &Value, path: &str, role: &str, model: &str) -> Verdict {
    require(role == "assistant", "block-role", || format!("{path}: reasoningContent in a user message"))?;
    let (kind, inner) = one_key(object(block, path)?, path, &["reasoningText", "redactedContent"])?;
    if !model.contains("claude") {
        return Ok(());
    }
    let fits = if kind == "reasoningText" {
        let text = string(&inner["text"], path)?;
        open(Family::Claude, inner["signature"].as_str().unwrap_or_default())
            .is_some_and(|signed| text.is_empty() || signed == text)
    } else {
        let sealed =
            STANDARD.decode(inner.as_str().unwrap_or_default()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        sealed.is_some_and(|sealed| open(Family::Claude, &sealed).is_some())
    };
    require(fits, "thinking-signature", || format!("{path}: Invalid `signature` in `thinking` block"))
}

fn image(block: &Value, path: &str) -> Verdict {
    let format = string(&block["format"], path)?;
    require(["png", "jpeg", "gif", "webp"].contains(&format), "image-format", || {
        format!("{path}.image.format: {format}")
    })?;
    let (kind, bytes) = one_key(object(&block["source"], path)?, path, &["bytes", "s3Location"])?;
    let decoded = bytes.as_str().and_then(|data| STANDARD.decode(data).ok());
    require(kind != "bytes" || decoded.is_some_and(|bytes| !bytes.is_empty()), "image-base64", || {
        format!("{path}.image.source.bytes: invalid base64")
    })
}

fn document_name(block: &Value, path: &str) -> Verdict {
    let name = string(&block["name"], path)?;
    let fine = name.chars().all(|c| c.is_ascii_alphanumeric() || " -()[]".contains(c))
        && !name.contains("  ")
        && !name.is_empty();
    require(fine, "document-name", || {
        "The provided document's name is invalid. The name can only contain Alphanumeric, Whitespace, Hyphen, Parenthesis and Square bracket characters. The name can't contain more than one consecutive whitespace character.".to_owned()
    })
}

fn conversation(messages: &[Value], turn: &mut Turn) {
    let brings_results = |message: &Value| blocks(message).iter().any(|block| block.get("toolResult").is_some());
    let last = messages.last().unwrap_or(&Value::Null);
    for block in blocks(last) {
        media(block, turn);
        if let Some(result) = block.get("toolResult") {
            let inner = result["content"].as_array().map(Vec::as_slice).unwrap_or_default();
            let each = |part: &Value| part["text"].as_str().map_or_else(|| part["json"].to_string(), str::to_owned);
            turn.results.push(
                inner
                    .iter()
                    .filter(|part| part.get("text").is_some() || part.get("json").is_some())
                    .map(each)
                    .collect(),
            );
            inner.iter().for_each(|part| media(part, turn));
        }
    }
    let is_wish = |message: &Value| message["role"] == "user" && !brings_results(message);
    let end = messages.iter().rposition(is_wish).map_or(0, |at| at + 1);
    let wished = end.checked_sub(1).and_then(|at| messages.get(at)).map(blocks).unwrap_or_default();
    let own: Vec<&str> = wished.iter().filter_map(|block| block["text"].as_str()).collect();
    turn.user_text = wish(&own).unwrap_or_default();
    turn.rounds = messages
        .iter()
        .skip(end)
        .filter(|message| blocks(message).iter().any(|block| block.get("toolUse").is_some()))
        .count();
}

fn media(block: &Value, turn: &mut Turn) {
    turn.images += usize::from(block.get("image").is_some());
    turn.documents += usize::from(block.get("document").is_some());
}

fn stop_reason(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::StopSequence(_) => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::Tools => "tool_use",
        Finish::Filter => "content_filtered",
    }
}

fn usage(reply: &Reply) -> Value {
    let usage = &reply.usage;
    json!({
        "inputTokens": usage.input.saturating_sub(usage.cache_read + usage.cache_write), "outputTokens": usage.output,
        "totalTokens": usage.input + usage.output, "cacheReadInputTokens": usage.cache_read, "cacheWriteInputTokens": usage.cache_write,
    })
}

fn sealed(ask: &Ask, thinking: &str) -> String {
    seal(Family::Claude, &ask.seed, thinking)
}

fn whole(ask: &Ask, _: &Turn, reply: &Reply) -> Value {
    let mut content = Vec::new();
    if let Some(thinking) = &reply.thinking {
        content.push(if reply.redacted {
            json!({"reasoningContent": {"redactedContent": STANDARD.encode(sealed(ask, thinking))}})
        } else {
            json!({"reasoningContent": {"reasoningText": {"text": thinking, "signature": sealed(ask, thinking)}}})
        });
    }
    if !reply.text.is_empty() {
        content.push(json!({"text": reply.text}));
    }
    for call in &reply.calls {
        content.push(json!({"toolUse": {"toolUseId": format!("tooluse_{}", call.seed), "name": call.name, "input": call.input.object()}}));
    }
    json!({
        "output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop_reason(&reply.finish),
        "usage": usage(reply), "metrics": {"latencyMs": 7},
    })
}

fn stream(ask: &Ask, _: &Turn, reply: &Reply) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut push = |kind: &str, mut payload: Value| {
        payload["p"] = json!("abcdefgh");
        frames.push(Frame::aws_event(kind, payload));
    };
    push("messageStart", json!({"role": "assistant"}));
    let mut index = 0;
    if let Some(thinking) = &reply.thinking {
        let mut deltas: Vec<Value> = Vec::new();
        if reply.redacted {
            deltas.push(json!({"redactedContent": STANDARD.encode(sealed(ask, thinking))}));
        } else {
            deltas.extend(pieces(thinking).into_iter().map(|piece| json!({"text": piece})));
            deltas.push(json!({"signature": sealed(ask, thinking)}));
        }
        for delta in deltas {
            push("contentBlockDelta", json!({"contentBlockIndex": index, "delta": {"reasoningContent": delta}}));
        }
        push("contentBlockStop", json!({"contentBlockIndex": index}));
        index += 1;
    }
    // Text blocks have no start.
    if !reply.text.is_empty() {
        for piece in pieces(&reply.text) {
            push("contentBlockDelta", json!({"contentBlockIndex": index, "delta": {"text": piece}}));
        }
        push("contentBlockStop", json!({"contentBlockIndex": index}));
        index += 1;
    }
    for call in &reply.calls {
        let start = json!({"toolUse": {"toolUseId": format!("tooluse_{}", call.seed), "name": call.name}});
        push("contentBlockStart", json!({"contentBlockIndex": index, "start": start}));
        let input = call.input.object().to_string();
        for fragment in fragments(&input).into_iter().filter(|_| input != "{}") {
            push("contentBlockDelta", json!({"contentBlockIndex": index, "delta": {"toolUse": {"input": fragment}}}));
        }
        push("contentBlockStop", json!({"contentBlockIndex": index}));
        index += 1;
    }
    push("messageStop", json!({"stopReason": stop_reason(&reply.finish)}));
    push("metadata", json!({"usage": usage(reply), "metrics": {"latencyMs": 7}}));
    frames
}

/// Claude's own events, each in a `chunk`.
fn invoke_stream(ask: &Ask, turn: &Turn, reply: &Reply) -> Vec<Frame> {
    let own = (anthropic::HOSTED.stream)(ask, turn, reply);
    let data = own.into_iter().filter_map(|frame| match frame {
        Frame::Sse { data, .. } => data,
        _ => None,
    });
    data.filter(|data| !data.contains("\"type\":\"ping\""))
        .map(|data| Frame::aws_event("chunk", json!({"bytes": STANDARD.encode(data), "p": "abcd"})))
        .collect()
}

fn failure(_: &Ask, refusal: &Refusal) -> Vec<Frame> {
    let name = bedrock_type(refusal.kind);
    let mut letters = name.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_lowercase).collect();
    vec![Frame::aws_exception(&format!("{first}{}", letters.as_str()), json!({"message": refusal.said()}))]
}
