//! Answers that are kept and given again, and calls that several callers share.
//!
//! - `exact`: what two requests must have in common for one answer to fit both;
//! - `control`: what a caller asks of the cache for one request;
//! - [`Cache`]: answers in memory, and behind it on disk;
//! - [`Flight`]: one call to a provider whose answer goes to everybody who asked the same while it was on the way.
//!
//! Knows bytes, no format and no provider; what may be kept at all is the pipeline's to decide.

mod control;
mod exact;
mod inflight;
mod memory;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use myelin_protocol::ir::Usage;
use serde::{Deserialize, Serialize};

pub use control::Control;
pub use exact::{Parts, canonical};
pub use inflight::{Flight, Flights, Piece, Reader, Seat};

use crate::model::{NanoUsd, Settings};
use crate::store::{AnswerKey, Answers};
use memory::Memory;

/// No single answer that is kept is larger.
pub const LARGEST_ANSWER: usize = 8 << 20;
/// An entry costs this much beside its bytes.
const ENTRY_BYTES: usize = 512;

/// What is known of a kept answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// When it was made; milliseconds since 1970.
    pub made: u64,
    /// It came as a stream.
    pub stream: bool,
    /// The stream says what was used.
    pub tells_usage: bool,
    /// Its media type.
    pub content_type: String,
    /// The channel that gave it.
    pub channel: Option<String>,
    /// The provider's name of the model.
    pub upstream_model: Option<String>,
    /// What the provider was asked in.
    pub upstream_format: Option<String>,
    /// What it used.
    pub usage: Option<Usage>,
    /// What it cost.
    pub cost: Option<NanoUsd>,
    /// Why it ended.
    pub finish: Option<String>,
}

/// A kept answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// What is known of it.
    pub facts: Arc<Facts>,
    /// When it goes; milliseconds since 1970.
    pub ends: u64,
    /// Its bytes, in the caller's format.
    pub body: Bytes,
}

impl Kept {
    fn weight(&self) -> usize {
        self.body.len() + ENTRY_BYTES
    }

    /// `length of the facts u32 | facts | body`, compressed.
    fn to_row(&self) -> Option<Vec<u8>> {
        let facts = serde_json::to_vec(&*self.facts).ok()?;
        let mut row = Vec::with_capacity(facts.len() + self.body.len() + 4);
        row.extend_from_slice(&u32::try_from(facts.len()).ok()?.to_le_bytes());
        row.extend_from_slice(&facts);
        row.extend_from_slice(&self.body);
        zstd::bulk::compress(&row, 1).ok()
    }

    fn from_row(ends: u64, row: &[u8]) -> Option<Self> {
        let row = zstd::bulk::decompress(row, LARGEST_ANSWER + (1 << 20)).ok()?;
        let (length, rest) = row.split_first_chunk::<4>()?;
        let (facts, body) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let facts = serde_json::from_slice(facts).ok()?;
        Some(Self { facts: Arc::new(facts), ends, body: Bytes::copy_from_slice(body) })
    }
}

/// How full the cache is and how it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CacheStatus {
    /// Answers in memory.
    pub memory_answers: u64,
    /// Their bytes.
    pub memory_bytes: u64,
    /// Answers on disk.
    pub disk_answers: u64,
    /// Their bytes, compressed.
    pub disk_bytes: u64,
    /// Requests that were answered from it since the start.
    pub hits: u64,
    /// Requests for which it had nothing.
    pub misses: u64,
    /// Requests that shared a call of another.
    pub shared: u64,
}

/// Kept answers, in memory and on disk.
#[derive(Debug)]
pub struct Cache {
    memory: Mutex<Memory>,
    disk: Arc<Answers>,
    counts: [std::sync::atomic::AtomicU64; 3],
    /// Calls under way.
    pub flights: Flights,
}

impl Cache {
    /// An empty one whose disk part is in the data directory.
    pub fn beside(dir: &Path) -> Self {
        Self {
            memory: Mutex::new(Memory::default()),
            disk: Arc::new(Answers::beside(dir)),
            counts: Default::default(),
            flights: Flights::default(),
        }
    }

