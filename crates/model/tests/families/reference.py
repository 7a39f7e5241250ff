"""One decoder in float64, driven by a description of the architecture.

An `Architecture` says what a model is (families.py makes it from a config.json);
`tensors(architecture)` lists every tensor of such a checkpoint with its shape;
`forward(architecture, weights, tokens)` computes the states after every layer and the logits of one
sequence. Nothing here knows a family by name.
"""

import math
from dataclasses import dataclass, field

import numpy as np


# ---------------------------------------------------------------------------------------------
# The description


@dataclass
class Rope:
    frequencies: np.ndarray  # f32 [rotated / 2]; channels i and i + rotated / 2 are a pair
    attention_factor: float = 1.0  # multiplies cos and sin
    adjacent: bool = False  # channels 2 i and 2 i + 1 are a pair instead


@dataclass
class Experts:
    count: int
    chosen: int  # experts per token
    inner: int
    normalise: bool  # divide the chosen scores by their sum
    scoring: str = "softmax"  # or "sigmoid"
    correction: bool = False  # a stored vector is added to the scores, for the choice only
    groups: tuple | None = None  # (groups, groups chosen, highest scores that rank a group)
    scale: float = 1.0  # of the shares
    shared: int = 0  # channels of the expert that every token reads
    shared_gate: bool = False  # whose sigmoid weighs it


@dataclass
class Latent:
    """Multi-head latent attention: keys and values are made of few channels."""

    query_rank: int | None  # None: queries are projected directly
    rank: int
    rotated: int  # the last channels of a query; those of a key are the same for all heads
    eps: float = 1e-6


@dataclass
class Architecture:
    vocab: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int  # of a dense MLP
    activation: str
    norm: str  # "rms", "rms+1" (weight + 1), "layer" (mean removed, bias) or "layer+1"
    eps: float
    tied: bool  # the head is the embedding
    names: dict  # role to tensor name
    attention_scale: float
    rope: list  # per layer: Rope or None
    window: list  # per layer: keys that a query sees, itself included, or None
    experts: list  # per layer: Experts or None
    parallel: bool = False  # attention and MLP both read the layer's input
    gated: bool = True  # act(gate(x)) * up(x), else act(up(x))
    qk_norm: str | None = None  # "head": over head_dim; "all": over all heads at once
    biases: frozenset = frozenset()  # of "query", "key", "value", "output", "mlp"
    embedding_scale: float = 1.0
    positions: int = 0  # rows of a learned position table
    qkv_layout: str = "apart"  # "stacked": rows q, k, v; "per head": q, k, v of head 0, ...
    gate_up_layout: str = "apart"  # "stacked": rows gate, up
    transposed: bool = False  # weights are [in, out]
    logit_cap: float | None = None  # cap * tanh(logits / cap)
    score_cap: float | None = None  # the same of scores, after their scale
    block_scale: float = 1.0  # of what attention and MLP add to the stream
    logit_divisor: float = 1.0
    skipped_positions: int = 0  # rows of the position table before the first token's
    head_bias: bool = False
    latent: Latent | None = None
    value_dim: int | None = None  # where it is not head_dim
    layers: int = field(init=False)

    def __post_init__(self):
        self.layers = len(self.rope)
        self.value_dim = self.value_dim or self.head_dim


# ---------------------------------------------------------------------------------------------
# The computation


def forward(a, weights, tokens):
    """States {"embedding", "layer.N", "final_norm", "logits"} of one sequence."""
    w = Reader(a, weights)
    x = w.embedding()[tokens] * a.embedding_scale
    if a.positions:
        x = x + w.tensor("positions")[a.skipped_positions :][: len(tokens)]
    states = {"embedding": x}
    for n in range(a.layers):
        mixed = attention(a, w, n, norm(a, w, n, "attention_in", x))
        mixed = norm(a, w, n, "attention_out", mixed) * a.block_scale
        y = x if a.parallel else x + mixed
        thought = mlp(a, w, n, norm(a, w, n, "mlp_in", y), states)
        x = x + mixed + norm(a, w, n, "mlp_out", thought) * a.block_scale
        states[f"layer.{n}"] = x
    x = states["final_norm"] = norm(a, w, None, "final_norm", x)
    logits = x @ (w.embedding() if a.tied else w.tensor("head")).T
    if a.head_bias:
        logits = logits + w.tensor("head", part="bias")
    logits = logits / a.logit_divisor
    cap = a.logit_cap
    states["logits"] = logits if cap is None else cap * np.tanh(logits / cap)
    return states


