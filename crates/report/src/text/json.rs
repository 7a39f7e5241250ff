//! The table for programs: the same figures as `summary.csv`, as JSON.

use serde_json::{Map, Value, json};

use super::csv::{COLUMNS, fields};
use crate::{Report, SpeedRow};

impl Report {
    /// An object with the title and a list of rows. What was not measured is null; an exact copy has no
    /// signal-to-noise ratio in JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let rows: Vec<Value> = self.rows.iter().map(|row| Value::Object(object(row))).collect();
        let mut value = json!({
            "title": self.title,
            "subtitle": self.subtitle,
            "fingerprint": self.fingerprint,
            "rows": rows,
        });
        if !self.speed.is_empty() {
            value["speed"] = self.speed.iter().map(SpeedRow::json).collect();
        }
        serde_json::to_string_pretty(&value).unwrap_or_default()
    }
}

fn object(row: &crate::Row) -> Map<String, Value> {
    let text = ["label", "codec", "status", "reason", "fingerprint", "state"];
    let pairs = COLUMNS.iter().zip(fields(row)).map(|(&name, field)| {
        let value = match name {
            _ if field.is_empty() => Value::Null,
            name if text.contains(&name) => Value::from(field),
            "on_front" => Value::from(field == "true"),
            _ => match (field.parse::<u64>(), field.parse::<f64>()) {
                (Ok(count), _) => Value::from(count),
                (_, Ok(number)) => Value::from(number),
                _ => Value::from(field),
            },
        };
        (name.to_owned(), value)
    });
    pairs.collect()
}
