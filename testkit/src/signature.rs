//! Signatures of thinking: bound to the maker's family and to the exact bytes, so that a replay that was changed or sent elsewhere shows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// Who may read a signature back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Claude, wherever it runs.
    Claude,
    /// Gemini, on Google's own endpoint or Vertex AI.
    Gemini,
    /// OpenAI's encrypted reasoning.
    OpenAi,
    /// OpenRouter's reasoning details.
    OpenRouter,
}

impl Family {
    fn word(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Gemini => "gemini",
            Self::OpenAi => "openai",
            Self::OpenRouter => "openrouter",
        }
    }
}

/// The signature of `text` by `family`. No secret is needed: nobody is to be kept out, only mistakes are to show.
pub fn sign(family: Family, text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"myelin-testkit\0");
    hash.update(family.word().as_bytes());
    hash.update([0]);
    hash.update(text.as_bytes());
    STANDARD.encode(hash.finalize())
}

/// Whether this mock issued `signature` for exactly this text and family.
pub fn verify(family: Family, text: &str, signature: &str) -> bool {
    sign(family, text) == signature
}

/// A text sealed so that only its family opens it again (redacted thinking, encrypted reasoning). As with real providers no two are
/// alike: `nonce` makes them differ.
pub fn seal(family: Family, nonce: &str, text: &str) -> String {
    STANDARD.encode(format!("{}\0{}\0{nonce}\0{text}", sign(family, text), family.word()))
}

/// Opens what [`seal`] made; `None` if it was changed or belongs to another family.
pub fn open(family: Family, sealed: &str) -> Option<String> {
    let plain = String::from_utf8(STANDARD.decode(sealed).ok()?).ok()?;
    let mut pieces = plain.splitn(4, '\0');
    let (signature, word, _, text) = (pieces.next()?, pieces.next()?, pieces.next()?, pieces.next()?);
    (word == family.word() && verify(family, text, signature)).then(|| text.to_owned())
}

/// Sixteen hex digits that stand for some bytes: ids that are the same in every run.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_only_its_own_text_and_family() {
        let signature = sign(Family::Claude, "hm");
        assert!(verify(Family::Claude, "hm", &signature));
        assert!(!verify(Family::Claude, "hm ", &signature));
        assert!(!verify(Family::Gemini, "hm", &signature));
    }

    #[test]
    fn sealed_text_opens_only_for_its_family() {
        let sealed = seal(Family::OpenAi, "1", "first, then");
        assert_eq!(open(Family::OpenAi, &sealed).as_deref(), Some("first, then"));
        assert_ne!(seal(Family::OpenAi, "2", "first, then"), sealed);
        assert_eq!(open(Family::Claude, &sealed), None);
        assert_eq!(open(Family::OpenAi, "myl1:x"), None);
    }
}
