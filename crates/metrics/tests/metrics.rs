//! Metrics against numpy's values and against properties that must hold for every input.
#![allow(clippy::unwrap_used, missing_docs)]

use proptest::prelude::*;
use serde_json::Value;
use strait_metrics::{
    Agreement, Bootstrap, Distortion, Divergence, PairedSums, ProbabilityShift, argmax,
    bits_per_byte, confidence_buckets, kld_f64, log_softmax_f64, nll_f64, pareto_front,
};

fn golden(part: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("golden/golden.json")).unwrap();
    all[part].clone()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn floats32(value: &Value) -> Vec<f32> {
    floats(value).into_iter().map(|v| v as f32).collect()
}

#[track_caller]
fn close(got: f64, expected: &Value, relative: f64, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((got - expected).abs() <= relative * expected.abs(), "{what}: {got} != {expected}");
}

fn sums(pairs: &[(f64, f64)]) -> PairedSums {
    let mut sums = PairedSums::default();
    for &(a, b) in pairs {
        sums.push(a, b);
    }
    sums
}

#[test]
fn paired_summary_equals_numpy() {
    let golden = golden("small");
    let (a, b) = (floats(&golden["a"]), floats(&golden["b"]));
    let got = sums(&a.into_iter().zip(b).collect::<Vec<_>>()).summary();
    for (name, value) in [
        ("ppl", got.ppl),
        ("ppl_error", got.ppl_error),
        ("base_ppl", got.base_ppl),
        ("base_ppl_error", got.base_ppl_error),
        ("delta", got.delta),
        ("delta_error", got.delta_error),
        ("ln_ratio", got.ln_ratio),
        ("ln_ratio_error", got.ln_ratio_error),
        ("ratio", got.ratio),
        ("ratio_error", got.ratio_error),
        ("correlation", got.correlation),
    ] {
        close(value, &golden["paired"][name], 1e-12, name);
    }
}

#[test]
fn paired_summary_equals_exact_arithmetic_over_300000_tokens() {
    let golden = golden("large");
    let mut got = PairedSums::default();
    // Summed per window of 512 and then merged, as a run does.
    for window in (0..300_000_u32).collect::<Vec<_>>().chunks(512) {
        let mut part = PairedSums::default();
        for &t in window {
            let hash = t.wrapping_mul(2_654_435_761);
            let b = f64::from(hash >> 8) / 2.0_f64.powi(21);
            let d = f64::from((hash.wrapping_mul(40_503) >> 24) as i32 - 120) / 2.0_f64.powi(50);
            // b has 21 binary places and stays below 8, d has 50: b + d is exact in an f64.
            part.push(b + d, b);
        }
        got.merge(&part);
    }
    let got = got.summary();
    for (name, value, relative) in [
        ("ppl", got.ppl, 1e-12),
        ("base_ppl", got.base_ppl, 1e-12),
        ("delta", got.delta, 1e-12),
        ("delta_error", got.delta_error, 1e-12),
        ("ln_ratio", got.ln_ratio, 1e-12),
        ("ln_ratio_error", got.ln_ratio_error, 1e-12),
    ] {
        close(value, &golden[name], relative, name);
    }
}

#[test]
fn divergence_equals_numpy() {
    let golden = golden("divergence");
    let got = serde_json::to_value(Divergence::from_values(&floats32(&golden["values"]))).unwrap();
    let expected = golden["expected"].as_object().unwrap();
    assert_eq!(got.as_object().unwrap().len(), expected.len());
    for (name, expected) in expected {
        close(got[name].as_f64().unwrap(), expected, 1e-13, name);
    }
}

#[test]
fn reference_scores_equal_numpy() {
    let golden = golden("logits");
    let (p, q) = (floats32(&golden["reference"]), floats32(&golden["model"]));
    for (target, expected) in golden["nll"].as_array().unwrap().iter().enumerate() {
        close(nll_f64(&q, target), expected, 1e-14, "nll");
    }
    close(kld_f64(&p, &q), &golden["kld"], 1e-13, "kld");
}

#[test]
fn distortion_equals_numpy() {
    let golden = golden("distortion");
    let mut got = Distortion::default();
    got.push(&floats32(&golden["x"]), &floats32(&golden["y"]));
    close(got.mse(), &golden["mse"], 1e-13, "mse");
    close(got.sqnr_db(), &golden["sqnr_db"], 1e-13, "sqnr_db");
    close(got.cosine(), &golden["cosine"], 1e-13, "cosine");
    close(got.relative_error(), &golden["relative_error"], 1e-13, "relative_error");
    close(got.max_abs, &golden["max_abs"], 0.0, "max_abs");
}

