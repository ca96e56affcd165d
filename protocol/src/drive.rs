//! A provider's stream into a client's: frames × decoder × names × encoder, and the one policy for what goes wrong on the way.
//!
//! | what happens | before content | after content |
//! |---|---|---|
//! | a frame is corrupt, or the bytes are no frames | failed | error event |
//! | the provider reports a failure in the stream | failed | error event |
//! | the bytes end without the format's terminal | failed | error event |
//! | a JSON body comes where a stream was asked for | a failure: failed; an answer: told as a stream | – |
//! | a frame that nobody knows | passed to its own format, nothing elsewhere | likewise |
//! | bytes after the terminal or an error | nothing | nothing |
//!
//! *Failed* writes nothing, so another deployment can take over without the client noticing; [`StreamDriver::write_error`] writes the failure if none
//! can. Everything before the first content is held inside: **whatever is in `out` may be sent**, and once something is the answer is
//! [committed](StreamDriver::committed). A finish is never invented.
//!
//! Pure: bytes in, bytes out. Timeouts, lost connections and leaving clients are the caller's ([`StreamDriver::fail`]).

use crate::dialect::Prefill;
use crate::fold::{Fold, Folded, unfold};
use crate::framing::{Frame, Framing, FramingError, Reader};
use crate::ir::{Finish, Loss, StreamEvent, Usage};
use crate::laws::{BrokenLaw, Laws};
use crate::lower::{Lifter, NameMap};
use crate::resume::{Said, Splice};
use crate::{
    ApiError, ApiErrorKind, ApiFormat, DecodeError, Dialect, ReplyContext, StreamDecoder, StreamEncoder, answer,
};

/// A JSON body in place of a stream is kept up to this many bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// What a stream has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveState {
    /// Nothing of the answer has been seen.
    Preamble,
    /// The answer has begun.
    Content,
    /// The provider's terminal was seen, and the client's is written.
    Ended,
    /// It failed, see [`StreamDriver::error`].
    Failed,
}

/// Turns one stream of a provider into one for a client.
pub struct StreamDriver {
    upstream: ApiFormat,
    dialect: Dialect,
    reader: Reader,
    decoder: Box<dyn StreamDecoder>,
    lifter: Lifter,
    encoder: Box<dyn StreamEncoder>,
    state: DriveState,
    committed: bool,
    /// Something was said before the end.
    spoke: bool,
    /// Events before the first content.
    held: Vec<StreamEvent>,
    decoded: Vec<StreamEvent>,
    lifted: Vec<StreamEvent>,
    laws: Laws,
    broken_law: Option<BrokenLaw>,
    fold: Option<Fold>,
    /// The provider's id of the answer stays here.
    nameless: bool,
    usage: Option<Usage>,
    finish: Option<Finish>,
    error: Option<ApiError>,
    /// Ours, for failures.
    request_id: Option<String>,
    id: Option<String>,
    body: Option<Vec<u8>>,
    at_start: bool,
    error_written: bool,
    /// Bytes of text, thoughts and arguments that were written.
    text_bytes: u64,
    /// What the client has seen, if the answer may be gone on with elsewhere.
    said: Option<Box<Said>>,
    /// Another deployment goes on with it.
    splice: Option<Box<Splice>>,
}

