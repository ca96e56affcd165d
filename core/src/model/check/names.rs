//! Names: what they may be made of, and that there are no two alike.

use std::collections::HashSet;

use super::Problem;
use crate::told;

/// Longest name of anything.
const LONGEST: usize = 100;

/// A name is letters, digits, `-`, `_`, `.`: it stands in `channel/model`, in paths (`/p/{profile}`) and in headers.
pub fn name(path: &str, name: &str) -> Option<Problem> {
    let message = if name.is_empty() {
        told!("name-empty", "the name is empty")
    } else if name.chars().count() > LONGEST {
        told!("name-long", "the name is longer than {most} characters", most = LONGEST)
    } else if let Some(odd) = name.chars().find(|c| !c.is_alphanumeric() && !"-_.".contains(*c)) {
        told!(
            "name-odd",
            "the name '{name}' holds '{odd}': only letters, digits, '-', '_' and '.' are allowed",
            name = name,
            odd = odd
        )
    } else {
        return None;
    };
    Some(Problem::error(path, message))
}

/// One error for every name that was there before.
pub fn unique<'a>(what: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<Problem> {
    let mut seen = HashSet::new();
    let mut problems = Vec::new();
    for name in names {
        if !seen.insert(name) {
            problems.push(Problem::error(
                format!("{what}.{name}"),
                told!("declared-twice", "'{name}' is declared twice", name = name),
            ));
        }
    }
    problems
}

/// The name that was meant by a wrong one, if one is near.
pub fn closest<'n>(names: impl IntoIterator<Item = &'n str>, wrong: &str) -> Option<&'n str> {
    names
        .into_iter()
        .map(|name| (distance(name, wrong), name))
        .filter(|(distance, name)| *distance <= name.len().max(wrong.len()) / 3)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (to, above) in b.iter().zip(row.iter().skip(1)) {
            let cost = if from == *to { diagonal } else { 1 + diagonal.min(left).min(*above) };
            diagonal = *above;
            left = cost;
            next.push(cost);
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_path_or_a_target_are_refused() {
        for good in ["main", "a.b-c_9", "主通道"] {
            assert_eq!(name("x", good), None);
        }
        for bad in ["", "a/b", "a b", "tag:x", "*", "a\n"] {
            assert!(name("x", bad).is_some_and(|problem| problem.is_error()), "{bad:?}");
        }
        assert!(name("x", &"n".repeat(101)).is_some());
    }

    #[test]
    fn the_second_of_two_is_named() {
        let problems = unique("channels", ["a", "b", "a"]);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, "channels.a");
    }
}
