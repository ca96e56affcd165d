//! Prices, limits, owners, the answer cache, events, usage and forecasts as people use them: by the binary, over a gateway that runs and without one.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::commands::Home;
use crate::process::{mock, post, wait};

const SECRET: &str = "my-process-test-0123456789";

/// Two channels at the mock, one with a price of its own and one whose models no list knows.
fn config(base: &str) -> String {
    format!(
        r#"model_sync_seconds = 0
[[channels]]
name = "main"
provider = "openai"
base_url = "{base}"
credentials = ["mock-key"]
models = [{{ name = "one", upstream = "one", price = {{ input = 1000, output = 2000 }} }}]

[[channels]]
name = "other"
provider = "openai"
base_url = "{base}"
credentials = ["mock-key"]
models = ["no-list-knows-this"]

[[keys]]
name = "app"
secret = "{SECRET}"
"#
    )
}

/// Asks for 20 tokens in and 30 out; gives the status.
fn ask(address: &str, model: &str, text: &str, more: &str) -> u16 {
    let body = format!(
        "{{\"model\":\"{model}\",{more}\"max_tokens\":40,\"messages\":[{{\"role\":\"user\",\"content\":\"{text} [[usage input=20 output=30]]\"}}]}}"
    );
    post(address, &body).unwrap().0
}

/// What a command says to standard error when it fails.
fn refusals(home: &Home, table: &[(&str, &str)]) {
    for (words, wanted) in table {
        let told = home.fails(&words.split(' ').collect::<Vec<_>>());
        assert!(told.contains(wanted), "myelin {words}\n  says: {told}\n  not: {wanted}");
        assert!(!told.contains("at line"), "myelin {words}: {told}");
    }
}

