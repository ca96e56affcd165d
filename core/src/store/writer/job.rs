//! What the writer writes, and its bytes in the journal.

use crate::model::Charge;

/// One thing to write.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store) enum Job {
    /// A request record.
    Record {
        /// The bits of its id.
        key: u128,
        /// The record, encoded.
        bytes: Vec<u8>,
    },
    /// A request record, with what it counts against limits.
    Charged {
        /// The bits of its id.
        key: u128,
        /// What it counts.
        charges: Vec<Charge>,
        /// The record, encoded.
        bytes: Vec<u8>,
    },
    /// What counters have counted before a moment goes.
    Forget {
        /// Counter and moment.
        before: Vec<(u64, u64)>,
    },
    /// All that a counter has counted goes, and does not come back when earlier requests are priced anew.
    Reset {
        /// Which counter.
        counter: u64,
        /// The moment: milliseconds since 1970.
        now: u64,
    },
    /// A kept thing comes or is replaced.
    Put {
        /// Its namespace.
        space: String,
        /// Its key.
        key: String,
        /// The row, as it stands in the table.
        value: Vec<u8>,
    },
    /// A kept thing goes.
    Delete {
        /// Its namespace.
        space: String,
        /// Its key.
        key: String,
    },
}

impl Job {
    pub(super) fn kind(&self) -> u8 {
        match self {
            Self::Record { .. } => 1,
            Self::Put { .. } => 2,
            Self::Delete { .. } => 3,
            Self::Charged { .. } => 4,
            Self::Forget { .. } => 5,
            Self::Reset { .. } => 6,
        }
    }

    /// About how many bytes it holds.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Record { bytes, .. } => 16 + bytes.len(),
            Self::Charged { bytes, charges, .. } => 18 + CHARGE_BYTES * charges.len() + bytes.len(),
            Self::Forget { before } => 16 * before.len(),
            Self::Reset { .. } => 16,
            Self::Put { space, key, value } => 8 + space.len() + key.len() + value.len(),
            Self::Delete { space, key } => 8 + space.len() + key.len(),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Record { key, bytes } => {
                out.extend_from_slice(&key.to_le_bytes());
                out.extend_from_slice(bytes);
            }
            Self::Charged { key, charges, bytes } => {
                out.extend_from_slice(&key.to_le_bytes());
                out.extend_from_slice(&u16::try_from(charges.len()).unwrap_or(u16::MAX).to_le_bytes());
                for Charge { counter, at, amount } in charges.iter().take(usize::from(u16::MAX)) {
                    [counter, at, amount].iter().for_each(|part| out.extend_from_slice(&part.to_le_bytes()));
                }
                out.extend_from_slice(bytes);
            }
            Self::Forget { before } => {
                for (counter, moment) in before {
                    [counter, moment].iter().for_each(|part| out.extend_from_slice(&part.to_le_bytes()));
                }
            }
            Self::Reset { counter, now } => {
                [counter, now].iter().for_each(|part| out.extend_from_slice(&part.to_le_bytes()));
            }
            Self::Put { space, key, value } => {
                text(out, space);
                text(out, key);
                out.extend_from_slice(value);
            }
            Self::Delete { space, key } => {
                text(out, space);
                text(out, key);
            }
        }
    }

    /// `None`: a kind of a newer Myelin, or damage.
    pub(super) fn read(kind: u8, bytes: &[u8]) -> Option<Self> {
        match kind {
            1 => {
                let (key, bytes) = bytes.split_first_chunk::<16>()?;
                Some(Self::Record { key: u128::from_le_bytes(*key), bytes: bytes.to_vec() })
            }
            2 => {
                let (space, rest) = take_text(bytes)?;
                let (key, value) = take_text(rest)?;
                Some(Self::Put { space, key, value: value.to_vec() })
            }
            3 => {
                let (space, rest) = take_text(bytes)?;
                let (key, _) = take_text(rest)?;
                Some(Self::Delete { space, key })
            }
            4 => {
                let (key, rest) = bytes.split_first_chunk::<16>()?;
                let (count, rest) = rest.split_first_chunk::<2>()?;
                let (charges, bytes) = rest.split_at_checked(usize::from(u16::from_le_bytes(*count)) * CHARGE_BYTES)?;
                let charges = numbers(charges).map(|[counter, at, amount]| Charge { counter, at, amount }).collect();
                Some(Self::Charged { key: u128::from_le_bytes(*key), charges, bytes: bytes.to_vec() })
            }
            5 => Some(Self::Forget { before: numbers(bytes).map(|[counter, moment]| (counter, moment)).collect() }),
            6 => numbers(bytes).next().map(|[counter, now]| Self::Reset { counter, now }),
            _ => None,
        }
    }

    /// Whether it stands in the journal until it is committed. Forgetting does not: done twice it would forget what came between.
    pub(super) fn is_journaled(&self) -> bool {
        !matches!(self, Self::Forget { .. } | Self::Reset { .. })
    }

    /// Whether it holds a request record.
    pub(super) fn is_record(&self) -> bool {
        matches!(self, Self::Record { .. } | Self::Charged { .. })
    }
}

/// Bytes of one charge.
const CHARGE_BYTES: usize = 24;

/// Groups of numbers, little-endian, one after the other.
fn numbers<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u64; N]> {
    bytes.chunks_exact(8 * N).map(|group| {
        let mut numbers = [0; N];
        for (number, bytes) in numbers.iter_mut().zip(group.chunks_exact(8)) {
            *number = bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte));
        }
        numbers
    })
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn take_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (text, rest) = rest.split_at_checked(length)?;
    Some((String::from_utf8(text.to_vec()).ok()?, rest))
}
