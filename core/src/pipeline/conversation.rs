//! Which conversation a request belongs to, as a number: the same for every turn of it. Prompt caches are kept by it.
//!
//! By the session that the client names; else by what stays the same while a conversation grows: the system prompt and everything up to the first words of
//! the user. Looks at the bytes and builds no tree.

use std::hash::{BuildHasher as _, Hash, Hasher};

use foldhash::fast::{FixedState, FoldHasher};
use myelin_protocol::ApiFormat;
use myelin_protocol::envelope::string_end;

use super::ask::Ask;
use crate::model::RequestRecord;

/// Words of the wire that come and go with the way a text is written down: a string, or a list of parts with cache marks.
const WORDS: [&[u8]; 16] = [
    b"role",
    b"user",
    b"content",
    b"type",
    b"text",
    b"parts",
    b"input_text",
    b"cache_control",
    b"ephemeral",
    b"ttl",
    b"5m",
    b"1h",
    b"id",
    b"message",
    b"system",
    b"developer",
];

/// No word of [`WORDS`] is longer.
const LONGEST_WORD: usize = 13;

/// So much of a system prompt and of the first turn is looked at: who agrees in all of it shares most of the provider's cache anyway.
const LOOK: usize = 64 << 10;

/// The same in every run: conversations outlive the process.
fn hasher() -> FoldHasher<'static> {
    FixedState::with_seed(0x6d79_656c_696e).build_hasher()
}

/// The conversation of a request; `None`: nothing tells.
pub(crate) fn of(ask: &Ask, record: &RequestRecord) -> Option<u64> {
    let envelope = ask.whole()?;
    let mut hasher = hasher();
    record.key.hash(&mut hasher);
    record.model.hash(&mut hasher);
    let session = record.thread.as_ref().or(record.session.as_ref());
    if let Some(session) = session {
        session.hash(&mut hasher);
        // Applications give all their conversations one such key: it does not tell them apart.
        if envelope.text("prompt_cache_key").as_deref() != Some(session.as_str()) {
            return Some(hasher.finish());
        }
    }
    let (system, messages): (&[&str], &str) = match ask.format {
        ApiFormat::OpenaiResponses => (&["instructions"], "input"),
        ApiFormat::Gemini => (&["systemInstruction", "system_instruction"], "contents"),
        ApiFormat::OpenaiCompletions | ApiFormat::OllamaGenerate => (&["system"], "prompt"),
        _ => (&["system"], "messages"),
    };
    for raw in system.iter().filter_map(|name| envelope.raw(name)) {
        texts(look(raw), &mut hasher);
    }
    first_turn(look(envelope.raw(messages)?), &mut hasher);
    Some(hasher.finish())
}

/// The same where only the head is there: by the session that it names.
pub(crate) fn of_head(record: &RequestRecord) -> Option<u64> {
    let session = record.thread.as_ref().or(record.session.as_ref())?;
    let mut hasher = hasher();
    record.key.hash(&mut hasher);
    record.model.hash(&mut hasher);
    session.hash(&mut hasher);
    Some(hasher.finish())
}

fn look(raw: &[u8]) -> &[u8] {
    raw.get(..LOOK).unwrap_or(raw)
}

/// Everything up to the first words of the user, that included: one walk over the elements of the list.
fn first_turn(raw: &[u8], hasher: &mut impl Hasher) {
    let Some(list) = raw.strip_prefix(b"[") else { return texts(raw, hasher) };
    let (mut depth, mut is_users) = (0_usize, false);
    let mut at = 0;
    while let Some(byte) = list.get(at) {
        match byte {
            b'"' => {
                let end = string_end(list, at + 1).unwrap_or(list.len());
                let text = list.get(at + 1..end).unwrap_or_default();
                is_users |= text == b"user";
                take(text, hasher);
                at = end;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 && is_users {
            return;
        }
    }
}

/// Every text of a value, but for the words of the wire.
fn texts(raw: &[u8], hasher: &mut impl Hasher) {
    let mut at = 0;
    while let Some(found) = raw.get(at..).and_then(|rest| memchr::memchr(b'"', rest)) {
        let start = at + found;
        let end = string_end(raw, start + 1).unwrap_or(raw.len());
        take(raw.get(start + 1..end).unwrap_or_default(), hasher);
        at = end + 1;
    }
}

fn take(text: &[u8], hasher: &mut impl Hasher) {
    if text.len() > LONGEST_WORD || !WORDS.contains(&text) {
        text.hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn no_word_is_longer_than_the_longest() {
        assert_eq!(WORDS.iter().map(|word| word.len()).max(), Some(LONGEST_WORD));
    }

    fn number(format: ApiFormat, body: &str, session: Option<&str>) -> Option<u64> {
        let ask = Ask::read(format, Bytes::from(body.to_owned()), Some("m".into()), None, "").unwrap();
        let record =
            RequestRecord { model: "m".into(), session: session.map(str::to_owned), ..RequestRecord::default() };
        of(&ask, &record)
    }

    #[test]
    fn every_turn_of_a_conversation_has_its_number() {
        let first = number(
            ApiFormat::AnthropicMessages,
            r#"{"system":"be good","messages":[{"role":"user","content":[{"type":"text","text":"hi \"you\"","cache_control":{"type":"ephemeral"}}]}]}"#,
            None,
        );
        let second = number(
            ApiFormat::AnthropicMessages,
            r#"{"system":[{"type":"text","text":"be good","cache_control":{"type":"ephemeral"}}],"messages":[ {"role": "user", "content": "hi \"you\""}, {"role":"assistant","content":"yes"},{"role":"user","content":"more"}]}"#,
            None,
        );
        assert!(first.is_some());
        assert_eq!(first, second, "cache marks move, and texts are written in two ways");
        let other = number(
            ApiFormat::AnthropicMessages,
            r#"{"system":"be good","messages":[{"role":"user","content":"hello"}]}"#,
            None,
        );
        assert_ne!(first, other);
        let chat = |text: &str| number(ApiFormat::OpenaiChat, text, None);
        assert_eq!(
            chat(r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}]}"#),
            chat(
                r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"a"}]}"#
            ),
        );
        assert_ne!(
            chat(r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}]}"#),
            chat(r#"{"messages":[{"role":"system","content":"t"},{"role":"user","content":"u"}]}"#),
        );
        assert_eq!(chat(r#"{"model":"m"}"#), None);
    }

    #[test]
    fn a_session_tells_more_than_words_and_a_shared_cache_key_less() {
        let turn = |text: &str, session| {
            let body = format!(r#"{{"prompt_cache_key":"app","messages":[{{"role":"user","content":"{text}"}}]}}"#);
            number(ApiFormat::OpenaiChat, &body, session)
        };
        assert_eq!(turn("a", Some("s-1")), turn("b", Some("s-1")));
        assert_ne!(turn("a", Some("s-1")), turn("a", Some("s-2")));
        assert_ne!(turn("a", Some("app")), turn("b", Some("app")));
        assert_eq!(turn("a", Some("app")), turn("a", Some("app")));
    }
}
