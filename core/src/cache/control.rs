//! What a caller asks of the cache for one request: `x-myelin-cache`, and of `cache-control` what means the same.

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};

/// The gateway's own header.
static HEADER: HeaderName = HeaderName::from_static("x-myelin-cache");

/// What a caller asks of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Control {
    /// Ask the provider, whatever is kept; keep its answer.
    pub no_cache: bool,
    /// Neither give a kept answer nor keep one.
    pub no_store: bool,
    /// Give a kept answer or none.
    pub only_if_cached: bool,
    /// Keep the answer for so many seconds at most.
    pub ttl: Option<u64>,
    /// Give no answer that is older than so many seconds.
    pub max_age: Option<u64>,
    /// Answers under this name only.
    pub namespace: Option<String>,
}

impl Control {
    /// Reads a request's headers. What is not understood asks nothing.
    pub fn read(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for (name, own) in [(&CACHE_CONTROL, false), (&HEADER, true)] {
            let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            for word in values.flat_map(|value| value.split(',')) {
                control.take(word.trim(), own);
            }
        }
        control
    }

    fn take(&mut self, word: &str, own: bool) {
        let (name, value) = word.split_once('=').map_or((word, ""), |(name, value)| (name.trim(), value.trim()));
        let value = value.trim_matches('"');
        match (name.to_ascii_lowercase().as_str(), own) {
            ("no-cache", _) => self.no_cache = true,
            ("no-store", _) => self.no_store = true,
            ("only-if-cached", _) => self.only_if_cached = true,
            ("max-age", _) => self.max_age = value.parse().ok(),
            ("ttl", true) => self.ttl = value.parse().ok(),
            ("namespace", true) if !value.is_empty() => self.namespace = Some(value.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_headers_are_read() {
        let read = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            Control::read(&headers)
        };
        assert_eq!(read(&[]), Control::default());
        let all = read(&[
            ("x-myelin-cache", "ttl=60, namespace=\"tests\""),
            ("x-myelin-cache", "only-if-cached"),
            ("cache-control", "No-Cache, max-age=5, ttl=9"),
        ]);
        assert_eq!((all.ttl, all.namespace.as_deref(), all.max_age), (Some(60), Some("tests"), Some(5)));
        assert!(all.no_cache && all.only_if_cached && !all.no_store);
        assert!(read(&[("x-myelin-cache", "no-store")]).no_store);
        assert_eq!(read(&[("x-myelin-cache", "ttl=soon, namespace=, sparkle")]), Control::default());
    }
}
