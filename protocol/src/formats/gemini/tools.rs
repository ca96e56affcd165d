//! `tools` and `toolConfig`, both directions.

use serde_json::{Map, Value, json};

use super::schema_in::from_openapi;
use super::schema_out::{is_empty_object, to_openapi};
use crate::formats::fields::{Fields, Path};
use crate::ir::{ChatRequest, Extras, FunctionTool, Loss, Tool, ToolCallKind, ToolChoice, ToolKind};
use crate::{ApiFormat, DecodeError, Dialect};

const GEMINI: ApiFormat = ApiFormat::Gemini;

/// Reads `tools`: functions of all groups in order, and what the provider runs itself as native tools.
pub(super) fn read_tools(list: Vec<Value>) -> Result<Vec<Tool>, DecodeError> {
    let root = Path::Root;
    let place = Path::Key(&root, "tools");
    let mut tools = Vec::new();
    for (index, value) in list.into_iter().enumerate() {
        let place = Path::Index(&place, index);
        let mut fields = Fields::of(value, GEMINI, &place)?;
        let declarations = fields.list_or_one("functionDeclarations");
        let place = Path::Key(&place, "functionDeclarations");
        for (index, value) in declarations.into_iter().enumerate() {
            let place = Path::Index(&place, index);
            tools.push(read_function(Fields::of(value, GEMINI, &place)?)?);
        }
        for (kind, value) in fields.rest() {
            let value = json!({ &kind: value });
            tools.push(Tool {
                kind: ToolKind::Native { format: GEMINI, kind, value },
                cache: None,
                extras: Extras::NONE,
            });
        }
    }
    Ok(tools)
}

fn read_function(mut fields: Fields<'_>) -> Result<Tool, DecodeError> {
    let name = fields.text("name")?.ok_or_else(|| fields.error("name", "is missing"))?;
    let description = fields.text("description")?;
    let schema = fields.take("parametersJsonSchema");
    let parameters = schema.or_else(|| fields.take("parameters").map(from_openapi));
    let tool = FunctionTool { name, description, parameters, strict: None, namespace: None };
    Ok(Tool { extras: Extras::new(GEMINI, fields.rest()), ..Tool::function(tool) })
}

/// Writes `tools`. Neighbouring functions share a group; tools of other providers are dropped with a loss.
pub(super) fn write_tools(request: &ChatRequest, dialect: &Dialect, losses: &mut Vec<Loss>) -> Option<Value> {
    let mut groups: Vec<Value> = Vec::new();
    let mut functions: Vec<Value> = Vec::new();
    for (index, tool) in request.tools.iter().enumerate() {
        if tool.cache.is_some() {
            losses.push(Loss::no_equivalent(format!("tools[{index}].cache"), GEMINI));
        }
        match &tool.kind {
            ToolKind::Function(function) => {
                losses.extend(foreign(&tool.extras, &format!("tools[{index}].extras")));
                functions.push(write_function(function, &tool.extras, dialect, index, losses));
            }
            ToolKind::Native { format: GEMINI, value, .. } => {
                flush(&mut functions, &mut groups);
                groups.push(value.clone());
            }
            ToolKind::Native { format, kind, .. } => {
                let why = format!("tool {kind} is run by {format} alone");
                losses.push(Loss::new(format!("tools[{index}]"), GEMINI, why));
            }
            ToolKind::Custom { name, .. } => {
                let why = format!("free-text tool {name} was not made a function");
                losses.push(Loss::new(format!("tools[{index}]"), GEMINI, why));
            }
        }
    }
    flush(&mut functions, &mut groups);
    (!groups.is_empty()).then_some(Value::Array(groups))
}

fn flush(functions: &mut Vec<Value>, groups: &mut Vec<Value>) {
    if !functions.is_empty() {
        groups.push(json!({ "functionDeclarations": std::mem::take(functions) }));
    }
}

