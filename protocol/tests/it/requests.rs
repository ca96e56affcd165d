//! Every recorded request to every provider format: what the provider can take must arrive, and nothing may get lost in silence.

use myelin_protocol::format::AddressHints;
use myelin_protocol::ir::{ChatRequest, Content, Loss, MediaKind, Part, Role, ToolKind};
use myelin_protocol::lower::lower;
use myelin_protocol::{ApiFormat, Dialect};
use serde_json::Value;

use crate::support::apis;
use crate::support::findings::{Findings, ensure, ensure_eq};
use crate::support::fixtures::{Case, cases};

type Outcome = Result<(), String>;

/// What a request asks, as far as every format of conversations has words for it.
#[derive(Debug, Clone, PartialEq, Default)]
struct Asked {
    /// What is said, without white space: formats fold and join turns in their own ways.
    operator: String,
    user: String,
    assistant: String,
    /// Name and arguments, in order.
    calls: Vec<(String, Value)>,
    /// What the tools said, in order.
    results: Vec<String>,
    tools: Vec<String>,
    images: usize,
    max_tokens: Option<u64>,
}

fn asked(request: &ChatRequest) -> Asked {
    let mut asked = Asked { max_tokens: request.max_tokens, ..Asked::default() };
    for message in &request.messages {
        for part in &message.parts {
            match (&part.content, message.role) {
                (Content::Text(text), Role::System | Role::Developer) => said(&text.text, &mut asked.operator),
                (Content::Text(text), Role::Assistant) => said(&text.text, &mut asked.assistant),
                (Content::Text(text), _) => said(&text.text, &mut asked.user),
                (Content::ToolCall(call), _) => {
                    let arguments = serde_json::from_str(&call.arguments);
                    let arguments = arguments.unwrap_or_else(|_| Value::from(call.arguments.clone()));
                    asked.calls.push((call.name.clone(), arguments));
                }
                (Content::ToolResult(result), _) => asked.results.push(words(&result.content)),
                (Content::Media(media), _) if media.kind == MediaKind::Image => asked.images += 1,
                _ => {}
            }
        }
    }
    for tool in &request.tools {
        match &tool.kind {
            ToolKind::Function(function) => asked.tools.push(function.name.clone()),
            ToolKind::Custom { name, .. } => asked.tools.push(name.clone()),
            ToolKind::Native { .. } => {}
        }
    }
    asked
}

fn said(text: &str, whole: &mut String) {
    whole.extend(text.chars().filter(|character| !character.is_whitespace()));
}

fn words(parts: &[Part]) -> String {
    let mut all = String::new();
    parts.iter().filter_map(Part::as_text).for_each(|text| said(text, &mut all));
    all
}

/// The formats that take conversations with tools; the others take a prompt, and are held against that in the goldens.
const CONVERSATIONS: [ApiFormat; 6] = [
    ApiFormat::OpenaiChat,
    ApiFormat::OpenaiResponses,
    ApiFormat::AnthropicMessages,
    ApiFormat::Gemini,
    ApiFormat::BedrockConverse,
    ApiFormat::OllamaChat,
];

fn hints(case: &Case) -> AddressHints<'_> {
    AddressHints { model: Some(case.model()), stream: Some(case.exercises("stream")) }
}

fn requests() -> Vec<(Case, ApiFormat, ChatRequest)> {
    let read = |case: Case| {
        let client = match case.api.as_str() {
            "clients/codex-cli" => Some(ApiFormat::OpenaiResponses),
            "clients/gemini-cli" => Some(ApiFormat::Gemini),
            _ => apis::format(&case),
        };
        let format = client.filter(|format| apis::is_there(*format) && CONVERSATIONS.contains(format))?;
        let request = format.codec().decode_request(&case.request()?, hints(&case));
        // What a provider refused with a 400 may be unreadable for us too.
        let refused = (400..500).contains(&case.status());
        match request {
            Ok(request) => Some((case, format, request)),
            Err(_) if refused => None,
            Err(error) => panic!("{}: {error}", case.id),
        }
    };
    cases(&[]).into_iter().filter_map(read).collect()
}

#[test]
fn case_10_every_recorded_request_reaches_every_provider() {
    let mut findings = Findings::default();
    for (case, _, request) in requests() {
        for target in CONVERSATIONS.into_iter().filter(|target| apis::is_there(*target)) {
            findings.take(reaches(&case, &request, target));
        }
    }
    findings.report();
}

