//! Checks one value against its [`ParamSpec`].

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::{ParamError, ParamKind, ParamSpec, nearest};
use crate::inner::InnerSpec;

impl ParamSpec {
    /// Checks one value and gives its canonical form.
    ///
    /// # Errors
    /// A wrong type, a value out of range or an unknown choice.
    pub fn check(&self, value: &Value) -> Result<Value, ParamError> {
        if value.is_null() && self.default == Some(Value::Null) {
            return Ok(Value::Null);
        }
        let canonical = match (self.kind, value) {
            (ParamKind::Any, _) => Some(value.clone()),
            (ParamKind::Codec, _) => InnerSpec::read(value).map(|inner| inner.to_value()),
            (ParamKind::Boolean, Value::Bool(_)) | (ParamKind::String, Value::String(_)) => {
                Some(value.clone())
            }
            (ParamKind::Integer, Value::Number(number)) if integer(number).is_some() => {
                self.in_range(number).then(|| value.clone())
            }
            (ParamKind::Number, Value::Number(number)) if self.in_range(number) => {
                number.as_f64().and_then(Number::from_f64).map(Value::Number)
            }
            (ParamKind::Choice, Value::String(name)) => {
                self.choices.iter().any(|choice| choice.name == *name).then(|| value.clone())
            }
            _ => None,
        };
        canonical.ok_or_else(|| self.refuse(value))
    }

    /// What the parameter accepts, as a phrase: `an integer from 1 to 8`.
    pub fn expected(&self) -> String {
        match self.kind {
            ParamKind::Integer => format!("an integer{}", self.range()),
            ParamKind::Number => format!("a number{}", self.range()),
            ParamKind::Boolean => "true or false".to_owned(),
            ParamKind::String => "a string".to_owned(),
            ParamKind::Any => "a value".to_owned(),
            ParamKind::Codec => "a codec with its parameters, { codec = \"...\", ... }".to_owned(),
            ParamKind::Choice => {
                let names: Vec<_> =
                    self.choices.iter().map(|c| format!("\"{}\"", c.name)).collect();
                list(&names)
            }
        }
    }

    fn range(&self) -> String {
        match (&self.min, &self.max) {
            (Some(min), Some(max)) => format!(" from {min} to {max}"),
            (Some(min), None) => format!(" of at least {min}"),
            (None, Some(max)) => format!(" of at most {max}"),
            (None, None) => String::new(),
        }
    }

    fn in_range(&self, number: &Number) -> bool {
        let not = |limit: &Option<Number>, wrong: Ordering| {
            limit.as_ref().is_some_and(|limit| compare(number, limit) == Some(wrong))
        };
        !not(&self.min, Ordering::Less) && !not(&self.max, Ordering::Greater)
    }

    fn refuse(&self, value: &Value) -> ParamError {
        let near = match (self.kind, value) {
            (ParamKind::Choice, Value::String(name)) => {
                nearest(name, self.choices.iter().map(|choice| choice.name.as_str()))
            }
            _ => None,
        };
        ParamError {
            key: self.name.clone(),
            expected: self.expected(),
            found: found(value),
            nearest: near.map(str::to_owned),
        }
    }
}

pub(super) fn unknown_key(specs: &[ParamSpec], key: &str) -> ParamError {
    let names: Vec<_> = specs.iter().map(|spec| format!("`{}`", spec.name)).collect();
    ParamError {
        key: key.to_owned(),
        expected: if names.is_empty() { "no parameters".to_owned() } else { list(&names) },
        found: "an unknown key".to_owned(),
        nearest: nearest(key, specs.iter().map(|spec| spec.name.as_str())).map(str::to_owned),
    }
}

pub(super) fn missing_key(spec: &ParamSpec) -> ParamError {
    ParamError {
        key: spec.name.clone(),
        expected: spec.expected(),
        found: "no value, and there is no default".to_owned(),
        nearest: None,
    }
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn compare(a: &Number, b: &Number) -> Option<Ordering> {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "no value".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        scalar => scalar.to_string(),
    }
}