impl std::fmt::Debug for StreamDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamDriver")
            .field("upstream", &self.upstream)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl StreamDriver {
    /// A driver from a provider that speaks `upstream` as `dialect` says, to a client that speaks `client`. `names` is what
    /// [`lower`](crate::lower::lower) changed in the request.
    pub fn new(
        upstream: ApiFormat,
        dialect: &Dialect,
        names: NameMap,
        client: ApiFormat,
        context: ReplyContext,
    ) -> Self {
        Self {
            upstream,
            dialect: dialect.for_answers(),
            reader: Reader::new(upstream.codec().framing()),
            decoder: upstream.codec().stream_decoder(dialect),
            lifter: Lifter::new(names),
            request_id: context.request_id.clone(),
            encoder: client.codec().stream_encoder(context),
            state: DriveState::Preamble,
            committed: false,
            spoke: false,
            held: Vec::new(),
            decoded: Vec::new(),
            lifted: Vec::new(),
            laws: Laws::default(),
            broken_law: None,
            fold: None,
            nameless: false,
            usage: None,
            finish: None,
            error: None,
            id: None,
            body: None,
            at_start: true,
            error_written: false,
            text_bytes: 0,
            said: None,
            splice: None,
        }
    }

    /// Remembers what was said, so that the answer can [go on](Self::go_on) elsewhere if it breaks off. A failure after content is then not written
    /// until [`write_error`](Self::write_error) is called.
    pub fn remembering(mut self) -> Self {
        self.said = Some(Box::default());
        self
    }

    /// A driver for an answer of which `said` reached the client by other ways and which then broke off. It writes nothing before it [goes on](Self::go_on).
    pub fn after(said: Said, client: ApiFormat, context: ReplyContext) -> Self {
        let mut driver = Self::new(client, &Dialect::default(), NameMap::default(), client, context);
        let mut known = Vec::new();
        said.replay(|event| driver.encoder.push(event, &mut known));
        driver.encoder.losses();
        driver.state = DriveState::Failed;
        driver.committed = true;
        driver.spoke = true;
        driver.said = Some(Box::new(said));
        driver
    }

    /// The answer broke off; from here on the bytes of another deployment come, which was asked to go on with what was [said](Self::said). Until that
    /// shows content it may fail without the client noticing, and yet another one may go on. The client reads `before` as part of what was used.
    pub fn go_on(&mut self, upstream: ApiFormat, dialect: &Dialect, names: NameMap, before: Usage) {
        let Some(said) = &self.said else { return };
        let repeats = dialect.prefill == Prefill::PrefixRepeated;
        self.splice = Some(Box::new(Splice::new(said, before, repeats)));
        self.upstream = upstream;
        self.dialect = dialect.for_answers();
        self.reader = Reader::new(upstream.codec().framing());
        self.decoder = upstream.codec().stream_decoder(dialect);
        self.lifter = Lifter::new(names);
        self.laws = Laws::default();
        self.state = DriveState::Preamble;
        self.committed = false;
        self.held.clear();
        (self.usage, self.finish, self.error, self.body) = (None, None, None, None);
        (self.at_start, self.error_written, self.text_bytes) = (true, false, 0);
    }

    /// What the client has seen, if it is [remembered](Self::remembering).
    pub fn said(&self) -> Option<&Said> {
        self.said.as_deref()
    }

    /// Keeps the answer as the client sees it, for [`folded`](Self::folded): for callers that store or cache it.
    pub fn folding(mut self) -> Self {
        let fold = self.fold.insert(Fold::default());
        if let Some(said) = &self.said {
            said.replay(|event| fold.push(event.clone()));
        }
        self
    }

    /// Tells the client nothing of the provider's id of the answer: one that is kept by its id gets it here.
    pub fn nameless(mut self) -> Self {
        self.nameless = true;
        self
    }

    /// Takes the provider's next bytes and appends the client's to `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.is_over() || self.takes_for_body(bytes, out) {
            return;
        }
        let mut input = bytes;
        let mut reader = std::mem::replace(&mut self.reader, Reader::new(Framing::NdJson));
        loop {
            match reader.next(&mut input) {
                Ok(Some(frame)) => self.frame(&frame, out),
                Ok(None) => break,
                Err(error) => {
                    self.break_off(broken_framing(&error), out);
                    break;
                }
            }
            if self.is_over() {
                break;
            }
        }
        self.reader = reader;
    }

    /// The provider's bytes are over. Unless the terminal was seen the stream was cut, and that is a failure.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.is_over() {
            return;
        }
        if let Some(body) = self.body.take() {
            return self.judge_body(&body, out);
        }
        let mut reader = std::mem::replace(&mut self.reader, Reader::new(Framing::NdJson));
        // A last frame that cannot be read is the torn end of a cut stream, as is an unfinished binary one.
        if let Ok(Some(frame)) = reader.finish() {
            let mut events = std::mem::take(&mut self.decoded);
            if self.decoder.feed(&frame, &mut events).is_ok() {
                self.take(&mut events, out);
            }
            events.clear();
            self.decoded = events;
        }
        if !self.is_over() {
            let mut events = std::mem::take(&mut self.decoded);
            self.decoder.finish(&mut events);
            self.take(&mut events, out);
            self.decoded = events;
        }
        if !self.is_over() {
            self.break_off(ApiError::new(ApiErrorKind::Upstream, "upstream stream ended early"), out);
        }
    }

    /// The caller breaks the stream off: a timeout, a lost connection. Before content nothing is written.
    pub fn fail(&mut self, error: ApiError, out: &mut Vec<u8>) {
        if !self.is_over() {
            self.break_off(error, out);
        }
    }

    /// Writes the failure to the client, if it is not written yet: for a caller that has no other deployment left and whose headers are out.
    pub fn write_error(&mut self, out: &mut Vec<u8>) {
        if let Some(error) = self.error.clone()
            && !std::mem::replace(&mut self.error_written, true)
        {
            let request_id = self.request_id.clone().or_else(|| error.request_id.clone());
            self.encoder.push(&StreamEvent::Error(ApiError { request_id, ..error }), out);
        }
    }

    /// Writes something that keeps the connection to the client alive.
    pub fn keep_alive(&mut self, out: &mut Vec<u8>) {
        let may_go_on = self.state == DriveState::Failed && self.said.is_some() && !self.error_written;
        if !self.is_over() || may_go_on {
            self.encoder.keep_alive(out);
        }
    }

    /// What the stream has come to.
    pub fn state(&self) -> DriveState {
        self.state
    }

    /// Something of the answer has been written: from here on no other deployment can take over.
    pub fn committed(&self) -> bool {
        self.committed
    }

    /// The answer ended, or is about to, and nothing was said in it.
    pub fn is_empty(&self) -> bool {
        self.committed && !self.spoke
    }

    /// Nothing more comes of this stream: it ended or failed.
    pub fn is_over(&self) -> bool {
        matches!(self.state, DriveState::Ended | DriveState::Failed)
    }

    /// The failure.
    pub fn error(&self) -> Option<&ApiError> {
        self.error.as_ref()
    }

    /// An estimate of the tokens that the answer has so far.
    pub fn written(&self) -> u64 {
        // Four bytes to a token: a little much for English, a little few for others.
        self.text_bytes.div_ceil(4)
    }

    /// The counters so far. Unknown is `None`.
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    /// How the first choice ended, once that is known.
    pub fn finish_reason(&self) -> Option<&Finish> {
        self.finish.as_ref()
    }

    /// The provider's id of the answer.
    pub fn response_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What could not be carried to the client so far.
    pub fn losses(&mut self) -> Vec<Loss> {
        self.encoder.losses()
    }

    /// The answer as the client saw it, if it was [kept](Self::folding).
    pub fn folded(&mut self) -> Option<Folded> {
        self.fold.take().map(Fold::finish)
    }

    /// The first breach of the grammar of events: a fault of the decoder. Looked for in debug builds only.
    pub fn broken_law(&self) -> Option<&BrokenLaw> {
        self.broken_law.as_ref()
    }

    fn frame(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) {
        let mut events = std::mem::take(&mut self.decoded);
        let outcome = self.decoder.feed(frame, &mut events);
        self.take(&mut events, out);
        self.decoded = events;
        if let Err(error) = outcome
            && !self.is_over()
        {
            self.break_off(corrupt_frame(&error), out);
        }
    }

    /// Takes what the decoder made of a frame.
    fn take(&mut self, events: &mut Vec<StreamEvent>, out: &mut Vec<u8>) {
        for event in events.drain(..) {
            if self.is_over() {
                break;
            }
            if cfg!(debug_assertions) && self.broken_law.is_none() {
                self.broken_law = self.laws.check(&event).err();
            }
            let mut lifted = std::mem::take(&mut self.lifted);
            self.lifter.lift(event, &mut lifted);
            lifted.drain(..).for_each(|event| self.event(event, out));
            self.lifted = lifted;
        }
        events.clear();
    }

    fn event(&mut self, mut event: StreamEvent, out: &mut Vec<u8>) {
        if let StreamEvent::PartDelta { delta, .. } = &event {
            self.text_bytes += delta.text().len() as u64;
        }
        match &mut event {
            StreamEvent::Start { id, .. } => {
                let theirs = if self.nameless { id.take() } else { id.clone() };
                self.id = self.id.take().or(theirs);
            }
            StreamEvent::Usage(usage) => self.usage.get_or_insert_default().update(usage.clone()),
            StreamEvent::Finish { choice: 0, finish } => self.finish = Some(finish.clone()),
            StreamEvent::Error(error) => return self.break_off(error.clone(), out),
            _ => {}
        }
        match &mut self.splice {
            None => self.pass(event, out),
            Some(splice) => {
                let mut spliced = Vec::new();
                splice.event(event, &mut spliced);
                spliced.into_iter().for_each(|event| self.pass(event, out));
            }
        }
    }

    /// Passes an event on to the client, or holds it until there is content.
    fn pass(&mut self, event: StreamEvent, out: &mut Vec<u8>) {
        let ends = event == StreamEvent::End;
        self.spoke |= event.is_content() && !matches!(event, StreamEvent::Finish { .. });
        if self.committed {
            self.write(event, out);
        } else if ends || event.is_content() {
            self.committed = true;
            self.state = DriveState::Content;
            let held = std::mem::take(&mut self.held);
            held.into_iter().chain([event]).for_each(|event| self.write(event, out));
        } else {
            self.held.push(event);
        }
        if ends {
            self.state = DriveState::Ended;
        }
    }

    fn write(&mut self, event: StreamEvent, out: &mut Vec<u8>) {
        self.encoder.push(&event, out);
        if let Some(said) = &mut self.said {
            said.note(&event);
        }
        if let Some(fold) = &mut self.fold {
            fold.push(event);
        }
    }

    fn break_off(&mut self, error: ApiError, out: &mut Vec<u8>) {
        self.state = DriveState::Failed;
        self.held = Vec::new();
        if let Some(fold) = &mut self.fold
            && self.said.is_none()
        {
            fold.push(StreamEvent::Error(error.clone()));
        }
        self.error = Some(error);
        if self.committed && self.said.is_none() {
            self.write_error(out);
        }
    }

    /// Gathers a JSON body that comes where events were asked for.
    fn takes_for_body(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        if self.at_start {
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            self.at_start = first.is_none();
            if matches!(first, Some(b'{' | b'[')) && matches!(self.reader, Reader::Sse(_)) {
                self.body = Some(Vec::new());
            }
        }
        let Some(body) = &mut self.body else { return false };
        if body.len() + bytes.len() > MAX_BODY {
            self.break_off(broken_framing(&FramingError::TooLarge { limit: MAX_BODY }), out);
            self.body = None;
            return true;
        }
        body.extend_from_slice(bytes);
        true
    }

    fn judge_body(&mut self, body: &[u8], out: &mut Vec<u8>) {
        match answer::read(self.upstream, body, &self.dialect) {
            Ok(response) => self.take(&mut unfold(response), out),
            Err(error) => self.break_off(*error, out),
        }
    }
}

