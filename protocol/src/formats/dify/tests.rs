//! Rules of the format, one by one.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::codec;
use crate::fold::{Folded, fold, unfold};
use crate::format::{AddressHints, Lossy, ReplyContext};
use crate::framing::Frame;
use crate::ir::{
    ChatRequest, ChatResponse, Choice, Citation, Content, Extras, Finish, FinishReason, Loss, Media, MediaKind,
    MediaSource, Message, Part, ReasoningPart, Role, StreamEvent, Text, Usage,
};
use crate::{ApiError, ApiErrorKind, ApiFormat, Dialect, laws};

const CONVERSATION: &str = "0b1c2d3e-0000-4000-8000-00000000c001";
const UPLOAD: &str = "72fa9618-8f89-4a37-9b33-7e1178a24a67";

fn read(body: &Value) -> ChatRequest {
    let hints = AddressHints { model: Some("app"), stream: None };
    codec().decode_request(body.to_string().as_bytes(), hints).unwrap()
}

fn write(request: &ChatRequest, dialect: &Dialect) -> (Value, Vec<Loss>) {
    let Lossy { value, losses } = codec().encode_request(request, dialect).unwrap();
    (serde_json::from_slice(&value).unwrap(), losses)
}

fn fields(losses: &[Loss]) -> Vec<&str> {
    losses.iter().map(|loss| loss.field.as_ref()).collect()
}

fn in_conversation(mut request: ChatRequest) -> ChatRequest {
    request.extras.insert(ApiFormat::Dify, "conversation_id", json!(CONVERSATION));
    request
}

fn talk() -> ChatRequest {
    ChatRequest {
        messages: vec![
            Message::text(Role::System, "Be kind."),
            Message::text(Role::User, "Hi"),
            Message::text(Role::Assistant, "Hello"),
            Message::text(Role::User, "And?"),
        ],
        ..ChatRequest::default()
    }
}

/// An event with what every event repeats.
fn event(word: &str, more: Value) -> Value {
    let mut event =
        json!({"event": word, "conversation_id": CONVERSATION, "message_id": UPLOAD, "created_at": 7, "task_id": "t"});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

fn say(word: &str, text: &str) -> Value {
    event(word, json!({"answer": text}))
}

fn end() -> Value {
    event(
        "message_end",
        json!({"metadata": {"usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_price": "0.1", "currency": "USD"}}}),
    )
}

fn events(list: &[Value]) -> Vec<StreamEvent> {
    let mut decoder = codec().stream_decoder(&Dialect::default());
    let mut events = Vec::new();
    for one in list {
        decoder.feed(&Frame::data(one.to_string().as_bytes()), &mut events).unwrap();
    }
    decoder.finish(&mut events);
    assert_eq!(laws::check(&events), Ok(()));
    events
}

fn folded(list: &[Value]) -> Folded {
    fold(events(list))
}

