//! One upstream stream on its way to the client: passed on as it came under a watching tap, or converted.
//!
//! The rest of the pipeline does not care which; it asks for the commit point, the end, counters and failures.

use std::collections::VecDeque;

use bytes::Bytes;
use myelin_protocol::drive::{DriveState, StreamDriver};
use myelin_protocol::fold::Folded;
use myelin_protocol::ir::{FinishReason, Loss, StreamEvent, Usage};
use myelin_protocol::resume::{Listener, Said};
use myelin_protocol::tap::{StreamTap, TapState};
use myelin_protocol::{ApiError, ApiErrorKind, StreamEncoder};

use super::edits::Editor;
use super::heard::Heard;
use super::resume::Rest;

/// Bytes for the client, in order.
pub(crate) type Output = VecDeque<Bytes>;

/// One upstream stream on its way to the client.
pub(crate) enum Relay {
    /// Same format: the bytes pass, the tap watches.
    Pass(Box<Pass>),
    /// Another format.
    Convert(Box<StreamDriver>),
    /// Everything was written at once: the provider answered a stream request with one JSON body.
    Written,
    /// No format at all: sound, pictures. The bytes pass, nobody looks.
    Raw(Raw),
    /// One of these, with an owner's changes before or behind it.
    Edited(Box<Edited>),
}

/// How far bytes of no format have come.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    over: bool,
    broken: Option<ApiError>,
}

/// A stream with an owner's changes in its events.
pub(crate) struct Edited {
    inner: Relay,
    /// In the provider's words.
    before: Option<Box<Editor>>,
    /// In the client's.
    behind: Option<Box<Editor>>,
}

impl Edited {
    /// Changes what the inner one wrote.
    fn behind(&mut self, mut wrote: Output, out: &mut Output) {
        match &mut self.behind {
            Some(editor) => {
                for bytes in wrote {
                    let bytes = editor.feed(bytes);
                    if !bytes.is_empty() {
                        out.push_back(bytes);
                    }
                }
            }
            None => out.append(&mut wrote),
        }
    }

    fn feed(&mut self, chunk: Bytes, out: &mut Output) {
        let chunk = match &mut self.before {
            Some(editor) => editor.feed(chunk),
            None => chunk,
        };
        if !chunk.is_empty() {
            let mut wrote = Output::new();
            self.inner.feed(chunk, &mut wrote);
            self.behind(wrote, out);
        }
    }

    fn finish(&mut self, out: &mut Output) {
        let mut wrote = Output::new();
        if let Some(rest) = self.before.as_mut().map(|editor| editor.finish()).filter(|rest| !rest.is_empty()) {
            self.inner.feed(rest, &mut wrote);
        }
        self.inner.finish(&mut wrote);
        self.behind(wrote, out);
        if let Some(rest) = self.behind.as_mut().map(|editor| editor.finish()).filter(|rest| !rest.is_empty()) {
            out.push_back(rest);
        }
    }
}

/// Same format on both sides.
pub(crate) struct Pass {
    tap: StreamTap,
    /// Writes keep-alives and error events, nothing else.
    encoder: Box<dyn StreamEncoder>,
    /// Ours, for those events.
    request_id: String,
    /// What the tap lets through, before it is queued.
    passed: Vec<Bytes>,
    /// The bytes are no frames, or they ended too early.
    broken: Option<ApiError>,
    /// Remembers what was said, if somebody else may have to go on with it. Then failures after content are not told at once.
    listener: Option<Box<Listener>>,
    told: bool,
    /// Hears what passes, as long as its provider may not store it.
    heard: Option<Heard>,
}

impl Pass {
    /// `encoder` writes the client's format; `request_id` is ours. With a `listener` the tap has to be a guarded one.
    pub(crate) fn new(
        tap: StreamTap,
        encoder: Box<dyn StreamEncoder>,
        request_id: String,
        listener: Option<Box<Listener>>,
    ) -> Self {
        Self { tap, encoder, request_id, passed: Vec::new(), broken: None, listener, told: false, heard: None }
    }

    /// Hears what passes, as long as its provider may not store it.
    pub(crate) fn hearing(mut self, heard: Option<Heard>) -> Self {
        self.heard = heard;
        self
    }

