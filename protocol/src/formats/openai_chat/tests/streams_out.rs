use serde_json::{Value, json};

use super::*;
use crate::fold::unfold;
use crate::ir::{
    Choice, Delta, Extras, Finish, FinishReason, FunctionTool, Native, Opaque, OpaqueKind, Part, PartHead,
    ReasoningPart, Tool, ToolCallKind, Usage,
};
use crate::{ApiError, ApiErrorKind, ApiFormat};

fn tool_call(id: &str, arguments: &str) -> Part {
    Part::new(Content::ToolCall(ToolCall {
        id: id.into(),
        name: "f".into(),
        namespace: None,
        kind: ToolCallKind::Function,
        arguments: arguments.into(),
        signature: None,
    }))
}

fn answer(parts: Vec<Part>, reason: FinishReason) -> ChatResponse {
    ChatResponse {
        id: Some("msg_1".into()),
        choices: vec![Choice { parts, finish: Some(Finish::new(reason)), extras: Extras::NONE }],
        usage: Some(Usage { input: Some(3), output: Some(4), ..Usage::default() }),
        ..ChatResponse::default()
    }
}

#[test]
fn chunks_come_in_openais_order() {
    let (chunks, done) = streamed(&unfold(answer(vec![Part::text("hi")], FinishReason::Stop)), context());
    assert!(done);
    let choices: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"]).collect();
    assert_eq!(
        choices[0],
        &json!([{ "index": 0, "delta": { "role": "assistant", "content": "hi" }, "finish_reason": null }])
    );
    assert_eq!(choices[1], &json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]));
    assert_eq!(choices[2], &json!([]));
    assert_eq!(chunks[2]["usage"], json!({ "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 }));
    for chunk in &chunks {
        assert_eq!(
            (&chunk["id"], &chunk["model"], &chunk["created"]),
            (&json!("chatcmpl-feed"), &json!("asked-for"), &json!(9))
        );
        assert_eq!(chunk["object"], "chat.completion.chunk");
    }
    assert_eq!(chunks[0].get("usage"), Some(&Value::Null));
}

#[test]
fn case_20_usage_goes_only_to_clients_that_asked() {
    let quiet = ReplyContext { include_usage: false, ..context() };
    let (chunks, done) = streamed(&unfold(answer(vec![Part::text("hi")], FinishReason::Stop)), quiet);
    assert!(done && chunks.iter().all(|chunk| chunk.get("usage").is_none() && chunk["choices"] != json!([])));
}

#[test]
fn case_02_calls_are_numbered_over_the_stream_whatever_lies_between() {
    let parts = vec![
        Part::new(Content::Reasoning(ReasoningPart { text: "hm".into(), ..ReasoningPart::default() })),
        tool_call("a", "{\"x\":1}"),
        Part::text("and"),
        tool_call("", ""),
        tool_call("c", "{}"),
    ];
    let (chunks, _) = streamed(&unfold(answer(parts, FinishReason::Stop)), context());
    let fragments: Vec<&Value> =
        chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0")).collect();
    let heads: Vec<_> = fragments
        .iter()
        .filter(|fragment| fragment.get("id").is_some())
        .map(|head| (head["index"].clone(), head["id"].clone()))
        .collect();
    assert_eq!(heads, [(json!(0), json!("a")), (json!(1), json!("call_feed1")), (json!(2), json!("c"))]);
    let joined = |index: u8| -> String {
        fragments
            .iter()
            .filter(|fragment| fragment["index"] == index)
            .filter_map(|fragment| fragment["function"]["arguments"].as_str())
            .collect()
    };
    assert_eq!([joined(0), joined(1), joined(2)], ["{\"x\":1}", "{}", "{}"]);
    let finish = chunks.iter().find_map(|chunk| chunk["choices"][0]["finish_reason"].as_str());
    assert_eq!(finish, Some("tool_calls"));
}

#[test]
fn a_call_whose_arguments_never_come_gets_an_empty_object() {
    let head = PartHead::ToolCall { id: "a".into(), name: "f".into(), namespace: None, kind: ToolCallKind::Function };
    let events = [
        StreamEvent::PartStart { id: 0, choice: 0, head, item_id: None },
        StreamEvent::PartEnd { id: 0 },
        StreamEvent::End,
    ];
    let (chunks, done) = streamed(&events, context());
    assert!(done);
    assert_eq!(chunks[0]["choices"][0]["delta"]["content"], Value::Null);
    assert_eq!(
        chunks[1]["choices"][0]["delta"]["tool_calls"],
        json!([{ "index": 0, "function": { "arguments": "{}" } }])
    );
}

#[test]
fn a_failure_is_told_and_never_followed_by_done() {
    let mut events = unfold(answer(vec![Part::text("hi")], FinishReason::Stop));
    events.truncate(3);
    events.push(StreamEvent::Error(ApiError::new(ApiErrorKind::Overloaded, "busy")));
    events.push(StreamEvent::End);
    let (chunks, done) = streamed(&events, context());
    assert!(!done);
    assert_eq!(chunks.last().unwrap()["error"]["message"], "busy");
    assert!(chunks.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
}

#[test]
fn keep_alives_are_comments() {
    let mut out = Vec::new();
    codec().stream_encoder(context()).keep_alive(&mut out);
    assert!(out.starts_with(b":") && out.ends_with(b"\n\n"));
}

#[test]
fn thinking_is_shown_live_and_its_blob_once_as_a_whole() {
    let opaque = Opaque { kind: OpaqueKind::Signature, format: ApiFormat::AnthropicMessages, data: "sig".into() };
    let events = [
        StreamEvent::PartStart { id: 0, choice: 0, head: PartHead::Reasoning, item_id: None },
        StreamEvent::PartDelta { id: 0, delta: Delta::Text("a".into()) },
        StreamEvent::PartDelta { id: 0, delta: Delta::Text("b".into()) },
        StreamEvent::PartDelta { id: 0, delta: Delta::Opaque(opaque) },
        StreamEvent::PartEnd { id: 0 },
        StreamEvent::PartStart { id: 1, choice: 0, head: PartHead::Reasoning, item_id: Some("rs_1".into()) },
        StreamEvent::PartDelta { id: 1, delta: Delta::Summary { index: 0, text: "c".into() } },
        StreamEvent::PartDelta { id: 1, delta: Delta::Summary { index: 1, text: "d".into() } },
        StreamEvent::PartEnd { id: 1 },
        StreamEvent::End,
    ];
    let (chunks, _) = streamed(&events, context());
    let shown: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["reasoning_content"].as_str()).collect();
    assert_eq!(shown, "ab\n\nc\n\nd");
    let details: Vec<&Value> =
        chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/reasoning_details")).collect();
    assert_eq!(
        details,
        [
            &json!([{ "type": "reasoning.text", "text": "ab", "signature": "myl1:anthropic-messages:sig:sig", "format": "anthropic-messages", "index": 0 }])
        ]
    );
}

#[test]
fn logprobs_go_out_with_their_text() {
    let logprobs = json!({ "content": [{ "token": "hi" }] });
    let chunks = [
        json!({ "id": "chatcmpl-1", "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "hi" }, "logprobs": logprobs }] }),
        finish("stop"),
    ];
    let (chunks, _) = streamed(&events(&Dialect::default(), &chunks, true), context());
    let with_text = chunks.iter().find(|chunk| chunk["choices"][0]["delta"]["content"] == "hi").unwrap();
    assert_eq!(with_text["choices"][0]["logprobs"], logprobs);
    assert_eq!(with_text["id"], "chatcmpl-1");
}

#[test]
fn legacy_clients_get_a_function_call() {
    let asked = ChatRequest {
        tools: vec![Tool::function(FunctionTool::default())],
        ..request(&json!({ "messages": [], "functions": [] }))
    };
    let legacy = ReplyContext { request: Some(asked.into()), ..context() };
    let (chunks, _) =
        streamed(&unfold(answer(vec![tool_call("a", "{\"x\":1}")], FinishReason::ToolCalls)), legacy.clone());
    let deltas: Vec<_> = chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/function_call")).collect();
    assert_eq!(deltas, [&json!({ "name": "f", "arguments": "" }), &json!({ "arguments": "{\"x\":1}" })]);
    assert!(chunks.iter().any(|chunk| chunk["choices"][0]["finish_reason"] == "function_call"));
    let whole = codec().encode_response(&answer(vec![tool_call("a", "{}")], FinishReason::ToolCalls), &legacy).value;
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(whole["choices"][0]["message"]["function_call"], json!({ "name": "f", "arguments": "{}" }));
    assert_eq!(whole["choices"][0]["finish_reason"], "function_call");
}

#[test]
fn what_chat_cannot_show_is_a_loss() {
    let native = Native { format: ApiFormat::AnthropicMessages, kind: "server_tool_use".into(), value: json!({}) };
    let mut encoder = codec().stream_encoder(context());
    let mut out = Vec::new();
    for event in unfold(answer(vec![Part::new(Content::Native(native))], FinishReason::Stop)) {
        encoder.push(&event, &mut out);
    }
    let losses = encoder.losses();
    assert!(losses.len() == 1 && losses[0].field.contains("server_tool_use"), "{losses:?}");
    assert_eq!(encoder.losses(), []);
}

#[test]
fn positions_of_sources_count_over_the_whole_text() {
    let cited = |text: &str| {
        let citation =
            crate::ir::Citation { url: Some("https://a".into()), start: Some(0), end: Some(2), ..Default::default() };
        Part::new(Content::Text(crate::ir::Text { text: text.into(), citations: vec![citation] }))
    };
    let response = answer(vec![cited("äö"), cited("üß")], FinishReason::Stop);
    let starts = |annotations: Vec<Value>| -> Vec<Value> {
        annotations.into_iter().map(|annotation| annotation["url_citation"]["start_index"].clone()).collect()
    };
    let whole = reply(&response)["choices"][0]["message"]["annotations"].as_array().unwrap().clone();
    assert_eq!(starts(whole), [json!(0), json!(2)]);
    let (chunks, _) = streamed(&unfold(response), context());
    let live = chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/annotations/0").cloned()).collect();
    assert_eq!(starts(live), [json!(0), json!(2)]);
}
