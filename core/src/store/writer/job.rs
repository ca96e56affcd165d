//! What the writer writes, and its bytes in the journal.

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
        }
    }

    /// About how many bytes it holds.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Record { bytes, .. } => 16 + bytes.len(),
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
            _ => None,
        }
    }
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
