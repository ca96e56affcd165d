//! Differences as people read them. Nothing that looks like a secret is in them.

use std::sync::LazyLock;

use regex_lite::Regex;
use similar::TextDiff;

/// Unchanged lines around a change.
const AROUND: usize = 2;

#[expect(clippy::unwrap_used, reason = "a constant that a test compiles")]
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)((?:key|token|secret|password|authorization|credential)s?["']?\s*[:=]\s*)("[^"\n]*"|'[^'\n]*'|[^\s,"'}\]]+)"#).unwrap()
});
#[expect(clippy::unwrap_used, reason = "a constant that a test compiles")]
static SHAPED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(sk-|my-|mya-|ghp_|gho_|AIza|xai-|gsk_|hf_|r8_|pplx-)[A-Za-z0-9_\-]{8,}").unwrap());

/// Hides what looks like a secret: values of names that say so, and texts of known shapes.
pub fn masked(text: &str) -> String {
    let hidden = |value: &str| {
        let inner = value.trim_matches(['"', '\'']);
        // Names of variables and files are no secrets.
        let refers = inner.is_empty() || inner.starts_with(['$', '{']) || matches!(inner, "null" | "true" | "false");
        if refers { value.to_owned() } else { value.replace(inner, &hint(inner)) }
    };
    let text = NAMED.replace_all(text, |found: &regex_lite::Captures<'_>| {
        let part = |index: usize| found.get(index).map_or("", |part| part.as_str());
        format!("{}{}", part(1), hidden(part(2)))
    });
    SHAPED
        .replace_all(&text, |found: &regex_lite::Captures<'_>| hint(found.get(0).map_or("", |all| all.as_str())))
        .into_owned()
}

/// What may be seen of a secret.
pub fn hint(secret: &str) -> String {
    let chars: Vec<char> = secret.chars().collect();
    match (chars.get(..6), chars.len().checked_sub(4).and_then(|from| chars.get(from..))) {
        (Some(head), Some(tail)) if chars.len() >= 20 => {
            format!("{}…{}", head.iter().collect::<String>(), tail.iter().collect::<String>())
        }
        _ => "***".to_owned(),
    }
}

/// The change of a file in lines with `+`, `-` and a few around; empty if there is none.
pub fn unified(name: &str, before: &[u8], after: &[u8]) -> String {
    if before == after {
        return String::new();
    }
    let flat =
        |bytes: &[u8]| masked(String::from_utf8_lossy(bytes).replace("\r\n", "\n").trim_start_matches('\u{feff}'));
    let (before, after) = (flat(before), flat(after));
    let diff = TextDiff::from_lines(&before, &after);
    diff.unified_diff().context_radius(AROUND).header(name, name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let secret = "sk-ant-0123456789abcdefghij";
        for line in [
            format!("\"ANTHROPIC_API_KEY\": \"{secret}\","),
            format!("OPENAI_API_KEY={secret}"),
            format!("openai-api-key: {secret}"),
            format!("x = \"{secret}\""),
            "\"password\": \"hunter2hunter2hunter2\"".to_owned(),
        ] {
            let shown = masked(&line);
            assert!(!shown.contains("23456789abc") && !shown.contains("ter2hun"), "{shown}");
        }
        assert_eq!(masked("env_key = \"MY_VAR\""), "env_key = \"***\"");
        assert_eq!(
            masked("\"apiKey\": \"{env:X}\", \"model\": \"gpt-5\""),
            "\"apiKey\": \"{env:X}\", \"model\": \"gpt-5\""
        );
        assert!(unified("f", b"a\n", b"a\nb\n").ends_with("+b\n"));
        assert_eq!(unified("f", b"a", b"a"), "");
    }
}
