"""The same jobs as `crates/model/benches/device.rs`, in PyTorch with Transformers.

    python peer.py window --device cuda:0 --dtype bf16 --shape 8b --tokens 2048 --scored 512 --count 10

Llama's modules of Transformers with `sdpa` attention and random weights made on the device. The head
runs on the scored positions alone, as in strait, and the log-softmax in f32.
"""

import argparse
import json
import statistics
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

UNMEASURED = 3
# The table SHAPES of crates/model/benches/device.rs.
SHAPES = {
    "tiny": dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                 intermediate_size=160, vocab_size=512, tie_word_embeddings=False),
    "1b": dict(hidden_size=2048, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
               intermediate_size=8192, vocab_size=128256, tie_word_embeddings=True),
    "8b": dict(hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
               intermediate_size=14336, vocab_size=128256, tie_word_embeddings=False),
    "32b": dict(hidden_size=5120, num_hidden_layers=64, num_attention_heads=40, num_key_value_heads=8,
                intermediate_size=27648, vocab_size=152064, tie_word_embeddings=False),
}
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=["window", "product", "checkpoint"])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--shape", default="1b")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--scored", type=int, default=512)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--output", help="where a checkpoint goes")
    arguments = parser.parse_args()
    # strait's name for the CPU with burn.
    device = torch.device("cpu" if arguments.device.startswith("cpu") else arguments.device)
    job = {"window": window, "product": product, "checkpoint": checkpoint}[arguments.job]
    with torch.inference_mode():
        line = job(arguments, device)
    line.update(job=arguments.job, device=str(device), dtype=arguments.dtype,
                versions={"torch": torch.__version__, "cuda": torch.version.cuda})
    print(json.dumps(line))


def random_model(arguments, device):
    config = LlamaConfig(**SHAPES[arguments.shape], rope_theta=500_000.0, rms_norm_eps=1e-5,
                         max_position_embeddings=max(arguments.tokens, 8192), attn_implementation="sdpa")
    torch.set_default_dtype(DTYPES[arguments.dtype])
    with device:
        model = LlamaForCausalLM(config).eval()
    torch.set_default_dtype(torch.float32)
    synchronize(device)
    return model, config


def checkpoint(arguments, device):
    """A checkpoint of a shape, for programs that read one."""
    model, _ = random_model(arguments, device)
    model.save_pretrained(arguments.output)
    return {"shape": arguments.shape, "output": arguments.output}


def window(arguments, device):
    tokens, scored = arguments.tokens, arguments.scored
    begin = time.perf_counter()
    model, config = random_model(arguments, device)
    load_s = time.perf_counter() - begin
    times = []
    for index in range(UNMEASURED + arguments.count):
        ids = [(i * 7919 + index * 104_729) % config.vocab_size for i in range(tokens)]
        begin = time.perf_counter()
        ids = torch.tensor([ids], device=device)
        hidden = model.model(ids, use_cache=False).last_hidden_state[:, tokens - scored - 1 : tokens - 1]
        logits = model.lm_head(hidden).float()
        nll = torch.nn.functional.cross_entropy(logits[0], ids[0, tokens - scored :], reduction="none")
        assert torch.isfinite(nll.cpu()).all()
        times.append(time.perf_counter() - begin)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"shape": arguments.shape, "tokens": tokens, "scored": scored, "parameters": parameters,
            "flops": flops(config, tokens, scored), "load_s": load_s, "first_s": times[0],
            "window_s": times[UNMEASURED:]}


def flops(config, tokens, scored):
    hidden = config.hidden_size
    kv = config.num_key_value_heads * (hidden // config.num_attention_heads)
    layer = 2 * hidden * (hidden + kv) + 3 * hidden * config.intermediate_size
    attention = tokens * (tokens + 1) * hidden
    weights = tokens * layer * config.num_hidden_layers + scored * hidden * config.vocab_size
    return 2 * (weights + attention * config.num_hidden_layers)


def product(arguments, device):
    size, dtype = arguments.size, DTYPES[arguments.dtype]
    make = lambda: (torch.randn(size, size, device=device) / size**0.5).to(dtype)
    x, factor = make(), make()
    times = []
    for run in range(6):
        begin = time.perf_counter()
        for _ in range(arguments.count):
            x = x @ factor
        synchronize(device)
        if run:
            times.append((time.perf_counter() - begin) / arguments.count)
    return {"size": size, "flops": 2 * size**3, "product_s": times, "median_s": statistics.median(times)}


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
