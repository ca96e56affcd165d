//! What Gemini refuses: names of fields, configuration, tools, shapes of turns, signatures of calls.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::refusal::{Refusal, Verdict, is_word, known_keys, object, require, string};
use crate::signature::{Family, open};
use crate::wire::gemini_schema;

/// The signature that Google documents for histories whose own was lost.
const DUMMY: &str = "skip_thought_signature_validator";
pub(super) const FIELDS: &[&str] = &[
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "safetySettings",
    "generationConfig",
    "cachedContent",
    "model",
    "labels",
    "store",
    "serviceTier",
];
const CONFIG: &[&str] = &[
    "stopSequences",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "_responseJsonSchema",
    "responseModalities",
    "candidateCount",
    "maxOutputTokens",
    "temperature",
    "topP",
    "topK",
    "seed",
    "presencePenalty",
    "frequencyPenalty",
    "responseLogprobs",
    "logprobs",
    "enableEnhancedCivicAnswers",
    "speechConfig",
    "thinkingConfig",
    "imageConfig",
    "mediaResolution",
    "audioTimestamp",
    "routingConfig",
];

pub(super) fn unknown(map: &Map<String, Value>, path: &str, known: &[&str]) -> Verdict {
    known_keys(map, path, &[known]).map_err(|refusal| {
        let name = refusal.param.clone().unwrap_or_default();
        let name = name.rsplit('.').next().unwrap_or_default().to_owned();
        let place = if path.is_empty() { String::new() } else { format!(" at '{path}'") };
        let message = format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field.");
        Refusal::new("unknown-field", message).at(name)
    })
}

pub(super) fn check_config(config: &Value, model: &str) -> Verdict {
    let Some(map) = config.as_object() else { return Ok(()) };
    unknown(map, "generation_config", CONFIG)?;
    if let Some(schema) = map.get("responseSchema").filter(|schema| !schema.is_null()) {
        gemini_schema::check(schema, "generation_config.response_schema")?;
    }
    let shaped =
        ["responseSchema", "responseJsonSchema", "_responseJsonSchema"].iter().any(|key| !config[*key].is_null());
    require(!shaped || config["responseMimeType"] == "application/json", "schema-mime-type", || {
        "generation_config.response_mime_type: must be application/json when a response schema is set".to_owned()
    })?;
    let stops = config["stopSequences"].as_array().map_or(0, Vec::len);
    require(stops <= 5, "stop-count", || "generation_config.stop_sequences: at most 5".to_owned())?;
    if let Some(temperature) = config["temperature"].as_f64() {
        require((0.0..=2.0).contains(&temperature), "temperature-range", || {
            format!("generation_config.temperature: {temperature}")
        })?;
    }
    let thinking = &config["thinkingConfig"];
    if let Some(map) = thinking.as_object() {
        unknown(map, "generation_config.thinking_config", &["includeThoughts", "thinkingBudget", "thinkingLevel"])?;
    }
    require(thinking["thinkingBudget"].is_null() || thinking["thinkingLevel"].is_null(), "thinking-two-knobs", || {
        "You can only set one of thinking_budget and thinking_level.".to_owned()
    })?;
    require(thinking["thinkingLevel"].is_null() || model.contains("gemini-3"), "thinking-level-model", || {
        "Thinking level is not supported for this model.".to_owned()
    })
}

pub(super) fn check_tools(body: &Value, model: &str) -> Verdict {
    let mut functions = false;
    let mut search = false;
    for (at, tool) in body["tools"].as_array().into_iter().flatten().enumerate() {
        let path = format!("tools[{at}]");
        let known = [
            "functionDeclarations",
            "googleSearch",
            "googleSearchRetrieval",
            "codeExecution",
            "urlContext",
            "computerUse",
            "fileSearch",
            "googleMaps",
        ];
        unknown(object(tool, &path)?, &path, &known)?;
        search |= tool.get("googleSearch").is_some();
        for (index, declaration) in declarations(tool).enumerate() {
            functions = true;
            let path = format!("{path}.function_declarations[{index}]");
            let keys = [
                "name",
                "description",
                "parameters",
                "parametersJsonSchema",
                "response",
                "responseJsonSchema",
                "behavior",
            ];
            unknown(object(declaration, &path)?, &path, &keys)?;
            let name = string(&declaration["name"], &format!("{path}.name"))?;
            let starts = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
            require(starts && is_word(name, b"_-.:", 64), "tool-name", || {
                format!(
                    "* GenerateContentRequest.{path}.name: Invalid function name. Must start with a letter or an underscore.: {name}"
                )
            })?;
            require(
                declaration["parameters"].is_null() || declaration["parametersJsonSchema"].is_null(),
                "two-schemas",
                || format!("{path}: parameters and parameters_json_schema are exclusive"),
            )?;
            if !declaration["parameters"].is_null() {
                gemini_schema::check(&declaration["parameters"], &format!("{path}.parameters"))?;
            }
        }
    }
    require(!(functions && search && !model.contains("gemini-3")), "tools-with-search", || {
        "Tool use with function calling is unsupported together with Google Search for this model.".to_owned()
    })?;
    let calling = &body["toolConfig"]["functionCallingConfig"];
    require(
        calling["allowedFunctionNames"].is_null() || calling["mode"] == "ANY" || calling["mode"] == "VALIDATED",
        "allowed-names-mode",
        || {
            "Invalid function calling config: allowed_function_names should be set only when function calling mode is ANY or VALIDATED.".to_owned()
        },
    )?;
    let uncached = ["systemInstruction", "tools", "toolConfig"].iter().all(|key| body[*key].is_null());
    require(body["cachedContent"].is_null() || uncached, "cached-content", || {
        "CachedContent can not be used with GenerateContent request setting system_instruction, tools or tool_config."
            .to_owned()
    })
}

