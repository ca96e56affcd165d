//! Vectors as numbers and as base64 of little-endian `f32`s.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Number, Value};

use crate::ir::Embedding;

/// Padding is written, and not insisted on when reading.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The numbers of a vector; `None` if it is no base64 of numbers.
pub fn floats(embedding: &Embedding) -> Option<Vec<f64>> {
    match embedding {
        Embedding::Float(numbers) => Some(numbers.clone()),
        Embedding::Base64(text) => {
            let bytes = BASE64.decode(text.trim()).ok()?;
            if is_double(&bytes) {
                return Some(
                    bytes.chunks_exact(8).filter_map(|word| Some(f64::from_le_bytes(word.try_into().ok()?))).collect(),
                );
            }
            if !bytes.len().is_multiple_of(4) {
                return None;
            }
            let words = bytes.chunks_exact(4).filter_map(|word| Some(f32::from_le_bytes(word.try_into().ok()?)));
            // By way of the shortest decimal, so that 0.1 stays 0.1 and does not grow digits that were never there.
            Some(words.map(|number| number.to_string().parse().unwrap_or_else(|_| f64::from(number))).collect())
        }
    }
}

/// The base64 of a vector, little-endian `f32`; `None` if it was base64 of something else.
pub fn base64(embedding: &Embedding) -> Option<String> {
    match embedding {
        Embedding::Float(numbers) => Some(encode(numbers)),
        Embedding::Base64(text) => {
            let bytes = BASE64.decode(text.trim()).ok()?;
            if is_double(&bytes) {
                return Some(encode(&floats(embedding)?));
            }
            bytes.len().is_multiple_of(4).then(|| text.clone())
        }
    }
}

fn encode(numbers: &[f64]) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "the wire has f32")]
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
    BASE64.encode(bytes)
}

/// Older vLLM writes `f64`. Widened from `f32`, each has 29 zero bits at the low end, which neighbouring `f32`s never all have.
fn is_double(bytes: &[u8]) -> bool {
    // Shorter vectors are toys, in which anything may happen.
    const ENOUGH: usize = 8 * 32;
    let low_is_empty = |word: &[u8]| {
        word.get(..4)
            .and_then(|low| low.try_into().ok())
            .map(u32::from_le_bytes)
            .is_some_and(|low| low & 0x1FFF_FFFF == 0)
    };
    let any = |word: &[u8]| word.iter().any(|byte| *byte != 0);
    bytes.len() >= ENOUGH && bytes.len().is_multiple_of(8) && bytes.chunks_exact(8).all(low_is_empty) && any(bytes)
}

/// A vector as a list of numbers.
pub(super) fn to_json(numbers: &[f64]) -> Value {
    numbers.iter().map(|number| Number::from_f64(*number).map_or(Value::Null, Value::Number)).collect()
}

/// A vector as it stands on the wire: a list of numbers or base64.
pub(super) fn from_json(value: Value) -> Option<Embedding> {
    match value {
        Value::String(text) => Some(Embedding::Base64(text)),
        Value::Array(numbers) => numbers.iter().map(Value::as_f64).collect::<Option<_>>().map(Embedding::Float),
        _ => None,
    }
}
