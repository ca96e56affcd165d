//! Making secrets (virtual keys, admin tokens, ids) and comparing them.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::StoreError;
use crate::model::Secret;

/// Begins every virtual key.
pub const KEY_PREFIX: &str = "my-";
/// Begins every admin token.
pub const TOKEN_PREFIX: &str = "mya-";

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 40 characters of 62 are 238 bits.
const SECRET_CHARS: usize = 40;
/// 16 characters of 62 are 95 bits.
const ID_CHARS: usize = 16;

/// Random letters and digits, each equally likely.
fn base62(chars: usize) -> Result<String, StoreError> {
    // 248 is the largest multiple of 62 in a byte: what is above would favour the first characters.
    const FAIR: u8 = 248;
    let mut text = String::with_capacity(chars);
    let mut bytes = [0_u8; 64];
    while text.len() < chars {
        getrandom::fill(&mut bytes).map_err(|why| StoreError::Random(why.to_string()))?;
        let fair = bytes.iter().filter(|byte| **byte < FAIR);
        let letters = fair.filter_map(|byte| BASE62.get(usize::from(byte % 62)));
        text.extend(letters.take(chars - text.len()).map(|letter| char::from(*letter)));
    }
    Ok(text)
}

/// A new secret with a prefix.
pub(super) fn secret(prefix: &str) -> Result<Secret, StoreError> {
    Ok(Secret::new(format!("{prefix}{}", base62(SECRET_CHARS)?)))
}

/// A new id with a prefix.
pub(super) fn id(prefix: &str) -> Result<String, StoreError> {
    Ok(format!("{prefix}{}", base62(ID_CHARS)?))
}

/// SHA-256 of a presented secret, 64 hex digits: how virtual keys and admin tokens are kept.
///
/// They are long and random, so a plain hash is enough: nothing can be guessed.
pub fn hash_secret(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `my-abc…wxyz`: first six and last four characters; a short secret shows nothing.
pub(super) fn hint(secret: &Secret) -> String {
    let chars: Vec<char> = secret.expose().chars().collect();
    match (chars.get(..6), chars.len().checked_sub(4).and_then(|from| chars.get(from..))) {
        (Some(head), Some(tail)) if chars.len() >= 16 => {
            format!("{}…{}", head.iter().collect::<String>(), tail.iter().collect::<String>())
        }
        _ => "***".to_owned(),
    }
}

/// Whether two hashes are the same, in a time that does not tell how far they agree.
pub fn same_hash(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_random_and_hinted() {
        let one = secret(KEY_PREFIX).unwrap();
        let two = secret(KEY_PREFIX).unwrap();
        assert_ne!(one, two);
        let text = one.expose();
        assert!(text.starts_with("my-") && text.len() == 43);
        assert!(text[3..].chars().all(|c| c.is_ascii_alphanumeric()));
        let hint = hint(&one);
        assert_eq!(hint, format!("{}…{}", &text[..6], &text[39..]));
        assert_eq!(super::hint(&Secret::new("short-one")), "***");
    }

    #[test]
    fn hashes_are_plain_sha256() {
        assert_eq!(hash_secret("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(same_hash("ab", "ab") && !same_hash("ab", "ac") && !same_hash("ab", "abc"));
    }
}
