//! Reading secrets from where the file says: variables, files, the system's keychain, or the file itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::keychain::{Keychain, KeychainError};
use crate::model::Told;
use crate::model::{Secret, SecretSource};
use crate::told;

/// Reads secrets. A trait, so that tests and the desktop bring their own.
pub trait SecretReader: Send + Sync {
    /// The secret that a source stands for.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or is empty.
    fn read(&self, source: &SecretSource) -> Result<Secret, SecretError>;
}

/// A secret cannot be had. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable {0} is not set")]
    NoVariable(String),
    /// The file cannot be read.
    #[error("the file {path} cannot be read: {why}")]
    NoFile {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// There is no keychain here.
    #[error("there is no keychain on this machine for keychain:{0}: use env:NAME or file:PATH")]
    NoKeychain(String),
    /// The keychain does not give it.
    #[error("keychain:{name}: {why}")]
    Keychain {
        /// Which.
        name: String,
        /// Why.
        why: KeychainError,
    },
    /// What was read is empty.
    #[error("{0} is empty")]
    Empty(String),
}

impl SecretError {
    /// The same, for who shows it in another language.
    pub fn told(&self) -> Told {
        match self {
            Self::NoVariable(name) => {
                told!("no-variable", "the environment variable {name} is not set", name = name)
            }
            Self::NoFile { path, why } => {
                told!("unreadable-file", "the file {path} cannot be read: {why}", path = path.display(), why = why)
            }
            Self::NoKeychain(name) => told!(
                "no-keychain",
                "there is no keychain on this machine for keychain:{name}: use env:NAME or file:PATH",
                name = name
            ),
            Self::Keychain { name, why } => {
                told!("keychain-refuses", "keychain:{name}: {why}", name = name, why = why)
            }
            Self::Empty(what) => told!("secret-empty", "{what} is empty", what = what),
        }
    }
}

/// Reads a variable; tests bring their own.
type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Reads secrets from this machine.
#[derive(Clone)]
pub struct Secrets {
    base: PathBuf,
    variables: Variables,
    keychain: Option<Arc<dyn Keychain>>,
}

impl Secrets {
    /// `base`: where relative `file:` paths begin (the folder of the configuration file).
    pub fn new(base: &Path) -> Self {
        Self { base: base.to_owned(), variables: Arc::new(variable), keychain: None }
    }

    /// With a keychain.
    #[must_use]
    pub fn with_keychain(mut self, keychain: Arc<dyn Keychain>) -> Self {
        self.keychain = Some(keychain);
        self
    }

    /// With variables other than the process's.
    #[must_use]
    pub fn with_variables(mut self, variables: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.variables = Arc::new(variables);
        self
    }
}

#[expect(clippy::disallowed_methods, reason = "secrets named env:NAME are read here and nowhere else")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl SecretReader for Secrets {
    fn read(&self, source: &SecretSource) -> Result<Secret, SecretError> {
        let text = match source {
            SecretSource::Env(name) => (self.variables)(name).ok_or_else(|| SecretError::NoVariable(name.clone()))?,
            SecretSource::File(path) => {
                let path = self.base.join(path);
                std::fs::read_to_string(&path).map_err(|why| SecretError::NoFile { path, why: why.to_string() })?
            }
            SecretSource::Keychain(name) => {
                let keychain = self.keychain.as_ref().ok_or_else(|| SecretError::NoKeychain(name.clone()))?;
                let why = |why| SecretError::Keychain { name: name.clone(), why };
                return keychain.get(name).map_err(why);
            }
            SecretSource::Inline(secret) => return Ok(secret.clone()),
        };
        let text = text.trim();
        if text.is_empty() { Err(SecretError::Empty(source.describe())) } else { Ok(Secret::new(text)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake;

    impl Keychain for Fake {
        fn get(&self, name: &str) -> Result<Secret, KeychainError> {
            if name == "there" { Ok(Secret::new("from-keychain")) } else { Err(KeychainError::Missing) }
        }

        fn put(&self, _: &str, _: &Secret) -> Result<(), KeychainError> {
            Err(KeychainError::Locked)
        }
    }

    #[test]
    fn each_source_is_read_or_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), "  from-file\n").unwrap();
        std::fs::write(dir.path().join("empty"), "\n").unwrap();
        let bare = Secrets::new(dir.path()).with_variables(|name| (name == "SET").then(|| "from-env".to_owned()));
        let with = bare.clone().with_keychain(Arc::new(Fake));
        let read = |secrets: &Secrets, text: &str| {
            secrets.read(&SecretSource::parse(text)).map(|secret| secret.expose().to_owned()).map_err(|e| e.to_string())
        };
        assert_eq!(read(&bare, "env:SET").unwrap(), "from-env");
        assert_eq!(read(&bare, "file:key").unwrap(), "from-file");
        assert_eq!(read(&bare, "plain").unwrap(), "plain");
        assert_eq!(read(&with, "keychain:there").unwrap(), "from-keychain");
        assert!(read(&bare, "env:UNSET").unwrap_err().contains("UNSET is not set"));
        assert!(read(&bare, "file:gone").unwrap_err().contains("cannot be read"));
        assert!(read(&bare, "file:empty").unwrap_err().contains("is empty"));
        assert!(read(&bare, "keychain:there").unwrap_err().contains("no keychain"));
        assert!(read(&with, "keychain:gone").unwrap_err().contains("keychain:gone: the keychain has no such entry"));
    }
}
