//! Device kernels of a decoder: what lies between its matrix products, and the choice of the kernel
//! that multiplies.
//!
//! Burn would compose these operations from elementwise kernels and reductions, chosen by autotuning or
//! a fuser. Here each is one kernel with one order of summation, so that a device gives the same bits
//! every time, whatever ran on it before. All of them compute in f32 and round to the model's dtype
//! where the CPU's operations do.
//!
//! The crate depends on neither burn nor the model: tensors are handles of CubeCL's runtime.

mod gate;
mod head;
mod launch;
mod norm;
mod product;
mod reduce;
mod rope;
mod rows;
mod softmax;

pub use cubecl::std::tensor::TensorHandle;

pub use crate::gate::{Gate, gate};
pub use crate::head::{Compared, Reference, compare};
pub use crate::norm::{NormFormula, norm};
pub use crate::product::{Product, ProductError, product, products};
pub use crate::rope::{Rotation, rotate};
pub use crate::rows::{add_rows, gather_rows};
pub use crate::softmax::{Keys, Shares, divide_rows, shares};
