//! Provider secrets at rest: XChaCha20-Poly1305 under a master key from the settings or from a 0600 key file.
//!
//! Must not know what is sealed. Each seal is bound to its place (`channel:main`), so that a sealed text moved elsewhere does not open.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};

use super::StoreError;
use crate::model::Secret;

/// Name of the key file in the data directory.
pub(super) const KEY_FILE: &str = "seal.key";
/// Keeps keys of this use apart from any other use of the same master key.
const DOMAIN: &[u8] = b"myelin seal v1\0";
const NONCE_BYTES: usize = 24;

/// Where the key that seals provider secrets comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterKey {
    /// Settings name it (`env:`, `file:`, keychain).
    Given(Secret),
    /// A file beside the store, mode 0600, made at first start. `doctor` warns: whoever copies the folder has the secrets.
    KeyFile,
}

/// Seals and opens.
pub(super) struct Seal(XChaCha20Poly1305);

impl Seal {
    /// The seal of a master key; makes the key file if that is asked for and there is none.
    pub(super) fn open(dir: &Path, master: &MasterKey) -> Result<Self, StoreError> {
        match master {
            MasterKey::Given(secret) => Ok(Self::from_text(secret.expose())),
            MasterKey::KeyFile => {
                let path = dir.join(KEY_FILE);
                match fs::read_to_string(&path) {
                    Ok(text) => Ok(Self::from_text(text.trim())),
                    Err(why) if why.kind() == std::io::ErrorKind::NotFound => Self::make(&path),
                    Err(why) => Err(StoreError::io(path)(why)),
                }
            }
        }
    }

    /// The seal of the key file, if there is one: to move to a given key.
    pub(super) fn of_key_file(dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(dir.join(KEY_FILE)).ok()?;
        Some(Self::from_text(text.trim()))
    }

    fn make(path: &PathBuf) -> Result<Self, StoreError> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(|why| StoreError::Random(why.to_string()))?;
        let text = BASE64.encode(bytes);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(StoreError::io(path))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(StoreError::io(path))?;
        Ok(Self::from_text(&text))
    }

    /// The seal of a key as text.
    pub(super) fn from_text(text: &str) -> Self {
        let key = Sha256::new().chain_update(DOMAIN).chain_update(text.as_bytes()).finalize();
        let key: [u8; 32] = key.into();
        Self(XChaCha20Poly1305::new(&Key::from(key)))
    }

    /// Seals for a place. The result is base64 of nonce and ciphertext.
    pub(super) fn seal(&self, place: &str, plain: &[u8]) -> Result<String, StoreError> {
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|why| StoreError::Random(why.to_string()))?;
        let sealed = self
            .0
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: place.as_bytes() })
            .map_err(|_| StoreError::Unsealable { what: place.to_owned() })?;
        Ok(BASE64.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Opens what was sealed for the same place.
    pub(super) fn unseal(&self, place: &str, sealed: &str) -> Result<Vec<u8>, StoreError> {
        let unsealable = || StoreError::Unsealable { what: place.to_owned() };
        let bytes = BASE64.decode(sealed).map_err(|_| unsealable())?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or_else(unsealable)?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        self.0.decrypt(&XNonce::from(*nonce), payload).map_err(|_| unsealable())
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_opens_only_in_its_place_and_with_its_key() {
        let seal = Seal::from_text("one");
        let sealed = seal.seal("channel:a", b"sk-canary").unwrap();
        assert!(!sealed.contains("canary"));
        assert_eq!(seal.unseal("channel:a", &sealed).unwrap(), b"sk-canary");
        assert!(seal.unseal("channel:b", &sealed).is_err());
        assert!(Seal::from_text("two").unseal("channel:a", &sealed).is_err());
        assert!(seal.unseal("channel:a", "AAAA").is_err());
        assert_ne!(sealed, seal.seal("channel:a", b"sk-canary").unwrap(), "nonces differ");
    }

    #[test]
    fn the_key_file_is_made_once_and_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = Seal::open(dir.path(), &MasterKey::KeyFile).unwrap().seal("x", b"y").unwrap();
        let again = Seal::open(dir.path(), &MasterKey::KeyFile).unwrap();
        assert_eq!(again.unseal("x", &sealed).unwrap(), b"y");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
