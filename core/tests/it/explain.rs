//! What `explain` says before a request is what its record says after it: rule, route, who is asked in which order, and why.

use myelin_core::model::{Profile, Route, Unpriced};
use myelin_core::store::{Change, NewKey};
use myelin_protocol::{ApiFormat, tokens};
use myelin_testkit::{MockServer, Script};
use serde_json::{Value, json};

use crate::support::{TestGateway, mock_channel, owner};

/// One request, and how it is told to `explain`.
#[derive(Debug, Clone)]
struct Case {
    model: &'static str,
    tool: &'static str,
    profile: &'static str,
    words: usize,
    tags: &'static str,
    headers: &'static [(&'static str, &'static str)],
    metadata: &'static [(&'static str, &'static str)],
    thinking: bool,
    stream: bool,
}

/// Every one of them, each with each.
fn cases() -> Vec<Case> {
    let plain = Case {
        model: "",
        tool: "",
        profile: "",
        words: 3,
        tags: "",
        headers: &[],
        metadata: &[],
        thinking: false,
        stream: false,
    };
    let models = [
        "smart",
        "claude-x",
        "gpt-4.1-mini",
        "cheapest",
        "fits",
        "by-tag",
        "in-turn",
        "busy",
        "a/m",
        "no-such",
        "big-a",
        "echo",
    ];
    let mut all = Vec::new();
    for model in models {
        for profile in ["", "direct", "work", "barred"] {
            for tool in ["", "codex", "claude-code"] {
                for words in if tool.is_empty() { vec![3, 9_000] } else { vec![3] } {
                    all.push(Case { model, profile, tool, words, ..plain.clone() });
                }
            }
        }
        all.push(Case { model, tags: "eu", ..plain.clone() });
        all.push(Case { model, tags: "mars,us", stream: true, ..plain.clone() });
        all.push(Case { model, profile: "work", headers: &[("x-team", "blue")], ..plain.clone() });
        all.push(Case { model, profile: "work", metadata: &[("env", "prod-1")], ..plain.clone() });
        all.push(Case { model, profile: "work", thinking: true, stream: true, ..plain.clone() });
    }
    all
}

fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn body(case: &Case) -> Value {
    let mut body = json!({"model": case.model, "stream": case.stream, "max_tokens": 200,
        "messages": [{"role": "user", "content": "word ".repeat(case.words)}]});
    for (name, value) in case.metadata {
        body["metadata"][*name] = json!(value);
    }
    if case.thinking {
        body["reasoning_effort"] = json!("low");
    }
    body
}

fn asked_of_explain(case: &Case) -> String {
    let text = body(case).to_string();
    let tree = ApiFormat::OpenaiChat.codec().decode_request(text.as_bytes(), Default::default()).unwrap();
    let lines = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>().join("\n")
    };
    let fields = [
        ("model", case.model.to_owned()),
        ("tool", case.tool.to_owned()),
        ("profile", case.profile.to_owned()),
        ("tokens", tokens::estimate(&tree).to_string()),
        ("max_output", "200".to_owned()),
        ("stream", case.stream.to_string()),
        ("thinking", case.thinking.to_string()),
        ("tags", case.tags.to_owned()),
        ("headers", lines(case.headers)),
        ("metadata", lines(case.metadata)),
    ];
    let given = fields.iter().filter(|(_, value)| !value.is_empty());
    let query: Vec<_> = given.map(|(name, value)| format!("{name}={}", segment(value))).collect();
    format!("/api/v1/explain?{}", query.join("&"))
}

/// What a record says of the plan, in the words of an explanation.
fn told(value: &Value, of_record: bool) -> Value {
    let rule = if of_record {
        value["rule"].clone()
    } else {
        let fired = value["rules"].as_array().unwrap().iter().find(|rule| rule["fired"] == true);
        fired.map_or(Value::Null, |rule| rule["rule"].clone())
    };
    let steps = value["plan"].as_array().cloned().unwrap_or_default();
    let step = |step: &Value| json!([step["channel"], step["model"], step["group"], step["why"]]);
    json!({"rule": rule, "route": value["route"], "profile": value["profile"], "plan": steps.iter().map(step).collect::<Vec<_>>()})
}

