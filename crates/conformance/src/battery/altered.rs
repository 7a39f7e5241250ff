//! Payloads that no encoder wrote: they must give an error or a full decode, never a panic.

use strait_sdk::{Dtype, PayloadBytes, Shape};

use super::Trial;
use super::round_trip::{decode, place};
use crate::sample::{Bits, ordinary};
use crate::subject::{Call, End, Instance};

/// Most single bits that are flipped in one payload.
const FLIPS: usize = 200;

/// Number of payloads of random bytes.
const NOISE: usize = 40;

pub(super) fn survives_truncated_payloads(trial: &Trial) -> Result<(), String> {
    each_payload(trial, |payload| {
        let length = payload.len();
        let kept = [0, 1, length / 3, length / 2, length.saturating_sub(1)];
        kept.into_iter()
            .filter(|kept| *kept < length)
            .map(|kept| payload[..kept].to_vec())
            .collect()
    })
}

pub(super) fn survives_extended_payloads(trial: &Trial) -> Result<(), String> {
    each_payload(trial, |payload| {
        [1, 3, 4096]
            .into_iter()
            .flat_map(|more| [0, 0xff].map(|byte| [payload, &vec![byte; more]].concat()))
            .collect()
    })
}

pub(super) fn survives_altered_payloads(trial: &Trial) -> Result<(), String> {
    each_payload(trial, |payload| {
        if payload.is_empty() {
            return Vec::new();
        }
        let mut bits = Bits::new(payload.len() as u64);
        let mut altered = vec![vec![0; payload.len()], vec![0xff; payload.len()]];
        // The first bytes contain the header, if any, so all of their bits are flipped.
        let head = (payload.len() * 8).min(FLIPS / 2);
        let spread = (0..FLIPS / 2).map(|_| bits.next() as usize % (payload.len() * 8));
        for bit in (0..head).chain(spread) {
            let mut flipped = payload.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            altered.push(flipped);
        }
        for _ in 0..NOISE {
            altered.push(payload.iter().map(|_| bits.next() as u8).collect());
        }
        altered
    })
}

/// Decodes altered payloads of small messages, and then a whole one.
fn each_payload(trial: &Trial, alter: fn(&[u8]) -> Vec<Vec<u8>>) -> Result<(), String> {
    for dtype in Dtype::ALL {
        for (rows, channels) in [(0, 64), (1, 1), (3, 7), (5, 129)] {
            let sample = ordinary(Shape { rows, channels, dtype }, 5);
            let mut encoder = trial.open(End::Encoder)?;
            encoder.reset()?;
            let payload = encoder.encode(&sample).map_err(|error| place(&sample, &error))?;
            for altered in alter(&payload) {
                decode_any(trial, sample.shape(), &altered)
                    .map_err(|error| place(&sample, &error))?;
            }
            let after = decode(&mut *opened(trial)?, &payload, sample.shape());
            after.map_err(|error| place(&sample, &error))?;
        }
    }
    Ok(())
}

/// Decodes any bytes, and fails if they are accepted though the codec states another length exactly.
pub(crate) fn decode_any(trial: &Trial, shape: Shape, payload: &[u8]) -> Call<()> {
    let mut decoder = opened(trial)?;
    let stated = decoder.payload_bytes(shape)?;
    let accepted = decode(&mut *decoder, payload, shape).is_ok();
    match (stated, payload.len()) {
        (PayloadBytes::Exact(expected), found) if accepted && found != expected => {
            Err(format!("a payload of {found} bytes was accepted, expected {expected}"))
        }
        _ => Ok(()),
    }
}

/// A new decoder, since an error may end an old one's sequence.
fn opened(trial: &Trial) -> Call<Box<dyn Instance>> {
    let mut decoder = trial.open(End::Decoder)?;
    decoder.reset()?;
    Ok(decoder)
}
