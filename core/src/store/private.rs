//! Opening files of the data directory: for their owner alone, and through no link where the directory is another user's.
//!
//! Must not know what is in them. The superuser works on the store of a stopped service: a link that the service's user has laid there would lead
//! him to any file of the machine.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Opens a file, or makes it for its owner alone; what is in it stays.
pub(super) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
        if is_foreign(path.parent().unwrap_or(Path::new("."))) {
            options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        }
    }
    options.open(path)
}

/// Makes a file for its owner alone, in place of whatever has the name: also of what another user left that may be removed, but not written.
pub(super) fn make(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// As [`make`], with this in it.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    make(path)?.write_all(bytes)
}

/// Whether a folder belongs to another user than the one that this process works for.
#[cfg(unix)]
fn is_foreign(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    // A folder that cannot be looked at is nobody's to trust.
    std::fs::metadata(folder).map_or(true, |found| found.uid() != rustix::process::geteuid().as_raw())
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    #[test]
    fn links_are_followed_in_ones_own_folder_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (own, foreign, target) = (dir.path().join("own"), dir.path().join("foreign"), dir.path().join("elsewhere"));
        for folder in [&own, &foreign] {
            fs::create_dir(folder).unwrap();
            symlink(&target, folder.join("file")).unwrap();
        }
        open(&own.join("file"), OpenOptions::new().append(true)).unwrap().write_all(b"mine").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"mine", "who moved the file to another disk finds it there");
        if chown(&foreign, Some(54_321), Some(54_321)).is_err() {
            println!("skipped: only the superuser can give folders away");
            return;
        }
        assert!(open(&foreign.join("file"), OpenOptions::new().append(true)).is_err());
        assert!(open(&foreign.join("fresh"), OpenOptions::new().append(true)).is_ok());
        write(&foreign.join("file"), b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"mine", "nothing was written through the link");
        assert_eq!(fs::read(foreign.join("file")).unwrap(), b"new");
    }
}
