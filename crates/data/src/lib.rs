//! Data sets, tokenization and protocols: from a text source to the windows whose tokens are scored.
//!
//! [`load`] reads a text and joins its rows, [`Protocol::tokenize`] turns it into one token stream,
//! [`Protocol::windows`] determines which positions are scored in which context, and
//! [`Protocol::fingerprint`] identifies all of it, so that two results can be told apart when they
//! were not measured in the same way.

mod error;
mod fingerprint;
mod guard;
mod hash;
mod llama_cpp;
mod protocol;
mod read;
mod sets;
mod text;
mod text_stream;
mod tokenizer;
mod tokenizer_config;
mod window;

pub use error::DataError;
pub use fingerprint::Fingerprint;
pub use hash::{sha256_hex, token_stream_sha256};
pub use protocol::{Protocol, Scored, Tail, join_of};
pub use strait_vocabulary::{Bos, Join, Preset};
pub use text::{Text, TextSource, load, load_with};
pub use text_stream::TextStream;
pub use tokenizer::{Encoded, Specials, TokenStream, Tokenizer};
pub use window::Window;
