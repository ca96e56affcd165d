//! JSON Schema → the OpenAPI subset, for hosts that do not know `parametersJsonSchema`.
//!
//! No constraint vanishes silently: what the subset cannot say is reported by keyword and place, and bounds that can be said in another way
//! are. References are put in place; recursive ones are cut after one round.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// A converted schema may not grow beyond this many nodes (or kilobytes of words and values): references can multiply.
const MOST_NODES: usize = 4_000;
/// How often one reference may stand inside itself.
const MOST_ROUNDS: usize = 1;
/// How deep a converted schema may be.
const DEEPEST: usize = 48;

/// Keywords that the subset knows as they are.
const KEPT: [&str; 10] = [
    "title",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
];
/// Keywords that say nothing about what is valid.
const SILENT: [&str; 14] = [
    "$schema",
    "$id",
    "$comment",
    "$anchor",
    "$defs",
    "definitions",
    "$vocabulary",
    "examples",
    "example",
    "default",
    "readOnly",
    "writeOnly",
    "deprecated",
    "propertyOrdering",
];
/// `format` words of the subset.
const FORMATS: [&str; 7] = ["float", "double", "int32", "int64", "enum", "date-time", "byte"];

/// A schema in the subset and what it no longer says: (pointer in the original, why).
#[derive(Debug, Default)]
pub(super) struct Converted {
    /// The schema.
    pub(super) schema: Value,
    /// One entry for each keyword that was lost, with the first place where it stood.
    pub(super) lost: Vec<(String, String)>,
}

/// Converts a whole schema.
pub(super) fn to_openapi(root: &Value) -> Converted {
    let mut work = Work { root, lost: Vec::new(), seen: BTreeSet::new(), nodes: 0, open: Vec::new() };
    let schema = work.convert(root, "", 0);
    Converted { schema, lost: work.lost }
}

/// Whether an object schema names no property: hosts refuse such `parameters`, so they are left out.
pub(super) fn is_empty_object(schema: &Value) -> bool {
    let Some(map) = schema.as_object() else { return false };
    let is_object =
        map.get("type").is_none_or(|kind| kind.as_str().is_some_and(|word| word.eq_ignore_ascii_case("object")));
    let empty = map.get("properties").and_then(Value::as_object).is_none_or(Map::is_empty);
    let open = ["anyOf", "oneOf", "allOf", "$ref", "patternProperties"].iter().any(|name| map.contains_key(*name))
        || map.get("additionalProperties").is_some_and(Value::is_object);
    is_object && empty && !open
}

struct Work<'s> {
    root: &'s Value,
    lost: Vec<(String, String)>,
    seen: BTreeSet<String>,
    nodes: usize,
    /// References that are being put in place.
    open: Vec<&'s str>,
}

impl<'s> Work<'s> {
    fn lose(&mut self, at: &str, keyword: &str, why: &str) {
        if self.seen.insert(format!("{keyword} {why}")) {
            self.lost.push((format!("{at}/{keyword}"), why.to_owned()));
        }
    }

