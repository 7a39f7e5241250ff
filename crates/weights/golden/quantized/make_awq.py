"""Makes awq.*: random words, dequantized by AutoAWQ's own function.

usage: python make_awq.py AUTOAWQ     (the unpacked autoawq==0.2.9; torch==2.15.0 safetensors==0.8.0)

The package does not import beside present releases of transformers, so its one file is loaded by its path.
"""

import importlib.util
import os
import sys

import torch
from common import random, save, words

path = os.path.join(sys.argv[1], "awq/utils/packing_utils.py")
spec = importlib.util.spec_from_file_location("packing_utils", path)
packing_utils = importlib.util.module_from_spec(spec)
spec.loader.exec_module(packing_utils)

LAYER = "model.layers.0."
stored, dense = {}, {}
for name, (inputs, outputs) in {"a": (96, 24), "b": (32, 72)}.items():
    codes, zeros = words(inputs, outputs // 8, seed=1), words(inputs // 32, outputs // 8, seed=2)
    scales = random(inputs // 32, outputs, seed=3, dtype=torch.float16)
    stored |= {LAYER + f"{name}.qweight": codes, LAYER + f"{name}.qzeros": zeros, LAYER + f"{name}.scales": scales}
    dense[LAYER + f"{name}.weight"] = packing_utils.dequantize_gemm(codes, zeros, scales, 4, 32).T
stored[LAYER + "a.bias"] = dense[LAYER + "a.bias"] = random(24, seed=4, dtype=torch.float16)
config = {
    "torch_dtype": "float16",
    "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"},
}
save("awq", config, stored, dense)
