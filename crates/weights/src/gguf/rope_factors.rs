//! Position scaling that GGUF stores as one factor per frequency: Llama 3's in `rope_freqs.weight`, Phi-3's in
//! two tensors.
//!
//! The parameters of Llama 3's `config.json` cannot be derived from the factors in general, so the known sets
//! are tried. Factors of other origin are used as they are, as llama.cpp does with all of them.

use std::f64::consts::TAU;

use serde_json::{Value, json};

/// Phi-3's tensors, for contexts beyond the original length and within it.
pub(super) const LONG_AND_SHORT: [&str; 2] =
    ["rope_factors_long.weight", "rope_factors_short.weight"];

/// Value of `rope_scaling` for Phi-3. The attention factor follows from the context lengths, as Transformers
/// computes it, and is written only if the metadata has another.
pub(super) fn longrope(
    [long, short]: [&[f32]; 2],
    lengths: Option<(f64, f64)>,
    attention_factor: Option<f64>,
) -> Value {
    let mut scaling = json!({
        "rope_type": "longrope",
        "long_factor": decimals(long),
        "short_factor": decimals(short),
    });
    let implied = lengths.map(|(longest, original)| {
        let ratio = longest / original;
        if ratio <= 1.0 { 1.0 } else { (1.0 + ratio.ln() / original.ln()).sqrt() }
    });
    let differs = |factor: &f64| implied.is_none_or(|implied| (factor - implied).abs() > 1e-6);
    if let Some(factor) = attention_factor.filter(differs) {
        scaling["attention_factor"] = json!(factor);
    }
    scaling
}

/// Converts via the shortest decimal form, so that 1.1 does not become 1.10000002384185791015625.
fn decimals(factors: &[f32]) -> Vec<f64> {
    let decimal = |factor: &f32| factor.to_string().parse().unwrap_or(f64::from(*factor));
    factors.iter().map(decimal).collect()
}

/// Llama 3's tensor.
pub(super) const NAME: &str = "rope_freqs.weight";

/// Low and high frequency factor, and original context length, of Llama 3.1, 3.2 and 3.3.
const LLAMA_3: (f64, f64, f64) = (1.0, 4.0, 8192.0);

/// Relative deviation that earlier rounding to f32 may have caused.
const TOLERANCE: f64 = 1e-4;

/// Value of `rope_scaling` for these factors at base frequency `theta`: null if all are 1.
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
        // Each factor divides its frequency, as in LongRoPE, for short and long texts alike.
        let factors = decimals(factors);
        return json!({
            "rope_type": "longrope",
            "long_factor": factors,
            "short_factor": factors,
            "attention_factor": 1.0,
        });
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

    /// Unscaled divided by scaled inverse frequencies of Transformers 5.23: llama3, head size 16, theta
    /// 500,000, factor 32.
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
    fn phi_3_keeps_an_attention_factor_of_its_own() {
        let implied = (1.0 + 4f64.ln() / 24f64.ln()).sqrt();
        let scaling = |factor| longrope([&[1.1], &[1.0]], Some((96.0, 24.0)), Some(factor));
        let plain = json!({"rope_type": "longrope", "long_factor": [1.1], "short_factor": [1.0]});
        assert_eq!(scaling(implied), plain);
        assert_eq!(scaling(1.5)["attention_factor"], 1.5);
    }

    #[test]
    fn other_factors_are_not_taken_for_llama_3() {
        let unknown = scaling(&TRANSFORMERS, 400_000.0);
        assert_eq!(unknown["rope_type"], "longrope");
        assert_eq!(unknown["long_factor"], unknown["short_factor"]);
        assert_eq!(unknown["long_factor"][4], 3.292_262_6);
        // NaN becomes null in JSON, which a model rejects.
        assert_eq!(scaling(&[1.0, f32::NAN], 10_000.0)["long_factor"][1], Value::Null);
        assert_eq!(scaling(&[1.0, 1.0], 10_000.0), Value::Null);
    }
}
