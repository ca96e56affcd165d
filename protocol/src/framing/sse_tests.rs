use proptest::prelude::*;

use super::*;

type Event = (Option<String>, Vec<u8>);

fn read(chunks: &[&[u8]]) -> Vec<Event> {
    let owned = |frame: Frame<'_>| (frame.event.map(str::to_owned), frame.data.to_vec());
    let mut reader = SseReader::new();
    let mut events = Vec::new();
    for chunk in chunks {
        let mut input = *chunk;
        while let Some(frame) = reader.next(&mut input).unwrap() {
            events.push(owned(frame));
        }
        assert!(input.is_empty());
    }
    events.extend(reader.finish().unwrap().map(owned));
    assert_eq!(reader.finish().unwrap(), None);
    events
}

fn event(name: &str, data: &str) -> Event {
    ((!name.is_empty()).then(|| name.to_owned()), data.as_bytes().to_vec())
}

/// What must be understood, with what it means.
fn table() -> Vec<(&'static str, Vec<Event>)> {
    vec![
        ("", vec![]),
        ("\n\n\n", vec![]),
        ("data: a\n\n", vec![event("", "a")]),
        ("data:a\n\n", vec![event("", "a")]),
        ("data:  a\n\n", vec![event("", " a")]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", vec![event("", "a"), event("", "b")]),
        ("data: a\r\rdata: b\r\r", vec![event("", "a"), event("", "b")]),
        ("data: a\n\r\ndata: b\r\n\n", vec![event("", "a"), event("", "b")]),
        ("event: x\ndata: a\n\n", vec![event("x", "a")]),
        ("data: a\nevent:x\n\n", vec![event("x", "a")]),
        ("event: x\nevent: y\ndata: a\n\ndata: b\n\n", vec![event("y", "a"), event("", "b")]),
        ("data: a\ndata: b\ndata:\ndata: c\n\n", vec![event("", "a\nb\n\nc")]),
        ("data\ndata: a\n\n", vec![event("", "\na")]),
        (": comment\n\n:\n\ndata: a\n: in between\n\n", vec![event("", "a")]),
        ("id: 7\nretry: 10\ndatax: no\ndata: a\n\n", vec![event("", "a")]),
        ("event: ping\n\ndata: a\n\n", vec![event("", "a")]),
        ("data:\n\nevent: x\ndata: \n\ndata: a\n\n", vec![event("", "a")]),
        ("\u{feff}data: a\n\n", vec![event("", "a")]),
        ("\u{feff}\ndata: a\n\n", vec![event("", "a")]),
        ("data: \u{feff}\n\n\u{feff}data: b\n\n", vec![event("", "\u{feff}")]),
        ("data: a\n\ndata: b", vec![event("", "a"), event("", "b")]),
        ("data: a\n\nevent: x\ndata: b\n", vec![event("", "a"), event("x", "b")]),
        ("data: a\n\nevent: end\n", vec![event("", "a")]),
        ("data: \u{85}\u{2028}é\u{1f600}\n\n", vec![event("", "\u{85}\u{2028}é\u{1f600}")]),
        ("\n\r\n: keep-alive\r\n\r\ndata: [DONE]\r\n\r\n", vec![event("", "[DONE]")]),
    ]
}

#[test]
fn case_13_events_are_the_same_at_every_split() {
    for (text, expected) in table() {
        let bytes = text.as_bytes();
        assert_eq!(read(&[bytes]), expected, "{text:?}");
        assert_eq!(read(&bytes.chunks(1).collect::<Vec<_>>()), expected, "{text:?} byte by byte");
        for first in 0..=bytes.len() {
            let (left, rest) = bytes.split_at(first);
            assert_eq!(read(&[left, rest]), expected, "{text:?} cut at {first}");
            for second in 0..=rest.len() {
                let (middle, right) = rest.split_at(second);
                assert_eq!(read(&[left, middle, right]), expected, "{text:?} cut at {first} and {second} more");
            }
        }
    }
}

#[test]
fn case_13_a_lone_0x85_byte_ends_no_line() {
    let bytes = b"data: a\x85b\n\ndata: \x85\n\n";
    for size in 1..bytes.len() {
        assert_eq!(
            read(&bytes.chunks(size).collect::<Vec<_>>()),
            [(None, b"a\x85b".to_vec()), (None, b"\x85".to_vec())]
        );
    }
}

#[test]
fn whole_events_are_borrowed_from_the_input() {
    let bytes = b"event: x\ndata: payload\n\n";
    let mut input = &bytes[..];
    let mut reader = SseReader::new();
    let frame = reader.next(&mut input).unwrap().unwrap();
    assert!(bytes.as_ptr_range().contains(&frame.data.as_ptr()));
    assert!(bytes.as_ptr_range().contains(&frame.event.unwrap().as_ptr()));
}

#[test]
fn input_is_used_up_to_the_end_of_the_event() {
    let mut input = &b"data: a\n\ndata: b\n\nda"[..];
    let mut reader = SseReader::new();
    assert!(reader.next(&mut input).unwrap().is_some());
    assert_eq!(input, b"data: b\n\nda");
    assert!(reader.next(&mut input).unwrap().is_some());
    assert_eq!(input, b"da");
    assert!(reader.next(&mut input).unwrap().is_none());
    assert_eq!(input, b"");
}

#[test]
fn an_event_beyond_the_cap_is_refused_at_any_split() {
    let one_line = b"data: 0123456789\n\n".to_vec();
    let many_lines = b"data: 0123\ndata: 4567\ndata: 89\n\n".to_vec();
    let no_end = b"data: 0123456789".to_vec();
    for bytes in [one_line, many_lines, no_end.repeat(3)] {
        for size in 1..=bytes.len() {
            let mut reader = SseReader::with_limit(8);
            let outcome = bytes.chunks(size).try_for_each(|chunk| {
                let mut input = chunk;
                while reader.next(&mut input)?.is_some() {}
                Ok(())
            });
            assert_eq!(outcome, Err(FramingError::TooLarge { limit: 8 }), "chunks of {size}");
        }
    }
}

#[test]
fn what_is_written_has_one_space_and_ends_with_a_blank_line() {
    let mut out = Vec::new();
    write_event(&mut out, Some("message_stop"), b"{}");
    write_event(&mut out, None, b"[DONE]");
    write_comment(&mut out, "keep-alive");
    assert_eq!(out, b"event: message_stop\ndata: {}\n\ndata: [DONE]\n\n: keep-alive\n\n");
    let mut json = Vec::new();
    write_json(&mut json, Some("x"), &serde_json::json!({"a": "l1\nl2"})).unwrap();
    assert_eq!(json, b"event: x\ndata: {\"a\":\"l1\\nl2\"}\n\n");
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        events in prop::collection::vec((prop::option::of("[a-z._]{1,12}"), "[^\r]{1,40}"), 0..8),
        size in 1usize..40,
    ) {
        let mut out = Vec::new();
        for (name, data) in &events {
            write_event(&mut out, name.as_deref(), data.as_bytes());
        }
        let expected: Vec<Event> = events.into_iter().map(|(name, data)| (name, data.into_bytes())).collect();
        prop_assert_eq!(read(&out.chunks(size).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn any_bytes_give_the_same_events_at_any_split(
        bytes in prop::collection::vec(prop_oneof![
            Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), Just(b'd'), any::<u8>(),
        ], 0..200),
        cut in 0usize..200,
    ) {
        let text: Vec<u8> = bytes.iter().flat_map(|byte| if *byte == b'd' { b"data".to_vec() } else { vec![*byte] }).collect();
        let (left, right) = text.split_at(cut.min(text.len()));
        prop_assert_eq!(read(&[left, right]), read(&[&text]));
    }
}
