//! The attempts loop: one candidate after the other until one answers, nothing helps any more, or the commit point is passed.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use myelin_protocol::drive::{self, StreamDriver};
use myelin_protocol::formats::bedrock_converse;
use myelin_protocol::ir::{ChatRequest, ChatResponse, FinishReason, Loss};
use myelin_protocol::lower::{self, NameMap};
use myelin_protocol::tap::StreamTap;
use myelin_protocol::{ApiError, ApiFormat, answer, fold};

use super::chat::{Ask, reply_context, stream_type};
use super::origins::Maker;
use super::relay::{Output, Pass, Relay};
use super::reply::{Reply, ReplyBody, describe};
use super::settle::Settle;
use super::stored::{self, Follow, Keep};
use super::stream::{Live, StreamReply};
use super::target::Deployments;
use super::tries::Tries;
use super::{Job, error, media, passthrough};
use crate::error::{GatewayError, Kind, Retry};
use crate::model::{AttemptOutcome, AttemptRecord, RequestState};
use crate::providers::{Accepted, ChannelError, ClientHead, LiveChannel, Operation, Payload};
use crate::routing::Candidate;
use crate::snapshot::Line;
use crate::upstream::timeouts::{Deadline, Limits, Waiting};
use crate::upstream::{self, UpstreamError};

/// How long the head of a stream is held for a real status.
const HEAD_HOLD: Duration = Duration::from_secs(10);
/// Largest whole answer that is read.
const ANSWER_BYTES: usize = 256 << 20;
/// How long an error answer is waited for.
const ERROR_PATIENCE: Duration = Duration::from_secs(10);
/// Largest error answer that is read; the rest says nothing new.
const ERROR_BYTES: usize = 256 << 10;
/// All attempts failed: with what, and the record to settle.
pub(crate) struct AllFailed {
    /// The failure that tells the caller most.
    pub error: GatewayError,
    /// The record.
    pub settle: Settle,
}

/// Boxed: it travels inside results of the hot path.
pub(crate) type Failed = Box<AllFailed>;

/// A request under way.
struct Run {
    job: Job,
    ask: Ask,
    deployments: Deployments,
    follow: Follow,
}

/// An upstream that answered with success; its body is still to be read.
struct Sent {
    response: upstream::Reply,
    channel: Arc<LiveChannel>,
    deadline: Deadline,
    accepted: Accepted,
    /// Whose opaque reasoning the answer holds.
    maker: Maker,
    /// `None`: bytes pass. Else: names to restore in the answer.
    names: Option<NameMap>,
    /// Upstream was asked for a stream.
    streams: bool,
    limits: Limits,
    candidate: Candidate,
}

/// A whole answer in the client's format.
struct Whole {
    body: Bytes,
    headers: HeaderMap,
}

/// Runs the attempts and answers.
pub(crate) async fn run(job: Job, ask: Ask, deployments: Deployments, follow: Follow) -> Reply {
    let format = ask.format;
    let run = Run { job, ask, deployments, follow };
    if run.ask.stream {
        return stream(run).await;
    }
    match whole(run).await {
        Ok((answer, settle)) => whole_reply(answer, settle).await,
        Err(failed) => error::reply(format, failed.error, failed.settle),
    }
}

async fn stream(run: Run) -> Reply {
    let (format, json_array) = (run.ask.format, run.ask.json_array);
    let context = reply_context(&run.job, &run.ask, None);
    let early = run.job.settle.record().clone();
    let mut attempts: Pin<Box<dyn Future<Output = Result<Live, Failed>> + Send>> = Box::pin(first_content(run));
    let mut head = http::Response::new(ReplyBody::Empty);
    let headers = head.headers_mut();
    headers.insert(CONTENT_TYPE, stream_type(format, json_array));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    let body = match tokio::time::timeout(HEAD_HOLD, &mut attempts).await {
        Ok(Ok(live)) => {
            describe(headers, live.settle.record());
            StreamReply::live(live)
        }
        Ok(Err(failed)) if json_array => return error::reply_in_array(failed.error, failed.settle),
        Ok(Err(failed)) => return error::reply(format, failed.error, failed.settle),
        Err(_) => {
            describe(headers, &early);
            StreamReply::waiting(attempts, format.codec().stream_encoder(context))
        }
    };
    *head.body_mut() = ReplyBody::Stream(Box::new(body));
    head
}

