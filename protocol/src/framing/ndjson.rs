//! One JSON value a line. Lines end with LF (CR before it and blank lines are skipped); a last line without LF is delivered by
//! [`NdJsonReader::finish`]. A CR alone ends nothing: it is white space inside JSON.

use memchr::memchr;

use super::{DEFAULT_FRAME_LIMIT, Frame, FramingError};

/// Cuts a byte stream into lines.
#[derive(Debug)]
pub struct NdJsonReader {
    limit: usize,
    line: Vec<u8>,
    /// `line` was handed out and is empty in truth.
    given: bool,
}

impl Default for NdJsonReader {
    fn default() -> Self {
        Self::with_limit(DEFAULT_FRAME_LIMIT)
    }
}

impl NdJsonReader {
    /// A reader whose lines may hold [`DEFAULT_FRAME_LIMIT`] bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A reader whose lines may hold `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self { limit, line: Vec::new(), given: false }
    }

    /// The next line of `input` that is not blank; the start of `input` is moved past what was used. `None`: `input` is used up.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<Frame<'a>>, FramingError> {
        self.forget();
        loop {
            let whole: &'i [u8] = input;
            let Some((line, rest)) = memchr(b'\n', whole).and_then(|end| {
                let (line, rest) = whole.split_at_checked(end)?;
                Some((line, rest.get(1..).unwrap_or_default()))
            }) else {
                *input = &[];
                self.line.extend_from_slice(whole);
                return self.check(self.line.len()).map(|()| None);
            };
            *input = rest;
            if !self.line.is_empty() {
                self.line.extend_from_slice(line);
                if self.line.trim_ascii().is_empty() {
                    self.line.clear();
                    continue;
                }
                self.given = true;
                self.check(self.line.len())?;
                return Ok(Some(Frame::data(self.line.trim_ascii())));
            }
            let line = line.trim_ascii();
            if !line.is_empty() {
                self.check(line.len())?;
                return Ok(Some(Frame::data(line)));
            }
        }
    }

    /// Nothing of an unfinished line is inside.
    pub fn is_idle(&self) -> bool {
        self.line.is_empty()
    }

    /// The bytes are over: the last line, if its line end is missing.
    pub fn finish(&mut self) -> Result<Option<Frame<'_>>, FramingError> {
        self.forget();
        self.given = true;
        let line = self.line.trim_ascii();
        Ok((!line.is_empty()).then_some(Frame::data(line)))
    }

    fn forget(&mut self) {
        if std::mem::take(&mut self.given) {
            self.line.clear();
        }
    }

    fn check(&self, length: usize) -> Result<(), FramingError> {
        if length > self.limit { Err(FramingError::TooLarge { limit: self.limit }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut reader = NdJsonReader::new();
        let mut lines = Vec::new();
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(frame) = reader.next(&mut input).unwrap() {
                lines.push(String::from_utf8(frame.data.to_vec()).unwrap());
            }
        }
        lines.extend(reader.finish().unwrap().map(|frame| String::from_utf8(frame.data.to_vec()).unwrap()));
        assert_eq!(reader.finish().unwrap(), None);
        lines
    }

    #[test]
    fn lines_are_the_same_at_every_split() {
        let bytes = "\n{\"a\":\"é\"}\r\n\r\n  {\"b\":2}\n \n{\"c\":\"\u{85}\"}".as_bytes();
        let whole = read(&[bytes]);
        assert_eq!(whole, ["{\"a\":\"é\"}", "{\"b\":2}", "{\"c\":\"\u{85}\"}"]);
        for cut in 0..=bytes.len() {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(read(&[left, right]), whole, "cut at {cut}");
        }
        assert_eq!(read(&bytes.chunks(1).collect::<Vec<_>>()), whole);
    }

    #[test]
    fn a_line_beyond_the_cap_is_refused_at_any_split() {
        for size in [1, 4, 64] {
            let mut reader = NdJsonReader::with_limit(8);
            let bytes = b"123456789\n";
            let outcome: Result<Vec<_>, _> =
                bytes.chunks(size).map(|chunk| reader.next(&mut &*chunk).map(|frame| frame.is_some())).collect();
            assert_eq!(outcome, Err(FramingError::TooLarge { limit: 8 }), "chunks of {size}");
        }
    }
}
