//! What is left of a gateway that was killed under load: no completed request is missing, sums, counters and budgets are those of the records, kept bodies
//! are those of their requests, and no file is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use myelin_testkit::MockServer;
use serde_json::Value;

use crate::commands::{Home, Server};
use crate::process::{config_of, mock, post, post_with, wait};

const PASSPHRASE: &str = "correct horse battery";
/// Dollars that the narrow budget has, in nanodollars.
const NARROW: u64 = 2_000_000_000;
/// What one request reserves of it at most: its prompt and the 40 tokens that it allows for the answer.
const RESERVED: u64 = 200_000_000;

/// One channel whose two models have a price, every kind of limit that counts, and bodies of everything.
fn config(mock: &MockServer, strict: bool) -> String {
    let price = "price = { input = 1000, cache_read = 100, output = 2000 }";
    let models = format!(
        "models = [{{ name = \"one\", upstream = \"one\", {price} }}, {{ name = \"narrow\", upstream = \"one\", {price} }}]"
    );
    let limits = [
        "name = \"requests\"\non = \"gateway\"\nrequests = 100000000\nper = \"total\"",
        "name = \"tokens\"\non = \"key:app\"\ntokens = 100000000000\nper = \"30d\"",
        "name = \"money\"\non = \"gateway\"\nmoney = 1000000\nper = \"total\"",
        "name = \"channel\"\non = \"channel:main\"\nmoney = 1000000\nper = \"7d\"",
        "name = \"at-once\"\non = \"key:app\"\nparallel = 100",
        "name = \"narrow\"\non = \"model:narrow\"\nmoney = 2\nper = \"total\"",
    ];
    let limits: String = limits.iter().map(|limit| format!("\n[[limits]]\n{limit}\n")).collect();
    let config = config_of(mock, "one", strict).replace("models = [\"one\"]", &models);
    format!("bodies = \"all\"\n{config}{limits}")
}

/// A number below `bound`, another one in every run.
fn random(bound: u64) -> u64 {
    RandomState::new().hash_one(0) % bound
}

/// Text of every whole answer's request, by id.
type Answered = BTreeMap<String, String>;

/// Twelve clients ask, every other one for streams and every third of a narrow budget, until the process is killed at some moment.
fn killed_under_load(server: &mut Server, life: u64) -> Answered {
    let answered = Arc::new(Mutex::new((Answered::new(), [0_u64; 2])));
    let workers: Vec<_> = (0..12)
        .map(|worker| {
            let (answered, address, stream) = (answered.clone(), server.address.clone(), worker % 2 == 0);
            let model = if worker % 3 == 2 { "narrow" } else { "one" };
            std::thread::spawn(move || {
                for n in 0.. {
                    let text = format!("say one two three [[usage input=20 read=5 output=30]] mark-{life}-{worker}-{n}-");
                    let body = format!(
                        "{{\"model\":\"{model}\",\"stream\":{stream},\"max_tokens\":40,\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}"
                    );
                    let Some((status, id)) = post(&address, &body) else { return };
                    assert!(status == 200 || (status == 402 && model == "narrow"), "{status}");
                    let mut answered = answered.lock().unwrap();
                    if status == 200 {
                        answered.1[usize::from(stream)] += 1;
                    }
                    answered.0.insert(id, text);
                }
            })
        })
        .collect();
    let some = 20 + random(120);
    wait("some answers", || answered.lock().unwrap().1.iter().all(|count| *count > some));
    std::thread::sleep(Duration::from_micros(random(20_000)));
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    std::mem::take(&mut answered.lock().unwrap().0)
}

/// Requests that were let in, tokens, nanodollars, and nanodollars of the narrow budget.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    let_in: u64,
    tokens: u64,
    money: u64,
    narrow: u64,
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// The sums of the records.
fn of_records(records: &[Value]) -> Sums {
    let mut sums = Sums::default();
    for record in records {
        let cost = number(record, "/cost");
        sums.let_in += u64::from(record["refused_by"].is_null());
        sums.tokens += number(record, "/usage/input") + number(record, "/usage/output");
        sums.money += cost;
        sums.narrow += if record["model"] == "narrow" { cost } else { 0 };
    }
    sums
}

