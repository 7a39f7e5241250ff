"""Golden values for strait-metrics. Made with Python 3.11.7, numpy 2.4.6, scipy 1.17.1:

    python crates/metrics/tests/golden/make.py > crates/metrics/tests/golden/golden.json

`small` carries its input. The input of `large` is a rule that both sides follow exactly (every
number is a multiple of a power of two), and its reference is exact rational arithmetic up to the
final logarithms and roots, so it shows what is lost over 300,000 tokens whose differences are tiny.

`bootstrap` has two references: the same draws (SplitMix64) with numpy's quantiles, which must agree to
rounding, and scipy.stats.bootstrap with a generator of its own, which must agree statistically.
"""
import json
import math
from fractions import Fraction

import numpy as np
from scipy import stats


def paired(a, b):
    """llama.cpp's formulas as they are printed, in the widest float numpy has."""
    a, b = a.astype(np.longdouble), b.astype(np.longdouble)
    n = len(a)
    cov = np.cov(a, b) / n
    ppl, base = np.exp(a.mean()), np.exp(b.mean())
    u, v = ppl * np.sqrt(cov[0, 0]), base * np.sqrt(cov[1, 1])
    ratio_var = cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]
    ratio = np.exp(a.mean() - b.mean())
    return {
        "n": n,
        "ppl": ppl,
        "ppl_error": u,
        "base_ppl": base,
        "base_ppl_error": v,
        "delta": ppl - base,
        "delta_error": np.sqrt(u * u + v * v - 2 * ppl * base * cov[0, 1]),
        "ln_ratio": a.mean() - b.mean(),
        "ln_ratio_error": np.sqrt(ratio_var),
        "ratio": ratio,
        "ratio_error": ratio * np.sqrt(ratio_var),
        "correlation": np.corrcoef(a, b)[0, 1],
    }


def large():
    """b = h / 2^21 and d = (g - 120) / 2^50 for 24-bit and 8-bit pieces of a multiplicative hash."""
    n = 300_000
    hashes = [(t * 2654435761) % 2**32 for t in range(n)]
    b = [h >> 8 for h in hashes]
    d = [((h * 40503) % 2**32 >> 24) - 120 for h in hashes]
    sb, sd = sum(b), sum(d)
    sbb, sdd, sbd = sum(x * x for x in b), sum(x * x for x in d), sum(x * y for x, y in zip(b, d))
    cov = lambda sxy, sx, sy: (Fraction(sxy, n) - Fraction(sx, n) * Fraction(sy, n)) / (n - 1)
    kb, kd = Fraction(1, 2**21), Fraction(1, 2**50)
    mean_b, mean_d = Fraction(sb, n) * kb, Fraction(sd, n) * kd
    var_b, var_d = cov(sbb, sb, sb) * kb * kb, cov(sdd, sd, sd) * kd * kd
    cov_bd = cov(sbd, sb, sd) * kb * kd
    base = math.exp(mean_b)
    delta = base * math.expm1(mean_d)
    ppl = base + delta
    q, e = Fraction(ppl), Fraction(delta)
    return {
        "n": n,
        "ppl": ppl,
        "base_ppl": base,
        "delta": delta,
        "delta_error": math.sqrt(q * q * var_d + e * e * var_b + 2 * q * e * cov_bd),
        "ln_ratio": float(mean_d),
        "ln_ratio_error": math.sqrt(var_d),
    }


def splitmix(seed):
    mask, state = 2**64 - 1, seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        x = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        yield x ^ (x >> 31)


def bootstrap(rng):
    """ΔPPL of windows of unequal length whose tokens share a window effect."""
    sizes = rng.integers(20, 60, 40)
    windows = []
    for size in sizes:
        b = np.round(rng.gamma(1.5, 2.0, size) * rng.uniform(0.7, 1.3), 3)
        windows.append((np.round(b + rng.normal(rng.normal(0.05, 0.05), 0.2, size), 3), b))
    n, a, b = (np.array([f(w) for w in windows]) for f in (lambda w: len(w[0]), lambda w: w[0].sum(), lambda w: w[1].sum()))
    delta = lambda i: np.exp(a[i].sum(-1) / n[i].sum(-1)) - np.exp(b[i].sum(-1) / n[i].sum(-1))
    seed, resamples, level = 7, 500, 0.9
    bits, count = splitmix(seed), len(windows)
    draws = [[next(bits) * count >> 64 for _ in range(count)] for _ in range(resamples)]
    same = np.quantile([delta(np.array(d)) for d in draws], [(1 - level) / 2, (1 + level) / 2])
    other = stats.bootstrap(
        (np.arange(count),), lambda i, axis: delta(i), n_resamples=20_000, confidence_level=level,
        method="percentile", vectorized=True, rng=np.random.default_rng(1),
    ).confidence_interval
    return {
        "windows": [{"a": a.tolist(), "b": b.tolist()} for a, b in windows],
        "seed": seed, "resamples": resamples, "level": level,
        "same_draws": same, "scipy": [other.low, other.high],
    }


