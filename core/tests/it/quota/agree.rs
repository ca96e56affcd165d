//! What limits have counted, what the records say, and their sums: the same, whatever happens.

use std::time::Duration;

use myelin_core::model::{CacheMode, CacheOutcome, NanoUsd, RequestRecord, RequestState};
use myelin_core::store::{Bucket, Change, Dimension, Filter, Grouping, UsageQuery};
use myelin_testkit::{MockServer, Script};
use proptest::prelude::*;
use serde_json::json;

use super::{admin, chat, gateway, limit, priced, settled, sums};
use crate::support::{TestGateway, mock_channel};

#[tokio::test]
async fn case_43_streams_count_like_whole_answers_in_counters_and_records() {
    let (_mock, gateway) = gateway().await;
    limit(&gateway, json!({"name": "tokens", "on": "model:mock", "tokens": 1_000_000, "per": "1h"})).await;
    limit(&gateway, json!({"name": "money", "on": "channel:openai", "money": 100, "per": "week", "zone": "UTC"})).await;
    let mut before = (0, 0);
    for stream in [false, true] {
        let mut body = chat("[[usage input=100 output=5]] hello");
        body["stream"] = json!(stream);
        let (status, text) = gateway.ask_text("/v1/chat/completions", &body).await;
        assert_eq!(status, 200, "{text}");
        let after = (settled(&gateway, "tokens").await, settled(&gateway, "money").await);
        assert_eq!((after.0 - before.0, after.1 - before.1), (105, 110_000_000), "stream {stream}");
        before = after;
    }
    let (_, tokens, money) = sums(&gateway, 2).await;
    assert_eq!((tokens, money), before);
    let kept: u64 = gateway.gateway.store().counters().sums().unwrap().iter().map(|(.., amount)| amount).sum();
    assert_eq!(kept, tokens + money, "and so does the file");
}

#[tokio::test]
async fn a_channel_counts_what_was_sent_to_it_and_failed() {
    let mock = MockServer::start().await.unwrap();
    let mut second = priced(&mock, "second", "anthropic");
    second["weight"] = json!(0);
    let gateway = TestGateway::start(vec![priced(&mock, "first", "openai"), second]).await;
    for name in ["first", "second"] {
        limit(
            &gateway,
            json!({"name": format!("{name}-r"), "on": format!("channel:{name}"), "requests": 50, "per": "1h"}),
        )
        .await;
        limit(
            &gateway,
            json!({"name": format!("{name}-t"), "on": format!("channel:{name}"), "tokens": 50_000, "per": "1h"}),
        )
        .await;
    }
    limit(&gateway, json!({"name": "key", "on": "key:test", "requests": 50, "per": "1h"})).await;
    mock.script(Script::error(500).provider("openai"));
    let (status, _) = gateway.ask("/v1/chat/completions", &chat("[[usage input=9 output=1]] hello")).await;
    assert_eq!(status, 200);
    let mut used = Vec::new();
    for name in ["first-r", "first-t", "second-r", "second-t", "key"] {
        used.push(settled(&gateway, name).await);
    }
    assert_eq!(used, [1, 0, 1, 10, 1]);
}

