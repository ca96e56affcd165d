//! Tools and the choice between them, both directions.
//!
//! Groups (`namespace`) are flattened into tools that know their group; tools that were declared inside the conversation
//! (`additional_tools`) join the list with a note of where they stood.

use serde_json::{Value, json};

use super::content::fields_of;
use super::take::{self, FORMAT, Fields};
use crate::Dialect;
use crate::ir::{Extras, FunctionTool, Loss, Namespace, Tool, ToolCallKind, ToolChoice, ToolKind};

/// Note on a tool that was declared in an `additional_tools` item: `{"at": index in input, "item": its other fields}`.
const DECLARED: &str = "@additional_tools";
/// Note on a function of this format that left out `strict` or `parameters`, which means something else here than elsewhere.
const OWN: &str = "@own";
/// Fields of a group that no rule knows, on its first tool.
const GROUP: &str = "namespace";

/// Reads a list of tools. `declared`: the place and fields of the `additional_tools` item that held it.
pub(super) fn decode(list: Vec<Value>, declared: Option<(usize, Fields)>, out: &mut Vec<Tool>) {
    let note = declared.map(|(at, item)| json!({"at": at, "item": item}));
    let first = out.len();
    for value in list {
        decode_one(value, out);
    }
    if let Some(note) = note {
        for tool in out.iter_mut().skip(first) {
            tool.extras.insert(FORMAT, DECLARED, note.clone());
        }
    }
}

fn decode_one(value: Value, out: &mut Vec<Tool>) {
    let fields = match value {
        Value::Object(fields) => fields,
        other => return out.push(native(other)),
    };
    match fields.get("type").and_then(Value::as_str) {
        Some("namespace") => match group(&fields) {
            Some(tools) => out.extend(tools),
            None => out.push(native(Value::Object(fields))),
        },
        Some("function" | "custom") if fields.get("name").is_some_and(Value::is_string) => {
            out.push(named(fields, None))
        }
        _ => out.push(native(Value::Object(fields))),
    }
}

fn native(value: Value) -> Tool {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    Tool { kind: ToolKind::Native { format: FORMAT, kind, value }, cache: None, extras: Extras::NONE }
}

/// The tools of a group. `None` if it holds anything but functions and custom tools: it is kept whole then.
fn group(fields: &Fields) -> Option<Vec<Tool>> {
    let mut fields = fields.clone();
    let name = take::text(&mut fields, "name")?;
    let description = take::text(&mut fields, "description");
    let Some(Value::Array(list)) = fields.shift_remove("tools") else { return None };
    fields.shift_remove("type");
    let namespace = Namespace { name, description };
    let mut tools = Vec::with_capacity(list.len());
    for value in list {
        let Value::Object(inner) = value else { return None };
        let known = matches!(inner.get("type").and_then(Value::as_str), Some("function" | "custom"));
        if !known || !inner.get("name").is_some_and(Value::is_string) {
            return None;
        }
        tools.push(named(inner, Some(namespace.clone())));
    }
    let first = tools.first_mut()?;
    if !fields.is_empty() {
        first.extras.insert(FORMAT, GROUP, Value::Object(fields));
    }
    Some(tools)
}

/// A function or custom tool that has a name.
fn named(mut fields: Fields, namespace: Option<Namespace>) -> Tool {
    let custom = fields.get("type").and_then(Value::as_str) == Some("custom");
    fields.shift_remove("type");
    let name = take::text(&mut fields, "name").unwrap_or_default();
    let description = take::text(&mut fields, "description");
    let kind = if custom {
        let format = fields.shift_remove("format");
        ToolKind::Custom { name, description, format, namespace }
    } else {
        if !(fields.contains_key("strict") && fields.contains_key("parameters")) {
            fields.insert(OWN.to_owned(), Value::Bool(true));
        }
        let strict = take::boolean(&mut fields, "", "strict").ok().flatten();
        let parameters = take::object(&mut fields, "", "parameters").ok().flatten().map(Value::Object);
        ToolKind::Function(FunctionTool { name, description, parameters, strict, namespace })
    };
    Tool { kind, cache: None, extras: Extras::new(FORMAT, fields) }
}

/// Tools as they are written: the list of the body, and the `additional_tools` items with their places in `input`.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// `tools`.
    pub(super) list: Vec<Value>,
    /// Place in `input` and item, in order.
    pub(super) declared: Vec<(usize, Value)>,
}

