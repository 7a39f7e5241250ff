//! The experiment that measures a cell again.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::cell::{CellCache, CellCacheCodec, CellCompressor, CellModel, CellPartition};
use super::kind::CellKind;
use super::side::CellSide;
use crate::experiment::is_label;
use crate::{
    CacheSection, CompressorSection, DataSection, Experiment, KvSection, MaxWindows, ModelSection,
    Models, OutputSection, OverrideSection, PartitionSection, PluginsSection, PressSection,
    ProtocolSection, Record, RunSection, SchemaError, SideSection, TrackSection, WeightsSection,
};

impl Record {
    /// The experiment of this cell alone, with everything that decides its numbers. A model that is compared needs the
    /// record of its `reference`; without it the model stands alone.
    #[must_use]
    pub fn experiment(&self, reference: Option<&Self>) -> Experiment {
        let cell = &self.cell;
        let reference = reference.filter(|_| cell.reference().is_some());
        let compared = reference.is_some();
        let mut models = reference.into_iter().chain([self]).map(|record| record.model(compared));
        let first = models.next().unwrap_or_else(|| self.model(false));
        let (data, protocol) = (&cell.data, &cell.protocol);
        Experiment {
            name: self.experiment.clone(),
            model: Models::new(first, models.collect()),
            data: DataSection {
                source: data.source.clone(),
                split: data.split.clone(),
                join: data.join,
                sample_idx: data.sample_idx,
                max_documents: data.max_documents,
                key: data.key.clone(),
                first_k_tokens: protocol.first_k_tokens,
            },
            protocol: ProtocolSection {
                preset: protocol.preset,
                window: Some(protocol.window),
                stride: Some(protocol.stride),
                context: protocol.context,
                max_windows: Some(protocol.max_windows.map_or(MaxWindows::All, MaxWindows::Count)),
                bos: protocol.bos,
            },
            partition: partition(&cell.partition),
            plugins: PluginsSection { pin: pins(&cell.kind), ..PluginsSection::default() },
            run: RunSection {
                chunk_tokens: cell.chunk_tokens,
                seed: cell.seed,
                noise_floor: matches!(cell.kind, CellKind::Noise { .. }),
                ..RunSection::default()
            },
            output: OutputSection::default(),
            track: TrackSection::default(),
            compressor: cell.compressor().map(|codec| self.compressor(codec)).into_iter().collect(),
            fit: None,
            kv: KvSection { interval: cell.cache().and_then(|cache| cache.interval) },
            cache: cell.cache().map(|cache| self.cache(cache)).into_iter().collect(),
            speed: None,
            lines: crate::experiment::Lines::default(),
        }
    }

    /// That experiment as a file for `strait run`. Comments at its head hold what a file cannot ask for: the hashes of
    /// what it must find again.
    ///
    /// # Errors
    /// If a value has no form in TOML.
    pub fn experiment_file(&self, reference: Option<&Self>) -> Result<String, SchemaError> {
        let toml = self.experiment(reference).to_toml()?;
        let mut facts = vec![format!(
            "{} of {}, record {}",
            self.label,
            self.experiment,
            self.id.get(..12).unwrap_or(&self.id)
        )];
        if let (Some(id), None) = (self.cell.reference(), reference) {
            let id = id.get(..12).unwrap_or(id);
            facts.push(format!("compared with the model of record {id}, which is not here"));
        }
        let reference = reference.filter(|_| self.cell.reference().is_some());
        for record in reference.into_iter().chain([self]) {
            let files = record.cell.model.files.iter();
            facts.extend(files.map(|(file, sha256)| format!("{file} sha256:{sha256}")));
        }
        facts.push(format!("joined text sha256:{}", self.cell.data.text_sha256));
        facts.push(format!("protocol fingerprint {}", self.cell.protocol.fingerprint));
        if let Some(codec) = self.cell.compressor() {
            facts.push(format!("{} is of version {}", codec.codec, codec.codec_version));
            if pins(&self.cell.kind).is_empty() && !codec.plugin_sha256.is_empty() {
                facts.push(format!("{} sha256:{}", codec.plugin, codec.plugin_sha256));
                let inner = codec.inner.iter();
                facts.extend(
                    inner.map(|(id, sha256)| format!("plugin of {id} inside sha256:{sha256}")),
                );
            }
            let artifact = codec.artifact_sha256.iter();
            facts.extend(artifact.map(|sha256| format!("artifact sha256:{sha256}")));
        }
        if self.cell.cache().is_some_and(|cache| cache.reposition && !cache.gapless) {
            facts.push(
                "made by a release whose `reposition` left a gap before later tokens: no file asks for that"
                    .to_owned(),
            );
        }
        let comments =
            facts.iter().map(|fact| format!("# {}\n", fact.replace(char::is_control, " ")));
        Ok(comments.collect::<String>() + &toml)
    }

