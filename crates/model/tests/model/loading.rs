//! Ways to load a model: layer by layer, quantized, and disturbed.

use std::error::Error;
use std::sync::Arc;

use serde_json::Value;
use strait_model::{
    Ahead, Device, Dtype, LoadedIn, Model, Noise, ScoreRange, SequenceScores, SharedSource,
    SourceTensor, TensorSource,
};
use strait_weights::load_in::{LoadIn, apply};
use strait_weights::{Checkpoint, DenseTensor};

use crate::support::{FAMILIES, Golden, embed, hidden, load, model, next_tokens, reference, run};

#[test]
fn a_streamed_model_gives_the_same_to_the_last_bit() {
    for name in FAMILIES {
        let golden = Golden::read(name);
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let mut resident = load(name, &[], Device::Cpu, dtype);
            let expected = run(&mut resident, &golden.tokens);
            for cuts in [vec![], vec![0]] {
                let source: SharedSource = Arc::new(model(name));
                let mut streamed = Model::stream(source, &cuts, &[Device::Cpu], dtype).unwrap();
                for _ in 0..2 {
                    let scores = run(&mut streamed, &golden.tokens);
                    assert_eq!(scores, expected, "{name} in {dtype}, cuts {cuts:?}");
                }
            }
        }
    }
}

#[test]
fn a_layer_that_cannot_be_streamed_is_an_error_when_it_runs() {
    struct Torn(Checkpoint);
    impl TensorSource for Torn {
        fn config(&self) -> &Value {
            self.0.config()
        }
        fn contains(&self, name: &str) -> bool {
            TensorSource::contains(&self.0, name)
        }
        fn tensor(&self, name: &str) -> Result<SourceTensor, Box<dyn Error + Send + Sync>> {
            if name.contains("layers.1.") {
                Err("the disk is gone".into())
            } else {
                TensorSource::tensor(&self.0, name)
            }
        }
    }
    let source: SharedSource = Arc::new(Torn(model("llama")));
    let mut streamed = Model::stream(source, &[0], &[Device::Cpu], Dtype::F32).unwrap();
    let state = embed(&mut streamed.stages()[0], &[1, 2, 3], 1).unwrap();
    let score = [ScoreRange { first_position: 0, targets: vec![2, 3] }];
    let error = streamed.stages()[1].reference(&state, Ahead::Layers, &score);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("layers.1.") && error.contains("the disk is gone"), "{error}");
}

/// A checkpoint with changed values: what loading in another format should come to.
struct Changed {
    checkpoint: Checkpoint,
    kind: LoadIn,
    dtype: Dtype,
}

impl TensorSource for Changed {
    fn config(&self) -> &Value {
        self.checkpoint.config()
    }

    fn contains(&self, name: &str) -> bool {
        TensorSource::contains(&self.checkpoint, name)
    }

    fn tensor(&self, name: &str) -> Result<SourceTensor, Box<dyn Error + Send + Sync>> {
        let SourceTensor { shape, data } = TensorSource::tensor(&self.checkpoint, name)?;
        let in_a_block = ["layers.", "h."].iter().any(|part| name.contains(part));
        let router = ["mlp.gate.weight", "block_sparse_moe.gate.weight"];
        // A correction of the choice of experts may have two dimensions.
        let weight = name.ends_with(".weight") && shape.len() == 2;
        let kept = !in_a_block || !weight || router.iter().any(|end| name.ends_with(end));
        if kept {
            return Ok(SourceTensor { shape, data });
        }
        // GPT-2 stores its linear layers as [in, out].
        let gpt2 = self.config()["model_type"] == "gpt2";
        let flip = |tensor: DenseTensor| if gpt2 { transposed(&tensor) } else { tensor };
        let mut tensor = flip(DenseTensor { shape, data });
        self.dtype.round(&mut tensor.data);
        apply(self.kind, &mut tensor)?;
        let DenseTensor { shape, data } = flip(tensor);
        Ok(SourceTensor { shape, data })
    }
}

fn transposed(tensor: &DenseTensor) -> DenseTensor {
    let [rows, columns] = [tensor.shape[0], tensor.shape[1]];
    let value = |at: usize| tensor.data[at % rows * columns + at / rows];
    DenseTensor { shape: vec![columns, rows], data: (0..rows * columns).map(value).collect() }
}

#[test]
fn only_linear_layers_of_decoder_blocks_are_quantized_on_load() {
    for name in FAMILIES {
        let golden = Golden::read(name);
        let dense = run(&mut load(name, &[], Device::Cpu, Dtype::F32), &golden.tokens);
        for kind in [LoadIn::Int8, LoadIn::Nf4, LoadIn::Fp4] {
            for dtype in [Dtype::F32, Dtype::Bf16] {
                let source = LoadedIn::new(model(name), kind, dtype);
                let mut found = Model::load(&source, &[], &[Device::Cpu], dtype).unwrap();
                let source = Changed { checkpoint: model(name), kind, dtype };
                let mut expected = Model::load(&source, &[], &[Device::Cpu], dtype).unwrap();
                let scores = run(&mut found, &golden.tokens);
                assert_eq!(scores, run(&mut expected, &golden.tokens), "{name} {kind} {dtype}");
                assert_ne!(scores, dense, "{name} {kind} {dtype}");
            }
        }
    }
}

/// Scores of sequences under noise.
fn disturbed(model: &mut Model, tokens: &[u32], sequences: &[u64]) -> Vec<SequenceScores> {
    let noise = Noise { seed: 3, sequences: sequences.to_vec() };
    for stage in model.stages() {
        stage.set_tap(Some(Box::new(noise.clone())));
    }
    let state = hidden(model, tokens, sequences.len());
    let score: Vec<_> = tokens.chunks(state.tokens).map(next_tokens).collect();
    let (scores, _) = reference(model, &state, &score);
    for stage in model.stages() {
        stage.set_tap(None);
    }
    scores
}

#[test]
fn noise_depends_on_neither_cuts_nor_batches() {
    for name in FAMILIES {
        let golden = Golden::read(name);
        let half = golden.tokens.len() / 2;
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let mut whole = load(name, &[], Device::Cpu, dtype);
            let quiet = run(&mut whole, &golden.tokens);
            let expected = disturbed(&mut whole, &golden.tokens, &[4, 9]);
            assert_ne!(expected[0].nll, quiet[0].nll, "{name}");
            assert_eq!(run(&mut whole, &golden.tokens), quiet, "{name}: the noise stayed");
            let second = disturbed(&mut whole, &golden.tokens[half..], &[9]);
            assert_eq!(second[0].nll, expected[1].nll, "{name} in {dtype}");
            let mut cut = load(name, &[0], Device::Cpu, dtype);
            let scores = disturbed(&mut cut, &golden.tokens, &[4, 9]);
            assert_eq!(scores, expected, "{name} in {dtype}, cut");
        }
    }
}
