//! The process as a whole: the file is read again, a crash loses nothing that was promised, a second start says what is in the way.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use myelin_testkit::{KEY, MockServer};
use tokio::runtime::Runtime;

use crate::commands::{Home, Server};

const SECRET: &str = "my-process-test-0123456789";

/// A mock provider that lives as long as its runtime.
pub(super) fn mock() -> (Runtime, MockServer) {
    let runtime = Runtime::new().unwrap();
    let mock = runtime.block_on(MockServer::start()).unwrap();
    (runtime, mock)
}

/// A configuration with one channel at the mock and one strict key.
fn config(mock: &MockServer, model: &str) -> String {
    config_of(mock, model, true)
}

/// The same with a key that is strict (the last byte waits for the disk) or, as keys are unless they say so, not.
pub(super) fn config_of(mock: &MockServer, model: &str, strict: bool) -> String {
    let base = mock.base_url("openai");
    format!(
        "model_sync_seconds = 0\n\n[[channels]]\nname = \"main\"\nprovider = \"openai\"\nbase_url = \"{base}\"\ncredentials = [\"{KEY}\"]\nmodels = [\"{model}\"]\n\n[[keys]]\nname = \"app\"\nsecret = \"{SECRET}\"\nstrict = {strict}\n"
    )
}

/// One chat request on a connection of its own; `None`: the connection broke before the answer was whole.
fn chat(address: &str, model: &str, text: &str) -> Option<(u16, String)> {
    ask(address, model, text, false)
}

/// The same, as a stream or whole.
fn ask(address: &str, model: &str, text: &str, stream: bool) -> Option<(u16, String)> {
    let body = format!(
        "{{\"model\":\"{model}\",\"stream\":{stream},\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}"
    );
    post(address, &body)
}

/// The same with a body of one's own.
pub(super) fn post(address: &str, body: &str) -> Option<(u16, String)> {
    post_with(address, "", body)
}

/// And with more headers, each with its end of line.
pub(super) fn post_with(address: &str, headers: &str, body: &str) -> Option<(u16, String)> {
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {SECRET}\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut connection = TcpStream::connect(address).ok()?;
    connection.write_all(format!("{head}{body}").as_bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: "))?.to_owned();
    let length: Option<usize> =
        head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let whole = match length {
        Some(length) => body.len() == length,
        // An answer that others may share comes in chunks even if it is no stream.
        None => body.ends_with("\r\n0\r\n\r\n") && (body.contains("data: [DONE]") || !body.contains("data: ")),
    };
    whole.then_some((status, id))
}

/// Waits until `done`, for a while.
pub(super) fn wait(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..160 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("in vain: {what}");
}

/// Editors write beside the file and put the new one in its place.
pub(super) fn replace(file: &Path, text: &str) {
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
fn a_file_that_is_written_after_the_first_start_is_taken_though_its_folder_was_not_there() {
    let (_runtime, mock) = mock();
    let home = Home::new("");
    let file = home.path().join("config/myelin/myelin.toml");
    let of_a_person = |words: &[&str]| {
        let mut command = home.command(words);
        command.env_remove("MYELIN_CONFIG").env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path().join("config"));
        command
    };
    let server = Home::started(of_a_person(&["serve", "--listen", "127.0.0.1:0"]));
    assert_eq!(chat(&server.address, "one", "hi").map(|(status, _)| status), Some(401));
    std::fs::write(&file, config(&mock, "one")).unwrap();
    wait("the file is read", || chat(&server.address, "one", "hi").is_some_and(|(status, _)| status == 200));
    let status = of_a_person(&["--json", "status"]).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["config"], file.to_str().unwrap());
}

/// A number of the system about a process: a line of its status in KiB, or how many files it has open. `None`: this system does not tell.
fn resident_kib(server: &Server) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).ok()?;
    status.lines().find(|line| line.starts_with("VmRSS:"))?.split_whitespace().nth(1)?.parse().ok()
}

fn open_files(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.child.id())).map_or(0, Iterator::count)
}

