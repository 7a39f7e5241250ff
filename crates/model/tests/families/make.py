"""Makes the tiny checkpoints of every family, and what Transformers computes from them.

    pip install -r requirements.txt
    python make.py            # writes every folder, rope.json and the table in README.md
    python make.py NAME ...   # writes these folders only

README.md says what the files hold. Every folder is checked before it is written: Transformers
loads config.json without missing, unexpected or misshapen tensors; its own style of config.json
gives the same logits to the bit; reference.py agrees with it; and each wrong reading of the
configuration in `mistakes` changes the result visibly.
"""

import copy
import dataclasses
import hashlib
import importlib
import json
import pathlib
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.utils import logging

sys.dont_write_bytecode = True
import families
import reference
from cases import FAMILIES, ROPES

OUT = pathlib.Path(__file__).resolve().parent
LARGEST = 400_000  # bytes of a folder
AGREEMENT = 1e-5  # of the float64 reference with Transformers in f32, relative to a row's maximum
VISIBLE = 4e-5  # of a mistake, the same way; twice what the decoder's tests allow
ROUNDED = 2e-2  # of Transformers in bf16 with itself in f32
CLEAR = 0.03  # between what decides for the last expert chosen and for the first one not chosen
MARGIN = 0.25  # between the logits of the last expert chosen and of the first one not chosen
# Standard deviations by role: of a table's rows; of a matrix, times the root of its inputs.
# Attention looks at some keys more than at others, activations reach their curved part, and the
# sum of the layers stays small enough beside the embedding that bfloat16 is not amplified.
SPREAD = {
    "embedding": 1.0, "tied": 0.6, "scaled": 0.55, "scaled without norms": 0.2, "positions": 0.3, "head": 0.35,
    "query": 1.0, "key": 1.0, "query_key_value": 0.8, "router": 3.0,
    "query_up": 1.0, "latent_up": 0.8, "gate": 1.6, "up": 0.6, "plain_up": 1.6, "gate_up": 0.9,
}
OTHER = 0.35
STORED = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def main():
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    names = sys.argv[1:] or list(FAMILIES)
    made = [family(name, **FAMILIES[name]) for name in names]
    if names == list(FAMILIES):
        defaults()
        ropes()
        table(made)


def family(name, config, lengths, extra=None):
    folder = OUT / name
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    architecture = families.describe(config, max(lengths.values()))
    stored = {
        key: values(random, key, role, shape, architecture).to(STORED[config["torch_dtype"]])
        for key, (role, shape) in reference.tensors(architecture).items()
    }
    plain = {key: value.float().numpy() for key, value in stored.items()}
    buffers = extra(config) if extra else {}
    save_file({**stored, **buffers}, folder / "model.safetensors", metadata={"format": "pt"})
    model = load(folder, torch.float32)
    newer = new_style(folder, model)
    rounded = load(folder, torch.bfloat16)
    results = []
    for golden, length in lengths.items():
        architecture = families.describe(config, length)
        assert same(architecture, families.describe(newer, length)), f"{name}: the styles differ"
        tokens = choose_tokens(random, model, architecture, length, plain)
        results.append(check(folder, architecture, stored, tokens, model, rounded))
        save_file(results[-1]["states"], folder / golden)
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert size <= LARGEST, f"{name}: {size} bytes"
    parameters = sum(tensor.numel() for tensor in stored.values())
    print(f"{name}: {size} bytes, {parameters} parameters", flush=True)
    return [(name, golden, parameters, result) for golden, result in zip(lengths, results)]


