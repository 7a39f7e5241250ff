"""Compares the golden values of all press plugins with NVIDIA's kvpress, where it has the same rule.

Versions: Python 3.11, torch 2.15.0, kvpress 0.5.5 (its scorers alone: installed without dependencies, beside
transformers 5.23, cachetools and fire; packages that the scorers do not use are replaced by empty modules).
Run: python plugins/presses-basic/golden/against_kvpress.py

Left out: layers with a partial or scaled rope, which kvpress does not know; simlayer's kept entries, of which kvpress
keeps fewer by the number of queries; chunks of non-causal attention that do not divide the tokens, where kvpress counts
its padding; no future positions; leverage, whose directions are random.
"""

import importlib.machinery
import json
import pathlib
import sys
import types
from unittest.mock import MagicMock

import torch

for name in ["datasets", "peft", "pandas"]:
    stub = types.ModuleType(name)
    stub.__spec__ = importlib.machinery.ModuleSpec(name, None)
    stub.__getattr__ = lambda attribute: MagicMock()
    sys.modules.setdefault(name, stub)

import kvpress

PLUGINS = pathlib.Path(__file__).parents[2]


class Attention(torch.nn.Module):
    """What a press reads of an attention layer. Hidden states are the queries themselves."""

    def __init__(self, layer, index, layers):
        super().__init__()
        self.heads, self.head_dim, self.layer_idx = layer["heads"], layer["head_dim"], index
        self.num_key_value_groups = self.heads // len(layer["keys"])
        self.config = types.SimpleNamespace(
            num_attention_heads=self.heads, num_key_value_heads=len(layer["keys"]), head_dim=self.head_dim,
            hidden_size=11, num_hidden_layers=layers, _attn_implementation="sdpa",
        )
        self.q_proj = torch.nn.Identity()
        # Only for compactor, where a weight of 0 makes any keys do.
        self.k_proj = lambda hidden: hidden[..., : len(layer["keys"]) * self.head_dim]
        weights = torch.randn(self.heads, self.head_dim, 11, generator=torch.Generator().manual_seed(99)).double()
        self.o_proj = types.SimpleNamespace(weight=weights.reshape(-1, 11).T)
        self.frequencies = torch.tensor(layer["inverse_frequencies"])

    def rotary_emb(self, x, positions):
        angle = (positions[0].float()[:, None] * self.frequencies).double()
        angle = torch.cat((angle, angle), -1)[None]
        return angle.cos(), angle.sin()


def scorer(name, params, ratio):
    p = dict(params)
    sinks = {"n_sink": p.pop("sinks")} if "sinks" in p else {}
    for common in ["budget", "unit", "unit_size", "merge", "safeguard", "layers", "pyramid_window", "pyramid_beta"]:
        p.pop(common, None)
    if name == "cur":
        window = p.pop("window", 16)
        p = {"leverage_type": p.get("leverage", "kv_product"), "local_window_size": window or 16,
             "use_local_approximation": window > 0, "num_sinks": sinks.get("n_sink", 4)}
        return kvpress.CURPress(compression_ratio=ratio, **p)
    names = {"lag": "lag_size", "cross": "cross_scoring", "window": "window_size", "kernel": "kernel_size",
             "chunk": "chunk_size", "future": "n_future_positions", "covariance": "use_covariance",
             "value_norm": "use_vnorm"}
    p = {names.get(key, key): value for key, value in p.items()} | sinks
    kinds = {
        "knorm": kvpress.KnormPress, "keydiff": kvpress.KeyDiffPress, "lagkv": kvpress.LagKVPress,
        "streaming-llm": kvpress.StreamingLLMPress, "snapkv": kvpress.SnapKVPress, "tova": kvpress.TOVAPress,
        "pyramidkv": kvpress.PyramidKVPress, "observed-attention": kvpress.ObservedAttentionPress,
        "expected-attention": kvpress.ExpectedAttentionPress, "cap": kvpress.CapPress,
        "non-causal-attention": kvpress.NonCausalAttnPress, "compactor": kvpress.CompactorPress,
    }
    return kinds[name](compression_ratio=ratio, **p)


