//! OpenAI Responses, read and checked.

use serde_json::{Map, Value};

use crate::model::{Choice, ToolOffer, Turn};
use crate::provider::Storing;
use crate::refusal::{Refusal, Verdict, is_word, known_keys, object, require, string};
use crate::signature::{Family, open};
use crate::wire::{Ask, SSE, Wire, responses_answer, strict_schema, texts, wish, words};

/// The wire.
pub(crate) const WIRE: Wire = Wire {
    read,
    whole: responses_answer::whole,
    stream: responses_answer::stream,
    failure: responses_answer::failure,
    content_type: SSE,
};
/// `input_tokens`.
pub(crate) const COUNT: Wire = Wire { read: read_whole, whole: responses_answer::count, ..WIRE };
/// `compact`.
pub(crate) const COMPACT: Wire = Wire { read: read_whole, whole: responses_answer::compact, ..WIRE };

const FIELDS: &[&str] = &[
    "background",
    "client_metadata",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "personality",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
    "verbosity",
];

fn read_whole(ask: &Ask) -> Verdict<Turn> {
    read(ask).map(|turn| Turn { stream: false, ..turn })
}

fn read(ask: &Ask) -> Verdict<Turn> {
    let body = &ask.body;
    let map = object(body, "")?;
    known_keys(map, "", &[FIELDS])?;
    let model = string(&body["model"], "model")?;
    reasoning_model(map, model)?;
    let mut items = earlier(ask)?;
    match &body["input"] {
        Value::String(text) => items.push(serde_json::json!({"role": "user", "content": text})),
        Value::Array(list) => items.extend(list.iter().cloned()),
        Value::Null if body["prompt"].is_object() => {}
        _ => return Err(Refusal::new("input-required", "Missing required parameter: 'input'.").at("input")),
    }
    for (index, item) in items.iter().enumerate() {
        check_item(item, &format!("input[{index}]"))?;
    }
    pairing(&items)?;
    reasoning_has_follower(&items)?;
    let mut turn = Turn {
        model: model.to_owned(),
        stream: body["stream"] == true,
        include_usage: true,
        thinking: body["reasoning"]["effort"].as_str().is_some_and(|effort| effort != "none")
            || body["reasoning"]["summary"].is_string(),
        limit: body["max_output_tokens"].as_u64(),
        schema: body["text"]["format"].get("schema").cloned(),
        json: body["text"]["format"]["type"] == "json_object",
        n: 1,
        one_call: body["parallel_tool_calls"] == false,
        choice: choice(&body["tool_choice"]),
        tools: tools(body, &items)?,
        input_tokens: words(&body["instructions"]) + words(&Value::Array(items.clone())) + words(&body["tools"]),
        ..Turn::default()
    };
    conversation(&items, &mut turn);
    Ok(turn)
}

fn reasoning_model(body: &Map<String, Value>, model: &str) -> Verdict {
    if super::chat_rules::reasons(model) {
        for field in ["temperature", "top_p"] {
            let set = body.get(field).is_some_and(|value| !value.is_null() && value.as_f64() != Some(1.0));
            require(!set, "reasoning-sampling", || {
                format!("Unsupported parameter: '{field}' is not supported with this model.")
            })?;
        }
    } else {
        let asked = body.get("reasoning").is_some_and(|reasoning| reasoning["effort"].is_string());
        require(!asked || !model.starts_with("gpt-4"), "not-a-reasoning-model", || {
            "Unsupported parameter: 'reasoning.effort' is not supported with this model.".to_owned()
        })?;
    }
    if let Some(limit) = body.get("max_output_tokens").and_then(Value::as_u64) {
        require(limit >= 16, "output-minimum", || {
            format!(
                "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {limit} instead."
            )
        })?;
    }
    let streams = body.get("stream") == Some(&Value::Bool(true));
    require(streams || body.get("stream_options").is_none_or(Value::is_null), "stream-options-without-stream", || {
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.".to_owned()
    })?;
    let format = body.get("text").map_or(&Value::Null, |text| &text["format"]);
    if format["type"] == "json_schema" {
        string(&format["name"], "text.format.name")?;
        require(format["schema"].is_object(), "schema-required", || {
            "Missing required parameter: 'text.format.schema'.".to_owned()
        })?;
        require(format["strict"] != true || strict_schema(&format["schema"]), "strict-schema", || {
            "Invalid schema for response_format: 'additionalProperties' is required to be supplied and to be false, and 'required' must name every property.".to_owned()
        })?;
    }
    Ok(())
}

