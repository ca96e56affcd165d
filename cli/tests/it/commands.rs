//! The binary as people use it: on the store while nothing runs, over the socket while a gateway runs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

pub(super) struct Home(tempfile::TempDir);

impl Home {
    pub(super) fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("myelin.toml"), config).unwrap();
        Self(dir)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TZ", "UTC")
            .env("MYELIN_DATA_DIR", self.path().join("data"))
            .env("MYELIN_CONFIG", self.path().join("myelin.toml"));
        command
    }

    pub(super) fn run(&self, words: &[&str]) -> Output {
        self.command(words).stdin(Stdio::null()).output().unwrap()
    }

    /// Standard output of a command that works.
    pub(super) fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let (out, err) = texts(&output);
        assert!(output.status.success(), "{words:?}\n{out}\n{err}");
        out
    }

    pub(super) fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[&["--json"], words].concat())).unwrap()
    }

    /// Standard error of a command that fails.
    pub(super) fn fails(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let (out, err) = texts(&output);
        assert!(!output.status.success(), "{words:?}\n{out}\n{err}");
        err
    }

    /// A second one with a data directory of its own.
    pub(super) fn serve_beside(&self) -> Server {
        let beside = self.path().join("beside");
        self.serve_with(&[("MYELIN_DATA_DIR", beside.to_str().unwrap())])
    }

    pub(super) fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    /// With variables of its own.
    pub(super) fn serve_with(&self, variables: &[(&str, &str)]) -> Server {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.envs(variables.iter().copied());
        Self::started(command)
    }

    /// A command that serves, once it says where.
    pub(super) fn started(mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit("//").next().unwrap().to_owned();
        Server { child, address }
    }
}