async fn world(mock: &MockServer) -> TestGateway {
    let channel = |name: &str, other: &str, tags: Value, price: f64| {
        let mut channel = mock_channel(mock, name, "openai", "openai");
        channel["models"] = json!([{"name": "m", "price": {"input": price, "output": price}}, other]);
        channel["tags"] = tags;
        channel
    };
    let mut c = channel("c", "big-c", json!(["default"]), 0.5);
    c["weight"] = json!(3);
    let channels =
        vec![channel("a", "big-a", json!(["eu"]), 3.0), channel("b", "gpt-4.1-mini", json!(["us", "fast"]), 1.0), c];
    let gateway = TestGateway::with_settings(channels, |settings| settings.affinity_seconds = 0).await;
    let apply = async |change| gateway.gateway.store().apply(change, "test").await.unwrap();
    let all = json!(["a/m", "b/m", "c/m"]);
    for route in [
        json!({"model": "smart", "groups": [{"strategy": "ordered", "use": ["b/m", "a/m"]}, {"strategy": "ordered", "use": ["c/m"]}]}),
        json!({"model": "cheapest", "strategy": "lowest-cost", "groups": [{"use": all}]}),
        json!({"model": "fits", "strategy": "context-fit", "groups": [{"use": ["a/m"]}]}),
        json!({"model": "by-tag", "groups": [{"strategy": "tag-based", "use": ["a/m", "b/m"]}, {"strategy": "ordered", "use": ["c/m"]}]}),
        json!({"model": "in-turn", "strategy": "round-robin", "groups": [{"use": all}]}),
        json!({"model": "busy", "strategy": "least-busy", "groups": [{"use": ["c/m"]}, {"strategy": "ordered", "use": ["tag:us/m", "a/m"]}]}),
        json!({"model": "claude", "regex": "^claude-.*$", "groups": [{"strategy": "ordered", "use": ["b/m", "c/m", "a/m"], "exclude": ["b"]}]}),
    ] {
        let route: Route = serde_json::from_value(route).unwrap();
        apply(Change::CreateRoute(route)).await;
    }
    for profile in [
        json!({"name": "work", "rules": [
            {"match": "smart", "if": {"tool": "codex"}, "to": "a/m", "fallback": ["c/m"]},
            {"match": "smart", "if": {"min_prompt_tokens": 5_000}, "to": "c/m"},
            {"match": "*", "if": {"headers": {"x-team": "bl*"}}, "to": "b/m"},
            {"match": "*", "if": {"metadata": {"env": "prod*"}}, "to": "a/m"},
            {"match": "*", "if": {"thinking": true, "stream": true}, "to": "smart"},
            {"regex": "^big-(.)$", "to": "$1/m"},
            {"match": "gpt-*", "to": "cheapest"},
        ]}),
        json!({"name": "barred", "strategy": "ordered", "channels": ["!a"], "rules": []}),
    ] {
        let profile: Profile = serde_json::from_value(profile).unwrap();
        apply(Change::CreateProfile(profile)).await;
    }
    gateway
}