    fn convert(&mut self, schema: &'s Value, at: &str, depth: usize) -> Value {
        self.nodes = self.nodes.saturating_add(1 + weight(schema));
        if self.nodes > MOST_NODES || depth > DEEPEST {
            self.lose(at, "", "schema is too large once its references are put in place: cut here");
            return json!({"type": "OBJECT"});
        }
        let Some(map) = schema.as_object() else { return json!({}) };
        if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
            return self.put_in_place(reference, map, at, depth);
        }
        let mut out = self.keywords(map, at, depth);
        for one in map.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            let one = self.convert(one, &format!("{at}/allOf"), depth + 1);
            self.merge(&mut out, one, at);
        }
        self.alternatives(map, &mut out, at, depth);
        finish(&mut out);
        Value::Object(out)
    }

    fn put_in_place(&mut self, reference: &'s str, map: &'s Map<String, Value>, at: &str, depth: usize) -> Value {
        let rounds = self.open.iter().filter(|open| **open == reference).count();
        let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        let mut out = match target {
            Some(target) if rounds <= MOST_ROUNDS => {
                self.open.push(reference);
                let converted = self.convert(target, at, depth + 1);
                self.open.pop();
                converted
            }
            Some(_) => {
                self.lose(at, "$ref", "recursive reference is cut after one round");
                json!({"type": "OBJECT"})
            }
            None => {
                self.lose(at, "$ref", "reference leads outside of the schema");
                json!({})
            }
        };
        // Words beside the reference say more about this place than its target does.
        if let Some(out) = out.as_object_mut() {
            for name in ["title", "description"] {
                if let Some(value) = map.get(name) {
                    out.insert(name.to_owned(), value.clone());
                }
            }
        }
        out
    }

    fn keywords(&mut self, map: &'s Map<String, Value>, at: &str, depth: usize) -> Map<String, Value> {
        let mut out = Map::new();
        // First, so that notes can be added to it.
        if let Some(text) = map.get("description") {
            out.insert("description".to_owned(), text.clone());
        }
        self.types(map, &mut out, at);
        for (key, value) in map {
            match key.as_str() {
                "description" | "type" | "$ref" | "allOf" | "anyOf" | "oneOf" => {}
                "enum" => self.values(value.as_array().map(Vec::as_slice).unwrap_or_default(), &mut out, at, "enum"),
                "const" => self.values(std::slice::from_ref(value), &mut out, at, "const"),
                "nullable" if value.is_boolean() => {
                    out.insert(key.clone(), value.clone());
                }
                "properties" => self.properties(value, &mut out, at, depth),
                "required" => {
                    out.insert(key.clone(), value.clone());
                }
                "items" if value.is_object() => {
                    let items = self.convert(value, &format!("{at}/items"), depth + 1);
                    out.insert(key.clone(), items);
                }
                "prefixItems" | "items" => self.tuple(value, &mut out, at, key, depth),
                "exclusiveMinimum" => self.exclusive(value, map, &mut out, at, ("exclusiveMinimum", "minimum", 1)),
                "exclusiveMaximum" => self.exclusive(value, map, &mut out, at, ("exclusiveMaximum", "maximum", -1)),
                "format" if value.as_str().is_some_and(|word| FORMATS.contains(&word)) => {
                    out.insert(key.clone(), value.clone());
                }
                "additionalProperties" if value == &Value::Bool(true) => {}
                known if KEPT.contains(&known) => {
                    out.insert(key.clone(), value.clone());
                }
                "examples" | "example" => {
                    let example = value.as_array().map_or(Some(value), |list| list.first());
                    if let Some(example) = example {
                        out.insert("example".to_owned(), example.clone());
                    }
                }
                known if SILENT.contains(&known) || known.starts_with("x-") => {}
                _ => self.lose(at, key, "keyword is not in the openapi subset"),
            }
        }
        self.keep_required(&mut out, at);
        out
    }

    /// `type` may be a list: `null` becomes `nullable`, more than one other type becomes `anyOf` (see [`Self::alternatives`]).
    fn types(&mut self, map: &'s Map<String, Value>, out: &mut Map<String, Value>, at: &str) {
        let list = match map.get("type") {
            Some(Value::String(word)) => vec![word.as_str()],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let named: Vec<&str> = list.iter().copied().filter(|word| *word != "null").collect();
        if named.len() < list.len() {
            out.insert("nullable".to_owned(), Value::Bool(true));
        }
        match named.as_slice() {
            [] => {
                if let Some(word) = implied_type(map) {
                    out.insert("type".to_owned(), word.into());
                } else if !list.is_empty() {
                    self.lose(at, "type", "the type null alone is taken for a nullable string");
                    out.insert("type".to_owned(), "STRING".into());
                }
            }
            [one] => {
                out.insert("type".to_owned(), one.to_ascii_uppercase().into());
            }
            several => {
                let branches = several.iter().map(|word| json!({"type": word.to_ascii_uppercase()}));
                out.insert("anyOf".to_owned(), branches.collect());
            }
        }
    }

    /// The subset takes `enum` for strings only.
    fn values(&mut self, values: &[Value], out: &mut Map<String, Value>, at: &str, keyword: &str) {
        let named: Vec<&Value> = values.iter().filter(|value| !value.is_null()).collect();
        if named.len() < values.len() {
            out.insert("nullable".to_owned(), Value::Bool(true));
        }
        if named.iter().all(|value| value.is_string()) {
            if !named.is_empty() {
                out.entry("type").or_insert_with(|| "STRING".into());
                out.insert("enum".to_owned(), named.into_iter().cloned().collect());
            }
            return;
        }
        if !out.contains_key("type") {
            let word = match named.first() {
                Some(Value::Bool(_)) => "BOOLEAN",
                Some(Value::Number(number)) if number.is_f64() => "NUMBER",
                Some(Value::Number(_)) => "INTEGER",
                Some(Value::Array(_)) => "ARRAY",
                Some(Value::Object(_)) => "OBJECT",
                _ => "STRING",
            };
            out.insert("type".to_owned(), word.into());
        }
        let words: Vec<String> = named.iter().map(|value| value.to_string()).collect();
        note(out, &format!("One of: {}.", words.join(", ")));
        self.lose(at, keyword, "only strings can be enumerated: the values are told in the description");
    }

    fn properties(&mut self, value: &'s Value, out: &mut Map<String, Value>, at: &str, depth: usize) {
        let mut properties = Map::new();
        for (name, schema) in value.as_object().into_iter().flatten() {
            let place = format!("{at}/properties/{name}");
            if schema == &Value::Bool(false) {
                self.lose(&place, "", "a property that must be absent cannot be told");
                continue;
            }
            let converted = self.convert(schema, &place, depth + 1);
            properties.insert(name.clone(), converted);
        }
        out.insert("properties".to_owned(), Value::Object(properties));
    }

    fn tuple(&mut self, value: &'s Value, out: &mut Map<String, Value>, at: &str, key: &str, depth: usize) {
        let Some(list) = value.as_array() else {
            if value == &Value::Bool(false) {
                self.lose(at, key, "the end of a tuple cannot be told");
            }
            return;
        };
        self.lose(at, key, "places of a tuple cannot be told apart: every element may be any of them");
        let branches: Vec<Value> =
            list.iter().map(|schema| self.convert(schema, &format!("{at}/{key}"), depth + 1)).collect();
        out.insert("items".to_owned(), json!({"anyOf": branches}));
    }

    /// Exclusive bounds of whole numbers can be said inclusively; others become inclusive with a loss.
    fn exclusive(
        &mut self,
        value: &Value,
        map: &Map<String, Value>,
        out: &mut Map<String, Value>,
        at: &str,
        (keyword, inclusive, step): (&str, &str, i64),
    ) {
        let whole = map.get("type").and_then(Value::as_str) == Some("integer");
        if let (true, Some(bound)) = (whole, value.as_i64()) {
            out.insert(inclusive.to_owned(), bound.saturating_add(step).into());
        } else if value.is_number() {
            out.insert(inclusive.to_owned(), value.clone());
            self.lose(at, keyword, "the bound itself is allowed in the openapi subset");
        } else if value == &Value::Bool(true) {
            // Draft 4 wrote the bound beside it.
            self.lose(at, keyword, "the bound itself is allowed in the openapi subset");
        }
    }

    /// Names in `required` without a property are refused.
    fn keep_required(&mut self, out: &mut Map<String, Value>, at: &str) {
        let Some(Value::Array(names)) = out.remove("required") else { return };
        let known = |name: &Value| {
            let properties = out.get("properties").and_then(Value::as_object);
            name.as_str().is_some_and(|name| properties.is_some_and(|properties| properties.contains_key(name)))
        };
        let kept: Vec<Value> = names.iter().filter(|name| known(name)).cloned().collect();
        if kept.len() < names.len() {
            self.lose(at, "required", "names a property that the schema does not describe");
        }
        if !kept.is_empty() {
            out.insert("required".to_owned(), Value::Array(kept));
        }
    }

    fn alternatives(&mut self, map: &'s Map<String, Value>, out: &mut Map<String, Value>, at: &str, depth: usize) {
        let mut branches: Vec<&'s Value> = Vec::new();
        for keyword in ["anyOf", "oneOf"] {
            let Some(list) = map.get(keyword).and_then(Value::as_array) else { continue };
            if keyword == "oneOf" && list.len() > 1 {
                self.lose(at, keyword, "more than one alternative may hold in the openapi subset");
            }
            branches.extend(list);
        }
        if branches.is_empty() {
            return;
        }
        let is_null = |branch: &Value| branch.get("type").and_then(Value::as_str) == Some("null");
        if branches.iter().any(|branch| is_null(branch)) {
            out.insert("nullable".to_owned(), Value::Bool(true));
        }
        let converted: Vec<Value> = branches
            .into_iter()
            .filter(|branch| !is_null(branch))
            .map(|branch| self.convert(branch, &format!("{at}/anyOf"), depth + 1))
            .collect();
        match <[Value; 1]>::try_from(converted) {
            Ok([only]) => self.merge(out, only, at),
            Err(several) if !several.is_empty() => {
                if out.shift_remove("anyOf").is_some() {
                    self.lose(at, "type", "a list of types beside alternatives cannot be told");
                }
                out.insert("anyOf".to_owned(), Value::Array(several));
            }
            Err(_) => {}
        }
    }

    /// Adds what another schema demands of the same value.
    fn merge(&mut self, out: &mut Map<String, Value>, other: Value, at: &str) {
        let Value::Object(other) = other else { return };
        for (key, value) in other {
            match (key.as_str(), out.get_mut(&key), value) {
                ("properties", Some(Value::Object(own)), Value::Object(more)) => own.extend(more),
                ("required", Some(Value::Array(own)), Value::Array(more)) => {
                    let fresh: Vec<Value> = more.into_iter().filter(|name| !own.contains(name)).collect();
                    own.extend(fresh);
                }
                (_, None, value) => {
                    out.insert(key, value);
                }
                (_, Some(own), value) if *own == value => {}
                ("title" | "description" | "nullable" | "example", Some(_), _) => {}
                (_, Some(_), _) => self.lose(at, &key, "demanded twice in different ways: the first one holds"),
            }
        }
    }
}

