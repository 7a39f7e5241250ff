"""Windows, scored tokens and token streams of every preset, computed without strait. Made with
Python 3.11.7, tokenizers 0.23.3, pyarrow 26.0.1:

    python crates/data/tests/golden/make.py > crates/data/tests/golden/golden.json

`windows` follows the loop of each source (named at each function) over a stream of n tokens, down to
the labels it masks and the shift between outputs and targets. What a window reads and what is scored in
it become one line of text, and all lines one SHA-256: equal digests mean equal windows. `null` stands
for a text that the source refuses or that leaves it nothing to score.

`text` does the same with WikiText-2 under the tokenizer of assets/models/wiki-4m, as it is and with a
template that puts token 0 before a text, as tokenizers with BOS do.
"""
import hashlib
import json
from pathlib import Path

import pyarrow.parquet as parquet
import tokenizers

ASSETS = Path(__file__).resolve().parents[4] / "assets"


def hf_stride(ids, length, stride, _rows, _bos):
    """Hugging Face, "Perplexity of fixed-length models"; split-bench."""
    previous_end, windows = 0, []
    for begin in range(0, len(ids), stride):
        end = min(begin + length, len(ids))
        target_length = end - previous_end
        inputs = ids[begin:end]
        labels = list(range(begin, end))
        labels[:-target_length] = [None] * (len(labels) - target_length)
        windows.append((begin, end, inputs, [label for label in labels[1:] if label is not None]))
        previous_end = end
        if end == len(ids):
            break
    # A window without a label has no loss.
    return [window for window in windows if window[3]]


def gptq(ids, length, _stride, _rows, _bos):
    """The evaluation loop shared by GPTQ, QuaRot and SpinQuant."""
    windows = []
    for i in range(len(ids) // length):
        batch = list(range(i * length, (i + 1) * length))
        windows.append((batch[0], batch[-1] + 1, [ids[t] for t in batch], batch[1:]))
    return windows


def exl3(ids, length, stride, rows, _bos):
    """exllamav3's compare_q: logits[:-1] against ids[1:] of every row."""
    windows = []
    for a in range(0, len(ids) - length, stride):
        if len(windows) == rows:
            break
        windows.append((a, a + length, ids[a : a + length], list(range(a, a + length))[1:]))
    return windows


def llamacpp(ids, n_ctx, _stride, _rows, bos):
    """llama.cpp's perplexity: outputs first..n_ctx-2 against the token after each."""
    if len(ids) < 2 * n_ctx:
        return []
    windows, first = [], n_ctx // 2
    for start in range(0, len(ids) // n_ctx * n_ctx, n_ctx):
        inputs = ids[start : start + n_ctx]
        if bos is not None:
            inputs[0] = bos
        targets = [start + first + i + 1 for i in range(n_ctx - 1 - first)]
        windows.append((start, start + n_ctx, inputs, targets))
    return windows


PRESETS = {
    "hf-stride": (hf_stride, 2048, 512, None),
    "gptq": (gptq, 2048, 2048, None),
    "exl3": (exl3, 2048, 512, 20),
    "llamacpp": (llamacpp, 512, 512, None),
}


def digest(windows):
    lines = (f"{b} {e} {','.join(map(str, i))} {','.join(map(str, t))}\n" for b, e, i, t in windows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def summary(windows):
    if not windows:
        return None
    ends = [windows[0][:2], windows[-1][:2]]
    return {
        "windows": len(windows),
        "first_and_last": ends,
        "scored": sum(len(window[3]) for window in windows),
        "sha256": digest(windows),
    }


def window_cases():
    cases = []

    def add(preset, n, length, stride, rows):
        loop = PRESETS[preset][0]
        # Token i of the stream has id i + 10; BOS is 1.
        result = summary(loop(list(range(10, n + 10)), length, stride, rows, 1))
        cases.append({"preset": preset, "n": n, "window": length, "stride": stride, "rows": rows, "result": result})

    for preset, (_, length, stride, rows) in PRESETS.items():
        edges = [1, 2, 3, length // 2, length - 1, length, length + 1, length + 2]
        edges += [length + stride - 1, length + stride, length + stride + 1, 2 * length - 1, 2 * length, 2 * length + 1]
        for n in sorted(set(edges + [5 * length + 7, 11_777, 40_000])):
            add(preset, n, length, stride, rows)
        for n in (5, 6, 7, 8, 9, 10, 11, 12, 13, 25):
            add(preset, n, 5, 5 if stride == length else 2, 3 if rows else None)
    for rows in (1, 100, None):
        for n in (2048 + 19 * 512 + 1, 60_000):
            add("exl3", n, 2048, 512, rows)
    for n in (4097, 50_000):
        add("gptq", n, 4096, 4096, None)
        add("exl3", n, 2048, 2048, 30)
    return cases


def joined(rows):
    kept = [row for row in rows if row.strip() != ""]
    # wiki.test.raw has " \n" where the data set has an empty row; llama.cpp drops the last line break.
    raw = "".join(row or " \n" for row in rows)
    return {"blank-line": "\n\n".join(rows), "non-empty-blank-line": "\n\n".join(kept), "lines": raw}


def text_cases():
    rows = parquet.read_table(ASSETS / "wikitext-2-raw/test-00000-of-00001.parquet")["text"].to_pylist()
    plain = tokenizers.Tokenizer.from_file(str(ASSETS / "models/wiki-4m/tokenizer.json"))
    with_bos = tokenizers.Tokenizer.from_file(str(ASSETS / "models/wiki-4m/tokenizer.json"))
    with_bos.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    # Every character of a byte-level token stands for one byte of text.
    size = {id: len(token) for token, id in plain.get_vocab().items()} | {0: 0}
    texts, cases = joined(rows), []
    choices = [("hf-stride", "blank-line"), ("gptq", "blank-line"), ("exl3", "non-empty-blank-line"),
               ("exl3", "blank-line"), ("llamacpp", "lines")]
    for preset, join in choices:
        loop, length, stride, max_rows = PRESETS[preset]
        text = texts[join]
        for bos, tokenizer in ((None, plain), (0, with_bos)):
            encoded = text.removesuffix("\n") if preset == "llamacpp" else text
            ids = tokenizer.encode(encoded).ids
            assert (ids[0] == 0) == (bos == 0)
            windows = loop(ids, length, stride, max_rows, bos)
            stream = b"".join(id.to_bytes(4, "little") for id in ids)
            cases.append({
                "preset": preset, "join": join, "bos": bos is not None,
                "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
                "tokens": len(ids), "tokens_sha256": hashlib.sha256(stream).hexdigest(),
                "scored_bytes": sum(size[ids[t]] for window in windows for t in window[3]),
                "result": summary(windows),
            })
    return cases


def main():
    print('{"windows": [\n' + ",\n".join(map(json.dumps, window_cases())) + '\n],\n"text": [')
    print(",\n".join(map(json.dumps, text_cases())) + "\n]}")


main()
