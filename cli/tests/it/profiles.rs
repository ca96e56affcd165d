//! Profiles as people use them: switched for all or for one tool, pinned, ready-made, carried to another machine; and a changed file under load.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use myelin_testkit::{KEY, MockServer};
use serde_json::json;

use crate::commands::Home;
use crate::process::{mock, replace, wait};

const TOOL: &str = "my-of-the-tool-0123456789";
const OTHER: &str = "my-of-others-0123456789";

fn config(mock: &MockServer) -> String {
    let base = mock.base_url("openai");
    let channel = |name: &str| {
        format!(
            "\n[[channels]]\nname = \"{name}\"\nprovider = \"openai\"\nbase_url = \"{base}\"\ncredentials = [\"{KEY}\"]\nmodels = [\"{name}-model\"]\n"
        )
    };
    format!(
        "model_sync_seconds = 0\n{}{}\n[[keys]]\nname = \"editor\"\nsecret = \"{TOOL}\"\ntool = \"claude-code\"\n\n[[keys]]\nname = \"others\"\nsecret = \"{OTHER}\"\n\n\
        [[profiles]]\nname = \"cheap\"\nrules = [{{ match = \"*\", to = \"small/small-model\" }}]\n\n[[profiles]]\nname = \"dear\"\nrules = [{{ match = \"*\", to = \"large/large-model\" }}]\n",
        channel("small"),
        channel("large"),
    )
}

/// Sends one request and gives the head and the body of its answer.
fn send(address: &str, key: &str, path: &str, header: &str, model: &str) -> (String, String) {
    let body =
        json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "hello there"}]}).to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n{header}connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

/// Profile and channel of the next answer.
fn goes(address: &str, key: &str, path: &str, header: &str) -> (String, String) {
    let (head, body) = send(address, key, path, header, "any");
    assert!(head.starts_with("http/1.1 200"), "{head} {body}");
    let named =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    (named("x-myelin-profile:"), named("x-myelin-channel:"))
}

#[test]
fn one_tool_is_switched_and_its_next_request_follows_while_the_others_stay() {
    let (_runtime, mock) = mock();
    let home = Home::new(&config(&mock));
    let server = home.serve();
    let chat = "/v1/chat/completions";
    let both = |path: &str| [TOOL, OTHER].map(|key| goes(&server.address, key, path, "").0);
    home.ok(&["profile", "use", "cheap"]);
    assert_eq!(both(chat), ["cheap", "cheap"]);
    home.ok(&["profile", "use", "dear", "--tool", "claude-code"]);
    assert_eq!(goes(&server.address, TOOL, chat, ""), ("dear".to_owned(), "large".to_owned()));
    assert_eq!(goes(&server.address, OTHER, chat, ""), ("cheap".to_owned(), "small".to_owned()));
    // It is told before anything is sent.
    let told = home.json(&["explain", "any", "--tool", "claude-code"]);
    assert_eq!(
        (&told["profile"], &told["profile_from"], &told["plan"][0]["channel"]),
        (&json!("dear"), &json!("tool"), &json!("large"))
    );
    let told = home.json(&["explain", "any", "--key", "others"]);
    assert_eq!((&told["profile"], &told["plan"][0]["channel"]), (&json!("cheap"), &json!("small")));
    let told = home.ok(&["explain", "any", "--profile", "dear", "--tokens", "1000"]);
    assert!(told.contains("dear#1 * fires") && told.contains("large/large-model"), "{told}");
    // Pins hold for one request.
    assert_eq!(both("/p/dear/v1/chat/completions"), ["dear", "dear"]);
    assert_eq!(goes(&server.address, TOOL, chat, "x-myelin-profile: cheap\r\n").0, "cheap");
    assert_eq!(both(chat), ["dear", "cheap"]);
    home.ok(&["profile", "use", "dear", "--key", "others"]);
    home.ok(&["profile", "follow", "--tool", "claude-code"]);
    assert_eq!(both(chat), ["cheap", "dear"]);
    home.ok(&["profile", "follow", "--key", "others"]);
    home.ok(&["profile", "use", "dear"]);
    assert_eq!(both(chat), ["dear", "dear"]);
    assert!(home.fails(&["profile", "use", "gone", "--tool", "claude-code"]).contains("no profile 'gone'"));
    assert!(home.fails(&["profile", "use", "cheap", "--tool", "no-such-tool"]).contains("no-such-tool"));
}

