"""Makes compressed_tensors_old.*: the packing with whole values a word, its zero points, and columns in g_idx order.

usage: python make_compressed_tensors_old.py     (compressed-tensors==0.10.2 torch==2.15.0 safetensors==0.8.0)
"""

import torch
from common import random, save
from compressed_tensors.compressors.quantized_compressors.pack_quantized import (
    PackedQuantizationCompressor,
    unpack_from_int32,
)
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.lifecycle.forward import dequantize
from compressed_tensors.quantization.utils.helpers import calculate_qparams

LAYER = "model.layers.0."
groups, stored, dense = {}, {}, {}


def add(name, shape, order=None, **arguments):
    arguments = QuantizationArgs(**arguments)
    weight = random(*shape, seed=100 + len(groups))
    grouped = weight if order is None else weight[:, torch.argsort(order)]
    grouped = grouped.float().reshape(shape[0], -1, arguments.group_size)
    scale, zero = calculate_qparams(grouped.amin(2), grouped.amax(2), arguments)
    compressor = PackedQuantizationCompressor()
    compressed = compressor.compress_weight(
        weight=weight,
        scale=scale.to(torch.bfloat16),
        zero_point=None if arguments.symmetric else zero.to(torch.int8),
        g_idx=order,
        quantization_args=arguments,
    )
    compressed["weight_scale"] = scale.to(torch.bfloat16)
    if order is not None:
        compressed["weight_g_idx"] = order
    if arguments.symmetric:
        result = compressor.decompress_weight(compressed, quantization_args=arguments)
    else:  # which this release refuses, although it has the parts
        unpacked = unpack_from_int32(compressed["weight_packed"], arguments.num_bits, weight.shape)
        unpacked_zero = unpack_from_int32(compressed["weight_zero_point"], arguments.num_bits, zero.shape, packed_dim=0)
        assert torch.equal(unpacked_zero, zero.to(torch.int8))
        result = dequantize(unpacked, compressed["weight_scale"], unpacked_zero, g_idx=order)
    assert result.shape == shape and (result.float() - weight.float()).abs().max() < 0.4, name
    scheme = QuantizationScheme(targets=[LAYER + name], weights=arguments)
    groups[f"group_{len(groups)}"] = scheme.model_dump(mode="json", exclude_none=True)
    for key, value in compressed.items():
        stored[LAYER + f"{name}.{key}"] = value
    dense[LAYER + f"{name}.weight"] = result


for bits in (3, 5, 6, 7):
    add(f"int{bits}", (12, 64), num_bits=bits, strategy="group", group_size=32)
# This release pads zero points correctly only where the outputs fill their words.
add("int3_asym", (20, 64), num_bits=3, strategy="group", group_size=32, symmetric=False)
add("int4_asym", (16, 64), num_bits=4, strategy="group", group_size=16, symmetric=False)
generator = torch.Generator().manual_seed(5)
order = (torch.randperm(96, generator=generator) // 32).to(torch.int32)
add("int4_order", (12, 96), order, num_bits=4, strategy="group", group_size=32, actorder="group")
add("int5_order_asym", (12, 96), order, num_bits=5, strategy="group", group_size=32, actorder="group", symmetric=False)
add("int4_unused_order", (12, 64), None, num_bits=4, strategy="group", group_size=32)
stored[LAYER + "int4_unused_order.weight_g_idx"] = torch.full((64,), -1, dtype=torch.int32)

config = {
    "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": groups},
}
save("compressed_tensors_old", config, stored, dense)
