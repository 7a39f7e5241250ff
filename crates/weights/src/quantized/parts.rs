//! The stored tensors that together form one dense weight: taken by name, checked, and read as numbers.

use std::cell::Cell;
use std::path::Path;

use super::numbers::{self, E4M3, E5M2, Precision};
use crate::WeightsError;
use crate::bytes::FileBytes;
use crate::tensor::StoredTensor;

/// A stored tensor that is part of a weight.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Full name in the checkpoint.
    pub(super) name: String,
    /// safetensors' name of the element type.
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    file: usize,
    start: usize,
    bytes: usize,
}

impl Part {
    /// Number of values.
    pub(super) fn values(&self) -> usize {
        self.shape.iter().product()
    }

    /// The two sizes of a matrix.
    pub(super) fn matrix(&self, module: &Module<'_>) -> Result<[usize; 2], WeightsError> {
        <[usize; 2]>::try_from(self.shape.as_slice())
            .map_err(|_| module.bad(self, "two axes", &format!("{:?}", self.shape), EXPORT_AGAIN))
    }

    /// Part `index` of a stack along the first axis.
    pub(super) fn of_stack(&self, index: usize) -> Self {
        let count = self.shape.first().copied().unwrap_or(1).max(1);
        let (shape, bytes) = (self.shape.iter().skip(1).copied().collect(), self.bytes / count);
        Self { shape, start: self.start + index * bytes, bytes, ..self.clone() }
    }

    /// Type and shape, as messages show them.
    pub(super) fn describe(&self) -> String {
        format!("{} {:?}", self.dtype, self.shape)
    }

    /// The dtype in which arithmetic with this part's values is done.
    pub(super) fn precision(&self) -> Precision {
        match self.dtype.as_str() {
            "F16" => Precision::F16,
            "BF16" => Precision::BF16,
            _ => Precision::F32,
        }
    }
}

/// The usual remedy for parts that contradict each other.
pub(super) const EXPORT_AGAIN: &str = "the file and its configuration do not belong together, or it was written wrongly: fetch or export it again";

/// One module of the checkpoint, such as `model.layers.0.self_attn.q_proj`, with the stored tensors under it.
pub(super) struct Module<'a> {
    pub(super) path: &'a Path,
    pub(super) name: &'a str,
    /// What the dense weight's name adds to the module's.
    pub(super) suffix: &'static str,
    /// Name within the module and tensor, in file order.
    pub(super) tensors: Vec<(&'a str, &'a StoredTensor)>,
    pub(super) files: &'a [FileBytes],
    /// Which tensors have been taken as parts of the dense weight.
    pub(super) taken: Vec<Cell<bool>>,
}

impl<'a> Module<'a> {
    /// Whether a tensor of this name exists.
    pub(super) fn has(&self, part: &str) -> bool {
        self.position(part).is_some()
    }

