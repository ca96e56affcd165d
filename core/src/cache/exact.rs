//! What two requests must have in common for one answer to fit both.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::store::AnswerKey;

/// Everything that an answer depends on, piece by piece.
#[derive(Default)]
pub struct Parts(Sha256);

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

impl Parts {
    /// One more piece. Each has its name and its length, so that pieces never run together.
    #[must_use]
    pub fn with(mut self, name: &str, piece: impl AsRef<[u8]>) -> Self {
        let piece = piece.as_ref();
        self.0.update(name.as_bytes());
        self.0.update([0]);
        self.0.update((piece.len() as u64).to_le_bytes());
        self.0.update(piece);
        self
    }

    /// The hash of all pieces.
    pub fn key(self) -> AnswerKey {
        self.0.finalize().into()
    }
}

/// A value written so that order and spacing of fields do not matter. `leave_out` names top-level fields that do not matter either.
pub fn canonical(value: &Value, leave_out: &[&str]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| !leave_out.contains(&name.as_str()));
            object(kept, &mut out);
        }
        other => write(other, &mut out),
    }
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(fields) => object(fields.iter(), out),
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                write(item, out);
                out.push(b',');
            }
            out.push(b']');
        }
        leaf => out.extend_from_slice(leaf.to_string().as_bytes()),
    }
}

fn object<'v>(fields: impl Iterator<Item = (&'v String, &'v Value)>, out: &mut Vec<u8>) {
    let mut fields: Vec<_> = fields.collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    out.push(b'{');
    for (name, value) in fields {
        out.extend_from_slice(Value::from(name.as_str()).to_string().as_bytes());
        out.push(b':');
        write(value, out);
        out.push(b',');
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> AnswerKey {
        let value: Value = serde_json::from_str(text).unwrap();
        Parts::default().with("body", canonical(&value, &["stream"])).key()
    }

    #[test]
    fn order_and_spacing_do_not_matter_and_everything_else_does() {
        let base = hash(r#"{"a": 1, "b": {"x": [1, 2], "y": null}}"#);
        for same in [r#"{"b":{"y":null,"x":[1,2]},"a":1}"#, r#"{"a":1,"stream":true,"b":{"x":[1,2],"y":null}}"#] {
            assert_eq!(hash(same), base, "{same}");
        }
        for other in [
            r#"{"a": 1.5, "b": {"x": [1, 2], "y": null}}"#,
            r#"{"a": "1", "b": {"x": [1, 2], "y": null}}"#,
            r#"{"a": 1, "b": {"x": [2, 1], "y": null}}"#,
            r#"{"a": 1, "b": {"x": [1, 2]}}"#,
            r#"{"a": 1, "b": {"x": [1, 2], "y": null, "stream": true}}"#,
        ] {
            assert_ne!(hash(other), base, "{other}");
        }
    }

    #[test]
    fn pieces_never_run_together() {
        let ab = Parts::default().with("k", "ab").with("k", "c").key();
        assert_ne!(ab, Parts::default().with("k", "a").with("k", "bc").key());
        assert_ne!(ab, Parts::default().with("k", "ab").with("l", "c").key());
    }
}
