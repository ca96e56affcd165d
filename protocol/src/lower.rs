//! Fitting a request to what a target can take, and lifting the answer back.
//!
//! Between the decoder of the client's format and the encoder of the target's: what no wire difference explains, but what the target knows at all.
//! - Tools: groups (namespaces) are flattened into unique names, free-text tools become functions with one string `input`, names are brought into the
//!   target's charset and length, tools that only another provider runs are left out. The [`NameMap`] undoes all of that in the answer.
//! - Blocks that only another format understands are told as text where their meaning would be lost, and left out elsewhere.
//! - Opaque reasoning of another format is stripped.
//! - Hosts that only copy a wire get its core ([`core_only`]).
//!
//! Nothing goes without a [`Loss`]. Knows no wire: limits are data (see `names.rs`), and encoders repeat none of this.

mod beyond;
mod lift;
mod names;
mod natives;

use crate::ir::{
    ChatRequest, Content, FunctionTool, Loss, Message, Opaque, Part, Tool, ToolCall, ToolCallKind, ToolChoice, ToolKind,
};
use crate::{ApiFormat, Dialect};

pub use beyond::core_only;
pub use lift::Lifter;
pub use names::NameMap;

use names::{Original, Rules};

/// A request that fits its target.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    /// The request.
    pub request: ChatRequest,
    /// What it could not keep.
    pub losses: Vec<Loss>,
    /// How to undo the changes of names in the answer.
    pub names: NameMap,
}

/// Fits `request` to a target that speaks `target` as `dialect` says.
pub fn lower(mut request: ChatRequest, target: ApiFormat, dialect: &Dialect) -> Lowered {
    let rules = Rules::of(target, dialect);
    let mut losses = Vec::new();
    let names = NameMap::make(&request, &rules);
    lower_tools(&mut request, target, &rules, &names, &mut losses);
    lower_choice(&mut request, target, &names, &mut losses);
    let mut index = 0..;
    request.messages.retain_mut(|message| {
        let index = index.next().unwrap_or(usize::MAX);
        lower_message(message, index, target, &rules, &names, &mut losses)
    });
    losses.extend(strip_opaque(&mut request, target, |opaque| opaque.format == target));
    Lowered { request, losses, names }
}

/// Strips the opaque reasoning and the call signatures that the target is not to see: those that `keep` refuses. Reasoning that holds nothing else is left
/// out; a message that held nothing else goes with it.
pub fn strip_opaque(request: &mut ChatRequest, target: ApiFormat, keep: impl Fn(&Opaque) -> bool) -> Vec<Loss> {
    let mut losses = Vec::new();
    let mut lose = |message: usize, part: usize, what: &str| {
        let field = format!("messages[{message}].parts[{part}].{what}");
        losses.push(Loss::new(field, target, "belongs to another provider"));
    };
    let mut message_index = 0..;
    request.messages.retain_mut(|message| {
        let message_index = message_index.next().unwrap_or(usize::MAX);
        let was_empty = message.parts.is_empty();
        let mut index = 0;
        message.parts.retain_mut(|part| {
            let at = index;
            index += 1;
            match &mut part.content {
                Content::Reasoning(reasoning) => {
                    if reasoning.opaque.take_if(|opaque| !keep(opaque)).is_none() {
                        return true;
                    }
                    lose(message_index, at, "opaque");
                    // A reasoning item without its seal is looked up where it was made, and found nowhere.
                    let readable = target != ApiFormat::OpenaiResponses;
                    readable && (!reasoning.text.is_empty() || reasoning.summary.iter().any(|text| !text.is_empty()))
                }
                Content::ToolCall(call) => {
                    if call.signature.take_if(|opaque| !keep(opaque)).is_some() {
                        lose(message_index, at, "signature");
                    }
                    true
                }
                _ => true,
            }
        });
        was_empty || !message.parts.is_empty()
    });
    losses
}

fn lower_tools(request: &mut ChatRequest, target: ApiFormat, rules: &Rules, names: &NameMap, losses: &mut Vec<Loss>) {
    let mut index = 0;
    request.tools.retain_mut(|tool| {
        let at = index;
        index += 1;
        match &mut tool.kind {
            ToolKind::Native { format, kind, .. } if *format != target => {
                let field = format!("tools[{at}] ({kind})");
                losses.push(Loss::new(field, target, "only its own provider runs this tool"));
                return false;
            }
            ToolKind::Native { .. } => {}
            ToolKind::Function(function) => {
                let group = function.namespace.as_ref().map(|group| group.name.as_str());
                function.name = names.wire_name(group, &function.name, ToolCallKind::Function).to_owned();
                if !rules.namespaces
                    && let Some(group) = function.namespace.take()
                {
                    describe_group(&mut function.description, group.description);
                }
            }
            ToolKind::Custom { .. } => lower_custom(tool, at, target, rules, names, losses),
        }
        true
    });
}

