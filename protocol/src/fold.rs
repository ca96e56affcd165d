//! Events → answer, and answer → events. The only accumulator of the product.

use serde_json::Value;

use crate::ApiError;
use crate::ir::{
    ChatResponse, Choice, Content, Delta, Extras, Part, PartHead, PartId, ReasoningPart, StreamEvent, Text, ToolCall,
    Usage,
};

/// Providers number choices from 0 without gaps; a hostile index must not allocate without bound, so all beyond this one share its place.
const LAST_CHOICE: usize = 127;

/// Accumulates the events of one stream.
#[derive(Debug, Default)]
pub struct Fold {
    response: ChatResponse,
    /// Where each part lies, by its id: choice and position.
    places: Vec<(PartId, usize, usize)>,
    error: Option<ApiError>,
    ended: bool,
}

/// What a stream amounted to.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// The answer so far.
    pub response: ChatResponse,
    /// The failure that was reported in the stream.
    pub error: Option<ApiError>,
    /// The format's terminal was seen. Without it and without an error the stream was cut.
    pub complete: bool,
}

impl Fold {
    /// Takes one event.
    pub fn push(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Start { id, model, created, extras } => {
                self.response.id = id.or(self.response.id.take());
                self.response.model = model.or(self.response.model.take());
                self.response.created = created.or(self.response.created.take());
                if !extras.is_empty() {
                    self.response.extras = extras;
                }
            }
            StreamEvent::PartStart { id, choice, head, item_id } => {
                let choice_index = (choice as usize).min(LAST_CHOICE);
                let parts = &mut self.choice(choice).parts;
                parts.push(Part { item_id, ..Part::new(content_of(head)) });
                let position = parts.len() - 1;
                self.places.push((id, choice_index, position));
            }
            StreamEvent::PartDelta { id, delta } => {
                if let Some(part) = self.part(id) {
                    grow(part, delta);
                }
            }
            StreamEvent::PartEnd { id } => {
                if let Some(Part { content: Content::ToolCall(call), .. }) = self.part(id)
                    && call.arguments.is_empty()
                    && call.kind == crate::ir::ToolCallKind::Function
                {
                    call.arguments.push_str("{}");
                }
            }
            StreamEvent::Finish { choice, finish } => self.choice(choice).finish = Some(finish),
            StreamEvent::ChoiceExtras { choice, extras } => merge(&mut self.choice(choice).extras, extras),
            StreamEvent::Usage(usage) => self.response.usage.get_or_insert_default().update(usage),
            StreamEvent::Raw { .. } => {}
            StreamEvent::Error(error) => self.error = Some(error),
            StreamEvent::End => self.ended = true,
        }
    }

    /// The counters so far.
    pub fn usage(&self) -> Option<&Usage> {
        self.response.usage.as_ref()
    }

    /// The stream is over.
    pub fn finish(self) -> Folded {
        Folded { response: self.response, error: self.error, complete: self.ended }
    }

    fn choice(&mut self, index: u32) -> &mut Choice {
        let index = (index as usize).min(LAST_CHOICE);
        if self.response.choices.len() <= index {
            self.response.choices.resize_with(index + 1, Choice::default);
        }
        #[expect(clippy::indexing_slicing, reason = "resized to hold the index just above")]
        &mut self.response.choices[index]
    }

    fn part(&mut self, id: PartId) -> Option<&mut Part> {
        let (_, choice, position) = *self.places.iter().rev().find(|(known, _, _)| *known == id)?;
        self.response.choices.get_mut(choice)?.parts.get_mut(position)
    }
}

/// Folds a whole stream at once.
pub fn fold(events: impl IntoIterator<Item = StreamEvent>) -> Folded {
    let mut fold = Fold::default();
    events.into_iter().for_each(|event| fold.push(event));
    fold.finish()
}

/// The stream that amounts to `response`: for clients that asked for a stream when the provider answered at once, and for replays.
pub fn unfold(response: ChatResponse) -> Vec<StreamEvent> {
    let ChatResponse { id, model, created, choices, usage, extras } = response;
    let mut events = vec![StreamEvent::Start { id, model, created, extras }];
    let mut next: PartId = 0;
    for (index, choice) in choices.into_iter().enumerate() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        for part in choice.parts {
            unfold_part(part, next, index, &mut events);
            next += 1;
        }
        if !choice.extras.is_empty() {
            events.push(StreamEvent::ChoiceExtras { choice: index, extras: choice.extras });
        }
        if let Some(finish) = choice.finish {
            events.push(StreamEvent::Finish { choice: index, finish });
        }
    }
    events.extend(usage.map(StreamEvent::Usage));
    events.push(StreamEvent::End);
    events
}

