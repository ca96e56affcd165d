//! `thoughtSignature`: bytes in base64, which Google's libraries decode and encode again.
//!
//! Our wrapped blobs (see [`crate::opaque`]) are no base64, so they are armoured before they go into that field.

use serde_json::{Value, json};

use crate::formats::media::{from_base64, to_base64};
use crate::ir::{Opaque, OpaqueKind, ReasoningPart};
use crate::{ApiFormat, opaque};

/// Passes Gemini's check in place of a signature that was lost; documented by Google for histories made elsewhere.
pub(super) const PLACEHOLDER: &str = "skip_thought_signature_validator";

/// Base64 of the first four bytes of a wrapped blob, as far as they decide the letters.
const ARMOUR: &str = "bXlsMT";

/// Marks thinking that rides on a call, and the letters that base64 makes of the mark.
const RIDER: &str = "myl1r:";
const ARMOURED_RIDER: &str = "bXlsMXI";

/// Thinking of another maker for the signature of the call that it led to. Gemini CLI and others throw thoughts away and keep the signatures of
/// calls; the other maker wants its thinking back before the call.
pub(super) fn ride(thinking: &[ReasoningPart]) -> Option<String> {
    let blobs = thinking.iter().filter_map(|part| {
        let opaque = part.opaque.as_ref().filter(|opaque| opaque.format != ApiFormat::Gemini)?;
        Some(json!([part.text, opaque::wrap(opaque, ApiFormat::Gemini)]))
    });
    let blobs: Vec<Value> = blobs.collect();
    (!blobs.is_empty()).then(|| to_base64(format!("{RIDER}{}", Value::Array(blobs)).as_bytes()))
}

/// The thinking that rides on a call.
pub(super) fn riders(field: &str) -> Option<Vec<ReasoningPart>> {
    let bytes = field.starts_with(ARMOURED_RIDER).then(|| from_base64(field)).flatten()?;
    let text = String::from_utf8(bytes).ok()?;
    let blobs: Vec<(String, String)> = serde_json::from_str(text.strip_prefix(RIDER)?).ok()?;
    let read = |(text, blob): (String, String)| {
        let opaque = opaque::unwrap(&blob, ApiFormat::Gemini, OpaqueKind::Signature);
        ReasoningPart { text, summary: Vec::new(), opaque: Some(opaque) }
    };
    Some(blobs.into_iter().map(read).collect())
}

/// The field's text for a client: the signature itself at home, a wrapped blob of another maker in base64.
pub(super) fn to_client(blob: &Opaque) -> String {
    if blob.format == ApiFormat::Gemini {
        return blob.data.clone();
    }
    to_base64(opaque::wrap(blob, ApiFormat::Gemini).as_bytes())
}

/// Reads the field.
pub(super) fn from_wire(field: &str) -> Opaque {
    let home = || opaque::unwrap(field, ApiFormat::Gemini, OpaqueKind::Signature);
    let armoured = field.starts_with(ARMOUR).then(|| from_base64(field)).flatten();
    let Some(inner) = armoured.and_then(|bytes| String::from_utf8(bytes).ok()) else { return home() };
    let unwrapped = opaque::unwrap(&inner, ApiFormat::Gemini, OpaqueKind::Signature);
    // What is no blob of ours only looked like one.
    if unwrapped.data == inner { home() } else { unwrapped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_blob_survives_a_client_that_decodes_and_encodes_base64() {
        for data in ["a", "ab==", "é:x", "EqQBCg/+=="] {
            let blob = Opaque { kind: OpaqueKind::Redacted, format: ApiFormat::AnthropicMessages, data: data.into() };
            let field = to_client(&blob);
            let bytes = from_base64(&field).unwrap();
            assert_eq!(from_wire(&to_base64(&bytes)), blob);
            assert_eq!(from_wire(&to_base64(&bytes).replace('+', "-").replace('/', "_")), blob);
        }
    }

    #[test]
    fn thinking_rides_on_a_call_and_comes_back() {
        let blob = |data: &str| Opaque {
            kind: OpaqueKind::Signature,
            format: ApiFormat::AnthropicMessages,
            data: data.into(),
        };
        let part = |text: &str, opaque| ReasoningPart { text: text.into(), summary: Vec::new(), opaque };
        let thinking = [part("hm \"ä\"", Some(blob("a=="))), part("", Some(blob("b")))];
        let field = ride(&thinking).unwrap();
        assert_eq!(riders(&field.replace('+', "-").replace('/', "_")), Some(thinking.to_vec()));
        assert_eq!(ride(&[part("unsigned", None)]), None);
        for field in ["", "c2ln", "bXlsMXI6bm8ganNvbg==", "bXlsMXI!"] {
            assert_eq!(riders(field), None);
        }
    }

    #[test]
    fn a_signature_of_gemini_is_left_alone() {
        for data in ["CpQCAb4+9vsb", "bXlsMTox", "bXlsMT!!", ""] {
            assert_eq!(from_wire(data).data, data);
            assert_eq!(to_client(&from_wire(data)), data);
        }
    }
}
