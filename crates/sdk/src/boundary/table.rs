//! One exported codec behind functions that do not name its type.

use serde_json::Value;
use strait_abi::descriptor::CodecDescriptor;

use crate::{Codec, Message, MessageMut, Params, PayloadBytes, Result, Shape, Site};

type OpenFn = fn(params: &Value, artifact: Option<&[u8]>) -> Result<Box<dyn AnyCodec>>;

/// The functions of one exported codec.
pub struct CodecTable {
    pub(super) describe: fn(version: &str) -> CodecDescriptor,
    pub(super) open: OpenFn,
    pub(super) fit: fn(params: &Value, samples: &[Message<'_>]) -> Result<Vec<u8>>,
}

impl CodecTable {
    /// The table of `C`.
    pub const fn of<C: Codec>() -> Self {
        CodecTable { describe: describe::<C>, open: open::<C>, fit: fit::<C> }
    }
}

/// An open codec of any type.
pub(super) trait AnyCodec: Send {
    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()>;
    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()>;
    fn payload_bytes(&self, shape: Shape) -> PayloadBytes;
    fn reset(&mut self);
}

impl<C: Codec> AnyCodec for C {
    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        Codec::encode(self, message, payload)
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        Codec::decode(self, payload, message)
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        Codec::payload_bytes(self, shape)
    }

    fn reset(&mut self) {
        Codec::reset(self);
    }
}

fn describe<C: Codec>(version: &str) -> CodecDescriptor {
    let info = C::INFO;
    CodecDescriptor {
        id: info.id.to_owned(),
        kind: "codec".to_owned(),
        version: version.to_owned(),
        summary: info.summary.to_owned(),
        paper: info.paper.to_owned(),
        sites: info.sites.iter().copied().map(Site::name).map(str::to_owned).collect(),
        lossless: info.lossless,
        stateful: info.stateful,
        fits: info.fits,
        side_information: info.side_information.iter().map(|name| (*name).to_owned()).collect(),
        params: C::Params::specs(),
    }
}

fn open<C: Codec>(params: &Value, artifact: Option<&[u8]>) -> Result<Box<dyn AnyCodec>> {
    let params = C::Params::from_json(params)?;
    let codec = match artifact {
        Some(artifact) => C::open_fitted(params, artifact)?,
        None => C::open(params)?,
    };
    Ok(Box::new(codec))
}

fn fit<C: Codec>(params: &Value, samples: &[Message<'_>]) -> Result<Vec<u8>> {
    C::fit(&C::Params::from_json(params)?, samples)
}
