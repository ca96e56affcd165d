//! The configuration file `myelin.toml`, the environment over it, flags over both.
//!
//! Gives a [`Declared`](crate::model::Declared) and says what is wrong with line and key. The only part that reads the environment and the system's keychain. Must not know the store.

mod environment;
mod fields;
mod file;
mod keychain;
mod lines;
mod load;
mod paths;
mod reference;
mod secrets;
#[cfg(test)]
mod tests;
mod watch;

pub use environment::variables;
pub use fields::{FIELDS, Field, Shape};
pub use keychain::{Keychain, KeychainError, SystemKeychain};
pub use load::{ConfigError, Flags, Loaded, Loader};
pub use paths::{FILE_NAME, Paths, PathsError};
pub use reference::reference;
pub use secrets::{SecretError, SecretReader, Secrets};
pub use watch::{WatchError, Watcher};
