//! Why a deployment stands where it stands in a plan, and why one may not serve: what routing found, as it is kept and shown.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a deployment stands where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
#[schema(as = PlanReason)]
pub enum Why {
    /// The only one of its group.
    Only,
    /// Its turn came.
    Turn {
        /// Its share.
        weight: u64,
        /// Of all.
        of: u64,
    },
    /// The order written.
    Written,
    /// Chance, with such a share.
    Drawn {
        /// Its share.
        weight: u64,
        /// Of all.
        of: u64,
    },
    /// So many requests under way there.
    Busy {
        /// So many.
        count: u32,
    },
    /// How long it takes, and how many are under way.
    Latency {
        /// Milliseconds; absent: not measured yet.
        ms: Option<u64>,
        /// Requests under way.
        count: u32,
    },
    /// What was used in this minute.
    Used {
        /// Requests.
        requests: u64,
        /// Tokens.
        tokens: u64,
        /// The share of its limits in thousandths, where it has any.
        share: Option<u64>,
    },
    /// The cost of this request.
    Cost {
        /// In nano-dollars; absent: no price is known.
        nano: Option<u64>,
    },
    /// Whether a tag fits.
    Tag {
        /// One does.
        fits: bool,
    },
    /// The size of its context, and whether the request fits in.
    Context {
        /// In tokens; absent: not known.
        size: Option<u64>,
        /// It fits.
        fits: bool,
    },
    /// Its merit.
    Merit {
        /// In thousandths of the group's.
        share: u64,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => f.write_str("the only one"),
            Self::Turn { weight, of } => write!(f, "its turn: {weight} of {of}"),
            Self::Written => f.write_str("in the order written"),
            Self::Drawn { weight, of } => write!(f, "drawn: {weight} of {of}"),
            Self::Busy { count } => write!(f, "{count} under way"),
            Self::Latency { ms: Some(ms), count } => write!(f, "{ms} ms, {count} under way"),
            Self::Latency { ms: None, count } => write!(f, "not measured yet, {count} under way"),
            Self::Used { requests, tokens, share: None } => {
                write!(f, "{requests} requests and {tokens} tokens this minute")
            }
            Self::Used { requests, tokens, share: Some(share) } => {
                write!(f, "{requests} requests and {tokens} tokens this minute, {} % of its limits", share / 10)
            }
            Self::Cost { nano: Some(nano) } => write!(f, "about ${:.6}", *nano as f64 / 1e9),
            Self::Cost { nano: None } => f.write_str("no price known"),
            Self::Tag { fits: true } => f.write_str("its tag fits"),
            Self::Tag { fits: false } => f.write_str("no tag fits"),
            Self::Context { size: Some(size), fits: true } => write!(f, "fits in its {size} tokens"),
            Self::Context { size: Some(size), fits: false } => write!(f, "too long for its {size} tokens"),
            Self::Context { size: None, .. } => f.write_str("its context size is not known"),
            Self::Merit { share } => write!(f, "merit {}.{} %", share / 10, share % 10),
        }
    }
}

/// What moves a deployment from where its strategy put it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
#[schema(as = PlanNote)]
pub enum Note {
    /// Nothing.
    #[default]
    Plain,
    /// The conversation is there.
    Conversation,
    /// It made the opaque reasoning that the request brings back.
    Maker,
    /// It failed before and shows whether it works again.
    Probe,
    /// Benched: only if nobody else can serve.
    LastResort {
        /// When it may be asked again; milliseconds since 1970.
        until: u64,
    },
}

/// Why a deployment has its place in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Placed {
    /// Its place by the strategy.
    pub reason: Why,
    /// What moved it from there.
    #[serde(default)]
    pub note: Note,
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let note = match self.note {
            Note::Plain => "",
            Note::Conversation => "; the conversation is there",
            Note::Maker => "; it made the reasoning that comes back",
            Note::Probe => "; a probe: it failed before",
            Note::LastResort { .. } => "; benched: only if nobody else can",
        };
        write!(f, "{}{note}", self.reason)
    }
}

/// Why a deployment may not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Omitted {
    /// The profile.
    #[default]
    NotInProfile,
    /// The key.
    NotForKey,
    /// What it costs.
    NoPrice,
}

impl Omitted {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotInProfile => "the profile does not allow the channel",
            Self::NotForKey => "the key may not use the channel",
            Self::NoPrice => "it has no price, and models without one are blocked",
        }
    }
}
