//! Plans the cells of `[[cache]]`: finds presses and codecs of the KV cache, checks them and
//! completes their parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use strait_loader::{CodecEntry, Plugin, PluginSet};
use strait_model::ModelConfig;
use strait_schema::{
    BASELINE_LABEL, CacheSection, CacheSpec, CellCache, CellCacheCodec, CellKind, CellOverride,
    CellPress, Experiment, RecordCell,
};

use super::cell::{PlannedCell, Work};
use crate::error::RunnerError;
use crate::ways::caches::{Budget, CachePlan, LayerCodecs, PlannedPress};

/// A codec or press with its parameters.
type With<E> = Option<(E, Map<String, Value>)>;

/// What a cell of `[[cache]]` names, resolved to plugins.
pub(crate) struct FoundCache {
    spec: CacheSpec,
    /// The presses in the order in which they are applied.
    presses: Vec<PlannedPress>,
    /// The codecs of all layers, then those of selected layers.
    codecs: Vec<LayerCodecs>,
}

impl FoundCache {
    /// Checks that the model has the layers.
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
        let Some((key, layer)) = own.chain(overrides).find(|(_, layer)| **layer > last) else {
            return Ok(());
        };
        let key = format!("cache[{}].{key}", self.spec.cache);
        let expected = format!("layers from 0 to {last}");
        Err(experiment.value_error(&key, expected, layer.to_string(), None).into())
    }

    /// The cell's description in a record.
    fn cell(&self, experiment: &Experiment) -> Result<CellCache, RunnerError> {
        let Self { spec, presses, codecs } = self;
        let section = &spec.section;
        let then =
            section.then.iter().zip(presses.iter().skip(1)).map(|(written, press)| CellPress {
                press: written.press.clone(),
                params: press.params.clone(),
                ratio: written.ratio,
                size: written.size,
            });
        let (of_all, of_some) = (&codecs[0], &codecs[1..]);
        let overrides =
            section.overrides.iter().zip(of_some).map(|(written, codecs)| CellOverride {
                layers: written.layers.clone(),
                key: cell_codec(&codecs.key),
                value: cell_codec(&codecs.value),
            });
        Ok(CellCache {
            interval: experiment.kv.interval,
            press: section.press.clone(),
            params: presses.first().map(|press| press.params.clone()).unwrap_or_default(),
            ratio: section.ratio,
            size: section.size,
            then: then.collect(),
            reposition: section.reposition,
            gapless: section.reposition,
            cut_later_keys: section.cut_later_keys,
            key: cell_codec(&of_all.key),
            value: cell_codec(&of_all.value),
            overrides: overrides.collect(),
            sinks: section.sinks,
            recent: section.recent,
            before_rope: section.before_rope,
            layers: section.layers.clone(),
            plugins: self.plugins()?,
        })
    }

    /// Every plugin that takes part in the cell: its hash by file name.
    fn plugins(&self) -> Result<BTreeMap<String, String>, RunnerError> {
        let mut plugins: Vec<Arc<Plugin>> = Vec::new();
        plugins.extend(self.presses.iter().map(|press| Arc::clone(press.entry.plugin())));
        for (entry, params) in self.codecs.iter().flat_map(LayerCodecs::both) {
            plugins.push(Arc::clone(entry.plugin()));
            plugins.extend(entry.inner(params)?.iter().map(|inner| Arc::clone(inner.plugin())));
        }
        let named =
            |plugin: Arc<Plugin>| (plugin.file_name().to_owned(), plugin.sha256().to_owned());
        Ok(plugins.into_iter().map(named).collect())
    }

    /// What the cell does to the caches of a model, with `context` tokens before the scored ones.
    pub(crate) fn plan(
        self,
        experiment: &Experiment,
        config: &ModelConfig,
        context: Option<usize>,
    ) -> CachePlan {
        let section = self.spec.section;
        let notes_kept = experiment.output.per_token && !self.presses.is_empty();
        CachePlan {
            presses: self.presses,
            reposition: section.reposition,
            cut_later_keys: section.cut_later_keys,
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
            notes_kept,
            interval: experiment.kv.interval,
            context,
            seed: experiment.run.seed,
        }
    }
}

/// Resolves what the cells of `[[cache]]` name.
pub(crate) fn find(
    experiment: &Experiment,
    specs: Vec<CacheSpec>,
    plugins: &PluginSet,
) -> Result<Vec<FoundCache>, RunnerError> {
    let finder = Finder { experiment, plugins };
    let mut found = Vec::with_capacity(specs.len());
    for spec in specs {
        let table = format!("cache[{}]", spec.cache);
        let presses = finder.presses(&table, &spec.section)?;
        let codecs = finder.codecs(&table, &spec.section)?;
        found.push(FoundCache { spec, presses, codecs });
    }
    Ok(found)
}

/// Looks up an experiment's plugins.
struct Finder<'a> {
    experiment: &'a Experiment,
    plugins: &'a PluginSet,
}