def values(random, key, role, shape, architecture):
    """Weights whose logits are not flat and whose attention looks at more than one key."""
    into = shape[0 if architecture.transposed else -1]
    role = role.removeprefix("expert_").removeprefix("common_")
    if role == "embedding" and architecture.tied:
        role = "scaled" if architecture.embedding_scale > 1 else "tied"
        if role == "scaled" and architecture.names.get("mlp_out") is None:
            role = "scaled without norms"
    role = "plain_up" if role == "up" and not architecture.gated else role
    if role == "correction":
        found = random.normal(0, 0.15, shape)
    elif key.endswith("bias"):
        found = random.normal(0, 0.3, shape)
    elif len(shape) == 1:  # a norm
        centre = 0.5 if role.endswith("_out") else 1.0
        low = centre - 0.3 - architecture.norm.endswith("+1")
        found = random.uniform(low, low + 0.6, shape)
    elif role in ("embedding", "tied", "scaled", "scaled without norms", "positions", "head"):
        found = random.normal(0, SPREAD[role], shape)
    else:
        spread = SPREAD.get(role, OTHER)
        if role in ("query", "key") and architecture.attention_scale == 1:
            spread *= architecture.head_dim**-0.25
        found = random.normal(0, spread / np.sqrt(into), shape)
    return torch.tensor(found, dtype=torch.float32)


def load(folder, dtype, config=None):
    """From the file, as users do: `model.to(bfloat16)` would round the rotary frequencies too."""
    model, report = AutoModelForCausalLM.from_pretrained(
        folder,
        config=config,
        dtype=dtype,
        attn_implementation="eager",
        experts_implementation="eager",
        output_loading_info=True,
    )
    assert not report["missing_keys"] and not report["mismatched_keys"], report
    ignored = (".attn.bias", ".attention.bias", ".masked_bias", ".rotary_emb.inv_freq")
    assert all(key.endswith(ignored) for key in report["unexpected_keys"]), report
    return model.eval()


def new_style(folder, model):
    """Writes config.v5.json, and checks that it means the same."""
    with tempfile.TemporaryDirectory() as other:
        AutoConfig.from_pretrained(folder).save_pretrained(other)
        text = (pathlib.Path(other) / "config.json").read_text()
        again = load(folder, torch.float32, AutoConfig.from_pretrained(other))
    (folder / "config.v5.json").write_text(text)
    tokens = torch.arange(40)[None] % model.config.vocab_size
    with torch.no_grad():
        assert torch.equal(model(tokens).logits, again(tokens).logits), folder.name
    return json.loads(text)


def same(a, b):
    """Whether two descriptions are one."""

    def plain(it):
        if isinstance(it, frozenset):
            return sorted(it)
        return it.tolist() if isinstance(it, np.ndarray) else vars(it)

    return json.dumps(a, default=plain) == json.dumps(b, default=plain)


def run(model, tokens):
    """States of every layer, as float32."""
    body = getattr(model.base_model, "decoder", model.base_model)
    layers = body.h if hasattr(body, "h") else body.layers
    finals = ("norm", "final_layer_norm", "final_layernorm", "ln_f")
    final = next(getattr(body, key) for key in finals if hasattr(body, key))
    states, hooks = {}, []

    def keep(module, name, of=lambda output: output):
        def hook(_, __, output):
            states[name] = of(output)

        hooks.append(module.register_forward_hook(hook))

    def first(_, inputs, named):
        states["embedding"] = inputs[0] if inputs else named["hidden_states"]

    hooks.append(layers[0].register_forward_pre_hook(first, with_kwargs=True))
    for n, layer in enumerate(layers):
        keep(layer, f"layer.{n}", lambda output: output[0] if isinstance(output, tuple) else output)
        if hasattr(layer, "mlp") and hasattr(layer.mlp, "gate") and hasattr(layer.mlp, "experts"):
            shape = (*tokens.shape, -1)
            keep(layer.mlp.gate, f"layer.{n}.experts", lambda output: output[2].reshape(shape))
            keep(layer.mlp.gate, f"layer.{n}.router", lambda output: output[0].reshape(shape))
    keep(final, "final_norm")
    with torch.no_grad():
        states["logits"] = model(tokens, use_cache=False).logits
    for hook in hooks:
        hook.remove()
    integer = {key: value.clone() for key, value in states.items() if key.endswith(".experts")}
    return {key: value.float().clone() for key, value in states.items()} | integer


