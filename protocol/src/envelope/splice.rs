//! Cutting changes into a body, whole or still arriving, without copying what stays.
//!
//! A member is written with the white space and comma before it; a dropped one takes them along, and the first one that is written loses its
//! comma. New members come last, before the `}`.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::scan::{Mark, Scanner};
use super::{Envelope, EnvelopeError, MAX_MEMBERS, WELL_KNOWN, is_key};

/// What has to be held back (a key with the space before it, a value that is edited by its content) may hold this much.
const MAX_HELD: usize = 64 * 1024;

/// What to change in a body. Changes apply to top-level members.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    list: Vec<(Cow<'static, str>, Edit)>,
    include_usage: bool,
}

#[derive(Debug, Clone)]
enum Edit {
    Set(Bytes),
    Default(Bytes),
    Drop,
    Rename(Cow<'static, str>),
}

impl Edits {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is to change.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && !self.include_usage
    }

    /// Sets `model`, adding it if it is absent.
    pub fn model(&mut self, name: &str) -> &mut Self {
        self.set("model", &Value::from(name))
    }

    /// Sets a member, adding it if it is absent.
    pub fn set(&mut self, key: impl Into<Cow<'static, str>>, value: &Value) -> &mut Self {
        self.push(key, Edit::Set(Bytes::from(value.to_string())))
    }

    /// Adds a member if it is absent (`null` is not absent).
    pub fn set_default(&mut self, key: impl Into<Cow<'static, str>>, value: &Value) -> &mut Self {
        self.push(key, Edit::Default(Bytes::from(value.to_string())))
    }

    /// Takes a member out.
    pub fn remove(&mut self, key: impl Into<Cow<'static, str>>) -> &mut Self {
        self.push(key, Edit::Drop)
    }

    /// Gives a member another name. If a member of that name is there too, the first of the two stays.
    pub fn rename(&mut self, key: impl Into<Cow<'static, str>>, to: impl Into<Cow<'static, str>>) -> &mut Self {
        self.push(key, Edit::Rename(to.into()))
    }

    /// Asks for usage in the stream: sets `stream_options.include_usage`, beside whatever else `stream_options` holds. Where there are no
    /// `stream_options` they are added only to a request with `"stream": true`, since hosts refuse them elsewhere.
    pub fn include_usage(&mut self) -> &mut Self {
        self.include_usage = true;
        self
    }

    /// Whether nothing but the value of `key` is to change.
    pub fn only(&self, key: &str) -> bool {
        !self.include_usage && self.list.iter().all(|(own, edit)| own == key && matches!(edit, Edit::Set(_)))
    }

    fn of(&self, name: &str) -> Option<&Edit> {
        self.list.iter().find(|(key, _)| key == name).map(|(_, edit)| edit)
    }

    /// The name of a key (with its quotes) that edits are about, or that must not come twice.
    fn name_of(&self, raw: &[u8]) -> Option<Cow<'static, str>> {
        if let Some(key) = WELL_KNOWN.iter().find(|key| is_key(raw, key)) {
            return Some(Cow::Borrowed(*key));
        }
        let targets = self.list.iter().filter_map(|(_, edit)| match edit {
            Edit::Rename(to) => Some(to),
            _ => None,
        });
        self.list.iter().map(|(key, _)| key).chain(targets).find(|key| is_key(raw, key)).cloned()
    }

    /// A later edit of the same key replaces the earlier one.
    fn push(&mut self, key: impl Into<Cow<'static, str>>, edit: Edit) -> &mut Self {
        let key = key.into();
        self.list.retain(|(own, _)| *own != key);
        self.list.push((key, edit));
        self
    }
}

/// Carries edits out on a body that arrives in pieces, or on a whole one.
#[derive(Debug, Default)]
pub struct Splicer {
    edits: Edits,
    scanner: Scanner,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    mode: Mode,
    /// What is held back of earlier chunks: space and comma before a key, the key, the value.
    lead: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
    /// A member has been written: the next one needs a comma.
    any_written: bool,
    members: usize,
    /// Names that edits are about: as they came, and as they were written.
    seen: Vec<Cow<'static, str>>,
    written: Vec<Cow<'static, str>>,
    streams: bool,
}

