//! The journal in front of the database: two files that take turns.
//!
//! A job is appended to the active file with one `write(2)`: it survives the death of the process from then on. When the active file has grown, the
//! other one, whose jobs are all committed by then, takes over. Must not know what a commit is: the writer says what has been committed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::frame;
use super::job::Job;

/// The two files in the data directory.
const FILES: [&str; 2] = ["journal.a", "journal.b"];
/// The active file hands over when it is larger.
const TURN_BYTES: u64 = 256 << 10;
/// A journal that nobody folds in (the disk fails) does not grow beyond this.
const MOST_BYTES: u64 = 256 << 20;

/// One of the two files.
struct Side {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// The last job here that also went through memory; it is committed when the writer has come so far.
    queued_to: u64,
    /// Some jobs stand here only: they must be read back before the file is emptied.
    only_here: bool,
}

/// The journal.
pub(super) struct Journal {
    active: Side,
    resting: Side,
}

impl Journal {
    /// Opens both files; what they hold is returned in the order in which it was written. Call [`Journal::empty`] once that is committed.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Vec<Job>)> {
        let [a, b] = FILES.map(|name| dir.join(name));
        let mut jobs = Vec::new();
        for path in [&a, &b] {
            match fs::read(path) {
                Ok(bytes) => jobs.extend(frame::read_all(&bytes)),
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(why) => return Err(why),
            }
        }
        jobs.sort_by_key(|(seq, _)| *seq);
        let journal = Self { active: Side::open(a)?, resting: Side::open(b)? };
        Ok((journal, jobs.into_iter().map(|(_, job)| job).collect()))
    }

    /// Empties both files: all that they hold is committed.
    pub(super) fn empty(&mut self) -> io::Result<()> {
        self.active.empty()?;
        self.resting.empty()
    }

    /// Appends one job. `queued` says whether it is also on its way through memory.
    pub(super) fn append(&mut self, seq: u64, job: &Job, queued: bool) -> io::Result<()> {
        let frame = frame::write(seq, job);
        let side = &mut self.active;
        if side.bytes + frame.len() as u64 > MOST_BYTES {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the journal has grown too large"));
        }
        match side.file.write(&frame) {
            Ok(written) if written == frame.len() => {}
            // Half a frame is skipped by every reader, but it is better cut off.
            Ok(_) => {
                let _ = side.file.set_len(side.bytes);
                return Err(io::Error::new(io::ErrorKind::StorageFull, "only a part could be written"));
            }
            Err(why) => return Err(why),
        }
        side.bytes += frame.len() as u64;
        if queued {
            side.queued_to = seq;
        } else {
            side.only_here = true;
        }
        Ok(())
    }

    /// Writing fails, as it does on a full disk; or works again.
    #[cfg(test)]
    pub(super) fn break_for_test(&mut self, broken: bool) {
        for side in [&mut self.active, &mut self.resting] {
            side.file = OpenOptions::new().append(!broken).read(broken).open(&side.path).unwrap();
        }
    }

    /// Bytes in both files.
    pub(super) fn bytes(&self) -> u64 {
        self.active.bytes + self.resting.bytes
    }

    /// Lets the files take turns when the active one is large, or holds what must be read back.
    pub(super) fn turn(&mut self) {
        if self.resting.bytes == 0 && (self.active.bytes >= TURN_BYTES || self.active.only_here) {
            std::mem::swap(&mut self.active, &mut self.resting);
        }
    }

    /// Whether the resting file holds something that stands nowhere else.
    pub(super) fn must_read_back(&self) -> bool {
        self.resting.only_here
    }

    /// What stands only in the resting file, once everything else there is committed up to `committed`. Empty when there is nothing to read back.
    pub(super) fn read_back(&self, committed: u64) -> io::Result<Vec<Job>> {
        if !self.resting.only_here || self.resting.queued_to > committed {
            return Ok(Vec::new());
        }
        let bytes = fs::read(&self.resting.path)?;
        Ok(frame::read_all(&bytes).into_iter().map(|(_, job)| job).collect())
    }

    /// Empties the resting file if everything there is committed. `read_back`: what stood only there is, too.
    pub(super) fn settle(&mut self, committed: u64, read_back: bool) -> io::Result<()> {
        let side = &mut self.resting;
        if side.bytes > 0 && side.queued_to <= committed && (read_back || !side.only_here) {
            side.empty()?;
        }
        Ok(())
    }
}

impl Side {
    fn open(path: PathBuf) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes, queued_to: 0, only_here: false })
    }

    fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.bytes, self.queued_to, self.only_here) = (0, 0, false);
        Ok(())
    }
}