    /// The type of a tensor, without taking it.
    pub(super) fn dtype(&self, part: &str) -> Option<&'a str> {
        self.position(part).map(|at| self.tensors[at].1.info.format.as_str())
    }

    /// Takes a tensor as part of the dense weight, if it exists.
    pub(super) fn take(&self, part: &str) -> Result<Option<Part>, WeightsError> {
        let Some(at) = self.position(part) else { return Ok(None) };
        let tensor = self.tensors[at].1;
        let Ok(bytes) = usize::try_from(tensor.info.stored_bytes) else { return Ok(None) };
        self.taken[at].set(true);
        Ok(Some(Part {
            name: tensor.info.name.clone(),
            dtype: tensor.info.format.clone(),
            shape: tensor.info.shape.clone(),
            file: tensor.file,
            start: tensor.start,
            bytes,
        }))
    }

    /// Takes a tensor that must exist.
    pub(super) fn need(&self, part: &str, format: &str) -> Result<Part, WeightsError> {
        self.take(part)?.ok_or_else(|| self.missing(part, format))
    }

    /// The error for a required tensor that does not exist.
    pub(super) fn missing(&self, part: &str, format: &str) -> WeightsError {
        WeightsError::QuantizedPart {
            path: self.path.to_path_buf(),
            tensor: self.dense_name(),
            expected: format!("{}.{part}, as {format} stores it", self.name),
            found: self.names(),
            hint: EXPORT_AGAIN,
        }
    }

    /// Counts tensors that belong to the weight's quantization but are not needed for its values.
    pub(super) fn absorb(&self, parts: &[&str]) {
        for part in parts {
            if let Some(at) = self.position(part) {
                self.taken[at].set(true);
            }
        }
    }

    /// The name under which callers request the weight.
    pub(super) fn dense_name(&self) -> String {
        format!("{}{}", self.name, self.suffix)
    }

    /// Rejects a part with another type or shape.
    pub(super) fn check(
        &self,
        part: &Part,
        dtypes: &[&str],
        shape: &[usize],
    ) -> Result<(), WeightsError> {
        if dtypes.contains(&part.dtype.as_str()) && part.shape == shape {
            return Ok(());
        }
        let expected = format!("{} {shape:?}", dtypes.join(" or "));
        Err(self.bad(part, &expected, &part.describe(), EXPORT_AGAIN))
    }

    /// Rejects a part that is not a single number, with or without axes.
    pub(super) fn check_single(&self, part: &Part) -> Result<(), WeightsError> {
        if part.shape.iter().all(|&size| size == 1) {
            return Ok(());
        }
        Err(self.bad(part, "one number", &part.describe(), EXPORT_AGAIN))
    }

    /// Rejects a part with another type.
    pub(super) fn check_dtype(&self, part: &Part, dtypes: &[&str]) -> Result<(), WeightsError> {
        if dtypes.contains(&part.dtype.as_str()) {
            return Ok(());
        }
        Err(self.bad(part, &dtypes.join(" or "), &part.dtype, EXPORT_AGAIN))
    }

    /// The error for a part that is not as required.
    pub(super) fn bad(
        &self,
        part: &Part,
        expected: &str,
        found: &str,
        hint: &'static str,
    ) -> WeightsError {
        bad_part(self.path, &part.name, expected, found, hint)
    }

    /// A reader for values that are needed while planning, such as a shape that is stored as a tensor.
    pub(super) fn reader(&self) -> Reader<'a> {
        Reader { path: self.path, files: self.files }
    }

    fn position(&self, part: &str) -> Option<usize> {
        self.tensors.iter().position(|(name, _)| *name == part)
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.tensors.iter().map(|(name, _)| *name).collect();
        format!("only {}", names.join(", "))
    }
}

/// Reads parts out of the checkpoint's files.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
    pub(super) files: &'a [FileBytes],
}

