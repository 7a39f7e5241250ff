//! The JSON Schemas of the two formats, generated from the types that read them.

use serde_json::Value;

use crate::{Experiment, Record};

/// The JSON Schema of an experiment file, for editors and for other programs that write one.
#[must_use]
pub fn json_schema_experiment() -> Value {
    schemars::schema_for!(Experiment).to_value()
}

/// The JSON Schema of a record.
#[must_use]
pub fn json_schema_record() -> Value {
    schemars::schema_for!(Record).to_value()
}

/// A schema as the text of a file: two spaces of indentation and a line break at the end.
#[must_use]
pub fn render(schema: &Value) -> String {
    format!("{schema:#}\n")
}
