//! `myelin service`: has the system's own service manager start the gateway, keep it running and stop it. Must not know what the gateway does.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use myelin_core::config::Paths;
use serde_json::{Value, json};

use crate::args::Place;
use crate::carrier::Carrier;
use crate::output::{self, aside, line};
use crate::whose::is_superuser;

/// The gateway started and kept by the system.
#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// Start the gateway now and at every login; as root: with the machine.
    Install(Install),
    /// Stop it and start it no more. Configuration and data stay.
    Uninstall(Uninstall),
}

/// Which manager, and what of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Install {
    /// For root alone, not for the machine.
    #[arg(long)]
    user: bool,
    /// Write what the manager reads; start nothing.
    #[arg(long)]
    no_start: bool,
}

/// Which manager.
#[derive(Debug, clap::Args)]
pub(crate) struct Uninstall {
    /// Root's own, not the machine's.
    #[arg(long)]
    user: bool,
}

/// Begins what this command has written: nothing else is replaced or removed.
const MARK: &str = "written by `myelin service install`";

/// Does it.
pub(crate) fn run(place: &Place, service: &Service) -> anyhow::Result<()> {
    match service {
        Service::Install(install) => Manager::find(install.user, place.json)?.install(place, install.no_start),
        Service::Uninstall(uninstall) => Manager::find(uninstall.user, place.json)?.uninstall(),
    }
}

/// Whose service manager is spoken to, and how.
struct Manager {
    kind: Kind,
    /// Where it reads what is written by hand.
    file: PathBuf,
    /// The answer is for programs.
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// systemd's for the machine.
    Machine,
    /// systemd's for one user.
    User,
    /// launchd's for one user. Untested.
    Agent,
}

/// What it is made from; the packages bring the same.
const MACHINE: &str = include_str!("../../../packaging/systemd/myelin.service");
const USER: &str = include_str!("../../../packaging/systemd/myelin.user.service");
const AGENT: &str = include_str!("../../../packaging/macos/dev.myelin.plist");
/// What the machine's service reads, if there is nothing yet.
const CONFIGURATION: (&str, &str) = ("/etc/myelin/myelin.toml", include_str!("../../../packaging/systemd/myelin.toml"));
/// Where the packages put the program, for which they bring units.
const PACKAGED: &str = "/usr/bin/myelin";

impl Manager {
    fn find(user: bool, json: bool) -> anyhow::Result<Self> {
        let kind = match std::env::consts::OS {
            "linux" if is_superuser() && !user => Kind::Machine,
            "linux" => Kind::User,
            "macos" => Kind::Agent,
            system => bail!("no service manager of {system} is known here: the desktop app starts with every login"),
        };
        let file = match kind {
            Kind::Machine => PathBuf::from("/etc/systemd/system/myelin.service"),
            _ => Paths::of_service_manager()?,
        };
        Ok(Self { kind, file, json })
    }

