//! What must not change a result, to the last bit.

use strait_model::{Ahead, Device, Dtype, Hidden};

use crate::support::{FAMILIES, Golden, hidden, load, next_tokens, reference, run};

#[test]
fn cuts_change_nothing_to_the_last_bit() {
    for name in FAMILIES {
        let golden = Golden::read(name);
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let mut whole = load(name, &[], Device::Cpu, dtype);
            let layers = whole.config().layers;
            let whole = run(&mut whole, &golden.tokens);
            let single = (0..layers).map(|layer| vec![layer]);
            for cuts in single.chain([(0..layers).collect()]) {
                let mut model = load(name, &cuts, Device::Cpu, dtype);
                assert_eq!(model.stages().len(), cuts.len() + 1);
                let scores = run(&mut model, &golden.tokens);
                assert_eq!(scores, whole, "{name} in {dtype}, cuts {cuts:?}");
            }
        }
    }
}

#[test]
fn stacking_and_threads_change_nothing_to_the_last_bit() {
    for name in FAMILIES {
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let mut model = load(name, &[], Device::Cpu, dtype);
            let vocab = model.config().shape.vocab;
            let half = model.config().positions.unwrap_or(150);
            let tokens: Vec<u32> = (0..2 * half).map(|i| (i * i * 31 % vocab) as u32).collect();
            let together = run(&mut model, &tokens);
            for (tokens, expected) in tokens.chunks(half).zip(&together) {
                let state = hidden(&mut model, tokens, 1);
                let (alone, kept) = reference(&mut model, &state, &[next_tokens(tokens)]);
                assert_eq!(alone[0].nll, expected.nll, "{name} in {dtype}");
                let stacked = Hidden::stack(&[&state, &state, &state]).unwrap();
                let score = vec![next_tokens(tokens); 3];
                let last = model.stages().last_mut().unwrap();
                for scores in last.score(&stacked, Ahead::Layers, &score, &kept, &[0; 3]).unwrap() {
                    assert_eq!(scores.nll, expected.nll, "{name} in {dtype}");
                    assert!(scores.kld.iter().all(|&kld| kld == 0.0));
                }
            }
            for threads in [1, 3, 8] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let scores = pool.install(|| run(&mut model, &tokens));
                assert_eq!(scores, together, "{name} in {dtype}, {threads} threads");
            }
        }
    }
}

#[test]
fn positions_that_nobody_wants_change_nothing() {
    for name in FAMILIES {
        let mut model = load(name, &[], Device::Cpu, Dtype::F32);
        let vocab = model.config().shape.vocab;
        let length = model.config().positions.unwrap_or(150);
        let tokens: Vec<u32> = (0..length).map(|i| (i * i * 31 % vocab) as u32).collect();
        let state = hidden(&mut model, &tokens, 1);
        let all = next_tokens(&tokens);
        let first = length * 3 / 4;
        let mut late = all.clone();
        late.first_position = first;
        late.targets = all.targets[first..].to_vec();
        let (all, _) = reference(&mut model, &state, &[all]);
        let (late, _) = reference(&mut model, &state, &[late]);
        assert_eq!(late[0].nll, all[0].nll[first..], "{name}");
    }
}
