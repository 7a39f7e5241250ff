"""Token streams of a nasty text as the named tools make them, per preset. Made with Python 3.11.7,
transformers 5.23.0, tokenizers 0.23.3, llama-cpp-python 0.3.36, gguf 0.19.0, sentencepiece 0.2.3, pyarrow 26.0.1,
numpy 2.4.6:

    python crates/data/tests/golden/streams.py

writes `streams/`: the files of each tokenizer that are not in assets, and streams.json. For each tokenizer
and each text there are

* `transformers`: what AutoTokenizer gives by default, which all presets but `llamacpp` follow;
* `llama_cpp`: what llama.cpp's `perplexity` reads, `llamacpp`: with a beginning token if the model has one,
  and control tokens in the text as text. The GGUF is written as llama.cpp's converter writes it: special
  tokens are control tokens, other added ones user-defined.

`byte-level` is the tokenizer of assets/models/wiki-4m; `byte-level-config` the same with a template that
puts token 0 before a text, NFC and a configuration that adds tokens of both kinds; `sentence-piece` a BPE of 400 pieces with byte fallback,
trained on the first rows of WikiText-2 and converted by Transformers.
"""

import io
import json
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import llama_cpp
import pyarrow.parquet as parquet
import sentencepiece
from gguf import GGUFWriter, TokenType
from transformers import AutoTokenizer, LlamaTokenizer

assert version("transformers") == "5.23.0"
HERE = Path(__file__).resolve().parent / "streams"
ASSETS = Path(__file__).resolve().parents[4] / "assets"

TEXTS = [
    "It's 1234567 o'clock, DON'T\n\n  x = 12 + 345;\r\n\r\n<|endoftext|></s> <s><unk> [INST]<|user|> hi<|system|>\n",
    "<|endoftext|>begins with <s>",
    "<s>begins with <|endoftext|>",
    "Größe → 北京 \U0001f600! Cafe\u0301\u00a0\u2003x\t\tend  \n \n",
    " leading space",
    "   \n\n\n   \n a 'S'T we'RE x'll\n'\n\"",
]


def byte_level(folder):
    folder.mkdir()
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(ASSETS / "models/wiki-4m" / name, folder)


def byte_level_config(folder):
    folder.mkdir()
    tokenizer = json.loads((ASSETS / "models/wiki-4m/tokenizer.json").read_text())
    size = len(tokenizer["model"]["vocab"])
    begin = "<|endoftext|>"
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": begin, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [],
        "special_tokens": {begin: {"id": begin, "ids": [0], "tokens": [begin]}},
    }
    tokenizer["normalizer"] = {"type": "NFC"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    flags = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "added_tokens_decoder": {
            str(size): {"content": "<|user|>", "special": False, **flags},
            str(size + 1): {"content": "<|system|>", "special": True, **flags},
        },
    }
    text = json.dumps(config, indent=1) + "\n"
    (folder / "tokenizer_config.json").write_text(text)
    (HERE / "byte-level-config.json").write_text(text)


def sentence_piece(folder):
    folder.mkdir()
    rows = parquet.read_table(ASSETS / "wikitext-2-raw/test-00000-of-00001.parquet")["text"].to_pylist()[:300]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(rows),
        model_writer=model,
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        character_coverage=0.99,
        num_threads=1,
        minloglevel=2,
    )
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "tokenizer.model").write_bytes(model.getvalue())
        config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>",
                  "unk_token": "<unk>", "add_bos_token": True, "add_eos_token": False, "legacy": True}
        (Path(temporary) / "tokenizer_config.json").write_text(json.dumps(config))
        LlamaTokenizer.from_pretrained(temporary).save_pretrained(folder)
    # Saving drops it; without it Transformers 5 takes another rule for spaces than the tokenizer.json that it wrote.
    saved = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(saved | {"legacy": True}, indent=2) + "\n")
    shutil.copy(folder / "tokenizer.json", HERE / "sentence-piece.json")
    shutil.copy(folder / "tokenizer_config.json", HERE / "sentence-piece-config.json")
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def gguf(folder, tokenizer, pieces, adds, path):
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    backend = tokenizer.backend_tokenizer
    added = backend.get_added_tokens_decoder()
    tokens = [backend.id_to_token(number) for number in range(backend.get_vocab_size())]
    kinds = []
    for number in range(len(tokens)):
        if pieces is not None and pieces.is_unknown(number):
            kinds.append(TokenType.UNKNOWN)
        elif number in added:
            kinds.append(TokenType.CONTROL if added[number].special else TokenType.USER_DEFINED)
        elif pieces is not None and pieces.is_byte(number):
            kinds.append(TokenType.BYTE)
        else:
            kinds.append(TokenType.NORMAL)
    if pieces is None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        merges = json.loads((folder / "tokenizer.json").read_text())["model"]["merges"]
        writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    else:
        writer.add_tokenizer_model("llama")
        writer.add_token_scores([pieces.get_score(number) for number in range(len(tokens))])
        writer.add_eos_token_id(pieces.eos_id())
    writer.add_token_list([token.encode() for token in tokens])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_add_bos_token(adds)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


shutil.rmtree(HERE, ignore_errors=True)
HERE.mkdir()
streams = {}
with tempfile.TemporaryDirectory() as temporary:
    byte_level(Path(temporary) / "byte-level")
    byte_level_config(Path(temporary) / "byte-level-config")
    pieces = sentence_piece(Path(temporary) / "sentence-piece")
    for name in ["byte-level", "byte-level-config", "sentence-piece"]:
        folder, path = Path(temporary) / name, os.path.join(temporary, name + ".gguf")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        adds = tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
        gguf(folder, tokenizer, pieces if name == "sentence-piece" else None, adds, path)
        model = llama_cpp.Llama(path, vocab_only=True, verbose=False)
        streams[name] = [
            {
                "transformers": tokenizer(text)["input_ids"],
                # llama.cpp reads a file without the line break at its end.
                "llama_cpp": model.tokenize(text.removesuffix("\n").encode(), add_bos=adds, special=False),
            }
            for text in TEXTS
        ]
with open(HERE / "streams.json", "w", encoding="utf-8") as out:
    json.dump({"texts": TEXTS, "streams": streams}, out, ensure_ascii=False)
    out.write("\n")
