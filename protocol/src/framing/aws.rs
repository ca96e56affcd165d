//! AWS binary event stream (`application/vnd.amazon.eventstream`): reader and writer.
//!
//! ```text
//! total length u32 | header length u32 | CRC-32 of those 8 bytes | headers | payload | CRC-32 of everything before it
//! header = name length u8 | name | type u8 | value          all numbers big-endian, CRC-32 is the IEEE one
//! ```
//!
//! Knows the framing only: what an event means is the business of the codec. Both checksums are verified, lengths are checked before
//! anything is kept, and a message that lies whole in the input is borrowed from it.

use super::{DEFAULT_FRAME_LIMIT, Frame, FramingError};

const PRELUDE: usize = 12;
const TRAILER: usize = 4;

/// Cuts a byte stream into messages.
#[derive(Debug)]
pub struct AwsEventStreamReader {
    limit: usize,
    buffer: Vec<u8>,
    /// `buffer` was handed out and is empty in truth.
    given: bool,
    /// Where the words of an `error` message, which stand in a header, are put as a payload.
    error_body: Vec<u8>,
}

impl Default for AwsEventStreamReader {
    fn default() -> Self {
        Self::with_limit(DEFAULT_FRAME_LIMIT)
    }
}

impl AwsEventStreamReader {
    /// A reader whose messages may hold [`DEFAULT_FRAME_LIMIT`] bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A reader whose messages may hold `limit` bytes, headers and checksums included.
    pub fn with_limit(limit: usize) -> Self {
        Self { limit, buffer: Vec::new(), given: false, error_body: Vec::new() }
    }

    /// The next frame of `input`, whose start is moved past what was used. `None`: `input` is used up.
    ///
    /// A message of type `error` has its words in headers: its frame carries them as `{"message": …}`.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<Frame<'a>>, FramingError> {
        let Self { limit, buffer, given, error_body } = self;
        match advance(*limit, buffer, given, input)? {
            Some(message) => message.frame(error_body).map(Some),
            None => Ok(None),
        }
    }

    /// Like [`next`](Self::next), with all headers.
    pub fn next_message<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<Message<'a>>, FramingError> {
        advance(self.limit, &mut self.buffer, &mut self.given, input)
    }

    /// Nothing of an unfinished frame is inside.
    pub fn is_idle(&self) -> bool {
        self.given || self.buffer.is_empty()
    }

    /// The bytes are over. An unfinished message is an error: nothing of it can be trusted.
    pub fn finish(&mut self) -> Result<Option<Frame<'_>>, FramingError> {
        if self.given || self.buffer.is_empty() { Ok(None) } else { Err(FramingError::Truncated) }
    }
}

fn advance<'a, 'i: 'a>(
    limit: usize,
    buffer: &'a mut Vec<u8>,
    given: &mut bool,
    input: &mut &'i [u8],
) -> Result<Option<Message<'a>>, FramingError> {
    if std::mem::take(given) {
        buffer.clear();
    }
    if buffer.is_empty()
        && let Some(total) = message_length(input, limit)?
        && let Some((message, rest)) = input.split_at_checked(total)
    {
        *input = rest;
        return Message::parse(message).map(Some);
    }
    loop {
        let total = message_length(buffer, limit)?;
        let missing = total.unwrap_or(PRELUDE).saturating_sub(buffer.len());
        if total.is_some() && missing == 0 {
            *given = true;
            return Message::parse(buffer).map(Some);
        }
        if input.is_empty() {
            return Ok(None);
        }
        let (head, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
        buffer.extend_from_slice(head);
        *input = rest;
    }
}

/// The length of the message that `bytes` begin with, once its prelude is there and sound.
fn message_length(bytes: &[u8], limit: usize) -> Result<Option<usize>, FramingError> {
    let Some((prelude, _)) = bytes.split_at_checked(PRELUDE) else { return Ok(None) };
    let mut cursor = Cursor(prelude);
    let (total, headers) = (cursor.u32()?, cursor.u32()?);
    if crc32fast::hash(prelude.get(..8).unwrap_or_default()) != cursor.u32()? {
        return Err(FramingError::Corrupt("checksum of the prelude does not match"));
    }
    let total = usize::try_from(total).map_err(|_| FramingError::TooLarge { limit })?;
    let headers = usize::try_from(headers).map_err(|_| FramingError::TooLarge { limit })?;
    if total > limit {
        return Err(FramingError::TooLarge { limit });
    }
    if headers.checked_add(PRELUDE + TRAILER).is_none_or(|least| least > total) {
        return Err(FramingError::Corrupt("headers are longer than the message"));
    }
    Ok(Some(total))
}

