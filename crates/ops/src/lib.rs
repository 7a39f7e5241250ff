//! The interface between the decoder and its backends: the trait [`Ops`] and the types that it
//! uses.
//!
//! A backend is a crate that implements [`Ops`] for a kind of device; the decoder is written once,
//! over any of them. Hidden states, scores, element types and rotary tables are the same for all.

mod cache;
mod error;
mod hidden;
mod layer_tap;
mod operations;
mod rope;
mod routing;
mod score;
mod shape;
mod tap;
mod tensors;

pub use cache::{CacheContents, HeadEntries, Past, ProbeRequest, ProbeResult};
pub use error::{OpsError, panic_text};
pub use hidden::{AlignedBytes, Hidden};
pub use layer_tap::LayerTap;
pub use operations::Ops;
pub use rope::{RopeConfig, RopeScaling, RopeTable};
pub use routing::{Groups, Routing, Scoring};
pub use score::{ScoreRange, SequenceScores};
pub use shape::{Activation, AttentionShape, Norm, NormKind, Shape};
pub use strait_vocabulary::Dtype;
pub use tap::{Part, Place, Site, Tap};
pub use tensors::{
    AttentionTensors, FeedForwardTensors, HeadNorms, LatentTensors, LinearTensors, MlpTensors,
    Network, NormTensors, Projections, Shared,
};
