"""Golden values of ggml, from the gguf package.

Versions: Python 3.11, gguf 0.19.0, numpy 2.4.6.
Run: python plugins/ggml/golden/make.py

Files, little-endian, beside this script:
  encoded.bin  input f32[16, 96]; then for Q8_0, Q4_0, Q4_1, Q5_0, Q5_1: blocks, reconstruction f32[16, 96]:
               gguf.quants.quantize and dequantize
  decoded.bin  for Q4_K, Q6_K, IQ4_NL, which the package cannot quantize: blocks of random bytes with finite
               scales, reconstruction f32: dequantize. Values: 2048, 2048, 512
"""

import importlib.metadata
import pathlib

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES

PINNED = {"gguf": "0.19.0", "numpy": "2.4.6"}
for name, version in PINNED.items():
    assert importlib.metadata.version(name) == version, name

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(40)


def write(name, *arrays):
    data = b"".join(np.ascontiguousarray(a).astype(a.dtype.newbyteorder("<")).tobytes() for a in arrays)
    (HERE / name).write_bytes(data)
    print(name, len(data), "bytes")


x = rng.standard_normal((16, 96)).astype(np.float32)
x[1] *= 1e4
x[2] *= 1e-3
x[3] = 0.0
x[4] = 0.7
x[5, 40] = 300.0
x[6] = np.abs(x[6]) + 100
# Ties: steps of exactly a half, and a largest magnitude of both signs.
x[7] = (np.arange(96) % 32 - 16) / 2
x[8] = (np.arange(96) % 32) * 127 / 31
x[9] = np.tile([-2.0, 2.0, 0.25, 0.75], 24)
x[10] = np.tile([2.0, -2.0, -0.25, 1.25], 24)
x[11] = np.round(x[11] * 8) / 8
arrays = [x]
for kind in (Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1):
    blocks = quants.quantize(x, kind)
    arrays += [blocks, quants.dequantize(blocks, kind)]
write("encoded.bin", *arrays)

arrays = []
for kind, values, scales in ((Type.Q4_K, 2048, (0, 2)), (Type.Q6_K, 2048, (208,)), (Type.IQ4_NL, 512, (0,))):
    block, size = GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (values // block, size), dtype=np.uint8)
    for at in scales:
        scale = (rng.standard_normal(len(blocks)) * 0.02).astype(np.float16)
        blocks[:, at : at + 2] = scale.view(np.uint8).reshape(-1, 2)
    arrays += [blocks, quants.dequantize(blocks.reshape(1, -1), kind)]
write("decoded.bin", *arrays)
