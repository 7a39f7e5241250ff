"""Golden values of hadamard and exl3, from dense matrices and the published formulas.

Versions: Python 3.11, numpy 2.x, scipy 1.x (scipy.linalg.hadamard is Sylvester's matrix).
Run: python plugins/hadamard/golden/make.py

golden.json beside this script. `rotations`: for every case the parameters, the message f32[2][channels] (bits) and the
rotated message f32[2][channels] (bits), computed in float64 with the whole matrix. `exl3`: for every case the
parameters, the message f32[2][64] (bits), codes u8[2][64], scales f16[2][2] (bits) and the reconstruction f32[2][64]
(bits) of exllamav3's kernels (commits 80fd9ee and 7f90512 of q_cache_kernels.cuh and lmq.cuh), step by step in float32.
"""

import json
import pathlib

import numpy as np
from scipy.linalg import hadamard

HERE = pathlib.Path(__file__).parent
MASK = (1 << 64) - 1
f32 = np.float32


def signs(seed, count):
    state, out = seed, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
        out.append(-1.0 if z >> 63 else 1.0)
    return np.array(out)


def legendre(a, q):
    a %= q
    return 0 if a == 0 else (1 if pow(a, (q - 1) // 2, q) == 1 else -1)


def paley(order):
    if order == 1:
        return np.ones((1, 1))
    if order in (12, 20, 44, 60):
        q = order - 1
        s = np.zeros((order, order))
        s[0, 1:] = 1
        s[1:, 0] = -1
        s[1:, 1:] = [[legendre(j - i, q) for j in range(q)] for i in range(q)]
        h = s + np.eye(order)
    else:
        q = order // 2 - 1
        c = np.zeros((q + 1, q + 1))
        c[0, 1:] = c[1:, 0] = 1
        c[1:, 1:] = [[legendre(i - j, q) for j in range(q)] for i in range(q)]
        h = np.kron(c, [[1, 1], [1, -1]]) + np.kron(np.eye(q + 1), [[1, -1], [-1, -1]])
    assert (h @ h.T == order * np.eye(order)).all()
    return h


def bits(a):
    return np.asarray(a, f32).view(np.uint32).reshape(-1).tolist()


rng = np.random.default_rng(5)
rotations = []
# Channels, the pieces as (order of Paley's matrix, order of Sylvester's), block, seed.
for channels, pieces, block, seed in [
    (64, [(1, 64)], 0, 0),
    (48, [(12, 4)], 0, 3),
    (160, [(20, 8)], 0, 1),
    (448, [(28, 16)], 0, 2),
    (576, [(36, 16)], 0, 4),
    (60, [(60, 1)], 0, 0),
    (100, [(1, 32)] * 3 + [(1, 4)], 32, 9),
    (37, [(36, 1), (1, 1)], 0, 6),
    (56, [(28, 1), (28, 1)], 28, None),
]:
    x = rng.standard_normal((2, channels)).astype(f32)
    y = x.astype(np.float64) * (1 if seed is None else signs(seed, channels))
    out, at = [], 0
    for k, m in pieces:
        h = np.kron(paley(k), hadamard(m)) / np.sqrt(k * m)
        out.append(y[:, at : at + k * m] @ h.T)
        at += k * m
    assert at == channels
    params = {"inner": {"codec": "cast", "to": "f32"}, "block": block, "signs": seed is not None, "seed": seed or 0}
    rotations.append({"params": params, "channels": channels, "input": bits(x), "rotated": bits(np.hstack(out))})


def fma(a, b, c):
    # The product of two float32 is exact in float64; the sum is rounded once more, which no case here shows.
    return (np.float64(a) * np.float64(b) + np.float64(c)).astype(f32)


def exl3(x, n, a):
    h = hadamard(32).astype(f32)
    m = f32(1 << (n - 1))
    r32 = f32(0.17677669529663688110)
    v = np.stack([butterflies(group) for group in x.reshape(-1, 32)]) * r32
    s = np.abs(v).max(axis=1).astype(f32) + f32(1e-10)
    t = v * (f32(1) / s)[:, None]
    if a is not None:
        a = f32(a)
        inv_b = f32(1) / (f32(1) - a)
        p3 = a * inv_b * f32(1 / 3)
        half = t * inv_b * f32(0.5)
        root = np.sqrt(fma(half, half, p3 * p3 * p3))
        t = np.cbrt(half + root) + np.cbrt(half - root)
    q = np.clip(np.floor(fma(t, m, m)), 0, 2 * m - 1).astype(np.uint8)
    s16 = s.astype(np.float16)
    scale = s16.astype(f32) * r32
    if a is not None:
        t = fma(f32(2) * q + f32(1), f32(0.5) / m, f32(-1))
        w = t * fma(t * t, f32(1) - a, a) * scale[:, None]
    else:
        w = (q.astype(f32) - (m - f32(0.5))) * (scale * (f32(1) / m))[:, None]
    back = np.stack([butterflies(group) for group in w])
    assert np.allclose(back, w @ h.T, atol=1e-4)
    return q, s16, back


def butterflies(group):
    group, half = group.astype(f32).copy(), 1
    while half < 32:
        pairs = group.reshape(-1, 2, half)
        group = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
        half *= 2
    return group


cases = []
for n, a in [(2, None), (3, None), (4, None), (5, None), (8, None), (3, 0.65), (4, 0.65), (6, 0.65)]:
    x = rng.standard_normal((2, 64)).astype(f32)
    x[:, 5] *= 20
    q, s, back = exl3(x, n, a)
    params = {"bits": n} if a is None else {"bits": n, "compander": a}
    cases.append(
        {
            "params": params,
            "input": bits(x),
            "codes": q.reshape(-1).tolist(),
            "scales": s.view(np.uint16).reshape(-1).tolist(),
            "back": bits(back),
        }
    )

text = json.dumps({"rotations": rotations, "exl3": cases}, separators=(",", ":"))
(HERE / "golden.json").write_text(text.replace('},{"params"', '},\n{"params"') + "\n")