#[test]
fn probability_shift_equals_numpy() {
    let (tokens, golden) = (golden("small"), golden("shift"));
    let got = ProbabilityShift::from_nll(&floats(&tokens["a"]), &floats(&tokens["b"]));
    assert_eq!(got.n, 257);
    for (name, value) in [
        ("mean", got.mean()),
        ("mean_error", got.mean_error()),
        ("rms", got.rms()),
        ("rms_error", got.rms_error()),
    ] {
        close(value, &golden[name], 1e-12, name);
    }
    let got = serde_json::to_value(got).unwrap();
    for (name, expected) in golden["quantiles"].as_object().unwrap() {
        close(got[name].as_f64().unwrap(), expected, 1e-12, name);
    }
}

#[test]
fn confidence_buckets_equal_numpy() {
    let golden = golden("buckets");
    let same: Vec<bool> =
        golden["same"].as_array().unwrap().iter().map(|same| same.as_bool().unwrap()).collect();
    let got = confidence_buckets(&floats32(&golden["top"]), &floats32(&golden["kld"]), &same);
    assert_eq!(got.len(), golden["expected"].as_array().unwrap().len());
    for (bucket, expected) in got.iter().zip(golden["expected"].as_array().unwrap()) {
        close(bucket.n as f64, &expected["n"], 0.0, "n");
        close(bucket.same as f64, &expected["same"], 0.0, "same");
        close(bucket.kld.mean, &expected["mean"], 1e-13, "mean");
        close(bucket.kld.error, &expected["error"], 1e-13, "error");
        close(bucket.kld.median, &expected["median"], 1e-13, "median");
        close(bucket.kld.p99, &expected["p99"], 1e-13, "p99");
    }
}

