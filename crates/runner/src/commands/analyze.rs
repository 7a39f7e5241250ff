//! `strait analyze importance`: whether layers agree on which tokens matter, how their activations differ,
//! and where outliers are. It runs the uncompressed model once over the experiment's windows.

use std::error::Error;

use rayon::prelude::*;
use strait_metrics::{
    cosine, histogram_divergence_sorted, jaccard_of_largest, spearman, wasserstein_sorted,
};
use strait_model::{CacheVisitor, CachedLayer, CachedRun, Hidden, RunInput, open_device};
use strait_schema::{Experiment, Metric};

use super::run::Options;
use crate::error::RunnerError;
use crate::plan::side::kinds;
use crate::progress::Observer;
use crate::ways::probe::{Kind, at_layer, norms};
use crate::workbench::Workbench;

/// Share of the tokens that count as most important for Jaccard's index.
pub const TOP_SHARE: f64 = 0.1;
/// Bins of the histograms whose divergence is computed.
pub const BINS: usize = 256;
/// Most massive activations that are listed; all are counted.
const MOST_LISTED: usize = 1000;

/// A matrix `[layers, layers]` or `[layers, channels]`.
pub type Matrix = Vec<Vec<f64>>;

/// The results; means over windows unless stated otherwise.
#[derive(Debug, Clone, Default)]
pub struct Analysis {
    /// Agreement between layers for each importance metric.
    pub orders: Vec<Orders>,
    /// Wasserstein distance of order 1 between the values of two layers, `[layers, layers]`.
    pub wasserstein: Matrix,
    /// KL divergence in nats between the histograms of the values of two layers, `[layers, layers]`:
    /// KL(row ‖ column).
    pub divergence: Matrix,
    /// Cosine between the states of a token in two layers, averaged over tokens, `[layers, layers]`.
    pub cosine: Matrix,
    /// Largest magnitude of each channel of each layer over all windows, `[layers, channels]`.
    pub channel_largest: Matrix,
    /// Mean magnitude of each channel of each layer, `[layers, channels]`.
    pub channel_mean: Matrix,
    /// Euclidean norm of the state at each position of each layer, `[layers, positions]`.
    pub token_norm: Matrix,
    /// Massive activations in the order of the windows, up to a limit.
    pub massive: Vec<Massive>,
    /// Number of massive activations in each layer.
    pub massive_count: Vec<u64>,
    /// Number of windows run.
    pub windows: usize,
    /// Number of tokens in a window.
    pub tokens: usize,
}

/// How far layers agree on the order of tokens.
#[derive(Debug, Clone)]
pub struct Orders {
    /// Name of the metric.
    pub metric: &'static str,
    /// Spearman's correlation of two layers' importances, `[layers, layers]`.
    pub spearman: Matrix,
    /// Jaccard's index of two layers' most important tokens, [`TOP_SHARE`] of all, `[layers, layers]`.
    pub jaccard: Matrix,
}

/// A massive activation: a value above 100 and above 1000 times the median magnitude of its layer
/// (<https://arxiv.org/abs/2402.17762>).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Massive {
    /// Index of the window.
    pub window: usize,
    /// The layer in whose output it occurs.
    pub layer: usize,
    /// Position in the window.
    pub position: usize,
    /// Id of the token.
    pub token: u32,
    /// Index of the channel.
    pub channel: usize,
    /// The value.
    pub value: f32,
}

