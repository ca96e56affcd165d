//! Names with `*` in them.

use serde::{Deserialize, Deserializer};

/// A model's name in which `*` stands for any run of characters. Case is ignored: providers spell `MiniMax-M2` and `minimax-m2` alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern.
    pub fn new(text: &str) -> Self {
        Self(text.to_ascii_lowercase())
    }

    /// Whether `name` fits. Linear in both lengths but for backtracking to the last `*`.
    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = strip_prefix(name, first) else { return false };
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        for piece in pieces {
            let Some(at) = find(rest, piece) else { return false };
            rest = rest.get(at + piece.len()..).unwrap_or_default();
        }
        rest.len() >= last.len()
            && rest.get(rest.len() - last.len()..).is_some_and(|tail| tail.eq_ignore_ascii_case(last))
    }

    /// Whether any of `patterns` fits.
    pub fn any(patterns: &[Self], name: &str) -> bool {
        patterns.iter().any(|pattern| pattern.matches(name))
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

fn strip_prefix<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = name.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn find(name: &str, piece: &str) -> Option<usize> {
    if piece.is_empty() {
        return Some(0);
    }
    name.as_bytes().windows(piece.len()).position(|window| window.eq_ignore_ascii_case(piece.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, name, fits) in [
            ("gpt-5*", "gpt-5-mini", true),
            ("gpt-5*", "GPT-5", true),
            ("gpt-5*", "gpt-4o", false),
            ("*", "", true),
            ("*claude*", "us.anthropic.Claude-x", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXcYb", false),
            ("o1", "o1", true),
            ("o1", "o1-mini", false),
            ("a*a", "a", false),
            ("é*", "étude", true),
            ("x*", "é", false),
            ("*-pro", "o1-pro", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), fits, "{pattern} {name}");
        }
    }
}
