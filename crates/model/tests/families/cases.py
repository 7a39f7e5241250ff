"""Tiny configurations in the style of published checkpoints, and published rotary settings."""

import torch

SEQUENCE = 40
GOLDEN = {"golden.safetensors": SEQUENCE}


def config(model_type, architecture, dtype="bfloat16", **keys):
    head = {"architectures": [architecture], "model_type": model_type}
    return {**head, **keys, "torch_dtype": dtype, "use_cache": True}


def llama(**keys):
    base = dict(
        hidden_act="silu",
        hidden_size=40,
        initializer_range=0.02,
        intermediate_size=56,
        max_position_embeddings=64,
        num_attention_heads=4,
        num_hidden_layers=3,
        num_key_value_heads=2,
        rms_norm_eps=2e-3,
        tie_word_embeddings=False,
        vocab_size=131,
    )
    return {key: value for key, value in {**base, **keys}.items() if value is not ...}


def neox(**keys):
    base = dict(
        bos_token_id=0,
        eos_token_id=0,
        hidden_act="gelu",
        hidden_size=48,
        initializer_range=0.02,
        intermediate_size=72,
        layer_norm_eps=2e-3,
        max_position_embeddings=64,
        num_attention_heads=3,
        num_hidden_layers=3,
        rotary_emb_base=10000,
        rotary_pct=0.25,
        tie_word_embeddings=False,
        use_parallel_residual=True,
        vocab_size=131,
    )
    return config("gpt_neox", "GPTNeoXForCausalLM", "float16", **{**base, **keys})


def gemma3(**keys):
    base = dict(
        attention_bias=False,
        attention_dropout=0.0,
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
        head_dim=12,
        hidden_activation="gelu_pytorch_tanh",
        hidden_size=40,
        initializer_range=0.02,
        intermediate_size=56,
        max_position_embeddings=128,
        num_attention_heads=4,
        num_hidden_layers=4,
        num_key_value_heads=1,
        query_pre_attn_scalar=20,
        rms_norm_eps=2e-3,
        rope_local_base_freq=100.0,
        rope_scaling=None,
        rope_theta=10000.0,
        sliding_window=10,
        vocab_size=131,
    )
    return config("gemma3_text", "Gemma3ForCausalLM", **{**base, **keys})


def gemma2(model_type, architecture, **keys):
    base = dict(
        attention_bias=False,
        attention_dropout=0.0,
        attn_logit_softcapping=2.5,
        final_logit_softcapping=6.0,
        head_dim=12,
        hidden_activation="gelu_pytorch_tanh",
        hidden_size=40,
        initializer_range=0.02,
        intermediate_size=56,
        max_position_embeddings=64,
        num_attention_heads=4,
        num_hidden_layers=2,
        num_key_value_heads=2,
        query_pre_attn_scalar=20,
        rms_norm_eps=2e-3,
        rope_theta=10000.0,
        sliding_window=12,
        vocab_size=131,
    )
    return config(model_type, architecture, **{**base, **keys})


def phi3(**keys):
    base = llama(
        attention_bias=False,
        attention_dropout=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
        max_position_embeddings=96,
        original_max_position_embeddings=24,
        pad_token_id=0,
        rope_theta=10000.0,
    )
    return config("phi3", "Phi3ForCausalLM", **{**base, **keys})


def qwen3_moe(**keys):
    base = llama(
        attention_bias=False,
        decoder_sparse_step=1,
        head_dim=12,
        max_window_layers=3,
        mlp_only_layers=[],
        moe_intermediate_size=20,
        norm_topk_prob=True,
        num_experts=6,
        num_experts_per_tok=3,
        output_router_logits=False,
        rope_scaling=None,
        rope_theta=1000000.0,
        router_aux_loss_coef=0.001,
        sliding_window=None,
        use_sliding_window=False,
        intermediate_size=52,
    )
    return config("qwen3_moe", "Qwen3MoeForCausalLM", **{**base, **keys})