#[tokio::test]
async fn what_was_counted_survives_a_restart_and_goes_with_its_key() {
    let (_mock, gateway) = gateway().await;
    limit(&gateway, json!({"name": "month", "on": "key:test", "money": 5, "per": "month"})).await;
    limit(&gateway, json!({"name": "minute", "on": "key:test", "tokens": 100_000, "per": "30m"})).await;
    for _ in 0..3 {
        assert_eq!(gateway.ask("/v1/chat/completions", &chat("[[usage input=100 output=5]] hi")).await.0, 200);
    }
    let before = (settled(&gateway, "month").await, settled(&gateway, "minute").await);
    assert_eq!(before, (330_000_000, 315));
    let gateway = gateway.restart().await;
    assert_eq!((settled(&gateway, "month").await, settled(&gateway, "minute").await), before);
    let store = gateway.gateway.store();
    assert_eq!(store.counters().sums().unwrap().len(), 2);
    store.apply(Change::RemoveKey { key: "test".into() }, "test").await.unwrap();
    assert!(store.entities().limits.is_empty(), "limits go with their key");
    for _ in 0..500 {
        if store.counters().sums().unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("counters outlive their limits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_sums_and_counters_agree_whatever_happens_to_requests() {
    let mock = MockServer::start().await.unwrap();
    let mut second = priced(&mock, "second", "anthropic");
    second["weight"] = json!(0);
    let gateway = TestGateway::with_settings(vec![priced(&mock, "openai", "openai"), second], |settings| {
        settings.policy.hedge_after_ms = Some(120);
        settings.policy.cache.mode = Some(CacheMode::Deterministic);
        settings.policy.mirror = Some(serde_json::from_value(json!({"to": "second/mock"})).unwrap());
    })
    .await;
    limit(&gateway, json!({"name": "money", "on": "gateway", "money": 10_000, "per": "month"})).await;
    limit(&gateway, json!({"name": "calls", "on": "gateway", "requests": 10_000, "per": "month"})).await;
    let texts = [
        "plain [[usage input=20 output=8]]",
        "again [[usage input=20 output=8]]",
        "late [[delay 300]] [[usage input=30 output=9]]",
        "[[error 500]]",
        "[[error 429]]",
        "cut [[cut-after 2]] one two three four",
        "slow [[pace 100]] one two three four five six seven",
    ];
    let mut asked = Vec::new();
    for (n, text) in texts.iter().cycle().take(42).enumerate() {
        let mut body = chat(text);
        body["stream"] = json!(n % 2 == 0);
        if n % 3 == 0 {
            body["temperature"] = json!(0);
        }
        // Some leave early.
        let patience = if text.contains("pace") || n % 10 == 9 { 250 } else { 20_000 };
        let request = gateway.post("/v1/chat/completions").json(&body).timeout(Duration::from_millis(patience));
        asked.push(tokio::spawn(async move {
            if let Ok(answer) = request.send().await {
                drop(answer.bytes().await);
            }
        }));
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    for one in asked {
        one.await.unwrap();
    }
    let (spent, calls) = (settled(&gateway, "money").await, settled(&gateway, "calls").await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ledger = gateway.gateway.store().ledger();
    let mut before = usize::MAX;
    let records = loop {
        let found = gateway.records(42).await;
        if found.len() == before {
            break found;
        }
        before = found.len();
        tokio::time::sleep(Duration::from_millis(400)).await;
    };
    let spent = spent.max(settled(&gateway, "money").await);
    let cost: i64 = records.iter().filter_map(|record| record.cost).map(|cost| cost.0).sum();
    let query = UsageQuery { until: u64::MAX / 2, ..UsageQuery::default() };
    let sums = ledger.usage(query).await.unwrap().total;
    assert_eq!((sums.requests as usize, sums.cost), (records.len(), cost), "sums are those of the records");
    assert_eq!(cost, i64::try_from(spent).unwrap(), "and the budget's counter");
    let kept = gateway.gateway.store().counters().sums().unwrap();
    let in_file: u64 = kept.iter().map(|(.., amount)| amount).sum();
    assert_eq!(in_file, spent + settled(&gateway, "calls").await, "and what stands in the file");
    assert!(calls > 20 && cost > 0);
    let hits = records.iter().filter(|record| record.cache == CacheOutcome::Hit);
    assert!(
        hits.clone().count() > 0
            && hits.clone().all(|hit| hit.cost == Some(NanoUsd(0)) && hit.saved > Some(NanoUsd(0)))
    );
    assert!(records.iter().any(|record| record.tags.iter().any(|tag| tag == "mirror")));
    assert!(records.iter().any(|record| record.attempts.iter().any(|attempt| attempt.hedged)));
    assert!(records.iter().any(|record| record.state == RequestState::Canceled));
    // And all of it is so after a restart.
    let gateway = gateway.restart().await;
    let again: u64 = gateway.gateway.store().counters().sums().unwrap().iter().map(|(.., amount)| amount).sum();
    assert_eq!(again, in_file);
}

/// One request of some traffic.
#[derive(Debug, Clone)]
struct Step {
    text: String,
    stream: bool,
    /// Safe to repeat: the answer cache has a say.
    repeatable: bool,
    /// Of a model whose limit soon refuses.
    tight: bool,
    /// How long its client stays, in milliseconds.
    patience: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let trouble = prop_oneof![
        4 => Just(""),
        1 => Just("[[error 500]]"),
        1 => Just("[[error 429]]"),
        1 => Just("[[error-after 2 529]]"),
        1 => Just("[[cut-after 2]] one two three four"),
        1 => Just("[[abort-after 2]] one two three four"),
        // Later than a hedge begins.
        1 => Just("[[delay 200]]"),
        1 => Just("[[pace 40]] one two three four five six"),
    ];
    let usage = (1..60_u64, 0..40_u64, 0..30_u64);
    let client = (
        any::<bool>(),
        any::<bool>(),
        proptest::bool::weighted(0.2),
        prop_oneof![4 => Just(20_000_u64), 1 => 1..250_u64],
    );
    let step =
        (trouble, usage, client).prop_map(|(trouble, (plain, read, output), (stream, repeatable, tight, patience))| {
            // Not every request says what it used: what broke off is estimated.
            let usage = if output == 0 {
                String::new()
            } else {
                format!("[[usage input={} read={read} output={output}]]", plain + read)
            };
            Step { text: format!("{usage} {trouble} hello {}", plain % 4), stream, repeatable, tight, patience }
        });
    proptest::collection::vec(step, 10..30)
}

/// Every record there is.
async fn all_records(gateway: &TestGateway) -> Vec<RequestRecord> {
    let ledger = gateway.gateway.store().ledger();
    let (mut records, mut before) = (Vec::new(), None);
    loop {
        let page = ledger.list(Filter::default(), before, 500).await.unwrap();
        records.extend(page.records);
        before = page.next;
        if before.is_none() {
            return records;
        }
    }
}

/// Holds records, their sums by anything, the counters of budgets and what stands in the file against each other.
async fn hold(gateway: &TestGateway, when: &str) -> i64 {
    let records = all_records(gateway).await;
    let cost = |wanted: &dyn Fn(&RequestRecord) -> bool| -> u64 {
        let costs = records.iter().filter(|record| wanted(record)).filter_map(|record| record.cost);
        costs.map(|cost| u64::try_from(cost.0).unwrap()).sum()
    };
    let all = cost(&|_| true);
    let tokens: u64 = records
        .iter()
        .filter_map(|record| record.usage.as_ref())
        .map(|usage| usage.input.unwrap_or(0) + usage.output.unwrap_or(0))
        .sum();
    let of_channel = |name: &'static str| move |record: &RequestRecord| record.channel.as_deref() == Some(name);
    let wanted = [
        ("money", all),
        ("tokens", tokens),
        ("key", cost(&|record| record.key.is_some())),
        ("first", cost(&of_channel("first"))),
        ("second", cost(&of_channel("second"))),
    ];
    let mut in_memory = 0;
    for (name, wanted) in wanted {
        let used = settled(gateway, name).await;
        assert_eq!(used, wanted, "{when}: what {name} has counted is what the records say");
        in_memory += used;
    }
    for name in ["calls", "tight"] {
        in_memory += settled(gateway, name).await;
    }
    let store = gateway.gateway.store();
    let in_file: u64 = store.counters().sums().unwrap().iter().map(|(.., amount)| amount).sum();
    assert_eq!(in_file, in_memory, "{when}: so does the file");
    for by in [
        vec![],
        vec![Dimension::Model, Dimension::State],
        vec![Dimension::Channel],
        vec![Dimension::Key, Dimension::Cache],
    ] {
        for bucket in [None, Some(Bucket::Hour), Some(Bucket::Day)] {
            let by = by.iter().map(|one| Grouping::Of(*one)).collect();
            let query = UsageQuery { until: u64::MAX / 2, by, bucket, ..UsageQuery::default() };
            let answer = store.ledger().usage(query).await.unwrap();
            let groups = answer.groups.iter().map(|group| (group.sums.requests, group.sums.cost));
            let sums = groups.fold((0, 0), |(requests, cost), group| (requests + group.0, cost + group.1));
            assert_eq!(sums, (answer.total.requests, answer.total.cost), "{when}: groups are parts of the whole");
            assert_eq!(
                (sums.0 as usize, sums.1.unsigned_abs()),
                (records.len(), all),
                "{when}: sums are those of the records"
            );
        }
    }
    i64::try_from(all).unwrap()
}

/// Everything in flight is over, copies for mirrors included, and written.
async fn quiet(gateway: &TestGateway) {
    let services = gateway.gateway.services();
    let (mut before, mut same) = (0, 0);
    for _ in 0..400 {
        let health = gateway.gateway.store().ledger().health();
        let idle = services.flights.list().is_empty() && health.waiting == 0 && health.committed == before;
        same = if idle { same + 1 } else { 0 };
        if same > 12 {
            return;
        }
        before = health.committed;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it never ends");
}

async fn traffic(steps: Vec<Step>) {
    let mock = MockServer::start().await.unwrap();
    let [first, mut second] = [("first", "openai"), ("second", "anthropic")].map(|(name, provider)| {
        let mut channel = mock_channel(&mock, name, provider, provider);
        channel["models"] = json!(["mock", {"name": "tight", "upstream": "mock"}]);
        channel
    });
    second["weight"] = json!(0);
    let gateway = TestGateway::with_settings(vec![first, second], |settings| {
        settings.policy.hedge_after_ms = Some(80);
        settings.policy.cache.mode = Some(CacheMode::Deterministic);
        settings.policy.mirror = Some(serde_json::from_value(json!({"to": "second/mock"})).unwrap());
    })
    .await;
    let price = |input: u64, output: u64| json!({"model": "mock", "price": {"input": input, "cache_read": input / 10, "output": output}});
    assert_eq!(admin(&gateway, "PUT", "/prices", price(1_000, 2_000)).await.0, 200);
    for spec in [
        json!({"name": "money", "on": "gateway", "money": 10_000, "per": "total"}),
        json!({"name": "tokens", "on": "gateway", "tokens": 100_000_000, "per": "total"}),
        json!({"name": "calls", "on": "gateway", "requests": 100_000, "per": "total"}),
        json!({"name": "key", "on": "key:test", "money": 10_000, "per": "30d"}),
        json!({"name": "first", "on": "channel:first", "money": 10_000, "per": "7d"}),
        json!({"name": "second", "on": "channel:second", "money": 10_000, "per": "total"}),
        json!({"name": "tight", "on": "model:tight", "requests": 3, "per": "total"}),
    ] {
        limit(&gateway, spec).await;
    }
    let mut asked = Vec::new();
    for step in steps {
        let mut body = chat(&step.text);
        body["model"] = json!(if step.tight { "tight" } else { "mock" });
        body["stream"] = json!(step.stream);
        if step.repeatable {
            body["temperature"] = json!(0);
        }
        let request = gateway.post("/v1/chat/completions").json(&body).timeout(Duration::from_millis(step.patience));
        asked.push(tokio::spawn(async move {
            if let Ok(answer) = request.send().await {
                drop(answer.bytes().await);
            }
        }));
        tokio::time::sleep(Duration::from_millis(8)).await;
    }
    for one in asked {
        one.await.unwrap();
    }
    quiet(&gateway).await;
    let before = hold(&gateway, "after the traffic").await;
    // Ten times as dear, looking back: everything that counted it counts it so.
    assert_eq!(admin(&gateway, "PUT", "/prices", price(10_000, 20_000)).await.0, 200);
    let (status, told) = admin(&gateway, "POST", "/prices/reprice", json!({})).await;
    assert_eq!(status, 200, "{told}");
    let after = hold(&gateway, "priced anew").await;
    assert_eq!(after, before * 10);
    let gateway = gateway.restart().await;
    assert_eq!(hold(&gateway, "after a restart").await, after);
    assert_eq!(admin(&gateway, "PUT", "/prices", price(1_000, 2_000)).await.0, 200);
    assert_eq!(admin(&gateway, "POST", "/prices/reprice", json!({})).await.0, 200);
    assert_eq!(hold(&gateway, "priced as before").await, before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn any_traffic_leaves_records_sums_and_budgets_that_agree_and_prices_change_all_of_them(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(traffic(steps));
    }
}

#[tokio::test]
async fn what_a_limit_has_forgotten_does_not_come_back_when_records_are_priced_anew() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "first", "openai", "openai")]).await;
    limit(&gateway, json!({"name": "money", "on": "gateway", "money": 10_000, "per": "month"})).await;
    let ask = async || gateway.ask("/v1/chat/completions", &chat("[[usage input=10 output=5]] hello")).await.0;
    // There is no price yet.
    assert_eq!((ask().await, ask().await), (200, 200));
    quiet(&gateway).await;
    assert_eq!(settled(&gateway, "money").await, 0);
    let reprice = async |input: u64| {
        let price = json!({"model": "mock", "price": {"input": input, "output": 0}});
        assert_eq!(admin(&gateway, "PUT", "/prices", price).await.0, 200);
        assert_eq!(admin(&gateway, "POST", "/prices/reprice", json!({})).await.0, 200);
        settled(&gateway, "money").await
    };
    // 10 tokens at a tenth of a cent each, twice.
    assert_eq!(reprice(1_000).await, 20_000_000, "what was unpriced is counted now");
    assert_eq!(admin(&gateway, "POST", "/limits/money/reset", json!({})).await.0, 200);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(ask().await, 200);
    quiet(&gateway).await;
    assert_eq!(settled(&gateway, "money").await, 10_000_000);
    assert_eq!(reprice(3_000).await, 30_000_000, "only what came after the reset counts otherwise");
    // A limit that is made later has not counted what was before it.
    limit(&gateway, json!({"name": "late", "on": "gateway", "money": 10_000, "per": "month"})).await;
    assert_eq!(reprice(1_000).await, 10_000_000);
    assert_eq!(settled(&gateway, "late").await, 0);
    let gateway = gateway.restart().await;
    assert_eq!((settled(&gateway, "money").await, settled(&gateway, "late").await), (10_000_000, 0));
}
