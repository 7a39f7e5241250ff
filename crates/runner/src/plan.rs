//! From an experiment to everything that must be known before the first window: nothing of it
//! depends on how the run goes, and everything that can be wrong with the input is found here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use strait_data::{Protocol, Text, TextSource, TokenStream, Tokenizer, Window};
use strait_hub::Hub;
use strait_loader::{CodecEntry, HostServices, PluginSet};
use strait_model::{Device, ModelConfig, open_device};
use strait_schema::{
    BASELINE_LABEL, CellCompressor, CellData, CellModel, CellPartition, CellProtocol, CellSpec,
    Experiment, MaxWindows, Partition, RecordCell,
};
use strait_weights::{Checkpoint, TokenizerSource, resolve_source_with};

use crate::cell::{CellCodec, PlannedCell};
use crate::convert;
use crate::error::RunnerError;
use crate::folder::{bytes_sha256, file_sha256};
use crate::progress::{Observer, Progress};

/// A codec and its parameters, checked and completed.
type Resolved = (CodecEntry, Map<String, Value>);

/// A resolved experiment.
pub(crate) struct Plan {
    pub(crate) checkpoint: Checkpoint,
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
        let specs = experiment.cells()?;
        observer.step("open plugins");
        let codecs = codecs(experiment, &specs, threads)?;

        observer.step("read model and text");
        let source = &experiment.model.source;
        let path = resolve_source_with(source, &experiment.base_dir(source), observer)?;
        let checkpoint = Checkpoint::open(&path)?;
        let config = ModelConfig::from_json(checkpoint.config())?;
        let partition = experiment.partition(config.layers)?;
        let devices = partition
            .devices
            .iter()
            .map(|device| open_device(device))
            .collect::<Result<Vec<_>, _>>()?;

        let protocol = protocol(experiment);
        let (text, stream) = tokens(experiment, &checkpoint, &protocol, assets, observer)?;
        stream.check_vocabulary(config.shape.vocab)?;
        let windows = protocol.windows(stream.tokens.len(), stream.bos_id)?;
        let baseline = RecordCell {
            model: CellModel {
                source: source.clone(),
                dtype: experiment.model.dtype,
                architecture: config.model_type.to_owned(),
                parameters: config.parameters(),
                layers: config.layers,
                hidden: config.shape.hidden,
                vocab: config.shape.vocab,
                files: model_files(&path, &checkpoint)?,
            },
            data: CellData {
                source: experiment.data.source.clone(),
                split: experiment.data.split.clone(),
                sample_idx: experiment.data.sample_idx,
                max_documents: experiment.data.max_documents,
                text_sha256: text.sha256.clone(),
                tokens_sha256: stream.sha256.clone(),
                tokens: stream.tokens.len(),
                scored_bytes: Some(stream.scored_bytes(&windows)),
            },
            protocol: CellProtocol {
                preset: experiment.protocol.preset,
                window: protocol.window,
                stride: protocol.stride,
                max_windows: protocol.max_windows,
                first_k_tokens: protocol.first_k_tokens,
                fingerprint: protocol.fingerprint(&text, &stream, &windows).id,
            },
            partition: CellPartition {
                cuts: partition.cuts.clone(),
                nodes: partition.nodes.clone(),
                links: partition.links.iter().map(|link| link.name.clone()).collect(),
            },
            compressor: None,
            chunk_tokens: experiment.run.chunk_tokens,
            seed: experiment.run.seed,
        };
        let cells = cells(experiment, baseline, &specs, codecs, partition.links.len())?;
        Ok(Self { checkpoint, devices, partition, stream: stream.tokens, windows, cells })
    }
}

