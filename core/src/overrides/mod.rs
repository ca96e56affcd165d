//! Overrides, ready to be made: changes of bodies and headers, with templates and conditions.
//!
//! Pure: knows JSON, headers and what is told of the request ([`Scope`]); no provider, no network. A body is only parsed when a change or a condition
//! needs it, and only written anew when something really changed.

mod condition;
mod frames;
mod path;
mod template;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

pub(crate) use condition::fits;
pub(crate) use frames::FrameEditor;

use crate::model::Told;
use crate::model::{HeaderChanges, Override, OverrideSide};
use crate::told;
use condition::Condition;
use path::Path;
use template::Template;

/// What is known of a request, for templates and conditions.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The model that was asked for.
    pub model: &'a str,
    /// The provider's name of the model.
    pub upstream: &'a str,
    /// The channel.
    pub channel: &'a str,
    /// Its row of the catalog.
    pub provider: &'a str,
    /// The tool of the caller's key.
    pub tool: Option<&'a str>,
    /// The caller's key, by name.
    pub key: &'a str,
    /// The profile.
    pub profile: &'a str,
    /// The caller's format.
    pub format: &'a str,
    /// The format in which the provider is asked.
    pub upstream_format: &'a str,
    /// What is asked: `chat`, `embeddings`, `count-tokens` …
    pub surface: &'a str,
    /// The caller wants a stream.
    pub stream: bool,
    /// The caller's session.
    pub session: Option<&'a str>,
    /// The caller's trace.
    pub trace: Option<&'a str>,
    /// The request's id.
    pub request_id: &'a str,
    /// The caller's headers.
    pub headers: &'a HeaderMap,
}

/// Headers that the connection itself needs, or that hold credentials: no override touches them.
const FIXED_HEADERS: [&str; 7] =
    ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "content-encoding"];

/// Overrides whose paths, templates and conditions are read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    on: OverrideSide,
    when: Option<Condition>,
    body: Vec<BodyChange>,
    headers: Vec<HeaderChange>,
}

#[derive(Debug, Clone, PartialEq)]
enum BodyChange {
    Rename(Path, Path),
    Copy(Path, Path),
    Delete(Path),
    Set { path: Path, value: Template, only_absent: bool },
    Extend { path: Path, value: Template, front: bool },
}

#[derive(Debug, Clone, PartialEq)]
enum HeaderChange {
    Rename(HeaderName, HeaderName),
    Copy(HeaderName, HeaderName),
    Delete(HeaderName),
    Set { name: HeaderName, value: Template, only_absent: bool },
}

/// What is wrong with an override.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct OverrideError {
    /// Which field of it.
    pub field: String,
    /// In words.
    pub why: Told,
}

/// A body that is read into a tree only when that is needed.
#[derive(Debug)]
pub struct LazyBody {
    bytes: Bytes,
    tree: Option<Option<Value>>,
}

impl LazyBody {
    /// A body as it is.
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes, tree: None }
    }

    /// The tree; `None` if the body is no JSON object.
    fn tree(&mut self) -> Option<&Value> {
        self.parsed().as_ref()
    }

    fn parsed(&mut self) -> &mut Option<Value> {
        let bytes = &self.bytes;
        self.tree.get_or_insert_with(|| serde_json::from_slice(bytes).ok().filter(Value::is_object))
    }

    /// The body as it is now.
    fn write(self) -> Bytes {
        match self.tree.flatten().map(|tree| serde_json::to_vec(&tree)) {
            Some(Ok(bytes)) => bytes.into(),
            _ => self.bytes,
        }
    }
}

