//! Families of decoders. Each is a file that maps the keys of its `config.json` and the names of its
//! tensors to a description; the decoder knows none of them.

mod gemma3;
mod gpt2;
mod gpt_neox;
mod llama;
mod mistral;
mod mixtral;
mod olmo2;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen3_moe;

use serde_json::Value;

use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::ModelError;

/// A family of decoders.
#[derive(Clone, Copy)]
pub struct Family {
    /// The value of `model_type`.
    pub model_type: &'static str,
    pub(crate) describe: fn(Keys<'_>) -> Result<ModelConfig, ModelError>,
}

/// Every family that can be loaded.
pub const FAMILIES: &[Family] = &[
    Family { model_type: "gemma3", describe: gemma3::describe_multimodal },
    Family { model_type: "gemma3_text", describe: gemma3::describe },
    Family { model_type: "gpt2", describe: gpt2::describe },
    Family { model_type: "gpt_neox", describe: gpt_neox::describe },
    Family { model_type: "llama", describe: llama::describe },
    Family { model_type: "mistral", describe: mistral::describe },
    Family { model_type: "mixtral", describe: mixtral::describe },
    Family { model_type: "olmo2", describe: olmo2::describe },
    Family { model_type: "phi3", describe: phi3::describe },
    Family { model_type: "qwen2", describe: qwen2::describe },
    Family { model_type: "qwen3", describe: qwen3::describe },
    Family { model_type: "qwen3_moe", describe: qwen3_moe::describe },
];

/// The description of the model with this `config.json`.
pub(crate) fn describe(config: &Value) -> Result<ModelConfig, ModelError> {
    let found = config.get("model_type").and_then(Value::as_str);
    let family = FAMILIES.iter().find(|family| Some(family.model_type) == found);
    let family = family.ok_or_else(|| {
        let names: Vec<_> = FAMILIES.iter().map(|f| format!("\"{}\"", f.model_type)).collect();
        ModelError::UnknownArchitecture {
            found: found.map_or("no such key".to_owned(), |name| format!("\"{name}\"")),
            supported: names.join(", "),
        }
    })?;
    (family.describe)(Keys(config))
}
