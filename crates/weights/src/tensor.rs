//! Tensors as the rest of strait uses them: a description of the stored form, and the dense f32 values.

use std::path::Path;

use serde::Serialize;

use crate::WeightsError;
use crate::bytes::FileBytes;
use crate::dequantize::{self, Conversion};
use crate::format::Format;

/// What is known about a tensor without reading its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorInfo {
    /// Hugging Face name, for example `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Row-major shape, slowest axis first: `[out, in]` for a linear layer.
    pub shape: Vec<usize>,
    /// Stored format, for example `F16` or `Q4_1`.
    pub format: String,
    /// Number of values: the product of the shape.
    pub values: u64,
    /// Size in the file in bytes, including scales and minima but not the padding between tensors.
    pub stored_bytes: u64,
}

/// A tensor's values, widened or dequantized to f32 (f16 and bf16 widen without loss).
#[derive(Clone, Debug, PartialEq)]
pub struct DenseTensor {
    /// Row-major shape, slowest axis first.
    pub shape: Vec<usize>,
    /// The values in row-major order; the length is the product of the shape.
    pub data: Vec<f32>,
}

/// A tensor inside one of the checkpoint's files. Its byte range has been checked to lie within that file and
/// to match shape and format.
pub(crate) struct StoredTensor {
    pub(crate) info: TensorInfo,
    /// The format, if it can be made dense.
    pub(crate) format: Option<Format>,
    /// Index of the file in the checkpoint.
    pub(crate) file: usize,
    /// Offset of its first byte in that file.
    pub(crate) start: usize,
    /// What the file's converter did to the values, so that it can be undone.
    pub(crate) conversion: Conversion,
}

impl StoredTensor {
    /// Reads the values; `path` is the checkpoint's, for messages.
    pub(crate) fn dense(&self, file: &FileBytes, path: &Path) -> Result<DenseTensor, WeightsError> {
        let format = self.format.ok_or_else(|| WeightsError::UnsupportedFormat {
            path: path.to_path_buf(),
            tensor: self.info.name.clone(),
            format: self.info.format.clone(),
        })?;
        let bytes = usize::try_from(self.info.stored_bytes)
            .ok()
            .and_then(|length| self.start.checked_add(length))
            .and_then(|end| file.get(self.start..end))
            .ok_or_else(|| WeightsError::Truncated {
                path: file.path.clone(),
                what: format!("tensor \"{}\"", self.info.name),
                needed: (self.start as u64).saturating_add(self.info.stored_bytes),
                found: file.len() as u64,
            })?;
        let data = dequantize::dense(format, bytes, &self.info.shape, self.conversion);
        if format.block_values() > 1
            && let Some((index, value)) = dequantize::first_not_finite(&data)
        {
            return Err(WeightsError::Invalid {
                path: file.path.clone(),
                what: format!("tensor \"{}\"", self.info.name),
                expected: format!("{} blocks with finite scales", self.info.format),
                found: format!("{value} as value {index}"),
            });
        }
        Ok(DenseTensor { shape: self.info.shape.clone(), data })
    }
}
