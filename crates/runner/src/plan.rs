//! From an experiment to everything that must be known before the first window: nothing of it
//! depends on how the run goes, and everything that can be wrong with the input is found here.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use strait_data::{Protocol, Text, TextSource, Window};
use strait_hub::Hub;
use strait_loader::{CellName, CodecEntry, HostServices, PluginSet};
use strait_model::{Device, ModelConfig, open_device};
use strait_schema::{
    CellCompressor, CellData, CellKind, CellPartition, CellProtocol, CellSpec, Experiment, Link,
    MaxWindows, Partition, RecordCell,
};

use crate::cache_plan::{self, cache_cells};
use crate::cell::{CellCodec, PlannedCell};
use crate::convert;
use crate::error::RunnerError;
use crate::folder::bytes_sha256;
use crate::models::{Compared, OpenModel, open_others};
use crate::progress::{Observer, Progress};
use crate::rerun;
use crate::side_plan;
use crate::speed;

/// A codec and its parameters, checked and completed.
type Resolved = (CodecEntry, Map<String, Value>);

/// A resolved experiment.
pub(crate) struct Plan {
    pub(crate) model: OpenModel,
    /// What is compared with the model.
    pub(crate) others: Vec<Compared>,
    pub(crate) devices: Vec<Device>,
    pub(crate) partition: Partition,
    pub(crate) stream: Vec<u32>,
    pub(crate) windows: Vec<Window>,
    /// The baseline first.
    pub(crate) cells: Vec<PlannedCell>,
}

impl Plan {
    /// Resolves `experiment`. `assets` is the folder of the named data sets.
    pub(crate) fn new(
        experiment: &Experiment,
        assets: &Path,
        threads: usize,
        observer: &mut dyn Observer,
    ) -> Result<Self, RunnerError> {
        let (specs, caches) = (experiment.cells()?, experiment.caches()?);
        observer.step("open plugins");
        let plugins = match specs.is_empty() && caches.is_empty() {
            true => None,
            false => Some(plugins(experiment, threads)?),
        };
        let (codecs, caches) = match &plugins {
            None => (Vec::new(), Vec::new()),
            Some(plugins) => (
                codecs(experiment, &specs, plugins)?,
                cache_plan::find(experiment, caches, plugins)?,
            ),
        };

        observer.step("read model and text");
        let model = OpenModel::open(experiment, &experiment.model, observer)?;
        let config = &model.config;
        let partition = experiment.partition(config.layers)?;
        let devices = partition
            .devices
            .iter()
            .map(|device| open_device(device))
            .collect::<Result<Vec<_>, _>>()?;

        let protocol = protocol(experiment);
        let text = text(experiment, &protocol, assets, observer)?;
        let stream = model.tokenize(&protocol, &text)?;
        speed::check(experiment, config, stream.tokens.len())?;
        let windows = protocol.windows(stream.tokens.len(), stream.bos_id)?;
        let baseline = RecordCell {
            model: model.cell()?,
            data: CellData {
                source: experiment.data.source.clone(),
                split: experiment.data.split.clone(),
                sample_idx: experiment.data.sample_idx,
                max_documents: experiment.data.max_documents,
                key: experiment.data.key.clone(),
                text_sha256: text.sha256.clone(),
                tokens_sha256: stream.sha256.clone(),
                tokens: stream.tokens.len(),
                scored_bytes: Some(stream.scored_bytes(&windows)),
            },
            protocol: CellProtocol {
                preset: experiment.protocol.preset,
                window: protocol.window,
                stride: protocol.stride,
                context: protocol.context,
                max_windows: protocol.max_windows,
                first_k_tokens: protocol.first_k_tokens,
                bos: experiment
                    .protocol
                    .bos
                    .filter(|&bos| convert::bos(bos) != protocol.preset.defaults().bos),
                fingerprint: protocol.fingerprint(&text, &stream, &windows).id,
            },
            partition: CellPartition {
                cuts: partition.cuts.clone(),
                nodes: partition.nodes.clone(),
                links: partition.links.iter().map(|link| link.name.clone()).collect(),
            },
            kind: CellKind::Baseline,
            chunk_tokens: experiment.run.chunk_tokens,
            seed: experiment.run.seed,
        };
        let reference = (&model, devices[0]);
        let others = open_others(experiment, reference, (&protocol, &text, &stream), observer)?;
        let reruns = rerun::cells(experiment, &baseline, &others)?;
        let mut cells =
            cells(experiment, baseline.clone(), &specs, codecs, &partition.links, &model.config)?;
        cells.extend(reruns);
        cells.extend(cache_cells(experiment, &baseline, caches, &model.config, &cells)?);
        Ok(Self { model, others, devices, partition, stream: stream.tokens, windows, cells })
    }
}

/// The plugins of the experiment's folder.
pub(crate) fn plugins(experiment: &Experiment, threads: usize) -> Result<PluginSet, RunnerError> {
    let dir = experiment.resolve(&experiment.plugins.dir);
    let plugins = PluginSet::scan(&dir, &experiment.plugins.pin, HostServices { threads })?;
    for (path, error) in plugins.failures() {
        log::warn!("{} was left out: {error}", path.display());
    }
    Ok(plugins)
}

/// The entry of every cell's codec, with its parameters checked and completed.
pub(crate) fn codecs(
    experiment: &Experiment,
    specs: &[CellSpec],
    plugins: &PluginSet,
) -> Result<Vec<Resolved>, RunnerError> {
    specs
        .iter()
        .map(|spec| {
            let entry = plugins.codec(&spec.codec)?;
            let params = entry.resolve(&spec.params).map_err(|e| {
                experiment.param_error(spec.compressor, &e.key, e.expected, e.found, e.nearest)
            })?;
            Ok((entry, params))
        })
        .collect()
}

