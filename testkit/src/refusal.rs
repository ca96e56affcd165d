//! A request that is not answered as asked: what it breaks and how that is said. Knows no wire; [`crate::errors`] writes the bodies.

use serde_json::{Map, Value};

/// What a failure means, whoever reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong.
    BadRequest,
    /// More tokens than the model takes.
    ContextLength,
    /// Refused by a content policy.
    ContentPolicy,
    /// No or wrong key.
    Authentication,
    /// No money.
    Billing,
    /// The key is good but not for this.
    Permission,
    /// No such model or path.
    NotFound,
    /// The body is too large.
    TooLarge,
    /// Too many requests.
    RateLimit,
    /// The provider failed.
    Server,
    /// The provider has no room.
    Overloaded,
    /// It took too long.
    Timeout,
}

impl Kind {
    /// What a bare status means.
    pub fn from_status(status: u16) -> Self {
        match status {
            401 => Self::Authentication,
            402 => Self::Billing,
            403 => Self::Permission,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            413 => Self::TooLarge,
            429 => Self::RateLimit,
            503 | 529 => Self::Overloaded,
            500..=599 => Self::Server,
            _ => Self::BadRequest,
        }
    }
}

/// An answer that is a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// What it means.
    pub kind: Kind,
    /// Which rule was broken: a stable word, sent as header `x-mock-rule` and at the end of the message.
    pub rule: &'static str,
    /// For people, in the provider's own words where clients match on them.
    pub message: String,
    /// The field that is wrong.
    pub param: Option<String>,
    /// Headers beside the body (`retry-after` …).
    pub headers: Vec<(String, String)>,
}

impl Refusal {
    /// A request that breaks `rule`: 400.
    pub fn new(rule: &'static str, message: impl Into<String>) -> Self {
        Self::with_status(400, rule, message)
    }

    /// A failure with any status; its kind is the usual one of the status.
    pub fn with_status(status: u16, rule: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind: Kind::from_status(status),
            rule,
            message: message.into(),
            param: None,
            headers: Vec::new(),
        }
    }

    /// The field that is wrong.
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// What it means, where the status alone does not tell.
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The message with the rule, as it is sent.
    pub fn said(&self) -> String {
        format!("{} [rule: {}]", self.message, self.rule)
    }
}

/// The verdict on a request or a part of one.
pub(crate) type Verdict<T = ()> = Result<T, Refusal>;

/// Refuses with `rule` unless `holds`.
pub(crate) fn require(holds: bool, rule: &'static str, message: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Refusal::new(rule, message())) }
}

/// The object at `path`, or a refusal.
pub(crate) fn object<'a>(value: &'a Value, path: &str) -> Verdict<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| Refusal::new("shape", format!("{path}: must be an object")).at(path))
}

/// The array at `path`, or a refusal.
pub(crate) fn array<'a>(value: &'a Value, path: &str) -> Verdict<&'a [Value]> {
    value
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| Refusal::new("shape", format!("{path}: must be an array")).at(path))
}

/// The string at `path`, or a refusal.
pub(crate) fn string<'a>(value: &'a Value, path: &str) -> Verdict<&'a str> {
    value.as_str().ok_or_else(|| Refusal::new("shape", format!("{path}: must be a string")).at(path))
}

/// Refuses keys that are in none of the lists.
pub(crate) fn known_keys(map: &Map<String, Value>, path: &str, known: &[&[&str]]) -> Verdict {
    for key in map.keys() {
        if !known.iter().any(|list| list.contains(&key.as_str())) {
            let place = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            return Err(Refusal::new("unknown-field", format!("Unknown parameter: '{place}'.")).at(place));
        }
    }
    Ok(())
}

/// Exactly one of `known` is present (tagged unions by key).
pub(crate) fn one_key<'a>(map: &'a Map<String, Value>, path: &str, known: &[&str]) -> Verdict<(&'a str, &'a Value)> {
    let mut entries = map.iter();
    match (entries.next(), entries.next()) {
        (Some((key, value)), None) if known.contains(&key.as_str()) => Ok((key, value)),
        _ => Err(Refusal::new(
            "one-key-union",
            format!(
                "{path}: exactly one of {} must be set, found {:?}",
                known.join(", "),
                map.keys().collect::<Vec<_>>()
            ),
        )
        .at(path)),
    }
}

/// Whether a text is made only of ASCII letters, digits and `extra`, within `1..=max` bytes.
pub(crate) fn is_word(text: &str, extra: &[u8], max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
}
