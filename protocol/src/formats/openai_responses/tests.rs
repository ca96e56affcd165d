//! Rules of the wire that no single file owns: requests, whole answers and streams together, and what other formats hand over.

use std::sync::Arc;

use serde_json::{Value, json};

use super::codec;
use crate::format::AddressHints;
use crate::framing::Frame;
use crate::ir::{
    ChatRequest, ChatResponse, Choice, Citation, Content, Delta, Effort, Extras, Finish, FinishReason, FunctionTool,
    Media, MediaKind, MediaSource, Message, Native, Opaque, OpaqueKind, OutputFormat, Part, PartHead, Reasoning,
    ReasoningPart, Role, StreamEvent, Text, Tool, ToolCall, ToolCallKind, ToolChoice, ToolResult, Usage,
};
use crate::{ApiError, ApiErrorKind, ApiFormat, Dialect, ReplyContext, fold, laws};

const OWN: ApiFormat = ApiFormat::OpenaiResponses;

fn request(body: Value) -> ChatRequest {
    codec().decode_request(body.to_string().as_bytes(), AddressHints::default()).unwrap()
}

fn written(request: &ChatRequest) -> (Value, Vec<String>) {
    written_for(request, &Dialect::default())
}

fn written_for(request: &ChatRequest, dialect: &Dialect) -> (Value, Vec<String>) {
    let lossy = codec().encode_request(request, dialect).unwrap();
    let losses = lossy.losses.iter().map(|loss| loss.field.to_string()).collect();
    (serde_json::from_slice(&lossy.value).unwrap(), losses)
}

fn context() -> ReplyContext {
    ReplyContext { model: "shown".into(), id: "ab12".into(), created: 9, ..ReplyContext::default() }
}

fn answer(parts: Vec<Part>, reason: FinishReason) -> ChatResponse {
    let choice = Choice { parts, finish: Some(Finish::new(reason)), extras: Extras::NONE };
    ChatResponse { choices: vec![choice], ..ChatResponse::default() }
}

fn whole(response: &ChatResponse) -> Value {
    serde_json::from_slice(&codec().encode_response(response, &context()).value).unwrap()
}

/// The frames that an encoder writes for `events`.
fn stream(events: &[StreamEvent]) -> Vec<Value> {
    let mut encoder = codec().stream_encoder(context());
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    let text = String::from_utf8(out).unwrap();
    let frames: Vec<&str> = text.split("\n\n").filter(|frame| !frame.is_empty()).collect();
    let parsed = frames.iter().map(|frame| {
        let (event, data) = frame.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(event.strip_prefix("event: ").unwrap(), data["type"]);
        data
    });
    let parsed: Vec<Value> = parsed.collect();
    for (number, data) in parsed.iter().enumerate() {
        assert_eq!(data["sequence_number"], number);
    }
    parsed
}

fn kinds(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["type"].as_str().unwrap().strip_prefix("response.").unwrap_or("error")).collect()
}

/// The events that a decoder reads from `frames`.
fn events(frames: &[Value]) -> Vec<StreamEvent> {
    let mut decoder = codec().stream_decoder(&Dialect::default());
    let mut events = Vec::new();
    for frame in frames {
        let data = frame.to_string();
        decoder.feed(&Frame { event: None, exception: false, data: data.as_bytes() }, &mut events).unwrap();
    }
    decoder.finish(&mut events);
    laws::check(&events).unwrap();
    events
}

fn parts_of(events: &[StreamEvent]) -> Vec<Part> {
    fold::fold(events.iter().cloned()).response.choices.into_iter().next().unwrap_or_default().parts
}

fn signature(format: ApiFormat) -> Opaque {
    Opaque { kind: OpaqueKind::Signature, format, data: "c2ln".into() }
}

fn call(id: &str, kind: ToolCallKind, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: "f".into(), namespace: None, kind, arguments: arguments.into(), signature: None }
}

// --- requests --------------------------------------------------------------------------------------------------------

