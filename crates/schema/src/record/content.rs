//! The hash of a record's own content, by which an edited record is noticed. It is no signature: whoever wants to can make
//! another one. It tells a slip from what was measured.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The key of the hash, the only one that is not hashed.
const KEY: &str = "content_sha256";

/// The warning of a record that was edited.
pub const EDITED: &str =
    "edited: its content does not have the hash that it states, so it is not what was measured";

/// The hash of a record as it will be read again: numbers count as they are written.
pub(super) fn hash(record: &impl Serialize) -> Result<Option<String>, serde_json::Error> {
    let written: Value = serde_json::from_str(&serde_json::to_string(record)?)?;
    Ok(Some(of_content(&written)))
}

/// A warning if a record states a hash that its content does not have. A record of an earlier release states none.
pub(super) fn edited(record: &Value) -> Option<String> {
    let stated = record.get(KEY)?.as_str()?;
    (stated != of_content(record)).then(|| EDITED.to_owned())
}

fn of_content(record: &Value) -> String {
    let mut record = record.clone();
    if let Value::Object(record) = &mut record {
        record.shift_remove(KEY);
    }
    sha256(&record)
}

/// SHA-256 (hexadecimal) of a value as JSON without spaces and with sorted keys.
pub(super) fn sha256(value: &Value) -> String {
    let mut canonical = String::new();
    write_canonical(value, &mut canonical);
    Sha256::digest(canonical.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// JSON without spaces and with sorted keys.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(&map[key], out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(value, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
