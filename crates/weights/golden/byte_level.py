"""Makes byte_level.json.

usage: python byte_level.py TEXT          (tokenizers==0.23.3 transformers==5.23.0)

A byte-level BPE of 1000 tokens, trained on the first 300,000 characters of TEXT (the WikiText-2 raw test set, rows joined by
blank lines) without any rule that cuts the text into words, so that it has tokens across all their boundaries; and, for some
texts, the ids with the rule of each name of tokenizer.ggml.pre. The rules are Transformers' own: the classes of GPT-2,
GPT-NeoX and Qwen2, and the pattern of the converter for tiktoken's files, which is Llama 3's. SmolLM's is GPT-2's after single
digits (pre_tokenizers.Digits, as in its tokenizer.json).
"""

import json
import os
import sys
from importlib.metadata import version

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Tokenizer, GPTNeoXTokenizer, Qwen2Tokenizer
from transformers.convert_slow_tokenizer import TikTokenConverter

assert version("transformers") == "5.23.0"
text = open(sys.argv[1], encoding="utf-8").read()
os.chdir(os.path.dirname(os.path.abspath(__file__)))

bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
trainer = trainers.BpeTrainer(
    vocab_size=1000,
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    special_tokens=["<|endoftext|>"],
    show_progress=False,
)
extra = [" \n\n\n   \n ab 'S'T'RE'\n\"\r\n\t x'll 3'd" * 50, "It's 1234567 o'clock, DON'T\n\n  x = 12 + 345;\r\n" * 50]
pieces = [text[at : at + 40] for at in range(0, 300_000, 40)]
bpe.train_from_iterator(pieces + extra, trainer)
model = json.loads(bpe.to_str())["model"]
vocabulary, merges = model["vocab"], [tuple(merge) for merge in model["merges"]]


def split(ignore_merges):
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(TikTokenConverter().pattern), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    return tokenizer


def digits():
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ])
    return tokenizer


def backend(kind):
    return kind(vocab=vocabulary, merges=merges).backend_tokenizer


gpt2, neox = backend(GPT2Tokenizer), backend(GPTNeoXTokenizer)
rules = {
    "gpt-2": gpt2, "olmo": neox, "mpt": neox, "qwen2": backend(Qwen2Tokenizer), "llama-bpe": split(True),
    "dbrx": split(False), "smollm": digits(),
}

# The two paragraphs beyond the training text that are richest in figures and quotes, and the first.
rest = [line for line in text[300_000:].split("\n") if 300 < len(line) < 900]
rich = sorted(rest, key=lambda line: -sum(letter.isdigit() + (letter in "'\"") for letter in line) / len(line))
paragraphs = [rest[0], *rich[:2]]
texts = [
    *paragraphs,
    " two  spaces and a tab\tend ",
    "It's 1234567 o'clock, DON'T\n\n  x = 12 + 345;\r\n\r\n",
    "Größe 12345 → 北京 \U0001f600! Cafe\u0301 e\u0301te\u0301 \u00a0\u2003x",
    "   \n\n\n   \n a\u3000\u3000b 'S'T we'RE x'll 3'd\n'\n\"",
    "",
]
ids = {}
for name, tokenizer in rules.items():
    ids[name] = [tokenizer.encode(sample, add_special_tokens=False).ids for sample in texts]
tokens = sorted(vocabulary, key=vocabulary.get)
golden = {"tokens": tokens, "merges": [" ".join(merge) for merge in merges], "texts": texts, "ids": ids}
with open("byte_level.json", "w", encoding="utf-8") as out:
    json.dump(golden, out, ensure_ascii=False)
    out.write("\n")
