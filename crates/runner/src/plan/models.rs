//! A model of the experiment: opened, described, and loaded when it is needed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use strait_data::{Protocol, Text, TokenStream, Tokenizer};
use strait_model::{Device, LoadedIn, Model, ModelConfig, ModelError, SharedSource};
use strait_schema::{CellModel, CellStorage, Experiment, LoadIn, ModelSection};
use strait_weights::{
    Checkpoint, Summary, TokenizerSource, resolve_source_with, resolve_tokenizer,
};

use crate::book::folder::file_sha256;
use crate::error::RunnerError;
use crate::progress::Progress;

/// Files in which older tools describe how weights are quantized.
const MAY_BE_BESIDE: [&str; 3] =
    ["hf_quant_config.json", "quantize_config.json", "quant_config.json"];

/// An open checkpoint and how it is to be loaded.
pub(crate) struct OpenModel {
    pub(crate) checkpoint: Arc<Checkpoint>,
    pub(crate) config: ModelConfig,
    section: ModelSection,
    path: PathBuf,
    /// The tokenizer that the experiment names; `None` for the checkpoint's own.
    tokenizer: Option<TokenizerSource>,
}

impl OpenModel {
    /// Opens one of the experiment's models.
    pub(crate) fn open(
        experiment: &Experiment,
        section: &ModelSection,
        progress: &mut dyn Progress,
    ) -> Result<Self, RunnerError> {
        let base = experiment.base_dir(&section.source);
        let path = resolve_source_with(&section.source, &base, progress)?;
        let checkpoint = Checkpoint::open(&path)?;
        checkpoint.check_layers()?;
        let config = ModelConfig::from_json(checkpoint.config())?;
        config.check(&checkpoint, &section.ignore)?;
        let tokenizer = match &section.tokenizer {
            Some(source) => {
                Some(resolve_tokenizer(source, &experiment.base_dir(source), progress)?)
            }
            None => None,
        };
        let (checkpoint, section) = (Arc::new(checkpoint), section.clone());
        Ok(Self { checkpoint, config, section, path, tokenizer })
    }

    /// The model's description in a record.
    pub(crate) fn cell(&self) -> Result<CellModel, RunnerError> {
        let Self { checkpoint, config, section, path, .. } = self;
        let summary = match section.load_in {
            Some(kind) => checkpoint.summary_loaded_in(kind)?,
            None => checkpoint.summary(),
        };
        Ok(CellModel {
            source: section.source.clone(),
            dtype: section.dtype,
            load_in: section.load_in,
            tokenizer: section.tokenizer.clone(),
            ignore: section.ignore.clone(),
            weights_only: weights_only(checkpoint, section),
            architecture: config.model_type.to_owned(),
            parameters: config.parameters(),
            layers: config.layers,
            hidden: config.shape.hidden,
            vocab: config.shape.vocab,
            files: model_files(path, checkpoint, &self.tokenizer_source()?)?,
            storage: Some(storage(summary)),
        })
    }

    /// The tokenizer that the experiment names, or the checkpoint's.
    pub(crate) fn tokenizer(&self) -> Result<Tokenizer, RunnerError> {
        Ok(match self.tokenizer_source()? {
            TokenizerSource::File(path) => Tokenizer::from_file(&path)?,
            TokenizerSource::Json(json) => Tokenizer::from_json(&json, &self.section.source)?,
        })
    }

    fn tokenizer_source(&self) -> Result<TokenizerSource, RunnerError> {
        match &self.tokenizer {
            Some(source) => Ok(source.clone()),
            None => Ok(self.checkpoint.tokenizer()?),
        }
    }

    /// The tokens that end a text: those of `generation_config.json`, else those of the configuration.
    pub(crate) fn end_tokens(&self) -> Vec<u32> {
        let of = |config: &Value| -> Option<Vec<u32>> {
            let tokens = match &config["eos_token_id"] {
                Value::Null => return None,
                Value::Array(tokens) => tokens.clone(),
                token => vec![token.clone()],
            };
            Some(tokens.iter().filter_map(|token| u32::try_from(token.as_u64()?).ok()).collect())
        };
        let beside = fs::read(self.path.join("generation_config.json")).ok();
        let beside: Option<Value> = beside.and_then(|json| serde_json::from_slice(&json).ok());
        let beside = beside.and_then(|config| of(&config));
        beside.or_else(|| of(self.checkpoint.config())).unwrap_or_default()
    }

    /// The text in the model's tokens.
    pub(crate) fn tokenize(
        &self,
        protocol: &Protocol,
        text: &Text,
    ) -> Result<TokenStream, RunnerError> {
        let stream = protocol.tokenize(&text.text, &self.tokenizer()?)?;
        stream.check_vocabulary(self.config.shape.vocab)?;
        Ok(stream)
    }

    /// The tensors, quantized if the experiment requests it.
    pub(crate) fn source(&self) -> SharedSource {
        match self.section.load_in {
            Some(kind) => {
                let checkpoint = Arc::clone(&self.checkpoint);
                let dtype = self.section.dtype;
                Arc::new(LoadedIn::new(checkpoint, kind, dtype))
            }
            None => Arc::clone(&self.checkpoint) as SharedSource,
        }
    }

    /// Loads the model onto its devices.
    pub(crate) fn load(&self, cuts: &[usize], devices: &[Device]) -> Result<Model, ModelError> {
        let (source, dtype) = (self.source(), self.section.dtype);
        if self.section.weights.streaming {
            Model::stream(source, cuts, devices, dtype)
        } else {
            Model::load(&*source, cuts, devices, dtype)
        }
    }
}

/// A model that is compared with the reference.
pub(crate) struct Compared {
    pub(crate) model: OpenModel,
    pub(crate) name: String,
    pub(crate) cell: CellModel,
}

fn storage(summary: Summary) -> CellStorage {
    CellStorage {
        format: summary.format,
        decoder_values: summary.decoder_values,
        decoder_bytes: summary.decoder_bytes,
        head_values: summary.head_values,
        head_bytes: summary.head_bytes,
        bytes: summary.bytes,
    }
}

/// What the checkpoint quantizes besides weights, or would if it is loaded as `load_in` says.
fn weights_only(checkpoint: &Checkpoint, section: &ModelSection) -> Vec<String> {
    let mut found = checkpoint.weights_only().to_vec();
    if section.load_in == Some(LoadIn::Int8) {
        found.push("input activations int8".to_owned());
    }
    found
}

/// SHA-256 of every file that the numbers depend on, by file name.
fn model_files(
    path: &Path,
    checkpoint: &Checkpoint,
    tokenizer: &TokenizerSource,
) -> Result<BTreeMap<String, String>, RunnerError> {
    let mut files: Vec<PathBuf> = checkpoint.files();
    if let TokenizerSource::File(path) = tokenizer {
        files.push(path.clone());
    }
    if path.is_dir() {
        files.push(path.join("config.json"));
        files.extend(MAY_BE_BESIDE.map(|name| path.join(name)).into_iter().filter(|f| f.is_file()));
    }
    files
        .iter()
        .map(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, file_sha256(file)?))
        })
        .collect()
}