fn corrupt_frame(error: &DecodeError) -> ApiError {
    ApiError::new(ApiErrorKind::Upstream, format!("upstream sent a corrupt event: {error}"))
}

fn broken_framing(error: &FramingError) -> ApiError {
    ApiError::new(ApiErrorKind::Upstream, format!("upstream stream cannot be read: {error}"))
}
/// Reads a whole stream at once and folds it: for a client that wants one answer from a provider that only streams.
pub fn fold_stream(upstream: ApiFormat, dialect: &Dialect, bytes: &[u8]) -> Folded {
    let codec = upstream.codec();
    let mut reader = Reader::new(codec.framing());
    let mut decoder = codec.stream_decoder(dialect);
    let mut events = Vec::new();
    let mut input = bytes;
    let corrupt = |error: &FramingError| {
        StreamEvent::Error(ApiError::new(ApiErrorKind::Upstream, format!("upstream stream is corrupt: {error}")))
    };
    loop {
        match reader.next(&mut input) {
            // An odd frame is skipped, as in a stream that is passed on.
            Ok(Some(frame)) => drop(decoder.feed(&frame, &mut events)),
            Ok(None) => break,
            Err(error) => {
                events.push(corrupt(&error));
                return crate::fold::fold(events);
            }
        }
    }
    if let Ok(Some(frame)) = reader.finish() {
        drop(decoder.feed(&frame, &mut events));
    }
    decoder.finish(&mut events);
    crate::fold::fold(events)
}
