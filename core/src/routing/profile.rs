//! Profiles, compiled: which rule fires for a request, and where it points.

use regex_lite::Regex;

use super::condition::CompiledConditions;
use super::{Glob, Query, TableChannel};
use crate::model::{Profile, ProfileRule, Strategy, Told};
use crate::told;

/// A profile whose patterns are ready to match.
#[derive(Debug, Clone)]
pub struct CompiledProfile {
    /// The profile's name.
    pub name: String,
    /// How to choose within groups, in place of what routes say.
    pub strategy: Option<Strategy>,
    rules: Vec<CompiledRule>,
    channels: ChannelFilter,
}

#[derive(Debug, Clone)]
struct CompiledRule {
    matcher: Matcher,
    conditions: CompiledConditions,
    rule: ProfileRule,
    /// What the record says when it fires: `cheap#2 claude-*`.
    label: String,
}

#[derive(Debug, Clone)]
enum Matcher {
    Any,
    Glob(Glob),
    Regex(Regex),
}

/// A rule that cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[error("profile {profile}, rule {position}: {why}")]
pub struct ProfileError {
    /// The profile.
    pub profile: String,
    /// The rule, counted from 1.
    pub position: usize,
    /// What is wrong.
    pub why: String,
}

/// Where a name goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// Target names, best first: `to`, then the fallbacks. `channel/*` and `tag:t` still carry their wildcard.
    pub targets: Vec<String>,
    /// Which rule fired.
    pub rule: Option<String>,
    /// Body fields to set, in the caller's own words.
    pub set: serde_json::Map<String, serde_json::Value>,
}

/// A rule that was looked at, for `explain`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct RuleTried {
    /// The rule.
    pub rule: String,
    /// It fired.
    pub fired: bool,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Told>,
}

impl CompiledProfile {
    /// `direct`: maps nothing.
    pub fn direct() -> Self {
        Self { name: "direct".to_owned(), strategy: None, rules: Vec::new(), channels: ChannelFilter::default() }
    }

    /// Compiles every rule.
    pub fn compile(profile: &Profile) -> Result<Self, ProfileError> {
        let rules = profile.rules.iter().enumerate().map(|(index, rule)| {
            let fail = |why: String| ProfileError { profile: profile.name.clone(), position: index + 1, why };
            let (matcher, pattern) = match (&rule.glob, &rule.regex) {
                (Some(_), Some(_)) => return Err(fail("has both `match` and `regex`; keep one".to_owned())),
                (Some(glob), None) => (Matcher::Glob(Glob::new(glob)), glob.as_str()),
                (None, Some(regex)) => {
                    let compiled =
                        Regex::new(regex).map_err(|error| fail(format!("bad regular expression: {error}")))?;
                    (Matcher::Regex(compiled), regex.as_str())
                }
                (None, None) => (Matcher::Any, "*"),
            };
            if rule.to.trim().is_empty() {
                return Err(fail("`to` is empty".to_owned()));
            }
            let conditions = CompiledConditions::compile(&rule.conditions).map_err(|why| fail(why.words))?;
            let label = format!("{}#{} {pattern}", profile.name, index + 1);
            Ok(CompiledRule { matcher, conditions, rule: rule.clone(), label })
        });
        Ok(Self {
            name: profile.name.clone(),
            strategy: profile.strategy,
            rules: rules.collect::<Result<_, _>>()?,
            channels: ChannelFilter::new(&profile.channels),
        })
    }

    /// The first rule that matches; without one the name passes through.
    pub fn map(&self, model: &str, query: &mut dyn Query) -> Mapped {
        let fired = self.rules.iter().find_map(|rule| {
            let targets = rule.targets(model)?;
            rule.conditions.broken(query).is_none().then_some((rule, targets))
        });
        match fired {
            Some((rule, targets)) => Mapped { targets, rule: Some(rule.label.clone()), set: rule.rule.set.clone() },
            None => Mapped { targets: vec![model.to_owned()], rule: None, set: serde_json::Map::new() },
        }
    }

