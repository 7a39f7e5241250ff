//! Entropy coding: likely symbols take fewer bits.
//!
//! | | probabilities | use it for |
//! |---|---|---|
//! | [`rans`] | one table of 256 frequencies, sent before the symbols | long runs of bytes of one kind; the fastest |
//! | [`RangeEncoder`], [`RangeDecoder`] | any, for each symbol anew | everything else |
//! | [`Symbols`], [`Bit`], [`Bytes`], [`Integers`] | learnt from the symbols coded so far, nothing is sent | short runs, many contexts: keep one model for each context |
//!
//! Every decoder reads zeros behind the end of its bytes, takes a bounded time, and reports bytes
//! that no encoder wrote where it can tell: `rans` by the final state of its lanes, the range coder by
//! a marker of 8 bits (a damaged payload passes with a chance of 1 in 256).
//!
//! ```
//! use strait_codec_kit::entropy::{Integers, RangeDecoder, RangeEncoder};
//!
//! let values = [0, -1, 3, 0, 0, 1, -200_000, 0];
//! let mut bytes = Vec::new();
//! let mut encoder = RangeEncoder::new(&mut bytes);
//! let mut model = Integers::default();
//! values.iter().for_each(|value| model.encode(&mut encoder, *value));
//! encoder.finish();
//!
//! let mut decoder = RangeDecoder::new(&bytes);
//! let mut model = Integers::default();
//! let back: Vec<i32> = values.iter().map(|_| model.decode(&mut decoder)).collect();
//! decoder.finish()?;
//! assert_eq!(back, values);
//! # Ok::<(), strait_sdk::Error>(())
//! ```

mod models;
mod range;
pub mod rans;

pub use models::{Bit, Bytes, Integers, Symbols};
pub use range::{RangeDecoder, RangeEncoder};
