//! What an upstream answered with success: read whole, or up to the commit point, and written in the client's format.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use myelin_protocol::drive::{self, StreamDriver};
use myelin_protocol::ir::{ChatResponse, Content, FinishReason};
use myelin_protocol::lower::NameMap;
use myelin_protocol::resume::Listener;
use myelin_protocol::tap::StreamTap;
use myelin_protocol::{ApiError, ApiFormat, answer, fold};

use super::Job;
use super::ask::reply_context;
use super::attempt::{Run, Sent};
use super::dispatch::collect;
use super::edits;
use super::origins::Maker;
use super::relay::{Output, Pass, Relay};
use super::stored::{self, Keep};
use crate::error::{GatewayError, Kind, Retry, codes};
use crate::model::CutStreams;
use crate::providers::{Accepted, LiveChannel, Operation};
use crate::routing::Candidate;
use crate::store::BodyKind;
use crate::upstream::timeouts::{Deadline, Limits, Waiting};
use crate::upstream::{self, UpstreamError};

/// A whole answer in the client's format.
pub(super) struct Whole {
    pub body: Bytes,
    pub headers: HeaderMap,
}

/// A stream whose commit point was reached.
pub(super) struct Begun {
    pub body: Option<upstream::ReplyBody>,
    pub relay: Relay,
    pub out: Output,
    pub limits: Limits,
    pub keep: Option<Keep>,
    pub maker: Maker,
    pub over: bool,
    /// Who answers, if the answer may be gone on with when it breaks off.
    pub from: Option<(Candidate, Arc<LiveChannel>)>,
}

impl Run {
    /// Reads a whole answer and writes it in the client's format.
    pub(super) async fn read_whole(&mut self, sent: Sent) -> Result<Whole, GatewayError> {
        let (parts, body) = sent.response.into_parts();
        let bytes = collect(&sent.channel, body, &sent.limits, sent.deadline).await?;
        if sent.names.is_some() {
            self.job.settle.kept(BodyKind::Upstream, std::slice::from_ref(&bytes));
        }
        let (format, dialect) = (sent.accepted.format, &*sent.accepted.dialect);
        let mut headers = if sent.names.is_none() { passed_headers(&parts.headers) } else { HeaderMap::new() };
        let mut bytes = self.received(&sent.channel, &sent.candidate, &sent.accepted, bytes, &mut headers);
        let Some(names) = sent.names else {
            let facts = answer::facts(format, &bytes, dialect);
            if let Some(error) = facts.error {
                return Err(self.job.in_band(&sent.channel, error));
            }
            if facts.usage.is_none() {
                // Not what an answer looks like: read it whole to be sure that it is one.
                answer::read(format, &bytes, dialect).map_err(|error| self.job.in_band(&sent.channel, *error))?;
            }
            if self.job.empty_fails(&sent.channel, &sent.candidate.upstream)
                && answer::read(format, &bytes, dialect).is_ok_and(|response| says_nothing(&response))
            {
                return Err(empty("the provider's answer holds nothing"));
            }
            if let Some(usage) = facts.usage {
                self.job.settle.usage(usage);
            }
            if let (Some(keep), Some(id)) = (self.keep(&sent.candidate, &sent.accepted, true), facts.id) {
                bytes = keep.native(&self.job.services, &id, bytes);
            }
            self.job.services.origins.note(&bytes, &sent.maker);
            return Ok(self.given(Whole { headers, body: bytes }));
        };
        let mut response =
            if sent.streams { folded(&sent.accepted, &bytes) } else { answer::read(format, &bytes, dialect) }
                .map_err(|error| self.job.in_band(&sent.channel, *error))?;
        names.lift_response(&mut response);
        if self.is_kept_by_id() {
            response.id = None;
        }
        if says_nothing(&response) && self.job.empty_fails(&sent.channel, &sent.candidate.upstream) {
            return Err(empty("the provider's answer holds nothing"));
        }
        self.job.book(&response)?;
        let tree = self.ask.tree()?;
        let context = reply_context(&self.job, &self.ask, Some(tree));
        let encoded = self.ask.write(&response, &context);
        self.job.settle.answer_losses(&encoded.losses);
        stored::keep_answer(&self.job, &mut self.ask, &response);
        self.job.services.origins.note(&encoded.value, &sent.maker);
        Ok(self.given(Whole { headers, body: encoded.value.into() }))
    }

