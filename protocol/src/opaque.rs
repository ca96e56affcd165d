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

#[cfg(test)]
mod tests {
    use super::*;

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
