//! Answers toward a client, whole and as streams.

use super::*;

#[test]
fn a_stream_and_a_whole_answer_agree() {
    let mut signed = call("c1", ToolCallKind::Function, "{\"a\":1}");
    signed.signature = Some(signature(ApiFormat::Gemini));
    let text = Text {
        text: "Ünë".into(),
        citations: vec![Citation {
            url: Some("u".into()),
            title: Some("t".into()),
            start: Some(0),
            end: Some(3),
            ..Citation::default()
        }],
    };
    let parts = vec![
        Part::new(Content::Reasoning(ReasoningPart {
            text: "hm".into(),
            summary: Vec::new(),
            opaque: Some(signature(ApiFormat::AnthropicMessages)),
        })),
        Part::new(Content::Text(text)),
        Part::text("second"),
        Part::new(Content::Refusal("no".into())),
        Part::new(Content::ToolCall(signed)),
        Part::new(Content::ToolCall(call("c2", ToolCallKind::Custom, "free"))),
        Part::new(Content::Native(Native {
            format: ApiFormat::AnthropicMessages,
            kind: "server_tool_use".into(),
            value: json!({"id": "s"}),
        })),
        Part::text("last"),
    ];
    let response = ChatResponse {
        usage: Some(Usage { input: Some(5), output: Some(6), ..Usage::default() }),
        ..answer(parts, FinishReason::Length)
    };
    let streamed = stream(&fold::unfold(response.clone()));
    let at_once = whole(&response);
    assert_eq!(streamed.last().unwrap()["response"], at_once);
    assert_eq!(streamed.last().unwrap()["type"], "response.incomplete");
    assert_eq!(at_once["incomplete_details"], json!({"reason": "max_output_tokens"}));
    let items: Vec<(&str, Option<&str>)> = at_once["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["type"].as_str().unwrap(), item.get("status").and_then(Value::as_str)))
        .collect();
    assert_eq!(
        items,
        [
            ("reasoning", None),
            ("message", Some("completed")),
            ("reasoning", None),
            ("function_call", Some("completed")),
            ("custom_tool_call", Some("completed")),
            ("reasoning", None),
            ("message", Some("incomplete")),
        ]
    );
    assert_eq!(
        at_once["output"][0]["summary"],
        json!([{"type": "summary_text", "text": "hm"}]),
        "clients show summaries"
    );
    assert_eq!(at_once["output"][1]["content"].as_array().unwrap().len(), 3);
    assert_eq!(at_once["output"][1]["content"][0]["annotations"][0]["type"], "url_citation");

    // What a client sends back is what the makers gave, whichever way it came.
    let mut expected = response.first().unwrap().parts.clone();
    for back in [
        parts_of(&events(&streamed)),
        codec().decode_response(at_once.to_string().as_bytes(), &Dialect::default()).unwrap().choices[0].parts.clone(),
    ] {
        let own = match (&mut expected[1].content, &back[1].content) {
            (Content::Text(expected), Content::Text(back)) => {
                assert_eq!(back.citations[0].url, expected.citations[0].url);
                expected.citations.clone_from(&back.citations);
                true
            }
            _ => false,
        };
        assert!(own);
        assert_eq!(back, expected);
    }
}

#[test]
fn case_05_blobs_of_other_makers_come_back_through_a_client_of_this_format() {
    let mut signed = call("functions.f:0", ToolCallKind::Function, "{}");
    signed.signature = Some(signature(ApiFormat::Gemini));
    let parts = vec![
        Part::new(Content::Reasoning(ReasoningPart {
            text: "Because.".into(),
            summary: Vec::new(),
            opaque: Some(signature(ApiFormat::AnthropicMessages)),
        })),
        Part::new(Content::Reasoning(ReasoningPart {
            text: String::new(),
            summary: Vec::new(),
            opaque: Some(Opaque {
                kind: OpaqueKind::Redacted,
                format: ApiFormat::BedrockConverse,
                data: "cmVk".into(),
            }),
        })),
        Part::new(Content::Reasoning(ReasoningPart { text: "no blob".into(), ..ReasoningPart::default() })),
        Part::new(Content::ToolCall(signed)),
    ];
    let mut items = whole(&answer(parts.clone(), FinishReason::ToolCalls))["output"].as_array().unwrap().clone();
    assert!(items.iter().all(|item| item["id"].as_str().unwrap().contains("ab12")));
    items.push(json!({"type": "function_call_output", "call_id": "functions.f:0", "output": "1"}));
    let next = request(json!({"model": "m", "input": items}));
    assert_eq!(next.messages.len(), 2);
    // The caller's client wrote a status beside the call; else all is as the makers gave it.
    let mut back = next.messages[0].parts.clone();
    assert_eq!(std::mem::take(&mut back[3].extras).for_format(OWN).map(serde_json::Map::len), Some(1));
    assert_eq!(back, parts);
}

#[test]
fn case_02_parallel_calls_stay_apart_with_their_own_places() {
    let head = |id: &str| PartHead::ToolCall {
        id: id.into(),
        name: "f".into(),
        namespace: Some("ns".into()),
        kind: ToolCallKind::Function,
    };
    let delta = |id: u32, text: &str| StreamEvent::PartDelta { id, delta: Delta::Arguments(text.into()) };
    let start = |id: u32, call: &str| StreamEvent::PartStart { id, choice: 0, head: head(call), item_id: None };
    let events = [
        start(0, "a"),
        start(1, "b"),
        delta(0, "{\"x\""),
        delta(1, "{\"y\""),
        delta(0, ":1}"),
        delta(1, ":2}"),
        StreamEvent::PartEnd { id: 0 },
        StreamEvent::PartEnd { id: 1 },
        start(2, "c"),
        StreamEvent::PartEnd { id: 2 },
        StreamEvent::Finish { choice: 0, finish: Finish::new(FinishReason::ToolCalls) },
        StreamEvent::End,
    ];
    let frames = stream(&events);
    let output = frames.last().unwrap()["response"]["output"].clone();
    let calls: Vec<(&str, &str, &str)> = output
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                item["call_id"].as_str().unwrap(),
                item["arguments"].as_str().unwrap(),
                item["namespace"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(calls, [("a", "{\"x\":1}", "ns"), ("b", "{\"y\":2}", "ns"), ("c", "{}", "ns")]);
    for (index, item) in output.as_array().unwrap().iter().enumerate() {
        let of_item: Vec<&Value> = frames.iter().filter(|frame| frame["output_index"] == index).collect();
        assert!(of_item.iter().all(|frame| frame.get("item_id").unwrap_or(&frame["item"]["id"]) == &item["id"]));
        let joined: String = of_item.iter().filter_map(|frame| frame["delta"].as_str()).collect();
        assert_eq!(joined, item["arguments"]);
    }
}

#[test]
fn events_come_in_the_order_of_their_inventor() {
    let response = answer(
        vec![
            Part {
                item_id: Some("rs_1".into()),
                ..Part::new(Content::Reasoning(ReasoningPart {
                    text: "open".into(),
                    summary: vec!["a".into(), "b".into()],
                    opaque: None,
                }))
            },
            Part::text("hi"),
            Part::new(Content::ToolCall(call("c", ToolCallKind::Custom, "x"))),
        ],
        FinishReason::ToolCalls,
    );
    let frames = stream(&fold::unfold(response));
    assert_eq!(
        kinds(&frames),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "reasoning_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "custom_tool_call_input.delta",
            "custom_tool_call_input.done",
            "output_item.done",
            "completed",
        ]
    );
}

#[test]
fn case_14_a_failure_in_a_stream_is_a_failed_answer_that_codex_understands() {
    let start = StreamEvent::PartStart { id: 0, choice: 0, head: PartHead::Text, item_id: None };
    let said = StreamEvent::PartDelta { id: 0, delta: Delta::Text("half".into()) };
    for (kind, code) in [
        (ApiErrorKind::ContextLength, "context_length_exceeded"),
        (ApiErrorKind::RateLimit, "rate_limit_exceeded"),
        (ApiErrorKind::Overloaded, "server_error"),
        (ApiErrorKind::InvalidRequest, "invalid_prompt"),
    ] {
        let error = ApiError { retry_after: Some(std::time::Duration::from_secs(2)), ..ApiError::new(kind, "broken") };
        let frames = stream(&[start.clone(), said.clone(), StreamEvent::Error(error), StreamEvent::End]);
        let names = kinds(&frames);
        assert_eq!(names[names.len() - 2..], ["error", "failed"], "nothing follows");
        let failed = &frames.last().unwrap()["response"];
        assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!(code)));
        let waits = failed["error"]["message"].as_str().unwrap().contains("try again in 2s");
        assert_eq!(waits, kind == ApiErrorKind::RateLimit);
        let again = events(&frames);
        assert!(matches!(again.last(), Some(StreamEvent::Error(again)) if again.message.starts_with("broken")));
    }
}