impl<'a> Reader<'a> {
    /// The bytes of the part.
    pub(super) fn bytes(&self, part: &Part) -> Result<&'a [u8], WeightsError> {
        self.range(&part.name, part.file, part.start, part.bytes)
    }

    /// The bytes of the tensor `name`.
    pub(super) fn range(
        &self,
        name: &str,
        file: usize,
        start: usize,
        bytes: usize,
    ) -> Result<&'a [u8], WeightsError> {
        let file = self.files.get(file);
        let range = start..start.saturating_add(bytes);
        file.and_then(|file| file.get(range)).ok_or_else(|| WeightsError::Truncated {
            path: self.path.to_path_buf(),
            what: format!("tensor \"{name}\""),
            needed: (start as u64).saturating_add(bytes as u64),
            found: file.map_or(0, |file| file.len() as u64),
        })
    }

    /// The part's bytes as words of `N` bytes.
    pub(super) fn words<const N: usize>(&self, part: &Part) -> Result<&'a [[u8; N]], WeightsError> {
        Ok(self.bytes(part)?.as_chunks().0)
    }

    /// Reads finite numbers of any floating-point or small integer type.
    pub(super) fn numbers(&self, part: &Part) -> Result<Vec<f32>, WeightsError> {
        let bytes = self.bytes(part)?;
        let table =
            |table: &[f32; 256]| bytes.iter().map(|byte| table[usize::from(*byte)]).collect();
        let values: Vec<f32> = match part.dtype.as_str() {
            "F32" => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            "F16" => bytes
                .as_chunks()
                .0
                .iter()
                .map(|bytes| half::f16::from_le_bytes(*bytes).to_f32())
                .collect(),
            "BF16" => bytes
                .as_chunks()
                .0
                .iter()
                .map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32())
                .collect(),
            "F8_E4M3" => table(&E4M3),
            "F8_E5M2" => table(&E5M2),
            "I8" => table(&numbers::I8),
            "F8_E8M0" => return self.powers_of_two(part),
            "U8" => bytes.iter().map(|byte| f32::from(*byte)).collect(),
            _ => {
                return Err(self.bad(part, "numbers of up to 32 bits", &part.dtype, EXPORT_AGAIN));
            }
        };
        self.finite(part, values)
    }

    /// Reads powers of two from E8M0 bytes, of type U8 or F8_E8M0.
    pub(super) fn powers_of_two(&self, part: &Part) -> Result<Vec<f32>, WeightsError> {
        let values = self.bytes(part)?.iter().map(|byte| numbers::e8m0(*byte)).collect();
        self.finite(part, values)
    }

    /// Reads F8_E4M3 numbers from bytes, of type U8 or F8_E4M3.
    pub(super) fn e4m3(&self, part: &Part) -> Result<Vec<f32>, WeightsError> {
        let values = self.bytes(part)?.iter().map(|byte| E4M3[usize::from(*byte)]).collect();
        self.finite(part, values)
    }

    /// Reads whole numbers of type I32 or I64.
    pub(super) fn integers(&self, part: &Part) -> Result<Vec<i64>, WeightsError> {
        let bytes = self.bytes(part)?;
        match part.dtype.as_str() {
            "I32" => Ok(bytes
                .as_chunks()
                .0
                .iter()
                .map(|bytes| i64::from(i32::from_le_bytes(*bytes)))
                .collect()),
            "I64" => {
                Ok(bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
            }
            _ => Err(self.bad(part, "I32 or I64", &part.dtype, EXPORT_AGAIN)),
        }
    }

    /// Reads the group of each input; every group must be below `groups`.
    pub(super) fn group_indices(
        &self,
        part: &Part,
        groups: usize,
    ) -> Result<Vec<u32>, WeightsError> {
        let indices = self.integers(part)?;
        let mut list = Vec::with_capacity(indices.len());
        for (input, index) in indices.into_iter().enumerate() {
            match u32::try_from(index) {
                Ok(index) if (index as usize) < groups => list.push(index),
                _ => {
                    let expected = format!("groups from 0 to {}", groups.saturating_sub(1));
                    let found = format!("{index} at input {input}");
                    return Err(self.bad(part, &expected, &found, EXPORT_AGAIN));
                }
            }
        }
        Ok(list)
    }

    /// The error for a part with an invalid value.
    pub(super) fn bad(
        &self,
        part: &Part,
        expected: &str,
        found: &str,
        hint: &'static str,
    ) -> WeightsError {
        bad_part(self.path, &part.name, expected, found, hint)
    }

    fn finite(&self, part: &Part, values: Vec<f32>) -> Result<Vec<f32>, WeightsError> {
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(at) => {
                let found = format!("{} at index {at}", values[at]);
                Err(self.bad(part, "finite values", &found, "the file is damaged: fetch it again"))
            }
        }
    }
}

fn bad_part(
    path: &Path,
    name: &str,
    expected: &str,
    found: &str,
    hint: &'static str,
) -> WeightsError {
    WeightsError::QuantizedPart {
        path: path.to_path_buf(),
        tensor: name.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
        hint,
    }
}
