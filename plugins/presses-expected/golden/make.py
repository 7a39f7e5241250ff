"""Golden values of expected-attention and cap.

Versions: Python 3.11, torch 2.15.0, numpy 2.4.6.
Run: python plugins/presses-expected/golden/make.py

golden.json beside this script, in the form of plugins/presses-basic/golden/layer.py. The second layer has rope on a
part of its channels, with a factor.
"""

import pathlib
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "presses-basic" / "golden"))
from layer import Layer, case, write


def expected(layer, future=512, sinks=4, covariance=True, norm=True, epsilon=0.0):
    d, keys = layer.dim, layer.keys_of_heads[:, sinks:]
    queries = layer.mean_rope(layer.q[:, sinks:], layer.tokens, future) if future else layer.q[:, sinks:]
    mean = queries.mean(1, keepdim=True)
    logits = (keys @ mean.transpose(1, 2)).squeeze(-1) / d**0.5
    if covariance:
        centred = queries - mean
        spread = centred.transpose(1, 2) @ centred / queries.shape[1]
        logits = logits + torch.einsum("hni,hij,hnj->hn", keys, spread, keys) / d / 2
    scores = layer.group_mean(logits.softmax(-1))
    if norm:
        scores = (scores + epsilon) * layer.v[:, sinks:].norm(dim=-1)
    return F.pad(scores, (sinks, 0), value=scores.max().item() + 1)


def cap(layer, tau=5.0, future=512, sinks=4, epsilon=1e-6):
    keys, values = layer.keys_of_heads[:, sinks:], layer.values_of_heads[:, sinks:]
    anchor = layer.mean_rope(layer.q[:, sinks:], layer.tokens, future).mean(1, keepdim=True)
    alike = F.cosine_similarity(keys, anchor, dim=-1)
    weights = (tau * (alike - alike.amax(1, keepdim=True))).exp()
    eye = torch.eye(layer.dim, dtype=torch.float64)
    matrix = eye + torch.einsum("hn,hni,hnj->hij", weights + epsilon, values, values)
    solved = torch.linalg.solve(matrix, values.transpose(1, 2)).transpose(1, 2)
    scores = layer.group_mean(weights * (values * solved).sum(-1))
    return F.pad(scores, (sinks, 0), value=scores.max().item() + 1)


layers = []
for layer in [Layer(6), Layer(7, heads=3, kv_heads=1, tokens=30, dim=10, rotated=6, factor=1.25)]:
    cases = [
        case("expected-attention", {}, expected(layer)),
        case("expected-attention", {"future": 7, "sinks": 2}, expected(layer, 7, 2)),
        case("expected-attention", {"future": 0}, expected(layer, 0)),
        case("expected-attention", {"covariance": False, "epsilon": 0.5}, expected(layer, covariance=False, epsilon=0.5)),
        case("expected-attention", {"value_norm": False}, expected(layer, norm=False)),
        case("cap", {}, cap(layer)),
        case("cap", {"tau": 1, "sinks": 1, "future": 5, "epsilon": 0.1}, cap(layer, 1.0, 5, 1, 0.1)),
    ]
    layers.append((layer.to_json(["queries"]), cases))
write(__file__, layers)
