"""Hidden states at the four cuts of ring-4, for the other scripts here.

    python dump.py MODEL OUT        torch 2.15, transformers 5.23, pyarrow 24 (Python 3.11, one thread)

MODEL is the folder of SmolLM2-135M-Instruct.Q4_1.gguf (scripts/fetch-smollm2.sh). OUT gets, as rows of 576 little-endian
f32, test{0..3}.f32: the five windows of hf-stride 2048/512 over the first 4,096 tokens of WikiText-2's test split,
and calib{0..3}.f32: the 24 texts of assets/calibration, 2,048 tokens each. And tokens.pt, the tokens of both.
"""
import pathlib, sys
import pyarrow.parquet as parquet
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

FILE, CUTS, LENGTH = "SmolLM2-135M-Instruct.Q4_1.gguf", [2, 10, 18, 25], 2048
ROOT = pathlib.Path(__file__).resolve().parents[3]


def model_of(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32)
    return model.eval(), tokenizer


def states(model, ids, keep=lambda h: h):
    """The hidden states after each cut."""
    h = model.model.embed_tokens(ids[None])
    angles = model.model.rotary_emb(h, torch.arange(len(ids))[None])
    found = []
    for layer, block in enumerate(model.model.layers):
        h = block(h, attention_mask=None, position_embeddings=angles)
        h = h[0] if isinstance(h, tuple) else h
        if layer in CUTS:
            h = keep(h)
            found.append(h)
    return found, h


if __name__ == "__main__":
    torch.set_num_threads(1)
    model, tokenizer = model_of(sys.argv[1])
    out = pathlib.Path(sys.argv[2])
    rows = parquet.read_table(ROOT / "assets/wikitext-2-raw/test-00000-of-00001.parquet")["text"].to_pylist()
    test = torch.tensor(tokenizer("\n\n".join(rows)[:40000])["input_ids"][:4096])
    text = (ROOT / "assets/calibration/smollm2-sampled.txt").read_text()
    calibration = torch.tensor(tokenizer(text)["input_ids"])
    calibration = calibration[: len(calibration) // LENGTH * LENGTH].view(-1, LENGTH)
    test = torch.stack([test[start : start + LENGTH] for start in range(0, LENGTH + 1, 512)])
    torch.save({"test": test, "calib": calibration}, out / "tokens.pt")
    with torch.no_grad():
        for name, windows in (("test", test), ("calib", calibration)):
            kept = zip(*(states(model, ids)[0] for ids in windows))
            for cut, windows in enumerate(kept):
                torch.cat([h[0] for h in windows]).numpy().astype("<f4").tofile(out / f"{name}{cut}.f32")
