//! A gateway on a free port with a store of its own, and what tests say to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use myelin_core::clock::{Clock, SystemClock};
use myelin_core::gateway::Gateway;
use myelin_core::model::{Channel, Declared, RequestRecord, Secret, SecretSource, Settings};
use myelin_core::providers::{Catalog, SecretResolver};
use myelin_core::store::{Change, Filter, MasterKey, NewKey, Store};
use myelin_testkit::MockServer;
use serde_json::{Value, json};

pub mod dialog;
pub mod fold;
pub mod provider_socket;
pub mod providers;
pub mod raw;

/// A running gateway.
pub struct TestGateway {
    /// The gateway itself.
    pub gateway: Gateway,
    /// Where it listens.
    pub address: SocketAddr,
    /// All addresses on which it listens.
    pub addresses: Vec<SocketAddr>,
    /// A virtual key without limits.
    pub key: String,
    client: reqwest::Client,
    task: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

#[derive(Debug)]
struct InlineSecrets;

impl SecretResolver for InlineSecrets {
    fn resolve(&self, source: &SecretSource) -> Result<Secret, String> {
        match source {
            SecretSource::Inline(secret) => Ok(secret.clone()),
            other => Err(format!("tests use inline secrets, not {other:?}")),
        }
    }
}

impl TestGateway {
    /// Starts a gateway with these channels (as they would stand in the file, with `enabled` true).
    pub async fn start(channels: Vec<Value>) -> Self {
        Self::with_settings(channels, |_| {}).await
    }

    /// The same with other settings.
    pub async fn with_settings(channels: Vec<Value>, change: impl FnOnce(&mut Settings)) -> Self {
        Self::with_clock(channels, SystemClock::new(), change).await
    }

    /// The same with a clock of the test's own.
    pub async fn with_clock(
        channels: Vec<Value>,
        clock: impl Clock + 'static,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = open_store(dir.path()).expect("the store opens");
        let mut settings = Settings { listen: vec!["127.0.0.1:0".into()], ..Settings::default() };
        change(&mut settings);
        let fixed = [
            "listen",
            "timeouts",
            "max_body_bytes",
            "body_idle_seconds",
            "anonymous_key",
            "max_attempts",
            "allowed_origins",
        ];
        let fixed_settings = fixed.iter().map(|name| (*name).to_owned()).collect();
        store.declare(Declared { settings, fixed_settings, ..Declared::default() }).expect("settings are good");
        for channel in channels {
            let channel = channel_of(channel);
            store.apply(Change::CreateChannel(Box::new(channel)), "test").await.expect("the channel is good");
        }
        let key = NewKey { name: "test".into(), ..NewKey::default() };
        let applied = store.apply(Change::CreateKey(Box::new(key)), "test").await.expect("a key is made");
        let key = applied.issued.first().expect("its secret is shown").secret.expose().to_owned();
        Self::run(store, Arc::new(clock), key, dir).await
    }

    /// Stops, and starts again on the same data.
    pub async fn restart(mut self) -> Self {
        self.gateway.shutdown();
        let _ = tokio::time::timeout(Duration::from_secs(10), &mut self.task).await;
        self.gateway.store().close();
        let settings = self.gateway.store().entities().settings.clone();
        let dir = std::mem::replace(&mut self._dir, tempfile::tempdir().expect("a temporary folder"));
        let key = self.key.clone();
        drop(self);
        // Tasks of the old one may hold its store for a moment longer.
        let mut store = open_store(dir.path());
        for _ in 0..200 {
            if store.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
            store = open_store(dir.path());
        }
        let store = store.expect("the store opens again");
        let fixed_settings = ["listen".to_owned()].into();
        store.declare(Declared { settings, fixed_settings, ..Declared::default() }).expect("settings are good");
        Self::run(store, Arc::new(SystemClock::new()), key, dir).await
    }

