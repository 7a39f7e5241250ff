//! What the code of the derives calls.

use serde_json::{Map, Number, Value};
use strait_abi::params::{self, ParamError, ParamSpec};

use super::ParamField;
use crate::{Error, Result};

/// The spec of one field; absent limits come from the type.
pub fn spec<T: ParamField>(
    name: &str,
    doc: &str,
    default: Option<Value>,
    min: Option<Value>,
    max: Option<Value>,
) -> ParamSpec {
    let (type_min, type_max) = T::limits();
    ParamSpec {
        name: name.to_owned(),
        kind: T::KIND,
        default: default.map(T::default_value).or_else(|| T::OPTIONAL.then_some(Value::Null)),
        min: number(min).or(type_min),
        max: number(max).or(type_max),
        choices: T::choices(),
        doc: doc.to_owned(),
    }
}

/// Checks a table of values (or nothing at all, for all defaults) against the specs.
///
/// # Errors
/// The first value that the specs refuse.
pub fn resolve(specs: &[ParamSpec], values: &Value) -> Result<Map<String, Value>> {
    match values {
        Value::Null => Ok(params::resolve(specs, &Map::new())?),
        Value::Object(values) => Ok(params::resolve(specs, values)?),
        other => Err(Error::new(format!("parameters: expected a table, found {other}"))),
    }
}

/// Takes one field out of a resolved table.
///
/// # Errors
/// A value that the field's type cannot hold.
pub fn take<T: ParamField>(values: &Map<String, Value>, spec: Option<&ParamSpec>) -> Result<T> {
    let Some(spec) = spec else {
        return Err(Error::new("parameters: the table and the struct do not agree"));
    };
    let value = values.get(&spec.name).unwrap_or(&Value::Null);
    T::from_value(value).ok_or_else(|| {
        Error::Param(ParamError {
            key: spec.name.clone(),
            expected: format!("{} that fits in {}", spec.expected(), std::any::type_name::<T>()),
            found: value.to_string(),
            nearest: None,
        })
    })
}

/// The defaults of a derived struct.
///
/// # Panics
/// When a default in the derive is not a value of its field; text defaults of choices and ranges are
/// checked at compile time, so only a literal of a wrong kind is left.
#[allow(clippy::panic)]
pub fn defaults<P: super::Params>() -> P {
    match P::from_json(&Value::Null) {
        Ok(params) => params,
        Err(error) => panic!("defaults of {}: {error}", std::any::type_name::<P>()),
    }
}

/// Whether a text default is one of the names of a choice; evaluated at compile time.
pub const fn is_name<T: ParamField>(default: &str) -> bool {
    let Some(names) = T::NAMES else { return true };
    let mut i = 0;
    while i < names.len() {
        if same(names[i].as_bytes(), default.as_bytes()) {
            return true;
        }
        i += 1;
    }
    false
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

fn number(value: Option<Value>) -> Option<Number> {
    match value {
        Some(Value::Number(number)) => Some(number),
        _ => None,
    }
}
