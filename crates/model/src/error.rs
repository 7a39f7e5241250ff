//! What can go wrong when a model is built, moved or run.

use std::error::Error;

use strait_ops::{Dtype, OpsError};

/// An error of this crate. Messages say what was expected, what was found and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The configuration names a family that this crate does not support.
    #[error(
        "unknown architecture: expected \"model_type\" to be one of {supported}, found {found}; \
         use a checkpoint of a supported family"
    )]
    UnknownArchitecture {
        /// The value in the configuration.
        found: String,
        /// Every supported `model_type`.
        supported: String,
    },
    /// A key of the configuration is missing or has an unusable value.
    #[error(
        "model configuration, key \"{key}\": expected {expected}, found {found}; check config.json"
    )]
    Config {
        /// Key in `config.json`.
        key: String,
        /// What the value should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The checkpoint could not give a tensor.
    #[error("tensor \"{name}\" cannot be read from the checkpoint: {source}")]
    Tensor {
        /// Hugging Face name of the tensor.
        name: String,
        /// The checkpoint's error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The shape of a tensor differs from what the configuration implies.
    #[error(
        "tensor \"{name}\": expected shape {expected:?} from the configuration, found {found:?}; \
         the weights and config.json do not belong together"
    )]
    TensorShape {
        /// Hugging Face name of the tensor.
        name: String,
        /// Shape that the configuration implies.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A cut lies past the last layer.
    #[error(
        "cut after layer {cut}: expected a layer from 0 to {last}, for the model has {layers} \
         layers; lower the cut"
    )]
    CutPastEnd {
        /// The cut.
        cut: usize,
        /// Number of the last layer.
        last: usize,
        /// How many layers the model has.
        layers: usize,
    },
    /// Cuts are not in rising order.
    #[error(
        "cuts {cuts:?}: expected rising layer numbers without repeats; sort them and drop repeats"
    )]
    CutOrder {
        /// The cuts, as given.
        cuts: Vec<usize>,
    },
    /// The number of devices fits neither one for all stages nor one for each.
    #[error("devices: expected 1 (for all stages) or {stages} (one for each stage), found {found}")]
    DeviceCount {
        /// Number of stages.
        stages: usize,
        /// Number of devices given.
        found: usize,
    },
    /// A device name cannot be read.
    #[error(
        "device \"{found}\": expected \"auto\", \"cpu\", \"cpu:plain\", \"cuda\" or \"cuda:N\""
    )]
    UnknownDevice {
        /// The name, as given.
        found: String,
    },
    /// The device is not available.
    #[error("device \"{device}\" cannot be used: {reason}; use device = \"cpu\" or \"auto\"")]
    DeviceMissing {
        /// The device, as given.
        device: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// The device does not support the model's element type.
    #[error(
        "device \"{device}\": expected one that computes in {dtype}, but it does not; use \
         dtype = \"f32\" or another device"
    )]
    DeviceDtype {
        /// The device.
        device: String,
        /// The model's dtype.
        dtype: Dtype,
    },
    /// A device failed, or its input does not fit.
    #[error(transparent)]
    Ops(#[from] OpsError),
    /// A press or codec of the cache failed.
    #[error("cache: {0}")]
    Visit(#[source] Box<dyn Error + Send + Sync>),
    /// The caches were made by another stage.
    #[error("caches: expected those that this stage opened, found another stage's")]
    ForeignCaches,
    /// A layer's input was not kept, because the visitor did not say that it probes.
    #[error("layer {layer}: its input is there only for a visitor that says that it probes")]
    NoLook {
        /// Number of the layer.
        layer: usize,
    },
    /// A token is not in the vocabulary.
    #[error(
        "token {token} at position {position}: expected an id below {vocab}, the size of the \
         vocabulary; the tokenizer does not belong to this model"
    )]
    TokenRange {
        /// The token.
        token: u32,
        /// Its position in the given tokens.
        position: usize,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// A sequence is longer than the table of learned positions.
    #[error(
        "sequence of {tokens} tokens: expected at most {longest}, the positions that the model has \
         learned; use a shorter window"
    )]
    TooLong {
        /// Tokens of the sequence.
        tokens: usize,
        /// Rows of the table.
        longest: usize,
    },
    /// A sequence is longer than those whose rotary positions are independent of its length.
    #[error(
        "sequence of {tokens} tokens: expected at most {longest} (max_position_embeddings), for with \
         rope_scaling of type \"dynamic\" the rotary positions of longer ones depend on their length, \
         which is not supported; use a shorter window"
    )]
    DynamicRope {
        /// Number of tokens in the sequence.
        tokens: usize,
        /// Most tokens that are supported.
        longest: usize,
    },
    /// A method was called on a stage that does not have that part of the model.
    #[error("stage of layers {layers}: it has no {part}; call this on the {stage} stage")]
    StagePart {
        /// Layers of the stage, as `a..b`.
        layers: String,
        /// The missing part.
        part: &'static str,
        /// The stage that has it.
        stage: &'static str,
    },
    /// Hidden states were requested from the last stage.
    #[error(
        "stage of layers {layers}: it is the last one, whose layers run when it scores; \
         call `reference` or `score`"
    )]
    LastStage {
        /// Layers of the stage, as `a..b`.
        layers: String,
    },
    /// The checkpoint does not match what the model reads.
    #[error(transparent)]
    Weights(#[from] strait_weights::WeightsError),
    /// The reference was made by another kind of stage.
    #[error(
        "reference: expected one that this stage made from the same score ranges, found another; \
         call `reference` on the stage that scores"
    )]
    ForeignReference,
}
