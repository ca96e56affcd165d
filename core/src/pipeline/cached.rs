//! Answers that are given again: which requests may have them, what is kept of an answer, how it is replayed.
//!
//! Stands before everything else a request goes through: a kept answer costs no plan, no reservation and no attempt. What is kept is the caller's own
//! bytes; a stream answers a request for a whole answer and the other way round.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use myelin_protocol::envelope::Envelope;
use myelin_protocol::ir::{ChatResponse, Content, FinishReason};
use myelin_protocol::{ApiFormat, Dialect, answer, drive, fold};
use serde_json::Value;

use super::ask::{Ask, reply_context};
use super::chat::stream_type;
use super::reply::{Reply, ReplyBody, SharedBody, describe};
use super::sight::Body;
use super::surface::Surface;
use super::{Job, contain};
use crate::cache::{Control, Facts, Fared, Flight, Kept, LARGEST_ANSWER, Parts, Reader, Seat, canonical};
use crate::error::{GatewayError, Kind};
use crate::model::{CacheMode, CacheOutcome, CostSource, NanoUsd, RequestRecord, RequestState};
use crate::routing::Resolution;
use crate::store::AnswerKey;

/// How long an answer is kept if nobody says otherwise.
const TTL_SECONDS: u64 = 3_600;
/// Headers of callers that change what a provider answers.
const TELLING_HEADERS: [&str; 3] = ["anthropic-beta", "anthropic-version", "openai-beta"];
/// Fields that change only how an answer is sent.
const FORM_FIELDS: [&str; 2] = ["stream", "stream_options"];
/// Longest namespace that a caller may name.
const LONGEST_NAMESPACE: usize = 128;

/// What the cache does for one request.
pub(super) struct Plan {
    key: AnswerKey,
    form: Form,
    mode: CacheMode,
    ttl_ms: u64,
    control: Control,
    share: bool,
    model: String,
}

/// In which form the caller wants the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    Stream { usage: bool },
}

impl Job {
    /// What the cache does for this request; `None`: nothing. `looked`: the look that was taken at its body, for whoever comes next.
    pub(super) fn cache_plan(&self, body: &Bytes, looked: &mut Option<Envelope>) -> Option<Plan> {
        let most = self.snapshot.most_cached();
        if most == CacheMode::Off {
            return None;
        }
        let (format, path_model, path_stream) = match &self.call.surface {
            Surface::Chat { format: ApiFormat::Dify, .. } => return None,
            Surface::Chat { format, model, stream } => (Some(*format), model, *stream),
            Surface::Embeddings { model, .. } => (None, model, None),
            _ => return None,
        };
        let look: &Envelope = looked.insert(Envelope::read(body.clone()).ok()?);
        // Most requests are not to be repeated, whatever the policies say: then nobody needs to know which hold.
        if format.is_some_and(|format| !may_repeat(format, look, most)) {
            return None;
        }
        let model = path_model.clone().or_else(|| look.model().map(|model| model.into_owned()))?;
        let mut sight = self.sight(Body::Arriving(false));
        let mapped = self.caller.profile.map(&model, &mut sight);
        let route = mapped.targets.first().map_or(model.as_str(), String::as_str);
        let said = || self.snapshot.policies(&self.caller.key, route, &self.caller.profile.name).into_iter().flatten();
        let mode = said().find_map(|policy| policy.cache.mode).unwrap_or_default();
        let control = Control::read(&self.call.headers);
        if mode == CacheMode::Off || control.no_store || !self.caller.key.allows_model(&model) {
            return None;
        }
        if format.is_some_and(|format| !may_repeat(format, look, mode)) {
            return None;
        }
        // Only now is the whole of it worth its time.
        let asked: Value = serde_json::from_slice(body).ok()?;
        if hosted_tools(&asked) {
            return None;
        }
        let form = form(format, look, path_stream, &self.call.query)?;
        let owner = said().find_map(|policy| policy.cache.namespace.as_deref());
        let scope = owner.map_or_else(|| format!("key {}", self.caller.key.key.id), |name| format!("shared {name}"));
        let mut parts = Parts::default()
            .with("scope", scope)
            .with("surface", self.call.surface.label())
            .with("model", &model)
            .with("query", without_key(&self.call.query))
            .with("profile", &self.caller.profile.name)
            .with("set", Value::Object(mapped.set).to_string())
            .with("body", canonical(&asked, &FORM_FIELDS));
        if let Some(namespace) = control.namespace.as_ref().filter(|name| name.len() <= LONGEST_NAMESPACE) {
            parts = parts.with("namespace", namespace);
        }
        for target in &mapped.targets {
            // Another deployment behind the name is another answer.
            match self.snapshot.routing.resolve(target, &model, &mut sight) {
                Resolution::Echo => return None,
                found => parts = parts.with("target", format!("{target} {found:?}")),
            }
        }
        if matches!(sight.body, Body::Arriving(true)) {
            // Where it goes depends on what it holds: nobody knows yet whose answer it would be.
            return None;
        }
        for name in TELLING_HEADERS {
            for value in self.call.headers.get_all(name) {
                parts = parts.with(name, value);
            }
        }
        let ttl = said().find_map(|policy| policy.cache.ttl_seconds).unwrap_or(TTL_SECONDS);
        let ttl = control.ttl.map_or(ttl, |wanted| wanted.min(ttl));
        let share = said().find_map(|policy| policy.cache.share_in_flight).unwrap_or(true);
        Some(Plan { key: parts.key(), form, mode, ttl_ms: ttl.saturating_mul(1_000), control, share, model })
    }
}

