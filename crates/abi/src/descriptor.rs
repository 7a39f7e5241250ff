//! What a plugin says about itself: one JSON text, read by the host right after loading.

use serde::{Deserialize, Serialize};

use crate::params::ParamSpec;

/// Everything in one `.so`. Unknown keys are ignored, so a newer SDK may add some.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginDescriptor {
    /// The codecs in the file, in the order of their index.
    pub codecs: Vec<CodecDescriptor>,
    /// The presses in the file, in the order of their index. Since ABI 1.1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub presses: Vec<PressDescriptor>,
}

/// One codec of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodecDescriptor {
    /// Name in TOML files, `[a-z0-9.-]`.
    pub id: String,
    /// Plugin kind: `codec`.
    pub kind: String,
    /// Version of the plugin's package.
    pub version: String,
    /// What it does, one line.
    pub summary: String,
    /// Paper or specification, as a link; may be empty.
    #[serde(default)]
    pub paper: String,
    /// Where it can be used: `boundary`, `kv`, `weights`.
    #[serde(default)]
    pub sites: Vec<String>,
    /// Whether decoding gives back the exact bytes.
    #[serde(default)]
    pub lossless: bool,
    /// Whether a message's payload depends on the messages before it.
    #[serde(default)]
    pub stateful: bool,
    /// Whether it has a fit step that makes an artifact from samples.
    #[serde(default)]
    pub fits: bool,
    /// Names of the per-row side information it asks for.
    #[serde(default)]
    pub side_information: Vec<String>,
    /// The parameter table.
    #[serde(default)]
    pub params: Vec<ParamSpec>,
}

/// One press of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PressDescriptor {
    /// Name in TOML files, `[a-z0-9.-]`.
    pub id: String,
    /// Version of the plugin's package.
    pub version: String,
    /// What it does, one line.
    pub summary: String,
    /// Paper or specification, as a link; may be empty.
    #[serde(default)]
    pub paper: String,
    /// What the ratio or size of an experiment bounds: `entries`, `channels`, or `own` when the press
    /// decides by itself how much stays.
    #[serde(default)]
    pub budget: String,
    /// Names of the side information that it may ask for; an open instance says what it really needs.
    #[serde(default)]
    pub side_information: Vec<String>,
    /// The parameter table.
    #[serde(default)]
    pub params: Vec<ParamSpec>,
}

/// Whether `id` is a valid codec name: `[a-z0-9.-]`, starting with a letter or digit.
pub fn is_valid_id(id: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'.' || c == b'-';
    id.bytes().all(allowed) && id.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        for good in ["raw", "kv.int8-absmax", "4bit"] {
            assert!(is_valid_id(good), "{good}");
        }
        for bad in ["", "Raw", "a_b", ".a", "a b"] {
            assert!(!is_valid_id(bad), "{bad}");
        }
    }

    #[test]
    fn unknown_keys_are_ignored() {
        let text = r#"{"codecs":[{"id":"a","kind":"codec","version":"1","summary":"s","new":1}]}"#;
        let descriptor: PluginDescriptor = serde_json::from_str(text).unwrap();
        assert_eq!(descriptor.codecs[0].id, "a");
    }
}