#[test]
fn every_kind_of_history_item_survives() {
    let input = json!([
        {"type": "message", "role": "developer", "id": "msg_1", "content": [{"type": "input_text", "text": "rules"}]},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "look", "prompt_cache_breakpoint": {"mode": "explicit"}},
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "high"},
            {"type": "input_image", "image_url": "https://a/b.png"},
            {"type": "input_image", "file_id": "file-1"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
            {"type": "input_file", "file_data": "JVBERi0="},
            {"type": "input_file", "file_url": "https://a/b.pdf"},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
            {"type": "input_hologram", "depth": 3},
        ]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
         "encrypted_content": "gAAA"},
        {"type": "message", "role": "assistant", "id": "msg_2", "status": "completed", "phase": "commentary", "content": [
            {"type": "output_text", "text": "see", "annotations": [{"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 3}]},
            {"type": "refusal", "refusal": "no"},
        ]},
        {"type": "message", "role": "assistant", "id": "msg_3", "content": [{"type": "output_text", "text": "more"}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "namespace": "ns", "name": "f", "arguments": "{\"a\": 1}", "status": "completed"},
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c2", "name": "g", "input": "free text"},
        {"type": "function_call_output", "id": "fco_1", "call_id": "c1", "output": "fine"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [
            {"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "https://a/c.png"}]},
        {"type": "local_shell_call", "id": "lsh_1", "call_id": "c3", "status": "completed", "action": {"type": "exec", "command": ["ls"], "env": {}}},
        {"type": "local_shell_call_output", "id": "c3", "output": "{}"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "tool_search_call", "call_id": "c4", "execution": "client", "arguments": {"goal": "g"}},
        {"type": "tool_search_output", "call_id": "c4", "execution": "client", "status": "completed", "tools": []},
        {"type": "agent_message", "id": "am_1", "author": "/root", "content": []},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAB"},
        {"type": "item_reference", "id": "msg_9"},
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": true},
        {"type": "invented_tomorrow", "payload": [1, 2.5, null]},
    ]);
    let first = request(json!({"model": "m", "input": input}));
    let (body, losses) = written(&first);
    assert_eq!(body["input"], input);
    assert_eq!(losses, Vec::<String>::new());
    assert_eq!(request(body), first);
    let roles: Vec<Role> = first.messages.iter().map(|message| message.role).collect();
    use Role::{Assistant, Developer, Tool, User};
    assert_eq!(roles, [Developer, User, Assistant, Tool, Assistant, Tool, Assistant, Tool, Assistant, Tool, Assistant]);
}

#[test]
fn shorthands_mean_what_they_stand_for() {
    let short = request(json!({"model": "m", "input": "hi"}));
    assert_eq!(short.messages, [Message::text(Role::User, "hi")]);
    let easy = request(json!({"model": "m", "input": [{"role": "user", "content": "hi"}]}));
    assert_eq!(easy, short);
    let codex = json!({"type": "reasoning", "id": "rs_1", "summary": [], "content": null, "encrypted_content": "x"});
    let reasoning = request(json!({"model": "m", "input": [codex]}));
    assert!(matches!(&reasoning.messages[0].parts[0].content, Content::Reasoning(part) if part.text.is_empty()));
}

#[test]
fn two_bare_messages_of_the_model_stay_two() {
    let input = json!([{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}]);
    let first = request(json!({"model": "m", "input": input}));
    assert_eq!(first.messages.len(), 2);
    assert_eq!(request(written(&first).0), first);
}

#[test]
fn the_leading_system_message_is_the_instructions_unless_it_stood_in_the_input() {
    let asked = request(json!({"model": "m", "instructions": "be kind", "input": "hi"}));
    assert_eq!(asked.messages[0], Message::text(Role::System, "be kind"));
    assert_eq!(written(&asked).0["instructions"], "be kind");

    let inline = request(
        json!({"model": "m", "input": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]}),
    );
    let (body, _) = written(&inline);
    assert_eq!(body.get("instructions"), None);
    assert_eq!(body["input"][0]["role"], "system");
    assert_eq!(inline.messages[0].extras.foreign_to(ApiFormat::Gemini).count(), 0, "the note is no loss");

    let foreign = ChatRequest {
        messages: vec![
            Message::new(Role::System, vec![Part::text("a"), Part::text("b")]),
            Message::text(Role::Developer, "c"),
            Message::text(Role::User, "hi"),
        ],
        ..ChatRequest::default()
    };
    let (body, _) = written(&foreign);
    assert_eq!(body["instructions"], "a\n\nb");
    assert_eq!(body["input"][0]["role"], "developer");
    let (body, _) = written_for(&foreign, &Dialect { no_developer_role: true, ..Dialect::default() });
    assert_eq!(body["input"][0]["role"], "system");
}

#[test]
fn settings_survive_typed_or_not() {
    let body = json!({
        "model": "m", "input": [], "stream": true, "store": false, "temperature": 0.5, "top_p": 0.25, "top_logprobs": 3,
        "max_output_tokens": 100, "parallel_tool_calls": false, "previous_response_id": "resp_1", "metadata": {"a": "b"},
        "prompt_cache_key": "k", "service_tier": "flex", "user": "u", "truncation": "auto", "background": false,
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs", "web_search_call.results"],
        "reasoning": {"effort": "low", "summary": "auto", "context": "all_turns"},
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}},
        "client_metadata": {"x": 1}, "safety_identifier": null, "prompt_cache_retention": "24h",
    });
    let asked = request(body.clone());
    assert_eq!(asked.parallel_tool_calls, Some(false));
    assert_eq!(asked.cache_key.as_deref(), Some("k"));
    assert_eq!(asked.verbosity.as_deref(), Some("low"));
    let reasoning = asked.reasoning.clone().unwrap();
    assert_eq!(
        (reasoning.effort, reasoning.summary.as_deref(), reasoning.encrypted),
        (Some(Effort::Low), Some("auto"), true)
    );
    assert!(matches!(asked.output, Some(OutputFormat::JsonSchema { strict: Some(true), .. })));
    let (again, losses) = written(&asked);
    assert_eq!((again, losses), (body, Vec::new()));
}

#[test]
fn a_wrong_type_is_refused_with_its_place() {
    for (body, pointer) in [
        (json!({"model": 1}), "/model"),
        (json!({"model": "m", "input": {}}), "/input"),
        (json!({"model": "m", "input": ["x"]}), "/input/0"),
        (json!({"model": "m", "temperature": "hot"}), "/temperature"),
        (json!({"model": "m", "reasoning": "much"}), "/reasoning"),
        (json!({"model": "m", "reasoning": {"summary": 1}}), "/reasoning/summary"),
        (json!([]), ""),
    ] {
        let refused = codec().decode_request(body.to_string().as_bytes(), AddressHints::default());
        assert_eq!(refused.map_err(|error| error.pointer), Err(pointer.to_owned()), "{body}");
    }
}

#[test]
fn tools_of_every_place_and_kind_survive() {
    let body = json!({
        "model": "m",
        "input": [
            {"type": "additional_tools", "id": "at_1", "role": "developer", "tools": [
                {"type": "namespace", "name": "ns", "description": "", "tools": [
                    {"type": "custom", "name": "exec", "description": "runs", "format": {"type": "grammar", "syntax": "lark", "definition": "s"}},
                    {"type": "function", "name": "wait", "strict": false, "parameters": {"type": "object"}},
                ]},
            ]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "late"}]},
        ],
        "tools": [
            {"type": "function", "name": "f", "description": null, "parameters": {"type": "object"}, "strict": true, "defer_loading": true},
            {"type": "namespace", "name": "g", "tools": [{"type": "function", "name": "f", "parameters": null, "strict": null}]},
            {"type": "web_search", "external_web_access": false},
            {"type": "mcp", "server_label": "s"},
        ],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "exec"}]},
    });
    let asked = request(body.clone());
    assert_eq!(asked.tools.len(), 7);
    assert_eq!(asked.tool_choice, Some(ToolChoice::Allowed { names: vec!["f".into(), "exec".into()], required: true }));
    let (again, losses) = written(&asked);
    assert_eq!((again, losses), (body, Vec::new()));
}

