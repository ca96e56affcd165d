//! Globs with `*`, the only wildcard.

/// A pattern in which `*` stands for any run of characters, the empty one included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    pattern: String,
    /// Where its first `*` stands: nearly every text is told apart by what comes before it.
    star: Option<usize>,
}

impl Glob {
    /// Takes a pattern; every text is one.
    pub fn new(pattern: impl Into<String>) -> Self {
        let pattern = pattern.into();
        Self { star: pattern.find('*'), pattern }
    }

    /// The pattern as written.
    pub fn text(&self) -> &str {
        &self.pattern
    }

    /// Whether the pattern has no `*` and so names one thing.
    pub fn is_exact(&self) -> bool {
        self.star.is_none()
    }

    /// What each `*` stood for, if the whole of `text` fits: the first ones take as little as they can.
    pub fn stars<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let Some(star) = self.star else { return (text == self.pattern).then(Vec::new) };
        let mut rest = text.strip_prefix(self.pattern.get(..star)?)?;
        let mut stars = Vec::new();
        let mut pieces = self.pattern.get(star + 1..)?.split('*').peekable();
        while let Some(piece) = pieces.next() {
            let (star, after) =
                if pieces.peek().is_none() { (rest.strip_suffix(piece)?, "") } else { rest.split_once(piece)? };
            stars.push(star);
            rest = after;
        }
        Some(stars)
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, others)) = self.star.and_then(|star| self.pattern.split_at_checked(star)) else {
            return text == self.pattern;
        };
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let mut pieces = others.get(1..).unwrap_or_default().split('*').peekable();
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                return rest.ends_with(piece);
            }
            match rest.split_once(piece) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn stars_stand_for_any_run() {
        let cases = [
            ("claude-*", "claude-sonnet-4-5", true),
            ("claude-*", "gpt-5", false),
            ("*", "", true),
            ("*-mini*", "gpt-5-mini-2025", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("gpt-5", "gpt-5", true),
            ("gpt-5", "gpt-5-mini", false),
            ("", "", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} on {text}");
            assert_eq!(Glob::new(pattern).stars(text).is_some(), expected, "{pattern} on {text}");
        }
        assert_eq!(Glob::new("a-*-b*").stars("a-x-y-b7").unwrap(), ["x-y", "7"]);
    }
}
