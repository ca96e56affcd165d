//! Answers that hold a whole page, and files that are read by name only where they were found.

use myelin_protocol::ir::Usage;

use super::*;
use crate::events::{Event, Level};
use crate::model::{NanoUsd, RequestState};
use crate::told;

const NOW: u64 = 1_800_000_000_000;
const HOUR: u64 = 3_600_000;

fn record(n: u64, started: u64, fields: RequestRecord) -> RequestRecord {
    RequestRecord { id: format!("req_{:032x}", (u128::from(started) << 80) | u128::from(n)), started, ..fields }
}

async fn book(world: &World, records: Vec<RequestRecord>) {
    for record in records {
        world.store.ledger().append_durable(record).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_start_page_is_one_answer_that_agrees_with_the_others() {
    let world = world();
    let spent = |cost| RequestRecord { cost: Some(NanoUsd(cost)), model: "m".into(), ..RequestRecord::default() };
    // NOW is the 15th of January 2027, 08:00 UTC.
    let times = [(1, HOUR), (2, 7 * HOUR), (3, 10 * HOUR), (4, 30 * HOUR), (5, 40 * 24 * HOUR)];
    let made = times.map(|(n, ago)| record(n, NOW - ago, spent(10_i64.pow(u32::try_from(n).unwrap()))));
    book(&world, made.to_vec()).await;
    let page = world.get("/overview").await;
    assert_eq!((&page["today"], &page["month"]), (&json!(110), &json!(11_110)), "since midnight, since the first");
    assert_eq!(page["hours"]["total"]["requests"], 3, "of the last 24 hours");
    assert_eq!(page["hours"]["groups"][0]["from"], json!(NOW - 10 * HOUR));
    assert_eq!(page["since"], json!(NOW - 24 * HOUR));
    let ids: Vec<_> = page["latest"].as_array().unwrap().iter().map(|record| record["id"].clone()).collect();
    assert_eq!(ids, made.map(|record| json!(record.id)), "the newest first");
    assert_eq!(page["status"], world.get("/status").await);
    assert_eq!(page["profiles"], world.get("/profiles").await);
    assert_eq!(page["limits"], world.get("/limits").await);
    assert_eq!(page["next"], world.get("/requests/live").await["next"]);
    // In Auckland it is nine in the evening.
    assert_eq!(world.get("/overview?zone=Pacific/Auckland").await["today"], json!(1_110));
    assert_eq!(world.own("GET", "/overview?zone=Nowhere", Value::Null).await.status, 400);
}

#[tokio::test]
async fn failures_and_what_happened_meanwhile_are_one_answer_and_old_news_is_no_alert() {
    let world = world();
    let failed =
        RequestRecord { state: RequestState::Failed, error: Some("timeout".into()), ..RequestRecord::default() };
    book(&world, vec![record(1, NOW - HOUR, failed)]).await;
    for (at, level) in [(NOW - 30 * HOUR, Level::Error), (NOW - HOUR, Level::Info), (NOW - HOUR, Level::Warning)] {
        world.services.events.tell(Event::new(at, level, "breaker-open", "main", told!("test", "it is out")));
    }
    let alerts = world.get("/overview").await["alerts"].clone();
    assert_eq!(alerts.as_array().unwrap().iter().map(|event| event["level"].clone()).collect::<Vec<_>>(), ["warning"]);
    let page = world.get("/usage/failures?by=error,hour").await;
    assert_eq!(
        (&page["usage"]["groups"][0]["values"], page["events"].as_array().unwrap().len()),
        (&json!(["timeout"]), 3)
    );
    assert_eq!(page["usage"], world.get("/usage?by=error,hour").await);
}

#[tokio::test]
async fn what_prompt_caches_saved_is_told_by_deployment_and_unknown_is_not_zero() {
    let world = world();
    let price = json!({"input": 3, "cache_read": 0.3, "cache_write": 3.75, "output": 15});
    let model = json!({"name": "big", "price": price});
    let answer = world.own("POST", "/channels", json!({"name": "main", "provider": "openai", "models": [model]})).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let used = |model: &str, read, write| RequestRecord {
        channel: Some("main".into()),
        provider: Some("openai".into()),
        upstream_model: Some(model.into()),
        usage: Some(Usage { input: Some(2_000), cache_read: Some(read), cache_write: Some(write), ..Usage::default() }),
        ..RequestRecord::default()
    };
    let of = [used("big", 0, 1_000), used("big", 1_000, 0), used("unheard-of", 500, 0), used("big", 0, 0)];
    book(&world, of.into_iter().zip(1..).map(|(fields, n)| record(n, NOW - HOUR * n, fields)).collect()).await;
    let page = world.get("/usage/caches").await;
    assert_eq!((&page["saved"], &page["surcharge"]), (&json!(2_700_000), &json!(750_000)));
    assert_eq!((&page["cache_read"], &page["input"], &page["unpriced"]), (&json!(1_500), &json!(8_000), &json!(500)));
    let rows = page["deployments"].as_array().unwrap();
    assert_eq!((&rows[0]["model"], &rows[0]["requests"]), (&json!("big"), &json!(3)));
    assert_eq!((&rows[1]["model"], &rows[1]["sums"]), (&json!("unheard-of"), &Value::Null));
    assert_eq!(world.get("/usage/caches?channel=other").await["deployments"], json!([]));
    for wrong in ["by=model", "zone=UTC", "odd=1"] {
        assert_eq!(world.own("GET", &format!("/usage/caches?{wrong}"), Value::Null).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn several_answers_at_once_are_those_of_their_paths_and_one_that_fails_leaves_the_others_alone() {
    let world = world();
    book(&world, vec![record(1, NOW - HOUR, RequestRecord::default())]).await;
    let page = world.get("/together?get=/channels&get=/usage%3Fby%3Dmodel&get=/nothing&get=/keys/nobody").await;
    let answers = page["answers"].as_array().unwrap();
    let statuses: Vec<_> = answers.iter().map(|one| one["status"].clone()).collect();
    assert_eq!(statuses, [200, 200, 404, 404], "{page}");
    assert_eq!(answers[0]["body"], world.get("/channels").await);
    assert_eq!(answers[1]["body"], world.get("/usage?by=model").await);
    assert_eq!(answers[3]["body"]["error"]["kind"], "not-found");
    let many = "get=/status&".repeat(17);
    for wrong in ["", "get=channels", "ask=/channels", &many, "get=/together%3Fget=/status%20x"] {
        let answer = world.own("GET", &format!("/together?{wrong}"), Value::Null).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text);
    }
    let nested = world.get("/together?get=/together%3Fget%3D/status").await;
    assert_eq!(nested["answers"][0]["status"], 404, "no answers within answers");
    let outside = ask(&world.tcp, Method::GET, "/api/v1/together?get=/keys", &[], None).await;
    assert_eq!(outside.status, 401);
}

#[tokio::test(start_paused = true)]
async fn who_follows_is_told_of_requests_in_flight_from_their_beginning_to_their_end() {
    let world = world();
    let flights = &world.services.flights;
    assert_eq!(world.get("/requests").await["live"], 0);
    assert_eq!(world.get("/requests/live?wait=0").await["flights"], Value::Null, "nobody asked");
    let began = tokio::time::Instant::now();
    let waiting = world.get("/requests/live?after=0&wait=25&flights=0");
    let begins = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        flights.begin(&record(1, NOW, RequestRecord { model: "m".into(), ..RequestRecord::default() }))
    };
    let (page, flight) = tokio::join!(waiting, begins);
    assert_eq!(page["flights"]["requests"].as_array().unwrap().len(), 1);
    let waited = began.elapsed();
    assert!((5..6).contains(&waited.as_secs()), "{waited:?}");
    world.get("/requests/live?after=0&wait=25&flights=1").await;
    assert!((6..7).contains(&began.elapsed().as_secs()), "its progress a second later");
    flights.end(&flight);
    let page = world.get("/requests/live?after=0&wait=25&flights=1").await;
    assert_eq!(page["flights"]["requests"], json!([]), "at once: the caller still shows it");
    assert!(began.elapsed().as_secs() < 7);
    world.get("/requests/live?after=0&wait=25&flights=0").await;
    assert!(began.elapsed().as_secs() >= 30, "nothing is in flight, nothing comes");
}

#[tokio::test]
async fn only_a_configuration_that_was_found_is_read_from_the_disk() {
    let world = world();
    let file = world._dir.path().join("config.yaml");
    std::fs::write(&file, "model_list: []\n").unwrap();
    for path in [file.display().to_string(), "/etc/passwd".to_owned(), "~/.litellm/config.yaml/../x".to_owned()] {
        let answer = world.own("POST", "/import", json!({"kind": "litellm", "found": path})).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
    }
    for both in [json!({"kind": "litellm"}), json!({"kind": "litellm", "text": "", "found": "x"})] {
        assert_eq!(world.own("POST", "/import", both).await.status, 422);
    }
}