def margins(states, architecture, weights):
    """Per position, the smallest margin of any layer's choice of experts, in logits.

    Where the choice is not by the softmax alone, the margin of what is compared is held to CLEAR instead.
    """
    found = []
    for key, logits in states.items():
        if key.endswith(".router"):
            n = int(key.split(".")[1])
            e = architecture.experts[n]
            chosen = e.chosen
            if e.scoring != "softmax" or e.correction or e.groups:
                correction = reference.Reader(architecture, weights).correction(n) if e.correction else 0
                found.append(torch.tensor(clearness(e, logits.double().numpy(), correction)))
                continue
            ordered = logits.sort(dim=-1, descending=True).values
            found.append(ordered[..., chosen - 1] - ordered[..., chosen])
    return torch.stack(found).amin(dim=0) if found else None


def clearness(e, logits, correction):
    """How clear a choice of experts is, as a multiple of CLEAR, times MARGIN."""
    score, rank = reference.ranks(e, logits, correction)
    ordered = -np.sort(-rank, axis=-1)
    least = ordered[..., e.chosen - 1] - ordered[..., e.chosen]
    if e.groups is not None:
        groups = -np.sort(-reference.group_ranks(e, score + correction), axis=-1)
        least = np.minimum(least, groups[..., e.groups[1] - 1] - groups[..., e.groups[1]])
    return least / CLEAR * MARGIN


def choose_tokens(random, model, architecture, length, weights):
    """Two random sequences; where experts are chosen, only such tokens as make the choice clear.

    A choice within the rounding of one dtype would make another exact implementation disagree.
    """
    if not any(architecture.experts):
        return torch.tensor(random.integers(0, architecture.vocab, (2, length)))
    sequences = []
    for _ in range(2):
        tokens = []
        while len(tokens) < length:
            tries = torch.tensor(random.integers(0, architecture.vocab, (64, 1)))
            before = torch.tensor([tokens] * 64, dtype=torch.long).reshape(64, -1)
            tries = torch.cat([before, tries], dim=1)
            clear = margins(run(model, tries), architecture, weights)[:, -1]
            assert clear.max() >= MARGIN, "no token gives a clear choice of experts"
            tokens = tries[int((clear >= MARGIN).int().argmax())].tolist()
        sequences.append(tokens)
    return torch.tensor(sequences)


def nll(logits, tokens):
    """Minus the log-likelihood of each sequence's tokens after the first, summed in float64."""
    logs = torch.log_softmax(logits.double()[:, :-1], dim=-1)
    return -logs.gather(-1, tokens[:, 1:, None]).squeeze(-1).sum(dim=-1)


def check(folder, architecture, stored, tokens, model, rounded):
    """Compares Transformers, reference.py and mistaken readings; gives the golden tensors."""
    weights = {key: value.double().numpy() for key, value in stored.items()}
    truth, half = run(model, tokens), run(rounded, tokens)
    exact = compute(architecture, weights, tokens)
    states = {key: value for key, value in truth.items() if key not in choices(truth)}
    worst = {key: error(exact[key], states[key]) for key in states}
    assert max(worst.values()) < AGREEMENT, (folder.name, worst)
    for key in (key for key in truth if key.endswith(".experts")):
        one, two, three = (np.sort(np.asarray(it[key]), axis=-1) for it in (exact, truth, half))
        assert (one == two).all() and (one == three).all(), (folder.name, key)
    seen = {}
    for mistake, wrong in mistakes(architecture, tokens.shape[1]):
        seen[mistake] = error(compute(wrong, weights, tokens)["logits"], truth["logits"])
    assert min(seen.values()) > VISIBLE, (folder.name, seen)
    last = f"layer.{architecture.layers - 1}"
    loss = {key: error(half[key], truth[key]) for key in (last, "final_norm", "logits")}
    assert max(loss.values()) < ROUNDED, (folder.name, loss)
    states |= {key: value.int() for key, value in truth.items() if key.endswith(".experts")}
    states |= {f"bf16.{key}": half[key] for key in (last, "final_norm", "logits")}
    states |= {"nll": nll(truth["logits"], tokens), "bf16.nll": nll(half["logits"], tokens)}
    states["tokens"] = tokens.int()
    return {
        "states": {key: value.contiguous() for key, value in states.items()},
        "reference": max(worst.values()),
        "bf16": max(loss.values()),
        "to": to_bf16(folder, tokens, half),
        "seen": seen,
    }


