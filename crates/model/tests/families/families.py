"""Families: from the keys of a config.json to the description of an architecture.

`describe(config, length)` reads the published style and that of Transformers 5.
"""

import math
from dataclasses import replace

import numpy as np

from reference import Architecture, Experts, Latent, Rope


def rope(table, theta, rotated, max_positions, length):
    """Frequencies of `rotated` channels; `table` is rope_scaling or rope_parameters.

    Everything per channel is rounded to f32 where Transformers rounds.
    """
    f32 = np.float32
    exponent = np.arange(0, rotated, 2).astype(f32) / f32(rotated)
    power = np.power(np.float64(f32(theta)), exponent.astype(np.float64)).astype(f32)
    plain = f32(1) / power
    kind = table.get("rope_type") or table.get("type") or "default"
    if kind == "default":
        return Rope(plain)
    factor = table.get("factor")
    if kind == "linear":
        return Rope(plain / f32(factor))
    original = table.get("original_max_position_embeddings") or max_positions
    if kind == "llama3":
        low, high = table["low_freq_factor"], table["high_freq_factor"]
        wavelength = f32(2 * math.pi) / plain
        smooth = (f32(original) / wavelength - f32(low)) / f32(high - low)
        mixed = (1 - smooth) * plain / f32(factor) + smooth * plain
        scaled = np.where(wavelength > original / low, plain / f32(factor), mixed)
        return Rope(np.where(wavelength < original / high, plain, scaled))
    factor = factor or max_positions / original
    given = table.get("attention_factor")
    if kind == "yarn":

        def mscale(weight=1.0):
            return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

        def channel(rotations):
            return rotated * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(theta))

        low = channel(table.get("beta_fast") or 32)
        high = channel(table.get("beta_slow") or 1)
        if table.get("truncate", True):
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, rotated - 1)
        high += 0.001 if low == high else 0
        ramp = np.clip((np.arange(rotated // 2, dtype=f32) - f32(low)) / f32(high - low), 0, 1)
        keep = 1 - ramp
        if given is None and table.get("mscale") and table.get("mscale_all_dim"):
            given = mscale(table["mscale"]) / mscale(table["mscale_all_dim"])
        scaled = f32(1) / (f32(factor) * power)
        return Rope(scaled * (1 - keep) + plain * keep, mscale() if given is None else given)
    if kind == "longrope":
        divisor = table["long_factor" if length > original else "short_factor"]
        if given is None:
            given = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
        return Rope(f32(1) / (np.array(divisor, dtype=f32) * power), given)
    raise ValueError(f"rope_type {kind}")


NAMES = {
    "embedding": "model.embed_tokens",
    "layer": "model.layers.{}.",
    "attention_in": "input_layernorm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "output": "self_attn.o_proj",
    "mlp_in": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
    "final_norm": "model.norm",
    "head": "lm_head",
}
QK_NORM = {"query_norm": "self_attn.q_norm", "key_norm": "self_attn.k_norm"}
EXPERTS = {
    "router": "mlp.gate",
    "expert_gate": "mlp.experts.{}.gate_proj",
    "expert_up": "mlp.experts.{}.up_proj",
    "expert_down": "mlp.experts.{}.down_proj",
    "correction": "mlp.gate.e_score_correction_bias",
    "common_gate": "mlp.shared_experts.gate_proj",
    "common_up": "mlp.shared_experts.up_proj",
    "common_down": "mlp.shared_experts.down_proj",
}
LATENT = {
    "query_down": "self_attn.q_a_proj",
    "query_latent_norm": "self_attn.q_a_layernorm",
    "query_up": "self_attn.q_b_proj",
    "latent_down": "self_attn.kv_a_proj_with_mqa",
    "latent_norm": "self_attn.kv_a_layernorm",
    "latent_up": "self_attn.kv_b_proj",
}


# What holds where a key is absent; null is a value.
LLAMA = dict(hidden_act="silu", rms_norm_eps=1e-6, tie_word_embeddings=False)
QWEN = dict(num_key_value_heads=32, use_sliding_window=False, sliding_window=4096)
GEMMA2 = dict(
    rms_norm_eps=1e-6,
    tie_word_embeddings=True,
    hidden_activation="gelu_pytorch_tanh",
    num_key_value_heads=4,
    attention_bias=False,
    head_dim=256,
    query_pre_attn_scalar=256,
    sliding_window=4096,
    attn_logit_softcapping=50.0,
    final_logit_softcapping=30.0,
    max_position_embeddings=8192,
)
DEEPSEEK = dict(
    attention_bias=False,
    num_experts_per_tok=8,
    n_shared_experts=1,
    norm_topk_prob=True,
)
MLA = dict(
    q_lora_rank=1536,
    kv_lora_rank=512,
    qk_rope_head_dim=64,
    qk_nope_head_dim=128,
    v_head_dim=128,
)
DEFAULTS = {
    "gpt_neox": dict(
        hidden_act="gelu",
        layer_norm_eps=1e-5,
        attention_bias=True,
        tie_word_embeddings=False,
        use_parallel_residual=True,
        max_position_embeddings=2048,
    ),
    "gpt2": dict(
        activation_function="gelu_new",
        layer_norm_epsilon=1e-5,
        tie_word_embeddings=True,
        n_inner=None,
        n_positions=1024,
    ),
    "llama": dict(LLAMA, attention_bias=False, mlp_bias=False, max_position_embeddings=2048),
    "mistral": dict(
        LLAMA, num_key_value_heads=8, sliding_window=4096, max_position_embeddings=131072
    ),
    "qwen2": dict(LLAMA, **QWEN, max_window_layers=28, max_position_embeddings=32768),
    "qwen3": dict(
        LLAMA,
        **QWEN,
        attention_bias=False,
        head_dim=128,
        max_window_layers=28,
        max_position_embeddings=32768,
    ),
    "gemma3_text": dict(
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        hidden_activation="gelu_pytorch_tanh",
        num_key_value_heads=4,
        attention_bias=False,
        head_dim=256,
        query_pre_attn_scalar=256,
        sliding_window=4096,
        final_logit_softcapping=None,
        max_position_embeddings=131072,
    ),
    "phi3": {
        **LLAMA,
        "rms_norm_eps": 1e-5,
        "sliding_window": None,
        "original_max_position_embeddings": 4096,
        "max_position_embeddings": 4096,
    },
    "olmo2": {
        **LLAMA,
        "rms_norm_eps": 1e-5,
        "attention_bias": False,
        "max_position_embeddings": 2048,
    },
    "mixtral": {
        **LLAMA,
        "rms_norm_eps": 1e-5,
        "num_key_value_heads": 8,
        "sliding_window": None,
        "num_experts_per_tok": 2,
        "num_local_experts": 8,
        "max_position_embeddings": 131072,
    },
    "qwen3_moe": {
        **LLAMA,
        **QWEN,
        "num_key_value_heads": 4,
        "attention_bias": False,
        "num_experts_per_tok": 8,
        "num_local_experts": 128,
        "moe_intermediate_size": 768,
        "norm_topk_prob": False,
        "mlp_only_layers": [],
        "decoder_sparse_step": 1,
        "max_position_embeddings": 32768,
    },
    "smollm3": {
        **LLAMA,
        "num_key_value_heads": 4,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "use_sliding_window": False,
        "sliding_window": None,
        "no_rope_layer_interval": 4,
        "max_position_embeddings": 32768,
    },
    "olmo3": {
        **LLAMA,
        "rms_norm_eps": 1e-5,
        "attention_bias": False,
        "sliding_window": 4096,
        "max_position_embeddings": 2048,
    },
    "olmoe": {
        **LLAMA,
        "rms_norm_eps": 1e-5,
        "attention_bias": False,
        "num_experts_per_tok": 8,
        "num_experts": 64,
        "norm_topk_prob": False,
        "max_position_embeddings": 4096,
    },
    "qwen2_moe": {
        **LLAMA,
        **QWEN,
        "num_key_value_heads": 16,
        "qkv_bias": True,
        "max_window_layers": 28,
        "num_experts_per_tok": 4,
        "num_experts": 60,
        "moe_intermediate_size": 1408,
        "shared_expert_intermediate_size": 5632,
        "norm_topk_prob": False,
        "mlp_only_layers": [],
        "decoder_sparse_step": 1,
        "max_position_embeddings": 32768,
    },
    "glm4_moe": {
        **LLAMA,
        **DEEPSEEK,
        "rms_norm_eps": 1e-5,
        "num_key_value_heads": 8,
        "use_qk_norm": False,
        "moe_intermediate_size": 1408,
        "n_routed_experts": 128,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "routed_scaling_factor": 1.0,
        "max_position_embeddings": 131072,
    },
    "dots1": {
        **LLAMA,
        "attention_bias": False,
        "num_key_value_heads": 32,
        "norm_topk_prob": False,
        "moe_intermediate_size": 1408,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 0,
        "routed_scaling_factor": 1.0,
        "sliding_window": 4096,
        "max_window_layers": 62,
        "max_position_embeddings": 2048,
    },
    "ernie4_5": dict(
        LLAMA | {"rms_norm_eps": 1e-5, "tie_word_embeddings": True},
        num_key_value_heads=2,
        head_dim=128,
        use_bias=False,
        max_position_embeddings=131072,
    ),
    "glm4": dict(
        LLAMA | {"rms_norm_eps": 1.5625e-7},
        num_key_value_heads=2,
        head_dim=128,
        attention_bias=True,
        max_position_embeddings=131072,
    ),
    "ernie4_5_moe": {
        **LLAMA,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "num_key_value_heads": 4,
        "moe_k": 6,
        "moe_num_experts": 64,
        "moe_num_shared_experts": 2,
        "moe_intermediate_size": 1536,
        "moe_layer_start_index": 1,
        "moe_layer_interval": 1,
        "max_position_embeddings": 131072,
    },
    "minimax_m2": {
        **LLAMA,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "num_experts_per_tok": 8,
        "num_local_experts": 256,
        "intermediate_size": 1536,
        "max_position_embeddings": 196608,
    },
    "deepseek_v2": {
        **LLAMA,
        **MLA,
        "attention_bias": False,
        "n_group": None,
        "topk_group": None,
        "topk_method": "greedy",
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "moe_intermediate_size": 1407,
        "first_k_dense_replace": 0,
        "routed_scaling_factor": 1.0,
        "max_position_embeddings": 2048,
    },
    "deepseek_v3": {
        **LLAMA,
        **DEEPSEEK,
        **MLA,
        "num_key_value_heads": 128,
        "moe_intermediate_size": 2048,
        "n_routed_experts": 256,
        "n_group": 8,
        "topk_group": 4,
        "first_k_dense_replace": 3,
        "routed_scaling_factor": 2.5,
        "rope_interleave": True,
        "max_position_embeddings": 4096,
    },
    "glm4_moe_lite": {
        **LLAMA,
        **DEEPSEEK,
        **MLA,
        "rms_norm_eps": 1e-5,
        "q_lora_rank": 768,
        "qk_nope_head_dim": 192,
        "v_head_dim": 256,
        "num_key_value_heads": 20,
        "num_experts_per_tok": 4,
        "moe_intermediate_size": 1536,
        "n_routed_experts": 64,
        "n_group": 1,
        "topk_group": 1,
        "routed_scaling_factor": 1.8,
        "rope_interleave": True,
        "max_position_embeddings": 202752,
    },
    "seed_oss": dict(
        LLAMA,
        num_key_value_heads=8,
        head_dim=128,
        attention_bias=True,
        attention_out_bias=False,
        mlp_bias=False,
        max_position_embeddings=524288,
    ),
    "starcoder2": dict(
        hidden_act="gelu_pytorch_tanh",
        norm_epsilon=1e-5,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        use_bias=True,
        sliding_window=None,
        max_position_embeddings=4096,
    ),
    "stablelm": dict(
        hidden_act="silu",
        layer_norm_eps=1e-5,
        num_key_value_heads=32,
        tie_word_embeddings=False,
        use_qkv_bias=False,
        max_position_embeddings=4096,
    ),
    "exaone4": {
        **LLAMA,
        "rms_norm_eps": 1e-5,
        "num_key_value_heads": 32,
        "sliding_window": 4096,
        "sliding_window_pattern": 4,
        "max_position_embeddings": 2048,
    },
    "ministral": dict(
        LLAMA, num_key_value_heads=8, sliding_window=4096, max_position_embeddings=131072
    ),
    "gemma": dict(
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        hidden_act="gelu_pytorch_tanh",
        num_key_value_heads=16,
        attention_bias=False,
        head_dim=256,
        max_position_embeddings=8192,
    ),
    "gpt_neo": dict(
        activation_function="gelu_new",
        layer_norm_epsilon=1e-5,
        tie_word_embeddings=True,
        intermediate_size=None,
        attention_types=[[["global", "local"], 12]],
        window_size=256,
        max_position_embeddings=2048,
    ),
    "gpt_bigcode": dict(
        activation_function="gelu_pytorch_tanh",
        layer_norm_epsilon=1e-5,
        tie_word_embeddings=True,
        n_inner=None,
        n_positions=1024,
        multi_query=True,
    ),
    "arcee": {
        **LLAMA,
        "hidden_act": "relu2",
        "rms_norm_eps": 1e-5,
        "attention_bias": False,
        "mlp_bias": False,
        "max_position_embeddings": 4096,
    },
    "nemotron": dict(
        hidden_act="relu2",
        norm_eps=1e-5,
        tie_word_embeddings=False,
        attention_bias=False,
        mlp_bias=False,
        max_position_embeddings=4096,
    ),
    "granite": dict(
        LLAMA,
        attention_bias=False,
        mlp_bias=False,
        embedding_multiplier=1.0,
        residual_multiplier=1.0,
        attention_multiplier=1.0,
        logits_scaling=1.0,
        max_position_embeddings=2048,
    ),
    "gemma2": GEMMA2,
    "vaultgemma": GEMMA2,
    "phi": dict(
        hidden_act="gelu_new",
        layer_norm_eps=1e-5,
        tie_word_embeddings=False,
        max_position_embeddings=2048,
    ),
    "opt": dict(
        activation_function="relu",
        tie_word_embeddings=True,
        ffn_dim=3072,
        max_position_embeddings=2048,
    ),
}


def describe(config, length):
    """The architecture of a config.json, for sequences of `length` (which only longrope reads)."""
    family = config["model_type"]
    return FAMILIES[family]({**DEFAULTS[family], **config}, length)


def rope_of(config, head_dim, length, theta=10_000.0, theta_key="rope_theta", part=None):
    """The Rope of a config: `part` is a layer type where there is one rope for each."""
    new = config.get("rope_parameters") or {}
    new = new.get(part, new) if part else new
    table = new or config.get("rope_scaling") or {}
    theta = new.get("rope_theta", config.get(theta_key, theta))
    fraction = new.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
    if config.get("original_max_position_embeddings"):
        original = config["original_max_position_embeddings"]
        table = {**table, "original_max_position_embeddings": original}
    rotated = int(head_dim * fraction)
    return rope(table, theta, rotated, config["max_position_embeddings"], length)


def llama_like(config, length, **changes):
    """Llama, with what a family does otherwise."""
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    attention = {"query", "key", "value", "output"} if config.get("attention_bias") else set()
    names = {**NAMES, **changes.pop("names", {})}
    if "rope" not in changes:
        theta = changes.pop("theta", 10_000.0)
        changes["rope"] = [rope_of(config, head_dim, length, theta)] * layers
    fields = dict(
        vocab=config["vocab_size"],
        hidden=config["hidden_size"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=head_dim,
        inner=config["intermediate_size"],
        activation=config.get("hidden_act"),
        norm="rms",
        eps=config["rms_norm_eps"],
        tied=config["tie_word_embeddings"],
        names=names,
        attention_scale=head_dim**-0.5,
        window=[None] * layers,
        experts=[None] * layers,
        biases=frozenset(attention),
    )
    return Architecture(**{**fields, **changes})


def llama(config, length, **changes):
    extra = {"mlp"} if config["mlp_bias"] else set()
    plain = llama_like(config, length, **changes)
    plain.biases = plain.biases | extra
    return plain


def mistral(config, length):
    window = [config["sliding_window"]] * config["num_hidden_layers"]
    return llama_like(config, length, window=window, biases=frozenset())


def windows(config):
    """Qwen: layers from max_window_layers on slide, if use_sliding_window."""
    layers = range(config["num_hidden_layers"])
    size = config["sliding_window"] if config["use_sliding_window"] else None
    first = config["max_window_layers"]
    default = ["sliding_attention" if n >= first else "full_attention" for n in layers]
    types = config.get("layer_types") or default
    return [size if types[n] == "sliding_attention" else None for n in layers]


def qwen2(config, length):
    biases = frozenset({"query", "key", "value"})
    return llama_like(config, length, window=windows(config), biases=biases)


def qwen3(config, length, **changes):
    changes = changes if "window" in changes else {"window": windows(config), **changes}
    names = {**QK_NORM, **changes.pop("names", {})}
    return llama_like(config, length, names=names, qk_norm="head", **changes)


def qwen3_moe(config, length):
    layers = range(config["num_hidden_layers"])
    count = config.get("num_experts", config["num_local_experts"])
    step, dense_layers = config["decoder_sparse_step"], config["mlp_only_layers"] or []
    chosen, inner = config["num_experts_per_tok"], config["moe_intermediate_size"]
    experts = Experts(count, chosen, inner, config["norm_topk_prob"])
    sparse = [n not in dense_layers and count > 0 and (n + 1) % step == 0 for n in layers]
    size = config["sliding_window"] if config["use_sliding_window"] else None
    experts = [experts if s else None for s in sparse]
    return qwen3(config, length, names=EXPERTS, experts=experts, window=[size for _ in layers])


def mixtral(config, length):
    layers = config["num_hidden_layers"]
    count, chosen = config["num_local_experts"], config["num_experts_per_tok"]
    experts = Experts(count, chosen, config["intermediate_size"], True)
    names = {
        "router": "block_sparse_moe.gate",
        "expert_gate": "block_sparse_moe.experts.{}.w1",
        "expert_up": "block_sparse_moe.experts.{}.w3",
        "expert_down": "block_sparse_moe.experts.{}.w2",
    }
    window = [config["sliding_window"]] * layers
    changes = dict(names=names, experts=[experts] * layers, window=window, biases=frozenset())
    return llama_like(config, length, theta=1e6, **changes)


NORMS_AFTER = {
    "attention_in": None,
    "attention_out": "post_attention_layernorm",
    "mlp_in": None,
    "mlp_out": "post_feedforward_layernorm",
}


def olmo2(config, length, **changes):
    return llama_like(config, length, names={**QK_NORM, **NORMS_AFTER}, qk_norm="all", **changes)


def olmo3(config, length):
    layers, window = range(config["num_hidden_layers"]), config["sliding_window"]
    default = ["sliding_attention" if (n + 1) % 4 else "full_attention" for n in layers]
    types = config.get("layer_types") or default
    head_dim = config["hidden_size"] // config["num_attention_heads"]
    local = {key: value for key, value in config.items() if key != "rope_scaling"}
    ropes = {
        kind: rope_of(keys, head_dim, length, 5e5, part=kind)
        for kind, keys in (("full_attention", config), ("sliding_attention", local))
    }
    return olmo2(
        config,
        length,
        rope=[ropes[kind] for kind in types],
        window=[window if kind == "sliding_attention" else None for kind in types],
    )


def qwen2_moe(config, length):
    layers = range(config["num_hidden_layers"])
    step, dense = config["decoder_sparse_step"], config["mlp_only_layers"] or []
    experts = Experts(
        config["num_experts"],
        config["num_experts_per_tok"],
        config["moe_intermediate_size"],
        config["norm_topk_prob"],
        shared=config["shared_expert_intermediate_size"],
        shared_gate=True,
    )
    size = config["sliding_window"] if config["use_sliding_window"] else None
    end = config["max_window_layers"]
    default = ["sliding_attention" if n % 2 == 0 and n < end else "full_attention" for n in layers]
    types = config.get("layer_types") or default
    names = {
        **EXPERTS,
        "shared_gate": "mlp.shared_expert_gate",
        "common_gate": "mlp.shared_expert.gate_proj",
        "common_up": "mlp.shared_expert.up_proj",
        "common_down": "mlp.shared_expert.down_proj",
    }
    return llama_like(
        config,
        length,
        names=names,
        experts=[experts if n not in dense and (n + 1) % step == 0 else None for n in layers],
        window=[size if kind == "sliding_attention" else None for kind in types],
        biases=frozenset({"query", "key", "value"} if config["qkv_bias"] else ()),
    )


def deepseek_experts(config):
    """Per layer, the experts of DeepSeek-V3 and those who took them over."""
    groups = (config["n_group"], config["topk_group"], 2)
    experts = Experts(
        config["n_routed_experts"],
        config["num_experts_per_tok"],
        config["moe_intermediate_size"],
        config["norm_topk_prob"],
        scoring="sigmoid",
        correction=True,
        groups=groups if groups[1] < groups[0] else None,
        scale=config["routed_scaling_factor"],
        shared=config["moe_intermediate_size"] * config["n_shared_experts"],
    )
    return lambda sparse: [experts if it else None for it in sparse]


def after_first(config):
    first = config["first_k_dense_replace"]
    return [n >= first for n in range(config["num_hidden_layers"])]


def glm4_moe(config, length):
    biases = {"query", "key", "value"} if config["attention_bias"] else ()
    return llama_like(
        {"partial_rotary_factor": 0.5, **config},
        length,
        names={**EXPERTS, **QK_NORM} if config["use_qk_norm"] else EXPERTS,
        qk_norm="head" if config["use_qk_norm"] else None,
        experts=deepseek_experts(config)(after_first(config)),
        biases=frozenset(biases),
    )


def dots1(config, length):
    layers, size = range(config["num_hidden_layers"]), config["sliding_window"]
    slides = [size is not None and n >= config["max_window_layers"] for n in layers]
    default = ["sliding_attention" if it else "full_attention" for it in slides]
    types = config.get("layer_types") or default
    return llama_like(
        config,
        length,
        names={**EXPERTS, **QK_NORM},
        qk_norm="head",
        window=[size if kind == "sliding_attention" else None for kind in types],
        experts=deepseek_experts(config)(after_first(config)),
    )


def ernie4_5(config, length):
    biases = {"query", "key", "value", "output", "mlp"} if config["use_bias"] else ()
    return adjacent(llama_like(config, length, theta=5e5, biases=frozenset(biases)))


def glm4(config, length):
    names = {
        "attention_out": "post_self_attn_layernorm",
        "mlp_out": "post_mlp_layernorm",
        "gate_up": "mlp.gate_up_proj",
    }
    biases = {"query", "key", "value"} if config["attention_bias"] else ()
    return adjacent(
        llama_like(
            {"partial_rotary_factor": 0.5, **config},
            length,
            names=names,
            gate_up_layout="stacked",
            biases=frozenset(biases),
        )
    )


def ernie4_5_moe(config, length):
    layers, last = config["num_hidden_layers"], config["moe_layer_end_index"]
    first, interval = config["moe_layer_start_index"], config["moe_layer_interval"]
    experts = Experts(
        config["moe_num_experts"],
        config["moe_k"],
        config["moe_intermediate_size"],
        True,
        correction=True,
        shared=config["moe_intermediate_size"] * config["moe_num_shared_experts"],
    )
    last = layers - 1 if last == -1 else last
    sparse = [(n + 1) % interval == 0 and first <= n <= last for n in range(layers)]
    correction = "mlp.moe_statics.e_score_correction_bias"
    plain = llama_like(
        config,
        length,
        theta=5e5,
        names={**EXPERTS, "correction": correction, "correction_row": True},
        experts=[experts if it else None for it in sparse],
        biases=frozenset(),
    )
    return adjacent(plain)


def adjacent(plain):
    """The same with neighbouring channels as pairs."""
    plain.rope = [replace(it, adjacent=True) for it in plain.rope]
    return plain


def minimax_m2(config, length):
    experts = Experts(
        config["num_local_experts"],
        config["num_experts_per_tok"],
        config["intermediate_size"],
        True,
        scoring="sigmoid",
        correction=True,
    )
    names = {
        "router": "block_sparse_moe.gate",
        "expert_gate": "block_sparse_moe.experts.{}.w1",
        "expert_up": "block_sparse_moe.experts.{}.w3",
        "expert_down": "block_sparse_moe.experts.{}.w2",
        "correction": "block_sparse_moe.e_score_correction_bias",
    }
    share = config.get("rotary_dim", config["head_dim"]) / config["head_dim"]
    return llama_like(
        {"partial_rotary_factor": share, **config},
        length,
        theta=5e6,
        names={**names, **QK_NORM},
        qk_norm="all",
        experts=[experts] * config["num_hidden_layers"],
        biases=frozenset(),
    )


def latent_like(config, length, experts):
    """Multi-head latent attention, with neighbouring channels as pairs unless the config says otherwise."""
    layers, rotated = config["num_hidden_layers"], config["qk_rope_head_dim"]
    head_dim = rotated + config["qk_nope_head_dim"]
    table = config.get("rope_parameters") or config.get("rope_scaling") or {}
    scale = head_dim**-0.5
    kind = table.get("rope_type") or table.get("type") or "default"
    if kind != "default" and table.get("mscale_all_dim"):
        grown = 0.1 * table["mscale_all_dim"] * math.log(table["factor"]) + 1.0
        scale *= grown**2 if table["factor"] > 1 else 1.0
    turned = {**config, "head_dim": rotated}
    plain = llama_like(
        {**config, "head_dim": head_dim},
        length,
        names={**EXPERTS, **LATENT},
        rope=[rope_of(turned, rotated, length)] * layers,
        experts=experts,
        attention_scale=scale,
        latent=Latent(config["q_lora_rank"], config["kv_lora_rank"], rotated),
        value_dim=config["v_head_dim"],
    )
    return adjacent(plain) if config.get("rope_interleave", True) else plain


def deepseek_v2(config, length):
    groups = (config["n_group"], config["topk_group"], 1)
    experts = Experts(
        config["n_routed_experts"],
        config["num_experts_per_tok"],
        config["moe_intermediate_size"],
        False,
        groups=groups if config["topk_method"] == "group_limited_greedy" else None,
        scale=config["routed_scaling_factor"],
        shared=config["moe_intermediate_size"] * config["n_shared_experts"],
    )
    return latent_like(config, length, [experts if it else None for it in after_first(config)])


def deepseek_v3(config, length):
    return latent_like(config, length, deepseek_experts(config)(after_first(config)))


def glm4_moe_lite(config, length):
    default = ["sparse" if n else "dense" for n in range(config["num_hidden_layers"])]
    types = config.get("mlp_layer_types") or default
    sparse = [kind == "sparse" for kind in types]
    return latent_like(config, length, deepseek_experts(config)(sparse))


def olmoe(config, length):
    count, chosen = config["num_experts"], config["num_experts_per_tok"]
    experts = Experts(count, chosen, config["intermediate_size"], config["norm_topk_prob"])
    return llama_like(
        config,
        length,
        names={**QK_NORM, **EXPERTS},
        qk_norm="all",
        experts=[experts] * config["num_hidden_layers"],
    )


def smollm3(config, length):
    layers = range(config["num_hidden_layers"])
    interval = config["no_rope_layer_interval"]
    default = [int((n + 1) % interval != 0) for n in layers]
    turns = config.get("no_rope_layers") or default
    window = config["sliding_window"] if config["use_sliding_window"] else None
    default = ["full_attention" if turn else "sliding_attention" for turn in turns]
    types = config.get("layer_types") or default
    plain = llama(config, length, theta=2e6)
    plain.rope = [rope if turn else None for rope, turn in zip(plain.rope, turns)]
    plain.window = [window if kind == "sliding_attention" else None for kind in types]
    return plain


def seed_oss(config, length):
    plain = llama(config, length)
    bias = {"output"} if config["attention_out_bias"] else set()
    plain.biases = plain.biases - {"output"} | bias
    return plain


def starcoder2(config, length):
    biases = {"query", "key", "value", "output", "mlp"} if config["use_bias"] else set()
    return llama_like(
        {"rms_norm_eps": config["norm_epsilon"], **config},
        length,
        names={"up": "mlp.c_fc", "down": "mlp.c_proj"},
        norm="layer",
        gated=False,
        window=[config["sliding_window"]] * config["num_hidden_layers"],
        biases=frozenset(biases),
    )


def stablelm(config, length):
    biases = {"query", "key", "value"} if config["use_qkv_bias"] else set()
    keys = {"rms_norm_eps": config["layer_norm_eps"], "partial_rotary_factor": 0.25, **config}
    return llama_like(keys, length, norm="layer", biases=frozenset(biases))


def exaone4(config, length):
    window = config["sliding_window"]
    pattern = config["sliding_window_pattern"] if window else 0
    types = config.get("layer_types") or [
        "sliding_attention" if (n + 1) % pattern else "full_attention"
        for n in range(config["num_hidden_layers"])
    ]
    slides = [window is not None and kind == "sliding_attention" for kind in types]
    plain = llama_like(
        config, length, names={**QK_NORM, **NORMS_AFTER}, qk_norm="head", biases=frozenset()
    )
    plain.rope = [it if s or not window else None for it, s in zip(plain.rope, slides)]
    plain.window = [window if s else None for s in slides]
    return plain


def ministral(config, length):
    window, layers = config["sliding_window"], config["num_hidden_layers"]
    types = config.get("layer_types") or ["sliding_attention"] * layers
    windows = [window if kind == "sliding_attention" else None for kind in types]
    return llama_like(config, length, window=windows, biases=frozenset())


def gemma(config, length):
    activation = config["hidden_act"]
    return llama_like(
        config,
        length,
        norm="rms+1",
        activation="gelu_pytorch_tanh" if activation == "gelu" else activation,
        embedding_scale=float(np.float32(math.sqrt(config["hidden_size"]))),
    )


def gemma3(config, length):
    layers, pattern = range(config["num_hidden_layers"]), config.get("sliding_window_pattern", 6)
    default = ["sliding_attention" if (n + 1) % pattern else "full_attention" for n in layers]
    types = config.get("layer_types") or default
    head_dim, window = config["head_dim"], config["sliding_window"]
    local = {key: value for key, value in config.items() if key != "rope_scaling"}
    bases = {
        "full_attention": (config, 1e6, "rope_theta"),
        "sliding_attention": (local, 1e4, "rope_local_base_freq"),
    }
    ropes = {
        kind: rope_of(keys, head_dim, length, theta, theta_key, kind)
        for kind, (keys, theta, theta_key) in bases.items()
    }
    names = {
        **QK_NORM,
        "attention_out": "post_attention_layernorm",
        "mlp_in": "pre_feedforward_layernorm",
        "mlp_out": "post_feedforward_layernorm",
    }
    return llama_like(
        config,
        length,
        head_dim=head_dim,
        names=names,
        norm="rms+1",
        qk_norm="head",
        activation=config["hidden_activation"],
        attention_scale=config["query_pre_attn_scalar"] ** -0.5,
        rope=[ropes[kind] for kind in types],
        window=[window if kind == "sliding_attention" else None for kind in types],
        embedding_scale=float(np.float32(math.sqrt(config["hidden_size"]))),
        logit_cap=config["final_logit_softcapping"],
    )


def gemma2(config, length):
    layers, window = range(config["num_hidden_layers"]), config["sliding_window"]
    default = ["full_attention" if n % 2 else "sliding_attention" for n in layers]
    types = config.get("layer_types") or default
    names = {"mlp_in": "pre_feedforward_layernorm"}
    if config["model_type"] == "gemma2":
        names["attention_out"] = "post_attention_layernorm"
        names["mlp_out"] = "post_feedforward_layernorm"
    return llama_like(
        config,
        length,
        names=names,
        norm="rms+1",
        activation=config["hidden_activation"],
        attention_scale=config["query_pre_attn_scalar"] ** -0.5,
        window=[window if kind == "sliding_attention" else None for kind in types],
        embedding_scale=float(np.float32(math.sqrt(config["hidden_size"]))),
        score_cap=config["attn_logit_softcapping"],
        logit_cap=config["final_logit_softcapping"],
    )


def granite(config, length):
    return llama(
        config,
        length,
        embedding_scale=config["embedding_multiplier"],
        attention_scale=config["attention_multiplier"],
        block_scale=config["residual_multiplier"],
        logit_divisor=config["logits_scaling"],
    )


def arcee(config, length, **changes):
    return llama(config, length, gated=False, **changes)


def nemotron(config, length):
    keys = {"rms_norm_eps": config["norm_eps"], "partial_rotary_factor": 0.5, **config}
    return arcee(keys, length, norm="layer+1")


def phi(config, length):
    keys = {"rms_norm_eps": config["layer_norm_eps"], "partial_rotary_factor": 0.5, **config}
    names = {
        "mlp_in": "input_layernorm",
        "output": "self_attn.dense",
        "up": "mlp.fc1",
        "down": "mlp.fc2",
        "final_norm": "model.final_layernorm",
    }
    return llama_like(
        keys,
        length,
        names=names,
        norm="layer",
        gated=False,
        parallel=True,
        head_bias=True,
        biases=frozenset({"query", "key", "value", "output", "mlp"}),
    )


def opt(config, length):
    layers = config["num_hidden_layers"]
    names = {
        "embedding": "model.decoder.embed_tokens",
        "positions": "model.decoder.embed_positions",
        "layer": "model.decoder.layers.{}.",
        "attention_in": "self_attn_layer_norm",
        "output": "self_attn.out_proj",
        "mlp_in": "final_layer_norm",
        "up": "fc1",
        "down": "fc2",
        "final_norm": "model.decoder.final_layer_norm",
    }
    return llama_like(
        {"rms_norm_eps": 1e-5, "intermediate_size": config["ffn_dim"], **config},
        length,
        names=names,
        norm="layer",
        gated=False,
        activation=config["activation_function"],
        rope=[None] * layers,
        biases=frozenset({"query", "key", "value", "output", "mlp"}),
        positions=config["max_position_embeddings"],
        skipped_positions=2,
    )


def phi3(config, length):
    table = config.get("rope_parameters") or config.get("rope_scaling")
    if table and (table.get("rope_type") or table.get("type")) in ("su", "yarn"):
        key = "rope_parameters" if config.get("rope_parameters") else "rope_scaling"
        config = {**config, key: {**table, "type": "longrope", "rope_type": "longrope"}}
    return llama_like(
        config,
        length,
        names={"query_key_value": "self_attn.qkv_proj", "gate_up": "mlp.gate_up_proj"},
        qkv_layout="stacked",
        gate_up_layout="stacked",
        window=[config["sliding_window"]] * config["num_hidden_layers"],
        biases=frozenset(),
    )


def gpt_neox(config, length):
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    head_dim = config["hidden_size"] // heads
    old = {"partial_rotary_factor": config.get("rotary_pct", 0.25), **config}
    attention = ["query", "key", "value", "output"] if config["attention_bias"] else []
    names = {
        "embedding": "gpt_neox.embed_in",
        "layer": "gpt_neox.layers.{}.",
        "query_key_value": "attention.query_key_value",
        "output": "attention.dense",
        "up": "mlp.dense_h_to_4h",
        "down": "mlp.dense_4h_to_h",
        "final_norm": "gpt_neox.final_layer_norm",
        "head": "embed_out",
    }
    return llama_like(
        {"rms_norm_eps": config["layer_norm_eps"], **config},
        length,
        names=names,
        norm="layer",
        gated=False,
        parallel=config["use_parallel_residual"],
        qkv_layout="per head",
        rope=[rope_of(old, head_dim, length, theta_key="rotary_emb_base")] * layers,
        biases=frozenset([*attention, "mlp"]),
    )


def gpt2(config, length):
    layers, heads, hidden = config["n_layer"], config["n_head"], config["n_embd"]
    head_dim = hidden // heads
    names = {
        "embedding": "wte",
        "positions": "wpe",
        "layer": "h.{}.",
        "attention_in": "ln_1",
        "query_key_value": "attn.c_attn",
        "output": "attn.c_proj",
        "mlp_in": "ln_2",
        "up": "mlp.c_fc",
        "down": "mlp.c_proj",
        "final_norm": "ln_f",
    }
    return Architecture(
        vocab=config["vocab_size"],
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_dim=head_dim,
        inner=config["n_inner"] or 4 * hidden,
        activation=config["activation_function"],
        norm="layer",
        eps=config["layer_norm_epsilon"],
        tied=config["tie_word_embeddings"],
        names={"head": "lm_head", **names},
        attention_scale=head_dim**-0.5,
        rope=[None] * layers,
        window=[None] * layers,
        experts=[None] * layers,
        gated=False,
        biases=frozenset({"query", "key", "value", "output", "mlp"}),
        positions=config["n_positions"],
        qkv_layout="stacked",
        transposed=True,
    )


def gpt_bigcode(config, length):
    several = config["multi_query"]
    plain = gpt2({"tie_word_embeddings": True, **config}, length)
    plain.kv_heads = 1 if several else plain.heads
    plain.qkv_layout = "stacked" if several else "per head"
    plain.transposed = False
    plain.names = in_transformer(plain.names)
    return plain


def gpt_neo(config, length):
    keys = {
        "n_layer": config["num_layers"],
        "n_head": config["num_heads"],
        "n_embd": config["hidden_size"],
        "n_inner": config["intermediate_size"],
        "n_positions": config["max_position_embeddings"],
        **config,
    }
    plain = gpt2(keys, length)
    kinds = [it for kinds, times in config["attention_types"] for _ in range(times) for it in kinds]
    plain.window = [config["window_size"] if kind == "local" else None for kind in kinds]
    plain.attention_scale = 1.0
    plain.qkv_layout = "apart"
    plain.transposed = False
    plain.biases = frozenset({"output", "mlp"})
    names = {
        "query": "attn.attention.q_proj",
        "key": "attn.attention.k_proj",
        "value": "attn.attention.v_proj",
        "output": "attn.attention.out_proj",
    }
    plain.names = in_transformer({**plain.names, **names})
    return plain


def in_transformer(names):
    """Names of tables and layers with the prefix that later checkpoints of GPT-2's kind have."""
    prefixed = ("embedding", "positions", "layer", "final_norm")
    return {key: "transformer." * (key in prefixed) + name for key, name in names.items()}


FAMILIES = {
    "arcee": arcee,
    "deepseek_v2": deepseek_v2,
    "deepseek_v3": deepseek_v3,
    "dots1": dots1,
    "ernie4_5": ernie4_5,
    "ernie4_5_moe": ernie4_5_moe,
    "exaone4": exaone4,
    "gemma": gemma,
    "gemma2": gemma2,
    "gemma3_text": gemma3,
    "glm4": glm4,
    "glm4_moe": glm4_moe,
    "glm4_moe_lite": glm4_moe_lite,
    "gpt2": gpt2,
    "gpt_bigcode": gpt_bigcode,
    "gpt_neo": gpt_neo,
    "gpt_neox": gpt_neox,
    "granite": granite,
    "llama": llama,
    "minimax_m2": minimax_m2,
    "ministral": ministral,
    "mistral": mistral,
    "mixtral": mixtral,
    "nemotron": nemotron,
    "olmo2": olmo2,
    "olmo3": olmo3,
    "olmoe": olmoe,
    "opt": opt,
    "phi": phi,
    "phi3": phi3,
    "qwen2": qwen2,
    "qwen2_moe": qwen2_moe,
    "qwen3": qwen3,
    "qwen3_moe": qwen3_moe,
    "seed_oss": seed_oss,
    "smollm3": smollm3,
    "stablelm": stablelm,
    "starcoder2": starcoder2,
    "vaultgemma": gemma2,
}
