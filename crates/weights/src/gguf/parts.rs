//! Splits a stored tensor into Hugging Face's tensors: usually it is one, but llama.cpp stacks experts and may
//! fuse projections.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::Value;

use super::architecture::Architecture;
use super::header::RawTensor;
use super::metadata::Metadata;
use super::names::Place;
use crate::WeightsError;
use crate::bytes::FileBytes;
use crate::dequantize::{Adjust, Conversion, Order};
use crate::format::Format;
use crate::tensor::{StoredTensor, TensorInfo};

/// More experts per layer are rejected.
const EXPERTS_LIMIT: usize = 1 << 12;

/// Derives tensors from stored ones.
pub(super) struct Splitter<'a> {
    path: &'a Path,
    architecture: &'static Architecture,
    config: &'a Value,
    /// Factors of whole tensors or of experts, by the name of the tensor that they scale.
    factors: HashMap<String, Vec<f32>>,
}

impl<'a> Splitter<'a> {
    pub(super) fn new(
        files: &[FileBytes],
        metadata: &'a Metadata,
        tensors: &[RawTensor],
        architecture: &'static Architecture,
        config: &'a Value,
    ) -> Self {
        let names: HashSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let factors = tensors.iter().filter_map(|tensor| factors(&files[tensor.file], tensor));
        let factors = factors.filter(|(weight, _)| names.contains(weight.as_str())).collect();
        Self { path: metadata.path(), architecture, config, factors }
    }

    /// Whether the tensor holds the factors of another one.
    pub(super) fn is_factor(&self, raw: &RawTensor) -> bool {
        let stem = raw.name.strip_suffix(".scale");
        stem.is_some_and(|stem| self.factors.contains_key(&format!("{stem}.weight")))
    }

