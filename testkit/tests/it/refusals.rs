//! Each rule that a real provider keeps is broken once, and named.

use myelin_testkit::{AWS_KEY, Family, MockServer, seal};
use serde_json::{Value, json};

use crate::support::rule;

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";
const GEMINI: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const GEMINI_3: &str = "/v1beta/models/gemini-3-pro:generateContent";
const CONVERSE: &str = "/model/anthropic.claude/converse";

/// `base` with some fields replaced.
fn with(base: Value, changes: Value) -> Value {
    let mut body = base;
    for (key, value) in changes.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn chat(changes: Value) -> Value {
    with(json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}), changes)
}

fn messages(changes: Value) -> Value {
    with(
        json!({"model": "claude-sonnet-4-5", "max_tokens": 5000, "messages": [{"role": "user", "content": "hi"}]}),
        changes,
    )
}

fn gemini(changes: Value) -> Value {
    with(json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}), changes)
}

fn converse(changes: Value) -> Value {
    with(json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}), changes)
}

async fn expect(cases: Vec<(&str, &str, Value, &str)>) {
    let mock = MockServer::start().await.unwrap();
    let mut wrong = Vec::new();
    for (provider, path, body, expected) in cases {
        let found = rule(&mock, provider, path, &body).await.unwrap_or_else(|| "answered".to_owned());
        if found != expected {
            wrong.push(format!("{provider}{path} {body}: expected {expected}, found {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn call(id: &str) -> Value {
    json!({"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}]})
}

#[tokio::test]
async fn chat_hosts_refuse_what_the_real_ones_refuse() {
    let user = json!({"role": "user", "content": "hi"});
    let image = json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]);
    let cached = json!([{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]);
    let answer = |content: &Value| json!({"role": "tool", "tool_call_id": "c", "content": content});
    let loose = json!([{"type": "function", "function": {"name": "f", "strict": true, "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}}]);
    expect(vec![
        ("openai", CHAT, chat(json!({})), "answered"),
        ("openai", CHAT, chat(json!({"thinking": {}})), "unknown-field"),
        ("openai", CHAT, chat(json!({"messages": []})), "messages-empty"),
        ("openai", CHAT, chat(json!({"messages": [user, call("c")]})), "unanswered-tool-call"),
        ("openai", CHAT, chat(json!({"messages": [user, answer(&json!("x"))]})), "orphan-tool-result"),
        ("openai", CHAT, chat(json!({"messages": [user, call("c"), answer(&image)]})), "image-in-tool-message"),
        ("openai", CHAT, chat(json!({"messages": [{"role": "user", "content": cached}]})), "unknown-field"),
        ("openrouter", CHAT, chat(json!({"messages": [{"role": "user", "content": cached}]})), "answered"),
        ("openai", CHAT, chat(json!({"tools": loose})), "strict-schema"),
        ("openai", CHAT, chat(json!({"tool_choice": "auto"})), "choice-without-tools"),
        ("openai", CHAT, chat(json!({"response_format": {"type": "json_object"}})), "json-word"),
        ("openai", CHAT, chat(json!({"stream_options": {"include_usage": true}})), "stream-options-without-stream"),
        ("openai", CHAT, chat(json!({"model": "gpt-5", "max_tokens": 5})), "reasoning-max-tokens"),
        ("openai", CHAT, chat(json!({"model": "o3", "temperature": 0.5})), "reasoning-sampling"),
        ("openai", CHAT, chat(json!({"reasoning_effort": "low"})), "not-a-reasoning-model"),
        ("openai", CHAT, chat(json!({"model": "missing"})), "unknown-model"),
        ("strict", CHAT, chat(json!({"stream": true, "stream_options": {"include_usage": true}})), "unknown-field"),
        (
            "strict",
            CHAT,
            chat(json!({"messages": [{"role": "assistant", "content": "x", "reasoning_content": "y"}, user]})),
            "unknown-field",
        ),
        ("strict", CHAT, chat(json!({"messages": [{"role": "developer", "content": "x"}, user]})), "role"),
        ("mistral", CHAT, chat(json!({"messages": [user, call("call_123"), answer(&json!("x"))]})), "nine-ids"),
        (
            "deepseek",
            CHAT,
            chat(json!({"model": "deepseek-reasoner", "messages": [user, call("c"), answer(&json!("x"))]})),
            "reasoning-not-passed-back",
        ),
        ("deepseek", CHAT, chat(json!({"messages": [{"role": "user", "content": image}]})), "part-type"),
    ])
    .await;
}

#[tokio::test]
async fn responses_refuses_what_openai_refuses() {
    let body = |changes: Value| with(json!({"model": "gpt-5", "input": "hi"}), changes);
    let reasoning =
        |sealed: &str| json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed});
    let own = seal(Family::OpenAi, "1", "hm");
    let foreign = seal(Family::Claude, "1", "hm");
    let said = json!({"role": "assistant", "content": [{"type": "output_text", "text": "x"}]});
    let user = json!({"role": "user", "content": "hi"});
    expect(vec![
        ("openai", RESPONSES, body(json!({})), "answered"),
        ("openai", RESPONSES, body(json!({"messages": []})), "unknown-field"),
        (
            "openai",
            RESPONSES,
            body(json!({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]})),
            "orphan-tool-result",
        ),
        (
            "openai",
            RESPONSES,
            body(json!({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]})),
            "unanswered-tool-call",
        ),
        ("openai", RESPONSES, body(json!({"input": [user, reasoning(&own), said]})), "answered"),
        ("openai", RESPONSES, body(json!({"input": [user, reasoning(&foreign), said]})), "encrypted-content"),
        ("openai", RESPONSES, body(json!({"input": [user, reasoning(&own), user]})), "reasoning-follower"),
        ("openai", RESPONSES, body(json!({"previous_response_id": "resp_none"})), "previous-response"),
        ("openai", RESPONSES, body(json!({"temperature": 0.2})), "reasoning-sampling"),
        ("openai", RESPONSES, body(json!({"tools": [{"type": "function", "function": {"name": "f"}}]})), "tool-shape"),
        (
            "openai",
            RESPONSES,
            body(json!({"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]})),
            "part-type",
        ),
    ])
    .await;
}

#[tokio::test]
async fn messages_refuses_what_anthropic_refuses() {
    let user = json!({"role": "user", "content": "hi"});
    let tool_use = json!({"type": "tool_use", "id": "t1", "name": "f", "input": {}});
    let result =
        |id: &str| json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "x"}]});
    let turn = |blocks: Value| json!({"role": "assistant", "content": blocks});
    let budget = |tokens: u64| json!({"type": "enabled", "budget_tokens": tokens});
    let marked = json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}});
    let signed = |signature: &str| json!({"type": "thinking", "thinking": "hm", "signature": signature});
    let (own, foreign) = (seal(Family::Claude, "1", "hm"), seal(Family::Gemini, "1", "hm"));
    let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    expect(vec![
        ("anthropic", MESSAGES, messages(json!({})), "answered"),
        ("anthropic", MESSAGES, messages(json!({"n": 1})), "unknown-field"),
        ("anthropic", MESSAGES, messages(json!({"max_tokens": null})), "max-tokens-required"),
        ("anthropic", MESSAGES, messages(json!({"messages": [turn(json!("hi"))]})), "first-message-user"),
        ("anthropic", MESSAGES, messages(json!({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]})), "empty-text"),
        ("anthropic", MESSAGES, messages(json!({"thinking": budget(100)})), "thinking-budget-minimum"),
        ("anthropic", MESSAGES, messages(json!({"thinking": budget(6000)})), "thinking-budget-below-max-tokens"),
        ("anthropic", MESSAGES, messages(json!({"thinking": budget(2000), "temperature": 0.5})), "thinking-temperature"),
        ("anthropic", MESSAGES, messages(json!({"thinking": budget(2000), "tools": tools, "tool_choice": {"type": "any"}})), "thinking-forced-tool"),
        ("anthropic", MESSAGES, messages(json!({"temperature": 1.5})), "temperature-range"),
        ("anthropic", MESSAGES, messages(json!({"messages": [user, turn(json!([tool_use])), user]})), "unanswered-tool-use"),
        ("anthropic", MESSAGES, messages(json!({"messages": [user, turn(json!([tool_use])), result("other")]})), "orphan-tool-result"),
        ("anthropic", MESSAGES, messages(json!({"messages": [user, turn(json!([{"type": "tool_use", "id": "a.b", "name": "f", "input": {}}])), result("a.b")]})), "tool-use-id"),
        ("anthropic", MESSAGES, messages(json!({"messages": [user, turn(json!([tool_use])), result("t1")], "thinking": budget(2000)})), "thinking-first"),
        ("anthropic", MESSAGES, messages(json!({"messages": [user, turn(json!([signed(&own), tool_use])), result("t1")], "thinking": budget(2000)})), "answered"),
        ("anthropic", MESSAGES, messages(json!({"messages": [user, turn(json!([signed(&foreign), tool_use])), result("t1")], "thinking": budget(2000)})), "thinking-signature"),
        ("anthropic", MESSAGES, messages(json!({"system": [marked, marked, marked, marked, marked]})), "cache-marks"),
        ("anthropic", "/v1/messages/count_tokens", messages(json!({})), "count-fields"),
        ("vertex", "/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict", messages(json!({"anthropic_version": "vertex-2023-10-16"})), "model-in-body"),
    ])
    .await;
}