/// The items of the response that this one continues.
fn earlier(ask: &Ask) -> Verdict<Vec<Value>> {
    let storing = ask.provider.storing();
    if storing == Storing::Refuses {
        let wants = ask.body["store"] == true || !ask.body["previous_response_id"].is_null();
        require(!wants, "stateless", || {
            "This API is stateless: 'store' and 'previous_response_id' are refused.".to_owned()
        })?;
    }
    if storing != Storing::Stores {
        return Ok(Vec::new());
    }
    let Some(id) = ask.body["previous_response_id"].as_str() else { return Ok(Vec::new()) };
    let stored = ask.stored.get(id).and_then(Value::as_array);
    stored.cloned().ok_or_else(|| {
        Refusal::new("previous-response", format!("Previous response with id '{id}' not found."))
            .at("previous_response_id")
    })
}

fn check_item(item: &Value, path: &str) -> Verdict {
    let map = object(item, path)?;
    let kind = item["type"].as_str().unwrap_or("message");
    match kind {
        "message" => {
            let role = string(&item["role"], &format!("{path}.role"))?;
            require(["user", "assistant", "system", "developer"].contains(&role), "role", || {
                format!("Invalid value: '{role}' ({path}.role).")
            })?;
            known_keys(map, path, &[&["type", "role", "content", "id", "status", "phase", "end_turn"]])?;
            for (at, part) in item["content"].as_array().into_iter().flatten().enumerate() {
                check_part(part, &format!("{path}.content[{at}]"), role)?;
            }
            require(item["content"].is_string() || item["content"].is_array(), "shape", || {
                format!("Missing required parameter: '{path}.content'.")
            })
        }
        "function_call" => {
            known_keys(map, path, &[&["type", "id", "call_id", "name", "namespace", "arguments", "status"]])?;
            let id = string(&item["call_id"], &format!("{path}.call_id"))?;
            require((1..=64).contains(&id.len()), "call-id-length", || {
                format!("Invalid '{path}.call_id': string too long or empty, 1 to 64.")
            })?;
            let own = item["id"].as_str();
            require(own.is_none_or(|own| own.starts_with("fc_")), "function-call-item-id", || {
                format!("Invalid '{path}.id': '{}'. Expected an ID that begins with 'fc'.", own.unwrap_or_default())
            })?;
            let name = string(&item["name"], &format!("{path}.name"))?;
            require(is_word(name, b"_-", 128), "tool-name", || format!("Invalid '{path}.name': {name}"))?;
            let arguments = string(&item["arguments"], &format!("{path}.arguments"))?;
            require(
                serde_json::from_str::<Value>(arguments).is_ok_and(|value| value.is_object()),
                "tool-arguments-json",
                || format!("Invalid '{path}.arguments': not a JSON object: {arguments:?}"),
            )
        }
        "custom_tool_call" => {
            string(&item["input"], &format!("{path}.input")).and(string(&item["call_id"], path)).map(drop)
        }
        "function_call_output" | "custom_tool_call_output" => {
            string(&item["call_id"], &format!("{path}.call_id"))?;
            require(item["output"].is_string() || item["output"].is_array(), "shape", || {
                format!("Missing required parameter: '{path}.output'.")
            })
        }
        "reasoning" => {
            require(item["summary"].is_array(), "reasoning-summary", || {
                format!("Missing required parameter: '{path}.summary'.")
            })?;
            match item["encrypted_content"].as_str() {
                Some(sealed) => require(open(Family::OpenAi, sealed).is_some(), "encrypted-content", || {
                    format!(
                        "The encrypted content for item {} could not be verified. Reason: Encrypted content could not be decrypted or parsed.",
                        item["id"]
                    )
                }),
                None => Err(Refusal::with_status(
                    404,
                    "reasoning-not-stored",
                    format!(
                        "Item with id '{}' not found. Items are not persisted when `store` is set to false.",
                        item["id"].as_str().unwrap_or_default()
                    ),
                )),
            }
        }
        "item_reference"
        | "local_shell_call"
        | "local_shell_call_output"
        | "web_search_call"
        | "file_search_call"
        | "computer_call"
        | "computer_call_output"
        | "image_generation_call"
        | "code_interpreter_call"
        | "mcp_call"
        | "mcp_list_tools"
        | "tool_search_call"
        | "tool_search_output"
        | "additional_tools"
        | "compaction"
        | "compaction_trigger"
        | "agent_message"
        | "shell_call"
        | "shell_call_output"
        | "apply_patch_call"
        | "apply_patch_call_output" => Ok(()),
        other => Err(Refusal::new("item-type", format!("Invalid value: '{other}' ({path}.type).")).at(path)),
    }
}

