//! Turns the results of both programs into figures: perplexities that must agree, ratios, medians, the file and
//! the table.

use std::fmt;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::job::{CODEC_LIMIT, Job};
use super::{peer, strait};

/// The label of the cell without a codec, as in records.
pub(super) const BASELINE: &str = "baseline";

/// The result of one program in one round: all cells of a job, once.
#[derive(Debug, Clone)]
pub(super) struct Sitting {
    /// Seconds from the first window to the last, over all cells.
    pub(super) seconds: f64,
    pub(super) scores: Vec<Score>,
}

/// Negative log-likelihood of the scored tokens under one cell.
#[derive(Debug, Clone)]
pub(super) struct Score {
    pub(super) label: String,
    /// Sum over the scored tokens, in nats.
    pub(super) nll: f64,
    pub(super) scored: u64,
}

impl Score {
    fn perplexity(&self) -> f64 {
        (self.nll / self.scored as f64).exp()
    }
}

/// The content of `results/peers.json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    timed: &'static str,
    compared: &'static str,
    environment: Environment,
    pub(super) jobs: Vec<JobResult>,
}

/// The conditions under which the figures were measured.
#[derive(Debug, Serialize)]
pub(super) struct Environment {
    cpu: String,
    cores: usize,
    /// Number of cores that other programs kept busy over the minute before; null if unknown.
    load_before: Option<f64>,
    strait: String,
    strait_threads: usize,
    peer_threads: usize,
    python: String,
    torch: String,
    transformers: String,
    model: String,
    model_sha256: String,
    tokens: usize,
    tokens_sha256: String,
    rounds: u32,
}

/// The figures of one job; `ratio` is the peer's seconds divided by strait's in the same round.
#[derive(Debug, Serialize)]
pub(super) struct JobResult {
    name: &'static str,
    peer: &'static str,
    strait_s: f64,
    peer_s: f64,
    ratio_median: f64,
    ratio_min: f64,
    ratio_max: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_scored_only_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_scored_only_median: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strait_tokens_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_tokens_per_s: Option<f64>,
    /// Perplexity of the cell without a codec.
    ppl_strait: f64,
    ppl_peer: f64,
    /// The largest relative difference between the two perplexities of a cell.
    largest_deviation: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    cells: Vec<CellResult>,
    rounds: Vec<Round>,
}

/// The perplexities of one cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct CellResult {
    label: String,
    ppl_strait: f64,
    ppl_peer: f64,
    deviation: f64,
}

/// Seconds of one round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Round {
    strait_s: f64,
    peer_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_scored_only_s: Option<f64>,
}

/// Pairs the cells of both programs, in the peer's order, if they did the same work with the same result.
///
/// # Errors
/// If a cell is missing, scores another number of tokens, or has another perplexity.
pub(super) fn agree(job: &Job, strait: &Sitting, peer: &Sitting) -> Result<Vec<CellResult>> {
    ensure!(
        strait.scores.len() == peer.scores.len(),
        "strait has {} cells, the peer {}; both must run the same",
        strait.scores.len(),
        peer.scores.len()
    );
    let mut cells = Vec::new();
    for theirs in &peer.scores {
        let label = theirs.label.clone();
        let ours = strait.scores.iter().find(|score| score.label == label);
        let ours = ours.with_context(|| format!("strait has no record of the cell {label:?}"))?;
        ensure!(
            ours.scored == theirs.scored,
            "{label}: strait scores {} tokens, the peer {}; both must score the same windows",
            ours.scored,
            theirs.scored
        );
        let (ppl_strait, ppl_peer) = (ours.perplexity(), theirs.perplexity());
        let deviation = (ppl_peer / ppl_strait - 1.0).abs();
        let limit = if label == BASELINE { job.baseline_limit } else { CODEC_LIMIT };
        ensure!(
            deviation <= limit,
            "{label}: strait's perplexity is {ppl_strait:.4}, the peer's {ppl_peer:.4}: {deviation:.1e} \
             apart where at most {limit:.0e} is expected; they do not compute the same, so their \
             times do not compare"
        );
        cells.push(CellResult { label, ppl_strait, ppl_peer, deviation });
    }
    Ok(cells)
}

impl Round {
    pub(super) fn new(strait: &Sitting, peer: &Sitting, scored_only: Option<&Sitting>) -> Self {
        let peer_scored_only_s = scored_only.map(|sitting| sitting.seconds);
        Self { strait_s: strait.seconds, peer_s: peer.seconds, peer_scored_only_s }
    }
}

