//! Places in a JSON body: `a.b[0]`, `a.*.b`, or a JSON pointer `/a/b/0`.

use crate::model::Told;
use crate::told;
use serde_json::{Map, Value};

/// A place in a JSON body; with `*` several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A field of an object, or a position in a list; `-` stands behind a list's end.
    Name(String),
    /// Every element of a list, every field of an object.
    Every,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// In words, if it names no place.
    pub(crate) fn parse(text: &str) -> Result<Self, Told> {
        let step = |part: &str| if part == "*" { Step::Every } else { Step::Name(part.to_owned()) };
        let steps: Vec<Step> = match text.strip_prefix('/') {
            Some(pointer) => pointer
                .split('/')
                .map(|part| match step(part) {
                    Step::Name(name) => Step::Name(name.replace("~1", "/").replace("~0", "~")),
                    every => every,
                })
                .collect(),
            None => text.replace('[', ".").replace(']', "").split('.').map(step).collect(),
        };
        if steps.iter().any(|step| *step == Step::Name(String::new())) {
            return Err(told!(
                "bad-path",
                "'{text}' is no path: write temperature, metadata.user, messages[0].role or /metadata/user",
                text = text
            ));
        }
        Ok(Self(steps))
    }

    /// The top-level field that the path begins in, unless it is any.
    pub(crate) fn top(&self) -> Option<&str> {
        match self.0.first()? {
            Step::Name(name) => Some(name),
            Step::Every => None,
        }
    }

    /// Whether it may name several places.
    pub(crate) fn is_many(&self) -> bool {
        self.0.contains(&Step::Every)
    }

    /// What is there; the first if there are several places.
    pub(crate) fn get<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        get(value, &self.0)
    }

    /// Writes `new` to the place; objects on the way are made. `only_absent`: not where something is. Gives whether anything changed.
    pub(crate) fn set(&self, value: &mut Value, new: &Value, only_absent: bool) -> bool {
        let mut changed = false;
        at_parents(value, &self.0, true, &mut |parent, name| {
            changed |= match parent {
                Value::Object(fields) => set_field(fields, name, new, only_absent),
                Value::Array(items) => set_item(items, name, new, only_absent),
                _ => false,
            };
        });
        changed
    }

    /// Takes away what is there, and gives the last of it.
    pub(crate) fn take(&self, value: &mut Value) -> Option<Value> {
        let mut taken = None;
        at_parents(value, &self.0, false, &mut |parent, name| match parent {
            Value::Object(fields) => taken = fields.shift_remove(name).or(taken.take()),
            Value::Array(items) => {
                if let Some(index) = position(items, name).filter(|index| *index < items.len()) {
                    taken = Some(items.remove(index));
                }
            }
            _ => {}
        });
        taken
    }

    /// Takes everything away that the path names. Gives whether there was anything.
    pub(crate) fn delete(&self, value: &mut Value) -> bool {
        if self.0.last() == Some(&Step::Every) {
            let mut changed = false;
            let parent = Self(self.0.iter().take(self.0.len() - 1).cloned().collect());
            let mut empty = |value: &mut Value| match value {
                Value::Array(items) => changed |= !std::mem::take(items).is_empty(),
                Value::Object(fields) => changed |= !std::mem::take(fields).is_empty(),
                _ => {}
            };
            parent.each(value, &mut empty);
            return changed;
        }
        self.take(value).is_some()
    }

    /// Calls `touch` with everything that is there.
    pub(crate) fn each(&self, value: &mut Value, touch: &mut dyn FnMut(&mut Value)) {
        each(value, &self.0, touch);
    }
}

fn get<'v>(value: &'v Value, steps: &[Step]) -> Option<&'v Value> {
    let Some((first, rest)) = steps.split_first() else { return Some(value) };
    match (first, value) {
        (Step::Name(name), Value::Object(fields)) => get(fields.get(name)?, rest),
        (Step::Name(name), Value::Array(items)) => get(items.get(position(items, name)?)?, rest),
        (Step::Every, Value::Array(items)) => items.iter().find_map(|item| get(item, rest)),
        (Step::Every, Value::Object(fields)) => fields.values().find_map(|item| get(item, rest)),
        _ => None,
    }
}

fn each(value: &mut Value, steps: &[Step], touch: &mut dyn FnMut(&mut Value)) {
    let Some((first, rest)) = steps.split_first() else { return touch(value) };
    match (first, value) {
        (Step::Name(name), Value::Object(fields)) => {
            if let Some(inner) = fields.get_mut(name) {
                each(inner, rest, touch);
            }
        }
        (Step::Name(name), Value::Array(items)) => {
            if let Some(inner) = position(items, name).and_then(|index| items.get_mut(index)) {
                each(inner, rest, touch);
            }
        }
        (Step::Every, Value::Array(items)) => items.iter_mut().for_each(|item| each(item, rest, touch)),
        (Step::Every, Value::Object(fields)) => fields.values_mut().for_each(|item| each(item, rest, touch)),
        _ => {}
    }
}