    fn install(&self, place: &Place, no_start: bool) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("this program cannot be found")?;
        let flags = self.flags(place)?;
        let active = self.active();
        if !active {
            self.nobody_in_the_way(place)?;
        }
        if self.is_packaged(&program, &flags) {
            // An update of the package renews its unit; a copy would stay as it is.
            self.remove()?;
        } else {
            self.write(&program, &flags)?;
        }
        if self.kind == Kind::Machine {
            readable_for_its_user();
        }
        if no_start {
            return self.told(&json!({"started": false}), "");
        }
        self.start(active)?;
        self.told(
            &json!({"started": true}),
            "The gateway runs, and is started again with every login or start of the machine; `myelin status` shows it.",
        )?;
        match self.kind {
            Kind::Machine => aside!("its first key and admin token: journalctl -u myelin -o cat"),
            Kind::User => aside!(
                "its first key and admin token: journalctl --user -u myelin -o cat\nto have it run while you are not logged in: loginctl enable-linger"
            ),
            Kind::Agent => aside!("its first key and admin token are in ~/Library/Logs/myelin.log"),
        }
        Ok(())
    }

    /// What was done, for people in words that are not empty.
    fn told(&self, done: &Value, words: &str) -> anyhow::Result<()> {
        let mut answer = json!({"unit": self.file, "written": self.is_ours()});
        if let (true, Some(answer), Some(done)) = (self.json, answer.as_object_mut(), done.as_object()) {
            answer.extend(done.clone());
            return output::json(&json!(answer));
        }
        if words.is_empty() { Ok(()) } else { line(words) }
    }

    /// A step on the way, for people.
    fn step(&self, words: &str) -> anyhow::Result<()> {
        if self.json { Ok(()) } else { line(words) }
    }

    fn uninstall(&self) -> anyhow::Result<()> {
        if !self.file.exists() && !self.unit_of_the_package().is_some_and(Path::exists) {
            return self.told(&json!({"stopped": false}), "No service is installed: there is nothing to take away.");
        }
        let stopped = match self.kind {
            Kind::Agent => control("launchctl", &["unload", "-w"], Some(&self.file)),
            _ => self.systemctl(&["disable", "--now", "myelin"]),
        };
        let removed = self.remove()?;
        if self.kind != Kind::Agent && removed {
            self.systemctl(&["daemon-reload"])?;
        }
        stopped?;
        self.told(
            &json!({"stopped": true}),
            "The gateway is stopped and is not started any more; configuration and data stay.",
        )
    }

    /// What the service is told, so that it uses the places of this user's commands.
    fn flags(&self, place: &Place) -> anyhow::Result<Vec<String>> {
        let unusual = Paths::find(place.config.clone(), place.data_dir.clone())?.unusual()?;
        ensure!(
            self.kind != Kind::Machine || unusual.is_empty(),
            "the machine's service has places of its own, {} and /var/lib/myelin: leave --config, --data-dir and their variables away",
            CONFIGURATION.0
        );
        let text = |word: PathBuf| {
            let word = word.into_os_string().into_string();
            word.map_err(|word| anyhow::anyhow!("{} is no text that a unit can carry", word.display()))
        };
        let mut flags = Vec::new();
        for (flag, path) in unusual {
            flags.extend([flag.to_owned(), text(path)?]);
        }
        Ok(flags)
    }

    /// Where the package brings a unit.
    fn unit_of_the_package(&self) -> Option<&'static Path> {
        match self.kind {
            Kind::Machine => Some(Path::new("/lib/systemd/system/myelin.service")),
            Kind::User => Some(Path::new("/usr/lib/systemd/user/myelin.service")),
            Kind::Agent => None,
        }
    }

    /// The package's own unit serves.
    fn is_packaged(&self, program: &Path, flags: &[String]) -> bool {
        program == Path::new(PACKAGED) && flags.is_empty() && self.unit_of_the_package().is_some_and(Path::exists)
    }

    fn write(&self, program: &Path, flags: &[String]) -> anyhow::Result<()> {
        let program = program.to_str().context("the path of this program is no text")?;
        if self.kind == Kind::Machine {
            // The unit hides these from what it starts.
            if let Some(hidden) =
                ["/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"].iter().find(|from| program.starts_with(**from))
            {
                bail!(
                    "a service of the machine sees nothing below {hidden}: `install {program} /usr/local/bin/` first, then call it there"
                );
            }
            if !Path::new(CONFIGURATION.0).exists() {
                put(Path::new(CONFIGURATION.0), CONFIGURATION.1, true)?;
            }
        }
        if self.file.exists() && !self.is_ours() {
            bail!("{} is somebody else's: move it away first", self.file.display());
        }
        let text = match self.kind {
            Kind::Machine => unit(MACHINE, program, &["--config", CONFIGURATION.0, "--data-dir", "/var/lib/myelin"]),
            Kind::User => unit(USER, program, flags),
            Kind::Agent => agent(program, flags, &self.file),
        };
        put(&self.file, &text, self.kind == Kind::Machine)?;
        self.step(&format!("wrote {}", self.file.display()))
    }

    /// Removes what this command has written, and says whether there was anything.
    fn remove(&self) -> anyhow::Result<bool> {
        if !self.file.exists() {
            return Ok(false);
        }
        if !self.is_ours() {
            aside!("{} is somebody else's and stays", self.file.display());
            return Ok(false);
        }
        fs::remove_file(&self.file).with_context(|| format!("cannot remove {}", self.file.display()))?;
        self.step(&format!("removed {}", self.file.display()))?;
        Ok(true)
    }

    fn is_ours(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|text| text.contains(MARK))
    }

    /// The manager runs it already: a restart takes over what is new.
    fn active(&self) -> bool {
        self.kind != Kind::Agent && self.systemctl(&["is-active", "--quiet", "myelin"]).is_ok()
    }

    /// A gateway that somebody has started by hand on the data that the service will have.
    fn nobody_in_the_way(&self, place: &Place) -> anyhow::Result<()> {
        let paths = match self.kind {
            Kind::Machine => Paths::of_service(None, None).context("this system has no service of the machine")?,
            _ => Paths::find(place.config.clone(), place.data_dir.clone())?,
        };
        ensure!(
            !Carrier::answers(&paths),
            "a gateway runs on {} that no service manager has started: stop it, then the service can take its place",
            paths.data.display()
        );
        Ok(())
    }

    /// `active`: one runs already, which goes on being tried if the new one does not start.
    fn start(&self, active: bool) -> anyhow::Result<()> {
        if self.kind == Kind::Agent {
            return control("launchctl", &["load", "-w"], Some(&self.file));
        }
        self.systemctl(&["daemon-reload"])?;
        self.systemctl(&["enable", "myelin"])?;
        let log = if self.kind == Kind::Machine { "journalctl -u myelin -e" } else { "journalctl --user -u myelin -e" };
        let Err(why) = self.systemctl(&["restart", "myelin"]) else { return Ok(()) };
        let kept = if active {
            "it stays installed and is tried again"
        } else if self.systemctl(&["disable", "--now", "myelin"]).is_ok() {
            "it is switched off again"
        } else {
            "it is still switched on: `myelin service uninstall` takes it away"
        };
        Err(why.context(format!("it does not start; `{log}` says why; {kept}")))
    }

    fn systemctl(&self, words: &[&str]) -> anyhow::Result<()> {
        let scope: &[&str] = if self.kind == Kind::User { &["--user"] } else { &[] };
        control("systemctl", &[scope, words].concat(), None)
    }
}

