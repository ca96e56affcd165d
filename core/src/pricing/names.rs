//! Under which names a model may stand in a price table. Providers, clients and clouds wrap one name in many ways; this file says which wrappings
//! come off, and in which order.
//!
//! For every price list of the provider, in order ([`lists`]):
//! 1. the name as it is sent upstream, in lower case; on Bedrock first as a row of its region (`us-east-1/…`);
//! 2. the same without what wraps it: `models/`, `publishers/…/models/`, `accounts/…/models/`, an ARN up to its last `/`, the region prefix of a Bedrock
//!    inference profile (`us.`, `eu.`, `global.` …), a vendor (`openai/…`), and `.` written as `-`;
//! 3. each of these without a variant (`:free`, `:nitro`, `:online` …);
//! 4. each of these without date, version and `-latest` (`-2025-08-07`, `-20250929`, `@001`, `-v1:0`, `-0613`);
//! 5. the newest row that differs from one of these only in date, version or `-latest`.

/// Providers whose models are priced like another's where they have no row of their own, in order.
const RELATIVES: [(&str, &[&str]); 17] = [
    ("azure", &["openai"]),
    ("vertex", &["gemini"]),
    ("bedrock", &["bedrock-mantle"]),
    ("bedrock-mantle", &["bedrock"]),
    ("moonshot", &["moonshot-cn"]),
    ("moonshot-cn", &["moonshot"]),
    ("zhipu", &["zai"]),
    ("zai", &["zhipu"]),
    ("zhipu-coding", &["zai-coding"]),
    ("qwen", &["qwencloud", "qwen-cn"]),
    ("qwen-cn", &["qwen"]),
    ("minimax-cn", &["minimax"]),
    ("minimax", &["minimax-cn"]),
    ("siliconflow", &["siliconflow-intl"]),
    ("siliconflow-intl", &["siliconflow"]),
    ("openrouter", MAKERS_OF_OTHERS),
    ("vercel-ai-gateway", MAKERS_OF_OTHERS),
];

/// Stands for the maker that a name's vendor prefix tells.
const MAKER: &str = "*";
/// Resellers that charge what the maker charges.
const MAKERS_OF_OTHERS: &[&str] = &[MAKER];

/// Vendor prefixes and whose price list they mean.
const MAKERS: [(&str, &str); 18] = [
    ("openai", "openai"),
    ("anthropic", "anthropic"),
    ("google", "gemini"),
    ("deepseek", "deepseek"),
    ("deepseek-ai", "deepseek"),
    ("moonshotai", "moonshot"),
    ("moonshot", "moonshot"),
    ("z-ai", "zai"),
    ("zai", "zai"),
    ("zai-org", "zai"),
    ("x-ai", "xai"),
    ("xai", "xai"),
    ("mistralai", "mistral"),
    ("mistral", "mistral"),
    ("cohere", "cohere"),
    ("perplexity", "perplexity"),
    ("minimax", "minimax"),
    ("qwen", "qwen"),
];

/// Region prefixes of Bedrock's inference profiles.
const REGIONS: [&str; 9] = ["us.", "us-gov.", "eu.", "apac.", "global.", "jp.", "au.", "ca.", "sa."];

/// Variants of a model that a reseller tells behind a colon.
const VARIANTS: [&str; 8] = ["free", "nitro", "floor", "online", "thinking", "beta", "extended", "exacto"];

/// The variant that costs nothing.
const FREE: &str = ":free";

/// The price lists that hold for a provider's model, in order.
pub(super) fn lists<'a>(provider: &'a str, model: &'a str) -> Vec<&'a str> {
    let relatives = RELATIVES.iter().find(|(own, _)| *own == provider).map_or(&[][..], |(_, relatives)| relatives);
    let mut out = vec![provider];
    for list in relatives {
        match *list {
            MAKER => {
                let vendor = model.rsplit('/').nth(1).unwrap_or_default();
                out.extend(MAKERS.iter().find(|(prefix, _)| prefix.eq_ignore_ascii_case(vendor)).map(|(_, id)| *id));
            }
            list => out.push(list),
        }
    }
    out
}

/// Whether a reseller gives this variant away.
pub(super) fn is_free(model: &str) -> bool {
    model.ends_with(FREE)
}

/// Every name to look for exactly, in order, without repeats (steps 1 to 4).
pub(super) fn candidates(model: &str, region: Option<&str>) -> Vec<String> {
    let whole = model.trim().to_lowercase();
    let mut names = Vec::new();
    let mut push = |name: String| {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    };
    if let Some(region) = region {
        push(format!("{region}/{whole}"));
        if let Some(bare) = without_region(&whole) {
            push(format!("{region}/{bare}"));
        }
    }
    push(whole.clone());
    let unwrapped = without_path(&whole);
    for bare in [Some(unwrapped), without_region(unwrapped), whole.split_once('/').map(|(_, rest)| rest)] {
        push(bare.unwrap_or_default().to_owned());
    }
    push(unwrapped.replace('.', "-"));
    for plain in names.clone() {
        if let Some((name, variant)) = plain.rsplit_once(':')
            && VARIANTS.contains(&variant)
        {
            names.push(name.to_owned());
        }
    }
    for dated in names.clone() {
        let base = base(&dated);
        if !names.iter().any(|name| *name == base) {
            names.push(base.to_owned());
        }
    }
    names
}

