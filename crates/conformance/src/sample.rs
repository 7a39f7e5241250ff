//! The messages that every codec must survive.

use half::{bf16, f16};
use strait_sdk::{Dtype, Shape, narrow, widen};

/// A message to check with.
#[derive(Clone, Debug)]
pub struct Sample {
    name: &'static str,
    shape: Shape,
    values: Vec<f32>,
    bytes: AlignedBytes,
    side: Vec<f32>,
}

/// One value per row, which serves as any side information that is requested.
fn side(shape: Shape) -> Vec<f32> {
    (0..shape.rows).map(|row| 1.0 / (1.0 + row as f32)).collect()
}

/// Bytes aligned for every element type.
#[derive(Clone, Debug)]
pub(crate) struct AlignedBytes {
    words: Vec<u64>,
    len: usize,
}

impl Sample {
    /// A sample `[rows, channels]` of these values, rounded to the dtype.
    pub(crate) fn new(name: &'static str, shape: Shape, values: &[f32]) -> Sample {
        let mut bytes = AlignedBytes::new(shape.bytes());
        narrow(shape.dtype, values, bytes.get_mut());
        let mut rounded = vec![0.0; values.len()];
        widen(shape.dtype, bytes.get(), &mut rounded);
        Sample { name, shape, values: rounded, bytes, side: side(shape) }
    }

    /// A sample from these bytes, as received from another process.
    pub(crate) fn of_bytes(shape: Shape, bytes: &[u8]) -> Result<Sample, String> {
        if shape.checked_bytes() != Some(bytes.len()) {
            return Err(format!("a message of {} bytes for {shape:?}", bytes.len()));
        }
        let mut aligned = AlignedBytes::new(bytes.len());
        aligned.get_mut().copy_from_slice(bytes);
        let mut values = vec![0.0; shape.values()];
        widen(shape.dtype, bytes, &mut values);
        Ok(Sample { name: "sent", shape, values, bytes: aligned, side: side(shape) })
    }

    /// A name for the sample, of one or two words.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Shape and dtype.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The values, row-major `[rows, channels]`, exactly as the dtype represents them.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values as bytes of the dtype.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get()
    }

    /// One value per row, which serves as any side information that is requested.
    pub(crate) fn side(&self) -> &[f32] {
        &self.side
    }

    /// Whether every value is finite.
    pub(crate) fn is_finite(&self) -> bool {
        self.values.iter().all(|value| value.is_finite())
    }

    /// Whether every value is zero or of a magnitude that f16 represents with full precision, so
    /// that a stated error bound needs no exception.
    pub(crate) fn is_ordinary(&self) -> bool {
        self.values.iter().all(|value| *value == 0.0 || (6.2e-5..=65504.0).contains(&value.abs()))
    }
}

impl AlignedBytes {
    pub(crate) fn new(len: usize) -> AlignedBytes {
        AlignedBytes { words: vec![0; len.div_ceil(8)], len }
    }

    pub(crate) fn get(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }

    pub(crate) fn get_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }
}

/// Every sample of one dtype: ordinary values in every shape, hard values in an odd shape.
pub(crate) fn samples(dtype: Dtype) -> Vec<Sample> {
    let shape = |rows, channels| Shape { rows, channels, dtype };
    let mut samples: Vec<Sample> = [(1, 1), (0, 64), (1, 64), (3, 7), (5, 129), (17, 64), (2, 320)]
        .into_iter()
        .map(|(rows, channels)| ordinary(shape(rows, channels), 1))
        .collect();
    let odd = shape(5, 129);
    let noise = normal(odd.values(), 2);
    let mut hard = |name, value: &dyn Fn(usize) -> f32| {
        let values: Vec<f32> = (0..odd.values()).map(value).collect();
        samples.push(Sample::new(name, odd, &values));
    };
    let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    hard("zeros", &|_| 0.0);
    hard("negative zeros", &|_| -0.0);
    hard("constant rows", &|i| 0.7 - (i / odd.channels) as f32);
    hard("positive values", &|i| 100.0 + noise[i].abs());
    hard("massive outliers", &|i| if i % 131 == 3 { 9000.0 * sign(i) } else { noise[i] });
    hard("largest f16", &|i| 65504.0 * sign(i));
    hard("largest of the dtype", &|i| largest(dtype) * sign(i / 3));
    hard("largest among small", &|i| if i % 129 == 5 { largest(dtype) } else { noise[i] });
    hard("smallest of the dtype", &|i| smallest(dtype) * sign(i) * (i % 7) as f32);
    hard("NaN", &|i| if i % 50 == 7 { f32::NAN } else { noise[i] });
    hard("NaN alone", &|_| f32::NAN);
    hard("infinities", &|i| if i % 50 == 9 { f32::INFINITY * sign(i / 50) } else { noise[i] });
    hard("infinities alone", &|i| f32::INFINITY * sign(i));
    hard("every special", &|i| {
        [f32::NAN, f32::INFINITY, -0.0, smallest(dtype), 65504.0, f32::NEG_INFINITY, 1.0][i % 7]
    });
    samples
}

/// Normally distributed values with one channel larger than the others, as in hidden states.
pub(crate) fn ordinary(shape: Shape, seed: u64) -> Sample {
    let mut values = normal(shape.values(), seed);
    for row in values.chunks_mut(shape.channels.max(1)) {
        if let Some(value) = row.get_mut(3) {
            *value *= 20.0;
        }
    }
    Sample::new("ordinary", shape, &values)
}

/// Roughly normal values with mean 0 and deviation 1: the sum of twelve uniform ones.
fn normal(count: usize, seed: u64) -> Vec<f32> {
    let mut bits = Bits::new(seed);
    (0..count)
        .map(|_| (0..12).map(|_| (bits.next() >> 40) as f32 / (1 << 24) as f32).sum::<f32>() - 6.0)
        .collect()
}

/// A reproducible stream of 64-bit numbers (SplitMix64).
pub(crate) struct Bits(u64);

impl Bits {
    pub(crate) fn new(seed: u64) -> Bits {
        Bits(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn largest(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F32 => f32::MAX,
        Dtype::F16 => f16::MAX.to_f32(),
        Dtype::BF16 => bf16::MAX.to_f32(),
    }
}

fn smallest(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F32 => f32::from_bits(1),
        Dtype::F16 => f16::from_bits(1).to_f32(),
        Dtype::BF16 => bf16::from_bits(1).to_f32(),
    }
}
