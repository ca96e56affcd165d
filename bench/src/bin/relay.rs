//! `bench-relay ADDRESS UPSTREAM`: the relay that everybody could write in an hour. Reads the body as JSON, looks at the model, sends it on, streams
//! the answer back. No keys, no accounting, no conversion. The yardstick, not a product: it is written the usual way on purpose.

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

struct Relay {
    client: reqwest::Client,
    upstream: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let address = words.next().context("bench-relay ADDRESS UPSTREAM")?;
    let upstream = words.next().context("bench-relay ADDRESS UPSTREAM")?;
    let client = reqwest::Client::builder().tcp_nodelay(true).build()?;
    let relay = Arc::new(Relay { client, upstream });
    let router =
        Router::new().fallback(relay_one).layer(axum::extract::DefaultBodyLimit::max(64 << 20)).with_state(relay);
    let listener = tokio::net::TcpListener::bind(&address).await?;
    // Without this, axum leaves Nagle on and chunks come late; the yardstick is to be fair.
    use axum::serve::ListenerExt as _;
    let listener = listener.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, router).await?;
    Ok(())
}

async fn relay_one(State(relay): State<Arc<Relay>>, uri: Uri, body: axum::body::Bytes) -> Response {
    let Ok(mut request) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let model = request.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(fields) = request.as_object_mut() {
        fields.insert("model".into(), model.into());
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let sent = relay.client.post(format!("{}{path}", relay.upstream)).bearer_auth("bench").json(&request).send().await;
    let Ok(answer) = sent else { return StatusCode::BAD_GATEWAY.into_response() };
    let status = answer.status();
    let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
    let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
    *response.status_mut() = status;
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}
