"""Golden values of hivemind, from the hivemind and bitsandbytes packages on the CPU.

Versions: Python 3.11, torch 2.15.0, hivemind 1.1.12, bitsandbytes 0.50.2, numpy 2.4.6.
Run: python plugins/hivemind/golden/make.py

Files, little-endian, beside this script. Inputs but that of meanstd16 are multiples of 2^-10, so that sums are exact in any
order; `buffer` is that of hivemind's tensor message.
  float16.bin, meanstd16.bin  input f32[4, 256]; buffer; extracted f32[1024]
  uniform8.bin, quantile8.bin input f32[10, 160]; buffer; extracted f32[1600]
  blockwise8.bin              input f32[8, 637]; buffer; extracted f32[5096]
  large.bin                   quantile8 of x[0..250000], three chunks' worth: codebook f32[256]; u32, the sum of
                              code[i] * (i % 251 + 1) modulo 2^32. x is that of large(): no input is stored

The indices of blockwise8.bin come from bitsandbytes' generic path (the nearest entry, which CUDA gives as well): its
CPU kernel for f32 looks values up in a coarser table and misses the nearest entry for about 2 in 1000.
hivemind's generated protobuf file and its __init__ start a peer-to-peer daemon's imports, so the compression
modules are loaded alone, with a plain class in place of the protobuf message.
"""

import importlib.metadata
import importlib.util
import pathlib
import sys
import types

import bitsandbytes
import bitsandbytes.functional
import numpy as np
import torch

PINNED = {"torch": "2.15.0", "hivemind": "1.1.12", "bitsandbytes": "0.50.2", "numpy": "2.4.6"}
for name, version in PINNED.items():
    assert importlib.metadata.version(name).split("+")[0] == version, name

torch.set_num_threads(1)
HERE = pathlib.Path(__file__).parent


class Tensor:
    def __init__(self, **fields):
        self.__dict__.update(fields)


NAMES = ["NONE", "FLOAT16", "MEANSTD_16BIT", "QUANTILE_8BIT", "UNIFORM_8BIT", "BLOCKWISE_8BIT"]
kinds = {name: i for i, name in enumerate(NAMES)}
runtime_pb2 = types.SimpleNamespace(Tensor=Tensor, CompressionType=types.SimpleNamespace(**kinds), **kinds)
root = pathlib.Path(importlib.metadata.distribution("hivemind").locate_file("hivemind"))


def load(name, **attributes):
    module = types.ModuleType(name)
    module.__path__ = []
    module.__dict__.update(attributes)
    sys.modules[name] = module


load("hivemind")
load("hivemind.proto", runtime_pb2=runtime_pb2)
load("hivemind.utils")
load("hivemind.utils.tensor_descr", TensorDescriptor=object)
load("hivemind.utils.streaming")
load("hivemind.compression")
for part in ("base", "floating", "quantization"):
    spec = importlib.util.spec_from_file_location(f"hivemind.compression.{part}", root / "compression" / f"{part}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
floating, quantization = (sys.modules[f"hivemind.compression.{part}"] for part in ("floating", "quantization"))


def nearest(tensor, blocksize, nested):
    """bitsandbytes' quantize_blockwise by its generic path, which is the one for dtypes without a kernel."""
    code = bitsandbytes.functional.create_dynamic_map()
    index, absmax = torch.ops.bitsandbytes.quantize_blockwise.default(tensor.double(), code, blocksize)
    state = types.SimpleNamespace(
        absmax=absmax, code=code, blocksize=blocksize, nested=nested, dtype=tensor.dtype, offset=None, state2=None
    )
    return index, state


plain_dequantize = bitsandbytes.functional.dequantize_blockwise


def dequantize(index, absmax, code, blocksize, nested):
    """Without the argument that newer versions of bitsandbytes no longer have."""
    return plain_dequantize(index, absmax=absmax, code=code, blocksize=blocksize)


def frombuffer(buffer, count=-1, **rest):
    """One number as a scalar, which newer versions of numpy ask for in int()."""
    found = np.frombuffer(buffer, count=count, **rest)
    return found[0] if count == 1 else found


def write(name, *arrays):
    parts = [a if isinstance(a, bytes) else np.ascontiguousarray(a).astype(a.dtype.newbyteorder("<")).tobytes() for a in arrays]
    (HERE / name).write_bytes(b"".join(parts))
    print(name, sum(map(len, parts)), "bytes")


def golden(name, codec, x):
    message = codec.compress(x.clone(), None)
    write(name, x.numpy(), message.buffer, codec.extract(message).numpy())


def exact(*shape):
    return torch.round(torch.randn(*shape) * 1024) / 1024


def large():
    states = np.empty(250_000, dtype=np.uint32)
    state = 1
    for i in range(len(states)):
        state = (state * 1_664_525 + 1_013_904_223) % 2**32
        states[i] = state
    u = (states >> 8).astype(np.float32) / np.float32(2**23) - np.float32(1)
    return torch.from_numpy(u * u * u)


quantization.np = types.SimpleNamespace(**{**vars(np), "frombuffer": frombuffer})
torch.manual_seed(30)
x = torch.randn(4, 256)
x[1, 3], x[1, 4] = 1e6, -7e4
x[2] = x[2] * 3e-6 + 1e-5
x[3] = 0.25
golden("float16.bin", floating.Float16Compression(), x)
golden("meanstd16.bin", floating.ScaledFloat16Compression(), x)
x = exact(10, 160)
x[4, 7], x[9, 9] = 50.0, -40.0
golden("uniform8.bin", quantization.Uniform8BitQuantization(), x)
golden("quantile8.bin", quantization.Quantile8BitQuantization(), x)
bitsandbytes.functional.quantize_blockwise = nearest
bitsandbytes.functional.dequantize_blockwise = dequantize
x = exact(8, 637)
x[7] *= 300
golden("blockwise8.bin", quantization.BlockwiseQuantization(), x)
codec = quantization.Quantile8BitQuantization()
codes, codebook = codec.quantize(large())
weights = np.arange(len(codes), dtype=np.uint64) % 251 + 1
check = np.array([int((codes.astype(np.uint64) * weights).sum()) % 2**32], dtype=np.uint32)
write("large.bin", codebook, check)