/// What the budgets have counted.
fn of_limits(home: &Home) -> Sums {
    let limits = home.json(&["limit", "list"]);
    let limit = |name: &str| limits["limits"].as_array().unwrap().iter().find(|limit| limit["name"] == name).unwrap();
    assert_eq!(number(limit("at-once"), "/held"), 0, "nothing is in flight");
    assert_eq!(limit("money")["used"], limit("channel")["used"], "all went through one channel");
    let used = |name: &str| number(limit(name), "/used");
    Sums { let_in: used("requests"), tokens: used("tokens"), money: used("money"), narrow: used("narrow") }
}

/// Everything that must hold of what lies on the disk; the ids of the records, and of those with bodies.
fn agrees(home: &Home, answered: &Answered, round: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let lines = home.ok(&["export", "--as", "jsonl", "--bodies"]);
    let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
    let ids: BTreeSet<String> = records.iter().map(id).collect();
    assert_eq!(ids.len(), records.len(), "{round}: none twice");
    let lost: Vec<_> = answered.keys().filter(|id| !ids.contains(*id)).collect();
    assert!(lost.is_empty(), "{round}: {} of {} lost: {lost:?}", lost.len(), answered.len());
    assert_eq!(
        home.ok(&["--json", "logs", "--number", "1000000"]).lines().count(),
        ids.len(),
        "{round}: a list has them"
    );

    let sums = of_records(&records);
    for by in ["model,state", "hour", "day"] {
        let usage = home.json(&["usage", "--by", by]);
        let groups = usage["groups"].as_array().unwrap();
        let all = |field: &str| groups.iter().map(|group| number(group, field)).sum::<u64>();
        for (field, wanted) in [("/requests", ids.len() as u64), ("/cost", sums.money)] {
            assert_eq!((number(&usage["total"], field), all(field)), (wanted, wanted), "{round}: {field} by {by}");
        }
        assert_eq!(all("/input") + all("/output"), sums.tokens, "{round}: tokens by {by}");
    }
    assert_eq!(of_limits(home), sums, "{round}: budgets have counted what the records say");
    assert!(sums.narrow <= NARROW + RESERVED, "{round}: {} of {NARROW}", sums.narrow);

    let mut kept = BTreeSet::new();
    for record in &records {
        let bodies = record["kept"].to_string();
        let Some(text) = answered.get(&id(record)).filter(|_| bodies.contains("mark-")) else { continue };
        assert!(bodies.contains(text.as_str()), "{round}: bodies are those of their request: {bodies}");
        kept.insert(id(record));
    }
    (ids, kept)
}