#[tokio::test]
async fn gemini_refuses_what_google_refuses() {
    let user = json!({"role": "user", "parts": [{"text": "hi"}]});
    let called = |signature: Value| json!({"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": signature}]});
    let result = json!({"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "x"}}}]});
    let text = json!({"role": "user", "parts": [{"functionResponse": {"name": "f", "response": "x"}}]});
    let tool = |parameters: Value| json!([{"functionDeclarations": [{"name": "f", "parameters": parameters}]}]);
    let (own, foreign) = (json!(seal(Family::Gemini, "1", "x")), json!(seal(Family::Claude, "1", "x")));
    expect(vec![
        ("gemini", GEMINI, gemini(json!({})), "answered"),
        ("gemini", GEMINI, gemini(json!({"messages": []})), "unknown-field"),
        ("gemini", GEMINI, gemini(json!({"contents": [{"role": "user", "parts": []}]})), "parts-empty"),
        ("gemini", GEMINI, gemini(json!({"contents": [user, called(own.clone()), user]})), "function-pairing"),
        ("gemini", GEMINI, gemini(json!({"contents": [user, called(own.clone()), text]})), "function-response-object"),
        (
            "gemini",
            GEMINI,
            gemini(json!({"tools": tool(json!({"type": "object", "additionalProperties": false}))})),
            "gemini-schema-keyword",
        ),
        (
            "gemini",
            GEMINI_3,
            gemini(json!({"contents": [user, called(Value::Null), result]})),
            "missing-thought-signature",
        ),
        ("gemini", GEMINI_3, gemini(json!({"contents": [user, called(foreign), result]})), "thought-signature"),
        ("gemini", GEMINI_3, gemini(json!({"contents": [user, called(own), result]})), "answered"),
        (
            "gemini",
            GEMINI,
            gemini(json!({"generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "low"}}})),
            "thinking-two-knobs",
        ),
    ])
    .await;
}

#[tokio::test]
async fn converse_refuses_what_bedrock_refuses() {
    let user = json!({"role": "user", "content": [{"text": "hi"}]});
    let called = json!({"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}]});
    let result = json!({"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "x"}]}}]});
    let spec = json!({"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}});
    expect(vec![
        ("bedrock", CONVERSE, converse(json!({})), "answered"),
        ("bedrock", CONVERSE, converse(json!({"messages": [user, user]})), "role-alternation"),
        (
            "bedrock",
            CONVERSE,
            converse(
                json!({"messages": [{"role": "user", "content": [{"text": "hi", "cachePoint": {"type": "default"}}]}]}),
            ),
            "one-key-union",
        ),
        (
            "bedrock",
            CONVERSE,
            converse(json!({"messages": [{"role": "user", "content": [{"text": " "}]}]})),
            "blank-text",
        ),
        ("bedrock", CONVERSE, converse(json!({"messages": [user, called, result]})), "tool-config-required"),
        (
            "bedrock",
            CONVERSE,
            converse(json!({"messages": [user, called, result], "toolConfig": {"tools": [spec]}})),
            "answered",
        ),
        (
            "bedrock",
            CONVERSE,
            converse(json!({"messages": [user, called, user], "toolConfig": {"tools": [spec]}})),
            "tool-pairing",
        ),
        (
            "bedrock",
            "/model/meta.llama/converse",
            converse(json!({"system": [{"text": "x"}, {"cachePoint": {"type": "default"}}]})),
            "cache-point-model",
        ),
    ])
    .await;
}

#[tokio::test]
async fn keys_are_asked_for_in_each_providers_own_place() {
    let mock = MockServer::start().await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = async |provider: &str, path: &str, header: &str, value: &str| {
        let request = client.post(format!("{}{path}", mock.url(provider))).header(header, value).body("{}");
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.headers().get("x-mock-rule").map(|rule| rule.to_str().unwrap().to_owned()))
    };
    assert_eq!(send("openai", CHAT, "authorization", "Bearer wrong").await, (401, Some("wrong-key".into())));
    assert_eq!(send("openai", CHAT, "x-api-key", "mock-key").await, (401, Some("no-key".into())));
    assert_eq!(send("gemini", GEMINI, "x-goog-api-key", "wrong").await, (400, Some("wrong-key".into())));
    assert_eq!(send("openai", CHAT, "authorization", "Bearer mock-limited").await, (429, Some("limited-key".into())));
    let unsigned = format!(
        "AWS4-HMAC-SHA256 Credential={}/20260101/r/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=0",
        AWS_KEY.0
    );
    assert_eq!(send("bedrock", CONVERSE, "authorization", &unsigned).await, (403, Some("sigv4".into())));
}
