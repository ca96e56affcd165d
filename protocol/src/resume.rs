//! Going on with an answer that broke off: what of it the client has seen, and how the rest, which another deployment makes, is put behind it.
//!
//! [`Said`] watches the events that reached the client. Only plain text can be gone on with: it says why not where anything else was begun. `Splice`
//! takes the events of the continuation and gives those that the client's stream wants next: one beginning, one text, one end, and the counters of all
//! that was asked. Whitespace that could not be sent with the text, and text that a deployment repeats before it goes on, come once.
//!
//! Pure; who goes on, and whether, is decided elsewhere.

use std::collections::VecDeque;

use crate::framing::{Frame, Framing, Reader};
use crate::ir::{Delta, PartHead, PartId, StreamEvent, Usage};
use crate::{ApiFormat, Dialect, StreamDecoder, tokens};

/// A continuation that begins with so many bytes of what was already said, or with all of it, repeats it.
const LEAST_ECHO: usize = 24;

/// What of an answer the client has seen.
#[derive(Debug, Clone, Default)]
pub struct Said {
    start: Option<Box<StreamEvent>>,
    text: String,
    /// Where each piece of the text ends.
    ends: Vec<usize>,
    parts: Vec<SaidPart>,
    next: PartId,
    bar: Option<&'static str>,
}

#[derive(Debug, Clone)]
struct SaidPart {
    id: PartId,
    item_id: Option<String>,
    /// Its last piece is the one before this.
    pieces: usize,
    open: bool,
}

impl Said {
    /// An event reached the client.
    pub fn note(&mut self, event: &StreamEvent) {
        match event {
            StreamEvent::Start { .. } if self.start.is_none() => self.start = Some(Box::new(event.clone())),
            StreamEvent::PartStart { id, choice, head, item_id } => {
                self.next = self.next.max(id.saturating_add(1));
                match head {
                    _ if *choice > 0 => self.bar("several answers were begun"),
                    PartHead::Text => {
                        let pieces = self.ends.len();
                        self.parts.push(SaidPart { id: *id, item_id: item_id.clone(), pieces, open: true });
                    }
                    PartHead::Refusal => self.bar("the model declined"),
                    PartHead::Reasoning => self.bar("the answer holds thinking"),
                    PartHead::ToolCall { .. } => self.bar("a tool call was begun"),
                    PartHead::Whole(_) => self.bar("the answer holds more than text"),
                }
            }
            StreamEvent::PartDelta { id, delta } => self.grow(*id, delta),
            StreamEvent::PartEnd { id } => {
                if let Some(part) = self.parts.iter_mut().find(|part| part.id == *id) {
                    part.open = false;
                }
            }
            StreamEvent::Finish { .. } | StreamEvent::End => self.bar("the answer had come to its end"),
            _ => {}
        }
    }

    fn grow(&mut self, id: PartId, delta: &Delta) {
        let Some(part) = self.parts.last_mut().filter(|part| part.id == id) else {
            return self.bar("the answer holds more than text");
        };
        match delta {
            Delta::Text(text) => {
                if !text.is_empty() {
                    self.text.push_str(text);
                    self.ends.push(self.text.len());
                    part.pieces = self.ends.len();
                }
            }
            Delta::ItemId(item_id) => part.item_id = Some(item_id.clone()),
            Delta::Extras(_) => {}
            _ => self.bar("the answer holds more than text"),
        }
    }

    fn bar(&mut self, why: &'static str) {
        self.bar.get_or_insert(why);
    }