impl Overrides {
    /// Reads overrides.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn compile<'o>(overrides: impl IntoIterator<Item = &'o Override>) -> Result<Self, OverrideError> {
        Ok(Self { rules: overrides.into_iter().map(Rule::compile).collect::<Result<_, _>>()? })
    }

    /// Whether there are none for `side`.
    pub fn is_empty(&self, side: OverrideSide) -> bool {
        self.rules.iter().all(|rule| rule.on != side)
    }

    /// Whether any body field of `side` may change.
    pub fn touches_body(&self, side: OverrideSide) -> bool {
        self.rules.iter().any(|rule| rule.on == side && !rule.body.is_empty())
    }

    /// Makes the changes of `side` in a whole body and its headers. `None`: the body stays as it is.
    pub fn edit(&self, side: OverrideSide, scope: &Scope<'_>, body: Bytes, headers: &mut HeaderMap) -> Option<Bytes> {
        let mut lazy = LazyBody::new(body);
        let mut changed = false;
        for rule in self.rules.iter().filter(|rule| rule.on == side) {
            if rule.when.as_ref().is_some_and(|when| !when.holds(scope, &mut lazy)) {
                continue;
            }
            rule.edit_headers(scope, &mut lazy, headers);
            if !rule.body.is_empty()
                && rule.means(scope)
                && let Some(tree) = lazy.parsed()
            {
                changed |= rule.edit_body(scope, tree);
            }
        }
        changed.then(|| lazy.write())
    }

    /// Makes the changes of body fields of `side` in one value (an event of a stream). Gives whether anything changed.
    pub fn edit_value(&self, side: OverrideSide, scope: &Scope<'_>, value: &mut Value) -> bool {
        let mut changed = false;
        for rule in self.rules.iter().filter(|rule| rule.on == side && !rule.body.is_empty()) {
            let holds = rule.when.as_ref().is_none_or(|when| {
                let mut lazy = LazyBody { bytes: Bytes::new(), tree: Some(Some(std::mem::take(value))) };
                let holds = when.holds(scope, &mut lazy);
                *value = lazy.tree.flatten().unwrap_or_default();
                holds
            });
            changed |= holds && rule.means(scope) && rule.edit_body(scope, value);
        }
        changed
    }
}

impl Rule {
    fn compile(from: &Override) -> Result<Self, OverrideError> {
        let at = |field: &str, why: Told| OverrideError { field: field.to_owned(), why };
        let path = |field: &str, text: &str| Path::parse(text).map_err(|why| at(field, why));
        let single = |field: &str, text: &str| {
            let path = path(field, text)?;
            if path.is_many() {
                Err(at(field, told!("path-many", "'{text}' names several places: '*' cannot stand here", text = text)))
            } else {
                Ok(path)
            }
        };
        let value = |field: &str, name: &str, value: &Value| {
            Template::parse(value).map_err(|why| at(&format!("{field}.{name}"), why))
        };
        let mut body = Vec::new();
        for (from, to) in &from.rename {
            body.push(BodyChange::Rename(single("rename", from)?, single("rename", to)?));
        }
        for (from, to) in &from.copy {
            body.push(BodyChange::Copy(single("copy", from)?, path("copy", to)?));
        }
        for text in &from.delete {
            body.push(BodyChange::Delete(path("delete", text)?));
        }
        for (field, fields, only_absent) in [("default", &from.default, true), ("set", &from.set, false)] {
            for (text, new) in fields {
                let value = value(field, text, new)?;
                body.push(BodyChange::Set { path: path(field, text)?, value, only_absent });
            }
        }
        for (field, fields, front) in [("prepend", &from.prepend, true), ("append", &from.append, false)] {
            for (text, new) in fields {
                body.push(BodyChange::Extend { path: path(field, text)?, value: value(field, text, new)?, front });
            }
        }
        for change in &body {
            if let BodyChange::Set { path, .. } | BodyChange::Rename(_, path) | BodyChange::Copy(_, path) = change
                && from.on == OverrideSide::Request
                && path.top() == Some("stream")
            {
                return Err(at("set", told!("stream-own", "'stream' is the gateway's own to decide")));
            }
        }
        let when = from.when.as_ref().map(Condition::parse).transpose().map_err(|why| at("when", why))?;
        let headers = header_changes(&from.headers)?;
        if body.is_empty() && headers.is_empty() {
            return Err(at("set", told!("override-empty", "the override changes nothing")));
        }
        Ok(Self { on: from.on, when, body, headers })
    }

    /// Body fields of a conversation are meant unless the condition names a surface.
    fn means(&self, scope: &Scope<'_>) -> bool {
        scope.surface == "chat" || self.when.as_ref().is_some_and(Condition::names_surface)
    }

