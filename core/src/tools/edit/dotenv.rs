//! `NAME=value` lines, as dotenv reads them: `export` before, quotes around, comments behind.

use std::ops::Range;

use serde_json::{Map, Value};

use super::{EditError, Path, Step, lines};

/// One assignment.
struct Line {
    name: String,
    value: String,
    /// The whole of its lines, the last line's end included.
    whole: Range<usize>,
    /// The value as it is written, quotes included.
    written: Range<usize>,
}

pub(super) fn read(text: &str) -> Result<Value, EditError> {
    let pairs = scan(text)?.into_iter().map(|line| (line.name, Value::String(line.value)));
    Ok(Value::Object(pairs.collect::<Map<_, _>>()))
}

pub(super) fn set(text: &str, path: &Path, value: &Value) -> Result<String, EditError> {
    let name = name(path)?;
    let value = value.as_str().ok_or_else(|| EditError::Shape(name.to_owned()))?;
    let written = quoted(value).ok_or_else(|| EditError::Unsafe(name.to_owned()))?;
    let last = scan(text)?.into_iter().rfind(|line| line.name == name);
    Ok(match last {
        Some(line) => lines::splice(text, line.written, &written),
        None => lines::insert_lines(text, text.len(), &format!("{name}={written}")),
    })
}

pub(super) fn remove(text: &str, path: &Path) -> Result<String, EditError> {
    let name = name(path)?;
    let own: Vec<Line> = scan(text)?.into_iter().filter(|line| line.name == name).collect();
    Ok(own.into_iter().rev().fold(text.to_owned(), |text, line| lines::splice(&text, line.whole, "")))
}

fn name(path: &Path) -> Result<&str, EditError> {
    match path.0.as_slice() {
        [Step::Key(name)] => Ok(name),
        _ => Err(EditError::Shape(path.to_string())),
    }
}

fn quoted(value: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:-+@%,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return Some(value.to_owned());
    }
    ['"', '\'', '`']
        .into_iter()
        .find(|quote| !value.contains([*quote, '\\', '\n', '\r', '$']))
        .map(|quote| format!("{quote}{value}{quote}"))
}

fn scan(text: &str) -> Result<Vec<Line>, EditError> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let mut end = lines::end_of(text, at);
        let line = text.get(at..end).unwrap_or_default();
        let head = line.trim_start();
        let start = at + line.len() - head.len();
        let named = head.strip_prefix("export ").unwrap_or(head);
        let named_at = start + head.len() - named.len();
        if let Some((name, rest)) = named.split_once('=').filter(|_| !head.starts_with('#')) {
            let value_at = named_at + name.len() + 1;
            let raw = rest.trim_start_matches([' ', '\t']);
            let value_at = value_at + rest.len() - raw.len();
            let quote = raw.chars().next().filter(|first| "\"'`".contains(*first));
            let (value, written) = match quote {
                Some(quote) => {
                    let inside = text.get(value_at + 1..).unwrap_or_default();
                    let close = closing(inside, quote).ok_or_else(|| EditError::Unreadable {
                        line: lines::number(text, value_at),
                        why: format!("the quote of {} is never closed", name.trim()),
                    })?;
                    let value = inside.get(..close).unwrap_or_default();
                    end = lines::end_of(text, value_at + 1 + close);
                    (value.to_owned(), value_at..value_at + close + 2)
                }
                None => {
                    let value = raw.trim_end_matches(['\n', '\r']);
                    let value = value.find(" #").map_or(value, |comment| value.get(..comment).unwrap_or_default());
                    let value = if value.starts_with('#') { "" } else { value.trim_end() };
                    (value.to_owned(), value_at..value_at + value.len())
                }
            };
            out.push(Line { name: name.trim().to_owned(), value, whole: at..end, written });
        }
        at = end;
    }
    Ok(out)
}

/// Where the quote closes; a backslash before a double quote keeps it open.
fn closing(inside: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    inside.char_indices().find_map(|(at, c)| {
        let closes = c == quote && !escaped;
        escaped = quote == '"' && c == '\\' && !escaped;
        closes.then_some(at)
    })
}
