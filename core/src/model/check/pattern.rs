//! Globs with `*`: what they match and which one swallows which.

/// Whether `pattern` (where `*` stands for any run of characters) matches the whole `text`.
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return text.ends_with(piece);
        }
        let Some(at) = text.find(piece) else {
            return false;
        };
        text = text.get(at + piece.len()..).unwrap_or_default();
    }
    true
}

/// Whether everything that `narrow` matches is matched by `wide` too. Never says yes wrongly.
///
/// The stars of `narrow` are put in as a character that no model's name holds: only a star of `wide` can then match them.
pub fn glob_covers(wide: &str, narrow: &str) -> bool {
    glob_matches(wide, &narrow.replace('*', "\u{0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_run() {
        for (pattern, text, matches) in [
            ("claude-*", "claude-opus-4", true),
            ("claude-*", "claude-", true),
            ("claude-*", "xclaude-a", false),
            ("*", "", true),
            ("*mini*", "gpt-5-mini-2025", true),
            ("*mini", "gpt-5-mini", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("gpt-5", "gpt-5", true),
            ("gpt-5", "gpt-5-mini", false),
            ("模*", "模型", true),
        ] {
            assert_eq!(glob_matches(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn a_wider_glob_swallows_a_narrower_one() {
        for (wide, narrow, covers) in [
            ("*", "claude-*", true),
            ("claude-*", "claude-opus-*", true),
            ("claude-opus-*", "claude-*", false),
            ("a*c", "a*b*c", true),
            ("*mini", "gpt-*", false),
            ("gpt-5", "gpt-5", true),
            ("a*b", "a*", false),
        ] {
            assert_eq!(glob_covers(wide, narrow), covers, "{wide} {narrow}");
        }
    }
}
