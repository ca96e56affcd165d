//! The one field of an upload that matters here: which model. Pure; the rest of the body is passed on as it came.

use std::ops::Range;

use memchr::memmem;

/// The boundary that a `content-type` names, if it is one of a form.
pub(crate) fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    (!value.is_empty()).then_some(value)
}

/// Where the value of the field `name` stands. A file of that name is no field.
pub(crate) fn field(body: &[u8], boundary: &str, name: &str) -> Option<Range<usize>> {
    let delimiter = format!("--{boundary}");
    // Inside a part a delimiter begins a line; the first one begins the body.
    let line = format!("\r\n{delimiter}");
    let mut at =
        if body.starts_with(delimiter.as_bytes()) { delimiter.len() } else { after(body, 0, line.as_bytes())? };
    loop {
        let part = body.get(at..)?;
        // The last delimiter has two more hyphens.
        if part.starts_with(b"--") {
            return None;
        }
        let head_end = at + memmem::find(part, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(body.get(at..head_end)?).into_owned();
        let begin = head_end + 4;
        // An empty value ends where its head does.
        let end = memmem::find(body.get(begin - 2..)?, line.as_bytes()).map(|length| begin - 2 + length)?;
        if is_field(&head, name) {
            return Some(begin..end.max(begin));
        }
        at = end + line.len();
    }
}

fn after(body: &[u8], from: usize, text: &[u8]) -> Option<usize> {
    memmem::find(body.get(from..)?, text).map(|at| from + at + text.len())
}

/// Whether the head of a part is that of a field `name`.
fn is_field(head: &str, name: &str) -> bool {
    let disposition = head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    let mut parameters = disposition.unwrap_or_default().split(';').skip(1).filter_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        Some((key.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
    });
    parameters.clone().any(|(key, value)| key == "name" && value == name)
        && !parameters.any(|(key, _)| key.starts_with("filename"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\nContent-Type: audio/wav\r\n\r\n\u{0}RIFF--x\r\n--y\r\n--x\r\ncontent-disposition: form-data; name=model\r\n\r\nwhisper-1\r\n--x\r\nContent-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--x--\r\n";

    fn value(name: &str) -> Option<&'static str> {
        BODY.get(field(BODY.as_bytes(), "x", name)?)
    }

    #[test]
    fn a_field_is_found_among_files() {
        assert_eq!(value("model"), Some("whisper-1"));
        assert_eq!(value("empty"), Some(""));
        assert_eq!(value("file"), None);
        assert_eq!(value("language"), None);
    }

    #[test]
    fn no_cut_of_a_body_is_more_than_unknown() {
        for end in 0..BODY.len() {
            let Some(cut) = BODY.as_bytes().get(..end) else { continue };
            assert!(field(cut, "x", "model").is_none_or(|found| found.end <= cut.len()));
        }
    }

    #[test]
    fn the_boundary_stands_in_the_content_type() {
        assert_eq!(boundary("multipart/form-data; boundary=abc"), Some("abc"));
        assert_eq!(boundary("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\""), Some("a b"));
        assert_eq!(boundary("application/json; boundary=abc"), None);
        assert_eq!(boundary("multipart/form-data"), None);
    }
}
