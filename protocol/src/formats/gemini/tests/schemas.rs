use serde_json::{Value, json};

use super::{fields, function, request, user, write};
use crate::Dialect;
use crate::ir::{ChatRequest, Loss, OutputFormat};

fn subset() -> Dialect {
    Dialect { openapi_schema: true, ..Dialect::default() }
}

fn converted(schema: Value) -> (Value, Vec<Loss>) {
    let request = ChatRequest { tools: vec![function("f", schema)], ..request("m", vec![user("q")]) };
    let (wire, losses) = write(&request, &subset());
    (wire["tools"][0]["functionDeclarations"][0]["parameters"].clone(), losses)
}

fn property(schema: Value) -> (Value, Vec<Loss>) {
    let (wire, losses) = converted(json!({"type": "object", "properties": {"p": schema}}));
    (wire["properties"]["p"].clone(), losses)
}

#[test]
fn case_19_json_schema_goes_as_it_is_where_it_is_known() {
    let schema = json!({"$schema": "x", "type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"const": 5}}, "additionalProperties": false});
    let request = ChatRequest {
        tools: vec![function("f", schema.clone())],
        output: Some(OutputFormat::JsonSchema {
            name: "n".into(),
            description: None,
            schema: schema.clone(),
            strict: Some(true),
        }),
        ..request("m", vec![user("q")])
    };
    let (wire, losses) = write(&request, &Dialect::default());
    assert_eq!(wire["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"], schema);
    assert_eq!(wire["generationConfig"]["responseJsonSchema"], schema);
    assert!(losses.is_empty());
    let (wire, losses) = write(&request, &subset());
    assert_eq!(wire["generationConfig"]["responseSchema"]["type"], "OBJECT");
    assert!(losses.iter().any(|loss| loss.field.starts_with("output.schema")));
}

#[test]
fn case_19_references_are_put_in_place() {
    let (schema, losses) = converted(json!({
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/Point", "description": "where"},
            "b": {"type": "array", "items": {"$ref": "#/definitions/Name"}}
        },
        "$defs": {"Point": {"type": "object", "description": "a point", "properties": {"x": {"type": "number"}}}},
        "definitions": {"Name": {"type": "string", "minLength": 1}}
    }));
    assert_eq!(
        schema,
        json!({"type": "OBJECT", "properties": {
            "a": {"type": "OBJECT", "properties": {"x": {"type": "NUMBER"}}, "description": "where"},
            "b": {"type": "ARRAY", "items": {"type": "STRING", "minLength": 1}}
        }})
    );
    assert!(losses.is_empty());
}

#[test]
fn case_19_recursion_is_cut_with_a_loss() {
    let (schema, losses) = converted(json!({
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/Node"}},
        "$defs": {"Node": {"type": "object", "properties": {"name": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}}}}
    }));
    let second = &schema["properties"]["root"]["properties"]["next"];
    assert_eq!(second["properties"]["name"]["type"], "STRING");
    assert_eq!(second["properties"]["next"], json!({"type": "OBJECT"}));
    assert_eq!(losses.len(), 1);
    let (_, losses) = converted(json!({"type": "object", "properties": {"a": {"$ref": "#"}}}));
    assert_eq!(losses.len(), 1);
    let (_, losses) = property(json!({"$ref": "other.json#/x"}));
    assert_eq!(losses.len(), 1);
}

#[test]
fn references_that_multiply_are_cut_and_do_not_hang() {
    let mut defs = serde_json::Map::new();
    for level in 0..40 {
        let next = json!({"$ref": format!("#/$defs/L{}", level + 1)});
        defs.insert(format!("L{level}"), json!({"type": "object", "properties": {"a": next, "b": next, "c": next}}));
    }
    let (schema, losses) =
        converted(json!({"type": "object", "properties": {"x": {"$ref": "#/$defs/L0"}}, "$defs": defs}));
    assert!(schema.to_string().len() < 2_000_000);
    assert!(losses.iter().any(|loss| loss.why.contains("too large")));
}

#[test]
fn long_lists_of_values_count_against_the_size() {
    let values: Vec<String> = (0..20_000).map(|number| format!("value-{number}")).collect();
    let uses: serde_json::Map<String, Value> =
        (0..500).map(|number| (format!("p{number}"), json!({"$ref": "#/$defs/Long"}))).collect();
    let schema = json!({"type": "object", "properties": uses, "$defs": {"Long": {"enum": values}}});
    let (schema, losses) = converted(schema);
    assert!(schema.to_string().len() < 10_000_000);
    assert!(losses.iter().any(|loss| loss.why.contains("too large")));
}

