"""Golden values of sparse, from an independent computation of the stated formulas.

Versions: Python 3.11, torch 2.15.0, numpy (any).
Run: python plugins/sparse/golden/make.py

golden.json beside this script: for every case the parameters, the message f32[rows][channels] (bits) of one
sequence, and the payloads and reconstructions of its two messages (the first `split` rows, then the others).
Top-k comes from torch.topk; sums are in float32, as the codec states them.
"""

import json
import math
import pathlib

import numpy as np
import torch

PINNED = {"torch": "2.15.0"}
assert torch.__version__.split("+")[0] == PINNED["torch"], torch.__version__

HERE = pathlib.Path(__file__).parent
ROWS, SPLIT, CHANNELS = 5, 2, 100
MASK = (1 << 64) - 1


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def random_set(seed, token, k):
    state, chosen = mix(seed ^ mix(token)), set()
    for last in range(CHANNELS - k, CHANNELS):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        drawn = mix(state) * (last + 1) >> 64
        chosen.add(last if drawn in chosen else drawn)
    return sorted(chosen)


def lsb(text):
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8][::-1], 2) for i in range(0, len(text), 8))


def field(value, width):
    return "".join(str(value >> i & 1) for i in range(width))


def indices(kind, sets):
    bitmap = "".join("".join("1" if c in s else "0" for c in range(CHANNELS)) for s in sets)
    width = math.ceil(math.log2(CHANNELS))
    fixed = "".join(field(c, width) for s in sets for c in s)
    gaps = [c - (s[i - 1] + 1 if i else 0) for s in sets for i, c in enumerate(s)]
    rice = [(2 + r, "".join("0" * (g >> r) + "1" + field(g & ((1 << r) - 1), r) for g in gaps)) for r in range(21)]
    rice = min(rice, key=lambda pair: (len(pair[1]), pair[0]))
    options = {"bitmap": (0, bitmap), "fixed": (1, fixed), "delta": rice}
    if kind == "auto":
        flag, text = min((options[k] for k in ("bitmap", "fixed", "delta")), key=lambda pair: len(pair[1]))
    else:
        flag, text = options[kind]
    return bytes([flag]) + lsb(text)


def store(values, p):
    if p["values"] != "int":
        half = torch.tensor(values).to({"f16": torch.float16, "bf16": torch.bfloat16}[p["values"]])
        return half.view(torch.uint8).numpy().tobytes(), half.float().numpy()
    most = np.float32(2 ** (p["bits"] - 1) - 1)
    scale = np.abs(values).max() / most
    code = np.clip(np.round(values / scale), -most, most)
    packed = lsb("".join(field(int(c + most), p["bits"]) for c in code))
    return np.float32(scale).tobytes() + packed, (code * scale).astype(np.float32)


def run(x, p):
    memory, messages = np.zeros(CHANNELS, np.float32), []
    k = p.get("k") or max(1, round(p["fraction"] * CHANNELS))
    for first, last in ((0, SPLIT), (SPLIT, ROWS)):
        sets, stored, back = [], b"", []
        for token in range(first, last):
            y = {"none": x[token], "error": x[token] + memory, "difference": x[token] - memory}[p["feedback"]]
            if p["select"] == "top":
                chosen = sorted(torch.topk(torch.tensor(y).abs(), k).indices.tolist())
            else:
                chosen = random_set(p["seed"], token, k)
            data, kept = store(y[chosen], p)
            stored += data
            sets.append(chosen)
            out = np.zeros(CHANNELS, np.float32)
            out[chosen] = kept
            if p["feedback"] == "error":
                memory = y - out
            if p["feedback"] == "difference":
                memory = out = memory + out
            back.append(out)
        head = indices(p["index"], sets) if p["select"] == "top" else b""
        messages.append({"payload": (head + stored).hex(), "back": bits_of(np.stack(back))})
    return messages


def bits_of(values):
    return np.asarray(values, np.float32).view(np.uint32).flatten().tolist()


torch.manual_seed(40)
x = (torch.randn(ROWS, CHANNELS) * torch.linspace(0.2, 3, CHANNELS)).numpy()
base = {"select": "top", "fraction": 0.1, "values": "f16", "bits": 8, "index": "auto", "feedback": "none", "seed": 0}
changes = [
    {},
    {"fraction": 0.5, "values": "bf16"},
    {"fraction": 0.01, "index": "fixed"},
    {"k": 7, "index": "delta", "values": "int", "bits": 5},
    {"k": 20, "index": "bitmap", "values": "int", "bits": 8},
    {"select": "random", "seed": 12345, "fraction": 0.2},
    {"feedback": "error", "values": "int", "bits": 4},
    {"feedback": "difference"},
    {"feedback": "difference", "select": "random", "seed": 7, "values": "bf16"},
]
cases = [{"params": base | c, "messages": run(x, base | c)} for c in changes]
golden = {"rows": ROWS, "split": SPLIT, "channels": CHANNELS, "input": bits_of(x), "cases": cases}
text = json.dumps(golden, separators=(",", ":"))
(HERE / "golden.json").write_text(text + "\n")
print(len(cases), "cases", len(text), "bytes")
