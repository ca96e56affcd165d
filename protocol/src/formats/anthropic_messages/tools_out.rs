//! Tools and the choice among them, toward a provider.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::FORMAT;
use super::blocks_out::{BlockWriter, cache_control, foreign_losses};
use super::schema;
use crate::Dialect;
use crate::formats::body::Body;
use crate::formats::turns::Turn;
use crate::ir::{ChatRequest, Content, FunctionTool, Loss, Namespace, Tool, ToolChoice, ToolKind};
use crate::json::{List, Object};

/// Writes `tools` and `tool_choice`. `thinks`: forced choices are refused.
pub(super) fn write(
    body: &mut Body,
    request: &ChatRequest,
    turns: &[Turn<'_>],
    dialect: &Dialect,
    thinks: bool,
    writer: &mut BlockWriter<'_>,
) {
    let allowed = allowed_names(request.tool_choice.as_ref());
    let tools: Vec<(usize, &Tool)> = request
        .tools
        .iter()
        .enumerate()
        .filter(|(index, tool)| {
            carries(*index, tool, writer.losses) && allowed.is_none_or(|names| permits(names, tool))
        })
        .collect();
    let stand_ins = if tools.is_empty() { stand_ins(turns) } else { BTreeSet::new() };
    if tools.is_empty() && stand_ins.is_empty() {
        if request.tool_choice.as_ref().is_some_and(|choice| *choice != ToolChoice::None) {
            writer.losses.push(Loss::new("tool_choice", FORMAT, "there are no tools to choose from"));
        }
        return;
    }
    body.list("tools", |list| {
        for (index, tool) in &tools {
            write_tool(list, tool, *index, dialect, writer);
        }
        for name in &stand_ins {
            let name = writer.name(None, name, &|_| "tools".to_owned());
            list.value(&json!({ "name": name, "input_schema": schema::empty() }));
        }
    });
    if !stand_ins.is_empty() {
        // The API wants the tools of the history declared; none of them may be called.
        body.value("tool_choice", &json!({ "type": "none" }));
        return;
    }
    choice(body, request, dialect, thinks, writer);
}

fn allowed_names(choice: Option<&ToolChoice>) -> Option<&[String]> {
    match choice {
        Some(ToolChoice::Allowed { names, .. }) => Some(names),
        _ => None,
    }
}

fn permits(names: &[String], tool: &Tool) -> bool {
    match &tool.kind {
        ToolKind::Function(FunctionTool { name, .. }) | ToolKind::Custom { name, .. } => names.contains(name),
        ToolKind::Native { value, .. } => {
            value.get("name").and_then(Value::as_str).is_some_and(|name| names.iter().any(|known| known == name))
        }
    }
}

fn carries(index: usize, tool: &Tool, losses: &mut Vec<Loss>) -> bool {
    match &tool.kind {
        ToolKind::Native { format, kind, .. } if *format != FORMAT => {
            let why = format!("server tool {kind} belongs to another provider");
            losses.push(Loss::new(format!("tools[{index}]"), FORMAT, why));
            false
        }
        _ => true,
    }
}

/// The names that a conversation without tools mentions.
fn stand_ins(turns: &[Turn<'_>]) -> BTreeSet<String> {
    let pieces = turns.iter().flat_map(|turn| &turn.pieces);
    pieces
        .filter_map(|piece| match &piece.part.content {
            Content::ToolCall(call) => Some(call.name.clone()),
            _ => None,
        })
        .collect()
}

fn write_tool(list: &mut List<'_>, tool: &Tool, index: usize, dialect: &Dialect, writer: &mut BlockWriter<'_>) {
    let prefix = format!("tools[{index}].");
    foreign_losses(&tool.extras, &prefix, writer.losses);
    let own = tool.extras.for_format(FORMAT);
    let field = |name: &str| format!("{prefix}{name}");
    list.object(|o| {
        match &tool.kind {
            ToolKind::Function(function) => write_function(o, function, dialect, &field, writer),
            ToolKind::Custom { name, description, format, namespace } => {
                let space = namespace.as_ref().map(|namespace| namespace.name.as_str());
                o.value("name", &writer.name(space, name, &field));
                o.some("description", custom_description(description.as_deref(), format.as_ref()));
                o.value("input_schema", &schema::one_string());
                writer.losses.push(Loss::new(field("kind"), FORMAT, "free text became one string argument"));
            }
            ToolKind::Native { value, .. } => o.fields(value.as_object().into_iter().flatten()),
        }
        cache_control(o, tool.cache.as_ref(), own);
        o.fields(own.into_iter().flatten().filter(|(name, _)| *name != "cache_control"));
    });
}

fn write_function(
    o: &mut Object<'_>,
    function: &FunctionTool,
    dialect: &Dialect,
    field: &dyn Fn(&str) -> String,
    writer: &mut BlockWriter<'_>,
) {
    let space = function.namespace.as_ref().map(|Namespace { name, .. }| name.as_str());
    o.value("name", &writer.name(space, &function.name, field));
    o.some("description", function.description.as_deref());
    let (parameters, flattened) = schema::parameters(function.parameters.as_ref());
    if flattened {
        writer.losses.push(Loss::new(field("parameters"), FORMAT, "alternatives at the top were merged"));
    }
    o.value("input_schema", &parameters);
    match function.strict {
        Some(true) if dialect.no_strict => {
            writer.losses.push(Loss::new(field("strict"), FORMAT, "is refused by this host"));
        }
        // `false` is the default, and older hosts refuse the field.
        Some(true) => o.value("strict", &true),
        _ => {}
    }
}

/// The description of a free-text tool, with the grammar that its text must follow.
pub(crate) fn custom_description(description: Option<&str>, format: Option<&Value>) -> Option<String> {
    let grammar = format.and_then(|format| {
        let definition = format.get("definition").or_else(|| format.get("grammar")?.get("definition"))?.as_str()?;
        Some(format!("The input must follow this grammar:\n{definition}"))
    });
    match (description, grammar) {
        (Some(description), Some(grammar)) => Some(format!("{description}\n\n{grammar}")),
        (description, grammar) => description.map(str::to_owned).or(grammar),
    }
}

fn choice(body: &mut Body, request: &ChatRequest, dialect: &Dialect, thinks: bool, writer: &mut BlockWriter<'_>) {
    let mut choice = Map::new();
    let mut put = |kind: &str| choice.insert("type".into(), kind.into());
    let field = |name: &str| format!("tool_choice.{name}");
    let forced = match &request.tool_choice {
        Some(ToolChoice::Required | ToolChoice::Tool { .. } | ToolChoice::Allowed { required: true, .. }) => true,
        Some(ToolChoice::Native { format, value }) if *format == FORMAT => {
            body.value("tool_choice", value);
            return;
        }
        _ => false,
    };
    match &request.tool_choice {
        _ if forced && thinks => {
            put("auto");
            writer.losses.push(Loss::new("tool_choice", FORMAT, "cannot be forced while thinking"));
        }
        None => {}
        Some(ToolChoice::None) => {
            put("none");
        }
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => {
            put("any");
        }
        Some(ToolChoice::Tool { name, .. }) => {
            put("tool");
            choice.insert("name".into(), writer.name(None, name, &field).into());
        }
        Some(ToolChoice::Auto | ToolChoice::Allowed { .. }) => {
            put("auto");
        }
        Some(ToolChoice::Native { .. }) => {
            writer.losses.push(Loss::new("tool_choice", FORMAT, "only its own format understands it"));
        }
    }
    parallel(&mut choice, request.parallel_tool_calls, dialect, writer.losses);
    if !choice.is_empty() {
        body.value("tool_choice", &choice);
    }
}

fn parallel(choice: &mut Map<String, Value>, wanted: Option<bool>, dialect: &Dialect, losses: &mut Vec<Loss>) {
    // Several calls a turn are the default, so `true` alone needs no choice.
    let said = wanted == Some(false) || (wanted == Some(true) && !choice.is_empty());
    if !said || choice.get("type").is_some_and(|kind| kind == "none") {
        return;
    }
    if dialect.no_parallel_tool_calls {
        losses.push(Loss::new("parallel_tool_calls", FORMAT, "is refused by this host"));
        return;
    }
    choice.entry("type").or_insert_with(|| "auto".into());
    choice.insert("disable_parallel_tool_use".into(), (wanted == Some(false)).into());
}
