use serde_json::{Value, json};

use super::*;
use crate::fold::{fold, unfold};
use crate::ir::{
    ChatResponse, Choice, Finish, FinishReason, Message, Namespace, Native, OpaqueKind, ReasoningPart, Role, ToolResult,
};
use crate::laws;

fn function(namespace: Option<&str>, name: &str) -> Tool {
    let namespace = namespace.map(|name| Namespace { name: name.into(), description: Some("The group.".into()) });
    Tool::function(FunctionTool { name: name.into(), namespace, ..FunctionTool::default() })
}

fn custom(name: &str) -> Tool {
    let kind = ToolKind::Custom {
        name: name.into(),
        description: Some("Patches.".into()),
        format: Some(json!({"type": "grammar", "syntax": "lark", "definition": "start: X"})),
        namespace: None,
    };
    Tool { kind, ..function(None, "") }
}

fn call(namespace: Option<&str>, name: &str, kind: ToolCallKind, arguments: &str) -> Part {
    Part::new(Content::ToolCall(ToolCall {
        id: "c1".into(),
        name: name.into(),
        namespace: namespace.map(str::to_owned),
        kind,
        arguments: arguments.into(),
        signature: None,
    }))
}

fn request(tools: Vec<Tool>, parts: Vec<Part>) -> ChatRequest {
    let messages = vec![Message::text(Role::User, "hello"), Message::new(Role::Assistant, parts)];
    ChatRequest { model: "m".into(), messages, tools, ..ChatRequest::default() }
}

fn wire_names(request: &ChatRequest) -> Vec<&str> {
    request
        .tools
        .iter()
        .map(|tool| match &tool.kind {
            ToolKind::Function(function) => function.name.as_str(),
            ToolKind::Custom { name, .. } => name.as_str(),
            ToolKind::Native { kind, .. } => kind.as_str(),
        })
        .collect()
}

fn answer(parts: Vec<Part>) -> ChatResponse {
    let finish = Some(Finish::new(FinishReason::ToolCalls));
    ChatResponse { choices: vec![Choice { parts, finish, ..Choice::default() }], ..ChatResponse::default() }
}

/// Lifts a whole answer and the same answer as a stream: both must say the same.
fn lifted(lowered: &Lowered, parts: Vec<Part>) -> Vec<Part> {
    let mut whole = answer(parts);
    let mut lifter = Lifter::new(lowered.names.clone());
    let mut events = Vec::new();
    unfold(whole.clone()).into_iter().for_each(|event| lifter.lift(event, &mut events));
    lowered.names.lift_response(&mut whole);
    assert_eq!(laws::check(&events), Ok(()));
    assert_eq!(fold(events).response, whole);
    whole.choices.remove(0).parts
}

#[test]
fn groups_are_flattened_into_unique_names_and_lifted_back() {
    let tools = vec![function(Some("mcp"), "read"), function(Some("fs"), "read"), function(None, "read")];
    let history = vec![call(Some("fs"), "read", ToolCallKind::Function, "{}")];
    let lowered = lower(request(tools.clone(), history.clone()), ApiFormat::OpenaiChat, &Dialect::default());
    assert_eq!(wire_names(&lowered.request), ["mcp__read", "fs__read", "read"]);
    assert_eq!(
        lowered.request.messages[1].parts,
        [call(None, "fs__read", ToolCallKind::Function, "{}")],
        "history follows"
    );
    let ToolKind::Function(first) = &lowered.request.tools[0].kind else { panic!() };
    assert_eq!((first.description.as_deref(), &first.namespace), (Some("The group."), &None));
    let said = vec![
        call(None, "mcp__read", ToolCallKind::Function, "{\"a\":1}"),
        call(None, "read", ToolCallKind::Function, "{}"),
        call(None, "unheard_of", ToolCallKind::Function, "{}"),
    ];
    assert_eq!(
        lifted(&lowered, said),
        [
            call(Some("mcp"), "read", ToolCallKind::Function, "{\"a\":1}"),
            call(None, "read", ToolCallKind::Function, "{}"),
            call(None, "unheard_of", ToolCallKind::Function, "{}"),
        ]
    );
    let kept = lower(request(tools, history), ApiFormat::OpenaiResponses, &Dialect::default());
    assert!(kept.names.is_identity() && kept.losses.is_empty());
    assert_eq!(wire_names(&kept.request), ["read", "read", "read"]);
}

#[test]
fn a_model_that_leaves_the_group_out_is_understood_if_only_one_tool_can_be_meant() {
    let tools = vec![function(Some("mcp"), "read"), function(Some("fs"), "read"), function(Some("fs"), "write")];
    let lowered = lower(request(tools, vec![]), ApiFormat::AnthropicMessages, &Dialect::default());
    let said =
        vec![call(None, "write", ToolCallKind::Function, "{}"), call(None, "read", ToolCallKind::Function, "{}")];
    let lifted = lifted(&lowered, said);
    assert_eq!(lifted[0], call(Some("fs"), "write", ToolCallKind::Function, "{}"));
    assert_eq!(lifted[1], call(None, "read", ToolCallKind::Function, "{}"));
}

