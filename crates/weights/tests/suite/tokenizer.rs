//! Tokenizers built from GGUF metadata, used through the `tokenizers` crate.

use serde_json::Value;
use strait_weights::{Checkpoint, TokenizerSource};
use tokenizers::Tokenizer;

use crate::gguf_file::GgufFile;
use crate::golden;

const KINDS: &str = "tokenizer.ggml.token_type";

/// Adds a byte-level tokenizer with these tokens; all are normal.
pub(crate) fn with_byte_level(file: GgufFile, tokens: &[&str], merges: &[&str]) -> GgufFile {
    file.text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", "smollm")
        .texts("tokenizer.ggml.tokens", tokens)
        .texts("tokenizer.ggml.merges", merges)
        .i32s(KINDS, &vec![1; tokens.len()])
}

fn build(file: &GgufFile) -> Tokenizer {
    match file.open().unwrap().tokenizer().unwrap() {
        TokenizerSource::Json(json) => json.parse().unwrap(),
        TokenizerSource::File(path) => panic!("{}", path.display()),
    }
}

fn error(file: &GgufFile) -> String {
    file.open().unwrap().tokenizer().unwrap_err().to_string()
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text, true).unwrap().get_ids().to_vec()
}

const TOKENS: [&str; 13] =
    ["<bos>", "<user>", "a", "b", "ab", "Ġ", "Ġa", "1", "2", "12", "aĠ", "[PAD]", "Ċ"];
const MERGES: [&str; 4] = ["a b", "Ġ a", "1 2", "a Ġ"];

/// Ids 0 to 12: a control token, a user-defined one, normal ones, one unused.
fn small(pre: &str) -> GgufFile {
    with_byte_level(GgufFile::tiny_llama(), &TOKENS, &MERGES)
        .i32s(KINDS, &[3, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 1])
        .text("tokenizer.ggml.pre", pre)
        .u32("tokenizer.ggml.bos_token_id", 0)
}

#[test]
fn byte_level_rules_differ_as_their_models_do() {
    // Digits alone for smollm and qwen2, joined by the merge for the others.
    let digits_alone = [4, 5, 7, 8, 6];
    let digits_joined = [4, 5, 9, 6];
    let text = "ab 12 a";
    assert_eq!(ids(&build(&small("smollm")), text), digits_alone);
    assert_eq!(ids(&build(&small("qwen2")), text), digits_alone);
    assert_eq!(ids(&build(&small("default")), text), digits_joined);
    assert_eq!(
        ids(&build(&small("gpt-2").flag("tokenizer.ggml.add_bos_token", false)), text),
        digits_joined
    );
    assert_eq!(ids(&build(&small("gpt-2").without("tokenizer.ggml.pre")), text), digits_joined);
    // Llama 3's rule puts the beginning token first unless told not to.
    assert_eq!(ids(&build(&small("llama-bpe")), text), [&[0], &digits_joined[..]].concat());
    let without = small("llama-bpe").flag("tokenizer.ggml.add_bos_token", false);
    assert_eq!(ids(&build(&without), text), digits_joined);
}

#[test]
fn llama_3_takes_whole_words_without_merges() {
    let file = small("llama-bpe").texts("tokenizer.ggml.merges", &["Ġ a"]);
    assert_eq!(ids(&build(&file), "ab"), [0, 4]);
    let file = small("gpt-2").texts("tokenizer.ggml.merges", &["Ġ a"]);
    assert_eq!(ids(&build(&file), "ab"), [2, 3]);
}

#[test]
fn control_and_user_defined_tokens_are_found_in_the_text() {
    let tokenizer = build(&small("smollm"));
    assert_eq!(ids(&tokenizer, "<bos>a<user>b"), [0, 2, 1, 3]);
    let encoding = tokenizer.encode("<bos>a<user>b", true).unwrap();
    assert_eq!(tokenizer.decode(encoding.get_ids(), true).unwrap(), "a<user>b");
    assert_eq!(tokenizer.decode(encoding.get_ids(), false).unwrap(), "<bos>a<user>b");
    assert_eq!(tokenizer.token_to_id("[PAD]"), None);
    assert_eq!(tokenizer.decode(&[6, 12, 4], true).unwrap(), " a\nab");
}