    fn model(&self, compared: bool) -> ModelSection {
        let model: &CellModel = &self.cell.model;
        ModelSection {
            label: self.plain_label().filter(|_| compared),
            source: model.source.clone(),
            dtype: model.dtype,
            device: device(&self.environment.device),
            tokenizer: model.tokenizer.clone(),
            ignore: model.ignore.clone(),
            load_in: model.load_in,
            weights: WeightsSection { streaming: self.environment.streaming },
        }
    }

    /// The label where a file can ask for it: braces would stand for parameters, and what sweeps have made may be longer than
    /// what may be written.
    fn plain_label(&self) -> Option<String> {
        Some(self.label.clone()).filter(|label| is_label(label) && !label.contains('{'))
    }

    fn compressor(&self, codec: &CellCompressor) -> CompressorSection {
        let all = codec.links.len() == self.cell.partition.links.len();
        CompressorSection {
            label: self.plain_label(),
            codec: codec.codec.clone(),
            params: given(&codec.params),
            sweep: BTreeMap::new(),
            links: (!all).then(|| codec.links.clone()),
            side: codec.side.as_ref().map(side),
            artifact: codec.artifact.clone(),
        }
    }

    fn cache(&self, cache: &CellCache) -> CacheSection {
        let then = cache.then.iter().map(|press| PressSection {
            press: press.press.clone(),
            params: given(&press.params),
            ratio: press.ratio,
            size: press.size,
        });
        let overrides = cache.overrides.iter().map(|own| OverrideSection {
            layers: own.layers.clone(),
            key: own.key.as_ref().map(codec_table),
            value: own.value.as_ref().map(codec_table),
        });
        CacheSection {
            label: self.plain_label(),
            press: cache.press.clone(),
            params: given(&cache.params),
            ratio: cache.ratio,
            size: cache.size,
            then: then.collect(),
            reposition: cache.reposition,
            cut_later_keys: cache.cut_later_keys,
            key: cache.key.as_ref().map(codec_table),
            value: cache.value.as_ref().map(codec_table),
            overrides: overrides.collect(),
            sinks: cache.sinks,
            recent: cache.recent,
            before_rope: cache.before_rope,
            layers: cache.layers.clone(),
            sweep: BTreeMap::new(),
        }
    }
}

/// The device of all stages, without the name of the card; `auto` where stages were on different ones, for a record does
/// not say which were where.
fn device(of_record: &str) -> String {
    let mut devices =
        of_record.split(", ").map(|device| device.split(' ').next().unwrap_or(device));
    let first = devices.next().unwrap_or_default();
    let one = !first.is_empty() && devices.all(|device| device == first);
    if one { first.to_owned() } else { "auto".to_owned() }
}

fn partition(partition: &CellPartition) -> PartitionSection {
    if partition.cuts.is_empty() {
        return PartitionSection::default();
    }
    let named = |(stage, node): (usize, &String)| *node == format!("node{stage}");
    let usual = partition.nodes.iter().enumerate().all(named);
    PartitionSection {
        plan: None,
        cuts: Some(partition.cuts.clone()),
        nodes: (!usual).then(|| partition.nodes.clone()),
        devices: None,
    }
}

/// The plugins of a cell, each with its hash; none where not all files are known, for files without a pin are left out.
fn pins(kind: &CellKind) -> BTreeMap<String, String> {
    let mut pins = BTreeMap::new();
    let mut pin =
        |file: &str, sha256: &str| pins.insert(file.to_owned(), format!("sha256:{sha256}"));
    match kind {
        CellKind::Links(codec) if !codec.plugin_sha256.is_empty() => {
            for (id, sha256) in &codec.inner {
                let Some(file) = codec.inner_files.get(id) else { return BTreeMap::new() };
                pin(file, sha256);
            }
            pin(&codec.plugin, &codec.plugin_sha256);
        }
        CellKind::Cache(cache) => cache.plugins.iter().for_each(|(file, sha256)| {
            pin(file, sha256);
        }),
        _ => {}
    }
    pins
}

fn side(side: &CellSide) -> SideSection {
    SideSection {
        metric: side.metric,
        layers: side.layers.clone(),
        aggregate: side.aggregate,
        weights: side.weights.clone(),
    }
}

fn codec_table(codec: &CellCacheCodec) -> Map<String, Value> {
    let id = ("codec".to_owned(), Value::from(codec.codec.as_str()));
    std::iter::once(id).chain(given(&codec.params)).collect()
}

/// Parameters that have a value. One that is null is what it is where nobody names it, and TOML has no null.
fn given(params: &Map<String, Value>) -> Map<String, Value> {
    let given = params.iter().filter(|(_, value)| !value.is_null());
    given.map(|(key, value)| (key.clone(), value.clone())).collect()
}
