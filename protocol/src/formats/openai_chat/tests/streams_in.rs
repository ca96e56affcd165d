use serde_json::{Value, json};

use super::*;
use crate::ApiErrorKind;
use crate::ir::{FinishReason, PartHead, ToolCallKind};

fn call(fields: Value) -> Value {
    chunk(json!({ "tool_calls": [fields] }))
}

fn names_and_arguments(chunks: &[Value]) -> Vec<(String, String, String)> {
    calls(&folded(chunks).response).into_iter().map(|call| (call.id, call.name, call.arguments)).collect()
}

fn triple(id: &str, name: &str, arguments: &str) -> (String, String, String) {
    (id.into(), name.into(), arguments.into())
}

#[test]
fn case_01_calls_are_joined_by_index_and_heads_come_once() {
    let seen = names_and_arguments(&[
        call(json!({ "index": 0, "id": "a", "type": "function", "function": { "name": "f", "arguments": "" } })),
        call(json!({ "index": 0, "function": { "arguments": "{\"x\"" } })),
        call(json!({ "index": 0, "function": { "arguments": ":1}" } })),
        call(json!({ "index": 1, "id": "b", "type": "function", "function": { "name": "g", "arguments": "{}" } })),
        finish("tool_calls"),
    ]);
    assert_eq!(seen, [triple("a", "f", "{\"x\":1}"), triple("b", "g", "{}")]);
}

#[test]
fn case_03_a_missing_index_is_the_position_and_a_new_id_is_a_new_call() {
    let both = chunk(json!({ "tool_calls": [
        { "id": "a", "function": { "name": "f", "arguments": "{\"x\":1}" } },
        { "id": "b", "function": { "name": "f", "arguments": "{\"x\":2}" } },
    ] }));
    let expected = [triple("a", "f", "{\"x\":1}"), triple("b", "f", "{\"x\":2}")];
    assert_eq!(names_and_arguments(&[both, finish("stop")]), expected);
    let each =
        |id: &str, x: u8| call(json!({ "id": id, "function": { "name": "f", "arguments": format!("{{\"x\":{x}}}") } }));
    assert_eq!(names_and_arguments(&[each("a", 1), each("b", 2), finish("stop")]), expected);
    // Continued without index and id.
    let head = call(json!({ "id": "a", "function": { "name": "f", "arguments": "" } }));
    let tail = |text: &str| call(json!({ "function": { "arguments": text } }));
    assert_eq!(names_and_arguments(&[head, tail("{\"x\":"), tail("1}"), each("b", 2), finish("stop")]), expected);
}

#[test]
fn one_index_with_different_ids_is_several_calls() {
    let each = |id: &str, x: u8| {
        call(json!({ "index": 0, "id": id, "function": { "name": "f", "arguments": format!("{{\"x\":{x}}}") } }))
    };
    let expected = [triple("a", "f", "{\"x\":1}"), triple("b", "f", "{\"x\":2}"), triple("c", "f", "{\"x\":3}")];
    assert_eq!(names_and_arguments(&[each("a", 1), each("b", 2), each("c", 3), finish("stop")]), expected);
}

#[test]
fn calls_without_index_and_id_are_told_apart_by_their_names() {
    let each = |name: &str| call(json!({ "function": { "name": name, "arguments": "{\"x\":1}" } }));
    let expected = [triple("", "f", "{\"x\":1}"), triple("", "f", "{\"x\":1}"), triple("", "g", "{\"x\":1}")];
    assert_eq!(names_and_arguments(&[each("f"), each("f"), each("g"), finish("stop")]), expected);
}

