use serde_json::{Value, json};

use super::{chunks, codec, events};
use crate::fold::{Folded, fold, unfold};
use crate::format::ReplyContext;
use crate::framing::Frame;
use crate::ir::{
    ChatResponse, Choice, Citation, Content, Finish, FinishReason, Native, Opaque, OpaqueKind, Part, ReasoningPart,
    StreamEvent, Text, ToolCall, ToolCallKind, Usage,
};
use crate::{ApiError, ApiErrorKind, ApiFormat, Dialect};

fn parts(list: Value) -> Value {
    json!({"candidates": [{"content": {"parts": list, "role": "model"}, "index": 0}]})
}

fn finish(word: &str) -> Value {
    json!({"candidates": [{"finishReason": word, "index": 0}]})
}

fn folded(chunks: &[Value]) -> Folded {
    fold(events(chunks))
}

fn calls(response: &ChatResponse) -> Vec<(&str, &str, &str)> {
    let parts = response.choices.iter().flat_map(|choice| &choice.parts);
    let calls = parts.filter_map(|part| match &part.content {
        Content::ToolCall(call) => Some((call.id.as_str(), call.name.as_str(), call.arguments.as_str())),
        _ => None,
    });
    calls.collect()
}

#[test]
fn case_02_calls_in_one_chunk_and_in_many_stay_apart() {
    let call = |city: &str| json!({"functionCall": {"name": "weather", "args": {"city": city}}});
    let together = folded(&[parts(json!([call("Paris"), call("London")])), finish("STOP")]);
    let apart = folded(&[parts(json!([call("Paris")])), parts(json!([call("London")])), finish("STOP")]);
    assert_eq!(together, apart);
    assert!(apart.complete);
    assert_eq!(
        calls(&apart.response),
        [("", "weather", r#"{"city":"Paris"}"#), ("", "weather", r#"{"city":"London"}"#)]
    );
    assert_eq!(apart.response.choices[0].finish, Some(Finish::new(FinishReason::ToolCalls)));
}

#[test]
fn a_stream_without_a_reason_to_finish_was_cut() {
    let cut = folded(&[parts(json!([{"text": "half"}]))]);
    assert!(!cut.complete && cut.error.is_none());
    let none = folded(&[json!({"usageMetadata": {"promptTokenCount": 3}})]);
    assert!(!none.complete);
    let one_of_two = folded(&[json!({"candidates": [
        {"index": 0, "content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"},
        {"index": 1, "content": {"parts": [{"text": "b"}]}}
    ]})]);
    assert!(!one_of_two.complete, "the other candidate is missing its end");
}

#[test]
fn a_reason_to_finish_on_every_chunk_ends_nothing_early() {
    let chunk = |text: &str| json!({"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}]});
    let all = folded(&[chunk("a"), chunk("b")]);
    assert!(all.complete);
    assert_eq!(all.response.choices[0].parts, [Part::text("ab")]);
}

#[test]
fn a_blocked_prompt_is_a_filtered_answer_and_goes_on_as_one() {
    let chunk = json!({"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": []}, "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}});
    let blocked = folded(std::slice::from_ref(&chunk));
    assert!(blocked.complete);
    let finish = blocked.response.choices[0].finish.clone().unwrap();
    assert_eq!((finish.reason, finish.native.as_deref()), (FinishReason::ContentFilter, Some("SAFETY")));
    let written = codec().encode_response(&blocked.response, &ReplyContext::default()).value;
    let written: Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(written, chunk);
}

#[test]
fn failures_of_the_model_are_no_stop() {
    for word in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER"] {
        let failed = folded(&[finish(word)]);
        let finish = failed.response.choices[0].finish.clone().unwrap();
        assert_eq!(finish.reason, FinishReason::Error);
    }
}

#[test]
fn case_06_signatures_of_a_stream_are_kept_where_they_stand() {
    let got = folded(&[
        parts(json!([{"text": "hm", "thought": true}])),
        parts(json!([{"text": "An"}])),
        parts(json!([{"text": "swer"}])),
        parts(json!([{"text": "", "thoughtSignature": "c2ln"}])),
        finish("STOP"),
    ]);
    let signature = Opaque { kind: OpaqueKind::Signature, format: ApiFormat::Gemini, data: "c2ln".into() };
    let alone = Part::new(Content::Reasoning(ReasoningPart { opaque: Some(signature), ..Default::default() }));
    let thought = Part::new(Content::Reasoning(ReasoningPart { text: "hm".into(), ..Default::default() }));
    assert_eq!(got.response.choices[0].parts, [thought, Part::text("Answer"), alone]);
}

#[test]
fn streamed_arguments_are_put_together_and_the_last_mark_may_be_missing() {
    let piece = |args: Value, more: bool| parts(json!([{"functionCall": {"partialArgs": args, "willContinue": more}}]));
    let start =
        parts(json!([{"functionCall": {"name": "f", "id": "x", "willContinue": true}, "thoughtSignature": "c2ln"}]));
    let text = |text: &str| json!([{"jsonPath": "$.a", "stringValue": text, "willContinue": true}]);
    let end = parts(json!([{"functionCall": {}}]));
    for chunks in [
        vec![start.clone(), piece(text("on"), true), piece(text("e"), true), end, finish("STOP")],
        vec![start.clone(), piece(text("on"), true), piece(text("e"), true), finish("STOP")],
    ] {
        let got = folded(&chunks);
        assert!(got.complete);
        assert_eq!(calls(&got.response), [("x", "f", r#"{"a":"one"}"#)]);
    }
    let next = parts(json!([{"functionCall": {"name": "g", "args": {}}}]));
    let got = folded(&[start.clone(), piece(text("one"), true), next, finish("STOP")]);
    assert_eq!(calls(&got.response), [("x", "f", r#"{"a":"one"}"#), ("", "g", "{}")]);
    let cut = folded(&[start, piece(text("on"), true), finish("MAX_TOKENS")]);
    assert_eq!(cut.response.choices[0].finish, Some(Finish::new(FinishReason::Length)), "nobody is told to run it");
}

#[test]
fn the_last_counters_count_and_repeated_ones_are_told_once() {
    let chunk = |output: u64| {
        json!({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}],
               "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": output}})
    };
    let got = events(&[chunk(1), chunk(1), chunk(2)]);
    let told = got.iter().filter(|event| matches!(event, StreamEvent::Usage(_))).count();
    assert_eq!(told, 2);
    assert_eq!(fold(got).response.usage.unwrap().output, Some(2));
}

#[test]
fn searches_are_counted_as_the_generation_bills_them() {
    for (model, searches) in [("gemini-3-pro", 2), ("gemini-2.5-flash", 1)] {
        let got = folded(&[json!({"modelVersion": model, "candidates": [{"finishReason": "STOP",
            "groundingMetadata": {"webSearchQueries": ["a", "b", ""]}}]})]);
        assert_eq!(got.response.usage.unwrap().web_searches, Some(searches));
    }
}

#[test]
fn sources_are_citations_of_the_text_even_if_a_call_follows_it() {
    let got = folded(&[
        parts(json!([{"text": "Grüß "}])),
        json!({"candidates": [{"content": {"parts": [{"text": "Gott"}, {"functionCall": {"name": "f", "args": {}}}]},
            "groundingMetadata": {"groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
                "groundingSupports": [{"segment": {"startIndex": 7, "endIndex": 11, "text": "Gott"}, "groundingChunkIndices": [0]}]}}]}),
        finish("STOP"),
    ]);
    let Content::Text(text) = &got.response.choices[0].parts[0].content else { panic!() };
    let cited: Vec<_> = text.citations.iter().map(|one| (one.url.as_deref(), one.start, one.end)).collect();
    assert_eq!(cited, [(Some("https://a"), Some(5), Some(9))]);
    assert!(got.response.choices[0].extras.get("groundingMetadata").is_some());
}

#[test]
fn a_failure_in_the_stream_ends_it() {
    let got = folded(&[
        parts(json!([{"text": "a"}])),
        json!({"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}),
        finish("STOP"),
    ]);
    let error = got.error.unwrap();
    assert_eq!((error.kind, error.status, error.message.as_str()), (ApiErrorKind::RateLimit, Some(429), "slow down"));
    assert!(!got.complete);
}

#[test]
fn frames_that_are_no_answers_are_corrupt_and_break_nothing() {
    for data in [
        "",
        "{",
        "7",
        "null",
        r#"{"candidates":5}"#,
        r#"{"candidates":[{"index":4000000000}]}"#,
        r#"{"candidates":[[]]}"#,
    ] {
        let mut decoder = codec().stream_decoder(&Dialect::default());
        let mut out = Vec::new();
        let fed = decoder.feed(&Frame::data(data.as_bytes()), &mut out);
        assert_eq!(fed.is_ok(), data.is_empty(), "{data}");
        decoder.finish(&mut out);
        assert!(!out.contains(&StreamEvent::End));
    }
}

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
        model: Some("claude".into()),
        choices: vec![Choice { parts, finish: Some(Finish::new(reason)), ..Choice::default() }],
        usage: Some(Usage {
            input: Some(10),
            output: Some(4),
            cache_read: Some(6),
            reasoning: Some(1),
            ..Usage::default()
        }),
        ..ChatResponse::default()
    }
}

#[test]
fn an_answer_of_another_provider_reads_like_gemini_s() {
    let blob = Opaque { kind: OpaqueKind::Signature, format: ApiFormat::AnthropicMessages, data: "EqQB".into() };
    let thinking = ReasoningPart { text: "hm".into(), summary: Vec::new(), opaque: Some(blob.clone()) };
    let cited = Content::Text(Text {
        text: "Grüß Gott".into(),
        citations: vec![Citation {
            url: Some("https://a".into()),
            start: Some(5),
            end: Some(9),
            ..Citation::default()
        }],
    });
    let response = answer(
        vec![Part::new(Content::Reasoning(thinking)), Part::new(cited), tool_call("toolu_1", r#"{"a":1}"#)],
        FinishReason::ToolCalls,
    );
    let context = ReplyContext { model: "gemini-2.5-pro".into(), ..ReplyContext::default() };
    let told = chunks(&unfold(response.clone()), context.clone());
    assert!(told.iter().all(|chunk| chunk["modelVersion"] == "gemini-2.5-pro" && chunk["responseId"] == "msg_1"));
    let end = told.last().unwrap();
    assert_eq!(end["candidates"][0]["finishReason"], "STOP");
    assert_eq!(
        end["usageMetadata"],
        json!({"promptTokenCount": 10, "cachedContentTokenCount": 6, "candidatesTokenCount": 3, "thoughtsTokenCount": 1, "totalTokenCount": 14})
    );
    let support = &end["candidates"][0]["groundingMetadata"]["groundingSupports"][0]["segment"];
    assert_eq!((support["startIndex"].as_u64(), support["endIndex"].as_u64()), (Some(7), Some(11)), "bytes");
    let calls: Vec<&Value> =
        told.iter().filter_map(|chunk| chunk.pointer("/candidates/0/content/parts/0/functionCall")).collect();
    assert_eq!(calls, [&json!({"id": "toolu_1", "name": "f", "args": {"a": 1}})]);
    let back = folded(&told);
    let parts = &back.response.choices[0].parts;
    let Content::Reasoning(reasoning) = &parts[0].content else { panic!() };
    assert_eq!((reasoning.text.as_str(), reasoning.opaque.as_ref()), ("hm", Some(&blob)));
    let whole = codec().encode_response(&response, &context);
    let whole = codec().decode_response(&whole.value, &Dialect::default()).unwrap();
    assert_eq!(whole.choices[0].parts, *parts, "whole and streamed are one");
}

#[test]
fn interleaved_calls_come_out_whole_and_in_the_order_of_their_ends() {
    use crate::ir::{Delta, PartHead};
    let start = |id| StreamEvent::PartStart {
        id,
        choice: 0,
        head: PartHead::ToolCall {
            id: format!("c{id}"),
            name: "f".into(),
            namespace: None,
            kind: ToolCallKind::Function,
        },
        item_id: None,
    };
    let more = |id, text: &str| StreamEvent::PartDelta { id, delta: Delta::Arguments(text.into()) };
    let told = chunks(
        &[
            start(0),
            start(1),
            more(0, "{\"a\""),
            more(1, "{}"),
            more(0, ":1}"),
            StreamEvent::PartEnd { id: 0 },
            StreamEvent::PartEnd { id: 1 },
            StreamEvent::Finish { choice: 0, finish: Finish::new(FinishReason::ToolCalls) },
            StreamEvent::End,
        ],
        ReplyContext::default(),
    );
    let args: Vec<&Value> =
        told.iter().filter_map(|chunk| chunk.pointer("/candidates/0/content/parts/0/functionCall/args")).collect();
    assert_eq!(args, [&json!({"a": 1}), &json!({})]);
}

#[test]
fn a_failure_is_told_in_the_stream_and_nothing_follows() {
    let failure = StreamEvent::Error(ApiError::new(ApiErrorKind::RateLimit, "slow down"));
    for json_array in [false, true] {
        let context = ReplyContext { json_array, ..ReplyContext::default() };
        let mut encoder = codec().stream_encoder(context);
        let mut out = Vec::new();
        for event in [failure.clone(), StreamEvent::End] {
            encoder.push(&event, &mut out);
        }
        encoder.keep_alive(&mut out);
        let text = String::from_utf8(out).unwrap();
        let body = text.strip_prefix("data: ").unwrap_or(&text);
        let value: Value = serde_json::from_str(body.trim()).unwrap();
        let error = if json_array { &value[0]["error"] } else { &value["error"] };
        assert_eq!((error["code"].as_u64(), error["status"].as_str()), (Some(429), Some("RESOURCE_EXHAUSTED")));
    }
}

#[test]
fn an_array_is_one_json_text_with_every_element_on_its_own_line() {
    let events = unfold(answer(vec![Part::text("a\nb")], FinishReason::Stop));
    let mut encoder = codec().stream_encoder(ReplyContext { json_array: true, ..ReplyContext::default() });
    let mut out = Vec::new();
    encoder.keep_alive(&mut out);
    encoder.keep_alive(&mut out);
    events.iter().for_each(|event| encoder.push(event, &mut out));
    let list: Vec<Value> = serde_json::from_slice(&out).unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list[1]["candidates"][0]["finishReason"], "STOP");
}

#[test]
fn what_keeps_a_connection_alive_does_not_begin_the_array() {
    let fresh = || codec().stream_encoder(ReplyContext { json_array: true, ..ReplyContext::default() });
    let mut out = Vec::new();
    fresh().keep_alive(&mut out);
    let mut encoder = fresh();
    unfold(answer(vec![Part::text("a")], FinishReason::Stop)).iter().for_each(|event| encoder.push(event, &mut out));
    let list: Vec<Value> = serde_json::from_slice(&out).unwrap();
    assert_eq!(list[list.len() - 1]["candidates"][0]["finishReason"], "STOP");
}

#[test]
fn what_a_client_of_gemini_cannot_take_is_reported() {
    let native = Native { format: ApiFormat::AnthropicMessages, kind: "server_tool_use".into(), value: json!({}) };
    let response = answer(vec![Part::new(Content::Native(native)), tool_call("c", "[]")], FinishReason::Stop);
    let written = codec().encode_response(&response, &ReplyContext::default());
    assert_eq!(written.losses.len(), 2);
    let mut encoder = codec().stream_encoder(ReplyContext::default());
    let mut out = Vec::new();
    unfold(response).iter().for_each(|event| encoder.push(event, &mut out));
    assert_eq!(encoder.losses(), written.losses);
    assert!(encoder.losses().is_empty(), "told once");
}

#[test]
fn an_error_in_a_list_is_read_back() {
    let bytes = super::super::encode_error_in_array(&ApiError::new(ApiErrorKind::Overloaded, "busy"));
    let error = codec().decode_error(503, &bytes);
    assert_eq!((error.kind, error.message.as_str()), (ApiErrorKind::Overloaded, "busy"));
}
