//! What a model can take and give: how many tokens, which media, which abilities. For routing by context, and for people who choose.

use std::fmt::Write as _;

use serde::Serialize;

/// What is known of a model's limits and abilities. `None` is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct ModelLimits {
    /// Tokens of prompt and answer together.
    pub context: Option<u64>,
    /// Tokens of the prompt.
    pub input: Option<u64>,
    /// Tokens of the answer.
    pub output: Option<u64>,
    /// Media that it reads: `text`, `image`, `audio`, `video`, `pdf`.
    pub reads: Vec<&'static str>,
    /// Media that it writes.
    pub writes: Vec<&'static str>,
    /// It calls tools.
    pub tools: Option<bool>,
    /// It thinks.
    pub reasoning: Option<bool>,
    /// It keeps to a JSON schema.
    pub structured_output: Option<bool>,
    /// It takes a temperature.
    pub temperature: Option<bool>,
}

const MEDIA: [(char, &str); 5] = [('t', "text"), ('i', "image"), ('a', "audio"), ('v', "video"), ('p', "pdf")];

impl ModelLimits {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether so many tokens of prompt, and so many of answer after them, fit; what is unknown is no hindrance.
    pub fn fit(&self, tokens_in: u64, max_out: u64) -> bool {
        let within = |limit: Option<u64>, tokens: u64| limit.is_none_or(|limit| tokens <= limit);
        // An answer may be shorter than the most that was asked for; the model's own most is no reason to pass it by.
        let out = self.output.map_or(max_out, |most| max_out.min(most));
        within(self.input, tokens_in) && within(self.context, tokens_in.saturating_add(out))
    }

    /// Reads a row's field: `c200000 n180000 o64000 <ti >t +TRJS -S`.
    pub(super) fn read(field: &str) -> Self {
        let mut out = Self::default();
        for term in field.split(' ') {
            let mut chars = term.chars();
            let Some(kind) = chars.next() else { continue };
            let rest = chars.as_str();
            match kind {
                'c' => out.context = rest.parse().ok(),
                'n' => out.input = rest.parse().ok(),
                'o' => out.output = rest.parse().ok(),
                '<' => out.reads = media(rest),
                '>' => out.writes = media(rest),
                '+' | '-' => rest.chars().for_each(|flag| out.set(flag, kind == '+')),
                _ => {}
            }
        }
        out
    }

    /// Writes it as a row's field.
    pub(super) fn write(&self) -> String {
        let mut terms: Vec<String> = Vec::new();
        for (kind, number) in [('c', self.context), ('n', self.input), ('o', self.output)] {
            terms.extend(number.map(|number| format!("{kind}{number}")));
        }
        for (kind, media) in [('<', &self.reads), ('>', &self.writes)] {
            let letters = MEDIA.iter().filter(|(_, word)| media.contains(word)).map(|(letter, _)| *letter);
            let letters: String = letters.collect();
            if !letters.is_empty() {
                terms.push(format!("{kind}{letters}"));
            }
        }
        let flags = [('T', self.tools), ('R', self.reasoning), ('J', self.structured_output), ('S', self.temperature)];
        for (kind, wanted) in [('+', true), ('-', false)] {
            let mut term = String::new();
            for (letter, _) in flags.iter().filter(|(_, known)| *known == Some(wanted)) {
                let _ = write!(term, "{letter}");
            }
            if !term.is_empty() {
                terms.push(format!("{kind}{term}"));
            }
        }
        terms.join(" ")
    }

    fn set(&mut self, flag: char, value: bool) {
        let place = match flag {
            'T' => &mut self.tools,
            'R' => &mut self.reasoning,
            'J' => &mut self.structured_output,
            'S' => &mut self.temperature,
            _ => return,
        };
        *place = Some(value);
    }
}

/// The media of some words; unknown ones are left out.
pub(super) fn media_named<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'static str> {
    let words: Vec<&str> = words.collect();
    MEDIA.iter().map(|(_, word)| *word).filter(|word| words.contains(word)).collect()
}

fn media(letters: &str) -> Vec<&'static str> {
    MEDIA.iter().filter(|(letter, _)| letters.contains(*letter)).map(|(_, word)| *word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let limits = ModelLimits {
            context: Some(200_000),
            input: None,
            output: Some(64_000),
            reads: vec!["text", "image", "pdf"],
            writes: vec!["text"],
            tools: Some(true),
            reasoning: Some(true),
            structured_output: None,
            temperature: Some(false),
        };
        assert_eq!(limits.write(), "c200000 o64000 <tip >t +TR -S");
        assert_eq!(ModelLimits::read(&limits.write()), limits);
        assert!(ModelLimits::read("").is_empty());
    }

    #[test]
    fn a_prompt_fits_or_does_not() {
        let limits = ModelLimits { context: Some(1_000), output: Some(200), ..ModelLimits::default() };
        assert!(limits.fit(800, 200));
        // The model gives at most 200, whatever is asked for.
        assert!(limits.fit(800, 5_000));
        assert!(!limits.fit(801, 200));
        assert!(ModelLimits::default().fit(u64::MAX, u64::MAX));
    }
}
