//! Families of decoders. Each is a file that maps the keys of its `config.json` and the names of its
//! tensors to a description; the decoder knows none of them.

mod arcee;
mod deepseek_v2;
mod deepseek_v3;
mod dots1;
mod ernie4_5;
mod ernie4_5_moe;
mod exaone4;
mod experts;
mod gemma;
mod gemma2;
mod gemma3;
mod glm4;
mod glm4_moe;
mod glm4_moe_lite;
mod gpt2;
mod gpt_bigcode;
mod gpt_neo;
mod gpt_neox;
mod granite;
mod llama;
mod minimax_m2;
mod ministral;
mod mistral;
mod mixtral;
mod nemotron;
mod olmo2;
mod olmo3;
mod olmoe;
mod opt;
mod phi;
mod phi3;
mod qwen2;
mod qwen2_moe;
mod qwen3;
mod qwen3_moe;
mod seed_oss;
mod smollm3;
mod stablelm;
mod starcoder2;

use serde_json::Value;

use crate::config::ModelConfig;
use crate::config::keys::{Keys, brief};
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
    Family { model_type: "arcee", describe: arcee::describe },
    Family { model_type: "deepseek_v2", describe: deepseek_v2::describe },
    Family { model_type: "deepseek_v3", describe: deepseek_v3::describe },
    Family { model_type: "dots1", describe: dots1::describe },
    Family { model_type: "ernie4_5", describe: ernie4_5::describe },
    Family { model_type: "ernie4_5_moe", describe: ernie4_5_moe::describe },
    Family { model_type: "exaone4", describe: exaone4::describe },
    Family { model_type: "gemma", describe: gemma::describe },
    Family { model_type: "gemma2", describe: gemma2::describe },
    Family { model_type: "gemma3_text", describe: gemma3::describe },
    Family { model_type: "glm4", describe: glm4::describe },
    Family { model_type: "glm4_moe", describe: glm4_moe::describe },
    Family { model_type: "glm4_moe_lite", describe: glm4_moe_lite::describe },
    Family { model_type: "gpt2", describe: gpt2::describe },
    Family { model_type: "gpt_bigcode", describe: gpt_bigcode::describe },
    Family { model_type: "gpt_neo", describe: gpt_neo::describe },
    Family { model_type: "gpt_neox", describe: gpt_neox::describe },
    Family { model_type: "granite", describe: granite::describe },
    Family { model_type: "kimi_k2", describe: deepseek_v3::describe },
    Family { model_type: "llama", describe: llama::describe },
    Family { model_type: "minimax_m2", describe: minimax_m2::describe },
    Family { model_type: "ministral", describe: ministral::describe },
    Family { model_type: "mistral", describe: mistral::describe },
    Family { model_type: "mixtral", describe: mixtral::describe },
    Family { model_type: "nemotron", describe: nemotron::describe },
    Family { model_type: "olmo2", describe: olmo2::describe },
    Family { model_type: "olmo3", describe: olmo3::describe },
    Family { model_type: "olmoe", describe: olmoe::describe },
    Family { model_type: "opt", describe: opt::describe },
    Family { model_type: "phi", describe: phi::describe },
    Family { model_type: "phi3", describe: phi3::describe },
    Family { model_type: "qwen2", describe: qwen2::describe },
    Family { model_type: "qwen2_5_vl_text", describe: qwen2::describe_vl },
    Family { model_type: "qwen2_moe", describe: qwen2_moe::describe },
    Family { model_type: "qwen2_vl_text", describe: qwen2::describe_vl },
    Family { model_type: "qwen3", describe: qwen3::describe },
    Family { model_type: "qwen3_moe", describe: qwen3_moe::describe },
    Family { model_type: "qwen3_vl_text", describe: qwen3::describe_vl },
    Family { model_type: "seed_oss", describe: seed_oss::describe },
    Family { model_type: "smollm3", describe: smollm3::describe },
    Family { model_type: "stablelm", describe: stablelm::describe },
    Family { model_type: "starcoder2", describe: starcoder2::describe },
    Family { model_type: "vaultgemma", describe: gemma2::describe_vault },
];

/// Models that also process images or audio: their `model_type`, and that of the text part if `text_config`
/// does not give it.
const AROUND: [(&str, &str); 10] = [
    ("gemma3", "gemma3_text"),
    ("idefics3", "llama"),
    ("internvl", "qwen2"),
    ("llava", "llama"),
    ("llava_next", "llama"),
    ("mistral3", "mistral"),
    ("qwen2_5_vl", "qwen2_5_vl_text"),
    ("qwen2_vl", "qwen2_vl_text"),
    ("qwen3_vl", "qwen3_vl_text"),
    ("smolvlm", "llama"),
];

/// The description of the model with this `config.json`.
pub(crate) fn describe(config: &Value) -> Result<ModelConfig, ModelError> {
    let keys = Keys(config);
    let found = config.get("model_type").and_then(Value::as_str);
    let around = AROUND.iter().find(|(model_type, _)| Some(*model_type) == found);
    match (keys.table("text_config"), around) {
        (Some(text), _) if family(found).is_none() => {
            let own = text.value("model_type").and_then(Value::as_str);
            let inner = own.or(around.map(|(_, text)| *text));
            let family = family(inner).ok_or_else(|| unknown(inner.or(found)))?;
            let mut model = (family.describe)(text)?;
            // The whole model's key applies where the text part has none. If neither has one, the tensors
            // decide: a head that is stored and differs from the embedding is read.
            if text.value("tie_word_embeddings").is_none() {
                model.tied_head = keys.flag("tie_word_embeddings", true)?;
            }
            Ok(model)
        }
        // Older configurations of Qwen2-VL have the text's keys at the top.
        (None, Some((_, text))) if text.ends_with("vl_text") => {
            let family = family(Some(text)).ok_or_else(|| unknown(found))?;
            (family.describe)(keys)
        }
        (None, Some(_)) => Err(keys.invalid("text_config", "an object")),
        _ => (family(found).ok_or_else(|| unknown(found))?.describe)(keys),
    }
}

fn family(model_type: Option<&str>) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| Some(family.model_type) == model_type)
}

fn unknown(found: Option<&str>) -> ModelError {
    let names: Vec<_> = FAMILIES
        .iter()
        .map(|family| family.model_type)
        .chain(AROUND.iter().map(|(model_type, _)| *model_type))
        .map(|name| format!("\"{name}\""))
        .collect();
    ModelError::UnknownArchitecture {
        found: found.map_or("no such key".to_owned(), |name| format!("\"{}\"", brief(name))),
        supported: names.join(", "),
    }
}