    /// The text so far, to be gone on with.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn text(&self) -> Result<&str, &'static str> {
        match self.bar {
            Some(why) => Err(why),
            None if self.text.trim().is_empty() => Err("nothing was said yet"),
            None => Ok(&self.text),
        }
    }

    /// An estimate of the tokens that it has.
    pub fn tokens(&self) -> u64 {
        tokens::count_text(&self.text)
    }

    /// The events again, for an encoder that is to know what another one wrote.
    pub(crate) fn replay(&self, mut push: impl FnMut(&StreamEvent)) {
        if let Some(start) = &self.start {
            push(start);
        }
        let (mut piece, mut from) = (0, 0);
        for part in &self.parts {
            let id = part.id;
            push(&StreamEvent::PartStart { id, choice: 0, head: PartHead::Text, item_id: part.item_id.clone() });
            while piece < part.pieces {
                let Some(to) = self.ends.get(piece).copied() else { break };
                let text = self.text.get(from..to).unwrap_or_default().to_owned();
                push(&StreamEvent::PartDelta { id, delta: Delta::Text(text) });
                (piece, from) = (piece + 1, to);
            }
            if !part.open {
                push(&StreamEvent::PartEnd { id });
            }
        }
    }
}

/// Watches a stream whose bytes pass unchanged for what is said in it. Reads every frame: only for streams that may be gone on with.
pub struct Listener {
    reader: Reader,
    decoder: Box<dyn StreamDecoder>,
    events: Vec<StreamEvent>,
    said: Said,
    /// The bytes are no frames any more.
    deaf: bool,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("said", &self.said).finish_non_exhaustive()
    }
}

impl Listener {
    /// Listens to a stream of `format` as `dialect` speaks it.
    pub fn new(format: ApiFormat, dialect: &Dialect) -> Self {
        let codec = format.codec();
        let reader = Reader::new(codec.framing());
        Self { reader, decoder: codec.stream_decoder(dialect), events: Vec::new(), said: Said::default(), deaf: false }
    }

    /// The next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.deaf {
            return;
        }
        let mut input = bytes;
        let mut reader = std::mem::replace(&mut self.reader, Reader::new(Framing::NdJson));
        loop {
            match reader.next(&mut input) {
                Ok(Some(frame)) => self.frame(&frame),
                Ok(None) => break,
                Err(_) => {
                    self.deaf = true;
                    break;
                }
            }
        }
        self.reader = reader;
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        let mut events = std::mem::take(&mut self.events);
        if self.decoder.feed(frame, &mut events).is_err() {
            // The client got it, and nobody knows what it was.
            self.said.bar("an event could not be read");
        }
        // A frame that tells of a failure does not reach the client, whatever else the decoder says with it.
        if events.iter().any(|event| matches!(event, StreamEvent::Error(_))) {
            events.clear();
        }
        events.drain(..).for_each(|event| self.said.note(&event));
        self.events = events;
    }

    /// What was said so far.
    pub fn said(&self) -> &Said {
        &self.said
    }
}

/// Puts the events of a continuation behind what was said.
#[derive(Debug)]
pub(crate) struct Splice {
    /// What the continuation was given to go on from.
    sent: String,
    /// It may still turn out to repeat that.
    echoes: bool,
    /// Whitespace behind it that the client has seen already.
    trim: VecDeque<char>,
    held: String,
    /// The client's text that is not ended.
    open: Option<PartId>,
    /// The continuation's part that goes on with it, and whether it still does.
    joined: Option<PartId>,
    /// The client's number for each part of the continuation; `None`: it is left out.
    ids: Vec<(PartId, Option<PartId>)>,
    next: PartId,
    /// What was used before.
    before: Usage,
    /// What the continuation used so far.
    usage: Usage,
}

impl Splice {
    /// Goes on with `said`, for which `before` was used. `repeats`: the deployment is known to begin with what it was sent.
    pub(crate) fn new(said: &Said, before: Usage, repeats: bool) -> Self {
        let sent = said.text.trim_end();
        let trim = said.text.get(sent.len()..).unwrap_or_default().chars().collect();
        let open = said.parts.last().filter(|part| part.open).map(|part| part.id);
        Self {
            sent: sent.to_owned(),
            echoes: repeats || sent.len() >= LEAST_ECHO,
            trim,
            held: String::new(),
            open,
            joined: None,
            ids: Vec::new(),
            next: said.next,
            before,
            usage: Usage::default(),
        }
    }

