//! Parameters of a codec: the traits behind `#[derive(Params)]` and `#[derive(Choice)]`.

mod field;
pub(crate) mod private;

use serde_json::Value;
use strait_abi::params::ParamSpec;

use crate::{ChoiceSpec, Result};

pub use field::ParamField;

/// A codec's parameters. Derive it:
///
/// ```
/// use strait_sdk::prelude::*;
///
/// #[derive(Params)]
/// struct AffineParams {
///     /// Bits per stored value.
///     #[param(default = 8, min = 1, max = 8)]
///     bits: u8,
///     /// What shares one scale.
///     #[param(default = "token")]
///     granularity: Granularity,
/// }
///
/// #[derive(Choice, PartialEq, Debug)]
/// enum Granularity {
///     /// One scale for the message.
///     Tensor,
///     /// One scale per row.
///     Token,
/// }
///
/// let params = AffineParams::from_json(&strait_sdk::serde_json::json!({ "bits": 4 })).unwrap();
/// assert_eq!((params.bits, params.granularity), (4, Granularity::Token));
/// ```
///
/// Field types: `u8`…`u64`, `usize`, `i8`…`i64`, `f32`, `f64`, `bool`, `String`, a [`Choice`]
/// enum, [`InnerCodec`](crate::InnerCodec), `Option` of these, and `serde_json::Value`. A field without `default` is required, except
/// an `Option`. `Default` is implemented when every field has a default.
pub trait Params: Sized {
    /// The parameter table.
    fn specs() -> Vec<ParamSpec>;

    /// Reads a table of values, with defaults for what is absent.
    ///
    /// # Errors
    /// An unknown key, a missing key, a wrong type, or a value out of range; the message names it.
    fn from_json(values: &Value) -> Result<Self>;
}

/// An enum of named alternatives, written as text in TOML. Derive it on an enum without fields;
/// names are `snake_case` of the variants, or `#[choice(name = "…")]`.
pub trait Choice: Sized + 'static {
    /// The names, in the order of the variants.
    const NAMES: &'static [&'static str];

    /// Names with their doc lines.
    fn choices() -> Vec<ChoiceSpec>;

    /// The variant of this name.
    fn from_name(name: &str) -> Option<Self>;

    /// The name of this variant.
    fn name(&self) -> &'static str;
}

/// The parameters of a codec that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoParams;

impl Params for NoParams {
    fn specs() -> Vec<ParamSpec> {
        Vec::new()
    }

    fn from_json(values: &Value) -> Result<Self> {
        private::resolve(&[], values)?;
        Ok(NoParams)
    }
}

#[cfg(test)]
mod tests;
