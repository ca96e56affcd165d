//! What hosts of the Chat wire refuse: fields, shapes of messages, pairing of tool calls and results.

use serde_json::{Map, Value};

use crate::provider::{ChatHost, Reasoning};
use crate::refusal::{Refusal, Verdict, array, is_word, known_keys, object, require, string};
use crate::wire::strict_schema;

/// Checks a whole request body.
pub(crate) fn check(body: &Map<String, Value>, host: &ChatHost, thinking: bool) -> Verdict {
    known_keys(body, "", host.fields)?;
    let model = string(body.get("model").unwrap_or(&Value::Null), "model")?;
    let messages = array(body.get("messages").unwrap_or(&Value::Null), "messages")?;
    require(!messages.is_empty(), "messages-empty", || "Invalid 'messages': empty array.".to_owned())?;
    top_level(body, host, model)?;
    tools(body, host)?;
    for (index, message) in messages.iter().enumerate() {
        message_shape(message, index, host)?;
    }
    pairing(messages)?;
    if host.replay && thinking {
        reasoning_is_back(messages)?;
    }
    Ok(())
}

fn top_level(body: &Map<String, Value>, host: &ChatHost, model: &str) -> Verdict {
    let streams = body.get("stream") == Some(&Value::Bool(true));
    require(streams || body.get("stream_options").is_none_or(Value::is_null), "stream-options-without-stream", || {
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.".to_owned()
    })?;
    if let Some(temperature) = body.get("temperature").and_then(Value::as_f64) {
        require((0.0..=2.0).contains(&temperature), "temperature-range", || {
            format!("Invalid 'temperature': {temperature}")
        })?;
    }
    let stops = body.get("stop").and_then(Value::as_array).map_or(0, Vec::len);
    require(stops <= 4 || !host.openai_rules, "stop-count", || {
        "Invalid 'stop': array too long, at most 4.".to_owned()
    })?;
    let format = body.get("response_format").unwrap_or(&Value::Null);
    if format["type"] == "json_object" {
        let prompt = body.get("messages").map(Value::to_string).unwrap_or_default().to_lowercase();
        require(prompt.contains("json"), "json-word", || {
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
                .to_owned()
        })?;
    }
    if format["type"] == "json_schema" {
        require(format["json_schema"]["name"].is_string(), "schema-name", || {
            "Missing required parameter: 'response_format.json_schema.name'.".to_owned()
        })?;
    }
    if body.get("continue_final_message") == Some(&Value::Bool(true)) {
        let new_turn = body.get("add_generation_prompt") != Some(&Value::Bool(false));
        require(!new_turn, "continue-and-begin", || {
            "Cannot set both `continue_final_message` and `add_generation_prompt` to True.".to_owned()
        })?;
    }
    if host.openai_rules {
        openai_only(body, model)?;
    }
    Ok(())
}

/// Whether OpenAI counts the model as a reasoning one.
pub(crate) fn reasons(model: &str) -> bool {
    ["o1", "o3", "o4", "gpt-5"].iter().any(|family| model.starts_with(family)) && !model.contains("chat")
}

fn openai_only(body: &Map<String, Value>, model: &str) -> Verdict {
    for field in ["tool_choice", "parallel_tool_calls"] {
        let has_tools = body.contains_key("tools") || body.contains_key("functions");
        require(has_tools || body.get(field).is_none_or(Value::is_null), "choice-without-tools", || {
            format!("Invalid value for '{field}': '{field}' is only allowed when 'tools' are specified.")
        })?;
    }
    require(body.get("tools").and_then(Value::as_array).is_none_or(|tools| !tools.is_empty()), "tools-empty", || {
        "Invalid 'tools': empty array. Expected an array with minimum length 1.".to_owned()
    })?;
    require(!(body.contains_key("max_tokens") && body.contains_key("max_completion_tokens")), "two-limits", || {
        "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.".to_owned()
    })?;
    if !reasons(model) {
        require(body.get("reasoning_effort").is_none_or(Value::is_null), "not-a-reasoning-model", || {
            "Unrecognized request argument supplied: reasoning_effort".to_owned()
        })?;
        return Ok(());
    }
    if body.contains_key("max_tokens") {
        let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        return Err(Refusal::new("reasoning-max-tokens", message).at("max_tokens"));
    }
    for field in ["temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "stop"] {
        let default = match field {
            "temperature" | "top_p" => body.get(field).and_then(Value::as_f64) == Some(1.0),
            "presence_penalty" | "frequency_penalty" => body.get(field).and_then(Value::as_f64) == Some(0.0),
            _ => body.get(field) == Some(&Value::Bool(false)),
        };
        if !default && body.get(field).is_some_and(|value| !value.is_null()) {
            let message = format!("Unsupported parameter: '{field}' is not supported with this model.");
            return Err(Refusal::new("reasoning-sampling", message).at(field));
        }
    }
    Ok(())
}