#[test]
fn names_fit_the_target_and_stay_apart() {
    let long = "x".repeat(200);
    let names = ["a.b", "a_b", "a:b", "7up", "é", &long];
    for target in ApiFormat::ALL {
        let tools = names.iter().map(|name| function(None, name)).collect();
        let lowered = lower(request(tools, vec![]), target, &Dialect::default());
        let wire = wire_names(&lowered.request);
        let mut unique = wire.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len(), "{target}: {wire:?}");
        assert_eq!(wire[1], "a_b", "{target}: a name that fits is never changed");
        for (name, wire) in names.iter().zip(wire) {
            let fits = |c: char| {
                c.is_ascii_alphanumeric() || "_-".contains(c) || target == ApiFormat::Gemini && ".:".contains(c)
            };
            let limit = if target == ApiFormat::AnthropicMessages { 128 } else { 64 };
            if wire != *name {
                assert!(wire.chars().all(fits) && wire.len() <= limit, "{target}: {wire}");
            }
            let back = lifted(&lowered, vec![call(None, wire, ToolCallKind::Function, "{}")]);
            assert_eq!(back, [call(None, name, ToolCallKind::Function, "{}")], "{target}");
        }
    }
    let tools = vec![function(None, "7up"), function(None, "a.b")];
    let gemini = lower(request(tools, vec![]), ApiFormat::Gemini, &Dialect::default());
    assert_eq!(wire_names(&gemini.request), ["_7up", "a.b"]);
}

#[test]
fn the_same_tool_has_the_same_name_in_every_turn() {
    let long = format!("{}.tool", "n".repeat(80));
    let first = lower(request(vec![function(None, &long)], vec![]), ApiFormat::OpenaiChat, &Dialect::default());
    let others = vec![function(None, "other"), function(Some("g"), "x.y"), function(None, &long)];
    let later = lower(request(others, vec![]), ApiFormat::OpenaiChat, &Dialect::default());
    assert_eq!(wire_names(&first.request)[0], wire_names(&later.request)[2]);
    assert_eq!(wire_names(&first.request)[0].len(), 64);
}

