//! What a request shall meet instead of a plain answer: other content, failures, and trouble on the way.
//!
//! Scripts are queued on a [`crate::MockServer`], or written into the user's text as `[[…]]` directives, which pass through any gateway:
//! `[[error 429 retry-after=7]]` `[[error-after 2 529]]` `[[cut-after 3]]` `[[abort-after 3]]` `[[abort-byte 100]]` `[[stall-after 2]]`
//! `[[delay 500]]` `[[pace 50]]` `[[split 1]]` `[[crlf]]` `[[comments]]` `[[no-space]]` `[[redacted]]` `[[filter]]`
//! `[[usage input=100 read=40 write=10 output=5 reasoning=2]]`. Times are milliseconds.

use std::time::Duration;

use crate::model::{Finish, ToolCall, Usage};
use crate::refusal::Refusal;

/// What one request shall meet.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// Only for this provider (first segment of the path).
    pub provider: Option<String>,
    /// Only for paths that contain this.
    pub path: Option<String>,
    /// Only for callers with this key, in whichever place the wire has it.
    pub key: Option<String>,
    /// Content that replaces the model's own.
    pub forced: Forced,
    /// A failure in place of an answer.
    pub error: Option<Refusal>,
    /// A body to send as it stands, with its status and content type: for shapes that no model would write.
    pub verbatim: Option<Verbatim>,
    /// Trouble on the way.
    pub delivery: Delivery,
}

/// A body sent as it stands.
#[derive(Debug, Clone)]
pub struct Verbatim {
    /// HTTP status.
    pub status: u16,
    /// Content type.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Content that replaces the model's own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forced {
    /// The text.
    pub text: Option<String>,
    /// Tool calls.
    pub calls: Option<Vec<ToolCall>>,
    /// Thinking, where thinking is asked for.
    pub thinking: Option<String>,
    /// Thinking comes sealed.
    pub redacted: bool,
    /// Why it ends.
    pub finish: Option<Finish>,
    /// Counters.
    pub usage: Option<Usage>,
}

/// Trouble on the way of an answer.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// Before the status line.
    pub delay: Duration,
    /// Before each event.
    pub pace: Duration,
    /// Cuts the bytes into pieces of this size, each sent on its own.
    pub split: Option<usize>,
    /// Lines end in CRLF.
    pub crlf: bool,
    /// Comments between events.
    pub comments: bool,
    /// No space after `data:`.
    pub no_space: bool,
    /// The body ends cleanly after so many events, without its terminator.
    pub cut_after: Option<usize>,
    /// The connection breaks after so many events.
    pub abort_after: Option<usize>,
    /// The connection breaks after so many bytes.
    pub abort_byte: Option<usize>,
    /// Nothing more comes after so many events, and the connection stays open.
    pub stall_after: Option<usize>,
    /// A failure inside the stream after so many events, in the provider's own shape.
    pub error_after: Option<(usize, Refusal)>,
}

impl Script {
    /// A failure with its status.
    pub fn error(status: u16) -> Self {
        Self {
            error: Some(Refusal::with_status(status, "scripted", format!("scripted failure {status}"))),
            ..Self::default()
        }
    }

