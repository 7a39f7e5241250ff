"""Makes gptq_*: random words of every width, dequantized by GPTQModel's Torch layer.

usage: python make_gptq.py     (gptqmodel==7.7.0 torch==2.15.0 safetensors==0.8.0)

The layer takes zero points of the second version alone. For files of the first version the stored fields are drawn below
2^bits - 1 and get the library's conversion, so that 1 never carries into the next field.
"""

import torch
from common import random, save
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module

LAYER = "model.layers.0."


def pack(values, bits):
    """Integers along the first axis as a stream of bits, lowest first, in 32-bit words."""
    shifts = torch.arange(bits)
    stream = (values.T.unsqueeze(-1) >> shifts & 1).reshape(values.shape[1], -1, 32)
    return (stream.long() << torch.arange(32)).sum(-1).to(torch.int32).T.contiguous()


def layer(bits, group_size, version, order, inputs, outputs, seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    groups = 1 if group_size == -1 else inputs // group_size
    codes = torch.randint(0, 2**bits, (inputs, outputs), generator=generator)
    zeros = torch.randint(0, 2**bits - 1, (groups, outputs), generator=generator)
    linear = TorchLinear(
        bits=bits, group_size=group_size, sym=False, desc_act=order, in_features=inputs, out_features=outputs,
        bias=False, pack_dtype=torch.int32, register_buffers=True, dtype=dtype,
    )
    g_idx = torch.arange(inputs) // (inputs if group_size == -1 else group_size)
    if order:
        g_idx = g_idx[torch.randperm(inputs, generator=generator)]
    stored = {
        "qweight": pack(codes, bits),
        "qzeros": pack(zeros.T, bits).T.contiguous(),
        "scales": random(groups, outputs, seed=seed, dtype=dtype),
        "g_idx": g_idx.to(torch.int32),
    }
    for key, value in stored.items():
        assert getattr(linear, key).shape == value.shape, (key, getattr(linear, key).shape, value.shape)
        setattr(linear, key, value.clone())
    if version == "gptq":
        linear.qzero_format(format=1)
        convert_gptq_v1_to_v2_format_module(linear, bits=bits, pack_dtype=torch.int32)
    linear.post_init()
    expected = stored["scales"][g_idx] * (codes - zeros[g_idx] - int(version == "gptq")).to(dtype)
    dense = linear.dequantize_weight()
    assert torch.equal(dense, expected)
    return stored, dense.T


def model(name, bits, group_size, version="gptq", order=False, seed=0, dtype=torch.float16, keep_order=True):
    stored, dense = {}, {}
    for module, (inputs, outputs) in {"a": (128, 32), "b": (64, 64)}.items():
        tensors, dense[LAYER + f"{module}.weight"] = layer(
            bits, group_size, version, order, inputs, outputs, seed + len(dense), dtype
        )
        if not keep_order:
            del tensors["g_idx"]
        stored |= {LAYER + f"{module}.{key}": value for key, value in tensors.items()}
    config = {
        "torch_dtype": "float16",
        "quantization_config": {
            "quant_method": "gptq", "bits": bits, "group_size": group_size, "desc_act": order, "sym": False,
            "checkpoint_format": version,
        },
    }
    save(name, config, stored, dense)


for bits in (2, 3, 4, 8):
    model(f"gptq_v1_int{bits}", bits, 32, seed=10 * bits)
    model(f"gptq_v2_int{bits}", bits, 32, version="gptq_v2", order=True, seed=10 * bits + 5)
model("gptq_v1_order", 4, 32, order=True, seed=91)
model("gptq_column", 4, -1, seed=93, dtype=torch.bfloat16, keep_order=False)
