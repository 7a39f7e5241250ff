//! Checks a TOML document against the JSON Schema of its type: unknown and missing keys, types,
//! ranges and choices, each with its line. The schema that is published is the one enforced.

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::lines::Lines;
use crate::SchemaError;
use crate::error::nearest;

/// All mistakes of a document, in no particular order.
pub(crate) fn check_table(table: &DeTable<'_>, schema: &Value, lines: &Lines) -> Vec<SchemaError> {
    let mut check = Check { root: schema, lines, mistakes: Vec::new() };
    check.table("", table, schema);
    check.mistakes
}

struct Check<'a> {
    root: &'a Value,
    lines: &'a Lines,
    mistakes: Vec<SchemaError>,
}

impl<'a> Check<'a> {
    fn table(&mut self, path: &str, table: &DeTable<'_>, schema: &'a Value) {
        let properties = schema["properties"].as_object();
        for (key, value) in table {
            let name: &str = key.get_ref();
            let path = Lines::join(path, name);
            let known = properties.and_then(|properties| properties.get(name));
            match known.or_else(|| schema.get("additionalProperties")) {
                Some(Value::Bool(false)) => self.unknown(&path, name, schema),
                Some(schema) => self.value(&path, value, schema),
                None => {}
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !table.contains_key(name) {
                let property = self.resolve(&schema["properties"][name]);
                let expected = match kind(property) {
                    Kind::Table => format!("a table `[{name}]`"),
                    Kind::Union if self.alternative(property, Kind::Table).is_some() => {
                        format!("a table `[{name}]`")
                    }
                    _ => self.describe(property),
                };
                let at = Box::new(self.lines.place(&Lines::join(path, name)));
                self.mistakes.push(SchemaError::Missing { at, expected });
            }
        }
    }

    fn value(&mut self, path: &str, value: &Spanned<DeValue<'_>>, schema: &'a Value) {
        let schema = self.resolve(schema);
        let value = value.get_ref();
        match (value, kind(schema)) {
            (DeValue::Table(table), Kind::Table) => self.table(path, table, schema),
            (DeValue::Table(table), Kind::Union)
                if let Some(schema) = self.alternative(schema, Kind::Table) =>
            {
                self.table(path, table, schema);
            }
            (DeValue::Array(array), Kind::Union)
                if let Some(schema) = self.alternative(schema, Kind::Array) =>
            {
                for (index, element) in array.iter().enumerate() {
                    self.value(&format!("{path}[{index}]"), element, &schema["items"]);
                }
            }
            (DeValue::Table(table), Kind::Any) => {
                for (key, value) in table {
                    self.value(&Lines::join(path, key.get_ref()), value, &Value::Bool(true));
                }
            }
            (DeValue::Array(array), Kind::Array | Kind::Any) => {
                let items = schema.get("items").unwrap_or(&Value::Bool(true));
                for (index, element) in array.iter().enumerate() {
                    self.value(&format!("{path}[{index}]"), element, items);
                }
            }
            (value, kind) if !self.fits(value, kind, schema) => {
                let nearest = match (value, choices(schema)) {
                    (DeValue::String(text), Some(names)) => nearest(text, names),
                    _ => None,
                };
                let expected = self.describe(schema);
                self.mistakes.push(SchemaError::value(
                    self.lines.place(path),
                    expected,
                    found(value),
                    nearest,
                ));
            }
            _ => {}
        }
    }

    fn unknown(&mut self, path: &str, name: &str, schema: &Value) {
        let known: Vec<String> = schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, _)| k.clone())
            .collect();
        let nearest = nearest(name, known.iter().map(String::as_str));
        let at = Box::new(self.lines.place(path));
        self.mistakes.push(SchemaError::UnknownKey { at, known, nearest });
    }

    /// Follows a reference, and takes the `T` of an `Option<T>`: TOML has no null.
    fn resolve(&self, mut schema: &'a Value) -> &'a Value {
        loop {
            let inner = match schema["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
                Some(pointer) => self.root.pointer(pointer),
                None if alternatives(schema).is_some() => None,
                None => schema["anyOf"].as_array().and_then(|any| any.first()),
            };
            match inner {
                Some(inner) => schema = inner,
                None => return schema,
            }
        }
    }

    /// The schema of this kind among those of a value that may be of several.
    fn alternative(&self, schema: &'a Value, wanted: Kind) -> Option<&'a Value> {
        let mut each = alternatives(schema)?.iter().map(|schema| self.resolve(schema));
        each.find(|schema| kind(schema) == wanted)
    }

    /// Whether a value that is neither a table nor an array fits.
    fn fits(&self, value: &DeValue<'_>, kind: Kind, schema: &'a Value) -> bool {
        match (value, kind) {
            (value, Kind::Union) => {
                let mut each = alternatives(schema).into_iter().flatten();
                each.any(|schema| {
                    let schema = self.resolve(schema);
                    self.fits(value, self::kind(schema), schema)
                })
            }
            (DeValue::String(text), Kind::String) => {
                let long_enough = text.len() as u64 >= schema["minLength"].as_u64().unwrap_or(0);
                let constant = schema["const"].as_str();
                long_enough
                    && constant.is_none_or(|constant| constant == text.as_ref())
                    && choices(schema).is_none_or(|names| names.contains(&text.as_ref()))
            }
            (DeValue::Integer(integer), Kind::Integer) => {
                i64::from_str_radix(integer.as_str(), integer.radix()).is_ok_and(|integer| {
                    schema["minimum"].as_i64().is_none_or(|low| integer >= low)
                        && schema["maximum"].as_i64().is_none_or(|high| integer <= high)
                })
            }
            (DeValue::Integer(integer), Kind::Any) => {
                i64::from_str_radix(integer.as_str(), integer.radix()).is_ok()
            }
            (DeValue::Float(float), Kind::Any) => {
                float.as_str().parse::<f64>().is_ok_and(f64::is_finite)
            }
            (DeValue::Boolean(_), Kind::Boolean | Kind::Any) | (DeValue::String(_), Kind::Any) => {
                true
            }
            _ => false,
        }
    }

    /// What a schema asks for, in words.
    fn describe(&self, schema: &'a Value) -> String {
        let schema = self.resolve(schema);
        if let Some(names) = choices(schema) {
            let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
            return format!("one of {}", names.join(", "));
        }
        if let Some(name) = schema["const"].as_str() {
            return format!("{name:?}");
        }
        match kind(schema) {
            Kind::Table => "a table".to_owned(),
            Kind::Union => {
                let each = alternatives(schema).into_iter().flatten();
                each.map(|schema| self.describe(schema)).collect::<Vec<_>>().join(" or ")
            }
            Kind::Array => match self.resolve(&schema["items"]) {
                items if kind(items) == Kind::Any => "an array of values".to_owned(),
                items => format!("an array, each element {}", self.describe(items)),
            },
            Kind::String if schema["minLength"].as_u64() > Some(0) => {
                "a string that is not empty".to_owned()
            }
            Kind::String => "a string".to_owned(),
            Kind::Boolean => "true or false".to_owned(),
            Kind::Integer => match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
                (Some(low), Some(high)) => format!("an integer from {low} to {high}"),
                (Some(low), None) => format!("an integer of at least {low}"),
                _ => "an integer".to_owned(),
            },
            Kind::Any => "a string, a finite number, true or false, an array or a table".to_owned(),
        }
    }
}

