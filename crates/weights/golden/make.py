"""Makes quants.* and sharded*; the other files of this folder have scripts of their own.

usage: python make.py          (numpy==2.4.6 gguf==0.19.0 safetensors==0.8.0)

quants.gguf         every supported GGUF type in random blocks over the whole range of codes, with scales that include zeros,
                    subnormals, negative and large ones; a query and a key projection with rows interleaved as llama.cpp's
                    converter does it; every entry of each codebook (grid.*), with the scale 1
quants.safetensors  the same tensors in f32 (grid.*: in f16, exactly), by gguf's own dequantizer, under the names strait gives
                    them; Q8_K, which gguf does not dequantize, by the formula x = d q of ggml's block_q8_K
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
LATER = {  # the same for the types added later, which have random numbers of their own
    "Q8_K": [], "IQ1_S": [0], "IQ1_M": [], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0],
    "IQ4_NL": [0], "IQ4_XS": [0], "TQ1_0": [52], "TQ2_0": [64], "MXFP4": [], "NVFP4": [],
}
CODEBOOKS = {"IQ1_S": 2048, "IQ1_M": 2048, "IQ2_XXS": 256, "IQ2_XS": 512, "IQ2_S": 1024, "IQ3_XXS": 256, "IQ3_S": 512}
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


def set_halves(name, blocks, scales):
    """Puts `scales` into the one place, or the four nibbles, where IQ blocks have d."""
    if name == "IQ1_M":
        for nibble in range(4):
            blocks[:, 49 + 2 * nibble] &= 15
            blocks[:, 49 + 2 * nibble] |= (scales.view(np.uint16) >> (4 * nibble) << 4 & 0xF0).astype(np.uint8)
    else:
        blocks[:, :2] = scales.view(np.uint8).reshape(-1, 2)


def every_code(name, blocks):
    """Overwrites the codebook indices of `blocks` with 0, 1, 2, ..."""
    count = len(blocks)
    codes = np.arange(CODEBOOKS[name], dtype=np.uint16).reshape(count, -1)
    low, high = (codes & 255).astype(np.uint8), (codes >> 8).astype(np.uint8)
    if name == "IQ1_S":
        words = blocks[:, 34:].copy().view(np.uint16) & 0xF000
        words |= (high.reshape(count, 8, 4).astype(np.uint16) << np.array([0, 3, 6, 9], dtype=np.uint16)).sum(-1, dtype=np.uint16)
        blocks[:, 2:34], blocks[:, 34:] = low, words.view(np.uint8)
    elif name == "IQ1_M":
        blocks[:, :32] = low
        blocks[:, 32:48] = blocks[:, 32:48] & 0x88 | high[:, 0::2] | high[:, 1::2] << 4
    elif name == "IQ2_XXS":
        blocks[:, 2:].reshape(count, 8, 8)[:, :, :4] = low.reshape(count, 8, 4)
    elif name == "IQ2_XS":
        words = blocks[:, 2:66].copy().view(np.uint16) & 0xFE00 | codes
        blocks[:, 2:66] = words.view(np.uint8)
    elif name == "IQ2_S":
        blocks[:, 2:34] = low
        blocks[:, 66:74] = (high.reshape(count, 8, 4) << np.array([0, 2, 4, 6], dtype=np.uint8)).sum(-1, dtype=np.uint8)
    elif name == "IQ3_XXS":
        blocks[:, 2:66] = low
    elif name == "IQ3_S":
        blocks[:, 2:66] = low
        blocks[:, 66:74] = np.packbits(high.reshape(count, 8, 8), axis=-1, bitorder="little").reshape(count, 8)


def later_quants(writer, expected):
    random = np.random.default_rng(20240608)
    for name, offsets in LATER.items():
        kind = T[name]
        block_values, block_bytes = GGML_QUANT_SIZES[kind]
        rows, per_row = 2, 2 if block_values == 256 else 4
        blocks = random.integers(0, 256, size=(rows * per_row, block_bytes), dtype=np.uint8)
        scales = random.normal(size=len(blocks)).astype(np.float16)
        scales[:2] = SPECIAL[2:4]
        for offset in offsets:
            blocks[:, offset : offset + 2] = scales.view(np.uint8).reshape(-1, 2)
        if name == "IQ1_M":
            set_halves(name, blocks, scales)
        elif name == "Q8_K":
            blocks[:, :4] = scales.astype(np.float32).view(np.uint8).reshape(-1, 4) ^ np.array([1, 2, 3, 0], dtype=np.uint8)
        elif name == "MXFP4":
            blocks[:, 0] = [0, 1, 2, 127, 128, 200, 250, 96]
        elif name == "NVFP4":
            blocks[:4, :4] = np.array([0, 1, 7, 8, 126, 127, 128, 255, 120, 56, 9, 2, 64, 63, 254, 200]).reshape(4, 4)
        stored = blocks.reshape(rows, per_row * block_bytes)
        if name == "Q8_K":
            dense = (blocks[:, :4].copy().view(np.float32) * blocks[:, 4:260].view(np.int8)).reshape(rows, -1)
        else:
            dense = quants.dequantize(stored, kind)
        assert dense.shape == (rows, per_row * block_values) and np.isfinite(dense).all()
        writer.add_tensor(f"golden.{name}", stored, raw_dtype=kind)
        expected[f"golden.{name}"] = ("float32", dense)
    for name, entries in CODEBOOKS.items():
        kind = T[name]
        entry_values = 4 if name.startswith("IQ3") else 8
        count = entries * entry_values // 256
        blocks = random.integers(0, 256, size=(count, GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
        set_halves(name, blocks, np.ones(count, dtype=np.float16))
        every_code(name, blocks)
        dense = quants.dequantize(blocks, kind)
        exact = dense.astype(np.float16)
        assert (exact.astype(np.float32) == dense).all()
        writer.add_tensor(f"grid.{name}", blocks, raw_dtype=kind)
        expected[f"grid.{name}"] = ("float16", exact)


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
    later_quants(writer, expected)
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
