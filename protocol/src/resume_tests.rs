use super::*;
use crate::drive::{DriveState, StreamDriver};
use crate::fold::fold;
use crate::ir::{Extras, Finish, FinishReason, ToolCallKind};
use crate::laws;
use crate::lower::NameMap;
use crate::{ApiErrorKind, ReplyContext};

fn start() -> StreamEvent {
    StreamEvent::Start { id: Some("a".into()), model: None, created: None, extras: Extras::NONE }
}

fn part(id: PartId, head: PartHead) -> StreamEvent {
    StreamEvent::PartStart { id, choice: 0, head, item_id: None }
}

fn text(id: PartId, text: &str) -> StreamEvent {
    StreamEvent::PartDelta { id, delta: Delta::Text(text.into()) }
}

fn finish() -> StreamEvent {
    StreamEvent::Finish { choice: 0, finish: Finish::new(FinishReason::Stop) }
}

fn said(events: &[StreamEvent]) -> Said {
    let mut said = Said::default();
    events.iter().for_each(|event| said.note(event));
    said
}

/// What the client has in the end: its events before, and those of the continuation behind them.
fn joined(before: &[StreamEvent], after: Vec<StreamEvent>, repeats: bool) -> (String, Vec<StreamEvent>) {
    let known = said(before);
    let mut splice = Splice::new(&known, Usage::default(), repeats);
    let mut all = before.to_vec();
    after.into_iter().for_each(|event| splice.event(event, &mut all));
    assert_eq!(laws::check(&all), Ok(()), "{all:?}");
    let folded = fold(all.clone());
    assert!(folded.complete);
    let choice = folded.response.choices.into_iter().next().expect("an answer");
    (choice.parts.iter().filter_map(|part| part.as_text()).collect(), all)
}

fn whole(pieces: &[&str]) -> Vec<StreamEvent> {
    let mut events = vec![start(), part(0, PartHead::Text)];
    events.extend(pieces.iter().map(|piece| text(0, piece)));
    events.extend([StreamEvent::PartEnd { id: 0 }, finish(), StreamEvent::End]);
    events
}

#[test]
fn whitespace_at_the_seam_comes_once_and_repeated_text_too() {
    let long = "one two three four five six seven ";
    let cases: [(&str, &[&str], bool, &str); 12] = [
        ("alpha ", &["bravo"], false, "alpha bravo"),
        ("alpha ", &[" bravo"], false, "alpha bravo"),
        ("alpha ", &[" ", " bravo"], false, "alpha  bravo"),
        ("alpha", &[" bravo"], false, "alpha bravo"),
        ("alpha\n\n", &["\n", "\n", "bravo"], false, "alpha\n\nbravo"),
        ("alpha\n\n", &["\n", "bravo"], false, "alpha\n\nbravo"),
        ("alpha ", &["\nbravo"], false, "alpha \nbravo"),
        ("ha ", &["ha", " ha"], false, "ha ha ha"),
        ("al", &["alpha"], true, "alpha"),
        (long, &["one two three", " four five six seven", " eight"], false, "one two three four five six seven eight"),
        (long, &["one two", " more"], false, "one two three four five six seven one two more"),
        (long, &["one two"], false, "one two three four five six seven one two"),
    ];
    for (before, after, repeats, expected) in cases {
        let (got, _) = joined(&[start(), part(0, PartHead::Text), text(0, before)], whole(after), repeats);
        assert_eq!(got, expected, "{before:?} {after:?}");
    }
}