    /// What the client is to get of the next event of the continuation.
    pub(crate) fn event(&mut self, event: StreamEvent, out: &mut Vec<StreamEvent>) {
        match event {
            StreamEvent::Start { .. } => {}
            StreamEvent::PartStart { id, choice, head, item_id } => match head {
                // Thinking behind the beginning of an answer would stand in the middle of it.
                PartHead::Reasoning => self.ids.push((id, None)),
                PartHead::Text if choice == 0 && self.joined.is_none() && self.open.is_some() => {
                    self.joined = Some(id);
                    self.ids.push((id, self.open));
                }
                head => {
                    self.let_go(out);
                    self.close(out);
                    let own = self.next;
                    self.next += 1;
                    if choice == 0 && self.joined.is_none() && matches!(head, PartHead::Text) {
                        // The client's text was ended; this one goes on all the same.
                        self.joined = Some(id);
                    }
                    self.ids.push((id, Some(own)));
                    out.push(StreamEvent::PartStart { id: own, choice, head, item_id });
                }
            },
            StreamEvent::PartDelta { id, delta } => {
                let Some(own) = self.own(id) else { return };
                match delta {
                    Delta::Text(text) if self.joined == Some(id) => {
                        self.held.push_str(&text);
                        if let Some(text) = self.fresh(false) {
                            out.push(StreamEvent::PartDelta { id: own, delta: Delta::Text(text) });
                        }
                    }
                    // The part has its id.
                    Delta::ItemId(_) if self.joined == Some(id) => {}
                    delta => out.push(StreamEvent::PartDelta { id: own, delta }),
                }
            }
            StreamEvent::PartEnd { id } => {
                if self.joined == Some(id) {
                    self.let_go(out);
                }
                if let Some(own) = self.own(id) {
                    if self.open == Some(own) {
                        self.open = None;
                    }
                    out.push(StreamEvent::PartEnd { id: own });
                }
            }
            StreamEvent::Usage(usage) => {
                self.usage.update(usage);
                let mut sum = self.before.clone();
                sum.add(&self.usage);
                out.push(StreamEvent::Usage(sum));
            }
            event @ (StreamEvent::Finish { .. } | StreamEvent::End) => {
                self.let_go(out);
                self.close(out);
                out.push(event);
            }
            event => out.push(event),
        }
    }

    fn own(&self, id: PartId) -> Option<PartId> {
        self.ids.iter().find(|(theirs, _)| *theirs == id).and_then(|(_, own)| *own)
    }

    /// Ends the client's text, if the continuation does not.
    fn close(&mut self, out: &mut Vec<StreamEvent>) {
        if let Some(id) = self.open.take() {
            out.push(StreamEvent::PartEnd { id });
            // What still comes for it comes too late for the grammar.
            self.ids.iter_mut().filter(|(_, own)| *own == Some(id)).for_each(|(_, own)| *own = None);
        }
    }

    /// What is held is no echo: nothing follows that would make it one.
    fn let_go(&mut self, out: &mut Vec<StreamEvent>) {
        let own = self.joined.and_then(|joined| self.own(joined));
        if let (Some(id), Some(text)) = (own, self.fresh(true)) {
            out.push(StreamEvent::PartDelta { id, delta: Delta::Text(text) });
        }
    }

    /// What of the held text is new to the client. `all`: nothing more comes.
    fn fresh(&mut self, all: bool) -> Option<String> {
        if self.echoes {
            if self.held.len() < self.sent.len() && self.sent.starts_with(&self.held) && !all {
                return None;
            }
            self.echoes = false;
            if self.held.starts_with(&self.sent) {
                self.held.drain(..self.sent.len());
            }
        }
        let mut seen = 0;
        for letter in self.held.chars() {
            match self.trim.pop_front() {
                Some(known) if known == letter => seen += letter.len_utf8(),
                _ => {
                    self.trim.clear();
                    break;
                }
            }
        }
        self.held.drain(..seen);
        let text = std::mem::take(&mut self.held);
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