#[test]
fn an_answer_that_only_failed_at_its_end_is_no_success() {
    let frames = stream(&[
        StreamEvent::Finish {
            choice: 0,
            finish: Finish { native: Some("MALFORMED_FUNCTION_CALL".into()), ..Finish::new(FinishReason::Error) },
        },
        StreamEvent::End,
    ]);
    let last = frames.last().unwrap();
    assert_eq!(
        (&last["type"], &last["response"]["error"]["code"]),
        (&json!("response.failed"), &json!("MALFORMED_FUNCTION_CALL"))
    );
}

#[test]
fn every_end_has_its_word() {
    use FinishReason::{ContentFilter, ContextLength, Length, Other, Pause, Refusal, Stop, StopSequence};
    for (reason, status, why) in [
        (Stop, "completed", Value::Null),
        (StopSequence, "completed", Value::Null),
        (Pause, "completed", Value::Null),
        (Other("new".into()), "completed", Value::Null),
        (Length, "incomplete", json!({"reason": "max_output_tokens"})),
        (ContextLength, "incomplete", json!({"reason": "max_output_tokens"})),
        (ContentFilter, "incomplete", json!({"reason": "content_filter"})),
        (Refusal, "incomplete", json!({"reason": "content_filter"})),
    ] {
        let written = whole(&answer(vec![Part::text("x")], reason.clone()));
        assert_eq!((&written["status"], &written["incomplete_details"]), (&json!(status), &why), "{reason:?}");
    }
    let steered = json!({"id": "resp_1", "object": "response", "status": "incomplete", "incomplete_details": {"reason": "steered"}, "output": []});
    let read = codec().decode_response(steered.to_string().as_bytes(), &Dialect::default()).unwrap();
    let written = whole(&read);
    assert_eq!(
        (&written["status"], &written["incomplete_details"]),
        (&steered["status"], &steered["incomplete_details"])
    );
}

