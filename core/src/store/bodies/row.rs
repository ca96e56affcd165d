//! One request's bodies as one row: compressed together, since what was received and what was sent are mostly the same.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::store::StoreError;
use crate::store::ledger::{redact, take_bytes, take_varint, varint};

/// Layout of a row; other numbers are of a newer Myelin.
const LAYOUT: u8 = 1;
const LEVEL: i32 = 3;
/// Bytes that are kept of one part.
pub(super) const MOST_PART: usize = 1 << 20;
/// No row is larger once unpacked.
const MOST_UNPACKED: usize = 256 << 20;

/// Which body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BodyKind {
    /// The request as it was received.
    Received,
    /// The request as it was sent to a deployment.
    Sent,
    /// What that deployment answered: whole, or the stream as it came. Left out where it is what the client got.
    Upstream,
    /// The answer as the client got it: whole, or the stream as it went.
    Answer,
    /// Headers of the request as they were received.
    ReceivedHead,
    /// Headers of the request to a deployment.
    SentHead,
    /// Headers of that deployment's answer.
    UpstreamHead,
}

impl BodyKind {
    /// It is no body: the headers before one.
    pub fn is_head(self) -> bool {
        matches!(self, Self::ReceivedHead | Self::SentHead | Self::UpstreamHead)
    }

    /// There is one for every attempt.
    pub fn is_of_attempt(self) -> bool {
        matches!(self, Self::Sent | Self::Upstream | Self::SentHead | Self::UpstreamHead)
    }
}

const KINDS: [(BodyKind, u64); 7] = [
    (BodyKind::Received, 1),
    (BodyKind::Sent, 2),
    (BodyKind::Upstream, 3),
    (BodyKind::Answer, 4),
    (BodyKind::ReceivedHead, 5),
    (BodyKind::SentHead, 6),
    (BodyKind::UpstreamHead, 7),
];

/// One body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyPart {
    /// Which.
    pub kind: BodyKind,
    /// Of which attempt, from 0, where it belongs to one.
    pub attempt: Option<u32>,
    /// The bytes that are kept.
    pub bytes: Bytes,
    /// How many there were.
    pub size: u64,
}

impl BodyPart {
    /// Cut to what is kept, secrets masked: those that `mask` knows, and what looks like one. What is no text is not kept.
    pub(super) fn fit_to_keep(self, mask: Option<&(dyn Fn(&str) -> String + Send + Sync)>) -> Self {
        let cut = self.bytes.get(..MOST_PART).unwrap_or(&self.bytes);
        let text = match std::str::from_utf8(cut) {
            Ok(text) => text,
            // Cut inside a character, or no text at all.
            Err(why) if why.error_len().is_none() => {
                cut.get(..why.valid_up_to()).and_then(|whole| std::str::from_utf8(whole).ok()).unwrap_or_default()
            }
            Err(_) => "",
        };
        let mut text = mask.map_or_else(|| text.to_owned(), |mask| mask(text));
        redact(&mut text);
        Self { bytes: Bytes::from(text), ..self }
    }
}

/// `None`: it cannot be packed.
pub(super) fn encode(parts: impl Iterator<Item = BodyPart>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for part in parts {
        let code = KINDS.iter().find(|(kind, _)| *kind == part.kind).map(|(_, code)| *code)?;
        varint(&mut out, code);
        varint(&mut out, part.attempt.map_or(0, |attempt| u64::from(attempt) + 1));
        varint(&mut out, part.size);
        varint(&mut out, part.bytes.len() as u64);
        out.extend_from_slice(&part.bytes);
    }
    let mut row = vec![LAYOUT];
    row.extend(zstd::bulk::compress(&out, LEVEL).ok()?);
    Some(row)
}

pub(super) fn decode(row: &[u8]) -> Result<Vec<BodyPart>, StoreError> {
    let corrupt = |why: &str| StoreError::Corrupt { what: "a kept body".to_owned(), why: why.to_owned() };
    let (layout, packed) = row.split_first().ok_or_else(|| corrupt("it is empty"))?;
    if *layout != LAYOUT {
        return Err(corrupt(&format!("its layout {layout} is unknown")));
    }
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten();
    let size = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= MOST_UNPACKED);
    let unpacked = zstd::bulk::decompress(packed, size.ok_or_else(|| corrupt("its size"))?);
    let unpacked = Bytes::from(unpacked.map_err(|why| corrupt(&why.to_string()))?);
    let mut rest: &[u8] = &unpacked;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let mut part = || {
            let code = take_varint(&mut rest)?;
            let attempt = take_varint(&mut rest)?.checked_sub(1).and_then(|attempt| u32::try_from(attempt).ok());
            let size = take_varint(&mut rest)?;
            let bytes = unpacked.slice_ref(take_bytes(&mut rest)?);
            let kind = KINDS.iter().find(|(_, own)| *own == code).map(|(kind, _)| *kind);
            Some(kind.map(|kind| BodyPart { kind, attempt, bytes, size }))
        };
        // A kind of a newer Myelin is skipped.
        out.extend(part().ok_or_else(|| corrupt("it is cut"))?);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: BodyKind, attempt: Option<u32>, text: &str) -> BodyPart {
        BodyPart { kind, attempt, bytes: Bytes::copy_from_slice(text.as_bytes()), size: text.len() as u64 }
    }

    #[test]
    fn what_is_nearly_the_same_takes_room_once() {
        let noise: String = (0..20_000_u64).map(|n| char::from(b'a' + (n * n % 977 % 26) as u8)).collect();
        let one = [part(BodyKind::Received, None, &noise)];
        let two = [one[0].clone(), part(BodyKind::Sent, Some(0), &noise.replace("abc", "xyz"))];
        let (small, large) = (encode(one.into_iter()).unwrap(), encode(two.clone().into_iter()).unwrap());
        assert!(large.len() < small.len() * 2, "{} {}", small.len(), large.len());
        assert_eq!(decode(&large).unwrap(), two);
        assert!(decode(&large[..large.len() - 1]).is_err());
    }

    #[test]
    fn a_body_is_cut_masked_and_text() {
        let long = part(BodyKind::Sent, Some(1), &"ü".repeat(MOST_PART)).fit_to_keep(None);
        assert!(long.bytes.len() <= MOST_PART && long.size as usize == 2 * MOST_PART);
        assert!(std::str::from_utf8(&long.bytes).is_ok());
        let secret = part(BodyKind::Received, None, r#"{"key": "sk-abcdefghijklmnopqrst"}"#).fit_to_keep(None);
        assert_eq!(secret.bytes, r#"{"key": "sk-***"}"#);
        let known = part(BodyKind::Upstream, None, "no such key: of-another-shape")
            .fit_to_keep(Some(&|text| text.replace("of-another-shape", "***")));
        assert_eq!(known.bytes, "no such key: ***");
        let binary = BodyPart { bytes: Bytes::from_static(b"RIFF\xff\xfe\x00"), ..secret };
        assert!(binary.fit_to_keep(None).bytes.is_empty());
    }
}
