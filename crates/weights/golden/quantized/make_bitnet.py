"""Makes bitnet.*: random values of -1, 0 and 1, packed and unpacked by Transformers.

usage: python make_bitnet.py     (transformers==5.24.0 torch==2.15.0 safetensors==0.8.0)

Transformers multiplies by the values and divides the products by the scale. Dividing the values gives its weight.
"""

import os

os.environ["TORCHDYNAMO_DISABLE"] = "1"

import torch
from common import random, save
from transformers.integrations.bitnet import pack_weights, unpack_weights

LAYER = "model.layers.0."
stored, dense = {}, {}
for seed, (name, shape, dtype) in enumerate((("a", (24, 40), torch.bfloat16), ("b", (8, 33), torch.float32))):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-1, 2, shape, generator=generator)
    scale = random(1, seed=seed, dtype=dtype).abs() * 100
    packed = pack_weights(values.clone())
    stored |= {LAYER + name + ".weight": packed, LAYER + name + ".weight_scale": scale}
    unpacked = unpack_weights(packed, dtype)
    assert torch.equal(unpacked, values.to(dtype))
    dense[LAYER + name + ".weight"] = unpacked / scale
stored["lm_head.weight"] = dense["lm_head.weight"] = random(16, 8, seed=5)
config = {
    "dtype": "bfloat16",
    "quantization_config": {
        "quant_method": "bitnet",
        "linear_class": "bitlinear",
        "quantization_mode": "offline",
        "modules_to_not_convert": ["lm_head"],
    },
}
save("bitnet", config, stored, dense)
