//! Borrowed look at a JSON body, and cuts in it, for the path on which nothing is converted.
//!
//! - [`Envelope`] is a look at a whole body: one pass, no tree, every top-level member by its name;
//! - [`Head`] is the same for a body that is still arriving: it tells what is known so far;
//! - [`Edits`] say what to change (the model's name, `stream_options.include_usage`, fields to drop, rename or set), and [`Envelope::splice`]
//!   or, while the body is still arriving, [`Splicer`] carry them out. The result is a list of slices of the original body with the changes between
//!   them: a large body is not copied, and what is not edited keeps its bytes.
//!
//! Knows JSON syntax (see `scan.rs` for how much of it is checked) and the few member names that all formats share; knows no format.
//!
//! A key that is read or edited must not come twice: parsers disagree about which one counts. Keys are compared after undoing escapes, so
//! `"mod\u0065l"` is `model`.

mod head;
mod scan;
mod splice;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;
use memchr::memchr;

pub use head::Head;
pub use scan::string_end;
pub use splice::{Edits, Splicer};

use scan::{Mark, Scanner};

/// More top-level members are refused.
const MAX_MEMBERS: usize = 1024;

/// A body that cannot be looked into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The body is no JSON object.
    #[error("body is not a JSON object")]
    NotAnObject,
    /// The body ends before its object does.
    #[error("body ends inside its JSON object")]
    Truncated,
    /// The syntax is broken.
    #[error("malformed JSON at byte {offset}: {what}")]
    Malformed {
        /// Where, in bytes from the start of the body.
        offset: usize,
        /// How.
        what: &'static str,
    },
    /// A key that is read or edited comes twice.
    #[error("duplicate key `{0}`")]
    Duplicate(String),
    /// There are more than a thousand top-level members.
    #[error("too many top-level fields")]
    TooManyMembers,
    /// A value that has to be held back while it is edited is too large.
    #[error("the value of `{0}` is too large")]
    ValueTooLarge(String),
}

/// A look at a whole body.
#[derive(Debug, Clone)]
pub struct Envelope {
    body: Bytes,
    members: Vec<Member>,
    /// After the `{`, and at the `}`.
    inside: Range<usize>,
}

/// One top-level member, by its places in the body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Member {
    /// With its quotes.
    key: Range<usize>,
    value: Range<usize>,
}

impl Envelope {
    /// Looks at `body`.
    ///
    /// # Errors
    /// If the body is no JSON object, as far as that shows at its top level, or holds one of the [well-known](WELL_KNOWN) keys twice.
    pub fn read(body: Bytes) -> Result<Self, EnvelopeError> {
        let envelope = Self::look(body)?;
        envelope.demand_single()?;
        Ok(envelope)
    }

    /// The same for what a provider wrote: of a key that comes twice the last one counts.
    ///
    /// # Errors
    /// If the body is no JSON object, as far as that shows at its top level.
    pub fn look(body: Bytes) -> Result<Self, EnvelopeError> {
        let mut members: Vec<Member> = Vec::with_capacity(16);
        let mut inside = 0..0;
        let mut scanner = Scanner::default();
        scanner.scan(&body, |mark, at| {
            if mark == Mark::KeyStart {
                if members.len() >= MAX_MEMBERS {
                    return Err(EnvelopeError::TooManyMembers);
                }
                members.push(Member { key: at..at, value: 0..0 });
            }
            match (mark, members.last_mut()) {
                (Mark::Open, _) => inside.start = at,
                (Mark::Close, _) => inside.end = at,
                (Mark::KeyEnd, Some(member)) => member.key.end = at,
                (Mark::ValueStart, Some(member)) => member.value = at..at,
                (Mark::ValueEnd, Some(member)) => member.value.end = at,
                _ => {}
            }
            Ok(())
        })?;
        if !scanner.is_whole() {
            return Err(if scanner.is_blank() { EnvelopeError::NotAnObject } else { EnvelopeError::Truncated });
        }
        Ok(Self { body, members, inside })
    }

    /// The body as it came.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The JSON text of a top-level member; the last one if it comes twice.
    pub fn raw(&self, key: &str) -> Option<&[u8]> {
        let member = self.members.iter().rev().find(|member| self.is_key(member, key))?;
        self.body.get(member.value.clone())
    }

