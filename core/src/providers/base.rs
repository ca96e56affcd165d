//! Base addresses as people write them, and what they mean for each endpoint of a vendor.

use http::Uri;
use http::uri::{Authority, Scheme};

use super::ChannelError;

/// An address without the path of any endpoint.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Base {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    /// Without a slash at the end; empty for the root.
    pub(super) path: String,
    pub(super) query: Option<String>,
    /// Written with `#` at its end: nothing is added or taken away but the endpoint's path.
    literal: bool,
}

/// Paths of endpoints that people paste together with the address.
const PASTED: [&str; 6] =
    ["/chat/completions", "/completions", "/responses", "/v1/messages", "/messages", "/chat-messages"];

impl Base {
    /// Reads an address.
    pub(super) fn parse(text: &str) -> Result<Self, ChannelError> {
        let wrong = |why: &str| ChannelError::Address(format!("`{text}`: {why}"));
        let trimmed = text.trim();
        let (trimmed, literal) = match trimmed.strip_suffix('#') {
            Some(rest) => (rest.trim_end_matches('#'), true),
            None => (trimmed, false),
        };
        let uri: Uri = trimmed.parse().map_err(|error: http::uri::InvalidUri| wrong(&error.to_string()))?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.ok_or_else(|| wrong("an address begins with http:// or https://"))?;
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(wrong("an address begins with http:// or https://"));
        }
        let authority = parts.authority.ok_or_else(|| wrong("a host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("credentials do not belong into the address"));
        }
        let path = parts.path_and_query.as_ref().map_or("", |path| path.path()).trim_end_matches('/');
        let query = parts.path_and_query.as_ref().and_then(|path| path.query()).map(str::to_owned);
        let mut base = Self { scheme, authority, path: path.replace("//", "/"), query, literal };
        if !literal && let Some(rest) = PASTED.iter().find_map(|pasted| base.path.strip_suffix(pasted)) {
            base.path = rest.to_owned();
        }
        Ok(base)
    }

    /// The address of the endpoint whose usual path is `wanted`, when this was written for a vendor whose main path is `main`.
    ///
    /// `groups` are the main paths of all endpoints of the vendor. `None`: it cannot be told.
    pub(super) fn for_endpoint(&self, main: &str, wanted: &str, groups: &[&str]) -> Option<Self> {
        let at = |path: String| Some(Self { path, ..self.clone() });
        if self.literal {
            return (main == wanted).then(|| self.clone());
        }
        if self.path.is_empty() {
            return at(wanted.to_owned());
        }
        if !wanted.is_empty() && self.path.ends_with(wanted) && !groups.contains(&wanted) {
            return Some(self.clone());
        }
        let written_for = groups
            .iter()
            .filter(|group| !group.is_empty() && self.path.ends_with(*group))
            .max_by_key(|group| group.len())
            .copied();
        match written_for {
            Some(group) if group == wanted => Some(self.clone()),
            Some(group) => at(format!("{}{wanted}", self.path.strip_suffix(group).unwrap_or_default())),
            None if main == wanted => Some(self.clone()),
            // The vendor's main address is its root: whatever was written is a prefix, perhaps with a version that only some endpoints want.
            None if main.is_empty() => at(format!("{}{wanted}", without_version(&self.path))),
            None => None,
        }
    }

    /// Address and path of an endpoint as one path. A version (`/v1`, `/v1beta`) at the seam is taken once, as it was written in the address.
    pub(super) fn join(&self, path: &str) -> String {
        let mut rest = path;
        if !self.literal
            && let Some((_, last)) = self.path.rsplit_once('/')
            && is_version(last)
            && let Some(tail) = path.strip_prefix('/')
            && let Some((first, tail)) = tail.split_once('/')
            && is_version(first)
        {
            rest = tail;
        }
        let slash = if rest.starts_with('/') { "" } else { "/" };
        let joined = format!("{}{slash}{rest}", self.path);
        match (&self.query, joined.contains('?')) {
            (None, _) => joined,
            (Some(query), false) => format!("{joined}?{query}"),
            (Some(query), true) => format!("{joined}&{query}"),
        }
    }
}

fn without_version(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some((head, last)) if is_version(last) => head,
        _ => path,
    }
}

/// `v1`, `v3`, `v1beta`, `v1alpha1` …
fn is_version(segment: &str) -> bool {
    let mut chars = segment.chars();
    chars.next() == Some('v') && chars.next().is_some_and(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(written: &str, main: &str, wanted: &str, groups: &[&str], path: &str) -> Option<String> {
        let base = Base::parse(written).unwrap().for_endpoint(main, wanted, groups)?;
        Some(format!("{}://{}{}", base.scheme, base.authority, base.join(path)))
    }

    #[test]
    fn people_write_addresses_in_many_ways() {
        let chat = "/chat/completions";
        for (written, main, path, means) in [
            ("https://h/v1", "/v1", chat, "https://h/v1/chat/completions"),
            ("https://h/v1/", "/v1", chat, "https://h/v1/chat/completions"),
            ("http://h:9", "/v1", chat, "http://h:9/v1/chat/completions"),
            ("http://h:9/#", "/v1", chat, "http://h:9/chat/completions"),
            ("https://h/v1/chat/completions", "/v1", chat, "https://h/v1/chat/completions"),
            ("https://h/relay/v1", "/v1", chat, "https://h/relay/v1/chat/completions"),
            ("https://h/api/v3", "/v1", chat, "https://h/api/v3/chat/completions"),
            ("https://h", "", "/v1/messages", "https://h/v1/messages"),
            ("https://h/v1", "", "/v1/messages", "https://h/v1/messages"),
            ("https://h/anthropic/v1/messages", "", "/v1/messages", "https://h/anthropic/v1/messages"),
            ("https://h/v1", "", "/v1beta/models/{model}:x", "https://h/v1/models/{model}:x"),
            ("https://h?tenant=a", "/v1", chat, "https://h/v1/chat/completions?tenant=a"),
            ("  https://h/v1  ", "/v1", chat, "https://h/v1/chat/completions"),
        ] {
            assert_eq!(joined(written, main, main, &[main], path).as_deref(), Some(means), "{written}");
        }
    }

    #[test]
    fn one_written_address_serves_all_endpoints_of_a_vendor() {
        let groups = ["/api/paas/v4", "/api/anthropic"];
        let anthropic = |written| joined(written, "/api/paas/v4", "/api/anthropic", &groups, "/v1/messages");
        assert_eq!(
            anthropic("http://relay/x/api/paas/v4").as_deref(),
            Some("http://relay/x/api/anthropic/v1/messages")
        );
        assert_eq!(anthropic("http://relay").as_deref(), Some("http://relay/api/anthropic/v1/messages"));
        assert_eq!(anthropic("http://relay/api/anthropic").as_deref(), Some("http://relay/api/anthropic/v1/messages"));
        assert_eq!(anthropic("http://relay/v1"), None, "nobody can tell where the other endpoint is");
        let chat = joined("http://relay/api/anthropic", "/api/paas/v4", "/api/paas/v4", &groups, "/chat/completions");
        assert_eq!(chat.as_deref(), Some("http://relay/api/paas/v4/chat/completions"));
        let ollama = joined("http://box:11434/v1", "", "", &["", "/v1"], "/api/chat");
        assert_eq!(ollama.as_deref(), Some("http://box:11434/api/chat"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for written in ["", "api.openai.com/v1", "ftp://h", "https://user:pass@h/v1", "https:///v1", "h"] {
            assert!(Base::parse(written).is_err(), "{written}");
        }
    }
}
