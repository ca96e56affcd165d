use serde_json::{Value, json};

use super::*;
use crate::ApiFormat;
use crate::dialect::{MaxTokensField, ReasoningRequest, ToolCallIds};
use crate::ir::{
    CacheMark, Effort, Extras, Media, MediaKind, MediaSource, Message, OutputFormat, Part, Reasoning, Role, Tool,
    ToolCallKind, ToolChoice, ToolKind, ToolResult,
};

fn host() -> Dialect {
    Dialect::default()
}

fn with(message: Value) -> ChatRequest {
    request(&json!({ "model": "m", "messages": [message] }))
}

fn result(id: &str, content: Vec<Part>) -> Part {
    let result = ToolResult { call_id: id.into(), name: None, kind: ToolCallKind::Function, content, is_error: None };
    Part::new(Content::ToolResult(result))
}

fn picture() -> Part {
    let source = MediaSource::Base64("iVBORw0KGgo=".into());
    Part::new(Content::Media(Media {
        kind: MediaKind::Image,
        source,
        media_type: Some("image/png".into()),
        name: None,
        detail: None,
    }))
}

#[test]
fn case_21_the_limit_survives_under_either_name() {
    let old = Dialect { max_tokens: MaxTokensField::MaxTokens, ..host() };
    for name in ["max_tokens", "max_completion_tokens"] {
        let asked = request(&json!({ "model": "m", "messages": [], name: 77 }));
        assert_eq!(asked.max_tokens, Some(77));
        assert_eq!(sent(&asked, &host()).0["max_completion_tokens"], 77);
        assert_eq!(sent(&asked, &old).0["max_tokens"], 77);
        assert_eq!(sent(&asked, &old).0.get("max_completion_tokens"), None);
    }
}

#[test]
fn case_36_streams_always_ask_for_usage() {
    let asked = request(
        &json!({ "model": "m", "messages": [], "stream": true, "stream_options": { "include_obfuscation": false } }),
    );
    assert_eq!(asked.include_usage, None);
    assert_eq!(
        sent(&asked, &host()).0["stream_options"],
        json!({ "include_obfuscation": false, "include_usage": true })
    );
    assert_eq!(sent(&asked, &Dialect { no_stream_options: true, ..host() }).0.get("stream_options"), None);
    let whole = request(&json!({ "model": "m", "messages": [], "stream": false }));
    assert_eq!(sent(&whole, &host()).0.get("stream_options"), None);
}

#[test]
fn unknown_fields_and_nulls_pass_and_foreign_ones_are_losses() {
    let body = json!({ "model": "m", "messages": [], "temperature": null, "prediction": { "type": "content" }, "web_search_options": {} });
    let asked = request(&body);
    let (out, losses) = sent(&asked, &host());
    assert_eq!((out, losses), (body, vec![]));
    let mut extras = Extras::NONE;
    extras.insert(ApiFormat::Gemini, "safetySettings", json!([]));
    let (_, losses) = sent(&ChatRequest { extras, ..ChatRequest::default() }, &host());
    assert_eq!(lost(&losses), ["extras.safetySettings"]);
}

#[test]
fn wrong_types_are_refused_where_they_stand() {
    for (body, at) in [
        (json!([]), ""),
        (json!({ "model": "m" }), "/messages"),
        (json!({ "messages": {} }), "/messages"),
        (json!({ "messages": [1] }), "/messages/0"),
        (json!({ "messages": [{ "content": "x" }] }), "/messages/0/role"),
        (json!({ "messages": [{ "role": "bot" }] }), "/messages/0/role"),
        (json!({ "messages": [{ "role": "user", "content": 1 }] }), "/messages/0/content"),
        (json!({ "messages": [{ "role": "user", "content": [{}] }] }), "/messages/0/content/0/type"),
        (json!({ "messages": [], "temperature": "hot" }), "/temperature"),
        (json!({ "messages": [], "max_tokens": -1 }), "/max_tokens"),
        (json!({ "messages": [], "stop": [1] }), "/stop/0"),
        (json!({ "messages": [], "tools": [{ "type": "function", "function": {} }] }), "/tools/0/function/name"),
    ] {
        let error = codec().decode_request(body.to_string().as_bytes(), AddressHints::default()).unwrap_err();
        assert_eq!(error.pointer, at, "{body}");
    }
    assert!(codec().decode_request(b"{", AddressHints::default()).is_err());
}

