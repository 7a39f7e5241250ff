//! The part of a model's configuration that says how its weights are quantized, and typed access to it.

use std::path::Path;

use serde_json::{Map, Value};

use super::numbers::Precision;
use crate::WeightsError;
use crate::directory::read_json;

/// Files that hold what older tools did not put into `config.json`, and how their content is named there.
pub(crate) const BESIDE: [&str; 3] =
    ["hf_quant_config.json", "quantize_config.json", "quant_config.json"];

/// Completes `config` from the files of older tools in `directory`, if it does not say itself how weights are quantized.
///
/// # Errors
/// Such a file exists and is not a JSON object.
pub(crate) fn read_beside(directory: &Path, config: &mut Value) -> Result<(), WeightsError> {
    let Some(object) = config.as_object_mut() else { return Ok(()) };
    if section_of(object).is_some() {
        return Ok(());
    }
    for name in BESIDE {
        let path = directory.join(name);
        if !path.is_file() {
            continue;
        }
        let mut document: Map<String, Value> = read_json(&path, "the quantization configuration")?;
        if let Some(Value::Object(inner)) = document.remove("quantization") {
            document = inner;
        }
        if !document.contains_key("quant_method") {
            let method = match name {
                "hf_quant_config.json" => "modelopt",
                "quant_config.json" => "awq",
                _ => "gptq",
            };
            document.insert("quant_method".to_owned(), Value::String(method.to_owned()));
        }
        object.insert("quantization_config".to_owned(), Value::Object(document));
        return Ok(());
    }
    Ok(())
}

/// Whether one of the [`BESIDE`] files may say how weights are quantized, since `config` does not.
pub(crate) fn may_be_beside(config: &Value) -> bool {
    config.as_object().is_some_and(|object| section_of(object).is_none())
}

/// `quantization_config`, or the older `compression_config`, of a model's configuration.
pub(super) fn section_of(model: &Map<String, Value>) -> Option<(&'static str, &Value)> {
    let keys = ["quantization_config", "compression_config"];
    keys.into_iter().find_map(|key| match model.get(key) {
        None | Some(Value::Null) => None,
        Some(value) => Some((key, value)),
    })
}

/// The dtype that the model's configuration names; bf16 where it names none.
pub(super) fn model_precision(model: &Value) -> Precision {
    ["dtype", "torch_dtype"]
        .iter()
        .find_map(|key| Precision::from_name(model.get(key)?.as_str()?))
        .unwrap_or(Precision::BF16)
}

/// An object of the configuration, with its place for messages.
pub(super) struct Section<'a> {
    path: &'a Path,
    place: String,
    object: &'a Map<String, Value>,
}

impl<'a> Section<'a> {
    /// `value` must be an object.
    pub(super) fn new(path: &'a Path, place: &str, value: &'a Value) -> Result<Self, WeightsError> {
        let object =
            value.as_object().ok_or_else(|| wrong(path, place, "an object", &brief(value)))?;
        Ok(Self { path, place: place.to_owned(), object })
    }

    /// The checkpoint's path.
    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    /// The place of `key` in messages.
    pub(super) fn place(&self, key: &str) -> String {
        format!("{}.{key}", self.place)
    }

    /// All members in order.
    pub(super) fn members(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.object.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// A member that is neither absent nor null.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// A member object.
    pub(super) fn section(&self, key: &str) -> Result<Option<Self>, WeightsError> {
        self.get(key).map(|value| Self::new(self.path, &self.place(key), value)).transpose()
    }

    /// A member text.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, WeightsError> {
        self.typed(key, "a text", Value::as_str)
    }

    /// A member integer.
    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>, WeightsError> {
        self.typed(key, "a whole number", Value::as_i64)
    }

    /// A member truth value.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, WeightsError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A member list of texts; absent is empty.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<&'a str>, WeightsError> {
        let texts = |value: &'a Value| -> Option<Vec<&'a str>> {
            value.as_array()?.iter().map(Value::as_str).collect()
        };
        Ok(self.typed(key, "a list of texts", texts)?.unwrap_or_default())
    }

    /// A member pair of positive integers.
    pub(super) fn pair(&self, key: &str) -> Result<Option<[usize; 2]>, WeightsError> {
        let pair = |value: &Value| {
            let [rows, columns] = value.as_array()?.as_slice() else { return None };
            let size = |value: &Value| usize::try_from(value.as_u64()?).ok().filter(|&n| n > 0);
            Some([size(rows)?, size(columns)?])
        };
        self.typed(key, "two positive numbers", pair)
    }

    /// The error for a member that is not as it must be.
    pub(super) fn bad(&self, key: &str, expected: &str, found: &str) -> WeightsError {
        wrong(self.path, &self.place(key), expected, found)
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, WeightsError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(self.bad(key, expected, &brief(value))),
        }
    }
}

fn wrong(path: &Path, place: &str, expected: &str, found: &str) -> WeightsError {
    WeightsError::QuantizationConfig {
        path: path.to_path_buf(),
        key: place.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

/// A value as messages show it, at most some eighty letters of it.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
