//! The test kit of a plugin: one line in its source file, and the same checks on its built `.so`.
//!
//! ```
//! # use strait_sdk::prelude::*;
//! # struct Copy;
//! # impl Codec for Copy {
//! #     const INFO: CodecInfo = CodecInfo { id: "copy", summary: "s", lossless: true, ..CodecInfo::DEFAULT };
//! #     type Params = NoParams;
//! #     fn open(_: NoParams) -> Result<Self> { Ok(Copy) }
//! #     fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
//! #         payload.extend_from_slice(message.bytes());
//! #         Ok(())
//! #     }
//! #     fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
//! #         Error::check_payload_length(message.shape().bytes(), payload.len())?;
//! #         message.bytes_mut().copy_from_slice(payload);
//! #         Ok(())
//! #     }
//! #     fn payload_bytes(&self, shape: Shape) -> PayloadBytes { PayloadBytes::Exact(shape.bytes()) }
//! # }
//! #[cfg(test)]
//! strait_conformance::check!(Copy);
//! # strait_conformance::check_codec::<Copy>(&[strait_conformance::Case::default()]).assert_passed();
//! ```
//!
//! [`check!`] makes one `#[test]` for each of the [`CHECKS`]. [`check_library`] runs them on a built
//! file and returns a [`Report`]; [`check_library_apart`] does so with encoder and decoder in processes
//! of their own.

mod apart;
mod battery;
mod bench;
mod case;
mod example;
mod fingerprint;
mod guard;
mod in_process;
mod library;
mod payload;
mod press;
mod report;
mod sample;
mod subject;

pub use apart::{ApartError, Program, check_library_apart, work};
pub use battery::{CHECKS, Check};
pub use case::{Bound, Case};
pub use example::check_example;
pub use fingerprint::{Fingerprint, fingerprint, fingerprint_codec};
pub use in_process::check_codec;
pub use library::check_library;
pub use payload::Decoders;
pub use press::{
    GoldenPress, PRESS_CHECKS, PressCheck, check_press, check_press_example, golden_presses,
};
pub use report::{Outcome, Report};
pub use sample::Sample;

/// What [`check!`] and [`case!`] expand to; not for direct use.
#[doc(hidden)]
pub mod __private {
    pub use crate::bench::{SHAPES, input};
    pub use crate::in_process::assert_check;
    pub use crate::press::assert_press_check;
    pub use serde_json;
}

/// A parameter table to check a codec with: `case!({ "bits": 4 })`, then [`Case`]'s methods.
#[macro_export]
macro_rules! case {
    ($($table:tt)+) => {
        $crate::Case::new($crate::__private::serde_json::json!($($table)+))
    };
}

/// Makes a test module for a codec: one `#[test]` for each of the [`CHECKS`].
///
/// `check!(Affine)` uses the default parameters; `check!(Affine, [case!({ "bits": 4 }), …])` runs
/// every check with each case. The module is called `conformance`; a file with several codecs gives
/// each its own name: `check!(mod keys: KeyCodec, […])`.
#[macro_export]
macro_rules! check {
    (mod $name:ident: $codec:ty, $cases:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $crate::__tests! { $codec, $cases;
                describes_itself
                documents_its_parameters
                refuses_values_out_of_range
                refuses_unknown_keys
                decodes_in_a_second_instance
                keeps_its_error_bound
                keeps_its_payload_size
                gives_the_same_bytes_for_the_same_input
                forgets_at_reset
                pays_for_what_it_decodes
                survives_truncated_payloads
                survives_extended_payloads
                survives_altered_payloads
            }
        }
    };
    (mod $name:ident: $codec:ty) => { $crate::check!(mod $name: $codec, [$crate::Case::default()]); };
    ($codec:ty, $cases:expr) => { $crate::check!(mod conformance: $codec, $cases); };
    ($codec:ty) => { $crate::check!(mod conformance: $codec); };
}

/// One test per check name.
#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ($codec:ty, $cases:expr; $($check:ident)+) => {
        $(
            #[test]
            fn $check() {
                $crate::__private::assert_check::<$codec>(stringify!($check), &$cases);
            }
        )+

        #[test]
        fn every_check_is_a_test() {
            assert_eq!(
                [$(stringify!($check)),+].as_slice(),
                $crate::CHECKS.iter().map(|check| check.name).collect::<Vec<_>>(),
            );
        }
    };
}