    fn feed(&mut self, chunk: &Bytes, out: &mut Output) {
        let outcome = self.tap.feed(chunk, &mut self.passed);
        out.extend(self.passed.drain(..));
        if let Err(error) = outcome {
            let error = ApiError::new(ApiErrorKind::Upstream, format!("the provider's stream is corrupt: {error}"));
            self.breaks(error, out);
        }
        if let Some(listener) = &mut self.listener {
            listener.feed(chunk);
        }
    }

    fn breaks(&mut self, error: ApiError, out: &mut Output) {
        if self.tap.committed() && self.listener.is_none() {
            self.interrupt(&error, out);
        }
        self.broken = Some(error);
    }

    fn tell(&mut self, out: &mut Output) {
        if self.told || self.listener.is_none() {
            return;
        }
        // The provider's own words, if it is one of those.
        let withheld = self.tap.take_withheld();
        match self.broken.clone().or_else(|| self.tap.error().cloned()) {
            Some(error) if self.broken.is_some() || withheld.is_empty() => self.interrupt(&error, out),
            _ => out.extend(withheld.into_iter().filter(|bytes| !bytes.is_empty())),
        }
        self.told = true;
    }

    fn interrupt(&mut self, error: &ApiError, out: &mut Output) {
        self.told = true;
        let mut bytes = Vec::new();
        if !self.tap.is_idle() && self.listener.is_none() {
            // The client is inside a frame: end it, so that ours is read.
            bytes.extend_from_slice(b"\n\n");
        }
        let told = ApiError { request_id: Some(self.request_id.clone()), ..error.clone() };
        self.encoder.push(&StreamEvent::Error(told), &mut bytes);
        push(out, bytes);
    }
}

impl Relay {
    /// Bytes of no format.
    pub(crate) fn raw() -> Self {
        Relay::Raw(Raw::default())
    }

    /// Whether the client can only tell a failure by a connection that breaks off.
    pub(crate) fn is_raw(&self) -> bool {
        matches!(self, Relay::Raw(_))
    }

    /// With an owner's changes before and behind, if there are any.
    pub(crate) fn edited(self, before: Option<Box<Editor>>, behind: Option<Box<Editor>>) -> Self {
        if before.is_none() && behind.is_none() {
            return self;
        }
        Self::Edited(Box::new(Edited { inner: self, before, behind }))
    }

    /// Takes bytes from upstream.
    pub(crate) fn feed(&mut self, chunk: Bytes, out: &mut Output) {
        match self {
            Relay::Pass(pass) => {
                let chunk = match &mut pass.heard {
                    Some(heard) => heard.take(chunk),
                    None => chunk,
                };
                pass.heard.take_if(|heard| heard.is_over());
                pass.feed(&chunk, out);
            }
            Relay::Convert(driver) => {
                let mut bytes = Vec::new();
                driver.feed(&chunk, &mut bytes);
                push(out, bytes);
            }
            Relay::Written => {}
            Relay::Raw(_) => out.push_back(chunk),
            Relay::Edited(edited) => edited.feed(chunk, out),
        }
    }

    /// Upstream's bytes are over. A stream without its terminal is a failure, told to the client.
    pub(crate) fn finish(&mut self, out: &mut Output) {
        match self {
            Relay::Pass(pass) => {
                if let Some(rest) = pass.heard.as_mut().map(Heard::finish) {
                    pass.feed(&rest, out);
                }
                pass.tap.finish(&mut pass.passed);
                out.extend(pass.passed.drain(..));
                if !matches!(pass.tap.state(), TapState::Ended | TapState::Failed) && pass.broken.is_none() {
                    let error = ApiError::new(ApiErrorKind::Upstream, "the provider's stream ended early");
                    pass.breaks(error, out);
                }
            }
            Relay::Convert(driver) => {
                let mut bytes = Vec::new();
                driver.finish(&mut bytes);
                push(out, bytes);
            }
            Relay::Written => {}
            Relay::Raw(raw) => raw.over = true,
            Relay::Edited(edited) => edited.finish(out),
        }
    }

