//! The cells of `[[cache]]`: presses and codecs of the KV cache, found, checked and completed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use strait_loader::{CellName, CodecEntry, Plugin, PluginSet};
use strait_model::ModelConfig;
use strait_schema::{
    BASELINE_LABEL, CacheSpec, CellCache, CellCacheCodec, CellKind, CellOverride, CellPress,
    Experiment, RecordCell,
};

use crate::cell::PlannedCell;
use crate::error::RunnerError;
use crate::kv::{Budget, CachePlan, LayerCodecs, PlannedPress};

/// A codec or press with its parameters.
type With<E> = Option<(E, Map<String, Value>)>;

/// What a cell of `[[cache]]` names, found among the plugins.
pub(crate) struct FoundCache {
    spec: CacheSpec,
    /// The first one, and those after it.
    presses: Vec<PlannedPress>,
    /// Those of all layers, and those of some.
    codecs: Vec<LayerCodecs>,
}

impl FoundCache {
    /// Makes sure that the model has the layers.
    pub(crate) fn check(
        &self,
        experiment: &Experiment,
        config: &ModelConfig,
    ) -> Result<(), RunnerError> {
        let last = config.layers.saturating_sub(1);
        let section = &self.spec.section;
        let own = section.layers.iter().flatten().map(|layer| ("layers".to_owned(), layer));
        let overrides = section.overrides.iter().enumerate().flat_map(|(index, codecs)| {
            codecs.layers.iter().map(move |layer| (format!("overrides[{index}].layers"), layer))
        });
        match own.chain(overrides).find(|(_, layer)| **layer > last) {
            None => Ok(()),
            Some((key, layer)) => {
                let key = format!("cache[{}].{key}", self.spec.cache);
                let expected = format!("layers from 0 to {last}");
                Err(experiment.value_error(&key, expected, layer.to_string(), None).into())
            }
        }
    }

    /// What the cell does to the caches of a model, `context` tokens before those that are scored.
    pub(crate) fn plan(
        self,
        experiment: &Experiment,
        config: &ModelConfig,
        context: Option<usize>,
    ) -> CachePlan {
        let section = self.spec.section;
        CachePlan {
            presses: self.presses,
            reposition: section.reposition,
            codecs: self.codecs,
            codecs_of: (0..config.layers)
                .map(|layer| {
                    let own = section.overrides.iter().position(|own| own.layers.contains(&layer));
                    own.map_or(0, |index| index + 1)
                })
                .collect(),
            sinks: section.sinks,
            recent: section.recent,
            before_rope: section.before_rope,
            active: match &section.layers {
                None => vec![true; config.layers],
                Some(layers) => (0..config.layers).map(|layer| layers.contains(&layer)).collect(),
            },
            interval: experiment.kv.interval,
            context,
            seed: experiment.run.seed,
        }
    }
}

/// Finds what the cells of `[[cache]]` name.
pub(crate) fn find(
    experiment: &Experiment,
    specs: Vec<CacheSpec>,
    plugins: &PluginSet,
) -> Result<Vec<FoundCache>, RunnerError> {
    let find = |spec: CacheSpec| {
        let table = format!("cache[{}]", spec.cache);
        let section = &spec.section;
        let first = section
            .press
            .as_ref()
            .map(|press| (table.clone(), press, &section.params, section.ratio, section.size));
        let later = section.then.iter().enumerate().map(|(index, press)| {
            let table = format!("{table}.then[{index}]");
            (table, &press.press, &press.params, press.ratio, press.size)
        });
        // What the presses so far leave of the tokens.
        let mut left = 1.0;
        let presses = first.into_iter().chain(later).map(|(table, id, params, ratio, size)| {
            let entry = plugins.press(id)?;
            let params = entry.resolve(params).map_err(|e| {
                let key = format!("{table}.params.{}", e.key);
                experiment.value_error(&key, e.expected, e.found, e.nearest)
            })?;
            let (ratio, kind) = (ratio.unwrap_or(0.0), entry.descriptor().budget.as_str());
            let budget = match (size, kind) {
                (Some(size), _) => Budget::Size(size),
                (None, "channels") => Budget::Channels(ratio),
                (None, _) => {
                    left *= 1.0 - ratio;
                    Budget::Ratio(1.0 - left)
                }
            };
            Ok::<_, RunnerError>(PlannedPress { entry, params, budget })
        });
        let presses: Vec<PlannedPress> = presses.collect::<Result<_, _>>()?;
        let codec = |name: &str, written: &Option<Map<String, Value>>| {
            let Some(written) = written else { return Ok::<_, RunnerError>(None) };
            let mut params = written.clone();
            let id = params.remove("codec").unwrap_or_default();
            let entry = plugins.codec(id.as_str().unwrap_or_default())?;
            let params = entry.resolve(&params).map_err(|e| {
                let key = format!("{table}.{name}.{}", e.key);
                experiment.value_error(&key, e.expected, e.found, e.nearest)
            })?;
            Ok(Some((entry, params)))
        };
        let own = [("".to_owned(), &section.key, &section.value)];
        let overrides = section.overrides.iter().enumerate();
        let overrides =
            overrides.map(|(index, own)| (format!("overrides[{index}]."), &own.key, &own.value));
        let codecs = own.into_iter().chain(overrides).map(|(at, key, value)| {
            let key = codec(&format!("{at}key"), key)?;
            Ok::<_, RunnerError>(LayerCodecs { key, value: codec(&format!("{at}value"), value)? })
        });
        let codecs = codecs.collect::<Result<_, _>>()?;
        Ok(FoundCache { spec, presses, codecs })
    };
    specs.into_iter().map(find).collect()
}

