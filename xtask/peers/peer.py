"""The peer of `cargo xtask bench-peers`: perplexity with PyTorch and Transformers.

Evaluates as the Hugging Face documentation does it (sliding windows, labels of -100 for what is only
context), with forward hooks on the decoder layers that have a cut behind them. Loads the model once
and answers requests, so that the evaluation alone is timed. A request is one JSON object a line on
standard input,

    {"dtype": "float32", "cuts": [2, 10], "codec": "affine", "params": {"bits": 8}, "scored_only": false}

and its answer one on standard output: {"seconds": 1.5, "nll": 1234.5, "scored": 4095}. With the codec
null the hooks change nothing. With `scored_only` logits are computed for the scored positions alone,
otherwise for the whole window, as the documentation does.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
import time
from pathlib import Path

import pyarrow.parquet
import torch
import torch.nn.functional as F
import transformers

import torch_codecs

WINDOW = 2048
STRIDE = 512


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True, help="GGUF file")
    parser.add_argument("--text", type=Path, required=True, help="Parquet file with a column `text`")
    parser.add_argument("--tokens", type=int, required=True, help="tokens from the start of the text")
    parser.add_argument("--save-text", type=Path, help="write the joined text here")
    parser.add_argument("--threads", type=int, help="PyTorch's own choice when left out")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    # Answers keep standard output to themselves, whatever a library prints.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**values):
        print(json.dumps(values), file=answers, flush=True)

    text = read(arguments.text)
    if arguments.save_text:
        arguments.save_text.write_text(text, encoding="utf-8", newline="")
    tokens = tokenize(arguments.model, text)[:, : arguments.tokens]
    answer(
        python=platform.python_version(),
        torch=torch.__version__,
        transformers=transformers.__version__,
        threads=torch.get_num_threads(),
        tokens_sha256=hashlib.sha256(tokens.to(torch.int32).numpy().tobytes()).hexdigest(),
    )
    models = {}
    warm = set()
    for line in sys.stdin:
        request = json.loads(line)
        dtype, scored_only = request["dtype"], request["scored_only"]
        if dtype not in models:
            models[dtype] = load(arguments.model, getattr(torch, dtype))
        model = models[dtype]
        if (dtype, scored_only) not in warm:
            evaluate(model, tokens[:, :WINDOW], scored_only)
            warm.add((dtype, scored_only))
        hooks = add_hooks(model, request["cuts"], request["codec"], request["params"])
        begin = time.perf_counter()
        nll, scored = evaluate(model, tokens, scored_only)
        seconds = time.perf_counter() - begin
        for hook in hooks:
            hook.remove()
        answer(seconds=seconds, nll=nll, scored=scored)


def read(parquet):
    return "\n\n".join(pyarrow.parquet.read_table(parquet, columns=["text"])["text"].to_pylist())


def tokenize(model, text):
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.parent, gguf_file=model.name)
    return tokenizer(text, return_tensors="pt").input_ids


def load(model, dtype):
    """Dense weights of the dtype, as strait has them; packed ones would be unpacked in every pass."""
    return transformers.LlamaForCausalLM.from_pretrained(
        model.parent,
        gguf_file=model.name,
        quantization_config=transformers.GgufConfig(dequantize=True),
        dtype=dtype,
        attn_implementation="sdpa",
    ).eval()


def add_hooks(model, cuts, codec, params):
    """Everything behind a cut sees what the codec's decoder gives back."""
    transform = None if codec is None else torch_codecs.make(codec, params)

    def hook(_module, _inputs, output):
        if transform is None:
            return output
        hidden = output[0] if isinstance(output, tuple) else output
        received = transform(hidden.float()).to(hidden.dtype)
        return (received, *output[1:]) if isinstance(output, tuple) else received

    return [model.model.layers[cut].register_forward_hook(hook) for cut in cuts]


@torch.inference_mode()
def evaluate(model, tokens, scored_only):
    """Sum of negative log-likelihoods (nats) over the scored tokens, and their number."""
    nll, scored, previous_end = 0.0, 0, 0
    for begin in range(0, tokens.shape[1], STRIDE):
        end = min(begin + WINDOW, tokens.shape[1])
        inputs = tokens[:, begin:end]
        # The first token of a window has nothing to be predicted from.
        new = min(end - previous_end, inputs.shape[1] - 1)
        if scored_only:
            logits = model(inputs, use_cache=False, logits_to_keep=new + 1).logits[0, :-1]
            nll += F.cross_entropy(logits.float(), inputs[0, -new:], reduction="sum").item()
        else:
            labels = inputs.clone()
            labels[:, :-new] = -100
            nll += model(inputs, labels=labels, use_cache=False).loss.item() * new
        scored += new
        previous_end = end
        if end == tokens.shape[1]:
            break
    return nll, scored


if __name__ == "__main__":
    main()
