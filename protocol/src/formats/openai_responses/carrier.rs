//! Things of other formats that travel through a Responses client inside the `encrypted_content` of a reasoning item.
//!
//! Clients send reasoning items back unchanged and show none of this. Two things have no other place here: the signature that Gemini
//! puts on a tool call, and a block that only its own format understands (Anthropic's server tool results, say). A maker's blob on
//! *reasoning* needs no carrier: it stands in the item itself, see [`crate::opaque`].

use serde_json::Value;

use super::take::FORMAT;
use crate::ApiFormat;
use crate::ir::{Native, Opaque, OpaqueKind};
use crate::opaque;

const CALL: &str = "myl1-call:";
const NATIVE: &str = "myl1-block:";

/// What a reasoning item carries instead of reasoning.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Carried {
    /// The signature of the call with this id.
    CallSignature {
        /// Links to the call.
        call_id: String,
        /// The signature.
        signature: Opaque,
    },
    /// A block of another format.
    Native(Native),
}

/// The `encrypted_content` that carries the signature of a call.
pub(super) fn wrap_call_signature(call_id: &str, signature: &Opaque) -> String {
    format!("{CALL}{}:{call_id}{}", call_id.len(), opaque::wrap(signature, FORMAT))
}

/// The `encrypted_content` that carries a block of another format.
pub(super) fn wrap_native(native: &Native) -> String {
    format!("{NATIVE}{}:{}:{}:{}", native.format, native.kind.len(), native.kind, native.value)
}

/// Reads an `encrypted_content`; `None` if it is ordinary.
pub(super) fn unwrap(field: &str) -> Option<Carried> {
    if let Some(rest) = field.strip_prefix(CALL) {
        let (call_id, wrapped) = measured(rest)?;
        let signature = opaque::unwrap(wrapped, FORMAT, OpaqueKind::Signature);
        return Some(Carried::CallSignature { call_id: call_id.to_owned(), signature });
    }
    let (format, rest) = field.strip_prefix(NATIVE)?.split_once(':')?;
    let format = ApiFormat::ALL.into_iter().find(|known| known.as_str() == format)?;
    let (kind, rest) = measured(rest)?;
    let value: Value = serde_json::from_str(rest.strip_prefix(':')?).ok()?;
    Some(Carried::Native(Native { format, kind: kind.to_owned(), value }))
}

/// Splits `<length>:<that many bytes><rest>`.
fn measured(field: &str) -> Option<(&str, &str)> {
    let (length, rest) = field.split_once(':')?;
    rest.split_at_checked(length.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn carried_things_come_back_as_they_were() {
        let signature = Opaque { kind: OpaqueKind::Signature, format: ApiFormat::Gemini, data: "a:b==".into() };
        let call_id = "functions.näme:0".to_owned();
        let field = wrap_call_signature(&call_id, &signature);
        assert_eq!(unwrap(&field), Some(Carried::CallSignature { call_id, signature }));
        let native = Native {
            format: ApiFormat::AnthropicMessages,
            kind: "web_search_tool_result".into(),
            value: json!({"type": "web_search_tool_result", "content": [{"url": "http://a:b"}]}),
        };
        assert_eq!(unwrap(&wrap_native(&native)), Some(Carried::Native(native)));
    }

    #[test]
    fn hostile_fields_are_ordinary() {
        for field in
            ["", "gAAA", "myl1-call:", "myl1-call:99:x", "myl1-call:1:ä", "myl1-call:-1:x", "myl1-block:gemini:1:x{"]
        {
            assert_eq!(unwrap(field), None, "{field}");
        }
    }
}
