//! Ollama `POST /api/embed`, and legacy `POST /api/embeddings` (one `prompt`, one bare `embedding`).

use serde_json::Value;

use super::openai::{lay, lose_user, texts};
use super::vectors;
use super::{EmbeddingClient, EmbeddingCodec, EmbeddingFormat, EmbeddingReply};
use crate::format::{AddressHints, Lossy};
use crate::formats::openai_chat::wire::{Expect, Object, count, json, one, put, take_text};
use crate::ir::{EmbeddingInput, EmbeddingRequest, EmbeddingResponse, Extras, Loss, Usage};
use crate::{ApiFormat, DecodeError, Dialect};

const FORMAT: ApiFormat = ApiFormat::OllamaChat;
const IN: Expect = Expect(FORMAT);

/// A note in the extras of a request that came in the legacy form: its client waits for a bare `embedding`.
const LEGACY: &str = "@prompt";

#[derive(Debug)]
pub(super) struct Ollama;

impl EmbeddingCodec for Ollama {
    fn format(&self) -> EmbeddingFormat {
        EmbeddingFormat::Ollama
    }

    fn client(&self) -> Option<&dyn EmbeddingClient> {
        Some(self)
    }

    fn action(&self, _: &EmbeddingRequest) -> &'static str {
        "embed"
    }

    fn max_inputs(&self, _: &str) -> usize {
        // The server sets no limit; memory does.
        512
    }

    fn encode_request(&self, request: &EmbeddingRequest, _: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
        let mut losses = Vec::new();
        lose_user(request, FORMAT, &mut losses);
        for (name, lost) in [("task", request.task.is_some()), ("title", request.title.is_some())] {
            losses.extend(lost.then(|| Loss::no_equivalent(name, FORMAT)));
        }
        let mut body = one("model", request.model.as_str());
        let texts = texts(request, IN)?;
        let input = match texts.as_slice() {
            [only] if request.single => Value::from(*only),
            _ => texts.into(),
        };
        body.insert("input".into(), input);
        put(&mut body, "dimensions", request.dimensions);
        lay(&request.extras, FORMAT, &mut body, &mut losses);
        body.shift_remove(LEGACY);
        Ok(Lossy { value: json(&body), losses })
    }

    fn decode_response(&self, body: &[u8]) -> Result<EmbeddingResponse, DecodeError> {
        let mut fields = IN.body(body)?;
        let rows = match (fields.shift_remove("embeddings"), fields.shift_remove("embedding")) {
            (Some(list), _) => IN.array(list, "/embeddings")?,
            (None, Some(only)) => vec![only],
            (None, None) => return Err(IN.error("/embeddings", "the answer has no embeddings")),
        };
        let vector = |(index, row)| {
            vectors::from_json(row).ok_or_else(|| IN.error(&format!("/embeddings/{index}"), "expected a vector"))
        };
        let data = rows.into_iter().enumerate().map(vector).collect::<Result<_, _>>()?;
        let counted = fields.shift_remove("prompt_eval_count").as_ref().and_then(count);
        let usage = counted.map(|input| Usage { input: Some(input), ..Usage::default() });
        let model = take_text(&mut fields, "model");
        Ok(EmbeddingResponse { model, data, usage, extras: Extras::new(FORMAT, fields) })
    }
}

impl EmbeddingClient for Ollama {
    fn decode_request(&self, body: &[u8], hints: AddressHints<'_>) -> Result<EmbeddingRequest, DecodeError> {
        let mut request = EmbeddingRequest::default();
        let mut extras = Object::new();
        let mut input = None;
        for (name, value) in IN.body(body)? {
            let at = format!("/{name}");
            match name.as_str() {
                "model" => request.model = IN.string(value, &at)?.unwrap_or_default(),
                "input" => input = Some(value),
                "prompt" => {
                    input.get_or_insert(value);
                    extras.insert(LEGACY.into(), true.into());
                }
                "dimensions" => request.dimensions = IN.u64(&value, &at)?,
                _ => {
                    extras.insert(name, value);
                }
            }
        }
        match input.ok_or_else(|| IN.error("/input", "is required"))? {
            Value::String(text) => {
                request.single = true;
                request.input = vec![EmbeddingInput::Text(text)];
            }
            Value::Array(items) => {
                for (index, item) in items.into_iter().enumerate() {
                    let text = IN.string(item, &format!("/input/{index}"))?.unwrap_or_default();
                    request.input.push(EmbeddingInput::Text(text));
                }
            }
            _ => return Err(IN.error("/input", "expected a string or a list of strings")),
        }
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
        let row = |(index, vector)| {
            let numbers = vectors::floats(vector);
            let numbers =
                numbers.ok_or_else(|| IN.error(&format!("/embeddings/{index}"), "the vector cannot be read"))?;
            Ok(vectors::to_json(&numbers))
        };
        let mut rows = response.data.iter().enumerate().map(row).collect::<Result<Vec<_>, DecodeError>>()?;
        let legacy = reply.request.extras.for_format(FORMAT).is_some_and(|extras| extras.contains_key(LEGACY));
        if legacy {
            let only = if rows.is_empty() { Value::Array(Vec::new()) } else { rows.swap_remove(0) };
            return Ok(Lossy::whole(json(&one("embedding", only))));
        }
        let model = if reply.model.is_empty() { response.model.as_deref().unwrap_or_default() } else { reply.model };
        let mut body = one("model", model);
        body.insert("embeddings".into(), rows.into());
        put(&mut body, "prompt_eval_count", response.usage.as_ref().and_then(|usage| usage.input));
        lay(&response.extras, FORMAT, &mut body, &mut losses);
        Ok(Lossy { value: json(&body), losses })
    }
}
