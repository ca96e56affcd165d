//! The store as a whole: what is configured survives, secrets do not leak, records are never lost.

mod backup;
mod configuration;
mod failures;
mod history;
mod journal;
mod keeping;
mod migration;
mod names;
mod records;
mod scale;
mod sums;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::clock::TestClock;
use crate::model::{
    Channel, ChannelState, Credential, DIRECT, DeclaredKey, Origin, Profile, ProfileRule, RequestRecord, RequestState,
    Route, RouteGroup, Secret, SecretSource, Settings, VirtualKey,
};

const CANARY: &str = "sk-canary-5f2b9c7d1e";
const SPACE: &str = "responses";
const MINUTE: Duration = Duration::from_secs(60);

fn clock() -> TestClock {
    let clock = TestClock::default();
    clock.advance_ms(1_800_000_000_000);
    clock
}

fn open_with(dir: &Path, clock: &TestClock, master: &MasterKey) -> Result<Store, StoreError> {
    Store::open(dir, Arc::new(clock.clone()), master, Arc::new(|provider: &str| provider == "openai"))
}

fn open(dir: &Path) -> Store {
    open_with(dir, &clock(), &MasterKey::KeyFile).unwrap()
}

fn channel(name: &str) -> Channel {
    let mut channel: Channel = serde_json::from_value(json!({"name": name, "provider": "openai"})).unwrap();
    channel.credentials = vec![Credential { secret: SecretSource::parse(CANARY) }];
    channel.headers.insert("x-secret".into(), CANARY.into());
    channel.proxy = Some(format!("http://user:{CANARY}@proxy.example"));
    channel
}

fn create(store: &Store, channel: Channel) -> Applied {
    store.apply_blocking(Change::CreateChannel(Box::new(channel)), "test").unwrap()
}

fn new_key(name: &str) -> Change {
    Change::CreateKey(Box::new(NewKey { name: name.into(), ..NewKey::default() }))
}

fn profile(name: &str) -> Profile {
    let rule = ProfileRule { glob: Some("*".into()), to: "echo".into(), ..ProfileRule::default() };
    Profile { name: name.into(), rules: vec![rule], ..Profile::default() }
}

fn declared_key(name: &str, secret: Option<&str>) -> DeclaredKey {
    let key: VirtualKey =
        serde_json::from_value(json!({"id": "", "name": name, "hash": "", "hint": "", "created": 0, "origin": "file"}))
            .unwrap();
    DeclaredKey { key, secret: secret.map(Secret::new) }
}

/// Every byte in the data directory.
fn all_bytes(dir: &Path) -> Vec<u8> {
    fs::read_dir(dir).unwrap().flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

/// The n-th record: ids rise with n.
fn record(n: u64) -> RequestRecord {
    RequestRecord {
        id: format!("req_{:032x}", (u128::from(1_800_000_000_000 + n) << 80) | u128::from(n)),
        started: 1_800_000_000_000 + n,
        model: if n.is_multiple_of(2) { "even" } else { "odd" }.into(),
        key: Some(format!("key_{}", n % 3)),
        channel: Some("main".into()),
        state: if n.is_multiple_of(5) { RequestState::Failed } else { RequestState::Completed },
        ..RequestRecord::default()
    }
}

async fn all(store: &Store) -> Vec<RequestRecord> {
    store.ledger().list(Filter::default(), None, 100_000).await.unwrap().records
}

async fn append_durably(store: &Store, records: impl IntoIterator<Item = RequestRecord>) {
    let mut last = None;
    for record in records {
        last = Some(store.ledger().append_durable(record));
    }
    last.unwrap().await.unwrap().unwrap();
}

/// What a process that died right now would leave behind.
fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}