    async fn run(store: Store, clock: Arc<dyn Clock>, key: String, dir: tempfile::TempDir) -> Self {
        let gateway = Gateway::open(store, clock, Arc::new(InlineSecrets)).expect("TLS is there");
        let (send, ready) = tokio::sync::oneshot::channel();
        let serving = gateway.clone();
        let task = tokio::spawn(async move {
            let told = serving.serve(|addresses| drop(send.send(addresses.to_vec()))).await;
            told.expect("the gateway listens");
        });
        let addresses = ready.await.expect("the gateway says where");
        let address = *addresses.first().expect("one address");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { gateway, address, addresses, key, client, task, _dir: dir }
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request with the key.
    pub fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(self.url(path)).bearer_auth(&self.key)
    }

    /// One more key; gives its secret.
    pub async fn another_key(&self, key: NewKey) -> String {
        let applied =
            self.gateway.store().apply(Change::CreateKey(Box::new(key)), "test").await.expect("a key is made");
        let secret = applied.issued.first().expect("its secret is shown").secret.expose().to_owned();
        // The snapshot follows the store in a task of its own.
        for _ in 0..200 {
            let asked = self.client.get(self.url("/v1/models")).bearer_auth(&secret).send().await.expect("an answer");
            let text = asked.text().await.expect("a body");
            if !text.contains("invalid api key") {
                return secret;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the new key does not work");
    }

    /// A request without any key.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method.parse().expect("a method"), self.url(path))
    }

    /// Asks without a body and reads the whole answer as JSON with its status.
    pub async fn call(&self, method: &str, path: &str) -> (u16, Value) {
        let answer = self.request(method, path).bearer_auth(&self.key).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        let value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON ({status}): {text}"));
        (status, value)
    }

    /// A request with the key.
    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.request("GET", path).bearer_auth(&self.key)
    }

    /// Posts JSON and reads the whole answer as JSON with its status.
    pub async fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.post(path).json(body).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        let value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON ({status}): {text}"));
        (status, value)
    }

    /// Posts JSON and reads the whole answer as text with its status.
    pub async fn ask_text(&self, path: &str, body: &Value) -> (u16, String) {
        let answer = self.post(path).json(body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// The record of the newest request.
    pub async fn last_record(&self) -> RequestRecord {
        self.records(1).await.into_iter().next().expect("a record")
    }

    /// The newest records, everything that was handed over included; there must be at least `count`.
    pub async fn records(&self, count: usize) -> Vec<RequestRecord> {
        let store = self.gateway.store();
        for _ in 0..200 {
            let settled = store.ledger().health().waiting == 0;
            let page = store.ledger().list(Filter::default(), None, 100).await.expect("records");
            if settled && page.records.len() >= count {
                return page.records;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("there are no {count} records");
    }
}

fn open_store(dir: &std::path::Path) -> Result<Store, myelin_core::store::StoreError> {
    let known = Arc::new(|name: &str| Catalog::builtin().get(name).is_some());
    Store::open(dir, Arc::new(SystemClock::new()), &MasterKey::KeyFile, known)
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.gateway.shutdown();
        self.task.abort();
    }
}

/// A channel of its fields in the file, with `enabled` true.
pub fn channel_of(mut fields: Value) -> Channel {
    let object = fields.as_object_mut().expect("a channel is an object");
    object.entry("enabled").or_insert(json!(true));
    serde_json::from_value(fields).expect("a channel")
}

/// A channel at a mock provider: its name is the provider's, with one model `mock`.
pub fn mock_channel(mock: &MockServer, name: &str, provider: &str, path: &str) -> Value {
    json!({
        "name": name, "provider": provider, "base_urls": [mock.base_url(path)],
        "credentials": [myelin_testkit::KEY], "models": ["mock"],
    })
}

/// A request as the window and the command line make it: over no network, with the rights of the owner.
pub async fn owner(gateway: &TestGateway, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    use http_body_util::BodyExt as _;
    let text = body.map(|body| body.to_string()).unwrap_or_default();
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .header("host", "localhost")
        .body(http_body_util::Full::new(bytes::Bytes::from(text)))
        .unwrap();
    let answer = gateway.gateway.ask_as_owner(request).await;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}
