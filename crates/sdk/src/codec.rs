//! The trait of a codec and what it says about itself.

use crate::{Error, Message, MessageMut, Params, PayloadBytes, Result, Shape};

/// Message → payload bytes → message.
///
/// The host opens encoder and decoder separately, from two copies of the plugin file, with the same
/// parameters: whatever the decoder needs must be in the payload. An instance is used by one thread
/// at a time. Panics are caught and end the instance; they never reach the host.
pub trait Codec: Sized + Send + 'static {
    /// Name, summary and properties.
    const INFO: CodecInfo;

    /// The parameter table; [`NoParams`](crate::NoParams) when there is none.
    type Params: Params;

    /// Opens an instance with checked parameters.
    ///
    /// # Errors
    /// Parameters that do not fit together.
    fn open(params: Self::Params) -> Result<Self>;

    /// Opens an instance with the artifact that [`fit`](Codec::fit) made.
    ///
    /// # Errors
    /// By default: this codec takes no artifact.
    fn open_fitted(params: Self::Params, artifact: &[u8]) -> Result<Self> {
        let _ = (params, artifact);
        Err(Error::new(format!("codec `{}` takes no artifact", Self::INFO.id)))
    }

    /// Makes an artifact from sample messages; it is counted as static bytes.
    ///
    /// # Errors
    /// By default: this codec has no fit step. Set [`CodecInfo::fits`] when it has one.
    fn fit(params: &Self::Params, samples: &[Message<'_>]) -> Result<Vec<u8>> {
        let _ = (params, samples);
        Err(Error::new(format!("codec `{}` has no fit step", Self::INFO.id)))
    }

    /// Appends the payload of one message to `payload`, which is empty at the start.
    ///
    /// # Errors
    /// A message that this codec cannot encode.
    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()>;

    /// Fills `message` from one payload; every element must be written.
    ///
    /// # Errors
    /// A payload that [`encode`](Codec::encode) cannot have written, of any length or content.
    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()>;

    /// Payload bytes of a message of this shape: used to reserve and to bound, never reported.
    fn payload_bytes(&self, shape: Shape) -> PayloadBytes;

    /// Forgets everything learnt from earlier messages; called at the start of every sequence.
    fn reset(&mut self) {}
}

/// What a codec says about itself. Start from [`CodecInfo::DEFAULT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecInfo {
    /// Name in TOML files, `[a-z0-9.-]`, unique among all plugins.
    pub id: &'static str,
    /// What it does, one line.
    pub summary: &'static str,
    /// Link to the paper or specification; may be empty.
    pub paper: &'static str,
    /// Where it makes sense; every site by default.
    pub sites: &'static [Site],
    /// Whether decoding gives back the exact bytes.
    pub lossless: bool,
    /// Whether a payload depends on the messages before it in the sequence.
    pub stateful: bool,
    /// Whether [`Codec::fit`] is there.
    pub fits: bool,
    /// Names of the per-row side information it asks for.
    pub side_information: &'static [&'static str],
}

impl CodecInfo {
    /// Empty texts, every site, lossy, stateless, no fit step, no side information.
    pub const DEFAULT: CodecInfo = CodecInfo {
        id: "",
        summary: "",
        paper: "",
        sites: &[Site::Boundary, Site::Kv, Site::Weights],
        lossless: false,
        stateful: false,
        fits: false,
        side_information: &[],
    };
}

/// Where a codec sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Site {
    /// Hidden states that cross a cut between two stages.
    Boundary,
    /// Keys and values of the cache.
    Kv,
    /// Weight matrices.
    Weights,
}

impl Site {
    /// Name in TOML files: `boundary`, `kv` or `weights`.
    pub const fn name(self) -> &'static str {
        match self {
            Site::Boundary => "boundary",
            Site::Kv => "kv",
            Site::Weights => "weights",
        }
    }
}
