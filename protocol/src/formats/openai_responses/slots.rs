//! Output items while they are written: one slot an `output_index`.

use serde_json::{Value, json};

use super::content::fields_of;
use super::take::Fields;
use super::writer::Address;

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotKind {
    /// `message`.
    Message,
    /// `reasoning`.
    Reasoning,
    /// `function_call`.
    Function,
    /// `custom_tool_call`.
    Custom,
    /// `image_generation_call`, made from an image of another format.
    Image,
    /// A tool's output inside an answer.
    Output,
    /// Any other item of this format.
    Native,
}

impl SlotKind {
    /// How ids of such items begin.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            SlotKind::Message => "msg",
            SlotKind::Reasoning => "rs",
            SlotKind::Function => "fc",
            SlotKind::Custom => "ctc",
            SlotKind::Image => "ig",
            SlotKind::Output => "fco",
            SlotKind::Native => "item",
        }
    }
}

/// One output item.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) kind: SlotKind,
    /// The id that is shown.
    pub(super) id: String,
    /// The provider's id of the item, if it has one: parts with the same one belong here.
    own_id: Option<String>,
    /// Content parts of a message, by `content_index`.
    contents: Vec<Value>,
    /// How many of them have not ended.
    pub(super) open_contents: usize,
    /// Fields of the item beside `id`, `type`, `status` and `content`.
    pub(super) fields: Fields,
    /// A native item of which only the beginning was told: its type and the provider's `output_index`.
    pub(super) announced: Option<(String, Option<u64>)>,
    /// The item as it was closed.
    pub(super) done: Option<Value>,
}

impl Slot {
    /// An item begins.
    pub(super) fn new(kind: SlotKind, id: String, own_id: Option<String>) -> Self {
        Self {
            kind,
            id,
            own_id,
            contents: Vec::new(),
            open_contents: 0,
            fields: Fields::new(),
            announced: None,
            done: None,
        }
    }

    /// Whether a text of the provider's item `own` belongs into this message.
    pub(super) fn takes_content_of(&self, own: Option<&String>) -> bool {
        self.kind == SlotKind::Message && self.done.is_none() && self.own_id.as_ref() == own
    }

    /// Makes room for one more content part.
    pub(super) fn reserve_content(&mut self) -> usize {
        self.contents.push(Value::Null);
        self.open_contents += 1;
        self.contents.len() - 1
    }

    /// A content part has ended.
    pub(super) fn set_content(&mut self, index: usize, value: Value) {
        if let Some(content) = self.contents.get_mut(index) {
            *content = value;
            self.open_contents = self.open_contents.saturating_sub(1);
        }
    }

    /// The address of the item itself.
    pub(super) fn address(&self, index: usize) -> Address<'_> {
        Address { item_id: &self.id, output_index: index, inner: None }
    }

    /// The address of a content part.
    pub(super) fn content_address(&self, index: usize, inner: usize) -> Address<'_> {
        Address { item_id: &self.id, output_index: index, inner: Some(("content_index", inner)) }
    }

    /// The address of a summary part.
    pub(super) fn summary_address(&self, index: usize, inner: usize) -> Address<'_> {
        Address { item_id: &self.id, output_index: index, inner: Some(("summary_index", inner)) }
    }

    /// The whole item.
    pub(super) fn finish(&mut self, status: &str) -> Fields {
        let kept = std::mem::take(&mut self.fields);
        let mut item = match self.kind {
            SlotKind::Message => fields_of(json!({
                "id": self.id, "type": "message", "status": status,
                "content": std::mem::take(&mut self.contents), "role": "assistant",
            })),
            // Reasoning tells its status only when it was cut, as its inventor has it.
            SlotKind::Reasoning if status == "completed" => fields_of(json!({"id": self.id, "type": "reasoning"})),
            SlotKind::Reasoning => fields_of(json!({"id": self.id, "type": "reasoning", "status": status})),
            SlotKind::Function => fields_of(json!({"id": self.id, "type": "function_call", "status": status})),
            SlotKind::Custom => fields_of(json!({"id": self.id, "type": "custom_tool_call", "status": status})),
            SlotKind::Image | SlotKind::Output | SlotKind::Native => {
                let kind = self.announced.as_ref().map_or("item", |(kind, _)| kind.as_str());
                fields_of(json!({"id": self.id, "type": kind, "status": status}))
            }
        };
        item.extend(kept);
        item
    }

    /// Whether only the beginning of a native item of this type was told.
    pub(super) fn awaits(&self, kind: &str) -> bool {
        self.done.is_none() && self.announced.as_ref().is_some_and(|(known, _)| known == kind)
    }

    /// Whether the provider calls this item number `theirs`.
    pub(super) fn is_theirs(&self, theirs: u64) -> bool {
        self.announced.as_ref().is_some_and(|(_, own)| *own == Some(theirs))
    }
}
