//! The last guard before a failure in words is kept: what looks like a secret is masked.
//!
//! Whoever writes a message masks the secrets that it knows; this catches those that nobody expected (a provider that repeats another account's key).

/// How secrets begin, and how many characters follow at least.
const PREFIXES: [(&str, usize); 14] = [
    ("mya-", 40),
    ("my-", 40),
    ("sk-", 16),
    ("sk_", 16),
    ("pk-", 16),
    ("xai-", 16),
    ("gsk_", 16),
    ("AIza", 30),
    ("AKIA", 16),
    ("ASIA", 16),
    ("hf_", 16),
    ("ghp_", 16),
    ("github_pat_", 16),
    ("eyJ", 40),
];
/// What stands before a secret of any shape.
const LEADS: [&str; 17] = [
    "key=",
    "api_key=",
    "apikey=",
    "token=",
    "bearer ",
    "api_key\":\"",
    "api_key\": \"",
    "api-key\":\"",
    "api-key\": \"",
    "apikey\":\"",
    "apikey\": \"",
    "access_token\":\"",
    "access_token\": \"",
    "password\":\"",
    "password\": \"",
    "client_secret\":\"",
    "client_secret\": \"",
];
/// A private key in text: all of it goes.
const KEY_BEGINS: &str = "-----BEGIN ";
const KEY_ENDS: &str = "PRIVATE KEY-----";
const LEAST_AFTER_LEAD: usize = 12;
const MASK: &str = "***";

/// The text with everything masked that looks like a secret.
pub(in crate::store) fn redact(text: &mut String) {
    let mut out = String::new();
    let mut rest = text.as_str();
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        if let Some((kept, secret)) = secret_at(rest, before) {
            out.push_str(rest.get(..kept).unwrap_or_default());
            out.push_str(MASK);
            rest = rest.get(kept + secret..).unwrap_or_default();
            before = '*';
            continue;
        }
        out.push(next);
        before = next;
        rest = rest.get(next.len_utf8()..).unwrap_or_default();
    }
    if out.len() != text.len() || out != *text {
        *text = out;
    }
}

/// Bytes to keep and bytes to mask, if a secret begins here.
fn secret_at(rest: &str, before: char) -> Option<(usize, usize)> {
    if before.is_alphanumeric() {
        return None;
    }
    if rest.starts_with(KEY_BEGINS) && rest.lines().next().is_some_and(|line| line.contains(KEY_ENDS)) {
        let begun = rest.find(KEY_ENDS)? + KEY_ENDS.len();
        let ends = rest.get(begun..)?.find(KEY_ENDS).map_or(rest.len(), |at| begun + at + KEY_ENDS.len());
        return Some((0, ends));
    }
    let found = PREFIXES.iter().find_map(|(prefix, least)| {
        let length = run(rest.strip_prefix(prefix)?);
        (length >= *least).then_some((prefix.len(), length))
    });
    found.or_else(|| {
        LEADS.iter().find_map(|lead| {
            let same = rest.get(..lead.len()).is_some_and(|start| start.eq_ignore_ascii_case(lead));
            let length = run(rest.get(lead.len()..).filter(|_| same)?);
            (length >= LEAST_AFTER_LEAD).then_some((lead.len(), length))
        })
    })
}

/// How many bytes of a secret's alphabet come first.
fn run(text: &str) -> usize {
    text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        let mut text = text.to_owned();
        redact(&mut text);
        text
    }

    #[test]
    fn what_looks_like_a_secret_is_masked() {
        for (text, shown) in [
            ("bad key sk-proj-abcdefghijklmnop!", "bad key sk-***!"),
            ("?key=AIzaSyA-1234567890 failed", "?key=*** failed"),
            ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer ***"),
            ("'my-0123456789012345678901234567890123456789'", "'my-***'"),
            ("(mya-0123456789012345678901234567890123456789)", "(mya-***)"),
            ("ü sk-abcdefghijklmnopq ü", "ü sk-*** ü"),
            (r#"{"api_key": "abcdef0123456789"}"#, r#"{"api_key": "***"}"#),
            ("a -----BEGIN RSA PRIVATE KEY-----\\nMIIE\\n-----END RSA PRIVATE KEY----- b", "a *** b"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }

    #[test]
    fn what_does_not_is_left_alone() {
        for text in [
            "",
            "my-long-and-hyphenated-model-name",
            "risk-abcdefghijklmnopqrst",
            "sk-short",
            "token=5",
            "ask the monkey=banana",
        ] {
            assert_eq!(redacted(text), text);
        }
    }
}
