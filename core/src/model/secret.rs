//! The one type for secrets. Its `Debug` and `Serialize` are masked: printing it by accident is harmless.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret in memory. Only [`Secret::expose`] gives it away, so every use can be found by searching for that word.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

const MASK: &str = "***";

impl Secret {
    /// Takes a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. For the moment when it goes into a header, a signature or a seal.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What people may see: the last four characters of a long secret, nothing of a short one.
    pub fn hint(&self) -> String {
        let tail: Vec<char> = self.0.chars().rev().take(4).collect();
        if self.0.chars().count() < 12 {
            MASK.to_owned()
        } else {
            format!("…{}", tail.iter().rev().collect::<String>())
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// Where a secret comes from, as it stands in the file or the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// `env:NAME`: an environment variable, read at start and at reload.
    Env(String),
    /// `file:PATH`: the trimmed content of a file, read at start and at reload.
    File(String),
    /// `keychain:NAME`: the operating system's keychain.
    Keychain(String),
    /// The secret itself.
    Inline(Secret),
}

impl SecretSource {
    /// Reads the notation of the configuration file.
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some(("env", name)) => Self::Env(name.to_owned()),
            Some(("file", path)) => Self::File(path.to_owned()),
            Some(("keychain", name)) => Self::Keychain(name.to_owned()),
            _ => Self::Inline(Secret::new(text)),
        }
    }

    /// The notation, with an inline secret masked.
    pub fn describe(&self) -> String {
        match self {
            Self::Env(name) => format!("env:{name}"),
            Self::File(path) => format!("file:{path}"),
            Self::Keychain(name) => format!("keychain:{name}"),
            Self::Inline(secret) => secret.hint(),
        }
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::parse(&text))
    }
}

impl Serialize for SecretSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_itself() {
        let secret = Secret::new("sk-canary-0123456789");
        assert_eq!(format!("{secret:?}"), MASK);
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret.hint(), "…6789");
        assert_eq!(Secret::new("short").hint(), MASK);
        let source = SecretSource::parse("sk-canary-0123456789");
        assert!(!format!("{source:?}{}", serde_json::to_string(&source).unwrap()).contains("canary"));
    }
}
