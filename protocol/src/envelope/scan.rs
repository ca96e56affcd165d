//! One pass over the bytes of a JSON object that finds its top-level members and nothing more.
//!
//! Knows brackets, strings and the commas and colons of the outermost object; does not look into nested values beyond what is needed to find
//! their end, so a nested `[1 2]` passes and its receiver may refuse it. What the outermost members are is never a matter of opinion: strings are told
//! apart exactly, brackets must match in kind, nothing may follow the object. Not recursive; resumable after every byte.

use memchr::memchr;

use super::EnvelopeError;

/// Deeper nesting is refused.
const MAX_DEPTH: usize = 512;

/// A place in the outermost object, told with its offset in the chunk that is being scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// After the `{`.
    Open,
    /// At the opening quote of a key.
    KeyStart,
    /// After the closing quote of a key.
    KeyEnd,
    /// At the first byte of a value.
    ValueStart,
    /// After the last byte of a value.
    ValueEnd,
    /// At the `}`.
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    BeforeObject,
    KeyOrClose,
    NextKey,
    Key,
    Colon,
    Value,
    Text,
    Scalar,
    Nested,
    NestedText,
    CommaOrClose,
    Done,
}

/// The state of the pass between two chunks.
#[derive(Debug)]
pub(super) struct Scanner {
    phase: Phase,
    /// The chunk before ended inside a string with a backslash that escapes the next byte.
    escaped: bool,
    depth: usize,
    /// One bit a level: set for an object.
    kinds: [u64; MAX_DEPTH / 64],
    /// Bytes of the chunks before.
    base: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { phase: Phase::BeforeObject, escaped: false, depth: 0, kinds: [0; MAX_DEPTH / 64], base: 0 }
    }
}

impl Scanner {
    /// Goes over `chunk` and reports every mark with its offset in it.
    pub(super) fn scan(
        &mut self,
        chunk: &[u8],
        mut mark: impl FnMut(Mark, usize) -> Result<(), EnvelopeError>,
    ) -> Result<(), EnvelopeError> {
        let mut at = 0;
        while let Some(byte) = chunk.get(at).copied() {
            if is_space(byte)
                && !matches!(self.phase, Phase::Key | Phase::Text | Phase::Nested | Phase::NestedText | Phase::Scalar)
            {
                at += 1;
                continue;
            }
            match (self.phase, byte) {
                (Phase::BeforeObject, b'{') => {
                    at += 1;
                    self.phase = Phase::KeyOrClose;
                    mark(Mark::Open, at)?;
                }
                (Phase::KeyOrClose | Phase::NextKey, b'"') => {
                    mark(Mark::KeyStart, at)?;
                    at += 1;
                    self.phase = Phase::Key;
                }
                (Phase::KeyOrClose | Phase::CommaOrClose, b'}') => {
                    mark(Mark::Close, at)?;
                    at += 1;
                    self.phase = Phase::Done;
                }
                (Phase::CommaOrClose, b',') => {
                    at += 1;
                    self.phase = Phase::NextKey;
                }
                (Phase::Colon, b':') => {
                    at += 1;
                    self.phase = Phase::Value;
                }
                (Phase::Key, _) => {
                    let Some(end) = self.string_end(chunk, at) else { break };
                    at = end + 1;
                    self.phase = Phase::Colon;
                    mark(Mark::KeyEnd, at)?;
                }
                (Phase::Value, _) => {
                    mark(Mark::ValueStart, at)?;
                    self.phase = match byte {
                        b'"' => Phase::Text,
                        b'{' | b'[' => Phase::Nested,
                        b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => Phase::Scalar,
                        _ => return Err(self.malformed(at, "expected a value")),
                    };
                    // The opening bracket is counted by the nested phase.
                    at += usize::from(byte == b'"');
                }
                (Phase::Text, _) => {
                    let Some(end) = self.string_end(chunk, at) else { break };
                    at = end + 1;
                    self.phase = Phase::CommaOrClose;
                    mark(Mark::ValueEnd, at)?;
                }
                (Phase::Scalar, _) => {
                    let rest = chunk.get(at..).unwrap_or_default();
                    let Some(length) = rest.iter().position(|byte| is_space(*byte) || matches!(byte, b',' | b'}'))
                    else {
                        break;
                    };
                    at += length;
                    self.phase = Phase::CommaOrClose;
                    mark(Mark::ValueEnd, at)?;
                }
                (Phase::Nested | Phase::NestedText, _) => {
                    let Some(end) = self.nested_end(chunk, at)? else { break };
                    at = end;
                    self.phase = Phase::CommaOrClose;
                    mark(Mark::ValueEnd, at)?;
                }
                (Phase::BeforeObject, _) => return Err(EnvelopeError::NotAnObject),
                (Phase::KeyOrClose | Phase::NextKey, _) => return Err(self.malformed(at, "expected a key")),
                (Phase::Colon, _) => return Err(self.malformed(at, "expected `:`")),
                (Phase::CommaOrClose, _) => return Err(self.malformed(at, "expected `,` or `}`")),
                (Phase::Done, _) => return Err(self.malformed(at, "something follows the object")),
            }
        }
        self.base += chunk.len();
        Ok(())
    }

