//! The TOML example in a plugin's header, checked as a doctest.

use strait_sdk::{Codec, Params};

use crate::Case;

/// Checks that every `[[compressor]]` of a TOML text names this codec and that the codec opens with
/// its `params`.
///
/// # Panics
/// When the text is not such a table, or the codec refuses it.
#[track_caller]
pub fn check_example<C: Codec>(text: &str) {
    if let Err(error) = example::<C>(text) {
        #[allow(clippy::panic)]
        {
            panic!("the example of `{}`: {error}", C::INFO.id);
        }
    }
}

fn example<C: Codec>(text: &str) -> Result<(), String> {
    let table: toml::Table = text.parse().map_err(|error| format!("{error}"))?;
    let compressors = table.get("compressor").and_then(toml::Value::as_array);
    let compressors = compressors.filter(|compressors| !compressors.is_empty());
    for compressor in compressors.ok_or("expected a [[compressor]] table, found none")? {
        let codec = compressor.get("codec").and_then(toml::Value::as_str);
        if codec != Some(C::INFO.id) {
            return Err(format!("expected codec = \"{}\", found {codec:?}", C::INFO.id));
        }
        let params = match compressor.get("params") {
            Some(params) => serde_json::to_value(params).map_err(|error| error.to_string())?,
            None => Case::default().params(&C::Params::specs()).into(),
        };
        let params = C::Params::from_json(&params).map_err(|error| error.to_string())?;
        if !C::INFO.fits {
            C::open(params).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}
