//! Plans the cells of `[[compressor]]`: finds codecs, checks their parameters and completes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use strait_loader::{CodecEntry, Plugin, PluginSet};
use strait_model::ModelConfig;
use strait_schema::{CellCompressor, CellKind, CellSpec, Experiment, Link, RecordCell};

use super::cell::{CellCodec, PlannedCell, Work};
use super::side;
use crate::book::folder::bytes_sha256;
use crate::error::RunnerError;

/// A codec and its parameters, checked and completed.
pub(crate) type Resolved = (CodecEntry, Map<String, Value>);

/// The codec of every cell, with its parameters checked and completed.
pub(crate) fn codecs(
    experiment: &Experiment,
    specs: &[CellSpec],
    plugins: &PluginSet,
) -> Result<Vec<Resolved>, RunnerError> {
    let mut codecs = Vec::with_capacity(specs.len());
    for spec in specs {
        let entry = plugins.codec(&spec.codec)?;
        let params = entry.resolve(&spec.params).map_err(|e| {
            experiment.param_error(spec.compressor, &e.key, e.expected, e.found, e.nearest)
        })?;
        codecs.push((entry, params));
    }
    Ok(codecs)
}

/// The planned cells.
///
/// # Errors
/// When two cells are identical, an artifact cannot be read, or side information does not fit.
pub(super) fn cells(
    experiment: &Experiment,
    baseline: &RecordCell,
    specs: &[CellSpec],
    codecs: Vec<Resolved>,
    links: &[Link],
    config: &ModelConfig,
) -> Result<Vec<PlannedCell>, RunnerError> {
    let mut cells: Vec<PlannedCell> = Vec::with_capacity(specs.len());
    for (spec, (entry, params)) in specs.iter().zip(codecs) {
        let active: Vec<bool> = links.iter().map(|link| works_at(spec, link)).collect();
        let (artifacts, files) = artifacts(experiment, spec, &active)?;
        let request = side::request(experiment, spec, (&entry, &params), (links, &active), config)?;
        let plugin = entry.plugin();
        let inner = entry.inner(&params)?;
        let of_inner = |what: fn(&Plugin) -> &str| {
            let named = inner
                .iter()
                .map(|inner| (inner.descriptor().id.clone(), what(inner.plugin()).to_owned()));
            named.collect()
        };
        let compressor = CellCompressor {
            codec: spec.codec.clone(),
            codec_version: entry.descriptor().version.clone(),
            params: params.clone(),
            links: (0..links.len()).filter(|&link| active[link]).collect(),
            side: request.as_ref().map(|request| side::cell_side(request, spec.side.as_ref())),
            plugin: plugin.file_name().to_owned(),
            plugin_sha256: plugin.sha256().to_owned(),
            inner: of_inner(Plugin::sha256),
            inner_files: of_inner(Plugin::file_name),
            artifact: spec.artifact_template(),
            artifact_sha256: (!files.is_empty()).then(|| bytes_sha256(&files.concat())),
            static_bytes: files.iter().map(|file| file.len() as u64).sum(),
        };
        let kind = CellKind::Links(Box::new(compressor));
        let identity = RecordCell { kind, ..baseline.clone() };
        let codec = CellCodec { entry, params, artifacts, active, side: request.map(Arc::new) };
        let cell = PlannedCell::new(spec.label.clone(), identity, Work::Links(codec));
        if let Some(same) = cells.iter().find(|known| known.id == cell.id) {
            let key = format!("compressor[{}]", spec.compressor);
            let expected = "another codec, parameter or link than every other cell";
            let found = format!("the cell {:?} again", same.label);
            return Err(experiment.value_error(&key, expected, found, None).into());
        }
        cells.push(cell);
    }
    Ok(cells)
}

/// Whether a cell's codec works at a link.
fn works_at(spec: &CellSpec, link: &Link) -> bool {
    match (&spec.links, spec.cut) {
        (_, Some(cut)) => link.after == cut,
        (Some(named), None) => named.contains(&link.index),
        (None, None) => true,
    }
}

/// A cell's artifact on every link.
type Artifacts = Vec<Option<Arc<Vec<u8>>>>;

/// The artifacts of the links where the codec works, with every file read once.
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
