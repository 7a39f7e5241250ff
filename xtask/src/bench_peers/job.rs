//! The jobs: which cells are measured, and how close the two perplexities must be.

use serde_json::{Value, json};

/// Number of tokens in a window, in every job.
pub(super) const WINDOW: u32 = 2048;

/// The job that is run with `--llama-cpp`.
pub(super) const LLAMA_CPP: &str = "llama_cpp_f32kv";

/// The values that `--job` accepts.
pub(super) const NAMES: [&str; 5] =
    ["one_cell_f32", "one_cell_bf16", "eight_codecs_f32", "eight_codecs_mid_cut_f32", LLAMA_CPP];

/// The baseline and, if there are codecs, a cell for each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub(super) name: &'static str,
    /// The dtype, as an experiment file names it.
    pub(super) dtype: &'static str,
    /// The preset, as an experiment file names it.
    pub(super) preset: &'static str,
    /// Cut after each of these layers.
    pub(super) cuts: &'static [usize],
    pub(super) with_codecs: bool,
    /// Largest accepted difference of the uncompressed perplexities, relative to strait's.
    pub(super) baseline_limit: f64,
}

/// A codec with its parameters, named as in an experiment file. The peer implements it too.
#[derive(Debug, Clone)]
pub(super) struct Codec {
    pub(super) label: &'static str,
    pub(super) id: &'static str,
    pub(super) params: Value,
}

/// Largest accepted relative difference of the perplexities under a codec. Rounding is a threshold:
/// hidden states that differ in the last place occasionally give another code.
pub(super) const CODEC_LIMIT: f64 = 1e-2;

/// The cuts of `ring-4` over 30 layers.
const RING_4: &[usize] = &[2, 10, 18, 25];
const MIDDLE: &[usize] = &[14];

const ONE_CELL: Job = Job {
    name: NAMES[0],
    dtype: "f32",
    preset: "hf-stride",
    cuts: RING_4,
    with_codecs: false,
    baseline_limit: 1e-4,
};

pub(super) const JOBS: [Job; 4] = [
    ONE_CELL,
    Job { name: NAMES[1], dtype: "bf16", baseline_limit: 3e-3, ..ONE_CELL },
    Job { name: NAMES[2], with_codecs: true, ..ONE_CELL },
    Job { name: NAMES[3], with_codecs: true, cuts: MIDDLE, ..ONE_CELL },
];

/// llama.cpp multiplies the 4-bit weights by 8-bit activations, so its perplexity is close to
/// strait's but not equal.
pub(super) fn llama_cpp() -> Job {
    Job { name: LLAMA_CPP, preset: "llamacpp", cuts: &[], baseline_limit: 2e-2, ..ONE_CELL }
}

impl Job {
    pub(super) fn codecs(&self) -> Vec<Codec> {
        if self.with_codecs { eight_codecs() } else { Vec::new() }
    }
}

fn eight_codecs() -> Vec<Codec> {
    let codec = |label, id, params| Codec { label, id, params };
    let token = |bits: u32| json!({"bits": bits, "granularity": "token"});
    let group = |bits: u32| json!({"bits": bits, "granularity": "group", "group": 64});
    vec![
        codec("bf16", "cast", json!({"to": "bf16"})),
        codec("fp8 e4m3 token", "cast", json!({"to": "fp8_e4m3", "scale": "token"})),
        codec("int8 token", "affine", token(8)),
        codec("int6 g64", "affine", group(6)),
        codec("int4 token", "affine", token(4)),
        codec("int4 g64", "affine", group(4)),
        codec("int3 g64", "affine", group(3)),
        codec("nf4", "blockfloat", json!({"code": "nf4", "block": 64, "absmax": "f32"})),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_can_be_named() {
        let mut names: Vec<_> = JOBS.iter().map(|job| job.name).collect();
        names.push(llama_cpp().name);
        assert_eq!(names, NAMES);
    }

    #[test]
    fn eight_codecs_are_eight_and_bf16_is_held_less_tightly() {
        let counts: Vec<_> = JOBS.iter().map(|job| job.codecs().len()).collect();
        assert_eq!(counts, [0, 0, 8, 8]);
        let limits: Vec<_> = JOBS.iter().map(|job| job.baseline_limit).collect();
        assert_eq!(limits, [1e-4, 3e-3, 1e-4, 1e-4]);
    }
}
