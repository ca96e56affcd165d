//! One request to one candidate: built, signed, sent; what came back if it is no success; what is written down about it.
//!
//! Knows no client format: every surface sends through here.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use myelin_protocol::formats::bedrock_converse;
use myelin_protocol::ir::Loss;
use myelin_protocol::{ApiError, ApiErrorKind, ApiFormat};

use super::settle::End;
use super::{Job, mirror};
use crate::error::{GatewayError, Kind, Retry};
use crate::model::AttemptRecord;
use crate::providers::{ChannelError, ClientHead, LiveChannel, Operation, Payload};
use crate::routing::Candidate;
use crate::snapshot::Line;
use crate::store::BodyKind;
use crate::upstream::timeouts::{Deadline, Limits, Waiting};
use crate::upstream::{self, UpstreamError};

/// Largest whole answer that is read.
const ANSWER_BYTES: usize = 256 << 20;
/// How long an error answer is waited for.
const ERROR_PATIENCE: Duration = Duration::from_secs(10);
/// Largest error answer that is read; the rest says nothing new.
const ERROR_BYTES: usize = 256 << 10;
/// Where gateways behind us tell what a request cost, in dollars.
static TOLD_COSTS: [HeaderName; 2] =
    [HeaderName::from_static("x-litellm-response-cost"), HeaderName::from_static("x-myelin-cost")];
/// Where providers tell their id of a request.
static REQUEST_IDS: [HeaderName; 5] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-amzn-requestid"),
    HeaderName::from_static("apim-request-id"),
    HeaderName::from_static("cf-ray"),
];

/// What is asked of whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The channel with its connections.
    pub line: &'a Line,
    /// Model and credential.
    pub candidate: &'a Candidate,
    /// What.
    pub operation: &'a Operation<'a>,
    /// The caller's head means something to this provider.
    pub native: bool,
}

impl Job {
    /// The channel of a candidate with its connections.
    pub(crate) fn line(&self, candidate: &Candidate) -> Result<Line, GatewayError> {
        let line = self.snapshot.lines.get(candidate.channel).cloned();
        line.ok_or_else(|| GatewayError::new(Kind::Internal, "a planned channel is not in the snapshot"))
    }

    /// The limits on waiting that hold for a model of a channel.
    pub(crate) fn limits(&self, channel: &LiveChannel, upstream: &str) -> Limits {
        Limits::of(&channel.timeouts(upstream), &self.snapshot.settings.timeouts)
    }

    /// Begins an attempt in the record.
    pub(crate) fn open_attempt(&mut self, channel: &LiveChannel, candidate: &Candidate, format: &str) {
        let quote = self.snapshot.quote(candidate.channel, &candidate.upstream);
        let record = self.settle.record_mut();
        record.provider = Some(channel.provider.id.clone());
        record.tags.clone_from(&channel.config.tags);
        if self.copy {
            record.tags.push(mirror::TAG.to_owned());
        }
        let attempt = AttemptRecord {
            channel: channel.name().to_owned(),
            upstream_model: candidate.upstream.as_ref().to_owned(),
            credential: candidate.credential,
            format: format.to_owned(),
            ..AttemptRecord::default()
        };
        self.settle.open_attempt(attempt, candidate.errand, quote);
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
        let asked = Asked { line, candidate, operation, native };
        let order = line.channel.addresses().order(self.services.clock.unix_ms());
        let (last, others) = order.split_last().map_or((0, [].as_slice()), |(last, others)| (*last, others));
        for base in others {
            let answer = self.ask_at(*base, &asked, body.clone(), deadline).await?;
            if !answer.as_ref().is_err_and(UpstreamError::unconnected) {
                return self.answered(&line.channel, answer);
            }
        }
        let answer = self.ask_at(last, &asked, body, deadline).await?;
        self.answered(&line.channel, answer)
    }

    /// The same by one of the channel's addresses.
    async fn ask_at(
        &mut self,
        base: usize,
        asked: &Asked<'_>,
        body: Vec<Bytes>,
        deadline: Deadline,
    ) -> Result<Result<upstream::Reply, UpstreamError>, GatewayError> {
        let Line { channel, client } = asked.line;
        let (parts, body) = self.prepare(base, asked, Some(body)).await?;
        self.settle.kept_head(BodyKind::SentHead, &parts.headers, false);
        self.settle.kept(BodyKind::Sent, &body);
        let request = http::Request::from_parts(parts, upstream::Body::pieces(body));
        let begun = self.settle.elapsed_us();
        let patience = self.limits(channel, &asked.candidate.upstream).first_byte;
        let answer = deadline.within(Waiting::FirstByte, patience, client.send(request)).await;
        let answer = answer.and_then(|answer| answer);
        self.learn(channel, base, begun, &answer);
        Ok(answer)
    }