#[test]
fn case_11_choices_between_tools_are_carried_in_every_form() {
    let tools = json!([{"type": "custom", "name": "g"}, {"type": "function", "name": "f"}]);
    let cases = [
        (json!("auto"), ToolChoice::Auto),
        (json!("none"), ToolChoice::None),
        (json!("required"), ToolChoice::Required),
        (json!({"type": "function", "name": "f"}), ToolChoice::Tool { name: "f".into(), kind: ToolCallKind::Function }),
        (json!({"type": "custom", "name": "g"}), ToolChoice::Tool { name: "g".into(), kind: ToolCallKind::Custom }),
        (
            json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "g"}]}),
            ToolChoice::Allowed { names: vec!["g".into()], required: false },
        ),
    ];
    for (wire, meaning) in cases {
        let asked = request(json!({"model": "m", "tools": tools, "tool_choice": wire, "parallel_tool_calls": false}));
        assert_eq!(asked.tool_choice, Some(meaning));
        let (body, _) = written(&asked);
        assert_eq!((&body["tool_choice"], &body["parallel_tool_calls"]), (&wire, &json!(false)));
    }
    for wire in
        [json!({"type": "web_search"}), json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]})]
    {
        let asked = request(json!({"model": "m", "tool_choice": wire}));
        assert!(matches!(&asked.tool_choice, Some(ToolChoice::Native { value, .. }) if *value == wire));
        assert_eq!(written(&asked).0["tool_choice"], wire);
    }
}

#[test]
fn a_function_of_another_format_is_not_made_strict() {
    let tool = FunctionTool { name: "f".into(), ..FunctionTool::default() };
    let asked = ChatRequest { tools: vec![Tool::function(tool)], ..ChatRequest::default() };
    let expected =
        json!([{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": false}]);
    assert_eq!(written(&asked).0["tools"], expected);
}

#[test]
fn what_the_wire_has_no_word_for_is_reported() {
    let mut asked = ChatRequest { n: Some(2), max_tokens: Some(1), ..ChatRequest::default() };
    asked.sampling.top_k = Some(4);
    asked.sampling.stop = Some(vec!["x".into()]);
    asked.extras.insert(ApiFormat::AnthropicMessages, "context_management", json!({}));
    let mut result = ToolResult {
        call_id: "c".into(),
        name: None,
        kind: ToolCallKind::Function,
        content: vec![Part::text("bad")],
        is_error: Some(true),
    };
    asked.messages.push(Message::new(Role::Tool, vec![Part::new(Content::ToolResult(result.clone()))]));
    let (body, losses) = written(&asked);
    assert_eq!(
        losses,
        [
            "messages[0].parts[0].is_error",
            "max_tokens",
            "sampling.top_k",
            "sampling.stop",
            "n",
            "extras.context_management"
        ]
    );
    assert_eq!(body["max_output_tokens"], 16);
    result.is_error = Some(false);
    asked.messages = vec![Message::new(Role::Tool, vec![Part::new(Content::ToolResult(result))])];
    assert!(!written(&asked).1.contains(&"messages[0].parts[0].is_error".to_owned()));
}

#[test]
fn hosts_get_what_they_can_take() {
    let asked = request(json!({"model": "m", "input": "hi", "parallel_tool_calls": false, "truncation": "auto",
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}}));
    let mut dialect = Dialect { no_parallel_tool_calls: true, no_json_schema: true, ..Dialect::default() };
    dialect.unsupported.push("truncation".into());
    dialect.defaults.insert("store".into(), json!(false));
    let (body, losses) = written_for(&asked, &dialect);
    assert_eq!(losses, ["parallel_tool_calls", "output.schema", "truncation"]);
    assert_eq!(
        body,
        json!({"model": "m", "input": body["input"], "text": {"format": {"type": "json_object"}}, "store": false})
    );
}

#[test]
fn thinking_goes_back_to_its_maker_only() {
    let think = |text: &str, opaque: Option<Opaque>, item_id: Option<&str>| {
        let reasoning = ReasoningPart { text: text.into(), summary: Vec::new(), opaque };
        Part { item_id: item_id.map(str::to_owned), ..Part::new(Content::Reasoning(reasoning)) }
    };
    let own = Opaque { kind: OpaqueKind::Encrypted, format: OWN, data: "gAAA".into() };
    let mut signed = call("c", ToolCallKind::Function, "{}");
    signed.signature = Some(signature(ApiFormat::Gemini));
    let parts = vec![
        think("deep", Some(signature(ApiFormat::AnthropicMessages)), None),
        think("loose", None, None),
        think("", Some(own), Some("rs_1")),
        think("open", None, Some("rs_2")),
        Part::new(Content::ToolCall(signed)),
    ];
    let asked = ChatRequest { messages: vec![Message::new(Role::Assistant, parts)], ..ChatRequest::default() };
    let (body, losses) = written(&asked);
    assert_eq!(
        body["input"],
        json!([
            {"type": "reasoning", "summary": [], "encrypted_content": "gAAA", "id": "rs_1"},
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "open"}], "id": "rs_2"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        ])
    );
    assert_eq!(
        losses,
        ["messages[0].parts[0].reasoning", "messages[0].parts[1].reasoning", "messages[0].parts[4].signature"]
    );
    let replays = Dialect { replay_reasoning: crate::dialect::ReplayReasoning::ToolTurns, ..Dialect::default() };
    let (body, _) = written_for(&asked, &replays);
    assert_eq!(body["input"][0]["content"][0]["text"], "loose", "a host of open models wants it");
}

