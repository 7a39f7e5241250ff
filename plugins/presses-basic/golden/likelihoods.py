"""Negative log-likelihoods of the small model under kvpress's presses and the hqq package.

Versions: Python 3.11; torch 2.15.0, transformers 5.23.0, pyarrow 26.0.1, cachetools, fire, termcolor; kvpress 0.5.5 and
hqq 0.2.8.post1, both installed with --no-deps (packages that the presses do not use are replaced by empty modules).
Run: python plugins/presses-basic/golden/likelihoods.py

likelihoods.json beside this script; crates/cli/tests/cli/named.rs runs the same cells with strait. assets/models/wiki-4m in
f32 on the first WINDOWS * WINDOW tokens of WikiText-2's test text. "prefilled": CONTEXT tokens are prefilled and compressed
by the press, the others of a window follow one at a time. "streaming": the cache is compressed to SIZE entries after every
INTERVAL tokens. A cell is scored at every token of the window behind the first of the last part, each window's sum is
written. Where a press draws random directions there are SEEDS draws, one row of sums for each.

Differences that are no error, and what is done here about them:
* simlayer keeps n_recent - n_last entries and watches n_recent: `watched` and `recent` say both.
* reposition: the tokens behind get the positions that kvpress's pipeline gives them, the length of the compressed cache.
* lagkv without cross scores gives entries of different partitions equal scores, and which of equals stay is chance in
  torch.topk; the last ones here. The ratio is one where no equals are divided.
* criticalkv with adakv, chunked and merged presses are kvpress's own compositions of the same names.
"""

import hashlib
import importlib.machinery
import importlib.metadata
import json
import pathlib
import re
import struct
import sys
import types
from unittest.mock import MagicMock

import pyarrow.parquet
import torch
from hqq.core.quantize import BaseQuantizeConfig, Quantizer
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

ROOT = pathlib.Path(__file__).parents[3]
# Read before there is an empty pandas, which pyarrow would ask for its version.
rows = pyarrow.parquet.read_table(ROOT / "assets/wikitext-2-raw/test-00000-of-00001.parquet")["text"].to_pylist()

for name in ["datasets", "peft", "pandas", "requests"]:
    stub = types.ModuleType(name)
    stub.__spec__ = importlib.machinery.ModuleSpec(name, None)
    stub.__getattr__ = lambda attribute: MagicMock()
    sys.modules.setdefault(name, stub)

import kvpress as kv
from kvpress.presses.merging_press import MergingPress

PINNED = {"torch": "2.15.0", "transformers": "5.23.0", "kvpress": "0.5.5", "hqq": "0.2.8.post1"}
for name, version in PINNED.items():
    assert importlib.metadata.version(name).split("+")[0] == version, name
torch.set_num_threads(1)
torch.set_grad_enabled(False)

MODEL = ROOT / "assets" / "models" / "wiki-4m"
WINDOW, CONTEXT, WINDOWS = 320, 256, 2
INTERVAL, SIZE = 64, 96
SEEDS = 8

tokenizer = AutoTokenizer.from_pretrained(MODEL)
tokens = tokenizer("\n\n".join(rows)[:20000])["input_ids"][: WINDOWS * WINDOW]
models = {
    attention: AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation=attention).eval()
    for attention in ["sdpa", "eager"]
}


def step(model, ids, position, cache):
    """One token on a cache that may be shorter than its position: log-probabilities of the next."""
    out = model(
        torch.tensor([[ids]]), past_key_values=cache, position_ids=torch.tensor([[position]]), use_cache=True
    )
    return out.logits[0, -1].log_softmax(-1)


def prefilled(press, reposition=False, attention="sdpa"):
    """The sum of a window's negative log-likelihoods behind the first token of the suffix."""
    model, sums = models[attention], []
    for start in range(0, len(tokens), WINDOW):
        window, cache = tokens[start : start + WINDOW], DynamicCache()
        for layer in model.model.layers:
            layer.self_attn.masked_key_indices = None
        with press(model):
            # kvpress knows a prefill by cache_position, which this release of Transformers leaves to the caller.
            positions = torch.arange(CONTEXT)
            model(torch.tensor([window[:CONTEXT]]), past_key_values=cache, cache_position=positions, use_cache=True)
        first = cache.get_seq_length() if reposition else CONTEXT
        total = 0.0
        for index in range(CONTEXT, WINDOW - 1):
            logits = step(model, window[index], first + index - CONTEXT, cache)
            total -= logits[window[index + 1]].item()
        sums.append(total)
    return sums


def streaming(make, reposition):
    """The same of all tokens behind the first, in runs with the cache compressed after each."""
    model, sums = models["sdpa"], []
    attention = [layer.self_attn for layer in model.model.layers]
    for module in attention:
        module.rotary_emb, module.masked_key_indices = model.model.rotary_emb, None
    for start in range(0, len(tokens), WINDOW):
        window, cache, total, position = tokens[start : start + WINDOW], DynamicCache(), 0.0, 0
        for index in range(WINDOW - 1):
            if index and index % INTERVAL == 0 and cache.get_seq_length() > SIZE:
                for layer, module in zip(cache.layers, attention):
                    # So that int(n * (1 - ratio)) is SIZE.
                    press = make(1 - (SIZE + 0.5) / layer.keys.shape[2])
                    layer.keys, layer.values = press.compress(module, None, layer.keys, layer.values, None, {})
                    assert layer.keys.shape[2] == SIZE
                position = SIZE if reposition else position
            logits = step(model, window[index], position, cache)
            total -= logits[window[index + 1]].item()
            position += 1
        sums.append(total)
    return sums


