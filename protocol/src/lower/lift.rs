//! Undoing changes of names in a stream.

use super::names::{NameMap, input_of};
use crate::ir::{Delta, PartHead, PartId, StreamEvent, ToolCallKind};

/// Arguments that are gathered beyond this are passed on as they are: a model that loops must not fill the memory.
const MAX_INPUT: usize = 16 * 1024 * 1024;

/// Undoes the changes of a [`NameMap`] in the events of one stream.
///
/// Arguments of a call that is free text for the caller arrive as JSON: they are gathered and told as one delta when the call is whole.
#[derive(Debug)]
pub struct Lifter {
    names: NameMap,
    gathering: Vec<(PartId, String)>,
}

impl Lifter {
    /// A lifter for one stream.
    pub fn new(names: NameMap) -> Self {
        Self { names, gathering: Vec::new() }
    }

    /// Takes an event of the target and appends what the caller is to see.
    pub fn lift(&mut self, event: StreamEvent, out: &mut Vec<StreamEvent>) {
        if self.names.is_identity() {
            out.push(event);
            return;
        }
        match event {
            StreamEvent::PartStart {
                id,
                choice,
                head: PartHead::ToolCall { id: call, name, namespace, kind },
                item_id,
            } => {
                let head = self.lift_head(id, call, name, namespace, kind);
                out.push(StreamEvent::PartStart { id, choice, head, item_id });
            }
            StreamEvent::PartDelta { id, delta: Delta::Arguments(more) } => {
                match self.gathering.iter_mut().find(|(part, _)| *part == id) {
                    Some((_, input)) if input.len() + more.len() <= MAX_INPUT => input.push_str(&more),
                    _ => out.push(StreamEvent::PartDelta { id, delta: Delta::Arguments(more) }),
                }
            }
            StreamEvent::PartEnd { id } => {
                if let Some(at) = self.gathering.iter().position(|(part, _)| *part == id) {
                    let (_, arguments) = self.gathering.swap_remove(at);
                    let input = input_of(&arguments);
                    if !input.is_empty() {
                        out.push(StreamEvent::PartDelta { id, delta: Delta::Arguments(input) });
                    }
                }
                out.push(StreamEvent::PartEnd { id });
            }
            other => out.push(other),
        }
    }

    fn lift_head(
        &mut self,
        part: PartId,
        id: String,
        name: String,
        namespace: Option<String>,
        kind: ToolCallKind,
    ) -> PartHead {
        let Some(tool) = self.names.original(&name) else {
            return PartHead::ToolCall { id, name, namespace, kind };
        };
        let turns_to_text = tool.kind == ToolCallKind::Custom && kind == ToolCallKind::Function;
        if turns_to_text {
            self.gathering.push((part, String::new()));
        }
        let kind = if turns_to_text { ToolCallKind::Custom } else { kind };
        let namespace = if tool.keeps_namespace() { namespace } else { tool.namespace.clone() };
        PartHead::ToolCall { id, name: tool.name.clone(), namespace, kind }
    }
}
