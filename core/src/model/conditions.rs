//! When a rule, a route or a group holds: what is asked of the request and of the clock.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize};

use super::Told;
use crate::told;

/// Everything that is given must hold; what is absent asks nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// The tool is one of these (`claude-code`, `codex` …; globs).
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub tool: Vec<String>,
    /// The client format is one of these (`openai-chat`, `anthropic-messages`, `embeddings` …).
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub format: Vec<String>,
    /// The prompt has at least so many tokens, by our own estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_prompt_tokens: Option<u64>,
    /// The prompt has at most so many tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_prompt_tokens: Option<u64>,
    /// The request holds images (`true`) or none (`false`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<bool>,
    /// The request asks for thinking (`true`) or does not (`false`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<bool>,
    /// The request asks for a stream (`true`) or for a whole answer (`false`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// The time of day and the day of the week.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeWindow>,
    /// Fields of the request's `metadata`, by name: the value is exact or a glob.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Headers of the request, by name: the value is exact or a glob.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// A window of the day, on some days of the week. One that ends before it begins reaches into the next day, and belongs to the day on which it began.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeWindow {
    /// `HH:MM`, from then on.
    pub from: String,
    /// `HH:MM`, up to then and not including it.
    pub to: String,
    /// `mon` … `sun`; empty: every day.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// IANA name (`Europe/Berlin`); absent: the machine's own zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

impl Conditions {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A window that was read.
#[derive(Debug, Clone)]
pub struct Hours {
    from: Time,
    to: Time,
    /// Empty: every day.
    days: Vec<Weekday>,
    zone: TimeZone,
}

/// Days by their words.
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl TimeWindow {
    /// The window, read.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn hours(&self) -> Result<Hours, Told> {
        let time = |text: &str| {
            let whole = (text.trim() == "24:00").then_some(Time::MAX);
            whole
                .or_else(|| Time::strptime("%H:%M", text.trim()).ok())
                .ok_or_else(|| told!("bad-time", "'{text}' is no time: write HH:MM", text = text))
        };
        let day = |word: &String| {
            let start: String = word.to_ascii_lowercase().chars().take(3).collect();
            let found = DAYS.iter().find(|(own, _)| *own == start).map(|(_, day)| *day);
            found.ok_or_else(|| {
                told!("bad-day", "'{word}' is no day: write mon, tue, wed, thu, fri, sat or sun", word = word)
            })
        };
        let zone = match &self.zone {
            None => TimeZone::system(),
            Some(name) => TimeZone::get(name).map_err(|_| {
                told!("bad-zone", "there is no time zone '{name}': write Europe/Berlin or the like", name = name)
            })?,
        };
        let or = |text: &str, usual: &str| if text.is_empty() { usual.to_owned() } else { text.to_owned() };
        Ok(Hours {
            from: time(&or(&self.from, "00:00"))?,
            to: time(&or(&self.to, "24:00"))?,
            days: self.days.iter().map(day).collect::<Result<_, _>>()?,
            zone,
        })
    }
}

impl Hours {
    /// Whether a moment (milliseconds since 1970) lies within.
    pub fn hold(&self, now_ms: u64) -> bool {
        let stamp = i64::try_from(now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let Some(now) = stamp.map(|stamp| stamp.to_zoned(self.zone.clone()).datetime()) else { return false };
        let on = |day: Weekday| self.days.is_empty() || self.days.contains(&day);
        let (time, today) = (now.time(), now.weekday());
        let until_end = time < self.to || self.to == Time::MAX;
        if self.from <= self.to {
            return on(today) && time >= self.from && until_end;
        }
        // Over midnight: the early hours belong to the day before.
        (on(today) && time >= self.from) || (on(today.previous()) && time < self.to)
    }
}

/// One text or a list of texts.
pub(crate) fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Texts;
    impl<'de> serde::de::Visitor<'de> for Texts {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a text or a list of texts")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(vec![text.to_owned()])
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<Vec<String>, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut texts: A) -> Result<Vec<String>, A::Error> {
            let mut all = Vec::new();
            while let Some(text) = texts.next_element()? {
                all.push(text);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_any(Texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_stands_for_a_list_of_one() {
        let conditions: Conditions =
            serde_json::from_str(r#"{"tool":"codex","time":{"from":"22:00","to":"06:00","days":["sat","sun"]}}"#)
                .unwrap();
        assert_eq!(conditions.tool, ["codex"]);
        assert_eq!(conditions.time.as_ref().unwrap().days.len(), 2);
        let again: Conditions = serde_json::from_str(&serde_json::to_string(&conditions).unwrap()).unwrap();
        assert_eq!(again, conditions);
        assert!(Conditions::default().is_empty() && !conditions.is_empty());
        assert!(serde_json::from_str::<Conditions>(r#"{"tools":"codex"}"#).is_err());
    }
}
