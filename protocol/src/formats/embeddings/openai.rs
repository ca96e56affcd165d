//! OpenAI's embeddings and those of its compatible hosts (Azure, Mistral, Jina, Voyage, vLLM, OpenRouter …).

use serde_json::Value;

use super::vectors;
use super::{EmbeddingClient, EmbeddingCodec, EmbeddingFormat, EmbeddingReply};
use crate::format::{AddressHints, Lossy};
use crate::formats::openai_chat::usage;
use crate::formats::openai_chat::wire::{Expect, Object, count, json, one, put, take_text};
use crate::ir::{EmbeddingInput, EmbeddingRequest, EmbeddingResponse, EncodingFormat, Extras, Loss, Usage};
use crate::{ApiFormat, DecodeError, Dialect};

const FORMAT: ApiFormat = ApiFormat::OpenaiChat;
const IN: Expect = Expect(FORMAT);

#[derive(Debug)]
pub(super) struct Openai;

impl EmbeddingCodec for Openai {
    fn format(&self) -> EmbeddingFormat {
        EmbeddingFormat::Openai
    }

    fn client(&self) -> Option<&dyn EmbeddingClient> {
        Some(self)
    }

    fn action(&self, _: &EmbeddingRequest) -> &'static str {
        "embeddings"
    }

    fn max_inputs(&self, _: &str) -> usize {
        2048
    }

    fn encode_request(&self, request: &EmbeddingRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
        let mut losses = Vec::new();
        let mut body = one("model", request.model.as_str());
        body.insert("input".into(), input_out(request));
        put(&mut body, if dialect.output_dimension { "output_dimension" } else { "dimensions" }, request.dimensions);
        put(&mut body, "encoding_format", request.encoding.map(encoding_word));
        match (&request.task, &dialect.task_field) {
            (Some(task), Some(field)) => {
                body.insert(field.clone(), task.as_str().into());
            }
            (Some(_), None) => losses.push(Loss::no_equivalent("task", FORMAT)),
            (None, _) => {}
        }
        if request.title.is_some() {
            losses.push(Loss::no_equivalent("title", FORMAT));
        }
        put(&mut body, "user", request.user.as_deref());
        lay(&request.extras, FORMAT, &mut body, &mut losses);
        for (name, value) in &dialect.defaults {
            body.entry(name.as_str()).or_insert_with(|| value.clone());
        }
        for name in &dialect.unsupported {
            if body.shift_remove(name).is_some_and(|value| !value.is_null()) {
                losses.push(Loss::new(name.clone(), FORMAT, "the host refuses it"));
            }
        }
        Ok(Lossy { value: json(&body), losses })
    }

    fn decode_response(&self, body: &[u8]) -> Result<EmbeddingResponse, DecodeError> {
        let mut fields = IN.body(body)?;
        let data = IN.array(fields.shift_remove("data").unwrap_or_default(), "/data")?;
        let mut rows = Vec::with_capacity(data.len());
        for (place, row) in data.into_iter().enumerate() {
            let mut row = IN.object(row, &format!("/data/{place}"))?;
            let index = row.get("index").and_then(count).unwrap_or(place as u64);
            let vector = vectors::from_json(row.shift_remove("embedding").unwrap_or_default())
                .ok_or_else(|| IN.error(&format!("/data/{place}/embedding"), "expected a vector"))?;
            rows.push((index, vector));
        }
        rows.sort_by_key(|(index, _)| *index);
        let usage = fields.shift_remove("usage").and_then(|value| counted(&value));
        fields.shift_remove("object");
        Ok(EmbeddingResponse {
            model: take_text(&mut fields, "model"),
            data: rows.into_iter().map(|(_, vector)| vector).collect(),
            usage,
            extras: Extras::new(FORMAT, fields),
        })
    }
}

/// Hosts count `prompt_tokens`, or only `total_tokens`.
fn counted(value: &Value) -> Option<Usage> {
    let mut found = usage::decode(value, &Dialect::default())?;
    found.input = found.input.or_else(|| value.get("total_tokens").and_then(count));
    Some(found)
}

fn encoding_word(encoding: EncodingFormat) -> &'static str {
    match encoding {
        EncodingFormat::Float => "float",
        EncodingFormat::Base64 => "base64",
    }
}

fn input_out(request: &EmbeddingRequest) -> Value {
    let one_input = |input: &EmbeddingInput| match input {
        EmbeddingInput::Text(text) => Value::from(text.as_str()),
        EmbeddingInput::Tokens(tokens) => Value::from(tokens.clone()),
    };
    match request.input.as_slice() {
        [only] if request.single => one_input(only),
        inputs => inputs.iter().map(one_input).collect(),
    }
}

