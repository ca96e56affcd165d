//! Pieces of a stream and how each is put on the wire.

use bytes::{BufMut, Bytes, BytesMut};

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A Server-Sent Event.
    Sse {
        /// Its `event:` line.
        event: Option<String>,
        /// Its `data:` line; `None` for events without one (Dify's ping).
        data: Option<String>,
    },
    /// One JSON object on a line.
    Line(String),
    /// A piece of a JSON array; brackets and commas are in it.
    Piece(String),
    /// A message of AWS's binary event stream.
    Aws(Bytes),
}

impl Frame {
    /// `data:` alone.
    pub(crate) fn data(data: impl ToString) -> Self {
        Self::Sse { event: None, data: Some(data.to_string()) }
    }

    /// `event:` and `data:`.
    pub(crate) fn event(event: &str, data: impl ToString) -> Self {
        Self::Sse { event: Some(event.to_owned()), data: Some(data.to_string()) }
    }

    /// An event of AWS's binary stream with a JSON payload.
    pub(crate) fn aws_event(kind: &str, payload: impl ToString) -> Self {
        let headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
        Self::Aws(aws_message(&headers, payload.to_string().as_bytes()))
    }

    /// An exception of AWS's binary stream.
    pub(crate) fn aws_exception(kind: &str, payload: impl ToString) -> Self {
        let headers =
            [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")];
        Self::Aws(aws_message(&headers, payload.to_string().as_bytes()))
    }

    /// The bytes of the event. `crlf` and `no_space` change SSE and lines alone.
    pub(crate) fn bytes(&self, crlf: bool, no_space: bool) -> Bytes {
        let end = if crlf { "\r\n" } else { "\n" };
        let space = if no_space { "" } else { " " };
        match self {
            Self::Sse { event, data } => {
                let mut text = String::new();
                if let Some(event) = event {
                    text.push_str(&format!("event:{space}{event}{end}"));
                }
                for line in data.iter().flat_map(|data| data.split('\n')) {
                    text.push_str(&format!("data:{space}{line}{end}"));
                }
                text.push_str(end);
                Bytes::from(text)
            }
            Self::Line(line) => Bytes::from(format!("{line}{end}")),
            Self::Piece(piece) => Bytes::from(piece.clone()),
            Self::Aws(bytes) => bytes.clone(),
        }
    }
}

/// Lengths, headers, payload and both checksums, big-endian, as AWS frames them. Header values are strings (type 7).
fn aws_message(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut head = BytesMut::new();
    for (name, value) in headers {
        head.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
        head.put_slice(name.as_bytes());
        head.put_u8(7);
        head.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        head.put_slice(value.as_bytes());
    }
    let total = u32::try_from(16 + head.len() + payload.len()).unwrap_or(u32::MAX);
    let mut message = BytesMut::new();
    message.put_u32(total);
    message.put_u32(u32::try_from(head.len()).unwrap_or(u32::MAX));
    message.put_u32(crc32fast::hash(&message));
    message.put_slice(&head);
    message.put_slice(payload);
    message.put_u32(crc32fast::hash(&message));
    message.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sse_events_are_written_with_any_line_end() {
        let frame = Frame::event("ping", "{}");
        assert_eq!(frame.bytes(false, false), "event: ping\ndata: {}\n\n");
        assert_eq!(frame.bytes(true, true), "event:ping\r\ndata:{}\r\n\r\n");
        assert_eq!(Frame::Sse { event: Some("ping".into()), data: None }.bytes(false, false), "event: ping\n\n");
    }

    #[test]
    fn aws_messages_carry_their_lengths_and_checksums() {
        let Frame::Aws(bytes) = Frame::aws_event("messageStop", "{}") else { panic!() };
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(word(0) as usize, bytes.len());
        assert_eq!(word(8), crc32fast::hash(&bytes[..8]));
        assert_eq!(word(bytes.len() - 4), crc32fast::hash(&bytes[..bytes.len() - 4]));
        assert_eq!(&bytes[bytes.len() - 6..bytes.len() - 4], b"{}");
    }
}