#[test]
fn bootstrap_equals_numpy_with_the_same_draws_and_scipy_with_others() {
    let golden = golden("bootstrap");
    let windows: Vec<PairedSums> = golden["windows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| sums(&floats(&w["a"]).into_iter().zip(floats(&w["b"])).collect::<Vec<_>>()))
        .collect();
    let bootstrap = Bootstrap {
        resamples: golden["resamples"].as_f64().unwrap() as usize,
        seed: golden["seed"].as_f64().unwrap() as u64,
        level: golden["level"].as_f64().unwrap(),
    };
    let delta = |sums: &PairedSums| sums.summary().delta;
    let got = bootstrap.of_windows(&windows, delta).unwrap();
    close(got.low, &golden["same_draws"][0], 1e-11, "low");
    close(got.high, &golden["same_draws"][1], 1e-11, "high");

    let many = Bootstrap { resamples: 20_000, ..bootstrap };
    let got = many.of_windows(&windows, delta).unwrap();
    let scipy = floats(&golden["scipy"]);
    let width = scipy[1] - scipy[0];
    // 20,000 draws on both sides leave about 1 % of the width to chance.
    assert!((got.low - scipy[0]).abs() < 0.03 * width, "{got:?} {scipy:?}");
    assert!((got.high - scipy[1]).abs() < 0.03 * width, "{got:?} {scipy:?}");
}

#[test]
fn agreement_and_bits_per_byte_equal_scipy_and_numpy() {
    let golden_agreement = golden("agreement");
    let count = |name: &str| golden_agreement[name].as_f64().unwrap() as u64;
    let got = Agreement::from_counts(count("same"), count("n"));
    close(got.share, &golden_agreement["share"], 1e-15, "share");
    close(got.error, &golden_agreement["error"], 1e-13, "error");
    let golden_bits = golden("bits_per_byte");
    let nll: f64 = floats(&golden("small")["a"]).iter().sum();
    let bytes = golden_bits["bytes"].as_f64().unwrap() as u64;
    close(bits_per_byte(nll, bytes), &golden_bits["value"], 1e-13, "bits per byte");
}

fn pairs() -> impl Strategy<Value = Vec<(f64, f64)>> {
    prop::collection::vec((0.0..20.0, -0.5..0.5).prop_map(|(b, d): (f64, f64)| (b + d, b)), 3..200)
}

proptest! {
    /// The rearranged errors equal the formulas as llama.cpp writes them.
    #[test]
    fn paired_errors_are_llama_cpp_s(pairs in pairs()) {
        let n = pairs.len() as f64;
        let mean = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>() / n;
        let (a, b) = (mean(&|p| p.0), mean(&|p| p.1));
        let cov = |f: &dyn Fn(&(f64, f64)) -> f64| mean(f) / (n - 1.0);
        let se_a = cov(&|p| (p.0 - a).powi(2)).sqrt();
        let se_b = cov(&|p| (p.1 - b).powi(2)).sqrt();
        let ab = cov(&|p| (p.0 - a) * (p.1 - b));
        let got = sums(&pairs).summary();
        let (u, v) = (a.exp() * se_a, b.exp() * se_b);
        let near = |x: f64, y: f64, scale: f64| (x - y).abs() <= 1e-6 * scale;
        prop_assert!(near(got.ppl, a.exp(), a.exp() * 1e-6));
        prop_assert!(near(got.ppl_error, u, u) && near(got.base_ppl_error, v, v));
        prop_assert!(near(got.ln_ratio_error, (se_a * se_a + se_b * se_b - 2.0 * ab).max(0.0).sqrt(), se_b));
        let delta_error = (u * u + v * v - 2.0 * a.exp() * b.exp() * ab).max(0.0).sqrt();
        prop_assert!(near(got.delta_error, delta_error, v));
        prop_assert!((-1.0 - 1e-9..=1.0 + 1e-9).contains(&got.correlation));
    }

    /// Cutting the tokens into windows changes nothing beyond rounding, and the same cut nothing at all.
    #[test]
    fn merging_windows(pairs in pairs(), size in 1_usize..50) {
        let merged = |()| {
            let mut all = PairedSums::default();
            for window in pairs.chunks(size) {
                // Through JSON, as an interrupted run does it.
                let json = serde_json::to_string(&sums(window)).unwrap();
                all.merge(&serde_json::from_str(&json).unwrap());
            }
            all
        };
        let direct = {
            let mut all = PairedSums::default();
            pairs.chunks(size).for_each(|window| all.merge(&sums(window)));
            all
        };
        prop_assert_eq!(merged(()), direct);
        let (got, whole) = (merged(()).summary(), sums(&pairs).summary());
        prop_assert!((got.delta - whole.delta).abs() <= 1e-10 * whole.base_ppl);
        prop_assert!((got.delta_error - whole.delta_error).abs() <= 1e-9 * whole.base_ppl);
    }

    #[test]
    fn quantiles_ascend_and_bound_the_mean(values in prop::collection::vec(0.0_f32..30.0, 1..300)) {
        let d = Divergence::from_values(&values);
        let all = [d.min, d.p01, d.p05, d.p10, d.median, d.p90, d.p95, d.p99, d.p999, d.max];
        prop_assert!(all.windows(2).all(|pair| pair[0] <= pair[1]));
        prop_assert!(d.min <= d.mean * (1.0 + 1e-12) && d.mean <= d.max * (1.0 + 1e-12));
        let mut reversed = values.clone();
        reversed.reverse();
        let r = Divergence::from_values(&reversed);
        prop_assert_eq!((r.median, r.p999), (d.median, d.p999));
    }

    #[test]
    fn log_softmax_is_a_distribution(
        p in prop::collection::vec(-80.0_f32..80.0, 20),
        q in prop::collection::vec(-80.0_f32..80.0, 20),
    ) {
        let log_p = log_softmax_f64(&p);
        prop_assert!((log_p.iter().map(|x| x.exp()).sum::<f64>() - 1.0).abs() < 1e-13);
        prop_assert!(log_p.iter().all(|&x| x <= 0.0));
        prop_assert!(kld_f64(&p, &q) >= -1e-13);
        let best = argmax(&p).unwrap();
        prop_assert!(p.iter().all(|&x| x <= p[best]));
    }

    /// No point of the front is beaten, and every other point is.
    #[test]
    fn pareto_front_is_exact(points in prop::collection::vec((0_u8..8, 0_u8..8), 0..30)) {
        let points: Vec<(f64, f64)> = points.iter().map(|&(c, l)| (f64::from(c), f64::from(l))).collect();
        let beaten = |i: usize| points.iter().any(|q| {
            let p = points[i];
            q.0 <= p.0 && q.1 <= p.1 && *q != p
        });
        let front = pareto_front(&points);
        for i in 0..points.len() {
            prop_assert_eq!(front.contains(&i), !beaten(i));
        }
        prop_assert!(front.windows(2).all(|pair| points[pair[0]].0 <= points[pair[1]].0));
    }

    /// Splitting the values over messages changes nothing beyond rounding.
    #[test]
    fn distortion_merges(values in prop::collection::vec((-50.0_f32..50.0, -1.0_f32..1.0), 1..200), cut in 0_usize..200) {
        let (x, y): (Vec<f32>, Vec<f32>) = values.iter().map(|&(x, e)| (x, x + e)).unzip();
        let cut = cut.min(x.len());
        let (mut whole, mut first, mut rest) = (Distortion::default(), Distortion::default(), Distortion::default());
        whole.push(&x, &y);
        first.push(&x[..cut], &y[..cut]);
        rest.push(&x[cut..], &y[cut..]);
        first.merge(&rest);
        prop_assert_eq!((first.values, first.max_abs), (whole.values, whole.max_abs));
        prop_assert!((first.squared_error - whole.squared_error).abs() <= 1e-12 * whole.squared_error);
        prop_assert!((first.dot - whole.dot).abs() <= 1e-12 * whole.squared_signal.max(whole.squared_output));
    }
}
