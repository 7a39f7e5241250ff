//! The dtype of a model as the plugin boundary has it: the ABI promises its own names and numbers.

use strait_loader::Dtype;

/// The dtype of a message.
pub(crate) fn loader_dtype(dtype: strait_model::Dtype) -> Dtype {
    match dtype {
        strait_model::Dtype::F32 => Dtype::F32,
        strait_model::Dtype::F16 => Dtype::F16,
        strait_model::Dtype::Bf16 => Dtype::BF16,
    }
}