/// Writes tools.
pub(super) fn encode(tools: &[Tool], dialect: &Dialect, losses: &mut Vec<Loss>) -> Written {
    let mut written = Written::default();
    let mut rest = tools;
    while let Some(first) = rest.first() {
        let note = declaration(first);
        let run = rest.iter().take_while(|tool| declaration(tool) == note).count().max(1);
        let (here, after) = rest.split_at(run);
        let start = tools.len() - rest.len();
        let list = encode_run(here, start, dialect, losses);
        match note {
            None => written.list.extend(list),
            Some(note) => written.declared.push(declared_item(note, list)),
        }
        rest = after;
    }
    written
}

fn declaration(tool: &Tool) -> Option<&Value> {
    tool.extras.for_format(FORMAT)?.get(DECLARED)
}

fn declared_item(note: &Value, list: Vec<Value>) -> (usize, Value) {
    let at = note.get("at").and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok()).unwrap_or(0);
    let mut item = note.get("item").and_then(Value::as_object).cloned().unwrap_or_default();
    item.insert("tools".to_owned(), Value::Array(list));
    (at, Value::Object(item))
}

/// Writes tools in a row, groups put together again. `start` is the place of the first in the request, for losses.
fn encode_run(tools: &[Tool], start: usize, dialect: &Dialect, losses: &mut Vec<Loss>) -> Vec<Value> {
    let mut list: Vec<Value> = Vec::with_capacity(tools.len());
    let mut open: Option<&Namespace> = None;
    for (index, tool) in (start..).zip(tools) {
        let path = format!("tools[{index}]");
        let Some(value) = encode_one(tool, &path, dialect, losses) else { continue };
        let group = namespace(tool);
        let Some(namespace) = group else {
            open = None;
            list.push(value);
            continue;
        };
        if open != group {
            list.push(open_group(namespace, &tool.extras));
            open = group;
        }
        if let Some(Value::Array(inner)) = list.last_mut().and_then(|group| group.get_mut("tools")) {
            inner.push(value);
        }
    }
    list
}

fn namespace(tool: &Tool) -> Option<&Namespace> {
    match &tool.kind {
        ToolKind::Function(function) => function.namespace.as_ref(),
        ToolKind::Custom { namespace, .. } => namespace.as_ref(),
        ToolKind::Native { .. } => None,
    }
}

fn open_group(namespace: &Namespace, extras: &Extras) -> Value {
    let mut group = fields_of(json!({"type": "namespace", "name": namespace.name}));
    if let Some(description) = &namespace.description {
        group.insert("description".to_owned(), json!(description));
    }
    let kept = extras.for_format(FORMAT).and_then(|fields| fields.get(GROUP)?.as_object());
    for (name, value) in kept.into_iter().flatten() {
        group.insert(name.clone(), value.clone());
    }
    group.insert("tools".to_owned(), json!([]));
    Value::Object(group)
}

fn encode_one(tool: &Tool, path: &str, dialect: &Dialect, losses: &mut Vec<Loss>) -> Option<Value> {
    let mut fields = match &tool.kind {
        ToolKind::Function(function) => encode_function(function, &tool.extras, path, dialect, losses),
        ToolKind::Custom { name, description, format, .. } => {
            let mut fields = fields_of(json!({"type": "custom", "name": name}));
            if let Some(description) = description {
                fields.insert("description".to_owned(), json!(description));
            }
            if let Some(format) = format {
                fields.insert("format".to_owned(), format.clone());
            }
            fields
        }
        ToolKind::Native { format, value, .. } if *format == FORMAT => return Some(value.clone()),
        ToolKind::Native { kind, .. } => {
            losses.push(Loss::new(format!("{path}.{kind}"), FORMAT, "a tool that another provider runs"));
            return None;
        }
    };
    if tool.cache.is_some() {
        losses.push(Loss::new(format!("{path}.cache"), FORMAT, "the provider places cache marks by itself"));
    }
    losses.extend(
        tool.extras.foreign_to(FORMAT).map(|name| Loss::no_equivalent(format!("{path}.extras.{name}"), FORMAT)),
    );
    let kept = tool.extras.for_format(FORMAT).into_iter().flatten();
    for (name, value) in kept.filter(|(name, _)| !name.starts_with('@') && *name != GROUP) {
        fields.insert(name.clone(), value.clone());
    }
    Some(Value::Object(fields))
}

