//! Cohere `POST /v2/embed`. Answers of v1, and of Cohere models on Bedrock, have the same shapes.

use serde_json::Value;

use super::openai::{lose_user, texts};
use super::tasks::{Words, translate};
use super::vectors;
use super::{EmbeddingClient, EmbeddingCodec, EmbeddingFormat};
use crate::format::Lossy;
use crate::formats::openai_chat::wire::{Expect, Object, count, json, one, put};
use crate::ir::{Embedding, EmbeddingRequest, EmbeddingResponse, Extras, Loss, Usage};
use crate::{ApiFormat, DecodeError, Dialect};

#[derive(Debug)]
pub(super) struct Cohere;

impl EmbeddingCodec for Cohere {
    fn format(&self) -> EmbeddingFormat {
        EmbeddingFormat::Cohere
    }

    fn client(&self) -> Option<&dyn EmbeddingClient> {
        None
    }

    fn action(&self, _: &EmbeddingRequest) -> &'static str {
        "embed"
    }

    fn max_inputs(&self, _: &str) -> usize {
        96
    }

    fn encode_request(&self, request: &EmbeddingRequest, _: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
        let mut losses = Vec::new();
        let mut body = one("model", request.model.as_str());
        body.extend(fields(request, ApiFormat::OpenaiChat, &mut losses)?);
        Ok(Lossy { value: json(&body), losses })
    }

    fn decode_response(&self, body: &[u8]) -> Result<EmbeddingResponse, DecodeError> {
        decode(body, ApiFormat::OpenaiChat)
    }
}

/// Fields of Cohere's own that an OpenAI-style client may send along.
const OWN: [&str; 4] = ["truncate", "max_tokens", "priority", "embedding_types"];

/// The body without the model; `tag` is the format in whose name losses are reported.
pub(super) fn fields(
    request: &EmbeddingRequest,
    tag: ApiFormat,
    losses: &mut Vec<Loss>,
) -> Result<Object, DecodeError> {
    lose_user(request, tag, losses);
    if request.title.is_some() {
        losses.push(Loss::no_equivalent("title", tag));
    }
    let mut body = one("texts", texts(request, Expect(tag))?);
    let purpose = request.task.as_deref().and_then(|task| translate(task, Words::Cohere));
    if request.task.is_some() && purpose.is_none() {
        losses.push(Loss::new("task", tag, "is none of the known purposes"));
    }
    // Required by every model since v3.
    body.insert("input_type".into(), purpose.unwrap_or("search_document").into());
    body.insert("embedding_types".into(), vec!["float"].into());
    put(&mut body, "output_dimension", request.dimensions);
    for name in OWN {
        if let Some(value) = request.extras.get(name).filter(|value| !value.is_null()) {
            body.insert(name.into(), value.clone());
        }
    }
    let all = request.extras.for_format(tag).into_iter().flatten();
    let all = all.filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str());
    let unknown = all.chain(request.extras.foreign_to(tag)).filter(|name| !OWN.contains(name));
    losses.extend(unknown.map(|name| Loss::no_equivalent(format!("extras.{name}"), tag)));
    Ok(body)
}

/// `embeddings` is a list of vectors (v1) or one list for each type.
pub(super) fn decode(body: &[u8], tag: ApiFormat) -> Result<EmbeddingResponse, DecodeError> {
    let wire = Expect(tag);
    let mut fields = wire.body(body)?;
    let rows = match fields.shift_remove("embeddings") {
        Some(Value::Object(mut types)) => {
            let wanted = ["float", "base64"].into_iter().find(|name| types.contains_key(*name));
            let wanted = wanted.map(str::to_owned).or_else(|| types.keys().next().cloned());
            wanted.and_then(|name| types.shift_remove(&name)).unwrap_or_default()
        }
        Some(list) => list,
        None => return Err(wire.error("/embeddings", "the answer has no embeddings")),
    };
    let vector = |(index, row)| {
        vectors::from_json(row).ok_or_else(|| wire.error(&format!("/embeddings/{index}"), "expected a vector"))
    };
    let rows = wire.array(rows, "/embeddings")?;
    let data = rows.into_iter().enumerate().map(vector).collect::<Result<Vec<Embedding>, _>>()?;
    let meta = fields.shift_remove("meta");
    let counted = |path: &str| meta.as_ref()?.pointer(path).and_then(count);
    let input = counted("/billed_units/input_tokens").or_else(|| counted("/tokens/input_tokens"));
    let usage = input.map(|input| Usage { input: Some(input), raw: meta.as_ref().map(Into::into), ..Usage::default() });
    Ok(EmbeddingResponse { model: None, data, usage, extras: Extras::NONE })
}
