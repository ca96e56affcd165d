//! What a request is thought to need, read off its bytes: fast enough for every request, and rather too much than too little.

use memchr::{memchr, memrchr};

/// Output of a request that names no limit of its own.
const USUAL_OUTPUT: u64 = 4_096;
/// Strings from this length on may be files in base64.
const LONG: usize = 2_048;
/// How much is looked at, at a place.
const LOOK: usize = 96;
/// From one look to the next: prose is not read. A file is longer than a step and a look, so that one falls into it wherever it lies.
const STEP: usize = LONG / 2;
/// Input tokens that an image or a page costs, about.
const FILE: u64 = 1_600;
/// Bytes of a file in base64 beyond which it is taken for more than one page.
const PAGE: u64 = 1 << 20;

/// Tokens that an answer is thought to have. `asked`: the most that the request allows.
pub fn usual_output(asked: Option<u64>) -> u64 {
    asked.unwrap_or(USUAL_OUTPUT)
}

/// About how many tokens the prompt in a JSON body has: four bytes of it are one, files in base64 count as what they show.
pub fn prompt_tokens(body: &[u8]) -> u64 {
    let (mut text, mut files, mut at) = (body.len() as u64, 0_u64, 0);
    while let Some(looked) = body.get(at..at + LOOK) {
        at += STEP;
        if !is_base64(looked) {
            continue;
        }
        let (string, end) = string_around(body, at - STEP);
        if let Some(string) = string.filter(|string| is_file(string)) {
            text -= string.len() as u64;
            files += FILE * (1 + string.len() as u64 / PAGE);
        }
        at = at.max(end);
    }
    files + text.div_ceil(4)
}

/// What stands between the quotes before and after a place, and where it ends; no string where the first quote belongs to a text. Places are asked for in
/// their order, each behind the end of the one before, so that no byte is read twice.
fn string_around(body: &[u8], at: usize) -> (Option<&[u8]>, usize) {
    let begin = memrchr(b'"', body.get(..at).unwrap_or_default()).map_or(0, |quote| quote + 1);
    let end = memchr(b'"', body.get(at..).unwrap_or_default()).map_or(body.len(), |quote| at + quote);
    let escaped = begin > 1 && body.get(begin - 2) == Some(&b'\\');
    (body.get(begin..end).filter(|_| !escaped), end)
}

/// Whether a string is a long one, and in its middle a file and no prose.
fn is_file(string: &[u8]) -> bool {
    let middle = string.len() / 2;
    string.len() >= LONG && string.get(middle..middle + LOOK).is_some_and(is_base64)
}

/// Whether there is no space and nothing else that base64 has not.
fn is_base64(looked: &[u8]) -> bool {
    looked.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(content: &str) -> Vec<u8> {
        serde_json::json!({"model": "m", "messages": [{"role": "user", "content": content}]}).to_string().into_bytes()
    }

    #[test]
    fn prose_is_a_token_for_four_bytes() {
        let prose = "The quick brown fox jumps over the lazy dog. ".repeat(1_000);
        let tokens = prompt_tokens(&body(&prose));
        assert!((11_000..12_000).contains(&tokens), "{tokens}");
        // Escapes do not end a string.
        let quoted = "he said \"no\" \\ and left\n".repeat(200);
        assert!(prompt_tokens(&body(&quoted)).abs_diff(quoted.len() as u64 / 4) < 600);
    }

    #[test]
    fn a_file_counts_as_what_it_shows() {
        let image = format!("data:image/png;base64,{}", "iVBORw0KGgo".repeat(50_000));
        let tokens = prompt_tokens(&body(&image));
        assert!((1_600..2_000).contains(&tokens), "{tokens}");
        let large = "QUJDRA".repeat(1_000_000);
        assert!(prompt_tokens(&body(&large)) >= 6 * FILE);
    }

    #[test]
    fn a_file_is_found_wherever_it_lies() {
        let image = "iVBORw0KGgo".repeat(200);
        for before in (0..2_200).step_by(7) {
            let prose = "so it is, ".repeat(before / 10 + 1);
            let both = serde_json::json!([prose, format!("data:image/png;base64,{image}"), "and then"]).to_string();
            let rest = (both.len() - image.len()) as u64 / 4;
            assert!(prompt_tokens(both.as_bytes()).abs_diff(FILE + rest) < 10, "{before}");
        }
        // What a text says in quotes is read by the model as text.
        let told = body(&format!("the picture is \"{image}\", he said"));
        assert!(prompt_tokens(&told).abs_diff(told.len() as u64 / 4) < 2);
        // Nor is a file what stands behind quotes of a text.
        let quotes = format!("\"{}", "\\\"".repeat(100).to_owned() + &"A".repeat(4_000)).repeat(500);
        assert_eq!(prompt_tokens(quotes.as_bytes()), (quotes.len() as u64).div_ceil(4));
    }

    #[test]
    fn any_bytes_give_a_number() {
        for odd in [&b""[..], b"\"", b"\"\\", b"\\\"", b"{\"a\": \"b", b"\"a\\\"\"\"", &[0xff; 5_000]] {
            assert!(prompt_tokens(odd) <= odd.len() as u64);
        }
        assert_eq!(usual_output(None), 4_096);
        assert_eq!(usual_output(Some(7)), 7);
    }
}
