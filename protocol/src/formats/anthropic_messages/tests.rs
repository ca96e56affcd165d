//! The rules of this wire, one by one.

use serde_json::{Value, json};

use super::*;
use crate::dialect::ReplayReasoning;
use crate::fold::{fold, unfold};
use crate::framing::{Frame, SseReader};
use crate::ir::*;

fn decode(body: Value) -> ChatRequest {
    codec().decode_request(body.to_string().as_bytes(), AddressHints::default()).unwrap()
}

fn encode_for(request: &ChatRequest, dialect: &Dialect) -> (Value, Vec<String>) {
    let Lossy { value, losses } = codec().encode_request(request, dialect).unwrap();
    (
        serde_json::from_slice(&value).unwrap(),
        losses.into_iter().map(|loss| format!("{}: {}", loss.field, loss.why)).collect(),
    )
}

fn encode(request: &ChatRequest) -> (Value, Vec<String>) {
    encode_for(request, &Dialect::default())
}

/// A request to `model` with one user text.
fn plain(model: &str) -> ChatRequest {
    ChatRequest { model: model.into(), messages: vec![Message::text(Role::User, "hi")], ..ChatRequest::default() }
}

fn call(id: &str, arguments: &str) -> Part {
    Part::new(Content::ToolCall(ToolCall {
        id: id.into(),
        name: "get".into(),
        namespace: None,
        kind: ToolCallKind::Function,
        arguments: arguments.into(),
        signature: None,
    }))
}

fn result(id: &str, text: &str) -> Part {
    Part::new(Content::ToolResult(ToolResult {
        call_id: id.into(),
        name: None,
        kind: ToolCallKind::Function,
        content: vec![Part::text(text)],
        is_error: None,
    }))
}

fn blob(format: ApiFormat, kind: OpaqueKind, data: &str) -> Opaque {
    Opaque { kind, format, data: data.into() }
}

fn thought(text: &str, opaque: Option<Opaque>) -> Part {
    Part::new(Content::Reasoning(ReasoningPart { text: text.into(), summary: vec![], opaque }))
}

fn tool(name: &str) -> Tool {
    Tool::function(FunctionTool { name: name.into(), ..FunctionTool::default() })
}

#[test]
fn what_claude_code_sends_comes_back_whole() {
    let body = json!({
        "model": "claude-opus-4-6",
        "max_tokens": 32000,
        "stream": true,
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "high"},
        "system": [
            {"type": "text", "text": "You are Claude Code."},
            {"type": "text", "text": "Rules", "cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "global"}},
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "read it", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "", "signature": "sig=="},
                {"type": "redacted_thinking", "data": "enc"},
                {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"b": 1.0, "a": 2}, "caller": {"type": "direct"}},
                {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "x"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": false, "cache_control": {"type": "ephemeral", "ttl": "5m"},
                 "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAA"}}, {"type": "tool_reference", "tool_name": "x"}]},
                {"type": "document", "title": "T", "context": "c", "citations": {"enabled": true}, "source": {"type": "text", "media_type": "text/plain", "data": "doc"}},
                {"type": "search_result", "source": "https://a", "title": "b", "content": [{"type": "text", "text": "t"}]},
            ]},
            {"role": "system", "content": "Stay calm.", "output_config": {"effort": "low"}},
        ],
        "tools": [
            {"name": "Read", "description": "d", "input_schema": {"$schema": "s", "type": "object", "properties": {}}, "cache_control": {"type": "ephemeral"}, "defer_loading": true},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "metadata": {"user_id": "{\"device\":1}"},
        "service_tier": "auto",
        "stop_sequences": ["END"],
        "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
        "cache_control": {"type": "ephemeral"},
        "mcp_servers": [],
    });
    let request = decode(body.clone());
    assert_eq!(request.reasoning.as_ref().unwrap().effort, Some(Effort::High));
    assert_eq!(request.messages[0].parts[1].cache, Some(CacheMark { ttl: Some("1h".into()) }));
    assert_eq!(request.parallel_tool_calls, Some(false));
    assert_eq!(request.messages[4].role, Role::System);
    let (out, losses) = encode(&request);
    assert_eq!(losses, Vec::<String>::new());
    assert_eq!(out, body);
    assert_eq!(decode(out), request);
}

