"""Importances of tokens as PyTorch computes them from Transformers' attention probabilities.

    pip install torch==2.15.0 transformers==5.23.0 safetensors numpy
    python make.py            # writes importance.json beside this file

The models are the tiny seeded checkpoints of crates/model/tests/families: rotary positions on a part of the
channels with parallel blocks (gpt-neox), grouped heads (llama), and sliding windows (qwen2-window).
"""

import json
import pathlib

import torch
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
FAMILIES = HERE.parent.parent / "model" / "tests" / "families"
TOKENS = 21
CHUNK = 8


def importances(attention, values, hidden, weights, start, end):
    """Of tokens start..end, by the queries of the same tokens: `attention` is [heads, T, T]."""
    heads = attention.shape[0]
    rows = attention[:, start:end, :]
    columns = rows[:, :, start:end]
    received = columns.sum(1) / (end - start)  # [heads, tokens]
    lengths = values[:, start:end].norm(dim=-1).repeat_interleave(heads // values.shape[0], 0)
    safe = torch.where(rows > 0, rows, torch.ones_like(rows))
    return {
        "column-mean": received.mean(0),
        "last-row": columns[:, -1].mean(0),
        "head-weighted": (received * weights[:, None]).sum(0),
        "value-norm": (received * lengths).mean(0),
        "hidden-norm": hidden[start:end].norm(dim=-1),
        "entropy": -(rows * safe.log()).sum(-1).mean(0),
    }


def aggregates(layers):
    running = layers[0]
    for layer in layers[1:]:
        running = (running + layer) / 2
    stack = torch.stack(layers)
    return {"last": layers[-1], "mean": stack.mean(0), "running-mean": running, "maximum": stack.amax(0)}


def of_heads(output, heads, config):
    """Values [key heads, T, channels] from what a projection gave."""
    dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    if output.shape[-1] == 3 * heads * dim:
        return output.view(TOKENS, heads, 3 * dim)[..., 2 * dim :].transpose(0, 1)
    return output.view(TOKENS, -1, dim).transpose(0, 1)


def family(name):
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_pretrained(
        FAMILIES / name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokens = torch.randint(0, model.config.vocab_size, (1, TOKENS))
    outputs = []
    for module_name, module in model.named_modules():
        if module_name.endswith(("v_proj", "query_key_value")):
            module.register_forward_hook(lambda module, args, output: outputs.append(output[0]))
    with torch.no_grad():
        # In f64, so that what is compared with has no error of its own worth naming.
        exact = model.double()(tokens, output_attentions=True, output_hidden_states=True, use_cache=False)
    layers, result = model.config.num_hidden_layers, {"tokens": tokens[0].tolist()}
    heads = exact.attentions[0].shape[1]
    weights = [[round(((3 * layer + 5 * head) % 7) / 4 - 0.25, 2) for head in range(heads)] for layer in range(layers)]
    result["weights"] = weights
    for chunk in [TOKENS, CHUNK]:
        found = []
        for layer in range(layers):
            attention, states = exact.attentions[layer][0], exact.hidden_states[layer + 1][0]
            values = of_heads(outputs[layer], heads, model.config)
            parts = [
                importances(attention, values, states, torch.tensor(weights[layer]).double(), start, min(start + chunk, TOKENS))
                for start in range(0, TOKENS, chunk)
            ]
            found.append({metric: torch.cat([part[metric] for part in parts]) for metric in parts[0]})
        # The last state is after the model's final norm: no hidden state that crosses a link.
        found[-1].pop("hidden-norm")
        key = "whole" if chunk == TOKENS else "chunks"
        result[key] = [{metric: [float(f"{x:.8g}") for x in row.tolist()] for metric, row in layer.items()} for layer in found]
        if chunk == TOKENS:
            together = aggregates([layer["column-mean"] for layer in found])
            result["aggregates"] = {by: [float(f"{x:.8g}") for x in row.tolist()] for by, row in together.items()}
    return result


def main():
    torch.set_num_threads(1)
    golden = {"chunk": CHUNK, "torch": torch.__version__}
    golden["models"] = {name: family(name) for name in ["gpt-neox", "llama", "qwen2-window"]}
    (HERE / "importance.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
