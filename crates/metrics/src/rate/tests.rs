//! The estimates against closed forms, and messages that a short payload can carry.

use super::*;

const ROWS: usize = 256;
const CHANNELS: usize = 96;

/// Roughly normal numbers of mean 0 and deviation 1: the sum of twelve uniform ones.
fn normal(count: usize, seed: u64) -> Vec<f32> {
    let uniform = |i: u64| (mixed(i) >> 11) as f64 / (1_u64 << 53) as f64;
    let sum = |i: u64| (0..12).map(|k| uniform(seed * 1_000_003 + i * 12 + k)).sum::<f64>() - 6.0;
    (0..count as u64).map(|i| sum(i) as f32).collect()
}

/// The values with a uniform error of at most `most`.
fn noisy(sent: &[f32], most: f32) -> Vec<f32> {
    let noise = |i: usize| (mixed(i as u64 + (7 << 40)) >> 40) as f32 / (1 << 23) as f32 - 1.0;
    sent.iter().enumerate().map(|(i, value)| value + most * noise(i)).collect()
}

fn crossing<'a>(sent: &'a [f32], arrived: &'a [f32]) -> Crossing<'a> {
    Crossing { sent, arrived, channels: CHANNELS, mantissa_bits: 24 }
}

/// Bits per value below which a payload is called short.
fn threshold(sent: &[f32], arrived: &[f32]) -> f64 {
    let needed = crossing(sent, arrived).shortfall(0).needed_bytes as f64;
    (needed / MARGIN - SLACK_BYTES).max(0.0) * 8.0 / sent.len() as f64
}

#[test]
fn independent_normal_values_need_what_theory_says() {
    let sent = normal(ROWS * CHANNELS, 1);
    let arrived = noisy(&sent, 0.01);
    // A uniform error of at most 0.01 has the variance 0.01² / 3.
    let bits = 0.5 * (1.0 / (0.01_f64.powi(2) / 3.0)).log2();
    let crossing = crossing(&sent, &arrived);
    let error = crossing.squared_error().unwrap();
    let n = sent.len() as f64;
    assert!((crossing.channel_bits(error) / n - bits).abs() < 0.02);
    assert!((crossing.entropy_bits(error) / n + SCALAR_LOSS_BITS - bits - 0.254).abs() < 0.03);
    let block = crossing.block_bits() / n;
    assert!(block < bits && block > bits - 1.0, "{block}, {bits}");
    assert_eq!(crossing.new_rows(4.0 * error / ROWS as f64), ROWS);
    let short = crossing.shortfall(100);
    assert_eq!((short.sequences, short.payload_bytes), (1, 100));
    assert!(short.stands(0) && !short.stands(short.needed_bytes / 4));
}

#[test]
fn the_cheap_question_is_never_stricter_than_the_estimates() {
    let sent = normal(ROWS * CHANNELS, 5);
    let uneven: Vec<f32> = sent
        .iter()
        .enumerate()
        .map(|(i, x)| if i % CHANNELS < 3 { 1000.0 * x } else { *x })
        .collect();
    for sent in [sent, uneven] {
        let arrived = noisy(&sent, 0.1);
        let mut sums = Distortion::default();
        sums.push(&sent, &arrived);
        let bytes = (threshold(&sent, &arrived) * sent.len() as f64 / 8.0) as u64;
        for bytes in [0, bytes / 2, bytes.saturating_sub(1)] {
            assert!(Shortfall::is_possible(&sums, 24, bytes), "{bytes}");
        }
        assert!(!Shortfall::is_possible(&sums, 24, 4 * sent.len() as u64));
    }
    assert!(!Shortfall::is_possible(&Distortion::default(), 24, 0));
}

#[test]
fn water_is_filled_to_one_level() {
    // Errors of 1 in each: half a bit per quadrupling of the variance above that.
    assert!((filled_bits(&[16.0, 4.0], 10.0, 20.0) - 10.0 * (2.0 + 1.0)).abs() < 1e-9);
    // The second lies below the level of 3.
    assert!((filled_bits(&[12.0, 1.0], 1.0, 4.0) - 1.0).abs() < 1e-9);
    assert_eq!(filled_bits(&[1.0, 1.0], 1.0, 2.0), 0.0);
    assert_eq!(filled_bits(&[], 1.0, 1.0), 0.0);
}

