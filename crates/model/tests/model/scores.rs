//! Scores and devices.

use strait_model::{Ahead, Device, Dtype, Model, ScoreRange, SequenceScores};

use crate::support::{
    Golden, checkpoint, devices, hidden, load, log_softmax, model, reference, run,
};

/// Largest difference to Transformers.
const TOLERANCE: f64 = 2e-5;

#[test]
fn divergence_agrees_with_its_definition() {
    for device in devices() {
        let golden = Golden::read("llama");
        let mut model = load("llama", &[], device, Dtype::F32);
        let vocab = model.config().shape.vocab;
        let state = hidden(&mut model, &golden.tokens, 2);
        let first = ScoreRange { first_position: 3, targets: vec![7; 30] };
        let (_, kept) = reference(&mut model, &state, &[first.clone(), first.clone()]);
        let last = model.stages().last_mut().unwrap();
        let scores =
            last.score(&state, Ahead::Layers, &[first.clone(), first], &kept, &[0, 0]).unwrap();
        assert!(scores[0].kld.iter().all(|&kld| kld == 0.0));
        assert!(scores[0].same_top.iter().all(|&same| same));
        let logits = golden.tensor("logits");
        let rows: Vec<&[f32]> = logits.chunks(vocab).collect();
        for (i, (kld, same)) in scores[1].kld.iter().zip(&scores[1].same_top).enumerate() {
            let (p, q) = (log_softmax(rows[3 + i]), log_softmax(rows[state.tokens + 3 + i]));
            let expected: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
            let error = (f64::from(*kld) - expected).abs() / expected.max(1.0);
            assert!(error < TOLERANCE, "{device}, row {i}: {kld} {expected}");
            let top = |row: &[f64]| (0..vocab).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            assert_eq!(*same, top(&p) == top(&q));
        }
    }
}

#[test]
fn stages_on_different_devices_mix() {
    let golden = Golden::read("llama");
    let devices = [Device::Cpu, Device::CpuPlain, Device::Cpu];
    let mut mixed = Model::load(&model("llama"), &[0, 1], &devices, Dtype::F32).unwrap();
    let names: Vec<String> = mixed.stages().iter().map(|stage| stage.device()).collect();
    assert_eq!(names, ["cpu", "cpu:plain", "cpu"]);
    let mixed = run(&mut mixed, &golden.tokens);
    let whole = run(&mut load("llama", &[], Device::Cpu, Dtype::F32), &golden.tokens);
    for (mixed, whole) in mixed.iter().zip(&whole) {
        for (mixed, whole) in mixed.nll.iter().zip(&whole.nll) {
            assert!((mixed - whole).abs() < 1e-4 * whole.max(1.0), "{mixed} {whole}");
        }
    }
}

#[test]
fn half_types_stay_close_and_cross_in_their_own_bits() {
    let golden = Golden::read("llama");
    let total =
        |scores: &[SequenceScores]| -> f64 { scores.iter().flat_map(|scores| &scores.nll).sum() };
    let exact = total(&run(&mut load("llama", &[], Device::Cpu, Dtype::F32), &golden.tokens));
    for (dtype, tolerance) in [(Dtype::F16, 2e-3), (Dtype::Bf16, 2e-2)] {
        let mut whole = Model::load(&model("llama"), &[], &[Device::Cpu], dtype).unwrap();
        let mut cut = Model::load(&model("llama"), &[0, 1], &[Device::Cpu], dtype).unwrap();
        let state = hidden(&mut cut, &golden.tokens, 2);
        assert_eq!((state.dtype, state.sequence_bytes()), (dtype, 40 * 40 * 2));
        let scores = run(&mut whole, &golden.tokens);
        assert_eq!(run(&mut cut, &golden.tokens), scores);
        let error = (total(&scores) / exact - 1.0).abs();
        assert!(error > 0.0 && error < tolerance, "{dtype}: {error}");
        let mut plain = Model::load(&model("llama"), &[], &[Device::CpuPlain], dtype).unwrap();
        let error = (total(&run(&mut plain, &golden.tokens)) / exact - 1.0).abs();
        assert!(error > 0.0 && error < tolerance, "{dtype}, plain: {error}");
    }
}

/// Sum of the negative log-likelihoods of the first committed tokens, and how many they are.
fn embedded_model(device: Device, dtype: Dtype, count: usize) -> (f64, usize) {
    let bytes = include_bytes!("../data/wiki-4m-tokens.bin").as_chunks().0[..count].iter();
    let tokens: Vec<u32> = bytes.map(|&id| u32::from(u16::from_le_bytes(id))).collect();
    let checkpoint = checkpoint("assets/models/wiki-4m");
    let mut model = Model::load(&checkpoint, &[], &[device], dtype).unwrap();
    assert_eq!(model.parameters(), 3_935_424);
    let (mut sum, mut scored, mut end) = (0.0, 0, 1);
    for begin in (0..tokens.len()).step_by(256) {
        let stop = (begin + 512).min(tokens.len());
        let state = hidden(&mut model, &tokens[begin..stop], 1);
        let range =
            ScoreRange { first_position: end - 1 - begin, targets: tokens[end..stop].to_vec() };
        let (scores, _) = reference(&mut model, &state, &[range]);
        sum += scores[0].nll.iter().sum::<f64>();
        scored += scores[0].nll.len();
        end = stop;
        if stop == tokens.len() {
            break;
        }
    }
    (sum, scored)
}

#[test]
fn the_embedded_model_gives_its_published_perplexity() {
    let (sum, scored) = embedded_model(Device::Cpu, Dtype::F32, 4096);
    assert_eq!(scored, 4095);
    assert!((sum / 15_070.532 - 1.0).abs() < 1e-6, "{sum}");
    assert!(((sum / 4095.0).exp() / 39.655418 - 1.0).abs() < 1e-5);
}

#[test]
fn every_device_gives_the_embedded_model_the_perplexity_of_the_cpu() {
    for (dtype, tolerance) in [(Dtype::F32, 1e-4), (Dtype::Bf16, 3e-3)] {
        let perplexity = |device| {
            let (sum, scored) = embedded_model(device, dtype, 1024);
            (sum / scored as f64).exp()
        };
        let expected = perplexity(Device::Cpu);
        for device in devices().into_iter().skip(1) {
            if !device.supports(dtype) {
                continue;
            }
            let error = (perplexity(device) / expected - 1.0).abs();
            assert!(error < tolerance, "{dtype} on {device}: {error}");
        }
    }
}
