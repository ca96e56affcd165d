//! Items → parts: what stands in `input` of a request and in `output` of an answer, which share their kinds.
//!
//! An item of unknown kind or shape is kept whole as [`Content::Native`]; nothing is refused here.

use serde_json::{Value, json};

use super::carrier::{self, Carried};
use super::compact;
use super::content;
use super::ids;
use super::take::{self, FORMAT, Fields};
use crate::ir::{
    Content, Extras, Message, Native, Opaque, OpaqueKind, Part, ReasoningPart, Role, ToolCall, ToolCallKind, ToolResult,
};
use crate::opaque;

/// Extras of the first part of a message item: fields of the item that no rule knows.
pub(super) const ITEM: &str = "item_fields";
/// Note on the first part of a message item: its `phase` and, in history, its `status`.
pub(super) const ITEM_NOTE: &str = "@item";
/// Note on any other item in history: its `status`.
pub(super) const STATUS: &str = "@status";

/// Note on a tool's output: it named the tool, which only newer hosts understand.
pub(super) const NAMED: &str = "@named";

/// Items that stand on the caller's side of a conversation although they are no messages.
const CALLER_KINDS: [&str; 2] = ["mcp_approval_response", "compaction_trigger"];

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In `input`: what was there is written back as it was.
    History,
    /// In `output`: `status` follows from how the answer ended.
    Answer,
}

/// What an item turns out to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// A message of the caller's side or of the model.
    Message(Role, Vec<Part>),
    /// Anything else that the model said.
    Model(Part),
    /// What a tool said, or another item of the caller's side.
    Result(Part),
    /// Tools, declared inside the conversation: the list, and the item without it.
    Tools(Vec<Value>, Fields),
    /// The signature of a call elsewhere in the list.
    CallSignature(String, Opaque),
}

/// Reads one item.
pub(super) fn decode(value: Value, place: Place) -> Item {
    let Value::Object(fields) = value else { return native(String::new(), value) };
    let kind = fields.get("type").and_then(Value::as_str).map(str::to_owned);
    let kind =
        kind.unwrap_or_else(|| if fields.contains_key("role") { "message" } else { "item_reference" }.to_owned());
    let read = match kind.as_str() {
        "message" => message(fields, place),
        "reasoning" => reasoning(fields, place),
        "function_call" => call(fields, place, ToolCallKind::Function),
        "custom_tool_call" => call(fields, place, ToolCallKind::Custom),
        "function_call_output" => result(fields, place, ToolCallKind::Function),
        "custom_tool_call_output" => result(fields, place, ToolCallKind::Custom),
        "additional_tools" => tools(fields),
        "compaction" => compaction(fields),
        _ => Err(fields),
    };
    read.unwrap_or_else(|fields| native(kind, Value::Object(fields)))
}

fn native(kind: String, mut value: Value) -> Item {
    if let Some(fields) = value.as_object_mut()
        && fields.get("id").and_then(Value::as_str).is_some_and(ids::is_minted)
    {
        fields.shift_remove("id");
    }
    let caller = kind.ends_with("_output") || CALLER_KINDS.contains(&kind.as_str());
    let part = Part::new(Content::Native(Native { format: FORMAT, kind, value }));
    if caller { Item::Result(part) } else { Item::Model(part) }
}

/// Takes `type`, `id` and, in an answer, `status`; what is left becomes the extras.
fn shell(fields: &mut Fields, place: Place) -> Option<String> {
    fields.shift_remove("type");
    if let Some(status) = fields.shift_remove("status")
        && place == Place::History
    {
        fields.insert(STATUS.to_owned(), status);
    }
    let id = take::text(fields, "id");
    fields.shift_remove("id");
    ids::native(id)
}

fn message(mut fields: Fields, place: Place) -> Result<Item, Fields> {
    let role = match fields.get("role").and_then(Value::as_str) {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        Some("developer") => Role::Developer,
        _ => return Err(fields),
    };
    let mut parts = content::decode(fields.shift_remove("content").unwrap_or_default());
    let (item_id, note, rest) = message_shell(fields, place);
    for part in &mut parts {
        part.item_id.clone_from(&item_id);
    }
    if let Some(first) = parts.first_mut() {
        add_item_fields(&mut first.extras, note, rest);
    }
    Ok(Item::Message(role, parts))
}

/// Splits the fields of a message item beside its content into id, note and the rest.
pub(super) fn message_shell(mut fields: Fields, place: Place) -> (Option<String>, Fields, Fields) {
    for known in ["type", "role", "content"] {
        fields.shift_remove(known);
    }
    let item_id = take::text(&mut fields, "id");
    fields.shift_remove("id");
    let item_id = ids::native(item_id);
    let mut note = Fields::new();
    for name in ["status", "phase"] {
        match fields.shift_remove(name) {
            Some(value) if place == Place::History || name == "phase" => {
                note.insert(name.to_owned(), value);
            }
            _ => {}
        }
    }
    (item_id, note, fields)
}