#[test]
fn the_path_names_the_model_if_the_body_does_not() {
    let hints = AddressHints { model: Some("deployment"), stream: Some(true) };
    let asked = codec().decode_request(br#"{"messages":[]}"#, hints).unwrap();
    assert_eq!((asked.model.as_str(), asked.stream), ("deployment", Some(true)));
}

#[test]
fn parts_keep_their_kind_and_their_marks() {
    let content = json!([
        { "type": "text", "text": "see", "cache_control": { "type": "ephemeral", "ttl": "1h" } },
        { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low" } },
        { "type": "image_url", "image_url": { "url": "https://a/b.png" } },
        { "type": "input_audio", "input_audio": { "data": "UklGRg==", "format": "wav" } },
        { "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0=" } },
        { "type": "file", "file": { "file_id": "file-1" } },
        { "type": "video_url", "video_url": { "url": "https://a/b.mp4" } },
        { "type": "novelty", "x": 1 },
    ]);
    let asked = with(json!({ "role": "user", "content": content }));
    let parts = &asked.messages[0].parts;
    assert_eq!(parts[0].cache, Some(CacheMark { ttl: Some("1h".into()) }));
    assert!(
        matches!(&parts[4].content, Content::Media(media) if media.kind == MediaKind::Document && media.name.as_deref() == Some("a.pdf"))
    );
    let marks = Dialect { cache_control: true, ..host() };
    let (out, losses) = sent(&asked, &marks);
    assert_eq!((&out["messages"][0]["content"], losses), (&content, vec![]));
    // Hosts that do not know marks never see them, and the caller hears of it.
    let (out, losses) = sent(&asked, &host());
    assert!(!out.to_string().contains("cache_control"));
    assert_eq!(lost(&losses), ["messages[0].parts[0].cache"]);
}

#[test]
fn bare_files_are_told_by_their_first_bytes() {
    let asked = with(
        json!({ "role": "user", "content": [{ "type": "file", "file": { "file_data": "/9j/4AAQSkZJRgAB", "filename": "x" } }] }),
    );
    assert!(
        matches!(&asked.messages[0].parts[0].content, Content::Media(media) if media.kind == MediaKind::Image && media.media_type.as_deref() == Some("image/jpeg"))
    );
}

#[test]
fn pictures_of_tool_results_move_behind_all_of_them() {
    let messages = vec![
        Message::new(
            Role::User,
            vec![result("a", vec![Part::text("first"), picture()]), result("b", vec![picture()]), Part::text("go on")],
        ),
        Message::new(Role::Tool, vec![result("c", vec![picture()])]),
        Message::new(Role::Tool, vec![result("d", vec![Part::text("last")])]),
    ];
    let asked = ChatRequest { messages, ..ChatRequest::default() };
    let (out, losses) = sent(&asked, &host());
    assert_eq!(losses, []);
    let out = out["messages"].as_array().unwrap();
    let roles: Vec<_> = out.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["tool", "tool", "user", "tool", "tool", "user"]);
    assert_eq!((&out[0]["tool_call_id"], &out[0]["content"]), (&json!("a"), &json!("first")));
    assert!(!out[1]["content"].as_str().unwrap().is_empty(), "a tool message says something");
    let kinds: Vec<_> =
        out[2]["content"].as_array().unwrap().iter().map(|part| part["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text", "image_url", "text", "image_url", "text"]);
    assert!(out[2]["content"][0]["text"].as_str().unwrap().contains('a'));
    assert_eq!(out[5]["content"][1]["type"], "image_url");
    let inside = sent(&asked, &Dialect { images_in_tool_results: true, ..host() }).0;
    assert_eq!(inside["messages"][0]["content"][1]["type"], "image_url");
}

