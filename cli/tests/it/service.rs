//! The process as a service: what its manager is told, whose files it leaves.
#![cfg(target_os = "linux")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Duration;

use crate::commands::Home;

#[test]
fn a_service_manager_is_told_when_it_answers_and_when_it_stops() {
    let home = Home::new("");
    let place = home.path().join("notify");
    let manager = UnixDatagram::bind(&place).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let heard = || {
        let mut text = [0; 64];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(text.get(..length).unwrap()).into_owned()
    };
    let mut server = home.serve_with(&[("NOTIFY_SOCKET", place.to_str().unwrap())]);
    assert_eq!(heard(), "READY=1");
    assert!(std::net::TcpStream::connect(&server.address).is_ok(), "ready means that it answers");
    let pid = server.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(heard(), "STOPPING=1");
    assert!(server.child.wait().unwrap().success());

    // One that cannot listen is never ready.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    let mut command = home.command(&["serve", "--listen", &port]);
    let refused = command.env("NOTIFY_SOCKET", &place).stdin(Stdio::null()).output().unwrap();
    assert!(!refused.status.success());
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0; 64]).is_err(), "nothing more was told");
}

#[test]
fn what_the_superuser_does_to_a_stopped_service_leaves_its_user_every_file() {
    let home = Home::new("");
    let data = home.path().join("data");
    home.ok(&["key", "create", "first"]);
    let (user, group) = (54_321, 54_322);
    if chown(&data, Some(user), Some(group)).is_err() {
        println!("skipped: only the superuser can give files away");
        return;
    }
    std::fs::remove_file(data.join("bodies.redb")).unwrap();
    home.ok(&["key", "create", "second"]);
    let files: Vec<_> = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(files.iter().any(|file| file.file_name() == "bodies.redb"), "it was made anew: {files:?}");
    for file in files {
        let about = file.metadata().unwrap();
        assert_eq!((about.uid(), about.gid()), (user, group), "{file:?}");
    }
}

#[test]
fn a_command_of_the_superuser_that_is_broken_off_keeps_no_service_from_starting() {
    let home = Home::new("");
    let data = home.path().join("data");
    home.ok(&["key", "create", "first"]);
    let (user, group) = (54_321, 54_322);
    if chown(&data, Some(user), Some(group)).is_err() {
        println!("skipped: only the superuser can give files away");
        return;
    }
    for file in std::fs::read_dir(&data).unwrap() {
        chown(file.unwrap().path(), Some(user), Some(group)).unwrap();
    }
    chown(home.path(), Some(user), Some(group)).unwrap();
    for signal in ["-TERM", "-KILL"] {
        // It waits for a secret, with the store open.
        let mut command = home.command(&["channel", "add", "anthropic", "--key", "-"]);
        let mut waiting = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(waiting.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains("working on"), "{said}");
        let pid = waiting.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
        assert!(!waiting.wait().unwrap().success());
        assert!(data.join("owner.pid").exists(), "it was ended in the middle");

        let mut service = home.command(&["serve", "--listen", "127.0.0.1:0"]);
        service.uid(user).gid(group);
        let server = Home::started(service);
        assert!(std::net::TcpStream::connect(&server.address).is_ok(), "{signal}: {}", server.address);
    }
}

/// A service manager that writes down what it is asked, and says that it runs what it has started. It refuses what `refuses` says.
fn manager(home: &Home, refuses: &str) -> (String, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = home.path().join("manager");
    std::fs::create_dir_all(&folder).unwrap();
    let (program, asked, active) = (folder.join("systemctl"), folder.join("asked"), folder.join("active"));
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> '{asked}'\ncase \"$*\" in\n  {refuses}) echo 'no bus' >&2; exit 1 ;;\n  *is-active*) test -e '{active}' ;;\n  *restart*) touch '{active}' ;;\n  *disable*) rm -f '{active}' ;;\nesac\n",
        asked = asked.display(),
        active = active.display(),
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var_os("PATH").unwrap_or_default().display());
    (path, asked)
}

