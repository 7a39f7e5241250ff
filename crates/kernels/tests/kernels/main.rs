//! Every kernel against its definition in f64, on the CUDA device that `STRAIT_TEST_DEVICES` names: a
//! card, or the emulator (`cargo xtask check-cuda`).

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod device;
mod head;
mod product;
mod rows;
mod softmax;