#[test]
fn assistants_with_calls_say_null_and_arguments_are_never_empty() {
    let call = |arguments: Value| json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "f", "arguments": arguments } }] });
    for none in [json!(""), json!(null), json!("{}")] {
        let out = sent(&with(call(none)), &host()).0;
        assert_eq!(out["messages"][0], call(json!("{}")));
    }
    let broken = call(json!("{\"x\": "));
    assert_eq!(
        sent(&with(broken.clone()), &host()).0["messages"][0],
        broken,
        "a call that cannot be parsed is still a call"
    );
    let spaced = call(json!("{\"x\" :  1}"));
    assert_eq!(sent(&with(spaced.clone()), &host()).0["messages"][0], spaced, "byte for byte");
}

#[test]
fn replayed_answers_lose_their_empty_fields_only() {
    let replayed = json!({ "role": "assistant", "content": "hi", "refusal": null, "annotations": [], "audio": null, "function_call": null, "tool_calls": null });
    assert_eq!(sent(&with(replayed), &host()).0["messages"][0], json!({ "role": "assistant", "content": "hi" }));
    let refused = json!({ "role": "assistant", "content": null, "refusal": "no" });
    assert_eq!(sent(&with(refused.clone()), &host()).0["messages"][0], refused);
}

#[test]
fn developers_become_system_where_they_are_unknown() {
    let asked = with(json!({ "role": "developer", "content": "be brief" }));
    assert_eq!(sent(&asked, &host()).0["messages"][0]["role"], "developer");
    assert_eq!(sent(&asked, &Dialect { no_developer_role: true, ..host() }).0["messages"][0]["role"], "system");
}

#[test]
fn ids_that_nobody_gave_are_counted_and_results_find_their_calls() {
    let call = |name: &str| {
        Part::new(Content::ToolCall(ToolCall {
            id: String::new(),
            name: name.into(),
            namespace: None,
            kind: ToolCallKind::Function,
            arguments: "{}".into(),
            signature: None,
        }))
    };
    let answer = |name: &str| {
        let result = ToolResult {
            call_id: String::new(),
            name: Some(name.into()),
            kind: ToolCallKind::Function,
            content: vec![Part::text(name)],
            is_error: None,
        };
        Part::new(Content::ToolResult(result))
    };
    let messages = vec![
        Message::new(Role::Assistant, vec![call("f"), call("g")]),
        Message::new(Role::User, vec![answer("g"), answer("f")]),
    ];
    let asked = ChatRequest { messages, ..ChatRequest::default() };
    let out = sent(&asked, &host()).0;
    assert_eq!(out["messages"][0]["tool_calls"][1]["id"], "call_1");
    assert_eq!((&out["messages"][1]["tool_call_id"], &out["messages"][1]["content"]), (&json!("call_1"), &json!("g")));
    assert_eq!(out["messages"][2]["tool_call_id"], "call_0");
    assert_eq!(sent(&asked, &host()).0, out, "the same every time");
}

