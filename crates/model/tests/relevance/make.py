"""Relevance of attention heads as PyTorch's autograd gives it, in f64.

    pip install torch==2.15.0 transformers==5.23.0 safetensors numpy
    python make.py            # writes relevance.json beside this file

The models are the tiny seeded checkpoints of crates/model/tests/families. For each layer, from the last to the
first: R = max(0, A * dL/dA) of its probabilities A, where L is the sum of the log-likelihoods of all tokens after
the first; a head counts sum_ij r_i R_ij, and r grows by the mean over heads of sum_i r_i R_ij. Of a mixture of
experts the router gives no gradient.
"""

import json
import pathlib

import torch
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
FAMILIES = HERE.parent / "families"
NAMES = ["gpt-neox", "gpt2", "llama", "qwen2-window", "gemma3", "olmo2", "phi3", "mixtral"]
LENGTHS = [23, 11]


def window(model, tokens):
    result = model(tokens[None], output_attentions=True, use_cache=False)
    likelihood = torch.log_softmax(result.logits[0, :-1], -1).gather(1, tokens[1:, None]).sum()
    gradients = torch.autograd.grad(likelihood, result.attentions)
    rollout = torch.ones(len(tokens), dtype=torch.float64)
    rollout[-1] = 0
    counts = []
    for attention, gradient in reversed(list(zip(result.attentions, gradients))):
        relevance = (attention[0] * gradient[0]).clamp(min=0)
        by_key = (relevance * rollout[None, :, None]).sum(1)
        counts.append(by_key.sum(1))
        rollout = rollout + by_key.mean(0)
    return torch.stack(counts[::-1]), float(likelihood)


def family(name):
    torch.manual_seed(11)
    model = AutoModelForCausalLM.from_pretrained(FAMILIES / name, dtype=torch.float64, attn_implementation="eager", experts_implementation="eager")
    model.eval().requires_grad_(False)
    detach = lambda module, args, output: (
        tuple(part.detach() for part in output) if isinstance(output, tuple) else output.detach()
    )
    for module_name, module in model.named_modules():
        if module_name.endswith(".mlp.gate"):
            module.register_forward_hook(detach)
    # Probabilities have gradients because the states do.
    model.get_input_embeddings().register_forward_hook(lambda module, args, output: output.requires_grad_())
    windows = [torch.randint(0, model.config.get_text_config().vocab_size, (length,)) for length in LENGTHS]
    found = [window(model, tokens) for tokens in windows]
    counts = sum(counts for counts, _ in found)
    return {
        "windows": [tokens.tolist() for tokens in windows],
        "heads": [[float(f"{x:.9g}") for x in row] for row in (counts / counts.sum(1, keepdim=True)).tolist()],
    }


def main():
    torch.set_num_threads(1)
    golden = {"torch": torch.__version__, "models": {name: family(name) for name in NAMES}}
    (HERE / "relevance.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