/// Kilobytes of what a node copies beside the schemas inside it.
fn weight(schema: &Value) -> usize {
    const SCHEMAS: [&str; 8] =
        ["properties", "items", "prefixItems", "anyOf", "oneOf", "allOf", "$defs", "definitions"];
    let own = schema.as_object().into_iter().flatten().filter(|(name, _)| !SCHEMAS.contains(&name.as_str()));
    own.map(|(_, value)| size(value)).fold(0, usize::saturating_add) / 1_024
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(size).fold(list.len(), usize::saturating_add),
        Value::Object(map) => map.iter().map(|(name, value)| name.len() + size(value)).fold(0, usize::saturating_add),
        _ => 8,
    }
}

/// The type that other keywords give away.
fn implied_type(map: &Map<String, Value>) -> Option<&'static str> {
    const SIGNS: [(&str, &str); 9] = [
        ("properties", "OBJECT"),
        ("additionalProperties", "OBJECT"),
        ("items", "ARRAY"),
        ("prefixItems", "ARRAY"),
        ("pattern", "STRING"),
        ("minLength", "STRING"),
        ("maxLength", "STRING"),
        ("minimum", "NUMBER"),
        ("maximum", "NUMBER"),
    ];
    SIGNS.iter().find(|(keyword, _)| map.contains_key(*keyword)).map(|row| row.1)
}