    /// Every rule up to the one that fires, and why those before it did not.
    pub fn tried(&self, model: &str, query: &mut dyn Query) -> Vec<RuleTried> {
        let mut tried = Vec::new();
        for rule in &self.rules {
            let why = match rule.targets(model) {
                None => Some(told!("if-name", "the name does not match")),
                Some(_) => rule.conditions.broken(query),
            };
            let fired = why.is_none();
            tried.push(RuleTried { rule: rule.label.clone(), fired, why });
            if fired {
                break;
            }
        }
        tried
    }

    /// Whether a channel may serve under this profile.
    pub fn allows(&self, channel: &TableChannel) -> bool {
        self.channels.allows(channel)
    }
}

impl CompiledRule {
    fn targets(&self, model: &str) -> Option<Vec<String>> {
        let names = || std::iter::once(&self.rule.to).chain(&self.rule.fallback);
        match &self.matcher {
            Matcher::Any => Some(names().cloned().collect()),
            Matcher::Glob(glob) => {
                let stars = glob.stars(model)?;
                Some(names().map(|name| fill(name, &stars)).collect())
            }
            Matcher::Regex(regex) => {
                let captures = regex.captures(model)?;
                let expand = |name: &String| {
                    let mut expanded = String::new();
                    captures.expand(name, &mut expanded);
                    expanded
                };
                Some(names().map(expand).collect())
            }
        }
    }
}

/// Puts what a glob's stars stood for in place of `$1`, `$2` …
fn fill(name: &str, stars: &[&str]) -> String {
    if !name.contains('$') {
        return name.to_owned();
    }
    let mut filled = String::new();
    let mut pieces = name.split('$');
    filled.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = piece.split_at(digits);
        match number.parse::<usize>().ok().and_then(|number| stars.get(number.checked_sub(1)?)) {
            Some(star) => filled.push_str(star),
            None => {
                filled.push('$');
                filled.push_str(number);
            }
        }
        filled.push_str(rest);
    }
    filled
}

/// Which channels may serve: names, globs, tags, and those that may not.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChannelFilter {
    only: Vec<ChannelPattern>,
    never: Vec<ChannelPattern>,
}

/// One entry of such a filter.
#[derive(Debug, Clone)]
pub(crate) enum ChannelPattern {
    Tag(String),
    Name(Glob),
}

impl ChannelPattern {
    pub(crate) fn new(text: &str) -> Self {
        match text.strip_prefix("tag:") {
            Some(tag) => Self::Tag(tag.to_owned()),
            None => Self::Name(Glob::new(text)),
        }
    }

    pub(crate) fn fits(&self, channel: &TableChannel) -> bool {
        match self {
            Self::Tag(tag) => channel.tags.iter().any(|own| own == tag),
            Self::Name(glob) => glob.matches(&channel.name),
        }
    }
}

impl ChannelFilter {
    pub(crate) fn new(texts: &[String]) -> Self {
        let pattern = |text: &str| ChannelPattern::new(text.trim());
        Self {
            only: texts.iter().filter(|text| !text.starts_with('!')).map(|text| pattern(text)).collect(),
            never: texts.iter().filter_map(|text| text.strip_prefix('!')).map(pattern).collect(),
        }
    }

