//! What other makers must get back, on its way through a client of this format.
//!
//! - A signature on a call (Gemini's `thoughtSignature`): `tool_use` has no place for one, and clients only send back the fields that they
//!   know. A thinking block with an empty text does come back: it carries `myl1call:<length of the id>:<id>:<wrapped blob>` as its signature.
//! - A block that only its maker understands (a server tool's call or result): a `redacted_thinking` block comes back unread and carries
//!   `myl1block:<format>:<kind>:<JSON>` as its data.

use super::FORMAT;
use crate::ir::{Native, Opaque, OpaqueKind};
use crate::{ApiFormat, opaque};

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

const BLOCK: &str = "myl1block:";

/// The data of a `redacted_thinking` block that carries a foreign block.
pub(super) fn pack_block(native: &Native) -> String {
    format!("{BLOCK}{}:{}:{}", native.format, native.kind, native.value)
}

/// The foreign block, if the data carries one.
pub(super) fn unpack_block(data: &str) -> Option<Native> {
    let mut pieces = data.strip_prefix(BLOCK)?.splitn(3, ':');
    let (maker, kind, value) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let format = ApiFormat::ALL.into_iter().find(|format| format.as_str() == maker)?;
    Some(Native { format, kind: kind.to_owned(), value: serde_json::from_str(value).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_foreign_block_comes_back_whole() {
        let native = Native {
            format: ApiFormat::OpenaiResponses,
            kind: "web_search_call".into(),
            value: serde_json::json!({"type": "web_search_call", "id": "ws:1", "action": {"query": "ü"}}),
        };
        assert_eq!(unpack_block(&pack_block(&native)), Some(native));
        for odd in ["", "EmwK", "myl1block:", "myl1block:nobody:x:{}", "myl1block:gemini:x:{"] {
            assert_eq!(unpack_block(odd), None, "{odd}");
        }
    }
}
