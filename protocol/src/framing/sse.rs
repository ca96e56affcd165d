//! Server-Sent Events: an incremental reader and a writer.
//!
//! Owns the event-stream syntax of the HTML standard, and nothing of what events mean. Read: lines end with LF, CRLF or CR; a space after the
//! colon is optional; `data` lines are joined by `\n`; comments, blank lines, `id`, `retry` and unknown fields are skipped; a byte order mark at the
//! start is skipped; an event without data, or with empty data, yields nothing (Dify's `event: ping`). Work is done on bytes, so a character may be
//! cut anywhere. Beyond the standard: an event without its final blank line is delivered by [`SseReader::finish`], since some hosts omit it.

use std::ops::Range;

use memchr::memchr2;

use super::{DEFAULT_FRAME_LIMIT, Frame, FramingError};

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Cuts a byte stream into events.
#[derive(Debug)]
pub struct SseReader {
    limit: usize,
    /// The unfinished line.
    line: Vec<u8>,
    /// Data of the unfinished event, as far as it does not lie in the input.
    data: Vec<u8>,
    /// Type of the unfinished event, likewise.
    event: Vec<u8>,
    has_data: bool,
    has_event: bool,
    /// The last line ended with CR at the end of the input: an LF that follows belongs to it.
    skip_lf: bool,
    /// No line has been read: a byte order mark may stand before it.
    at_start: bool,
}

/// Where a field of the event that is being read lies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Place {
    /// Not seen.
    #[default]
    Nowhere,
    /// In the reader's own buffer.
    Own,
    /// In the input at this range.
    Input(Range<usize>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    Ignored,
}

impl Default for SseReader {
    fn default() -> Self {
        Self::with_limit(DEFAULT_FRAME_LIMIT)
    }
}

impl SseReader {
    /// A reader whose events may hold [`DEFAULT_FRAME_LIMIT`] bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A reader whose events may hold `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            data: Vec::new(),
            event: Vec::new(),
            has_data: false,
            has_event: false,
            skip_lf: false,
            at_start: true,
        }
    }

    /// The next event of `input`, whose start is moved past what was used. `None`: `input` is used up.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<Frame<'a>>, FramingError> {
        let whole: &'i [u8] = input;
        let mut at = 0;
        if std::mem::take(&mut self.skip_lf) && !whole.is_empty() {
            at = usize::from(whole.first() == Some(&b'\n'));
        } else if whole.is_empty() {
            return Ok(None);
        }
        let mut data = if self.has_data { Place::Own } else { Place::Nowhere };
        let mut event = if self.has_event { Place::Own } else { Place::Nowhere };
        loop {
            let rest = whole.get(at..).unwrap_or_default();
            let Some(length) = memchr2(b'\n', b'\r', rest) else {
                self.spill(whole, rest, data, event)?;
                *input = &[];
                return Ok(None);
            };
            let (start, end) = (at, at + length);
            at = self.after_line_end(whole, end);
            if self.line.is_empty() {
                let mut line = rest.get(..length).unwrap_or_default();
                let mut start = start;
                if std::mem::take(&mut self.at_start) && line.starts_with(BOM) {
                    line = line.get(BOM.len()..).unwrap_or_default();
                    start += BOM.len();
                }
                if !line.is_empty() {
                    let (field, value) = parse(line);
                    let place = start + value..end;
                    match field {
                        Field::Data if data == Place::Nowhere => data = Place::Input(place),
                        Field::Data => {
                            self.own(whole, &mut data);
                            self.join(whole.get(place).unwrap_or_default())?;
                        }
                        Field::Event => event = Place::Input(place),
                        Field::Ignored => {}
                    }
                    continue;
                }
            } else {
                self.line.extend_from_slice(rest.get(..length).unwrap_or_default());
                if !self.take_line(&mut data, &mut event)? {
                    continue;
                }
            }
            // A blank line: the event is whole.
            if self.is_empty_data(&data) {
                data = Place::Nowhere;
                event = Place::Nowhere;
                self.clear();
                if at >= whole.len() {
                    *input = &[];
                    return Ok(None);
                }
                continue;
            }
            *input = whole.get(at..).unwrap_or_default();
            return self.frame(whole, data, event).map(Some);
        }
    }

    /// Nothing of an unfinished event is inside: what was used so far can be judged.
    pub fn is_idle(&self) -> bool {
        self.line.is_empty() && !self.has_data && !self.has_event && !self.skip_lf
    }

    /// The bytes are over: the last event, if its blank line is missing.
    pub fn finish(&mut self) -> Result<Option<Frame<'_>>, FramingError> {
        let mut data = if self.has_data { Place::Own } else { Place::Nowhere };
        let mut event = if self.has_event { Place::Own } else { Place::Nowhere };
        if !self.line.is_empty() {
            self.take_line(&mut data, &mut event)?;
        }
        if self.is_empty_data(&data) {
            self.clear();
            return Ok(None);
        }
        self.frame(&[], data, event).map(Some)
    }

    /// Position after the line end at `end`, with CRLF as one.
    fn after_line_end(&mut self, whole: &[u8], end: usize) -> usize {
        if whole.get(end) == Some(&b'\r') {
            match whole.get(end + 1) {
                Some(b'\n') => return end + 2,
                Some(_) => {}
                None => self.skip_lf = true,
            }
        }
        end + 1
    }

    /// Reads the line that was gathered over several inputs. `true`: it was blank (but for a byte order mark).
    fn take_line(&mut self, data: &mut Place, event: &mut Place) -> Result<bool, FramingError> {
        let mut line = std::mem::take(&mut self.line);
        let skip = if std::mem::take(&mut self.at_start) && line.starts_with(BOM) { BOM.len() } else { 0 };
        let text = line.get(skip..).unwrap_or_default();
        let blank = text.is_empty();
        let (field, value) = parse(text);
        let value = text.get(value..).unwrap_or_default();
        match field {
            _ if blank => {}
            Field::Data => {
                if *data == Place::Nowhere {
                    self.data.clear();
                    self.data.extend_from_slice(value);
                    self.check()?;
                } else {
                    self.join(value)?;
                }
                *data = Place::Own;
                self.has_data = true;
            }
            Field::Event => {
                self.event.clear();
                self.event.extend_from_slice(value);
                *event = Place::Own;
                self.has_event = true;
            }
            Field::Ignored => {}
        }
        line.clear();
        self.line = line;
        Ok(blank)
    }

    /// The input is used up inside an event: keeps what is known of it.
    fn spill(&mut self, whole: &[u8], rest: &[u8], mut data: Place, mut event: Place) -> Result<(), FramingError> {
        self.own(whole, &mut data);
        if let Place::Input(range) = std::mem::take(&mut event) {
            self.event.clear();
            self.event.extend_from_slice(whole.get(range).unwrap_or_default());
            self.has_event = true;
        }
        self.line.extend_from_slice(rest);
        self.check()
    }

    /// Moves data that lies in the input into the buffer.
    fn own(&mut self, whole: &[u8], data: &mut Place) {
        if let Place::Input(range) = data.clone() {
            self.data.clear();
            self.data.extend_from_slice(whole.get(range).unwrap_or_default());
            self.has_data = true;
            *data = Place::Own;
        }
    }

    fn join(&mut self, more: &[u8]) -> Result<(), FramingError> {
        self.data.push(b'\n');
        self.data.extend_from_slice(more);
        self.check()
    }

    fn check(&self) -> Result<(), FramingError> {
        if self.data.len() + self.line.len() + self.event.len() > self.limit {
            return Err(FramingError::TooLarge { limit: self.limit });
        }
        Ok(())
    }

    fn is_empty_data(&self, data: &Place) -> bool {
        match data {
            Place::Nowhere => true,
            Place::Own => self.data.is_empty(),
            Place::Input(range) => range.is_empty(),
        }
    }

    fn clear(&mut self) {
        self.has_data = false;
        self.has_event = false;
        self.event.clear();
        self.data.clear();
    }

    fn frame<'a, 'i: 'a>(&'a mut self, whole: &'i [u8], data: Place, event: Place) -> Result<Frame<'a>, FramingError> {
        // The buffers stay as they are until the next event writes them: the frame borrows from them.
        self.has_data = false;
        self.has_event = false;
        let data = match data {
            Place::Nowhere => &[],
            Place::Own => self.data.as_slice(),
            Place::Input(range) => whole.get(range).unwrap_or_default(),
        };
        if data.len() > self.limit {
            return Err(FramingError::TooLarge { limit: self.limit });
        }
        let event = match event {
            Place::Nowhere => &[],
            Place::Own => self.event.as_slice(),
            Place::Input(range) => whole.get(range).unwrap_or_default(),
        };
        let event = std::str::from_utf8(event).ok().filter(|event| !event.is_empty());
        Ok(Frame { event, exception: false, data })
    }
}