    /// The object has ended.
    pub(super) fn is_whole(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Nothing but white space has been seen.
    pub(super) fn is_blank(&self) -> bool {
        self.phase == Phase::BeforeObject
    }

    /// End of the nested value that goes on at `at`, or `None` if it goes on beyond the chunk.
    fn nested_end(&mut self, chunk: &[u8], mut at: usize) -> Result<Option<usize>, EnvelopeError> {
        if self.phase == Phase::NestedText {
            let Some(end) = self.string_end(chunk, at) else { return Ok(None) };
            at = end + 1;
            self.phase = Phase::Nested;
        }
        while let Some(byte) = chunk.get(at).copied() {
            at += 1;
            match byte {
                b'"' => match self.string_end(chunk, at) {
                    Some(end) => at = end + 1,
                    None => {
                        self.phase = Phase::NestedText;
                        return Ok(None);
                    }
                },
                b'{' | b'[' => self.push(byte == b'{', at)?,
                b'}' | b']' => {
                    self.pop(byte == b'}', at)?;
                    if self.depth == 0 {
                        return Ok(Some(at));
                    }
                }
                // One comma or colon between two strings is the rule; where more follows, it is numbers or white space.
                _ if chunk.get(at).is_some_and(|next| is_plain(*next)) => {
                    at += plain_run(chunk.get(at..).unwrap_or_default())
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Offset of the quote that ends the string in which `at` lies.
    fn string_end(&mut self, chunk: &[u8], at: usize) -> Option<usize> {
        let floor = at + usize::from(std::mem::take(&mut self.escaped));
        let end = string_end(chunk, floor);
        if end.is_none() {
            self.escaped = backslashes_before(chunk, chunk.len(), floor) % 2 == 1;
        }
        end
    }

    fn push(&mut self, object: bool, at: usize) -> Result<(), EnvelopeError> {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        let Some(kinds) = self.kinds.get_mut(word) else {
            return Err(self.malformed(at - 1, "nested too deeply"));
        };
        *kinds = if object { *kinds | 1 << bit } else { *kinds & !(1 << bit) };
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self, object: bool, at: usize) -> Result<(), EnvelopeError> {
        // Depth is at least one: the nested phase begins at an opening bracket and ends when its own closes.
        self.depth = self.depth.saturating_sub(1);
        let (word, bit) = (self.depth / 64, self.depth % 64);
        let is_object = self.kinds.get(word).is_some_and(|kinds| kinds >> bit & 1 == 1);
        if is_object == object { Ok(()) } else { Err(self.malformed(at - 1, "brackets do not match")) }
    }

    fn malformed(&self, at: usize, what: &'static str) -> EnvelopeError {
        EnvelopeError::Malformed { offset: self.base + at, what }
    }
}

/// Where the JSON string ends in whose inside `at` lies: the place of its closing quote. `None`: it goes on behind `bytes`. Searches for quotes alone and
/// counts the backslashes before one, so that text full of `\n` costs no more than text without.
pub fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut from = at;
    loop {
        let quote = from + find_quote(bytes.get(from..)?)?;
        if backslashes_before(bytes, quote, at).is_multiple_of(2) {
            return Some(quote);
        }
        from = quote + 1;
    }
}

const EVERY: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = EVERY * 0x80;

/// The high bit of every byte of `word` that is `byte`, exact for the lowest such byte.
fn matches_of(word: u64, byte: u8) -> u64 {
    let zero_where_equal = word ^ (EVERY * u64::from(byte));
    zero_where_equal.wrapping_sub(EVERY) & !zero_where_equal & HIGH
}

/// The first quote. Looks at a few words by itself, since most strings are short and starting a vector search costs more than that.
fn find_quote(bytes: &[u8]) -> Option<usize> {
    const WORDS: usize = 4;
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().take(WORDS).enumerate() {
        let found = matches_of(u64::from_le_bytes(*word), b'"');
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let from = words.len().min(WORDS) * 8;
    memchr(b'"', bytes.get(from..)?).map(|length| from + length)
}

fn is_plain(byte: u8) -> bool {
    !matches!(byte, b'"' | b'{' | b'}' | b'[' | b']')
}

/// How many bytes from the start are neither quotes nor brackets.
fn plain_run(bytes: &[u8]) -> usize {
    // Square brackets differ from curly ones by this bit alone.
    const CASE: u64 = EVERY * 0x20;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = matches_of(word, b'"') | matches_of(word | CASE, b'{') | matches_of(word | CASE, b'}');
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8 + rest.iter().take_while(|byte| is_plain(**byte)).count()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// How many backslashes stand right before `end`, not going below `floor`.
fn backslashes_before(chunk: &[u8], end: usize, floor: usize) -> usize {
    let before = chunk.get(floor..end).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count()
}
