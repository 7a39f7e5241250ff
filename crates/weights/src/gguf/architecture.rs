//! The model architectures of llama.cpp that strait knows: their Hugging Face names and those of their tensors.
//!
//! Keys and tensor names are the constants of the `gguf` package; what the converter does to tensors is checked
//! against its own files in `golden/families`.

/// One architecture.
#[derive(Debug)]
pub(super) struct Architecture {
    /// The value of `general.architecture`.
    pub(super) name: &'static str,
    /// Value of `model_type` in `config.json`.
    pub(super) model_type: &'static str,
    pub(super) names: Names,
    /// Whether the rows of query and key heads are stored interleaved.
    pub(super) interleaved_heads: bool,
    /// Whether 1 was added to the weights of norms.
    pub(super) norms_plus_one: bool,
}

/// Hugging Face's names for an architecture's tensors.
#[derive(Debug)]
pub(super) struct Names {
    /// Tensors outside the layers.
    pub(super) top: Table,
    /// The prefix before a layer's number.
    pub(super) layers: &'static str,
    /// Names of the tensors of a layer.
    pub(super) parts: &'static [Table],
    /// Names of the experts' tensors, if there are any.
    pub(super) experts: Option<Experts>,
}

/// Pairs of llama.cpp's name and Hugging Face's, without `weight` or `bias`.
pub(super) type Table = &'static [(&'static str, &'static str)];

/// The names of experts' tensors: `folder`, the expert's number, and one of the other fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Experts {
    pub(super) folder: &'static str,
    pub(super) gate: &'static str,
    pub(super) up: &'static str,
    pub(super) down: &'static str,
}

/// The architecture called `name`. `experts` distinguishes Mixtral from Llama; `window` distinguishes Mistral,
/// which shares Llama's name, and OLMo 3 from OLMo 2.
pub(super) fn by_name(name: &str, experts: bool, window: bool) -> Option<&'static Architecture> {
    let model_type = match (name, experts, window) {
        ("llama", true, _) => "mixtral",
        ("llama", false, true) => "mistral",
        ("olmo2", _, true) => "olmo3",
        _ => return ARCHITECTURES.iter().find(|known| known.name == name),
    };
    ARCHITECTURES.iter().find(|known| known.model_type == model_type)
}

/// The fallback for an architecture that [`by_name`] does not find: Llama's names, with tensors as they are
/// stored.
pub(super) static UNKNOWN: Architecture = plain("", "", &[ATTENTION, PRE_NORMS, MLP]);

static ARCHITECTURES: [Architecture; 12] = [
    llama("llama", &[ATTENTION, PRE_NORMS, MLP], None),
    llama("mistral", &[ATTENTION, PRE_NORMS, MLP], None),
    llama(
        "mixtral",
        &[ATTENTION, PRE_NORMS, &[("ffn_gate_inp", "block_sparse_moe.gate")]],
        Some(Experts { folder: "block_sparse_moe.experts", gate: "w1", up: "w3", down: "w2" }),
    ),
    plain("qwen2", "qwen2", &[ATTENTION, PRE_NORMS, MLP]),
    plain("qwen3", "qwen3", &[ATTENTION, PRE_NORMS, MLP]),
    QWEN3_MOE,
    Architecture {
        norms_plus_one: true,
        ..plain("gemma3", "gemma3_text", &[ATTENTION, SANDWICH_NORMS, MLP])
    },
    plain("phi3", "phi3", &[PRE_NORMS, PHI3]),
    plain("olmo2", "olmo2", &[ATTENTION, POST_NORMS, MLP]),
    plain("olmo2", "olmo3", &[ATTENTION, POST_NORMS, MLP]),
    GPT_NEOX,
    GPT2,
];

/// An architecture with Llama's names outside the layers and unmodified tensors.
const fn plain(
    name: &'static str,
    model_type: &'static str,
    parts: &'static [Table],
) -> Architecture {
    let top = &[
        ("token_embd", "model.embed_tokens"),
        ("output_norm", "model.norm"),
        ("output", "lm_head"),
    ];
    let names = Names { top, layers: "model.layers", parts, experts: None };
    Architecture { name, model_type, names, interleaved_heads: false, norms_plus_one: false }
}

/// One of the models that llama.cpp calls "llama".
const fn llama(
    model_type: &'static str,
    parts: &'static [Table],
    experts: Option<Experts>,
) -> Architecture {
    let mut architecture = plain("llama", model_type, parts);
    architecture.names.experts = experts;
    architecture.interleaved_heads = true;
    architecture
}

const QWEN3_MOE: Architecture = {
    let parts = &[ATTENTION, PRE_NORMS, MLP, &[("ffn_gate_inp", "mlp.gate")]];
    let mut architecture = plain("qwen3moe", "qwen3_moe", parts);
    architecture.names.experts = Some(Experts {
        folder: "mlp.experts",
        gate: "gate_proj",
        up: "up_proj",
        down: "down_proj",
    });
    architecture
};

const GPT_NEOX: Architecture = Architecture {
    names: Names {
        top: &[
            ("token_embd", "gpt_neox.embed_in"),
            ("output_norm", "gpt_neox.final_layer_norm"),
            ("output", "embed_out"),
        ],
        layers: "gpt_neox.layers",
        parts: &[
            PRE_NORMS,
            &[
                ("attn_qkv", "attention.query_key_value"),
                ("attn_output", "attention.dense"),
                ("ffn_up", "mlp.dense_h_to_4h"),
                ("ffn_down", "mlp.dense_4h_to_h"),
            ],
        ],
        experts: None,
    },
    ..plain("gptneox", "gpt_neox", &[])
};

const GPT2: Architecture = Architecture {
    names: Names {
        top: &[
            ("token_embd", "transformer.wte"),
            ("position_embd", "transformer.wpe"),
            ("output_norm", "transformer.ln_f"),
            ("output", "lm_head"),
        ],
        layers: "transformer.h",
        parts: &[&[
            ("attn_norm", "ln_1"),
            ("attn_qkv", "attn.c_attn"),
            ("attn_output", "attn.c_proj"),
            ("ffn_norm", "ln_2"),
            ("ffn_up", "mlp.c_fc"),
            ("ffn_down", "mlp.c_proj"),
        ]],
        experts: None,
    },
    ..plain("gpt2", "gpt2", &[])
};

const ATTENTION: Table = &[
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
];

const MLP: Table =
    &[("ffn_gate", "mlp.gate_proj"), ("ffn_up", "mlp.up_proj"), ("ffn_down", "mlp.down_proj")];

const PHI3: Table = &[
    ("attn_qkv", "self_attn.qkv_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_up", "mlp.gate_up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

const PRE_NORMS: Table =
    &[("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm")];

const POST_NORMS: Table = &[
    ("post_attention_norm", "post_attention_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];

const SANDWICH_NORMS: Table = &[
    ("attn_norm", "input_layernorm"),
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];
