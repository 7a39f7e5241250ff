//! lowrank: a decomposition of each message on its own.

use strait_codec_kit::slices::{copy_finite, largest_magnitude};
use strait_codec_kit::subset;
use strait_sdk::prelude::*;

use crate::algebra::{dots, interpolate, leading, times, transposed, transposed_times};

/// A message of nothing larger counts as 0.
const LEAST: f32 = 1e-30;

/// Parameters of [`Lowrank`].
#[derive(Params, Clone, Debug)]
pub struct LowrankParams {
    /// The codec of the factors.
    #[param(default = r#"{ "codec": "cast", "to": "f16" }"#)]
    pub inner: InnerCodec,
    /// How a message is decomposed.
    #[param(default = "svd")]
    pub method: Method,
    /// Directions or channels kept; by `fraction` when left out.
    #[param(min = 1)]
    pub rank: Option<usize>,
    /// The rank as a share of the smaller of tokens and channels.
    #[param(default = 0.125, min = 0.0, max = 1.0)]
    pub fraction: f64,
    /// Iterations that find the directions of `svd`.
    #[param(default = 4, min = 1, max = 100)]
    pub iterations: usize,
}

/// How a message is decomposed.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Truncated singular value decomposition.
    Svd,
    /// Interpolative decomposition: some channels, and the others as sums of them.
    Id,
}

/// The codec `lowrank`.
#[derive(Debug)]
pub struct Lowrank {
    params: LowrankParams,
    inner: Inner,
}

impl Codec for Lowrank {
    const INFO: CodecInfo = CodecInfo {
        id: "lowrank",
        summary: "a product of thin matrices for each message: SVD or interpolative decomposition",
        paper: "https://arxiv.org/abs/0909.4061",
        ..CodecInfo::DEFAULT
    };
    type Params = LowrankParams;

