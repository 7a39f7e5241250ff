"""Golden values of mixed and channels, from an independent computation of the published quantizers.

Versions: Python 3.11, torch 2.15.0, numpy 2.x.
Run: python plugins/importance/golden/make.py

golden.json beside this script: for every case the codec, its parameters, the message f32[rows][channels] (bits), the
importances f32[rows] (bits), the quantized rows or channels, and the reconstruction f32 (bits). `mixed` follows
edge-importance's quantizer: the int(ratio * tokens) least important tokens share one scale max|x| / 7, codes
clamp(round(x / scale), -8, 7), or have one each; the others are f16. `channels` quantizes a column with torch.round.
"""

import json
import pathlib

import numpy as np
import torch

PINNED = {"torch": "2.15.0"}
assert torch.__version__.split("+")[0] == PINNED["torch"], torch.__version__

HERE = pathlib.Path(__file__).parent
ROWS, COLUMNS = 12, 20
torch.manual_seed(4)
x = torch.randn(ROWS, COLUMNS)
x[0] *= 60
x[:, 5] *= 9
importance = torch.rand(ROWS)
importance[3] = importance[7]


def bits(a):
    return np.ascontiguousarray(a.numpy(), np.float32).view(np.uint32).reshape(-1).tolist()


def int4(part, dim):
    scale = part.abs().amax() / 7 if dim is None else part.abs().amax(dim, keepdim=True) / 7
    return torch.clamp(torch.round(part / scale), -8, 7) * scale


cases = []


def add(codec, params, chosen, back):
    cases.append({"codec": codec, "params": params, "chosen": [bool(c) for c in chosen], "back": bits(back)})


def mixed(chosen, granularity, params):
    back = x.half().float()
    if any(chosen):
        back[chosen] = int4(x[chosen], None if granularity == "tensor" else 1)
    low = {"codec": "affine", "bits": 4, "scheme": "symmetric", "scale_dtype": "f32", "granularity": granularity}
    add("mixed", {"low": low} | params, chosen, back)


order = torch.argsort(importance, stable=True)
for ratio in (0.0, 0.25, 0.7, 1.0):
    for granularity in ("tensor", "token"):
        chosen = np.zeros(ROWS, bool)
        chosen[order[: int(ratio * ROWS)].numpy()] = True
        mixed(chosen, granularity, {"fraction": ratio})

for share in (0.2, 0.6, 0.95):
    top = torch.flip(order, [0])
    total, reached, chosen = importance.double().sum(), 0.0, np.ones(ROWS, bool)
    for token in top.tolist():
        if reached >= share * total:
            break
        chosen[token] = False
        reached += importance[token].double()
    mixed(chosen, "token", {"rule": "share", "share": share})

norms = x.double().norm(dim=1)
chosen = np.zeros(ROWS, bool)
chosen[torch.argsort(norms)[:6].numpy()] = True
mixed(chosen, "token", {"importance": "norm"})

# A token is low when fewer than floor(fraction * seen) tokens up to it rank below it.
chosen = []
for t in range(ROWS):
    seen = importance[: t + 1]
    rank = int((seen[:-1] <= importance[t]).sum())
    chosen.append(rank < int(0.5 * (t + 1)))
mixed(np.array(chosen), "token", {"causal": True})
chosen = []
for t in range(ROWS):
    seen = importance[: t + 1].double()
    chosen.append(bool(seen[seen > seen[-1]].sum() >= 0.6 * seen.sum()))
mixed(np.array(chosen), "token", {"causal": True, "rule": "share", "share": 0.6})


def channels(method, fraction, score):
    largest, mean = x.abs().amax(0), x.abs().double().mean(0).float()
    scores = largest if score == "largest" else largest / mean
    chosen = np.zeros(COLUMNS, bool)
    chosen[torch.argsort(scores, stable=True)[: int(fraction * COLUMNS)].numpy()] = True
    back = x.half().float()
    scale = {"channel_8": largest / 127, "channel_4": largest / 7, "channel_1_mean": mean, "channel_1_max": largest}[method]
    scale = scale.half().float()
    if method == "channel_8":
        q = torch.clamp(torch.round(x / scale), -128, 127)
    elif method == "channel_4":
        q = torch.clamp(torch.round(x / scale), -8, 7)
    else:
        q = torch.sign(x)
    back[:, chosen] = (q * scale)[:, chosen]
    add("channels", {"method": method, "fraction": fraction, "score": score}, chosen, back)


for method in ("channel_8", "channel_4", "channel_1_mean", "channel_1_max"):
    channels(method, 1.0, "largest")
    channels(method, 0.7, "largest")
channels("channel_4", 0.5, "ratio")

golden = {"rows": ROWS, "channels": COLUMNS, "input": bits(x), "importance": bits(importance), "cases": cases}
text = json.dumps(golden, separators=(",", ":")).replace('{"codec":"mixed"', '\n{"codec":"mixed"')
(HERE / "golden.json").write_text(text.replace('{"codec":"channels"', '\n{"codec":"channels"') + "\n")
