//! Llama 3's position scaling, which GGUF stores as one factor a frequency in `rope_freqs.weight`.
//!
//! The parameters of `config.json` cannot be read off the factors in general, so the ones in use are tried. Factors of
//! another origin get a `rope_type` of their own, which a model that does not know it refuses.

use std::f64::consts::TAU;

use serde_json::{Value, json};

/// The tensor's name.
pub(super) const NAME: &str = "rope_freqs.weight";

/// Low and high frequency factor and original context length of Llama 3.1, 3.2 and 3.3.
const LLAMA_3: (f64, f64, f64) = (1.0, 4.0, 8192.0);

/// Relative deviation that rounding to f32 on the way may cause.
const TOLERANCE: f64 = 1e-4;

/// `rope_scaling` for these factors at base frequency `theta`: null if all are 1.
pub(super) fn scaling(factors: &[f32], theta: f64) -> Value {
    if factors.iter().all(|&factor| factor == 1.0) {
        return Value::Null;
    }
    let factor = f64::from(factors.iter().copied().fold(1.0, f32::max));
    let (low, high, original) = LLAMA_3;
    let pairs = factors.len() as f64;
    let expected = (0..factors.len()).map(|pair| {
        let frequency = theta.powf(-(pair as f64) / pairs);
        let smooth = ((original * frequency / TAU - low) / (high - low)).clamp(0.0, 1.0);
        1.0 / ((1.0 - smooth) / factor + smooth)
    });
    let agrees = |(found, expected): (&f32, f64)| {
        (f64::from(*found) - expected).abs() <= TOLERANCE * expected
    };
    if !factors.iter().zip(expected).all(agrees) {
        return json!({"rope_type": NAME});
    }
    json!({
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": original as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unscaled by scaled inverse frequencies of Transformers 5.23: llama3, head size 16, theta 500,000, factor 32.
    const TRANSFORMERS: [f32; 8] = [1.0, 1.0, 1.0, 1.0, 3.292_262_6, 32.0, 32.0, 32.0];

    #[test]
    fn the_parameters_of_llama_3_are_found_again() {
        let expected = json!({
            "rope_type": "llama3",
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        });
        assert_eq!(scaling(&TRANSFORMERS, 500_000.0), expected);
    }

    #[test]
    fn other_factors_are_not_taken_for_llama_3() {
        let unknown = json!({"rope_type": "rope_freqs.weight"});
        assert_eq!(scaling(&TRANSFORMERS, 400_000.0), unknown);
        assert_eq!(scaling(&[1.0, f32::NAN], 10_000.0), unknown);
        assert_eq!(scaling(&[1.0, 1.0], 10_000.0), Value::Null);
    }
}
