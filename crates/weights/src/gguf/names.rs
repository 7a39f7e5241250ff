//! Parses llama.cpp's tensor names and builds Hugging Face's.

use std::collections::HashMap;
use std::path::Path;

use super::architecture::{Names, Table};
use super::header::RawTensor;
use crate::WeightsError;

/// A parsed tensor name: `blk.7.attn_q.weight` is part `attn_q` of layer `7`, with suffix `weight`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) layer: Option<&'a str>,
    pub(super) part: &'a str,
    pub(super) suffix: &'a str,
}

impl<'a> Place<'a> {
    /// Parses a name; `None` if it has no suffix.
    pub(super) fn of(name: &'a str) -> Option<Self> {
        let (stem, suffix) = name.rsplit_once('.')?;
        Some(match in_block(stem) {
            Some((layer, part)) => Self { layer: Some(layer), part, suffix },
            None => Self { layer: None, part: stem, suffix },
        })
    }

    /// The Hugging Face name of the part, or `None` if there is no rule for it.
    pub(super) fn hugging_face(&self, names: &Names) -> Option<String> {
        let suffix = self.suffix;
        match self.layer {
            None => Some(format!("{}.{suffix}", find(names.top, self.part)?)),
            Some(layer) => {
                let part = names.parts.iter().find_map(|table| find(table, self.part))?;
                Some(format!("{}.{layer}.{part}.{suffix}", names.layers))
            }
        }
    }
}

fn find(table: Table, part: &str) -> Option<&'static str> {
    table.iter().find(|(name, _)| *name == part).map(|&(_, name)| name)
}

/// Splits `blk.7.attn_q` into layer and part. A number with a leading zero or sign is not a layer.
fn in_block(stem: &str) -> Option<(&str, &str)> {
    let (layer, part) = stem.strip_prefix("blk.")?.split_once('.')?;
    let number = layer.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = layer == "0" || !layer.starts_with('0');
    (number && canonical && !layer.is_empty()).then_some((layer, part))
}

/// Rejects two tensors that are mapped to the same name. The names come with their sources.
pub(super) fn check_unique<'a>(
    path: &Path,
    names: impl Iterator<Item = (&'a str, &'a RawTensor)>,
) -> Result<(), WeightsError> {
    let mut seen = HashMap::new();
    for (name, tensor) in names {
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

#[cfg(test)]
mod tests {
    use super::super::architecture::{self, UNKNOWN};
    use super::*;

    fn mapped(names: &Names, name: &str) -> Option<String> {
        Place::of(name)?.hugging_face(names)
    }

    #[test]
    fn maps_names() {
        for (gguf, hugging_face) in [
            ("token_embd.weight", "model.embed_tokens.weight"),
            ("output_norm.weight", "model.norm.weight"),
            ("output.weight", "lm_head.weight"),
            ("blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"),
            ("blk.10.attn_q.bias", "model.layers.10.self_attn.q_proj.bias"),
            ("blk.3.attn_k_norm.weight", "model.layers.3.self_attn.k_norm.weight"),
            ("blk.3.ffn_down.weight", "model.layers.3.mlp.down_proj.weight"),
        ] {
            assert_eq!(mapped(&UNKNOWN.names, gguf).as_deref(), Some(hugging_face));
        }
        for gguf in [
            "rope_freqs.weight",
            "blk.3.ffn_gate_exps.weight",
            "blk.03.attn_q.weight",
            "blk.x.attn_q.weight",
            "plain",
        ] {
            assert_eq!(mapped(&UNKNOWN.names, gguf), None);
        }
    }

    #[test]
    fn one_name_of_llama_cpp_stands_for_several_families() {
        let model_type = |name, experts, window| {
            architecture::by_name(name, experts, window).map(|found| found.model_type)
        };
        assert_eq!(model_type("llama", false, false), Some("llama"));
        assert_eq!(model_type("llama", true, false), Some("mixtral"));
        assert_eq!(model_type("llama", false, true), Some("mistral"));
        assert_eq!(model_type("olmo2", false, true), Some("olmo3"));
        assert_eq!(model_type("gemma3", false, true), Some("gemma3_text"));
        assert_eq!(model_type("mamba", false, false), None);
    }
}
