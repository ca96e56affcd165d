//! The journal in front of the database: two files that take turns.
//!
//! A job is appended to the active file with one `write(2)`: it survives the death of the process from then on. When the active file has grown, the
//! other one, whose jobs are all committed by then, takes over. Must not know what a commit is: the writer says what has been committed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::fold::Folded;
use super::frame::{self, Frame};
use super::job::Job;
use crate::store::private;

/// The two files in the data directory.
const FILES: [&str; 2] = ["journal.a", "journal.b"];
/// The active file hands over when it is larger.
const TURN_BYTES: u64 = 256 << 10;
/// A journal that nobody folds in (the disk fails) does not grow beyond this.
const MOST_BYTES: u64 = 256 << 20;

/// What is written to see whether the journal takes something again.
const PROBE_BYTES: usize = 4 << 10;

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
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Vec<Frame>)> {
        let [a, b] = FILES.map(|name| dir.join(name));
        let mut frames = Vec::new();
        for path in [&a, &b] {
            match fs::read(path) {
                Ok(bytes) => frames.extend(frame::read_all(&bytes)),
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(why) => return Err(why),
            }
        }
        frames.sort_by_key(|frame| (!frame.uncounted, frame.seq));
        Ok((Self { active: Side::open(a)?, resting: Side::open(b)? }, frames))
    }

    /// Empties both files: all that they hold is committed.
    pub(super) fn empty(&mut self) -> io::Result<()> {
        self.active.empty()?;
        self.resting.empty()
    }

    /// Appends one job. `queued` says whether it is also on its way through memory.
    pub(super) fn append(&mut self, seq: u64, job: &Job, queued: bool) -> io::Result<()> {
        let frame = frame::write(seq, job, !queued);
        let side = &mut self.active;
        side.write(&frame)?;
        side.bytes += frame.len() as u64;
        if queued {
            side.queued_to = seq;
        } else {
            side.only_here = true;
        }
        Ok(())
    }

    /// Whether the active file takes something, seen by writing to it; nothing of that stays.
    pub(super) fn probe(&mut self) -> io::Result<()> {
        let side = &mut self.active;
        side.write(&frame::blank(PROBE_BYTES))?;
        side.file.set_len(side.bytes)
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

    /// Whether neither file holds something that stands nowhere else.
    pub(super) fn is_copied(&self) -> bool {
        !self.active.only_here && !self.resting.only_here
    }

    /// What stands only in the resting file, once everything else there is committed. `None`: there is nothing to read back now.
    pub(super) fn read_back(&self, folded: Folded) -> io::Result<Option<Vec<Frame>>> {
        if !self.resting.only_here || self.resting.queued_to > folded.committed {
            return Ok(None);
        }
        let mut frames = frame::read_all(&fs::read(&self.resting.path)?);
        // The others are in the database by now, and may have been written anew there.
        frames.retain(|frame| frame.only_here && !folded.has(frame));
        Ok(Some(frames))
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
        let file = private::open(&path, OpenOptions::new().append(true))?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes, queued_to: 0, only_here: false })
    }

    /// Writes a whole frame, or nothing that counts.
    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let full = |why| Err(io::Error::new(io::ErrorKind::StorageFull, why));
        if self.bytes + frame.len() as u64 > MOST_BYTES {
            return full("the journal has grown too large");
        }
        if self.file.write(frame)? == frame.len() {
            return Ok(());
        }
        // Half a frame is skipped by every reader, but it is better cut off.
        let _ = self.file.set_len(self.bytes);
        full("only a part could be written")
    }

    fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.bytes, self.queued_to, self.only_here) = (0, 0, false);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(key: u128) -> Job {
        Job::Record { key, bytes: vec![1, 2, 3] }
    }

    #[test]
    fn only_what_stands_nowhere_else_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(dir.path()).unwrap();
        for seq in 1..=6_u64 {
            journal.append(seq, &job(seq.into()), seq % 3 != 0).unwrap();
        }
        assert!(!journal.is_copied());
        journal.turn();
        let read_back =
            |folded| journal.read_back(folded).unwrap().map(|frames| frames.iter().map(|one| one.seq).collect());
        let upto = |committed, read_back| Folded { committed, read_back };
        assert_eq!(read_back(upto(4, 0)), None, "some of it is still on its way");
        assert_eq!(read_back(upto(5, 0)), Some(vec![3, 6]));
        assert_eq!(read_back(upto(9, 3)), Some(vec![6]), "what was read back before is not read again");
        assert_eq!(read_back(upto(9, 6)), Some(Vec::new()));
        journal.settle(9, true).unwrap();
        assert!(journal.is_copied() && journal.bytes() == 0);
    }

    #[test]
    fn a_probe_leaves_nothing_behind_and_tells_whether_writing_works() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(dir.path()).unwrap();
        journal.append(1, &job(1), true).unwrap();
        journal.probe().unwrap();
        journal.append(2, &job(2), true).unwrap();
        journal.break_for_test(true);
        assert!(journal.probe().is_err());
        let size: u64 = FILES.iter().map(|name| fs::metadata(dir.path().join(name)).unwrap().len()).sum();
        assert_eq!(size, journal.bytes());
        let (_, frames) = Journal::open(dir.path()).unwrap();
        assert_eq!(frames.iter().map(|frame| frame.seq).collect::<Vec<_>>(), [1, 2]);
    }
}
