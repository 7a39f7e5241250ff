//! `[kv]` and `[[cache]]`: presses and codecs of the KV cache, and the cells that they make.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cells::{get, insert, plain};
use crate::{Experiment, SchemaError};

/// `[kv]`: how KV caches are compressed, in every cell of `[[cache]]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KvSection {
    /// A window goes through the model in runs of this many tokens; after each run the cache is
    /// compressed, and the next run attends to what is left. With `prefill-suffix` the context is the
    /// first run, and the suffix one run when left out; else 128 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub interval: Option<usize>,
}

/// `[[cache]]`: a press, codecs for keys and values, or all of them; with `sweep`, one cell for every
/// combination.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheSection {
    /// Name in tables and plots; `{key}` stands for a value of this table, `{params.window}` for one of
    /// the press. Swept keys that the label does not mention are appended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Id of the press, as `strait plugins list` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub press: Option<String>,
    /// Parameters of the press; `strait plugins show PRESS` prints them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// Share of the tokens so far that the press removes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub ratio: Option<f64>,
    /// Tokens that the press keeps, instead of `ratio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub size: Option<usize>,
    /// Presses that work on what the first one left, one after the other:
    /// `[{ press = "think", ratio = 0.5 }]`. Shares multiply: of ratios `r` stays
    /// `(1 - r_1) (1 - r_2) …` of the tokens so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<PressSection>,
    /// Whether the gaps that presses leave are closed: kept keys are rotated to consecutive positions, and later
    /// tokens go on right behind them, as in StreamingLLM and in kvpress's `KeyRerotationPress`. Not with a
    /// press of channels unless `before_rope`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reposition: bool,
    /// Whether the keys of later tokens lose the channels, too, that a press of channels (`think`) removed;
    /// they stay whole otherwise, as in ThinK and in kvpress.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_later_keys: bool,
    /// Codec of the keys with its parameters: `{ codec = "affine", bits = 4 }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Map<String, Value>>,
    /// Codec of the values with its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Map<String, Value>>,
    /// Other codecs for some layers: `[{ layers = [0, 1], key = { codec = "affine", bits = 8 } }]`. What a table
    /// does not name stays uncoded there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<OverrideSection>,
    /// The first tokens of a sequence that stay uncoded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sinks: usize,
    /// The last tokens so far that stay uncoded until later ones follow.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recent: usize,
    /// Whether keys are coded as they are before they are rotated by their positions (RoPE).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before_rope: bool,
    /// Layers whose cache is compressed; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<usize>>,
    /// Keys of this table with several values each: every combination is a cell. A dot leads into a
    /// table: `"key.bits"`, `"params.window"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sweep: BTreeMap<String, Vec<Value>>,
}

/// Codecs of some layers in a `[[cache]]` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OverrideSection {
    /// The layers, each in one table alone.
    #[schemars(length(min = 1))]
    pub layers: Vec<usize>,
    /// Codec of the keys with its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Map<String, Value>>,
    /// Codec of the values with its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Map<String, Value>>,
}

/// One more press of a `[[cache]]` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PressSection {
    /// Id of the press.
    #[schemars(length(min = 1))]
    pub press: String,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// Share that it removes of what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub ratio: Option<f64>,
    /// Tokens that it keeps, instead of `ratio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub size: Option<usize>,
}

/// One cell of `[[cache]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheSpec {
    /// Unique in the experiment.
    pub label: String,
    /// The table with one value of each swept key, and without `sweep` and `label`.
    pub section: CacheSection,
    /// Index of the `[[cache]]` table that the cell comes from.
    pub cache: usize,
    /// The line of that table.
    pub line: usize,
}

impl Experiment {
    /// Expands the sweeps of `[[cache]]`.
    ///
    /// # Errors
    /// When a swept value does not fit its key, two cells get the same label, or a label names a key
    /// that is not there.
    pub fn caches(&self) -> Result<Vec<CacheSpec>, SchemaError> {
        let mut specs: Vec<CacheSpec> = Vec::new();
        for (cache, section) in self.cache.iter().enumerate() {
            let path = format!("cache[{cache}]");
            let line = self.place(&path).line;
            for table in self.tables(&path, section)? {
                let label = self.cache_label(&path, section, &table)?;
                if let Some(first) = specs.iter().find(|spec| spec.label == label) {
                    return Err(SchemaError::DuplicateLabel {
                        at: Box::new(self.place(&format!("{path}.label"))),
                        label,
                        first_line: first.line,
                    });
                }
                let section = self.read(&path, table)?;
                specs.push(CacheSpec { label, section, cache, line });
            }
        }
        Ok(specs)
    }

    /// The table with every combination of swept values.
    fn tables(
        &self,
        path: &str,
        section: &CacheSection,
    ) -> Result<Vec<Map<String, Value>>, SchemaError> {
        let plain = CacheSection { sweep: BTreeMap::new(), label: None, ..section.clone() };
        let Ok(Value::Object(table)) = serde_json::to_value(plain) else {
            return Ok(Vec::new());
        };
        let mut all = vec![table];
        for (key, values) in &section.sweep {
            if values.is_empty() {
                let key = format!("{path}.sweep");
                return Err(self.value_error(&key, "at least one value a key", "none", None));
            }
            let with = |table: &Map<String, Value>, value| {
                let mut table = table.clone();
                insert(&mut table, key, value);
                table
            };
            all = all
                .iter()
                .flat_map(|table| values.iter().map(move |value| with(table, value)))
                .collect();
        }
        Ok(all)
    }

