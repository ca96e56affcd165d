//! Surfaces beside conversations: moderations, images, audio and reranking. They go to channels that offer them, with the provider's name of the model cut in; the answer
//! comes back as it is, binary or streamed ones while they arrive.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use myelin_protocol::ApiFormat;
use myelin_protocol::envelope::{Edits, Envelope};
use myelin_protocol::ir::{Units, Usage};
use serde_json::Value;

use super::ask::malformed;
use super::dispatch::collect;
use super::origins::Maker;
use super::receive::passed_headers;
use super::relay::{Output, Relay};
use super::reply::{Reply, ReplyBody};
use super::settle::End;
use super::stream::{Live, StreamReply};
use super::target::{Demand, Deployments, Target};
use super::{Job, multipart, rerank};
use crate::error::{GatewayError, Kind, Retry};
use crate::model::RequestState;
use crate::providers::{LiveChannel, Operation, RerankWire, Surface};
use crate::routing::Candidate;
use crate::upstream;
use crate::upstream::timeouts::{Deadline, Limits, Waiting};

/// What is asked for beside a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aside {
    /// An OpenAI-shaped surface.
    Surface {
        /// Which.
        surface: Surface,
        /// Path after its segment (`generations`, `speech`).
        tail: String,
    },
    /// Reranking, in the words that Cohere and Jina share.
    Rerank,
}

impl Aside {
    /// The word for records.
    pub fn label(&self) -> &'static str {
        match self {
            Aside::Surface { surface, .. } => surface.segment(),
            Aside::Rerank => "rerank",
        }
    }

    /// The model that is meant when none is named, as at the inventor's.
    fn usual_model(&self) -> Option<&'static str> {
        match self {
            Aside::Surface { surface: Surface::Moderations, .. } => Some("omni-moderation-latest"),
            Aside::Surface { surface: Surface::Images, .. } => Some("dall-e-2"),
            Aside::Surface { surface: Surface::Audio, .. } | Aside::Rerank => None,
        }
    }
}

/// What a client asks.
struct Ask {
    aside: Aside,
    model: String,
    body: Body,
}

enum Body {
    Json(Box<Envelope>),
    /// An upload, in three pieces: the middle one is the model's name.
    Form([Bytes; 3]),
}

/// Answers one of these surfaces.
pub(crate) async fn run(mut job: Box<Job>, aside: Aside, body: Bytes) -> Reply {
    let ask = match read(aside, &job.call.headers, body) {
        Ok(ask) => ask,
        Err(error) => return job.fail(error),
    };
    let deployments = match job.target(&ask.model, super::sight::Body::Texts(0)) {
        Ok(Target::Deployments(deployments)) => deployments,
        Ok(Target::Echo) => {
            let message = format!("the built-in model \"echo\" knows no {}", ask.aside.label());
            return job.fail(GatewayError::new(Kind::Unsupported, message));
        }
        Err(error) => return job.fail(error),
    };
    match attempts(&mut job, &ask, &deployments).await {
        Ok(Answer::Whole(headers, body)) => whole(job, headers, body).await,
        Ok(Answer::Stream(stream)) => live(job, *stream),
        Err(error) => job.fail(error),
    }
}

fn read(aside: Aside, headers: &HeaderMap, body: Bytes) -> Result<Ask, GatewayError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let unnamed = || GatewayError::new(Kind::InvalidRequest, "the request names no model");
    if let Some(boundary) = multipart::boundary(kind) {
        let at = multipart::field(&body, boundary, "model").ok_or_else(unnamed)?;
        let model = std::str::from_utf8(body.get(at.clone()).unwrap_or_default()).map_err(|_| unnamed())?.to_owned();
        let form = [body.slice(..at.start), body.slice(at.clone()), body.slice(at.end..)];
        return Ok(Ask { aside, model, body: Body::Form(form) });
    }
    let envelope = Envelope::read(body).map_err(|error| malformed(&error))?;
    let named = envelope.model().map(std::borrow::Cow::into_owned);
    let model = named.or_else(|| aside.usual_model().map(str::to_owned)).ok_or_else(unnamed)?;
    Ok(Ask { aside, model, body: Body::Json(Box::new(envelope)) })
}

