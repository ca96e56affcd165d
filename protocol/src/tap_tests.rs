use super::*;

fn marker(text: &'static str) -> Vec<Marker> {
    vec![Marker { finder: Finder::new(text), is_member: text.starts_with('"') && text.ends_with('"') }]
}

#[test]
fn a_member_that_is_null_marks_nothing() {
    let usage = marker("\"usage\"");
    for (data, expected) in [
        (r#"{"choices":[],"usage":{"a":1}}"#, true),
        (r#"{"usage" : 7}"#, true),
        (r#"{"usage":null}"#, false),
        ("{\"usage\" :\n null}", false),
        (r#"{"a":{"usage":null},"usage":{}}"#, true),
        (r#"{"content":"the \"usage\" of it"}"#, false),
        // Marked in vain: it costs a look and changes nothing.
        (r#"{"content":"usage"}"#, true),
        (r#"{"usage"#, false),
        (r#"{"usage""#, true),
    ] {
        assert_eq!(is_marked(&usage, &Frame::data(data.as_bytes())), expected, "{data}");
    }
    assert!(is_marked(&marker("[DONE]"), &Frame::data(b"[DONE]")));
    let frame = Frame { event: Some("messageStop"), exception: false, data: b"{}" };
    assert!(is_marked(&marker("messageStop"), &frame));
    assert!(!is_marked(&marker("metadata"), &frame));
    assert!(is_marked(&[], &Frame { exception: true, ..frame }));
}

#[test]
fn case_20_only_the_frame_that_holds_nothing_but_usage_is_left_out() {
    for (data, expected) in [
        (r#"{"id":"a","choices":[],"usage":{"prompt_tokens":1}}"#, true),
        (r#"{"choices":[],"usage":null}"#, false),
        (r#"{"choices":[],"prompt_filter_results":[]}"#, false),
        (r#"{"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}"#, false),
        (r#"{"usage":{"prompt_tokens":1}}"#, false),
        (r#"{"choices":[],"usage":{},"error":{"message":"x"}}"#, false),
        ("[DONE]", false),
    ] {
        assert_eq!(is_usage_alone(data.as_bytes()), expected, "{data}");
    }
}
