//! Providers' streams.

use super::*;

fn completed(output: Value) -> Value {
    json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": output}})
}

#[test]
fn closed_items_alone_are_a_whole_stream() {
    let items = [
        json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "why"}], "encrypted_content": "gAAA"}),
        json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "hi", "annotations": [{"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 2}]}]}),
        json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{\"a\":1}", "status": "completed"}),
        json!({"type": "web_search_call", "id": "ws_1", "status": "completed"}),
    ];
    let expected = codec()
        .decode_response(completed(json!(items))["response"].to_string().as_bytes(), &Dialect::default())
        .unwrap();
    let done = |(index, item): (usize, &Value)| json!({"type": "response.output_item.done", "output_index": index, "item": item});
    let mut frames: Vec<Value> = items.iter().enumerate().map(done).collect();
    frames.push(completed(json!([])));
    assert_eq!(parts_of(&events(&frames)), expected.choices[0].parts);
    // Or nothing but the end.
    let folded = fold::fold(events(&[completed(json!(items))]));
    assert_eq!((folded.response, folded.complete), (expected, true));
}

#[test]
fn items_that_all_claim_the_same_place_stay_apart() {
    let item = |id: &str| json!({"type": "function_call", "id": id, "call_id": id, "name": "f", "arguments": "{}"});
    let added = |id: &str| json!({"type": "response.output_item.added", "output_index": 0, "item": item(id)});
    let done = |id: &str| json!({"type": "response.output_item.done", "output_index": 0, "item": item(id)});
    for frames in [
        vec![done("a"), done("a"), done("b")],
        vec![added("a"), added("b"), done("b")],
        vec![added("a"), done("a"), added("b")],
    ] {
        let frames: Vec<Value> = frames.into_iter().chain([completed(json!([]))]).collect();
        let parts = parts_of(&events(&frames));
        let ids: Vec<&str> = parts.iter().filter_map(|part| part.item_id.as_deref()).collect();
        assert_eq!(ids, ["a", "b"]);
    }
}

#[test]
fn what_deltas_left_out_is_caught_up_once() {
    let frames = [
        json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hel"}),
        json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hello"}),
        json!({"type": "response.content_part.done", "output_index": 0, "content_index": 0, "part": {"type": "output_text", "text": "Hello"}}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{\"a\""}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"a\":1}"}}),
        completed(json!([])),
    ];
    let parts = parts_of(&events(&frames));
    assert_eq!(parts[0].as_text(), Some("Hello"));
    assert!(matches!(&parts[1].content, Content::ToolCall(call) if call.arguments == "{\"a\":1}"));
    assert_eq!(parts.len(), 2);
}

#[test]
fn items_whose_ids_change_are_joined_by_their_place() {
    let frames = [
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "a", "role": "assistant", "content": []}}),
        json!({"type": "response.content_part.added", "output_index": 0, "item_id": "b", "content_index": 0, "part": {"type": "output_text", "text": ""}}),
        json!({"type": "response.output_text.delta", "output_index": 0, "item_id": "c", "content_index": 0, "delta": "x"}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "message", "id": "d", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "web_search_call", "id": "e"}}),
        json!({"type": "response.web_search_call.searching", "output_index": 1, "item_id": "f"}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": {"type": "web_search_call", "id": "g", "action": {}}}),
        completed(json!([])),
    ];
    let read = events(&frames);
    let parts = parts_of(&read);
    assert_eq!((parts.len(), parts[0].as_text(), parts[0].item_id.as_deref()), (2, Some("x"), Some("a")));
    // Toward a client each item has one id.
    let ours = stream(&read);
    for (index, id) in [(0, "a"), (1, "e")] {
        let of_item = ours.iter().filter(|frame| frame["output_index"] == index);
        assert!(of_item.clone().count() > 2);
        assert!(of_item.map(|frame| frame.get("item_id").unwrap_or(&frame["item"]["id"])).all(|own| own == id));
    }
}

