//! What a mock server remembers: requests, queued scripts, stored conversations, what the prompt cache has seen.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::delivery::Progress;
use crate::script::Script;
use crate::signature::digest;

/// Most requests that are remembered; older ones are forgotten.
const REMEMBERED: usize = 2_000;

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// First segment of the path.
    pub provider: String,
    /// HTTP method.
    pub method: String,
    /// The path after the provider.
    pub path: String,
    /// The query, without `?`.
    pub query: String,
    /// Headers as received.
    pub headers: HeaderMap,
    /// The body as received.
    pub body: Bytes,
    /// The rule that it broke.
    pub refused: Option<&'static str>,
    /// How far the answer got.
    pub progress: Progress,
}

impl Recorded {
    /// The body as JSON, `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn to_json(&self) -> Value {
        let headers: HashMap<&str, String> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = serde_json::from_slice(&self.body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&self.body)));
        json!({
            "provider": self.provider, "method": self.method, "path": self.path, "query": self.query, "headers": headers, "body": body,
            "refused": self.refused, "progress": format!("{:?}", self.progress),
        })
    }
}

#[derive(Debug)]
struct Entry {
    request: Recorded,
    progress: Arc<Mutex<Progress>>,
}

/// Everything that one server remembers.
#[derive(Debug, Default)]
pub(crate) struct State {
    counter: AtomicU64,
    entries: Mutex<VecDeque<Entry>>,
    scripts: Mutex<VecDeque<Script>>,
    stored: Mutex<HashMap<String, Value>>,
    cached: Mutex<HashSet<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// A token that no other request of this server gets, and every run the same.
    pub(crate) fn seed(&self) -> String {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        digest(&[&number.to_be_bytes()])
    }

    /// Remembers a request; the returned cell tells later how far its answer got.
    pub(crate) fn record(&self, request: Recorded) -> Arc<Mutex<Progress>> {
        let progress = Arc::new(Mutex::new(Progress::Open));
        let mut entries = lock(&self.entries);
        if entries.len() == REMEMBERED {
            entries.pop_front();
        }
        entries.push_back(Entry { request, progress: Arc::clone(&progress) });
        progress
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        let entries = lock(&self.entries);
        entries.iter().map(|entry| Recorded { progress: *lock(&entry.progress), ..entry.request.clone() }).collect()
    }

    pub(crate) fn forget_requests(&self) {
        lock(&self.entries).clear();
    }

    /// Marks the request whose answer `progress` belongs to as refused.
    pub(crate) fn refused(&self, progress: &Arc<Mutex<Progress>>, rule: &'static str) {
        if let Some(entry) = lock(&self.entries).iter_mut().rev().find(|entry| Arc::ptr_eq(&entry.progress, progress)) {
            entry.request.refused = Some(rule);
        }
        *lock(progress) = Progress::Done;
    }

    pub(crate) fn push_script(&self, script: Script) {
        lock(&self.scripts).push_back(script);
    }

    pub(crate) fn forget_scripts(&self) {
        lock(&self.scripts).clear();
    }

    /// Takes the first queued script for this request.
    pub(crate) fn take_script(&self, provider: &str, path: &str, key: Option<&str>) -> Option<Script> {
        let mut scripts = lock(&self.scripts);
        let at = scripts.iter().position(|script| script.applies(provider, path, key))?;
        scripts.remove(at)
    }

    pub(crate) fn stored(&self) -> HashMap<String, Value> {
        lock(&self.stored).clone()
    }

    pub(crate) fn store(&self, id: String, value: Value) {
        lock(&self.stored).insert(id, value);
    }

    pub(crate) fn remove_stored(&self, id: &str) -> Option<Value> {
        lock(&self.stored).remove(id)
    }

    /// Whether the prompt cache holds the marked part already; it does afterwards.
    pub(crate) fn cache_seen(&self, digest: &str) -> bool {
        !digest.is_empty() && !lock(&self.cached).insert(digest.to_owned())
    }
}
