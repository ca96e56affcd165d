//! What a request is thought to need, read off its bytes: fast enough for every request, and rather too much than too little.

use memchr::memchr;
use myelin_protocol::envelope::string_end;

/// Output of a request that names no limit of its own.
const USUAL_OUTPUT: u64 = 4_096;
/// Strings from this length on may be files in base64.
const LONG: usize = 2_048;
/// How much of a long string is looked at.
const LOOK: usize = 96;
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
    let mut files = 0_u64;
    let mut text = body.len() as u64;
    if body.len() < LONG {
        return text.div_ceil(4);
    }
    let mut rest = body;
    while let Some(start) = memchr(b'"', rest) {
        let begin = start + 1;
        let end = string_end(rest, begin).unwrap_or(rest.len());
        let string = rest.get(begin..end).unwrap_or_default();
        if string.len() >= LONG && is_base64(string) {
            text -= string.len() as u64;
            files += FILE * (1 + string.len() as u64 / PAGE);
        }
        let Some(after) = rest.get(end + 1..) else { break };
        rest = after;
    }
    files + text.div_ceil(4)
}

/// Whether a long string is a file and no prose: its middle has no space and nothing that base64 has not.
fn is_base64(string: &[u8]) -> bool {
    let middle = string.len() / 2;
    let looked = string.get(middle..middle + LOOK).unwrap_or_default();
    let data = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    looked.len() == LOOK && looked.iter().all(data)
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
    fn any_bytes_give_a_number() {
        for odd in [&b""[..], b"\"", b"\"\\", b"\\\"", b"{\"a\": \"b", b"\"a\\\"\"\"", &[0xff; 5_000]] {
            assert!(prompt_tokens(odd) <= odd.len() as u64);
        }
        assert_eq!(usual_output(None), 4_096);
        assert_eq!(usual_output(Some(7)), 7);
    }
}