fn write_function(
    function: &FunctionTool,
    extras: &Extras,
    dialect: &Dialect,
    index: usize,
    losses: &mut Vec<Loss>,
) -> Value {
    let mut out = Map::new();
    out.insert("name".to_owned(), function.name.clone().into());
    if let Some(description) = &function.description {
        out.insert("description".to_owned(), description.clone().into());
    }
    if function.strict == Some(true) {
        losses.push(Loss::no_equivalent(format!("tools[{index}].strict"), GEMINI));
    }
    match &function.parameters {
        // Hosts of the subset refuse an object without properties.
        Some(schema) if dialect.openapi_schema && is_empty_object(schema) => {}
        Some(schema) if dialect.openapi_schema => {
            let field = format!("tools[{index}].parameters");
            out.insert("parameters".to_owned(), openapi(schema, &field, losses));
        }
        Some(schema) => {
            out.insert("parametersJsonSchema".to_owned(), schema.clone());
        }
        None => {}
    }
    out.extend(extras.for_format(GEMINI).into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    Value::Object(out)
}

/// A schema in the OpenAPI subset; every constraint that this costs is a loss of its own.
pub(super) fn openapi(schema: &Value, field: &str, losses: &mut Vec<Loss>) -> Value {
    let converted = to_openapi(schema);
    losses.extend(converted.lost.into_iter().map(|(at, why)| Loss::new(format!("{field}{at}"), GEMINI, why)));
    converted.schema
}

/// The losses of extra fields that belong to another format.
pub(super) fn foreign<'a>(extras: &'a Extras, prefix: &'a str) -> impl Iterator<Item = Loss> + 'a {
    extras.foreign_to(GEMINI).map(move |name| Loss::no_equivalent(format!("{prefix}.{name}"), GEMINI))
}

/// `functionCallingConfig.mode`, also as protobuf's numbers.
fn mode(value: &Value) -> Option<String> {
    const NUMBERS: [&str; 5] = ["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"];
    match value {
        Value::String(word) => Some(word.to_ascii_uppercase()),
        Value::Number(number) => NUMBERS.get(usize::try_from(number.as_u64()?).ok()?).map(|word| (*word).to_owned()),
        _ => None,
    }
}

/// Reads `toolConfig`; answers the choice and what else stood there.
pub(super) fn read_config(config: Map<String, Value>) -> Result<(Option<ToolChoice>, Map<String, Value>), DecodeError> {
    let root = Path::Root;
    let place = Path::Key(&root, "toolConfig");
    let mut fields = Fields::of(Value::Object(config), GEMINI, &place)?;
    let Some(calling) = fields.object("functionCallingConfig")? else { return Ok((None, fields.rest())) };
    let place = Path::Key(&place, "functionCallingConfig");
    let whole = calling.clone();
    let mut calling = Fields::of(Value::Object(calling), GEMINI, &place)?;
    let word = calling.take("mode").as_ref().and_then(mode);
    let names = calling.list("allowedFunctionNames")?.unwrap_or_default();
    let names: Vec<String> = names.into_iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let choice = match (word.as_deref(), names.as_slice()) {
        (Some("AUTO"), []) => Some(ToolChoice::Auto),
        (Some("NONE"), _) => Some(ToolChoice::None),
        (Some("ANY"), []) => Some(ToolChoice::Required),
        (Some("ANY"), [_]) => {
            names.into_iter().next().map(|name| ToolChoice::Tool { name, kind: ToolCallKind::Function })
        }
        (Some("ANY"), _) => Some(ToolChoice::Allowed { names, required: true }),
        (None | Some("MODE_UNSPECIFIED"), []) => None,
        // VALIDATED, and whatever comes: only Gemini knows what it means. It is kept whole.
        _ => {
            return Ok((Some(ToolChoice::Native { format: GEMINI, value: Value::Object(whole) }), fields.rest()));
        }
    };
    let rest = calling.rest();
    if !rest.is_empty() {
        fields.put_back("functionCallingConfig", Value::Object(rest));
    }
    Ok((choice, fields.rest()))
}

/// Writes `toolConfig` over what else the caller had there.
pub(super) fn write_config(
    choice: Option<&ToolChoice>,
    own: Option<Map<String, Value>>,
    losses: &mut Vec<Loss>,
) -> Option<Value> {
    let mut config = own.unwrap_or_default();
    let calling = match choice {
        None => None,
        Some(ToolChoice::Auto) => Some(json!({"mode": "AUTO"})),
        Some(ToolChoice::None) => Some(json!({"mode": "NONE"})),
        Some(ToolChoice::Required) => Some(json!({"mode": "ANY"})),
        Some(ToolChoice::Tool { name, .. }) => Some(json!({"mode": "ANY", "allowedFunctionNames": [name]})),
        Some(ToolChoice::Allowed { names, required: true }) => {
            Some(json!({"mode": "ANY", "allowedFunctionNames": names}))
        }
        // AUTO takes no list; the list is applied to `tools` (see `allowed_tools`).
        Some(ToolChoice::Allowed { required: false, .. }) => Some(json!({"mode": "AUTO"})),
        Some(ToolChoice::Native { format: GEMINI, value }) => Some(value.clone()),
        Some(ToolChoice::Native { format, .. }) => {
            losses.push(Loss::new("tool_choice", GEMINI, format!("is known to {format} alone")));
            None
        }
    };
    if let Some(Value::Object(calling)) = calling {
        let slot = config.entry("functionCallingConfig").or_insert_with(|| json!({}));
        if let Value::Object(slot) = slot {
            slot.extend(calling);
        }
    }
    (!config.is_empty()).then_some(Value::Object(config))
}

/// The request with only the tools that an `allowed` choice without force names; `None` if nothing changes.
pub(super) fn allowed_tools(request: &ChatRequest) -> Option<Vec<Tool>> {
    let Some(ToolChoice::Allowed { names, required: false }) = &request.tool_choice else { return None };
    let allowed = |tool: &&Tool| match &tool.kind {
        ToolKind::Function(function) => names.contains(&function.name),
        ToolKind::Custom { name, .. } => names.contains(name),
        ToolKind::Native { .. } => true,
    };
    Some(request.tools.iter().filter(allowed).cloned().collect())
}
