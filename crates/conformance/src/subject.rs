//! The object of the checks: a codec in this process, or one in a built file. The checks use only
//! this interface.

use serde_json::{Map, Value};
use strait_loader::CodecDescriptor;
use strait_sdk::{ParamSpec, PayloadBytes, Shape};

use crate::Sample;

/// Result of a call into the codec; the text is the codec's or the loader's error.
///
/// A panic of the codec is never an error here: it unwinds, and ends the check that made the call.
pub(crate) type Call<T> = Result<T, String>;

/// A codec that can be opened.
pub(crate) trait Subject: Send + Sync {
    /// The codec's statements about itself.
    fn facts(&self) -> Facts;

    /// Checks a parameter table.
    fn check_params(&self, params: &Map<String, Value>) -> Call<()>;

    /// Makes an artifact from samples.
    fn fit(&self, params: &Map<String, Value>, samples: &[Sample]) -> Call<Vec<u8>>;

    /// Opens an instance.
    fn open(
        &self,
        side: End,
        params: &Map<String, Value>,
        artifact: Option<&[u8]>,
    ) -> Call<Box<dyn Instance>>;
}

/// Which end of a link an instance serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Only encodes.
    Encoder,
    /// Only decodes.
    Decoder,
}

/// An open codec.
pub(crate) trait Instance {
    fn encode(&mut self, sample: &Sample) -> Call<Vec<u8>>;
    fn decode(&mut self, payload: &[u8], shape: Shape, bytes: &mut [u8]) -> Call<()>;
    fn payload_bytes(&mut self, shape: Shape) -> Call<PayloadBytes>;
    fn reset(&mut self) -> Call<()>;
}

/// A codec's statements about itself.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) id: String,
    pub(crate) summary: String,
    pub(crate) paper: String,
    pub(crate) sites: Vec<String>,
    pub(crate) lossless: bool,
    pub(crate) fits: bool,
    pub(crate) params: Vec<ParamSpec>,
}

/// The error for an encoder that changed its input.
pub(crate) const WROTE_TO_THE_MESSAGE: &str = "encode wrote to the message, which it may only read";

impl Facts {
    /// Reads the statements from the descriptor of a built file.
    pub(crate) fn of(descriptor: CodecDescriptor) -> Facts {
        Facts {
            id: descriptor.id,
            summary: descriptor.summary,
            paper: descriptor.paper,
            sites: descriptor.sites,
            lossless: descriptor.lossless,
            fits: descriptor.fits,
            params: descriptor.params,
        }
    }
}
