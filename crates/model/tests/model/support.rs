//! Checkpoints, what Transformers makes of them, and reference formulas in f64.

use std::error::Error;
use std::path::{Path, PathBuf};

use serde_json::Value;
use strait_model::{
    Ahead, Device, Dtype, Hidden, Model, ModelError, Reference, RunInput, ScoreRange,
    SequenceScores, SourceTensor, Stage, TensorSource, open_device,
};
use strait_weights::Checkpoint;

/// The CPU in both ways, and the devices that `STRAIT_TEST_DEVICES` names, with commas between them.
/// docs/gpu.md says who sets it.
pub(crate) fn devices() -> Vec<Device> {
    let named = std::env::var("STRAIT_TEST_DEVICES").unwrap_or_default();
    let named = named.split(',').filter(|name| !name.is_empty());
    let named = named.map(|name| open_device(name).unwrap());
    [Device::Cpu, Device::CpuPlain].into_iter().chain(named).collect()
}

/// This package's folder: where it is now rather than where it was built, if cargo tells.
pub(crate) fn package() -> PathBuf {
    let now = std::env::var_os("CARGO_MANIFEST_DIR");
    now.map_or(Path::new(env!("CARGO_MANIFEST_DIR")).to_owned(), PathBuf::from)
}

/// Every folder with a golden checkpoint.
pub(crate) const FAMILIES: [&str; 50] = [
    "arcee",
    "deepseek-v2",
    "deepseek-v2-lite",
    "deepseek-v3",
    "dots1",
    "ernie4-5",
    "ernie4-5-moe",
    "exaone4",
    "exaone4-global",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3-layer-types",
    "glm4",
    "glm4-moe",
    "glm4-moe-lite",
    "gpt-bigcode",
    "gpt-bigcode-heads",
    "gpt-neo",
    "gpt-neox",
    "gpt-neox-sequential",
    "gpt2",
    "granite",
    "llama",
    "llama-3",
    "llama-linear",
    "llama-yarn",
    "minimax-m2",
    "ministral",
    "mistral",
    "mixtral",
    "nemotron",
    "olmo2",
    "olmo3",
    "olmoe",
    "opt",
    "phi",
    "phi3",
    "phi3-partial",
    "qwen2",
    "qwen2-moe",
    "qwen2-window",
    "qwen3",
    "qwen3-moe",
    "qwen3-moe-mixed",
    "seed-oss",
    "smollm3",
    "stablelm",
    "starcoder2",
    "vaultgemma",
];

fn family(name: &str) -> PathBuf {
    package().join("tests/families").join(name)
}

/// A checkpoint by its path in the repository.
pub(crate) fn checkpoint(path: &str) -> Checkpoint {
    Checkpoint::open(&package().join("../..").join(path)).unwrap()
}

/// A golden checkpoint.
pub(crate) fn model(name: &str) -> Checkpoint {
    Checkpoint::open(&family(name)).unwrap()
}

pub(crate) fn load(name: &str, cuts: &[usize], device: Device, dtype: Dtype) -> Model {
    Model::load(&model(name), cuts, &[device], dtype).unwrap()
}

/// Tokens of `batch` sequences through a first stage.
pub(crate) fn embed(
    stage: &mut Box<dyn Stage>,
    tokens: &[u32],
    batch: usize,
) -> Result<Hidden, ModelError> {
    stage.run(RunInput::Tokens { tokens, batch }, None)
}

/// Hidden states through a later stage.
pub(crate) fn forward(stage: &mut Box<dyn Stage>, hidden: &Hidden) -> Result<Hidden, ModelError> {
    stage.run(RunInput::Hidden(hidden), None)
}

/// Runs all stages but the last.
pub(crate) fn hidden(model: &mut Model, tokens: &[u32], batch: usize) -> Hidden {
    let (first, rest) = model.stages().split_first_mut().unwrap();
    let start = embed(first, tokens, batch).unwrap();
    let rest = rest.split_last_mut().map_or(Default::default(), |(_, rest)| rest);
    rest.iter_mut().fold(start, |hidden, stage| forward(stage, &hidden).unwrap())
}

