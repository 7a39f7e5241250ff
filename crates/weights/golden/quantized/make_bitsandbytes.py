"""Makes bitsandbytes.*: NF4 and FP4, plain and nested, in all dtypes, and LLM.int8, by the library on the CPU; and
load_in.safetensors: dense weights with what the library makes of them.

usage: python make_bitsandbytes.py     (bitsandbytes==0.50.2 torch==2.15.0 safetensors==0.8.0)
"""

import os

import bitsandbytes as bnb
import torch
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from common import FOLDER, random, save
from safetensors.torch import save_file

LAYER = "model.layers.0."
stored, dense = {}, {}


def dequantize(codes, state):
    """By the library's portable implementation. Its CPU kernel takes the wrong scale where a row is no whole number of
    blocks (which the assertions show), and gives some zeros of FP4 a sign that quant_map has not."""
    absmax = state.absmax
    if state.nested:
        absmax = bnb.functional.dequantize_blockwise(absmax, state.state2) + state.offset
    portable = _dequantize_4bit_compute.__wrapped__(
        codes.reshape(-1), absmax, state.code, state.blocksize, tuple(state.shape), state.dtype
    )
    native = bnb.functional.dequantize_4bit(codes, state)
    assert torch.equal(native, portable) or state.shape[-1] % state.blocksize
    return portable


def four_bit(name, kind, nested, dtype, shape=(24, 96), blocksize=64):
    weight = random(*shape, seed=len(dense), dtype=dtype)
    codes, state = bnb.functional.quantize_4bit(
        weight, quant_type=kind, compress_statistics=nested, blocksize=blocksize
    )
    stored[LAYER + name + ".weight"] = codes
    for key, value in state.as_dict(packed=True).items():
        stored[LAYER + name + ".weight." + key] = value
    result = dense[LAYER + name + ".weight"] = dequantize(codes, state)
    assert (result - weight).abs().max() < 0.25 * weight.abs().max()


def int8(weight):
    """As Linear8bitLt quantizes its weight, and as Transformers dequantizes it."""
    codes, scales, _ = bnb.functional.int8_vectorwise_quant(weight.to(torch.float16))
    return codes, scales, bnb.functional.int8_vectorwise_dequant(codes, scales)


for kind in ("nf4", "fp4"):
    four_bit(f"{kind}_bf16", kind, False, torch.bfloat16)
    four_bit(f"{kind}_f16", kind, False, torch.float16)
    four_bit(f"{kind}_f32", kind, False, torch.float32, shape=(5, 30))
    four_bit(f"{kind}_nested", kind, True, torch.bfloat16)
# More blocks than share a nested scale.
four_bit("nf4_nested_twice", "nf4", True, torch.bfloat16, shape=(34, 250), blocksize=32)
four_bit("nf4_whole_rows", "nf4", False, torch.bfloat16, shape=(8, 128))
four_bit("nf4_b128", "nf4", False, torch.bfloat16, blocksize=128)
codes, scales, result = int8(random(24, 96, seed=50))
stored[LAYER + "int8.weight"] = codes
stored[LAYER + "int8.SCB"] = scales
stored[LAYER + "int8.weight_format"] = torch.tensor(0, dtype=torch.uint8)
dense[LAYER + "int8.weight"] = result
plain = random(16, 8, seed=5)
stored["lm_head.weight"] = dense["lm_head.weight"] = plain
config = {"torch_dtype": "bfloat16", "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
save("bitsandbytes", config, stored, dense)

load_in = {}
for name, dtype in {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}.items():
    weight = random(9, 75, seed=60, dtype=dtype)
    weight[2] = 0
    weight[4, :4] = torch.tensor([1e-6, -1e-6, 65000.0, 3e-8]).to(dtype)
    load_in[f"{name}.weight"] = weight
    load_in[f"{name}.int8"] = int8(weight)[2]
    for kind in ("nf4", "fp4"):
        load_in[f"{name}.{kind}"] = dequantize(*bnb.functional.quantize_4bit(weight, quant_type=kind))
save_file(load_in, os.path.join(FOLDER, "load_in.safetensors"))
