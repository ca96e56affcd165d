//! Tools and the choice between them, both directions.

use serde_json::Value;

use super::wire::{FORMAT, IN, Object, one, put, take_object, take_text};
use crate::ir::{ChatRequest, Extras, FunctionTool, Loss, Tool, ToolCallKind, ToolChoice, ToolKind};
use crate::{DecodeError, Dialect};

/// Reads one entry of `tools`.
pub(super) fn decode(value: Value, at: &str) -> Result<Tool, DecodeError> {
    let mut fields = IN.object(value, at)?;
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or("function").to_owned();
    let cache = fields.get("cache_control").and_then(super::messages_in::cache_mark);
    if kind != "function" && kind != "custom" || (kind == "custom" && !fields.contains_key("custom")) {
        return Ok(Tool {
            kind: ToolKind::Native { format: FORMAT, kind, value: Value::Object(fields) },
            cache: None,
            extras: Extras::NONE,
        });
    }
    if cache.is_some() {
        fields.shift_remove("cache_control");
    }
    fields.shift_remove("type");
    // Some clients send the flat form of the Responses API.
    let mut inner = match take_object(&mut fields, &kind) {
        Some(inner) => inner,
        None => std::mem::take(&mut fields),
    };
    let name =
        take_text(&mut inner, "name").ok_or_else(|| IN.error(&format!("{at}/{kind}/name"), "expected a name"))?;
    let description = take_text(&mut inner, "description");
    let tool = if kind == "custom" {
        let format = inner.shift_remove("format").filter(|format| !format.is_null()).map(flat_format);
        ToolKind::Custom { name, description, format, namespace: None }
    } else {
        let parameters = inner.shift_remove("parameters").filter(|schema| !schema.is_null());
        let strict = inner.get("strict").and_then(Value::as_bool);
        if strict.is_some() || inner.get("strict").is_some_and(Value::is_null) {
            inner.shift_remove("strict");
        }
        ToolKind::Function(FunctionTool { name, description, parameters, strict, namespace: None })
    };
    if !inner.is_empty() {
        fields.insert(kind, inner.into());
    }
    Ok(Tool { kind: tool, cache, extras: Extras::new(FORMAT, fields) })
}

/// Chat puts a grammar one level deeper than Responses, whose form is the unified one.
fn flat_format(format: Value) -> Value {
    match format {
        Value::Object(mut fields) if matches!(fields.get("grammar"), Some(Value::Object(_))) => {
            if let Some(Value::Object(grammar)) = fields.shift_remove("grammar") {
                fields.extend(grammar);
            }
            Value::Object(fields)
        }
        other => other,
    }
}

/// The reverse of [`flat_format`].
fn nested_format(format: Value) -> Value {
    match format {
        Value::Object(mut fields) if fields.contains_key("definition") => {
            let kind = fields.shift_remove("type").unwrap_or_else(|| "grammar".into());
            let mut nested = one("type", kind);
            nested.insert("grammar".into(), Value::Object(fields));
            Value::Object(nested)
        }
        other => other,
    }
}

/// Reads the legacy `functions`.
pub(super) fn decode_legacy(value: Value, at: &str) -> Result<Vec<Tool>, DecodeError> {
    let list = IN.array(value, at)?.into_iter().enumerate();
    list.map(|(index, function)| decode(one("function", function).into(), &format!("{at}/{index}"))).collect()
}

/// Reads `tool_choice`, or the legacy `function_call`.
pub(super) fn decode_choice(value: Value) -> ToolChoice {
    let native = |value| ToolChoice::Native { format: FORMAT, value };
    let word = value.as_str().map(str::to_owned);
    match word.as_deref() {
        Some("auto") => return ToolChoice::Auto,
        Some("none") => return ToolChoice::None,
        Some("required" | "any") => return ToolChoice::Required,
        Some(_) => return native(value),
        None => {}
    }
    let name_in = |name: &str| value.pointer(&format!("/{name}/name")).and_then(Value::as_str).map(str::to_owned);
    match value.get("type").and_then(Value::as_str) {
        Some("custom") => match name_in("custom") {
            Some(name) => ToolChoice::Tool { name, kind: ToolCallKind::Custom },
            None => native(value),
        },
        Some("allowed_tools") => allowed(&value).unwrap_or_else(|| native(value)),
        Some("function") | None => {
            match name_in("function").or_else(|| Some(value.get("name")?.as_str()?.to_owned())) {
                Some(name) => ToolChoice::Tool { name, kind: ToolCallKind::Function },
                None => native(value),
            }
        }
        Some(_) => native(value),
    }
}

