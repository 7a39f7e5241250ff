//! Bits accounting: how many stored bits a weight costs, in the decoder blocks and in the head.

use serde::Serialize;

use crate::tensor::TensorInfo;

/// What the names of layers' tensors begin with: most families, GPT-NeoX, GPT-2.
const LAYERS: [&str; 3] = ["model.layers.", "gpt_neox.layers.", "transformer.h."];

const HEADS: [&str; 2] = ["lm_head.weight", "embed_out.weight"];

const EMBEDDINGS: [&str; 3] =
    ["model.embed_tokens.weight", "gpt_neox.embed_in.weight", "transformer.wte.weight"];

/// Size of a checkpoint. A scale, a minimum or a codebook counts as bits of the weights that it belongs to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Values of all tensors; constants of the position encoding (`rope_freqs.weight`, `rope_factors_*`) are left out.
    pub parameters: u64,
    /// Stored bits per value over all tensors of two or more axes in the layers (`model.layers.*`): embeddings, norms and biases are
    /// left out. `None` if there is no such tensor.
    pub decoder_bits_per_weight: Option<f64>,
    /// Stored bits per value of the head (`lm_head.weight`), or of the embedding where the head is tied to it.
    pub head_bits_per_weight: Option<f64>,
    /// Stored bytes of all tensors, without headers and padding.
    pub bytes: u64,
}

impl Summary {
    /// Adds up `infos`.
    pub fn from_infos<'a>(infos: impl IntoIterator<Item = &'a TensorInfo>) -> Self {
        let (mut parameters, mut bytes) = (0u64, 0u64);
        let (mut decoder, mut head, mut embedding) =
            (Cost::default(), Cost::default(), Cost::default());
        for info in infos {
            if !info.name.starts_with("rope_freqs.") && !info.name.starts_with("rope_factors_") {
                parameters = parameters.saturating_add(info.values);
            }
            bytes = bytes.saturating_add(info.stored_bytes);
            if LAYERS.iter().any(|layers| info.name.starts_with(layers)) && info.shape.len() >= 2 {
                decoder.add(info);
            } else if HEADS.contains(&info.name.as_str()) {
                head.add(info);
            } else if EMBEDDINGS.contains(&info.name.as_str()) {
                embedding.add(info);
            }
        }
        Self {
            parameters,
            decoder_bits_per_weight: decoder.bits_per_value(),
            head_bits_per_weight: head.bits_per_value().or_else(|| embedding.bits_per_value()),
            bytes,
        }
    }
}

#[derive(Default)]
struct Cost {
    bytes: u64,
    values: u64,
}

impl Cost {
    fn add(&mut self, info: &TensorInfo) {
        self.bytes = self.bytes.saturating_add(info.stored_bytes);
        self.values = self.values.saturating_add(info.values);
    }

    fn bits_per_value(&self) -> Option<f64> {
        (self.values > 0).then(|| 8.0 * self.bytes as f64 / self.values as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, shape: &[usize], stored_bytes: u64) -> TensorInfo {
        TensorInfo {
            name: name.to_owned(),
            shape: shape.to_vec(),
            format: String::new(),
            values: shape.iter().product::<usize>() as u64,
            stored_bytes,
        }
    }

    #[test]
    fn counts_blocks_and_head_apart() {
        let infos = [
            info("model.embed_tokens.weight", &[64, 32], 64 * 34),
            info("model.layers.0.self_attn.q_proj.weight", &[32, 32], 32 * 20),
            info("model.layers.0.mlp.up_proj.weight", &[32, 32], 32 * 64),
            info("model.layers.0.input_layernorm.weight", &[32], 128),
            info("rope_freqs.weight", &[16], 64),
        ];
        let tied = Summary::from_infos(&infos);
        assert_eq!(tied.parameters, 64 * 32 + 2 * 32 * 32 + 32);
        assert_eq!(tied.decoder_bits_per_weight, Some((5.0 + 16.0) / 2.0));
        assert_eq!(tied.head_bits_per_weight, Some(8.5));
        assert_eq!(tied.bytes, 64 * 34 + 32 * 20 + 32 * 64 + 128 + 64);

        let head = info("lm_head.weight", &[64, 32], 64 * 128);
        let untied = Summary::from_infos(infos.iter().chain([&head]));
        assert_eq!(untied.head_bits_per_weight, Some(32.0));
        assert_eq!(Summary::from_infos(&[]).decoder_bits_per_weight, None);
    }
}
