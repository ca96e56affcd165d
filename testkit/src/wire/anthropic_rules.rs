//! What Anthropic's Messages API refuses.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::refusal::{Refusal, Verdict, array, is_word, known_keys, object, require, string};
use crate::signature::{Family, open};

const FIELDS: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "system",
    "stop_sequences",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "tools",
    "tool_choice",
    "metadata",
    "thinking",
    "service_tier",
    "container",
    "mcp_servers",
    "context_management",
    "output_config",
    "output_format",
    "cache_control",
    "inference_geo",
    "speed",
];
const TOOL_FIELDS: &[&str] = &[
    "name",
    "description",
    "input_schema",
    "cache_control",
    "type",
    "strict",
    "defer_loading",
    "allowed_callers",
    "input_examples",
    "eager_input_streaming",
];

/// Where a request came in, which changes what it must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Anthropic's own endpoint, or one like it.
    Own,
    /// Anthropic's count of tokens.
    Count,
    /// Vertex AI or Bedrock: the model is in the path, the version in the body.
    Hosted,
}

/// Checks a whole request body.
pub(crate) fn check(body: &Map<String, Value>, place: Place, version: Option<&str>) -> Verdict {
    let get = |key: &str| body.get(key).unwrap_or(&Value::Null);
    match place {
        Place::Own | Place::Count => {
            known_keys(body, "", &[FIELDS])?;
            require(version.is_some(), "anthropic-version", || "anthropic-version: header is required".to_owned())?;
            string(get("model"), "model")?;
        }
        Place::Hosted => {
            known_keys(body, "", &[FIELDS, &["anthropic_version", "anthropic_beta"]])?;
            require(get("anthropic_version").is_string(), "anthropic-version", || {
                "anthropic_version: Field required".to_owned()
            })?;
            require(!body.contains_key("model"), "model-in-body", || {
                "model: Extra inputs are not permitted".to_owned()
            })?;
        }
    }
    match place {
        Place::Count => {
            require(!body.contains_key("max_tokens") && !body.contains_key("stream"), "count-fields", || {
                "max_tokens: Extra inputs are not permitted".to_owned()
            })?
        }
        _ => require(get("max_tokens").as_u64().is_some_and(|limit| limit >= 1), "max-tokens-required", || {
            "max_tokens: Field required".to_owned()
        })?,
    }
    sampling(body)?;
    thinking(body)?;
    tools(body)?;
    output(get("output_config"))?;
    cache_marks(body)?;
    system(get("system"))?;
    conversation(body)
}

fn sampling(body: &Map<String, Value>) -> Verdict {
    let number = |key: &str| body.get(key).and_then(Value::as_f64);
    if let Some(temperature) = number("temperature") {
        require((0.0..=1.0).contains(&temperature), "temperature-range", || {
            format!("temperature: range: 0..1, got {temperature}")
        })?;
    }
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    let either = ["opus-4-1", "sonnet-4-5", "haiku-4-5"].iter().any(|name| model.contains(name));
    require(
        !(either && number("temperature").is_some() && number("top_p").is_some()),
        "temperature-and-top-p",
        || "`temperature` and `top_p` cannot both be specified for this model. Please use only one.".to_owned(),
    )?;
    for stop in body.get("stop_sequences").and_then(Value::as_array).into_iter().flatten() {
        require(stop.as_str().is_some_and(|stop| !stop.trim().is_empty()), "blank-stop-sequence", || {
            "stop_sequences: each stop sequence must contain non-whitespace".to_owned()
        })?;
    }
    Ok(())
}

