"""Makes quanto.*: integers and floats of 8 bits, quantized, dequantized and saved by optimum-quanto on the CPU.

usage: python make_quanto.py     (optimum-quanto==0.2.7 torch==2.15.0 safetensors==0.8.0)
"""

import torch
from common import random, save
from optimum.quanto import freeze, qfloat8_e4m3fn, qfloat8_e5m2, qint8, quantize

LAYER = "model.layers.0."
stored, dense = {}, {}
for seed, (name, kind, dtype) in enumerate(
    (
        ("int8", qint8, torch.bfloat16),
        ("int8_f16", qint8, torch.float16),
        ("int8_f32", qint8, torch.float32),
        ("fp8", qfloat8_e4m3fn, torch.bfloat16),
        ("fp8_e5m2", qfloat8_e5m2, torch.float16),
    )
):
    model = torch.nn.Sequential(torch.nn.Linear(48, 20, bias=seed == 0, dtype=dtype))
    model[0].weight.data = random(20, 48, seed=seed, dtype=dtype)
    quantize(model, weights=kind)
    freeze(model)
    for key, value in model.state_dict().items():
        stored[LAYER + name + key.removeprefix("0")] = value
    dense[LAYER + name + ".weight"] = model[0].weight.dequantize()
    assert dense[LAYER + name + ".weight"].dtype == dtype
dense[LAYER + "int8.bias"] = stored[LAYER + "int8.bias"]
stored["lm_head.weight"] = dense["lm_head.weight"] = random(16, 8, seed=50)
save("quanto", {"dtype": "bfloat16"}, stored, dense)