fn encode_function(
    function: &FunctionTool,
    extras: &Extras,
    path: &str,
    dialect: &Dialect,
    losses: &mut Vec<Loss>,
) -> Fields {
    let mut fields = fields_of(json!({"type": "function", "name": function.name}));
    if let Some(description) = &function.description {
        fields.insert("description".to_owned(), json!(description));
    }
    let own = extras.for_format(FORMAT).is_some_and(|fields| fields.contains_key(OWN) || fields.contains_key("strict"));
    match &function.parameters {
        Some(parameters) => {
            fields.insert("parameters".to_owned(), parameters.clone());
        }
        None if own => {}
        None => {
            fields.insert("parameters".to_owned(), json!({"type": "object", "properties": {}}));
        }
    }
    match function.strict {
        strict if dialect.no_strict => {
            if strict == Some(true) {
                losses.push(Loss::new(format!("{path}.strict"), FORMAT, "the host refuses it"));
            }
        }
        Some(strict) => {
            fields.insert("strict".to_owned(), json!(strict));
        }
        None if own => {}
        // Left out, it means true here and false everywhere else.
        None => {
            fields.insert("strict".to_owned(), json!(false));
        }
    }
    fields
}

/// Reads `tool_choice`.
pub(super) fn decode_choice(value: Value, tools: &[Tool]) -> ToolChoice {
    match value.as_str() {
        Some("auto") => return ToolChoice::Auto,
        Some("none") => return ToolChoice::None,
        Some("required") => return ToolChoice::Required,
        _ => {}
    }
    let known = value.as_object().and_then(|fields| match fields.get("type")?.as_str()? {
        "allowed_tools" => allowed(fields, tools),
        _ => named_choice(&value).map(|(name, kind)| ToolChoice::Tool { name: name.to_owned(), kind }),
    });
    known.unwrap_or(ToolChoice::Native { format: FORMAT, value })
}

/// `{"type": "function" | "custom", "name"}` and nothing else.
fn named_choice(value: &Value) -> Option<(&str, ToolCallKind)> {
    let fields = value.as_object().filter(|fields| fields.len() == 2)?;
    let kind = match fields.get("type")?.as_str()? {
        "function" => ToolCallKind::Function,
        "custom" => ToolCallKind::Custom,
        _ => return None,
    };
    Some((fields.get("name")?.as_str()?, kind))
}

/// A plain list of declared tools; anything more is kept whole.
fn allowed(fields: &Fields, tools: &[Tool]) -> Option<ToolChoice> {
    let required = match fields.get("mode").map(Value::as_str) {
        Some(Some("required")) => true,
        Some(Some("auto")) => false,
        _ => return None,
    };
    if fields.len() != 3 {
        return None;
    }
    let mut names = Vec::new();
    for entry in fields.get("tools")?.as_array()? {
        let (name, kind) = named_choice(entry)?;
        if kind != kind_of(name, tools) {
            return None;
        }
        names.push(name.to_owned());
    }
    Some(ToolChoice::Allowed { names, required })
}

fn kind_of(name: &str, tools: &[Tool]) -> ToolCallKind {
    let custom = tools.iter().any(|tool| matches!(&tool.kind, ToolKind::Custom { name: own, .. } if own == name));
    if custom { ToolCallKind::Custom } else { ToolCallKind::Function }
}

/// Writes `tool_choice`.
pub(super) fn encode_choice(choice: &ToolChoice, tools: &[Tool], losses: &mut Vec<Loss>) -> Option<Value> {
    let word = |kind: ToolCallKind| if kind == ToolCallKind::Custom { "custom" } else { "function" };
    Some(match choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::None => json!("none"),
        ToolChoice::Required => json!("required"),
        ToolChoice::Tool { name, kind } => json!({"type": word(*kind), "name": name}),
        ToolChoice::Allowed { names, required } => {
            let list: Vec<Value> =
                names.iter().map(|name| json!({"type": word(kind_of(name, tools)), "name": name})).collect();
            json!({"type": "allowed_tools", "mode": if *required { "required" } else { "auto" }, "tools": list})
        }
        ToolChoice::Native { format, value } if *format == FORMAT => value.clone(),
        ToolChoice::Native { .. } => {
            losses.push(Loss::new("tool_choice", FORMAT, "a choice that only another format knows"));
            return None;
        }
    })
}
