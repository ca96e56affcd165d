//! Reading and replacing files so that a crash at any moment leaves a whole file: the old one or the new one.
//!
//! Every change of the disk is one call of [`Disk`], so that tests can stop the program between any two of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Ends the name of the file that is written beside the target before it takes its place.
const BESIDE: &str = ".myelin-new";
/// Symbolic links followed before we give up.
const MOST_LINKS: usize = 40;

/// The calls that change a disk.
pub trait Disk: Send + Sync {
    /// Makes a file that is not there, for its owner alone.
    ///
    /// # Errors
    /// As the system says.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Writes all of it.
    ///
    /// # Errors
    /// As the system says.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    /// Waits until the file is on the disk.
    ///
    /// # Errors
    /// As the system says.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Gives an open file the mode and the owner of another: by its name, somebody else might have put a link there by now.
    ///
    /// # Errors
    /// As the system says.
    fn alike(&self, file: &File, like: &fs::Metadata) -> io::Result<()>;
    /// Puts a file in the place of another, at once.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Waits until what is in a folder is on the disk.
    ///
    /// # Errors
    /// As the system says.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder, for its owner alone.
    ///
    /// # Errors
    /// As the system says.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    ///
    /// # Errors
    /// As the system says.
    fn remove_folder(&self, folder: &Path) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThisDisk;

impl Disk for ThisDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn alike(&self, file: &File, like: &fs::Metadata) -> io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
                std::os::unix::fs::fchown(file, Some(like.uid()), Some(like.gid()))?;
            }
        }
        file.set_permissions(like.permissions())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        fs::remove_dir(folder)
    }
}

/// What a file holds; nothing if it is not there.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// Refuses what another user than root owns, if this is root: whoever may write what is remembered of files says which of them are changed.
///
/// # Errors
/// When it is another's.
#[cfg(unix)]
pub fn refuse_foreign(about: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    if rustix::process::geteuid().is_root() && about.uid() != 0 {
        let why = format!("it belongs to user {}, and this is root: do it as that user", about.uid());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(())
}

/// Owners are not told apart on this system.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn refuse_foreign(_: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// The file that a path leads to in the end, whether it is there or not.
///
/// # Errors
/// When links lead in a circle.
pub fn target(path: &Path) -> io::Result<PathBuf> {
    let mut here = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&here) {
            Ok(next) => here = here.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(here),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "symbolic links lead in a circle"))
}

/// Makes a folder and what is above it. Gives the folders that were made, the outermost first.
///
/// # Errors
/// As the system says.
pub fn make_folders(disk: &dyn Disk, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    missing.reverse();
    for folder in &missing {
        disk.make_folder(folder)?;
        if let Some(above) = folder.parent() {
            disk.sync_folder(above)?;
        }
    }
    Ok(missing.into_iter().map(Path::to_owned).collect())
}

/// How a file was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// At once: at every moment the old file or the new one was there.
    AtOnce,
    /// By writing into it, because the system refuses to put another in its place.
    InPlace,
}

/// Puts a file in place of what is at `path`, through symbolic links, with the mode and owner that were there. Its folder must be there.
///
/// # Errors
/// As the system says. Then the old file is there unchanged, or, where it could only be written into, as much as the system has written.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<Replaced> {
    let path = target(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let before = fs::metadata(&path).ok();
    if before.as_ref().is_some_and(fs::Metadata::is_dir) {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "a folder is there"));
    }
    match at_once(disk, &path, folder, bytes, before.as_ref()) {
        Ok(()) => Ok(Replaced::AtOnce),
        // A file that is mounted by itself, or a folder that is not ours with a file in it that is.
        Err(why) if before.is_some() && in_the_way(&why) => {
            let mut file = OpenOptions::new().write(true).truncate(true).open(&path)?;
            disk.write(&mut file, bytes)?;
            disk.sync(&file)?;
            Ok(Replaced::InPlace)
        }
        Err(why) => Err(why),
    }
}

fn in_the_way(why: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(why.kind(), PermissionDenied | ResourceBusy | CrossesDevices | ReadOnlyFilesystem)
}

/// Removes what a program that was killed left beside a file.
pub fn sweep(disk: &dyn Disk, path: &Path) {
    let beside = target(path).map(|path| beside(&path));
    if let Some(beside) = beside.ok().filter(|beside| beside.symlink_metadata().is_ok()) {
        let _ = disk.remove(&beside);
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(BESIDE);
    path.with_file_name(name)
}

fn at_once(disk: &dyn Disk, path: &Path, folder: &Path, bytes: &[u8], like: Option<&fs::Metadata>) -> io::Result<()> {
    let beside = beside(path);
    // Left by a program that was killed.
    if beside.symlink_metadata().is_ok() {
        disk.remove(&beside)?;
    }
    let written = (|| {
        let mut file = disk.create(&beside)?;
        disk.write(&mut file, bytes)?;
        if let Some(like) = like {
            disk.alike(&file, like)?;
        }
        disk.sync(&file)?;
        drop(file);
        disk.rename(&beside, path)
    })();
    if written.is_err() && beside.symlink_metadata().is_ok() {
        let _ = disk.remove(&beside);
    }
    written?;
    disk.sync_folder(folder)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

    use super::*;

    /// A disk on which somebody puts a link in the place of the new file as soon as it is written.
    struct Swapped(PathBuf);

    impl Disk for Swapped {
        fn create(&self, path: &Path) -> io::Result<File> {
            ThisDisk.create(path)
        }
        fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
            ThisDisk.write(file, bytes)?;
            let beside = self.0.with_file_name(".config.toml.myelin-new");
            fs::remove_file(&beside)?;
            symlink(self.0.with_file_name("shadow"), beside)
        }
        fn sync(&self, file: &File) -> io::Result<()> {
            ThisDisk.sync(file)
        }
        fn alike(&self, file: &File, like: &fs::Metadata) -> io::Result<()> {
            ThisDisk.alike(file, like)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            ThisDisk.rename(from, to)
        }
        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            ThisDisk.sync_folder(folder)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            ThisDisk.remove(path)
        }
        fn make_folder(&self, folder: &Path) -> io::Result<()> {
            ThisDisk.make_folder(folder)
        }
        fn remove_folder(&self, folder: &Path) -> io::Result<()> {
            ThisDisk.remove_folder(folder)
        }
    }

    #[test]
    fn mode_and_owner_are_given_to_the_new_file_and_to_no_link_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (file, shadow) = (dir.path().join("config.toml"), dir.path().join("shadow"));
        for (path, mode) in [(&file, 0o644), (&shadow, 0o600)] {
            fs::write(path, "as it was").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        // Only the superuser has files of others to replace; the mode shows it for all.
        let _ = chown(&file, Some(60_001), Some(60_001));
        let before = fs::metadata(&shadow).unwrap();
        let _ = replace(&Swapped(file.clone()), &file, b"new");
        let after = fs::metadata(&shadow).unwrap();
        let about = |found: &fs::Metadata| (found.mode() & 0o777, found.uid(), found.gid());
        assert_eq!(about(&after), about(&before));
        assert_eq!(fs::read(&shadow).unwrap(), b"as it was");
        // Undisturbed, the new file is as the old one was.
        fs::remove_file(&file).unwrap();
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let _ = chown(&file, Some(60_001), Some(60_002));
        let old = fs::metadata(&file).unwrap();
        replace(&ThisDisk, &file, b"new").unwrap();
        assert_eq!(about(&fs::metadata(&file).unwrap()), about(&old));
    }
}
