"""Makes quark.*: floats of eight bits, MXFP4, and integers of 8 and 4 bits, packed and dequantized by AMD Quark on the CPU.

usage: python make_quark.py     (amd-quark==0.13 torch==2.15.0 safetensors==0.8.0)

The kernels give f32, which QParamsLinear rounds to the type of its inputs.
"""

import quark.torch.kernel
import torch
from common import random, save
from quark.torch.quantization.config.config import (
    FP4PerGroupSpec,
    FP8E4M3PerChannelSpec,
    FP8E4M3PerTensorSpec,
    Int8PerChannelSpec,
    Int8PerTensorSpec,
    QConfig,
    QLayerConfig,
    Uint4PerGroupSpec,
)
from quark.torch.utils import create_pack_method

LAYER = "model.layers.0."
ROWS, COLUMNS = 24, 96
stored, dense, layers = {}, {}, {}


def add(name, spec, codes, scale, zero=None, seed=0):
    """Packs `codes`; `scale` and `zero` are as the kernel takes them."""
    kind, scheme = spec.dtype.value, spec.qscheme.value
    pack = create_pack_method(scheme, kind)
    packed = pack.pack(codes, True)
    used = scale
    if spec.scale_format == "e8m0":
        used = 2 ** (scale.to(torch.int16) - 127).to(torch.float32)
    unpacked = pack.unpack(packed, True, origin_packed_axis_size=ROWS if kind == "uint4" else None)
    result = quark.torch.kernel.dequantize(
        kind, unpacked, used, zero, spec.ch_axis, spec.group_size, scheme
    )
    dense[LAYER + name + ".weight"] = result.to(torch.bfloat16)
    stored[LAYER + name + ".weight"] = packed
    stored[LAYER + name + ".weight_scale"] = scale.t() if kind == "uint4" else scale
    if zero is not None:
        stored[LAYER + name + ".weight_zero_point"] = pack.pack(zero, True) if kind == "uint4" else zero
    layers[f"*{name}"] = QLayerConfig(weight=spec)


def integers(low, high, *shape, seed):
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


fp8 = FP8E4M3PerTensorSpec(observer_method="min_max", is_dynamic=False).to_quantization_spec()
add("fp8", fp8, random(ROWS, COLUMNS, seed=1).mul(300).to(torch.float8_e4m3fn), torch.tensor(0.0173, dtype=torch.bfloat16))
layers["*fp8"] = QLayerConfig(weight=fp8, input_tensors=fp8)
stored[LAYER + "fp8.input_scale"] = torch.tensor(0.5)
channel = FP8E4M3PerChannelSpec(is_dynamic=False, ch_axis=0).to_quantization_spec()
codes = random(ROWS, COLUMNS, seed=2).mul(300).to(torch.float8_e4m3fn)
add("fp8_channel", channel, codes, random(ROWS, seed=3).abs())
rounding = {"scale_type": "float", "round_method": "half_even", "is_dynamic": False, "symmetric": False}
int8 = Int8PerTensorSpec(observer_method="min_max", **rounding).to_quantization_spec()
codes = integers(-128, 128, ROWS, COLUMNS, seed=4).to(torch.int8)
# Wide enough that the difference of two codes does not wrap.
add("int8", int8, codes.clamp(-100), torch.tensor(0.01), torch.tensor(3, dtype=torch.int8))
int8 = Int8PerChannelSpec(ch_axis=0, **rounding).to_quantization_spec()
scales, zeros = random(ROWS, seed=6, dtype=torch.float32).abs(), integers(-128, 128, ROWS, seed=5).to(torch.int8)
add("int8_channel", int8, codes, scales, zeros)
uint4 = Uint4PerGroupSpec(ch_axis=-1, is_dynamic=False, scale_type="float", group_size=32).to_quantization_spec()
codes, zeros = integers(0, 16, ROWS, COLUMNS, seed=7), integers(0, 16, ROWS, COLUMNS // 32, seed=8)
add("uint4", uint4, codes, random(ROWS, COLUMNS // 32, seed=9), zeros)
fp4 = FP4PerGroupSpec(
    ch_axis=-1, group_size=32, scale_format="e8m0", scale_calculation_mode="even", is_dynamic=False
).to_quantization_spec()
table = torch.tensor([0.0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
codes = table[integers(0, 16, ROWS, COLUMNS, seed=10).long()]
add("mxfp4", fp4, codes, integers(100, 140, ROWS, COLUMNS // 32, seed=11).to(torch.uint8))
stored["lm_head.weight"] = dense["lm_head.weight"] = random(16, 8, seed=12)

config = QConfig(global_quant_config=QLayerConfig(weight=fp8), layer_quant_config=layers, exclude=["lm_head"]).to_dict()
export = {"kv_cache_group": [], "min_kv_scale": 0.0, "pack_method": "reorder", "weight_format": "real_quantized"}
config |= {"quant_method": "quark", "export": export}
save("quark", {"dtype": "bfloat16", "quantization_config": config}, stored, dense)
