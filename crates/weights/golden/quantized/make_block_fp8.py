"""Makes fp8_block.*: F8_E4M3 with weight_scale_inv, dequantized by compressed-tensors' converter for such checkpoints.

usage: python make_block_fp8.py     (compressed-tensors==0.20.0 torch==2.15.0 safetensors==0.8.0)
"""

import torch
from common import random, save
from compressed_tensors.entrypoints.convert.converters.fp8block_dequantizer import FP8BlockDequantizer

LAYER = "model.layers.0."
block = (16, 32)
stored, dense = {}, {}
for name, shape in {"even": (48, 96), "ragged": (20, 50)}.items():
    grid = (-(-shape[0] // block[0]), -(-shape[1] // block[1]))
    stored[LAYER + name + ".weight"] = random(*shape, seed=7, dtype=torch.float32).mul(300).to(torch.float8_e4m3fn)
    stored[LAYER + name + ".weight_scale_inv"] = random(*grid, seed=8, dtype=torch.float32).abs() + 1e-3
    converter = FP8BlockDequantizer(targets=[LAYER + name], weight_block_size=block)
    dense.update(converter.process({key: value for key, value in stored.items() if name in key}))
norm = random(96, seed=9)
stored[LAYER + "norm.weight"] = dense[LAYER + "norm.weight"] = norm
config = {
    "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": block},
}
save("fp8_block", config, stored, dense)