/// Adds a sentence to the description.
fn note(out: &mut Map<String, Value>, sentence: &str) {
    let text = match out.get("description").and_then(Value::as_str) {
        Some(text) if !text.is_empty() => format!("{text} {sentence}"),
        _ => sentence.to_owned(),
    };
    out.insert("description".to_owned(), text.into());
}

/// The rules of the subset that concern the whole node: a list names its items; beside `anyOf` nothing else may stand.
fn finish(out: &mut Map<String, Value>) {
    if out.get("type").and_then(Value::as_str) == Some("ARRAY") && !out.contains_key("items") {
        out.insert("items".to_owned(), json!({}));
    }
    let Some(Value::Array(branches)) = out.shift_remove("anyOf") else { return };
    let beside = std::mem::take(out);
    let branches = branches.into_iter().map(|branch| {
        let Value::Object(mut branch) = branch else { return branch };
        for (key, value) in &beside {
            // A type beside alternatives is what they have in common; properties beside them hold for each.
            match (key.as_str(), branch.get_mut(key)) {
                ("properties", Some(Value::Object(own))) => {
                    for (name, value) in value.as_object().into_iter().flatten() {
                        own.entry(name.clone()).or_insert_with(|| value.clone());
                    }
                }
                ("required", Some(Value::Array(own))) => {
                    let more = value.as_array().into_iter().flatten();
                    let fresh: Vec<Value> = more.filter(|name| !own.contains(name)).cloned().collect();
                    own.extend(fresh);
                }
                (_, Some(_)) => {}
                (_, None) => {
                    branch.insert(key.clone(), value.clone());
                }
            }
        }
        Value::Object(branch)
    });
    let branches: Vec<Value> = branches.collect();
    out.insert("anyOf".to_owned(), Value::Array(branches));
}
