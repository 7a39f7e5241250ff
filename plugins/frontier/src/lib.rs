//! frontier: as little loss as we know how to have for every byte, in two codecs.
//!
//! `frontier` knows nothing beforehand; `frontier-fitted` rotates rows to coefficients that were uncorrelated in
//! sample messages. Behind that both do the same, row by row:
//!
//! 1. **Prediction**: up to two earlier rows of the sequence, each with a weight of three bits and a sign, about
//!    a running mean. Tokens come again, and with them their hidden states.
//! 2. **Trellis-coded quantization** of what the prediction leaves, with one step for all channels and tokens
//!    ([Marcellin and Fischer, 1990](https://doi.org/10.1109/26.46532)).
//! 3. **Adaptive range coding**: a distribution for each expected magnitude, which is the running mean magnitude
//!    of the channel times the activity of the channels just coded.
//!
//! Stored, range coded: the step, 11 bits in the first message of a sequence and then its change; for each row a
//! flag, the references (about 14 bits each), and an index for each value. A row that the step does not
//! suit (values of a million steps) is plain. State is carried over from message to message until
//! `reset`. [docs/frontier.md](https://github.com/strait-bench/strait/blob/main/docs/frontier.md) has what each part gains.
//!
//! ```
//! # strait_conformance::check_example::<strait_frontier::Frontier>(r#"
//! [[compressor]]
//! codec = "frontier"
//! sweep = { bits = [2.0, 3.0, 4.25] }
//! # "#);
//! ```
//!
//! Error: at most one and a half steps for each value (before the rotation back), where a step is the
//! deviation of the median channel × 2^(2.05 − bits). Limits: finite values only; the encoder keeps
//! `history` rows in f32 and the decoder too; a damaged payload is found by a marker of 8 bits at the end.

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
