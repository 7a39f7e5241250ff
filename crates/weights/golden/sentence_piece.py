"""Makes sentence_piece.gguf and .json, and gemma.gguf and .json.

usage: python sentence_piece.py TEXT          (sentencepiece==0.2.3 gguf==0.19.0 numpy==2.4.6)

SentencePiece BPEs of 600 pieces with byte fallback, trained on the first 200,000 characters of TEXT (the WikiText-2 raw test
set, rows joined by blank lines), stored as llama.cpp's converter stores them, and the ids that the sentencepiece package gives
for some texts. The second is as Gemma's: no space is put before a text, and runs of line breaks, spaces and tabs and some
marks are user-defined pieces, in which the converter writes spaces as they are.
"""

import io
import json
import os
import sys

import sentencepiece
from gguf import GGUFWriter, TokenType

text = open(sys.argv[1], encoding="utf-8").read()
os.chdir(os.path.dirname(os.path.abspath(__file__)))


def make(name, texts, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text[:200_000].split("\n")),
        model_writer=model,
        model_type="bpe",
        vocab_size=600,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        character_coverage=0.999,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    user_defined = options.get("user_defined_symbols", [])

    tokens, scores, kinds = [], [], []
    for number in range(pieces.vocab_size()):
        piece, score = pieces.id_to_piece(number), pieces.get_score(number)
        if piece in user_defined:
            piece, score = piece.replace("\u2581", " "), -1000.0
            kinds.append(TokenType.USER_DEFINED)
        elif pieces.is_unknown(number):
            kinds.append(TokenType.UNKNOWN)
        elif pieces.is_control(number):
            kinds.append(TokenType.CONTROL)
        elif pieces.is_byte(number):
            kinds.append(TokenType.BYTE)
        else:
            kinds.append(TokenType.NORMAL)
        tokens.append(piece.encode())
        scores.append(score)

    writer = GGUFWriter(name + ".gguf", "llama")
    writer.add_block_count(1)
    writer.add_embedding_length(8)
    writer.add_head_count(1)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(pieces.bos_id())
    writer.add_eos_token_id(pieces.eos_id())
    if not options.get("add_dummy_prefix", True):
        writer.add_add_space_prefix(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()

    cases = [{"text": sample, "ids": [pieces.bos_id(), *pieces.encode(sample)]} for sample in texts]
    with open(name + ".json", "w", encoding="utf-8") as out:
        json.dump(cases, out, ensure_ascii=False)
        out.write("\n")


odd = [
    " two  spaces and a tab\tend ",
    "line one\n\nline two\r\n",
    "Größe 12345 → 北京 \U0001f600!",
    "a",
]
make("sentence_piece", [text[300_000:302_000], *odd])
make(
    "gemma",
    [
        text[340_000:341_500],
        *odd,
        "\n\n\n\n\n\n      six\t\t\t\n \n  <h1>title</h1> <h1 >",
        "  leading, trailing  ",
        "\u2581x \u00a0y",
    ],
    add_dummy_prefix=False,
    pad_id=0,
    eos_id=1,
    bos_id=2,
    unk_id=3,
    user_defined_symbols=[
        *["\n" * count for count in range(1, 5)], *["\u2581" * count for count in range(2, 5)], "\t", "\t\t", "<h1>", "</h1>",
    ],
)