pub(super) struct Server {
    pub(super) child: Child,
    pub(super) address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn texts(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Words of each line, so that widths of columns do not matter.
fn cells(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn without_a_gateway_commands_work_on_the_store_and_say_so() {
    let home = Home::new("");
    let output = home.run(&["key", "create", "laptop", "--model", "gpt-*"]);
    let (out, err) = texts(&output);
    assert!(out.starts_with("my-") && out.contains("(laptop; shown once)"), "{out}");
    assert!(err.contains("no gateway is running: working on"), "{err}");
    let listed = home.ok(&["key", "list"]);
    assert!(listed.contains("laptop") && listed.contains("gpt-*") && listed.contains("never"), "{listed}");
    assert!(!listed.contains(out.split_whitespace().next().unwrap()), "a secret is shown once");
    assert!(home.fails(&["key", "create", "laptop"]).contains("there already is a key 'laptop'"));
    assert!(home.fails(&["status"]).contains("not running"));
    assert!(home.fails(&["logs", "-f"]).contains("not running"));
}

#[test]
fn keys_are_changed_in_place_and_what_they_name_in_vain_is_told() {
    let home = Home::new("");
    let made = home.run(&["key", "create", "laptop", "--channel", "nope", "--model", "gpt-*"]);
    assert!(texts(&made).1.contains("no channel is meant by 'nope'"), "{:?}", texts(&made));
    let changed = home.run(&[
        "key",
        "set",
        "laptop",
        "--name",
        "desk",
        "--any-model",
        "--channel",
        "tag:gone",
        "--expires",
        "30d",
    ]);
    assert!(texts(&changed).1.contains("no channel is meant by 'tag:gone'"), "{:?}", texts(&changed));
    home.ok(&["key", "set", "desk", "--profile", "direct", "--tool", "codex", "--strict", "true", "--blocked", "true"]);
    let key = &home.json(&["key", "list"])["keys"][0];
    assert_eq!((&key["name"], &key["profile"], &key["tool"]), (&"desk".into(), &"direct".into(), &"codex".into()));
    assert!(key["strict"] == true && key["blocked"] == true && key["expires"].is_u64() && key["models"] == json!([]));
    home.ok(&[
        "key",
        "set",
        "desk",
        "--follow",
        "--no-tool",
        "--any-channel",
        "--expires",
        "never",
        "--blocked",
        "false",
    ]);
    let key = &home.json(&["key", "list"])["keys"][0];
    assert!(key["profile"].is_null() && key["tool"].is_null() && key["expires"].is_null(), "{key}");
    assert!(key["channels"] == json!([]) && key["blocked"] == false && key["strict"] == true, "{key}");
    home.ok(&["key", "set", "desk", "--expires", "2020-01-01"]);
    let listed = home.ok(&["key", "list"]);
    assert!(cells(&listed)[1].contains(&"expired"), "{listed}");
    home.ok(&["key", "set", "desk", "--expires", "never"]);
    assert!(home.fails(&["key", "set", "desk"]).contains("nothing is to be changed"));
    assert!(home.fails(&["key", "set", "laptop", "--follow"]).contains("there is no key 'laptop'"));
    home.ok(&["key", "rotate", "desk"]);
    assert_eq!(home.json(&["key", "list"])["keys"][0]["grace_until"].as_array().map(Vec::len), Some(1));
    home.ok(&["key", "rotate", "desk", "--grace", "0s"]);
    let key = &home.json(&["key", "list"])["keys"][0];
    assert_eq!(key["grace_until"], json!([]), "a rotation without grace ends an earlier one");
}

#[test]
fn settings_are_read_changed_and_taken_back() {
    let home = Home::new("lan = false\n");
    home.ok(&["config", "set", "max_attempts", "7"]);
    home.ok(&["config", "set", "timeouts.idle_ms", "1234"]);
    home.ok(&["config", "set", "allowed_hosts", "a.example,b.example"]);
    assert_eq!(home.ok(&["config", "get", "max_attempts"]).trim(), "7");
    assert_eq!(home.json(&["config", "get", "timeouts.idle_ms"]), 1234);
    assert_eq!(home.json(&["config", "get", "allowed_hosts"]), json!(["a.example", "b.example"]));
    assert!(home.ok(&["config", "unset", "max_attempts"]).contains("max_attempts is 5, its default"));
    assert_eq!(home.json(&["config", "get", "timeouts.idle_ms"]), 1234, "the others stay");
    assert!(home.fails(&["config", "set", "max_atempts", "7"]).contains("did you mean 'max_attempts'?"));
    assert!(home.fails(&["config", "set", "max_attempts", "many"]).contains("'many' is not what it takes"));
    assert!(home.fails(&["config", "set", "lan", "true"]).contains("file"));
}

#[test]
fn options_that_do_nothing_and_groups_that_reach_nothing_are_told() {
    let home = Home::new("");
    let add = |words: &[&str]| texts(&home.run(&[&["channel", "add"], words].concat())).1;
    let told = add(&["bedrock", "--force", "--key", "k", "--option", "regoin=eu-west-1"]);
    assert!(told.contains("no option 'regoin'") && told.contains("did you mean 'region'?"), "{told}");
    assert!(!add(&["azure", "--force", "--key", "k", "--option", "resource=me"]).contains("no option"));
    add(&["openai", "--force", "--key", "k", "--model", "gpt-5"]);
    let told = texts(&home.run(&["route", "set", "smart", "--group", "openai/*"])).1;
    assert!(told.contains("'openai/*' asks the channel for 'smart'") && told.contains("openai/MODEL"), "{told}");
    assert!(!texts(&home.run(&["route", "set", "smart", "--group", "openai/gpt-5"])).1.contains("asks the channel"));
}

#[test]
fn a_wrong_flag_is_not_blamed_on_the_file_and_health_needs_no_key() {
    let home = Home::new("");
    let told = home.fails(&["serve", "--listen", "nonsense"]);
    assert!(told.contains("--listen: 'nonsense' is no address") && !told.contains("myelin.toml"), "{told}");
    let server = home.serve();
    let mut connection = std::net::TcpStream::connect(&server.address).unwrap();
    let head = format!("GET /health HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", server.address);
    connection.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"ready\""), "{answer}");
}

#[test]
fn profiles_and_routes_are_set_listed_and_removed() {
    let home = Home::new("");
    assert_eq!(home.ok(&["profile", "set", "cheap", "--rule", "claude-*=echo"]).trim(), "cheap has 1 rules");
    assert_eq!(home.ok(&["profile", "use", "cheap"]).trim(), "the gateway uses cheap");
    let listed = home.ok(&["profile", "list"]);
    assert_eq!(
        cells(&listed)[1..],
        [vec!["direct", "0", "-", "built", "in"], vec!["cheap", "active", "1", "-", "store"]]
    );
    assert!(home.ok(&["profile", "show", "cheap"]).contains("claude-*"));
    assert!(home.fails(&["profile", "remove", "cheap"]).contains("is active"));
    home.ok(&["profile", "use", "direct"]);
    home.ok(&["profile", "remove", "cheap"]);
    assert!(home.fails(&["profile", "use", "cheap"]).contains("no profile 'cheap'"));
    let output = home.run(&["route", "set", "a/b", "--group", "gone/x", "--group", "ordered:tag:t"]);
    assert!(texts(&output).1.contains("warning: routes.a/b.groups[0].use: there is no channel 'gone'"));
    assert!(home.ok(&["route", "list"]).contains("weighted: gone/x  then  ordered: tag:t"));
    home.ok(&["route", "remove", "a/b"]);
    assert_eq!(home.json(&["route", "list"])["routes"], serde_json::json!([]));
}

#[test]
fn a_channel_that_fails_its_test_is_kept_off_and_shows_no_secret() {
    let home = Home::new("");
    let words = [
        "channel",
        "add",
        "openai-compatible",
        "--name",
        "dead",
        "--base-url",
        "http://127.0.0.1:9/v1",
        "--key",
        "-",
        "--model",
        "m",
    ];
    let mut child =
        home.command(&words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"sk-canary-0123456789\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, err) = texts(&output);
    assert!(
        !output.status.success() && err.contains("the test of dead failed") && err.contains("stays off"),
        "{out}{err}"
    );
    let shown = home.json(&["channel", "show", "dead"]);
    assert_eq!((&shown["enabled"], &shown["state"]["is"]), (&Value::Bool(false), &Value::from("failing")));
    assert_eq!(shown["credentials"][0], "…6789");
    assert!(home.fails(&["channel", "enable", "dead"]).contains("no test"));
    home.ok(&["channel", "enable", "dead", "--force"]);
    let listed = home.ok(&["channel", "list"]);
    assert_eq!(cells(&listed)[1], ["dead", "openai-compatible", "on", "failing", "sound", "1", "-", "store"]);
    let doctor = home.run(&["doctor"]);
    assert!(!doctor.status.success() && texts(&doctor).0.contains("bad   the last test of dead failed"));
    home.ok(&["channel", "remove", "dead"]);
    assert!(home.fails(&["channel", "test", "dead"]).contains("no channel 'dead'"));
    assert!(home.fails(&["channel", "add", "no-such-provider"]).contains("`myelin channel providers` lists them"));
}

#[test]
fn a_channel_is_changed_in_place_and_what_is_not_named_stays() {
    let home = Home::new("");
    let add = ["--key", "sk-old-0123456789", "--option", "a=1", "--header", "X-Old=1", "--model", "m", "--force"];
    home.ok(&[&["channel", "add", "openai-compatible", "--base-url", "http://127.0.0.1:9/v1"][..], &add].concat());
    let again = home.fails(&["channel", "add", "openai-compatible", "--key", "x"]);
    assert!(again.contains("`myelin channel set openai-compatible …` changes it"), "{again}");
    assert!(home.ok(&["channel", "set", "openai-compatible", "--weight", "3"]).contains("is changed"));
    let set = ["--key", "sk-new-9876543210", "--option", "b=2", "--header", "X-New=2"];
    let err = home.fails(&[&["channel", "set", "openai-compatible"][..], &set].concat());
    assert!(err.contains("the test of openai-compatible failed"), "a new key is tested at once: {err}");
    let shown = home.json(&["channel", "show", "openai-compatible"]);
    assert_eq!(shown["credentials"], serde_json::json!(["…3210"]));
    assert_eq!(shown["options"], serde_json::json!({"a": "1", "b": "2"}));
    assert_eq!(shown["headers"], serde_json::json!({"X-Old": "***", "X-New": "***"}));
    assert_eq!((&shown["weight"], &shown["models"][0]), (&Value::from(3), &Value::from("m")));
    assert!(home.fails(&["channel", "set", "openai-compatible"]).contains("nothing is to be changed"));
    assert!(home.fails(&["channel", "set", "nope", "--weight", "1"]).contains("no channel 'nope'"));
}

#[test]
fn providers_are_listed_with_the_variable_of_their_key() {
    let listed = Home::new("").ok(&["channel", "providers"]);
    assert!(listed.lines().any(|line| line.starts_with("deepseek ") && line.contains("DEEPSEEK_API_KEY")), "{listed}");
}

#[test]
fn the_first_key_is_shown_even_if_the_port_is_taken() {
    let home = Home::new("");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = home.run(&["serve", "--listen", &address]);
    let (out, err) = texts(&output);
    assert!(!output.status.success() && err.contains("the port is taken"), "{err}");
    assert!(out.contains("my-") && out.contains("mya-"), "no later start shows them: {out}");
    assert!(!err.contains('\u{1b}'), "colours are for terminals: {err}");
}

#[test]
fn doctor_finds_the_mistake_that_a_running_gateway_hides() {
    let home = Home::new("");
    let _server = home.serve();
    assert!(home.ok(&["doctor"]).contains("is sound"));
    std::fs::write(home.path().join("myelin.toml"), "\nlisen = []\n").unwrap();
    let (out, _) = texts(&home.run(&["doctor"]));
    assert!(out.lines().any(|line| line.starts_with("bad") && line.contains("lisen") && line.contains('2')), "{out}");
}

#[test]
fn the_file_is_checked_with_lines_and_is_read_only_elsewhere() {
    let home = Home::new("\n[[channels]]\nname = \"main\"\nprovider = \"openai\"\nweigth = 2\n");
    let output = home.run(&["config", "check"]);
    let (out, err) = texts(&output);
    assert!(!output.status.success());
    assert!(
        out.contains("myelin.toml:5: error: channels.main.weigth: unknown key 'weigth': did you mean 'weight'?"),
        "{out}{err}"
    );
    let fixed =
        "[[channels]]\nname = \"main\"\nprovider = \"openai\"\ncredentials = [\"sk-abcdefghijkl\"]\nmodels = [\"m\"]\n";
    std::fs::write(home.path().join("myelin.toml"), fixed).unwrap();
    assert!(home.ok(&["config", "check"]).contains("is sound"));
    assert!(home.fails(&["channel", "remove", "main"]).contains("managed by the configuration file"));
    assert!(home.ok(&["config", "show"]).contains("max_attempts"));
    assert!(home.ok(&["config", "path"]).contains("myelin.toml"));
    assert!(home.ok(&["config", "reference"]).starts_with("# Configuration file"));
}

#[test]
fn completions_know_the_commands() {
    let home = Home::new("");
    for shell in ["bash", "zsh", "fish"] {
        assert!(home.ok(&["completions", shell]).contains("channel"), "{shell}");
    }
}

#[cfg(unix)]
#[test]
fn a_running_gateway_is_worked_over_its_socket() {
    let home = Home::new("");
    let server = home.serve();
    let status = home.json(&["status"]);
    assert_eq!(
        (status["listen"][0].as_str(), status["pid"].as_u64()),
        (Some(server.address.as_str()), Some(server.child.id().into()))
    );
    let made = home.run(&["--json", "key", "create", "laptop"]);
    assert_eq!(texts(&made).1, "", "nothing is said of working on the store");
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let key = made["secret"].as_str().unwrap();
    // A request with the new key, and what is told of it.
    let mut follow = home.command(&["--json", "logs", "-f", "-n", "0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut followed = BufReader::new(follow.stdout.take().unwrap());
    let ask = |key: &str| {
        let body = r#"{"model":"echo","messages":[{"role":"user","content":"hello"}]}"#;
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            server.address,
            body.len()
        );
        let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    // Until the follower has begun to follow, what ends is not shown to it.
    let line = std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel();
        scope.spawn(move || {
            let mut line = String::new();
            followed.read_line(&mut line).unwrap();
            sender.send(line).unwrap();
        });
        loop {
            assert!(ask(key).starts_with("HTTP/1.1 200"));
            if let Ok(line) = receiver.recv_timeout(std::time::Duration::from_millis(500)) {
                break line;
            }
        }
    });
    follow.kill().unwrap();
    follow.wait().unwrap();
    let record: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((record["model"].as_str(), record["key"].as_str()), (Some("echo"), made["key"]["id"].as_str()));
    let logs = home.ok(&["logs", "--key", "laptop", "-n", "1"]);
    assert!(logs.contains("200  completed") && logs.contains("echo"), "{logs}");
    let id = record["id"].as_str().unwrap();
    assert_eq!(home.json(&["logs", id])["id"].as_str(), Some(id));
    home.ok(&["key", "block", "laptop"]);
    assert!(!ask(key).starts_with("HTTP/1.1 200"), "the next request feels it");
    // A second one does not start, and says why.
    let second = home.fails(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(second.contains("in use by another myelin") && second.contains(&server.child.id().to_string()), "{second}");
    let models = home.ok(&["model", "list"]);
    assert!(models.contains("echo"), "{models}");
    assert!(home.ok(&["admin", "token"]).starts_with("mya-"));
    assert_eq!(home.json(&["admin", "tokens"])["tokens"].as_array().unwrap().len(), 2, "the first start made one");
}

#[cfg(unix)]
#[test]
fn what_a_killed_gateway_leaves_behind_is_no_obstacle() {
    let home = Home::new("");
    let mut server = home.serve();
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    assert!(home.path().join("data/myelin.sock").exists());
    assert!(home.ok(&["key", "list"]).contains("default"));
    let again = home.serve();
    assert_eq!(home.json(&["status"])["pid"].as_u64(), Some(again.child.id().into()));
}