def quantized(bits):
    """Hidden states behind layer 3 through hqq as BaseQuantizeConfig sets it, a window a message; or as they are."""
    config = BaseQuantizeConfig(nbits=bits or 8, group_size=64)["weight_quant_params"]
    keep = {key: config[key] for key in ["nbits", "group_size", "optimize", "round_zero", "axis"]}

    def hook(module, arguments, out):
        q, meta = Quantizer.quantize(out[0], **keep, bitpack=False, device="cpu")
        return Quantizer.dequantize(q, meta | {"compute_dtype": torch.float32})[None]

    model, sums = models["sdpa"], []
    handle = model.model.layers[3].register_forward_hook(hook) if bits else None
    for start in range(0, len(tokens), WINDOW):
        window = torch.tensor([tokens[start : start + WINDOW]])
        found = model(window).logits[0, CONTEXT:-1].log_softmax(-1)
        sums.append(-found.gather(-1, window[0, CONTEXT + 1 :, None]).sum().item())
    if handle:
        handle.remove()
    return sums


half = 0.5
snapkv = lambda ratio=half: kv.SnapKVPress(ratio, window_size=16)
cells = {
    "streaming-llm": lambda: kv.StreamingLLMPress(half),
    "knorm": lambda: kv.KnormPress(half),
    "knorm 0.25": lambda: kv.KnormPress(0.25),
    "keydiff": lambda: kv.KeyDiffPress(half),
    # 130 of 256 entries, so that equal ranks of the partitions all stay or all go.
    "lagkv": lambda: kv.LagKVPress(0.4921875, lag_size=32),
    "lagkv cross": lambda: kv.LagKVPress(half, lag_size=32, cross_scoring=True),
    "cur": lambda: kv.CURPress(half),
    "snapkv": snapkv,
    "snapkv 0.75": lambda: snapkv(0.75),
    "pyramidkv": lambda: kv.PyramidKVPress(half, window_size=8),
    "tova": lambda: kv.TOVAPress(half),
    "expected-attention": lambda: kv.ExpectedAttentionPress(half),
    "cap": lambda: kv.CapPress(half),
    "non-causal-attention": lambda: kv.NonCausalAttnPress(half, chunk_size=64),
    "think 0.25": lambda: kv.ThinKPress(0.25),
    "think 0.5": lambda: kv.ThinKPress(half),
    "simlayer": lambda: kv.SimLayerKVPress(lazy_threshold=0.5, n_last=4, n_recent=64, n_initial=4),
    "snapkv adakv": lambda: kv.AdaKVPress(snapkv()),
    "snapkv criticalkv": lambda: kv.CriticalKVPress(snapkv()),
    "snapkv criticaladakv": lambda: kv.CriticalAdaKVPress(snapkv()),
    "snapkv chunkkv": lambda: kv.ChunkKVPress(snapkv(), chunk_length=16),
    "knorm chunk": lambda: kv.ChunkPress(kv.KnormPress(half), chunk_length=32),
    "keydiff block": lambda: kv.BlockPress(kv.KeyDiffPress(half), block_size=32),
    "knorm merge": lambda: MergingPress(kv.KnormPress(half)),
    "snapkv, then think": lambda: kv.ComposedPress([snapkv(), kv.ThinKPress(0.25)]),
}
repositioned = {
    "streaming-llm reposition": lambda ratio=half: kv.KeyRerotationPress(kv.StreamingLLMPress(ratio)),
    "streaming-llm reposition 0.75": lambda: kv.KeyRerotationPress(kv.StreamingLLMPress(0.75)),
    "knorm reposition": lambda ratio=half: kv.KeyRerotationPress(kv.KnormPress(ratio)),
}
drawn = {
    "random": lambda: kv.RandomPress(half),
    "leverage": lambda: kv.LeverageScorePress(half),
    # Of 256 entries less 8 and 4, so that there is no padding, which kvpress counts.
    "compactor": lambda: kv.CompactorPress(half, chunk_size=61),
}

found = {"prefilled": {}, "streaming": {}, "drawn": {}, "hqq": {}}
out = found["prefilled"]
out["baseline"] = quantized(None)
for name, make in cells.items():
    out[name] = prefilled(make())
    print(name, out[name], flush=True)
for name, make in repositioned.items():
    out[name] = prefilled(make(), reposition=True)
    print(name, out[name], flush=True)
out["observed-attention"] = prefilled(kv.ObservedAttentionPress(half), attention="eager")
print(out["observed-attention"], flush=True)
# streaming-llm goes by the order of entries, which kvpress leaves to torch.topk where it does not reposition.
for name, make in {"knorm": kv.KnormPress, "keydiff": kv.KeyDiffPress}.items():
    found["streaming"][name] = streaming(make, False)
for name in ["streaming-llm reposition", "knorm reposition"]:
    found["streaming"][name] = streaming(repositioned[name], True)
for name, make in drawn.items():
    found["drawn"][name] = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        found["drawn"][name].append(prefilled(make()))
    print(name, found["drawn"][name], flush=True)
for bits in [8, 4, 3, 2]:
    found["hqq"][str(bits)] = quantized(bits)
print(found["streaming"], found["hqq"])

digest = hashlib.sha256(struct.pack(f"<{len(tokens)}I", *tokens)).hexdigest()
text = json.dumps({"tokens_sha256": digest, **found}, indent=1)
# A row of sums on one line.
text = re.sub(r"\[\s+([-0-9.e,\s]+?)\s+\]", lambda m: "[" + " ".join(m[1].split()) + "]", text)
(pathlib.Path(__file__).parent / "likelihoods.json").write_text(text + "\n")
