"""Golden values of delta, from an independent computation of the stated formulas in float32.

Versions: Python 3.11, numpy 2.x.
Run: python plugins/delta/golden/make.py

golden.json beside this script: for every case the parameters, the message f32[rows][channels] (bits) of one sequence,
whose first `split` rows are one message and the rest another, the two payloads in hexadecimal and the reconstruction
f32 (bits). The inner codec is `cast` to f16, so that a payload is the differences as f16.
"""

import json
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent
ROWS, SPLIT, CHANNELS = 7, 4, 12
f32 = np.float32


def bits(a):
    return np.ascontiguousarray(a, f32).view(np.uint32).reshape(-1).tolist()


def run(x, predict, decay, rate, chunk):
    a, rho = f32(decay), f32(rate)
    seen, payloads = [], []
    n = d = np.zeros(CHANNELS, f32)
    mean = None
    for message in (x[:SPLIT], x[SPLIT:]):
        payload = b""
        for start in range(0, len(message), chunk):
            if not seen:
                p = np.zeros(CHANNELS, f32)
            elif predict == "previous" or (predict == "linear" and len(seen) == 1):
                p = seen[-1]
            elif predict == "linear":
                p = f32(2) * seen[-1] - seen[-2]
            elif predict == "average":
                p = mean
            else:
                c = np.clip(n / np.where(d > 0, d, f32(1)), f32(-1), f32(1))
                p = np.where(d > 0, c * seen[-1], f32(0))
            p = a * p
            for row in message[start : start + chunk]:
                stored = (row - p).astype(np.float16)
                payload += stored.tobytes()
                back = stored.astype(f32) + p
                if predict == "adaptive":
                    last = seen[-1] if seen else np.zeros(CHANNELS, f32)
                    n = (f32(1) - rho) * n + back * last
                    d = (f32(1) - rho) * d + last * last
                mean = back if mean is None else mean + rho * (back - mean)
                seen.append(back)
        payloads.append(payload.hex())
    return payloads, np.stack(seen)


rng = np.random.default_rng(1)
x = (rng.standard_normal(CHANNELS) * 3 + rng.standard_normal((ROWS, CHANNELS))).astype(f32)
cases = []
for predict, decay, rate, chunk in [
    ("previous", 1.0, 0.05, 1),
    ("previous", 0.5, 0.05, 3),
    ("linear", 0.75, 0.05, 1),
    ("average", 1.0, 0.25, 1),
    ("average", 1.0, 0.25, 2),
    ("adaptive", 1.0, 0.125, 1),
]:
    payloads, back = run(x, predict, decay, rate, chunk)
    params = {"predict": predict, "decay": decay, "rate": rate, "chunk": chunk}
    params["inner"] = {"codec": "cast", "to": "f16"}
    cases.append({"params": params, "payloads": payloads, "back": bits(back)})
golden = {"rows": ROWS, "split": SPLIT, "channels": CHANNELS, "input": bits(x), "cases": cases}
text = json.dumps(golden, separators=(",", ":")).replace('{"params"', '\n{"params"')
(HERE / "golden.json").write_text(text + "\n")
