//! AWS Bedrock `invoke` of embedding models: each maker keeps its own body.

use serde_json::Value;

use super::openai::{lose_user, texts};
use super::vectors;
use super::{EmbeddingClient, EmbeddingCodec, EmbeddingFormat, cohere};
use crate::format::Lossy;
use crate::formats::openai_chat::wire::{Expect, count, json, one, put};
use crate::ir::{EmbeddingRequest, EmbeddingResponse, Extras, Loss, Usage};
use crate::{ApiFormat, DecodeError, Dialect};

const FORMAT: ApiFormat = ApiFormat::BedrockConverse;
const IN: Expect = Expect(FORMAT);

#[derive(Debug)]
pub(super) struct BedrockInvoke;

/// Cohere's models take lists, Titan one text.
fn is_cohere(model: &str) -> bool {
    model.contains("cohere.")
}

impl EmbeddingCodec for BedrockInvoke {
    fn format(&self) -> EmbeddingFormat {
        EmbeddingFormat::BedrockInvoke
    }

    fn client(&self) -> Option<&dyn EmbeddingClient> {
        None
    }

    fn action(&self, _: &EmbeddingRequest) -> &'static str {
        "invoke"
    }

    fn max_inputs(&self, model: &str) -> usize {
        if is_cohere(model) { 96 } else { 1 }
    }

    fn encode_request(&self, request: &EmbeddingRequest, _: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
        let mut losses = Vec::new();
        if is_cohere(&request.model) {
            let body = cohere::fields(request, FORMAT, &mut losses)?;
            return Ok(Lossy { value: json(&body), losses });
        }
        let texts = texts(request, IN)?;
        let [text] = texts.as_slice() else {
            return Err(IN.error("/input", "this model takes one text a call"));
        };
        lose_user(request, FORMAT, &mut losses);
        for (name, lost) in [("task", request.task.is_some()), ("title", request.title.is_some())] {
            losses.extend(lost.then(|| Loss::no_equivalent(name, FORMAT)));
        }
        let mut body = one("inputText", *text);
        // The first Titan has one length and refuses the field.
        if request.model.contains("titan-embed-text-v1") {
            losses.extend(request.dimensions.map(|_| Loss::no_equivalent("dimensions", FORMAT)));
        } else {
            put(&mut body, "dimensions", request.dimensions);
        }
        if let Some(flag) = request.extras.get("normalize").filter(|flag| flag.is_boolean()) {
            body.insert("normalize".into(), flag.clone());
        }
        let unknown = request.extras.foreign_to(FORMAT).filter(|name| *name != "normalize");
        losses.extend(unknown.map(|name| Loss::no_equivalent(format!("extras.{name}"), FORMAT)));
        Ok(Lossy { value: json(&body), losses })
    }

    fn decode_response(&self, body: &[u8]) -> Result<EmbeddingResponse, DecodeError> {
        let mut fields = IN.body(body)?;
        let Some(vector) = fields.shift_remove("embedding") else { return cohere::decode(body, FORMAT) };
        let vector = vectors::from_json(vector).ok_or_else(|| IN.error("/embedding", "expected a vector"))?;
        let input = fields.get("inputTextTokenCount").and_then(count);
        let usage = input.map(|input| Usage {
            input: Some(input),
            raw: Some(Value::Object(fields).into()),
            ..Usage::default()
        });
        Ok(EmbeddingResponse { model: None, data: vec![vector], usage, extras: Extras::NONE })
    }
}