impl JobResult {
    pub(super) fn new(
        name: &'static str,
        peer: &'static str,
        cells: Vec<CellResult>,
        rounds: Vec<Round>,
    ) -> Self {
        let strait_s = median(rounds.iter().map(|round| round.strait_s));
        let peer_s = median(rounds.iter().map(|round| round.peer_s));
        let ratios: Vec<f64> = rounds.iter().map(|round| round.peer_s / round.strait_s).collect();
        let scored_only =
            || rounds.iter().filter_map(|round| Some((round.peer_scored_only_s?, round.strait_s)));
        let measured = scored_only().next().is_some();
        let baseline = cells.iter().find(|cell| cell.label == BASELINE);
        Self {
            name,
            peer,
            strait_s,
            peer_s,
            ratio_median: median(ratios.iter().copied()),
            ratio_min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratio_max: ratios.iter().copied().fold(0.0, f64::max),
            peer_scored_only_s: measured.then(|| median(scored_only().map(|(peer, _)| peer))),
            ratio_scored_only_median: measured
                .then(|| median(scored_only().map(|(peer, strait)| peer / strait))),
            strait_tokens_per_s: None,
            peer_tokens_per_s: None,
            ppl_strait: baseline.map_or(f64::NAN, |cell| cell.ppl_strait),
            ppl_peer: baseline.map_or(f64::NAN, |cell| cell.ppl_peer),
            largest_deviation: cells.iter().map(|cell| cell.deviation).fold(0.0, f64::max),
            note: None,
            cells,
            rounds,
        }
    }

    /// Adds the speed in tokens per second that went through the model.
    pub(super) fn with_throughput(mut self, tokens: u32) -> Self {
        self.strait_tokens_per_s = Some(f64::from(tokens) / self.strait_s);
        self.peer_tokens_per_s = Some(f64::from(tokens) / self.peer_s);
        self
    }

    pub(super) fn with_note(mut self, note: String) -> Self {
        self.note = Some(note);
        self
    }
}

/// The median: the middle value, or the mean of the middle two if their number is even; NaN without values.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.get(middle) {
        None => f64::NAN,
        Some(value) if values.len() % 2 == 1 => *value,
        Some(value) => f64::midpoint(values[middle - 1], *value),
    }
}

impl Report {
    pub(super) fn new(environment: Environment) -> Self {
        Self {
            timed: "evaluation, from the first window to the last, of all cells of a job; loading, \
                    tokenising and a warm-up of the peer are not timed; medians over the rounds, \
                    ratio = the peer's seconds / strait's in the same round",
            compared: "the peer runs the whole model once for every cell, as a loop over codecs with \
                       hooks does; scored_only is the same peer with logits of the scored positions \
                       alone; strait runs all cells of a job in one experiment",
            environment,
            jobs: Vec::new(),
        }
    }
}

impl Environment {
    pub(super) fn new(
        strait: &strait::Facts,
        peer: &peer::Facts,
        rounds: u32,
        load_before: Option<f64>,
    ) -> Self {
        Self {
            cpu: strait.cpu.clone(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            load_before,
            strait: strait.version.clone(),
            strait_threads: strait.threads,
            peer_threads: peer.threads,
            python: peer.python.clone(),
            torch: peer.torch.clone(),
            transformers: peer.transformers.clone(),
            model: strait.model.clone(),
            model_sha256: strait.model_sha256.clone(),
            tokens: strait.tokens,
            tokens_sha256: strait.tokens_sha256.clone(),
            rounds,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Environment { cpu, cores, tokens, rounds, .. } = &self.environment;
        writeln!(f, "{cpu}, {cores} cores, {tokens} tokens, {rounds} rounds")?;
        writeln!(
            f,
            "{:<25} {:>9} {:>9} {:>19} {:>23} {:>10} {:>10} {:>9}",
            "job",
            "strait s",
            "peer s",
            "ratio (min-max)",
            "scored only s (ratio)",
            "PPL",
            "peer's",
            "apart"
        )?;
        for job in &self.jobs {
            let ratio =
                format!("{:.2} ({:.2}-{:.2})", job.ratio_median, job.ratio_min, job.ratio_max);
            let scored_only = match (job.peer_scored_only_s, job.ratio_scored_only_median) {
                (Some(seconds), Some(ratio)) => format!("{seconds:.2} ({ratio:.2})"),
                _ => "-".to_owned(),
            };
            writeln!(
                f,
                "{:<25} {:>9.2} {:>9.2} {ratio:>19} {scored_only:>23} {:>10.4} {:>10.4} {:>9.1e}",
                job.name,
                job.strait_s,
                job.peer_s,
                job.ppl_strait,
                job.ppl_peer,
                job.largest_deviation
            )?;
        }
        writeln!(f, "Timed: {}.", self.timed)?;
        write!(f, "Compared: {}.", self.compared)?;
        for note in self.jobs.iter().filter_map(|job| job.note.as_ref()) {
            write!(f, "\n{note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
