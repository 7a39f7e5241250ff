//! Every family against what Transformers computes: all layers, logits and likelihoods.

use strait_model::{Device, Dtype, Model, ScoreRange};

use crate::support::{
    FAMILIES, Golden, devices, embed, forward, hidden, load, log_softmax, next_tokens, reference,
    relative_error,
};

/// Largest difference in f32, relative to the largest value of a row.
const EXACT: f64 = 2e-5;
/// The same in bf16, which rounds the residual stream to 8 bits at every addition.
const HALF: f64 = 2e-2;

/// A model that gives its state after every layer.
fn cut(name: &str, device: Device, dtype: Dtype) -> Model {
    let layers = load(name, &[], device, dtype).config().layers;
    load(name, &(0..layers).collect::<Vec<_>>(), device, dtype)
}

/// Logits, but for the logarithm of their softmax's denominator, which is the golden's.
fn logits(model: &mut Model, tokens: &[u32], expected: &[f32]) -> Vec<f32> {
    let vocab = model.config().shape.vocab;
    let state = hidden(model, tokens, 2);
    let mut found = vec![0.0; expected.len()];
    for token in 0..vocab {
        let targets = vec![token as u32; state.tokens];
        let range = ScoreRange { first_position: 0, targets };
        let (scores, _) = reference(model, &state, &[range.clone(), range]);
        for (row, nll) in scores.iter().flat_map(|scores| &scores.nll).enumerate() {
            let expected = &expected[row * vocab..(row + 1) * vocab];
            let log_total = f64::from(expected[0]) - log_softmax(expected)[0];
            found[row * vocab + token] = (log_total - nll) as f32;
        }
    }
    found
}

fn check(name: &str, file: &str, device: Device) {
    let golden = Golden::read_file(name, file);
    let mut model = cut(name, device, Dtype::F32);
    let (layers, vocab) = (model.config().layers, model.config().shape.vocab);
    let stages = model.stages();
    let mut state = embed(&mut stages[0], &golden.tokens, 2).unwrap();
    for (layer, stage) in stages[..layers].iter_mut().enumerate() {
        if layer > 0 {
            state = forward(stage, &state).unwrap();
        }
        let expected = golden.tensor(&format!("layer.{layer}"));
        let error = relative_error(&state.to_f32(), &expected, state.channels);
        assert!(error < EXACT, "{name} on {device}, layer {layer}: {error}");
    }
    let expected = golden.tensor("logits");
    let error = relative_error(&logits(&mut model, &golden.tokens, &expected), &expected, vocab);
    assert!(error < EXACT, "{name} on {device}, logits: {error}");
    likelihoods(&mut model, &golden, "nll", 1e-5);

    if !device.supports(Dtype::Bf16) {
        return;
    }
    let mut model = cut(name, device, Dtype::Bf16);
    let state = hidden(&mut model, &golden.tokens, 2);
    let expected = golden.tensor(&format!("bf16.layer.{}", layers - 1));
    let error = relative_error(&state.to_f32(), &expected, state.channels);
    assert!(error < HALF, "{name} on {device} in bf16, last layer: {error}");
    let expected = golden.tensor("bf16.logits");
    let error = relative_error(&logits(&mut model, &golden.tokens, &expected), &expected, vocab);
    assert!(error < HALF, "{name} on {device} in bf16, logits: {error}");
    likelihoods(&mut model, &golden, "bf16.nll", 2e-3);
}

/// Compares the sum of each sequence's negative log-likelihoods.
fn likelihoods(model: &mut Model, golden: &Golden, expected: &str, tolerance: f64) {
    let state = hidden(model, &golden.tokens, 2);
    let score: Vec<_> = golden.tokens.chunks(state.tokens).map(next_tokens).collect();
    let (scores, _) = reference(model, &state, &score);
    for (scores, expected) in scores.iter().zip(golden.numbers(expected)) {
        let found: f64 = scores.nll.iter().sum();
        let error = (found / expected - 1.0).abs();
        assert!(error < tolerance, "likelihood: {found} {expected}");
    }
}

#[test]
fn all_families_agree_with_transformers_on_the_cpu() {
    for name in FAMILIES {
        check(name, "golden.safetensors", Device::Cpu);
    }
    check("phi3", "golden-short.safetensors", Device::Cpu);
}

#[test]
fn all_families_agree_with_transformers_in_plain_operations() {
    for device in devices().into_iter().skip(1) {
        for name in FAMILIES {
            check(name, "golden.safetensors", device);
        }
        check("phi3", "golden-short.safetensors", device);
    }
}

#[test]
fn long_sequences_give_the_same_on_both() {
    for name in FAMILIES {
        let mut fast = cut(name, Device::Cpu, Dtype::F32);
        let mut plain = cut(name, Device::CpuPlain, Dtype::F32);
        let (vocab, length) = (fast.config().shape.vocab, fast.config().positions.unwrap_or(300));
        let tokens: Vec<u32> = (0..2 * length).map(|i| (i * i * 31 % vocab) as u32).collect();
        let (fast, plain) = (hidden(&mut fast, &tokens, 2), hidden(&mut plain, &tokens, 2));
        let error = relative_error(&fast.to_f32(), &plain.to_f32(), fast.channels);
        assert!(error < EXACT, "{name}: {error}");
    }
}
