"""Golden values of streaming-llm, knorm, keydiff, lagkv and cur, and of the common parameters.

Versions: Python 3.11, torch 2.15.0, numpy 2.4.6.
Run: python plugins/presses-basic/golden/make.py

golden.json beside this script: layers, and for each the parameters of a press with the scores
[kv_heads][entries] or the kept entries that follow from the formulas of its paper, in float64.
"""

import torch
from layer import Layer, case, kept, write

layer = Layer(1)
k, v, S, H = layer.k, layer.v, layer.tokens, layer.kv_heads


def knorm():
    return -k.norm(dim=-1)


def keydiff():
    anchor = (k / k.norm(dim=-1, keepdim=True)).mean(1, keepdim=True)
    return -(k * anchor).sum(-1) / (k.norm(dim=-1) * anchor.norm(dim=-1))


def lagkv(lag, cross, sinks=4):
    parts = (S - sinks) // lag

    def states(x):
        x = x[:, sinks : sinks + parts * lag].view(H, parts, lag, -1)
        low, high = x[:, 1:].amin(2, keepdim=True), x[:, 1:].amax(2, keepdim=True)
        return ((x[:, :-1] - low) / (high - low)).std(-1).softmax(-1)

    score = (states(k) + states(v)) / 2
    if not cross:
        score = score.argsort(-1).argsort(-1) / lag
    out = torch.ones(H, S, dtype=torch.float64)
    out[:, sinks : sinks + (parts - 1) * lag] = score.reshape(H, -1)
    return out


def lagkv_short(sinks=4):
    out = torch.ones(H, S, dtype=torch.float64)
    out[:, sinks:] = torch.arange(S - sinks) / (S - sinks)
    return out


def cur(kind, window, sinks=4):
    def share(x):
        square = (x**2).sum(-1)
        if window:
            for begin in range(0, S, window):
                square[:, begin : begin + window] /= square[:, begin : begin + window].sum(-1, keepdim=True)
        return square

    a, b = share(k), share(v)
    score = {"key": a, "value": b, "kv_avg": (a + b) / 2, "kv_product": a * b}[kind]
    score = score / score.sum(-1, keepdim=True)
    score[:, :sinks] = 1
    return score


def adakv(scores, n, alpha):
    safe = max(1, int(n * alpha))
    ranks = scores.clone()
    ranks.scatter_(1, scores.topk(safe, dim=1).indices, torch.finfo(torch.float64).max)
    heads = ranks.flatten().topk(n * H).indices // S
    return kept(scores, torch.bincount(heads, minlength=H).tolist())


def critical(scores, n, share=0.5, epsilon=1e-4):
    norm = layer.group_mean(layer.output_norm())
    first = scores.topk(int(n * share), dim=1).indices
    second = (scores + epsilon) * norm
    second.scatter_(1, first, torch.finfo(torch.float64).max)
    return kept(second, [n] * H)


def chunkkv(scores, size, ratio):
    means = torch.stack([c.sum(0).mean() for c in scores.split(size, 1)])
    best = means.topk(max(1, int(len(means) * (1 - ratio)))).indices.tolist()
    entries = sorted(e for c in best for e in range(c * size, min((c + 1) * size, S)))
    return [entries] * H


def chunk(size, ratio):
    out = [[] for _ in range(H)]
    for begin in range(0, S, size):
        scores = -k[:, begin : begin + size].norm(dim=-1)
        for head, best in enumerate(kept(scores, [max(1, int(scores.shape[1] * (1 - ratio)))] * H)):
            out[head] += [begin + e for e in best]
    return out


def block(size, n):
    """keydiff, whose scores depend on which entries there are."""
    out = []
    for head in range(H):
        entries = list(range(n))
        for begin in range(n, S, size):
            entries += range(begin, min(begin + size, S))
            rows = k[head, entries]
            anchor = (rows / rows.norm(dim=-1, keepdim=True)).mean(0)
            scores = -(rows @ anchor) / (rows.norm(dim=-1) * anchor.norm())
            entries = [entries[i] for i in kept([scores], [n])[0]]
        out.append(entries)
    return out


def merge(scores, n):
    """Kept entries and their values: Token Merging onto the kept entry with the most similar key."""
    rows, values = kept(scores, [n] * H), []
    for head, entries in enumerate(rows):
        gone = [e for e in range(S) if e not in entries]
        unit = k[head] / k[head].norm(dim=-1, keepdim=True)
        similar, target = (unit[gone] @ unit[entries].T).max(1)
        norm = v[head].norm(dim=-1)
        weight = similar.clamp(min=0) * norm[gone] / (norm[gone] + norm[entries][target] + 1e-6)
        total = torch.zeros(n, dtype=torch.float64).index_add(0, target, weight)
        summed = v[head][entries].index_add(0, target, weight[:, None] * v[head][gone])
        values.append(summed / (1 + total)[:, None])
    return rows, values


def pyramid(n, index, count, window, beta):
    least = n / beta
    most = 2 * n - least
    if most >= S - window:
        most, least = S - window, 2 * n - (S - window)
    return n if not S >= most >= least >= window else round(most - index * (most - least) / (count - 1))


n = S // 2
rows, values = merge(knorm(), 10)
cases = [
    case("knorm", {}, knorm()),
    case("keydiff", {}, keydiff()),
    case("lagkv", {"lag": 8}, lagkv(8, False)),
    case("lagkv", {"lag": 8, "cross": True}, lagkv(8, True)),
    case("lagkv", {"lag": 18, "cross": True}, lagkv(18, True)),
    case("lagkv", {"lag": 19}, lagkv_short()),
    case("cur", {}, cur("kv_product", 16)),
    case("cur", {"leverage": "key", "window": 7}, cur("key", 7)),
    case("cur", {"leverage": "value", "sinks": 0}, cur("value", 16, 0)),
    case("cur", {"leverage": "kv_avg", "window": 0}, cur("kv_avg", 0)),
    case("streaming-llm", {}, kept=[[0, 1, 2, 3, *range(S - 6, S)]] * H, ratio=0.75),
    case("knorm", {}, kept=kept(knorm(), [n] * H)),
    case("knorm", {"budget": "adakv"}, kept=adakv(knorm(), n, 0.2)),
    case("keydiff", {"budget": "adakv", "safeguard": 0.6}, kept=adakv(keydiff(), 10, 0.6), ratio=0.75),
    case("cur", {"budget": "criticalkv", "sinks": 0}, kept=critical(cur("kv_product", 16, 0), n)),
    case("knorm", {"unit": "chunkkv", "unit_size": 6}, kept=chunkkv(knorm(), 6, 0.5)),
    case("knorm", {"unit": "chunk", "unit_size": 16}, kept=chunk(16, 0.5)),
    case("keydiff", {"unit": "block", "unit_size": 7}, kept=block(7, 10), ratio=0.75),
    case("knorm", {"merge": True}, kept=rows, values=[v.flatten().tolist() for v in values], ratio=0.75),
    case(
        "knorm",
        {"layers": "pyramid", "pyramid_window": 2, "pyramid_beta": 4},
        kept=kept(knorm(), [pyramid(n, 3, 5, 2, 4)] * H),
    ),
]
text = layer.to_json(["output-norm"])
text |= {"layer": 3, "layers": 5}
write(__file__, [(text, cases)])
