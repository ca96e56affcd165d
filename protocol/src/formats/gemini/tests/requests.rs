use serde_json::json;

use super::{assistant, fields, function, read, request, user, write};
use crate::ir::{
    CacheMark, Content, Effort, Media, MediaKind, MediaSource, Message, Opaque, OpaqueKind, OutputFormat, Part,
    Reasoning, ReasoningPart, Role, ToolCall, ToolCallKind, ToolChoice, ToolKind, ToolResult,
};
use crate::{ApiFormat, Dialect};

fn call(id: &str, name: &str, arguments: &str) -> Part {
    signed_call(id, name, arguments, None)
}

fn signed_call(id: &str, name: &str, arguments: &str, signature: Option<(ApiFormat, &str)>) -> Part {
    let signature = signature.map(|(format, data)| Opaque { kind: OpaqueKind::Signature, format, data: data.into() });
    Part::new(Content::ToolCall(ToolCall {
        id: id.into(),
        name: name.into(),
        namespace: None,
        kind: ToolCallKind::Function,
        arguments: arguments.into(),
        signature,
    }))
}

fn result(call_id: &str, content: Vec<Part>, is_error: Option<bool>) -> Part {
    let result = ToolResult { call_id: call_id.into(), name: None, kind: ToolCallKind::Function, content, is_error };
    Part::new(Content::ToolResult(result))
}

fn image(source: MediaSource) -> Part {
    let media =
        Media { kind: MediaKind::Image, source, media_type: Some("image/png".into()), name: None, detail: None };
    Part::new(Content::Media(media))
}

#[test]
fn camel_and_snake_case_mean_the_same() {
    let camel = json!({
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]},
                     {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"some_key": 1}}, "thoughtSignature": "c2ln"}]},
                     {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "x"}}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generationConfig": {"maxOutputTokens": 5, "stopSequences": ["x"], "thinkingConfig": {"thinkingBudget": 7, "includeThoughts": true},
                             "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
    });
    let text = camel.to_string();
    let names = [
        "systemInstruction",
        "inlineData",
        "mimeType",
        "functionCall",
        "thoughtSignature",
        "functionResponse",
        "functionDeclarations",
        "parametersJsonSchema",
        "toolConfig",
        "functionCallingConfig",
        "allowedFunctionNames",
        "generationConfig",
        "maxOutputTokens",
        "stopSequences",
        "thinkingConfig",
        "thinkingBudget",
        "includeThoughts",
        "responseMimeType",
        "responseJsonSchema",
    ];
    let snake = names.iter().fold(text, |text, name| {
        text.replace(&format!("\"{name}\""), &format!("\"{}\"", crate::formats::fields::snake_case(name)))
    });
    let snake = serde_json::from_str(&snake).unwrap();
    assert_eq!(read("m", &snake), read("m", &camel));
    let request = read("m", &camel);
    assert_eq!(request.max_tokens, Some(5));
    let Content::ToolCall(call) = &request.messages[2].parts[0].content else { panic!() };
    assert_eq!(call.arguments, r#"{"some_key":1}"#, "names inside arguments are the tool's own");
}