async fn whole_reply(answer: Whole, mut settle: Settle) -> Reply {
    let mut reply = http::Response::new(ReplyBody::Empty);
    *reply.headers_mut() = answer.headers;
    reply.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    describe(reply.headers_mut(), settle.record());
    settle.record_mut().bytes_out = answer.body.len() as u64;
    settle.complete_durably(RequestState::Completed, 200).await;
    *reply.body_mut() = ReplyBody::Whole(answer.body);
    reply
}

/// Tries candidates until one gives a whole answer.
async fn whole(mut run: Run) -> Result<(Whole, Settle), Failed> {
    let mut tries = Tries::new(&run.deployments.candidates, run.job.snapshot.settings.max_attempts);
    while let Some(candidate) = tries.next().await {
        let result = match run.send(&candidate).await {
            Ok(sent) => run.read_whole(sent).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(answer) => {
                run.job.settle.close_attempt(AttemptOutcome::Answered, None);
                return Ok((answer, run.job.settle));
            }
            Err(error) => {
                run.note(&error);
                tries.failed(candidate, error);
            }
        }
    }
    Err(Box::new(AllFailed { error: tries.verdict(), settle: run.job.settle }))
}

/// Tries candidates until one shows content.
async fn first_content(mut run: Run) -> Result<Live, Failed> {
    let mut tries = Tries::new(&run.deployments.candidates, run.job.snapshot.settings.max_attempts);
    while let Some(candidate) = tries.next().await {
        let result = match run.send(&candidate).await {
            Ok(sent) => run.read_to_commit(sent).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(begun) => {
                let Begun { body, relay, out, limits, keep, maker, over } = begun;
                let mut live = Live::new(body, relay, out, run.job.settle, &limits, maker);
                live.keep = keep;
                live.over = over;
                return Ok(live);
            }
            Err(error) => {
                run.note(&error);
                tries.failed(candidate, error);
            }
        }
    }
    Err(Box::new(AllFailed { error: tries.verdict(), settle: run.job.settle }))
}

/// A stream whose commit point was reached.
struct Begun {
    body: Option<upstream::ReplyBody>,
    relay: Relay,
    out: Output,
    limits: Limits,
    keep: Option<Keep>,
    maker: Maker,
    over: bool,
}

impl Run {
    /// Sends the request to one candidate; anything but success is an error.
    async fn send(&mut self, candidate: &Candidate) -> Result<Sent, GatewayError> {
        let line = self.job.line(candidate)?;
        let channel = line.channel.clone();
        let accepted = channel.accepts(self.ask.format, &candidate.upstream).ok_or_else(|| {
            let message = format!("the channel {} has no endpoint for {:?}", channel.name(), candidate.upstream);
            GatewayError::new(Kind::NoCandidate, message).retry(Retry::Elsewhere)
        })?;
        self.job.open_attempt(&channel, candidate, accepted.format.as_str());
        let streams = self.ask.stream || accepted.dialect.stream_only;
        let maker = Maker::of(&channel, candidate, accepted.format == ApiFormat::OpenaiResponses);
        let (body, names) = self.encode(&accepted, &candidate.upstream, streams, &maker).await?;
        let limits = self.job.limits(&channel);
        let deadline = Deadline::start(&limits);
        let operation = Operation::Chat { accepted: &accepted, stream: streams };
        let response = self.job.dispatch(&line, candidate, &operation, accepted.native, body, deadline).await?;
        if !response.status().is_success() {
            return Err(self.job.refusal(&channel, accepted.format, response).await);
        }
        Ok(Sent { response, channel, deadline, accepted, maker, names, streams, limits, candidate: candidate.clone() })
    }

