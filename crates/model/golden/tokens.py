"""Makes tests/data/wiki-4m-tokens.bin: the first 4,096 tokens of the WikiText-2 raw test set.

Versions: tokenizers 0.23.3, pyarrow 26.0.1. Run from the repository root:
python crates/model/golden/tokens.py

The rows are joined with "\\n\\n" and tokenized once with assets/models/wiki-4m/tokenizer.json; the
file holds little-endian u16 ids. tokens.py checks the count of the whole text against the figure
in that model's README.
"""

import pathlib
import struct

import pyarrow.parquet as parquet
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[3]
rows = parquet.read_table(ROOT / "assets/wikitext-2-raw/test-00000-of-00001.parquet")["text"]
tokenizer = Tokenizer.from_file(str(ROOT / "assets/models/wiki-4m/tokenizer.json"))
ids = tokenizer.encode("\n\n".join(rows.to_pylist())).ids
assert len(ids) == 390_629, len(ids)
out = ROOT / "crates/model/tests/data/wiki-4m-tokens.bin"
out.write_bytes(struct.pack("<4096H", *ids[:4096]))
print(out, out.stat().st_size)
