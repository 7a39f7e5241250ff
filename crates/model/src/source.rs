//! Where weights come from: a checkpoint, or numbers generated for a test.

use std::error::Error;
use std::sync::Arc;

use strait_weights::Checkpoint;

use crate::error::ModelError;

/// A tensor as dense f32 values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceTensor {
    /// Row-major shape; a weight matrix is `[out, in]`.
    pub shape: Vec<usize>,
    /// Values.
    pub data: Vec<f32>,
}

/// Anything that provides a configuration and named tensors.
pub trait TensorSource {
    /// The keys of Hugging Face's `config.json`.
    fn config(&self) -> &serde_json::Value;

    /// Whether a tensor with this Hugging Face name exists.
    fn contains(&self, name: &str) -> bool;

    /// The tensor with a Hugging Face name such as `model.layers.0.self_attn.q_proj.weight`.
    ///
    /// # Errors
    /// When there is no such tensor or it cannot be read.
    fn tensor(&self, name: &str) -> Result<SourceTensor, Box<dyn Error + Send + Sync>>;

    /// Transforms the weight `[out, in]` of a linear layer of a decoder block, router gates
    /// excluded, before it is used.
    ///
    /// # Errors
    /// When the source cannot work with these values.
    fn finish_linear(
        &self,
        _weight: &mut SourceTensor,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }

    /// Whether the values of matrices do not matter, so that a burn device generates random ones
    /// instead of transferring them. For speed measurements; no checkpoint returns `true`.
    fn any_values(&self) -> bool {
        false
    }
}

/// A source that stages keep in order to read each layer when it runs.
pub type SharedSource = Arc<dyn TensorSource + Send + Sync>;

impl TensorSource for Checkpoint {
    fn config(&self) -> &serde_json::Value {
        Checkpoint::config(self)
    }

    fn contains(&self, name: &str) -> bool {
        self.info(name).is_some()
    }

    fn tensor(&self, name: &str) -> Result<SourceTensor, Box<dyn Error + Send + Sync>> {
        let tensor = Checkpoint::tensor(self, name)?;
        Ok(SourceTensor { shape: tensor.shape, data: tensor.data })
    }
}

impl<S: TensorSource + ?Sized> TensorSource for Arc<S> {
    fn config(&self) -> &serde_json::Value {
        (**self).config()
    }

    fn contains(&self, name: &str) -> bool {
        (**self).contains(name)
    }

    fn tensor(&self, name: &str) -> Result<SourceTensor, Box<dyn Error + Send + Sync>> {
        (**self).tensor(name)
    }

    fn finish_linear(&self, weight: &mut SourceTensor) -> Result<(), Box<dyn Error + Send + Sync>> {
        (**self).finish_linear(weight)
    }

    fn any_values(&self) -> bool {
        (**self).any_values()
    }
}

/// Reads `name` and checks its shape.
pub(crate) fn read(
    source: &dyn TensorSource,
    name: &str,
    expected: &[usize],
) -> Result<Vec<f32>, ModelError> {
    let tensor = source
        .tensor(name)
        .map_err(|source| ModelError::Tensor { name: name.to_owned(), source })?;
    if tensor.shape != expected || tensor.data.len() != expected.iter().product::<usize>() {
        return Err(ModelError::TensorShape {
            name: name.to_owned(),
            expected: expected.to_vec(),
            found: tensor.shape,
        });
    }
    Ok(tensor.data)
}
