use serde_json::{Value, json};

use super::codec;
use crate::fold::{Folded, fold, unfold};
use crate::format::{AddressHints, ReplyContext};
use crate::framing::Frame;
use crate::ir::{
    ChatRequest, ChatResponse, Choice, Extras, Finish, FinishReason, FunctionTool, Message, Part, Role, StreamEvent,
    Tool, Usage,
};
use crate::{ApiError, ApiErrorKind, ApiFormat, Dialect, laws};

fn request(body: &Value) -> ChatRequest {
    codec().decode_request(body.to_string().as_bytes(), AddressHints::default()).unwrap()
}

fn sent(request: &ChatRequest) -> (Value, Vec<String>) {
    let lossy = codec().encode_request(request, &Dialect::default()).unwrap();
    (serde_json::from_slice(&lossy.value).unwrap(), lossy.losses.iter().map(|loss| loss.field.to_string()).collect())
}

fn context(asked: Option<ChatRequest>) -> ReplyContext {
    let request = asked.map(std::sync::Arc::new);
    ReplyContext {
        model: "asked-for".into(),
        id: "feed".into(),
        created: 9,
        include_usage: true,
        request,
        ..ReplyContext::default()
    }
}

fn reply(response: &ChatResponse, context: &ReplyContext) -> Value {
    serde_json::from_slice(&codec().encode_response(response, context).value).unwrap()
}

fn streamed(events: &[StreamEvent], context: ReplyContext) -> (Vec<Value>, bool) {
    let mut encoder = codec().stream_encoder(context);
    let mut bytes = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut bytes));
    let text = String::from_utf8(bytes).unwrap();
    let data: Vec<&str> = text.split("\n\n").filter_map(|frame| frame.strip_prefix("data: ")).collect();
    let chunks =
        data.iter().filter(|data| **data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect();
    (chunks, data.last() == Some(&"[DONE]"))
}

fn folded(chunks: &[Value], done: bool) -> Folded {
    let mut decoder = codec().stream_decoder(&Dialect::default());
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.feed(&Frame::data(chunk.to_string().as_bytes()), &mut events).unwrap();
    }
    if done {
        decoder.feed(&Frame::data(b"[DONE]"), &mut events).unwrap();
    }
    decoder.finish(&mut events);
    laws::check(&events).unwrap();
    fold(events)
}

fn answer(text: &str) -> ChatResponse {
    ChatResponse {
        choices: vec![Choice {
            parts: vec![Part::text(text)],
            finish: Some(Finish::new(FinishReason::Length)),
            extras: Extras::NONE,
        }],
        usage: Some(Usage { input: Some(3), output: Some(4), ..Usage::default() }),
        ..ChatResponse::default()
    }
}

#[test]
fn a_prompt_is_one_user_message_and_back() {
    let body = json!({ "model": "m", "prompt": "once upon", "max_tokens": 5, "temperature": 0.5, "top_p": 1, "n": 2, "seed": 1, "stop": ["x"], "user": "u",
        "logprobs": 3, "suffix": "the end", "echo": true, "best_of": 2, "logit_bias": { "50256": -100 }, "presence_penalty": null });
    let asked = request(&body);
    assert_eq!(asked.messages, [Message::text(Role::User, "once upon")]);
    assert_eq!((asked.sampling.logprobs, asked.sampling.top_logprobs), (Some(true), Some(3)));
    assert_eq!(sent(&asked), (body, vec![]));
    // Another wire hears of what it cannot do.
    let losses = ApiFormat::OpenaiChat.codec().encode_request(&asked, &Dialect::default()).unwrap().losses;
    let fields: Vec<_> = losses.iter().map(|loss| loss.field.as_ref()).collect();
    assert_eq!(fields, ["extras.suffix", "extras.echo", "extras.best_of"]);
}

