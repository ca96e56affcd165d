//! Requests, both directions.

use super::*;

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
    assert_eq!(losses, ["output.schema", "parallel_tool_calls", "truncation"]);
    assert_eq!(
        body,
        json!({"model": "m", "instructions": "Answer with a JSON object that follows this JSON Schema:\n{}", "input": body["input"], "text": {"format": {"type": "json_object"}}, "store": false})
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

#[test]
fn silence_means_what_it_means_to_its_speaker() {
    let foreign = ChatRequest {
        messages: vec![Message::text(Role::User, "hi")],
        output: Some(OutputFormat::JsonObject),
        ..ChatRequest::default()
    };
    let (body, _) = written(&foreign);
    assert_eq!(body["store"], false, "nobody asked for storing");
    assert_eq!(body["instructions"], "Answer with a JSON object.", "refused without the word");
    let own = request(
        json!({"model": "m", "input": "hi", "max_output_tokens": 1, "text": {"format": {"type": "json_object"}}}),
    );
    let (body, _) = written(&own);
    assert_eq!((body.get("store"), body.get("instructions"), &body["max_output_tokens"]), (None, None, &json!(1)));
    assert_eq!(own.extras.foreign_to(ApiFormat::Gemini).count(), 0, "the note is no loss");
}
