//! The side information that codecs request with their messages, resolved and checked.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use strait_loader::CodecEntry;
use strait_model::ModelConfig;
use strait_schema::{Aggregate, CellSide, CellSpec, Experiment, Link, Metric, SideSection};

use crate::book::folder::bytes_sha256;
use crate::error::RunnerError;
use crate::ways::probe::{HeadWeights, IMPORTANCE, Kind, SideRequest};

/// What the codec of a cell requests, if its compressor configures it.
///
/// # Errors
/// When its codec requests none, a layer lies after a cut, or the weights do not fit the model.
pub(super) fn request(
    experiment: &Experiment,
    spec: &CellSpec,
    (entry, params): (&CodecEntry, &Map<String, Value>),
    (links, active): (&[Link], &[bool]),
    config: &ModelConfig,
) -> Result<Option<SideRequest>, RunnerError> {
    let Some(side) = &spec.side else { return Ok(None) };
    let table = format!("compressor[{}].side", spec.compressor);
    if !entry.side_information(params)?.iter().any(|name| name == IMPORTANCE) {
        let expected = format!("a codec that asks for the side information `{IMPORTANCE}`");
        return Err(experiment.value_error(&table, expected, spec.codec.clone(), None).into());
    }
    let attention = side.metric != Metric::HiddenNorm;
    let mut layers = vec![Vec::new(); links.len()];
    for (link, layers) in links.iter().zip(&mut layers).filter(|(link, _)| active[link.index]) {
        *layers = match (&side.layers, side.aggregate) {
            _ if !attention => Vec::new(),
            (Some(named), _) => named.clone(),
            (None, Aggregate::Last) => vec![link.after],
            (None, _) => (0..=link.after).collect(),
        };
        if let Some(behind) = layers.iter().find(|&&layer| layer > link.after) {
            let expected = format!("layers from 0 to {}, those before the cut", link.after);
            let key = format!("{table}.layers");
            return Err(experiment.value_error(&key, expected, behind.to_string(), None).into());
        }
    }
    let kind = kind(experiment, spec.compressor, side, config)?;
    let aggregate = if attention { side.aggregate } else { Aggregate::Last };
    Ok(Some(SideRequest { kind, aggregate, layers }))
}

/// The metrics that compressors name, each once; the column mean if they name none.
///
/// # Errors
/// When the weights do not fit the model.
pub(crate) fn kinds(
    experiment: &Experiment,
    specs: &[CellSpec],
    config: &ModelConfig,
) -> Result<Vec<Kind>, RunnerError> {
    let mut kinds: Vec<Kind> = Vec::new();
    for spec in specs {
        let Some(side) = &spec.side else { continue };
        let kind = kind(experiment, spec.compressor, side, config)?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    if kinds.is_empty() {
        kinds.push(Kind { metric: Metric::ColumnMean, weights: None });
    }
    Ok(kinds)
}

fn kind(
    experiment: &Experiment,
    compressor: usize,
    side: &SideSection,
    config: &ModelConfig,
) -> Result<Kind, RunnerError> {
    let weights = match (&side.weights, side.metric) {
        (Some(path), Metric::HeadWeighted) => {
            let weights = read_weights(&experiment.resolve(path), config);
            let weights = weights.map_err(|(expected, found)| {
                let key = format!("compressor[{compressor}].side.weights");
                experiment.value_error(&key, expected, found, None)
            })?;
            Some(Arc::new(weights))
        }
        _ => None,
    };
    Ok(Kind { metric: side.metric, weights })
}

/// The request's description in a record.
pub(super) fn cell_side(request: &SideRequest, section: Option<&SideSection>) -> CellSide {
    let layers = section.and_then(|section| section.layers.clone());
    CellSide {
        metric: request.kind.metric,
        layers: layers.filter(|_| request.kind.metric != Metric::HiddenNorm),
        aggregate: request.aggregate,
        weights: section
            .and_then(|section| section.weights.clone())
            .filter(|_| request.kind.weights.is_some()),
        weights_sha256: request.kind.weights.as_ref().map(|weights| weights.sha256.clone()),
    }
}

/// Reads `[[weight of head 0, ...] of layer 0, ...]`; the error holds what was expected and what was
/// found.
fn read_weights(path: &Path, config: &ModelConfig) -> Result<HeadWeights, (String, String)> {
    let expected = || {
        let heads = config.blocks.first().map_or(0, |block| block.attention.heads);
        format!(
            "a JSON file with {} arrays of {heads} finite numbers, a weight for every head",
            config.layers
        )
    };
    let wrong = |found: String| (expected(), format!("{}: {found}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let layers: Vec<Vec<f32>> =
        serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if layers.len() != config.layers {
        return Err(wrong(format!("{} arrays", layers.len())));
    }
    for (layer, (weights, block)) in layers.iter().zip(&config.blocks).enumerate() {
        let finite = weights.iter().all(|weight| weight.is_finite());
        if weights.len() != block.attention.heads || !finite {
            return Err(wrong(format!("{} in array {layer}", weights.len())));
        }
    }
    Ok(HeadWeights { sha256: bytes_sha256(&bytes), layers })
}
