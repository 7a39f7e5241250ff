//! Bits accounting: how many stored bits a weight costs, in the decoder blocks and in the head.
//!
//! The definitions are those of exllamav3's `compare_q` and `qbench`. The bits are those of the decoder blocks'
//! matrices, including the scales, zero points, maps and codebooks that belong to them, divided by the number
//! of their values; norms, biases, router gates and embeddings are excluded. The head is counted separately.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::load_in::LoadIn;
use crate::tensor::TensorInfo;

/// Bytes in a GiB.
const GIB: f64 = (1u64 << 30) as f64;

/// Size of a checkpoint. A scale, a minimum or a codebook counts towards the bits of the weights that it
/// belongs to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The format of most of the decoder blocks' weights, for example `Q4_K` or `gptq int4 g128`; of all
    /// tensors if there are no blocks. Empty for a checkpoint without tensors.
    pub format: String,
    /// Number of values in all tensors, except `rope_freqs.weight` and `rope_factors_*`, which are constants of
    /// the position encoding, and scales of a quantized KV cache.
    pub parameters: u64,
    /// Number of values in the decoder blocks' matrices, router gates excluded.
    pub decoder_values: u64,
    /// Stored bytes of the decoder blocks' matrices, router gates excluded.
    pub decoder_bytes: u64,
    /// Number of values in the head, or in the embedding if the head is tied to it.
    pub head_values: u64,
    /// Stored bytes of the head, or of the embedding if the head is tied to it.
    pub head_bytes: u64,
    /// Stored bits per value over the decoder blocks' matrices, router gates excluded. `None` if there is no
    /// such tensor.
    pub decoder_bits_per_weight: Option<f64>,
    /// Stored bits per value of the head, or of the embedding if the head is tied to it.
    pub head_bits_per_weight: Option<f64>,
    /// Stored bytes of all tensors, without headers and padding.
    pub bytes: u64,
    /// Stored size of all tensors in GiB.
    pub gib: f64,
    /// Size in GiB of the decoder blocks' matrices and of the head (or the embedding that serves as one):
    /// `compare_q`'s "vram".
    pub gib_without_embeddings: f64,
    /// What is quantized besides weights. None of it is simulated: the model's figures reflect its weights
    /// only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weights_only: Vec<String>,
    /// Keys that nothing reads; they prevent the model from being run unless the experiment allows them to go
    /// unread.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread_keys: Vec<String>,
    /// Every stored format, in descending order of bytes.
    pub formats: Vec<FormatShare>,
    /// The decoder blocks in order.
    pub layers: Vec<LayerSummary>,
}

/// The share of one stored format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FormatShare {
    /// Its name.
    pub format: String,
    /// Number of tensors.
    pub tensors: u64,
    /// Values of these tensors.
    pub values: u64,
    /// Stored bytes of these tensors.
    pub bytes: u64,
}

/// Size of one decoder block.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerSummary {
    /// Its number, from 0.
    pub layer: usize,
    /// Values of all its tensors.
    pub parameters: u64,
    /// Stored bytes of all its tensors.
    pub bytes: u64,
    /// Stored bits per value of its matrices, router gates excluded. `None` if it has no matrix.
    pub bits_per_weight: Option<f64>,
    /// Formats of its matrices, without repetition, in file order.
    pub formats: Vec<String>,
}