fn told(events: &[StreamEvent], context: ReplyContext) -> Vec<Value> {
    let mut encoder = codec().stream_encoder(context);
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    let text = String::from_utf8(out).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn refusal(text: &str) -> Part {
    Part::new(Content::Refusal(text.into()))
}

#[test]
fn a_question_is_read_with_its_files_inputs_and_conversation() {
    let body = json!({
        "query": "look", "user": "u", "response_mode": "streaming", "conversation_id": CONVERSATION,
        "inputs": {"lang": "de"}, "auto_generate_name": false,
        "files": [{"type": "image", "transfer_method": "remote_url", "url": "https://a/b.png", "upload_file_id": ""},
                  {"type": "custom", "transfer_method": "local_file", "upload_file_id": UPLOAD}]
    });
    let request = read(&body);
    assert_eq!((request.model.as_str(), request.stream, request.user.as_deref()), ("app", Some(true), Some("u")));
    assert_eq!(request.extras.get("conversation_id"), Some(&json!(CONVERSATION)));
    let Content::Media(media) = &request.messages[0].parts[1].content else { panic!() };
    assert_eq!((media.kind, media.media_type.as_deref()), (MediaKind::Image, Some("image/png")));
    let (wire, losses) = write(&request, &Dialect::default());
    assert!(losses.is_empty(), "{losses:?}");
    assert_eq!(read(&wire), request);
    assert_eq!(wire["files"][1], body["files"][1]);
}

#[test]
fn bodies_that_are_no_requests_are_refused_with_their_place() {
    for (body, pointer) in [
        ("7", ""),
        (r#"{"user":"u"}"#, "/query"),
        (r#"{"query":"q"}"#, "/user"),
        (r#"{"query":"q","user":""}"#, "/user"),
        (r#"{"query":"q","user":"u","response_mode":"later"}"#, "/response_mode"),
        (r#"{"query":"q","user":"u","files":[{"type":"image"}]}"#, "/files/0/url"),
    ] {
        let error = codec().decode_request(body.as_bytes(), AddressHints::default()).unwrap_err();
        assert_eq!(error.pointer, pointer, "{body}");
    }
}

#[test]
fn without_a_conversation_the_whole_talk_is_packed_and_with_one_only_the_last_words_go() {
    let (wire, losses) = write(&talk(), &Dialect::default());
    assert_eq!(wire["query"], "SYSTEM:\nBe kind.\n\nUSER:\nHi\n\nASSISTANT:\nHello\n\nUSER:\nAnd?");
    assert_eq!((&wire["conversation_id"], &wire["user"]), (&json!(""), &json!("myelin")));
    assert_eq!(fields(&losses), ["messages"]);
    let (wire, losses) = write(&in_conversation(talk()), &Dialect::default());
    assert_eq!((&wire["query"], &wire["conversation_id"]), (&json!("And?"), &json!(CONVERSATION)));
    assert!(losses.is_empty());
    let one = ChatRequest { messages: vec![Message::text(Role::User, "Hi")], ..ChatRequest::default() };
    let (wire, losses) = write(&one, &Dialect::default());
    assert_eq!((&wire["query"], losses.len()), (&json!("Hi"), 0));
}

#[test]
fn an_agent_is_always_asked_for_a_stream() {
    let whole = ChatRequest { stream: Some(false), ..talk() };
    assert_eq!(write(&whole, &Dialect::default()).0["response_mode"], "blocking");
    let agent = Dialect { stream_only: true, ..Dialect::default() };
    assert_eq!(write(&whole, &agent).0["response_mode"], "streaming");
}

#[test]
fn files_are_addresses_or_uploads_and_nothing_else() {
    let media = |source| {
        Part::new(Content::Media(Media { kind: MediaKind::Image, source, media_type: None, name: None, detail: None }))
    };
    let message = Message::new(
        Role::User,
        vec![
            Part::text("q"),
            media(MediaSource::Url("https://a/b".into())),
            media(MediaSource::FileId(UPLOAD.into())),
            media(MediaSource::FileId("file-openai".into())),
            media(MediaSource::Base64("aGk=".into())),
        ],
    );
    let (wire, losses) = write(&ChatRequest { messages: vec![message], ..ChatRequest::default() }, &Dialect::default());
    assert_eq!(
        wire["files"],
        json!([{"type": "image", "transfer_method": "remote_url", "url": "https://a/b"},
               {"type": "image", "transfer_method": "local_file", "upload_file_id": UPLOAD}])
    );
    assert_eq!(fields(&losses), ["messages[0].parts[3]", "messages[0].parts[4]"]);
}

#[test]
fn what_the_app_decides_is_a_loss() {
    let request = ChatRequest { max_tokens: Some(5), n: Some(2), ..in_conversation(talk()) };
    assert_eq!(fields(&write(&request, &Dialect::default()).1), ["max_tokens", "n"]);
}

#[test]
fn hosts_set_inputs_that_the_caller_left_empty() {
    let dialect =
        Dialect { defaults: Map::from_iter([("inputs".to_owned(), json!({"lang": "en"}))]), ..Dialect::default() };
    assert_eq!(write(&talk(), &dialect).0["inputs"], json!({"lang": "en"}));
    let mut own = talk();
    own.extras.insert(ApiFormat::Dify, "inputs", json!({"lang": "de"}));
    assert_eq!(write(&own, &dialect).0["inputs"], json!({"lang": "de"}));
}

#[test]
fn the_new_agent_s_repetition_is_not_appended() {
    let got = folded(&[say("agent_message", "One "), say("agent_message", "two"), say("message", "One two"), end()]);
    assert_eq!(got.response.choices[0].parts, [Part::text("One two")]);
    let more = folded(&[say("agent_message", "One "), say("message", "One two"), end()]);
    assert_eq!(more.response.choices[0].parts, [Part::text("One two")], "what is new in it is");
    let other = events(&[say("agent_message", "One"), say("message", "Something else"), end()]);
    assert!(other.iter().any(|event| matches!(event, StreamEvent::Raw { .. })));
    assert_eq!(fold(other).response.choices[0].parts, [Part::text("One")]);
    let chat = folded(&[say("message", "a"), say("message", "a"), end()]);
    assert_eq!(chat.response.choices[0].parts, [Part::text("aa")], "a chat may repeat itself");
}

#[test]
fn a_text_that_is_replaced_before_it_went_out_is_just_the_new_text() {
    let got = folded(&[say("message_replace", "No."), end()]);
    assert_eq!(got.response.choices[0].parts, [Part::text("No.")]);
    assert_eq!(got.response.choices[0].finish, Some(Finish::new(FinishReason::Stop)));
    let longer = folded(&[say("message", "On"), say("message_replace", "One"), end()]);
    assert_eq!(longer.response.choices[0].parts, [Part::text("One")]);
}

#[test]
fn a_text_that_is_taken_back_becomes_a_filtered_answer_with_a_refusal() {
    let list = [say("message", "Secret"), say("message_replace", "I may not say."), end()];
    let got = folded(&list);
    assert_eq!(got.response.choices[0].parts, [Part::text("Secret"), refusal("I may not say.")]);
    let finish = got.response.choices[0].finish.clone().unwrap();
    assert_eq!((finish.reason, finish.native.as_deref()), (FinishReason::ContentFilter, Some("message_replace")));
    let again = told(&events(&list), ReplyContext::default());
    assert_eq!(
        again.iter().map(|one| one["event"].as_str().unwrap()).collect::<Vec<_>>(),
        ["message", "message_replace", "message_end"]
    );
    assert_eq!(folded(&again).response.choices, got.response.choices);
    let whole = codec().encode_response(&got.response, &ReplyContext::default());
    let whole: Value = serde_json::from_slice(&whole.value).unwrap();
    assert_eq!(whole["answer"], "I may not say.");
}

#[test]
fn thinking_comes_in_tags_or_in_chunks() {
    let chunk =
        |text: &str, last: bool| event("reasoning_chunk", json!({"data": {"reasoning": text, "is_final": last}}));
    let thinking = Part::new(Content::Reasoning(ReasoningPart { text: "hm".into(), ..ReasoningPart::default() }));
    for list in [
        vec![say("message", "<thi"), say("message", "nk>hm</think>\n"), say("message", "yes"), end()],
        vec![chunk("h", false), chunk("m", false), chunk("", true), say("message", "yes"), end()],
    ] {
        assert_eq!(folded(&list).response.choices[0].parts, [thinking.clone(), Part::text("yes")]);
    }
    let body = json!({"answer": "yes", "metadata": {"reasoning": {"node": "hm"}}});
    let whole = codec().decode_response(body.to_string().as_bytes(), &Dialect::default()).unwrap();
    assert_eq!(whole.choices[0].parts, [thinking, Part::text("yes")]);
}

#[test]
fn a_failed_workflow_is_a_failure_and_the_better_words_count() {
    let failed = event("workflow_finished", json!({"data": {"status": "failed", "error": "node broke"}}));
    let alone = folded(&[say("message", "a"), failed.clone()]);
    assert_eq!((alone.error.unwrap().message.as_str(), alone.complete), ("node broke", false));
    let better = json!({"event": "error", "status": 400, "code": "provider_quota_exceeded", "message": "no credit"});
    let told = folded(&[failed, better, end()]);
    let error = told.error.unwrap();
    assert_eq!((error.kind, error.message.as_str(), told.complete), (ApiErrorKind::Billing, "no credit", false));
    let fine = event("workflow_finished", json!({"data": {"status": "succeeded"}}));
    assert!(!folded(&[say("message", "a"), fine]).complete, "without its end the answer was cut");
}

#[test]
fn sound_and_signs_of_life_are_nothing_and_inner_work_is_raw() {
    let got = events(&[
        json!({"event": "ping"}),
        event("tts_message", json!({"audio": "AAAA"})),
        event("agent_thought", json!({"thought": "x", "tool": "calculator"})),
        say("agent_message", "yes"),
        end(),
    ]);
    assert!(matches!(&got[1], StreamEvent::Raw { format: ApiFormat::Dify, value } if value["tool"] == "calculator"));
    assert_eq!(fold(got).response.choices[0].parts, [Part::text("yes")]);
}

#[test]
fn files_of_the_app_are_media_and_those_of_the_user_are_not() {
    let file =
        |whose: &str| event("message_file", json!({"type": "image", "belongs_to": whose, "url": "https://a/b.png"}));
    let got = folded(&[say("message", "see"), file("user"), file("assistant"), say("message", "!"), end()]);
    assert_eq!(got.response.choices[0].parts.len(), 3);
    let again = told(&unfold(got.response.clone()), ReplyContext::default());
    assert_eq!(again[1]["event"], "message_file");
    assert_eq!(folded(&again).response.choices, got.response.choices);
}

#[test]
fn an_answer_of_another_provider_reads_like_dify_s() {
    let citation = Citation { url: Some("https://a".into()), title: Some("A".into()), ..Citation::default() };
    let thinking = ReasoningPart { text: "hm".into(), ..ReasoningPart::default() };
    let response = ChatResponse {
        id: Some("chatcmpl-1".into()),
        choices: vec![Choice {
            parts: vec![
                Part::new(Content::Reasoning(thinking)),
                Part::new(Content::Text(Text { text: "yes".into(), citations: vec![citation] })),
            ],
            finish: Some(Finish::new(FinishReason::Length)),
            ..Choice::default()
        }],
        usage: Some(Usage { input: Some(5), output: Some(2), cost_usd: Some("0.01".into()), ..Usage::default() }),
        ..ChatResponse::default()
    };
    let asked = in_conversation(ChatRequest::default());
    let context = ReplyContext {
        id: "00112233445566778899aabbccddeeff".into(),
        created: 9,
        request: Some(Arc::new(asked)),
        ..ReplyContext::default()
    };
    let list = told(&unfold(response.clone()), context.clone());
    for one in &list {
        assert_eq!(one["message_id"], "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!((&one["conversation_id"], &one["created_at"]), (&json!(CONVERSATION), &json!(9)));
    }
    let end = &list.last().unwrap()["metadata"];
    assert_eq!(
        end["usage"],
        json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "total_price": "0.01", "currency": "USD"})
    );
    assert_eq!(end["retriever_resources"], json!([{"position": 1, "document_name": "A", "url": "https://a"}]));
    let back = folded(&list);
    assert_eq!(back.response.choices[0].finish.as_ref().unwrap().reason, FinishReason::Length);
    let Content::Text(text) = &back.response.choices[0].parts[1].content else { panic!() };
    assert_eq!(text.citations[0].url.as_deref(), Some("https://a"));
    let whole: Value = serde_json::from_slice(&codec().encode_response(&response, &context).value).unwrap();
    assert_eq!((&whole["answer"], &whole["mode"], &whole["event"]), (&json!("yes"), &json!("chat"), &json!("message")));
    assert_eq!(whole["metadata"]["reasoning"], json!({"llm": "hm"}));
}

#[test]
fn a_failure_is_an_error_event_and_a_failed_finish_too() {
    let failure = StreamEvent::Error(ApiError::new(ApiErrorKind::RateLimit, "slow down"));
    let list = told(&[failure, StreamEvent::End], ReplyContext::default());
    assert_eq!(list.len(), 1);
    assert_eq!(
        (&list[0]["event"], &list[0]["code"], &list[0]["status"]),
        (&json!("error"), &json!("too_many_requests"), &json!(429))
    );
    let finish = Finish { native: Some("MALFORMED_FUNCTION_CALL".into()), ..Finish::new(FinishReason::Error) };
    let list = told(&[StreamEvent::Finish { choice: 0, finish }, StreamEvent::End], ReplyContext::default());
    assert_eq!(list[0]["event"], "error");
}

#[test]
fn fields_of_other_formats_are_reported() {
    let mut fields_of = Map::new();
    fields_of.insert("system_fingerprint".into(), json!("fp"));
    let response = ChatResponse {
        extras: Extras::new(ApiFormat::OpenaiChat, fields_of),
        choices: vec![Choice::default(), Choice { parts: vec![Part::text("second")], ..Choice::default() }],
        ..ChatResponse::default()
    };
    let losses = codec().encode_response(&response, &ReplyContext::default()).losses;
    assert_eq!(fields(&losses), ["extras.system_fingerprint", "choices[1]"]);
}

#[test]
fn frames_that_are_no_events_are_corrupt() {
    for data in ["{", "7", "{}", r#"{"event":5}"#, r#"{"event":"message","answer":7}"#] {
        let mut decoder = codec().stream_decoder(&Dialect::default());
        assert!(decoder.feed(&Frame::data(data.as_bytes()), &mut Vec::new()).is_err(), "{data}");
    }
}
