"""Golden values of affine's narrower ranges, groups of tokens and stochastic rounding.

Versions: Python 3.11, torch 2.15.0 (for the input), numpy (any).
Run: python plugins/affine/golden/ranges.py

ranges.json beside this script: the input f32[6][50] as bits, and for every case the parameters, the codes
(2 hex digits each) and the reconstruction (bits, 8 hex digits each), from an independent float64
computation with the scale rounded to f32. The input is drawn until no value lies near a tie, and until no two
shares have nearly the same squared error.
"""

import itertools
import json
import math
import pathlib

import numpy as np
import torch

PINNED = {"torch": "2.15.0"}
assert torch.__version__.split("+")[0] == PINNED["torch"], torch.__version__

HERE = pathlib.Path(__file__).parent
ROWS, CHANNELS, GROUP = 6, 50, 4
MASK = (1 << 32) - 1


def cells(granularity):
    row, column = np.meshgrid(np.arange(ROWS), np.arange(CHANNELS), indexing="ij")
    return {
        "tensor": row * 0,
        "token": row,
        "channel": column,
        "group": row * -(-CHANNELS // GROUP) + column // GROUP,
        "channel_group": row // GROUP * CHANNELS + column,
    }[granularity]


def noise(seed, place, value):
    bits = int(np.float32(value).view(np.uint32))
    h = (bits + ((seed ^ seed >> 32) & MASK) & MASK) ^ (place * 0x9E3779B9 & MASK)
    h = (h ^ h >> 16) * 0x85EBCA6B & MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & MASK
    return (((h ^ h >> 16) >> 16) + 0.5) / 65536 - 0.5


def share(low, high, part, scheme):
    middle = (low + high) / 2 if scheme == "minimum" else 0.0
    return tuple(float(np.float32(middle + (end - middle) * part)) for end in (low, high))


def quantise(v, low, high, bits, scheme, dither):
    levels = 2**bits - 1
    f = np.float32
    if scheme == "symmetric":
        scale, zero, base = f(max(f(high), f(-low))) / f(2 ** (bits - 1) - 1), 2 ** (bits - 1), 0.0
    else:
        scale, zero, base = (f(high) - f(low)) / f(levels), 0, float(f(low))
        if scheme == "asymmetric":
            zero, base = float(np.clip(np.round(-low / float(scale)), 0, levels)), 0.0
    scale = float(scale) or 1.0
    steps = np.clip((v - base) / scale, -zero, levels - zero) + dither
    code = np.round(steps) + zero
    tie = np.abs(steps - np.floor(steps) - 0.5).min()
    return code.astype(int), base + (code - zero) * scale, tie


def bounds(v, p):
    low, high = v.min(), v.max()
    if p["scheme"] != "minimum":
        low, high = min(low, 0.0), max(high, 0.0)
    margin = 1.0
    if p["range"] == "percentile":
        s = np.sort(np.abs(v) if p["scheme"] == "symmetric" else v)
        rank = lambda percent: s[math.floor(percent / 100 * (len(s) - 1) + 0.5)]
        high = rank(p["percentile"])
        low = -high if p["scheme"] == "symmetric" else rank(100 - p["percentile"])
        if p["scheme"] == "asymmetric":
            low, high = min(low, 0.0), max(high, 0.0)
    if p["range"] == "mse":
        tried = []
        for i in range(p["steps"]):
            part = 1 - i / p["steps"]
            if part <= 0.2:
                break
            ends = share(low, high, part, p["scheme"])
            _, back, _ = quantise(v, *ends, p["bits"], p["scheme"], 0.0)
            tried.append((((v - back) ** 2).sum(), -part, ends))
        tried.sort()
        if len(tried) > 1 and tried[1][0] > 0:
            margin = tried[1][0] / max(tried[0][0], 1e-12) - 1
        low, high = tried[0][2]
    if p["clip"] < 1:
        low, high = share(low, high, p["clip"], p["scheme"])
    return low, high, margin


def run(x, p):
    cell = cells(p["granularity"])
    code, back, tie, margin = np.zeros(x.shape, int), np.zeros_like(x), 1.0, 1.0
    place = np.arange(x.size).reshape(x.shape)
    for i in range(cell.max() + 1):
        mask = cell == i
        v = x[mask]
        low, high, m = bounds(v, p)
        dither = 0.0
        if p["rounding"] == "stochastic":
            dither = np.array([noise(p["seed"], int(at), value) for at, value in zip(place[mask], v)])
        code[mask], back[mask], t = quantise(v, low, high, p["bits"], p["scheme"], dither)
        tie, margin = min(tie, t), min(margin, m)
    return code, back, tie, margin


def bits_of(values):
    return np.asarray(values, np.float32).view(np.uint32).flatten().tolist()


base = {
    "bits": 4,
    "granularity": "token",
    "group": GROUP,
    "scheme": "asymmetric",
    "scale_dtype": "f32",
    "range": "full",
    "clip": 1.0,
    "percentile": 99.9,
    "steps": 20,
    "rounding": "nearest",
    "seed": 0,
}
settings = [
    {"granularity": "channel_group"},
    {"granularity": "channel_group", "scheme": "symmetric", "bits": 3},
    {"granularity": "channel_group", "scheme": "minimum", "bits": 2, "range": "mse"},
    {"clip": 0.9, "scheme": "symmetric"},
    {"clip": 0.95},
    {"clip": 0.8, "scheme": "minimum"},
    {"range": "percentile", "percentile": 97.0},
    {"range": "percentile", "percentile": 90.0, "scheme": "symmetric", "granularity": "channel"},
    {"range": "percentile", "percentile": 99.0, "scheme": "minimum", "granularity": "tensor", "clip": 0.9},
    {"range": "mse", "scheme": "symmetric", "bits": 3},
    {"range": "mse", "bits": 2, "steps": 10, "granularity": "tensor"},
    {"rounding": "stochastic", "seed": 1234567890123},
    {"rounding": "stochastic", "seed": 5, "scheme": "symmetric", "granularity": "channel", "bits": 2},
    {"rounding": "stochastic", "scheme": "minimum", "granularity": "group", "bits": 8},
]
settings = [base | s for s in settings]
for seed in itertools.count():
    torch.manual_seed(seed)
    x = torch.randn(ROWS, CHANNELS)
    x[:, 7] *= 6
    x[2] += 2
    x = x.double().numpy()
    results = [run(x, p) for p in settings]
    if all(r[2] > 1e-5 and r[3] > 1e-5 for r in results):
        break

cases = [
    {
        "params": p,
        "codes": "".join("%02x" % c for c in code.flatten()),
        "back": "".join("%08x" % b for b in bits_of(back)),
    }
    for p, (code, back, _, _) in zip(settings, results)
]
text = json.dumps({"rows": ROWS, "channels": CHANNELS, "input": bits_of(x), "cases": cases}, separators=(",", ":"))
(HERE / "ranges.json").write_text(text + "\n")
print("seed", seed, len(cases), "cases", len(text), "bytes")
