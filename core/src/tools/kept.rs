//! What is remembered of a connected tool: what was there before, what we wrote, which values are ours. One small folder a tool, for its owner alone.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::ToolError;
use super::disk::{self, Disk};
use super::edit::{self, Edit, Format};
use super::table::{KEY, Wanted, map_texts};
use crate::model::Secret;

/// Newest originals that are kept of each tool beside those that are needed.
const MOST_BACKUPS: usize = 5;
/// Earlier contents of ours that are still known as ours.
const MOST_EARLIER: usize = 16;
const VERSION: u32 = 1;
const STATE: &str = "state.json";

/// A connected tool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    version: u32,
    /// Milliseconds since 1970.
    pub(super) at: u64,
    pub(super) wanted: Wanted,
    pub(super) files: Vec<KeptFile>,
}

/// A file of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeptFile {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    /// SHA-256 of what was there, and the name of its copy; nothing: no file was there.
    pub(super) original: Option<String>,
    /// SHA-256 of what we wrote.
    pub(super) written: String,
    /// Of what we wrote before, upon the same original.
    #[serde(default)]
    pub(super) earlier: Vec<String>,
    /// The values that are ours, the key not filled in.
    pub(super) ours: Vec<Ours>,
    /// Objects and lists that we made.
    #[serde(default)]
    pub(super) made: Vec<edit::Path>,
    /// Folders that we made, the outermost first.
    #[serde(default)]
    pub(super) folders: Vec<PathBuf>,
}

/// A value that is ours.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ours {
    pub(super) at: edit::Path,
    /// What we set; nothing: we took it out.
    pub(super) to: Option<Value>,
    /// What was there.
    pub(super) before: Option<Value>,
}

/// How what is there now relates to what we remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// As we wrote it.
    Written,
    /// As it was before.
    Original,
    /// Somebody changed it.
    Changed,
}

pub(super) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value with the key filled in.
pub(super) fn filled(value: &Value, key: &Secret) -> Value {
    map_texts(value, &|text| text.replace(KEY, key.expose()))
}

/// Whether a value is what we set, whichever of our keys is in it.
fn is_ours(set: &Value, found: &Value) -> bool {
    match (set, found) {
        (Value::String(set), Value::String(found)) => match set.split_once(KEY) {
            Some((head, tail)) => {
                let middle = found.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
                middle.is_some_and(|key| key.starts_with(crate::tools::KEY_PREFIX))
            }
            None => set == found,
        },
        (Value::Object(set), Value::Object(found)) => {
            set.len() == found.len()
                && set.iter().all(|(key, value)| found.get(key).is_some_and(|other| is_ours(value, other)))
        }
        (Value::Array(set), Value::Array(found)) => {
            set.len() == found.len() && set.iter().zip(found).all(|(set, found)| is_ours(set, found))
        }
        _ => set == found,
    }
}

/// Whether a value is an address of the server that we set, by another path: nobody's own, even if somebody wrote it.
fn is_at(set: &Value, found: &Value) -> bool {
    let origin = |value: &Value| {
        let (scheme, rest) = value.as_str()?.split_once("://")?;
        let host = rest.split(['/', '?', '#']).next()?;
        Some(format!("{scheme}://{host}"))
    };
    origin(set).is_some_and(|own| Some(own) == origin(found))
}

impl Kept {
    pub(super) fn new(at: u64, wanted: Wanted, files: Vec<KeptFile>) -> Self {
        Self { version: VERSION, at, wanted, files }
    }