/// Calls `touch` with everything that holds the place, and the place's name in it. A path that ends in `*` has every element as its places.
fn at_parents(value: &mut Value, steps: &[Step], make: bool, touch: &mut dyn FnMut(&mut Value, &str)) {
    match steps {
        [] => {}
        [Step::Name(name)] => touch(value, name),
        [Step::Every] => {
            let names: Vec<String> = match value {
                Value::Array(items) => (0..items.len()).map(|index| index.to_string()).collect(),
                Value::Object(fields) => fields.keys().cloned().collect(),
                _ => Vec::new(),
            };
            for name in names {
                touch(value, &name);
            }
        }
        [Step::Every, rest @ ..] => match value {
            Value::Array(items) => items.iter_mut().for_each(|item| at_parents(item, rest, make, touch)),
            Value::Object(fields) => fields.values_mut().for_each(|item| at_parents(item, rest, make, touch)),
            _ => {}
        },
        [Step::Name(name), rest @ ..] => match value {
            Value::Object(fields) => {
                if make && !fields.contains_key(name) {
                    fields.insert(name.clone(), Value::Object(Map::new()));
                }
                if let Some(inner) = fields.get_mut(name) {
                    at_parents(inner, rest, make, touch);
                }
            }
            Value::Array(items) => {
                if let Some(inner) = position(items, name).and_then(|index| items.get_mut(index)) {
                    at_parents(inner, rest, make, touch);
                }
            }
            _ => {}
        },
    }
}

/// A position in a list: from the start, from the end (`-1`), or behind it (`-`).
fn position(items: &[Value], name: &str) -> Option<usize> {
    if name == "-" {
        return Some(items.len());
    }
    match name.strip_prefix('-') {
        Some(back) => items.len().checked_sub(back.parse().ok()?),
        None => name.parse().ok(),
    }
}

fn set_field(fields: &mut Map<String, Value>, name: &str, new: &Value, only_absent: bool) -> bool {
    match fields.get_mut(name) {
        Some(_) if only_absent => false,
        Some(old) if old == new => false,
        Some(old) => {
            old.clone_from(new);
            true
        }
        None => {
            fields.insert(name.to_owned(), new.clone());
            true
        }
    }
}

fn set_item(items: &mut Vec<Value>, name: &str, new: &Value, only_absent: bool) -> bool {
    let Some(index) = position(items, name) else { return false };
    if index == items.len() {
        items.push(new.clone());
        return true;
    }
    match items.get_mut(index) {
        Some(old) if !only_absent && old != new => {
            old.clone_from(new);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    #[test]
    fn places_are_found_however_they_are_written() {
        let body = json!({"a": {"b/c": [1, {"d": 2}]}, "list": [{"n": 1}, {"n": 2}]});
        for (text, found) in [
            ("/a/b~1c/1/d", Some(json!(2))),
            ("a.b/c[1].d", Some(json!(2))),
            ("a.b/c.-1.d", Some(json!(2))),
            ("list.*.n", Some(json!(1))),
            ("list[7].n", None),
            ("a.x", None),
        ] {
            assert_eq!(path(text).get(&body).cloned(), found, "{text}");
        }
        for wrong in ["", "a..b", "/", "a."] {
            assert!(Path::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn setting_makes_what_is_missing_and_says_whether_it_changed() {
        let mut body = json!({"list": [1]});
        assert!(path("a.b").set(&mut body, &json!(1), false));
        assert!(!path("a.b").set(&mut body, &json!(1), false), "the same value is no change");
        assert!(!path("a.b").set(&mut body, &json!(2), true));
        assert!(path("list.-").set(&mut body, &json!(2), false));
        assert!(!path("list[9]").set(&mut body, &json!(2), false));
        assert!(!path("list[0].x").set(&mut body, &json!(2), false), "a number holds no fields");
        assert_eq!(body, json!({"list": [1, 2], "a": {"b": 1}}));
    }

    #[test]
    fn stars_reach_everything() {
        let mut body =
            json!({"messages": [{"role": "user", "name": "x"}, {"role": "user", "name": "y"}], "tags": [1, 2]});
        assert!(path("messages.*.name").delete(&mut body));
        assert!(path("messages.*.k").set(&mut body, &json!(1), false));
        assert!(path("tags.*").delete(&mut body));
        assert!(!path("tags.*").delete(&mut body));
        assert_eq!(body, json!({"messages": [{"role": "user", "k": 1}, {"role": "user", "k": 1}], "tags": []}));
    }
}
