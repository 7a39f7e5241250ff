//! Reads `config.json` key by key.

use serde_json::Value;
use strait_ops::Activation;

use crate::error::ModelError;

/// The largest size that is accepted, so that the product of two fits into 64 bits.
const MOST: usize = i32::MAX as usize;

/// The most layers that are accepted.
const MOST_LAYERS: usize = 10_000;

/// The keys of a `config.json`. `null` counts as absent unless a method says otherwise.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a>(pub(crate) &'a Value);

impl<'a> Keys<'a> {
    /// A value that is present and not `null`.
    pub(crate) fn value(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// The keys of a nested object.
    pub(crate) fn table(self, key: &str) -> Option<Keys<'a>> {
        self.value(key).filter(|value| value.is_object()).map(Keys)
    }

    /// A size, or `default` if the key is absent.
    pub(crate) fn size(self, key: &str, default: Option<usize>) -> Result<usize, ModelError> {
        self.size_up_to(key, default, MOST)
    }

    /// A number that may be 0, or `default` if the key is absent.
    pub(crate) fn count(self, key: &str, default: usize) -> Result<usize, ModelError> {
        match self.value(key) {
            None => Ok(default),
            Some(value) if value.as_u64() == Some(0) => Ok(0),
            Some(_) => self.size(key, None),
        }
    }

    /// A number of layers, limited because each gets a description of its own.
    pub(crate) fn layers(self, key: &str, default: usize) -> Result<usize, ModelError> {
        self.size_up_to(key, Some(default), MOST_LAYERS)
    }

    fn size_up_to(
        self,
        key: &str,
        default: Option<usize>,
        most: usize,
    ) -> Result<usize, ModelError> {
        let value = match self.value(key) {
            None => default,
            Some(value) => value.as_u64().map(|value| usize::try_from(value).unwrap_or(usize::MAX)),
        };
        match value {
            Some(value) if value > most => {
                Err(self.invalid(key, format!("a whole number above 0, at most {most}")))
            }
            Some(value) if value > 0 => Ok(value),
            _ => Err(self.invalid(key, "a whole number above 0")),
        }
    }

    /// A size, `absent` if the key is absent, and `None` if it is `null`.
    pub(crate) fn size_or_null(
        self,
        key: &str,
        absent: Option<usize>,
    ) -> Result<Option<usize>, ModelError> {
        match self.0.get(key) {
            None => Ok(absent),
            Some(Value::Null) => Ok(None),
            Some(_) => self.size(key, None).map(Some),
        }
    }

    /// A number greater than 0.
    pub(crate) fn number(self, key: &str, default: Option<f64>) -> Result<f64, ModelError> {
        self.number_if(key)?.or(default).ok_or_else(|| self.invalid(key, "a number above 0"))
    }

    /// A number greater than 0, if the key is present.
    pub(crate) fn number_if(self, key: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.as_f64().filter(|&value| value > 0.0 && value.is_finite()) {
            Some(value) => Ok(Some(value)),
            None => Err(self.invalid(key, "a number above 0")),
        }
    }

    /// A number greater than 0, `absent` if the key is absent, and `None` if it is `null`.
    pub(crate) fn number_or_null(self, key: &str, absent: f64) -> Result<Option<f64>, ModelError> {
        match self.0.get(key) {
            None => Ok(Some(absent)),
            Some(_) => self.number_if(key),
        }
    }

    pub(crate) fn flag(self, key: &str, default: bool) -> Result<bool, ModelError> {
        match self.value(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.invalid(key, "true or false")),
        }
    }

    /// A list of `count` positive numbers.
    pub(crate) fn numbers(self, key: &str, count: usize) -> Result<Vec<f64>, ModelError> {
        let positive = |value: &Value| value.as_f64().filter(|&value| value > 0.0);
        let list = self.value(key).and_then(Value::as_array);
        list.and_then(|list| list.iter().map(positive).collect::<Option<Vec<_>>>())
            .filter(|list| list.len() == count)
            .ok_or_else(|| {
                let found = self.value(key).and_then(Value::as_array);
                let found = found.map(|list| format!("{} values", list.len()));
                let expected = format!("{count} numbers above 0");
                invalid(key, expected, found.unwrap_or_else(|| self.found(key)))
            })
    }

    /// The activation named by the value of `key`, or by `default` if that is absent.
    pub(crate) fn activation(self, key: &str, default: &str) -> Result<Activation, ModelError> {
        let name = self.value(key).map_or(Some(default), Value::as_str);
        match name.unwrap_or_default() {
            "silu" | "swish" => Ok(Activation::Silu),
            "gelu" => Ok(Activation::Gelu),
            "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "gelu_new" => Ok(Activation::GeluNew),
            "gelu_fast" => Ok(Activation::GeluFast),
            "relu" => Ok(Activation::Relu),
            "relu2" => Ok(Activation::ReluSquared),
            _ => {
                let known = "\"silu\", \"gelu\", \"gelu_pytorch_tanh\", \"gelu_new\", \
                             \"gelu_fast\", \"relu\" or \"relu2\"";
                Err(self.invalid(key, known))
            }
        }
    }

    /// Rejects any value of `key` but `allowed`; an absent key is allowed too.
    pub(crate) fn only(self, key: &str, allowed: &Value) -> Result<(), ModelError> {
        match self.value(key) {
            Some(value) if value != allowed => {
                Err(self.invalid(key, format!("{allowed}, the only value that is supported")))
            }
            _ => Ok(()),
        }
    }

    fn found(self, key: &str) -> String {
        self.0.get(key).map_or("no such key".to_owned(), |value| brief(&value.to_string()))
    }

    /// The error for the value of `key`.
    pub(crate) fn invalid(self, key: &str, expected: impl ToString) -> ModelError {
        invalid(key, expected, self.found(key))
    }
}

/// A text from a file, shortened to about eighty letters.
pub(crate) fn brief(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The error for a key with an invalid value.
pub(crate) fn invalid(key: &str, expected: impl ToString, found: impl ToString) -> ModelError {
    ModelError::Config {
        key: key.to_owned(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
