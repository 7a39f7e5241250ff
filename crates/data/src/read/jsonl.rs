//! Reads JSON Lines: one object per line, with its text under one key. Empty lines are skipped.

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Map, Value};

use crate::DataError;

pub(super) fn rows(
    path: &Path,
    key: &str,
    limit: usize,
    rows: &mut Vec<String>,
) -> Result<(), DataError> {
    let mut reader = BufReader::new(super::open(path)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        let end = read.map_err(|source| super::unreadable(path, source))? == 0;
        if end || rows.len() >= limit {
            break;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        rows.push(text(line, key).map_err(|found| DataError::JsonLine {
            path: path.to_owned(),
            line: number,
            key: key.to_owned(),
            found,
        })?);
    }
    Ok(())
}

/// The text of one line, or what was found instead.
fn text(line: &[u8], key: &str) -> Result<String, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| {
        let message = error.to_string();
        // The library counts lines within this one, which would mislead.
        let what = message.split(" at line ").next().unwrap_or_default();
        format!("no JSON ({what} in column {})", error.column())
    })?;
    let Value::Object(mut object) = value else {
        return Err(kind(&value).to_owned());
    };
    match object.remove(key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("{} under {key:?}", kind(&other))),
        None => Err(format!("an object with {}", keys(&object))),
    }
}

fn keys(object: &Map<String, Value>) -> String {
    let keys: Vec<String> = object.keys().map(|key| format!("{key:?}")).collect();
    if keys.is_empty() { "no keys".to_owned() } else { format!("the keys {}", keys.join(", ")) }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
