//! Answers and streams, both ways.

use super::*;
fn context() -> ReplyContext {
    ReplyContext { model: "asked".into(), id: "0a".into(), ..ReplyContext::default() }
}

/// The events as a client sees them: name and data.
fn written(events: &[StreamEvent]) -> Vec<(String, Value)> {
    let mut encoder = codec().stream_encoder(context());
    let mut bytes = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut bytes));
    parsed(&bytes)
}

fn parsed(bytes: &[u8]) -> Vec<(String, Value)> {
    let mut reader = SseReader::new();
    let mut input = bytes;
    let mut seen = Vec::new();
    while let Some(frame) = reader.next(&mut input).unwrap() {
        seen.push((frame.event.unwrap().to_owned(), serde_json::from_slice(frame.data).unwrap()));
    }
    seen
}

fn read(frames: &[Value]) -> Vec<StreamEvent> {
    let mut decoder = codec().stream_decoder(&Dialect::default());
    let mut events = Vec::new();
    for frame in frames {
        decoder.feed(&Frame::data(frame.to_string().as_bytes()), &mut events).unwrap();
    }
    decoder.finish(&mut events);
    events
}

fn start(id: PartId, head: PartHead) -> StreamEvent {
    StreamEvent::PartStart { id, choice: 0, head, item_id: None }
}

fn delta(id: PartId, delta: Delta) -> StreamEvent {
    StreamEvent::PartDelta { id, delta }
}

fn tool_head(id: &str) -> PartHead {
    PartHead::ToolCall { id: id.into(), name: "f".into(), namespace: None, kind: ToolCallKind::Function }
}

fn response(parts: Vec<Part>, reason: FinishReason) -> ChatResponse {
    ChatResponse {
        id: Some("msg_1".into()),
        model: Some("asked".into()),
        choices: vec![Choice { parts, finish: Some(Finish::new(reason)), extras: Extras::NONE }],
        usage: Some(Usage { input: Some(5), output: Some(7), ..Usage::default() }),
        ..ChatResponse::default()
    }
}

#[test]
fn a_stream_has_every_event_that_claude_code_needs_in_order() {
    let seen = written(&[
        StreamEvent::Start {
            id: Some("chatcmpl-1".into()),
            model: Some("gpt".into()),
            created: None,
            extras: Extras::NONE,
        },
        start(0, PartHead::Text),
        delta(0, Delta::Text("Hi".into())),
        StreamEvent::PartEnd { id: 0 },
        StreamEvent::Finish { choice: 0, finish: Finish::new(FinishReason::Length) },
        StreamEvent::Usage(Usage { input: Some(50), cache_read: Some(40), output: Some(3), ..Usage::default() }),
        StreamEvent::End,
        StreamEvent::End,
    ]);
    let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert!(seen.iter().all(|(name, data)| data["type"] == **name));
    let message = &seen[0].1["message"];
    assert_eq!(
        (&message["id"], &message["model"], &message["role"]),
        (&json!("msg_0a"), &json!("asked"), &json!("assistant"))
    );
    assert_eq!(message["usage"], json!({"input_tokens": 0, "output_tokens": 0}));
    assert_eq!(seen[4].1["delta"], json!({"stop_reason": "max_tokens", "stop_sequence": null}));
    assert_eq!(seen[4].1["usage"], json!({"input_tokens": 10, "cache_read_input_tokens": 40, "output_tokens": 3}));
}

#[test]
fn counters_that_come_early_are_in_the_start() {
    let seen = written(&[
        StreamEvent::Start { id: None, model: None, created: None, extras: Extras::NONE },
        StreamEvent::Usage(Usage { input: Some(9), ..Usage::default() }),
        StreamEvent::End,
    ]);
    assert_eq!(seen[0].1["message"]["usage"]["input_tokens"], 9);
    assert_eq!(seen[1].1["delta"]["stop_reason"], "end_turn");
}