impl Ask {
    /// The body for one candidate.
    fn body_for(&self, wire: Option<RerankWire>, upstream: &str) -> Result<Vec<Bytes>, GatewayError> {
        match &self.body {
            Body::Json(envelope) => {
                let mut edits = Edits::new();
                if self.model != upstream {
                    edits.model(upstream);
                }
                if let Some(wire) = wire {
                    rerank::edit(&mut edits, envelope, wire);
                }
                envelope.splice(&edits).map_err(|error| malformed(&error))
            }
            Body::Form([before, _, behind]) => {
                Ok(vec![before.clone(), Bytes::copy_from_slice(upstream.as_bytes()), behind.clone()])
            }
        }
    }

    fn demand(&self) -> Demand {
        let (body_bytes, body) = match &self.body {
            Body::Json(envelope) => (envelope.body().len() as u64, Some(envelope.body().clone())),
            // Sound and pictures: their bytes say nothing about tokens.
            Body::Form(pieces) => (pieces.iter().map(|piece| piece.len() as u64).sum(), None),
        };
        Demand { body_bytes, body, max_output: None }
    }
}

enum Answer {
    /// One JSON body, or one text.
    Whole(HeaderMap, Bytes),
    Stream(Box<Stream>),
}

/// An answer that goes on while it arrives: sound, pictures, events.
struct Stream {
    headers: HeaderMap,
    first: Option<Bytes>,
    rest: upstream::ReplyBody,
    limits: Limits,
    maker: Maker,
}

async fn attempts(job: &mut Job, ask: &Ask, deployments: &Deployments) -> Result<Answer, GatewayError> {
    job.planned(deployments, ask.demand()).await?;
    let tries = job.tries(deployments);
    while let Some(candidate) = job.next(&tries).await {
        match attempt(job, ask, &candidate).await {
            Ok(answer) => {
                if let Answer::Whole(..) = &answer {
                    job.settle.end_attempt(End::Answered);
                }
                return Ok(answer);
            }
            Err(error) => {
                job.settle.end_attempt(End::Failed(&error));
                job.failed(&tries, candidate, error);
            }
        }
    }
    Err(tries.verdict())
}

async fn attempt(job: &mut Job, ask: &Ask, candidate: &Candidate) -> Result<Answer, GatewayError> {
    let line = job.line(candidate)?;
    let channel = line.channel.clone();
    let (operation, wire) = match &ask.aside {
        Aside::Surface { surface, tail } => {
            (channel.offers(*surface).then_some(Operation::Surface { surface: *surface, tail }), None)
        }
        Aside::Rerank => (channel.rerank().map(|_| Operation::Rerank), channel.rerank()),
    };
    let Some(operation) = operation else { return Err(not_offered(&channel, &ask.aside)) };
    job.open_attempt(&channel, candidate, ask.aside.label());
    let limits = job.limits(&channel, &candidate.upstream);
    let deadline = Deadline::start(&limits);
    let body = ask.body_for(wire, &candidate.upstream)?;
    let response = job.dispatch(&line, candidate, &operation, true, body, deadline).await?;
    if !response.status().is_success() {
        return Err(job.refusal(&channel, ApiFormat::OpenaiChat, response).await);
    }
    let headers = shown(response.headers());
    if is_text(&headers) {
        let body = collect(&channel, response.into_body(), &limits, deadline).await?;
        let answer = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        ask.used(&answer).into_iter().for_each(|usage| job.settle.usage(usage));
        let rewritten = match (wire, &ask.body) {
            (Some(wire), Body::Json(asked)) => rerank::answer(answer, asked, wire),
            _ => None,
        };
        return Ok(Answer::Whole(headers, rewritten.map_or(body, Bytes::from)));
    }
    // With its first bytes the answer is this candidate's.
    let mut rest = response.into_body();
    let first = loop {
        let frame = deadline.within(Waiting::FirstToken, limits.first_token, rest.frame()).await;
        match frame.map_err(|error| error.into_gateway(channel.name()))? {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    break Some(data);
                }
            }
            Some(Err(error)) => return Err(error.into_gateway(channel.name())),
            None => break None,
        }
    };
    ask.used(&Value::Null).into_iter().for_each(|usage| job.settle.usage(usage));
    let limits = Limits { total: deadline.left(), ..limits };
    let maker = Maker::of(&channel, candidate, false);
    Ok(Answer::Stream(Box::new(Stream { headers, first, rest, limits, maker })))
}

fn not_offered(channel: &LiveChannel, aside: &Aside) -> GatewayError {
    let message = format!("the channel {} offers no {}", channel.name(), aside.label());
    GatewayError::new(Kind::Unsupported, message).retry(Retry::Elsewhere)
}

