//! Tools by the binary: a home of its own, a gateway that runs, files that come back.

use std::fs;

use serde_json::json;

use crate::commands::{Home, Server};

const SETTINGS: &str = "{\r\n  // mine\r\n  \"theme\": \"dark\",\r\n  \"env\": {\"FOO\": \"1\"}\r\n}\r\n";

struct Scene {
    home: Home,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new("model_sync_seconds = 0\n");
        fs::create_dir_all(home.path().join("user/.claude")).unwrap();
        fs::create_dir_all(home.path().join("bin")).unwrap();
        fs::write(home.path().join("user/.claude/settings.json"), SETTINGS).unwrap();
        Self { home }
    }

    fn run(&self, words: &[&str], env: &[(&str, &str)]) -> (bool, String, String) {
        let mut command = self.home.command(words);
        let path = format!("{}:/usr/bin:/bin", self.home.path().join("bin").display());
        command.env("HOME", self.home.path().join("user")).env("PATH", path).current_dir(self.home.path());
        command.envs(env.iter().copied()).stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    fn ok(&self, words: &[&str]) -> String {
        let (ok, out, err) = self.run(words, &[]);
        assert!(ok, "{words:?}\n{out}\n{err}");
        out
    }

    fn settings(&self) -> String {
        fs::read_to_string(self.home.path().join("user/.claude/settings.json")).unwrap()
    }
}

