//! The process as a whole: the file is read again, a crash loses nothing that was promised, a second start says what is in the way.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use myelin_testkit::{KEY, MockServer};
use tokio::runtime::Runtime;

use crate::commands::Home;

const SECRET: &str = "my-process-test-0123456789";

/// A mock provider that lives as long as its runtime.
fn mock() -> (Runtime, MockServer) {
    let runtime = Runtime::new().unwrap();
    let mock = runtime.block_on(MockServer::start()).unwrap();
    (runtime, mock)
}

/// A configuration with one channel at the mock and one key whose records are promised.
fn config(mock: &MockServer, model: &str) -> String {
    let base = mock.base_url("openai");
    format!(
        "model_sync_seconds = 0\n\n[[channels]]\nname = \"main\"\nprovider = \"openai\"\nbase_url = \"{base}\"\ncredentials = [\"{KEY}\"]\nmodels = [\"{model}\"]\n\n[[keys]]\nname = \"app\"\nsecret = \"{SECRET}\"\nstrict = true\n"
    )
}

/// One chat request on a connection of its own; `None`: the connection broke before the answer was whole.
fn chat(address: &str, model: &str, text: &str) -> Option<(u16, String)> {
    let body = format!("{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}");
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {SECRET}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length =
        head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())?;
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: "))?.to_owned();
    (body.len() == length).then_some((status, id))
}

/// Waits until `done`, for a while.
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..160 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("in vain: {what}");
}

/// Editors write beside the file and put the new one in its place.
fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, file).unwrap();
}

#[test]
fn case_40_a_changed_file_is_in_force_at_once_and_a_bad_one_changes_nothing() {
    let (_runtime, mock) = mock();
    let home = Home::new(&config(&mock, "one"));
    let server = home.serve();
    let status = |model: &str| chat(&server.address, model, "hi").map(|(status, _)| status);
    assert_eq!((status("one"), status("two")), (Some(200), Some(404)));
    let file = home.path().join("myelin.toml");
    replace(&file, &config(&mock, "two"));
    wait("the new file is read", || status("two") == Some(200));
    assert_eq!(status("one"), Some(404), "what the file does not name any more is gone");
    for bad in ["[[channels]\nname =", "unknown_key = 1\n", "[[channels]]\nname = \"x\"\nprovider = \"nobody\"\n", ""] {
        replace(&file, bad);
        std::thread::sleep(Duration::from_millis(500));
        if !bad.is_empty() {
            assert_eq!(status("two"), Some(200), "after {bad:?}");
        }
    }
    replace(&file, &config(&mock, "three"));
    wait("a good file is read again", || status("three") == Some(200));
}

#[test]
fn what_was_answered_is_in_the_log_after_the_process_was_killed() {
    let (_runtime, mock) = mock();
    let home = Home::new(&config(&mock, "one"));
    for round in 0..2 {
        let mut server = home.serve();
        let answered = Arc::new(Mutex::new(BTreeSet::new()));
        let workers: Vec<_> = (0..8)
            .map(|_| {
                let (answered, address) = (answered.clone(), server.address.clone());
                std::thread::spawn(move || {
                    while let Some((status, id)) = chat(&address, "one", "hi") {
                        assert_eq!(status, 200);
                        answered.lock().unwrap().insert(id);
                    }
                })
            })
            .collect();
        wait("some answers", || answered.lock().unwrap().len() > 100);
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        let answered = answered.lock().unwrap().clone();
        let log = home.ok(&["--json", "logs", "--number", "100000"]);
        let lost: Vec<&String> = answered.iter().filter(|id| !log.contains(*id)).collect();
        assert!(lost.is_empty(), "round {round}: {} of {} are lost: {lost:?}", lost.len(), answered.len());
    }
    let server = home.serve();
    assert_eq!(chat(&server.address, "one", "hi").map(|(status, _)| status), Some(200), "it starts again");
}

#[test]
fn a_second_start_says_what_is_in_the_way() {
    let (_runtime, mock) = mock();
    let home = Home::new(&config(&mock, "one"));
    let server = home.serve();
    let told = home.fails(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(told.contains("in use by another myelin") && told.contains(&server.child.id().to_string()), "{told}");
    let other = Home::new(&config(&mock, "one"));
    let told = other.fails(&["serve", "--listen", &server.address]);
    assert!(told.contains("the port is taken") && told.contains(&server.address), "{told}");
    assert_eq!(chat(&server.address, "one", "hi").map(|(status, _)| status), Some(200), "the first one goes on");
}

#[test]
fn an_order_to_stop_lets_open_answers_finish() {
    let (_runtime, mock) = mock();
    let home = Home::new(&config(&mock, "one"));
    let mut server = home.serve();
    let address = server.address.clone();
    let slow = std::thread::spawn(move || chat(&address, "one", "hi [[delay 800]]"));
    std::thread::sleep(Duration::from_millis(300));
    let pid = server.child.id().to_string();
    let told = std::process::Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status();
    if !told.is_ok_and(|status| status.success()) {
        println!("skipped: no `kill` here");
        return;
    }
    assert_eq!(slow.join().unwrap().map(|(status, _)| status), Some(200));
    assert!(server.child.wait().unwrap().success());
    assert!(chat(&server.address, "one", "hi").is_none());
}
