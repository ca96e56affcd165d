//! YAML. Read by a real parser, which also tells where everything is; changed by whole lines, or in place where a value is on one line.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Value};

use super::{EditError, MOST_DEPTH, Path, Step, is_entry, lines, wrap};

/// Aliases may not make more than this of a small text.
const MOST_NODES: usize = 200_000;

/// A value and where it is, in bytes.
struct Node {
    start: usize,
    end: usize,
    /// Column where it begins, in characters.
    column: usize,
    flow: bool,
    /// A block of text below its key (`|`, `>`).
    block: bool,
    value: Value,
    kind: Kind,
}

enum Kind {
    Plain,
    Map(Vec<(Node, Node)>),
    List(Vec<Node>),
}

/// What a text means. Also for files that are only read.
pub(in crate::tools) fn read(text: &str) -> Result<Value, EditError> {
    Ok(match compose(text)?.map(|root| root.value) {
        None | Some(Value::Null) => Value::Object(Map::new()),
        Some(value) => value,
    })
}

pub(super) fn set(text: &str, path: &Path, value: &Value) -> Result<String, EditError> {
    let root = compose(text)?.filter(|root| !root.value.is_null());
    let Some(root) = root else {
        return Ok(lines::insert_lines(text, text.len(), &block(&wrap(&path.0, value), 0)));
    };
    let mut node = &root;
    let mut key: Option<&Node> = None;
    for (index, step) in path.0.iter().enumerate() {
        let way = path.0.get(index..).unwrap_or_default();
        match child(node, step) {
            Some((child_key, child)) => {
                key = child_key;
                node = child;
            }
            None => {
                return insert(text, key, node, &wrap(way, value)).ok_or_else(|| EditError::Unsafe(path.to_string()));
            }
        }
    }
    if !matches!(node.kind, Kind::Plain) || node.block || value.is_object() || value.is_array() {
        return set(&remove(text, path)?, path, value);
    }
    let written = scalar(value);
    if node.start < node.end {
        return Ok(lines::splice(text, node.start..node.end, &written));
    }
    let colon = key.and_then(|key| after_colon(text, key)).ok_or_else(|| EditError::Unsafe(path.to_string()))?;
    Ok(lines::splice(text, colon..colon, &format!(" {written}")))
}

pub(super) fn remove(text: &str, path: &Path) -> Result<String, EditError> {
    let Some(root) = compose(text)? else { return Ok(text.to_owned()) };
    let Some((last, way)) = path.0.split_last() else { return Ok(text.to_owned()) };
    let mut node = &root;
    let mut key: Option<&Node> = None;
    for step in way {
        match child(node, step) {
            Some((child_key, child)) => {
                key = child_key;
                node = child;
            }
            None => return Ok(text.to_owned()),
        }
    }
    let Some((own_key, own)) = child(node, last) else { return Ok(text.to_owned()) };
    let refuse = || EditError::Unsafe(path.to_string());
    if node.flow {
        return remove_in_flow(text, node, own_key.map_or(own.start, |key| key.start)).ok_or_else(refuse);
    }
    let begin = own_key.map_or(own.start, |key| key.start);
    let from = lines::start_of(text, begin);
    let to = content_end(text, own_key, own);
    let shorter = lines::splice(text, from..to, "");
    let alone = match &node.kind {
        Kind::Map(pairs) => pairs.len() == 1,
        Kind::List(entries) => entries.len() == 1,
        Kind::Plain => false,
    };
    match key {
        // Nothing in it is not the same as nothing there.
        Some(key) if alone => {
            let colon = after_colon(text, key).filter(|colon| *colon <= from).ok_or_else(refuse)?;
            let empty = if matches!(node.kind, Kind::List(_)) { " []" } else { " {}" };
            Ok(lines::splice(&shorter, colon..colon, empty))
        }
        _ => Ok(shorter),
    }
}

/// Takes a part out of `{…}` or `[…]`.
fn remove_in_flow(text: &str, node: &Node, begin: usize) -> Option<String> {
    let spans: Vec<(usize, usize)> = match &node.kind {
        Kind::Map(pairs) => pairs.iter().map(|(key, value)| (key.start, value.end.max(key.end))).collect(),
        Kind::List(entries) => entries.iter().map(|entry| (entry.start, entry.end)).collect(),
        Kind::Plain => return None,
    };
    let index = spans.iter().position(|(start, _)| *start == begin)?;
    let (start, end) = *spans.get(index)?;
    let range = match (spans.get(index + 1), index.checked_sub(1).and_then(|before| spans.get(before))) {
        (Some((next, _)), _) => start..*next,
        (None, Some((_, before))) => *before..end,
        (None, None) => start..end,
    };
    Some(lines::splice(text, range, ""))
}

