"""Golden values of hqq, from the hqq package on the CPU.

Versions: Python 3.11, torch 2.15.0, hqq 0.2.8.post1, numpy (any).
Run: python plugins/hqq/golden/make.py

File, little-endian, beside this script: golden.bin has input f32[8, 128]; then, for bits 4, 3, 2, 1, for axis 1 and 0, for
the package's 20 iterations and for none (optimize=False): scale f32[16] (its 1 / s), zero f32[16],
code u8[1024] in the order of the message, reconstruction f32[1024] from the scales in f32; then the same for
4 bits with round_zero, which is what BaseQuantizeConfig(nbits=4) sets.
"""

import importlib.metadata
import pathlib

import numpy as np
import torch
from hqq.core.quantize import BaseQuantizeConfig, Quantizer

PINNED = {"torch": "2.15.0", "hqq": "0.2.8.post1"}
for name, version in PINNED.items():
    assert importlib.metadata.version(name).split("+")[0] == version, name

torch.set_num_threads(1)
HERE = pathlib.Path(__file__).parent
ROWS, CHANNELS, GROUP = 8, 128, 64

torch.manual_seed(50)
x = torch.randn(ROWS, CHANNELS)
# Errors above 0.17 are those that shrink to something else than 0.
x[1] *= 30
x[2] *= 1e-3
x[3, 7], x[4, 100] = 200.0, -45.0
x[5] = x[5].abs() + 3
x[6, :64] = 0.25
x[7] *= 1e-6
arrays = [x.numpy()]
assert [BaseQuantizeConfig(nbits=b)["weight_quant_params"]["round_zero"] for b in (8, 4, 3, 2, 1)] == [0, 1, 0, 0, 0]
for bits, round_zero in [(4, False), (3, False), (2, False), (1, False), (4, True)]:
    for axis in (1, 0):
        for optimize in (True, False):
            q, meta = Quantizer.quantize(
                x, nbits=bits, group_size=GROUP, optimize=optimize, round_zero=round_zero, axis=axis, bitpack=False,
                device="cpu",
            )
            meta["compute_dtype"] = torch.float32
            back = Quantizer.dequantize(q, meta)
            arrays += [meta["scale"].flatten().numpy(), meta["zero"].flatten().numpy()]
            arrays += [q.reshape(ROWS, CHANNELS).to(torch.uint8).numpy(), back.numpy()]
data = b"".join(np.ascontiguousarray(a).astype(a.dtype.newbyteorder("<")).tobytes() for a in arrays)
(HERE / "golden.bin").write_bytes(data)
print(len(data), "bytes")
