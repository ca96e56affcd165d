//! What line-based texts share: where lines begin and end, and how the file ends them.

use std::ops::Range;

/// How most lines of a text end.
pub(super) fn newline(text: &str) -> &'static str {
    let crlf = text.matches("\r\n").count();
    let all = text.matches('\n').count();
    if crlf * 2 > all { "\r\n" } else { "\n" }
}

/// Where the line of a place begins.
pub(super) fn start_of(text: &str, place: usize) -> usize {
    text.get(..place).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// Where the line of a place ends, its end included.
pub(super) fn end_of(text: &str, place: usize) -> usize {
    text.get(place..).and_then(|after| after.find('\n')).map_or(text.len(), |newline| place + newline + 1)
}

/// The text with a part replaced.
pub(super) fn splice(text: &str, range: Range<usize>, with: &str) -> String {
    let before = text.get(..range.start).unwrap_or_default();
    let after = text.get(range.end..).unwrap_or_default();
    [before, with, after].concat()
}

/// The text with whole lines put in at the beginning of a line, or at the end of the text. `lines` end without a line end.
pub(super) fn insert_lines(text: &str, place: usize, lines: &str) -> String {
    let newline = newline(text);
    let lines = lines.replace('\n', newline);
    let before = text.get(..place).unwrap_or_default();
    let glue = if before.is_empty() || before.ends_with('\n') { "" } else { newline };
    splice(text, place..place, &[glue, &lines, newline].concat())
}

/// Line numbers for people.
pub(super) fn number(text: &str, place: usize) -> usize {
    text.get(..place).unwrap_or(text).matches('\n').count() + 1
}
