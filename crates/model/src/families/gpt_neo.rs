//! GPT-Neo: GPT-2 with windows in every other layer, scores that are not scaled, and weights stored as
//! `[out, in]`.

use serde_json::Value;

use super::gpt2::{self, GptKeys, gpt2_like};
use crate::config::ModelConfig;
use crate::config::keys::Keys;
use crate::error::ModelError;
use crate::names::{Names, Projections};

const KEYS: GptKeys = GptKeys {
    hidden: ("hidden_size", 2048),
    heads: ("num_heads", 16),
    layers: ("num_layers", 24),
    positions: ("max_position_embeddings", 2048),
    inner: "intermediate_size",
};

const NAMES: Names = Names {
    projections: Projections::Apart {
        query: "attn.attention.q_proj",
        key: "attn.attention.k_proj",
        value: "attn.attention.v_proj",
    },
    output: "attn.attention.out_proj",
    transposed: false,
    ..gpt2::NAMES
};

pub(super) fn describe(keys: Keys<'_>) -> Result<ModelConfig, ModelError> {
    let mut model = gpt2_like(keys, "gpt_neo", &KEYS, "gelu_new")?;
    model.names = NAMES;
    let window = keys.size("window_size", Some(256))?;
    let local = local_layers(keys, model.layers)?;
    for (layer, local) in model.blocks.iter_mut().zip(local) {
        layer.qkv_bias = false;
        layer.attention.scale = 1.0;
        layer.attention.window = Some(window).filter(|_| local);
    }
    Ok(model)
}

/// Whether each layer has a window: `attention_types` is a list of kinds of layers, each with the number of
/// times that they follow each other.
fn local_layers(keys: Keys<'_>, layers: usize) -> Result<Vec<bool>, ModelError> {
    let key = "attention_types";
    let Some(groups) = keys.value(key) else {
        return Ok((0..layers).map(|layer| layer % 2 == 1).collect());
    };
    let local: Option<Vec<bool>> = groups.as_array().and_then(|groups| {
        let groups = groups.iter().map(|group| expanded(group, layers));
        Some(groups.collect::<Option<Vec<_>>>()?.concat())
    });
    local.filter(|local| local.len() == layers).ok_or_else(|| {
        let expected =
            format!("\"global\" or \"local\" for {layers} layers, as [[KINDS, TIMES], …]");
        keys.invalid(key, expected)
    })
}

/// One group, if it is of at most `most` layers.
fn expanded(group: &Value, most: usize) -> Option<Vec<bool>> {
    let local = |kind: &Value| match kind.as_str() {
        Some("local") => Some(true),
        Some("global") => Some(false),
        _ => None,
    };
    let (kinds, times) = (group.get(0)?.as_array()?, group.get(1)?.as_u64()?);
    let kinds: Vec<bool> = kinds.iter().map(local).collect::<Option<_>>()?;
    let times = usize::try_from(times).ok().filter(|times| *times <= most)?;
    (kinds.len() <= most).then(|| kinds.repeat(times))
}
