"""Makes llama_cpp.json.

usage: python llama_cpp.py          (llama-cpp-python==0.3.36 gguf==0.19.0 tokenizers==0.23.3 numpy==2.4.6)

For every name of tokenizer.ggml.pre whose tokens are bytes in GPT-2's letters: what llama.cpp makes of some texts, without
tokens before or behind a text and without control tokens in it, as its `perplexity` reads a text. The vocabulary is a BPE
trained on these texts alone without any rule that cuts them, so that it has tokens across all boundaries and every cut shows.
Names with equal results share a row.
"""

import json
import os
import tempfile

import llama_cpp
from gguf import GGUFWriter, TokenType
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

NAMES = """
default minicpm5 llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano deepseek-llm deepseek-coder
deepseek-v3 spark2_5 youtu falcon mpt starcoder gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum
modern-bert jais-2 jina-v1-en jina-v2-code roberta-bpe refact command-r qwen2 deepseek-r1-qwen kormo f2llmv2 qwen35 stablelm2
olmo dbrx smaug-bpe poro-chat chatglm-bpe glm4 glm5 viking jais tekken smollm codeshell bloom gpt3-finnish exaone exaone4
exaone-moe chameleon minerva-7b megrez gpt-4o llama4 kanana2 talkie granite-embed-multi-97m tiny_aya cohere2moe superbpe
trillion granite-docling bailingmoe bailingmoe2 llada-moe seed-coder hunyuan hunyuan-dense hy_v4 joyai-llm kimi-k2 ufakzeka
grok-2 afmoe laguna minimax-m2 solar-open mellum2
""".split()

TEXTS = [
    "It's 1234567 o'clock, DON'T\n\n  x = 12 + 345;\r\n\r\nwe'll THEY'RE I'm 3'd",
    "Größe 12345 → 北京 \U0001f600! Cafe\u0301 e\u0301te\u0301 x",
    "   \n\n\n   \n a 'S'T we'RE x'll 3'd\n'\n\"  trailing  ",
    " two  spaces and a tab\tend ",
    "</s><s><unk><|endoftext|>[INST] <|im_start|>",
    "HelloWorld fooBar HTTPServer iPhone ABCdef Über ÉCOLE naïve",
    "a/b//c http://x.y/z?q=1&r=2 #tag @user $5.00 100% ~^`|",
    "안녕하세요 세계 こんにちは 世界 你好123 ไทย",
    "1 12 123 1234 12345 123456 1234567 0.5 ½ ２３４",
    "Привет, мир! مرحبا ١٢٣ नमस्ते",
    "İstanbul'dan O'Reilly's rock'n'roll 'tis d'accord\t\t \u00a0\u3000 x\n \n",
]

os.chdir(os.path.dirname(os.path.abspath(__file__)))
bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(
    vocab_size=1200, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"], show_progress=False
)
bpe.train_from_iterator(TEXTS * 2, trainer)
trained = json.loads(bpe.to_str())["model"]
tokens = sorted(trained["vocab"], key=trained["vocab"].get)
merges = [" ".join(merge) for merge in trained["merges"]]


def tokenize(folder, name):
    path = os.path.join(folder, "vocabulary.gguf")
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list([token.encode() for token in tokens])
    writer.add_token_types([TokenType.CONTROL] + [TokenType.NORMAL] * (len(tokens) - 1))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    model = llama_cpp.Llama(path, vocab_only=True, verbose=False)
    return [model.tokenize(text.encode(), add_bos=False, special=False) for text in TEXTS]


rows, of_name = [], {}
with tempfile.TemporaryDirectory() as folder:
    for name in NAMES:
        ids = tokenize(folder, name)
        if ids not in rows:
            rows.append(ids)
        of_name[name] = rows.index(ids)
with open("llama_cpp.json", "w", encoding="utf-8") as out:
    golden = {"tokens": tokens, "merges": merges, "texts": TEXTS, "rows": rows, "row": of_name}
    json.dump(golden, out, ensure_ascii=False)
    out.write("\n")
