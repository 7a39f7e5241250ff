"""Golden values of the fp8 casts, from torch on the CPU.

Versions: Python 3.11, torch 2.15.0, numpy (any).
Run: python plugins/cast/golden/make.py

Files beside this script:
  fp8.json    for each of e4m3 and e5m2:
    "bf16", "f16"  runs [first pattern, code] over all 65536 bit patterns of the type
    "f32"          [bits, code]: the midpoint of every two neighbouring codes, and its two f32 neighbours
  scaled.json input f32[4][96] as bits, and for both formats the per-token scales (bits), codes and
              reconstruction (bits)

torch's cast does not saturate, so values are clamped to the largest finite value first; NaN passes the clamp.
"""

import json
import pathlib

import numpy as np
import torch

PINNED = {"torch": "2.15.0"}
assert torch.__version__.split("+")[0] == PINNED["torch"], torch.__version__

HERE = pathlib.Path(__file__).parent
FORMATS = {"e4m3": (torch.float8_e4m3fn, 448.0), "e5m2": (torch.float8_e5m2, 57344.0)}


def cast(x, kind):
    dtype, largest = FORMATS[kind]
    return x.float().clamp(-largest, largest).to(dtype).view(torch.uint8)


def runs(codes):
    codes = codes.tolist()
    return [[i, c] for i, c in enumerate(codes) if i == 0 or c != codes[i - 1]]


def bits(x):
    return x.numpy().view(np.uint32).flatten().tolist()


patterns = torch.arange(65536, dtype=torch.int32).to(torch.uint16)
golden, scaled = {}, {}
torch.manual_seed(22)
x = torch.randn(4, 96)
x[1] *= 300
x[2, 5] = 4000.0
x[3] *= 1e-3
scaled["input"] = bits(x)
for kind, (dtype, largest) in FORMATS.items():
    values = torch.arange(127, dtype=torch.uint8).view(dtype).float()
    values = values[torch.isfinite(values)]
    mid = (values[:-1] + values[1:]) / 2
    inf = torch.tensor(float("inf"))
    near = torch.cat([mid, torch.nextafter(mid, inf), torch.nextafter(mid, -inf)])
    near = torch.cat([near, -near])
    golden[kind] = {
        "bf16": runs(cast(patterns.view(torch.bfloat16), kind)),
        "f16": runs(cast(patterns.view(torch.float16), kind)),
        "f32": [[b, c] for b, c in zip(bits(near), cast(near, kind).tolist())],
    }
    scale = x.abs().amax(dim=1, keepdim=True) / largest
    codes = cast(x / scale, kind)
    back = codes.view(dtype).float() * scale
    scaled[kind] = {"scales": bits(scale), "codes": codes.flatten().tolist(), "back": bits(back)}

for name, data in (("fp8.json", golden), ("scaled.json", scaled)):
    text = json.dumps(data, separators=(",", ":"))
    (HERE / name).write_text(text + "\n")
    print(name, len(text), "bytes")
