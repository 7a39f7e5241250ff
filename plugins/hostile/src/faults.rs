//! Codecs that panic or fail at a chosen call.

use strait_sdk::prelude::*;

/// Where to fail.
#[derive(Choice, Clone, Copy, PartialEq)]
enum At {
    /// Nowhere.
    Nowhere,
    /// When an instance is opened.
    Open,
    /// When the payload is bounded.
    PayloadBytes,
    /// When a message is encoded.
    Encode,
    /// When a payload is decoded.
    Decode,
    /// At the start of a sequence.
    Reset,
    /// When an artifact is made.
    Fit,
    /// When the instance is dropped.
    Drop,
}

/// Parameters of the faulty codecs.
#[derive(Params, Clone, Copy)]
pub(crate) struct FaultParams {
    /// Where to fail.
    #[param(default = "nowhere")]
    at: At,
}

/// Panics at the chosen call.
pub(crate) struct Panics(FaultParams);

impl Panics {
    fn at(&self, call: At) {
        fail(self.0, call);
    }
}

fn fail(params: FaultParams, call: At) {
    if params.at == call {
        panic!("hostile panic in {}", call.name());
    }
}

impl Codec for Panics {
    const INFO: CodecInfo = CodecInfo {
        id: "hostile.panic",
        summary: "panics at a chosen call",
        lossless: true,
        fits: true,
        ..CodecInfo::DEFAULT
    };
    type Params = FaultParams;

    fn open(params: FaultParams) -> Result<Self> {
        fail(params, At::Open);
        Ok(Panics(params))
    }

    fn open_fitted(params: FaultParams, _: &[u8]) -> Result<Self> {
        Self::open(params)
    }

    fn fit(params: &FaultParams, samples: &[Message<'_>]) -> Result<Vec<u8>> {
        fail(*params, At::Fit);
        Ok(vec![7; samples.len()])
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        self.at(At::Encode);
        payload.extend_from_slice(message.bytes());
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        self.at(At::Decode);
        Error::check_payload_length(message.shape().bytes(), payload.len())?;
        message.bytes_mut().copy_from_slice(payload);
        Ok(())
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        self.at(At::PayloadBytes);
        PayloadBytes::Exact(shape.bytes())
    }

    fn reset(&mut self) {
        self.at(At::Reset);
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.at(At::Drop);
    }
}

/// Returns an error at the chosen call.
pub(crate) struct Errors(FaultParams);

fn refuse(params: FaultParams, call: At) -> Result<()> {
    if params.at == call {
        return Err(format!("hostile error in {}", call.name()).into());
    }
    Ok(())
}

impl Codec for Errors {
    const INFO: CodecInfo = CodecInfo {
        id: "hostile.error",
        summary: "returns an error at a chosen call",
        lossless: true,
        ..CodecInfo::DEFAULT
    };
    type Params = FaultParams;

    fn open(params: FaultParams) -> Result<Self> {
        refuse(params, At::Open)?;
        Ok(Errors(params))
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        refuse(self.0, At::Encode)?;
        payload.extend_from_slice(message.bytes());
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        refuse(self.0, At::Decode)?;
        Error::check_payload_length(message.shape().bytes(), payload.len())?;
        message.bytes_mut().copy_from_slice(payload);
        Ok(())
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        PayloadBytes::Exact(shape.bytes())
    }
}