#[test]
fn beginning_and_end_are_added_when_the_metadata_says_so() {
    let file = small("smollm")
        .flag("tokenizer.ggml.add_bos_token", true)
        .flag("tokenizer.ggml.add_eos_token", true)
        .u32("tokenizer.ggml.eos_token_id", 1);
    assert_eq!(ids(&build(&file), "a"), [0, 2, 1]);
    let without_specials = build(&file).encode("a", false).unwrap();
    assert_eq!(without_specials.get_ids(), [2]);
}

#[test]
fn what_cannot_be_rebuilt_is_an_error() {
    let short = small("smollm").i32s(KINDS, &[1]);
    let odd_kind = small("smollm").i32s(KINDS, &[9; 13]);
    let twice = small("smollm").texts("tokenizer.ggml.tokens", &["a"; 13]);
    let no_bos = small("llama-bpe").without("tokenizer.ggml.bos_token_id");
    let far_bos = small("llama-bpe").u32("tokenizer.ggml.bos_token_id", 13);
    let cases = [
        (
            GgufFile::tiny_llama(),
            "no tokenizer; expected the metadata key \"tokenizer.ggml.model\"",
        ),
        (
            small("gemma4"),
            "tokenizer.ggml.pre is \"gemma4\", which is not supported; supported are the names of llama.cpp (as of \
             llama-cpp-python 0.3.36) but those whose tokens are not bytes in GPT-2's letters (gemma4, sarvam-moe, \
             granite-embed-multi-311m, whitespace). A model directory with the original tokenizer.json works",
        ),
        (
            small("smollm").text("tokenizer.ggml.model", "t5"),
            "tokenizer.ggml.model is \"t5\", which is not supported; supported are gpt2 (byte-level BPE), llama \
             (SentencePiece BPE). A model directory with the original tokenizer.json works",
        ),
        (
            small("smollm").without("tokenizer.ggml.tokens"),
            "metadata key \"tokenizer.ggml.tokens\": expected an array of texts, found no such key",
        ),
        (
            small("smollm").i32s("tokenizer.ggml.tokens", &[1]),
            "metadata key \"tokenizer.ggml.tokens\": expected an array of texts, found an array of 1 values of type 5",
        ),
        (
            small("smollm").texts("tokenizer.ggml.merges", &["ab"]),
            "merge 0: expected two texts with a space between, found \"ab\"",
        ),
        (
            small("smollm").text("tokenizer.ggml.model", "llama"),
            "metadata key \"tokenizer.ggml.scores\": expected an array of f32, found no such key",
        ),
        (
            short,
            "metadata key \"tokenizer.ggml.token_type\": expected one type a token, found 1 for 13 tokens",
        ),
        (odd_kind, "type of token 0: expected 1 to 6, found 9"),
        (twice, "token \"a\": expected one id, found ids 0 and 1"),
        (
            no_bos,
            "metadata key \"tokenizer.ggml.bos_token_id\": expected a token id, because tokenizer.ggml.add_bos_token is \
             true, found no such key",
        ),
        (
            far_bos,
            "metadata key \"tokenizer.ggml.bos_token_id\": expected an id below 13, found 13",
        ),
    ];
    for (file, expected) in cases {
        assert_eq!(error(&file), format!("x.gguf: {expected}"));
    }
}

/// Every rule on the same vocabulary, which has tokens across the boundaries of all of them.
#[test]
fn byte_level_gives_the_ids_of_transformers() {
    let expected = std::fs::read_to_string(golden("byte_level.json")).unwrap();
    let expected: Value = expected.parse().unwrap();
    let list = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let (tokens, merges) = (list(&expected["tokens"]), list(&expected["merges"]));
    let mut kinds = vec![1; tokens.len()];
    kinds[0] = 3;
    let texts = list(&expected["texts"]);
    let rules = expected["ids"].as_object().unwrap();
    assert_eq!((rules.len(), texts.len()), (7, 8));
    for (rule, expected) in rules {
        let file = GgufFile::tiny_llama()
            .text("tokenizer.ggml.model", "gpt2")
            .text("tokenizer.ggml.pre", rule)
            .texts("tokenizer.ggml.tokens", &tokens)
            .texts("tokenizer.ggml.merges", &merges)
            .i32s(KINDS, &kinds)
            .u32("tokenizer.ggml.bos_token_id", 0);
        let tokenizer = build(&file);
        let expected: Vec<Vec<u32>> = serde_json::from_value(expected.clone()).unwrap();
        for (text, expected) in texts.iter().zip(expected) {
            let found = tokenizer.encode(text.as_str(), false).unwrap();
            assert_eq!(found.get_ids(), expected, "{rule}: {text:?}");
        }
    }
}

