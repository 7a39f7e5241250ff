"""Makes sentence_piece.gguf and sentence_piece.json.

usage: python sentence_piece.py TEXT          (sentencepiece==0.2.3 gguf==0.19.0 numpy==2.4.6)

A SentencePiece BPE of 600 pieces with byte fallback, trained on the first 200,000 characters of TEXT (the WikiText-2 raw test
set, rows joined by blank lines), stored as llama.cpp's converter stores it, and the ids that the sentencepiece package gives
for some texts.
"""

import io
import json
import os
import sys

import sentencepiece
from gguf import GGUFWriter, TokenType

text = open(sys.argv[1], encoding="utf-8").read()
os.chdir(os.path.dirname(os.path.abspath(__file__)))
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
)
pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())

tokens, scores, kinds = [], [], []
for number in range(pieces.vocab_size()):
    tokens.append(pieces.id_to_piece(number).encode())
    scores.append(pieces.get_score(number))
    if pieces.is_unknown(number):
        kinds.append(TokenType.UNKNOWN)
    elif pieces.is_control(number):
        kinds.append(TokenType.CONTROL)
    elif pieces.is_byte(number):
        kinds.append(TokenType.BYTE)
    else:
        kinds.append(TokenType.NORMAL)

writer = GGUFWriter("sentence_piece.gguf", "llama")
writer.add_block_count(1)
writer.add_embedding_length(8)
writer.add_head_count(1)
writer.add_tokenizer_model("llama")
writer.add_token_list(tokens)
writer.add_token_scores(scores)
writer.add_token_types(kinds)
writer.add_bos_token_id(pieces.bos_id())
writer.add_eos_token_id(pieces.eos_id())
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.close()

texts = [
    text[300_000:302_000],
    " two  spaces and a tab\tend ",
    "line one\n\nline two\r\n",
    "Größe 12345 → 北京 \U0001f600!",
    "a",
]
cases = [{"text": sample, "ids": [pieces.bos_id(), *pieces.encode(sample)]} for sample in texts]
with open("sentence_piece.json", "w", encoding="utf-8") as out:
    json.dump(cases, out, ensure_ascii=False)
    out.write("\n")