#[test]
fn a_service_is_installed_for_a_user_renewed_and_taken_away() {
    let home = Home::new("");
    let (path, asked) = manager(&home, "nothing");
    let run = |words: &[&str]| {
        let output = home.command(words).env("PATH", &path).env("HOME", home.path()).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.success(), said)
    };
    let asked = || {
        let words = std::fs::read_to_string(&asked).unwrap_or_default();
        let _ = std::fs::remove_file(&asked);
        words.lines().map(|line| line.replace("--user ", "")).collect::<Vec<_>>()
    };
    let unit = home.path().join(".config/systemd/user/myelin.service");

    let (ok, said) = run(&["service", "install", "--user"]);
    assert!(ok && said.contains("enable-linger"), "{said}");
    assert_eq!(asked(), ["is-active --quiet myelin", "daemon-reload", "enable myelin", "restart myelin"]);
    let text = std::fs::read_to_string(&unit).unwrap();
    let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let (config, data) = (home.path().join("myelin.toml"), home.path().join("data"));
    let wanted =
        format!("{} serve --config {} --data-dir {}", env!("CARGO_BIN_EXE_myelin"), config.display(), data.display());
    assert_eq!(start, wanted, "the places of this shell are the service's too");
    assert!(text.contains("Type=notify") && text.contains("WantedBy=default.target"), "{text}");

    // What it says is what the service runs: that very line serves.
    let words: Vec<&str> = start.split(' ').skip(1).chain(["--listen", "127.0.0.1:0"]).collect();
    let server = Home::started(home.command(&words));
    // The manager runs it: a second install renews it, though a gateway answers.
    let (ok, said) = run(&["service", "install", "--user"]);
    assert!(ok, "{said}");
    assert_eq!(asked().last().unwrap(), "restart myelin");
    drop(server);

    let (ok, said) = run(&["service", "uninstall", "--user"]);
    assert!(ok && !unit.exists() && config.exists() && data.exists(), "{said}");
    assert_eq!(asked(), ["disable --now myelin", "daemon-reload"]);
    // Nothing is left to take away: nobody is asked, and that is no failure.
    if !std::path::Path::new("/usr/lib/systemd/user/myelin.service").exists() {
        let (ok, said) = run(&["service", "uninstall", "--user"]);
        assert!(ok && said.contains("No service is installed") && asked().is_empty(), "{said}");
    }

    for (words, key) in [
        (["service", "install", "--user", "--json"], "started"),
        (["service", "uninstall", "--user", "--json"], "stopped"),
    ] {
        let output = home.command(&words).env("PATH", &path).env("HOME", home.path()).output().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&answer[key], answer["unit"].as_str()), (&true.into(), unit.to_str()), "{answer}");
    }
}

#[test]
fn a_service_takes_nobodys_place() {
    let home = Home::new("");
    let (path, asked) = manager(&home, "*restart*");
    let run = |words: &[&str]| {
        let output = home.command(words).env("PATH", &path).env("HOME", home.path()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let install = ["service", "install", "--user"];
    // What the manager says when it refuses is passed on, with where to look; and nothing goes on behind anybody's back.
    let said = run(&install);
    assert!(said.contains("no bus") && said.contains("journalctl --user -u myelin"), "{said}");
    let words = std::fs::read_to_string(&asked).unwrap();
    assert!(
        words.lines().last().unwrap().ends_with("disable --now myelin") && said.contains("switched off"),
        "{words}"
    );
    // One that ran before is not switched off for a start that failed.
    std::fs::write(asked.with_file_name("active"), "").unwrap();
    let said = run(&install);
    std::fs::remove_file(asked.with_file_name("active")).unwrap();
    let words = std::fs::read_to_string(&asked).unwrap();
    assert!(words.lines().last().unwrap().ends_with("restart myelin") && said.contains("tried again"), "{words}");
    // A gateway that was started by hand has the store.
    let server = home.serve();
    let said = run(&install);
    assert!(said.contains("stop it") && said.contains(home.path().join("data").to_str().unwrap()), "{said}");
    drop(server);
    // A unit that somebody wrote stays as it is.
    let unit = home.path().join(".config/systemd/user/myelin.service");
    std::fs::write(&unit, "[Service]\nExecStart=/mine\n").unwrap();
    assert!(run(&install).contains("somebody else's"));
    assert_eq!(std::fs::read_to_string(&unit).unwrap(), "[Service]\nExecStart=/mine\n");
}