#[test]
fn calls_without_ids_are_linked_to_their_results() {
    let result = ToolResult {
        call_id: String::new(),
        name: Some("f".into()),
        kind: ToolCallKind::Function,
        content: vec![Part::text("1")],
        is_error: None,
    };
    let calls = (0..2).map(|_| Part::new(Content::ToolCall(call("", ToolCallKind::Function, "{}")))).collect();
    let results = (0..2).map(|_| Part::new(Content::ToolResult(result.clone()))).collect();
    let messages = vec![Message::new(Role::Assistant, calls), Message::new(Role::Tool, results)];
    let (body, _) = written(&ChatRequest { messages, ..ChatRequest::default() });
    let ids: Vec<&str> =
        body["input"].as_array().unwrap().iter().map(|item| item["call_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["call_0", "call_1", "call_0", "call_1"]);
}

#[test]
fn a_foreign_effort_becomes_a_word() {
    let effort = |reasoning: Reasoning| {
        written(&ChatRequest { reasoning: Some(reasoning), store: Some(false), ..ChatRequest::default() }).0
    };
    let budget =
        effort(Reasoning { enabled: Some(true), budget: Some(10_000), shown: Some(true), ..Reasoning::default() });
    assert_eq!(budget["reasoning"], json!({"effort": "medium", "summary": "auto"}));
    assert_eq!(
        budget["include"],
        json!(["reasoning.encrypted_content"]),
        "nothing else keeps it when nothing is stored"
    );
    let off = effort(Reasoning { enabled: Some(false), ..Reasoning::default() });
    assert_eq!((&off["reasoning"], off.get("include")), (&json!({"effort": "none"}), None));
}

// --- answers ---------------------------------------------------------------------------------------------------------

#[test]
fn a_stream_and_a_whole_answer_agree() {
    let mut signed = call("c1", ToolCallKind::Function, "{\"a\":1}");
    signed.signature = Some(signature(ApiFormat::Gemini));
    let text = Text {
        text: "Ünë".into(),
        citations: vec![Citation {
            url: Some("u".into()),
            title: Some("t".into()),
            start: Some(0),
            end: Some(3),
            ..Citation::default()
        }],
    };
    let parts = vec![
        Part::new(Content::Reasoning(ReasoningPart {
            text: "hm".into(),
            summary: Vec::new(),
            opaque: Some(signature(ApiFormat::AnthropicMessages)),
        })),
        Part::new(Content::Text(text)),
        Part::text("second"),
        Part::new(Content::Refusal("no".into())),
        Part::new(Content::ToolCall(signed)),
        Part::new(Content::ToolCall(call("c2", ToolCallKind::Custom, "free"))),
        Part::new(Content::Native(Native {
            format: ApiFormat::AnthropicMessages,
            kind: "server_tool_use".into(),
            value: json!({"id": "s"}),
        })),
        Part::text("last"),
    ];
    let response = ChatResponse {
        usage: Some(Usage { input: Some(5), output: Some(6), ..Usage::default() }),
        ..answer(parts, FinishReason::Length)
    };
    let streamed = stream(&fold::unfold(response.clone()));
    let at_once = whole(&response);
    assert_eq!(streamed.last().unwrap()["response"], at_once);
    assert_eq!(streamed.last().unwrap()["type"], "response.incomplete");
    assert_eq!(at_once["incomplete_details"], json!({"reason": "max_output_tokens"}));
    let items: Vec<(&str, Option<&str>)> = at_once["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["type"].as_str().unwrap(), item.get("status").and_then(Value::as_str)))
        .collect();
    assert_eq!(
        items,
        [
            ("reasoning", None),
            ("message", Some("completed")),
            ("reasoning", None),
            ("function_call", Some("completed")),
            ("custom_tool_call", Some("completed")),
            ("reasoning", None),
            ("message", Some("incomplete")),
        ]
    );
    assert_eq!(
        at_once["output"][0]["summary"],
        json!([{"type": "summary_text", "text": "hm"}]),
        "clients show summaries"
    );
    assert_eq!(at_once["output"][1]["content"].as_array().unwrap().len(), 3);
    assert_eq!(at_once["output"][1]["content"][0]["annotations"][0]["type"], "url_citation");

    // What a client sends back is what the makers gave, whichever way it came.
    let mut expected = response.first().unwrap().parts.clone();
    for back in [
        parts_of(&events(&streamed)),
        codec().decode_response(at_once.to_string().as_bytes(), &Dialect::default()).unwrap().choices[0].parts.clone(),
    ] {
        let own = match (&mut expected[1].content, &back[1].content) {
            (Content::Text(expected), Content::Text(back)) => {
                assert_eq!(back.citations[0].url, expected.citations[0].url);
                expected.citations.clone_from(&back.citations);
                true
            }
            _ => false,
        };
        assert!(own);
        assert_eq!(back, expected);
    }
}

#[test]
fn case_05_blobs_of_other_makers_come_back_through_a_client_of_this_format() {
    let mut signed = call("functions.f:0", ToolCallKind::Function, "{}");
    signed.signature = Some(signature(ApiFormat::Gemini));
    let parts = vec![
        Part::new(Content::Reasoning(ReasoningPart {
            text: "Because.".into(),
            summary: Vec::new(),
            opaque: Some(signature(ApiFormat::AnthropicMessages)),
        })),
        Part::new(Content::Reasoning(ReasoningPart {
            text: String::new(),
            summary: Vec::new(),
            opaque: Some(Opaque {
                kind: OpaqueKind::Redacted,
                format: ApiFormat::BedrockConverse,
                data: "cmVk".into(),
            }),
        })),
        Part::new(Content::Reasoning(ReasoningPart { text: "no blob".into(), ..ReasoningPart::default() })),
        Part::new(Content::ToolCall(signed)),
    ];
    let mut items = whole(&answer(parts.clone(), FinishReason::ToolCalls))["output"].as_array().unwrap().clone();
    assert!(items.iter().all(|item| item["id"].as_str().unwrap().contains("ab12")));
    items.push(json!({"type": "function_call_output", "call_id": "functions.f:0", "output": "1"}));
    let next = request(json!({"model": "m", "input": items}));
    assert_eq!(next.messages.len(), 2);
    // The caller's client wrote a status beside the call; else all is as the makers gave it.
    let mut back = next.messages[0].parts.clone();
    assert_eq!(std::mem::take(&mut back[3].extras).for_format(OWN).map(serde_json::Map::len), Some(1));
    assert_eq!(back, parts);
}

#[test]
fn case_02_parallel_calls_stay_apart_with_their_own_places() {
    let head = |id: &str| PartHead::ToolCall {
        id: id.into(),
        name: "f".into(),
        namespace: Some("ns".into()),
        kind: ToolCallKind::Function,
    };
    let delta = |id: u32, text: &str| StreamEvent::PartDelta { id, delta: Delta::Arguments(text.into()) };
    let start = |id: u32, call: &str| StreamEvent::PartStart { id, choice: 0, head: head(call), item_id: None };
    let events = [
        start(0, "a"),
        start(1, "b"),
        delta(0, "{\"x\""),
        delta(1, "{\"y\""),
        delta(0, ":1}"),
        delta(1, ":2}"),
        StreamEvent::PartEnd { id: 0 },
        StreamEvent::PartEnd { id: 1 },
        start(2, "c"),
        StreamEvent::PartEnd { id: 2 },
        StreamEvent::Finish { choice: 0, finish: Finish::new(FinishReason::ToolCalls) },
        StreamEvent::End,
    ];
    let frames = stream(&events);
    let output = frames.last().unwrap()["response"]["output"].clone();
    let calls: Vec<(&str, &str, &str)> = output
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                item["call_id"].as_str().unwrap(),
                item["arguments"].as_str().unwrap(),
                item["namespace"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(calls, [("a", "{\"x\":1}", "ns"), ("b", "{\"y\":2}", "ns"), ("c", "{}", "ns")]);
    for (index, item) in output.as_array().unwrap().iter().enumerate() {
        let of_item: Vec<&Value> = frames.iter().filter(|frame| frame["output_index"] == index).collect();
        assert!(of_item.iter().all(|frame| frame.get("item_id").unwrap_or(&frame["item"]["id"]) == &item["id"]));
        let joined: String = of_item.iter().filter_map(|frame| frame["delta"].as_str()).collect();
        assert_eq!(joined, item["arguments"]);
    }
}

#[test]
fn events_come_in_the_order_of_their_inventor() {
    let response = answer(
        vec![
            Part {
                item_id: Some("rs_1".into()),
                ..Part::new(Content::Reasoning(ReasoningPart {
                    text: "open".into(),
                    summary: vec!["a".into(), "b".into()],
                    opaque: None,
                }))
            },
            Part::text("hi"),
            Part::new(Content::ToolCall(call("c", ToolCallKind::Custom, "x"))),
        ],
        FinishReason::ToolCalls,
    );
    let frames = stream(&fold::unfold(response));
    assert_eq!(
        kinds(&frames),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "reasoning_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "custom_tool_call_input.delta",
            "custom_tool_call_input.done",
            "output_item.done",
            "completed",
        ]
    );
}

#[test]
fn case_14_a_failure_in_a_stream_is_a_failed_answer_that_codex_understands() {
    let start = StreamEvent::PartStart { id: 0, choice: 0, head: PartHead::Text, item_id: None };
    let said = StreamEvent::PartDelta { id: 0, delta: Delta::Text("half".into()) };
    for (kind, code) in [
        (ApiErrorKind::ContextLength, "context_length_exceeded"),
        (ApiErrorKind::RateLimit, "rate_limit_exceeded"),
        (ApiErrorKind::Overloaded, "server_error"),
        (ApiErrorKind::InvalidRequest, "invalid_prompt"),
    ] {
        let error = ApiError { retry_after: Some(std::time::Duration::from_secs(2)), ..ApiError::new(kind, "broken") };
        let frames = stream(&[start.clone(), said.clone(), StreamEvent::Error(error), StreamEvent::End]);
        let names = kinds(&frames);
        assert_eq!(names[names.len() - 2..], ["error", "failed"], "nothing follows");
        let failed = &frames.last().unwrap()["response"];
        assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!(code)));
        let waits = failed["error"]["message"].as_str().unwrap().contains("try again in 2s");
        assert_eq!(waits, kind == ApiErrorKind::RateLimit);
        let again = events(&frames);
        assert!(matches!(again.last(), Some(StreamEvent::Error(again)) if again.message.starts_with("broken")));
    }
}

#[test]
fn an_answer_that_only_failed_at_its_end_is_no_success() {
    let frames = stream(&[
        StreamEvent::Finish {
            choice: 0,
            finish: Finish { native: Some("MALFORMED_FUNCTION_CALL".into()), ..Finish::new(FinishReason::Error) },
        },
        StreamEvent::End,
    ]);
    let last = frames.last().unwrap();
    assert_eq!(
        (&last["type"], &last["response"]["error"]["code"]),
        (&json!("response.failed"), &json!("MALFORMED_FUNCTION_CALL"))
    );
}

#[test]
fn every_end_has_its_word() {
    use FinishReason::{ContentFilter, ContextLength, Length, Other, Pause, Refusal, Stop, StopSequence};
    for (reason, status, why) in [
        (Stop, "completed", Value::Null),
        (StopSequence, "completed", Value::Null),
        (Pause, "completed", Value::Null),
        (Other("new".into()), "completed", Value::Null),
        (Length, "incomplete", json!({"reason": "max_output_tokens"})),
        (ContextLength, "incomplete", json!({"reason": "max_output_tokens"})),
        (ContentFilter, "incomplete", json!({"reason": "content_filter"})),
        (Refusal, "incomplete", json!({"reason": "content_filter"})),
    ] {
        let written = whole(&answer(vec![Part::text("x")], reason.clone()));
        assert_eq!((&written["status"], &written["incomplete_details"]), (&json!(status), &why), "{reason:?}");
    }
    let steered = json!({"id": "resp_1", "object": "response", "status": "incomplete", "incomplete_details": {"reason": "steered"}, "output": []});
    let read = codec().decode_response(steered.to_string().as_bytes(), &Dialect::default()).unwrap();
    let written = whole(&read);
    assert_eq!(
        (&written["status"], &written["incomplete_details"]),
        (&steered["status"], &steered["incomplete_details"])
    );
}

#[test]
fn the_answer_echoes_the_request() {
    let asked = request(json!({
        "model": "alias", "instructions": "be kind", "input": "hi", "temperature": 0.25, "metadata": {"a": "b"}, "store": false,
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": true}], "tool_choice": "required",
        "reasoning": {"effort": "low"}, "text": {"verbosity": "low"}, "truncation": "auto", "prompt_cache_key": "k",
    }));
    let context = ReplyContext { request: Some(Arc::new(asked)), ..context() };
    let response = answer(vec![Part::text("x")], FinishReason::Stop);
    let written: Value = serde_json::from_slice(&codec().encode_response(&response, &context).value).unwrap();
    let expected = json!({
        "id": "resp_ab12", "object": "response", "created_at": 9, "status": "completed", "error": null, "incomplete_details": null,
        "model": "shown", "background": false, "instructions": "be kind", "max_output_tokens": null, "max_tool_calls": null,
        "parallel_tool_calls": true, "previous_response_id": null, "prompt_cache_key": "k", "safety_identifier": null,
        "reasoning": {"effort": "low", "summary": null}, "service_tier": null, "store": false, "temperature": 0.25,
        "text": {"verbosity": "low", "format": {"type": "text"}}, "tool_choice": "required",
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": true}],
        "top_logprobs": 0, "top_p": 1.0, "truncation": "auto", "user": null, "metadata": {"a": "b"}, "usage": null,
        "output": [{"id": "msg_ab12_myl0", "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "x"}]}],
    });
    assert_eq!(written, expected);
}

#[test]
fn images_that_another_format_drew_are_shown() {
    let media = |source: MediaSource| {
        Part::new(Content::Media(Media {
            kind: MediaKind::Image,
            source,
            media_type: Some("image/webp".into()),
            name: None,
            detail: None,
        }))
    };
    let parts = vec![media(MediaSource::Base64("UklGR".into())), media(MediaSource::Url("http://a".into()))];
    let lossy = codec().encode_response(&answer(parts, FinishReason::Stop), &context());
    let written: Value = serde_json::from_slice(&lossy.value).unwrap();
    assert_eq!(
        written["output"],
        json!([{"id": "ig_ab12_myl0", "type": "image_generation_call", "status": "completed", "output_format": "webp", "result": "UklGR"}])
    );
    assert_eq!(lossy.losses.len(), 1);
}

#[test]
fn only_one_answer_is_written_and_the_others_are_lost() {
    let mut response = answer(vec![Part::text("a")], FinishReason::Stop);
    response.choices.push(Choice {
        parts: vec![Part::text("b"), Part::text("c")],
        finish: Some(Finish::new(FinishReason::Length)),
        extras: Extras::NONE,
    });
    let lossy = codec().encode_response(&response, &context());
    let written: Value = serde_json::from_slice(&lossy.value).unwrap();
    assert_eq!((&written["status"], written["output"].as_array().unwrap().len()), (&json!("completed"), 1));
    assert_eq!(lossy.losses.len(), 1);
}

// --- streams of providers --------------------------------------------------------------------------------------------

fn completed(output: Value) -> Value {
    json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": output}})
}

#[test]
fn closed_items_alone_are_a_whole_stream() {
    let items = [
        json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "why"}], "encrypted_content": "gAAA"}),
        json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "hi", "annotations": [{"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 2}]}]}),
        json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{\"a\":1}", "status": "completed"}),
        json!({"type": "web_search_call", "id": "ws_1", "status": "completed"}),
    ];
    let expected = codec()
        .decode_response(completed(json!(items))["response"].to_string().as_bytes(), &Dialect::default())
        .unwrap();
    let done = |(index, item): (usize, &Value)| json!({"type": "response.output_item.done", "output_index": index, "item": item});
    let mut frames: Vec<Value> = items.iter().enumerate().map(done).collect();
    frames.push(completed(json!([])));
    assert_eq!(parts_of(&events(&frames)), expected.choices[0].parts);
    // Or nothing but the end.
    let folded = fold::fold(events(&[completed(json!(items))]));
    assert_eq!((folded.response, folded.complete), (expected, true));
}

