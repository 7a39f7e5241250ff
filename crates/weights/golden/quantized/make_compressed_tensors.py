"""Makes compressed_tensors.*: one module of every format and strategy, packed and dequantized by the library.

usage: python make_compressed_tensors.py     (compressed-tensors==0.20.0 torch==2.15.0 safetensors==0.8.0)
"""

import torch
from common import random, save
from compressed_tensors.compressors.base import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils.helpers import calculate_qparams

LAYER = "model.layers.0."
groups, stored, dense = {}, {}, {}


def extremes(weight, tile):
    """Smallest and largest value of each tile, one axis each for the tiles down and across."""
    rows, columns = weight.shape
    down, across = -(-rows // tile[0]), -(-columns // tile[1])
    low, high = torch.zeros(down, across), torch.zeros(down, across)
    for y in range(down):
        for x in range(across):
            block = weight[y * tile[0] : (y + 1) * tile[0], x * tile[1] : (x + 1) * tile[1]].float()
            low[y, x], high[y, x] = block.min(), block.max()
    return low, high


def add(name, format, shape=(24, 96), scale_dtype=torch.bfloat16, target=None, **arguments):
    arguments = QuantizationArgs(**arguments)
    scheme = QuantizationScheme(targets=[target or LAYER + name], weights=arguments, format=format)
    weight = random(*shape, seed=len(groups))
    tile = {
        "tensor": shape,
        "channel": (1, shape[1]),
        "group": (1, arguments.group_size),
        "tensor_group": (1, arguments.group_size),
        "block": arguments.block_structure,
    }[str(arguments.strategy).split('.')[-1].lower()]
    low, high = extremes(weight, tile)
    state = {"weight": weight}
    if format == "nvfp4-pack-quantized":
        largest = weight.abs().max().float()
        state["weight_global_scale"] = (448 * 6 / largest).reshape(1)
        scale = state["weight_global_scale"] * torch.maximum(-low, high) / 6
        state["weight_scale"] = scale.clamp(max=448).to(torch.float8_e4m3fn)
        state["weight_scale"] = state["weight_scale"].to(torch.bfloat16)
    elif format.startswith("mx"):
        largest = {4: 6, 8: 448}[arguments.num_bits]
        state["weight_scale"] = torch.exp2(torch.ceil(torch.log2(torch.maximum(-low, high) / largest))).to(torch.bfloat16)
    else:
        scale, zero = calculate_qparams(low, high, arguments)
        state["weight_scale"] = scale.to(scale_dtype)
        if arguments.strategy == "tensor":
            state["weight_scale"] = state["weight_scale"].reshape(1)
            zero = zero.reshape(1)
        if not arguments.symmetric:
            state["weight_zero_point"] = zero.to(torch.int8)
    compressor = BaseCompressor.get_value_from_registry(format)
    compressed = compressor.compress(state, scheme)
    result = compressor.decompress(compressed, scheme)["weight"]
    assert result.shape == shape and result.isfinite().all()
    assert (result.float() - weight.float()).abs().max() < 0.4, name
    groups[f"group_{len(groups)}"] = scheme.model_dump(mode="json", exclude_none=True)
    for key, value in compressed.items():
        stored[LAYER + f"{name}.{key}"] = value
    dense[LAYER + f"{name}.weight"] = result


for bits in range(2, 9):
    add(f"int{bits}_group", "pack-quantized", num_bits=bits, strategy="group", group_size=32)
    add(f"int{bits}_asym", "pack-quantized", shape=(44, 64), num_bits=bits, strategy="group", group_size=32, symmetric=False)
half = torch.float16
add("int4_channel", "pack-quantized", scale_dtype=half, num_bits=4, strategy="channel")
add("int3_channel_asym", "pack-quantized", scale_dtype=half, num_bits=3, strategy="channel", symmetric=False)
add("nvfp4", "nvfp4-pack-quantized", num_bits=4, type="float", strategy="tensor_group", group_size=16)
add("mxfp4", "mxfp4-pack-quantized", num_bits=4, type="float", strategy="group", group_size=32)
add("mxfp8", "mxfp8-quantized", num_bits=8, type="float", strategy="group", group_size=32)
fp8 = {"num_bits": 8, "type": "float"}
add("fp8_tensor", "float-quantized", scale_dtype=torch.float32, strategy="tensor", **fp8)
add("fp8_channel", "float-quantized", strategy="channel", **fp8)
add("fp8_block", "float-quantized", shape=(40, 96), scale_dtype=torch.float32, strategy="block", block_structure=[16, 32], **fp8)
# The same as ragged blocks, and a group that a pattern names.
add("fp8_ragged", "naive-quantized", shape=(20, 50), strategy="block", block_structure=[16, 32], target="re:.*\\.fp8_rag", **fp8)
add("int8_channel", "int-quantized", num_bits=8, strategy="channel")
add("int8_channel_asym", "int-quantized", scale_dtype=half, num_bits=8, strategy="channel", symmetric=False)
add("int8_tensor", "int-quantized", scale_dtype=torch.float32, num_bits=8, strategy="tensor")
add("int4_naive", "naive-quantized", num_bits=4, strategy="group", group_size=32)

plain = random(16, 8, seed=999)
stored["lm_head.weight"] = dense["lm_head.weight"] = plain
config = {
    "torch_dtype": "bfloat16",
    "quantization_config": {
        "quant_method": "compressed-tensors",
        "format": "mixed-precision",
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": ["lm_head"],
    },
}
save("compressed_tensors", config, stored, dense)
