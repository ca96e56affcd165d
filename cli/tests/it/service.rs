//! The process as a service: what its manager is told, whose files it leaves.
#![cfg(target_os = "linux")]

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::net::UnixDatagram;
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
