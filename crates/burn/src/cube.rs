//! Runs the kernels of strait-kernels on burn's tensors, for CUDA and Vulkan.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use burn_tensor::{DType, FloatDType, Int, Tensor, TensorPrimitive};
use strait_kernels::{self as kernels, Gate, NormFormula, Product, Shares, TensorHandle};
use strait_ops::{Activation, NormKind};

use crate::head::Kept;
use crate::kernels::{Kernels, Keys, Positions, Rotation, Softmax};
use crate::ops::NormWeights;

impl<R, F, I, T> Kernels for CubeBackend<R, F, I, T>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    T: BoolElement,
{
    fn product<const D: usize>(
        x: Tensor<Self, D>,
        weight: Tensor<Self, D>,
        dtype: FloatDType,
    ) -> Tensor<Self, D> {
        let (x, weight) = (float(x), float(weight));
        let dtype = DType::from(dtype);
        match kernels::product(&x.client, &handle(&x), &handle(&weight), dtype.into()) {
            Ok(result) => tensor(made(&x, result, dtype)),
            // The decoder turns it into an error of the device.
            Err(error) => std::panic::resume_unwind(Box::new(error.to_string())),
        }
    }

    fn norm<const D: usize>(x: Tensor<Self, D>, norm: &NormWeights<Self>) -> Tensor<Self, D> {
        let shape = x.shape();
        let channels = norm.channels();
        let x = without_gaps(x.reshape([shape.num_elements() / channels.max(1), channels]));
        let formula = match norm.formula.kind {
            NormKind::Rms => NormFormula::Rms,
            NormKind::RmsOnce | NormKind::RmsPlusOne => NormFormula::RmsOnce,
            NormKind::Layer => NormFormula::Layer,
        };
        let weight = handle(&without_gaps(norm.weight.clone()));
        let bias = norm.bias.clone().map(|bias| handle(&without_gaps(bias)));
        let eps = norm.formula.eps as f32;
        let y = kernels::norm(&x.client, &handle(&x), &weight, bias.as_ref(), formula, eps);
        tensor::<Self, R, 2>(made(&x, y, x.dtype)).reshape(shape)
    }

    fn gate(kind: Activation, x: Tensor<Self, 2>, up: Option<Tensor<Self, 2>>) -> Tensor<Self, 2> {
        let gate = match kind {
            Activation::Silu => Gate::Silu,
            Activation::Gelu => Gate::Gelu,
            Activation::GeluTanh => Gate::GeluTanh,
            Activation::GeluNew => Gate::GeluNew,
            Activation::GeluFast => Gate::GeluFast,
            Activation::Relu => Gate::Relu,
            Activation::ReluSquared => Gate::ReluSquared,
        };
        let x = without_gaps(x);
        let up = up.map(|up| handle(&without_gaps(up)));
        let y = kernels::gate(&x.client, &handle(&x), up.as_ref(), gate);
        tensor(made(&x, y, x.dtype))
    }

    fn rotate(
        x: Tensor<Self, 4>,
        rotation: &Rotation<Self>,
        positions: Positions<Self>,
    ) -> Tensor<Self, 4> {
        let x = float(x);
        let cos = handle(&without_gaps(rotation.cos.clone()));
        let sin = handle(&without_gaps(rotation.sin.clone()));
        let rotation =
            kernels::Rotation { cos: &cos, sin: &sin, rounded_once: rotation.rounded_once };
        let (first, given) = match positions {
            Positions::From(first) => (first, None),
            Positions::Given(places) => (0, Some(integers(places))),
        };
        let y = kernels::rotate(&x.client, &handle(&x), &rotation, first, given.as_ref());
        tensor(made(&x, y, x.dtype))
    }

    fn shares(
        scores: Tensor<Self, 4>,
        keys: &Keys<'_, Self>,
        wanted: Softmax,
    ) -> [Tensor<Self, 4>; 2] {
        let [batch, heads, rows, count] = scores.dims();
        let scores = without_gaps(scores);
        let positions = keys
            .positions
            .map(|positions| integers(positions.clone().reshape([keys.kv_heads, count])));
        let places = kernels::Keys {
            first_query: keys.first_query,
            first_key: keys.first_key,
            positions: positions.as_ref(),
            window: keys.window,
        };
        let dtype = DType::from(wanted.dtype);
        let (scale, normalised) = (wanted.scale as f32, wanted.normalised);
        let cap = wanted.cap.map(|cap| cap as f32);
        let shares = Shares { scale, cap, dtype: dtype.into(), normalised };
        let [shares, sums] =
            kernels::shares(&scores.client, &handle(&scores), keys.kv_heads, &places, shares);
        let sums: Tensor<Self, 1> = tensor(made(&scores, sums, DType::F32));
        [tensor(made(&scores, shares, dtype)), sums.reshape([batch, heads, rows, 1])]
    }

    fn divide(
        context: Tensor<Self, 4>,
        sums: Tensor<Self, 4>,
        dtype: FloatDType,
    ) -> Tensor<Self, 4> {
        let (context, sums) = (without_gaps(context), without_gaps(sums));
        let dtype = DType::from(dtype);
        let y =
            kernels::divide_rows(&context.client, &handle(&context), &handle(&sums), dtype.into());
        // In the layout that the output projection reads, viewed in the usual one: nothing is
        // moved.
        tensor::<Self, R, 4>(made(&context, y, dtype)).swap_dims(1, 2)
    }

