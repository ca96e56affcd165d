//! Gemini `embedContent` (one input) and `batchEmbedContents` (several). JSON names are camelCase; snake_case is read too.

use std::mem::take;

use serde_json::Value;

use super::openai::{lay, lose_user, texts};
use super::tasks::{Words, translate};
use super::vectors;
use super::{EmbeddingClient, EmbeddingCodec, EmbeddingFormat, EmbeddingReply};
use crate::format::{AddressHints, Lossy};
use crate::formats::openai_chat::wire::{Expect, Object, count, json, one, put};
use crate::ir::{EmbeddingInput, EmbeddingRequest, EmbeddingResponse, Extras, Loss, Usage};
use crate::{ApiFormat, DecodeError, Dialect};

const FORMAT: ApiFormat = ApiFormat::Gemini;
const IN: Expect = Expect(FORMAT);

#[derive(Debug)]
pub(super) struct Gemini;

fn is_single(request: &EmbeddingRequest) -> bool {
    request.single && request.input.len() == 1
}

impl EmbeddingCodec for Gemini {
    fn format(&self) -> EmbeddingFormat {
        EmbeddingFormat::Gemini
    }

    fn client(&self) -> Option<&dyn EmbeddingClient> {
        Some(self)
    }

    fn action(&self, request: &EmbeddingRequest) -> &'static str {
        if is_single(request) { "embedContent" } else { "batchEmbedContents" }
    }

    fn max_inputs(&self, _: &str) -> usize {
        100
    }

    fn encode_request(&self, request: &EmbeddingRequest, _: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
        let mut losses = Vec::new();
        lose_user(request, FORMAT, &mut losses);
        let model = format!("models/{}", request.model.strip_prefix("models/").unwrap_or(&request.model));
        let settings = settings(request, &mut losses);
        let mut rows = Vec::with_capacity(request.input.len());
        for text in texts(request, IN)? {
            let mut row = one("model", model.as_str());
            row.insert("content".into(), one("parts", vec![Value::from(one("text", text))]).into());
            row.extend(settings.clone());
            rows.push(row);
        }
        let body = match rows.pop() {
            Some(only) if is_single(request) => only,
            last => {
                rows.extend(last);
                one("requests", rows.into_iter().map(Value::from).collect::<Vec<_>>())
            }
        };
        Ok(Lossy { value: json(&body), losses })
    }

    fn decode_response(&self, body: &[u8]) -> Result<EmbeddingResponse, DecodeError> {
        let mut fields = IN.body(body)?;
        let rows = match (fields.shift_remove("embedding"), fields.shift_remove("embeddings")) {
            (Some(one), _) => vec![one],
            (None, Some(list)) => IN.array(list, "/embeddings")?,
            (None, None) => return Err(IN.error("/embeddings", "the answer has no embeddings")),
        };
        let vector = |(index, row): (usize, Value)| {
            row.get("values")
                .cloned()
                .and_then(vectors::from_json)
                .ok_or_else(|| IN.error(&format!("/embeddings/{index}/values"), "expected a vector"))
        };
        let data = rows.into_iter().enumerate().map(vector).collect::<Result<_, _>>()?;
        // Older models do not count at all.
        let usage = fields.shift_remove("usageMetadata").map(|raw| Usage {
            input: raw.get("promptTokenCount").and_then(count),
            raw: Some(raw.into()),
            ..Usage::default()
        });
        Ok(EmbeddingResponse { model: None, data, usage, extras: Extras::new(FORMAT, fields) })
    }
}

/// What every request of a batch repeats.
fn settings(request: &EmbeddingRequest, losses: &mut Vec<Loss>) -> Object {
    let mut fields = Object::new();
    if let Some(task) = &request.task {
        // A word that nobody knows may be one of Gemini's that is new.
        fields.insert("taskType".into(), translate(task, Words::Gemini).unwrap_or(task).into());
    }
    put(&mut fields, "title", request.title.as_deref());
    put(&mut fields, "outputDimensionality", request.dimensions);
    lay(&request.extras, FORMAT, &mut fields, losses);
    fields
}

impl EmbeddingClient for Gemini {
    fn decode_request(&self, body: &[u8], hints: AddressHints<'_>) -> Result<EmbeddingRequest, DecodeError> {
        let mut fields = IN.body(body)?;
        let mut request = match fields.shift_remove("requests") {
            None => read(fields, "")?,
            Some(list) => {
                let mut rows = IN.array(list, "/requests")?.into_iter().enumerate();
                let mut whole: Option<EmbeddingRequest> = None;
                for (index, row) in &mut rows {
                    let at = format!("/requests/{index}");
                    let mut row = read(IN.object(row, &at)?, &at)?;
                    match &mut whole {
                        None => whole = Some(row),
                        Some(whole) => {
                            let (mut known, mut more) = (take(&mut whole.input), take(&mut row.input));
                            let agree = *whole == row;
                            known.append(&mut more);
                            whole.input = known;
                            if !agree {
                                return Err(
                                    IN.error(&at, "requests of one batch must agree in everything but their content")
                                );
                            }
                        }
                    }
                }
                EmbeddingRequest { single: false, ..whole.unwrap_or_default() }
            }
        };
        if let Some(model) = hints.model {
            request.model = model.to_owned();
        }
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
            Ok(Value::from(one("values", vectors::to_json(&numbers))))
        };
        let mut rows = response.data.iter().enumerate().map(row).collect::<Result<Vec<_>, DecodeError>>()?;
        let mut body = match rows.pop() {
            Some(only) if reply.request.single && rows.is_empty() => one("embedding", only),
            last => {
                rows.extend(last);
                one("embeddings", rows)
            }
        };
        if let Some(input) = response.usage.as_ref().and_then(|usage| usage.input) {
            body.insert("usageMetadata".into(), one("promptTokenCount", input).into());
        }
        lay(&response.extras, FORMAT, &mut body, &mut losses);
        Ok(Lossy { value: json(&body), losses })
    }
}

/// One `EmbedContentRequest`.
fn read(fields: Object, at: &str) -> Result<EmbeddingRequest, DecodeError> {
    let mut request = EmbeddingRequest { single: true, ..EmbeddingRequest::default() };
    let mut extras = Object::new();
    let mut content = None;
    for (name, value) in fields {
        let at = format!("{at}/{name}");
        match name.as_str() {
            "model" => {
                let model = IN.string(value, &at)?.unwrap_or_default();
                request.model = model.strip_prefix("models/").unwrap_or(&model).to_owned();
            }
            "content" => content = Some(value),
            "taskType" | "task_type" => request.task = IN.string(value, &at)?,
            "title" => request.title = IN.string(value, &at)?,
            "outputDimensionality" | "output_dimensionality" => request.dimensions = IN.u64(&value, &at)?,
            _ => {
                extras.insert(name, value);
            }
        }
    }
    request.extras = Extras::new(FORMAT, extras);
    let at = format!("{at}/content/parts");
    let parts = content.as_ref().and_then(|content| content.get("parts")).cloned().unwrap_or_default();
    // `parts` may be one object instead of a list of one.
    let parts = if parts.is_object() { vec![parts] } else { IN.array(parts, &at)? };
    let text = |(index, part): (usize, &Value)| {
        let text = part.get("text").and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| IN.error(&format!("{at}/{index}"), "only text can be embedded here"))
    };
    let texts = parts.iter().enumerate().map(text).collect::<Result<Vec<_>, _>>()?;
    request.input = vec![EmbeddingInput::Text(texts.join("\n"))];
    Ok(request)
}
