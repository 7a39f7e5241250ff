"""Makes ../src/dequantize/grids.txt, the codebooks of GGML's IQ formats.

usage: python grids.py          (gguf==0.19.0)

The codebooks are constants of the gguf package, one class of gguf.quants a format, packed there in 2 or 4 bits a component;
they are written as they are. The package is under the MIT licence, whose notice goes into the file's header.
"""

import os
from importlib.metadata import distribution, version

from gguf import quants

os.chdir(os.path.dirname(os.path.abspath(__file__)))
LINE = 96
package = distribution("gguf")
licence = next(file for file in package.files if file.name == "LICENSE").locate().read_text()

lines = [
    f"Codebooks of GGML's IQ formats, written by golden/grids.py from the package gguf {version('gguf')}.",
    "Each has a line with its name, then hexadecimal lines. An entry is 8 or 4 components (IQ3), in order; a component is 2 bits",
    "or a nibble (IQ3), low bits first, and numbers one of the format's levels.",
    "",
    *licence.strip().split("\n"),
]
text = "".join(f"# {line}".rstrip() + "\n" for line in lines)
for name in ["IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"]:
    packed = getattr(quants, name).grid_hex.decode()
    text += f"{name}\n"
    text += "".join(packed[at : at + LINE] + "\n" for at in range(0, len(packed), LINE))
with open("../src/dequantize/grids.txt", "w") as out:
    out.write(text)