fn tools(body: &Map<String, Value>, host: &ChatHost) -> Verdict {
    for (index, tool) in body.get("tools").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let path = format!("tools[{index}]");
        let kind = string(&tool["type"], &format!("{path}.type"))?;
        if kind == "custom" && host.openai_rules {
            require(tool["custom"]["name"].is_string(), "tool-shape", || {
                format!("Missing required parameter: '{path}.custom.name'.")
            })?;
            continue;
        }
        require(kind == "function", "tool-type", || {
            format!("Invalid value: '{kind}'. Supported values are: 'function'.")
        })?;
        known_keys(object(tool, &path)?, &path, &[&["type", "function"]])?;
        let function = object(&tool["function"], &format!("{path}.function"))?;
        known_keys(function, &format!("{path}.function"), &[&["name", "description", "parameters", "strict"]])?;
        let name = string(&tool["function"]["name"], &format!("{path}.function.name"))?;
        require(is_word(name, b"_-", 64), "tool-name", || {
            format!(
                "Invalid '{path}.function.name': string does not match pattern '^[a-zA-Z0-9_-]+$' or is too long: {name}"
            )
        })?;
        let parameters = function.get("parameters").unwrap_or(&Value::Null);
        require(parameters.is_null() || parameters.is_object(), "tool-schema", || {
            format!("{path}.function.parameters: not an object")
        })?;
        require(
            parameters.is_null() || parameters["type"].is_null() || parameters["type"] == "object",
            "tool-schema",
            || format!("Invalid schema for function '{name}': schema must be of type 'object'"),
        )?;
        if function.get("strict") == Some(&Value::Bool(true)) {
            require(strict_schema(parameters), "strict-schema", || {
                format!(
                    "Invalid schema for function '{name}': 'additionalProperties' is required to be supplied and to be false, and 'required' must name every property."
                )
            })?;
        }
    }
    Ok(())
}

fn message_shape(message: &Value, index: usize, host: &ChatHost) -> Verdict {
    let path = format!("messages[{index}]");
    let map = object(message, &path)?;
    let role = string(&message["role"], &format!("{path}.role"))?;
    let known =
        ["system", "user", "assistant", "tool", "function"].contains(&role) || (role == "developer" && host.developer);
    require(known, "role", || {
        format!("Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user' and 'tool'.")
    })?;
    if let Some(extra) = host.message_fields {
        known_keys(
            map,
            &path,
            &[&["role", "content", "name", "tool_calls", "tool_call_id", "refusal", "audio"], extra],
        )?;
    }
    let calls = message["tool_calls"].as_array();
    require(calls.is_none_or(|calls| !calls.is_empty()), "tool-calls-empty", || {
        format!("Invalid '{path}.tool_calls': empty array.")
    })?;
    match &message["content"] {
        Value::String(_) => {}
        Value::Array(parts) => {
            require(!parts.is_empty(), "content-empty", || format!("Invalid '{path}.content': empty array."))?;
            for (at, part) in parts.iter().enumerate() {
                part_shape(part, &format!("{path}.content[{at}]"), role, host)?;
            }
        }
        Value::Null => require(
            role == "assistant" && (calls.is_some() || message["refusal"].is_string() || message["audio"].is_object()),
            "content-null",
            || format!("Invalid value for 'content': expected a string, got null. ({path})"),
        )?,
        _ => return Err(Refusal::new("shape", format!("{path}.content: must be a string or an array")).at(path)),
    }
    require(calls.is_none() || role == "assistant", "tool-calls-role", || {
        format!("{path}: tool_calls on a {role} message")
    })?;
    for (at, call) in calls.into_iter().flatten().enumerate() {
        call_shape(call, &format!("{path}.tool_calls[{at}]"), host)?;
    }
    if role == "tool" {
        let id = string(&message["tool_call_id"], &format!("{path}.tool_call_id"))?;
        require(!host.nine || is_word(id, b"", 9) && id.len() == 9, "nine-ids", || nine(id))?;
    }
    Ok(())
}

fn nine(id: &str) -> String {
    format!("Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9.")
}

