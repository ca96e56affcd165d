//! Many callers on a bad day: second tries do not make it worse.

use std::sync::Arc;

use myelin_testkit::{MockServer, Script};
use serde_json::json;

use crate::support::{TestGateway, mock_channel};

#[tokio::test]
async fn a_storm_of_failures_is_not_multiplied() {
    const CALLERS: usize = 120;
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::with_settings(vec![mock_channel(&mock, "only", "openai", "openai")], |settings| {
        settings.policy.retry.backoff_ms = Some(10);
        settings.policy.retry.same = Some(4);
        settings.retry_budget_percent = 20;
    })
    .await;
    for _ in 0..CALLERS * 5 {
        mock.script(Script::error(503));
    }
    let gateway = Arc::new(gateway);
    let body = json!({"model": "mock", "messages": [{"role": "user", "content": "hi"}]});
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (gateway, body) = (gateway.clone(), body.clone());
            tokio::spawn(async move { gateway.ask("/v1/chat/completions", &body).await.0 })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), 503);
    }
    let asked = mock.requests().len();
    // Ten are free, a fifth of the callers earn one each, time gives a few.
    assert!(asked <= CALLERS + 10 + CALLERS / 5 + 10, "{CALLERS} callers made {asked} calls");
}