pub(super) fn parts(content: &Value) -> &[Value] {
    content["parts"].as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn count_parts(content: &Value, key: &str) -> usize {
    parts(content).iter().filter(|part| part.get(key).is_some()).count()
}

pub(super) fn check_contents(contents: &[Value], model: &str) -> Verdict {
    for (at, content) in contents.iter().enumerate() {
        let path = format!("contents[{at}]");
        unknown(object(content, &path)?, &path, &["role", "parts"])?;
        let role = content["role"].as_str().unwrap_or("user");
        require(["user", "model", "function"].contains(&role), "role", || {
            "Please use a valid role: user, model.".to_owned()
        })?;
        require(!parts(content).is_empty(), "parts-empty", || {
            format!("* GenerateContentRequest.{path}.parts: contents.parts must not be empty.")
        })?;
        for (index, part) in parts(content).iter().enumerate() {
            check_part(part, &format!("{path}.parts[{index}]"), role)?;
        }
    }
    for (at, content) in contents.iter().enumerate() {
        let calls = count_parts(content, "functionCall");
        let answers = contents.get(at + 1).map_or(0, |next| count_parts(next, "functionResponse"));
        require(calls == answers, "function-pairing", || {
            format!(
                "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn. ({calls} calls, {answers} responses after contents[{at}])"
            )
        })?;
        let names = |content: &Value, key: &str| {
            let mut names: Vec<String> =
                parts(content).iter().filter_map(|part| part[key]["name"].as_str().map(str::to_owned)).collect();
            names.sort_unstable();
            names
        };
        if calls > 0 {
            let answered = contents.get(at + 1).map(|next| names(next, "functionResponse")).unwrap_or_default();
            require(names(content, "functionCall") == answered, "function-response-name", || {
                "function response names must be those of the calls".to_owned()
            })?;
            let before = at.checked_sub(1).and_then(|before| contents.get(before));
            require(before.is_some_and(|before| before["role"] != "model"), "function-call-turn", || {
                "Please ensure that function call turn comes immediately after a user turn or after a function response turn.".to_owned()
            })?;
        }
    }
    let first = contents.first().map_or(0, |first| count_parts(first, "functionResponse"));
    require(first == 0, "function-pairing", || "function response turn comes without a function call turn".to_owned())?;
    if model.contains("gemini-3") { signatures(contents) } else { Ok(()) }
}

fn check_part(part: &Value, path: &str, role: &str) -> Verdict {
    let map = object(part, path)?;
    let data =
        ["text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult"];
    let beside = ["thought", "thoughtSignature", "videoMetadata", "mediaResolution"];
    unknown(map, path, &[data.as_slice(), beside.as_slice()].concat())?;
    let set = data.iter().filter(|key| !part[**key].is_null()).count();
    require(set == 1, "part-data", || {
        format!("* GenerateContentRequest.{path}.data: required oneof field 'data' must have one initialized field")
    })?;
    if let Some(response) = part.get("functionResponse") {
        require(role != "model", "function-response-role", || {
            format!("{path}: function responses belong to the user")
        })?;
        unknown(object(response, path)?, path, &["id", "name", "response", "willContinue", "scheduling", "parts"])?;
        string(&response["name"], &format!("{path}.function_response.name"))?;
        require(response["response"].is_object(), "function-response-object", || {
            format!("Invalid value at '{path}.function_response.response' (type.googleapis.com/google.protobuf.Struct)")
        })?;
    }
    if let Some(call) = part.get("functionCall") {
        require(role == "model", "function-call-role", || format!("{path}: function calls belong to the model"))?;
        unknown(object(call, path)?, path, &["id", "name", "args", "partialArgs", "willContinue"])?;
        require(call["args"].is_null() || call["args"].is_object(), "function-args-object", || {
            format!("Invalid value at '{path}.function_call.args'")
        })?;
    }
    if let Some(inline) = part.get("inlineData") {
        unknown(object(inline, path)?, path, &["mimeType", "data", "displayName"])?;
        string(&inline["mimeType"], &format!("{path}.inline_data.mime_type"))?;
        let bytes = STANDARD.decode(inline["data"].as_str().unwrap_or_default()).ok();
        require(bytes.is_some_and(|bytes| !bytes.is_empty()), "inline-data", || {
            format!("Invalid value at '{path}.inline_data.data' (TYPE_BYTES), Base64 decoding failed")
        })?;
    }
    Ok(())
}

/// Gemini 3: the first function call of every step of the current turn carries a signature that it issued.
fn signatures(contents: &[Value]) -> Verdict {
    let start = contents
        .iter()
        .rposition(|content| content["role"] != "model" && count_parts(content, "functionResponse") == 0)
        .unwrap_or(0);
    for (at, content) in contents.iter().enumerate().skip(start).filter(|(_, content)| content["role"] == "model") {
        let Some(index) = parts(content).iter().position(|part| part.get("functionCall").is_some()) else { continue };
        let first = parts(content).get(index).unwrap_or(&Value::Null);
        let name = &first["functionCall"]["name"];
        let Some(signature) = first["thoughtSignature"].as_str() else {
            return Err(Refusal::new(
                "missing-thought-signature",
                format!(
                    "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly. (`default_api:{name}`, position {})",
                    at + 1
                ),
            ));
        };
        require(signature == DUMMY || open(Family::Gemini, signature).is_some(), "thought-signature", || {
            "Thought signature is not valid.".to_owned()
        })?;
    }
    Ok(())
}

pub(super) fn declarations(tool: &Value) -> impl Iterator<Item = &Value> {
    tool["functionDeclarations"].as_array().into_iter().flatten()
}
