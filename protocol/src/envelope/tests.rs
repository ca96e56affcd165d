use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn read(body: &str) -> Envelope {
    Envelope::read(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn refusal(body: &str) -> EnvelopeError {
    let error = Envelope::read(Bytes::copy_from_slice(body.as_bytes())).unwrap_err();
    for size in [1, 2, 3, 7] {
        let mut head = Head::new();
        let outcome = body.as_bytes().chunks(size).try_for_each(|chunk| head.feed(chunk));
        assert!(outcome.is_err() || !head.is_whole(), "{body} in pieces of {size}");
        let mut splicer = Splicer::new(Edits::new());
        let mut out = Vec::new();
        let outcome =
            body.as_bytes().chunks(size).try_for_each(|chunk| splicer.feed(&Bytes::copy_from_slice(chunk), &mut out));
        assert_eq!(outcome.and_then(|()| splicer.finish()), Err(error.clone()), "{body} in pieces of {size}");
    }
    error
}

fn whole(edits: &Edits, body: &str) -> String {
    let out = read(body).splice(edits).unwrap();
    let whole = String::from_utf8(out.concat()).unwrap();
    for size in [1, 2, 3, 5, 16, 64] {
        assert_eq!(in_pieces(edits, body.as_bytes(), size).unwrap(), whole.as_bytes(), "{body} in pieces of {size}");
    }
    whole
}

fn in_pieces(edits: &Edits, body: &[u8], size: usize) -> Result<Vec<u8>, EnvelopeError> {
    let mut splicer = Splicer::new(edits.clone());
    let mut out = Vec::new();
    body.chunks(size).try_for_each(|chunk| splicer.feed(&Bytes::copy_from_slice(chunk), &mut out))?;
    splicer.finish()?;
    Ok(out.concat())
}

#[test]
fn top_level_members_are_found_whatever_lies_inside_them() {
    let envelope = read(
        r#" {"messages":[{"role":"user","content":"a \"model\": \"x\", \\"},{"model":"inner"}] , "m\u006fdel" : "g\u00e9-5",
            "stream":true,"stream_options":{"include_usage":false},"max_tokens": 12 ,"n":null,"t":-1.5e3} "#,
    );
    assert_eq!(envelope.model().as_deref(), Some("gé-5"));
    assert_eq!(
        (envelope.stream(), envelope.include_usage(), envelope.max_tokens()),
        (Some(true), Some(false), Some(12))
    );
    assert_eq!(envelope.raw("n"), Some(&b"null"[..]));
    assert_eq!(envelope.raw("t"), Some(&b"-1.5e3"[..]));
    assert!(!envelope.contains("role"));
    assert_eq!(
        envelope.keys().collect::<Vec<_>>(),
        ["messages", "model", "stream", "stream_options", "max_tokens", "n", "t"]
    );
    assert_eq!(read("{}").model(), None);
    assert_eq!(read(r#"{"model":7}"#).model(), None);
}

#[test]
fn a_well_known_key_must_not_come_twice_in_any_spelling() {
    for second in ["model", r"mod\u0065l", r"\u006dodel", r"\u006d\u006f\u0064\u0065\u006c"] {
        assert_eq!(refusal(&format!(r#"{{"model":"a","{second}":"b"}}"#)), EnvelopeError::Duplicate("model".into()));
    }
    assert_eq!(refusal(r#"{"stream":true,"a":1,"stream":false}"#), EnvelopeError::Duplicate("stream".into()));
    assert_eq!(read(r#"{"model":"a","a":{"model":"b"},"x":1,"x":2}"#).model().as_deref(), Some("a"));
}

#[test]
fn broken_bodies_are_refused() {
    for body in ["", " ", "[]", "\"model\"", "7", "null", "\u{feff}{}"] {
        assert_eq!(refusal(body), EnvelopeError::NotAnObject, "{body:?}");
    }
    for body in ["{", r#"{"a"#, r#"{"a":"#, r#"{"a":1"#, r#"{"a":[1,2"#, r#"{"a":"b\"}"#, r#"{"a":{"b":"}"#] {
        assert_eq!(refusal(body), EnvelopeError::Truncated, "{body}");
    }
    for (body, offset) in [
        ("{,}", 1),
        ("{a:1}", 1),
        (r#"{"a" 1}"#, 5),
        (r#"{"a":}"#, 5),
        (r#"{"a":1,}"#, 7),
        (r#"{"a":1 "b":2}"#, 7),
        (r#"{"a":[1}"#, 7),
        (r#"{"a":{"b":1]}"#, 11),
        (r#"{"a":1}{"model":"x"}"#, 7),
        (r#"{"a":1}]"#, 7),
        (r#"{"a":"x"y}"#, 8),
    ] {
        let error = refusal(body);
        assert!(matches!(error, EnvelopeError::Malformed { offset: at, .. } if at == offset), "{body}: {error:?}");
    }
}

#[test]
fn hostile_sizes_are_refused_without_much_work() {
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(600), "]".repeat(600));
    assert!(matches!(refusal(&deep), EnvelopeError::Malformed { what: "nested too deeply", .. }));
    let fine = format!(r#"{{"a":{}{}}}"#, "[".repeat(512), "]".repeat(512));
    assert!(read(&fine).contains("a"));
    let many = format!("{{{}\"z\":1}}", "\"a\":1,".repeat(2000));
    assert_eq!(refusal(&many), EnvelopeError::TooManyMembers);
    let mut edits = Edits::new();
    edits.include_usage();
    let large = format!(r#"{{"stream_options":{{"a":"{}"}}}}"#, "x".repeat(100_000));
    assert!(matches!(in_pieces(&edits, large.as_bytes(), 4096), Err(EnvelopeError::ValueTooLarge(_))));
}

#[test]
fn the_models_name_is_spliced_and_all_other_bytes_stay() {
    let mut edits = Edits::new();
    edits.model("up\"stream");
    for (body, expected) in [
        (r#"{"model":"a"}"#, r#"{"model":"up\"stream"}"#),
        (
            "{\n  \"messages\" : [ 1 ],\n  \"model\" : \"a\\\"b\" ,\n \"x\": 1e5 }\n",
            "{\n  \"messages\" : [ 1 ],\n  \"model\" : \"up\\\"stream\" ,\n \"x\": 1e5 }\n",
        ),
        (r#"{"mod\u0065l":null,"b":2}"#, r#"{"mod\u0065l":"up\"stream","b":2}"#),
        ("{ }", r#"{"model":"up\"stream" }"#),
        (r#"{"b":2 }"#, r#"{"b":2,"model":"up\"stream" }"#),
    ] {
        assert_eq!(whole(&edits, body), expected);
    }
}

#[test]
fn a_large_body_is_not_copied() {
    let body = Bytes::from(format!(r#"{{"messages":["{}"],"model":"a","stream":true}}"#, "x".repeat(1 << 20)));
    let mut edits = Edits::new();
    edits.model("b").include_usage();
    let out = Envelope::read(body.clone()).unwrap().splice(&edits).unwrap();
    assert!(out.len() <= 5, "{} segments", out.len());
    assert_eq!(out[0].as_ptr(), body.as_ptr());
    assert!(out[0].len() > 1 << 20);
    assert_eq!(Envelope::read(body.clone()).unwrap().splice(&Edits::new()).unwrap(), [body]);
}

#[test]
fn case_36_usage_is_asked_for_wherever_a_stream_is_asked_for() {
    let mut edits = Edits::new();
    edits.include_usage();
    for (body, expected) in [
        (r#"{"stream":true}"#, r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
        (r#"{"stream":false,"a":1}"#, r#"{"stream":false,"a":1}"#),
        (r#"{"a":1}"#, r#"{"a":1}"#),
        (r#"{"stream_options":null,"stream":true}"#, r#"{"stream_options":{"include_usage":true},"stream":true}"#),
        (
            r#"{"stream":true,"stream_options": {"x":[1],"include_usage":false} ,"b":1}"#,
            r#"{"stream":true,"stream_options": {"x":[1],"include_usage":true} ,"b":1}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{ "include_usage" : true }}"#,
            r#"{"stream":true,"stream_options":{ "include_usage" : true }}"#,
        ),
        (r#"{"stream":true,"stream_options":"odd"}"#, r#"{"stream":true,"stream_options":"odd"}"#),
    ] {
        assert_eq!(whole(&edits, body), expected);
    }
    edits.remove("stream_options");
    assert_eq!(whole(&edits, r#"{"stream":true,"stream_options":{"x":1}}"#), r#"{"stream":true}"#);
    assert_eq!(whole(&edits, r#"{"stream":true}"#), r#"{"stream":true}"#);
}

#[test]
fn members_are_dropped_renamed_and_given_defaults() {
    let mut edits = Edits::new();
    edits.remove("a").rename("max_tokens", "max_completion_tokens").set_default("t", &json!(1)).set("s", &json!("x"));
    for (body, expected) in [
        (r#"{"a":1}"#, r#"{"t":1,"s":"x"}"#),
        (r#"{"a":1,"b":2,"s":0}"#, r#"{"b":2,"s":"x","t":1}"#),
        (r#"{"b":2 , "a":1 , "c":3,"t":null}"#, r#"{"b":2 , "c":3,"t":null,"s":"x"}"#),
        (r#"{ "a":[1,{"b":"}"}], "c":3,"t":0,"s":""}"#, r#"{ "c":3,"t":0,"s":"x"}"#),
        (r#"{"max_tokens":5,"s":1,"t":2}"#, r#"{"max_completion_tokens":5,"s":"x","t":2}"#),
        (r#"{"max_tokens":5,"max_completion_tokens":6,"s":1,"t":2}"#, r#"{"max_completion_tokens":5,"s":"x","t":2}"#),
        (r#"{"max_completion_tokens":6,"max_tokens":5,"s":1,"t":2}"#, r#"{"max_completion_tokens":6,"s":"x","t":2}"#),
    ] {
        assert_eq!(whole(&edits, body), expected);
    }
    let mut edits = Edits::new();
    edits.rename("max_tokens", "n").set("n", &json!(3)).remove("x").remove("x");
    assert_eq!(whole(&edits, r#"{"max_tokens":5,"n":1,"x":0}"#), r#"{"n":3}"#);
    assert_eq!(read(r#"{"x":1,"x":2}"#).splice(&edits), Err(EnvelopeError::Duplicate("x".into())));
}

#[test]
fn strings_and_numbers_of_any_length_end_where_they_end() {
    for length in 0..80 {
        for filling in ["x", "\\\"", "\\\\", "\u{85}", "{", "]", ","] {
            let text = filling.repeat(length);
            let numbers = vec!["1.5"; length].join(&" ".repeat(length % 11));
            let body = format!(r#"{{"a":["{text}",[{numbers}],{{"b":"{text}"}}],"model":"m"}}"#);
            let envelope = read(&body);
            assert_eq!(envelope.model().as_deref(), Some("m"), "{body}");
            assert_eq!(envelope.keys().count(), 2, "{body}");
        }
    }
}

#[test]
fn a_head_tells_what_is_known_before_the_body_is_whole() {
    let mut head = Head::watching(&["user"]);
    head.feed(br#"{"mod"#).unwrap();
    assert_eq!(head.model(), None);
    head.feed(br#"el":"gp"#).unwrap();
    assert_eq!(head.model(), None);
    head.feed(br#"t","us"#).unwrap();
    assert_eq!(head.model().as_deref(), Some("gpt"));
    head.feed(br#"er":{"a":1},"stream":tru"#).unwrap();
    assert_eq!((head.raw("user"), head.stream()), (Some(&br#"{"a":1}"#[..]), None));
    head.feed(br#"e,"max_output_tokens":9,"stream_options":{"include_usage":true}"#).unwrap();
    assert_eq!((head.stream(), head.max_tokens(), head.include_usage()), (Some(true), Some(9), Some(true)));
    assert!(!head.is_whole());
    head.feed(b"}").unwrap();
    assert!(head.is_whole());
}

#[test]
fn a_value_too_long_to_keep_reads_as_unknown() {
    for tail in ["x", "\\\""] {
        let mut head = Head::new();
        head.feed(format!(r#"{{"model":"{}"}}"#, tail.repeat(20_000)).as_bytes()).unwrap();
        assert!(head.is_whole());
        assert_eq!(head.model(), None);
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z\"\\\\{}\\[\\],:\n\u{85}é\u{1f600}]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z\"\\\\]{0,4}", inner), 0..4)
                .prop_map(|fields| fields.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    let key = prop_oneof![
        Just("model".to_owned()),
        Just("stream".to_owned()),
        Just("a".to_owned()),
        Just("b".to_owned()),
        "[a-z\"\\\\é]{0,5}",
    ];
    prop::collection::vec((key, value()), 0..6).prop_map(|fields| fields.into_iter().collect())
}

#[test]
fn a_backslash_in_a_key_is_told_from_an_escape() {
    let envelope = read(r#"{"\\\\":1,"\\":2}"#);
    assert_eq!(envelope.raw("\\\\"), Some(&b"1"[..]));
    assert_eq!(envelope.raw("\\"), Some(&b"2"[..]));
}

proptest! {
    #[test]
    fn any_object_is_seen_as_serde_sees_it(object in object(), pretty in any::<bool>(), size in 1usize..40) {
        let value = Value::Object(object.clone());
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let envelope = read(&body);
        prop_assert_eq!(envelope.keys().collect::<Vec<_>>(), object.keys().map(String::as_str).collect::<Vec<_>>());
        let mut head = Head::watching(&["a", "b"]);
        for chunk in body.as_bytes().chunks(size) {
            head.feed(chunk).unwrap();
        }
        for (key, expected) in &object {
            let seen: Value = serde_json::from_slice(envelope.raw(key).unwrap()).unwrap();
            prop_assert_eq!(&seen, expected);
            if ["model", "stream", "a", "b"].contains(&key.as_str()) {
                prop_assert_eq!(head.raw(key), envelope.raw(key));
            }
        }
    }

    #[test]
    fn edits_do_to_bytes_what_they_would_do_to_the_tree(object in object(), pretty in any::<bool>(), size in 1usize..40) {
        let mut edits = Edits::new();
        edits.model("new").remove("a").rename("b", "c").set_default("d", &json!([1]));
        let value = Value::Object(object.clone());
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let edited = whole(&edits, &body);
        prop_assert_eq!(in_pieces(&edits, body.as_bytes(), size).unwrap(), edited.as_bytes());
        let mut expected = Map::new();
        for (key, value) in object {
            match key.as_str() {
                "a" => {}
                "model" => drop(expected.insert(key, json!("new"))),
                "b" | "c" => drop(expected.entry("c").or_insert(value)),
                _ => drop(expected.insert(key, value)),
            }
        }
        expected.entry("model").or_insert(json!("new"));
        expected.entry("d").or_insert(json!([1]));
        let edited: Map<String, Value> = serde_json::from_str(&edited).unwrap();
        prop_assert_eq!(Value::Object(edited), Value::Object(expected));
    }

    #[test]
    fn any_bytes_are_judged_alike_whole_and_in_pieces(
        tokens in prop::collection::vec(prop_oneof![
            Just("{"), Just("}"), Just("["), Just("]"), Just("\""), Just("\\"), Just(","), Just(":"), Just(" "),
            Just("\"model\""), Just("\"a\":1"), Just("true"), Just("x"), Just("\u{1f600}"),
        ], 0..30),
        size in 1usize..8,
    ) {
        let body = tokens.concat();
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        let judged = Envelope::read(bytes.clone());
        let mut edits = Edits::new();
        edits.model("m");
        let pieces = in_pieces(&edits, &bytes, size);
        prop_assert_eq!(pieces, judged.clone().and_then(|envelope| envelope.splice(&edits)).map(|out| out.concat()));
        // What serde takes, we take, but for duplicates.
        if let Ok(Value::Object(_)) = serde_json::from_str(&body) {
            prop_assert!(matches!(judged, Ok(_) | Err(EnvelopeError::Duplicate(_))), "{:?}", judged);
        }
    }
}
