"""Makes the golden files of this folder, except sentence_piece.*.

usage: python make.py          (numpy==2.4.6 gguf==0.19.0 safetensors==0.8.0)

quants.gguf         every supported GGUF type in random blocks over the whole range of codes, with scales that include zeros,
                    subnormals, negative and large ones; a query and a key projection with rows interleaved as llama.cpp's
                    converter does it
quants.safetensors  the same tensors in f32, by gguf's own dequantizer, under the names strait gives them
sharded/            f32, f16 and bf16 in two safetensors shards with an index, written by the safetensors package
sharded.safetensors the same tensors in f32
"""

import json
import os

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T, GGUFWriter, quants
from safetensors import TensorSpec, serialize_file

os.chdir(os.path.dirname(os.path.abspath(__file__)))
random = np.random.default_rng(20240607)

SCALES = {  # byte offsets of the f16 scales and minima in a block
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}
SPECIAL = np.array([0.0, -0.0, 6e-8, -3e-5, 1.0, -1.0, 65504.0, -1234.5], dtype=np.float16)


def halves(count):
    """f16 over many magnitudes, with the special ones first."""
    values = random.normal(size=count) * 10.0 ** random.uniform(-4, 2, size=count)
    values = values.astype(np.float16)
    values[: min(count, len(SPECIAL))] = SPECIAL[:count]
    return values


def save(path, tensors):
    arrays = {name: (dtype, np.ascontiguousarray(array)) for name, (dtype, array) in tensors.items()}
    specs = {
        name: TensorSpec(dtype=dtype, shape=array.shape, data_ptr=array.ctypes.data, data_len=array.nbytes)
        for name, (dtype, array) in arrays.items()
    }
    serialize_file(specs, path)


def make_quants():
    writer = GGUFWriter("quants.gguf", "llama")
    writer.add_block_count(1)
    writer.add_embedding_length(32)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    expected = {}
    for name in ["F32", "F16", "BF16", *SCALES]:
        kind = T[name]
        block_values, block_bytes = GGML_QUANT_SIZES[kind]
        rows, blocks = 3, {1: 40, 32: 5, 256: 2}[block_values]
        if name == "F32":
            stored = random.normal(size=(rows, blocks)).astype(np.float32)
            dense = stored
        elif name == "F16":
            stored = halves(rows * blocks).reshape(rows, blocks)
            dense = stored.astype(np.float32)
        else:
            stored = random.integers(0, 256, size=(rows * blocks, block_bytes), dtype=np.uint8)
            if name == "BF16":
                stored[:, 1] = 60 + stored[:, 1] % 8 + (stored[:, 1] & 128)
            for offset in SCALES.get(name, []):
                stored[:, offset : offset + 2] = halves(rows * blocks).view(np.uint8).reshape(-1, 2)
            stored = stored.reshape(rows, blocks * block_bytes)
            dense = quants.dequantize(stored, kind)
        assert dense.shape == (rows, blocks * block_values) and np.isfinite(dense).all()
        writer.add_tensor(f"golden.{name}", stored, raw_dtype=kind)
        expected[f"golden.{name}"] = ("float32", dense)

    def interleave(weight, heads):  # LlamaModel.permute of llama.cpp's convert_hf_to_gguf.py
        return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)

    query = random.normal(size=(32, 32)).astype(np.float16)
    bias = random.normal(size=32).astype(np.float32)
    key = quants.quantize(random.normal(size=(16, 32)).astype(np.float32), T.Q8_0)
    writer.add_tensor("blk.0.attn_q.weight", interleave(query, 4))
    writer.add_tensor("blk.0.attn_q.bias", interleave(bias, 4))
    writer.add_tensor("blk.0.attn_k.weight", interleave(key, 2), raw_dtype=T.Q8_0)
    attention = "model.layers.0.self_attn."
    expected[attention + "q_proj.weight"] = ("float32", query.astype(np.float32))
    expected[attention + "q_proj.bias"] = ("float32", bias)
    expected[attention + "k_proj.weight"] = ("float32", quants.dequantize(key, T.Q8_0))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save("quants.safetensors", expected)


def make_sharded():
    os.makedirs("sharded", exist_ok=True)
    single = random.normal(size=(3, 5)).astype(np.float32)
    half = halves(42).reshape(2, 3, 7)
    brain = random.integers(0, 1 << 15, size=(4, 9), dtype=np.uint16)
    brain[(brain & 0x7F80) == 0x7F80] = 0x3F80
    empty = np.zeros((0, 4), dtype=np.float32)
    shards = {
        "model-00001-of-00002.safetensors": {"f32": ("float32", single), "empty": ("float32", empty)},
        "model-00002-of-00002.safetensors": {"f16": ("float16", half), "bf16": ("bfloat16", brain)},
    }
    for file, tensors in shards.items():
        save("sharded/" + file, tensors)
    index = {
        "metadata": {"total_size": single.nbytes + half.nbytes + brain.nbytes},
        "weight_map": {name: file for file, tensors in shards.items() for name in tensors},
    }
    with open("sharded/model.safetensors.index.json", "w") as out:
        json.dump(index, out, indent=2)
        out.write("\n")
    with open("sharded/config.json", "w") as out:
        out.write('{"model_type": "llama"}\n')
    wide = (brain.astype(np.uint32) << 16).view(np.float32)
    dense = {"f32": single, "empty": empty, "f16": half.astype(np.float32), "bf16": wide}
    save("sharded.safetensors", {name: ("float32", array) for name, array in dense.items()})


make_quants()
make_sharded()