fn part_shape(part: &Value, path: &str, role: &str, host: &ChatHost) -> Verdict {
    let map = object(part, path)?;
    let kind = string(&part["type"], &format!("{path}.type"))?;
    let own: &[&str] = match (role, kind) {
        (_, "text") => &["text"],
        ("assistant", "refusal") => &["refusal"],
        ("assistant", "thinking") if host.reasoning == Reasoning::Parts => &["thinking", "signature", "closed"],
        ("tool", "image_url") => {
            return Err(Refusal::new(
                "image-in-tool-message",
                format!("Invalid '{path}': image URLs are only allowed for messages with role 'user'."),
            )
            .at(path));
        }
        ("user", "image_url") if host.images => &["image_url"],
        ("user", "input_audio") if host.openai_rules => &["input_audio"],
        ("user", "file") => &["file"],
        _ => {
            return Err(
                Refusal::new("part-type", format!("Invalid value: '{kind}' ({path}) for a {role} message.")).at(path)
            );
        }
    };
    let cache: &[&str] = if host.cache_control { &["cache_control"] } else { &[] };
    known_keys(map, path, &[&["type"], own, cache])?;
    if kind == "text" {
        string(&part["text"], &format!("{path}.text"))?;
    }
    if kind == "image_url" {
        let url = part["image_url"]["url"]
            .as_str()
            .or_else(|| part["image_url"].as_str().filter(|_| host.nine))
            .unwrap_or_default();
        let fine = url.starts_with("https://") || url.starts_with("http://") || url.starts_with("data:image/");
        require(fine, "image-url", || {
            format!("Invalid '{path}.image_url.url': expected a http(s) or data URL of an image.")
        })?;
    }
    Ok(())
}

fn call_shape(call: &Value, path: &str, host: &ChatHost) -> Verdict {
    let id = string(&call["id"], &format!("{path}.id"))?;
    require(!id.is_empty(), "tool-call-id", || format!("Invalid '{path}.id': empty string."))?;
    require(!host.nine || is_word(id, b"", 9) && id.len() == 9, "nine-ids", || nine(id))?;
    let kind = call["type"].as_str().unwrap_or_default();
    if kind == "custom" && host.openai_rules {
        string(&call["custom"]["input"], &format!("{path}.custom.input"))?;
        return Ok(());
    }
    require(kind == "function" || (kind.is_empty() && host.nine), "tool-type", || {
        format!("Missing required parameter: '{path}.type'.")
    })?;
    let name = string(&call["function"]["name"], &format!("{path}.function.name"))?;
    require(is_word(name, b"_-", 64), "tool-name", || format!("Invalid '{path}.function.name': {name}"))?;
    let arguments = string(&call["function"]["arguments"], &format!("{path}.function.arguments"))?;
    let parsed = serde_json::from_str::<Value>(arguments).is_ok_and(|value| value.is_object());
    require(parsed, "tool-arguments-json", || {
        format!("Invalid '{path}.function.arguments': not a JSON object: {arguments:?}")
    })
}

/// Every call is answered by tool messages that follow at once, and every tool message answers a call.
fn pairing(messages: &[Value]) -> Verdict {
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        if message["role"] == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let Some(at) = open.iter().position(|open| *open == id) else {
                let text = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'.";
                return Err(Refusal::new("orphan-tool-result", format!("Invalid parameter: {text} ({id})"))
                    .at(format!("messages.[{index}].role")));
            };
            open.swap_remove(at);
            continue;
        }
        unanswered(&open, index)?;
        open = message["tool_calls"].as_array().into_iter().flatten().filter_map(|call| call["id"].as_str()).collect();
    }
    unanswered(&open, messages.len())
}

fn unanswered(open: &[&str], index: usize) -> Verdict {
    require(open.is_empty(), "unanswered-tool-call", || {
        format!(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {} (before messages[{index}])",
            open.join(", ")
        )
    })
}

/// DeepSeek, Kimi: in the current turn every assistant message with tool calls carries its thinking.
fn reasoning_is_back(messages: &[Value]) -> Verdict {
    let start = messages.iter().rposition(|message| message["role"] == "user").unwrap_or(0);
    for message in messages.iter().skip(start).filter(|message| message["tool_calls"].is_array()) {
        require(
            message["reasoning_content"].as_str().is_some_and(|text| !text.is_empty()),
            "reasoning-not-passed-back",
            || "The `reasoning_content` in the thinking mode must be passed back to the API.".to_owned(),
        )?;
    }
    Ok(())
}
