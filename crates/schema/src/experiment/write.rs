//! From an [`Experiment`] to the TOML text that says it. Whatever has its default is left out, so that the file stays as
//! short as one that a person writes.

use serde_json::{Map, Value};

use crate::{Experiment, SchemaError};

/// The least that an experiment file can say: whatever else the experiment holds that it makes is a default. No name and
/// no source is what stands for them here.
const LEAST: &str =
    "name = \"\\u0000\"\n[model]\nsource = \"\\u0000\"\n[data]\nsource = \"\\u0000\"\n";

impl Experiment {
    /// The experiment as TOML, without what has its default and without what is null.
    ///
    /// # Errors
    /// If a value has no form in TOML, such as an integer past 2^63.
    pub fn to_toml(&self) -> Result<String, SchemaError> {
        self.written()
            .map_err(|message| SchemaError::NotToml { experiment: self.name.clone(), message })
    }

    fn written(&self) -> Result<String, String> {
        let least: Self = toml::from_str(LEAST).map_err(|error| error.to_string())?;
        let [mut all, least] = [self, &least].map(serde_json::to_value);
        let (all, least) = (all.as_mut().map_err(|error| error.to_string())?, least);
        let least = least.map_err(|error| error.to_string())?;
        if let (Value::Object(all), Value::Object(least)) = (&mut *all, &least) {
            leave_out(all, least);
            all.retain(|key, value| {
                !(least.contains_key(key) && value.as_object().is_some_and(Map::is_empty))
            });
        }
        without_nulls(all);
        toml::to_string(all).map_err(|error| error.to_string())
    }
}

/// Leaves out of a table what is equal in another; of several tables (`[[model]]`) out of each.
fn leave_out(table: &mut Map<String, Value>, defaults: &Map<String, Value>) {
    for (key, default) in defaults {
        match (table.get_mut(key), default) {
            (Some(Value::Object(table)), Value::Object(defaults)) => leave_out(table, defaults),
            (Some(Value::Array(tables)), Value::Object(defaults)) => {
                for table in tables.iter_mut().filter_map(Value::as_object_mut) {
                    leave_out(table, defaults);
                }
            }
            (Some(value), default) if value == default => {
                table.shift_remove(key);
            }
            _ => {}
        }
    }
}

/// Leaves out what is null, which TOML cannot say: what a file does not name is what it is without it.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(values) => values.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