#[test]
fn empty_and_repeated_heads_of_later_fragments_change_nothing() {
    let seen = names_and_arguments(&[
        call(json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": "" } })),
        call(json!({ "index": 0, "id": "", "function": { "name": "", "arguments": "{\"x\"" } })),
        call(json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": ":1}" } })),
        call(json!({ "index": 0, "id": null, "type": "", "function": { "name": null, "arguments": null } })),
        finish("tool_calls"),
    ]);
    assert_eq!(seen, [triple("a", "f", "{\"x\":1}")]);
}

#[test]
fn an_index_may_start_at_one_and_skip() {
    let seen = names_and_arguments(&[
        chunk(json!({ "content": "let me see" })),
        call(json!({ "index": 1, "id": "a", "function": { "name": "f", "arguments": "{}" } })),
        call(json!({ "index": 9_000_000_000u64, "id": "b", "function": { "name": "g", "arguments": "{}" } })),
        finish("tool_calls"),
    ]);
    assert_eq!(seen, [triple("a", "f", "{}"), triple("b", "g", "{}")]);
}

#[test]
fn mixed_fragments_of_two_calls_do_not_mix() {
    let seen = names_and_arguments(&[
        call(json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": "" } })),
        call(json!({ "index": 1, "id": "b", "function": { "name": "g", "arguments": "" } })),
        call(json!({ "index": 0, "function": { "arguments": "{\"x\":" } })),
        call(json!({ "index": 1, "function": { "arguments": "{\"y\":" } })),
        call(json!({ "index": 0, "function": { "arguments": "1}" } })),
        call(json!({ "index": 1, "function": { "arguments": "2}" } })),
        finish("tool_calls"),
    ]);
    assert_eq!(seen, [triple("a", "f", "{\"x\":1}"), triple("b", "g", "{\"y\":2}")]);
}

#[test]
fn a_call_without_arguments_does_not_hold_up_the_next() {
    let chunks = [
        call(json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": "" } })),
        call(json!({ "index": 1, "id": "b", "function": { "name": "g", "arguments": "" } })),
        call(json!({ "index": 1, "function": { "arguments": "{\"y\":2}" } })),
    ];
    let live = events(&Dialect::default(), &chunks, false);
    let started =
        live.iter().filter(|event| matches!(event, StreamEvent::PartStart { head: PartHead::ToolCall { .. }, .. }));
    assert_eq!(started.count(), 2);
    let seen = names_and_arguments(&[&chunks[..], &[finish("tool_calls")]].concat());
    assert_eq!(seen, [triple("a", "f", "{}"), triple("b", "g", "{\"y\":2}")]);
}

#[test]
fn late_arguments_of_an_ended_call_are_corrupt_and_not_dropped() {
    let mut decoder = codec().stream_decoder(&Dialect::default());
    let mut out = Vec::new();
    for fragment in [
        call(json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": "{}" } })),
        call(json!({ "index": 1, "id": "b", "function": { "name": "g", "arguments": "{}" } })),
    ] {
        decoder.feed(&Frame::data(fragment.to_string().as_bytes()), &mut out).unwrap();
    }
    let repeated = call(json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": "{}" } })).to_string();
    decoder.feed(&Frame::data(repeated.as_bytes()), &mut out).unwrap();
    let late = call(json!({ "index": 0, "function": { "arguments": ",more" } })).to_string();
    assert!(decoder.feed(&Frame::data(late.as_bytes()), &mut out).is_err());
}

#[test]
fn calls_are_the_reason_even_where_the_host_says_stop() {
    let stream = folded(&[
        call(json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": "{}" } })),
        finish("stop"),
    ]);
    assert_eq!(stream.response.choices[0].finish.as_ref().unwrap().reason, FinishReason::ToolCalls);
    let body = json!({ "choices": [{ "message": { "tool_calls": [{ "id": "a", "function": { "name": "f", "arguments": "{}" } }] }, "finish_reason": "stop" }] });
    let whole = codec().decode_response(body.to_string().as_bytes(), &Dialect::default()).unwrap();
    assert_eq!(whole.choices[0].finish.as_ref().unwrap().reason, FinishReason::ToolCalls);
}

#[test]
fn custom_calls_and_legacy_calls_are_calls() {
    let custom = folded(&[
        call(json!({ "index": 0, "id": "a", "type": "custom", "custom": { "name": "patch", "input": "" } })),
        call(json!({ "index": 0, "custom": { "input": "*** Begin" } })),
        finish("tool_calls"),
    ]);
    let seen = &calls(&custom.response)[0];
    assert_eq!((seen.kind, seen.name.as_str(), seen.arguments.as_str()), (ToolCallKind::Custom, "patch", "*** Begin"));
    let legacy = folded(&[
        chunk(json!({ "function_call": { "name": "f", "arguments": "" } })),
        chunk(json!({ "function_call": { "arguments": "{\"x\":1}" } })),
        finish("function_call"),
    ]);
    let seen = &calls(&legacy.response)[0];
    assert_eq!((seen.name.as_str(), seen.arguments.as_str()), ("f", "{\"x\":1}"));
    assert_eq!(legacy.response.choices[0].finish.as_ref().unwrap().reason, FinishReason::ToolCalls);
}

#[test]
fn arguments_that_are_an_object_become_their_text() {
    let seen = names_and_arguments(&[
        call(json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": { "x": 1 } } })),
        finish("stop"),
    ]);
    assert_eq!(seen, [triple("a", "f", "{\"x\":1}")]);
}

#[test]
fn choices_that_interleave_keep_their_own_state() {
    let delta = |index: u8, text: &str| json!({ "choices": [{ "index": index, "delta": { "content": text } }] });
    let end = |index: u8| json!({ "choices": [{ "index": index, "delta": {}, "finish_reason": "stop" }] });
    let stream = folded(&[delta(0, "a"), delta(1, "x"), delta(0, "b"), delta(1, "y"), end(1), end(0)]);
    let texts: Vec<_> = stream.response.choices.iter().map(|choice| choice.parts[0].as_text().unwrap()).collect();
    assert_eq!(texts, ["ab", "xy"]);
    assert!(stream.complete);
}

#[test]
fn azures_leading_chunk_without_choices_starts_nothing() {
    let filter = json!([{ "prompt_index": 0 }]);
    let chunks = [
        json!({ "id": "", "model": "", "created": 0, "object": "", "choices": [], "prompt_filter_results": filter }),
        chunk(json!({ "role": "assistant", "content": "" })),
        json!({ "id": "", "model": "", "created": 0, "choices": [{ "index": 0, "content_filter_offsets": { "check_offset": 1 }, "content_filter_results": {} }] }),
        chunk(json!({ "content": "hi" })),
        finish("stop"),
    ];
    let all = events(&Dialect::default(), &chunks, true);
    let StreamEvent::Start { id, model, created, extras } = &all[0] else { panic!("{all:?}") };
    assert_eq!((id.as_deref(), model.as_deref(), *created), (Some("chatcmpl-1"), Some("m"), Some(7)));
    assert_eq!(extras.get("prompt_filter_results"), Some(&filter));
    let stream = fold(all);
    assert_eq!((text(&stream.response).as_str(), stream.complete), ("hi", true));
}

#[test]
fn usage_is_found_in_all_its_places() {
    let usage = json!({ "prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7 });
    let places = [
        vec![finish("stop"), json!({ "choices": [], "usage": usage })],
        vec![json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }], "usage": usage })],
        vec![json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop", "usage": usage }] })],
        vec![
            json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }], "x_groq": { "id": "req", "usage": usage } }),
        ],
        vec![
            finish("stop"),
            json!({ "choices": [{ "index": 0, "delta": { "content": "" }, "finish_reason": "stop" }], "usage": usage }),
        ],
    ];
    for place in places {
        let stream = folded(&[&[chunk(json!({ "content": "hi" }))][..], &place].concat());
        let counted = stream.response.usage.unwrap();
        assert_eq!((counted.input, counted.output), (Some(5), Some(2)), "{place:?}");
        assert_eq!(stream.response.choices[0].finish.as_ref().unwrap().reason, FinishReason::Stop);
    }
}

#[test]
fn cumulative_usage_and_messages_are_not_added_up() {
    let step = |delta: &str, message: &str, tokens: u8, end: Option<&str>| json!({ "id": "p", "choices": [{ "index": 0, "delta": { "role": "assistant", "content": delta }, "message": { "role": "assistant", "content": message }, "finish_reason": end }], "usage": { "prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + tokens }, "citations": ["u"] });
    let chunks = [step("a", "a", 1, None), step("b", "ab", 2, None), step("", "ab", 2, Some("stop"))];
    let host = Dialect { no_done: true, ..Dialect::default() };
    let stream = fold(events(&host, &chunks, false));
    assert_eq!((text(&stream.response).as_str(), stream.complete), ("ab", true));
    assert_eq!(stream.response.usage.unwrap().output, Some(2));
    assert!(!fold(events(&host, &chunks[..2], false)).complete, "cut before its finish");
    assert!(!fold(events(&Dialect::default(), &chunks, false)).complete, "other hosts owe a terminal");
}

#[test]
fn a_whole_message_in_place_of_deltas_is_the_answer() {
    let whole = json!({ "choices": [{ "index": 0, "message": { "role": "assistant", "content": "hi" }, "finish_reason": "stop" }] });
    assert_eq!(text(&folded(&[whole]).response), "hi");
}

#[test]
fn case_14_failures_inside_of_streams_end_them() {
    let failures = [
        json!({ "error": { "message": "broken", "type": "server_error", "code": null } }),
        json!({ "error": "broken" }),
        json!({ "object": "error", "message": "broken", "code": 500 }),
        json!({ "id": "x", "choices": [{ "index": 0, "delta": { "content": "" }, "finish_reason": "error" }], "error": { "code": 502, "message": "broken" } }),
        json!({ "choices": [{ "index": 0, "error": { "code": 502, "message": "broken" } }] }),
    ];
    for failure in failures {
        // Even after a finish reason.
        let stream = folded(&[
            chunk(json!({ "content": "hi" })),
            finish("stop"),
            failure.clone(),
            chunk(json!({ "content": "no" })),
        ]);
        let error = stream.error.unwrap_or_else(|| panic!("{failure}"));
        assert_eq!((error.message.as_str(), error.kind), ("broken", ApiErrorKind::Upstream), "{failure}");
        assert!(!stream.complete && stream.response.choices[0].finish.is_none(), "{failure}");
        assert_eq!(text(&stream.response), "hi");
    }
}

#[test]
fn an_error_event_is_an_error_whatever_its_shape() {
    let mut decoder = codec().stream_decoder(&Dialect::default());
    let mut out = Vec::new();
    let frame = Frame { event: Some("error"), ..Frame::data(br#"{"message":"no","status_code":400}"#) };
    decoder.feed(&frame, &mut out).unwrap();
    let [StreamEvent::Error(error)] = out.as_slice() else { panic!("{out:?}") };
    assert_eq!((error.kind, error.status), (ApiErrorKind::InvalidRequest, Some(400)));
}

#[test]
fn corrupt_frames_are_reported_and_blank_ones_ignored() {
    let mut decoder = codec().stream_decoder(&Dialect::default());
    let mut out = Vec::new();
    decoder.feed(&Frame::data(b" \n"), &mut out).unwrap();
    for bad in [&b"{"[..], b"[]", b"null", b"\xff", b"{\"choices\":[{\"index\":99999999999}]}"] {
        assert!(decoder.feed(&Frame::data(bad), &mut out).is_err(), "{bad:?}");
    }
    assert_eq!(out.iter().filter(|event| event.is_content()).count(), 0);
}

#[test]
fn padding_goes_and_extras_stay() {
    let logprobs = json!({ "content": [{ "token": "hi", "logprob": -0.1 }] });
    let chunks = [
        json!({ "id": "c", "model": "m", "system_fingerprint": "fp", "obfuscation": "xyz", "choices": [{ "index": 0, "delta": { "content": "hi" }, "logprobs": logprobs }] }),
        json!({ "id": "c", "model": "m", "system_fingerprint": "fp", "obfuscation": "abc", "latency_checkpoint": { "x": 1 }, "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop", "content_filter_results": { "hate": { "filtered": false } } }] }),
    ];
    let all = events(&Dialect::default(), &chunks, true);
    assert!(!format!("{all:?}").contains("obfuscation"));
    let raws: Vec<_> = all
        .iter()
        .filter_map(|event| if let StreamEvent::Raw { value, .. } = event { Some(value) } else { None })
        .collect();
    assert_eq!(raws, [&json!({ "latency_checkpoint": { "x": 1 } })], "the fingerprint is no news");
    let stream = fold(all);
    assert_eq!(stream.response.extras.get("system_fingerprint"), Some(&json!("fp")));
    let extras = &stream.response.choices[0].extras;
    assert_eq!(extras.get("logprobs"), Some(&logprobs));
    assert_eq!(extras.get("content_filter_results"), Some(&json!({ "hate": { "filtered": false } })));
}

#[test]
fn refusals_sources_pictures_and_sound_are_parts() {
    let stream = folded(&[
        chunk(json!({ "content": "see" })),
        chunk(
            json!({ "annotations": [{ "type": "url_citation", "url_citation": { "url": "https://a", "title": "A", "start_index": 0, "end_index": 3 } }] }),
        ),
        chunk(
            json!({ "images": [{ "type": "image_url", "index": 0, "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=" } }] }),
        ),
        chunk(json!({ "audio": { "id": "au", "transcript": "h" } })),
        chunk(json!({ "audio": { "data": "AQ==", "transcript": "i" } })),
        chunk(json!({ "audio": { "data": "AgM=", "expires_at": 5 } })),
        chunk(json!({ "refusal": "no" })),
        finish("stop"),
    ]);
    let parts = &stream.response.choices[0].parts;
    let Content::Text(said) = &parts[0].content else { panic!("{parts:?}") };
    assert_eq!(
        (said.text.as_str(), said.citations[0].url.as_deref(), said.citations[0].end),
        ("see", Some("https://a"), Some(3))
    );
    assert!(matches!(&parts[1].content, Content::Media(media) if media.media_type.as_deref() == Some("image/png")));
    assert!(matches!(&parts[2].content, Content::Refusal(text) if text == "no"));
    assert!(
        matches!(&parts[3].content, Content::Media(media) if media.source == crate::ir::MediaSource::Base64("AQID".into()))
    );
    assert_eq!(parts[3].extras.get("transcript"), Some(&json!("hi")));
}

#[test]
fn geminis_signature_on_a_call_is_kept() {
    let stream = folded(&[
        call(
            json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": "{}" }, "extra_content": { "google": { "thought_signature": "sig==" } } }),
        ),
        finish("stop"),
    ]);
    let signature = calls(&stream.response)[0].signature.clone().unwrap();
    assert_eq!((signature.format, signature.data.as_str()), (crate::ApiFormat::Gemini, "sig=="));
}

#[test]
fn a_corrupt_delta_costs_neither_counters_nor_finish() {
    let mut decoder = codec().stream_decoder(&Dialect::default());
    let mut out = Vec::new();
    let odd = json!({ "choices": [{ "index": 0, "delta": { "content": { "no": "text" } } }, { "index": 0, "delta": { "content": [1] }, "finish_reason": "stop" }], "usage": { "prompt_tokens": 1 } });
    assert!(decoder.feed(&Frame::data(odd.to_string().as_bytes()), &mut out).is_err());
    decoder.feed(&Frame::data(b"[DONE]"), &mut out).unwrap();
    assert!(out.iter().any(|event| matches!(event, StreamEvent::Usage(_))));
    assert!(out.iter().any(|event| matches!(event, StreamEvent::Finish { .. })));
}

#[test]
fn sources_of_the_envelope_become_citations_of_the_text() {
    let found =
        json!([{ "title": "A", "url": "https://a", "snippet": "s" }, { "url": "https://b" }, { "title": "none" }]);
    let expected = [(Some("https://a".to_owned()), Some("A".to_owned())), (Some("https://b".to_owned()), None)];
    let cited = |response: &ChatResponse| -> Vec<(Option<String>, Option<String>)> {
        let Content::Text(text) = &response.choices[0].parts[0].content else { panic!("{response:?}") };
        text.citations.iter().map(|citation| (citation.url.clone(), citation.title.clone())).collect()
    };
    let piece = |text: &str, end: Option<&str>| json!({ "search_results": found, "citations": ["https://a", "https://b"], "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": end }] });
    assert_eq!(cited(&folded(&[piece("hi", None), piece("!", Some("stop"))]).response), expected);
    let whole = json!({ "citations": ["https://a"], "choices": [{ "message": { "content": "hi" } }] });
    let whole = codec().decode_response(whole.to_string().as_bytes(), &Dialect::default()).unwrap();
    assert_eq!(cited(&whole), [(Some("https://a".to_owned()), None)]);
    // A Chat client sees the host's fields and the annotations, and what it replays is the same again.
    let out = reply(&whole);
    assert_eq!(
        (&out["citations"], &out["choices"][0]["message"]["annotations"][0]["url_citation"]["url"]),
        (&json!(["https://a"]), &json!("https://a"))
    );
    assert_eq!(
        codec().decode_response(out.to_string().as_bytes(), &Dialect::default()).unwrap().choices,
        whole.choices
    );
}

#[test]
fn log_probabilities_of_a_stream_line_up() {
    let piece = |token: &str| json!({ "choices": [{ "index": 0, "delta": { "content": token }, "logprobs": { "content": [{ "token": token }], "refusal": null } }] });
    let stream = folded(&[piece("a"), piece("b"), piece("c"), finish("stop")]);
    let tokens = stream.response.choices[0].extras.get("logprobs").unwrap()["content"].clone();
    assert_eq!(tokens, json!([{ "token": "a" }, { "token": "b" }, { "token": "c" }]));
}
