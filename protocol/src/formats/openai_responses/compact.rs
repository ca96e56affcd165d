//! `POST /responses/compact`: a conversation goes in, a shorter one comes out, which stands for it in later requests.
//!
//! OpenAI answers with the caller's own messages and one opaque `compaction` item. For a provider that cannot do this, the gateway
//! lets any model write a summary ([`ask`]) and answers in the same shape ([`encode`]); its item holds the summary in the clear under
//! a mark, and is read back as a message, so the conversation may go on at any provider.

use serde_json::{Value, json};

use super::content::fields_of;
use super::take::{self, FORMAT, Fields};
use super::{ids, usage};
use crate::ir::{ChatRequest, ChatResponse, Content, Message, Role, Usage};
use crate::{DecodeError, ReplyContext};

const MARK: &str = "myl1-summary:";

/// What a model is told to do with the conversation above.
const TASK: &str = "Summarise the conversation so far, so that it can go on from your summary alone. Keep: what the user wants and \
has decided, what was done and found (with file names, commands, values and errors word for word where they matter), what is \
unfinished, and the next step. Write the summary only.";

/// What stands before a summary when a model reads it later.
const HEADING: &str = "Summary of the earlier conversation, which it replaces:\n\n";

/// The summary in an item that the gateway made. `None`: a provider made it.
pub(super) fn summary_of(encrypted_content: &str) -> Option<&str> {
    encrypted_content.strip_prefix(MARK)
}

/// The message that a summary becomes.
pub(super) fn introduce(summary: &str) -> String {
    format!("{HEADING}{summary}")
}

/// Turns a request to compact into one for a summary, for a model that knows no compaction.
pub fn ask(mut request: ChatRequest) -> ChatRequest {
    request.messages.push(Message::text(Role::User, TASK));
    ChatRequest {
        tools: Vec::new(),
        tool_choice: None,
        parallel_tool_calls: None,
        output: None,
        stream: Some(false),
        store: Some(false),
        previous_response_id: None,
        ..request
    }
}

/// A compacted conversation, as a provider answered it.
#[derive(Debug, Clone, PartialEq)]
pub struct Compaction {
    /// `resp_…`.
    pub id: Option<String>,
    /// The items that stand for the conversation, as they go into the next request.
    pub output: Vec<Value>,
    /// What it took.
    pub usage: Option<Usage>,
}

/// Reads a provider's answer.
pub fn decode(body: &[u8]) -> Result<Compaction, DecodeError> {
    let mut fields: Fields = serde_json::from_slice(body).map_err(|error| DecodeError::json(FORMAT, &error))?;
    let output = take::list(&mut fields, "", "output")?;
    let output = output.ok_or_else(|| DecodeError::new(FORMAT, "/output", "is not a list"))?;
    let usage = fields.get("usage").and_then(|counted| usage::decode(counted, Some(&fields)));
    Ok(Compaction { id: take::text(&mut fields, "id"), output, usage })
}

/// Writes the answer to a request to compact: what the user said stays, all else is in the summary that `answer` holds.
pub fn encode(request: &ChatRequest, answer: &ChatResponse, context: &ReplyContext) -> Vec<u8> {
    let mut output = Vec::new();
    for message in request.messages.iter().filter(|message| message.role == Role::User) {
        let texts: Vec<&str> = message.parts.iter().filter_map(|part| part.as_text()).collect();
        // A summary of a summary replaces it.
        if texts.is_empty() || texts.iter().any(|text| text.starts_with(HEADING)) {
            continue;
        }
        let content: Vec<Value> = texts.iter().map(|text| json!({"type": "input_text", "text": text})).collect();
        let id = ids::mint("msg", &context.id, output.len());
        output.push(json!({"id": id, "type": "message", "status": "completed", "content": content, "role": "user"}));
    }
    let parts = answer.first().map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let summary: String = parts
        .iter()
        .filter_map(|part| match &part.content {
            Content::Text(text) => Some(text.text.as_str()),
            _ => None,
        })
        .collect();
    let id = ids::mint("cmp", &context.id, output.len());
    output.push(json!({"id": id, "type": "compaction", "encrypted_content": format!("{MARK}{summary}")}));
    let body = fields_of(json!({
        "id": ids::response(answer.id.as_deref(), &context.id),
        "object": "response.compaction",
        "created_at": answer.created.unwrap_or(context.created),
        "output": output,
        "usage": usage::encode(answer.usage.as_ref()),
    }));
    Value::Object(body).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Choice, Part};

    #[test]
    fn case_60_a_compacted_conversation_goes_on_at_any_model() {
        let body = json!({"model": "m", "instructions": "be brief", "input": [
            {"role": "user", "content": "build it"}, {"role": "assistant", "content": "done so far: half"},
        ], "tools": [{"type": "function", "name": "f"}]});
        let request = super::super::request::decode(body.to_string().as_bytes()).expect("is a request");
        let asked = ask(request.clone());
        assert!(asked.tools.is_empty());
        assert_eq!(asked.messages.len(), request.messages.len() + 1);
        let answer = ChatResponse {
            choices: vec![Choice { parts: vec![Part::text("half is built")], ..Choice::default() }],
            ..ChatResponse::default()
        };
        let context = ReplyContext { id: "ab".into(), created: 5, ..ReplyContext::default() };
        let wire = encode(&request, &answer, &context);
        let shape: Value = serde_json::from_slice(&wire).expect("is JSON");
        assert_eq!(shape["object"], "response.compaction");
        assert_eq!(shape["output"][0]["content"][0], json!({"type": "input_text", "text": "build it"}));
        assert_eq!(shape["output"][1]["type"], "compaction");

        let mut output = decode(&wire).expect("is a compaction").output;
        output.push(json!({"role": "user", "content": "go on"}));
        let next = json!({"model": "m", "input": output});
        let next = super::super::request::decode(next.to_string().as_bytes()).expect("is a request");
        let texts: Vec<_> =
            next.messages.iter().map(|message| message.parts[0].as_text().unwrap_or_default()).collect();
        assert_eq!(
            texts,
            ["build it", "Summary of the earlier conversation, which it replaces:\n\nhalf is built", "go on"]
        );
        let again = encode(&next, &answer, &context);
        let again = decode(&again).expect("is a compaction").output;
        assert_eq!(again.iter().filter(|item| item["type"] == "compaction").count(), 1);
        assert_eq!(again.len(), 3, "an old summary is not kept beside the new one");
    }

    #[test]
    fn a_provider_s_compaction_stays_closed() {
        let item = json!({"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA"});
        let body = json!({"model": "m", "input": [item]});
        let request = super::super::request::decode(body.to_string().as_bytes()).expect("is a request");
        assert!(matches!(&request.messages[0].parts[0].content, Content::Native(native) if native.value == item));
    }
}
