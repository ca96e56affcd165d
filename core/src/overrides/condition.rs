//! Conditions, ready to be asked.

use serde_json::{Map, Value};

use super::path::Path;
use super::template::SECRET_HEADERS;
use super::{LazyBody, Scope};
use crate::model::Told;
use crate::model::check::glob_matches;
use crate::model::{self, Patterns};
use crate::told;

/// A condition whose paths are read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    asked: model::Condition,
    body: Vec<(Path, Vec<Test>)>,
    any: Vec<Condition>,
    not: Option<Box<Condition>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Exists(bool),
    Is(Value),
    Not(Value),
    Matches(String),
    Contains(String),
    Above(f64),
    Below(f64),
    AtLeast(f64),
    AtMost(f64),
}

/// The words of tests.
const TESTS: [&str; 9] = ["exists", "is", "not", "matches", "contains", "above", "below", "at_least", "at_most"];

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn parse(asked: &model::Condition) -> Result<Self, Told> {
        for name in asked.header.keys() {
            if http::HeaderName::try_from(name.as_str()).is_err() {
                return Err(told!("no-header-name", "'{name}' is no header name", name = name));
            }
            if SECRET_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(told!(
                    "header-of-key",
                    "the header '{name}' holds the caller's key: ask for 'key' instead",
                    name = name
                ));
            }
        }
        let body = asked.body.iter().map(|(path, test)| Ok((Path::parse(path)?, tests(path, test)?)));
        Ok(Self {
            body: body.collect::<Result<_, Told>>()?,
            any: asked.any.iter().map(Self::parse).collect::<Result<_, _>>()?,
            not: asked.not.as_deref().map(|not| Self::parse(not).map(Box::new)).transpose()?,
            asked: model::Condition { body: Map::new(), any: Vec::new(), not: None, ..asked.clone() },
        })
    }

    /// Whether it says for which surfaces it is.
    pub(crate) fn names_surface(&self) -> bool {
        !self.asked.surface.is_empty()
    }

    /// Whether it holds.
    pub(crate) fn holds(&self, scope: &Scope<'_>, body: &mut LazyBody) -> bool {
        let asked = &self.asked;
        let facts: [(&Patterns, &str); 9] = [
            (&asked.model, scope.model),
            (&asked.upstream, scope.upstream),
            (&asked.channel, scope.channel),
            (&asked.tool, scope.tool.unwrap_or_default()),
            (&asked.key, scope.key),
            (&asked.profile, scope.profile),
            (&asked.format, scope.format),
            (&asked.upstream_format, scope.upstream_format),
            (&asked.surface, scope.surface),
        ];
        facts.iter().all(|(patterns, text)| fits(patterns, text))
            && asked.stream.is_none_or(|stream| stream == scope.stream)
            && asked.header.iter().all(|(name, patterns)| {
                scope.header(name).is_some_and(|value| patterns.is_empty() || fits(patterns, value))
            })
            && self.body.iter().all(|(path, tests)| {
                let found = body.tree().and_then(|tree| path.get(tree));
                tests.iter().all(|test| test.holds(found))
            })
            && (self.any.is_empty() || self.any.iter().any(|one| one.holds(scope, body)))
            && self.not.as_ref().is_none_or(|not| !not.holds(scope, body))
    }
}

/// Whether one of the patterns fits; no pattern asks for nothing.
pub(crate) fn fits(patterns: &Patterns, text: &str) -> bool {
    patterns.is_empty() || patterns.0.iter().any(|pattern| glob_matches(pattern, text))
}

fn tests(path: &str, value: &Value) -> Result<Vec<Test>, Told> {
    let table = match value {
        Value::Object(table) if !table.is_empty() && table.keys().all(|word| TESTS.contains(&word.as_str())) => table,
        plain => return Ok(vec![Test::Is(plain.clone())]),
    };
    table.iter().map(|(word, value)| test(path, word, value)).collect()
}

fn test(path: &str, word: &str, value: &Value) -> Result<Test, Told> {
    let number = || {
        value.as_f64().ok_or_else(|| told!("test-number", "'{word}' of '{path}' is a number", word = word, path = path))
    };
    let text = || {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| told!("test-text", "'{word}' of '{path}' is a text", word = word, path = path))
    };
    Ok(match word {
        "exists" => Test::Exists(
            value
                .as_bool()
                .ok_or_else(|| told!("test-exists", "'exists' of '{path}' is true or false", path = path))?,
        ),
        "is" => Test::Is(value.clone()),
        "not" => Test::Not(value.clone()),
        "matches" => Test::Matches(text()?),
        "contains" => Test::Contains(text()?),
        "above" => Test::Above(number()?),
        "below" => Test::Below(number()?),
        "at_least" => Test::AtLeast(number()?),
        _ => Test::AtMost(number()?),
    })
}

impl Test {
    fn holds(&self, found: Option<&Value>) -> bool {
        let text = || found.and_then(Value::as_str);
        let number = || found.and_then(Value::as_f64);
        match self {
            Self::Exists(wanted) => found.is_some() == *wanted,
            Self::Is(value) => found.is_some_and(|found| same(found, value)),
            Self::Not(value) => !found.is_some_and(|found| same(found, value)),
            Self::Matches(pattern) => text().is_some_and(|text| glob_matches(pattern, text)),
            Self::Contains(part) => match found {
                Some(Value::String(text)) => text.contains(part.as_str()),
                Some(Value::Array(items)) => items.iter().any(|item| item.as_str() == Some(part)),
                Some(Value::Object(fields)) => fields.contains_key(part),
                _ => false,
            },
            Self::Above(limit) => number().is_some_and(|number| number > *limit),
            Self::Below(limit) => number().is_some_and(|number| number < *limit),
            Self::AtLeast(limit) => number().is_some_and(|number| number >= *limit),
            Self::AtMost(limit) => number().is_some_and(|number| number <= *limit),
        }
    }
}

/// `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a.total_cmp(&b).is_eq())
}
