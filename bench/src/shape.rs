//! What is asked and how it is answered. The wish travels in the model's name, so that it passes through any gateway.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

/// Words of the API that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// OpenAI Chat Completions.
    Chat,
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Messages,
    /// Gemini generateContent.
    Gemini,
}

/// The provider's side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wire {
    /// OpenAI Chat Completions.
    Chat,
    /// Anthropic Messages.
    Messages,
    /// OpenAI Responses.
    Responses,
    /// Gemini generateContent.
    Gemini,
}

impl Wire {
    /// All, with their letters in a model's name.
    pub const ALL: [(Self, char); 4] =
        [(Self::Chat, 'c'), (Self::Messages, 'm'), (Self::Responses, 'r'), (Self::Gemini, 'g')];
}

/// What the mock is to do; as a model's name `bench-c-50-100-20-32`: wire, latency, chunks (0: no stream), interval, bytes a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Shape {
    /// The provider's wire.
    pub wire: Wire,
    /// Milliseconds until the answer's head.
    pub latency_ms: u32,
    /// Chunks of the stream; 0 answers whole.
    pub chunks: u32,
    /// Milliseconds between chunks.
    pub interval_ms: u32,
    /// Bytes of text in a chunk, or of the whole answer.
    pub size: u32,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = Wire::ALL.iter().find(|(wire, _)| *wire == self.wire).map_or('c', |(_, letter)| *letter);
        write!(f, "bench-{wire}-{}-{}-{}-{}", self.latency_ms, self.chunks, self.interval_ms, self.size)
    }
}

impl FromStr for Shape {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let mut parts = name.strip_prefix("bench-").ok_or(())?.split('-');
        let letter = parts.next().ok_or(())?;
        let (wire, _) = Wire::ALL.into_iter().find(|(_, own)| letter.chars().eq([*own])).ok_or(())?;
        let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok()).ok_or(());
        Ok(Self { wire, latency_ms: number()?, chunks: number()?, interval_ms: number()?, size: number()? })
    }
}

/// One request, ready to be sent again and again.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Path and query.
    pub path: String,
    /// Header that carries the key.
    pub key_header: &'static str,
    /// The body.
    pub body: Bytes,
    /// Chunks that must come back; 0: a whole answer.
    pub chunks: u32,
    /// What a whole stream ends with.
    pub end: &'static [u8],
    /// From here on a stream repeats text that it has already sent.
    pub repeats: Option<&'static [u8]>,
}

/// The request of a client that speaks `format` for `shape`, with about `bytes` bytes of body.
pub fn ask(format: Format, shape: Shape, bytes: usize) -> Ask {
    let stream = shape.chunks > 0;
    let text = prompt(bytes.saturating_sub(120));
    let repeats = (format == Format::Responses).then_some(&b"response.output_text.done"[..]);
    let (path, body, end, key_header) = match format {
        Format::Chat => (
            "/v1/chat/completions".to_owned(),
            format!(
                r#"{{"model":"{shape}","stream":{stream},"max_tokens":4096,"messages":[{{"role":"user","content":"{text}"}}]}}"#
            ),
            &b"data: [DONE]"[..],
            "authorization",
        ),
        Format::Responses => (
            "/v1/responses".to_owned(),
            format!(
                r#"{{"model":"{shape}","stream":{stream},"store":false,"input":[{{"role":"user","content":"{text}"}}]}}"#
            ),
            &b"response.completed"[..],
            "authorization",
        ),
        Format::Messages => (
            "/v1/messages".to_owned(),
            format!(
                r#"{{"model":"{shape}","stream":{stream},"max_tokens":4096,"messages":[{{"role":"user","content":"{text}"}}]}}"#
            ),
            &b"message_stop"[..],
            "x-api-key",
        ),
        Format::Gemini => {
            let action = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            (
                format!("/v1beta/models/{shape}:{action}"),
                format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":"{text}"}}]}}]}}"#),
                &b"\"finishReason\""[..],
                "x-goog-api-key",
            )
        }
    };
    Ask { path, key_header, body: body.into(), chunks: shape.chunks, end, repeats }
}

/// Text like people paste: mostly words, some line ends and quotes, already escaped for JSON.
fn prompt(bytes: usize) -> String {
    const LINE: &str =
        r#"fn answer(question: &str) -> String { \"forty-two\".into() } // and then some words about it\n"#;
    let mut text = LINE.repeat(bytes / LINE.len() + 1);
    let mut end = bytes.min(text.len());
    // Not between a backslash and what it escapes.
    while end > 0 && text.as_bytes().get(end - 1) == Some(&b'\\') {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_whole_shape() {
        let shape = Shape { wire: Wire::Messages, latency_ms: 50, chunks: 100, interval_ms: 20, size: 32 };
        assert_eq!(shape.to_string().parse(), Ok(shape));
        assert_eq!("gpt-5".parse::<Shape>(), Err(()));
        assert_eq!("bench-c-1-2".parse::<Shape>(), Err(()));
    }

    #[test]
    fn every_body_is_json_of_about_the_size_asked_for() {
        let shape = Shape { wire: Wire::Chat, latency_ms: 0, chunks: 0, interval_ms: 0, size: 64 };
        for format in [Format::Chat, Format::Responses, Format::Messages, Format::Gemini] {
            for bytes in (200..400).chain([1_000, 100_000]) {
                let ask = ask(format, shape, bytes);
                assert!(serde_json::from_slice::<serde_json::Value>(&ask.body).is_ok(), "{format:?} {bytes}");
                assert!(ask.body.len().abs_diff(bytes) < 100, "{format:?} {bytes}: {}", ask.body.len());
            }
        }
    }
}