def choices(states):
    """Names of the states that are about the choice of experts."""
    return {key for key in states if key.endswith((".router", ".experts"))}


def to_bf16(folder, tokens, half):
    """How far model.to(bfloat16) is from a model loaded in bfloat16."""
    model = load(folder, torch.float32).to(torch.bfloat16)
    return error(run(model, tokens)["logits"], half["logits"])


def compute(architecture, weights, tokens):
    runs = [reference.forward(architecture, weights, row) for row in tokens.numpy()]
    return {key: np.stack([states[key] for states in runs]) for key in runs[0]}


def error(found, expected):
    """Largest difference relative to the largest value of its row."""
    found, expected = (np.asarray(it, dtype=np.float64) for it in (found, expected))
    return float((np.abs(found - expected).max(-1) / np.abs(expected).max(-1)).max())


def mistakes(a, length):
    """Descriptions with one thing read wrongly."""

    def but(what, **changes):
        wrong = copy.copy(a)
        for key, value in changes.items():
            setattr(wrong, key, value)
        return what, wrong

    def with_rope(what, **changes):
        def changed(it):
            new = {key: change(getattr(it, key)) for key, change in changes.items()}
            return dataclasses.replace(it, **new)

        return but(what, rope=[it and changed(it) for it in a.rope])

    if a.eps > 1e-4:  # where it is no key, it is too small to be seen
        yield but("eps", eps=a.eps * 2)
    yield but("attention scale", attention_scale=a.attention_scale * 1.1)
    yield but("residual", parallel=not a.parallel)
    yield but("activation", activation="gelu_new" if a.activation == "gelu" else "gelu")
    if a.norm != "layer":
        other = {"rms": "rms+1", "rms+1": "rms", "layer+1": "layer"}
        yield but("norm weight", norm=other[a.norm])
    if any(a.rope):
        yield with_rope("frequencies", frequencies=lambda it: it * np.float32(1.1))
        yield but("no rope", rope=[None] * a.layers)
    if any(a.rope) and not all(a.rope):
        yield but("rope everywhere", rope=[next(filter(None, a.rope))] * a.layers)
    if any(it and it.attention_factor != 1 for it in a.rope):
        yield with_rope("attention factor", attention_factor=lambda _: 1.0)
    if len({it.frequencies.tobytes() for it in a.rope if it}) > 1:
        yield but("one rope for all", rope=[a.rope[0]] * a.layers)
    if any(it and it < length for it in a.window):
        yield but("no window", window=[None] * a.layers)
        yield but("window + 1", window=[it and it + 1 for it in a.window])
    if len(set(a.window)) > 1:
        yield but("one window for all", window=[max(it or 0 for it in a.window)] * a.layers)
    if a.qk_norm:
        yield but("no q/k norm", qk_norm=None)
    if a.embedding_scale != 1:
        yield but("embedding scale", embedding_scale=1.0)
    if a.logit_cap:
        yield but("logit cap", logit_cap=None)
    if a.score_cap:
        yield but("score cap", score_cap=None)
    if a.block_scale != 1:
        yield but("scale of blocks", block_scale=1.0)
    if a.logit_divisor != 1:
        yield but("divisor of logits", logit_divisor=1.0)
    if a.head_bias:
        yield but("head bias", head_bias=False)
    if a.skipped_positions:
        yield but("skipped positions", skipped_positions=0)
    if any(a.experts):
        flipped = [it and dataclasses.replace(it, normalise=not it.normalise) for it in a.experts]
        yield but("normalised experts", experts=flipped)
        fewer = [it and dataclasses.replace(it, chosen=it.chosen - 1) for it in a.experts]
        yield but("experts per token", experts=fewer)

        def experts_but(what, **changes):
            return but(what, experts=[it and dataclasses.replace(it, **changes) for it in a.experts])

        e = next(filter(None, a.experts))
        if e.scoring == "sigmoid":
            yield experts_but("scoring", scoring="softmax")
        if e.correction:
            yield experts_but("correction", correction=False)
        if e.groups:
            yield experts_but("groups", groups=None)
            if e.scoring == "sigmoid":  # the highest share of a softmax decides either way
                yield experts_but("rank of a group", groups=(*e.groups[:2], 3 - e.groups[2]))
        if e.scale != 1:
            yield experts_but("scale of shares", scale=1.0)
        if e.shared:
            yield experts_but("shared expert", shared=0, shared_gate=False)
        if e.shared_gate:
            yield experts_but("gate of the shared expert", shared_gate=False)
    if any(it and it.adjacent for it in a.rope):
        yield with_rope("pairs", adjacent=lambda _: False)
    if a.latent is not None:
        yield but("eps of latents", latent=dataclasses.replace(a.latent, eps=a.eps))


