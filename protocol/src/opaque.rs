//! Carrying a maker's opaque reasoning through a client that speaks another format.
//!
//! A client gets `myl1:<format>:<kind>:<data>` in the field where its own format keeps such blobs, sends it back unchanged, and the decoder of
//! the client's format unwraps it. A blob without the prefix belongs to the client's own format.

use crate::ApiFormat;
use crate::ir::{Opaque, OpaqueKind};

const PREFIX: &str = "myl1:";
const KINDS: [(OpaqueKind, &str); 4] = [
    (OpaqueKind::Signature, "sig"),
    (OpaqueKind::Redacted, "red"),
    (OpaqueKind::Encrypted, "enc"),
    (OpaqueKind::Details, "det"),
];

/// The text to put into a field of `format`: the blob itself at home, wrapped elsewhere.
pub fn wrap(opaque: &Opaque, format: ApiFormat) -> String {
    if opaque.format == format {
        return opaque.data.clone();
    }
    let kind = KINDS.iter().find(|(kind, _)| *kind == opaque.kind).map_or("sig", |(_, word)| word);
    format!("{PREFIX}{}:{kind}:{}", opaque.format, opaque.data)
}

/// Reads a field of `format` that is `kind` there; a wrapped blob comes out as what it was.
pub fn unwrap(field: &str, format: ApiFormat, kind: OpaqueKind) -> Opaque {
    let home = || Opaque { kind, format, data: field.to_owned() };
    let Some(rest) = field.strip_prefix(PREFIX) else { return home() };
    let mut pieces = rest.splitn(3, ':');
    let (Some(maker), Some(word), Some(data)) = (pieces.next(), pieces.next(), pieces.next()) else { return home() };
    let maker = ApiFormat::ALL.into_iter().find(|format| format.as_str() == maker);
    let kind = KINDS.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind);
    match (maker, kind) {
        (Some(format), Some(kind)) => Opaque { kind, format, data: data.to_owned() },
        _ => home(),
    }
}

/// Fields that hold a maker's blobs, in any format.
const FIELDS: [&str; 3] = ["\"signature\"", "\"thoughtSignature\"", "\"encrypted_content\""];
/// Shorter values are no blobs.
const SHORTEST: usize = 16;

/// The blobs that stand in a piece of JSON or of a stream of it, without reading the rest: values of the fields that hold them, wrapped ones unwrapped. What is cut
/// off at the end of the piece is left out.
pub fn blobs(piece: &[u8]) -> impl Iterator<Item = &[u8]> {
    FIELDS.into_iter().flat_map(move |field| {
        memchr::memmem::find_iter(piece, field.as_bytes()).filter_map(move |at| value(piece.get(at + field.len()..)?))
    })
}

/// The string after a field's name, if it is long enough to be a blob.
fn value(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let text = rest.get(..memchr::memchr(b'"', rest)?)?;
    let inner = match text.strip_prefix(PREFIX.as_bytes()) {
        Some(wrapped) => wrapped.splitn(3, |byte| *byte == b':').nth(2)?,
        None => text,
    };
    (inner.len() >= SHORTEST).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_found_in_requests_and_in_frames() {
        let body = br#"{"messages":[{"type":"thinking","signature": "EqQBCkYIARgCKkAx0123"},{"thoughtSignature":"myl1:gemini:sig:CgMSAwABCgMSAwAB"},
            {"encrypted_content":null},{"signature":""},{"text":"\"signature\""},{"signature":"cut off here and so no blob"#;
        let found: Vec<&[u8]> = blobs(body).collect();
        assert_eq!(found, [&b"EqQBCkYIARgCKkAx0123"[..], b"CgMSAwABCgMSAwAB"]);
    }

    #[test]
    fn a_blob_comes_back_from_a_foreign_client_as_it_was() {
        for format in ApiFormat::ALL {
            for (kind, _) in KINDS {
                let blob = Opaque { kind, format: ApiFormat::Gemini, data: "a:b:c==".into() };
                let field = wrap(&blob, format);
                let kind_at_home = if format == ApiFormat::Gemini { kind } else { OpaqueKind::Signature };
                assert_eq!(unwrap(&field, format, kind_at_home), blob);
            }
        }
    }
}