#[test]
fn the_bytes_of_a_tool_input_are_kept() {
    let input = r#"{ "z":1.50,"a" : [1e3,"\u00e9"], "big":12345678901234567890123 }"#;
    let body = format!(
        r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"u"}},{{"role":"assistant","content":[{{"type":"tool_use","id":"a","name":"f","input":{input}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"a"}}]}}],"tools":[{{"name":"f","input_schema":{{"type":"object"}}}}]}}"#
    );
    let request = codec().decode_request(body.as_bytes(), AddressHints::default()).unwrap();
    let Content::ToolCall(call) = &request.messages[1].parts[0].content else { panic!() };
    assert_eq!(call.arguments, input);
    let out = codec().encode_request(&request, &Dialect::default()).unwrap().value;
    assert!(String::from_utf8(out).unwrap().contains(&format!(r#""input":{input}"#)));
}

#[test]
fn case_12_every_cache_mark_survives() {
    let mark = json!({"type": "ephemeral", "ttl": "1h"});
    let body = json!({
        "model": "claude-x", "max_tokens": 9, "cache_control": mark,
        "system": [{"type": "text", "text": "s", "cache_control": mark}],
        "tools": [
            {"name": "f", "input_schema": {"type": "object"}, "cache_control": mark},
            {"type": "computer_20251124", "name": "computer", "cache_control": mark},
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "u", "cache_control": mark}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}, "cache_control": mark}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "r", "cache_control": mark}], "cache_control": mark},
                {"type": "search_result", "source": "s", "title": "t", "content": [], "cache_control": mark},
            ]},
        ],
    });
    let count = |value: &Value| value.to_string().matches("cache_control").count();
    let (out, losses) = encode(&decode(body.clone()));
    assert!(losses.is_empty(), "{losses:?}");
    assert_eq!((out.clone(), count(&out)), (body, 9));
}