/// Puts what a new value means into a map or a list that has room for it.
fn insert(text: &str, key: Option<&Node>, node: &Node, new: &Value) -> Option<String> {
    let part = match new {
        Value::Object(members) => {
            members.iter().next().map(|(key, value)| format!("{}: {value}", Value::from(key.as_str())))?
        }
        Value::Array(entries) => entries.first()?.to_string(),
        _ => return None,
    };
    let empty = match &node.kind {
        Kind::Map(pairs) => pairs.is_empty(),
        Kind::List(entries) => entries.is_empty(),
        Kind::Plain => node.value.is_null(),
    };
    if empty {
        let below = |column| block(new, column);
        let Some(key) = key else { return Some(lines::splice(text, node.start..node.end, &below(0))) };
        let colon = after_colon(text, key)?;
        // `key: []` or `key: null` on one line: the value goes, what is new stands below.
        let text = if node.start < node.end { lines::splice(text, colon..node.end, "") } else { text.to_owned() };
        return Some(lines::insert_lines(&text, lines::end_of(&text, colon), &below(key.column + 2)));
    }
    if node.flow {
        let last = match &node.kind {
            Kind::Map(pairs) => pairs.last().map(|(key, value)| value.end.max(key.end)),
            Kind::List(entries) => entries.last().map(|entry| entry.end),
            Kind::Plain => None,
        }?;
        return Some(lines::splice(text, last..last, &format!(", {part}")));
    }
    let place = match &node.kind {
        Kind::Map(pairs) => pairs.last().map(|(key, value)| content_end(text, Some(key), value)),
        Kind::List(entries) => entries.last().map(|entry| content_end(text, None, entry)),
        Kind::Plain => None,
    }?;
    Some(lines::insert_lines(text, place, &block(new, dash_column(text, node).unwrap_or(node.column))))
}

/// The column of the dashes of a list.
fn dash_column(text: &str, node: &Node) -> Option<usize> {
    let Kind::List(entries) = &node.kind else { return None };
    let first = entries.first()?.start;
    let before = text.get(lines::start_of(text, first)..first)?;
    before.rfind('-').and_then(|dash| before.get(..dash)).map(|indent| indent.chars().count())
}

/// Where the lines of a value end.
fn content_end(text: &str, key: Option<&Node>, node: &Node) -> usize {
    let end = match &node.kind {
        Kind::Map(pairs) if !node.flow => {
            return pairs
                .last()
                .map_or_else(|| lines::end_of(text, node.end), |(key, value)| content_end(text, Some(key), value));
        }
        Kind::List(entries) if !node.flow => {
            return entries
                .last()
                .map_or_else(|| lines::end_of(text, node.end), |entry| content_end(text, None, entry));
        }
        _ if node.start == node.end => key.map_or(node.end, |key| key.end),
        _ => node.end,
    };
    let done = text.get(..end).is_some_and(|before| before.ends_with('\n'));
    if node.block && done { end } else { lines::end_of(text, end) }
}

/// The place behind the colon of a key.
fn after_colon(text: &str, key: &Node) -> Option<usize> {
    let rest = text.get(key.end..)?;
    let spaces = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    rest.get(spaces..)?.starts_with(':').then_some(key.end + spaces + 1)
}

fn child<'n>(node: &'n Node, step: &Step) -> Option<(Option<&'n Node>, &'n Node)> {
    match (&node.kind, step) {
        (Kind::Map(pairs), Step::Key(name)) => {
            let pair = pairs.iter().rfind(|(key, _)| key.value.as_str() == Some(name));
            pair.map(|(key, value)| (Some(key), value))
        }
        (Kind::List(entries), Step::Entry { field, is }) => {
            entries.iter().find(|entry| is_entry(&entry.value, field, is)).map(|entry| (None, entry))
        }
        _ => None,
    }
}

/// A value as lines, each below `column`, without a line end behind the last.
fn block(value: &Value, column: usize) -> String {
    let indent = " ".repeat(column);
    match value {
        Value::Object(members) if !members.is_empty() => {
            let line = |(key, value): (&String, &Value)| {
                let key = scalar(&Value::from(key.as_str()));
                match value {
                    Value::Object(inner) if !inner.is_empty() => {
                        format!("{indent}{key}:\n{}", block(value, column + 2))
                    }
                    Value::Array(inner) if !inner.is_empty() => format!("{indent}{key}:\n{}", block(value, column + 2)),
                    plain => format!("{indent}{key}: {}", scalar(plain)),
                }
            };
            members.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Value::Array(entries) if !entries.is_empty() => {
            let entry = |entry: &Value| {
                let inner = block(entry, column + 2);
                format!("{indent}- {}", inner.get(column + 2..).unwrap_or_default())
            };
            entries.iter().map(entry).collect::<Vec<_>>().join("\n")
        }
        plain => format!("{indent}{}", scalar(plain)),
    }
}

/// A value on one line. JSON is YAML; a text that nobody could take for something else goes without quotes.
fn scalar(value: &Value) -> String {
    let plain = |text: &&str| {
        let safe = |c: char| c.is_ascii_alphanumeric() || "_-./@+".contains(c);
        let starts = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
        let address = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
        let told = address.chars().all(|c| safe(c) || c == ':') && !address.ends_with(':');
        starts && told && (address.len() < text.len() || address.chars().all(safe)) && typed(text).is_string()
    };
    match value.as_str().filter(plain) {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}

/// What a text without quotes means.
fn typed(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        // YAML 1.1, which many programs still read.
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Value::Bool(
                matches!(text.as_bytes().first(), Some(b'y' | b'Y')) || text.eq_ignore_ascii_case("on"),
            );
        }
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return text.into();
    }
    let digits = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = digits.parse::<i64>() {
        return whole.into();
    }
    match digits.parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
        Some(number) => Value::Number(number),
        None => text.into(),
    }
}

