//! `side` of a compressor: the importances of tokens that the host computes for codecs that ask.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `side` of a `[[compressor]]`: what the side information `importance` is, one value for every token of
/// a message. Only the tokens of the message and those before it decide it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SideSection {
    /// What makes a token important.
    #[serde(default)]
    pub metric: Metric,
    /// Layers whose attention is looked at, counted from 0, none after the cut. When left out the layer
    /// before the cut, or with an `aggregate` other than `last` all layers before the cut. `hidden-norm`
    /// looks at none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<usize>>,
    /// How the importances of several layers become one.
    #[serde(default, skip_serializing_if = "Aggregate::is_last")]
    pub aggregate: Aggregate,
    /// For `head-weighted`: a JSON file with an array for every layer that has a weight for every
    /// query head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
}

/// What makes a token important.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// The attention that it receives: mean over the heads and the queries of the message.
    #[default]
    ColumnMean,
    /// The attention that the last token of the message pays to it, mean over the heads.
    LastRow,
    /// As `column-mean`, with the heads weighted as `weights` says.
    HeadWeighted,
    /// As `column-mean`, in every head times the Euclidean norm of the token's value.
    ValueNorm,
    /// The Euclidean norm of its hidden state as it crosses the link.
    HiddenNorm,
    /// The entropy in nats of the attention that it pays, mean over the heads.
    Entropy,
}

/// How the importances of several layers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregate {
    /// The last of them alone.
    #[default]
    Last,
    /// Their mean.
    Mean,
    /// From the first layer on, the mean of what there was and the next: each layer counts as much as
    /// all before it together.
    RunningMean,
    /// The largest.
    Maximum,
}

impl SideSection {
    /// What does not fit together: the key, what is expected, and what was found.
    pub(crate) fn mistake(&self) -> Option<(&'static str, &'static str, String)> {
        if self.metric == Metric::HeadWeighted && self.weights.is_none() {
            let expected = "a file of head weights, because the metric is \"head-weighted\"";
            return Some(("weights", expected, "no such key".to_owned()));
        }
        match &self.layers {
            Some(layers) if layers.is_empty() || !layers.is_sorted_by(|a, b| a < b) => {
                let expected = "at least one layer, in rising order";
                Some(("layers", expected, format!("{layers:?}")))
            }
            _ => None,
        }
    }
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ColumnMean,
        Self::LastRow,
        Self::HeadWeighted,
        Self::ValueNorm,
        Self::HiddenNorm,
        Self::Entropy,
    ];

    /// The name in TOML and in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ColumnMean => "column-mean",
            Self::LastRow => "last-row",
            Self::HeadWeighted => "head-weighted",
            Self::ValueNorm => "value-norm",
            Self::HiddenNorm => "hidden-norm",
            Self::Entropy => "entropy",
        }
    }
}

impl Aggregate {
    /// The name in TOML and in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Mean => "mean",
            Self::RunningMean => "running-mean",
            Self::Maximum => "maximum",
        }
    }

    fn is_last(&self) -> bool {
        *self == Self::Last
    }
}
