//! Thinking: through clients and back, and to hosts that want it again.

use serde_json::{Value, json};

use super::*;
use crate::ApiFormat;
use crate::dialect::{ReasoningField, ReplayReasoning};
use crate::ir::{Choice, Opaque, OpaqueKind, Part, ReasoningPart};

fn thought(text: &str, blob: Option<(OpaqueKind, ApiFormat, &str)>) -> Part {
    let opaque = blob.map(|(kind, format, data)| Opaque { kind, format, data: data.into() });
    Part::new(Content::Reasoning(ReasoningPart { text: text.into(), summary: Vec::new(), opaque }))
}

fn answer(parts: Vec<Part>) -> ChatResponse {
    ChatResponse { choices: vec![Choice { parts, ..Choice::default() }], ..ChatResponse::default() }
}

/// What a client sends back of an answer: the message as it was.
fn replayed(message: &Value) -> Vec<Part> {
    request(&json!({ "model": "m", "messages": [message] })).messages[0].parts.clone()
}

fn replay_host(field: ReasoningField, replay_reasoning: ReplayReasoning) -> Dialect {
    Dialect { reasoning_field: field, replay_reasoning, ..Dialect::default() }
}

#[test]
fn case_08_every_makers_thinking_comes_back_through_a_chat_client() {
    let mut summarised = thought("", Some((OpaqueKind::Encrypted, ApiFormat::OpenaiResponses, "enc")));
    summarised.item_id = Some("rs_1".into());
    if let Content::Reasoning(reasoning) = &mut summarised.content {
        reasoning.summary = vec!["first".into(), "second".into()];
    }
    let parts = vec![
        thought("let me see", Some((OpaqueKind::Signature, ApiFormat::AnthropicMessages, "sig1"))),
        thought("", Some((OpaqueKind::Redacted, ApiFormat::AnthropicMessages, "red"))),
        thought("", Some((OpaqueKind::Signature, ApiFormat::AnthropicMessages, "sig of an omitted thought"))),
        summarised,
        thought("in Google's words", Some((OpaqueKind::Signature, ApiFormat::Gemini, "g:g=="))),
    ];
    let body = reply(&answer(parts.clone()));
    let message = &body["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "let me see\n\nfirst\n\nsecond\n\nin Google's words");
    assert_eq!(replayed(message), parts);
}

#[test]
fn a_clients_merging_of_streamed_details_does_not_matter() {
    let signed = thought("ab", Some((OpaqueKind::Signature, ApiFormat::AnthropicMessages, "sig")));
    let (chunks, _) = streamed(&crate::fold::unfold(answer(vec![signed.clone(), Part::text("hi")])), context());
    let appended: Vec<Value> = chunks
        .iter()
        .filter_map(|chunk| chunk.pointer("/choices/0/delta/reasoning_details")?.as_array().cloned())
        .flatten()
        .collect();
    let message =
        json!({ "role": "assistant", "content": "hi", "reasoning_content": "ab", "reasoning_details": appended });
    assert_eq!(replayed(&message), [signed, Part::text("hi")]);
}

#[test]
fn thinking_without_a_blob_is_plain_text_both_ways() {
    let body = reply(&answer(vec![thought("hm", None), Part::text("hi")]));
    let message = &body["choices"][0]["message"];
    assert_eq!(message.get("reasoning_details"), None);
    assert_eq!(replayed(message), [thought("hm", None), Part::text("hi")]);
}

#[test]
fn a_hosts_own_details_go_back_verbatim_and_in_order() {
    let list = json!([
        { "type": "reasoning.summary", "summary": "s", "format": "x", "index": 0 },
        { "type": "reasoning.encrypted", "data": "AAA", "id": "rs_1", "format": "x", "index": 1 },
    ]);
    let host = replay_host(ReasoningField::ReasoningDetails, ReplayReasoning::Always);
    let body = json!({ "choices": [{ "message": { "content": "hi", "reasoning": "s", "reasoning_details": list } }] });
    let response = codec().decode_response(body.to_string().as_bytes(), &host).unwrap();
    let message = reply(&response)["choices"][0]["message"].clone();
    assert_eq!(message["reasoning_details"], list);
    let asked = request(&json!({ "model": "m", "messages": [message] }));
    let (out, losses) = sent(&asked, &host);
    assert_eq!(
        (&out["messages"][0]["reasoning_details"], &out["messages"][0]["reasoning"], losses),
        (&list, &json!("s"), vec![])
    );
}

#[test]
fn streamed_details_are_joined_as_they_were_meant() {
    let entry = |fields: Value| {
        let mut whole = json!({ "type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0 });
        whole.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        whole
    };
    let encrypted = json!({ "type": "reasoning.encrypted", "data": "E", "id": "t1", "index": 0 });
    let stream = folded(&[
        chunk(json!({ "content": "", "reasoning": "He", "reasoning_details": [entry(json!({ "text": "He" }))] })),
        chunk(json!({ "content": "", "reasoning": "llo", "reasoning_details": [entry(json!({ "text": "llo" }))] })),
        chunk(json!({ "content": "", "reasoning_details": [entry(json!({ "signature": "sig" }))] })),
        chunk(json!({ "content": "hi" })),
        chunk(
            json!({ "reasoning_details": [encrypted], "tool_calls": [{ "index": 0, "id": "t1", "function": { "name": "f", "arguments": "{}" } }] }),
        ),
        finish("tool_calls"),
    ]);
    let blobs: Vec<(String, Value)> = stream.response.choices[0]
        .parts
        .iter()
        .filter_map(|part| match &part.content {
            Content::Reasoning(ReasoningPart { text, opaque: Some(blob), .. }) => {
                Some((text.clone(), serde_json::from_str(&blob.data).unwrap()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        blobs,
        [
            ("Hello".to_owned(), json!([entry(json!({ "text": "Hello", "signature": "sig" }))])),
            (String::new(), json!([encrypted]))
        ]
    );
}

#[test]
fn details_alone_show_their_text_and_repeated_ones_do_not() {
    let alone = folded(&[
        chunk(json!({ "reasoning_details": [{ "type": "reasoning.text", "text": "x", "index": 0 }] })),
        finish("stop"),
    ]);
    let twice = folded(&[
        chunk(json!({ "reasoning_content": "x" })),
        chunk(json!({ "reasoning_details": [{ "type": "reasoning.text", "text": "x", "index": 0 }] })),
        chunk(json!({ "content": "hi" })),
        finish("stop"),
    ]);
    let both = folded(&[chunk(json!({ "reasoning": "x", "reasoning_content": "x" })), finish("stop")]);
    for stream in [alone, twice, both] {
        assert!(
            matches!(&stream.response.choices[0].parts[0].content, Content::Reasoning(reasoning) if reasoning.text == "x")
        );
    }
}

#[test]
fn mistrals_thinking_lies_in_the_content_both_ways() {
    let content = json!([{ "type": "thinking", "thinking": [{ "type": "text", "text": "hm" }], "closed": true }, { "type": "text", "text": "hi" }]);
    let body = json!({ "choices": [{ "message": { "content": content } }] });
    let response = codec().decode_response(body.to_string().as_bytes(), &Dialect::default()).unwrap();
    assert_eq!(response.choices[0].parts, [thought("hm", None), Part::text("hi")]);
    let stream = folded(&[
        chunk(json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": "h" }] }] })),
        chunk(json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": "m" }] }] })),
        chunk(json!({ "content": [{ "type": "text", "text": "hi" }] })),
        finish("stop"),
    ]);
    assert_eq!(stream.response.choices[0].parts, response.choices[0].parts);
    let asked = request(
        &json!({ "model": "m", "messages": [{ "role": "assistant", "reasoning_content": "hm", "content": "hi" }] }),
    );
    let (out, losses) = sent(&asked, &replay_host(ReasoningField::ContentThinking, ReplayReasoning::Always));
    assert_eq!((out["messages"][0]["content"][0]["thinking"][0]["text"].as_str(), losses), (Some("hm"), vec![]));
}

#[test]
fn hosts_that_want_it_back_get_it_and_others_never() {
    let turn = |calls: bool| {
        let mut message = json!({ "role": "assistant", "content": "hi", "reasoning_content": "hm" });
        if calls {
            message["tool_calls"] =
                json!([{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } }]);
        }
        request(&json!({ "model": "m", "messages": [message] }))
    };
    let tool_turns = replay_host(ReasoningField::ReasoningContent, ReplayReasoning::ToolTurns);
    let (out, losses) = sent(&turn(true), &tool_turns);
    assert_eq!((&out["messages"][0]["reasoning_content"], losses), (&json!("hm"), vec![]));
    let (out, losses) = sent(&turn(false), &tool_turns);
    assert_eq!((out["messages"][0].get("reasoning_content"), lost(&losses)), (None, vec!["messages[0].parts[0]"]));
    let (out, losses) = sent(&turn(true), &Dialect::default());
    assert_eq!((out["messages"][0].get("reasoning_content"), losses.len()), (None, 1));
    let (out, _) = sent(&turn(false), &replay_host(ReasoningField::Reasoning, ReplayReasoning::Always));
    assert_eq!(out["messages"][0]["reasoning"], "hm");
}

#[test]
fn a_placeholder_stands_in_where_a_tool_loop_lost_its_thinking() {
    let message = json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } }] });
    let host = replay_host(ReasoningField::ReasoningContent, ReplayReasoning::ToolTurns);
    let mut asked = request(&json!({ "model": "m", "messages": [message] }));
    assert!(!sent(&asked, &host).0["messages"][0]["reasoning_content"].as_str().unwrap().is_empty());
    asked.reasoning = Some(crate::ir::Reasoning { enabled: Some(false), ..Default::default() });
    assert_eq!(sent(&asked, &host).0["messages"][0].get("reasoning_content"), None, "nobody thinks here");
}

#[test]
fn blobs_of_other_providers_never_reach_a_host() {
    let signed = thought("hm", Some((OpaqueKind::Signature, ApiFormat::AnthropicMessages, "secret")));
    let message = reply(&answer(vec![signed, Part::text("hi")]))["choices"][0]["message"].clone();
    let asked = request(&json!({ "model": "m", "messages": [message] }));
    for field in [ReasoningField::ReasoningContent, ReasoningField::ReasoningDetails, ReasoningField::ContentThinking] {
        let (out, losses) = sent(&asked, &replay_host(field, ReplayReasoning::Always));
        assert!(!out.to_string().contains("secret") && out.to_string().contains("hm"), "{out}");
        assert_eq!(lost(&losses), ["messages[0].parts[0].opaque"]);
    }
}

#[test]
fn case_06_signatures_of_calls_travel_both_ways() {
    let call = ToolCall {
        id: "a".into(),
        name: "f".into(),
        namespace: None,
        kind: crate::ir::ToolCallKind::Function,
        arguments: "{}".into(),
        signature: Some(Opaque { kind: OpaqueKind::Signature, format: ApiFormat::Gemini, data: "sig==".into() }),
    };
    let part = Part::new(Content::ToolCall(call));
    let body = reply(&answer(vec![part.clone()]));
    let message = &body["choices"][0]["message"];
    assert_eq!(message["tool_calls"][0]["extra_content"], json!({ "google": { "thought_signature": "sig==" } }));
    assert_eq!(replayed(message), std::slice::from_ref(&part));
    let (chunks, _) = streamed(&crate::fold::unfold(answer(vec![part])), context());
    let live: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0/extra_content/google/thought_signature"))
        .collect();
    assert_eq!(live, [&json!("sig==")]);

    let asked = request(&json!({ "model": "m", "messages": [message] }));
    let (out, losses) = sent(&asked, &Dialect { google_signatures: true, ..Dialect::default() });
    assert_eq!((&out["messages"][0]["tool_calls"], losses), (&message["tool_calls"], vec![]));
    let (out, losses) = sent(&asked, &Dialect::default());
    assert_eq!(
        (out["messages"][0]["tool_calls"][0].get("extra_content"), lost(&losses)),
        (None, vec!["messages[0].parts[0].signature"])
    );
}

#[test]
fn think_tags_are_thinking_only_where_the_host_writes_them() {
    let body = json!({ "choices": [{ "message": { "content": "<think>hm</think>\n\nhi" }, "finish_reason": "stop" }] })
        .to_string();
    let tags = Dialect { think_tags: true, ..Dialect::default() };
    let split = codec().decode_response(body.as_bytes(), &tags).unwrap();
    assert_eq!(split.choices[0].parts, [thought("hm", None), Part::text("hi")]);
    let plain = codec().decode_response(body.as_bytes(), &Dialect::default()).unwrap();
    assert_eq!(text(&plain), "<think>hm</think>\n\nhi");
    let pieces = ["<th", "ink>h", "m</thi", "nk>", "\n", "\nhi"].map(|piece| chunk(json!({ "content": piece })));
    let stream = fold(events(&tags, &[&pieces[..], &[finish("stop")]].concat(), true));
    assert_eq!(stream.response.choices[0].parts, split.choices[0].parts);
}