#[test]
fn a_list_of_one_prompt_is_that_prompt_and_other_lists_are_refused() {
    assert_eq!(request(&json!({ "model": "m", "prompt": ["a"] })).messages, [Message::text(Role::User, "a")]);
    for (prompt, word) in [
        (json!(["a", "b"]), "several"),
        (json!([1, 2]), "token ids"),
        (json!([[1], [2]]), "token ids"),
        (json!([[1]]), "token ids"),
        (json!({}), "string"),
    ] {
        let body = json!({ "model": "m", "prompt": prompt }).to_string();
        let error = codec().decode_request(body.as_bytes(), AddressHints::default()).unwrap_err();
        assert!(
            error.pointer == "/prompt" && error.message.contains(word) && error.format == ApiFormat::OpenaiCompletions,
            "{error}"
        );
    }
    let bad = codec().decode_request(br#"{"prompt":"a","temperature":"hot"}"#, AddressHints::default()).unwrap_err();
    assert_eq!((bad.format, bad.pointer.as_str()), (ApiFormat::OpenaiCompletions, "/temperature"));
}

#[test]
fn conversations_become_text_with_a_loss() {
    let messages = vec![
        Message::text(Role::System, "be brief"),
        Message::text(Role::User, "hi"),
        Message::text(Role::Assistant, "ho"),
        Message::text(Role::User, "so?"),
    ];
    let asked = ChatRequest {
        model: "m".into(),
        messages,
        tools: vec![Tool::function(FunctionTool::default())],
        ..ChatRequest::default()
    };
    let (body, losses) = sent(&asked);
    assert_eq!(body["prompt"], "System: be brief\n\nUser: hi\n\nAssistant: ho\n\nUser: so?\n\nAssistant:");
    assert_eq!(losses, ["messages", "tools"]);
}

#[test]
fn streams_ask_for_usage() {
    let asked = request(&json!({ "model": "m", "prompt": "a", "stream": true }));
    assert_eq!(sent(&asked).0["stream_options"], json!({ "include_usage": true }));
}

#[test]
fn answers_have_openais_shape() {
    let expected = json!({ "id": "cmpl-feed", "object": "text_completion", "created": 9, "model": "asked-for",
        "choices": [{ "text": "time", "index": 0, "logprobs": null, "finish_reason": "length" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 } });
    assert_eq!(reply(&answer("time"), &context(None)), expected);
    let (chunks, done) = streamed(&unfold(answer("time")), context(None));
    assert!(done);
    let texts: Vec<_> = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!((texts, &chunks[1]["choices"][0]["finish_reason"]), (vec!["time", ""], &json!("length")));
    assert_eq!((&chunks[2]["choices"], &chunks[2]["usage"]["total_tokens"]), (&json!([]), &json!(7)));
    let quiet = streamed(&unfold(answer("time")), ReplyContext { include_usage: false, ..context(None) }).0;
    assert!(quiet.iter().all(|chunk| chunk.get("usage").is_none()), "case_20");
}

#[test]
fn the_prompt_is_repeated_for_those_who_asked_and_only_once() {
    let asked = request(&json!({ "model": "m", "prompt": "once ", "echo": true }));
    let context = context(Some(asked));
    assert_eq!(reply(&answer("upon"), &context)["choices"][0]["text"], "once upon");
    let (chunks, _) = streamed(&unfold(answer("upon")), context.clone());
    let joined: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!(joined, "once upon");
    // A completions host has done it itself.
    let own = json!({ "id": "cmpl-1", "object": "text_completion", "choices": [{ "text": "once upon", "index": 0, "finish_reason": "stop" }] });
    let response = codec().decode_response(own.to_string().as_bytes(), &Dialect::default()).unwrap();
    assert_eq!(reply(&response, &context)["choices"][0]["text"], "once upon");
}

#[test]
fn chats_log_probabilities_take_the_old_shape() {
    let mut response = answer("hi!");
    let chat = json!({ "content": [
        { "token": "hi", "logprob": -0.5, "top_logprobs": [{ "token": "hi", "logprob": -0.5 }, { "token": "yo", "logprob": -1.5 }] },
        { "token": "!", "logprob": -0.25, "top_logprobs": [] },
    ] });
    response.choices[0].extras.insert(ApiFormat::OpenaiChat, "logprobs", chat);
    let expected = json!({ "tokens": ["hi", "!"], "token_logprobs": [-0.5, -0.25], "top_logprobs": [{ "hi": -0.5, "yo": -1.5 }, {}], "text_offset": [0, 2] });
    assert_eq!(reply(&response, &context(None))["choices"][0]["logprobs"], expected);
    assert_eq!(codec().encode_response(&response, &context(None)).losses, []);
}

#[test]
fn streams_are_read_choice_by_choice_and_finish_at_the_terminal() {
    let piece = |index: u8, text: &str, end: Option<&str>| json!({ "id": "cmpl-1", "object": "text_completion", "model": "m", "choices": [{ "index": index, "text": text, "logprobs": null, "finish_reason": end }] });
    let counted = json!({ "id": "cmpl-1", "choices": [], "usage": { "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3 } });
    let chunks =
        [piece(0, "a", None), piece(1, "x", None), piece(0, "b", Some("stop")), piece(1, "", Some("length")), counted];
    let whole = folded(&chunks, true);
    assert!(whole.complete);
    let seen: Vec<_> = whole
        .response
        .choices
        .iter()
        .map(|choice| (choice.parts[0].as_text().unwrap(), choice.finish.clone().unwrap().reason))
        .collect();
    assert_eq!(seen, [("ab", FinishReason::Stop), ("x", FinishReason::Length)]);
    assert_eq!(whole.response.usage.unwrap().output, Some(2));
    let cut = folded(&chunks, false);
    assert!(!cut.complete && cut.response.choices[0].finish.is_none());
    let failed = folded(&[piece(0, "a", None), json!({ "error": { "message": "no", "code": 503 } })], true);
    assert_eq!(failed.error.unwrap().kind, ApiErrorKind::Overloaded);
}

#[test]
fn failures_in_streams_are_told_without_a_terminal() {
    let mut events = unfold(answer("x"));
    events.truncate(3);
    events.push(StreamEvent::Error(ApiError::new(ApiErrorKind::Timeout, "slow")));
    let (chunks, done) = streamed(&events, context(None));
    assert!(!done);
    assert_eq!(chunks.last().unwrap()["error"]["message"], "slow");
}

#[test]
fn thinking_and_calls_are_losses() {
    let mut response = answer("x");
    response.choices[0].parts.insert(
        0,
        Part::new(crate::ir::Content::Reasoning(crate::ir::ReasoningPart { text: "hm".into(), ..Default::default() })),
    );
    assert_eq!(codec().encode_response(&response, &context(None)).losses.len(), 1);
    let mut encoder = codec().stream_encoder(context(None));
    unfold(response).iter().for_each(|event| encoder.push(event, &mut Vec::new()));
    assert_eq!(encoder.losses().len(), 1);
}
