//! Why a deployment was planned where it was, as a few numbers: which reason, what moved it, then what belongs to the reason.

use smallvec::SmallVec;

use super::shapes::Shape;
use super::wire::{Names, Value, Writer, take_varint, varint};
use crate::model::{Note, Placed, Why};

/// The reason and what moved it, as numbers.
pub(super) struct Numbers;

/// What may be absent: one more than it, or nothing.
fn known(value: Option<u64>) -> u64 {
    value.map_or(0, |value| value.saturating_add(1))
}

/// The number of a reason and what belongs to it. A number is never given a second meaning.
fn reason_numbers(reason: Why) -> SmallVec<[u64; 4]> {
    let mut out = SmallVec::new();
    match reason {
        Why::Only => out.extend([1]),
        Why::Turn { weight, of } => out.extend([2, weight, of]),
        Why::Written => out.extend([3]),
        Why::Drawn { weight, of } => out.extend([4, weight, of]),
        Why::Busy { count } => out.extend([5, u64::from(count)]),
        Why::Latency { ms, count } => out.extend([6, known(ms), u64::from(count)]),
        Why::Used { requests, tokens, share } => out.extend([7, requests, tokens, known(share)]),
        Why::Cost { nano } => out.extend([8, known(nano)]),
        Why::Tag { fits } => out.extend([9, u64::from(fits)]),
        Why::Context { size, fits } => out.extend([10, known(size), u64::from(fits)]),
        Why::Merit { share } => out.extend([11, share]),
    }
    out
}

fn note_numbers(note: Note) -> SmallVec<[u64; 2]> {
    let mut out = SmallVec::new();
    match note {
        Note::Plain => out.extend([0]),
        Note::Conversation => out.extend([1]),
        Note::Maker => out.extend([2]),
        Note::Probe => out.extend([3]),
        Note::LastResort { until } => out.extend([4, until]),
    }
    out
}

/// What the bytes say; `None`: damaged, or of a kind that came later.
fn read(mut bytes: &[u8]) -> Option<Placed> {
    let mut next = || take_varint(&mut bytes);
    let note = match next()? {
        0 => Note::Plain,
        1 => Note::Conversation,
        2 => Note::Maker,
        3 => Note::Probe,
        4 => Note::LastResort { until: next()? },
        _ => return None,
    };
    let count = |number: u64| u32::try_from(number).ok();
    let reason = match next()? {
        1 => Why::Only,
        2 => Why::Turn { weight: next()?, of: next()? },
        3 => Why::Written,
        4 => Why::Drawn { weight: next()?, of: next()? },
        5 => Why::Busy { count: count(next()?)? },
        6 => Why::Latency { ms: next()?.checked_sub(1), count: count(next()?)? },
        7 => Why::Used { requests: next()?, tokens: next()?, share: next()?.checked_sub(1) },
        8 => Why::Cost { nano: next()?.checked_sub(1) },
        9 => Why::Tag { fits: next()? != 0 },
        10 => Why::Context { size: next()?.checked_sub(1), fits: next()? != 0 },
        11 => Why::Merit { share: next()? },
        _ => return None,
    };
    Some(Placed { reason, note })
}

impl Shape<Option<Placed>> for Numbers {
    fn put(out: &mut Writer<'_>, tag: u64, field: &Option<Placed>) {
        let Some(Placed { reason, note }) = *field else { return };
        let mut bytes = Vec::with_capacity(16);
        for number in note_numbers(note).into_iter().chain(reason_numbers(reason)) {
            varint(&mut bytes, number);
        }
        out.bytes(tag, &bytes);
    }

    fn take(field: &mut Option<Placed>, value: Value<'_>, _: &dyn Names) -> Option<()> {
        // What a newer version found is not known here; the rest of the record is.
        *field = read(value.bytes()?);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_and_note_comes_back() {
        let reasons = [
            Why::Only,
            Why::Turn { weight: 7, of: 10 },
            Why::Written,
            Why::Drawn { weight: 0, of: u64::MAX },
            Why::Busy { count: 3 },
            Why::Latency { ms: None, count: 1 },
            Why::Latency { ms: Some(0), count: u32::MAX },
            Why::Used { requests: 1, tokens: 2, share: Some(999) },
            Why::Used { requests: 1, tokens: 2, share: None },
            Why::Cost { nano: Some(0) },
            Why::Cost { nano: None },
            Why::Tag { fits: true },
            Why::Context { size: Some(200_000), fits: false },
            Why::Context { size: None, fits: true },
            Why::Merit { share: 1_000 },
        ];
        let notes = [Note::Plain, Note::Conversation, Note::Maker, Note::Probe, Note::LastResort { until: 1 << 41 }];
        for reason in reasons {
            for note in notes {
                let mut bytes = Vec::new();
                let numbers = note_numbers(note).into_iter().chain(reason_numbers(reason));
                numbers.for_each(|number| varint(&mut bytes, number));
                assert_eq!(read(&bytes), Some(Placed { reason, note }));
                assert_eq!(read(&bytes[..bytes.len() - 1]), None, "cut short: {reason:?} {note:?}");
            }
        }
        assert_eq!(read(&[0, 99]), None, "of a later version");
    }
}
