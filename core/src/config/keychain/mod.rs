//! The system's keychain: the Secret Service on Linux (GNOME Keyring, KWallet, KeePassXC), the Keychain on macOS, the Credential Manager on Windows.
//!
//! An entry is found by two words, the service `myelin` and a name, as other programs file theirs: `secret-tool store --label NAME service myelin
//! username NAME` makes one. Must not know what its entries are for. Every call may wait for a person who types a password: not for the hot path.

#[cfg(target_os = "linux")]
mod bus;
#[cfg(target_os = "linux")]
mod service;
#[cfg(target_os = "linux")]
mod wire;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::Secret;

/// The service that all entries belong to.
const SERVICE: &str = "myelin";
/// So long nobody is asked again after a keychain did not open: a file may name many entries, and each would wait or ask anew.
const LATCH: Duration = Duration::from_secs(10);

/// What a keychain does.
pub trait Keychain: Send + Sync {
    /// The entry of that name.
    ///
    /// # Errors
    /// When there is none, or the keychain is locked or not there.
    fn get(&self, name: &str) -> Result<Secret, KeychainError>;

    /// Makes the entry, or replaces it.
    ///
    /// # Errors
    /// When the keychain is locked or not there, or refuses.
    fn put(&self, name: &str, secret: &Secret) -> Result<(), KeychainError>;
}

/// A keychain does not do as asked. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeychainError {
    /// There is none, or none that answers.
    #[error("no keychain answers here ({0})")]
    Absent(String),
    /// It stayed locked: nobody was there to ask, or whoever was there said no.
    #[error("the keychain is locked: unlock it, then try again")]
    Locked,
    /// There is no such entry.
    #[error("the keychain has no such entry")]
    Missing,
    /// Anything else, in its own words.
    #[error("the keychain refuses: {0}")]
    Refused(String),
}

/// The keychain of this system.
#[derive(Debug, Default)]
pub struct SystemKeychain {
    /// Why it did not open the last time, and when.
    shut: Mutex<Option<(Instant, KeychainError)>>,
}

impl SystemKeychain {
    /// Asks nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn latched<T>(&self, ask: impl FnOnce() -> Result<T, KeychainError>) -> Result<T, KeychainError> {
        let mut shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, why)) = shut.as_ref().filter(|(at, _)| at.elapsed() < LATCH) {
            return Err(why.clone());
        }
        let answer = ask();
        *shut = match &answer {
            Err(why @ (KeychainError::Absent(_) | KeychainError::Locked)) => Some((Instant::now(), why.clone())),
            _ => None,
        };
        answer
    }
}

impl Keychain for SystemKeychain {
    fn get(&self, name: &str) -> Result<Secret, KeychainError> {
        self.latched(|| system::get(name))
    }

    fn put(&self, name: &str, secret: &Secret) -> Result<(), KeychainError> {
        self.latched(|| system::put(name, secret))
    }
}

#[cfg(target_os = "linux")]
use service as system;

#[cfg(any(target_os = "macos", windows))]
mod system {
    use keyring::{Entry, Error};

    use super::{KeychainError, SERVICE, Secret};

    fn told(why: Error) -> KeychainError {
        match why {
            Error::NoEntry => KeychainError::Missing,
            Error::NoStorageAccess(_) => KeychainError::Locked,
            other => KeychainError::Refused(other.to_string()),
        }
    }

    pub(super) fn get(name: &str) -> Result<Secret, KeychainError> {
        Entry::new(SERVICE, name).and_then(|entry| entry.get_password()).map(Secret::new).map_err(told)
    }

    pub(super) fn put(name: &str, secret: &Secret) -> Result<(), KeychainError> {
        Entry::new(SERVICE, name).and_then(|entry| entry.set_password(secret.expose())).map_err(told)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod system {
    use super::{KeychainError, Secret};

    pub(super) fn get(_: &str) -> Result<Secret, KeychainError> {
        Err(KeychainError::Absent("this system has none that is known here".to_owned()))
    }

    pub(super) fn put(name: &str, _: &Secret) -> Result<(), KeychainError> {
        get(name).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_does_not_open_is_not_asked_again_at_once_and_one_that_lacks_an_entry_is() {
        let keychain = SystemKeychain::new();
        let asked = std::cell::Cell::new(0);
        let ask = |answer: KeychainError| {
            keychain.latched(|| {
                asked.set(asked.get() + 1);
                Err::<(), _>(answer)
            })
        };
        assert_eq!(ask(KeychainError::Missing), Err(KeychainError::Missing));
        assert_eq!(ask(KeychainError::Locked), Err(KeychainError::Locked));
        assert_eq!(ask(KeychainError::Missing), Err(KeychainError::Locked), "the first answer stands");
        assert_eq!(asked.get(), 2);
    }
}