def neox_buffers(config):
    """What published GPT-NeoX checkpoints carry beside the weights."""
    positions, head_dim = 64, config["hidden_size"] // config["num_attention_heads"]
    rotated = int(head_dim * config["rotary_pct"])
    found = {}
    for n in range(config["num_hidden_layers"]):
        prefix = f"gpt_neox.layers.{n}.attention."
        found[prefix + "bias"] = torch.ones(1, 1, positions, positions, dtype=torch.bool).tril()
        found[prefix + "masked_bias"] = torch.tensor(-1e9).clamp(min=-65504).half()
        exponent = torch.arange(0, rotated, 2) / rotated
        found[prefix + "rotary_emb.inv_freq"] = (1 / config["rotary_emb_base"] ** exponent).half()
    return found


def gpt2_buffers(config):
    """The causal masks that the published GPT-2 checkpoint carries."""
    size = config["n_positions"]
    mask = torch.ones(1, 1, size, size).tril()
    return {f"h.{n}.attn.bias": mask.clone() for n in range(config["n_layer"])}


def gpt_neo_buffers(config):
    """The causal masks that published GPT-Neo checkpoints carry."""
    size = config["max_position_embeddings"]
    mask = torch.ones(1, 1, size, size, dtype=torch.bool).tril()
    found = {}
    for n in range(config["num_layers"]):
        prefix = f"transformer.h.{n}.attn.attention."
        found[prefix + "bias"] = mask.clone()
        found[prefix + "masked_bias"] = torch.tensor(-1e9)
    return found


def gpt_bigcode(**keys):
    base = dict(
        activation_function="gelu_pytorch_tanh",
        attention_softmax_in_fp32=True,
        attn_pdrop=0.1,
        embd_pdrop=0.1,
        initializer_range=0.02,
        layer_norm_epsilon=2e-3,
        multi_query=True,
        n_embd=40,
        n_head=4,
        n_inner=56,
        n_layer=2,
        n_positions=48,
        resid_pdrop=0.1,
        scale_attention_softmax_in_fp32=True,
        scale_attn_weights=True,
        vocab_size=131,
    )
    return config("gpt_bigcode", "GPTBigCodeForCausalLM", **{**base, **keys})