fn lower_custom(tool: &mut Tool, at: usize, target: ApiFormat, rules: &Rules, names: &NameMap, losses: &mut Vec<Loss>) {
    let ToolKind::Custom { name, description, format, namespace } = &mut tool.kind else { return };
    let group = namespace.as_ref().map(|group| group.name.as_str());
    *name = names.wire_name(group, name, ToolCallKind::Custom).to_owned();
    if !rules.namespaces
        && let Some(group) = namespace.take()
    {
        describe_group(description, group.description);
    }
    if rules.custom_tools {
        return;
    }
    let grammar = format.as_ref().and_then(|format| format.get("definition").or(format.pointer("/grammar/definition")));
    let grammar = grammar.and_then(serde_json::Value::as_str);
    if let Some(grammar) = grammar {
        losses.push(Loss::new(format!("tools[{at}].format"), target, "the grammar is described and not enforced"));
        let hint = format!("The input must follow this grammar:\n{grammar}");
        *description = Some(description.take().map_or(hint.clone(), |text| format!("{text}\n\n{hint}")));
    }
    let function = FunctionTool {
        name: std::mem::take(name),
        description: description.take(),
        parameters: Some(serde_json::json!({
            "type": "object",
            "properties": { "input": { "type": "string", "description": "The input of the tool, as plain text." } },
            "required": ["input"],
            "additionalProperties": false,
        })),
        strict: None,
        namespace: namespace.take(),
    };
    tool.kind = ToolKind::Function(function);
}

/// A tool that leaves its group takes the group's description along.
fn describe_group(description: &mut Option<String>, group: Option<String>) {
    let Some(group) = group.filter(|group| !group.trim().is_empty()) else { return };
    *description = Some(match description.take() {
        Some(own) if own.contains(group.trim()) => own,
        Some(own) => format!("{own}\n\n{group}"),
        None => group,
    });
}

fn lower_choice(request: &mut ChatRequest, target: ApiFormat, names: &NameMap, losses: &mut Vec<Loss>) {
    let lost = |losses: &mut Vec<Loss>| {
        losses.push(Loss::no_equivalent("tool_choice", target));
        None
    };
    request.tool_choice = match request.tool_choice.take() {
        Some(ToolChoice::Native { format, .. }) if format != target => lost(losses),
        // A tool that was left out cannot be demanded.
        Some(ToolChoice::Required | ToolChoice::Tool { .. } | ToolChoice::Allowed { .. })
            if request.tools.is_empty() =>
        {
            lost(losses)
        }
        Some(ToolChoice::Tool { name, kind }) => {
            Some(names.find(&name).map_or(ToolChoice::Tool { name, kind }, |entry| entry.choice()))
        }
        Some(ToolChoice::Allowed { names: allowed, required }) => {
            let wire = |name: String| names.find(&name).map_or(name, |entry| entry.wire.clone());
            Some(ToolChoice::Allowed { names: allowed.into_iter().map(wire).collect(), required })
        }
        other => other,
    };
}

/// `false`: nothing is left of the message.
fn lower_message(
    message: &mut Message,
    index: usize,
    target: ApiFormat,
    rules: &Rules,
    names: &NameMap,
    losses: &mut Vec<Loss>,
) -> bool {
    let parts = std::mem::take(&mut message.parts);
    let was_empty = parts.is_empty();
    for (at, mut part) in parts.into_iter().enumerate() {
        match &mut part.content {
            Content::Native(native) if native.format != target => {
                let field = format!("messages[{index}].parts[{at}] ({})", native.kind);
                let told = natives::told(native);
                let why = if told.is_some() { "told as text" } else { "only its own format understands it" };
                losses.push(Loss::new(field, target, why));
                message.parts.extend(told.map(|text| Part { cache: part.cache, ..Part::text(text) }));
                continue;
            }
            Content::ToolCall(call) => lower_call(call, rules, names),
            Content::ToolResult(result) => {
                if let Some(name) = &mut result.name
                    && let Some(entry) = names.find(name)
                {
                    name.clone_from(&entry.wire);
                }
                if !rules.custom_tools {
                    result.kind = ToolCallKind::Function;
                }
            }
            _ => {}
        }
        message.parts.push(part);
    }
    was_empty || !message.parts.is_empty()
}

fn lower_call(call: &mut ToolCall, rules: &Rules, names: &NameMap) {
    call.name = names.wire_name(call.namespace.as_deref(), &call.name, call.kind).to_owned();
    if !rules.namespaces {
        call.namespace = None;
    }
    if call.kind == ToolCallKind::Custom && !rules.custom_tools {
        call.kind = ToolCallKind::Function;
        call.arguments = serde_json::json!({ "input": call.arguments }).to_string();
    }
}

impl Original {
    fn choice(&self) -> ToolChoice {
        ToolChoice::Tool { name: self.wire.clone(), kind: self.wire_kind }
    }
}

#[cfg(test)]
#[path = "lower/tests.rs"]
mod tests;
