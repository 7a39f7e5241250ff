"""Golden values of non-causal-attention, leverage and compactor.

Versions: Python 3.11, torch 2.15.0, numpy 2.4.6.
Run: python plugins/presses-compactor/golden/make.py

golden.json beside this script, in the form of plugins/presses-basic/golden/layer.py. Random directions are not
comparable, so leverage.json has the leverage of given keys with given directions, and compactor is without it here.
"""

import json
import pathlib
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "presses-basic" / "golden"))
from layer import Layer, case, numbers, write

layer = Layer(4)


def standard(scores):
    return (scores - scores.mean()) / scores.std()


def noncausal(chunk, begin=0, end=layer.tokens):
    q, k = layer.rotated_q[:, begin:end], layer.keys_of_heads[:, begin:end]
    sums = [(a @ b.transpose(1, 2)).softmax(-1).sum(1) for a, b in zip(q.split(chunk, 1), k.split(chunk, 1))]
    scores = layer.group_mean(torch.cat(sums, 1)) * layer.v[:, begin:end].norm(dim=-1)
    return standard(F.avg_pool1d(scores, 3, padding=1, stride=1))


def leverage(keys, directions):
    x = (keys - keys.mean(0)) @ directions
    gram = x.T @ x + 1e-2 * torch.eye(x.shape[1], dtype=torch.float64)
    return (x * torch.linalg.solve(gram, x.T).T).sum(1)


def compactor(chunk):
    scores = noncausal(chunk, 8, layer.tokens - 4)
    return F.pad(scores, (8, 4), value=scores.max().item())


cases = [
    case("non-causal-attention", {}, noncausal(256)),
    case("non-causal-attention", {"chunk": 10}, noncausal(10)),
    case("non-causal-attention", {"chunk": 16}, noncausal(16)),
    case("compactor", {"blending": 0, "chunk": 7}, compactor(7)),
]
write(__file__, [(layer.to_json(["queries"]), cases)])

directions = torch.randn(8, 5, generator=torch.Generator().manual_seed(5)).double()
out = {
    "dim": 8,
    "keys": numbers(layer.plain_k[0]),
    "directions": numbers(directions),
    "scores": numbers(leverage(layer.plain_k[0].float().double(), directions)),
}
pathlib.Path(__file__).with_name("leverage.json").write_text(json.dumps(out) + "\n")
