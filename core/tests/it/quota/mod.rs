//! Limits and budgets through the whole gateway.

mod agree;
mod caps;
mod levels;
mod told;

use std::time::Duration;

use myelin_core::limits::LimitUsage;
use myelin_core::model::{Limit, LimitSpec, Origin, RequestRecord};
use myelin_core::store::Change;
use myelin_testkit::MockServer;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{TestGateway, mock_channel};

/// A channel whose model costs a thousandth of a dollar for each token in, twice that for each token out.
fn priced(mock: &MockServer, name: &str, provider: &str) -> Value {
    let mut channel = mock_channel(mock, name, provider, provider);
    channel["models"] = json!([{"name": "mock", "upstream": "mock", "price": {"input": 1000, "output": 2000}}]);
    channel
}

async fn gateway() -> (MockServer, TestGateway) {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![priced(&mock, "openai", "openai")]).await;
    (mock, gateway)
}

/// Sets a limit and waits until it is in force.
async fn limit(gateway: &TestGateway, spec: Value) -> Limit {
    let spec: LimitSpec = serde_json::from_value(spec).unwrap();
    let limit = spec.into_limit("limits.test", Origin::Store).unwrap();
    let change = Change::CreateLimit(Box::new(limit.clone()));
    gateway.gateway.store().apply(change, "test").await.unwrap();
    let begun = Instant::now();
    while maybe_usage(gateway, &limit.name).is_none() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the limit does not come into force");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    limit
}

fn maybe_usage(gateway: &TestGateway, name: &str) -> Option<LimitUsage> {
    let services = gateway.gateway.services();
    services.snapshot.load().limits.usage(name, services.clock.unix_ms())
}

/// How far a limit is used once everything in flight is over.
async fn settled(gateway: &TestGateway, name: &str) -> u64 {
    for _ in 0..500 {
        let usage = maybe_usage(gateway, name).unwrap();
        if usage.held == 0 && usage.waiting == 0 {
            return usage.used;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("something holds {name} for ever");
}

fn chat(text: &str) -> Value {
    json!({"model": "mock", "max_tokens": 10, "messages": [{"role": "user", "content": text}]})
}

/// Asks so often at the same time; gives the statuses.
async fn crowd(gateway: &TestGateway, count: usize, body: &Value) -> Vec<u16> {
    let asked = (0..count).map(|_| {
        let request = gateway.post("/v1/chat/completions").json(body);
        tokio::spawn(async move {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            answer.bytes().await.unwrap();
            status
        })
    });
    let mut statuses = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        statuses.push(asked.await.unwrap());
    }
    statuses
}

fn with_status(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|own| **own == status).count()
}

/// Every record, and the sums of what they used.
async fn sums(gateway: &TestGateway, count: usize) -> (Vec<RequestRecord>, u64, u64) {
    let mut records = gateway.records(count).await;
    records.retain(|record| record.path.contains("/chat/") || record.path.contains("/messages"));
    let tokens = records.iter().filter_map(|record| record.usage.as_ref()?.total()).sum();
    let money = records.iter().filter_map(|record| record.cost).map(|cost| u64::try_from(cost.0).unwrap()).sum();
    (records, tokens, money)
}

/// Asks the admin API as the owner.
async fn admin(gateway: &TestGateway, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = http::Request::builder().method(method).uri(format!("/api/v1{path}")).header("host", "localhost");
    let request = request.header("content-type", "application/json").body(body.to_string()).unwrap();
    let answer = gateway.gateway.ask_as_owner(request).await;
    let status = answer.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}