/// The planned cells, behind those of the links in `others`.
pub(crate) fn cache_cells(
    experiment: &Experiment,
    baseline: &RecordCell,
    found: Vec<FoundCache>,
    config: &ModelConfig,
    others: &[PlannedCell],
) -> Result<Vec<PlannedCell>, RunnerError> {
    let mut cells: Vec<PlannedCell> = Vec::new();
    for found in found {
        let FoundCache { spec, presses, codecs } = &found;
        let (table, section) = (format!("cache[{}]", spec.cache), &spec.section);
        let wrong = |key: &str, expected: &str, found: String| {
            let key = if key.is_empty() { table.clone() } else { format!("{table}.{key}") };
            Err(experiment.value_error(&key, expected, found, None).into())
        };
        if spec.label == BASELINE_LABEL || others.iter().any(|cell| cell.label == spec.label) {
            return wrong("label", "a label that no other cell has", format!("{:?}", spec.label));
        }
        found.check(experiment, config)?;
        let mut plugins = BTreeMap::new();
        let mut add = |plugin: &Arc<Plugin>| {
            plugins.insert(plugin.file_name().to_owned(), plugin.sha256().to_owned());
        };
        presses.iter().for_each(|press| add(press.entry.plugin()));
        for (entry, params) in codecs.iter().flat_map(LayerCodecs::both) {
            add(entry.plugin());
            entry.inner(params)?.iter().for_each(|inner| add(inner.plugin()));
        }
        let codec = |codec: &With<CodecEntry>| {
            codec.as_ref().map(|(entry, params)| CellCacheCodec {
                codec: entry.descriptor().id.clone(),
                params: params.clone(),
            })
        };
        let cache = CellCache {
            interval: experiment.kv.interval,
            press: section.press.clone(),
            params: presses.first().map(|press| press.params.clone()).unwrap_or_default(),
            ratio: section.ratio,
            size: section.size,
            then: section
                .then
                .iter()
                .zip(presses.iter().skip(1))
                .map(|(written, press)| CellPress {
                    press: written.press.clone(),
                    params: press.params.clone(),
                    ratio: written.ratio,
                    size: written.size,
                })
                .collect(),
            reposition: section.reposition,
            key: codec(&codecs[0].key),
            value: codec(&codecs[0].value),
            overrides: section
                .overrides
                .iter()
                .zip(&codecs[1..])
                .map(|(written, codecs)| CellOverride {
                    layers: written.layers.clone(),
                    key: codec(&codecs.key),
                    value: codec(&codecs.value),
                })
                .collect(),
            sinks: section.sinks,
            recent: section.recent,
            before_rope: section.before_rope,
            layers: section.layers.clone(),
            plugins,
        };
        let identity = RecordCell { kind: CellKind::Cache(Box::new(cache)), ..baseline.clone() };
        let id = identity.identity();
        if let Some(same) = cells.iter().find(|cell| cell.id == id) {
            let found = format!("the cell {:?} again", same.label);
            return wrong("", "another press, codec or parameter than every other cell", found);
        }
        let label = spec.label.clone();
        let plan = found.plan(experiment, config, baseline.protocol.context);
        let plan = plan.for_cell(&CellName { id: id.clone(), label: label.clone() });
        let cache = Some(Arc::new(plan));
        cells.push(PlannedCell { label, id, identity, codec: None, cache, rerun: None });
    }
    Ok(cells)
}