    fn open(params: LowrankParams) -> Result<Self> {
        let inner = params.inner.open()?;
        Ok(Lowrank { params, inner })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let shape = message.shape();
        let Shape { rows, channels, .. } = shape;
        if shape.values() == 0 {
            return Ok(());
        }
        let mut x = vec![0.0; shape.values()];
        copy_finite(&message.to_f32(), most(shape), &mut x);
        let Some(rank) = self.rank(shape) else {
            return self.inner.encode_f32(channels, &x, &[], payload);
        };
        // Within ±1, so that squares are finite and not too small.
        let scale = largest_magnitude(&x, f32::MAX);
        let down = if scale > LEAST { 1.0 / scale } else { 0.0 };
        x.iter_mut().for_each(|value| *value *= down);
        let (mut first, mut second, widths) = match self.params.method {
            Method::Svd => {
                let mut b = leading(&x, channels, rank, self.params.iterations).0;
                let mut a = dots(&b, &x, channels);
                #[allow(clippy::cast_precision_loss)]
                let root = (channels as f32).sqrt();
                a.iter_mut().for_each(|value| *value /= root);
                b.iter_mut().for_each(|value| *value *= root);
                (a, b, [rows, channels])
            }
            Method::Id => {
                let turned = transposed(&x, channels);
                let (pivots, coefficients) = interpolate(turned.clone(), rows, rank);
                let mut chosen = vec![false; channels];
                pivots.iter().for_each(|pivot| chosen[*pivot] = true);
                subset::write(&chosen, payload);
                // Pivots in the order of the channels, which is what the set tells.
                let mut order: Vec<usize> = (0..rank).collect();
                order.sort_by_key(|place| pivots[*place]);
                let kept = order.iter().flat_map(|at| &turned[pivots[*at] * rows..][..rows]);
                let others = (0..channels).filter(|channel| !chosen[*channel]);
                let z = others.flat_map(|i| order.iter().map(move |at| i * rank + at));
                let z = z.map(|at| coefficients[at]).collect();
                (kept.copied().collect(), z, [rows, rank])
            }
        };
        first.iter_mut().for_each(|value| *value *= scale);
        let [width, second_width] = widths;
        let shape = |values: usize, channels| Shape {
            rows: values / channels,
            channels,
            dtype: Dtype::F32,
        };
        let bytes = bytemuck::cast_slice(&first);
        let part = Message::new(shape(first.len(), width), bytes, &[])?;
        self.inner.encode_framed(part, payload)?;
        second.iter_mut().for_each(|value| *value = value.clamp(-f32::MAX, f32::MAX));
        self.inner.encode_f32(second_width, &second, &[], payload)
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let shape = message.shape();
        let Shape { rows, channels, dtype } = shape;
        if shape.values() == 0 {
            return Error::check_payload_length(0, payload.len());
        }
        let mut back = vec![0.0; shape.values()];
        if let Some(rank) = self.rank(shape) {
            let mut chosen = vec![false; channels];
            let payload = match self.params.method {
                Method::Svd => payload,
                Method::Id => subset::read(payload, &mut chosen)?,
            };
            let count = chosen.iter().filter(|chosen| **chosen).count();
            if self.params.method == Method::Id && count != rank {
                return Err(Error::new(format!(
                    "channels: expected {rank} of them, found {count}"
                )));
            }
            let mut first = vec![0.0; rank * rows];
            let part = Shape { rows: rank, channels: rows, dtype: Dtype::F32 };
            let mut target = MessageMut::new(part, bytemuck::cast_slice_mut(&mut first))?;
            let payload = self.inner.decode_framed(payload, &mut target)?;
            match self.params.method {
                Method::Svd => {
                    let mut b = vec![0.0; rank * channels];
                    self.inner.decode_f32(channels, payload, &mut b)?;
                    back = transposed_times(&first, rows, &b, channels);
                }
                Method::Id => {
                    let mut z = vec![0.0; (channels - rank) * rank];
                    self.inner.decode_f32(rank, payload, &mut z)?;
                    let others = times(&z, rank, &first, rows);
                    let (mut kept, mut others) = (first.chunks(rows), others.chunks(rows));
                    for (channel, chosen) in chosen.iter().enumerate() {
                        let from = if *chosen { kept.next() } else { others.next() };
                        for (row, value) in from.unwrap_or_default().iter().enumerate() {
                            back[row * channels + channel] = *value;
                        }
                    }
                }
            }
        } else {
            self.inner.decode_f32(channels, payload, &mut back)?;
        }
        let mut finite = vec![0.0; back.len()];
        copy_finite(&back, dtype.largest(), &mut finite);
        message.write_f32(&finite)
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        let Shape { rows, channels, .. } = shape;
        if shape.values() == 0 {
            return PayloadBytes::Exact(0);
        }
        let part = |rows, channels| Shape { rows, channels, dtype: Dtype::F32 };
        let Some(rank) = self.rank(shape) else {
            return self.inner.payload_bytes(part(rows, channels));
        };
        let first = self.inner.framed_bytes(part(rank, rows));
        let (second, map) = match self.params.method {
            Method::Svd => (part(rank, channels), 0),
            Method::Id => (part(channels - rank, rank), subset::most_bytes(channels)),
        };
        let second = self.inner.payload_bytes(second);
        let bytes = first.limit().saturating_add(second.limit()).saturating_add(map);
        match (first, second, map) {
            (PayloadBytes::Exact(_), PayloadBytes::Exact(_), 0) => PayloadBytes::Exact(bytes),
            _ => PayloadBytes::AtMost(bytes),
        }
    }

    fn reset(&mut self) {
        self.inner.reset();
    }
}

impl Lowrank {
    /// The rank of a message; none where the factors would be as large as the message.
    fn rank(&self, shape: Shape) -> Option<usize> {
        let Shape { rows, channels, .. } = shape;
        let rank = rank(self.params.rank, self.params.fraction, rows.min(channels));
        let second = match self.params.method {
            Method::Svd => channels,
            Method::Id => channels - rank,
        };
        (rank * (rows + second) < rows * channels).then_some(rank)
    }
}

/// The rank that parameters ask for, of at most `most`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(crate) fn rank(rank: Option<usize>, fraction: f64, most: usize) -> usize {
    rank.unwrap_or_else(|| (fraction * most as f64).round() as usize).clamp(1, most.max(1))
}

/// The largest magnitude of a message that no sum takes beyond f32.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn most(shape: Shape) -> f32 {
    shape.dtype.largest().min(f32::MAX / (4.0 * shape.channels.max(1) as f32))
}
