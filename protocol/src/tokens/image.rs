//! Tokens of an image by its size, read from the first bytes of the file.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// What an image takes at most: models scale it down before they look.
const MOST: u64 = 1_600;
/// What the smallest takes, and any at low detail.
const LEAST: u64 = 85;
/// Longer edges are scaled down to this many pixels.
const LONGEST_EDGE: u64 = 1_568;
/// Pixels a token.
const PIXELS: u64 = 750;
/// How much of the file is looked at, in base64 digits: a JPEG may hold a large preview before its size.
const HEAD: usize = 128 * 1024;

/// Tokens of an image in base64.
pub(super) fn count(data: &str, detail: Option<&str>) -> u64 {
    if detail == Some("low") {
        return LEAST;
    }
    match head(data).as_deref().and_then(size) {
        Some((width, height)) => of_size(width, height),
        None => MOST,
    }
}

/// Tokens of an image that cannot be looked at.
pub(super) fn unknown(detail: Option<&str>) -> u64 {
    if detail == Some("low") { LEAST } else { MOST }
}

fn of_size(width: u32, height: u32) -> u64 {
    let (width, height) = (u64::from(width).max(1), u64::from(height).max(1));
    let longest = width.max(height);
    let pixels = if longest > LONGEST_EDGE {
        // Both edges shrink by the same factor.
        let shorter = width.min(height).saturating_mul(LONGEST_EDGE) / longest;
        shorter.max(1) * LONGEST_EDGE
    } else {
        width * height
    };
    pixels.div_ceil(PIXELS).clamp(LEAST, MOST)
}

/// The first bytes of the file.
fn head(data: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let digits = data.as_bytes();
    let whole_groups = digits.len().min(HEAD) / 4 * 4;
    let start = digits.get(..if digits.len() <= HEAD { digits.len() } else { whole_groups })?;
    LENIENT.decode(start).ok()
}

/// Width and height of a PNG, JPEG, GIF or WebP file.
fn size(file: &[u8]) -> Option<(u32, u32)> {
    match file {
        [0x89, b'P', b'N', b'G', ..] => Some((big32(file, 16)?, big32(file, 20)?)),
        [b'G', b'I', b'F', b'8', ..] => Some((little(file, 6, 2)?, little(file, 8, 2)?)),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', kind @ ..] => webp(file, kind),
        [0xFF, 0xD8, ..] => jpeg(file),
        _ => None,
    }
}

fn big32(file: &[u8], at: usize) -> Option<u32> {
    file.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

fn big16(file: &[u8], at: usize) -> Option<u16> {
    file.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn little(file: &[u8], at: usize, length: usize) -> Option<u32> {
    let bytes = file.get(at..at + length)?;
    Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
}

fn webp(file: &[u8], kind: &[u8]) -> Option<(u32, u32)> {
    match kind {
        [b'V', b'P', b'8', b' ', ..] => Some((little(file, 26, 2)? & 0x3FFF, little(file, 28, 2)? & 0x3FFF)),
        [b'V', b'P', b'8', b'L', ..] => {
            let bits = little(file, 21, 4)?;
            Some(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
        }
        [b'V', b'P', b'8', b'X', ..] => Some((little(file, 24, 3)? + 1, little(file, 27, 3)? + 1)),
        _ => None,
    }
}

/// Goes from segment to segment up to the one that tells the size.
fn jpeg(file: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        let [0xFF, marker] = *file.get(at..at + 2)? else { return None };
        match marker {
            // Fill bytes and markers without a segment.
            0xFF => at += 1,
            0x01 | 0xD0..=0xD8 => at += 2,
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                return Some((u32::from(big16(file, at + 7)?), u32::from(big16(file, at + 5)?)));
            }
            _ => at += 2 + usize::from(big16(file, at + 2)?).max(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn files(width: u16, height: u16) -> Vec<(&'static str, Vec<u8>)> {
        let (w, h) = (u32::from(width), u32::from(height));
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend(w.to_be_bytes().into_iter().chain(h.to_be_bytes()));
        let mut gif = b"GIF89a".to_vec();
        gif.extend(width.to_le_bytes().into_iter().chain(height.to_le_bytes()));
        let mut jpeg = b"\xFF\xD8\xFF\xE0\0\x04ab\xFF\xE1\x10\x02".to_vec();
        jpeg.extend(vec![0xFF; 0x1000]);
        jpeg.extend(b"\xFF\xFF\xC2\0\x11\x08");
        jpeg.extend(height.to_be_bytes().into_iter().chain(width.to_be_bytes()));
        let riff = |kind: &[u8]| [b"RIFF\0\0\0\0WEBP", kind].concat();
        let mut lossy = riff(b"VP8 \0\0\0\0\0\0\0\x9d\x01\x2a");
        lossy.extend(width.to_le_bytes().into_iter().chain(height.to_le_bytes()));
        let mut lossless = riff(b"VP8L\0\0\0\0\x2f");
        lossless.extend(((w - 1) | (h - 1) << 14).to_le_bytes());
        let mut extended = riff(b"VP8X\0\0\0\0\0\0\0\0");
        extended.extend((w - 1).to_le_bytes()[..3].iter().chain(&(h - 1).to_le_bytes()[..3]));
        vec![
            ("png", png),
            ("gif", gif),
            ("jpeg", jpeg),
            ("webp lossy", lossy),
            ("webp lossless", lossless),
            ("webp extended", extended),
        ]
    }

    #[test]
    fn the_size_is_read_from_the_head_of_every_kind_of_file() {
        for (kind, file) in files(1000, 600) {
            assert_eq!(size(&file), Some((1000, 600)), "{kind}");
            assert_eq!(count(&STANDARD.encode(&file), None), 800, "{kind}");
            assert_eq!(count(&STANDARD.encode(&file), Some("low")), LEAST, "{kind}");
            for cut in 0..file.len() {
                size(&file[..cut]);
            }
        }
    }

    #[test]
    fn images_take_neither_more_nor_less_than_models_look_at() {
        for (width, height, expected) in [(1, 1, 85), (1568, 1568, 1600), (60_000, 60_000, 1600), (6000, 600, 327)] {
            let (_, png) = files(width, height).remove(0);
            assert_eq!(count(&STANDARD.encode(png), None), expected, "{width}×{height}");
        }
        for broken in ["", "!", "AAAA", "iVBORw0KGgo"] {
            assert_eq!(count(broken, None), MOST, "{broken}");
        }
    }
}
