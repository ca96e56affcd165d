//! The OpenAPI subset that Gemini's `parameters` and `responseSchema` are written in → JSON Schema.

use serde_json::{Map, Value};

use crate::formats::fields::snake_case;

/// Protobuf's numbers for `Type`; some libraries send them.
const TYPES: [&str; 8] = ["", "string", "number", "integer", "boolean", "array", "object", "null"];

/// Keywords whose `snake_case` spelling is read too.
const CAMEL: [&str; 9] = [
    "anyOf",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
    "propertyOrdering",
    "additionalProperties",
];

/// Keywords that are numbers; protobuf's JSON writes 64-bit ones as strings.
const NUMBERS: [&str; 8] =
    ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties", "minimum", "maximum"];

/// The JSON Schema that means the same. What is JSON Schema already stays as it is.
pub(super) fn from_openapi(schema: Value) -> Value {
    let Value::Object(map) = schema else { return schema };
    let mut out = Map::new();
    let mut nullable = false;
    let mut order = Vec::new();
    for (key, value) in map {
        let key = CAMEL.iter().find(|name| snake_case(name) == key).map_or(key, |name| (*name).to_owned());
        match (key.as_str(), value) {
            ("type", value) => {
                if let Some(value) = type_of(value) {
                    out.insert(key, value);
                }
            }
            ("nullable", Value::Bool(flag)) => nullable = flag,
            ("propertyOrdering", Value::Array(names)) => order = names,
            ("properties", Value::Object(properties)) => {
                let properties = properties.into_iter().map(|(name, value)| (name, from_openapi(value)));
                out.insert(key, Value::Object(properties.collect()));
            }
            ("items" | "additionalProperties", value) => {
                out.insert(key, from_openapi(value));
            }
            ("anyOf", Value::Array(list)) => {
                out.insert(key, Value::Array(list.into_iter().map(from_openapi).collect()));
            }
            ("example", value) => {
                out.insert("examples".to_owned(), Value::Array(vec![value]));
            }
            (name, Value::String(text)) if NUMBERS.contains(&name) => {
                let number = text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<f64>().map(Value::from));
                out.insert(key, number.unwrap_or(Value::String(text)));
            }
            (_, value) => {
                out.insert(key, value);
            }
        }
    }
    reorder(&mut out, &order);
    if nullable {
        allow_null(&mut out);
    }
    Value::Object(out)
}

fn type_of(value: Value) -> Option<Value> {
    match value {
        Value::String(word) if word == "TYPE_UNSPECIFIED" => None,
        Value::String(word) => Some(Value::String(word.to_ascii_lowercase())),
        Value::Number(number) => {
            let word = TYPES.get(usize::try_from(number.as_u64()?).ok()?)?;
            (!word.is_empty()).then(|| Value::String((*word).to_owned()))
        }
        value => Some(value),
    }
}

/// `propertyOrdering` has no word in JSON Schema, but objects keep their order here.
fn reorder(schema: &mut Map<String, Value>, order: &[Value]) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    let mut sorted = Map::new();
    for name in order.iter().filter_map(Value::as_str) {
        if let Some(value) = properties.shift_remove(name) {
            sorted.insert(name.to_owned(), value);
        }
    }
    sorted.append(properties);
    *properties = sorted;
}

fn allow_null(schema: &mut Map<String, Value>) {
    let null = || Value::String("null".to_owned());
    match schema.get_mut("type") {
        Some(Value::Array(types)) if !types.contains(&null()) => types.push(null()),
        Some(Value::String(word)) if word != "null" => {
            let word = Value::String(std::mem::take(word));
            schema.insert("type".to_owned(), Value::Array(vec![word, null()]));
        }
        _ => {}
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    if let Some(Value::Array(list)) = schema.get_mut("anyOf")
        && !list.iter().any(|one| one.get("type") == Some(&null()))
    {
        list.push(Value::Object(Map::from_iter([("type".to_owned(), null())])));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_word_of_the_subset_becomes_json_schema() {
        let schema = json!({
            "type": "OBJECT",
            "property_ordering": ["b", "a"],
            "properties": {
                "a": {"type": "ARRAY", "minItems": "1", "items": {"type": 3, "nullable": true}},
                "b": {"type": "STRING", "format": "enum", "enum": ["x"], "nullable": true, "example": "x"},
                "c": {"any_of": [{"type": "NUMBER"}, {"type": "BOOLEAN"}], "nullable": true}
            },
            "required": ["a"]
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "b": {"type": ["string", "null"], "format": "enum", "enum": ["x", null], "examples": ["x"]},
                "a": {"type": "array", "minItems": 1, "items": {"type": ["integer", "null"]}},
                "c": {"anyOf": [{"type": "number"}, {"type": "boolean"}, {"type": "null"}]}
            },
            "required": ["a"]
        });
        let got = from_openapi(schema);
        assert_eq!(got, expected);
        assert_eq!(got["properties"].as_object().unwrap().keys().collect::<Vec<_>>(), ["b", "a", "c"]);
        assert_eq!(from_openapi(expected.clone()), expected, "json schema stays as it is");
    }

    #[test]
    fn a_property_may_be_called_like_a_keyword() {
        let schema =
            json!({"type": "OBJECT", "properties": {"type": {"type": "STRING"}, "min_items": {"type": "STRING"}}});
        let got = from_openapi(schema);
        assert_eq!(got["properties"]["type"], json!({"type": "string"}));
        assert_eq!(got["properties"]["min_items"], json!({"type": "string"}));
    }
}
