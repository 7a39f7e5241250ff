//! How much stays: the share of a layer, and how the heads of a layer divide it.

use serde_json::Value;

use super::rank::{CHOSEN, Rank, top};
use super::{Head, Layer};
use crate::{Error, Result};

/// How the layers divide what the model keeps.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Layers {
    /// Every layer keeps the same.
    Even,
    /// The first layers keep more: [PyramidKV](https://arxiv.org/abs/2406.02069).
    Pyramid {
        /// Steepness, from 1.
        beta: f64,
        /// Entries of the observation window, which the pyramid leaves out.
        window: f64,
    },
    /// The share that goes, for each layer.
    Ratios(Vec<f64>),
}

impl Layers {
    /// Reads the common parameter `layers`.
    pub(super) fn read(value: &Value, beta: f64, window: usize) -> Result<Self> {
        let wrong = || {
            let list = "a list of ratios from 0 to 1, one for each layer";
            Error::new(format!("layers: expected \"even\", \"pyramid\" or {list}, found {value}"))
        };
        match value {
            Value::String(name) if name == "even" => Ok(Layers::Even),
            Value::String(name) if name == "pyramid" => {
                Ok(Layers::Pyramid { beta, window: window as f64 })
            }
            Value::Array(list) => {
                let ratio = |value: &Value| value.as_f64().filter(|r| (0.0..=1.0).contains(r));
                let ratios: Option<Vec<f64>> = list.iter().map(ratio).collect();
                ratios.filter(|ratios| !ratios.is_empty()).map(Layers::Ratios).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }

    /// Target and ratio of one layer.
    pub(super) fn of(&self, layer: &Layer<'_>) -> Result<(usize, f64)> {
        let entries = layer.heads().iter().map(Head::len).max().unwrap_or(0);
        match self {
            Layers::Even => Ok((layer.target(), layer.ratio())),
            Layers::Pyramid { .. } if layer.target() >= entries => {
                Ok((layer.target(), layer.ratio()))
            }
            Layers::Pyramid { beta, window } => {
                let target = self::pyramid(layer, entries as f64, *beta, *window);
                Ok((target, 1.0 - target as f64 / (entries.max(1) as f64)))
            }
            Layers::Ratios(ratios) => {
                if ratios.len() != layer.count() {
                    return Err(Error::new(format!(
                        "layers: expected {} ratios, one for each layer, found {}",
                        layer.count(),
                        ratios.len()
                    )));
                }
                let ratio = ratios[layer.index()];
                Ok((kept(entries, ratio), ratio))
            }
        }
    }
}

/// Entries that stay when the share `ratio` goes: at least one, but for a ratio of 1.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn kept(entries: usize, ratio: f64) -> usize {
    if ratio >= 1.0 || entries == 0 {
        return 0;
    }
    // The slack keeps a product such as 10 * (1 - 0.9) from losing an entry to rounding.
    ((entries as f64 * (1.0 - ratio) + 1e-9) as usize).clamp(1, entries)
}

/// Entries of one layer under a pyramid that keeps the target on average.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn pyramid(layer: &Layer<'_>, entries: f64, beta: f64, window: f64) -> usize {
    let mean = layer.target() as f64;
    let (mut least, mut most) = (mean / beta, 2.0 * mean - mean / beta);
    if most >= entries - window {
        most = entries - window;
        least = 2.0 * mean - most;
    }
    if !(entries >= most && most >= least && least >= window) {
        return layer.target();
    }
    let steps = layer.count().saturating_sub(1).max(1) as f64;
    (most - layer.index() as f64 * (most - least) / steps).round_ties_even() as usize
}

/// Entries of each head when all heads keep the same.
pub(super) fn even(heads: &[Head<'_>], target: usize) -> Vec<usize> {
    heads.iter().map(|head| target.min(head.len())).collect()
}

/// Entries of each head when the best of all heads stay, and of every head at least the share
/// `safeguard`: [Ada-KV](https://arxiv.org/abs/2407.11550). Puts those safe ones into their class.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn adaptive(ranks: &mut [Vec<Rank>], target: usize, safeguard: f64) -> Vec<usize> {
    let mut safe = (target as f64 * safeguard) as usize;
    if safeguard > 0.0 && target > 0 {
        safe = safe.max(1);
    }
    for ranks in ranks.iter_mut() {
        for entry in top(ranks, safe) {
            ranks[entry] = ranks[entry].at_least(CHOSEN);
        }
    }
    let mut all: Vec<(Rank, usize, usize)> = ranks
        .iter()
        .enumerate()
        .flat_map(|(head, ranks)| ranks.iter().enumerate().map(move |(e, rank)| (*rank, e, head)))
        .collect();
    let total = target.saturating_mul(ranks.len()).min(all.len());
    // Among safe entries the class alone counts, so that no head's scale decides.
    let score = |rank: Rank| if rank.class() == 0 { rank.score() } else { f32::INFINITY };
    all.sort_unstable_by(|(a, i, g), (b, j, h)| {
        let by_rank = b.class().cmp(&a.class()).then(score(*b).total_cmp(&score(*a)));
        by_rank.then(j.cmp(i)).then(g.cmp(h))
    });
    let mut budgets = vec![0; ranks.len()];
    for (_, _, head) in &all[..total] {
        budgets[*head] += 1;
    }
    budgets
}