def defaults():
    """Whether reference.py and Transformers take the same for keys that are absent."""
    for family, keys in families.DEFAULTS.items():
        config = AutoConfig.for_model(family)
        for key, value in keys.items():
            if not (key == "sliding_window" and keys.get("use_sliding_window") is False):
                assert getattr(config, key) == value, (family, key)


def ropes():
    """rope.json: frequencies and attention factors of published settings."""
    cases = []
    for name, (config, length) in ROPES.items():
        loaded = AutoConfig.for_model(**copy.deepcopy(config))
        parts = sorted(set(loaded.layer_types)) if config["model_type"] == "gemma3_text" else [None]
        for part in parts:
            table = loaded.rope_parameters[part] if part else loaded.rope_parameters
            function = ROPE_INIT_FUNCTIONS.get(table["rope_type"]) or plain_frequencies(loaded)
            found, factor = function(loaded, seq_len=length, layer_type=part)
            layer = loaded.layer_types.index(part) if part else 0
            mine = families.describe(config, length).rope[layer]
            assert np.allclose(mine.frequencies, found.numpy(), rtol=2.5e-7, atol=0), name
            assert abs(mine.attention_factor - factor) < 1e-12, name
            frequencies = [float(str(np.float32(it))) for it in found.numpy()]
            case = {"name": name, "config": config, "layer": layer, "length": length}
            cases.append({**case, "attention_factor": float(factor), "frequencies": frequencies})
    text = ",\n".join(json.dumps(case) for case in cases)
    (OUT / "rope.json").write_text(f"[\n{text}\n]\n")


def plain_frequencies(config):
    """The family's own function for unscaled frequencies."""
    module = importlib.import_module(MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].__module__)
    owner = next(value for key, value in vars(module).items() if key.endswith("RotaryEmbedding"))
    return lambda *inputs, seq_len, **named: owner.compute_default_rope_parameters(*inputs, **named)


def table(made):
    """Replaces the table between the two marks in README.md."""
    readme = OUT / "README.md"
    rows = [
        "| golden | parameters | NLL in f32 | NLL in bf16 | bf16 to f32 | `.to` | f64 to f32 "
        "| mistakes, least visible |",
        "|---|---:|---|---|---:|---:|---:|---|",
    ]
    for name, golden, parameters, result in (row for rows in made for row in rows):
        exact, half = (
            ", ".join(f"{it:.6f}" for it in result["states"][key].tolist())
            for key in ("nll", "bf16.nll")
        )
        mistake, least = min(result["seen"].items(), key=lambda it: it[1])
        rows.append(
            f"| {name}/{golden.removesuffix('.safetensors')} | {parameters} | {exact} | {half} "
            f"| {result['bf16']:.1e} | {result['to']:.1e} | {result['reference']:.1e} "
            f"| {len(result['seen'])}; {mistake}: {least:.1e} |"
        )
    begin, end = "<!-- figures -->\n", "<!-- end of figures -->"
    text = readme.read_text()
    head, rest = text.split(begin)
    readme.write_text(head + begin + "\n".join(rows) + "\n" + end + rest.split(end)[1])


if __name__ == "__main__":
    main()