#[test]
fn free_text_tools_become_functions_and_their_calls_free_text_again() {
    let history = vec![call(None, "apply_patch", ToolCallKind::Custom, "*** \"Begin\"\n")];
    let mut asked = request(vec![custom("apply_patch")], history);
    asked.messages.push(Message::new(
        Role::Tool,
        vec![Part::new(Content::ToolResult(ToolResult {
            call_id: "c1".into(),
            name: Some("apply_patch".into()),
            kind: ToolCallKind::Custom,
            content: vec![Part::text("done")],
            is_error: None,
        }))],
    ));
    asked.tool_choice = Some(ToolChoice::Tool { name: "apply_patch".into(), kind: ToolCallKind::Custom });
    let lowered = lower(asked.clone(), ApiFormat::AnthropicMessages, &Dialect::default());
    let ToolKind::Function(tool) = &lowered.request.tools[0].kind else { panic!() };
    assert_eq!(tool.parameters.as_ref().unwrap()["required"], json!(["input"]));
    assert_eq!(tool.description.as_deref(), Some("Patches.\n\nThe input must follow this grammar:\nstart: X"));
    assert_eq!(lowered.losses.len(), 1);
    assert_eq!(
        lowered.request.tool_choice,
        Some(ToolChoice::Tool { name: "apply_patch".into(), kind: ToolCallKind::Function })
    );
    let Content::ToolCall(sent) = &lowered.request.messages[1].parts[0].content else { panic!() };
    assert_eq!(serde_json::from_str::<Value>(&sent.arguments).unwrap(), json!({"input": "*** \"Begin\"\n"}));
    let Content::ToolResult(result) = &lowered.request.messages[2].parts[0].content else { panic!() };
    assert_eq!(result.kind, ToolCallKind::Function);
    for (arguments, expected) in [
        (r#"{"input":"line\n"}"#, "line\n"),
        (r#"{ "input" : "é" }"#, "é"),
        ("{}", ""),
        (r#""bare""#, "bare"),
        ("*** not JSON", "*** not JSON"),
    ] {
        let said = vec![call(None, "apply_patch", ToolCallKind::Function, arguments)];
        assert_eq!(lifted(&lowered, said), [call(None, "apply_patch", ToolCallKind::Custom, expected)]);
    }
    let refused = Dialect { no_custom_tools: true, ..Dialect::default() };
    assert!(!lower(asked.clone(), ApiFormat::OpenaiChat, &refused).names.is_identity());
    assert!(lower(asked, ApiFormat::OpenaiChat, &Dialect::default()).names.is_identity());
}

#[test]
fn input_that_arrives_in_pieces_is_told_once_it_is_whole() {
    let lowered = lower(request(vec![custom("p")], vec![]), ApiFormat::Gemini, &Dialect::default());
    let mut lifter = Lifter::new(lowered.names);
    let mut out = Vec::new();
    let head = crate::ir::PartHead::ToolCall {
        id: "c".into(),
        name: "p".into(),
        namespace: None,
        kind: ToolCallKind::Function,
    };
    let delta =
        |text: &str| crate::ir::StreamEvent::PartDelta { id: 0, delta: crate::ir::Delta::Arguments(text.into()) };
    lifter.lift(crate::ir::StreamEvent::PartStart { id: 0, choice: 0, head, item_id: None }, &mut out);
    lifter.lift(delta("{\"inp"), &mut out);
    lifter.lift(delta("ut\":\"a b\"}"), &mut out);
    assert_eq!(out.len(), 1);
    lifter.lift(crate::ir::StreamEvent::PartEnd { id: 0 }, &mut out);
    assert_eq!(out[1..], [delta("a b"), crate::ir::StreamEvent::PartEnd { id: 0 }]);
}

#[test]
fn tools_of_another_provider_are_left_out_and_reported() {
    let native = |format| Tool {
        kind: ToolKind::Native { format, kind: "web_search".into(), value: json!({"type": "web_search"}) },
        ..function(None, "")
    };
    let tools = vec![native(ApiFormat::OpenaiResponses), native(ApiFormat::AnthropicMessages)];
    let mut asked = request(tools, vec![]);
    asked.tool_choice = Some(ToolChoice::Required);
    let lowered = lower(asked.clone(), ApiFormat::AnthropicMessages, &Dialect::default());
    assert_eq!((lowered.request.tools.len(), lowered.losses.len()), (1, 1));
    assert_eq!(lowered.request.tool_choice, Some(ToolChoice::Required));
    let none_left = lower(asked, ApiFormat::Gemini, &Dialect::default());
    assert_eq!((none_left.request.tools.len(), none_left.losses.len()), (0, 3));
    assert_eq!(none_left.request.tool_choice, None, "a tool cannot be demanded where there is none");
}

#[test]
fn foreign_blocks_are_told_where_meaning_would_be_lost() {
    let native = |kind: &str, value: Value| {
        Part::new(Content::Native(Native { format: ApiFormat::AnthropicMessages, kind: kind.into(), value }))
    };
    let parts = vec![
        native("compaction", json!({"type": "compaction", "content": "What happened so far."})),
        native("server_tool_use", json!({"type": "server_tool_use"})),
        native(
            "web_search_tool_result",
            json!({"content": [{"type": "web_search_result", "title": "T", "url": "https://u", "encrypted_content": "x"}]}),
        ),
        native("code_execution_tool_result", json!({"content": {"stdout": "4\n", "stderr": ""}})),
    ];
    let lowered = lower(request(vec![], parts.clone()), ApiFormat::OpenaiChat, &Dialect::default());
    let texts: Vec<_> = lowered.request.messages[1].parts.iter().filter_map(Part::as_text).collect();
    assert_eq!(texts, ["What happened so far.", "[Web search results]\n- T https://u", "[Output of the code]\n4\n"]);
    assert_eq!(lowered.losses.len(), 4);
    let home = lower(request(vec![], parts.clone()), ApiFormat::AnthropicMessages, &Dialect::default());
    assert_eq!((home.request.messages[1].parts.clone(), home.losses.len()), (parts, 0));
    let only = vec![native("server_tool_use", json!({}))];
    let emptied = lower(request(vec![], only), ApiFormat::Gemini, &Dialect::default());
    assert_eq!(emptied.request.messages.len(), 1, "a message that said nothing else goes");
}

#[test]
fn opaque_reasoning_stays_with_its_maker() {
    let blob = |format| Some(Opaque { kind: OpaqueKind::Signature, format, data: "s".into() });
    let thought = |text: &str, opaque| {
        Part::new(Content::Reasoning(ReasoningPart { text: text.into(), summary: vec![], opaque }))
    };
    let mut signed = call(None, "f", ToolCallKind::Function, "{}");
    let Content::ToolCall(inner) = &mut signed.content else { panic!() };
    inner.signature = blob(ApiFormat::Gemini);
    let parts = vec![
        thought("shown", blob(ApiFormat::AnthropicMessages)),
        thought("", blob(ApiFormat::AnthropicMessages)),
        thought("plain", None),
        signed.clone(),
    ];
    let home = lower(request(vec![], parts.clone()), ApiFormat::AnthropicMessages, &Dialect::default());
    assert_eq!(home.request.messages[1].parts[..3], parts[..3]);
    assert_eq!(home.losses.len(), 1);
    let away = lower(request(vec![], parts), ApiFormat::OpenaiChat, &Dialect::default());
    assert_eq!(
        away.request.messages[1].parts,
        [thought("shown", None), thought("plain", None), call(None, "f", ToolCallKind::Function, "{}")]
    );
    assert_eq!(away.losses.len(), 3);
    assert!(away.losses.iter().all(|loss| loss.to == ApiFormat::OpenaiChat));
}