    /// The same with a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Some(error) = &mut self.error {
            error.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Only this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            forced: Forced { text: Some(text.into()), calls: Some(Vec::new()), ..Forced::default() },
            ..Self::default()
        }
    }

    /// These tool calls.
    pub fn calls(calls: Vec<ToolCall>) -> Self {
        Self { forced: Forced { calls: Some(calls), ..Forced::default() }, ..Self::default() }
    }

    /// The model's own answer, with trouble on the way.
    pub fn delivered(delivery: Delivery) -> Self {
        Self { delivery, ..Self::default() }
    }

    /// Only for this provider.
    pub fn provider(mut self, provider: &str) -> Self {
        self.provider = Some(provider.to_owned());
        self
    }

    /// Only for callers with this key.
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    pub(crate) fn applies(&self, provider: &str, path: &str, key: Option<&str>) -> bool {
        self.provider.as_deref().is_none_or(|wanted| wanted == provider)
            && self.path.as_deref().is_none_or(|wanted| path.contains(wanted))
            && self.key.as_deref().is_none_or(|wanted| key == Some(wanted))
    }

    /// Takes the directives out of `text` into the script.
    pub(crate) fn read_directives(&mut self, text: &mut String) {
        while let Some(start) = text.find("[[") {
            let Some(length) = text[start..].find("]]") else { return };
            let directive = text[start + 2..start + length].to_owned();
            if !self.directive(&directive) {
                return;
            }
            text.replace_range(start..start + length + 2, "");
            *text = text.trim().to_owned();
        }
    }

    fn directive(&mut self, directive: &str) -> bool {
        let mut words = directive.split_whitespace();
        let name = words.next().unwrap_or_default();
        let rest: Vec<&str> = words.collect();
        let number = |index: usize| rest.get(index).and_then(|word| word.parse::<usize>().ok());
        let millis = || Duration::from_millis(number(0).unwrap_or(0) as u64);
        let delivery = &mut self.delivery;
        match name {
            "error" => self.error = number(0).map(|status| scripted(status, &rest)),
            "error-after" => {
                delivery.error_after = number(0).zip(number(1)).map(|(after, status)| (after, scripted(status, &rest)));
            }
            "cut-after" => delivery.cut_after = number(0),
            "abort-after" => delivery.abort_after = number(0),
            "abort-byte" => delivery.abort_byte = number(0),
            "stall-after" => delivery.stall_after = number(0),
            "delay" => delivery.delay = millis(),
            "pace" => delivery.pace = millis(),
            "split" => delivery.split = number(0),
            "crlf" => delivery.crlf = true,
            "comments" => delivery.comments = true,
            "no-space" => delivery.no_space = true,
            "redacted" => self.forced.redacted = true,
            "filter" => self.forced.finish = Some(Finish::Filter),
            "usage" => self.forced.usage = Some(usage(&rest)),
            _ => return false,
        }
        true
    }
}

fn scripted(status: usize, words: &[&str]) -> Refusal {
    let status = u16::try_from(status).ok().filter(|status| (400..600).contains(status)).unwrap_or(500);
    let mut refusal = Refusal::with_status(status, "scripted", format!("scripted failure {status}"));
    refusal.headers = pairs(words).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    refusal
}

fn usage(words: &[&str]) -> Usage {
    let mut usage = Usage::default();
    for (name, value) in pairs(words) {
        let count = value.parse().unwrap_or(0);
        match name {
            "input" => usage.input = count,
            "read" => usage.cache_read = count,
            "write" => usage.cache_write = count,
            "output" => usage.output = count,
            "reasoning" => usage.reasoning = count,
            _ => {}
        }
    }
    usage
}

fn pairs<'a>(words: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    words.iter().filter_map(|word| word.split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_and_taken_out_of_the_text() {
        let mut script = Script::default();
        let mut text = "hello [[error 429 retry-after=7]] [[pace 5]][[usage input=9 read=3]]".to_owned();
        script.read_directives(&mut text);
        assert_eq!(text, "hello");
        let error = script.error.unwrap();
        assert_eq!((error.status, error.headers), (429, vec![("retry-after".to_owned(), "7".to_owned())]));
        assert_eq!(script.delivery.pace, Duration::from_millis(5));
        assert_eq!(script.forced.usage.map(|usage| (usage.input, usage.cache_read)), Some((9, 3)));
    }

    #[test]
    fn a_script_is_met_only_by_whom_it_is_meant_for() {
        let script = Script { path: Some("/chat".into()), ..Script::error(500) }.provider("openai").key("mock-1");
        assert!(script.applies("openai", "/v1/chat/completions", Some("mock-1")));
        assert!(!script.applies("openai", "/v1/chat/completions", Some("mock-2")));
        assert!(!script.applies("openai", "/v1/chat/completions", None));
        assert!(!script.applies("openai", "/v1/embeddings", Some("mock-1")));
        assert!(!script.applies("groq", "/v1/chat/completions", Some("mock-1")));
        assert!(Script::error(500).applies("groq", "/v1/models", None), "anybody");
    }

    #[test]
    fn brackets_that_are_no_directive_stay() {
        let mut script = Script::default();
        for text in ["if [[ -f x ]]; then", "[[unknown]]", "[[open"] {
            let mut copy = text.to_owned();
            script.read_directives(&mut copy);
            assert_eq!(copy, text);
        }
    }
}
