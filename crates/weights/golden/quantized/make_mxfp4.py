"""Makes mxfp4.*: experts as gpt-oss stores them, from random bytes, dequantized by Transformers.

usage: python make_mxfp4.py     (transformers==5.24.0 torch==2.15.0 safetensors==0.8.0)
"""

import torch
from common import random, save, words
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

EXPERTS = "model.layers.0.mlp.experts."
stored, dense = {}, {}
for seed, (name, experts, outputs, groups) in enumerate((("gate_up_proj", 3, 10, 2), ("down_proj", 3, 6, 3))):
    blocks = words(experts, outputs, groups, 4, seed=seed).view(torch.uint8)
    scales = torch.randint(100, 140, (experts, outputs, groups), generator=torch.Generator().manual_seed(seed))
    scales = scales.to(torch.uint8)
    bias = random(experts, outputs, seed=seed)
    stored |= {EXPERTS + name + "_blocks": blocks, EXPERTS + name + "_scales": scales, EXPERTS + name + "_bias": bias}
    dense |= {EXPERTS + name: convert_moe_packed_tensors(blocks, scales), EXPERTS + name + "_bias": bias}
plain = random(16, 8, seed=5)
stored["lm_head.weight"] = dense["lm_head.weight"] = plain
skipped = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
config = {"dtype": "bfloat16", "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": skipped}}
save("mxfp4", config, stored, dense)
