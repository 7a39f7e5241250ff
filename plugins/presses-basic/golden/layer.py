"""A small layer for the golden values of all presses, and the form of the files they are in.

Used by the make.py beside it and by those of the other press plugins. Everything is computed in float64 from
inputs that float32 holds exactly.
"""

import json
import pathlib

import numpy as np
import torch

PINNED = {"torch": "2.15.0", "numpy": "2.4.6"}
assert torch.__version__.split("+")[0] == PINNED["torch"], torch.__version__
assert np.__version__ == PINNED["numpy"], np.__version__
torch.set_num_threads(1)


class Layer:
    """heads attention heads over kv_heads kv heads, tokens entries, rope over the first channels."""

    def __init__(self, seed, heads=4, kv_heads=2, tokens=40, dim=8, rotated=8, factor=1.0):
        g = torch.Generator().manual_seed(seed)
        normal = lambda *shape: torch.randn(*shape, generator=g).double()
        self.heads, self.kv_heads, self.tokens, self.dim = heads, kv_heads, tokens, dim
        self.group = heads // kv_heads
        self.factor = factor
        frequencies = 10000.0 ** (-torch.arange(0, rotated, 2, dtype=torch.float64) / rotated)
        self.frequencies = frequencies.float()
        # The means differ from head to head, as those of real keys and queries do.
        self.q = (normal(heads, tokens, dim) + 0.7 * normal(heads, 1, dim)).float().double()
        plain = normal(kv_heads, tokens, dim) + 0.7 * normal(kv_heads, 1, dim)
        self.k = self.rope(plain, torch.arange(tokens)).float().double()
        self.v = (normal(kv_heads, tokens, dim) * (0.5 + normal(kv_heads, tokens, 1).abs())).float().double()
        self.rotated_q = self.rope(self.q, torch.arange(tokens))
        self.plain_k = self.rope(self.k, torch.arange(tokens), inverse=True)
        self.keys_of_heads = self.k.repeat_interleave(self.group, 0)
        self.values_of_heads = self.v.repeat_interleave(self.group, 0)

    def rope(self, x, positions, inverse=False):
        # The angle is rounded to float32, as models compute it.
        angle = (positions.float()[:, None] * self.frequencies).double()
        half = angle.shape[1]
        cos, sin = angle.cos() * self.factor, angle.sin() * self.factor
        if inverse:
            cos, sin = cos / self.factor**2, -sin / self.factor**2
        a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
        return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), -1)

    def mean_rope(self, x, first, count):
        """The mean over positions is linear, so each pair is turned by the mean sine and cosine."""
        return torch.stack([self.rope(x, torch.tensor([p])) for p in range(first, first + count)]).mean(0)

    def attention(self):
        """Causal attention [heads, tokens, tokens]."""
        logits = self.rotated_q @ self.keys_of_heads.transpose(1, 2) / self.dim**0.5
        mask = torch.ones(self.tokens, self.tokens).tril().bool()
        return logits.masked_fill(~mask, float("-inf")).softmax(-1)

    def group_mean(self, x):
        return x.view(self.kv_heads, self.group, *x.shape[1:]).mean(1)

    def to_json(self, names):
        """The layer with the side information of these names."""
        attention = self.attention()
        side = {
            "queries": [self.tokens, self.q],
            "attention-sum": [0, attention.sum(1)],
            "attention-count": [0, torch.arange(self.tokens, 0, -1.0).expand(self.kv_heads, -1)],
            "output-norm": [0, self.output_norm()],
        }
        return {
            "heads": self.heads,
            "head_dim": self.dim,
            "tokens_seen": self.tokens,
            "inverse_frequencies": numbers(self.frequencies),
            "attention_factor": self.factor,
            "keys": [numbers(k) for k in self.k],
            "values": [numbers(v) for v in self.v],
            "side": [{"name": n, "tokens": side[n][0], "values": numbers(side[n][1])} for n in names],
        }

    def output_norm(self):
        """|W_o v|_1 with a random projection."""
        weights = torch.randn(self.heads, self.dim, 11, generator=torch.Generator().manual_seed(99)).double()
        return (self.values_of_heads @ weights).abs().sum(-1)


def numbers(x):
    """Numbers that float32 holds, in the shortest text that reads back as the same float32."""
    return [float(str(np.float32(value))) for value in np.asarray(x.detach().reshape(-1), dtype=np.float32)]


def case(press, params, scores=None, ratio=0.5, **expected):
    """Expected scores, and anything else that is expected: kept, channels."""
    out = {"press": press, "params": params, "ratio": ratio, **expected}
    if scores is not None:
        out["scores"] = [numbers(row) for row in scores]
    return out


def kept(ranks, budgets):
    """The budgets[h] highest of each head."""
    return [sorted(torch.topk(row, n).indices.tolist()) for row, n in zip(ranks, budgets)]


def write(script, layers):
    """layers: list of (layer as JSON, cases)."""
    path = pathlib.Path(script).parent / "golden.json"
    rows = [{"layer": layer, "cases": cases} for layer, cases in layers]
    text = json.dumps(rows, separators=(",", ":"))
    path.write_text(text.replace('{"press"', '\n{"press"').replace('{"layer"', '\n{"layer"') + "\n")
    print(path, len(text), "bytes")