fn thinking(body: &Map<String, Value>) -> Verdict {
    let Some(thinking) = body.get("thinking").filter(|value| !value.is_null()) else { return Ok(()) };
    known_keys(object(thinking, "thinking")?, "thinking", &[&["type", "budget_tokens", "display"]])?;
    let kind = string(&thinking["type"], "thinking.type")?;
    require(["enabled", "disabled", "adaptive"].contains(&kind), "thinking-type", || format!("thinking.type: {kind}"))?;
    if kind == "disabled" {
        return Ok(());
    }
    if kind == "enabled" {
        let budget = thinking["budget_tokens"].as_u64().unwrap_or(0);
        require(budget >= 1024, "thinking-budget-minimum", || {
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024".to_owned()
        })?;
        let limit = body.get("max_tokens").and_then(Value::as_u64).unwrap_or(u64::MAX);
        require(budget < limit, "thinking-budget-below-max-tokens", || {
            "`max_tokens` must be greater than `thinking.budget_tokens`.".to_owned()
        })?;
    } else {
        require(thinking["budget_tokens"].is_null(), "adaptive-budget", || {
            "thinking.adaptive.budget_tokens: Extra inputs are not permitted".to_owned()
        })?;
    }
    let temperature = body.get("temperature").and_then(Value::as_f64);
    require(temperature.is_none_or(|value| value == 1.0), "thinking-temperature", || {
        "`temperature` may only be set to 1 when thinking is enabled.".to_owned()
    })?;
    require(body.get("top_k").is_none_or(Value::is_null), "thinking-top-k", || {
        "`top_k` must be unset when thinking is enabled.".to_owned()
    })?;
    let forced = body
        .get("tool_choice")
        .and_then(|choice| choice["type"].as_str())
        .is_some_and(|kind| kind == "any" || kind == "tool");
    require(!forced, "thinking-forced-tool", || {
        "Thinking may not be enabled when tool_choice forces tool use.".to_owned()
    })
}

fn tools(body: &Map<String, Value>) -> Verdict {
    let tools = body.get("tools").and_then(Value::as_array);
    require(tools.is_some() || body.get("tool_choice").is_none_or(Value::is_null), "choice-without-tools", || {
        "tool_choice: may only be specified while providing tools".to_owned()
    })?;
    for (index, tool) in tools.into_iter().flatten().enumerate() {
        let path = format!("tools.{index}");
        let map = object(tool, &path)?;
        if tool["type"].as_str().is_some_and(|kind| kind != "custom") {
            continue;
        }
        known_keys(map, &path, &[TOOL_FIELDS])?;
        let name = string(&tool["name"], &format!("{path}.name"))?;
        require(is_word(name, b"_-", 128), "tool-name", || {
            format!("{path}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$': {name}")
        })?;
        let schema = object(&tool["input_schema"], &format!("{path}.input_schema"))?;
        require(schema.get("type").is_some_and(|kind| kind == "object"), "tool-schema", || {
            format!("{path}.custom.input_schema.type: Input should be 'object'")
        })?;
        let union = ["oneOf", "anyOf", "allOf"].into_iter().find(|key| schema.contains_key(*key));
        require(union.is_none(), "tool-schema-union", || {
            format!("{path}.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level")
        })?;
    }
    if let Some(choice) = body.get("tool_choice").filter(|choice| !choice.is_null()) {
        let kind = string(&choice["type"], "tool_choice.type")?;
        require(["auto", "any", "tool", "none"].contains(&kind), "tool-choice", || {
            format!("tool_choice: unknown type {kind}")
        })?;
        known_keys(object(choice, "tool_choice")?, "tool_choice", &[&["type", "name", "disable_parallel_tool_use"]])?;
    }
    Ok(())
}

fn output(config: &Value) -> Verdict {
    let schema = &config["format"]["schema"];
    require(!schema.is_object() || closed(schema), "output-schema", || {
        "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"
            .to_owned()
    })
}

fn closed(schema: &Value) -> bool {
    let own = schema["type"] != "object" || schema["additionalProperties"] == false;
    let below = schema["properties"].as_object().is_none_or(|properties| properties.values().all(closed));
    own && below && schema.get("items").is_none_or(closed)
}

