//! Carrying a maker's opaque reasoning through a client that speaks another format.
//!
//! A client gets `myl1:<format>:<kind>:<data>` in the field where its own format keeps such blobs, sends it back unchanged, and the decoder of
//! the client's format unwraps it. A blob without the prefix belongs to the client's own format.

use std::sync::LazyLock;

use memchr::memmem::Finder;

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
/// Looks for their names. Made once: it takes longer than looking through a short piece.
static NAMED: LazyLock<[Finder<'static>; 3]> = LazyLock::new(|| FIELDS.map(Finder::new));
/// Shorter values are no blobs.
const SHORTEST: usize = 16;

/// A value that goes on for longer is given up: no blob that was seen is as large.
const LONGEST: usize = 1 << 20;

/// The blobs that stand in a piece of JSON or of a stream of it, without reading the rest: values of the fields that hold them, wrapped ones unwrapped. What is cut
/// off at the end of the piece is left out.
pub fn blobs(piece: &[u8]) -> impl Iterator<Item = &[u8]> {
    places(piece).filter_map(|(_, value)| match value {
        Value::Whole(text) => blob(text),
        Value::Cut | Value::None => None,
    })
}

/// Finds blobs in JSON that comes in pieces, wherever it was cut.
#[derive(Debug, Default)]
pub struct BlobScan {
    /// The end of the pieces so far, if a blob may have begun in it.
    held: Vec<u8>,
}

impl BlobScan {
    /// Takes the next piece; `found` is called for every blob that ends in it.
    pub fn feed(&mut self, piece: &[u8], mut found: impl FnMut(&[u8])) {
        if self.held.is_empty() {
            let from = scan(piece, &mut found);
            self.held.extend_from_slice(piece.get(from..).unwrap_or_default());
            return;
        }
        self.held.extend_from_slice(piece);
        // Inside a long value nothing can end without a quote.
        if memchr::memchr(b'"', piece).is_some() {
            let from = scan(&self.held, &mut found);
            self.held.drain(..from);
        }
        if self.held.len() > LONGEST {
            self.held = Vec::new();
        }
    }
}

/// Tells the blobs of `piece`, and from where on it must be kept because something was cut.
fn scan(piece: &[u8], found: &mut impl FnMut(&[u8])) -> usize {
    let mut from = piece.len();
    for (at, value) in places(piece) {
        match value {
            Value::Whole(text) => blob(text).into_iter().for_each(&mut *found),
            Value::Cut => from = from.min(at),
            Value::None => {}
        }
    }
    from.min(name_cut(piece))
}

/// Where the last bytes begin a field's name; the end if they do not.
fn name_cut(piece: &[u8]) -> usize {
    let longest = FIELDS.iter().map(|field| field.len()).max().unwrap_or(0);
    let from = (piece.len() + 1).saturating_sub(longest);
    let tail = piece.get(from..).unwrap_or_default();
    let begins =
        |at: &usize| tail.get(*at..).is_some_and(|end| FIELDS.iter().any(|field| field.as_bytes().starts_with(end)));
    memchr::memchr_iter(b'"', tail).find(begins).map_or(piece.len(), |at| from + at)
}

/// What stands behind a field's name.
enum Value<'a> {
    /// A string.
    Whole(&'a [u8]),
    /// The piece ends before that can be told.
    Cut,
    /// No string.
    None,
}

/// Every field that may hold a blob: where it begins, and its value.
fn places(piece: &[u8]) -> impl Iterator<Item = (usize, Value<'_>)> {
    NAMED.iter().flat_map(move |name| {
        let end = name.needle().len();
        name.find_iter(piece).map(move |at| (at, value(piece.get(at + end..).unwrap_or_default())))
    })
}

fn value(rest: &[u8]) -> Value<'_> {
    let mut rest = rest;
    for expected in [b":", b"\""] {
        rest = match rest.trim_ascii_start() {
            [] => return Value::Cut,
            found => match found.strip_prefix(expected) {
                Some(more) => more,
                None => return Value::None,
            },
        };
    }
    match memchr::memchr(b'"', rest) {
        Some(end) => Value::Whole(rest.get(..end).unwrap_or_default()),
        None => Value::Cut,
    }
}

/// The blob in a field's text, if that is long enough to be one.
fn blob(text: &[u8]) -> Option<&[u8]> {
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
    fn blobs_are_found_wherever_the_pieces_are_cut() {
        let body = br#"x"sig","signature" : "EqQBCkYIARgCKkAx0123","thoughtSignature":"myl1:gemini:sig:CgMSAwABCgMSAwAB","encrypted_content":null,"signature":"abc"}"#;
        let expected = [&b"EqQBCkYIARgCKkAx0123"[..], b"CgMSAwABCgMSAwAB"];
        for size in 1..body.len() {
            let mut scan = BlobScan::default();
            let mut found: Vec<Vec<u8>> = Vec::new();
            for piece in body.chunks(size) {
                scan.feed(piece, |blob| found.push(blob.to_vec()));
            }
            found.sort_by_key(|blob| blob[0] != b'E');
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_value_without_an_end_is_not_held_for_ever() {
        let mut scan = BlobScan::default();
        scan.feed(br#"{"signature":""#, |_| {});
        for _ in 0..40 {
            scan.feed(&[b'a'; 64 << 10], |_| {});
            assert!(scan.held.len() <= LONGEST);
        }
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
