//! The rules of this wire, one by one.

use serde_json::{Value, json};

use super::*;
use crate::fold::{fold, unfold};
use crate::framing::{AwsEventStreamReader, Frame};
use crate::ir::*;

const MODEL: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";

fn decode(body: Value) -> ChatRequest {
    let hints = AddressHints { model: Some(MODEL), stream: Some(false) };
    codec().decode_request(body.to_string().as_bytes(), hints).unwrap()
}

fn encode_for(request: &ChatRequest, dialect: &Dialect) -> (Value, Vec<String>) {
    let Lossy { value, losses } = codec().encode_request(request, dialect).unwrap();
    let losses = losses.into_iter().map(|loss| format!("{}: {}", loss.field, loss.why)).collect();
    (serde_json::from_slice(&value).unwrap(), losses)
}

fn encode(request: &ChatRequest) -> (Value, Vec<String>) {
    encode_for(request, &Dialect::default())
}

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

fn result(id: &str, content: Vec<Part>) -> Part {
    Part::new(Content::ToolResult(ToolResult {
        call_id: id.into(),
        name: None,
        kind: ToolCallKind::Function,
        content,
        is_error: None,
    }))
}

fn tool(name: &str) -> Tool {
    Tool::function(FunctionTool { name: name.into(), ..FunctionTool::default() })
}

fn thought(text: &str, opaque: Option<(OpaqueKind, &str)>) -> Part {
    let opaque = opaque.map(|(kind, data)| Opaque { kind, format: FORMAT, data: data.into() });
    Part::new(Content::Reasoning(ReasoningPart { text: text.into(), summary: vec![], opaque }))
}

#[test]
fn a_request_comes_back_whole() {
    let body = json!({
        "system": [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": [
                {"text": "look"},
                {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}},
                {"document": {"format": "txt", "name": "facts", "source": {"text": "Ruby"}, "citations": {"enabled": true}}},
                {"cachePoint": {"type": "default"}},
            ]},
            {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "why", "signature": "sig=="}}},
                {"reasoningContent": {"redactedContent": "red=="}},
                {"toolUse": {"toolUseId": "t1", "name": "get", "input": {"b": 1, "a": [2]}}},
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"text": "bad"}], "status": "error"}},
                {"guardContent": {"text": {"text": "check"}}},
            ]},
        ],
        "inferenceConfig": {"maxTokens": 4000, "stopSequences": ["X"]},
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "get", "description": "d", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
                {"cachePoint": {"type": "default"}},
                {"systemTool": {"name": "nova_code_interpreter"}},
            ],
            "toolChoice": {"auto": {}},
        },
        "additionalModelRequestFields": {"anthropic_beta": ["x"], "thinking": {"type": "enabled", "budget_tokens": 2000}},
        "requestMetadata": {"team": "a"},
        "serviceTier": {"type": "flex"},
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "performanceConfig": {"latency": "optimized"},
    });
    let request = decode(body.clone());
    assert_eq!(request.reasoning.as_ref().unwrap().budget, Some(2000));
    assert_eq!(request.messages[1].parts[2].cache, Some(CacheMark { ttl: None }));
    assert_eq!(request.tools[0].cache, Some(CacheMark { ttl: None }));
    let (out, losses) = encode(&request);
    assert_eq!(losses, Vec::<String>::new());
    assert_eq!(out, body);
    assert_eq!(decode(out), request);
}

#[test]
fn a_cache_point_is_an_element_of_its_own_and_left_out_where_it_is_refused() {
    let mut request = plain(MODEL);
    let mark = || Some(CacheMark::default());
    let mut inner = Part::text("r");
    inner.cache = mark();
    let mut answer = result("a", vec![inner]);
    answer.cache = mark();
    request
        .messages
        .extend([Message::new(Role::Assistant, vec![call("a", "{}")]), Message::new(Role::Tool, vec![answer])]);
    request.tools = vec![Tool { cache: mark(), ..tool("get") }];
    let (out, losses) = encode(&request);
    assert_eq!(
        out["messages"][2]["content"],
        json!([{"toolResult": {"toolUseId": "a", "content": [{"text": "r"}]}}, {"cachePoint": {"type": "default"}}])
    );
    assert_eq!(out["toolConfig"]["tools"][1], json!({"cachePoint": {"type": "default"}}));
    assert!(losses.is_empty());
    for (model, dialect) in [
        (MODEL, Dialect { no_cache_points: true, ..Dialect::default() }),
        ("us.meta.llama4-scout-17b-instruct-v1:0", Dialect::default()),
    ] {
        request.model = model.into();
        let (out, losses) = encode_for(&request, &dialect);
        assert!(!out.to_string().contains("cachePoint"), "{model}");
        assert_eq!(losses.len(), 2, "{losses:?}");
    }
}

