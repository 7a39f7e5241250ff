//! The part of a model's configuration that says how its weights are quantized, with typed access.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::numbers::Precision;
use crate::WeightsError;
use crate::directory::read_json;
use crate::unread::{Harmless, Unread};

/// Files for what older tools did not put into `config.json`, and the key of their content there.
pub(crate) const BESIDE: [&str; 3] =
    ["hf_quant_config.json", "quantize_config.json", "quant_config.json"];

/// Completes `config` from the files of older tools in `directory`, if it does not itself say how weights are
/// quantized.
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

/// Whether one of the [`BESIDE`] files may describe the quantization, because `config` does not.
pub(crate) fn may_be_beside(config: &Value) -> bool {
    config.as_object().is_some_and(|object| section_of(object).is_none())
}

/// The `quantization_config`, the older `compression_config`, or MLX's `quantization` of a model's
/// configuration, or of a multimodal model's text part.
pub(super) fn section_of(model: &Map<String, Value>) -> Option<(&'static str, &Value)> {
    let text = model.get("text_config").and_then(Value::as_object);
    let inner = || text.and_then(|text| section_in(text));
    section_in(model).or_else(inner)
}

fn section_in(model: &Map<String, Value>) -> Option<(&'static str, &Value)> {
    let keys = ["quantization_config", "compression_config", "quantization"];
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

/// An object of the configuration, with its place for messages. It remembers which members were requested, so
/// that unread members can be reported.
pub(super) struct Section<'a> {
    path: &'a Path,
    place: String,
    object: &'a Map<String, Value>,
    asked: Asked,
}

/// Places of members that were read, shared by all sections of one configuration.
#[derive(Clone, Default)]
struct Asked {
    /// Places of members that were read as a whole.
    read: Rc<RefCell<BTreeSet<String>>>,
    /// Places of sections whose members are read one by one.
    entered: Rc<RefCell<BTreeSet<String>>>,
}

impl<'a> Section<'a> {
    /// The outermost section; `value` must be an object.
    pub(super) fn new(path: &'a Path, place: &str, value: &'a Value) -> Result<Self, WeightsError> {
        Self::within(path, place.to_owned(), value, Asked::default())
    }

    fn within(
        path: &'a Path,
        place: String,
        value: &'a Value,
        asked: Asked,
    ) -> Result<Self, WeightsError> {
        let object =
            value.as_object().ok_or_else(|| wrong(path, &place, "an object", &brief(value)))?;
        Ok(Self { path, place, object, asked })
    }

    /// The checkpoint's path.
    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    /// The key of this section in its parent.
    pub(super) fn name(&self) -> &str {
        self.place.split_once('.').map_or(&self.place, |(_, name)| name)
    }

    /// The members that are objects, in order.
    pub(super) fn objects(&self) -> impl Iterator<Item = Result<Self, WeightsError>> {
        let objects = self.object.iter().filter(|(_, value)| value.is_object());
        objects.map(|(key, value)| self.enter(key, value))
    }

