//! The test of a channel: one small real conversation, in the channel's own format.

use http::Request;
use myelin_protocol::ApiFormat;
use myelin_protocol::ir::{ChatRequest, ChatResponse, Content, Message, Role};

use super::auth::Payload;
use super::live::LiveChannel;
use super::operation::{ClientHead, Operation};
use super::{ChannelError, Fetch};
use crate::clock::Clock;
use crate::error::{GatewayError, Kind};

/// Room for the answer; models that think use most of it for thinking.
const MAX_TOKENS: u64 = 512;

/// What a test of a channel showed.
#[derive(Debug)]
pub struct TestReport {
    /// The upstream's name of the model.
    pub model: String,
    /// The format that was spoken.
    pub format: Option<ApiFormat>,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// From the request to the whole answer, in microseconds.
    pub latency_us: u64,
    /// The first words of the answer.
    pub text: String,
    /// Why the test failed; `None`: it passed.
    pub failure: Option<GatewayError>,
}

/// Tests one credential of a channel with `model` (the upstream's name).
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
        failure: None,
    };
    match ask(channel, credential, &mut report, fetch, clock).await {
        Ok(answer) => report.text = words(&answer),
        Err(failure) => report.failure = Some(failure),
    }
    report.latency_us = clock.monotonic_us().saturating_sub(began);
    report
}

async fn ask(
    channel: &LiveChannel,
    credential: usize,
    report: &mut TestReport,
    fetch: &dyn Fetch,
    clock: &dyn Clock,
) -> Result<ChatResponse, GatewayError> {
    let says = |kind: Kind, why: &dyn std::fmt::Display| {
        GatewayError::new(kind, format!("channel `{}`: {why}", channel.name()))
    };
    let wrong = |error: ChannelError| says(Kind::UpstreamDenied, &error);
    let own = channel.formats(&report.model).next();
    let accepted = own.and_then(|format| channel.accepts(format, &report.model));
    let Some(accepted) = accepted else {
        return Err(says(Kind::UnknownModel, &format!("none of its endpoints serves `{}`", report.model)));
    };
    report.format = Some(accepted.format);
    let codec = accepted.format.codec();
    let request = question(&report.model);
    let body = codec.encode_request(&request, &accepted.dialect).map_err(|error| says(Kind::Internal, &error))?;
    let body = bytes::Bytes::from(body.value);
    let operation = Operation::Chat { accepted: &accepted, stream: false };
    let mut prepared = channel.request(0, &operation, &report.model, ClientHead::default()).map_err(wrong)?;
    let payload = [body.clone()];
    channel.authorize(credential, &mut prepared, Payload::Whole(&payload), fetch, clock).await.map_err(wrong)?;
    let answer = fetch
        .fetch(Request::from_parts(prepared.parts, body))
        .await
        .map_err(|error| says(if error.timed_out { Kind::Timeout } else { Kind::UpstreamFailed }, &error))?;
    let status = answer.status().as_u16();
    report.status = Some(status);
    if !answer.status().is_success() {
        let error = codec.decode_error(status, answer.body());
        return Err(channel.classify(status, answer.headers(), error, clock.unix_ms()));
    }
    codec.decode_response(answer.body(), &accepted.dialect).map_err(|error| {
        says(Kind::UpstreamFailed, &format!("the answer is not what {} looks like: {}", accepted.format, error.message))
    })
}

fn question(model: &str) -> ChatRequest {
    ChatRequest {
        model: model.to_owned(),
        messages: vec![Message::text(Role::User, "Reply with the single word: pong")],
        max_tokens: Some(MAX_TOKENS),
        stream: Some(false),
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
