//! The quantization step: a power of 2^(1/8), so that both sides have the very same number.

/// Codes are eighths of an octave; this one stands for a step of 0.
pub(crate) const NONE: i32 = -1024;
/// The largest magnitude of any other code.
const MOST: i32 = 960;

/// 2^(i/8), rounded to f32.
const EIGHTHS: [f32; 8] = [
    1.0,
    1.090_507_7,
    1.189_207_1,
    1.296_839_6,
    std::f32::consts::SQRT_2,
    1.542_210_8,
    1.681_792_9,
    1.834_008_1,
];

/// The step of a code.
pub(crate) fn step_of(code: i32) -> f32 {
    if code == NONE {
        return 0.0;
    }
    let code = code.clamp(-MOST, MOST);
    let exponent = (127 + code.div_euclid(8)).cast_unsigned();
    f32::from_bits(exponent << 23) * EIGHTHS[code.rem_euclid(8).cast_unsigned() as usize & 7]
}

/// The code of the step for a signal of deviation `sigma` at so many nominal bits.
///
/// Uniform quantization of a Gaussian and ideal entropy coding take log₂(σ/Δ) + ½ log₂ 2πe bits.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn code_of(sigma: f64, bits: f32) -> i32 {
    if sigma <= 0.0 || !sigma.is_finite() {
        return NONE;
    }
    let octaves = sigma.log2() + 2.047_1 - f64::from(bits);
    ((octaves * 8.0).round() as i32).clamp(-MOST, MOST)
}

/// Deviation of an ordinary channel of a row: its median magnitude over that of a normal variable, or
/// the root mean square where most values are 0.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn deviation(row: &[f32], scratch: &mut Vec<f32>) -> f64 {
    scratch.clear();
    scratch.extend(row.iter().map(|value| value.abs()));
    if scratch.is_empty() {
        return 0.0;
    }
    let middle = scratch.len() / 2;
    let (_, median, _) = scratch.select_nth_unstable_by(middle, f32::total_cmp);
    let median = f64::from(*median) / 0.674_49;
    if median > 0.0 {
        return median;
    }
    let squares: f64 = row.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    (squares / row.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_eighths_of_an_octave() {
        for code in -MOST..=MOST {
            let exact = (f64::from(code) / 8.0).exp2();
            assert!((f64::from(step_of(code)) / exact - 1.0).abs() < 1e-6, "{code}");
        }
        assert_eq!(step_of(NONE), 0.0);
        assert_eq!(code_of(0.0, 3.0), NONE);
        assert_eq!(code_of(f64::NAN, 3.0), NONE);
        // One bit more halves the step.
        assert_eq!(code_of(5.0, 3.0) - code_of(5.0, 4.0), 8);
    }

    #[test]
    fn the_deviation_is_that_of_an_ordinary_channel() {
        let mut scratch = Vec::new();
        assert_eq!(deviation(&[], &mut scratch), 0.0);
        assert_eq!(deviation(&[0.0; 5], &mut scratch), 0.0);
        assert_eq!(deviation(&[0.0, 0.0, 0.0, 2.0], &mut scratch), 1.0);
        let sigma = deviation(&[0.674_49, -0.674_49, 1e9], &mut scratch);
        assert!((sigma - 1.0).abs() < 1e-6);
    }
}