    fn edit_body(&self, scope: &Scope<'_>, tree: &mut Value) -> bool {
        let mut changed = false;
        for change in &self.body {
            changed |= match change {
                BodyChange::Rename(from, to) => match from.take(tree) {
                    Some(value) => {
                        to.set(tree, &value, false);
                        true
                    }
                    None => false,
                },
                BodyChange::Copy(from, to) => {
                    let value = from.get(tree).cloned();
                    value.is_some_and(|value| to.set(tree, &value, false))
                }
                BodyChange::Delete(path) => path.delete(tree),
                BodyChange::Set { path, value, only_absent } => {
                    value.render(scope, Some(tree)).is_some_and(|value| path.set(tree, &value, *only_absent))
                }
                BodyChange::Extend { path, value, front } => match value.render(scope, Some(tree)) {
                    Some(value) => extend(tree, path, &value, *front),
                    None => false,
                },
            };
        }
        changed
    }

    fn edit_headers(&self, scope: &Scope<'_>, body: &mut LazyBody, headers: &mut HeaderMap) {
        for change in &self.headers {
            match change {
                HeaderChange::Rename(from, to) => {
                    if let Some(value) = headers.remove(from) {
                        headers.insert(to.clone(), value);
                    }
                }
                HeaderChange::Copy(from, to) => {
                    if let Some(value) = headers.get(from).cloned() {
                        headers.insert(to.clone(), value);
                    }
                }
                HeaderChange::Delete(name) => {
                    headers.remove(name);
                }
                HeaderChange::Set { name, only_absent: true, .. } if headers.contains_key(name) => {}
                HeaderChange::Set { name, value, .. } => {
                    let tree = if value.reads_body() { body.tree() } else { None };
                    let text = match value.render(scope, tree) {
                        Some(Value::String(text)) => text,
                        Some(other) => other.to_string(),
                        None => continue,
                    };
                    if let Ok(value) = HeaderValue::try_from(text) {
                        headers.insert(name.clone(), value);
                    }
                }
            }
        }
    }
}

/// Puts values into the lists at `path`; an absent list is made. A list of values is put in one by one.
fn extend(tree: &mut Value, path: &Path, value: &Value, front: bool) -> bool {
    let new: Vec<Value> = match value {
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    };
    if !path.is_many() && path.get(tree).is_none() {
        return path.set(tree, &Value::Array(new), true);
    }
    let mut changed = false;
    path.each(tree, &mut |list| {
        if let Value::Array(items) = list {
            let at = if front { 0 } else { items.len() };
            items.splice(at..at, new.iter().cloned());
            changed = true;
        }
    });
    changed
}

fn header_changes(from: &HeaderChanges) -> Result<Vec<HeaderChange>, OverrideError> {
    let at = |field: &str, why: Told| OverrideError { field: format!("headers.{field}"), why };
    let name = |field: &str, text: &str| {
        let name = HeaderName::try_from(text)
            .map_err(|_| at(field, told!("no-header-name", "'{name}' is no header name", name = text)))?;
        if FIXED_HEADERS.contains(&name.as_str()) {
            return Err(at(
                field,
                told!("header-fixed", "'{name}' belongs to the connection and cannot be changed", name = text),
            ));
        }
        Ok(name)
    };
    let mut all = Vec::new();
    for (from, to) in &from.rename {
        all.push(HeaderChange::Rename(name("rename", from)?, name("rename", to)?));
    }
    for (from, to) in &from.copy {
        all.push(HeaderChange::Copy(name("copy", from)?, name("copy", to)?));
    }
    for text in &from.delete {
        all.push(HeaderChange::Delete(name("delete", text)?));
    }
    for (field, fields, only_absent) in [("default", &from.default, true), ("set", &from.set, false)] {
        for (text, new) in fields {
            let value = Template::parse(&Value::from(new.as_str())).map_err(|why| at(field, why))?;
            if matches!(&value, Template::Fixed(_)) && HeaderValue::try_from(new.as_str()).is_err() {
                return Err(at(
                    field,
                    told!("header-value-of", "the value of '{name}' cannot stand in a header", name = text),
                ));
            }
            all.push(HeaderChange::Set { name: name(field, text)?, value, only_absent });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
