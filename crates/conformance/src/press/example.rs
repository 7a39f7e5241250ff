//! The TOML example in the header of a press, checked as a doctest.

use serde_json::{Value, json};
use strait_sdk::press::{Opened, Press};

/// Checks that every `[[press]]` of a TOML text names this press and that it opens with its `params`.
///
/// # Panics
/// When the text is not such a table, or the press refuses it.
#[track_caller]
pub fn check_press_example<P: Press>(text: &str) {
    if let Err(error) = example::<P>(text) {
        #[allow(clippy::panic)]
        {
            panic!("the example of `{}`: {error}", P::INFO.id);
        }
    }
}

fn example<P: Press>(text: &str) -> Result<(), String> {
    let table: toml::Table = text.parse().map_err(|error| format!("{error}"))?;
    let presses = table.get("press").and_then(toml::Value::as_array);
    let presses = presses.filter(|presses| !presses.is_empty());
    for press in presses.ok_or("expected a [[press]] table, found none")? {
        let id = press.get("press").and_then(toml::Value::as_str);
        if id != Some(P::INFO.id) {
            return Err(format!("expected press = \"{}\", found {id:?}", P::INFO.id));
        }
        let params: Value = match press.get("params") {
            Some(params) => serde_json::to_value(params).map_err(|error| error.to_string())?,
            None => json!({}),
        };
        Opened::<P>::new(&params).map_err(|error| error.to_string())?;
    }
    Ok(())
}