/// Mixed traffic with faults from some clients at once, until so many requests were made or the time is over.
fn mixed_traffic(server: &Server, requests: u64, until: Option<tokio::time::Instant>) -> u64 {
    const TEXTS: [&str; 7] = [
        "plain words",
        "a longer one [[usage input=5000 output=900]]",
        "[[error 500]]",
        "[[error 429 retry-after=1]]",
        "[[cut-after 2]] one two three four",
        "[[abort-after 2]] one two three four",
        "[[pace 2]] one two three four five six seven eight",
    ];
    let made = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let workers: Vec<_> = (0..8_u64)
        .map(|worker| {
            let (made, address) = (made.clone(), server.address.clone());
            std::thread::spawn(move || loop {
                let n = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let over = until.map_or(n >= requests, |until| tokio::time::Instant::now() >= until);
                if over {
                    return;
                }
                let text = TEXTS[usize::try_from((n + worker) % 7).unwrap()];
                if n % 13 == 12 {
                    // Leaves in the middle.
                    let Ok(mut connection) = TcpStream::connect(&address) else { continue };
                    let body = r#"{"model":"one","stream":true,"messages":[{"role":"user","content":"[[pace 50]] one two three four"}]}"#;
                    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {SECRET}\r\ncontent-length: {}\r\n\r\n", body.len());
                    let _ = connection.write_all(format!("{head}{body}").as_bytes());
                    let _ = connection.read(&mut [0_u8; 64]);
                } else {
                    ask(&address, "one", text, n % 2 == 0);
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    made.load(std::sync::atomic::Ordering::Relaxed)
}

#[test]
fn case_48_memory_stays_where_it_is_under_traffic_with_faults_and_nothing_is_left_open() {
    let (_runtime, mock) = mock();
    let config = config_of(&mock, "one", false).replace(
        "model_sync_seconds = 0",
        "model_sync_seconds = 0\nbodies = \"all\"\n[breaker]\nfailures = 100000\nfailure_percent = 100\n",
    );
    let home = Home::new(&config);
    let server = home.serve();
    let Some(start) = resident_kib(&server) else {
        println!("skipped: this system does not tell how much memory a process has");
        return;
    };
    // `cargo xtask soak --traffic` asks for minutes of it.
    let minutes: Option<u64> =
        std::env::var_os("MYELIN_SOAK_MINUTES").map(|minutes| minutes.to_str().unwrap().parse().unwrap());
    let round = |server: &Server| match minutes {
        None => mixed_traffic(server, 600, None),
        Some(minutes) => {
            let end = tokio::time::Instant::now() + Duration::from_secs(minutes * 60 / 6);
            mixed_traffic(server, u64::MAX, Some(end))
        }
    };
    // Two rounds to come to the plateau, then the same again.
    let mut sizes = Vec::new();
    let mut requests = 0;
    for at in 0..6 {
        let before = requests;
        requests += round(&server);
        sizes.push(resident_kib(&server).unwrap());
        println!("round {at}: {} requests, {} KiB, {} files", requests - before, sizes[at], open_files(&server));
    }
    let plateau = sizes[1].max(sizes[2]);
    let grown = sizes[5].saturating_sub(plateau);
    // A short run sees allocators breathe; a long one is held to less than 1 MiB a minute.
    let most = minutes.map_or(16 << 10, |minutes| (minutes << 10).max(8 << 10));
    assert!(grown < most, "{grown} KiB more after the plateau: {sizes:?} from {start}");
    let quiet = open_files(&home.serve_beside());
    for _ in 0..200 {
        if open_files(&server) <= quiet + 12 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(
        open_files(&server) <= quiet + 12,
        "{} files and sockets are open, {quiet} in one that did nothing",
        open_files(&server)
    );
    let peak = sizes.iter().copied().max().unwrap();
    wait("memory falls back, or was never much", || {
        resident_kib(&server).is_some_and(|now| now <= peak + (4 << 10) && now < start + (96 << 10))
    });
    let usage = home.json(&["usage"]);
    let log = home.ok(&["--json", "logs", "--number", "1000000"]);
    assert_eq!(usage["total"]["requests"].as_u64(), Some(log.lines().count() as u64), "sums are those of the records");
}

#[test]
fn case_56_a_changed_file_breaks_no_request_in_flight() {
    let (_runtime, mock) = mock();
    let home = Home::new(&config(&mock, "one"));
    let server = home.serve();
    let slow: Vec<_> = [true, false]
        .into_iter()
        .map(|stream| {
            let address = server.address.clone();
            let text = if stream { "[[pace 300]] one two three four five six" } else { "[[delay 2500]] one" };
            std::thread::spawn(move || ask(&address, "one", text, stream))
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    // The model goes, then the channel, then everything comes back with another address.
    let file = home.path().join("myelin.toml");
    replace(&file, &config(&mock, "two"));
    wait("the new file is read", || chat(&server.address, "two", "hi").map(|(status, _)| status) == Some(200));
    let without = config(&mock, "two");
    let (head, keys) = without.split_once("[[channels]]").unwrap();
    replace(&file, &format!("{head}[[keys]]{}", keys.split_once("[[keys]]").unwrap().1));
    wait("the channel is gone", || chat(&server.address, "two", "hi").map(|(status, _)| status) == Some(404));
    for one in slow {
        assert_eq!(one.join().unwrap().map(|(status, _)| status), Some(200), "it was answered whole");
    }
}

#[test]
fn a_channel_that_was_added_offers_what_its_provider_lists() {
    let (_runtime, mock) = mock();
    let home = Home::new("");
    let _server = home.serve();
    let told = home.ok(&["channel", "add", "openai", "--key", KEY, "--base-url", &mock.base_url("openai")]);
    assert!(told.contains("openai works") && told.contains("it takes part"), "{told}");
    assert!(!told.contains("offers no model"), "{told}");
    let models = home.ok(&["model", "list"]);
    assert!(models.contains("gpt-5-mini"), "{models}");
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
    let holder = format!("by myelin (process {})", server.child.id());
    assert!(!cfg!(target_os = "linux") || told.contains(&holder), "{told}");
    assert_eq!(chat(&server.address, "one", "hi").map(|(status, _)| status), Some(200), "the first one goes on");
}

#[test]
fn an_order_to_stop_lets_open_answers_finish() {
    finishes("-TERM");
}

#[test]
#[cfg(target_os = "linux")]
fn the_end_of_the_terminal_lets_open_answers_finish_and_who_wants_it_to_stay_keeps_it() {
    let about = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = about.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim().to_owned();
    if u64::from_str_radix(&ignored, 16).unwrap() & 1 == 1 {
        println!("skipped: the tests themselves are to outlive their terminal");
    } else {
        finishes("-HUP");
    }
    let home = Home::new("");
    let mut command = std::process::Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_myelin")).args(["serve", "--listen", "127.0.0.1:0"]);
    command.env("MYELIN_DATA_DIR", home.path().join("data")).env("MYELIN_CONFIG", home.path().join("myelin.toml"));
    let server = Home::started(command);
    let pid = server.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(300));
    assert!(std::net::TcpStream::connect(&server.address).is_ok(), "`nohup` keeps it");
}

/// An answer that is open when the order comes is given whole, and nothing after it.
fn finishes(order: &str) {
    let (_runtime, mock) = mock();
    let home = Home::new(&config(&mock, "one"));
    let mut server = home.serve();
    let address = server.address.clone();
    let slow = std::thread::spawn(move || chat(&address, "one", "hi [[delay 800]]"));
    std::thread::sleep(Duration::from_millis(300));
    let pid = server.child.id().to_string();
    let told = std::process::Command::new("kill").args([order, &pid]).stderr(Stdio::null()).status();
    if !told.is_ok_and(|status| status.success()) {
        println!("skipped: no `kill` here");
        return;
    }
    assert_eq!(slow.join().unwrap().map(|(status, _)| status), Some(200));
    assert!(server.child.wait().unwrap().success());
    assert!(chat(&server.address, "one", "hi").is_none());
}

/// What is out of rotation, and up to when.
fn benched(home: &Home) -> Vec<(Option<u64>, Option<u64>)> {
    let health = home.json(&["channel", "health"]);
    let troubles = health.pointer("/channels/0/troubles").and_then(serde_json::Value::as_array).unwrap();
    let row = |trouble: &serde_json::Value| {
        (trouble["credential"].as_u64(), trouble.pointer("/breaker/until").and_then(serde_json::Value::as_u64))
    };
    troubles.iter().map(row).collect()
}

#[test]
fn what_is_out_of_rotation_and_the_active_profile_survive_a_crash_and_an_order_to_stop() {
    let (_runtime, mock) = mock();
    let profiles = "\n[[profiles]]\nname = \"cheap\"\nrules = [{ match = \"big-*\", to = \"main/one\" }]\n";
    let home = Home::new(&format!("{}{profiles}", config(&mock, "one")));
    let mut server = home.serve();
    mock.script(myelin_testkit::Script::error(401));
    assert_eq!(chat(&server.address, "one", "hi").map(|(status, _)| status), Some(502), "the key is refused");
    let out = benched(&home);
    assert!(matches!(out[..], [(Some(0), Some(_))]), "{out:?}");
    assert_eq!(chat(&server.address, "big-one", "hi").map(|(status, _)| status), Some(404), "direct maps nothing");
    home.ok(&["profile", "use", "cheap"]);
    // What traffic taught is kept within a few seconds.
    std::thread::sleep(Duration::from_secs(4));
    for crash in [true, false] {
        if crash {
            server.child.kill().unwrap();
        } else {
            let pid = server.child.id().to_string();
            let told = std::process::Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status();
            if !told.is_ok_and(|status| status.success()) {
                println!("skipped: no `kill` here");
                return;
            }
        }
        server.child.wait().unwrap();
        server = home.serve();
        assert_eq!(benched(&home), out, "crash {crash}");
        assert_eq!(home.json(&["profile", "list"])["active"], "cheap", "crash {crash}");
    }
    // By hand it is put back at once, and that is kept too.
    let told = home.ok(&["channel", "reset", "main"]);
    assert!(benched(&home).is_empty(), "{told}");
    mock.script(myelin_testkit::Script::error(401));
    assert_eq!(chat(&server.address, "big-one", "hi").map(|(status, _)| status), Some(502), "it was asked again");
    assert_eq!(benched(&home).len(), 1);
    // The only one is asked although it is benched, under the profile's name, and works again.
    assert_eq!(chat(&server.address, "big-one", "hi").map(|(status, _)| status), Some(200));
    let told = home.ok(&["channel", "list"]);
    assert!(told.contains("TRAFFIC") && told.contains("sound"), "{told}");
}