    /// A whole answer with the channel's changes in it.
    fn received(
        &self,
        channel: &LiveChannel,
        candidate: &Candidate,
        accepted: &Accepted,
        bytes: Bytes,
        headers: &mut HeaderMap,
    ) -> Bytes {
        let operation = Operation::Chat { accepted, stream: false };
        match self.job.answer_editor(channel, &candidate.upstream, &operation, edits::framing(accepted.format)) {
            Some(editor) => editor.whole(bytes, headers),
            None => bytes,
        }
    }

    /// A whole answer with the profile's changes in it.
    fn given(&self, mut whole: Whole) -> Whole {
        if let Some(editor) = self.job.reply_editor(&self.ask) {
            whole.body = editor.whole(whole.body, &mut whole.headers);
        }
        whole
    }

    /// Reads a stream up to the commit point.
    pub(super) async fn read_to_commit(&mut self, sent: Sent) -> Result<Begun, GatewayError> {
        if is_json(&sent.response) {
            return self.whole_as_stream(sent).await;
        }
        let keep = self.keep(&sent.candidate, &sent.accepted, sent.names.is_none());
        let operation = Operation::Chat { accepted: &sent.accepted, stream: true };
        let framing = edits::framing(sent.accepted.format);
        let before = self.job.answer_editor(&sent.channel, &sent.candidate.upstream, &operation, framing);
        let behind = self.job.reply_editor(&self.ask);
        // An answer that its provider stores is the provider's own to the end.
        let resumes = keep.as_ref().is_none_or(Keep::is_ours)
            && self.job.cut_streams(&sent.channel, &sent.candidate.upstream) == CutStreams::Resume;
        let mut relay = self.relay(&sent.accepted, sent.names, keep.as_ref(), resumes)?.edited(before, behind);
        let mut body = sent.response.into_body();
        let mut out = Output::new();
        let mut over = false;
        let until_token = Deadline::start(&Limits { total: Some(sent.limits.first_token), ..sent.limits });
        while !relay.committed() && !over {
            let read = until_token.within(Waiting::FirstToken, sent.limits.idle, body.frame());
            let late = |error: UpstreamError| error.into_gateway(sent.channel.name());
            match sent
                .deadline
                .within(Waiting::FirstToken, sent.limits.first_token, read)
                .await
                .map_err(late)?
                .map_err(late)?
            {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        relay.feed(data, &mut out);
                    }
                }
                Some(Err(error)) => return Err(late(error)),
                None => {
                    relay.finish(&mut out);
                    over = true;
                }
            }
            if let Some(failure) = relay.failure()
                && !relay.committed()
            {
                let error = self.job.in_band(&sent.channel, failure.clone());
                // A stream without its end was cut, whatever else may be said of it.
                return Err(if over && failure.code.is_none() { error.code(codes::CUT) } else { error });
            }
        }
        if relay.is_empty() && self.job.empty_fails(&sent.channel, &sent.candidate.upstream) {
            return Err(empty("the provider's answer holds nothing"));
        }
        over |= relay.complete() || relay.failure().is_some();
        // The time that is gone counts: the limit is on the whole attempt.
        let limits = Limits { total: sent.deadline.left(), ..sent.limits };
        let from = resumes.then_some((sent.candidate, sent.channel));
        Ok(Begun { body: Some(body), relay, out, limits, keep, maker: sent.maker, over, from })
    }

    /// `keep`: what is stored of the answer. `resumes`: somebody else may have to go on with it.
    fn relay(
        &mut self,
        accepted: &Accepted,
        names: Option<NameMap>,
        keep: Option<&Keep>,
        resumes: bool,
    ) -> Result<Relay, GatewayError> {
        let client = self.ask.format.codec();
        let Some(names) = names else {
            let encoder = client.stream_encoder(reply_context(&self.job, &self.ask, None));
            let tap = StreamTap::new(accepted.format, &accepted.dialect);
            let tap = if self.ask.include_usage { tap } else { tap.hide_usage() };
            let tap = if resumes { tap.guarded() } else { tap };
            let listener = resumes.then(|| Box::new(Listener::new(accepted.format, &accepted.dialect)));
            let pass = Pass::new(tap, encoder, self.job.settle.record().id.clone(), listener);
            let pass = pass.hearing(keep.and_then(Keep::hears));
            return Ok(Relay::Pass(Box::new(pass)));
        };
        let tree = self.ask.tree()?;
        let context = reply_context(&self.job, &self.ask, Some(tree));
        let driver = StreamDriver::new(accepted.format, &accepted.dialect, names, self.ask.format, context);
        let driver = if keep.is_some() { driver.folding() } else { driver };
        let driver = if self.is_kept_by_id() { driver.nameless() } else { driver };
        Ok(Relay::Convert(Box::new(if resumes { driver.remembering() } else { driver })))
    }

    /// The client wants a stream, the provider answered at once.
    async fn whole_as_stream(&mut self, sent: Sent) -> Result<Begun, GatewayError> {
        let bytes = collect(&sent.channel, sent.response.into_body(), &sent.limits, sent.deadline).await?;
        let bytes = self.received(&sent.channel, &sent.candidate, &sent.accepted, bytes, &mut HeaderMap::new());
        let mut response = answer::read(sent.accepted.format, &bytes, &sent.accepted.dialect)
            .map_err(|error| self.job.in_band(&sent.channel, *error))?;
        if let Some(names) = &sent.names {
            names.lift_response(&mut response);
        }
        if self.is_kept_by_id() {
            response.id = None;
        }
        self.job.book(&response)?;
        let tree = self.ask.tree()?;
        let context = reply_context(&self.job, &self.ask, Some(tree));
        stored::keep_answer(&self.job, &mut self.ask, &response);
        let mut encoder = self.ask.format.codec().stream_encoder(context);
        let mut written = Vec::new();
        for event in fold::unfold(response) {
            encoder.push(&event, &mut written);
        }
        let mut written = Bytes::from(written);
        if let Some(mut editor) = self.job.reply_editor(&self.ask) {
            written = editor.feed(written);
        }
        let out = Output::from([written]);
        Ok(Begun {
            body: None,
            relay: Relay::Written,
            out,
            limits: sent.limits,
            keep: None,
            maker: sent.maker,
            over: true,
            from: None,
        })
    }

    /// The client may go on from what is written here by its id: that is ours, whatever the provider calls it.
    fn is_kept_by_id(&self) -> bool {
        self.ask.format == ApiFormat::OpenaiResponses
    }

    /// What has to be stored when this candidate's answer is complete.
    fn keep(&mut self, candidate: &Candidate, accepted: &Accepted, native: bool) -> Option<Keep> {
        let native = native.then_some(accepted.stateless);
        stored::keep(&self.job, &mut self.ask, candidate, native)
    }
}

