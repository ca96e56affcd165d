//! Whole answers, counters and model lists.

use serde_json::{Value, json};

use super::*;
use crate::envelope::Envelope;
use crate::ir::{Choice, Finish, FinishReason, ModelInfo, Part, Usage};

fn counted(usage: Value, dialect: &Dialect) -> Usage {
    let body = json!({ "choices": [], "usage": usage }).to_string();
    let found = usage_of(&body, dialect).unwrap();
    assert_eq!(codec().decode_response(body.as_bytes(), dialect).unwrap().usage.unwrap(), found);
    found
}

fn plain(usage: Value) -> Usage {
    counted(usage, &Dialect::default())
}

/// The counters of a whole answer.
fn usage_of(body: &str, dialect: &Dialect) -> Option<Usage> {
    codec().decode_usage(&Envelope::look(body.to_owned().into()).unwrap(), dialect)
}

#[test]
fn an_answer_has_openais_shape() {
    let response = ChatResponse {
        choices: vec![Choice {
            parts: vec![Part::text("hi")],
            finish: Some(Finish::new(FinishReason::Stop)),
            ..Choice::default()
        }],
        ..ChatResponse::default()
    };
    let expected = json!({ "id": "chatcmpl-feed", "object": "chat.completion", "created": 9, "model": "asked-for",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "hi" }, "finish_reason": "stop" }] });
    assert_eq!(reply(&response), expected, "and no usage that nobody knows");
}

#[test]
fn finish_words_of_hosts_and_of_chat() {
    for (word, native, reason, written) in [
        ("stop", None, FinishReason::Stop, "stop"),
        ("length", None, FinishReason::Length, "length"),
        ("function_call", None, FinishReason::ToolCalls, "tool_calls"),
        ("content_filter", None, FinishReason::ContentFilter, "content_filter"),
        ("sensitive", None, FinishReason::ContentFilter, "content_filter"),
        ("model_length", None, FinishReason::ContextLength, "length"),
        ("insufficient_system_resource", None, FinishReason::Error, "error"),
        ("network_error", None, FinishReason::Error, "error"),
        ("eos", None, FinishReason::Stop, "stop"),
        ("stop", Some("stop_sequence"), FinishReason::StopSequence, "stop"),
        ("length", Some("MAX_TOKENS"), FinishReason::Length, "length"),
        ("content_filter", Some("refusal"), FinishReason::Refusal, "content_filter"),
        ("novelty", None, FinishReason::Other("novelty".into()), "novelty"),
    ] {
        let body = json!({ "choices": [{ "message": { "content": "x" }, "finish_reason": word, "native_finish_reason": native }] });
        let response = codec().decode_response(body.to_string().as_bytes(), &Dialect::default()).unwrap();
        assert_eq!(response.choices[0].finish.as_ref().unwrap().reason, reason, "{word}");
        let out = reply(&response);
        assert_eq!(out["choices"][0]["finish_reason"], written);
        let again = codec().decode_response(out.to_string().as_bytes(), &Dialect::default()).unwrap();
        assert_eq!(again.choices[0].finish, response.choices[0].finish, "{word}");
    }
    let foreign = Choice { finish: Some(Finish::new(FinishReason::Other("UNEXPECTED".into()))), ..Choice::default() };
    let out = reply(&ChatResponse { choices: vec![foreign], ..ChatResponse::default() });
    assert_eq!(out["choices"][0]["finish_reason"], "stop");
}

#[test]
fn the_sequence_that_matched_is_known_where_the_host_tells() {
    let body = json!({ "choices": [{ "message": { "content": "x" }, "finish_reason": "stop", "stop_reason": "END" }] });
    let finish = codec().decode_response(body.to_string().as_bytes(), &Dialect::default()).unwrap().choices[0]
        .finish
        .clone()
        .unwrap();
    assert_eq!((finish.reason, finish.stop_sequence.as_deref()), (FinishReason::StopSequence, Some("END")));
}