#[test]
fn automatic_caching_becomes_a_point_at_the_end() {
    let mut request = plain(MODEL);
    request.extras = Extras::new(
        ApiFormat::AnthropicMessages,
        json!({"cache_control": {"type": "ephemeral", "ttl": "1h"}}).as_object().unwrap().clone(),
    );
    let (out, losses) = encode(&request);
    assert_eq!(
        out["messages"][0]["content"],
        json!([{"text": "hi"}, {"cachePoint": {"type": "default", "ttl": "1h"}}])
    );
    assert!(losses.is_empty());
}

#[test]
fn roles_alternate_and_results_stand_in_one_user_message() {
    let mut request = plain(MODEL);
    request.tools = vec![tool("get")];
    let odd = "functions.get:0";
    request.messages.extend([
        Message::new(Role::Assistant, vec![call("a", "{}"), call(odd, "")]),
        Message::new(Role::Tool, vec![result("a", vec![Part::text("1")])]),
        Message::new(Role::Tool, vec![result(odd, vec![])]),
        Message::text(Role::System, "be kind"),
        Message::text(Role::User, "go on"),
    ]);
    let (out, losses) = encode(&request);
    let messages = out["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3);
    let id = &messages[1]["content"][1]["toolUse"]["toolUseId"];
    assert!(id.as_str().unwrap().starts_with("toolu_"));
    assert_eq!(messages[1]["content"][1]["toolUse"]["input"], json!({}));
    assert_eq!(
        messages[2]["content"],
        json!([
            {"toolResult": {"toolUseId": "a", "content": [{"text": "1"}]}},
            {"toolResult": {"toolUseId": id, "content": [{"text": "(no output)"}]}},
            {"text": "<system-reminder>\nbe kind\n</system-reminder>"},
            {"text": "go on"},
        ])
    );
    assert_eq!(losses.len(), 1);
}

#[test]
fn tool_config_is_there_whenever_the_history_has_tools() {
    let mut request = plain(MODEL);
    request.tools = vec![tool("get")];
    request.tool_choice = Some(ToolChoice::None);
    assert!(encode(&request).0.get("toolConfig").is_none());
    request.messages.extend([
        Message::new(Role::Assistant, vec![call("a", "{}")]),
        Message::new(Role::Tool, vec![result("a", vec![])]),
    ]);
    let (out, losses) = encode(&request);
    assert_eq!(out["toolConfig"]["tools"].as_array().unwrap().len(), 1);
    assert!(out["toolConfig"].get("toolChoice").is_none());
    assert_eq!(losses.len(), 1);
    request.tools.clear();
    let (out, _) = encode(&request);
    assert_eq!(out["toolConfig"]["tools"][0]["toolSpec"]["name"], "get");
}

#[test]
fn choices_are_written_and_claude_says_one_at_a_time_itself() {
    let mut request = plain(MODEL);
    request.tools = vec![tool("get"), tool("put")];
    for (choice, written) in [
        (ToolChoice::Auto, json!({"auto": {}})),
        (ToolChoice::Required, json!({"any": {}})),
        (ToolChoice::Tool { name: "get".into(), kind: ToolCallKind::Function }, json!({"tool": {"name": "get"}})),
    ] {
        request.tool_choice = Some(choice);
        assert_eq!(encode(&request).0["toolConfig"]["toolChoice"], written);
    }
    request.parallel_tool_calls = Some(false);
    let (out, losses) = encode(&request);
    assert_eq!(
        out["additionalModelRequestFields"]["tool_choice"],
        json!({"type": "tool", "name": "get", "disable_parallel_tool_use": true})
    );
    assert!(out["toolConfig"].get("toolChoice").is_none() && losses.is_empty());
    request.model = "us.amazon.nova-lite-v1:0".into();
    let (out, losses) = encode(&request);
    assert_eq!(out["toolConfig"]["toolChoice"], json!({"tool": {"name": "get"}}));
    assert_eq!(losses, ["parallel_tool_calls: has no equivalent"]);
}

#[test]
fn thinking_goes_to_the_fields_of_the_model() {
    let wish = Reasoning { effort: Some(Effort::High), ..Reasoning::default() };
    let fields = |model: &str| {
        let (out, losses) = encode(&ChatRequest { reasoning: Some(wish.clone()), ..plain(model) });
        (out.get("additionalModelRequestFields").cloned().unwrap_or_default(), losses.len(), out)
    };
    let (claude, _, out) = fields(MODEL);
    assert_eq!(claude, json!({"thinking": {"type": "enabled", "budget_tokens": 16_384}}));
    assert!(out.get("inferenceConfig").is_none());
    let (newer, _, out) = fields("global.anthropic.claude-opus-4-6-v1");
    assert_eq!(newer, json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}));
    assert!(out.get("inferenceConfig").is_none());
    assert_eq!(
        fields("us.amazon.nova-2-lite-v1:0").0,
        json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}})
    );
    assert_eq!(fields("openai.gpt-oss-120b-1:0").0, json!({"reasoning_effort": "high"}));
    let (other, losses, _) = fields("us.meta.llama4-scout-17b-instruct-v1:0");
    assert_eq!((other, losses), (Value::Null, 1));
    let mut sampled = plain(MODEL);
    sampled.sampling.top_k = Some(4);
    sampled.sampling.temperature = Some(1.5);
    let (out, losses) = encode(&sampled);
    assert_eq!(out["additionalModelRequestFields"], json!({"top_k": 4}));
    assert_eq!(out["inferenceConfig"], json!({"temperature": 1.0}));
    assert_eq!(losses.len(), 1);
}

