//! JSON Schemas as this wire takes them.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

/// The schema of a tool without parameters.
pub(crate) fn empty() -> Value {
    json!({ "type": "object", "properties": {} })
}

/// The schema of a free-text tool: one string `input`.
pub(crate) fn one_string() -> Value {
    json!({ "type": "object", "properties": { "input": { "type": "string" } }, "required": ["input"] })
}

/// Parameters of a tool: an object at the top, without alternatives there (the API refuses `anyOf`, `oneOf` and `allOf` at the top). The flag
/// says that alternatives were merged.
pub(crate) fn parameters(schema: Option<&Value>) -> (Cow<'_, Value>, bool) {
    const ALTERNATIVES: [&str; 3] = ["anyOf", "oneOf", "allOf"];
    let Some(whole @ Value::Object(schema)) = schema else { return (Cow::Owned(empty()), false) };
    let merge = ALTERNATIVES.iter().any(|word| schema.contains_key(*word));
    let typed = schema.get("type").is_some_and(|kind| kind == "object");
    if !merge && typed {
        return (Cow::Borrowed(whole), false);
    }
    let mut fixed = Map::new();
    fixed.insert("type".into(), "object".into());
    fixed.extend(schema.iter().filter(|(name, _)| *name != "type").map(|(name, value)| (name.clone(), value.clone())));
    for word in ALTERNATIVES {
        let Some(Value::Array(branches)) = fixed.shift_remove(word) else { continue };
        for branch in branches {
            merge_branch(&mut fixed, branch, word == "allOf");
        }
    }
    if !fixed.contains_key("properties") && !fixed.contains_key("$ref") {
        fixed.insert("properties".into(), json!({}));
    }
    (Cow::Owned(Value::Object(fixed)), merge)
}

/// Adds the properties of one alternative; only those of `allOf` stay required.
fn merge_branch(whole: &mut Map<String, Value>, branch: Value, all: bool) {
    let Value::Object(mut branch) = branch else { return };
    if let Some(Value::Object(properties)) = branch.shift_remove("properties") {
        let into = whole.entry("properties").or_insert_with(|| json!({}));
        for (name, schema) in properties {
            if let Some(into) = into.as_object_mut() {
                into.entry(name).or_insert(schema);
            }
        }
    }
    if all && let Some(Value::Array(required)) = branch.shift_remove("required") {
        let into = whole.entry("required").or_insert_with(|| json!([]));
        if let Some(into) = into.as_array_mut() {
            into.extend(required);
        }
    }
}

/// The schema of a structured answer: the API wants every object closed and takes no limits on numbers and lengths, which go into the
/// description. The flag says that something moved there.
pub(crate) fn output(schema: &Value) -> (Value, bool) {
    let mut schema = schema.clone();
    let moved = close(&mut schema, 0);
    (schema, moved)
}

fn close(schema: &mut Value, depth: usize) -> bool {
    const LIMITS: [&str; 12] = [
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "patternProperties",
    ];
    let Value::Object(schema) = schema else { return false };
    if depth > 64 {
        return false;
    }
    let mut moved: Vec<String> = Vec::new();
    for limit in LIMITS {
        if let Some(value) = schema.shift_remove(limit) {
            moved.push(format!("{limit}: {value}"));
        }
    }
    // Only 0 and 1 are taken.
    if schema.get("minItems").and_then(Value::as_u64).is_some_and(|least| least > 1)
        && let Some(value) = schema.shift_remove("minItems")
    {
        moved.push(format!("minItems: {value}"));
    }
    if !moved.is_empty() {
        let note = format!("{{{}}}", moved.join(", "));
        let said = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        let text = if said.is_empty() { note } else { format!("{said}\n\n{note}") };
        schema.insert("description".into(), text.into());
    }
    let mut any = !moved.is_empty();
    if schema.contains_key("properties") || schema.get("type").is_some_and(|kind| kind == "object") {
        let open = schema.insert("additionalProperties".into(), false.into());
        any |= open.is_some_and(|open| open != false);
    }
    for name in ["properties", "$defs", "definitions"] {
        for schema in schema.get_mut(name).and_then(Value::as_object_mut).into_iter().flatten() {
            any |= close(schema.1, depth + 1);
        }
    }
    for name in ["anyOf", "oneOf", "allOf"] {
        for schema in schema.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            any |= close(schema, depth + 1);
        }
    }
    if let Some(items) = schema.get_mut("items") {
        any |= close(items, depth + 1);
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_always_has_an_object_schema() {
        assert_eq!(*parameters(None).0, empty());
        assert_eq!(*parameters(Some(&json!({}))).0, empty());
        let whole = json!({"type": "object", "properties": {"a": {"type": "string"}}, "$schema": "x"});
        assert_eq!(parameters(Some(&whole)), (Cow::Borrowed(&whole), false));
    }

    #[test]
    fn alternatives_at_the_top_are_merged() {
        let schema = json!({"anyOf": [
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "number"}}},
        ]});
        let (merged, flattened) = parameters(Some(&schema));
        assert!(flattened);
        assert_eq!(
            *merged,
            json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "number"}}})
        );
    }

    #[test]
    fn an_output_schema_is_closed_and_limits_move_to_the_description() {
        let (schema, moved) = output(&json!({
            "type": "object",
            "properties": {"n": {"type": "integer", "minimum": 3, "description": "count"}, "l": {"type": "array", "items": {"type": "object"}}},
        }));
        assert!(moved);
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["properties"]["n"], json!({"type": "integer", "description": "count\n\n{minimum: 3}"}));
        assert_eq!(schema["properties"]["l"]["items"]["additionalProperties"], json!(false));
        let strict = json!({"type": "object", "properties": {}, "additionalProperties": false});
        assert_eq!(output(&strict), (strict, false));
    }
}