#[tokio::test]
async fn what_is_explained_is_what_is_done() {
    let mock = MockServer::start().await.unwrap();
    let gateway = world(&mock).await;
    // A key of a tool with a profile of its own: it decides for the tool.
    let of_tool = NewKey {
        name: "tool".into(),
        tool: Some("claude-code".into()),
        profile: Some("work".into()),
        ..NewKey::default()
    };
    let of_tool = gateway.another_key(of_tool).await;
    settle(&gateway).await;
    let (mut wrong, mut served, mut refused) = (Vec::new(), 0, 0);
    for case in cases() {
        let (status, explained) = owner(&gateway, "GET", &asked_of_explain(&case), None).await;
        assert_eq!(status, 200, "{explained}");
        let key = if case.tool == "claude-code" { of_tool.as_str() } else { gateway.key.as_str() };
        let path = match case.profile {
            "" => "/v1/chat/completions".to_owned(),
            pinned => format!("/p/{pinned}/v1/chat/completions"),
        };
        let mut request = gateway.request("POST", &path).bearer_auth(key).json(&body(&case));
        if case.tool == "codex" {
            request = request.header("user-agent", "codex_cli_rs/0.50");
        }
        if !case.tags.is_empty() {
            request = request.header("x-myelin-tags", case.tags);
        }
        for (name, value) in case.headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        let record = serde_json::to_value(gateway.last_record().await).unwrap();
        let (before, after) = (told(&explained, false), told(&record, true));
        let (said, mut done) = (explained["refused"]["words"].as_str(), after);
        // What a provider says against the request itself is not of the plan.
        let asked = status == 200 || text.contains("not-a-reasoning-model");
        match said {
            None if !asked => wrong.push(format!("{case:?}: nothing refuses it, but {status} {text}")),
            None => served += 1,
            Some(why)
                if status == 200
                    || !text.contains("no enabled channel offers") && !text.contains(&why.replace('"', "\\\"")) =>
            {
                wrong.push(format!("{case:?}: refused because {why}, but {status} {text}"));
            }
            Some(_) => {
                refused += 1;
                // Who is refused has no plan; that the rule is told is enough.
                done["route"] = before["route"].clone();
                done["rule"] = before["rule"].clone();
            }
        }
        if before != done {
            wrong.push(format!("{case:?}:\n  explained {before}\n  done      {done}"));
        }
        let first = explained["plan"][0]["channel"].as_str();
        if status == 200 && first.is_some() && record["channel"].as_str() != first {
            wrong.push(format!("{case:?}: {first:?} was to answer, {} did", record["channel"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), cases().len(), wrong.join("\n"));
    assert!(served > 150 && refused > 10, "{served} {refused}");
}

/// Everything of the configuration is in force.
async fn settle(gateway: &TestGateway) {
    for _ in 0..200 {
        let (_, explained) = owner(gateway, "GET", "/api/v1/explain?model=gpt-1&profile=barred", None).await;
        let (_, last) = owner(gateway, "GET", "/api/v1/explain?model=claude-1", None).await;
        if explained["profile"] == "barred" && last["route"] == "claude-1" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_broken_deployment_an_unpriced_one_and_a_refused_key_are_explained_too() {
    let mock = MockServer::start().await.unwrap();
    let mut priced = mock_channel(&mock, "priced", "openai", "openai");
    priced["models"] = json!([{"name": "mock", "price": {"input": 1, "output": 1}}]);
    let mut broken = mock_channel(&mock, "broken", "openai", "openai");
    broken["models"] = priced["models"].clone();
    broken["weight"] = json!(9);
    let channels = vec![priced, mock_channel(&mock, "unpriced", "openai", "openai"), broken];
    let gateway = TestGateway::with_settings(channels, |settings| {
        settings.affinity_seconds = 0;
        settings.unpriced = Unpriced::Block;
        settings.breaker.failures = 1;
    })
    .await;
    mock.script(Script::error(500));
    let ask = json!({"model": "mock", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(gateway.ask("/v1/chat/completions", &ask).await.0, 200);
    let (_, explained) = owner(&gateway, "GET", "/api/v1/explain?model=mock&max_output=200", None).await;
    let names: Vec<_> =
        explained["plan"].as_array().unwrap().iter().map(|step| step["channel"].as_str().unwrap()).collect();
    assert_eq!(names, ["priced", "broken"], "{explained}");
    assert!(explained["plan"][1]["benched_until"].is_u64(), "{explained}");
    assert_eq!(explained["left_out"][0]["channel"], "unpriced", "{explained}");
    assert!(explained["left_out"][0]["why"].as_str().unwrap().contains("no price"), "{explained}");
    assert_eq!(gateway.ask("/v1/chat/completions", &ask).await.0, 200);
    let record = gateway.last_record().await;
    let done: Vec<_> =
        record.plan.iter().map(|step| (step.channel.clone(), step.placed.unwrap().to_string())).collect();
    let said: Vec<_> = explained["plan"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["channel"].as_str().unwrap().to_owned(), step["why"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(said, done);
    // A key that may not call is told before it calls.
    let blocked = NewKey { name: "blocked".into(), models: vec!["other".into()], ..NewKey::default() };
    let secret = gateway.another_key(blocked).await;
    let (_, explained) = owner(&gateway, "GET", "/api/v1/explain?model=mock&key=blocked", None).await;
    let answer = gateway.request("POST", "/v1/chat/completions").bearer_auth(&secret).json(&ask).send().await.unwrap();
    let (status, told) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert_eq!(status, 403);
    let why = explained["refused"]["words"].as_str().unwrap();
    let message: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(message["error"]["message"], why);
}
