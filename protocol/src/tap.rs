//! Watching a stream whose bytes pass unchanged: where the answer begins, what it cost, how it ended.
//!
//! Up to the first content every frame is decoded, since until then another deployment can still take over. Afterwards a frame is decoded only if it
//! holds one of the codec's [markers](crate::FormatCodec::tap_markers); a content frame costs a few substring searches and no allocation. The one
//! change that the tap may make to the bytes is to leave out the frame that holds nothing but usage, which a Chat client did not ask for.
//!
//! Knows frames and events; decides nothing about retries, and never touches a socket.

use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::framing::{Frame, Framing, FramingError, Reader};
use crate::ir::{Finish, StreamEvent, Usage};
use crate::{ApiError, ApiErrorKind, ApiFormat, Dialect, StreamDecoder, answer, drive, tokens};

/// A JSON body in place of a stream is kept up to this many bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// So much of a stream's beginning is kept, to know how much of it is text.
const SAMPLE: usize = 2_048;

/// What a stream has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TapState {
    /// Nothing of the answer has been seen: the bytes so far may be thrown away for another deployment's.
    Preamble,
    /// The answer has begun.
    Content,
    /// The format's terminal was seen.
    Ended,
    /// The provider reported a failure in the stream, see [`StreamTap::error`]. Whether content came before: [`StreamTap::committed`].
    Failed,
}

/// Watches one stream of a provider.
pub struct StreamTap {
    format: ApiFormat,
    dialect: Dialect,
    reader: Reader,
    decoder: Box<dyn StreamDecoder>,
    markers: &'static [Marker],
    hide_usage: bool,
    /// Only whole frames pass, and none that tells of a failure.
    guarded: bool,
    /// With `guarded`: the frames that tell of a failure, and what came behind them.
    withheld: Vec<Bytes>,
    state: TapState,
    committed: bool,
    /// Something was said before the end.
    spoke: bool,
    /// What came was one JSON body.
    was_body: bool,
    usage: Option<Usage>,
    finish: Option<Finish>,
    error: Option<ApiError>,
    id: Option<String>,
    /// The beginning of the stream, and how long all of it is: for an estimate of what was written.
    sample: Vec<u8>,
    seen: u64,
    events: Vec<StreamEvent>,
    /// With `hide_usage`: bytes of a frame that is not whole yet.
    held: BytesMut,
    /// A JSON body that came in place of a stream.
    body: Option<BytesMut>,
    at_start: bool,
}

impl std::fmt::Debug for StreamTap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamTap").field("format", &self.format).field("state", &self.state).finish_non_exhaustive()
    }
}

impl StreamTap {
    /// A tap on a stream of `format` as `dialect` speaks it.
    pub fn new(format: ApiFormat, dialect: &Dialect) -> Self {
        let codec = format.codec();
        Self {
            format,
            dialect: dialect.for_answers(),
            reader: Reader::new(codec.framing()),
            decoder: codec.stream_decoder(dialect),
            markers: markers(format),
            hide_usage: false,
            guarded: false,
            withheld: Vec::new(),
            state: TapState::Preamble,
            committed: false,
            spoke: false,
            was_body: false,
            usage: None,
            finish: None,
            error: None,
            id: None,
            sample: Vec::new(),
            seen: 0,
            events: Vec::new(),
            held: BytesMut::new(),
            body: None,
            at_start: true,
        }
    }

    /// Leaves out the frame that holds nothing but usage: for a client that did not ask for the usage which was asked for upstream. Does nothing for
    /// formats that have no such frame.
    pub fn hide_usage(mut self) -> Self {
        self.hide_usage = matches!(self.format, ApiFormat::OpenaiChat | ApiFormat::OpenaiCompletions);
        self
    }

    /// Lets only whole frames pass, and none that tells of a failure: for a stream that may be gone on with by other means if it breaks off.
    pub fn guarded(mut self) -> Self {
        self.guarded = true;
        self
    }

