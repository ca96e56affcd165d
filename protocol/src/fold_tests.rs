use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::ir::{
    Citation, Finish, FinishReason, Media, MediaKind, MediaSource, Native, Opaque, OpaqueKind, ToolCallKind,
};
use crate::{ApiErrorKind, ApiFormat, laws};

fn word() -> impl Strategy<Value = String> {
    "[a-zé\u{4e2d}\n\"]{0,6}"
}

fn extras() -> impl Strategy<Value = Extras> {
    let fields = proptest::collection::btree_map("[a-c]", "[a-z]{0,3}".prop_map(Value::from), 0..3);
    fields.prop_map(|fields| Extras::new(ApiFormat::Gemini, fields.into_iter().collect::<Map<_, _>>()))
}

fn opaque(kind: OpaqueKind) -> impl Strategy<Value = Opaque> {
    word().prop_map(move |data| Opaque { kind, format: ApiFormat::AnthropicMessages, data })
}

fn citation() -> impl Strategy<Value = Citation> {
    (option::of(word()), option::of(0u64..9), extras()).prop_map(|(url, start, extras)| Citation {
        url,
        start,
        extras,
        ..Citation::default()
    })
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        (word(), vec(citation(), 0..3)).prop_map(|(text, citations)| Content::Text(Text { text, citations })),
        word().prop_map(Content::Refusal),
        (word(), vec(word(), 0..3), option::of(opaque(OpaqueKind::Signature)))
            .prop_map(|(text, summary, opaque)| Content::Reasoning(ReasoningPart { text, summary, opaque })),
        (word(), "[a-z]{1,4}", option::of(word()), any::<bool>(), word(), option::of(opaque(OpaqueKind::Signature)))
            .prop_map(|(id, name, namespace, custom, arguments, signature)| {
                let kind = if custom { ToolCallKind::Custom } else { ToolCallKind::Function };
                // A function call without arguments is `{}` by the contract of the type.
                let arguments = if custom || !arguments.is_empty() { arguments } else { "{}".into() };
                Content::ToolCall(ToolCall { id, name, namespace, kind, arguments, signature })
            }),
        word().prop_map(|url| Content::Media(Media {
            kind: MediaKind::Image,
            source: MediaSource::Url(url),
            media_type: None,
            name: None,
            detail: None,
        })),
        word().prop_map(|kind| Content::Native(Native { format: ApiFormat::Gemini, kind, value: json!({"a": 1}) })),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    (content(), option::of(word()), extras()).prop_map(|(content, item_id, extras)| Part {
        content,
        cache: None,
        item_id,
        extras,
    })
}

fn choice() -> impl Strategy<Value = Choice> {
    (vec(part(), 0..5), option::of(word()), extras()).prop_map(|(parts, native, extras)| Choice {
        parts,
        finish: Some(Finish { reason: FinishReason::Stop, stop_sequence: None, native }),
        extras,
    })
}

fn response() -> impl Strategy<Value = ChatResponse> {
    (
        option::of(word()),
        option::of(word()),
        option::of(any::<u64>()),
        vec(choice(), 0..4),
        option::of(any::<u64>()),
        extras(),
    )
        .prop_map(|(id, model, created, choices, input, extras)| ChatResponse {
            id,
            model,
            created,
            choices,
            usage: input.map(|input| Usage { input: Some(input), ..Usage::default() }),
            extras,
        })
}

proptest! {
    #[test]
    fn an_answer_told_as_a_stream_folds_back_to_itself(response in response()) {
        let events = unfold(response.clone());
        prop_assert_eq!(laws::check(&events), Ok(()));
        let folded = fold(events);
        prop_assert!(folded.complete);
        prop_assert_eq!(folded.error, None);
        prop_assert_eq!(folded.response, response);
    }

    #[test]
    fn how_deltas_are_cut_does_not_matter(text in "[a-z\u{4e2d}]{1,30}", cuts in vec(0usize..30, 0..5)) {
        let whole: Vec<char> = text.chars().collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(whole.len())).chain([0, whole.len()]).collect();
        cuts.sort_unstable();
        for head in [PartHead::Text, PartHead::Refusal, PartHead::Reasoning] {
            let mut events = vec![StreamEvent::PartStart { id: 0, choice: 0, head, item_id: None }];
            events.extend(cuts.windows(2).map(|pair| {
                let delta = Delta::Text(whole[pair[0]..pair[1]].iter().collect());
                StreamEvent::PartDelta { id: 0, delta }
            }));
            let folded = fold(events);
            let said = match &folded.response.choices[0].parts[0].content {
                Content::Text(said) => said.text.clone(),
                Content::Refusal(said) => said.clone(),
                Content::Reasoning(said) => said.text.clone(),
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(&said, &text);
            prop_assert!(!folded.complete);
        }
    }
}