fn check_part(part: &Value, path: &str, role: &str) -> Verdict {
    let kind = string(&part["type"], &format!("{path}.type"))?;
    let fine = match role {
        "assistant" => ["output_text", "refusal"].contains(&kind),
        _ => ["input_text", "input_image", "input_file"].contains(&kind),
    };
    require(fine, "part-type", || {
        let wanted = if role == "assistant" {
            "'output_text' and 'refusal'"
        } else {
            "'input_text', 'input_image' and 'input_file'"
        };
        format!("Invalid value: '{kind}'. Supported values are: {wanted}. ({path})")
    })?;
    if kind == "input_image" {
        let url = part["image_url"].as_str();
        let fine = url.is_some_and(|url| url.starts_with("http") || url.starts_with("data:image/"))
            || part["file_id"].is_string();
        require(fine, "image-url", || format!("Invalid '{path}.image_url': expected a URL as a string."))?;
    }
    Ok(())
}

/// Every call has its output, every output its call.
fn pairing(items: &[Value]) -> Verdict {
    let ids = |kinds: [&str; 2]| -> Vec<&str> {
        let of_kind = items.iter().filter(|item| item["type"].as_str().is_some_and(|kind| kinds.contains(&kind)));
        of_kind.filter_map(|item| item["call_id"].as_str()).collect()
    };
    let calls = ids(["function_call", "custom_tool_call"]);
    let outputs = ids(["function_call_output", "custom_tool_call_output"]);
    if let Some(id) = outputs.iter().find(|id| !calls.contains(id)) {
        return Err(Refusal::new(
            "orphan-tool-result",
            format!("No tool call found for function call output with call_id {id}."),
        )
        .at("input"));
    }
    if let Some(id) = calls.iter().find(|id| !outputs.contains(id)) {
        return Err(
            Refusal::new("unanswered-tool-call", format!("No tool output found for function call {id}.")).at("input")
        );
    }
    Ok(())
}

/// A reasoning item stands directly before the item that it belonged to.
fn reasoning_has_follower(items: &[Value]) -> Verdict {
    for (index, item) in items.iter().enumerate().filter(|(_, item)| item["type"] == "reasoning") {
        let next = items.get(index + 1).map_or(&Value::Null, |next| next);
        let follows = next["role"] == "assistant"
            || next["type"]
                .as_str()
                .is_some_and(|kind| kind.ends_with("_call") || kind == "reasoning" || kind == "agent_message");
        require(follows, "reasoning-follower", || {
            format!(
                "Item '{}' of type 'reasoning' was provided without its required following item.",
                item["id"].as_str().unwrap_or_default()
            )
        })?;
    }
    Ok(())
}

