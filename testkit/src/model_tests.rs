//! What the model answers, told by examples.

use super::*;

fn turn(text: &str) -> Turn {
    Turn {
        user_text: text.into(),
        tools: vec![
            ToolOffer {
                name: "weather".into(),
                schema: json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}),
                ..ToolOffer::default()
            },
            ToolOffer { name: "shell".into(), free_text: true, ..ToolOffer::default() },
        ],
        input_tokens: 10,
        ..Turn::default()
    }
}

fn said(turn: &Turn) -> Reply {
    answer(turn, &Forced::default(), false)
}

#[test]
fn calls_are_made_as_the_text_asks_and_results_are_used() {
    let reply = said(&turn("call weather {\"city\": \"Oslo\"}\ncall shell ls -l"));
    assert_eq!(reply.finish, Finish::Tools);
    assert_eq!(reply.calls[0].input, CallInput::Json(json!({"city": "Oslo"})));
    assert_eq!(reply.calls[1].input, CallInput::Text("ls -l".into()));
    assert_ne!(reply.calls[0].seed, reply.calls[1].seed);

    let mut after = turn("call weather {}");
    after.rounds = 1;
    after.results = vec!["sunny".into()];
    assert_eq!(said(&after).text, "The tool said: sunny");
}

#[test]
fn steps_follow_each_other() {
    let mut loop_turn = turn("call weather {\"city\":\"A\"}\nthen\ncall weather {\"city\":\"B\"}");
    assert_eq!(said(&loop_turn).calls[0].input, CallInput::Json(json!({"city": "A"})));
    loop_turn.rounds = 1;
    loop_turn.results = vec!["a".into()];
    assert_eq!(said(&loop_turn).calls[0].input, CallInput::Json(json!({"city": "B"})));
    loop_turn.rounds = 2;
    assert!(said(&loop_turn).calls.is_empty());
}

#[test]
fn the_tool_choice_is_obeyed() {
    let mut forced = turn("hello");
    assert!(said(&forced).calls.is_empty());
    forced.choice = Choice::Any;
    assert_eq!(said(&forced).calls[0].input, CallInput::Json(json!({"city": "sample"})));
    forced.choice = Choice::One("shell".into());
    assert_eq!(said(&forced).calls[0].name, "shell");
    let mut none = turn("call weather {}");
    none.choice = Choice::None;
    assert!(said(&none).calls.is_empty());
    let mut one = turn("call weather {}\ncall weather {}");
    one.one_call = true;
    assert_eq!(said(&one).calls.len(), 1);
}

#[test]
fn limits_and_stop_sequences_cut() {
    let mut limited = turn("say one two three");
    limited.limit = Some(2);
    assert_eq!((said(&limited).text.as_str(), said(&limited).finish), ("one two", Finish::Length));
    let mut stopped = turn("say one two three");
    stopped.stop = vec![" three".into(), " two".into()];
    assert_eq!((said(&stopped).text.as_str(), said(&stopped).finish), ("one", Finish::StopSequence(" two".into())));
}

#[test]
fn usage_counts_cache_marks_once_as_written_then_as_read() {
    let mut marked = turn("hi");
    marked.marked_tokens = 4;
    let first = said(&marked).usage;
    assert_eq!((first.input, first.cache_write, first.cache_read), (10, 4, 0));
    let second = answer(&marked, &Forced::default(), true).usage;
    assert_eq!((second.input, second.cache_write, second.cache_read), (10, 0, 4));
}

#[test]
fn pieces_and_fragments_join_to_the_whole() {
    for text in ["", "a", "ab cd  ef", "{\"k\":\"żółć 日本\"}"] {
        assert_eq!(pieces(text).concat(), text);
        assert_eq!(fragments(text).concat(), text);
    }
}
