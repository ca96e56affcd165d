//! Tokens of text by what its characters are.

/// Thousandths of a token that one character of a script takes, by the first scalar value of the script's block; each row reaches to the next one.
/// Taken between the tokenizers of OpenAI, Anthropic and the open models, nearer to the hungrier one.
const SCRIPTS: [(u32, u64); 24] = [
    (0x0080, 600),     // Latin-1 signs and letters
    (0x0250, 700),     // phonetic, modifiers
    (0x0370, 550),     // Greek
    (0x0400, 400),     // Cyrillic
    (0x0530, 800),     // Armenian
    (0x0590, 550),     // Hebrew
    (0x0600, 500),     // Arabic
    (0x0700, 900),     // Syriac and others
    (0x0900, 650),     // scripts of India
    (0x0E00, 700),     // Thai
    (0x0E80, 1_100),   // Lao, Tibetan, Burmese, Georgian …
    (0x1100, 1_200),   // Hangul letters, Ethiopic, Khmer …
    (0x1E00, 600),     // Latin with more marks, Greek with more marks
    (0x2000, 700),     // punctuation, arrows, signs
    (0x2500, 800),     // boxes and shapes
    (0x2600, 1_500),   // symbols
    (0x2E80, 1_500),   // radicals
    (0x3000, 800),     // CJK punctuation, kana
    (0x3100, 1_300),   // further East Asian letters
    (0x4E00, 1_050),   // Han
    (0xA000, 1_500),   // Yi and others
    (0xAC00, 1_000),   // Hangul
    (0xD7B0, 1_500),   // the rest of the basic plane
    (0x1_0000, 2_500), // emoji, rare Han, historic scripts
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Space,
    Line,
    Mark,
}

/// Tokens of `text`, rounded up.
pub fn count(text: &str) -> u64 {
    count_bytes(text.as_bytes())
}

/// Tokens of UTF-8 text, rounded up; bytes that are none count like rare signs.
pub(super) fn count_bytes(text: &[u8]) -> u64 {
    let mut thousandths: u64 = 0;
    let mut rest = text;
    while let Some(first) = rest.first() {
        let step = if first.is_ascii() { ascii_run(rest) } else { other(rest) };
        thousandths = thousandths.saturating_add(step.0);
        rest = rest.get(step.1.max(1)..).unwrap_or_default();
    }
    thousandths.div_ceil(1_000)
}

/// The cost and length of the run of ASCII characters of one class that `text` begins with.
fn ascii_run(text: &[u8]) -> (u64, usize) {
    let Some(class) = text.first().copied().map(class) else { return (0, 1) };
    let length = text.iter().take_while(|byte| byte.is_ascii() && self::class(**byte) == class).count();
    let long = u64::try_from(length).unwrap_or(u64::MAX);
    let cost = match class {
        // A word with the space before it is one token up to some six letters; longer ones fall into pieces of four.
        Class::Letter => 1_100 + long.saturating_sub(6).div_ceil(4).saturating_mul(1_000),
        Class::Digit => long.div_ceil(3).saturating_mul(1_000),
        // One space belongs to the word after it; indentation is one token for a few columns.
        Class::Space if length == 1 => 0,
        Class::Space => long.div_ceil(16).saturating_mul(1_000),
        Class::Line => long.div_ceil(2).saturating_mul(1_000),
        // `":{` and the like go together.
        Class::Mark => long.div_ceil(2).saturating_mul(1_000),
    };
    (cost, length)
}

fn class(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        b' ' | b'\t' => Class::Space,
        b'\n' | b'\r' => Class::Line,
        _ => Class::Mark,
    }
}

/// The cost and length of the character beyond ASCII that `text` begins with.
fn other(text: &[u8]) -> (u64, usize) {
    let length = match text.first() {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        _ => 1,
    };
    let character =
        text.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(|one| one.chars().next());
    let Some(character) = character else { return (1_000, 1) };
    let scalar = u32::from(character);
    let cost = SCRIPTS.iter().rev().find(|(from, _)| scalar >= *from).map_or(1_000, |(_, cost)| *cost);
    (cost, length)
}