#[test]
fn items_that_all_claim_the_same_place_stay_apart() {
    let item = |id: &str| json!({"type": "function_call", "id": id, "call_id": id, "name": "f", "arguments": "{}"});
    let added = |id: &str| json!({"type": "response.output_item.added", "output_index": 0, "item": item(id)});
    let done = |id: &str| json!({"type": "response.output_item.done", "output_index": 0, "item": item(id)});
    for frames in [
        vec![done("a"), done("a"), done("b")],
        vec![added("a"), added("b"), done("b")],
        vec![added("a"), done("a"), added("b")],
    ] {
        let frames: Vec<Value> = frames.into_iter().chain([completed(json!([]))]).collect();
        let parts = parts_of(&events(&frames));
        let ids: Vec<&str> = parts.iter().filter_map(|part| part.item_id.as_deref()).collect();
        assert_eq!(ids, ["a", "b"]);
    }
}

#[test]
fn what_deltas_left_out_is_caught_up_once() {
    let frames = [
        json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hel"}),
        json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hello"}),
        json!({"type": "response.content_part.done", "output_index": 0, "content_index": 0, "part": {"type": "output_text", "text": "Hello"}}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{\"a\""}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"a\":1}"}}),
        completed(json!([])),
    ];
    let parts = parts_of(&events(&frames));
    assert_eq!(parts[0].as_text(), Some("Hello"));
    assert!(matches!(&parts[1].content, Content::ToolCall(call) if call.arguments == "{\"a\":1}"));
    assert_eq!(parts.len(), 2);
}

