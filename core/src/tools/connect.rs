//! Connecting: what would be changed, and changing it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::disk::{self, Replaced};
use super::edit::{self, Edit};
use super::kept::{Kept, KeptFile, Ours, Shelf, Standing, filled};
use super::table::{Models, Tool, ToolFile, Wanted};
use super::{ToolError, Tools, diff};
use crate::model::Secret;

/// A file that is, or would be, changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileDiff {
    /// Which.
    pub path: String,
    /// It is not there yet.
    pub new: bool,
    /// The change, in lines with `+` and `-`; empty: nothing changes. Secrets are masked.
    pub diff: String,
}

/// What connecting did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Connected {
    /// The tool.
    pub tool: String,
    /// Whether anything changes.
    pub changed: bool,
    /// Its files.
    pub files: Vec<FileDiff>,
    /// What people should know of how it went.
    pub warnings: Vec<String>,
    /// When the tool sees it.
    pub effect: String,
}

/// A file that is to be written.
struct Planned {
    kept: KeptFile,
    /// What is there now.
    now: Option<Vec<u8>>,
    /// What is there without us.
    base: Option<Vec<u8>>,
    new: Vec<u8>,
}

impl Tools {
    /// What connecting would change. Touches nothing. Without a key a stand-in is shown.
    ///
    /// # Errors
    /// When it cannot be connected.
    pub fn preview(&self, id: &str, wanted: &Wanted, key: Option<&Secret>) -> Result<Connected, ToolError> {
        let tool = self.find(id)?;
        let kept = self.shelf(tool).load()?;
        let stand_in = Secret::new("{a key of its own}");
        let planned = self.plan(tool, wanted, key.unwrap_or(&stand_in), kept.as_ref())?;
        Ok(self.told(tool, &planned, Vec::new()))
    }

    /// Connects: the tool's files point at us with the tool's own key. A second time changes nothing; after a change by others it repairs.
    ///
    /// # Errors
    /// When it cannot be connected. A file that cannot be read is never touched; of several files all or those before the failing one are written,
    /// and a restore takes back either.
    pub fn connect(&self, id: &str, wanted: &Wanted, key: &Secret, at: u64) -> Result<Connected, ToolError> {
        let tool = self.find(id)?;
        let shelf = self.shelf(tool);
        let _lock = shelf.lock()?;
        let before = shelf.load()?;
        let mut planned = self.plan(tool, wanted, key, before.as_ref())?;
        for file in &mut planned {
            if let Some(base) = &file.base {
                file.kept.original = Some(shelf.back_up(base)?);
            }
        }
        let mut files: Vec<KeptFile> = planned.iter().map(|file| file.kept.clone()).collect();
        // A file that a variable named then and not now stays ours until it is restored.
        let others = before.iter().flat_map(|before| &before.files);
        files.extend(others.filter(|old| !planned.iter().any(|new| new.kept.path == old.path)).cloned());
        // From here on a restore knows what to do, whichever of the files is written when we stop.
        shelf.save(&Kept::new(at, wanted.clone(), files))?;
        let mut warnings = Vec::new();
        for file in &planned {
            warnings.extend(self.write(&file.kept.path, file.now.as_deref(), &file.new)?);
        }
        shelf.tidy(shelf.load()?.as_ref());
        Ok(self.told(tool, &planned, warnings))
    }

