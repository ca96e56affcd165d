//! Names of tools: what a target takes, and the map between what the caller said and what the target sees.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::ir::{ChatRequest, ChatResponse, Content, ToolCall, ToolCallKind, ToolKind};
use crate::{ApiFormat, Dialect};

/// What a target takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Characters beside letters, digits, `_` and `-`; `None`: any character at all.
    marks: Option<&'static str>,
    longest: usize,
    /// The first character may be a digit or a mark.
    any_first: bool,
    pub(super) namespaces: bool,
    pub(super) custom_tools: bool,
}

/// One row a format: characters beside letters, digits, `_` and `-`; longest name; may begin with a digit.
const NAME_RULES: [(ApiFormat, Option<&str>, usize, bool); 5] = [
    (ApiFormat::OpenaiChat, Some(""), 64, true),
    (ApiFormat::OpenaiResponses, Some(""), 64, true),
    (ApiFormat::AnthropicMessages, Some(""), 128, true),
    (ApiFormat::Gemini, Some(".:"), 64, false),
    (ApiFormat::BedrockConverse, Some(""), 64, true),
];

impl Rules {
    pub(super) fn of(target: ApiFormat, dialect: &Dialect) -> Self {
        let row = NAME_RULES.iter().find(|(format, ..)| *format == target);
        let (marks, longest, any_first) = row.map_or((None, 256, true), |row| (row.1, row.2, row.3));
        let free_text = matches!(target, ApiFormat::OpenaiChat | ApiFormat::OpenaiResponses);
        Self {
            marks,
            longest,
            any_first,
            namespaces: target == ApiFormat::OpenaiResponses && !dialect.no_custom_tools,
            custom_tools: free_text && !dialect.no_custom_tools,
        }
    }

    fn takes(&self, character: char) -> bool {
        self.marks.is_none_or(|marks| {
            character.is_ascii_alphanumeric() || matches!(character, '_' | '-') || marks.contains(character)
        })
    }

    /// The name in the target's charset and length.
    fn fit(&self, name: &str) -> String {
        let mut fit: String = name.chars().map(|c| if self.takes(c) { c } else { '_' }).collect();
        if fit.is_empty()
            || !self.any_first && !fit.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        {
            fit.insert(0, '_');
        }
        if fit.len() > self.longest { self.marked(&fit, name) } else { fit }
    }

    /// The name with a hash of `whole` at its end, which tells it from others that look alike.
    fn marked(&self, fit: &str, whole: &str) -> String {
        let hash = Sha256::digest(whole.as_bytes());
        let digits: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let room = self.longest.saturating_sub(digits.len() + 1);
        let head: String = fit
            .chars()
            .scan(0, |length, c| {
                *length += c.len_utf8();
                (*length <= room).then_some(c)
            })
            .collect();
        format!("{head}_{digits}")
    }
}

/// One tool as the caller named it, and as the target sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Original {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) kind: ToolCallKind,
    /// The name that the target sees.
    pub(super) wire: String,
    /// The kind that the target sees.
    pub(super) wire_kind: ToolCallKind,
    /// The target sees the namespace.
    keeps_namespace: bool,
}

impl Original {
    fn is_unchanged(&self) -> bool {
        self.name == self.wire && self.kind == self.wire_kind && (self.namespace.is_none() || self.keeps_namespace)
    }

    /// The target sees the group itself.
    pub(super) fn keeps_namespace(&self) -> bool {
        self.keeps_namespace
    }

    /// The name with its group, which tells it from all others.
    fn whole(&self) -> String {
        match &self.namespace {
            Some(group) if !self.keeps_namespace => format!("{group}__{}", self.name),
            _ => self.name.clone(),
        }
    }
}

/// How the names in a request were changed, to be undone in its answer. The same tools get the same names in every turn of a conversation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NameMap {
    tools: Vec<Original>,
    changed: bool,
}