/// At most four marks, and a longer time to live stands before a shorter one.
fn cache_marks(body: &Map<String, Value>) -> Verdict {
    let mut times = Vec::new();
    for key in ["tools", "system", "messages"] {
        collect_marks(body.get(key).unwrap_or(&Value::Null), &mut times);
    }
    let count = times.len() + usize::from(body.get("cache_control").is_some_and(|mark| !mark.is_null()));
    require(count <= 4, "cache-marks", || {
        format!("A maximum of 4 blocks with cache_control may be provided. Found {count}.")
    })?;
    let first_short = times.iter().position(|hour| !hour);
    let late_hour = first_short.is_some_and(|at| times.iter().skip(at).any(|hour| *hour));
    require(!late_hour, "cache-ttl-order", || {
        "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.".to_owned()
    })
}

fn collect_marks(value: &Value, times: &mut Vec<bool>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_marks(item, times)),
        Value::Object(map) => {
            // Schemas and inputs are the caller's own data, not blocks.
            for (key, inner) in map {
                match key.as_str() {
                    "cache_control" if inner.is_object() => times.push(inner["ttl"] == "1h"),
                    "content" => collect_marks(inner, times),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn system(system: &Value) -> Verdict {
    for (index, block) in system.as_array().into_iter().flatten().enumerate() {
        let text = string(&block["text"], &format!("system.{index}.text"))?;
        require(!text.is_empty(), "empty-text", || "system: text content blocks must be non-empty".to_owned())?;
    }
    Ok(())
}

fn conversation(body: &Map<String, Value>) -> Verdict {
    let messages = array(body.get("messages").unwrap_or(&Value::Null), "messages")?;
    require(!messages.is_empty(), "messages-empty", || "messages: at least one message is required".to_owned())?;
    require(messages.first().is_some_and(|first| first["role"] == "user"), "first-message-user", || {
        "messages: first message must use the \"user\" role".to_owned()
    })?;
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    let mut before = "";
    for (index, message) in messages.iter().enumerate() {
        let path = format!("messages.{index}");
        known_keys(object(message, &path)?, &path, &[&["role", "content", "output_config"]])?;
        let role = string(&message["role"], &format!("{path}.role"))?;
        let inline_system = role == "system" && before != "system" && !model.contains("claude-3");
        require(role == "user" || role == "assistant" || inline_system, "role", || {
            format!("{path}.role: Input should be 'user' or 'assistant', got '{role}'")
        })?;
        before = role;
        let last = index + 1 == messages.len();
        content(&message["content"], &path, role, last)?;
    }
    let thinking = body.get("thinking").and_then(|thinking| thinking["type"].as_str());
    prefill(messages, thinking)?;
    let turns = merged(messages);
    pairing(&turns)?;
    if thinking == Some("enabled") {
        thinking_leads(&turns)?;
    }
    Ok(())
}

fn content(content: &Value, path: &str, role: &str, last: bool) -> Verdict {
    let optional = last && role == "assistant";
    match content {
        Value::String(text) => require(!text.is_empty() || optional, "empty-content", || {
            format!("{path}: all messages must have non-empty content except for the optional final assistant message")
        }),
        Value::Array(blocks) => {
            require(!blocks.is_empty() || optional, "empty-content", || {
                format!(
                    "{path}: all messages must have non-empty content except for the optional final assistant message"
                )
            })?;
            let each = |(at, item): (usize, &Value)| block(item, &format!("{path}.content.{at}"), role);
            blocks.iter().enumerate().try_for_each(each)
        }
        _ => Err(Refusal::new("shape", format!("{path}.content: Input should be a valid list"))),
    }
}

fn block(block: &Value, path: &str, role: &str) -> Verdict {
    let map = object(block, path)?;
    let keys: &[&str] = match (string(&block["type"], &format!("{path}.type"))?, role) {
        ("text", _) => &["text", "citations"],
        ("image", "user") => &["source"],
        ("document", "user") => &["source", "title", "context", "citations"],
        ("search_result", "user") => &["source", "title", "content", "citations"],
        ("tool_result", "user") => &["tool_use_id", "content", "is_error"],
        ("tool_use", "assistant") => &["id", "name", "input", "caller"],
        ("thinking", "assistant") => &["thinking", "signature"],
        ("redacted_thinking", "assistant") => &["data"],
        ("image" | "document" | "tool_result" | "tool_use" | "thinking" | "redacted_thinking" | "search_result", _) => {
            return Err(Refusal::new(
                "block-role",
                format!("{path}: `{}` blocks are not allowed in {role} messages", block["type"]),
            ));
        }
        // Server tools and their results: as the provider wrote them.
        _ => return Ok(()),
    };
    known_keys(map, path, &[&["type", "cache_control"], keys])?;
    match block["type"].as_str().unwrap_or_default() {
        "text" => {
            let text = string(&block["text"], &format!("{path}.text"))?;
            require(!text.is_empty(), "empty-text", || "messages: text content blocks must be non-empty".to_owned())
        }
        "image" => image(&block["source"], path),
        "tool_use" => tool_use(block, path),
        "tool_result" => tool_result(block, path),
        "thinking" => signed(block, path),
        "redacted_thinking" => require(
            block["data"].as_str().is_some_and(|data| open(Family::Claude, data).is_some()),
            "redacted-thinking",
            || format!("{path}: Invalid `data` in `redacted_thinking` block"),
        ),
        _ => Ok(()),
    }
}

fn image(source: &Value, path: &str) -> Verdict {
    match source["type"].as_str() {
        Some("base64") => {
            let media = string(&source["media_type"], &format!("{path}.source.media_type"))?;
            let data = string(&source["data"], &format!("{path}.source.data"))?;
            let bytes = STANDARD
                .decode(data)
                .map_err(|_| Refusal::new("image-base64", format!("{path}.source.base64: invalid base64 data")))?;
            let found = sniff(&bytes);
            require(found.is_none_or(|found| found == media), "image-media-type", || {
                format!(
                    "{path}.source.base64.data: The image was specified using the {media} media type, but it appears to be a {} image",
                    found.unwrap_or("?")
                )
            })?;
            let known = ["image/jpeg", "image/png", "image/gif", "image/webp"].contains(&media);
            require(known, "image-media-type", || format!("{path}.source.base64.media_type: {media}"))
        }
        Some("url") => require(source["url"].as_str().is_some_and(|url| url.starts_with("http")), "image-url", || {
            format!("{path}.source.url.url: Only HTTP(S) URLs are supported")
        }),
        Some("file") => Ok(()),
        _ => Err(Refusal::new("image-source", format!("{path}.source: unknown type"))),
    }
}

/// The media type that an image's first bytes tell.
pub(crate) fn sniff(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

fn tool_use(block: &Value, path: &str) -> Verdict {
    let id = string(&block["id"], &format!("{path}.id"))?;
    require(is_word(id, b"_-", 256), "tool-use-id", || {
        format!("{path}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$': {id}")
    })?;
    let name = string(&block["name"], &format!("{path}.name"))?;
    require(is_word(name, b"_-", 128), "tool-name", || {
        format!("{path}.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$': {name}")
    })?;
    require(block["input"].is_object(), "tool-input", || {
        format!("{path}.tool_use.input: Input should be a valid dictionary")
    })
}

fn tool_result(block: &Value, path: &str) -> Verdict {
    string(&block["tool_use_id"], &format!("{path}.tool_use_id"))?;
    for (at, inner) in block["content"].as_array().into_iter().flatten().enumerate() {
        let path = format!("{path}.content.{at}");
        match inner["type"].as_str() {
            Some("text") => require(inner["text"].as_str().is_some_and(|text| !text.is_empty()), "empty-text", || {
                "messages: text content blocks must be non-empty".to_owned()
            })?,
            Some("image") => image(&inner["source"], &path)?,
            Some("document" | "search_result" | "tool_reference") => {}
            _ => {
                return Err(Refusal::new(
                    "tool-result-content",
                    format!("{path}: Input tag does not match any of the expected tags"),
                ));
            }
        }
    }
    Ok(())
}

fn signed(block: &Value, path: &str) -> Verdict {
    let text = string(&block["thinking"], &format!("{path}.thinking"))?;
    let signature = string(&block["signature"], &format!("{path}.signature"))?;
    // Thinking that was not displayed comes back empty; its signature alone carries it.
    let fits = open(Family::Claude, signature).is_some_and(|signed| text.is_empty() || signed == text);
    require(fits, "thinking-signature", || format!("{path}: Invalid `signature` in `thinking` block"))
}

fn prefill(messages: &[Value], thinking: Option<&str>) -> Verdict {
    let Some(last) = messages.last().filter(|last| last["role"] == "assistant") else { return Ok(()) };
    require(!matches!(thinking, Some("enabled" | "adaptive")), "prefill-with-thinking", || {
        "When thinking is enabled, the final message must not be an assistant message.".to_owned()
    })?;
    let text = last["content"].as_str().or_else(|| {
        last["content"].as_array().and_then(|blocks| blocks.last()).and_then(|block| block["text"].as_str())
    });
    require(text.is_none_or(|text| text.trim_end() == text), "trailing-white-space", || {
        "messages: final assistant content cannot end with trailing whitespace".to_owned()
    })
}

/// Neighbouring messages of one role are one turn; inline system messages belong to none.
fn merged(messages: &[Value]) -> Vec<(&str, Vec<&Value>)> {
    let mut turns: Vec<(&str, Vec<&Value>)> = Vec::new();
    for message in messages {
        let role = message["role"].as_str().unwrap_or_default();
        let blocks = message["content"].as_array().into_iter().flatten();
        if role == "system" {
            continue;
        }
        match turns.last_mut() {
            Some((last, list)) if *last == role => list.extend(blocks),
            _ => turns.push((role, blocks.collect())),
        }
    }
    turns
}

/// Every `tool_use` has its `tool_result` in the one next user turn, results first.
fn pairing(turns: &[(&str, Vec<&Value>)]) -> Verdict {
    let mut open: Vec<&str> = Vec::new();
    for (index, (role, blocks)) in turns.iter().enumerate() {
        let results: Vec<&str> = ids(blocks, "tool_result", "tool_use_id");
        if *role == "user" {
            let mut left = open.clone();
            for id in &results {
                let at = left.iter().position(|open| open == id).ok_or_else(|| {
                    Refusal::new("orphan-tool-result", format!("messages.{index}.content: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."))
                })?;
                left.swap_remove(at);
            }
            unanswered(&left, index)?;
            let first_other = blocks.iter().position(|block| block["type"] != "tool_result").unwrap_or(blocks.len());
            require(results.len() <= first_other, "results-first", || {
                format!(
                    "messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: results must come first"
                )
            })?;
        }
        open = if *role == "assistant" { ids(blocks, "tool_use", "id") } else { Vec::new() };
        let mut unique = open.clone();
        unique.sort_unstable();
        unique.dedup();
        require(unique.len() == open.len(), "duplicate-tool-use-id", || {
            format!("messages.{index}: `tool_use` ids must be unique")
        })?;
    }
    unanswered(&open, turns.len())
}

fn ids<'a>(blocks: &[&'a Value], kind: &str, key: &str) -> Vec<&'a str> {
    blocks.iter().filter(|block| block["type"] == kind).filter_map(|block| block[key].as_str()).collect()
}

fn unanswered(open: &[&str], index: usize) -> Verdict {
    require(open.is_empty(), "unanswered-tool-use", || {
        format!(
            "messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
            open.join(", ")
        )
    })
}

/// With thinking on, the assistant turn of a running tool loop starts with its thinking.
fn thinking_leads(turns: &[(&str, Vec<&Value>)]) -> Verdict {
    let looping = turns.last().is_some_and(|(_, blocks)| blocks.iter().any(|block| block["type"] == "tool_result"));
    let assistant = turns.iter().rev().find(|(role, _)| *role == "assistant");
    let Some((_, blocks)) = assistant.filter(|_| looping) else { return Ok(()) };
    let leads = blocks.first().is_some_and(|block| block["type"] == "thinking" || block["type"] == "redacted_thinking");
    require(leads, "thinking-first", || {
        "messages: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceding the lastmost set of `tool_use` and `tool_result` blocks).".to_owned()
    })
}
