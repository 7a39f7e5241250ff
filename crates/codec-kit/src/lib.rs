//! Algorithms that plugins share: entropy coders, bit packing, small floats, chosen subsets,
//! measures of slices, and what scores of presses are made with.
//!
//! They lie apart from `strait-sdk` because nothing here crosses the boundary: a plugin compiles its
//! own copy, so this crate may change and grow without a new version of the ABI. What it must not
//! change is a payload: the bytes of a codec are those that its records were measured with.
//!
//! Errors are those of the SDK, so that `?` works in a codec. [`vectorize`](strait_sdk::simd::vectorize),
//! which most of this is written for, stays there, because the SDK's own loops over keys need it too.
//!
//! ```
//! use strait_codec_kit::bits;
//!
//! let packed = bits::pack(3, &[1, 7, 0, 5]);
//! assert_eq!(packed.len(), bits::packed_bytes(3, 4));
//! assert_eq!(bits::unpack(3, &packed, 4)?, [1, 7, 0, 5]);
//! # Ok::<(), strait_sdk::Error>(())
//! ```

pub mod bits;
mod cholesky;
mod dynamic_map;
pub mod entropy;
pub mod minifloat;
mod random;
pub mod scores;
pub mod slices;
pub mod subset;

pub use cholesky::Cholesky;
pub use dynamic_map::dynamic_map;
pub use random::Random;