impl NameMap {
    /// Names for every tool that is declared in the request or called in its history.
    pub(super) fn make(request: &ChatRequest, rules: &Rules) -> Self {
        let mut tools: Vec<Original> = Vec::new();
        let mut known: HashSet<(Option<String>, String)> = HashSet::new();
        let mut add = |namespace: Option<&str>, name: &str, kind: ToolCallKind| {
            if known.insert((namespace.map(str::to_owned), name.to_owned())) {
                tools.push(Original {
                    name: name.to_owned(),
                    namespace: namespace.map(str::to_owned),
                    kind,
                    wire: String::new(),
                    wire_kind: if rules.custom_tools { kind } else { ToolCallKind::Function },
                    keeps_namespace: rules.namespaces,
                });
            }
        };
        for tool in &request.tools {
            let group = |namespace: &Option<crate::ir::Namespace>| namespace.as_ref().map(|group| group.name.clone());
            match &tool.kind {
                ToolKind::Function(function) => {
                    add(group(&function.namespace).as_deref(), &function.name, ToolCallKind::Function);
                }
                ToolKind::Custom { name, namespace, .. } => {
                    add(group(namespace).as_deref(), name, ToolCallKind::Custom);
                }
                ToolKind::Native { .. } => {}
            }
        }
        for part in request.messages.iter().flat_map(|message| &message.parts) {
            if let Content::ToolCall(call) = &part.content {
                add(call.namespace.as_deref(), &call.name, call.kind);
            }
        }
        name_all(&mut tools, rules);
        let changed = tools.iter().any(|tool| !tool.is_unchanged());
        Self { tools, changed }
    }

    /// Nothing was changed: the answer need not be lifted.
    pub fn is_identity(&self) -> bool {
        !self.changed
    }

    /// What the target calls a tool of the request.
    pub(super) fn wire_name<'a>(&'a self, namespace: Option<&str>, name: &'a str, kind: ToolCallKind) -> &'a str {
        let same_name = || self.tools.iter().filter(|tool| tool.name == name && tool.namespace.as_deref() == namespace);
        let tool = same_name().find(|tool| tool.kind == kind).or_else(|| same_name().next());
        tool.map_or(name, |tool| tool.wire.as_str())
    }

    /// The tool that the caller calls `name`, without telling its group.
    pub(super) fn find(&self, name: &str) -> Option<&Original> {
        let plain = self.tools.iter().find(|tool| tool.name == name && tool.namespace.is_none());
        plain.or_else(|| self.tools.iter().find(|tool| tool.name == name))
    }

    /// The tool that a model means by `name`: what the target calls it, or the bare name if only one tool has it (models leave groups out).
    pub(super) fn original(&self, name: &str) -> Option<&Original> {
        if let Some(tool) = self.tools.iter().find(|tool| tool.wire == name) {
            return Some(tool);
        }
        let mut bare = self.tools.iter().filter(|tool| tool.name == name);
        bare.next().filter(|_| bare.next().is_none())
    }

    /// Undoes the changes in a whole answer.
    pub fn lift_response(&self, response: &mut ChatResponse) {
        if self.is_identity() {
            return;
        }
        let parts = response.choices.iter_mut().flat_map(|choice| &mut choice.parts);
        for part in parts {
            if let Content::ToolCall(call) = &mut part.content {
                self.lift_call(call);
            }
        }
    }

    fn lift_call(&self, call: &mut ToolCall) {
        let Some(tool) = self.original(&call.name) else { return };
        call.name.clone_from(&tool.name);
        if !tool.keeps_namespace {
            call.namespace.clone_from(&tool.namespace);
        }
        if tool.kind == ToolCallKind::Custom && call.kind == ToolCallKind::Function {
            call.kind = ToolCallKind::Custom;
            call.arguments = input_of(&call.arguments);
        }
    }
}

/// Names all tools, those first that can stay as they are, so that a name which fits is never taken by one that had to be changed.
fn name_all(tools: &mut [Original], rules: &Rules) {
    let mut taken: HashSet<(Option<String>, String)> = HashSet::new();
    let scope = |tool: &Original| tool.namespace.clone().filter(|_| tool.keeps_namespace);
    for pass in [true, false] {
        for tool in tools.iter_mut() {
            let whole = tool.whole();
            let fit = rules.fit(&whole);
            let stays = fit == tool.name;
            if stays != pass {
                continue;
            }
            let free = taken.insert((scope(tool), fit.clone()));
            tool.wire = if free { fit } else { rules.marked(&fit, &format!("{:?}/{}", tool.namespace, tool.name)) };
            if !free {
                taken.insert((scope(tool), tool.wire.clone()));
            }
        }
    }
}

/// The free text that a function call carries in `input`; arguments that are something else are the text themselves.
pub(super) fn input_of(arguments: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Arguments {
        input: String,
    }
    match serde_json::from_str::<Arguments>(arguments) {
        Ok(Arguments { input }) => input,
        Err(_) if arguments.trim() == "{}" => String::new(),
        Err(_) => serde_json::from_str::<String>(arguments).unwrap_or_else(|_| arguments.to_owned()),
    }
}
