//! What the system's own tools say of packages once they lie in a file system: `rpm`, systemd's, the desktop's. Must not know how packages are made.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process;

/// Debian packages with these tools.
pub(crate) const TOOLS: [&str; 3] = ["rpm", "desktop-file-utils", "systemd"];
/// Programs of those packages.
pub(crate) const PROGRAMS: [&str; 3] = ["rpm", "desktop-file-validate", "systemd-analyze"];
/// The most that the machine's service may be exposed, in tenths of systemd's points (0 is best).
const EXPOSURE: &str = "15";
/// Where the service keeps its data.
pub(crate) const STATE: &str = "/var/lib/myelin";

/// Whether packages may be installed here.
pub(crate) fn is_superuser() -> bool {
    process::command("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

/// Installs the app's `.rpm` into a root of its own, compares what lies there with what it says, and takes it away again.
pub(crate) fn rpm(package: &Path, scratch: &Path) -> Result<()> {
    if !is_superuser() {
        eprintln!("rpm: skipped, only the superuser installs into another root");
        return Ok(());
    }
    let root = scratch.join("rpm-root");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
    }
    fs::create_dir_all(&root)?;
    let rpm = |arguments: &[&str]| {
        let mut rpm = process::command("rpm");
        rpm.arg("--root").arg(&root).args(["--dbpath", "/var/lib/rpm"]).args(arguments);
        process::run_quietly(&mut rpm)
    };
    let file = package.to_str().context("a path that is no text")?;
    rpm(&["--initdb"])?;
    // What it needs is named by the libraries' own names; this root holds none of them.
    rpm(&["--install", "--nodeps", file])?;
    rpm(&["--verify", "--nodeps", "myelin-desktop"])?;
    let listed =
        rpm(&["--query", "--queryformat", "[%{FILEMODES:perms} %{FILEUSERNAME} %{FILENAMES}\n]", "myelin-desktop"])?;
    for wanted in [
        "-rwxr-xr-x root /usr/bin/myelin-desktop",
        "-rw-r--r-- root /usr/share/applications/myelin-desktop.desktop",
        "-rw-r--r-- root /usr/share/icons/hicolor/128x128/apps/myelin-desktop.png",
        "-rw-r--r-- root /usr/share/doc/myelin-desktop/LICENSE",
    ] {
        ensure!(listed.lines().any(|line| line == wanted), "the rpm holds no `{wanted}`:\n{listed}");
    }
    if let Some(strange) = listed.lines().find(|line| line.split(' ').nth(1) != Some("root")) {
        bail!("a file of the rpm belongs to somebody: {strange}");
    }
    desktop_entry(&root.join("usr/share/applications/myelin-desktop.desktop"))?;
    rpm(&["--erase", "myelin-desktop"])?;
    let left: Vec<_> = files(&root.join("usr"))?.into_iter().collect();
    ensure!(left.is_empty(), "the rpm leaves {left:?} behind");
    fs::remove_dir_all(&root).with_context(|| root.display().to_string())
}

/// The entry of the menu is as the desktop's own rules want it, without so much as a hint.
pub(crate) fn desktop_entry(file: &Path) -> Result<()> {
    let said = process::run_quietly(process::command("desktop-file-validate").arg(file))?;
    ensure!(said.trim().is_empty(), "{}: {said}", file.display());
    Ok(())
}

/// The units of the installed server: systemd reads them without a complaint, and the machine's shuts out what it promises to.
pub(crate) fn units() -> Result<()> {
    let (machine, user) = ("/lib/systemd/system/myelin.service", "/usr/lib/systemd/user/myelin.service");
    let scratch = process::root().join("target").join("systemd");
    fs::create_dir_all(&scratch)?;
    for (arguments, unit) in [(&["verify"][..], machine), (&["--user", "verify"], user)] {
        let mut verify = process::command("systemd-analyze");
        // The user's manager wants a place for what runs.
        verify.args(arguments).arg(unit).env("XDG_RUNTIME_DIR", &scratch);
        let output = verify.output().context("cannot start systemd-analyze")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // It speaks of units beside it as well, which are none of ours.
        let ours = said.lines().any(|line| line.contains("myelin"));
        ensure!(output.status.success() && !ours, "{unit}: {}\n{said}", output.status);
    }
    let mut exposed = process::command("systemd-analyze");
    exposed.args(["security", "--offline=yes", "--no-pager", "--threshold", EXPOSURE, machine]);
    process::run_quietly(&mut exposed).map(drop)
}

/// A server that was packed, as somebody runs it who has no gateway yet.
pub(crate) struct Service {
    process: Child,
    program: PathBuf,
    home: PathBuf,
    /// Where it says that it has its data.
    data: PathBuf,
}

impl Service {
    /// The service of the machine as its unit starts it, but for systemd. The superuser's commands find it by themselves.
    pub(crate) fn start(scratch: &Path) -> Result<Self> {
        let words = ["--config", "/etc/myelin/myelin.toml", "--data-dir", STATE];
        Self::spawn(Path::new("/usr/bin/myelin"), &scratch.join("home"), &words, Path::new(STATE))
    }

    /// A program that lies elsewhere, with data of its own.
    pub(crate) fn of(program: &Path, home: &Path) -> Result<Self> {
        Self::spawn(program, home, &[], &home.join(".local/share/myelin"))
    }

    fn spawn(program: &Path, home: &Path, words: &[&str], data: &Path) -> Result<Self> {
        // What an earlier run left there would be found in place of what is tried.
        if home.exists() {
            fs::remove_dir_all(home).with_context(|| home.display().to_string())?;
        }
        fs::create_dir_all(home)?;
        let mut serve = Self::of_nobody(program, home);
        serve.arg("serve").args(words).args(["--listen", "127.0.0.1:0"]);
        serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = serve.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { process, program: program.to_owned(), home: home.to_owned(), data: data.to_owned() })
    }

    /// The program for somebody who has named no place.
    fn of_nobody(program: &Path, home: &Path) -> std::process::Command {
        let mut command = process::command(program);
        command.env("HOME", home);
        for name in ["XDG_DATA_HOME", "XDG_CONFIG_HOME", "MYELIN_DATA_DIR", "MYELIN_CONFIG"] {
            command.env_remove(name);
        }
        command
    }

    fn command(&self, words: &[&str]) -> Result<String> {
        process::run_quietly(Self::of_nobody(&self.program, &self.home).args(words))
    }

    /// Whether commands find it while it runs and its data while it does not.
    pub(crate) fn check(mut self) -> Result<()> {
        let found = (0..600).find_map(|_| {
            std::thread::sleep(Duration::from_millis(100));
            self.command(&["status"]).ok()
        });
        let made = self.command(&["key", "create", "while-it-runs"]);
        let pid = self.process.id().to_string();
        let stopped = process::run_quietly(process::command("kill").args(["-TERM", &pid]));
        let ended = self.process.wait()?;
        let status = found.context("`myelin status` does not find what was started")?;
        let data = self.data.to_string_lossy().into_owned();
        ensure!(status.contains(&data), "that is another gateway: {status}");
        made?;
        stopped?;
        ensure!(ended.success(), "the service ended with {ended}");
        let keys = self.command(&["key", "list"])?;
        ensure!(keys.contains("while-it-runs"), "the stopped service's store was not found:\n{keys}");
        Ok(())
    }
}

/// What a purge takes away.
pub(crate) const PURGED: [&str; 4] =
    ["/etc/myelin", STATE, "/var/lib/private/myelin", "/lib/systemd/system/myelin.service"];

/// What a purge leaves of the server: nothing.
pub(crate) fn purged() -> Result<()> {
    let left: Vec<_> = PURGED.into_iter().filter(|path| Path::new(path).exists()).collect();
    ensure!(left.is_empty(), "a purge leaves {left:?} behind");
    Ok(())
}

/// Every file below a folder.
fn files(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let entry = entry.with_context(|| folder.display().to_string())?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.insert(entry.path());
            }
        }
    }
    Ok(found)
}
