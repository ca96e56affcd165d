//! Gemini `generateContent`, `streamGenerateContent` and `countTokens`, on Google's own endpoint and Vertex AI.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::frame::Frame;
use crate::model::{Choice, Finish, Reply, ToolOffer, Turn, Usage, pieces};
use crate::refusal::{Refusal, Verdict, array, object, require};
use crate::signature::{Family, seal};
use crate::wire::gemini_rules::{
    FIELDS, check_config, check_contents, check_tools, count_parts, declarations, parts, unknown,
};
use crate::wire::{Ask, SSE, Wire, wish, words};

/// With `alt=sse`.
pub(crate) const WIRE: Wire = Wire { read, whole, stream, failure, content_type: SSE };
/// Without: one JSON array.
pub(crate) const ARRAY: Wire =
    Wire { stream: array_stream, failure: array_failure, content_type: "application/json", ..WIRE };
/// The count of tokens.
pub(crate) const COUNT: Wire = Wire { read: read_count, whole: count, ..WIRE };

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

fn offer(declaration: &Value) -> ToolOffer {
    let schema = declaration.get("parametersJsonSchema").or_else(|| declaration.get("parameters"));
    ToolOffer {
        name: declaration["name"].as_str().unwrap_or_default().to_owned(),
        schema: schema.cloned().unwrap_or_default(),
        ..ToolOffer::default()
    }
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