def attention(a, w, n, x):
    if a.latent is not None:
        return latent_attention(a, w, n, x)
    q, k, v = w.query_key_value(n, x)  # [T, heads * head_dim], [T, kv_heads * head_dim] twice
    if a.qk_norm == "all":
        q, k = norm(a, w, n, "query_norm", q), norm(a, w, n, "key_norm", k)
    q, k, v = (y.reshape(len(x), -1, a.head_dim).swapaxes(0, 1) for y in (q, k, v))
    if a.qk_norm == "head":
        q, k = norm(a, w, n, "query_norm", q), norm(a, w, n, "key_norm", k)
    if a.rope[n] is not None:
        q, k = rotate(a.rope[n], q), rotate(a.rope[n], k)
    group = a.heads // a.kv_heads  # query head h reads key head h // group
    k, v = (np.repeat(y, group, axis=0) for y in (k, v))
    return attend(a, w, n, q, k, v)


def latent_attention(a, w, n, x):
    it, own = a.latent, a.head_dim - a.latent.rotated

    def norm(role, y):
        return y / np.sqrt((y * y).mean(axis=-1, keepdims=True) + it.eps) * w.tensor(role, n)

    def heads(y):
        return y.reshape(len(x), a.heads, -1).swapaxes(0, 1)

    if it.query_rank is None:
        q = w.linear(n, "query", x)
    else:
        q = w.linear(n, "query_up", norm("query_latent_norm", w.linear(n, "query_down", x)))
    latent, turned = np.split(w.linear(n, "latent_down", x), [it.rank], axis=-1)
    q, up = heads(q), heads(w.linear(n, "latent_up", norm("latent_norm", latent)))
    k, v = up[..., :own], up[..., own:]
    turned = np.repeat(rotate(a.rope[n], turned[None]), a.heads, axis=0)
    q = np.concatenate([q[..., :own], rotate(a.rope[n], q[..., own:])], axis=-1)
    return attend(a, w, n, q, np.concatenate([k, turned], axis=-1), v)


def attend(a, w, n, q, k, v):
    """Output of the attention of q over k and v, [heads, T, channels]."""
    scores = q @ k.swapaxes(1, 2) * a.attention_scale
    if a.score_cap is not None:
        scores = a.score_cap * np.tanh(scores / a.score_cap)
    i, j = np.indices(scores.shape[1:])
    seen = (j <= i) & (j > i - (a.window[n] or math.inf))
    out = softmax(np.where(seen, scores, -np.inf)) @ v
    return w.linear(n, "output", out.swapaxes(0, 1).reshape(q.shape[1], -1))


def rotate(rope, x):
    """Rotates pairs (i, i + half) of the first 2 * half channels; the others pass."""
    if rope is None:
        return x
    half = len(rope.frequencies)
    angle = np.arange(x.shape[1], dtype=np.float32)[:, None] * rope.frequencies  # f32, as a product
    cos, sin = (f(angle.astype(np.float64)) * rope.attention_factor for f in (np.cos, np.sin))
    low, high, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    if rope.adjacent:
        low, high = x[..., 0 : 2 * half : 2], x[..., 1 : 2 * half : 2]
        pairs = np.stack([low * cos - high * sin, high * cos + low * sin], axis=-1)
        return np.concatenate([pairs.reshape(*x.shape[:-1], 2 * half), rest], axis=-1)
    return np.concatenate([low * cos - high * sin, high * cos + low * sin, rest], axis=-1)