#[test]
fn a_structured_answer_is_asked_for_as_the_model_takes_it_and_comes_back_as_text() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false});
    let ask = |model: &str, tools: Vec<Tool>| {
        let output = OutputFormat::JsonSchema {
            name: "x".into(),
            description: None,
            schema: schema.clone(),
            strict: Some(true),
        };
        encode(&ChatRequest { output: Some(output), tools, ..plain(model) })
    };
    let (newer, losses) = ask(MODEL, vec![]);
    let written =
        newer.pointer("/outputConfig/textFormat/structure/jsonSchema/schema").and_then(Value::as_str).unwrap();
    assert_eq!((serde_json::from_str::<Value>(written).unwrap(), losses.len()), (schema.clone(), 0));
    let (forced, losses) = ask("us.amazon.nova-lite-v1:0", vec![]);
    assert_eq!(forced["toolConfig"]["toolChoice"], json!({"tool": {"name": STRUCTURED_TOOL}}));
    assert!(losses.is_empty());
    let back = decode(forced);
    assert!(back.tools.is_empty() && back.tool_choice.is_none());
    let Some(OutputFormat::JsonSchema { schema: asked, .. }) = back.output else { panic!() };
    assert_eq!(asked, schema);
    let (prompted, losses) = ask("us.amazon.nova-lite-v1:0", vec![tool("get")]);
    assert!(prompted["system"][0]["text"].as_str().unwrap().contains("\"required\":[\"n\"]"));
    assert_eq!(losses.len(), 1);

    let answer = json!({
        "output": {"message": {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": STRUCTURED_TOOL, "input": {"n": 3}}}]}},
        "stopReason": "tool_use", "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
    });
    let whole = codec().decode_response(answer.to_string().as_bytes(), &Dialect::default()).unwrap();
    assert_eq!(whole.choices[0].parts, [Part::text("{\"n\":3}")]);
    assert_eq!(whole.choices[0].finish, Some(Finish::new(FinishReason::Stop)));
    let streamed = fold(read(&[
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": STRUCTURED_TOOL}}}),
        ),
        ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{\"n\""}}})),
        ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": ":3}"}}})),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        ("messageStop", json!({"stopReason": "tool_use"})),
        ("metadata", json!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}})),
    ]));
    assert_eq!(streamed.response, whole);
}

