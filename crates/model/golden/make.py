"""Makes the tiny checkpoints in tests/data with Transformers, and what each layer must give.

Versions: Python 3.11+, torch 2.15.0, transformers 5.23.0, safetensors 0.8.0, numpy 2.4.6.
Run from anywhere: python crates/model/golden/make.py

Every folder holds config.json and model.safetensors as Transformers writes them, and
golden.safetensors: "tokens" [2, T] and, computed in f32, "embedding", "layer.N" (the residual
stream after layer N) [2, T, hidden], and "logits" [2, T, vocab].
"""

import pathlib

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data"

COMMON = dict(initializer_range=0.2, rms_norm_eps=1e-5, bos_token_id=None, eos_token_id=None)
MODELS = {
    "plain": dict(
        vocab_size=131, hidden_size=48, intermediate_size=80, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=128,
        tie_word_embeddings=True,
    ),
    "llama3-gqa-bias": dict(
        vocab_size=97, hidden_size=42, intermediate_size=52, num_hidden_layers=3,
        num_attention_heads=6, num_key_value_heads=2, head_dim=10, max_position_embeddings=256,
        tie_word_embeddings=False, attention_bias=True, mlp_bias=True,
        rope_parameters=dict(
            rope_type="llama3", rope_theta=5000.0, factor=4.0, low_freq_factor=1.0,
            high_freq_factor=4.0, original_max_position_embeddings=64,
        ),
    ),
}
TOKENS = 77


def main():
    for seed, (name, options) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        config = LlamaConfig(**COMMON, **options)
        model = LlamaForCausalLM(config).eval().to(torch.float32)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if key.endswith("bias"):
                    parameter.normal_(0.0, 0.3)
                elif "norm" in key:
                    parameter.uniform_(0.5, 1.5)
            tokens = torch.randint(0, config.vocab_size, (2, TOKENS))
            states = {}
            hooks = [
                layer.register_forward_hook(
                    lambda _, __, output, i=i: states.__setitem__(
                        f"layer.{i}", output[0] if isinstance(output, tuple) else output
                    )
                )
                for i, layer in enumerate(model.model.layers)
            ]
            states["logits"] = model(tokens, use_cache=False).logits
            states["embedding"] = model.model.embed_tokens(tokens)
            for hook in hooks:
                hook.remove()
        folder = OUT / name
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        states = {key: value.contiguous().clone() for key, value in states.items()}
        states["tokens"] = tokens.to(torch.int32)
        save_file(states, folder / "golden.safetensors")
        for file in sorted(folder.iterdir()):
            print(file, file.stat().st_size)


main()
