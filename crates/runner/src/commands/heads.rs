//! `strait analyze heads`: how relevant each attention head is, on calibration text.

use strait_model::head_relevance;
use strait_schema::Experiment;

use super::analyze::Matrix;
use super::fit;
use super::run::Options;
use crate::error::RunnerError;
use crate::progress::Observer;
use crate::workbench::Workbench;

/// Relevance of attention heads.
#[derive(Debug, Clone)]
pub struct Heads {
    /// Each head's share of its layer, `[layers, heads]`, in the form that `side.weights` reads.
    pub shares: Matrix,
    /// Number of windows of calibration text.
    pub windows: usize,
    /// Number of tokens in all windows.
    pub tokens: usize,
}

/// Runs the uncompressed model forward and backward over the text of `[fit]`, in windows of the
/// protocol, in f32 on the CPU. [`head_relevance`] defines what is computed.
///
/// # Errors
/// When there is no `[fit]`, its text shares a passage with the scored one, or the input or the
/// machine fails.
pub fn heads(
    experiment: &Experiment,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Heads, RunnerError> {
    let section = fit::section(experiment)?;
    let bench = Workbench::new(experiment, &options.assets)?;
    observer.step("read model and texts");
    let model = bench.reference(observer)?;
    let stream = fit::calibration(&bench, section, &model, observer)?;
    let windows = stream.tokens.chunks(bench.protocol().window);
    // A window of a single token predicts nothing.
    let windows: Vec<Vec<u32>> =
        windows.filter(|window| window.len() > 1).map(<[u32]>::to_vec).collect();
    let source = model.source();
    let mut step = |done: usize, all: usize| {
        observer.step(&format!("layer {} of {all}, forwards and backwards", done + 1));
    };
    let shares = bench.pool().install(|| head_relevance(&*source, &windows, &mut step))?;
    observer.end();
    let tokens = windows.iter().map(Vec::len).sum();
    Ok(Heads { shares, windows: windows.len(), tokens })
}
