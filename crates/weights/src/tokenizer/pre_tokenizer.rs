//! The rules that cut a text before byte-level BPE, by the name in `tokenizer.ggml.pre`.

use serde_json::{Value, json};

/// The names that are understood, as messages list them.
pub(super) const SUPPORTED: &str =
    "gpt-2, default, olmo, mpt, smollm, llama-bpe, llama3, llama-v3, dbrx, qwen2, deepseek-r1-qwen";

/// The rule of one model family.
pub(super) struct PreTokenizer {
    /// The `pre_tokenizer` part of `tokenizer.json`.
    pub(super) json: Value,
    /// The `normalizer` part.
    pub(super) normalizer: Value,
    /// Whether a piece that is a token as a whole is taken without merging.
    pub(super) ignore_merges: bool,
    /// Whether the beginning token is put before a text if the metadata does not say.
    pub(super) adds_beginning: bool,
}

/// The rule called `name`. `default`, which files of unknown origin carry, is taken as GPT-2's.
pub(super) fn by_name(name: &str) -> Option<PreTokenizer> {
    let plain = |json| PreTokenizer {
        json,
        normalizer: Value::Null,
        ignore_merges: false,
        adds_beginning: false,
    };
    Some(match name {
        "gpt-2" | "default" => plain(byte_level(true)),
        // GPT-NeoX's tokenizer, which OLMo and MPT took over.
        "olmo" | "mpt" => PreTokenizer { normalizer: nfc(), ..plain(byte_level(true)) },
        "smollm" => plain(json!({
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": true}, byte_level(true)],
        })),
        "llama-bpe" | "llama3" | "llama-v3" => PreTokenizer {
            ignore_merges: true,
            adds_beginning: true,
            ..plain(split_then_bytes(r"\p{N}{1,3}"))
        },
        // OLMo 2 and Phi-4 too.
        "dbrx" => plain(split_then_bytes(r"\p{N}{1,3}")),
        "qwen2" | "deepseek-r1-qwen" => {
            PreTokenizer { normalizer: nfc(), ..plain(split_then_bytes(r"\p{N}")) }
        }
        _ => return None,
    })
}

fn nfc() -> Value {
    json!({"type": "NFC"})
}

/// Bytes as printable characters, after GPT-2's expression if `use_regex`.
pub(super) fn byte_level(use_regex: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": true,
        "use_regex": use_regex,
    })
}

/// The expression of Llama 3 and Qwen 2, which differ in `numbers` alone.
fn split_then_bytes(numbers: &str) -> Value {
    let expression = [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|",
        numbers,
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ]
    .concat();
    json!({
        "type": "Sequence",
        "pretokenizers": [
            {
                "type": "Split",
                "pattern": {"Regex": expression},
                "behavior": "Isolated",
                "invert": false,
            },
            byte_level(false),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_messages_is_understood() {
        assert!(SUPPORTED.split(", ").all(|name| by_name(name).is_some()));
        assert!(by_name("tekken").is_none());
    }
}