impl Summary {
    /// Adds up `infos`.
    pub fn from_infos<'a>(infos: impl IntoIterator<Item = &'a TensorInfo>) -> Self {
        let mut whole = Cost::default();
        let (mut parameters, mut decoder) = (0u64, Cost::default());
        let (mut head, mut embedding) = (Cost::default(), Cost::default());
        let mut formats: BTreeMap<&str, (u64, Cost)> = BTreeMap::new();
        let mut decoder_formats: BTreeMap<&str, Cost> = BTreeMap::new();
        let mut layers: BTreeMap<usize, Layer> = BTreeMap::new();
        for info in infos {
            whole.add(info);
            let role = Role::of(info);
            if role != Role::Constant {
                parameters = parameters.saturating_add(info.values);
            }
            let share = formats.entry(&info.format).or_default();
            share.0 += 1;
            share.1.add(info);
            match role {
                Role::Decoder(number) => {
                    decoder.add(info);
                    decoder_formats.entry(&info.format).or_default().add(info);
                    let layer = layers.entry(number).or_default();
                    layer.all.add(info);
                    layer.matrices.add(info);
                    if !layer.formats.contains(&info.format) {
                        layer.formats.push(info.format.clone());
                    }
                }
                Role::DecoderOther(number) => layers.entry(number).or_default().all.add(info),
                Role::Head => head.add(info),
                Role::Embedding => embedding.add(info),
                Role::Constant | Role::Other => {}
            }
        }
        let mut formats: Vec<_> = formats
            .into_iter()
            .map(|(format, (tensors, cost))| FormatShare {
                format: format.to_owned(),
                tensors,
                values: cost.values,
                bytes: cost.bytes,
            })
            .collect();
        formats.sort_by_key(|share| std::cmp::Reverse(share.bytes));
        let most = decoder_formats.into_iter().max_by_key(|(_, cost)| cost.values);
        let first = formats.first().map_or("", |share| share.format.as_str());
        let head = if head.values > 0 { head } else { embedding };
        Self {
            format: most.map_or(first, |(format, _)| format).to_owned(),
            parameters,
            decoder_values: decoder.values,
            decoder_bytes: decoder.bytes,
            head_values: head.values,
            head_bytes: head.bytes,
            decoder_bits_per_weight: decoder.bits_per_value(),
            head_bits_per_weight: head.bits_per_value(),
            bytes: whole.bytes,
            gib: whole.bytes as f64 / GIB,
            gib_without_embeddings: decoder.bytes.saturating_add(head.bytes) as f64 / GIB,
            weights_only: Vec::new(),
            unread_keys: Vec::new(),
            formats,
            layers: layers.into_iter().map(|(number, layer)| layer.finish(number)).collect(),
        }
    }
}

/// The size that `infos` have when the decoder blocks' matrices are quantized to `kind` on load. `transposed`
/// says that they are stored as `[in, out]`.
pub(crate) fn loaded_in<'a>(
    infos: impl IntoIterator<Item = &'a TensorInfo>,
    kind: LoadIn,
    transposed: bool,
) -> Vec<TensorInfo> {
    let change = |info: &TensorInfo| {
        let mut info = info.clone();
        if let ([experts, inputs, outputs], true) = (&info.shape[..], is_stack(&info)) {
            info.stored_bytes = *experts as u64 * kind.stored_bytes(&[*outputs, *inputs]);
            info.format = kind.name().to_owned();
        } else if matches!(Role::of(&info), Role::Decoder(_)) {
            let mut shape = info.shape.clone();
            if transposed {
                shape.reverse();
            }
            info.stored_bytes = kind.stored_bytes(&shape);
            info.format = kind.name().to_owned();
        }
        info
    };
    infos.into_iter().map(change).collect()
}

/// The category under which a tensor is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A matrix of a decoder block, router gates excluded.
    Decoder(usize),
    /// Another tensor of a decoder block.
    DecoderOther(usize),
    Head,
    Embedding,
    /// Not a parameter.
    Constant,
    Other,
}

/// The decoder block that the tensor of this name belongs to.
pub(crate) fn layer_of(name: &str) -> Option<usize> {
    // The towers of a multimodal model have layers too.
    if is_of_a_tower(name) {
        return None;
    }
    let mut parts = name.split('.').peekable();
    while let Some(part) = parts.next() {
        if matches!(part, "layers" | "h" | "blocks")
            && let Some(Ok(number)) = parts.peek().map(|number| number.parse())
        {
            return Some(number);
        }
    }
    None
}

fn is_of_a_tower(name: &str) -> bool {
    ["vision", "visual", "audio"].iter().any(|tower| name.contains(tower))
}

