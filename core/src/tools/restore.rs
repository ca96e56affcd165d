//! Going back: every file as it was, byte for byte; where somebody changed it since, only what is ours goes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::disk;
use super::kept::{KeptFile, Shelf, Standing};
use super::{ToolError, Tools};

/// How a file was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The very bytes that were there before.
    Original,
    /// There was no file before, and there is none again.
    Removed,
    /// Somebody changed it since: only our values went, the rest is as it was found.
    OursOnly,
    /// It is as it was before, or gone: nothing was done.
    Untouched,
}

impl How {
    /// In words for people: they stand after the file.
    pub fn words(self) -> &'static str {
        match self {
            Self::Original => "is byte for byte as it was",
            Self::Removed => "was not there before and is gone",
            Self::OursOnly => "was changed since: only Myelin's values were taken out",
            Self::Untouched => "was as before",
        }
    }
}

/// A file that was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoredFile {
    /// Which.
    pub path: String,
    /// How.
    pub how: How,
    /// Values that were ours and that somebody changed since: they were left.
    pub left: Vec<String>,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ToolRestored)]
pub struct Restored {
    /// The tool.
    pub tool: String,
    /// Its files.
    pub files: Vec<RestoredFile>,
    /// What people should know of how it went.
    pub warnings: Vec<String>,
}

impl Tools {
    /// Takes the tool's files back. What cannot be taken back keeps the tool connected, so that it can be tried again.
    ///
    /// # Errors
    /// When it is not connected, or a file cannot be read or written. Files that were taken back stay so.
    pub fn restore(&self, id: &str) -> Result<Restored, ToolError> {
        let tool = self.find(id)?;
        let shelf = self.shelf(tool);
        let _lock = shelf.lock()?;
        let kept = shelf.load()?.ok_or_else(|| ToolError::NotConnected(tool.name.clone()))?;
        let mut warnings = Vec::new();
        let mut files = Vec::new();
        for file in kept.files.iter().rev() {
            let (done, warning) = self.take_back(&shelf, file)?;
            files.push(done);
            warnings.extend(warning);
        }
        files.reverse();
        shelf.forget()?;
        shelf.tidy(None);
        Ok(Restored { tool: tool.id.clone(), files, warnings })
    }

    fn take_back(&self, shelf: &Shelf<'_>, file: &KeptFile) -> Result<(RestoredFile, Option<String>), ToolError> {
        let path = &file.path;
        let failed = |why: std::io::Error| ToolError::Disk { path: path.clone(), why: why.to_string() };
        let now = disk::read(path).map_err(failed)?;
        let told = |how, left| RestoredFile { path: self.machine.show(path), how, left };
        // Left by a program that was killed.
        disk::sweep(self.disk.as_ref(), path);
        let Some(now) = now else {
            self.leave_folders(file);
            return Ok((told(How::Untouched, Vec::new()), None));
        };
        let (how, bytes, left) = match (file.standing(Some(&now)), &file.original) {
            (Standing::Original, _) => return Ok((told(How::Untouched, Vec::new()), None)),
            (Standing::Written, Some(original)) => (How::Original, Some(shelf.backup(original)?), Vec::new()),
            (Standing::Written, None) => (How::Removed, None, Vec::new()),
            (Standing::Changed, original) => {
                let refuse = |why: super::edit::EditError| ToolError::Edit { path: path.clone(), why: why.to_string() };
                let (bytes, left) = file.undo(&now).map_err(refuse)?;
                let empty = super::edit::read(file.format, &bytes).is_ok_and(|value| match value {
                    serde_json::Value::Object(members) => members.is_empty(),
                    serde_json::Value::Array(entries) => entries.is_empty(),
                    _ => false,
                });
                // A file that is there only because of us, and holds nothing but brackets.
                let ours_alone = original.is_none() && empty && !bytes.iter().any(|byte| b"#/".contains(byte));
                if ours_alone { (How::Removed, None, left) } else { (How::OursOnly, Some(bytes), left) }
            }
        };
        let warning = match bytes {
            Some(bytes) => self.write(path, Some(&now), &bytes)?,
            None => {
                let target = disk::target(path).map_err(failed)?;
                self.disk.remove(&target).map_err(failed)?;
                if let Some(folder) = target.parent() {
                    self.disk.sync_folder(folder).map_err(failed)?;
                }
                self.leave_folders(file);
                None
            }
        };
        let changed = (how == How::OursOnly).then(|| {
            let shown = self.machine.show(path);
            format!("{shown} was changed since it was connected: only Myelin's own values were taken out, the rest is as it was found")
        });
        Ok((told(how, left), changed.or(warning)))
    }

    /// Folders that we made go, unless something is in them by now.
    fn leave_folders(&self, file: &KeptFile) {
        for folder in file.folders.iter().rev() {
            if self.disk.remove_folder(folder).is_err() {
                break;
            }
        }
    }
}