FAMILIES = {
    "gpt-neox": dict(config=neox(), lengths=GOLDEN, extra=neox_buffers),
    "gpt-neox-sequential": dict(
        config=neox(
            hidden_act="gelu_fast",
            hidden_size=40,
            num_attention_heads=4,
            rotary_emb_base=2000,
            rotary_pct=1.0,
            use_parallel_residual=False,
        ),
        lengths=GOLDEN,
    ),
    "llama": dict(
        config=config(
            "llama", "LlamaForCausalLM", "float16", **llama(pretraining_tp=1, rope_scaling=None)
        ),
        lengths=GOLDEN,
    ),
    "llama-3": dict(
        config=config(
            "llama",
            "LlamaForCausalLM",
            **llama(
                attention_bias=False,
                attention_dropout=0.0,
                head_dim=12,
                hidden_size=44,
                max_position_embeddings=512,
                mlp_bias=False,
                pretraining_tp=1,
                rope_scaling={
                    "factor": 8.0,
                    "high_freq_factor": 4.0,
                    "low_freq_factor": 1.0,
                    "original_max_position_embeddings": 64,
                    "rope_type": "llama3",
                },
                rope_theta=500.0,
                tie_word_embeddings=True,
            ),
        ),
        lengths=GOLDEN,
    ),
    "llama-linear": dict(
        config=config(
            "llama",
            "LlamaForCausalLM",
            **llama(
                attention_bias=True,
                mlp_bias=True,
                num_hidden_layers=2,
                rope_scaling={"factor": 4.0, "type": "linear"},
            ),
        ),
        lengths=GOLDEN,
    ),
    "llama-yarn": dict(
        config=config(
            "llama",
            "LlamaForCausalLM",
            **llama(
                head_dim=16,
                max_position_embeddings=2048,
                num_hidden_layers=2,
                rope_scaling={
                    "factor": 8.0,
                    "finetuned": True,
                    "original_max_position_embeddings": 256,
                    "type": "yarn",
                },
                rope_theta=10000.0,
            ),
        ),
        lengths=GOLDEN,
    ),
    "mistral": dict(
        config=config(
            "mistral",
            "MistralForCausalLM",
            **llama(head_dim=12, rope_theta=10000.0, sliding_window=12),
        ),
        lengths=GOLDEN,
    ),
    "qwen2": dict(
        config=config(
            "qwen2",
            "Qwen2ForCausalLM",
            **llama(
                attention_dropout=0.0,
                max_window_layers=1,
                rope_theta=1000000.0,
                sliding_window=12,
                tie_word_embeddings=True,
                use_sliding_window=False,
            ),
        ),
        lengths=GOLDEN,
    ),
    "qwen2-window": dict(
        config=config(
            "qwen2",
            "Qwen2ForCausalLM",
            **llama(
                attention_dropout=0.0,
                max_window_layers=1,
                rope_theta=10000.0,
                sliding_window=12,
                use_sliding_window=True,
            ),
        ),
        lengths=GOLDEN,
    ),
    "qwen3": dict(
        config=config(
            "qwen3",
            "Qwen3ForCausalLM",
            **llama(
                attention_bias=False,
                attention_dropout=0.0,
                head_dim=12,
                max_window_layers=3,
                rope_scaling=None,
                rope_theta=1000000.0,
                sliding_window=None,
                tie_word_embeddings=True,
                use_sliding_window=False,
            ),
        ),
        lengths=GOLDEN,
    ),
    "gemma3": dict(config=gemma3(sliding_window_pattern=3), lengths=GOLDEN),
    "gemma3-layer-types": dict(
        config=gemma3(
            _sliding_window_pattern=6,
            layer_types=["full_attention", "sliding_attention", "full_attention"],
            num_hidden_layers=3,
            num_key_value_heads=2,
            rope_scaling={"factor": 8.0, "rope_type": "linear"},
            rope_theta=1000.0,
            use_bidirectional_attention=False,
        ),
        lengths=GOLDEN,
    ),
    "phi3": dict(
        config=phi3(
            num_hidden_layers=2,
            num_key_value_heads=4,
            rope_scaling={
                "long_factor": [1.05, 1.5, 2.75, 6.5, 9.25],
                "short_factor": [1.0, 1.1, 1.2, 1.45, 1.9],
                "type": "longrope",
            },
            sliding_window=30,
        ),
        lengths={**GOLDEN, "golden-short.safetensors": 24},
    ),
    "phi3-partial": dict(
        config=phi3(
            hidden_size=48,
            num_attention_heads=3,
            num_hidden_layers=2,
            num_key_value_heads=1,
            partial_rotary_factor=0.75,
            rope_scaling={
                "long_factor": [1.0, 1.4, 2.1, 3.0, 5.5, 7.75],
                "short_factor": [1.0, 1.0, 1.1, 1.3, 1.6, 2.0],
                "rope_type": "longrope",
            },
            sliding_window=262144,
            tie_word_embeddings=True,
        ),
        lengths=GOLDEN,
    ),
    "gpt2": dict(
        config=config(
            "gpt2",
            "GPT2LMHeadModel",
            "float32",
            activation_function="gelu_new",
            attn_pdrop=0.1,
            embd_pdrop=0.1,
            initializer_range=0.02,
            layer_norm_epsilon=2e-3,
            n_ctx=48,
            n_embd=32,
            n_head=4,
            n_layer=3,
            n_positions=48,
            resid_pdrop=0.1,
            vocab_size=131,
        ),
        lengths=GOLDEN,
        extra=gpt2_buffers,
    ),
    "olmo2": dict(
        config=config(
            "olmo2",
            "Olmo2ForCausalLM",
            "float32",
            **llama(
                attention_bias=False,
                attention_dropout=0.0,
                num_hidden_layers=2,
                rope_scaling=None,
                rope_theta=500000,
            ),
        ),
        lengths=GOLDEN,
    ),
    "mixtral": dict(
        config=config(
            "mixtral",
            "MixtralForCausalLM",
            **llama(
                attention_dropout=0.0,
                intermediate_size=28,
                num_experts_per_tok=2,
                num_hidden_layers=2,
                num_local_experts=5,
                output_router_logits=False,
                rope_theta=1000000.0,
                router_aux_loss_coef=0.02,
                sliding_window=None,
            ),
        ),
        lengths=GOLDEN,
    ),
    "qwen3-moe": dict(config=qwen3_moe(num_hidden_layers=2), lengths=GOLDEN),
    "qwen3-moe-mixed": dict(
        config=qwen3_moe(
            decoder_sparse_step=2,
            mlp_only_layers=[3],
            norm_topk_prob=False,
            num_hidden_layers=4,
        ),
        lengths=GOLDEN,
    ),
}


