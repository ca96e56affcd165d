//! Streams of providers → events. A whole answer is a stream of one chunk, so this reads both.
//!
//! The end of the body is the terminal, and it counts only if every candidate told how it finished (or the prompt was blocked). The finish of a
//! candidate is held back until then: hosts have sent `finishReason` with chunks that were not the last.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::grounding::{Support, citations_of, read_citations, read_grounding};
use super::partial_args::PartialArgs;
use super::wire::{Body, Call, WirePart, read_part};
use super::{error, finish, signature, usage};
use crate::format::StreamDecoder;
use crate::formats::fields::{Fields, Path};
use crate::formats::timestamp;
use crate::framing::Frame;
use crate::ir::{
    Content, Delta, Extras, Finish, FinishReason, Opaque, Part, PartHead, PartId, StreamEvent, ToolCallKind, Usage,
};
use crate::{ApiFormat, DecodeError, Dialect};

const GEMINI: ApiFormat = ApiFormat::Gemini;

/// No host answers more often than this; a hostile index must not pass for one.
const MOST_CANDIDATES: u64 = 128;

/// Reads one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    dialect: Dialect,
    started: bool,
    over: bool,
    model: String,
    /// The last `usageMetadata`, which most chunks repeat.
    usage: Option<Value>,
    next: PartId,
    candidates: BTreeMap<u32, Candidate>,
}

#[derive(Debug, Default)]
struct Candidate {
    open: Option<Open>,
    /// Visible text of the open part, and how many bytes of it came before.
    text: String,
    before: u64,
    supports: Vec<Support>,
    calls: usize,
    finish: Option<Finish>,
}

#[derive(Debug)]
struct Open {
    id: PartId,
    kind: OpenKind,
}

#[derive(Debug)]
enum OpenKind {
    Text,
    Reasoning,
    Call(PartialArgs),
}

impl StreamDecoder for Decoder {
    fn feed(&mut self, frame: &Frame<'_>, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        let data = frame.data.trim_ascii();
        if self.over || data.is_empty() || data == b"[DONE]" {
            return Ok(());
        }
        let value: Value = serde_json::from_slice(data).map_err(|error| DecodeError::json(GEMINI, &error))?;
        match value {
            // Without `alt=sse` the whole stream is one list.
            Value::Array(list) => list.into_iter().try_for_each(|value| self.chunk(value, out)),
            value => self.chunk(value, out),
        }
    }

    fn finish(&mut self, out: &mut Vec<StreamEvent>) {
        let finished = !self.candidates.is_empty() && self.candidates.values().all(|one| one.finish.is_some());
        if self.over || !finished {
            return;
        }
        self.settle(out);
        out.push(StreamEvent::End);
        self.over = true;
    }
}

impl Decoder {
    /// A reader for one host.
    pub(super) fn new(dialect: &Dialect) -> Self {
        Self { dialect: dialect.for_answers(), ..Self::default() }
    }

    /// Ends what is open and tells how candidates finished, as far as they did.
    pub(super) fn settle(&mut self, out: &mut Vec<StreamEvent>) {
        for (index, candidate) in &mut self.candidates {
            candidate.close(out);
            let Some(mut finish) = candidate.finish.take() else { continue };
            if finish.reason == FinishReason::Stop && candidate.calls > 0 {
                finish.reason = FinishReason::ToolCalls;
            }
            out.push(StreamEvent::Finish { choice: *index, finish });
        }
    }

    fn chunk(&mut self, value: Value, out: &mut Vec<StreamEvent>) -> Result<(), DecodeError> {
        if self.over {
            return Ok(());
        }
        let mut fields = Fields::of(value, GEMINI, &Path::Root)?;
        if let Some(failure) = fields.take("error") {
            out.push(StreamEvent::Error(error::read(None, &failure)));
            self.over = true;
            return Ok(());
        }
        let feedback = fields.take("promptFeedback");
        let raw_usage = fields.take("usageMetadata");
        let candidates = fields.list("candidates")?.unwrap_or_default();
        let block = feedback.as_ref().and_then(|feedback| feedback.get("blockReason")).and_then(finish::read_block);
        self.start(fields, feedback, out)?;
        if let Some(raw) = raw_usage.filter(|raw| self.usage.as_ref() != Some(raw)) {
            out.push(StreamEvent::Usage(usage::read(&raw, &self.dialect)));
            self.usage = Some(raw);
        }
        if let Some(block) = block.filter(|_| candidates.is_empty()) {
            self.candidates.entry(0).or_default().finish.get_or_insert(block);
        }
        let list = Path::Key(&Path::Root, "candidates");
        for (place, value) in candidates.into_iter().enumerate() {
            let path = Path::Index(&list, place);
            self.candidate(Fields::of(value, GEMINI, &path)?, place, &path, out)?;
        }
        Ok(())
    }