/// One message.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    headers: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads one whole message: exactly its bytes, both checksums checked.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FramingError> {
        let total = message_length(bytes, usize::MAX)?.ok_or(FramingError::Truncated)?;
        if total != bytes.len() {
            return Err(FramingError::Truncated);
        }
        let (checked, trailer) = bytes.split_at_checked(total - TRAILER).ok_or(FramingError::Truncated)?;
        if crc32fast::hash(checked) != Cursor(trailer).u32()? {
            return Err(FramingError::Corrupt("checksum of the message does not match"));
        }
        let mut cursor = Cursor(checked);
        cursor.take(4)?;
        let headers = cursor.u32()? as usize;
        cursor.take(4)?;
        Ok(Self { headers: cursor.take(headers)?, payload: cursor.0 })
    }

    /// The payload.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The headers, in order. Ends after the first that is broken.
    pub fn headers(&self) -> impl Iterator<Item = Result<(&'a str, HeaderValue<'a>), FramingError>> {
        let mut cursor = Some(Cursor(self.headers));
        std::iter::from_fn(move || {
            let mut at = cursor.take()?;
            if at.0.is_empty() {
                return None;
            }
            let header = at.header();
            if header.is_ok() {
                cursor = Some(at);
            }
            Some(header)
        })
    }

    fn frame(self, error_body: &'a mut Vec<u8>) -> Result<Frame<'a>, FramingError> {
        let (mut kind, mut event, mut error, mut words) = ("event", None, None, None);
        for header in self.headers() {
            let (name, HeaderValue::String(value)) = header? else { continue };
            match name {
                ":message-type" => kind = value,
                ":event-type" | ":exception-type" => event = Some(value),
                ":error-code" => error = Some(value),
                ":error-message" => words = Some(value),
                _ => {}
            }
        }
        let exception = kind != "event";
        if exception && self.payload.is_empty() {
            error_body.clear();
            let body = serde_json::json!({ "message": words.unwrap_or_default() });
            error_body.extend_from_slice(body.to_string().as_bytes());
            return Ok(Frame { event: error.or(event), exception, data: error_body });
        }
        Ok(Frame { event: event.or(error), exception, data: self.payload })
    }
}