fn unfold_part(part: Part, id: PartId, choice: u32, events: &mut Vec<StreamEvent>) {
    let Part { content, cache: _, item_id, extras } = part;
    let mut deltas = Vec::new();
    let head = match content {
        Content::Text(Text { text, citations }) => {
            deltas.push(Delta::Text(text));
            deltas.extend(citations.into_iter().map(|citation| Delta::Citation(Box::new(citation))));
            PartHead::Text
        }
        Content::Refusal(text) => {
            deltas.push(Delta::Text(text));
            PartHead::Refusal
        }
        Content::Reasoning(ReasoningPart { text, summary, opaque }) => {
            if !text.is_empty() {
                deltas.push(Delta::Text(text));
            }
            deltas.extend((0u32..).zip(summary).map(|(index, text)| Delta::Summary { index, text }));
            deltas.extend(opaque.map(Delta::Opaque));
            PartHead::Reasoning
        }
        Content::ToolCall(ToolCall { id, name, namespace, kind, arguments, signature }) => {
            // First, because some encoders must place it before the call.
            deltas.extend(signature.map(Delta::Opaque));
            deltas.push(Delta::Arguments(arguments));
            PartHead::ToolCall { id, name, namespace, kind }
        }
        whole => PartHead::Whole(Box::new(whole)),
    };
    if !extras.is_empty() {
        // First likewise: fields of a format's own item around the part are written when that begins.
        deltas.insert(0, Delta::Extras(extras));
    }
    events.push(StreamEvent::PartStart { id, choice, head, item_id });
    events.extend(deltas.into_iter().map(|delta| StreamEvent::PartDelta { id, delta }));
    events.push(StreamEvent::PartEnd { id });
}

fn content_of(head: PartHead) -> Content {
    match head {
        PartHead::Text => Content::Text(Text::default()),
        PartHead::Refusal => Content::Refusal(String::new()),
        PartHead::Reasoning => Content::Reasoning(ReasoningPart::default()),
        PartHead::ToolCall { id, name, namespace, kind } => {
            Content::ToolCall(ToolCall { id, name, namespace, kind, arguments: String::new(), signature: None })
        }
        PartHead::Whole(content) => *content,
    }
}

fn grow(part: &mut Part, delta: Delta) {
    match (&mut part.content, delta) {
        (Content::Text(text), Delta::Text(more)) => text.text.push_str(&more),
        (Content::Text(text), Delta::Citation(citation)) => text.citations.push(*citation),
        (Content::Refusal(text), Delta::Text(more)) => text.push_str(&more),
        (Content::Reasoning(reasoning), Delta::Text(more)) => reasoning.text.push_str(&more),
        (Content::Reasoning(reasoning), Delta::Summary { index, text }) => {
            let index = (index as usize).min(255);
            if reasoning.summary.len() <= index {
                reasoning.summary.resize_with(index + 1, String::new);
            }
            if let Some(summary) = reasoning.summary.get_mut(index) {
                summary.push_str(&text);
            }
        }
        (Content::Reasoning(reasoning), Delta::Opaque(opaque)) => reasoning.opaque = Some(opaque),
        (Content::ToolCall(call), Delta::Arguments(more)) => call.arguments.push_str(&more),
        (Content::ToolCall(call), Delta::Opaque(opaque)) => call.signature = Some(opaque),
        (_, Delta::Extras(extras)) => merge(&mut part.extras, extras),
        (_, Delta::ItemId(id)) => part.item_id = Some(id),
        // A delta of another kind of part breaks the grammar: `laws` reports it, folding ignores it.
        _ => {}
    }
}

/// Later fields replace earlier ones of the same name, as a client that merges chunks would see it; only log probabilities come token by token
/// and are lined up.
fn merge(extras: &mut Extras, more: Extras) {
    let Some(format) = more.origin() else { return };
    for (name, value) in more.for_format(format).into_iter().flatten() {
        let known = extras.for_format(format).and_then(|fields| fields.get(name));
        let value = match known {
            Some(known) if name == "logprobs" => lined_up(known.clone(), value),
            _ => value.clone(),
        };
        extras.insert(format, name.clone(), value);
    }
}

/// The lists of `more` behind those of `known`.
fn lined_up(mut known: Value, more: &Value) -> Value {
    let (Some(fields), Some(more)) = (known.as_object_mut(), more.as_object()) else { return more.clone() };
    for (name, value) in more {
        match (fields.get_mut(name), value) {
            (Some(Value::Array(list)), Value::Array(tail)) => list.extend(tail.iter().cloned()),
            (Some(_), Value::Null) => {}
            _ => {
                fields.insert(name.clone(), value.clone());
            }
        }
    }
    known
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
