//! Encodes in one instance and decodes in another.

use strait_sdk::{Dtype, PayloadBytes, Shape, widen};

use super::Trial;
use crate::Sample;
use crate::sample::{AlignedBytes, ordinary, samples};
use crate::subject::{Call, End, Instance};

/// The decoder is opened after the encoder is gone, and receives nothing but payloads.
pub(super) fn decodes_in_a_second_instance(trial: &Trial) -> Result<(), String> {
    for dtype in Dtype::ALL {
        // The samples form one sequence, so a stateful codec is checked in its own order.
        let samples = samples(dtype);
        let mut encoder = trial.open(End::Encoder)?;
        encoder.reset()?;
        let mut payloads = Vec::new();
        for sample in &samples {
            payloads.push(match encoder.encode(sample) {
                Err(error) if sample.is_finite() => return Err(place(sample, &error)),
                result => result.ok(),
            });
        }
        drop(encoder);
        let mut decoder = trial.open(End::Decoder)?;
        decoder.reset()?;
        for (sample, payload) in samples.iter().zip(&payloads) {
            let Some(payload) = payload else { continue };
            let back = decode(&mut *decoder, payload, sample.shape())
                .map_err(|error| place(sample, &error))?;
            if trial.facts.lossless && back.get() != sample.bytes() {
                return Err(place(sample, "lossless, but the bytes differ"));
            }
            let finite = values(sample.shape(), &back).iter().all(|value| value.is_finite());
            if sample.is_finite() && !finite {
                return Err(place(
                    sample,
                    "finite values decode to infinity or NaN, or are left out",
                ));
            }
        }
    }
    Ok(())
}

pub(super) fn keeps_its_error_bound(trial: &Trial) -> Result<(), String> {
    let Some(bound) = &trial.case.bound else { return Ok(()) };
    for dtype in Dtype::ALL {
        for sample in samples(dtype).iter().filter(|sample| sample.is_ordinary()) {
            let mut encoder = trial.open(End::Encoder)?;
            encoder.reset()?;
            let payload = encoder.encode(sample).map_err(|error| place(sample, &error))?;
            let mut decoder = trial.open(End::Decoder)?;
            decoder.reset()?;
            let back = decode(&mut *decoder, &payload, sample.shape())
                .map_err(|error| place(sample, &error))?;
            let bounds = bound(sample);
            if bounds.len() != sample.values().len() {
                return Err(place(sample, "the case's bound has not one entry per value"));
            }
            let back = values(sample.shape(), &back);
            for (i, (value, back)) in sample.values().iter().zip(back).enumerate() {
                let error = (value - back).abs();
                let allowed = bounds[i] + half_unit(dtype, back);
                if error > allowed {
                    return Err(place(
                        sample,
                        &format!(
                            "value {i}: {value} became {back}: error {error}, stated {allowed}"
                        ),
                    ));
                }
            }
        }
    }
    Ok(())
}

pub(super) fn keeps_its_payload_size(trial: &Trial) -> Result<(), String> {
    let check = |encoder: &mut dyn Instance, sample: &Sample| {
        let stated = encoder.payload_bytes(sample.shape())?;
        let Ok(payload) = encoder.encode(sample) else { return Ok(0) };
        let found = payload.len();
        match stated {
            PayloadBytes::Exact(bytes) if bytes != found => {
                Err(place(sample, &format!("stated exactly {bytes} bytes, wrote {found}")))
            }
            PayloadBytes::AtMost(bytes) if bytes < found => {
                Err(place(sample, &format!("stated at most {bytes} bytes, wrote {found}")))
            }
            _ => Ok(found),
        }
    };
    for dtype in Dtype::ALL {
        let mut encoder = trial.open(End::Encoder)?;
        for sample in &samples(dtype) {
            check(&mut *encoder, sample)?;
        }
    }
    if let Some(stated) = trial.case.bits_per_value {
        let sample = ordinary(Shape { rows: 64, channels: 5120, dtype: Dtype::F32 }, 3);
        let bytes = check(&mut *trial.open(End::Encoder)?, &sample)?;
        let found = bytes as f64 * 8.0 / sample.values().len() as f64;
        if (found - stated).abs() > 1e-3 {
            return Err(format!("stated {stated} bits per value, found {found}"));
        }
    }
    Ok(())
}

