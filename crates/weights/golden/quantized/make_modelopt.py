"""Makes modelopt.*: NVFP4 and FP8, dequantized by ModelOpt's tensor classes from random stored values.

usage: python make_modelopt.py     (nvidia-modelopt==0.47.0 torch==2.15.0 safetensors==0.8.0)
"""

import torch
from common import random, save, words
from modelopt.torch.quantization.qtensor.fp8_tensor import FP8QTensor
from modelopt.torch.quantization.qtensor.nvfp4_tensor import NVFP4QTensor

LAYER = "model.layers.0."
stored, dense = {}, {}
shape = (24, 64)
packed = words(24, 8, seed=1).view(torch.uint8)
scale = random(24, 4, seed=2, dtype=torch.float32).abs().mul(900).clamp(0.01, 448).to(torch.float8_e4m3fn)
double = torch.tensor(1.37e-4)
stored[LAYER + "nvfp4.weight"] = packed
stored[LAYER + "nvfp4.weight_scale"] = scale
stored[LAYER + "nvfp4.weight_scale_2"] = double
stored[LAYER + "nvfp4.input_scale"] = torch.tensor(0.5)
tensor = NVFP4QTensor(shape, torch.bfloat16, packed)
dense[LAYER + "nvfp4.weight"] = tensor.dequantize(
    dtype=torch.bfloat16, scale=scale, double_scale=double, block_sizes={-1: 16}
)
weight = random(*shape, seed=3, dtype=torch.float32).mul(300).to(torch.float8_e4m3fn)
for name, scale in {"fp8": torch.tensor(0.0173), "fp8_channel": random(24, 1, seed=4, dtype=torch.float32).abs()}.items():
    stored[LAYER + name + ".weight"] = weight
    stored[LAYER + name + ".weight_scale"] = scale if scale.ndim == 0 else scale.reshape(-1)
    dense[LAYER + name + ".weight"] = FP8QTensor(shape, torch.bfloat16, weight).dequantize(scale=scale)
plain = random(16, 8, seed=5)
stored["lm_head.weight"] = dense["lm_head.weight"] = plain
config = {
    "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "exclude_modules": ["lm_head"]},
}
save("modelopt", config, stored, dense)
