//! Made-up hidden states: tokens that come again, channels of very different size, a sink.

/// Different tokens of a text, the frequent ones first.
const VOCABULARY: usize = 512;

/// `rows` × `channels` values.
///
/// A row is the vector of a token, drawn with a probability of about one over its rank, and as much noise. Channels
/// have sizes of a log-normal distribution, three of them are thirty times as large, and the first row is
/// a sink: a hundred times as large in two channels of those.
pub(crate) fn hidden_states(rows: usize, channels: usize, seed: u64) -> Vec<f32> {
    let mut fixed = Normal(0);
    let mut sizes: Vec<f32> = (0..channels).map(|_| (0.6 * fixed.next()).exp()).collect();
    let massive: Vec<usize> = (0..3).map(|i| (37 + i * 331) % channels).collect();
    massive.iter().for_each(|channel| sizes[*channel] *= 30.0);
    let vectors: Vec<f32> = (0..VOCABULARY * channels).map(|_| fixed.next()).collect();
    let mut noise = Normal(seed + 1);
    let mut values = Vec::with_capacity(rows * channels);
    for row in 0..rows {
        let token = (VOCABULARY as f32).powf(noise.uniform()) as usize % VOCABULARY;
        let vector = &vectors[token * channels..][..channels];
        values.extend(vector.iter().zip(&sizes).map(|(v, size)| size * 0.7 * (v + noise.next())));
        if row == 0 {
            massive[..2].iter().for_each(|channel| values[*channel] = 100.0 * sizes[*channel]);
        }
    }
    values
}

/// Roughly normal numbers: sums of four uniform ones.
struct Normal(u64);

impl Normal {
    fn next(&mut self) -> f32 {
        let bits = self.bits();
        let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
        (sum as f32 / 65536.0 - 2.0) * 3.0_f32.sqrt()
    }

    fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 24) as f32
    }

    /// SplitMix64.
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
