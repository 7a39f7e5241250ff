//! pca: tokens projected on the principal directions of calibration messages.

use strait_codec_kit::slices::copy_finite;
use strait_sdk::prelude::*;
use strait_sdk::widen;

use crate::algebra::{dots, leading, times};
use crate::message::{most, rank};

/// Iterations that find the directions.
const ITERATIONS: usize = 6;

/// Parameters of [`Pca`].
#[derive(Params, Clone, Debug)]
pub struct PcaParams {
    /// The codec of the projections.
    #[param(default = r#"{ "codec": "affine", "bits": 8 }"#)]
    pub inner: InnerCodec,
    /// Directions kept; by `fraction` when left out.
    #[param(min = 1)]
    pub rank: Option<usize>,
    /// The rank as a share of the channels.
    #[param(default = 0.125, min = 0.0, max = 1.0)]
    pub fraction: f64,
    /// Power of its deviation that a projection is divided by.
    #[param(default = 0.5, min = 0.0, max = 1.0)]
    pub whiten: f64,
}

/// The codec `pca`.
#[derive(Debug)]
pub struct Pca {
    inner: Inner,
    bases: Vec<Basis>,
}

/// What was fitted for messages of so many channels.
#[derive(Debug)]
struct Basis {
    channels: usize,
    mean: Vec<f32>,
    /// `[rank, channels]`.
    directions: Vec<f32>,
    /// What projections are divided by.
    scales: Vec<f32>,
}

impl Codec for Pca {
    const INFO: CodecInfo = CodecInfo {
        id: "pca",
        summary: "projections on principal directions that were fitted beforehand, by any other codec",
        paper: "https://arxiv.org/abs/0909.4061",
        fits: true,
        ..CodecInfo::DEFAULT
    };
    type Params = PcaParams;

    fn open(_: PcaParams) -> Result<Self> {
        Err("expected an artifact with the principal directions, found none; run its fit step \
             and give `artifact`"
            .into())
    }

    fn open_fitted(params: PcaParams, artifact: &[u8]) -> Result<Self> {
        let bases = read(artifact, params.whiten)?;
        Ok(Pca { inner: params.inner.open()?, bases })
    }