    /// The frames that told of the failure, if the tap is [guarded](Self::guarded).
    pub fn take_withheld(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.withheld)
    }

    /// Takes the next bytes of the stream and appends what goes to the client to `out`. As long as the tap is not [committed](Self::committed) the
    /// caller holds that back.
    ///
    /// # Errors
    /// If the bytes cannot be told into frames. What was seen so far stays known.
    pub fn feed(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<(), FramingError> {
        if chunk.is_empty() || self.takes_for_body(chunk)? {
            return Ok(());
        }
        self.seen += chunk.len() as u64;
        if let Some(room) = SAMPLE.checked_sub(self.sample.len()).filter(|room| *room > 0) {
            self.sample.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        }
        if self.is_plain_content(chunk) {
            out.push(chunk.clone());
            return Ok(());
        }
        let mut input: &[u8] = chunk;
        let mut from = 0;
        let mut reader = std::mem::replace(&mut self.reader, Reader::new(Framing::NdJson));
        let outcome = loop {
            match reader.next(&mut input) {
                Ok(Some(frame)) => {
                    let hidden = self.frame(&frame);
                    let to = chunk.len() - input.len();
                    if self.by_frame() {
                        self.let_go(chunk.slice(from..to), hidden, out);
                        from = to;
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.reader = reader;
        if !self.by_frame() {
            out.push(chunk.clone());
        } else if from < chunk.len() {
            self.held.extend_from_slice(chunk.get(from..).unwrap_or_default());
            if outcome.is_err() && !self.guarded || matches!(&self.reader, Reader::Sse(reader) if reader.is_idle()) {
                out.push(self.held.split().freeze());
            }
        }
        outcome
    }

    /// The bytes are over: judges the last frame if its end is missing, and the body that came in place of a stream. Afterwards a [state](Self::state)
    /// of neither `Ended` nor `Failed` means that the stream was cut.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) {
        if let Some(body) = self.body.take() {
            return self.judge_body(body.freeze(), out);
        }
        let mut reader = std::mem::replace(&mut self.reader, Reader::new(Framing::NdJson));
        let hidden = matches!(reader.finish(), Ok(Some(frame)) if self.frame(&frame));
        let mut events = std::mem::take(&mut self.events);
        self.decoder.finish(&mut events);
        self.events = events;
        self.take_events();
        // A torn frame is nothing that somebody could go on behind.
        let torn = self.guarded && self.state != TapState::Ended;
        let held = self.held.split().freeze();
        if held.is_empty() {
            return;
        }
        if self.guarded && self.state == TapState::Failed {
            self.withheld.push(held);
        } else if !hidden && !torn {
            out.push(held);
        }
    }

    /// Whether frames are looked at one by one before they pass.
    fn by_frame(&self) -> bool {
        self.hide_usage || self.guarded
    }

    /// Between two frames: something else may be written to the client here.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty() && self.body.is_none() && self.reader.is_idle()
    }

    /// What the stream has come to.
    pub fn state(&self) -> TapState {
        self.state
    }

    /// Something of the answer has been seen: from here on no other deployment can take over.
    pub fn committed(&self) -> bool {
        self.committed
    }

    /// The answer ended, or is about to, and nothing was said in it. A body in place of a stream is not looked into.
    pub fn is_empty(&self) -> bool {
        self.committed && !self.spoke && !self.was_body
    }

    /// The counters so far. Unknown is `None`.
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    /// An estimate of the tokens that the answer has so far, from the share that text has in the stream's beginning.
    pub fn written(&self) -> u64 {
        if self.sample.is_empty() {
            return 0;
        }
        let folded = drive::fold_stream(self.format, &self.dialect, &self.sample);
        let tokens = u128::from(tokens::written(&folded.response)) * u128::from(self.seen) / self.sample.len() as u128;
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }

    /// How the first choice ended, once that is known.
    pub fn finish_reason(&self) -> Option<&Finish> {
        self.finish.as_ref()
    }

    /// The failure that the provider reported in the stream.
    pub fn error(&self) -> Option<&ApiError> {
        self.error.as_ref()
    }

    /// The provider's id of the answer.
    pub fn response_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Judges one frame. `true`: it is to be left out.
    fn frame(&mut self, frame: &Frame<'_>) -> bool {
        if matches!(self.state, TapState::Ended | TapState::Failed) {
            return self.guarded && self.state == TapState::Failed;
        }
        if self.committed && !is_marked(self.markers, frame) {
            return false;
        }
        let mut events = std::mem::take(&mut self.events);
        // A frame that is not what the format says tells nothing; the client gets it all the same.
        drop(self.decoder.feed(frame, &mut events));
        self.events = events;
        self.take_events();
        self.guarded && self.state == TapState::Failed || self.hide_usage && is_usage_alone(frame.data)
    }

    fn take_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            if matches!(self.state, TapState::Ended | TapState::Failed) {
                break;
            }
            if event.is_content() {
                self.spoke |= !matches!(event, StreamEvent::Finish { .. });
                self.committed = true;
                self.state = TapState::Content;
            }
            match event {
                StreamEvent::Start { id, .. } => {
                    self.id = self.id.take().or(id);
                }
                StreamEvent::Usage(usage) => self.usage.get_or_insert_default().update(usage),
                StreamEvent::Finish { choice: 0, finish } => self.finish = Some(finish),
                StreamEvent::Error(error) => {
                    self.error = Some(error);
                    self.state = TapState::Failed;
                }
                StreamEvent::End => {
                    // An answer that ends without content is one all the same.
                    self.committed = true;
                    self.state = TapState::Ended;
                }
                _ => {}
            }
        }
        self.events = events;
    }

    /// Whether `chunk` is a run of whole content frames, as it is for most chunks of most streams: then it need not be cut.
    fn is_plain_content(&self, chunk: &[u8]) -> bool {
        let Reader::Sse(reader) = &self.reader else { return false };
        self.committed
            && !(self.guarded && self.state == TapState::Failed)
            && self.held.is_empty()
            && reader.is_idle()
            && (chunk.ends_with(b"\n\n") || chunk.ends_with(b"\r\n\r\n"))
            && !is_marked(self.markers, &Frame::data(chunk))
    }

    fn let_go(&mut self, bytes: Bytes, hidden: bool, out: &mut Vec<Bytes>) {
        if hidden {
            let held = self.held.split().freeze();
            if self.state == TapState::Failed {
                self.withheld.extend([held, bytes]);
            }
            return;
        }
        if !self.held.is_empty() {
            out.push(self.held.split().freeze());
        }
        out.push(bytes);
    }

    /// Gathers a JSON body that comes where a stream was asked for.
    fn takes_for_body(&mut self, chunk: &[u8]) -> Result<bool, FramingError> {
        if self.at_start {
            let first = chunk.iter().find(|byte| !byte.is_ascii_whitespace());
            self.at_start = first.is_none();
            if matches!(first, Some(b'{' | b'[')) && matches!(self.reader, Reader::Sse(_)) {
                self.body = Some(BytesMut::new());
            }
        }
        let Some(body) = &mut self.body else { return Ok(false) };
        if body.len() + chunk.len() > MAX_BODY {
            return Err(FramingError::TooLarge { limit: MAX_BODY });
        }
        body.extend_from_slice(chunk);
        Ok(true)
    }

    fn judge_body(&mut self, body: Bytes, out: &mut Vec<Bytes>) {
        let facts = answer::facts(self.format, &body, &self.dialect);
        self.usage = facts.usage;
        self.id = facts.id;
        self.error = facts.error;
        if self.error.is_none() && serde_json::from_slice::<IgnoredAny>(&body).is_err() {
            self.error = Some(ApiError::new(ApiErrorKind::Upstream, "upstream answer ended early"));
        }
        self.state = if self.error.is_some() { TapState::Failed } else { TapState::Ended };
        self.committed = self.error.is_none();
        self.was_body = true;
        out.push(body);
    }
}

