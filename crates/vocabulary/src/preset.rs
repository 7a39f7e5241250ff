//! Published evaluation protocols, by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::named;

/// A published evaluation protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Sliding windows of 2048 with stride 512, only new tokens scored (the Hugging Face
    /// documentation, split-bench).
    #[default]
    HfStride,
    /// Windows of 2048 that do not overlap, tail dropped (the GPTQ, AWQ, QuaRot and SpinQuant
    /// papers).
    Gptq,
    /// Twenty rows of 2048 with stride 512, every position of each row scored (exllamav3's
    /// `compare_q`). Its newer versions drop empty rows of the text, as this does; `join =
    /// "blank-line"` in `[data]` is the older.
    Exl3,
    /// Windows of 512 that do not overlap, the second half scored (llama.cpp's `perplexity`). The
    /// first token of a window is replaced by BOS if the tokenizer adds one.
    Llamacpp,
    /// Windows of a context and a suffix, the suffix scored: what a pressed or quantized KV cache does
    /// to what comes after a prefill. 2048 and 512 tokens when left out.
    PrefillSuffix,
}

named!(
    Preset,
    "protocol preset",
    HfStride = "hf-stride",
    Gptq = "gptq",
    Exl3 = "exl3",
    Llamacpp = "llamacpp",
    PrefillSuffix = "prefill-suffix",
);