def mlp(a, w, n, x, states):
    if a.experts[n] is None:
        return dense(a, w, n, x, "")
    e = a.experts[n]
    score, rank = ranks(e, x @ w.tensor("router", n).T, w.correction(n) if e.correction else 0.0)
    chosen = np.argsort(-rank, axis=-1, kind="stable")[:, : e.chosen]
    share = np.take_along_axis(score, chosen, axis=-1)
    if e.normalise:
        share = share / share.sum(axis=-1, keepdims=True)
    share = share * e.scale
    states[f"layer.{n}.experts"] = chosen
    out = np.zeros_like(x)
    for expert in range(e.count):
        rows, rank = np.nonzero(chosen == expert)
        out[rows] += share[rows, rank, None] * dense(a, w, n, x[rows], "expert_", expert)
    if e.shared:
        gate = 1.0
        if e.shared_gate:
            gate = 1 / (1 + np.exp(-x @ w.tensor("shared_gate", n).T))
        out = out + gate * dense(a, w, n, x, "common_")
    return out


def ranks(e, logits, correction):
    """The experts' scores, and what they are chosen by."""
    score = softmax(logits) if e.scoring == "softmax" else 1 / (1 + np.exp(-logits))
    rank = score + correction
    if e.groups is not None:
        of_groups = group_ranks(e, rank)
        best = np.argsort(-of_groups, axis=-1, kind="stable")[..., : e.groups[1]]
        seen = np.zeros_like(of_groups, dtype=bool)
        np.put_along_axis(seen, best, True, axis=-1)
        rank = np.where(np.repeat(seen, e.count // e.groups[0], axis=-1), rank, -np.inf)
    return score, rank


def group_ranks(e, rank):
    groups = np.sort(rank.reshape(*rank.shape[:-1], e.groups[0], -1), axis=-1)
    return groups[..., -e.groups[2] :].sum(axis=-1)


def dense(a, w, n, x, kind, expert=None):
    gate, up = w.gate_up(n, x, kind, expert)
    inner = activate(a.activation, gate) * up if a.gated else activate(a.activation, up)
    return w.linear(n, kind + "down", inner, expert)


def norm(a, w, n, role, x):
    if a.names.get(role) is None:
        return x
    weight = w.tensor(role, n)
    layer = a.norm.startswith("layer")
    if layer:
        x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + a.eps)
    x = x * (weight + 1 if a.norm.endswith("+1") else weight)
    return x + w.tensor(role, n, "bias") if layer else x


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def activate(name, x):
    if name in ("silu", "swish"):
        return x / (1 + np.exp(-x))
    if name == "gelu":
        return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    if name == "gelu_fast":
        return 0.5 * x * (1 + np.tanh(x * 0.7978845608 * (1 + 0.044715 * x * x)))
    if name in ("gelu_new", "gelu_pytorch_tanh"):
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    if name == "relu":
        return np.maximum(x, 0)
    if name == "relu2":
        return np.maximum(x, 0) ** 2
    raise ValueError(f"activation {name}")


# ---------------------------------------------------------------------------------------------
# Tensors


def tensors(a):
    """Every tensor of a checkpoint: name to (role, shape)."""
    q, kv, h = a.heads * a.head_dim, a.kv_heads * a.head_dim, a.hidden
    found = {}

    def vector(role, size, n=None, parts=("weight",), expert=None):
        for part in parts:
            found[name_of(a, role, n, part, expert)] = (role, [size])

    def norm(role, size, n=None):
        if a.names.get(role) is not None:
            vector(role, size, n, ("weight", "bias") if a.norm.startswith("layer") else ("weight",))

    def linear(role, out, into, n=None, bias=False, expert=None):
        shape = [into, out] if a.transposed and n is not None else [out, into]
        found[name_of(a, role, n, "weight", expert)] = (role, shape)
        if bias:
            vector(role, out, n, ("bias",), expert)

    def dense(n, inner, kind="", expert=None):
        bias = "mlp" in a.biases
        if a.gate_up_layout == "stacked":
            linear(kind + "gate_up", 2 * inner, h, n, bias, expert)
        else:
            for role in ("gate", "up") if a.gated else ("up",):
                linear(kind + role, inner, h, n, bias, expert)
        linear(kind + "down", h, inner, n, bias, expert)

    linear("embedding", a.vocab, h)
    if a.positions:
        linear("positions", a.positions + a.skipped_positions, h)
    for n in range(a.layers):
        norm("attention_in", h, n)
        if a.latent is not None:
            it, bias = a.latent, "query" in a.biases
            if it.query_rank is None:
                linear("query", q, h, n)
            else:
                linear("query_down", it.query_rank, h, n, bias)
                vector("query_latent_norm", it.query_rank, n)
                linear("query_up", q, it.query_rank, n)
            linear("latent_down", it.rank + it.rotated, h, n, bias)
            vector("latent_norm", it.rank, n)
            linear("latent_up", a.heads * (a.head_dim - it.rotated + a.value_dim), it.rank, n)
        elif a.qkv_layout == "apart":
            for role, size in (("query", q), ("key", kv), ("value", kv)):
                linear(role, size, h, n, role in a.biases)
        else:
            linear("query_key_value", q + 2 * kv, h, n, "query" in a.biases)
        if a.qk_norm is not None:
            norm("query_norm", q if a.qk_norm == "all" else a.head_dim, n)
            norm("key_norm", kv if a.qk_norm == "all" else a.head_dim, n)
        linear("output", h, a.heads * a.value_dim, n, "output" in a.biases)
        norm("attention_out", h, n)
        norm("mlp_in", h, n)
        if a.experts[n] is None:
            dense(n, a.inner)
        else:
            linear("router", a.experts[n].count, h, n)
            for expert in range(a.experts[n].count):
                dense(n, a.experts[n].inner, "expert_", expert)
            if a.experts[n].correction:
                rows = [1] if a.names.get("correction_row") else []
                found[w_correction(a, n)] = ("correction", rows + [a.experts[n].count])
            if a.experts[n].shared:
                dense(n, a.experts[n].shared, "common_")
            if a.experts[n].shared_gate:
                linear("shared_gate", 1, h, n)
        norm("mlp_out", h, n)
    norm("final_norm", h)
    if not a.tied:
        linear("head", a.vocab, h, bias=a.head_bias)
    return found


def name_of(a, role, n=None, part="weight", expert=None):
    prefix = a.names["layer"].format(n) if n is not None else ""
    return f"{prefix}{a.names[role].format(expert)}.{part}"


def w_correction(a, n):
    return a.names["layer"].format(n) + a.names["correction"]


class Reader:
    """Reads tensors by role, and undoes fused and transposed layouts."""

    def __init__(self, a, weights):
        self.a, self.weights = a, weights

    def tensor(self, role, n=None, part="weight", expert=None):
        return np.asarray(self.weights[name_of(self.a, role, n, part, expert)], dtype=np.float64)

    def correction(self, n):
        return np.asarray(self.weights[w_correction(self.a, n)], dtype=np.float64).reshape(-1)

    def embedding(self):
        return self.tensor("embedding")

    def linear(self, n, role, x, expert=None):
        weight = self.tensor(role, n, expert=expert)
        y = x @ (weight if self.a.transposed else weight.T)
        bias = name_of(self.a, role, n, "bias", expert)
        return y + np.asarray(self.weights[bias], dtype=np.float64) if bias in self.weights else y

    def query_key_value(self, n, x):
        a = self.a
        q, kv = a.heads * a.head_dim, a.kv_heads * a.head_dim
        if a.qkv_layout == "apart":
            return [self.linear(n, role, x) for role in ("query", "key", "value")]
        y = self.linear(n, "query_key_value", x)
        if a.qkv_layout == "stacked":
            return np.split(y, [q, q + kv], axis=-1)
        y = y.reshape(len(x), a.heads, 3, a.head_dim)
        return [y[:, :, part].reshape(len(x), q) for part in range(3)]

    def gate_up(self, n, x, kind, expert):
        if self.a.gate_up_layout == "stacked":
            return np.split(self.linear(n, kind + "gate_up", x, expert), 2, axis=-1)
        gate = self.linear(n, kind + "gate", x, expert) if self.a.gated else None
        return gate, self.linear(n, kind + "up", x, expert)
