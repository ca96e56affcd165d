//! What differs between generations of Gemini, as data: how thinking is asked for, and what a history must hold.

use crate::ir::Effort;

/// How a family of models takes its thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// Refuses `thinkingConfig`.
    Never,
    /// `thinkingBudget`, between these numbers of tokens; whether 0 (off) is taken.
    Budget { least: u64, most: u64, off: bool },
    /// `thinkingLevel`, one of these, least first. It cannot be switched off.
    Levels(&'static [(Effort, &'static str)]),
}

const LOW_HIGH: &[(Effort, &str)] = &[(Effort::Low, "LOW"), (Effort::High, "HIGH")];
const LOW_TO_HIGH: &[(Effort, &str)] = &[(Effort::Low, "LOW"), (Effort::Medium, "MEDIUM"), (Effort::High, "HIGH")];
const MINIMAL_TO_HIGH: &[(Effort, &str)] =
    &[(Effort::Minimal, "MINIMAL"), (Effort::Low, "LOW"), (Effort::Medium, "MEDIUM"), (Effort::High, "HIGH")];

/// Families by the beginning of the model's name; the first match counts.
const FAMILIES: [(&str, Thinking); 10] = [
    ("gemini-1", Thinking::Never),
    ("gemini-2.0", Thinking::Never),
    ("gemma-", Thinking::Never),
    ("gemini-2.5-pro", Thinking::Budget { least: 128, most: 32_768, off: false }),
    ("gemini-2.5-flash-lite", Thinking::Budget { least: 512, most: 24_576, off: true }),
    ("gemini-2.5", Thinking::Budget { least: 1, most: 24_576, off: true }),
    ("gemini-3-pro", Thinking::Levels(LOW_HIGH)),
    ("gemini-3-flash", Thinking::Levels(MINIMAL_TO_HIGH)),
    ("gemini-3.1-flash", Thinking::Levels(MINIMAL_TO_HIGH)),
    ("gemini-3.1-pro", Thinking::Levels(LOW_TO_HIGH)),
];

/// How `model` takes its thinking. Names that no row knows take a budget, which every generation understands, unless they say that they are of
/// the third generation or later.
pub(super) fn thinking(model: &str) -> Thinking {
    let name = bare(model);
    // `gemini-1` is no row for `gemini-10`.
    let is_of = |prefix: &str| {
        let rest = name.strip_prefix(prefix);
        rest.is_some_and(|rest| prefix.ends_with('-') || !rest.starts_with(|letter: char| letter.is_ascii_digit()))
    };
    let known = FAMILIES.iter().find(|(prefix, _)| is_of(prefix)).map(|(_, thinking)| *thinking);
    known.unwrap_or(match generation(model) {
        Some(3..) => Thinking::Levels(MINIMAL_TO_HIGH),
        _ => Thinking::Budget { least: 0, most: u64::MAX, off: true },
    })
}

/// The third generation checks that calls of the current turn carry their signatures, and takes media in tool results.
pub(super) fn is_third_generation(model: &str) -> bool {
    generation(model).is_some_and(|generation| generation >= 3)
}

/// The name without what addresses put before it.
pub(super) fn bare(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

fn generation(model: &str) -> Option<u32> {
    let rest = bare(model).strip_prefix("gemini-")?;
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_told_from_names() {
        for (model, third) in [
            ("gemini-3-pro-preview", true),
            ("publishers/google/models/gemini-3.1-pro", true),
            ("gemini-10-ultra", true),
            ("gemini-2.5-flash", false),
            ("gemini-flash-latest", false),
            ("gemma-3-27b", false),
            ("", false),
        ] {
            assert_eq!(is_third_generation(model), third, "{model}");
        }
        assert!(matches!(thinking("gemini-4-pro"), Thinking::Levels(_)));
        assert!(matches!(thinking("gemini-10-pro"), Thinking::Levels(_)));
        assert_eq!(thinking("gemini-1.5-pro"), Thinking::Never);
        assert!(matches!(thinking("gemini-flash-latest"), Thinking::Budget { off: true, .. }));
    }
}