    fn fit(params: &PcaParams, samples: &[Message<'_>]) -> Result<Vec<u8>> {
        let mut widths: Vec<usize> = samples.iter().map(Message::channels).collect();
        widths.sort_unstable();
        widths.dedup();
        let mut artifact = Vec::new();
        for channels in widths.into_iter().filter(|channels| *channels > 0) {
            let of_width = samples.iter().filter(|sample| sample.channels() == channels);
            let mut x = Vec::new();
            for sample in of_width {
                let start = x.len();
                x.resize(start + sample.shape().values(), 0.0);
                copy_finite(&sample.to_f32(), most(sample.shape()).min(1e15), &mut x[start..]);
            }
            fit(params, channels, x, &mut artifact)?;
        }
        Ok(artifact)
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let shape = message.shape();
        if shape.values() == 0 {
            return Ok(());
        }
        let Pca { inner, bases } = self;
        let basis = of(bases, shape.channels)?;
        let mut x = vec![0.0; shape.values()];
        copy_finite(&message.to_f32(), most(shape), &mut x);
        for row in x.chunks_mut(shape.channels) {
            row.iter_mut().zip(&basis.mean).for_each(|(value, mean)| *value -= mean);
        }
        let mut y = dots(&x, &basis.directions, shape.channels);
        for row in y.chunks_mut(basis.scales.len()) {
            for (value, scale) in row.iter_mut().zip(&basis.scales) {
                *value = (*value / scale).clamp(-f32::MAX, f32::MAX);
            }
        }
        inner.encode_f32(basis.scales.len(), &y, message.sides(), payload)
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let shape = message.shape();
        if shape.values() == 0 {
            return Error::check_payload_length(0, payload.len());
        }
        let Pca { inner, bases } = self;
        let basis = of(bases, shape.channels)?;
        let rank = basis.scales.len();
        let mut y = vec![0.0; shape.rows * rank];
        inner.decode_f32(rank, payload, &mut y)?;
        for row in y.chunks_mut(rank) {
            row.iter_mut().zip(&basis.scales).for_each(|(value, scale)| *value *= scale);
        }
        let mut x = times(&y, rank, &basis.directions, shape.channels);
        for row in x.chunks_mut(shape.channels) {
            row.iter_mut().zip(&basis.mean).for_each(|(value, mean)| *value += mean);
        }
        let mut finite = vec![0.0; x.len()];
        copy_finite(&x, shape.dtype.largest(), &mut finite);
        message.write_f32(&finite)
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        match of(&self.bases, shape.channels) {
            Ok(basis) if shape.values() > 0 => {
                let channels = basis.scales.len();
                self.inner.payload_bytes(Shape { channels, dtype: Dtype::F32, ..shape })
            }
            _ => PayloadBytes::Exact(0),
        }
    }

    fn reset(&mut self) {
        self.inner.reset();
    }
}

fn of(bases: &[Basis], channels: usize) -> Result<&Basis> {
    bases.iter().find(|basis| basis.channels == channels).ok_or_else(|| {
        let known: Vec<usize> = bases.iter().map(|basis| basis.channels).collect();
        Error::new(format!(
            "artifact: expected one fitted to messages of {channels} channels, found {known:?}; fit it \
             on this model"
        ))
    })
}

/// Appends the basis of the rows of `x`: channels, rank (u32), mean, deviations, directions (f32).
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn fit(params: &PcaParams, channels: usize, mut x: Vec<f32>, artifact: &mut Vec<u8>) -> Result<()> {
    let rows = x.len() / channels;
    let mut sums = vec![0.0_f64; channels];
    for row in x.chunks(channels) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let mean: Vec<f32> = sums.into_iter().map(|sum| (sum / rows.max(1) as f64) as f32).collect();
    for row in x.chunks_mut(channels) {
        row.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
    }
    let wanted = rank(params.rank, params.fraction, channels);
    let (directions, values) = leading(&x, channels, wanted, ITERATIONS);
    if values.len() < wanted {
        return Err(Error::new(format!(
            "samples: expected at least {wanted} tokens for {wanted} directions, found {rows}; give more \
             text or a smaller rank"
        )));
    }
    let deviation = |value: &f64| (value / rows as f64).sqrt() as f32;
    artifact.extend_from_slice(&(channels as u32).to_le_bytes());
    artifact.extend_from_slice(&(wanted as u32).to_le_bytes());
    let numbers = mean.into_iter().chain(values.iter().map(deviation)).chain(directions);
    numbers.for_each(|number| artifact.extend_from_slice(&number.to_le_bytes()));
    Ok(())
}

/// Reads an artifact.
#[allow(clippy::cast_possible_truncation)]
fn read(mut artifact: &[u8], whiten: f64) -> Result<Vec<Basis>> {
    let damaged = || Error::new("artifact: expected one of `pca`, found other bytes; fit it again");
    let mut bases = Vec::new();
    while !artifact.is_empty() {
        let (head, rest) = artifact.split_first_chunk::<8>().ok_or_else(damaged)?;
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (channels, rank) = (number(0) as usize, number(4) as usize);
        let numbers = rank.checked_add(1).and_then(|n| n.checked_mul(channels)?.checked_add(rank));
        let bytes = numbers.and_then(|numbers| numbers.checked_mul(4));
        let (mine, rest) = bytes.and_then(|n| rest.split_at_checked(n)).ok_or_else(damaged)?;
        let mut numbers = vec![0.0; mine.len() / 4];
        widen(Dtype::F32, mine, &mut numbers);
        if channels == 0 || rank == 0 || numbers.iter().any(|number| !number.is_finite()) {
            return Err(damaged());
        }
        let directions = numbers.split_off(channels + rank);
        let deviations = numbers.split_off(channels);
        let scale = |deviation: f32| {
            let scale = f64::from(deviation).powf(whiten) as f32;
            if scale > 1e-20 { scale } else { 1.0 }
        };
        let scales = deviations.into_iter().map(scale).collect();
        bases.push(Basis { channels, mean: numbers, directions, scales });
        artifact = rest;
    }
    Ok(bases)
}