    /// What an answer, or a connection that could not be made, says about the address.
    pub(crate) fn learn(
        &self,
        channel: &LiveChannel,
        base: usize,
        begun_us: u64,
        answer: &Result<upstream::Reply, UpstreamError>,
    ) {
        let addresses = channel.addresses();
        if addresses.count() == 1 {
            return;
        }
        let now = self.services.clock.unix_ms();
        match answer {
            Ok(_) => {
                let us = self.settle.elapsed_us().saturating_sub(begun_us);
                addresses.answered(base, Duration::from_micros(us), now);
            }
            Err(error) if error.unconnected() => {
                tracing::info!(channel = channel.name(), base, %error, "an address cannot be reached");
                addresses.unreachable(base, now);
            }
            Err(_) => {}
        }
    }

    /// The signed head of one upstream request, and its body as the channel wants it. Without a body it streams through.
    pub(crate) async fn prepare(
        &mut self,
        base: usize,
        asked: &Asked<'_>,
        body: Option<Vec<Bytes>>,
    ) -> Result<(Parts, Vec<Bytes>), GatewayError> {
        let Asked { line, candidate, operation, native } = *asked;
        let channel = &line.channel;
        self.let_attempt(channel.name(), candidate).await?;
        let refused = |error: ChannelError| {
            let message = format!("the channel {} cannot be asked: {error}", channel.name());
            GatewayError::new(Kind::UpstreamDenied, message).retry(Retry::Elsewhere)
        };
        let head = if native {
            ClientHead { headers: Some(&self.call.headers), query: Some(&self.call.query) }
        } else {
            ClientHead::default()
        };
        let mut prepared = channel.request(base, operation, &candidate.upstream, head).map_err(refused)?;
        for beta in &prepared.dropped_betas {
            let field = format!("anthropic-beta: {beta}");
            self.settle.losses(&[Loss::new(field, ApiFormat::AnthropicMessages, "is not known to this host")]);
        }
        let streams = body.is_none();
        let headers = &mut prepared.parts.headers;
        let body = body.map(|body| self.edit_request(channel, &candidate.upstream, operation, body, headers));
        let body = body.unwrap_or_default();
        let payload = if streams { Payload::Streamed } else { Payload::Whole(&body) };
        let clock = self.services.clock.as_ref();
        channel
            .authorize(candidate.credential as usize, &mut prepared, payload, line.client.as_ref(), clock)
            .await
            .map_err(refused)?;
        Ok((prepared.parts, body))
    }

    /// The head of an answer came, or the connection failed: noted in the record.
    pub(crate) fn answered(
        &mut self,
        channel: &LiveChannel,
        answer: Result<upstream::Reply, UpstreamError>,
    ) -> Result<upstream::Reply, GatewayError> {
        let response = answer.map_err(|error| error.into_gateway(channel.name()))?;
        if let Some(cost) = TOLD_COSTS.iter().find_map(|name| response.headers().get(name)?.to_str().ok()) {
            self.settle.told_cost(cost);
        }
        let refused = !response.status().is_success();
        self.settle.kept_head(BodyKind::UpstreamHead, response.headers(), refused);
        let elapsed = self.settle.elapsed_us();
        if let Some(attempt) = self.settle.attempt_mut() {
            attempt.status = Some(response.status().as_u16());
            attempt.first_byte_us = Some(elapsed.saturating_sub(attempt.offset_us));
            attempt.upstream_request_id =
                REQUEST_IDS.iter().find_map(|name| response.headers().get(name)?.to_str().ok().map(str::to_owned));
        }
        Ok(response)
    }

    /// Reads an answer that is no success and says what it means. `format`: in whose words it is written.
    pub(crate) async fn refusal(
        &mut self,
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
        self.settle.kept(BodyKind::Upstream, std::slice::from_ref(&body));
        let status = parts.status.as_u16();
        let error = format.codec().decode_error(status, &body);
        channel.classify(status, &parts.headers, error, self.services.clock.unix_ms())
    }

    /// A failure that came inside an answer with status 200.
    pub(crate) fn in_band(&self, channel: &LiveChannel, error: ApiError) -> GatewayError {
        let told = error.status;
        let mut error = channel.classify(error.status(), &HeaderMap::new(), error, self.services.clock.unix_ms());
        if told.is_none() && error.public.kind == ApiErrorKind::Overloaded {
            // Nobody said a status: each format has one of its own for this.
            error.public.status = None;
        }
        error
    }

    /// The open attempt is over: it answered, or it failed with what the next candidate, or the caller, is told.
    pub(crate) fn end_attempt<T>(&mut self, answered: &Result<T, GatewayError>) {
        self.settle.end_attempt(match answered {
            Ok(_) => End::Answered,
            Err(error) => End::Failed(error),
        });
    }
}

/// Reads a whole answer.
pub(crate) async fn collect(
    channel: &LiveChannel,
    body: upstream::ReplyBody,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Bytes, GatewayError> {
    body.collect_within(ANSWER_BYTES, limits, deadline).await.map_err(|error| error.into_gateway(channel.name()))
}