/// What happens to the bytes up to the next mark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Mode {
    /// They go out.
    #[default]
    Pass,
    /// They are held back: the space before a key, and the key that tells what to do.
    Lead,
    Key,
    /// They go out; the value after them is replaced.
    BeforeReplaced(Bytes),
    /// They go out; the value after them is held back, since it decides its own replacement.
    BeforeHeld(Watched),
    InHeld(Watched),
    /// They are left out.
    Skip,
}

/// Values that matter to [`Edits::include_usage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    Stream,
    StreamOptions,
}

/// What is to be done with a member.
enum Verdict {
    Keep,
    Drop,
    Rename(Cow<'static, str>),
    Replace(Bytes),
    Hold(Watched),
}

/// The chunk that is being cut.
struct Cut<'a> {
    chunk: &'a Bytes,
    /// Start of what has not been dealt with.
    from: usize,
    /// The part of the lead that lies in this chunk.
    lead: Range<usize>,
    /// What goes out next, as long as it is in one piece.
    run: Range<usize>,
    out: &'a mut Vec<Bytes>,
}

impl<'a> Cut<'a> {
    fn new(chunk: &'a Bytes, out: &'a mut Vec<Bytes>) -> Self {
        Self { chunk, from: 0, lead: 0..0, run: 0..0, out }
    }

    fn slice(&self, range: Range<usize>) -> &'a [u8] {
        self.chunk.get(range).unwrap_or_default()
    }

    /// Sends a piece of the chunk out.
    fn pass(&mut self, range: Range<usize>) {
        if self.run.end == range.start {
            self.run.end = range.end;
        } else if !range.is_empty() {
            self.flush();
            self.run = range;
        }
    }

    /// Sends something else out.
    fn put(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.flush();
            self.out.push(bytes);
        }
    }

    /// Everything up to `at` goes out.
    fn pass_to(&mut self, at: usize) {
        self.pass(self.from..at);
        self.from = at;
    }

    fn flush(&mut self) {
        let run = std::mem::take(&mut self.run);
        if !run.is_empty() && run.end <= self.chunk.len() {
            self.out.push(self.chunk.slice(run));
        }
    }
}

impl Splicer {
    /// A splicer that carries out `edits`.
    pub fn new(edits: Edits) -> Self {
        Self { edits, ..Self::default() }
    }

    /// Takes the next piece of the body and appends what can go out to `out`.
    ///
    /// # Errors
    /// If the bytes so far cannot become a JSON object, an edited or [well-known](WELL_KNOWN) key comes twice, or more than 64 KiB would have to be
    /// held back.
    pub fn feed(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<(), EnvelopeError> {
        let Self { edits, scanner, state } = self;
        let mut cut = Cut::new(chunk, out);
        scanner.scan(chunk, |mark, at| state.mark(edits, mark, at, &mut cut))?;
        state.leave(&mut cut)
    }

    /// Whether a member that the edits are about has come by.
    pub fn saw(&self, key: &str) -> bool {
        self.state.seen.iter().any(|seen| seen == key)
    }

    /// The body is over.
    ///
    /// # Errors
    /// If its object is not.
    pub fn finish(&self) -> Result<(), EnvelopeError> {
        match (self.scanner.is_whole(), self.scanner.is_blank()) {
            (true, _) => Ok(()),
            (false, true) => Err(EnvelopeError::NotAnObject),
            (false, false) => Err(EnvelopeError::Truncated),
        }
    }
}

/// Carries edits out on a body that has been scanned.
pub(super) fn splice(envelope: &Envelope, edits: &Edits, out: &mut Vec<Bytes>) -> Result<(), EnvelopeError> {
    let mut state = State::default();
    let mut cut = Cut::new(&envelope.body, out);
    let mut mark = |mark, at| state.mark(edits, mark, at, &mut cut);
    mark(Mark::Open, envelope.inside.start)?;
    for member in &envelope.members {
        mark(Mark::KeyStart, member.key.start)?;
        mark(Mark::KeyEnd, member.key.end)?;
        mark(Mark::ValueStart, member.value.start)?;
        mark(Mark::ValueEnd, member.value.end)?;
    }
    mark(Mark::Close, envelope.inside.end)?;
    state.leave(&mut cut)
}

impl State {
    fn mark(&mut self, edits: &Edits, mark: Mark, at: usize, cut: &mut Cut<'_>) -> Result<(), EnvelopeError> {
        match mark {
            Mark::Open => {
                cut.pass_to(at);
                cut.lead = at..at;
                self.mode = Mode::Lead;
            }
            Mark::KeyStart => {
                cut.lead = cut.from..at;
                cut.from = at;
                self.mode = Mode::Key;
                self.members += 1;
                if self.members > MAX_MEMBERS {
                    return Err(EnvelopeError::TooManyMembers);
                }
            }
            Mark::KeyEnd => {
                self.key_is_known(edits, at, cut)?;
                cut.from = at;
            }
            Mark::ValueStart => self.value_starts(at, cut),
            Mark::ValueEnd => {
                self.value_ends(at, cut)?;
                cut.from = at;
                self.mode = Mode::Lead;
            }
            Mark::Close => {
                self.add_members(edits, cut);
                cut.put(Bytes::from(std::mem::take(&mut self.lead)));
                self.mode = Mode::Pass;
            }
        }
        Ok(())
    }