/// Puts the fields of a message item on its first part.
pub(super) fn add_item_fields(extras: &mut Extras, note: Fields, rest: Fields) {
    for (name, fields) in [(ITEM_NOTE, note), (ITEM, rest)] {
        if !fields.is_empty() {
            extras.insert(FORMAT, name, Value::Object(fields));
        }
    }
}

fn reasoning(mut fields: Fields, place: Place) -> Result<Item, Fields> {
    let (Some(summary), Some(text)) = (texts(&fields, "summary"), texts(&fields, "content")) else {
        return Err(fields);
    };
    let blob = fields.get("encrypted_content").and_then(Value::as_str).filter(|blob| !blob.is_empty());
    let carried = blob.and_then(carrier::unwrap);
    match carried {
        Some(Carried::CallSignature { call_id, signature }) => return Ok(Item::CallSignature(call_id, signature)),
        Some(Carried::Native(native)) => return Ok(Item::Model(Part::new(Content::Native(native)))),
        None => {}
    }
    let opaque = blob.map(|blob| opaque::unwrap(blob, FORMAT, OpaqueKind::Encrypted));
    let made_here = fields.get("id").and_then(Value::as_str).is_some_and(ids::is_minted);
    let foreign = opaque.as_ref().map_or(made_here, |opaque| opaque.format != FORMAT);
    for name in ["summary", "content", "encrypted_content"] {
        fields.shift_remove(name);
    }
    let item_id = shell(&mut fields, place);
    let text = text.concat();
    // Thinking of other formats is shown to clients as a summary; its maker wants it back as it was.
    let reasoning = if foreign && text.is_empty() {
        ReasoningPart { text: summary.join("\n\n"), summary: Vec::new(), opaque }
    } else {
        ReasoningPart { text, summary, opaque }
    };
    let extras = Extras::new(FORMAT, fields);
    Ok(Item::Model(Part { item_id, extras, ..Part::new(Content::Reasoning(reasoning)) }))
}

/// The texts of a list of `{"type": …, "text": …}`; `None` if it is anything else.
fn texts(fields: &Fields, name: &str) -> Option<Vec<String>> {
    match fields.get(name) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(list)) => {
            list.iter().map(|entry| entry.get("text").and_then(Value::as_str).map(str::to_owned)).collect()
        }
        Some(_) => None,
    }
}

fn call(mut fields: Fields, place: Place, kind: ToolCallKind) -> Result<Item, Fields> {
    let body = if kind == ToolCallKind::Function { "arguments" } else { "input" };
    let Some(name) = fields.get("name").and_then(Value::as_str).map(str::to_owned) else { return Err(fields) };
    let id = take::text(&mut fields, "call_id").unwrap_or_default();
    let namespace = take::text(&mut fields, "namespace");
    let arguments = match fields.shift_remove(body) {
        Some(Value::String(text)) => text,
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    let arguments = if arguments.is_empty() && kind == ToolCallKind::Function { "{}".to_owned() } else { arguments };
    fields.shift_remove("name");
    let item_id = shell(&mut fields, place);
    let call = ToolCall { id, name, namespace, kind, arguments, signature: None };
    let extras = Extras::new(FORMAT, fields);
    Ok(Item::Model(Part { item_id, extras, ..Part::new(Content::ToolCall(call)) }))
}

fn result(mut fields: Fields, place: Place, kind: ToolCallKind) -> Result<Item, Fields> {
    let Some(call_id) = fields.get("call_id").and_then(Value::as_str).map(str::to_owned) else { return Err(fields) };
    fields.shift_remove("call_id");
    let name = take::text(&mut fields, "name");
    if name.is_some() {
        fields.insert(NAMED.to_owned(), Value::Bool(true));
    }
    let content = match fields.shift_remove("output") {
        Some(Value::String(text)) if text.is_empty() => Vec::new(),
        output => content::decode(output.unwrap_or_default()),
    };
    let item_id = shell(&mut fields, place);
    let result = ToolResult { call_id, name, kind, content, is_error: None };
    let extras = Extras::new(FORMAT, fields);
    Ok(Item::Result(Part { item_id, extras, ..Part::new(Content::ToolResult(result)) }))
}

fn tools(mut fields: Fields) -> Result<Item, Fields> {
    match fields.shift_remove("tools") {
        Some(Value::Array(list)) if !list.is_empty() => Ok(Item::Tools(list, fields)),
        Some(other) => {
            fields.insert("tools".to_owned(), other);
            Err(fields)
        }
        None => Err(fields),
    }
}

/// A compaction that the gateway made is text for any model; a provider's is for that provider alone.
fn compaction(fields: Fields) -> Result<Item, Fields> {
    match fields.get("encrypted_content").and_then(Value::as_str).and_then(compact::summary_of) {
        Some(summary) => Ok(Item::Message(Role::User, vec![Part::text(compact::introduce(summary))])),
        None => Err(fields),
    }
}

/// Puts signatures that travelled in items of their own back onto their calls.
pub(super) fn sign_calls<'a>(parts: impl Iterator<Item = &'a mut Part>, signatures: &mut Vec<(String, Opaque)>) {
    if signatures.is_empty() {
        return;
    }
    for part in parts {
        if let Content::ToolCall(call) = &mut part.content
            && let Some(place) = signatures.iter().position(|(call_id, _)| *call_id == call.id)
        {
            call.signature = Some(signatures.swap_remove(place).1);
        }
    }
}