/// Whether a tensor holds the matrices of all experts of a decoder block, `[experts, inputs, outputs]`, as
/// Transformers names them: `model.layers.0.mlp.experts.down_proj`.
fn is_stack(info: &TensorInfo) -> bool {
    let parts: Vec<_> = info.name.rsplitn(3, '.').collect();
    parts.len() == 3 && parts[1] == "experts" && info.shape.len() == 3
}

impl Role {
    fn of(info: &TensorInfo) -> Self {
        let name = info.name.as_str();
        if name == "rope_freqs.weight"
            || name.starts_with("rope_factors_")
            || [".k_scale", ".v_scale"].iter().any(|end| name.ends_with(end))
        {
            return Self::Constant;
        }
        if is_of_a_tower(name) {
            return Self::Other;
        }
        let layer = layer_of(name);
        let parts: Vec<_> = name.split('.').collect();
        let [.., module, "weight"] = parts.as_slice() else {
            if let (Some(layer), true) = (layer, is_stack(info)) {
                return Self::Decoder(layer);
            }
            return layer.map_or(Self::Other, Self::DecoderOther);
        };
        match (layer, *module) {
            (Some(layer), "gate" | "router") => Self::DecoderOther(layer),
            (Some(layer), _) if info.shape.len() >= 2 => Self::Decoder(layer),
            (Some(layer), _) => Self::DecoderOther(layer),
            (None, "lm_head" | "embed_out") => Self::Head,
            (None, "embed_tokens" | "embed_in" | "wte") => Self::Embedding,
            (None, _) => Self::Other,
        }
    }
}

#[derive(Default)]
struct Layer {
    all: Cost,
    matrices: Cost,
    formats: Vec<String>,
}

impl Layer {
    fn finish(self, layer: usize) -> LayerSummary {
        LayerSummary {
            layer,
            parameters: self.all.values,
            bytes: self.all.bytes,
            bits_per_weight: self.matrices.bits_per_value(),
            formats: self.formats,
        }
    }
}