/// Answers a request by the cache, or by a call whose answer is kept.
pub(super) async fn answer(mut job: Box<Job>, body: Bytes, plan: Plan) -> Reply {
    let services = job.services.clone();
    let cache = &services.resilience.cache;
    let now = services.clock.unix_ms();
    plan.model.clone_into(&mut job.settle.record_mut().model);
    if !plan.control.no_cache
        && let Some(kept) = cache.get(&plan.key, now, &job.snapshot.settings).await
        && plan.control.max_age.is_none_or(|most| now.saturating_sub(kept.facts.made) <= most.saturating_mul(1_000))
        && let Some(bytes) = in_form(&job, &body, &plan, &kept)
    {
        cache.count(Fared::Hit);
        return replay(job, plan.form, &kept, bytes, now);
    }
    cache.count(Fared::Miss);
    job.settle.record_mut().cache = CacheOutcome::Miss;
    if plan.control.only_if_cached {
        let mut error =
            GatewayError::new(Kind::NoCandidate, "no answer to this is kept, and the caller wants no other");
        error.public.status = Some(StatusCode::GATEWAY_TIMEOUT.as_u16());
        return job.fail(error);
    }
    let seat = match plan.share && !plan.control.no_cache {
        true => cache.flights.join(flight_key(&plan)),
        false => Flight::alone(),
    };
    match seat {
        Seat::Leader(flight, reader) => lead(job, body, plan, flight, reader).await,
        Seat::Follower(reader) => match follow(&mut job, reader).await {
            Some((head, reader)) => shared(head, SharedBody::following(reader, job.settle)),
            // The call ended before it had anything to say.
            None => job.answer_anew(body, None).await,
        },
    }
}

/// Calls in different forms are different calls: their bytes are.
fn flight_key(plan: &Plan) -> AnswerKey {
    Parts::default().with("key", plan.key).with("form", format!("{:?}", plan.form)).key()
}

/// Makes the call in a task of its own, so that the caller's leaving does not take the answer from those who joined.
async fn lead(mut job: Box<Job>, body: Bytes, plan: Plan, flight: Arc<Flight>, reader: Reader) -> Reply {
    job.settle.tell(flight.clone());
    let services = job.services.clone();
    let settings = job.snapshot.settings.clone();
    let format = job.call.surface.error_format();
    let making = flight.clone();
    let task = tokio::spawn(async move {
        let reply = contain(format, pin!(job.answer_anew(body, None))).await;
        let (parts, mut body) = reply.into_parts();
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let content_type = content_type.to_owned();
        let good = parts.status == StatusCode::OK;
        let length = body.size_hint().exact();
        making.head(parts.status, parts.headers, length);
        // Who is told how long the answer is has all of it with its last byte, and may ask again at once: it is kept before it is given.
        let mut held = Vec::new();
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return making.end(false) };
            if let Ok(bytes) = frame.into_data() {
                if good && whole.len() <= LARGEST_ANSWER {
                    whole.extend_from_slice(&bytes);
                }
                match length {
                    Some(_) => held.push(bytes),
                    None => making.push(bytes),
                }
            }
        }
        drop(body);
        let record = making.record();
        if good
            && whole.len() <= LARGEST_ANSWER
            && let Some(record) = record
            && record.state == RequestState::Completed
            && worth_keeping(format, &plan, &whole)
        {
            let now = services.clock.unix_ms();
            let kept = Kept {
                facts: Arc::new(facts(record, plan.form, content_type, now)),
                ends: now.saturating_add(plan.ttl_ms),
                body: whole.into(),
            };
            services.resilience.cache.put(plan.key, kept, now, &settings);
        }
        held.into_iter().for_each(|bytes| making.push(bytes));
        making.end(true);
    });
    flight.made_by(task.abort_handle());
    // Whatever ends the task ends the flight.
    let ending = flight.clone();
    tokio::spawn(async move {
        if task.await.is_err() {
            ending.end(false);
        }
    });
    match reader.head().await {
        Some(head) => shared(head, SharedBody::leading(reader)),
        None => {
            let mut broken = http::Response::new(ReplyBody::Empty);
            *broken.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            broken
        }
    }
}