#[test]
fn cached_tokens_are_found_wherever_they_hide() {
    let base = json!({ "prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11 });
    for (path, extra) in [
        ("OpenAI", json!({ "prompt_tokens_details": { "cached_tokens": 4 } })),
        ("DeepSeek", json!({ "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6 })),
        ("Moonshot", json!({ "cached_tokens": 4 })),
        ("Mistral", json!({ "num_cached_tokens": 4 })),
        ("LiteLLM", json!({ "cache_read_input_tokens": 4 })),
    ] {
        let mut usage = base.clone();
        usage.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let found = plain(usage);
        assert_eq!((found.input, found.cache_read, found.uncached_input()), (Some(10), Some(4), Some(6)), "{path}");
    }
    let written = plain(
        json!({ "prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": { "cached_tokens": 2, "cache_write_tokens": 3 } }),
    );
    assert_eq!((written.cache_write, written.uncached_input()), (Some(3), Some(5)));
    let beside = counted(
        json!({ "prompt_tokens": 10, "completion_tokens": 1, "cache_read_input_tokens": 4 }),
        &Dialect { cache_beside_input: true, ..Dialect::default() },
    );
    assert_eq!((beside.input, beside.uncached_input()), (Some(14), Some(10)));
}

#[test]
fn case_34_more_cached_than_read_never_goes_below_zero() {
    let odd =
        plain(json!({ "prompt_tokens": 7, "completion_tokens": 1, "prompt_tokens_details": { "cached_tokens": 163 } }));
    assert_eq!((odd.input, odd.cache_read, odd.uncached_input()), (Some(7), Some(163), Some(0)));
}

#[test]
fn reasoning_beside_the_output_is_added_once() {
    let grok = json!({ "prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 17, "completion_tokens_details": { "reasoning_tokens": 5 } });
    for dialect in [Dialect::default(), Dialect { reasoning_beside_output: true, ..Dialect::default() }] {
        let found = counted(grok.clone(), &dialect);
        assert_eq!((found.output, found.reasoning, found.total()), (Some(7), Some(5), Some(17)));
        let again = plain(reply(&ChatResponse { usage: Some(found), ..ChatResponse::default() })["usage"].clone());
        assert_eq!((again.output, again.reasoning), (Some(7), Some(5)), "in OpenAI's convention for the client");
    }
    let inside = json!({ "prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17, "completion_tokens_details": { "reasoning_tokens": 5 } });
    assert_eq!(plain(inside).output, Some(7));
    let gemini = plain(json!({ "prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 17 }));
    assert_eq!(gemini.output, Some(7));
    let more = plain(
        json!({ "prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, "completion_tokens_details": { "reasoning_tokens": 9 } }),
    );
    assert_eq!(more.output, Some(2), "never subtracted, never added without a reason");
}

#[test]
fn case_37_unknown_is_not_zero_and_zero_is_not_unknown() {
    let some = plain(
        json!({ "prompt_tokens": 0, "completion_tokens": null, "prompt_tokens_details": { "cached_tokens": 0 } }),
    );
    assert_eq!((some.input, some.output, some.cache_read, some.reasoning), (Some(0), None, Some(0), None));
    let body = json!({ "choices": [], "usage": null }).to_string();
    assert_eq!(usage_of(&body, &Dialect::default()), None);
}

#[test]
fn money_is_read_in_every_unit() {
    let cost = |usage: Value| plain(usage).cost_usd;
    assert_eq!(cost(json!({ "cost": 0.00012 })).as_deref(), Some("0.00012"));
    assert_eq!(cost(json!({ "cost": "0.00012" })).as_deref(), Some("0.00012"));
    assert_eq!(cost(json!({ "cost": { "total_cost": 0.005 } })).as_deref(), Some("0.005"));
    assert_eq!(cost(json!({ "cost_in_usd_ticks": 12_345_000_000u64 })).as_deref(), Some("1.2345"));
    assert_eq!(cost(json!({ "cost_in_usd_ticks": 10_000_000_000u64 })).as_deref(), Some("1"));
    assert_eq!(cost(json!({ "prompt_tokens": 1 })), None);
}

#[test]
fn tiers_are_kept_with_the_counters() {
    let body = json!({ "choices": [], "service_tier": "priority", "usage": { "prompt_tokens": 1 } }).to_string();
    assert_eq!(usage_of(&body, &Dialect::default()).unwrap().service_tier.as_deref(), Some("priority"));
}

#[test]
fn an_answer_that_is_none_is_refused() {
    for body in ["{}", "[]", "{\"error\":{\"message\":\"x\"}}", "{\"choices\":1}", "{\"choices\":[1]}", ""] {
        assert!(codec().decode_response(body.as_bytes(), &Dialect::default()).is_err(), "{body}");
    }
    let wild = codec()
        .decode_response(br#"{"choices":[{"index":4000000000,"message":{"content":"x"}}]}"#, &Dialect::default())
        .unwrap();
    assert_eq!(wild.choices.len(), 1, "a hostile index allocates nothing");
}

#[test]
fn model_lists_are_read_in_all_shapes() {
    let expected = |context| ModelInfo {
        id: "a".into(),
        owned_by: Some("o".into()),
        created: Some(5),
        context,
        ..ModelInfo::default()
    };
    for (body, context) in [
        (json!({ "object": "list", "data": [{ "id": "a", "created": 5, "owned_by": "o" }] }), None),
        (json!([{ "id": "a", "created": 5, "organization": "o", "context_length": 9 }]), Some(9)),
        (json!({ "data": [{ "id": "a", "name": "a", "created": 5, "owned_by": "o", "max_model_len": 9 }] }), Some(9)),
        (
            json!({ "data": [{ "id": "a", "created": 5, "owned_by": "o", "meta": { "n_ctx_train": 9 } }, { "no": "id" }] }),
            Some(9),
        ),
    ] {
        assert_eq!(codec().decode_models(body.to_string().as_bytes()).unwrap(), [expected(context)], "{body}");
    }
    assert!(codec().decode_models(b"{}").is_err());
    let list = [ModelInfo { display_name: Some("A".into()), max_output: Some(3), ..expected(Some(9)) }];
    assert_eq!(codec().decode_models(&codec().encode_models(&list)).unwrap(), list);
}
