//! The test of a channel: one small real conversation, in the channel's own format.

use bytes::Bytes;
use http::HeaderMap;
use myelin_protocol::drive::fold_stream;
use myelin_protocol::formats::embeddings::EmbeddingFormat;
use myelin_protocol::ir::{
    ChatRequest, ChatResponse, Content, Embedding, EmbeddingInput, EmbeddingRequest, Message, Role, Usage,
};
use myelin_protocol::{ApiFormat, DecodeError};

use super::Fetch;
use super::live::LiveChannel;
use super::operation::Operation;
use super::reach::Reach;
use crate::clock::Clock;
use crate::error::{GatewayError, Kind};

/// Room for the answer; models that think use most of it for thinking.
const MAX_TOKENS: u64 = 512;

/// What a test of a channel showed.
#[derive(Debug)]
pub struct TestReport {
    /// The upstream's name of the model.
    pub model: String,
    /// The format that was spoken; `None`: an embedding was asked for, or nothing.
    pub format: Option<ApiFormat>,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// From the request to the whole answer, in microseconds.
    pub latency_us: u64,
    /// The first words of the answer.
    pub text: String,
    /// What it used, where that was told.
    pub usage: Option<Usage>,
    /// Why the test failed; `None`: it passed.
    pub failure: Option<GatewayError>,
}

/// Tests one credential of a channel with `model` (the upstream's name): a conversation, or one embedding where there is nothing else.
pub async fn test(
    channel: &LiveChannel,
    credential: usize,
    model: &str,
    fetch: &dyn Fetch,
    clock: &dyn Clock,
) -> TestReport {
    let began = clock.monotonic_us();
    let mut report = TestReport {
        model: model.to_owned(),
        format: None,
        status: None,
        latency_us: 0,
        text: String::new(),
        usage: None,
        failure: None,
    };
    let probe = Probe(Reach { channel, credential, fetch, clock });
    let told = match channel.embeddings() {
        Some(format) if channel.is_embedder() => probe.embed(format, &mut report).await,
        _ => probe.talk(&mut report).await,
    };
    match told {
        Ok(text) => report.text = text,
        Err(failure) => report.failure = Some(failure),
    }
    report.latency_us = clock.monotonic_us().saturating_sub(began);
    report
}

/// What every test needs.
struct Probe<'p>(Reach<'p>);

impl Probe<'_> {
    /// One small conversation; the first words of the answer.
    async fn talk(&self, report: &mut TestReport) -> Result<String, GatewayError> {
        let own = self.0.channel.formats(&report.model).next();
        let accepted = own.and_then(|format| self.0.channel.accepts(format, &report.model)).ok_or_else(|| {
            self.0.says(Kind::UnknownModel, &format!("none of its endpoints serves `{}`", report.model))
        })?;
        report.format = Some(accepted.format);
        let codec = accepted.format.codec();
        // Some Dify apps only stream.
        let stream = accepted.dialect.stream_only;
        let request = ChatRequest { stream: Some(stream), ..question(&report.model) };
        let body =
            codec.encode_request(&request, &accepted.dialect).map_err(|error| self.0.says(Kind::Internal, &error))?;
        let operation = Operation::Chat { accepted: &accepted, stream };
        let answer = self.ask(&operation, body.value, accepted.format, report).await?;
        if stream {
            let folded = fold_stream(accepted.format, &accepted.dialect, &answer);
            report.usage.clone_from(&folded.response.usage);
            return match folded.error {
                Some(error) => Err(self.0.channel.classify(200, &HeaderMap::new(), error, self.0.clock.unix_ms())),
                None => Ok(words(&folded.response)),
            };
        }
        match codec.decode_response(&answer, &accepted.dialect) {
            Ok(answer) => {
                report.usage.clone_from(&answer.usage);
                Ok(words(&answer))
            }
            Err(error) => Err(self.unlike(&accepted.format, &error)),
        }
    }

    /// One embedding; how long its vector is.
    async fn embed(&self, format: EmbeddingFormat, report: &mut TestReport) -> Result<String, GatewayError> {
        let codec = format.codec();
        let request = EmbeddingRequest {
            model: report.model.clone(),
            input: vec![EmbeddingInput::Text("ping".to_owned())],
            ..EmbeddingRequest::default()
        };
        let dialect = self.0.channel.embedding_dialect();
        let body = codec.encode_request(&request, dialect).map_err(|error| self.0.says(Kind::Internal, &error))?;
        let answer = self.ask(&Operation::Embeddings, body.value, format.family(), report).await?;
        let answer = codec.decode_response(&answer).map_err(|error| self.unlike(&format, &error))?;
        report.usage.clone_from(&answer.usage);
        match answer.data.first() {
            Some(Embedding::Float(vector)) => Ok(format!("a vector of {} numbers", vector.len())),
            Some(Embedding::Base64(_)) => Ok("a vector".to_owned()),
            None => Err(self.0.says(Kind::UpstreamFailed, &"the answer holds no vector")),
        }
    }

    /// Sends a body and reads a successful answer; `family` reads failures.
    async fn ask(
        &self,
        operation: &Operation<'_>,
        body: Vec<u8>,
        family: ApiFormat,
        report: &mut TestReport,
    ) -> Result<Bytes, GatewayError> {
        let answer = self.0.ask(operation, &report.model, Bytes::from(body)).await?;
        let status = answer.status().as_u16();
        report.status = Some(status);
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        let error = family.codec().decode_error(status, answer.body());
        Err(self.0.channel.classify(status, answer.headers(), error, self.0.clock.unix_ms()))
    }

    fn unlike(&self, format: &dyn std::fmt::Display, error: &DecodeError) -> GatewayError {
        self.0.says(Kind::UpstreamFailed, &format!("the answer is not what {format} looks like: {}", error.message))
    }
}

fn question(model: &str) -> ChatRequest {
    ChatRequest {
        model: model.to_owned(),
        messages: vec![Message::text(Role::User, "Reply with the single word: pong")],
        max_tokens: Some(MAX_TOKENS),
        ..ChatRequest::default()
    }
}

/// The first words of an answer; a model that only thought so far has answered too.
fn words(answer: &ChatResponse) -> String {
    let parts = answer.choices.iter().flat_map(|choice| &choice.parts);
    let text = parts.filter_map(|part| match &part.content {
        Content::Text(text) => Some(text.text.as_str()),
        Content::Refusal(text) => Some(text.as_str()),
        _ => None,
    });
    text.collect::<String>().chars().take(200).collect()
}