    /// The tensors in `raw`, under Hugging Face's names if there is a rule.
    pub(super) fn split(&self, raw: &RawTensor) -> Result<Vec<StoredTensor>, WeightsError> {
        let whole =
            |name: String| Slice { raw, name, rows: 0..rows(raw), shape: raw.shape.clone() };
        let Some(place) = Place::of(&raw.name) else {
            return Ok(vec![whole(raw.name.clone()).stored(Conversion::default())]);
        };
        let parts = if let Some(name) = place.hugging_face(&self.architecture.names) {
            let conversion = self.conversion(raw, &place)?;
            let mut slice = whole(name);
            if conversion.order == Order::Transposed {
                slice.shape.reverse();
            }
            vec![(slice, conversion)]
        } else {
            match self.experts(raw, &place)? {
                Some(slices) => {
                    slices.into_iter().map(|slice| (slice, Conversion::default())).collect()
                }
                None => self.fused_attention(raw, &place)?,
            }
        };
        if parts.is_empty() {
            return Ok(vec![whole(raw.name.clone()).stored(Conversion::default())]);
        }
        let factors = self.factors(raw, parts.len())?;
        let stored = |((slice, mut conversion), adjust): ((Slice<'_>, Conversion), Adjust)| {
            if adjust != Adjust::None {
                conversion.adjust = adjust;
            }
            slice.stored(conversion)
        };
        Ok(parts.into_iter().zip(factors).map(stored).collect())
    }

    /// The factors for the `parts` of a tensor: none, one for all, or one each.
    fn factors(&self, raw: &RawTensor, parts: usize) -> Result<Vec<Adjust>, WeightsError> {
        let Some(factors) = self.factors.get(&raw.name) else {
            return Ok(vec![Adjust::None; parts]);
        };
        let finite = factors.iter().all(|factor| factor.is_finite());
        match factors.as_slice() {
            [factor] if finite => Ok(vec![Adjust::Times(*factor); parts]),
            several if finite && several.len() == parts => {
                Ok(several.iter().copied().map(Adjust::Times).collect())
            }
            _ => {
                let expected = format!("one finite factor, or one for each of {parts} parts");
                let not = if finite { "" } else { ", not all finite" };
                Err(self.invalid(raw, expected, format!("{} factors{not}", factors.len())))
            }
        }
    }

    /// What the converter did to a tensor that it stored by itself.
    fn conversion(&self, raw: &RawTensor, place: &Place<'_>) -> Result<Conversion, WeightsError> {
        let mut conversion = Conversion::default();
        if self.architecture.norms_plus_one && place.part.ends_with("norm") {
            conversion.adjust = Adjust::MinusOne;
        }
        conversion.order = match (self.architecture.model_type, place.part, place.suffix) {
            ("gpt_neox", "attn_qkv", "weight" | "bias") => {
                Order::QueriesKeysValues(self.heads("num_attention_heads", raw, rows(raw), 3)?)
            }
            ("gpt2", "attn_qkv" | "attn_output" | "ffn_up" | "ffn_down", "weight")
                if raw.shape.len() == 2 =>
            {
                Order::Transposed
            }
            (_, "attn_q", "weight" | "bias") => {
                self.interleaved("num_attention_heads", raw, rows(raw))?
            }
            (_, "attn_k", "weight" | "bias") => {
                self.interleaved("num_key_value_heads", raw, rows(raw))?
            }
            _ => Order::AsStored,
        };
        Ok(conversion)
    }

    /// Splits a stack of experts `[experts, out, in]`.
    fn experts<'r>(
        &self,
        raw: &'r RawTensor,
        place: &Place<'_>,
    ) -> Result<Option<Vec<Slice<'r>>>, WeightsError> {
        let (Some(names), Some(layer)) = (self.architecture.names.experts, place.layer) else {
            return Ok(None);
        };
        let projection = match (place.part, place.suffix) {
            ("ffn_gate_exps", "weight") => names.gate,
            ("ffn_up_exps", "weight") => names.up,
            ("ffn_down_exps", "weight") => names.down,
            _ => return Ok(None),
        };
        let expected = ["num_local_experts", "num_experts"]
            .iter()
            .find_map(|key| usize::try_from(self.config[key].as_u64()?).ok())
            .unwrap_or(0);
        let [experts, rows, columns] = match *raw.shape {
            [experts, rows, columns] if experts == expected && experts <= EXPERTS_LIMIT => {
                [experts, rows, columns]
            }
            _ => {
                let expected = format!("a stack of {expected} experts, at most {EXPERTS_LIMIT}");
                return Err(self.invalid(raw, expected, format!("shape {:?}", raw.shape)));
            }
        };
        let folder = format!("{}.{layer}.{}", self.architecture.names.layers, names.folder);
        let slice = |expert| Slice {
            raw,
            name: format!("{folder}.{expert}.{projection}.weight"),
            rows: expert * rows..(expert + 1) * rows,
            shape: vec![rows, columns],
        };
        Ok(Some((0..experts).map(slice).collect()))
    }

    /// Splits query, key and value projection from one tensor if Hugging Face's model has three; otherwise
    /// `None`.
    fn fused_attention<'r>(
        &self,
        raw: &'r RawTensor,
        place: &Place<'_>,
    ) -> Result<Vec<(Slice<'r>, Conversion)>, WeightsError> {
        let names = &self.architecture.names;
        let separate = Place { part: "attn_q", ..*place }.hugging_face(names).is_some();
        if !separate || place.part != "attn_qkv" || place.layer.is_none() {
            return Ok(Vec::new());
        }
        let size =
            |key: &str| self.config[key].as_u64().and_then(|size| usize::try_from(size).ok());
        let sizes = || {
            let head = size("head_dim")?;
            let query = size("num_attention_heads")?.checked_mul(head)?;
            let key = size("num_key_value_heads")?.checked_mul(head)?;
            (query.checked_add(key.checked_mul(2)?)? == rows(raw)).then_some((query, key))
        };
        let (query, key) = sizes().ok_or_else(|| {
            let expected = "rows for all heads' queries, keys and values";
            self.invalid(raw, expected.to_owned(), format!("{} rows", rows(raw)))
        })?;
        let mut first = 0;
        let mut slices = Vec::new();
        for (part, length) in [("attn_q", query), ("attn_k", key), ("attn_v", key)] {
            let Some(name) = Place { part, ..*place }.hugging_face(names) else {
                continue;
            };
            let mut shape = raw.shape.clone();
            if let Some(rows) = shape.first_mut() {
                *rows = length;
            }
            let order = match part {
                "attn_q" => self.interleaved("num_attention_heads", raw, length)?,
                "attn_k" => self.interleaved("num_key_value_heads", raw, length)?,
                _ => Order::AsStored,
            };
            let slice = Slice { raw, name, rows: first..first + length, shape };
            slices.push((slice, Conversion { order, ..Conversion::default() }));
            first += length;
        }
        Ok(slices)
    }

    /// The order of `rows` query or key rows.
    fn interleaved(&self, key: &str, raw: &RawTensor, rows: usize) -> Result<Order, WeightsError> {
        if !self.architecture.interleaved_heads {
            return Ok(Order::AsStored);
        }
        Ok(Order::InterleavedHeads(self.heads(key, raw, rows, 2)?))
    }

    /// The head count under `key`, checked to divide `rows` into heads, and each head into `parts`.
    fn heads(
        &self,
        key: &str,
        raw: &RawTensor,
        rows: usize,
        parts: usize,
    ) -> Result<usize, WeightsError> {
        let heads = self.config[key].as_u64().and_then(|heads| usize::try_from(heads).ok());
        match heads {
            Some(heads)
                if heads > 0
                    && heads <= rows
                    && rows.is_multiple_of(heads)
                    && (rows / heads).is_multiple_of(parts) =>
            {
                Ok(heads)
            }
            _ => {
                let what = if parts == 2 { "even size" } else { "queries, keys and values" };
                let expected =
                    format!("rows that {key} = {} divides into heads of {what}", self.config[key]);
                Err(self.invalid(raw, expected, format!("{rows} rows")))
            }
        }
    }

    fn invalid(&self, raw: &RawTensor, expected: String, found: String) -> WeightsError {
        WeightsError::Invalid {
            path: self.path.to_path_buf(),
            what: format!("tensor \"{}\"", raw.name),
            expected,
            found,
        }
    }
}

