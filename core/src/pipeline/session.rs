//! Which conversation, task and tool a request belongs to, read from the head that real clients send.

use http::header::{AsHeaderName, USER_AGENT};
use http::{HeaderMap, HeaderName};

use crate::model::RequestRecord;

/// Headers that name a tool's session (made at compile time: every request is asked for all of them): ours, Codex's, Claude Code's. Where there is none, the conversation is the session.
static SESSIONS: [HeaderName; 7] = [
    HeaderName::from_static("x-session-id"),
    HeaderName::from_static("session_id"),
    HeaderName::from_static("session-id"),
    HeaderName::from_static("conversation_id"),
    HeaderName::from_static("x-claude-code-session-id"),
    HeaderName::from_static("x-thread-id"),
    HeaderName::from_static("ah-thread-id"),
];
/// Headers that name a conversation of several tasks: ours, AxonHub's.
static THREADS: [HeaderName; 2] = [HeaderName::from_static("x-thread-id"), HeaderName::from_static("ah-thread-id")];
/// Headers that name a task: ours, AxonHub's.
static TRACES: [HeaderName; 2] = [HeaderName::from_static("x-trace-id"), HeaderName::from_static("ah-trace-id")];
/// What user agents of known tools begin with.
const TOOLS: [(&str, &str); 12] = [
    ("claude-cli", "claude-code"),
    ("claude-code", "claude-code"),
    ("codex", "codex"),
    ("GeminiCLI", "gemini-cli"),
    ("opencode", "opencode"),
    ("aider", "aider"),
    ("Cline", "cline"),
    ("QwenCode", "qwen-code"),
    ("Continue", "continue"),
    ("Cursor", "cursor"),
    ("OpenAI/", "openai-sdk"),
    ("Anthropic/", "anthropic-sdk"),
];
/// Longest id that is kept.
const LONGEST: usize = 200;

/// Fills in session, thread, trace and tool.
pub(crate) fn note(headers: &HeaderMap, record: &mut RequestRecord) {
    record.session = first(headers, &SESSIONS).map(cut);
    record.thread = first(headers, &THREADS).map(cut);
    record.trace = first(headers, &TRACES).map(cut).or_else(|| text(headers, "traceparent").and_then(w3c));
    record.tool = text(headers, USER_AGENT)
        .and_then(|agent| TOOLS.iter().find(|(start, _)| agent.starts_with(start)).map(|(_, tool)| (*tool).to_owned()));
}

fn first<'h>(headers: &'h HeaderMap, names: &[HeaderName]) -> Option<&'h str> {
    names.iter().find_map(|name| text(headers, name))
}

fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().filter(|value| !value.is_empty())
}

/// The session inside a body's `metadata.user_id` (Claude Code: JSON with `session_id`, or `…_session_UUID`).
pub(crate) fn from_user(user: &str) -> Option<String> {
    if let Ok(fields) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(user) {
        return fields.get("session_id")?.as_str().map(cut);
    }
    user.rsplit_once("_session_").map(|(_, session)| cut(session))
}

/// The trace id of a W3C `traceparent`: `00-<32 hex>-<16 hex>-01`.
fn w3c(header: &str) -> Option<String> {
    header
        .split('-')
        .nth(1)
        .filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .map(str::to_owned)
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_clients_are_recognised() {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", "codex_exec/0.169.0 (Debian)".parse().unwrap());
        headers.insert("session_id", "0199-abc".parse().unwrap());
        headers.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap());
        let mut record = RequestRecord::default();
        note(&headers, &mut record);
        assert_eq!(record.tool.as_deref(), Some("codex"));
        assert_eq!(record.session.as_deref(), Some("0199-abc"));
        assert_eq!(record.trace.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        headers.insert("ah-thread-id", "conversation-7".parse().unwrap());
        headers.insert("AH-Trace-Id", "task-3".parse().unwrap());
        note(&headers, &mut record);
        assert_eq!((record.thread.as_deref(), record.trace.as_deref()), (Some("conversation-7"), Some("task-3")));
        assert_eq!(record.session.as_deref(), Some("0199-abc"));
        assert_eq!(from_user(r#"{"device_id":"d","session_id":"s-1"}"#).as_deref(), Some("s-1"));
        assert_eq!(from_user("user_abc_account__session_s-2").as_deref(), Some("s-2"));
        assert_eq!(from_user("someone"), None);
    }
}