def wrapped(press, params):
    if params.get("budget") == "adakv":
        return kvpress.AdaKVPress(press, alpha_safeguard=params.get("safeguard", 0.2))
    if params.get("budget") == "criticalkv":
        return kvpress.CriticalKVPress(press)
    if params.get("merge"):
        from kvpress.presses.merging_press import MergingPress
        return MergingPress(press)
    size = params.get("unit_size")
    return {"chunkkv": lambda: kvpress.ChunkKVPress(press, chunk_length=size),
            "chunk": lambda: kvpress.ChunkPress(press, chunk_length=size),
            "block": lambda: kvpress.BlockPress(press, block_size=size)}.get(params.get("unit"), lambda: press)()


def compare(layer, case):
    name, params = case["press"], case["params"]
    module = Attention(layer, layer.get("layer", 0), layer.get("layers", 1))
    d, tokens = layer["head_dim"], layer["tokens_seen"]
    keys = torch.tensor(layer["keys"], dtype=torch.float64).view(1, -1, tokens, d)
    values = torch.tensor(layer["values"], dtype=torch.float64).view(1, -1, tokens, d)
    side = {array["name"]: torch.tensor(array["values"], dtype=torch.float64) for array in layer["side"]}
    queries = side.get("queries", torch.zeros(layer["heads"] * tokens * d)).double().view(layer["heads"], tokens, d)
    hidden = queries.transpose(0, 1).reshape(1, tokens, -1)
    embeddings = module.rotary_emb(None, torch.arange(tokens)[None])
    rest = {"position_embeddings": embeddings, "hidden_states": hidden}
    attentions = None
    if name == "observed-attention":
        # Its sum over queries is what counts; one query has it all.
        attentions = side["attention-sum"].view(1, layer["heads"], 1, tokens)
    if name == "think":
        press = kvpress.ThinKPress(params.get("channels", case["ratio"]), window_size=params["window"])
        out, _ = press.compress(module, hidden, keys.clone(), values, None, rest)
        found = [torch.nonzero(head.abs().sum(0)).flatten().tolist() for head in out[0]]
        return found == case["channels"]
    press = scorer(name, params, case["ratio"])
    if "scores" in case:
        found = press.score(module, hidden, keys.clone(), values.clone(), attentions, rest)[0]
        return torch.allclose(found.double(), torch.tensor(case["scores"], dtype=torch.float64), rtol=1e-4, atol=1e-5)
    if params.get("layers") == "pyramid":
        press = kvpress.PyramidKVPress(case["ratio"], window_size=params["pyramid_window"], beta=params["pyramid_beta"])
        return press.get_layer_budget(module, tokens) == len(case["kept"][0])
    # The last channel of the values says which entry it is; none of these presses looks at values.
    marked = values.clone()
    marked[..., -1] = torch.arange(tokens)
    press = wrapped(press, params)
    if params.get("merge"):
        _, out = press.compress(module, hidden, keys, values, None, rest)
        expected = [torch.tensor(rows, dtype=torch.float64).view(-1, d) for rows in case["values"]]
        return all(
            torch.cdist(rows, head).min(1).values.max() < 1e-4 for rows, head in zip(expected, out[0])
        )
    given = values if params.get("budget") == "criticalkv" else marked
    if params.get("budget") == "criticalkv":
        scores = press.score(module, hidden, keys, given, None, rest)[0]
        found = [sorted(row.topk(len(kept)).indices.tolist()) for row, kept in zip(scores, case["kept"])]
        return found == case["kept"]
    _, out = press.compress(module, hidden, keys, given, None, rest)
    if params.get("budget") == "adakv":
        _, heads, entries = module.masked_key_indices
        gone = list(zip(heads.tolist(), entries.tolist()))
        found = [[e for e in range(tokens) if (h, e) not in gone] for h in range(keys.shape[1])]
    else:
        found = [sorted(int(e) for e in head[:, -1]) for head in out[0]]
    return found == case["kept"]


done, wrong, left_out = 0, [], 0
for plugin in ["basic", "attention", "compactor", "expected"]:
    for entry in json.loads((PLUGINS / f"presses-{plugin}" / "golden" / "golden.json").read_text()):
        layer = entry["layer"]
        for case in entry["cases"]:
            odd_chunk = case["press"] == "non-causal-attention" and 40 % case["params"].get("chunk", 256)
            other_rope = layer["attention_factor"] != 1
            no_future = case["params"].get("future") == 0
            if other_rope or odd_chunk or no_future or case["press"] == "simlayer":
                left_out += 1
                continue
            done += 1
            if not compare(layer, case):
                wrong.append((case["press"], case["params"]))
print(f"{done} cases compared, {left_out} left out, {len(wrong)} differ: {wrong}")
sys.exit(bool(wrong))
