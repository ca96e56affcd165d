//! Changing a few values of a text that belongs to someone else: comments, order, line ends, indentation and every other value stay.
//!
//! Pure: bytes in, bytes out. An edit is checked before it is given out: what the new text means must be what the old one meant and the
//! edits, nothing else. A text that cannot be read, or where this cannot be held, is refused.

mod dotenv;
mod jsonc;
mod lines;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod toml;
mod yaml;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Nested deeper than this is no configuration.
const MOST_DEPTH: usize = 64;
/// Larger than this is no configuration.
const MOST_BYTES: usize = 16 << 20;
/// What some editors put before UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON, with or without comments and commas at the end.
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
    /// `NAME=value` lines.
    Env,
}

/// One step into a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Step {
    /// The member of that name.
    Key(String),
    /// The entry of a list whose member `field` is the text `is`.
    Entry {
        /// Name of the member.
        field: String,
        /// Its text.
        is: String,
    },
}

/// Where a value is. `env/ANTHROPIC_BASE_URL`, `models/[name=Myelin]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// Reads the notation.
    pub fn parse(text: &str) -> Self {
        let step = |part: &str| {
            let entry =
                part.strip_prefix('[').and_then(|part| part.strip_suffix(']')).and_then(|part| part.split_once('='));
            match entry {
                Some((field, is)) => Step::Entry { field: field.to_owned(), is: is.to_owned() },
                None => Step::Key(part.to_owned()),
            }
        };
        Self(text.split('/').map(step).collect())
    }

    /// The same path with every text changed.
    #[must_use]
    pub fn map(&self, change: impl Fn(&str) -> String) -> Self {
        let step = |step: &Step| match step {
            Step::Key(key) => Step::Key(change(key)),
            Step::Entry { field, is } => Step::Entry { field: field.clone(), is: change(is) },
        };
        Self(self.0.iter().map(step).collect())
    }

    /// Every container on the way, the innermost first.
    pub fn containers(&self) -> impl Iterator<Item = Self> + '_ {
        (1..self.0.len()).rev().filter_map(|end| self.0.get(..end).map(|steps| Self(steps.to_vec())))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match step {
                Step::Key(key) => write!(f, "{dot}{key}")?,
                Step::Entry { field, is } => write!(f, "[{field}={is}]")?,
            }
        }
        Ok(())
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// The value at the path becomes this; what is missing on the way is made.
    Set(Path, Value),
    /// The value at the path goes, if it is there.
    Remove(Path),
    /// The object or list at the path goes if nothing is in it, an entry of a list if nothing but its name is.
    Prune(Path),
}

/// A text cannot be edited. It was not touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It cannot be read.
    #[error("line {line}: {why}")]
    Unreadable {
        /// Where, from 1.
        line: usize,
        /// Why.
        why: String,
    },
    /// It is not text in UTF-8.
    #[error("it is not text in UTF-8")]
    NotText,
    /// It is too large for a configuration.
    #[error("it is larger than {} MiB", MOST_BYTES >> 20)]
    TooLarge,
    /// Something else stands where an object or a list must be.
    #[error("'{0}' is not what it should be: something else stands there")]
    Shape(String),
    /// It could not be changed without changing what else is in it.
    #[error("it cannot be changed without touching what else is in it: set '{0}' by hand")]
    Unsafe(String),
}

/// What a text means. Nothing in it means an empty object.
///
/// # Errors
/// When it cannot be read.
pub fn read(format: Format, bytes: &[u8]) -> Result<Value, EditError> {
    parse(format, text_of(bytes)?.1)
}

/// Makes changes. Changes nothing but what the edits say; the same bytes come back if they say nothing new.
///
/// # Errors
/// When the text cannot be read, or the edits cannot be made without touching anything else.
pub fn apply(format: Format, bytes: &[u8], edits: &[Edit]) -> Result<Vec<u8>, EditError> {
    let (bom, text) = text_of(bytes)?;
    let mut meaning = parse(format, text)?;
    let mut text = text.to_owned();
    let mut last = None;
    for edit in edits {
        let before = meaning.clone();
        let path = change(&mut meaning, edit)?;
        if meaning == before {
            continue;
        }
        last = Some(path);
        text = match edit {
            Edit::Set(path, value) => set(format, &text, path, value)?,
            Edit::Remove(path) | Edit::Prune(path) => remove(format, &text, path)?,
        };
    }
    if let Some(path) = last
        && parse(format, &text).ok().as_ref() != Some(&meaning)
    {
        return Err(EditError::Unsafe(path.to_string()));
    }
    let mut out = Vec::with_capacity(text.len() + BOM.len());
    out.extend_from_slice(if bom { BOM } else { b"" });
    out.extend_from_slice(text.as_bytes());
    Ok(out)
}

/// The value at a path.
pub fn at<'v>(value: &'v Value, path: &Path) -> Option<&'v Value> {
    path.0.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.as_object()?.get(key),
        Step::Entry { field, is } => value.as_array()?.iter().find(|entry| is_entry(entry, field, is)),
    })
}

