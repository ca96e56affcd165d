//! The built-in model `echo`: answers in every format with no provider at all, so that a first request works at once.
//!
//! It repeats the last user text. With tools it plays a small tool loop: a forced tool choice, or a text `call NAME {json}`, makes it call; after a tool result it
//! says what the tool said. Asked to think, it thinks one sentence.

use myelin_protocol::ir::{
    ChatRequest, ChatResponse, Choice, Content, Delta, Embedding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse,
    Finish, FinishReason, Message, Part, ReasoningPart, Role, StreamEvent, ToolCall, ToolCallKind, ToolChoice,
    ToolKind, Usage,
};
use myelin_protocol::{fold, tokens};
use sha2::{Digest, Sha256};

/// The answer to `request`. `token` makes ids of tool calls unique.
pub(crate) fn answer(request: &ChatRequest, token: &str) -> ChatResponse {
    let mut parts = Vec::new();
    if request.reasoning.as_ref().is_some_and(|reasoning| reasoning.enabled == Some(true) || reasoning.effort.is_some())
    {
        let text = "I repeat what I was told.".to_owned();
        parts.push(Part::new(Content::Reasoning(ReasoningPart { text, ..Default::default() })));
    }
    let finish = match call(request, token) {
        Some(call) => {
            parts.push(Part::new(Content::ToolCall(call)));
            FinishReason::ToolCalls
        }
        None => {
            let (text, finish) = limited(spoken(request), request.max_tokens);
            parts.push(Part::text(text));
            finish
        }
    };
    let output = parts.iter().map(words).sum::<u64>();
    let usage = Usage { input: Some(tokens::estimate(request)), output: Some(output), ..Usage::default() };
    ChatResponse {
        model: Some("echo".to_owned()),
        choices: vec![Choice { parts, finish: Some(Finish::new(finish)), ..Choice::default() }],
        usage: Some(usage),
        ..ChatResponse::default()
    }
}

/// An answer as a stream, text word by word.
pub(crate) fn events(response: ChatResponse) -> Vec<StreamEvent> {
    let mut events = Vec::new();
    for event in fold::unfold(response) {
        match event {
            StreamEvent::PartDelta { id, delta: Delta::Text(text) } => {
                let words = text.split_inclusive(' ').map(|word| Delta::Text(word.to_owned()));
                events.extend(words.map(|delta| StreamEvent::PartDelta { id, delta }));
            }
            event => events.push(event),
        }
    }
    events
}

/// Vectors that depend on nothing but the text: the same text gives the same vector of length 1.
pub(crate) fn embed(request: &EmbeddingRequest) -> EmbeddingResponse {
    let dimensions = request.dimensions.unwrap_or(256).clamp(1, 4_096);
    let vector = |input: &EmbeddingInput| {
        let text = match input {
            EmbeddingInput::Text(text) => text.clone(),
            EmbeddingInput::Tokens(tokens) => format!("{tokens:?}"),
        };
        let raw: Vec<f64> = (0..dimensions)
            .map(|index| {
                let digest = Sha256::digest(format!("{index}:{text}").as_bytes());
                let word = digest.iter().take(4).fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
                f64::from(word) / f64::from(u32::MAX) - 0.5
            })
            .collect();
        let length = raw.iter().map(|number| number * number).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        Embedding::Float(raw.into_iter().map(|number| number / length).collect())
    };
    let input = request.input.iter().map(|input| match input {
        EmbeddingInput::Text(text) => tokens::count_text(text),
        EmbeddingInput::Tokens(tokens) => tokens.len() as u64,
    });
    let usage = Usage { input: Some(input.sum()), output: Some(0), ..Usage::default() };
    EmbeddingResponse {
        model: Some("echo".to_owned()),
        data: request.input.iter().map(vector).collect(),
        usage: Some(usage),
        ..EmbeddingResponse::default()
    }
}

/// What echo says: the last tool result if that is what came last, else the last user text.
fn spoken(request: &ChatRequest) -> String {
    let last = request.messages.last();
    let results = last.into_iter().flat_map(|message| &message.parts).filter_map(|part| match &part.content {
        Content::ToolResult(result) => Some(joined(&result.content)),
        _ => None,
    });
    let results: Vec<String> = results.collect();
    if !results.is_empty() {
        return format!("The tool said: {}", results.join("; "));
    }
    last_user(request).map(|message| joined(&message.parts)).unwrap_or_default()
}

fn last_user(request: &ChatRequest) -> Option<&Message> {
    request.messages.iter().rev().find(|message| message.role == Role::User && !joined(&message.parts).is_empty())
}

fn joined(parts: &[Part]) -> String {
    parts.iter().filter_map(Part::as_text).collect::<Vec<_>>().join("\n")
}

