//! Limits: how much of what, on whom, in which time.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{NanoUsd, Origin, OwnerRef};

/// A limit. Its name is its identity; what it counted stays with the name as long as what it counts and its window stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Unique name.
    pub name: String,
    /// What it holds back.
    pub on: Target,
    /// Only requests for these models (exact or glob) count; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// What is counted.
    pub measure: Measure,
    /// How much of it: requests, tokens, nanodollars, requests in flight.
    pub amount: u64,
    /// In which time; nothing for [`Measure::Parallel`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Window>,
    /// IANA name of the time zone in which days, weeks and months begin; `None`: the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Percentages at which the owner is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub soft: Vec<u8>,
    /// What comes over it is refused; `false`: the owner is told and nothing else.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub refuse: bool,
    /// What comes over it waits for a while before it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<LimitQueue>,
    /// Where it is declared.
    #[serde(default)]
    pub origin: Origin,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

impl Limit {
    /// The name of a limit that was given none: what it counts, on whom, in which time.
    pub fn usual_name(on: &Target, measure: Measure, per: Option<Window>) -> String {
        let on = on.to_string().replace([':', '/', '*'], "-");
        match per {
            Some(per) => format!("{on}-{}-{per}", measure.word()),
            None => format!("{on}-{}", measure.word()),
        }
    }

    /// The amount with its unit, for people: `60 requests`, `5.00 USD`.
    pub fn amount_in_words(&self) -> String {
        self.measure.in_words(self.amount)
    }

    /// Amount and window, for people: `5.00 USD per month`, `4 requests at the same time`.
    pub fn in_words(&self) -> String {
        format!("{} {}", self.amount_in_words(), self.window_in_words())
    }

    /// The window, for people: `per month`, `in total`, `at the same time`.
    pub fn window_in_words(&self) -> Cow<'static, str> {
        match self.per {
            Some(Window::Total) => "in total".into(),
            Some(per) => format!("per {per}").into(),
            None => "at the same time".into(),
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Requests that were let in.
    Requests,
    /// Tokens in and out.
    Tokens,
    /// Spend in nanodollars.
    Money,
    /// Requests in flight.
    Parallel,
}

impl Measure {
    /// Every measure with its word.
    pub const WORDS: [(Measure, &'static str); 4] = [
        (Measure::Requests, "requests"),
        (Measure::Tokens, "tokens"),
        (Measure::Money, "money"),
        (Measure::Parallel, "parallel"),
    ];

    /// The word of the measure.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(measure, _)| *measure == self).map_or("parallel", |(_, word)| word)
    }

    /// An amount with its unit, for people.
    pub fn in_words(self, amount: u64) -> String {
        format!("{} {}", self.count(amount), self.unit())
    }

    /// An amount without its unit, for people.
    pub fn count(self, amount: u64) -> String {
        if self == Measure::Money { dollars(amount) } else { amount.to_string() }
    }

    /// The unit of amounts, for people.
    pub fn unit(self) -> &'static str {
        match self {
            Measure::Requests | Measure::Parallel => "requests",
            Measure::Tokens => "tokens",
            Measure::Money => "USD",
        }
    }
}

/// Nanodollars as dollars: cents, and more digits where there are any.
pub fn dollars(nano: u64) -> String {
    let mut text = String::new();
    push_dollars(&mut text, nano);
    text
}

/// The same, behind a text.
pub fn push_dollars(out: &mut String, nano: u64) {
    NanoUsd(i64::try_from(nano).unwrap_or(i64::MAX)).push_to(out);
    let zeros = out.len() - out.trim_end_matches('0').len();
    out.truncate(out.len() - zeros.min(7));
}

/// Whom or what a limit holds back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// Everything.
    Gateway,
    /// A virtual key, by name.
    Key(String),
    /// A tool, user, team, project or organisation, with everything below it.
    Owner(OwnerRef),
    /// Requests for a model, by the name that was asked for (exact or glob); all that match count together.
    Model(String),
    /// What a channel serves.
    Channel(String),
    /// What a channel serves with one of its models, by the provider's name of it (exact or glob).
    Deployment {
        /// The channel.
        channel: String,
        /// The provider's name of the model.
        model: String,
    },
    /// What channels with a tag serve, all together.
    Tag(String),
    /// What comes through a profile.
    Profile(String),
}

impl Target {
    /// Whether it is known before a channel is chosen; otherwise it holds for single attempts.
    pub fn is_of_caller(&self) -> bool {
        !matches!(self, Target::Channel(_) | Target::Deployment { .. } | Target::Tag(_))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Gateway => f.write_str("gateway"),
            Target::Key(name) => write!(f, "key:{name}"),
            Target::Owner(owner) => write!(f, "{owner}"),
            Target::Model(model) => write!(f, "model:{model}"),
            Target::Channel(name) => write!(f, "channel:{name}"),
            Target::Deployment { channel, model } => write!(f, "channel:{channel}/{model}"),
            Target::Tag(tag) => write!(f, "tag:{tag}"),
            Target::Profile(name) => write!(f, "profile:{name}"),
        }
    }
}

