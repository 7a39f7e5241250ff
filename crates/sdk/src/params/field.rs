//! The types a parameter can have.

use serde_json::{Number, Value};

use crate::{ChoiceSpec, ParamKind};

/// A type that a field of a `#[derive(Params)]` struct can have.
pub trait ParamField: Sized {
    /// What kind of value it takes.
    const KIND: ParamKind;
    /// Whether the field may stay unset.
    const OPTIONAL: bool = false;
    /// The allowed names, for a choice; used to check defaults at compile time.
    const NAMES: Option<&'static [&'static str]> = None;

    /// The smallest and largest value that the type itself can hold, where that is a limit.
    fn limits() -> (Option<Number>, Option<Number>) {
        (None, None)
    }

    /// The allowed names with their doc lines, for a choice.
    fn choices() -> Vec<ChoiceSpec> {
        Vec::new()
    }

    /// The default as the table holds it, from the literal in the derive.
    fn default_value(literal: Value) -> Value {
        literal
    }

    /// Reads a value that was checked against kind, limits and choices.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! integers {
    ($($type:ty: $read:ident, $min:expr, $max:expr;)*) => {$(
        impl ParamField for $type {
            const KIND: ParamKind = ParamKind::Integer;

            fn limits() -> (Option<Number>, Option<Number>) {
                ($min.map(Number::from), $max.map(Number::from))
            }

            fn from_value(value: &Value) -> Option<Self> {
                value.$read()?.try_into().ok()
            }
        }
    )*};
}

integers! {
    u8: as_u64, Some(0_u64), Some(u8::MAX);
    u16: as_u64, Some(0_u64), Some(u16::MAX);
    u32: as_u64, Some(0_u64), Some(u32::MAX);
    u64: as_u64, Some(0_u64), None::<u64>;
    usize: as_u64, Some(0_u64), None::<u64>;
    i8: as_i64, Some(i8::MIN), Some(i8::MAX);
    i16: as_i64, Some(i16::MIN), Some(i16::MAX);
    i32: as_i64, Some(i32::MIN), Some(i32::MAX);
    i64: as_i64, Some(i64::MIN), Some(i64::MAX);
}

impl ParamField for f64 {
    const KIND: ParamKind = ParamKind::Number;

    fn from_value(value: &Value) -> Option<Self> {
        value.as_f64()
    }
}

impl ParamField for f32 {
    const KIND: ParamKind = ParamKind::Number;

    fn from_value(value: &Value) -> Option<Self> {
        // Rounding to the nearest f32 is the meaning of an f32 parameter.
        #[allow(clippy::cast_possible_truncation)]
        value.as_f64().map(|value| value as f32).filter(|value| value.is_finite())
    }
}

impl ParamField for bool {
    const KIND: ParamKind = ParamKind::Boolean;

    fn from_value(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl ParamField for String {
    const KIND: ParamKind = ParamKind::String;

    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl ParamField for Value {
    const KIND: ParamKind = ParamKind::Any;

    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}

impl<T: ParamField> ParamField for Option<T> {
    const KIND: ParamKind = T::KIND;
    const OPTIONAL: bool = true;
    const NAMES: Option<&'static [&'static str]> = T::NAMES;

    fn limits() -> (Option<Number>, Option<Number>) {
        T::limits()
    }

    fn choices() -> Vec<ChoiceSpec> {
        T::choices()
    }

    fn default_value(literal: Value) -> Value {
        T::default_value(literal)
    }

    fn from_value(value: &Value) -> Option<Self> {
        if value.is_null() { Some(None) } else { T::from_value(value).map(Some) }
    }
}