/// Reads a text into places. Nothing: there is nothing in it.
fn compose(text: &str) -> Result<Option<Node>, EditError> {
    let mut places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    places.push(text.len());
    let mut builder =
        Builder { text, places, anchors: HashMap::new(), left: MOST_NODES, events: Parser::new_from_str(text) };
    let mut root = None;
    while let Some((event, span)) = builder.next()? {
        match event {
            Event::StreamStart | Event::Nothing | Event::DocumentEnd => {}
            Event::StreamEnd => break,
            Event::DocumentStart(_) if root.is_some() => {
                return Err(builder.wrong(span, "there is more than one document in it"));
            }
            Event::DocumentStart(_) => {
                if let Some((event, span)) = builder.next()? {
                    root = Some(builder.node(event, span, 0)?);
                }
            }
            _ => return Err(builder.wrong(span, "this is not where it can be")),
        }
    }
    Ok(root)
}

struct Builder<'t> {
    text: &'t str,
    /// Where each character begins.
    places: Vec<usize>,
    anchors: HashMap<usize, Value>,
    left: usize,
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
}

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, EditError> {
        match self.events.next() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(why)) => Err(EditError::Unreadable { line: why.marker().line(), why: why.info().to_owned() }),
        }
    }

    fn wrong(&self, span: Span, why: &str) -> EditError {
        EditError::Unreadable { line: span.start.line(), why: why.to_owned() }
    }

    fn place(&self, index: usize) -> usize {
        self.places.get(index).copied().unwrap_or(self.text.len())
    }

    fn following(&mut self, span: Span) -> Result<(Event<'t>, Span), EditError> {
        self.next()?.ok_or_else(|| self.wrong(span, "it ends too early"))
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, EditError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| self.wrong(span, "there is too much in it"))?;
        if depth > MOST_DEPTH {
            return Err(self.wrong(span, "it is nested too deeply"));
        }
        let start = self.place(span.start.index());
        let first = self.text.as_bytes().get(start).copied();
        let mut node = Node {
            start,
            end: self.place(span.end.index()),
            column: span.start.col(),
            flow: matches!(first, Some(b'{' | b'[')),
            block: false,
            value: Value::Null,
            kind: Kind::Plain,
        };
        let anchor = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let untagged = style == ScalarStyle::Plain && tag.is_none();
                node.block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                node.flow = false;
                if node.block {
                    node.end = block_end(self.text, node.end);
                }
                node.value = if untagged { typed(&text) } else { text.into_owned().into() };
                anchor
            }
            Event::Alias(anchor) => {
                node.value = self.anchors.get(&anchor).cloned().unwrap_or_default();
                self.left = self.left.saturating_sub(size(&node.value));
                0
            }
            Event::SequenceStart(anchor, _) => {
                let mut entries = Vec::new();
                loop {
                    let (event, span) = self.following(span)?;
                    if event == Event::SequenceEnd {
                        node.end = self.place(span.end.index());
                        break;
                    }
                    entries.push(self.node(event, span, depth + 1)?);
                }
                node.value = entries.iter().map(|entry| entry.value.clone()).collect();
                node.kind = Kind::List(entries);
                anchor
            }
            Event::MappingStart(anchor, _) => {
                let mut pairs = Vec::new();
                loop {
                    let (event, span) = self.following(span)?;
                    if event == Event::MappingEnd {
                        node.end = self.place(span.end.index());
                        break;
                    }
                    let key = self.node(event, span, depth + 1)?;
                    let (event, span) = self.following(span)?;
                    pairs.push((key, self.node(event, span, depth + 1)?));
                }
                let name = |key: &Node| key.value.as_str().map_or_else(|| key.value.to_string(), str::to_owned);
                node.value = Value::Object(pairs.iter().map(|(key, value)| (name(key), value.value.clone())).collect());
                node.kind = Kind::Map(pairs);
                anchor
            }
            _ => return Err(self.wrong(span, "this is not where it can be")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.value.clone());
        }
        Ok(node)
    }
}

/// Where a block of text ends: the parser counts in the blanks before a comment that follows.
fn block_end(text: &str, end: usize) -> usize {
    let line = lines::start_of(text, end);
    if text.get(line..end).is_some_and(|before| before.trim().is_empty()) { line } else { end }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(size).sum::<usize>(),
        Value::Array(entries) => 1 + entries.iter().map(size).sum::<usize>(),
        _ => 1,
    }
}