    fn read(&self, path: &str, table: Map<String, Value>) -> Result<CacheSection, SchemaError> {
        let section: CacheSection =
            serde_json::from_value(Value::Object(table)).map_err(|error| {
                let expected = "values that fit the keys of [[cache]]";
                self.value_error(&format!("{path}.sweep"), expected, error.to_string(), None)
            })?;
        let wrong = |key: &str, expected: &str, found: String| {
            Err(self.value_error(&format!("{path}.{key}"), expected, found, None))
        };
        let of_all = [(&section.key, &section.value)].into_iter();
        let none = of_all
            .chain(section.overrides.iter().map(|codecs| (&codecs.key, &codecs.value)))
            .all(|(key, value)| key.is_none() && value.is_none());
        if section.press.is_none() && none {
            return wrong("press", "a press, or a codec as `key` or `value`", "none".to_owned());
        }
        if section.press.is_none() && !section.then.is_empty() {
            return wrong("then", "a `press` before them", "no `press`".to_owned());
        }
        if section.press.is_none() && (section.ratio.is_some() || section.size.is_some()) {
            return wrong("ratio", "a press that removes tokens", "no `press`".to_owned());
        }
        let later = section.then.iter().enumerate();
        let later =
            later.map(|(index, press)| (format!("then[{index}]."), press.ratio, press.size));
        for (at, ratio, size) in
            [(String::new(), section.ratio, section.size)].into_iter().chain(later)
        {
            if ratio.is_some() && size.is_some() {
                let key = format!("{at}size");
                return wrong(&key, "`ratio` or `size`, not both", "both".to_owned());
            }
            if let Some(ratio) = ratio.filter(|ratio| !(0.0..1.0).contains(ratio)) {
                let key = format!("{at}ratio");
                return wrong(&key, "a share from 0 to less than 1", ratio.to_string());
            }
        }
        let mut named = BTreeSet::new();
        for (index, of_layers) in section.overrides.iter().enumerate() {
            if let Some(layer) = of_layers.layers.iter().find(|layer| !named.insert(**layer)) {
                let key = format!("overrides[{index}].layers");
                return wrong(&key, "each layer in one table", format!("layer {layer} again"));
            }
        }
        let of_layers = section.overrides.iter().enumerate().flat_map(|(index, codecs)| {
            let key = |name: &str| format!("overrides[{index}].{name}");
            [(key("key"), &codecs.key), (key("value"), &codecs.value)]
        });
        let of_all = [("key", &section.key), ("value", &section.value)];
        let of_all = of_all.map(|(name, codec)| (name.to_owned(), codec));
        for (name, codec) in of_all.into_iter().chain(of_layers) {
            let named =
                |codec: &Map<String, Value>| codec.get("codec").is_some_and(Value::is_string);
            if codec.as_ref().is_some_and(|codec| !named(codec)) {
                let expected = "the id of a codec as `codec`, beside its parameters";
                return wrong(&name, expected, "no `codec`".to_owned());
            }
        }
        Ok(section)
    }

    fn cache_label(
        &self,
        path: &str,
        section: &CacheSection,
        table: &Map<String, Value>,
    ) -> Result<String, SchemaError> {
        let default = || {
            let then = table.get("then").and_then(Value::as_array).into_iter().flatten();
            let press = [table.get("press")].into_iter().flatten();
            let press = press.chain(then.filter_map(|press| press.get("press"))).map(plain);
            let codecs = ["key", "value"].into_iter().filter_map(|name| {
                get(table, &format!("{name}.codec")).map(|id| format!("{name} {}", plain(id)))
            });
            let parts: Vec<String> = press.chain(codecs).collect();
            if parts.is_empty() { "overrides".to_owned() } else { parts.join(" + ") }
        };
        let template = section.label.clone().unwrap_or_else(default);
        let (mut label, mut rest) = (String::new(), template.as_str());
        let mut mentioned = Vec::new();
        while let Some((before, after)) = rest.split_once('{') {
            let (key, after) = after.split_once('}').unwrap_or((after, ""));
            let Some(value) = get(table, key) else {
                let known: Vec<&str> = table.keys().map(String::as_str).collect();
                return Err(self.value_error(
                    &format!("{path}.label"),
                    format!("the name of a key in braces ({})", known.join(", ")),
                    format!("{{{key}}}"),
                    crate::error::nearest(key, known),
                ));
            };
            label.push_str(before);
            label.push_str(&plain(value));
            mentioned.push(key.to_owned());
            rest = after;
        }
        label.push_str(rest);
        for key in section.sweep.keys().filter(|key| !mentioned.contains(key)) {
            let value = get(table, key).map(plain).unwrap_or_default();
            label.push_str(&format!(" {key}={value}"));
        }
        self.expanded(path, label)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it with a reference
fn is_zero(value: &usize) -> bool {
    *value == 0
}
