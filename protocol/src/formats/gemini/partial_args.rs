//! Arguments of a call that Vertex streams piece by piece: `partialArgs[{jsonPath, stringValue | numberValue | …, willContinue}]`.

use serde_json::{Map, Value};

/// Indices and depths beyond these are no arguments of any tool.
const MOST_ITEMS: usize = 65_536;
/// A list is filled in order; a place further beyond its end than this would be a way to eat memory.
const LARGEST_GAP: usize = 16;
const DEEPEST: usize = 64;

/// The arguments of one call as they fill up.
#[derive(Debug, Default)]
pub(super) struct PartialArgs {
    args: Map<String, Value>,
    /// The string that goes on with the next piece.
    open: Option<String>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl PartialArgs {
    /// Takes arguments that came whole.
    pub(super) fn extend(&mut self, args: Map<String, Value>) {
        self.args.extend(args);
    }

    /// Takes one piece. Pieces that cannot be placed are left out.
    pub(super) fn take(&mut self, piece: &Value) {
        let Some(path) = piece.get("jsonPath").and_then(Value::as_str) else { return };
        let Some(steps) = steps(path) else { return };
        const KINDS: [&str; 4] = ["stringValue", "numberValue", "boolValue", "nullValue"];
        let Some((kind, value)) = KINDS.iter().find_map(|kind| Some((*kind, piece.get(*kind)?))) else { return };
        let goes_on = piece.get("willContinue").and_then(Value::as_bool).unwrap_or(false);
        let appends = kind == "stringValue" && self.open.as_deref() == Some(path);
        self.open = (goes_on && kind == "stringValue").then(|| path.to_owned());
        let Some(slot) = place(&mut self.args, &steps) else { return };
        match (slot, value) {
            (Value::String(own), Value::String(more)) if appends => own.push_str(more),
            // protobuf's NullValue is written as a word.
            (slot, _) if kind == "nullValue" => *slot = Value::Null,
            (slot, value) => *slot = value.clone(),
        }
    }

    /// The JSON text of what there is.
    pub(super) fn text(self) -> String {
        Value::Object(self.args).to_string()
    }
}

/// `$.a['b'][0].c` as steps. The root itself is no place.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() >= DEEPEST {
            return None;
        }
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (key, tail) = after.split_at_checked(end)?;
            steps.push(Step::Key(key.to_owned()));
            rest = tail;
        } else {
            let after = rest.strip_prefix('[')?;
            let quote = after.chars().next().filter(|letter| matches!(letter, '\'' | '"'));
            let (inner, tail) = match quote {
                Some(quote) => after.strip_prefix(quote)?.split_once(&format!("{quote}]"))?,
                None => after.split_once(']')?,
            };
            steps.push(match quote {
                Some(_) => Step::Key(inner.to_owned()),
                None => Step::Index(inner.parse().ok().filter(|index| *index < MOST_ITEMS)?),
            });
            rest = tail;
        }
    }
    matches!(steps.first()?, Step::Key(_)).then_some(steps)
}

fn place<'m>(args: &'m mut Map<String, Value>, steps: &[Step]) -> Option<&'m mut Value> {
    let (first, rest) = steps.split_first()?;
    let Step::Key(key) = first else { return None };
    let mut slot = args.entry(key.clone()).or_insert(Value::Null);
    for step in rest {
        slot = match step {
            Step::Key(key) => {
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                slot.as_object_mut()?.entry(key.clone()).or_insert(Value::Null)
            }
            Step::Index(index) => {
                if !slot.is_array() {
                    *slot = Value::Array(Vec::new());
                }
                let list = slot.as_array_mut()?;
                if *index > list.len().saturating_add(LARGEST_GAP) {
                    return None;
                }
                if list.len() <= *index {
                    list.resize(index + 1, Value::Null);
                }
                list.get_mut(*index)?
            }
        };
    }
    Some(slot)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn joined(pieces: &[Value]) -> Value {
        let mut args = PartialArgs::default();
        pieces.iter().for_each(|piece| args.take(piece));
        serde_json::from_str(&args.text()).unwrap()
    }

    #[test]
    fn strings_grow_and_everything_finds_its_place() {
        let got = joined(&[
            json!({"jsonPath": "$.location", "stringValue": "Bos", "willContinue": true}),
            json!({"jsonPath": "$.location", "stringValue": "ton", "willContinue": true}),
            json!({"jsonPath": "$.location", "stringValue": ""}),
            json!({"jsonPath": "$.list[1].deep['a.b']", "numberValue": 4.5}),
            json!({"jsonPath": "$.list[0]", "boolValue": true}),
            json!({"jsonPath": "$.nothing", "nullValue": "NULL_VALUE"}),
        ]);
        assert_eq!(got, json!({"location": "Boston", "list": [true, {"deep": {"a.b": 4.5}}], "nothing": null}));
    }

    #[test]
    fn a_finished_string_is_replaced_and_not_grown() {
        let got = joined(&[
            json!({"jsonPath": "$.a", "stringValue": "one"}),
            json!({"jsonPath": "$.a", "stringValue": "two"}),
        ]);
        assert_eq!(got, json!({"a": "two"}));
    }

    #[test]
    fn hostile_paths_are_left_out() {
        let deep = format!("$.a{}", "[0]".repeat(1_000));
        for path in ["", "$", "$[0]", "$.a[99999999]", "$.a[60000]", "$.a[", "$.a['", "$.ä]é[", &deep] {
            joined(&[json!({"jsonPath": path, "stringValue": "x"})]);
        }
        assert_eq!(joined(&[json!({"jsonPath": "$.a[99999999]", "stringValue": "x"})]), json!({}));
    }
}
