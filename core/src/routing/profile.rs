//! Profiles, compiled: which rule fires for a name, and where it points.

use regex_lite::Regex;

use super::Glob;
use crate::model::{Profile, ProfileRule};

/// A profile whose patterns are ready to match.
#[derive(Debug, Clone)]
pub struct CompiledProfile {
    /// The profile's name.
    pub name: String,
    rules: Vec<CompiledRule>,
}

#[derive(Debug, Clone)]
struct CompiledRule {
    matcher: Matcher,
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

impl CompiledProfile {
    /// `direct`: maps nothing.
    pub fn direct() -> Self {
        Self { name: "direct".to_owned(), rules: Vec::new() }
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
            let label = format!("{}#{} {pattern}", profile.name, index + 1);
            Ok(CompiledRule { matcher, rule: rule.clone(), label })
        });
        Ok(Self { name: profile.name.clone(), rules: rules.collect::<Result<_, _>>()? })
    }

    /// The first rule that matches `model`; without one the name passes through.
    pub fn map(&self, model: &str) -> Mapped {
        let fired = self.rules.iter().find_map(|rule| rule.targets(model).map(|targets| (rule, targets)));
        match fired {
            Some((rule, targets)) => Mapped { targets, rule: Some(rule.label.clone()), set: rule.rule.set.clone() },
            None => Mapped { targets: vec![model.to_owned()], rule: None, set: serde_json::Map::new() },
        }
    }
}

impl CompiledRule {
    fn targets(&self, model: &str) -> Option<Vec<String>> {
        let names = || std::iter::once(&self.rule.to).chain(&self.rule.fallback);
        match &self.matcher {
            Matcher::Any => Some(names().cloned().collect()),
            Matcher::Glob(glob) => glob.matches(model).then(|| names().cloned().collect()),
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

#[cfg(test)]
mod tests {
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
        ]);
        assert_eq!(cheap.map("claude-haiku-4-5").targets, ["small"]);
        let mapped = cheap.map("claude-opus-4");
        assert_eq!(mapped.targets, ["deepseek/deepseek-chat", "main/fast"]);
        assert_eq!(mapped.rule.as_deref(), Some("cheap#2 claude-*"));
        assert_eq!(cheap.map("gpt-5-mini").targets, ["main/g5"]);
        let through = cheap.map("mistral-large");
        assert_eq!((through.targets, through.rule), (vec!["mistral-large".to_owned()], None));
    }

    #[test]
    fn a_rule_that_cannot_work_is_refused() {
        for text in [r#"{"match":"a","regex":"b","to":"c"}"#, r#"{"regex":"(","to":"c"}"#, r#"{"match":"a","to":" "}"#]
        {
            let broken = Profile { name: "p".into(), rules: vec![rule(text)], ..Profile::default() };
            assert!(CompiledProfile::compile(&broken).unwrap_err().to_string().starts_with("profile p, rule 1"));
        }
    }
}