/// What of a provider's head the client needs.
fn shown(headers: &HeaderMap) -> HeaderMap {
    let mut shown = passed_headers(headers);
    for name in [CONTENT_TYPE, CONTENT_DISPOSITION] {
        if let Some(value) = headers.get(&name) {
            shown.insert(name, value.clone());
        }
    }
    shown
}

/// Whether the answer is one piece of text: only then is it read whole.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.starts_with("text/") && kind != "text/event-stream"
}

impl Ask {
    /// What an answer used: its counters, and where those are no tokens the units that it is billed by.
    fn used(&self, answer: &Value) -> Option<Usage> {
        let mut used = usage(answer).unwrap_or_default();
        match &self.aside {
            Aside::Surface { surface: Surface::Images, .. } => {
                let made = answer.get("data").and_then(Value::as_array);
                used.units = made.map(|made| Units::Images(made.len() as u64));
            }
            Aside::Surface { surface: Surface::Audio, tail } if tail.starts_with("speech") => {
                if let Body::Json(envelope) = &self.body {
                    let text = envelope.text("input");
                    used.units = text.map(|text| Units::Characters(text.chars().count() as u64));
                }
            }
            Aside::Surface { .. } | Aside::Rerank => {}
        }
        (!used.is_unknown() || used.cost_usd.is_some()).then_some(used)
    }
}

/// The counters of an answer, in any of the words that these surfaces use.
fn usage(answer: &Value) -> Option<Usage> {
    let length = answer.get("duration").and_then(Value::as_f64).filter(|length| (0.0..1e9).contains(length));
    let length = length.map(|length| length.ceil() as u64);
    let Some(raw) = answer.get("usage").or_else(|| answer.pointer("/meta/billed_units")) else {
        return length.map(|length| Usage { units: Some(Units::Seconds(length)), ..Usage::default() });
    };
    let count = |names: &[&str]| names.iter().find_map(|name| raw.pointer(name)?.as_u64());
    let output = count(&["/output_tokens", "/completion_tokens"]);
    let input = count(&["/input_tokens", "/prompt_tokens"]);
    Some(Usage {
        // Where nothing is written, all tokens were read.
        input: input.or_else(|| count(&["/total_tokens"]).filter(|_| output.is_none())),
        output,
        image_input: count(&["/input_tokens_details/image_tokens"]),
        audio_input: count(&["/input_token_details/audio_tokens", "/input_tokens_details/audio_tokens"]),
        units: count(&["/search_units"])
            .map(Units::Searches)
            .or_else(|| count(&["/seconds"]).or(length).map(Units::Seconds)),
        cost_usd: myelin_protocol::formats::openai_chat::told_cost(raw),
        raw: Some(raw.into()),
        ..Usage::default()
    })
}

async fn whole(mut job: Box<Job>, headers: HeaderMap, body: Bytes) -> Reply {
    let mut reply = http::Response::new(ReplyBody::Empty);
    *reply.headers_mut() = headers;
    job.settle.price();
    job.settle.describe(reply.headers_mut());
    job.settle.record_mut().bytes_out = body.len() as u64;
    job.settle.complete_durably(RequestState::Completed, 200).await;
    *reply.body_mut() = ReplyBody::Whole(body);
    reply
}

fn live(mut job: Box<Job>, stream: Stream) -> Reply {
    let Stream { headers, first, rest, limits, maker } = stream;
    job.settle.record_mut().stream = true;
    let mut reply = http::Response::new(ReplyBody::Empty);
    *reply.headers_mut() = headers;
    job.settle.describe(reply.headers_mut());
    let out: Output = first.into_iter().collect();
    let live = Live::new(Some(rest), Relay::raw(), out, job.settle, &limits, maker);
    *reply.body_mut() = ReplyBody::Stream(Box::new(StreamReply::live(live)));
    reply
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn usage_is_read_in_every_word_for_it() {
        let tokens = |answer: Value| usage(&answer).map(|usage| (usage.input, usage.output));
        assert_eq!(tokens(json!({"usage": {"total_tokens": 9}})), Some((Some(9), None)));
        assert_eq!(
            tokens(json!({"usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}})),
            Some((Some(5), Some(7)))
        );
        assert_eq!(tokens(json!({"meta": {"billed_units": {"search_units": 1}}})), Some((None, None)));
        assert_eq!(tokens(json!({"text": "hi"})), None);
    }
}
