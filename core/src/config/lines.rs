//! From keys to lines of the file, and from places in the text to keys.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fields;
use crate::model::check::Problem;

/// Where every key of the file stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// Line (from 1) by path: `channels.main.base_urls[0]`.
    lines: BTreeMap<String, usize>,
    /// Span of the value by path, to find the key of a wrong value.
    spans: Vec<(Range<usize>, String)>,
    /// Variables of the environment by the path that they set.
    variables: BTreeMap<String, String>,
}

impl Lines {
    /// Reads where everything stands.
    pub(super) fn of(text: &str, table: &DeTable<'_>) -> Self {
        let mut out = Self::default();
        let mut walk = Walk { starts: starts(text), out: &mut out };
        walk.table("", "", table);
        out
    }

    /// Remembers which variable set a key.
    pub(super) fn set_by(&mut self, path: String, variable: String) {
        self.variables.insert(path, variable);
    }

    /// The line of a path, or of the nearest thing around it.
    pub(super) fn line(&self, path: &str) -> Option<usize> {
        nearest(path, |path| self.lines.get(path).copied())
    }

    /// The key whose value stands around a place in the text.
    pub(super) fn path_at(&self, span: &Range<usize>) -> Option<&str> {
        self.spans
            .iter()
            .filter(|(own, _)| own.start <= span.start && span.end <= own.end)
            .min_by_key(|(own, path)| (own.len(), usize::MAX - path.len()))
            .map(|(_, path)| path.as_str())
    }

    /// Adds the line, or the variable, to a problem.
    pub(super) fn locate(&self, mut problem: Problem) -> Problem {
        if let Some(variable) = nearest(&problem.path, |path| self.variables.get(path).cloned()) {
            problem.message = format!("{} (set by {variable})", problem.message);
        } else if problem.line.is_none() {
            problem.line = self.line(&problem.path);
        }
        problem
    }
}

/// Looks a path up, then what is around it.
fn nearest<T>(path: &str, look: impl Fn(&str) -> Option<T>) -> Option<T> {
    let mut path = path;
    loop {
        if let Some(found) = look(path) {
            return Some(found);
        }
        path = path.get(..path.rfind(['.', '['])?)?;
    }
}

/// Where each line begins.
fn starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

struct Walk<'a> {
    starts: Vec<usize>,
    out: &'a mut Lines,
}

impl Walk<'_> {
    fn table(&mut self, section: &str, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref();
            // The two spellings of base addresses are one thing to whoever reports a problem.
            let shown = if section == "channels" && name == "base_url" { "base_urls" } else { name.as_ref() };
            let below = if path.is_empty() { shown.to_owned() } else { format!("{path}.{shown}") };
            self.note(&below, &key.span(), &value.span());
            if shown != name {
                self.note(&format!("{below}[0]"), &key.span(), &value.span());
                self.note(&format!("{path}.{name}"), &key.span(), &value.span());
            }
            self.value(&fields::below(section, name), &below, value);
        }
    }

    fn value(&mut self, section: &str, path: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(section, path, table),
            DeValue::Array(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    let below = entry_path(section, path, index, entry.get_ref());
                    self.note(&below, &entry.span(), &entry.span());
                    self.value(section, &below, entry);
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, path: &str, key: &Range<usize>, value: &Range<usize>) {
        if key.is_empty() && value.is_empty() {
            return;
        }
        let line = self.starts.partition_point(|start| *start <= key.start);
        self.out.lines.entry(path.to_owned()).or_insert(line);
        self.out.spans.push((key.start.min(value.start)..value.end.max(key.end), path.to_owned()));
    }
}

/// `channels.main`, or `channels[2]` for one without a name.
pub(super) fn entry_path(section: &str, path: &str, index: usize, entry: &DeValue<'_>) -> String {
    let name = fields::identity(section).and_then(|key| entry.as_table()?.get(key)?.get_ref().as_str());
    match name {
        Some(name) if !name.is_empty() => format!("{path}.{name}"),
        _ => format!("{path}[{index}]"),
    }
}
