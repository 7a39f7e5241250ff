"""Makes mlx.*: integers of every width and the small floats, dequantized by MLX on the CPU from random stored values.

usage: python make_mlx.py     (mlx[cpu]==0.32.4)
"""

import json
import os

import mlx.core as mx

FOLDER = os.path.dirname(os.path.abspath(__file__))
LAYER = "model.layers.0."
ROWS = 12
mx.random.seed(1)
stored, dense = {}, {}
settings = {"group_size": 64, "bits": 4, "mode": "affine"}


def affine(name, bits, group_size, dtype=mx.bfloat16, rows=ROWS, columns=256):
    """Every word means something, so that random ones do."""
    words = mx.random.randint(0, 2**16, (rows, columns * bits // 16)).astype(mx.uint16).view(mx.uint32)
    scales = (mx.random.normal((rows, columns // group_size)) * 0.01).astype(dtype)
    biases = (mx.random.normal((rows, columns // group_size)) * 0.1).astype(dtype)
    stored.update({name + ".weight": words, name + ".scales": scales, name + ".biases": biases})
    dense[name + ".weight"] = mx.dequantize(words, scales, biases, group_size=group_size, bits=bits)
    if (bits, group_size) != (4, 64):
        # Without a mode this is affine, whatever the others are.
        settings[name] = {"group_size": group_size, "bits": bits}


def float(name, mode, bits, group_size, scales, columns=128):
    words, _ = mx.quantize(mx.random.normal((ROWS, columns)), mode=mode)
    stored.update({name + ".weight": words, name + ".scales": scales})
    dense[name + ".weight"] = mx.dequantize(words, scales, mode=mode)
    settings[name] = {"group_size": group_size, "bits": bits, "mode": mode}


def experts(block, stacked, single, count, bits):
    """The experts of a layer in one tensor, and their names where each has its own."""
    words = mx.random.randint(0, 2**16, (count, ROWS, 64 * bits // 16)).astype(mx.uint16).view(mx.uint32)
    scales = (mx.random.normal((count, ROWS, 1)) * 0.01).astype(mx.bfloat16)
    biases = (mx.random.normal((count, ROWS, 1)) * 0.1).astype(mx.bfloat16)
    name = f"{LAYER}{block}.switch_mlp.{stacked}"
    stored.update({name + ".weight": words, name + ".scales": scales, name + ".biases": biases})
    result = mx.dequantize(words, scales, biases, group_size=64, bits=bits)
    dense.update({f"{LAYER}{block}.experts.{expert}.{single}.weight": result[expert] for expert in range(count)})
    if bits != 4:
        settings[name] = {"group_size": 64, "bits": bits}


affine("model.embed_tokens", 4, 64, rows=24)
experts("mlp", "up_proj", "up_proj", 3, 4)
experts("block_sparse_moe", "down_proj", "w2", 2, 3)
for bits, group_size in ((2, 32), (3, 64), (4, 64), (5, 128), (6, 32), (8, 64)):
    affine(LAYER + f"int{bits}", bits, group_size)
affine(LAYER + "int4_f16", 4, 64, mx.float16)
affine(LAYER + "int3_f32", 3, 32, mx.float32)
powers = mx.random.randint(100, 140, (ROWS, 4)).astype(mx.uint8)
float(LAYER + "mxfp4", "mxfp4", 4, 32, powers)
float(LAYER + "mxfp8", "mxfp8", 8, 32, powers)
# All bytes but those of NaN.
scales = mx.random.randint(0, 254, (ROWS, 8)).astype(mx.uint8)
float(LAYER + "nvfp4", "nvfp4", 4, 16, mx.where(scales < 127, scales, scales + 1).astype(mx.uint8))
stored["lm_head.weight"] = dense["lm_head.weight"] = mx.random.normal((8, 16)).astype(mx.bfloat16)
settings["lm_head"] = False

with open(os.path.join(FOLDER, "mlx.config.json"), "w") as out:
    json.dump({"dtype": "bfloat16", "quantization_config": settings}, out, indent=1)
    out.write("\n")
mx.save_safetensors(os.path.join(FOLDER, "mlx.safetensors"), stored, metadata={"format": "mlx"})
mx.save_safetensors(os.path.join(FOLDER, "mlx.dense.safetensors"), dense, metadata={"format": "mlx"})