/// One marker, made ready for searching.
#[derive(Debug)]
struct Marker {
    finder: Finder<'static>,
    /// A quoted member name: does not count where the member is `null`.
    is_member: bool,
}

/// The markers of a format, made ready once.
fn markers(format: ApiFormat) -> &'static [Marker] {
    static MARKERS: [OnceLock<Vec<Marker>>; ApiFormat::ALL.len()] = [const { OnceLock::new() }; ApiFormat::ALL.len()];
    let make = || {
        let markers = format.codec().tap_markers().iter();
        markers
            .map(|marker| Marker {
                finder: Finder::new(*marker),
                is_member: marker.starts_with('"') && marker.ends_with('"'),
            })
            .collect()
    };
    MARKERS.get(format as usize).map_or(&[], |cell| cell.get_or_init(make).as_slice())
}

fn is_marked(markers: &[Marker], frame: &Frame<'_>) -> bool {
    frame.exception
        || markers.iter().any(|marker| {
            frame.event.is_some_and(|event| marker.finder.find(event.as_bytes()).is_some())
                || marker
                    .finder
                    .find_iter(frame.data)
                    .any(|at| !(marker.is_member && is_null_member(frame.data, at + marker.finder.needle().len())))
        })
}

/// Whether `: null` stands at `at`.
fn is_null_member(data: &[u8], at: usize) -> bool {
    let rest = data.get(at..).unwrap_or_default().trim_ascii_start();
    rest.strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().starts_with(b"null"))
}

/// Whether a Chat chunk holds usage and no choice: the frame that `include_usage` adds.
fn is_usage_alone(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Chunk {
        choices: Option<Vec<IgnoredAny>>,
        usage: Option<IgnoredAny>,
        error: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Chunk>(data).is_ok_and(|chunk| {
        chunk.usage.is_some() && chunk.error.is_none() && chunk.choices.is_some_and(|choices| choices.is_empty())
    })
}

#[cfg(test)]
#[path = "tap_tests.rs"]
mod tests;