    /// The body for one candidate: the client's own bytes where they may pass, a converted request elsewhere.
    async fn encode(
        &mut self,
        accepted: &Accepted,
        upstream: &str,
        stream: bool,
        maker: &Maker,
    ) -> Result<(Vec<Bytes>, Option<NameMap>), GatewayError> {
        let origins = &self.job.services.origins;
        let ask = &mut self.ask;
        let (format, dialect) = (accepted.format, &*accepted.dialect);
        let host = passthrough::Host { format, dialect, invented: accepted.invented };
        let pass = accepted.native
            && !ask.compacts
            // Upstream streams are events; an array has to be written.
            && !ask.json_array
            && ask.turn.is_none()
            && stream == ask.stream
            && !self.follow.is_expanded()
            && !passthrough::needs_tree(host, ask.envelope.body())
            && !origins.has_foreign(ask.envelope.body(), maker);
        if pass {
            let set = &self.deployments.set;
            let (edits, losses) = passthrough::edits(&ask.envelope, host, &ask.model, upstream, stream, set);
            self.job.settle.losses(&losses);
            let pieces = ask.envelope.splice(&edits).map_err(|error| {
                GatewayError::new(Kind::InvalidRequest, format!("the request body cannot be read: {error}"))
            })?;
            return Ok((pieces, None));
        }
        let tree = ask.tree()?;
        let mut request = ChatRequest::clone(&tree);
        upstream.clone_into(&mut request.model);
        request.stream = Some(stream);
        request.include_usage = Some(true);
        let stripped =
            lower::strip_opaque(&mut request, format, |opaque| origins.is_own(opaque.data.as_bytes(), maker));
        self.job.settle.losses(&stripped);
        media::fetch(&mut request, format, &self.job.snapshot.media).await;
        let lowered = lower::lower(request, format, dialect);
        self.job.settle.losses(&lowered.losses);
        let encoded = format.codec().encode_request(&lowered.request, dialect).map_err(|error| {
            let message = format!("{format} cannot carry this request: {}", error.message);
            GatewayError::new(Kind::Unsupported, message).retry(Retry::Elsewhere)
        })?;
        self.job.settle.losses(&encoded.losses);
        Ok((vec![encoded.value.into()], Some(lowered.names)))
    }

    /// Reads a whole answer and writes it in the client's format.
    async fn read_whole(&mut self, sent: Sent) -> Result<Whole, GatewayError> {
        let (parts, body) = sent.response.into_parts();
        let bytes = collect(&sent.channel, body, &sent.limits, sent.deadline).await?;
        let (format, dialect) = (sent.accepted.format, &*sent.accepted.dialect);
        let Some(names) = sent.names else {
            let facts = answer::facts(format, &bytes, dialect);
            if let Some(error) = facts.error {
                return Err(self.job.in_band(&sent.channel, error));
            }
            if facts.usage.is_none() {
                // Not what an answer looks like: read it whole to be sure that it is one.
                answer::read(format, &bytes, dialect).map_err(|error| self.job.in_band(&sent.channel, *error))?;
            }
            if let Some(usage) = facts.usage {
                self.job.settle.usage(usage);
            }
            if let (Some(keep), Some(id)) = (self.keep(&sent.candidate, true), facts.id) {
                keep.native(&self.job.services, &id);
            }
            self.job.services.origins.note(&bytes, &sent.maker);
            return Ok(Whole { headers: passed_headers(&parts.headers), body: bytes });
        };
        let mut response =
            if sent.streams { folded(&sent.accepted, &bytes) } else { answer::read(format, &bytes, dialect) }
                .map_err(|error| self.job.in_band(&sent.channel, *error))?;
        names.lift_response(&mut response);
        self.job.book(&response)?;
        let tree = self.ask.tree()?;
        let context = reply_context(&self.job, &self.ask, Some(tree));
        let encoded = self.ask.write(&response, &context);
        self.job.settle.answer_losses(&encoded.losses);
        stored::keep_answer(&self.job, &mut self.ask, &response);
        self.job.services.origins.note(&encoded.value, &sent.maker);
        Ok(Whole { headers: HeaderMap::new(), body: encoded.value.into() })
    }

