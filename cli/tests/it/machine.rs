//! The service of the machine, as root and others meet it: in folders of the test's own, mounted where the machine's are.
#![cfg(target_os = "linux")]

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The service's user, and one who has nothing to do with it.
const SERVICE: u32 = 54_321;
const SOMEBODY: u32 = 60_001;

/// Words of both outputs, and whether it went well.
type Said = (bool, String);

struct Machine(tempfile::TempDir);

impl Machine {
    /// A machine with a systemd that has done nothing yet; nothing where the test may not make one.
    fn new() -> Option<Self> {
        let machine = Self(tempfile::tempdir().unwrap());
        open_to_all(machine.0.path());
        for folder in ["lib", "run/systemd/system", "root", "somebody"] {
            std::fs::create_dir_all(machine.at(folder)).unwrap();
        }
        // Programs of the system look things up there.
        let copied = Command::new("cp").args(["-a", "/etc/."]).arg(machine.at("etc")).output();
        let made = copied.is_ok_and(|copied| copied.status.success())
            && chown(machine.at("somebody"), Some(SOMEBODY), Some(SOMEBODY)).is_ok()
            && machine.inside(None, &[], &["true"]).status.success();
        if !made {
            println!("skipped: only the superuser, where he may mount, can try the machine's service");
            return None;
        }
        let _ = std::fs::remove_dir_all(machine.at("etc/myelin"));
        Some(machine)
    }

    fn at(&self, place: &str) -> PathBuf {
        self.0.path().join(place)
    }

    /// A command line of the system inside of it.
    fn inside(&self, user: Option<u32>, variables: &[(&str, &str)], words: &[&str]) -> Output {
        let mut script = String::from("set -e\n");
        for (own, place) in [("lib", "/var/lib"), ("etc", "/etc"), ("run", "/run")] {
            script.push_str(&format!("mount --bind '{}' {place}\n", self.at(own).display()));
        }
        let user =
            user.map(|user| format!("setpriv --reuid={user} --regid={user} --clear-groups ")).unwrap_or_default();
        script.push_str(&format!("exec {user}\"$@\"\n"));
        let home = if user.is_empty() { "root" } else { "somebody" };
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]).args(words).stdin(Stdio::null());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.at(home));
        command.envs(variables.iter().copied()).output().unwrap()
    }

    fn myelin(&self, user: Option<u32>, words: &[&str]) -> Said {
        self.myelin_with(user, &[], words)
    }

    fn myelin_with(&self, user: Option<u32>, variables: &[(&str, &str)], words: &[&str]) -> Said {
        let words = [&[env!("CARGO_BIN_EXE_myelin")], words].concat();
        let output = self.inside(user, variables, &words);
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.success(), said)
    }

    /// As systemd makes it at the first start.
    fn with_store(self) -> Self {
        let data = self.at("lib/myelin");
        std::fs::create_dir(&data).unwrap();
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
        chown(&data, Some(SERVICE), Some(SERVICE)).unwrap();
        self
    }
}

fn open_to_all(folder: &Path) {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn refused((ok, said): Said, because: &str) {
    assert!(!ok && said.contains(because), "{said}");
}

#[test]
fn root_who_configures_before_the_first_start_is_told_so_and_checks_the_services_file() {
    let Some(machine) = Machine::new() else { return };
    let file = machine.at("etc/myelin/myelin.toml");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "listne = []\n").unwrap();
    for words in [&["key", "create", "early"][..], &["channel", "list"], &["status"], &["tool", "list"]] {
        refused(machine.myelin(None, words), "systemctl enable --now myelin");
    }
    assert!(!machine.at("root/.local").exists(), "no store of root's came of it");
    refused(machine.myelin(None, &["config", "check"]), "/etc/myelin/myelin.toml");
    let (ok, said) = machine.myelin(None, &["config", "path"]);
    assert!(ok && said.contains("/etc/myelin/myelin.toml") && said.contains("/var/lib/myelin"), "{said}");
    // Where no systemd would start it, root is a user like any other.
    std::fs::remove_dir_all(machine.at("run/systemd")).unwrap();
    let (ok, said) = machine.myelin(None, &["key", "create", "early"]);
    assert!(ok && machine.at("root/.local/share/myelin").exists(), "{said}");
}

