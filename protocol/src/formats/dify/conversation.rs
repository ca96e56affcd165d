//! Conversations of the facade: what the gateway keeps of them, pages of it for `GET /dify/v1/messages`.
//! Where they are kept is not known here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ir::{ChatRequest, ChatResponse, Content, Message, Part, Role};
use crate::{ApiError, ApiErrorKind};

/// Messages of a page, if the client does not say.
pub const USUAL_PAGE: usize = 20;
/// A page holds no more.
pub const LARGEST_PAGE: usize = 100;

/// One question with its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryMessage {
    /// The answer's `message_id`.
    pub id: String,
    /// The conversation that it belongs to.
    pub conversation_id: String,
    /// `inputs` of the request.
    pub inputs: Map<String, Value>,
    /// What was asked.
    pub query: String,
    /// What was answered; empty if it failed.
    pub answer: String,
    /// Addresses of the user's files with their kind (`image`, `document` …).
    pub files: Vec<HistoryFile>,
    /// Sources as the answer named them.
    pub retriever_resources: Vec<Value>,
    /// Seconds since 1970.
    pub created_at: u64,
    /// Why it failed.
    pub error: Option<String>,
}

/// A file of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryFile {
    /// Its id.
    pub id: String,
    /// `image`, `document`, `audio` or `video`.
    pub kind: String,
    /// Where it lies.
    pub url: String,
}

/// A page of a conversation, oldest message first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Page<'a> {
    /// How many were asked for.
    pub limit: usize,
    /// Older messages exist.
    pub has_more: bool,
    /// The messages.
    pub messages: &'a [HistoryMessage],
}

/// The page before the message `first_id` (the newest page without it) of a conversation that is sorted by time. A limit of 0 is the usual one.
/// `None`: there is no such message.
pub fn page<'a>(messages: &'a [HistoryMessage], first_id: Option<&str>, limit: usize) -> Option<Page<'a>> {
    let limit = if limit == 0 { USUAL_PAGE } else { limit.min(LARGEST_PAGE) };
    let end = match first_id.filter(|id| !id.is_empty()) {
        None => messages.len(),
        Some(id) => messages.iter().position(|message| message.id == id)?,
    };
    let start = end.saturating_sub(limit);
    let messages = messages.get(start..end).unwrap_or_default();
    Some(Page { limit, has_more: start > 0, messages })
}

/// Writes the answer of `GET /dify/v1/messages`.
pub fn encode_page(page: &Page<'_>) -> Vec<u8> {
    let data: Vec<Value> = page.messages.iter().map(write_message).collect();
    json!({"limit": page.limit, "has_more": page.has_more, "data": data}).to_string().into_bytes()
}

fn write_message(message: &HistoryMessage) -> Value {
    let files: Vec<Value> = message
        .files
        .iter()
        .map(|file| json!({"id": file.id, "type": file.kind, "url": file.url, "belongs_to": "user"}))
        .collect();
    json!({
        "id": message.id,
        "conversation_id": message.conversation_id,
        "parent_message_id": null,
        "inputs": message.inputs,
        "query": message.query,
        "answer": message.answer,
        "message_files": files,
        "feedback": null,
        "retriever_resources": message.retriever_resources,
        "created_at": message.created_at,
        "agent_thoughts": [],
        "status": if message.error.is_some() { "error" } else { "normal" },
        "error": message.error,
    })
}

/// The failure to tell when a conversation is unknown or belongs to another user.
pub fn unknown_conversation() -> ApiError {
    ApiError { code: Some("not_found".to_owned()), ..ApiError::new(ApiErrorKind::NotFound, "Conversation Not Exists.") }
}

/// Puts what was said before in front of what is asked now: both sides, oldest first, at most `most` questions. Failed answers are left out.
pub fn prepend_history(request: &mut ChatRequest, history: &[HistoryMessage], most: usize) {
    let told: Vec<&HistoryMessage> = history.iter().filter(|message| message.error.is_none()).collect();
    let start = told.len().saturating_sub(most);
    let turns = told.get(start..).unwrap_or_default().iter().flat_map(|message| {
        [Message::text(Role::User, &message.query), Message::text(Role::Assistant, &message.answer)]
    });
    let leading =
        request.messages.iter().take_while(|message| matches!(message.role, Role::System | Role::Developer)).count();
    request.messages.splice(leading..leading, turns.filter(|message| has_words(&message.parts)));
}

fn has_words(parts: &[Part]) -> bool {
    parts.iter().any(|part| part.as_text().is_some_and(|text| !text.is_empty()))
}

/// The visible words of an answer, as they are kept.
pub fn answer_text(response: &ChatResponse) -> String {
    let parts = response.first().map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let words = parts.iter().filter_map(|part| match &part.content {
        Content::Text(text) => Some(text.text.as_str()),
        Content::Refusal(text) => Some(text.as_str()),
        _ => None,
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(count: usize) -> Vec<HistoryMessage> {
        (0..count)
            .map(|number| HistoryMessage {
                id: format!("m{number}"),
                conversation_id: "c".into(),
                inputs: Map::new(),
                query: format!("q{number}"),
                answer: format!("a{number}"),
                files: Vec::new(),
                retriever_resources: Vec::new(),
                created_at: number as u64,
                error: None,
            })
            .collect()
    }

    #[test]
    fn pages_walk_back_from_the_newest_without_gaps() {
        let history = history(45);
        let mut seen = Vec::new();
        let mut first: Option<String> = None;
        loop {
            let page = page(&history, first.as_deref(), 0).unwrap();
            let mut ids: Vec<String> = page.messages.iter().map(|message| message.id.clone()).collect();
            first = ids.first().cloned();
            ids.extend(seen);
            seen = ids;
            if !page.has_more {
                break;
            }
        }
        assert_eq!(seen, history.iter().map(|message| message.id.clone()).collect::<Vec<_>>());
        assert_eq!(page(&history, None, 9_999).unwrap().messages.len(), 45);
        assert_eq!(page(&history, Some("gone"), 5), None);
    }

    #[test]
    fn a_page_has_every_field_that_clients_read() {
        let history = history(1);
        let wire: Value = serde_json::from_slice(&encode_page(&page(&history, None, 3).unwrap())).unwrap();
        assert_eq!((wire["limit"].as_u64(), wire["has_more"].as_bool()), (Some(3), Some(false)));
        assert_eq!(wire["data"][0]["query"], "q0");
        assert_eq!(wire["data"][0]["answer"], "a0");
    }

    #[test]
    fn both_sides_are_told_oldest_first_and_behind_the_operator() {
        let mut history = history(4);
        history[2].error = Some("boom".into());
        let mut request = ChatRequest {
            messages: vec![Message::text(Role::System, "s"), Message::text(Role::User, "now")],
            ..ChatRequest::default()
        };
        prepend_history(&mut request, &history, 2);
        let told: Vec<_> =
            request.messages.iter().map(|message| (message.role, message.parts[0].as_text().unwrap())).collect();
        assert_eq!(
            told,
            [
                (Role::System, "s"),
                (Role::User, "q1"),
                (Role::Assistant, "a1"),
                (Role::User, "q3"),
                (Role::Assistant, "a3"),
                (Role::User, "now")
            ]
        );
    }
}
