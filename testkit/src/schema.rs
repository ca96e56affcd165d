//! The smallest value that a JSON Schema accepts, made the same way every time.

use serde_json::{Map, Value, json};

/// How deep a schema is followed; recursive ones end in `null`.
const DEPTH: usize = 16;

/// An instance of `schema`. Required properties only, first choices always.
pub(crate) fn sample(schema: &Value) -> Value {
    build(schema, schema, 0)
}

fn build(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > DEPTH {
        return Value::Null;
    }
    let next = |inner: &Value| build(inner, root, depth + 1);
    if let Some(reference) = schema["$ref"].as_str() {
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map_or(Value::Null, next);
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(value) = schema["enum"].as_array().and_then(|list| list.first()) {
        return value.clone();
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(inner) = schema[key].as_array().and_then(|list| list.first()) {
            return next(inner);
        }
    }
    match type_of(schema).as_str() {
        "object" => object(schema, next),
        "array" => {
            let count = schema["minItems"].as_u64().unwrap_or(1).clamp(1, 8);
            let item = schema.get("items").map_or(json!("x"), next);
            (0..count).map(|_| item.clone()).collect()
        }
        "integer" => json!(schema["minimum"].as_i64().unwrap_or(1)),
        "number" => json!(schema["minimum"].as_f64().unwrap_or(1.5)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!("sample"),
    }
}

/// The type as a lower-case word; Gemini writes them in capitals, lists take their first entry.
fn type_of(schema: &Value) -> String {
    let word = match &schema["type"] {
        Value::String(word) => word.as_str(),
        Value::Array(words) => words.first().and_then(Value::as_str).unwrap_or_default(),
        _ if schema.get("properties").is_some() => "object",
        _ => "",
    };
    word.to_ascii_lowercase()
}

fn object(schema: &Value, next: impl Fn(&Value) -> Value) -> Value {
    let mut made = Map::new();
    let Some(properties) = schema["properties"].as_object() else { return Value::Object(made) };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, inner) in properties {
        if required.contains(&name.as_str()) {
            made.insert(name.clone(), next(inner));
        }
    }
    Value::Object(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_properties_are_filled_and_others_left_out() {
        let schema = json!({"type": "object", "required": ["a", "b", "c"], "properties": {
            "a": {"type": "STRING"}, "b": {"type": "array", "items": {"type": "integer"}}, "c": {"enum": ["x", "y"]}, "d": {"type": "string"},
        }});
        assert_eq!(sample(&schema), json!({"a": "sample", "b": [1], "c": "x"}));
    }

    #[test]
    fn references_are_followed_and_recursion_ends() {
        let schema = json!({"$ref": "#/$defs/node", "$defs": {"node": {
            "type": "object", "required": ["next"], "properties": {"next": {"$ref": "#/$defs/node"}},
        }}});
        assert!(sample(&schema).is_object());
    }
}
