//! Embeddings of every wire: vectors made from the text's bytes, the same in every run.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::refusal::{Refusal, Verdict, array, known_keys, object, require, string};
use crate::signature::digest;
use crate::wire::{Ask, words};

/// A vector of `size` numbers between -1 and 1, multiples of 1/128 (exact in f32 and in JSON).
pub fn vector(text: &str, size: usize) -> Vec<f32> {
    let seed = digest(&[text.as_bytes()]);
    let bytes = seed.as_bytes();
    (0..size)
        .map(|at| {
            let byte = bytes.iter().cycle().nth(at % bytes.len().max(1)).copied().unwrap_or(0);
            let mixed = byte.wrapping_mul(31).wrapping_add(u8::try_from(at % 251).unwrap_or(0));
            f32::from(i16::from(mixed) - 128) / 128.0
        })
        .collect()
}

fn size(value: &Value) -> usize {
    value.as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(8).clamp(1, 4096)
}

/// OpenAI's `embeddings`.
pub(crate) fn openai(ask: &Ask) -> Verdict<Value> {
    let body = &ask.body;
    let extra: &[&str] = match ask.provider.name {
        "mistral" => &["output_dimension", "output_dtype"],
        "openai" | "azure" => &["dimensions"],
        _ => &["dimensions", "task", "input_type", "truncate"],
    };
    known_keys(object(body, "")?, "", &[&["model", "input", "encoding_format", "user"], extra])?;
    string(&body["model"], "model").or_else(|refusal| if ask.model.is_some() { Ok("") } else { Err(refusal) })?;
    let inputs = inputs(&body["input"])?;
    let dimensions = size(body.get("dimensions").or_else(|| body.get("output_dimension")).unwrap_or(&Value::Null));
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let numbers = vector(text, dimensions);
            let embedding = if body["encoding_format"] == "base64" {
                json!(STANDARD.encode(numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>()))
            } else {
                json!(numbers)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let tokens = words(&body["input"]);
    Ok(
        json!({"object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}),
    )
}

/// A text, texts, tokens, or lists of tokens.
fn inputs(value: &Value) -> Verdict<Vec<String>> {
    let list = match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if items.first().is_some_and(Value::is_number) => vec![value.to_string()],
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
        }
        _ => Vec::new(),
    };
    let fine = !list.is_empty() && list.iter().all(|text| !text.is_empty()) && list.len() <= 2048;
    require(fine, "embedding-input", || "'$.input' is invalid. Please check the API reference.".to_owned())?;
    Ok(list)
}

/// Gemini's `embedContent` and `batchEmbedContents`, Vertex AI's `predict`.
pub(crate) fn google(ask: &Ask, verb: &str) -> Verdict<Value> {
    let one = |request: &Value| {
        let text: String = request["content"]["parts"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|part| part["text"].as_str())
            .collect();
        require(!text.is_empty(), "embedding-input", || {
            "* EmbedContentRequest.content: contents is not specified".to_owned()
        })?;
        let size = size(
            request
                .get("outputDimensionality")
                .or_else(|| request.get("output_dimensionality"))
                .unwrap_or(&Value::Null),
        );
        Ok::<Value, Refusal>(json!({"values": vector(&text, size)}))
    };
    match verb {
        "embedContent" => Ok(json!({"embedding": one(&ask.body)?})),
        "batchEmbedContents" => {
            let requests = array(&ask.body["requests"], "requests")?;
            require(requests.len() <= 100, "batch-size", || {
                "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch".to_owned()
            })?;
            for request in requests {
                let name = string(&request["model"], "requests.model")?;
                require(name.starts_with("models/"), "model-name", || {
                    format!("* BatchEmbedContentsRequest.model: unexpected model name format: {name}")
                })?;
            }
            Ok(json!({"embeddings": requests.iter().map(one).collect::<Result<Vec<_>, _>>()?}))
        }
        _ => {
            let instances = array(&ask.body["instances"], "instances")?;
            let size = size(&ask.body["parameters"]["outputDimensionality"]);
            let each = |instance: &Value| {
                let text = string(&instance["content"], "instances.content")?;
                Ok::<Value, Refusal>(
                    json!({"embeddings": {"values": vector(text, size), "statistics": {"token_count": words(&instance["content"]), "truncated": false}}}),
                )
            };
            Ok(json!({"predictions": instances.iter().map(each).collect::<Result<Vec<_>, _>>()?}))
        }
    }
}

/// Cohere's `v2/embed`.
pub(crate) fn cohere(ask: &Ask) -> Verdict<Value> {
    let body = &ask.body;
    known_keys(
        object(body, "")?,
        "",
        &[&[
            "model",
            "texts",
            "inputs",
            "images",
            "input_type",
            "embedding_types",
            "output_dimension",
            "truncate",
            "max_tokens",
        ]],
    )?;
    string(&body["input_type"], "input_type")
        .map_err(|_| Refusal::new("input-type", "input_type is required for this model"))?;
    let texts = array(&body["texts"], "texts")?;
    require((1..=96).contains(&texts.len()), "batch-size", || "texts: between 1 and 96".to_owned())?;
    let size = size(&body["output_dimension"]);
    let vectors: Vec<Vec<f32>> = texts.iter().filter_map(Value::as_str).map(|text| vector(text, size)).collect();
    Ok(json!({
        "id": ask.seed, "texts": texts, "embeddings": {"float": vectors}, "response_type": "embeddings_by_type",
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": words(&body["texts"])}},
    }))
}

/// Ollama's `/api/embed`.
pub(crate) fn ollama(ask: &Ask) -> Verdict<Value> {
    let body = &ask.body;
    known_keys(object(body, "")?, "", &[&["model", "input", "truncate", "options", "keep_alive", "dimensions"]])?;
    let size = size(&body["dimensions"]);
    let vectors: Vec<Vec<f32>> = inputs(&body["input"])?.iter().map(|text| vector(text, size)).collect();
    Ok(
        json!({"model": body["model"], "embeddings": vectors, "total_duration": 1_000_000, "load_duration": 1_000, "prompt_eval_count": words(&body["input"])}),
    )
}