    /// Something of the answer was seen: another deployment can no longer take over.
    pub(crate) fn committed(&self) -> bool {
        match self {
            Relay::Pass(pass) => pass.tap.committed(),
            Relay::Convert(driver) => driver.committed(),
            Relay::Written => true,
            Relay::Raw(_) => true,
            Relay::Edited(edited) => edited.inner.committed(),
        }
    }

    /// The format's terminal was seen.
    pub(crate) fn complete(&self) -> bool {
        match self {
            Relay::Pass(pass) => pass.tap.state() == TapState::Ended,
            Relay::Convert(driver) => driver.state() == DriveState::Ended,
            Relay::Written => true,
            Relay::Raw(raw) => raw.over && raw.broken.is_none(),
            Relay::Edited(edited) => edited.inner.complete(),
        }
    }

    /// The failure that was reported in the stream, or that the stream itself is (corrupt, cut).
    pub(crate) fn failure(&self) -> Option<&ApiError> {
        match self {
            Relay::Pass(pass) => pass.broken.as_ref().or_else(|| pass.tap.error()),
            Relay::Convert(driver) => driver.error(),
            Relay::Written => None,
            Relay::Raw(raw) => raw.broken.as_ref(),
            Relay::Edited(edited) => edited.inner.failure(),
        }
    }