/// `input`: a string, a list of strings, a list of token ids, or a list of such lists.
fn input_in(value: Value) -> Result<(Vec<EmbeddingInput>, bool), DecodeError> {
    let tokens = |items: Vec<Value>, at: &str| {
        let id = |item: &Value| item.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids = items.iter().map(id).collect::<Option<Vec<u32>>>();
        ids.map(EmbeddingInput::Tokens).ok_or_else(|| IN.error(at, "expected token ids"))
    };
    match value {
        Value::String(text) => Ok((vec![EmbeddingInput::Text(text)], true)),
        Value::Array(items) if items.first().is_some_and(Value::is_number) => {
            Ok((vec![tokens(items, "/input")?], true))
        }
        Value::Array(items) => {
            let inputs = items.into_iter().enumerate().map(|(index, item)| match item {
                Value::String(text) => Ok(EmbeddingInput::Text(text)),
                Value::Array(ids) => tokens(ids, &format!("/input/{index}")),
                _ => Err(IN.error(&format!("/input/{index}"), "expected a string or token ids")),
            });
            Ok((inputs.collect::<Result<_, _>>()?, false))
        }
        _ => Err(IN.error("/input", "expected a string or a list")),
    }
}

impl EmbeddingClient for Openai {
    fn decode_request(&self, body: &[u8], hints: AddressHints<'_>) -> Result<EmbeddingRequest, DecodeError> {
        let mut request = EmbeddingRequest::default();
        let mut extras = Object::new();
        let mut input = None;
        for (name, value) in IN.body(body)? {
            let at = format!("/{name}");
            match name.as_str() {
                "model" => request.model = IN.string(value, &at)?.unwrap_or_default(),
                "input" => input = Some(value),
                // Null is not absent: it goes on as null.
                _ if value.is_null() => {
                    extras.insert(name, value);
                }
                "dimensions" | "output_dimension" => request.dimensions = IN.u64(&value, &at)?,
                "encoding_format" => match value.as_str() {
                    Some("float") => request.encoding = Some(EncodingFormat::Float),
                    Some("base64") => request.encoding = Some(EncodingFormat::Base64),
                    _ => {
                        extras.insert(name, value);
                    }
                },
                "task" | "task_type" | "input_type" => request.task = IN.string(value, &at)?,
                "user" => request.user = IN.string(value, &at)?,
                _ => {
                    extras.insert(name, value);
                }
            }
        }
        let input = input.ok_or_else(|| IN.error("/input", "is required"))?;
        (request.input, request.single) = input_in(input)?;
        if request.model.is_empty() {
            hints.model.unwrap_or_default().clone_into(&mut request.model);
        }
        request.extras = Extras::new(FORMAT, extras);
        Ok(request)
    }

    fn encode_response(
        &self,
        response: &EmbeddingResponse,
        reply: EmbeddingReply<'_>,
    ) -> Result<Lossy<Vec<u8>>, DecodeError> {
        let mut losses = Vec::new();
        let mut body = one("object", "list");
        let mut data = Vec::with_capacity(response.data.len());
        for (index, vector) in response.data.iter().enumerate() {
            let unreadable = || IN.error(&format!("/data/{index}/embedding"), "the vector cannot be read");
            let written = match reply.request.encoding {
                Some(EncodingFormat::Base64) => vectors::base64(vector).ok_or_else(unreadable)?.into(),
                _ => vectors::to_json(&vectors::floats(vector).ok_or_else(unreadable)?),
            };
            let mut row = one("object", "embedding");
            row.insert("index".into(), index.into());
            row.insert("embedding".into(), written);
            data.push(Value::Object(row));
        }
        body.insert("data".into(), data.into());
        let model = if reply.model.is_empty() { response.model.as_deref().unwrap_or_default() } else { reply.model };
        body.insert("model".into(), model.into());
        body.insert("usage".into(), usage_out(response.usage.as_ref()));
        lay(&response.extras, FORMAT, &mut body, &mut losses);
        Ok(Lossy { value: json(&body), losses })
    }
}

/// Typed clients want `usage`: what nobody knows is 0 on the wire, and only there.
fn usage_out(known: Option<&Usage>) -> Value {
    let input = known.and_then(|usage| usage.input).unwrap_or(0);
    let mut fields = match known.and_then(|usage| usage.raw.as_ref()?.with_any(&["prompt_tokens"])) {
        Some(Value::Object(raw)) => raw,
        _ => Object::new(),
    };
    fields.insert("prompt_tokens".into(), input.into());
    fields.entry("total_tokens").or_insert_with(|| input.into());
    fields.into()
}

/// Lays kept fields of `format` over a body; those of others are losses.
pub(super) fn lay(extras: &Extras, format: ApiFormat, body: &mut Object, losses: &mut Vec<Loss>) {
    for (name, value) in extras.for_format(format).into_iter().flatten() {
        body.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    losses.extend(extras.foreign_to(format).map(|name| Loss::no_equivalent(format!("extras.{name}"), format)));
}

/// The texts of a request, for wires that take nothing else.
pub(super) fn texts<'a>(request: &'a EmbeddingRequest, wire: Expect) -> Result<Vec<&'a str>, DecodeError> {
    let text = |(index, input): (usize, &'a EmbeddingInput)| match input {
        EmbeddingInput::Text(text) => Ok(text.as_str()),
        EmbeddingInput::Tokens(_) => {
            Err(wire.error(&format!("/input/{index}"), "token ids cannot be converted for this model: send text"))
        }
    };
    request.input.iter().enumerate().map(text).collect()
}

/// What wires without such fields lose.
pub(super) fn lose_user(request: &EmbeddingRequest, format: ApiFormat, losses: &mut Vec<Loss>) {
    if request.user.is_some() {
        losses.push(Loss::no_equivalent("user", format));
    }
}