/// Lines of words, so that widths of columns do not matter.
fn cells(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

fn file(home: &Home, name: &str, text: &str) -> String {
    let path = home.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Waits until so many requests are counted.
fn counted(home: &Home, requests: u64) {
    wait("records are written", || home.json(&["usage"])["total"]["requests"].as_u64() == Some(requests));
}

#[test]
fn prices_are_shown_set_imported_and_history_is_priced_anew() {
    let (_runtime, mock) = mock();
    let home = Home::new(&config(&mock.base_url("openai")));
    let server = home.serve();
    let shown = home.ok(&["price", "show"]);
    assert!(shown.contains("main/one") && shown.contains("NO PRICE"), "{shown}");
    assert!(!home.ok(&["price", "show", "--unpriced"]).contains("main/one"));
    assert!(home.ok(&["price", "show", "sonnet"]).contains("anthropic/"), "lists are searched");

    assert_eq!(ask(&server.address, "no-list-knows-this", "hi", ""), 200);
    counted(&home, 1);
    let usage = home.ok(&["usage"]);
    assert!(usage.contains("$0.00 + 1 unpriced"), "{usage}");
    let told = home.ok(&["price", "set", "other/no-list-knows-this", "--input", "100", "--rate", "output=200"]);
    assert!(told.contains("priced at the channel other") && told.contains("reprice"), "{told}");
    let dry = home.ok(&["price", "reprice", "--from", "1h", "--dry-run"]);
    assert_eq!(dry.trim(), "1 of 1 requests would change: $0.00 before, $0.008 now");
    assert_eq!(home.json(&["usage"])["total"]["cost"], 0, "nothing was written");
    let done = home.json(&["price", "reprice", "--from", "1h", "--channel", "other"]);
    assert_eq!((&done["changed"], &done["after"]), (&json!(1), &json!(8_000_000)));
    assert_eq!(home.json(&["usage"])["total"]["cost"], 8_000_000);
    assert_eq!(home.json(&["logs", "-n", "1"])["price"], "set@1 other/no-list-knows-this");
    let history = home.json(&["history"]);
    let newest = &history["changes"][0];
    assert_eq!((&newest["what"], &newest["who"]), (&json!("reprice"), &json!("cli")), "{history}");
    assert!(home.fails(&["history", "undo", &newest["id"].to_string()]).contains("price the same records anew"));

    let list = file(
        &home,
        "list.json",
        r#"{"version": "7", "prices": {"openai/no-list-knows-this": {"input": 1, "output": 2}}}"#,
    );
    assert!(home.ok(&["price", "import", &list]).contains("1 prices taken (myelin 7), version 2"));
    // What was set for the channel is nearer, until it is taken back.
    home.ok(&["price", "unset", "other/no-list-knows-this"]);
    let shown = home.json(&["price", "show", "--channel", "other"]);
    assert_eq!(
        (&shown["deployments"][0]["origin"], &shown["deployments"][0]["price"]["output"]),
        (&json!("imported"), &json!(2.0))
    );
    for (name, text, wanted) in [
        ("a.json", "nope", "is no JSON: nothing changed"),
        ("b.json", "{}", "nothing changed: the file is no price list"),
        ("c.json", r#"{"prices": {"a/b": {"inputs": 1}}}"#, "prices.\"a/b\": 'inputs' is no part of a price"),
        ("d.json", r#"{"prices": {"a/b": {"input": -1}}}"#, "prices.\"a/b\""),
        ("e.json", r#"{"prices": {"a": {"input": 1}}}"#, "is no provider/model"),
    ] {
        let told = home.fails(&["price", "import", &file(&home, name, text)]);
        assert!(told.contains(wanted), "{text}: {told}");
    }
    let shown = home.json(&["price", "show"]);
    assert_eq!(
        (&shown["imported"]["version"], &shown["imported"]["priced"]),
        (&json!(2), &json!(1)),
        "the last good one stays"
    );
    assert_eq!(home.ok(&["price", "reset"]).trim(), "the bundled list holds again");
    refusals(
        &home,
        &[
            ("price reset", "no price list was imported"),
            ("price unset nothing", "no price of yours for 'nothing': `myelin price show` shows"),
            ("price set main/one", "say what it costs: --input DOLLARS --output DOLLARS"),
            ("price set main/one --input much", "\"much\" is no amount in dollars"),
            ("price set main/one --rate input", "write key=value"),
            ("price set main/one --rate inputs=3", "there are input, cache_read"),
            ("price reprice --from soon", "write 2026-01-31"),
            ("price import /nowhere/list.json", "cannot read /nowhere/list.json"),
        ],
    );
    assert!(home.ok(&["price", "set", "maker/model", "--input", "1"]).contains("no channel is called maker"));
}

#[test]
fn limits_and_owners_are_made_seen_changed_and_removed_and_hold() {
    let (_runtime, mock) = mock();
    let home = Home::new(&config(&mock.base_url("openai")));
    let server = home.serve();
    home.ok(&["owner", "add", "organisation:acme"]);
    home.ok(&["owner", "add", "team:red", "--parent", "organisation:acme"]);
    let made = home.ok(&["key", "create", "desk", "--owner", "team:red"]);
    assert!(made.starts_with("my-"), "{made}");
    assert_eq!(cells(&home.ok(&["owner", "list"]))[2][..3], ["team:red", "organisation:acme", "desk"]);
    let told = home.ok(&["limit", "add", "key:app", "--requests", "3", "--per", "day", "--zone", "Asia/Kolkata"]);
    assert!(told.starts_with("key-app-requests-day: 3 requests per day on key:app; used 0, left 3, resets "), "{told}");
    home.ok(&["limit", "add", "gateway", "--name", "purse", "--money", "0.50", "--per", "month", "--soft", "50"]);
    home.ok(&[
        "limit",
        "add",
        "team:red",
        "--name",
        "reds",
        "--tokens",
        "1000",
        "--per",
        "5h",
        "--queue",
        "10s",
        "--max-waiting",
        "3",
    ]);
    let statuses: Vec<u16> = (0..4).map(|_| ask(&server.address, "one", "hi", "")).collect();
    assert_eq!(statuses, [200, 200, 200, 429]);
    // 20 in and 30 out are 8 hundredths of a dollar.
    let listed = home.ok(&["limit", "list"]);
    let row = |name: &str| cells(&listed).into_iter().find(|row| row[0] == name).unwrap().join(" ");
    assert!(row("key-app-requests-day").contains("3 (100 %) 0 0"), "{listed}");
    assert!(row("purse").contains("0.50 USD per month 0.24 (48 %) 0.00 0.26"), "{listed}");
    let told = home.ok(&["limit", "set", "key-app-requests-day", "--requests", "5"]);
    assert!(told.contains("used 3, left 2"), "another amount keeps what was counted: {told}");
    wait("it is in force", || ask(&server.address, "one", "hi", "") == 200);
    assert_eq!(home.ok(&["limit", "reset", "key-app-requests-day"]).trim(), "key-app-requests-day begins anew");
    assert_eq!(home.json(&["limit", "show", "key-app-requests-day"])["used"], 0);
    let history = home.ok(&["history", "-n", "1"]);
    assert!(history.contains("reset limit") && history.contains("requests are forgotten"), "{history}");
    let reds = home.json(&["limit", "show", "reds"]);
    assert_eq!((&reds["queue"], &reds["per"]), (&json!({"timeout_ms": 10_000, "max_waiting": 3}), &json!("5h")));
    refusals(
        &home,
        &[
            ("limit add gateway", "needs exactly one of requests, tokens, money and parallel"),
            ("limit add gateway --money 5", "in which time? minute, 5h, 7d"),
            ("limit add gateway --money much --per day", "\"much\" is no amount of dollars: write 5"),
            (
                "limit add gatewy --money 5 --per day",
                "'gatewy' names nothing that can be limited: write gateway, key:NAME",
            ),
            ("limit add key:nobody --money 5 --per day", "there is no key 'nobody'"),
            ("limit add gateway --money 5 --per eon", "'eon' is no window: write minute"),
            ("limit add gateway --parallel 5 --per day", "requests in flight have no window: leave it out"),
            ("limit add gateway --money 5 --per day --zone Mars/X", "write an IANA name, such as Europe/Berlin"),
            ("limit add gateway --money 5 --per day --soft 250", "no percentage between 1 and 100"),
            ("limit add gateway --name purse --money 5 --per day", "there already is a limit 'purse'"),
            ("limit add gateway --requests 5 --money 5 --per day", "cannot be used with"),
            ("limit add gateway --requests 0 --per day", "limits.gateway-requests-day.requests"),
            ("limit set purse", "nothing to change: name an amount, --per"),
            ("limit set nothing --money 4", "there is no limit 'nothing': `myelin limit list` shows"),
            ("limit show nothing", "`myelin limit list` shows"),
            ("limit remove nothing", "`myelin limit list` shows"),
            ("limit reset nothing", "`myelin limit list` shows"),
            ("owner add acme", "write team:acme or the like"),
            ("owner add tribe:acme", "expected one of `tool`, `user`, `team`, `project`, `organisation`"),
            ("owner add team:red", "there already is an owner 'team:red'"),
            ("owner add team:blue --parent organisation:none", "there is no owner 'organisation:none'"),
            ("owner move organisation:acme team:red", "teams do not stand above organisations"),
            ("owner remove organisation:acme", "'team:red' stands below 'organisation:acme': move or remove it first"),
            ("owner remove team:red", "the key 'desk' belongs to 'team:red'"),
            ("owner remove team:none", "`myelin owner list` shows"),
            ("key give app team:red", "the key 'app' is managed by the configuration file: change it there"),
            ("key give desk team:none", "there is no owner 'team:none'"),
        ],
    );
    home.ok(&["limit", "remove", "key-app-requests-day"]);
    home.ok(&["key", "remove", "desk"]);
    assert_eq!(home.ok(&["owner", "remove", "team:red"]).trim(), "team:red is removed");
    let left = home.json(&["limit", "list"]);
    let names: Vec<&str> =
        left["limits"].as_array().unwrap().iter().filter_map(|limit| limit["name"].as_str()).collect();
    assert_eq!(names, ["purse"], "the team's limit went with it");
    // What is on disk is what was shown.
    drop(server);
    assert_eq!(home.json(&["limit", "show", "purse"])["used"], 320_000_000);
}

#[test]
fn usage_comes_by_anything_as_table_json_and_csv_and_looks_ahead() {
    let (_runtime, mock) = mock();
    let home = Home::new(&config(&mock.base_url("openai")));
    let server = home.serve();
    for n in 0..6 {
        let (model, more) = if n < 4 { ("one", "\"stream\":true,") } else { ("no-list-knows-this", "") };
        assert_eq!(ask(&server.address, model, "hi", more), 200);
    }
    assert_eq!(ask(&server.address, "one", "[[error 400]]", ""), 400);
    counted(&home, 7);
    for by in [
        "model", "tool", "key", "profile", "day", "project", "channel", "provider", "state", "status", "hour", "user",
        "tag", "cache",
    ] {
        let usage = home.json(&["usage", "--by", by]);
        let groups = usage["groups"].as_array().unwrap();
        let all = |field: &str| groups.iter().map(|group| group[field].as_u64().unwrap()).sum::<u64>();
        assert_eq!((all("requests"), all("cost"), all("output")), (7, 320_000_000, 180), "by {by}: {usage}");
    }
    let table = home.ok(&["usage", "--by", "model,state"]);
    let rows = cells(&table);
    assert_eq!(rows[0], ["MODEL", "STATE", "REQUESTS", "ERRORS", "INPUT", "CACHED", "OUTPUT", "P50", "P95", "COST"]);
    assert!(
        rows.iter().any(|row| row[..7] == ["one", "completed", "4", "0", "80", "0", "120"] && row[9] == "$0.32"),
        "{table}"
    );
    assert!(table.contains("$0.00 + 2 unpriced"), "{table}");

    let csv = home.ok(&["usage", "--by", "key,model,day", "--csv", "--zone", "UTC"]);
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| lines[0].iter().position(|head| *head == name).unwrap();
    assert_eq!(lines[0][..4], ["day", "key", "model", "requests"]);
    let one = lines.iter().find(|line| line[2] == "one").unwrap();
    assert_eq!((one[1], one[column("requests")], one[column("errors")]), ("app", "5", "1"), "{csv}");
    assert_eq!((one[column("cost")], one[column("streams")], one.len()), ("0.320000000", "4", lines[0].len()), "{csv}");
    assert_eq!(home.json(&["usage", "--model", "one", "--state", "completed"])["total"]["requests"], 4, "filters");
    assert_eq!(home.json(&["usage", "--to", "2020-01-01", "--from", "2019-01-01"])["total"]["requests"], 0);

    let forecast = home.json(&["usage", "--forecast"]);
    let total = |field: &str| forecast["total"][field].as_i64().unwrap();
    assert_eq!(total("spent"), 320_000_000, "{forecast}");
    assert!(
        total("expected") >= 320_000_000 && total("low") <= total("expected") && total("expected") <= total("high"),
        "{forecast}"
    );
    let table = home.ok(&["usage", "--forecast", "--by", "key"]);
    let rows = cells(&table);
    assert_eq!(
        (rows[0].join(" "), rows[1][0], rows[1][1]),
        ("KEY SPENT EXPECTED LOW HIGH".into(), "app", "$0.32"),
        "{table}"
    );
    assert_eq!(rows.last().unwrap()[0], "all");
    refusals(
        &home,
        &[
            ("usage --by nothing", "nothing is grouped by 'nothing': use model"),
            ("usage --by day,hour", "more than one stretch of time"),
            ("usage --from soon", "'soon' is no day (2026-01-31)"),
            ("usage --zone Mars/X", "write an IANA name"),
            ("usage --from 2026-02-01 --to 2026-01-01", "the range is empty"),
            ("usage --forecast --by day", "a forecast is for the month"),
            ("usage --forecast --csv", "cannot be used with"),
            ("usage --state dead", "completed"),
            ("usage --by minute", "minutes are shown for up to six hours"),
        ],
    );
    drop(server);
    assert_eq!(home.json(&["usage"])["total"]["cost"], 320_000_000, "without a gateway too");
}

#[test]
fn the_cache_is_looked_at_and_cleared_and_a_hit_is_free_and_marked() {
    let (_runtime, mock) = mock();
    let home = Home::new(&format!(
        "policy = {{ cache = {{ mode = \"deterministic\" }} }}\n{}",
        config(&mock.base_url("openai"))
    ));
    let server = home.serve();
    let again = || ask(&server.address, "one", "the same", "\"temperature\":0,");
    assert_eq!((again(), again()), (200, 200));
    counted(&home, 2);
    let status = home.json(&["cache", "status"]);
    assert_eq!(
        (&status["hits"], &status["misses"], &status["memory_answers"]),
        (&json!(1), &json!(1), &json!(1)),
        "{status}"
    );
    assert!(home.ok(&["cache", "status"]).contains("hits        1"));
    let usage = home.json(&["usage", "--by", "cache"]);
    let hit = usage["groups"].as_array().unwrap().iter().find(|group| group["values"][0] == "hit").unwrap();
    assert_eq!((&hit["cost"], &hit["saved"]), (&json!(0), &json!(80_000_000)));
    assert_eq!(home.ok(&["cache", "clear"]).trim(), "the cache is empty");
    assert_eq!(again(), 200);
    counted(&home, 3);
    assert_eq!(home.json(&["cache", "status"])["misses"], 2);
}

#[test]
fn events_are_told_by_level_and_kind_and_followed() {
    let (_runtime, mock) = mock();
    let home = Home::new(&config(&mock.base_url("openai")));
    assert!(home.fails(&["events"]).contains("start it with `myelin serve`"));
    let server = home.serve();
    home.ok(&["limit", "add", "gateway", "--name", "purse", "--money", "0.10", "--per", "total", "--soft", "50"]);
    let mut follow = home.command(&["--json", "events", "-f", "-n", "0"]).stdout(Stdio::piped()).spawn().unwrap();
    let followed = std::io::BufReader::new(follow.stdout.take().unwrap());
    wait("it is in force", || ask(&server.address, "one", "hi", "") == 200);
    wait("it is used up", || ask(&server.address, "one", "hi", "") == 402);
    let mut lines =
        std::io::BufRead::lines(followed).map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let reached = lines.find(|event| event["kind"] == "limit-reached").unwrap();
    assert_eq!((&reached["subject"], &reached["level"]), (&json!("purse"), &json!("warning")), "{reached}");
    follow.kill().unwrap();
    follow.wait().unwrap();
    let told = home.ok(&["events", "--kind", "limit-mark"]);
    assert!(told.contains("purse") && told.contains("limit-mark") && told.lines().count() == 1, "{told}");
    assert_eq!(home.ok(&["events", "--level", "error"]), "");
    assert_eq!(home.ok(&["events", "-n", "1"]).lines().count(), 1);
    assert!(home.fails(&["events", "--level", "loud"]).contains("info, warning, error"));
}
