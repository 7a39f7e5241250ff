"""Golden payloads of lossless, from an independent computation of the stated formulas.

Versions: Python 3.11, torch 2.15.0, zstandard 0.25.0.
Run: python plugins/lossless/golden/make.py

golden.json beside this script: for every case the parameters, dtype, shape, the message and the payload
(hex). `rans` is computed with Python's unbounded integers straight from the definition; the payloads of
`zstd` are frames of the zstandard package, which a decoder must read though our encoder may write others.
"""

import json
import math
import pathlib

import torch
import zstandard

PINNED = {"torch": "2.15.0", "zstandard": "0.25.0"}
assert torch.__version__.split("+")[0] == PINNED["torch"], torch.__version__
assert zstandard.__version__ == PINNED["zstandard"], zstandard.__version__

HERE = pathlib.Path(__file__).parent


class Bits:
    def __init__(self):
        self.text = ""

    def put(self, value, width):
        self.text += "".join(str(value >> i & 1) for i in range(width))

    def bytes(self):
        text = self.text + "0" * (-len(self.text) % 8)
        return bytes(int(text[i : i + 8][::-1], 2) for i in range(0, len(text), 8))


def frequencies(plane):
    counts = [plane.count(bytes([s])) for s in range(256)]
    total = len(plane)
    sizes = [max(1, (c * 4096 + total // 2) // total) if c else 0 for c in counts]
    order = sorted((s for s in range(256) if sizes[s]), key=lambda s: -sizes[s])
    i = 0
    while sum(sizes) != 4096:
        s = order[i % len(order)]
        if sum(sizes) < 4096:
            sizes[s] += 1
        elif sizes[s] > 1:
            sizes[s] -= 1
        i += 1
    return counts, sizes


def rans(plane):
    counts, sizes = frequencies(plane)
    if sum(c * (12 - math.log2(f)) for c, f in zip(counts, sizes) if c) / 8 + 16 >= len(plane):
        return None
    starts = [sum(sizes[:s]) for s in range(256)]
    table = Bits()
    used = [s for s in range(256) if sizes[s]]
    table.put(used[0], 8)
    table.put(used[-1], 8)
    for s in range(used[0], used[-1] + 1):
        n = (sizes[s] + 1).bit_length() - 1
        table.put(1 << n, n + 1)
        table.put(sizes[s] + 1 - (1 << n), n)
    states, words = [1 << 16] * 4, []
    for i in reversed(range(len(plane))):
        f, c, x = sizes[plane[i]], starts[plane[i]], states[i % 4]
        # The next state must stay below 2^32.
        while (x // f) * 4096 + c + x % f >= 1 << 32:
            words.append(x & 0xFFFF)
            x >>= 16
        states[i % 4] = (x // f) * 4096 + c + x % f
    coded = b"".join(x.to_bytes(4, "little") for x in states)
    return table.bytes() + coded + b"".join(w.to_bytes(2, "little") for w in reversed(words))


def zstd(plane):
    return zstandard.ZstdCompressor(level=19).compress(plane)


def planes(data, size, split):
    width = 8 * size
    words = [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]
    if split == "exponent":
        text = [format(w, f"0{width}b") for w in words]
        words = [int(t[1:9] + t[0] + t[9:], 2) for t in text]
    return [bytes(w >> (width - 8 - 8 * p) & 255 for w in words) for p in range(size)]


def leb128(n):
    out = []
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + [n])


def payload(data, size, method, split):
    out = b"\x01"
    for plane in planes(data, size, split):
        coded = {"rans": rans, "zstd": zstd}[method](plane)
        stored = coded if coded is not None and len(coded) < len(plane) else plane
        out += leb128(len(stored)) + stored
    return out if len(out) <= len(data) else b"\x00" + data


torch.manual_seed(30)
cases = []
for name, size, rows, channels in (("bf16", 2, 3, 300), ("f16", 2, 5, 200), ("f32", 4, 2, 256), ("bf16", 2, 1, 9)):
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[name]
    x = torch.randn(rows, channels) * torch.linspace(0.1, 2, channels)
    x.view(-1)[3] = math.nan
    x.view(-1)[5] = -0.0
    x.view(-1)[7] = math.inf
    data = x.to(dtype).contiguous().view(torch.uint8).numpy().tobytes()
    for method in ("rans", "zstd"):
        for split in ("exponent", "bytes"):
            cases.append(
                {
                    "params": {"method": method, "split": split},
                    "dtype": name,
                    "rows": rows,
                    "channels": channels,
                    "message": data.hex(),
                    "payload": payload(data, size, method, split).hex(),
                }
            )
text = json.dumps(cases, separators=(",", ":"))
(HERE / "golden.json").write_text(text + "\n")
print(len(cases), "cases", len(text), "bytes")
