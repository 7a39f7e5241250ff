//! A codec inside another: how it is written in parameters, and what opening it gives.
//!
//! The outer plugin asks the host for the inner codec while it is itself being opened, gets the
//! inner plugin's functions and a handle, and calls them without the host in between.

use abi_stable::StableAbi;
use abi_stable::std_types::ROption;
use serde_json::{Map, Value};

use crate::descriptor::is_valid_id;
use crate::{CodecModuleRef, InstanceHandle, Outcome};

/// The key that names the codec; every other key is one of its parameters.
pub const CODEC_KEY: &str = "codec";

/// An inner codec as parameters name it: `{ codec = "affine", bits = 4 }`, or `"affine"` alone.
#[derive(Clone, Debug, PartialEq)]
pub struct InnerSpec {
    /// Id of the codec.
    pub id: String,
    /// Its parameters.
    pub params: Map<String, Value>,
}

impl InnerSpec {
    /// Reads either form; `None` for anything else.
    pub fn read(value: &Value) -> Option<Self> {
        let (id, params) = match value {
            Value::String(id) => (id.as_str(), Map::new()),
            Value::Object(table) => {
                let others = table.iter().filter(|(key, _)| *key != CODEC_KEY);
                let params = others.map(|(key, value)| (key.clone(), value.clone())).collect();
                (table.get(CODEC_KEY)?.as_str()?, params)
            }
            _ => return None,
        };
        is_valid_id(id).then(|| InnerSpec { id: id.to_owned(), params })
    }

    /// The table form, with the codec first.
    pub fn to_value(&self) -> Value {
        let codec = (CODEC_KEY.to_owned(), Value::from(self.id.as_str()));
        Value::Object(std::iter::once(codec).chain(self.params.clone()).collect())
    }
}

/// Result of opening an inner codec. With an ok outcome the functions are there and the handle is
/// valid; it belongs to the plugin that asked, which closes it.
#[repr(C)]
#[derive(StableAbi)]
pub struct InnerOpened {
    /// How the call ended.
    pub outcome: Outcome,
    /// The functions of the inner codec's plugin.
    pub module: ROption<CodecModuleRef>,
    /// The instance.
    pub handle: InstanceHandle,
}

impl InnerOpened {
    /// The call did not end well.
    pub fn failed(outcome: Outcome) -> Self {
        let handle = InstanceHandle(std::ptr::null_mut());
        InnerOpened { outcome, module: ROption::RNone, handle }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_read_as_the_same_table() {
        let table = InnerSpec::read(&json!({ "bits": 4, "codec": "affine" })).unwrap();
        assert_eq!(table.to_value().to_string(), r#"{"codec":"affine","bits":4}"#);
        let short = InnerSpec::read(&json!("kv.int8")).unwrap();
        assert_eq!(short.to_value(), json!({ "codec": "kv.int8" }));
        for wrong in
            [json!({}), json!({ "bits": 4 }), json!({ "codec": 3 }), json!("A b"), json!(3)]
        {
            assert_eq!(InnerSpec::read(&wrong), None, "{wrong}");
        }
    }
}
