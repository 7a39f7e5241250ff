//! llama.cpp's tensor names to Hugging Face's, for decoders named like Llama's.

use std::collections::HashMap;
use std::path::Path;

use super::header::RawTensor;
use crate::WeightsError;

/// Which of the two interleaved projections a tensor belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Projection {
    Query,
    Key,
}

/// The Hugging Face name, or the name itself where there is no rule for it (`rope_freqs.weight` stays).
pub(super) fn to_hugging_face(name: &str) -> String {
    let Some((stem, suffix)) = name.rsplit_once('.') else {
        return name.to_owned();
    };
    let top = match stem {
        "token_embd" => Some("model.embed_tokens"),
        "output_norm" => Some("model.norm"),
        "output" => Some("lm_head"),
        _ => None,
    };
    if let Some(top) = top {
        return format!("{top}.{suffix}");
    }
    match in_block(stem).and_then(|(layer, part)| Some((layer, block_part(part)?))) {
        Some((layer, part)) => format!("model.layers.{layer}.{part}.{suffix}"),
        None => name.to_owned(),
    }
}

/// Whether `name` is a weight or bias of a query or key projection.
pub(super) fn query_or_key(name: &str) -> Option<Projection> {
    let (stem, suffix) = name.rsplit_once('.')?;
    match (in_block(stem)?.1, suffix) {
        ("attn_q", "weight" | "bias") => Some(Projection::Query),
        ("attn_k", "weight" | "bias") => Some(Projection::Key),
        _ => None,
    }
}

/// Refuses two tensors that end under one name.
pub(super) fn check_unique(
    path: &Path,
    tensors: &[RawTensor],
    names: &[String],
) -> Result<(), WeightsError> {
    let mut seen = HashMap::new();
    for (tensor, name) in tensors.iter().zip(names) {
        if let Some(other) = seen.insert(name, &tensor.name) {
            return Err(WeightsError::Invalid {
                path: path.to_path_buf(),
                what: format!("tensor \"{name}\""),
                expected: "one source".to_owned(),
                found: format!("\"{other}\" and \"{}\"", tensor.name),
            });
        }
    }
    Ok(())
}

/// Splits `blk.7.attn_q` into layer and part. A layer with a leading zero or sign is no layer.
fn in_block(stem: &str) -> Option<(&str, &str)> {
    let (layer, part) = stem.strip_prefix("blk.")?.split_once('.')?;
    let number = layer.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = layer == "0" || !layer.starts_with('0');
    (number && canonical && !layer.is_empty()).then_some((layer, part))
}

fn block_part(part: &str) -> Option<&'static str> {
    Some(match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_names() {
        for (gguf, hugging_face) in [
            ("token_embd.weight", "model.embed_tokens.weight"),
            ("output_norm.weight", "model.norm.weight"),
            ("output.weight", "lm_head.weight"),
            ("rope_freqs.weight", "rope_freqs.weight"),
            ("blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"),
            ("blk.10.attn_q.bias", "model.layers.10.self_attn.q_proj.bias"),
            ("blk.3.attn_k_norm.weight", "model.layers.3.self_attn.k_norm.weight"),
            ("blk.3.ffn_down.weight", "model.layers.3.mlp.down_proj.weight"),
            ("blk.3.ffn_gate_exps.weight", "blk.3.ffn_gate_exps.weight"),
            ("blk.03.attn_q.weight", "blk.03.attn_q.weight"),
            ("blk.x.attn_q.weight", "blk.x.attn_q.weight"),
            ("plain", "plain"),
        ] {
            assert_eq!(to_hugging_face(gguf), hugging_face);
        }
    }

    #[test]
    fn finds_the_interleaved_projections() {
        assert_eq!(query_or_key("blk.1.attn_q.weight"), Some(Projection::Query));
        assert_eq!(query_or_key("blk.1.attn_k.bias"), Some(Projection::Key));
        assert_eq!(query_or_key("blk.1.attn_v.weight"), None);
        assert_eq!(query_or_key("blk.1.attn_q_norm.weight"), None);
    }
}
