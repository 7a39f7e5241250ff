//! One parameter table to check a codec with, and its stated properties.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use strait_sdk::{Codec, ParamKind, ParamSpec};

use crate::Sample;

/// The largest error allowed for each value of a sample.
pub type Bound = Arc<dyn Fn(&Sample) -> Vec<f32> + Send + Sync>;

/// A parameter table with its stated properties. The default is the codec's default parameters.
#[derive(Clone, Default)]
pub struct Case {
    params: Option<Value>,
    pub(crate) bound: Option<Bound>,
    pub(crate) bits_per_value: Option<f64>,
}

impl Case {
    /// A case with this table; [`case!`](crate::case) is the short form.
    pub fn new(params: Value) -> Case {
        Case { params: Some(params), ..Case::default() }
    }

    /// States the largest error of each value: `bound(sample)` has one entry per value, `[rows,
    /// channels]`. Half a unit in the last place of the sample's dtype is added to it. It is called
    /// only for finite samples within the range of f16.
    #[must_use]
    pub fn bound(self, bound: impl Fn(&Sample) -> Vec<f32> + Send + Sync + 'static) -> Case {
        Case { bound: Some(Arc::new(bound)), ..self }
    }

    /// States the bits per value of a message `[64, 5120]`, to within 0.001.
    #[must_use]
    pub fn bits_per_value(self, bits: f64) -> Case {
        Case { bits_per_value: Some(bits), ..self }
    }

    /// Makes a codec available inside the checked one, as the host does for codecs of its folder.
    #[must_use]
    pub fn inner<C: Codec>(self) -> Case {
        strait_sdk::offer::<C>();
        self
    }

    /// The table; without one, the smallest table that the codec accepts.
    pub(crate) fn params(&self, specs: &[ParamSpec]) -> Map<String, Value> {
        match &self.params {
            Some(Value::Object(params)) => params.clone(),
            _ => specs
                .iter()
                .filter(|spec| spec.default.is_none())
                .map(|spec| (spec.name.clone(), some_value(spec)))
                .collect(),
        }
    }

    /// Whether the case is a table of parameters, even one that no codec accepts.
    pub(crate) fn is_table(&self) -> bool {
        self.params.as_ref().is_none_or(Value::is_object)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.params {
            None => f.write_str("default parameters"),
            Some(params) => write!(f, "{params}"),
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({self})")
    }
}

/// A value that a required parameter accepts.
fn some_value(spec: &ParamSpec) -> Value {
    match spec.kind {
        ParamKind::Integer | ParamKind::Number => {
            spec.min.clone().or_else(|| spec.max.clone()).map_or(Value::from(1), Value::Number)
        }
        ParamKind::Boolean => Value::from(false),
        ParamKind::Choice => spec.choices.first().map(|choice| choice.name.clone()).into(),
        ParamKind::Codec => Value::from("raw"),
        ParamKind::String | ParamKind::Any => Value::from(""),
    }
}
