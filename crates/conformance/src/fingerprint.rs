//! A hash of what a codec writes for fixed messages. It distinguishes a rebuilt plugin that still writes
//! the same bytes from one that does not.

use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use strait_loader::CodecEntry;
use strait_sdk::{Codec, Dtype, Shape};

use crate::Sample;
use crate::battery::Trial;
use crate::in_process::InProcess;
use crate::library::InLibrary;
use crate::sample::{AlignedBytes, ordinary};
use crate::subject::{End, Subject};

/// Hashes, in hexadecimal, over every payload and over every message decoded from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Hash of the payloads with their lengths, and of the artifact if the codec is fitted.
    pub payloads: String,
    /// Hash of the decoded messages.
    pub values: String,
}

/// The messages of two sequences; the second is a single token of odd size.
const SEQUENCES: [&[(usize, usize)]; 2] = [&[(40, 320), (7, 320)], &[(1, 129)]];

/// The fingerprint of a codec in a built file.
///
/// # Errors
/// The codec's error.
pub fn fingerprint(entry: CodecEntry, params: &Map<String, Value>) -> Result<Fingerprint, String> {
    of(Arc::new(InLibrary::new(entry)), params)
}

/// The fingerprint of a codec that is linked into this program.
///
/// # Errors
/// The codec's error.
pub fn fingerprint_codec<C: Codec>(params: &Map<String, Value>) -> Result<Fingerprint, String> {
    of(Arc::new(InProcess::<C>::new()), params)
}

fn of(subject: Arc<dyn Subject>, params: &Map<String, Value>) -> Result<Fingerprint, String> {
    let (mut payloads, mut values) = (Sha256::new(), Sha256::new());
    let trial = Trial::new(subject, params.clone());
    let shape = |channels| Shape { rows: 400, channels, dtype: Dtype::F32 };
    trial.fit_on(&[320, 129].map(|channels| ordinary(shape(channels), 9)))?;
    for (seed, dtype) in (41..).zip(Dtype::ALL) {
        let (mut encoder, mut decoder) = (trial.open(End::Encoder)?, trial.open(End::Decoder)?);
        for sequence in SEQUENCES {
            encoder.reset()?;
            decoder.reset()?;
            for (rows, channels) in sequence.iter().copied() {
                let sample: Sample = ordinary(Shape { rows, channels, dtype }, seed);
                let payload = encoder.encode(&sample)?;
                payloads.update((payload.len() as u64).to_le_bytes());
                payloads.update(&payload);
                let mut bytes = AlignedBytes::new(sample.shape().bytes());
                decoder.decode(&payload, sample.shape(), bytes.get_mut())?;
                values.update(bytes.get());
            }
        }
    }
    payloads.update(trial.artifact());
    Ok(Fingerprint { payloads: hex(payloads), values: hex(values) })
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
