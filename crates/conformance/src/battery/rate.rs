//! Bytes compared with accuracy: what was not written cannot arrive.

use strait_metrics::Crossing;
use strait_sdk::{Dtype, Shape, widen};

use super::Trial;
use super::round_trip::{decode, place};
use crate::sample::ordinary;
use crate::subject::End;

/// Unpredictable values need as many bits as theory requires for the error with which they arrive. A
/// decoder that manages with a quarter of that gets them from elsewhere.
pub(super) fn pays_for_what_it_decodes(trial: &Trial) -> Result<(), String> {
    for (dtype, mantissa_bits) in [(Dtype::F32, 24), (Dtype::F16, 11), (Dtype::BF16, 8)] {
        let sample = ordinary(Shape { rows: 96, channels: 129, dtype }, 31);
        let mut encoder = trial.open(End::Encoder)?;
        encoder.reset()?;
        let payload = encoder.encode(&sample).map_err(|error| place(&sample, &error))?;
        let mut decoder = trial.open(End::Decoder)?;
        decoder.reset()?;
        let back = decode(&mut *decoder, &payload, sample.shape())
            .map_err(|error| place(&sample, &error))?;
        let mut arrived = vec![0.0; sample.values().len()];
        widen(dtype, back.get(), &mut arrived);
        let channels = sample.shape().channels;
        let crossing =
            Crossing { sent: sample.values(), arrived: &arrived, channels, mantissa_bits };
        let short = crossing.shortfall(payload.len() as u64);
        if short.stands(trial.artifact().len() as u64) {
            return Err(place(
                &sample,
                &format!(
                    "{} payload bytes cannot carry values as exact as these, which need about {}",
                    payload.len(),
                    short.needed_bytes
                ),
            ));
        }
    }
    Ok(())
}