    /// Writes a file if it is not so yet, and is what we think it is.
    pub(super) fn write(&self, path: &Path, now: Option<&[u8]>, new: &[u8]) -> Result<Option<String>, ToolError> {
        if now == Some(new) {
            return Ok(None);
        }
        let failed = |why: std::io::Error| ToolError::Disk { path: path.to_owned(), why: why.to_string() };
        let target = disk::target(path).map_err(failed)?;
        disk::make_folders(self.disk.as_ref(), target.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        if disk::read(path).map_err(failed)?.as_deref() != now {
            return Err(ToolError::Busy(path.to_owned()));
        }
        let replaced = disk::replace(self.disk.as_ref(), path, new).map_err(failed)?;
        let shown = self.machine.show(path);
        Ok((replaced == Replaced::InPlace)
            .then(|| format!("{shown} had to be written in place: the system lets no other file take its place")))
    }

    fn plan(&self, tool: &Tool, wanted: &Wanted, key: &Secret, kept: Option<&Kept>) -> Result<Vec<Planned>, ToolError> {
        if tool.files.is_empty() {
            return Err(ToolError::NoFile { name: tool.name.clone(), id: tool.id.clone() });
        }
        if tool.models != Models::Own && wanted.first().is_none() {
            return Err(ToolError::NoModel(tool.name.clone()));
        }
        let here = tool.files.iter().filter_map(|file| Some((file, self.machine.place(&file.at)?)));
        let shelf = self.shelf(tool);
        here.map(|(file, path)| Self::plan_file(&shelf, file, path, wanted, key, kept)).collect()
    }

    fn plan_file(
        shelf: &Shelf<'_>,
        file: &ToolFile,
        path: PathBuf,
        wanted: &Wanted,
        key: &Secret,
        kept: Option<&Kept>,
    ) -> Result<Planned, ToolError> {
        let refuse = |why: edit::EditError| ToolError::Edit { path: path.clone(), why: why.to_string() };
        let now = disk::read(&path).map_err(|why| ToolError::Disk { path: path.clone(), why: why.to_string() })?;
        let old = kept.and_then(|kept| kept.file(&path));
        let edits = file.edits(wanted);
        let (base, lineage) = Self::without_us(shelf, file, &path, old, now.as_deref(), (wanted, key), &edits)?;
        let meaning = edit::read(file.format, base.as_deref().unwrap_or_default()).map_err(refuse)?;
        let mut ours = Vec::new();
        let mut made = Vec::new();
        let mut filled_in = Vec::with_capacity(edits.len());
        for edit in edits {
            let (at, to) = match edit {
                Edit::Set(at, to) => (at, Some(to)),
                Edit::Remove(at) | Edit::Prune(at) => (at, None),
            };
            let before = edit::at(&meaning, &at).cloned();
            if to.is_none() && before.is_none() {
                continue;
            }
            if to.is_some() {
                made.extend(at.containers().filter(|container| edit::at(&meaning, container).is_none()));
            }
            filled_in.push(match &to {
                Some(to) => Edit::Set(at.clone(), filled(to, key)),
                None => Edit::Remove(at.clone()),
            });
            ours.push(Ours { at, to, before });
        }
        // The innermost first, each once: so they are taken out again.
        made.sort_by_key(|path: &edit::Path| std::cmp::Reverse(path.0.len()));
        let mut seen = std::collections::HashSet::new();
        made.retain(|path| seen.insert(path.clone()));
        let new = edit::apply(file.format, base.as_deref().unwrap_or_default(), &filled_in).map_err(refuse)?;
        let folders = match old {
            Some(old) => old.folders.clone(),
            None => missing_folders(&path),
        };
        let kept = KeptFile {
            format: file.format,
            original: None,
            written: super::kept::hash(&new),
            earlier: lineage,
            ours,
            made,
            folders,
            path,
        };
        Ok(Planned { kept, now, base, new })
    }

    /// What a file holds without us; nothing: it would not be there. And what we wrote upon it before.
    fn without_us(
        shelf: &Shelf<'_>,
        file: &ToolFile,
        path: &Path,
        old: Option<&KeptFile>,
        now: Option<&[u8]>,
        (wanted, key): (&Wanted, &Secret),
        edits: &[Edit],
    ) -> Result<(Option<Vec<u8>>, Vec<String>), ToolError> {
        let refuse = |why: edit::EditError| ToolError::Edit { path: path.to_owned(), why: why.to_string() };
        let Some(now) = now else { return Ok((None, Vec::new())) };
        let Some(old) = old else {
            // Ours without a memory of it, as after a lost data directory: our own address is nobody's original.
            let meaning = edit::read(file.format, now).map_err(refuse)?;
            let orphan = |edit: &&Edit| matches!(edit, Edit::Set(at, to) if names(to, &wanted.base) && edit::at(&meaning, at).is_some_and(|found| names(found, &wanted.base)));
            if !edits.iter().any(|edit| orphan(&edit)) {
                return Ok((Some(now.to_owned()), Vec::new()));
            }
            let gone = edits.iter().filter_map(|edit| match edit {
                Edit::Set(at, _) => Some(Edit::Remove(at.clone())),
                _ => None,
            });
            let emptied = edits.iter().filter_map(|edit| match edit {
                Edit::Set(at, _) => Some(at.containers().map(Edit::Prune).collect::<Vec<_>>()),
                _ => None,
            });
            let edits: Vec<Edit> = gone.chain(emptied.flatten()).collect();
            return Ok((Some(edit::apply(file.format, now, &edits).map_err(refuse)?), Vec::new()));
        };
        match old.standing(Some(now)) {
            Standing::Original => Ok((Some(now.to_owned()), old.lineage())),
            Standing::Changed if !old.only_ours_changed(now, key).map_err(refuse)? => {
                Ok((Some(old.forget(now).map_err(refuse)?), Vec::new()))
            }
            // A value that somebody put in place of ours is not what was there first.
            Standing::Written | Standing::Changed => {
                let original = old.original.as_ref().map(|name| shelf.backup(name)).transpose()?;
                Ok((original, old.lineage()))
            }
        }
    }

    fn told(&self, tool: &Tool, planned: &[Planned], warnings: Vec<String>) -> Connected {
        let file = |file: &Planned| {
            let path = self.machine.show(&file.kept.path);
            let diff = diff::unified(&path, file.now.as_deref().unwrap_or_default(), &file.new);
            FileDiff { new: file.now.is_none(), diff, path }
        };
        Connected {
            tool: tool.id.clone(),
            changed: planned.iter().any(|file| file.now.as_deref() != Some(&file.new)),
            files: planned.iter().map(file).collect(),
            warnings,
            effect: tool.effect.clone(),
        }
    }
}

/// Folders above a file that are not there, the outermost first.
fn missing_folders(path: &Path) -> Vec<PathBuf> {
    let target = disk::target(path).unwrap_or_else(|_| path.to_owned());
    let above = target.parent().map(Path::ancestors).into_iter().flatten();
    let mut missing: Vec<PathBuf> = above.take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
    missing.reverse();
    missing
}

/// Whether an address of ours is in a value.
pub(super) fn names(value: &Value, base: &str) -> bool {
    match value {
        Value::String(text) => text.contains(base),
        Value::Array(entries) => entries.iter().any(|entry| names(entry, base)),
        Value::Object(members) => members.values().any(|member| names(member, base)),
        _ => false,
    }
}