    /// Reads a stream up to the commit point.
    async fn read_to_commit(&mut self, sent: Sent) -> Result<Begun, GatewayError> {
        if is_json(&sent.response) {
            return self.whole_as_stream(sent).await;
        }
        let keep = self.keep(&sent.candidate, sent.names.is_none());
        let mut relay = self.relay(&sent.accepted, sent.names, keep.is_some())?;
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
                return Err(self.job.in_band(&sent.channel, failure.clone()));
            }
        }
        over |= relay.complete() || relay.failure().is_some();
        // The time that is gone counts: the limit is on the whole attempt.
        let limits = Limits { total: sent.deadline.left(), ..sent.limits };
        Ok(Begun { body: Some(body), relay, out, limits, keep, maker: sent.maker, over })
    }

    fn relay(&mut self, accepted: &Accepted, names: Option<NameMap>, keeps: bool) -> Result<Relay, GatewayError> {
        let client = self.ask.format.codec();
        let Some(names) = names else {
            let encoder = client.stream_encoder(reply_context(&self.job, &self.ask, None));
            let tap = StreamTap::new(accepted.format, &accepted.dialect);
            let tap = if self.ask.include_usage { tap } else { tap.hide_usage() };
            return Ok(Relay::Pass(Box::new(Pass::new(tap, encoder))));
        };
        let tree = self.ask.tree()?;
        let context = reply_context(&self.job, &self.ask, Some(tree));
        let driver = StreamDriver::new(accepted.format, &accepted.dialect, names, self.ask.format, context);
        Ok(Relay::Convert(Box::new(if keeps { driver.folding() } else { driver })))
    }

    /// The client wants a stream, the provider answered at once.
    async fn whole_as_stream(&mut self, sent: Sent) -> Result<Begun, GatewayError> {
        let bytes = collect(&sent.channel, sent.response.into_body(), &sent.limits, sent.deadline).await?;
        let mut response = answer::read(sent.accepted.format, &bytes, &sent.accepted.dialect)
            .map_err(|error| self.job.in_band(&sent.channel, *error))?;
        if let Some(names) = &sent.names {
            names.lift_response(&mut response);
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
        let out = Output::from([Bytes::from(written)]);
        Ok(Begun {
            body: None,
            relay: Relay::Written,
            out,
            limits: sent.limits,
            keep: None,
            maker: sent.maker,
            over: true,
        })
    }

    /// What has to be stored when this candidate's answer is complete.
    fn keep(&mut self, candidate: &Candidate, native: bool) -> Option<Keep> {
        stored::keep(&self.job, &mut self.ask, candidate, native)
    }

    fn note(&mut self, error: &GatewayError) {
        let outcome = if error.kind == Kind::Timeout { AttemptOutcome::TimedOut } else { AttemptOutcome::Failed };
        self.job.settle.close_attempt(outcome, Some(&error.public.message));
    }
}

impl Job {
    /// The channel of a candidate with its connections.
    pub(crate) fn line(&self, candidate: &Candidate) -> Result<Line, GatewayError> {
        let line = self.snapshot.lines.get(candidate.channel).cloned();
        line.ok_or_else(|| GatewayError::new(Kind::Internal, "a planned channel is not in the snapshot"))
    }

    /// The limits on waiting that hold for a channel.
    pub(crate) fn limits(&self, channel: &LiveChannel) -> Limits {
        Limits::of(&channel.config.timeouts, &self.snapshot.settings.timeouts)
    }

    /// Begins an attempt in the record.
    pub(crate) fn open_attempt(&mut self, channel: &LiveChannel, candidate: &Candidate, format: &str) {
        self.settle.open_attempt(AttemptRecord {
            channel: channel.name().to_owned(),
            upstream_model: candidate.upstream.as_ref().to_owned(),
            credential: candidate.credential,
            format: format.to_owned(),
            ..AttemptRecord::default()
        });
    }

