//! Recorded Chat traffic of every host, against what the raw JSON says.

use std::collections::BTreeMap;

use myelin_protocol::dialect::{MaxTokensField, ReasoningField, ReasoningRequest, ReplayReasoning};
use myelin_protocol::fold::{Folded, fold, unfold};
use myelin_protocol::format::{AddressHints, ReplyContext};
use myelin_protocol::ir::{ChatResponse, Choice, Content, FinishReason, StreamEvent, ToolCallKind};
use myelin_protocol::laws;
use myelin_protocol::{ApiErrorKind, ApiFormat, Dialect, answer};
use serde_json::Value;

use crate::support::fixtures::{BodyKind, Case, cases};
use crate::support::streams;

const CHAT: ApiFormat = ApiFormat::OpenaiChat;

/// Every recorded folder that speaks Chat.
const APIS: [&str; 20] = [
    "alibaba/chat-completions",
    "anthropic/openai-compat-chat-completions",
    "avian/chat-completions",
    "azure-openai/chat-completions",
    "cerebras/chat-completions",
    "deepseek/chat-completions",
    "doubao/chat-completions",
    "groq/chat-completions",
    "huggingface-router/chat-completions",
    "llamacpp/chat-completions",
    "mistral/chat-completions",
    "moonshot/chat-completions",
    "ollama/openai-chat-completions",
    "openai/chat-completions",
    "openrouter/chat-completions",
    "perplexity/chat-completions",
    "together/chat-completions",
    "vercel-ai-gateway/chat-completions",
    "vllm/chat-completions",
    "xai/chat-completions",
];
const ZHIPU: &str = "zhipu/chat-completions";

fn all() -> Vec<Case> {
    let mut apis = APIS.to_vec();
    apis.push(ZHIPU);
    cases(&apis)
}

/// How the hosts differ, as the provider catalog would say it.
fn dialect(case: &Case) -> Dialect {
    let host = case.api.split('/').next().unwrap();
    let base = Dialect { top_k: true, ..Dialect::default() };
    let thinking = |field, request| Dialect {
        reasoning_field: field,
        replay_reasoning: ReplayReasoning::Always,
        reasoning_request: request,
        max_tokens: MaxTokensField::MaxTokens,
        ..base.clone()
    };
    match host {
        // GLM's models differ in which of the two they take.
        "zhipu" if asks_with_effort(case) => thinking(ReasoningField::ReasoningContent, ReasoningRequest::Effort),
        "deepseek" => thinking(ReasoningField::ReasoningContent, ReasoningRequest::ThinkingTypeAndEffort),
        "moonshot" | "zhipu" | "doubao" => thinking(ReasoningField::ReasoningContent, ReasoningRequest::ThinkingType),
        "mistral" => thinking(ReasoningField::ContentThinking, ReasoningRequest::Effort),
        "openrouter" | "vercel-ai-gateway" => Dialect {
            cache_control: true,
            file_url: true,
            ..thinking(ReasoningField::ReasoningDetails, ReasoningRequest::Object)
        },
        "groq" | "cerebras" | "ollama" => thinking(ReasoningField::Reasoning, ReasoningRequest::Effort),
        "xai" => Dialect {
            reasoning_beside_output: true,
            ..thinking(ReasoningField::ReasoningContent, ReasoningRequest::Effort)
        },
        "alibaba" => thinking(ReasoningField::ReasoningContent, ReasoningRequest::EnableThinking),
        "perplexity" => Dialect { no_done: true, ..base },
        "openai" | "azure-openai" => base,
        _ => thinking(ReasoningField::ReasoningContent, ReasoningRequest::Effort),
    }
}

fn asks_with_effort(case: &Case) -> bool {
    case.request().is_some_and(|body| serde_json::from_slice::<Value>(&body).unwrap().get("reasoning_effort").is_some())
}

/// What an answer amounts to, by whichever road it was read.
#[derive(Debug, PartialEq, Default)]
struct Gist {
    text: String,
    reasoning: String,
    refusal: String,
    /// Name and arguments.
    calls: Vec<(String, Value)>,
    finish: Option<String>,
    input: Option<u64>,
    output: Option<u64>,
    cached: Option<u64>,
    reasoned: Option<u64>,
}

