//! Tools and the choice among them, toward a provider.
//!
//! `toolConfig` must be there whenever the history has calls or results. There is no choice `none`: tools are left out, unless the history has calls.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::blocks_out::BlockWriter;
use super::models_taken::is_claude;
use super::request_out::{Draft, Structured};
use super::{FORMAT, STRUCTURED_TOOL};
use crate::formats::anthropic_messages::schema;
use crate::formats::anthropic_messages::tools_out::custom_description;
use crate::formats::body::Body;
use crate::formats::turns::Turn;
use crate::ir::{Content, Loss, Tool, ToolChoice, ToolKind};
use crate::json::{List, Object};

/// Writes `toolConfig`, if there is anything to say.
pub(super) fn write(body: &mut Body, draft: &Draft<'_>, writer: &mut BlockWriter<'_>) {
    if let Structured::Tool(schema) = &draft.structured {
        let spec = json!({
            "name": STRUCTURED_TOOL,
            "description": "Give the answer.",
            "inputSchema": { "json": schema::parameters(Some(schema)).0 },
        });
        let choice = json!({ "tool": { "name": STRUCTURED_TOOL } });
        return body.value("toolConfig", &json!({ "tools": [{ "toolSpec": spec }], "toolChoice": choice }));
    }
    let history = draft.arranged.turns.iter().any(|turn| turn.has_calls() || turn.has_results());
    let none = draft.request.tool_choice == Some(ToolChoice::None);
    if none && !history {
        return;
    }
    let tools: Vec<(usize, &Tool)> = draft
        .request
        .tools
        .iter()
        .enumerate()
        .filter(|(index, tool)| carries(*index, tool, draft, writer.losses))
        .collect();
    let stand_ins = if tools.is_empty() && history { stand_ins(&draft.arranged.turns) } else { BTreeSet::new() };
    if tools.is_empty() && stand_ins.is_empty() {
        return;
    }
    let choice = if tools.is_empty() { None } else { choice(draft, writer) };
    body.object("toolConfig", |o| {
        o.list("tools", |list| {
            for (index, tool) in &tools {
                write_tool(list, tool, *index, draft, writer);
            }
            for name in &stand_ins {
                let name = writer.name(None, name, &|_| "tools".to_owned());
                list.value(&json!({ "toolSpec": { "name": name, "inputSchema": { "json": schema::empty() } } }));
            }
        });
        o.some("toolChoice", choice);
    });
}

fn carries(index: usize, tool: &Tool, draft: &Draft<'_>, losses: &mut Vec<Loss>) -> bool {
    let name = match &tool.kind {
        ToolKind::Native { format, kind, .. } if *format != FORMAT => {
            let why = format!("server tool {kind} belongs to another provider");
            losses.push(Loss::new(format!("tools[{index}]"), FORMAT, why));
            return false;
        }
        ToolKind::Native { .. } => return true,
        ToolKind::Function(function) => &function.name,
        ToolKind::Custom { name, .. } => name,
    };
    match &draft.request.tool_choice {
        Some(ToolChoice::Allowed { names, .. }) => names.contains(name),
        _ => true,
    }
}

