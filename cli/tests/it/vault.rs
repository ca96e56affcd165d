//! Records as files, backups, restores and the history of changes, by the binary, while a gateway runs and while none does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::Value;

use crate::commands::Home;

const PASSPHRASE: &str = "correct horse battery";

/// Asks the built-in model; gives the status.
fn echo(address: &str, key: &str, text: &str) -> u16 {
    let body = format!("{{\"model\":\"echo\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}");
    let mut connection = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn key(home: &Home, name: &str) -> String {
    home.ok(&["key", "create", name]).split_whitespace().next().unwrap().to_owned()
}

/// Runs with a passphrase; gives whether it worked, and what was said.
fn with(home: &Home, passphrase: &str, words: &[&str]) -> (bool, String) {
    let output = home.command(words).env("MYELIN_PASSPHRASE", passphrase).stdin(Stdio::null()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

#[test]
fn a_backup_of_a_running_gateway_comes_back_elsewhere_running_or_not() {
    let home = Home::new("");
    let laptop = key(&home, "laptop");
    home.ok(&[
        "channel",
        "add",
        "openai",
        "--name",
        "main",
        "--key",
        "sk-canary-0123456789",
        "--model",
        "gpt-5",
        "--force",
    ]);
    let server = home.serve();
    for n in 0..5 {
        assert_eq!(echo(&server.address, &laptop, &format!("number {n}")), 200);
    }
    let file = home.path().join("all.backup");
    let file = file.to_str().unwrap();
    assert_eq!(
        with(&home, "short", &["backup", file]),
        (false, "error: the passphrase is too short: at least 8 characters\n".into())
    );
    let (done, said) = with(&home, PASSPHRASE, &["backup", file]);
    assert!(done && said.contains("bytes"), "{said}");
    let bytes = std::fs::read(file).unwrap();
    assert!(bytes.starts_with(b"MYELINB1") && !String::from_utf8_lossy(&bytes).contains("canary"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    for running in [false, true] {
        let other = Home::new("");
        let own = key(&other, "own");
        let there = running.then(|| other.serve());
        let (done, said) = with(&other, "wrong horse battery", &["restore", file]);
        assert!(!done && said.contains("the passphrase is wrong: nothing was changed"), "{said}");
        let cut = other.path().join("cut.backup");
        std::fs::write(&cut, &bytes[..bytes.len() - 100]).unwrap();
        let (done, said) = with(&other, PASSPHRASE, &["restore", cut.to_str().unwrap()]);
        assert!(!done && said.contains("cut off"), "{said}");
        assert!(other.ok(&["key", "list"]).contains("own"), "nothing was changed");
        let (done, said) = with(&other, PASSPHRASE, &["restore", file]);
        assert!(done && said.contains("5 records"), "{said}");
        let keys = other.ok(&["key", "list"]);
        assert!(keys.contains("laptop") && !keys.contains("own"), "{keys}");
        assert_eq!(other.ok(&["--json", "logs"]).lines().count(), 5);
        assert_eq!(other.json(&["usage"])["total"]["requests"], 5);
        // The old key opens, the new one does not any more, and what comes is counted on.
        let there = there.unwrap_or_else(|| other.serve());
        for _ in 0..100 {
            if echo(&there.address, &laptop, "hi") == 200 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!((echo(&there.address, &laptop, "hi"), echo(&there.address, &own, "hi")), (200, 401));
        let counted = || other.json(&["usage"])["total"]["requests"].as_u64().unwrap();
        assert!((0..50).any(|_| counted() >= 7), "{}", counted());
        let history = other.ok(&["history"]);
        assert!(history.contains("restore backup") && history.contains("create channel"), "{history}");
    }
}

#[test]
fn records_come_out_as_csv_json_lines_and_parquet() {
    let home = Home::new("bodies = \"all\"\n");
    let laptop = key(&home, "laptop");
    let server = home.serve();
    for n in 0..30 {
        assert_eq!(echo(&server.address, &laptop, &format!("number {n}")), 200);
    }
    // A record is written a moment after its answer.
    let csv = (0..50).map(|_| home.ok(&["export"])).find(|csv| csv.lines().count() == 31);
    let csv = csv.unwrap_or_else(|| home.ok(&["export"]));
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines.len() == 31 && lines[0].starts_with("id,started,state,"), "{} lines: {}", lines.len(), lines[0]);
    assert!(lines[1].contains(",completed,200,echo,") && lines[1].contains(",laptop,"), "{}", lines[1]);
    assert_eq!(home.ok(&["export", "--model", "nobody"]).lines().count(), 1);
    assert_eq!(home.ok(&["export", "--format", "openai-chat", "--key", "laptop", "--from", "1h"]).lines().count(), 31);
    let file = home.path().join("records.jsonl");
    home.ok(&["export", file.to_str().unwrap(), "--bodies"]);
    let text = std::fs::read_to_string(&file).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 30);
    assert!(records[0]["id"].as_str() > records[29]["id"].as_str(), "newest first");
    let parquet = home.path().join("records.parquet");
    let said = home.json(&["export", parquet.to_str().unwrap()]);
    let bytes = std::fs::read(&parquet).unwrap();
    assert_eq!(said["bytes"], bytes.len());
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    drop(server);
    assert_eq!(home.ok(&["export", "--as", "jsonl"]).lines().count(), 30, "without a gateway too");
    assert!(home.fails(&["export", "x.xlsx"]).contains(".parquet"));
    assert!(home.fails(&["export", "x.csv", "--bodies"]).contains("jsonl"));
    assert!(!home.path().join("x.csv").exists());
}

#[test]
fn changes_are_listed_shown_and_taken_back() {
    let home = Home::new("");
    key(&home, "laptop");
    home.ok(&["config", "set", "max_attempts", "7"]);
    let changes = home.json(&["history"]);
    let newest = &changes["changes"][0];
    assert_eq!((&newest["who"], &newest["what"]), (&"cli".into(), &"set settings".into()), "{changes}");
    let id = newest["id"].to_string();
    let shown = home.ok(&["history", "show", &id]);
    assert!(shown.contains("new setting max_attempts") && shown.contains("→ 7"), "{shown}");
    home.ok(&["history", "undo", &id]);
    assert_eq!(home.ok(&["config", "get", "max_attempts"]).trim(), "5");
    assert!(home.fails(&["history", "undo", &id]).contains("came after it"));
    home.ok(&["key", "remove", "laptop"]);
    let id = home.json(&["history"])["changes"][0]["id"].to_string();
    let server = home.serve();
    home.ok(&["history", "undo", &id]);
    assert!(home.ok(&["key", "list"]).contains("laptop"));
    assert!(home.fails(&["history", "show", "9999"]).contains("there is no change '9999'"));
    drop(server);
}

#[test]
fn case_57_it_needs_nothing_but_itself() {
    let home = Home::new("");
    let key = key(&home, "laptop");
    std::fs::remove_file(home.path().join("myelin.toml")).unwrap();
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0"]);
    // No program to call, no configuration, no database: the binary and a folder.
    command.env_remove("PATH").env_remove("TZ").env_remove("MYELIN_CONFIG").env("HOME", home.path());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    let address = line.trim().rsplit("//").next().unwrap().to_owned();
    let status = echo(&address, &key, "hello");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(status, 200);
}
