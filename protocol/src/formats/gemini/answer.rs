//! Events → the parts of candidates, for streams and whole answers alike.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::grounding::Grounding;
use super::write::{call_part, media_part, with_extras, with_signature};
use super::{finish, signature, usage};
use crate::ApiFormat;
use crate::ir::{
    Citation, Content, Delta, Extras, Finish, Loss, Opaque, PartHead, PartId, ReasoningPart, StreamEvent, ToolCall,
    Usage,
};

const GEMINI: ApiFormat = ApiFormat::Gemini;

/// What an answer has amounted to so far, beside the parts that went out.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Parts that are not whole yet.
    open: BTreeMap<PartId, Open>,
    choices: BTreeMap<u32, Choice>,
    /// `responseId` and extra fields of the envelope.
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) extras: Map<String, Value>,
    usage: Usage,
    pub(super) losses: Vec<Loss>,
}

#[derive(Debug, Default)]
struct Choice {
    /// Bytes of visible text that went out.
    visible: usize,
    wrote: bool,
    /// Thinking of another maker that the next call was led to by.
    thinking: Vec<ReasoningPart>,
    /// Citations were added since they were last told.
    cites: bool,
    finish: Option<Finish>,
    extras: Map<String, Value>,
    grounding: Grounding,
}

#[derive(Debug)]
struct Open {
    choice: u32,
    head: PartHead,
    /// Text of a visible part (for places of citations), arguments of a call.
    text: String,
    summary: Option<u32>,
    citations: Vec<Citation>,
    signature: Option<Opaque>,
    extras: Extras,
}

impl Answer {
    /// Takes one event; answers the part that goes out now, with its choice.
    pub(super) fn take(&mut self, event: &StreamEvent) -> Option<(u32, Value)> {
        match event {
            StreamEvent::Start { id, model, extras, .. } => {
                self.id.clone_from(id);
                self.model.clone_from(model);
                self.report_foreign(extras);
                self.extras = extras.for_format(GEMINI).cloned().unwrap_or_default();
                None
            }
            StreamEvent::PartStart { id, choice, head, .. } => {
                let open = Open {
                    choice: *choice,
                    head: head.clone(),
                    text: String::new(),
                    summary: None,
                    citations: Vec::new(),
                    signature: None,
                    extras: Extras::NONE,
                };
                self.open.insert(*id, open);
                self.choices.entry(*choice).or_default();
                None
            }
            StreamEvent::PartDelta { id, delta } => {
                let open = self.open.get_mut(id)?;
                let choice = open.choice;
                let part = open.grow(delta)?;
                Some(self.out(choice, part))
            }
            StreamEvent::PartEnd { id } => {
                let open = self.open.remove(id)?;
                let choice = open.choice;
                let part = self.end(open)?;
                Some(self.out(choice, part))
            }
            StreamEvent::Finish { choice, finish } => {
                self.choices.entry(*choice).or_default().finish = Some(finish.clone());
                None
            }
            StreamEvent::ChoiceExtras { choice, extras } => {
                self.report_foreign(extras);
                let own = extras.for_format(GEMINI).into_iter().flatten();
                for (name, value) in own {
                    // It belongs to the envelope, but it came after its start.
                    let place = if name == "promptFeedback" {
                        &mut self.extras
                    } else {
                        &mut self.choices.entry(*choice).or_default().extras
                    };
                    place.insert(name.clone(), value.clone());
                }
                None
            }
            StreamEvent::Usage(usage) => {
                self.usage.update(usage.clone());
                None
            }
            StreamEvent::Raw { .. } | StreamEvent::Error(_) | StreamEvent::End => None,
        }
    }

    /// Sources that became known with the text part that just ended: clients look for them beside the text.
    pub(super) fn fresh_grounding(&mut self) -> Option<(u32, Value)> {
        let (index, choice) = self.choices.iter_mut().find(|(_, choice)| choice.cites)?;
        choice.cites = false;
        Some((*index, choice.grounding.told()?))
    }