#[test]
fn documents_have_neutral_names_and_a_text_beside_them() {
    let document = |name: Option<&str>, source| {
        Part::new(Content::Media(Media {
            kind: MediaKind::Document,
            source,
            media_type: Some("application/pdf".into()),
            name: name.map(Into::into),
            detail: None,
        }))
    };
    let mut request = plain(MODEL);
    request.messages[0].parts = vec![
        document(Some("a_b/c.pdf"), MediaSource::Base64("JVBERi0=".into())),
        document(None, MediaSource::Url("s3://bucket/x.pdf".into())),
        document(None, MediaSource::Url("https://x/y.pdf".into())),
    ];
    let (out, losses) = encode(&request);
    assert_eq!(
        out["messages"][0]["content"],
        json!([
            {"document": {"format": "pdf", "name": "a b c pdf", "source": {"bytes": "JVBERi0="}}},
            {"document": {"format": "pdf", "name": "Document 2", "source": {"s3Location": {"uri": "s3://bucket/x.pdf"}}}},
            {"text": "See the document."},
        ])
    );
    assert_eq!(losses, ["messages[0].parts[2]: addresses are not fetched by this provider"]);
}

#[test]
fn thinking_of_others_is_left_out_and_a_loop_without_it_goes_without() {
    let mut request = plain(MODEL);
    request.tools = vec![tool("get")];
    request.reasoning = Some(Reasoning { enabled: Some(true), budget: Some(2000), ..Reasoning::default() });
    let foreign = Opaque { kind: OpaqueKind::Signature, format: ApiFormat::AnthropicMessages, data: "x".into() };
    let part =
        Part::new(Content::Reasoning(ReasoningPart { text: "t".into(), summary: vec![], opaque: Some(foreign) }));
    request.messages.extend([
        Message::new(Role::Assistant, vec![part, call("a", "{}")]),
        Message::new(Role::Tool, vec![result("a", vec![])]),
    ]);
    let (out, losses) = encode(&request);
    assert!(out.get("additionalModelRequestFields").is_none());
    assert!(!out.to_string().contains("reasoningContent"));
    assert_eq!(losses.len(), 2);
    request.messages[1].parts[0] = thought("t", Some((OpaqueKind::Signature, "own")));
    let (out, losses) = encode(&request);
    assert!(out["additionalModelRequestFields"]["thinking"].is_object());
    assert!(losses.is_empty());
}

fn read(frames: &[(&str, Value)]) -> Vec<StreamEvent> {
    let mut decoder = codec().stream_decoder(&Dialect::default());
    let mut events = Vec::new();
    for (name, data) in frames {
        let data = data.to_string();
        decoder.feed(&Frame { event: Some(name), exception: false, data: data.as_bytes() }, &mut events).unwrap();
    }
    decoder.finish(&mut events);
    events
}

fn read_bytes(bytes: &[u8]) -> Vec<StreamEvent> {
    let mut reader = AwsEventStreamReader::new();
    let mut decoder = codec().stream_decoder(&Dialect::default());
    let mut events = Vec::new();
    let mut input = bytes;
    while let Some(frame) = reader.next(&mut input).unwrap() {
        decoder.feed(&frame, &mut events).unwrap();
    }
    assert!(reader.finish().unwrap().is_none());
    decoder.finish(&mut events);
    events
}

