"""Golden values of blockfloat, from bitsandbytes on the CPU.

Versions: Python 3.11, torch 2.15.0, bitsandbytes 0.50.2, numpy (any).
Run: python plugins/blockfloat/golden/make.py

Files, little-endian, beside this script:
  nf4.bin, fp4.bin   input f32[2048]; code u8[2048] (bitsandbytes' numbers, one a byte); absmax f32[32];
                     reconstruction f32[2048]: quantize_4bit and dequantize_4bit, block 64
  nested.bin         absmax f32[600]; mean f32; largest f32[3]; index u8[600]; reconstruction f32[600]
  dynamic_map.bin    f32[256]: create_dynamic_map

The 8-bit indices of nested.bin come from the generic path of quantize_blockwise (the nearest entry, which
CUDA gives as well): the CPU kernel for f32 looks values up in a coarser table and misses the nearest entry
for about 2 in 1000.
"""

import pathlib

import bitsandbytes
import bitsandbytes.functional as F
import numpy as np
import torch

PINNED = {"torch": "2.15.0", "bitsandbytes": "0.50.2"}
assert torch.__version__.split("+")[0] == PINNED["torch"], torch.__version__
assert bitsandbytes.__version__ == PINNED["bitsandbytes"], bitsandbytes.__version__

HERE = pathlib.Path(__file__).parent
BLOCK = 64


def write(name, *arrays):
    data = b"".join(np.ascontiguousarray(a).astype(a.dtype.newbyteorder("<")).tobytes() for a in arrays)
    (HERE / name).write_bytes(data)
    print(name, len(data), "bytes")


def make_input(quant_type):
    torch.manual_seed(20)
    x = torch.randn(32, BLOCK, dtype=torch.float32)
    x[1] *= 1e4
    x[2] *= 1e-4
    x[3] = 0.0
    x[4, 7] = 3000.0
    x[5] = 0.25
    x[6] *= 1e-39
    x[7] = torch.linspace(-1, 1, BLOCK)
    x[8] = -x[7].abs()
    # Exact midpoints between table entries, and their neighbours: absmax is 1.
    code = F.get_4bit_type(quant_type, device="cpu").sort()[0]
    mid = (code[:-1] + code[1:]) / 2
    inf = torch.tensor(float("inf"))
    x[9] = 0.0
    x[9, :15], x[9, 15:30], x[9, 30:45] = mid, torch.nextafter(mid, inf), torch.nextafter(mid, -inf)
    x[9, 63] = 1.0
    return x


for quant_type in ("nf4", "fp4"):
    x = make_input(quant_type)
    packed, state = F.quantize_4bit(x, blocksize=BLOCK, quant_type=quant_type)
    codes = torch.stack([packed.flatten() >> 4, packed.flatten() & 15], dim=1).flatten()
    back = F.dequantize_4bit(packed, state).reshape(-1)
    write(f"{quant_type}.bin", x.numpy(), codes.numpy(), state.absmax.numpy(), back.numpy())

# Multiples of 2^-10, so that their sum is exact in any order and the mean is the same everywhere.
torch.manual_seed(21)
absmax = torch.round(torch.randn(600).abs() * 2048 + 100) / 1024
absmax[300] = 900.0
offset = absmax.mean()
code = F.create_dynamic_map()
index, largest = torch.ops.bitsandbytes.quantize_blockwise.default((absmax - offset).double(), code, 256)
back = F.dequantize_blockwise(index, absmax=largest, code=code, blocksize=256) + offset
write("nested.bin", absmax.numpy(), offset.reshape(1).numpy(), largest.numpy(), index.numpy(), back.numpy())
write("dynamic_map.bin", code.numpy())