    /// What the client gets is what the deployment sent.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Relay::Pass(_) => true,
            Relay::Raw(_) => true,
            Relay::Convert(_) | Relay::Written | Relay::Edited(_) => false,
        }
    }

    /// Counters so far.
    pub(crate) fn usage(&self) -> Option<&Usage> {
        match self {
            Relay::Pass(pass) => pass.tap.usage(),
            Relay::Convert(driver) => driver.usage(),
            Relay::Written => None,
            Relay::Raw(_) => None,
            Relay::Edited(edited) => edited.inner.usage(),
        }
    }

    /// An estimate of the tokens that were written so far, for a stream that breaks off before its provider counts them; `None`: it is no
    /// conversation.
    pub(crate) fn written(&self) -> Option<u64> {
        match self {
            Relay::Pass(pass) => Some(pass.tap.written()),
            Relay::Convert(driver) => Some(driver.written()),
            Relay::Written | Relay::Raw(_) => None,
            Relay::Edited(edited) => edited.inner.written(),
        }
    }

    /// The answer ended, or is about to, and nothing was said in it.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Relay::Pass(pass) => pass.tap.is_empty(),
            Relay::Convert(driver) => driver.is_empty(),
            Relay::Written | Relay::Raw(_) => false,
            Relay::Edited(edited) => edited.inner.is_empty(),
        }
    }

    /// Why the answer ended.
    pub(crate) fn finish_reason(&self) -> Option<&FinishReason> {
        match self {
            Relay::Pass(pass) => pass.tap.finish_reason().map(|finish| &finish.reason),
            Relay::Convert(driver) => driver.finish_reason().map(|finish| &finish.reason),
            Relay::Written => None,
            Relay::Raw(_) => None,
            Relay::Edited(edited) => edited.inner.finish_reason(),
        }
    }

    /// The provider's id of the answer.
    pub(crate) fn response_id(&self) -> Option<&str> {
        match self {
            Relay::Pass(pass) => pass.tap.response_id(),
            Relay::Convert(driver) => driver.response_id(),
            Relay::Written => None,
            Relay::Raw(_) => None,
            Relay::Edited(edited) => edited.inner.response_id(),
        }
    }

    /// The answer as the client saw it, if it was kept.
    pub(crate) fn folded(&mut self) -> Option<Folded> {
        match self {
            Relay::Convert(driver) => driver.folded(),
            Relay::Raw(_) => None,
            Relay::Edited(edited) => edited.inner.folded(),
            Relay::Pass(_) | Relay::Written => None,
        }
    }

    /// What was heard of an answer that its provider does not store.
    pub(crate) fn heard(&mut self) -> Option<Heard> {
        match self {
            Relay::Pass(pass) => pass.heard.take(),
            Relay::Edited(edited) => edited.inner.heard(),
            Relay::Convert(_) | Relay::Written | Relay::Raw(_) => None,
        }
    }

    /// What could not be carried so far.
    pub(crate) fn losses(&mut self) -> Vec<Loss> {
        match self {
            Relay::Convert(driver) => driver.losses(),
            Relay::Raw(_) => Vec::new(),
            Relay::Edited(edited) => edited.inner.losses(),
            Relay::Pass(_) | Relay::Written => Vec::new(),
        }
    }

    /// Breaks off with a failure that the client reads in its own format.
    pub(crate) fn interrupt(&mut self, error: &ApiError, out: &mut Output) {
        match self {
            Relay::Pass(pass) => {
                pass.interrupt(error, out);
                pass.broken = Some(error.clone());
            }
            Relay::Convert(driver) => {
                let mut bytes = Vec::new();
                driver.fail(error.clone(), &mut bytes);
                driver.write_error(&mut bytes);
                push(out, bytes);
            }
            Relay::Raw(raw) => raw.broken = Some(error.clone()),
            Relay::Edited(edited) => edited.inner.interrupt(error, out),
            Relay::Written => {}
        }
    }

    /// What the client has seen, if somebody else may have to go on with it.
    pub(crate) fn said(&self) -> Option<&Said> {
        match self {
            Relay::Pass(pass) => pass.listener.as_ref().map(|listener| listener.said()),
            Relay::Convert(driver) => driver.said(),
            Relay::Edited(edited) => edited.inner.said(),
            Relay::Written | Relay::Raw(_) => None,
        }
    }

    /// It broke off, and the client is not told yet: only for those that [remember](Self::said).
    pub(crate) fn break_off(&mut self, error: &ApiError) {
        match self {
            Relay::Pass(pass) => pass.broken = Some(error.clone()),
            Relay::Convert(driver) => driver.fail(error.clone(), &mut Vec::new()),
            Relay::Edited(edited) => edited.inner.break_off(error),
            Relay::Written | Relay::Raw(_) => {}
        }
    }

    /// Nobody goes on: the client is told, if it is not yet.
    pub(crate) fn tell(&mut self, out: &mut Output) {
        match self {
            Relay::Pass(pass) => pass.tell(out),
            Relay::Convert(driver) => {
                let mut bytes = Vec::new();
                driver.write_error(&mut bytes);
                push(out, bytes);
            }
            Relay::Edited(edited) => {
                let mut wrote = Output::new();
                edited.inner.tell(&mut wrote);
                edited.behind(wrote, out);
            }
            Relay::Written | Relay::Raw(_) => {}
        }
    }

    /// The next bytes are another deployment's, which goes on with what was said.
    pub(crate) fn go_on(&mut self, mut rest: Rest) {
        if let Relay::Edited(edited) = self {
            edited.before = rest.editor.take();
            return edited.inner.go_on(rest);
        }
        if let Relay::Pass(pass) = self {
            let said = pass.listener.as_ref().map(|listener| listener.said().clone()).unwrap_or_default();
            let driver = StreamDriver::after(said, rest.client, rest.context);
            *self = Relay::Convert(Box::new(if pass.heard.is_some() { driver.folding() } else { driver }));
        }
        if let Relay::Convert(driver) = self {
            driver.go_on(rest.format, &rest.dialect, rest.names, rest.before);
        }
        if rest.editor.is_some() {
            let inner = std::mem::replace(self, Relay::Written);
            *self = inner.edited(rest.editor, None);
        }
    }

    /// Writes what keeps the connection alive, if this is a place for it.
    pub(crate) fn keep_alive(&mut self, out: &mut Output) {
        let mut bytes = Vec::new();
        match self {
            Relay::Pass(pass) if pass.tap.is_idle() || pass.listener.is_some() => pass.encoder.keep_alive(&mut bytes),
            Relay::Convert(driver) => driver.keep_alive(&mut bytes),
            Relay::Raw(_) => {}
            Relay::Edited(edited) => edited.inner.keep_alive(out),
            Relay::Pass(_) | Relay::Written => {}
        }
        push(out, bytes);
    }
}

fn push(out: &mut Output, bytes: Vec<u8>) {
    if !bytes.is_empty() {
        out.push_back(Bytes::from(bytes));
    }
}