FAMILIES |= {
    "smollm3": dict(
        config=config(
            "smollm3",
            "SmolLM3ForCausalLM",
            **llama(
                attention_bias=False,
                attention_dropout=0.0,
                max_window_layers=28,
                mlp_bias=False,
                no_rope_layer_interval=2,
                pad_token_id=4,
                pretraining_tp=2,
                rope_scaling=None,
                rope_theta=5000.0,
                sliding_window=12,
                tie_word_embeddings=True,
                use_sliding_window=True,
            ),
        ),
        lengths=GOLDEN,
    ),
    "olmo3": dict(
        config=config(
            "olmo3",
            "Olmo3ForCausalLM",
            **llama(
                attention_bias=False,
                attention_dropout=0.0,
                layer_types=["sliding_attention", "full_attention"],
                max_position_embeddings=512,
                num_hidden_layers=2,
                rope_scaling={
                    "attention_factor": 1.2079441541679836,
                    "beta_fast": 32.0,
                    "beta_slow": 1.0,
                    "factor": 8.0,
                    "original_max_position_embeddings": 64,
                    "rope_type": "yarn",
                },
                rope_theta=500000,
                sliding_window=12,
            ),
        ),
        lengths=GOLDEN,
    ),
    "olmoe": dict(
        config=config(
            "olmoe",
            "OlmoeForCausalLM",
            **llama(
                attention_bias=False,
                attention_dropout=0.0,
                clip_qkv=None,
                intermediate_size=24,
                norm_topk_prob=False,
                num_experts=5,
                num_experts_per_tok=3,
                num_hidden_layers=2,
                output_router_logits=False,
                rope_scaling=None,
                rope_theta=10000.0,
                router_aux_loss_coef=0.01,
            ),
        ),
        lengths=GOLDEN,
    ),
    "seed-oss": dict(
        config=config(
            "seed_oss",
            "SeedOssForCausalLM",
            **llama(
                attention_bias=True,
                attention_dropout=0.1,
                attention_out_bias=False,
                head_dim=12,
                mlp_bias=False,
                num_hidden_layers=2,
                residual_dropout=0.1,
                rope_scaling={"rope_type": "default"},
                rope_theta=10000000.0,
            ),
        ),
        lengths=GOLDEN,
    ),
    "starcoder2": dict(
        config=config(
            "starcoder2",
            "Starcoder2ForCausalLM",
            **llama(
                attention_dropout=0.1,
                embedding_dropout=0.1,
                hidden_act="gelu_pytorch_tanh",
                norm_epsilon=2e-3,
                norm_type="layer_norm",
                num_hidden_layers=2,
                residual_dropout=0.1,
                rms_norm_eps=...,
                rope_theta=100000,
                sliding_window=12,
                tie_word_embeddings=...,
                use_bias=True,
            ),
        ),
        lengths=GOLDEN,
    ),
    "stablelm": dict(
        config=config(
            "stablelm",
            "StableLmForCausalLM",
            "float16",
            **llama(
                attention_dropout=0.0,
                hidden_dropout=0.0,
                hidden_size=48,
                layer_norm_eps=2e-3,
                num_attention_heads=3,
                num_hidden_layers=2,
                num_key_value_heads=3,
                partial_rotary_factor=0.5,
                qk_layernorm=False,
                rms_norm_eps=...,
                rope_scaling=None,
                rope_theta=10000,
                use_parallel_residual=False,
                use_qkv_bias=True,
            ),
        ),
        lengths=GOLDEN,
    ),
    "exaone4": dict(
        config=config(
            "exaone4",
            "Exaone4ForCausalLM",
            **llama(
                attention_dropout=0.0,
                head_dim=12,
                layer_types=["sliding_attention", "full_attention"],
                max_position_embeddings=512,
                num_hidden_layers=2,
                rope_scaling={
                    "factor": 8.0,
                    "high_freq_factor": 4.0,
                    "low_freq_factor": 1.0,
                    "original_max_position_embeddings": 64,
                    "rope_type": "llama3",
                },
                rope_theta=1000.0,
                sliding_window=12,
                sliding_window_pattern="LG",
            ),
        ),
        lengths=GOLDEN,
    ),
    "exaone4-global": dict(
        config=config(
            "exaone4",
            "Exaone4ForCausalLM",
            **llama(
                attention_dropout=0.0,
                layer_types=["full_attention", "full_attention"],
                num_hidden_layers=2,
                rope_theta=1000000,
                sliding_window=None,
                sliding_window_pattern=None,
                tie_word_embeddings=True,
            ),
        ),
        lengths=GOLDEN,
    ),
    "ministral": dict(
        config=config(
            "ministral",
            "MinistralForCausalLM",
            **llama(
                attention_dropout=0.0,
                head_dim=12,
                layer_types=["full_attention", "sliding_attention"],
                num_hidden_layers=2,
                rope_theta=100000000.0,
                sliding_window=12,
            ),
        ),
        lengths=GOLDEN,
    ),
    "gemma": dict(
        config=config(
            "gemma",
            "GemmaForCausalLM",
            **llama(
                attention_bias=False,
                attention_dropout=0.0,
                head_dim=12,
                hidden_act="gelu",
                hidden_activation=None,
                num_hidden_layers=2,
                num_key_value_heads=1,
                rope_scaling=None,
                rope_theta=10000.0,
                tie_word_embeddings=...,
            ),
        ),
        lengths=GOLDEN,
    ),
    "gpt-neo": dict(
        config=config(
            "gpt_neo",
            "GPTNeoForCausalLM",
            "float32",
            activation_function="gelu_new",
            attention_dropout=0,
            attention_layers=["global", "local"],
            attention_types=[[["global", "local"], 1]],
            embed_dropout=0,
            hidden_size=40,
            initializer_range=0.02,
            intermediate_size=None,
            layer_norm_epsilon=2e-3,
            max_position_embeddings=48,
            num_heads=4,
            num_layers=2,
            resid_dropout=0,
            vocab_size=131,
            window_size=12,
        ),
        lengths=GOLDEN,
        extra=gpt_neo_buffers,
    ),
    "arcee": dict(
        config=config(
            "arcee",
            "ArceeForCausalLM",
            **llama(
                attention_bias=False,
                attention_dropout=0.0,
                head_dim=12,
                hidden_act="relu2",
                max_position_embeddings=2048,
                mlp_bias=False,
                num_hidden_layers=2,
                rope_scaling={
                    "beta_fast": 32.0,
                    "beta_slow": 1.0,
                    "factor": 20.0,
                    "mscale": 1.0,
                    "original_max_position_embeddings": 64,
                    "rope_type": "yarn",
                },
                rope_theta=10000.0,
            ),
        ),
        lengths=GOLDEN,
    ),
    "nemotron": dict(
        config=config(
            "nemotron",
            "NemotronForCausalLM",
            **llama(
                attention_bias=False,
                attention_dropout=0.0,
                head_dim=12,
                hidden_act="relu2",
                mlp_bias=False,
                norm_eps=2e-3,
                num_hidden_layers=2,
                partial_rotary_factor=0.5,
                rms_norm_eps=...,
                rope_theta=10000,
            ),
        ),
        lengths=GOLDEN,
    ),
    "granite": dict(
        config=config(
            "granite",
            "GraniteForCausalLM",
            **llama(
                attention_bias=False,
                attention_dropout=0.0,
                attention_multiplier=0.0625,
                embedding_multiplier=12.0,
                logits_scaling=8.0,
                mlp_bias=False,
                num_hidden_layers=2,
                residual_multiplier=0.22,
                rope_scaling=None,
                rope_theta=10000000.0,
                tie_word_embeddings=True,
            ),
        ),
        lengths=GOLDEN,
    ),
    "gemma2": dict(config=gemma2("gemma2", "Gemma2ForCausalLM"), lengths=GOLDEN),
    "vaultgemma": dict(
        config=gemma2(
            "vaultgemma",
            "VaultGemmaForCausalLM",
            layer_types=["full_attention", "sliding_attention"],
        ),
        lengths=GOLDEN,
    ),
    "phi": dict(
        config=config(
            "phi",
            "PhiForCausalLM",
            "float16",
            **llama(
                attention_dropout=0.0,
                embd_pdrop=0.0,
                hidden_act="gelu_new",
                hidden_size=48,
                layer_norm_eps=2e-3,
                num_attention_heads=3,
                num_hidden_layers=2,
                num_key_value_heads=None,
                partial_rotary_factor=0.5,
                qk_layernorm=False,
                resid_pdrop=0.1,
                rms_norm_eps=...,
                rope_scaling=None,
                rope_theta=10000.0,
            ),
        ),
        lengths=GOLDEN,
    ),
    "opt": dict(
        config=config(
            "opt",
            "OPTForCausalLM",
            "float16",
            _remove_final_layer_norm=False,
            activation_function="relu",
            attention_dropout=0.0,
            bos_token_id=2,
            do_layer_norm_before=True,
            dropout=0.1,
            eos_token_id=2,
            ffn_dim=72,
            hidden_size=40,
            init_std=0.02,
            layerdrop=0.0,
            max_position_embeddings=48,
            num_attention_heads=4,
            num_hidden_layers=2,
            pad_token_id=1,
            vocab_size=131,
            word_embed_proj_dim=40,
        ),
        lengths=GOLDEN,
    ),
    "gpt-bigcode": dict(config=gpt_bigcode(), lengths=GOLDEN),
    "gpt-bigcode-heads": dict(config=gpt_bigcode(multi_query=False), lengths=GOLDEN),
}