fn allowed(value: &Value) -> Option<ToolChoice> {
    let inner = value.get("allowed_tools")?;
    let name = |tool: &Value| {
        let kind = tool.get("type").and_then(Value::as_str).unwrap_or("function");
        tool.pointer(&format!("/{kind}/name")).and_then(Value::as_str).map(str::to_owned)
    };
    let names = inner.get("tools")?.as_array()?.iter().map(name).collect::<Option<Vec<_>>>()?;
    let required = inner.get("mode").and_then(Value::as_str) == Some("required");
    Some(ToolChoice::Allowed { names, required })
}

/// Writes `tools`, `tool_choice` and `parallel_tool_calls`.
pub(super) fn encode(request: &ChatRequest, dialect: &Dialect, body: &mut Object, losses: &mut Vec<Loss>) {
    let left_out = |tool: &Tool| match &request.tool_choice {
        Some(ToolChoice::Allowed { names, .. }) if dialect.no_allowed_tools => {
            !name_of(tool).is_some_and(|name| names.iter().any(|known| known == name))
        }
        _ => false,
    };
    let tools: Vec<Value> = request
        .tools
        .iter()
        .enumerate()
        .filter(|(_, tool)| !left_out(tool))
        .filter_map(|(index, tool)| one_tool(tool, &format!("tools[{index}]"), dialect, losses))
        .collect();
    let none_left = tools.is_empty();
    if !none_left {
        body.insert("tools".into(), tools.into());
    }
    if let Some(choice) = &request.tool_choice {
        put(body, "tool_choice", encode_choice(choice, request, none_left, dialect, losses));
    }
    if let Some(parallel) = request.parallel_tool_calls {
        if !dialect.no_parallel_tool_calls {
            body.insert("parallel_tool_calls".into(), parallel.into());
        } else if !parallel {
            losses.push(Loss::new("parallel_tool_calls", FORMAT, "the host takes no such limit"));
        }
    }
}

fn name_of(tool: &Tool) -> Option<&str> {
    match &tool.kind {
        ToolKind::Function(function) => Some(&function.name),
        ToolKind::Custom { name, .. } => Some(name),
        ToolKind::Native { .. } => None,
    }
}

fn one_tool(tool: &Tool, at: &str, dialect: &Dialect, losses: &mut Vec<Loss>) -> Option<Value> {
    let (kind, inner) = match &tool.kind {
        ToolKind::Native { format, value, .. } if *format == FORMAT => return Some(value.clone()),
        ToolKind::Native { kind, .. } => {
            losses.push(Loss::new(format!("{at} ({kind})"), FORMAT, "only its own provider runs this tool"));
            return None;
        }
        ToolKind::Function(function) => ("function", function_fields(function, at, dialect, losses)),
        ToolKind::Custom { name, description, format, namespace } => {
            if namespace.is_some() {
                losses.push(Loss::no_equivalent(format!("{at}.namespace"), FORMAT));
            }
            if dialect.no_custom_tools {
                losses.push(Loss::new(at.to_owned(), FORMAT, "free-text tools are refused: it takes one string"));
                ("function", custom_as_function(name, description.as_deref(), format.as_ref()))
            } else {
                let mut inner = one("name", name.as_str());
                put(&mut inner, "description", description.as_deref());
                put(&mut inner, "format", format.clone().map(nested_format));
                ("custom", inner)
            }
        }
    };
    let mut fields = one("type", kind);
    fields.insert(kind.to_owned(), inner.into());
    if let Some(mark) = &tool.cache {
        if dialect.cache_control {
            fields.insert("cache_control".into(), super::messages_out::cache_control(mark));
        } else {
            losses.push(Loss::new(format!("{at}.cache"), FORMAT, "the host takes no cache marks"));
        }
    }
    super::messages_out::write_extras(&tool.extras, at, &mut fields, losses);
    Some(fields.into())
}

