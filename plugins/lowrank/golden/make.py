"""Golden values of lowrank and pca, from LAPACK and scipy.

Versions: Python 3.11, numpy 2.x, scipy 1.x.
Run: python plugins/lowrank/golden/make.py

golden.json beside this script: a message f32[rows][channels] (bits) of a decaying spectrum with one massive token, and its
best approximation of each rank (numpy.linalg.svd), f32 (bits); for the interpolative decomposition the channels that
scipy.linalg.qr(pivoting=True) takes and the reconstruction from them (scipy.linalg.interpolative's algorithm); for pca
calibration rows f32[samples][channels] (bits) and the projection of the message on the leading eigenvectors of their
covariance (numpy.linalg.eigh), f32 (bits). Everything in float64.
"""

import json
import pathlib

import numpy as np
import scipy.linalg

HERE = pathlib.Path(__file__).parent
ROWS, CHANNELS, SAMPLES = 24, 40, 150


def bits(a):
    return np.ascontiguousarray(a, np.float32).view(np.uint32).reshape(-1).tolist()


rng = np.random.default_rng(8)
mix = rng.standard_normal((CHANNELS, CHANNELS)) * 0.8 ** np.arange(CHANNELS)[:, None]
x = (rng.standard_normal((ROWS, CHANNELS)) @ mix).astype(np.float32)
x[0, 7] = 900.0
calibration = (rng.standard_normal((SAMPLES, CHANNELS)) @ mix + 3).astype(np.float32)

wide = x.astype(np.float64)
u, s, vt = np.linalg.svd(wide, full_matrices=False)
svd = [{"rank": r, "back": bits((u[:, :r] * s[:r]) @ vt[:r])} for r in (1, 3, 8)]

ids = []
for r in (2, 5, 9):
    q, triangle, pivots = scipy.linalg.qr(wide, mode="economic", pivoting=True)
    chosen = pivots[:r]
    z = np.linalg.lstsq(wide[:, chosen], wide, rcond=None)[0]
    ids.append({"rank": r, "chosen": sorted(chosen.tolist()), "back": bits(wide[:, chosen] @ z)})

mean = calibration.astype(np.float64).mean(axis=0)
values, vectors = np.linalg.eigh(np.cov(calibration.astype(np.float64).T, bias=True))
pca = []
for r in (2, 6):
    v = vectors[:, ::-1][:, :r]
    pca.append({"rank": r, "back": bits(mean + (wide - mean) @ v @ v.T)})

golden = {"rows": ROWS, "channels": CHANNELS, "input": bits(x), "calibration": bits(calibration)}
golden |= {"svd": svd, "id": ids, "pca": pca}
(HERE / "golden.json").write_text(json.dumps(golden, separators=(",", ":")).replace('{"rank"', '\n{"rank"') + "\n")