#[derive(Clone, Copy, Default)]
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

    fn info(name: &str, shape: &[usize], format: &str, stored_bytes: u64) -> TensorInfo {
        TensorInfo {
            name: name.to_owned(),
            shape: shape.to_vec(),
            format: format.to_owned(),
            values: shape.iter().product::<usize>() as u64,
            stored_bytes,
        }
    }

    fn model() -> [TensorInfo; 6] {
        [
            info("model.embed_tokens.weight", &[64, 32], "Q8_0", 64 * 34),
            info("model.layers.0.self_attn.q_proj.weight", &[32, 32], "Q5_0", 32 * 20),
            info("model.layers.1.mlp.up_proj.weight", &[32, 64], "F16", 32 * 128),
            info("model.layers.1.mlp.gate.weight", &[4, 32], "F32", 512),
            info("model.layers.0.input_layernorm.weight", &[32], "F32", 128),
            info("rope_freqs.weight", &[16], "F32", 64),
        ]
    }

    #[test]
    fn loading_in_another_format_changes_blocks_alone() {
        let infos = model();
        let before = Summary::from_infos(&infos);
        let after = Summary::from_infos(&loaded_in(&infos, LoadIn::Int8, false));
        assert_eq!(after.decoder_bytes, 32 * 32 + 4 * 32 + 32 * 64 + 4 * 32);
        assert_eq!(after.decoder_values, before.decoder_values);
        assert_eq!(after.bytes - after.decoder_bytes, before.bytes - before.decoder_bytes);
        assert_eq!((after.format.as_str(), after.head_bytes), ("int8", before.head_bytes));
        let flipped = Summary::from_infos(&loaded_in(&infos, LoadIn::Int8, true));
        assert_eq!(flipped.decoder_bytes, after.decoder_bytes + 4 * 32);
        let four = Summary::from_infos(&loaded_in(&infos, LoadIn::Nf4, false));
        assert_eq!(four.decoder_bits_per_weight, Some(4.5));
    }

    #[test]
    fn counts_blocks_and_head_apart() {
        let infos = model();
        let tied = Summary::from_infos(&infos);
        let decoder_bytes = 32 * 20 + 32 * 128;
        assert_eq!(tied.parameters, 64 * 32 + 32 * 32 + 32 * 64 + 128 + 32);
        assert_eq!(tied.decoder_bits_per_weight, Some(8.0 * f64::from(decoder_bytes) / 3072.0));
        assert_eq!(tied.head_bits_per_weight, Some(8.5));
        assert_eq!(tied.bytes, 64 * 34 + decoder_bytes as u64 + 512 + 128 + 64);
        assert_eq!(tied.gib * GIB, tied.bytes as f64);
        assert_eq!(tied.gib_without_embeddings * GIB, f64::from(decoder_bytes + 64 * 34));
        assert_eq!(tied.format, "F16");

        let head = info("lm_head.weight", &[64, 32], "F32", 64 * 128);
        let untied = Summary::from_infos(infos.iter().chain([&head]));
        assert_eq!(untied.head_bits_per_weight, Some(32.0));
        assert_eq!(untied.gib_without_embeddings * GIB, f64::from(decoder_bytes + 64 * 128));
        let empty = Summary::from_infos(&[]);
        assert_eq!((empty.decoder_bits_per_weight, empty.format.as_str()), (None, ""));
    }

    #[test]
    fn formats_and_layers_are_listed() {
        let infos = model();
        let summary = Summary::from_infos(&infos);
        let shares: Vec<_> = summary
            .formats
            .iter()
            .map(|share| (share.format.as_str(), share.tensors, share.values, share.bytes))
            .collect();
        assert_eq!(
            shares,
            [
                ("F16", 1, 2048, 4096),
                ("Q8_0", 1, 2048, 2176),
                ("F32", 3, 176, 704),
                ("Q5_0", 1, 1024, 640)
            ]
        );
        let layers: Vec<_> = summary
            .layers
            .iter()
            .map(|layer| (layer.layer, layer.parameters, layer.bytes, layer.bits_per_weight))
            .collect();
        assert_eq!(
            layers,
            [(0, 1024 + 32, 640 + 128, Some(5.0)), (1, 2048 + 128, 4096 + 512, Some(16.0))]
        );
        assert_eq!(summary.layers[1].formats, ["F16"]);
    }

    #[test]
    fn names_of_other_families_have_the_same_roles() {
        let cases = [
            ("gpt_neox.layers.3.mlp.dense_h_to_4h.weight", Role::Decoder(3)),
            ("transformer.h.11.attn.c_attn.weight", Role::Decoder(11)),
            ("model.language_model.layers.2.mlp.down_proj.weight", Role::Decoder(2)),
            ("model.layers.0.block_sparse_moe.gate.weight", Role::DecoderOther(0)),
            ("model.layers.0.mlp.experts.7.gate_proj.weight", Role::Decoder(0)),
            ("model.layers.0.self_attn.q_proj.bias", Role::DecoderOther(0)),
            ("model.layers.0.self_attn.k_scale", Role::Constant),
            ("model.vision_tower.layers.0.fc1.weight", Role::Other),
            ("embed_out.weight", Role::Head),
            ("gpt_neox.embed_in.weight", Role::Embedding),
            ("transformer.wpe.weight", Role::Other),
        ];
        for (name, role) in cases {
            assert_eq!(Role::of(&info(name, &[2, 2], "F32", 16)), role, "{name}");
        }
        let stack = info("model.layers.4.mlp.experts.down_proj", &[3, 64, 32], "mxfp4 experts", 1);
        assert_eq!(Role::of(&stack), Role::Decoder(4));
        let biases = info("model.layers.4.mlp.experts.down_proj_bias", &[3, 32], "BF16", 192);
        assert_eq!(Role::of(&biases), Role::DecoderOther(4));
        // Codes of a byte, and a scale for each of an expert's outputs.
        let loaded = loaded_in([&stack], LoadIn::Int8, false);
        assert_eq!(loaded[0].stored_bytes, 3 * (64 * 32 + 4 * 32));
    }
}
