//! IQ4_NL: 32 values as 16 uneven steps of one scale.

use crate::fit::scale_of_steps;
use crate::format::{Block, SMALL, get_f16, get_nibbles, inverse, put_f16, put_nibbles};

/// f16 d, 32 codes.
pub(crate) struct Iq4Nl;

/// The steps, ascending.
const STEPS: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0,
    89.0, 113.0,
];

impl Block<SMALL, 18> for Iq4Nl {
    #[inline(always)]
    fn quantize(values: &[f32; SMALL], block: &mut [u8; 18]) {
        let scale = scale_of_steps(values, STEPS[0], 8.0, nearest);
        let factor = inverse(put_f16(block, 0, scale));
        let mut codes = [0; SMALL];
        for (code, value) in codes.iter_mut().zip(values) {
            *code = code_of(value * factor);
        }
        put_nibbles(&codes, &mut block[2..]);
    }

    #[inline(always)]
    fn dequantize(block: &[u8; 18], values: &mut [f32; SMALL]) -> bool {
        let scale = get_f16(block, 0);
        for (value, code) in values.iter_mut().zip(get_nibbles(&block[2..])) {
            *value = scale * STEPS[usize::from(code & 15)];
        }
        scale.is_finite()
    }
}

/// The nearest step, the lower one on a tie.
#[inline(always)]
fn nearest(value: f32) -> f32 {
    let mut step = STEPS[0];
    for pair in STEPS.windows(2) {
        step += if value > (pair[0] + pair[1]) / 2.0 { pair[1] - pair[0] } else { 0.0 };
    }
    step
}

/// The code of the nearest step.
#[inline(always)]
fn code_of(value: f32) -> u8 {
    let mut code = 0;
    for pair in STEPS.windows(2) {
        code += u8::from(value > (pair[0] + pair[1]) / 2.0);
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_steps_are_nearest() {
        for i in -300..300_i16 {
            let value = f32::from(i) / 2.0;
            let best = STEPS.iter().map(|step| (step - value).abs()).fold(f32::MAX, f32::min);
            assert_eq!((nearest(value) - value).abs(), best);
            assert_eq!(STEPS[usize::from(code_of(value))], nearest(value));
        }
    }
}