    /// `usageMetadata`, if anything is known.
    pub(super) fn usage(&self) -> Option<Value> {
        usage::write(&self.usage)
    }

    /// The fields of every candidate beside its parts, in order. Empty if the prompt was blocked.
    pub(super) fn candidates(&mut self) -> Vec<(u32, Map<String, Value>)> {
        let blocked = self.extras.get("promptFeedback").is_some_and(|feedback| feedback.get("blockReason").is_some());
        let choices = std::mem::take(&mut self.choices);
        let told = choices.into_iter().filter(|(_, choice)| choice.wrote || !blocked);
        told.map(|(index, choice)| (index, choice.fields())).collect()
    }

    fn out(&mut self, choice: u32, part: Value) -> (u32, Value) {
        let own = self.choices.entry(choice).or_default();
        own.wrote = true;
        if part.get("thought").is_none()
            && let Some(text) = part.get("text").and_then(Value::as_str)
        {
            own.visible += text.len();
        }
        (choice, part)
    }

    fn end(&mut self, open: Open) -> Option<Value> {
        self.report_foreign(&open.extras);
        let choice = self.choices.entry(open.choice).or_default();
        match open.head {
            PartHead::Text | PartHead::Refusal => {
                let base = choice.visible.saturating_sub(open.text.len());
                for citation in &open.citations {
                    choice.grounding.add(citation, &open.text, base);
                }
                choice.cites |= !open.citations.is_empty() && !choice.has_own_sources();
                None
            }
            PartHead::Reasoning => {
                let opaque = open.signature?;
                let thinking =
                    ReasoningPart { text: open.text.clone(), summary: Vec::new(), opaque: Some(opaque.clone()) };
                choice.thinking.push(thinking);
                // Gemini writes a signature that stands for itself on an empty text.
                let alone = open.text.is_empty() && opaque.format == GEMINI;
                let mut part = if alone { json!({"text": ""}) } else { json!({"text": "", "thought": true}) };
                with_signature(&mut part, signature::to_client(&opaque));
                Some(part)
            }
            PartHead::ToolCall { id, name, namespace, kind } => {
                let call = ToolCall { id, name, namespace, kind, arguments: open.text, signature: open.signature };
                let id = (!call.id.is_empty()).then_some(call.id.as_str());
                let (mut part, whole) = call_part(&call, id);
                let rider = signature::ride(&std::mem::take(&mut choice.thinking));
                if !whole {
                    let why = "no json object: wrapped into one";
                    self.losses.push(Loss::new("choices[].parts[].arguments", GEMINI, why));
                }
                let signed = call.signature.as_ref().map(signature::to_client).or(rider);
                if let Some(text) = signed {
                    with_signature(&mut part, text);
                }
                with_extras(&mut part, &open.extras);
                Some(part)
            }
            PartHead::Whole(content) => {
                let mut part = self.whole(*content)?;
                with_extras(&mut part, &open.extras);
                Some(part)
            }
        }
    }

    fn whole(&mut self, content: Content) -> Option<Value> {
        let field = "choices[].parts[]";
        match content {
            Content::Native(native) if native.format == GEMINI => Some(native.value),
            Content::Native(native) => {
                let why = format!("{} is known to {} alone", native.kind, native.format);
                self.losses.push(Loss::new(field, GEMINI, why));
                None
            }
            Content::Media(media) => match media_part(&media) {
                Ok((part, _)) => Some(part),
                Err(why) => {
                    self.losses.push(Loss::new(field, GEMINI, why));
                    None
                }
            },
            Content::Text(text) => Some(json!({"text": text.text})),
            Content::Refusal(text) => Some(json!({"text": text})),
            Content::Reasoning(reasoning) => {
                let mut part = json!({"text": reasoning.shown(), "thought": true});
                if let Some(opaque) = &reasoning.opaque {
                    with_signature(&mut part, signature::to_client(opaque));
                }
                Some(part)
            }
            Content::ToolCall(call) => {
                Some(call_part(&call, Some(&call.id).filter(|id| !id.is_empty()).map(|id| id.as_str())).0)
            }
            Content::ToolResult(_) => {
                self.losses.push(Loss::no_equivalent(field, GEMINI));
                None
            }
        }
    }

