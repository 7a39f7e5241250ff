//! A builder for small GGUF files, right or wrong on purpose.

use std::path::Path;

use strait_weights::{Checkpoint, WeightsError};

pub(crate) const F32: u32 = 0;
pub(crate) const Q8_0: u32 = 8;

/// A file in the making. Fields may be changed to make it lie.
#[derive(Clone)]
pub(crate) struct GgufFile {
    pub(crate) version: u32,
    pub(crate) metadata: Vec<(String, Vec<u8>)>,
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) alignment: usize,
}

#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// Row-major, as in [`strait_weights::TensorInfo`].
    pub(crate) shape: Vec<u64>,
    pub(crate) kind: u32,
    pub(crate) data: Vec<u8>,
    /// Instead of the right offset.
    pub(crate) offset: Option<u64>,
}

impl GgufFile {
    pub(crate) fn new(architecture: &str) -> Self {
        let file = Self { version: 3, metadata: vec![], tensors: vec![], alignment: 32 };
        file.text("general.architecture", architecture)
    }

    /// One layer, hidden 8, 2 heads of 4, 1 key/value head, vocabulary 6, tied head, values counting up.
    pub(crate) fn tiny_llama() -> Self {
        let mut file = Self::new("llama")
            .u32("llama.block_count", 1)
            .u32("llama.embedding_length", 8)
            .u32("llama.feed_forward_length", 12)
            .u32("llama.attention.head_count", 2)
            .u32("llama.attention.head_count_kv", 1)
            .u32("llama.context_length", 64)
            .u32("llama.rope.dimension_count", 4)
            .f32("llama.rope.freq_base", 100_000.0)
            .f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
        for (name, shape) in [
            ("token_embd.weight", &[6, 8][..]),
            ("output_norm.weight", &[8]),
            ("blk.0.attn_norm.weight", &[8]),
            ("blk.0.attn_q.weight", &[8, 8]),
            ("blk.0.attn_k.weight", &[4, 8]),
            ("blk.0.attn_v.weight", &[4, 8]),
            ("blk.0.attn_output.weight", &[8, 8]),
            ("blk.0.ffn_norm.weight", &[8]),
            ("blk.0.ffn_gate.weight", &[12, 8]),
            ("blk.0.ffn_up.weight", &[12, 8]),
            ("blk.0.ffn_down.weight", &[8, 12]),
        ] {
            file = file.counting(name, shape);
        }
        file
    }

    pub(crate) fn entry(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        let typed = [&kind.to_le_bytes(), value].concat();
        match self.metadata.iter_mut().find(|(name, _)| name == key) {
            Some((_, bytes)) => *bytes = typed,
            None => self.metadata.push((key.to_owned(), typed)),
        }
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.metadata.retain(|(name, _)| name != key);
        self
    }

    pub(crate) fn u32(self, key: &str, value: u32) -> Self {
        self.entry(key, 4, &value.to_le_bytes())
    }

    pub(crate) fn f32(self, key: &str, value: f32) -> Self {
        self.entry(key, 6, &value.to_le_bytes())
    }

    pub(crate) fn flag(self, key: &str, value: bool) -> Self {
        self.entry(key, 7, &[value.into()])
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        self.entry(key, 8, &counted(value))
    }

    pub(crate) fn array(self, key: &str, kind: u32, items: &[Vec<u8>]) -> Self {
        let mut value = kind.to_le_bytes().to_vec();
        value.extend((items.len() as u64).to_le_bytes());
        value.extend(items.concat());
        self.entry(key, 9, &value)
    }

    pub(crate) fn texts<T: AsRef<str>>(self, key: &str, items: &[T]) -> Self {
        self.array(key, 8, &items.iter().map(|item| counted(item.as_ref())).collect::<Vec<_>>())
    }

    pub(crate) fn i32s(self, key: &str, items: &[i32]) -> Self {
        self.array(
            key,
            5,
            &items.iter().map(|item| item.to_le_bytes().to_vec()).collect::<Vec<_>>(),
        )
    }

    /// An f32 tensor of 0, 1, 2, …
    pub(crate) fn counting(self, name: &str, shape: &[u64]) -> Self {
        let values = shape.iter().product::<u64>() as u32;
        let data = (0..values).flat_map(|value| (value as f32).to_le_bytes()).collect();
        self.tensor(name, shape, F32, data)
    }

    pub(crate) fn tensor(mut self, name: &str, shape: &[u64], kind: u32, data: Vec<u8>) -> Self {
        let (name, shape) = (name.to_owned(), shape.to_vec());
        self.tensors.push(Tensor { name, shape, kind, data, offset: None });
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            bytes.extend(counted(key));
            bytes.extend(value);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            bytes.extend(counted(&tensor.name));
            bytes.extend((tensor.shape.len() as u32).to_le_bytes());
            bytes.extend(tensor.shape.iter().rev().flat_map(|size| size.to_le_bytes()));
            bytes.extend(tensor.kind.to_le_bytes());
            data.resize(data.len().next_multiple_of(self.alignment), 0);
            bytes.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.data);
        }
        bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
        bytes.extend(data);
        bytes
    }

    pub(crate) fn open(&self) -> Result<Checkpoint, WeightsError> {
        open(self.bytes())
    }
}

/// Opens bytes as the file `x.gguf`.
pub(crate) fn open(bytes: Vec<u8>) -> Result<Checkpoint, WeightsError> {
    Checkpoint::from_gguf_bytes(Path::new("x.gguf"), bytes)
}

fn counted(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}