#[test]
fn blocks_without_a_start_are_begun_by_their_first_piece_and_usage_ends_the_stream() {
    let frames = [
        ("messageStart", json!({"role": "assistant", "p": "abc"})),
        ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "t"}}, "p": "x"})),
        ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "s"}}})),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        ("contentBlockDelta", json!({"contentBlockIndex": 1, "delta": {"reasoningContent": {"redactedContent": "r"}}})),
        ("contentBlockStop", json!({"contentBlockIndex": 1})),
        ("contentBlockDelta", json!({"contentBlockIndex": 2, "delta": {"text": "hi"}})),
        ("contentBlockStop", json!({"contentBlockIndex": 2})),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "t1", "name": "get"}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex": 3})),
        ("messageStop", json!({"stopReason": "tool_use", "p": "y"})),
        (
            "metadata",
            json!({"usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}, "metrics": {"latencyMs": 5}}),
        ),
    ];
    for cut in 0..frames.len() {
        assert!(!fold(read(&frames[..cut])).complete, "{cut}");
    }
    let folded = fold(read(&frames));
    assert!(folded.complete);
    let choice = &folded.response.choices[0];
    assert_eq!(
        choice.parts,
        [
            thought("t", Some((OpaqueKind::Signature, "s"))),
            thought("", Some((OpaqueKind::Redacted, "r"))),
            Part::text("hi"),
            call("t1", "{}")
        ]
    );
    assert_eq!(choice.finish, Some(Finish::new(FinishReason::ToolCalls)));
    assert_eq!(choice.extras.get("metrics"), Some(&json!({"latencyMs": 5})));
    assert_eq!(folded.response.usage.unwrap().total(), Some(7));
}

#[test]
fn server_tools_are_kept_whole() {
    let frames = [
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 0, "start": {"toolUse": {"name": "nova_code_interpreter", "toolUseId": "s", "type": "server_tool_use"}}}),
        ),
        ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{\"a\":1}"}}})),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 1, "start": {"toolResult": {"status": "success", "toolUseId": "s", "type": "nova_code_interpreter_result"}}}),
        ),
        ("contentBlockDelta", json!({"contentBlockIndex": 1, "delta": {"toolResult": [{"json": {"stdOut": "2"}}]}})),
        ("contentBlockStop", json!({"contentBlockIndex": 1})),
        ("messageStop", json!({"stopReason": "end_turn"})),
        ("metadata", json!({})),
    ];
    let folded = fold(read(&frames));
    let values: Vec<&Value> = folded.response.choices[0]
        .parts
        .iter()
        .map(|part| match &part.content {
            Content::Native(native) => &native.value,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        values[0],
        &json!({"toolUse": {"name": "nova_code_interpreter", "toolUseId": "s", "type": "server_tool_use", "input": {"a": 1}}})
    );
    assert_eq!(
        values[1],
        &json!({"toolResult": {"status": "success", "toolUseId": "s", "type": "nova_code_interpreter_result", "content": [{"json": {"stdOut": "2"}}]}})
    );
    // The same comes out of a whole answer, and back from our own stream.
    let body = json!({"output": {"message": {"role": "assistant", "content": values}}, "stopReason": "end_turn"});
    let whole = codec().decode_response(body.to_string().as_bytes(), &Dialect::default()).unwrap();
    assert_eq!(whole.choices[0].parts, folded.response.choices[0].parts);
    let mut encoder = codec().stream_encoder(ReplyContext::default());
    let mut bytes = Vec::new();
    unfold(whole.clone()).iter().for_each(|event| encoder.push(event, &mut bytes));
    assert_eq!(fold(read_bytes(&bytes)).response.choices[0].parts, whole.choices[0].parts);
}

