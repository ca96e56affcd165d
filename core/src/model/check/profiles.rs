//! Profiles: rules that can never match or point nowhere.

use regex_lite::Regex;

use super::conditions::conditions;
use super::{Problem, glob_covers, glob_matches, name, routes};
use crate::model::{DIRECT, Entities, Profile, ProfileRule, Told};
use crate::told;

/// Checks one profile against everything else.
pub fn profile(profile: &Profile, entities: &Entities) -> Vec<Problem> {
    let path = format!("profiles.{}", profile.name);
    let mut problems: Vec<Problem> = name(&format!("{path}.name"), &profile.name).into_iter().collect();
    if profile.name == DIRECT {
        problems.push(Problem::error(&path, told!("direct-built-in", "'direct' is built in and cannot be declared")));
    }
    problems.extend(channels(&path, profile, entities));
    let mut earlier: Vec<(&ProfileRule, Pattern)> = Vec::new();
    for (index, rule) in profile.rules.iter().enumerate() {
        let path = format!("{path}.rules[{index}]");
        match Pattern::of(rule) {
            Err((field, why)) => problems.push(Problem::error(format!("{path}{field}"), why)),
            Ok(pattern) => {
                // A rule with conditions of its own leaves something over, unless the later one asks the same.
                let takes = |(before, wide): &(&ProfileRule, Pattern)| {
                    let all = before.conditions.is_empty() || before.conditions == rule.conditions;
                    all && wide.swallows(&pattern)
                };
                if let Some(before) = earlier.iter().position(takes) {
                    let why = told!(
                        "never-after",
                        "can never match: rules[{before}] takes everything that it would match",
                        before = before
                    );
                    problems.push(Problem::warning(&path, why));
                }
                problems.extend(captures(&path, rule, &pattern));
                earlier.push((rule, pattern));
            }
        }
        problems.extend(conditions(&format!("{path}.if"), &rule.conditions));
        problems.extend(routes::target(&format!("{path}.to"), &rule.to, entities));
        for (index, fallback) in rule.fallback.iter().enumerate() {
            problems.extend(routes::target(&format!("{path}.fallback[{index}]"), fallback, entities));
        }
    }
    problems.extend(super::policy::overrides(&format!("{path}.overrides"), &profile.overrides));
    problems.extend(super::policy(&format!("{path}.policy"), &profile.policy, entities));
    problems
}

/// A filter that lets no channel through, or an entry that names none.
fn channels(path: &str, profile: &Profile, entities: &Entities) -> Vec<Problem> {
    let known = |entry: &str| {
        let entry = entry.trim_start_matches('!');
        entities.channels.iter().any(|channel| match entry.strip_prefix("tag:") {
            Some(tag) => channel.tags.iter().any(|own| own == tag),
            None => glob_matches(entry, &channel.name),
        })
    };
    let unknown = profile.channels.iter().enumerate().filter(|(_, entry)| !known(entry));
    unknown
        .map(|(index, entry)| {
            let path = format!("{path}.channels[{index}]");
            Problem::warning(
                path,
                told!("no-channel-meant", "no channel is meant by '{entry}'", entry = entry.trim_start_matches('!')),
            )
        })
        .collect()
}

/// What a rule looks for.
enum Pattern {
    Glob(String),
    Regex(Box<Regex>),
}

impl Pattern {
    /// The pattern of a rule, or the field that is wrong and why.
    fn of(rule: &ProfileRule) -> Result<Self, (&'static str, Told)> {
        match (&rule.glob, &rule.regex) {
            (Some(_), Some(_)) => Err(("", told!("match-and-regex", "has both 'match' and 'regex': take one"))),
            (None, None) => Err(("", told!("no-match-nor-regex", "has neither 'match' nor 'regex'"))),
            (Some(glob), None) if glob.is_empty() => {
                Err((".match", told!("match-empty", "is empty and matches nothing")))
            }
            (Some(glob), None) => Ok(Self::Glob(glob.clone())),
            (None, Some(regex)) => Regex::new(regex).map(|regex| Self::Regex(Box::new(regex))).map_err(|why| {
                (".regex", told!("bad-regex", "'{regex}' is no regular expression: {why}", regex = regex, why = why))
            }),
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
        Pattern::Glob(glob) => 1 + glob.matches('*').count(),
    };
    let targets = std::iter::once(&rule.to).chain(&rule.fallback);
    targets
        .flat_map(|target| target.split('$').skip(1))
        .filter_map(|after| {
            let digits: String = after.trim_start_matches('{').chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<usize>().ok().filter(|number| *number >= groups)
        })
        .map(|number| {
            Problem::warning(
                format!("{path}.to"),
                told!("no-group", "'${number}' stands for no group of the rule", number = number),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channel, ChannelModel};

    fn rule(glob: &str, regex: &str, to: &str) -> ProfileRule {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ProfileRule { glob: some(glob), regex: some(regex), to: to.to_owned(), ..ProfileRule::default() }
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
    fn a_rule_with_conditions_hides_only_one_with_the_same() {
        let on = |conditions: &str, rule: ProfileRule| ProfileRule {
            conditions: serde_json::from_str(conditions).unwrap(),
            ..rule
        };
        let images = r#"{"images":true}"#;
        assert!(check(vec![on(images, rule("*", "", "m")), rule("claude-*", "", "m")]).is_empty());
        let twice = check(vec![on(images, rule("*", "", "m")), on(images, rule("claude-*", "", "m"))]);
        assert!(twice.len() == 1 && twice[0].contains("can never match"), "{twice:?}");
        let hidden = check(vec![rule("*", "", "m"), on(images, rule("claude-*", "", "m"))]);
        assert!(hidden.len() == 1 && hidden[0].contains("can never match"), "{hidden:?}");
    }

    #[test]
    fn a_filter_that_names_no_channel_is_reported() {
        let sample = Profile { name: "p".into(), channels: vec!["gone".into(), "!tag:x".into()], ..Profile::default() };
        let problems: Vec<String> = profile(&sample, &Entities::default()).iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[1].contains("no channel is meant by 'tag:x'"), "{problems:?}");
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
        assert!(check(vec![rule("a-*", "", "main/$1")]).is_empty());
    }
}