impl Finder<'_> {
    /// The press of a table, and those applied after it.
    fn presses(
        &self,
        table: &str,
        section: &CacheSection,
    ) -> Result<Vec<PlannedPress>, RunnerError> {
        let first = section.press.iter().map(|id| {
            let table = table.to_owned();
            (table, id, &section.params, section.ratio, section.size)
        });
        let then = section.then.iter().enumerate().map(|(index, press)| {
            let table = format!("{table}.then[{index}]");
            (table, &press.press, &press.params, press.ratio, press.size)
        });
        // The share of the tokens that the presses so far leave.
        let mut left = 1.0;
        let mut presses = Vec::new();
        for (table, id, params, ratio, size) in first.chain(then) {
            let entry = self.plugins.press(id)?;
            let params = entry.resolve(params).map_err(|e| {
                let key = format!("{table}.params.{}", e.key);
                self.experiment.value_error(&key, e.expected, e.found, e.nearest)
            })?;
            let ratio = ratio.unwrap_or(0.0);
            let budget = match size {
                Some(size) => Budget::Size(size),
                None if entry.descriptor().budget == "channels" => {
                    self.check_channels(&table, section)?;
                    Budget::Channels(ratio)
                }
                None => {
                    left *= 1.0 - ratio;
                    Budget::Ratio(1.0 - left)
                }
            };
            presses.push(PlannedPress { entry, params, budget });
        }
        Ok(presses)
    }

    /// Makes sure that no key has to be rotated that has lost channels.
    fn check_channels(&self, table: &str, section: &CacheSection) -> Result<(), RunnerError> {
        if !section.reposition || section.before_rope {
            return Ok(());
        }
        let expected = "a press that leaves keys all their channels, without which `reposition` cannot rotate \
                        them, or `before_rope = true`";
        let found = "a press of channels";
        Err(self.experiment.value_error(&format!("{table}.press"), expected, found, None).into())
    }

    /// The codecs of all layers, then those of selected layers.
    fn codecs(&self, table: &str, section: &CacheSection) -> Result<Vec<LayerCodecs>, RunnerError> {
        let mut codecs = vec![LayerCodecs {
            key: self.codec(&format!("{table}.key"), section.key.as_ref())?,
            value: self.codec(&format!("{table}.value"), section.value.as_ref())?,
        }];
        for (index, own) in section.overrides.iter().enumerate() {
            let table = format!("{table}.overrides[{index}]");
            codecs.push(LayerCodecs {
                key: self.codec(&format!("{table}.key"), own.key.as_ref())?,
                value: self.codec(&format!("{table}.value"), own.value.as_ref())?,
            });
        }
        Ok(codecs)
    }

    fn codec(
        &self,
        key: &str,
        written: Option<&Map<String, Value>>,
    ) -> Result<With<CodecEntry>, RunnerError> {
        let Some(written) = written else { return Ok(None) };
        let mut params = written.clone();
        let id = params.remove("codec").unwrap_or_default();
        let entry = self.plugins.codec(id.as_str().unwrap_or_default())?;
        let params = entry.resolve(&params).map_err(|e| {
            let key = format!("{key}.{}", e.key);
            self.experiment.value_error(&key, e.expected, e.found, e.nearest)
        })?;
        Ok(Some((entry, params)))
    }
}

/// The planned cells, to be appended to those already in `others`.
///
/// # Errors
/// When two cells are identical or share a label, or a layer does not exist.
pub(super) fn cells(
    experiment: &Experiment,
    baseline: &RecordCell,
    found: Vec<FoundCache>,
    config: &ModelConfig,
    others: &[PlannedCell],
) -> Result<Vec<PlannedCell>, RunnerError> {
    let mut cells: Vec<PlannedCell> = Vec::new();
    for found in found {
        let (table, label) = (format!("cache[{}]", found.spec.cache), found.spec.label.clone());
        if label == BASELINE_LABEL || others.iter().any(|cell| cell.label == label) {
            let key = format!("{table}.label");
            let expected = "a label that no other cell has";
            return Err(experiment.value_error(&key, expected, format!("{label:?}"), None).into());
        }
        found.check(experiment, config)?;
        let kind = CellKind::Cache(Box::new(found.cell(experiment)?));
        let identity = RecordCell { kind, ..baseline.clone() };
        let plan = found.plan(experiment, config, baseline.protocol.context);
        let cell = PlannedCell::new(label, identity, Work::Cache(Box::new(plan)));
        if let Some(same) = cells.iter().find(|known| known.id == cell.id) {
            let expected = "another press, codec or parameter than every other cell";
            let found = format!("the cell {:?} again", same.label);
            return Err(experiment.value_error(&table, expected, found, None).into());
        }
        cells.push(cell);
    }
    Ok(cells)
}

/// A codec's description in a record.
fn cell_codec(codec: &With<CodecEntry>) -> Option<CellCacheCodec> {
    let (entry, params) = codec.as_ref()?;
    Some(CellCacheCodec { codec: entry.descriptor().id.clone(), params: params.clone() })
}
