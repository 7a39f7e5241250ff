//! GPT-BigCode (SantaCoder, StarCoder): GPT-2 with one key head for all queries, and weights stored as
//! `[out, in]`.

use serde_json::Value;

use super::gpt2::{self, gpt2_like};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::ModelError;
use crate::names::{Names, Projections};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    keys.only("scale_attn_weights", &Value::Bool(true))?;
    keys.only("add_cross_attention", &Value::Bool(false))?;
    let mut model = gpt2_like(keys, "gpt_bigcode", &gpt2::KEYS, "gelu_pytorch_tanh")?;
    let names = Names { transposed: false, ..gpt2::NAMES };
    if !keys.flag("multi_query", true)? {
        model.names = Names { projections: Projections::ByHead("attn.c_attn"), ..names };
        return Ok(model);
    }
    model.names = names;
    for layer in &mut model.blocks {
        layer.attention.kv_heads = 1;
    }
    Ok(model)
}