/// Waits for the head of a call that somebody else makes.
async fn follow(job: &mut Job, reader: Reader) -> Option<((StatusCode, HeaderMap), Reader)> {
    let (status, mut headers) = reader.head().await?;
    job.services.resilience.cache.count(Fared::Shared);
    let record = job.settle.record_mut();
    record.cache = CacheOutcome::Shared;
    record.status = status.as_u16();
    // Of the other's head only what holds for this request too.
    for own in super::reply::OWN {
        headers.remove(own);
    }
    describe(&mut headers, record);
    Some(((status, headers), reader))
}

fn shared((status, headers): (StatusCode, HeaderMap), body: SharedBody) -> Reply {
    let mut reply = http::Response::new(ReplyBody::Shared(Box::new(body)));
    *reply.status_mut() = status;
    *reply.headers_mut() = headers;
    reply
}

/// Gives a kept answer again. It is free.
fn replay(mut job: Box<Job>, form: Form, kept: &Kept, bytes: Bytes, now: u64) -> Reply {
    let record = job.settle.record_mut();
    record.cache = CacheOutcome::Hit;
    record.stream = form != Form::Whole;
    record.cost = Some(NanoUsd(0));
    record.cost_source = Some(CostSource::Free);
    record.saved = kept.facts.cost;
    record.finish.clone_from(&kept.facts.finish);
    record.bytes_out = bytes.len() as u64;
    let mut reply = http::Response::new(ReplyBody::Empty);
    let headers = reply.headers_mut();
    let format = job.call.surface.error_format();
    let kind = match form {
        Form::Stream { .. } => stream_type(format, false),
        Form::Whole => HeaderValue::from_static("application/json"),
    };
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(AGE, HeaderValue::from(now.saturating_sub(kept.facts.made) / 1_000));
    describe(headers, job.settle.record());
    for (name, value) in [("x-myelin-channel", &kept.facts.channel), ("x-myelin-model", &kept.facts.upstream_model)] {
        if let Some(value) = value.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if form != Form::Whole {
        job.settle.first_token();
    }
    job.settle.complete(RequestState::Completed, 200);
    *reply.body_mut() = match form {
        Form::Whole => ReplyBody::Whole(bytes),
        Form::Stream { .. } => ReplyBody::Frames(frames(&bytes, format)),
    };
    reply
}

/// A stream's bytes, event by event.
fn frames(bytes: &Bytes, format: ApiFormat) -> VecDeque<Bytes> {
    let end: &[u8] = match format {
        ApiFormat::OllamaChat | ApiFormat::OllamaGenerate => b"\n",
        ApiFormat::BedrockConverse => return VecDeque::from([bytes.clone()]),
        _ => b"\n\n",
    };
    let mut frames = VecDeque::new();
    let mut from = 0;
    for at in memchr::memmem::find_iter(bytes, end) {
        frames.push_back(bytes.slice(from..at + end.len()));
        from = at + end.len();
    }
    if from < bytes.len() {
        frames.push_back(bytes.slice(from..));
    }
    frames
}

/// The kept answer in the form that the caller wants.
fn in_form(job: &Job, body: &Bytes, plan: &Plan, kept: &Kept) -> Option<Bytes> {
    let have = match kept.facts.stream {
        true => Form::Stream { usage: kept.facts.tells_usage },
        false => Form::Whole,
    };
    if have == plan.form {
        return Some(kept.body.clone());
    }
    let Surface::Chat { format, model, stream } = &job.call.surface else { return None };
    let mut ask = Ask::read(*format, body.clone(), model.clone(), *stream, &job.call.query).ok()?;
    let mut response = read(*format, have, &kept.body)?;
    response.usage = response.usage.or_else(|| kept.facts.usage.clone());
    let tree = ask.tree().ok()?;
    let context = reply_context(job, &ask, Some(tree));
    if plan.form == Form::Whole {
        return Some(ask.write(&response, &context).value.into());
    }
    let mut encoder = format.codec().stream_encoder(context);
    let mut out = Vec::with_capacity(kept.body.len());
    for event in fold::unfold(response) {
        encoder.push(&event, &mut out);
    }
    Some(out.into())
}

fn read(format: ApiFormat, form: Form, bytes: &[u8]) -> Option<ChatResponse> {
    match form {
        Form::Whole => answer::read(format, bytes, &Dialect::default()).ok(),
        Form::Stream { .. } => {
            let folded = drive::fold_stream(format, &Dialect::default(), bytes);
            (folded.complete && folded.error.is_none()).then_some(folded.response)
        }
    }
}

fn facts(record: &RequestRecord, form: Form, content_type: String, now: u64) -> Facts {
    Facts {
        made: now,
        stream: form != Form::Whole,
        tells_usage: form == Form::Stream { usage: true },
        content_type,
        channel: record.channel.clone(),
        upstream_model: record.upstream_model.clone(),
        upstream_format: record.upstream_format.clone(),
        usage: record.usage.clone(),
        cost: record.cost,
        finish: record.finish.clone(),
    }
}

/// Whether an answer may be given again: it came to its own end, and (unless everything may be kept) it makes the caller do nothing.
fn worth_keeping(format: ApiFormat, plan: &Plan, bytes: &[u8]) -> bool {
    if plan.model.is_empty() {
        return false;
    }
    let Some(response) = read(format, plan.form, bytes) else {
        // Embeddings are no conversation; they are read by nobody here.
        return plan.form == Form::Whole && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    };
    response.choices.iter().all(|choice| {
        let ended = choice.finish.as_ref().is_none_or(|finish| {
            matches!(
                finish.reason,
                FinishReason::Stop | FinishReason::StopSequence | FinishReason::Length | FinishReason::ToolCalls
            )
        });
        let calls = choice.parts.iter().any(|part| matches!(part.content, Content::ToolCall(_)));
        ended && (plan.mode == CacheMode::All || !calls)
    })
}

/// Whether the same request may have the same answer: nothing is kept at the provider, and nothing is left to chance. Looks at small fields only; that no
/// tool of the provider's runs is for [`hosted_tools`] to say. A mode allows all that those before it do.
fn may_repeat(format: ApiFormat, asked: &Envelope, mode: CacheMode) -> bool {
    let given = |name: &str| asked.raw(name).is_some_and(|raw| raw != b"null");
    let on = |name: &str| asked.flag(name) == Some(true);
    if given("previous_response_id") || given("conversation") || on("background") || given("web_search_options") {
        return false;
    }
    if format == ApiFormat::OpenaiResponses && asked.flag("store") != Some(false) {
        // The caller may go on from the answer, by an id that is its own.
        return false;
    }
    match (mode, temperature(format, asked)) {
        (CacheMode::Off, _) => false,
        (CacheMode::All, _) | (CacheMode::Unsampled, None) => true,
        (CacheMode::Unsampled | CacheMode::Deterministic, Some(temperature)) => temperature == 0.0,
        (CacheMode::Deterministic, None) => false,
    }
}

fn temperature(format: ApiFormat, asked: &Envelope) -> Option<f64> {
    let settings = match format {
        ApiFormat::Gemini => "generationConfig",
        ApiFormat::OllamaChat | ApiFormat::OllamaGenerate => "options",
        ApiFormat::BedrockConverse => "inferenceConfig",
        _ => return serde_json::from_slice(asked.raw("temperature")?).ok(),
    };
    let settings: Value = serde_json::from_slice(asked.raw(settings)?).ok()?;
    settings.get("temperature")?.as_f64()
}

/// Whether a tool runs at the provider: a search, code, a server of somebody's. What it finds changes.
fn hosted_tools(asked: &Value) -> bool {
    const OURS: [&str; 2] = ["function", "custom"];
    let tools = asked.get("tools").and_then(Value::as_array).into_iter().flatten();
    let hosted = |tool: &Value| match tool.get("type").and_then(Value::as_str) {
        Some(kind) => !OURS.contains(&kind),
        // Gemini names each tool by its field; Anthropic's own tools have no type.
        None => ["googleSearch", "google_search", "codeExecution", "code_execution", "urlContext", "url_context"]
            .iter()
            .any(|name| tool.get(name).is_some()),
    };
    tools.into_iter().any(hosted) || asked.get("mcp_servers").is_some_and(|servers| !servers.is_null())
}

/// In which form the caller wants the answer; `None`: in one that is not kept.
fn form(format: Option<ApiFormat>, asked: &Envelope, path_stream: Option<bool>, query: &str) -> Option<Form> {
    let Some(format) = format else { return Some(Form::Whole) };
    let by_default = matches!(format, ApiFormat::OllamaChat | ApiFormat::OllamaGenerate);
    let stream = path_stream.or_else(|| asked.stream()).unwrap_or(by_default);
    if !stream {
        return Some(Form::Whole);
    }
    if format == ApiFormat::Gemini && !query.split('&').any(|pair| pair == "alt=sse") {
        return None;
    }
    let usage = match format {
        ApiFormat::OpenaiChat | ApiFormat::OpenaiCompletions => asked.include_usage().unwrap_or(false),
        _ => true,
    };
    Some(Form::Stream { usage })
}

/// The query without the caller's key.
fn without_key(query: &str) -> String {
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("key=") && *pair != "alt=sse").collect();
    kept.join("&")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_safe_to_repeat_is_repeated() {
        use ApiFormat::{AnthropicMessages, Gemini, OllamaChat, OpenaiChat, OpenaiResponses};
        use CacheMode::{All, Deterministic, Unsampled};
        let function = json!([{"type": "function", "function": {"name": "f"}}]);
        let cases = [
            (OpenaiChat, json!({"temperature": 0}), Deterministic, true),
            (OpenaiChat, json!({"temperature": 0.0, "tools": function}), Deterministic, true),
            (OpenaiChat, json!({}), Deterministic, false),
            (OpenaiChat, json!({"temperature": null}), Unsampled, true),
            (OpenaiChat, json!({"temperature": 0.7}), Unsampled, false),
            (OpenaiChat, json!({"temperature": 0.7}), All, true),
            (OpenaiChat, json!({"temperature": 0, "web_search_options": {}}), All, false),
            (OpenaiChat, json!({"temperature": 0}), CacheMode::Off, false),
            (
                AnthropicMessages,
                json!({"temperature": 0, "tools": [{"name": "f", "input_schema": {}}]}),
                Deterministic,
                true,
            ),
            (
                AnthropicMessages,
                json!({"temperature": 0, "tools": [{"type": "web_search_20250305", "name": "w"}]}),
                All,
                false,
            ),
            (AnthropicMessages, json!({"temperature": 0, "mcp_servers": [{}]}), All, false),
            (Gemini, json!({"generationConfig": {"temperature": 0}}), Deterministic, true),
            (Gemini, json!({"temperature": 0}), Deterministic, false),
            (Gemini, json!({"tools": [{"googleSearch": {}}]}), All, false),
            (OllamaChat, json!({"options": {"temperature": 0}}), Deterministic, true),
            (OpenaiResponses, json!({"temperature": 0}), Deterministic, false),
            (OpenaiResponses, json!({"temperature": 0, "store": false}), Deterministic, true),
            (OpenaiResponses, json!({"temperature": 0, "store": false, "previous_response_id": "r"}), All, false),
        ];
        for (format, asked, mode, expected) in cases {
            let look = Envelope::read(asked.to_string().into()).unwrap();
            let repeats = may_repeat(format, &look, mode) && !hosted_tools(&asked);
            assert_eq!(repeats, expected, "{format} {asked} {mode:?}");
        }
    }

    #[test]
    fn streams_are_replayed_event_by_event() {
        let bytes = Bytes::from_static(b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n");
        assert_eq!(frames(&bytes, ApiFormat::OpenaiChat).len(), 3);
        let lines = Bytes::from_static(b"{}\n{}\n");
        assert_eq!(frames(&lines, ApiFormat::OllamaChat).len(), 2);
    }
}