#[test]
fn eigenvalues_are_those_of_the_matrix() {
    let mut found =
        eigenvalues(vec![vec![2.0, 1.0, 0.0], vec![1.0, 2.0, 1.0], vec![0.0, 1.0, 2.0]]);
    found.sort_by(f64::total_cmp);
    let root = 2.0_f64.sqrt();
    for (found, expected) in found.iter().zip([2.0 - root, 2.0, 2.0 + root]) {
        assert!((found - expected).abs() < 1e-12, "{found}");
    }
}

#[test]
fn honest_payloads_of_structured_messages_are_not_short() {
    let noise = normal(ROWS * CHANNELS, 2);
    let small = 1e-3;
    let at = |i: usize| (i / CHANNELS, i % CHANNELS);
    let value = |f: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
        (0..ROWS * CHANNELS).map(|i| f(at(i).0, at(i).1)).collect()
    };
    // Messages, each with the bits per value that a plain code for it needs.
    let per_value = 12.0;
    let cases: [(&str, Vec<f32>, f64); 9] = [
        ("one constant", value(&|_, _| 3.7), 0.0),
        ("constant channels", value(&|_, c| noise[c]), per_value / ROWS as f64),
        ("constant rows", value(&|r, _| noise[r]), per_value / CHANNELS as f64),
        (
            "rank 2",
            value(&|r, c| noise[r] * noise[900 + c] + noise[2000 + r] * noise[3000 + c]),
            per_value * 2.0 * (ROWS + CHANNELS) as f64 / (ROWS * CHANNELS) as f64,
        ),
        (
            "one value of a hundred",
            value(&|r, c| {
                if mixed((r * CHANNELS + c) as u64).is_multiple_of(100) {
                    noise[r + c]
                } else {
                    0.0
                }
            }),
            (per_value + 7.0) / 100.0,
        ),
        (
            "signs",
            value(&|r, c| if mixed((r * CHANNELS + c) as u64) & 1 == 0 { 0.5 } else { -0.5 }),
            1.0,
        ),
        (
            "32 different rows",
            value(&|r, c| noise[(mixed(r as u64) % 32) as usize * CHANNELS + c]),
            (per_value * 32.0 + 5.0 * ROWS as f64 / CHANNELS as f64) / ROWS as f64,
        ),
        ("a slow walk", value(&|r, c| (0..=r).map(|k| 0.01 * noise[k * CHANNELS + c]).sum()), 5.0),
        (
            "a massive token",
            value(&|r, c| noise[r * CHANNELS + c] * if r == 0 { 1e4 } else { 1.0 }),
            10.0,
        ),
    ];
    for (name, sent, bits) in cases {
        // The slack of a message is 64 bytes.
        let honest = bits + 64.0 * 8.0 / sent.len() as f64;
        let exact = threshold(&sent, &sent);
        assert!(exact <= honest, "{name}: {exact} > {honest}");
        // Half of the margin is left to codecs that are better than a plain code.
        let lossy = threshold(&sent, &noisy(&sent, small));
        assert!(lossy <= 0.5 * honest, "{name}: {lossy} > {honest} / 2");
    }
}

#[test]
fn a_payload_that_knows_more_is_short_whatever_the_dtype() {
    for (mantissa_bits, least) in [(24, 3.3), (11, 2.5), (8, 1.8)] {
        let sent = normal(ROWS * CHANNELS, 3);
        let exact = Crossing { mantissa_bits, ..crossing(&sent, &sent) };
        let short = exact.shortfall(8);
        let bits = short.needed_bytes as f64 * 8.0 / sent.len() as f64;
        assert!(short.sequences == 1 && bits / MARGIN > least, "{mantissa_bits}: {bits}");
    }
}

#[test]
fn what_is_not_finite_or_whole_is_not_judged() {
    let mut sent = normal(ROWS * CHANNELS, 4);
    assert!(crossing(&sent, &sent[1..]).shortfall(0).is_none());
    assert!(crossing(&[], &[]).shortfall(0).is_none());
    sent[5] = f32::NAN;
    assert!(crossing(&sent, &sent).shortfall(0).is_none());
}
