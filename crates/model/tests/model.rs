//! Whole models: against Transformers, against themselves cut and stacked, and against bad input.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use strait_model::{
    Device, Dtype, Hidden, Model, ModelError, OpsError, Reference, ScoreRange, SequenceScores,
};
use support::{Golden, Patched, checkpoint, devices, log_softmax, model, relative_error};

const MODELS: [&str; 2] = ["plain", "llama3-gqa-bias"];
/// Largest difference to Transformers, relative to the largest value of a row.
const TOLERANCE: f64 = 2e-5;

fn load(name: &str, cuts: &[usize], device: Device) -> Model {
    Model::load(&model(name), cuts, &[device], Dtype::F32).unwrap()
}

/// Runs all stages but the last.
fn hidden(model: &mut Model, tokens: &[u32], batch: usize) -> Hidden {
    let (first, rest) = model.stages().split_first_mut().unwrap();
    let start = first.embed(tokens, batch).unwrap();
    let rest = rest.split_last_mut().map_or(Default::default(), |(_, rest)| rest);
    rest.iter_mut().fold(start, |hidden, stage| stage.forward(hidden).unwrap())
}

fn reference(
    model: &mut Model,
    hidden: &Hidden,
    score: &[ScoreRange],
) -> (Vec<SequenceScores>, Reference) {
    model.stages().last_mut().unwrap().reference(hidden, score).unwrap()
}

fn next_tokens(sequence: &[u32]) -> ScoreRange {
    ScoreRange { first_position: 0, targets: sequence[1..].to_vec() }
}

/// The scores of a whole run over `tokens`, two sequences.
fn run(model: &mut Model, tokens: &[u32]) -> Vec<SequenceScores> {
    let score: Vec<_> = tokens.chunks(tokens.len() / 2).map(next_tokens).collect();
    let hidden = hidden(model, tokens, 2);
    reference(model, &hidden, &score).0
}

#[test]
fn every_layer_agrees_with_transformers() {
    for device in devices() {
        for name in MODELS {
            let golden = Golden::read(name);
            let mut model = load(name, &[0, 1, 2], device);
            let stages = model.stages();
            let mut state = stages[0].embed(&golden.tokens, 2).unwrap();
            for (layer, stage) in stages[..3].iter_mut().enumerate() {
                if layer > 0 {
                    state = stage.forward(state).unwrap();
                }
                let expected = golden.tensor(&format!("layer.{layer}"));
                let error = relative_error(&state.to_f32(), &expected, state.channels);
                assert!(error < TOLERANCE, "{name} on {device}, layer {layer}: {error}");
            }
        }
    }
}

#[test]
fn every_log_probability_agrees_with_transformers() {
    for device in devices() {
        for name in MODELS {
            let golden = Golden::read(name);
            let mut model = load(name, &[], device);
            let vocab = model.config().shape.vocab;
            let state = hidden(&mut model, &golden.tokens, 2);
            let expected: Vec<Vec<f64>> =
                golden.tensor("logits").chunks(vocab).map(log_softmax).collect();
            for token in 0..vocab {
                let targets = vec![token as u32; state.tokens];
                let range = ScoreRange { first_position: 0, targets };
                let (scores, _) = reference(&mut model, &state, &[range.clone(), range]);
                for (row, nll) in scores.iter().flat_map(|scores| &scores.nll).enumerate() {
                    let expected = -expected[row][token];
                    let error = (nll - expected).abs() / expected.max(1.0);
                    assert!(error < TOLERANCE, "{name} on {device}, row {row}: {nll} {expected}");
                }
            }
        }
    }
}

