//! JSON Schema of a parameter table.

use serde_json::{Map, Value, json};

use super::{ParamKind, ParamSpec};

/// The JSON Schema (draft 2020-12) of a codec's `params` table.
pub fn json_schema(specs: &[ParamSpec]) -> Value {
    let properties: Map<String, Value> =
        specs.iter().map(|spec| (spec.name.clone(), property(spec))).collect();
    let required: Vec<&str> =
        specs.iter().filter(|s| s.default.is_none()).map(|s| s.name.as_str()).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(spec: &ParamSpec) -> Value {
    let mut schema = Map::new();
    schema.insert("description".to_owned(), json!(spec.doc));
    let type_name = match spec.kind {
        ParamKind::Integer => Some("integer"),
        ParamKind::Number => Some("number"),
        ParamKind::Boolean => Some("boolean"),
        ParamKind::String | ParamKind::Choice => Some("string"),
        ParamKind::Codec | ParamKind::Any => None,
    };
    if let Some(type_name) = type_name {
        schema.insert("type".to_owned(), json!(type_name));
    }
    if spec.kind == ParamKind::Codec {
        let table = json!({
            "type": "object",
            "properties": { "codec": { "type": "string" } },
            "required": ["codec"],
        });
        schema.insert("oneOf".to_owned(), json!([{ "type": "string" }, table]));
    }
    if !spec.choices.is_empty() {
        let variants: Vec<Value> = spec
            .choices
            .iter()
            .map(|choice| json!({ "const": choice.name, "description": choice.doc }))
            .collect();
        schema.insert("oneOf".to_owned(), json!(variants));
    }
    for (key, limit) in [("minimum", &spec.min), ("maximum", &spec.max)] {
        if let Some(limit) = limit {
            schema.insert(key.to_owned(), json!(limit));
        }
    }
    // A `null` default means "may stay unset", which JSON Schema says by not requiring the key.
    if let Some(default) = spec.default.as_ref().filter(|default| !default.is_null()) {
        schema.insert("default".to_owned(), default.clone());
    }
    Value::Object(schema)
}
