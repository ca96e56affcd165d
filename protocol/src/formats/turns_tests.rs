use super::*;
use crate::ir::{ToolCall, ToolCallKind};

const FORMAT: ApiFormat = ApiFormat::AnthropicMessages;

fn call(id: &str, name: &str) -> Part {
    Part::new(Content::ToolCall(ToolCall {
        id: id.into(),
        name: name.into(),
        namespace: None,
        kind: ToolCallKind::Function,
        arguments: "{}".into(),
        signature: None,
    }))
}

fn result(id: &str, name: Option<&str>) -> Part {
    Part::new(Content::ToolResult(ToolResult {
        call_id: id.into(),
        name: name.map(Into::into),
        kind: ToolCallKind::Function,
        content: vec![],
        is_error: None,
    }))
}

fn request(messages: Vec<Message>) -> ChatRequest {
    ChatRequest { messages, ..ChatRequest::default() }
}

/// The conversation as one word a piece, turns between bars.
fn shape(messages: Vec<Message>, fold_system: bool) -> (String, Vec<Loss>) {
    let request = request(messages);
    let mut losses = Vec::new();
    let rules = Rules { format: FORMAT, fold_system, id_limit: 64, refuses: &|_, _| None };
    let arranged = arrange(&request, &rules, &mut losses).unwrap();
    let word = |piece: &Piece<'_>| match &piece.part.content {
        Content::Text(text) => text.text.clone(),
        Content::ToolCall(_) => format!("call:{}", piece.call_id),
        Content::ToolResult(_) => format!("result:{}", piece.call_id),
        _ => "?".into(),
    };
    let words = |pieces: &[Piece<'_>]| pieces.iter().map(word).collect::<Vec<_>>().join(" ");
    let mut shape = format!("[{}]", words(&arranged.system));
    for turn in &arranged.turns {
        let speaker = match turn.speaker {
            Speaker::User => 'U',
            Speaker::Assistant => 'A',
            Speaker::System => 'S',
        };
        shape.push_str(&format!(" {speaker}({})", words(&turn.pieces)));
    }
    (shape, losses)
}

fn say(role: Role, text: &str) -> Message {
    Message::text(role, text)
}

#[test]
fn results_of_parallel_calls_are_merged_before_the_text() {
    let (shape, losses) = shape(
        vec![
            say(Role::User, "go"),
            Message::new(Role::Assistant, vec![call("a", "x"), call("b", "x")]),
            Message::new(Role::Tool, vec![result("a", None)]),
            say(Role::User, "and"),
            Message::new(Role::Tool, vec![result("b", None)]),
        ],
        false,
    );
    assert_eq!(shape, "[] U(go) A(call:a call:b) U(result:a result:b and)");
    assert!(losses.is_empty());
}

#[test]
fn the_leading_operator_run_is_hoisted_and_later_ones_stay_inline() {
    let messages = || {
        vec![
            say(Role::System, "s1"),
            say(Role::Developer, "s2"),
            say(Role::User, "u"),
            say(Role::System, "s3"),
            say(Role::Developer, "s4"),
            say(Role::Assistant, "a"),
        ]
    };
    assert_eq!(shape(messages(), false).0, "[s1 s2] U(u) S(s3 s4) A(a)");
    let (folded, losses) = shape(messages(), true);
    let reminder = |text: &str| format!("<system-reminder>\n{text}\n</system-reminder>");
    assert_eq!(folded, format!("[s1 s2] U(u {} {}) A(a)", reminder("s3"), reminder("s4")));
    assert_eq!(losses.len(), 2);
}

#[test]
fn an_operator_message_between_calls_and_results_goes_after_the_results() {
    let (shape, _) = shape(
        vec![
            say(Role::User, "u"),
            Message::new(Role::Assistant, vec![call("a", "x")]),
            say(Role::System, "s"),
            Message::new(Role::Tool, vec![result("a", None)]),
        ],
        false,
    );
    assert_eq!(shape, "[] U(u) A(call:a) U(result:a) S(s)");
}