fn arguments(text: &str) -> Value {
    serde_json::from_str(if text.is_empty() { "{}" } else { text }).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Straight from the raw JSON of a message or of all deltas.
#[derive(Default)]
struct Raw {
    gist: Gist,
    calls: BTreeMap<String, (String, String)>,
    usage: Value,
}

impl Raw {
    fn message(&mut self, message: &Value) {
        let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        match &message["content"] {
            Value::String(content) => self.gist.text.push_str(content),
            Value::Array(items) => {
                for item in items {
                    self.gist.text.push_str(item["text"].as_str().unwrap_or_default());
                    for piece in item["thinking"].as_array().into_iter().flatten() {
                        self.gist.reasoning.push_str(piece["text"].as_str().unwrap());
                    }
                }
            }
            _ => {}
        }
        let thought = [text("reasoning_content"), text("reasoning")].into_iter().find(|text| !text.is_empty());
        self.gist.reasoning.push_str(&thought.unwrap_or_default());
        self.gist.refusal.push_str(&text("refusal"));
        for (position, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let index = call["index"].as_u64().unwrap_or(position as u64);
            let slot = self.calls.entry(format!("{index:04}")).or_default();
            if slot.0.is_empty() {
                slot.0 = call["function"]["name"].as_str().unwrap_or_default().to_owned();
            }
            slot.1.push_str(call["function"]["arguments"].as_str().unwrap_or_default());
        }
    }

    fn finish(&mut self, choice: &Value) {
        if let Some(word) = choice["finish_reason"].as_str() {
            self.gist.finish = Some(word.to_owned());
        }
    }

    fn counted(&mut self, usage: &Value) {
        if usage.is_object() {
            self.usage = usage.clone();
        }
    }

    fn gist(mut self, beside: bool) -> Gist {
        self.gist.calls = self.calls.into_values().map(|(name, text)| (name, arguments(&text))).collect();
        if !self.gist.calls.is_empty() && self.gist.finish.as_deref() == Some("stop") {
            self.gist.finish = Some("tool_calls".into());
        }
        let usage = &self.usage;
        self.gist.input = usage["prompt_tokens"].as_u64();
        self.gist.reasoned = usage["completion_tokens_details"]["reasoning_tokens"].as_u64();
        let beside = if beside { self.gist.reasoned.unwrap_or(0) } else { 0 };
        self.gist.output = usage["completion_tokens"].as_u64().map(|output| output + beside);
        let cached = [
            &usage["prompt_tokens_details"]["cached_tokens"],
            &usage["prompt_cache_hit_tokens"],
            &usage["cached_tokens"],
            &usage["num_cached_tokens"],
        ];
        self.gist.cached = cached.into_iter().find_map(Value::as_u64);
        self.gist
    }
}

fn gist_of(response: &ChatResponse) -> Gist {
    let mut gist = Gist::default();
    let Choice { parts, finish, .. } = response.first().cloned().unwrap_or_default();
    for part in parts {
        match part.content {
            Content::Text(text) => gist.text.push_str(&text.text),
            Content::Reasoning(reasoning) => gist.reasoning.push_str(&reasoning.text),
            Content::Refusal(text) => gist.refusal.push_str(&text),
            Content::ToolCall(call) => {
                assert_eq!(call.kind, ToolCallKind::Function);
                assert!(!call.arguments.is_empty(), "no arguments are {{}}, never nothing");
                gist.calls.push((call.name, arguments(&call.arguments)));
            }
            _ => {}
        }
    }
    gist.finish = finish.map(|finish| match finish.reason {
        FinishReason::Stop | FinishReason::StopSequence => "stop".into(),
        FinishReason::Length => "length".into(),
        FinishReason::ToolCalls => "tool_calls".into(),
        FinishReason::ContentFilter => "content_filter".into(),
        other => format!("{other:?}"),
    });
    let usage = response.usage.clone().unwrap_or_default();
    (gist.input, gist.output, gist.cached, gist.reasoned) =
        (usage.input, usage.output, usage.cache_read, usage.reasoning);
    gist
}

/// The JSON documents of a recorded stream, read without any of our code; and whether it ended as it should.
fn chunks(body: &[u8]) -> (Vec<Value>, bool) {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let data =
        text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).filter(|data| !data.is_empty());
    let done = text.contains("data: [DONE]");
    (data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect(), done)
}

fn context(include_usage: bool) -> ReplyContext {
    ReplyContext { model: "asked-for".into(), id: "feed".into(), created: 1, include_usage, ..ReplyContext::default() }
}

/// A response without what only the way here decides: names that the client asked for, the raw counters.
fn plain(mut response: ChatResponse) -> ChatResponse {
    (response.id, response.model, response.created) = (None, None, None);
    if let Some(usage) = &mut response.usage {
        usage.raw = None;
    }
    response
}

