//! The decoder, cut into stages: tokens in, scores out, hidden states in between.
//!
//! [`Model::load`] reads a checkpoint and gives a chain of [`Stage`]s. The first one embeds tokens,
//! every one hands [`Hidden`] states to the next through host memory, and the last one scores them:
//! exact negative log-likelihood of every target over the full vocabulary, and the divergence from
//! a baseline whose logits are still in memory.
//!
//! A model is data: [`ModelConfig`] from `config.json`, and a row in [`FAMILIES`]. The hot
//! operations have one form in burn's tensor operations, for CUDA, and one of their own for the
//! CPU.

mod config;
mod decoder;
mod device;
mod dtype;
mod error;
mod hidden;
mod model;
mod ops;
mod rope;
mod source;
mod stage;

pub use config::{FAMILIES, Family, ModelConfig};
pub use device::{Device, open_device};
pub use dtype::Dtype;
pub use error::ModelError;
pub use hidden::{AlignedBytes, Hidden};
pub use model::Model;
pub use rope::{RopeConfig, RopeScaling};
pub use source::{SourceTensor, TensorSource};
pub use stage::{Reference, ScoreRange, SequenceScores, Stage};