    fn key_is_known(&mut self, edits: &Edits, at: usize, cut: &mut Cut<'_>) -> Result<(), EnvelopeError> {
        let carried = std::mem::take(&mut self.key);
        let whole;
        let raw = if carried.is_empty() {
            cut.slice(cut.from..at)
        } else {
            whole = [&carried, cut.slice(cut.from..at)].concat();
            &whole
        };
        let verdict = self.decide(edits, raw)?;
        if matches!(verdict, Verdict::Drop) {
            self.lead.clear();
            self.mode = Mode::Skip;
            return Ok(());
        }
        self.write_lead(cut);
        self.mode = match verdict {
            Verdict::Rename(to) => {
                cut.put(Bytes::from(Value::from(to.as_ref()).to_string()));
                self.mode = Mode::Pass;
                return Ok(());
            }
            Verdict::Replace(value) => Mode::BeforeReplaced(value),
            Verdict::Hold(watched) => Mode::BeforeHeld(watched),
            Verdict::Keep | Verdict::Drop => Mode::Pass,
        };
        cut.put(Bytes::from(carried));
        cut.pass(cut.from..at);
        Ok(())
    }

    fn decide(&mut self, edits: &Edits, raw: &[u8]) -> Result<Verdict, EnvelopeError> {
        let Some(name) = edits.name_of(raw) else { return Ok(Verdict::Keep) };
        if self.seen.contains(&name) {
            return Err(EnvelopeError::Duplicate(name.into_owned()));
        }
        self.seen.push(name.clone());
        let (written, verdict) = match edits.of(&name) {
            Some(Edit::Drop) => return Ok(Verdict::Drop),
            Some(Edit::Rename(to)) => {
                if self.written.contains(to) || matches!(edits.of(to), Some(Edit::Set(_))) {
                    return Ok(Verdict::Drop);
                }
                (to.clone(), Verdict::Rename(to.clone()))
            }
            Some(Edit::Set(value)) => {
                self.streams |= name == "stream" && value == "true";
                (name, Verdict::Replace(value.clone()))
            }
            // A member that was renamed to this name came first.
            _ if self.written.contains(&name) => return Ok(Verdict::Drop),
            None if edits.include_usage && name == "stream" => (name, Verdict::Hold(Watched::Stream)),
            None if edits.include_usage && name == "stream_options" => (name, Verdict::Hold(Watched::StreamOptions)),
            Some(Edit::Default(_)) | None => (name, Verdict::Keep),
        };
        self.written.push(written);
        Ok(verdict)
    }

    /// Writes the space and comma before a member; the first one that is written has no comma.
    fn write_lead(&mut self, cut: &mut Cut<'_>) {
        let mut carried = std::mem::take(&mut self.lead);
        let mut lead = std::mem::take(&mut cut.lead);
        if !std::mem::replace(&mut self.any_written, true) {
            if let Some(comma) = carried.iter().position(|byte| *byte == b',') {
                carried.drain(..=comma);
            } else if let Some(comma) = cut.slice(lead.clone()).iter().position(|byte| *byte == b',') {
                carried.clear();
                lead.start += comma + 1;
            }
        }
        cut.put(Bytes::from(carried));
        cut.pass(lead);
    }

