use serde_json::json;

use super::*;
use crate::ir::{FunctionTool, Role};

fn asked(text: &str) -> ChatRequest {
    ChatRequest { messages: vec![Message::text(Role::User, text)], ..ChatRequest::default() }
}

#[test]
fn text_is_counted_near_what_tokenizers_count() {
    // The counts of a common tokenizer; the estimate lies above and not far from them.
    for (text, real) in [
        ("Hello, how are you today?", 7),
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("fn main() { println!(\"{}\", 12345); }", 14),
        ("{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}}}", 15),
        ("今天天气怎么样？我想去公园散步。", 15),
        ("Привет, как у тебя дела сегодня?", 11),
        ("東京の天気を教えてください。", 12),
        ("안녕하세요, 오늘 날씨가 어때요?", 15),
        ("1234567890 3.14159", 8),
    ] {
        let estimate = count_text(text);
        assert!((real..=real * 2).contains(&estimate), "{text}: {estimate} for {real}");
    }
    assert_eq!(count_text(""), 0);
    assert_eq!(count_text(" "), 0);
}

#[test]
fn a_longer_text_never_takes_less() {
    let text = "Some words, 42 numbers and 标点。\n    indented \u{1f600}";
    let counts: Vec<u64> = text.char_indices().map(|(at, _)| count_text(&text[..at])).collect();
    assert!(counts.is_sorted(), "{counts:?}");
}

#[test]
fn case_23_tools_change_the_count() {
    let plain = asked("hi");
    let parameters =
        json!({"type": "object", "properties": {"q": {"type": "string", "description": "x".repeat(40_000)}}});
    let mut small = plain.clone();
    small.tools = vec![Tool::function(FunctionTool { name: "f".into(), ..FunctionTool::default() })];
    let mut large = plain.clone();
    large.tools = vec![Tool::function(FunctionTool { parameters: Some(parameters), ..FunctionTool::default() })];
    let counts = [&plain, &small, &large].map(estimate);
    assert!(counts[0] > 0 && counts[1] > counts[0] + 8, "{counts:?}");
    assert!(counts[2] > 9_000, "{counts:?}");
}

#[test]
fn everything_in_a_request_counts() {
    let base = asked("hi");
    let media =
        |kind, source| Part::new(Content::Media(Media { kind, source, media_type: None, name: None, detail: None }));
    let parts = [
        media(MediaKind::Image, MediaSource::Url("u".into())),
        media(MediaKind::Document, MediaSource::FileId("f".into())),
        media(MediaKind::Document, MediaSource::Text("words ".repeat(100))),
        media(MediaKind::Document, MediaSource::Base64("A".repeat(100_000))),
        media(MediaKind::Audio, MediaSource::Base64("A".repeat(100_000))),
        media(MediaKind::Video, MediaSource::Base64("A".repeat(100_000))),
        Part::new(Content::Refusal("I will not do that for you".into())),
        Part::new(Content::Native(crate::ir::Native {
            format: crate::ApiFormat::Gemini,
            kind: "k".into(),
            value: json!({"a": "some words here"}),
        })),
    ];
    for part in parts {
        let mut more = base.clone();
        more.messages[0].parts.push(part.clone());
        let alone = estimate(&more) - estimate(&base);
        assert!(alone >= 5, "{part:?}");
        let result = Part::new(Content::ToolResult(crate::ir::ToolResult {
            call_id: "c".into(),
            name: None,
            kind: Default::default(),
            content: vec![part],
            is_error: None,
        }));
        let mut inside = base.clone();
        inside.messages[0].parts.push(result);
        assert!(estimate(&inside) > estimate(&base) + alone);
    }
    let mut shaped = base.clone();
    shaped.output = Some(OutputFormat::JsonSchema {
        name: "n".into(),
        description: None,
        schema: json!({"type": "object"}),
        strict: None,
    });
    assert!(estimate(&shaped) > estimate(&base));
}

#[test]
fn bytes_that_are_no_text_are_counted_without_complaint() {
    assert!(text::count_bytes(&[0xFF, 0xC2, 0xE0, 0x80, 0xF4]) > 0);
    let long = json(&json!({"a": "é".repeat(20_000)}));
    assert!(long > 8_000 && long < 40_000, "{long}");
}