#[test]
fn items_whose_ids_change_are_joined_by_their_place() {
    let frames = [
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "a", "role": "assistant", "content": []}}),
        json!({"type": "response.content_part.added", "output_index": 0, "item_id": "b", "content_index": 0, "part": {"type": "output_text", "text": ""}}),
        json!({"type": "response.output_text.delta", "output_index": 0, "item_id": "c", "content_index": 0, "delta": "x"}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "message", "id": "d", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "web_search_call", "id": "e"}}),
        json!({"type": "response.web_search_call.searching", "output_index": 1, "item_id": "f"}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": {"type": "web_search_call", "id": "g", "action": {}}}),
        completed(json!([])),
    ];
    let read = events(&frames);
    let parts = parts_of(&read);
    assert_eq!((parts.len(), parts[0].as_text(), parts[0].item_id.as_deref()), (2, Some("x"), Some("a")));
    // Toward a client each item has one id.
    let ours = stream(&read);
    for (index, id) in [(0, "a"), (1, "e")] {
        let of_item = ours.iter().filter(|frame| frame["output_index"] == index);
        assert!(of_item.clone().count() > 2);
        assert!(of_item.map(|frame| frame.get("item_id").unwrap_or(&frame["item"]["id"])).all(|own| own == id));
    }
}

