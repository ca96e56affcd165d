//! Vertex AI `predict` of text embedding models.

use serde_json::Value;

use super::openai::{lose_user, texts};
use super::tasks::{Words, translate};
use super::vectors;
use super::{EmbeddingClient, EmbeddingCodec, EmbeddingFormat};
use crate::format::Lossy;
use crate::formats::openai_chat::wire::{Expect, Object, count, json, number, one, put};
use crate::ir::{EmbeddingRequest, EmbeddingResponse, Extras, Loss, Usage};
use crate::{ApiFormat, DecodeError, Dialect};

const FORMAT: ApiFormat = ApiFormat::Gemini;
const IN: Expect = Expect(FORMAT);

#[derive(Debug)]
pub(super) struct VertexPredict;

impl EmbeddingCodec for VertexPredict {
    fn format(&self) -> EmbeddingFormat {
        EmbeddingFormat::VertexPredict
    }

    fn client(&self) -> Option<&dyn EmbeddingClient> {
        None
    }

    fn action(&self, _: &EmbeddingRequest) -> &'static str {
        "predict"
    }

    fn max_inputs(&self, model: &str) -> usize {
        if model.contains("gemini") { 1 } else { 250 }
    }

    fn encode_request(&self, request: &EmbeddingRequest, _: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
        let mut losses = Vec::new();
        lose_user(request, FORMAT, &mut losses);
        let task = request.task.as_deref().map(|task| translate(task, Words::Gemini).unwrap_or(task));
        let instance = |text: &str| {
            let mut fields = one("content", text);
            put(&mut fields, "task_type", task);
            put(&mut fields, "title", request.title.as_deref());
            Value::from(fields)
        };
        let instances: Vec<Value> = texts(request, IN)?.into_iter().map(instance).collect();
        let mut body = one("instances", instances);
        let mut parameters = Object::new();
        put(&mut parameters, "outputDimensionality", request.dimensions);
        if let Some(cut) = request.extras.get("autoTruncate").filter(|cut| cut.is_boolean()) {
            parameters.insert("autoTruncate".into(), cut.clone());
        }
        if !parameters.is_empty() {
            body.insert("parameters".into(), parameters.into());
        }
        let known = request.extras.for_format(FORMAT).into_iter().flatten().map(|(name, _)| name.as_str());
        let unknown = known.chain(request.extras.foreign_to(FORMAT)).filter(|name| *name != "autoTruncate");
        losses.extend(unknown.map(|name| Loss::no_equivalent(format!("extras.{name}"), FORMAT)));
        Ok(Lossy { value: json(&body), losses })
    }

    fn decode_response(&self, body: &[u8]) -> Result<EmbeddingResponse, DecodeError> {
        let mut fields = IN.body(body)?;
        let rows = IN.array(fields.shift_remove("predictions").unwrap_or_default(), "/predictions")?;
        let mut data = Vec::with_capacity(rows.len());
        let mut tokens = None;
        for (index, row) in rows.into_iter().enumerate() {
            let vector = row.pointer("/embeddings/values").cloned().and_then(vectors::from_json);
            data.push(
                vector
                    .ok_or_else(|| IN.error(&format!("/predictions/{index}/embeddings/values"), "expected a vector"))?,
            );
            let counted = row.pointer("/embeddings/statistics/token_count");
            let counted = counted.and_then(|value| count(value).or_else(|| count(&number(value.as_f64()?.round()))));
            tokens = counted.map(|more| more.saturating_add(tokens.unwrap_or(0))).or(tokens);
        }
        let usage = tokens.map(|input| Usage { input: Some(input), ..Usage::default() });
        Ok(EmbeddingResponse { model: None, data, usage, extras: Extras::new(FORMAT, fields) })
    }
}
