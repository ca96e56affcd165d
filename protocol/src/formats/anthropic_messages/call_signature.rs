//! A signature on a call (Gemini's `thoughtSignature`) on its way through a client of this format.
//!
//! `tool_use` has no place for one, and clients only send back the fields that they know. A thinking block with an empty text does come back: it
//! carries `myl1call:<length of the id>:<id>:<wrapped blob>` as its signature.

use super::FORMAT;
use crate::ir::{Opaque, OpaqueKind};
use crate::opaque;

const PREFIX: &str = "myl1call:";

/// The signature to write into the thinking block.
pub(super) fn pack(call_id: &str, signature: &Opaque) -> String {
    format!("{PREFIX}{}:{call_id}:{}", call_id.len(), opaque::wrap(signature, FORMAT))
}

/// The call and its signature, if the field holds one.
pub(super) fn unpack(field: &str) -> Option<(String, Opaque)> {
    let (length, rest) = field.strip_prefix(PREFIX)?.split_once(':')?;
    let (id, blob) = rest.split_at_checked(length.parse().ok()?)?;
    let blob = blob.strip_prefix(':')?;
    Some((id.to_owned(), opaque::unwrap(blob, FORMAT, OpaqueKind::Signature)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiFormat;

    #[test]
    fn a_signature_comes_back_with_its_call() {
        let opaque = Opaque { kind: OpaqueKind::Signature, format: ApiFormat::Gemini, data: "a:b==".into() };
        for id in ["toolu_1", "functions.get:0", "", "grüße"] {
            assert_eq!(unpack(&pack(id, &opaque)), Some((id.to_owned(), opaque.clone())));
        }
        for odd in ["", "myl1call:", "myl1call:9:x:y", "myl1call:1:ü:y", "myl1:gemini:sig:x", "myl1call:1:ab"] {
            assert_eq!(unpack(odd), None, "{odd}");
        }
    }
}
