//! Gemini `generateContent`, `streamGenerateContent` and `countTokens`, on Google's own endpoint and Vertex AI.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::frame::Frame;
use crate::model::{Choice, Finish, Reply, ToolOffer, Turn, Usage, pieces};
use crate::refusal::{Refusal, Verdict, array, is_word, known_keys, object, require, string};
use crate::signature::{Family, open, seal};
use crate::wire::{Ask, SSE, Wire, gemini_schema, wish, words};

/// With `alt=sse`.
pub(crate) const WIRE: Wire = Wire { read, whole, stream, failure, content_type: SSE };
/// Without: one JSON array.
pub(crate) const ARRAY: Wire =
    Wire { stream: array_stream, failure: array_failure, content_type: "application/json", ..WIRE };
/// The count of tokens.
pub(crate) const COUNT: Wire = Wire { read: read_count, whole: count, ..WIRE };

/// The signature that Google documents for histories whose own was lost.
const DUMMY: &str = "skip_thought_signature_validator";
const FIELDS: &[&str] = &[
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

/// Google takes both spellings of every name; inside schemas, arguments and results names are the caller's own.
fn camel(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(camel).collect(),
        Value::Object(map) => {
            let each = map.iter().map(|(key, inner)| {
                let key = camel_word(key);
                let own =
                    ["args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema"]
                        .contains(&key.as_str());
                let inner = if own { inner.clone() } else { camel(inner) };
                (key, inner)
            });
            Value::Object(each.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

pub(super) fn camel_word(word: &str) -> String {
    let mut out = String::new();
    let mut upper = false;
    for (at, letter) in word.chars().enumerate() {
        if letter == '_' && at > 0 {
            upper = true;
        } else if upper {
            out.extend(letter.to_uppercase());
            upper = false;
        } else {
            out.push(letter);
        }
    }
    out
}

fn unknown(map: &Map<String, Value>, path: &str, known: &[&str]) -> Verdict {
    known_keys(map, path, &[known]).map_err(|refusal| {
        let name = refusal.param.clone().unwrap_or_default();
        let name = name.rsplit('.').next().unwrap_or_default().to_owned();
        let place = if path.is_empty() { String::new() } else { format!(" at '{path}'") };
        let message = format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field.");
        Refusal::new("unknown-field", message).at(name)
    })
}

fn read(ask: &Ask) -> Verdict<Turn> {
    let body = camel(&ask.body);
    let model = ask.model.clone().unwrap_or_default();
    read_body(&body, &model, ask)
}

fn read_count(ask: &Ask) -> Verdict<Turn> {
    let outer = camel(&ask.body);
    unknown(
        object(&outer, "")?,
        "",
        &["contents", "generateContentRequest", "systemInstruction", "tools", "generationConfig", "model"],
    )?;
    let inner = outer.get("generateContentRequest").unwrap_or(&outer);
    read_body(inner, ask.model.as_deref().unwrap_or_default(), ask).map(|turn| Turn { stream: false, ..turn })
}

fn count(_: &Ask, turn: &Turn, _: &Reply) -> Value {
    json!({"totalTokens": turn.input_tokens.max(1), "promptTokensDetails": [{"modality": "TEXT", "tokenCount": turn.input_tokens.max(1)}]})
}

fn read_body(body: &Value, model: &str, ask: &Ask) -> Verdict<Turn> {
    let map = object(body, "")?;
    unknown(map, "", FIELDS)?;
    let config = &body["generationConfig"];
    check_config(config, model)?;
    check_tools(body, model)?;
    let contents = array(&body["contents"], "contents")?;
    require(!contents.is_empty(), "contents-empty", || {
        "* GenerateContentRequest.contents: contents is not specified".to_owned()
    })?;
    check_contents(contents, model)?;
    let calling = &body["toolConfig"]["functionCallingConfig"];
    let level = config["thinkingConfig"]["thinkingLevel"].is_string();
    let mut turn = Turn {
        model: model.to_owned(),
        stream: ask.stream,
        include_usage: true,
        thinking: config["thinkingConfig"]["includeThoughts"] == true
            || config["thinkingConfig"]["thinkingBudget"].as_i64().is_some_and(|b| b != 0)
            || level,
        limit: config["maxOutputTokens"].as_u64(),
        stop: super::chat::stops(&config["stopSequences"]),
        schema: ["responseSchema", "responseJsonSchema", "_responseJsonSchema"]
            .iter()
            .find_map(|key| config.get(*key))
            .filter(|schema| !schema.is_null())
            .cloned(),
        json: config["responseMimeType"] == "application/json",
        n: config["candidateCount"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(1).clamp(1, 8),
        choice: match (calling["mode"].as_str(), calling["allowedFunctionNames"][0].as_str()) {
            (Some("NONE"), _) => Choice::None,
            (Some("ANY"), Some(name)) => Choice::One(name.to_owned()),
            (Some("ANY"), None) => Choice::Any,
            _ => Choice::Auto,
        },
        tools: body["tools"].as_array().into_iter().flatten().flat_map(declarations).map(offer).collect(),
        input_tokens: words(&body["contents"]) + words(&body["systemInstruction"]) + words(&body["tools"]),
        ..Turn::default()
    };
    conversation(contents, &mut turn);
    Ok(turn)
}

fn check_config(config: &Value, model: &str) -> Verdict {
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

fn declarations(tool: &Value) -> impl Iterator<Item = &Value> {
    tool["functionDeclarations"].as_array().into_iter().flatten()
}

fn offer(declaration: &Value) -> ToolOffer {
    let schema = declaration.get("parametersJsonSchema").or_else(|| declaration.get("parameters"));
    ToolOffer {
        name: declaration["name"].as_str().unwrap_or_default().to_owned(),
        schema: schema.cloned().unwrap_or_default(),
        ..ToolOffer::default()
    }
}

fn check_tools(body: &Value, model: &str) -> Verdict {
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

fn parts(content: &Value) -> &[Value] {
    content["parts"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn count_parts(content: &Value, key: &str) -> usize {
    parts(content).iter().filter(|part| part.get(key).is_some()).count()
}

fn check_contents(contents: &[Value], model: &str) -> Verdict {
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

fn conversation(contents: &[Value], turn: &mut Turn) {
    let is_wish = |content: &Value| content["role"] != "model" && count_parts(content, "functionResponse") == 0;
    let last_model = contents.iter().rposition(|content| content["role"] == "model");
    for part in contents.iter().skip(last_model.map_or(0, |at| at + 1)).flat_map(parts) {
        media(part, turn);
        if let Some(response) = part.get("functionResponse") {
            turn.results.push(result_text(&response["response"]));
            response["parts"].as_array().into_iter().flatten().for_each(|inner| media(inner, turn));
        }
    }
    let end = contents.iter().rposition(is_wish).map_or(0, |at| at + 1);
    let mut start = end;
    while start > 0 && contents.get(start - 1).is_some_and(is_wish) {
        start -= 1;
    }
    let own: Vec<&str> =
        contents.iter().take(end).skip(start).flat_map(parts).filter_map(|part| part["text"].as_str()).collect();
    turn.user_text = wish(&own).unwrap_or_default();
    turn.rounds = contents.iter().skip(end).filter(|content| count_parts(content, "functionCall") > 0).count();
}

fn media(part: &Value, turn: &mut Turn) {
    let kind = part["inlineData"]["mimeType"].as_str().or_else(|| part["fileData"]["mimeType"].as_str());
    match kind {
        Some(kind) if kind.starts_with("image/") => turn.images += 1,
        Some(_) => turn.documents += 1,
        None => {}
    }
}

fn result_text(response: &Value) -> String {
    ["output", "result", "error", "content"]
        .iter()
        .find_map(|key| response[*key].as_str())
        .map_or_else(|| response.to_string(), str::to_owned)
}

/// The parts of an answer, in order. A signature stands on the first call, else on the last text.
fn answer_parts(ask: &Ask, reply: &Reply) -> Vec<Value> {
    let mut parts = Vec::new();
    if let Some(thinking) = &reply.thinking {
        parts.push(json!({"text": thinking, "thought": true}));
    }
    let signature = seal(Family::Gemini, &ask.seed, reply.thinking.as_deref().unwrap_or_default());
    let signs = reply.thinking.is_some() || ask.model.as_deref().is_some_and(|model| model.contains("gemini-3"));
    if !reply.text.is_empty() {
        parts.push(json!({"text": reply.text}));
    }
    for call in &reply.calls {
        parts.push(json!({"functionCall": {"name": call.name, "args": call.input.object(), "id": format!("fn_{}", call.seed)}}));
    }
    let first = usize::from(reply.thinking.is_some());
    let at = if reply.calls.is_empty() {
        parts.len().saturating_sub(1)
    } else {
        first + usize::from(!reply.text.is_empty())
    };
    if let (true, Some(part)) = (signs, parts.get_mut(at)) {
        part["thoughtSignature"] = json!(signature);
    }
    parts
}

fn finish_reason(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopSequence(_) | Finish::Tools => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::Filter => "SAFETY",
    }
}

fn usage(usage: &Usage) -> Value {
    let mut value = json!({
        "promptTokenCount": usage.input, "candidatesTokenCount": usage.output.saturating_sub(usage.reasoning),
        "totalTokenCount": usage.input + usage.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.input}],
    });
    if usage.reasoning > 0 {
        value["thoughtsTokenCount"] = json!(usage.reasoning);
    }
    if usage.cache_read > 0 {
        value["cachedContentTokenCount"] = json!(usage.cache_read);
    }
    value
}

fn envelope(ask: &Ask, turn: &Turn, candidates: Vec<Value>, counters: &Usage) -> Value {
    json!({"candidates": candidates, "usageMetadata": usage(counters), "modelVersion": turn.model, "responseId": ask.seed})
}

fn candidate(index: usize, parts: &[Value], finish: Option<&Finish>) -> Value {
    let mut value = json!({"content": {"parts": parts, "role": "model"}, "index": index});
    if let Some(finish) = finish {
        value["finishReason"] = json!(finish_reason(finish));
    }
    value
}

fn whole(ask: &Ask, turn: &Turn, reply: &Reply) -> Value {
    let parts = answer_parts(ask, reply);
    let candidates = (0..turn.n.max(1)).map(|index| candidate(index, &parts, Some(&reply.finish))).collect();
    envelope(ask, turn, candidates, &reply.usage)
}

/// Every chunk is a whole response with the new parts; usage comes with each and grows.
fn chunks(ask: &Ask, turn: &Turn, reply: &Reply) -> Vec<Value> {
    let mut groups: Vec<Vec<Value>> = Vec::new();
    let mut calls: Vec<Value> = Vec::new();
    for part in answer_parts(ask, reply) {
        let Some(text) = part["text"].as_str() else {
            // Parallel calls come in one chunk.
            calls.push(part);
            continue;
        };
        for piece in pieces(text) {
            groups.push(vec![if part["thought"] == true {
                json!({"text": piece, "thought": true})
            } else {
                json!({"text": piece})
            }]);
        }
        if let Some(signature) = part.get("thoughtSignature") {
            groups.push(vec![json!({"text": "", "thoughtSignature": signature})]);
        }
    }
    if !calls.is_empty() {
        groups.push(calls);
    }
    if groups.is_empty() {
        groups.push(vec![json!({"text": ""})]);
    }
    let last = groups.len() - 1;
    let grow = |at: usize| Usage {
        output: if at == last { reply.usage.output } else { at as u64 + reply.usage.reasoning.min(reply.usage.output) },
        ..reply.usage
    };
    groups
        .iter()
        .enumerate()
        .map(|(at, parts)| {
            envelope(ask, turn, vec![candidate(0, parts, (at == last).then_some(&reply.finish))], &grow(at))
        })
        .collect()
}

fn stream(ask: &Ask, turn: &Turn, reply: &Reply) -> Vec<Frame> {
    chunks(ask, turn, reply).into_iter().map(Frame::data).collect()
}

fn array_stream(ask: &Ask, turn: &Turn, reply: &Reply) -> Vec<Frame> {
    let chunks = chunks(ask, turn, reply);
    let mut frames: Vec<Frame> = Vec::with_capacity(chunks.len() + 1);
    for (at, chunk) in chunks.iter().enumerate() {
        frames.push(Frame::Piece(format!("{}{chunk}\n", if at == 0 { "[" } else { ",\r\n" })));
    }
    frames.push(Frame::Piece("]".to_owned()));
    frames
}

fn failure(ask: &Ask, refusal: &Refusal) -> Vec<Frame> {
    super::data_failure(ask, refusal)
}

fn array_failure(ask: &Ask, refusal: &Refusal) -> Vec<Frame> {
    vec![Frame::Piece(format!(",\r\n{}\n]", ask.errors.render(refusal).body))]
}
