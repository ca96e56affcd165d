//! What is known of a body that is still arriving.

use std::borrow::Cow;

use super::scan::{Mark, Scanner};
use super::{EnvelopeError, MAX_MEMBERS, OUTPUT_LIMITS, WELL_KNOWN, flag, include_usage, is_key, number, text};

/// Values that are longer are not kept (they still count as seen).
const KEPT: usize = 16 * 1024;

/// A look at a body that is still arriving: feed it, ask what is known, and stop waiting when that is enough.
///
/// Keeps the values of the [well-known](WELL_KNOWN) keys and of those named in [`Head::watching`].
#[derive(Debug, Default)]
pub struct Head {
    scanner: Scanner,
    watched: Vec<&'static str>,
    known: Vec<(&'static str, Vec<u8>)>,
    /// What is being gathered: a key, or the value of a watched one.
    part: Vec<u8>,
    gathering: Option<Gathering>,
    members: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gathering {
    Key,
    Pending(&'static str),
    Value(&'static str),
}

impl Head {
    /// A look that keeps the well-known keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// A look that keeps `keys` beside the well-known ones.
    pub fn watching(keys: &[&'static str]) -> Self {
        Self { watched: keys.to_vec(), ..Self::default() }
    }

    /// Takes the next piece of the body.
    ///
    /// # Errors
    /// If the bytes so far cannot become a JSON object, or hold a watched key twice.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), EnvelopeError> {
        let Self { scanner, watched, known, part, gathering, members } = self;
        let mut from = 0;
        scanner.scan(chunk, |mark, at| {
            let piece = chunk.get(from..at).unwrap_or_default();
            match (mark, *gathering) {
                (Mark::KeyStart, _) => {
                    *members += 1;
                    if *members > MAX_MEMBERS {
                        return Err(EnvelopeError::TooManyMembers);
                    }
                    *gathering = Some(Gathering::Key);
                    from = at;
                }
                (Mark::KeyEnd, _) => {
                    gather(part, piece);
                    let key = WELL_KNOWN.iter().chain(watched.iter()).find(|key| is_key(part, key)).copied();
                    if let Some(key) = key.filter(|key| known.iter().any(|(seen, _)| seen == key)) {
                        return Err(EnvelopeError::Duplicate(key.to_owned()));
                    }
                    *gathering = key.map(Gathering::Pending);
                    part.clear();
                }
                (Mark::ValueStart, Some(Gathering::Pending(key))) => {
                    *gathering = Some(Gathering::Value(key));
                    from = at;
                }
                (Mark::ValueEnd, Some(Gathering::Value(key))) => {
                    gather(part, piece);
                    known.push((key, std::mem::take(part)));
                    *gathering = None;
                }
                _ => {}
            }
            Ok(())
        })?;
        if matches!(gathering, Some(Gathering::Key | Gathering::Value(_))) {
            gather(part, chunk.get(from..).unwrap_or_default());
        }
        Ok(())
    }

    /// The whole object has been seen.
    pub fn is_whole(&self) -> bool {
        self.scanner.is_whole()
    }

    /// The JSON text of a watched member that has been seen whole.
    pub fn raw(&self, key: &str) -> Option<&[u8]> {
        self.known.iter().find(|(seen, _)| *seen == key).map(|(_, value)| value.as_slice())
    }

    /// A watched string; `None` if it has not been seen or is no string.
    pub fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        text(self.raw(key)?)
    }

    /// A watched boolean; `None` if it has not been seen or is no boolean.
    pub fn flag(&self, key: &str) -> Option<bool> {
        flag(self.raw(key)?)
    }

    /// `model`, if it has been seen and is a string.
    pub fn model(&self) -> Option<Cow<'_, str>> {
        self.text("model")
    }

    /// `stream`, if it has been seen.
    pub fn stream(&self) -> Option<bool> {
        self.flag("stream")
    }

    /// `stream_options.include_usage`, if it has been seen.
    pub fn include_usage(&self) -> Option<bool> {
        include_usage(self.raw("stream_options")?)
    }

    /// The output limit, if it has been seen under one of its names.
    pub fn max_tokens(&self) -> Option<u64> {
        OUTPUT_LIMITS.iter().find_map(|key| number(self.raw(key)?))
    }
}

/// Gathers up to the cap; a value that was cut is no valid JSON and reads as unknown.
fn gather(part: &mut Vec<u8>, piece: &[u8]) {
    let room = KEPT.saturating_sub(part.len());
    part.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
}