    /// Builds, signs and sends one upstream request; waits for the head of the answer. `native`: the caller's head means something to this provider.
    pub(crate) async fn dispatch(
        &mut self,
        line: &Line,
        candidate: &Candidate,
        operation: &Operation<'_>,
        native: bool,
        body: Vec<Bytes>,
        deadline: Deadline,
    ) -> Result<upstream::Reply, GatewayError> {
        let channel = &line.channel;
        let refused = |error: ChannelError| {
            let message = format!("the channel {} cannot be asked: {error}", channel.name());
            GatewayError::new(Kind::UpstreamDenied, message).retry(Retry::Elsewhere)
        };
        let head = if native {
            ClientHead { headers: Some(&self.call.headers), query: Some(&self.call.query) }
        } else {
            ClientHead::default()
        };
        let mut prepared = channel.request(0, operation, &candidate.upstream, head).map_err(refused)?;
        for beta in &prepared.dropped_betas {
            let field = format!("anthropic-beta: {beta}");
            self.settle.losses(&[Loss::new(field, ApiFormat::AnthropicMessages, "is not known to this host")]);
        }
        let clock = self.services.clock.as_ref();
        let payload = Payload::Whole(&body);
        channel
            .authorize(candidate.credential as usize, &mut prepared, payload, line.client.as_ref(), clock)
            .await
            .map_err(refused)?;
        let request = http::Request::from_parts(prepared.parts, upstream::Body::pieces(body));
        let limits = self.limits(channel);
        let answer = deadline.within(Waiting::FirstByte, limits.first_byte, line.client.send(request)).await;
        let response = answer.and_then(|answer| answer).map_err(|error| error.into_gateway(channel.name()))?;
        let elapsed = self.settle.elapsed_us();
        if let Some(attempt) = self.settle.attempt_mut() {
            attempt.status = Some(response.status().as_u16());
            attempt.first_byte_us = Some(elapsed.saturating_sub(attempt.offset_us));
            attempt.upstream_request_id =
                REQUEST_IDS.iter().find_map(|name| response.headers().get(*name)?.to_str().ok().map(str::to_owned));
        }
        Ok(response)
    }

    /// Reads an answer that is no success and says what it means. `format`: in whose words it is written.
    pub(crate) async fn refusal(
        &self,
        channel: &LiveChannel,
        format: ApiFormat,
        response: upstream::Reply,
    ) -> GatewayError {
        let (parts, body) = response.into_parts();
        // An error body that cannot be read does not hide the status.
        let read = tokio::time::timeout(ERROR_PATIENCE, body.collect(ERROR_BYTES)).await;
        let mut body = read.ok().and_then(Result::ok).unwrap_or_default();
        if let Some(kind) = parts.headers.get("x-amzn-errortype").and_then(|kind| kind.to_str().ok()) {
            body = bedrock_converse::with_error_type(kind, &body).into();
        }
        let status = parts.status.as_u16();
        let error = format.codec().decode_error(status, &body);
        channel.classify(status, &parts.headers, error, self.services.clock.unix_ms())
    }

    /// A failure that came inside an answer with status 200.
    pub(crate) fn in_band(&self, channel: &LiveChannel, error: ApiError) -> GatewayError {
        channel.classify(error.status(), &HeaderMap::new(), error, self.services.clock.unix_ms())
    }

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

/// Where providers tell their id of a request.
const REQUEST_IDS: [&str; 5] = ["x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "cf-ray"];

/// Reads a whole answer.
pub(crate) async fn collect(
    channel: &LiveChannel,
    body: upstream::ReplyBody,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Bytes, GatewayError> {
    body.collect_within(ANSWER_BYTES, limits, deadline).await.map_err(|error| error.into_gateway(channel.name()))
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
    GatewayError::new(Kind::UpstreamFailed, message).retry(Retry::Elsewhere)
}

/// Whether a provider answered a call for a stream with one JSON body. Gemini labels its errors as streams; the tap looks at the bytes for that.
fn is_json(response: &upstream::Reply) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// What of a provider's head a client of the same format may see: its limits and its hints.
fn passed_headers(headers: &HeaderMap) -> HeaderMap {
    // Not all of `openai-`: its `organization` and `project` tell whose account the owner uses.
    const PREFIXES: [&str; 5] =
        ["x-ratelimit-", "anthropic-ratelimit-", "openai-processing-", "openai-version", "x-amzn-bedrock-"];
    let passed = headers.iter().filter(|(name, _)| PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix)));
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}