#[test]
fn explain_tells_the_order_of_a_channels_keys_where_it_has_several() {
    let (_runtime, mock) = mock();
    let base = mock.base_url("openai");
    let channel = |name: &str, keys: &str| {
        format!(
            "[[channels]]\nname = \"{name}\"\nprovider = \"openai\"\nbase_url = \"{base}\"\ncredentials = [{keys}]\nmodels = [\"{name}-model\"]\n\n"
        )
    };
    let three = format!("\"{KEY}-1\", \"{KEY}-2\", \"{KEY}-3\"");
    let one = format!("\"{KEY}\"");
    let home = Home::new(&format!("model_sync_seconds = 0\n{}{}", channel("many", &three), channel("one", &one)));
    let _server = home.serve();
    let told = home.ok(&["explain", "many-model"]);
    let row = told.lines().find(|line| line.contains("many/many-model")).expect("its row");
    // TRY, DEPLOYMENT, then the positions up to the group.
    let mut words: Vec<&str> = row.split_whitespace().skip(2).take(3).map(|word| word.trim_end_matches(',')).collect();
    words.sort_unstable();
    assert!(told.contains("CREDENTIALS"), "{told}");
    assert_eq!(words, ["1", "2", "3"], "{told}");
    let told = home.ok(&["explain", "one-model"]);
    assert!(told.contains("one/one-model") && !told.contains("CREDENTIALS"), "{told}");
}