fn choice(value: &Value) -> Choice {
    match (value.as_str(), value["type"].as_str()) {
        (Some("none"), _) => Choice::None,
        (Some("required"), _) => Choice::Any,
        (None, Some("function" | "custom")) => Choice::One(value["name"].as_str().unwrap_or_default().to_owned()),
        (None, Some("allowed_tools")) if value["mode"] == "required" => Choice::Any,
        _ => Choice::Auto,
    }
}

/// Tools of the body and of `additional_tools` items, namespaces opened.
fn tools(body: &Value, items: &[Value]) -> Verdict<Vec<ToolOffer>> {
    let mut offers = Vec::new();
    let added = items
        .iter()
        .filter(|item| item["type"] == "additional_tools")
        .flat_map(|item| item["tools"].as_array().into_iter().flatten());
    for (index, tool) in body["tools"].as_array().into_iter().flatten().chain(added).enumerate() {
        let path = format!("tools[{index}]");
        if tool["type"] == "namespace" {
            let namespace = string(&tool["name"], &format!("{path}.name"))?;
            for inner in tool["tools"].as_array().into_iter().flatten() {
                offers.extend(offer(inner, Some(namespace), &path)?);
            }
        } else {
            offers.extend(offer(tool, None, &path)?);
        }
    }
    Ok(offers)
}

fn offer(tool: &Value, namespace: Option<&str>, path: &str) -> Verdict<Option<ToolOffer>> {
    let kind = string(&tool["type"], &format!("{path}.type"))?;
    if kind != "function" && kind != "custom" {
        return Ok(None);
    }
    require(tool.get("function").is_none(), "tool-shape", || {
        format!("Unknown parameter: '{path}.function'. Functions are flat here.")
    })?;
    let name = string(&tool["name"], &format!("{path}.name"))?;
    require(is_word(name, b"_-", 128), "tool-name", || format!("Invalid '{path}.name': {name}"))?;
    require(tool["strict"] != true || strict_schema(&tool["parameters"]), "strict-schema", || {
        format!(
            "Invalid schema for function '{name}': 'additionalProperties' is required to be supplied and to be false, and 'required' must name every property."
        )
    })?;
    Ok(Some(ToolOffer {
        name: name.to_owned(),
        namespace: namespace.map(str::to_owned),
        schema: tool["parameters"].clone(),
        free_text: kind == "custom",
    }))
}

fn is_output(item: &Value) -> bool {
    item["type"].as_str().is_some_and(|kind| kind.ends_with("_call_output"))
}

fn is_call(item: &Value) -> bool {
    item["type"].as_str().is_some_and(|kind| kind == "function_call" || kind == "custom_tool_call")
}

fn conversation(items: &[Value], turn: &mut Turn) {
    let last_own = items.iter().rposition(|item| item["role"] == "assistant" || is_call(item));
    for item in items.iter().skip(last_own.map_or(0, |at| at + 1)) {
        if is_output(item) {
            turn.results.push(texts(&item["output"]).concat());
        }
        for part in [&item["content"], &item["output"]].into_iter().filter_map(Value::as_array).flatten() {
            match part["type"].as_str() {
                Some("input_image") => turn.images += 1,
                Some("input_file") => turn.documents += 1,
                _ => {}
            }
        }
    }
    let limit = if turn.results.is_empty() { items.len() } else { last_own.unwrap_or(0) };
    let is_user = |item: &Value| item["role"] == "user";
    let end = items.iter().take(limit).rposition(is_user).map_or(0, |at| at + 1);
    let mut start = end;
    while start > 0 && items.get(start - 1).is_some_and(is_user) {
        start -= 1;
    }
    let own: Vec<&str> = items.iter().take(end).skip(start).flat_map(|item| texts(&item["content"])).collect();
    turn.user_text = wish(&own).unwrap_or_default();
    // Parallel calls are one round: a round ends where its outputs begin.
    let after: Vec<&Value> = items.iter().skip(end).collect();
    turn.rounds =
        after.windows(2).filter(|pair| matches!(pair, [before, next] if !is_output(before) && is_output(next))).count();
}