def shift(a, b):
    x = np.exp(-a) - np.exp(-b)
    n, square = len(x), x * x
    rms = np.sqrt(square.mean())
    quantiles = {
        "min": 0, "p001": 0.001, "p01": 0.01, "p05": 0.05, "p10": 0.1, "p25": 0.25, "median": 0.5,
        "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1,
    }
    return {
        "mean": x.mean(), "mean_error": stats.sem(x), "rms": rms, "rms_error": stats.sem(square) / (2 * rms),
        "quantiles": {name: np.quantile(x, q) for name, q in quantiles.items()},
    }


def buckets(rng, kld):
    top = np.round(rng.beta(2, 1, len(kld)), 2).astype(np.float32)
    same = rng.random(len(kld)) < 0.9
    edges = [0, 0.25, 0.5, 0.75, 0.95, 1.01]
    where = np.digitize(top.astype(np.float64), edges) - 1
    parts = [kld[where == i].astype(np.float64) for i in range(5)]
    return {
        "top": top, "kld": kld, "same": same.tolist(),
        "expected": [
            {"n": len(x), "same": same[where == i].sum(), "mean": x.mean(), "error": stats.sem(x),
             "median": np.median(x), "p99": np.quantile(x, 0.99)}
            for i, x in enumerate(parts)
        ],
    }


def main():
    rng = np.random.default_rng(20260101)
    b = np.round(rng.gamma(1.5, 2.0, 257), 4)
    a = np.round(b + rng.normal(0.03, 0.2, 257), 4)
    kld = np.round(rng.gamma(0.4, 0.05, 257), 6).astype(np.float32)
    quantiles = {
        "min": 0, "p01": 0.01, "p05": 0.05, "p10": 0.1, "median": 0.5, "p90": 0.9,
        "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1,
    }
    wide = kld.astype(np.float64)
    logits = np.round(rng.normal(0, 4, (2, 50)), 3).astype(np.float32)
    log_p = [x - np.log(np.exp(x).sum()) for x in logits.astype(np.longdouble)]
    x = np.round(rng.normal(0, 3, 100), 3).astype(np.float32)
    y = np.round(x + rng.normal(0, 0.1, 100), 3).astype(np.float32)
    x64, y64 = x.astype(np.float64), y.astype(np.float64)
    error = x64 - y64
    golden = {
        "small": {"a": a.tolist(), "b": b.tolist(), "paired": paired(a, b)},
        "large": large(),
        "divergence": {
            "values": kld.tolist(),
            "expected": {"mean": wide.mean(), "error": wide.std(ddof=1) / np.sqrt(len(wide))}
            | {name: np.quantile(wide, q) for name, q in quantiles.items()},
        },
        "logits": {
            "reference": logits[0].tolist(),
            "model": logits[1].tolist(),
            "nll": (-log_p[1]),
            "kld": (np.exp(log_p[0]) * (log_p[0] - log_p[1])).sum(),
        },
        "distortion": {
            "x": x.tolist(),
            "y": y.tolist(),
            "mse": (error**2).mean(),
            "sqnr_db": 10 * np.log10((x64**2).sum() / (error**2).sum()),
            "cosine": x64 @ y64 / np.linalg.norm(x64) / np.linalg.norm(y64),
            "relative_error": np.linalg.norm(error) / np.linalg.norm(x64),
            "max_abs": np.abs(error).max(),
        },
    }
    golden["shift"] = shift(a, b)
    golden["buckets"] = buckets(rng, np.round(rng.gamma(0.4, 0.05, 400), 6).astype(np.float32))
    golden["bootstrap"] = bootstrap(rng)
    same = rng.random(313) < 0.93
    golden["agreement"] = {"same": same.sum(), "n": len(same), "share": same.mean(), "error": stats.sem(same)}
    text_bytes = 5 * len(a)
    golden["bits_per_byte"] = {"bytes": text_bytes, "value": (a / np.log(2)).sum() / text_bytes}
    plain = lambda v: v.astype(float).tolist() if isinstance(v, np.ndarray) else float(v)
    lines = [f"{json.dumps(key)}: {json.dumps(part, default=plain)}" for key, part in golden.items()]
    print("{\n" + ",\n".join(lines) + "\n}")


main()
