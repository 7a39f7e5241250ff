"""Makes vptq.*: random indices and codebooks, packed and dequantized by VPTQ's own functions on the CPU.

usage: python make_vptq.py     (vptq==0.0.5.post1 accelerate==1.15.0 tqdm torch==2.15.0 safetensors==0.8.0)
"""

import sys
import types

import torch
from common import random, save

# The package imports it for a type alone.
stub = types.ModuleType("sentence_transformers.SentenceTransformer")
stub.SentenceTransformer = type("SentenceTransformer", (), {})
sys.modules["sentence_transformers"] = types.ModuleType("sentence_transformers")
sys.modules["sentence_transformers.SentenceTransformer"] = stub

from vptq.ops.quant_gemm import dequant
from vptq.utils.pack import pack_index

LAYER = "model.layers.0."
stored, dense, layers = {}, {}, {}


def integers(high, *shape, seed):
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed)).to(torch.uint16)


def add(name, outputs, groups, size, length, number, residual=0, outliers=0, permuted=True, scaled=True, dtype=torch.float16):
    """`groups` codebooks of `number` vectors of `length` outputs, each for `size` inputs; 32 vectors of 4 for outliers."""
    seed = 10 * len(dense)
    bits, rest = number.bit_length() - 1, max(residual, 1).bit_length() - 1
    vectors, inputs = -(-outputs // length), groups * size + outliers
    indices = integers(number, groups, vectors, size, seed=seed)
    second = integers(residual, groups, vectors, size, seed=seed + 1) if residual else None
    packed = pack_index(indices, bits, second, rest)
    parts = {"indices": packed, "centroids.weight": random(groups, number * length, seed=seed + 2, dtype=dtype)}
    if residual:
        parts["res_centroids.weight"] = random(groups, residual * length, seed=seed + 3, dtype=dtype)
    if outliers:
        parts["outlier_centroids.weight"] = random(1, 32 * 4, seed=seed + 4, dtype=dtype)
        parts["outlier_indices"] = integers(32, 1, -(-outputs // 4), outliers, seed=seed + 5).view(torch.int16)
    if permuted:
        order = torch.randperm(inputs, generator=torch.Generator().manual_seed(seed))
        parts["perm"] = order.to(torch.uint16).view(torch.int16)
    if scaled:
        parts["weight_scale"] = random(inputs, seed=seed + 6, dtype=dtype) * 10
        parts["weight_bias"] = random(inputs, seed=seed + 7, dtype=dtype)
    stored.update({LAYER + name + "." + key: value for key, value in parts.items()})
    dense[LAYER + name + ".weight"] = dequant(
        indices=packed,
        centroids=parts["centroids.weight"].view(groups, number, length),
        outlier_indices=parts.get("outlier_indices"),
        outlier_centroids=parts.get("outlier_centroids.weight"),
        res_indices=None,
        res_centroids=parts.get("res_centroids.weight"),
        perm=parts.get("perm"),
        weight_scale=parts.get("weight_scale"),
        weight_bias=parts.get("weight_bias"),
        is_indice_packed=True,
        enable_outlier=outliers > 0,
        enable_residual=residual > 0,
        enable_perm=permuted,
        enable_norm=scaled,
        num_centroids=number,
        num_outlier_centroids=32,
        num_res_centroids=residual,
        padding=-outputs % length,
        outlier_padding=-outputs % 4,
        num_codebooks=groups,
        group_size=size,
        outlier_size=outliers,
        vector_len=length,
        outlier_vector_len=4,
    )
    assert dense[LAYER + name + ".weight"].shape == (outputs, inputs)
    layers[LAYER + name] = {
        "bias": False,
        "enable_norm": scaled,
        "enable_perm": permuted,
        "group_num": groups,
        "group_size": size,
        "in_features": inputs,
        "indices_as_float": False,
        "is_indice_packed": True,
        "num_centroids": [32 if outliers else -1, number],
        "num_res_centroids": [-1, residual or -1],
        "out_features": outputs,
        "outlier_size": outliers,
        "vector_lens": [4 if outliers else -1, length],
    }


add("plain", 24, 1, 40, 8, 64)
add("residual", 20, 2, 24, 8, 128, residual=16, dtype=torch.bfloat16)
add("outliers", 22, 1, 36, 6, 32, residual=32, outliers=4)
add("bare", 16, 1, 32, 8, 16, permuted=False, scaled=False)
stored["lm_head.weight"] = dense["lm_head.weight"] = random(16, 8, seed=99, dtype=torch.float16)
config = {"dtype": "float16", "quantization_config": {"quant_method": "vptq", "config_for_layers": layers}}
save("vptq", config, stored, dense)
