//! `[model]`, or several `[[model]]`: what is evaluated, and what it is compared with.

use std::ops::{Deref, DerefMut};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use strait_vocabulary::{Dtype, LoadIn};

use super::sections::auto;
use crate::{BASELINE_LABEL, Experiment};

/// `[model]`: the model and where it runs. With several `[[model]]` the first is the reference that
/// the others are compared with.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// Name in tables and plots where several models are compared; made of the source and `load_in`
    /// when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub label: Option<String>,
    /// A model directory, a `.gguf` file, or `hf:owner/name@revision`.
    #[schemars(length(min = 1))]
    pub source: String,
    /// Element type of the weights and of the messages that cross the links.
    #[serde(default)]
    pub dtype: Dtype,
    /// `auto` (a GPU if there is one), `cpu`, `cuda:N`, or `cpu:plain` (plain tensor operations on
    /// the CPU: slow, for checks).
    #[serde(default = "auto")]
    pub device: String,
    /// The tokenizer, if it is not the model's own: a `tokenizer.json`, or a folder that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub tokenizer: Option<String>,
    /// What the checkpoint stores and the model may leave unread: names of tensors and of keys, with `*` for any letters.
    /// Anything else that nobody reads is an error. Part of the identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Quantize the linear layers of a dense checkpoint while it is loaded, as bitsandbytes does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_in: Option<LoadIn>,
    /// How the weights are held. Changes no number.
    #[serde(default, skip_serializing_if = "WeightsSection::is_default")]
    pub weights: WeightsSection,
}

/// `weights` of a model: how its weights are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightsSection {
    /// Keep one layer in memory at a time, besides embedding and head: slower, but a model larger than
    /// memory can be evaluated. A larger `batch_windows` reads the layers less often.
    #[serde(default)]
    pub streaming: bool,
}

/// The models of an experiment: a reference, to which it dereferences, and those compared with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "OneOrMany", into = "OneOrMany")]
pub struct Models {
    reference: ModelSection,
    others: Vec<ModelSection>,
}

/// One `[model]`, or several `[[model]]`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(ModelSection),
    Many(#[schemars(length(min = 1))] Vec<ModelSection>),
}

impl Models {
    /// A reference, and what is compared with it.
    #[must_use]
    pub fn new(reference: ModelSection, others: Vec<ModelSection>) -> Self {
        Self { reference, others }
    }

    /// All models, the reference first.
    pub fn iter(&self) -> impl Iterator<Item = &ModelSection> {
        std::iter::once(&self.reference).chain(&self.others)
    }

    /// As [`Models::iter`], to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut ModelSection> {
        std::iter::once(&mut self.reference).chain(&mut self.others)
    }

    /// What is compared with the reference.
    #[must_use]
    pub fn others(&self) -> &[ModelSection] {
        &self.others
    }
}

impl Deref for Models {
    type Target = ModelSection;

    fn deref(&self) -> &ModelSection {
        &self.reference
    }
}

impl DerefMut for Models {
    fn deref_mut(&mut self) -> &mut ModelSection {
        &mut self.reference
    }
}

impl JsonSchema for Models {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Models".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        OneOrMany::json_schema(generator)
    }
}

impl TryFrom<OneOrMany> for Models {
    type Error = &'static str;

    fn try_from(written: OneOrMany) -> Result<Self, Self::Error> {
        let mut sections = match written {
            OneOrMany::One(section) => vec![section],
            OneOrMany::Many(sections) => sections,
        }
        .into_iter();
        let reference = sections.next().ok_or("expected at least one model, found none")?;
        Ok(Self { reference, others: sections.collect() })
    }
}

impl From<Models> for OneOrMany {
    fn from(models: Models) -> Self {
        if models.others.is_empty() {
            Self::One(models.reference)
        } else {
            Self::Many(models.iter().cloned().collect())
        }
    }
}

impl ModelSection {
    /// The label, or what stands for it: the last part of the source, and `load_in`.
    #[must_use]
    pub fn name(&self) -> String {
        if let Some(label) = &self.label {
            return label.clone();
        }
        let source = self.source.trim_end_matches('/');
        let name = source.rsplit('/').next().unwrap_or(source);
        let name = name.strip_suffix(".gguf").unwrap_or(name);
        match self.load_in {
            Some(kind) => format!("{name} {}", kind.name()),
            None => name.to_owned(),
        }
    }
}

impl WeightsSection {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Experiment {
    /// The path of a key of model `index` in the file: `model.source`, or `model[1].source`.
    #[must_use]
    pub fn model_key(&self, index: usize, key: &str) -> String {
        let table =
            if self.lines.has("model[0]") { format!("model[{index}]") } else { "model".to_owned() };
        format!("{table}.{key}")
    }

    /// The label of the uncompressed reference: `baseline`, or its model's where several are compared.
    #[must_use]
    pub fn baseline_label(&self) -> String {
        if self.model.others().is_empty() { BASELINE_LABEL.to_owned() } else { self.model.name() }
    }
}