/// The call that echo makes, if any.
fn call(request: &ChatRequest, token: &str) -> Option<ToolCall> {
    if request.tools.is_empty() || request.tool_choice == Some(ToolChoice::None) {
        return None;
    }
    let answered = request
        .messages
        .last()
        .is_some_and(|message| message.parts.iter().any(|part| matches!(part.content, Content::ToolResult(_))));
    if answered {
        return None;
    }
    let text = last_user(request).map(|message| joined(&message.parts)).unwrap_or_default();
    let spelled = text.trim().strip_prefix("call ").map(str::trim);
    let (wanted, arguments) = match spelled {
        Some(spelled) => {
            let (name, rest) = spelled.split_once(char::is_whitespace).unwrap_or((spelled, ""));
            (Some(name.to_owned()), rest.trim().to_owned())
        }
        None => (None, String::new()),
    };
    let forced = match &request.tool_choice {
        Some(ToolChoice::Tool { name, .. }) => Some(Some(name.clone())),
        Some(ToolChoice::Allowed { names, required: true }) => Some(names.first().cloned()),
        Some(ToolChoice::Required) => Some(None),
        _ => None,
    };
    let name = match (forced, wanted) {
        (Some(Some(name)), _) => name,
        (Some(None), wanted) => wanted.unwrap_or_default(),
        (None, Some(wanted)) => wanted,
        (None, None) => return None,
    };
    let forced_any = matches!(request.tool_choice, Some(ToolChoice::Required));
    let tools = request.tools.iter().filter_map(|tool| match &tool.kind {
        ToolKind::Function(function) => {
            Some((function.name.as_str(), function.namespace.as_ref(), ToolCallKind::Function))
        }
        ToolKind::Custom { name, namespace, .. } => Some((name.as_str(), namespace.as_ref(), ToolCallKind::Custom)),
        ToolKind::Native { .. } => None,
    });
    let mut tools = tools.collect::<Vec<_>>().into_iter();
    let first = tools.as_slice().first().copied();
    let (name, namespace, kind) =
        tools.find(|(known, _, _)| *known == name).or(if forced_any { first } else { None })?;
    let arguments = match kind {
        ToolCallKind::Custom => arguments,
        ToolCallKind::Function if serde_json::from_str::<serde_json::Map<_, _>>(&arguments).is_ok() => arguments,
        ToolCallKind::Function => "{}".to_owned(),
    };
    Some(ToolCall {
        id: format!("call_{token}"),
        name: name.to_owned(),
        namespace: namespace.map(|namespace| namespace.name.clone()),
        kind,
        arguments,
        signature: None,
    })
}

/// Cuts after `max_tokens` words, as a model would.
fn limited(text: String, max_tokens: Option<u64>) -> (String, FinishReason) {
    let Some(limit) = max_tokens.and_then(|limit| usize::try_from(limit).ok()) else {
        return (text, FinishReason::Stop);
    };
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    if words.len() <= limit {
        return (text, FinishReason::Stop);
    }
    (words.into_iter().take(limit).collect(), FinishReason::Length)
}

fn words(part: &Part) -> u64 {
    match &part.content {
        Content::Text(text) => text.text.split_whitespace().count() as u64,
        Content::Reasoning(reasoning) => reasoning.text.split_whitespace().count() as u64,
        Content::ToolCall(call) => 1 + tokens::count_text(&call.arguments),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use myelin_protocol::ir::{FunctionTool, Tool};

    use super::*;

    fn request(text: &str) -> ChatRequest {
        ChatRequest { messages: vec![Message::text(Role::User, text)], ..Default::default() }
    }

    #[test]
    fn echo_repeats_the_last_user_text() {
        let response = answer(&request("hello there"), "1");
        assert_eq!(response.choices[0].parts[0].as_text(), Some("hello there"));
        let folded = fold::fold(events(response.clone()));
        assert!(folded.complete);
        assert_eq!(folded.response, response);
    }

    #[test]
    fn echo_honours_the_output_limit() {
        let response = answer(&ChatRequest { max_tokens: Some(2), ..request("one two three") }, "1");
        assert_eq!(response.choices[0].parts[0].as_text(), Some("one two "));
        assert_eq!(response.choices[0].finish, Some(Finish::new(FinishReason::Length)));
    }

    #[test]
    fn echo_plays_a_tool_loop() {
        let tool = Tool::function(FunctionTool { name: "weather".into(), ..Default::default() });
        let mut request = ChatRequest { tools: vec![tool], ..request(r#"call weather {"city":"Bern"}"#) };
        let response = answer(&request, "1");
        let Content::ToolCall(call) = &response.choices[0].parts[0].content else { panic!("no call") };
        assert_eq!((call.name.as_str(), call.arguments.as_str()), ("weather", r#"{"city":"Bern"}"#));
        let result = myelin_protocol::ir::ToolResult {
            call_id: call.id.clone(),
            name: None,
            kind: ToolCallKind::Function,
            content: vec![Part::text("sunny")],
            is_error: None,
        };
        request.messages.push(Message::new(Role::Tool, vec![Part::new(Content::ToolResult(result))]));
        assert_eq!(answer(&request, "1").choices[0].parts[0].as_text(), Some("The tool said: sunny"));
    }

    #[test]
    fn the_same_text_has_the_same_vector() {
        let request = EmbeddingRequest {
            input: vec![
                EmbeddingInput::Text("a".into()),
                EmbeddingInput::Text("a".into()),
                EmbeddingInput::Text("b".into()),
            ],
            dimensions: Some(8),
            ..Default::default()
        };
        let response = embed(&request);
        assert_eq!(response.data[0], response.data[1]);
        assert_ne!(response.data[0], response.data[2]);
    }
}