/// The status that a key gets.
fn ask(server: &Server, key: &str) -> u16 {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
    let host = &server.address;
    write!(
        stream,
        "GET /v1/models HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_reader_that_has_gone_keeps_no_tool_from_being_connected() {
    let scene = Scene::new();
    let _server = scene.home.serve();
    let mut command = scene.home.command(&["tool", "connect", "claude-code", "--yes"]);
    command.env("HOME", scene.home.path().join("user")).current_dir(scene.home.path());
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Like `| head` that has seen enough.
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    assert!(scene.settings().contains("ANTHROPIC_AUTH_TOKEN"), "{}", scene.settings());
}

#[test]
fn a_tool_is_connected_looked_at_repaired_and_restored() {
    let scene = Scene::new();
    let server = scene.home.serve();
    let (ok, _, err) = scene.run(&["tool", "connect", "claude-code"], &[]);
    assert!(!ok && err.contains("--yes"), "{err}");
    assert_eq!(scene.settings(), SETTINGS, "nobody said yes");
    let out = scene.ok(&["tool", "diff", "claude-code"]);
    assert!(out.contains("ANTHROPIC_BASE_URL"), "{out}");
    let out = scene.ok(&["tool", "connect", "claude-code", "--yes"]);
    assert!(out.contains("points here now"), "{out}");
    let settings = scene.settings();
    let key = settings
        .split("\"ANTHROPIC_AUTH_TOKEN\": \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap()
        .to_owned();
    assert!(key.starts_with("my-") && key.len() == 43, "{settings}");
    assert!(!out.contains(&key), "the key is shown: {out}");
    assert!(settings.contains("// mine\r\n"), "{settings}");
    // The key works, and belongs to the tool.
    let keys = scene.ok(&["--json", "key", "list"]);
    assert!(keys.contains("\"tool\": \"claude-code\""), "{keys}");
    assert_eq!(ask(&server, &key), 200);
    // Again: nothing changes, and no second key is made.
    assert!(scene.ok(&["tool", "connect", "claude-code", "--yes"]).contains("nothing was changed"));
    assert_eq!(scene.settings(), settings);
    // A variable that beats the file is told, a value that was changed too.
    let (ok, out, _) = scene.run(&["tool", "drift", "claude-code"], &[("ANTHROPIC_BASE_URL", "https://else.example")]);
    assert!(
        !ok && out.contains("ANTHROPIC_BASE_URL = https://else.example beats its file: set in this shell"),
        "{out}"
    );
    fs::write(scene.home.path().join("user/.claude/settings.json"), settings.replace("/anthropic\"", "/elsewhere\""))
        .unwrap();
    let (ok, out, _) = scene.run(&["tool", "drift"], &[]);
    assert!(!ok && out.contains("has another env.ANTHROPIC_BASE_URL"), "{out}");
    scene.ok(&["tool", "repair", "claude-code"]);
    assert!(scene.ok(&["tool", "list"]).contains("connected"));
    // The value that was pointed elsewhere was repaired: everything of ours goes, and what stood there before is back.
    let out = scene.ok(&["tool", "restore", "claude-code", "--remove-key"]);
    assert!(out.contains(".claude/settings.json"), "{out}");
    assert!(!scene.settings().contains("my-") && scene.settings().contains("// mine\r\n"), "{}", scene.settings());
    assert_eq!(ask(&server, &key), 401);
}

#[test]
fn connecting_and_restoring_gives_back_the_same_bytes_while_nothing_runs() {
    let scene = Scene::new();
    scene.ok(&["tool", "connect", "claude-code", "--yes"]);
    assert_ne!(scene.settings(), SETTINGS);
    let out = scene.ok(&["tool", "restore", "--all"]);
    assert!(out.contains("byte for byte"), "{out}");
    assert_eq!(scene.settings(), SETTINGS);
    let (ok, _, err) = scene.run(&["tool", "restore", "claude-code"], &[]);
    assert!(!ok && err.contains("is not connected"), "{err}");
    let (ok, _, err) = scene.run(&["tool", "connect", "nothing", "--yes"], &[]);
    assert!(!ok && err.contains("there is no tool 'nothing'"), "{err}");
}

#[cfg(unix)]
#[test]
fn a_tool_is_started_with_variables_alone_and_a_folder_decides_its_profile() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new();
    let program = scene.home.path().join("bin/claude");
    fs::write(&program, "#!/bin/sh\necho \"$ANTHROPIC_BASE_URL|$ANTHROPIC_AUTH_TOKEN|${ANTHROPIC_API_KEY-none}|$*\"\ncat \"$2\"\nexit 7\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let (ok, _, err) = scene.run(&["run", "claude"], &[]);
    assert!(!ok && err.contains("no gateway is running"), "{err}");
    let _server = scene.home.serve();
    scene.ok(&["profile", "set", "cheap", "--rule", "claude-*=echo"]);
    let words = ["run", "claude", "--", "-p", "hello"];
    let (_, out, err) = scene.run(&words, &[("ANTHROPIC_API_KEY", "sk-old")]);
    let first = out.lines().next().unwrap_or_default();
    assert!(
        first.contains("/anthropic|my-") && first.contains("|none|--settings ") && first.ends_with(" -p hello"),
        "{out} {err}"
    );
    assert!(!first.contains("/p/"), "{first}");
    assert!(out.lines().nth(1).unwrap().contains("/anthropic"), "{out}");
    assert_eq!(scene.settings(), SETTINGS, "its file is not touched");
    let (_, out, _) = scene.run(&["run", "claude", "--profile", "cheap"], &[]);
    assert!(out.contains("/p/cheap/anthropic|my-"), "{out}");
    scene.ok(&["tool", "pin", "cheap", ".", "--tool", "claude-code"]);
    assert!(scene.ok(&["tool", "pins"]).contains("cheap"));
    let (_, out, err) = scene.run(&words, &[]);
    assert!(out.contains("/p/cheap/anthropic|my-") && err.contains("is bound to profile cheap"), "{out} {err}");
    scene.ok(&["tool", "unpin", ".", "--tool", "claude-code"]);
    let (ok, out, _) = scene.run(&words, &[]);
    assert!(!ok && !out.contains("/p/cheap"), "{out}");
    let (ok, _, err) = scene.run(&["tool", "pin", "nowhere"], &[]);
    assert!(!ok && err.contains("nowhere"), "{err}");
}

#[test]
fn keys_and_other_gateways_are_found_and_taken_over() {
    let scene = Scene::new();
    let env = [("DEEPSEEK_API_KEY", "sk-0123456789abcdefghij")];
    fs::create_dir_all(scene.home.path().join("user/.claude-code-router")).unwrap();
    let ccr = json!({"Providers": [{"name": "relay", "api_base_url": "http://127.0.0.1:9/v1/chat/completions", "api_key": "k-0123456789", "models": ["m"]}], "Router": {"default": "relay,m"}});
    fs::write(scene.home.path().join("user/.claude-code-router/config.json"), ccr.to_string()).unwrap();
    let (ok, out, err) = scene.run(&["import", "--dry-run"], &env);
    assert!(ok, "{err}");
    assert!(out.contains("deepseek") && out.contains("env:DEEPSEEK_API_KEY") && !out.contains("456789abcdef"), "{out}");
    assert!(out.contains("myelin import claude-code-router"), "{out}");
    let (ok, _, err) = scene.run(&["import", "claude-code-router"], &env);
    assert!(!ok && err.contains("--yes"), "{err}");
    let (ok, out, err) = scene.run(&["import", "claude-code-router", "--yes"], &env);
    assert!(ok && out.contains("relay is off until its test passes"), "{out} {err}");
    let channels = scene.ok(&["--json", "channel", "list"]);
    assert!(channels.contains("\"relay\"") && !channels.contains("k-0123456789"), "{channels}");
    assert!(scene.ok(&["profile", "list"]).contains("claude-code-router"));
    let (ok, _, err) = scene.run(&["import", "litellm", "myelin.toml", "--dry-run"], &[]);
    assert!(!ok && err.contains("no configuration of LiteLLM"), "{err}");
}

#[test]
fn snippets_hold_no_key_unless_it_is_asked_for() {
    let scene = Scene::new();
    let out = scene.ok(&["tool", "snippet", "shell", "--base", "https://gw.example/"]);
    assert!(out.contains("OPENAI_BASE_URL=https://gw.example/v1") && out.contains("OPENAI_API_KEY=KEY"), "{out}");
    let out = scene.ok(&["tool", "snippet", "cursor", "--reveal", "--model", "m"]);
    assert!(out.contains("my-") && out.contains("model m"), "{out}");
}

/// Asks the admin API over the owner's socket: status and body.
#[cfg(unix)]
fn api(scene: &Scene, method: &str, path: &str, body: &serde_json::Value) -> (u16, serde_json::Value) {
    use std::io::{Read as _, Write as _};
    let socket = scene.home.path().join("data").join("myelin.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    // A body that nobody reads would have the connection reset.
    let body = if *body == json!({}) { String::new() } else { body.to_string() };
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    let json = body.get(body.find('{').unwrap_or(0)..=body.rfind('}').unwrap_or(0)).unwrap_or_default();
    (status, serde_json::from_str(json).unwrap_or_default())
}

#[cfg(unix)]
#[test]
fn the_admin_api_does_the_same_for_the_console() {
    let scene = Scene::new();
    let user = scene.home.path().join("user").display().to_string();
    let _server = scene.home.serve_with(&[("HOME", &user), ("OPENAI_API_KEY", "sk-0123456789abcdefghij")]);
    let (status, list) = api(&scene, "GET", "/api/v1/tools", &json!({}));
    assert_eq!(status, 200);
    let claude = list["tools"].as_array().unwrap().iter().find(|tool| tool["id"] == "claude-code").unwrap();
    assert_eq!((&claude["state"], &claude["key"]), (&json!("available"), &json!(null)));
    let (status, preview) = api(&scene, "POST", "/api/v1/tools/claude-code/preview", &json!({}));
    assert!(
        status == 200 && preview["changed"] == true && preview["files"][0]["diff"].as_str().unwrap().contains("+"),
        "{preview}"
    );
    assert_eq!(scene.settings(), SETTINGS);
    let (status, done) = api(&scene, "POST", "/api/v1/tools/claude-code/connect", &json!({"model": "claude-x"}));
    assert!(status == 200 && done["changed"] == true, "{done}");
    assert!(scene.settings().contains("\"ANTHROPIC_MODEL\": \"claude-x\""));
    let (_, view) = api(&scene, "GET", "/api/v1/tools/claude-code", &json!({}));
    assert_eq!(
        (&view["state"], &view["key"], &view["model"]),
        (&json!("connected"), &json!("claude-code"), &json!("claude-x")),
        "{view}"
    );
    // A key that was removed is a drift, and a repair makes another.
    api(&scene, "DELETE", "/api/v1/keys/claude-code", &json!({}));
    let (_, view) = api(&scene, "GET", "/api/v1/tools/claude-code", &json!({}));
    assert_eq!((&view["state"], &view["drift"][0]["kind"]), (&json!("drifted"), &json!("key")), "{view}");
    let (status, done) = api(&scene, "POST", "/api/v1/tools/claude-code/repair", &json!({}));
    assert!(status == 200 && done["changed"] == true, "{done}");
    let (status, done) = api(&scene, "POST", "/api/v1/tools/claude-code/restore", &json!({"remove_key": true}));
    assert!(status == 200 && done["files"][0]["how"] == "original", "{done}");
    assert_eq!(scene.settings(), SETTINGS);
    let (_, keys) = api(&scene, "GET", "/api/v1/keys", &json!({}));
    assert!(!keys.to_string().contains("claude-code"), "{keys}");
    for (path, expected) in [
        ("/api/v1/tools/nothing/connect", 404),
        ("/api/v1/tools/copilot-cli/connect", 409),
        ("/api/v1/tools/aider/connect", 409),
    ] {
        let (status, failure) = api(&scene, "POST", path, &json!({}));
        assert_eq!(status, expected, "{path}: {failure}");
    }
    let (status, found) = api(&scene, "GET", "/api/v1/discover", &json!({}));
    assert!(
        status == 200 && found["keys"][0]["from"] == "env:OPENAI_API_KEY" && !found.to_string().contains("456789abc"),
        "{found}"
    );
    let (status, _) = api(&scene, "POST", "/api/v1/discover/adopt", &json!({"keys": ["nothing"]}));
    assert_eq!(status, 404);
    let yaml =
        "providers: [{name: main, type: openai, api_key: sk-0123456789abcdef, base_url: 'http://127.0.0.1:9/v1'}]";
    let (status, preview) = api(&scene, "POST", "/api/v1/import", &json!({"kind": "llmux", "text": yaml}));
    assert!(status == 200 && preview["channels"][0]["name"] == "main" && preview["applied"] == false, "{preview}");
    assert!(!preview.to_string().contains("456789abc"), "{preview}");
    let (status, _) = api(&scene, "POST", "/api/v1/import", &json!({"kind": "llmux", "text": yaml, "apply": true}));
    let (_, again) = api(&scene, "POST", "/api/v1/import", &json!({"kind": "llmux", "text": yaml, "apply": true}));
    assert!(status == 200 && again["channels"][0]["name"] == "main-2", "{again}");
    let (status, _) = api(&scene, "POST", "/api/v1/import", &json!({"kind": "llmux", "text": "x: ["}));
    assert_eq!(status, 422);
}