#[test]
fn case_19_null_const_and_lists_of_types_find_words() {
    for (schema, expected) in [
        (json!({"type": ["string", "null"]}), json!({"nullable": true, "type": "STRING"})),
        (json!({"type": ["string", "integer"]}), json!({"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]})),
        (json!({"const": "x"}), json!({"type": "STRING", "enum": ["x"]})),
        (json!({"enum": ["a", null]}), json!({"nullable": true, "type": "STRING", "enum": ["a"]})),
        (
            json!({"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}], "description": "d"}),
            json!({"description": "d", "nullable": true, "type": "STRING", "maxLength": 3}),
        ),
        (
            json!({"anyOf": [{"type": "string"}, {"type": "integer"}], "description": "d"}),
            json!({"anyOf": [{"type": "STRING", "description": "d"}, {"type": "INTEGER", "description": "d"}]}),
        ),
        (
            json!({"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                             {"properties": {"b": {"type": "boolean"}}, "required": ["b"]}]}),
            json!({"type": "OBJECT", "properties": {"a": {"type": "STRING"}, "b": {"type": "BOOLEAN"}}, "required": ["a", "b"]}),
        ),
        (
            json!({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10}),
            json!({"type": "INTEGER", "minimum": 1, "maximum": 9}),
        ),
        (json!({"properties": {"a": true}}), json!({"type": "OBJECT", "properties": {"a": {}}})),
        (
            json!({"type": "string", "format": "date-time", "examples": ["x", "y"]}),
            json!({"type": "STRING", "format": "date-time", "example": "x"}),
        ),
    ] {
        let (got, losses) = property(schema.clone());
        assert_eq!(got, expected, "{schema}");
        assert!(losses.is_empty(), "{schema}: {losses:?}");
    }
}

#[test]
fn case_19_no_constraint_vanishes_silently() {
    for keyword in [
        json!({"type": "object", "additionalProperties": false, "properties": {}}),
        json!({"type": "object", "propertyNames": {"pattern": "x"}}),
        json!({"type": "object", "patternProperties": {"x": {"type": "string"}}}),
        json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
        json!({"type": "array", "contains": {"type": "string"}}),
        json!({"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]}),
        json!({"type": "number", "multipleOf": 5}),
        json!({"type": "number", "exclusiveMinimum": 0.5}),
        json!({"type": "string", "format": "email"}),
        json!({"not": {"type": "string"}, "type": "number"}),
        json!({"if": {"type": "string"}, "then": {"minLength": 1}, "type": "string"}),
        json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        json!({"enum": [1, 2, 3]}),
        json!({"const": true}),
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]}),
        json!({"type": "object", "dependentRequired": {"a": ["b"]}}),
        json!({"allOf": [{"minLength": 1}, {"minLength": 2}], "type": "string"}),
    ] {
        let (got, losses) = property(keyword.clone());
        assert!(!losses.is_empty(), "{keyword} → {got}");
        assert!(losses[0].field.starts_with("tools[0].parameters/properties/p/"), "{:?}", fields(&losses));
    }
}

#[test]
fn values_that_cannot_be_enumerated_are_told_in_words() {
    let (got, _) = property(json!({"enum": [1, 2], "description": "How many."}));
    assert_eq!(got, json!({"type": "INTEGER", "description": "How many. One of: 1, 2."}));
}

#[test]
fn an_object_without_properties_is_left_out() {
    for schema in [
        json!({}),
        json!({"type": "object"}),
        json!({"type": "object", "properties": {}, "additionalProperties": false}),
    ] {
        let (got, losses) = converted(schema.clone());
        assert!(got.is_null() && losses.is_empty(), "{schema}: {got}");
    }
}

#[test]
fn names_of_properties_are_no_keywords() {
    let (got, losses) = converted(
        json!({"type": "object", "properties": {"$ref": {"type": "string"}, "const": {"type": "string"}, "properties": {"type": "string"}}}),
    );
    assert_eq!(got["properties"].as_object().unwrap().len(), 3);
    assert!(losses.is_empty());
}
