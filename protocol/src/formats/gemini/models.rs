//! Model lists: `{"models": [{"name": "models/…"}]}`, on Vertex `publisherModels`.

use serde_json::{Map, Value, json};

use super::model_rules::bare;
use crate::formats::fields::{Fields, Path, set};
use crate::ir::ModelInfo;
use crate::{ApiFormat, DecodeError};

/// What a model of this gateway can be asked for.
const METHODS: [&str; 3] = ["generateContent", "streamGenerateContent", "countTokens"];

/// Reads a provider's list.
pub(super) fn decode(body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError> {
    let mut fields = Fields::parse(body, ApiFormat::Gemini)?;
    let list = match fields.list("models")? {
        Some(list) => list,
        None => fields.list("publisherModels")?.unwrap_or_default(),
    };
    let path = Path::Key(&Path::Root, "models");
    let read = |(index, value)| {
        let path = Path::Index(&path, index);
        let mut fields = Fields::of(value, ApiFormat::Gemini, &path)?;
        let name = fields.text("name")?.ok_or_else(|| fields.error("name", "is missing"))?;
        Ok(ModelInfo {
            id: bare(&name).to_owned(),
            display_name: fields.text("displayName")?,
            context: fields.count("inputTokenLimit")?,
            max_output: fields.count("outputTokenLimit")?,
            ..ModelInfo::default()
        })
    };
    list.into_iter().enumerate().map(read).collect()
}

/// Writes one entry, as `GET /v1beta/models/{model}` answers it.
pub(super) fn encode_one(model: &ModelInfo) -> Value {
    let mut out = Map::new();
    out.insert("name".to_owned(), format!("models/{}", model.id).into());
    out.insert("version".to_owned(), "001".into());
    out.insert("displayName".to_owned(), model.display_name.clone().unwrap_or_else(|| model.id.clone()).into());
    set(&mut out, "inputTokenLimit", model.context);
    set(&mut out, "outputTokenLimit", model.max_output);
    out.insert("supportedGenerationMethods".to_owned(), json!(METHODS));
    Value::Object(out)
}

/// Writes a list.
pub(super) fn encode(models: &[ModelInfo]) -> Value {
    let list: Vec<Value> = models.iter().map(encode_one).collect();
    json!({ "models": list })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_back_as_it_was() {
        let models = [
            ModelInfo {
                id: "gemini-x".into(),
                display_name: Some("Gemini X".into()),
                context: Some(1_048_576),
                max_output: Some(65_536),
                ..ModelInfo::default()
            },
            ModelInfo { id: "plain".into(), display_name: Some("plain".into()), ..ModelInfo::default() },
        ];
        let wire = encode(&models);
        assert_eq!(wire["models"][0]["name"], "models/gemini-x");
        assert_eq!(decode(wire.to_string().as_bytes()).unwrap(), models);
        let vertex = br#"{"publisherModels":[{"name":"publishers/google/models/gemini-y"}]}"#;
        assert_eq!(decode(vertex).unwrap()[0].id, "gemini-y");
        assert!(decode(br#"{"models":[{}]}"#).is_err());
        assert!(decode(b"{}").unwrap().is_empty());
    }
}
