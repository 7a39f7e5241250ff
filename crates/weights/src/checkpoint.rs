//! A checkpoint of either kind behind one type.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::accounting::{self, Summary};
use crate::bytes::FileBytes;
use crate::directory::{self, Directory};
use crate::error::WeightsError;
use crate::gguf::{self, Gguf, Metadata};
use crate::heap;
use crate::load_in::LoadIn;
use crate::quantized::{self, Arranged, Entry};
use crate::safetensors;
use crate::tensor::{DenseTensor, TensorInfo};
use crate::tokenizer::{self, TokenizerSource};
use crate::unread::Unread;

/// An open checkpoint: configuration, tokenizer and tensors. Its files stay mapped while it exists.
pub struct Checkpoint {
    path: PathBuf,
    config: Value,
    files: Vec<FileBytes>,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    tokenizer: TokenizerPlace,
    /// Tensors that were merged into the configuration or into other tensors.
    read_on_opening: HashSet<String>,
    unread_keys: Vec<Unread>,
    weights_only: Vec<String>,
}

enum TokenizerPlace {
    Directory,
    Metadata(Metadata),
}

impl Checkpoint {
    /// Opens a model directory (`config.json` with `model.safetensors` or `model.safetensors.index.json`), a
    /// `.gguf` file, or the first file of a GGUF model in several files.
    ///
    /// All headers are read and checked here; values are read on request. The files are mapped into memory and
    /// must not be changed while the checkpoint is open.
    ///
    /// # Errors
    /// The path is not a model, a file is missing, truncated or inconsistent, or a tensor's type is unknown.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        if path.is_dir() {
            let Directory { config, files, tensors } = directory::read(path)?;
            let arranged = quantized::arrange(path, &config, &files, tensors)?;
            return Ok(Self::new(path, config, files, arranged, TokenizerPlace::Directory));
        }
        if !path.exists() {
            return Err(WeightsError::SourceNotFound { path: path.to_path_buf(), hub: None });
        }
        let file = FileBytes::map(path)?;
        let named_gguf =
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        if !named_gguf && !file.starts_with(gguf::MAGIC) {
            return Err(WeightsError::NotAModel {
                path: path.to_path_buf(),
                expected: "a model directory or a .gguf file",
                found: match path.extension() {
                    Some(extension) if extension == "safetensors" => {
                        "a single safetensors file: give its directory, with config.json in it"
                    }
                    _ => "a file that does not start with \"GGUF\"",
                }
                .to_owned(),
            });
        }
        Self::from_gguf(path, gguf::open_all(file)?)
    }

    /// Opens a GGUF file that is in memory; `name` stands for its path in messages.
    ///
    /// # Errors
    /// As for [`Checkpoint::open`].
    pub fn from_gguf_bytes(name: &Path, bytes: Vec<u8>) -> Result<Self, WeightsError> {
        Self::from_gguf(name, vec![FileBytes::owned(name, bytes)])
    }

    /// Opens one safetensors file that is in memory, with its configuration; `name` stands for its path in
    /// messages. The checkpoint has no tokenizer.
    ///
    /// # Errors
    /// As for [`Checkpoint::open`].
    pub fn from_safetensors_bytes(
        name: &Path,
        config: Value,
        bytes: Vec<u8>,
    ) -> Result<Self, WeightsError> {
        let files = vec![FileBytes::owned(name, bytes)];
        let tensors = safetensors::read(&files)?;
        let arranged = quantized::arrange(name, &config, &files, tensors)?;
        Ok(Self::new(name, config, files, arranged, TokenizerPlace::Directory))
    }

    /// The configuration in the keys of Hugging Face's `config.json`; for GGUF it is built from the metadata.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The tokenizer: the directory's `tokenizer.json`, or the equivalent text built from GGUF metadata.
    ///
    /// # Errors
    /// There is no tokenizer, it is inconsistent, or it is of a kind that cannot be rebuilt exactly.
    pub fn tokenizer(&self) -> Result<TokenizerSource, WeightsError> {
        match &self.tokenizer {
            TokenizerPlace::Directory => tokenizer::in_folder(&self.path),
            TokenizerPlace::Metadata(metadata) => {
                let file: &[u8] = self.files.first().map_or(&[], |file| file);
                tokenizer::from_metadata(metadata, file).map(TokenizerSource::Json)
            }
        }
    }

    /// All tensors, in file order. A quantized weight is one tensor of its dense shape under its dense name; its scales,
    /// zero points and maps are counted in its `stored_bytes` and not listed.
    pub fn tensor_infos(&self) -> impl Iterator<Item = &TensorInfo> {
        self.entries.iter().map(Entry::info)
    }

    /// One tensor's description, by its Hugging Face name.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&index| self.entries[index].info())
    }

    /// One tensor's values, by its Hugging Face name. They are dequantized on all threads of the current rayon
    /// pool, in the arithmetic and dtype of the format's reference implementation, and then widened to f32.
    ///
    /// # Errors
    /// No tensor has the name (the message gives the nearest one), its stored format is not supported, or one
    /// of its scales, zero points or group indices has an invalid value.
    pub fn tensor(&self, name: &str) -> Result<DenseTensor, WeightsError> {
        let Some(&index) = self.by_name.get(name) else {
            return Err(WeightsError::UnknownTensor {
                path: self.path.clone(),
                name: name.to_owned(),
                nearest: self.nearest(name),
            });
        };
        let tensor = self.entries[index].dense(&self.files, &self.path);
        // Mapped pages count towards this process's memory: otherwise a model would take its size on disk in
        // addition.
        self.files.iter().for_each(FileBytes::release);
        heap::release();
        tensor
    }

    /// The total size: format, parameters, stored bytes and bits per weight, overall and by decoder block.
    pub fn summary(&self) -> Summary {
        Summary {
            weights_only: self.weights_only.clone(),
            unread_keys: self.unread_keys.iter().map(|unread| unread.name.clone()).collect(),
            ..Summary::from_infos(self.tensor_infos())
        }
    }

    /// Like [`Checkpoint::summary`], for the model when it is quantized to `kind` on load.
    ///
    /// # Errors
    /// A matrix of a decoder block is already quantized.
    pub fn summary_loaded_in(&self, kind: LoadIn) -> Result<Summary, WeightsError> {
        const DENSE: [&str; 3] = ["F32", "F16", "BF16"];
        let summary = self.summary();
        let formats = summary.layers.iter().flat_map(|layer| &layer.formats);
        if let Some(format) = formats.into_iter().find(|name| !DENSE.contains(&name.as_str())) {
            return Err(WeightsError::LoadIn {
                kind: kind.name(),
                expected: "a model of dense weights (F32, F16 or BF16)",
                found: format!("{format} in {}", self.path.display()),
            });
        }
        let transposed = self.config["model_type"] == "gpt2";
        let infos = accounting::loaded_in(self.tensor_infos(), kind, transposed);
        Ok(Summary::from_infos(&infos))
    }

    /// What the checkpoint quantizes besides weights, such as `input activations int8 by token` or `KV cache
    /// fp8`. None of it is simulated, so figures of such a model reflect its weights only.
    pub fn weights_only(&self) -> &[String] {
        &self.weights_only
    }

    /// Keys of the quantization configuration, or of GGUF metadata about the model, that nothing read.
    pub fn unread_keys(&self) -> &[Unread] {
        &self.unread_keys
    }

    /// The path from which it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a tensor was read when the checkpoint was opened.
    pub(crate) fn read_on_opening(&self, name: &str) -> bool {
        self.read_on_opening.contains(name)
    }

    /// The files that hold tensors.
    pub fn files(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| file.path.clone()).collect()
    }

    fn from_gguf(path: &Path, files: Vec<FileBytes>) -> Result<Self, WeightsError> {
        let Gguf { metadata, config, tensors, read, unread, weights_only } = gguf::read(&files)?;
        let entries = tensors.into_iter().map(Entry::Plain).collect();
        let arranged = Arranged { entries, unread, weights_only };
        let place = TokenizerPlace::Metadata(metadata);
        let checkpoint = Self::new(path, config, files, arranged, place);
        Ok(Self { read_on_opening: read, ..checkpoint })
    }

    fn new(
        path: &Path,
        config: Value,
        files: Vec<FileBytes>,
        arranged: Arranged,
        tokenizer: TokenizerPlace,
    ) -> Self {
        let Arranged { entries, unread, weights_only } = arranged;
        let by_name = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| (entry.info().name.clone(), index))
            .collect();
        Self {
            path: path.to_path_buf(),
            config,
            files,
            entries,
            by_name,
            tokenizer,
            read_on_opening: HashSet::new(),
            unread_keys: unread,
            weights_only,
        }
    }

    /// The existing name with the smallest edit distance from `name`, if at most a third of the letters differ.
    fn nearest(&self, name: &str) -> Option<String> {
        self.tensor_infos()
            .map(|info| (strsim::levenshtein(name, &info.name), &info.name))
            .min()
            .filter(|&(edits, _)| edits <= name.len() / 3)
            .map(|(_, nearest)| nearest.clone())
    }
}
