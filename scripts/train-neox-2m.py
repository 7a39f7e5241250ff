#!/usr/bin/env python3
"""A tiny trained GPT-NeoX, Pythia's architecture: assets/models/neox-2m.

usage: train-neox-2m.py TEST.parquet TOKENIZER_FOLDER OUT [--steps N]

The text is the WikiText-2 test split from its 40,000th token on: what comes before is held out to be scored. Every window of training
begins with token 0, and the committed tokenizer.json puts it there (a post-processor that the given one does not have). Training depends on
the CPU's rounding: another machine makes another model of the same kind.

Versions of the committed model: torch 2.15.0, transformers 5.23.0, pyarrow 26.0.1
"""
import argparse
import math
import os
import shutil
import time

import pyarrow.parquet
import torch
from transformers import AutoTokenizer, GPTNeoXConfig, GPTNeoXForCausalLM

HELD_OUT = 40_000
LENGTH, BATCH = 256, 16


def first(tokens):
    """The window behind the token that begins every text."""
    return torch.cat([torch.zeros(1, dtype=tokens.dtype), tokens])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("text")
    parser.add_argument("tokenizer")
    parser.add_argument("out")
    parser.add_argument("--steps", type=int, default=1200)
    args = parser.parse_args()
    torch.manual_seed(1)

    rows = pyarrow.parquet.read_table(args.text)["text"].to_pylist()
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    tokens = torch.tensor(tokenizer("\n\n".join(rows))["input_ids"])
    held, train = tokens[: HELD_OUT // 4], tokens[HELD_OUT:]

    config = GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=6,
        num_attention_heads=4,
        intermediate_size=512,
        hidden_act="gelu",
        rotary_pct=0.25,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        use_parallel_residual=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPTNeoXForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.95), weight_decay=0.0)
    begun = time.time()
    for step in range(args.steps):
        share = step / args.steps
        rate = 4e-3 * min(1, (step + 1) / 50) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        starts = torch.randint(0, len(train) - LENGTH, (BATCH,))
        batch = torch.stack([first(train[start : start + LENGTH - 1]) for start in starts.tolist()])
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 49:
            model.eval()
            with torch.no_grad():
                windows = held[: len(held) // LENGTH * LENGTH].view(-1, LENGTH)
                losses = [model(first(w)[None], labels=first(w)[None]).loss.item() for w in windows]
            model.train()
            print(f"step {step + 1}: loss {loss.item():.3f}, held out {math.exp(sum(losses) / len(losses)):.1f}, {time.time() - begun:.0f} s", flush=True)
    model.half().save_pretrained(args.out)
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(os.path.join(args.tokenizer, name), args.out)


if __name__ == "__main__":
    main()
