#!/usr/bin/env python3
"""Text that a language model makes itself, for `strait fit`: assets/calibration/smollm2-sampled.txt.

usage: sample-calibration.py MODEL.gguf OUT.txt [--tokens N]

Each of 24 beginnings is continued to N tokens (2,048) by sampling in bfloat16 at temperature 1, all of them as one batch;
special tokens are never drawn. Sampling depends on the CPU's rounding: another machine makes another text of the same kind.

Versions of the committed text: torch 2.15.0, transformers 5.23.0, gguf 0.19.0
"""
import argparse
import os

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

BEGINNINGS = [
    "\n\n = Robert Halloway = \n\n\n Robert Halloway ( born 12 March 1954 ) is an English actor , director and writer . He first appeared",
    "\n\n = Hurricane Delia ( 1968 ) = \n\n\n Hurricane Delia was the fourth named storm of the 1968 Atlantic hurricane season . It formed",
    "\n\n = 14th Cavalry Regiment = \n\n\n The 14th Cavalry Regiment was raised in 1793 , and it took part in the @-@ campaign of",
    "\n\n = The Glass Orchard = \n\n\n \" The Glass Orchard \" is the third episode of the second season of the American television series",
    "\n\n = Mount Serrano = \n\n\n Mount Serrano is a 2 @,@ 431 @-@ metre high stratovolcano in the southern Andes . It",
    "\n\n = SMS Walküre = \n\n\n SMS Walküre was a light cruiser of the Imperial German Navy , laid down in 1905 . The ship 's",
    "\n\n = Common blue finch = \n\n\n The common blue finch is a small passerine bird in the family Fringillidae . The species",
    "\n\n = Northern line extension = \n\n\n The extension was proposed in 1927 , and the station opened with",
    "\n\n = 2004 – 05 Wexford Rovers F.C. season = \n\n\n During the 2004 – 05 season the club played in",
    "\n\n = Shadow of the Pines ( album ) = \n\n\n Shadow of the Pines is the fifth studio album by the rock band",
    "\n\n = Game design = \n\n\n == Gameplay == \n\n\n The player controls a character who",
    "\n\n = Bishop Aldric of York = \n\n\n Aldric ( died 1143 ) was a medieval Bishop , who",
    "The history of the steam engine begins in the seventeenth century, when",
    "In this chapter we will learn about the water cycle and why it",
    "Once upon a time, in a small village by the sea, there lived",
    "The European Union announced on Tuesday that it would",
    "def read_config(path):\n    \"\"\"Read the configuration file.\"\"\"\n",
    "Dr. Maria Keller and her colleagues studied how the immune system",
    "The recipe is simple: first, wash the rice, then",
    "Dear editor, I am writing in response to the article about",
    "The theory of evolution by natural selection states that",
    "During the Second World War, the city of",
    "Question: What is the capital of France? Answer:",
    "He closed the door behind him and looked at her. \"I don't",
]

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("out")
parser.add_argument("--tokens", type=int, default=2048)
arguments = parser.parse_args()
folder, file = os.path.split(os.path.abspath(arguments.model))

torch.manual_seed(1)
torch.set_grad_enabled(False)
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.bfloat16).eval()

begun = [tokenizer(text)["input_ids"] for text in BEGINNINGS]
shared = min(map(len, begun))
ids = torch.tensor([tokens[:shared] for tokens in begun])
forced = [tokens[shared:] for tokens in begun]
cache, current = DynamicCache(), ids
for step in range(arguments.tokens - shared):
    logits = model(input_ids=current, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
    chances = torch.softmax(logits.float(), -1)
    chances[:, :3] = 0
    current = torch.multinomial(chances, 1)
    for row, tokens in enumerate(forced):
        if step < len(tokens):
            current[row, 0] = tokens[step]
    ids = torch.cat([ids, current], 1)
    if step % 128 == 0:
        print(f"{ids.shape[1]} of {arguments.tokens} tokens", flush=True)

texts = [tokenizer.decode(row).strip() for row in ids]
with open(arguments.out, "w", encoding="utf-8") as out:
    out.write("\n\n".join(texts) + "\n")