    pub(crate) fn allows(&self, channel: &TableChannel) -> bool {
        (self.only.is_empty() || self.only.iter().any(|pattern| pattern.fits(channel)))
            && !self.never.iter().any(|pattern| pattern.fits(channel))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Described;
    use super::*;

    fn rule(text: &str) -> ProfileRule {
        serde_json::from_str(text).unwrap()
    }

    fn profile(rules: Vec<ProfileRule>) -> CompiledProfile {
        CompiledProfile::compile(&Profile { name: "cheap".into(), rules, ..Profile::default() }).unwrap()
    }

    #[test]
    fn the_first_matching_rule_wins_and_says_so() {
        let cheap = profile(vec![
            rule(r#"{"match":"claude-haiku*","to":"small"}"#),
            rule(r#"{"match":"claude-*","to":"deepseek/deepseek-chat","fallback":["main/fast"]}"#),
            rule(r#"{"regex":"^gpt-(\\d+)(-.*)?$","to":"main/g$1"}"#),
            rule(r#"{"match":"or/*/*","to":"$1/$2","fallback":"keep $3 $"}"#),
        ]);
        let map = |model: &str| cheap.map(model, &mut Described::default());
        assert_eq!(map("claude-haiku-4-5").targets, ["small"]);
        let mapped = map("claude-opus-4");
        assert_eq!(mapped.targets, ["deepseek/deepseek-chat", "main/fast"]);
        assert_eq!(mapped.rule.as_deref(), Some("cheap#2 claude-*"));
        assert_eq!(map("gpt-5-mini").targets, ["main/g5"]);
        assert_eq!(map("or/openai/gpt-5").targets, ["openai/gpt-5", "keep $3 $"]);
        let through = map("mistral-large");
        assert_eq!((through.targets, through.rule), (vec!["mistral-large".to_owned()], None));
    }

    #[test]
    fn a_rule_whose_conditions_do_not_hold_is_passed_over() {
        let cheap = profile(vec![
            rule(r#"{"match":"claude-*","if":{"min_prompt_tokens":60000},"to":"long"}"#),
            rule(r#"{"match":"claude-*","if":{"images":true},"to":"eyes"}"#),
            rule(r#"{"match":"claude-*","to":"usual"}"#),
        ]);
        let to = |query: Described| cheap.map("claude-opus", &mut query.clone()).targets;
        assert_eq!(to(Described { tokens: 70_000, images: true, ..Described::default() }), ["long"]);
        assert_eq!(to(Described { images: true, ..Described::default() }), ["eyes"]);
        assert_eq!(to(Described::default()), ["usual"]);
        let tried = cheap.tried("claude-opus", &mut Described::default());
        assert_eq!(tried.len(), 3);
        assert_eq!(tried[0].why.as_ref().unwrap().words, "the prompt has fewer than 60000 tokens");
        assert!(tried[2].fired);
        assert_eq!(
            cheap.tried("gpt", &mut Described::default())[0].why.as_ref().unwrap().words,
            "the name does not match"
        );
    }

    #[test]
    fn a_rule_that_cannot_work_is_refused() {
        for text in [
            r#"{"match":"a","regex":"b","to":"c"}"#,
            r#"{"regex":"(","to":"c"}"#,
            r#"{"match":"a","to":" "}"#,
            r#"{"match":"a","to":"b","if":{"time":{"from":"9"}}}"#,
        ] {
            let broken = Profile { name: "p".into(), rules: vec![rule(text)], ..Profile::default() };
            assert!(CompiledProfile::compile(&broken).unwrap_err().to_string().starts_with("profile p, rule 1"));
        }
    }

    #[test]
    fn channels_are_limited_by_name_and_tag() {
        let channel =
            |name: &str, tag: &str| TableChannel { name: name.into(), tags: vec![tag.into()], ..Default::default() };
        let filter =
            |texts: &[&str]| ChannelFilter::new(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        for (texts, expected) in [
            (&[][..], [true, true, true]),
            (&["main"], [true, false, false]),
            (&["tag:paid"], [true, true, false]),
            (&["tag:paid", "!main"], [false, true, false]),
            (&["!tag:paid"], [false, false, true]),
            (&["o*"], [false, true, false]),
        ] {
            let filter = filter(texts);
            let channels = [channel("main", "paid"), channel("other", "paid"), channel("local", "free")];
            assert_eq!(channels.map(|channel| filter.allows(&channel)), expected, "{texts:?}");
        }
    }
}
