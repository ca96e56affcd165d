//! Model lists, both ways: `{"data": [{"type": "model", "id", "display_name", "created_at"}], "has_more", "first_id", "last_id"}`.

use serde::Deserialize;

use super::FORMAT;
use crate::DecodeError;
use crate::formats::timestamp;
use crate::ir::ModelInfo;
use crate::json::object;

#[derive(Deserialize)]
struct List {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    max_input_tokens: Option<u64>,
    #[serde(default)]
    max_tokens: Option<u64>,
}

/// Reads a provider's list.
pub(super) fn decode(body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError> {
    let list: List = serde_json::from_slice(body).map_err(|error| DecodeError::json(FORMAT, &error))?;
    Ok(list.data.into_iter().map(info).collect())
}

fn info(entry: Entry) -> ModelInfo {
    ModelInfo {
        id: entry.id,
        display_name: entry.display_name,
        created: entry.created_at.as_deref().and_then(timestamp::parse),
        owned_by: None,
        context: entry.max_input_tokens,
        max_output: entry.max_tokens,
    }
}

/// Writes a list for a client.
pub(super) fn encode(models: &[ModelInfo]) -> Vec<u8> {
    let mut out = Vec::new();
    object(&mut out, |o| {
        o.list("data", |list| {
            for model in models {
                list.object(|o| {
                    o.value("type", "model");
                    o.value("id", &model.id);
                    o.value("display_name", model.display_name.as_deref().unwrap_or(&model.id));
                    // Clients parse it as a date; the API itself gives the epoch when it does not know.
                    o.value("created_at", &timestamp::format(model.created.unwrap_or(0)));
                    o.some("max_input_tokens", model.context);
                    o.some("max_tokens", model.max_output);
                });
            }
        });
        o.value("has_more", &false);
        o.value("first_id", &models.first().map(|model| &model.id));
        o.value("last_id", &models.last().map(|model| &model.id));
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_back() {
        let models = vec![
            ModelInfo {
                id: "claude-a".into(),
                display_name: Some("A".into()),
                created: Some(1_709_251_199),
                ..ModelInfo::default()
            },
            ModelInfo {
                id: "b".into(),
                display_name: Some("b".into()),
                created: Some(0),
                context: Some(200),
                max_output: Some(9),
                ..ModelInfo::default()
            },
        ];
        assert_eq!(decode(&encode(&models)).unwrap(), models);
        let text = String::from_utf8(encode(&models)).unwrap();
        assert!(text.ends_with(r#""has_more":false,"first_id":"claude-a","last_id":"b"}"#), "{text}");
        assert!(decode(br#"{"data":{}}"#).is_err());
    }
}
