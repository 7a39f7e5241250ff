//! From an experiment to everything that must be known before the first window. Nothing here depends on
//! how the run proceeds, and every error in the input is found here.

pub(crate) mod caches;
mod cell;
pub(crate) mod links;
mod models;
mod reruns;
pub(crate) mod side;
mod speed;

use strait_data::{Protocol, Text, TokenStream, Window};
use strait_model::{Device, open_device};
use strait_schema::{
    Bos, CellData, CellKind, CellModel, CellPartition, CellProtocol, Experiment, Partition,
    RecordCell,
};

pub(crate) use self::cell::{CellCodec, PlannedCell, Work};
pub(crate) use self::models::{Compared, OpenModel};
use crate::error::RunnerError;
use crate::progress::Observer;
use crate::workbench::Workbench;

/// A resolved experiment.
pub(crate) struct Plan {
    pub(crate) model: OpenModel,
    /// The models that are compared with the reference.
    pub(crate) others: Vec<Compared>,
    pub(crate) devices: Vec<Device>,
    pub(crate) partition: Partition,
    pub(crate) stream: Vec<u32>,
    pub(crate) windows: Vec<Window>,
    /// The cells, the baseline first.
    pub(crate) cells: Vec<PlannedCell>,
}

impl Plan {
    /// Resolves the experiment of a workbench.
    pub(crate) fn new(
        bench: &Workbench<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Self, RunnerError> {
        let experiment = bench.experiment;
        let (specs, caches) = (experiment.cells()?, experiment.caches()?);
        observer.step("open plugins");
        // An experiment without plugins needs no folder of them.
        let (codecs, caches) = if specs.is_empty() && caches.is_empty() {
            (Vec::new(), Vec::new())
        } else {
            let plugins = bench.plugins()?;
            let codecs = links::codecs(experiment, &specs, &plugins)?;
            (codecs, caches::find(experiment, caches, &plugins)?)
        };

        observer.step("read model and text");
        let model = bench.reference(observer)?;
        let (partition, devices) = bench.devices(&model.config)?;
        let protocol = bench.protocol();
        let (text, stream) = bench.stream(&model, &protocol, observer)?;
        speed::check(experiment, &model.config, stream.tokens.len())?;
        let windows = protocol.windows(stream.tokens.len(), stream.bos_id)?;
        let read = Read { protocol: &protocol, text: &text, stream: &stream };
        let baseline = baseline(experiment, model.cell()?, &read, &windows, &partition);
        let others = open_others(bench, (&model, devices[0]), &read, observer)?;
        let label = experiment.baseline_label();
        let mut cells = vec![PlannedCell::new(label, baseline.clone(), Work::Baseline)];
        let (links, config) = (&partition.links, &model.config);
        cells.extend(links::cells(experiment, &baseline, &specs, codecs, links, config)?);
        cells.extend(reruns::cells(experiment, &baseline, &others)?);
        cells.extend(caches::cells(experiment, &baseline, caches, config, &cells)?);
        Ok(Self { model, others, devices, partition, stream: stream.tokens, windows, cells })
    }
}

/// The text as tokenized for the reference model.
struct Read<'a> {
    protocol: &'a Protocol,
    text: &'a Text,
    stream: &'a TokenStream,
}

/// The baseline's description in its record. Every other cell differs from it in its kind or its model.
fn baseline(
    experiment: &Experiment,
    model: CellModel,
    read: &Read<'_>,
    windows: &[Window],
    partition: &Partition,
) -> RecordCell {
    let Read { protocol, text, stream } = *read;
    RecordCell {
        model,
        data: CellData {
            source: experiment.data.source.clone(),
            split: experiment.data.split.clone(),
            sample_idx: experiment.data.sample_idx,
            max_documents: experiment.data.max_documents,
            key: experiment.data.key.clone(),
            join: text.join,
            text_sha256: text.sha256.clone(),
            tokens_sha256: stream.sha256.clone(),
            tokens: stream.tokens.len(),
            scored_bytes: Some(stream.scored_bytes(windows)),
        },
        protocol: CellProtocol {
            preset: experiment.protocol.preset,
            window: protocol.window,
            stride: protocol.stride,
            context: protocol.context,
            max_windows: protocol.max_windows,
            first_k_tokens: protocol.first_k_tokens,
            bos: own_bos(experiment, protocol),
            fingerprint: protocol.fingerprint(text, stream, windows).id,
        },
        partition: CellPartition {
            cuts: partition.cuts.clone(),
            nodes: partition.nodes.clone(),
            links: partition.links.iter().map(|link| link.name.clone()).collect(),
        },
        kind: CellKind::Baseline,
        chunk_tokens: experiment.run.chunk_tokens,
        seed: experiment.run.seed,
    }
}

/// The position of the token that begins a sequence, if the experiment overrides the preset.
fn own_bos(experiment: &Experiment, protocol: &Protocol) -> Option<Bos> {
    let usual = Protocol::published(protocol.preset).bos;
    experiment.protocol.bos.filter(|&bos| bos != usual)
}

/// Opens the models that are compared with the reference, which runs on `device`.
///
/// # Errors
/// Also if a model does not share vocabulary, tokens or device with the reference: divergences are sums
/// over one vocabulary, from logits on one device.
fn open_others(
    bench: &Workbench<'_>,
    (reference, device): (&OpenModel, Device),
    read: &Read<'_>,
    observer: &mut dyn Observer,
) -> Result<Vec<Compared>, RunnerError> {
    let experiment = bench.experiment;
    let first = experiment.model.name();
    let mut others = Vec::new();
    for (index, section) in experiment.model.others().iter().enumerate() {
        let error = |key: &str, expected: String, found: String| -> RunnerError {
            let key = experiment.model_key(index + 1, key);
            experiment.value_error(&key, expected, found, None).into()
        };
        let model = bench.model(section, observer)?;
        let (vocab, wanted) = (model.config.shape.vocab, reference.config.shape.vocab);
        if vocab != wanted {
            let expected =
                format!("a model with the {wanted} entries of the vocabulary of {first:?}");
            return Err(error("source", expected, format!("one with {vocab}")));
        }
        let own = model.tokenize(read.protocol, read.text)?;
        if own.sha256 != read.stream.sha256 {
            let expected =
                format!("a model with the tokenizer of {first:?}, to compare token by token");
            let found = format!(
                "one that makes other tokens of this text ({} of it, the reference {}); run it in a file of its own and compare bits per byte",
                own.tokens.len(),
                read.stream.tokens.len()
            );
            return Err(error("source", expected, found));
        }
        let own = open_device(&section.device)?;
        if own != device {
            let expected = format!("{device}, the device of {first:?}");
            return Err(error("device", expected, own.to_string()));
        }
        let cell = model.cell()?;
        others.push(Compared { model, name: section.name(), cell });
    }
    Ok(others)
}
