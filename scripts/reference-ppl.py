#!/usr/bin/env python3
"""Perplexity of a GGUF model by PyTorch Transformers, and its weights as sharded safetensors.

usage: reference-ppl.py MODEL.gguf TEXT.parquet [--tokens N] [--window N] [--stride N] [--save DIR]

Transformers reads the GGUF file through the `gguf` package, which makes its weights dense in float32;
they are evaluated as they are, and with --save written as safetensors of several files. Windows and
scored positions are those of strait's `hf-stride`: windows overlap, and each token is scored once, in
the first window that has it. Prints one JSON object; `tokens_sha256` is the field of that name in
strait's records, so that equal tokens can be seen.

Versions of the committed figures (results/references.json):
torch 2.15.0, transformers 5.23.0, gguf 0.19.0, safetensors 0.8.0, pyarrow 26.0.1
"""
import argparse
import hashlib
import importlib.metadata
import json
import math
import os
import struct

import pyarrow.parquet
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("text")
parser.add_argument("--tokens", type=int, default=8192)
parser.add_argument("--window", type=int, default=2048)
parser.add_argument("--stride", type=int, default=512)
parser.add_argument("--save")
arguments = parser.parse_args()

folder, file = os.path.split(os.path.abspath(arguments.model))
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
model.eval()
if arguments.save:
    # Transformers takes the model for a quantized one that cannot be saved, though its weights are dense.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(arguments.save, max_shard_size="200MB")
    tokenizer.save_pretrained(arguments.save)

rows = pyarrow.parquet.read_table(arguments.text)["text"].to_pylist()
tokens = tokenizer("\n\n".join(rows))["input_ids"][: arguments.tokens]
stream = struct.pack(f"<{len(tokens)}I", *tokens)

total, scored, end = 0.0, 0, 0
with torch.inference_mode():
    for start in range(0, len(tokens), arguments.stride):
        stop = min(start + arguments.window, len(tokens))
        new = stop - max(end, start + 1)
        ids = torch.tensor([tokens[start:stop]])
        hidden = model.model(ids).last_hidden_state[0, -new - 1 : -1]
        logits = model.lm_head(hidden).float()
        cap = getattr(model.config, "final_logit_softcapping", None)
        if cap:
            logits = cap * torch.tanh(logits / cap)
        nll = torch.nn.functional.cross_entropy(logits, ids[0, -new:], reduction="none")
        total += nll.double().sum().item()
        scored, end = scored + new, stop
        if stop == len(tokens):
            break

print(json.dumps({
    "model": file,
    "sha256": hashlib.sha256(open(arguments.model, "rb").read()).hexdigest(),
    "window": arguments.window,
    "stride": arguments.stride,
    "tokens": len(tokens),
    "tokens_sha256": hashlib.sha256(stream).hexdigest(),
    "scored": scored,
    "ppl": math.exp(total / scored),
    "versions": {name: importlib.metadata.version(name)
                 for name in ["torch", "transformers", "gguf", "safetensors", "pyarrow"]},
}, indent=2))
