//! Model lists.

use serde_json::Value;

use super::wire::{FORMAT, Object, count, json, one, put};
use crate::DecodeError;
use crate::ir::ModelInfo;

/// Where hosts tell the size of the context window, and the limit of the output.
const CONTEXT: [&str; 7] = [
    "/context_length",
    "/context_window",
    "/max_context_length",
    "/max_model_len",
    "/top_provider/context_length",
    "/meta/n_ctx_train",
    "/max_input_tokens",
];
const OUTPUT: [&str; 4] =
    ["/max_completion_tokens", "/top_provider/max_completion_tokens", "/max_output_tokens", "/max_output_length"];

/// Reads a list: `{"data":[…]}`, a bare list (Together), or `{"models":[…]}`.
pub(crate) fn decode(body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError> {
    let value: Value = serde_json::from_slice(body).map_err(|error| DecodeError::json(FORMAT, &error))?;
    let list = value.as_array().or_else(|| value.get("data")?.as_array()).or_else(|| value.get("models")?.as_array());
    let list = list.ok_or_else(|| DecodeError::new(FORMAT, "/data", "expected a list of models"))?;
    Ok(list.iter().filter_map(model).collect())
}

fn model(value: &Value) -> Option<ModelInfo> {
    let text = |names: &[&str]| {
        names.iter().find_map(|name| value.get(name)?.as_str()).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let number =
        |paths: &[&str]| paths.iter().find_map(|path| count(value.pointer(path)?)).filter(|number| *number > 0);
    let id = text(&["id", "model", "name"])?;
    let name = text(&["display_name", "name"]).filter(|name| *name != id);
    Some(ModelInfo {
        display_name: name,
        created: number(&["/created"]),
        owned_by: text(&["owned_by", "organization"]),
        context: number(&CONTEXT),
        max_output: number(&OUTPUT),
        id,
    })
}

/// Writes a list.
pub(crate) fn encode(models: &[ModelInfo]) -> Vec<u8> {
    let entry = |model: &ModelInfo| -> Value {
        let mut fields = one("id", model.id.as_str());
        fields.insert("object".into(), "model".into());
        // OpenAI's own libraries want both of these.
        fields.insert("created".into(), model.created.unwrap_or(0).into());
        fields.insert("owned_by".into(), model.owned_by.as_deref().unwrap_or("myelin").into());
        put(&mut fields, "name", model.display_name.as_deref());
        put(&mut fields, "context_length", model.context);
        put(&mut fields, "max_completion_tokens", model.max_output);
        fields.into()
    };
    let mut body: Object = one("object", "list");
    body.insert("data".into(), models.iter().map(entry).collect::<Vec<_>>().into());
    json(&body)
}
