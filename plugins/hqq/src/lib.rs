//! hqq: half-quadratic quantization, 1 to 8 bits, really packed.
//!
//! Source: [Half-Quadratic Quantization](https://mobiusml.github.io/hqq_blog/) and its
//! [package](https://github.com/mobiusml/hqq) 0.2.8 (`Quantizer.quantize` on f32). Of each group, in f32,
//! with L = 2^bits - 1: s = L (1 / (max - min)), 1 where that range is at most 1e-4, at most 20000;
//! z = -min s, to the nearest integer with `round_zero`. Then, up to `iterations` times:
//! q = clamp(round(x s + z)), ties to even; e = x - (q - z) / s; e' = sign(e) max(0, |e| - |e|^(p-1) / 10),
//! p = `lp_norm`; z = mean(q - (x - e') s); it ends after the iteration in which the mean of |e| over the
//! whole message did not fall. At last q = clamp(round(x s + z)) and x' = (q - z) (1 / s).
//! `iterations = 0` leaves out the search.
//!
//! Stored per group: 1 / s, then z, in `scale_dtype`; all 1 / s come first, then all z. Stored per value:
//! `bits` bits, lowest first, without gaps to the end of the message (3 bits take 3 bits; the package
//! stores ten in 32). With f16 and groups of 64: `bits` + 0.5 bits a value.
//!
//! ```
//! # strait_conformance::check_example::<strait_hqq::Hqq>(r#"
//! [[compressor]]
//! codec = "hqq"
//! params = { bits = 3, group = 64 }
//! # "#);
//! ```
//!
//! `axis = 1`: a group is `group` neighbours of a row; the last of a row may be shorter. `axis = 0`, as in
//! the package: with G = ceil(values / group), group g has the values g, g + G, g + 2 G, … of the message,
//! and the last ones may have one value fewer. Either way the end of the search makes a token's value depend
//! on the whole message. Differences from the package: sums are in 16 lanes or f64, so z may differ in the
//! last places. Limits: NaN counts as 0, an infinity as the largest finite value of the message's dtype;
//! z in f16 saturates at 65504 and is coarse for values far from 0 beside their range. A payload whose
//! scale or z is not finite is an error.

mod groups;
mod solver;

use strait_codec_kit::bits;
use strait_codec_kit::slices::{bounded, copy_finite};
use strait_sdk::prelude::*;
use strait_sdk::simd::vectorize;
use strait_sdk::{narrow, widen};

use groups::Groups;
use solver::{Cells, Solver};

/// Parameters of [`Hqq`].
#[derive(Params, Clone, Debug, PartialEq)]
pub struct HqqParams {
    /// Bits per value.
    #[param(default = 4, min = 1, max = 8)]
    pub bits: u32,
    /// Values that share a scale and a zero point.
    #[param(default = 64, min = 2, max = 65536)]
    pub group: usize,
    /// 1: groups within a row; 0: groups over the message, with a stride.
    #[param(default = 1, min = 0, max = 1)]
    pub axis: u32,
    /// Most iterations of the search for z.
    #[param(default = 20, min = 0, max = 1000)]
    pub iterations: u32,
    /// Whether the search begins at integers; by default at 4 bits alone, as in the package's
    /// `BaseQuantizeConfig`. Its bare `Quantizer.quantize` does not, and so neither does Transformers'
    /// quantized cache: `false` there.
    pub round_zero: Option<bool>,
    /// Exponent p of the error norm.
    #[param(default = 0.7, min = 0.1, max = 1.0)]
    pub lp_norm: f64,
    /// Type of the stored scales and zero points.
    #[param(default = "f16")]
    pub scale_dtype: ScaleDtype,
}

/// Type of the stored scales and zero points.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleDtype {
    /// 32 bits, exact.
    F32,
    /// 16 bits, up to 65504.
    F16,
}

/// The codec `hqq`.
#[derive(Debug)]
pub struct Hqq {
    params: HqqParams,
    cells: Cells,
    /// The message group after group, and in its own order.
    values: [Vec<f32>; 2],
    codes: Vec<u8>,
}

impl Hqq {
    fn groups(&self, shape: Shape) -> Groups {
        Groups::new(self.params.axis, self.params.group, shape)
    }

    fn dtype(&self) -> Dtype {
        match self.params.scale_dtype {
            ScaleDtype::F32 => Dtype::F32,
            ScaleDtype::F16 => Dtype::F16,
        }
    }
}

impl Codec for Hqq {
    const INFO: CodecInfo = CodecInfo {
        id: "hqq",
        summary: "half-quadratic quantization: 1 to 8 bits, scale and searched zero point per group",
        paper: "https://mobiusml.github.io/hqq_blog/",
        ..CodecInfo::DEFAULT
    };
    type Params = HqqParams;

    fn open(params: HqqParams) -> Result<Self> {
        Ok(Hqq { params, cells: Cells::default(), values: Default::default(), codes: Vec::new() })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        let groups = self.groups(message.shape());
        let dtype = self.dtype();
        let [grouped, plain] = &mut self.values;
        plain.resize(message.shape().values(), 0.0);
        let most = message.dtype().largest();
        message.for_each_row(|row, values| {
            let plain = &mut plain[row * values.len()..][..values.len()];
            vectorize(
                #[inline(always)]
                || copy_finite(values, most, plain),
            );
            Ok(())
        })?;
        let values = groups.gathered(plain, grouped);
        let HqqParams { bits, iterations, lp_norm, .. } = self.params;
        let solver =
            Solver::new(bits, iterations, lp_norm, self.params.round_zero.unwrap_or(bits == 4));
        self.codes.resize(values.len(), 0);
        solver.solve(&groups, values, &mut self.cells, &mut self.codes);
        for plane in [&mut self.cells.inverses, &mut self.cells.zeros] {
            plane.iter_mut().for_each(|value| *value = bounded(*value, dtype.largest()));
            let start = payload.len();
            payload.resize(start + plane.len() * dtype.size(), 0);
            narrow(dtype, plane, &mut payload[start..]);
        }
        groups.append(self.params.bits, &self.codes, payload);
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let shape = message.shape();
        Error::check_payload_length(self.payload_bytes(shape).limit(), payload.len())?;
        let groups = self.groups(shape);
        let dtype = self.dtype();
        let (planes, packed) = payload.split_at(2 * groups.count * dtype.size());
        let (inverse_bytes, zero_bytes) = planes.split_at(planes.len() / 2);
        let Cells { inverses, zeros } = &mut self.cells;
        for (plane, bytes) in [(inverses, inverse_bytes), (zeros, zero_bytes)] {
            plane.resize(groups.count, 0.0);
            widen(dtype, bytes, plane);
            if let Some(value) = plane.iter().find(|value| !value.is_finite()) {
                return Err(Error::new(format!(
                    "payload: expected finite scales and zero points, found {value}"
                )));
            }
        }
        self.codes.resize(shape.values(), 0);
        bits::unpack_into(self.params.bits, packed, &mut self.codes)?;
        let most = shape.dtype.largest();
        message.for_each_row(|row, values| {
            let first = row * values.len();
            let codes = &self.codes[first..][..values.len()];
            groups.decode_row(&self.cells, row, first, most, codes, values);
            Ok(())
        })
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        let planes = 2 * self.groups(shape).count * self.dtype().size();
        PayloadBytes::Exact(planes + bits::packed_bytes(self.params.bits, shape.values()))
    }
}

strait_sdk::export!(Hqq);