#[test]
fn case_01_case_04_interleaved_parts_become_blocks_in_a_row() {
    let text = |id, text: &str| delta(id, Delta::Text(text.into()));
    let arguments = |id, text: &str| delta(id, Delta::Arguments(text.into()));
    let seen = written(&[
        start(0, PartHead::Text),
        text(0, "a"),
        start(1, tool_head("t1")),
        arguments(1, "{\"x\""),
        start(2, tool_head("t2")),
        text(0, "b"),
        arguments(2, "{}"),
        arguments(1, ":1}"),
        StreamEvent::PartEnd { id: 2 },
        StreamEvent::PartEnd { id: 0 },
        StreamEvent::PartEnd { id: 1 },
        StreamEvent::Finish { choice: 0, finish: Finish::new(FinishReason::ToolCalls) },
        StreamEvent::End,
    ]);
    let mut open: Option<u64> = None;
    let mut next = 0;
    for (name, data) in &seen {
        match name.as_str() {
            "content_block_start" => {
                assert_eq!((open, data["index"].as_u64()), (None, Some(next)));
                open = Some(next);
                next += 1;
            }
            "content_block_delta" => assert_eq!(data["index"].as_u64(), open),
            "content_block_stop" => assert_eq!(data["index"].as_u64(), open.take()),
            _ => assert_eq!(open, None),
        }
    }
    assert_eq!(next, 3);
    let folded = fold(read(&seen.into_iter().map(|(_, data)| data).collect::<Vec<_>>())).response;
    let arguments: Vec<(String, String)> = folded.choices[0]
        .parts
        .iter()
        .filter_map(|part| match &part.content {
            Content::ToolCall(call) => Some((call.id.clone(), call.arguments.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(arguments, [("t1".into(), "{\"x\":1}".into()), ("t2".into(), "{}".into())]);
    assert_eq!(folded.choices[0].parts[0].as_text(), Some("ab"));
}

#[test]
fn an_error_is_the_last_thing() {
    let mut encoder = codec().stream_encoder(context());
    let mut bytes = Vec::new();
    encoder.push(&start(0, PartHead::Text), &mut bytes);
    encoder.push(&delta(0, Delta::Text("x".into())), &mut bytes);
    let failure = ApiError { request_id: Some("r".into()), ..ApiError::new(crate::ApiErrorKind::Overloaded, "busy") };
    encoder.push(&StreamEvent::Error(failure), &mut bytes);
    let length = bytes.len();
    encoder.push(&StreamEvent::End, &mut bytes);
    encoder.keep_alive(&mut bytes);
    assert_eq!(bytes.len(), length);
    let last = parsed(&bytes).pop().unwrap();
    assert_eq!(
        last,
        (
            "error".into(),
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}, "request_id": "r"})
        )
    );
}

#[test]
fn a_failed_finish_is_an_error_and_no_end() {
    let finish = Finish { native: Some("MALFORMED_FUNCTION_CALL".into()), ..Finish::new(FinishReason::Error) };
    let seen = written(&[StreamEvent::Finish { choice: 0, finish }, StreamEvent::End]);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].0, "error");
    assert!(seen[0].1["error"]["message"].as_str().unwrap().contains("MALFORMED_FUNCTION_CALL"));
}

#[test]
fn a_ping_keeps_the_connection_alive() {
    let mut bytes = Vec::new();
    codec().stream_encoder(context()).keep_alive(&mut bytes);
    assert_eq!(bytes, b"event: ping\ndata: {\"type\": \"ping\"}\n\n");
}

#[test]
fn case_05_the_signature_comes_before_the_stop_also_from_a_whole_answer() {
    let parts = vec![
        thought("why", Some(blob(FORMAT, OpaqueKind::Signature, "sig"))),
        thought("", Some(blob(FORMAT, OpaqueKind::Redacted, "red"))),
        Part::text("x"),
    ];
    let events = unfold(response(parts.clone(), FinishReason::Stop));
    let seen = written(&events);
    let kinds: Vec<String> = seen
        .iter()
        .map(|(name, data)| {
            data.pointer("/delta/type")
                .or_else(|| data.pointer("/content_block/type"))
                .and_then(Value::as_str)
                .unwrap_or(name)
                .to_owned()
        })
        .collect();
    assert_eq!(kinds[1..5], ["thinking", "thinking_delta", "signature_delta", "content_block_stop"]);
    assert_eq!(kinds[5..7], ["redacted_thinking", "content_block_stop"]);
    let back = fold(read(&seen.into_iter().map(|(_, data)| data).collect::<Vec<_>>()));
    assert!(back.complete);
    assert_eq!(back.response.choices[0].parts, parts);
}

