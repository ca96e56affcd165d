//! Rules of the format, one by one.

use serde_json::{Map, Value, json};

use super::{answer_to_nothing, chat_codec, generate_codec};
use crate::fold::{Folded, fold, unfold};
use crate::format::{AddressHints, FormatCodec, Lossy, ReplyContext};
use crate::framing::Frame;
use crate::ir::{
    ChatRequest, ChatResponse, Choice, Content, Effort, Finish, FinishReason, FunctionTool, Loss, Media, MediaKind,
    MediaSource, Message, Opaque, OpaqueKind, OutputFormat, Part, Reasoning, ReasoningPart, Role, StreamEvent, Tool,
    ToolCall, ToolCallKind, ToolChoice, ToolResult,
};
use crate::{ApiError, ApiErrorKind, ApiFormat, Dialect, laws};

const PNG: &str = "iVBORw0KGgoAAAANSUhEUg==";

fn read(codec: &dyn FormatCodec, body: &Value) -> ChatRequest {
    codec.decode_request(body.to_string().as_bytes(), AddressHints::default()).unwrap()
}

fn write(codec: &dyn FormatCodec, request: &ChatRequest, dialect: &Dialect) -> (Value, Vec<Loss>) {
    let Lossy { value, losses } = codec.encode_request(request, dialect).unwrap();
    (serde_json::from_slice(&value).unwrap(), losses)
}

fn fields(losses: &[Loss]) -> Vec<&str> {
    losses.iter().map(|loss| loss.field.as_ref()).collect()
}

fn request(model: &str, messages: Vec<Message>) -> ChatRequest {
    ChatRequest { model: model.into(), messages, ..ChatRequest::default() }
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::new(Content::ToolCall(ToolCall {
        id: id.into(),
        name: name.into(),
        namespace: None,
        kind: ToolCallKind::Function,
        arguments: arguments.into(),
        signature: None,
    }))
}

fn result(call_id: &str, content: Vec<Part>) -> Part {
    let result =
        ToolResult { call_id: call_id.into(), name: None, kind: ToolCallKind::Function, content, is_error: None };
    Part::new(Content::ToolResult(result))
}

fn image(source: MediaSource) -> Part {
    let media =
        Media { kind: MediaKind::Image, source, media_type: Some("image/png".into()), name: None, detail: None };
    Part::new(Content::Media(media))
}

fn folded(codec: &dyn FormatCodec, dialect: &Dialect, lines: &[Value]) -> Folded {
    let mut decoder = codec.stream_decoder(dialect);
    let mut events = Vec::new();
    for line in lines {
        decoder.feed(&Frame::data(line.to_string().as_bytes()), &mut events).unwrap();
    }
    decoder.finish(&mut events);
    assert_eq!(laws::check(&events), Ok(()));
    fold(events)
}

fn lines(codec: &dyn FormatCodec, events: &[StreamEvent], context: ReplyContext) -> Vec<Value> {
    let mut encoder = codec.stream_encoder(context);
    let mut out = Vec::new();
    for event in events {
        encoder.keep_alive(&mut out);
        encoder.push(event, &mut out);
    }
    let text = String::from_utf8(out).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect("every line is json")).collect()
}

#[test]
fn a_chat_is_read_with_everything_that_it_says() {
    let body = json!({
        "model": "qwen3", "keep_alive": "5m", "think": "high", "format": {"type": "object"},
        "options": {"temperature": 0.5, "num_predict": 7, "num_ctx": 8192, "stop": ["x"], "min_p": 0.1, "seed": -3},
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "look", "images": [PNG, format!("data:image/gif;base64,{PNG}")]},
            {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [
                {"function": {"name": "f", "arguments": {"a": 1}}}, {"function": {"name": "f", "arguments": "{\"a\": 2}"}}]},
            {"role": "tool", "content": "one", "tool_name": "f"},
            {"role": "tool", "content": "two"}
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    });
    let request = read(chat_codec(), &body);
    assert_eq!(request.stream, Some(true), "streams unless told not to");
    assert_eq!((request.max_tokens, request.sampling.seed, request.sampling.min_p), (Some(7), Some(-3), Some(0.1)));
    assert_eq!(request.reasoning.as_ref().unwrap().effort, Some(Effort::High));
    assert!(matches!(request.output, Some(OutputFormat::JsonSchema { .. })));
    assert_eq!(request.extras.get("keep_alive"), Some(&json!("5m")));
    assert_eq!(request.extras.get("options"), Some(&json!({"num_ctx": 8192})));
    let Content::Media(media) = &request.messages[1].parts[2].content else { panic!() };
    assert_eq!((media.media_type.as_deref(), &media.source), (Some("image/png"), &MediaSource::Base64(PNG.into())));
    let ids: Vec<_> = request.messages[3..]
        .iter()
        .map(|message| match &message.parts[0].content {
            Content::ToolResult(result) => result.call_id.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, ["call_0", "call_1"], "by name, and by order alone");
    let Content::ToolCall(call) = &request.messages[2].parts[2].content else { panic!() };
    assert_eq!(call.arguments, "{\"a\": 2}", "arguments as text are taken as they are");
}

