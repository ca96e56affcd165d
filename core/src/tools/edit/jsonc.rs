//! JSON with comments and commas at the end. The text is read into places, and changed by replacing as few bytes as possible.

use std::ops::Range;

use serde_json::{Map, Value};

use super::{EditError, MOST_DEPTH, Path, Step, is_entry, lines, wrap};

/// A value and where it is.
struct Node {
    span: Range<usize>,
    kind: Kind,
}

enum Kind {
    Object(Vec<(String, Part)>),
    Array(Vec<Part>),
    Plain(Value),
}

/// A member or an entry: where it begins (a member with its name) and its value.
struct Part {
    start: usize,
    node: Node,
    /// Where the comma behind it is.
    comma: Option<usize>,
}

impl Node {
    fn value(&self) -> Value {
        match &self.kind {
            Kind::Object(members) => {
                Value::Object(members.iter().map(|(key, part)| (key.clone(), part.node.value())).collect::<Map<_, _>>())
            }
            Kind::Array(entries) => Value::Array(entries.iter().map(|part| part.node.value()).collect()),
            Kind::Plain(value) => value.clone(),
        }
    }

    fn parts(&self) -> Vec<&Part> {
        match &self.kind {
            Kind::Object(members) => members.iter().map(|(_, part)| part).collect(),
            Kind::Array(entries) => entries.iter().collect(),
            Kind::Plain(_) => Vec::new(),
        }
    }

    /// Which part a step leads to. Of members with the same name the last one counts, as for everyone who reads JSON.
    fn find(&self, step: &Step) -> Option<usize> {
        match (&self.kind, step) {
            (Kind::Object(members), Step::Key(name)) => members.iter().rposition(|(key, _)| key == name),
            (Kind::Array(entries), Step::Entry { field, is }) => {
                entries.iter().position(|part| is_entry(&part.node.value(), field, is))
            }
            _ => None,
        }
    }
}

pub(super) fn read(text: &str) -> Result<Value, EditError> {
    Ok(parse(text)?.map_or_else(|| Value::Object(Map::new()), |root| root.value()))
}

pub(super) fn set(text: &str, path: &Path, value: &Value) -> Result<String, EditError> {
    let Some(root) = parse(text)? else {
        let (open, close) = if matches!(path.0.first(), Some(Step::Entry { .. })) { ('[', ']') } else { ('{', '}') };
        return set(&lines::insert_lines(text, text.len(), &format!("{open}{close}")), path, value);
    };
    // An object with nothing in it may become a list.
    if matches!(&root.kind, Kind::Object(members) if members.is_empty())
        && matches!(path.0.first(), Some(Step::Entry { .. }))
    {
        return set(&lines::splice(text, root.span, "[]"), path, value);
    }
    let style = Style::of(text, &root);
    let mut node = &root;
    for (index, step) in path.0.iter().enumerate() {
        let rest = path.0.get(index..).unwrap_or_default();
        match node.find(step).and_then(|found| node.parts().get(found).copied()) {
            Some(part) => node = &part.node,
            None if matches!(node.kind, Kind::Plain(_)) => {
                let whole = wrap(rest, value);
                let indent = indent_of(text, node.span.start);
                return Ok(lines::splice(text, node.span.clone(), &style.write(&whole, indent)));
            }
            None => return Ok(insert(text, &style, node, &wrap(rest, value))),
        }
    }
    Ok(lines::splice(text, node.span.clone(), &style.write(value, indent_of(text, node.span.start))))
}

pub(super) fn remove(text: &str, path: &Path) -> Result<String, EditError> {
    let Some(root) = parse(text)? else { return Ok(text.to_owned()) };
    let Some((last, way)) = path.0.split_last() else { return Ok(text.to_owned()) };
    let mut node = &root;
    for step in way {
        match node.find(step).and_then(|found| node.parts().get(found).copied()) {
            Some(part) => node = &part.node,
            None => return Ok(text.to_owned()),
        }
    }
    let Some(index) = node.find(last) else { return Ok(text.to_owned()) };
    let text = take(text, node, index);
    // A name may stand there more than once.
    if matches!(last, Step::Key(_)) { remove(&text, path) } else { Ok(text) }
}

/// How the text is written.
struct Style {
    newline: &'static str,
    unit: String,
}

impl Style {
    fn of(text: &str, root: &Node) -> Self {
        let own = |part: &&Part| own_indent(text, part.start).filter(|indent| !indent.is_empty());
        let unit = root.parts().iter().find_map(own).unwrap_or("  ").to_owned();
        Self { newline: lines::newline(text), unit }
    }