#[test]
fn the_answer_echoes_the_request() {
    let asked = request(json!({
        "model": "alias", "instructions": "be kind", "input": "hi", "temperature": 0.25, "metadata": {"a": "b"}, "store": false,
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": true}], "tool_choice": "required",
        "reasoning": {"effort": "low"}, "text": {"verbosity": "low"}, "truncation": "auto", "prompt_cache_key": "k",
    }));
    let context = ReplyContext { request: Some(Arc::new(asked)), ..context() };
    let response = answer(vec![Part::text("x")], FinishReason::Stop);
    let written: Value = serde_json::from_slice(&codec().encode_response(&response, &context).value).unwrap();
    let expected = json!({
        "id": "resp_ab12", "object": "response", "created_at": 9, "status": "completed", "error": null, "incomplete_details": null,
        "model": "shown", "background": false, "instructions": "be kind", "max_output_tokens": null, "max_tool_calls": null,
        "parallel_tool_calls": true, "previous_response_id": null, "prompt_cache_key": "k", "safety_identifier": null,
        "reasoning": {"effort": "low", "summary": null}, "service_tier": null, "store": false, "temperature": 0.25,
        "text": {"verbosity": "low", "format": {"type": "text"}}, "tool_choice": "required",
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": true}],
        "top_logprobs": 0, "top_p": 1.0, "truncation": "auto", "user": null, "metadata": {"a": "b"}, "usage": null,
        "output": [{"id": "msg_ab12_myl0", "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "x"}]}],
    });
    assert_eq!(written, expected);
}

#[test]
fn images_that_another_format_drew_are_shown() {
    let media = |source: MediaSource| {
        Part::new(Content::Media(Media {
            kind: MediaKind::Image,
            source,
            media_type: Some("image/webp".into()),
            name: None,
            detail: None,
        }))
    };
    let parts = vec![media(MediaSource::Base64("UklGR".into())), media(MediaSource::Url("http://a".into()))];
    let lossy = codec().encode_response(&answer(parts, FinishReason::Stop), &context());
    let written: Value = serde_json::from_slice(&lossy.value).unwrap();
    assert_eq!(
        written["output"],
        json!([{"id": "ig_ab12_myl0", "type": "image_generation_call", "status": "completed", "output_format": "webp", "result": "UklGR"}])
    );
    assert_eq!(lossy.losses.len(), 1);
}

#[test]
fn only_one_answer_is_written_and_the_others_are_lost() {
    let mut response = answer(vec![Part::text("a")], FinishReason::Stop);
    response.choices.push(Choice {
        parts: vec![Part::text("b"), Part::text("c")],
        finish: Some(Finish::new(FinishReason::Length)),
        extras: Extras::NONE,
    });
    let lossy = codec().encode_response(&response, &context());
    let written: Value = serde_json::from_slice(&lossy.value).unwrap();
    assert_eq!((&written["status"], written["output"].as_array().unwrap().len()), (&json!("completed"), 1));
    assert_eq!(lossy.losses.len(), 1);
}
