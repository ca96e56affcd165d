//! Events → a client's stream.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::FORMAT;
use super::response::{echo, envelope, finish_word, lay, logprobs};
use crate::format::{ReplyContext, StreamEncoder};
use crate::formats::openai_chat::wire::{Object, one, put, write_data};
use crate::formats::openai_chat::{error, usage};
use crate::ir::{Content, Delta, Extras, Finish, Loss, PartHead, PartId, StreamEvent, Usage};

/// Writes one stream.
#[derive(Debug)]
pub(super) struct Encoder {
    context: ReplyContext,
    envelope: Object,
    echo: Option<String>,
    /// Choices that have the prompt in front already.
    echoed: HashSet<u32>,
    /// Parts that are text, and their choice.
    texts: HashMap<PartId, u32>,
    /// Fields that go out with the next text of a choice.
    beside: HashMap<u32, Extras>,
    usage: Option<Usage>,
    over: bool,
    losses: Vec<Loss>,
}

impl Encoder {
    pub(super) fn new(context: ReplyContext) -> Self {
        Self {
            context,
            envelope: Object::new(),
            echo: None,
            echoed: HashSet::new(),
            texts: HashMap::new(),
            beside: HashMap::new(),
            usage: None,
            over: false,
            losses: Vec::new(),
        }
    }

    fn start(&mut self, id: Option<&str>, created: Option<u64>, model: Option<&str>, extras: &Extras) {
        let mut fields = envelope(id, created, model, extras, &self.context);
        lay(extras, "response", &mut fields, &mut self.losses);
        self.envelope = fields;
        self.echo = echo(extras, &self.context);
    }

    fn envelope(&mut self) -> Object {
        if self.envelope.is_empty() {
            self.start(None, None, None, &Extras::NONE);
        }
        self.envelope.clone()
    }

    fn chunk(&mut self, choice: u32, text: &str, ended: Option<&Finish>, out: &mut Vec<u8>) {
        let mut chunk = self.envelope();
        let repeated = if self.echoed.insert(choice) { self.echo.as_deref().unwrap_or_default() } else { "" };
        let mut fields = one("text", format!("{repeated}{text}"));
        fields.insert("index".into(), choice.into());
        let beside = self.beside.remove(&choice).unwrap_or_default();
        fields.insert("logprobs".into(), logprobs(&beside).unwrap_or_default());
        let word = ended.map(|known| finish_word(&known.reason).to_owned());
        fields.insert("finish_reason".into(), word.into());
        put(&mut fields, "native_finish_reason", ended.and_then(|known| known.native.clone()));
        lay(&beside, &format!("choices[{choice}]"), &mut fields, &mut self.losses);
        chunk.insert("choices".into(), vec![Value::Object(fields)].into());
        if self.context.include_usage {
            chunk.insert("usage".into(), Value::Null);
        }
        write_data(&chunk, out);
    }

    fn begin(&mut self, id: PartId, choice: u32, head: &PartHead, out: &mut Vec<u8>) {
        match head {
            PartHead::Text | PartHead::Refusal => {
                self.texts.insert(id, choice);
            }
            PartHead::Whole(content) => match content.as_ref() {
                Content::Text(text) => self.chunk(choice, &text.text, None, out),
                _ => self.losses.push(Loss::no_equivalent(format!("choices[{choice}] part"), FORMAT)),
            },
            PartHead::Reasoning => {
                self.losses.push(Loss::no_equivalent(format!("choices[{choice}] reasoning"), FORMAT))
            }
            PartHead::ToolCall { .. } => {
                self.losses.push(Loss::no_equivalent(format!("choices[{choice}] tool call"), FORMAT));
            }
        }
    }

    fn usage(&mut self, out: &mut Vec<u8>) {
        if self.context.include_usage
            && let Some(counted) = self.usage.take()
        {
            let mut chunk = self.envelope();
            chunk.insert("choices".into(), Vec::<Value>::new().into());
            chunk.insert("usage".into(), usage::encode(&counted));
            write_data(&chunk, out);
        }
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            StreamEvent::Start { id, model, created, extras } => {
                self.start(id.as_deref(), *created, model.as_deref(), extras);
            }
            StreamEvent::PartStart { id, choice, head, .. } => self.begin(*id, *choice, head, out),
            StreamEvent::PartDelta { id, delta: Delta::Text(text) } => {
                if let Some(choice) = self.texts.get(id).copied() {
                    self.chunk(choice, text, None, out);
                }
            }
            StreamEvent::PartDelta { id, delta: Delta::Citation(_) } => {
                self.losses.push(Loss::no_equivalent(format!("part {id} citation"), FORMAT));
            }
            StreamEvent::PartDelta { .. } | StreamEvent::Raw { .. } => {}
            StreamEvent::PartEnd { id } => {
                self.texts.remove(id);
            }
            StreamEvent::Finish { choice, finish } => self.chunk(*choice, "", Some(finish), out),
            StreamEvent::ChoiceExtras { choice, extras } => {
                self.beside.insert(*choice, extras.clone());
            }
            StreamEvent::Usage(counted) => self.usage.get_or_insert_default().update(counted.clone()),
            StreamEvent::Error(failure) => {
                self.over = true;
                // What was used was used, whatever became of it.
                self.usage(out);
                write_data(&error::body(failure), out);
            }
            StreamEvent::End => {
                self.over = true;
                self.usage(out);
                out.extend_from_slice(b"data: [DONE]\n\n");
            }
        }
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": keep-alive\n\n");
    }

    fn losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }
}
