"""Families: from the keys of a config.json to the description of an architecture.

`describe(config, length)` reads the published style and that of Transformers 5.
"""

import math

import numpy as np

from reference import Architecture, Experts, Rope


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
}


# What holds where a key is absent; null is a value.
LLAMA = dict(hidden_act="silu", rms_norm_eps=1e-6, tie_word_embeddings=False)
QWEN = dict(num_key_value_heads=32, use_sliding_window=False, sliding_window=4096)
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
    "exaone4": exaone4,
    "gemma": gemma,
    "gemma3_text": gemma3,
    "gpt2": gpt2,
    "gpt_bigcode": gpt_bigcode,
    "gpt_neo": gpt_neo,
    "gpt_neox": gpt_neox,
    "llama": llama,
    "ministral": ministral,
    "mistral": mistral,
    "mixtral": mixtral,
    "olmo2": olmo2,
    "olmo3": olmo3,
    "olmoe": olmoe,
    "phi3": phi3,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "qwen3_moe": qwen3_moe,
    "seed_oss": seed_oss,
    "smollm3": smollm3,
    "stablelm": stablelm,
    "starcoder2": starcoder2,
}
