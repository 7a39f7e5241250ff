//! Checkpoint readers: files in, dense tensors and a count of their stored bits out.
//!
//! [`Checkpoint::open`] opens a model directory (safetensors, one file or sharded) or a GGUF file, checks every
//! size and offset in it, and then provides each tensor by its Hugging Face name as f32, dequantized where
//! several stored tensors form one (`docs/formats.md` lists the formats). Configuration and tokenizer come from
//! the files beside the weights, or, for GGUF, from the metadata inside. This crate depends on neither burn nor
//! plugins.

mod accounting;
mod bytes;
mod checkpoint;
mod dequantize;
mod directory;
mod error;
mod format;
mod gguf;
mod heap;
mod hub;
pub mod load_in;
mod quantized;
mod safetensors;
mod source;
mod tensor;
mod tokenizer;
mod unread;

pub use accounting::{FormatShare, LayerSummary, Summary};
pub use checkpoint::Checkpoint;
pub use error::WeightsError;
pub use format::Format;
pub use heap::release as release_free_memory;
pub use source::{resolve_source, resolve_source_with, resolve_tokenizer};
pub use tensor::{DenseTensor, TensorInfo};
pub use tokenizer::TokenizerSource;
pub use unread::{Reading, Unread};
