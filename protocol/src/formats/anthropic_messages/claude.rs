//! What a Claude model takes, told by its name.
//!
//! Hosts decorate names (`us.anthropic.claude-opus-4-6-v1`, `claude-sonnet-4@20250514`, `anthropic/claude-opus-4.6`), so only the family and the first two
//! short numbers count. A rule names the first version that it holds for: later ones inherit it. Sources: models.dev (reasoning
//! options, temperature), the 400 texts of the API.

use crate::ir::Effort;

/// A Claude model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claude<'m> {
    family: &'m str,
    version: (u32, u32),
}

impl<'m> Claude<'m> {
    /// Reads a model's name; nothing if it is no Claude or has no number.
    pub(crate) fn parse(model: &'m str) -> Option<Self> {
        let (_, rest) = model.split_once("claude-")?;
        let words: Vec<&str> = rest.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let family = words.iter().find(|word| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_alphabetic()));
        let number = |word: &&str| (word.len() <= 2).then(|| word.parse::<u32>().ok()).flatten();
        let (at, major) = words.iter().enumerate().find_map(|(at, word)| Some((at, number(word)?)))?;
        let minor = words.get(at + 1).and_then(number).unwrap_or(0);
        Some(Self { family: family.copied().unwrap_or_default(), version: (major, minor) })
    }

    /// `role: "system"` inside `messages` is taken.
    pub(crate) fn inline_system(self) -> bool {
        self.version >= (4, 0)
    }

    /// Extended thinking exists.
    pub(crate) fn thinks(self) -> bool {
        self.version >= (3, 7)
    }

    /// `thinking: {type: adaptive}` is known.
    pub(crate) fn adaptive(self) -> bool {
        self.version >= (4, 6)
    }

    /// `budget_tokens` is refused.
    pub(crate) fn adaptive_only(self) -> bool {
        self.version >= (4, 7)
    }

    /// `thinking: {type: disabled}` is taken. Opus 4.7 and later only think when asked and refuse it.
    pub(crate) fn takes_disabled(self) -> bool {
        !(self.always_thinks() || self.family == "opus" && self.version >= (4, 7))
    }

    /// Thinking cannot be switched off.
    pub(crate) fn always_thinks(self) -> bool {
        matches!(self.family, "fable" | "mythos")
    }

    /// `temperature`, `top_p` and `top_k` are refused.
    pub(crate) fn no_sampling(self) -> bool {
        self.version >= (4, 7)
    }

    /// `temperature` and `top_p` together are refused.
    pub(crate) fn one_sampling_knob(self) -> bool {
        self.version >= (4, 1)
    }

    /// A JSON Schema for the answer is understood.
    pub(crate) fn structured_output(self) -> bool {
        self.version >= (4, 5)
    }

    /// The nearest word of `output_config.effort` that the model takes; nothing if it knows none.
    pub(crate) fn effort(self, wanted: Effort) -> Option<Effort> {
        let words: &[Effort] = match self.version {
            version if version >= (4, 7) => &[Effort::Low, Effort::Medium, Effort::High, Effort::XHigh, Effort::Max],
            version if version >= (4, 6) => &[Effort::Low, Effort::Medium, Effort::High, Effort::Max],
            (4, 5) if self.family == "opus" => &[Effort::Low, Effort::Medium, Effort::High],
            _ => return None,
        };
        words.iter().rev().find(|word| **word <= wanted).or(words.first()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decorated_names_tell_family_and_version() {
        for (model, family, version) in [
            ("claude-opus-4-6", "opus", (4, 6)),
            ("us.anthropic.claude-opus-4-6-v1", "opus", (4, 6)),
            ("anthropic/claude-opus-4.6", "opus", (4, 6)),
            ("claude-opus-4-20250514", "opus", (4, 0)),
            ("claude-sonnet-4@20250514", "sonnet", (4, 0)),
            ("anthropic.claude-3-5-sonnet-20241022-v2:0", "sonnet", (3, 5)),
            ("claude-3-7-sonnet@20250219", "sonnet", (3, 7)),
            ("claude-haiku-4-5-20251001", "haiku", (4, 5)),
            ("claude-opus-4-6[1m]", "opus", (4, 6)),
            ("claude-sonnet-5", "sonnet", (5, 0)),
        ] {
            assert_eq!(Claude::parse(model), Some(Claude { family, version }), "{model}");
        }
        for model in ["deepseek-chat", "claude", "claude-", "gpt-5", ""] {
            assert_eq!(Claude::parse(model), None, "{model}");
        }
    }

    #[test]
    fn effort_is_lowered_to_a_word_that_the_model_takes() {
        let effort = |model, wanted| Claude::parse(model).unwrap().effort(wanted);
        assert_eq!(effort("claude-opus-4-6", Effort::XHigh), Some(Effort::High));
        assert_eq!(effort("claude-opus-4-5", Effort::Max), Some(Effort::High));
        assert_eq!(effort("claude-opus-4-7", Effort::XHigh), Some(Effort::XHigh));
        assert_eq!(effort("claude-opus-4-7", Effort::Minimal), Some(Effort::Low));
        assert_eq!(effort("claude-haiku-4-5", Effort::High), None);
    }
}