#[test]
fn ids_are_hashed_into_nine_letters_for_calls_and_results_alike() {
    let mistral = Dialect { tool_call_ids: ToolCallIds::NineAlphanumeric, ..host() };
    let history = |id: &str| {
        json!({ "model": "m", "messages": [
            { "role": "assistant", "tool_calls": [{ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } }] },
            { "role": "tool", "tool_call_id": id, "content": "x" },
        ] })
    };
    let ids = |id: &str| {
        let out = sent(&request(&history(id)), &mistral).0;
        let given = out["messages"][0]["tool_calls"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(out["messages"][1]["tool_call_id"], given.as_str());
        given
    };
    let hashed = ids("call_abc");
    assert!(hashed.len() == 9 && hashed.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_ne!(hashed, ids("call_abd"));
    assert_eq!(ids("Ab3456789"), "Ab3456789");
}

#[test]
fn case_10_every_choice_between_tools_arrives() {
    let tools = json!([{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" }, "strict": true } }, { "type": "custom", "custom": { "name": "p", "format": { "type": "text" } } }]);
    let body = |choice: &Value| json!({ "model": "m", "messages": [], "tools": tools, "tool_choice": choice });
    for choice in [
        json!("auto"),
        json!("none"),
        json!("required"),
        json!({ "type": "function", "function": { "name": "f" } }),
        json!({ "type": "custom", "custom": { "name": "p" } }),
        json!({ "type": "allowed_tools", "allowed_tools": { "mode": "required", "tools": [{ "type": "function", "function": { "name": "f" } }, { "type": "custom", "custom": { "name": "p" } }] } }),
        json!({ "type": "novelty" }),
    ] {
        let (out, losses) = sent(&request(&body(&choice)), &host());
        assert_eq!((out, losses), (body(&choice), vec![]));
    }
    let any = Dialect { required_is_any: true, ..host() };
    assert_eq!(sent(&request(&body(&json!("required"))), &any).0["tool_choice"], "any");
    assert_eq!(request(&body(&json!("any"))).tool_choice, Some(ToolChoice::Required));
}

#[test]
fn case_11_limits_on_tools_are_kept_or_told() {
    let body = json!({ "model": "m", "messages": [], "tools": [{ "type": "function", "function": { "name": "f" } }, { "type": "function", "function": { "name": "g" } }],
        "parallel_tool_calls": false, "tool_choice": { "type": "allowed_tools", "allowed_tools": { "mode": "required", "tools": [{ "type": "function", "function": { "name": "g" } }] } } });
    let asked = request(&body);
    assert_eq!(sent(&asked, &host()).0, body);
    let (out, losses) = sent(&asked, &Dialect { no_allowed_tools: true, no_parallel_tool_calls: true, ..host() });
    assert_eq!(
        (&out["tools"][0]["function"]["name"], out["tools"].as_array().unwrap().len(), &out["tool_choice"]),
        (&json!("g"), 1, &json!("required"))
    );
    assert_eq!((out.get("parallel_tool_calls"), lost(&losses)), (None, vec!["parallel_tool_calls"]));
}

#[test]
fn free_text_tools_become_functions_where_they_are_refused() {
    let body = json!({ "model": "m", "messages": [{ "role": "assistant", "content": null, "tool_calls": [{ "id": "a", "type": "custom", "custom": { "name": "p", "input": "x\"y" } }] }],
        "tools": [{ "type": "custom", "custom": { "name": "p", "description": "patch", "format": { "type": "grammar", "grammar": { "syntax": "lark", "definition": "start: X" } } } }] });
    let (out, losses) = sent(&request(&body), &Dialect { no_custom_tools: true, ..host() });
    assert_eq!(out["tools"][0]["function"]["parameters"]["required"], json!(["input"]));
    assert!(out["tools"][0]["function"]["description"].as_str().unwrap().contains("start: X"));
    assert_eq!(
        out["messages"][0]["tool_calls"][0]["function"],
        json!({ "name": "p", "arguments": "{\"input\":\"x\\\"y\"}" })
    );
    assert_eq!(lost(&losses), ["tools[0]"]);
}

#[test]
fn tools_of_other_providers_are_losses_and_marks_on_tools_survive() {
    let native = Tool {
        kind: ToolKind::Native {
            format: ApiFormat::AnthropicMessages,
            kind: "web_search_20250305".into(),
            value: json!({}),
        },
        cache: None,
        extras: Extras::NONE,
    };
    let (out, losses) = sent(&ChatRequest { tools: vec![native], ..ChatRequest::default() }, &host());
    assert_eq!((out.get("tools"), losses.len()), (None, 1));
    let own =
        json!({ "model": "m", "messages": [], "tools": [{ "type": "web_search", "web_search": { "enable": true } }] });
    assert_eq!(sent(&request(&own), &host()).0, own);
    let marked = json!({ "model": "m", "messages": [], "tools": [{ "type": "function", "function": { "name": "f" }, "cache_control": { "type": "ephemeral" } }] });
    assert_eq!(sent(&request(&marked), &Dialect { cache_control: true, ..host() }).0, marked, "case_12");
    assert_eq!(lost(&sent(&request(&marked), &host()).1), ["tools[0].cache"]);
}

#[test]
fn legacy_functions_are_tools_and_their_results_find_them() {
    let asked = request(
        &json!({ "model": "m", "functions": [{ "name": "f", "parameters": {} }], "function_call": { "name": "f" }, "messages": [
        { "role": "assistant", "content": null, "function_call": { "name": "f", "arguments": "{}" } },
        { "role": "function", "name": "f", "content": "done" },
    ] }),
    );
    let (out, losses) = sent(&asked, &host());
    assert_eq!(losses, []);
    assert_eq!(out["tools"][0]["function"]["name"], "f");
    assert_eq!(out["tool_choice"], json!({ "type": "function", "function": { "name": "f" } }));
    assert_eq!(out["messages"][0]["tool_calls"][0]["id"], out["messages"][1]["tool_call_id"]);
    assert_eq!((out.get("functions"), out.get("function_call")), (None, None));
}

#[test]
fn hosts_without_schemas_get_them_in_the_prompt() {
    let schema = json!({ "type": "object", "properties": { "zz": {} } });
    let body = json!({ "model": "m", "messages": [{ "role": "system", "content": "be brief" }, { "role": "user", "content": "go" }],
        "response_format": { "type": "json_schema", "json_schema": { "name": "s", "schema": schema, "strict": true } } });
    let asked = request(&body);
    assert_eq!(sent(&asked, &host()).0, body);
    let (out, losses) = sent(&asked, &Dialect { no_json_schema: true, ..host() });
    assert_eq!(out["response_format"], json!({ "type": "json_object" }));
    assert!(out["messages"][0]["content"].as_str().unwrap().ends_with(&schema.to_string()));
    assert_eq!(lost(&losses), ["output.schema"]);
}

#[test]
fn json_mode_always_speaks_of_json() {
    let mut asked = with(json!({ "role": "user", "content": "go" }));
    asked.output = Some(OutputFormat::JsonObject);
    let out = sent(&asked, &host()).0;
    assert_eq!(out["messages"][0]["role"], "system");
    let mut said = with(json!({ "role": "user", "content": "as JSON" }));
    said.output = Some(OutputFormat::JsonObject);
    assert_eq!(sent(&said, &host()).0["messages"].as_array().unwrap().len(), 1);
}

#[test]
fn thinking_is_asked_for_in_each_hosts_words() {
    use ReasoningRequest as Kind;
    let wish = |enabled, effort, budget| Some(Reasoning { enabled, effort, budget, ..Reasoning::default() });
    let ask = |reasoning: &Option<Reasoning>, kind| {
        let asked = ChatRequest { model: "m".into(), reasoning: reasoning.clone(), ..ChatRequest::default() };
        let (mut out, losses) = sent(&asked, &Dialect { reasoning_request: kind, ..host() });
        let out_fields = out.as_object_mut().unwrap();
        out_fields.retain(|name, _| name != "model" && name != "messages");
        (out, losses.len())
    };
    let high = wish(None, Some(Effort::High), None);
    assert_eq!(ask(&high, Kind::Effort), (json!({ "reasoning_effort": "high" }), 0));
    assert_eq!(ask(&high, Kind::ThinkingType), (json!({ "thinking": { "type": "enabled" } }), 1));
    assert_eq!(
        ask(&high, Kind::ThinkingTypeAndEffort),
        (json!({ "thinking": { "type": "enabled" }, "reasoning_effort": "high" }), 0)
    );
    assert_eq!(ask(&high, Kind::Object), (json!({ "reasoning": { "effort": "high" } }), 0));
    assert_eq!(ask(&high, Kind::EnableThinking), (json!({ "enable_thinking": true }), 1));
    assert_eq!(ask(&high, Kind::TemplateKwargs), (json!({ "chat_template_kwargs": { "enable_thinking": true } }), 1));
    assert_eq!(ask(&high, Kind::None), (json!({}), 1));
    let budget = wish(Some(true), None, Some(8192));
    assert_eq!(ask(&budget, Kind::Effort), (json!({ "reasoning_effort": "medium" }), 1));
    assert_eq!(ask(&budget, Kind::Object), (json!({ "reasoning": { "max_tokens": 8192, "enabled": true } }), 0));
    assert_eq!(ask(&budget, Kind::EnableThinking), (json!({ "enable_thinking": true, "thinking_budget": 8192 }), 0));
    let off = wish(Some(false), None, None);
    for (kind, expected) in [
        (Kind::Effort, json!({ "reasoning_effort": "none" })),
        (Kind::ThinkingType, json!({ "thinking": { "type": "disabled" } })),
        (Kind::ThinkingTypeAndEffort, json!({ "thinking": { "type": "disabled" } })),
        (Kind::Object, json!({ "reasoning": { "enabled": false } })),
        (Kind::EnableThinking, json!({ "enable_thinking": false })),
        (Kind::TemplateKwargs, json!({ "chat_template_kwargs": { "enable_thinking": false } })),
    ] {
        assert_eq!(ask(&off, kind), (expected, 0));
    }
}

#[test]
fn every_spelling_of_thinking_is_read() {
    let wish = |field: Value| {
        let mut body = json!({ "model": "m", "messages": [] });
        body.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
        request(&body).reasoning.unwrap()
    };
    let known = |enabled, effort, budget| Reasoning { enabled, effort, budget, ..Reasoning::default() };
    assert_eq!(wish(json!({ "reasoning_effort": "minimal" })), known(None, Some(Effort::Minimal), None));
    assert_eq!(wish(json!({ "reasoning_effort": "none" })), known(Some(false), Some(Effort::None), None));
    assert_eq!(
        wish(json!({ "thinking": { "type": "enabled", "budget_tokens": 9 } })),
        known(Some(true), None, Some(9))
    );
    assert_eq!(wish(json!({ "thinking": { "type": "disabled" } })), known(Some(false), None, None));
    assert_eq!(
        wish(json!({ "reasoning": { "effort": "low", "exclude": true } })),
        Reasoning { shown: Some(false), ..known(None, Some(Effort::Low), None) }
    );
    assert_eq!(wish(json!({ "enable_thinking": true, "thinking_budget": 5 })), known(Some(true), None, Some(5)));
    assert_eq!(wish(json!({ "chat_template_kwargs": { "enable_thinking": false } })), known(Some(false), None, None));
    let kept =
        request(&json!({ "model": "m", "messages": [], "thinking": { "type": "enabled", "clear_thinking": false } }));
    let glm = Dialect { reasoning_request: ReasoningRequest::ThinkingType, ..host() };
    assert_eq!(sent(&kept, &glm).0["thinking"], json!({ "type": "enabled", "clear_thinking": false }));
    assert_eq!(lost(&sent(&kept, &host()).1), ["extras.thinking.clear_thinking"]);
}

#[test]
fn what_a_host_refuses_is_removed_and_told() {
    let asked = request(&json!({ "model": "m", "messages": [], "top_k": 5, "n": 2, "seed": 1, "user": "u" }));
    let strict = Dialect { no_n: true, unsupported: vec!["seed".into(), "absent".into()], ..host() };
    let (out, losses) = sent(&asked, &strict);
    assert_eq!(out, json!({ "model": "m", "messages": [], "user": "u" }));
    assert_eq!(lost(&losses), ["top_k", "n", "seed"]);
    assert_eq!(sent(&asked, &Dialect { top_k: true, ..host() }).0["top_k"], 5);
    let defaults = json!({ "user": "other", "reasoning_split": true }).as_object().unwrap().clone();
    let (out, _) = sent(&asked, &Dialect { defaults, tool_stream: true, ..host() });
    assert_eq!((&out["user"], &out["reasoning_split"], out.get("tool_stream")), (&json!("u"), &json!(true), None));
}

#[test]
fn tool_arguments_stream_where_that_has_to_be_asked_for() {
    let asked = request(
        &json!({ "model": "m", "messages": [], "stream": true, "tools": [{ "type": "function", "function": { "name": "f", "strict": true } }] }),
    );
    let (out, losses) = sent(&asked, &Dialect { tool_stream: true, no_strict: true, ..host() });
    assert_eq!(
        (&out["tool_stream"], out["tools"][0]["function"].get("strict"), lost(&losses)),
        (&json!(true), None, vec!["tools[0].strict"])
    );
}

#[test]
fn texts_are_joined_where_lists_are_refused() {
    let asked = with(
        json!({ "role": "system", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] }),
    );
    assert_eq!(sent(&asked, &Dialect { flat_content: true, ..host() }).0["messages"][0]["content"], "a\n\nb");
    assert!(sent(&asked, &host()).0["messages"][0]["content"].is_array());
}

#[test]
fn media_that_a_host_cannot_take_leave_a_word_and_a_loss() {
    let media =
        |kind, source| Part::new(Content::Media(Media { kind, source, media_type: None, name: None, detail: None }));
    let ask = |part: Part, dialect: &Dialect| {
        let asked = ChatRequest {
            messages: vec![Message::new(Role::User, vec![Part::text("see"), part])],
            ..ChatRequest::default()
        };
        let (out, losses) = sent(&asked, dialect);
        (out["messages"][0]["content"][1].clone(), losses.len())
    };
    let paper = || media(MediaKind::Document, MediaSource::Url("https://a/p.pdf".into()));
    assert_eq!(ask(paper(), &host()), (json!({ "type": "text", "text": "[document: https://a/p.pdf]" }), 1));
    assert_eq!(
        ask(paper(), &Dialect { document_url: true, ..host() }),
        (json!({ "type": "document_url", "document_url": "https://a/p.pdf" }), 0)
    );
    assert_eq!(ask(paper(), &Dialect { file_url: true, ..host() }).0["file"]["file_data"], "https://a/p.pdf");
    let (blind, losses) = ask(picture(), &Dialect { no_images: true, ..host() });
    assert_eq!((&blind["type"], losses), (&json!("text"), 1));
    assert_eq!(
        ask(media(MediaKind::Document, MediaSource::Text("plain".into())), &host()),
        (json!({ "type": "text", "text": "plain" }), 0)
    );
    assert_eq!(ask(media(MediaKind::Image, MediaSource::FileId("f".into())), &host()).1, 1);
}

#[test]
fn stored_responses_cannot_be_continued() {
    let asked = ChatRequest { previous_response_id: Some("resp_1".into()), ..ChatRequest::default() };
    assert_eq!(codec().encode_request(&asked, &host()).unwrap_err().pointer, "/previous_response_id");
}

#[test]
fn hosts_get_only_words_for_thinking_that_they_take() {
    let ask = |effort: &str, words: &[&str]| {
        let efforts = words.iter().map(|word| (*word).to_owned()).collect();
        let (out, losses) = sent(
            &request(&json!({ "model": "m", "messages": [], "reasoning_effort": effort })),
            &Dialect { efforts, ..host() },
        );
        (out["reasoning_effort"].as_str().map(str::to_owned), losses.len())
    };
    for (asked, words, expected, losses) in [
        ("max", &["low", "medium", "high"][..], "high", 1),
        ("minimal", &["low", "high"], "low", 1),
        ("medium", &["low", "high"], "low", 1),
        ("high", &["low", "high"], "high", 0),
        ("none", &["none", "low"], "none", 0),
        ("low", &["none", "high"], "high", 1),
        ("max", &[], "max", 0),
    ] {
        assert_eq!(ask(asked, words), (Some(expected.to_owned()), losses), "{asked} of {words:?}");
    }
}

#[test]
fn inline_files_have_names_with_endings() {
    let name = |given: Option<&str>, kind: &str| {
        let source = MediaSource::Base64("AAAA".into());
        let media = Media {
            kind: MediaKind::Document,
            source,
            media_type: Some(kind.into()),
            name: given.map(str::to_owned),
            detail: None,
        };
        let message = Message::new(Role::User, vec![Part::new(Content::Media(media))]);
        let out = sent(&ChatRequest { messages: vec![message], ..ChatRequest::default() }, &host()).0;
        out["messages"][0]["content"][0]["file"]["filename"].as_str().unwrap().to_owned()
    };
    assert_eq!(name(None, "application/pdf"), "document.pdf");
    assert_eq!(name(Some("Report"), "application/pdf"), "Report.pdf");
    assert_eq!(name(Some("a.b"), "application/pdf"), "a.b");
    assert_eq!(name(None, "text/csv"), "document.csv");
}