fn cells(
    experiment: &Experiment,
    baseline: RecordCell,
    specs: &[CellSpec],
    codecs: Vec<Resolved>,
    links: &[Link],
    config: &ModelConfig,
) -> Result<Vec<PlannedCell>, RunnerError> {
    let mut cells = vec![PlannedCell {
        label: experiment.baseline_label(),
        codec: None,
        cache: None,
        rerun: None,
        id: baseline.identity(),
        identity: baseline.clone(),
    }];
    for (spec, (entry, params)) in specs.iter().zip(codecs) {
        let active: Vec<bool> = (0..links.len())
            .map(|link| match (&spec.links, spec.cut) {
                (_, Some(cut)) => links[link].after == cut,
                (Some(named), None) => named.contains(&link),
                (None, None) => true,
            })
            .collect();
        let (artifacts, files) = artifacts(experiment, spec, &active)?;
        let ask = side_plan::ask(experiment, spec, (&entry, &params), (links, &active), config)?;
        let plugin = entry.plugin();
        let inner = entry.inner(&params)?;
        let inner = inner
            .iter()
            .map(|inner| (inner.descriptor().id.clone(), inner.plugin().sha256().to_owned()))
            .collect();
        let compressor = CellCompressor {
            codec: spec.codec.clone(),
            codec_version: entry.descriptor().version.clone(),
            params: params.clone(),
            links: (0..links.len()).filter(|&link| active[link]).collect(),
            side: ask.as_ref().map(|ask| side_plan::cell_side(ask, spec.side.as_ref())),
            plugin: plugin.file_name().to_owned(),
            plugin_sha256: plugin.sha256().to_owned(),
            inner,
            artifact_sha256: (!files.is_empty()).then(|| bytes_sha256(&files.concat())),
            static_bytes: files.iter().map(|file| file.len() as u64).sum(),
        };
        let identity =
            RecordCell { kind: CellKind::Links(Box::new(compressor)), ..baseline.clone() };
        let id = identity.identity();
        if let Some(same) = cells.iter().find(|cell| cell.id == id) {
            let error = experiment.value_error(
                &format!("compressor[{}]", spec.compressor),
                "another codec, parameter or link than every other cell",
                format!("the cell {:?} again", same.label),
                None,
            );
            return Err(error.into());
        }
        let entry = entry.for_cell(CellName { id: id.clone(), label: spec.label.clone() });
        cells.push(PlannedCell {
            label: spec.label.clone(),
            id,
            identity,
            codec: Some(CellCodec { entry, params, artifacts, active, ask: ask.map(Arc::new) }),
            cache: None,
            rerun: None,
        });
    }
    Ok(cells)
}

/// A cell's artifact on every link.
type Artifacts = Vec<Option<Arc<Vec<u8>>>>;

/// The artifacts of the links where the codec works, and every file once.
fn artifacts(
    experiment: &Experiment,
    spec: &CellSpec,
    active: &[bool],
) -> Result<(Artifacts, Vec<Vec<u8>>), RunnerError> {
    let mut known: Vec<(PathBuf, Arc<Vec<u8>>)> = Vec::new();
    let mut all = vec![None; active.len()];
    for (link, artifact) in all.iter_mut().enumerate().filter(|(link, _)| active[*link]) {
        let Some(path) = spec.artifact_of(link) else { continue };
        if let Some((_, bytes)) = known.iter().find(|(file, _)| *file == path) {
            *artifact = Some(Arc::clone(bytes));
            continue;
        }
        let bytes = Arc::new(read_artifact(&experiment.resolve(&path))?);
        *artifact = Some(Arc::clone(&bytes));
        known.push((path, bytes));
    }
    Ok((all, known.into_iter().map(|(_, bytes)| bytes.to_vec()).collect()))
}

fn read_artifact(path: &Path) -> Result<Vec<u8>, RunnerError> {
    fs::read(path).map_err(|source| RunnerError::Io {
        what: "read the artifact",
        path: path.into(),
        source,
    })
}

pub(crate) fn protocol(experiment: &Experiment) -> Protocol {
    let section = &experiment.protocol;
    let preset = convert::preset(section.preset);
    let mut protocol = Protocol::new(preset, section.window, section.stride);
    protocol.context = section.context.or(protocol.context);
    protocol.max_windows = match section.max_windows {
        None => protocol.max_windows,
        Some(MaxWindows::All) => None,
        Some(MaxWindows::Count(count)) => Some(count),
    };
    protocol.bos = section.bos.map_or(protocol.bos, convert::bos);
    protocol.first_k_tokens = experiment.data.first_k_tokens.or(protocol.first_k_tokens);
    protocol
}

/// The text that is scored.
pub(crate) fn text(
    experiment: &Experiment,
    protocol: &Protocol,
    assets: &Path,
    progress: &mut dyn Progress,
) -> Result<Text, RunnerError> {
    let section = &experiment.data;
    let source = TextSource {
        source: section.source.clone(),
        split: section.split.clone(),
        join: Some(
            section.join.map_or_else(|| protocol.preset.join_for(&section.source), convert::join),
        ),
        sample_idx: section.sample_idx,
        max_documents: section.max_documents,
        key: section.key.clone(),
    };
    load_text(experiment, &source, assets, progress)
}

/// The text of any source.
pub(crate) fn load_text(
    experiment: &Experiment,
    source: &TextSource,
    assets: &Path,
    progress: &mut dyn Progress,
) -> Result<Text, RunnerError> {
    let base = experiment.base_dir(&source.source);
    let hub = Hub::from_environment(|name| std::env::var(name).ok());
    Ok(strait_data::load_with(source, &base, assets, &hub, progress)?)
}
