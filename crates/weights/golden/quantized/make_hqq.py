"""Makes hqq.*: every packing along both axes, quantized, dequantized and saved by HQQLinear on the CPU.

usage: python make_hqq.py     (hqq==0.2.8.post1 torch==2.15.0 safetensors==0.8.0)
"""

import torch
from common import random, save
from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

LAYER = "model.layers.0."
stored, dense = {}, {}


def linear(name, bits, group_size, axis, dtype=torch.bfloat16, shape=(16, 96), bias=False, view_as_float=False):
    plain = torch.nn.Linear(shape[1], shape[0], bias=bias, dtype=dtype)
    plain.weight.data = random(*shape, seed=len(dense), dtype=dtype)
    config = BaseQuantizeConfig(nbits=bits, group_size=group_size, axis=axis, view_as_float=view_as_float)
    made = HQQLinear(plain, config, compute_dtype=dtype, device="cpu")
    for key, value in made.state_dict().items():
        stored[LAYER + name + "." + key] = value
    dense[LAYER + name + ".weight"] = made.dequantize()
    assert dense[LAYER + name + ".weight"].dtype == dtype
    if bias:
        dense[LAYER + name + ".bias"] = made.bias


for bits in (1, 2, 3, 4, 5, 6, 8):
    for axis in (0, 1):
        linear(f"int{bits}_axis{axis}", bits, 32, axis)
linear("int4_f16", 4, 64, 1, dtype=torch.float16, shape=(12, 64), bias=True)
linear("int4_f32", 4, 32, 0, dtype=torch.float32, shape=(12, 64))
linear("int8_rows", 8, None, 1)
linear("int4_view", 4, 32, 1, view_as_float=True)
stored["lm_head.weight"] = dense["lm_head.weight"] = random(16, 8, seed=50)
config = {
    "dtype": "bfloat16",
    "quantization_config": {
        "quant_method": "hqq",
        "quant_config": BaseQuantizeConfig(nbits=4, group_size=32, axis=1),
        "skip_modules": ["lm_head"],
    },
}
save("hqq", config, stored, dense)
