//! Tools on this machine: which there are, and how each is pointed at this gateway and back again.
//!
//! Only the values that the table names are changed, the rest of a file stays byte for byte, and what was there can be put back. Nothing here
//! reads the environment, the clock or the store: callers bring variables, times and keys.

mod connect;
pub mod diff;
pub mod disk;
mod drift;
pub mod edit;
pub mod find;
pub mod import;
mod kept;
pub mod machine;
mod pins;
mod restore;
mod run;
mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use connect::{Connected, FileDiff};
pub use drift::{Drift, DriftKind, Override, Source, State, View};
pub use machine::Machine;
pub use pins::Pin;
pub use restore::{How, Restored, RestoredFile};
pub use run::Launch;
pub use table::{Models, Note, Tool, Wanted};

use crate::model::Secret;
use crate::model::Told;
use crate::told;
use disk::{Disk, ThisDisk};
use kept::Shelf;

/// Begins every key that this gateway issues.
pub const KEY_PREFIX: &str = "my-";
/// Folder below the data directory.
const FOLDER: &str = "tools";
/// Where a tool's own key is.
const KEY_FILE: &str = "key";

/// Something could not be done for a tool. Nothing was changed unless it says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// There is no such tool.
    #[error("{}", self.told())]
    Unknown(String),
    /// It is not for this system.
    #[error("{}", self.told())]
    OtherSystem(String),
    /// No file can be changed for it.
    #[error("{}", self.told())]
    NoFile {
        /// Its name.
        name: String,
        /// Its id.
        id: String,
    },
    /// It must be told a model.
    #[error("{}", self.told())]
    NoModel(String),
    /// A file cannot be edited.
    #[error("{}", self.told())]
    Edit {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file was changed by someone else in this moment.
    #[error("{}", self.told())]
    Busy(PathBuf),
    /// The disk refuses.
    #[error("{}", self.told())]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What is remembered cannot be read.
    #[error("{}", self.told())]
    Memory {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The copy of what was there is gone or damaged.
    #[error("{}", self.told())]
    NoBackup {
        /// Which.
        path: PathBuf,
    },
    /// It is not connected.
    #[error("{}", self.told())]
    NotConnected(String),
    /// It cannot be started with variables alone.
    #[error("{}", self.told())]
    NoRun {
        /// Its name.
        name: String,
        /// Its id.
        id: String,
    },
}

impl ToolError {
    /// The words for people.
    pub fn told(&self) -> Told {
        match self {
            Self::Unknown(id) => {
                told!("tool-unknown", "there is no tool '{id}': `myelin tool list` names them", id = id)
            }
            Self::OtherSystem(name) => {
                told!("tool-other-system", "{name} does not run on this system", name = name)
            }
            Self::NoFile { name, id } => told!(
                "tool-no-file",
                "{name} has no file that could be changed: see `myelin tool snippet {id}`",
                name = name,
                id = id,
            ),
            Self::NoModel(name) => {
                told!("tool-no-model", "{name} must be told a model: name one, or add a channel first", name = name,)
            }
            Self::Edit { path, why } => {
                told!("tool-edit", "{path} is left as it is: {why}", path = path.display(), why = why)
            }
            Self::Busy(path) => {
                told!("tool-busy", "{path} was changed by another program just now: try again", path = path.display(),)
            }
            Self::Disk { path, why } => told!("tool-disk", "{path}: {why}", path = path.display(), why = why),
            Self::Memory { path, why } => told!(
                "tool-memory",
                "{path} cannot be read ({why}); the originals are beside it",
                path = path.display(),
                why = why,
            ),
            Self::NoBackup { path } => {
                told!("tool-no-backup", "the copy {path} is gone or damaged", path = path.display())
            }
            Self::NotConnected(name) => told!("tool-not-connected", "{name} is not connected", name = name),
            Self::NoRun { name, id } => told!(
                "tool-no-run",
                "{name} cannot be started with variables alone: connect it with `myelin tool connect {id}`",
                name = name,
                id = id,
            ),
        }
    }
}

/// The tools of one machine. Cheap to clone.
#[derive(Clone)]
pub struct Tools {
    machine: Machine,
    folder: PathBuf,
    disk: Arc<dyn Disk>,
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools").field("machine", &self.machine).field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Tools {
    /// The tools of a machine; what is remembered of them lies below the data directory.
    pub fn new(machine: Machine, data: &Path) -> Self {
        Self { machine, folder: data.join(FOLDER), disk: Arc::new(ThisDisk) }
    }

    /// With another disk.
    #[must_use]
    pub fn with_disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Tools that run on this system.
    pub fn table(&self) -> impl Iterator<Item = &'static Tool> + '_ {
        Tool::all().iter().filter(|tool| tool.runs_on(&self.machine))
    }

    /// The tool's own key, if it has one here.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn key(&self, id: &str) -> Result<Option<Secret>, ToolError> {
        let path = self.folder.join(id).join(KEY_FILE);
        let bytes = disk::read(&path).map_err(|why| ToolError::Disk { path: path.clone(), why: why.to_string() })?;
        let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        Ok(text.filter(|text| !text.is_empty()).map(Secret::new))
    }

    /// Keeps the tool's own key: in a file for the owner alone, as the tool keeps it too. Nothing: it goes.
    ///
    /// # Errors
    /// When the disk refuses, or there is no such tool.
    pub fn keep_key(&self, id: &str, key: Option<&Secret>) -> Result<(), ToolError> {
        let tool = self.find(id)?;
        let shelf = self.shelf(tool);
        let _lock = shelf.lock()?;
        match key {
            Some(key) => shelf.put(KEY_FILE, format!("{}\n", key.expose()).as_bytes()),
            None => {
                // What `myelin run` wrote holds it too.
                let holds = |name: &std::ffi::OsStr| {
                    name.to_str().is_some_and(|name| name == KEY_FILE || name.starts_with("run-"))
                };
                let entries = std::fs::read_dir(&shelf.folder).into_iter().flatten().filter_map(Result::ok);
                for entry in entries.filter(|entry| holds(&entry.file_name())) {
                    self.disk
                        .remove(&entry.path())
                        .map_err(|why| ToolError::Disk { path: entry.path(), why: why.to_string() })?;
                }
                Ok(())
            }
        }
    }

    /// The text for people to paste. Without a key: a place for it.
    ///
    /// # Errors
    /// When there is no such tool.
    pub fn snippet(&self, id: &str, wanted: &Wanted, key: Option<&Secret>) -> Result<String, ToolError> {
        let tool = self.find(id)?;
        let model = wanted.first().unwrap_or("MODEL");
        let text = tool.snippet.replace("{base}", &wanted.base).replace("{model}", model);
        Ok(text.replace(table::KEY, key.map_or("KEY", Secret::expose)))
    }

    /// The tool of that id, if it runs here.
    ///
    /// # Errors
    /// When there is none, or it is not for this system.
    pub fn find(&self, id: &str) -> Result<&'static Tool, ToolError> {
        let tool = Tool::find(id).ok_or_else(|| ToolError::Unknown(id.to_owned()))?;
        if tool.runs_on(&self.machine) { Ok(tool) } else { Err(ToolError::OtherSystem(tool.name.clone())) }
    }

    fn shelf(&self, tool: &Tool) -> Shelf<'_> {
        Shelf { disk: self.disk.as_ref(), folder: self.folder.join(&tool.id) }
    }
}