#[test]
fn one_text_one_end_and_the_counters_of_both() {
    let before = [start(), part(0, PartHead::Text), text(0, "alpha ")];
    let used = Usage { input: Some(10), output: Some(2), cache_read: Some(4), ..Usage::default() };
    let mut splice = Splice::new(&said(&before), used, false);
    let mut all = Vec::new();
    let usage = StreamEvent::Usage(Usage { input: Some(13), output: Some(5), ..Usage::default() });
    let mut after = vec![start(), part(0, PartHead::Reasoning), text(0, "hm"), StreamEvent::PartEnd { id: 0 }];
    after.extend([part(1, PartHead::Text), text(1, "bravo"), StreamEvent::PartEnd { id: 1 }]);
    let call = PartHead::ToolCall { id: "c".into(), name: "f".into(), namespace: None, kind: ToolCallKind::Function };
    after.extend([part(2, call), StreamEvent::PartEnd { id: 2 }, finish(), usage, StreamEvent::End]);
    after.into_iter().for_each(|event| splice.event(event, &mut all));
    assert_eq!(all.iter().filter(|event| matches!(event, StreamEvent::PartStart { .. })).count(), 1, "{all:?}");
    assert_eq!(all.first(), Some(&text(0, "bravo")));
    let told = all.iter().find_map(|event| match event {
        StreamEvent::Usage(usage) => Some((usage.input, usage.output, usage.cache_read)),
        _ => None,
    });
    assert_eq!(told, Some((Some(23), Some(7), Some(4))));
    let all = [before.to_vec(), all].concat();
    assert_eq!(laws::check(&all), Ok(()), "{all:?}");
}

#[test]
fn a_text_that_was_ended_and_an_end_without_more_keep_the_grammar() {
    let ended = [start(), part(0, PartHead::Text), text(0, "alpha. "), StreamEvent::PartEnd { id: 0 }];
    assert_eq!(joined(&ended, whole(&["Bravo"]), false).0, "alpha. Bravo");
    let open = [start(), part(0, PartHead::Text), text(0, "alpha")];
    assert_eq!(joined(&open, vec![start(), finish(), StreamEvent::End], false).0, "alpha");
}

#[test]
fn only_plain_text_can_be_gone_on_with() {
    let call = PartHead::ToolCall { id: "c".into(), name: "f".into(), namespace: None, kind: ToolCallKind::Function };
    let begun = |head: PartHead| said(&[start(), part(0, PartHead::Text), text(0, "a"), part(1, head)]);
    assert!(begun(PartHead::Text).text().is_ok());
    for head in [call, PartHead::Reasoning, PartHead::Refusal] {
        assert!(begun(head).text().is_err());
    }
    let second = StreamEvent::PartStart { id: 1, choice: 1, head: PartHead::Text, item_id: None };
    assert!(said(&[part(0, PartHead::Text), text(0, "a"), second]).text().is_err());
    assert!(said(&whole(&["a"])).text().is_err());
    assert!(said(&[start(), part(0, PartHead::Text), text(0, " \n")]).text().is_err());
}

fn sse(text: &str) -> String {
    format!("data: {{\"id\":\"x\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

#[test]
fn a_driver_goes_on_where_another_way_of_writing_stopped_and_a_failing_one_leaves_no_trace() {
    for client in ApiFormat::ALL {
        let mut listener = Listener::new(ApiFormat::OpenaiChat, &Dialect::default());
        listener.feed(sse("alpha ").as_bytes());
        let context = ReplyContext { model: "m".into(), id: "1".into(), ..ReplyContext::default() };
        let mut driver = StreamDriver::after(listener.said().clone(), client, context);
        let mut out = Vec::new();
        let before = || Usage { input: Some(1), output: Some(1), ..Usage::default() };
        let chat = ApiFormat::OpenaiChat;
        driver.go_on(chat, &Dialect::default(), NameMap::default(), before());
        driver
            .feed(b"data: {\"id\":\"y\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n", &mut out);
        driver.finish(&mut out);
        assert!(out.is_empty() && driver.error().is_some_and(|error| error.kind == ApiErrorKind::Upstream), "{client}");
        driver.go_on(chat, &Dialect::default(), NameMap::default(), before());
        driver.feed(sse(" bravo").as_bytes(), &mut out);
        let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        driver.feed(end.as_bytes(), &mut out);
        assert_eq!(driver.state(), DriveState::Ended, "{client}");
        let wrote = String::from_utf8_lossy(&out);
        assert!(wrote.contains("bravo"), "{client}: {wrote}");
        assert!(!wrote.contains(" bravo\"") || wrote.contains("alpha bravo"), "{client}: {wrote}");
        for again in ["message_start", "response.created", "content_block_start"] {
            assert!(!wrote.contains(again), "{client}: {wrote}");
        }
    }
}