    /// A value, its first line at the place and the others below `indent`.
    fn write(&self, value: &Value, indent: &str) -> String {
        let inner = [indent, &self.unit].concat();
        let several = |open: char, close: char, parts: Vec<String>| {
            if parts.is_empty() {
                return format!("{open}{close}");
            }
            let between = [",", self.newline, &inner].concat();
            [&open.to_string(), self.newline, &inner, &parts.join(&between), self.newline, indent, &close.to_string()]
                .concat()
        };
        match value {
            Value::Object(members) => {
                let parts =
                    members.iter().map(|(key, value)| format!("{}: {}", quoted(key), self.write(value, &inner)));
                several('{', '}', parts.collect())
            }
            Value::Array(entries) => several('[', ']', entries.iter().map(|entry| self.write(entry, &inner)).collect()),
            plain => plain.to_string(),
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// What stands before the first word of the line of a place.
fn indent_of(text: &str, place: usize) -> &str {
    let line = text.get(lines::start_of(text, place)..).unwrap_or_default();
    let end = line.find(|c| c != ' ' && c != '\t').unwrap_or(line.len());
    line.get(..end).unwrap_or_default()
}

/// The same, if the place is where that first word begins.
fn own_indent(text: &str, place: usize) -> Option<&str> {
    let indent = indent_of(text, place);
    (lines::start_of(text, place) + indent.len() == place).then_some(indent)
}

/// Puts a new last part into an object or a list: the one member or entry of `new`.
fn insert(text: &str, style: &Style, node: &Node, new: &Value) -> String {
    let entry = |indent: &str, flat: bool| {
        let write = |value: &Value| if flat { value.to_string() } else { style.write(value, indent) };
        let member = new.as_object().and_then(|members| members.iter().next());
        let entry = || new.as_array().and_then(|entries| entries.first()).map(write);
        member.map(|(key, value)| format!("{}: {}", quoted(key), write(value))).or_else(entry).unwrap_or_default()
    };
    let parts = node.parts();
    let end = node.span.end.saturating_sub(1);
    let Some(last) = parts.last() else {
        let around = indent_of(text, node.span.start);
        let indent = [around, &style.unit].concat();
        let inside = text.get(node.span.start + 1..end).unwrap_or_default();
        let kept = inside.trim_end();
        let glue = [style.newline, &indent].concat();
        let new = [kept, &glue, &entry(&indent, false), style.newline, around].concat();
        return lines::splice(text, node.span.start + 1..end, &new);
    };
    let Some(indent) = parts.first().and_then(|first| own_indent(text, first.start)) else {
        // All on one line.
        let (at, glue) = last.comma.map_or((last.node.span.end, ", "), |comma| (comma + 1, " "));
        return lines::splice(text, at..at, &[glue, &entry("", true)].concat());
    };
    let after = last.comma.map_or(last.node.span.end, |comma| comma + 1);
    // What is said about the last part on its line stays with it.
    let line = lines::end_of(text, after).min(end);
    let rest = text.get(after..line).unwrap_or_default().trim_end();
    let at = if only_comments(rest) { after + rest.len() } else { after };
    let trailing = if last.comma.is_some() { "," } else { "" };
    let new = [style.newline, indent, &entry(indent, false), trailing].concat();
    let text = lines::splice(text, at..at, &new);
    if last.comma.is_some() { text } else { lines::splice(&text, after..after, ",") }
}

/// Takes a part out, with its line if it has one of its own.
fn take(text: &str, node: &Node, index: usize) -> String {
    let parts = node.parts();
    let Some(part) = parts.get(index) else { return text.to_owned() };
    let end = part.comma.map_or(part.node.span.end, |comma| comma + 1);
    let start = match own_indent(text, part.start) {
        Some(indent) if rest_is_empty(text, end) => {
            let line = part.start - indent.len();
            let before = text.get(..line).unwrap_or_default();
            let newline = if before.ends_with("\r\n") { 2 } else { usize::from(before.ends_with('\n')) };
            line - newline
        }
        // On one line with others: the space before it goes too.
        _ => {
            let before = text.get(..part.start).unwrap_or_default();
            let spaces = before.len() - before.trim_end_matches([' ', '\t']).len();
            if index > 0 { part.start - spaces } else { part.start }
        }
    };
    let end = if index == 0 && start == part.start && parts.len() > 1 {
        let after = text.get(end..).unwrap_or_default();
        end + after.len() - after.trim_start_matches([' ', '\t']).len()
    } else {
        end
    };
    let text = lines::splice(text, start..end, "");
    let before = index.checked_sub(1).and_then(|index| parts.get(index)).and_then(|part| part.comma);
    // The one before it is the last one now.
    match before {
        Some(comma) if part.comma.is_none() && index + 1 == parts.len() => lines::splice(&text, comma..comma + 1, ""),
        _ => text,
    }
}

fn rest_is_empty(text: &str, place: usize) -> bool {
    text.get(place..lines::end_of(text, place)).is_none_or(|rest| rest.trim().is_empty())
}

/// Whether nothing but comments is in it, each closed or the rest of the line.
fn only_comments(rest: &str) -> bool {
    let rest = rest.trim();
    rest.is_empty()
        || rest.starts_with("//")
        || rest.strip_prefix("/*").and_then(|rest| rest.split_once("*/")).is_some_and(|(_, rest)| only_comments(rest))
}

/// Reads a text; nothing if nothing but comments is in it.
fn parse(text: &str) -> Result<Option<Node>, EditError> {
    let mut reader = Reader { text, at: 0 };
    reader.skip()?;
    if reader.at == text.len() {
        return Ok(None);
    }
    let root = reader.value(0)?;
    reader.skip()?;
    if reader.at < text.len() {
        return Err(reader.wrong("something stands behind the end"));
    }
    if matches!(root.kind, Kind::Plain(_)) {
        return Err(reader.wrong("it is neither an object nor a list"));
    }
    Ok(Some(root))
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn wrong(&self, why: &str) -> EditError {
        EditError::Unreadable { line: lines::number(self.text, self.at), why: why.to_owned() }
    }

    /// Passes spaces and comments.
    fn skip(&mut self) -> Result<(), EditError> {
        loop {
            let rest = self.rest();
            let spaces = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            self.at += spaces;
            let rest = self.rest();
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if let Some(inside) = rest.strip_prefix("/*") {
                let end = inside.find("*/").ok_or_else(|| self.wrong("a comment is never closed"))?;
                self.at += end + 4;
            } else if spaces == 0 {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, EditError> {
        if depth > MOST_DEPTH {
            return Err(self.wrong("it is nested too deeply"));
        }
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => Kind::Object(self.several(b'}', |reader| {
                if reader.peek() != Some(b'"') {
                    return Err(reader.wrong("a name in quotes must stand here"));
                }
                let name = reader.string()?;
                reader.skip()?;
                if reader.peek() != Some(b':') {
                    return Err(reader.wrong("a ':' is missing"));
                }
                reader.at += 1;
                reader.skip()?;
                Ok((name, reader.value(depth + 1)?))
            })?),
            Some(b'[') => {
                let parts = self.several(b']', |reader| Ok((String::new(), reader.value(depth + 1)?)))?;
                Kind::Array(parts.into_iter().map(|(_, part)| part).collect())
            }
            Some(b'"') => Kind::Plain(Value::String(self.string()?)),
            Some(_) => {
                let rest = self.rest();
                let end = rest.find([',', '}', ']', ' ', '\t', '\r', '\n', '/', ':']).unwrap_or(rest.len());
                let word = rest.get(..end).unwrap_or_default();
                let value = serde_json::from_str(word).map_err(|_| self.wrong("a value must stand here"))?;
                self.at += end;
                Kind::Plain(value)
            }
            None => return Err(self.wrong("it ends too early")),
        };
        Ok(Node { span: start..self.at, kind })
    }

    /// Reads parts up to the closing bracket.
    fn several(
        &mut self,
        close: u8,
        mut one: impl FnMut(&mut Self) -> Result<(String, Node), EditError>,
    ) -> Result<Vec<(String, Part)>, EditError> {
        let mut parts: Vec<(String, Part)> = Vec::new();
        self.at += 1;
        loop {
            self.skip()?;
            if self.peek() == Some(close) {
                self.at += 1;
                return Ok(parts);
            }
            if parts.last().is_some_and(|(_, part)| part.comma.is_none()) {
                return Err(self.wrong("a comma is missing"));
            }
            let start = self.at;
            let (name, node) = one(self)?;
            self.skip()?;
            let comma = (self.peek() == Some(b',')).then_some(self.at);
            self.at += usize::from(comma.is_some());
            parts.push((name, Part { start, node, comma }));
        }
    }

    fn string(&mut self) -> Result<String, EditError> {
        let inside = self.text.get(self.at + 1..).unwrap_or_default();
        let mut escaped = false;
        let end = inside.bytes().position(|byte| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        });
        let end = end.ok_or_else(|| self.wrong("a quote is never closed"))?;
        let written = self.text.get(self.at..self.at + end + 2).unwrap_or_default();
        let value = serde_json::from_str(written).map_err(|_| self.wrong("this text is not written as JSON"))?;
        self.at += end + 2;
        Ok(value)
    }
}