    /// The members that are booleans, in order; this does not count as reading them.
    pub(super) fn flags(&self) -> impl Iterator<Item = (&'a str, bool)> {
        self.object.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_bool()?)))
    }

    /// The location of `key` in messages.
    pub(super) fn place(&self, key: &str) -> String {
        format!("{}.{key}", self.place)
    }

    /// All members, which must be objects, in order.
    pub(super) fn sections(&self) -> impl Iterator<Item = Result<Self, WeightsError>> {
        self.object.iter().map(|(key, value)| self.enter(key, value))
    }

    /// A member that is neither absent nor null.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.asked.read.borrow_mut().insert(self.place(key));
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// Whether a member is present and not null; this does not count as reading it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.object.get(key).is_some_and(|value| !value.is_null())
    }

    /// A member object.
    pub(super) fn section(&self, key: &str) -> Result<Option<Self>, WeightsError> {
        match self.object.get(key).filter(|value| !value.is_null()) {
            Some(value) => self.enter(key, value).map(Some),
            None => Ok(None),
        }
    }

    fn enter(&self, key: &str, value: &'a Value) -> Result<Self, WeightsError> {
        let place = self.place(key);
        self.asked.entered.borrow_mut().insert(place.clone());
        Self::within(self.path, place, value, self.asked.clone())
    }

    /// Reads a member that describes what the stored tensors tell anyway. Of objects within it, only the members
    /// `leaves` count as read.
    pub(super) fn describes(&self, key: &str, leaves: &[&str]) -> Result<(), WeightsError> {
        match self.object.get(key) {
            Some(value @ Value::Object(_)) => self.enter(key, value)?.read_leaves(leaves),
            Some(Value::Array(list)) if list.iter().all(Value::is_object) => {
                self.list(key)?.iter().try_for_each(|item| item.read_leaves(leaves))
            }
            _ => {
                self.get(key);
                Ok(())
            }
        }
    }

    fn read_leaves(&self, leaves: &[&str]) -> Result<(), WeightsError> {
        for (key, value) in self.object {
            if value.is_object() {
                self.enter(key, value)?.read_leaves(leaves)?;
            } else if leaves.contains(&key.as_str()) {
                self.get(key);
            }
        }
        Ok(())
    }

    /// Counts the whole section as read.
    pub(super) fn read_whole(&self) {
        self.asked.read.borrow_mut().insert(self.place.clone());
    }

    /// The members on all levels that were never requested, that carry information, and that are not
    /// `harmless`.
    pub(super) fn unread(&self, harmless: &[Harmless]) -> Vec<Unread> {
        let mut found = Vec::new();
        self.collect(&self.place, self.object, harmless, &mut found);
        found
    }

    fn collect(
        &self,
        place: &str,
        object: &Map<String, Value>,
        harmless: &[Harmless],
        found: &mut Vec<Unread>,
    ) {
        for (key, value) in object {
            let place = format!("{place}.{key}");
            if says_nothing(value)
                || self.asked.read.borrow().contains(&place)
                || harmless.iter().any(|harmless| harmless.name == key)
            {
                continue;
            }
            let entered = self.asked.entered.borrow().contains(&place);
            match value {
                Value::Object(inner) if entered => self.collect(&place, inner, harmless, found),
                Value::Array(list) if entered => {
                    for (index, item) in list.iter().enumerate() {
                        if let Value::Object(inner) = item {
                            self.collect(&format!("{place}[{index}]"), inner, harmless, found);
                        }
                    }
                }
                _ => found.push(Unread { name: place, about: brief(value) }),
            }
        }
    }

    /// A member that is a text.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, WeightsError> {
        self.typed(key, "a text", Value::as_str)
    }

    /// A member that is an integer.
    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>, WeightsError> {
        self.typed(key, "a whole number", Value::as_i64)
    }

    /// A member that is a list of objects; empty if absent.
    pub(super) fn list(&self, key: &str) -> Result<Vec<Self>, WeightsError> {
        let Some(value) = self.object.get(key).filter(|value| !value.is_null()) else {
            return Ok(Vec::new());
        };
        let list =
            value.as_array().ok_or_else(|| self.bad(key, "a list of objects", &brief(value)))?;
        self.asked.entered.borrow_mut().insert(self.place(key));
        let item = |(index, value)| {
            let place = format!("{}[{index}]", self.place(key));
            Self::within(self.path, place, value, self.asked.clone())
        };
        list.iter().enumerate().map(item).collect()
    }

    /// A member that is a boolean.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, WeightsError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A member that is a list of texts; empty if absent.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<&'a str>, WeightsError> {
        let texts = |value: &'a Value| -> Option<Vec<&'a str>> {
            value.as_array()?.iter().map(Value::as_str).collect()
        };
        Ok(self.typed(key, "a list of texts", texts)?.unwrap_or_default())
    }

    /// A member that is a pair of positive integers.
    pub(super) fn pair(&self, key: &str) -> Result<Option<[usize; 2]>, WeightsError> {
        let pair = |value: &Value| {
            let [rows, columns] = value.as_array()?.as_slice() else { return None };
            let size = |value: &Value| usize::try_from(value.as_u64()?).ok().filter(|&n| n > 0);
            Some([size(rows)?, size(columns)?])
        };
        self.typed(key, "two positive numbers", pair)
    }

    /// The error for a member with an invalid value.
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

/// Whether a value is equivalent to an absent one.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
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

/// A value as messages show it, at most about eighty letters.
pub(super) fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
