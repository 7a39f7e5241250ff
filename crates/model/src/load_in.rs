//! A dense checkpoint whose linear layers are quantized while they are read.

use std::error::Error;

use strait_ops::Dtype;
use strait_weights::DenseTensor;
use strait_weights::load_in::{LoadIn, apply};

use crate::source::{SourceTensor, TensorSource};

/// Provides the weights of the decoder blocks' linear layers as bitsandbytes would hold them: rounded
/// to the model's dtype, quantized, and made dense again. Embedding, norms, biases, router gates and
/// head are unchanged. A matrix that a family stores fused (queries, keys and values) is quantized as
/// one.
///
/// Only weights are quantized: LLM.int8 also quantizes the activations that they multiply, which this
/// does not.
pub struct LoadedIn<S> {
    source: S,
    kind: LoadIn,
    dtype: Dtype,
}

impl<S: TensorSource> LoadedIn<S> {
    /// Quantizes the weights of `source` to `kind`, for a model in `dtype`.
    pub fn new(source: S, kind: LoadIn, dtype: Dtype) -> LoadedIn<S> {
        LoadedIn { source, kind, dtype }
    }
}

impl<S: TensorSource> TensorSource for LoadedIn<S> {
    fn config(&self) -> &serde_json::Value {
        self.source.config()
    }

    fn contains(&self, name: &str) -> bool {
        self.source.contains(name)
    }

    fn tensor(&self, name: &str) -> Result<SourceTensor, Box<dyn Error + Send + Sync>> {
        self.source.tensor(name)
    }

    fn finish_linear(&self, weight: &mut SourceTensor) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut tensor =
            DenseTensor { shape: weight.shape.clone(), data: std::mem::take(&mut weight.data) };
        self.dtype.round(&mut tensor.data);
        apply(self.kind, &mut tensor)?;
        weight.data = tensor.data;
        Ok(())
    }
}