/// Has a manager do something, and gives its own words when it refuses.
fn control(program: &str, words: &[&str], file: Option<&Path>) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(words).args(file.map(Path::as_os_str));
    let output = command.output().with_context(|| format!("{program} cannot be started"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", words.join(" "), said.trim());
    Ok(())
}

/// Writes a file whole or not at all. `for_all`: every user can read it and look into the folders that are made for it, however closed this shell's
/// files are otherwise.
fn put(file: &Path, text: &str, for_all: bool) -> anyhow::Result<()> {
    let folder = file.parent().context("a place without a folder")?;
    let mut missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    missing.reverse();
    for folder in missing {
        let made = fs::create_dir(folder).and_then(|()| if for_all { open_to_all(folder, 0o755) } else { Ok(()) });
        made.with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let beside = folder.join(format!(".{}.new", file.file_name().and_then(OsStr::to_str).unwrap_or("myelin")));
    let written = fs::write(&beside, text)
        .and_then(|()| if for_all { open_to_all(&beside, 0o644) } else { Ok(()) })
        .and_then(|()| fs::rename(&beside, file));
    written.with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(unix)]
fn open_to_all(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn open_to_all(_: &Path, _: u32) -> std::io::Result<()> {
    Ok(())
}

/// Says so if the machine's service, whose user owns no file, cannot read its configuration.
fn readable_for_its_user() {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let file = Path::new(CONFIGURATION.0);
        let closed =
            |path: &Path, mode: u32| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & mode != mode);
        if closed(file, 0o004) || file.parent().is_some_and(|folder| closed(folder, 0o001)) {
            aside!("warning: the service's user cannot read {0}: `chmod a+rX /etc/myelin {0}`", file.display());
        }
    }
}

/// A unit of the packages for a program that lies elsewhere.
fn unit(packaged: &str, program: &str, flags: &[impl AsRef<str>]) -> String {
    // Variables are not looked for in the program's own path.
    let words = ["serve"].into_iter().chain(flags.iter().map(AsRef::as_ref)).map(|word| word.replace('$', "$$"));
    let start: Vec<String> = std::iter::once(program.to_owned()).chain(words).map(|word| unit_word(&word)).collect();
    let lines = packaged.lines().map(|line| {
        if line.starts_with("ExecStart=") { format!("ExecStart={}", start.join(" ")) } else { line.to_owned() }
    });
    std::iter::once(format!("# {MARK}, which replaces it: `systemctl edit` adds to it."))
        .chain(lines)
        .fold(String::new(), |text, line| text + &line + "\n")
}

/// A word as systemd reads it: quoted where needed, and nothing in it is a specifier (systemd.service(5), "Command lines").
fn unit_word(word: &str) -> String {
    let meant = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    let plain = !meant.is_empty() && meant.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:%$@+,=".contains(c));
    if plain { meant } else { format!("\"{meant}\"") }
}

/// The agent of the packages for a program that lies elsewhere, with a log of this user's own.
fn agent(program: &str, flags: &[String], file: &Path) -> String {
    let string = |word: &str| {
        let meant = word.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        format!("<string>{meant}</string>")
    };
    let words: String = [program, "serve"].into_iter().chain(flags.iter().map(String::as_str)).map(string).collect();
    let library = file.parent().and_then(Path::parent).unwrap_or(Path::new("/tmp"));
    let log = string(&library.join("Logs").join("myelin.log").to_string_lossy());
    // Its comment, of two lines, is for who copies it by hand.
    let meant = |line: &&str| {
        let own = line.trim_start();
        !own.starts_with("<key>StandardOutPath</key>") && !own.starts_with("~/Library/LaunchAgents")
    };
    let lines = AGENT.lines().filter(meant).map(|line| match line.trim_start() {
        own if own.starts_with("<array>") => format!("    <array>{words}</array>"),
        own if own.starts_with("<key>StandardErrorPath</key>") => {
            format!("    <key>StandardErrorPath</key>{log}\n    <key>StandardOutPath</key>{log}")
        }
        own if own.starts_with("<!-- UNTESTED") => format!("<!-- {MARK}, which replaces it -->"),
        _ => line.to_owned(),
    });
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_starts_what_lies_elsewhere_and_is_otherwise_the_packages_own() {
        let text = unit(USER, "/opt/my tools/100%/myelin", &["--data-dir", "/srv/$x"]);
        let start = "ExecStart=\"/opt/my tools/100%%/myelin\" serve --data-dir /srv/$$x";
        assert!(text.starts_with(&format!("# {MARK}")));
        assert!(text.lines().any(|line| line == start), "{text}");
        let rest = |text: &str| {
            text.lines()
                .filter(|line| !line.starts_with("ExecStart=") && !line.contains(MARK))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(rest(&text), rest(USER));
    }

    #[test]
    fn a_large_store_may_take_its_time_and_a_start_that_fails_is_not_tried_for_ever() {
        for text in [MACHINE, USER] {
            let (about, service) = text.split_once("[Service]").unwrap();
            assert!(about.contains("\nStartLimitIntervalSec=60\nStartLimitBurst=10\n"), "{text}");
            assert!(service.contains("\nTimeoutStartSec=infinity\n"), "{text}");
        }
        assert!(CONFIGURATION.1.contains("LoadCredential="), "a file of root's is not read by its user");
    }

    #[test]
    fn an_agent_names_the_program_and_a_log_that_is_the_users() {
        let file = Path::new("/Users/me/Library/LaunchAgents/dev.myelin.plist");
        let text = agent("/Users/me/R&D/myelin", &["--config".to_owned(), "/a".to_owned()], file);
        let words = "<array><string>/Users/me/R&amp;D/myelin</string><string>serve</string><string>--config</string><string>/a</string></array>";
        assert!(text.contains(words), "{text}");
        assert_eq!(text.matches("<string>/Users/me/Library/Logs/myelin.log</string>").count(), 2, "{text}");
        assert!(text.contains(MARK) && !text.contains("YOU") && !text.contains("/usr/local"), "{text}");
        assert_eq!((text.matches("<!--").count(), text.matches("-->").count()), (1, 1), "{text}");
    }
}