/// The names that a conversation without tools mentions; one stands for results whose calls are gone.
fn stand_ins(turns: &[Turn<'_>]) -> BTreeSet<String> {
    let pieces = turns.iter().flat_map(|turn| &turn.pieces);
    let names: BTreeSet<String> = pieces
        .filter_map(|piece| match &piece.part.content {
            Content::ToolCall(call) => Some(call.name.clone()),
            _ => None,
        })
        .collect();
    if names.is_empty() { BTreeSet::from(["tool".to_owned()]) } else { names }
}

fn write_tool(list: &mut List<'_>, tool: &Tool, index: usize, draft: &Draft<'_>, writer: &mut BlockWriter<'_>) {
    let field = |name: &str| format!("tools[{index}].{name}");
    for name in tool.extras.foreign_to(FORMAT) {
        writer.losses.push(Loss::no_equivalent(field(&format!("extras.{name}")), FORMAT));
    }
    match &tool.kind {
        ToolKind::Native { value, .. } => list.value(value),
        kind => list.object(|o| {
            o.object("toolSpec", |o| {
                spec(o, kind, &field, draft, writer);
                o.fields(tool.extras.for_format(FORMAT).into_iter().flatten());
            });
        }),
    }
    writer.cache_point(list, tool.cache.as_ref(), &field);
}

fn spec(
    o: &mut Object<'_>,
    kind: &ToolKind,
    field: &dyn Fn(&str) -> String,
    draft: &Draft<'_>,
    writer: &mut BlockWriter<'_>,
) {
    match kind {
        ToolKind::Function(function) => {
            let space = function.namespace.as_ref().map(|namespace| namespace.name.as_str());
            o.value("name", &writer.name(space, &function.name, field));
            // Blank descriptions are refused.
            o.some("description", function.description.as_deref().filter(|text| !text.trim().is_empty()));
            let (parameters, merged) = schema::parameters(function.parameters.as_ref());
            if merged {
                writer.losses.push(Loss::new(field("parameters"), FORMAT, "alternatives at the top were merged"));
            }
            o.object("inputSchema", |o| o.value("json", &parameters));
            match function.strict {
                Some(true) if draft.dialect.no_strict => {
                    writer.losses.push(Loss::new(field("strict"), FORMAT, "is refused by this host"));
                }
                Some(true) => o.value("strict", &true),
                _ => {}
            }
        }
        ToolKind::Custom { name, description, format, namespace } => {
            let space = namespace.as_ref().map(|namespace| namespace.name.as_str());
            o.value("name", &writer.name(space, name, field));
            o.some("description", custom_description(description.as_deref(), format.as_ref()));
            o.object("inputSchema", |o| o.value("json", &schema::one_string()));
            writer.losses.push(Loss::new(field("kind"), FORMAT, "free text became one string argument"));
        }
        ToolKind::Native { .. } => {}
    }
}

fn choice(draft: &Draft<'_>, writer: &mut BlockWriter<'_>) -> Option<Value> {
    let wish = draft.request.tool_choice.as_ref()?;
    let forced =
        matches!(wish, ToolChoice::Required | ToolChoice::Tool { .. } | ToolChoice::Allowed { required: true, .. });
    if forced && draft.thinks() {
        writer.losses.push(Loss::new("tool_choice", FORMAT, "cannot be forced while thinking"));
        return (!says_it_itself(draft)).then(|| json!({ "auto": {} }));
    }
    if says_it_itself(draft) {
        return None;
    }
    match wish {
        ToolChoice::Auto | ToolChoice::Allowed { required: false, .. } => Some(json!({ "auto": {} })),
        ToolChoice::Required | ToolChoice::Allowed { required: true, .. } => Some(json!({ "any": {} })),
        ToolChoice::Tool { name, .. } => {
            let name = writer.name(None, name, &|name| format!("tool_choice.{name}"));
            Some(json!({ "tool": { "name": name } }))
        }
        ToolChoice::None => {
            writer.losses.push(Loss::new("tool_choice", FORMAT, "tools of the history cannot be forbidden"));
            None
        }
        ToolChoice::Native { format, value } if *format == FORMAT => Some(value.clone()),
        ToolChoice::Native { .. } => {
            writer.losses.push(Loss::new("tool_choice", FORMAT, "only its own format understands it"));
            None
        }
    }
}

/// Claude takes the choice with `disable_parallel_tool_use` among its own fields; then it must not stand in `toolConfig` too.
fn says_it_itself(draft: &Draft<'_>) -> bool {
    draft.request.parallel_tool_calls == Some(false)
        && !draft.dialect.no_parallel_tool_calls
        && is_claude(&draft.request.model)
        && !draft.request.tools.is_empty()
        && draft.request.tool_choice != Some(ToolChoice::None)
}

/// Adds Claude's own way to forbid several calls in one turn.
pub(super) fn one_at_a_time(fields: &mut Map<String, Value>, draft: &Draft<'_>, losses: &mut Vec<Loss>) {
    if draft.request.parallel_tool_calls != Some(false) || draft.request.tools.is_empty() {
        return;
    }
    if !says_it_itself(draft) {
        losses.push(Loss::no_equivalent("parallel_tool_calls", FORMAT));
        return;
    }
    let forced = !draft.thinks();
    let mut choice = match &draft.request.tool_choice {
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) if forced => json!({ "type": "any" }),
        Some(ToolChoice::Tool { name, .. }) if forced => json!({ "type": "tool", "name": name }),
        _ => json!({ "type": "auto" }),
    };
    if let Some(choice) = choice.as_object_mut() {
        choice.insert("disable_parallel_tool_use".into(), true.into());
    }
    fields.entry("tool_choice").or_insert(choice);
}