/// The value of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderValue<'a> {
    /// Types 0 and 1.
    Bool(bool),
    /// Type 2.
    Byte(i8),
    /// Type 3.
    Short(i16),
    /// Type 4.
    Int(i32),
    /// Type 5.
    Long(i64),
    /// Type 6.
    Bytes(&'a [u8]),
    /// Type 7.
    String(&'a str),
    /// Type 8, in milliseconds since 1970.
    Timestamp(i64),
    /// Type 9.
    Uuid([u8; 16]),
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], FramingError> {
        let (head, rest) =
            self.0.split_at_checked(length).ok_or(FramingError::Corrupt("a length points past the end"))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FramingError> {
        self.take(N)?.try_into().map_err(|_| FramingError::Truncated)
    }

    fn u32(&mut self) -> Result<u32, FramingError> {
        self.array().map(u32::from_be_bytes)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, FramingError> {
        std::str::from_utf8(self.take(length)?).map_err(|_| FramingError::Corrupt("a header is not UTF-8"))
    }

    fn header(&mut self) -> Result<(&'a str, HeaderValue<'a>), FramingError> {
        let [length] = self.array()?;
        let name = self.text(usize::from(length))?;
        let [kind] = self.array()?;
        let value = match kind {
            0 => HeaderValue::Bool(true),
            1 => HeaderValue::Bool(false),
            2 => HeaderValue::Byte(i8::from_be_bytes(self.array()?)),
            3 => HeaderValue::Short(i16::from_be_bytes(self.array()?)),
            4 => HeaderValue::Int(i32::from_be_bytes(self.array()?)),
            5 => HeaderValue::Long(i64::from_be_bytes(self.array()?)),
            6 | 7 => {
                let length = usize::from(u16::from_be_bytes(self.array()?));
                if kind == 6 { HeaderValue::Bytes(self.take(length)?) } else { HeaderValue::String(self.text(length)?) }
            }
            8 => HeaderValue::Timestamp(i64::from_be_bytes(self.array()?)),
            9 => HeaderValue::Uuid(self.array()?),
            _ => return Err(FramingError::Corrupt("a header has an unknown type")),
        };
        Ok((name, value))
    }
}

/// Writes one message. Refuses names above 255 bytes, values above 65,535 and messages above 4 GiB.
pub fn write_message(
    out: &mut Vec<u8>,
    headers: &[(&str, HeaderValue<'_>)],
    payload: &[u8],
) -> Result<(), FramingError> {
    let mut encoded = Vec::new();
    for (name, value) in headers {
        write_header(&mut encoded, name, value)?;
    }
    let length = |n: usize| u32::try_from(n).map_err(|_| FramingError::TooLarge { limit: u32::MAX as usize });
    let total = length(PRELUDE + encoded.len() + payload.len() + TRAILER)?;
    let mut message = Vec::with_capacity(total as usize);
    message.extend_from_slice(&total.to_be_bytes());
    message.extend_from_slice(&length(encoded.len())?.to_be_bytes());
    let crc = crc32fast::hash(&message);
    message.extend_from_slice(&crc.to_be_bytes());
    message.extend_from_slice(&encoded);
    message.extend_from_slice(payload);
    let crc = crc32fast::hash(&message);
    message.extend_from_slice(&crc.to_be_bytes());
    out.extend_from_slice(&message);
    Ok(())
}

/// Writes an event with a JSON payload, as Bedrock does.
pub fn write_event(out: &mut Vec<u8>, event_type: &str, payload: &[u8]) -> Result<(), FramingError> {
    write_json(out, ":event-type", event_type, "event", payload)
}

/// Writes an exception with a JSON payload, as Bedrock does in the middle of a 200 answer.
pub fn write_exception(out: &mut Vec<u8>, exception_type: &str, payload: &[u8]) -> Result<(), FramingError> {
    write_json(out, ":exception-type", exception_type, "exception", payload)
}

fn write_json(
    out: &mut Vec<u8>,
    header: &str,
    name: &str,
    message_type: &str,
    payload: &[u8],
) -> Result<(), FramingError> {
    let headers = [
        (header, HeaderValue::String(name)),
        (":content-type", HeaderValue::String("application/json")),
        (":message-type", HeaderValue::String(message_type)),
    ];
    write_message(out, &headers, payload)
}

fn write_header(out: &mut Vec<u8>, name: &str, value: &HeaderValue<'_>) -> Result<(), FramingError> {
    let length = u8::try_from(name.len()).map_err(|_| FramingError::TooLarge { limit: usize::from(u8::MAX) })?;
    out.push(length);
    out.extend_from_slice(name.as_bytes());
    let mut put = |kind: u8, bytes: &[u8]| {
        out.push(kind);
        out.extend_from_slice(bytes);
    };
    match value {
        HeaderValue::Bool(value) => put(u8::from(!*value), &[]),
        HeaderValue::Byte(value) => put(2, &value.to_be_bytes()),
        HeaderValue::Short(value) => put(3, &value.to_be_bytes()),
        HeaderValue::Int(value) => put(4, &value.to_be_bytes()),
        HeaderValue::Long(value) => put(5, &value.to_be_bytes()),
        HeaderValue::Timestamp(value) => put(8, &value.to_be_bytes()),
        HeaderValue::Uuid(value) => put(9, value),
        HeaderValue::Bytes(value) => put_long(out, 6, value)?,
        HeaderValue::String(value) => put_long(out, 7, value.as_bytes())?,
    }
    Ok(())
}

fn put_long(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) -> Result<(), FramingError> {
    let length = u16::try_from(bytes.len()).map_err(|_| FramingError::TooLarge { limit: usize::from(u16::MAX) })?;
    out.push(kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
#[path = "aws_tests.rs"]
mod tests;
