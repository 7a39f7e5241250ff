//! Names of tensors, and how a checkpoint lays them out.

/// Names of a family's tensors, without `.weight` and `.bias`. Those of a layer are preceded by `layer`, the
/// layer's number and a dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Names {
    /// Possible prefixes of all names but the head's. The first one that matches is used, or the first of all
    /// if none does.
    pub(crate) prefixes: &'static [&'static str],
    pub(crate) embedding: &'static str,
    pub(crate) positions: &'static str,
    pub(crate) final_norm: &'static str,
    /// Possible names of the head.
    pub(crate) head: &'static [&'static str],
    pub(crate) layer: &'static str,
    /// Names of the norms, first the one before the attention; a norm without a name is the identity.
    pub(crate) attention_in: Option<&'static str>,
    pub(crate) attention_out: Option<&'static str>,
    pub(crate) mlp_in: Option<&'static str>,
    pub(crate) mlp_out: Option<&'static str>,
    pub(crate) projections: Projections,
    /// Of layers whose keys and values come from a latent, in place of `projections`.
    pub(crate) latent: LatentNames,
    pub(crate) query_norm: &'static str,
    pub(crate) key_norm: &'static str,
    pub(crate) output: &'static str,
    pub(crate) network: Network,
    pub(crate) router: &'static str,
    /// Prefix of an expert's projections, followed by its number and a dot.
    pub(crate) experts: &'static str,
    pub(crate) expert: Network,
    /// What is added to the experts' scores for the choice; this name is whole.
    pub(crate) correction: Correction,
    /// The expert of all tokens, and its gate.
    pub(crate) shared: Network,
    pub(crate) shared_gate: &'static str,
    /// Whether a layer's weights are stored as `[in, out]`.
    pub(crate) transposed: bool,
}

/// How queries, keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Projections {
    Apart {
        query: &'static str,
        key: &'static str,
        value: &'static str,
    },
    /// One matrix with the rows of all queries, then all keys, then all values.
    Stacked(&'static str),
    /// One matrix with the rows of query, key and value of the first head, then of the second, and so on.
    ByHead(&'static str),
}

/// Names of multi-head latent attention. Its heads are stored one after the other: of queries, the channels without
/// rotation, then the rotated ones; of keys and values, the keys' channels without rotation, then the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LatentNames {
    /// Queries without a latent.
    pub(crate) query: &'static str,
    pub(crate) query_down: &'static str,
    pub(crate) query_norm: &'static str,
    pub(crate) query_up: &'static str,
    /// The latent of keys and values, then the rotated channels of all keys.
    pub(crate) down: &'static str,
    pub(crate) norm: &'static str,
    pub(crate) up: &'static str,
}

/// How the correction of the choice of experts is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Correction {
    pub(crate) name: &'static str,
    /// Whether it is a matrix of one row.
    pub(crate) row: bool,
}

impl Correction {
    /// Its stored shape, for `experts` experts.
    pub(crate) fn shape(&self, experts: usize) -> Vec<usize> {
        if self.row { vec![1, experts] } else { vec![experts] }
    }
}

/// The projections of a feed-forward network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) up: Up,
    pub(crate) down: &'static str,
}

/// How the first projections of a network are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Up {
    Plain(&'static str),
    Gated {
        gate: &'static str,
        up: &'static str,
    },
    /// One matrix with the rows of the gate, then those of the up projection.
    Stacked(&'static str),
}

impl Names {
    /// The names of Llama.
    pub(crate) const LLAMA: Names = Names {
        prefixes: &[
            "model.",
            // From a model saved without its head.
            "",
            // From multimodal models, older and newer.
            "language_model.model.",
            "model.language_model.",
            "language_model.",
            "model.text_model.",
        ],
        embedding: "embed_tokens",
        positions: "",
        final_norm: "norm",
        head: &["lm_head", "language_model.lm_head"],
        layer: "layers.",
        attention_in: Some("input_layernorm"),
        attention_out: None,
        mlp_in: Some("post_attention_layernorm"),
        mlp_out: None,
        projections: Projections::Apart {
            query: "self_attn.q_proj",
            key: "self_attn.k_proj",
            value: "self_attn.v_proj",
        },
        latent: LatentNames {
            query: "self_attn.q_proj",
            query_down: "self_attn.q_a_proj",
            query_norm: "self_attn.q_a_layernorm",
            query_up: "self_attn.q_b_proj",
            down: "self_attn.kv_a_proj_with_mqa",
            norm: "self_attn.kv_a_layernorm",
            up: "self_attn.kv_b_proj",
        },
        query_norm: "self_attn.q_norm",
        key_norm: "self_attn.k_norm",
        output: "self_attn.o_proj",
        network: Network {
            up: Up::Gated { gate: "mlp.gate_proj", up: "mlp.up_proj" },
            down: "mlp.down_proj",
        },
        router: "mlp.gate",
        experts: "mlp.experts.",
        expert: Network { up: Up::Gated { gate: "gate_proj", up: "up_proj" }, down: "down_proj" },
        correction: Correction { name: "mlp.gate.e_score_correction_bias", row: false },
        shared: Network {
            up: Up::Gated {
                gate: "mlp.shared_experts.gate_proj",
                up: "mlp.shared_experts.up_proj",
            },
            down: "mlp.shared_experts.down_proj",
        },
        shared_gate: "mlp.shared_expert_gate",
        transposed: false,
    };

    /// The prefix of all names but the head's in a checkpoint; `contains` tells which tensors it has.
    pub(crate) fn prefix(&self, contains: impl Fn(&str) -> bool) -> &'static str {
        let fits = |prefix: &&&str| contains(&format!("{prefix}{}.weight", self.final_norm));
        let first = self.prefixes.first();
        self.prefixes.iter().find(fits).or(first).copied().unwrap_or_default()
    }

    /// The norms of a layer, except those of heads.
    pub(crate) fn layer_norms(&self) -> impl Iterator<Item = &'static str> {
        // Both blocks may read the same one.
        let mlp_in = self.mlp_in.filter(|name| self.attention_in != Some(name));
        [self.attention_in, self.attention_out, mlp_in, self.mlp_out].into_iter().flatten()
    }
}
