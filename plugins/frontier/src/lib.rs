//! frontier
mod eigen;
mod engine;
mod fit;
mod history;
mod matrix;
mod params;
mod search;
mod step;
mod stream;
mod symbols;
mod table;
mod transform;
mod trellis;

use strait_sdk::prelude::*;

pub use params::{FrontierFittedParams, FrontierParams};

use engine::Engine;
use transform::Transform;

/// The codec `frontier`.
#[derive(Debug)]
pub struct Frontier {
    engine: Engine,
}

impl Codec for Frontier {
    const INFO: CodecInfo = CodecInfo {
        id: "frontier",
        summary: "prediction from earlier rows, uniform steps, adaptive range coding",
        stateful: true,
        ..CodecInfo::DEFAULT
    };
    type Params = FrontierParams;

    fn open(params: FrontierParams) -> Result<Self> {
        Ok(Frontier { engine: Engine::new(params.bits, params.history) })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        self.engine.encode(message, None, payload)
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        self.engine.decode(payload, None, message)
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        payload_bytes(shape)
    }

    fn reset(&mut self) {
        self.engine.reset();
    }
}

/// The codec `frontier-fitted`.
#[derive(Debug)]
pub struct FrontierFitted {
    engine: Engine,
    transforms: Vec<Transform>,
}

impl FrontierFitted {
    /// The transform for rows of so many channels; rows of another width go without.
    fn transform(transforms: &[Transform], channels: usize) -> Option<&Transform> {
        transforms.iter().find(|transform| transform.channels() == channels)
    }
}

impl Codec for FrontierFitted {
    const INFO: CodecInfo = CodecInfo {
        id: "frontier-fitted",
        summary: "`frontier` behind a rotation fitted to the link",
        stateful: true,
        fits: true,
        ..CodecInfo::DEFAULT
    };
    type Params = FrontierFittedParams;

    fn open(_: FrontierFittedParams) -> Result<Self> {
        Err("expected an artifact, found none: make one with `strait fit`, or take `frontier`"
            .into())
    }

    fn open_fitted(params: FrontierFittedParams, artifact: &[u8]) -> Result<Self> {
        let engine = Engine::new(params.bits, params.history);
        Ok(FrontierFitted { engine, transforms: fit::read(artifact)? })
    }

    fn fit(params: &FrontierFittedParams, samples: &[Message<'_>]) -> Result<Vec<u8>> {
        fit::fit(samples, params.block)
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let transform = Self::transform(&self.transforms, message.channels());
        self.engine.encode(message, transform, payload)
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let transform = Self::transform(&self.transforms, message.channels());
        self.engine.decode(payload, transform, message)
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        payload_bytes(shape)
    }

    fn reset(&mut self) {
        self.engine.reset();
    }
}

/// An unlikely value takes up to 8 bytes: a symbol and an escape of 16 bits each, and the value itself.
fn payload_bytes(shape: Shape) -> PayloadBytes {
    PayloadBytes::AtMost(match shape.values() {
        0 => 0,
        values => values
            .saturating_mul(12)
            .saturating_add(shape.rows.saturating_mul(24))
            .saturating_add(16),
    })
}

strait_sdk::export!(Frontier, FrontierFitted);