    fn report_foreign(&mut self, extras: &Extras) {
        for name in extras.foreign_to(GEMINI) {
            let loss = Loss::no_equivalent(format!("extras.{name}"), GEMINI);
            if !self.losses.contains(&loss) {
                self.losses.push(loss);
            }
        }
    }
}

impl Open {
    /// Takes more; answers what can go out at once.
    fn grow(&mut self, delta: &Delta) -> Option<Value> {
        match (&self.head, delta) {
            (PartHead::Text | PartHead::Refusal, Delta::Text(text)) => {
                self.text.push_str(text);
                (!text.is_empty()).then(|| json!({"text": text}))
            }
            (PartHead::Text, Delta::Citation(citation)) => {
                self.citations.push((**citation).clone());
                None
            }
            (PartHead::Reasoning, Delta::Text(text)) => {
                self.text.push_str(text);
                (!text.is_empty()).then(|| json!({"text": text, "thought": true}))
            }
            (PartHead::Reasoning, Delta::Summary { index, text }) => {
                // Summaries are paragraphs.
                let apart = self.summary.is_some_and(|last| last != *index) && !self.text.is_empty();
                self.summary = Some(*index);
                self.text.push_str(text);
                let text = if apart { format!("\n\n{text}") } else { text.clone() };
                (!text.is_empty()).then(|| json!({"text": text, "thought": true}))
            }
            (PartHead::ToolCall { .. }, Delta::Arguments(text)) => {
                self.text.push_str(text);
                None
            }
            (PartHead::Reasoning | PartHead::ToolCall { .. }, Delta::Opaque(opaque)) => {
                self.signature = Some(opaque.clone());
                None
            }
            (_, Delta::Extras(extras)) => {
                self.extras = extras.clone();
                None
            }
            _ => None,
        }
    }
}

impl Choice {
    /// A Gemini provider's own metadata came along.
    fn has_own_sources(&self) -> bool {
        self.extras.contains_key("groundingMetadata") || self.extras.contains_key("citationMetadata")
    }

    fn fields(self) -> Map<String, Value> {
        let mut fields = Map::new();
        if let Some(finish) = &self.finish {
            fields.insert("finishReason".to_owned(), finish::word(finish).into());
        }
        // A Gemini provider's own metadata says more than what was read out of it.
        if !self.has_own_sources()
            && let Some(grounding) = self.grounding.told()
        {
            fields.insert("groundingMetadata".to_owned(), grounding);
        }
        fields.extend(self.extras);
        fields
    }
}

/// A part with what else it holds; for answers that are written whole.
pub(super) fn join_signatures(parts: Vec<Value>) -> Vec<Value> {
    let mut joined: Vec<Value> = Vec::new();
    for part in parts {
        let signable = |part: &Value| {
            let free = part.get("thoughtSignature").is_none() && part.get("thought").is_none();
            let text = part.get("text").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
            free && (text || part.get("inlineData").is_some() || part.get("fileData").is_some())
        };
        match joined.last().and_then(signature_alone) {
            Some(text) if signable(&part) => {
                joined.pop();
                let mut part = part;
                with_signature(&mut part, text);
                joined.push(part);
            }
            _ => joined.push(part),
        }
    }
    joined
}

fn signature_alone(part: &Value) -> Option<String> {
    let empty = part.get("text").and_then(Value::as_str) == Some("") && part.get("thought").is_none();
    part.get("thoughtSignature").and_then(Value::as_str).filter(|_| empty).map(str::to_owned)
}
