//! `:countTokens`, which takes `contents` or a whole `generateContentRequest`.

use serde_json::{Map, Value, json};

use super::{request_in, request_out};
use crate::format::{AddressHints, Lossy};
use crate::formats::fields::{Fields, Path};
use crate::ir::ChatRequest;
use crate::{ApiFormat, DecodeError, Dialect};

/// Whose `:countTokens` it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountHost {
    /// generativelanguage.googleapis.com: system prompt and tools are only taken inside `generateContentRequest`.
    Gemini,
    /// Vertex AI: they stand beside `contents`.
    Vertex,
}

/// Reads a client's request to count.
pub fn decode_count_request(body: &[u8], hints: AddressHints<'_>) -> Result<ChatRequest, DecodeError> {
    let mut fields = Fields::parse(body, ApiFormat::Gemini)?;
    match fields.object("generateContentRequest")? {
        Some(inner) => {
            let path = Path::Key(&Path::Root, "generateContentRequest");
            request_in::read(Fields::of(Value::Object(inner), ApiFormat::Gemini, &path)?, hints)
        }
        None => request_in::read(fields, hints),
    }
}

/// Writes a request to count for a provider.
pub fn encode_count_request(request: &ChatRequest, dialect: &Dialect, host: CountHost) -> Lossy<Vec<u8>> {
    let Lossy { value: body, losses } = request_out::encode(request, dialect);
    let body = match host {
        CountHost::Gemini => {
            let mut inner = Map::new();
            inner.insert("model".to_owned(), format!("models/{}", request.model).into());
            inner.extend(body);
            json!({ "generateContentRequest": inner })
        }
        CountHost::Vertex => {
            const KNOWN: [&str; 4] = ["contents", "systemInstruction", "tools", "generationConfig"];
            Value::Object(body.into_iter().filter(|(name, _)| KNOWN.contains(&name.as_str())).collect())
        }
    };
    Lossy { value: body.to_string().into_bytes(), losses }
}

/// Writes the answer for a client.
pub fn encode_count_response(tokens: u64) -> Vec<u8> {
    json!({"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]})
        .to_string()
        .into_bytes()
}

/// Reads a provider's answer. Absent is zero here: protobuf leaves zeros out.
pub fn decode_count_response(body: &[u8]) -> Result<u64, DecodeError> {
    Ok(Fields::parse(body, ApiFormat::Gemini)?.count("totalTokens")?.unwrap_or(0))
}
