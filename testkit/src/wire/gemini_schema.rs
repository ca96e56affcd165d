//! The OpenAPI subset that Gemini takes in `parameters` and `responseSchema`.

use serde_json::Value;

use crate::refusal::{Refusal, Verdict, object, require};
use crate::wire::gemini::camel_word;

const KEYWORDS: &[&str] = &[
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "enum",
    "maxItems",
    "minItems",
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "example",
    "anyOf",
    "propertyOrdering",
    "default",
    "items",
    "minimum",
    "maximum",
];
const FORMATS: &[(&str, &[&str])] =
    &[("STRING", &["enum", "date-time"]), ("NUMBER", &["float", "double"]), ("INTEGER", &["int32", "int64"])];

/// Checks a schema and what is in it.
pub(crate) fn check(schema: &Value, path: &str) -> Verdict {
    let map = object(schema, path)?;
    if let Some(unknown) = map.keys().find(|key| !KEYWORDS.contains(&camel_word(key).as_str())) {
        let message =
            format!("Invalid JSON payload received. Unknown name \"{unknown}\" at '{path}': Cannot find field.");
        return Err(Refusal::new("gemini-schema-keyword", message).at(format!("{path}.{unknown}")));
    }
    let kind = match &schema["type"] {
        Value::String(word) => word.to_ascii_uppercase(),
        Value::Null => String::new(),
        _ => {
            let message = format!(
                "Invalid value at '{path}.type' (type.googleapis.com/google.ai.generativelanguage.v1beta.Type), Proto field is not repeating, cannot start list."
            );
            return Err(Refusal::new("gemini-schema-type", message));
        }
    };
    let types = ["", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"];
    require(types.contains(&kind.as_str()), "gemini-schema-type", || {
        format!("Invalid value at '{path}.type': {kind}")
    })?;
    if let Some(format) = schema["format"].as_str() {
        let fine = FORMATS.iter().any(|(of, formats)| *of == kind && formats.contains(&format));
        require(fine, "gemini-schema-format", || {
            format!(
                "{path}.format: only 'enum' and 'date-time' are supported for STRING type, found '{format}' for {kind}"
            )
        })?;
    }
    for value in schema["enum"].as_array().into_iter().flatten() {
        require(value.is_string(), "gemini-schema-enum", || {
            format!("Invalid value at '{path}.enum' (TYPE_STRING), {value}")
        })?;
        require(value != "", "gemini-schema-enum", || format!("{path}.enum: cannot be empty"))?;
    }
    require(schema["enum"].is_null() || kind == "STRING" || kind.is_empty(), "gemini-schema-enum", || {
        format!("{path}.enum: only allowed for STRING type")
    })?;
    require(kind != "ARRAY" || schema["items"].is_object(), "gemini-schema-items", || {
        format!("{path}.items: missing field.")
    })?;
    let properties = schema["properties"].as_object();
    require(
        kind != "OBJECT" || properties.is_none_or(|properties| !properties.is_empty()),
        "gemini-schema-empty-object",
        || format!("{path}.properties: should be non-empty for OBJECT type"),
    )?;
    for (name, inner) in properties.into_iter().flatten() {
        check(inner, &format!("{path}.properties[{name}]"))?;
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        require(properties.is_some_and(|properties| properties.contains_key(name)), "gemini-schema-required", || {
            format!("{path}.required: property is not defined: {name}")
        })?;
    }
    if let Some(items) = map.get("items") {
        check(items, &format!("{path}.items"))?;
    }
    for (at, inner) in schema["anyOf"].as_array().into_iter().flatten().enumerate() {
        check(inner, &format!("{path}.any_of[{at}]"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_schema_beyond_the_subset_is_refused_by_its_keyword() {
        // Google's own package writes these keywords in snake case.
        check(&json!({"type": "OBJECT", "properties": {"a": {"type": "string"}}, "required": ["a"], "property_ordering": ["a"]}), "p").unwrap();
        let cases = [
            (json!({"type": "object", "additionalProperties": false}), "gemini-schema-keyword"),
            (json!({"type": "object", "properties": {"a": {"$ref": "#/x"}}}), "gemini-schema-keyword"),
            (json!({"type": ["string", "null"]}), "gemini-schema-type"),
            (json!({"type": "string", "format": "uri"}), "gemini-schema-format"),
            (json!({"type": "string", "enum": [1]}), "gemini-schema-enum"),
            (json!({"type": "array"}), "gemini-schema-items"),
            (json!({"type": "object", "properties": {}}), "gemini-schema-empty-object"),
            (
                json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]}),
                "gemini-schema-required",
            ),
        ];
        for (schema, rule) in cases {
            assert_eq!(check(&schema, "p").unwrap_err().rule, rule, "{schema}");
        }
    }
}
