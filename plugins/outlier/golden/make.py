"""Golden values of the outlier codecs, from an independent computation, and for columns also from bitsandbytes' rule.

Versions: Python 3.11, numpy 2.x.
Run: python plugins/outlier/golden/make.py

golden.json beside this script: for every case the codec, its parameters, the message f32[rows][channels] (bits), its
payload in hexadecimal and the reconstruction f32 (bits). The inner codec is `cast` to f16, so that the payload ends in
the rest as f16. Columns follow LLM.int8: those with any |x| >= 6.0 stay in 16 bits (int8_vectorwise_quant's outlier
columns in bitsandbytes).
"""

import json
import math
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent
f16 = np.float16


def bits(a):
    return np.ascontiguousarray(a, np.float32).view(np.uint32).reshape(-1).tolist()


def lsb(text):
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8][::-1], 2) for i in range(0, len(text), 8))


def field(value, width):
    return "".join(str(value >> i & 1) for i in range(width))


def subset(chosen):
    """The smallest form of strait_sdk::subset, by trying all of them."""
    n, count = len(chosen), sum(chosen)
    if count in (0, n):
        return bytes([0 if count == 0 else 1])
    listed = count * 2 <= n
    places = [i for i, c in enumerate(chosen) if c == listed]
    gaps = [p - (places[i - 1] + 1 if i else 0) for i, p in enumerate(places)]
    width = n.bit_length()
    head = field(len(places), width)
    add = 0 if listed else 32
    forms = [(2, "".join("1" if c else "0" for c in chosen))]
    forms.append((3 + add, head + "".join(field(p, width) for p in places)))
    rice = [(4 + r + add, head + "".join("0" * (g >> r) + "1" + field(g & ((1 << r) - 1), r) for g in gaps)) for r in range(21)]
    forms.append(min(rice, key=lambda form: len(form[1])))
    form, text = min(forms, key=lambda form: len(form[1]))
    return bytes([form]) + lsb(text)


def half(a):
    return np.ascontiguousarray(a, f16).tobytes()


def columns(x, chosen):
    back = x.astype(f16).astype(np.float32)
    return subset(list(chosen)) + half(x[:, chosen]) + half(x[:, ~chosen]), back


def tokens(x, chosen, named):
    back = x.astype(f16).astype(np.float32)
    return (subset(list(chosen)) if named else b"") + half(x[chosen]) + half(x[~chosen]), back


def values(x, k, group):
    rest, text, kept = x.copy(), "", []
    for row in range(x.shape[0]):
        for start in range(0, x.shape[1], group):
            part = x[row, start : start + group]
            places = sorted(np.argsort(-np.abs(part), kind="stable")[:k].tolist())
            width = max(len(part) - 1, 0).bit_length()
            if k * width <= len(part):
                text += "".join(field(p, width) for p in places)
            elif k < len(part):
                text += "".join("1" if i in places else "0" for i in range(len(part)))
            kept += part[places].tolist()
            rest[row, start + np.array(places)] = 0
    return lsb(text) + half(kept) + half(rest), x.astype(f16).astype(np.float32)


rng = np.random.default_rng(3)
inner = {"codec": "cast", "to": "f16"}
cases = []


def case(codec, params, x, result):
    payload, back = result
    params = {"inner": inner} | params
    cases.append({"codec": codec, "params": params, "rows": x.shape[0], "channels": x.shape[1], "input": bits(x),
                  "payload": payload.hex(), "back": bits(back)})


x = rng.standard_normal((4, 70)).astype(np.float32)
x[1, 7], x[3, 33], x[:, 60] = 9.0, -6.5, 40.0
case("outlier.columns", {}, x, columns(x, (np.abs(x) >= 6.0).any(axis=0)))
largest = np.abs(x).max(axis=0)
share = np.zeros(70, bool)
share[np.argsort(-largest, kind="stable")[:35]] = True
case("outlier.columns", {"fraction": 0.5}, x, columns(x, share))
case("outlier.columns", {"threshold": 100.0}, x, columns(x, np.zeros(70, bool)))
y = rng.standard_normal((9, 10)).astype(np.float32)
y[0], y[5, 3] = y[0] * 50, 80.0
first = np.arange(9) < 2
case("outlier.tokens", {"first": 2}, y, tokens(y, first, False))
peak = np.abs(y).max(axis=1)
case("outlier.tokens", {"first": 2, "ratio": 5.0}, y, tokens(y, first | (peak >= 5 * np.sort(peak)[4]), True))
case("outlier.values", {"k": 3}, x, values(x, 3, 70))
case("outlier.values", {"k": 2, "group": 16}, x, values(x, 2, 16))
case("outlier.values", {"k": 5, "group": 16}, x, values(x, 5, 16))

text = json.dumps(cases, separators=(",", ":")).replace('},{"codec"', '},\n{"codec"')
(HERE / "golden.json").write_text(text + "\n")
