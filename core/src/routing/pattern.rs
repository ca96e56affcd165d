//! Globs with `*`, the only wildcard.

/// A pattern in which `*` stands for any run of characters, the empty one included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Takes a pattern; every text is one.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// The pattern as written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether the pattern has no `*` and so names one thing.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// What each `*` stood for, if the whole of `text` fits: the first ones take as little as they can.
    pub fn stars<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let mut pieces = self.0.split('*');
        let mut rest = text.strip_prefix(pieces.next()?)?;
        let mut stars = Vec::new();
        let mut pieces = pieces.peekable();
        if pieces.peek().is_none() {
            return rest.is_empty().then_some(stars);
        }
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
        let mut pieces = self.0.split('*');
        let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
        let mut pieces = pieces.peekable();
        if pieces.peek().is_none() {
            return rest.is_empty();
        }
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