#[test]
fn answers_come_back_as_they_were() {
    let source = json!({"title": "facts", "location": {"documentChar": {"documentIndex": 0, "start": 0, "end": 3}}, "sourceContent": [{"text": "It is."}]});
    let mut cited = Part::text("It is so.");
    let Content::Text(text) = &mut cited.content else { panic!() };
    text.citations = vec![blocks_in::citation(source.as_object().unwrap().clone())];
    let parts = vec![
        thought("why", Some((OpaqueKind::Signature, "s"))),
        thought("", Some((OpaqueKind::Redacted, "r"))),
        cited,
        call("t1", r#"{"a": 1}"#),
    ];
    for finish in
        [finish::read("guardrail_intervened"), Finish::new(FinishReason::Length), Finish::new(FinishReason::ToolCalls)]
    {
        let extras = Extras::new(
            FORMAT,
            json!({"metrics": {"latencyMs": 4}, "trace": {"guardrail": {}}, "additionalModelResponseFields": {"x": 1}})
                .as_object()
                .unwrap()
                .clone(),
        );
        let answer = ChatResponse {
            choices: vec![Choice { parts: parts.clone(), finish: Some(finish), extras }],
            usage: Some(Usage {
                input: Some(30),
                cache_read: Some(20),
                cache_write: Some(5),
                output: Some(7),
                ..Usage::default()
            }),
            ..ChatResponse::default()
        };
        let body = codec().encode_response(&answer, &ReplyContext::default());
        assert!(body.losses.is_empty());
        let mut back = codec().decode_response(&body.value, &Dialect::default()).unwrap();
        let mut encoder = codec().stream_encoder(ReplyContext::default());
        let mut bytes = Vec::new();
        unfold(answer.clone()).iter().for_each(|event| encoder.push(event, &mut bytes));
        let mut streamed = fold(read_bytes(&bytes)).response;
        for usage in [&mut back.usage, &mut streamed.usage] {
            usage.as_mut().unwrap().raw = None;
        }
        assert_eq!(back, answer);
        assert_eq!(streamed, answer);
    }
}

#[test]
fn an_exception_is_the_last_thing_both_ways() {
    let mut encoder = codec().stream_encoder(ReplyContext::default());
    let mut bytes = Vec::new();
    let start = StreamEvent::PartStart { id: 0, choice: 0, head: PartHead::Text, item_id: None };
    encoder.push(&start, &mut bytes);
    encoder.push(&StreamEvent::PartDelta { id: 0, delta: Delta::Text("x".into()) }, &mut bytes);
    encoder.push(&StreamEvent::Error(ApiError::new(crate::ApiErrorKind::RateLimit, "slow down")), &mut bytes);
    let length = bytes.len();
    encoder.push(&StreamEvent::End, &mut bytes);
    encoder.keep_alive(&mut bytes);
    assert_eq!(bytes.len(), length);
    let folded = fold(read_bytes(&bytes));
    let error = folded.error.unwrap();
    assert_eq!((error.kind, error.message.as_str()), (crate::ApiErrorKind::RateLimit, "slow down"));
    assert_eq!(folded.response.choices[0].parts[0].as_text(), Some("x"));
    let body = codec().encode_error(&ApiError::new(crate::ApiErrorKind::RateLimit, "slow down"));
    assert_eq!(codec().decode_error(429, &body).r#type.as_deref(), Some("ThrottlingException"));
}

#[test]
fn counting_wraps_the_request() {
    let mut request = plain(MODEL);
    request.max_tokens = Some(5);
    let out: Value =
        serde_json::from_slice(&encode_count_request(&request, &Dialect::default()).unwrap().value).unwrap();
    assert_eq!(out, json!({"input": {"converse": {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}}}));
    assert_eq!(decode_count_response(br#"{"inputTokens":15}"#).unwrap(), 15);
}

#[test]
fn no_bytes_make_the_codec_panic() {
    let mut seed = 11u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize
    };
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"output\"",
        "\"message\"",
        "\"content\"",
        "\"messages\"",
        "\"toolUse\"",
        "\"start\"",
        "\"delta\"",
        "null",
        "18446744073709551615",
        "-1",
        "\"contentBlockIndex\"",
        "\"text\"",
        "\"reasoningContent\"",
        "\"toolResult\"",
        "\"ü\"",
        "\"cachePoint\"",
    ];
    let names = ["contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "new"];
    for _ in 0..3000 {
        let length = random() % 24;
        let text: String = (0..length).map(|_| pieces[random() % pieces.len()]).collect();
        let hints = AddressHints { model: Some("m"), stream: None };
        let _ = codec().decode_request(text.as_bytes(), hints);
        let _ = codec().decode_response(text.as_bytes(), &Dialect::default());
        let _ = codec().decode_error(400, text.as_bytes());
        let frame =
            Frame { event: Some(names[random() % names.len()]), exception: random() % 9 == 0, data: text.as_bytes() };
        let _ = codec().stream_decoder(&Dialect::default()).feed(&frame, &mut Vec::new());
    }
}
