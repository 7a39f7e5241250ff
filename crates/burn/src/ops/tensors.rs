//! Weights on a device, and the operations that consist of a single one of them.

use burn_tensor::{Bytes, DType, Distribution, FloatDType, Tensor, TensorData};
use strait_ops::{Dtype, LinearTensors, Norm, NormKind, NormTensors};

use crate::kernels::Kernels;

/// Standard deviation of random weights, as at the start of a model's training.
const RANDOM_SCALE: f64 = 0.02;

/// Makes tensors for a model on one device.
pub(crate) struct Maker<B: Kernels> {
    pub(crate) device: B::Device,
    pub(crate) dtype: Dtype,
    pub(crate) norm: Norm,
    /// Whether matrices are replaced by random ones of the same shapes.
    pub(crate) random: bool,
}

/// A weight `[in, out]` with its bias.
pub(crate) struct Linear<B: Kernels> {
    weight: Tensor<B, 2>,
    bias: Option<Tensor<B, 1>>,
}

/// The weights of a norm.
pub(crate) struct NormWeights<B: Kernels> {
    pub(crate) weight: Tensor<B, 1>,
    pub(crate) bias: Option<Tensor<B, 1>>,
    pub(crate) formula: Norm,
    pub(crate) native: FloatDType,
}

impl<B: Kernels> Maker<B> {
    /// A tensor of f32.
    pub(crate) fn floats<const D: usize>(
        &self,
        values: Vec<f32>,
        shape: [usize; D],
    ) -> Tensor<B, D> {
        Tensor::from_data(TensorData::new(values, shape), (&self.device, DType::F32))
    }

    /// A tensor of the model's dtype. It is rounded on the host, so that the device never holds it
    /// in f32.
    pub(crate) fn weights<const D: usize>(
        &self,
        values: Vec<f32>,
        shape: [usize; D],
    ) -> Tensor<B, D> {
        if self.random && D > 1 {
            let normal = Distribution::Normal(0.0, RANDOM_SCALE);
            let values = Tensor::<B, D>::random(shape, normal, (&self.device, DType::F32));
            return values.cast(self.native());
        }
        self.values(values, shape)
    }

    /// A tensor with the given values, even if weights are random.
    pub(crate) fn values<const D: usize>(
        &self,
        values: Vec<f32>,
        shape: [usize; D],
    ) -> Tensor<B, D> {
        let dtype = self.native().into();
        let data = match self.dtype {
            Dtype::F32 => TensorData::new(values, shape),
            Dtype::F16 | Dtype::Bf16 => {
                let mut halves = vec![0u16; values.len()];
                self.dtype.encode(&values, bytemuck::cast_slice_mut(&mut halves));
                TensorData::from_bytes(Bytes::from_elems(halves), shape, dtype)
            }
        };
        Tensor::from_data(data, (&self.device, dtype))
    }

    /// A weight that is kept in f32 whatever the model's dtype is.
    pub(crate) fn linear_in_f32(&self, tensors: LinearTensors) -> Linear<B> {
        let Maker { ref device, norm, random, .. } = *self;
        Maker { device: device.clone(), dtype: Dtype::F32, norm, random }.linear(tensors)
    }

    pub(crate) fn linear(&self, tensors: LinearTensors) -> Linear<B> {
        let LinearTensors { weight, bias, outputs, inputs } = tensors;
        Linear {
            weight: self.weights(weight, [outputs, inputs]).transpose(),
            bias: bias.map(|bias| self.weights(bias, [outputs])),
        }
    }

    /// A norm's weights, rounded to the model's dtype but kept in f32 if they multiply f32.
    pub(crate) fn norm(&self, tensors: NormTensors) -> NormWeights<B> {
        let vector = |mut values: Vec<f32>| {
            let length = values.len();
            if self.norm.kind == NormKind::Rms {
                return self.weights(values, [length]);
            }
            self.dtype.round(&mut values);
            if self.norm.kind == NormKind::RmsPlusOne {
                values.iter_mut().for_each(|value| *value += 1.0);
            }
            self.floats(values, [length])
        };
        let (weight, bias) = (vector(tensors.weight), tensors.bias.map(vector));
        let formula = Norm { eps: tensors.eps.unwrap_or(self.norm.eps), ..self.norm };
        NormWeights { weight, bias, formula, native: self.native() }
    }

    /// The model's dtype as burn names it.
    pub(crate) fn native(&self) -> FloatDType {
        float(self.dtype)
    }
}

/// An element type as burn names it.
pub(crate) fn float(dtype: Dtype) -> FloatDType {
    match dtype {
        Dtype::F32 => FloatDType::F32,
        Dtype::F16 => FloatDType::F16,
        Dtype::Bf16 => FloatDType::BF16,
    }
}

impl<B: Kernels> Linear<B> {
    /// Maps rows `[rows, in]` to `[rows, out]`.
    pub(crate) fn apply(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let native = FloatDType::from(x.dtype());
        let y = B::product(x, self.weight.clone(), native);
        match &self.bias {
            Some(bias) => y + bias.clone().unsqueeze(),
            None => y,
        }
    }

    /// Number of inputs.
    pub(crate) fn inputs(&self) -> usize {
        self.weight.dims()[0]
    }

    /// The bias, if there is one.
    pub(crate) fn bias(&self) -> Option<Tensor<B, 1>> {
        self.bias.clone()
    }

    /// Maps rows `[rows, part]` of the inputs from `first` on; the result is in f32 and without a
    /// bias.
    pub(crate) fn apply_part(&self, x: Tensor<B, 2>, first: usize) -> Tensor<B, 2> {
        let weight = self.weight.clone().narrow(0, first, x.dims()[1]);
        B::product(x, weight, FloatDType::F32)
    }
}

impl<B: Kernels> NormWeights<B> {
    /// The norm over the last dimension.
    pub(crate) fn apply<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        B::norm(x, self)
    }

    /// Number of channels that the norm is taken over.
    pub(crate) fn channels(&self) -> usize {
        self.weight.dims()[0]
    }
}

/// The norm of `x`, or `x` itself if there is none.
pub(crate) fn normed<B: Kernels, const D: usize>(
    norm: Option<&NormWeights<B>>,
    x: Tensor<B, D>,
) -> Tensor<B, D> {
    match norm {
        Some(norm) => norm.apply(x),
        None => x,
    }
}