pub(crate) fn reference(
    model: &mut Model,
    hidden: &Hidden,
    score: &[ScoreRange],
) -> (Vec<SequenceScores>, Reference) {
    model.stages().last_mut().unwrap().reference(hidden, Ahead::Layers, score).unwrap()
}

pub(crate) fn next_tokens(sequence: &[u32]) -> ScoreRange {
    ScoreRange { first_position: 0, targets: sequence[1..].to_vec() }
}

/// The scores of a whole run over `tokens`, two sequences.
pub(crate) fn run(model: &mut Model, tokens: &[u32]) -> Vec<SequenceScores> {
    let score: Vec<_> = tokens.chunks(tokens.len() / 2).map(next_tokens).collect();
    let hidden = hidden(model, tokens, 2);
    reference(model, &hidden, &score).0
}

/// Tokens, and what Transformers computed from them.
pub(crate) struct Golden {
    pub(crate) tokens: Vec<u32>,
    header: Value,
    values: Vec<u8>,
}

impl Golden {
    pub(crate) fn read(name: &str) -> Golden {
        Golden::read_file(name, "golden.safetensors")
    }

    pub(crate) fn read_file(name: &str, file: &str) -> Golden {
        let bytes = std::fs::read(family(name).join(file)).unwrap();
        let (length, rest) = bytes.split_first_chunk().unwrap();
        let (header, values) = rest.split_at(u64::from_le_bytes(*length) as usize);
        let header = serde_json::from_slice(header).unwrap();
        let mut golden = Golden { tokens: Vec::new(), header, values: values.to_vec() };
        golden.tokens = golden.words::<4>("tokens").map(u32::from_le_bytes).collect();
        golden
    }

    pub(crate) fn tensor(&self, name: &str) -> Vec<f32> {
        self.words(name).map(f32::from_le_bytes).collect()
    }

    /// Values in f64.
    pub(crate) fn numbers(&self, name: &str) -> Vec<f64> {
        self.words(name).map(f64::from_le_bytes).collect()
    }

    fn words<const N: usize>(&self, name: &str) -> impl Iterator<Item = [u8; N]> {
        let offsets = self.header[name]["data_offsets"].as_array().unwrap();
        let at = |i: usize| offsets[i].as_u64().unwrap() as usize;
        self.values[at(0)..at(1)].as_chunks().0.iter().copied()
    }
}

/// A golden checkpoint with something wrong.
pub(crate) struct Patched {
    pub config: Value,
    pub missing: Option<&'static str>,
    checkpoint: Checkpoint,
}

impl Patched {
    pub(crate) fn new(name: &str) -> Patched {
        let checkpoint = model(name);
        Patched { config: checkpoint.config().clone(), missing: None, checkpoint }
    }

    pub(crate) fn load_error(&self) -> String {
        Model::load(self, &[], &[Device::Cpu], Dtype::F32).err().unwrap().to_string()
    }
}

impl TensorSource for Patched {
    fn config(&self) -> &Value {
        &self.config
    }

    fn contains(&self, name: &str) -> bool {
        self.missing != Some(name) && TensorSource::contains(&self.checkpoint, name)
    }

    fn tensor(&self, name: &str) -> Result<SourceTensor, Box<dyn Error + Send + Sync>> {
        if self.missing == Some(name) {
            Err("it is not in the file".into())
        } else {
            TensorSource::tensor(&self.checkpoint, name)
        }
    }
}

/// Largest difference relative to the largest value of its row.
pub(crate) fn relative_error(found: &[f32], expected: &[f32], row: usize) -> f64 {
    assert_eq!(found.len(), expected.len());
    let rows = found.chunks(row).zip(expected.chunks(row));
    rows.map(|(found, expected)| {
        let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let pairs = found.iter().zip(expected);
        let worst = pairs.fold(0.0f64, |worst, (a, b)| worst.max(f64::from((a - b).abs())));
        worst / f64::from(largest)
    })
    .fold(0.0, f64::max)
}

/// Logarithms of the softmax of `logits`.
pub(crate) fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().fold(f32::NEG_INFINITY, |largest, value| largest.max(*value));
    let total: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    logits.iter().map(|logit| f64::from(logit - largest) - total.ln()).collect()
}