/// Runs with the passphrase of backups.
fn vault(home: &Home, words: &[&str]) {
    let output = home.command(words).env("MYELIN_PASSPHRASE", PASSPHRASE).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A backup reads every table of every file; what comes back elsewhere is the same.
fn every_table_reads(home: &Home, config: &str, answered: &Answered, found: &(BTreeSet<String>, BTreeSet<String>)) {
    let file = home.path().join("all.backup");
    let file = file.to_str().unwrap();
    vault(home, &["backup", file]);
    let other = Home::new(config);
    vault(&other, &["restore", "--yes", file]);
    assert_eq!(agrees(&other, answered, "restored"), *found);
}

#[test]
fn what_was_answered_is_in_the_log_after_the_process_was_killed() {
    let (_runtime, mock) = mock();
    // `cargo xtask soak` asks for more of them.
    let soak = std::env::var_os("MYELIN_SOAK_ROUNDS").map(|rounds| rounds.to_str().unwrap().parse::<u64>().unwrap());
    for (strict, usual) in [(false, 6), (true, 2)] {
        let rounds = soak.map_or(usual, |soak| if strict { soak / 5 } else { soak - soak / 5 });
        let config = config(&mock, strict);
        let home = Home::new(&config);
        let mut answered = Answered::new();
        let mut found = (BTreeSet::new(), BTreeSet::new());
        for round in 0..rounds {
            answered.append(&mut killed_under_load(&mut home.serve(), round));
            let name = format!("strict {strict}, round {}", round + 1);
            let now = agrees(&home, &answered, &name);
            assert!(found.0.is_subset(&now.0) && found.1.is_subset(&now.1), "{name}: what was kept once stays");
            found = now;
            if soak.is_some() {
                println!(
                    "{name}: {} answers, none lost, {} with bodies; sums and budgets agree",
                    answered.len(),
                    found.1.len()
                );
            }
        }
        assert!(!found.1.is_empty() || rounds == 0, "bodies were kept");
        let refused = home.json(&["limit", "show", "narrow"]);
        assert!(rounds < 2 || number(&refused, "/used") + RESERVED >= NARROW, "the narrow budget was used: {refused}");
        every_table_reads(&home, &config, &answered, &found);
        let server = home.serve();
        let body = "{\"model\":\"one\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
        assert_eq!(post(&server.address, body).map(|(status, _)| status), Some(200), "it starts again");
    }
}

/// The gateway on a disk whose files cannot grow beyond so many bytes: every write past that fails, as on a full one.
#[cfg(target_os = "linux")]
fn serve_on_a_full_disk(home: &Home, bytes: u64) -> Server {
    let binary = home.command(&[]).get_program().to_owned();
    // `ulimit -f` counts blocks of 512 bytes; the signal that comes with it would end the process.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" serve --listen 127.0.0.1:0", bytes / 512);
    let plain = home.command(&[]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).arg(binary).env_clear();
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    Home::started(command)
}

#[cfg(target_os = "linux")]
#[test]
fn case_55_on_a_full_disk_traffic_goes_on_and_everybody_is_told() {
    let (_runtime, mock) = mock();
    let home = Home::new(&config(&mock, false));
    // Words that do not pack, so that what is kept takes room.
    let noise = |words: usize| (0..words).map(|_| format!("{:x}", random(u64::MAX))).collect::<Vec<_>>().join("-");
    let ask = |server: &Server, n: u64, words: usize| {
        let (stream, text) = (n.is_multiple_of(2), noise(words * 8));
        let body = format!(
            "{{\"model\":\"one\",\"stream\":{stream},\"messages\":[{{\"role\":\"user\",\"content\":\"say one [[usage input=20 output=30]] mark-{n}- {text}\"}}]}}"
        );
        let headers: String =
            ["trace", "thread"].map(|name| format!("x-{name}-id: {:.190}\r\n", noise(words))).concat();
        let (status, id) = post_with(&server.address, &headers, &body).expect("an answer that is whole");
        assert_eq!(status, 200, "request {n}");
        (id, format!("mark-{n}-"))
    };
    // Four at a time.
    let some = |server: &Server, first: u64| -> Answered {
        std::thread::scope(|scope| {
            let ask = |own: u64| (0..20).map(|n| ask(server, first + 4 * n + own, 50)).collect::<Vec<_>>();
            let workers: Vec<_> = (0..4).map(|own| scope.spawn(move || ask(own))).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        })
    };
    let mut answered = Answered::new();
    // The files are there, and small.
    let server = home.serve_with(&[("MYELIN__BODIES", "off")]);
    answered.extend((0..20).map(|n| ask(&server, n, 1)));
    drop(server);
    let size = |file: &str| std::fs::metadata(home.path().join("data").join(file)).unwrap().len();
    let room = size("myelin.redb").max(size("bodies.redb"));
    let mut server = serve_on_a_full_disk(&home, room);
    let status = || home.json(&["status"]);
    let mut n = 20;
    // A file has some room within: it takes a while until the disk is needed.
    while !(status()["ledger"]["failing"] == true && status()["bodies"]["failing"] == true) {
        assert!(n < 5_000, "the disk is never full: {}", status());
        answered.extend(some(&server, n));
        n += 80;
    }
    answered.extend(some(&server, n));
    let told = home.run(&["status"]);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    for words in ["records cannot be written", "bodies cannot be kept", "requests were not kept"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let ready = get(&server.address, "/health/ready");
    assert!(ready.contains("\"degraded\"") && ready.contains("\"records_lost\":0"), "{ready}");
    let heard = || home.ok(&["events", "--level", "warning"]);
    wait("the owner hears of it", || heard().contains("records cannot be written") && heard().contains("bodies"));
    server.child.kill().unwrap();
    server.child.wait().unwrap();

    // With room again, what stood in the journal is there.
    let (_, kept) = agrees(&home, &answered, "with room again");
    assert!(kept.len() < answered.len(), "bodies were dropped, as was told");
    let server = home.serve();
    let after = status();
    assert!(after["ledger"]["failing"] == false && number(&after, "/requests") == answered.len() as u64, "{after}");
    drop(server);
}

/// The body of an answer to a plain GET.
#[cfg(target_os = "linux")]
fn get(address: &str, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    connection.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}