fn is_entry(entry: &Value, field: &str, is: &str) -> bool {
    entry.get(field).and_then(Value::as_str) == Some(is)
}

/// The value with the way to it around it: objects with one member, lists with one entry that says which one it is.
fn wrap(way: &[Step], value: &Value) -> Value {
    way.iter().rev().fold(value.clone(), |value, step| match step {
        Step::Key(key) => Value::Object(Map::from_iter([(key.clone(), value)])),
        Step::Entry { field, is } => Value::Array(vec![match value {
            Value::Object(mut members) if !members.contains_key(field) => {
                members.shift_insert(0, field.clone(), is.as_str().into());
                Value::Object(members)
            }
            other => other,
        }]),
    })
}

fn text_of(bytes: &[u8]) -> Result<(bool, &str), EditError> {
    if bytes.len() > MOST_BYTES {
        return Err(EditError::TooLarge);
    }
    let (bom, bytes) = match bytes.strip_prefix(BOM) {
        Some(rest) => (true, rest),
        None => (false, bytes),
    };
    std::str::from_utf8(bytes).map(|text| (bom, text)).map_err(|_| EditError::NotText)
}

fn parse(format: Format, text: &str) -> Result<Value, EditError> {
    match format {
        Format::Json => jsonc::read(text),
        Format::Toml => toml::read(text),
        Format::Yaml => yaml::read(text),
        Format::Env => dotenv::read(text),
    }
}

fn set(format: Format, text: &str, path: &Path, value: &Value) -> Result<String, EditError> {
    match format {
        Format::Json => jsonc::set(text, path, value),
        Format::Toml => toml::set(text, path, value),
        Format::Yaml => yaml::set(text, path, value),
        Format::Env => dotenv::set(text, path, value),
    }
}

fn remove(format: Format, text: &str, path: &Path) -> Result<String, EditError> {
    match format {
        Format::Json => jsonc::remove(text, path),
        Format::Toml => toml::remove(text, path),
        Format::Yaml => yaml::remove(text, path),
        Format::Env => dotenv::remove(text, path),
    }
}

/// Makes an edit in what a text means: what the text must mean afterwards. Gives the edit's path.
fn change<'e>(value: &mut Value, edit: &'e Edit) -> Result<&'e Path, EditError> {
    match edit {
        Edit::Set(path, new) => {
            *reach(value, path)? = new.clone();
            Ok(path)
        }
        Edit::Remove(path) => {
            take(value, path);
            Ok(path)
        }
        Edit::Prune(path) => {
            let empty = |value: &Value| match value {
                // An entry that says no more than which one it is.
                Value::Object(members) => match path.0.last() {
                    Some(Step::Entry { field, .. }) => members.keys().all(|key| key == field),
                    _ => members.is_empty(),
                },
                Value::Array(entries) => entries.is_empty(),
                _ => false,
            };
            if at(value, path).is_some_and(empty) {
                take(value, path);
            }
            Ok(path)
        }
    }
}

/// The place of a value, made if it is not there.
fn reach<'v>(value: &'v mut Value, path: &Path) -> Result<&'v mut Value, EditError> {
    let mut here = value;
    for (index, step) in path.0.iter().enumerate() {
        let shape = || EditError::Shape(Path(path.0.get(..index).unwrap_or_default().to_vec()).to_string());
        let nothing = here.is_null() || (index == 0 && here.as_object().is_some_and(Map::is_empty));
        here = match step {
            Step::Key(key) => {
                if nothing {
                    *here = Value::Object(Map::new());
                }
                here.as_object_mut().ok_or_else(shape)?.entry(key.clone()).or_insert(Value::Null)
            }
            Step::Entry { field, is } => {
                if nothing {
                    *here = Value::Array(Vec::new());
                }
                let entries = here.as_array_mut().ok_or_else(shape)?;
                let found = entries.iter().position(|entry| is_entry(entry, field, is));
                let index = found.unwrap_or_else(|| {
                    entries.push(serde_json::json!({ field: is }));
                    entries.len() - 1
                });
                entries.get_mut(index).ok_or_else(shape)?
            }
        };
    }
    Ok(here)
}

fn take(value: &mut Value, path: &Path) {
    let Some((last, way)) = path.0.split_last() else { return };
    let mut here = value;
    for step in way {
        let next = match step {
            Step::Key(key) => here.as_object_mut().and_then(|members| members.get_mut(key)),
            Step::Entry { field, is } => {
                here.as_array_mut().and_then(|entries| entries.iter_mut().find(|entry| is_entry(entry, field, is)))
            }
        };
        let Some(next) = next else { return };
        here = next;
    }
    match (last, here) {
        (Step::Key(key), Value::Object(members)) => {
            members.shift_remove(key);
        }
        (Step::Entry { field, is }, Value::Array(entries)) => {
            if let Some(index) = entries.iter().position(|entry| is_entry(entry, field, is)) {
                entries.remove(index);
            }
        }
        _ => {}
    }
}
