//! Where the token that begins a sequence stands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::named;

/// Where the token that begins a sequence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bos {
    /// Where the tokenizer puts it by default: once, before the text, if at all. A text that begins with it keeps the one it
    /// has.
    Tokenizer,
    /// Besides that it replaces the first token of every window, if the tokenizer has one (llama.cpp).
    EachWindow,
    /// Nowhere.
    Never,
}

named!(Bos, "BOS rule", Tokenizer = "tokenizer", EachWindow = "each-window", Never = "never");