#[test]
fn the_model_stands_in_the_address_and_loses_its_folders() {
    let body = json!({"model": "models/from-body", "contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    assert_eq!(read("models/gemini-x", &body).model, "gemini-x");
    assert_eq!(read("publishers/google/models/gemini-x", &body).model, "gemini-x");
    assert_eq!(read("tunedModels/mine", &body).model, "tunedModels/mine");
    let bytes = body.to_string().into_bytes();
    let request = super::codec().decode_request(&bytes, crate::format::AddressHints::default()).unwrap();
    assert_eq!(request.model, "from-body");
}

#[test]
fn results_without_ids_find_their_calls_and_no_id_is_invented_on_the_wire() {
    let body = json!({"contents": [
        {"role": "model", "parts": [{"functionCall": {"name": "a", "args": {}}}, {"functionCall": {"name": "b", "args": {}}},
                                    {"functionCall": {"name": "a", "args": {"n": 2}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "a", "response": {"output": "first"}}},
                                   {"functionResponse": {"name": "a", "response": {"error": "second"}}},
                                   {"functionResponse": {"name": "b", "response": {"x": 1, "y": [2]}}}]},
    ]});
    let request = read("gemini-2.5-pro", &body);
    let results: Vec<_> = request.messages[1]
        .parts
        .iter()
        .map(|part| match &part.content {
            Content::ToolResult(result) => {
                (result.call_id.as_str(), result.content[0].as_text().unwrap(), result.is_error)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        results,
        [("call_0", "first", None), ("call_2", "second", Some(true)), ("call_1", r#"{"x":1,"y":[2]}"#, None)]
    );
    let (wire, losses) = write(&request, &Dialect::default());
    assert_eq!(wire["contents"], body["contents"]);
    assert!(losses.is_empty());
}

#[test]
fn ids_of_other_formats_are_kept_and_names_are_found_by_them() {
    let request = request(
        "gemini-2.5-pro",
        vec![
            user("q"),
            assistant(vec![call("toolu_1", "a", "{}"), call("toolu_2", "b", "")]),
            Message::new(Role::Tool, vec![result("toolu_2", vec![Part::text("two")], None)]),
            Message::new(Role::Tool, vec![result("toolu_1", vec![Part::text("one")], None)]),
            user("and?"),
        ],
    );
    let (wire, _) = write(&request, &Dialect::default());
    assert_eq!(
        wire["contents"][2],
        json!({"role": "user", "parts": [
            {"functionResponse": {"id": "toolu_2", "name": "b", "response": {"output": "two"}}},
            {"functionResponse": {"id": "toolu_1", "name": "a", "response": {"output": "one"}}},
            {"text": "and?"}
        ]}),
        "all results of one round and what follows stand in one content"
    );
    assert_eq!(wire["contents"].as_array().unwrap().len(), 3);
    assert_eq!(wire["contents"][1]["parts"][1]["functionCall"], json!({"id": "toolu_2", "name": "b", "args": {}}));
}

#[test]
fn a_response_is_always_an_object() {
    for (text, is_error, expected) in [
        ("plain", None, json!({"output": "plain"})),
        ("[1]", None, json!({"output": "[1]"})),
        (r#"{"t": 1}"#, None, json!({"t": 1})),
        (r#"{"output": "x"}"#, None, json!({"output": r#"{"output": "x"}"#})),
        ("boom", Some(true), json!({"error": "boom"})),
        ("", None, json!({"output": ""})),
    ] {
        let request = request(
            "m",
            vec![
                assistant(vec![call("c", "f", "{}")]),
                Message::new(Role::Tool, vec![result("c", vec![Part::text(text)], is_error)]),
            ],
        );
        let (wire, _) = write(&request, &Dialect::default());
        assert_eq!(wire["contents"][1]["parts"][0]["functionResponse"]["response"], expected, "{text}");
        let back = read("m", &wire);
        let Content::ToolResult(result) = &back.messages[1].parts[0].content else { panic!() };
        let squeezed = serde_json::from_str::<serde_json::Value>(text).map_or(text.to_owned(), |value| {
            if value.is_object() && value.get("output").is_none() { value.to_string() } else { text.to_owned() }
        });
        assert_eq!((result.content[0].as_text(), result.is_error), (Some(squeezed.as_str()), is_error));
    }
}

#[test]
fn arguments_that_are_no_object_are_wrapped_and_reported() {
    let request = request("m", vec![assistant(vec![call("c", "f", "[1,2]"), call("d", "f", "{broken")])]);
    let (wire, losses) = write(&request, &Dialect::default());
    assert_eq!(wire["contents"][0]["parts"][0]["functionCall"]["args"], json!({"arguments": [1, 2]}));
    assert_eq!(wire["contents"][0]["parts"][1]["functionCall"]["args"], json!({"arguments": "{broken"}));
    assert_eq!(fields(&losses), ["messages[0].parts[0].arguments", "messages[0].parts[1].arguments"]);
}

#[test]
fn case_06_a_lost_signature_is_replaced_on_the_first_call_of_each_step() {
    let round = |id: &str, signature| {
        vec![
            assistant(vec![signed_call(id, "f", "{}", signature), call(&format!("{id}b"), "f", "{}")]),
            Message::new(Role::Tool, vec![result(id, vec![Part::text("r")], None)]),
        ]
    };
    let mut messages = vec![user("old")];
    messages.extend(round("old", None));
    let shorter = messages.clone();
    messages.push(user("new"));
    messages.extend(round("one", Some((ApiFormat::Gemini, "c2ln"))));
    messages.extend(round("two", Some((ApiFormat::AnthropicMessages, "foreign"))));
    let third = request("gemini-3-pro-preview", messages);
    let (wire, losses) = write(&third, &Dialect::default());
    let models: Vec<_> = wire["contents"].as_array().unwrap().iter().filter(|one| one["role"] == "model").collect();
    let first: Vec<_> = models.iter().map(|one| one["parts"][0]["thoughtSignature"].as_str()).collect();
    let placeholder = Some("skip_thought_signature_validator");
    assert_eq!(first, [placeholder, Some("c2ln"), placeholder]);
    assert!(models.iter().all(|one| one["parts"][1].get("thoughtSignature").is_none()), "parallel calls need none");
    assert_eq!(losses.len(), 1);
    assert!(losses[0].why.contains("anthropic-messages"));
    let (before, _) = write(&request("gemini-3-pro-preview", shorter), &Dialect::default());
    assert_eq!(before["contents"][1], wire["contents"][1], "a turn stays as it was when the next one begins");
    let (wire, _) = write(&crate::ir::ChatRequest { model: "gemini-2.5-pro".into(), ..third }, &Dialect::default());
    assert!(!wire.to_string().contains("skip_thought"));
}

#[test]
fn case_06_signatures_stay_on_the_parts_that_they_were_made_for() {
    let body = json!({"contents": [{"role": "model", "parts": [
        {"text": "hm", "thought": true},
        {"text": "answer", "thoughtSignature": "YQ=="},
        {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "Yg=="},
        {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "Yw=="},
        {"inlineData": {"mimeType": "image/png", "data": "aGk="}, "thoughtSignature": "ZA=="},
        {"text": "", "thoughtSignature": "ZQ=="}
    ]}]});
    let request = read("gemini-3-pro", &body);
    let (wire, losses) = write(&request, &Dialect::default());
    assert_eq!(wire["contents"], body["contents"]);
    assert!(losses.is_empty());
}

#[test]
fn case_06_thinking_of_another_maker_comes_back_through_a_client_of_gemini() {
    // A client keeps the pieces in which thoughts were streamed, and the armoured signature on the last.
    let blob = Opaque { kind: OpaqueKind::Signature, format: ApiFormat::AnthropicMessages, data: "EqQB+/==".into() };
    let armoured = super::super::signature::to_client(&blob);
    let body = json!({"contents": [{"role": "model", "parts": [
        {"text": "Let me ", "thought": true}, {"text": "see", "thought": true},
        {"text": "", "thought": true, "thoughtSignature": armoured}, {"text": "done"}
    ]}]});
    let request = read("claude", &body);
    let expected = ReasoningPart { text: "Let me see".into(), summary: Vec::new(), opaque: Some(blob) };
    assert_eq!(request.messages[0].parts[0].content, Content::Reasoning(expected));
    assert_eq!(request.messages[0].parts.len(), 2);
    let (wire, losses) = write(&request, &Dialect::default());
    assert_eq!(wire["contents"][0]["parts"][0], json!({"text": "Let me see", "thought": true}));
    assert_eq!(fields(&losses), ["messages[0].parts[0].opaque"]);
}

#[test]
fn case_06_thinking_comes_back_from_a_client_that_throws_thoughts_away() {
    use crate::ir::{ChatResponse, Choice, Finish, FinishReason};
    let blob = Opaque { kind: OpaqueKind::Signature, format: ApiFormat::AnthropicMessages, data: "EqQB".into() };
    let thinking = ReasoningPart { text: "hm".into(), summary: Vec::new(), opaque: Some(blob) };
    let thinking = Part::new(Content::Reasoning(thinking));
    let parts = vec![thinking, Part::text("I look."), call("toolu_1", "f", "{}"), call("toolu_2", "f", "{}")];
    let response = ChatResponse {
        choices: vec![Choice {
            parts: parts.clone(),
            finish: Some(Finish::new(FinishReason::ToolCalls)),
            ..Choice::default()
        }],
        ..ChatResponse::default()
    };
    let written = super::codec().encode_response(&response, &crate::format::ReplyContext::default());
    let written: serde_json::Value = serde_json::from_slice(&written.value).unwrap();
    let all = written["candidates"][0]["content"]["parts"].as_array().unwrap();
    let kept: Vec<_> = all.iter().filter(|part| part.get("thought").is_none()).cloned().collect();
    assert!(kept.len() < all.len());
    for told in [all, &kept] {
        let history = read("claude", &json!({"contents": [{"role": "model", "parts": told}]}));
        assert_eq!(history.messages[0].parts, parts);
    }
}

#[test]
fn media_find_their_fields() {
    let own = "https://generativelanguage.googleapis.com/v1beta/files/abc";
    let request = request(
        "m",
        vec![Message::new(
            Role::User,
            vec![
                image(MediaSource::Base64("aGk=".into())),
                image(MediaSource::Url("gs://b/x.png".into())),
                image(MediaSource::Url("https://example.com/x.png".into())),
                image(MediaSource::FileId(own.into())),
                image(MediaSource::FileId("files/abc".into())),
                image(MediaSource::FileId("file-openai".into())),
                image(MediaSource::Text("words".into())),
            ],
        )],
    );
    let (wire, losses) = write(&request, &Dialect::default());
    let parts = &wire["contents"][0]["parts"];
    assert_eq!(parts[0], json!({"inlineData": {"mimeType": "image/png", "data": "aGk="}}));
    assert_eq!(parts[1], json!({"fileData": {"mimeType": "image/png", "fileUri": "gs://b/x.png"}}));
    assert_eq!(parts[3]["fileData"]["fileUri"], own);
    assert_eq!(parts[4]["fileData"]["fileUri"], own);
    assert_eq!(parts[5], json!({"text": "words"}));
    assert_eq!(fields(&losses), ["messages[0].parts[2]", "messages[0].parts[5]"]);
}

#[test]
fn url_safe_base64_of_python_clients_becomes_the_standard_one() {
    let body = json!({"contents": [{"parts": [{"inline_data": {"mime_type": "video/mp4", "data": "-_-_"}}]}]});
    let Content::Media(media) = &read("m", &body).messages[0].parts[0].content.clone() else { panic!() };
    assert_eq!((media.kind, &media.source), (MediaKind::Video, &MediaSource::Base64("+/+/".into())));
}

#[test]
fn media_of_tool_results_go_inside_for_the_third_generation_and_behind_for_others() {
    let messages = vec![
        assistant(vec![call("c", "f", "{}"), call("d", "f", "{}")]),
        Message::new(
            Role::Tool,
            vec![result("c", vec![Part::text("see"), image(MediaSource::Base64("aGk=".into()))], None)],
        ),
        Message::new(Role::Tool, vec![result("d", vec![Part::text("x")], None)]),
        user("well?"),
    ];
    let (wire, losses) = write(&request("gemini-3-flash", messages.clone()), &Dialect::default());
    let reply = &wire["contents"][1]["parts"][0]["functionResponse"];
    assert_eq!(reply["parts"], json!([{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]));
    assert!(losses.is_empty());
    let (wire, losses) = write(&request("gemini-2.5-flash", messages), &Dialect::default());
    let kinds: Vec<String> = wire["contents"][1]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part.as_object().unwrap().keys().next().unwrap().clone())
        .collect();
    assert_eq!(kinds, ["functionResponse", "functionResponse", "inlineData", "text"]);
    assert_eq!(losses.len(), 1);
}

#[test]
fn tool_choice_has_every_mode() {
    let tools = vec![function("a", json!({"type": "object"})), function("b", json!({"type": "object"}))];
    let named = |name: &str| ToolChoice::Tool { name: name.into(), kind: ToolCallKind::Function };
    let allowed = |required| ToolChoice::Allowed { names: vec!["b".into(), "c".into()], required };
    for (choice, expected, count) in [
        (ToolChoice::Auto, json!({"mode": "AUTO"}), 2),
        (ToolChoice::None, json!({"mode": "NONE"}), 2),
        (ToolChoice::Required, json!({"mode": "ANY"}), 2),
        (named("a"), json!({"mode": "ANY", "allowedFunctionNames": ["a"]}), 2),
        (allowed(true), json!({"mode": "ANY", "allowedFunctionNames": ["b", "c"]}), 2),
        (allowed(false), json!({"mode": "AUTO"}), 1),
    ] {
        let request = crate::ir::ChatRequest {
            tools: tools.clone(),
            tool_choice: Some(choice.clone()),
            ..request("m", vec![user("q")])
        };
        let (wire, losses) = write(&request, &Dialect::default());
        assert_eq!(wire["toolConfig"]["functionCallingConfig"], expected);
        assert_eq!(wire["tools"][0]["functionDeclarations"].as_array().unwrap().len(), count);
        assert!(losses.is_empty());
        if count == 2 {
            assert_eq!(read("m", &wire).tool_choice, Some(choice));
        }
    }
}

#[test]
fn what_only_gemini_knows_about_tools_is_kept() {
    let body = json!({
        "contents": [{"role": "user", "parts": [{"text": "q"}]}],
        "tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f", "behavior": "BLOCKING"}]}, {"urlContext": {}}],
        "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, "retrievalConfig": {"languageCode": "de"}},
        "safetySettings": [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}],
        "cachedContent": "cachedContents/x", "labels": {"a": "b"},
        "generationConfig": {"responseModalities": ["AUDIO"], "speechConfig": {"voiceConfig": {}}, "mediaResolution": "LOW"}
    });
    let request = read("gemini-2.5-flash", &body);
    assert!(matches!(&request.tools[0].kind, ToolKind::Native { kind, .. } if kind == "googleSearch"));
    let (wire, losses) = write(&request, &Dialect::default());
    assert_eq!(wire, body);
    assert!(losses.is_empty());
}

#[test]
fn tools_of_other_providers_are_dropped_with_a_loss() {
    let native = ToolKind::Native {
        format: ApiFormat::AnthropicMessages,
        kind: "web_search_20250305".into(),
        value: json!({"type": "web_search_20250305"}),
    };
    let tool = crate::ir::Tool { kind: native, cache: Some(CacheMark::default()), extras: crate::ir::Extras::NONE };
    let request = crate::ir::ChatRequest { tools: vec![tool], ..request("m", vec![user("q")]) };
    let (wire, losses) = write(&request, &Dialect::default());
    assert!(wire.get("tools").is_none());
    assert_eq!(fields(&losses), ["tools[0].cache", "tools[0]"]);
}

#[test]
fn thinking_is_asked_for_in_the_words_of_the_generation() {
    let off = Reasoning { enabled: Some(false), ..Reasoning::default() };
    let on = Reasoning { enabled: Some(true), shown: Some(false), ..Reasoning::default() };
    let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
    let budget = |budget| Reasoning { budget: Some(budget), ..Reasoning::default() };
    for (model, reasoning, expected, lost) in [
        ("gemini-2.5-flash", off.clone(), json!({"thinkingBudget": 0}), 0),
        ("gemini-2.5-pro", off.clone(), json!({"thinkingBudget": 128}), 1),
        ("gemini-2.5-flash", on.clone(), json!({"includeThoughts": false, "thinkingBudget": -1}), 0),
        ("gemini-2.5-flash", effort(Effort::Medium), json!({"thinkingBudget": 8192}), 0),
        ("gemini-2.5-flash", budget(99_999), json!({"thinkingBudget": 24_576}), 1),
        ("gemini-3-pro-preview", effort(Effort::High), json!({"thinkingLevel": "HIGH"}), 0),
        ("gemini-3-pro-preview", effort(Effort::Medium), json!({"thinkingLevel": "HIGH"}), 1),
        ("gemini-3-flash-preview", effort(Effort::Minimal), json!({"thinkingLevel": "MINIMAL"}), 0),
        ("gemini-3-flash-preview", effort(Effort::Max), json!({"thinkingLevel": "HIGH"}), 1),
        ("gemini-3-pro-preview", off, json!({"thinkingLevel": "LOW"}), 1),
        ("gemini-3-pro-preview", budget(2_000), json!({"thinkingBudget": 2000}), 0),
        ("my-alias", budget(2_000), json!({"thinkingBudget": 2000}), 0),
    ] {
        let what = format!("{model} {reasoning:?}");
        let request = crate::ir::ChatRequest { reasoning: Some(reasoning), ..request(model, vec![user("q")]) };
        let (wire, losses) = write(&request, &Dialect::default());
        assert_eq!(wire["generationConfig"]["thinkingConfig"], expected, "{what}");
        assert_eq!(losses.len(), lost, "{what}: {losses:?}");
    }
    let request = crate::ir::ChatRequest { reasoning: Some(on), ..request("gemini-2.0-flash", vec![user("q")]) };
    let (wire, losses) = write(&request, &Dialect::default());
    assert_eq!((wire.get("generationConfig"), losses.len()), (None, 1));
}

#[test]
fn thinking_comes_back_as_it_was() {
    for config in [
        json!({"thinkingBudget": 0, "includeThoughts": false}),
        json!({"thinkingBudget": -1, "includeThoughts": true}),
        json!({"thinkingBudget": 512, "includeThoughts": true}),
        json!({"includeThoughts": true}),
        json!({"includeThoughts": false}),
    ] {
        let body = json!({"contents": [{"role": "user", "parts": [{"text": "q"}]}], "generationConfig": {"thinkingConfig": config}});
        let (wire, losses) = write(&read("gemini-2.5-flash", &body), &Dialect::default());
        assert_eq!((wire, losses.len()), (body, 0));
    }
}

#[test]
fn whatever_cannot_be_said_is_reported() {
    let cached = Part { cache: Some(CacheMark::default()), ..Part::text("q") };
    let request = crate::ir::ChatRequest {
        parallel_tool_calls: Some(false),
        tools: vec![function("f", json!({"type": "object", "properties": {"a": {"type": "string"}}}))],
        verbosity: Some("low".into()),
        user: Some("u".into()),
        service_tier: Some("scale".into()),
        cache_key: Some("k".into()),
        output: Some(OutputFormat::JsonObject),
        ..request("m", vec![Message::new(Role::User, vec![cached])])
    };
    let (_, losses) = write(&request, &Dialect::default());
    let expected =
        ["service_tier", "parallel_tool_calls", "verbosity", "cache_key", "user", "messages[].parts[].cache"];
    assert_eq!(fields(&losses), expected);
}

#[test]
fn operators_are_hoisted_folded_or_become_the_user() {
    let system = |text: &str| Message::text(Role::System, text);
    let developer = Message::text(Role::Developer, "two");
    let (wire, losses) =
        write(&request("m", vec![system("one"), developer, user("q"), system("late")]), &Dialect::default());
    assert_eq!(wire["systemInstruction"]["parts"], json!([{"text": "one"}, {"text": "two"}]));
    assert_eq!(wire["contents"], json!([{"role": "user", "parts": [{"text": "q"}, {"text": "late"}]}]));
    assert_eq!(fields(&losses), ["messages[3].role"]);
    let (wire, losses) = write(&request("m", vec![system("alone")]), &Dialect::default());
    assert_eq!(wire, json!({"contents": [{"role": "user", "parts": [{"text": "alone"}]}]}));
    assert_eq!(fields(&losses), ["messages"]);
}

#[test]
fn hosts_take_away_and_add_fields() {
    let dialect = Dialect {
        unsupported: vec!["serviceTier".into()],
        defaults: serde_json::Map::from_iter([("safetySettings".to_owned(), json!([]))]),
        ..Dialect::default()
    };
    let request = crate::ir::ChatRequest { service_tier: Some("flex".into()), ..request("m", vec![user("q")]) };
    let (wire, losses) = write(&request, &dialect);
    assert!(wire.get("serviceTier").is_none() && wire["safetySettings"] == json!([]));
    assert_eq!(fields(&losses), ["extras.serviceTier"]);
}

#[test]
fn bodies_that_are_no_requests_are_refused_with_their_place() {
    for (body, pointer) in [
        ("[]", ""),
        (r#"{"contents":[{"role":"robot"}]}"#, "/contents/0/role"),
        (r#"{"contents":[{"parts":[{"text":5}]}]}"#, "/contents/0/parts/0/text"),
        (r#"{"contents":[{"parts":[7]}]}"#, "/contents/0/parts/0"),
        (r#"{"contents":[],"generationConfig":{"topK":"many"}}"#, "/generationConfig/topK"),
        (r#"{"contents":[],"tools":[{"functionDeclarations":[{}]}]}"#, "/tools/0/functionDeclarations/0/name"),
    ] {
        let error = super::codec().decode_request(body.as_bytes(), crate::format::AddressHints::default()).unwrap_err();
        assert_eq!(error.pointer, pointer, "{body}");
    }
}

#[test]
fn case_23_both_forms_of_counting_are_read_and_each_host_gets_its_own() {
    use super::super::{CountHost, decode_count_request, encode_count_request};
    let hints = crate::format::AddressHints { model: Some("gemini-x"), stream: None };
    let inner = json!({"contents": [{"role": "user", "parts": [{"text": "q"}]}], "systemInstruction": {"parts": [{"text": "s"}]},
        "tools": [{"functionDeclarations": [{"name": "f"}]}], "safetySettings": []});
    let nested = json!({"generateContentRequest": inner});
    let one = decode_count_request(inner.to_string().as_bytes(), hints).unwrap();
    let two = decode_count_request(nested.to_string().as_bytes(), hints).unwrap();
    assert_eq!((one.tools.len(), &one), (1, &two));
    let sent = encode_count_request(&one, &Dialect::default(), CountHost::Gemini).value;
    let sent: serde_json::Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(sent["generateContentRequest"]["model"], "models/gemini-x");
    assert_eq!(sent["generateContentRequest"]["tools"], inner["tools"]);
    let sent = encode_count_request(&one, &Dialect::default(), CountHost::Vertex).value;
    let sent: serde_json::Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(sent["tools"], inner["tools"]);
    assert!(sent.get("safetySettings").is_none());
}