    fn gather(
        table: &Tensor<Self, 2>,
        indices: Tensor<Self, 1, Int>,
        scale: f32,
        added: Option<Tensor<Self, 2>>,
    ) -> Tensor<Self, 2> {
        let table = without_gaps(table.clone());
        let added = added.map(|added| handle(&without_gaps(added)));
        let indices = integers(indices);
        let y =
            kernels::gather_rows(&table.client, &handle(&table), &indices, scale, added.as_ref());
        tensor(made(&table, y, table.dtype))
    }

    fn add_rows(
        y: Tensor<Self, 2>,
        given: Tensor<Self, 2>,
        indices: Tensor<Self, 1, Int>,
        shares: Tensor<Self, 1>,
    ) -> Tensor<Self, 2> {
        let (y, given, shares) = (without_gaps(y), without_gaps(given), without_gaps(shares));
        let (given, shares) = (handle(&given), handle(&shares));
        // In place, because nothing else holds these sums.
        kernels::add_rows(&y.client, &handle(&y), &given, &integers(indices), &shares);
        tensor(y)
    }

    fn compare(
        logits: Tensor<Self, 2>,
        targets: Tensor<Self, 1, Int>,
        reference: Option<&Kept<Self>>,
    ) -> (Kept<Self>, Tensor<Self, 2>) {
        let [rows, _] = logits.dims();
        let logits = without_gaps(logits);
        let (own, targets) = (handle(&logits), integers(targets));
        let known = reference.map(|reference| {
            let logits = handle(&without_gaps(reference.logits.clone()));
            let log_total = handle(&without_gaps(reference.log_total.clone()));
            (logits, log_total, integers(reference.top.clone()))
        });
        let reference = known.as_ref().map(|(logits, log_total, top)| kernels::Reference {
            logits,
            log_total,
            top,
        });
        let compared = kernels::compare(&logits.client, &own, &targets, reference.as_ref());
        let column = |values| tensor::<Self, R, 1>(made(&logits, values, DType::F32));
        let log_total = column(compared.log_total).reshape([rows, 1]);
        let top = Tensor::<Self, 1, Int>::from_primitive(made(&logits, compared.top, DType::I32));
        let figures = tensor(made(&logits, compared.figures, DType::F32));
        let top = top.reshape([rows, 1]);
        (Kept { logits: tensor(logits), log_total, top }, figures)
    }

    fn reserved_bytes(device: &Self::Device) -> Option<u64> {
        R::client(device).memory_usage().ok().map(|usage| usage.bytes_reserved)
    }
}

/// The environment variable with comma-separated names of kernels that products try first, for
/// measurements and checks.
const PRODUCTS: &str = "STRAIT_PRODUCTS";

/// Applies the environment's choice of product kernels; the error names what is not a kernel.
pub(crate) fn prefer_products() -> Result<(), String> {
    let Ok(names) = std::env::var(PRODUCTS) else { return Ok(()) };
    let mut preferred = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let Some(kernel) = Product::ALL.into_iter().find(|kernel| kernel.name() == name) else {
            let known = Product::ALL.map(Product::name).join(", ");
            return Err(format!("{PRODUCTS}: expected kernels among {known}, found {name:?}"));
        };
        preferred.push(kernel);
    }
    kernels::products(preferred);
    Ok(())
}

/// Unwraps a burn tensor.
fn float<R, F, I, T, const D: usize>(x: Tensor<CubeBackend<R, F, I, T>, D>) -> CubeTensor<R>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    T: BoolElement,
{
    x.into_primitive().tensor()
}

/// Unwraps a burn tensor and makes it contiguous.
fn without_gaps<R, F, I, T, const D: usize>(x: Tensor<CubeBackend<R, F, I, T>, D>) -> CubeTensor<R>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    T: BoolElement,
{
    into_contiguous(float(x))
}

/// Unwraps integers and makes them contiguous.
fn integers<R, F, I, T, const D: usize>(
    x: Tensor<CubeBackend<R, F, I, T>, D, Int>,
) -> TensorHandle<R>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    T: BoolElement,
{
    handle(&into_contiguous(x.into_primitive()))
}

fn handle<R: CubeRuntime>(x: &CubeTensor<R>) -> TensorHandle<R> {
    x.clone().into()
}

/// Wraps a kernel's result, on the device of `like`.
fn made<R: CubeRuntime>(like: &CubeTensor<R>, x: TensorHandle<R>, dtype: DType) -> CubeTensor<R> {
    CubeTensor::new(like.client.clone(), x.handle, *x.metadata, like.device.clone(), dtype)
}

fn tensor<B, R, const D: usize>(x: CubeTensor<R>) -> Tensor<B, D>
where
    R: CubeRuntime,
    B: Kernels<FloatTensorPrimitive = CubeTensor<R>>,
{
    Tensor::from_primitive(TensorPrimitive::Float(x))
}
