"""Golden values of snapkv, tova, observed-attention, simlayer and think.

Versions: Python 3.11, torch 2.15.0, numpy 2.4.6.
Run: python plugins/presses-attention/golden/make.py

golden.json beside this script, in the form of plugins/presses-basic/golden/layer.py. The second layer has rope on a
part of its channels, with a factor, and three heads over each kv head.
"""

import pathlib
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "presses-basic" / "golden"))
from layer import Layer, case, kept, write


def snapkv(layer, window, kernel):
    attention = layer.attention()[:, -window:, :-window]
    scores = F.avg_pool1d(attention.mean(1), kernel, padding=kernel // 2, stride=1)
    scores = layer.group_mean(scores)
    return F.pad(scores, (0, window), value=scores.max().item() + 1)


def tova(layer):
    scores = layer.attention()[:, -1, :-1].mean(0).expand(layer.kv_heads, -1)
    return F.pad(scores, (0, 1), value=scores.max().item() + 1)


def observed(layer):
    return layer.group_mean(layer.attention().sum(1) / torch.arange(layer.tokens, 0, -1.0))


def simlayer(layer, threshold, queries, initial, recent):
    attention = layer.attention()[:, -queries:, :-queries].mean((0, 1))
    share = (attention[:initial].sum() + attention[-recent:].sum()).item()
    lazy = [*range(initial), *range(layer.tokens - recent, layer.tokens)]
    entries = lazy if share > threshold else list(range(layer.tokens))
    return [entries] * layer.kv_heads, share


def think(layer, window, share):
    q = layer.group_mean((layer.rotated_q[:, -window:] ** 2).mean(1))
    scores = q * (layer.k**2).mean(1)
    gone = int(layer.dim * share)
    return [sorted(row.topk(layer.dim - gone).indices.tolist()) for row in scores]


layers = []
for layer in [Layer(2), Layer(3, heads=6, kv_heads=2, tokens=30, dim=10, rotated=6, factor=1.25)]:
    everything = [list(range(layer.tokens))] * layer.kv_heads
    _, share = simlayer(layer, 0, 2, 3, 9)
    assert 0.05 < share < 0.95, share
    half = layer.tokens // 2
    cases = [
        case("snapkv", {"window": 6}, snapkv(layer, 6, 5)),
        case("snapkv", {"window": 1, "kernel": 1}, snapkv(layer, 1, 1)),
        case("snapkv", {"window": 6}, kept=kept(snapkv(layer, 6, 5), [half] * layer.kv_heads)),
        case("pyramidkv", {"window": 6}, snapkv(layer, 6, 5)),
        case("tova", {}, tova(layer)),
        case("observed-attention", {}, observed(layer)),
        case("simlayer", {"initial": 3, "recent": 9, "queries": 2, "threshold": share - 1e-3},
             kept=simlayer(layer, share - 1e-3, 2, 3, 9)[0]),
        case("simlayer", {"initial": 3, "recent": 9, "queries": 2, "threshold": share + 1e-3},
             kept=simlayer(layer, share + 1e-3, 2, 3, 9)[0]),
        case("think", {"window": 6}, kept=everything, channels=think(layer, 6, 0.5)),
        case("think", {"window": 6, "channels": 0.3}, kept=everything, channels=think(layer, 6, 0.3)),
    ]
    layers.append((layer.to_json(["queries", "attention-sum", "attention-count"]), cases))
write(__file__, layers)
