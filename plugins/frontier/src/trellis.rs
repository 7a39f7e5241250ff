//! Trellis-coded quantization: two interleaved quantizers, and the path between them that costs least.
//!
//! The scheme of [Marcellin and Fischer](https://doi.org/10.1109/26.46532) with entropy coding, in the
//! form of [dependent quantization](https://arxiv.org/abs/2003.11871): in two of four states a value is
//! quantized to whole steps, in the other two to zero and odd half steps; the parity of the index
//! chosen leads to the next state. Up to 1 dB (0.17 bits a value) better than one quantizer.

/// The next state after an index of even or odd parity.
const NEXT: [[u8; 2]; 4] = [[0, 2], [2, 0], [1, 3], [3, 1]];

/// Where a row's indices have led to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State(u8);

impl State {
    /// 1 where indices stand for zero and odd half steps.
    #[inline(always)]
    pub(crate) fn set(self) -> u32 {
        u32::from(self.0 >> 1)
    }

    /// The magnitude that an index stands for, in steps.
    #[inline(always)]
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn magnitude(self, index: u32) -> f32 {
        let halves = (2 * index).wrapping_sub(self.set());
        if index == 0 { 0.0 } else { 0.5 * halves as f32 }
    }

    #[inline(always)]
    pub(crate) fn next(self, index: u32) -> State {
        State(NEXT[usize::from(self.0 & 3)][(index & 1) as usize])
    }
}

/// The encoder's choice of indices, with its scratch memory.
#[derive(Clone, Debug)]
pub(crate) struct Trellis {
    /// For every value: cost and index of the best even and odd index of either set.
    choices: Vec<Choice>,
    /// For every value, the parities by which each state was reached best.
    parities: Vec<u8>,
}

/// Costs and indices: even and odd of the first set, then of the second.
#[derive(Clone, Copy, Debug, Default)]
struct Choice {
    costs: [f32; 4],
    indices: [i32; 4],
}

/// Price of a bit in squared steps. The slope of distortion by rate is 0.09 at many bits; a little less is
/// better, as good rows are good references.
const PRICE: f32 = 0.06;

/// Bits that an index other than zero takes beyond the geometric distribution, in either set.
const NONZERO: [f32; 2] = [0.6, 0.1];

impl Trellis {
    pub(crate) fn new(width: usize) -> Trellis {
        Trellis { choices: vec![Choice::default(); width], parities: vec![0; width] }
    }

    /// Signed indices for values in steps, of which `expected` are the likely mean magnitudes.
    #[inline(always)]
    pub(crate) fn quantize(&mut self, values: &[f32], expected: &[f32], indices: &mut [i32]) {
        for ((choice, value), expected) in self.choices.iter_mut().zip(values).zip(expected) {
            *choice = Choice::of(value.abs(), *expected);
        }
        let mut costs = [0.0, f32::MAX, f32::MAX, f32::MAX];
        for (choice, parities) in self.choices.iter().zip(&mut self.parities) {
            let [even, odd, even_half, odd_half] = choice.costs;
            let reach = |a: f32, b: f32| (a.min(b), u8::from(b < a));
            // States 0 and 2 are reached from 0 and 1, states 1 and 3 from 2 and 3.
            let (to0, p0) = reach(costs[0] + even, costs[1] + odd);
            let (to2, p2) = reach(costs[0] + odd, costs[1] + even);
            let (to1, p1) = reach(costs[2] + even_half, costs[3] + odd_half);
            let (to3, p3) = reach(costs[2] + odd_half, costs[3] + even_half);
            costs = [to0, to1, to2, to3];
            *parities = p0 | p1 << 1 | p2 << 2 | p3 << 3;
        }
        let mut state =
            (0..4).fold(0, |best, state| if costs[state] < costs[best] { state } else { best });
        let choices = self.choices.iter().zip(&self.parities).zip(values).zip(indices).rev();
        for (((choice, parities), value), index) in choices {
            // The second of the two predecessors was the better one.
            let second = usize::from(parities >> state & 1);
            let odd = second ^ (state >> 1);
            let set = state & 1;
            let magnitude = choice.indices[2 * set + odd];
            *index = if *value < 0.0 { -magnitude } else { magnitude };
            state = 2 * set + second;
        }
    }
}

impl Choice {
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn of(value: f32, expected: f32) -> Choice {
        let value = value.min((1 << 23) as f32);
        // A geometric distribution: so many bits for each one that an index is larger.
        let slope = PRICE * log2(1.0 + 1.0 / expected.max(0.01));
        let cost = |point: f32, index: f32, nonzero: f32| {
            let away = value - point;
            away * away + slope * index + if index > 0.0 { nonzero * PRICE } else { 0.0 }
        };
        let even = 2.0 * (0.5 * value + 0.5).floor();
        let odd = 2.0 * (0.5 * value).floor() + 1.0;
        // The second set is shifted by half a step, but for zero.
        let shifted = value + 0.5;
        let even_half = 2.0 * (0.5 * shifted + 0.5).floor();
        let odd_half = 2.0 * (0.5 * shifted).floor() + 1.0;
        let half = |index: f32| if index > 0.0 { index - 0.5 } else { 0.0 };
        let lower = |index: f32, cost: f32, zero: f32| {
            if index == 2.0 && zero < cost { (0.0, zero) } else { (index, cost) }
        };
        let (even, even_cost) = lower(even, cost(even, even, NONZERO[0]), value * value);
        let (even_half, even_half_cost) =
            lower(even_half, cost(half(even_half), even_half, NONZERO[1]), value * value);
        Choice {
            costs: [
                even_cost,
                cost(odd, odd, NONZERO[0]),
                even_half_cost,
                cost(half(odd_half), odd_half, NONZERO[1]),
            ],
            indices: [even as i32, odd as i32, even_half as i32, odd_half as i32],
        }
    }
}

/// Binary logarithm of a number from 1, within 0.01.
#[inline(always)]
#[allow(clippy::cast_precision_loss)]
fn log2(value: f32) -> f32 {
    let bits = value.to_bits();
    let mantissa = f32::from_bits(bits & 0x007f_ffff | 0x3f80_0000);
    let exponent = (bits >> 23) as f32 - 127.0;
    exponent + (mantissa - 1.0) * (1.345 - 0.345 * (mantissa - 1.0))
}