/// Runs the uncompressed model over the experiment's full-length windows and analyses every layer, by the
/// metrics that its compressors name in `side`, or by the column mean.
///
/// # Errors
/// When the input is wrong, or the machine fails.
pub fn analyze(
    experiment: &Experiment,
    options: &Options<'_>,
    observer: &mut dyn Observer,
) -> Result<Analysis, RunnerError> {
    let bench = Workbench::new(experiment, &options.assets)?;
    observer.step("read model and text");
    let model = bench.reference(observer)?;
    let kinds = kinds(experiment, &experiment.cells()?, &model.config)?;
    let protocol = bench.protocol();
    let (_, stream) = bench.stream(&model, &protocol, observer)?;
    let windows = protocol.windows(stream.tokens.len(), stream.bos_id)?;
    let length = windows.iter().map(strait_data::Window::length).max().unwrap_or(0);
    observer.step("load the model");
    let device = open_device(&experiment.model.device)?;
    let mut loaded = bench.load(&model, &[], &[device])?;
    let mut found = Found::new(model.config.layers, &kinds, length);
    for window in windows.iter().filter(|window| window.length() == length) {
        observer.step(&format!("window {} of {}", window.index + 1, windows.len()));
        let tokens: Vec<u32> = window.tokens(&stream.tokens).into_iter().collect();
        let stage = &mut *loaded.stages()[0];
        bench.pool().install(|| -> Result<(), RunnerError> {
            let mut caches = stage.open_caches(1, true);
            let mut looker =
                EachLayer { kinds: &kinds, importances: Vec::new(), states: Vec::new() };
            let cached =
                CachedRun { caches: &mut caches, first_position: 0, visitor: Some(&mut looker) };
            let last = stage.run(RunInput::Tokens { tokens: &tokens, batch: 1 }, Some(cached))?;
            let EachLayer { importances, mut states, .. } = looker;
            states.push(last);
            // The first state is the embedding; the output of layer l is the input of the next layer.
            let states: Vec<Hidden> = states.into_iter().skip(1).collect();
            found.add(window.index, &tokens, importances, &states);
            Ok(())
        })?;
    }
    observer.end();
    Ok(found.finish())
}

/// Collects every layer's importances and input.
struct EachLayer<'a> {
    kinds: &'a [Kind],
    /// Importances, `[layers][kinds][tokens]`.
    importances: Vec<Vec<Vec<f32>>>,
    states: Vec<Hidden>,
}

impl CacheVisitor for EachLayer<'_> {
    fn probes(&self, _layer: usize) -> bool {
        true
    }

    fn visit(&mut self, layer: &mut dyn CachedLayer) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.importances.push(at_layer(layer, self.kinds, None)?);
        self.states.push(layer.hidden()?);
        Ok(())
    }
}

/// Sums over windows.
struct Found {
    sums: Analysis,
    metrics: Vec<Metric>,
}

impl Found {
    fn new(layers: usize, kinds: &[Kind], tokens: usize) -> Self {
        let square = || vec![vec![0.0; layers]; layers];
        let orders = kinds.iter().map(|kind| Orders {
            metric: kind.metric.name(),
            spearman: square(),
            jaccard: square(),
        });
        let sums = Analysis {
            orders: orders.collect(),
            wasserstein: square(),
            divergence: square(),
            cosine: square(),
            channel_largest: vec![Vec::new(); layers],
            channel_mean: vec![Vec::new(); layers],
            token_norm: vec![vec![0.0; tokens]; layers],
            massive_count: vec![0; layers],
            tokens,
            ..Analysis::default()
        };
        Self { sums, metrics: kinds.iter().map(|kind| kind.metric).collect() }
    }