/// The entry of every cell's codec, with its parameters checked and completed.
fn codecs(
    experiment: &Experiment,
    specs: &[CellSpec],
    threads: usize,
) -> Result<Vec<Resolved>, RunnerError> {
    if specs.is_empty() {
        return Ok(Vec::new());
    }
    let dir = experiment.resolve(&experiment.plugins.dir);
    let plugins = PluginSet::scan(&dir, &experiment.plugins.pin, HostServices { threads })?;
    for (path, error) in plugins.failures() {
        log::warn!("{} was left out: {error}", path.display());
    }
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
    links: usize,
) -> Result<Vec<PlannedCell>, RunnerError> {
    let mut cells = vec![PlannedCell {
        label: BASELINE_LABEL.to_owned(),
        codec: None,
        id: baseline.identity(),
        identity: baseline.clone(),
    }];
    for (spec, (entry, params)) in specs.iter().zip(codecs) {
        let artifact = spec.artifact.as_ref().map(|path| read_artifact(&experiment.resolve(path)));
        let artifact = artifact.transpose()?;
        let mut active = vec![spec.links.is_none(); links];
        spec.links.iter().flatten().for_each(|&link| active[link] = true);
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
            links: (0..links).filter(|&link| active[link]).collect(),
            plugin: plugin.file_name().to_owned(),
            plugin_sha256: plugin.sha256().to_owned(),
            inner,
            artifact_sha256: artifact.as_deref().map(bytes_sha256),
            static_bytes: artifact.as_ref().map_or(0, |artifact| artifact.len() as u64),
        };
        let identity = RecordCell { compressor: Some(compressor), ..baseline.clone() };
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
        cells.push(PlannedCell {
            label: spec.label.clone(),
            id,
            identity,
            codec: Some(CellCodec { entry, params, artifact, active }),
        });
    }
    Ok(cells)
}

fn read_artifact(path: &Path) -> Result<Vec<u8>, RunnerError> {
    fs::read(path).map_err(|source| RunnerError::Io {
        what: "read the artifact",
        path: path.into(),
        source,
    })
}

fn protocol(experiment: &Experiment) -> Protocol {
    let section = &experiment.protocol;
    let preset = convert::preset(section.preset);
    let mut protocol = Protocol::new(preset, section.window, section.stride);
    protocol.max_windows = match section.max_windows {
        None => protocol.max_windows,
        Some(MaxWindows::All) => None,
        Some(MaxWindows::Count(count)) => Some(count),
    };
    protocol.first_k_tokens = experiment.data.first_k_tokens.or(protocol.first_k_tokens);
    protocol
}

fn tokens(
    experiment: &Experiment,
    checkpoint: &Checkpoint,
    protocol: &Protocol,
    assets: &Path,
    progress: &mut dyn Progress,
) -> Result<(Text, TokenStream), RunnerError> {
    let tokenizer = match checkpoint.tokenizer()? {
        TokenizerSource::File(path) => Tokenizer::from_file(&path)?,
        TokenizerSource::Json(json) => Tokenizer::from_json(&json, &experiment.model.source)?,
    };
    let section = &experiment.data;
    let source = TextSource {
        source: section.source.clone(),
        split: section.split.clone(),
        join: Some(
            section.join.map_or_else(|| protocol.preset.join_for(&section.source), convert::join),
        ),
        sample_idx: section.sample_idx,
        max_documents: section.max_documents,
    };
    let base = experiment.base_dir(&section.source);
    let hub = Hub::from_environment(|name| std::env::var(name).ok());
    let text = strait_data::load_with(&source, &base, assets, &hub, progress)?;
    let stream = protocol.tokenize(&text.text, &tokenizer)?;
    Ok((text, stream))
}

/// SHA-256 of every file that the numbers depend on, by file name.
fn model_files(
    path: &Path,
    checkpoint: &Checkpoint,
) -> Result<BTreeMap<String, String>, RunnerError> {
    let mut files: Vec<PathBuf> = checkpoint.files();
    if path.is_dir() {
        files.extend(["config.json", "tokenizer.json"].map(|name| path.join(name)));
    }
    files
        .iter()
        .map(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, file_sha256(file)?))
        })
        .collect()
}