    /// Whether there is such a top-level member.
    pub fn contains(&self, key: &str) -> bool {
        self.raw(key).is_some()
    }

    /// The names of the top-level members, in order.
    pub fn keys(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.members.iter().filter_map(|member| text(self.body.get(member.key.clone())?))
    }

    /// A top-level string; `None` if it is absent or no string.
    pub fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        text(self.raw(key)?)
    }

    /// A top-level boolean; `None` if it is absent or no boolean.
    pub fn flag(&self, key: &str) -> Option<bool> {
        flag(self.raw(key)?)
    }

    /// A top-level whole number; `None` if it is absent or no such number.
    pub fn number(&self, key: &str) -> Option<u64> {
        number(self.raw(key)?)
    }

    /// `model`.
    pub fn model(&self) -> Option<Cow<'_, str>> {
        self.text("model")
    }

    /// `stream`.
    pub fn stream(&self) -> Option<bool> {
        self.flag("stream")
    }

    /// `stream_options.include_usage`.
    pub fn include_usage(&self) -> Option<bool> {
        include_usage(self.raw("stream_options")?)
    }

    /// The output limit, under whichever of its three names.
    pub fn max_tokens(&self) -> Option<u64> {
        OUTPUT_LIMITS.iter().find_map(|key| self.number(key))
    }

    /// The body with `edits` carried out: slices of the body and what comes between them.
    ///
    /// # Errors
    /// If an edited key comes twice.
    pub fn splice(&self, edits: &Edits) -> Result<Vec<Bytes>, EnvelopeError> {
        let mut out = Vec::with_capacity(8);
        if edits.is_empty() {
            out.push(self.body.clone());
            return Ok(out);
        }
        splice::splice(self, edits, &mut out)?;
        Ok(out)
    }

    fn is_key(&self, member: &Member, key: &str) -> bool {
        self.body.get(member.key.clone()).is_some_and(|raw| is_key(raw, key))
    }

    /// Every key is looked at once, and nearly all are told apart by their length.
    fn demand_single(&self) -> Result<(), EnvelopeError> {
        let mut seen = [false; WELL_KNOWN.len()];
        for member in &self.members {
            let Some(raw) = self.body.get(member.key.clone()) else { continue };
            for (key, seen) in WELL_KNOWN.iter().zip(&mut seen) {
                if is_key(raw, key) && std::mem::replace(seen, true) {
                    return Err(EnvelopeError::Duplicate((*key).to_owned()));
                }
            }
        }
        Ok(())
    }
}

/// Keys that decide where a request goes and what it costs: they must not come twice.
pub const WELL_KNOWN: [&str; 6] =
    ["model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens"];

const OUTPUT_LIMITS: [&str; 3] = ["max_completion_tokens", "max_tokens", "max_output_tokens"];

/// Whether the key as it stands in the body (with its quotes) is `key`.
#[inline]
fn is_key(raw: &[u8], key: &str) -> bool {
    let [b'"', inner @ .., b'"'] = raw else { return false };
    // An escape is longer than what it stands for.
    match inner.len().cmp(&key.len()) {
        Ordering::Less => false,
        // A backslash in the body is always an escape, never the character itself.
        Ordering::Equal => inner == key.as_bytes() && !inner.contains(&b'\\'),
        Ordering::Greater => memchr(b'\\', inner).is_some() && text(raw).is_some_and(|text| text == key),
    }
}

fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    let [b'"', inner @ .., b'"'] = raw else { return None };
    if !inner.contains(&b'\\') {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice::<String>(raw).ok().map(Cow::Owned)
}

fn flag(raw: &[u8]) -> Option<bool> {
    match raw {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

fn number(raw: &[u8]) -> Option<u64> {
    serde_json::from_slice(raw).ok()
}

fn include_usage(raw: &[u8]) -> Option<bool> {
    #[derive(serde::Deserialize)]
    struct Options {
        include_usage: Option<bool>,
    }
    serde_json::from_slice::<Options>(raw).ok()?.include_usage
}

#[cfg(test)]
#[path = "envelope/tests.rs"]
mod tests;