#[test]
fn steps_of_server_tools_keep_their_place_though_items_before_them_went() {
    let raw = |value: Value| StreamEvent::Raw { format: OWN, value };
    let native = Native {
        format: OWN,
        kind: "mcp_call".into(),
        value: json!({"type": "mcp_call", "id": "mcp_1", "output": "o"}),
    };
    let mut all = vec![
        raw(json!({"type": "response.queued", "response": {"status": "queued"}})),
        raw(
            json!({"type": "response.output_item.added", "output_index": 4, "item": {"type": "mcp_call", "id": "mcp_1"}}),
        ),
        raw(
            json!({"type": "response.mcp_call_arguments.delta", "output_index": 4, "item_id": "mcp_1", "delta": "{}", "sequence_number": 77}),
        ),
    ];
    all.extend(StreamEvent::whole(0, 0, Part::new(Content::Native(native))));
    all.push(StreamEvent::Finish { choice: 0, finish: Finish::new(FinishReason::Stop) });
    all.push(StreamEvent::End);
    let frames = stream(&all);
    assert_eq!(
        kinds(&frames),
        [
            "created",
            "queued",
            "in_progress",
            "output_item.added",
            "mcp_call_arguments.delta",
            "output_item.done",
            "completed"
        ]
    );
    assert!(frames.iter().filter_map(|frame| frame.get("output_index")).all(|index| index == 0));
    assert_eq!(
        frames.last().unwrap()["response"]["output"],
        json!([{"id": "mcp_1", "type": "mcp_call", "output": "o"}])
    );
    assert_eq!(frames[1]["response"]["status"], "queued");
}

