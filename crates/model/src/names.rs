//! Names of tensors, and how a checkpoint lays them out.

/// Names of a family's tensors, without `.weight` and `.bias`. Those of a layer follow `layer`, the
/// layer's number and a dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Names {
    /// What may stand before all names but the head's; the first one that fits is taken, and the first of all where none
    /// does.
    pub(crate) prefixes: &'static [&'static str],
    pub(crate) embedding: &'static str,
    pub(crate) positions: &'static str,
    pub(crate) final_norm: &'static str,
    /// Any of these.
    pub(crate) head: &'static [&'static str],
    pub(crate) layer: &'static str,
    /// The norm before the attention, and so on; absent ones are the identity.
    pub(crate) attention_in: Option<&'static str>,
    pub(crate) attention_out: Option<&'static str>,
    pub(crate) mlp_in: Option<&'static str>,
    pub(crate) mlp_out: Option<&'static str>,
    pub(crate) projections: Projections,
    pub(crate) query_norm: &'static str,
    pub(crate) key_norm: &'static str,
    pub(crate) output: &'static str,
    pub(crate) network: Network,
    pub(crate) router: &'static str,
    /// Names of an expert's projections follow this, its number and a dot.
    pub(crate) experts: &'static str,
    pub(crate) expert: Network,
    /// Whether a layer's weights are `[in, out]`.
    pub(crate) transposed: bool,
}

/// Where queries, keys and values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Projections {
    Apart {
        query: &'static str,
        key: &'static str,
        value: &'static str,
    },
    /// Rows of all queries, then all keys, then all values.
    Stacked(&'static str),
    /// Rows of query, key and value of the first head, then of the second, and so on.
    ByHead(&'static str),
}

/// The projections of a feed-forward network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) up: Up,
    pub(crate) down: &'static str,
}

/// Where the first projections of a network are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Up {
    Plain(&'static str),
    Gated {
        gate: &'static str,
        up: &'static str,
    },
    /// Rows of the gate, then of the other.
    Stacked(&'static str),
}

impl Names {
    /// The names of Llama.
    pub(crate) const LLAMA: Names = Names {
        prefixes: &[
            "model.",
            // A model saved without its head.
            "",
            // Of multimodal models, older and newer.
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
        transposed: false,
    };

    /// What stands before all names but the head's in a checkpoint that `contains` the tensors it is asked for.
    pub(crate) fn prefix(&self, contains: impl Fn(&str) -> bool) -> &'static str {
        let fits = |prefix: &&&str| contains(&format!("{prefix}{}.weight", self.final_norm));
        let first = self.prefixes.first();
        self.prefixes.iter().find(fits).or(first).copied().unwrap_or_default()
    }

    /// The norms of a layer, without those of heads.
    pub(crate) fn layer_norms(&self) -> impl Iterator<Item = &'static str> {
        [self.attention_in, self.attention_out, self.mlp_in, self.mlp_out].into_iter().flatten()
    }
}
