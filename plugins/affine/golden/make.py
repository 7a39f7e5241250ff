"""Golden values of affine, from torch's fake quantisation and an independent float64 computation.

Versions: Python 3.11, torch 2.15.0, numpy (any).
Run: python plugins/affine/golden/make.py

golden.json beside this script: the input f32[3][72] as bits, and for every case the parameters, the scales
and zero points or minima as the decoder sees them, the codes (2 hex digits each), and the
reconstruction (bits, 8 hex digits each).
Scales, zero points and codes are computed in float64 from the stored scale. The reconstruction of the
schemes with a zero point is torch.fake_quantize_per_*_affine of the same scale and zero point. torch
multiplies by 1/scale where the definition divides, so the input is drawn until no value lies near a tie.
"""

import itertools
import json
import pathlib

import numpy as np
import torch

PINNED = {"torch": "2.15.0"}
assert torch.__version__.split("+")[0] == PINNED["torch"], torch.__version__

HERE = pathlib.Path(__file__).parent
ROWS, CHANNELS, GROUP = 3, 72, 30  # the third group of a row has 12 values


def cells(granularity):
    """Index of the cell of every value, [ROWS, CHANNELS]."""
    row, column = np.meshgrid(np.arange(ROWS), np.arange(CHANNELS), indexing="ij")
    per_row = -(-CHANNELS // GROUP)
    return {
        "tensor": row * 0,
        "token": row,
        "channel": column,
        "group": row * per_row + column // GROUP,
    }[granularity]


def stored(values, dtype):
    if dtype == "bf16":
        return torch.tensor(values, dtype=torch.float32).bfloat16().double().numpy()
    return values.astype({"f32": np.float32, "f16": np.float16}[dtype]).astype(np.float64)


def case(x, bits, scheme, granularity, scale_dtype):
    cell = cells(granularity)
    count = cell.max() + 1
    levels = 2**bits - 1
    low = np.array([x[cell == i].min() for i in range(count)])
    high = np.array([x[cell == i].max() for i in range(count)])
    if scheme == "symmetric":
        most = np.maximum(np.maximum(high, -low), 0)
        magnitude = np.array([np.abs(x[cell == i]).mean() for i in range(count)])
        most = magnitude if bits == 1 else most.astype(np.float32) / np.float32(2 ** (bits - 1) - 1)
        scale = stored(most.astype(np.float32), scale_dtype)
        zero = np.full(count, 2 ** (bits - 1))
    elif scheme == "asymmetric":
        low, high = np.minimum(low, 0), np.maximum(high, 0)
        spread = (high.astype(np.float32) - low.astype(np.float32)) / np.float32(levels)
        scale = stored(spread, scale_dtype)
        zero = np.clip(np.round(-low / scale), 0, levels)
    else:
        spread = (high.astype(np.float32) - low.astype(np.float32)) / np.float32(levels)
        scale, zero = stored(spread, scale_dtype), stored(low.astype(np.float32), scale_dtype)
    s, z = scale[cell], zero[cell]
    if scheme == "symmetric" and bits == 1:
        code = (x >= 0).astype(np.int64)
        steps = np.full_like(x, 0.25)
        back = np.where(code == 1, s, -s)
    elif scheme == "minimum":
        steps = (x - z) / s
        code = np.clip(np.round(steps), 0, levels)
        back = (z.astype(np.float32) + (code * s).astype(np.float32)).astype(np.float32)
    else:
        steps = x / s
        code = np.clip(np.round(steps) + z, 0, levels)
        back = torch_back(x, cell, scale, zero, levels, granularity)
    # Distance to the nearest tie; values at the clamped ends are far from one or decided anyway.
    tie = np.abs(steps - np.floor(steps) - 0.5).min()
    return scale, zero, code.astype(int), back.astype(np.float32), tie


def torch_back(x, cell, scale, zero, levels, granularity):
    values = torch.tensor(x, dtype=torch.float32)
    if granularity == "tensor":
        out = torch.fake_quantize_per_tensor_affine(values, float(scale[0]), int(zero[0]), 0, levels)
        return out.numpy()
    flat = np.zeros((ROWS, CHANNELS), np.float32)
    for i in range(cell.max() + 1):
        mask = cell == i
        channel = torch.fake_quantize_per_channel_affine(
            values[torch.tensor(mask)].reshape(1, -1),
            torch.tensor([scale[i]], dtype=torch.float32),
            torch.tensor([int(zero[i])], dtype=torch.int32),
            0,
            0,
            levels,
        )
        flat[mask] = channel.numpy().flatten()
    return flat


def bits_of(values):
    return np.asarray(values, np.float32).view(np.uint32).flatten().tolist()


def settings():
    yield from itertools.product((2, 4, 8), ("symmetric", "asymmetric", "minimum"), ("token", "group"), ("f16",))
    yield from itertools.product((3, 5), ("symmetric", "asymmetric"), ("tensor", "channel"), ("f32",))
    yield from itertools.product((6, 7), ("minimum",), ("channel",), ("bf16",))
    yield from itertools.product((1,), ("symmetric", "asymmetric", "minimum"), ("group",), ("f32",))


for seed in itertools.count():
    torch.manual_seed(seed)
    x = torch.randn(ROWS, CHANNELS)
    x[:, 11] *= 30
    x[1] = x[1].abs() + 4
    x[2] = -x[2].abs() - 4
    x = x.double().numpy()
    results = [(setting, case(x, *setting)) for setting in settings()]
    if all(result[4] > 5e-5 for _, result in results):
        break

cases = [
    {
        "params": {"bits": b, "scheme": s, "granularity": g, "group": GROUP, "scale_dtype": d},
        "scales": bits_of(scale),
        "zeros": zero.tolist(),
        "codes": "".join("%02x" % c for c in code.flatten()),
        "back": "".join("%08x" % b for b in bits_of(back)),
    }
    for (b, s, g, d), (scale, zero, code, back, _) in results
]
text = json.dumps({"rows": ROWS, "channels": CHANNELS, "input": bits_of(x), "cases": cases}, separators=(",", ":"))
(HERE / "golden.json").write_text(text + "\n")
print("seed", seed, len(cases), "cases", len(text), "bytes")