#[test]
fn every_recorded_answer_says_what_its_json_says_and_survives_a_round_trip() {
    let mut seen = 0;
    for case in all() {
        let Some(body) = case.body(BodyKind::Json).filter(|_| case.status() == 200) else { continue };
        let raw: Value = serde_json::from_slice(&body).unwrap();
        if raw.get("error").is_some() {
            continue;
        }
        seen += 1;
        let dialect = dialect(&case);
        let response =
            CHAT.codec().decode_response(&body, &dialect).unwrap_or_else(|error| panic!("{}: {error}", case.id));
        let mut expected = Raw::default();
        expected.message(&raw["choices"][0]["message"]);
        expected.finish(&raw["choices"][0]);
        expected.counted(&raw["choices"][0]["usage"]);
        expected.counted(&raw["usage"]);
        assert_eq!(gist_of(&response), expected.gist(dialect.reasoning_beside_output), "{}", case.id);
        assert_eq!(response.usage, answer::facts(CHAT, &body.clone().into(), &dialect).usage, "{}", case.id);

        let written = CHAT.codec().encode_response(&response, &context(false));
        assert_eq!(written.losses, [], "{}", case.id);
        let again = CHAT.codec().decode_response(&written.value, &Dialect::default()).unwrap();
        assert_eq!(plain(again), plain(response.clone()), "{}", case.id);

        // The same answer as a stream, read back.
        let mut encoder = CHAT.codec().stream_encoder(context(true));
        let mut bytes = Vec::new();
        unfold(response.clone()).iter().for_each(|event| encoder.push(event, &mut bytes));
        let events = streams::decode(CHAT, &Dialect::default(), &[&bytes]);
        laws::check(&events).unwrap_or_else(|broken| panic!("{}: {broken}", case.id));
        let folded = fold(events);
        assert!(folded.complete && folded.error.is_none(), "{}", case.id);
        assert_eq!(gist_of(&folded.response), gist_of(&response), "{}", case.id);
    }
    println!("{seen} answers");
}

#[test]
fn every_recorded_stream_says_what_its_json_says() {
    let mut seen = 0;
    for case in all() {
        let Some(body) = case.body(BodyKind::Sse).filter(|_| case.status() == 200) else { continue };
        seen += 1;
        let dialect = dialect(&case);
        let (raw, done) = chunks(&body);
        let events = streams::decode(CHAT, &dialect, &[&body]);
        laws::check(&events).unwrap_or_else(|broken| panic!("{}: {broken}", case.id));
        let Folded { response, error, complete } = fold(events.clone());
        let failed = raw.iter().any(|chunk| chunk.get("error").is_some());
        assert_eq!(error.is_some(), failed, "{}", case.id);
        assert_eq!(complete, done && !failed, "{}", case.id);
        let mut expected = Raw::default();
        for chunk in &raw {
            if chunk.get("error").is_some() {
                break;
            }
            expected.counted(&chunk["x_groq"]["usage"]);
            expected.counted(&chunk["usage"]);
            for choice in chunk["choices"].as_array().into_iter().flatten().filter(|choice| choice["index"] == 0) {
                expected.message(&choice["delta"]);
                expected.finish(choice);
                expected.counted(&choice["usage"]);
            }
        }
        let mut expected = expected.gist(dialect.reasoning_beside_output);
        if failed {
            expected.finish = None;
        }
        assert_eq!(gist_of(&response), expected, "{}", case.id);

        // To a Chat client and back.
        let mut encoder = CHAT.codec().stream_encoder(context(true));
        let mut bytes = Vec::new();
        events.iter().for_each(|event| encoder.push(event, &mut bytes));
        let again = streams::decode(CHAT, &Dialect::default(), &[&bytes]);
        laws::check(&again).unwrap_or_else(|broken| panic!("{}: {broken}", case.id));
        let again = fold(again);
        if failed {
            assert_eq!(again.error.map(|error| error.kind), error.map(|error| error.kind), "{}", case.id);
        } else {
            assert_eq!(gist_of(&again.response), gist_of(&response), "{}", case.id);
            assert!(again.complete, "{}", case.id);
        }
    }
    println!("{seen} streams");
}

#[test]
fn a_recorded_stream_that_is_cut_anywhere_never_ends_well() {
    for case in all() {
        let Some(body) = case.body(BodyKind::Sse).filter(|_| case.status() == 200) else { continue };
        let dialect = Dialect { no_done: false, ..dialect(&case) };
        let text = String::from_utf8(body).unwrap();
        let whole = text.find("data: [DONE]").unwrap_or(text.len());
        let frames: Vec<usize> = text.match_indices("\n\n").map(|(at, _)| at + 2).filter(|at| *at <= whole).collect();
        for at in frames {
            let events = streams::decode(CHAT, &dialect, &[&text.as_bytes()[..at]]);
            let good = events.iter().any(|event| matches!(event, StreamEvent::Finish { .. } | StreamEvent::End));
            assert!(!good, "{} cut at {at}", case.id);
        }
    }
}

