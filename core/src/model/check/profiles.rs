//! Profiles: rules that can never match or point nowhere.

use regex_lite::Regex;

use super::{Problem, glob_covers, name, routes};
use crate::model::{DIRECT, Entities, Profile, ProfileRule};

/// Checks one profile against everything else.
pub fn profile(profile: &Profile, entities: &Entities) -> Vec<Problem> {
    let path = format!("profiles.{}", profile.name);
    let mut problems: Vec<Problem> = name(&format!("{path}.name"), &profile.name).into_iter().collect();
    if profile.name == DIRECT {
        problems.push(Problem::error(&path, "'direct' is built in and cannot be declared"));
    }
    let mut earlier: Vec<Pattern> = Vec::new();
    for (index, rule) in profile.rules.iter().enumerate() {
        let path = format!("{path}.rules[{index}]");
        match Pattern::of(rule) {
            Err((field, why)) => problems.push(Problem::error(format!("{path}{field}"), why)),
            Ok(pattern) => {
                if let Some(before) = earlier.iter().position(|before| before.swallows(&pattern)) {
                    let why = format!("can never match: rules[{before}] takes everything that it would match");
                    problems.push(Problem::warning(&path, why));
                }
                problems.extend(captures(&path, rule, &pattern));
                earlier.push(pattern);
            }
        }
        problems.extend(routes::target(&format!("{path}.to"), &rule.to, entities));
        for (index, fallback) in rule.fallback.iter().enumerate() {
            problems.extend(routes::target(&format!("{path}.fallback[{index}]"), fallback, entities));
        }
    }
    problems.extend(super::policy::overrides(&format!("{path}.overrides"), &profile.overrides));
    problems.extend(super::policy(&format!("{path}.policy"), &profile.policy, entities));
    problems
}

/// What a rule looks for.
enum Pattern {
    Glob(String),
    Regex(Box<Regex>),
}

impl Pattern {
    /// The pattern of a rule, or the field that is wrong and why.
    fn of(rule: &ProfileRule) -> Result<Self, (&'static str, String)> {
        match (&rule.glob, &rule.regex) {
            (Some(_), Some(_)) => Err(("", "has both 'match' and 'regex': take one".to_owned())),
            (None, None) => Err(("", "has neither 'match' nor 'regex'".to_owned())),
            (Some(glob), None) if glob.is_empty() => Err((".match", "is empty and matches nothing".to_owned())),
            (Some(glob), None) => Ok(Self::Glob(glob.clone())),
            (None, Some(regex)) => Regex::new(regex)
                .map(|regex| Self::Regex(Box::new(regex)))
                .map_err(|why| (".regex", format!("'{regex}' is no regular expression: {why}"))),
        }
    }

    /// Whether nothing is left for `later`. Never says yes wrongly.
    fn swallows(&self, later: &Self) -> bool {
        match (self, later) {
            (Self::Glob(wide), Self::Glob(narrow)) => glob_covers(wide, narrow),
            (Self::Glob(wide), Self::Regex(_)) => !wide.is_empty() && wide.chars().all(|c| c == '*'),
            (Self::Regex(wide), Self::Glob(narrow)) => !narrow.contains('*') && wide.is_match(narrow),
            (Self::Regex(wide), Self::Regex(narrow)) => wide.as_str() == narrow.as_str(),
        }
    }
}

/// `$3` in a target needs a third group in the expression.
fn captures(path: &str, rule: &ProfileRule, pattern: &Pattern) -> Vec<Problem> {
    let groups = match pattern {
        Pattern::Regex(regex) => regex.captures_len(),
        Pattern::Glob(_) => 1,
    };
    let targets = std::iter::once(&rule.to).chain(&rule.fallback);
    targets
        .flat_map(|target| target.split('$').skip(1))
        .filter_map(|after| {
            let digits: String = after.trim_start_matches('{').chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<usize>().ok().filter(|number| *number >= groups)
        })
        .map(|number| Problem::warning(format!("{path}.to"), format!("'${number}' stands for no group of the rule")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channel, ChannelModel};

    fn rule(glob: &str, regex: &str, to: &str) -> ProfileRule {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ProfileRule {
            glob: some(glob),
            regex: some(regex),
            to: to.to_owned(),
            fallback: Vec::new(),
            set: serde_json::Map::new(),
        }
    }

    fn check(rules: Vec<ProfileRule>) -> Vec<String> {
        let mut channel: Channel = serde_json::from_str(r#"{"name":"main","provider":"openai"}"#).unwrap();
        channel.models = Some(vec![ChannelModel::Same("m".into())]);
        let entities = Entities { channels: vec![channel], ..Entities::default() };
        let sample = Profile { name: "cheap".into(), rules, ..Profile::default() };
        profile(&sample, &entities).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rule_behind_a_wider_one_can_never_match() {
        for (first, second) in [
            (rule("*", "", "m"), rule("claude-*", "", "m")),
            (rule("*", "", "m"), rule("", "^gpt", "m")),
            (rule("claude-*", "", "m"), rule("claude-opus", "", "m")),
            (rule("", "^gpt-5(-.*)?$", "m"), rule("gpt-5-mini", "", "m")),
            (rule("", "^a$", "m"), rule("", "^a$", "m")),
        ] {
            let problems = check(vec![first, second]);
            assert!(problems.len() == 1 && problems[0].contains("can never match"), "{problems:?}");
        }
        assert!(check(vec![rule("claude-opus", "", "m"), rule("claude-*", "", "m")]).is_empty());
    }

    #[test]
    fn a_rule_that_points_nowhere_is_reported() {
        assert_eq!(check(vec![rule("a", "", "gone")]), ["profiles.cheap.rules[0].to: nothing offers 'gone'"]);
        assert_eq!(
            check(vec![rule("a", "", "main/x")]),
            ["profiles.cheap.rules[0].to: the channel 'main' does not list 'x'"]
        );
        assert!(check(vec![rule("", "^(.*)$", "main/$1"), rule("a", "", "echo")]).len() <= 1);
    }

    #[test]
    fn bad_patterns_are_errors() {
        assert!(check(vec![rule("", "(", "m")])[0].contains("rules[0].regex"));
        assert!(check(vec![rule("a", "b", "m")])[0].contains("both"));
        assert!(check(vec![rule("", "", "m")])[0].contains("neither"));
        assert!(check(vec![rule("", "^(a)$", "main/$2")])[0].contains("'$2'"));
    }
}