#[test]
fn foreign_thinking_passes_through_a_client_and_comes_back() {
    let gemini = blob(ApiFormat::Gemini, OpaqueKind::Signature, "g==");
    let encrypted = blob(ApiFormat::OpenaiResponses, OpaqueKind::Encrypted, "e==");
    let summary = Part::new(Content::Reasoning(ReasoningPart {
        text: String::new(),
        summary: vec!["short".into()],
        opaque: Some(encrypted),
    }));
    let mut signed = call("call:1", r#"{"a":1}"#);
    let Content::ToolCall(inner) = &mut signed.content else { panic!() };
    inner.signature = Some(gemini);
    let searching = Part::new(Content::Native(Native {
        format: ApiFormat::OpenaiResponses,
        kind: "web_search_call".into(),
        value: json!({"type": "web_search_call", "id": "ws_1"}),
    }));
    let parts = vec![summary, searching, signed];
    let answer = response(parts.clone(), FinishReason::ToolCalls);
    let whole: Value = serde_json::from_slice(&codec().encode_response(&answer, &context()).value).unwrap();
    assert_eq!(whole["content"][0]["thinking"], "short");
    let streamed: Vec<Value> = written(&unfold(answer)).into_iter().map(|(_, data)| data).collect();
    let mut assembled: Vec<Value> = Vec::new();
    for event in &streamed {
        match event["type"].as_str().unwrap() {
            "content_block_start" => assembled.push(event["content_block"].clone()),
            "content_block_delta" => {
                let block = assembled.last_mut().unwrap();
                match event["delta"]["type"].as_str().unwrap() {
                    "thinking_delta" => block["thinking"] = event["delta"]["thinking"].clone(),
                    "signature_delta" => block["signature"] = event["delta"]["signature"].clone(),
                    _ => {
                        block["input"] = serde_json::from_str(event["delta"]["partial_json"].as_str().unwrap()).unwrap()
                    }
                }
            }
            _ => {}
        }
    }
    for content in [whole["content"].clone(), Value::Array(assembled)] {
        let request = decode(
            json!({"model": "m", "messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": content}]}),
        );
        assert_eq!(request.messages[1].parts, parts);
    }
}

#[test]
fn a_free_text_call_streams_as_one_string_argument() {
    let head = PartHead::ToolCall { id: "c".into(), name: "patch".into(), namespace: None, kind: ToolCallKind::Custom };
    let seen = written(&[
        start(0, head),
        delta(0, Delta::Arguments("a \"q\"\n".into())),
        delta(0, Delta::Arguments("ü".into())),
        StreamEvent::PartEnd { id: 0 },
        StreamEvent::End,
    ]);
    let json: String = seen.iter().filter_map(|(_, data)| data.pointer("/delta/partial_json")?.as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), json!({"input": "a \"q\"\nü"}));
}

#[test]
fn answers_come_back_as_they_were() {
    let mut cited = Part::text("It is so.");
    let Content::Text(text) = &mut cited.content else { panic!() };
    let whole = json!({"type": "char_location", "cited_text": "so", "document_index": 0, "document_title": "D", "start_char_index": 0, "end_char_index": 2, "file_id": null});
    text.citations = vec![blocks_in::citation(whole.as_object().unwrap().clone())];
    assert_eq!(text.citations[0].title.as_deref(), Some("D"));
    let native = json!({"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result", "url": "https://a", "encrypted_content": "x"}]});
    let searching = json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}});
    let compaction = json!({"type": "compaction", "content": "summary"});
    let natives = [searching, native, compaction].map(|value| {
        Part::new(Content::Native(Native { format: FORMAT, kind: value["type"].as_str().unwrap().into(), value }))
    });
    let mut parts =
        vec![thought("t", Some(blob(FORMAT, OpaqueKind::Signature, "s"))), cited, call("t1", r#"{"a": 1}"#)];
    parts.extend(natives);
    for reason in [
        FinishReason::ToolCalls,
        FinishReason::Pause,
        FinishReason::Refusal,
        FinishReason::ContextLength,
        FinishReason::StopSequence,
    ] {
        let mut answer = response(parts.clone(), reason);
        answer.choices[0].extras = Extras::new(FORMAT, json!({"container": {"id": "c"}, "context_management": {"applied_edits": []}, "stop_details": {"type": "refusal"}}).as_object().unwrap().clone());
        let body = codec().encode_response(&answer, &context());
        assert!(body.losses.is_empty(), "{:?}", body.losses);
        let mut back = codec().decode_response(&body.value, &Dialect::default()).unwrap();
        let mut streamed =
            fold(read(&written(&unfold(answer.clone())).into_iter().map(|(_, data)| data).collect::<Vec<_>>()))
                .response;
        for usage in [&mut back.usage, &mut streamed.usage] {
            usage.as_mut().unwrap().raw = None;
        }
        assert_eq!(back, answer);
        assert_eq!(streamed, answer);
    }
}

#[test]
fn counters_of_the_end_replace_those_of_the_start() {
    let events = read(&[
        json!({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 8}}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": 20, "output_tokens": 3}}),
        json!({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 1, "outputTokenCount": 1}}),
    ]);
    let early = events.iter().find_map(|event| match event {
        StreamEvent::Usage(usage) => Some(usage.output),
        _ => None,
    });
    assert_eq!(early, Some(None), "the output count of a start is a placeholder");
    let usage = fold(events).response.usage.unwrap();
    assert_eq!((usage.input, usage.cache_read, usage.output), (Some(25), Some(5), Some(3)));
}