fn function_fields(function: &FunctionTool, at: &str, dialect: &Dialect, losses: &mut Vec<Loss>) -> Object {
    let mut inner = one("name", function.name.as_str());
    put(&mut inner, "description", function.description.as_deref());
    put(&mut inner, "parameters", function.parameters.clone());
    match function.strict {
        Some(true) if dialect.no_strict => {
            losses.push(Loss::new(format!("{at}.strict"), FORMAT, "the host refuses it"))
        }
        Some(_) if dialect.no_strict => {}
        strict => put(&mut inner, "strict", strict),
    }
    if function.namespace.is_some() {
        losses.push(Loss::no_equivalent(format!("{at}.namespace"), FORMAT));
    }
    inner
}

/// A free-text tool for hosts that only know functions: one string `input`.
fn custom_as_function(name: &str, description: Option<&str>, format: Option<&Value>) -> Object {
    let grammar = format.and_then(|format| format.get("definition").or_else(|| format.pointer("/grammar/definition")));
    let hint =
        grammar.and_then(Value::as_str).map(|definition| format!("The input must follow this grammar:\n{definition}"));
    let described = [description.map(str::to_owned), hint].into_iter().flatten().collect::<Vec<_>>().join("\n\n");
    let mut inner = one("name", name);
    put(&mut inner, "description", (!described.is_empty()).then_some(described));
    inner.insert(
        "parameters".into(),
        serde_json::json!({
            "type": "object",
            "properties": { "input": { "type": "string" } },
            "required": ["input"],
            "additionalProperties": false,
        }),
    );
    inner
}

fn encode_choice(
    choice: &ToolChoice,
    request: &ChatRequest,
    none_left: bool,
    dialect: &Dialect,
    losses: &mut Vec<Loss>,
) -> Option<Value> {
    let required = if dialect.required_is_any { "any" } else { "required" };
    Some(match choice {
        // A choice between no tools is a 400 on most hosts.
        ToolChoice::Auto | ToolChoice::None | ToolChoice::Required if none_left && request.tools.is_empty() => {
            if *choice == ToolChoice::Required {
                losses.push(Loss::new("tool_choice", FORMAT, "there are no tools"));
            }
            return None;
        }
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => required.into(),
        ToolChoice::Tool { name, kind } => {
            let word = if *kind == ToolCallKind::Custom && !dialect.no_custom_tools { "custom" } else { "function" };
            named(word, name).into()
        }
        ToolChoice::Allowed { required: must, .. } if dialect.no_allowed_tools => {
            if *must {
                required.into()
            } else {
                "auto".into()
            }
        }
        ToolChoice::Allowed { names, required } => {
            let custom = |name: &str| {
                request
                    .tools
                    .iter()
                    .any(|tool| matches!(&tool.kind, ToolKind::Custom { name: known, .. } if known == name))
            };
            let tools: Vec<Value> =
                names.iter().map(|name| named(if custom(name) { "custom" } else { "function" }, name).into()).collect();
            let mode = if *required { "required" } else { "auto" };
            serde_json::json!({ "type": "allowed_tools", "allowed_tools": { "mode": mode, "tools": tools } })
        }
        ToolChoice::Native { format, value } if *format == FORMAT => value.clone(),
        ToolChoice::Native { .. } => {
            losses.push(Loss::no_equivalent("tool_choice", FORMAT));
            return None;
        }
    })
}

fn named(kind: &str, name: &str) -> Object {
    let mut fields = one("type", kind);
    fields.insert(kind.to_owned(), one("name", name).into());
    fields
}