#[test]
fn ready_made_profiles_serve_at_once_and_profiles_travel_without_any_secret() {
    let (_runtime, mock) = mock();
    let canary = "mock-canary-secret-0123456789";
    let base = mock.base_url("deepseek");
    let channel = format!(
        "model_sync_seconds = 0\n[[channels]]\nname = \"deepseek\"\nprovider = \"deepseek\"\nbase_url = \"{base}\"\ncredentials = [\"{canary}\"]\nmodels = [\"deepseek-chat\", \"deepseek-reasoner\"]\n\n[[keys]]\nname = \"editor\"\nsecret = \"{TOOL}\"\n"
    );
    let home = Home::new(&channel);
    let server = home.serve();
    let listed = home.json(&["profile", "add"]);
    let names: Vec<_> = listed["presets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|preset| preset["name"].as_str().unwrap().to_owned())
        .collect();
    for wanted in
        ["claude-code-deepseek", "claude-code-kimi", "claude-code-glm", "claude-code-ollama", "cheap", "offline"]
    {
        assert!(names.iter().any(|name| name == wanted), "{names:?}");
    }
    for name in &names {
        home.ok(&["profile", "add", "--preset", name]);
    }
    home.ok(&["profile", "add", "mine", "--preset", "cheap"]);
    home.ok(&["profile", "use", "claude-code-deepseek"]);
    let (head, body) =
        send(&server.address, TOOL, "/v1/messages", "anthropic-version: 2023-06-01\r\n", "claude-sonnet-4-5");
    assert!(head.starts_with("http/1.1 200") && head.contains("x-myelin-model: deepseek-chat"), "{head} {body}");
    assert!(body.contains("\"type\":\"message\"") && body.contains("hello there"), "{body}");
    let exported = home.ok(&["profile", "export"]);
    for secret in [canary, "0123456789", TOOL, "my-", "mya-", "credentials"] {
        assert!(!exported.contains(secret), "{secret} is in {exported}");
    }
    // Somebody else takes them over.
    let other = Home::new("");
    let file = other.path().join("profiles.json");
    std::fs::write(&file, &exported).unwrap();
    let file = file.to_str().unwrap();
    other.ok(&["profile", "import", file]);
    assert!(
        other.fails(&["profile", "import", file]).contains("--replace replaces it"),
        "nothing is overwritten unasked"
    );
    other.ok(&["profile", "import", file, "--replace"]);
    for name in names.iter().map(String::as_str).chain(["mine"]) {
        let rules = |home: &Home| home.json(&["profile", "show", name])["rules"].clone();
        assert_eq!(rules(&other), rules(&home), "{name}");
    }
    assert_eq!(other.json(&["profile", "list"])["active"], "direct", "what is active is not carried over");
}

/// Opens a stream and reads it line by line; `begun` counts those that had their first content.
fn stream(address: &str, begun: &AtomicUsize) -> Result<(), String> {
    let words: Vec<String> = (0..14).map(|word| format!("word{word}")).collect();
    let text = format!("{} [[pace 500]]", words.join(" "));
    let body = json!({"model": "any", "stream": true, "messages": [{"role": "user", "content": text}]}).to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {OTHER}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut connection = TcpStream::connect(address).map_err(|error| error.to_string())?;
    connection.write_all(format!("{head}{body}").as_bytes()).map_err(|error| error.to_string())?;
    let (mut whole, mut counted) = (String::new(), false);
    for line in BufReader::new(connection).lines() {
        whole.push_str(&line.map_err(|error| format!("{error} after {whole}"))?);
        whole.push('\n');
        if !counted && whole.contains("\"content\":\"") && whole.contains("said") {
            begun.fetch_add(1, Ordering::Relaxed);
            counted = true;
        }
    }
    let all = words.iter().all(|word| {
        whole.matches(&format!("\"{word} \"")).count() + whole.matches(&format!("\"{word}\"")).count() == 1
    });
    let from = whole.to_lowercase().contains("x-myelin-channel: small");
    (from && all && whole.contains("data: [DONE]") && !whole.contains("\"error\"")).then_some(()).ok_or(whole)
}

#[test]
fn a_changed_file_in_the_middle_of_200_streams_breaks_none_and_the_next_request_follows_it() {
    let (_runtime, mock) = mock();
    let text = config(&mock);
    let before = format!("active_profile = \"cheap\"\n{text}");
    let home = Home::new(&before);
    let server = home.serve();
    assert_eq!(goes(&server.address, OTHER, "/v1/chat/completions", "").1, "small");
    let begun = Arc::new(AtomicUsize::new(0));
    let streams: Vec<_> = (0..200)
        .map(|_| {
            let (address, begun) = (server.address.clone(), begun.clone());
            std::thread::spawn(move || stream(&address, &begun))
        })
        .collect();
    wait("all streams have begun", || begun.load(Ordering::Relaxed) == 200);
    // The profile leads elsewhere, and the channel that serves the streams is gone.
    let (head, rest) = before.split_once("\n[[channels]]\nname = \"small\"").unwrap();
    let (_, rest) = rest.split_once("\n[[channels]]").unwrap();
    let after = format!("{head}\n[[channels]]{rest}").replace("small/small-model", "large/large-model");
    replace(&home.path().join("myelin.toml"), &after);
    wait("the new file is in force", || goes(&server.address, OTHER, "/v1/chat/completions", "").1 == "large");
    let running = streams.iter().filter(|stream| !stream.is_finished()).count();
    assert!(running > 100, "only {running} streams were still under way when the file changed");
    let broken: Vec<_> = streams.into_iter().filter_map(|stream| stream.join().unwrap().err()).collect();
    assert!(broken.is_empty(), "{} broke: {}", broken.len(), broken[0]);
    assert_eq!(home.json(&["channel", "list"])["channels"].as_array().unwrap().len(), 1);
}
