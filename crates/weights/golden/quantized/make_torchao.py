"""Makes torchao.*: integers in bytes and floats of eight bits, quantized, dequantized and flattened by torchao on the CPU.

usage: python make_torchao.py     (torchao==0.18.0 transformers==5.24.0 torch==2.15.0 safetensors==0.8.0)
"""

import json
import os

import torch
from common import FOLDER, random
from safetensors.torch import save_file
from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
from torchao.quantization import (
    Float8Tensor,
    Float8WeightOnlyConfig,
    FqnToConfig,
    Int8DynamicActivationInt8WeightConfig,
    Int8DynamicActivationIntxWeightConfig,
    Int8WeightOnlyConfig,
    IntxWeightOnlyConfig,
    MappingType,
    PerAxis,
    PerBlock,
    PerGroup,
    PerTensor,
    quantize_,
)
from transformers import TorchAoConfig

ASYMMETRIC = MappingType.ASYMMETRIC
configs = {
    "int8": Int8WeightOnlyConfig(),
    "int8_tensor": Int8WeightOnlyConfig(granularity=PerTensor()),
    "int8_group": Int8WeightOnlyConfig(granularity=PerGroup(32)),
    "int8_dynamic": Int8DynamicActivationInt8WeightConfig(),
    "fp8": Float8WeightOnlyConfig(),
    "fp8_tensor": Float8WeightOnlyConfig(granularity=PerTensor()),
    "fp8_e5m2": Float8WeightOnlyConfig(weight_dtype=torch.float8_e5m2),
    "fp8_block": Float8WeightOnlyConfig(),
    "intx_group": IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(32)),
    "intx_channel": IntxWeightOnlyConfig(
        weight_dtype=torch.int4, granularity=PerAxis(0), mapping_type=ASYMMETRIC, scale_dtype=torch.float32
    ),
    "intx_dynamic": Int8DynamicActivationIntxWeightConfig(
        weight_dtype=torch.int4, weight_granularity=PerGroup(16), weight_mapping_type=ASYMMETRIC
    ),
}
layer = torch.nn.Module()
model = torch.nn.Module()
model.model = torch.nn.Module()
model.model.layers = torch.nn.ModuleList([layer])
for seed, name in enumerate(configs):
    linear = torch.nn.Linear(96, 24, bias=seed == 0, dtype=torch.bfloat16)
    linear.weight = torch.nn.Parameter(random(24, 96, seed=seed), requires_grad=False)
    setattr(layer, name, linear)
layer.int8.bias = torch.nn.Parameter(random(24, seed=40), requires_grad=False)
# The configuration for blocks asks for a GPU, the tensors do not.
block = layer.fp8_block.weight
layer.fp8_block.weight = torch.nn.Parameter(
    Float8Tensor.from_hp(block, granularity=PerBlock([8, 32])), requires_grad=False
)
model.lm_head = torch.nn.Linear(8, 16, bias=False, dtype=torch.bfloat16)
model.lm_head.weight = torch.nn.Parameter(random(16, 8, seed=41), requires_grad=False)

config = FqnToConfig({f"model.layers.0.{name}": config for name, config in configs.items()} | {"lm_head": None})
made = FqnToConfig({name: config for name, config in config.fqn_to_config.items() if not name.endswith("fp8_block")})
quantize_(model, made, filter_fn=None)
state = {name: value.detach() for name, value in model.state_dict().items()}
stored, metadata = flatten_tensor_state_dict(state)
dense = {name: value.dequantize() if hasattr(value, "qdata") else value for name, value in state.items()}
assert all(value.dtype == torch.bfloat16 for value in dense.values())
assert (dense["model.layers.0.intx_channel.weight"] - random(24, 96, seed=9)).abs().max() < 0.05
save_file(stored, os.path.join(FOLDER, "torchao.safetensors"), metadata={**metadata, "format": "pt"})
save_file(dense, os.path.join(FOLDER, "torchao.dense.safetensors"))
with open(os.path.join(FOLDER, "torchao.config.json"), "w") as out:
    json.dump({"dtype": "bfloat16", "quantization_config": TorchAoConfig(config).to_dict()}, out, indent=1)
    out.write("\n")
