//! What the decoder and a backend agree on: the trait [`Ops`] and the types that it speaks.
//!
//! A backend is a crate that implements [`Ops`] for a kind of device; the decoder is written once,
//! over any of them. Hidden states, scores, element types and rotary tables are the same for all.

mod dtype;
mod error;
mod hidden;
mod operations;
mod rope;
mod score;
mod shape;

pub use dtype::Dtype;
pub use error::OpsError;
pub use hidden::{AlignedBytes, Hidden};
pub use operations::{AttentionTensors, LinearTensors, MlpTensors, Ops};
pub use rope::{RopeConfig, RopeScaling, RopeTable};
pub use score::{ScoreRange, SequenceScores};
pub use shape::Shape;
