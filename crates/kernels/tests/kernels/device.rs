//! Tensors on the device under test.

use cubecl::Runtime;
use cubecl::client::ComputeClient;
use cubecl::cuda::{CudaDevice, CudaRuntime};
use cubecl::ir::{ElemType, FloatKind, IntKind, StorageType};
use cubecl::zspace::Shape;
use half::{bf16, f16};
use strait_kernels::TensorHandle;

pub(crate) type Client = ComputeClient<CudaRuntime>;
pub(crate) type Handle = TensorHandle<CudaRuntime>;

/// Element types of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Type {
    F32,
    F16,
    Bf16,
}

pub(crate) const TYPES: [Type; 3] = [Type::F32, Type::F16, Type::Bf16];

impl Type {
    pub(crate) fn storage(self) -> StorageType {
        let kind = match self {
            Type::F32 => FloatKind::F32,
            Type::F16 => FloatKind::F16,
            Type::Bf16 => FloatKind::BF16,
        };
        StorageType::Scalar(ElemType::Float(kind))
    }

    /// A value as this type holds it.
    pub(crate) fn round(self, value: f64) -> f64 {
        match self {
            Type::F32 => f64::from(value as f32),
            Type::F16 => f16::from_f64(value).to_f64(),
            Type::Bf16 => bf16::from_f64(value).to_f64(),
        }
    }

    /// Twice the distance of neighbouring values around 1.
    pub(crate) fn epsilon(self) -> f64 {
        match self {
            Type::F32 => 2.4e-7,
            Type::F16 => 2e-3,
            Type::Bf16 => 1.6e-2,
        }
    }

    fn bytes(self, values: &[f64]) -> Vec<u8> {
        let of = |value: &f64| match self {
            Type::F32 => (*value as f32).to_le_bytes().to_vec(),
            Type::F16 => f16::from_f64(*value).to_le_bytes().to_vec(),
            Type::Bf16 => bf16::from_f64(*value).to_le_bytes().to_vec(),
        };
        values.iter().flat_map(of).collect()
    }
}

/// The device under test; nothing, with a note, where the environment names none.
pub(crate) fn device(test: &str) -> Option<Client> {
    let devices = std::env::var("STRAIT_TEST_DEVICES").unwrap_or_default();
    if devices.split(',').any(|device| device == "cuda:0") {
        return Some(CudaRuntime::client(&CudaDevice::new(0)));
    }
    println!("{test}: no CUDA device to test; set STRAIT_TEST_DEVICES=cuda:0");
    None
}

/// Reproducible values in (-1, 1), rounded to a type.
pub(crate) fn values(count: usize, seed: u64, of: Type) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        of.round((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
    };
    (0..count).map(|_| next()).collect()
}

pub(crate) fn upload(client: &Client, values: &[f64], shape: &[usize], of: Type) -> Handle {
    let handle = client.create_from_slice(&of.bytes(values));
    TensorHandle::new_contiguous(Shape::from(shape.to_vec()), handle, of.storage())
}

pub(crate) fn integers(client: &Client, values: &[i32], shape: &[usize]) -> Handle {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let of = StorageType::Scalar(ElemType::Int(IntKind::I32));
    TensorHandle::new_contiguous(Shape::from(shape.to_vec()), client.create_from_slice(&bytes), of)
}

/// A matrix with its axes exchanged, the values where they are.
pub(crate) fn transposed(x: &Handle) -> Handle {
    let (shape, strides) = (x.shape().to_vec(), x.strides().to_vec());
    let last = shape.len() - 1;
    let (mut shape, mut strides) = (shape, strides);
    shape.swap(last, last - 1);
    strides.swap(last, last - 1);
    TensorHandle::new(x.handle.clone(), shape, &strides[..], x.dtype)
}

/// The first part of a tensor along each axis, the values where they are.
pub(crate) fn narrowed(x: &Handle, shape: &[usize]) -> Handle {
    TensorHandle::new(x.handle.clone(), shape.to_vec(), x.strides(), x.dtype)
}

pub(crate) fn read(client: &Client, x: &Handle, of: Type) -> Vec<f64> {
    let bytes = client.read_one_unchecked(x.handle.clone());
    let count = x.shape().iter().product::<usize>();
    match of {
        Type::F32 => four(&bytes).map(|b| f64::from(f32::from_le_bytes(b))).take(count).collect(),
        Type::F16 => two(&bytes).map(|b| f16::from_le_bytes(b).to_f64()).take(count).collect(),
        Type::Bf16 => two(&bytes).map(|b| bf16::from_le_bytes(b).to_f64()).take(count).collect(),
    }
}

pub(crate) fn read_integers(client: &Client, x: &Handle) -> Vec<i32> {
    let bytes = client.read_one_unchecked(x.handle.clone());
    four(&bytes).map(i32::from_le_bytes).take(x.shape().iter().product()).collect()
}

fn four(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    bytes.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]])
}

fn two(bytes: &[u8]) -> impl Iterator<Item = [u8; 2]> + '_ {
    bytes.chunks_exact(2).map(|b| [b[0], b[1]])
}

/// Fails where a value is farther from what it should be than `tolerance` times the larger of both
/// and 1.
pub(crate) fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (a, b)) in found.iter().zip(expected).enumerate() {
        let error = (a - b).abs() / b.abs().max(1.0);
        assert!(error <= tolerance, "{what}, value {at}: found {a}, expected {b}: {error:.1e}");
    }
}