pub(super) fn gives_the_same_bytes_for_the_same_input(trial: &Trial) -> Result<(), String> {
    for dtype in Dtype::ALL {
        let samples = samples(dtype);
        let first = sequence(&mut *trial.open(End::Encoder)?, &samples)?;
        let second = sequence(&mut *trial.open(End::Encoder)?, &samples)?;
        for (sample, (first, second)) in samples.iter().zip(first.iter().zip(&second)) {
            if first != second {
                return Err(place(sample, "two instances wrote different payloads"));
            }
        }
    }
    Ok(())
}

pub(super) fn forgets_at_reset(trial: &Trial) -> Result<(), String> {
    for dtype in Dtype::ALL {
        let samples = samples(dtype);
        let mut encoder = trial.open(End::Encoder)?;
        let first = sequence(&mut *encoder, &samples)?;
        let again = sequence(&mut *encoder, &samples)?;
        let mut decoder = trial.open(End::Decoder)?;
        let mut decoded = Vec::new();
        for payloads in [&first, &again] {
            decoder.reset()?;
            let mut messages = Vec::new();
            for (sample, payload) in samples.iter().zip(payloads) {
                let Some(payload) = payload else { continue };
                let back = decode(&mut *decoder, payload, sample.shape())
                    .map_err(|error| place(sample, &error))?;
                messages.push(back.get().to_vec());
            }
            decoded.push(messages);
        }
        for (sample, (first, again)) in samples.iter().zip(first.iter().zip(&again)) {
            if first != again {
                return Err(place(sample, "the payload after `reset` differs from the first one"));
            }
        }
        if decoded[0] != decoded[1] {
            return Err("the decoder's values after `reset` differ from the first ones".to_owned());
        }
    }
    Ok(())
}

/// The payloads of one sequence; `None` where the codec rejects a sample that is not finite.
fn sequence(encoder: &mut dyn Instance, samples: &[Sample]) -> Call<Vec<Option<Vec<u8>>>> {
    encoder.reset()?;
    samples
        .iter()
        .map(|sample| match encoder.encode(sample) {
            Err(error) if sample.is_finite() => Err(place(sample, &error)),
            result => Ok(result.ok()),
        })
        .collect()
}

/// Decodes into a message full of NaN, so that omitted elements show.
pub(super) fn decode(
    decoder: &mut dyn Instance,
    payload: &[u8],
    shape: Shape,
) -> Call<AlignedBytes> {
    let mut bytes = AlignedBytes::new(shape.bytes());
    bytes.get_mut().fill(0xff);
    decoder.decode(payload, shape, bytes.get_mut()).map_err(|error| format!("decode: {error}"))?;
    Ok(bytes)
}

/// Half a unit in the last place of the dtype at this value.
fn half_unit(dtype: Dtype, value: f32) -> f32 {
    match dtype {
        Dtype::F32 => value.abs() * f32::EPSILON,
        Dtype::F16 => value.abs() / 2048.0 + 3e-8,
        Dtype::BF16 => value.abs() / 256.0,
    }
}

fn values(shape: Shape, bytes: &AlignedBytes) -> Vec<f32> {
    let mut values = vec![0.0; shape.values()];
    widen(shape.dtype, bytes.get(), &mut values);
    values
}

pub(super) fn place(sample: &Sample, text: &str) -> String {
    let Shape { rows, channels, dtype } = sample.shape();
    format!("sample `{}` {dtype} [{rows}, {channels}]: {text}", sample.name())
}