#[test]
fn steps_of_server_tools_keep_their_place_though_items_before_them_went() {
    let raw = |value: Value| StreamEvent::Raw { format: OWN, value };
    let native = Native {
        format: OWN,
        kind: "mcp_call".into(),
        value: json!({"type": "mcp_call", "id": "mcp_1", "output": "o"}),
    };
    let mut all = vec![
        raw(json!({"type": "response.queued", "response": {"status": "queued"}})),
        raw(
            json!({"type": "response.output_item.added", "output_index": 4, "item": {"type": "mcp_call", "id": "mcp_1"}}),
        ),
        raw(
            json!({"type": "response.mcp_call_arguments.delta", "output_index": 4, "item_id": "mcp_1", "delta": "{}", "sequence_number": 77}),
        ),
    ];
    all.extend(StreamEvent::whole(0, 0, Part::new(Content::Native(native))));
    all.push(StreamEvent::Finish { choice: 0, finish: Finish::new(FinishReason::Stop) });
    all.push(StreamEvent::End);
    let frames = stream(&all);
    assert_eq!(
        kinds(&frames),
        [
            "created",
            "queued",
            "in_progress",
            "output_item.added",
            "mcp_call_arguments.delta",
            "output_item.done",
            "completed"
        ]
    );
    assert!(frames.iter().filter_map(|frame| frame.get("output_index")).all(|index| index == 0));
    assert_eq!(
        frames.last().unwrap()["response"]["output"],
        json!([{"id": "mcp_1", "type": "mcp_call", "output": "o"}])
    );
    assert_eq!(frames[1]["response"]["status"], "queued");
}

#[test]
fn errors_end_a_stream_in_both_spellings() {
    for error in [
        json!({"type": "error", "error": {"code": "rate_limit_exceeded", "message": "m"}}),
        json!({"type": "error", "code": "rate_limit_exceeded", "message": "m", "param": null}),
        json!({"error": {"code": "rate_limit_exceeded", "message": "m"}}),
        json!({"type": "response.failed", "response": {"status": "failed", "output": [], "error": {"code": "rate_limit_exceeded", "message": "m"}}}),
    ] {
        let read = events(&[error.clone(), completed(json!([]))]);
        assert!(
            matches!(read.last(), Some(StreamEvent::Error(read)) if read.kind == ApiErrorKind::RateLimit && read.message == "m"),
            "{error}"
        );
    }
}

#[test]
fn a_stream_without_its_terminal_was_cut() {
    let read =
        events(&[json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x"})]);
    assert!(!read.iter().any(|event| matches!(event, StreamEvent::End | StreamEvent::Finish { .. })));
}

#[test]
fn hostile_events_break_no_law() {
    let nasty = [
        json!({"type": "response.output_item.added", "output_index": u64::MAX, "item": {"type": "message", "content": 7}}),
        json!({"type": "response.output_text.delta", "output_index": u64::MAX, "content_index": u64::MAX, "delta": "ä"}),
        json!({"type": "response.output_text.done", "output_index": u64::MAX, "content_index": u64::MAX, "text": "a"}),
        json!({"type": "response.output_item.done", "item": {}}),
        json!({"type": "response.output_item.done", "output_index": 3, "item": {"type": "function_call"}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 3, "delta": "x"}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 5, "summary_index": u32::MAX, "delta": "x"}),
        json!({"type": "response.reasoning_text.delta", "output_index": 5, "content_index": 9, "delta": "x"}),
        json!({"type": "response.output_text.delta", "output_index": 5, "delta": {"not": "text"}}),
        json!({"type": "response.output_text.annotation.added", "output_index": 6, "annotation": 3}),
        json!({"type": "response.content_part.done", "output_index": 5, "part": {"type": "output_text", "text": "x"}}),
        json!({"type": "response.output_item.added", "output_index": 5, "item": {"type": "reasoning", "encrypted_content": "myl1-call:3:abc"}}),
        json!({"type": "response.completed"}),
    ];
    let read = events(&nasty);
    stream(&read);
    let again: Vec<Value> = nasty.iter().rev().cloned().collect();
    stream(&events(&again));
    for body in ["", "{", "[]", "nul", "{\"type\":"] {
        let mut decoder = codec().stream_decoder(&Dialect::default());
        assert!(
            decoder.feed(&Frame { event: None, exception: false, data: body.as_bytes() }, &mut Vec::new()).is_err(),
            "{body}"
        );
    }
}

#[test]
fn keep_alives_are_comments() {
    let mut out = Vec::new();
    codec().stream_encoder(context()).keep_alive(&mut out);
    assert_eq!(out, b": keep-alive\n\n");
}

#[test]
fn markers_stand_in_every_event_that_tells_how_it_went() {
    let mark = |data: &str| codec().tap_markers().iter().any(|marker| data.contains(marker));
    for kind in ["completed", "incomplete", "failed"] {
        assert!(mark(&format!("{{\"type\":\"response.{kind}\",\"response\":{{}}}}")));
    }
    assert!(mark("{\"type\":\"error\",\"message\":\"m\"}"));
    assert!(!mark("{\"type\":\"response.output_text.delta\",\"delta\":\"\\\"response.completed\\\"\"}"));
}