/// Collects items into turns: what the model says in a row is one message, and so is what tools say in a row.
#[derive(Debug, Default)]
pub(super) struct Turns {
    messages: Vec<Message>,
    signatures: Vec<(String, Opaque)>,
}

impl Turns {
    /// Takes a message as it is.
    pub(super) fn push_message(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// Takes one item; tools are given back with the fields of their item.
    pub(super) fn push(&mut self, item: Item) -> Option<(Vec<Value>, Fields)> {
        match item {
            Item::Message(Role::Assistant, parts) => self.assistant(parts),
            Item::Message(role, parts) => self.messages.push(Message::new(role, parts)),
            Item::Model(part) => self.extend(Role::Assistant, vec![part]),
            Item::Result(part) => self.extend(Role::Tool, vec![part]),
            Item::Tools(list, fields) => return Some((list, fields)),
            Item::CallSignature(call_id, signature) => self.signatures.push((call_id, signature)),
        }
        None
    }

    /// Two messages without ids in a row stay two: nothing else would tell them apart.
    fn assistant(&mut self, parts: Vec<Part>) {
        if parts.is_empty() {
            return;
        }
        let bare_text = |part: &Part| part.item_id.is_none() && is_message_part(part);
        let last = self.messages.last().filter(|message| message.role == Role::Assistant);
        let blurred =
            last.and_then(|message| message.parts.last()).is_some_and(bare_text) && parts.first().is_none_or(bare_text);
        if blurred {
            self.messages.push(Message::new(Role::Assistant, parts));
        } else {
            self.extend(Role::Assistant, parts);
        }
    }

    fn extend(&mut self, role: Role, parts: Vec<Part>) {
        match self.messages.last_mut() {
            Some(message) if message.role == role => message.parts.extend(parts),
            _ => self.messages.push(Message::new(role, parts)),
        }
    }

    /// The conversation.
    pub(super) fn finish(mut self) -> Vec<Message> {
        sign_calls(self.messages.iter_mut().flat_map(|message| &mut message.parts), &mut self.signatures);
        self.messages
    }
}

/// Whether a part belongs inside a `message` item.
pub(super) fn is_message_part(part: &Part) -> bool {
    match &part.content {
        Content::Text(_) | Content::Refusal(_) | Content::Media(_) => true,
        Content::Native(native) => native.format == FORMAT && is_content_part(&part.extras),
        _ => false,
    }
}

/// Whether the part was noted as a content part of a message.
pub(super) fn is_content_part(extras: &Extras) -> bool {
    extras.for_format(FORMAT).is_some_and(|fields| fields.contains_key(content::PART))
}

/// Whether a part must begin a message item of its own because it carries the fields of one.
pub(super) fn begins_item(extras: &Extras) -> bool {
    extras.for_format(FORMAT).is_some_and(|fields| fields.contains_key(ITEM_NOTE) || fields.contains_key(ITEM))
}

/// Adds the fields of a message item that its first part kept.
pub(super) fn add_message_fields(item: &mut Fields, extras: &Extras) {
    let Some(fields) = extras.for_format(FORMAT) else { return };
    for kept in [ITEM_NOTE, ITEM].iter().filter_map(|name| fields.get(*name)?.as_object()) {
        for (name, value) in kept {
            item.insert(name.clone(), value.clone());
        }
    }
}

/// `[{"type": kind, "text": …}]`.
pub(super) fn text_list<'a>(kind: &str, texts: impl Iterator<Item = &'a str>) -> Value {
    Value::Array(texts.map(|text| json!({"type": kind, "text": text})).collect())
}
