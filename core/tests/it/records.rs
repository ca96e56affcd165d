//! What is remembered of requests: bodies by policy and masked, requests in flight and stopping them, sums, tasks.

use std::time::Duration;

use myelin_core::model::BodyPolicy;
use myelin_core::store::NewKey;
use myelin_testkit::MockServer;
use serde_json::{Value, json};

use crate::support::{TestGateway, mock_channel, providers};

/// Asks the admin API as the owner.
async fn owner(gateway: &TestGateway, method: &str, path: &str) -> (u16, Value) {
    use http_body_util::BodyExt as _;
    let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.body(String::from("{}")).unwrap();
    let answer = gateway.gateway.ask_as_owner(request).await;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

fn chat(model: &str, text: &str, stream: bool) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]})
}

/// The kept bodies of a request, once they are written.
async fn bodies(gateway: &TestGateway, id: &str) -> Value {
    for _ in 0..100 {
        let (status, found) = owner(gateway, "GET", &format!("/api/v1/requests/{id}/bodies")).await;
        if status == 200 && found["bodies"].as_array().is_some_and(|list| !list.is_empty()) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    panic!("no bodies of {id}");
}

fn text<'a>(bodies: &'a Value, kind: &str) -> &'a str {
    let found = bodies["bodies"].as_array().unwrap().iter().find(|body| body["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {bodies}"))["text"].as_str().unwrap()
}