    fn value_starts(&mut self, at: usize, cut: &mut Cut<'_>) {
        match std::mem::take(&mut self.mode) {
            Mode::BeforeReplaced(value) => {
                cut.pass_to(at);
                cut.put(value);
                self.mode = Mode::Skip;
            }
            Mode::BeforeHeld(watched) => {
                cut.pass_to(at);
                self.mode = Mode::InHeld(watched);
            }
            other => self.mode = other,
        }
    }

    fn value_ends(&mut self, at: usize, cut: &mut Cut<'_>) -> Result<(), EnvelopeError> {
        match self.mode {
            Mode::Skip => {}
            Mode::InHeld(watched) => {
                let carried = std::mem::take(&mut self.value);
                let value = [&carried, cut.slice(cut.from..at)].concat();
                let replacement = match watched {
                    Watched::Stream => {
                        self.streams = value == b"true";
                        None
                    }
                    Watched::StreamOptions => with_usage(&value),
                };
                if let Some(replacement) = replacement {
                    cut.put(replacement);
                } else {
                    cut.put(Bytes::from(carried));
                    cut.pass(cut.from..at);
                }
            }
            _ => cut.pass_to(at),
        }
        Ok(())
    }

    /// Writes the members that were not there.
    fn add_members(&mut self, edits: &Edits, cut: &mut Cut<'_>) {
        let mut added: Vec<u8> = Vec::new();
        let mut add = |key: &str, value: &[u8]| {
            if std::mem::replace(&mut self.any_written, true) {
                added.push(b',');
            }
            added.extend_from_slice(Value::from(key).to_string().as_bytes());
            added.push(b':');
            added.extend_from_slice(value);
        };
        for (key, edit) in &edits.list {
            if let Edit::Set(value) | Edit::Default(value) = edit
                && !self.written.contains(key)
            {
                self.streams |= key == "stream" && value == "true";
                add(key, value);
            }
        }
        let options = "stream_options";
        if edits.include_usage
            && self.streams
            && edits.of(options).is_none()
            && !self.seen.iter().any(|key| key == options)
        {
            add(options, br#"{"include_usage":true}"#);
        }
        cut.put(Bytes::from(added));
    }

    /// The chunk is used up: what is held back of it is kept.
    fn leave(&mut self, cut: &mut Cut<'_>) -> Result<(), EnvelopeError> {
        let end = cut.chunk.len();
        let rest = cut.from..end;
        match self.mode {
            Mode::Pass | Mode::BeforeReplaced(_) | Mode::BeforeHeld(_) => cut.pass(rest),
            Mode::Skip => {}
            Mode::Lead => self.lead.extend_from_slice(cut.slice(rest)),
            Mode::Key => {
                self.lead.extend_from_slice(cut.slice(cut.lead.clone()));
                self.key.extend_from_slice(cut.slice(rest));
            }
            Mode::InHeld(_) => self.value.extend_from_slice(cut.slice(rest)),
        }
        cut.flush();
        let held = self.lead.len() + self.key.len() + self.value.len();
        if held <= MAX_HELD {
            return Ok(());
        }
        let what = if matches!(self.mode, Mode::InHeld(_)) { "stream_options" } else { "(key)" };
        Err(EnvelopeError::ValueTooLarge(what.to_owned()))
    }
}

/// `stream_options` with usage asked for; `None` if nothing is to change, or if it is no object and its receiver shall say so.
fn with_usage(value: &[u8]) -> Option<Bytes> {
    let mut options = match serde_json::from_slice(value) {
        Ok(Value::Object(options)) => options,
        Ok(Value::Null) => Map::new(),
        _ => return None,
    };
    if options.get("include_usage") == Some(&Value::Bool(true)) {
        return None;
    }
    options.insert("include_usage".to_owned(), Value::Bool(true));
    Some(Bytes::from(Value::Object(options).to_string()))
}