    /// The answer under `key`. `settings`: how much may be kept.
    pub async fn get(&self, key: &AnswerKey, now: u64, settings: &Settings) -> Option<Kept> {
        if let Some(kept) = self.memory().get(key, now) {
            return Some(kept);
        }
        if settings.cache_disk_bytes == 0 {
            return None;
        }
        let (disk, wanted) = (self.disk.clone(), *key);
        let read = tokio::task::spawn_blocking(move || disk.get(&wanted, now)).await;
        let row = match read {
            Ok(Ok(row)) => row,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the file of kept answers cannot be read");
                None
            }
            Err(_) => None,
        };
        let kept = row.and_then(|(ends, row)| Kept::from_row(ends, &row))?;
        self.memory().put(*key, kept.clone(), memory_bytes(settings));
        Some(kept)
    }

    /// Keeps an answer: in memory at once, on disk soon.
    pub fn put(&self, key: AnswerKey, kept: Kept, now: u64, settings: &Settings) {
        self.memory().put(key, kept.clone(), memory_bytes(settings));
        let most = settings.cache_disk_bytes;
        if most == 0 {
            return;
        }
        let disk = self.disk.clone();
        drop(tokio::task::spawn_blocking(move || {
            let Some(row) = kept.to_row() else { return };
            if let Err(error) = disk.put(&key, kept.ends, &row, now, most) {
                tracing::warn!(%error, "an answer could not be kept on disk");
            }
        }));
    }

    /// Counts how a request fared.
    pub fn count(&self, fared: Fared) {
        if let Some(count) = self.counts.get(fared as usize) {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// How full it is and how it did.
    pub async fn status(&self) -> CacheStatus {
        let disk = self.disk.clone();
        let on_disk = tokio::task::spawn_blocking(move || disk.size().unwrap_or_default()).await.unwrap_or_default();
        let (memory_answers, memory_bytes) = self.memory().size();
        let count = |fared: Fared| {
            self.counts.get(fared as usize).map_or(0, |count| count.load(std::sync::atomic::Ordering::Relaxed))
        };
        CacheStatus {
            memory_answers,
            memory_bytes,
            disk_answers: on_disk.0,
            disk_bytes: on_disk.1,
            hits: count(Fared::Hit),
            misses: count(Fared::Miss),
            shared: count(Fared::Shared),
        }
    }

    /// Forgets every answer.
    pub async fn clear(&self) {
        self.memory().clear();
        let disk = self.disk.clone();
        let cleared = tokio::task::spawn_blocking(move || disk.clear()).await;
        if let Ok(Err(error)) = cleared {
            tracing::warn!(%error, "the file of kept answers cannot be removed");
        }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a request fared with the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fared {
    /// It was answered from it.
    Hit,
    /// There was nothing.
    Miss,
    /// It shared a call of another.
    Shared,
}

fn memory_bytes(settings: &Settings) -> usize {
    usize::try_from(settings.cache_memory_bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(body: &str) -> Kept {
        let facts = Facts { stream: true, finish: Some("stop".into()), ..Facts::default() };
        Kept { facts: Arc::new(facts), ends: 1_000, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[tokio::test]
    async fn what_left_memory_comes_back_from_disk() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { cache_memory_bytes: 2_000, ..Settings::default() };
        let cache = Cache::beside(dir.path());
        for number in 0..5_u8 {
            cache.put([number; 32], kept(&"x".repeat(500)), 0, &settings);
        }
        for _ in 0..100 {
            if cache.status().await.disk_answers == 5 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let status = cache.status().await;
        assert!(status.memory_answers == 1 && status.memory_bytes < 2_000, "{status:?}");
        assert_eq!(cache.get(&[0; 32], 0, &settings).await, Some(kept(&"x".repeat(500))));
        assert_eq!(cache.get(&[0; 32], 1_000, &settings).await, None, "it has ended");
        let no_disk = Settings { cache_disk_bytes: 0, ..settings };
        assert_eq!(cache.get(&[1; 32], 0, &no_disk).await, None);
        cache.clear().await;
        assert_eq!(cache.status().await, CacheStatus::default());
    }
}