#[test]
fn a_stream_without_its_stop_is_not_complete() {
    let frames = [
        json!({"type": "message_start", "message": {"id": "m"}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}),
        json!({"type": "message_stop"}),
    ];
    for cut in 0..frames.len() {
        let folded = fold(read(&frames[..cut]));
        assert!(!folded.complete && folded.error.is_none());
        assert!(cut > 4 || folded.response.first().is_none_or(|choice| choice.finish.is_none()));
    }
    assert!(fold(read(&frames)).complete);
}

#[test]
fn another_message_in_the_same_stream_is_an_error_and_a_repeated_start_is_not() {
    let start = |id: &str| json!({"type": "message_start", "message": {"id": id}});
    let open = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "x"}});
    let spliced = fold(read(&[start("a"), open.clone(), start("b"), json!({"type": "message_stop"})]));
    assert!(spliced.error.is_some() && !spliced.complete);
    let repeated = fold(read(&[start("a"), start("a"), open, json!({"type": "message_stop"})]));
    assert!(repeated.error.is_none() && repeated.complete);
}

#[test]
fn odd_hosts_are_understood() {
    // No index, input in the start, `[DONE]` behind the finish.
    let mut decoder = codec().stream_decoder(&Dialect::default());
    let mut events = Vec::new();
    for frame in [
        r#"{"type":"message_start","message":{}}"#,
        r#"{"type":"content_block_start","content_block":{"type":"tool_use","id":"t","name":"f","input":{"a":1}}}"#,
        r#"{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":""}}"#,
        r#"{"type":"content_block_stop"}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"}}"#,
        "[DONE]",
    ] {
        decoder.feed(&Frame::data(frame.as_bytes()), &mut events).unwrap();
    }
    let folded = fold(events);
    assert!(folded.complete);
    let Content::ToolCall(call) = &folded.response.choices[0].parts[0].content else { panic!() };
    assert_eq!(call.arguments, r#"{"a":1}"#);
    assert!(codec().stream_decoder(&Dialect::default()).feed(&Frame::data(b"{"), &mut Vec::new()).is_err());
}

#[test]
fn bedrock_frames_are_unwrapped_and_its_exceptions_end_the_stream() {
    use base64::Engine as _;
    let inner = |value: Value| {
        json!({"bytes": base64::engine::general_purpose::STANDARD.encode(value.to_string()), "p": "abc"}).to_string()
    };
    let mut decoder = codec().stream_decoder(&Dialect::default());
    let mut events = Vec::new();
    let chunk = inner(json!({"type": "message_start", "message": {"id": "m"}}));
    decoder.feed(&Frame { event: Some("chunk"), exception: false, data: chunk.as_bytes() }, &mut events).unwrap();
    let exception = Frame { event: Some("throttlingException"), exception: true, data: br#"{"message":"slow"}"# };
    decoder.feed(&exception, &mut events).unwrap();
    let error = fold(events).error.unwrap();
    assert_eq!((error.kind, error.message.as_str()), (crate::ApiErrorKind::RateLimit, "slow"));
}

#[test]
fn no_bytes_make_the_codec_panic() {
    let mut seed = 7u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize
    };
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"type\"",
        "\"text\"",
        "\"content\"",
        "\"messages\"",
        "\"model\"",
        "\"m\"",
        "\"role\"",
        "\"user\"",
        "null",
        "18446744073709551615",
        "-1",
        "1e999",
        "\"tool_use\"",
        "\"input\"",
        "\"index\"",
        "\"content_block_start\"",
        "\"content_block\"",
        "\"ü\\ud800\"",
    ];
    for _ in 0..3000 {
        let length = random() % 24;
        let text: String = (0..length).map(|_| pieces[random() % pieces.len()]).collect();
        let _ = codec().decode_request(text.as_bytes(), AddressHints::default());
        let _ = codec().decode_response(text.as_bytes(), &Dialect::default());
        let _ = codec().decode_error(400, text.as_bytes());
        let _ = codec().decode_models(text.as_bytes());
        let mut decoder = codec().stream_decoder(&Dialect::default());
        let _ = decoder.feed(&Frame::data(text.as_bytes()), &mut Vec::new());
    }
}
