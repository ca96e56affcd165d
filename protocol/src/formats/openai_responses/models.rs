//! Model lists, which this format shares with its elder sister: `{"object": "list", "data": […]}`.

use serde_json::{Value, json};

use super::content::fields_of;
use super::take::{self, FORMAT};
use crate::DecodeError;
use crate::ir::ModelInfo;

/// Reads a list; a bare list is taken too.
pub(super) fn decode(body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError> {
    let value: Value = serde_json::from_slice(body).map_err(|error| DecodeError::json(FORMAT, &error))?;
    let list = match &value {
        Value::Array(list) => Some(list),
        other => other.get("data").or_else(|| other.get("models")).and_then(Value::as_array),
    };
    let list = list.ok_or_else(|| DecodeError::new(FORMAT, "/data", "is not a list"))?;
    Ok(list.iter().filter_map(model).collect())
}

fn model(entry: &Value) -> Option<ModelInfo> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
    let count = |names: &[&str]| names.iter().find_map(|name| entry.get(*name).and_then(take::whole));
    Some(ModelInfo {
        id: text("id").or_else(|| text("slug"))?,
        display_name: text("display_name").or_else(|| text("name")),
        created: count(&["created"]),
        owned_by: text("owned_by"),
        context: count(&["context_length", "context_window", "max_model_len"]),
        max_output: count(&["max_output_tokens", "max_completion_tokens"]),
    })
}

/// Writes a list.
pub(super) fn encode(models: &[ModelInfo]) -> Vec<u8> {
    let data: Vec<Value> = models
        .iter()
        .map(|model| {
            let mut fields = fields_of(json!({
                "id": model.id, "object": "model", "created": model.created.unwrap_or(0),
                "owned_by": model.owned_by.as_deref().unwrap_or("myelin"),
            }));
            for (name, value) in [
                ("display_name", model.display_name.as_ref().map(|name| json!(name))),
                ("context_length", model.context.map(Value::from)),
                ("max_output_tokens", model.max_output.map(Value::from)),
            ] {
                if let Some(value) = value {
                    fields.insert(name.to_owned(), value);
                }
            }
            Value::Object(fields)
        })
        .collect();
    json!({"object": "list", "data": data}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_survives_its_way_there_and_back() {
        let models = vec![
            ModelInfo {
                id: "a".into(),
                created: Some(7),
                owned_by: Some("x".into()),
                context: Some(9),
                ..ModelInfo::default()
            },
            ModelInfo {
                id: "b".into(),
                created: Some(0),
                owned_by: Some("y".into()),
                display_name: Some("B".into()),
                ..ModelInfo::default()
            },
        ];
        assert_eq!(decode(&encode(&models)), Ok(models));
        assert!(decode(b"{}").is_err());
    }
}
