//! The rules that split a text before byte-level BPE, by the name in `tokenizer.ggml.pre`.
//!
//! Names and expressions are llama.cpp's. Where llama.cpp notes that it replaced the expression of a model's
//! `tokenizer.json` by one that its own matcher supports (classes of letters by case, combining marks), the
//! model's expression is used. `golden/llama_cpp.py` produces llama.cpp's own results; the test beside it lists
//! where they differ.

use serde_json::{Value, json};

use super::expressions::{self as e, cased, words};

/// The supported names, for messages.
pub(super) const SUPPORTED: &str = "the names of llama.cpp (as of llama-cpp-python 0.3.36) but those whose tokens are not \
                                    bytes in GPT-2's letters (gemma4, sarvam-moe, granite-embed-multi-311m, whitespace)";

/// The rule of one model family.
pub(super) struct PreTokenizer {
    /// The `pre_tokenizer` member of `tokenizer.json`.
    pub(super) json: Value,
    /// The `normalizer` member of `tokenizer.json`.
    pub(super) normalizer: Value,
    /// Whether a piece that is a token as a whole is used without merging.
    pub(super) ignore_merges: bool,
    /// Whether the beginning token is put before a text if the metadata does not say.
    pub(super) adds_beginning: bool,
}

/// The rule called `name`.
pub(super) fn by_name(name: &str) -> Option<PreTokenizer> {
    Some(match name {
        "default" => split(&[e::DEFAULT_MARKS, e::GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
        "gpt-2" | "phi-2" | "jina-es" | "jina-de" | "gigachat" | "jina-v2-es" | "jina-v2-de"
        | "a.x-4.0" | "mellum" | "modern-bert" | "jina-v1-en" | "jina-v2-code" | "roberta-bpe"
        | "jais" | "trillion" | "granite-docling" | "exaone4" => gpt2(),
        // GPT-NeoX's tokenizer, which OLMo and MPT adopted.
        "olmo" | "mpt" => gpt2().nfc(),
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" | "minerva-7b"
        | "mellum2" => rule(json!({
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": true}, byte_level(true)],
        })),
        "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0"
        | "lfm2" | "jina-v5-nano" => {
            PreTokenizer { adds_beginning: true, ..one(&words(e::DIGITS_3)).whole() }
        }
        "glm4" | "glm5" => one(&words(e::DIGITS_3)).whole(),
        // This also covers OLMo 2 and Phi-4.
        "dbrx" | "smaug-bpe" | "chatglm-bpe" => one(&words(e::DIGITS_3)),
        "minicpm5" => split(&[e::DIGITS_3, &words(r"\p{N}+")]).whole(),
        "jais-2" => one(&e::jais_2()),
        "qwen2" | "deepseek-r1-qwen" => one(&words(e::DIGIT)).nfc(),
        "kormo" | "f2llmv2" | "stablelm2" | "hunyuan" | "solar-open" | "megrez" | "grok-2" => {
            one(&words(e::DIGIT))
        }
        "qwen35" => one(&e::qwen35()).nfc(),
        "laguna" => split(&[e::LINES, &words(e::DIGIT)]),
        "ufakzeka" => one(&e::ufakzeka()),
        "bailingmoe" | "bailingmoe2" | "llada-moe" => one(e::BAILING),
        "seed-coder" => one(&e::seed_coder()),
        "exaone-moe" => one(&e::exaone_moe()),
        "deepseek-llm" => split(&e::deepseek_llm()),
        "deepseek-coder" => split(&e::DEEPSEEK_CODER),
        "deepseek-v3" | "hunyuan-dense" | "joyai-llm" | "hy_v4" => {
            split(&[e::DIGITS_3, e::CJK, &e::deepseek_v3()])
        }
        "spark2_5" => split(&[e::DIGITS_3, e::CJK, &e::spark(), e::DIGIT]),
        "afmoe" => split(&[e::AFMOE_DIGITS, e::AFMOE_SCRIPTS, &e::deepseek_v3()]),
        "falcon" => split(&[e::FALCON_MARKS, e::GPT2, "[0-9][0-9][0-9]"]),
        "chameleon" => PreTokenizer { adds_beginning: true, ..split(&e::CHAMELEON) },
        "poro-chat" | "bloom" | "gpt3-finnish" => one(e::BLOOM),
        "viking" => split(&[e::BLOOM, e::DIGIT]),
        "superbpe" => split(&[r"\p{N}+", r"(?=(\d{3})+(?!\d))"]),
        "tekken" => PreTokenizer { adds_beginning: true, ..one(&cased("", e::DIGIT)).whole() },
        "gpt-4o" | "llama4" | "kanana2" | "talkie" | "minimax-m2" => {
            one(&cased(e::CONTRACTION_IF, e::DIGITS_3))
        }
        "granite-embed-multi-97m" => one(&cased(e::CONTRACTION_IF, e::DIGITS_3)).whole(),
        "tiny_aya" | "cohere2moe" => {
            split(&[r"\d{1,3}(?=(?:\d{3})*\b)", &cased(e::CONTRACTION_IF, e::DIGITS_3)])
        }
        "youtu" => split(&[e::YOUTU_SCRIPTS, &cased(e::CONTRACTION_IF, e::DIGIT)]).whole(),
        "kimi-k2" => one(&e::kimi_k2()),
        _ => return None,
    })
}

impl PreTokenizer {
    /// Normalises the text to Unicode's form NFC first.
    fn nfc(self) -> Self {
        Self { normalizer: json!({"type": "NFC"}), ..self }
    }

    /// Uses pieces that are tokens as a whole without merging.
    fn whole(self) -> Self {
        Self { ignore_merges: true, ..self }
    }
}

fn rule(json: Value) -> PreTokenizer {
    PreTokenizer { json, normalizer: Value::Null, ignore_merges: false, adds_beginning: false }
}

fn gpt2() -> PreTokenizer {
    rule(byte_level(true))
}

fn one(expression: &str) -> PreTokenizer {
    split(&[expression])
}

/// Each expression splits what the previous one left into its matches and the text between them.
fn split(expressions: &[&str]) -> PreTokenizer {
    let split = |expression: &&str| {
        json!({
            "type": "Split",
            "pattern": {"Regex": expression},
            "behavior": "Isolated",
            "invert": false,
        })
    };
    let parts: Vec<Value> = expressions.iter().map(split).chain([byte_level(false)]).collect();
    rule(json!({"type": "Sequence", "pretokenizers": parts}))
}

/// Represents bytes as printable characters, after GPT-2's expression if `use_regex` is set.
pub(super) fn byte_level(use_regex: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": true,
        "use_regex": use_regex,
    })
}
