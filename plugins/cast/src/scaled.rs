//! fp8 with or without scales: the planes of the payload and the loops over a row.

use strait_codec_kit::minifloat::MiniFloat;
use strait_codec_kit::slices::{bounded, largest_magnitude};
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;
use strait_sdk::{narrow, widen};

/// The payload of an fp8 message: f32 scales of all rows, then one byte a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Values that share a scale; `None` without scales.
    run: Option<usize>,
    scales_per_row: usize,
    scale_bytes: usize,
    /// Bytes of the whole payload.
    pub(crate) bytes: usize,
}

impl Layout {
    /// The layout of a message whose rows are cut into runs of `run` values.
    pub(crate) fn new(run: Option<usize>, shape: Shape) -> Layout {
        let scales_per_row = run.map_or(0, |run| shape.channels.div_ceil(run.max(1)));
        let scale_bytes = shape.rows * scales_per_row * Dtype::F32.size();
        Layout { run, scales_per_row, scale_bytes, bytes: scale_bytes + shape.values() }
    }

    /// Appends the payload of a message.
    pub(crate) fn encode<const E: u32, const M: u32>(
        &self,
        message: Message<'_>,
        payload: &mut Vec<u8>,
    ) -> Result<()> {
        let start = payload.len();
        payload.resize(start + self.bytes, 0);
        let (scale_plane, codes) = payload[start..].split_at_mut(self.scale_bytes);
        let mut scales = vec![0.0; self.scales_per_row];
        message.for_each_row(|row, values| {
            let codes = &mut codes[row * values.len()..][..values.len()];
            let run = self.run.unwrap_or(values.len()).max(1);
            vectorize(
                #[inline(always)]
                || match self.run {
                    None => encode_run::<E, M>(1.0, values, codes),
                    Some(_) => {
                        let runs = values.chunks(run).zip(codes.chunks_mut(run));
                        for ((values, codes), scale) in runs.zip(&mut scales) {
                            let bound = largest_magnitude(values, message.dtype().largest());
                            *scale = bound / MiniFloat::<E, M>::LARGEST;
                            encode_run::<E, M>(*scale, values, codes);
                        }
                    }
                },
            );
            let bytes = self.scales_per_row * Dtype::F32.size();
            narrow(Dtype::F32, &scales, &mut scale_plane[row * bytes..][..bytes]);
            Ok(())
        })
    }

    /// Fills a message from its payload.
    pub(crate) fn decode<const E: u32, const M: u32>(
        &self,
        payload: &[u8],
        message: &mut MessageMut<'_>,
    ) -> Result<()> {
        Error::check_payload_length(self.bytes, payload.len())?;
        let (scale_plane, codes) = payload.split_at(self.scale_bytes);
        let largest = message.dtype().largest();
        let mut scales = vec![0.0; self.scales_per_row];
        message.for_each_row(|row, values| {
            let codes = &codes[row * values.len()..][..values.len()];
            let bytes = self.scales_per_row * Dtype::F32.size();
            widen(Dtype::F32, &scale_plane[row * bytes..][..bytes], &mut scales);
            let run = self.run.unwrap_or(values.len()).max(1);
            vectorize(
                #[inline(always)]
                || match self.run {
                    None => decode_run::<E, M>(1.0, largest, codes, values),
                    Some(_) => {
                        let runs = values.chunks_mut(run).zip(codes.chunks(run));
                        for ((values, codes), scale) in runs.zip(&scales) {
                            decode_run::<E, M>(*scale, largest, codes, values);
                        }
                    }
                },
            );
            Ok(())
        })
    }
}

#[inline(always)]
fn encode_run<const E: u32, const M: u32>(scale: f32, values: &[f32], codes: &mut [u8]) {
    let scale = if scale > 0.0 { scale } else { 1.0 };
    for (code, value) in codes.iter_mut().zip(values) {
        *code = MiniFloat::<E, M>::code(*value / scale) as u8;
    }
}

#[inline(always)]
fn decode_run<const E: u32, const M: u32>(
    scale: f32,
    largest: f32,
    codes: &[u8],
    values: &mut [f32],
) {
    for (value, code) in values.iter_mut().zip(codes) {
        *value = bounded(MiniFloat::<E, M>::value(u32::from(*code)) * scale, largest);
    }
}
