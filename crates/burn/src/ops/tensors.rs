//! Weights on a device, and the operations that are nothing but one of them.

use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use burn::{Dispatch, DispatchDevice};
use strait_ops::{Activation, Dtype, LinearTensors, Norm, NormKind, NormTensors};

/// Makes tensors for a model on one device.
pub(crate) struct Maker {
    pub(crate) device: DispatchDevice,
    pub(crate) dtype: Dtype,
    pub(crate) norm: Norm,
}

/// A weight `[in, out]` with its bias.
pub(crate) struct Linear {
    weight: Tensor<Dispatch, 2>,
    bias: Option<Tensor<Dispatch, 1>>,
}

/// The final norm, or another one.
pub struct NormWeights {
    weight: Tensor<Dispatch, 1>,
    bias: Option<Tensor<Dispatch, 1>>,
    norm: Norm,
    native: FloatDType,
}

impl Maker {
    pub(crate) fn tensor<const D: usize>(
        &self,
        values: Vec<f32>,
        shape: [usize; D],
        dtype: DType,
    ) -> Tensor<Dispatch, D> {
        let data = TensorData::new(values, shape).convert_dtype(dtype);
        Tensor::from_data(data, (&self.device, dtype))
    }

    /// A tensor of the model's dtype.
    pub(crate) fn weights<const D: usize>(
        &self,
        values: Vec<f32>,
        shape: [usize; D],
    ) -> Tensor<Dispatch, D> {
        let dtype = match self.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::Bf16 => DType::BF16,
        };
        self.tensor(values, shape, dtype)
    }

    pub(crate) fn linear(&self, tensors: LinearTensors) -> Linear {
        let LinearTensors { weight, bias, outputs, inputs } = tensors;
        Linear {
            weight: self.weights(weight, [outputs, inputs]).transpose(),
            bias: bias.map(|bias| self.weights(bias, [outputs])),
        }
    }

    /// A norm's weights: in f32, rounded to the model's dtype, where they multiply f32.
    pub(crate) fn norm(&self, tensors: NormTensors) -> NormWeights {
        let vector = |mut values: Vec<f32>| {
            let length = values.len();
            if self.norm.kind == NormKind::Rms {
                return self.weights(values, [length]);
            }
            self.dtype.round(&mut values);
            if self.norm.kind == NormKind::RmsPlusOne {
                values.iter_mut().for_each(|value| *value += 1.0);
            }
            self.tensor(values, [length], DType::F32)
        };
        let (weight, bias) = (vector(tensors.weight), tensors.bias.map(vector));
        NormWeights { weight, bias, norm: self.norm, native: self.native() }
    }

    pub(crate) fn native(&self) -> FloatDType {
        match self.dtype {
            Dtype::F32 => FloatDType::F32,
            Dtype::F16 => FloatDType::F16,
            Dtype::Bf16 => FloatDType::BF16,
        }
    }
}

impl Linear {
    pub(crate) fn apply<const D: usize>(&self, x: Tensor<Dispatch, D>) -> Tensor<Dispatch, D> {
        let y = x.matmul(self.weight.clone().unsqueeze());
        match &self.bias {
            Some(bias) => y + bias.clone().unsqueeze(),
            None => y,
        }
    }
}

impl NormWeights {
    /// The norm over the last dimension.
    pub(crate) fn apply<const D: usize>(&self, x: Tensor<Dispatch, D>) -> Tensor<Dispatch, D> {
        let mut x = x.cast(FloatDType::F32);
        if self.norm.kind == NormKind::Layer {
            x = x.clone() - x.mean_dim(D - 1);
        }
        let squares = x.clone().square().mean_dim(D - 1);
        let normed = x / (squares + self.norm.eps).sqrt();
        let weight = self.weight.clone().unsqueeze();
        if self.norm.kind == NormKind::Rms {
            return normed.cast(self.native) * weight;
        }
        let y = normed * weight;
        let y = match &self.bias {
            Some(bias) => y + bias.clone().unsqueeze(),
            None => y,
        };
        y.cast(self.native)
    }

    /// Channels that the norm is taken over.
    pub(crate) fn channels(&self) -> usize {
        self.weight.dims()[0]
    }
}

/// The norm, or `x` where there is none.
pub(crate) fn normed<const D: usize>(
    norm: Option<&NormWeights>,
    x: Tensor<Dispatch, D>,
) -> Tensor<Dispatch, D> {
    match norm {
        Some(norm) => norm.apply(x),
        None => x,
    }
}

/// The function between the projections of an MLP.
pub(crate) fn activate<const D: usize>(
    activation: Activation,
    x: Tensor<Dispatch, D>,
    native: FloatDType,
) -> Tensor<Dispatch, D> {
    const ROOT: f64 = 0.797_884_560_802_865_4; // sqrt(2 / pi)
    const CUBIC: f64 = 0.044_715;
    let half = |x: Tensor<Dispatch, D>, inner: Tensor<Dispatch, D>| x * 0.5 * (inner.tanh() + 1.0);
    match activation {
        Activation::Silu => burn::tensor::activation::silu(x),
        Activation::Gelu => {
            let x = x.cast(FloatDType::F32);
            let error = (x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf();
            (x * 0.5 * (error + 1.0)).cast(native)
        }
        Activation::GeluTanh => {
            let x = x.cast(FloatDType::F32);
            let cube = x.clone() * x.clone() * x.clone();
            half(x.clone(), (x + cube * CUBIC) * ROOT).cast(native)
        }
        Activation::GeluNew => {
            let cube = x.clone() * x.clone() * x.clone();
            half(x.clone(), (x + cube * CUBIC) * ROOT)
        }
        Activation::GeluFast => {
            let square = x.clone() * CUBIC * x.clone();
            half(x.clone(), x * ROOT * (square + 1.0))
        }
    }
}
