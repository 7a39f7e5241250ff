"""Eight codecs on four links: what they cost beside the model, and that the exact one is exact."""

import json
import shutil

from bundle import ROOT, WORK

CODECS = [
    ("raw", "raw", ""),
    ("cast fp8", "cast", "to = \"fp8_e4m3\""),
    ("int8", "affine", "bits = 8, granularity = \"token\""),
    ("int4 g64", "affine", "bits = 4, granularity = \"group\", group = 64"),
    ("nf4", "blockfloat", ""),
    ("mx", "mx", ""),
    ("nvfp4", "nvfp4", ""),
    ("ggml", "ggml", ""),
]

HEAD = """name = "gpu-codecs"
[model]
source = {model}
dtype = "bf16"
device = {device}
[data]
source = "wikitext-2-raw"
first_k_tokens = {first}
[protocol]
window = {window}
stride = {stride}
[partition]
plan = "ring-4"
[plugins]
dir = {plugins}
"""


def measure(run, model):
    """Runs the experiment without cells, then with them; seconds are those that records name."""
    window, stride = run.arguments.tokens, run.arguments.scored
    windows = run.arguments.count
    settings = {"model": json.dumps(str(model)), "device": json.dumps(run.arguments.device), "window": window,
                "stride": stride, "first": window + stride * (windows - 1), "plugins": json.dumps(str(ROOT / "plugins"))}
    text = HEAD.format(**settings)
    for label, codec, parameters in CODECS:
        text += f'\n[[compressor]]\nlabel = "{label}"\ncodec = "{codec}"\n'
        text += f"params = {{ {parameters} }}\n" if parameters else ""
    file, folder = WORK / "codecs.toml", WORK / "codecs"
    file.write_text(text)
    shutil.rmtree(folder, ignore_errors=True)
    run.call([run.programs.strait, "run", file, "--assets", ROOT / "assets", "--output", folder, "--fresh",
              "--trace", WORK / "codecs-trace.json"])
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    lines = [line(record) for record in records if "scores" in record]
    print(f"codecs: {sum(one['status'] == 'finished' for one in lines)} of {len(lines)} cells finished", flush=True)
    return {"windows": windows, "cells": lines}


def line(record):
    scores = record["scores"] or {}
    links = record["links"]
    return {
        "label": record["label"],
        "status": record["status"],
        "reason": record["reason"],
        "kld": scores.get("kld", {}).get("mean"),
        "payload_bytes": sum(link.get("payload_bytes", 0) for link in links),
        "timing": record["timing"],
    }


def table(found):
    cells = found.get("cells", [])
    if not cells:
        return []
    names = [name for name, value in cells[0]["timing"].items() if isinstance(value, (int, float))]
    lines = ["| codec | KLD | " + " | ".join(names) + " |", "|:--|--:|" + "--:|" * len(names)]
    for cell in cells:
        if cell["kld"] is None and cell["status"] != "finished":
            lines.append(f"| {cell['label']} | failed |" + " |" * len(names))
            continue
        values = " | ".join(f"{cell['timing'][name]:.3f}" for name in names)
        lines.append(f"| {cell['label']} | {cell['kld'] or 0:.2e} | {values} |")
    return [*lines, ""]