#[test]
fn every_recorded_request_survives_a_round_trip_in_its_hosts_dialect() {
    let mut seen = 0;
    for case in all() {
        let Some(body) = case.request() else { continue };
        let Ok(raw) = serde_json::from_slice::<Value>(&body) else { continue };
        if raw.get("messages").is_none() {
            continue;
        }
        seen += 1;
        let decode = |body: &[u8]| {
            CHAT.codec()
                .decode_request(body, AddressHints::default())
                .unwrap_or_else(|error| panic!("{}: {error}", case.id))
        };
        let mut request = decode(&body);
        let written = CHAT.codec().encode_request(&request, &dialect(&case)).unwrap();
        assert_eq!(written.losses, [], "{}", case.id);
        if request.stream == Some(true) {
            request.include_usage = Some(true);
        }
        let again = decode(&written.value);
        for (again, message) in again.messages.iter().zip(&request.messages) {
            assert_eq!(again, message, "{}", case.id);
        }
        assert_eq!(again, request, "{}", case.id);
        // Nothing that the client said is gone.
        let written: Value = serde_json::from_slice(&written.value).unwrap();
        for name in raw.as_object().unwrap().keys() {
            let renamed = matches!(name.as_str(), "max_tokens" | "max_completion_tokens");
            assert!(renamed || written.get(name).is_some(), "{}: {name}", case.id);
        }
        assert_eq!(
            written["messages"].as_array().unwrap().len(),
            raw["messages"].as_array().unwrap().len(),
            "{}",
            case.id
        );
    }
    println!("{seen} requests");
}

#[test]
fn every_recorded_failure_means_what_its_status_and_words_say() {
    let expected = |case: &Case| match case.id.rsplit('/').next().unwrap() {
        "error-404--reasoning" | "error-404--model-name-suggestion-groq" => ApiErrorKind::UnknownModel,
        "error-400-stream--streaming-error-carries-the-correlation-id" => ApiErrorKind::UnknownModel,
        "error-429--insufficient-quota" => ApiErrorKind::Billing,
        id if id.contains("handles-context-length-e") && !id.contains("429") => ApiErrorKind::ContextLength,
        "error-500--schema-and-grammar-conflict" => ApiErrorKind::Upstream,
        id if id.starts_with("error-401") => ApiErrorKind::Authentication,
        id if id.starts_with("error-429") => ApiErrorKind::RateLimit,
        id if id.starts_with("error-400") => ApiErrorKind::InvalidRequest,
        id => panic!("what is {id}?"),
    };
    for case in all().into_iter().filter(|case| case.status() >= 400) {
        let (body, _) = case.response().unwrap();
        let error = CHAT.codec().decode_error(case.status(), &body);
        assert_eq!(error.kind, expected(&case), "{}: {error:?}", case.id);
        assert!(!error.message.starts_with('{'), "{}: {}", case.id, error.message);
        assert_eq!(error.status, Some(case.status()), "{}", case.id);
        let again = CHAT.codec().decode_error(error.status(), &CHAT.codec().encode_error(&error));
        assert_eq!((again.kind, again.message), (error.kind, error.message), "{}", case.id);
    }
}

#[test]
fn recorded_model_lists_are_read_with_their_limits() {
    for case in cases(&["openai/models", "groq/models", "mistral/models", "openrouter/models", "vllm/models"]) {
        let Some(body) = case.body(BodyKind::Json) else { continue };
        let raw: Value = serde_json::from_slice(&body).unwrap();
        if raw["data"].is_null() {
            continue;
        }
        let models = CHAT.codec().decode_models(&body).unwrap();
        let ids: Vec<&str> =
            raw["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
        assert_eq!(models.iter().map(|model| model.id.as_str()).collect::<Vec<_>>(), ids, "{}", case.id);
        if !case.api.starts_with("openai") {
            assert!(models.iter().any(|model| model.context.is_some()), "{}", case.id);
        }
        let again = CHAT.codec().decode_models(&CHAT.codec().encode_models(&models)).unwrap();
        assert_eq!(
            again.iter().map(|model| &model.id).collect::<Vec<_>>(),
            models.iter().map(|model| &model.id).collect::<Vec<_>>()
        );
    }
}