    fn start(
        &mut self,
        mut fields: Fields<'_>,
        feedback: Option<Value>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), DecodeError> {
        let id = fields.text("responseId")?;
        let model = fields.text("modelVersion")?;
        if self.started {
            if let Some(feedback) = feedback {
                let extras = Extras::new(GEMINI, Map::from_iter([("promptFeedback".to_owned(), feedback)]));
                out.push(StreamEvent::ChoiceExtras { choice: 0, extras });
            }
            return Ok(());
        }
        self.started = true;
        self.model = model.clone().unwrap_or_default();
        if let Some(feedback) = feedback {
            fields.put_back("promptFeedback", feedback);
        }
        let rest = fields.rest();
        let created = rest.get("createTime").and_then(Value::as_str).and_then(timestamp::parse);
        out.push(StreamEvent::Start { id, model, created, extras: Extras::new(GEMINI, rest) });
        Ok(())
    }

    fn candidate(
        &mut self,
        mut fields: Fields<'_>,
        place: usize,
        path: &Path<'_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), DecodeError> {
        let index = fields.count("index")?.unwrap_or(place as u64);
        if index >= MOST_CANDIDATES {
            return Err(fields.error("index", "is no candidate"));
        }
        let choice = u32::try_from(index).unwrap_or(0);
        let reason = fields.take("finishReason").as_ref().and_then(finish::read);
        let content = fields.object("content")?;
        let rest = fields.rest();
        let candidate = self.candidates.entry(choice).or_default();
        if let Some(grounding) = rest.get("groundingMetadata") {
            candidate.support(read_grounding(grounding));
            if let Some(searches) = usage::searches(grounding, &self.model) {
                out.push(StreamEvent::Usage(Usage { web_searches: Some(searches), ..Usage::default() }));
            }
        }
        if let Some(metadata) = rest.get("citationMetadata") {
            candidate.support(read_citations(metadata));
        }
        if let Some(content) = content {
            let path = Path::Key(path, "content");
            let mut content = Fields::of(Value::Object(content), GEMINI, &path)?;
            let path = Path::Key(&path, "parts");
            for (place, value) in content.list_or_one("parts").into_iter().enumerate() {
                let part = read_part(value, &Path::Index(&path, place))?;
                candidate.part(part, choice, &mut self.next, out);
            }
        }
        if !rest.is_empty() {
            out.push(StreamEvent::ChoiceExtras { choice, extras: Extras::new(GEMINI, rest) });
        }
        if let Some(reason) = reason {
            candidate.finish = Some(reason);
        }
        Ok(())
    }
}

impl Candidate {
    /// Later metadata replaces earlier: it grows from chunk to chunk.
    fn support(&mut self, supports: Vec<Support>) {
        if !supports.is_empty() {
            self.supports = supports;
        }
    }

    fn part(&mut self, part: WirePart, choice: u32, next: &mut PartId, out: &mut Vec<StreamEvent>) {
        let WirePart { body, thought, signature, extras } = part;
        let signature = signature.filter(|text| signature::riders(text).is_none());
        let signature = signature.map(|text| signature::from_wire(&text));
        match body {
            Body::Nothing | Body::Result(_) => {}
            Body::Text(text) if thought => {
                self.grow(text, OpenKind::Reasoning, choice, next, out);
                if let Some(opaque) = signature {
                    self.open_as(OpenKind::Reasoning, choice, next, out);
                    self.push(Delta::Opaque(opaque), out);
                    self.close(out);
                }
            }
            Body::Text(text) => self.text(text, signature, extras, choice, next, out),
            Body::Call(call) => self.call(call, signature, extras, choice, next, out),
            Body::Media(media) => {
                self.sign(signature, choice, next, out);
                self.whole(Content::Media(media), extras, choice, next, out);
            }
            Body::Native(native) => self.whole(Content::Native(native), extras, choice, next, out),
        }
    }

    /// A signature belongs to the visible text: behind it if the text is already open, before it if the text begins with it.
    fn text(
        &mut self,
        text: String,
        signature: Option<Opaque>,
        extras: Map<String, Value>,
        choice: u32,
        next: &mut PartId,
        out: &mut Vec<StreamEvent>,
    ) {
        let continues = matches!(&self.open, Some(Open { kind: OpenKind::Text, .. }));
        if !continues && !text.is_empty() && signature.is_some() {
            self.sign(signature, choice, next, out);
            self.grow(text, OpenKind::Text, choice, next, out);
        } else {
            self.grow(text, OpenKind::Text, choice, next, out);
            self.sign(signature, choice, next, out);
        }
        if !extras.is_empty() {
            self.open_as(OpenKind::Text, choice, next, out);
            self.push(Delta::Extras(Extras::new(GEMINI, extras)), out);
            self.close(out);
        }
    }

