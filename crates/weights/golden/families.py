"""Makes families/: one small GGUF file for each family, by llama.cpp's own converter.

usage: python families.py LLAMA_CPP
       (torch==2.15.0 transformers==5.23.0 safetensors==0.8.0 numpy==2.4.6)

LLAMA_CPP is the folder vendor/llama.cpp of the source package llama-cpp-python 0.3.36, which has the converter and the gguf
package that it needs (MIT licence). Each model is made by Transformers from `config`, so that names and shapes are its own;
its values are then replaced by whole numbers that depend on the tensor's name and the place in it, which the test computes
again. Only the tokenizer is left out.

families/NAME.gguf   the converted file, matrices in f16
families/NAME.json   "config": the part of config.json that must be found again, "tensors": names and shapes of the
                     checkpoint that Transformers writes
"""

import copy
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

LLAMA_CPP = Path(sys.argv[1]).resolve()
sys.path[:0] = [str(LLAMA_CPP), str(LLAMA_CPP / "gguf-py")]

import gguf  # noqa: E402
import torch  # noqa: E402
from conversion import ModelBase, get_model_class  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

os.chdir(os.path.dirname(os.path.abspath(__file__)))

COMMON = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6, "rope_theta": 50000.0, "rope_scaling": None, "vocab_size": 40, "max_position_embeddings": 96,
    "tie_word_embeddings": False, "hidden_act": "silu",
}
GEMMA = {
    **COMMON, "model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "num_hidden_layers": 7, "head_dim": 8,
    "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 8, "rope_local_base_freq": 10000.0,
    "attention_bias": False, "attn_logit_softcapping": None, "final_logit_softcapping": None, "sliding_window": 12,
    "layer_types": ["sliding_attention"] * 5 + ["full_attention", "sliding_attention"], "tie_word_embeddings": True,
}
del GEMMA["hidden_act"]
LLAMA = {
    **COMMON, "model_type": "llama", "architectures": ["LlamaForCausalLM"], "head_dim": 4, "attention_bias": False,
    "mlp_bias": False,
}
LONG = [1.0, 1.5, 2.75]
CASES = {
    "llama": {**LLAMA, "attention_bias": True, "mlp_bias": True},
    "llama-fused": {**LLAMA, "attention_bias": True},
    "llama3": {
        **LLAMA, "head_dim": 16, "tie_word_embeddings": True,
        "rope_theta": 500000.0, "rope_scaling": {
            "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    },
    "llama-linear": {**LLAMA, "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "llama-yarn": {**LLAMA, "rope_scaling": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 24, "attention_factor": 1.25,
        "beta_fast": 16.0, "beta_slow": 2.0,
    }},
    "mixtral": {
        **COMMON, "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_local_experts": 3,
        "num_experts_per_tok": 2,
    },
    "qwen2": {**COMMON, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": True},
    "qwen3": {**COMMON, "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": 8, "attention_bias": False},
    "qwen3-moe": {
        **COMMON, "model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "head_dim": 8, "num_experts": 3,
        "num_experts_per_tok": 2, "moe_intermediate_size": 12, "norm_topk_prob": True, "decoder_sparse_step": 1,
        "mlp_only_layers": [], "attention_bias": False,
    },
    "gemma3": GEMMA,
    "gemma3-linear": {**GEMMA, "num_hidden_layers": 2, "layer_types": ["sliding_attention"] * 2, "rope_scaling": {
        "rope_type": "linear", "factor": 8.0,
    }},
    "phi3": {
        **COMMON, "model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "sliding_window": None, "pad_token_id": 0,
        "original_max_position_embeddings": 96,
    },
    "phi3-longrope": {
        **COMMON, "model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "hidden_size": 32, "partial_rotary_factor": 0.75,
        "sliding_window": 30, "pad_token_id": 0, "original_max_position_embeddings": 24,
        "rope_scaling": {"rope_type": "longrope", "long_factor": LONG, "short_factor": [1.0, 1.25, 1.5]},
    },
    "gpt-neox": {
        "model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 40, "max_position_embeddings": 96,
        "rotary_pct": 0.25, "rotary_emb_base": 10000.0, "layer_norm_eps": 1e-5, "use_parallel_residual": False,
        "hidden_act": "gelu", "attention_bias": True, "tie_word_embeddings": False,
    },
    "gpt2": {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 16, "n_head": 4, "n_layer": 1, "n_positions": 48,
        "n_ctx": 48, "n_inner": 64, "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new", "vocab_size": 40,
        "tie_word_embeddings": True,
    },
    "olmo2": {**COMMON, "model_type": "olmo2", "architectures": ["Olmo2ForCausalLM"], "attention_bias": False},
}
# Of no interest here, or said by the tokenizer's part of the metadata.
NOT_STORED = {"architectures", "pad_token_id"}


def values(name, shape):
    """The test's own formula: FNV-1a of the name, then steps of a prime, modulo a prime; exact in f16."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 & 0xFFFFFFFF
    index = np.arange(int(np.prod(shape)), dtype=np.int64)
    return ((seed + index * 7919) % 2003 - 1001).astype(np.float32).reshape(shape)


def convert(name, config, folder):
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**copy.deepcopy(config)))
    model.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    tensors = {name: torch.from_numpy(values(name, tuple(tensor.shape))) for name, tensor in tensors.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    # Gemma's converter asks it how many rows of the embedding are used.
    tokens = {str(number): number for number in range(config["vocab_size"])}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": tokens}, "added_tokens": []}))

    kind = get_model_class(config["architectures"][0])
    kind.set_vocab = lambda self: None
    # These were keys of config.json when the converter was written, and Transformers 5 reads them only.
    older = {key: config[key] for key in ("rotary_pct", "n_ctx") if key in config}
    hparams = {**ModelBase.load_hparams(folder, False), **older}
    converter = kind(folder, gguf.LlamaFileType.MOSTLY_F16, Path(f"families/{name}.gguf").resolve(), hparams=hparams,
                     fuse_qkv=name.endswith("-fused"))
    converter.write()
    expected = {key: value for key, value in config.items() if key not in NOT_STORED}
    shapes = {name: list(tensor.shape) for name, tensor in sorted(tensors.items())}
    lines = [f"  {json.dumps(name)}: {shape}" for name, shape in shapes.items()]
    text = ",\n".join(lines)
    Path(f"families/{name}.json").write_text(f'{{"config": {json.dumps(expected)},\n"tensors": {{\n{text}\n}}}}\n')


os.makedirs("families", exist_ok=True)
torch.manual_seed(0)
for name, config in CASES.items():
    with tempfile.TemporaryDirectory() as folder:
        # The converter makes the model's name in the file of the folder's.
        folder = Path(folder) / name
        folder.mkdir()
        convert(name, config, folder)
