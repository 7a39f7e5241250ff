//! The identity of a protocol applied to a text: equal fingerprints mean that every score is about
//! the same token in the same context.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::sha256_hex;
use crate::{Bos, Protocol, Text, TokenStream, Window};

/// The first line of the hashed text. Its number increases when the fields or their meaning change,
/// because equal ids would then no longer mean equal protocols.
const VERSION: &str = "strait-protocol 1";

/// Everything except the model that a score depends on, and an id of it.
///
/// The preset is not part of it: a preset with overridden fields that equals another one measures
/// the same. Nor are limits that were not reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// 16 hexadecimal digits over all other fields.
    pub id: String,
    /// SHA-256 of the whole text in UTF-8.
    pub text_sha256: String,
    /// How rows were joined; `as-is` for a text without rows.
    pub join: String,
    /// `kept`, `dropped`, or `none` for a text without rows.
    pub empty_rows: String,
    /// SHA-256 of the tokens in use, as little-endian 32-bit integers.
    pub tokens_sha256: String,
    /// Tokens in use.
    pub tokens: usize,
    /// The BOS rule; for `each-window` followed by the token id or `none`.
    pub bos: String,
    /// Tokens in a window.
    pub window: usize,
    /// Tokens from the start of one window to the start of the next.
    pub stride: usize,
    /// What becomes of the end of the stream.
    pub tail: String,
    /// Which tokens of a window are scored.
    pub scored: String,
    /// Number of windows.
    pub windows: usize,
    /// Scored tokens over all windows.
    pub scored_tokens: usize,
}

impl Fingerprint {
    pub(crate) fn new(
        protocol: &Protocol,
        text: &Text,
        stream: &TokenStream,
        windows: &[Window],
    ) -> Self {
        let bos = match (protocol.bos, stream.bos_id) {
            (Bos::EachWindow, Some(id)) => format!("{} {id}", protocol.bos),
            (Bos::EachWindow, None) => format!("{} none", protocol.bos),
            (rule, _) => rule.to_string(),
        };
        let empty_rows = match text.join.map(|join| join.keeps_empty_rows()) {
            Some(true) => "kept",
            Some(false) => "dropped",
            None => "none",
        };
        let mut fingerprint = Self {
            id: String::new(),
            text_sha256: text.sha256.clone(),
            join: text.join.map_or("as-is", |join| join.name()).to_owned(),
            empty_rows: empty_rows.to_owned(),
            tokens_sha256: stream.sha256.clone(),
            tokens: stream.tokens.len(),
            bos,
            window: protocol.window,
            stride: protocol.stride,
            tail: protocol.tail.to_string(),
            scored: protocol.scored.to_string(),
            windows: windows.len(),
            scored_tokens: windows.iter().map(Window::scored).sum(),
        };
        let digest = sha256_hex(format!("{VERSION}\n{fingerprint}").as_bytes());
        fingerprint.id = digest[..16].to_owned();
        fingerprint
    }

    /// All fields except the id, in the order in which they are hashed.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, String); 12] {
        [
            ("text_sha256", self.text_sha256.clone()),
            ("join", self.join.clone()),
            ("empty_rows", self.empty_rows.clone()),
            ("tokens_sha256", self.tokens_sha256.clone()),
            ("tokens", self.tokens.to_string()),
            ("bos", self.bos.clone()),
            ("window", self.window.to_string()),
            ("stride", self.stride.to_string()),
            ("tail", self.tail.clone()),
            ("scored", self.scored.clone()),
            ("windows", self.windows.to_string()),
            ("scored_tokens", self.scored_tokens.to_string()),
        ]
    }
}

/// Prints one line `field = value` for every field except the id.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields().iter().try_for_each(|(name, value)| writeln!(f, "{name} = {value}"))
    }
}