/// The part behind the last `/`: ARNs, `models/`, `publishers/…/models/`, `accounts/…/models/` and vendors all end there.
fn without_path(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn without_region(name: &str) -> Option<&str> {
    REGIONS.iter().find_map(|region| name.strip_prefix(region))
}

/// A name without date, version and `-latest`: what different releases of one model have in common.
pub(super) fn base(name: &str) -> &str {
    let mut rest = name;
    while let Some(shorter) = without_release(rest) {
        rest = shorter;
    }
    rest
}

/// Takes one mark of a release from the end.
fn without_release(name: &str) -> Option<&str> {
    if let Some((rest, mark)) = name.rsplit_once(['@', ':']) {
        let mark = mark.strip_prefix('v').unwrap_or(mark);
        if mark == "default" || mark == "latest" || is_digits(mark, 1..=8) {
            return Some(rest).filter(|rest| !rest.is_empty());
        }
    }
    let (rest, last) = name.rsplit_once('-')?;
    if rest.is_empty() {
        return None;
    }
    if last == "latest" || is_release(last) {
        return Some(rest);
    }
    // `-2025-08-07` and `-05-06`.
    let (before, month) = rest.rsplit_once('-')?;
    if is_digits(last, 2..=2) && is_digits(month, 2..=2) && !before.is_empty() {
        return match before.rsplit_once('-') {
            Some((name, year)) if is_digits(year, 4..=4) && !name.is_empty() => Some(name),
            _ if month <= "12" && last <= "31" && before.ends_with("preview") => Some(before),
            _ => None,
        };
    }
    None
}

/// `v1`, `0613`, `250615`, `20250929`. Three digits tell models apart (`text-embedding-005`).
fn is_release(mark: &str) -> bool {
    let version = mark.strip_prefix('v').is_some_and(|number| is_digits(number, 1..=2));
    version || is_digits(mark, 4..=4) || is_digits(mark, 6..=6) || is_digits(mark, 8..=8)
}

fn is_digits(text: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    length.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_come_off_and_nothing_else_does() {
        for (name, wanted) in [
            ("gpt-5-2025-08-07", "gpt-5"),
            ("gpt-4-0613", "gpt-4"),
            ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
            ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
            ("anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-5"),
            ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
            ("gemini-2.0-flash-001", "gemini-2.0-flash-001"),
            ("text-embedding-005@001", "text-embedding-005"),
            ("gemini-2.5-pro-preview-05-06", "gemini-2.5-pro-preview"),
            ("doubao-seed-1-6-250615", "doubao-seed-1-6"),
            ("claude-opus-4-6", "claude-opus-4-6"),
            ("llama-3-70b", "llama-3-70b"),
            ("o3", "o3"),
            ("-latest", "-latest"),
            ("20250929", "20250929"),
        ] {
            assert_eq!(base(name), wanted, "{name}");
        }
    }

    #[test]
    fn wrappings_come_off_in_order() {
        let names = candidates(
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-4-6-v1:0",
            Some("us-east-1"),
        );
        let place =
            |name: &str| names.iter().position(|own| own == name).unwrap_or_else(|| panic!("{name} in {names:?}"));
        assert!(place("us.anthropic.claude-opus-4-6-v1:0") < place("anthropic.claude-opus-4-6-v1:0"));
        assert!(place("anthropic.claude-opus-4-6-v1:0") < place("us.anthropic.claude-opus-4-6"));
        for (model, wanted) in [
            ("models/gemini-2.5-pro", "gemini-2.5-pro"),
            ("publishers/anthropic/models/claude-sonnet-4@20250514", "claude-sonnet-4@20250514"),
            ("accounts/fireworks/models/kimi-k2", "kimi-k2"),
            ("openrouter/anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4.5"),
            ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
            ("z-ai/glm-4.6:nitro", "z-ai/glm-4.6"),
            ("GPT-5", "gpt-5"),
        ] {
            assert!(candidates(model, None).iter().any(|name| name == wanted), "{model}");
        }
        assert_eq!(candidates("gpt-5", None), ["gpt-5"]);
        assert_eq!(candidates("us.x", Some("us-east-1")).first().map(String::as_str), Some("us-east-1/us.x"));
    }

    #[test]
    fn resellers_fall_back_to_the_maker() {
        assert_eq!(lists("openrouter", "x-ai/grok-4"), ["openrouter", "xai"]);
        assert_eq!(lists("openrouter", "nobody/x"), ["openrouter"]);
        assert_eq!(lists("azure", "gpt-5"), ["azure", "openai"]);
        assert_eq!(lists("groq", "openai/gpt-oss-20b"), ["groq"]);
    }
}
