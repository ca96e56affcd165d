//! How the tests speak to a mock.

use myelin_testkit::{KEY, MockServer};
use reqwest::{Client, Response};
use serde_json::Value;

/// Sends JSON with the key in every place where some provider looks for it.
pub(crate) async fn post(mock: &MockServer, provider: &str, path: &str, body: &Value) -> Response {
    let request = Client::builder().no_proxy().build().unwrap().post(format!("{}{path}", mock.url(provider)));
    let request = request.bearer_auth(KEY).header("x-goog-api-key", KEY).header("anthropic-version", "2023-06-01");
    request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap()
}

/// The rule that a request broke; none if it was answered.
pub(crate) async fn rule(mock: &MockServer, provider: &str, path: &str, body: &Value) -> Option<String> {
    let answer = post(mock, provider, path, body).await;
    answer.headers().get("x-mock-rule").map(|value| value.to_str().unwrap().to_owned())
}