fn reaches(case: &Case, request: &ChatRequest, target: ApiFormat) -> Outcome {
    let what = format!("{} → {target}", case.id);
    let dialect = Dialect { images_in_tool_results: target != ApiFormat::OpenaiChat, ..Dialect::default() };
    let lowered = lower(request.clone(), target, &dialect);
    let expected = asked(&lowered.request);
    let encoded = match target.codec().encode_request(&lowered.request, &dialect) {
        Ok(encoded) => encoded,
        // A request that says nothing is refused before the provider would refuse it.
        Err(_) if expected.user.is_empty() && expected.results.is_empty() => return Ok(()),
        Err(error) => return Err(format!("{what}: {error}")),
    };
    let back = target.codec().decode_request(&encoded.value, hints(case));
    let back = back.map_err(|error| format!("{what}: {error}\n{}", String::from_utf8_lossy(&encoded.value)))?;
    let losses: Vec<Loss> = [lowered.losses, encoded.losses].concat();
    let lost = |word: &str| losses.iter().any(|loss| loss.field.contains(word));
    let back = asked(&back);
    // Where calls stand in the history tools must be declared, and a schema for the answer may have to be a tool: some are made up. Where no tool
    // can be demanded the others are left out.
    let made_up = expected.tools.is_empty() && (!expected.calls.is_empty() || request.output.is_some());
    ensure!(
        expected.tools == back.tools || made_up || lost("tool_choice"),
        "{what}: tools {:?} {:?}",
        expected.tools,
        back.tools
    );
    // A result that holds nothing but an image says where the image went.
    let told = |(then, now): (&String, &String)| then == now || then.is_empty();
    let results = expected.results.len() == back.results.len() && expected.results.iter().zip(&back.results).all(told);
    ensure!(results || lost("result"), "{what}: {:?} {:?}", expected.results, back.results);
    ensure!(
        expected.max_tokens == back.max_tokens || expected.max_tokens.is_none() || lost("max_tokens"),
        "{what}: max_tokens {:?} {:?}",
        expected.max_tokens,
        back.max_tokens
    );
    // Operators' words that come late may have to stand in the user's turn, thinking may have to stand in the assistant's.
    let all = |asked: &Asked| format!("{}{}", asked.operator, asked.user).replace("AnswerwithaJSONobject.", "");
    ensure!(
        sorted(&all(&expected)) == sorted(&all(&back)) || lost("output") || lost("messages"),
        "{what}: words of operator and user\n{}\n{}",
        all(&expected),
        all(&back)
    );
    ensure!(
        back.assistant.contains(&expected.assistant) || lost("messages"),
        "{what}: {} {}",
        expected.assistant,
        back.assistant
    );
    ensure!(expected.images == back.images || !losses.is_empty(), "{what}: images {} {}", expected.images, back.images);
    Ok(())
}

fn sorted(text: &str) -> Vec<char> {
    let mut characters: Vec<char> = text.chars().collect();
    characters.sort_unstable();
    characters
}

#[test]
fn every_recorded_request_survives_its_own_format() {
    let mut findings = Findings::default();
    for (case, format, request) in requests() {
        findings.take(survives(&case, format, &request));
    }
    findings.report();
}

fn survives(case: &Case, format: ApiFormat, request: &ChatRequest) -> Outcome {
    let dialect = Dialect { cache_control: true, top_k: true, ..apis::dialect(case) };
    let encoded = format.codec().encode_request(request, &dialect).map_err(|error| format!("{}: {error}", case.id))?;
    let back = format.codec().decode_request(&encoded.value, hints(case));
    let back = back.map_err(|error| format!("{}: {error}\n{}", case.id, String::from_utf8_lossy(&encoded.value)))?;
    if encoded.losses.is_empty() {
        let (request, back) = (&joined(request), joined(&back));
        ensure_eq!(request.messages, back.messages, "{}: messages", case.id);
        ensure_eq!(request.tools, back.tools, "{}: tools", case.id);
        ensure_eq!(request.sampling, back.sampling, "{}: sampling", case.id);
        ensure_eq!(request.extras, back.extras, "{}: extras", case.id);
        ensure_eq!(request, &back, "{}", case.id);
    }
    Ok(())
}

/// The request with neighbouring turns of one speaker as one, and without what the gateway adds of itself: the wish for usage.
fn joined(request: &ChatRequest) -> ChatRequest {
    let mut joined = ChatRequest { messages: Vec::new(), include_usage: None, ..request.clone() };
    // A budget for thinking needs an output limit above it, which is made up where the caller left it out.
    joined.max_tokens = joined.max_tokens.filter(|_| request.reasoning.as_ref().is_none_or(|own| own.budget.is_none()));
    for message in &request.messages {
        match joined.messages.last_mut().filter(|last| last.role == message.role && message.role == Role::User) {
            Some(last) => last.parts.extend(message.parts.clone()),
            None => joined.messages.push(message.clone()),
        }
    }
    joined
}