/// A text that names nothing that can be limited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' names nothing that can be limited: write gateway, key:NAME, tool:NAME, user:NAME, team:NAME, project:NAME, organisation:NAME, model:NAME, channel:NAME, channel:NAME/MODEL, tag:NAME or profile:NAME"
)]
pub struct NoTarget(pub String);

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        if text == "gateway" {
            return Ok(Target::Gateway);
        }
        let wrong = || NoTarget(text.to_owned());
        let (word, name) = text.split_once(':').filter(|(_, name)| !name.is_empty()).ok_or_else(wrong)?;
        let named = name.to_owned();
        match word {
            "key" => Ok(Target::Key(named)),
            "model" => Ok(Target::Model(named)),
            "tag" => Ok(Target::Tag(named)),
            "profile" => Ok(Target::Profile(named)),
            "channel" => match name.split_once('/') {
                None => Ok(Target::Channel(named)),
                Some((channel, model)) if !channel.is_empty() && !model.is_empty() => {
                    Ok(Target::Deployment { channel: channel.to_owned(), model: model.to_owned() })
                }
                Some(_) => Err(wrong()),
            },
            _ => text.parse().map(Target::Owner).map_err(|_| wrong()),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = NoTarget;

    fn try_from(text: String) -> Result<Self, NoTarget> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

/// A time in which an amount may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Window {
    /// The last so many milliseconds, at any moment.
    Rolling(u64),
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first of a month to the next.
    Month,
    /// For ever: what is used up does not come back.
    Total,
}

impl Window {
    /// Shortest and longest rolling window.
    pub const ROLLING_MS: std::ops::RangeInclusive<u64> = 1_000..=366 * 86_400_000;

    /// Whether it begins and ends by the calendar, in a time zone.
    pub fn is_calendar(self) -> bool {
        matches!(self, Window::Day | Window::Week | Window::Month)
    }
}

const UNITS: [(&str, u64); 5] = [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
/// Windows that have a word.
const WINDOWS: [(&str, Window); 6] = [
    ("day", Window::Day),
    ("week", Window::Week),
    ("month", Window::Month),
    ("total", Window::Total),
    ("minute", Window::Rolling(60_000)),
    ("hour", Window::Rolling(3_600_000)),
];

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Window::Rolling(ms) = self {
            let (unit, size) = UNITS.iter().find(|(_, size)| ms % size == 0).unwrap_or(&("s", 1_000));
            return write!(f, "{}{unit}", ms / size);
        }
        f.write_str(WINDOWS.iter().find(|(_, window)| window == self).map_or("total", |(word, _)| word))
    }
}

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no window: write minute, 30s, 1m, 5h, 7d or 2w (the last so long), day, week or month (by the calendar), or total"
)]
pub struct NoWindow(pub String);

impl FromStr for Window {
    type Err = NoWindow;

    fn from_str(text: &str) -> Result<Self, NoWindow> {
        if let Some((_, window)) = WINDOWS.iter().find(|(word, _)| *word == text) {
            return Ok(*window);
        }
        let rolling = UNITS.iter().find_map(|(unit, size)| {
            let number = text.strip_suffix(unit)?;
            // `+5` would parse.
            number.starts_with(|c: char| c.is_ascii_digit()).then_some(())?;
            number.parse::<u64>().ok()?.checked_mul(*size)
        });
        rolling.filter(|ms| Self::ROLLING_MS.contains(ms)).map(Window::Rolling).ok_or_else(|| NoWindow(text.to_owned()))
    }
}

impl TryFrom<String> for Window {
    type Error = NoWindow;

    fn try_from(text: String) -> Result<Self, NoWindow> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

/// The time zone of that name; without one the machine's. `None`: there is no such zone.
pub fn limit_zone(name: Option<&str>) -> Option<jiff::tz::TimeZone> {
    match name {
        None => Some(jiff::tz::TimeZone::system()),
        Some(name) => jiff::tz::TimeZone::get(name).ok(),
    }
}

/// Waiting instead of being refused: first come, first served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitQueue {
    /// How long a request waits at most, in milliseconds.
    pub timeout_ms: u64,
    /// How many may wait at the same time; more are refused at once.
    #[serde(default = "usual_waiting")]
    pub max_waiting: u32,
}

fn usual_waiting() -> u32 {
    100
}

impl LimitQueue {
    /// Waits for so long, with the usual number of others.
    pub fn of(timeout_ms: u64) -> Self {
        Self { timeout_ms, max_waiting: usual_waiting() }
    }
}

/// What one request counted against one limit: kept with its record, summed up by the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// Which counter.
    pub counter: u64,
    /// When the part of its window began that this counts in; milliseconds since 1970.
    pub at: u64,
    /// How much: requests, tokens or nanodollars.
    pub amount: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_written() {
        for text in [
            "gateway",
            "key:laptop",
            "tool:claude-code",
            "user:a",
            "team:research",
            "project:p",
            "organisation:o",
            "model:gpt-5*",
            "channel:main",
            "channel:main/gpt-5/x",
            "tag:paid",
            "profile:cheap",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for wrong in ["", "laptop", "key:", "channel:/m", "channel:a/", "planet:mars", "Gateway"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn windows_are_read_as_they_are_written() {
        for text in ["30s", "1m", "90m", "5h", "30h", "6d", "2w", "day", "week", "month", "total"] {
            assert_eq!(text.parse::<Window>().unwrap().to_string(), text);
        }
        for (text, shown) in [("minute", "1m"), ("hour", "1h"), ("60s", "1m"), ("7d", "1w"), ("24h", "1d")] {
            assert_eq!(text.parse::<Window>().unwrap().to_string(), shown);
        }
        for wrong in ["", "0s", "5", "h", "-1h", "+1h", "1.5h", "1y", "400d", "year", "99999999999999999999s"] {
            assert!(wrong.parse::<Window>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn amounts_are_shown_with_their_unit() {
        for (nano, shown) in
            [(5_000_000_000, "5.00"), (12_500_000_000, "12.50"), (1_000_001, "0.001000001"), (0, "0.00")]
        {
            assert_eq!(dollars(nano), shown);
        }
        assert_eq!(Measure::Tokens.in_words(5), "5 tokens");
    }
}
