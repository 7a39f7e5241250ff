//! The names that several crates share: what an experiment file says, a record repeats, and the crate that does
//! the work acts on. Each stands here once.

mod bos;
mod dtype;
mod join;
mod load_in;
mod named;
mod preset;

pub use bos::Bos;
pub use dtype::Dtype;
pub use join::Join;
pub use load_in::LoadIn;
pub use named::UnknownName;
pub use preset::Preset;