impl Job {
    /// Books what a converted answer says; an answer that is nothing but a failure is one.
    fn book(&mut self, response: &ChatResponse) -> Result<(), GatewayError> {
        if let Some(usage) = &response.usage {
            self.settle.usage(usage.clone());
        }
        let Some(choice) = response.first() else { return Err(empty("the provider's answer holds nothing")) };
        if let Some(finish) = &choice.finish {
            self.settle.finish_reason(&finish.reason);
            if finish.reason == FinishReason::Error && choice.parts.is_empty() {
                let native = finish.native.as_deref().unwrap_or("error");
                return Err(empty(&format!("the provider gave up: {native}")));
            }
        }
        Ok(())
    }
}

/// A stream read whole: for a client that wants one answer from a provider that only streams.
fn folded(accepted: &Accepted, bytes: &[u8]) -> Result<ChatResponse, Box<ApiError>> {
    let folded = drive::fold_stream(accepted.format, &accepted.dialect, bytes);
    match (folded.error, folded.complete) {
        (Some(error), _) => Err(Box::new(error)),
        (None, true) => Ok(folded.response),
        (None, false) => Err(Box::new(empty("the provider's stream ended early").public)),
    }
}

fn empty(message: &str) -> GatewayError {
    GatewayError::new(Kind::UpstreamFailed, message).retry(Retry::Elsewhere).code(codes::EMPTY)
}

/// Whether nothing was said: no text, no call, no thinking, and no reason for it but the end.
fn says_nothing(response: &ChatResponse) -> bool {
    response.choices.iter().all(|choice| {
        let ended = choice.finish.as_ref().is_none_or(|finish| finish.reason == FinishReason::Stop);
        ended
            && choice
                .parts
                .iter()
                .all(|part| matches!(&part.content, Content::Text(text) if text.text.trim().is_empty()))
    })
}

/// Whether a provider answered a call for a stream with one JSON body. Gemini labels its errors as streams; the tap looks at the bytes for that.
fn is_json(response: &upstream::Reply) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// What of a provider's head a client of the same format may see: its limits and its hints.
pub(super) fn passed_headers(headers: &HeaderMap) -> HeaderMap {
    // Not all of `openai-`: its `organization` and `project` tell whose account the owner uses.
    const PREFIXES: [&str; 5] =
        ["x-ratelimit-", "anthropic-ratelimit-", "openai-processing-", "openai-version", "x-amzn-bedrock-"];
    let passed = headers.iter().filter(|(name, _)| PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix)));
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}