/// Rows of a stored tensor that form a separate tensor.
struct Slice<'r> {
    raw: &'r RawTensor,
    name: String,
    rows: std::ops::Range<usize>,
    shape: Vec<usize>,
}

impl Slice<'_> {
    fn stored(self, conversion: Conversion) -> StoredTensor {
        let all = rows(self.raw).max(1) as u64;
        // Both are whole numbers for each row, because rows consist of whole blocks.
        let (values, bytes) = (self.raw.values / all, self.raw.stored_bytes / all);
        let length = self.rows.len() as u64;
        StoredTensor {
            info: TensorInfo {
                name: self.name,
                shape: self.shape,
                format: self.raw.kind.name.to_owned(),
                values: values * length,
                stored_bytes: bytes * length,
            },
            format: Format::from_name(self.raw.kind.name),
            file: self.raw.file,
            start: self.raw.start + self.rows.start * bytes as usize,
            conversion,
        }
    }
}

/// Number of rows in a tensor; the rows of a vector are its values, unless it has blocks.
fn rows(raw: &RawTensor) -> usize {
    match raw.shape.as_slice() {
        [length] if raw.kind.block_values == 1 => *length,
        [.., _] => raw.shape[..raw.shape.len() - 1].iter().product(),
        [] => 1,
    }
}

/// The factors that `x.scale` holds for `x.weight`, under the name of the latter.
fn factors(file: &FileBytes, tensor: &RawTensor) -> Option<(String, Vec<f32>)> {
    let stem = tensor.name.strip_suffix(".scale")?;
    let end = tensor.start.checked_add(usize::try_from(tensor.stored_bytes).ok()?)?;
    let bytes = file.get(tensor.start..end)?;
    (tensor.kind.name == "F32").then(|| {
        let factors = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        (format!("{stem}.weight"), factors.collect())
    })
}