/// What a schema allows, as far as the experiment's types need.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    Array,
    String,
    Integer,
    Boolean,
    Union,
    Any,
}

fn kind(schema: &Value) -> Kind {
    let name = match &schema["type"] {
        // `["integer", "null"]` is an optional integer.
        Value::Array(names) => names.first().and_then(Value::as_str),
        name => name.as_str(),
    };
    match name {
        Some("object") => Kind::Table,
        Some("array") => Kind::Array,
        Some("string") => Kind::String,
        Some("integer") => Kind::Integer,
        Some("boolean") => Kind::Boolean,
        _ if choices(schema).is_some() => Kind::String,
        _ if alternatives(schema).is_some() => Kind::Union,
        _ => Kind::Any,
    }
}

/// The names of an enumeration.
fn choices(schema: &Value) -> Option<Vec<&str>> {
    if let Some(names) = schema["enum"].as_array() {
        return Some(names.iter().filter_map(Value::as_str).collect());
    }
    let variants = schema["oneOf"].as_array()?;
    Some(variants.iter().filter_map(|variant| variant["const"].as_str()).collect())
}

/// The schemas of a value that may be of several kinds. `T` or null, an optional `T`, is not one.
fn alternatives(schema: &Value) -> Option<&Vec<Value>> {
    let any = schema["anyOf"].as_array()?;
    (!any.iter().any(|schema| schema["type"] == "null")).then_some(any)
}

/// A value in words.
fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {:?}", text.as_ref()),
        DeValue::Integer(integer) => format!("the integer {}", integer.as_str()),
        DeValue::Float(float) => format!("the number {}", float.as_str()),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Datetime(datetime) => format!("the date {datetime}"),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
