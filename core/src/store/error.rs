//! What can go wrong in the store.

use std::path::PathBuf;

use crate::model::Told;
use crate::model::check::Problem;
use crate::told;

/// The store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("{dir} is in use by another myelin{}: stop that one, or use its address or socket; --data-dir names another folder", owner.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// The process that has it, where it could be told.
        owner: Option<u32>,
    },
    /// A newer Myelin wrote it.
    #[error(
        "{path} was written by a newer myelin (schema {found}, this one knows {known}): update this myelin; nothing was changed"
    )]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// Schema in the file.
        found: u64,
        /// Newest schema that this program knows.
        known: u64,
    },
    /// The master key is not the one that sealed the secrets.
    #[error(
        "the master key does not open the sealed secrets in {path}: give back the key that was used before (settings.master_key, or the file seal.key)"
    )]
    WrongKey {
        /// The store's file.
        path: PathBuf,
    },
    /// A secret was tampered with or belongs to another place.
    #[error("the sealed secret of {what} cannot be opened")]
    Unsealable {
        /// Whose secret.
        what: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database failed.
    #[error("the store failed: {0}")]
    Database(#[source] Box<redb::Error>),
    /// A row does not read.
    #[error("{what} in the store cannot be read: {why}")]
    Corrupt {
        /// Which row.
        what: String,
        /// Why.
        why: String,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => { $(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Database(Box::new(error.into()))
            }
        }
    )* };
}

from_redb!(
    redb::Error,
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);

/// A change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such thing.
    #[error("{}", self.told())]
    NotFound {
        /// `channel`, `key`, `route`, `profile`, `admin token`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// There is one already.
    #[error("{}", self.told())]
    Exists {
        /// `channel`, `key`, `route`, `profile`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The file declares it: it is read-only here.
    #[error("{}", self.told())]
    FileManaged {
        /// `channel`, `key`, `route`, `profile`, `setting`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// It would break something that is in use.
    #[error("{0}")]
    Refused(Told),
    /// The value is wrong.
    #[error("{}", self.told())]
    Invalid {
        /// What is wrong; at least one error.
        problems: Vec<Problem>,
    },
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ChangeError {
    /// The words for people.
    pub fn told(&self) -> Told {
        match self {
            Self::NotFound { what, name } => {
                told!("no-such-thing", "there is no {thing} '{name}'", thing = what, name = name)
            }
            Self::Exists { what, name } if what.starts_with(['a', 'o']) => {
                told!("such-a-thing-an", "there already is an {thing} '{name}'", thing = what, name = name)
            }
            Self::Exists { what, name } => {
                told!("such-a-thing", "there already is a {thing} '{name}'", thing = what, name = name)
            }
            Self::FileManaged { what, name } => told!(
                "file-managed",
                "the {thing} '{name}' is managed by the configuration file: change it there",
                thing = what,
                name = name,
            ),
            Self::Refused(told) => told.clone(),
            Self::Invalid { problems } => {
                let all = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                told!("problems", "{all}", all = all)
            }
            Self::Store(error) => error.told(),
        }
    }
}

impl StoreError {
    /// The words for people.
    pub fn told(&self) -> Told {
        told!("store-failed", "{why}", why = self)
    }
}