#[test]
fn root_works_on_the_stopped_services_store_and_leaves_its_folders_to_its_manager() {
    let Some(machine) = Machine::new() else { return };
    let machine = machine.with_store();
    let (ok, said) = machine.myelin(None, &["key", "create", "laptop"]);
    assert!(ok && said.contains("working on /var/lib/myelin directly"), "{said}");
    assert!(!machine.at("etc/myelin").exists(), "a folder for root alone would hide the file from the service");
    // A variable that names nothing is none.
    let (ok, said) = machine.myelin_with(None, &[("MYELIN_CONFIG", "")], &["key", "list"]);
    assert!(ok && said.contains("laptop"), "{said}");
    refused(machine.myelin(None, &["status"]), "systemctl start myelin");
    // Who has a store of his own keeps to it, and hears of the other.
    std::fs::create_dir_all(machine.at("root/.local/share/myelin")).unwrap();
    let (ok, said) = machine.myelin(None, &["key", "list"]);
    assert!(
        ok && !said.contains("laptop") && said.contains("the service of this machine has a store of its own"),
        "{said}"
    );
}

#[test]
fn a_user_beside_the_machines_service_is_told_of_it_and_led_to_no_second_store() {
    let Some(machine) = Machine::new() else { return };
    let machine = machine.with_store();
    assert!(machine.myelin(None, &["key", "create", "laptop"]).0);
    for words in [
        &["status"][..],
        &["doctor"],
        &["key", "list"],
        &["tool", "list"],
        &["tool", "connect", "claude-code", "--yes"],
        &["run", "claude", "--dry-run"],
    ] {
        refused(machine.myelin(Some(SOMEBODY), words), "belongs to root");
    }
    assert!(!machine.at("somebody/.local").exists() && !machine.at("somebody/.claude").exists());
    // The place of a gateway of one's own can be named.
    let (ok, said) = machine.myelin_with(Some(SOMEBODY), &[("MYELIN_DATA_DIR", "")], &["config", "path"]);
    assert!(ok && said.contains("somebody/.local/share/myelin"), "{said}");
    let own = machine.at("somebody/own");
    let (ok, said) = machine.myelin(Some(SOMEBODY), &["--data-dir", own.to_str().unwrap(), "key", "list"]);
    assert!(ok, "{said}");
}

#[test]
fn the_tools_of_nobody_are_touched_for_the_machines_gateway() {
    let Some(machine) = Machine::new() else { return };
    let machine = machine.with_store();
    for words in [
        &["tool", "connect", "codex", "--yes"][..],
        &["tool", "repair", "codex"],
        &["tool", "restore", "--all"],
        &["tool", "snippet", "codex", "--reveal"],
    ] {
        refused(machine.myelin(None, words), "tools belong to a user");
    }
    assert!(!machine.at("lib/myelin/tools").exists() && !machine.at("root/.codex").exists());
    let (ok, said) = machine.myelin(None, &["tool", "snippet", "codex"]);
    assert!(ok && said.contains("6935"), "{said}");
}

#[test]
fn the_service_can_read_what_a_careful_root_installs() {
    let Some(machine) = Machine::new() else { return };
    let install = format!("umask 077; exec {} service install --no-start", env!("CARGO_BIN_EXE_myelin"));
    let output = machine.inside(None, &[], &["sh", "-c", &install]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("a service of the machine sees nothing below") {
        println!("skipped: the program lies where no service of the machine may start it");
        return;
    }
    assert!(output.status.success() && !said.contains("warning"), "{said}");
    for (place, mode) in
        [("etc/myelin", 0o755), ("etc/myelin/myelin.toml", 0o644), ("etc/systemd/system/myelin.service", 0o644)]
    {
        let found = std::fs::metadata(machine.at(place)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{place}");
    }
    assert!(machine.inside(Some(SERVICE), &[], &["cat", "/etc/myelin/myelin.toml"]).status.success());
    // One that somebody has closed is told of, and stays as it is.
    std::fs::set_permissions(machine.at("etc/myelin"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let (ok, said) = machine.myelin(None, &["service", "install", "--no-start"]);
    assert!(ok && said.contains("cannot read /etc/myelin/myelin.toml"), "{said}");
}

#[test]
fn the_machines_gateway_is_in_nobodys_way_who_installs_a_service_of_his_own() {
    let Some(machine) = Machine::new() else { return };
    let machine = machine.with_store();
    let socket = machine.at("lib/myelin/myelin.sock");
    let _machines = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (ok, said) = machine.myelin(None, &["service", "install", "--user", "--no-start"]);
    assert!(ok && machine.at("root/.config/systemd/user/myelin.service").exists(), "{said}");
    // Root's own service for the machine finds it in its way.
    refused(machine.myelin(None, &["service", "install", "--no-start"]), "a gateway runs on /var/lib/myelin");
}
