//! What a model says it reads is what it reads, and nothing else may be stored, in every family.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Map, Value, json};
use strait_model::{Device, Dtype, Model, ModelConfig, SourceTensor, TensorSource};
use strait_weights::Checkpoint;

use crate::support::{FAMILIES, model, package};

/// A checkpoint that remembers what it was asked for.
struct Watched {
    checkpoint: Checkpoint,
    read: Mutex<BTreeSet<String>>,
}

impl TensorSource for Watched {
    fn config(&self) -> &Value {
        self.checkpoint.config()
    }

    fn contains(&self, name: &str) -> bool {
        TensorSource::contains(&self.checkpoint, name)
    }

    fn tensor(&self, name: &str) -> Result<SourceTensor, Box<dyn Error + Send + Sync>> {
        self.read.lock().unwrap().insert(name.to_owned());
        TensorSource::tensor(&self.checkpoint, name)
    }
}

#[test]
fn what_is_said_to_be_read_is_what_is_read() {
    for name in FAMILIES {
        let watched = Watched { checkpoint: model(name), read: Mutex::default() };
        let config = ModelConfig::from_json(watched.config()).unwrap();
        let (mut said, mut values) = (BTreeSet::new(), 0);
        let contains = |name: &str| TensorSource::contains(&watched, name);
        let mut visit = |name: String, shape: &[usize]| {
            assert_eq!(watched.checkpoint.info(&name).unwrap().shape, shape, "{name}");
            said.insert(name);
            values += shape.iter().product::<usize>() as u64;
            Ok(())
        };
        config.each_tensor(&contains, &mut visit).unwrap();
        assert_eq!(values, config.parameters(), "{name}");
        Model::load(&watched, &[0], &[Device::Cpu], Dtype::F32).unwrap();
        assert_eq!(said, *watched.read.lock().unwrap(), "{name}");
    }
}

/// A golden checkpoint taken apart.
struct Stored {
    config: Value,
    header: Map<String, Value>,
    data: Vec<u8>,
}

impl Stored {
    fn read(name: &str) -> Self {
        let folder = package().join("tests/families").join(name);
        let config = fs::read_to_string(folder.join("config.json")).unwrap().parse().unwrap();
        let file = fs::read(folder.join("model.safetensors")).unwrap();
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let mut header: Map<String, Value> = serde_json::from_slice(&file[8..8 + length]).unwrap();
        header.remove("__metadata__");
        Self { config, header, data: file[8 + length..].to_vec() }
    }

    /// What a run says to it.
    fn check(&self, ignore: &[&str]) -> Result<(), String> {
        let header = serde_json::to_vec(&self.header).unwrap();
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_slice(), &self.data].concat();
        let checkpoint =
            Checkpoint::from_safetensors_bytes(Path::new("m"), self.config.clone(), bytes)
                .map_err(|error| error.to_string())?;
        let ignore: Vec<String> = ignore.iter().map(|&pattern| pattern.to_owned()).collect();
        let model = ModelConfig::from_json(&self.config).map_err(|error| error.to_string())?;
        model.check(&checkpoint, &ignore).map_err(|error| error.to_string())
    }

    fn rename(&mut self, from: &str, to: &str) {
        let entry = self.header.remove(from).unwrap();
        self.header.insert(to.to_owned(), entry);
    }
}

#[test]
fn a_tensor_too_few_or_too_many_is_an_error() {
    for name in FAMILIES {
        let mut stored = Stored::read(name);
        stored.check(&[]).unwrap();
        let names: Vec<String> = stored.header.keys().cloned().collect();
        for tensor in names {
            // Constants, which may be stored and are not read.
            let constant = [".masked_bias", ".attention.bias", ".attn.bias", ".inv_freq"];
            if constant.iter().any(|end| tensor.ends_with(end)) {
                continue;
            }
            // Where the name says that it may go unread, what is wrong is that it is missing.
            stored.rename(&tensor, "mtp.elsewhere");
            assert!(stored.check(&[]).is_err(), "{name}: {tensor}");
            stored.rename("mtp.elsewhere", &tensor);
        }

        let end = stored.data.len();
        stored.data.extend(1.0f32.to_le_bytes());
        let entry = json!({"dtype": "F32", "shape": [1], "data_offsets": [end, end + 4]});
        for extra in ["model.layers.1.self_attn.q_proj.bias", "h.0.attn.gate", "rotation"] {
            if stored.header.contains_key(extra) {
                continue;
            }
            stored.header.insert(extra.to_owned(), entry.clone());
            let error = stored.check(&[]).unwrap_err();
            assert!(error.contains("read by nobody") && error.contains(extra), "{name}: {error}");
            stored.check(&[extra]).unwrap();
            stored.header.remove(extra);
        }
    }
}

#[test]
fn a_key_that_changes_the_arithmetic_is_read_or_refused() {
    for name in FAMILIES {
        for (key, value) in
            [("scale_depth", json!(1.4)), ("clip_qkv", json!(8)), ("alibi", json!(true))]
        {
            let mut stored = Stored::read(name);
            stored.config[key] = value;
            let error = stored.check(&[]).unwrap_err();
            assert!(error.contains(key), "{name}: {error}");
            stored.check(&[key]).unwrap();
            stored.config[key] = Value::Null;
            stored.check(&[]).unwrap();
        }
    }
}