#[test]
fn errors_tell_where_they_are() {
    let pointer = |body: &str| codec().decode_request(body.as_bytes(), AddressHints::default()).unwrap_err().pointer;
    assert_eq!(pointer(r#"{"messages":[]}"#), "/model");
    assert_eq!(pointer(r#"{"model":"m"}"#), "/messages");
    assert_eq!(
        pointer(r#"{"model":"m","messages":[{"role":"user","content":[{"text":"x"}]}]}"#),
        "/messages/0/content/0/type"
    );
    assert_eq!(pointer(r#"{"model":"m","messages":[{"role":"robot"}]}"#), "/messages/0/role");
    assert_eq!(pointer(r#"{"model":"m","messages":[],"tools":[{"input_schema":{}}]}"#), "/tools/0/name");
    assert_eq!(pointer(r#"{"model":"m","messages":[],"max_tokens":"x"}"#), "/max_tokens");
}

#[test]
fn the_output_limit_is_always_there() {
    assert_eq!(encode(&plain("m")).0["max_tokens"], 8192);
    let dialect = Dialect { defaults: json!({"max_tokens": 4096}).as_object().unwrap().clone(), ..Dialect::default() };
    assert_eq!(encode_for(&plain("m"), &dialect).0["max_tokens"], 4096);
    let mut thinking = plain("claude-haiku-4-5");
    thinking.reasoning = Some(Reasoning { effort: Some(Effort::High), ..Reasoning::default() });
    assert_eq!(encode(&thinking).0["max_tokens"], 16_384 + 8192);
}

#[test]
fn case_09_a_budget_is_brought_into_its_limits_with_a_loss() {
    let mut request = plain("claude-haiku-4-5");
    request.max_tokens = Some(5000);
    let mut with = |budget| {
        request.reasoning = Some(Reasoning { enabled: Some(true), budget: Some(budget), ..Reasoning::default() });
        let (out, losses) = encode(&request);
        (out["thinking"]["budget_tokens"].as_u64(), losses.len())
    };
    assert_eq!(with(500), (Some(1024), 1));
    assert_eq!(with(3000), (Some(3000), 0));
    assert_eq!(with(5000), (Some(3750), 1));
    assert_eq!(with(u64::MAX), (Some(3750), 1));
    request.max_tokens = Some(1024);
    request.reasoning = Some(Reasoning { enabled: Some(true), budget: Some(2000), ..Reasoning::default() });
    let (out, losses) = encode(&request);
    assert!(out.get("thinking").is_none());
    assert_eq!(losses, ["reasoning: max_tokens leaves no room for thinking"]);
}

#[test]
fn an_effort_becomes_what_the_model_takes() {
    let thinking = |model: &str, reasoning: Reasoning| {
        let (out, _) = encode(&ChatRequest { reasoning: Some(reasoning), ..plain(model) });
        (
            out.get("thinking").cloned().unwrap_or_default(),
            out.pointer("/output_config/effort").cloned().unwrap_or_default(),
        )
    };
    let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
    assert_eq!(thinking("claude-opus-4-6", effort(Effort::Max)), (json!({"type": "adaptive"}), json!("max")));
    assert_eq!(thinking("claude-opus-4-7", effort(Effort::XHigh)), (json!({"type": "adaptive"}), json!("xhigh")));
    assert_eq!(
        thinking("claude-haiku-4-5", effort(Effort::Low)),
        (json!({"type": "enabled", "budget_tokens": 2048}), Value::Null)
    );
    assert_eq!(
        thinking("glm-5", effort(Effort::Low)),
        (json!({"type": "enabled", "budget_tokens": 2048}), json!("low"))
    );
    assert_eq!(thinking("claude-3-5-sonnet-20241022", effort(Effort::Low)), (Value::Null, Value::Null));
    assert_eq!(thinking("claude-sonnet-4-5", effort(Effort::None)), (json!({"type": "disabled"}), Value::Null));
    assert_eq!(thinking("claude-opus-4-8", effort(Effort::None)), (Value::Null, Value::Null));
    let budget = Reasoning { budget: Some(10_000), ..Reasoning::default() };
    assert_eq!(thinking("claude-sonnet-5", budget.clone()), (json!({"type": "adaptive"}), json!("medium")));
    assert_eq!(
        thinking("claude-sonnet-4-6", budget),
        (json!({"type": "enabled", "budget_tokens": 10_000}), Value::Null)
    );
}

#[test]
fn an_effort_without_thinking_stays_without_thinking_among_clients_of_this_format() {
    let body = json!({"model": "claude-opus-4-6", "max_tokens": 9, "messages": [{"role": "user", "content": "u"}], "output_config": {"effort": "low"}});
    let request = decode(body.clone());
    assert_eq!(request.reasoning.as_ref().unwrap().effort, Some(Effort::Low));
    assert_eq!(encode(&request).0, body);
}

#[test]
fn sampling_follows_thinking_and_the_model() {
    let mut request = plain("claude-haiku-4-5");
    request.sampling = Sampling {
        temperature: Some(1.7),
        top_p: Some(0.5),
        top_k: Some(5),
        stop: Some(vec![" ".into(), "x".into()]),
        ..Sampling::default()
    };
    let (out, losses) = encode(&request);
    assert_eq!((&out["temperature"], &out["top_k"], &out["stop_sequences"]), (&json!(1.0), &json!(5), &json!(["x"])));
    assert!(out.get("top_p").is_none());
    assert_eq!(losses.len(), 3);
    request.reasoning = Some(Reasoning { enabled: Some(true), ..Reasoning::default() });
    let (out, losses) = encode(&request);
    assert!(["temperature", "top_p", "top_k"].iter().all(|name| out.get(*name).is_none()));
    assert_eq!(losses.iter().filter(|loss| loss.ends_with("does not go with thinking")).count(), 3);
    request.model = "claude-opus-4-7".into();
    let (_, losses) = encode(&request);
    assert_eq!(losses.iter().filter(|loss| loss.ends_with("is refused by this model")).count(), 3);
}

#[test]
fn a_forced_choice_gives_way_to_thinking() {
    let mut request = plain("claude-haiku-4-5");
    request.tools = vec![tool("f")];
    request.tool_choice = Some(ToolChoice::Required);
    assert_eq!(encode(&request).0["tool_choice"], json!({"type": "any"}));
    request.reasoning = Some(Reasoning { enabled: Some(true), ..Reasoning::default() });
    let (out, losses) = encode(&request);
    assert_eq!(out["tool_choice"], json!({"type": "auto"}));
    assert_eq!(losses, ["tool_choice: cannot be forced while thinking"]);
}

#[test]
fn thinking_is_off_for_a_call_whose_running_loop_lost_it() {
    let signed = || thought("t", Some(blob(FORMAT, OpaqueKind::Signature, "s")));
    let foreign = || thought("t", Some(blob(ApiFormat::OpenaiResponses, OpaqueKind::Encrypted, "e")));
    let run = |first: Vec<Part>, second: Vec<Part>| {
        let mut request = plain("claude-haiku-4-5");
        request.tools = vec![tool("get")];
        request.reasoning = Some(Reasoning { enabled: Some(true), budget: Some(2000), ..Reasoning::default() });
        request.messages.extend([
            Message::new(Role::Assistant, first),
            Message::new(Role::Tool, vec![result("a", "1")]),
            Message::new(Role::Assistant, second),
            Message::new(Role::Tool, vec![result("b", "2")]),
        ]);
        let (out, losses) = encode(&request);
        (out.get("thinking").is_some(), out["messages"].to_string().contains("\"thinking\""), losses.len())
    };
    assert_eq!(run(vec![signed(), call("a", "{}")], vec![call("b", "{}")]), (true, true, 0));
    assert_eq!(run(vec![foreign(), call("a", "{}")], vec![signed(), call("b", "{}")]), (false, false, 2));
    assert_eq!(run(vec![call("a", "{}")], vec![call("b", "{}")]), (false, false, 1));
    // A loop that is over does not matter.
    let mut request = plain("claude-haiku-4-5");
    request.tools = vec![tool("get")];
    request.reasoning = Some(Reasoning { enabled: Some(true), ..Reasoning::default() });
    request.messages.extend([
        Message::new(Role::Assistant, vec![call("a", "{}")]),
        Message::new(Role::Tool, vec![result("a", "1")]),
        Message::text(Role::Assistant, "done"),
        Message::text(Role::User, "next"),
    ]);
    assert!(encode(&request).0.get("thinking").is_some());
}

#[test]
fn older_models_and_hosts_that_refuse_it_get_operators_words_in_the_users_turn() {
    let mut request = plain("claude-sonnet-4-5");
    request.messages.extend([
        Message::text(Role::System, "calm"),
        Message::text(Role::Assistant, "ok"),
        Message::text(Role::User, "v"),
    ]);
    assert_eq!(encode(&request).0["messages"][1], json!({"role": "system", "content": "calm"}));
    let folded = |request: &ChatRequest, dialect: &Dialect| {
        encode_for(request, dialect).0["messages"][0]["content"][1]["text"].clone()
    };
    let expected = json!("<system-reminder>\ncalm\n</system-reminder>");
    assert_eq!(folded(&request, &Dialect { no_inline_system: true, ..Dialect::default() }), expected);
    request.model = "claude-3-5-sonnet-20241022".into();
    assert_eq!(folded(&request, &Dialect::default()), expected);
}

#[test]
fn case_05_case_07_signed_and_redacted_thinking_keeps_bytes_and_order() {
    let content = json!([
        {"type": "thinking", "thinking": "first ", "signature": "A=="},
        {"type": "redacted_thinking", "data": "B=="},
        {"type": "thinking", "thinking": "", "signature": "C=="},
        {"type": "tool_use", "id": "t", "name": "get", "input": {}},
    ]);
    let body = json!({
        "model": "claude-x", "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": content},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r"}]},
        ],
        "tools": [{"name": "get", "input_schema": {"type": "object"}}],
    });
    let (out, losses) = encode(&decode(body));
    assert_eq!(out["messages"][1]["content"], content);
    assert!(losses.is_empty());
}

#[test]
fn unsigned_thinking_goes_back_only_where_the_host_wants_it() {
    let mut request = plain("deepseek-chat");
    request.messages.extend([
        Message::new(Role::Assistant, vec![thought("t", None), Part::text("a")]),
        Message::text(Role::User, "v"),
    ]);
    let (out, losses) = encode(&request);
    assert_eq!(out["messages"][1]["content"], json!("a"));
    assert_eq!(losses.len(), 1);
    let dialect = Dialect { replay_reasoning: ReplayReasoning::Always, ..Dialect::default() };
    let (out, losses) = encode_for(&request, &dialect);
    assert_eq!(out["messages"][1]["content"][0], json!({"type": "thinking", "thinking": "t", "signature": ""}));
    assert!(losses.is_empty());
}

#[test]
fn case_10_the_tool_matrix_of_chat_goes_over() {
    let mut request = plain("claude-haiku-4-5");
    request.tools = vec![
        Tool::function(FunctionTool {
            name: "a.b".into(),
            parameters: Some(json!({"properties": {"x": {"type": "string"}}})),
            strict: Some(true),
            ..FunctionTool::default()
        }),
        tool("bare"),
        Tool {
            kind: ToolKind::Custom {
                name: "patch".into(),
                description: Some("d".into()),
                format: Some(json!({"type": "grammar", "definition": "start: /x/"})),
                namespace: None,
            },
            cache: None,
            extras: Extras::NONE,
        },
        Tool {
            kind: ToolKind::Native { format: ApiFormat::OpenaiResponses, kind: "web_search".into(), value: json!({}) },
            cache: None,
            extras: Extras::NONE,
        },
    ];
    request.messages.extend([
        Message::new(
            Role::Assistant,
            vec![call("call_1", r#"{"x":1}"#), call("functions.get:0", ""), call("call_3", "oops")],
        ),
        Message::new(Role::Tool, vec![result("call_1", "1")]),
        Message::new(Role::Tool, vec![result("functions.get:0", "2")]),
        Message::new(Role::Tool, vec![result("call_3", "")]),
    ]);
    let (out, losses) = encode(&request);
    let tools = &out["tools"];
    assert_eq!(
        tools[0],
        json!({"name": "a_b", "input_schema": {"type": "object", "properties": {"x": {"type": "string"}}}, "strict": true})
    );
    assert_eq!(tools[1], json!({"name": "bare", "input_schema": {"type": "object", "properties": {}}}));
    assert_eq!(tools[2]["description"], "d\n\nThe input must follow this grammar:\nstart: /x/");
    assert_eq!(tools.as_array().unwrap().len(), 3);
    let assistant = &out["messages"][1]["content"];
    let id = assistant[1]["id"].as_str().unwrap();
    assert!(id.starts_with("toolu_"));
    assert_eq!(assistant[1]["input"], json!({}));
    assert_eq!(assistant[2]["input"], json!({"input": "oops"}));
    assert_eq!(
        out["messages"][2],
        json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": "1"},
            {"type": "tool_result", "tool_use_id": id, "content": "2"},
            {"type": "tool_result", "tool_use_id": "call_3", "content": ""},
        ]})
    );
    assert_eq!(losses.len(), 4, "{losses:?}");
}

#[test]
fn case_11_parallel_and_allowed_tools_are_carried() {
    let mut request = plain("claude-haiku-4-5");
    request.tools = vec![tool("a"), tool("b")];
    request.parallel_tool_calls = Some(false);
    assert_eq!(encode(&request).0["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
    request.parallel_tool_calls = Some(true);
    assert!(encode(&request).0.get("tool_choice").is_none());
    request.tool_choice = Some(ToolChoice::Allowed { names: vec!["b".into()], required: true });
    let (out, _) = encode(&request);
    assert_eq!(out["tools"].as_array().unwrap().len(), 1);
    assert_eq!(out["tool_choice"], json!({"type": "any", "disable_parallel_tool_use": false}));
    request.tool_choice = Some(ToolChoice::Tool { name: "a".into(), kind: ToolCallKind::Function });
    assert_eq!(encode(&request).0["tool_choice"]["name"], "a");
    request.tools.clear();
    let (out, losses) = encode(&request);
    assert!(out.get("tool_choice").is_none());
    assert_eq!(losses.len(), 1);
}

#[test]
fn a_history_with_calls_and_no_tools_declares_them() {
    let mut request = plain("claude-haiku-4-5");
    request.messages.extend([
        Message::new(Role::Assistant, vec![call("a", "{}")]),
        Message::new(Role::Tool, vec![result("a", "1")]),
    ]);
    let (out, _) = encode(&request);
    assert_eq!(out["tools"], json!([{"name": "get", "input_schema": {"type": "object", "properties": {}}}]));
    assert_eq!(out["tool_choice"], json!({"type": "none"}));
}

#[test]
fn hosts_without_a_model_in_the_body_get_their_version() {
    let mut request = plain("claude-haiku-4-5");
    request.stream = Some(true);
    let dialect = |version: &str| Dialect { anthropic_version: Some(version.into()), ..Dialect::default() };
    let (vertex, _) = encode_for(&request, &dialect("vertex-2023-10-16"));
    assert_eq!((vertex.get("model"), &vertex["stream"]), (None, &json!(true)));
    assert_eq!(vertex["anthropic_version"], "vertex-2023-10-16");
    let (bedrock, _) = encode_for(&request, &dialect("bedrock-2023-05-31"));
    assert_eq!((bedrock.get("model"), bedrock.get("stream")), (None, None));
    let body =
        json!({"anthropic_version": "vertex-2023-10-16", "messages": [{"role": "user", "content": "u"}]}).to_string();
    let hints = AddressHints { model: Some("claude-haiku-4-5"), stream: Some(true) };
    let read = codec().decode_request(body.as_bytes(), hints).unwrap();
    assert_eq!((read.model.as_str(), read.stream), ("claude-haiku-4-5", Some(true)));
    assert!(read.extras.is_empty());
}

#[test]
fn structured_output_is_asked_for_the_new_way_and_in_the_prompt_where_it_must() {
    let schema = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let legacy = decode(
        json!({"model": "m", "messages": [{"role": "user", "content": "u"}], "output_format": {"type": "json_schema", "schema": schema}}),
    );
    assert_eq!(encode(&legacy).0["output_config"], json!({"format": {"type": "json_schema", "schema": schema}}));
    let dialect = Dialect { no_json_schema: true, ..Dialect::default() };
    let (out, losses) = encode_for(&legacy, &dialect);
    assert!(out.get("output_config").is_none());
    assert!(out["system"][0]["text"].as_str().unwrap().contains("additionalProperties"));
    assert_eq!(losses.len(), 1);
    let object = ChatRequest { output: Some(OutputFormat::JsonObject), ..plain("m") };
    assert!(encode(&object).0["system"].to_string().contains("JSON object"));
}

#[test]
fn media_is_sniffed_and_foreign_sources_are_brought_home() {
    let media = |kind, source, media_type: &str| {
        Part::new(Content::Media(Media { kind, source, media_type: Some(media_type.into()), name: None, detail: None }))
    };
    let mut request = plain("m");
    request.messages[0].parts = vec![
        media(MediaKind::Image, MediaSource::Base64("/9j/4AAQ".into()), "image/png"),
        media(MediaKind::Image, MediaSource::Url("data:image/gif;base64,R0lGODlh".into()), ""),
        media(MediaKind::Image, MediaSource::Url("https://x/y.png".into()), ""),
        media(MediaKind::Document, MediaSource::Base64("aGVsbG8=".into()), "text/plain"),
        media(MediaKind::Document, MediaSource::Base64("UEsDBA==".into()), "application/zip"),
        media(MediaKind::Audio, MediaSource::Base64("AAAA".into()), "audio/wav"),
    ];
    let (out, losses) = encode(&request);
    let content = &out["messages"][0]["content"];
    assert_eq!(content[0]["source"], json!({"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQ"}));
    assert_eq!(content[1]["source"], json!({"type": "base64", "media_type": "image/gif", "data": "R0lGODlh"}));
    assert_eq!(content[2]["source"], json!({"type": "url", "url": "https://x/y.png"}));
    assert_eq!(
        content[3],
        json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}})
    );
    assert_eq!(content.as_array().unwrap().len(), 4);
    assert_eq!(losses.len(), 2);
}

#[test]
fn fields_without_a_place_are_losses() {
    let mut request = plain("m");
    request.n = Some(2);
    request.cache_key = Some("k".into());
    request.verbosity = Some("low".into());
    request.sampling.seed = Some(1);
    request.service_tier = Some("flex".into());
    request.extras = Extras::new(ApiFormat::OpenaiChat, json!({"logprobs_x": 1}).as_object().unwrap().clone());
    let (_, losses) = encode(&request);
    for field in ["n", "cache_key", "verbosity", "sampling.seed", "service_tier", "extras.logprobs_x"] {
        assert!(losses.iter().any(|loss| loss.starts_with(&format!("{field}:"))), "{field} in {losses:?}");
    }
}

#[test]
fn case_23_a_request_to_count_has_no_limit_and_the_answer_one_number() {
    let mut request = plain("claude-haiku-4-5");
    request.tools = vec![tool("f")];
    request.stream = Some(true);
    request.sampling.temperature = Some(0.5);
    let out: Value =
        serde_json::from_slice(&encode_count_request(&request, &Dialect::default()).unwrap().value).unwrap();
    let names: Vec<&String> = out.as_object().unwrap().keys().collect();
    assert_eq!(names, ["model", "messages", "tools"]);
    assert_eq!(encode_count_response(14), br#"{"input_tokens":14}"#);
    assert_eq!(decode_count_response(br#"{"input_tokens":14}"#).unwrap(), 14);
    assert!(decode_count_response(b"{}").is_err());
    let wrapped: Value =
        serde_json::from_slice(&bedrock_count_request(&request, &Dialect::default()).unwrap().value).unwrap();
    assert!(wrapped.pointer("/input/invokeModel/body").unwrap().is_string());
}

mod streams;

#[test]
fn a_foreign_signature_behind_the_last_word_does_not_hide_the_answer() {
    let blob = Opaque { kind: OpaqueKind::Signature, format: ApiFormat::Gemini, data: "CgMSAwAB".into() };
    let thought = || {
        let reasoning = ReasoningPart { opaque: Some(blob.clone()), ..ReasoningPart::default() };
        Part::new(Content::Reasoning(reasoning))
    };
    let call = ToolCall {
        id: "t1".into(),
        name: "f".into(),
        namespace: None,
        kind: ToolCallKind::Function,
        arguments: "{}".into(),
        signature: None,
    };
    for (parts, kept) in [
        (vec![Part::text("done"), thought()], false),
        (vec![Part::text("wait"), thought(), Part::new(Content::ToolCall(call))], true),
        (vec![thought()], true),
    ] {
        let choice = Choice { parts, finish: Some(Finish::new(FinishReason::Stop)), ..Choice::default() };
        let response = ChatResponse { choices: vec![choice], ..ChatResponse::default() };
        let codec = ApiFormat::AnthropicMessages.codec();
        let whole = codec.encode_response(&response, &ReplyContext::default());
        let mut encoder = codec.stream_encoder(ReplyContext::default());
        let mut streamed = Vec::new();
        for event in crate::fold::unfold(response) {
            encoder.push(&event, &mut streamed);
        }
        for written in [&whole.value, &streamed] {
            assert_eq!(String::from_utf8_lossy(written).contains("CgMSAwAB"), kept);
        }
        assert_eq!((whole.losses.is_empty(), encoder.losses().is_empty()), (kept, kept));
    }
}
