//! The parameter table of a codec, and the one place where values are checked against it.
//!
//! A plugin publishes its table as [`ParamSpec`]s inside its descriptor. The host resolves the
//! user's values against the table before it opens a codec; the plugin resolves them again when it
//! is opened, with the same function, so both sides agree on what is valid.

mod check;
mod schema;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

pub use schema::json_schema;

/// One parameter of a codec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParamSpec {
    /// Key in the TOML table, `snake_case`.
    pub name: String,
    /// What kind of value is expected.
    pub kind: ParamKind,
    /// Value used when the key is absent. Absent: the key is required. `null`: it may stay unset.
    #[serde(default, deserialize_with = "some_value", skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Smallest value allowed, for integers and numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Number>,
    /// Largest value allowed, for integers and numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Number>,
    /// The allowed names, for a choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<ChoiceSpec>,
    /// What the parameter does, one line.
    #[serde(default)]
    pub doc: String,
}

/// What kind of value a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamKind {
    /// A whole number.
    Integer,
    /// A real number; whole numbers are accepted too.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// One of the names in [`ParamSpec::choices`].
    Choice,
    /// Another codec with its parameters: `{ codec = "affine", bits = 4 }`, or its id alone. Since
    /// ABI 1.1; see [`inner`](crate::inner).
    Codec,
    /// Any value, checked by the codec itself; also what a kind of a later minor reads as.
    #[serde(other)]
    Any,
}

/// One allowed name of a choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceSpec {
    /// The name as in TOML files.
    pub name: String,
    /// What it means, one line.
    #[serde(default)]
    pub doc: String,
}

/// Why a parameter value was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parameter `{key}`: expected {expected}, found {found}{}", hint(.nearest))]
pub struct ParamError {
    /// The key as the user wrote it (or the missing key).
    pub key: String,
    /// What was expected, as a phrase: `an integer from 1 to 8`.
    pub expected: String,
    /// What was found, as a phrase.
    pub found: String,
    /// The nearest valid key or choice, when there is one.
    pub nearest: Option<String>,
}

impl ParamError {
    /// The same refusal of a key in the table under `table`: `bits` becomes `inner.bits`.
    #[must_use]
    pub fn under(self, table: &str) -> Self {
        ParamError { key: format!("{table}.{}", self.key), ..self }
    }
}

fn hint(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None => String::new(),
    }
}

/// Checks `values` against `specs` and fills in the defaults.
///
/// The result has one entry per spec, in the order of `specs`; a number kind is always stored as a
/// float, so equal settings have equal text.
///
/// # Errors
/// The first unknown key, missing key, wrong type, value out of range or unknown choice.
pub fn resolve(
    specs: &[ParamSpec],
    values: &Map<String, Value>,
) -> Result<Map<String, Value>, ParamError> {
    for key in values.keys() {
        if !specs.iter().any(|spec| spec.name == *key) {
            return Err(check::unknown_key(specs, key));
        }
    }
    let mut resolved = Map::with_capacity(specs.len());
    for spec in specs {
        let value = match (values.get(&spec.name), &spec.default) {
            (Some(value), _) => spec.check(value)?,
            (None, Some(default)) => spec.check(default)?,
            (None, None) => return Err(check::missing_key(spec)),
        };
        resolved.insert(spec.name.clone(), value);
    }
    Ok(resolved)
}

/// The candidate that is nearest to `word`, if one is near enough to be a likely typing error.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| {
            let length = candidate.chars().count().max(word.chars().count());
            *distance * 2 <= length
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn some_value<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Value>, D::Error> {
    // Without this, serde would read `"default": null` as an absent default.
    Value::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests;
