//! Bodies of one request, kept as they pass: pieces that are there anyway are shared, streams are copied within bounds.
//!
//! Never waits and never fails: what is too much is left out. What is worth keeping is known at the end, when the policy and the outcome are.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::Services;
use crate::model::{BodyPolicy, RequestState};
use crate::store::{BodyKind, BodyPart};

/// Bytes that are kept of one body.
const MOST_PART: usize = 1 << 20;
/// And of a stream, where bodies are kept for failures only: most streams do not fail.
const MOST_OF_STREAM: usize = 4 << 10;

/// Bodies of one request.
pub(super) struct Capture {
    services: Arc<Services>,
    policy: BodyPolicy,
    parts: Vec<Part>,
    reserved: usize,
}

struct Part {
    kind: BodyKind,
    attempt: Option<u32>,
    pieces: Vec<Bytes>,
    copied: Vec<u8>,
    size: u64,
}

impl Capture {
    /// `None`: nothing is kept.
    pub(super) fn new(services: &Arc<Services>, policy: BodyPolicy) -> Option<Box<Self>> {
        let wanted = policy != BodyPolicy::Off;
        wanted.then(|| Box::new(Self { services: Arc::clone(services), policy, parts: Vec::new(), reserved: 0 }))
    }

    /// A body that is there whole, in pieces.
    pub(super) fn whole(&mut self, kind: BodyKind, attempt: Option<u32>, pieces: &[Bytes]) {
        let (mut kept, mut size, mut room) = (Vec::new(), 0, MOST_PART);
        for piece in pieces {
            size += piece.len() as u64;
            let cut = piece.len().min(room);
            if cut > 0 {
                kept.push(piece.slice(..cut));
                room -= cut;
            }
        }
        if self.reserve(MOST_PART - room) {
            self.parts.push(Part { kind, attempt, pieces: kept, copied: Vec::new(), size });
        }
    }

    /// The headers before a body. Where bodies are kept for failures only, just what a deployment says when it refuses.
    pub(super) fn head(&mut self, kind: BodyKind, attempt: Option<u32>, headers: &HeaderMap, refused: bool) {
        if self.policy == BodyPolicy::All || refused {
            let text = Bytes::from(shown_headers(headers));
            self.whole(kind, attempt, std::slice::from_ref(&text));
        }
    }

    /// The next piece of a body that comes in pieces.
    pub(super) fn piece(&mut self, kind: BodyKind, attempt: Option<u32>, bytes: &[u8]) {
        let most = if self.policy == BodyPolicy::All { MOST_PART } else { MOST_OF_STREAM };
        let known = self.parts.iter().position(|part| part.kind == kind && part.attempt == attempt);
        let held = known.and_then(|at| self.parts.get(at)).map_or(0, |part| part.copied.len());
        let cut = bytes.get(..most.saturating_sub(held)).unwrap_or(bytes);
        let cut = if cut.is_empty() || self.reserve(cut.len()) { cut } else { &[] };
        let part = match known.and_then(|at| self.parts.get_mut(at)) {
            Some(part) => part,
            None => {
                self.parts.push(Part { kind, attempt, pieces: Vec::new(), copied: Vec::new(), size: 0 });
                let Some(part) = self.parts.last_mut() else { return };
                part
            }
        };
        part.copied.extend_from_slice(cut);
        part.size += bytes.len() as u64;
    }

    fn reserve(&mut self, bytes: usize) -> bool {
        let room = self.services.flights.reserve(bytes);
        if room {
            self.reserved += bytes;
        }
        room
    }

    /// The request is over: what is worth keeping goes to the store.
    pub(super) fn end(mut self, id: &str, started: u64, state: RequestState) {
        if self.policy == BodyPolicy::All || state != RequestState::Completed {
            let parts = std::mem::take(&mut self.parts).into_iter().map(Part::joined).collect();
            self.services.store.bodies().put(id, started, parts);
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.services.flights.release(self.reserved);
    }
}

impl Part {
    fn joined(self) -> BodyPart {
        let Self { kind, attempt, mut pieces, copied, size } = self;
        let bytes = match pieces.len() {
            0 => Bytes::from(copied),
            1 => pieces.pop().unwrap_or_default(),
            _ => {
                let mut all = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
                pieces.iter().for_each(|piece| all.extend_from_slice(piece));
                all.freeze()
            }
        };
        BodyPart { kind, attempt, bytes, size }
    }
}

/// Headers whose values are shown: the name, or what it begins with. Any other may hold a secret.
const SHOWN: [&str; 34] = [
    "accept",
    "anthropic-",
    "cache-control",
    "cf-ray",
    "connection",
    "content-",
    "date",
    "expect",
    "from",
    "host",
    "http-referer",
    "openai-",
    "origin",
    "pragma",
    "referer",
    "request-id",
    "retry-after",
    "server",
    "te",
    "trace",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "x-amzn-requestid",
    "x-app",
    "x-claude-",
    "x-codex-",
    "x-myelin-",
    "x-ratelimit-",
    "x-request-id",
    "x-stainless-",
    "x-title",
];

/// One line a header; values that may be secrets are left out.
fn shown_headers(headers: &HeaderMap) -> String {
    let mut text = String::with_capacity(headers.len() * 48);
    for (name, value) in headers {
        let name = name.as_str();
        let fits = |shown: &str| if shown.ends_with('-') { name.starts_with(shown) } else { name == shown };
        let shown = !value.is_sensitive() && (name.starts_with("accept-") || SHOWN.iter().any(|shown| fits(shown)));
        let value = if shown { String::from_utf8_lossy(value.as_bytes()) } else { "…".into() };
        text.push_str(name);
        text.push_str(": ");
        text.push_str(&value);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn values_of_headers_are_shown_only_where_they_hold_no_secret() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer my-canary"),
            ("x-api-key", "canary"),
            ("x-own-header", "canary"),
            ("cookie", "canary"),
            ("content-type", "application/json"),
            ("accept-encoding", "gzip"),
            ("anthropic-beta", "tools"),
            ("x-ratelimit-remaining", "3"),
        ] {
            headers.insert(http::HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let mut sensitive = HeaderValue::from_static("canary");
        sensitive.set_sensitive(true);
        headers.insert("openai-organization", sensitive);
        let text = shown_headers(&headers);
        assert!(!text.contains("canary"), "{text}");
        for line in [
            "authorization: …\n",
            "x-own-header: …\n",
            "content-type: application/json\n",
            "accept-encoding: gzip\n",
            "anthropic-beta: tools\n",
            "x-ratelimit-remaining: 3\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
