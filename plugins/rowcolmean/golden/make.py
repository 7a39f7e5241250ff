"""Golden values of rowcolmean, from an independent computation with torch.

Versions: Python 3.11, torch 2.15.0, numpy (any).
Run: python plugins/rowcolmean/golden/make.py

golden.json beside this script: for every case the parameters, the message f32[rows][channels] (bits), the
stored means of rows and columns as f32 bits, the orders, and the reconstruction (bits). Values are multiples
of 1/64 and sums of them are exact, so that a mean does not depend on the order of its terms.
"""

import json
import pathlib

import numpy as np
import torch

PINNED = {"torch": "2.15.0"}
assert torch.__version__.split("+")[0] == PINNED["torch"], torch.__version__

HERE = pathlib.Path(__file__).parent
ROWS, CHANNELS = 7, 22


def run(x, p):
    tokens, channels = torch.arange(ROWS), torch.arange(CHANNELS)
    if p["permute_tokens"]:
        tokens = torch.argsort(x.double().mean(1), stable=True)
    if p["permute_channels"]:
        channels = torch.argsort(x.double().mean(0), stable=True)
    t, f = p["token_block"] or ROWS, p["channel_block"] or CHANNELS
    store = {"f16": torch.float16, "bf16": torch.bfloat16}[p["store"]]
    padded = torch.zeros(-(-ROWS // t) * t, -(-CHANNELS // f) * f)
    padded[:ROWS, :CHANNELS] = x[tokens][:, channels]
    # [blocks of tokens, tokens, blocks of channels, channels]
    blocks = padded.reshape(-1, t, padded.shape[1] // f, f)
    rows = blocks.mean(3).to(store).float()
    columns = blocks.mean(1).to(store).float()
    grand = rows.mean(1)
    back = rows[:, :, :, None] + columns[:, None] - grand[:, None, :, None]
    back = back.reshape(padded.shape)[:ROWS, :CHANNELS]
    out = torch.empty_like(x)
    out[tokens[:, None], channels[None, :]] = back
    return {
        "params": p,
        "tokens": tokens.tolist(),
        "channels": channels.tolist(),
        "rows": bits_of(rows.reshape(-1, rows.shape[2])[:ROWS]),
        "columns": bits_of(columns.reshape(columns.shape[0], -1)[:, :CHANNELS]),
        "back": bits_of(out),
    }


def bits_of(values):
    return np.ascontiguousarray(values.numpy(), np.float32).view(np.uint32).flatten().tolist()


torch.manual_seed(50)
x = torch.round(torch.randn(ROWS, CHANNELS) * 64 + torch.linspace(-90, 90, CHANNELS)) / 64
cases = []
for t, f, pt, pc, store in (
    (2, 2, False, False, "f16"),
    (2, 8, False, False, "bf16"),
    (4, 4, True, True, "f16"),
    (8, 16, False, True, "f16"),
    (0, 2, True, False, "f16"),
    (2, 0, False, False, "bf16"),
):
    p = {"token_block": t, "channel_block": f, "permute_tokens": pt, "permute_channels": pc, "store": store}
    cases.append(run(x, p))
text = json.dumps({"rows": ROWS, "channels": CHANNELS, "input": bits_of(x), "cases": cases}, separators=(",", ":"))
(HERE / "golden.json").write_text(text + "\n")
print(len(cases), "cases", len(text), "bytes")
