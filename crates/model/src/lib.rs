//! The decoder, cut into stages: tokens in, scores out, hidden states in between.
//!
//! [`Model::load`] reads a checkpoint and returns a chain of [`Stage`]s. The first one embeds
//! tokens, every one passes [`Hidden`] states to the next through host memory, and the last one
//! scores them: exact negative log-likelihood of every target over the full vocabulary, and the
//! divergence from a baseline whose logits are still in memory.
//!
//! A model is data: a [`ModelConfig`], which one of the [`FAMILIES`] derives from a `config.json`.
//! The decoder is written once over [`strait_ops::Ops`]; it runs on strait-cpu, and on the library of
//! strait-burn where a device needs it ([`strait_backend`]).

mod config;
mod decoder;
mod device;
mod error;
mod families;
mod load_in;
mod model;
mod names;
mod needed;
mod noise;
mod past;
mod relevance;
mod run;
mod score;
mod source;
mod stage;
mod tensors;

pub use config::{
    Experts, HeadNorm, LatentConfig, LayerConfig, MlpConfig, ModelConfig, SharedExpert,
};
pub use device::{Device, open_device, passed_over};
pub use error::ModelError;
pub use families::{FAMILIES, Family};
pub use load_in::LoadedIn;
pub use model::Model;
pub use noise::Noise;
pub use past::{CacheVisitor, CachedLayer, StageCaches};
pub use relevance::head_relevance;
pub use source::{SharedSource, SourceTensor, TensorSource};
pub use stage::{Ahead, CachedRun, Reference, RunInput, Stage};
pub use strait_backend::leave_by;
pub use strait_cpu::instructions as cpu_instructions;
pub use strait_ops::{
    Activation, AlignedBytes, AttentionShape, CacheContents, Dtype, HeadEntries, Hidden, Norm,
    NormKind, OpsError, Part, Place, ProbeRequest, ProbeResult, RopeConfig, RopeScaling, Routing,
    ScoreRange, SequenceScores, Shape, Site, Tap,
};