    pub(super) fn file(&self, path: &Path) -> Option<&KeptFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl KeptFile {
    pub(super) fn standing(&self, now: Option<&[u8]>) -> Standing {
        let Some(now) = now else {
            return if self.original.is_none() { Standing::Original } else { Standing::Changed };
        };
        let now = hash(now);
        if now == self.written || self.earlier.contains(&now) {
            Standing::Written
        } else if self.original.as_ref() == Some(&now) {
            Standing::Original
        } else {
            Standing::Changed
        }
    }

    /// What was written before, for a state that writes something else upon the same original.
    pub(super) fn lineage(&self) -> Vec<String> {
        let mut lineage: Vec<String> = self.earlier.iter().chain([&self.written]).cloned().collect();
        lineage.drain(..lineage.len().saturating_sub(MOST_EARLIER));
        lineage
    }

    /// The content without what is ours: what was there before comes back, what somebody changed since stays and is named.
    pub(super) fn undo(&self, now: &[u8]) -> Result<(Vec<u8>, Vec<String>), edit::EditError> {
        self.without(now, false)
    }

    /// The content as if it had never been connected: also where somebody put a value of their own in place of ours, what was there before comes
    /// back. What they changed elsewhere stays.
    pub(super) fn forget(&self, now: &[u8]) -> Result<Vec<u8>, edit::EditError> {
        Ok(self.without(now, true)?.0)
    }

    /// Whether nothing but values of ours was changed since we wrote it.
    pub(super) fn only_ours_changed(&self, now: &[u8], key: &Secret) -> Result<bool, edit::EditError> {
        let again = self.ours.iter().map(|ours| match &ours.to {
            Some(to) => Edit::Set(ours.at.clone(), filled(to, key)),
            None => Edit::Remove(ours.at.clone()),
        });
        let again = edit::apply(self.format, now, &again.collect::<Vec<_>>())?;
        Ok(self.standing(Some(&again)) == Standing::Written)
    }

    fn without(&self, now: &[u8], whatever_stands: bool) -> Result<(Vec<u8>, Vec<String>), edit::EditError> {
        let value = edit::read(self.format, now)?;
        let mut edits = Vec::new();
        let mut left = Vec::new();
        for ours in &self.ours {
            let found = edit::at(&value, &ours.at);
            let stands = match (&ours.to, found) {
                _ if whatever_stands => true,
                (Some(set), Some(found)) => is_ours(set, found) || is_at(set, found),
                (Some(_), None) => continue,
                (None, found) => found.is_none(),
            };
            match (&ours.before, stands) {
                (Some(before), true) => edits.push(Edit::Set(ours.at.clone(), before.clone())),
                (None, true) => edits.push(Edit::Remove(ours.at.clone())),
                (_, false) => left.push(ours.at.to_string()),
            }
        }
        edits.extend(self.made.iter().cloned().map(Edit::Prune));
        Ok((edit::apply(self.format, now, &edits)?, left))
    }
}

/// What a file of this user's holds; nothing if it is not there.
fn read_own(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = match File::open(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    disk::refuse_foreign(&file.metadata()?)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// The folder where it is kept.
pub(super) struct Shelf<'d> {
    pub(super) disk: &'d dyn Disk,
    pub(super) folder: PathBuf,
}

impl Shelf<'_> {
    fn error(&self, why: &io::Error) -> ToolError {
        ToolError::Disk { path: self.folder.clone(), why: why.to_string() }
    }

    /// Refuses a folder in which another user may write, if this is root.
    fn refuse_foreign(&self) -> Result<(), ToolError> {
        match std::fs::metadata(&self.folder) {
            Ok(about) => disk::refuse_foreign(&about).map_err(|why| self.error(&why)),
            Err(_) => Ok(()),
        }
    }

    /// What is remembered; nothing: it is not connected.
    pub(super) fn load(&self) -> Result<Option<Kept>, ToolError> {
        let path = self.folder.join(STATE);
        self.refuse_foreign()?;
        let Some(bytes) = read_own(&path).map_err(|why| self.error(&why))? else { return Ok(None) };
        let wrong = |why: String| ToolError::Memory { path: path.clone(), why };
        let kept: Kept = serde_json::from_slice(&bytes).map_err(|why| wrong(why.to_string()))?;
        if kept.version > VERSION {
            return Err(wrong("a newer Myelin wrote it".to_owned()));
        }
        Ok(Some(kept))
    }

    pub(super) fn save(&self, kept: &Kept) -> Result<(), ToolError> {
        let bytes = serde_json::to_vec_pretty(kept)
            .map_err(|why| ToolError::Memory { path: self.folder.clone(), why: why.to_string() })?;
        self.put(STATE, &bytes)
    }

    pub(super) fn forget(&self) -> Result<(), ToolError> {
        let gone = self.disk.remove(&self.folder.join(STATE)).and_then(|()| self.disk.sync_folder(&self.folder));
        match gone {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(self.error(&why)),
            _ => Ok(()),
        }
    }

    /// Keeps a copy of what is about to be replaced.
    pub(super) fn back_up(&self, bytes: &[u8]) -> Result<String, ToolError> {
        let name = hash(bytes);
        let held = disk::read(&self.folder.join(&name)).ok().flatten();
        if held.as_deref() != Some(bytes) {
            self.put(&name, bytes)?;
        }
        Ok(name)
    }

    /// The copy of that name, whole.
    pub(super) fn backup(&self, name: &str) -> Result<Vec<u8>, ToolError> {
        let path = self.folder.join(name);
        let bytes = disk::read(&path).map_err(|why| self.error(&why))?;
        bytes.filter(|bytes| hash(bytes) == name).ok_or(ToolError::NoBackup { path })
    }

    /// Old copies that nothing refers to go.
    pub(super) fn tidy(&self, kept: Option<&Kept>) {
        let needed =
            |name: &str| kept.is_some_and(|kept| kept.files.iter().any(|file| file.original.as_deref() == Some(name)));
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let mut old: Vec<_> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.len() == 64 && !needed(name)))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        old.sort_by(|a, b| b.cmp(a));
        for (_, path) in old.into_iter().skip(MOST_BACKUPS) {
            let _ = self.disk.remove(&path);
        }
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), ToolError> {
        let done = disk::make_folders(self.disk, &self.folder)
            .and_then(|_| disk::replace(self.disk, &self.folder.join(name), bytes));
        done.map(drop).map_err(|why| self.error(&why))
    }

    /// One at a time: held until it is dropped.
    pub(super) fn lock(&self) -> Result<File, ToolError> {
        self.refuse_foreign()?;
        let lock = disk::make_folders(self.disk, &self.folder).and_then(|_| {
            let file =
                std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(self.folder.join("lock"))?;
            file.lock()?;
            Ok(file)
        });
        lock.map_err(|why| self.error(&why))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::chown;

    use super::*;
    use crate::tools::disk::ThisDisk;

    fn shelf(dir: &Path) -> Shelf<'static> {
        Shelf { disk: &ThisDisk, folder: dir.join("tools/codex") }
    }

    #[test]
    fn root_trusts_nothing_that_another_user_could_have_written() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = shelf(dir.path());
        shelf.save(&Kept::new(1, Wanted::default(), Vec::new())).unwrap();
        assert!(shelf.load().unwrap().is_some() && shelf.lock().is_ok());
        let state = shelf.folder.join(STATE);
        for theirs in [&shelf.folder, &state] {
            if chown(theirs, Some(54_321), Some(54_321)).is_err() {
                println!("skipped: only the superuser can give files away");
                return;
            }
            let refused = shelf.load().unwrap_err().to_string();
            assert!(refused.contains("54321") && refused.contains("as that user"), "{refused}");
            assert_eq!(shelf.lock().is_err(), *theirs == shelf.folder);
            chown(theirs, Some(0), Some(0)).unwrap();
        }
        assert!(shelf.load().unwrap().is_some());
    }

    #[test]
    fn old_copies_go_and_those_that_are_needed_stay() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = shelf(dir.path());
        let names: Vec<String> = (0..9_u64)
            .map(|age| {
                let name = shelf.back_up(format!("copy {age}").as_bytes()).unwrap();
                let file = File::options().write(true).open(shelf.folder.join(&name)).unwrap();
                let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 - age);
                file.set_modified(long_ago).unwrap();
                name
            })
            .collect();
        fs::write(shelf.folder.join("key"), "my-").unwrap();
        let oldest = KeptFile {
            path: "/a".into(),
            format: Format::Json,
            original: names.last().cloned(),
            written: String::new(),
            earlier: Vec::new(),
            ours: Vec::new(),
            made: Vec::new(),
            folders: Vec::new(),
        };
        shelf.tidy(Some(&Kept::new(1, Wanted::default(), vec![oldest])));
        let left = |name: &String| shelf.folder.join(name).exists();
        let stay: Vec<bool> = names.iter().map(left).collect();
        assert_eq!(
            stay,
            [true, true, true, true, true, false, false, false, true],
            "the newest five, and the one in use"
        );
        assert!(shelf.folder.join("key").exists());
        assert_eq!(shelf.backup(&names[8]).unwrap(), b"copy 8");
        shelf.tidy(None);
        assert!(!left(&names[8]), "nothing needs it any more");
    }
}