def deepseek(**keys):
    """Keys that DeepSeek-V2, V3 and their followers share."""
    base = llama(
        attention_bias=False,
        attention_dropout=0.0,
        aux_loss_alpha=0.001,
        ep_size=1,
        first_k_dense_replace=1,
        intermediate_size=52,
        kv_lora_rank=14,
        moe_intermediate_size=16,
        moe_layer_freq=1,
        n_group=1,
        n_routed_experts=8,
        n_shared_experts=2,
        norm_topk_prob=True,
        num_experts_per_tok=3,
        num_key_value_heads=4,
        pretraining_tp=1,
        q_lora_rank=18,
        qk_nope_head_dim=10,
        qk_rope_head_dim=8,
        rope_scaling=None,
        rope_theta=10000.0,
        routed_scaling_factor=1.5,
        seq_aux=True,
        topk_group=1,
        v_head_dim=12,
    )
    return {key: value for key, value in {**base, **keys}.items() if value is not ...}


def no_latent(**keys):
    """The same without latent attention."""
    names = ("kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    absent = {name: ... for name in (*names, "aux_loss_alpha", "ep_size", "seq_aux")}
    return deepseek(**{**absent, "num_key_value_heads": 2, **keys})


YARN = {
    "beta_fast": 32,
    "beta_slow": 1,
    "factor": 8,
    "mscale": 1.0,
    "mscale_all_dim": 0.707,
    "original_max_position_embeddings": 64,
    "type": "yarn",
}

FAMILIES |= {
    "qwen2-moe": dict(
        config=config(
            "qwen2_moe",
            "Qwen2MoeForCausalLM",
            **llama(
                attention_dropout=0.0,
                decoder_sparse_step=1,
                intermediate_size=52,
                max_window_layers=3,
                mlp_only_layers=[0],
                moe_intermediate_size=20,
                norm_topk_prob=False,
                num_experts=6,
                num_experts_per_tok=3,
                output_router_logits=False,
                rope_theta=1000000.0,
                router_aux_loss_coef=0.001,
                shared_expert_intermediate_size=28,
                sliding_window=12,
                use_sliding_window=True,
            ),
        ),
        lengths=GOLDEN,
    ),
    "glm4-moe": dict(
        config=config(
            "glm4_moe",
            "Glm4MoeForCausalLM",
            **no_latent(
                attention_bias=True,
                head_dim=12,
                n_shared_experts=1,
                num_nextn_predict_layers=1,
                partial_rotary_factor=0.5,
                routed_scaling_factor=2.5,
                use_qk_norm=True,
            ),
        ),
        lengths=GOLDEN,
    ),
    "dots1": dict(
        config=config(
            "dots1",
            "Dots1ForCausalLM",
            **no_latent(
                head_dim=12,
                layer_types=["full_attention", "sliding_attention"],
                max_window_layers=2,
                num_hidden_layers=2,
                routed_scaling_factor=2.5,
                scoring_func="sigmoid",
                sliding_window=12,
                topk_method="noaux_tc",
            ),
        ),
        lengths=GOLDEN,
    ),
    "ernie4-5-moe": dict(
        config=config(
            "ernie4_5_moe",
            "Ernie4_5_MoeForCausalLM",
            **llama(
                head_dim=12,
                intermediate_size=52,
                moe_capacity=[64, 64, 64],
                moe_gate="topk",
                moe_intermediate_size=16,
                moe_k=3,
                moe_layer_end_index=2,
                moe_layer_interval=1,
                moe_layer_start_index=1,
                moe_num_experts=8,
                moe_num_shared_experts=2,
                moe_use_aux_free=True,
                num_hidden_layers=3,
                rope_scaling=None,
                rope_theta=500000.0,
                tie_word_embeddings=True,
                use_bias=False,
            ),
        ),
        lengths=GOLDEN,
    ),
    "ernie4-5": dict(
        config=config(
            "ernie4_5",
            "Ernie4_5ForCausalLM",
            **llama(
                head_dim=12,
                num_hidden_layers=2,
                rope_scaling=None,
                rope_theta=500000.0,
                tie_word_embeddings=True,
                use_bias=True,
            ),
        ),
        lengths=GOLDEN,
    ),
    "glm4": dict(
        config=config(
            "glm4",
            "Glm4ForCausalLM",
            **llama(
                attention_bias=True,
                attention_dropout=0.0,
                head_dim=12,
                num_hidden_layers=2,
                pad_token_id=0,
                partial_rotary_factor=0.5,
                rope_theta=10000.0,
            ),
        ),
        lengths=GOLDEN,
    ),
    "minimax-m2": dict(
        config=config(
            "minimax_m2",
            "MiniMaxM2ForCausalLM",
            **llama(
                attention_dropout=0.0,
                head_dim=12,
                intermediate_size=20,
                num_experts_per_tok=3,
                num_hidden_layers=2,
                num_local_experts=8,
                output_router_logits=False,
                qk_norm_type="per_layer",
                rope_theta=5000000,
                rotary_dim=6,
                router_aux_loss_coef=0.001,
                router_jitter_noise=0.0,
                scoring_func="sigmoid",
                shared_intermediate_size=0,
                use_qk_norm=True,
                use_routing_bias=True,
            ),
        ),
        lengths=GOLDEN,
    ),
    "deepseek-v2": dict(
        config=config(
            "deepseek_v2",
            "DeepseekV2ForCausalLM",
            **deepseek(
                max_position_embeddings=512,
                n_group=4,
                norm_topk_prob=False,
                num_hidden_layers=2,
                rope_scaling=YARN,
                scoring_func="softmax",
                topk_group=2,
                topk_method="group_limited_greedy",
            ),
        ),
        lengths=GOLDEN,
    ),
    "deepseek-v2-lite": dict(
        config=config(
            "deepseek_v2",
            "DeepseekV2ForCausalLM",
            **deepseek(
                norm_topk_prob=False,
                num_hidden_layers=2,
                q_lora_rank=None,
                routed_scaling_factor=1.0,
                scoring_func="softmax",
                topk_method="greedy",
            ),
        ),
        lengths=GOLDEN,
    ),
    "deepseek-v3": dict(
        config=config(
            "deepseek_v3",
            "DeepseekV3ForCausalLM",
            **deepseek(
                attention_bias=True,
                max_position_embeddings=512,
                n_group=4,
                n_shared_experts=1,
                num_hidden_layers=2,
                num_nextn_predict_layers=1,
                rope_scaling={**YARN, "mscale_all_dim": 1.0},
                routed_scaling_factor=2.5,
                scoring_func="sigmoid",
                topk_group=2,
                topk_method="noaux_tc",
            ),
        ),
        lengths=GOLDEN,
    ),
    "glm4-moe-lite": dict(
        config=config(
            "glm4_moe_lite",
            "Glm4MoeLiteForCausalLM",
            **deepseek(
                first_k_dense_replace=1,
                n_shared_experts=1,
                num_hidden_layers=2,
                num_nextn_predict_layers=1,
                partial_rotary_factor=1.0,
                qk_nope_head_dim=6,
                routed_scaling_factor=1.8,
                topk_method="noaux_tc",
                v_head_dim=16,
            ),
        ),
        lengths=GOLDEN,
    ),
}


def published(model_type, hidden, heads, positions, scaling=None, theta=10000.0, **keys):
    """The rotary settings of a published model; the rest is only there to be complete."""
    return {
        "model_type": model_type,
        "vocab_size": 8,
        "hidden_size": hidden,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": positions,
        "rope_theta": theta,
        "rope_scaling": scaling,
        **keys,
    }


def yarn(factor, original, **keys):
    return {"type": "yarn", "factor": factor, "original_max_position_embeddings": original, **keys}


LLAMA3 = {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LONG = {
    "type": "longrope",
    "short_factor": [1.0 + 0.01 * n for n in range(32)],
    "long_factor": [1.0 + 0.05 * n * n for n in range(32)],
}

ROPES = {
    "Llama-2-7B": (published("llama", 4096, 32, 4096), 1),
    "Llama-3.1-8B": (published("llama", 4096, 32, 131072, {**LLAMA3, "factor": 8.0}, 500000.0), 1),
    "Llama-3.2-1B": (
        published("llama", 2048, 32, 131072, {**LLAMA3, "factor": 32.0}, 500000.0, head_dim=64),
        1,
    ),
    "linear": (published("llama", 4096, 32, 4096, {"type": "linear", "factor": 4.0}), 1),
    "Yarn-Llama-2-7B-64k": (
        published("llama", 4096, 32, 65536, yarn(16.0, 4096, finetuned=True)),
        1,
    ),
    "Qwen2.5-7B with yarn": (published("qwen2", 3584, 28, 131072, yarn(4.0, 32768), 1e6), 1),
    "yarn, not truncated, own betas": (
        published(
            "llama",
            2048,
            32,
            131072,
            yarn(32.0, 4096, beta_fast=32.0, beta_slow=1.5, truncate=False),
            1.5e5,
        ),
        1,
    ),
    "yarn, attention_factor": (
        published("llama", 2048, 32, 8192, yarn(4.0, 2048, attention_factor=0.75)),
        1,
    ),
    "yarn, mscale": (
        published("llama", 2048, 32, 16384, yarn(40.0, 4096, mscale=1.0, mscale_all_dim=0.707)),
        1,
    ),
    "Pythia-70M": (
        {
            "model_type": "gpt_neox",
            "vocab_size": 8,
            "hidden_size": 512,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 8,
            "max_position_embeddings": 2048,
            "rotary_emb_base": 10000,
            "rotary_pct": 0.25,
        },
        1,
    ),
    "Gemma-3-4B": (
        published(
            "gemma3_text",
            2560,
            8,
            131072,
            {"factor": 8.0, "rope_type": "linear"},
            1e6,
            head_dim=256,
            num_hidden_layers=2,
            rope_local_base_freq=10000.0,
            sliding_window=1024,
            sliding_window_pattern=2,
        ),
        1,
    ),
    "longrope, short": (
        published("phi3", 2048, 32, 131072, LONG, original_max_position_embeddings=4096),
        4096,
    ),
    "longrope, long": (
        published("phi3", 2048, 32, 131072, LONG, original_max_position_embeddings=4096),
        4097,
    ),
}