#[test]
fn sentence_piece_gives_the_ids_of_its_own_package() {
    same_as_sentence_piece("sentence_piece", 5);
}

#[test]
fn user_defined_pieces_and_no_first_space_give_the_ids_of_sentence_piece() {
    same_as_sentence_piece("gemma", 8);
}

fn same_as_sentence_piece(name: &str, count: usize) {
    let checkpoint = Checkpoint::open(&golden(&format!("{name}.gguf"))).unwrap();
    let TokenizerSource::Json(json) = checkpoint.tokenizer().unwrap() else {
        panic!("a file");
    };
    let tokenizer: Tokenizer = json.parse().unwrap();
    let cases = std::fs::read_to_string(golden(&format!("{name}.json"))).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    assert_eq!(cases.len(), count);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let expected: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        assert_eq!(ids(&tokenizer, text), expected, "{text:?}");
        // A text's own "\u{2581}" is taken for a space by SentencePiece too.
        let decoded = tokenizer.decode(&expected, true).unwrap();
        assert_eq!(decoded, text.replace('\u{2581}', " "));
    }
}

/// Names, and the texts of the golden by number, for which llama.cpp replaced a model's own expression by one that its matcher can
/// do, or which the model's tokenizer brings into form NFC first.
const NOT_AS_LLAMA_CPP: [(&str, &[usize]); 17] = [
    ("cohere2moe", &[5]),
    ("deepseek-coder", &[10]),
    ("deepseek-llm", &[10]),
    ("deepseek-r1-qwen", &[1]),
    ("gpt-4o", &[1, 9]),
    ("kanana2", &[1, 9]),
    ("kimi-k2", &[1, 5, 9]),
    ("llama4", &[1, 9]),
    ("minimax-m2", &[1, 9]),
    ("mpt", &[1]),
    ("olmo", &[1]),
    ("qwen2", &[1]),
    ("qwen35", &[1]),
    ("talkie", &[1, 9]),
    ("tekken", &[1, 9]),
    ("tiny_aya", &[5]),
    ("youtu", &[5]),
];

#[test]
fn every_rule_of_llama_cpp_gives_its_ids() {
    let golden = std::fs::read_to_string(golden("llama_cpp.json")).unwrap();
    let golden: Value = golden.parse().unwrap();
    let list = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let (tokens, merges) = (list(&golden["tokens"]), list(&golden["merges"]));
    let texts = list(&golden["texts"]);
    let mut kinds = vec![1; tokens.len()];
    kinds[0] = 3;
    let mut differing = Vec::new();
    for (name, row) in golden["row"].as_object().unwrap() {
        let file = GgufFile::tiny_llama()
            .text("tokenizer.ggml.model", "gpt2")
            .text("tokenizer.ggml.pre", name)
            .texts("tokenizer.ggml.tokens", &tokens)
            .texts("tokenizer.ggml.merges", &merges)
            .i32s(KINDS, &kinds)
            .u32("tokenizer.ggml.bos_token_id", 0);
        let mut tokenizer = build(&file);
        tokenizer.set_encode_special_tokens(true);
        let row = &golden["rows"][row.as_u64().unwrap() as usize];
        let differs = |(at, text): (usize, &String)| {
            let expected: Vec<u32> = serde_json::from_value(row[at].clone()).unwrap();
            let found = tokenizer.encode(text.as_str(), false).unwrap();
            (found.get_ids() != expected).then_some(at)
        };
        let at: Vec<usize> = texts.iter().enumerate().filter_map(differs).collect();
        if !at.is_empty() {
            differing.push((name.clone(), at));
        }
    }
    differing.sort();
    let expected: Vec<(String, Vec<usize>)> =
        NOT_AS_LLAMA_CPP.iter().map(|(name, at)| ((*name).to_owned(), at.to_vec())).collect();
    assert_eq!(differing, expected);
}
