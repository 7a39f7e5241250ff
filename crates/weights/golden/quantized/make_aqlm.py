"""Makes aqlm.*: random codes and codebooks, dequantized by AQLM's own function on the CPU.

usage: python make_aqlm.py     (aqlm==1.1.7 torch==2.15.0 safetensors==0.8.0)
"""

import torch
from aqlm.utils import _dequantize_weight, pack_int_data, unpack_int_data
from common import random, save

LAYER = "model.layers.0."
stored, dense = {}, {}


def add(name, books, bits, outputs, inputs, dtype, rows=12, groups=6):
    seed = len(dense)
    generator = torch.Generator().manual_seed(seed)
    codes = pack_int_data(torch.randint(0, 2**bits, (rows, groups, books), generator=generator), bits)
    codebooks = random(books, 2**bits, outputs, inputs, seed=seed, dtype=dtype)
    scales = random(rows, 1, 1, 1, seed=seed + 1, dtype=dtype).abs()
    stored[LAYER + name + ".codes"] = codes
    stored[LAYER + name + ".codebooks"] = codebooks
    stored[LAYER + name + ".scales"] = scales
    dense[LAYER + name + ".weight"] = _dequantize_weight(unpack_int_data(codes, bits), codebooks, scales)


add("two", 2, 8, 1, 8, torch.float16)
add("one", 1, 9, 1, 4, torch.bfloat16)
add("four", 4, 5, 2, 4, torch.float16)
add("f32", 3, 4, 1, 8, torch.float32)
stored["lm_head.weight"] = dense["lm_head.weight"] = random(16, 8, seed=50, dtype=torch.float16)
config = {
    "dtype": "float16",
    "quantization_config": {
        "quant_method": "aqlm",
        "in_group_size": 8,
        "out_group_size": 1,
        "num_codebooks": 2,
        "nbits_per_codebook": 8,
        "linear_weights_not_to_quantize": ["lm_head.weight"],
    },
}
save("aqlm", config, stored, dense)