#[test]
fn errors_end_a_stream_in_both_spellings() {
    for error in [
        json!({"type": "error", "error": {"code": "rate_limit_exceeded", "message": "m"}}),
        json!({"type": "error", "code": "rate_limit_exceeded", "message": "m", "param": null}),
        json!({"error": {"code": "rate_limit_exceeded", "message": "m"}}),
        json!({"type": "response.failed", "response": {"status": "failed", "output": [], "error": {"code": "rate_limit_exceeded", "message": "m"}}}),
    ] {
        let read = events(&[error.clone(), completed(json!([]))]);
        assert!(
            matches!(read.last(), Some(StreamEvent::Error(read)) if read.kind == ApiErrorKind::RateLimit && read.message == "m"),
            "{error}"
        );
    }
}

#[test]
fn a_stream_without_its_terminal_was_cut() {
    let read =
        events(&[json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x"})]);
    assert!(!read.iter().any(|event| matches!(event, StreamEvent::End | StreamEvent::Finish { .. })));
}

#[test]
fn hostile_events_break_no_law() {
    let nasty = [
        json!({"type": "response.output_item.added", "output_index": u64::MAX, "item": {"type": "message", "content": 7}}),
        json!({"type": "response.output_text.delta", "output_index": u64::MAX, "content_index": u64::MAX, "delta": "ä"}),
        json!({"type": "response.output_text.done", "output_index": u64::MAX, "content_index": u64::MAX, "text": "a"}),
        json!({"type": "response.output_item.done", "item": {}}),
        json!({"type": "response.output_item.done", "output_index": 3, "item": {"type": "function_call"}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 3, "delta": "x"}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 5, "summary_index": u32::MAX, "delta": "x"}),
        json!({"type": "response.reasoning_text.delta", "output_index": 5, "content_index": 9, "delta": "x"}),
        json!({"type": "response.output_text.delta", "output_index": 5, "delta": {"not": "text"}}),
        json!({"type": "response.output_text.annotation.added", "output_index": 6, "annotation": 3}),
        json!({"type": "response.content_part.done", "output_index": 5, "part": {"type": "output_text", "text": "x"}}),
        json!({"type": "response.output_item.added", "output_index": 5, "item": {"type": "reasoning", "encrypted_content": "myl1-call:3:abc"}}),
        json!({"type": "response.completed"}),
    ];
    let read = events(&nasty);
    stream(&read);
    let again: Vec<Value> = nasty.iter().rev().cloned().collect();
    stream(&events(&again));
    for body in ["", "{", "[]", "nul", "{\"type\":"] {
        let mut decoder = codec().stream_decoder(&Dialect::default());
        assert!(
            decoder.feed(&Frame { event: None, exception: false, data: body.as_bytes() }, &mut Vec::new()).is_err(),
            "{body}"
        );
    }
}

#[test]
fn keep_alives_are_comments() {
    let mut out = Vec::new();
    codec().stream_encoder(context()).keep_alive(&mut out);
    assert_eq!(out, b": keep-alive\n\n");
}

#[test]
fn markers_stand_in_every_event_that_tells_how_it_went() {
    let mark = |data: &str| codec().tap_markers().iter().any(|marker| data.contains(marker));
    for kind in ["completed", "incomplete", "failed"] {
        assert!(mark(&format!("{{\"type\":\"response.{kind}\",\"response\":{{}}}}")));
    }
    assert!(mark("{\"type\":\"error\",\"message\":\"m\"}"));
    assert!(!mark("{\"type\":\"response.output_text.delta\",\"delta\":\"\\\"response.completed\\\"\"}"));
}