/// The field of a line that is not blank, and where its value begins.
fn parse(line: &[u8]) -> (Field, usize) {
    let (field, name) = match line {
        [b'd', b'a', b't', b'a', ..] => (Field::Data, 4),
        [b'e', b'v', b'e', b'n', b't', ..] => (Field::Event, 5),
        _ => return (Field::Ignored, 0),
    };
    match (line.get(name), line.get(name + 1)) {
        (None, _) => (field, name),
        (Some(b':'), Some(b' ')) => (field, name + 2),
        (Some(b':'), _) => (field, name + 1),
        _ => (Field::Ignored, 0),
    }
}

/// Writes one event: `event: X`, `data: …`, a blank line. Every line of `data` gets a `data:` of its own, so that it arrives as it is (a CR inside
/// arrives as LF: the syntax cannot carry it).
pub fn write_event(out: &mut Vec<u8>, event: Option<&str>, data: &[u8]) {
    out.reserve(data.len() + event.map_or(0, str::len) + 24);
    if let Some(event) = event {
        out.extend_from_slice(b"event: ");
        out.extend(event.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')));
        out.push(b'\n');
    }
    let mut rest = data;
    loop {
        out.extend_from_slice(b"data: ");
        let Some(end) = memchr2(b'\n', b'\r', rest) else {
            out.extend_from_slice(rest);
            break;
        };
        let (line, tail) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        out.extend_from_slice(line);
        out.push(b'\n');
        rest = match tail {
            [b'\r', b'\n', tail @ ..] | [_, tail @ ..] => tail,
            [] => &[],
        };
    }
    out.extend_from_slice(b"\n\n");
}

/// Writes an event of JSON text, which never holds a raw line end: [`write_event`] without the search for them.
pub fn write_json(
    out: &mut Vec<u8>,
    event: Option<&str>,
    value: &impl serde::Serialize,
) -> Result<(), serde_json::Error> {
    let start = out.len();
    if let Some(event) = event {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    if let Err(error) = serde_json::to_writer(&mut *out, value) {
        out.truncate(start);
        return Err(error);
    }
    out.extend_from_slice(b"\n\n");
    Ok(())
}

/// Writes a comment, which readers skip: a keep-alive.
pub fn write_comment(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b": ");
    out.extend(text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')));
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
#[path = "sse_tests.rs"]
mod tests;