#[test]
fn an_endless_answer_is_no_limit() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "q"}], "options": {"num_predict": -1}});
    let request = read(chat_codec(), &body);
    assert_eq!(request.max_tokens, None);
    assert_eq!(write(chat_codec(), &request, &Dialect::default()).0["options"], json!({"num_predict": -1}));
}

#[test]
fn bodies_that_are_no_requests_are_refused_with_their_place() {
    for (body, pointer) in [
        ("7", ""),
        ("{}", "/model"),
        (r#"{"model":"m","messages":[{"role":"robot"}]}"#, "/messages/0/role"),
        (r#"{"model":"m","think":"always"}"#, "/think"),
        (r#"{"model":"m","format":"xml"}"#, "/format"),
        (r#"{"model":"m","options":{"top_k":-1}}"#, "/options/top_k"),
        (r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{}]}]}"#, "/messages/0/tool_calls/0/function"),
    ] {
        let error = chat_codec().decode_request(body.as_bytes(), AddressHints::default()).unwrap_err();
        assert_eq!(error.pointer, pointer, "{body}");
    }
}

#[test]
fn a_completion_is_one_turn_and_keeps_what_only_ollama_knows() {
    let body = json!({"model": "m", "prompt": "def f(", "suffix": ")", "system": "s", "template": "t", "raw": true, "context": [1, 2],
        "images": [PNG], "stream": false});
    let request = read(generate_codec(), &body);
    assert_eq!(request.messages.len(), 2);
    assert_eq!(request.messages[1].parts.len(), 2);
    let (wire, losses) = write(generate_codec(), &request, &Dialect::default());
    assert_eq!((wire, losses.len()), (body, 0));
}

#[test]
fn a_conversation_is_packed_into_a_prompt_with_a_loss() {
    let messages =
        vec![Message::text(Role::User, "a"), Message::text(Role::Assistant, "b"), Message::text(Role::User, "c")];
    let (wire, losses) = write(generate_codec(), &request("m", messages), &Dialect::default());
    assert_eq!(wire["prompt"], "USER:\na\n\nASSISTANT:\nb\n\nUSER:\nc");
    assert_eq!(fields(&losses), ["messages"]);
}

#[test]
fn results_come_before_what_the_user_says_and_images_of_tools_behind_them() {
    let messages = vec![
        Message::new(Role::Assistant, vec![call("toolu_1", "f", r#"{"a":1}"#), call("toolu_2", "g", "")]),
        Message::new(
            Role::User,
            vec![
                result("toolu_2", vec![Part::text("two"), image(MediaSource::Base64(PNG.into()))]),
                result("toolu_1", vec![Part::text("one")]),
                Part::text("and?"),
            ],
        ),
    ];
    let (wire, losses) = write(chat_codec(), &request("m", messages.clone()), &Dialect::default());
    assert_eq!(
        wire["messages"],
        json!([
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "toolu_1", "function": {"name": "f", "arguments": {"a": 1}}},
                {"id": "toolu_2", "function": {"name": "g", "arguments": {}}}]},
            {"role": "tool", "content": "two", "tool_name": "g", "tool_call_id": "toolu_2"},
            {"role": "tool", "content": "one", "tool_name": "f", "tool_call_id": "toolu_1"},
            {"role": "user", "content": "", "images": [PNG]},
            {"role": "user", "content": "and?"}
        ])
    );
    assert_eq!(fields(&losses), ["messages[1].parts[0].content"]);
    let inside = Dialect { images_in_tool_results: true, ..Dialect::default() };
    let (wire, losses) = write(chat_codec(), &request("m", messages), &inside);
    assert_eq!(wire["messages"][1]["images"], json!([PNG]));
    assert!(losses.is_empty());
}

#[test]
fn only_inline_images_can_be_shown() {
    let messages = vec![Message::new(
        Role::User,
        vec![
            image(MediaSource::Base64(PNG.into())),
            image(MediaSource::Url("https://a/b.png".into())),
            image(MediaSource::FileId("file-1".into())),
            Part::new(Content::Media(Media {
                kind: MediaKind::Document,
                source: MediaSource::Text("words".into()),
                media_type: None,
                name: None,
                detail: None,
            })),
        ],
    )];
    let (wire, losses) = write(chat_codec(), &request("m", messages.clone()), &Dialect::default());
    assert_eq!(wire["messages"][0], json!({"role": "user", "content": "words", "images": [PNG]}));
    assert_eq!(losses.len(), 2);
    let blind = Dialect { no_images: true, ..Dialect::default() };
    assert_eq!(write(chat_codec(), &request("m", messages), &blind).1.len(), 3);
}

#[test]
fn thinking_is_a_switch_and_has_levels_only_for_gpt_oss() {
    let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
    let enabled = |on| Reasoning { enabled: Some(on), ..Reasoning::default() };
    for (model, reasoning, expected, lost) in [
        ("qwen3", enabled(false), json!(false), 0),
        ("qwen3", enabled(true), json!(true), 0),
        ("qwen3", effort(Effort::High), json!(true), 1),
        ("gpt-oss:20b", effort(Effort::High), json!("high"), 0),
        ("gpt-oss:20b", effort(Effort::Minimal), json!("low"), 1),
        ("gpt-oss:20b", effort(Effort::None), json!(false), 0),
        ("gpt-oss:20b", Reasoning { budget: Some(9_000), ..Reasoning::default() }, json!("medium"), 1),
    ] {
        let request =
            ChatRequest { reasoning: Some(reasoning), ..request(model, vec![Message::text(Role::User, "q")]) };
        let (wire, losses) = write(chat_codec(), &request, &Dialect::default());
        assert_eq!((&wire["think"], losses.len()), (&expected, lost), "{model}");
    }
}

#[test]
fn tools_that_must_not_be_called_are_left_out() {
    let tool = |name: &str| Tool::function(FunctionTool { name: name.into(), ..FunctionTool::default() });
    for (choice, left, lost) in [
        (ToolChoice::Auto, 2, 0),
        (ToolChoice::None, 0, 0),
        (ToolChoice::Required, 2, 1),
        (ToolChoice::Tool { name: "a".into(), kind: ToolCallKind::Function }, 2, 1),
        (ToolChoice::Allowed { names: vec!["a".into()], required: false }, 1, 0),
    ] {
        let request = ChatRequest {
            tools: vec![tool("a"), tool("b")],
            tool_choice: Some(choice.clone()),
            ..request("m", vec![Message::text(Role::User, "q")])
        };
        let (wire, losses) = write(chat_codec(), &request, &Dialect::default());
        let count = wire.get("tools").map_or(0, |tools| tools.as_array().unwrap().len());
        assert_eq!((count, losses.len()), (left, lost), "{choice:?}");
    }
}

#[test]
fn signatures_and_what_has_no_word_are_reported() {
    let blob = Opaque { kind: OpaqueKind::Signature, format: ApiFormat::AnthropicMessages, data: "x".into() };
    let thinking = ReasoningPart { text: "hm".into(), summary: Vec::new(), opaque: Some(blob) };
    let request = ChatRequest {
        n: Some(2),
        user: Some("u".into()),
        metadata: Some(Map::from_iter([("run".to_owned(), "7".into())])),
        ..request("m", vec![Message::new(Role::Assistant, vec![Part::new(Content::Reasoning(thinking))])])
    };
    let (wire, losses) = write(chat_codec(), &request, &Dialect::default());
    assert_eq!(wire["messages"][0], json!({"role": "assistant", "content": "", "thinking": "hm"}));
    assert_eq!(fields(&losses), ["messages[0].parts[0].opaque", "n", "user", "metadata"]);
}

#[test]
fn case_02_calls_of_several_lines_stay_apart() {
    let line = |city: &str| json!({"message": {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "w", "arguments": {"city": city}}}]}, "done": false});
    let end = json!({"message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop"});
    let got = folded(chat_codec(), &Dialect::default(), &[line("a"), line("b"), end]);
    let choice = &got.response.choices[0];
    assert_eq!(choice.parts, [call("", "w", r#"{"city":"a"}"#), call("", "w", r#"{"city":"b"}"#)]);
    assert_eq!(choice.finish, Some(Finish::new(FinishReason::ToolCalls)));
    let again = lines(chat_codec(), &unfold(got.response), ReplyContext::default());
    let indices: Vec<_> =
        again.iter().filter_map(|line| line.pointer("/message/tool_calls/0/function/index")?.as_u64()).collect();
    assert_eq!(indices, [0, 1], "the counter lives per stream");
}

#[test]
fn the_prompt_counter_is_unknown_when_it_is_absent() {
    let end = json!({"model": "m", "response": "x", "done": true, "eval_count": 0});
    let response = generate_codec().decode_response(end.to_string().as_bytes(), &Dialect::default()).unwrap();
    let usage = response.usage.unwrap();
    assert_eq!((usage.input, usage.output), (None, Some(0)));
    let none = json!({"model": "m", "response": "x", "done": true});
    assert_eq!(generate_codec().decode_response(none.to_string().as_bytes(), &Dialect::default()).unwrap().usage, None);
}

#[test]
fn a_failure_is_a_line_and_ends_the_stream() {
    let got = folded(
        chat_codec(),
        &Dialect::default(),
        &[
            json!({"message": {"content": "a"}, "done": false}),
            json!({"error": "out of memory"}),
            json!({"done": true}),
        ],
    );
    assert_eq!((got.error.unwrap().message.as_str(), got.complete), ("out of memory", false));
    let failure = StreamEvent::Error(ApiError::new(ApiErrorKind::RateLimit, "slow down"));
    assert_eq!(
        lines(chat_codec(), &[failure, StreamEvent::End], ReplyContext::default()),
        [json!({"error": "slow down"})]
    );
}

#[test]
fn an_answer_of_another_provider_reads_like_ollama_s() {
    let thinking = ReasoningPart { text: "hm".into(), ..ReasoningPart::default() };
    let response = ChatResponse {
        choices: vec![Choice {
            parts: vec![Part::new(Content::Reasoning(thinking)), Part::text("yes"), call("c", "f", "{\"a\":1}")],
            finish: Some(Finish::new(FinishReason::ToolCalls)),
            ..Choice::default()
        }],
        ..ChatResponse::default()
    };
    let context = ReplyContext { model: "llama".into(), created: 1_709_251_199, ..ReplyContext::default() };
    let told = lines(chat_codec(), &unfold(response.clone()), context.clone());
    assert!(told.iter().all(|line| line["model"] == "llama" && line["created_at"] == "2024-02-29T23:59:59Z"));
    assert_eq!(told[0]["message"], json!({"role": "assistant", "content": "", "thinking": "hm"}));
    let end = told.last().unwrap();
    assert_eq!((&end["done"], &end["done_reason"]), (&json!(true), &json!("stop")));
    assert!(end.get("prompt_eval_count").is_none(), "unknown is not zero");
    let whole = chat_codec().encode_response(&response, &context);
    let back = chat_codec().decode_response(&whole.value, &Dialect::default()).unwrap();
    assert_eq!(back.choices, response.choices);
}

#[test]
fn thinking_in_tags_is_thinking_where_the_host_is_known_for_it() {
    let line = |text: &str, done| json!({"response": text, "done": done});
    let tagged = [line("<thi", false), line("nk>hm</think>", false), line("\n\nyes", true)];
    let plain = folded(generate_codec(), &Dialect::default(), &tagged);
    assert_eq!(plain.response.choices[0].parts, [Part::text("<think>hm</think>\n\nyes")]);
    let dialect = Dialect { think_tags: true, ..Dialect::default() };
    let told = folded(generate_codec(), &dialect, &tagged);
    let thinking = ReasoningPart { text: "hm".into(), ..ReasoningPart::default() };
    assert_eq!(told.response.choices[0].parts, [Part::new(Content::Reasoning(thinking)), Part::text("yes")]);
}

#[test]
fn asking_nothing_loads_the_model() {
    let load = read(generate_codec(), &json!({"model": "m"}));
    let answer = answer_to_nothing(&load).unwrap();
    let wire =
        generate_codec().encode_response(&answer, &ReplyContext { model: "m".into(), ..ReplyContext::default() });
    let wire: Value = serde_json::from_slice(&wire.value).unwrap();
    assert_eq!((&wire["response"], &wire["done"], &wire["done_reason"]), (&json!(""), &json!(true), &json!("load")));
    let unload = read(chat_codec(), &json!({"model": "m", "messages": [], "keep_alive": 0}));
    assert_eq!(
        answer_to_nothing(&unload).unwrap().choices[0].finish.as_ref().unwrap().native.as_deref(),
        Some("unload")
    );
    assert_eq!(answer_to_nothing(&read(generate_codec(), &json!({"model": "m", "prompt": "q"}))), None);
}

#[test]
fn an_answer_that_is_not_done_is_no_answer() {
    let half = json!({"model": "m", "message": {"content": "a"}, "done": false});
    assert!(chat_codec().decode_response(half.to_string().as_bytes(), &Dialect::default()).is_err());
    let cut = folded(chat_codec(), &Dialect::default(), &[half]);
    assert!(!cut.complete && cut.response.choices[0].finish.is_none());
}