    /// A signature that stands for itself.
    fn sign(&mut self, signature: Option<Opaque>, choice: u32, next: &mut PartId, out: &mut Vec<StreamEvent>) {
        let Some(opaque) = signature else { return };
        self.close(out);
        self.open_as(OpenKind::Reasoning, choice, next, out);
        self.push(Delta::Opaque(opaque), out);
        self.close(out);
    }

    fn call(
        &mut self,
        call: Call,
        signature: Option<Opaque>,
        extras: Map<String, Value>,
        choice: u32,
        next: &mut PartId,
        out: &mut Vec<StreamEvent>,
    ) {
        let Call { name, id, args, partial, continues } = call;
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.close(out);
            let head =
                PartHead::ToolCall { id: id.unwrap_or_default(), name, namespace: None, kind: ToolCallKind::Function };
            self.start(head, OpenKind::Call(PartialArgs::default()), choice, next, out);
            self.calls += 1;
        }
        // A piece without a name belongs to the call that is open; without one it means nothing.
        let Some(Open { kind: OpenKind::Call(own), .. }) = &mut self.open else { return };
        own.extend(args.unwrap_or_default());
        partial.iter().for_each(|piece| own.take(piece));
        if let Some(opaque) = signature {
            self.push(Delta::Opaque(opaque), out);
        }
        if !extras.is_empty() {
            self.push(Delta::Extras(Extras::new(GEMINI, extras)), out);
        }
        if !continues {
            self.close(out);
        }
    }

    fn whole(
        &mut self,
        content: Content,
        extras: Map<String, Value>,
        choice: u32,
        next: &mut PartId,
        out: &mut Vec<StreamEvent>,
    ) {
        self.close(out);
        let id = *next;
        *next = next.saturating_add(1);
        let [start, end] = StreamEvent::whole(id, choice, Part::new(content));
        out.push(start);
        if !extras.is_empty() {
            out.push(StreamEvent::PartDelta { id, delta: Delta::Extras(Extras::new(GEMINI, extras)) });
        }
        out.push(end);
    }

    /// Adds text to the open part if it is of `kind`, else to a new one. Nothing is no text.
    fn grow(&mut self, text: String, kind: OpenKind, choice: u32, next: &mut PartId, out: &mut Vec<StreamEvent>) {
        if text.is_empty() {
            return;
        }
        if matches!(kind, OpenKind::Text) {
            self.open_as(kind, choice, next, out);
            self.text.push_str(&text);
        } else {
            self.open_as(kind, choice, next, out);
        }
        self.push(Delta::Text(text), out);
    }

    fn open_as(&mut self, kind: OpenKind, choice: u32, next: &mut PartId, out: &mut Vec<StreamEvent>) {
        let same = match (&self.open, &kind) {
            (Some(open), kind) => std::mem::discriminant(&open.kind) == std::mem::discriminant(kind),
            (None, _) => false,
        };
        if same {
            return;
        }
        self.close(out);
        let head = match kind {
            OpenKind::Reasoning => PartHead::Reasoning,
            _ => PartHead::Text,
        };
        self.start(head, kind, choice, next, out);
    }

    fn start(&mut self, head: PartHead, kind: OpenKind, choice: u32, next: &mut PartId, out: &mut Vec<StreamEvent>) {
        let id = *next;
        *next = next.saturating_add(1);
        self.open = Some(Open { id, kind });
        out.push(StreamEvent::PartStart { id, choice, head, item_id: None });
    }

    fn push(&self, delta: Delta, out: &mut Vec<StreamEvent>) {
        if let Some(open) = &self.open {
            out.push(StreamEvent::PartDelta { id: open.id, delta });
        }
    }

    fn close(&mut self, out: &mut Vec<StreamEvent>) {
        let Some(Open { id, kind }) = self.open.take() else { return };
        match kind {
            OpenKind::Text => {
                let text = std::mem::take(&mut self.text);
                for citation in citations_of(&self.supports, &text, self.before) {
                    out.push(StreamEvent::PartDelta { id, delta: Delta::Citation(Box::new(citation)) });
                }
                self.before = self.before.saturating_add(text.len() as u64);
            }
            OpenKind::Call(args) => {
                out.push(StreamEvent::PartDelta { id, delta: Delta::Arguments(args.text()) });
            }
            OpenKind::Reasoning => {}
        }
        out.push(StreamEvent::PartEnd { id });
    }
}