#[test]
fn divergence_agrees_with_its_definition() {
    for device in devices() {
        let golden = Golden::read("plain");
        let mut model = load("plain", &[], device);
        let vocab = model.config().shape.vocab;
        let state = hidden(&mut model, &golden.tokens, 2);
        let first = ScoreRange { first_position: 3, targets: vec![7; 60] };
        let (_, kept) = reference(&mut model, &state, &[first.clone(), first.clone()]);
        let last = model.stages().last_mut().unwrap();
        let scores = last.score(&state, &[first.clone(), first], &kept, &[0, 0]).unwrap();
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
fn cuts_change_nothing_to_the_last_bit() {
    for name in MODELS {
        let golden = Golden::read(name);
        let whole = run(&mut load(name, &[], Device::Cpu), &golden.tokens);
        for cuts in [&[0][..], &[1], &[2], &[0, 1], &[1, 2], &[0, 1, 2]] {
            let mut model = load(name, cuts, Device::Cpu);
            assert_eq!(model.stages().len(), cuts.len() + 1);
            assert_eq!(run(&mut model, &golden.tokens), whole, "{name}, cuts {cuts:?}");
        }
    }
}

#[test]
fn stacking_and_threads_change_nothing_to_the_last_bit() {
    for name in MODELS {
        let golden = Golden::read(name);
        let mut model = load(name, &[], Device::Cpu);
        let together = run(&mut model, &golden.tokens);
        let half = golden.tokens.len() / 2;
        for (tokens, expected) in golden.tokens.chunks(half).zip(&together) {
            let state = hidden(&mut model, tokens, 1);
            let (alone, kept) = reference(&mut model, &state, &[next_tokens(tokens)]);
            assert_eq!(alone[0].nll, expected.nll);
            let stacked = Hidden::stack(&[&state, &state, &state]).unwrap();
            let score = vec![next_tokens(tokens); 3];
            let last = model.stages().last_mut().unwrap();
            for scores in last.score(&stacked, &score, &kept, &[0; 3]).unwrap() {
                assert_eq!(scores.nll, expected.nll);
                assert!(scores.kld.iter().all(|&kld| kld == 0.0));
            }
        }
        for threads in [1, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let scores = pool.install(|| run(&mut model, &golden.tokens));
            assert_eq!(scores, together, "{threads} threads");
        }
    }
}

#[test]
fn stages_on_different_devices_mix() {
    let golden = Golden::read("plain");
    let devices = [Device::Cpu, Device::CpuPlain, Device::Cpu];
    let mut mixed = Model::load(&model("plain"), &[0, 1], &devices, Dtype::F32).unwrap();
    let names: Vec<String> = mixed.stages().iter().map(|stage| stage.device()).collect();
    assert_eq!(names, ["cpu", "cpu:plain", "cpu"]);
    let mixed = run(&mut mixed, &golden.tokens);
    let whole = run(&mut load("plain", &[], Device::Cpu), &golden.tokens);
    for (mixed, whole) in mixed.iter().zip(&whole) {
        for (mixed, whole) in mixed.nll.iter().zip(&whole.nll) {
            assert!((mixed - whole).abs() < 1e-4 * whole.max(1.0), "{mixed} {whole}");
        }
    }
}

#[test]
fn half_types_stay_close_and_cross_in_their_own_bits() {
    let golden = Golden::read("plain");
    let total =
        |scores: &[SequenceScores]| -> f64 { scores.iter().flat_map(|scores| &scores.nll).sum() };
    let exact = total(&run(&mut load("plain", &[], Device::Cpu), &golden.tokens));
    for (dtype, tolerance) in [(Dtype::F16, 2e-3), (Dtype::Bf16, 2e-2)] {
        let mut whole = Model::load(&model("plain"), &[], &[Device::Cpu], dtype).unwrap();
        let mut cut = Model::load(&model("plain"), &[0, 1], &[Device::Cpu], dtype).unwrap();
        let state = hidden(&mut cut, &golden.tokens, 2);
        assert_eq!((state.dtype, state.sequence_bytes()), (dtype, 77 * 48 * 2));
        let scores = run(&mut whole, &golden.tokens);
        assert_eq!(run(&mut cut, &golden.tokens), scores);
        let error = (total(&scores) / exact - 1.0).abs();
        assert!(error > 0.0 && error < tolerance, "{dtype}: {error}");
        let mut plain = Model::load(&model("plain"), &[], &[Device::CpuPlain], dtype).unwrap();
        let error = (total(&run(&mut plain, &golden.tokens)) / exact - 1.0).abs();
        assert!(error > 0.0 && error < tolerance, "{dtype}, plain: {error}");
    }
}

/// Sum of the negative log-likelihoods of the committed tokens, and how many they are.
fn embedded_model(device: Device, dtype: Dtype) -> (f64, usize) {
    let bytes = include_bytes!("data/wiki-4m-tokens.bin");
    let tokens: Vec<u32> =
        bytes.as_chunks().0.iter().map(|&id| u32::from(u16::from_le_bytes(id))).collect();
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
    let (sum, scored) = embedded_model(Device::Cpu, Dtype::F32);
    assert_eq!(scored, 4095);
    assert!((sum / 15_070.532 - 1.0).abs() < 1e-6, "{sum}");
    assert!(((sum / 4095.0).exp() / 39.655418 - 1.0).abs() < 1e-5);
}

#[test]
fn every_device_gives_the_embedded_model_the_perplexity_of_the_cpu() {
    for (dtype, tolerance) in [(Dtype::F32, 1e-4), (Dtype::Bf16, 3e-3)] {
        let perplexity = |device| {
            let (sum, scored) = embedded_model(device, dtype);
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

#[test]
fn a_missing_or_wrong_tensor_is_named() {
    let mut source = Patched::new("plain");
    source.missing = Some("model.layers.1.mlp.up_proj.weight");
    let message = source.load_error();
    assert!(message.contains("\"model.layers.1.mlp.up_proj.weight\""), "{message}");

    let mut source = Patched::new("plain");
    source.config["intermediate_size"] = 96.into();
    assert_eq!(
        source.load_error(),
        "tensor \"model.layers.0.mlp.gate_proj.weight\": expected shape [96, 48] from the \
         configuration, found [80, 48]; the weights and config.json do not belong together"
    );
}

#[test]
fn bad_arguments_are_refused() {
    let golden = Golden::read("plain");
    let mut model = load("plain", &[1], Device::Cpu);
    let [first, last] = model.stages() else { panic!("two stages") };

    let message = first.embed(&[1, 2, 131], 1).unwrap_err().to_string();
    assert!(message.starts_with("token 131 at position 2: expected an id below 131"), "{message}");
    assert!(matches!(first.embed(&[1, 2, 3], 2), Err(ModelError::Ops(OpsError::Size { .. }))));
    assert!(matches!(last.embed(&[1], 1), Err(ModelError::StagePart { .. })));

    let state = first.embed(&golden.tokens, 2).unwrap();
    let range = next_tokens(&golden.tokens[..77]);
    let both = [range.clone(), range.clone()];
    assert!(matches!(first.reference(&state, &both), Err(ModelError::StagePart { .. })));
    assert!(matches!(
        last.reference(&state, &both[..1]),
        Err(ModelError::Ops(OpsError::Size { .. }))
    ));
    let late = ScoreRange { first_position: 2, ..range.clone() };
    let message = last.reference(&state, &[range.clone(), late]).unwrap_err().to_string();
    assert_eq!(message, "score range, end: expected at most 77, found 78");

    let (_, kept) = last.reference(&state, &both).unwrap();
    assert_eq!(kept.sequences(), 2);
    assert!(kept.size_bytes() >= 2 * 76 * 131 * 4);
    let foreign = last.score(&state, &both, &kept, &[0, 2]);
    assert!(matches!(foreign, Err(ModelError::ForeignReference)));

    assert!(matches!(last.forward(state), Err(ModelError::LastStage { .. })));
    let wide = Hidden::zeros(1, 2, 50, Dtype::F32);
    assert!(matches!(last.forward(wide), Err(ModelError::Ops(OpsError::Size { .. }))));
    let half = Hidden::zeros(1, 2, 48, Dtype::F16);
    assert!(matches!(last.forward(half), Err(ModelError::Ops(OpsError::HiddenDtype { .. }))));

    let devices = [Device::Cpu; 2];
    let error = Model::load(&support::model("plain"), &[], &devices, Dtype::F32).err().unwrap();
    let expected = "devices: expected 1 (for all stages) or 1 (one for each stage), found 2";
    assert_eq!(error.to_string(), expected);
}
