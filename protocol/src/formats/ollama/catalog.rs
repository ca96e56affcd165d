//! What tools ask beside answers: `/api/tags`, `/api/show`, `/api/ps` and `/api/version`.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::formats::fields::{Fields, Path};
use crate::formats::timestamp;
use crate::ir::ModelInfo;
use crate::{ApiFormat, DecodeError};

/// The version to tell: recent enough for every tool that checks it (Copilot wants 0.6.4).
pub const COMPATIBLE_VERSION: &str = "0.12.11";

/// Reads a provider's `/api/tags`.
pub(super) fn decode(body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError> {
    let mut fields = Fields::parse(body, ApiFormat::OllamaChat)?;
    let path = Path::Key(&Path::Root, "models");
    let read = |(index, value)| {
        let path = Path::Index(&path, index);
        let mut fields = Fields::of(value, ApiFormat::OllamaChat, &path)?;
        let id = fields.text("model")?.or(fields.text("name")?).ok_or_else(|| fields.error("model", "is missing"))?;
        let created = fields.text("modified_at")?.as_deref().and_then(timestamp::parse);
        Ok(ModelInfo { id, created, ..ModelInfo::default() })
    };
    fields.list("models")?.unwrap_or_default().into_iter().enumerate().map(read).collect()
}

/// Writes `/api/tags`. Sizes and digests are those of files that are not here: the digest only tells names apart.
pub(super) fn encode(models: &[ModelInfo]) -> Value {
    let list: Vec<Value> = models
        .iter()
        .map(|model| {
            json!({
                "name": model.id,
                "model": model.id,
                "modified_at": timestamp::format(model.created.unwrap_or(0)),
                "size": 0,
                "digest": digest(&model.id),
                "details": details(model),
            })
        })
        .collect();
    json!({ "models": list })
}

/// Which model `/api/show` is asked about.
pub fn decode_show_request(body: &[u8]) -> Result<String, DecodeError> {
    let mut fields = Fields::parse(body, ApiFormat::OllamaChat)?;
    let named = fields.text("model")?.or(fields.text("name")?).filter(|name| !name.is_empty());
    named.ok_or_else(|| fields.error("model", "model is required"))
}

/// Writes `/api/show`. `capabilities` are Ollama's words: `completion`, `tools`, `vision`, `thinking`, `embedding`.
pub fn encode_show(model: &ModelInfo, capabilities: &[&str]) -> Vec<u8> {
    let family = family(model);
    let mut info = Map::new();
    info.insert("general.architecture".to_owned(), family.into());
    info.insert("general.basename".to_owned(), model.id.clone().into());
    if let Some(context) = model.context {
        info.insert(format!("{family}.context_length"), context.into());
    }
    let body = json!({
        "modelfile": format!("FROM {}", model.id),
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": details(model),
        "model_info": info,
        "capabilities": capabilities,
        "modified_at": timestamp::format(model.created.unwrap_or(0)),
    });
    body.to_string().into_bytes()
}

/// Writes `/api/version`.
pub fn encode_version(version: &str) -> Vec<u8> {
    json!({ "version": version }).to_string().into_bytes()
}

/// Writes `/api/ps`: nothing is loaded here.
pub fn encode_loaded() -> Vec<u8> {
    json!({ "models": [] }).to_string().into_bytes()
}

fn family(model: &ModelInfo) -> &str {
    model.owned_by.as_deref().filter(|owner| !owner.is_empty()).unwrap_or("myelin")
}

fn details(model: &ModelInfo) -> Value {
    let family = family(model);
    json!({
        "parent_model": "", "format": "", "family": family, "families": [family], "parameter_size": "", "quantization_level": "",
    })
}

fn digest(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_back_and_every_field_that_tools_read_is_there() {
        let models = [ModelInfo { id: "a:latest".into(), created: Some(1_781_914_540), ..ModelInfo::default() }];
        let wire = encode(&models);
        assert_eq!(wire["models"][0]["digest"].as_str().unwrap().len(), 64);
        assert_eq!(wire["models"][0]["modified_at"], "2026-06-20T00:15:40Z");
        assert_eq!(decode(wire.to_string().as_bytes()).unwrap(), models);
    }

    #[test]
    fn show_tells_context_and_capabilities() {
        let model = ModelInfo { id: "m".into(), context: Some(8_192), ..ModelInfo::default() };
        let wire: Value = serde_json::from_slice(&encode_show(&model, &["completion", "tools"])).unwrap();
        assert_eq!(wire["model_info"]["myelin.context_length"], 8_192);
        assert_eq!(wire["capabilities"], json!(["completion", "tools"]));
        assert_eq!(decode_show_request(br#"{"name":"m"}"#).unwrap(), "m");
        assert_eq!(decode_show_request(br#"{"model":"m","verbose":true}"#).unwrap(), "m");
        assert!(decode_show_request(b"{}").is_err());
    }
}