    fn add(
        &mut self,
        window: usize,
        tokens: &[u32],
        mut importances: Vec<Vec<Vec<f32>>>,
        states: &[Hidden],
    ) {
        let sums = &mut self.sums;
        sums.windows += 1;
        let channels = states.first().map_or(0, |states| states.channels);
        let values: Vec<Vec<f32>> = states.par_iter().map(Hidden::to_f32).collect();
        for (layer, values) in values.iter().enumerate() {
            let lengths = norms(values, channels);
            for (sum, norm) in sums.token_norm[layer].iter_mut().zip(&lengths) {
                *sum += f64::from(*norm);
            }
            for (kind, metric) in self.metrics.iter().enumerate() {
                if *metric == Metric::HiddenNorm {
                    importances[layer][kind].clone_from(&lengths);
                }
            }
        }
        let top = (TOP_SHARE * tokens.len() as f64).ceil() as usize;
        let pairs = |sum: &mut Matrix, of: &(dyn Fn(usize, usize) -> f64 + Sync)| {
            sum.par_iter_mut().enumerate().for_each(|(a, row)| {
                row.iter_mut().enumerate().for_each(|(b, sum)| *sum += of(a, b));
            });
        };
        for (kind, orders) in sums.orders.iter_mut().enumerate() {
            let of = |layer: usize| &importances[layer][kind][..];
            pairs(&mut orders.spearman, &|a, b| spearman(of(a), of(b)));
            pairs(&mut orders.jaccard, &|a, b| jaccard_of_largest(of(a), of(b), top));
        }
        let sorted: Vec<Vec<f32>> = values
            .par_iter()
            .map(|values| {
                let mut sorted = values.clone();
                sorted.sort_unstable_by(f32::total_cmp);
                sorted
            })
            .collect();
        pairs(&mut sums.wasserstein, &|a, b| wasserstein_sorted(&sorted[a], &sorted[b]));
        pairs(&mut sums.divergence, &|a, b| {
            histogram_divergence_sorted(&sorted[a], &sorted[b], BINS)
        });
        pairs(&mut sums.cosine, &|a, b| {
            let rows = values[a].chunks_exact(channels.max(1));
            let rows = rows.zip(values[b].chunks_exact(channels.max(1)));
            rows.map(|(a, b)| cosine(a, b)).sum::<f64>() / tokens.len().max(1) as f64
        });
        for (layer, values) in values.iter().enumerate() {
            sums.channels(layer, values, channels);
            sums.massive(window, layer, tokens, values, channels);
        }
    }

    fn finish(mut self) -> Analysis {
        let windows = self.sums.windows.max(1) as f64;
        let scale = |matrix: &mut Matrix, by: f64| {
            matrix.iter_mut().flatten().for_each(|value| *value /= by);
        };
        let tokens = self.sums.tokens.max(1) as f64;
        let Analysis { orders, wasserstein, divergence, cosine, token_norm, channel_mean, .. } =
            &mut self.sums;
        for orders in orders {
            scale(&mut orders.spearman, windows);
            scale(&mut orders.jaccard, windows);
        }
        for matrix in [wasserstein, divergence, cosine, token_norm] {
            scale(matrix, windows);
        }
        scale(channel_mean, windows * tokens);
        self.sums
    }
}

impl Analysis {
    fn channels(&mut self, layer: usize, values: &[f32], channels: usize) {
        let (largest, mean) = (&mut self.channel_largest[layer], &mut self.channel_mean[layer]);
        largest.resize(channels, 0.0);
        mean.resize(channels, 0.0);
        for row in values.chunks_exact(channels.max(1)) {
            for ((x, largest), mean) in row.iter().zip(&mut *largest).zip(&mut *mean) {
                let size = f64::from(x.abs());
                *largest = largest.max(size);
                *mean += size;
            }
        }
    }

    fn massive(
        &mut self,
        window: usize,
        layer: usize,
        tokens: &[u32],
        values: &[f32],
        channels: usize,
    ) {
        let mut sizes: Vec<f32> = values.iter().map(|x| x.abs()).collect();
        let middle = sizes.len() / 2;
        if sizes.is_empty() {
            return;
        }
        let median = *sizes.select_nth_unstable_by(middle, f32::total_cmp).1;
        let least = (1000.0 * median).max(100.0);
        for (at, &value) in values.iter().enumerate().filter(|(_, x)| x.abs() > least) {
            self.massive_count[layer] += 1;
            if self.massive.len() < MOST_LISTED {
                let (position, channel) = (at / channels, at % channels);
                let token = tokens[position];
                self.massive.push(Massive { window, layer, position, token, channel, value });
            }
        }
    }
}