fn call(id: PartId, choice: u32, kind: ToolCallKind) -> StreamEvent {
    let head = PartHead::ToolCall { id: format!("c{id}"), name: "f".into(), namespace: None, kind };
    StreamEvent::PartStart { id, choice, head, item_id: None }
}

fn arguments(id: PartId, text: &str) -> StreamEvent {
    StreamEvent::PartDelta { id, delta: Delta::Arguments(text.into()) }
}

#[test]
fn case_01_arguments_of_interleaved_calls_stay_apart() {
    let folded = fold([
        call(0, 0, ToolCallKind::Function),
        call(1, 0, ToolCallKind::Function),
        arguments(1, "{\"b\""),
        arguments(0, "{\"a\""),
        arguments(1, ":2}"),
        arguments(0, ":1}"),
        StreamEvent::PartEnd { id: 1 },
        StreamEvent::PartEnd { id: 0 },
    ]);
    let said: Vec<_> = folded.response.choices[0].parts.iter().map(|part| part.content.clone()).collect();
    let expected = [("c0", "{\"a\":1}"), ("c1", "{\"b\":2}")];
    for (content, (id, arguments)) in said.into_iter().zip(expected) {
        let Content::ToolCall(call) = content else { panic!("{content:?}") };
        assert_eq!((call.id.as_str(), call.arguments.as_str()), (id, arguments));
    }
}

#[test]
fn a_call_without_arguments_is_an_empty_object_and_free_text_stays_empty() {
    for (kind, expected) in [(ToolCallKind::Function, "{}"), (ToolCallKind::Custom, "")] {
        let folded = fold([call(0, 0, kind), StreamEvent::PartEnd { id: 0 }]);
        let Content::ToolCall(call) = &folded.response.choices[0].parts[0].content else { panic!() };
        assert_eq!(call.arguments, expected);
    }
}

#[test]
fn case_32_counters_are_updated_and_never_added() {
    let usage = |input, output| StreamEvent::Usage(Usage { input, output, ..Usage::default() });
    let folded = fold([usage(Some(100), Some(1)), usage(None, Some(20)), usage(Some(120), None)]);
    let usage = folded.response.usage.unwrap();
    assert_eq!((usage.input, usage.output), (Some(120), Some(20)));
    assert_eq!(fold([]).response.usage, None);
}

#[test]
fn a_stream_without_its_terminal_is_not_complete() {
    let finish = StreamEvent::Finish { choice: 0, finish: Finish::new(FinishReason::Stop) };
    assert!(!fold([finish.clone()]).complete);
    assert!(fold([finish.clone(), StreamEvent::End]).complete);
    let failed = fold([finish, StreamEvent::Error(ApiError::new(ApiErrorKind::Upstream, "no"))]);
    assert!(!failed.complete && failed.error.is_some());
}

#[test]
fn hostile_indices_are_kept_within_bounds() {
    let folded = fold([
        call(0, u32::MAX, ToolCallKind::Function),
        arguments(0, "{\"a\":1}"),
        StreamEvent::PartStart { id: 1, choice: 0, head: PartHead::Reasoning, item_id: None },
        StreamEvent::PartDelta { id: 1, delta: Delta::Summary { index: u32::MAX, text: "s".into() } },
        StreamEvent::PartDelta { id: 9, delta: Delta::Text("nobody's".into()) },
        StreamEvent::Finish { choice: u32::MAX, finish: Finish::new(FinishReason::Stop) },
    ]);
    let choices = &folded.response.choices;
    assert_eq!(choices.len(), LAST_CHOICE + 1);
    let Content::ToolCall(call) = &choices[LAST_CHOICE].parts[0].content else { panic!() };
    assert_eq!(call.arguments, "{\"a\":1}");
    assert!(choices[LAST_CHOICE].finish.is_some());
}