#[tokio::test]
async fn bodies_are_kept_by_policy_and_secrets_in_them_are_masked() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "a", "anthropic", "anthropic")]).await;
    let key = |name: &str, bodies| NewKey { name: name.into(), bodies, ..NewKey::default() };
    let (all, off) = (key("all", Some(BodyPolicy::All)), key("off", Some(BodyPolicy::Off)));
    let (all, off) = (gateway.another_key(all).await, gateway.another_key(off).await);
    let ask = async |key: &str, body: &Value| {
        let asked = gateway.request("POST", "/v1/chat/completions").bearer_auth(key).json(body);
        asked.send().await.unwrap().text().await.unwrap()
    };
    let secret = "my key is sk-canary-0123456789abcdef, hush";
    for stream in [false, true] {
        let answer = ask(&all, &chat("a/m", secret, stream)).await;
        let record = gateway.last_record().await;
        let kept = bodies(&gateway, &record.id).await;
        assert!(!kept.to_string().contains("canary") && text(&kept, "received").contains("my key is sk-***"), "{kept}");
        assert!(text(&kept, "sent").contains("max_tokens"), "as Anthropic wants it: {kept}");
        assert!(text(&kept, "upstream").contains(if stream { "content_block_delta" } else { "end_turn" }), "{kept}");
        let shown = text(&kept, "answer");
        assert_eq!(shown.len(), answer.replace("canary-0123456789abcdef", "***").len(), "{shown}");
        assert!(shown.contains(if stream { "chat.completion.chunk" } else { "chat.completion" }), "{shown}");
        assert!(!kept["answer_text"].as_str().unwrap().is_empty(), "{kept}");
    }
    // By default only what failed is kept.
    ask(&gateway.key, &chat("a/m", "fine", false)).await;
    let fine = gateway.last_record().await;
    ask(&off, &chat("a/m", "[[error 400]]", false)).await;
    let silent = gateway.last_record().await;
    ask(&gateway.key, &chat("a/m", "[[error 400]]", false)).await;
    let failed = gateway.last_record().await;
    let kept = bodies(&gateway, &failed.id).await;
    assert!(text(&kept, "received").contains("[[error 400]]") && text(&kept, "upstream").contains("error"), "{kept}");
    for none in [fine, silent] {
        let (status, found) = owner(&gateway, "GET", &format!("/api/v1/requests/{}/bodies", none.id)).await;
        assert_eq!((status, &found["bodies"]), (200, &json!([])), "{}", none.id);
    }
    // What was said is found in the bodies, and only if they are asked.
    let list = async |query: &str| owner(&gateway, "GET", &format!("/api/v1/requests?{query}")).await.1;
    assert_eq!(list("q=hush").await["records"], json!([]));
    assert_eq!(list("q=HUSH&bodies=true").await["records"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_request_in_flight_is_shown_and_can_be_stopped() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    for (model, stream, words) in [
        ("chat/m", true, "[[stall-after 2]] one two three four five"),
        ("anthropic/m", true, "[[stall-after 2]] one two three four five"),
        ("chat/m", false, "[[delay 60000]] never"),
        ("chat/m", true, "[[delay 60000]] never"),
    ] {
        let body = chat(model, words, stream);
        let asking = tokio::spawn(gateway.post("/v1/chat/completions").json(&body).send());
        let mut flight = Value::Null;
        for _ in 0..200 {
            let (_, found) = owner(&gateway, "GET", "/api/v1/requests/active").await;
            flight = found["requests"][0].clone();
            let content = !words.contains("stall") || flight["bytes_out"].as_u64() > Some(0);
            if flight["channel"].is_string() && content {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (channel, name) = model.split_once('/').unwrap();
        assert_eq!(
            (&flight["channel"], &flight["model"]),
            (&json!(channel), &json!(format!("{channel}/{name}"))),
            "{words}"
        );
        let id = flight["id"].as_str().unwrap();
        let begun = tokio::time::Instant::now();
        assert_eq!(owner(&gateway, "POST", &format!("/api/v1/requests/{id}/stop")).await.0, 200);
        let answer = asking.await.unwrap().unwrap();
        let status = answer.status();
        let told = answer.text().await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5), "{words}");
        assert!(told.contains("stopped by the owner"), "{status} {told}");
        let record = gateway.records(1).await.into_iter().next().unwrap();
        assert_eq!((record.id.as_str(), record.state.word()), (id, "canceled"), "{record:?}");
        assert!(record.error_message.unwrap().contains("stopped"));
        assert_eq!(owner(&gateway, "GET", "/api/v1/requests/active").await.1["requests"], json!([]));
        assert_eq!(owner(&gateway, "POST", &format!("/api/v1/requests/{id}/stop")).await.0, 404);
    }
}

#[tokio::test]
async fn usage_is_summed_and_tasks_are_put_together() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    for (n, (model, trace)) in [("chat/m", "t1"), ("anthropic/m", "t1"), ("chat/m", "t2")].into_iter().enumerate() {
        let text = format!("[[usage input={} output=5]] hi", 100 * (n + 1));
        let asked = gateway.post("/v1/chat/completions").header("x-trace-id", trace).header("x-thread-id", "talk");
        assert_eq!(asked.json(&chat(model, &text, false)).send().await.unwrap().status(), 200);
    }
    gateway.post("/v1/chat/completions").json(&chat("nobody/has-it", "hi", false)).send().await.unwrap();
    gateway.records(4).await;
    let (_, usage) = owner(&gateway, "GET", "/api/v1/usage?by=channel,day&zone=Asia/Shanghai").await;
    assert_eq!((&usage["total"]["requests"], &usage["total"]["input"]), (&json!(4), &json!(600)), "{usage}");
    let rows = usage["groups"].as_array().unwrap();
    let of = |channel: &str| rows.iter().find(|row| row["values"][0] == channel).unwrap_or_else(|| panic!("{usage}"));
    assert_eq!((&of("chat")["requests"], &of("chat")["input"], &of("")["errors"]), (&json!(2), &json!(400), &json!(1)));
    let (_, usage) = owner(&gateway, "GET", "/api/v1/usage?by=key&model=chat/m").await;
    assert_eq!(
        (&usage["groups"][0]["values"], &usage["groups"][0]["output"]),
        (&json!(["test"]), &json!(10)),
        "{usage}"
    );
    assert!(usage["groups"][0]["duration_p95_us"].as_u64().unwrap() > 0);
    let (_, facets) = owner(&gateway, "GET", "/api/v1/requests/facets?channel=chat").await;
    assert_eq!(facets["facets"]["model"], json!([{"value": "chat/m", "requests": 2}]));
    assert_eq!(facets["facets"]["channel"].as_array().unwrap().len(), 2);
    let (_, trace) = owner(&gateway, "GET", "/api/v1/traces/t1").await;
    assert_eq!(
        (&trace["by"], &trace["input"], trace["requests"].as_array().unwrap().len()),
        (&json!("trace"), &json!(300), 2)
    );
    let (_, thread) = owner(&gateway, "GET", "/api/v1/traces/talk").await;
    assert_eq!((&thread["by"], thread["requests"].as_array().unwrap().len()), (&json!("thread"), 3));
    assert_eq!(owner(&gateway, "GET", "/api/v1/traces/none").await.0, 404);
    let (status, forecast) = owner(&gateway, "GET", "/api/v1/forecast?by=channel").await;
    assert_eq!((status, &forecast["by"]), (200, &json!(["channel"])));
    assert!(forecast["total"]["expected"].as_i64() >= forecast["total"]["spent"].as_i64());
    for wrong in ["by=nothing", "by=day,hour", "zone=Nowhere", "colour=red", "by=minute", "since=soon"] {
        assert_eq!(owner(&gateway, "GET", &format!("/api/v1/usage?{wrong}")).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn case_51_one_request_tells_a_whole_page_and_one_poll_all_that_came() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    let (_, before) = owner(&gateway, "GET", "/api/v1/requests/live").await;
    for n in 0..60 {
        let body = chat("chat/m", &format!("[[usage input={n} output=5]] hi"), n % 2 == 0);
        assert_eq!(gateway.post("/v1/chat/completions").json(&body).send().await.unwrap().status(), 200);
    }
    gateway.records(60).await;
    let (_, page) = owner(&gateway, "GET", "/api/v1/requests?limit=60").await;
    let rows = page["records"].as_array().unwrap();
    assert_eq!(rows.len(), 60);
    // Everything that a list shows of a row is in it: nobody asks again for each.
    for row in rows {
        let attempts = row["attempts"].as_array().unwrap();
        assert!(row["usage"]["input"].is_u64() && row["duration_us"].is_u64() && attempts.len() == 1, "{row}");
        assert!(row["channel"] == "chat" && row["model"] == "chat/m" && row["state"] == "completed", "{row}");
    }
    let after = &before["next"];
    let (_, came) = owner(&gateway, "GET", &format!("/api/v1/requests/live?after={after}&limit=1000&wait=5")).await;
    assert_eq!((came["records"].as_array().unwrap().len(), &came["gap"]), (60, &json!(false)));
    // Who follows waits on the gateway's side: it answers when something comes, and costs nothing until then.
    let next = &came["next"];
    let begun = tokio::time::Instant::now();
    let (_, none) = owner(&gateway, "GET", &format!("/api/v1/requests/live?after={next}&wait=1")).await;
    assert!(none["records"].as_array().unwrap().is_empty() && begun.elapsed() >= Duration::from_millis(900));
}