#[test]
fn blank_text_is_left_out_and_its_cache_mark_moves_back() {
    let mut blank = Part::text(" \n");
    blank.cache = Some(CacheMark { ttl: Some("1h".into()) });
    let request = request(vec![
        Message::new(Role::User, vec![Part::text("u"), blank]),
        say(Role::Assistant, ""),
        say(Role::User, "v"),
    ]);
    let rules = Rules { format: FORMAT, fold_system: false, id_limit: 64, refuses: &|_, _| None };
    let arranged = arrange(&request, &rules, &mut Vec::new()).unwrap();
    assert_eq!(arranged.turns.len(), 1);
    let pieces = &arranged.turns[0].pieces;
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[0].part.cache, Some(CacheMark { ttl: Some("1h".into()) }));
}

#[test]
fn a_final_assistant_text_does_not_end_in_white_space() {
    let (shape, _) = shape(vec![say(Role::User, "u"), say(Role::Assistant, "a \n")], false);
    assert_eq!(shape, "[] U(u) A(a)");
}

#[test]
fn the_user_speaks_first_and_an_operator_alone_becomes_the_user() {
    let (with_assistant, losses) = shape(vec![say(Role::Assistant, "hi"), say(Role::User, "u")], false);
    assert_eq!(with_assistant, format!("[] U({PLACEHOLDER}) A(hi) U(u)"));
    assert_eq!(losses.len(), 1);
    let (operator_only, losses) = shape(vec![say(Role::System, "a"), say(Role::System, "b")], false);
    assert_eq!(operator_only, "[a] U(b)");
    assert_eq!(losses.len(), 1);
    let empty = request(vec![]);
    let rules = Rules { format: FORMAT, fold_system: false, id_limit: 64, refuses: &|_, _| None };
    assert_eq!(arrange(&empty, &rules, &mut Vec::new()).unwrap_err().pointer, "/messages");
}

#[test]
fn ids_are_made_valid_the_same_way_for_calls_and_results() {
    let odd = "functions.get:0";
    let (shape, _) = shape(
        vec![
            say(Role::User, "u"),
            Message::new(Role::Assistant, vec![call(odd, "get")]),
            Message::new(Role::Tool, vec![result(odd, None)]),
        ],
        false,
    );
    let id = fit_id(odd, 64);
    assert!(id.starts_with("toolu_") && id.len() == 30, "{id}");
    assert_eq!(shape, format!("[] U(u) A(call:{id}) U(result:{id})"));
}

#[test]
fn a_repeated_id_gets_its_own_result() {
    let round = || {
        [Message::new(Role::Assistant, vec![call("same", "x")]), Message::new(Role::Tool, vec![result("same", None)])]
    };
    let mut messages = vec![say(Role::User, "u")];
    messages.extend(round());
    messages.extend(round());
    let (shape, _) = shape(messages, false);
    let second = fit_id("same 2", 64);
    assert_eq!(shape, format!("[] U(u) A(call:same) U(result:same) A(call:{second}) U(result:{second})"));
}

#[test]
fn calls_without_ids_are_matched_by_name_then_by_order() {
    let (shape, _) = shape(
        vec![
            say(Role::User, "u"),
            Message::new(Role::Assistant, vec![call("", "x"), call("", "y"), call("", "z")]),
            Message::new(Role::Tool, vec![result("", Some("y")), result("", None), result("", Some("z"))]),
        ],
        false,
    );
    assert_eq!(shape, "[] U(u) A(call:call_0 call:call_1 call:call_2) U(result:call_1 result:call_0 result:call_2)");
}

#[test]
fn names_are_made_valid_and_stay_apart() {
    assert_eq!(fit_name(None, "get_weather-1", 64), "get_weather-1");
    assert_eq!(fit_name(None, "fs.read", 64), "fs_read");
    assert_eq!(fit_name(Some("mcp"), "read", 64), "mcp__read");
    let long = "x".repeat(200);
    let other = format!("{}y", "x".repeat(199));
    let (a, b) = (fit_name(None, &long, 64), fit_name(None, &other, 64));
    assert_eq!((a.len(), b.len()), (64, 64));
    assert_ne!(a, b);
    assert_eq!(fit_name(None, "", 64).len(), 9);
}
